/* SPDX-License-Identifier: Apache-2.0
 *
 * Applications that do not read and peers that take what they can: the others must not notice much.
 */
#include "mptcp_pair.h"

#include "wire/eth.h"
#include "wire/ipv4.h"

enum { CROWD = 6, PIECE = 16384, SPOOFED = 0x0a00004d };

static struct pair p;

/* The applications go, neighbours that were asked for answer or are given up: nothing may be left. */
static void settle_and_close(void)
{
	for (int i = 0; i < 2; i++)
		sn_engine_channel_detach(p.s[i].e, (uint32_t)p.s[i].slot, p.now);
	pair_run(&p, 100 * SN_SEC);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(p.s[i].pool.bad, 0);
		CHECK_EQ(p.s[i].pool.out, 0);
	}
	pair_close(&p);
}

/* --- several connections at once: odd ones are well-behaved --- */

static struct {
	uint32_t conn[2][CROWD];
	uint16_t port[CROWD]; /* A's */
	uint64_t got[CROWD], sent[CROWD], back[CROWD];
	bool hold;             /* nobody reads from even connections */
	uint64_t limit, ahead; /* to be sent in all, and before something comes back */
	struct sn_sqe kept[64];
	uint32_t nkept;
} crowd;

static int crowd_find(int side, uint32_t conn)
{
	for (int i = 0; i < CROWD; i++)
		if (crowd.conn[side][i] == conn)
			return i;
	return -1;
}

static void crowd_send(int i)
{
	if (crowd.sent[i] >= crowd.limit)
		return;
	pair_submit(&p, A, (struct sn_sqe){.op = SN_OP_SEND, .conn = crowd.conn[A][i], .len = PIECE});
	crowd.sent[i] += PIECE;
}

static bool crowd_app(struct pair *q, int side, const struct sn_cqe *c)
{
	int i = crowd_find(side, c->conn);
	(void)q;

	switch (c->op) {
	case SN_CQ_CONNECTED:
		CHECK_EQ(c->res, 0);
		crowd.conn[A][c->user] = c->conn;
		crowd.port[c->user] = c->lport;
		crowd_send((int)c->user);
		crowd_send((int)c->user);
		return true;
	case SN_CQ_ACCEPT:
		pair_submit(&p, B, (struct sn_sqe){.op = SN_OP_ACCEPT, .conn = c->conn});
		for (int k = 0; k < CROWD; k++)
			if (crowd.port[k] == c->port)
				crowd.conn[B][k] = c->conn;
		return true;
	case SN_CQ_RECV: {
		struct sn_sqe r = {.op = SN_OP_RELEASE, .conn = c->conn, .off = c->off, .len = c->len};
		REQUIRE(i >= 0);
		crowd.got[i] += c->len;
		if (crowd.hold && i % 2 == 0)
			crowd.kept[crowd.nkept++] = r;
		else
			pair_submit(&p, B, r);
		return true;
	}
	case SN_CQ_SENT:
		REQUIRE(i >= 0);
		crowd.back[i] += c->len;
		while (crowd.sent[i] - crowd.back[i] < crowd.ahead && crowd.sent[i] < crowd.limit)
			crowd_send(i);
		return true;
	default: return false;
	}
}

static void crowd_start(uint8_t flags, uint32_t buffers)
{
	memset(&crowd, 0, sizeof crowd);
	crowd.limit = UINT64_MAX;
	crowd.ahead = 2 * PIECE;
	pair_init(&p, 4u << 20);
	p.app = crowd_app;
	p.s[B].pool.limit = buffers;
	pair_submit(&p, B, (struct sn_sqe){.op = SN_OP_LISTEN, .lport = PEER_PORT, .len = 16, .user = 22});
	pair_run(&p, SN_MSEC);
	for (uint64_t i = 0; i < CROWD; i++) {
		struct sn_sqe c = connect_sqe(flags);
		c.user = i;
		pair_submit(&p, A, c);
		pair_run(&p, 30 * SN_MSEC);
		REQUIRE(crowd.conn[A][i] && crowd.conn[B][i]);
	}
}

