/* SPDX-License-Identifier: Apache-2.0
 *
 * Ports with their addresses, of either family; the way to an address.
 */
#include "engine/engine.h"
#include "wire/eth.h"

/* RFC 791 3.1 and RFC 8200 5. */
enum { IPV4_MTU_MIN = 576, IPV6_MTU_MIN = 1280 };

bool sn_net_is_unicast6(const struct sn_addr *a)
{
	static const struct sn_addr loopback = {.b = {[15] = 1}};

	return !sn_addr_is_v4(a) && !sn_addr_is_any6(a) && !sn_addr_is_multicast(a) && !sn_addr_eq(a, &loopback);
}

/* Every route of a family leads over its link. */
static bool routes_valid(const struct sn_net_port_cfg *cfg, enum sn_family family)
{
	const struct sn_addr *addr = family == SN_FAMILY_4 ? &cfg->addr : &cfg->addr6;
	uint32_t most = family == SN_FAMILY_4 ? 32 : 128,
		 prefix = family == SN_FAMILY_4 ? 96u + cfg->prefix : cfg->prefix6;

	if (cfg->routes[family] > SN_ROUTES || (cfg->routes[family] && sn_addr_is_any(addr)))
		return false;
	for (uint32_t i = 0; i < cfg->routes[family]; i++) {
		const struct sn_route *r = &cfg->route[family][i];
		struct sn_addr dst, via;
		memcpy(dst.b, r->dst, 16);
		memcpy(via.b, r->via, 16);
		if (r->prefix > most || !sn_addr_same_family(&via, addr) ||
		    sn_addr_is_v4(&dst) != sn_addr_is_v4(addr) || sn_addr_eq(&via, addr) ||
		    (!sn_addr_on_link(&via, addr, prefix) && !sn_addr_is_link_local(&via)))
			return false;
	}
	return true;
}

/* Refuses what is no configuration of that family; any as address is one: none. */
static bool if_valid(const struct sn_net_port_cfg *cfg, enum sn_family family)
{
	if (family == SN_FAMILY_4)
		return sn_addr_is_any(&cfg->addr) || (sn_addr_is_v4(&cfg->addr) && cfg->prefix <= 32 &&
						      (sn_addr_is_any(&cfg->gateway) || sn_addr_is_v4(&cfg->gateway)));
	return sn_addr_is_any(&cfg->addr6) ||
	       (sn_net_is_unicast6(&cfg->addr6) && !sn_addr_is_link_local(&cfg->addr6) && cfg->prefix6 <= 128 &&
		cfg->mtu >= IPV6_MTU_MIN && (sn_addr_is_any6(&cfg->gateway6) || sn_net_is_unicast6(&cfg->gateway6)));
}

void sn_net_port_settle(struct sn_net_port *p)
{
	const struct sn_net_if *v4 = &p->nif[SN_FAMILY_4];
	uint32_t bits = v4->prefix ? v4->prefix - 96u : 0;

	p->ip = sn_addr_is_any(&v4->addr) ? 0 : sn_addr_v4_get(&v4->addr);
	p->mask = p->ip && bits ? UINT32_MAX << (32 - bits) : 0;
	p->direct = p->routes[SN_FAMILY_4] ? UINT32_MAX : p->mask;
}

/* Longest prefix first; of equals the one given first. */
static void add_routes(struct sn_net_port *p, const struct sn_net_port_cfg *cfg, enum sn_family family)
{
	struct sn_net_route *v = p->route[family];

	for (uint32_t i = 0; i < cfg->routes[family]; i++) {
		const struct sn_route *r = &cfg->route[family][i];
		struct sn_net_route new = {.prefix = (uint8_t)(r->prefix + (family == SN_FAMILY_4 ? 96 : 0))};
		memcpy(new.dst.b, r->dst, 16);
		memcpy(new.via.b, r->via, 16);
		uint32_t at = p->routes[family]++;
		for (; at && v[at - 1].prefix < new.prefix; at--)
			v[at] = v[at - 1];
		v[at] = new;
	}
}

