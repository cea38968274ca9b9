/* SPDX-License-Identifier: Apache-2.0
 *
 * Explicit Congestion Notification. RFC 3168: who sees a mark echoes it (ECE) until CWR says that it was heard; the
 * sender reduces once per window. RFC 8257 (DCTCP): the echo follows the marks exactly, and an ACK leaves at once when
 * they begin or end. Marked as capable is new data only (RFC 3168 6.1.4, 6.1.5), with DCTCP retransmissions as well:
 * behind a low marking threshold they would be the ones that are dropped.
 */
#include "tcp/tcp.h"

uint8_t sn_ecn_syn_flags(struct sn_tcp *t, bool synack)
{
	if (synack)
		return t->ccx.ecn ? SN_TH_ECE : 0;
	/* RFC 3168 6.1.1.1: a SYN that was not answered may have met somebody who drops such SYNs. */
	t->ccx.ecn_ask = !t->syn_resent && (t->e->cfg.tcp.ecn == SN_ECN_ASK || t->cc->exact_ecn);
	return t->ccx.ecn_ask ? SN_TH_ECE | SN_TH_CWR : 0;
}

void sn_ecn_negotiate(struct sn_tcp *t, const struct sn_tcp_seg *syn)
{
	uint8_t bits = syn->flags & (SN_TH_ECE | SN_TH_CWR);

	if (syn->flags & SN_TH_ACK)
		t->ccx.ecn = t->ccx.ecn_ask && bits == SN_TH_ECE;
	else
		t->ccx.ecn = bits == (SN_TH_ECE | SN_TH_CWR) && (t->e->cfg.tcp.ecn != SN_ECN_OFF || t->cc->exact_ecn);
	if (t->ccx.ecn)
		t->e->counters.tcp_ecn++;
}

void sn_ecn_receive(struct sn_tcp *t, const struct sn_tcp_seg *seg, const struct sn_buf *b, sn_time now)
{
	bool marked = b->flags & SN_BUF_CE;

	/* RFC 3168 6.1.5: what was received before says nothing; anybody may have sent it. */
	if (seg->len && sn_seq_leq(seg->seq + seg->len, t->rcv_nxt))
		return;
	if (marked)
		t->e->counters.tcp_ce_rx++;
	if (t->cc->exact_ecn) {
		if (!seg->len || marked == t->ccx.echo)
			return;
		/* RFC 8257 3.2: what was received so far is acknowledged as it was. */
		if (t->ack_later)
			sn_tcp_emit_ack(t, t->snd_nxt, now);
		t->ccx.echo = marked;
		t->ack_now = true;
		return;
	}
	if (seg->flags & SN_TH_CWR)
		t->ccx.echo = false;
	if (marked)
		t->ccx.echo = true;
}

bool sn_ecn_send(struct sn_tcp *t, const struct sn_tcp_txseg *s, bool again, uint8_t *flags)
{
	if (t->ccx.echo)
		*flags |= SN_TH_ECE;
	/* A sender that answers no marks (own_recovery: BBR's model) must not keep routers from dropping instead (RFC 3168 5). */
	if (!s || !s->len || (again && !t->cc->exact_ecn) || t->cc->own_recovery)
		return false;
	if (t->ccx.cwr_owed && !again) {
		*flags |= SN_TH_CWR;
		t->ccx.cwr_owed = false;
	}
	return true;
}

bool sn_ecn_congestion(struct sn_tcp *t)
{
	if (t->ccx.cwr_valid && sn_seq_leq(t->snd_una, t->ccx.cwr_point))
		return false;
	/* A loss in the same window has had its answer (RFC 3168 6.1.2). */
	if (t->ca != SN_CA_OPEN)
		return false;
	t->ccx.cwr_valid = true;
	t->ccx.cwr_point = t->snd_nxt;
	t->ccx.cwr_owed = true;
	t->e->counters.tcp_ecn_reduced++;
	return true;
}
