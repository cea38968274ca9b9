/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of MPTCP connections between two engines: opening, closing in all its ways, and what an application may
 * and may not do. Bulk transfer over bad links is in test_engine_transfer.c and tests/sim.
 */
#include "mptcp_pair.h"

static struct pair p;

SN_TEST(data_both_ways_then_orderly_close)
{
	pair_init(&p, 0);
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	REQUIRE(p.s[A].opened == 1 && p.s[B].opened == 1);
	CHECK(p.s[A].mptcp && p.s[B].mptcp);
	pair_send(&p, A, 300000);
	pair_send(&p, B, 200000);
	pair_run(&p, 2 * SN_SEC);
	pair_check_streams(&p);
	pair_op(&p, A, SN_OP_SHUTDOWN);
	pair_run(&p, 100 * SN_MSEC);
	CHECK_EQ(p.s[B].eof, 1);
	CHECK_EQ(p.s[A].closed, 0);
	pair_send(&p, B, 1000); /* half closed: the other direction still works */
	pair_op(&p, B, SN_OP_CLOSE);
	pair_run(&p, SN_SEC);
	CHECK_EQ(p.s[A].eof, 1);
	pair_check_streams(&p);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(p.s[i].closed, 1);
		CHECK_EQ(p.s[i].closed_res, 0);
		CHECK_EQ(p.s[i].e->mptcp.conns.used, 0);
	}
	CHECK_EQ(p.seen_rst, 0);
	pair_close(&p);
}

SN_TEST(plain_tcp_client_and_close)
{
	pair_init(&p, 0);
	pair_connect(&p, SN_OPF_TCP);
	pair_run(&p, 50 * SN_MSEC);
	REQUIRE(p.s[B].opened);
	CHECK(!p.s[A].mptcp && !p.s[B].mptcp);
	pair_send(&p, A, 100000);
	pair_op(&p, A, SN_OP_CLOSE);
	pair_send(&p, B, 0);
	pair_run(&p, SN_SEC);
	CHECK_EQ(p.s[B].eof, 1);
	CHECK_EQ(p.s[A].closed, 1);
	pair_op(&p, B, SN_OP_CLOSE);
	pair_run(&p, SN_SEC);
	pair_check_streams(&p);
	CHECK_EQ(p.s[B].closed, 1);
	CHECK_EQ(p.s[B].closed_res, 0);
	pair_close(&p);
}

static bool strip_capable_from_synack(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)q, (void)path;
	/* Option kind 30 becomes an unknown one, as if a middlebox had blanked it. */
	if (to == A && (seg->flags & SN_TH_SYN))
		for (uint32_t i = 20; i < seg->hdr_len;) {
			if (tcp[i] <= 1) {
				i++;
				continue;
			}
			if (tcp[i] == 30)
				tcp[i] = 253;
			i += tcp[i + 1];
		}
	return true;
}

SN_TEST(option_lost_in_the_synack_falls_back_on_both_sides)
{
	pair_init(&p, 0);
	p.filter = strip_capable_from_synack;
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	pair_send(&p, A, 50000);
	pair_run(&p, 100 * SN_MSEC);
	pair_send(&p, B, 50000);
	pair_run(&p, SN_SEC);
	CHECK(!p.s[A].mptcp && !p.s[B].mptcp);
	pair_check_streams(&p);
	CHECK_EQ(p.s[A].e->counters.MPCapableFallbackSYNACK, 1);
	CHECK_EQ(p.s[B].e->counters.MPCapableFallbackACK, 1);
	pair_op(&p, A, SN_OP_CLOSE);
	pair_op(&p, B, SN_OP_CLOSE);
	pair_run(&p, SN_SEC);
	CHECK_EQ(p.s[A].closed, 1);
	CHECK_EQ(p.s[B].closed, 1);
	pair_close(&p);
}

static bool drop_capable_syns(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)q, (void)path, (void)tcp;
	return !(to == B && (seg->flags & SN_TH_SYN) && (seg->mp.present & SN_MP_BIT(SN_MP_CAPABLE)));
}

SN_TEST(syns_that_vanish_are_tried_without_the_option)
{
	pair_init(&p, 0);
	p.filter = drop_capable_syns;
	pair_connect(&p, 0);
	pair_run(&p, 20 * SN_SEC);
	CHECK_EQ(p.s[A].opened, 1);
	CHECK_EQ(p.s[A].open_res, 0);
	CHECK(!p.s[A].mptcp);
	pair_close(&p);
}

