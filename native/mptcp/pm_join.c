/* SPDX-License-Identifier: Apache-2.0
 *
 * Which joins a client opens (the kernel's in-kernel policy in its words):
 *   subflow endpoint   from its address, to the peer's first address if that can be reached from there, else to an
 *                      announced one
 *   announced address  from the address of the port that leads there, once
 *   laminar endpoint   an announced address is joined from one of these that the connection does not use yet; if there are
 *                      any, from no other address
 *   fullmesh endpoint  from its address to every address of the peer; where these lead, announced addresses are joined from
 *                      no other
 *   ndiffports N       N subflows over the first pair of addresses, from different ports
 *   first subflow lost over the first pair of addresses again
 * A path that never worked is tried SN_PATH_TRIES times with growing pauses. One that did is tried every SN_PATH_AGAIN for
 * a minute and every SN_PATH_LATER then, so that it is in use again soon after it is back. What the peer refuses for good
 * (MP_TCPRST without the T flag, RFC 8684 3.6; an orderly close of the subflow alone) is not tried again.
 */
#include "mptcp/conn.h"

struct target {
	struct sn_addr addr;
	uint16_t port;
	uint8_t id;
};

static bool exists(const struct sn_conn *c, const struct sn_addr *local, const struct target *t)
{
	for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++) {
		const struct sn_subflow *sf = c->sf[i];
		if (sf && (!local || sn_addr_eq(&sf->flow.local, local)) &&
		    (!t || (sn_addr_eq(&sf->flow.remote, &t->addr) && sf->flow.rport == t->port)))
			return true;
	}
	return false;
}

/* May this path be tried now? Notes the time of a later try. */
static bool due(const struct sn_path_try *p, sn_time now, sn_time *next)
{
	if (p->over || (!p->worked && p->fails >= SN_PATH_TRIES))
		return false;
	if (p->fails && now < p->next) {
		*next = SN_MIN(*next, p->next);
		return false;
	}
	return true;
}

static void note_failure(struct sn_path_try *p, bool final, sn_time now)
{
	if (p->fails < UINT8_MAX)
		p->fails++;
	if (final)
		p->over = true;
	if (p->worked)
		p->next = SN_MAX(now, p->tried + (p->fails > SN_PATH_EAGER ? SN_PATH_LATER : SN_PATH_AGAIN));
	else
		p->next = now + (SN_SEC << SN_MIN(p->fails, SN_PATH_TRIES));
}

/* Opens a join; false if it cannot be now. */
static bool join(struct sn_conn *c, const struct sn_addr *local, const struct target *t, bool backup, uint8_t why,
		 struct sn_path_try *p, sn_time now)
{
	struct sn_flow flow = {.local = *local, .remote = t->addr, .rport = t->port};
	int32_t port = sn_net_route(c->e, local, &t->addr);

	p->tried = now;
	if (port < 0 || sn_net_port_choose(c->e, &flow) != SN_OK) {
		c->e->counters.MPJoinSynTxConnectErr += port < 0;
		c->e->counters.MPJoinSynTxBindErr += port >= 0;
		return false;
	}
	struct sn_subflow *sf = sn_sf_new(c, SN_SF_JOIN, &flow, (uint16_t)port);
	if (!sf) {
		c->e->counters.MPJoinSynTxCreatSkErr++;
		return false;
	}
	sf->our_backup = backup;
	sn_sf_backup(sf);
	sf->local_id = sn_pm_local_id(c, local);
	sf->remote_id = t->id;
	sf->why = why;
	sn_engine_random(c->e, &sf->local_nonce, sizeof sf->local_nonce);
	c->joined = true;
	sf->hurry = p->worked && p->fails <= SN_PATH_EAGER;
	if (!sn_sf_open(sf, now)) {
		c->e->counters.MPJoinSynTxConnectErr++;
		return false;
	}
	if (sf->hurry)
		sn_wheel_arm(&c->e->wheel, &sf->t_join, now + SN_PATH_AGAIN);
	return true;
}

