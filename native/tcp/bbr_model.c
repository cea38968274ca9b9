/* SPDX-License-Identifier: Apache-2.0
 *
 * BBR's model of the path: how fast (max filter of delivery rates), how long (min filter of round trips), how much
 * fits (bounds learned from loss: inflight_hi for long, inflight_lo and bw_lo until the next probe).
 */
#include "tcp/tcp.h"

#define LOSS_THRESH     0.02
#define MIN_RTT_FOR     (10 * SN_SEC)
#define PROBE_RTT_EVERY (5 * SN_SEC)
enum { EXTRA_ROUNDS = 5 };

uint64_t sn_bbr_max_bw(const struct sn_bbr *b) { return SN_MAX(b->bw_max[0], b->bw_max[1]); }

uint32_t sn_bbr_bdp(const struct sn_tcp *t, uint64_t bw, double gain)
{
	const struct sn_bbr *b = t->ccs.bbr;

	if (b->min_rtt == SN_TIME_NEVER)
		return t->e->cfg.tcp.initial_window * t->mss;
	double bytes = gain * (double)bw * (double)b->min_rtt * 1e-9;
	return bytes < 1 << 30 ? (uint32_t)bytes : 1u << 30;
}

uint32_t sn_bbr_inflight(const struct sn_tcp *t, uint64_t bw, double gain)
{
	uint32_t bytes = sn_bbr_bdp(t, bw, gain);

	/* Three bursts may be on their way through the ends' queues. */
	bytes = SN_MAX(bytes, 3 * t->ccx.quantum);
	bytes = SN_MAX(bytes, 4 * t->mss);
	return t->ccs.bbr->state == SN_BBR_UP ? bytes + 2 * t->mss : bytes;
}

uint32_t sn_bbr_headroom(const struct sn_tcp *t)
{
	uint32_t hi = t->ccs.bbr->inflight_hi;

	if (hi == UINT32_MAX)
		return UINT32_MAX;
	uint32_t left = SN_MAX((uint32_t)(hi * SN_BBR_HEADROOM), t->mss);
	return SN_MAX(hi > left ? hi - left : 0, 4 * t->mss);
}

void sn_bbr_reset_lower(struct sn_bbr *b)
{
	b->bw_lo = UINT64_MAX;
	b->inflight_lo = UINT32_MAX;
}

void sn_bbr_start_round(struct sn_tcp *t) { t->ccs.bbr->round_end = t->delivered; }

bool sn_bbr_too_high(const struct sn_cc_ack *a) { return a->rs.valid && a->rs.lost > a->rs.in_flight * LOSS_THRESH; }

static void watch_round(struct sn_tcp *t, const struct sn_cc_ack *a)
{
	struct sn_bbr *b = t->ccs.bbr;

	b->round_start = a->rs.valid && (int32_t)(a->rs.prior_delivered - (uint32_t)b->round_end) >= 0;
	if (b->round_start) {
		sn_bbr_start_round(t);
		b->round_count++;
		b->rounds_since_probe++;
	}
}

/* Loss outside a probe: until the next one no faster than what came through, but not below 0.7 of what was.
 * The draft does so in every round with a loss, however small: then a path that loses 1 % at random would shrink the window
 * by 1 % a round until the next probe. Here it takes a round that lost more than the design tolerates anyway. */
static void lower_bounds(struct sn_tcp *t)
{
	struct sn_bbr *b = t->ccs.bbr;
	uint32_t lost = t->lost_total - b->round_lost, delivered = (uint32_t)(t->delivered - b->round_delivered);

	b->round_lost = t->lost_total;
	b->round_delivered = t->delivered;
	if (sn_bbr_probing(b) || lost <= (lost + delivered) * LOSS_THRESH)
		return;
	if (b->bw_lo == UINT64_MAX)
		b->bw_lo = sn_bbr_max_bw(b);
	if (b->inflight_lo == UINT32_MAX)
		b->inflight_lo = t->cwnd;
	b->bw_lo = SN_MAX(b->bw_latest, (uint64_t)((double)b->bw_lo * SN_BBR_BETA));
	b->inflight_lo = SN_MAX(b->inflight_latest, (uint32_t)(b->inflight_lo * SN_BBR_BETA));
}

static void watch_aggregation(struct sn_tcp *t, const struct sn_cc_ack *a)
{
	struct sn_bbr *b = t->ccs.bbr;
	double expected = (double)b->bw * (double)(a->now - b->extra_at) * 1e-9;

	if (b->extra_bytes <= expected) {
		b->extra_bytes = 0;
		b->extra_at = a->now;
		expected = 0;
	}
	b->extra_bytes += a->delivered;
	uint32_t extra = (uint32_t)SN_MAX(b->extra_bytes - expected, 0.0);
	extra = SN_MIN(extra, t->cwnd);
	/* A max filter over ten rounds in two halves; one round while the path is not known. */
	uint32_t length = b->full_bw_reached ? EXTRA_ROUNDS : 1;
	if (b->round_start && b->round_count - b->extra_round >= length) {
		b->extra_round = b->round_count;
		b->extra_max[1] = b->extra_max[0];
		b->extra_max[0] = 0;
	}
	b->extra_max[0] = SN_MAX(b->extra_max[0], extra);
}

void sn_bbr_model_ack(struct sn_tcp *t, const struct sn_cc_ack *a)
{
	struct sn_bbr *b = t->ccs.bbr;

	b->loss_round_start = false;
	b->bw_latest = SN_MAX(b->bw_latest, a->rs.rate);
	if (a->rs.valid) {
		b->inflight_latest = SN_MAX(b->inflight_latest, a->rs.delivered);
		if ((int32_t)(a->rs.prior_delivered - (uint32_t)b->loss_round_end) >= 0) {
			b->loss_round_end = t->delivered;
			b->loss_round_start = true;
		}
	}
	watch_round(t, a);
	if (a->rs.rate && (a->rs.rate >= sn_bbr_max_bw(b) || !a->rs.app_limited))
		b->bw_max[0] = SN_MAX(b->bw_max[0], a->rs.rate);
	if (b->loss_round_start)
		lower_bounds(t);
	watch_aggregation(t, a);
}

void sn_bbr_model_done(struct sn_tcp *t, const struct sn_cc_ack *a)
{
	struct sn_bbr *b = t->ccs.bbr;

	if (b->loss_round_start) {
		b->loss_events = 0;
		b->bw_latest = a->rs.rate;
		b->inflight_latest = a->rs.delivered;
	}
	b->bw = SN_MIN(sn_bbr_max_bw(b), b->bw_lo);
}

void sn_bbr_update_min_rtt(struct sn_tcp *t, const struct sn_cc_ack *a)
{
	struct sn_bbr *b = t->ccs.bbr;

	b->probe_rtt_expired = a->now > b->probe_rtt_at + PROBE_RTT_EVERY;
	if (a->rtt && (a->rtt < b->probe_rtt_min || b->probe_rtt_expired)) {
		b->probe_rtt_min = a->rtt;
		b->probe_rtt_at = a->now;
	} else if (a->rtt && a->rtt - b->probe_rtt_min <= b->probe_rtt_min / 128) {
		/* As short as ever but for the burst it came in: the queue is empty, there is no need to empty it. The draft
		 * asks for a round trip below the minimum. */
		b->probe_rtt_at = a->now;
	}
	if (b->probe_rtt_min < b->min_rtt || a->now > b->min_rtt_at + MIN_RTT_FOR) {
		b->min_rtt = b->probe_rtt_min;
		b->min_rtt_at = b->probe_rtt_at;
	}
}
