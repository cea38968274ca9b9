/* SPDX-License-Identifier: Apache-2.0
 *
 * Two whole engines with three ports each and an application's side of a channel, joined by three wires of 5 ms in virtual
 * time. A filter sees every TCP segment (parsed) on the wire; it drops it by returning false and may edit the frame.
 */
#ifndef SN_TEST_MPTCP_PAIR_H
#define SN_TEST_MPTCP_PAIR_H

#include <stdlib.h>

#include "engine/engine.h"
#include "mptcp/conn.h"
#include "pair_family.h"
#include "pair_frame.h"
#include "sim/pool.h"
#include "sim/rng.h"
#include "sn_test.h"

#ifndef PAIR_CONNS /* records of each engine */
#define PAIR_CONNS    16
#define PAIR_SUBFLOWS 64
#endif

enum { A, B, PATHS = 3, PEER_PORT = 5000, ARENA = 1 << 20 };

struct pair;
struct side {
	struct pair *pair;
	int i;
	struct sn_engine *e;
	void *mem, *shm;
	struct sn_channel app, worker;
	struct sn_sim_pool pool;
	struct sn_rng rng;
	int32_t slot;
	sn_time next;
	/* What the application was told. */
	uint32_t conn, opened, eof, closed, errors;
	int32_t open_res, closed_res, error_res, listen_res;
	bool mptcp, hold; /* hold: received slots are not given back */
	uint64_t got, given_back, bad;
	uint32_t held_off[4096], held_len[4096], held;
	uint64_t sent;
	sn_time last_got, gap; /* longest pause between deliveries; reset by the test */
};

struct pair {
	struct side s[2];
	sn_time now;
	struct sn_sim_pool ether;                                    /* what is on the wire */
	struct sn_buf *wire, *wire_last;                             /* user[0]: arrival, user[1]: side */
	bool (*app)(struct pair *, int side, const struct sn_cqe *); /* takes a completion; false: the usual way */
	bool (*filter)(struct pair *, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp);
	bool down[PATHS];
	uint64_t rate[PATHS], queue; /* bytes per second (0: unlimited) and bytes */
	sn_time busy[2][PATHS];
	uint32_t seen_join, seen_remove, seen_fastclose, seen_rst, seen_data_fin, state;
};

/* Ports take no units: every segment has a mapping of its own. */
static bool pair_single;
/* Checksums are made and checked in software. */
static bool pair_soft_csum;

/* In order of arrival. */
static void pair_wire(struct pair *p, struct sn_buf *b)
{
	struct sn_buf **at = &p->wire;
	if (p->wire && p->wire_last->user[0] <= b->user[0])
		at = &p->wire_last->next;
	while (*at && (*at)->user[0] <= b->user[0])
		at = &(*at)->next;
	b->next = *at;
	*at = b;
	if (!b->next)
		p->wire_last = b;
}

/* One frame sets out. */
static void pair_transit(struct pair *p, const struct side *to, uint16_t port, struct sn_buf *b)
{
	b->port = port;
	bool pass = !p->down[port];
	uint32_t ip = pair_ip_hdr(b->data);
	if (ip) {
		struct sn_tcp_seg seg;
		uint8_t *tcp = b->data + 14 + ip;
		CHECK_EQ(sn_tcp_parse(&seg, tcp, pair_tcp_len(b->data)), SN_OK);
		p->seen_join += (seg.mp.present & SN_MP_BIT(SN_MP_JOIN)) && (seg.flags & SN_TH_SYN);
		p->seen_remove += (seg.mp.present & SN_MP_BIT(SN_MP_REMOVE_ADDR)) != 0;
		p->seen_fastclose += (seg.mp.present & SN_MP_BIT(SN_MP_FASTCLOSE)) != 0;
		p->seen_rst += (seg.flags & SN_TH_RST) != 0;
		p->seen_data_fin += (seg.mp.present & SN_MP_BIT(SN_MP_DSS)) && (seg.mp.dss.flags & SN_DSS_FIN);
		if (p->filter && !p->filter(p, to->i, port, &seg, tcp))
			pass = false;
	}
	if (!pass) {
		sn_buf_free(b);
		return;
	}
	if (!pair_soft_csum)
		b->flags |= SN_BUF_CSUM_GOOD;
	sn_time at = p->now;
	if (p->rate[port]) {
		sn_time *busy = &p->busy[to->i][port], from = SN_MAX(*busy, at);
		if ((from - at) * p->rate[port] / SN_SEC > p->queue) {
			sn_buf_free(b);
			return;
		}
		at = *busy = from + b->len * SN_SEC / p->rate[port];
	}
	b->user[0] = at + 5 * SN_MSEC;
	b->user[1] = (uint64_t)to->i;
	pair_wire(p, b);
}

