/* SPDX-License-Identifier: Apache-2.0
 *
 * Header prediction: what nearly every segment of an established flow is, in one short run. Everything else goes to
 * sn_tcp_input_any() and sn_tcp_ack(), which would do the same with these segments; nothing is decided only here.
 *
 *   expected   ESTABLISHED, no flag but ACK and PSH, the next sequence number, the usual options, ACK of something in
 *              flight or of nothing new
 *   clean ACK  covers whole records, and nothing in flight was SACKed, lost, sent again or is under suspicion: the records
 *              lie in the order of sending, so that the last one alone gives the round trip and RACK's newest
 */
#include "tcp/tcp.h"

static inline bool expected(const struct sn_tcp *t, const struct sn_tcp_seg *seg)
{
	if (t->state != SN_TCP_ESTABLISHED || (seg->flags & ~SN_TH_PSH) != SN_TH_ACK || seg->seq != t->rcv_nxt ||
	    seg->ack - t->snd_una > t->snd_nxt - t->snd_una || (t->fin_wanted | t->fin_seen | t->frto))
		return false;
	return t->ts_on ? seg->opts == SN_OPT_TS && (int32_t)(seg->ts_val - t->ts_recent) >= 0 : seg->opts == 0;
}

/* Payload that continues the stream: in the window, nothing waiting behind it, somebody to take it. */
static inline bool continues(const struct sn_tcp *t, uint32_t len)
{
	uint32_t room = t->shared ? SN_MAX(t->adv_wnd, t->rcv_space) : t->rcv_adv - t->rcv_nxt;

	return len <= room && !t->ooo && !t->e->tight && t->owner;
}

static inline bool clean(const struct sn_tcp *t, uint32_t ack)
{
	_Static_assert(SN_CA_OPEN == 0, "one of the zeros below");
	if (t->ca | t->sacked_out | t->lost_out | t->tlp_on | t->undo_first)
		return false;
	return t->sack_on && !t->rtxq && sn_seq_leq(t->txq->seq + t->txq->len, ack);
}

/* Frees every record that `ack` covers; returns the send time of the last one. */
static inline sn_time take_records(struct sn_tcp *t, uint32_t ack, struct sn_tcp_ackinfo *info)
{
	struct sn_tcp_txseg *s = t->txq, *edge = t->loss_edge;
	uint32_t bytes = 0;
	sn_time sent;

	do {
		struct sn_tcp_txseg *next = s->next;
		sent = s->sent;
		bytes += s->len;
		sn_rate_newest(t, s, info);
		if (edge == s)
			edge = next;
		sn_txseg_drop_refs(s);
		sn_slab_put(&t->e->tcp.segs, s);
		s = next;
	} while (s && sn_seq_leq(s->seq + s->len, ack)); /* no FIN was sent yet */
	*(s ? &s->prev : &t->txq_tail) = NULL;
	t->txq = s;
	t->loss_edge = edge;
	t->pipe -= bytes;
	t->delivered += bytes;
	t->bytes_acked += bytes;
	info->delivered = bytes;
	return sent;
}

/* Not inlined: its frame would be the data path's too. */
static __attribute__((noinline)) void clean_ack(struct sn_tcp *t, const struct sn_tcp_seg *seg, sn_time now)
{
	struct sn_tcp_ackinfo info = {
		.acked = seg->ack - t->snd_una, .prior_pipe = t->pipe, .lost_before = t->lost_total};

	sn_rate_check_limited(t);
	sn_tcp_update_window(t, seg);
	t->delivered_at = sn_rate_clock(now);
	sn_time sent = take_records(t, seg->ack, &info);
	/* The last record, unless a retransmission was sent later still (RFC 8985 6.2). */
	uint32_t end = t->txq ? t->txq->seq : t->snd_nxt;
	if (sn_seq_gt(end, t->rack_fack))
		t->rack_fack = end;
	if (sent >= t->rack) {
		t->rack = sent;
		t->rack_end = end;
		t->rack_rtt = now - sent;
	}
	t->rack_at = 0;
	t->snd_una = seg->ack;
	t->backoff = 0;
	info.rtt = SN_MAX(now - sent, (sn_time)1);
	sn_tcp_rtt_sample(t, info.rtt);
	sn_cc_feed(t, &info, false, now);
	t->rto_at = now + t->rto;
	SN_ASSERT(!t->txq || sn_tcp_tlp_wanted(t));
	if (t->txq)
		sn_tcp_clock_set(t, SN_CLOCK_TLP, SN_MIN(sn_tcp_tlp_time(t, now), t->rto_at));
	else if (sn_tcp_rtx_running(t))
		sn_tcp_clock_stop(t);
	t->progress = true;
}

