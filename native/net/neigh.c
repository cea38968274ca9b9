/* SPDX-License-Identifier: Apache-2.0
 *
 * Neighbours: addresses of both families on a port's network and their MAC. How they are asked is in arp.c and ndp.c.
 *
 * Timer of each entry (sn_neigh.timer):
 *   ASKING     1 s, up to SN_NEIGH_TRIES requests; then what waits is dropped and the entry goes
 *   FRESH      when the confirmation is SN_NEIGH_HOLD old: used since then -> CHECKING, else the entry goes
 *   CHECKING   like ASKING, but the old MAC is used meanwhile
 *
 * An entry is made by sending, or by a request addressed to us. What is said between others only updates what exists.
 * With several workers, what is addressed to us reaches one of them: it passes copies to its siblings.
 */
#include "net/neigh.h"

#include "wire/ipv4.h"
#include "wire/ipv6.h"

bool sn_neigh_init(struct sn_engine *e)
{
	struct sn_net *n = &e->net;

	n->neigh_bucket = sn_region_take(&e->region, SN_NEIGH_BUCKETS * sizeof *n->neigh_bucket);
	bool slab = sn_slab_init(&n->neighs, &e->region, SN_NEIGH_MAX, sizeof(struct sn_neigh));
	return n->neigh_bucket && slab;
}

/* Addresses of one network differ in their low bits; the table is small and bounded, so nothing keyed is needed. */
static struct sn_neigh **bucket_of(const struct sn_net *n, uint16_t port, const struct sn_addr *addr)
{
	uint32_t low = sn_get32(addr->b + 12) ^ sn_get32(addr->b + 8);

	return &n->neigh_bucket[(low ^ low >> 9 ^ (uint32_t)port * 67) & (SN_NEIGH_BUCKETS - 1)];
}

struct sn_neigh *sn_neigh_find(const struct sn_net *n, uint16_t port, const struct sn_addr *addr)
{
	struct sn_neigh *h = *bucket_of(n, port, addr);

	while (h && (h->port != port || !sn_addr_eq(&h->addr, addr)))
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
	struct sn_neigh **at = bucket_of(n, h->port, &h->addr);

	while (*at != h)
		at = &(*at)->next;
	*at = h->next;
	struct sn_neigh **last = &n->port[h->port].last[sn_addr_family(&h->addr)];
	if (*last == h)
		*last = NULL;
	sn_wheel_cancel(&h->engine->wheel, &h->timer);
	drop_waiting(h);
	sn_slab_put(&n->neighs, h);
}

/* Who only asked us may go first, then who never answered: neither made-up neighbours nor addresses that nobody has must
 * push out those that are in use, the former not even those that are being asked. */
static int worth(const struct sn_neigh *h) { return !h->used ? 0 : h->state == SN_NEIGH_ASKING ? 1 : 2; }

/* Table full: of those worth least the entry that was used longest ago makes room. */
static void evict(struct sn_net *n)
{
	struct sn_neigh *least = NULL;

	for (uint32_t i = 0; i < SN_NEIGH_MAX && (!least || worth(least)); i++) {
		struct sn_neigh *h = sn_slab_at(&n->neighs, i);
		if (h && (!least || worth(h) < worth(least) || (worth(h) == worth(least) && h->used < least->used)))
			least = h;
	}
	if (least)
		forget(least);
}

static void on_timer(struct sn_timer *t, sn_time now);

struct sn_neigh *sn_neigh_make(struct sn_engine *e, uint16_t port, const struct sn_addr *addr)
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
	h->addr = *addr;
	h->eth_type = sn_addr_is_v4(addr) ? SN_ETH_IPV4 : SN_ETH_IPV6;
	h->port = port;
	h->waiting_tail = &h->waiting;
	struct sn_neigh **head = bucket_of(n, port, addr);
	h->next = *head;
	*head = h;
	return h;
}

static void ask(struct sn_neigh *h, sn_time now)
{
	h->tries++;
	if (sn_addr_is_v4(&h->addr))
		sn_arp_ask(h);
	else
		sn_nd_ask(h);
	sn_wheel_arm(&h->engine->wheel, &h->timer, now + SN_NEIGH_RETRY);
}

static void on_timer(struct sn_timer *t, sn_time now)
{
	struct sn_neigh *h = SN_CONTAINER(t, struct sn_neigh, timer);

	if (h->state == SN_NEIGH_FRESH) {
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
	struct sn_addr hop = h->addr;
	forget(h);
	if (e->tcp_ops->unreachable)
		e->tcp_ops->unreachable(e, port, &hop, now);
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
	/* A unit would wait as sixteen frames do: what it carries comes again. */
	if (h->waiting_count >= most || tx->segs || (tx->nref && !linearise(tx))) {
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
	struct sn_tx tx = {.port = h->port, .l3_off = SN_ETH_HDR};

	tx.l4_off = SN_ETH_HDR + (h->eth_type == SN_ETH_IPV4 ? SN_IPV4_HDR : SN_IPV6_HDR);

	h->waiting = NULL;
	h->waiting_tail = &h->waiting;
	h->waiting_count = 0;
	while (b) {
		struct sn_buf *next = b->next;
		tx.hdr = b;
		tx.flags = (uint8_t)b->seq;
		sn_neigh_emit(e, h, h->eth_type, &tx);
		b = next;
	}
}

void sn_neigh_send(struct sn_engine *e, uint16_t port, const struct sn_addr *hop, struct sn_tx *tx, sn_time now)
{
	struct sn_neigh *h = sn_neigh_find(&e->net, port, hop);

	if (!h && !e->net.resolved_only) {
		h = sn_neigh_make(e, port, hop);
		if (h)
			ask(h, now);
	}
	if (!h || (e->net.resolved_only && h->state == SN_NEIGH_ASKING)) {
		e->counters.neigh_pending_drop++;
		sn_buf_free(tx->hdr);
		return;
	}
	e->net.port[port].last[sn_addr_family(hop)] = h;
	h->used = now;
	if (h->state != SN_NEIGH_ASKING)
		sn_neigh_emit(e, h, h->eth_type, tx);
	else
		wait_for(h, tx);
}

void sn_neigh_learn(struct sn_neigh *h, const uint8_t mac[6], sn_time now)
{
	memcpy(h->mac, mac, 6);
	h->state = SN_NEIGH_FRESH;
	h->tries = 0;
	h->confirmed = now;
	sn_wheel_arm(&h->engine->wheel, &h->timer, now + SN_NEIGH_HOLD);
	if (h->waiting)
		flush_waiting(h);
}

void sn_neigh_doubt(struct sn_neigh *h, const uint8_t mac[6], sn_time now)
{
	memcpy(h->mac, mac, 6);
	if (h->state != SN_NEIGH_CHECKING) { /* otherwise it is being asked, and this must not go on for ever */
		h->state = SN_NEIGH_CHECKING;
		h->tries = 0;
		ask(h, now);
	}
	if (h->waiting)
		flush_waiting(h);
}

void sn_neigh_share(struct sn_engine *e, const struct sn_buf *b, uint32_t len, sn_time now)
{
	for (uint32_t w = 0; w < e->cfg.workers; w++) {
		if (w == e->cfg.worker || !sn_net_limit_take(&e->net.neigh_share_limit, SN_NEIGH_SHARE_RATE, now))
			continue;
		struct sn_buf *copy = sn_buf_alloc(e->cfg.pool);
		if (!copy || len > copy->room - SN_HEADROOM) {
			e->counters.tx_nobuf++;
			if (copy)
				sn_buf_free(copy);
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
