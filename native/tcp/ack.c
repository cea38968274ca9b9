/* SPDX-License-Identifier: Apache-2.0
 *
 * What an acknowledgement does to the sender (RFC 9293 3.10.7.4, fifth check): window, cumulative ACK, SACK, RTT and
 * delivery rate samples, congestion control, retransmission.
 */
#include "tcp/tcp.h"

void sn_tcp_delivered(struct sn_tcp *t, struct sn_tcp_txseg *s, struct sn_tcp_ackinfo *info, sn_time now)
{
	t->delivered += sn_txseg_size(s);
	info->delivered += sn_txseg_size(s);
	if (t->sack_on)
		sn_tcp_rack_update(t, s, info, now);
	if (!(s->flags & SN_TXS_EVER)) {
		info->orig |= t->ca == SN_CA_LOSS && sn_seq_leq(sn_txseg_end(s), t->recovery_point);
		/* The latest sent of those delivered gives the sample: queueing delay of earlier ones is the ACK's. */
		sn_time rtt = now - s->sent;
		if (!info->rtt || rtt < info->rtt)
			info->rtt = SN_MAX(rtt, (sn_time)1);
	}
	t->delivered_at = sn_rate_clock(now);
	sn_rate_newest(t, s, info);
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

static void probe_and_dsack(struct sn_tcp *t, const struct sn_tcp_seg *seg, const struct sn_tcp_ackinfo *info,
			    sn_time now)
{
	bool of_probe = sn_tcp_tlp_ack(t, seg, info, now);

	if (!info->dsack || of_probe)
		return;
	sn_tcp_rack_dsack(t);
	sn_tcp_undo_dsack(t, &info->dup);
}

void sn_tcp_ack(struct sn_tcp *t, const struct sn_tcp_seg *seg, sn_time now)
{
	/* Nothing is in flight, nothing is reported twice: it can only carry a window. */
	if (!t->txq && seg->ack == t->snd_una && !seg->nsack && !t->tlp_on) {
		sn_tcp_update_window(t, seg);
		return;
	}
	struct sn_tcp_ackinfo info = {.prior_pipe = sn_tcp_in_flight(t), .prior_fack = t->rack_fack};
	bool outstanding = t->txq != NULL, newer = sn_seq_gt(seg->ack, t->snd_una);
	uint32_t old_wnd = t->snd_wnd;

	if (sn_seq_lt(seg->ack, t->snd_una))
		return; /* an old ACK, reordered: its SACK blocks are old as well */
	info.lost_before = t->lost_total;
	sn_rate_check_limited(t);
	sn_tcp_update_window(t, seg);
	if (t->ts_on && (seg->opts & SN_OPT_TS) && seg->ts_ecr) {
		info.has_ecr = true;
		info.ecr = seg->ts_ecr;
	}
	if (newer)
		take_cumulative(t, seg->ack, &info, now);
	if (t->sack_on && seg->nsack)
		sn_tcp_sack_apply(t, seg, &info, now);

	/* RFC 5681 2: the definition of a duplicate ACK. RFC 8684 3: but not one that is sent for a signal of MPTCP. */
	bool dup = !newer && outstanding && !seg->len && !(seg->flags & (SN_TH_FIN | SN_TH_SYN)) &&
		   t->snd_wnd == old_wnd && !(seg->mp.present & ~SN_MP_BIT(SN_MP_DSS));
	if (dup)
		t->e->counters.tcp_dup_acks++;
	if (t->tlp_on || info.dsack)
		probe_and_dsack(t, seg, &info, now);
	if (!outstanding) {
		if (t->undo_on && info.dsack)
			sn_tcp_undo_check(t, &info, now);
		return;
	}

	rtt_from_echo(t, seg, &info, now);
	if (info.rtt)
		sn_tcp_rtt_sample(t, info.rtt);
	if (t->undo_on)
		sn_tcp_undo_check(t, &info, now);
	if (t->sacked_out || t->rtxq)
		info.lost = sn_tcp_rack_detect(t, now);
	else
		t->rack_at = 0;
	sn_cc_acked(t, seg, &info, now);
	sn_tcp_recovery(t, &info, dup, now);

	if (info.acked)
		t->rto_at = now + sn_tcp_rto(t);
	if (t->lost_out)
		sn_tcp_send_lost(t, now);
	if (!t->txq && sn_tcp_rtx_running(t))
		sn_tcp_clock_stop(t);
	else if (t->txq && (info.acked || info.sacked || t->clock != SN_CLOCK_TLP))
		sn_tcp_rtx_arm(t, now);
	t->progress |= info.acked || info.sacked || (dup && !t->sack_on);
	if (info.fin)
		sn_tcp_fin_acked(t, now);
}
