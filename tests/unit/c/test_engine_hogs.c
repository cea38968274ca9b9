/* SPDX-License-Identifier: Apache-2.0
 *
 * Peers that cost more than they bring: segments of one byte, in order and not, storms of ACKs, windows that stay closed.
 * What such a peer holds is bounded and counted, and the others go on.
 */
#include "mptcp_pair.h"
#include "tcp/tcp.h"
#include "wire/eth.h"
#include "wire/ipv4.h"

enum { MANY = 12, POOL = 1024 };

static struct pair p;
static struct {
	uint32_t sent[2], bytes[2]; /* TCP segments towards each side, and their payload */
	bool shut_window;           /* A closes its window: to be seen by B */
	bool silent;                /* nothing of A arrives but what is forged */
} wire;

static bool watch(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)q, (void)path;
	wire.sent[to]++;
	wire.bytes[to] += seg->len;
	if (to == B && wire.shut_window && !(seg->flags & SN_TH_SYN))
		sn_put16(tcp + 14, 0);
	return !(to == B && wire.silent);
}

/* One connection of plain TCP from A to B. Returns B's record. */
static struct sn_tcp *begin(void)
{
	memset(&wire, 0, sizeof wire);
	pair_init(&p, 1u << 20);
	p.filter = watch;
	p.s[B].pool.limit = POOL;
	pair_connect(&p, SN_OPF_TCP);
	pair_run(&p, 60 * SN_MSEC);
	REQUIRE(p.s[B].opened == 1);
	for (uint32_t i = 0; i < p.s[B].e->tcp.conns.count; i++) {
		struct sn_tcp *t = sn_slab_at(&p.s[B].e->tcp.conns, i);
		if (t)
			return t;
	}
	return NULL;
}

/* A segment in A's name: `seq` and `ack` beside what B expects. */
static void forge(const struct sn_tcp *t, int32_t seq, int32_t ack, uint32_t len)
{
	struct sn_buf *b = sn_buf_alloc(&p.s[B].pool.pool);
	struct sn_tcp_seg s = {.sport = t->flow.rport,
			       .dport = t->flow.lport,
			       .seq = t->rcv_nxt + (uint32_t)seq,
			       .ack = t->snd_una + (uint32_t)ack,
			       .flags = SN_TH_ACK,
			       .wnd = 60000};
	struct sn_ipv4 h = {.src = sn_addr_v4_get(&t->flow.remote),
			    .dst = sn_addr_v4_get(&t->flow.local),
			    .ttl = 64,
			    .proto = SN_IP_TCP};
	uint32_t n = t->ts_on ? 12 : 0;
	uint8_t *ip, *tcp;

	if (!b) /* the port has no buffer: the frame is lost */
		return;
	ip = b->data + SN_ETH_HDR;
	tcp = ip + SN_IPV4_HDR;
	h.total_len = (uint16_t)(SN_IPV4_HDR + SN_TCP_HDR_MIN + n + len);
	sn_eth_emit(b->data, (uint8_t[]){2, 0, 0, 0, 0, 2}, (uint8_t[]){2, 0, 0, 0, 0, 1}, SN_ETH_IPV4);
	sn_ipv4_emit(ip, &h, true);
	sn_tcp_emit(tcp, &s, n);
	if (n)
		sn_opt_emit_ts(tcp + SN_TCP_HDR_MIN, t->ts_recent, 0);
	memset(tcp + SN_TCP_HDR_MIN + n, 0, len);
	b->len = SN_ETH_HDR + h.total_len;
	b->port = 0;
	b->flags = SN_BUF_CSUM_GOOD;
	sn_engine_rx(p.s[B].e, &b, 1, p.now);
}

/* Somebody else gets his service while it lasts. */
static void others_are_served(void)
{
	uint32_t opened = p.s[B].opened;
	uint64_t got = p.s[B].got, sent = p.s[A].sent;

	pair_submit(&p, A, connect_sqe(0));
	pair_run(&p, 100 * SN_MSEC);
	REQUIRE(p.s[B].opened == opened + 1);
	pair_send(&p, A, 200000);
	pair_run(&p, 3 * SN_SEC);
	CHECK_EQ(p.s[B].got - got, p.s[A].sent - sent);
}

static void end(void)
{
	for (int i = 0; i < 2; i++)
		sn_engine_channel_detach(p.s[i].e, (uint32_t)p.s[i].slot, p.now);
	pair_run(&p, 100 * SN_SEC);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(p.s[i].pool.out, 0);
	pair_close(&p);
}

SN_TEST(single_bytes_with_gaps_hold_a_share_of_the_buffers)
{
	struct sn_tcp *t = begin();

	for (int32_t i = 0; i < 20000; i++) {
		forge(t, 2 + 2 * i % 60000, 0, 1);
		if (i % 100 == 99)
			pair_run(&p, SN_MSEC);
	}
	CHECK(p.s[B].e->counters.tcp_ooo_drop > 10000);
	CHECK(p.s[B].pool.out < POOL * 3 / 4 + 128);
	CHECK(p.s[B].e->counters.pool_tight > 0);
	others_are_served();
	end();
}