SN_TEST(abort_is_a_fastclose)
{
	pair_init(&p, 0);
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	pair_send(&p, A, 100000);
	pair_run(&p, 30 * SN_MSEC);
	pair_op(&p, A, SN_OP_ABORT);
	pair_run(&p, 100 * SN_MSEC);
	CHECK(p.seen_fastclose >= 1);
	CHECK_EQ(p.s[A].closed_res, SN_E_ABORTED);
	CHECK_EQ(p.s[B].closed, 1);
	CHECK_EQ(p.s[B].closed_res, SN_E_RESET);
	CHECK_EQ(p.s[A].given_back, p.s[A].sent);
	CHECK_EQ(p.s[B].e->counters.MPFastcloseRx, 1);
	CHECK_EQ(p.s[A].e->mptcp.conns.used + p.s[B].e->mptcp.conns.used, 0);
	pair_close(&p);
}

SN_TEST(close_with_unread_data_resets_the_peer)
{
	pair_init(&p, 0);
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	p.s[B].hold = true;
	pair_send(&p, A, 500000);
	pair_run(&p, 500 * SN_MSEC);
	pair_op(&p, B, SN_OP_CLOSE);
	pair_run(&p, 100 * SN_MSEC);
	CHECK_EQ(p.s[B].closed, 1);
	CHECK_EQ(p.s[B].closed_res, 0);
	CHECK_EQ(p.s[A].closed_res, SN_E_RESET);
	pair_close(&p);
}

/* The slot goes back unread just before the close, or just after it: the application had not seen it yet. */
SN_TEST(close_with_data_delivered_but_not_read_resets_the_peer)
{
	for (int late = 0; late < 2; late++) {
		pair_init(&p, 0);
		pair_connect(&p, 0);
		pair_run(&p, 50 * SN_MSEC);
		p.s[B].hold = true;
		pair_send(&p, A, 2000);
		pair_run(&p, 500 * SN_MSEC);
		CHECK_EQ(p.s[B].got, 2000);
		if (late)
			pair_op(&p, B, SN_OP_CLOSE);
		for (uint32_t i = 0; i < p.s[B].held; i++)
			p.s[B].held_len[i] = 0;
		pair_release(&p, B);
		if (!late)
			pair_op(&p, B, SN_OP_CLOSE);
		pair_run(&p, 100 * SN_MSEC);
		CHECK(p.seen_fastclose >= 1);
		CHECK_EQ(p.s[B].closed, 1);
		CHECK_EQ(p.s[B].closed_res, 0);
		CHECK_EQ(p.s[A].closed_res, SN_E_RESET);
		pair_close(&p);
	}
}

SN_TEST(channel_gone_frees_everything_at_once)
{
	pair_init(&p, 0);
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	pair_send(&p, A, 1000);
	pair_run(&p, 100 * SN_MSEC);
	pair_send(&p, A, 800000);
	pair_run(&p, 12 * SN_MSEC);
	sn_engine_channel_detach(p.s[A].e, (uint32_t)p.s[A].slot, p.now);
	CHECK_EQ(p.s[A].e->mptcp.conns.used, 0);
	CHECK_EQ(p.s[A].e->mptcp.chunks.used, 0);
	CHECK_EQ(p.s[A].e->tcp.segs.used, 0);
	pair_run(&p, 100 * SN_MSEC);
	CHECK_EQ(p.s[B].closed_res, SN_E_RESET);
	pair_close(&p);
}

SN_TEST(nobody_listens_is_refused)
{
	pair_init(&p, 0);
	pair_submit(&p, A, connect_sqe(0));
	pair_run(&p, 100 * SN_MSEC);
	CHECK_EQ(p.s[A].opened, 1);
	CHECK_EQ(p.s[A].open_res, SN_E_REFUSED);
	CHECK_EQ(p.s[A].e->mptcp.conns.used, 0);
	struct sn_sqe q = connect_sqe(0);
	struct sn_addr far_away = sn_addr_v4(0xc0000201);
	memcpy(q.addr, far_away.b, 16);
	pair_submit(&p, A, q);
	pair_run(&p, SN_MSEC);
	CHECK_EQ(p.s[A].open_res, SN_E_NETUNREACH);
	pair_close(&p);
}

SN_TEST(listeners_keep_to_their_rules)
{
	pair_init(&p, 0);
	struct sn_sqe l = {.op = SN_OP_LISTEN, .lport = 80, .len = 1, .user = 1};
	pair_submit(&p, B, l);
	pair_run(&p, SN_MSEC);
	CHECK_EQ(p.s[B].listen_res, SN_OK);
	l.user = 2;
	pair_submit(&p, B, l);
	pair_run(&p, SN_MSEC);
	CHECK_EQ(p.s[B].listen_res, SN_E_ADDRINUSE);
	l.lport = 81;
	struct sn_addr other = sn_addr_v4(0x0a0a0a0a);
	memcpy(l.laddr, other.b, 16);
	pair_submit(&p, B, l);
	pair_run(&p, SN_MSEC);
	CHECK_EQ(p.s[B].listen_res, SN_E_ADDRNOTAVAIL);
	pair_submit(&p, B, (struct sn_sqe){.op = SN_OP_UNLISTEN, .user = 1});
	pair_submit(&p, B, (struct sn_sqe){.op = SN_OP_LISTEN, .lport = 80, .len = 1, .user = 1});
	pair_run(&p, SN_MSEC);
	CHECK_EQ(p.s[B].listen_res, SN_OK);
	pair_close(&p);
}

