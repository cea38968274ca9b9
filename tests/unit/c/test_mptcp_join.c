/* SPDX-License-Identifier: Apache-2.0
 *
 * Joins between two engines: announced addresses, limits, the four packets of MP_JOIN, endpoints that come and go.
 */
#include "mptcp_pair.h"

static struct pair p;

SN_TEST(announced_addresses_are_joined_and_used)
{
	pair_init(&p, 0);
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
	pair_endpoint(&p, B, 2, SN_EP_SIGNAL);
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	pair_send(&p, A, 1000);
	pair_run(&p, 200 * SN_MSEC);
	CHECK_EQ(pair_subflows(&p, A), 3);
	CHECK_EQ(pair_subflows(&p, B), 3);
	CHECK_EQ(p.s[B].e->counters.EchoAdd, 2);
	for (int k = 0; k < 4; k++) {
		pair_send(&p, A, 400000);
		pair_send(&p, B, 400000);
		pair_run(&p, SN_SEC);
	}
	pair_check_streams(&p);
	struct sn_subflow_info info[3];
	CHECK_EQ(sn_engine_subflow_info(p.s[A].e, p.s[A].conn, info, 3), 3);
	for (int i = 0; i < 3; i++) {
		CHECK(info[i].established);
		CHECK(info[i].bytes_sent > 0);
	}
	pair_op(&p, A, SN_OP_CLOSE);
	pair_op(&p, B, SN_OP_CLOSE);
	pair_run(&p, SN_SEC);
	CHECK_EQ(p.s[A].closed + p.s[B].closed, 2);
	CHECK_EQ(p.seen_rst, 0);
	pair_close(&p);
}

SN_TEST(limits_bound_the_joins)
{
	pair_init(&p, 0);
	struct sn_pm_limits one = {.subflows = 1, .add_addr_accepted = 8};
	sn_engine_limits_set(p.s[A].e, &one);
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
	pair_endpoint(&p, B, 2, SN_EP_SIGNAL);
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	pair_send(&p, A, 1000);
	pair_run(&p, 5 * SN_SEC);
	CHECK_EQ(pair_subflows(&p, A), 2);
	CHECK_EQ(p.s[B].e->counters.EchoAdd, 2); /* echoed all the same */
	pair_close(&p);
}

static bool drop_first_join_acks(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)path, (void)tcp;
	if (to == B && (seg->mp.present & SN_MP_BIT(SN_MP_JOIN)) && !(seg->flags & SN_TH_SYN))
		return ++q->state > 2;
	return true;
}

SN_TEST(third_ack_of_a_join_is_repeated_until_confirmed)
{
	pair_init(&p, 0);
	p.filter = drop_first_join_acks;
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	pair_send(&p, A, 1000);
	pair_run(&p, SN_SEC);
	struct sn_subflow_info info[3];
	REQUIRE(sn_engine_subflow_info(p.s[A].e, p.s[A].conn, info, 3) == 2);
	CHECK(info[1].established);
	CHECK_EQ(p.s[B].e->counters.MPJoinAckHMacFailure, 0);
	pair_close(&p);
}

static bool break_hmac(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)q, (void)path;
	if (to == B && (seg->mp.present & SN_MP_BIT(SN_MP_JOIN)) && !(seg->flags & SN_TH_SYN))
		tcp[seg->hdr_len - 1] ^= 1;
	return true;
}

SN_TEST(join_with_a_wrong_hmac_is_reset_and_the_connection_lives)
{
	pair_init(&p, 0);
	p.filter = break_hmac;
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	pair_send(&p, A, 1000);
	pair_run(&p, SN_SEC);
	CHECK(p.s[B].e->counters.MPJoinAckHMacFailure >= 1);
	CHECK_EQ(pair_subflows(&p, B), 1);
	CHECK(p.seen_rst);
	pair_run(&p, 60 * SN_SEC); /* tries end */
	CHECK(p.seen_join <= 2 * SN_PATH_TRIES);
	pair_send(&p, A, 100000);
	pair_run(&p, SN_SEC);
	pair_check_streams(&p);
	pair_close(&p);
}

SN_TEST(subflow_endpoint_added_later_joins_and_deletion_leaves)
{
	pair_init(&p, 0);
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
	struct sn_pm_limits none = {.subflows = 8, .add_addr_accepted = 0};
	sn_engine_limits_set(p.s[A].e, &none);
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	pair_send(&p, A, 1000);
	pair_run(&p, 100 * SN_MSEC);
	CHECK_EQ(pair_subflows(&p, A), 1); /* nothing accepted, no route to the first address */
	pair_op(&p, A, SN_OP_CLOSE);
	pair_op(&p, B, SN_OP_CLOSE);
	pair_run(&p, SN_SEC);

	struct sn_pm_limits all = {.subflows = 8, .add_addr_accepted = 8};
	sn_engine_limits_set(p.s[A].e, &all);
	CHECK_EQ(sn_engine_endpoint_del(p.s[B].e, 2, p.now), SN_OK);
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
	pair_endpoint(&p, A, 1, SN_EP_SUBFLOW);
	p.s[A].sent = p.s[A].got = p.s[B].sent = p.s[B].got = 0;
	p.s[A].given_back = p.s[B].given_back = 0;
	pair_submit(&p, A, connect_sqe(0));
	pair_run(&p, 50 * SN_MSEC);
	pair_send(&p, A, 1000);
	pair_run(&p, 200 * SN_MSEC);
	CHECK_EQ(pair_subflows(&p, A), 2);
	pair_send(&p, A, 500000);
	pair_run(&p, 20 * SN_MSEC);
	CHECK_EQ(sn_engine_endpoint_del(p.s[A].e, 2, p.now), SN_OK);
	pair_run(&p, SN_SEC);
	CHECK(p.seen_remove >= 1);
	CHECK_EQ(p.s[B].e->counters.RmAddr, 1);
	CHECK_EQ(pair_subflows(&p, A), 1);
	CHECK_EQ(pair_subflows(&p, B), 1);
	pair_check_streams(&p);
	pair_close(&p);
}

static bool break_add_addr(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)q, (void)path;
	if (to == A && (seg->mp.present & SN_MP_BIT(SN_MP_ADD_ADDR)) && !seg->mp.add_addr.echo)
		tcp[seg->hdr_len - 1] ^= 1;
	return true;
}

SN_TEST(add_addr_with_a_wrong_hmac_is_ignored_and_repeated_three_times)
{
	pair_init(&p, 0);
	p.filter = break_add_addr;
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	pair_send(&p, A, 1000);
	pair_run(&p, 30 * SN_SEC);
	CHECK_EQ(p.s[B].e->counters.AddAddrTx, 3);
	CHECK_EQ(p.s[A].e->counters.EchoAddTx, 0);
	CHECK_EQ(p.s[A].e->counters.AddAddrDrop, 3);
	CHECK_EQ(p.seen_join, 0);
	pair_close(&p);
}

PAIR_TEST_MAIN()