SN_TEST(single_bytes_that_nobody_reads_share_buffers)
{
	struct sn_tcp *t = begin();

	p.s[B].hold = true;
	for (int32_t i = 0; i < 20000; i++) {
		forge(t, 0, 0, 1);
		if (i % 100 == 99)
			pair_run(&p, SN_MSEC);
	}
	CHECK(p.s[B].got > 0);
	CHECK(p.s[B].pool.out < 64);
	p.s[B].bad = 0; /* the forged bytes are no stream of A's */
	end();
}

/* Empty ones, which two hosts could answer each other for ever, are answered now and then; those with data, which may be
 * retransmissions of a peer that needs the ACK, once each. */
SN_TEST(unacceptable_segments_are_answered_at_a_low_rate)
{
	struct sn_tcp *t = begin();

	wire.sent[A] = 0;
	for (int i = 0; i < 5000; i++) { /* beside the window, and acknowledging what was never sent */
		forge(t, i % 2 ? -70000 : 5 << 20, 0, 0);
		forge(t, 0, 1 << 20, 0);
		if (i % 50 == 49)
			pair_run(&p, SN_MSEC); /* 100 ms in all */
	}
	CHECK(wire.sent[A] >= 1);
	CHECK(wire.sent[A] <= 10);
	wire.sent[A] = 0;
	for (int i = 0; i < 1000; i++)
		forge(t, i % 2 ? -70000 : 5 << 20, 0, 1);
	pair_run(&p, 20 * SN_MSEC);
	CHECK(wire.sent[A] <= 1000);
	CHECK_EQ(wire.bytes[A], 0);
	CHECK(p.s[B].pool.out < 8);
	others_are_served();
	end();
}

SN_TEST(acks_of_nothing_new_cost_no_answer)
{
	struct sn_tcp *t = begin();

	wire.sent[A] = 0;
	for (int i = 0; i < 10000; i++)
		forge(t, 0, 0, 0);
	pair_run(&p, 100 * SN_MSEC);
	CHECK_EQ(wire.sent[A], 0);
	CHECK_EQ(p.s[B].pool.out, 0);
	end();
}

/* A receiver that claims duplicates (Savage et al., "TCP congestion control with a misbehaving receiver"): each stands for
 * one segment that left the network, and no more can have left than were there. */
SN_TEST(a_storm_of_duplicate_acks_does_not_open_the_window)
{
	struct sn_tcp *t = begin();

	t->sack_on = false; /* as if the peer's SYN had not offered it */
	wire.silent = true;
	pair_send(&p, B, 600000);
	pair_run(&p, 2 * SN_MSEC);
	uint32_t window = wire.bytes[A];
	REQUIRE(window > 0);
	for (int i = 0; i < 2000; i++)
		forge(t, 0, 0, 0);
	pair_run(&p, 4 * SN_MSEC);
	CHECK(t->reno_dups * t->mss <= t->pipe + t->mss);
	CHECK(wire.bytes[A] <= 2 * window);
	wire.silent = false;
	pair_run(&p, 60 * SN_SEC);
	CHECK_EQ(p.s[A].got, p.s[B].sent);
	end();
}

/* They ask, and take nothing: what the application submitted stays its own memory, probes grow rare, and when the
 * application has gone its connections end although every probe is answered. */
SN_TEST(windows_that_stay_closed_cost_records_and_rare_probes)
{
	static const uint32_t piece = 30000;

	memset(&wire, 0, sizeof wire);
	pair_init(&p, 1u << 20);
	p.filter = watch;
	pair_connect(&p, 0);
	for (int i = 1; i < MANY; i++) {
		pair_run(&p, 40 * SN_MSEC);
		pair_submit(&p, A, connect_sqe(i % 2 ? SN_OPF_TCP : 0));
	}
	pair_run(&p, 60 * SN_MSEC);
	wire.shut_window = true;
	for (uint32_t i = 0, n = 0; i < p.s[B].e->mptcp.conns.count; i++) {
		const struct sn_conn *c = sn_slab_at(&p.s[B].e->mptcp.conns, i);
		if (c)
			pair_submit(&p, B,
				    (struct sn_sqe){.op = SN_OP_SEND, .conn = c->id, .off = n++ * piece, .len = piece});
	}
	pair_run(&p, 20 * SN_SEC);
	CHECK(p.s[B].pool.out <= MANY);
	CHECK(p.s[B].e->mptcp.chunks.used <= MANY);
	wire.sent[A] = 0;
	pair_run(&p, 600 * SN_SEC);
	CHECK_EQ(p.s[B].e->mptcp.conns.used, MANY);
	CHECK(wire.sent[A] <= MANY * 2 * 600 / 20);
	sn_engine_channel_detach(p.s[B].e, (uint32_t)p.s[B].slot, p.now);
	p.s[B].slot = sn_engine_channel_attach(p.s[B].e, &p.s[B].worker);
	pair_run(&p, 300 * SN_SEC);
	CHECK_EQ(p.s[B].e->mptcp.conns.used, 0);
	CHECK_EQ(p.s[B].e->tcp.segs.used, 0);
	CHECK_EQ(p.s[B].pool.out, 0);
	wire.shut_window = false;
	end();
}

SN_TEST_MAIN()
