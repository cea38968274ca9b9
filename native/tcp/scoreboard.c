/* SPDX-License-Identifier: Apache-2.0
 *
 * What was sent and what is known of it: the list of sent segments, SACK (RFC 2018, RFC 2883), the pipe (RFC 6675), and
 * the two lists for what was lost and what is on its way again. Who is lost is decided in rack.c and recovery.c.
 *
 * SACKed records form runs. The first record of a run points at the last and the last at the first, so that a walk
 * steps over a run at once and two runs join in O(1). A block of a SACK option is looked up from the nearest hint: the
 * runs that were touched lately.
 */
#include "tcp/tcp.h"
#include "wire/checksum.h"

void sn_txseg_drop_refs_many(struct sn_tcp_txseg *s)
{
	uint32_t left = s->len, off = s->off;

	if (off == SN_TXS_OWN) {
		sn_buf_free(s->copy);
		return;
	}
	for (struct sn_chunk *c = s->chunk, *next; left; c = next) {
		uint32_t n = SN_MIN(c->len - off, left);
		next = c->next; /* the owner may take the chunk back as soon as nobody refers to it */
		c->refs--;
		left -= n;
		off = 0;
	}
}

static void replace_hint(struct sn_tcp *t, const struct sn_tcp_txseg *old, struct sn_tcp_txseg *new)
{
	for (int i = 0; i < SN_TCP_SACK_RANGES; i++)
		if (t->sack_hint[i] == old)
			t->sack_hint[i] = new;
}

static bool waits(const struct sn_tcp_txseg *s) { return (s->flags & (SN_TXS_LOST | SN_TXS_RETRANS)) == SN_TXS_LOST; }

/* Into the list of what is to be sent again. New verdicts come in order; a retransmission that was lost too lies below
 * what still waits, right behind the last of its kind. */
static void lostq_insert(struct sn_tcp *t, struct sn_tcp_txseg *s)
{
	struct sn_tcp_txseg *prev = t->lostq_tail;

	if (prev && sn_seq_gt(prev->seq, s->seq)) {
		prev = t->lostq_hint && sn_seq_lt(t->lostq_hint->seq, s->seq) ? t->lostq_hint : NULL;
		struct sn_tcp_txseg *next;
		while ((next = prev ? prev->lnext : t->lostq) && sn_seq_lt(next->seq, s->seq))
			prev = next;
		t->lostq_hint = s;
	}
	s->lprev = prev;
	s->lnext = prev ? prev->lnext : t->lostq;
	*(s->lnext ? &s->lnext->lprev : &t->lostq_tail) = s;
	*(prev ? &prev->lnext : &t->lostq) = s;
	t->lost_out++;
}

static void lostq_remove(struct sn_tcp *t, struct sn_tcp_txseg *s)
{
	*(s->lprev ? &s->lprev->lnext : &t->lostq) = s->lnext;
	*(s->lnext ? &s->lnext->lprev : &t->lostq_tail) = s->lprev;
	if (t->lostq_hint == s)
		t->lostq_hint = s->lprev;
	t->lost_out--;
}

static void rtxq_remove(struct sn_tcp *t, struct sn_tcp_txseg *s)
{
	*(s->lprev ? &s->lprev->lnext : &t->rtxq) = s->lnext;
	*(s->lnext ? &s->lnext->lprev : &t->rtxq_tail) = s->lprev;
}

/* Into the list of retransmissions, by the time of sending: the latest of them goes last without a walk. */
static void rtxq_insert(struct sn_tcp *t, struct sn_tcp_txseg *s)
{
	struct sn_tcp_txseg *prev = t->rtxq_tail;

	while (prev && prev->sent > s->sent)
		prev = prev->lprev;
	s->lprev = prev;
	s->lnext = prev ? prev->lnext : t->rtxq;
	*(s->lnext ? &s->lnext->lprev : &t->rtxq_tail) = s;
	*(prev ? &prev->lnext : &t->rtxq) = s;
}

static void lists_remove(struct sn_tcp *t, struct sn_tcp_txseg *s)
{
	if (s->flags & SN_TXS_RETRANS)
		rtxq_remove(t, s);
	else if (s->flags & SN_TXS_LOST)
		lostq_remove(t, s);
}

/* Takes a record out of sums and lists. */
static void forget(struct sn_tcp *t, struct sn_tcp_txseg *s)
{
	t->pipe -= sn_txseg_pipe(s);
	if (s->flags & SN_TXS_SACKED)
		t->sacked_out--;
	else
		lists_remove(t, s);
}