static struct target initial(const struct sn_conn *c)
{
	return (struct target){.addr = c->flow.remote, .port = c->flow.rport, .id = 0};
}

static struct target announced(const struct sn_conn *c, const struct sn_remote *r)
{
	return (struct target){.addr = r->addr, .port = r->port ? r->port : c->flow.rport, .id = r->id};
}

static bool may_join_more(const struct sn_conn *c) { return sn_pm_extra(c) < c->e->cfg.limits.subflows; }

/* Everything of the peer that can be reached from an address, the first address first. */
static uint32_t targets(const struct sn_conn *c, const struct sn_addr *from, struct target *out)
{
	uint32_t n = 0;
	out[n] = initial(c);
	if (!c->peer_no_join && sn_net_route(c->e, from, &out[n].addr) >= 0)
		n++;
	for (uint32_t i = 0; i < SN_MAX_REMOTES; i++) {
		const struct sn_remote *r = &c->remote[i];
		if (r->used && r->accepted && sn_net_route(c->e, from, &r->addr) >= 0)
			out[n++] = announced(c, r);
	}
	return n;
}

static void from_endpoints(struct sn_conn *c, sn_time now, sn_time *next)
{
	struct target t[SN_MAX_REMOTES + 1];

	for (uint32_t i = 0; i < SN_MAX_ENDPOINTS && may_join_more(c); i++) {
		const struct sn_endpoint *ep = &c->e->mptcp.endpoint[i];
		struct sn_path_try *p = &c->ep_try[i];
		struct sn_addr local;
		if (!ep->id || !(ep->flags & (SN_EP_SUBFLOW | SN_EP_FULLMESH)) || !due(p, now, next))
			continue;
		memcpy(local.b, ep->addr, 16);
		bool backup = (ep->flags & SN_EP_BACKUP) != 0;
		uint32_t n = targets(c, &local, t);
		if (ep->flags & SN_EP_FULLMESH) {
			for (uint32_t k = 0; k < n && may_join_more(c); k++)
				if (!exists(c, &local, &t[k]) && !join(c, &local, &t[k], backup, (uint8_t)i, p, now))
					note_failure(p, false, now);
		} else if (n && !exists(c, &local, NULL)) {
			/* After a failure the next address has its turn. */
			if (!join(c, &local, &t[p->fails % n], backup, (uint8_t)i, p, now))
				note_failure(p, false, now);
		}
		if (p->fails && !p->over && (p->worked || p->fails < SN_PATH_TRIES) && p->next > now)
			*next = SN_MIN(*next, p->next);
	}
}

/* Is there an endpoint of this kind; with an address: one that leads there? */
static bool has(const struct sn_conn *c, enum sn_endpoint_flag flag, const struct sn_addr *to)
{
	for (uint32_t i = 0; i < SN_MAX_ENDPOINTS; i++) {
		const struct sn_endpoint *ep = &c->e->mptcp.endpoint[i];
		struct sn_addr local;
		memcpy(local.b, ep->addr, 16);
		if (ep->id && (ep->flags & flag) && (!to || sn_net_route(c->e, &local, to) >= 0))
			return true;
	}
	return false;
}

/* A laminar endpoint that leads to an announced address and that no subflow of the connection uses; after a failure the
 * next one has its turn. */
static const struct sn_endpoint *laminar(const struct sn_conn *c, const struct sn_remote *r)
{
	const struct sn_endpoint *found[SN_MAX_ENDPOINTS];
	uint32_t n = 0;

	for (uint32_t i = 0; i < SN_MAX_ENDPOINTS; i++) {
		const struct sn_endpoint *ep = &c->e->mptcp.endpoint[i];
		struct sn_addr local;
		memcpy(local.b, ep->addr, 16);
		if (ep->id && (ep->flags & SN_EP_LAMINAR) && !exists(c, &local, NULL) &&
		    sn_net_route(c->e, &local, &r->addr) >= 0)
			found[n++] = ep;
	}
	return n ? found[r->path.fails % n] : NULL;
}

