/* SPDX-License-Identifier: Apache-2.0
 *
 * What breaks MPTCP on the way and what follows: MP_FAIL and infinite mappings, destinations that swallow
 * MP_CAPABLE, simultaneous open; and the words of path managers: MP_PRIO, REMOVE_ADDR, ADD_ADDR with a port, the C flag,
 * the reasons of MP_TCPRST.
 */
#include "mptcp_look.h"

/* --- checksums that do not fit --- */

static bool spoil_one(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	look(q, to, path, seg, tcp);
	if (q->state == 1 && to == B && path == 0 && seg->len > 100) {
		tcp[seg->hdr_len + 50] ^= 1;
		q->state = 2;
	}
	return true;
}

SN_TEST(wrong_checksum_on_the_only_subflow_is_mp_fail_and_tcp_from_there_on)
{
	begin(1, SN_OPF_CSUM);
	p.filter = spoil_one;
	p.state = 1;
	pair_send(&p, A, 100000);
	pair_send(&p, B, 50000);
	pair_run(&p, SN_SEC);
	CHECK_EQ(p.state, 2);
	CHECK(seen.fail >= 2); /* there and back */
	CHECK_EQ(p.s[A].e->counters.MPFailRx, 1);
	CHECK_EQ(p.s[B].e->counters.MPFailTx, 1);
	CHECK_EQ(p.s[B].e->counters.DataCsumErr, 1);
	CHECK_EQ(p.s[A].e->counters.conn_fallback, 1);
	CHECK_EQ(p.s[B].e->counters.conn_fallback, 1);
	pair_send(&p, A, 100000);
	pair_send(&p, B, 50000);
	pair_run(&p, SN_SEC);
	/* Whoever comes first says that its mapping has no end. */
	CHECK(p.s[A].e->counters.InfiniteMapTx + p.s[B].e->counters.InfiniteMapTx >= 1);
	CHECK_EQ(p.s[A].e->counters.InfiniteMapRx + p.s[B].e->counters.InfiniteMapRx, seen.infinite);
	/* What the middlebox did is in the stream, as it would be with TCP. */
	CHECK_EQ(p.s[A].bad, 0);
	CHECK_EQ(p.s[B].bad, 1);
	p.s[B].bad = 0;
	pair_check_streams(&p);
	CHECK_EQ(seen.rst_reason, 0);
	close_both();
}

SN_TEST(mp_fail_without_data_to_follow_ends_by_data_fins)
{
	begin(1, SN_OPF_CSUM);
	p.filter = spoil_one;
	p.state = 1;
	pair_send(&p, A, 1000);
	pair_run(&p, SN_SEC);
	CHECK_EQ(p.s[B].e->counters.MPFailTx, 1);
	CHECK_EQ(p.s[A].e->counters.MPFailTx, 1);
	CHECK_EQ(p.s[A].e->counters.InfiniteMapTx, 0);
	p.s[B].bad = 0;
	pair_check_streams(&p);
	pair_op(&p, A, SN_OP_SHUTDOWN);
	pair_run(&p, SN_SEC);
	CHECK_EQ(p.s[B].eof, 1);
	close_both();
}

SN_TEST(wrong_checksum_on_one_of_two_subflows_is_a_reset_with_mp_fail_and_its_data_comes_again)
{
	begin(2, SN_OPF_CSUM);
	p.filter = spoil_one;
	p.state = 1;
	pair_send(&p, A, 400000);
	pair_run(&p, 4 * SN_SEC);
	CHECK_EQ(p.state, 2);
	CHECK_EQ(seen.fail_on_rst, 1);
	CHECK_EQ(seen.rst_reason, SN_RST_MIDDLEBOX);
	CHECK_EQ(p.s[A].e->counters.MPFailRx, 1);
	CHECK_EQ(seen.infinite, 0);
	pair_check_streams(&p);            /* no wrong byte */
	CHECK_EQ(pair_subflows(&p, A), 1); /* that path is not tried again */
	CHECK_EQ(p.s[A].e->counters.conn_fallback, 0);
	close_both();
}

/* --- the handshake --- */

static bool swallow(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	look(q, to, path, seg, tcp);
	return !(q->state && to == B && (seg->flags & SN_TH_SYN) && (seg->mp.present & SN_MP_BIT(SN_MP_CAPABLE)));
}