void sn_tcp_txq_drop_head(struct sn_tcp *t)
{
	struct sn_tcp_txseg *s = t->txq, *next = s->next;

	forget(t, s);
	if (t->loss_edge == s)
		t->loss_edge = next;
	if (s->flags & SN_TXS_RUN) {
		struct sn_tcp_txseg *last = s->run;
		if (last != s) { /* the run goes on */
			next->flags |= SN_TXS_RUN;
			next->run = last;
			last->run = next;
			replace_hint(t, s, next);
		}
	}
	if (s->flags & SN_TXS_SACKED)
		replace_hint(t, s, NULL);
	t->txq = next;
	if (next)
		next->prev = NULL;
	else
		t->txq_tail = NULL;
	sn_txseg_drop_refs(s);
	sn_slab_put(&t->e->tcp.segs, s);
}

void sn_tcp_txq_free(struct sn_tcp *t)
{
	while (t->txq)
		sn_tcp_txq_drop_head(t);
}

void sn_txseg_read(const struct sn_tcp_txseg *s, uint8_t *to)
{
	uint32_t left = s->len, off = s->off;

	if (off == SN_TXS_OWN) {
		memcpy(to, s->copy->data, left);
		return;
	}
	for (const struct sn_chunk *c = s->chunk; left; c = c->next, off = 0) {
		uint32_t n = SN_MIN(c->len - off, left);
		memcpy(to, c->data + off, n);
		to += n;
		left -= n;
	}
}

bool sn_tcp_txq_own(struct sn_tcp *t)
{
	/* Copies of a whole window are no way to use the last buffers. */
	if (t->e->tight)
		return false;
	for (struct sn_tcp_txseg *s = t->txq; s; s = s->next) {
		if (!s->len || s->off == SN_TXS_OWN)
			continue;
		struct sn_buf *b = sn_buf_alloc(t->e->cfg.pool);
		if (!b || s->len > b->room) {
			if (b)
				sn_buf_free(b);
			return false;
		}
		b->data = b->base;
		b->len = s->len;
		sn_txseg_read(s, b->data);
		sn_txseg_drop_refs(s);
		s->copy = b;
		s->off = SN_TXS_OWN;
	}
	return true;
}

static uint16_t payload_sum(const struct sn_tcp_txseg *s)
{
	uint32_t sum = 0, at = 0, off = s->off;

	if (off == SN_TXS_OWN)
		return sn_csum_fold(sn_csum_partial(s->copy->data, s->len, 0));
	for (const struct sn_chunk *c = s->chunk; at < s->len; c = c->next, off = 0) {
		uint32_t n = SN_MIN(c->len - off, s->len - at);
		sum = sn_csum_join(sum, sn_csum_partial(c->data + off, n, 0), at);
		at += n;
	}
	return sn_csum_fold(sum);
}

/* What was said of the whole of it stands: its first copy may still arrive, in pieces as well. */
static void keep_mapping(const struct sn_tcp *t, struct sn_tcp_txseg *s)
{
	if (!sn_txseg_in_unit(s) && t->opt_sum)
		s->map_sum = payload_sum(s);
}

void sn_txseg_trim(struct sn_tcp *t, struct sn_tcp_txseg *s, uint32_t len)
{
	uint32_t pipe = sn_txseg_pipe(s);

	SN_ASSERT(len && len < s->len && !(s->flags & SN_TXS_SACKED));
	keep_mapping(t, s);
	s->seq += len;
	s->dsn += len;
	s->map_off = (uint16_t)(s->map_off + len);
	s->len = (uint16_t)(s->len - len);
	t->pipe -= pipe - sn_txseg_pipe(s);
	if (s->off == SN_TXS_OWN) {
		s->copy->data += len;
		s->copy->len -= len;
		return;
	}
	while (len >= s->chunk->len - s->off) {
		struct sn_chunk *next = s->chunk->next;
		len -= s->chunk->len - s->off;
		s->chunk->refs--;
		s->chunk = next;
		s->off = 0;
	}
	s->off += len;
}

/* The payload from `len` on is r's. */
static bool split_payload(struct sn_tcp *t, struct sn_tcp_txseg *s, struct sn_tcp_txseg *r, uint32_t len)
{
	if (s->off == SN_TXS_OWN) {
		struct sn_buf *b = sn_buf_alloc(t->e->cfg.pool);
		if (!b)
			return false;
		b->data = b->base;
		b->len = s->len - len;
		memcpy(b->data, s->copy->data + len, b->len);
		s->copy->len = len;
		r->copy = b;
		return true;
	}
	struct sn_chunk *c = s->chunk;
	uint32_t off = s->off;
	while (len > c->len - off) {
		len -= c->len - off;
		c = c->next;
		off = 0;
	}
	off += len;
	if (off < c->len) {
		c->refs++; /* both lie in it */
	} else {
		c = c->next;
		off = 0;
	}
	r->chunk = c;
	r->off = off;
	return true;
}

