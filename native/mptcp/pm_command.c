/* SPDX-License-Identifier: Apache-2.0
 *
 * Single steps that a policy outside asks for (struct sn_pm_command): it saw events some time ago, so whatever it names
 * may be gone. Everything is looked up and checked again; the answer is an error, never more.
 */
#include "mptcp/conn.h"

static struct sn_conn *find_conn(struct sn_engine *e, const struct sn_pm_command *cmd)
{
	struct sn_conn *c = sn_slab_at(&e->mptcp.conns, cmd->conn & ((1u << SN_CONN_INDEX_BITS) - 1));
	bool well = c && c->id == cmd->conn && c->token == cmd->token && c->mptcp && c->fully && !c->failing &&
		    !c->dead && !c->doomed && !c->finished && !c->finishing;
	return well ? c : NULL;
}

/* The ports are asked for so that nobody hits the next tenant of a slot. */
static struct sn_subflow *find_subflow(struct sn_conn *c, const struct sn_pm_command *cmd)
{
	struct sn_subflow *sf = cmd->subflow < SN_MAX_SUBFLOWS ? c->sf[cmd->subflow] : NULL;
	bool same = sf && sf->tcp && sf->flow.lport == cmd->lport && sf->flow.rport == cmd->rport;
	return same && sf->state != SN_SF_LEAVING ? sf : NULL;
}

static enum sn_err open_path(struct sn_conn *c, const struct sn_pm_command *cmd, sn_time now)
{
	struct sn_addr local, remote;
	uint8_t id = 0;
	uint16_t rport = cmd->rport;

	memcpy(local.b, cmd->laddr, 16);
	memcpy(remote.b, cmd->raddr, 16);
	if (c->nsf >= SN_MAX_SUBFLOWS)
		return SN_E_NOSPC;
	if (!sn_addr_is_any(&local) && sn_net_addr_port(c->e, &local) < 0)
		return SN_E_ADDRNOTAVAIL;
	if (sn_addr_is_any(&remote))
		remote = c->flow.remote;
	for (uint32_t i = 0; i < SN_MAX_REMOTES; i++) {
		const struct sn_remote *r = &c->remote[i];
		if (!r->used || !sn_addr_eq(&r->addr, &remote))
			continue;
		id = r->id;
		rport = rport ? rport : r->port;
	}
	int32_t port = sn_net_route(c->e, &local, &remote);
	if (port < 0)
		return (enum sn_err)port;
	if (sn_addr_is_any(&local))
		local = *sn_net_source(c->e, (uint16_t)port, &remote);
	rport = rport ? rport : c->flow.rport;
	return sn_pm_open(c, &local, &remote, rport, id, cmd->backup != 0, now) ? SN_OK : SN_E_NOBUFS;
}

static bool own_address(const struct sn_conn *c, const struct sn_pm_command *cmd, struct sn_addr *addr)
{
	memcpy(addr->b, cmd->laddr, 16);
	return !sn_addr_is_any(addr) && sn_net_addr_port(c->e, addr) >= 0;
}

/* The id that an address (with a port) has on the wire; 0: it is the first subflow's. */
static uint8_t id_of(const struct sn_conn *c, const struct sn_addr *addr, uint16_t port)
{
	for (uint32_t i = 0; port && i < SN_MAX_ENDPOINTS; i++) {
		const struct sn_endpoint *ep = &c->e->mptcp.endpoint[i];
		if (ep->id && ep->tcp_port == port && memcmp(ep->addr, addr->b, 16) == 0)
			return ep->id;
	}
	return sn_pm_local_id(c, addr);
}

static enum sn_err announce(struct sn_conn *c, const struct sn_pm_command *cmd, sn_time now)
{
	struct sn_mp_add_addr a = {.has_port = cmd->lport != 0, .port = cmd->lport};

	if (!own_address(c, cmd, &a.addr))
		return SN_E_ADDRNOTAVAIL;
	a.id = id_of(c, &a.addr, cmd->lport);
	/* The peer knows the first address; nobody would take a join to a port without an endpoint. */
	if (!a.id || (a.has_port && !sn_pm_port_ok(c, a.port)))
		return SN_E_INVAL;
	if (c->ann_cur >= 0)
		return SN_E_AGAIN;
	a.family = sn_addr_is_v4(&a.addr) ? 4 : 6;
	if (!sn_pm_announce(c, &a, SN_ANN_POLICY, now))
		return SN_E_NOSPC;
	c->pm_dirty = true;
	sn_conn_wake(c);
	return SN_OK;
}

static enum sn_err withdraw(struct sn_conn *c, const struct sn_pm_command *cmd, sn_time now)
{
	struct sn_addr addr;

	if (!own_address(c, cmd, &addr))
		return SN_E_ADDRNOTAVAIL;
	struct sn_endpoint ep = {.id = id_of(c, &addr, cmd->lport), .tcp_port = cmd->lport};
	memcpy(ep.addr, addr.b, 16);
	if (c->ann_cur == SN_ANN_POLICY && c->ann.id == ep.id)
		c->ann_cur = -1;
	sn_pm_withdraw(c, &ep, true, now);
	c->pm_dirty = true;
	sn_conn_wake(c);
	return SN_OK;
}

enum sn_err sn_mptcp_pm_command(struct sn_engine *e, const struct sn_pm_command *cmd, sn_time now)
{
	struct sn_conn *c = find_conn(e, cmd);
	struct sn_subflow *sf;

	if (!c)
		return SN_E_NOTCONN;
	switch (cmd->op) {
	case SN_PM_OPEN: return open_path(c, cmd, now);
	case SN_PM_CLOSE:
		sf = find_subflow(c, cmd);
		if (!sf)
			return SN_E_NOTCONN;
		sn_sf_leave(sf, now);
		return SN_OK;
	case SN_PM_ANNOUNCE: return announce(c, cmd, now);
	case SN_PM_WITHDRAW: return withdraw(c, cmd, now);
	case SN_PM_PRIO:
		sf = find_subflow(c, cmd);
		if (!sf)
			return SN_E_NOTCONN;
		sn_pm_prio(sf, cmd->backup != 0, now);
		sn_conn_wake(c);
		return SN_OK;
	default: return SN_E_INVAL;
	}
}
