/* SPDX-License-Identifier: Apache-2.0
 *
 * One received segment, in the order of RFC 9293 3.10.7: sequence number (with PAWS, RFC 7323 5.3), RST and SYN (with
 * RFC 5961's challenges), ACK, the owner's options, then what it acknowledges, its data and its FIN.
 *
 * A function that may have ended the record returns false when the rest of the segment is not wanted.
 */
#include "tcp/tcp.h"

#define ANSWER_GAP (20 * SN_MSEC)
#define PAWS_AGE   (24 * 24 * 3600 * SN_SEC)

/* An ACK as an answer to something unacceptable: rate limited, so that two hosts cannot answer each other for ever. */
static void answer(struct sn_tcp *t, sn_time now)
{
	if (now < t->answer_at)
		return;
	t->answer_at = now + ANSWER_GAP;
	t->ack_now = true;
}

static void challenge(struct sn_tcp *t, sn_time now)
{
	if (now >= t->answer_at)
		t->e->counters.tcp_challenge_acks++;
	answer(t, now);
}

static bool heard_owner(struct sn_tcp *t, const struct sn_tcp_seg *seg, struct sn_buf *b, sn_time now)
{
	if (!t->owner)
		return true;
	return t->up->segment(t->owner, seg, seg->len ? b : NULL, now) && !t->dead;
}

/* --- SYN_SENT (RFC 9293 3.10.7.3) --------------------------------------------------------------------------------- */

static void syn_sent_input(struct sn_tcp *t, const struct sn_tcp_seg *seg, sn_time now)
{
	bool ack = seg->flags & SN_TH_ACK;

	if (ack && seg->ack - t->snd_nxt > t->early) {
		if (!(seg->flags & SN_TH_RST))
			sn_net_send_rst(t->e, t->port, &t->flow, seg, NULL, 0, now);
		return;
	}
	if (seg->flags & SN_TH_RST) {
		if (!ack)
			return;
		t->e->counters.tcp_rst_rx++;
		if (t->owner)
			t->up->segment(t->owner, seg, NULL, now);
		sn_tcp_finish(t, SN_E_REFUSED, now);
		return;
	}
	if (!(seg->flags & SN_TH_SYN))
		return;
	t->peer_wnd = seg->wnd; /* never scaled in a SYN */
	if (t->owner && !t->up->segment(t->owner, seg, NULL, now)) {
		if (ack) /* the peer believes in a connection */
			sn_net_send_rst(t->e, t->port, &t->flow, seg, NULL, 0, now);
		return;
	}
	if (t->dead)
		return;
	sn_tcp_negotiate(t, seg, now);
	t->snd_wnd = t->max_wnd = seg->wnd;
	t->snd_wl1 = seg->seq;
	if (!ack) { /* simultaneous open */
		sn_tcp_set_state(t, SN_TCP_SYN_RCVD);
		sn_tcp_emit_syn(t, now);
		sn_tcp_rtx_restart(t, now);
		return;
	}
	uint32_t early = seg->ack - t->snd_nxt;
	t->snd_una = t->snd_nxt = t->snd_wl2 = seg->ack;
	t->iss = seg->ack - 1;
	t->ack_now = true;
	if (t->early || (seg->opts & SN_OPT_FASTOPEN))
		sn_tfo_answered(t, seg, early, now);
	sn_tcp_established(t, now);
}

/* --- TIME_WAIT ---------------------------------------------------------------------------------------------------- */

static bool may_reuse(const struct sn_tcp *t, const struct sn_tcp_seg *seg)
{
	if ((seg->flags & (SN_TH_SYN | SN_TH_ACK | SN_TH_RST)) != SN_TH_SYN)
		return false;
	/* RFC 6191: a later timestamp, or a sequence number the old incarnation cannot have used. */
	if (t->ts_on && (seg->opts & SN_OPT_TS))
		return (int32_t)(seg->ts_val - t->ts_recent) > 0 ||
		       (seg->ts_val == t->ts_recent && sn_seq_gt(seg->seq, t->rcv_nxt));
	return sn_seq_gt(seg->seq, t->rcv_nxt);
}