bool sn_txseg_split(struct sn_tcp *t, struct sn_tcp_txseg *s, uint32_t len)
{
	struct sn_tcp_txseg *r = sn_slab_take_dirty(&t->e->tcp.segs);

	SN_ASSERT(len && len < s->len && !(s->flags & SN_TXS_SACKED));
	if (!r) {
		t->e->counters.tcp_mem_limit++;
		return false;
	}
	keep_mapping(t, s);
	*r = *s;
	if (!split_payload(t, s, r, len)) {
		t->e->counters.tx_nobuf++;
		sn_slab_put(&t->e->tcp.segs, r);
		return false;
	}
	r->seq += len;
	r->dsn += len;
	r->map_off = (uint16_t)(r->map_off + len);
	r->len = (uint16_t)(s->len - len);
	s->len = (uint16_t)len;
	s->flags &= (uint8_t) ~(SN_TXS_PSH | SN_TXS_FIN);
	r->prev = s;
	*(r->next ? &r->next->prev : &t->txq_tail) = r;
	s->next = r;
	if (s->flags & (SN_TXS_LOST | SN_TXS_RETRANS)) {
		r->lprev = s;
		*(r->lnext ? &r->lnext->lprev : s->flags & SN_TXS_RETRANS ? &t->rtxq_tail : &t->lostq_tail) = r;
		s->lnext = r;
		t->lost_out += waits(s);
	}
	return true;
}

/* Marks one record SACKed and joins it with the runs beside it. Returns the start of its run. */
static struct sn_tcp_txseg *sack_one(struct sn_tcp *t, struct sn_tcp_txseg *s, struct sn_tcp_ackinfo *info, sn_time now)
{
	sn_tcp_delivered(t, s, info, now);
	info->sacked += sn_txseg_size(s);
	forget(t, s);
	s->flags = (uint8_t)((s->flags & ~(SN_TXS_LOST | SN_TXS_RETRANS)) | SN_TXS_SACKED | SN_TXS_RUN);
	t->sacked_out++;

	struct sn_tcp_txseg *first = s, *last = s;
	if (s->prev && (s->prev->flags & SN_TXS_SACKED))
		first = s->prev->flags & SN_TXS_RUN ? s->prev : s->prev->run;
	if (s->next && (s->next->flags & SN_TXS_SACKED)) {
		last = s->next->run;
		s->next->flags &= (uint8_t)~SN_TXS_RUN;
		replace_hint(t, s->next, first);
	}
	if (first != s)
		s->flags &= (uint8_t)~SN_TXS_RUN;
	first->run = last;
	last->run = first;
	return first;
}

/* The nearest record at or below `seq` that a walk can start from. */
static struct sn_tcp_txseg *start_from(const struct sn_tcp *t, uint32_t seq)
{
	struct sn_tcp_txseg *best = t->txq;

	for (int i = 0; i < SN_TCP_SACK_RANGES; i++) {
		struct sn_tcp_txseg *h = t->sack_hint[i];
		if (h && sn_seq_leq(h->seq, seq) && sn_seq_lt(best->seq, h->seq))
			best = h;
	}
	return best;
}

static void remember_hint(struct sn_tcp *t, struct sn_tcp_txseg *run)
{
	int i = 0;

	while (i < SN_TCP_SACK_RANGES - 1 && t->sack_hint[i] != run)
		i++;
	for (; i > 0; i--)
		t->sack_hint[i] = t->sack_hint[i - 1];
	t->sack_hint[0] = run;
}

static void apply_block(struct sn_tcp *t, const struct sn_sack_block *b, struct sn_tcp_ackinfo *info, sn_time now)
{
	struct sn_tcp_txseg *s = start_from(t, b->left), *run = NULL;

	/* Every SACKed record met here is the start of a run: the walk begins at one or at an unSACKed record, and
	 * steps over runs as a whole. */
	while (s && sn_seq_lt(s->seq, b->right)) {
		if (s->flags & SN_TXS_SACKED) {
			if (sn_seq_gt(sn_txseg_end(s->run), b->left))
				run = s;
			s = s->run->next;
		} else if (sn_seq_geq(s->seq, b->left) && sn_seq_leq(sn_txseg_end(s), b->right)) {
			run = sack_one(t, s, info, now);
			s = run->run->next;
		} else { /* outside, or covered in part only */
			s = s->next;
		}
	}
	if (run)
		remember_hint(t, run);
}

