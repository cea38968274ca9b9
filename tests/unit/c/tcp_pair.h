/* SPDX-License-Identifier: Apache-2.0
 *
 * Two engines whose TCP is driven through struct sn_tcp_ops by a fake owner, joined by a wire in virtual time. A filter
 * sees every TCP segment on the wire and may drop, delay, repeat or edit it; inject() puts a hand-made one there.
 */
#ifndef SN_TEST_TCP_PAIR_H
#define SN_TEST_TCP_PAIR_H

#include <stdlib.h>

#include "engine/engine.h"
#include "pair_family.h"
#include "pair_frame.h"
#include "sim/pool.h"
#include "sim/rng.h"
#include "sn_test.h"
#include "tcp/tcp.h"
#include "wire/eth.h"
#include "wire/ipv4.h"

enum { PERIOD = 65536, MAX_CHUNK = 65536, MAX_WIRE = 1 << 16, SEGS_SEEN = 1 << 16 };

struct pair;
struct side;

/* The owner of one flow. */
struct sn_subflow {
	struct pair *pair;
	struct side *side;
	struct sn_tcp *tcp;
	/* sending: `offered` bytes of the pattern, in chunks of chunk_size */
	struct sn_chunk *chunks;
	uint32_t nchunks, chunk_size;
	uint64_t offered, sent;
	bool fin_after;
	/* receiving */
	uint64_t received, held;
	uint32_t rcvbuf;
	bool hold; /* the application does not read */
	bool shared, refuse;
	uint32_t reserve;
	/* what happened */
	uint32_t established, fins, closed, rtos, acked, segments, bad;
	enum sn_err err;
};

struct side {
	struct pair *pair;
	int i;
	void *mem;
	struct sn_engine *e;
	struct sn_sim_pool pool;
	struct sn_subflow sub;
	bool silent; /* a scripted peer: no engine receives here, the test answers */
	sn_time next;
};

struct flight {
	struct sn_buf *b;
	sn_time at;
	int to;
};

/* A segment that was put on the wire. */
struct seen {
	int from;
	sn_time at;
	struct sn_tcp_seg seg;
	bool dropped;
};

enum verdict { PASS, DROP, TWICE, LATE };

struct pair {
	struct side side[2];
	sn_time now, delay, late, busy[2];
	uint64_t rate; /* bytes per second, 0: no limit */
	struct flight wire[MAX_WIRE];
	uint32_t nwire;
	struct seen seen[SEGS_SEEN];
	uint32_t nseen;
	enum verdict (*filter)(struct pair *, int from, const struct sn_tcp_seg *seg, uint8_t *tcp);
	void (*frame)(struct pair *, int from, const struct sn_buf *); /* sees every frame first */
	bool bursts; /* frames that are due together are received together */
	bool single; /* ports take no units */
	uint32_t script[8];
	struct sn_rng rng;
	struct sn_sim_plight plight; /* none */
	uint32_t isn[2];
	uint8_t pattern[PERIOD + MAX_CHUNK];
	const char *cc;
};

static const struct sn_tcp_ops *const ops = &sn_tcp_native_ops;

/* --- the fake owner ----------------------------------------------------------------------------------------------- */

static inline void pump(struct sn_subflow *s)
{
	struct pair *p = s->pair;

	while (s->tcp && s->sent < s->offered) {
		uint64_t left = s->offered - s->sent;
		uint32_t room = ops->room(s->tcp, p->now), n = (uint32_t)SN_MIN(left, room);
		if (!n)
			return;
		uint32_t i = (uint32_t)(s->sent / s->chunk_size);
		int32_t took =
			ops->send(s->tcp, &s->chunks[i], (uint32_t)(s->sent % s->chunk_size), n, s->sent, p->now);
		if (took <= 0)
			return;
		s->sent += (uint32_t)took;
	}
	if (s->tcp && s->fin_after) {
		s->fin_after = false;
		ops->fin(s->tcp, p->now);
	}
}

