/* SPDX-License-Identifier: Apache-2.0
 *
 * What applications ask for (enum sn_op) and the work put off to the end of a burst.
 *
 * Every field of a submission is checked here. What no correct application does (an unknown operation, memory outside the
 * send arena, a slot that it does not hold) ends the session; a connection that is gone is a race and gets an answer.
 */
#include "mptcp/conn.h"

enum { KNOWN_FLAGS = SN_OPF_TCP | SN_OPF_CSUM | SN_OPF_FASTOPEN };

/* --- connections by the application's name for them --- */

static struct sn_conn *find(struct sn_engine *e, uint32_t slot, uint32_t id)
{
	struct sn_conn *c = sn_slab_at(&e->mptcp.conns, id & ((1u << SN_CONN_INDEX_BITS) - 1));
	return c && c->id == id && c->slot == slot && c->told ? c : NULL;
}

void sn_conn_forget_app(struct sn_conn *c)
{
	if (c->link.in && c->link.in != &c->e->mptcp.run)
		sn_conn_unlist(c);
	sn_listener_left(c);
	sn_recv_purge(c);
	c->app_closed = true;
	c->slot = SN_SLAB_NONE;
}

static void answer(struct sn_engine *e, uint32_t slot, uint8_t op, const struct sn_sqe *s, enum sn_err res)
{
	struct sn_cqe q = {.op = op, .user = s->user, .res = res, .conn = s->conn, .len = s->len, .lport = s->lport};
	sn_event_post(e, slot, &q); /* an application that lets its ring overflow loses the answer */
}

/* --- listeners --- */

void sn_listener_left(struct sn_conn *c)
{
	if (!c->listener)
		return;
	c->listener->pending--;
	c->listener->half -= c->half;
	c->listener = NULL;
}

bool sn_mptcp_listens(const struct sn_engine *e, uint16_t lport)
{
	for (uint32_t i = 0; i < e->mptcp.listeners.count; i++) {
		const struct sn_listener *l = sn_slab_at(&e->mptcp.listeners, i);
		if (l && l->lport == lport)
			return true;
	}
	return false;
}

static struct sn_listener *find_listener(struct sn_engine *e, uint32_t slot, uint64_t user)
{
	for (uint32_t i = 0; i < e->mptcp.listeners.count; i++) {
		struct sn_listener *l = sn_slab_at(&e->mptcp.listeners, i);
		if (l && l->slot == slot && l->user == user)
			return l;
	}
	return NULL;
}

static enum sn_err listen_on(struct sn_engine *e, uint32_t slot, const struct sn_sqe *s)
{
	struct sn_mptcp *m = &e->mptcp;
	struct sn_addr laddr;

	memcpy(laddr.b, s->laddr, 16);
	if (!s->lport || (s->flags & ~KNOWN_FLAGS) || s->sched > SN_SCHED_ROUNDROBIN || s->cc > SN_CC_DCTCP)
		return SN_E_INVAL;
	if (!sn_addr_is_any(&laddr) && sn_net_addr_port(e, &laddr) < 0)
		return SN_E_ADDRNOTAVAIL;
	if (find_listener(e, slot, s->user))
		return SN_E_EXIST;
	for (uint32_t i = 0; i < m->listeners.count; i++) {
		const struct sn_listener *l = sn_slab_at(&m->listeners, i);
		if (l && l->lport == s->lport &&
		    (sn_laddr_covers(&laddr, &l->laddr) || sn_laddr_covers(&l->laddr, &laddr)))
			return SN_E_ADDRINUSE;
	}
	struct sn_listener *l = m->draining ? NULL : sn_slab_take(&m->listeners);
	if (!l)
		return SN_E_NOBUFS;
	l->flags = s->flags;
	l->sched = s->sched;
	l->cc = s->cc;
	l->lport = s->lport;
	l->slot = slot;
	l->backlog = SN_MIN(SN_MAX(s->len, 1u), 65536u);
	l->user = s->user;
	l->laddr = laddr;
	return SN_OK;
}

