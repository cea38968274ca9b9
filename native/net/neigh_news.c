/* SPDX-License-Identifier: Apache-2.0
 *
 * Neighbours and the control process: what it is told, at a bounded rate, and what it orders. Only entries that are used
 * are told of, so that nobody on the link can make work for it with invented ones.
 */
#include "net/neigh.h"

#define NEWS_PAUSE (5 * SN_MSEC)

/* False: it is lost. */
static bool news(struct sn_engine *e, uint16_t port, const struct sn_addr *addr, const uint8_t mac[6], uint8_t kind,
		 sn_time now)
{
	struct sn_net_news *q = &e->net.news;

	if (!q->on)
		return true;
	if (q->n == SN_NEIGH_NEWS || !sn_net_limit_take(&q->limit, SN_NEIGH_NEWS_RATE, now)) {
		e->counters.neigh_news_lost++;
		return false;
	}
	struct sn_neigh_news *v = &q->v[q->n++];
	*v = (struct sn_neigh_news){.kind = kind, .port = port};
	memcpy(v->addr, addr->b, 16);
	memcpy(v->mac, mac, 6);
	return true;
}

void sn_neigh_tell(struct sn_neigh *h, uint8_t kind, sn_time now)
{
	h->told = true;
	h->owed = !news(h->engine, h->port, &h->addr, h->mac, kind, now);
	if (h->owed)
		sn_neigh_uncache(h); /* the next use tries again */
}

void sn_net_conflict(struct sn_engine *e, uint16_t port, const struct sn_addr *addr, const uint8_t mac[6], sn_time now)
{
	(void)news(e, port, addr, mac, SN_NEIGH_CONFLICT, now);
}

void sn_net_news_watch(struct sn_engine *e) { e->net.news.on = true; }

sn_time sn_net_news_due(const struct sn_engine *e) { return e->net.news.n ? e->net.news.due : SN_TIME_NEVER; }

bool sn_net_news_ask(struct sn_engine *e, sn_time now)
{
	struct sn_net_news *q = &e->net.news;

	if (SN_LIKELY(!q->n) || now < q->due)
		return false;
	q->due = now + NEWS_PAUSE;
	return true;
}

uint32_t sn_net_news_take(struct sn_engine *e, struct sn_neigh_news *out, uint32_t n)
{
	struct sn_net_news *q = &e->net.news;

	n = SN_MIN(n, q->n);
	memcpy(out, q->v, n * sizeof *out);
	q->n -= n;
	memmove(q->v, q->v + n, q->n * sizeof *out);
	return n;
}

static void put(struct sn_engine *e, uint16_t port, const struct sn_addr *addr, const uint8_t mac[6], sn_time now)
{
	struct sn_neigh *h = sn_neigh_find(&e->net, port, addr);

	if (!h)
		h = sn_neigh_make_spare(e, port, addr);
	if (!h)
		return;
	h->told = h->checked = h->owed = false; /* it is the control process who says so */
	sn_neigh_learn(h, mac, now);
	h->told = true;
}

static void fail(struct sn_engine *e, uint16_t port, const struct sn_addr *addr, sn_time hold, sn_time now)
{
	struct sn_neigh *h = sn_neigh_find(&e->net, port, addr);

	if (!h)
		h = sn_neigh_make_spare(e, port, addr);
	if (!h || h->state == SN_NEIGH_FRESH || h->state == SN_NEIGH_CHECKING)
		return;
	h->told = true;
	sn_neigh_fail(h, hold, now);
}

/* Of an entry that is there. */
static void entry(struct sn_neigh *h, uint8_t op, sn_time now)
{
	bool asking = h->state == SN_NEIGH_ASKING;

	if (op == SN_NEIGH_FORGET && !asking) {
		sn_neigh_forget(h);
	} else if (op == SN_NEIGH_STALE) {
		h->stale = true;
		sn_neigh_uncache(h);
	} else if (op == SN_NEIGH_ASK && !asking && h->state != SN_NEIGH_FAILED) {
		h->checked = true;
		sn_neigh_question(h, now);
	}
}

enum sn_err sn_net_order(struct sn_engine *e, const struct sn_neigh_order *o, sn_time now)
{
	struct sn_addr addr;

	memcpy(addr.b, o->addr, 16);
	if (o->port >= e->net.ports || sn_addr_is_any(&addr) || sn_mac_is_group(o->mac))
		return SN_E_INVAL;
	struct sn_neigh *h = sn_neigh_find(&e->net, o->port, &addr);
	switch (o->op) {
	case SN_NEIGH_PUT: put(e, o->port, &addr, o->mac, now); return SN_OK;
	case SN_NEIGH_FAIL: fail(e, o->port, &addr, o->hold_ms * SN_MSEC, now); return SN_OK;
	case SN_NEIGH_FORGET:
	case SN_NEIGH_STALE:
	case SN_NEIGH_ASK:
		if (h)
			entry(h, o->op, now);
		return SN_OK;
	default: return sn_address_order(e, o->op, o->port, &addr);
	}
}