/* Returns true if the buffer was taken. */
static bool time_wait_input(struct sn_tcp *t, const struct sn_tcp_seg *seg, struct sn_buf *b, sn_time now)
{
	if (may_reuse(t, seg)) {
		struct sn_engine *e = t->e;
		struct sn_flow flow = t->flow;
		uint16_t port = t->port;
		sn_tcp_release(t);
		sn_net_tcp_syn(e, port, &flow, seg, b, now);
		return true;
	}
	if (seg->flags & SN_TH_RST) /* RFC 1337: no assassination */
		return false;
	if (seg->flags & SN_TH_FIN)
		sn_tcp_clock_set(t, SN_CLOCK_WAIT, now + t->e->cfg.tcp.time_wait);
	if (seg->len || (seg->flags & (SN_TH_FIN | SN_TH_SYN)) || seg->seq != t->rcv_nxt)
		answer(t, now);
	return false;
}

/* --- synchronised states ------------------------------------------------------------------------------------------ */

static bool paws_rejects(const struct sn_tcp *t, const struct sn_tcp_seg *seg, sn_time now)
{
	return t->ts_on && (seg->opts & SN_OPT_TS) && !(seg->flags & SN_TH_RST) &&
	       (int32_t)(seg->ts_val - t->ts_recent) < 0 && now - t->ts_recent_at < PAWS_AGE;
}

static bool acceptable(struct sn_tcp *t, const struct sn_tcp_seg *seg, sn_time now)
{
	uint32_t end = seg->seq + seg->len + !!(seg->flags & SN_TH_SYN) + !!(seg->flags & SN_TH_FIN);

	if (paws_rejects(t, seg, now)) {
		t->e->counters.tcp_paws++;
		if (seg->len)
			t->ack_now = true;
		else
			answer(t, now);
		return false;
	}
	/* From what was last acknowledged (an ACK overtaken by data is still good) to the right edge, inclusive: a closed
	 * window takes ACK and RST. */
	if (sn_seq_geq(end, t->rcv_acked) && sn_seq_leq(seg->seq, sn_tcp_rcv_edge(t)))
		return true;
	if (seg->flags & SN_TH_RST)
		return false;
	t->e->counters.tcp_out_of_window++;
	if (seg->flags & SN_TH_SYN) {
		challenge(t, now);
	} else if (seg->len) {
		if (sn_seq_leq(end, t->rcv_nxt)) {
			t->dsack = (struct sn_sack_block){seg->seq, seg->seq + seg->len};
			t->dsack_owed = true;
			t->e->counters.tcp_dup_data++;
		}
		t->ack_now = true;
	} else {
		answer(t, now);
	}
	return false;
}

static void reset_received(struct sn_tcp *t, const struct sn_tcp_seg *seg, sn_time now)
{
	if (seg->seq != t->rcv_nxt) { /* RFC 5961 3.2 */
		challenge(t, now);
		return;
	}
	t->e->counters.tcp_rst_rx++;
	if (t->owner)
		t->up->segment(t->owner, seg, NULL, now);
	sn_tcp_finish(t, t->state == SN_TCP_SYN_RCVD && !t->passive ? SN_E_REFUSED : SN_E_RESET, now);
}

static bool ack_acceptable(struct sn_tcp *t, const struct sn_tcp_seg *seg, sn_time now)
{
	if (t->state == SN_TCP_SYN_RCVD) {
		if (seg->ack == t->snd_nxt)
			return true;
		sn_net_send_rst(t->e, t->port, &t->flow, seg, NULL, 0, now);
		return false;
	}
	/* RFC 5961 5.2 */
	if (sn_seq_gt(seg->ack, t->snd_nxt) || sn_seq_lt(seg->ack, t->snd_una - t->max_wnd)) {
		challenge(t, now);
		return false;
	}
	return true;
}

/* The ACK that ends a passive (or simultaneous) open. */
static void handshake_done(struct sn_tcp *t, const struct sn_tcp_seg *seg, sn_time now)
{
	t->snd_una = seg->ack;
	t->irs = t->rcv_nxt - 1; /* what came with the SYN is counted in no relative sequence number */
	t->snd_wnd = t->max_wnd = t->peer_wnd;
	t->snd_wl1 = seg->seq;
	t->snd_wl2 = seg->ack;
	sn_tcp_established(t, now);
}

