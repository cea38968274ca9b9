/* SPDX-License-Identifier: Apache-2.0
 *
 * SYNs of peers: new connections for listeners, joins for connections (RFC 8684 3.1, 3.2).
 */
#include "mptcp/conn.h"

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
	if (!c || !c->mptcp || !c->fully || c->dead || c->doomed || c->finished || c->finishing) {
		e->counters.MPJoinNoTokenFound++;
		return refuse(e, SN_RST_PROTOCOL, opts, opt_len);
	}
	if (!sn_pm_port_ok(c, flow->lport) || sn_pm_extra(c) >= e->cfg.limits.subflows) {
		e->counters.MPJoinRejected++;
		return refuse(e, SN_RST_PROHIBITED, opts, opt_len);
	}
	struct sn_subflow *sf = sn_sf_new(c, SN_SF_JOIN, flow, port);
	if (!sf)
		return refuse(e, SN_RST_RESOURCES, opts, opt_len);
	sf->backup = j->backup;
	sf->remote_id = j->addr_id;
	sf->local_id = sn_pm_local_id(c, &flow->local);
	sf->remote_nonce = j->nonce;
	sn_engine_random(e, &sf->local_nonce, sizeof sf->local_nonce);
	sn_mp_hmac_join(c->local_key, c->remote_key, sf->local_nonce, sf->remote_nonce, h);
	sf->hmac64 = sn_get64(h);
	sn_mp_hmac_join(c->remote_key, c->local_key, sf->remote_nonce, sf->local_nonce, h);
	memcpy(sf->hmac, h, sizeof sf->hmac);
	c->joined = true;
	if (!sn_sf_accept(sf, syn, now))
		e->counters.tcp_syn_drop++;
	return SN_SYN_TAKEN;
}

static struct sn_listener *find_listener(const struct sn_engine *e, const struct sn_flow *flow)
{
	struct sn_listener *any = NULL;
	for (uint32_t i = 0; i < e->mptcp.listeners.count; i++) {
		struct sn_listener *l = sn_slab_at(&e->mptcp.listeners, i);
		if (!l || l->lport != flow->lport)
			continue;
		if (sn_addr_eq(&l->laddr, &flow->local))
			return l;
		if (sn_addr_is_any(&l->laddr))
			any = l;
	}
	return any;
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

	struct sn_listener *l = find_listener(e, flow);
	if (!l || e->mptcp.draining)
		return refuse(e, SN_RST_NONE, opts, opt_len);
	struct sn_conn *c = l->pending < l->backlog ? sn_conn_new(e, l->slot, now) : NULL;
	if (!c) {
		e->counters.tcp_syn_drop++;
		return SN_SYN_TAKEN;
	}
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
	/* Not ours to talk MPTCP with: version 0, an algorithm we do not have, an extension we do not know. */
	capable = capable && !join && mp->capable.len == 4 && mp->capable.version >= 1 &&
		  (mp->capable.flags & SN_MPC_HMAC_SHA256) && !(mp->capable.flags & SN_MPC_EXT) &&
		  !(l->flags & SN_OPF_TCP);
	if (capable) {
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
	}
	return SN_SYN_TAKEN;
}