static void connect_again(void)
{
	pair_op(&p, A, SN_OP_ABORT);
	pair_run(&p, SN_SEC);
	memset(&seen, 0, sizeof seen);
	p.s[A].opened = 0;
	pair_submit(&p, A, connect_sqe(0));
	pair_run(&p, 20 * SN_SEC);
	CHECK_EQ(p.s[A].opened, 1);
}

SN_TEST(destination_that_swallows_mp_capable_is_remembered_for_an_hour)
{
	memset(&seen, 0, sizeof seen);
	pair_init(&p, 0);
	p.filter = swallow;
	p.state = 1;
	pair_connect(&p, 0);
	pair_run(&p, 20 * SN_SEC);
	CHECK_EQ(p.s[A].opened, 1);
	CHECK(!p.s[A].mptcp);
	CHECK_EQ(seen.syn_capable, 3);
	CHECK_EQ(p.s[A].e->counters.MPCapableSYNTXDrop, 1);
	CHECK_EQ(p.s[A].e->counters.Blackhole, 1);
	connect_again();
	CHECK(!p.s[A].mptcp);
	CHECK_EQ(seen.syn_capable, 0);
	CHECK_EQ(p.s[A].e->counters.MPCapableSYNTXDisabled, 1);
	/* After the hour it is tried again; what works is not held against anybody. */
	p.state = 0;
	pair_run(&p, 3600 * SN_SEC);
	connect_again();
	CHECK(p.s[A].mptcp);
	connect_again();
	CHECK(p.s[A].mptcp);
	CHECK_EQ(p.s[A].e->counters.Blackhole, 1);
	pair_op(&p, A, SN_OP_ABORT);
	pair_run(&p, SN_SEC);
	pair_close(&p);
}

SN_TEST(table_of_black_holes_is_bounded_and_the_oldest_makes_room)
{
	pair_init(&p, 0);
	struct sn_engine *e = p.s[A].e;
	for (uint32_t i = 0; i < 3 * SN_BLACKHOLES; i++) {
		struct sn_addr to = sn_addr_v4(0x0b000000u + i);
		sn_blackhole_note(e, &to, SN_SEC * (i + 1));
	}
	struct sn_addr first = sn_addr_v4(0x0b000000u), last = sn_addr_v4(0x0b000000u + 3 * SN_BLACKHOLES - 1);
	CHECK(!sn_blackhole_known(e, &first, 200 * SN_SEC));
	CHECK(sn_blackhole_known(e, &last, 200 * SN_SEC));
	sn_blackhole_forget(e, &last);
	CHECK(!sn_blackhole_known(e, &last, 200 * SN_SEC));
	pair_close(&p);
}

SN_TEST(simultaneous_open_is_plain_tcp)
{
	memset(&seen, 0, sizeof seen);
	pair_init(&p, 0);
	p.filter = look;
	for (int i = 0; i < 2; i++) {
		struct sn_sqe q = connect_sqe(0);
		struct sn_addr to = pair_addr(0, i == A ? 2 : 1);
		memcpy(q.addr, to.b, 16);
		q.port = i == A ? 45000 : 44000;
		q.lport = i == A ? 44000 : 45000;
		pair_submit(&p, i, q);
	}
	pair_run(&p, 3 * SN_SEC);
	CHECK_EQ(seen.syn_capable, 2);
	REQUIRE(p.s[A].opened == 1 && p.s[B].opened == 1);
	CHECK_EQ(p.s[A].open_res | p.s[B].open_res, 0);
	pair_send(&p, A, 50000);
	pair_send(&p, B, 50000);
	pair_run(&p, SN_SEC);
	pair_check_streams(&p);
	CHECK_EQ(p.s[A].e->counters.conn_fallback + p.s[B].e->counters.conn_fallback, 2);
	close_both();
}

static struct sn_subflow *subflow_to(int side, uint8_t net)
{
	struct sn_conn *c = sn_slab_at(&p.s[side].e->mptcp.conns, 0);
	struct sn_addr to = pair_addr(net, side == A ? 2 : 1);
	for (uint32_t i = 0; c && i < SN_MAX_SUBFLOWS; i++)
		if (c->sf[i] && sn_addr_eq(&c->sf[i]->flow.remote, &to))
			return c->sf[i];
	return NULL;
}