static void stalled_readers(uint8_t flags)
{
	uint64_t before[CROWD];

	crowd_start(flags, 512);
	pair_run(&p, SN_SEC); /* all read: their windows grow */
	crowd.hold = true;
	pair_run(&p, 2 * SN_SEC);
	CHECK(p.s[B].e->counters.pool_tight > 0);
	memcpy(before, crowd.got, sizeof before);
	pair_run(&p, 2 * SN_SEC);
	for (int i = 0; i < CROWD; i++) {
		if (i % 2)
			CHECK(crowd.got[i] - before[i] > 200000);
		else
			CHECK_EQ(crowd.got[i], before[i]);
	}
	/* They begin to read again: nothing was lost. */
	crowd.hold = false;
	crowd.limit = 0;
	for (uint32_t i = 0; i < crowd.nkept; i++)
		pair_submit(&p, B, crowd.kept[i]);
	pair_run(&p, 100 * SN_SEC);
	for (int i = 0; i < CROWD; i++)
		CHECK_EQ(crowd.got[i], crowd.sent[i]);
	CHECK_EQ(p.s[B].e->tight, SN_TIGHT_NOT);
	settle_and_close();
}

SN_TEST(readers_that_stall_leave_buffers_to_the_others) { stalled_readers(0); }

SN_TEST(readers_that_stall_over_plain_tcp_leave_buffers_to_the_others) { stalled_readers(SN_OPF_TCP); }

/* The first byte sent after the start never arrives: everything behind it is out of order. */
static struct {
	bool on;
	bool known[CROWD];
	uint32_t seq[CROWD];
} hole;

static bool keep_hole(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)q, (void)path, (void)tcp;
	if (!hole.on || to != B || !seg->len)
		return true;
	for (int i = 0; i < CROWD; i += 2) {
		if (crowd.port[i] != seg->sport)
			continue;
		if (!hole.known[i])
			hole.seq[i] = seg->seq;
		hole.known[i] = true;
		return seg->seq != hole.seq[i];
	}
	return true;
}

static void holes(uint8_t flags)
{
	uint64_t before[CROWD];

	memset(&hole, 0, sizeof hole);
	crowd_start(flags, 512);
	p.filter = keep_hole;
	pair_run(&p, SN_SEC);
	hole.on = true;
	crowd.ahead = 30 * PIECE; /* 340 buffers each */
	pair_run(&p, 3 * SN_SEC);
	CHECK(p.s[B].e->counters.pool_tight > 0);
	memcpy(before, crowd.got, sizeof before);
	pair_run(&p, 2 * SN_SEC);
	for (int i = 1; i < CROWD; i += 2)
		CHECK(crowd.got[i] - before[i] > 200000);
	crowd.limit = 0;
	hole.on = false;
	pair_run(&p, 200 * SN_SEC);
	for (int i = 0; i < CROWD; i++)
		CHECK_EQ(crowd.got[i], crowd.sent[i]);
	settle_and_close();
}

SN_TEST(peers_that_leave_holes_leave_buffers_to_the_others) { holes(0); }

SN_TEST(peers_that_leave_holes_over_plain_tcp_leave_buffers_to_the_others) { holes(SN_OPF_TCP); }

/* Every 50th data segment is lost, so that queues behind holes are long on all paths. */
static bool lose_some(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)path, (void)tcp;
	return to != B || !seg->len || ++q->state % 50;
}

SN_TEST(connections_over_three_paths_get_on_with_few_buffers)
{
	crowd_start(0, 200);
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
	pair_endpoint(&p, B, 2, SN_EP_SIGNAL);
	crowd.ahead = 20 * PIECE;
	p.filter = lose_some;
	pair_run(&p, 10 * SN_SEC);
	CHECK(p.s[B].e->counters.pool_tight > 0);
	for (int i = 0; i < CROWD; i++)
		CHECK(crowd.got[i] > 1000000);
	crowd.limit = 0;
	pair_run(&p, 60 * SN_SEC);
	for (int i = 0; i < CROWD; i++)
		CHECK_EQ(crowd.got[i], crowd.sent[i]);
	settle_and_close();
}

/* --- floods --- */

