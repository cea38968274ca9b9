/* SPDX-License-Identifier: Apache-2.0
 *
 * Hosts whose ports have an address of each family: which one a connection and a join leave with, who a listener hears,
 * and announcements of the one family over the other (RFC 8684 3.4.1).
 */
#include "mptcp_pair.h"

static struct pair p;

static void begin(void)
{
	pair_family = PAIR_BOTH;
	pair_init(&p, 0);
}

static struct sn_sqe connect_at(struct sn_addr to)
{
	struct sn_sqe q = connect_sqe(0);
	memcpy(q.addr, to.b, 16);
	return q;
}

static void listen_at(struct sn_addr at, uint16_t lport, uint64_t user)
{
	struct sn_sqe q = {.op = SN_OP_LISTEN, .lport = lport, .len = 4, .user = user};
	memcpy(q.laddr, at.b, 16);
	pair_submit(&p, B, q);
	pair_run(&p, SN_MSEC);
}

static const struct sn_addr every = {{0}};

/* A connection over IPv6, path 0, with its first data through. */
static void connected6(void)
{
	listen_at(every, PEER_PORT, 22);
	CHECK_EQ(p.s[B].listen_res, SN_OK);
	pair_submit(&p, A, connect_at(pair_addr6(0, 2)));
	pair_run(&p, 50 * SN_MSEC);
	REQUIRE(p.s[A].opened == 1 && p.s[B].opened == 1);
	CHECK_EQ(p.s[A].open_res, SN_OK);
	pair_send(&p, A, 1000);
	pair_run(&p, 200 * SN_MSEC);
}

static void end(void)
{
	pair_op(&p, A, SN_OP_CLOSE);
	pair_op(&p, B, SN_OP_CLOSE);
	pair_run(&p, SN_SEC);
	CHECK_EQ(p.s[A].closed + p.s[B].closed, 2);
	pair_close(&p);
}

static bool has_flow(int side, struct sn_addr local, struct sn_addr remote, uint8_t *local_id)
{
	struct sn_subflow_info info[SN_MAX_SUBFLOWS];
	uint32_t n = sn_engine_subflow_info(p.s[side].e, p.s[side].conn, info, SN_MAX_SUBFLOWS);

	for (uint32_t i = 0; i < n; i++)
		if (!memcmp(info[i].laddr, local.b, 16) && !memcmp(info[i].raddr, remote.b, 16)) {
			*local_id = info[i].laddr_id;
			return info[i].established;
		}
	return false;
}

SN_TEST(subflows_of_both_families_carry_one_connection)
{
	uint8_t id;

	begin();
	struct sn_addr four = pair_addr4(1, 2), six = pair_addr6(2, 2);
	pair_endpoint_at(&p, B, 1, &four, SN_EP_SIGNAL);
	pair_endpoint_at(&p, B, 2, &six, SN_EP_SIGNAL);
	connected6();
	CHECK_EQ(pair_subflows(&p, A), 3);
	CHECK(has_flow(A, pair_addr6(0, 1), pair_addr6(0, 2), &id));
	CHECK(has_flow(A, pair_addr4(1, 1), pair_addr4(1, 2), &id));
	CHECK(has_flow(A, pair_addr6(2, 1), pair_addr6(2, 2), &id));
	for (int k = 0; k < 4; k++) {
		pair_send(&p, A, 400000);
		pair_send(&p, B, 400000);
		pair_run(&p, SN_SEC);
	}
	pair_check_streams(&p);
	struct sn_subflow_info info[3];
	CHECK_EQ(sn_engine_subflow_info(p.s[A].e, p.s[A].conn, info, 3), 3);
	for (int i = 0; i < 3; i++)
		CHECK(info[i].bytes_sent > 50000);
	CHECK_EQ(p.seen_rst, 0);
	end();
}

SN_TEST(a_connection_over_ipv4_is_joined_over_ipv6)
{
	uint8_t id;

	begin();
	struct sn_addr six = pair_addr6(1, 2);
	pair_endpoint_at(&p, B, 1, &six, SN_EP_SIGNAL);
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	pair_send(&p, A, 1000);
	pair_run(&p, 200 * SN_MSEC);
	CHECK_EQ(pair_subflows(&p, A), 2);
	CHECK(has_flow(A, pair_addr4(0, 1), pair_addr4(0, 2), &id));
	CHECK(has_flow(A, pair_addr6(1, 1), pair_addr6(1, 2), &id));
	pair_send(&p, A, 500000);
	pair_run(&p, SN_SEC);
	pair_check_streams(&p);
	end();
}

