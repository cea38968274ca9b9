/* SPDX-License-Identifier: Apache-2.0
 *
 * NewReno's window: RFC 5681 with byte counting (RFC 3465).
 */
#include "tcp/tcp.h"

void sn_newreno_init(struct sn_tcp *t, struct sn_newreno *c)
{
	sn_hystart_init(&c->hs, t->snd_nxt);
	c->carry = 0;
}

void sn_newreno_grow(struct sn_tcp *t, struct sn_newreno *c, const struct sn_cc_ack *a)
{
	uint32_t acked = a->acked;

	if (!a->limited)
		return;
	if (t->cwnd < t->ssthresh)
		acked = sn_slow_start(t, &c->hs, a);
	if (t->cwnd < t->ssthresh)
		return;
	/* One segment per window of acknowledged bytes. */
	c->carry += acked;
	if (c->carry >= t->cwnd) {
		c->carry -= t->cwnd;
		t->cwnd += t->mss;
	}
}

static void init(struct sn_tcp *t, sn_time now)
{
	(void)now;
	sn_newreno_init(t, &t->ccs.newreno);
}

static void on_ack(struct sn_tcp *t, const struct sn_cc_ack *a) { sn_newreno_grow(t, &t->ccs.newreno, a); }

static void on_rto(struct sn_tcp *t, sn_time now)
{
	(void)now;
	t->ssthresh = SN_MAX(t->cwnd / 2, 2 * t->mss);
	t->ccs.newreno.carry = 0;
	t->ccs.newreno.hs.on = false;
}

static void on_loss(struct sn_tcp *t, sn_time now)
{
	on_rto(t, now);
	t->cwnd = t->ssthresh;
}

const struct sn_cc_ops sn_cc_newreno = {
	.name = "newreno", .init = init, .on_ack = on_ack, .on_loss = on_loss, .on_rto = on_rto};