static void breaks(struct sn_sqe q)
{
	pair_init(&p, 0);
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	pair_send(&p, A, 100000);
	pair_run(&p, 5 * SN_MSEC);
	q.conn = p.s[A].conn;
	pair_submit(&p, A, q);
	pair_run(&p, 100 * SN_MSEC);
	CHECK_EQ(p.s[A].e->counters.app_violation, 1);
	CHECK_EQ(p.s[A].e->mptcp.conns.used, 0);
	CHECK_EQ(p.s[B].closed_res, SN_E_RESET);
	pair_close(&p);
}

SN_TEST(protocol_violations_end_the_session_only)
{
	breaks((struct sn_sqe){.op = 99});
	breaks((struct sn_sqe){.op = SN_OP_SEND, .off = ARENA - 10, .len = 11});
	breaks((struct sn_sqe){.op = SN_OP_SEND, .off = 0xfffffff0, .len = 100});
	breaks((struct sn_sqe){.op = SN_OP_RELEASE, .off = 12345});
}

SN_TEST(stale_connection_ids_are_answered)
{
	pair_init(&p, 0);
	p.s[A].conn = 0x00100000;
	pair_send(&p, A, 10);
	pair_op(&p, A, SN_OP_CLOSE);
	pair_op(&p, A, SN_OP_ABORT);
	pair_run(&p, SN_MSEC);
	CHECK_EQ(p.s[A].errors, 1);
	CHECK_EQ(p.s[A].error_res, SN_E_NOTCONN);
	CHECK_EQ(p.s[A].e->counters.app_violation, 0);
	pair_close(&p);
}

SN_TEST(reader_that_stops_closes_the_window_and_opens_it_again)
{
	pair_init(&p, 65536);
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	p.s[B].hold = true;
	pair_send(&p, A, 600000);
	pair_run(&p, 30 * SN_SEC);
	CHECK(p.s[B].got <= 65536 + 4096);
	CHECK(p.s[A].e->mptcp.conns.used == 1);
	p.s[B].hold = false;
	pair_release(&p, B);
	pair_run(&p, 5 * SN_SEC);
	pair_check_streams(&p);
	pair_close(&p);
}

SN_TEST(dead_path_hands_its_data_to_the_others)
{
	pair_init(&p, 0);
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	pair_send(&p, A, 1000);
	pair_run(&p, 200 * SN_MSEC);
	CHECK_EQ(pair_subflows(&p, A), 2);
	p.down[0] = true;
	pair_send(&p, A, 900000);
	pair_run(&p, 3 * SN_SEC);
	CHECK_EQ(p.s[B].got, p.s[A].sent);
	CHECK(p.s[A].e->counters.MPTCPRetrans > 0);
	p.down[0] = false;
	pair_run(&p, 10 * SN_SEC);
	pair_check_streams(&p); /* memory comes back when the dead path has let go of it */
	pair_close(&p);
}

static bool reset_once(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)to, (void)path;
	/* A middlebox turns one data segment into a RST for its receiver. */
	if (q->state == 1 && to == B && seg->len) {
		tcp[13] = SN_TH_RST | SN_TH_ACK;
		q->state = 2;
	}
	return true;
}

SN_TEST(reset_of_the_only_subflow_is_healed_by_a_new_one)
{
	pair_init(&p, 0);
	p.filter = reset_once;
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	pair_send(&p, A, 100000);
	pair_run(&p, SN_SEC);
	p.state = 1;
	pair_send(&p, A, 100000);
	pair_run(&p, 20 * SN_SEC);
	CHECK_EQ(p.state, 2);
	CHECK_EQ(p.s[A].closed + p.s[B].closed, 0);
	CHECK(p.seen_join >= 2);
	pair_check_streams(&p);
	pair_op(&p, A, SN_OP_CLOSE);
	pair_op(&p, B, SN_OP_CLOSE);
	pair_run(&p, SN_SEC);
	CHECK_EQ(p.s[A].closed + p.s[B].closed, 2);
	pair_close(&p);
}

static bool drop_data_fins(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)path, (void)tcp;
	return !(to == B && (seg->mp.present & SN_MP_BIT(SN_MP_DSS)) && (seg->mp.dss.flags & SN_DSS_FIN) &&
		 ++q->state <= 3);
}

