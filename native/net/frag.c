/* SPDX-License-Identifier: Apache-2.0
 *
 * Fragments (RFC 791 3.2, RFC 1122 3.3.2; RFC 8200 4.5) are put together: each is copied into one buffer of the packet and
 * freed; a packet that is whole goes up the receive path as if it had come in one frame. It must fit one packet buffer.
 *
 * Ports spread fragments over the workers as they like, since only the first has TCP ports. So one worker, chosen by a
 * keyed hash of addresses and identification, joins all of a packet and hands it to whom its flow belongs.
 *
 * Nothing of an attacker's shapes is worth keeping: a packet whose fragments overlap is given up (RFC 5722, and likewise of
 * IPv4), a first fragment must hold every header up to the end of TCP's (RFC 7112, RFC 1858), neighbour discovery comes
 * whole (RFC 6980). A packet that was given up stays known without a buffer until its time is over: what still comes of it
 * is dropped. At most SN_FRAG_MAX packets are held, SN_FRAG_SOURCE of one sender (of IPv6: of one /64), and none when
 * buffers are short; the oldest makes room.
 *
 * Timer of the table (sn_frags.timer): the earliest `until` of a packet. It is set by the first fragment to come.
 */
#include "engine/engine.h"
#include "wire/eth.h"
#include "wire/icmp6.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

enum {
	SN_FRAG_MAX = 64,    /* incomplete packets of one worker */
	SN_FRAG_SOURCE = 16, /* of one sender */
	SN_FRAG_PIECES = 64  /* of one packet */
};
/* As Linux has it: identifications of 16 bits come round too soon for the 60 s of RFC 1122 (RFC 4963). */
#define SN_FRAG_TIMEOUT4 (30 * SN_SEC)
#define SN_FRAG_TIMEOUT6 (60 * SN_SEC)

/* What all fragments of a packet have in common. */
struct frag_key {
	struct sn_addr src, dst;
	uint32_t id;
	uint32_t proto; /* IPv6: 0, it may differ in all but the first */
};
_Static_assert(sizeof(struct frag_key) == 40, "compared as bytes");

struct packet {
	struct frag_key key;
	struct sn_buf *buf; /* headers stand right before base + SN_HEADROOM, the rest from there on; NULL: given up */
	uint32_t have;      /* bytes, of `end` */
	uint32_t end;       /* 0: the last fragment has not come */
	uint16_t hdr_len;   /* Ethernet and IP; 0: the first fragment has not come */
	uint8_t next, ecn;  /* ecn: bit per value of the field that was seen (RFC 3168 5.3) */
	uint8_t pieces;
	struct {
		uint16_t from, to;
	} piece[SN_FRAG_PIECES];
};

struct sn_frags {
	struct sn_timer timer;
	struct sn_engine *engine;
	struct slot {         /* what is looked through for every fragment */
		uint32_t tag; /* of the key, 0: free */
		uint32_t source;
		sn_time born, until;
	} slot[SN_FRAG_MAX];
	struct packet packet[SN_FRAG_MAX];
};

static void arm(struct sn_frags *t)
{
	sn_time next = SN_TIME_NEVER;

	for (uint32_t i = 0; i < SN_FRAG_MAX; i++)
		if (t->slot[i].tag)
			next = SN_MIN(next, t->slot[i].until);
	if (next != SN_TIME_NEVER)
		sn_wheel_arm(&t->engine->wheel, &t->timer, next);
}

/* Its buffer goes; what still comes of it is dropped. */
static void give_up(struct packet *p, uint64_t *counter)
{
	if (!p->buf)
		return;
	sn_buf_free(p->buf);
	p->buf = NULL;
	(*counter)++;
}

static void forget(struct sn_frags *t, uint32_t i, uint64_t *counter)
{
	give_up(&t->packet[i], counter);
	t->slot[i].tag = 0;
}

static void on_timer(struct sn_timer *timer, sn_time now)
{
	struct sn_frags *t = SN_CONTAINER(timer, struct sn_frags, timer);

	for (uint32_t i = 0; i < SN_FRAG_MAX; i++)
		if (t->slot[i].tag && t->slot[i].until <= now)
			forget(t, i, &t->engine->counters.frag_timeout);
	arm(t);
}

bool sn_frag_init(struct sn_engine *e)
{
	struct sn_frags *t = sn_region_take(&e->region, sizeof *t);

	e->net.frags = t;
	if (!t)
		return false;
	t->timer.fire = on_timer;
	t->engine = e;
	return true;
}

/* The same for every worker. */
static uint64_t hash_of(const struct sn_engine *e, const struct frag_key *k)
{
	struct sn_flow f = {.local = k->dst,
			    .remote = k->src,
			    .lport = (uint16_t)((k->id >> 16) ^ k->proto),
			    .rport = (uint16_t)k->id};

	return sn_demux_hash(e, &f);
}

