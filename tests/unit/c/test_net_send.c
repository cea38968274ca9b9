/* SPDX-License-Identifier: Apache-2.0
 *
 * Sending: headers, checksums over scattered payload, offload, routes; ICMP echo.
 */
#include "net_fake.h"

static void known_peer(void)
{
	rx_arp(SN_ARP_REQUEST, PEER_IP, OUR_IP, 0, 1);
	fake.sent_count = 0;
}

SN_TEST(headers_and_checksum_are_right_for_payload_in_odd_pieces)
{
	static uint8_t a[700], b[700];
	struct sn_eth eth;
	struct sn_ipv4 ip;
	struct sn_tcp_seg seg;

	fake_start(0, 1, false);
	known_peer();
	for (uint32_t i = 0; i < sizeof a; i++) {
		a[i] = (uint8_t)(i * 7);
		b[i] = (uint8_t)(i * 13 + 1);
	}
	for (uint32_t i = 0; i < 40; i++) {
		fake.sent_count = 0;
		tx_tcp(PEER_IP, a, i, b, 2 * i + 1, -1, 2);
		CHECK_EQ(sent_tcp(0, &eth, &ip, &seg), 20 + 3 * i + 1);
		CHECK(fake.sent[0].flags & SN_TX_CSUM_DONE);
	}
	CHECK_EQ(ip.src, OUR_IP);
	CHECK_EQ(ip.dst, PEER_IP);
	CHECK_EQ(ip.ttl, 64);
	CHECK_EQ(ip.frag, SN_IPV4_DF);
	CHECK_EQ(ip.proto, SN_IP_TCP);
	CHECK_EQ(seg.sport, 33000);
	CHECK_EQ(seg.seq, 7);
	CHECK_MEM(eth.dst, peer_mac, 6);
	fake_stop();
}

SN_TEST(a_payload_sum_given_by_the_caller_is_used)
{
	static uint8_t a[33];
	struct sn_eth eth;
	struct sn_ipv4 ip;
	struct sn_tcp_seg seg;

	fake_start(0, 1, false);
	known_peer();
	memset(a, 0xab, sizeof a);
	tx_tcp(PEER_IP, a, sizeof a, NULL, 0, sn_csum_fold(sn_csum_partial(a, sizeof a, 0)), 2);
	CHECK_EQ(sent_tcp(0, &eth, &ip, &seg), 53);
	fake_stop();
}

SN_TEST(a_port_that_fills_in_checksums_gets_them_as_zero)
{
	fake_start(0, 1, true);
	known_peer();
	tx_tcp(PEER_IP, NULL, 0, NULL, 0, -1, 2);
	CHECK_EQ(fake.sent_count, 1);
	CHECK(!(fake.sent[0].flags & SN_TX_CSUM_DONE));
	CHECK_EQ(sn_get16(fake.sent[0].data + 24), 0);
	CHECK_EQ(sn_get16(fake.sent[0].data + 50), 0);
	fake_stop();
}

SN_TEST(a_frame_that_waited_keeps_its_checksum_state)
{
	struct sn_icmp m = {.type = SN_ICMP_ECHO};
	uint8_t p[60] = {0};

	fake_start(0, 1, true);
	sn_icmp_emit(p + 20, &m, 0);
	tx_tcp(PEER_IP, NULL, 0, NULL, 0, -1, 2);
	rx_raw(fake_mac[0], SN_ETH_IPV4, p, ip_packet(p, PEER_IP, OUR_IP, SN_IP_ICMP, 8), 0, 0, 2);
	CHECK_EQ(fake.sent_count, 1); /* the request */
	rx_arp(SN_ARP_REPLY, PEER_IP, OUR_IP, 0, 3);
	CHECK_EQ(fake.sent_count, 3);
	CHECK(!(fake.sent[1].flags & SN_TX_CSUM_DONE)); /* TCP: left to the port */
	CHECK(fake.sent[2].flags & SN_TX_CSUM_DONE);    /* ICMP: never */
	fake_stop();
}

SN_TEST(echo_requests_are_answered_with_their_data)
{
	struct sn_engine *e = fake_start(0, 1, false);
	struct sn_icmp in, m = {.type = SN_ICMP_ECHO, .id = 77, .seq = 5};
	struct sn_ipv4 ip;
	uint8_t p[1500] = {0};

	known_peer();
	for (uint32_t len = 0; len <= 1472; len += 368) {
		fake.sent_count = 0;
		for (uint32_t i = 0; i < len; i++)
			p[28 + i] = (uint8_t)(i ^ len);
		sn_icmp_emit(p + 20, &m, len);
		rx_raw(fake_mac[0], SN_ETH_IPV4, p, ip_packet(p, PEER_IP, OUR_IP, SN_IP_ICMP, 8 + len), 0, 0, 2);
		REQUIRE(fake.sent_count == 1);
		CHECK_MEM(fake.sent[0].data, peer_mac, 6);
		REQUIRE(sn_ipv4_parse(&ip, fake.sent[0].data + 14, fake.sent[0].len - 14, true));
		CHECK_EQ(ip.src, OUR_IP);
		CHECK_EQ(ip.dst, PEER_IP);
		CHECK(sn_icmp_parse(&in, fake.sent[0].data + 34, ip.total_len - 20u));
		CHECK_EQ(in.type, SN_ICMP_ECHO_REPLY);
		CHECK_EQ(in.id, 77);
		CHECK_EQ(in.seq, 5);
		CHECK_MEM(fake.sent[0].data + 42, p + 28, len);
	}
	CHECK_EQ(e->counters.icmp_echo, 5);
	fake_stop();
}

