/* SPDX-License-Identifier: Apache-2.0
 *
 * Connection-level receiving (RFC 8684 3.3): reorder queue by data sequence number, in-order queue for the application,
 * the shared receive window.
 *
 *   rcv_nxt                 DATA_ACK
 *   [rcv_nxt, rcv_edge)     window; ooo lies in it, whatever lies outside is dropped
 *   rq_bytes + held_bytes   in order, not yet given back by the application: what the window lacks of rcv_size
 *
 * The right edge never moves back. Hints: a subflow's data comes in growing order, so the place of its last out-of-order
 * buffer is where the search for the next one starts.
 */
#include "mptcp/conn.h"

enum { SMALL_STEP = 2 * 1460 };

uint32_t sn_recv_window(struct sn_conn *c)
{
	uint32_t size = c->rcv_size, used = c->rq_bytes + c->held_bytes;
	if (SN_UNLIKELY(c->e->tight))
		size = SN_MIN(size, (uint32_t)SN_RCV_TIGHT);
	uint64_t edge = c->rcv_nxt + (used < size ? size - used : 0);
	/* RFC 9293 3.8.6.2.2: the edge moves by worthwhile steps. */
	if (sn_dsn_lt(c->rcv_edge, edge) &&
	    (edge - c->rcv_edge >= SMALL_STEP || c->rcv_edge - c->rcv_nxt >= SMALL_STEP))
		c->rcv_edge = edge;
	if (sn_dsn_lt(c->rcv_edge, c->rcv_nxt)) /* by one: a DATA_FIN needs no window */
		c->rcv_edge = c->rcv_nxt;
	return (uint32_t)(c->rcv_edge - c->rcv_nxt);
}

void sn_recv_credit(struct sn_conn *c, sn_time now)
{
	c->credit = false;
	if (c->peer_fin || c->state < SN_CONN_ESTABLISHED || c->dead)
		return;
	if (!c->mptcp) {
		for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++)
			if (sn_sf_usable(c->sf[i]))
				c->ops->credit(c->sf[i]->tcp, now);
		return;
	}
	sn_recv_window(c);
	if (sn_dsn_leq(c->rcv_edge, c->rcv_adv))
		return;
	uint64_t grown = c->rcv_edge - c->rcv_adv;
	uint64_t left = sn_dsn_lt(c->rcv_nxt, c->rcv_adv) ? c->rcv_adv - c->rcv_nxt : 0;
	if (left < SMALL_STEP && grown >= SMALL_STEP) {
		/* The peer may have stopped: a lost update must not keep it waiting. */
		for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++)
			if (sn_sf_usable(c->sf[i]))
				c->ops->ack_now(c->sf[i]->tcp, now);
	} else if (grown >= SN_MIN(c->rcv_size / 4, SN_MAX(left / 2, (uint64_t)SMALL_STEP))) {
		struct sn_subflow *sf = sn_conn_any_up(c);
		if (sf)
			c->ops->ack_now(sf->tcp, now);
	}
}

void sn_recv_read(struct sn_conn *c, uint32_t n)
{
	uint32_t most = c->e->rcv_most;

	/* Who reads half a buffer gets twice as much: the window keeps ahead of a sender in slow start, and a connection
	 * that nobody reads from never holds more than it began with. */
	c->read_mark += n;
	if (c->rcv_size >= most || c->read_mark < c->rcv_size / 2)
		return;
	c->rcv_size = c->rcv_size > most / 2 ? most : c->rcv_size * 2;
	c->read_mark = 0;
}

/* Appends to the in-order queue. Small pieces are joined, so that tiny segments cannot hold the whole pool. */
static void append(struct sn_conn *c, struct sn_buf *b)
{
	struct sn_buf *t = c->rq_tail;
	c->rcv_nxt += b->len;
	c->bytes_received += b->len;
	if (c->discard) {
		sn_buf_free(b);
		return;
	}
	c->rq_bytes += b->len;
	if (t && sn_buf_join(t, b)) {
		sn_buf_free(b);
		return;
	}
	b->next = NULL;
	*(t ? &t->next : &c->rq) = b;
	c->rq_tail = b;
}

/* Cuts n bytes off the front. */
static void cut(struct sn_buf *b, uint32_t n)
{
	b->data += n;
	b->len -= n;
	b->dsn += n;
}

/* Moves what has become in order. */
static void drain(struct sn_conn *c)
{
	while (c->ooo && sn_dsn_leq(c->ooo->dsn, c->rcv_nxt)) {
		struct sn_buf *b = c->ooo;
		c->ooo = b->next;
		if (!c->ooo)
			c->ooo_tail = NULL;
		c->ooo_count--;
		c->ooo_bytes -= b->len;
		uint64_t old = c->rcv_nxt - b->dsn;
		if (old >= b->len) {
			sn_buf_free(b);
			continue;
		}
		cut(b, (uint32_t)old);
		append(c, b);
	}
}

static void insert_after(struct sn_conn *c, struct sn_buf *at, struct sn_buf *b)
{
	struct sn_buf **p = at ? &at->next : &c->ooo;
	b->next = *p;
	*p = b;
	if (!b->next)
		c->ooo_tail = b;
	c->ooo_count++;
	c->ooo_bytes += b->len;
	c->e->counters.OFOQueue++;
}