SN_TEST(both_addresses_of_a_port_have_ids_of_their_own)
{
	uint8_t other, third;

	begin();
	struct sn_addr four = pair_addr4(0, 2), six = pair_addr6(1, 2), mine = pair_addr4(1, 2);
	pair_endpoint_at(&p, B, 0, &four, SN_EP_SIGNAL);
	pair_endpoint_at(&p, B, 1, &six, SN_EP_SIGNAL);
	pair_endpoint_at(&p, B, 2, &mine, SN_EP_SIGNAL);
	connected6();
	CHECK_EQ(pair_subflows(&p, A), 4);
	/* Without endpoints on this side. */
	uint8_t first;
	CHECK(has_flow(A, pair_addr6(0, 1), pair_addr6(0, 2), &first));
	CHECK_EQ(first, 0);
	uint8_t port0_v4;
	CHECK(has_flow(A, pair_addr4(0, 1), pair_addr4(0, 2), &port0_v4));
	CHECK(has_flow(A, pair_addr6(1, 1), pair_addr6(1, 2), &other));
	CHECK(has_flow(A, pair_addr4(1, 1), pair_addr4(1, 2), &third));
	CHECK(port0_v4 && other && third);
	CHECK(other != third && port0_v4 != other && port0_v4 != third);
	end();
}

SN_TEST(a_subflow_endpoint_waits_for_an_address_of_its_family)
{
	uint8_t id;

	begin();
	struct sn_addr mine = pair_addr4(1, 1), theirs = pair_addr4(1, 2);
	pair_endpoint_at(&p, A, 1, &mine, SN_EP_SUBFLOW);
	connected6();
	CHECK_EQ(pair_subflows(&p, A), 1); /* from IPv4 there is no way to the first address */
	CHECK_EQ(p.s[A].e->counters.MPJoinSynTx, 0);
	pair_endpoint_at(&p, B, 1, &theirs, SN_EP_SIGNAL);
	pair_run(&p, SN_SEC);
	CHECK_EQ(pair_subflows(&p, A), 2);
	CHECK(has_flow(A, mine, theirs, &id));
	CHECK_EQ(id, 2); /* the endpoint's */
	end();
}

SN_TEST(a_source_of_the_other_family_is_refused)
{
	begin();
	struct sn_sqe q = connect_at(pair_addr6(0, 2));
	struct sn_addr four = pair_addr4(0, 1);
	memcpy(q.laddr, four.b, 16);
	pair_submit(&p, A, q);
	pair_run(&p, SN_MSEC);
	CHECK_EQ(p.s[A].open_res, SN_E_ADDRNOTAVAIL);
	q = connect_at((struct sn_addr){{0xfe, 0x80, [15] = 2}});
	pair_submit(&p, A, q);
	pair_run(&p, SN_MSEC);
	CHECK_EQ(p.s[A].open_res, SN_E_NETUNREACH);
	pair_close(&p);
}

SN_TEST(listeners_hear_their_family)
{
	begin();
	listen_at(sn_addr_v4(0), PEER_PORT, 1); /* 0.0.0.0: IPv4 alone */
	CHECK_EQ(p.s[B].listen_res, SN_OK);
	listen_at(every, PEER_PORT, 2); /* :: would take IPv4 too */
	CHECK_EQ(p.s[B].listen_res, SN_E_ADDRINUSE);
	pair_submit(&p, A, connect_at(pair_addr6(0, 2)));
	pair_run(&p, 100 * SN_MSEC);
	CHECK_EQ(p.s[A].open_res, SN_E_REFUSED);
	listen_at(pair_addr6(0, 2), PEER_PORT, 3); /* no part of 0.0.0.0 */
	CHECK_EQ(p.s[B].listen_res, SN_OK);
	pair_submit(&p, A, connect_at(pair_addr6(0, 2)));
	pair_run(&p, 100 * SN_MSEC);
	CHECK_EQ(p.s[A].open_res, SN_OK);
	pair_submit(&p, A, connect_at(pair_addr6(1, 2)));
	pair_run(&p, 100 * SN_MSEC);
	CHECK_EQ(p.s[A].open_res, SN_E_REFUSED);
	pair_submit(&p, A, connect_at(pair_addr4(1, 2)));
	pair_run(&p, 100 * SN_MSEC);
	CHECK_EQ(p.s[A].open_res, SN_OK);
	listen_at(every, 81, 4); /* ::, both */
	CHECK_EQ(p.s[B].listen_res, SN_OK);
	listen_at(sn_addr_v4(0), 81, 5);
	CHECK_EQ(p.s[B].listen_res, SN_E_ADDRINUSE);
	struct sn_addr to[] = {pair_addr4(0, 2), pair_addr6(0, 2)};
	for (int i = 0; i < 2; i++) {
		struct sn_sqe q = connect_at(to[i]);
		q.port = 81;
		pair_submit(&p, A, q);
		pair_run(&p, 100 * SN_MSEC);
		CHECK_EQ(p.s[A].open_res, SN_OK);
	}
	CHECK_EQ(p.s[B].opened, 4);
	pair_close(&p);
}