/* A SYN out of nowhere to B's port. token 0: MP_CAPABLE, else MP_JOIN. */
static void spoof_syn(uint16_t sport, uint32_t token)
{
	struct sn_buf *b = sn_buf_alloc(&p.s[B].pool.pool);
	uint8_t *ip = b->data + SN_ETH_HDR, *tcp = ip + SN_IPV4_HDR;
	struct sn_tcp_seg s = {.sport = sport, .dport = PEER_PORT, .seq = 1, .flags = SN_TH_SYN, .wnd = 60000};
	struct sn_ipv4 h = {.src = SPOOFED, .dst = 0x0a000002u, .ttl = 64, .proto = SN_IP_TCP};
	uint8_t opts[SN_TCP_OPT_MAX];
	uint32_t n = sn_opt_emit_mss(opts, 1460);

	if (token) {
		struct sn_mp_join j = {.len = 12, .token = token, .nonce = sport, .addr_id = 9};
		n += sn_mp_emit_join(opts + n, &j);
	} else {
		struct sn_mp_capable c = {.len = 4, .version = 1, .flags = SN_MPC_HMAC_SHA256};
		n += sn_mp_emit_capable(opts + n, &c);
	}
	h.total_len = (uint16_t)(SN_IPV4_HDR + SN_TCP_HDR_MIN + n);
	sn_eth_emit(b->data, (uint8_t[]){2, 0, 0, 0, 0, 2}, (uint8_t[]){2, 9, 9, 9, 9, 9}, SN_ETH_IPV4);
	sn_ipv4_emit(ip, &h, true);
	sn_tcp_emit(tcp, &s, n);
	memcpy(tcp + SN_TCP_HDR_MIN, opts, n);
	b->len = SN_ETH_HDR + h.total_len;
	b->port = 0;
	b->flags = SN_BUF_CSUM_GOOD;
	sn_engine_rx(p.s[B].e, &b, 1, p.now);
}

SN_TEST(a_flood_of_syns_leaves_room_for_everybody_else_and_expires)
{
	struct sn_engine *e;
	uint16_t sport = 1000;

	pair_init(&p, 0);
	e = p.s[B].e;
	e->cfg.tcp.cookies = SN_COOKIES_OFF;
	pair_submit(&p, B, (struct sn_sqe){.op = SN_OP_LISTEN, .lport = PEER_PORT, .len = 65536, .user = 22});
	pair_run(&p, SN_MSEC);
	pair_submit(&p, A, connect_sqe(0));
	pair_run(&p, 50 * SN_MSEC);
	REQUIRE(p.s[B].opened == 1);
	for (int i = 0; i < 1000; i++) {
		spoof_syn(sport++, 0);
		pair_run(&p, SN_MSEC / 10);
	}
	CHECK_EQ(e->mptcp.half, e->mptcp.conns.count / 4);
	CHECK_EQ(e->mptcp.conns.used, 1 + e->mptcp.conns.count / 4);
	CHECK(e->counters.tcp_syn_drop > 900);
	pair_send(&p, A, 300000);
	pair_run(&p, SN_SEC);
	pair_check_streams(&p);
	/* Old handshakes make room, so that a client gets in while it goes on. */
	for (int i = 0; i < 40; i++) {
		spoof_syn(sport++, 0);
		if (i == 20)
			pair_submit(&p, A, connect_sqe(0));
		pair_run(&p, 400 * SN_MSEC);
	}
	CHECK(e->counters.tcp_syn_evicted > 0);
	CHECK_EQ(p.s[A].opened, 2);
	CHECK_EQ(p.s[A].open_res, 0);
	pair_run(&p, 60 * SN_SEC);
	CHECK(e->counters.tcp_syn_expired > 0);
	CHECK_EQ(e->mptcp.half, 0);
	CHECK_EQ(e->mptcp.conns.used, 2);
	CHECK_EQ(e->mptcp.subflows.used, 2);
	settle_and_close();
}

