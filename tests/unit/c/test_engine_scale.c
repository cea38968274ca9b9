/* SPDX-License-Identifier: Apache-2.0
 *
 * Many connections: a hundred thousand come and go, and nothing is left of them; tables that are full refuse and recover.
 */
#define PAIR_CONNS    512
#define PAIR_SUBFLOWS 1024
#include "mptcp_pair.h"

enum { ROUNDS = 250, AT_ONCE = 400, TABLES = 16 };

static struct {
	uint32_t conn[2][AT_ONCE];
	uint32_t n[2], refused, closed[2];
	struct sn_table_info before[2][TABLES];
	uint32_t armed[2];
} seen;

static bool note(struct pair *p, int side, const struct sn_cqe *q)
{
	switch (q->op) {
	case SN_CQ_CONNECTED:
	case SN_CQ_ACCEPT:
		if (q->res) {
			seen.refused++;
			return true;
		}
		REQUIRE(seen.n[side] < AT_ONCE);
		seen.conn[side][seen.n[side]++] = q->conn;
		if (q->op == SN_CQ_ACCEPT)
			pair_submit(p, side, (struct sn_sqe){.op = SN_OP_ACCEPT, .conn = q->conn});
		return true;
	case SN_CQ_EOF: pair_submit(p, side, (struct sn_sqe){.op = SN_OP_CLOSE, .conn = q->conn}); return true;
	case SN_CQ_CLOSED: seen.closed[side]++; return true;
	default: return q->op == SN_CQ_ERROR;
	}
}

static void connect_many(struct pair *p, uint32_t n, uint8_t flags)
{
	for (uint32_t i = 0; i < n; i++) {
		pair_submit(p, A, connect_sqe(flags));
		if (i % 32 == 31)
			pair_run(p, 20 * SN_MSEC);
	}
	pair_run(p, 60 * SN_MSEC);
}

static void close_all(struct pair *p, int first)
{
	uint32_t n = seen.n[first];
	for (uint32_t i = 0; i < n; i++) {
		pair_submit(p, first, (struct sn_sqe){.op = SN_OP_CLOSE, .conn = seen.conn[first][i]});
		if (i % 32 == 31)
			pair_run(p, SN_MSEC);
	}
	pair_run(p, 200 * SN_MSEC);
	seen.n[A] = seen.n[B] = 0;
}

static void begin(struct pair *p)
{
	memset(&seen, 0, sizeof seen);
	pair_init(p, 0);
	pair_submit(p, B, (struct sn_sqe){.op = SN_OP_LISTEN, .lport = PEER_PORT, .len = AT_ONCE, .user = 22});
	pair_run(p, SN_MSEC);
	CHECK_EQ(p->s[B].listen_res, SN_OK);
	p->app = note;
	connect_many(p, 1, 0); /* the neighbours are known from now on */
	close_all(p, A);
	pair_run(p, 5 * SN_SEC); /* TIME_WAIT */
	for (int i = 0; i < 2; i++) {
		sn_engine_tables(p->s[i].e, seen.before[i], TABLES);
		seen.armed[i] = p->s[i].e->wheel.armed;
		seen.closed[i] = 0;
	}
}

/* Every table is as empty as before, all buffers are at home, no timer is armed for nothing. */
static void check_nothing_left(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		struct sn_table_info now[TABLES];
		uint32_t n = sn_engine_tables(p->s[i].e, now, TABLES);
		for (uint32_t k = 0; k < n; k++)
			CHECK_EQ(now[k].used, seen.before[i][k].used);
		CHECK_EQ(p->s[i].pool.out, 0);
		CHECK_EQ(p->s[i].e->wheel.armed, seen.armed[i]);
	}
}

SN_TEST(a_hundred_thousand_connections_leave_nothing)
{
	static struct pair p;

	begin(&p);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		connect_many(&p, AT_ONCE, round % 2 ? SN_OPF_TCP : 0);
		CHECK_EQ(seen.n[A], AT_ONCE);
		CHECK_EQ(seen.n[B], AT_ONCE);
		close_all(&p, round % 4 < 2 ? A : B);
		CHECK_EQ(sn_engine_conns(p.s[A].e) + sn_engine_conns(p.s[B].e), 0);
	}
	CHECK_EQ(seen.refused, 0);
	CHECK_EQ(seen.closed[A], (uint32_t)ROUNDS * AT_ONCE);
	CHECK_EQ(seen.closed[B], (uint32_t)ROUNDS * AT_ONCE);
	pair_run(&p, 5 * SN_SEC); /* TIME_WAIT */
	check_nothing_left(&p);
	pair_close(&p);
}

/* All records in use: more are refused by name, and what leaves makes room again. */
SN_TEST(full_tables_refuse_and_recover)
{
	static struct pair p;

	begin(&p);
	connect_many(&p, AT_ONCE, 0);
	CHECK_EQ(seen.n[A], AT_ONCE);
	uint32_t left = PAIR_CONNS - AT_ONCE;
	seen.n[A] = seen.n[B] = 0;
	connect_many(&p, left + 50, 0);
	CHECK_EQ(seen.n[A], left);
	CHECK_EQ(seen.refused, 50);
	CHECK_EQ(sn_engine_conns(p.s[A].e), PAIR_CONNS);
	close_all(&p, A);
	connect_many(&p, left, 0);
	CHECK_EQ(seen.n[A], left);
	sn_engine_channel_detach(p.s[A].e, (uint32_t)p.s[A].slot, p.now);
	p.s[A].slot = sn_engine_channel_attach(p.s[A].e, &p.s[A].worker);
	pair_run(&p, 5 * SN_SEC);
	check_nothing_left(&p);
	pair_close(&p);
}

/* BBR's own records are few where it is not the default: who comes too late gets the default. */
SN_TEST(bbr_beyond_its_table_gives_way_to_the_default)
{
	static struct pair p;
	struct sn_subflow_info info;
	uint32_t bbr = 0, cubic = 0;

	begin(&p);
	uint32_t room = p.s[A].e->tcp.bbr.count;
	REQUIRE(room > 8 && room + 8 < AT_ONCE);
	for (uint32_t i = 0; i < room + 8; i++) {
		struct sn_sqe q = connect_sqe(0);
		q.cc = SN_CC_BBR;
		pair_submit(&p, A, q);
		if (i % 32 == 31)
			pair_run(&p, 20 * SN_MSEC);
	}
	pair_run(&p, 60 * SN_MSEC);
	CHECK_EQ(seen.n[A], room + 8);
	CHECK_EQ(p.s[A].e->tcp.bbr.used, room);
	for (uint32_t i = 0; i < seen.n[A]; i++) {
		CHECK_EQ(sn_engine_subflow_info(p.s[A].e, seen.conn[A][i], &info, 1), 1);
		bbr += strcmp(info.cc, "bbr") == 0;
		cubic += strcmp(info.cc, "cubic") == 0;
	}
	CHECK_EQ(bbr, room);
	CHECK_EQ(cubic, 8);
	close_all(&p, A);
	pair_run(&p, 5 * SN_SEC);
	check_nothing_left(&p);
	pair_close(&p);
}

SN_TEST_MAIN()