/* --- path managers --- */

SN_TEST(backup_flag_changed_later_is_told_by_mp_prio_and_moves_the_data)
{
	begin(2, 0);
	struct sn_subflow *there = subflow_to(A, 1), *here = subflow_to(B, 1);
	REQUIRE(there && here);
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL | SN_EP_BACKUP); /* the same endpoint with another flag */
	pair_run(&p, 50 * SN_MSEC);
	CHECK_EQ(seen.prio, 1);
	CHECK_EQ(p.s[B].e->counters.MPPrioTx, 1);
	CHECK_EQ(p.s[A].e->counters.MPPrioRx, 1);
	CHECK(there->backup && there->peer_backup && !there->our_backup);
	CHECK(here->backup && here->our_backup && !here->peer_backup);
	struct sn_tcp_estimate before, after;
	there->conn->ops->estimate(there->tcp, &before);
	pair_send(&p, A, 200000);
	pair_run(&p, SN_SEC);
	there->conn->ops->estimate(there->tcp, &after);
	CHECK_EQ(after.bytes_sent, before.bytes_sent);
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
	pair_run(&p, 50 * SN_MSEC);
	CHECK(!there->backup && !here->backup);
	/* A backup serves when nothing else is left. */
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL | SN_EP_BACKUP);
	p.down[0] = true;
	pair_send(&p, A, 200000);
	pair_run(&p, 2 * SN_SEC);
	CHECK_EQ(p.s[B].got, p.s[A].sent);
	p.down[0] = false;
	pair_run(&p, 5 * SN_SEC);
	pair_check_streams(&p);
	close_both();
}

SN_TEST(first_address_is_withdrawn_by_the_id_0_if_another_subflow_is_there)
{
	begin(2, 0);
	pair_endpoint(&p, B, 0, SN_EP_SIGNAL);
	pair_run(&p, 50 * SN_MSEC);
	CHECK_EQ(sn_engine_endpoint_del(p.s[B].e, 1, p.now), SN_OK);
	pair_run(&p, 2 * SN_SEC);
	CHECK_EQ(seen.removed, 1u << 0);
	CHECK_EQ(pair_subflows(&p, A), 1);
	CHECK(subflow_to(A, 1) != NULL);
	pair_send(&p, A, 200000);
	pair_send(&p, B, 200000);
	pair_run(&p, 2 * SN_SEC);
	pair_check_streams(&p);
	close_both();
}

SN_TEST(list_of_removed_addresses_leaves_each_and_ignores_unknown_ones)
{
	begin(3, 0);
	struct sn_subflow *sf = subflow_to(A, 0);
	struct sn_tcp_seg seg = {
		.mp = {.present = SN_MP_BIT(SN_MP_REMOVE_ADDR), .remove_addr = {.n = 4, .id = {77, 3, 2, 3}}}};
	CHECK(sn_pm_segment(sf, &seg, p.now));
	pair_run(&p, SN_SEC);
	CHECK_EQ(p.s[A].e->counters.RmAddr, 4);
	CHECK_EQ(pair_subflows(&p, A), 1);
	pair_send(&p, A, 100000);
	pair_run(&p, SN_SEC);
	pair_check_streams(&p);
	close_both();
}

SN_TEST(announced_port_is_joined_and_no_other)
{
	if (pair_family == PAIR_V6)
		return; /* the option finds no room beside timestamps: test_mptcp_family.c */
	memset(&seen, 0, sizeof seen);
	pair_init(&p, 0);
	p.filter = look;
	struct sn_endpoint ep = {.id = 5, .flags = SN_EP_SIGNAL, .nic_port = 1, .tcp_port = 6000};
	memcpy(ep.addr, sn_net_port_addr(p.s[B].e, 1)->b, 16);
	CHECK_EQ(sn_engine_endpoint_add(p.s[B].e, &ep, p.now), SN_OK);
	pair_connect(&p, 0);
	pair_run(&p, 300 * SN_MSEC);
	CHECK_EQ(pair_subflows(&p, A), 2);
	CHECK_EQ(seen.join_port, 6000);
	pair_send(&p, A, 100000);
	pair_run(&p, SN_SEC);
	pair_check_streams(&p);
	close_both();
}

