/* SPDX-License-Identifier: Apache-2.0
 *
 * What an acknowledgement does to the sender (RFC 9293 3.10.7.4, fifth check): window, cumulative ACK, SACK, RTT and
 * delivery rate samples, congestion control, retransmission.
 */
#include "tcp/tcp.h"

static uint32_t usec(sn_time t) { return (uint32_t)(t / SN_USEC); }

void sn_tcp_delivered(struct sn_tcp *t, struct sn_tcp_txseg *s, struct sn_tcp_ackinfo *info, sn_time now)
{
	t->delivered += sn_txseg_size(s);
	info->delivered += sn_txseg_size(s);
	/* Of a segment sent twice it may be the first copy: unless that took less than any round trip ever did. */
	if (s->sent > t->rack && (!(s->flags & SN_TXS_EVER) || now - s->sent >= t->min_rtt))
		t->rack = s->sent;
	t->delivered_us = usec(now);
	if (!(s->flags & SN_TXS_EVER)) {
		/* The latest sent of those delivered gives the sample: queueing delay of earlier ones is the ACK's. */
		sn_time rtt = now - s->sent;
		if (!info->rtt || rtt < info->rtt)
			info->rtt = SN_MAX(rtt, (sn_time)1);
	}
	if (!info->has_rate || (int32_t)(s->delivered - info->prior_delivered) > 0) {
		info->has_rate = true;
		info->prior_delivered = s->delivered;
		info->prior_us = s->rate.delivered_us;
		info->send_us = usec(s->sent) - s->rate.first_us;
		info->app_limited = s->flags & SN_TXS_APP_LIMITED;
		t->first_us = usec(s->sent);
	}
}

/* Delivery rate: bytes delivered between the sending of a segment and its acknowledgement, over the longer of the time
 * they took to be sent and to be acknowledged. */
static void rate_sample(struct sn_tcp *t, const struct sn_tcp_ackinfo *info)
{
	if (!info->has_rate)
		return;
	uint32_t bytes = (uint32_t)t->delivered - info->prior_delivered;
	uint32_t us = SN_MAX(t->delivered_us - info->prior_us, info->send_us);
	/* Shorter than any round trip: ACKs were held back and came at once. */
	if (!us || (sn_time)us * SN_USEC < t->min_rtt)
		return;
	uint64_t rate = (uint64_t)bytes * 1000000u / us;
	if (info->app_limited && rate <= t->rate)
		return;
	t->rate = t->rate ? (3 * t->rate + rate) / 4 : rate;
}

static void update_window(struct sn_tcp *t, const struct sn_tcp_seg *seg)
{
	if (sn_seq_lt(t->snd_wl1, seg->seq) || (t->snd_wl1 == seg->seq && sn_seq_leq(t->snd_wl2, seg->ack))) {
		uint32_t wnd = (uint32_t)seg->wnd << t->snd_ws;
		if (wnd > t->snd_wnd)
			t->progress = true;
		t->snd_wnd = wnd;
		t->max_wnd = SN_MAX(t->max_wnd, wnd);
		t->snd_wl1 = seg->seq;
		t->snd_wl2 = seg->ack;
		if (wnd && t->clock == SN_CLOCK_PERSIST) {
			sn_tcp_clock_stop(t);
			t->backoff = 0;
		}
	}
}

static void take_cumulative(struct sn_tcp *t, uint32_t ack, struct sn_tcp_ackinfo *info, sn_time now)
{
	bool again = false;

	info->acked = ack - t->snd_una;
	while (t->txq && sn_seq_leq(sn_txseg_end(t->txq), ack)) {
		struct sn_tcp_txseg *s = t->txq;
		if (!(s->flags & SN_TXS_SACKED))
			sn_tcp_delivered(t, s, info, now);
		again |= s->flags & SN_TXS_EVER;
		if (s->flags & SN_TXS_FIN)
			info->fin = true;
		t->bytes_acked += s->len;
		sn_tcp_txq_drop_head(t);
	}
	/* What lay behind a hole waited for the retransmission: no sample. */
	if (again)
		info->rtt = 0;
	t->snd_una = ack;
	t->backoff = 0;
}

/* A segment was retransmitted: only the echoed timestamp tells which transmission was answered (RFC 7323 4.3). */
static void rtt_from_echo(const struct sn_tcp *t, const struct sn_tcp_seg *seg, struct sn_tcp_ackinfo *info,
			  sn_time now)
{
	if (info->rtt || !info->acked || !t->ts_on || !(seg->opts & SN_OPT_TS) || !seg->ts_ecr)
		return;
	int32_t ms = (int32_t)(sn_tcp_ts(t, now) - seg->ts_ecr);
	if (ms >= 0 && (sn_time)ms * SN_MSEC <= t->e->cfg.tcp.rto_max)
		info->rtt = SN_MAX((sn_time)ms * SN_MSEC, (sn_time)SN_MSEC);
}

void sn_tcp_ack(struct sn_tcp *t, const struct sn_tcp_seg *seg, sn_time now)
{
	struct sn_tcp_ackinfo info = {.prior_pipe = sn_tcp_in_flight(t)};
	bool outstanding = t->txq != NULL, newer = sn_seq_gt(seg->ack, t->snd_una);
	uint32_t old_wnd = t->snd_wnd;

	if (sn_seq_lt(seg->ack, t->snd_una))
		return; /* an old ACK, reordered: its SACK blocks are old as well */
	update_window(t, seg);
	if (newer)
		take_cumulative(t, seg->ack, &info, now);
	if (t->sack_on && seg->nsack && t->txq)
		sn_tcp_sack_apply(t, seg, &info, now);

	/* RFC 5681 2: the definition of a duplicate ACK. */
	bool dup =
		!newer && outstanding && !seg->len && !(seg->flags & (SN_TH_FIN | SN_TH_SYN)) && t->snd_wnd == old_wnd;
	if (dup)
		t->e->counters.tcp_dup_acks++;
	if (!outstanding)
		return;

	rtt_from_echo(t, seg, &info, now);
	if (info.rtt)
		sn_tcp_rtt_sample(t, info.rtt);
	if (t->sacked_out)
		info.lost = sn_tcp_mark_lost(t);
	if (t->ca != SN_CA_OPEN && t->sack_on)
		sn_tcp_mark_lost_again(t);
	if (info.acked && t->ca != SN_CA_RECOVERY) {
		struct sn_cc_ack a = {.acked = info.acked, .rtt = info.rtt, .now = now, .prior_pipe = info.prior_pipe};
		/* In slow start the window may also grow while it is at most twice what is used. */
		a.limited =
			t->limited || t->ca == SN_CA_LOSS || (t->cwnd < t->ssthresh && t->cwnd < 2 * info.prior_pipe);
		t->cc->on_ack(t, &a);
		t->cwnd = SN_MIN(t->cwnd, 1u << 30);
	}
	sn_tcp_recovery(t, &info, dup, now);
	rate_sample(t, &info);

	if (info.acked) {
		if (t->txq)
			sn_tcp_rtx_restart(t, now);
		else if (t->clock == SN_CLOCK_RTX)
			sn_tcp_clock_stop(t);
	}
	if (t->lost_out)
		sn_tcp_send_lost(t, now);
	t->progress |= info.acked || info.sacked || (dup && !t->sack_on);
	if (info.fin)
		sn_tcp_fin_acked(t, now);
}
