/* SPDX-License-Identifier: Apache-2.0
 *
 * Building segments: header, options, payload references. A segment's header lies in a pool buffer behind SN_HEADROOM;
 * its payload stays where the application put it and is referenced.
 *
 * Option order: timestamps (12), the owner's (MPTCP), SACK in what is left.
 *   SYN:  MSS 4, window scale 4, SACK-permitted and timestamps 12 = 20: 20 bytes are left
 *   else: timestamps 12: 28 are left, on data also bounded by the MSS
 */
#include "tcp/tcp.h"
#include "wire/checksum.h"

struct build {
	enum sn_seg_kind kind;
	uint8_t flags;
	bool again;
	uint32_t seq;
	const struct sn_tcp_txseg *s; /* DATA and FIN, else NULL; of a unit the first */
	uint32_t segs;                /* in a unit, else 0 */
	uint16_t payload_sum;         /* of what the options speak of */
};

static inline uint32_t window(struct sn_tcp *t)
{
	int32_t left = (int32_t)(t->rcv_adv - t->rcv_nxt);
	uint32_t keep = left > 0 ? (uint32_t)left : 0;

	if (!t->owner)
		return t->shared ? t->adv_wnd : keep;
	uint32_t w = t->up->window(t->owner);
	if (t->shared)
		return w;
	w = SN_MIN(w, t->rcv_tuned);
	/* RFC 9293 3.8.6: the right edge never moves back, and forward only by a worthwhile step. */
	if (w < keep || w - keep < SN_MIN(t->rcv_tuned / 2, t->peer_mss))
		return keep;
	return w;
}

uint32_t sn_tcp_window(struct sn_tcp *t) { return window(t); }

/* The window field, and what was promised with it. */
static inline uint16_t window_field(struct sn_tcp *t, bool syn)
{
	uint32_t w = window(t), ws = syn ? 0 : t->rcv_ws;
	uint32_t field = SN_MIN(w >> ws, 65535u);

	if (!t->shared) {
		uint32_t edge = t->rcv_nxt + (field << ws);
		/* Rounding must not move the edge back either. */
		if (sn_seq_lt(edge, t->rcv_adv) && field < 65535 && w)
			edge = t->rcv_nxt + (++field << ws);
		if (sn_seq_gt(edge, t->rcv_adv))
			t->rcv_adv = edge;
	}
	t->adv_wnd = field << ws;
	return (uint16_t)field;
}

void sn_tcp_promise(struct sn_tcp *t) { (void)window_field(t, true); }

uint32_t sn_tcp_put_syn_options(uint8_t *p, const struct sn_tcp_syn_options *o)
{
	uint32_t n = sn_opt_emit_mss(p, o->mss);

	if (o->ts) {
		uint32_t at = n;
		n += sn_opt_emit_ts(p + n, o->ts_val, o->ts_ecr);
		if (o->sack) { /* takes the place of the two NOPs in front */
			uint8_t sack_ok[4];
			sn_opt_emit_sack_ok(sack_ok);
			memcpy(p + at, sack_ok + 2, 2);
		}
	} else if (o->sack) {
		n += sn_opt_emit_sack_ok(p + n);
	}
	if (o->ws)
		n += sn_opt_emit_wscale(p + n, o->shift);
	return n;
}

static uint32_t put_syn_options(struct sn_tcp *t, uint8_t *p, sn_time now)
{
	struct sn_tcp_syn_options o = {.mss = (uint16_t)sn_tcp_own_mss(t->e, t->port, &t->flow.remote),
				       .ts = t->ts_on,
				       .sack = t->sack_on,
				       .ws = t->ws_on,
				       .shift = t->rcv_ws,
				       .ts_val = sn_tcp_ts(t, now),
				       .ts_ecr = t->ts_recent};

	uint32_t n = sn_tcp_put_syn_options(p, &o);
	return t->tfo ? n + sn_tfo_option(t, p + n) : n;
}

