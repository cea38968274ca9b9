/* SPDX-License-Identifier: Apache-2.0
 *
 * ICMP errors: how they are read, to which flow and which worker they go; the table of path MTUs.
 */
#include "icmp_by_hand.h"
#include "net_fake.h"

static struct sn_addr us(bool v6) { return v6 ? our6() : sn_addr_v4(OUR_IP); }
static struct sn_addr peer(bool v6) { return v6 ? far6() : sn_addr_v4(FAR_IP); }
static struct sn_addr router(bool v6) { return v6 ? addr6(0, 9) : sn_addr_v4(GATEWAY_IP); }

static struct sn_flow flow_to(bool v6, uint16_t lport)
{
	return (struct sn_flow){.local = us(v6), .remote = peer(v6), .lport = lport, .rport = 80};
}

static struct icmp_by_hand too_big(bool v6, uint16_t lport)
{
	return (struct icmp_by_hand){.type = v6 ? 2 : 3,
				     .code = v6 ? 0 : 4,
				     .mtu = 1300,
				     .flow = flow_to(v6, lport),
				     .seq = 0x12345678,
				     .tcp_len = 8};
}

static void rx_error(const struct icmp_by_hand *m, bool v6)
{
	struct sn_addr from = router(v6), to = us(v6);
	uint8_t p[256];
	uint32_t len = icmp_packet(p, m, &from, &to);

	rx_raw(fake_mac[0], v6 ? SN_ETH_IPV6 : SN_ETH_IPV4, p, len, 0, 0, 5);
}

static enum sn_icmp_verdict read_back(struct sn_icmp_error *e, const struct icmp_by_hand *m, bool v6, uint32_t cut)
{
	struct sn_addr from = router(v6), to = us(v6);
	uint8_t p[256];
	uint32_t len = icmp_message(p, m, &from, &to) - cut;
	uint8_t *exact = malloc(len ? len : 1);

	memcpy(exact, p, len);
	enum sn_icmp_verdict v = v6 ? sn_icmp6_error_parse(e, exact, len) : sn_icmp_error_parse(e, exact, len);
	free(exact);
	return v;
}

SN_TEST(icmp_errors_of_every_kind_are_read)
{
	static const struct {
		uint8_t v6, type, code;
		enum sn_icmp_why why;
	} all[] = {
		{0, 3, 0, SN_ICMP_NET_UNREACHABLE}, {0, 3, 1, SN_ICMP_HOST_UNREACHABLE},
		{0, 3, 2, SN_ICMP_REFUSED},         {0, 3, 3, SN_ICMP_REFUSED},
		{0, 3, 4, SN_ICMP_TOO_BIG},         {0, 3, 5, SN_ICMP_HOST_UNREACHABLE},
		{0, 3, 13, SN_ICMP_PROHIBITED},     {0, 11, 0, SN_ICMP_EXPIRED},
		{0, 12, 0, SN_ICMP_PARAMETER},      {1, 1, 0, SN_ICMP_NET_UNREACHABLE},
		{1, 1, 1, SN_ICMP_PROHIBITED},      {1, 1, 3, SN_ICMP_HOST_UNREACHABLE},
		{1, 1, 4, SN_ICMP_REFUSED},         {1, 2, 0, SN_ICMP_TOO_BIG},
		{1, 3, 0, SN_ICMP_EXPIRED},         {1, 4, 1, SN_ICMP_PARAMETER},
	};

	for (uint32_t i = 0; i < sizeof all / sizeof all[0]; i++) {
		struct icmp_by_hand m = too_big(all[i].v6, 40000);
		struct sn_icmp_error e;
		m.type = all[i].type;
		m.code = all[i].code;
		CHECK_EQ(read_back(&e, &m, all[i].v6, 0), SN_ICMP_OK);
		CHECK_EQ(e.why, all[i].why);
		CHECK_EQ(e.mtu, e.why == SN_ICMP_TOO_BIG ? 1300 : 0);
		CHECK_EQ(e.seq, 0x12345678);
		CHECK_EQ(e.sport, 40000);
		CHECK_EQ(e.dport, 80);
		CHECK(sn_addr_eq(&e.src, &m.flow.local) && sn_addr_eq(&e.dst, &m.flow.remote));
	}
	struct icmp_by_hand m = too_big(false, 1);
	struct sn_icmp_error e;
	m.code = 16;
	CHECK_EQ(read_back(&e, &m, false, 0), SN_ICMP_NO_ERROR);
	m.type = 5; /* a redirect */
	CHECK_EQ(read_back(&e, &m, false, 0), SN_ICMP_NO_ERROR);
	m = too_big(true, 1);
	m.type = 1;
	m.code = 7;
	CHECK_EQ(read_back(&e, &m, true, 0), SN_ICMP_NO_ERROR);
	m.type = 130;
	CHECK_EQ(read_back(&e, &m, true, 0), SN_ICMP_NO_ERROR);
}