/* Where a join to an announced address is to come from. */
static bool source(const struct sn_conn *c, const struct sn_remote *r, struct sn_addr *local, bool *backup)
{
	static const struct sn_addr any;

	*backup = false;
	if (has(c, SN_EP_FULLMESH, &r->addr))
		return false;
	if (has(c, SN_EP_LAMINAR, NULL)) {
		const struct sn_endpoint *ep = laminar(c, r);
		if (!ep)
			return false;
		memcpy(local->b, ep->addr, 16);
		*backup = (ep->flags & SN_EP_BACKUP) != 0;
		return true;
	}
	/* Accepted for the sake of the C flag alone: subflow endpoints may go there. */
	if (!c->e->cfg.limits.add_addr_accepted)
		return false;
	int32_t port = sn_net_route(c->e, &any, &r->addr);
	if (port < 0)
		return false;
	*local = *sn_net_source(c->e, (uint16_t)port, &r->addr);
	return true;
}

static void to_announced(struct sn_conn *c, sn_time now, sn_time *next)
{
	for (uint32_t i = 0; i < SN_MAX_REMOTES && may_join_more(c); i++) {
		struct sn_remote *r = &c->remote[i];
		if (!r->used || !r->accepted || !due(&r->path, now, next))
			continue;
		struct target t = announced(c, r);
		struct sn_addr local;
		bool backup;
		if (exists(c, NULL, &t) || !source(c, r, &local, &backup))
			continue;
		if (!join(c, &local, &t, backup, (uint8_t)(SN_WHY_REMOTE + i), &r->path, now)) {
			note_failure(&r->path, false, now);
			*next = SN_MIN(*next, r->path.next);
		}
	}
}

/* ndiffports. */
static void more_ports(struct sn_conn *c, sn_time now, sn_time *next)
{
	struct target t = initial(c);
	uint32_t n = 0;

	if (c->e->cfg.limits.ndiffports < 2 || c->peer_no_join)
		return;
	for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++) {
		const struct sn_subflow *sf = c->sf[i];
		n += sf && sf->state != SN_SF_LEAVING && sn_addr_eq(&sf->flow.local, &c->flow.local) &&
		     sn_addr_eq(&sf->flow.remote, &t.addr) && sf->flow.rport == t.port;
	}
	/* Of none the re-join is the first. */
	for (; n && n < c->e->cfg.limits.ndiffports && may_join_more(c) && due(&c->ports, now, next); n++) {
		if (join(c, &c->flow.local, &t, false, SN_WHY_PORTS, &c->ports, now))
			continue;
		note_failure(&c->ports, false, now);
		*next = SN_MIN(*next, c->ports.next);
	}
}

/* The first subflow is gone: over its addresses again; if the peer wants no join there, to where it does. */
static void again(struct sn_conn *c, sn_time now, sn_time *next)
{
	bool none = true;
	for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++)
		none &= !c->sf[i] || c->sf[i]->state == SN_SF_LEAVING;
	struct target t[SN_MAX_REMOTES + 1] = {initial(c)};
	uint32_t n = 1;
	if (c->peer_no_join)
		n = none ? targets(c, &c->flow.local, t) : 0;
	const struct target *to = n ? &t[c->rejoin.fails % n] : NULL;
	/* Left in good order, or refused for good: only if nothing else is there, and with the pauses of any other try. */
	if (none && c->rejoin.over) {
		c->rejoin.over = false;
		c->rejoin.worked = true;
	}
	if (!to || (!none && !may_join_more(c)) || exists(c, &c->flow.local, to) || !due(&c->rejoin, now, next))
		return;
	c->rejoin.worked = true;
	if (!join(c, &c->flow.local, to, false, SN_WHY_REJOIN, &c->rejoin, now)) {
		note_failure(&c->rejoin, false, now);
		*next = SN_MIN(*next, c->rejoin.next);
	}
}

