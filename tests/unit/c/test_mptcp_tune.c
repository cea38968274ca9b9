/* SPDX-License-Identifier: Apache-2.0
 *
 * What an application sets of a connection: keep-alive (RFC 1122 4.2.3.6), user timeout (RFC 5482), linger. Over both
 * families, and what flows that nobody owns any more may take.
 */
#include "mptcp_pair.h"

static struct pair p;

static void settle_and_close(void)
{
	for (uint32_t i = 0; i < PATHS; i++)
		p.down[i] = false;
	for (int i = 0; i < 2; i++)
		sn_engine_channel_detach(p.s[i].e, (uint32_t)p.s[i].slot, p.now);
	pair_run(&p, 200 * SN_SEC);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(p.s[i].pool.out, 0);
		CHECK_EQ(p.s[i].e->tcp.orphans, 0);
		CHECK_EQ(p.s[i].e->tcp.conns.used, 0);
	}
	pair_close(&p);
}

static void set(int side, enum sn_set what, uint32_t value)
{
	pair_submit(&p, side,
		    (struct sn_sqe){.op = SN_OP_SET, .conn = p.s[side].conn, .off = (uint32_t)what, .len = value});
}

static void keepalive(int side, uint32_t idle, uint32_t interval, uint32_t count)
{
	set(side, SN_SET_KEEP_INTERVAL, interval);
	set(side, SN_SET_KEEP_COUNT, count);
	set(side, SN_SET_KEEP_IDLE, idle);
}

static void begin(uint8_t flags)
{
	pair_init(&p, 0);
	pair_connect(&p, flags);
	pair_run(&p, 50 * SN_MSEC);
	REQUIRE(p.s[A].opened == 1 && p.s[B].opened == 1);
}

static const struct sn_counters *at(int side) { return &p.s[side].e->counters; }

static void all_down(void)
{
	for (uint32_t i = 0; i < PATHS; i++)
		p.down[i] = true;
}

SN_TEST(a_silent_connection_is_left_alone_unless_keep_alive_is_asked_for)
{
	begin(0);
	uint64_t sent = at(A)->tcp_tx_segments;
	pair_run(&p, 10000 * SN_SEC);
	CHECK_EQ(at(A)->tcp_tx_segments, sent);
	CHECK_EQ(at(A)->TCPKeepAlive, 0);
	keepalive(A, 1000, 1000, 3);
	pair_run(&p, 5 * SN_SEC);
	CHECK(at(A)->TCPKeepAlive > 0);
	set(A, SN_SET_KEEP_IDLE, 0);
	pair_run(&p, SN_SEC);
	sent = at(A)->TCPKeepAlive;
	pair_run(&p, 100 * SN_SEC);
	CHECK_EQ(at(A)->TCPKeepAlive, sent);
	settle_and_close();
}

SN_TEST(a_peer_that_answers_is_asked_once_per_idle_time)
{
	begin(0);
	keepalive(A, 10000, 1000, 3);
	pair_run(&p, 100 * SN_SEC + 500 * SN_MSEC);
	CHECK(at(A)->TCPKeepAlive >= 8 && at(A)->TCPKeepAlive <= 10);
	CHECK_EQ(at(A)->tcp_keep_timeout, 0);
	CHECK_EQ(p.s[A].closed, 0);
	pair_send(&p, A, 10000);
	pair_run(&p, SN_SEC);
	pair_check_streams(&p);
	settle_and_close();
}

static void stays_quiet_while_there_is_traffic(int from)
{
	begin(0);
	keepalive(A, 2000, 1000, 3);
	for (int i = 0; i < 20; i++) {
		pair_send(&p, from, 100);
		pair_run(&p, SN_SEC);
	}
	CHECK_EQ(at(A)->TCPKeepAlive, 0);
	settle_and_close();
}

SN_TEST(nobody_is_asked_while_data_is_sent) { stays_quiet_while_there_is_traffic(A); }
SN_TEST(nobody_is_asked_while_data_comes) { stays_quiet_while_there_is_traffic(B); }

SN_TEST(a_plain_connection_to_a_vanished_peer_ends_after_the_unanswered_questions)
{
	begin(SN_OPF_TCP);
	keepalive(A, 10000, 2000, 3);
	pair_run(&p, SN_MSEC);
	all_down();
	pair_run(&p, 15900 * SN_MSEC); /* 10 + 2 + 2 and not yet 2 more */
	CHECK_EQ(at(A)->TCPKeepAlive, 3);
	CHECK_EQ(p.s[A].closed, 0);
	pair_run(&p, 300 * SN_MSEC);
	CHECK_EQ(p.s[A].closed, 1);
	CHECK_EQ(p.s[A].closed_res, SN_E_TIMEDOUT);
	CHECK_EQ(at(A)->tcp_keep_timeout, 1);
	settle_and_close();
}

