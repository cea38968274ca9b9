/* SPDX-License-Identifier: Apache-2.0
 *
 * Path manager: addresses and their ids, ADD_ADDR with echo, REMOVE_ADDR, MP_PRIO (RFC 8684 3.3.8, 3.4). Which joins to
 * open is decided in pm_join.c.
 *
 * Timer: t_pm repeats an ADD_ADDR without echo (up to SN_ADD_ADDR_TRIES) and comes back to failed joins.
 */
#include "mptcp/conn.h"

uint8_t sn_pm_local_id(const struct sn_conn *c, const struct sn_addr *addr)
{
	if (sn_addr_eq(addr, &c->flow.local))
		return 0;
	for (uint32_t i = 0; i < SN_MAX_ENDPOINTS; i++) {
		const struct sn_endpoint *ep = &c->e->mptcp.endpoint[i];
		if (ep->id && memcmp(ep->addr, addr->b, 16) == 0)
			return ep->id;
	}
	/* No endpoint: ids from the top, one for each address of a port. */
	return (uint8_t)(255 - SN_MAX_PORTS * SN_FAMILIES + SN_MAX(sn_net_addr_slot(c->e, addr), 0));
}

bool sn_pm_is_backup(const struct sn_conn *c, const struct sn_addr *addr)
{
	for (uint32_t i = 0; i < SN_MAX_ENDPOINTS; i++) {
		const struct sn_endpoint *ep = &c->e->mptcp.endpoint[i];
		if (ep->id && (ep->flags & SN_EP_BACKUP) && memcmp(ep->addr, addr->b, 16) == 0)
			return true;
	}
	return false;
}

bool sn_pm_port_ok(const struct sn_conn *c, uint16_t lport)
{
	if (lport == c->flow.lport)
		return true;
	for (uint32_t i = 0; i < SN_MAX_ENDPOINTS; i++) {
		const struct sn_endpoint *ep = &c->e->mptcp.endpoint[i];
		if (ep->id && (ep->flags & SN_EP_SIGNAL) && ep->tcp_port == lport)
			return true;
	}
	return false;
}

uint32_t sn_pm_extra(const struct sn_conn *c)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++)
		n += c->sf[i] && c->sf[i]->kind == SN_SF_JOIN && c->sf[i]->state != SN_SF_LEAVING;
	return n;
}

/* One pure ACK with the options owed. False: one of them will never find room (dss.c gave it up). */
static bool ack_with(struct sn_subflow *sf, uint8_t owe, sn_time now)
{
	sf->owe |= owe;
	sf->conn->ops->ack_now(sf->tcp, now);
	bool fits = (sf->owe & owe) == owe;
	sf->owe &= (uint8_t)~owe;
	return fits;
}

/* --- what the peer says --- */

/* An address that a peer can be reached at: not one of ours, nor of no host or this link's alone, and IPv4 in the form of
 * IPv4. */
static bool plausible(const struct sn_engine *e, const struct sn_mp_add_addr *said)
{
	static const uint8_t loopback[16] = {[15] = 1};
	const struct sn_addr *a = &said->addr;

	if (sn_net_addr_port(e, a) >= 0 || sn_addr_is_v4(a) != (said->family == 4))
		return false;
	if (sn_addr_is_v4(a)) {
		uint8_t top = a->b[12];
		return top != 0 && top != 127 && top < 224;
	}
	return !sn_addr_is_any6(a) && !sn_addr_is_multicast(a) && !sn_addr_is_link_local(a) &&
	       memcmp(a->b, loopback, 16) != 0;
}