static void pair_tx(void *ctx, uint16_t port, struct sn_tx *v, uint32_t n)
{
	struct side *s = ctx;
	struct pair *p = s->pair;

	for (uint32_t k = 0; k < n; k++) {
		struct pair_frames f;
		struct sn_buf *b;

		pair_frames_begin(&f, &v[k]);
		while ((b = pair_frames_next(&f, &p->ether.pool)))
			pair_transit(p, &p->s[!s->i], port, b);
	}
}

static void pair_random(void *ctx, void *out, size_t n) { sn_rng_fill(&((struct side *)ctx)->rng, out, n); }

static bool pair_forward(void *ctx, uint32_t worker, struct sn_buf *b)
{
	(void)ctx, (void)worker, (void)b;
	return false;
}

static void pair_init(struct pair *p, uint32_t rcvbuf)
{
	memset(p, 0, sizeof *p);
	p->now = SN_SEC;
	sn_sim_pool_init(&p->ether, &p->now, NULL, 1);
	for (int i = 0; i < 2; i++) {
		struct side *s = &p->s[i];
		struct sn_engine_cfg c;
		s->pair = p;
		s->i = i;
		s->rng = sn_rng_seed(7, (uint64_t)i);
		sn_sim_pool_init(&s->pool, &p->now, NULL, 1);
		sn_engine_cfg_default(&c);
		c.max_conns = PAIR_CONNS;
		c.max_subflows = PAIR_SUBFLOWS;
		c.max_segs = 4096;
		c.max_chunks = 1024;
		c.max_listeners = 8;
		c.rcvbuf = rcvbuf ? rcvbuf : 1u << 20;
		c.tcp.time_wait = SN_SEC;
		c.pool = &s->pool.pool;
		c.hooks = (struct sn_engine_hooks){
			.ctx = s, .tx = pair_tx, .forward = pair_forward, .random = pair_random};
		size_t size = (sn_engine_footprint(&c) + 4095) & ~(size_t)4095;
		s->mem = aligned_alloc(4096, size);
		s->e = sn_engine_init(s->mem, size, &c, p->now);
		REQUIRE(s->e);
		for (uint32_t k = 0; k < PATHS; k++) {
			struct sn_net_port_cfg port = {.mac = {2, 0, 0, 0, (uint8_t)k, (uint8_t)(i + 1)},
						       .tx_csum = !pair_soft_csum,
						       .unit_max = pair_single ? 0 : SN_UNIT_MAX};
			pair_port_addrs(&port, k, (uint32_t)i + 1, 1500);
			REQUIRE(sn_engine_port_add(s->e, &port) == (int32_t)k);
		}
		struct sn_channel_geometry g = {
			.sq_entries = 256, .cq_entries = 64, .tx_len = ARENA, .rx_slot_size = 4096, .rx_slots = 64};
		size = sn_channel_footprint(&g);
		s->shm = aligned_alloc(4096, size);
		memset(s->shm, 0, size);
		REQUIRE(sn_channel_format(s->shm, size, &g, 0) == SN_OK);
		REQUIRE(sn_channel_attach(&s->worker, s->shm, size, true, -1, -1) == SN_OK);
		REQUIRE(sn_channel_attach(&s->app, s->shm, size, false, -1, -1) == SN_OK);
		s->slot = sn_engine_channel_attach(s->e, &s->worker);
		for (uint32_t k = 0; k < ARENA; k++)
			s->app.base[s->app.tx_off + k] = (uint8_t)(k * 7 + k / 251);
	}
}