SN_TEST(a_half_closed_connection_is_asked_and_one_in_time_wait_is_not)
{
	begin(SN_OPF_TCP);
	keepalive(A, 300, 1000, 3);
	pair_run(&p, SN_SEC);
	pair_op(&p, A, SN_OP_SHUTDOWN);
	uint64_t asked = at(A)->TCPKeepAlive;
	pair_run(&p, 10 * SN_SEC);
	CHECK(at(A)->TCPKeepAlive >= asked + 5);
	pair_op(&p, B, SN_OP_CLOSE);
	pair_run(&p, 100 * SN_MSEC);
	CHECK(p.s[A].e->tcp.tw_head != NULL);
	asked = at(A)->TCPKeepAlive;
	pair_run(&p, 700 * SN_MSEC);
	CHECK(p.s[A].e->tcp.tw_head != NULL);
	CHECK_EQ(at(A)->TCPKeepAlive, asked);
	settle_and_close();
}

SN_TEST(each_subflow_is_asked_and_a_dead_one_goes_alone)
{
	begin(0);
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
	pair_run(&p, SN_SEC);
	CHECK_EQ(pair_subflows(&p, A), 2);
	keepalive(A, 5000, 1000, 2);
	pair_run(&p, SN_MSEC);
	p.down[1] = true;
	pair_run(&p, 10 * SN_SEC);
	CHECK_EQ(at(A)->tcp_keep_timeout, 1);
	CHECK_EQ(p.s[A].closed, 0);
	pair_send(&p, A, 10000);
	pair_run(&p, SN_SEC);
	pair_check_streams(&p);
	settle_and_close();
}

SN_TEST(a_subflow_that_joins_later_is_asked_too)
{
	begin(0);
	keepalive(A, 5000, 1000, 2);
	pair_run(&p, SN_MSEC);
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
	pair_run(&p, 2 * SN_SEC);
	CHECK_EQ(pair_subflows(&p, A), 2);
	p.down[1] = true;
	pair_run(&p, 10 * SN_SEC);
	CHECK_EQ(at(A)->tcp_keep_timeout, 1);
	settle_and_close();
}

SN_TEST(a_rebooted_peer_is_found_out_by_its_reset)
{
	begin(SN_OPF_TCP);
	keepalive(A, 5000, 1000, 9);
	pair_run(&p, SN_MSEC);
	/* B forgets everything without a word. */
	struct sn_subflow_info info[1];
	CHECK_EQ(sn_engine_subflow_info(p.s[B].e, p.s[B].conn, info, 1), 1);
	all_down();
	sn_engine_channel_detach(p.s[B].e, (uint32_t)p.s[B].slot, p.now);
	pair_run(&p, SN_SEC);
	for (uint32_t i = 0; i < PATHS; i++)
		p.down[i] = false;
	CHECK_EQ(p.s[A].closed, 0);
	pair_run(&p, 5 * SN_SEC);
	CHECK_EQ(p.s[A].closed, 1);
	CHECK_EQ(p.s[A].closed_res, SN_E_RESET);
	CHECK_EQ(at(A)->TCPKeepAlive, 1);
	settle_and_close();
}

static void ends_when_data_is_not_acknowledged(uint8_t flags)
{
	begin(flags);
	set(A, SN_SET_USER_TIMEOUT, 8000);
	pair_run(&p, 60 * SN_SEC); /* nothing is owed: no harm */
	CHECK_EQ(p.s[A].closed, 0);
	pair_send(&p, A, 100000);
	pair_run(&p, SN_SEC);
	pair_check_streams(&p);
	all_down();
	pair_run(&p, 30 * SN_SEC);
	CHECK_EQ(p.s[A].closed, 0);
	pair_send(&p, A, 1000);
	pair_run(&p, 7900 * SN_MSEC);
	CHECK_EQ(p.s[A].closed, 0);
	pair_run(&p, 1200 * SN_MSEC);
	CHECK_EQ(p.s[A].closed, 1);
	CHECK_EQ(p.s[A].closed_res, SN_E_TIMEDOUT);
	CHECK_EQ(at(A)->tcp_user_timeout, 1);
	p.s[A].given_back = p.s[A].sent;
	settle_and_close();
}

SN_TEST(user_timeout_ends_an_mptcp_connection) { ends_when_data_is_not_acknowledged(0); }
SN_TEST(user_timeout_ends_a_plain_connection) { ends_when_data_is_not_acknowledged(SN_OPF_TCP); }