static inline void offer(struct sn_subflow *s, uint64_t bytes)
{
	uint64_t total = s->offered + bytes;
	uint32_t n = (uint32_t)((total + s->chunk_size - 1) / s->chunk_size);

	REQUIRE(!s->chunks); /* once per flow: chunks must not move */
	s->chunks = calloc(n, sizeof *s->chunks);
	s->nchunks = n;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t at = (uint64_t)i * s->chunk_size;
		s->chunks[i].data = s->pair->pattern + at % PERIOD;
		s->chunks[i].len = (uint32_t)SN_MIN(s->chunk_size, total - at);
		s->chunks[i].dsn = at;
		s->chunks[i].next = i + 1 < n ? &s->chunks[i + 1] : NULL;
	}
	s->offered = total;
	pump(s);
}

static inline void up_established(struct sn_subflow *s, sn_time now)
{
	(void)now;
	s->established++;
	if (s->shared)
		ops->set_shared_window(s->tcp, true, s->reserve);
	pump(s);
}
static inline bool up_segment(struct sn_subflow *s, const struct sn_tcp_seg *seg, struct sn_buf *payload, sn_time now)
{
	(void)now;
	s->segments++;
	uint32_t len = 0;
	for (const struct sn_buf *b = payload; b; b = s->pair->bursts ? b->next : NULL)
		len += b->len;
	if (payload && len != seg->len)
		s->bad++;
	return !s->refuse;
}
static inline void up_data(struct sn_subflow *s, struct sn_buf *chain, sn_time now)
{
	(void)now;
	for (struct sn_buf *b = chain, *next; b; b = next) {
		next = b->next;
		for (uint32_t i = 0; i < b->len; i++)
			if (b->data[i] != s->pair->pattern[(s->received + i) % PERIOD]) {
				s->bad++;
				break;
			}
		s->received += b->len;
		if (s->hold)
			s->held += b->len;
		sn_buf_free(b);
	}
}
static inline void up_acked(struct sn_subflow *s, sn_time now)
{
	(void)now;
	s->acked++;
	pump(s);
}
static inline uint32_t up_options(struct sn_subflow *s, const struct sn_opt_want *want, uint8_t *out)
{
	if (want->kind != SN_SEG_DATA || !s->reserve)
		return 0;
	if (want->room < s->reserve)
		s->bad++;
	if (want->dsn + 1 != want->ssn) /* a stream from its beginning, however it was cut since */
		s->bad++;
	memset(out, 1, s->reserve);
	return s->reserve;
}
static inline uint32_t up_window(struct sn_subflow *s)
{
	return s->held < s->rcvbuf ? s->rcvbuf - (uint32_t)s->held : 0;
}
static inline bool up_rto(struct sn_subflow *s, uint32_t in_a_row, sn_time now)
{
	(void)in_a_row;
	(void)now;
	s->rtos++;
	return true;
}
static inline void up_fin(struct sn_subflow *s, sn_time now)
{
	(void)now;
	s->fins++;
}
static inline void up_closed(struct sn_subflow *s, enum sn_err err, sn_time now)
{
	(void)now;
	s->closed++;
	s->err = err;
	s->tcp = NULL;
}
static const struct sn_tcp_up up = {
	.established = up_established,
	.segment = up_segment,
	.data = up_data,
	.acked = up_acked,
	.options = up_options,
	.window = up_window,
	.rto = up_rto,
	.fin = up_fin,
	.closed = up_closed,
};

/* --- the wire ----------------------------------------------------------------------------------------------------- */

static inline void put(struct pair *p, struct sn_buf *b, int to, sn_time at)
{
	REQUIRE(p->nwire < MAX_WIRE);
	uint32_t i = p->nwire++;
	while (i && p->wire[i - 1].at > at) {
		p->wire[i] = p->wire[i - 1];
		i--;
	}
	p->wire[i] = (struct flight){b, at, to};
}

