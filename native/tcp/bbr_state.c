/* SPDX-License-Identifier: Apache-2.0
 *
 * BBR's state machine. A cycle of PROBE_BW is DOWN, CRUISE for two to three seconds (or as many rounds as a Reno flow of
 * the same window would need to fill it again, at most 40), REFILL, UP. The draft says 63: with as few probes two flows
 * with a round trip of 10 ms often need more than ten seconds to share a line.
 */
#include "tcp/tcp.h"

#define PROBE_RTT_TIME (200 * SN_MSEC)
#define FULL_BW_GROWTH 1.25
enum { FULL_BW_ROUNDS = 3, STARTUP_LOSSES = 6, RENO_ROUNDS = 40 };

static void enter(struct sn_bbr *b, enum sn_bbr_state state) { b->state = (uint8_t)state; }

static void reset_full_bw(struct sn_bbr *b)
{
	b->full_bw = 0;
	b->full_bw_count = 0;
	b->full_bw_now = false;
}

void sn_bbr_state_init(struct sn_tcp *t, sn_time now)
{
	struct sn_bbr *b = t->ccs.bbr;

	enter(b, SN_BBR_STARTUP);
	reset_full_bw(b);
	b->cycle_at = now;
}

/* --- PROBE_BW ----------------------------------------------------------------------------------------------------- */

static void start_down(struct sn_tcp *t, sn_time now)
{
	struct sn_bbr *b = t->ccs.bbr;
	uint32_t random;

	b->probe_up_count = UINT32_MAX;
	/* Flows that share a link must not probe in step. */
	sn_engine_random(t->e, &random, sizeof random);
	b->rounds_since_probe = random & 1;
	b->probe_wait = 2 * SN_SEC + (random >> 1) % SN_SEC;
	b->cycle_at = now;
	b->acks = SN_BBR_ACKS_STOPPING;
	sn_bbr_start_round(t);
	enter(b, SN_BBR_DOWN);
	reset_full_bw(b);
	b->loss_round_end = t->delivered;
	b->bw_latest = 0;
	b->inflight_latest = 0;
}

static void start_refill(struct sn_tcp *t)
{
	struct sn_bbr *b = t->ccs.bbr;

	sn_bbr_reset_lower(b);
	b->probe_up_rounds = 0;
	b->probe_up_acks = 0;
	b->acks = SN_BBR_ACKS_REFILLING;
	sn_bbr_start_round(t);
	enter(b, SN_BBR_REFILL);
}

/* inflight_hi grows by one segment, then two, four ... a round, while it is what limits. */
static void raise_slope(struct sn_tcp *t)
{
	struct sn_bbr *b = t->ccs.bbr;

	b->probe_up_count = SN_MAX(t->cwnd >> b->probe_up_rounds, t->mss);
	if (b->probe_up_rounds < 30)
		b->probe_up_rounds++;
}

static void start_up(struct sn_tcp *t, sn_time now)
{
	struct sn_bbr *b = t->ccs.bbr;

	b->acks = SN_BBR_ACKS_STARTING;
	sn_bbr_start_round(t);
	reset_full_bw(b);
	b->full_bw = sn_bbr_max_bw(b);
	b->cycle_at = now;
	enter(b, SN_BBR_UP);
	raise_slope(t);
}

static void too_high(struct sn_tcp *t, const struct sn_cc_ack *a)
{
	struct sn_bbr *b = t->ccs.bbr;

	b->probe_samples = false; /* react once per probe */
	if (!a->rs.app_limited) {
		uint32_t target = SN_MIN(sn_bbr_bdp(t, b->bw, 1), t->cwnd);
		b->inflight_hi = SN_MAX(a->rs.in_flight, (uint32_t)(target * SN_BBR_BETA));
	}
	if (b->state == SN_BBR_UP) {
		b->probe_up_loss = true;
		start_down(t, a->now);
	}
}

