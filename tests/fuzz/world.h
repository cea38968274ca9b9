/* SPDX-License-Identifier: Apache-2.0
 *
 * What the targets with a whole engine share: two ports, one application with its channel, a listener on OUR_PORT, a pool
 * that counts, a peer that knows the protocol (peer.h). Whatever happens: every frame that leaves is well formed, and after
 * the application is gone everything comes back to its table (finish()).
 */
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

#include <stdio.h>
#include <stdlib.h>

#include "engine/engine.h"
#include "peer.h"

#define MUST(x)                  \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

enum { ROOM = 2048, MAX_LIVE = 512, MAX_SLOTS = 64, STEPS_TO_END = 5000, FRAME_MAX = 1600 };

struct world {
	struct sn_engine *e;
	struct sn_channel *worker_side, *app_side;
	struct sn_channel_geometry geometry;
	void *shm;          /* of the channel */
	uint32_t reap_most; /* completions taken at a time */
	uint32_t joins;     /* sessions after the first */
	int32_t slot;
	struct peer peer;
	sn_time now, next;
	uint32_t live;      /* buffers out of the pool */
	uint32_t pool_size; /* as the engine sees it: small, so that it runs short */
	uint64_t random;
	bool pool_empty, ring_full;
	bool deaf;     /* the peer answers no question for its link address */
	uint32_t conn; /* the connection heard of last */
	uint32_t slots[MAX_SLOTS], slot_len[MAX_SLOTS], nslots;
	/* A target that wants to see what the application is given. */
	void (*received)(struct world *, const struct sn_cqe *, const uint8_t *bytes);
};

/* The fuzzer's bytes, read from the front; zeros behind the end. */
struct input {
	const uint8_t *p, *end;
};
static inline uint8_t take8(struct input *in) { return in->p < in->end ? *in->p++ : 0; }
static inline uint16_t take16(struct input *in)
{
	uint16_t high = take8(in);
	return (uint16_t)(high << 8 | take8(in));
}
static inline uint32_t take_bytes(struct input *in, const uint8_t **out, uint32_t want)
{
	uint32_t n = SN_MIN(want, (uint32_t)(in->end - in->p));
	*out = in->p;
	in->p += n;
	return n;
}

static inline struct sn_buf *pool_alloc(struct sn_pool *pool)
{
	struct world *w = pool->ctx;
	if (w->pool_empty || w->live >= MAX_LIVE)
		return NULL;
	struct sn_buf *b = malloc(sizeof *b);
	memset(b, 0xa5, sizeof *b);
	b->base = malloc(ROOM);
	b->room = ROOM;
	b->data = b->base + SN_HEADROOM;
	b->len = 0;
	b->pool = pool;
	b->next = NULL;
	b->flags = b->lent = 0;
	w->live++;
	return b;
}

static inline uint32_t pool_avail(struct sn_pool *pool, uint32_t *size)
{
	const struct world *w = pool->ctx;
	*size = w->pool_size;
	return w->live < w->pool_size ? w->pool_size - w->live : 0;
}

static inline void pool_free(struct sn_pool *pool, struct sn_buf *b)
{
	struct world *w = pool->ctx;
	w->live--;
	free(b->base);
	free(b);
}

static inline void hook_tx(void *ctx, uint16_t port, struct sn_tx *v, uint32_t n)
{
	struct world *w = ctx;
	for (uint32_t i = 0; i < n; i++) {
		struct sn_buf *b = v[i].hdr;
		uint8_t frame[FRAME_MAX];
		uint32_t len = b->len;
		MUST(v[i].port == port && b->data >= b->base && b->data + len <= b->base + b->room);
		MUST(len + v[i].payload_len <= 1514);
		memcpy(frame, b->data, len);
		for (uint32_t k = 0; k < v[i].nref; k++) {
			memcpy(frame + len, v[i].ref[k].data, v[i].ref[k].len);
			len += v[i].ref[k].len;
		}
		MUST(len == b->len + v[i].payload_len);
		MUST(peer_sees(&w->peer, frame, len));
		sn_buf_free(b);
	}
}

static inline bool hook_forward(void *ctx, uint32_t worker, struct sn_buf *b)
{
	struct world *w = ctx;
	MUST(worker == 1);
	if (w->ring_full)
		return false;
	sn_buf_free(b);
	return true;
}

static inline void hook_random(void *ctx, void *out, size_t n)
{
	struct world *w = ctx;
	for (size_t i = 0; i < n; i++) {
		w->random = w->random * 6364136223846793005ull + 1442695040888963407ull;
		((uint8_t *)out)[i] = (uint8_t)(w->random >> 56);
	}
}

