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

int32_t sn_net_port_add(struct sn_engine *e, const struct sn_net_port_cfg *cfg)
{
	struct sn_net *n = &e->net;
	bool v4 = !sn_addr_is_any(&cfg->addr), v6 = !sn_addr_is_any(&cfg->addr6);

	if (n->ports == SN_MAX_PORTS)
		return SN_E_NOSPC;
	if ((!v4 && !v6) || !if_valid(cfg, SN_FAMILY_4) || !if_valid(cfg, SN_FAMILY_6) || cfg->mtu < IPV4_MTU_MIN ||
	    sn_mac_is_group(cfg->mac))
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
		p->ip = sn_addr_v4_get(&cfg->addr);
		p->mask = cfg->prefix ? UINT32_MAX << (32 - cfg->prefix) : 0;
	}
	if (v6)
		p->nif[SN_FAMILY_6] =
			(struct sn_net_if){.addr = cfg->addr6, .gateway = cfg->gateway6, .prefix = cfg->prefix6};
	return (int32_t)n->ports++;
}

void sn_net_port_cfg_get(const struct sn_engine *e, uint16_t port, struct sn_net_port_cfg *out)
{
	const struct sn_net_port *p = &e->net.port[port];
	const struct sn_net_if *v4 = &p->nif[SN_FAMILY_4], *v6 = &p->nif[SN_FAMILY_6];

	memset(out, 0, sizeof *out);
	memcpy(out->mac, p->mac, 6);
	out->addr = v4->addr;
	out->prefix = v4->prefix ? v4->prefix - 96 : 0;
	out->gateway = v4->gateway;
	out->addr6 = v6->addr;
	out->prefix6 = v6->prefix;
	out->gateway6 = v6->gateway;
	out->mtu = p->mtu;
	out->tx_csum = p->tx_csum;
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
	const struct sn_net_if *nif = &e->net.port[port].nif[sn_addr_family(dst)];

	if (sn_addr_is_any(&nif->addr))
		return false;
	bool direct = sn_addr_is_link_local(dst) || sn_addr_on_link(&nif->addr, dst, nif->prefix);
	*hop = direct ? *dst : nif->gateway;
	return !sn_addr_is_any(hop);
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
	enum sn_family family = sn_addr_family(dst);
	int32_t gateway = SN_E_NETUNREACH;
	for (uint32_t i = 0; i < n->ports; i++) {
		const struct sn_net_if *nif = &n->port[i].nif[family];
		if ((only >= 0 && (uint32_t)only != i) || sn_addr_is_any(&nif->addr))
			continue;
		if (sn_addr_on_link(&nif->addr, dst, nif->prefix)) {
			uint32_t mask = n->port[i].mask;
			bool all = ip && (ip | mask) == UINT32_MAX && mask < 0xfffffffe; /* everybody on the link */
			return all ? SN_E_NETUNREACH : (int32_t)i;
		}
		if (gateway < 0 && !sn_addr_is_any(&nif->gateway))
			gateway = (int32_t)i;
	}
	return gateway;
}