static inline __attribute__((always_inline)) uint32_t put_options(struct sn_tcp *t, uint8_t *p, struct build *b,
								  sn_time now)
{
	bool syn = b->flags & SN_TH_SYN;
	uint32_t n = 0;

	if (syn)
		n = put_syn_options(t, p, now);
	else if (t->ts_on)
		n = sn_opt_emit_ts(p, sn_tcp_ts(t, now), t->ts_recent);
	uint32_t end = SN_TCP_OPT_MAX;
	if (b->s && b->s->len) /* options and payload share the segment */
		end = SN_MIN(end, (t->peer_mss - b->s->len) & ~3u);
	if (t->owner && end > n) {
		struct sn_opt_want want = {.kind = b->kind, .room = end - n, .retransmit = b->again};
		if (b->kind == SN_SEG_DATA) {
			want.ssn = b->seq - t->iss;
			want.len = b->s->len;
			want.dsn = b->s->dsn;
			if (SN_UNLIKELY(sn_txseg_in_unit(b->s))) {
				want.unit = true;
				want.ssn -= b->s->map_off;
				want.len = b->s->map_len;
				want.dsn -= b->s->map_off;
				if (!b->segs)
					b->payload_sum = b->s->map_sum;
			}
			want.payload_sum = b->payload_sum;
		} else if (b->kind == SN_SEG_ACK) {
			want.sack = t->sack_on && (t->nranges || t->dsack_owed);
		}
		uint32_t took = t->up->options(t->owner, &want, p + n);
		SN_ASSERT(took <= want.room && (took & 3) == 0);
		n += took;
	}
	if (!syn && t->sack_on && (t->nranges || t->dsack_owed) && end >= n + 12) {
		struct sn_sack_block blocks[4];
		uint32_t k = sn_tcp_sack_blocks(t, blocks, SN_MIN((end - n - 4) / 8, 4u));
		n += sn_opt_emit_sack(p + n, blocks, k);
		t->dsack_owed = false;
	}
	return n;
}

/* Points tx at `len` bytes of payload from a record's first on. False if they lie in more than SN_TX_REFS pieces
 * or in a buffer of our own. */
static inline bool reference(struct sn_tx *tx, const struct sn_tcp_txseg *s, uint32_t len)
{
	uint32_t left = len, off = s->off;

	if (off == SN_TXS_OWN)
		return false;
	for (struct sn_chunk *c = s->chunk; left; c = c->next) {
		uint32_t n = SN_MIN(c->len - off, left);
		if (n) {
			if (tx->nref == SN_TX_REFS)
				return false;
			tx->ref[tx->nref].data = c->data + off;
			tx->ref[tx->nref].len = n;
			tx->ref[tx->nref].chunk = c;
			tx->nref++;
		}
		left -= n;
		off = 0;
	}
	tx->payload_len = len;
	return true;
}

static uint16_t sum_of(const struct sn_tx *tx)
{
	uint32_t sum = 0, at = 0;

	for (uint32_t i = 0; i < tx->nref; i++) {
		sum = sn_csum_join(sum, sn_csum_partial(tx->ref[i].data, tx->ref[i].len, 0), at);
		at += tx->ref[i].len;
	}
	return sn_csum_fold(sum);
}

/* Many small pieces: they move behind where the longest header ends, and from there to the header once its length is
 * known. */
static bool copy_payload(const struct sn_buf *b, const struct sn_tcp_txseg *s)
{
	uint32_t at = SN_HEADROOM + SN_TCP_HDR_MIN + SN_TCP_OPT_MAX;

	if (at + s->len > b->room)
		return false;
	sn_txseg_read(s, b->base + at);
	return true;
}