/* Ends a listener and what nobody accepted yet. */
static void unlisten(struct sn_engine *e, struct sn_listener *l, sn_time now)
{
	for (uint32_t i = 0; l->pending && i < e->mptcp.conns.count; i++) {
		struct sn_conn *c = sn_slab_at(&e->mptcp.conns, i);
		if (!c || c->listener != l)
			continue;
		sn_listener_left(c);
		sn_conn_fail(c, SN_E_ABORTED, true, NULL, now);
	}
	sn_slab_put(&e->mptcp.listeners, l);
}

/* --- active open --- */

static enum sn_err connect_flow(struct sn_engine *e, const struct sn_sqe *s, struct sn_flow *flow, uint16_t *port)
{
	memcpy(flow->remote.b, s->addr, 16);
	memcpy(flow->local.b, s->laddr, 16);
	flow->rport = s->port;
	flow->lport = s->lport;
	if (!s->port || sn_addr_is_any(&flow->remote) || (s->flags & ~KNOWN_FLAGS) || s->sched > SN_SCHED_ROUNDROBIN ||
	    s->cc > SN_CC_DCTCP)
		return SN_E_INVAL;
	int32_t p = sn_net_route(e, &flow->local, &flow->remote);
	if (p < 0)
		return (enum sn_err)p;
	*port = (uint16_t)p;
	flow->local = *sn_net_source(e, *port, &flow->remote);
	if (!flow->lport)
		return sn_net_port_choose(e, flow);
	/* A port of one's own choice must bring the answers to this worker. */
	if (e->cfg.workers > 1 && sn_engine_port_owner(e, flow->lport) != (int32_t)e->cfg.worker)
		return SN_E_ADDRNOTAVAIL;
	return sn_net_flow_find(e, flow) ? SN_E_ADDRINUSE : SN_OK;
}

/* early: s->len bytes to send first, NULL: nothing. */
static enum sn_err connect_to(struct sn_engine *e, uint32_t slot, const struct sn_sqe *s, const uint8_t *early,
			      sn_time now)
{
	struct sn_flow flow;
	uint16_t port;
	enum sn_err err = e->mptcp.draining ? SN_E_ABORTED : connect_flow(e, s, &flow, &port);
	if (err)
		return err;
	struct sn_conn *c = sn_conn_new(e, slot, now);
	if (!c)
		return SN_E_NOBUFS;
	c->user = s->user;
	c->flow = flow;
	c->csum = e->cfg.csum || (s->flags & SN_OPF_CSUM);
	if (s->sched)
		c->sched = sn_sched_by_id(s->sched);
	c->cc = s->cc;
	if (!(s->flags & SN_OPF_TCP)) {
		if (sn_blackhole_known(e, &flow.remote, now))
			e->counters.MPCapableSYNTXDisabled++;
		else
			c->mptcp = sn_token_new(c);
	}
	if (c->mptcp)
		c->snd_una = c->snd_nxt = c->snd_end = c->idsn + 1;
	c->fastopen = (s->flags & SN_OPF_FASTOPEN) != 0;
	sn_conn_set_state(c, SN_CONN_CONNECTING);
	if (early && sn_send_queue(c, early, s->len) != SN_OK) {
		sn_conn_free(c);
		return SN_E_NOBUFS;
	}
	struct sn_subflow *sf = sn_sf_new(c, c->mptcp ? SN_SF_CAPABLE : SN_SF_PLAIN, &flow, port);
	if (!sf || !sn_sf_open(sf, now)) {
		sn_conn_free(c);
		return SN_E_NOBUFS;
	}
	return SN_OK;
}

/* --- submissions --- */

static bool send_bytes(struct sn_engine *e, uint32_t slot, const struct sn_sqe *s, sn_time now)
{
	const uint8_t *data = sn_channel_tx(e->channel[slot], s->off, s->len);
	struct sn_conn *c = find(e, slot, s->conn);
	enum sn_err err;

	if (!data || !s->len)
		return false;
	if (!c)
		err = SN_E_NOTCONN;
	else if (c->dead || c->finished)
		err = c->err ? c->err : SN_E_PIPE;
	else if (c->shut)
		err = SN_E_PIPE;
	else
		err = sn_send_queue(c, data, s->len);
	if (err)
		answer(e, slot, SN_CQ_ERROR, s, err);
	if (err == SN_E_NOBUFS)
		sn_conn_fail(c, err, true, NULL, now); /* a hole in the stream cannot be mended */
	else if (!err)
		sn_conn_wake(c);
	return true;
}

