/* SPDX-License-Identifier: Apache-2.0
 *
 * NewReno's window: RFC 5681 with byte counting (RFC 3465).
 */
#include "tcp/tcp.h"

static void init(struct sn_tcp *t, sn_time now)
{
	(void)now;
	sn_hystart_init(&t->ccs.newreno.hs, t->snd_nxt);
	t->ccs.newreno.carry = 0;
}

static void on_ack(struct sn_tcp *t, const struct sn_cc_ack *a)
{
	struct sn_newreno *c = &t->ccs.newreno;
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

static void reduce(struct sn_tcp *t)
{
	t->ssthresh = SN_MAX(t->cwnd / 2, 2 * t->mss);
	t->ccs.newreno.carry = 0;
	t->ccs.newreno.hs.on = false;
}

static void on_loss(struct sn_tcp *t, sn_time now)
{
	(void)now;
	reduce(t);
	t->cwnd = t->ssthresh;
}

static void on_rto(struct sn_tcp *t, sn_time now)
{
	(void)now;
	reduce(t);
}

static void on_restart(struct sn_tcp *t, sn_time idle, sn_time now)
{
	(void)t;
	(void)idle;
	(void)now;
}

const struct sn_cc_ops sn_cc_newreno = {"newreno", init, on_ack, on_loss, on_rto, on_restart};
