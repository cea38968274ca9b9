/* SPDX-License-Identifier: Apache-2.0
 *
 * The way of a received frame down to ARP, ND, ICMP and TCP.
 */
#include "engine/engine.h"
#include "wire/eth.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/vlan.h"

bool sn_net_init(struct sn_engine *e)
{
	memset(&e->net, 0, sizeof e->net);
	e->net.rst_limit.credit = e->net.ask_limit.credit = e->net.echo_limit.credit = e->net.neigh_share_limit.credit =
		e->net.stranger_limit.credit = e->net.error_limit.credit = e->net.news.limit.credit = SN_SEC;
	bool demux = sn_demux_init(e);
	bool neigh = sn_neigh_init(e);
	bool frag = sn_frag_init(e);
	return demux && neigh && frag;
}

bool sn_net_limit_take(struct sn_net_limit *l, uint32_t rate, sn_time now)
{
	uint64_t cost = SN_SEC / rate;

	l->credit = SN_MIN(l->credit + SN_MIN(now - l->last, SN_SEC), SN_SEC);
	l->last = now;
	if (l->credit < cost)
		return false;
	l->credit -= cost;
	return true;
}

static int32_t port_of_ip(const struct sn_net *n, uint32_t ip)
{
	for (uint32_t i = 0; i < n->ports; i++)
		if (n->port[i].ip == ip)
			return (int32_t)i;
	return -1;
}

/* Nobody answers to a multicast, reserved, loopback or unspecified source, nor to one of our own addresses. */
static bool source_is_sane(const struct sn_net *n, uint32_t src)
{
	uint8_t top = (uint8_t)(src >> 24);
	return (uint8_t)(top - 1) < 223 && top != 127 && port_of_ip(n, src) < 0;
}

bool sn_net_frame_sane(const struct sn_net *n, const struct sn_flow *flow)
{
	return sn_addr_is_v4(&flow->local) && sn_addr_is_v4(&flow->remote) &&
	       port_of_ip(n, sn_addr_v4_get(&flow->local)) >= 0 && source_is_sane(n, sn_addr_v4_get(&flow->remote));
}

static void rx_ipv4(struct sn_engine *e, struct sn_buf *b, const struct sn_net_port *p, sn_time now)
{
	struct sn_ipv4 h;
	uint8_t *l3 = b->data + SN_ETH_HDR;

	if (SN_UNLIKELY(!sn_ipv4_parse(&h, l3, b->len - SN_ETH_HDR, !(b->flags & SN_BUF_CSUM_GOOD)) || !h.dst ||
			(h.dst != p->ip && port_of_ip(&e->net, h.dst) < 0) || !source_is_sane(&e->net, h.src))) {
		e->counters.rx_drop_ip++;
	} else if (SN_UNLIKELY(h.frag & (SN_IPV4_MF | SN_IPV4_OFFSET))) {
		sn_frag_rx4(e, b, &h, now);
		return;
	} else {
		struct sn_ip ip = {.src = sn_addr_v4(h.src),
				   .dst = sn_addr_v4(h.dst),
				   .hdr_len = h.hdr_len,
				   .total_len = h.total_len,
				   .proto = h.proto,
				   .tos = h.tos,
				   .ttl = h.ttl};
		if (SN_LIKELY(h.proto == SN_IP_TCP)) {
			if (SN_UNLIKELY((h.tos & SN_IP_CE) == SN_IP_CE))
				b->flags |= SN_BUF_CE;
			sn_demux_tcp(e, b, &ip, l3 + h.hdr_len, now);
			return;
		}
		if (h.proto == SN_IP_ICMP) {
			sn_icmp_rx(e, b, &ip, l3 + h.hdr_len, h.total_len - h.hdr_len, now);
			return;
		}
		e->counters.rx_drop_proto++;
	}
	sn_buf_free(b);
}

/* The two groups that everybody with an address is in. */
static bool in_group(const struct sn_net_port *p, const struct sn_addr *dst)
{
	struct sn_addr all = sn_ipv6_all_nodes(), own = sn_ipv6_solicited_node(&p->nif[SN_FAMILY_6].addr);

	return sn_addr_eq(dst, &all) || sn_addr_eq(dst, &own);
}

/* Addresses that a packet of IPv6 may bear. Those that stand for IPv4 addresses would be taken for these. */
static bool addrs_are_sane(const struct sn_engine *e, const struct sn_net_port *p, const struct sn_ip *ip)
{
	if (sn_addr_is_v4(&ip->src) || sn_addr_is_v4(&ip->dst))
		return false;
	if (!sn_addr_eq(&ip->dst, &p->nif[SN_FAMILY_6].addr) && sn_net_addr_port(e, &ip->dst) < 0 &&
	    !(ip->proto == SN_IP_ICMP6 && in_group(p, &ip->dst)))
		return false;
	if (!sn_net_is_unicast6(&ip->src) || sn_addr_is_link_local(&ip->src))
		/* What has no address yet, or one of this link alone, speaks of neighbours. */
		return ip->proto == SN_IP_ICMP6 && (sn_addr_is_any6(&ip->src) || sn_addr_is_link_local(&ip->src));
	return sn_net_addr_port(e, &ip->src) < 0;
}