/* RFC 2883 4: the first block lies below the cumulative ACK, or inside the second block. */
static bool is_dsack(const struct sn_tcp_seg *seg)
{
	const struct sn_sack_block *b = seg->sack;

	if (!sn_seq_lt(b[0].left, b[0].right))
		return false;
	if (sn_seq_lt(b[0].left, seg->ack))
		return sn_seq_leq(b[0].right, seg->ack);
	return seg->nsack > 1 && sn_seq_geq(b[0].left, b[1].left) && sn_seq_leq(b[0].right, b[1].right);
}

void sn_tcp_sack_apply(struct sn_tcp *t, const struct sn_tcp_seg *seg, struct sn_tcp_ackinfo *info, sn_time now)
{
	uint32_t i = 0;

	if (is_dsack(seg)) { /* of something this flow sent, not long ago */
		i = 1;
		info->dup = seg->sack[0];
		info->dsack =
			sn_seq_leq(info->dup.right, t->snd_nxt) && sn_seq_gt(info->dup.left, t->snd_una - (1u << 30));
	}
	for (; i < seg->nsack && t->txq; i++) {
		const struct sn_sack_block *b = &seg->sack[i];
		/* Anything that is not within what is outstanding is a peer's mistake. */
		if (!sn_seq_lt(b->left, b->right) || sn_seq_lt(b->left, seg->ack) || sn_seq_leq(b->left, t->snd_una) ||
		    sn_seq_gt(b->right, t->snd_nxt))
			continue;
		apply_block(t, b, info, now);
	}
}

void sn_tcp_mark(struct sn_tcp *t, struct sn_tcp_txseg *s)
{
	SN_ASSERT(!waits(s));
	t->lost_total += sn_txseg_size(s);
	t->pipe -= sn_txseg_pipe(s);
	lists_remove(t, s);
	s->flags = (uint8_t)((s->flags & ~SN_TXS_RETRANS) | SN_TXS_LOST);
	lostq_insert(t, s);
}

void sn_tcp_mark_head_lost(struct sn_tcp *t)
{
	struct sn_tcp_txseg *s = t->txq;

	if (s && !(s->flags & (SN_TXS_SACKED | SN_TXS_LOST)))
		sn_tcp_mark(t, s);
}

void sn_tcp_mark_timeout(struct sn_tcp *t, sn_time before)
{
	/* What the cumulative ACK stands before cannot have been SACKed, unless the peer threw it away (RFC 2018 8). */
	bool reneged = t->txq && (t->txq->flags & SN_TXS_SACKED);

	t->lost_out = t->pipe = 0;
	t->lostq = t->lostq_tail = t->lostq_hint = t->rtxq = t->rtxq_tail = t->loss_edge = NULL;
	if (reneged) {
		t->sacked_out = 0;
		memset(t->sack_hint, 0, sizeof t->sack_hint);
	}
	for (struct sn_tcp_txseg *s = t->txq; s; s = s->next) {
		if (reneged)
			s->flags = (uint8_t)((s->flags & ~(SN_TXS_SACKED | SN_TXS_RUN)) | SN_TXS_EVER);
		if (s->flags & SN_TXS_SACKED)
			continue;
		if (s == t->txq || s->flags & (SN_TXS_LOST | SN_TXS_EVER) || s->sent <= before) {
			if (!waits(s))
				t->lost_total += sn_txseg_size(s);
			s->flags = (uint8_t)((s->flags & ~SN_TXS_RETRANS) | SN_TXS_LOST);
			lostq_insert(t, s);
		} else {
			t->pipe += sn_txseg_pipe(s);
			if (!t->loss_edge)
				t->loss_edge = s;
		}
	}
	t->reno_dups = 0;
}

void sn_tcp_unmark_lost(struct sn_tcp *t)
{
	for (struct sn_tcp_txseg *s = t->lostq, *next; s; s = next) {
		next = s->lnext;
		lostq_remove(t, s);
		s->flags &= (uint8_t)~SN_TXS_LOST;
		if (s->flags & SN_TXS_EVER) {
			s->flags |= SN_TXS_RETRANS;
			rtxq_insert(t, s);
		} else if (!t->loss_edge || sn_seq_lt(s->seq, t->loss_edge->seq)) {
			t->loss_edge = s;
		}
		t->pipe += sn_txseg_pipe(s);
	}
}

void sn_tcp_note_retransmit(struct sn_tcp *t, struct sn_tcp_txseg *s)
{
	t->pipe -= sn_txseg_pipe(s);
	lists_remove(t, s);
	s->flags |= SN_TXS_RETRANS | SN_TXS_EVER;
	t->pipe += sn_txseg_pipe(s);
	s->snd_nxt = t->snd_nxt;
	rtxq_insert(t, s);
	if (s->sends < UINT8_MAX)
		s->sends++;
}
