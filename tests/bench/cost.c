/* SPDX-License-Identifier: Apache-2.0
 *
 * What the engine costs in instructions, to be run under callgrind with --collect-atstart=no. Two engines in one process
 * hand each other frames in memory. Counting is on only around calls into one of them and off in every callback out of it;
 * what the switching itself costs is measured as "empty" and subtracted by who reads the dumps.
 *
 * A round: B full segments are written and pushed, delivered in bursts of 32, or of two so that one ACK answers two
 * segments, and acknowledged. Timestamps, window scaling and SACK are on, checksums are the port's. One dump per metric:
 * "NAME B UNITS SWITCHES".
 */
#include <stdio.h>
#include <stdlib.h>
#include <valgrind/callgrind.h>

#include "engine/engine.h"
#include "tcp/tcp.h"
#include "wire/split.h"

enum { BURST = 32, POOL = 16384, ROOM = 2048, CHUNK = 65536, SEGMENT = 1448, WARM = 50 };

struct bench;
struct sn_subflow { /* the owner of one side's flow */
	struct bench *b;
	struct side *side;
	struct sn_tcp *tcp;
	bool up, fin, closed;
};
struct side {
	struct bench *b;
	int i;
	struct sn_engine *e;
	struct sn_pool pool;
	struct sn_buf *free;
	struct sn_subflow sub;
	struct sn_buf *in[POOL]; /* frames on their way here */
	uint32_t n;
};
struct bench {
	struct side side[2];
	sn_time now;
	int counted; /* side whose instructions count, -1: none */
	bool on;
	uint64_t switches;
	struct sn_chunk chunk;
	uint8_t payload[CHUNK];
	uint64_t random;
	bool v6, single;
};

static struct sn_addr host(const struct bench *b, int i)
{
	struct sn_addr v6 = {.b = {0xfd, [15] = (uint8_t)(1 + i)}};

	return b->v6 ? v6 : sn_addr_v4(0x0a000001u + (uint32_t)i);
}

/* --- the switch --------------------------------------------------------------------------------------------------- */

#define IN(b, s)                                          \
	do {                                              \
		if ((b)->counted == (s)->i && !(b)->on) { \
			(b)->on = true;                   \
			(b)->switches++;                  \
			CALLGRIND_TOGGLE_COLLECT;         \
		}                                         \
	} while (0)
#define OUT(b, s)                                        \
	do {                                             \
		if ((b)->counted == (s)->i && (b)->on) { \
			CALLGRIND_TOGGLE_COLLECT;        \
			(b)->on = false;                 \
		}                                        \
	} while (0)

/* --- callbacks out of the engine: not counted --------------------------------------------------------------------- */

static struct sn_buf *pool_alloc(struct sn_pool *pool)
{
	struct side *s = pool->ctx;
	OUT(s->b, s);
	struct sn_buf *b = s->free;
	if (b) {
		s->free = b->next;
		b->data = b->base + SN_HEADROOM;
		b->len = 0;
		b->flags = 0;
		b->next = NULL;
	}
	IN(s->b, s);
	return b;
}

static void pool_free(struct sn_pool *pool, struct sn_buf *b)
{
	struct side *s = pool->ctx;
	bool was = s->b->on;
	OUT(s->b, s);
	b->next = s->free;
	s->free = b;
	if (was)
		IN(s->b, s);
}

/* Never short: what is measured is the asking. */
static uint32_t pool_avail(struct sn_pool *pool, uint32_t *size)
{
	(void)pool;
	*size = POOL;
	return POOL;
}

/* A frame with the headers of `tx`; the content of the payload does not matter. */
static struct sn_buf *deliverable(struct side *to, const struct sn_tx *tx, uint32_t payload)
{
	struct sn_buf *b = to->pool.alloc(&to->pool);

	if (!b)
		abort();
	memcpy(b->data, tx->hdr->data, tx->hdr->len);
	b->len = tx->hdr->len + payload;
	b->flags = SN_BUF_CSUM_GOOD;
	to->in[to->n++] = b;
	return b;
}

