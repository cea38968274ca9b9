/* SPDX-License-Identifier: Apache-2.0
 *
 * Taking new data and FIN from the owner: how much may go, cutting into segments, one record for each.
 */
#include "tcp/tcp.h"

#define IDLE_MIN (200 * SN_MSEC) /* a pause is no idleness that the network forgets, however short RTO may be */

enum { SHORT_FLIGHT = 32 }; /* segments in flight per flow while records are short */

/* Records are shared by all flows, and looking through them takes time: a peer that takes tiny segments, or acknowledges
 * nothing any more, must not hold too many. When they run short a flow keeps what it needs to get on. */
static uint32_t record_room(const struct sn_tcp *t)
{
	const struct sn_slab *segs = &t->e->tcp.segs;
	bool is_short = segs->count - segs->used < segs->count / 8;
	uint64_t may = (uint64_t)(is_short ? SHORT_FLIGHT : SN_MAX(segs->count / 4, (uint32_t)SHORT_FLIGHT)) * t->mss;
	uint32_t out = t->snd_nxt - t->snd_una;

	return out < may ? (uint32_t)SN_MIN(may - out, (uint64_t)UINT32_MAX) : 0;
}

uint32_t sn_tcp_room(struct sn_tcp *t, sn_time now)
{
	if (!sn_tcp_can_send(t))
		return 0;
	if (SN_UNLIKELY(!t->txq && now - t->last_send > SN_MAX(t->rto, IDLE_MIN) && t->last_send))
		sn_cc_idle(t, now);
	uint32_t flight = sn_tcp_in_flight(t);
	uint32_t room = t->cwnd > flight ? t->cwnd - flight : 0;

	if (t->probing)
		room = SN_MAX(room, sn_tcp_probe_len(t));
	if (!t->shared) {
		int32_t open = (int32_t)(t->snd_una + t->snd_wnd - t->snd_nxt);
		uint32_t usable = open > 0 ? (uint32_t)open : 0;
		/* Nothing in flight will bring an update: ask for one (RFC 9293 3.8.6.1). */
		if (!usable && !t->txq && t->clock == SN_CLOCK_NONE) {
			t->backoff = t->unanswered = 0;
			sn_tcp_clock_set(t, SN_CLOCK_PERSIST, now + sn_tcp_rto(t));
		}
		/* RFC 9293 3.8.6.2.1: no small segments into a window that opens by inches. */
		if (usable < t->mss && t->txq && usable < t->max_wnd / 2)
			usable = 0;
		room = SN_MIN(room, usable);
	}
	room = SN_MIN(room, record_room(t));
	if (SN_UNLIKELY(t->probing)) {
		if (room >= sn_tcp_probe_len(t))
			return room;
	} else if (t->ccx.rate && room) {
		room = sn_pace_room(t, room, now);
	}
	if (room >= t->mss)
		return room - room % t->mss;
	return flight ? 0 : room;
}

/* How many of `want` bytes at `off` into `c` one segment can take: what lies in SN_TX_REFS pieces, or what may be
 * copied. */
static inline uint32_t reachable(const struct sn_chunk *c, uint32_t off, uint32_t want)
{
	uint32_t n = 0, pieces = 0;

	if (SN_LIKELY(c && c->len - off >= want)) /* all of it in one piece */
		return want;
	for (; c && n < want && (pieces < SN_TX_REFS || n < SN_TCP_COPY_MAX); c = c->next, off = 0) {
		uint32_t more = c->len - off;
		if (more && ++pieces > SN_TX_REFS)
			more = SN_MIN(more, SN_TCP_COPY_MAX - n);
		n += more;
	}
	return SN_MIN(n, want);
}

/* References every chunk under a record; moves (*c, *off) behind it. */
static inline void hold(struct sn_chunk **c, uint32_t *off, uint32_t len)
{
	while (len) {
		uint32_t n = SN_MIN((*c)->len - *off, len);
		(*c)->refs++;
		len -= n;
		*off += n;
		if (len) {
			*c = (*c)->next;
			*off = 0;
		}
	}
}

/* Steps over what is used up. */
static inline void skip(struct sn_chunk **c, uint32_t *off)
{
	while (*c && *off >= (*c)->len) {
		*off -= (*c)->len;
		*c = (*c)->next;
	}
}

/* How many of `want` bytes may leave as one unit now: whole segments, or all of them. 0: segment by segment. */
static uint32_t unit_len(const struct sn_tcp *t, const struct sn_chunk *c, uint32_t off, uint32_t want, uint64_t dsn)
{
	uint32_t may = SN_MIN(t->e->net.port[t->port].unit_max, want), n = 0;

	/* A probe is one segment. SACK blocks have room on a short last segment only, and a D-SACK is said once. */
	if (may <= t->mss || t->probing || t->nranges || t->dsack_owed)
		return 0;
	if (t->up->unit && t->owner)
		may = SN_MIN(may, t->up->unit(t->owner, dsn, want));
	for (uint32_t pieces = 0; c && n < may && pieces < SN_TX_REFS; c = c->next, off = 0) {
		n += c->len - off;
		pieces += c->len != off;
	}
	n = SN_MIN(n, may);
	if (n < want)
		n -= n % t->mss;
	return n > t->mss ? n : 0;
}

