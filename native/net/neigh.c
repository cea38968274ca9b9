/* SPDX-License-Identifier: Apache-2.0
 *
 * Neighbours: addresses of both families on a port's network and their MAC. How they are asked is in arp.c and ndp.c.
 *
 * Timer of each entry (sn_neigh.timer):
 *   ASKING     1 s, up to SN_NEIGH_TRIES questions; then what waits is dropped -> FAILED
 *   FRESH      when the confirmation is SN_NEIGH_HOLD old: used since then -> CHECKING, else the entry goes
 *   CHECKING   1 s, up to SN_NEIGH_CHECKS questions, the old MAC is used meanwhile; then the entry goes
 *   FAILED     whoever needs it hears so at once, and has it asked once a second; goes after SN_NEIGH_FAIL_HOLD
 *
 * An entry is made by sending, by a request addressed to us, or by the control process, which knows those of all workers,
 * checks them before they get so old, and spreads what one has heard (neigh_news.c). Without it a worker goes on alone.
 * What is said between others only updates what exists.
 *
 * With several workers, what is addressed to us reaches one of them: it passes copies to its siblings. Who asks tells the
 * siblings as well: they wait for the same answer (neigh_share.c).
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

void sn_neigh_uncache(struct sn_neigh *h)
{
	struct sn_neigh **last = &h->engine->net.port[h->port].last[sn_addr_family(&h->addr)];

	if (*last == h)
		*last = NULL;
}

void sn_neigh_forget(struct sn_neigh *h)
{
	struct sn_net *n = &h->engine->net;
	struct sn_neigh **at = bucket_of(n, h->port, &h->addr);

	while (*at != h)
		at = &(*at)->next;
	*at = h->next;
	sn_neigh_uncache(h);
	sn_wheel_cancel(&h->engine->wheel, &h->timer);
	drop_waiting(h);
	sn_slab_put(&n->neighs, h);
}

/* Who only asked us may go first, then who never answered: neither made-up neighbours nor addresses that nobody has must
 * push out those that are in use, the former not even those that are being asked. */
static int worth(const struct sn_neigh *h)
{
	return !h->used || h->state == SN_NEIGH_FAILED ? 0 : h->state == SN_NEIGH_ASKING ? 1 : 2;
}

/* Table full: of those worth least the entry that was used longest ago makes room, unless it is worth more than `most`. */
static void evict(struct sn_net *n, int most)
{
	struct sn_neigh *least = NULL;

	for (uint32_t i = 0; i < SN_NEIGH_MAX && (!least || worth(least)); i++) {
		struct sn_neigh *h = sn_slab_at(&n->neighs, i);
		if (h && (!least || worth(h) < worth(least) || (worth(h) == worth(least) && h->used < least->used)))
			least = h;
	}
	if (least && worth(least) <= most)
		sn_neigh_forget(least);
}

static void on_timer(struct sn_timer *t, sn_time now);

static struct sn_neigh *make(struct sn_engine *e, uint16_t port, const struct sn_addr *addr, int most)
{
	struct sn_net *n = &e->net;
	struct sn_neigh *h = sn_slab_take(&n->neighs);