static inline void rx(struct world *w, const uint8_t *frame, uint32_t len, uint16_t port, uint8_t flags)
{
	bool empty = w->pool_empty;
	w->pool_empty = false; /* the port's buffers are not ours to refuse */
	struct sn_buf *b = pool_alloc(w->e->cfg.pool);
	w->pool_empty = empty;
	if (!b)
		return;
	/* At the end of the room, so that a read too far is seen. */
	b->data = b->base + b->room - len;
	memcpy(b->data, frame, len);
	b->len = len;
	b->port = port;
	b->flags = flags;
	sn_engine_rx(w->e, &b, 1, w->now);
}

/* Whatever address the engine asks for is the peer's. */
static inline void answer_arp(struct world *w, const struct sn_addr *whom)
{
	uint32_t ip = sn_addr_v4_get(whom), second = ip >> 8 & 1;
	struct sn_arp a = {.op = SN_ARP_REPLY, .sender = ip, .target = second ? OUR_IP2 : OUR_IP};
	uint8_t frame[SN_ETH_HDR + SN_ARP_LEN];

	memcpy(a.sender_mac, peer_mac, 6);
	memcpy(a.target_mac, our_mac[second], 6);
	sn_eth_emit(frame, our_mac[second], peer_mac, SN_ETH_ARP);
	sn_arp_emit(frame + SN_ETH_HDR, &a);
	rx(w, frame, sizeof frame, (uint16_t)second, 0);
}

static inline void answer_nd(struct world *w, const struct sn_addr *whom)
{
	bool second = whom->b[7];
	struct sn_addr to = peer_addr(&w->peer, second, false);
	struct sn_nd nd = {.type = SN_ICMP6_ADVERTISE, .flags = SN_ND_SOLICITED | SN_ND_OVERRIDE, .has_mac = true};
	struct sn_ip ip = {.src = *whom, .dst = to, .ttl = 255, .proto = SN_IP_ICMP6};
	uint8_t frame[SN_ETH_HDR + SN_IPV6_HDR + SN_ND_LEN];

	nd.target = *whom;
	memcpy(nd.mac, peer_mac, 6);
	uint32_t n = sn_nd_emit(frame + SN_ETH_HDR + SN_IPV6_HDR, &nd, whom, &to);
	ip.total_len = (uint16_t)(SN_IPV6_HDR + n);
	sn_ipv6_emit(frame + SN_ETH_HDR, &ip);
	sn_eth_emit(frame, our_mac[second], peer_mac, SN_ETH_IPV6);
	rx(w, frame, SN_ETH_HDR + ip.total_len, second, 0);
}

static inline void answer_neighbours(struct world *w)
{
	while (w->peer.asked_count) {
		struct sn_addr whom = w->peer.asked[--w->peer.asked_count];
		if (sn_addr_is_v4(&whom))
			answer_arp(w, &whom);
		else
			answer_nd(w, &whom);
	}
}

static inline void reap(struct world *w)
{
	struct sn_cqe c;
	if (!w->app_side)
		return;
	for (uint32_t n = 0; n < w->reap_most && sn_app_reap(w->app_side, &c, 1) == 1; n++) {
		if (c.op == SN_CQ_ACCEPT || (c.op == SN_CQ_CONNECTED && c.res == 0))
			w->conn = c.conn;
		if (c.op == SN_CQ_RECV && w->received)
			w->received(w, &c, (const uint8_t *)w->shm + c.off);
		if (c.op == SN_CQ_RECV && w->nslots < MAX_SLOTS) {
			w->slots[w->nslots] = c.off;
			w->slot_len[w->nslots++] = c.len;
		}
	}
}

static inline void poll_engine(struct world *w)
{
	uint32_t work;
	w->next = sn_engine_poll(w->e, w->now, &work);
	if (w->deaf)
		w->peer.asked_count = 0;
	if (w->peer.asked_count) { /* what waited for the answer leaves now */
		answer_neighbours(w);
		w->next = sn_engine_poll(w->e, w->now, &work);
	}
	reap(w);
	struct sn_neigh_news news[4];
	MUST(sn_engine_news(w->e, news, 4) <= 4);
	if (w->worker_side && sn_channel_violated(w->worker_side)) {
		sn_engine_channel_detach(w->e, (uint32_t)w->slot, w->now);
		sn_channel_free(w->worker_side);
		sn_channel_free(w->app_side);
		w->worker_side = w->app_side = NULL;
	}
}

static inline void submit(struct world *w, const struct sn_sqe *sqe)
{
	if (w->app_side)
		(void)sn_app_submit(w->app_side, sqe);
}

static inline void *zeroed(size_t size)
{
	void *p = aligned_alloc(4096, (size + 4095) & ~(size_t)4095);
	memset(p, 0, size);
	return p;
}