/* Sends `len` bytes from (*c, *off) on as one unit, or so many of them as there are records for; moves (*c, *off) behind
 * them. `last`: nothing follows. Returns the bytes sent; 0 if there is no room for two segments. */
static __attribute__((noinline)) uint32_t send_unit(struct sn_tcp *t, struct sn_chunk **c, uint32_t *off, uint32_t len,
						    uint64_t dsn, bool last, sn_time now)
{
	struct sn_slab *segs = &t->e->tcp.segs;
	struct sn_tcp_txseg *first = NULL, **tail = &first, *s;
	struct sn_chunk *k = *c;
	uint32_t n = 0, at = 0, from = *off;

	for (; at < len && (s = sn_slab_take_dirty(segs)); n++) {
		skip(&k, &from);
		s->chunk = k;
		s->off = from;
		s->len = (uint16_t)SN_MIN(len - at, t->mss);
		s->dsn = dsn + at;
		s->map_off = (uint16_t)at;
		at += s->len;
		s->flags = last && at == len ? SN_TXS_PSH : 0;
		hold(&k, &from, s->len);
		*tail = s;
		tail = &s->next;
	}
	*tail = NULL;
	for (s = first; s; s = s->next)
		s->map_len = (uint16_t)at;
	if (n > 1 && sn_tcp_emit_unit(t, first, n, now)) {
		*c = k;
		*off = from;
		return at;
	}
	while ((s = first)) {
		first = s->next;
		sn_txseg_drop_refs(s);
		sn_slab_put(segs, s);
	}
	return 0;
}

int32_t sn_tcp_send(struct sn_tcp *t, struct sn_chunk *c, uint32_t off, uint32_t len, uint64_t dsn, sn_time now)
{
	uint32_t sent = 0;

	if (!sn_tcp_can_send(t))
		return t->state < SN_TCP_ESTABLISHED ? SN_E_NOTCONN : SN_E_PIPE;
	if (now != t->ccx.asked)
		sn_rate_check_limited(t);
	t->ccx.asked = now;
	/* An answer: the ACKs of a conversation travel with its data. */
	if (t->quick && t->last_recv && now - t->last_recv < t->e->cfg.tcp.delack)
		t->quick = 0;
	if (SN_UNLIKELY(t->probing == SN_PROBING_PMTU))
		sn_pmtu_raise(t, len);
	bool units = len > t->mss && t->e->net.port[t->port].unit_max && !t->probing;
	while (sent < len) {
		skip(&c, &off);
		uint32_t n = units ? unit_len(t, c, off, len - sent, dsn + sent) : 0;
		if (n && (n = send_unit(t, &c, &off, n, dsn + sent, sent + n == len, now))) {
			sent += n;
			continue;
		}
		units = false; /* what is left goes segment by segment */
		n = c ? reachable(c, off, SN_MIN(len - sent, t->mss)) : 0;
		if (!n)
			break;
		struct sn_tcp_txseg *s = sn_slab_take_dirty(&t->e->tcp.segs);
		if (SN_UNLIKELY(!s)) {
			t->e->counters.tcp_mem_limit++;
			break;
		}
		s->chunk = c;
		s->off = off;
		s->len = (uint16_t)n;
		s->dsn = dsn + sent;
		s->map_off = 0;
		s->map_len = s->len;
		s->flags = sent + n == len ? SN_TXS_PSH : 0;
		if (!sn_tcp_emit_new(t, s, now)) {
			sn_slab_put(&t->e->tcp.segs, s);
			break;
		}
		hold(&c, &off, n);
		sent += n;
		if (t->probing) { /* one segment, no more */
			t->probing = SN_PROBING_NOT;
			break;
		}
	}
	if (SN_UNLIKELY(t->pmtu.raised))
		sn_pmtu_settle(t, now);
	t->bytes_sent += sent;
	if (sent && t->clock == SN_CLOCK_TLP) /* the tail is another one now */
		sn_tcp_rtx_arm(t, now);
	t->limited = sn_tcp_in_flight(t) + t->mss > t->cwnd;
	return sent || !len ? (int32_t)sent : SN_E_NOBUFS;
}

void sn_tcp_emit_fin(struct sn_tcp *t, sn_time now)
{
	struct sn_tcp_txseg *s = NULL;

	if (t->fin_sent || (t->state != SN_TCP_ESTABLISHED && t->state != SN_TCP_CLOSE_WAIT))
		return;
	s = sn_slab_take(&t->e->tcp.segs);
	if (s) {
		s->flags = SN_TXS_FIN;
		if (!sn_tcp_emit_new(t, s, now)) {
			sn_slab_put(&t->e->tcp.segs, s);
			s = NULL;
		}
	}
	if (!s) { /* the timer tries again */
		t->e->counters.tcp_mem_limit++;
		if (!sn_tcp_rtx_running(t))
			sn_tcp_rtx_restart(t, now);
		return;
	}
	t->fin_sent = true;
	t->fin_wanted = false;
	sn_tcp_set_state(t, t->state == SN_TCP_ESTABLISHED ? SN_TCP_FIN_WAIT_1 : SN_TCP_LAST_ACK);
}