SN_TEST(other_icmp_is_ignored_and_malformed_icmp_counted)
{
	struct sn_engine *e = fake_start(0, 1, false);
	struct sn_icmp reply = {.type = SN_ICMP_ECHO_REPLY}, timestamp = {.type = 13};
	uint8_t p[60] = {0};

	known_peer();
	sn_icmp_emit(p + 20, &reply, 0);
	rx_raw(fake_mac[0], SN_ETH_IPV4, p, ip_packet(p, PEER_IP, OUR_IP, SN_IP_ICMP, 8), 0, 0, 2);
	sn_icmp_emit(p + 20, &timestamp, 0);
	rx_raw(fake_mac[0], SN_ETH_IPV4, p, ip_packet(p, PEER_IP, OUR_IP, SN_IP_ICMP, 8), 0, 0, 2);
	CHECK_EQ(e->counters.rx_drop_icmp, 0);
	p[25] ^= 1;
	rx_raw(fake_mac[0], SN_ETH_IPV4, p, ip_packet(p, PEER_IP, OUR_IP, SN_IP_ICMP, 8), 0, 0, 2);
	rx_raw(fake_mac[0], SN_ETH_IPV4, p, ip_packet(p, PEER_IP, OUR_IP, SN_IP_ICMP, 7), 0, 0, 2);
	CHECK_EQ(e->counters.rx_drop_icmp, 2);
	CHECK_EQ(fake.sent_count, 0);
	fake_stop();
}

SN_TEST(routes_prefer_the_link_then_a_gateway_and_keep_to_the_source)
{
	struct sn_engine *e = fake_start(0, 1, false);
	struct sn_addr any = {{0}}, any4 = sn_addr_v4(0), a = sn_addr_v4(OUR_IP), b = sn_addr_v4(OUR_IP2);
	struct sn_addr near_b = sn_addr_v4(0x0a000105), far = sn_addr_v4(FAR_IP), v6 = {{0x20, 1}},
		       not_ours = sn_addr_v4(7);

	CHECK_EQ(sn_net_route(e, &any, &near_b), 1);
	CHECK_EQ(sn_net_route(e, &any4, &near_b), 1);
	CHECK_EQ(sn_net_route(e, &any, &far), 0);
	CHECK_EQ(sn_net_route(e, &b, &far), SN_E_NETUNREACH);
	CHECK_EQ(sn_net_route(e, &a, &near_b), 0); /* by its gateway */
	CHECK_EQ(sn_net_route(e, &b, &near_b), 1);
	CHECK_EQ(sn_net_route(e, &not_ours, &far), SN_E_ADDRNOTAVAIL);
	CHECK_EQ(sn_net_route(e, &any, &v6), SN_E_NETUNREACH);
	CHECK_EQ(sn_net_route(e, &any, &any4), SN_E_NETUNREACH);
	static const uint32_t groups[] = {0xe0000001, 0xf0000001, 0xffffffff, 0x0a0001ff};
	for (int i = 0; i < 4; i++) {
		struct sn_addr group = sn_addr_v4(groups[i]);
		CHECK_EQ(sn_net_route(e, &any, &group), SN_E_NETUNREACH);
	}
	CHECK_EQ(sn_net_addr_port(e, &b), 1);
	CHECK_EQ(sn_net_addr_port(e, &far), -1);
	CHECK_EQ(sn_net_port_count(e), 2);
	CHECK_EQ(sn_net_port_mtu(e, 1), 1500);
	CHECK(sn_addr_eq(sn_net_port_addr(e, 1), &b));
	fake_stop();
}

SN_TEST(no_way_out_of_a_port_is_counted)
{
	struct sn_engine *e = fake_start(0, 1, false);
	struct sn_tx tx = {.hdr = fake_alloc(&fake_pool)};
	struct sn_tcp_seg s = {.flags = SN_TH_ACK};
	struct sn_addr src = sn_addr_v4(OUR_IP2), dst = sn_addr_v4(FAR_IP);

	sn_tcp_emit(tx.hdr->data, &s, 0);
	tx.hdr->len = 20;
	sn_net_send_tcp(e, 1, &src, &dst, &tx, -1, 1);
	CHECK_EQ(e->counters.tx_no_route, 1);
	CHECK_EQ(fake.live, 0);
	fake_stop();
}

