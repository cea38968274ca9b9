/* SPDX-License-Identifier: Apache-2.0
 *
 * The connection's send queue: pieces of the application's arena in data sequence order, the only copy of what is not
 * acknowledged. snd_una .. snd_nxt is in some subflow's hands, snd_nxt .. snd_end waits. A piece goes back to the
 * application, in order, when it is DATA_ACKed and no TCP record and no port refers to it any more.
 */
#include "mptcp/conn.h"

enum sn_err sn_send_queue(struct sn_conn *c, const uint8_t *data, uint32_t len)
{
	struct sn_mptcp *m = &c->e->mptcp;

	/* Small sends that lie behind each other become one piece. */
	struct sn_chunk *tail = c->chunks_tail;
	if (tail && tail->data + tail->len == data && tail->len + len <= SN_CHUNK_MAX) {
		tail->len += len;
		c->snd_end += len;
		if (!c->cursor)
			c->cursor = tail;
		return SN_OK;
	}
	uint32_t pieces = (len + SN_CHUNK_MAX - 1) / SN_CHUNK_MAX;
	uint32_t *quota = &m->slot_chunks[c->slot];
	if (m->chunks.count - m->chunks.used < pieces || *quota + pieces > SN_MAX(m->chunks.count / 2, pieces)) {
		c->e->counters.tcp_mem_limit++;
		return SN_E_NOBUFS;
	}
	while (len) {
		struct sn_chunk *k = sn_slab_take(&m->chunks);
		++*quota;
		k->data = data;
		k->len = SN_MIN(len, (uint32_t)SN_CHUNK_MAX);
		k->refs = 1;
		k->dsn = c->snd_end;
		*(c->chunks_tail ? &c->chunks_tail->next : &c->chunks) = k;
		c->chunks_tail = k;
		if (!c->cursor)
			c->cursor = k;
		c->snd_end += k->len;
		data += k->len;
		len -= k->len;
	}
	return SN_OK;
}

struct sn_chunk *sn_send_chunk_at(const struct sn_conn *c, uint64_t dsn)
{
	struct sn_chunk *k = c->chunks;
	while (k && dsn - k->dsn >= k->len)
		k = k->next;
	return k;
}

/* What the peer's window lets go beyond snd_nxt. In fallback TCP itself watches the window. */
static uint64_t window_left(const struct sn_conn *c)
{
	if (!c->mptcp)
		return UINT32_MAX;
	return sn_dsn_lt(c->snd_nxt, c->snd_edge) ? c->snd_edge - c->snd_nxt : 0;
}

void sn_send_push(struct sn_conn *c, sn_time now)
{
	uint32_t exclude = 0;

	c->starved = false;
	if (c->state < SN_CONN_ESTABLISHED || c->dead || c->finished)
		return;
	if (SN_UNLIKELY(c->infinite_due) && c->snd_nxt != c->snd_end)
		sn_conn_go_infinite(c, now);
	if (c->need)
		sn_retrans_push(c, now);
	while (c->snd_nxt != c->snd_end) {
		uint64_t avail = c->snd_end - c->snd_nxt, wnd = window_left(c);
		struct sn_pick p;
		/* RFC 9293 3.8.6.2.1: no small segments into a small window while an acknowledgement is to come. */
		if (!wnd || (wnd < avail && wnd < 1024 && sn_send_outstanding(c)))
			break;
		if (!c->sched->pick(c, exclude, SN_MIN(avail, wnd), &p, now))
			break;
		sn_path_sent(p.sf, now);
		int32_t n = c->ops->send(p.sf->tcp, c->cursor, (uint32_t)(c->snd_nxt - c->cursor->dsn), p.len,
					 c->snd_nxt, now);
		if (n <= 0) {
			exclude |= 1u << p.sf->slot;
			c->starved = true; /* no records or buffers: sn_retrans_check comes back to it */
			continue;
		}
		p.sf->sent_any = true;
		if (!sn_send_outstanding(c)) {
			c->rtx_base = now;
			c->rtx_backoff = 0;
		}
		if (c->mptcp)
			sn_sent_add(c, c->snd_nxt, (uint32_t)n, p.sf->slot);
		c->snd_nxt += (uint32_t)n;
		while (c->cursor && c->snd_nxt - c->cursor->dsn >= c->cursor->len)
			c->cursor = c->cursor->next;
		/* The last segment carried the DATA_FIN in its mapping (sn_mp_options). */
		if (c->mptcp && c->shut && c->fully && c->snd_nxt == c->snd_end && !c->fin_sent) {
			c->fin_sent = true;
			sn_wheel_arm(&c->e->wheel, &c->t_fin, now + 200 * SN_MSEC);
		}
	}
}