SN_TEST(c_flag_keeps_joins_from_the_first_address)
{
	memset(&seen, 0, sizeof seen);
	pair_init(&p, 0);
	p.filter = look;
	p.s[B].e->cfg.no_join = true;
	pair_endpoint(&p, A, 0, SN_EP_SUBFLOW | SN_EP_FULLMESH);
	pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
	pair_connect(&p, 0);
	pair_run(&p, SN_SEC);
	CHECK(seen.no_join_flag > 0);
	CHECK_EQ(pair_subflows(&p, A), 2);
	CHECK_EQ(p.seen_join, 2); /* SYN and SYN/ACK of the one to the announced address */
	/* The first subflow lost: no join comes to its address either. */
	sn_sf_reset(subflow_to(A, 0), SN_RST_NONE, p.now);
	pair_send(&p, A, 100000);
	pair_run(&p, 5 * SN_SEC);
	CHECK_EQ(p.seen_join, 2);
	pair_check_streams(&p);
	close_both();
}

/* A middlebox resets the second path once; state: 0x100 | reason << 1 | T flag. */
static bool reset_with_reason(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	look(q, to, path, seg, tcp);
	if (!(q->state & 0x100) || to != A || path != 1 || seg->len || (seg->flags & SN_TH_SYN))
		return true;
	uint8_t *o = option(seg, tcp, 2);
	if (!o)
		return true;
	memset(o, 1, o[1]);
	o[0] = 30;
	o[1] = 4;
	o[2] = (uint8_t)(8 << 4 | (q->state & 1));
	o[3] = (uint8_t)(q->state >> 1 & 0x7f);
	tcp[13] = SN_TH_RST | SN_TH_ACK;
	q->state = 0;
	return true;
}

SN_TEST(reset_for_good_is_final_and_a_passing_one_is_joined_again_within_a_second)
{
	static const struct {
		uint8_t reason, transient, again;
	} rows[] = {
		{SN_RST_UNSPECIFIED, 0, 1}, {SN_RST_PROTOCOL, 0, 0},    {SN_RST_RESOURCES, 0, 1},
		{SN_RST_PROHIBITED, 0, 0},  {SN_RST_OUTSTANDING, 0, 1}, {SN_RST_PERFORMANCE, 0, 0},
		{SN_RST_MIDDLEBOX, 0, 0},   {SN_RST_MIDDLEBOX, 1, 1},   {SN_RST_PROHIBITED, 1, 1},
	};
	for (uint32_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		begin(2, 0);
		pair_run(&p, 3 * SN_SEC);
		p.filter = reset_with_reason;
		p.state = 0x100u | (uint32_t)rows[i].reason << 1 | rows[i].transient;
		pair_send(&p, A, 300000);
		pair_run(&p, SN_SEC);
		CHECK_EQ(p.state, 0);
		CHECK_EQ(p.s[A].e->counters.MPRstRx, 1);
		CHECK_EQ(pair_subflows(&p, A), 1u + rows[i].again);
		pair_run(&p, 20 * SN_SEC);
		CHECK_EQ(pair_subflows(&p, A), 1u + rows[i].again);
		pair_check_streams(&p);
		p.filter = look;
		close_both();
	}
}

/* A peer that answers joins and resets them for good as soon as they seem complete. */
static bool prohibit(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	look(q, to, path, seg, tcp);
	uint8_t *o = to == A && !(seg->flags & (SN_TH_SYN | SN_TH_RST)) ? option(seg, tcp, 2) : NULL;
	if (!o)
		return !(to == A && seg->len);
	memset(o, 1, o[1]);
	o[0] = 30;
	o[1] = 4;
	o[2] = 8 << 4;
	o[3] = SN_RST_PROHIBITED;
	tcp[13] = SN_TH_RST | SN_TH_ACK;
	return true;
}