static void probe_upward(struct sn_tcp *t, const struct sn_cc_ack *a)
{
	struct sn_bbr *b = t->ccs.bbr;

	if (!t->limited || t->cwnd < b->inflight_hi)
		return; /* the bound is not what limits */
	b->probe_up_acks += a->delivered;
	if (b->probe_up_acks >= b->probe_up_count) {
		uint32_t delta = b->probe_up_acks / b->probe_up_count;
		b->probe_up_acks -= delta * b->probe_up_count;
		b->inflight_hi += delta * t->mss;
	}
	if (b->round_start)
		raise_slope(t);
}

/* What the ACKs of a probe say of the long-term bound and of the bandwidth filter. */
static void adapt_upper(struct sn_tcp *t, const struct sn_cc_ack *a)
{
	struct sn_bbr *b = t->ccs.bbr;

	if (b->acks == SN_BBR_ACKS_STARTING && b->round_start)
		b->acks = SN_BBR_ACKS_FEEDBACK;
	if (b->acks == SN_BBR_ACKS_STOPPING && b->round_start) {
		if (sn_bbr_in_probe_bw(b) && !a->rs.app_limited) {
			/* The probe's samples are in: the filter moves on by one cycle. */
			b->bw_max[1] = b->bw_max[0];
			b->bw_max[0] = 0;
		}
		b->acks = SN_BBR_ACKS_INIT;
		b->probe_samples = false;
	}
	if (a->lost && b->probe_samples && sn_bbr_too_high(a)) {
		too_high(t, a);
		return;
	}
	if (sn_bbr_too_high(a) || b->inflight_hi == UINT32_MAX)
		return;
	if (a->rs.valid && a->rs.in_flight > b->inflight_hi)
		b->inflight_hi = a->rs.in_flight;
	if (b->state == SN_BBR_UP)
		probe_upward(t, a);
}

static bool time_to_probe(struct sn_tcp *t, sn_time now)
{
	struct sn_bbr *b = t->ccs.bbr;
	uint32_t reno = SN_MIN(SN_MIN(sn_bbr_bdp(t, b->bw, 1), t->cwnd) / t->mss, (uint32_t)RENO_ROUNDS);

	if (now <= b->cycle_at + b->probe_wait && b->rounds_since_probe < reno)
		return false;
	start_refill(t);
	return true;
}

static bool time_to_cruise(const struct sn_tcp *t)
{
	const struct sn_bbr *b = t->ccs.bbr;
	uint32_t flight = sn_tcp_in_flight(t);

	return flight <= sn_bbr_headroom(t) && flight <= sn_bbr_inflight(t, sn_bbr_max_bw(b), 1);
}

static bool time_to_go_down(struct sn_tcp *t)
{
	struct sn_bbr *b = t->ccs.bbr;

	if (t->limited && t->cwnd >= b->inflight_hi) {
		/* The bound limits what can be measured: growth has not been tested yet. */
		reset_full_bw(b);
		b->full_bw = sn_bbr_max_bw(b);
		return false;
	}
	return b->full_bw_now;
}

static void cycle(struct sn_tcp *t, const struct sn_cc_ack *a)
{
	struct sn_bbr *b = t->ccs.bbr;

	if (!b->full_bw_reached)
		return;
	adapt_upper(t, a);
	switch (b->state) {
	case SN_BBR_DOWN:
		if (!time_to_probe(t, a->now) && time_to_cruise(t))
			enter(b, SN_BBR_CRUISE);
		break;
	case SN_BBR_CRUISE: time_to_probe(t, a->now); break;
	case SN_BBR_REFILL:
		if (b->round_start) {
			b->probe_samples = true;
			start_up(t, a->now);
		}
		break;
	case SN_BBR_UP:
		if (time_to_go_down(t)) {
			b->probe_up_loss = false;
			start_down(t, a->now);
		}
		break;
	default: break;
	}
}

/* --- STARTUP and DRAIN -------------------------------------------------------------------------------------------- */