void sn_pm_joins(struct sn_conn *c, sn_time now, sn_time *next)
{
	from_endpoints(c, now, next);
	to_announced(c, now, next);
	again(c, now, next);
	more_ports(c, now, next);
}

bool sn_pm_open(struct sn_conn *c, const struct sn_addr *local, const struct sn_addr *remote, uint16_t rport,
		uint8_t remote_id, bool backup, sn_time now)
{
	struct target t = {.addr = *remote, .port = rport, .id = remote_id};
	struct sn_path_try once = {0};
	return join(c, local, &t, backup, SN_WHY_POLICY, &once, now);
}

static struct sn_path_try *path_of(const struct sn_subflow *sf)
{
	struct sn_conn *c = sf->conn;
	if (sf->kind == SN_SF_CAPABLE || sf->why == SN_WHY_REJOIN)
		return &c->rejoin;
	if (sf->why == SN_WHY_PORTS)
		return &c->ports;
	if (sf->why < SN_WHY_REMOTE)
		return &c->ep_try[sf->why];
	if (sf->why < SN_WHY_REMOTE + SN_MAX_REMOTES)
		return &c->remote[sf->why - SN_WHY_REMOTE].path;
	return NULL;
}

/* RFC 8684 3.6: without the T flag the condition lasts; lack of resources and too much outstanding data pass by nature. */
static bool refused_for_good(const struct sn_subflow *sf)
{
	return !sf->peer_transient && (sf->peer_reason == SN_RST_PROTOCOL || sf->peer_reason == SN_RST_PROHIBITED ||
				       sf->peer_reason == SN_RST_PERFORMANCE || sf->peer_reason == SN_RST_MIDDLEBOX);
}

void sn_pm_sf_gone(struct sn_subflow *sf, enum sn_err err, sn_time now)
{
	struct sn_conn *c = sf->conn;
	struct sn_path_try *p = path_of(sf);

	c->pm_dirty = true;
	if (sf->kind != SN_SF_PLAIN && c->mptcp && !c->finishing && !c->finished && !c->dead)
		sn_pm_tell_sf(sf, SN_PM_SUB_CLOSED, err);
	if (!p)
		return;
	if (sf->since && now - sf->since >= SN_PATH_PROVEN) {
		p->fails = 0;
		p->worked = true;
	} else if (sf->since) {
		p->worked = false; /* taken and dropped at once: that is no path */
	}
	note_failure(p, err == SN_OK || sf->state == SN_SF_LEAVING || refused_for_good(sf), now);
	/* Nobody there knows the connection any more. */
	if (sf->why == SN_WHY_REJOIN && sf->state == SN_SF_OPENING && err == SN_E_REFUSED && sf->peer_reset &&
	    c->nsf == 1 && (refused_for_good(sf) || p->fails >= SN_PATH_TRIES)) {
		c->doomed = true;
		c->last_err = SN_E_RESET;
	}
}

sn_time sn_join_ack_delay(const struct sn_subflow *sf)
{
	struct sn_tcp_estimate est;
	sf->conn->ops->estimate(sf->tcp, &est);
	return est.srtt ? SN_MAX(2 * est.srtt, 20 * SN_MSEC) : SN_SEC;
}

void sn_join_ack_fire(struct sn_timer *t, sn_time now)
{
	struct sn_subflow *sf = SN_CONTAINER(t, struct sn_subflow, t_join);
	if (sf->state == SN_SF_OPENING && sf->hurry) {
		sn_sf_reset(sf, SN_RST_NONE, now);
		return;
	}
	if (sf->state != SN_SF_CONFIRM)
		return;
	if (++sf->tries >= SN_JOIN_ACK_TRIES) {
		sn_sf_reset(sf, SN_RST_MIDDLEBOX, now);
		return;
	}
	sf->conn->ops->ack_now(sf->tcp, now);
	sn_wheel_arm(&sf->conn->e->wheel, t, now + (sn_join_ack_delay(sf) << sf->tries));
}