SN_TEST(only_path_refused_for_good_is_tried_again_with_pauses)
{
	begin(1, 0);
	p.filter = prohibit;
	p.seen_join = 0;
	pair_send(&p, A, 1000);
	pair_run(&p, 3 * SN_SEC);
	CHECK(p.seen_join >= 2 * 2); /* SYN and SYN/ACK of each */
	CHECK(p.seen_join <= 6 * 2); /* at once, then every SN_PATH_AGAIN */
	p.filter = look;
	pair_op(&p, A, SN_OP_ABORT);
	pair_op(&p, B, SN_OP_ABORT);
	pair_run(&p, SN_SEC);
	pair_close(&p);
}

SN_TEST(fastclose_on_an_ack_needs_our_key_and_is_answered_by_resets)
{
	begin(2, 0);
	struct sn_subflow *sf = subflow_to(A, 0);
	struct sn_tcp_seg seg = {.flags = SN_TH_ACK, .mp = {.present = SN_MP_BIT(SN_MP_FASTCLOSE)}};
	seg.mp.fastclose_key = sf->conn->local_key + 1;
	CHECK(sn_mptcp_up.segment(sf, &seg, NULL, p.now));
	pair_run(&p, SN_SEC);
	CHECK_EQ(p.s[A].closed, 0);
	p.seen_rst = 0;
	seg.mp.fastclose_key--;
	CHECK(!sn_mptcp_up.segment(sf, &seg, NULL, p.now));
	pair_run(&p, SN_SEC);
	CHECK_EQ(p.s[A].closed_res, SN_E_RESET);
	CHECK_EQ(p.seen_rst, 2);
	CHECK_EQ(p.s[A].e->counters.MPFastcloseRx, 1);
	pair_op(&p, B, SN_OP_ABORT);
	pair_run(&p, SN_SEC);
	pair_close(&p);
}

static bool strip_join_answer(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	look(q, to, path, seg, tcp);
	uint8_t *o = option(seg, tcp, 1);
	if (q->state == 1 && to == A && o && (seg->flags & SN_TH_SYN))
		o[0] = 253;
	if (q->state == 2 && to == B && o && !(seg->flags & SN_TH_SYN))
		o[0] = 253;
	return true;
}

/* A middlebox that takes MP_JOIN out of the SYN/ACK or out of the third ACK. */
SN_TEST(join_without_its_option_is_reset_and_the_connection_goes_on)
{
	for (uint32_t where = 1; where <= 2; where++) {
		memset(&seen, 0, sizeof seen);
		pair_init(&p, 0);
		p.filter = strip_join_answer;
		p.state = where;
		pair_endpoint(&p, B, 1, SN_EP_SIGNAL);
		pair_connect(&p, 0);
		pair_run(&p, SN_SEC);
		CHECK_EQ(pair_subflows(&p, A), 1);
		CHECK(p.seen_rst >= 1);
		CHECK_EQ(seen.rst_reason, where == 1 ? 0 : SN_RST_PROTOCOL);
		pair_send(&p, A, 100000);
		pair_run(&p, SN_SEC);
		pair_check_streams(&p);
		close_both();
	}
}

/* MP_CAPABLE of the SYN as somebody else would send it: version in `state`'s upper byte, flags in its lower one. */
static bool other_syn(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	uint8_t *o = option(seg, tcp, SN_MP_CAPABLE);
	if (to == B && o && (seg->flags & SN_TH_SYN)) {
		o[2] = (uint8_t)(q->state >> 8);
		o[3] = (uint8_t)q->state;
	}
	return look(q, to, path, seg, tcp);
}

/* B, no algorithm, one that is not ours, version 0. */
SN_TEST(syn_that_asks_for_another_mptcp_is_answered_by_plain_tcp)
{
	static const int odd_syn[] = {0x141, 0x100, 0x110, 0x001};
	for (uint32_t i = 0; i < sizeof odd_syn / sizeof odd_syn[0]; i++) {
		memset(&seen, 0, sizeof seen);
		pair_init(&p, 0);
		p.filter = other_syn;
		p.state = odd_syn[i];
		pair_connect(&p, 0);
		pair_run(&p, 50 * SN_MSEC);
		pair_send(&p, A, 10000);
		pair_send(&p, B, 10000);
		pair_run(&p, SN_SEC);
		CHECK(!p.s[A].mptcp);
		CHECK(!p.s[B].mptcp);
		pair_check_streams(&p);
		close_both();
	}
}

PAIR_TEST_MAIN()