static inline uint8_t *tcp_of(const struct sn_buf *b, struct sn_tcp_seg *seg)
{
	uint32_t ip = pair_ip_hdr(b->data);
	if (!ip)
		return NULL;
	uint8_t *tcp = b->data + SN_ETH_HDR + ip;
	return sn_tcp_parse(seg, tcp, b->len - SN_ETH_HDR - ip) == SN_OK ? tcp : NULL;
}

/* One frame sets out. */
static inline void transit(struct pair *p, struct side *from, struct sn_buf *b)
{
	struct side *to = &p->side[!from->i];

	if (p->frame)
		p->frame(p, from->i, b);
	sn_time wait = 0;
	if (p->rate) {
		sn_time start = SN_MAX(p->busy[from->i], p->now);
		p->busy[from->i] = start + b->len * SN_SEC / p->rate;
		wait = p->busy[from->i] - p->now;
	}
	struct sn_tcp_seg seg;
	uint8_t *tcp = tcp_of(b, &seg);
	enum verdict what = PASS;
	if (tcp) {
		CHECK(b->len <= SN_ETH_HDR + sn_net_port_mtu(from->e, 0));
		struct seen *s = p->nseen < SEGS_SEEN ? &p->seen[p->nseen++] : NULL;
		if (p->filter)
			what = p->filter(p, from->i, &seg, tcp);
		if (s)
			*s = (struct seen){from->i, p->now, seg, what == DROP};
	}
	if (what == DROP) {
		sn_buf_free(b);
		return;
	}
	if (what == TWICE) {
		struct sn_buf *copy = sn_buf_alloc(&to->pool.pool);
		memcpy(copy->data, b->data, b->len);
		copy->len = b->len;
		put(p, copy, to->i, p->now + wait + p->delay + SN_USEC);
	}
	put(p, b, to->i, p->now + wait + p->delay + (what == LATE ? p->late : 0));
}

static inline void tx(void *ctx, uint16_t port, struct sn_tx *v, uint32_t n)
{
	struct side *from = ctx;
	struct pair *p = from->pair;

	(void)port;
	for (uint32_t k = 0; k < n; k++) {
		struct pair_frames f;
		struct sn_buf *b;

		pair_frames_begin(&f, &v[k]);
		while ((b = pair_frames_next(&f, &p->side[!from->i].pool.pool)))
			transit(p, from, b);
		REQUIRE(f.done);
	}
}

static inline void fill_random(void *ctx, void *out, size_t n)
{
	sn_rng_fill(&((struct side *)ctx)->pair->rng, out, n);
}

static inline void arrive(struct pair *p, struct side *s, struct sn_buf *b)
{
	struct sn_tcp_seg seg;
	uint8_t *tcp = tcp_of(b, &seg);

	if (tcp && (seg.flags & (SN_TH_SYN | SN_TH_ACK | SN_TH_RST)) == SN_TH_SYN && !s->sub.tcp) {
		struct sn_tcp_open o = {
			.owner = &s->sub, .up = &up, .isn = p->isn[s->i], .rcv_space = s->sub.rcvbuf, .cc = p->cc};
		o.flow.local = pair_addr(0, 1 + (uint32_t)s->i);
		o.flow.remote = pair_addr(0, 1 + (uint32_t)!s->i);
		o.flow.lport = seg.dport;
		o.flow.rport = seg.sport;
		if (!sn_net_flow_find(s->e, &o.flow) && !s->sub.refuse) {
			s->sub.tcp = ops->accept(s->e, &o, &seg, p->now);
			sn_buf_free(b);
			return;
		}
	}
	if (s->silent && tcp) {
		sn_buf_free(b);
		return;
	}
	sn_engine_rx(s->e, &b, 1, p->now);
}

/* What is due at a side, as bursts of a port. */
static inline void arrive_together(struct pair *p, struct side *s)
{
	struct sn_buf *v[32];
	uint32_t n = 0;

	for (; n < 32 && n < p->nwire && p->wire[n].to == s->i && p->wire[n].at <= p->now; n++) {
		v[n] = p->wire[n].b;
		v[n]->next = NULL;
	}
	p->nwire -= n;
	memmove(p->wire, p->wire + n, p->nwire * sizeof *p->wire);
	sn_engine_rx(s->e, v, n, p->now);
}

