/* SPDX-License-Identifier: Apache-2.0
 *
 * SYNs of peers: new connections for listeners, joins for connections (RFC 8684 3.1, 3.2).
 *
 * What a SYN alone can take is bounded: handshakes under way hold at most a quarter of the connections, joins leave a
 * quarter of the subflows for first ones. When a backlog or that quarter is full, SYNs are answered by cookies (cookie.c).
 * Where these are switched off, a handshake that makes no progress for HALF_PATIENCE makes room; a younger one does not, so
 * that a crowd is not taken for a flood. A listener that has as many connections to accept as it said gets no more.
 */
#include "mptcp/conn.h"

enum { HALF_LOOK = 64 }; /* handshakes looked at for one of the same listener */
#define HALF_PATIENCE SN_SEC

/* --- handshakes under way --- */

static void half_enter(struct sn_conn *c)
{
	struct sn_mptcp *m = &c->e->mptcp;

	c->half = true;
	c->half_prev = m->half_tail;
	*(m->half_tail ? &m->half_tail->half_next : &m->half_head) = c;
	m->half_tail = c;
	m->half++;
	c->listener->half++;
}

void sn_half_leave(struct sn_conn *c)
{
	struct sn_mptcp *m = &c->e->mptcp;

	if (!c->half)
		return;
	*(c->half_prev ? &c->half_prev->half_next : &m->half_head) = c->half_next;
	*(c->half_next ? &c->half_next->half_prev : &m->half_tail) = c->half_prev;
	c->half_next = c->half_prev = NULL;
	c->half = false;
	m->half--;
	if (c->listener)
		c->listener->half--;
}

/* Ends the oldest handshake (of one listener, or NULL: of any) that is past its patience. */
static bool half_evict(struct sn_engine *e, const struct sn_listener *l, sn_time now)
{
	struct sn_conn *c = e->mptcp.half_head;

	for (uint32_t i = 0; l && c && c->listener != l; i++)
		c = i < HALF_LOOK ? c->half_next : NULL;
	if (!c || now - c->opened < HALF_PATIENCE)
		return false;
	e->counters.tcp_syn_evicted++;
	sn_conn_fail(c, SN_E_TIMEDOUT, false, NULL, now);
	/* Nobody was told of it and TCP is not in the middle of a call for it. */
	if (!c->nsf)
		sn_conn_free(c);
	return true;
}

/* Handshakes under way hold all that they may. */
static bool half_full(const struct sn_engine *e) { return e->mptcp.half >= SN_MAX(e->mptcp.conns.count / 4, 1u); }

static bool wants_cookie(const struct sn_engine *e, const struct sn_listener *l)
{
	uint8_t mode = e->tcp_ops->cookie ? e->cfg.tcp.cookies : SN_COOKIES_OFF;

	return mode == SN_COOKIES_ALWAYS || (mode == SN_COOKIES_PRESSED && (l->pending >= l->backlog || half_full(e)));
}

/* Is there room for one more handshake? Makes it, if need be. */
static bool half_room(struct sn_engine *e, const struct sn_listener *l, sn_time now)
{
	const struct sn_slab *conns = &e->mptcp.conns;

	if (l->pending >= l->backlog && (!half_evict(e, l, now) || l->pending >= l->backlog))
		return false;
	return !(half_full(e) || conns->used == conns->count) || half_evict(e, NULL, now);
}

struct sn_conn *sn_conn_for(struct sn_engine *e, struct sn_listener *l, const struct sn_flow *flow, sn_time now)
{
	struct sn_conn *c = sn_conn_new(e, l->slot, now);

	if (!c)
		return NULL;
	c->listener = l;
	l->pending++;
	c->user = l->user;
	c->server = true;
	c->flow = *flow;
	c->csum = e->cfg.csum || (l->flags & SN_OPF_CSUM);
	if (l->sched)
		c->sched = sn_sched_by_id(l->sched);
	c->cc = l->cc;
	sn_conn_set_state(c, SN_CONN_CONNECTING);
	return c;
}

/* --- SYNs --- */

static enum sn_syn_verdict refuse(struct sn_engine *e, enum sn_rst_reason why, uint8_t *opts, uint32_t *opt_len)
{
	if (why != SN_RST_NONE) {
		*opt_len = sn_mp_emit_tcprst(opts, 0, (uint8_t)why);
		e->counters.MPRstTx++;
	}
	return SN_SYN_REFUSE;
}