/* Who has one address of an IPv6 network has them all. */
static uint32_t source_of(const struct sn_engine *e, const struct sn_addr *src)
{
	struct sn_flow f = {.remote = *src};

	if (!sn_addr_is_v4(src))
		memset(f.remote.b + 8, 0, 8);
	return (uint32_t)sn_demux_hash(e, &f);
}

/* The packet of a key, begun if it is new. NULL: no buffer. */
static struct packet *packet_of(struct sn_engine *e, const struct frag_key *k, uint32_t tag, sn_time now)
{
	struct sn_frags *t = e->net.frags;
	uint32_t source = source_of(e, &k->src), same = 0, room = SN_FRAG_MAX, oldest = 0, own = 0;

	for (uint32_t i = 0; i < SN_FRAG_MAX; i++) {
		const struct slot *s = &t->slot[i];
		if (!s->tag) {
			room = i;
			continue;
		}
		if (s->tag == tag && memcmp(&t->packet[i].key, k, sizeof *k) == 0)
			return &t->packet[i];
		if (!t->slot[oldest].tag || s->born < t->slot[oldest].born)
			oldest = i;
		if (s->source == source && (!same++ || s->born < t->slot[own].born))
			own = i;
	}
	struct sn_buf *b = sn_pool_short(e->cfg.pool) ? NULL : sn_buf_alloc(e->cfg.pool);
	if (!b) {
		e->counters.frag_nobuf++;
		return NULL;
	}
	if (same >= SN_FRAG_SOURCE)
		room = own;
	else if (room == SN_FRAG_MAX)
		room = oldest;
	forget(t, room, &e->counters.frag_evicted);
	struct packet *p = &t->packet[room];
	b->next = NULL;
	b->flags = 0;
	*p = (struct packet){.key = *k, .buf = b};
	sn_time until = now + (sn_addr_is_v4(&k->src) ? SN_FRAG_TIMEOUT4 : SN_FRAG_TIMEOUT6);
	t->slot[room] = (struct slot){.tag = tag, .source = source, .born = now, .until = until};
	if (!sn_timer_armed(&t->timer) || until < t->timer.at)
		sn_wheel_arm(&e->wheel, &t->timer, until);
	return p;
}

/* Does it fit what came before? Else the packet is given up. False: there is nothing to add. */
static bool fits(struct sn_engine *e, struct packet *p, const struct sn_frag *f)
{
	uint32_t to = f->off + f->len, ip_len = f->hdr_len + to;
	uint32_t room = p->buf->room - SN_HEADROOM;
	const uint8_t *have = p->buf->base + SN_HEADROOM + f->off;

	for (uint32_t i = 0; i < p->pieces; i++) {
		if (f->off >= p->piece[i].to || p->piece[i].from >= to) {
			if (f->more || p->piece[i].to <= to)
				continue;
		} else if (p->piece[i].from == f->off && p->piece[i].to == to && memcmp(have, f->data, f->len) == 0) {
			e->counters.frag_dup++;
			return false;
		}
		give_up(p, &e->counters.frag_conflict);
		return false;
	}
	if (p->end && to > p->end) {
		give_up(p, &e->counters.frag_conflict);
		return false;
	}
	if (ip_len > UINT16_MAX || SN_ETH_HDR + ip_len > room || p->pieces == SN_FRAG_PIECES) {
		give_up(p, &e->counters.frag_too_big);
		return false;
	}
	return true;
}

static void add(struct packet *p, const struct sn_buf *b, const struct sn_frag *f, uint8_t ecn)
{
	uint8_t *at = p->buf->base + SN_HEADROOM;
	uint32_t to = f->off + f->len;

	memcpy(at + f->off, f->data, f->len);
	p->piece[p->pieces].from = (uint16_t)f->off;
	p->piece[p->pieces++].to = (uint16_t)to;
	p->have += f->len;
	p->ecn |= (uint8_t)(1u << ecn);
	if (!f->more)
		p->end = to;
	if (!f->off) {
		p->hdr_len = (uint16_t)(SN_ETH_HDR + f->hdr_len);
		p->next = f->next;
		p->buf->port = b->port;
		memcpy(at - p->hdr_len, b->data, p->hdr_len);
	}
}

/* All of it is there. */
static void up(struct sn_engine *e, struct packet *p, sn_time now)
{
	struct sn_frags *t = e->net.frags;
	struct sn_buf *b = p->buf;
	uint8_t *l3 = b->base + SN_HEADROOM - p->hdr_len + SN_ETH_HDR;
	uint32_t l3_hdr = p->hdr_len - SN_ETH_HDR;
	bool v4 = sn_addr_is_v4(&p->key.src), ce = p->ecn & 1u << SN_IP_CE;

	if (ce && (p->ecn & 1)) { /* a router marked what cannot be marked */
		give_up(p, &e->counters.frag_conflict);
		return;
	}
	b->data = l3 - SN_ETH_HDR;
	b->len = p->hdr_len + p->end;
	if (b->len > b->room - SN_HEADROOM) { /* the first fragment had more headers than the others */
		give_up(p, &e->counters.frag_too_big);
		return;
	}
	if (v4) {
		l3[1] |= ce ? SN_IP_CE : 0;
		sn_ipv4_frag_join(l3, l3_hdr, (uint16_t)(l3_hdr + p->end));
	} else {
		l3[1] |= ce ? SN_IP_CE << 4 : 0;
		sn_ipv6_frag_join(l3, l3_hdr, p->next, (uint16_t)(l3_hdr + p->end));
	}
	p->buf = NULL;
	t->slot[p - t->packet].tag = 0;
	e->counters.frag_done++;
	sn_net_rx_frame(e, b, now);
}