static inline void poll_side(struct pair *p, struct side *s)
{
	uint32_t work;

	s->next = sn_engine_poll(s->e, p->now, &work);
}

/* Does the next thing that is due not later than `until`; false if there is none. */
static inline bool step(struct pair *p, sn_time until)
{
	sn_time at = SN_MIN(p->side[0].next, p->side[1].next);

	if (p->nwire && p->wire[0].at < at)
		at = p->wire[0].at;
	if (at > until)
		return false;
	p->now = SN_MAX(p->now, at);
	while (p->nwire && p->wire[0].at <= p->now) {
		struct flight f = p->wire[0];
		if (p->bursts && p->side[f.to].sub.tcp && !p->side[f.to].silent) {
			arrive_together(p, &p->side[f.to]);
			continue;
		}
		memmove(p->wire, p->wire + 1, --p->nwire * sizeof *p->wire);
		arrive(p, &p->side[f.to], f.b);
	}
	poll_side(p, &p->side[0]);
	poll_side(p, &p->side[1]);
	return true;
}

/* Lets out what the test itself caused. */
static inline void settle(struct pair *p)
{
	poll_side(p, &p->side[0]);
	poll_side(p, &p->side[1]);
}

static inline void run_for(struct pair *p, sn_time time)
{
	sn_time until = p->now + time;
	settle(p);
	while (step(p, until))
		;
	p->now = until;
	poll_side(p, &p->side[0]);
	poll_side(p, &p->side[1]);
}

/* Until the receiver has all that the other side offered, or time is up. */
static inline bool run_transfer(struct pair *p, sn_time time)
{
	sn_time until = p->now + time;
	const struct sn_subflow *a = &p->side[0].sub, *b = &p->side[1].sub;

	settle(p);
	while ((a->received < b->offered || b->received < a->offered || !a->established) && step(p, until))
		;
	return a->received == b->offered && b->received == a->offered;
}

/* --- set-up ------------------------------------------------------------------------------------------------------- */

static inline void side_up(struct pair *p, int i)
{
	struct side *s = &p->side[i];
	struct sn_engine_cfg cfg;

	s->pair = p;
	s->i = i;
	sn_sim_pool_init(&s->pool, &p->now, &p->plight, 1);
	sn_engine_cfg_default(&cfg);
	cfg.max_conns = 16;
	cfg.max_subflows = 16;
	cfg.max_segs = 16384;
	cfg.max_chunks = 16;
	cfg.max_listeners = 4;
	cfg.pool = &s->pool.pool;
	cfg.hooks.ctx = s;
	cfg.hooks.tx = tx;
	cfg.hooks.random = fill_random;
	size_t size = (sn_engine_footprint(&cfg) + 63) & ~(size_t)63;
	s->mem = aligned_alloc(64, size);
	s->e = sn_engine_init(s->mem, size, &cfg, p->now);
	REQUIRE(s->e);
	struct sn_net_port_cfg port = {.mac = {2, 0, 0, 0, 0, (uint8_t)(1 + i)},
				       .unit_max = p->single ? 0 : SN_UNIT_MAX};
	pair_port_addrs(&port, 0, 1 + (uint32_t)i, 1500);
	REQUIRE(sn_engine_port_add(s->e, &port) == 0);
	s->sub.pair = p;
	s->sub.side = s;
	s->sub.rcvbuf = 1 << 20;
	s->sub.chunk_size = 16384;
}

static inline struct pair *pair_of(bool single)
{
	struct pair *p = calloc(1, sizeof *p);

	p->single = single;
	p->now = 1000 * SN_SEC;
	p->delay = 5 * SN_MSEC;
	p->late = 2 * SN_MSEC;
	p->rng = sn_rng_seed(1, 2);
	p->isn[0] = 1000;
	p->isn[1] = 9000000;
	for (uint32_t i = 0; i < PERIOD; i++)
		p->pattern[i] = (uint8_t)(i * 7 + (i >> 8) * 31 + (i >> 13));
	memcpy(p->pattern + PERIOD, p->pattern, MAX_CHUNK);
	side_up(p, 0);
	side_up(p, 1);
	return p;
}

