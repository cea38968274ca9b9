/* SPDX-License-Identifier: Apache-2.0
 *
 * Neighbour discovery (RFC 4861 7.2): how IPv6 neighbours are asked and heard. We ask from our global address: there is
 * no link-local one of ours. Routers are configured, not discovered; redirects are not believed.
 */
#include "net/neigh.h"
#include "wire/eth.h"
#include "wire/icmp6.h"
#include "wire/ipv6.h"

enum { HOP_LIMIT = 255 };

/* One message of ours to `dst`, whose MAC is `to`. Without an address that is ready it comes from nobody. */
static void send_nd(struct sn_engine *e, uint16_t port, const uint8_t to[6], const struct sn_addr *dst,
		    const struct sn_nd *nd)
{
	const struct sn_net_port *p = &e->net.port[port];
	struct sn_tx tx = {.port = port, .flags = SN_TX_CSUM_DONE | SN_TX_IPV6};
	struct sn_ip ip = {
		.src = p->nif[SN_FAMILY_6].addr, .dst = *dst, .proto = SN_IP_ICMP6, .ttl = HOP_LIMIT, .tos = 0};

	tx.hdr = sn_buf_alloc(e->cfg.pool);
	if (!tx.hdr) {
		e->counters.tx_nobuf++;
		return;
	}
	uint8_t *at = tx.hdr->data = tx.hdr->base + SN_HEADROOM;
	tx.l3_off = SN_ETH_HDR;
	tx.l4_off = SN_ETH_HDR + SN_IPV6_HDR;
	uint32_t len = sn_nd_emit(at + tx.l4_off, nd, &ip.src, &ip.dst);
	ip.total_len = (uint16_t)(SN_IPV6_HDR + len);
	sn_ipv6_emit(at + tx.l3_off, &ip);
	sn_eth_emit(at, to, p->mac, SN_ETH_IPV6);
	tx.hdr->len = tx.l4_off + len;
	e->counters.nd_tx++;
	sn_engine_emit(e, &tx);
}

/* Whose MAC is unknown is asked through his group; one that is only to be checked is asked himself (7.3.3). */
void sn_nd_ask(const struct sn_neigh *h)
{
	struct sn_nd nd = {.type = SN_ICMP6_SOLICIT, .has_mac = true, .target = h->addr};
	struct sn_addr group = sn_ipv6_solicited_node(&h->addr);
	uint8_t mac[6];

	memcpy(nd.mac, h->engine->net.port[h->port].mac, 6);
	if (h->state == SN_NEIGH_FRESH || h->state == SN_NEIGH_CHECKING) {
		send_nd(h->engine, h->port, h->mac, &h->addr, &nd);
		return;
	}
	sn_ipv6_group_mac(mac, &group);
	send_nd(h->engine, h->port, mac, &group, &nd);
}

/* RFC 4862 5.4.2. */
void sn_nd_probe(struct sn_engine *e, uint16_t port, const struct sn_addr *addr)
{
	struct sn_nd nd = {.type = SN_ICMP6_SOLICIT, .target = *addr};
	struct sn_addr group = sn_ipv6_solicited_node(addr);
	uint8_t mac[6];

	sn_ipv6_group_mac(mac, &group);
	send_nd(e, port, mac, &group, &nd);
}

/* 7.2.6. */
void sn_nd_announce(struct sn_engine *e, uint16_t port)
{
	const struct sn_net_port *p = &e->net.port[port];
	struct sn_nd nd = {.type = SN_ICMP6_ADVERTISE,
			   .flags = SN_ND_OVERRIDE,
			   .has_mac = true,
			   .target = p->nif[SN_FAMILY_6].addr};
	struct sn_addr all = sn_ipv6_all_nodes();
	uint8_t group[6];

	memcpy(nd.mac, p->mac, 6);
	sn_ipv6_group_mac(group, &all);
	send_nd(e, port, group, &all, &nd);
}

