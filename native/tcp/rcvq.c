/* SPDX-License-Identifier: Apache-2.0
 *
 * Receiving data: trimming to the window, the out-of-order queue, in-order delivery, what SACK reports (RFC 2018 4,
 * RFC 2883), and when an ACK is owed (RFC 5681 4.2). The queue is sorted, holds no byte twice and is bounded by
 * max_ooo.
 */
#include "tcp/tcp.h"

static uint32_t end_of(const struct sn_buf *b) { return b->seq + b->len; }

static void cut_front(struct sn_buf *b, uint32_t n)
{
	b->data += n;
	b->len -= n;
	b->seq += n;
}

uint32_t sn_tcp_rcv_edge(const struct sn_tcp *t)
{
	if (!t->shared)
		return t->rcv_adv;
	/* A peer with a shared window sends beyond what this flow advertised. */
	return t->rcv_nxt + SN_MAX(t->adv_wnd, t->rcv_space);
}

void sn_tcp_rcvq_free(struct sn_tcp *t)
{
	sn_buf_free_chain(t->ooo);
	t->ooo = t->ooo_tail = t->ooo_hint = NULL;
	t->ooo_count = t->nranges = 0;
}

/* --- SACK ranges: the latest first -------------------------------------------------------------------------------- */

static void add_range(struct sn_tcp *t, uint32_t left, uint32_t right)
{
	uint32_t n = 0;

	/* Ranges that touch the new one melt into it; the others keep their order. */
	for (uint32_t i = 0; i < t->nranges; i++) {
		struct sn_sack_block *r = &t->range[i];
		if (sn_seq_leq(r->left, right) && sn_seq_leq(left, r->right)) {
			if (sn_seq_lt(r->left, left))
				left = r->left;
			if (sn_seq_gt(r->right, right))
				right = r->right;
		} else {
			t->range[n++] = *r;
		}
	}
	if (n == SN_TCP_SACK_RANGES)
		n--;
	for (uint32_t i = n; i > 0; i--)
		t->range[i] = t->range[i - 1];
	t->range[0] = (struct sn_sack_block){left, right};
	t->nranges = n + 1;
}

static void prune_ranges(struct sn_tcp *t)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->nranges; i++)
		if (sn_seq_gt(t->range[i].right, t->rcv_nxt))
			t->range[n++] = t->range[i];
	t->nranges = n;
}

static void report_duplicate(struct sn_tcp *t, uint32_t left, uint32_t right)
{
	t->e->counters.tcp_dup_data++;
	t->dsack = (struct sn_sack_block){left, right};
	t->dsack_owed = true;
	t->ack_now = true;
}

uint32_t sn_tcp_sack_blocks(const struct sn_tcp *t, struct sn_sack_block *out, uint32_t n)
{
	uint32_t k = 0;

	if (t->dsack_owed && k < n)
		out[k++] = t->dsack;
	for (uint32_t i = 0; i < t->nranges && k < n; i++)
		out[k++] = t->range[i];
	return k;
}

/* --- out of order ------------------------------------------------------------------------------------------------- */

/* The last queued buffer that begins at or before `seq`, or NULL. */
static struct sn_buf *place_for(const struct sn_tcp *t, uint32_t seq)
{
	struct sn_buf *at = NULL;

	if (!t->ooo || sn_seq_lt(seq, t->ooo->seq))
		return NULL;
	if (sn_seq_geq(seq, t->ooo_tail->seq))
		return t->ooo_tail;
	at = t->ooo_hint && sn_seq_leq(t->ooo_hint->seq, seq) ? t->ooo_hint : t->ooo;
	while (at->next && sn_seq_leq(at->next->seq, seq))
		at = at->next;
	return at;
}

static void unlink_after(struct sn_tcp *t, struct sn_buf *prev, struct sn_buf *b)
{
	if (prev)
		prev->next = b->next;
	else
		t->ooo = b->next;
	if (t->ooo_tail == b)
		t->ooo_tail = prev;
	if (t->ooo_hint == b)
		t->ooo_hint = prev;
	t->ooo_count--;
}

