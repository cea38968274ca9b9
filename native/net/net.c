/* SPDX-License-Identifier: Apache-2.0
 *
 * Ports with their addresses, routes, and the way of a received frame down to ARP, ICMP and TCP.
 */
#include "engine/engine.h"
#include "wire/eth.h"
#include "wire/ipv4.h"

bool sn_net_init(struct sn_engine *e)
{
	memset(&e->net, 0, sizeof e->net);
	e->net.rst_limit.credit = e->net.arp_share_limit.credit = SN_SEC;
	bool demux = sn_demux_init(e);
	bool neigh = sn_neigh_init(e);
	return demux && neigh;
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

int32_t sn_net_port_add(struct sn_engine *e, const struct sn_net_port_cfg *cfg)
{
	struct sn_net *n = &e->net;

	if (n->ports == SN_MAX_PORTS)
		return SN_E_NOSPC;
	if (!sn_addr_is_v4(&cfg->addr) || sn_addr_is_any(&cfg->addr) || cfg->prefix > 32 || cfg->mtu < 576 ||
	    sn_mac_is_group(cfg->mac) || (!sn_addr_is_any(&cfg->gateway) && !sn_addr_is_v4(&cfg->gateway)))
		return SN_E_INVAL;
	if (sn_net_addr_port(e, &cfg->addr) >= 0)
		return SN_E_EXIST;
	struct sn_net_port *p = &n->port[n->ports];
	memset(p, 0, sizeof *p);
	uint8_t head[8] = {0};
	memcpy(head, cfg->mac, 6);
	p->mac_word = sn_eth_dst_word(head);
	memcpy(p->mac, cfg->mac, 6);
	p->tx_csum = cfg->tx_csum;
	p->mtu = cfg->mtu;
	p->addr = cfg->addr;
	p->ip = sn_addr_v4_get(&cfg->addr);
	p->prefix = cfg->prefix;
	p->mask = cfg->prefix ? UINT32_MAX << (32 - cfg->prefix) : 0;
	p->gateway = sn_addr_is_any(&cfg->gateway) ? 0 : sn_addr_v4_get(&cfg->gateway);
	return (int32_t)n->ports++;
}

void sn_net_port_cfg_get(const struct sn_engine *e, uint16_t port, struct sn_net_port_cfg *out)
{
	const struct sn_net_port *p = &e->net.port[port];

	memset(out, 0, sizeof *out);
	memcpy(out->mac, p->mac, 6);
	out->addr = p->addr;
	out->prefix = p->prefix;
	out->gateway = sn_addr_v4(p->gateway);
	out->mtu = p->mtu;
	out->tx_csum = p->tx_csum;
}

uint32_t sn_net_port_count(const struct sn_engine *e) { return e->net.ports; }
const struct sn_addr *sn_net_port_addr(const struct sn_engine *e, uint16_t port) { return &e->net.port[port].addr; }
uint16_t sn_net_port_mtu(const struct sn_engine *e, uint16_t port) { return e->net.port[port].mtu; }

static int32_t port_of_ip(const struct sn_net *n, uint32_t ip)
{
	for (uint32_t i = 0; i < n->ports; i++)
		if (n->port[i].ip == ip)
			return (int32_t)i;
	return -1;
}

int32_t sn_net_addr_port(const struct sn_engine *e, const struct sn_addr *addr)
{
	return sn_addr_is_v4(addr) ? port_of_ip(&e->net, sn_addr_v4_get(addr)) : -1;
}

int32_t sn_net_route(const struct sn_engine *e, const struct sn_addr *src, const struct sn_addr *dst)
{
	const struct sn_net *n = &e->net;
	bool any = sn_addr_is_any(src);
	int32_t only = any ? -1 : sn_net_addr_port(e, src);

	if (!any && only < 0)
		return SN_E_ADDRNOTAVAIL;
	if (!sn_addr_is_v4(dst) || sn_addr_is_any(dst))
		return SN_E_NETUNREACH;
	uint32_t ip = sn_addr_v4_get(dst);
	int32_t gateway = SN_E_NETUNREACH;
	if (ip >> 28 >= 14) /* multicast, reserved, broadcast: RFC 9293 3.9.1.1 */
		return SN_E_NETUNREACH;
	for (uint32_t i = 0; i < n->ports; i++) {
		const struct sn_net_port *p = &n->port[i];
		if (only >= 0 && (uint32_t)only != i)
			continue;
		if (((p->ip ^ ip) & p->mask) == 0) /* not to everybody on the link */
			return (ip | p->mask) == UINT32_MAX && p->mask < 0xfffffffe ? SN_E_NETUNREACH : (int32_t)i;
		if (gateway < 0 && p->gateway)
			gateway = (int32_t)i;
	}
	return gateway;
}

/* Nobody answers to a multicast, reserved, loopback or unspecified source, nor to one of our own addresses. */
static bool source_is_sane(const struct sn_net *n, uint32_t src)
{
	uint8_t top = (uint8_t)(src >> 24);
	return top != 0 && top != 127 && top < 224 && port_of_ip(n, src) < 0;
}

bool sn_net_frame_sane(const struct sn_net *n, const struct sn_flow *flow)
{
	return sn_addr_is_v4(&flow->local) && sn_addr_is_v4(&flow->remote) &&
	       port_of_ip(n, sn_addr_v4_get(&flow->local)) >= 0 && source_is_sane(n, sn_addr_v4_get(&flow->remote));
}

static void rx_ipv4(struct sn_engine *e, struct sn_buf *b, const struct sn_net_port *p, sn_time now)
{
	struct sn_ipv4 ip;
	uint8_t *l3 = b->data + SN_ETH_HDR;

	if (SN_UNLIKELY(!sn_ipv4_parse(&ip, l3, b->len - SN_ETH_HDR, !(b->flags & SN_BUF_CSUM_GOOD)) ||
			(ip.dst != p->ip && port_of_ip(&e->net, ip.dst) < 0) || !source_is_sane(&e->net, ip.src)))
		e->counters.rx_drop_ip++;
	else if (SN_UNLIKELY(ip.frag & (SN_IPV4_MF | SN_IPV4_OFFSET)))
		e->counters.rx_drop_frag++;
	else if (SN_LIKELY(ip.proto == SN_IP_TCP)) {
		if (SN_UNLIKELY((ip.tos & SN_IP_CE) == SN_IP_CE))
			b->flags |= SN_BUF_CE;
		sn_demux_tcp(e, b, &ip, l3 + ip.hdr_len, now);
		return;
	} else if (ip.proto == SN_IP_ICMP) {
		sn_icmp_rx(e, b, &ip, l3 + ip.hdr_len, ip.total_len - ip.hdr_len, now);
		return;
	} else
		e->counters.rx_drop_proto++;
	sn_buf_free(b);
}

/* A frame that a sibling forwarded lies in a buffer of the sibling's. What its connection queues must not use those up:
 * when they are short, the frame moves to one of ours. NULL: there is none. */
static struct sn_buf *bring_home(struct sn_engine *e, struct sn_buf *b)
{
	struct sn_buf *own = sn_buf_alloc(e->cfg.pool);

	if (own && b->len <= own->room - SN_HEADROOM) {
		own->next = NULL;
		own->data = own->base + SN_HEADROOM;
		own->len = b->len;
		own->port = b->port;
		own->flags = b->flags;
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

void sn_net_rx_frame(struct sn_engine *e, struct sn_buf *b, sn_time now)
{
	struct sn_eth eth;

	if (SN_UNLIKELY(b->pool != e->cfg.pool) && sn_pool_short(b->pool)) {
		b = bring_home(e, b);
		if (!b)
			return;
	}
	if (b->port < e->net.ports && sn_eth_parse(&eth, b->data, b->len)) {
		const struct sn_net_port *p = &e->net.port[b->port];
		bool ours = sn_mac_eq(eth.dst, p->mac);
		if (SN_LIKELY(ours && eth.type == SN_ETH_IPV4)) {
			rx_ipv4(e, b, p, now);
			return;
		}
		if (eth.type == SN_ETH_ARP && (ours || sn_mac_is_broadcast(eth.dst))) {
			sn_neigh_arp(e, b, now);
			return;
		}
	}
	e->counters.rx_drop_eth++;
	sn_buf_free(b);
}