static void fin_input(struct sn_tcp *t, const struct sn_tcp_seg *seg, sn_time now)
{
	uint32_t at = seg->seq + seg->len;

	if ((seg->flags & SN_TH_FIN) && !t->fin_done) {
		if (!t->fin_seen && sn_seq_geq(at, t->rcv_nxt) && sn_tcp_can_receive(t)) {
			t->fin_seen = true;
			t->fin_seq = at;
		}
		t->ack_now = true;
	} else if (seg->flags & SN_TH_FIN) {
		t->ack_now = true; /* again: our ACK was lost */
	}
	if (t->fin_seen && !t->fin_done && t->rcv_nxt == t->fin_seq)
		sn_tcp_fin_received(t, now);
}

/* Returns true if the buffer was taken. */
static bool synchronised_input(struct sn_tcp *t, const struct sn_tcp_seg *seg, struct sn_buf *b, sn_time now)
{
	if (t->state == SN_TCP_SYN_RCVD && (seg->flags & (SN_TH_SYN | SN_TH_ACK)) == SN_TH_SYN && seg->seq == t->irs) {
		if (now >= t->answer_at) { /* the peer did not get our SYN/ACK */
			t->answer_at = now + ANSWER_GAP;
			t->syn_resent = true;
			sn_tcp_emit_syn(t, now);
		}
		return false;
	}
	struct sn_tcp_seg unsyn;
	if (t->state == SN_TCP_SYN_RCVD && !t->passive && (seg->flags & SN_TH_SYN) && seg->seq == t->irs) {
		/* Simultaneous open: SYN/ACK answers our SYN; only its ACK is new. */
		unsyn = *seg;
		unsyn.flags &= (uint8_t)~SN_TH_SYN;
		unsyn.seq++;
		seg = &unsyn;
	}
	if (!acceptable(t, seg, now))
		return false;
	if (seg->flags & SN_TH_RST) {
		reset_received(t, seg, now);
		return false;
	}
	if (seg->flags & SN_TH_SYN) {
		challenge(t, now);
		return false;
	}
	if (!(seg->flags & SN_TH_ACK) || !ack_acceptable(t, seg, now))
		return false;
	/* RFC 7323 4.3 (2): only from a segment that covers the last ACK sent. */
	if (t->ts_on && (seg->opts & SN_OPT_TS) && sn_seq_leq(seg->seq, t->rcv_acked) &&
	    ((int32_t)(seg->ts_val - t->ts_recent) >= 0 || now - t->ts_recent_at >= PAWS_AGE)) {
		t->ts_recent = seg->ts_val;
		t->ts_recent_at = now;
	}
	t->peer_wnd = (uint32_t)seg->wnd << t->snd_ws;
	t->unanswered = 0;
	if (!heard_owner(t, seg, b, now))
		return false;
	if (t->ccx.ecn)
		sn_ecn_receive(t, seg, b, now);
	if (t->state == SN_TCP_SYN_RCVD)
		handshake_done(t, seg, now);
	else
		sn_tcp_ack(t, seg, now);
	if (t->dead)
		return false;
	bool taken = seg->len;
	if (taken)
		sn_tcp_receive(t, seg, b, now);
	if (!t->dead && ((seg->flags & SN_TH_FIN) || t->fin_seen))
		fin_input(t, seg, now);
	return taken;
}

void sn_tcp_input_any(struct sn_tcp *t, const struct sn_tcp_seg *seg, struct sn_buf *b, sn_time now)
{
	bool taken = false;

	sn_tcp_enter(t);
	t->segs_received++;
	b->seq = seg->seq;
	if (SN_UNLIKELY(t->state == SN_TCP_SYN_SENT))
		syn_sent_input(t, seg, now);
	else if (SN_UNLIKELY(t->state == SN_TCP_TIME_WAIT))
		taken = time_wait_input(t, seg, b, now);
	else
		taken = synchronised_input(t, seg, b, now);
	sn_tcp_input_end(t, b, taken, now);
}
