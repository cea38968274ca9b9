/* SPDX-License-Identifier: Apache-2.0
 *
 * Neighbours: IPv4 addresses on a port's network and their MAC (ARP, RFC 826).
 *
 * Timer of each entry (sn_neigh.timer):
 *   ASKING    1 s, up to SN_NEIGH_TRIES requests; then what waits is dropped and the entry goes
 *   KNOWN     when the confirmation is SN_NEIGH_FRESH old: used since then -> CHECKING, else the entry goes
 *   CHECKING  like ASKING, but the old MAC is used meanwhile
 *
 * An entry is made by sending, or by an ARP packet addressed to us. ARP between others only updates what exists.
 * With several workers, ARP addressed to us reaches one of them: it passes copies to its siblings.
 */
#include "engine/engine.h"
#include "wire/arp.h"
#include "wire/eth.h"
#include "wire/ipv4.h"

static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

bool sn_neigh_init(struct sn_engine *e)
{
	struct sn_net *n = &e->net;

	n->neigh_bucket = sn_region_take(&e->region, SN_NEIGH_BUCKETS * sizeof *n->neigh_bucket);
	bool slab = sn_slab_init(&n->neighs, &e->region, SN_NEIGH_MAX, sizeof(struct sn_neigh));
	return n->neigh_bucket && slab;
}

/* Addresses of one network differ in their low bits; the table is small and bounded, so nothing keyed is needed. */
static struct sn_neigh **bucket_of(const struct sn_net *n, uint16_t port, uint32_t ip)
{
	return &n->neigh_bucket[(ip ^ ip >> 9 ^ (uint32_t)port * 67) & (SN_NEIGH_BUCKETS - 1)];
}

static struct sn_neigh *find(const struct sn_net *n, uint16_t port, uint32_t ip)
{
	struct sn_neigh *h = *bucket_of(n, port, ip);

	while (h && (h->ip != ip || h->port != port))
		h = h->next;
	return h;
}

static void drop_waiting(struct sn_neigh *h)
{
	h->engine->counters.neigh_pending_drop += h->waiting_count;
	sn_buf_free_chain(h->waiting);
	h->waiting = NULL;
	h->waiting_tail = &h->waiting;
	h->waiting_count = 0;
}

static void forget(struct sn_neigh *h)
{
	struct sn_net *n = &h->engine->net;
	struct sn_neigh **at = bucket_of(n, h->port, h->ip);

	while (*at != h)
		at = &(*at)->next;
	*at = h->next;
	if (n->port[h->port].last == h)
		n->port[h->port].last = NULL;
	sn_wheel_cancel(&h->engine->wheel, &h->timer);
	drop_waiting(h);
	sn_slab_put(&n->neighs, h);
}

/* Table full: the entry that was used longest ago makes room, one that never answered before all others: addresses that
 * nobody has must not push out those that are in use. */
static void evict(struct sn_net *n)
{
	struct sn_neigh *oldest = NULL;

	for (uint32_t i = 0; i < SN_NEIGH_MAX; i++) {
		struct sn_neigh *h = sn_slab_at(&n->neighs, i);
		if (!h)
			continue;
		bool silent = h->state == SN_NEIGH_ASKING, old_silent = oldest && oldest->state == SN_NEIGH_ASKING;
		if (!oldest || (silent == old_silent ? h->used < oldest->used : silent))
			oldest = h;
	}
	if (oldest)
		forget(oldest);
}

static void on_timer(struct sn_timer *t, sn_time now);

static struct sn_neigh *make(struct sn_engine *e, uint16_t port, uint32_t ip, sn_time now)
{
	struct sn_net *n = &e->net;
	struct sn_neigh *h = sn_slab_take(&n->neighs);

	if (!h) {
		evict(n);
		h = sn_slab_take(&n->neighs);
	}
	if (!h)
		return NULL;
	h->timer.fire = on_timer;
	h->engine = e;
	h->ip = ip;
	h->port = port;
	h->used = now;
	h->waiting_tail = &h->waiting;
	struct sn_neigh **head = bucket_of(n, port, ip);
	h->next = *head;
	*head = h;
	return h;
}

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