static void remember(struct sn_conn *c, const struct sn_mp_add_addr *a)
{
	struct sn_remote *free_slot = NULL;
	uint32_t accepted = 0;

	for (uint32_t i = 0; i < SN_MAX_REMOTES; i++) {
		struct sn_remote *r = &c->remote[i];
		if (!r->used)
			free_slot = free_slot ? free_slot : r;
		else if (r->id == a->id)
			return; /* a second announcement changes nothing (RFC 8684 3.4.1) */
		accepted += r->used && r->accepted;
	}
	/* As the kernel: a peer that wants no join to its first address means the others to be used. */
	uint32_t limit = SN_MAX(c->e->cfg.limits.add_addr_accepted, c->peer_no_join ? 1u : 0u);
	/* Id 0 is the first subflow's address (RFC 8684 3.4.1). */
	if (!free_slot || !a->id || !plausible(c->e, a)) {
		c->e->counters.AddAddrDrop++;
		return;
	}
	*free_slot = (struct sn_remote){
		.used = true,
		.accepted = accepted < limit || c->e->cfg.limits.manual,
		.id = a->id,
		.port = a->has_port ? a->port : 0,
		.addr = a->addr,
	};
	if (!free_slot->accepted)
		c->e->counters.AddAddrDrop++;
	/* A fullmesh endpoint counts failures over all of its targets: a new one deserves new tries. */
	for (uint32_t i = 0; i < SN_MAX_ENDPOINTS; i++)
		if (c->e->mptcp.endpoint[i].flags & SN_EP_FULLMESH)
			c->ep_try[i] = (struct sn_path_try){.worked = c->ep_try[i].worked};
	sn_pm_tell_addr(c, SN_PM_ANNOUNCED, a->id, a);
	c->pm_dirty = true;
	sn_conn_wake(c);
}

/* The one under way is done with. */
static void announced(struct sn_conn *c)
{
	if (c->ann_cur < SN_MAX_ENDPOINTS)
		c->ann_done |= 1u << c->ann_cur;
	c->ann_cur = -1;
}

static void take_add_addr(struct sn_subflow *sf, const struct sn_mp_add_addr *a, sn_time now)
{
	struct sn_conn *c = sf->conn;

	if (a->echo) {
		c->e->counters.EchoAdd++;
		if (c->ann_cur >= 0 && a->id == c->ann.id && sn_addr_eq(&a->addr, &c->ann.addr)) {
			announced(c);
			c->pm_dirty = true;
			sn_conn_wake(c);
		}
		return;
	}
	c->e->counters.AddAddr++;
	c->e->counters.PortAdd += a->has_port;
	if (sn_mp_hmac_add_addr(c->remote_key, c->local_key, a) != a->hmac) {
		c->e->counters.AddAddrDrop++;
		return;
	}
	/* Before it is up, a join's handshake is in the place of `echo`. The address comes again. */
	if (sf->kind == SN_SF_JOIN && sf->state < SN_SF_UP)
		return;
	remember(c, a);
	sf->echo = *a;
	sf->echo.echo = 1;
	c->e->counters.EchoAddTx++;
	ack_with(sf, SN_OWE_ECHO, now);
}

static void take_remove_addr(struct sn_conn *c, const struct sn_mp_remove_addr *rm, sn_time now)
{
	for (uint32_t k = 0; k < rm->n && k < SN_MAX_SUBFLOWS; k++) {
		uint8_t id = rm->id[k];
		c->e->counters.RmAddr++;
		if (id == 0)
			c->peer_no_join = true;
		sn_pm_tell_addr(c, SN_PM_REMOVED, id, NULL);
		for (uint32_t i = 0; i < SN_MAX_REMOTES; i++)
			if (c->remote[i].used && c->remote[i].id == id)
				c->remote[i].used = false;
		for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++)
			if (c->sf[i] && c->sf[i]->tcp && c->sf[i]->remote_id == id) {
				c->e->counters.RmSubflow++;
				sn_sf_leave(c->sf[i], now);
			}
	}
}