/* Cutting a unit is work that somebody has to do: it counts. */
static void cut(struct side *s, struct side *to, const struct sn_tx *unit)
{
	struct sn_split split;
	struct sn_tx one;

	IN(s->b, s);
	sn_split_begin(&split, unit);
	OUT(s->b, s);
	while (!sn_split_done(&split)) {
		struct sn_buf *b = deliverable(to, unit, SN_MIN(split.left, (uint32_t)unit->seg_size));
		IN(s->b, s);
		sn_split_next(&split, b->data, &one);
		OUT(s->b, s);
	}
}

static void hook_tx(void *ctx, uint16_t port, struct sn_tx *v, uint32_t n)
{
	struct side *s = ctx, *to = &s->b->side[!s->i];
	(void)port;
	OUT(s->b, s);
	for (uint32_t i = 0; i < n; i++) {
		if (v[i].segs)
			cut(s, to, &v[i]);
		else
			deliverable(to, &v[i], v[i].payload_len);
		v[i].hdr->next = s->free;
		s->free = v[i].hdr;
	}
	IN(s->b, s);
}

static void hook_random(void *ctx, void *out, size_t n)
{
	struct side *s = ctx;
	OUT(s->b, s);
	for (uint8_t *p = out; n; n--)
		*p++ = (uint8_t)((s->b->random = s->b->random * 6364136223846793005u + 1442695040888963407u) >> 56);
	IN(s->b, s);
}