static void ask(struct sn_neigh *h, sn_time now)
{
	const struct sn_net_port *p = &h->engine->net.port[h->port];
	struct sn_arp a = {.op = SN_ARP_REQUEST, .sender = p->ip, .target = h->ip};

	memcpy(a.sender_mac, p->mac, 6);
	h->tries++;
	send_arp(h->engine, h->port, broadcast, &a);
	sn_wheel_arm(&h->engine->wheel, &h->timer, now + SN_NEIGH_RETRY);
}

static void on_timer(struct sn_timer *t, sn_time now)
{
	struct sn_neigh *h = SN_CONTAINER(t, struct sn_neigh, timer);

	if (h->state == SN_NEIGH_KNOWN) {
		if (h->used <= h->confirmed) {
			forget(h);
			return;
		}
		h->state = SN_NEIGH_CHECKING;
		h->tries = 0;
	}
	if (h->tries < SN_NEIGH_TRIES) {
		ask(h, now);
		return;
	}
	struct sn_engine *e = h->engine;
	uint16_t port = h->port;
	uint32_t ip = h->ip;
	forget(h);
	if (e->tcp_ops->unreachable)
		e->tcp_ops->unreachable(e, port, ip, now);
}

/* The IP packet at tx->hdr->data gets its Ethernet header and leaves. */
static void emit_to(struct sn_engine *e, const struct sn_neigh *h, struct sn_tx *tx)
{
	tx->hdr->data -= SN_ETH_HDR;
	tx->hdr->len += SN_ETH_HDR;
	sn_eth_emit(tx->hdr->data, h->mac, e->net.port[h->port].mac, SN_ETH_IPV4);
	sn_engine_emit(e, tx);
}

/* A waiting frame must not point into anybody's memory: its payload moves behind the headers. False: it does not fit. */
static bool linearise(struct sn_tx *tx)
{
	struct sn_buf *b = tx->hdr;
	uint32_t used = (uint32_t)(b->data - b->base) + b->len;

	if (used > b->room || tx->payload_len > b->room - used)
		return false;
	for (uint32_t i = 0; i < tx->nref; i++) {
		memcpy(b->data + b->len, tx->ref[i].data, tx->ref[i].len);
		b->len += tx->ref[i].len;
	}
	tx->nref = 0;
	tx->payload_len = 0;
	return true;
}

static void wait_for(struct sn_neigh *h, struct sn_tx *tx)
{
	uint32_t most = h->engine->tight ? 1 : SN_NEIGH_PENDING;
	if (h->waiting_count >= most || (tx->nref && !linearise(tx))) {
		h->engine->counters.neigh_pending_drop++;
		sn_buf_free(tx->hdr);
		return;
	}
	tx->hdr->seq = tx->flags; /* nobody else uses the field in a frame to send */
	tx->hdr->next = NULL;
	*h->waiting_tail = tx->hdr;
	h->waiting_tail = &tx->hdr->next;
	h->waiting_count++;
}

static void flush_waiting(struct sn_neigh *h)
{
	struct sn_engine *e = h->engine;
	struct sn_buf *b = h->waiting;
	struct sn_tx tx = {.port = h->port, .l3_off = SN_ETH_HDR, .l4_off = SN_ETH_HDR + SN_IPV4_HDR};

	h->waiting = NULL;
	h->waiting_tail = &h->waiting;
	h->waiting_count = 0;
	while (b) {
		struct sn_buf *next = b->next;
		tx.hdr = b;
		tx.flags = (uint8_t)b->seq;
		emit_to(e, h, &tx);
		b = next;
	}
}