void sn_send_window(struct sn_conn *c, uint64_t ack, uint32_t wnd)
{
	uint64_t edge = ack + wnd;
	if (sn_dsn_leq(edge, c->snd_edge))
		return;
	c->snd_edge = edge;
	if (c->snd_nxt != c->snd_end)
		sn_conn_wake(c);
}

void sn_send_data_ack(struct sn_conn *c, uint64_t ack, sn_time now)
{
	/* Only what was sent can be acknowledged; DATA_FIN counts one. */
	uint64_t high = c->snd_nxt + (c->fin_sent ? 1 : 0);
	if (sn_dsn_leq(ack, c->snd_una) || sn_dsn_lt(high, ack))
		return;
	if (c->fin_sent && ack == c->snd_end + 1) {
		ack--;
		if (!c->fin_acked) {
			c->fin_acked = true;
			sn_wheel_cancel(&c->e->wheel, &c->t_fin);
			sn_conn_wake(c);
		}
	}
	if (sn_dsn_leq(ack, c->snd_una))
		return;
	c->bytes_acked += ack - c->snd_una;
	c->rtx_base = now;
	sn_mend_acked(c, ack - c->snd_una, now);
	c->snd_una = ack;
	if (c->rtx_backoff) {
		c->rtx_backoff = 0;
		sn_wheel_cancel(&c->e->wheel, &c->t_rtx); /* it stands far off: sn_retrans_check arms it anew */
	}
	sn_sent_trim(c);
	sn_conn_wake(c);
}

/* Takes the first piece out of the queue. */
static void drop_head(struct sn_conn *c)
{
	struct sn_mptcp *m = &c->e->mptcp;
	struct sn_chunk *k = c->chunks;
	c->chunks = k->next;
	if (!c->chunks)
		c->chunks_tail = NULL;
	if (c->cursor == k)
		c->cursor = k->next;
	c->sent_owed += k->len;
	if (c->slot != SN_SLAB_NONE)
		m->slot_chunks[c->slot]--;
	if (--k->refs == 0) {
		sn_slab_put(&m->chunks, k);
	} else {
		k->next = m->zombies;
		m->zombies = k;
	}
}

void sn_send_release(struct sn_conn *c)
{
	while (c->chunks && c->chunks->refs == 1) {
		uint64_t end = c->chunks->dsn + c->chunks->len;
		if (!sn_dsn_leq(end, c->mptcp ? c->snd_una : c->snd_nxt))
			break;
		if (!c->mptcp && sn_dsn_lt(c->snd_una, end)) {
			c->bytes_acked += end - c->snd_una;
			c->snd_una = end;
		}
		drop_head(c);
	}
}

void sn_send_early(struct sn_conn *c, uint32_t len)
{
	if (c->mptcp) {
		/* What follows moves up to where it began. */
		for (struct sn_chunk *k = c->chunks; k; k = k->next)
			k->dsn -= len;
		c->snd_end -= len;
		c->bytes_acked += len;
	} else {
		c->snd_nxt += len;
	}
	while (c->cursor && c->snd_nxt - c->cursor->dsn >= c->cursor->len)
		c->cursor = c->cursor->next;
	sn_conn_wake(c);
}

void sn_send_unblock(struct sn_conn *c)
{
	const struct sn_chunk *k = c->chunks;

	/* A subflow that got no answer for a whole timeout holds the first piece, which arrived by way of another: the
	 * application would wait for a dead path. TCP goes on with copies of its own. */
	if (!c->mptcp || !k || k->refs < 2 || !sn_dsn_leq(k->dsn + k->len, c->snd_una))
		return;
	for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++) {
		struct sn_subflow *sf = c->sf[i];
		if (sf && sf->tcp && sf->late && !sf->owns)
			sf->owns = c->ops->own(sf->tcp);
	}
	sn_send_release(c);
}

void sn_send_purge(struct sn_conn *c)
{
	/* Frames built but not handed over yet still name these pieces. */
	if (c->chunks)
		sn_engine_flush(c->e);
	while (c->chunks)
		drop_head(c);
	c->cursor = NULL;
	c->snd_nxt = c->snd_una = c->snd_end;
	sn_sent_purge(c);
}

void sn_zombies_sweep(struct sn_engine *e)
{
	struct sn_chunk **p = &e->mptcp.zombies;
	while (*p) {
		struct sn_chunk *k = *p;
		if (k->refs) {
			p = &k->next;
			continue;
		}
		*p = k->next;
		sn_slab_put(&e->mptcp.chunks, k);
	}
}
