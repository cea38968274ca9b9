/* SPDX-License-Identifier: Apache-2.0
 *
 * ARP (RFC 826): how IPv4 neighbours are asked and heard.
 */
#include "wire/arp.h"

#include "net/neigh.h"
#include "wire/eth.h"

static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static void send_arp(struct sn_engine *e, uint16_t port, const uint8_t to[6], const struct sn_arp *a)
{
	struct sn_tx tx = {.port = port, .flags = SN_TX_CSUM_DONE};

	tx.hdr = sn_buf_alloc(e->cfg.pool);
	if (!tx.hdr) {
		e->counters.tx_nobuf++;
		return;
	}
	tx.hdr->data = tx.hdr->base + SN_HEADROOM;
	tx.hdr->len = SN_ETH_HDR + SN_ARP_LEN;
	sn_eth_emit(tx.hdr->data, to, e->net.port[port].mac, SN_ETH_ARP);
	sn_arp_emit(tx.hdr->data + SN_ETH_HDR, a);
	tx.l3_off = SN_ETH_HDR;
	tx.l4_off = SN_ETH_HDR + SN_ARP_LEN;
	e->counters.arp_tx++;
	sn_engine_emit(e, &tx);
}

void sn_arp_ask(const struct sn_neigh *h)
{
	const struct sn_net_port *p = &h->engine->net.port[h->port];
	struct sn_arp a = {.op = SN_ARP_REQUEST, .sender = p->ip, .target = sn_addr_v4_get(&h->addr)};

	memcpy(a.sender_mac, p->mac, 6);
	send_arp(h->engine, h->port, broadcast, &a);
}

void sn_arp_probe(struct sn_engine *e, uint16_t port, const struct sn_addr *addr)
{
	struct sn_arp a = {.op = SN_ARP_REQUEST, .target = sn_addr_v4_get(addr)};

	memcpy(a.sender_mac, e->net.port[port].mac, 6);
	send_arp(e, port, broadcast, &a);
}

void sn_arp_announce(struct sn_engine *e, uint16_t port)
{
	const struct sn_net_port *p = &e->net.port[port];
	struct sn_arp a = {.op = SN_ARP_REQUEST, .sender = p->ip, .target = p->ip};

	memcpy(a.sender_mac, p->mac, 6);
	send_arp(e, port, broadcast, &a);
}

static void handle_arp(struct sn_engine *e, const struct sn_buf *b, const struct sn_arp *a, sn_time now)
{
	const struct sn_net_port *p = &e->net.port[b->port];
	bool for_us = p->ip && a->target == p->ip, forwarded = b->flags & SN_BUF_FORWARDED;
	bool on_link = p->ip && a->sender != 0 && ((a->sender ^ p->ip) & p->mask) == 0 && a->sender != p->ip;

	if (on_link) {
		struct sn_addr sender = sn_addr_v4(a->sender);
		struct sn_neigh *h = sn_neigh_find(&e->net, b->port, &sender);
		/* A request to us announces traffic; an unasked reply is nobody's business. */
		if (!h && for_us && a->op == SN_ARP_REQUEST)
			h = sn_neigh_make(e, b->port, &sender);
		if (h)
			sn_neigh_learn(h, a->sender_mac, now);
	}
	if (!for_us || forwarded || a->sender == p->ip) /* who claims our address is dealt with in address.c */
		return;
	if (a->op == SN_ARP_REQUEST) {
		struct sn_arp reply = {.op = SN_ARP_REPLY, .sender = p->ip, .target = a->sender};
		memcpy(reply.sender_mac, p->mac, 6);
		memcpy(reply.target_mac, a->sender_mac, 6);
		send_arp(e, b->port, a->sender_mac, &reply);
	}
	if (e->cfg.workers > 1 && on_link)
		sn_neigh_share(e, b, SN_ETH_HDR + SN_ARP_LEN, now);
}

void sn_arp_rx(struct sn_engine *e, struct sn_buf *b, sn_time now)
{
	struct sn_arp a;

	if (!sn_arp_parse(&a, b->data + SN_ETH_HDR, b->len - SN_ETH_HDR) || sn_mac_is_group(a.sender_mac)) {
		e->counters.rx_drop_arp++;
	} else {
		e->counters.arp_rx++;
		sn_address_heard_arp(e, b->port, &a, now);
		handle_arp(e, b, &a, now);
	}
	sn_buf_free(b);
}