static void pair_close(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		struct side *s = &p->s[i];
		if (s->e->channel[s->slot])
			sn_engine_channel_detach(s->e, (uint32_t)s->slot, p->now);
	}
	while (p->wire) {
		struct sn_buf *b = p->wire;
		p->wire = b->next;
		sn_buf_free(b);
	}
	for (int i = 0; i < 2; i++) {
		struct side *s = &p->s[i];
		CHECK_EQ(s->e->mptcp.conns.used, 0);
		CHECK_EQ(s->e->mptcp.subflows.used, 0);
		CHECK_EQ(s->e->mptcp.chunks.used, 0);
		CHECK_EQ(s->e->mptcp.sents.used, 0);
		CHECK_EQ(s->e->mptcp.listeners.used, 0);
		CHECK_EQ(s->e->tcp.segs.used, 0);
		sn_channel_leave(&s->worker);
		sn_sim_pool_close(&s->pool);
		free(s->mem);
		free(s->shm);
	}
	sn_sim_pool_close(&p->ether);
}

static void pair_submit(struct pair *p, int side, struct sn_sqe q) { CHECK(sn_channel_sq_push(&p->s[side].app, &q)); }

static void pair_release(struct pair *p, int side)
{
	struct side *s = &p->s[side];
	for (uint32_t i = 0; i < s->held; i++)
		pair_submit(
			p, side,
			(struct sn_sqe){
				.op = SN_OP_RELEASE, .conn = s->conn, .off = s->held_off[i], .len = s->held_len[i]});
	s->held = 0;
}

static void pair_app(struct pair *p, int side)
{
	struct side *s = &p->s[side];
	struct sn_cqe q;
	while (sn_channel_cq_pop(&s->app, &q)) {
		if (p->app && p->app(p, side, &q))
			continue;
		switch (q.op) {
		case SN_CQ_LISTENING: s->listen_res = q.res; break;
		case SN_CQ_CONNECTED:
		case SN_CQ_ACCEPT:
			s->opened++;
			s->open_res = q.res;
			s->conn = q.conn;
			s->mptcp = q.flags & SN_CQF_MPTCP;
			if (q.op == SN_CQ_ACCEPT)
				pair_submit(p, side, (struct sn_sqe){.op = SN_OP_ACCEPT, .conn = q.conn});
			break;
		case SN_CQ_RECV:
			for (uint32_t i = 0; i < q.len; i++) {
				uint32_t k = (uint32_t)((s->got + i) % ARENA);
				s->bad += s->app.base[q.off + i] != (uint8_t)(k * 7 + k / 251);
			}
			s->got += q.len;
			s->gap = SN_MAX(s->gap, p->now - s->last_got);
			s->last_got = p->now;
			s->held_off[s->held] = q.off;
			s->held_len[s->held++] = q.len;
			break;
		case SN_CQ_SENT: s->given_back += q.len; break;
		case SN_CQ_EOF: s->eof++; break;
		case SN_CQ_CLOSED:
			s->closed++;
			s->closed_res = q.res;
			break;
		case SN_CQ_ERROR:
			s->errors++;
			s->error_res = q.res;
			break;
		}
	}
	if (!s->hold && s->held)
		pair_release(p, side);
}

static void pair_poll(struct pair *p, int side)
{
	struct side *s = &p->s[side];
	for (int turn = 0; turn < 50; turn++) {
		uint32_t work;
		s->next = sn_engine_poll(s->e, p->now, &work);
		pair_app(p, side);
		if (!work && sn_channel_sq_empty(&s->worker))
			return;
	}
}