bool sn_pm_segment(struct sn_subflow *sf, const struct sn_tcp_seg *seg, sn_time now)
{
	struct sn_conn *c = sf->conn;
	const struct sn_mp_opts *mp = &seg->mp;
	uint8_t slot = sf->slot;

	if (SN_LIKELY(!(mp->present &
			(SN_MP_BIT(SN_MP_ADD_ADDR) | SN_MP_BIT(SN_MP_REMOVE_ADDR) | SN_MP_BIT(SN_MP_PRIO)))))
		return true;
	if (mp->present & SN_MP_BIT(SN_MP_PRIO)) {
		bool before = sf->peer_backup;
		c->e->counters.MPPrioRx++;
		sf->peer_backup = mp->prio_backup != 0;
		sn_sf_backup(sf);
		if (sf->peer_backup != before)
			sn_pm_tell_sf(sf, SN_PM_SUB_PRIORITY, SN_OK);
		sn_conn_wake(c);
	}
	if (mp->present & SN_MP_BIT(SN_MP_ADD_ADDR))
		take_add_addr(sf, &mp->add_addr, now);
	if (mp->present & SN_MP_BIT(SN_MP_REMOVE_ADDR))
		take_remove_addr(c, &mp->remove_addr, now);
	return c->sf[slot] == sf;
}

/* --- what we say --- */

/* False: it does not fit into an ACK of this connection (RFC 8684 3.4.1: IPv6 with a port beside timestamps). */
static bool announce_send(struct sn_conn *c, sn_time now)
{
	struct sn_subflow *sf = sn_conn_any_up(c);
	struct sn_tcp_estimate est;

	c->ann_deadline = now + SN_SEC;
	if (!sf) {
		c->e->counters.AddAddrTxDrop++;
		return true; /* tried again at the deadline */
	}
	c->ops->estimate(sf->tcp, &est);
	c->ann_deadline = now + SN_MAX(SN_SEC, 3 * est.srtt);
	c->ann_tries++;
	if (!ack_with(sf, SN_OWE_ADD_ADDR, now)) {
		c->e->counters.AddAddrTxDrop++;
		return false;
	}
	c->e->counters.AddAddrTx++;
	return true;
}

bool sn_pm_announce(struct sn_conn *c, const struct sn_mp_add_addr *a, int8_t cur, sn_time now)
{
	c->ann = *a;
	c->ann.hmac = sn_mp_hmac_add_addr(c->local_key, c->remote_key, a);
	c->ann_cur = cur;
	c->ann_tries = 0;
	if (announce_send(c, now))
		return true;
	announced(c);
	return false;
}

/* ADD_ADDR: one at a time. */
static void announce(struct sn_conn *c, sn_time now)
{
	struct sn_endpoint *table = c->e->mptcp.endpoint;

	if (c->ann_cur >= 0) {
		if (now < c->ann_deadline)
			return;
		if (c->ann_tries < SN_ADD_ADDR_TRIES) {
			announce_send(c, now);
			return;
		}
		announced(c);
	}
	for (uint32_t i = 0; !c->e->cfg.limits.manual && i < SN_MAX_ENDPOINTS; i++) {
		const struct sn_endpoint *ep = &table[i];
		if (!ep->id || !(ep->flags & SN_EP_SIGNAL) || (c->ann_done & 1u << i))
			continue;
		struct sn_mp_add_addr a = {.id = ep->id, .has_port = ep->tcp_port != 0, .port = ep->tcp_port};
		memcpy(a.addr.b, ep->addr, 16);
		a.family = sn_addr_is_v4(&a.addr) ? 4 : 6;
		if (sn_addr_eq(&a.addr, &c->flow.local) && !a.has_port) { /* the peer knows it */
			c->ann_done |= 1u << i;
			continue;
		}
		if (sn_pm_announce(c, &a, (int8_t)i, now))
			return;
	}
}