SN_TEST(data_fin_is_repeated_until_acknowledged)
{
	pair_init(&p, 0);
	p.filter = drop_data_fins;
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	pair_op(&p, A, SN_OP_SHUTDOWN);
	pair_run(&p, 5 * SN_SEC);
	CHECK_EQ(p.s[B].eof, 1);
	CHECK(p.seen_data_fin >= 4);
	pair_op(&p, B, SN_OP_CLOSE);
	pair_run(&p, SN_SEC);
	CHECK_EQ(p.s[A].closed, 1);
	CHECK_EQ(p.s[A].closed_res, 0);
	pair_close(&p);
}

static bool silence(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)to, (void)path, (void)seg, (void)tcp;
	return !q->state;
}

SN_TEST(orphans_end_after_two_minutes)
{
	pair_init(&p, 0);
	p.filter = silence;
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	pair_op(&p, A, SN_OP_CLOSE);
	pair_run(&p, 90 * SN_SEC);
	CHECK_EQ(p.s[A].closed, 0); /* the peer has not closed */
	p.state = 1;
	pair_run(&p, 40 * SN_SEC);
	CHECK_EQ(p.s[A].closed, 1);
	CHECK_EQ(p.s[A].closed_res, SN_E_TIMEDOUT);
	pair_close(&p);
}

SN_TEST(checksums_are_negotiated_and_hold)
{
	pair_init(&p, 0);
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
	pair_connect(&p, SN_OPF_CSUM);
	pair_run(&p, 50 * SN_MSEC);
	pair_send(&p, A, 333333);
	pair_send(&p, B, 222221);
	pair_op(&p, A, SN_OP_SHUTDOWN);
	pair_run(&p, 2 * SN_SEC);
	pair_check_streams(&p);
	CHECK_EQ(p.s[B].eof, 1);
	CHECK_EQ(p.s[A].e->counters.DataCsumErr + p.s[B].e->counters.DataCsumErr, 0);
	pair_close(&p);
}

static bool change_payload(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)path;
	if (q->state == 1 && to == B && seg->len) {
		tcp[seg->hdr_len] ^= 0xff;
		q->state = 2;
	}
	return true;
}

SN_TEST(wrong_dss_checksum_on_one_of_two_subflows_resets_it)
{
	pair_init(&p, 0);
	p.filter = change_payload;
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
	pair_connect(&p, SN_OPF_CSUM);
	pair_run(&p, 50 * SN_MSEC);
	pair_send(&p, A, 1000);
	pair_run(&p, 200 * SN_MSEC);
	p.state = 1;
	pair_send(&p, A, 300000);
	pair_run(&p, 5 * SN_SEC);
	CHECK_EQ(p.s[B].e->counters.DataCsumErr, 1);
	CHECK(p.seen_rst >= 1);
	pair_check_streams(&p);
	pair_close(&p);
}

static bool strip_dss(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)to, (void)path;
	if (q->state == 1 && (seg->mp.present & SN_MP_BIT(SN_MP_DSS)))
		for (uint32_t i = 20; i < seg->hdr_len;) {
			if (tcp[i] <= 1) {
				i++;
				continue;
			}
			if (tcp[i] == 30)
				tcp[i] = 253;
			i += tcp[i + 1];
		}
	return true;
}

SN_TEST(options_stripped_later_fall_back_while_there_is_one_subflow)
{
	pair_init(&p, 0);
	p.filter = strip_dss;
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	pair_send(&p, A, 1000);
	pair_run(&p, 100 * SN_MSEC);
	CHECK(p.s[B].mptcp);
	p.state = 1;
	pair_send(&p, B, 1000); /* reaches A without mapping */
	pair_run(&p, 20 * SN_MSEC);
	pair_send(&p, A, 1000);
	pair_run(&p, 5 * SN_SEC);
	CHECK_EQ(p.s[A].got, p.s[B].sent);
	CHECK_EQ(p.s[B].got, p.s[A].sent);
	CHECK_EQ(p.s[A].bad + p.s[B].bad, 0);
	CHECK_EQ(p.s[A].e->counters.conn_fallback, 1);
	pair_close(&p);
}

SN_TEST(drain_closes_in_good_order)
{
	pair_init(&p, 0);
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	pair_send(&p, A, 200000);
	pair_run(&p, SN_MSEC);
	sn_engine_drain(p.s[A].e, p.now);
	pair_run(&p, SN_SEC);
	CHECK_EQ(p.s[B].eof, 1);
	CHECK_EQ(p.s[B].got, p.s[A].sent);
	pair_op(&p, B, SN_OP_CLOSE);
	pair_run(&p, SN_SEC);
	CHECK_EQ(sn_engine_conns(p.s[A].e), 0);
	CHECK_EQ(p.s[A].closed_res, 0);
	pair_close(&p);
}

PAIR_TEST_MAIN()
