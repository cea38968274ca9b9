/* SPDX-License-Identifier: Apache-2.0
 *
 * DCTCP, RFC 8257: the share of marked bytes is estimated once per window (alpha, gain 1/16), and the window shrinks by
 * alpha / 2 once per window of data with marks. Loss is answered as by NewReno, and so is growth.
 */
#include "tcp/tcp.h"

#define GAIN (1.0 / 16)

static void init(struct sn_tcp *t, sn_time now)
{
	struct sn_dctcp *c = &t->ccs.dctcp;

	(void)now;
	sn_newreno_init(t, &c->reno);
	c->alpha = 1; /* RFC 8257 4.2: a first mark halves */
	c->window_end = t->snd_nxt;
	c->acked = c->marked = 0;
}

/* RFC 8257 3.3 steps 1 to 9. */
static void observe(struct sn_tcp *t, struct sn_dctcp *c, const struct sn_cc_ack *a)
{
	c->acked += a->acked;
	if (a->ece)
		c->marked += a->acked;
	if (sn_seq_leq(t->snd_una, c->window_end) || !c->acked)
		return;
	c->alpha += GAIN * ((double)c->marked / c->acked - c->alpha);
	c->window_end = t->snd_nxt;
	c->acked = c->marked = 0;
}

static void on_ack(struct sn_tcp *t, const struct sn_cc_ack *a)
{
	struct sn_dctcp *c = &t->ccs.dctcp;

	observe(t, c, a);
	if (!a->ece) {
		sn_newreno_grow(t, &c->reno, a);
		return;
	}
	if (!sn_ecn_congestion(t))
		return;
	t->ssthresh = SN_MAX((uint32_t)(t->cwnd * (1 - c->alpha / 2)), 2 * t->mss);
	t->cwnd = t->ssthresh;
	c->reno.carry = 0;
	c->reno.hs.on = false;
}

static void on_rto(struct sn_tcp *t, sn_time now)
{
	(void)now;
	t->ssthresh = SN_MAX(t->cwnd / 2, 2 * t->mss);
	t->ccs.dctcp.reno.carry = 0;
	t->ccs.dctcp.reno.hs.on = false;
}

static void on_loss(struct sn_tcp *t, sn_time now)
{
	on_rto(t, now);
	t->cwnd = t->ssthresh;
}

const struct sn_cc_ops sn_cc_dctcp = {
	.name = "dctcp", .exact_ecn = true, .init = init, .on_ack = on_ack, .on_loss = on_loss, .on_rto = on_rto};