/* It stands for many frames: nobody keeps it for a neighbour that may never answer. */
SN_TEST(a_unit_with_nowhere_to_go_is_dropped_and_counted)
{
	struct sn_engine *e = fake_start(0, 1, false);
	struct sn_addr src = sn_addr_v4(OUR_IP), away = sn_addr_v4(FAR_IP), near = sn_addr_v4(OUR_IP + 77);
	struct sn_tcp_seg s = {.flags = SN_TH_ACK};
	static uint8_t payload[600];

	for (int i = 0; i < 2; i++) {
		struct sn_tx tx = {.hdr = fake_alloc(&fake_pool), .nref = 1, .seg_size = 300, .segs = 2};
		tx.ref[0].data = payload;
		tx.ref[0].len = sizeof payload;
		sn_tcp_emit(tx.hdr->data, &s, 0);
		tx.hdr->len = 20;
		sn_net_send_unit(e, i ? 0 : 1, &src, i ? &near : &away, &tx, 1);
	}
	CHECK_EQ(e->counters.tx_no_route, 1);
	CHECK_EQ(e->counters.neigh_pending_drop, 1);
	CHECK_EQ(e->counters.tx_units, 0);
	CHECK_EQ(fake.live, 0);
	fake_stop();
}

SN_TEST(ports_with_impossible_settings_are_refused)
{
	struct sn_engine *e = fake_start(0, 1, false);
	struct sn_net_port_cfg good = {.addr = sn_addr_v4(0x0c000001),
				       .prefix = 24,
				       .mtu = 1500,
				       .mac = {2, 0, 0, 0, 0, 5}},
			       c;

#define REFUSED(change, why) \
	c = good;            \
	change;              \
	CHECK_EQ(sn_net_port_add(e, &c), why)
	REFUSED(c.addr = sn_addr_v4(0), SN_E_INVAL);
	REFUSED(c.addr.b[0] = 0x20, SN_E_INVAL);
	REFUSED(c.addr = sn_addr_v4(OUR_IP), SN_E_EXIST);
	REFUSED(c.prefix = 33, SN_E_INVAL);
	REFUSED(c.mtu = 100, SN_E_INVAL);
	REFUSED(c.mac[0] = 1, SN_E_INVAL);
	REFUSED(c.gateway.b[0] = 0x20, SN_E_INVAL);
	for (uint32_t i = 2; i < SN_MAX_PORTS; i++) {
		c = good;
		c.addr = sn_addr_v4(0x0c000001 + i);
		CHECK_EQ(sn_net_port_add(e, &c), i);
	}
	REFUSED((void)c, SN_E_NOSPC);
	struct sn_net_port_cfg back;
	sn_net_port_cfg_get(e, 2, &back);
	CHECK_EQ(back.prefix, 24);
	CHECK_EQ(back.mtu, 1500);
	CHECK_MEM(back.mac, good.mac, 6);
	CHECK(sn_addr_is_any(&back.gateway));
	fake_stop();
}

SN_TEST(an_empty_pool_loses_the_answer_and_nothing_else)
{
	struct sn_engine *e = fake_start(0, 1, false);
	struct sn_buf *b[3];

	known_peer();
	for (uint32_t i = 0; i < 3; i++)
		b[i] = fake_alloc(&fake_pool);
	struct sn_icmp m = {.type = SN_ICMP_ECHO};
	struct sn_arp a = {.op = SN_ARP_REQUEST, .sender = PEER_IP, .target = OUR_IP};
	struct sn_tcp_seg s = {.flags = SN_TH_ACK};
	sn_eth_emit(b[0]->data, fake_mac[0], peer_mac, SN_ETH_IPV4);
	sn_icmp_emit(b[0]->data + 34, &m, 0);
	b[0]->len = 14 + ip_packet(b[0]->data + 14, PEER_IP, OUR_IP, SN_IP_ICMP, 8);
	sn_eth_emit(b[1]->data, fake_mac[0], peer_mac, SN_ETH_ARP);
	sn_arp_emit(b[1]->data + 14, &a);
	b[1]->len = 42;
	sn_eth_emit(b[2]->data, fake_mac[0], peer_mac, SN_ETH_IPV4);
	sn_tcp_emit(b[2]->data + 34, &s, 0);
	b[2]->len = 14 + ip_packet(b[2]->data + 14, PEER_IP, OUR_IP, SN_IP_TCP, 20);
	b[2]->flags = SN_BUF_CSUM_GOOD;
	fake.pool_empty = true;
	for (uint32_t i = 0; i < 3; i++) {
		b[i]->port = 0;
		sn_net_rx(e, &b[i], 1, 2);
	}
	CHECK_EQ(fake.sent_count, 0);
	CHECK_EQ(e->counters.tx_nobuf, 3);
	CHECK_EQ(fake.live, 0);
	fake_stop();
}

SN_TEST_MAIN()