/* Inlined into what calls it: for a pure ACK and for data little of it remains. */
static inline __attribute__((always_inline)) bool transmit(struct sn_tcp *t, struct build *b, sn_time now)
{
	struct sn_engine *e = t->e;
	struct sn_tx *tx = sn_engine_tx_slot(e, t->port); /* `ref` beyond nref is never read */
	int32_t sum = -1;
	uint32_t copied = 0;

	tx->port = t->port;
	tx->nref = 0;
	tx->flags = 0;
	tx->seg_size = b->segs ? b->s->len : 0;
	tx->segs = (uint16_t)b->segs;
	tx->hdr = sn_buf_alloc(e->cfg.pool);
	if (SN_UNLIKELY(!tx->hdr)) {
		e->counters.tx_nobuf++;
		return false;
	}
	uint8_t *p = tx->hdr->base + SN_HEADROOM;
	const uint8_t *copy = p + SN_TCP_HDR_MIN + SN_TCP_OPT_MAX;
	if (b->s && b->s->len) {
		if (reference(tx, b->s, b->segs ? b->s->map_len : b->s->len)) {
			if (b->segs ? t->opt_sum : t->want_sum)
				sum = b->payload_sum = sum_of(tx);
		} else if (copy_payload(tx->hdr, b->s)) {
			copied = b->s->len;
			tx->nref = 0;
			if (t->want_sum)
				b->payload_sum = sn_csum_fold(sn_csum_partial(copy, copied, 0));
		} else {
			e->counters.tx_nobuf++;
			sn_buf_free(tx->hdr);
			return false;
		}
	}
	uint8_t flags = b->flags;
	if (SN_UNLIKELY(t->ccx.ecn) && !(b->flags & (SN_TH_SYN | SN_TH_RST)) && sn_ecn_send(t, b->s, b->again, &flags))
		tx->flags |= SN_TX_ECT0;
	uint16_t wnd = window_field(t, b->flags & SN_TH_SYN);
	uint32_t opt_len = put_options(t, p + SN_TCP_HDR_MIN, b, now);
	sn_tcp_put_header(p, t->flow.lport, t->flow.rport, b->seq, b->flags & SN_TH_ACK ? t->rcv_nxt : 0, opt_len,
			  flags, wnd);
	tx->hdr->data = p;
	tx->hdr->len = SN_TCP_HDR_MIN + opt_len;
	if (copied) { /* the net layer sees it as part of the header */
		memmove(p + tx->hdr->len, copy, copied);
		tx->hdr->len += copied;
	}
	if (b->flags & SN_TH_ACK) { /* whatever it is, it carries the ACK that was owed */
		t->rcv_acked = t->rcv_nxt;
		t->ack_now = t->ack_later = false;
	}
	t->segs_sent += SN_MAX(b->segs, 1u);
	e->counters.tcp_tx_segments += SN_MAX(b->segs, 1u);
	if (b->segs)
		sn_net_send_unit(e, t->port, &t->flow.local, &t->flow.remote, tx, now);
	else
		sn_net_send_tcp(e, t->port, &t->flow.local, &t->flow.remote, tx, sum, now);
	return true;
}

static __attribute__((noinline)) bool transmit_control(struct sn_tcp *t, struct build *b, sn_time now)
{
	return transmit(t, b, now);
}

static __attribute__((noinline)) bool transmit_unit(struct sn_tcp *t, struct build *b, sn_time now)
{
	return transmit(t, b, now);
}

static bool emit_syn(struct sn_tcp *t, const struct sn_tcp_txseg *s, sn_time now)
{
	struct build b = {.kind = SN_SEG_SYN, .flags = SN_TH_SYN, .seq = t->iss, .again = t->syn_resent, .s = s};

	if (t->state == SN_TCP_SYN_RCVD) {
		b.kind = SN_SEG_SYNACK;
		b.flags |= SN_TH_ACK;
	}
	b.flags |= sn_ecn_syn_flags(t, b.kind == SN_SEG_SYNACK);
	return transmit_control(t, &b, now);
}

bool sn_tcp_emit_syn(struct sn_tcp *t, sn_time now)
{
	t->tfo = SN_TFO_OFF; /* RFC 7413 4.2.1: only the first one carries more than a SYN ever did */
	return emit_syn(t, NULL, now);
}

bool sn_tcp_emit_first_syn(struct sn_tcp *t, struct sn_chunk *early, sn_time now)
{
	struct sn_tcp_txseg s = {.chunk = early, .len = t->early};

	return emit_syn(t, t->early ? &s : NULL, now);
}

