/* SPDX-License-Identifier: Apache-2.0
 *
 * BBR: the entry points, and what follows from the model: pacing rate and window.
 */
#include "tcp/tcp.h"

/* Per state: pacing gain and window gain. */
static const struct {
	double pace, window;
} gain[] = {
	[SN_BBR_STARTUP] = {2.77, 2.0},  [SN_BBR_DRAIN] = {0.5, 2.0},  [SN_BBR_DOWN] = {0.9, 2.0},
	[SN_BBR_CRUISE] = {1.0, 2.0},    [SN_BBR_REFILL] = {1.0, 2.0}, [SN_BBR_UP] = {1.25, 2.25},
	[SN_BBR_PROBE_RTT] = {1.0, 0.5},
};
#define PACING_MARGIN 0.99 /* a little below the estimate, so that no queue stays */

static void set_pacing(struct sn_tcp *t)
{
	const struct sn_bbr *b = t->ccs.bbr;

	if (!b->bw)
		return;
	uint64_t rate = (uint64_t)(gain[b->state].pace * (double)b->bw * PACING_MARGIN);
	/* In STARTUP early samples are too low: only faster. */
	if (b->full_bw_reached || rate > t->ccx.rate)
		sn_pace_set(t, rate);
}

static void bound_window(struct sn_tcp *t)
{
	struct sn_bbr *b = t->ccs.bbr;
	uint32_t cap = UINT32_MAX;

	if (sn_bbr_in_probe_bw(b) && b->state != SN_BBR_CRUISE)
		cap = b->inflight_hi;
	else if (b->state == SN_BBR_PROBE_RTT || b->state == SN_BBR_CRUISE)
		cap = sn_bbr_headroom(t);
	cap = SN_MAX(SN_MIN(cap, b->inflight_lo), 4 * t->mss);
	t->cwnd = SN_MIN(t->cwnd, cap);
}

static void set_window(struct sn_tcp *t, const struct sn_cc_ack *a)
{
	struct sn_bbr *b = t->ccs.bbr;
	uint32_t max = sn_bbr_inflight(t, b->bw, gain[b->state].window) + SN_MAX(b->extra_max[0], b->extra_max[1]);

	if (b->full_bw_reached)
		t->cwnd = SN_MIN(t->cwnd + a->delivered, max);
	else if (t->cwnd < max || t->delivered < t->e->cfg.tcp.initial_window * t->mss)
		t->cwnd += a->delivered;
	t->cwnd = SN_MAX(t->cwnd, 4 * t->mss);
	if (b->state == SN_BBR_PROBE_RTT)
		t->cwnd = SN_MIN(t->cwnd, SN_MAX(sn_bbr_bdp(t, b->bw, gain[SN_BBR_PROBE_RTT].window), 4 * t->mss));
	bound_window(t);
}

static void init(struct sn_tcp *t, sn_time now)
{
	struct sn_bbr *b = t->ccs.bbr;

	memset(b, 0, sizeof *b);
	b->min_rtt = b->probe_rtt_min = t->srtt ? t->srtt : SN_TIME_NEVER;
	b->min_rtt_at = b->probe_rtt_at = b->extra_at = now;
	b->inflight_hi = UINT32_MAX;
	sn_bbr_reset_lower(b);
	sn_bbr_state_init(t, now);
	sn_bbr_start_round(t);
	/* The first window over the first round trip, or over a millisecond if there is none yet. */
	sn_time rtt = t->srtt ? t->srtt : SN_MSEC;
	sn_pace_set(t, (uint64_t)(gain[SN_BBR_STARTUP].pace * t->cwnd * 1e9 / (double)rtt));
}

static void on_ack(struct sn_tcp *t, const struct sn_cc_ack *a)
{
	struct sn_bbr *b = t->ccs.bbr;

	if (b->in_recovery && t->ca == SN_CA_OPEN) {
		b->in_recovery = false;
		t->cwnd = SN_MAX(t->cwnd, b->prior_cwnd);
	}
	sn_bbr_model_ack(t, a);
	sn_bbr_state_ack(t, a);
	sn_bbr_update_min_rtt(t, a);
	sn_bbr_probe_rtt(t, a);
	sn_bbr_model_done(t, a);
	set_pacing(t);
	set_window(t, a);
}

static void save(struct sn_tcp *t)
{
	struct sn_bbr *b = t->ccs.bbr;

	if (!b->in_recovery && b->state != SN_BBR_PROBE_RTT)
		b->prior_cwnd = t->cwnd;
	else
		b->prior_cwnd = SN_MAX(b->prior_cwnd, t->cwnd);
	b->in_recovery = true;
	b->undo.state = b->state;
	b->undo.bw_lo = b->bw_lo;
	b->undo.inflight_lo = b->inflight_lo;
	b->undo.inflight_hi = b->inflight_hi;
}

/* The model answers losses by itself (lower_bounds, too_high); here only what undo needs is kept. */
static void on_loss(struct sn_tcp *t, sn_time now)
{
	(void)now;
	save(t);
	t->ssthresh = t->cwnd;
}

static void on_rto(struct sn_tcp *t, sn_time now)
{
	on_loss(t, now);
	t->ccs.bbr->full_bw_count = 0;
}

static void on_undo(struct sn_tcp *t, sn_time now)
{
	struct sn_bbr *b = t->ccs.bbr;

	(void)now;
	b->round_lost = t->lost_total;
	b->full_bw_count = 0;
	b->bw_lo = SN_MAX(b->bw_lo, b->undo.bw_lo);
	b->inflight_lo = SN_MAX(b->inflight_lo, b->undo.inflight_lo);
	b->inflight_hi = SN_MAX(b->inflight_hi, b->undo.inflight_hi);
	t->cwnd = SN_MAX(t->cwnd, b->prior_cwnd);
}

static void on_restart(struct sn_tcp *t, sn_time idle, sn_time now)
{
	struct sn_bbr *b = t->ccs.bbr;

	(void)idle;
	b->idle_restart = true;
	b->extra_at = now;
	b->extra_bytes = 0;
	if (sn_bbr_in_probe_bw(b) && b->bw)
		sn_pace_set(t, (uint64_t)((double)b->bw * PACING_MARGIN));
	else
		sn_bbr_check_probe_rtt_done(t, now);
}

const struct sn_cc_ops sn_cc_bbr = {.name = "bbr",
				    .own_recovery = true,
				    .init = init,
				    .on_ack = on_ack,
				    .on_loss = on_loss,
				    .on_rto = on_rto,
				    .on_restart = on_restart,
				    .on_undo = on_undo};