/* Files an out-of-order buffer. What is there already wins over what comes twice. */
static void insert(struct sn_conn *c, struct sn_subflow *sf, struct sn_buf *b)
{
	struct sn_buf *at = NULL; /* last buffer that starts at or before b */

	/* Memory is bounded by the window in bytes and by this in buffers. */
	if (c->ooo_count >= SN_MIN(c->rcv_size / 512 + 64, c->e->ooo_max)) {
		c->e->counters.RcvPruned++;
		sn_buf_free(b);
		return;
	}
	if (c->ooo_tail && sn_dsn_leq(c->ooo_tail->dsn, b->dsn)) {
		at = c->ooo_tail;
		c->e->counters.OFOQueueTail++;
	} else {
		struct sn_buf *q = c->ooo;
		if (sf->ooo_hint && sn_dsn_lt(c->rcv_nxt, sf->ooo_hint_dsn) && sn_dsn_leq(sf->ooo_hint_dsn, b->dsn))
			q = at = sf->ooo_hint;
		for (; q && sn_dsn_leq(q->dsn, b->dsn); q = q->next)
			at = q;
	}
	if (at) {
		uint64_t before = b->dsn - at->dsn;
		if (before < at->len) {
			uint32_t twice = at->len - (uint32_t)before;
			if (twice >= b->len) {
				c->e->counters.DuplicateData++;
				sn_buf_free(b);
				return;
			}
			cut(b, twice);
		}
	}
	struct sn_buf *next = at ? at->next : c->ooo;
	if (next && sn_dsn_lt(next->dsn, b->dsn + b->len)) {
		/* What lies behind `next` of a buffer that covers it whole comes again by retransmission. */
		b->len = (uint32_t)(next->dsn - b->dsn);
		if (!b->len) {
			c->e->counters.DuplicateData++;
			sn_buf_free(b);
			return;
		}
	}
	if (at && b->dsn - at->dsn == at->len && sn_buf_join(at, b)) {
		/* Tiny segments beside each other fill one buffer. */
		c->ooo_bytes += b->len;
		c->e->counters.OFOQueue++;
		sn_buf_free(b);
		return;
	}
	insert_after(c, at, b);
	sf->ooo_hint = b;
	sf->ooo_hint_dsn = b->dsn;
}

static void check_fin(struct sn_conn *c, sn_time now)
{
	(void)now;
	if (!c->peer_fin_known || c->peer_fin || c->rcv_nxt != c->peer_fin_dsn)
		return;
	c->rcv_nxt++;
	c->peer_fin = true;
	c->ack_all = true;
	if (c->state == SN_CONN_ESTABLISHED)
		sn_conn_set_state(c, SN_CONN_CLOSING);
	sn_conn_wake(c);
}

void sn_recv_fin(struct sn_conn *c, uint64_t dsn, sn_time now)
{
	if (c->peer_fin_known && c->peer_fin) {
		c->ack_all = true; /* our DATA_ACK was lost: say it again */
		sn_conn_wake(c);
		return;
	}
	if (!c->peer_fin_known) {
		if (sn_dsn_lt(dsn, c->rcv_nxt) || sn_dsn_lt(c->rcv_edge, dsn))
			return;
		c->peer_fin_known = true;
		c->peer_fin_dsn = dsn;
	}
	check_fin(c, now);
}

void sn_recv_data(struct sn_conn *c, struct sn_subflow *sf, struct sn_buf *b, sn_time now)
{
	uint64_t end = b->dsn + b->len;

	if (sn_dsn_leq(end, c->rcv_nxt)) {
		c->e->counters.DuplicateData++;
		c->dup_rx = true; /* the peer may lack a DATA_ACK: no delay */
		c->last_rx = sf;
		sn_conn_wake(c);
		sn_buf_free(b);
		return;
	}
	if (sn_dsn_lt(c->rcv_edge, end) || (c->peer_fin_known && sn_dsn_lt(c->peer_fin_dsn, end))) {
		c->e->counters.RcvPruned++;
		sn_buf_free(b);
		return;
	}
	if (c->app_closed && !c->discard) {
		/* Nobody will read it: as TCP answers data after close() by RST. */
		sn_buf_free(b);
		c->last_err = SN_E_RESET;
		c->doomed = true;
		sn_conn_wake(c);
		return;
	}
	c->last_rx = sf;
	if (sn_dsn_leq(b->dsn, c->rcv_nxt)) {
		cut(b, (uint32_t)(c->rcv_nxt - b->dsn));
		append(c, b);
		drain(c);
		check_fin(c, now);
		sn_conn_wake(c);
	} else {
		insert(c, sf, b);
	}
}

void sn_recv_plain(struct sn_conn *c, struct sn_buf *chain, sn_time now)
{
	(void)now;
	while (chain) {
		struct sn_buf *b = chain;
		chain = b->next;
		if (!b->len) {
			sn_buf_free(b);
		} else if (c->app_closed && !c->discard) {
			sn_buf_free(b);
			c->last_err = SN_E_RESET;
			c->doomed = true;
		} else {
			append(c, b);
		}
	}
	sn_conn_wake(c);
}

static void drop_ooo(struct sn_conn *c)
{
	sn_buf_free_chain(c->ooo);
	c->ooo = c->ooo_tail = NULL;
	c->ooo_bytes = c->ooo_count = 0;
	for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++)
		if (c->sf[i])
			c->sf[i]->ooo_hint = NULL;
}

void sn_recv_purge(struct sn_conn *c)
{
	sn_buf_free_chain(c->rq);
	c->rq = c->rq_tail = NULL;
	c->rq_bytes = 0;
	c->stuck = false;
	drop_ooo(c);
}

void sn_mptcp_prune(struct sn_engine *e, uint32_t most, uint32_t hog)
{
	for (uint32_t i = 0; i < e->mptcp.conns.count; i++) {
		struct sn_conn *c = sn_slab_at(&e->mptcp.conns, i);
		if (!c || c->ooo_count <= most)
			continue;
		bool waits = c->prune_mark == c->rcv_nxt;
		c->prune_mark = c->rcv_nxt;
		if (!waits && c->ooo_count <= hog)
			continue;
		e->counters.RcvPruned += c->ooo_count;
		drop_ooo(c);
	}
}
