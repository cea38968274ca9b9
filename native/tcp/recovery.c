/* SPDX-License-Identifier: Apache-2.0
 *
 * Loss recovery: RFC 6675 with SACK, RFC 6582 (NewReno) without. Which records are lost is rack.c's word; here is decided
 * when a recovery begins and ends and how much is sent again.
 *
 *   OPEN -> RECOVERY   a record was judged lost, or three duplicate ACKs from a peer without SACK
 *   any  -> LOSS       retransmission timeout
 *   both -> OPEN       snd_una reached what was sent when it began (recovery_point), or it proved spurious (undo.c)
 */
#include "tcp/tcp.h"

static void enter_recovery(struct sn_tcp *t, sn_time now)
{
	t->ca = SN_CA_RECOVERY;
	t->recovery_point = t->snd_nxt;
	t->prr_flight = t->snd_nxt - t->snd_una;
	t->prr_delivered = t->prr_out = 0;
	sn_tcp_undo_begin(t);
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
	if (t->ca == SN_CA_RECOVERY && !t->cc->own_recovery)
		t->cwnd = SN_MAX(t->ssthresh, t->mss);
	t->ca = SN_CA_OPEN;
	t->reno_dups = 0;
	t->force_rtx = false;
	t->frto = SN_FRTO_OFF;
	sn_tcp_rack_recovered(t);
}

void sn_tcp_enter_loss(struct sn_tcp *t, sn_time now)
{
	/* Once per flight: a timeout in the middle of a recovery finds ssthresh set, and cwnd not the window any more. */
	if (t->ca == SN_CA_OPEN) {
		sn_tcp_undo_begin(t);
		t->cc->on_rto(t, now);
	}
	/* RFC 8985 6.3: what was sent lately has its chance yet. */
	sn_time patience = sn_tcp_rack_patience(t);
	sn_tcp_mark_timeout(t, t->sack_on && t->rack && now > patience ? now - patience : now);
	t->rack_at = 0;
	/* RFC 5682 2 step 1: not in a second timeout for the same data. */
	t->frto = t->ca != SN_CA_LOSS && !t->ts_on ? SN_FRTO_FIRST : SN_FRTO_OFF;
	t->ca = SN_CA_LOSS;
	t->recovery_point = t->snd_nxt;
	t->cwnd = t->mss;
}

/* F-RTO, RFC 5682 2.1 and 3.1: were the first ACKs after the timeout on their way when it fired? */
static void frto_input(struct sn_tcp *t, const struct sn_tcp_ackinfo *info, bool dup, sn_time now)
{
	switch (t->frto) {
	case SN_FRTO_FIRST:
		t->frto = SN_FRTO_OFF;
		if (info->acked && !dup && sn_seq_lt(t->snd_una, t->recovery_point)) {
			t->frto = SN_FRTO_HOLD;
			t->frto_nxt = t->snd_nxt;
			t->cwnd = SN_MAX(t->cwnd, sn_tcp_in_flight(t) + 2 * t->mss);
			t->progress = true;
		}
		break;
	case SN_FRTO_SECOND:
		t->frto = SN_FRTO_OFF;
		if (info->orig && t->undo_on)
			sn_tcp_undo(t, info, now);
		else if (dup || info->sacked)
			t->cwnd = 3 * t->mss;
		break;
	}
}

void sn_tcp_frto_settle(struct sn_tcp *t, sn_time now)
{
	SN_ASSERT(t->frto == SN_FRTO_HOLD);
	t->frto = t->snd_nxt == t->frto_nxt ? SN_FRTO_OFF : SN_FRTO_SECOND;
	if (t->frto == SN_FRTO_OFF)
		sn_tcp_send_lost(t, now);
}

void sn_tcp_rack_expired(struct sn_tcp *t, sn_time now)
{
	const struct sn_tcp_ackinfo none = {.lost = true};

	SN_ASSERT(t->txq);
	if (sn_tcp_rack_detect(t, now))
		sn_tcp_recovery(t, &none, false, now);
	sn_tcp_send_lost(t, now);
	if (t->txq)
		sn_tcp_rtx_arm(t, now);
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
		/* No more can have left than was there: who invents duplicates opens no window by it. */
		if (t->reno_dups < SN_TCP_DUPTHRESH || t->reno_dups * t->mss < t->pipe)
			t->reno_dups++;
		if (t->ca == SN_CA_OPEN && t->reno_dups == SN_TCP_DUPTHRESH) {
			sn_tcp_mark_head_lost(t);
			enter_recovery(t, now);
		}
	}
}

void sn_tcp_recovery(struct sn_tcp *t, const struct sn_tcp_ackinfo *info, bool dup, sn_time now)
{
	if (SN_UNLIKELY(t->pmtu.doubt) && info->acked)
		sn_pmtu_progress(t, now);
	if (t->ca != SN_CA_OPEN && sn_seq_geq(t->snd_una, t->recovery_point))
		end_recovery(t);
	if (t->frto)
		frto_input(t, info, dup, now);
	if (t->sack_on) {
		/* lost_out without `lost`: sent during the recovery that just ended, and lost as well. */
		if ((info->lost || t->lost_out) && t->ca == SN_CA_OPEN)
			enter_recovery(t, now);
		if (t->ca == SN_CA_RECOVERY && !t->cc->own_recovery)
			reduce_in_proportion(t, info);
	} else {
		reno_input(t, info, dup, now);
	}
}

void sn_tcp_send_lost(struct sn_tcp *t, sn_time now)
{
	struct sn_tcp_txseg *s;

	if (t->frto == SN_FRTO_HOLD || t->frto == SN_FRTO_SECOND)
		return;
	while ((s = t->lostq)) {
		/* RFC 6675 5 step 4.3: the first retransmission does not wait for pipe to drain. */
		if (!t->force_rtx && sn_tcp_in_flight(t) + sn_txseg_size(s) > t->cwnd)
			break;
		if (!t->force_rtx && sn_pace_blocked(t, now))
			break;
		if (!sn_tcp_emit_again(t, s, now))
			break;
		t->force_rtx = false;
		/* The ACK of this is a round trip away: RTO counts from here (RFC 6675 5.1). */
		if (s == t->txq)
			t->rto_at = now + sn_tcp_rto(t);
		if (t->ca == SN_CA_RECOVERY)
			t->e->counters.tcp_fast_retrans++;
	}
}