/* The way from a port: *hop and the length of the prefix that leads there, 0 for the gateway; -1: there is none. */
static int32_t way(const struct sn_net_port *p, const struct sn_addr *dst, struct sn_addr *hop)
{
	enum sn_family family = sn_addr_family(dst);
	const struct sn_net_if *nif = &p->nif[family];
	const struct sn_net_route *r = p->route[family], *end = r + p->routes[family];

	if (sn_addr_is_any(&nif->addr))
		return -1;
	bool direct = sn_addr_is_link_local(dst) || sn_addr_on_link(&nif->addr, dst, nif->prefix);
	while (r < end && !sn_addr_on_link(&r->dst, dst, r->prefix))
		r++;
	if (direct && (r == end || r->prefix <= nif->prefix)) {
		*hop = *dst;
		return nif->prefix;
	}
	*hop = r < end ? r->via : nif->gateway;
	return r < end ? r->prefix : sn_addr_is_any(hop) ? -1 : 0;
}

const struct sn_addr *sn_net_routed(struct sn_net_port *p, const struct sn_addr *dst)
{
	if (way(p, dst, &p->routed_via) < 0) {
		p->routed = 0;
		return &p->nif[SN_FAMILY_4].gateway; /* which is any */
	}
	p->routed = sn_addr_v4_get(dst);
	return &p->routed_via;
}

int32_t sn_net_port_add(struct sn_engine *e, const struct sn_net_port_cfg *cfg)
{
	struct sn_net *n = &e->net;
	bool v4 = !sn_addr_is_any(&cfg->addr), v6 = !sn_addr_is_any(&cfg->addr6);

	if (n->ports == SN_MAX_PORTS)
		return SN_E_NOSPC;
	if ((!v4 && !v6) || !if_valid(cfg, SN_FAMILY_4) || !if_valid(cfg, SN_FAMILY_6) || cfg->mtu < IPV4_MTU_MIN ||
	    !routes_valid(cfg, SN_FAMILY_4) || !routes_valid(cfg, SN_FAMILY_6) || sn_mac_is_group(cfg->mac))
		return SN_E_INVAL;
	if ((v4 && sn_net_addr_port(e, &cfg->addr) >= 0) || (v6 && sn_net_addr_port(e, &cfg->addr6) >= 0))
		return SN_E_EXIST;
	struct sn_net_port *p = &n->port[n->ports];
	memset(p, 0, sizeof *p);
	uint8_t head[8] = {0};
	memcpy(head, cfg->mac, 6);
	p->mac_word = sn_eth_dst_word(head);
	memcpy(p->mac, cfg->mac, 6);
	p->tx_csum = cfg->tx_csum;
	p->unit_max = SN_MIN(cfg->unit_max, SN_UNIT_MAX);
	p->mtu = cfg->mtu;
	if (v4) {
		p->nif[SN_FAMILY_4] = (struct sn_net_if){
			.addr = cfg->addr, .gateway = cfg->gateway, .prefix = (uint8_t)(96 + cfg->prefix)};
	}
	if (v6)
		p->nif[SN_FAMILY_6] =
			(struct sn_net_if){.addr = cfg->addr6, .gateway = cfg->gateway6, .prefix = cfg->prefix6};
	add_routes(p, cfg, SN_FAMILY_4);
	add_routes(p, cfg, SN_FAMILY_6);
	sn_net_port_settle(p);
	if (cfg->held)
		sn_address_hold_back(p, cfg->held);
	return (int32_t)n->ports++;
}