/* RFC 8684 3.4.1: 32 bytes, and timestamps leave 28. */
SN_TEST(an_announcement_without_room_does_not_hold_up_the_next)
{
	uint8_t id;

	begin();
	struct sn_endpoint ep = {.id = 5, .flags = SN_EP_SIGNAL, .nic_port = 1, .tcp_port = 6000};
	struct sn_addr six = pair_addr6(1, 2), last = pair_addr6(2, 2);
	memcpy(ep.addr, six.b, 16);
	CHECK_EQ(sn_engine_endpoint_add(p.s[B].e, &ep, p.now), SN_OK);
	pair_endpoint_at(&p, B, 2, &last, SN_EP_SIGNAL);
	connected6();
	CHECK_EQ(p.s[B].e->counters.AddAddrTxDrop, 1);
	CHECK_EQ(p.s[B].e->counters.AddAddrTx, 1);
	CHECK_EQ(p.s[B].e->counters.EchoAdd, 1);
	CHECK_EQ(pair_subflows(&p, A), 2);
	CHECK(has_flow(A, pair_addr6(2, 1), last, &id));
	pair_run(&p, 20 * SN_SEC);
	CHECK_EQ(p.s[B].e->counters.AddAddrTxDrop, 1);
	end();
}

/* --- what a peer may claim --- */

static struct sn_addr lie;

/* B's announcement names another address, with the right HMAC. */
static bool lie_about_address(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)path;
	if (to != A || !(seg->mp.present & SN_MP_BIT(SN_MP_ADD_ADDR)) || seg->mp.add_addr.echo)
		return true;
	struct sn_mp_add_addr a = seg->mp.add_addr;
	const struct sn_slab *conns = &q->s[B].e->mptcp.conns;
	const struct sn_conn *c = NULL;
	for (uint32_t i = 0; !c && i < conns->count; i++)
		c = sn_slab_at(conns, i);
	a.addr = lie;
	a.hmac = sn_mp_hmac_add_addr(c->local_key, c->remote_key, &a);
	for (uint32_t i = 20; i < seg->hdr_len; i += tcp[i] <= 1 ? 1 : tcp[i + 1])
		if (tcp[i] == 30 && tcp[i + 2] >> 4 == SN_MP_ADD_ADDR) {
			sn_mp_emit_add_addr(tcp + i, &a);
			break;
		}
	q->state++;
	return true;
}

SN_TEST(announced_ipv6_addresses_that_no_host_can_have_are_ignored)
{
	const struct sn_addr bad[] = {
		{{0xff, 0x02, [15] = 1}}, {{0xfe, 0x80, [15] = 9}}, {{[15] = 1}}, {{0}},
		pair_addr6(1, 1),         pair_addr4(1, 2),
	};

	for (uint32_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		begin();
		lie = bad[i];
		p.filter = lie_about_address;
		struct sn_addr six = pair_addr6(1, 2);
		pair_endpoint_at(&p, B, 1, &six, SN_EP_SIGNAL);
		connected6();
		pair_run(&p, 10 * SN_SEC);
		CHECK(p.state >= 1);
		CHECK_EQ(p.s[A].e->counters.AddAddrDrop, p.state);
		CHECK_EQ(p.seen_join, 0);
		end();
	}
}

SN_TEST_MAIN()