/* A frame at the end of its way: into a buffer of the receiver, if that has one. */
static void pair_arrive(struct pair *p, struct sn_buf *b)
{
	struct side *s = &p->s[b->user[1]];
	struct sn_buf *own = sn_buf_alloc(&s->pool.pool);
	if (own) {
		memcpy(own->data, b->data, b->len);
		own->len = b->len;
		own->port = b->port;
		own->flags = b->flags;
		sn_engine_rx(s->e, &own, 1, p->now);
	}
	sn_buf_free(b);
}

/* Lets virtual time pass. */
static void pair_run(struct pair *p, sn_time span)
{
	sn_time end = p->now + span;
	for (;;) {
		pair_poll(p, A);
		pair_poll(p, B);
		sn_time at = SN_MIN(p->s[A].next, p->s[B].next);
		if (p->wire)
			at = SN_MIN(at, p->wire->user[0]);
		if (at > end)
			break;
		p->now = SN_MAX(at, p->now + 1);
		while (p->wire && p->wire->user[0] <= p->now) {
			struct sn_buf *b = p->wire;
			p->wire = b->next;
			pair_arrive(p, b);
		}
	}
	p->now = end;
}

static struct sn_sqe connect_sqe(uint8_t flags)
{
	struct sn_sqe q = {.op = SN_OP_CONNECT, .flags = flags, .port = PEER_PORT, .user = 11};
	struct sn_addr to = pair_addr(0, 2);
	memcpy(q.addr, to.b, 16);
	return q;
}

static inline void pair_connect(struct pair *p, uint8_t flags)
{
	pair_submit(p, B, (struct sn_sqe){.op = SN_OP_LISTEN, .lport = PEER_PORT, .len = 4, .user = 22});
	pair_run(p, SN_MSEC);
	CHECK_EQ(p->s[B].listen_res, SN_OK);
	pair_submit(p, A, connect_sqe(flags));
}

static inline void pair_send(struct pair *p, int side, uint32_t len)
{
	struct side *s = &p->s[side];
	while (len) {
		uint32_t off = (uint32_t)(s->sent % ARENA), n = SN_MIN(SN_MIN(len, ARENA - off), 32768u);
		pair_submit(p, side, (struct sn_sqe){.op = SN_OP_SEND, .conn = s->conn, .off = off, .len = n});
		s->sent += n;
		len -= n;
	}
}

static inline void pair_op(struct pair *p, int side, uint8_t op)
{
	pair_submit(p, side, (struct sn_sqe){.op = op, .conn = p->s[side].conn});
}

static inline void pair_endpoint_at(struct pair *p, int side, uint32_t path, const struct sn_addr *addr, uint8_t flags)
{
	struct sn_endpoint ep = {.id = (uint8_t)(path + 1), .flags = flags, .nic_port = (uint16_t)path};
	memcpy(ep.addr, addr->b, 16);
	CHECK_EQ(sn_engine_endpoint_add(p->s[side].e, &ep, p->now), SN_OK);
}

static inline void pair_endpoint(struct pair *p, int side, uint32_t path, uint8_t flags)
{
	pair_endpoint_at(p, side, path, sn_net_port_addr(p->s[side].e, (uint16_t)path), flags);
}

static inline uint32_t pair_subflows(struct pair *p, int side)
{
	struct sn_subflow_info info[SN_MAX_SUBFLOWS];
	return sn_engine_subflow_info(p->s[side].e, p->s[side].conn, info, SN_MAX_SUBFLOWS);
}

/* Everything sent arrived as it was. */
static inline void pair_check_streams(struct pair *p)
{
	CHECK_EQ(p->s[B].got, p->s[A].sent);
	CHECK_EQ(p->s[A].got, p->s[B].sent);
	CHECK_EQ(p->s[A].bad + p->s[B].bad, 0);
	CHECK_EQ(p->s[A].given_back, p->s[A].sent);
	CHECK_EQ(p->s[B].given_back, p->s[B].sent);
}

#endif