void sn_net_port_cfg_get(const struct sn_engine *e, uint16_t port, struct sn_net_port_cfg *out)
{
	const struct sn_net_port *p = &e->net.port[port];
	const struct sn_net_if *nif[SN_FAMILIES];

	memset(out, 0, sizeof *out);
	for (uint32_t f = 0; f < SN_FAMILIES; f++) {
		nif[f] = p->held & 1u << f ? &p->nif_held[f] : &p->nif[f];
		out->routes[f] = p->routes[f];
		for (uint32_t i = 0; i < p->routes[f]; i++) {
			const struct sn_net_route *r = &p->route[f][i];
			out->route[f][i].prefix = (uint8_t)(r->prefix - (f == SN_FAMILY_4 ? 96 : 0));
			memcpy(out->route[f][i].dst, r->dst.b, 16);
			memcpy(out->route[f][i].via, r->via.b, 16);
		}
	}
	memcpy(out->mac, p->mac, 6);
	out->addr = nif[SN_FAMILY_4]->addr;
	out->prefix = nif[SN_FAMILY_4]->prefix ? nif[SN_FAMILY_4]->prefix - 96 : 0;
	out->gateway = nif[SN_FAMILY_4]->gateway;
	out->addr6 = nif[SN_FAMILY_6]->addr;
	out->prefix6 = nif[SN_FAMILY_6]->prefix;
	out->gateway6 = nif[SN_FAMILY_6]->gateway;
	out->mtu = p->mtu;
	out->tx_csum = p->tx_csum;
	out->held = p->held;
	out->unit_max = p->unit_max;
}

uint32_t sn_net_port_count(const struct sn_engine *e) { return e->net.ports; }
uint16_t sn_net_port_mtu(const struct sn_engine *e, uint16_t port) { return e->net.port[port].mtu; }

const struct sn_addr *sn_net_port_addr(const struct sn_engine *e, uint16_t port)
{
	const struct sn_net_port *p = &e->net.port[port];

	return &p->nif[p->ip ? SN_FAMILY_4 : SN_FAMILY_6].addr;
}

const struct sn_addr *sn_net_source(const struct sn_engine *e, uint16_t port, const struct sn_addr *dst)
{
	return &e->net.port[port].nif[sn_addr_family(dst)].addr;
}

int32_t sn_net_addr_port(const struct sn_engine *e, const struct sn_addr *addr)
{
	enum sn_family family = sn_addr_family(addr);

	if (sn_addr_is_any(addr))
		return -1;
	for (uint32_t i = 0; i < e->net.ports; i++)
		if (sn_addr_eq(&e->net.port[i].nif[family].addr, addr))
			return (int32_t)i;
	return -1;
}

int32_t sn_net_addr_slot(const struct sn_engine *e, const struct sn_addr *addr)
{
	int32_t port = sn_net_addr_port(e, addr);

	return port < 0 ? -1 : port * SN_FAMILIES + (int32_t)sn_addr_family(addr);
}

bool sn_net_next_hop(const struct sn_engine *e, uint16_t port, const struct sn_addr *dst, struct sn_addr *hop)
{
	return way(&e->net.port[port], dst, hop) >= 0;
}

/* Everybody on the link of this port. */
static bool is_broadcast(const struct sn_net_port *p, uint32_t ip)
{
	return ip && ((ip ^ p->ip) & p->mask) == 0 && (ip | p->mask) == UINT32_MAX && p->mask < 0xfffffffe;
}

int32_t sn_net_route(const struct sn_engine *e, const struct sn_addr *src, const struct sn_addr *dst)
{
	const struct sn_net *n = &e->net;
	bool any = sn_addr_is_any(src);
	int32_t only = any ? -1 : sn_net_addr_port(e, src);

	if (!any && (only < 0 || !sn_addr_same_family(src, dst)))
		return SN_E_ADDRNOTAVAIL;
	if (!sn_addr_is_v4(dst) && (!sn_net_is_unicast6(dst) || sn_addr_is_link_local(dst)))
		return SN_E_NETUNREACH;
	if (sn_addr_is_any(dst))
		return SN_E_NETUNREACH;
	uint32_t ip = sn_addr_is_v4(dst) ? sn_addr_v4_get(dst) : 0;
	if (ip >> 28 >= 14) /* multicast, reserved, broadcast: RFC 9293 3.9.1.1 */
		return SN_E_NETUNREACH;
	int32_t best = SN_E_NETUNREACH, longest = -1;
	for (uint32_t i = 0; i < n->ports; i++) {
		struct sn_addr hop;
		if (only >= 0 && (uint32_t)only != i)
			continue;
		int32_t prefix = way(&n->port[i], dst, &hop);
		if (prefix > longest) {
			longest = prefix;
			best = is_broadcast(&n->port[i], ip) ? SN_E_NETUNREACH : (int32_t)i;
		}
	}
	return best;
}