static void slow_progress_is_progress(uint8_t flags)
{
	pair_init(&p, 0);
	p.queue = 1 << 20;
	pair_connect(&p, flags);
	pair_run(&p, 50 * SN_MSEC);
	p.rate[0] = 3000; /* bytes a second: the one chunk takes much longer than the timeout */
	set(A, SN_SET_USER_TIMEOUT, 3000);
	pair_send(&p, A, 30000);
	pair_run(&p, 30 * SN_SEC);
	CHECK_EQ(p.s[A].closed, 0);
	CHECK_EQ(p.s[B].got, 30000);
	settle_and_close();
}

SN_TEST(user_timeout_counts_from_the_last_progress_of_mptcp) { slow_progress_is_progress(0); }
SN_TEST(user_timeout_counts_from_the_last_progress_of_plain_tcp) { slow_progress_is_progress(SN_OPF_TCP); }

SN_TEST(a_long_user_timeout_takes_the_place_of_tcps_own_patience)
{
	begin(SN_OPF_TCP);
	set(A, SN_SET_USER_TIMEOUT, 3600 * 1000);
	pair_run(&p, SN_MSEC);
	all_down();
	pair_send(&p, A, 1000);
	pair_run(&p, 1800 * SN_SEC);
	CHECK_EQ(p.s[A].closed, 0);
	p.down[0] = false;
	pair_run(&p, 120 * SN_SEC);
	pair_check_streams(&p);
	settle_and_close();
}

SN_TEST(user_timeout_limits_keep_alive)
{
	begin(SN_OPF_TCP);
	keepalive(A, 2000, 1000, 100);
	set(A, SN_SET_USER_TIMEOUT, 6000);
	pair_run(&p, SN_MSEC);
	all_down();
	pair_run(&p, 10 * SN_SEC);
	CHECK_EQ(p.s[A].closed, 1);
	CHECK_EQ(p.s[A].closed_res, SN_E_TIMEDOUT);
	CHECK(at(A)->TCPKeepAlive <= 6);
	settle_and_close();
}

SN_TEST(a_connection_without_subflow_waits_as_long_as_the_user_does)
{
	begin(0);
	keepalive(A, 2000, 1000, 2);
	set(A, SN_SET_USER_TIMEOUT, 10000);
	pair_run(&p, SN_MSEC);
	all_down();
	pair_run(&p, 40 * SN_SEC);
	CHECK_EQ(p.s[A].closed, 1);
	CHECK_EQ(p.s[A].closed_res, SN_E_TIMEDOUT);
	settle_and_close();
}

static void linger_zero(uint8_t flags)
{
	begin(flags);
	set(A, SN_SET_LINGER, 0);
	pair_op(&p, A, SN_OP_CLOSE);
	pair_run(&p, SN_SEC);
	CHECK_EQ(p.s[A].closed, 1);
	CHECK_EQ(p.s[B].closed_res, SN_E_RESET);
	settle_and_close();
}

SN_TEST(close_without_linger_resets_mptcp) { linger_zero(0); }
SN_TEST(close_without_linger_resets_plain_tcp) { linger_zero(SN_OPF_TCP); }

SN_TEST(a_worker_that_is_drained_closes_in_good_order_all_the_same)
{
	begin(0);
	set(A, SN_SET_LINGER, 0);
	pair_run(&p, SN_MSEC);
	sn_engine_drain(p.s[A].e, p.now);
	pair_run(&p, 50 * SN_MSEC);
	CHECK_EQ(p.s[B].eof, 1);
	CHECK_EQ(p.s[B].closed, 0);
	settle_and_close();
}

static void linger_some(uint8_t flags)
{
	begin(flags);
	set(A, SN_SET_LINGER, 3000);
	pair_run(&p, SN_MSEC);
	all_down();
	pair_send(&p, A, 1000);
	pair_op(&p, A, SN_OP_CLOSE);
	pair_run(&p, 2900 * SN_MSEC);
	CHECK_EQ(p.s[A].closed, 0);
	pair_run(&p, 300 * SN_MSEC);
	CHECK_EQ(p.s[A].closed, 1);
	CHECK_EQ(p.s[A].closed_res, SN_E_TIMEDOUT);
	settle_and_close();
}

SN_TEST(close_lingers_for_so_long_and_then_resets_mptcp) { linger_some(0); }
SN_TEST(close_lingers_for_so_long_and_then_resets_plain_tcp) { linger_some(SN_OPF_TCP); }