static inline void start(struct world *w, struct sn_pool *pool, uint8_t settings, void **memory, void **shared)
{
	struct sn_engine_cfg cfg;

	sn_engine_cfg_default(&cfg);
	cfg.workers = 2;
	cfg.port_count = 1024;
	cfg.max_conns = 8;
	cfg.max_subflows = 16;
	cfg.max_segs = 128;
	cfg.max_chunks = 64;
	cfg.max_listeners = 4;
	cfg.rcvbuf = 65536;
	cfg.pool = pool;
	cfg.cc = settings & 1 ? "newreno" : settings & 128 ? "bbr" : "cubic";
	cfg.sched = settings & 2 ? SN_SCHED_ROUNDROBIN : SN_SCHED_MINRTT;
	cfg.csum = settings & 4;
	w->pool_size = settings & 8 ? 16 : settings & 16 ? 64 : MAX_LIVE;
	memcpy(cfg.secret, "fuzzing is easy", 16);
	cfg.hooks = (struct sn_engine_hooks){.ctx = w, .tx = hook_tx, .forward = hook_forward, .random = hook_random};
	w->now = w->next = SN_SEC;
	w->geometry = (struct sn_channel_geometry){64, 64, 16384, 2048, 16};
	w->reap_most = UINT32_MAX;
	size_t size = sn_engine_footprint(&cfg);
	*memory = zeroed(size);
	w->e = sn_engine_init(*memory, size, &cfg, w->now);
	MUST(w->e);
	sn_engine_news_watch(w->e);
	for (uint32_t i = 0; i < 2; i++) {
		struct sn_net_port_cfg p = {.mtu = 1500};
		if (w->peer.v6[i]) {
			p.addr6 = p.gateway6 = peer_addr(&w->peer, i, false);
			p.gateway6.b[15] = 0xfe;
			p.prefix6 = 64;
		} else {
			p.addr = p.gateway = peer_addr(&w->peer, i, false);
			p.gateway.b[15] |= 0xfe;
			p.prefix = 24;
		}
		memcpy(p.mac, our_mac[i], 6);
		MUST(sn_engine_port_add(w->e, &p) == (int32_t)i);
	}
	size_t shm = sn_channel_footprint(&w->geometry);
	w->shm = *shared = zeroed(shm);
	MUST(sn_channel_format(*shared, shm, &w->geometry, 0) == SN_OK);
	w->worker_side = sn_channel_new(*shared, shm, true, -1, -1);
	w->app_side = sn_channel_new(*shared, shm, false, -1, -1);
	MUST(w->worker_side && w->app_side);
	w->slot = sn_engine_channel_attach(w->e, w->worker_side);
	MUST(w->slot >= 0);
	struct sn_sqe listen = {.op = SN_OP_LISTEN, .lport = OUR_PORT, .len = 4, .user = 1};
	submit(w, &listen);
	poll_engine(w);
}

/* With -DFUZZ_SHOW: how far a seed gets. */
static inline void report(const struct world *w)
{
#ifdef FUZZ_SHOW
	for (uint32_t i = 0; i < sn_counter_count(); i++)
		if (sn_engine_counter(w->e, i))
			printf("%s=%llu ", sn_counter_name(i), (unsigned long long)sn_engine_counter(w->e, i));
	printf("conns=%u\n", sn_engine_conns(w->e));
#else
	(void)w;
#endif
}

/* What `sennit status` asks for. */
static inline void look(const struct world *w)
{
	struct sn_conn_info conns[8];
	struct sn_subflow_info subflows[SN_MAX_SUBFLOWS];
	uint32_t cursor = 0;

	while (cursor != UINT32_MAX) {
		uint32_t n = sn_engine_conn_info(w->e, &cursor, conns, 8);
		for (uint32_t i = 0; i < n; i++)
			MUST(sn_engine_subflow_info(w->e, conns[i].conn, subflows, SN_MAX_SUBFLOWS) <= SN_MAX_SUBFLOWS);
	}
}

/* The application goes; then time passes until every record is back. */
static inline void finish(struct world *w)
{
	w->pool_empty = w->ring_full = false;
	look(w);
	if (w->worker_side) {
		sn_engine_channel_detach(w->e, (uint32_t)w->slot, w->now);
		sn_channel_free(w->worker_side);
		sn_channel_free(w->app_side);
		w->worker_side = w->app_side = NULL;
	}
	for (uint32_t i = 0; i < STEPS_TO_END; i++) {
		poll_engine(w);
		if (w->next == SN_TIME_NEVER)
			break;
		w->now = SN_MAX(w->now, w->next);
	}
	MUST(sn_engine_conns(w->e) == 0);
	MUST(w->e->mptcp.subflows.used == 0 && w->e->mptcp.chunks.used == 0 && w->e->mptcp.listeners.used == 0);
	MUST(w->e->mptcp.sents.used == 0);
	MUST(w->e->tcp.conns.used == 0 && w->e->tcp.segs.used == 0 && w->e->tcp.bbr.used == 0);
	MUST(w->e->net.nodes.used == 0 && w->e->net.neighs.used == 0);
	MUST(w->live == 0);
}

#endif