SN_TEST(icmp_errors_end_within_the_message_at_every_length)
{
	for (int v6 = 0; v6 < 2; v6++)
		for (uint32_t ext = 0; ext <= (v6 ? 16u : 0); ext += 8) {
			struct icmp_by_hand m = too_big(v6, 1);
			struct sn_icmp_error e;
			m.ext = ext;
			uint32_t len = 8 + (v6 ? 40 + ext : 20) + 8;
			CHECK_EQ(read_back(&e, &m, v6, 0), SN_ICMP_OK);
			CHECK_EQ(e.seq, 0x12345678);
			for (uint32_t cut = 1; cut <= len; cut++)
				CHECK_EQ(read_back(&e, &m, v6, cut), SN_ICMP_BAD);
		}
}

SN_TEST(icmp_errors_of_other_packets_are_told_apart)
{
	struct sn_icmp_error e;

	for (int v6 = 0; v6 < 2; v6++) {
		struct icmp_by_hand m = too_big(v6, 1);
		m.proto = 17;
		CHECK_EQ(read_back(&e, &m, v6, 0), SN_ICMP_OTHER);
	}
	struct icmp_by_hand m = too_big(false, 1);
	m.fragment = 0x2001; /* not the first */
	CHECK_EQ(read_back(&e, &m, false, 0), SN_ICMP_OTHER);
	m.fragment = 0x2000;
	CHECK_EQ(read_back(&e, &m, false, 0), SN_ICMP_OK);
	/* A fragment header of IPv6 in front of what would be TCP. */
	struct sn_addr from = router(true), to = us(true);
	uint8_t p[256];
	m = too_big(true, 1);
	m.ext = 8;
	uint32_t len = icmp_message(p, &m, &from, &to);
	p[8 + 6] = 44;
	CHECK_EQ(sn_icmp6_error_parse(&e, p, len), SN_ICMP_OK);
	sn_put16(p + 8 + 42, 8 << 3);
	CHECK_EQ(sn_icmp6_error_parse(&e, p, len), SN_ICMP_OTHER);
	/* Headers without end, and an IP version that is none. */
	memset(p + 8 + 40, 0, 200);
	for (uint32_t i = 0; i < 9; i++)
		p[8 + 40 + 8 * i] = 60;
	p[8 + 6] = 60;
	CHECK_EQ(sn_icmp6_error_parse(&e, p, 8 + 40 + 100), SN_ICMP_BAD);
	p[8] = 0x45;
	CHECK_EQ(sn_icmp6_error_parse(&e, p, 8 + 40 + 100), SN_ICMP_BAD);
	CHECK_EQ(sn_icmp_error_parse(&e, (const uint8_t[48]){3, 4, [8] = 0x44}, 48), SN_ICMP_BAD);
	CHECK_EQ(sn_icmp_error_parse(&e, (const uint8_t[48]){3, 4, [8] = 0x60}, 48), SN_ICMP_BAD);
}

SN_TEST(an_icmp_error_reaches_the_flow_that_it_quotes)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct sn_engine *e = fake_start6(0, 1, false);
		struct sn_tcp *t = (struct sn_tcp *)64;
		struct icmp_by_hand m = too_big(v6, 40000);
		REQUIRE(sn_net_flow_insert(e, &m.flow, t) == SN_OK);
		rx_error(&m, v6);
		CHECK_EQ(fake.errors, 1);
		CHECK(fake.error_tcp == t);
		CHECK_EQ(fake.error.why, SN_ICMP_TOO_BIG);
		CHECK_EQ(fake.error.mtu, 1300);
		CHECK_EQ(e->counters.icmp_error_rx, 1);
		CHECK_EQ(fake.sent_count, 0);
		fake_stop();
	}
}

SN_TEST(icmp_errors_about_nothing_of_ours_are_counted_and_dropped)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct sn_engine *e = fake_start6(0, 1, false);
		struct icmp_by_hand m = too_big(v6, 40000);
		REQUIRE(sn_net_flow_insert(e, &m.flow, (struct sn_tcp *)64) == SN_OK);
		struct icmp_by_hand odd = m;
		odd.flow.rport = 81; /* no such flow */
		rx_error(&odd, v6);
		odd = m;
		odd.proto = 17; /* no TCP */
		rx_error(&odd, v6);
		odd = m;
		odd.flow.local = v6 ? addr6(1, 1) : sn_addr_v4(OUR_IP2); /* sent to another address than the packet's */
		rx_error(&odd, v6);
		CHECK_EQ(e->counters.icmp_error_no_flow, 3);
		odd = m;
		odd.tcp_len = 4;
		rx_error(&odd, v6);
		CHECK_EQ(e->counters.rx_drop_icmp, 1);
		CHECK_EQ(e->counters.icmp_error_rx, 4);
		odd = m;
		odd.type = v6 ? 137 : 5; /* a redirect is no error */
		rx_error(&odd, v6);
		CHECK_EQ(e->counters.icmp_error_rx, 4);
		CHECK_EQ(fake.errors, 0);
		fake_stop();
	}
}