SN_TEST(what_is_sent_within_the_linger_time_arrives)
{
	begin(0);
	set(A, SN_SET_LINGER, 3000);
	pair_send(&p, A, 100000);
	pair_op(&p, A, SN_OP_CLOSE);
	pair_run(&p, SN_SEC);
	CHECK_EQ(p.s[B].got, 100000);
	CHECK_EQ(p.s[B].eof, 1);
	settle_and_close();
}

SN_TEST(values_out_of_range_are_refused_and_unknown_ones_end_the_session)
{
	begin(0);
	set(A, SN_SET_KEEP_INTERVAL, 0);
	set(A, SN_SET_KEEP_COUNT, 0);
	set(A, SN_SET_KEEP_COUNT, 256);
	pair_run(&p, SN_MSEC);
	CHECK_EQ(p.s[A].errors, 3);
	CHECK_EQ(p.s[A].error_res, SN_E_INVAL);
	uint32_t conn = p.s[A].conn;
	p.s[A].conn = conn + (1u << SN_CONN_INDEX_BITS); /* over already: a race */
	set(A, SN_SET_LINGER, 0);
	p.s[A].conn = conn;
	pair_run(&p, SN_MSEC);
	CHECK_EQ(p.s[A].errors, 3);
	CHECK(!p.s[A].worker.violated);
	set(A, (enum sn_set)(SN_SET_LINGER + 1), 0);
	pair_run(&p, SN_MSEC);
	CHECK(p.s[A].worker.violated);
	settle_and_close();
}

/* --- orphans --- */

static struct sn_tcp_stack *stack(void) { return &p.s[A].e->tcp; }

/* A closes a plain connection whose other side answers nothing any more. */
static void orphan(void)
{
	pair_submit(&p, A, connect_sqe(SN_OPF_TCP));
	pair_run(&p, 50 * SN_MSEC);
	all_down();
	pair_op(&p, A, SN_OP_CLOSE);
	pair_run(&p, 50 * SN_MSEC);
	for (uint32_t i = 0; i < PATHS; i++)
		p.down[i] = false;
}

static bool nothing_to_a(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)q, (void)path, (void)tcp;
	return to != A || (seg->flags & SN_TH_SYN);
}

SN_TEST(a_fin_that_nobody_acknowledges_is_given_up_sooner_by_an_orphan)
{
	begin(SN_OPF_TCP);
	all_down();
	pair_op(&p, A, SN_OP_CLOSE);
	pair_run(&p, SN_SEC);
	CHECK_EQ(stack()->orphans, 1);
	CHECK_EQ(p.s[A].e->mptcp.conns.used, 0);
	pair_run(&p, 15 * SN_SEC);
	CHECK_EQ(stack()->orphans, 1);
	pair_run(&p, 45 * SN_SEC);
	CHECK_EQ(stack()->orphans, 0);
	CHECK_EQ(stack()->conns.used, 0);
	settle_and_close();
}

SN_TEST(an_orphan_waits_for_the_peers_fin_no_longer_than_fin_wait)
{
	begin(SN_OPF_TCP);
	p.s[A].e->cfg.tcp.fin_wait = 5 * SN_SEC;
	pair_op(&p, A, SN_OP_CLOSE);
	pair_run(&p, SN_SEC);
	CHECK_EQ(p.s[B].eof, 1);
	CHECK_EQ(stack()->orphans, 1);
	pair_run(&p, 3800 * SN_MSEC);
	CHECK_EQ(stack()->orphans, 1);
	pair_run(&p, 400 * SN_MSEC);
	CHECK_EQ(stack()->orphans, 0);
	CHECK_EQ(stack()->conns.used, 0);
	settle_and_close();
}

SN_TEST(too_many_orphans_cost_the_oldest)
{
	pair_init(&p, 0);
	p.s[A].e->cfg.tcp.max_orphans = 3;
	pair_submit(&p, B, (struct sn_sqe){.op = SN_OP_LISTEN, .lport = PEER_PORT, .len = 16, .user = 22});
	pair_run(&p, SN_MSEC);
	p.filter = nothing_to_a;
	for (int i = 0; i < 3; i++)
		orphan();
	CHECK_EQ(stack()->orphans, 3);
	CHECK_EQ(at(A)->tcp_orphans_reset, 0);
	struct sn_tcp *oldest = stack()->orphan_head;
	uint64_t resets = at(A)->tcp_rst_tx;
	orphan();
	CHECK_EQ(stack()->orphans, 3);
	CHECK_EQ(at(A)->tcp_orphans_reset, 1);
	CHECK_EQ(at(A)->tcp_rst_tx, resets + 1);
	CHECK(stack()->orphan_head != oldest);
	settle_and_close();
}

PAIR_TEST_MAIN()
