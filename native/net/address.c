/* SPDX-License-Identifier: Apache-2.0
 *
 * Our own addresses against others who use them: whether one is free (RFC 5227 2.1.1, RFC 4862 5.4), announcing it
 * (RFC 5227 2.3, RFC 4861 7.2.6), defending it (RFC 5227 2.4 c).
 *
 * An address that is to be probed first is held back: until the control process says that it is ready, the port neither
 * answers for it nor sends from it. Who times probes and announcements is the control process (ctrl/addresses.py).
 */
#include "net/neigh.h"
#include "wire/arp.h"
#include "wire/icmp6.h"
#include "wire/ipv6.h"

#define DEFEND_INTERVAL (10 * SN_SEC)

void sn_address_hold_back(struct sn_net_port *p, uint8_t families)
{
	p->held = families;
	for (uint32_t f = 0; f < SN_FAMILIES; f++) {
		if (!(families & 1u << f))
			continue;
		p->nif_held[f] = p->nif[f];
		p->nif[f] = (struct sn_net_if){0};
	}
	sn_net_port_settle(p);
}

static void ready(struct sn_net_port *p, enum sn_family family)
{
	p->held &= (uint8_t) ~(1u << family);
	p->nif[family] = p->nif_held[family];
	sn_net_port_settle(p);
}

enum sn_err sn_address_order(struct sn_engine *e, uint8_t op, uint16_t port, const struct sn_addr *addr)
{
	struct sn_net_port *p = &e->net.port[port];
	enum sn_family family = sn_addr_family(addr);
	bool held = p->held & 1u << family;

	if (!sn_addr_eq(addr, held ? &p->nif_held[family].addr : &p->nif[family].addr))
		return SN_E_INVAL;
	if (op == SN_ADDR_READY && held)
		ready(p, family);
	else if (op == SN_ADDR_ANNOUNCE && !held)
		sn_address_announce(e, port, family);
	else if (op == SN_ADDR_PROBE && held && family == SN_FAMILY_4)
		sn_arp_probe(e, port, addr);
	else if (op == SN_ADDR_PROBE && held)
		sn_nd_probe(e, port, addr);
	else
		return op == SN_ADDR_READY ? SN_OK : SN_E_INVAL;
	return SN_OK;
}

void sn_address_announce(struct sn_engine *e, uint16_t port, enum sn_family family)
{
	if (family == SN_FAMILY_4)
		sn_arp_announce(e, port);
	else
		sn_nd_announce(e, port);
}

/* Somebody else has it too. We keep it, and say so, but not all the time: two that both defend would never end. */
static void conflict(struct sn_engine *e, uint16_t port, enum sn_family family, const uint8_t mac[6], sn_time now)
{
	struct sn_net_port *p = &e->net.port[port];
	bool held = p->held & 1u << family;

	e->counters.addr_conflict++;
	if (p->defended[family] && now - p->defended[family] < DEFEND_INTERVAL)
		return;
	if (!held) {
		p->defended[family] = SN_MAX(now, 1u);
		e->counters.addr_defended++;
		sn_address_announce(e, port, family);
	}
	sn_net_conflict(e, port, held ? &p->nif_held[family].addr : &p->nif[family].addr, mac, now);
}

void sn_address_heard_arp(struct sn_engine *e, uint16_t port, const struct sn_arp *a, sn_time now)
{
	const struct sn_net_port *p = &e->net.port[port];
	bool held = p->held & 1u << SN_FAMILY_4;
	uint32_t ip = held ? sn_addr_v4_get(&p->nif_held[SN_FAMILY_4].addr) : p->ip;

	if (!ip || sn_mac_eq(a->sender_mac, p->mac))
		return;
	/* Two that probe for the same address at once hear each other's probes alone. */
	if (a->sender == ip || (held && !a->sender && a->op == SN_ARP_REQUEST && a->target == ip))
		conflict(e, port, SN_FAMILY_4, a->sender_mac, now);
}

void sn_address_heard_nd(struct sn_engine *e, const struct sn_buf *b, const struct sn_ip *ip, const struct sn_nd *nd,
			 sn_time now)
{
	const struct sn_net_port *p = &e->net.port[b->port];
	bool held = p->held & 1u << SN_FAMILY_6;
	const uint8_t *mac = nd->has_mac ? nd->mac : b->data + 6;
	bool probe = nd->type == SN_ICMP6_SOLICIT && sn_addr_is_any6(&ip->src);

	if (sn_addr_eq(&nd->target, held ? &p->nif_held[SN_FAMILY_6].addr : &p->nif[SN_FAMILY_6].addr) &&
	    !sn_mac_eq(mac, p->mac) && (nd->type == SN_ICMP6_ADVERTISE || (held && probe)))
		conflict(e, b->port, SN_FAMILY_6, mac, now);
}

void sn_address_heard_frame(struct sn_engine *e, const struct sn_buf *b, sn_time now)
{
	const uint8_t *l3 = b->data + SN_ETH_HDR;
	struct sn_ip ip;
	struct sn_icmp6 m;
	struct sn_nd nd;

	if (sn_ipv6_parse(&ip, l3, b->len - SN_ETH_HDR) != SN_IPV6_OK || ip.proto != SN_IP_ICMP6)
		return;
	const uint8_t *p = l3 + ip.hdr_len;
	uint32_t len = ip.total_len - ip.hdr_len;
	if (sn_icmp6_parse(&m, &ip, p, len) && sn_nd_parse(&nd, &ip, p, len))
		sn_address_heard_nd(e, b, &ip, &nd, now);
}