static void queue(struct sn_tcp *t, struct sn_buf *b)
{
	uint32_t left = b->seq, right = end_of(b);

	t->ack_now = true;
	if (t->ooo_count >= SN_MIN(t->e->cfg.tcp.max_ooo, t->e->ooo_max)) {
		t->e->counters.tcp_ooo_drop++;
		sn_buf_free(b);
		return;
	}
	t->e->counters.tcp_ooo++;
	struct sn_buf *prev = place_for(t, b->seq);
	if (prev && sn_seq_gt(end_of(prev), b->seq)) {
		uint32_t cut = end_of(prev) - b->seq;
		if (cut >= b->len) {
			add_range(t, left, right);
			report_duplicate(t, left, right);
			sn_buf_free(b);
			return;
		}
		cut_front(b, cut);
	}
	struct sn_buf *next;
	while ((next = prev ? prev->next : t->ooo) && sn_seq_lt(next->seq, end_of(b))) {
		if (sn_seq_gt(end_of(next), end_of(b))) {
			b->len = next->seq - b->seq;
			break;
		}
		unlink_after(t, prev, next);
		sn_buf_free(next);
	}
	if (b->len == 0) { /* begins where the next one does */
		sn_buf_free(b);
		return;
	}
	b->next = next;
	if (prev)
		prev->next = b;
	else
		t->ooo = b;
	if (!next)
		t->ooo_tail = b;
	t->ooo_hint = b;
	t->ooo_count++;
	add_range(t, left, right);
}

/* Moves what has become contiguous behind `tail`. */
static void take_contiguous(struct sn_tcp *t, struct sn_buf *tail)
{
	struct sn_buf *b;

	while ((b = t->ooo) && sn_seq_leq(b->seq, t->rcv_nxt)) {
		unlink_after(t, NULL, b);
		if (sn_seq_leq(end_of(b), t->rcv_nxt)) {
			sn_buf_free(b);
			continue;
		}
		cut_front(b, t->rcv_nxt - b->seq);
		t->rcv_nxt = end_of(b);
		tail->next = b;
		tail = b;
	}
	tail->next = NULL;
	prune_ranges(t);
}

/* --- in order ----------------------------------------------------------------------------------------------------- */

static void deliver(struct sn_tcp *t, struct sn_buf *b, sn_time now)
{
	uint32_t from = t->rcv_nxt;

	t->rcv_nxt = end_of(b);
	b->next = NULL;
	if (t->ooo) {
		t->ack_now = true; /* it fills a hole, or part of one */
		take_contiguous(t, b);
	} else {
		sn_tcp_owe_ack(t, now);
	}
	t->bytes_received += t->rcv_nxt - from;
	if (t->owner) {
		t->up->data(t->owner, b, now);
		return;
	}
	sn_buf_free_chain(b);
	/* RFC 1122 4.2.2.13: data that nobody will read. With a shared window it was accounted above: drop it. */
	if (!t->shared)
		sn_tcp_abort(t, SN_E_ABORTED, now);
}

void sn_tcp_receive(struct sn_tcp *t, const struct sn_tcp_seg *seg, struct sn_buf *b, sn_time now)
{
	uint32_t edge = sn_tcp_rcv_edge(t);

	b->seq = seg->seq;
	sn_tcp_data_came(t, seg->len, now);
	if (t->fin_seen && sn_seq_lt(t->fin_seq, edge))
		edge = t->fin_seq;
	if (sn_seq_lt(b->seq, t->rcv_nxt)) {
		uint32_t cut = t->rcv_nxt - b->seq;
		if (cut >= b->len) {
			report_duplicate(t, b->seq, end_of(b));
			sn_buf_free(b);
			return;
		}
		cut_front(b, cut);
	}
	if (!sn_tcp_can_receive(t) || sn_seq_geq(b->seq, edge)) {
		t->e->counters.tcp_out_of_window++;
		t->ack_now = true;
		sn_buf_free(b);
		return;
	}
	if (SN_UNLIKELY(t->e->tight) && b->seq == t->rcv_nxt && t->owner && t->up->admit &&
	    !t->up->admit(t->owner, b, b->seq - t->irs)) {
		t->e->counters.pool_refused++;
		sn_buf_free(b);
		return;
	}
	if (sn_seq_gt(end_of(b), edge))
		b->len = edge - b->seq;
	if (b->seq != t->rcv_nxt) {
		queue(t, b);
		return;
	}
	deliver(t, b, now);
	if (!t->dead)
		sn_tcp_rcv_tune(t, seg, now);
}