/* Hands the fragment to the worker that joins those of its packet; false: that is us. */
static bool elsewhere(struct sn_engine *e, struct sn_buf *b, uint64_t hash)
{
	uint32_t owner = (uint32_t)((hash >> 32) * e->cfg.workers >> 32);

	if (owner == e->cfg.worker || (b->flags & SN_BUF_FORWARDED))
		return false;
	b->flags |= SN_BUF_FORWARDED | SN_BUF_CSUM_GOOD;
	if (e->cfg.hooks.forward && e->cfg.hooks.forward(e->cfg.hooks.ctx, owner, b)) {
		e->counters.frag_forwarded++;
	} else {
		e->counters.forward_full++;
		sn_buf_free(b);
	}
	return true;
}

static void take(struct sn_engine *e, struct sn_buf *b, const struct frag_key *k, const struct sn_frag *f, uint8_t ecn,
		 sn_time now)
{
	uint64_t hash = hash_of(e, k);

	if (!(b->flags & SN_BUF_FORWARDED))
		e->counters.frag_rx++;
	if (elsewhere(e, b, hash))
		return;
	struct packet *p = packet_of(e, k, (uint32_t)hash | 1, now);
	if (p && !p->buf)
		e->counters.rx_drop_frag++;
	if (p && p->buf && fits(e, p, f)) {
		add(p, b, f, ecn);
		if (p->have == p->end)
			up(e, p, now);
	}
	sn_buf_free(b);
}

/* What no sender makes, and headers that leave no room for themselves in front. */
static bool shape_good(const struct sn_frag *f)
{
	return f->len && (!f->more || f->len % 8 == 0) && SN_ETH_HDR + f->hdr_len <= SN_HEADROOM;
}

/* Who could be at the end of it. */
static bool wanted6(const struct sn_frag *f, uint8_t proto)
{
	return proto == SN_IP_TCP || proto == SN_IP_ICMP6 || (f->off && proto == SN_IPV6_DESTINATION);
}

/* A first fragment holds the header of the upper layer. */
static bool upper_good(uint8_t proto, const uint8_t *p, uint32_t len)
{
	if (proto == SN_IP_TCP)
		return len >= SN_TCP_HDR_MIN && len >= (uint32_t)(p[12] >> 4) * 4;
	return len >= SN_ICMP6_HDR && (proto == SN_IP_ICMP || (p[0] != SN_ICMP6_SOLICIT && p[0] != SN_ICMP6_ADVERTISE));
}

static void refuse(struct sn_buf *b, uint64_t *counter)
{
	(*counter)++;
	sn_buf_free(b);
}

void sn_frag_rx4(struct sn_engine *e, struct sn_buf *b, const struct sn_ipv4 *ip, sn_time now)
{
	struct frag_key k = {.src = sn_addr_v4(ip->src), .dst = sn_addr_v4(ip->dst), .id = ip->id, .proto = ip->proto};
	struct sn_frag f;

	sn_ipv4_frag_parse(&f, ip, b->data + SN_ETH_HDR);
	if (ip->proto != SN_IP_TCP && ip->proto != SN_IP_ICMP)
		refuse(b, &e->counters.rx_drop_proto);
	else if (!shape_good(&f) || (!f.off && !upper_good(ip->proto, f.data, f.len)))
		refuse(b, &e->counters.rx_drop_frag);
	else
		take(e, b, &k, &f, ip->tos & SN_IP_CE, now);
}

void sn_frag_rx6(struct sn_engine *e, struct sn_buf *b, struct sn_ip *ip, sn_time now)
{
	struct frag_key k = {.src = ip->src, .dst = ip->dst};
	const uint8_t *l3 = b->data + SN_ETH_HDR;
	struct sn_frag f;

	bool good = sn_ipv6_frag_parse(&f, ip, l3) && shape_good(&f);
	k.id = f.id;
	if (good && !wanted6(&f, ip->proto))
		refuse(b, &e->counters.rx_drop_proto);
	else if (!good || (!f.off && !upper_good(ip->proto, l3 + ip->hdr_len, ip->total_len - (uint32_t)ip->hdr_len)))
		refuse(b, &e->counters.rx_drop_frag);
	else
		take(e, b, &k, &f, ip->tos & SN_IP_CE, now);
}