static bool release(struct sn_engine *e, uint32_t slot, const struct sn_sqe *s, sn_time now)
{
	struct sn_conn *c = find(e, slot, s->conn);
	if (!sn_channel_rx_release(e->channel[slot], s->off))
		return false;
	if (!c)
		return true;
	/* A wrong length only spoils the application's own window. */
	sn_recv_read(c, SN_MIN(s->len, c->held_bytes));
	c->held_bytes -= SN_MIN(s->len, c->held_bytes);
	if (c->slots_out)
		c->slots_out--;
	if (!s->len)
		sn_conn_unread(c, now);
	c->credit = true;
	sn_conn_wake(c);
	return true;
}

static bool set_option(struct sn_engine *e, uint32_t slot, const struct sn_sqe *s, sn_time now)
{
	struct sn_conn *c = find(e, slot, s->conn);

	if (s->off < SN_SET_KEEP_IDLE || s->off > SN_SET_LINGER)
		return false;
	enum sn_err err = c ? sn_conn_set(c, s->off, s->len, now) : SN_OK;
	if (err)
		answer(e, slot, SN_CQ_ERROR, s, err);
	return true;
}

bool sn_mptcp_submit(struct sn_engine *e, uint32_t slot, const struct sn_sqe *s, sn_time now)
{
	struct sn_conn *c;
	struct sn_listener *l;
	const uint8_t *early = NULL;
	enum sn_err err;

	switch (s->op) {
	case SN_OP_NOP: return true;
	case SN_OP_CONNECT:
		if ((s->flags & SN_OPF_FASTOPEN) && s->len) {
			early = sn_channel_tx(e->channel[slot], s->off, s->len);
			if (!early)
				return false;
		}
		err = connect_to(e, slot, s, early, now);
		if (err)
			answer(e, slot, SN_CQ_CONNECTED, s, err);
		return true;
	case SN_OP_LISTEN: answer(e, slot, SN_CQ_LISTENING, s, listen_on(e, slot, s)); return true;
	case SN_OP_UNLISTEN:
		l = find_listener(e, slot, s->user);
		if (l)
			unlisten(e, l, now);
		return true;
	case SN_OP_SEND: return send_bytes(e, slot, s, now);
	case SN_OP_RELEASE: return release(e, slot, s, now);
	case SN_OP_SET: return set_option(e, slot, s, now);
	case SN_OP_ACCEPT:
	case SN_OP_SHUTDOWN:
	case SN_OP_CLOSE:
	case SN_OP_ABORT:
		c = find(e, slot, s->conn);
		if (!c)
			return true;
		if (s->op == SN_OP_ACCEPT) {
			sn_listener_left(c);
		} else if (s->op == SN_OP_SHUTDOWN) {
			sn_conn_shut(c, now);
		} else if (s->op == SN_OP_CLOSE) {
			sn_conn_close(c, now);
		} else {
			c->app_closed = true;
			sn_conn_fail(c, SN_E_ABORTED, true, NULL, now);
			sn_conn_wake(c);
		}
		return true;
	default: return false;
	}
}

/* --- work --- */

