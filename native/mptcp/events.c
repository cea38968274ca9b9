/* SPDX-License-Identifier: Apache-2.0
 *
 * Completions of a connection, in this order: CONNECTED or ACCEPT, then SENT, RECV, EOF as they come, at last CLOSED.
 * What does not fit into the ring (or finds no receive slot) stays owed; the connection waits on a blocked list.
 */
#include "mptcp/conn.h"

bool sn_event_post(struct sn_engine *e, uint32_t slot, const struct sn_cqe *cqe)
{
	struct sn_channel *ch = e->channel[slot];
	if (!ch || sn_channel_cq_push(ch, cqe))
		return true;
	e->counters.app_cq_full++;
	return false;
}

static bool post(struct sn_conn *c, const struct sn_cqe *cqe)
{
	if (sn_event_post(c->e, c->slot, cqe))
		return true;
	sn_conn_block(c, SN_BLOCK_CQ);
	return false;
}

/* CONNECTED with success or an error, or ACCEPT. */
static bool tell_open(struct sn_conn *c)
{
	struct sn_cqe q = {
		.op = c->server ? SN_CQ_ACCEPT : SN_CQ_CONNECTED,
		.flags = c->mptcp ? SN_CQF_MPTCP : 0,
		.user = c->user,
		.res = c->owe_open ? SN_OK : (int32_t)c->err,
		.conn = c->owe_open ? c->id : 0,
		.port = c->flow.rport,
		.lport = c->flow.lport,
	};
	memcpy(q.addr, c->flow.remote.b, 16);
	memcpy(q.laddr, c->flow.local.b, 16);
	if (!post(c, &q))
		return false;
	c->told = true;
	return true;
}

/* Fills receive slots with what is in order. False: blocked. */
static bool tell_data(struct sn_conn *c, struct sn_channel *ch)
{
	uint32_t share = SN_MAX(ch->rx_slots / 4, 2u);

	while (c->rq) {
		if (c->slots_out >= share)
			return false; /* RELEASE wakes it */
		if (!sn_channel_cq_room(ch)) {
			c->e->counters.app_cq_full++;
			sn_conn_block(c, SN_BLOCK_CQ);
			return false;
		}
		uint32_t off, n = 0;
		uint8_t *to = sn_channel_rx_take(ch, &off);
		if (!to) {
			sn_conn_block(c, SN_BLOCK_RX);
			return false;
		}
		while (c->rq && n < ch->rx_slot_size) {
			struct sn_buf *b = c->rq;
			uint32_t part = SN_MIN(b->len, ch->rx_slot_size - n);
			memcpy(to + n, b->data, part);
			n += part;
			b->data += part;
			b->len -= part;
			if (b->len)
				break;
			c->rq = b->next;
			if (!c->rq)
				c->rq_tail = NULL;
			sn_buf_free(b);
		}
		struct sn_cqe q = {.op = SN_CQ_RECV, .conn = c->id, .off = off, .len = n};
		if (!sn_channel_cq_push(ch, &q)) { /* there was room: the ring's indices do not make sense */
			sn_channel_rx_untake(ch, off);
			return false;
		}
		sn_channel_rx_hand_out(ch, off);
		c->rq_bytes -= n;
		c->held_bytes += n;
		c->slots_out++;
	}
	return true;
}

void sn_conn_events(struct sn_conn *c)
{
	struct sn_channel *ch = sn_conn_channel(c);
	bool over = c->dead || c->finished;

	if (!ch) {
		if (over)
			sn_conn_forget_app(c);
		return;
	}
	if (!c->told) {
		if (!c->owe_open && !over)
			return;
		/* A connection that a peer began and did not finish is nobody's business. */
		bool silent = c->server && !c->owe_open;
		if (!silent && !tell_open(c))
			return;
		if (!c->owe_open) {
			sn_conn_forget_app(c);
			return;
		}
	}
	if (c->sent_owed) {
		struct sn_cqe q = {.op = SN_CQ_SENT, .conn = c->id, .len = c->sent_owed};
		if (!post(c, &q))
			return;
		c->sent_owed = 0;
	}
	if (c->rq && !c->app_closed && !tell_data(c, ch))
		return;
	if (c->peer_fin && !c->eof_told && !c->app_closed) {
		struct sn_cqe q = {.op = SN_CQ_EOF, .conn = c->id};
		if (!post(c, &q))
			return;
		c->eof_told = true;
	}
	if (over) {
		struct sn_cqe q = {.op = SN_CQ_CLOSED, .conn = c->id, .res = (int32_t)c->err, .user = c->user};
		if (post(c, &q))
			sn_conn_forget_app(c);
	}
}
