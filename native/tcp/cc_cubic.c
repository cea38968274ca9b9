/* SPDX-License-Identifier: Apache-2.0
 *
 * CUBIC, RFC 9438. W_cubic(t) = C (t - K)^3 + W_max in segments, t in seconds since the epoch; never below the
 * window that Reno would have (4.3). The real window is kept in bytes; what a byte count cannot hold waits in `carry`.
 */
#include "tcp/tcp.h"

#define CUBIC_C     0.4
#define CUBIC_BETA  0.7
#define CUBIC_ALPHA (3.0 * (1.0 - CUBIC_BETA) / (1.0 + CUBIC_BETA))

/* x > 0; Newton's iteration from a power-of-two guess converges in a few steps. */
static double cube_root(double x)
{
	double r = 1;

	while (r * r * r < x)
		r *= 2;
	for (int i = 0; i < 6; i++)
		r -= (r - x / (r * r)) / 3;
	return r;
}

static void init(struct sn_tcp *t, sn_time now)
{
	(void)now;
	memset(&t->ccs.cubic, 0, sizeof t->ccs.cubic);
	sn_hystart_init(&t->ccs.cubic.hs, t->snd_nxt);
}

static void open_epoch(struct sn_cubic *q, double cwnd, sn_time now)
{
	struct sn_cubic_curve *c = &q->c;

	c->epoch = now;
	c->w_est = cwnd;
	q->carry = 0;
	if (cwnd < c->w_max && !q->timed_out) {
		c->k = cube_root((c->w_max - cwnd) / CUBIC_C);
	} else { /* 4.8: after a timeout the curve starts at its plateau as well */
		c->k = 0;
		c->w_max = cwnd;
	}
	q->timed_out = false;
}

static double w_cubic(const struct sn_cubic_curve *c, double at)
{
	double d = at - c->k;
	return CUBIC_C * d * d * d + c->w_max;
}

static void avoid_congestion(struct sn_tcp *t, uint32_t acked, sn_time now)
{
	struct sn_cubic *q = &t->ccs.cubic;
	struct sn_cubic_curve *c = &q->c;
	double cwnd = (double)t->cwnd / t->mss, segs = (double)acked / t->mss;

	if (!c->epoch)
		open_epoch(q, cwnd, now);
	double at = (double)(now - c->epoch) * 1e-9;
	/* 4.3: the window of an AIMD flow with our beta and the same average loss. */
	c->w_est += (c->w_est < c->prior ? CUBIC_ALPHA : 1.0) * segs / cwnd;
	if (w_cubic(c, at) < c->w_est) {
		if (c->w_est > cwnd)
			t->cwnd = (uint32_t)(c->w_est * t->mss);
		return;
	}
	/* 4.4, 4.5: head for where the curve will be one round trip ahead, at most by half the window. */
	double target = w_cubic(c, at + (double)t->srtt * 1e-9);
	target = target < cwnd ? cwnd : target > 1.5 * cwnd ? 1.5 * cwnd : target;
	q->carry += (target - cwnd) / cwnd * acked;
	if (q->carry >= 1) {
		uint32_t whole = (uint32_t)q->carry;
		t->cwnd += whole;
		q->carry -= whole;
	}
}

static void on_ack(struct sn_tcp *t, const struct sn_cc_ack *a)
{
	struct sn_cubic *q = &t->ccs.cubic;
	uint32_t acked = a->acked;
	sn_time since = q->last_ack ? a->now - q->last_ack : 0;

	q->last_ack = a->now;
	if (!a->limited) {
		/* 5.8: time in which the application held the window back does not count. */
		if (q->c.epoch)
			q->c.epoch += since;
		return;
	}
	if (t->cwnd < t->ssthresh)
		acked = sn_slow_start(t, &q->hs, a);
	if (t->cwnd >= t->ssthresh && acked)
		avoid_congestion(t, acked, a->now);
}

static void reduce(struct sn_tcp *t)
{
	struct sn_cubic *q = &t->ccs.cubic;
	struct sn_cubic_curve *c = &q->c;
	double cwnd = (double)t->cwnd / t->mss;

	q->undo = *c;
	/* 4.7 fast convergence: a flow that lost earlier than last time makes room for a new one. */
	c->prior = cwnd;
	c->w_max = cwnd < c->w_max ? cwnd * (1 + CUBIC_BETA) / 2 : cwnd;
	c->epoch = 0;
	q->hs.on = false;
	t->ssthresh = SN_MAX((uint32_t)(t->cwnd * CUBIC_BETA), 2 * t->mss);
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
	t->ccs.cubic.timed_out = true;
}

static void on_restart(struct sn_tcp *t, sn_time idle, sn_time now)
{
	struct sn_cubic *q = &t->ccs.cubic;

	(void)idle;
	if (q->c.epoch && q->last_ack)
		q->c.epoch += now - q->last_ack;
	q->last_ack = now;
}

/* 4.9: the curve goes on where it was; 4.9.2: unless the window has outgrown what it was. */
static void on_undo(struct sn_tcp *t, sn_time now)
{
	struct sn_cubic *q = &t->ccs.cubic;

	if (t->cwnd > t->undo_cwnd)
		return;
	q->c = q->undo;
	if (q->c.epoch && q->last_ack)
		q->c.epoch += now - q->last_ack;
	q->last_ack = now;
	q->timed_out = false;
}

const struct sn_cc_ops sn_cc_cubic = {.name = "cubic",
				      .init = init,
				      .on_ack = on_ack,
				      .on_loss = on_loss,
				      .on_rto = on_rto,
				      .on_restart = on_restart,
				      .on_undo = on_undo};