static void up_established(struct sn_subflow *s, sn_time now)
{
	(void)now;
	OUT(s->b, s->side);
	s->up = true;
	IN(s->b, s->side);
}
static bool up_segment(struct sn_subflow *s, const struct sn_tcp_seg *seg, struct sn_buf *payload, sn_time now)
{
	(void)s;
	(void)seg;
	(void)payload;
	(void)now;
	return true;
}
static void up_data(struct sn_subflow *s, struct sn_buf *chain, sn_time now)
{
	OUT(s->b, s->side);
	sn_buf_free_chain(chain);
	IN(s->b, s->side);
	sn_tcp_native_ops.credit(s->tcp, now);
}
static void up_acked(struct sn_subflow *s, sn_time now)
{
	(void)s;
	(void)now;
}
static uint32_t up_options(struct sn_subflow *s, const struct sn_opt_want *want, uint8_t *out)
{
	(void)s;
	(void)want;
	(void)out;
	return 0;
}
static uint32_t up_window(struct sn_subflow *s)
{
	(void)s;
	return 8u << 20;
}
static bool up_rto(struct sn_subflow *s, uint32_t in_a_row, sn_time now)
{
	(void)s;
	(void)in_a_row;
	(void)now;
	return true;
}
static void up_fin(struct sn_subflow *s, sn_time now)
{
	(void)now;
	s->fin = true;
}
static void up_closed(struct sn_subflow *s, enum sn_err err, sn_time now)
{
	(void)err;
	(void)now;
	s->closed = true;
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

/* --- calls into the engine: counted ------------------------------------------------------------------------------- */

static void poll_side(struct bench *b, struct side *s)
{
	uint32_t work;

	IN(b, s);
	sn_engine_poll(s->e, b->now, &work);
	OUT(b, s);
}

static bool passive_open(struct bench *b, struct side *s, struct sn_buf *f)
{
	struct sn_tcp_seg seg;
	struct sn_tcp_open o = {.owner = &s->sub, .up = &up, .isn = 9000000, .rcv_space = 8u << 20};

	uint32_t type = b->v6 ? 0x86dd : 0x0800, l4 = b->v6 ? 54 : 34;

	if (s->sub.tcp || sn_get16(f->data + 12) != type || f->len < l4 ||
	    sn_tcp_parse(&seg, f->data + l4, f->len - l4) != SN_OK ||
	    (seg.flags & (SN_TH_SYN | SN_TH_ACK)) != SN_TH_SYN)
		return false;
	o.flow = (struct sn_flow){host(b, s->i), host(b, !s->i), seg.dport, seg.sport};
	IN(b, s);
	s->sub.tcp = sn_tcp_native_ops.accept(s->e, &o, &seg, b->now);
	OUT(b, s);
	pool_free(&s->pool, f);
	return true;
}

/* Everything that is on its way to a side, in bursts. */
static void deliver_by(struct bench *b, struct side *s, uint32_t burst)
{
	static struct sn_buf *frames[POOL];
	uint32_t n = s->n;

	memcpy(frames, s->in, n * sizeof *frames);
	s->n = 0;
	for (uint32_t i = 0; i < n;) {
		if (passive_open(b, s, frames[i])) {
			i++;
			continue;
		}
		uint32_t k = s->sub.tcp ? SN_MIN(n - i, burst) : 1;
		IN(b, s);
		sn_engine_rx(s->e, frames + i, k, b->now);
		OUT(b, s);
		i += k;
	}
	poll_side(b, s);
}

static void deliver(struct bench *b, struct side *s) { deliver_by(b, s, BURST); }

static void write_segments(struct bench *b, struct side *s, uint32_t n)
{
	while (n) {
		uint32_t k = SN_MIN(n, (uint32_t)BURST);
		IN(b, s);
		uint32_t room = sn_tcp_native_ops.room(s->sub.tcp, b->now);
		int32_t sent = room >= k * SEGMENT
				       ? sn_tcp_native_ops.send(s->sub.tcp, &b->chunk, 0, k * SEGMENT, 0, b->now)
				       : 0;
		OUT(b, s);
		if (sent != (int32_t)(k * SEGMENT))
			abort();
		n -= k;
	}
	poll_side(b, s);
}

/* --- rounds ------------------------------------------------------------------------------------------------------- */

static void side_up(struct bench *b, int i)
{
	struct side *s = &b->side[i];
	struct sn_engine_cfg cfg;

	s->b = b;
	s->i = i;
	s->sub.b = b;
	s->sub.side = s;
	s->pool = (struct sn_pool){.alloc = pool_alloc, .free = pool_free, .avail = pool_avail, .ctx = s};
	for (uint32_t k = 0; k < POOL; k++) {
		struct sn_buf *f = aligned_alloc(64, sizeof *f + SN_HEADROOM + ROOM);
		memset(f, 0, sizeof *f);
		f->pool = &s->pool;
		f->base = (uint8_t *)(f + 1);
		f->room = SN_HEADROOM + ROOM;
		f->next = s->free;
		s->free = f;
	}
	sn_engine_cfg_default(&cfg);
	cfg.max_conns = cfg.max_subflows = 64;
	cfg.max_segs = 4096;
	cfg.max_chunks = 64;
	cfg.max_listeners = 4;
	cfg.pool = &s->pool;
	cfg.hooks = (struct sn_engine_hooks){.ctx = s, .tx = hook_tx, .random = hook_random};
	cfg.tcp.time_wait = 10 * SN_MSEC;
	cfg.tcp.rcv_initial = cfg.rcvbuf = 8u << 20;
	size_t size = (sn_engine_footprint(&cfg) + 63) & ~(size_t)63;
	s->e = sn_engine_init(aligned_alloc(64, size), size, &cfg, b->now);
	struct sn_net_port_cfg port = {
		.mac = {2, 0, 0, 0, 0, (uint8_t)(1 + i)}, .prefix = 24, .mtu = 1500, .tx_csum = true};
	port.unit_max = b->single ? 0 : SN_UNIT_MAX;
	if (b->v6) {
		port.addr6 = host(b, i);
		port.prefix6 = 64;
		port.mtu = 1520; /* the same segments */
	} else {
		port.addr = host(b, i);
	}
	if (!s->e || sn_engine_port_add(s->e, &port) != 0)
		abort();
}

static void pass(struct bench *b, sn_time time)
{
	b->now += time;
	deliver(b, &b->side[1]);
	b->now += time;
	deliver(b, &b->side[0]);
}

static void connect_pair(struct bench *b)
{
	struct side *a = &b->side[0];
	struct sn_tcp_open o = {.owner = &a->sub, .up = &up, .isn = 1000, .rcv_space = 8u << 20};

	a->sub.fin = a->sub.closed = a->sub.up = false;
	b->side[1].sub.fin = b->side[1].sub.closed = b->side[1].sub.up = false;
	o.flow = (struct sn_flow){host(b, 0), host(b, 1), 40000, 80};
	IN(b, a);
	a->sub.tcp = sn_tcp_native_ops.open(a->e, &o, b->now);
	OUT(b, a);
	poll_side(b, a);
	for (int i = 0; i < 6 && !(a->sub.up && b->side[1].sub.up); i++)
		pass(b, SN_MSEC);
	if (!a->sub.up || !b->side[1].sub.up)
		abort();
}

static void close_pair(struct bench *b)
{
	for (int i = 0; i < 2; i++) {
		struct side *s = &b->side[i];
		IN(b, s);
		sn_tcp_native_ops.fin(s->sub.tcp, b->now);
		OUT(b, s);
		poll_side(b, s);
		pass(b, SN_MSEC);
	}
	pass(b, SN_MSEC);
	if (!b->side[0].sub.closed || !b->side[1].sub.closed)
		abort();
	b->now += 20 * SN_MSEC; /* TIME_WAIT is part of it */
	poll_side(b, &b->side[0]);
	poll_side(b, &b->side[1]);
}

enum what { RX, PAIRS, TX, ACK };

static void round_of(struct bench *b, uint32_t n, int what)
{
	struct side *a = &b->side[0], *z = &b->side[1];

	/* A window that just holds the round: congestion avoidance goes on as it would. */
	a->sub.tcp->cwnd = a->sub.tcp->ssthresh = SN_MAX(n, 10u) * a->sub.tcp->mss;
	b->counted = what == TX ? 0 : -1;
	write_segments(b, a, n);
	b->counted = what == RX || what == PAIRS ? 1 : -1;
	b->now += SN_MSEC;
	/* A burst is acknowledged as one: two segments at a time where one ACK shall free two. */
	deliver_by(b, z, what == RX ? BURST : 2);
	b->counted = what == ACK ? 0 : -1;
	b->now += SN_MSEC;
	deliver(b, a);
	b->counted = -1;
}

static void dump(struct bench *b, const char *name, uint32_t batch, uint64_t units)
{
	char text[96];

	snprintf(text, sizeof text, "%s %u %llu %llu", name, batch, (unsigned long long)units,
		 (unsigned long long)b->switches);
	CALLGRIND_DUMP_STATS_AT(text);
	b->switches = 0;
}

static void measure(struct bench *b, uint32_t batch, enum what what, uint32_t rounds)
{
	static const char *const name[] = {"rx_segment", "rx_pair", "tx_segment", "ack"};
	uint64_t acks = b->side[0].e->counters.tcp_rx_segments;

	CALLGRIND_ZERO_STATS;
	b->switches = 0;
	for (uint32_t i = 0; i < rounds; i++)
		round_of(b, batch, (int)what);
	acks = b->side[0].e->counters.tcp_rx_segments - acks;
	dump(b, name[what], batch, what == ACK ? acks : (uint64_t)rounds * batch);
}

/* Arguments: "ipv6"; "single": ports that take no units. */
int main(int argc, char **argv)
{
	static const uint32_t batches[] = {1, 64, 1024};
	struct bench *b = calloc(1, sizeof *b);

	b->now = 1000 * SN_SEC;
	b->counted = -1;
	b->random = 1;
	for (int i = 1; i < argc; i++) {
		b->v6 |= strcmp(argv[i], "ipv6") == 0;
		b->single |= strcmp(argv[i], "single") == 0;
	}
	b->chunk = (struct sn_chunk){.data = b->payload, .len = CHUNK, .refs = 1};
	side_up(b, 0);
	side_up(b, 1);

	CALLGRIND_ZERO_STATS;
	b->counted = 0;
	for (int i = 0; i < 1000; i++) {
		IN(b, &b->side[0]);
		OUT(b, &b->side[0]);
	}
	dump(b, "empty", 1, 1000);

	for (int i = 0; i < 8; i++) { /* neighbours, tables, caches */
		b->counted = -1;
		connect_pair(b);
		close_pair(b);
	}
	for (int s = 0; s < 2; s++) {
		CALLGRIND_ZERO_STATS;
		b->switches = 0;
		b->counted = s;
		for (int i = 0; i < 100; i++) {
			connect_pair(b);
			close_pair(b);
		}
		b->counted = -1;
		dump(b, s ? "accepted" : "opened", 1, 100);
	}

	connect_pair(b);
	for (uint32_t i = 0; i < sizeof batches / sizeof batches[0]; i++) {
		uint32_t batch = batches[i], rounds = SN_MAX(4096 / batch, 8u);
		for (uint32_t k = 0; k < WARM; k++)
			round_of(b, batch, -1);
		for (int what = RX; what <= ACK; what++)
			measure(b, batch, (enum what)what, rounds);
	}
	if (b->side[0].e->counters.tcp_retrans || b->side[1].e->counters.tcp_ooo)
		abort();
	return 0;
}