void sn_conn_work(struct sn_conn *c, sn_time now)
{
	sn_send_release(c);
	if (c->chunks)
		sn_send_unblock(c);
	sn_close_check(c, now);
	if (!c->dead && !c->finished) {
		sn_send_push(c, now);
		sn_close_fin(c, now);
		sn_close_check(c, now);
		sn_retrans_check(c, now);
		sn_mend_check(c, now);
		if (c->credit)
			sn_recv_credit(c, now);
		if (c->dup_rx && c->last_rx && sn_sf_usable(c->last_rx))
			c->ops->ack_now(c->last_rx->tcp, now);
		c->dup_rx = false;
	}
	if (c->pm_dirty && !c->dead && !c->finished && !c->finishing)
		sn_pm_check(c, now);
	c->pm_dirty = false;
	if ((c->dead || c->finished) && !c->nsf)
		sn_send_purge(c);
	/* The last word waits until nothing refers to the application's memory. */
	if (!(c->dead && c->nsf))
		sn_conn_events(c);
	c->stuck = c->rq != NULL;
	if ((c->dead || c->finished) && !c->nsf && c->slot == SN_SLAB_NONE)
		sn_conn_free(c);
}

/* Connections whose application made room: as many as can use it. */
static void unblock(struct sn_engine *e)
{
	for (uint32_t i = 0; i < e->channels; i++) {
		struct sn_conn_list *l = e->mptcp.blocked[i];
		struct sn_channel *ch = e->channel[i];
		if ((!l[SN_BLOCK_CQ].n && !l[SN_BLOCK_RX].n) || !ch)
			continue;
		uint32_t room = sn_channel_cq_room(ch);
		for (uint32_t n = SN_MIN(room, l[SN_BLOCK_CQ].n); n; n--)
			sn_conn_wake(l[SN_BLOCK_CQ].head);
		for (uint32_t n = SN_MIN(SN_MIN(room, ch->rx_free), l[SN_BLOCK_RX].n); n; n--)
			sn_conn_wake(l[SN_BLOCK_RX].head);
	}
}

uint32_t sn_mptcp_run(struct sn_engine *e, sn_time now)
{
	struct sn_mptcp *m = &e->mptcp;
	uint32_t done = 0;
	bool full = false;

	if (m->zombies)
		sn_zombies_sweep(e);
	unblock(e);
	if (m->run.n)
		sn_engine_flush(e); /* frames built so far may name memory that is given back below */
	for (uint32_t n = m->run.n; n && m->run.head; n--, done++) {
		struct sn_conn *c = m->run.head;
		sn_conn_unlist(c);
		sn_conn_work(c, now);
	}
	for (uint32_t i = 0; i < e->channels; i++)
		full |= m->blocked[i][SN_BLOCK_CQ].n != 0;
	/* Nobody rings when an application takes completions: look again soon. */
	if (full && !sn_timer_armed(&m->retry))
		sn_wheel_arm(&e->wheel, &m->retry, now + SN_MSEC);
	return done;
}

bool sn_mptcp_runnable(const struct sn_engine *e) { return e->mptcp.run.n != 0; }

/* --- the end of a session, of the worker --- */

void sn_mptcp_channel_gone(struct sn_engine *e, uint32_t slot, sn_time now)
{
	struct sn_mptcp *m = &e->mptcp;

	for (uint32_t i = 0; i < m->conns.count; i++) {
		struct sn_conn *c = sn_slab_at(&m->conns, i);
		if (!c || c->slot != slot)
			continue;
		sn_conn_fail(c, SN_E_ABORTED, true, NULL, now);
		for (uint32_t k = 0; k < SN_MAX_SUBFLOWS; k++)
			if (c->sf[k])
				sn_sf_reset(c->sf[k], SN_RST_NONE, now);
		sn_send_purge(c);
		sn_conn_forget_app(c);
		if (!c->nsf)
			sn_conn_free(c);
		else
			sn_conn_wake(c);
	}
	for (uint32_t i = 0; i < m->listeners.count; i++) {
		struct sn_listener *l = sn_slab_at(&m->listeners, i);
		if (l && l->slot == slot)
			unlisten(e, l, now);
	}
	m->slot_chunks[slot] = 0;
}

void sn_mptcp_drain(struct sn_engine *e, sn_time now)
{
	e->mptcp.draining = true;
	for (uint32_t i = 0; i < e->mptcp.conns.count; i++) {
		struct sn_conn *c = sn_slab_at(&e->mptcp.conns, i);
		if (!c)
			continue;
		c->discard = true;
		c->linger_ms = UINT32_MAX;
		sn_conn_close(c, now);
	}
}