static void check_full_bw(struct sn_bbr *b, const struct sn_cc_ack *a)
{
	if (b->full_bw_now || !b->round_start || a->rs.app_limited)
		return;
	uint64_t now_bw = sn_bbr_max_bw(b);
	if ((double)now_bw >= (double)b->full_bw * FULL_BW_GROWTH) {
		reset_full_bw(b);
		b->full_bw = now_bw;
		return;
	}
	b->full_bw_now = ++b->full_bw_count >= FULL_BW_ROUNDS;
	b->full_bw_reached |= b->full_bw_now;
}

static void check_startup(struct sn_tcp *t, const struct sn_cc_ack *a)
{
	struct sn_bbr *b = t->ccs.bbr;

	if (a->lost && b->loss_events < UINT8_MAX)
		b->loss_events++;
	/* A round with heavy loss in several places: the pipe is full, whatever the bandwidth says. */
	if (!b->full_bw_reached && b->loss_round_start && b->in_recovery && b->loss_events >= STARTUP_LOSSES &&
	    sn_bbr_too_high(a)) {
		b->full_bw_reached = b->full_bw_now = true;
		b->inflight_hi = SN_MAX(sn_bbr_bdp(t, sn_bbr_max_bw(b), 1), b->inflight_latest);
	}
	if (b->full_bw_reached)
		enter(b, SN_BBR_DRAIN);
}

void sn_bbr_state_ack(struct sn_tcp *t, const struct sn_cc_ack *a)
{
	struct sn_bbr *b = t->ccs.bbr;

	check_full_bw(b, a);
	if (b->state == SN_BBR_STARTUP)
		check_startup(t, a);
	if (b->state == SN_BBR_DRAIN && sn_tcp_in_flight(t) <= sn_bbr_inflight(t, sn_bbr_max_bw(b), 1))
		start_down(t, a->now);
	cycle(t, a);
}

/* --- PROBE_RTT ---------------------------------------------------------------------------------------------------- */

static void leave_probe_rtt(struct sn_tcp *t, sn_time now)
{
	struct sn_bbr *b = t->ccs.bbr;

	sn_bbr_reset_lower(b);
	if (b->full_bw_reached) {
		start_down(t, now);
		enter(b, SN_BBR_CRUISE);
	} else {
		enter(b, SN_BBR_STARTUP);
	}
}

void sn_bbr_check_probe_rtt_done(struct sn_tcp *t, sn_time now)
{
	struct sn_bbr *b = t->ccs.bbr;

	if (b->state != SN_BBR_PROBE_RTT || !b->probe_rtt_done || now < b->probe_rtt_done)
		return;
	b->probe_rtt_at = now;
	t->cwnd = SN_MAX(t->cwnd, b->prior_cwnd);
	leave_probe_rtt(t, now);
}

void sn_bbr_probe_rtt(struct sn_tcp *t, const struct sn_cc_ack *a)
{
	struct sn_bbr *b = t->ccs.bbr;

	if (b->state != SN_BBR_PROBE_RTT && b->probe_rtt_expired && !b->idle_restart) {
		enter(b, SN_BBR_PROBE_RTT);
		b->prior_cwnd = SN_MAX(t->cwnd, b->in_recovery ? b->prior_cwnd : 0);
		b->probe_rtt_done = 0;
		b->acks = SN_BBR_ACKS_STOPPING;
		sn_bbr_start_round(t);
	}
	if (b->state == SN_BBR_PROBE_RTT) {
		t->ccx.limited_until = SN_MAX(t->delivered + sn_tcp_in_flight(t), (uint64_t)1);
		uint32_t low = SN_MAX(sn_bbr_bdp(t, b->bw, 0.5), 4 * t->mss);
		if (!b->probe_rtt_done && sn_tcp_in_flight(t) <= low) {
			b->probe_rtt_done = a->now + PROBE_RTT_TIME;
			b->probe_rtt_round_done = false;
			sn_bbr_start_round(t);
		} else if (b->probe_rtt_done) {
			b->probe_rtt_round_done |= b->round_start;
			if (b->probe_rtt_round_done)
				sn_bbr_check_probe_rtt_done(t, a->now);
		}
	}
	if (a->delivered)
		b->idle_restart = false;
}