/* The first subflow began before anybody could ask for backup. */
static void begin(struct sn_conn *c, sn_time now)
{
	c->pm_begun = true;
	if (c->e->cfg.limits.manual || !sn_pm_is_backup(c, &c->flow.local))
		return;
	for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++)
		if (c->sf[i] && c->sf[i]->kind == SN_SF_CAPABLE && !c->sf[i]->our_backup)
			sn_pm_prio(c->sf[i], true, now);
}

void sn_pm_check(struct sn_conn *c, sn_time now)
{
	sn_time next = SN_TIME_NEVER;

	if (!c->mptcp || !c->fully || c->failing)
		return;
	/* Nothing moves in either direction any more. */
	if (c->shut && c->peer_fin && c->snd_una == c->snd_end)
		return;
	if (!c->pm_begun)
		begin(c, now);
	announce(c, now);
	if (!c->server && !c->e->cfg.limits.manual)
		sn_pm_joins(c, now, &next);
	if (c->ann_cur >= 0)
		next = SN_MIN(next, c->ann_deadline);
	if (next == SN_TIME_NEVER)
		sn_wheel_cancel(&c->e->wheel, &c->t_pm);
	else
		sn_wheel_arm(&c->e->wheel, &c->t_pm, next);
}

void sn_pm_fire(struct sn_timer *t, sn_time now)
{
	struct sn_conn *c = SN_CONTAINER(t, struct sn_conn, t_pm);
	(void)now;
	c->pm_dirty = true;
	sn_conn_wake(c);
}

/* --- policy from outside --- */

void sn_mptcp_policy_changed(struct sn_engine *e)
{
	for (uint32_t i = 0; i < e->mptcp.conns.count; i++) {
		struct sn_conn *c = sn_slab_at(&e->mptcp.conns, i);
		if (!c || !c->mptcp)
			continue;
		c->pm_dirty = true;
		sn_conn_wake(c);
	}
}

void sn_pm_prio(struct sn_subflow *sf, bool backup, sn_time now)
{
	bool before = sf->our_backup;

	sf->our_backup = backup;
	sn_sf_backup(sf);
	if (!sn_sf_usable(sf) || !sf->conn->fully)
		return;
	sf->conn->e->counters.MPPrioTx++;
	ack_with(sf, SN_OWE_PRIO, now);
	if (backup != before)
		sn_pm_tell_sf(sf, SN_PM_SUB_PRIORITY, SN_OK);
}

/* The backup flag of an endpoint changed: MP_PRIO on the subflows that use its address. */
static void tell_priority(struct sn_conn *c, const struct sn_endpoint *ep, sn_time now)
{
	for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++) {
		struct sn_subflow *sf = c->sf[i];
		if (!sf || memcmp(sf->flow.local.b, ep->addr, 16))
			continue;
		sn_pm_prio(sf, (ep->flags & SN_EP_BACKUP) != 0, now);
	}
	sn_conn_wake(c);
}

/* The same endpoint with other flags. */
static enum sn_err change(struct sn_engine *e, struct sn_endpoint *x, const struct sn_endpoint *ep, sn_time now)
{
	uint8_t flipped = x->flags ^ ep->flags;
	*x = *ep;
	for (uint32_t i = 0; (flipped & SN_EP_BACKUP) && i < e->mptcp.conns.count; i++) {
		struct sn_conn *c = sn_slab_at(&e->mptcp.conns, i);
		if (c && c->mptcp && !c->dead && !c->finished)
			tell_priority(c, x, now);
	}
	sn_mptcp_policy_changed(e);
	return SN_OK;
}

enum sn_err sn_mptcp_endpoint_add(struct sn_engine *e, const struct sn_endpoint *ep, sn_time now)
{
	struct sn_endpoint *free_slot = NULL;
	struct sn_addr addr;

