/* SPDX-License-Identifier: Apache-2.0
 *
 * Loss recovery: RFC 6675 with SACK, RFC 6582 (NewReno) without. Which records are lost is the scoreboard's word;
 * here is decided when a recovery begins and ends and how much is sent again.
 *
 *   OPEN -> RECOVERY   a record was judged lost, or three duplicate ACKs from a peer without SACK
 *   any  -> LOSS       retransmission timeout
 *   both -> OPEN       snd_una reached what was sent when it began (recovery_point)
 */
#include "tcp/tcp.h"

static void enter_recovery(struct sn_tcp *t, sn_time now)
{
	t->ca = SN_CA_RECOVERY;
	t->recovery_point = t->snd_nxt;
	t->prr_flight = t->snd_nxt - t->snd_una;
	t->prr_delivered = t->prr_out = 0;
	t->cc->on_loss(t, now);
	t->force_rtx = true;
}

/* RFC 6937: what is delivered clocks out what is sent, so that at the end as much is in flight as the congestion
 * control wants, and a full queue is not filled again by a burst of retransmissions. */
static void reduce_in_proportion(struct sn_tcp *t, const struct sn_tcp_ackinfo *info)
{
	uint32_t flight = sn_tcp_in_flight(t), may = 0;

	t->prr_delivered += info->delivered;
	if (flight > t->ssthresh) {
		uint64_t due =
			((uint64_t)t->prr_delivered * t->ssthresh + t->prr_flight - 1) / SN_MAX(t->prr_flight, 1u);
		may = due > t->prr_out ? (uint32_t)due - t->prr_out : 0;
	} else {
		uint32_t owed = t->prr_delivered > t->prr_out ? t->prr_delivered - t->prr_out : 0;
		may = SN_MAX(owed, info->delivered);
		if (info->acked && !info->lost) /* the holes are being filled: a little faster */
			may += t->mss;
		may = SN_MIN(may, t->ssthresh - flight);
	}
	t->cwnd = flight + may;
}

static void end_recovery(struct sn_tcp *t)
{
	/* After a timeout slow start has the window. */
	if (t->ca == SN_CA_RECOVERY)
		t->cwnd = SN_MAX(t->ssthresh, t->mss);
	t->ca = SN_CA_OPEN;
	t->reno_dups = 0;
	t->force_rtx = false;
	t->rtx_hint = NULL;
}

void sn_tcp_enter_loss(struct sn_tcp *t, sn_time now)
{
	/* Once per flight: a timeout in the middle of a recovery finds ssthresh set, and cwnd not the window any more. */
	if (t->ca == SN_CA_OPEN)
		t->cc->on_rto(t, now);
	t->ca = SN_CA_LOSS;
	t->recovery_point = t->snd_nxt;
	t->cwnd = t->mss;
	sn_tcp_mark_all_lost(t);
}

/* A peer without SACK: every duplicate ACK says that one segment left the network. */
static void reno_input(struct sn_tcp *t, const struct sn_tcp_ackinfo *info, bool dup, sn_time now)
{
	if (info->acked) {
		uint32_t segs = (info->acked + t->mss - 1) / t->mss;
		t->reno_dups -= SN_MIN(t->reno_dups, segs);
		if (t->ca == SN_CA_OPEN)
			t->reno_dups = 0;
		else if (t->ca == SN_CA_RECOVERY && sn_seq_lt(t->snd_una, t->recovery_point)) {
			/* RFC 6582 3.2 step 3, partial acknowledgment: the next hole begins here. */
			sn_tcp_mark_head_lost(t);
			t->force_rtx = true;
		}
	} else if (dup && t->ca != SN_CA_LOSS) {
		t->reno_dups++;
		if (t->ca == SN_CA_OPEN && t->reno_dups == SN_TCP_DUPTHRESH) {
			sn_tcp_mark_head_lost(t);
			enter_recovery(t, now);
		}
	}
}

void sn_tcp_recovery(struct sn_tcp *t, const struct sn_tcp_ackinfo *info, bool dup, sn_time now)
{
	if (t->ca != SN_CA_OPEN && sn_seq_geq(t->snd_una, t->recovery_point))
		end_recovery(t);
	if (t->sack_on) {
		/* lost_out without `lost`: sent during the recovery that just ended, and lost as well. */
		if ((info->lost || t->lost_out) && t->ca == SN_CA_OPEN)
			enter_recovery(t, now);
		if (t->ca == SN_CA_RECOVERY)
			reduce_in_proportion(t, info);
	} else {
		reno_input(t, info, dup, now);
	}
}

void sn_tcp_send_lost(struct sn_tcp *t, sn_time now)
{
	struct sn_tcp_txseg *s;

	while ((s = sn_tcp_next_lost(t))) {
		/* RFC 6675 5 step 4.3: the first retransmission does not wait for pipe to drain. */
		if (!t->force_rtx && sn_tcp_in_flight(t) + sn_txseg_size(s) > t->cwnd)
			break;
		if (!sn_tcp_emit_seg(t, s, true, now))
			break;
		t->force_rtx = false;
		if (t->ca == SN_CA_RECOVERY)
			t->e->counters.tcp_fast_retrans++;
	}
}