bool sn_tcp_emit_ack(struct sn_tcp *t, uint32_t seq, sn_time now)
{
	struct build b = {.kind = SN_SEG_ACK, .flags = SN_TH_ACK, .seq = seq};

	return transmit(t, &b, now);
}

bool sn_tcp_emit_rst(struct sn_tcp *t, sn_time now)
{
	struct build b = {.kind = SN_SEG_RST, .flags = SN_TH_RST | SN_TH_ACK, .seq = t->snd_nxt};

	t->e->counters.tcp_rst_tx++;
	return transmit_control(t, &b, now);
}

static inline __attribute__((always_inline)) bool emit_record(struct sn_tcp *t, struct sn_tcp_txseg *s, bool again,
							      sn_time now)
{
	struct build b = {
		.kind = s->len ? SN_SEG_DATA : SN_SEG_ACK, .flags = SN_TH_ACK, .seq = s->seq, .s = s, .again = again};

	if (s->flags & SN_TXS_FIN)
		b.flags |= SN_TH_FIN;
	if (s->flags & SN_TXS_PSH)
		b.flags |= SN_TH_PSH;
	if (!transmit(t, &b, now))
		return false;
	sn_rate_sent(t, s, now);
	s->first = s->sent;
	s->sent = t->last_send = now;
	t->prr_out += sn_txseg_size(s);
	if (t->ccx.rate)
		sn_pace_sent(t, sn_txseg_size(s), now);
	return true;
}

bool sn_tcp_emit_again(struct sn_tcp *t, struct sn_tcp_txseg *s, sn_time now)
{
	if (SN_UNLIKELY(s->sends || s->len > t->mss) && !sn_pmtu_again(t, s, now))
		return false;
	if (!emit_record(t, s, true, now))
		return false;
	sn_tcp_undo_sent(t, s, now);
	sn_tcp_note_retransmit(t, s);
	t->retrans++;
	t->bytes_retrans += s->len;
	t->e->counters.tcp_retrans++;
	return true;
}

bool sn_tcp_emit_new(struct sn_tcp *t, struct sn_tcp_txseg *s, sn_time now)
{
	s->seq = t->snd_nxt;
	s->sends = 0;
	if (!emit_record(t, s, false, now))
		return false;
	sn_tcp_txq_append(t, s);
	t->snd_nxt += sn_txseg_size(s);
	if (SN_UNLIKELY(!sn_tcp_rtx_running(t)))
		sn_tcp_rtx_restart(t, now);
	return true;
}

bool sn_tcp_emit_unit(struct sn_tcp *t, struct sn_tcp_txseg *first, uint32_t n, sn_time now)
{
	uint32_t len = first->map_len;
	struct build b = {.kind = SN_SEG_DATA, .flags = SN_TH_ACK, .seq = t->snd_nxt, .s = first, .segs = n};

	for (const struct sn_tcp_txseg *s = first; s; s = s->next)
		b.flags |= s->flags & SN_TXS_PSH ? SN_TH_PSH : 0;
	if (!transmit_unit(t, &b, now))
		return false;
	for (struct sn_tcp_txseg *s = first, *next; s; s = next) {
		next = s->next;
		s->seq = t->snd_nxt;
		s->sends = 0;
		s->map_sum = b.payload_sum;
		sn_rate_sent(t, s, now);
		s->sent = now;
		sn_tcp_txq_append(t, s);
		t->snd_nxt += s->len;
	}
	t->last_send = now;
	t->prr_out += len;
	if (t->ccx.rate)
		sn_pace_sent(t, len, now);
	if (SN_UNLIKELY(!sn_tcp_rtx_running(t)))
		sn_tcp_rtx_restart(t, now);
	return true;
}

void sn_tcp_ack_owed(struct sn_tcp *t, sn_time now)
{
	if (!sn_tcp_emit_ack(t, t->snd_nxt, now)) {
		t->ack_later = true;
		sn_tcp_delack_arm(t, now);
	}
	t->ack_now = false;
}