	memcpy(addr.b, ep->addr, 16);
	if (!ep->id || (ep->flags & ~(SN_EP_SIGNAL | SN_EP_SUBFLOW | SN_EP_BACKUP | SN_EP_FULLMESH | SN_EP_LAMINAR)))
		return SN_E_INVAL;
	if (sn_net_addr_port(e, &addr) < 0)
		return SN_E_ADDRNOTAVAIL;
	for (uint32_t i = 0; i < SN_MAX_ENDPOINTS; i++) {
		struct sn_endpoint *x = &e->mptcp.endpoint[i];
		if (!x->id)
			free_slot = free_slot ? free_slot : x;
		else if (x->id == ep->id && memcmp(x->addr, ep->addr, 16) == 0 && x->tcp_port == ep->tcp_port &&
			 x->flags != ep->flags)
			return change(e, x, ep, now);
		else if (x->id == ep->id || (memcmp(x->addr, ep->addr, 16) == 0 && x->tcp_port == ep->tcp_port))
			return SN_E_EXIST;
	}
	if (!free_slot)
		return SN_E_NOSPC;
	*free_slot = *ep;
	sn_mptcp_policy_changed(e);
	return SN_OK;
}

/* Tells the peer that an address is gone and leaves the subflows that use it. The address that the connection began with
 * has the id 0 on the wire; it is given up only if something else is left. */
void sn_pm_withdraw(struct sn_conn *c, const struct sn_endpoint *ep, bool told, sn_time now)
{
	struct sn_subflow *by = NULL, *other = NULL;
	bool first = memcmp(c->flow.local.b, ep->addr, 16) == 0 && !ep->tcp_port;
	uint8_t id = first ? 0 : ep->id;

	for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++) {
		struct sn_subflow *sf = c->sf[i];
		if (!sf || sf->state == SN_SF_LEAVING)
			continue;
		told |= sf->local_id == id;
		if (!sn_sf_usable(sf))
			continue;
		by = sf;
		other = sf->local_id == id ? other : sf;
	}
	if (!told || (first && !other))
		return;
	by = other ? other : by;
	if (by) {
		c->removed = (struct sn_mp_remove_addr){.n = 1, .id = {id}};
		c->e->counters.RmAddrTx++;
		ack_with(by, SN_OWE_REMOVE, now);
	}
	for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++) {
		struct sn_subflow *sf = c->sf[i];
		if (!sf || sf->local_id != id || memcmp(sf->flow.local.b, ep->addr, 16))
			continue;
		/* An announced address led here: it is not joined over this path again. */
		for (uint32_t k = 0; k < SN_MAX_REMOTES; k++)
			if (c->remote[k].used && sn_addr_eq(&c->remote[k].addr, &sf->flow.remote))
				c->remote[k].path.over = true;
		c->e->counters.RmSubflow++;
		sn_sf_leave(sf, now);
	}
	if (first)
		c->rejoin.over = true;
}

enum sn_err sn_mptcp_endpoint_del(struct sn_engine *e, uint8_t id, sn_time now)
{
	uint32_t at = 0;
	while (at < SN_MAX_ENDPOINTS && (!id || e->mptcp.endpoint[at].id != id))
		at++;
	if (at == SN_MAX_ENDPOINTS)
		return SN_E_ADDRNOTAVAIL;
	struct sn_endpoint gone = e->mptcp.endpoint[at];
	memset(&e->mptcp.endpoint[at], 0, sizeof e->mptcp.endpoint[at]);
	for (uint32_t i = 0; i < e->mptcp.conns.count; i++) {
		struct sn_conn *c = sn_slab_at(&e->mptcp.conns, i);
		if (!c)
			continue;
		bool told = (c->ann_done & 1u << at) || c->ann_cur == (int)at;
		c->ann_done &= ~(1u << at);
		if (c->ann_cur == (int)at)
			c->ann_cur = -1;
		if (c->mptcp && c->fully && !c->dead && !c->finished && !c->finishing)
			sn_pm_withdraw(c, &gone, told, now);
		c->ep_try[at] = (struct sn_path_try){0};
		c->pm_dirty = true;
		sn_conn_wake(c);
	}
	return SN_OK;
}