SN_TEST(a_full_backlog_takes_a_new_handshake_for_one_that_went_stale)
{
	pair_init(&p, 0);
	p.s[B].e->cfg.tcp.cookies = SN_COOKIES_OFF;
	pair_submit(&p, B, (struct sn_sqe){.op = SN_OP_LISTEN, .lport = PEER_PORT, .len = 2, .user = 22});
	pair_run(&p, SN_MSEC);
	spoof_syn(1000, 0);
	spoof_syn(1001, 0);
	spoof_syn(1002, 0);
	CHECK_EQ(p.s[B].e->counters.tcp_syn_drop, 1);
	CHECK_EQ(p.s[B].e->counters.tcp_syn_evicted, 0); /* too young: it may be a crowd */
	pair_run(&p, 2 * SN_SEC);
	pair_submit(&p, A, connect_sqe(0));
	pair_run(&p, 100 * SN_MSEC);
	CHECK_EQ(p.s[A].opened, 1);
	CHECK_EQ(p.s[A].open_res, 0);
	CHECK_EQ(p.s[B].e->counters.tcp_syn_evicted, 1);
	settle_and_close();
}

static struct sn_conn *only_conn(int side)
{
	for (uint32_t i = 0; i < p.s[side].e->mptcp.conns.count; i++) {
		struct sn_conn *c = sn_slab_at(&p.s[side].e->mptcp.conns, i);
		if (c)
			return c;
	}
	return NULL;
}

SN_TEST(a_flood_of_joins_is_bounded_expires_and_does_not_count_as_a_join)
{
	pair_init(&p, 0);
	struct sn_pm_limits limits = {.subflows = 3, .add_addr_accepted = 8};
	sn_engine_limits_set(p.s[B].e, &limits);
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	pair_send(&p, A, 1000);
	pair_run(&p, 50 * SN_MSEC);
	struct sn_conn *c = only_conn(B);
	REQUIRE(c && c->token);
	for (uint16_t i = 0; i < 200; i++)
		spoof_syn((uint16_t)(2000 + i), c->token);
	CHECK_EQ(c->nsf, 4);
	CHECK_EQ(p.s[B].e->counters.MPJoinRejected, 197);
	CHECK(!c->joined);
	pair_run(&p, 60 * SN_SEC);
	CHECK_EQ(c->nsf, 1);
	CHECK(sn_conn_can_fall_back(c));
	pair_send(&p, A, 100000);
	pair_run(&p, SN_SEC);
	pair_check_streams(&p);
	settle_and_close();
}

/* --- addresses --- */

static uint32_t lie;
static uint8_t lie_id;

/* B's announcement names another address, with the right HMAC. */
static bool lie_about_address(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)path;
	if (to != A || !(seg->mp.present & SN_MP_BIT(SN_MP_ADD_ADDR)) || seg->mp.add_addr.echo)
		return true;
	struct sn_mp_add_addr a = seg->mp.add_addr;
	const struct sn_conn *c = only_conn(B);
	a.addr = sn_addr_v4(lie);
	a.id = lie_id;
	a.hmac = sn_mp_hmac_add_addr(c->local_key, c->remote_key, &a);
	for (uint32_t i = 20; i < seg->hdr_len; i += tcp[i] <= 1 ? 1 : tcp[i + 1])
		if (tcp[i] == 30 && tcp[i + 2] >> 4 == SN_MP_ADD_ADDR) {
			sn_mp_emit_add_addr(tcp + i, &a);
			break;
		}
	q->state++;
	return true;
}

SN_TEST(announced_addresses_that_no_host_can_have_are_ignored)
{
	static const struct {
		uint32_t addr;
		uint8_t id;
	} bad[] = {{0xe0000001, 2}, {0xffffffff, 2}, {0x7f000001, 2},
		   {0x00000001, 2}, {0x0a000101, 2}, {0x0a000102, 0}};

	for (uint32_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		pair_init(&p, 0);
		lie = bad[i].addr;
		lie_id = bad[i].id;
		p.filter = lie_about_address;
		pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
		pair_connect(&p, 0);
		pair_run(&p, 50 * SN_MSEC);
		pair_send(&p, A, 1000);
		pair_run(&p, 10 * SN_SEC);
		CHECK(p.state >= 1);
		CHECK_EQ(p.s[A].e->counters.AddAddrDrop, p.state);
		CHECK_EQ(p.seen_join, 0);
		settle_and_close();
	}
}

SN_TEST_MAIN()
