/* SPDX-License-Identifier: Apache-2.0
 *
 * The tail probe, RFC 8985 7: when nothing comes back for about two round trips, one segment is sent, so that the ACK
 * tells what of the tail was lost long before RTO would. New data if there is some and the window lets it, else a segment
 * again; if that one mended a loss, the congestion control still hears of it.
 */
#include "tcp/tcp.h"

bool sn_tcp_tlp_wanted(const struct sn_tcp *t)
{
	/* 7.3: without a sample since the last probe RTO must do: its backoff, unlike a probe, lets one be taken. */
	return t->sack_on && t->ca == SN_CA_OPEN && t->srtt && !t->tlp_on && !t->tlp_blind && t->txq &&
	       !t->sacked_out && !t->lost_out && !t->backoff;
}

static bool window_allows(const struct sn_tcp *t)
{
	return t->shared || (int32_t)(t->snd_una + t->snd_wnd - t->snd_nxt) >= (int32_t)t->mss;
}

/* The tail; unless it is so young that its own ACK is still to come and will tell as much as a probe. Then PTO was cut
 * short by the RTO of older segments, and the oldest of them is worth more. */
static struct sn_tcp_txseg *candidate(const struct sn_tcp *t, sn_time now)
{
	return now - t->txq_tail->sent < t->srtt ? t->txq : t->txq_tail;
}

void sn_tcp_tlp_send(struct sn_tcp *t, sn_time now)
{
	uint32_t before = t->snd_nxt;

	SN_ASSERT(t->txq);
	t->e->counters.tcp_tlp++;
	if (t->owner && sn_tcp_can_send(t) && window_allows(t)) {
		t->probing = SN_PROBING_TAIL;
		(t->up->room ? t->up->room : t->up->acked)(t->owner, now);
		t->probing = SN_PROBING_NOT;
		if (t->dead || !t->txq)
			return;
	}
	t->tlp_again = t->snd_nxt == before;
	struct sn_tcp_txseg *s = candidate(t, now);
	if (!t->tlp_again || sn_tcp_emit_again(t, s, now)) {
		t->tlp_on = t->tlp_blind = true;
		t->tlp_end = t->snd_nxt;
		t->tlp_seg = sn_txseg_end(s);
	}
	/* RTO is next, whether the probe could be sent or not. */
	t->rto_at = now + sn_tcp_rto(t);
	sn_tcp_clock_set(t, SN_CLOCK_RTX, t->rto_at);
}

bool sn_tcp_tlp_ack(struct sn_tcp *t, const struct sn_tcp_seg *seg, const struct sn_tcp_ackinfo *info, sn_time now)
{
	if (!t->tlp_on || sn_seq_lt(seg->ack, t->tlp_end))
		return false;
	bool mine = t->tlp_again && info->dsack && info->dup.right == t->tlp_seg;
	/* 7.4.2: both copies arrived; or new data only: RACK knows what is missing; or a duplicate ACK from a peer that does
	 * not report duplicates. */
	bool dup = !info->acked && !seg->len && !seg->nsack;
	if (!t->tlp_again || mine || (dup && seg->ack == t->tlp_end)) {
		t->tlp_on = false;
	} else if (sn_seq_gt(seg->ack, t->tlp_end)) {
		t->tlp_on = false; /* no report, and the peer went on: the probe mended a loss */
		t->e->counters.tcp_tlp_mended++;
		if (t->ca == SN_CA_OPEN) {
			t->cc->on_loss(t, now);
			t->undo_on = false;
		}
	}
	return mine;
}