static void rx_ipv6(struct sn_engine *e, struct sn_buf *b, const struct sn_net_port *p, bool to_us, sn_time now)
{
	struct sn_ip ip;
	uint8_t *l3 = b->data + SN_ETH_HDR;
	enum sn_ipv6_verdict verdict = sn_ipv6_parse(&ip, l3, b->len - SN_ETH_HDR);

	if (verdict == SN_IPV6_BAD || !addrs_are_sane(e, p, &ip)) {
		e->counters.rx_drop_ip++;
		if (verdict == SN_IPV6_OK) /* who claims our address may speak from it */
			sn_address_heard_frame(e, b, now);
	} else if (verdict == SN_IPV6_FRAGMENT) {
		if (to_us && !sn_addr_is_multicast(&ip.dst)) {
			sn_frag_rx6(e, b, &ip, now);
			return;
		}
		e->counters.rx_drop_frag++;
	} else if (ip.proto == SN_IP_ICMP6) {
		sn_icmp6_rx(e, b, &ip, !to_us || sn_addr_is_multicast(&ip.dst), l3 + ip.hdr_len,
			    ip.total_len - ip.hdr_len, now);
		return;
	} else if (ip.proto == SN_IP_TCP && to_us) {
		if (SN_UNLIKELY((ip.tos & SN_IP_CE) == SN_IP_CE))
			b->flags |= SN_BUF_CE;
		sn_demux_tcp(e, b, &ip, l3 + ip.hdr_len, now);
		return;
	} else {
		e->counters.rx_drop_proto++;
	}
	sn_buf_free(b);
}

/* A frame that a sibling forwarded lies in a buffer of the sibling's. What its connection queues must not use those up:
 * when they are short, the frame moves to one of ours. NULL: there is none. */
struct sn_buf *sn_net_bring_home(struct sn_engine *e, struct sn_buf *b)
{
	struct sn_buf *own = sn_buf_alloc(e->cfg.pool);

	if (own && b->len <= own->room - SN_HEADROOM) {
		own->next = NULL;
		own->data = own->base + SN_HEADROOM;
		own->len = b->len;
		own->port = b->port;
		own->flags = b->flags;
		own->seq = b->seq;
		memcpy(own->data, b->data, b->len);
	} else {
		e->counters.pool_refused++;
		if (own)
			sn_buf_free(own);
		own = NULL;
	}
	sn_buf_free(b);
	return own;
}

/* The Ethernet addresses of the groups of in_group(). */
static bool is_group6(const struct sn_net_port *p, const uint8_t mac[6])
{
	static const uint8_t all[6] = {0x33, 0x33, 0, 0, 0, 1}, solicited[3] = {0x33, 0x33, 0xff};

	return sn_mac_eq(mac, all) ||
	       (memcmp(mac, solicited, 3) == 0 && memcmp(mac + 3, p->nif[SN_FAMILY_6].addr.b + 13, 3) == 0);
}

/* Ports take the tag of their VLAN away (port/burst.c). What is left is a priority, or of a VLAN that is not ours. */
static void rx_tagged(struct sn_engine *e, struct sn_buf *b, sn_time now)
{
	bool priority = sn_vlan_id(b->data) == 0;

	b->data = sn_vlan_pop(b->data);
	b->len -= SN_VLAN_TAG;
	if (priority && !sn_vlan_tagged(b->data, b->len)) {
		sn_net_rx_frame(e, b, now);
		return;
	}
	e->counters.rx_drop_vlan++;
	sn_buf_free(b);
}

/* Whatever is not IPv4 for us. Not inlined, for the registers of what is. */
static __attribute__((noinline)) void rx_other(struct sn_engine *e, struct sn_buf *b, sn_time now)
{
	struct sn_eth eth;

	if (b->port < e->net.ports && sn_eth_parse(&eth, b->data, b->len)) {
		const struct sn_net_port *p = &e->net.port[b->port];
		bool ours = sn_mac_eq(eth.dst, p->mac);
		if (eth.type == SN_ETH_IPV6 && !sn_addr_is_any6(&p->nif[SN_FAMILY_6].addr) &&
		    (ours || is_group6(p, eth.dst))) {
			rx_ipv6(e, b, p, ours, now);
			return;
		}
		if (eth.type == SN_ETH_ARP && (ours || sn_mac_is_broadcast(eth.dst))) {
			sn_arp_rx(e, b, now);
			return;
		}
		if (sn_vlan_tagged(b->data, b->len)) {
			rx_tagged(e, b, now);
			return;
		}
		if (eth.type == SN_NEIGH_NOTE && b->flags & SN_BUF_FORWARDED) {
			sn_neigh_note_rx(e, b, now);
			sn_buf_free(b);
			return;
		}
		if (eth.type == SN_ETH_IPV6 && p->held & 1u << SN_FAMILY_6)
			sn_address_heard_frame(e, b, now);
	}
	e->counters.rx_drop_eth++;
	sn_buf_free(b);
}

void sn_net_rx_frame(struct sn_engine *e, struct sn_buf *b, sn_time now)
{
	if (SN_UNLIKELY(b->pool != e->cfg.pool) && sn_pool_short(b->pool)) {
		b = sn_net_bring_home(e, b);
		if (!b)
			return;
	}
	if (SN_LIKELY(b->port < e->net.ports && b->len >= SN_ETH_HDR)) {
		const struct sn_net_port *p = &e->net.port[b->port];
		if (SN_LIKELY(sn_mac_eq(sn_eth_dst(b->data), p->mac) && sn_eth_type(b->data) == SN_ETH_IPV4)) {
			rx_ipv4(e, b, p, now);
			return;
		}
	}
	rx_other(e, b, now);
}