/* 7.2.4. A question from nobody is one for a free address: all hear that it is not. */
static void answer(struct sn_engine *e, uint16_t port, const struct sn_addr *asker, const uint8_t mac[6],
		   const struct sn_addr *target)
{
	struct sn_nd nd = {.type = SN_ICMP6_ADVERTISE,
			   .flags = SN_ND_OVERRIDE | SN_ND_SOLICITED,
			   .has_mac = true,
			   .target = *target};

	if (sn_addr_is_any6(asker)) {
		sn_nd_announce(e, port);
		return;
	}
	memcpy(nd.mac, e->net.port[port].mac, 6);
	send_nd(e, port, mac, asker, &nd);
}

static void handle_solicit(struct sn_engine *e, const struct sn_buf *b, const struct sn_ip *ip, const struct sn_nd *nd,
			   sn_time now)
{
	const struct sn_net_if *nif = &e->net.port[b->port].nif[SN_FAMILY_6];
	bool forwarded = b->flags & SN_BUF_FORWARDED;

	if (!sn_addr_eq(&nd->target, &nif->addr))
		return;
	bool on_link = sn_addr_is_link_local(&ip->src) || sn_addr_on_link(&ip->src, &nif->addr, nif->prefix);
	if (on_link && nd->has_mac) {
		struct sn_neigh *h = sn_neigh_find(&e->net, b->port, &ip->src);
		if (!h)
			h = sn_neigh_make(e, b->port, &ip->src);
		if (h)
			sn_neigh_learn(h, nd->mac, now);
		if (!forwarded && e->cfg.workers > 1)
			sn_neigh_share(e, b, SN_ETH_HDR + ip->total_len, now);
	}
	/* A neighbour that knows us may leave its MAC out: the frame has it. */
	const uint8_t *mac = nd->has_mac ? nd->mac : b->data + 6;
	if (!forwarded && !sn_mac_is_group(mac))
		answer(e, b->port, &ip->src, mac, &nd->target);
}

/* 7.2.5, on three states: what RFC 4861 calls STALE is checked at once. No entry comes from an advertisement. */
static void hear(struct sn_neigh *h, const struct sn_nd *nd, sn_time now)
{
	bool asking = h->state == SN_NEIGH_ASKING || h->state == SN_NEIGH_FAILED;
	bool other = asking || (nd->has_mac && !sn_mac_eq(nd->mac, h->mac));

	if (asking && !nd->has_mac)
		return;
	if (other && !asking && !(nd->flags & SN_ND_OVERRIDE))
		return;
	if (nd->flags & SN_ND_SOLICITED)
		sn_neigh_learn(h, nd->has_mac ? nd->mac : h->mac, now);
	else if (other)
		sn_neigh_doubt(h, nd->mac, now);
}

static void handle_advertise(struct sn_engine *e, const struct sn_buf *b, const struct sn_ip *ip,
			     const struct sn_nd *nd, sn_time now)
{
	struct sn_neigh *h = sn_neigh_find(&e->net, b->port, &nd->target);

	if (!(b->flags & SN_BUF_FORWARDED))
		sn_address_heard_nd(e, b, ip, nd, now);
	if (h)
		hear(h, nd, now);
	if (!(b->flags & SN_BUF_FORWARDED) && e->cfg.workers > 1 && !sn_addr_is_multicast(&ip->dst))
		sn_neigh_share(e, b, SN_ETH_HDR + ip->total_len, now);
}

void sn_nd_rx(struct sn_engine *e, struct sn_buf *b, const struct sn_ip *ip, const uint8_t *p, uint32_t len,
	      sn_time now)
{
	struct sn_nd nd;

	if (!sn_nd_parse(&nd, ip, p, len)) {
		e->counters.rx_drop_nd++;
	} else {
		e->counters.nd_rx++;
		if (nd.type == SN_ICMP6_SOLICIT)
			handle_solicit(e, b, ip, &nd, now);
		else
			handle_advertise(e, b, ip, &nd, now);
	}
	sn_buf_free(b);
}