static enum sn_syn_verdict take_join(struct sn_engine *e, uint16_t port, const struct sn_flow *flow,
				     const struct sn_tcp_seg *syn, uint32_t *owner, uint8_t *opts, uint32_t *opt_len,
				     sn_time now)
{
	const struct sn_mp_join *j = &syn->mp.join;
	struct sn_conn *c = sn_token_find(e, j->token);
	uint8_t h[32];

	if (!c && j->token % e->cfg.workers != e->cfg.worker) {
		*owner = j->token % e->cfg.workers;
		return SN_SYN_FORWARD;
	}
	e->counters.MPJoinSynRx++;
	e->counters.MPJoinSynBackupRx += j->backup != 0;
	if (!c || !c->mptcp || !c->fully || c->dead || c->doomed || c->finished || c->finishing) {
		e->counters.MPJoinNoTokenFound++;
		return refuse(e, SN_RST_PROTOCOL, opts, opt_len);
	}
	e->counters.MPJoinPortSynRx += flow->lport != c->flow.lport;
	e->counters.MismatchPortSynRx += !sn_pm_port_ok(c, flow->lport);
	bool first = flow->lport == c->flow.lport && sn_addr_eq(&flow->local, &c->flow.local);
	if (c->failing || (e->cfg.no_join && first) || !sn_pm_port_ok(c, flow->lport) ||
	    sn_pm_extra(c) >= e->cfg.limits.subflows) {
		e->counters.MPJoinRejected++;
		return refuse(e, SN_RST_PROHIBITED, opts, opt_len);
	}
	/* First subflows come first. */
	const struct sn_slab *table = &e->mptcp.subflows;
	struct sn_subflow *sf =
		table->count - table->used > table->count / 4 ? sn_sf_new(c, SN_SF_JOIN, flow, port) : NULL;
	if (!sf)
		return refuse(e, SN_RST_RESOURCES, opts, opt_len);
	sf->peer_backup = j->backup;
	sf->our_backup = sn_pm_is_backup(c, &flow->local);
	sn_sf_backup(sf);
	sf->remote_id = j->addr_id;
	sf->local_id = sn_pm_local_id(c, &flow->local);
	sf->remote_nonce = j->nonce;
	sn_engine_random(e, &sf->local_nonce, sizeof sf->local_nonce);
	sn_mp_hmac_join(c->local_key, c->remote_key, sf->local_nonce, sf->remote_nonce, h);
	sf->hmac64 = sn_get64(h);
	sn_mp_hmac_join(c->remote_key, c->local_key, sf->remote_nonce, sf->local_nonce, h);
	memcpy(sf->hmac, h, sizeof sf->hmac);
	if (!sn_sf_accept(sf, syn, now))
		e->counters.tcp_syn_drop++;
	return SN_SYN_TAKEN;
}

struct sn_listener *sn_listener_for(const struct sn_engine *e, const struct sn_flow *flow)
{
	struct sn_listener *any = NULL;
	uint32_t left = e->mptcp.listeners.used;

	for (uint32_t i = 0; left && i < e->mptcp.listeners.count; i++) {
		struct sn_listener *l = sn_slab_at(&e->mptcp.listeners, i);
		if (!l)
			continue;
		left--;
		if (l->lport != flow->lport)
			continue;
		if (sn_addr_eq(&l->laddr, &flow->local))
			return l;
		if (sn_laddr_covers(&l->laddr, &flow->local))
			any = l;
	}
	return any;
}

/* Not ours to talk MPTCP with: version 0, an algorithm we do not have, an extension we do not know. */
bool sn_syn_capable(const struct sn_listener *l, const struct sn_mp_opts *mp)
{
	bool only = (mp->present & (SN_MP_BIT(SN_MP_CAPABLE) | SN_MP_BIT(SN_MP_JOIN))) == SN_MP_BIT(SN_MP_CAPABLE);

	return only && mp->capable.len == 4 && mp->capable.version >= 1 && (mp->capable.flags & SN_MPC_HMAC_SHA256) &&
	       !(mp->capable.flags & SN_MPC_EXT) && !(l->flags & SN_OPF_TCP);
}

enum sn_syn_verdict sn_mptcp_syn(struct sn_engine *e, uint16_t port, const struct sn_flow *flow,
				 const struct sn_tcp_seg *syn, uint32_t *owner, uint8_t *opts, uint32_t *opt_len,
				 sn_time now)
{
	const struct sn_mp_opts *mp = &syn->mp;
	bool capable = mp->present & SN_MP_BIT(SN_MP_CAPABLE), join = mp->present & SN_MP_BIT(SN_MP_JOIN);

	*opt_len = 0;
	if (join && !capable && mp->join.len == 12)
		return take_join(e, port, flow, syn, owner, opts, opt_len, now);

	struct sn_listener *l = sn_listener_for(e, flow);
	if (!l || e->mptcp.draining)
		return refuse(e, SN_RST_NONE, opts, opt_len);
	bool full = sn_listener_full(l);
	if (!full && wants_cookie(e, l) && e->mptcp.conns.used < e->mptcp.conns.count) {
		sn_cookie_answer(e, l, port, flow, syn, now);
		return SN_SYN_TAKEN;
	}
	e->counters.ListenOverflows += full;
	struct sn_conn *c = !full && half_room(e, l, now) ? sn_conn_for(e, l, flow, now) : NULL;
	if (!c) {
		e->counters.tcp_syn_drop++;
		return SN_SYN_TAKEN;
	}
	if (sn_syn_capable(l, mp)) {
		e->counters.MPCapableSYNRX++;
		c->mptcp = sn_token_new(c);
		c->csum |= (mp->capable.flags & SN_MPC_CSUM) != 0;
		c->peer_no_join = (mp->capable.flags & SN_MPC_NO_JOIN) != 0;
		c->snd_una = c->snd_nxt = c->snd_end = c->idsn + 1;
	}
	if (!c->mptcp)
		e->counters.conn_fallback++;
	struct sn_subflow *sf = sn_sf_new(c, c->mptcp ? SN_SF_CAPABLE : SN_SF_PLAIN, flow, port);
	if (!sf || !sn_sf_accept(sf, syn, now)) {
		e->counters.tcp_syn_drop++;
		sn_conn_free(c);
	} else {
		half_enter(c);
	}
	return SN_SYN_TAKEN;
}
