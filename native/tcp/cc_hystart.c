/* SPDX-License-Identifier: Apache-2.0
 *
 * Slow start with HyStart++ (RFC 9406): when the round trip grows, conservative slow start (CSS) goes on at a quarter of
 * the pace; five rounds of it end slow start, a shrinking round trip takes it back.
 */
#include "tcp/tcp.h"

#define MIN_RTT_THRESH (4 * SN_MSEC)
#define MAX_RTT_THRESH (16 * SN_MSEC)
enum {
	MIN_RTT_DIVISOR = 8,
	N_RTT_SAMPLE = 8,
	CSS_GROWTH_DIVISOR = 4,
	CSS_ROUNDS = 5,
	L = 8 /* segments that one ACK may open the window by, without pacing */
};

void sn_hystart_init(struct sn_hystart *h, uint32_t snd_nxt)
{
	memset(h, 0, sizeof *h);
	h->last_min = h->cur_min = h->css_base = SN_TIME_NEVER;
	h->round_end = snd_nxt;
	h->on = true;
}

static void next_round(struct sn_tcp *t, struct sn_hystart *h)
{
	h->last_min = h->cur_min;
	h->cur_min = SN_TIME_NEVER;
	h->samples = 0;
	h->round_end = t->snd_nxt;
	if (h->css && ++h->css_rounds >= CSS_ROUNDS) {
		t->ssthresh = t->cwnd;
		h->on = false;
	}
}

static void watch_rtt(struct sn_hystart *h, sn_time rtt)
{
	if (rtt < h->cur_min)
		h->cur_min = rtt;
	if (h->samples < UINT8_MAX)
		h->samples++;
	if (h->samples < N_RTT_SAMPLE)
		return;
	if (h->css) {
		if (h->cur_min < h->css_base) { /* the delay went away: it was no queue of ours */
			h->css = false;
			h->css_base = SN_TIME_NEVER;
		}
	} else if (h->last_min != SN_TIME_NEVER) {
		sn_time thresh = SN_MAX(MIN_RTT_THRESH, SN_MIN(h->last_min / MIN_RTT_DIVISOR, MAX_RTT_THRESH));
		if (h->cur_min >= h->last_min + thresh) {
			h->css = true;
			h->css_base = h->cur_min;
			h->css_rounds = 0;
		}
	}
}

uint32_t sn_slow_start(struct sn_tcp *t, struct sn_hystart *h, const struct sn_cc_ack *a)
{
	/* After a timeout what is acknowledged may have been sent long ago: RFC 3465 2.3. */
	uint32_t most = t->ca == SN_CA_LOSS ? 2 * t->mss : t->ccx.rate ? UINT32_MAX : L * t->mss;
	uint32_t grow = SN_MIN(a->acked, most);
	uint32_t rest = a->acked - grow;

	if (h->on && a->rtt)
		watch_rtt(h, a->rtt);
	if (h->on && h->css)
		grow /= CSS_GROWTH_DIVISOR;
	if (t->cwnd + grow > t->ssthresh) {
		rest += t->cwnd + grow - t->ssthresh;
		grow = t->ssthresh - t->cwnd;
	} else {
		rest = 0;
	}
	t->cwnd += grow;
	if (h->on && sn_seq_geq(t->snd_una, h->round_end))
		next_round(t, h);
	return rest;
}