static inline struct pair *pair_up(void) { return pair_of(false); }

static inline void dial(struct pair *p)
{
	struct side *a = &p->side[0];
	struct sn_tcp_open o = {.owner = &a->sub, .up = &up, .isn = p->isn[0], .rcv_space = a->sub.rcvbuf, .cc = p->cc};

	o.flow = (struct sn_flow){pair_addr(0, 1), pair_addr(0, 2), 40000, 80};
	a->sub.tcp = ops->open(a->e, &o, p->now);
	REQUIRE(a->sub.tcp);
	poll_side(p, a);
}

static inline struct pair *pair_connected(void)
{
	struct pair *p = pair_up();

	dial(p);
	run_for(p, 100 * SN_MSEC);
	REQUIRE(p->side[0].sub.established == 1 && p->side[1].sub.established == 1);
	return p;
}

/* Both directions' ends. */
static inline void hang_up(struct pair *p)
{
	for (int i = 0; i < 2; i++)
		if (p->side[i].sub.tcp)
			ops->fin(p->side[i].sub.tcp, p->now);
	run_for(p, 120 * SN_SEC);
}

/* Nothing may be left: no record, no buffer, no reference. */
static inline void pair_down(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		struct side *s = &p->side[i];
		if (s->sub.tcp)
			ops->reset(s->sub.tcp, p->now);
		sn_engine_flush(s->e);
	}
	p->filter = NULL;
	run_for(p, 200 * SN_SEC);
	for (int i = 0; i < 2; i++) {
		struct side *s = &p->side[i];
		CHECK_EQ(s->e->tcp.conns.used, 0);
		CHECK_EQ(s->e->tcp.segs.used, 0);
		CHECK_EQ(s->pool.out, 0);
		CHECK_EQ(s->pool.bad, 0);
		CHECK_EQ(s->sub.bad, 0);
		for (uint32_t c = 0; c < s->sub.nchunks; c++)
			if (s->sub.chunks[c].refs) {
				CHECK_EQ(s->sub.chunks[c].refs, 0);
				break;
			}
		free(s->sub.chunks);
		sn_sim_pool_close(&s->pool);
		free(s->mem);
	}
	free(p);
}