SN_TEST(a_flood_of_icmp_errors_is_looked_at_at_a_bounded_rate)
{
	struct sn_engine *e = fake_start6(0, 1, false);
	struct icmp_by_hand m = too_big(false, 40000);

	REQUIRE(sn_net_flow_insert(e, &m.flow, (struct sn_tcp *)64) == SN_OK);
	for (uint32_t i = 0; i < 3 * SN_ICMP_ERROR_RATE; i++)
		rx_error(&m, false);
	CHECK_EQ(fake.errors, SN_ICMP_ERROR_RATE);
	CHECK_EQ(e->counters.icmp_error_limited, 2 * SN_ICMP_ERROR_RATE);
	fake_stop();
}

SN_TEST(an_icmp_error_about_another_workers_flow_goes_there)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct sn_engine *e = fake_start6(0, 3, false);
		struct icmp_by_hand m = too_big(v6, 32768 + 4096); /* the block of worker 1 */
		rx_error(&m, v6);
		REQUIRE(fake.forwarded_count == 1);
		CHECK_EQ(fake.forwarded[0].worker, 1);
		CHECK_EQ(fake.forwarded[0].b->len, SN_ETH_HDR + (v6 ? 40 + 56 : 20 + 36));
		/* One that was remembered, and one that nobody knows: all are asked. */
		m = too_big(v6, 443);
		REQUIRE(sn_net_forward_learn(e, &m.flow, 2, 1));
		rx_error(&m, v6);
		REQUIRE(fake.forwarded_count == 2);
		CHECK_EQ(fake.forwarded[1].worker, 2);
		m = too_big(v6, 444);
		rx_error(&m, v6);
		REQUIRE(fake.forwarded_count == 3);
		CHECK(fake.forwarded[2].b->flags & SN_BUF_ASKED);
		/* What was forwarded to us is not forwarded on. */
		struct sn_buf *b = fake.forwarded[0].b;
		fake.forwarded[0].b = fake.forwarded[2].b;
		fake.forwarded_count = 2;
		sn_net_rx(e, &b, 1, 6);
		CHECK_EQ(fake.forwarded_count, 2);
		CHECK_EQ(e->counters.icmp_error_no_flow, 1);
		CHECK_EQ(e->counters.icmp_error_rx, 3);
		fake_stop();
	}
}

SN_TEST(path_mtus_are_remembered_for_ten_minutes_by_port_and_destination)
{
	struct sn_engine *e = fake_start6(0, 1, false);
	struct sn_addr a = far6(), b = sn_addr_v4(FAR_IP);

	CHECK_EQ(sn_net_pmtu(e, 0, &a, 1), 1500);
	sn_net_pmtu_learn(e, 0, &a, 1300, 1);
	CHECK_EQ(sn_net_pmtu(e, 0, &a, 1), 1300);
	CHECK_EQ(sn_net_pmtu(e, 1, &a, 1), 1500); /* another way there */
	CHECK_EQ(sn_net_pmtu(e, 0, &b, 1), 1500);
	sn_net_pmtu_learn(e, 0, &a, 1400, 2);
	CHECK_EQ(sn_net_pmtu(e, 0, &a, 2), 1400);
	sn_net_pmtu_learn(e, 0, &b, 9000, 2);
	CHECK_EQ(sn_net_pmtu(e, 0, &b, 2), 1500); /* never more than the port's */
	CHECK_EQ(sn_net_pmtu(e, 0, &a, 1 + SN_PMTU_AGE), 1400);
	CHECK_EQ(sn_net_pmtu(e, 0, &a, 2 + SN_PMTU_AGE), 1500);
	fake_stop();
}

SN_TEST(the_table_of_path_mtus_is_bounded_and_the_oldest_make_room)
{
	struct sn_engine *e = fake_start6(0, 1, false);
	uint32_t known = 0;

	for (uint32_t i = 0; i < 20 * SN_PMTU_MAX; i++) {
		struct sn_addr a = sn_addr_v4(0x0b000000 + i);
		sn_net_pmtu_learn(e, 0, &a, 1300, i + 1);
		CHECK_EQ(sn_net_pmtu(e, 0, &a, i + 1), 1300);
	}
	for (uint32_t i = 0; i < 20 * SN_PMTU_MAX; i++) {
		struct sn_addr a = sn_addr_v4(0x0b000000 + i);
		bool has = sn_net_pmtu(e, 0, &a, 20 * SN_PMTU_MAX) == 1300;
		known += has;
		CHECK(!has || i > 10 * SN_PMTU_MAX);
	}
	CHECK_EQ(known, SN_PMTU_MAX);
	fake_stop();
}

SN_TEST_MAIN()