/* Payload that continues the stream, the first `len` bytes of it in one segment. Takes the chain. */
static inline void take_data(struct sn_tcp *t, const struct sn_tcp_seg *seg, uint32_t len, struct sn_buf *b,
			     sn_time now)
{
	sn_tcp_data_came(t, len, now);
	t->rcv_nxt += seg->len;
	t->bytes_received += seg->len;
	sn_tcp_owe_ack(t, now);
	t->up->data(t->owner, b, now);
	if (!t->shared && t->rcv_tuned < t->rcv_space && !t->dead)
		sn_tcp_rcv_tune(t, seg, now);
}

/* What of an expected segment comes before its payload. False: the payload is not wanted. */
static inline __attribute__((always_inline)) bool take_header(struct sn_tcp *t, const struct sn_tcp_seg *seg,
							      struct sn_buf *b, sn_time now)
{
	if (t->ts_on && sn_seq_leq(seg->seq, t->rcv_acked)) { /* RFC 7323 4.3 (2) */
		t->ts_recent = seg->ts_val;
		t->ts_recent_at = now;
	}
	t->peer_wnd = (uint32_t)seg->wnd << t->snd_ws;
	t->unanswered = 0;
	if (t->owner && (!t->up->segment(t->owner, seg, seg->len ? b : NULL, now) || t->dead))
		return false;
	if (SN_UNLIKELY(t->ccx.ecn))
		sn_ecn_receive(t, seg, b, now);
	if (t->txq && seg->ack != t->snd_una && clean(t, seg->ack))
		clean_ack(t, seg, now);
	else if (!t->txq && !t->tlp_on) /* nothing in flight: it can only carry a window */
		sn_tcp_update_window(t, seg);
	else
		sn_tcp_ack(t, seg, now);
	return seg->len && !t->dead;
}

static void input_expected(struct sn_tcp *t, const struct sn_tcp_seg *seg, struct sn_buf *b, sn_time now)
{
	sn_tcp_enter(t);
	t->segs_received++;
	b->seq = seg->seq;
	bool taken = take_header(t, seg, b, now);
	if (taken && SN_LIKELY(continues(t, seg->len))) {
		b->next = NULL;
		take_data(t, seg, seg->len, b, now);
	} else if (taken) {
		sn_tcp_receive(t, seg, b, now);
	}
	sn_tcp_input_end(t, b, taken, now);
}

void sn_tcp_input(struct sn_tcp *t, const struct sn_tcp_seg *seg, struct sn_buf *b, sn_time now)
{
	if (SN_LIKELY(expected(t, seg)))
		input_expected(t, seg, b, now);
	else
		sn_tcp_input_any(t, seg, b, now);
}

/* One after the other, as if they had come like this. The flow may end on the way. */
static __attribute__((noinline)) void input_singly(struct sn_tcp *t, const struct sn_tcp_seg *run, struct sn_buf *chain,
						   sn_time now)
{
	struct sn_tcp_seg seg = *run;

	sn_tcp_enter(t);
	while (chain && !t->dead) {
		struct sn_buf *b = chain;

		chain = b->next;
		b->next = NULL;
		seg.len = b->len;
		seg.flags = chain ? run->flags & ~SN_TH_PSH : run->flags;
		sn_tcp_input(t, &seg, b, now);
		seg.seq += seg.len;
	}
	sn_buf_free_chain(chain);
	sn_tcp_leave(t);
}

/* Payload that something in the header made a case for the general path. */
static __attribute__((noinline)) void receive_each(struct sn_tcp *t, const struct sn_tcp_seg *run, struct sn_buf *chain,
						   sn_time now)
{
	struct sn_tcp_seg seg = *run;

	while (chain) {
		struct sn_buf *b = chain;

		chain = b->next;
		b->next = NULL;
		seg.len = b->len;
		if (!t->dead)
			sn_tcp_receive(t, &seg, b, now);
		else
			sn_buf_free(b);
		seg.seq += seg.len;
	}
}

/* One look at the header, one ACK, one call to the owner for all of them. */
void sn_tcp_input_run(struct sn_tcp *t, const struct sn_tcp_seg *seg, struct sn_buf *chain, sn_time now)
{
	uint32_t seq = seg->seq;

	/* A peer in slow start counts on every ACK. */
	if (!expected(t, seg) || !continues(t, seg->len) || t->quick) {
		input_singly(t, seg, chain, now);
		return;
	}
	sn_tcp_enter(t);
	for (struct sn_buf *b = chain; b; b = b->next) {
		t->segs_received++;
		b->seq = seq;
		seq += b->len;
	}
	if (take_header(t, seg, chain, now)) {
		if (SN_LIKELY(continues(t, seg->len)))
			take_data(t, seg, chain->len, chain, now);
		else
			receive_each(t, seg, chain, now);
	} else {
		sn_buf_free_chain(chain);
	}
	sn_tcp_input_end(t, NULL, true, now);
}