/* Recomputes what the scoreboard and the out-of-order queue keep as sums. */
static inline void audit(const struct sn_tcp *t)
{
	uint32_t pipe = 0, sacked = 0, lost = 0, again = 0, edge = 0, ooo = 0, n = 0, at = t->snd_una;
	const struct sn_tcp_txseg *prev = NULL;
	sn_time last = 0;

	for (const struct sn_tcp_txseg *s = t->txq; s; prev = s, s = s->next, n++) {
		edge |= s == t->loss_edge;
		/* What was sent once and is not judged lies behind the edge, in the order of sending. */
		if (!(s->flags & (SN_TXS_SACKED | SN_TXS_LOST | SN_TXS_EVER))) {
			CHECK(!t->sack_on || edge);
			CHECK(s->sent >= last);
			last = s->sent;
		}
		again += !!(s->flags & SN_TXS_RETRANS);
		pipe += sn_txseg_pipe(s);
		sacked += !!(s->flags & SN_TXS_SACKED);
		lost += (s->flags & (SN_TXS_LOST | SN_TXS_RETRANS)) == SN_TXS_LOST;
		if (s->prev != prev || (n && s->seq != at))
			CHECK(!"records follow each other");
		at = sn_txseg_end(s);
		if (s->flags & SN_TXS_RUN) {
			const struct sn_tcp_txseg *e = s;
			while (e->next && (e->next->flags & SN_TXS_SACKED) && !(e->next->flags & SN_TXS_RUN))
				e = e->next;
			if (s->run != e || e->run != s || (prev && (prev->flags & SN_TXS_SACKED)))
				CHECK(!"a run is bounded by its ends");
		}
	}
	CHECK_EQ(t->pipe, pipe);
	CHECK_EQ(t->sacked_out, sacked);
	CHECK_EQ(t->lost_out, lost);
	CHECK(edge || !t->loss_edge);
	for (const struct sn_tcp_txseg *s = t->lostq; s; s = s->lnext, lost--)
		CHECK((s->flags & (SN_TXS_LOST | SN_TXS_RETRANS)) == SN_TXS_LOST &&
		      (!s->lprev || sn_seq_lt(s->lprev->seq, s->seq)));
	CHECK_EQ(lost, 0);
	for (const struct sn_tcp_txseg *s = t->rtxq; s; s = s->lnext, again--)
		CHECK((s->flags & SN_TXS_RETRANS) && (!s->lprev || s->lprev->sent <= s->sent));
	CHECK_EQ(again, 0);
	CHECK(t->txq_tail == prev);
	CHECK(!t->txq || at == t->snd_nxt);
	uint32_t end = t->rcv_nxt;
	for (const struct sn_buf *b = t->ooo; b; b = b->next, ooo++) {
		if (!b->len || sn_seq_lt(b->seq, end) || b->seq == t->rcv_nxt)
			CHECK(!"the out-of-order queue is sorted and disjoint");
		end = b->seq + b->len;
	}
	CHECK_EQ(t->ooo_count, ooo);
}

/* A segment from side `from`, made by hand. */
static inline void inject(struct pair *p, int from, const struct sn_tcp_seg *seg, const uint8_t *opts, uint32_t opt_len,
			  uint32_t len)
{
	struct side *to = &p->side[!from];
	struct sn_buf *b = sn_buf_alloc(&to->pool.pool);
	struct sn_addr src = pair_addr(0, 1 + (uint32_t)from), dst = pair_addr(0, 1 + (uint32_t)!from);
	uint32_t tcp_len = SN_TCP_HDR_MIN + opt_len + len;
	uint32_t at = pair_emit_headers(b->data, (uint8_t[]){2, 0, 0, 0, 0, (uint8_t)(1 + !from)},
					(uint8_t[]){2, 0, 0, 0, 0, (uint8_t)(1 + from)}, &src, &dst, tcp_len);
	uint8_t *tcp = b->data + at;

	sn_tcp_emit(tcp, seg, opt_len);
	memcpy(tcp + SN_TCP_HDR_MIN, opts, opt_len);
	memset(tcp + SN_TCP_HDR_MIN + opt_len, 'x', len);
	b->len = at + tcp_len;
	b->flags |= SN_BUF_CSUM_GOOD;
	sn_engine_rx(to->e, &b, 1, p->now);
	poll_side(p, to);
}

/* What side `from` would send now: a pure ACK in sequence, with its timestamp. */
static inline struct sn_tcp_seg plain_ack(struct pair *p, int from, uint8_t *opts, uint32_t *opt_len)
{
	const struct sn_tcp *t = p->side[from].sub.tcp;
	struct sn_tcp_seg seg = {.seq = t->snd_nxt,
				 .ack = t->rcv_nxt,
				 .sport = t->flow.lport,
				 .dport = t->flow.rport,
				 .wnd = 1000,
				 .flags = SN_TH_ACK};

	*opt_len = sn_opt_emit_ts(opts, sn_tcp_ts(t, p->now), t->ts_recent);
	return seg;
}

static inline uint32_t count_from(const struct pair *p, int from, uint8_t flag)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < p->nseen; i++)
		n += p->seen[i].from == from && (p->seen[i].seg.flags & flag);
	return n;
}
static inline const struct seen *last_from(const struct pair *p, int from)
{
	for (uint32_t i = p->nseen; i--;)
		if (p->seen[i].from == from)
			return &p->seen[i];
	return NULL;
}

#endif