void sn_neigh_send(struct sn_engine *e, uint16_t port, uint32_t ip, struct sn_tx *tx, sn_time now)
{
	struct sn_net_port *p = &e->net.port[port];
	struct sn_neigh *h = p->last;

	if (SN_UNLIKELY(!h || h->ip != ip)) {
		h = find(&e->net, port, ip);
		if (!h && !e->net.resolved_only) {
			h = make(e, port, ip, now);
			if (h)
				ask(h, now);
		}
		if (!h || (e->net.resolved_only && h->state == SN_NEIGH_ASKING)) {
			e->counters.neigh_pending_drop++;
			sn_buf_free(tx->hdr);
			return;
		}
		p->last = h;
	}
	h->used = now;
	if (SN_LIKELY(h->state != SN_NEIGH_ASKING))
		emit_to(e, h, tx);
	else
		wait_for(h, tx);
}

static void learn(struct sn_neigh *h, const uint8_t mac[6], sn_time now)
{
	memcpy(h->mac, mac, 6);
	h->state = SN_NEIGH_KNOWN;
	h->tries = 0;
	h->confirmed = now;
	sn_wheel_arm(&h->engine->wheel, &h->timer, now + SN_NEIGH_FRESH);
	if (h->waiting)
		flush_waiting(h);
}

/* Copies of one ARP frame for every other worker. */
static void share(struct sn_engine *e, const struct sn_buf *b, uint32_t len, sn_time now)
{
	for (uint32_t w = 0; w < e->cfg.workers; w++) {
		if (w == e->cfg.worker || !sn_net_limit_take(&e->net.arp_share_limit, SN_ARP_SHARE_RATE, now))
			continue;
		struct sn_buf *copy = sn_buf_alloc(e->cfg.pool);
		if (!copy) {
			e->counters.tx_nobuf++;
			return;
		}
		copy->next = NULL;
		copy->data = copy->base + SN_HEADROOM;
		copy->len = len;
		copy->port = b->port;
		copy->flags = SN_BUF_FORWARDED;
		memcpy(copy->data, b->data, len);
		if (!e->cfg.hooks.forward || !e->cfg.hooks.forward(e->cfg.hooks.ctx, w, copy)) {
			e->counters.forward_full++;
			sn_buf_free(copy);
		}
	}
}

static void handle_arp(struct sn_engine *e, const struct sn_buf *b, const struct sn_arp *a, sn_time now)
{
	const struct sn_net_port *p = &e->net.port[b->port];
	bool for_us = a->target == p->ip, forwarded = b->flags & SN_BUF_FORWARDED;
	bool on_link = a->sender != 0 && ((a->sender ^ p->ip) & p->mask) == 0 && a->sender != p->ip;

	if (on_link) {
		struct sn_neigh *h = find(&e->net, b->port, a->sender);
		/* A request to us announces traffic; an unasked reply is nobody's business. */
		if (!h && for_us && a->op == SN_ARP_REQUEST)
			h = make(e, b->port, a->sender, now);
		if (h)
			learn(h, a->sender_mac, now);
	}
	if (!for_us || forwarded)
		return;
	if (a->op == SN_ARP_REQUEST) {
		struct sn_arp reply = {.op = SN_ARP_REPLY, .sender = p->ip, .target = a->sender};
		memcpy(reply.sender_mac, p->mac, 6);
		memcpy(reply.target_mac, a->sender_mac, 6);
		send_arp(e, b->port, a->sender_mac, &reply);
	}
	if (e->cfg.workers > 1 && on_link)
		share(e, b, SN_ETH_HDR + SN_ARP_LEN, now);
}

void sn_neigh_arp(struct sn_engine *e, struct sn_buf *b, sn_time now)
{
	struct sn_arp a;

	if (!sn_arp_parse(&a, b->data + SN_ETH_HDR, b->len - SN_ETH_HDR) || sn_mac_is_group(a.sender_mac)) {
		e->counters.rx_drop_arp++;
	} else {
		e->counters.arp_rx++;
		handle_arp(e, b, &a, now);
	}
	sn_buf_free(b);
}