	if (!h) {
		evict(n, most);
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

struct sn_neigh *sn_neigh_make(struct sn_engine *e, uint16_t port, const struct sn_addr *addr)
{
	return make(e, port, addr, 2);
}

struct sn_neigh *sn_neigh_make_spare(struct sn_engine *e, uint16_t port, const struct sn_addr *addr)
{
	return make(e, port, addr, 0);
}

void sn_neigh_question(struct sn_neigh *h, sn_time now)
{
	h->asked = now;
	if (sn_addr_is_v4(&h->addr))
		sn_arp_ask(h);
	else
		sn_nd_ask(h);
}

static void ask(struct sn_neigh *h, sn_time now)
{
	struct sn_engine *e = h->engine;

	h->tries++;
	sn_neigh_question(h, now);
	sn_wheel_arm(&e->wheel, &h->timer, now + SN_NEIGH_RETRY);
	if (h->state != SN_NEIGH_ASKING)
		return;
	if (e->cfg.workers > 1)
		sn_neigh_share_question(h, now);
	if (h->tries == 1)
		sn_neigh_tell(h, SN_NEIGH_ASKED, now);
}

void sn_neigh_fail(struct sn_neigh *h, sn_time hold, sn_time now)
{
	drop_waiting(h);
	sn_neigh_uncache(h);
	h->state = SN_NEIGH_FAILED;
	h->until = now + hold;
	h->refused = true;
	sn_wheel_arm(&h->engine->wheel, &h->timer, now);
}

/* Nobody answers: who wants to connect hears of it, and goes on hearing it until the entry goes. */
static void on_timer_failed(struct sn_neigh *h, sn_time now)
{
	struct sn_engine *e = h->engine;

	if (!h->refused) {
		sn_neigh_forget(h);
		return;
	}
	h->refused = false;
	sn_wheel_arm(&e->wheel, &h->timer, h->until);
	if (e->tcp_ops->unreachable)
		e->tcp_ops->unreachable(e, h->port, &h->addr, now);
}

static void on_timer(struct sn_timer *t, sn_time now)
{
	struct sn_neigh *h = SN_CONTAINER(t, struct sn_neigh, timer);

	if (h->state == SN_NEIGH_FAILED) {
		on_timer_failed(h, now);
		return;
	}
	bool idle = h->used <= h->confirmed; /* neither asked for by us, nor sent to since it was heard */
	if (idle && h->state != SN_NEIGH_CHECKING) {
		sn_neigh_forget(h);
		return;
	}
	if (h->state == SN_NEIGH_FRESH) {
		h->state = SN_NEIGH_CHECKING;
		h->tries = 0;
	}
	bool asking = h->state == SN_NEIGH_ASKING;
	if (h->tries < (asking ? SN_NEIGH_TRIES : SN_NEIGH_CHECKS)) {
		ask(h, now);
	} else if (asking) {
		sn_neigh_tell(h, SN_NEIGH_SILENT, now);
		sn_neigh_fail(h, SN_NEIGH_FAIL_HOLD, now);
	} else {
		sn_neigh_forget(h); /* whoever needs it asks anew, all this time */
	}
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

/* False: tx is not to be sent, nor to wait. */
static bool may_send(struct sn_neigh *h, sn_time now)
{
	if (h->engine->net.resolved_only) /* no timers either */
		return h->state == SN_NEIGH_FRESH || h->state == SN_NEIGH_CHECKING;
	if (h->state != SN_NEIGH_FAILED)
		return true;
	h->refused = true;
	sn_wheel_arm(&h->engine->wheel, &h->timer, now);
	if (now - h->asked >= SN_NEIGH_RETRY) /* who goes on trying is not to wait when it is back */
		sn_neigh_question(h, now);
	return false;
}

void sn_neigh_send(struct sn_engine *e, uint16_t port, const struct sn_addr *hop, struct sn_tx *tx, sn_time now)
{
	struct sn_neigh *h = sn_neigh_find(&e->net, port, hop);

	if (!h && !e->net.resolved_only) {
		h = sn_neigh_make(e, port, hop);
		if (h)
			ask(h, now);
	}
	if (!h || !may_send(h, now)) {
		e->counters.neigh_pending_drop++;
		sn_buf_free(tx->hdr);
		return;
	}
	e->net.port[port].last[sn_addr_family(hop)] = h;
	h->used = now;
	if (h->state == SN_NEIGH_ASKING) {
		wait_for(h, tx);
		return;
	}
	if (!h->told || h->owed)
		sn_neigh_tell(h, SN_NEIGH_HEARD, now);
	else if (h->stale)
		sn_neigh_tell(h, SN_NEIGH_IN_USE, now);
	h->stale = false;
	sn_neigh_emit(e, h, h->eth_type, tx);
}

bool sn_net_may_answer(struct sn_engine *e, uint16_t port, const struct sn_addr *dst, sn_time now)
{
	struct sn_addr hop;

	if (!sn_net_next_hop(e, port, dst, &hop))
		return false;
	const struct sn_neigh *h = sn_neigh_find(&e->net, port, &hop);
	return (h && h->state != SN_NEIGH_ASKING) || sn_net_limit_take(&e->net.stranger_limit, SN_STRANGER_RATE, now);
}

void sn_neigh_learn(struct sn_neigh *h, const uint8_t mac[6], sn_time now)
{
	/* Of one that only asked us, the control process hears when it is sent to: made-up ones cost it nothing. */
	bool asking = h->state == SN_NEIGH_ASKING;
	bool news = h->checked || (asking ? h->used != 0 : h->told && !sn_mac_eq(h->mac, mac));

	memcpy(h->mac, mac, 6);
	h->state = SN_NEIGH_FRESH;
	h->tries = 0;
	h->confirmed = now;
	h->stale = h->checked = false;
	sn_wheel_arm(&h->engine->wheel, &h->timer, now + SN_NEIGH_HOLD);
	if (news)
		sn_neigh_tell(h, SN_NEIGH_HEARD, now);
	if (h->waiting)
		flush_waiting(h);
}

void sn_neigh_doubt(struct sn_neigh *h, const uint8_t mac[6], sn_time now)
{
	memcpy(h->mac, mac, 6);
	if (h->state != SN_NEIGH_CHECKING) { /* otherwise it is being asked, and this must not go on for ever */
		h->state = SN_NEIGH_CHECKING;
		h->tries = 0;
		h->checked = h->told;
		ask(h, now);
	}
	if (h->waiting)
		flush_waiting(h);
}
