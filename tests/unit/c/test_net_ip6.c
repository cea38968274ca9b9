/* SPDX-License-Identifier: Apache-2.0
 *
 * IPv6 in the network layer: what is let in, what leaves, extension headers, checksums, echo, routes, two families on one
 * port.
 */
#include "net_fake.h"

static int tcp_a;

static void known_peer(void)
{
	rx_solicit(peer6(), our6(), 0, 1);
	fake.sent_count = 0;
}

static struct sn_flow flow6(uint16_t lport, uint16_t rport)
{
	return (struct sn_flow){.local = our6(), .remote = peer6(), .lport = lport, .rport = rport};
}

/* An engine with a flow 33000 <-> 80 of the peer. */
static struct sn_engine *start_with_flow(void)
{
	struct sn_engine *e = fake_start6(0, 1, false);
	struct sn_flow f = flow6(33000, 80);

	CHECK_EQ(sn_net_flow_insert(e, &f, (struct sn_tcp *)&tcp_a), SN_OK);
	return e;
}

static void rx_packet(const uint8_t *p, uint32_t len, uint8_t flags)
{
	rx_raw(fake_mac[0], SN_ETH_IPV6, p, len, 0, flags, 2);
}

SN_TEST(a_segment_reaches_its_flow_with_its_payload)
{
	struct sn_engine *e = start_with_flow();
	struct sn_addr us = our6(), peer = peer6();
	uint8_t p[1600] = {0};

	for (uint32_t payload = 0; payload <= 1440; payload += 96) {
		fake.inputs = 0;
		uint32_t n = tcp6_packet(p, &peer, &us, 80, 33000, SN_TH_ACK, payload);
		rx_packet(p, n + 4, 0); /* Ethernet padding behind it is fine */
		CHECK_EQ(fake.inputs, 1);
		CHECK(fake.input_tcp == (struct sn_tcp *)&tcp_a);
		CHECK_EQ(fake.input_len, payload);
		CHECK_EQ(fake.input_first, payload ? 1 : 0);
		CHECK_EQ(fake.input_seg.seq, 1000);
	}
	CHECK_EQ(e->counters.rx_drop_tcp, 0);
	fake_stop();
}

SN_TEST(flows_that_differ_in_any_part_of_the_remote_address_are_told_apart)
{
	struct sn_engine *e = fake_start6(0, 1, false);
	struct sn_addr us = our6();
	uint8_t p[100] = {0};
	uint64_t base = 0;
	int mark[128];

	for (uint32_t bit = 8; bit < 128; bit++) { /* the first byte stays: it says what kind of address it is */
		struct sn_flow f = flow6(33000, 80);
		f.remote.b[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
		uint64_t hash = sn_demux_hash(e, &f);
		CHECK(hash != base);
		base = hash;
		CHECK_EQ(sn_net_flow_insert(e, &f, (struct sn_tcp *)&mark[bit]), SN_OK);
	}
	for (uint32_t bit = 8; bit < 128; bit++) {
		struct sn_addr peer = peer6();
		peer.b[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
		if (sn_net_addr_port(e, &peer) >= 0)
			continue;
		rx_packet(p, tcp6_packet(p, &peer, &us, 80, 33000, SN_TH_ACK, 1), 0);
		CHECK(fake.input_tcp == (struct sn_tcp *)&mark[bit]);
	}
	CHECK(fake.inputs >= 118);
	fake_stop();
}

SN_TEST(congestion_experienced_is_seen_in_the_traffic_class)
{
	struct sn_addr us = our6(), peer = peer6();
	uint8_t p[1600] = {0};

	start_with_flow();
	uint32_t n = tcp6_packet(p, &peer, &us, 80, 33000, SN_TH_ACK, 10);
	rx_packet(p, n, 0);
	CHECK(!(fake.input_flags & SN_BUF_CE));
	p[1] = 0x20; /* ECT(0), low half of the traffic class */
	rx_packet(p, n, 0);
	CHECK(!(fake.input_flags & SN_BUF_CE));
	p[1] = 0x30;
	rx_packet(p, n, 0);
	CHECK(fake.input_flags & SN_BUF_CE);
	CHECK_EQ(fake.inputs, 3);
	fake_stop();
}

SN_TEST(a_bad_checksum_is_dropped_unless_the_port_vouches_for_it)
{
	struct sn_engine *e = start_with_flow();
	struct sn_addr us = our6(), peer = peer6();
	uint8_t p[200] = {0};
	uint32_t n = tcp6_packet(p, &peer, &us, 80, 33000, SN_TH_ACK, 33);

	for (uint32_t at = 8; at < n; at += 5) { /* the addresses count too */
		p[at] ^= 0x10;
		rx_packet(p, n, 0);
		p[at] ^= 0x10;
	}
	CHECK_EQ(fake.inputs, 0);
	CHECK(e->counters.rx_drop_tcp > 0);
	p[n - 1] ^= 1;
	rx_packet(p, n, SN_BUF_CSUM_GOOD);
	CHECK_EQ(fake.inputs, 1);
	fake_stop();
}

SN_TEST(who_sends_from_where_nobody_can_be_is_dropped)
{
	struct sn_engine *e = start_with_flow();
	struct sn_addr us = our6(), peer = peer6(), second = addr6(1, 1);
	struct sn_addr bad[] = {
		{{0}},                    /* nobody */
		{{[15] = 1}},             /* loopback */
		{{[0] = 0xff, [15] = 1}}, /* a group */
		router6(),                /* of this link only */
		us,                       /* ourselves */
		second,                   /* likewise, on another port */
		sn_addr_v4(PEER_IP),      /* would be taken for an IPv4 flow */
		sn_addr_v4(0),
	};
	uint8_t p[100] = {0};

	for (uint32_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		rx_packet(p, tcp6_packet(p, &bad[i], &us, 80, 33000, SN_TH_ACK, 3), 0);
		CHECK_EQ(e->counters.rx_drop_ip, i + 1);
	}
	CHECK_EQ(fake.inputs, 0);
	CHECK_EQ(fake.sent_count, 0); /* and no RST either */
	rx_packet(p, tcp6_packet(p, &peer, &us, 80, 33000, SN_TH_ACK, 3), 0);
	CHECK_EQ(fake.inputs, 1);
	fake_stop();
}

SN_TEST(an_ipv6_packet_with_mapped_addresses_does_not_reach_the_ipv4_flow)
{
	struct sn_engine *e = fake_start6(0, 1, false);
	struct sn_flow f = flow_of(33000, 80);
	struct sn_addr us = sn_addr_v4(OUR_IP), peer = sn_addr_v4(PEER_IP);
	uint8_t p[100] = {0};

	CHECK_EQ(sn_net_flow_insert(e, &f, (struct sn_tcp *)&tcp_a), SN_OK);
	rx_packet(p, tcp6_packet(p, &peer, &us, 80, 33000, SN_TH_ACK, 3), 0);
	peer = peer6(); /* nor does one that has only ours mapped start anything */
	rx_packet(p, tcp6_packet(p, &peer, &us, 80, 33000, SN_TH_SYN, 0), 0);
	CHECK_EQ(e->counters.rx_drop_ip, 2);
	CHECK_EQ(fake.syns, 0);
	CHECK_EQ(fake.inputs, 0);
	rx_tcp(80, 33000, SN_TH_ACK, 3, 0, 0, 3);
	CHECK_EQ(fake.inputs, 1);
	fake_stop();
}

SN_TEST(what_is_not_for_us_is_dropped_and_counted)
{
	struct sn_engine *e = start_with_flow();
	struct sn_addr peer = peer6(), other = addr6(0, 9), all = sn_ipv6_all_nodes(), us = our6();
	struct sn_addr none = {0}, group = sn_ipv6_solicited_node(&us), link = {{[0] = 0xfe, [1] = 0x80, [15] = 1}};
	struct sn_addr dst[] = {other, all, group, none, link};
	static const uint8_t mdns[6] = {0x33, 0x33, 0, 0, 0, 0xfb}, near_miss[6] = {0x33, 0x33, 0xff, 0, 0, 9};
	uint8_t p[100] = {0}, mac[6];

	for (uint32_t i = 0; i < 5; i++)
		rx_packet(p, tcp6_packet(p, &peer, &dst[i], 80, 33000, SN_TH_ACK, 3), 0);
	CHECK_EQ(e->counters.rx_drop_ip, 5);
	uint32_t n = tcp6_packet(p, &peer, &us, 80, 33000, SN_TH_ACK, 3);
	rx_raw(mdns, SN_ETH_IPV6, p, n, 0, 0, 2);
	rx_raw(near_miss, SN_ETH_IPV6, p, n, 0, 0, 2);
	rx_raw(all_ones, SN_ETH_IPV6, p, n, 0, 0, 2);
	CHECK_EQ(e->counters.rx_drop_eth, 3);
	sn_ipv6_group_mac(mac, &all); /* TCP to all is nonsense whatever its address says */
	rx_raw(mac, SN_ETH_IPV6, p, n, 0, 0, 2);
	CHECK_EQ(e->counters.rx_drop_proto, 1);
	p[6] = 17;
	rx_packet(p, n, 0);
	CHECK_EQ(e->counters.rx_drop_proto, 2);
	CHECK_EQ(fake.inputs, 0);
	CHECK_EQ(fake.sent_count, 0);
	fake_stop();
}

SN_TEST(a_port_without_ipv6_takes_none_and_one_without_ipv4_likewise)
{
	struct sn_engine *e = fake_start(0, 1, false);
	struct sn_net_port_cfg six = {.addr6 = addr6(7, 1), .prefix6 = 64, .mtu = 1280, .mac = {2, 0, 0, 0, 0, 7}};
	struct sn_addr us = our6(), peer = peer6();
	uint8_t p[100] = {0};

	rx_packet(p, tcp6_packet(p, &peer, &us, 80, 33000, SN_TH_ACK, 3), 0);
	rx_solicit(peer, us, 0, 1);
	CHECK_EQ(e->counters.rx_drop_eth, 2);
	CHECK_EQ(sn_net_port_add(e, &six), 2);
	struct sn_arp a = {.op = SN_ARP_REQUEST, .sender = PEER_IP, .target = 0, .sender_mac = {2, 0, 0, 0, 1, 0}};
	sn_arp_emit(p, &a);
	rx_raw(six.mac, SN_ETH_ARP, p, SN_ARP_LEN, 2, 0, 1);
	CHECK_EQ(fake.sent_count, 0);
	CHECK_EQ(e->net.neighs.used, 0);
	memset(p, 0, sizeof p);
	uint32_t n = ip_packet(p, PEER_IP, 0, SN_IP_TCP, 20);
	rx_raw(six.mac, SN_ETH_IPV4, p, n, 2, 0, 1);
	CHECK_EQ(e->counters.rx_drop_ip, 1);
	fake_stop();
}

/* Puts `ext` between the IPv6 header and a good segment. Returns the packet's length. */
static uint32_t with_ext(uint8_t *p, uint8_t first, const uint8_t *ext, uint32_t ext_len)
{
	struct sn_addr us = our6(), peer = peer6();
	uint32_t n = tcp6_packet(p, &peer, &us, 80, 33000, SN_TH_ACK, 5);

	memmove(p + 40 + ext_len, p + 40, n - 40);
	memcpy(p + 40, ext, ext_len);
	p[6] = first;
	sn_put16(p + 4, (uint16_t)(n - 40 + ext_len));
	return n + ext_len;
}

SN_TEST(extension_headers_are_stepped_over)
{
	struct sn_engine *e = start_with_flow();
	/* Hop-by-hop with a router alert, destination options with PadN, routing with none left, atomic fragment. */
	static const uint8_t ext[] = {60, 0, 5, 2, 0,  0, 1, 0, 43, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0,
				      0,  0, 0, 0, 44, 0, 0, 0, 0,  0, 0, 0,  6, 0, 0, 0, 1, 2, 3, 4};
	uint8_t p[300] = {0};

	rx_packet(p, with_ext(p, 0, ext, sizeof ext), 0);
	CHECK_EQ(fake.inputs, 1);
	CHECK_EQ(fake.input_len, 5);
	CHECK_EQ(fake.input_first, 1);
	CHECK_EQ(e->counters.rx_drop_ip, 0);
	fake_stop();
}

SN_TEST(extension_headers_that_are_wrong_too_many_or_demand_it_drop_the_packet)
{
	struct sn_engine *e = start_with_flow();
	static const struct {
		uint8_t first, ext[24];
		uint32_t len;
	} bad[] = {
		{0, {6, 0, 0xc2, 4, 0, 1, 0, 0}, 8},            /* a jumbogram */
		{60, {6, 0, 0x40, 4, 0, 0, 0, 0}, 8},           /* an option that must be understood */
		{60, {6, 0, 1, 5, 0, 0, 0, 0}, 8},              /* an option beyond its header */
		{60, {6, 0, 0, 0, 0, 0, 0, 1}, 8},              /* an option without length */
		{60, {6, 9, 1, 4, 0, 0, 0, 0}, 8},              /* a header beyond the packet */
		{43, {6, 0, 0, 1, 0, 0, 0, 0}, 8},              /* a route to go on */
		{60, {0, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4}, 16}, /* hop-by-hop is not the first */
	};
	uint8_t p[300] = {0}, many[72];

	for (uint32_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		rx_packet(p, with_ext(p, bad[i].first, bad[i].ext, bad[i].len), 0);
		CHECK_EQ(e->counters.rx_drop_ip, i + 1);
	}
	uint64_t before = e->counters.rx_drop_ip;
	for (uint32_t i = 0; i < sizeof many; i += 8)
		memcpy(many + i, (uint8_t[]){i == 64 ? 6 : 60, 0, 1, 4, 0, 0, 0, 0}, 8);
	rx_packet(p, with_ext(p, 60, many + 8, 64), 0);
	CHECK_EQ(fake.inputs, 1); /* eight are the most */
	rx_packet(p, with_ext(p, 60, many, 72), 0);
	CHECK_EQ(fake.inputs, 1);
	CHECK_EQ(e->counters.rx_drop_ip, before + 1);
	fake_stop();
}

SN_TEST(headers_and_checksum_of_what_leaves_are_right_for_payload_in_odd_pieces)
{
	static uint8_t a[700], b[700];
	struct sn_addr us = our6(), peer = peer6();
	struct sn_eth eth;
	struct sn_ip ip;
	struct sn_tcp_seg seg;

	fake_start6(0, 1, false);
	known_peer();
	for (uint32_t i = 0; i < sizeof a; i++) {
		a[i] = (uint8_t)(i * 7);
		b[i] = (uint8_t)(i * 13 + 1);
	}
	for (uint32_t i = 0; i < 40; i++) {
		fake.sent_count = 0;
		tx_tcp6(peer, a, i, b, 2 * i + 1, 2);
		CHECK_EQ(sent_tcp6(0, &eth, &ip, &seg), 20 + 3 * i + 1);
		CHECK_EQ(fake.sent[0].flags, SN_TX_CSUM_DONE | SN_TX_IPV6);
	}
	CHECK(sn_addr_eq(&ip.src, &us));
	CHECK(sn_addr_eq(&ip.dst, &peer));
	CHECK_EQ(ip.ttl, 64);
	CHECK_EQ(ip.tos, 0);
	CHECK_EQ(sn_get32(fake.sent[0].data + 14), 0x60000000);
	CHECK_EQ(seg.sport, 33000);
	CHECK_EQ(seg.seq, 7);
	CHECK_MEM(eth.dst, peer_mac, 6);
	fake_stop();
}

SN_TEST(a_port_that_fills_in_checksums_is_told_the_family)
{
	fake_start6(0, 1, true);
	known_peer();
	tx_tcp6(peer6(), NULL, 0, NULL, 0, 2);
	REQUIRE(fake.sent_count == 1);
	CHECK_EQ(fake.sent[0].flags, SN_TX_IPV6);
	CHECK_EQ(sn_get16(fake.sent[0].data + 70), 0);
	CHECK_EQ(fake.sent[0].l3_off, 14);
	CHECK_EQ(fake.sent[0].l4_off, 54);
	fake_stop();
}

SN_TEST(a_frame_that_waited_keeps_family_offsets_and_checksum_state)
{
	fake_start6(0, 1, true);
	tx_tcp6(peer6(), NULL, 0, NULL, 0, 2);
	tx_tcp(PEER_IP, NULL, 0, NULL, 0, -1, 2);
	rx_advertise(peer6(), peer_mac, SN_ND_SOLICITED | SN_ND_OVERRIDE, 0, 3);
	rx_arp(SN_ARP_REPLY, PEER_IP, OUR_IP, 0, 3);
	REQUIRE(fake.sent_count == 4);
	CHECK_EQ(fake.sent[2].flags, SN_TX_IPV6);
	CHECK_EQ(fake.sent[2].l4_off, 54);
	CHECK_EQ(sn_get16(fake.sent[2].data + 12), SN_ETH_IPV6);
	CHECK_EQ(fake.sent[3].flags, 0);
	CHECK_EQ(fake.sent[3].l4_off, 34);
	CHECK_EQ(sn_get16(fake.sent[3].data + 12), SN_ETH_IPV4);
	fake_stop();
}

SN_TEST(a_segment_without_connection_is_answered_with_rst)
{
	struct sn_addr us = our6(), peer = peer6();
	struct sn_eth eth;
	struct sn_ip ip;
	struct sn_tcp_seg seg;
	uint8_t p[100] = {0};

	fake_start6(0, 1, false);
	known_peer();
	rx_packet(p, tcp6_packet(p, &peer, &us, 80, 33000, SN_TH_ACK, 3), 0);
	sent_tcp6(0, &eth, &ip, &seg);
	CHECK(seg.flags & SN_TH_RST);
	CHECK_EQ(seg.seq, 2000);
	CHECK_EQ(seg.dport, 80);
	fake_stop();
}

/* An echo request from `src` to `dst`, whose data stands at p + 48. */
static uint32_t echo6(uint8_t *p, struct sn_addr src, struct sn_addr dst, uint8_t type, uint32_t len)
{
	struct sn_icmp6 m = {.type = type, .id = 77, .seq = 5};

	sn_icmp6_emit(p + 40, &m, &src, &dst, len);
	return ip6_packet(p, &src, &dst, SN_IP_ICMP6, 64, 8 + len);
}

SN_TEST(echo_requests_are_answered_with_their_data)
{
	struct sn_engine *e = fake_start6(0, 1, false);
	struct sn_addr us = our6(), peer = peer6();
	struct sn_icmp6 in;
	struct sn_eth eth;
	struct sn_ip ip;
	uint8_t p[1500] = {0};

	known_peer();
	for (uint32_t len = 0; len <= 1452; len += 363) {
		fake.sent_count = 0;
		for (uint32_t i = 0; i < len; i++)
			p[48 + i] = (uint8_t)(i ^ len);
		rx_packet(p, echo6(p, peer, us, SN_ICMP6_ECHO, len), 0);
		const uint8_t *m = sent_ip6(0, &eth, &ip);
		CHECK_MEM(eth.dst, peer_mac, 6);
		CHECK(sn_addr_eq(&ip.src, &us));
		CHECK(sn_addr_eq(&ip.dst, &peer));
		REQUIRE(sn_icmp6_parse(&in, &ip, m, ip.total_len - 40u));
		CHECK_EQ(in.type, SN_ICMP6_ECHO_REPLY);
		CHECK_EQ(in.id, 77);
		CHECK_EQ(in.seq, 5);
		CHECK_MEM(m + 8, p + 48, len);
		CHECK_EQ(fake.sent[0].flags, SN_TX_CSUM_DONE | SN_TX_IPV6);
	}
	CHECK_EQ(e->counters.icmp6_echo, 5);
	CHECK_EQ(e->counters.icmp_echo, 0);
	fake_stop();
}

SN_TEST(echo_to_groups_errors_and_the_unknown_are_not_answered)
{
	struct sn_engine *e = fake_start6(0, 1, false);
	struct sn_addr us = our6(), peer = peer6(), all = sn_ipv6_all_nodes(), none = {0};
	uint8_t p[100] = {0}, mac[6];

	known_peer();
	sn_ipv6_group_mac(mac, &all);
	rx_raw(mac, SN_ETH_IPV6, p, echo6(p, peer, all, SN_ICMP6_ECHO, 8), 0, 0, 2);
	rx_packet(p, echo6(p, none, us, SN_ICMP6_ECHO, 8), 0);
	for (uint32_t type = 0; type < 256; type++) {
		if (type == SN_ICMP6_ECHO || type == SN_ICMP6_SOLICIT || type == SN_ICMP6_ADVERTISE)
			continue;
		if (type >= 1 && type <= 4) /* an error that quotes nothing is malformed: test_net_icmp_error.c */
			continue;
		rx_packet(p, echo6(p, peer, us, (uint8_t)type, 8), 0);
	}
	struct sn_icmp6 odd = {.type = SN_ICMP6_ECHO, .code = 1};
	sn_icmp6_emit(p + 40, &odd, &peer, &us, 8);
	rx_packet(p, ip6_packet(p, &peer, &us, SN_IP_ICMP6, 64, 16), 0);
	CHECK_EQ(e->counters.rx_drop_icmp, 0);
	uint32_t n = echo6(p, peer, us, SN_ICMP6_ECHO, 8);
	p[50] ^= 1;
	rx_packet(p, n, SN_BUF_CSUM_GOOD);
	CHECK_EQ(e->counters.rx_drop_icmp, 1);
	CHECK_EQ(fake.sent_count, 0);
	fake_stop();
}

SN_TEST(a_flood_of_echo_requests_is_answered_at_a_bounded_rate)
{
	struct sn_engine *e = fake_start6(0, 1, false);
	uint8_t p[100] = {0};

	known_peer();
	uint32_t n = echo6(p, peer6(), our6(), SN_ICMP6_ECHO, 8);
	for (uint32_t i = 0; i < 3 * SN_ECHO_RATE; i++) {
		fake.sent_count = 0;
		rx_packet(p, n, 0);
	}
	CHECK_EQ(e->counters.icmp6_echo, SN_ECHO_RATE);
	CHECK_EQ(e->counters.icmp_limited, 2 * SN_ECHO_RATE);
	fake_stop();
}

SN_TEST(routes_keep_to_the_family_of_the_destination)
{
	struct sn_engine *e = fake_start6(0, 1, false);
	struct sn_addr any6 = {0}, any4 = sn_addr_v4(0), our4 = sn_addr_v4(OUR_IP), us = our6(), second = addr6(1, 1);
	struct sn_addr near = addr6(1, 77), far = far6(), peer4 = sn_addr_v4(PEER_IP), router = router6(), hop;
	struct sn_addr group = sn_ipv6_all_nodes(), loopback = {{[15] = 1}};

	CHECK_EQ(sn_net_route(e, &any6, &near), 1);
	CHECK_EQ(sn_net_route(e, &any4, &near), 1);
	CHECK_EQ(sn_net_route(e, &any6, &far), 0);
	CHECK_EQ(sn_net_route(e, &us, &near), 0); /* by its gateway */
	CHECK_EQ(sn_net_route(e, &second, &far), SN_E_NETUNREACH);
	CHECK_EQ(sn_net_route(e, &our4, &near), SN_E_ADDRNOTAVAIL);
	CHECK_EQ(sn_net_route(e, &us, &peer4), SN_E_ADDRNOTAVAIL);
	CHECK_EQ(sn_net_route(e, &near, &far), SN_E_ADDRNOTAVAIL);
	CHECK_EQ(sn_net_route(e, &any6, &router), SN_E_NETUNREACH); /* link-local peers are none of ours */
	CHECK_EQ(sn_net_route(e, &any6, &group), SN_E_NETUNREACH);
	CHECK_EQ(sn_net_route(e, &any6, &loopback), SN_E_NETUNREACH);
	CHECK_EQ(sn_net_route(e, &any6, &any6), SN_E_NETUNREACH);
	CHECK(sn_net_next_hop(e, 0, &far, &hop) && sn_addr_eq(&hop, &router));
	CHECK(sn_net_next_hop(e, 1, &near, &hop) && sn_addr_eq(&hop, &near));
	CHECK(!sn_net_next_hop(e, 1, &far, &hop));
	CHECK(sn_net_next_hop(e, 1, &router, &hop) && sn_addr_eq(&hop, &router)); /* on every link, to answer there */
	CHECK(sn_addr_eq(sn_net_source(e, 1, &near), &second));
	CHECK(sn_addr_eq(sn_net_source(e, 0, &peer4), &our4));
	CHECK_EQ(sn_net_addr_slot(e, &our4), 0);
	CHECK_EQ(sn_net_addr_slot(e, &us), 1);
	CHECK_EQ(sn_net_addr_slot(e, &second), 3);
	CHECK_EQ(sn_net_addr_slot(e, &any6), -1);
	CHECK_EQ(sn_net_addr_slot(e, &far), -1);
	CHECK_EQ(sn_net_addr_port(e, &second), 1);
	tx_tcp6(router6(), NULL, 0, NULL, 0, 1);
	CHECK_EQ(e->counters.tx_no_route, 0);
	fake_stop();
}

SN_TEST(no_way_out_of_a_port_is_counted)
{
	struct sn_engine *e = fake_start(0, 1, false);

	tx_tcp6(peer6(), NULL, 0, NULL, 0, 1);
	CHECK_EQ(e->counters.tx_no_route, 1);
	fake_stop();
}

SN_TEST(prefixes_are_compared_to_the_bit_in_both_families)
{
	struct sn_addr a = addr6(0x1234, 1), b;

	for (uint32_t bit = 0; bit < 128; bit++) {
		b = a;
		b.b[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
		for (uint32_t prefix = 0; prefix <= 128; prefix++)
			CHECK_EQ(sn_addr_on_link(&a, &b, prefix), prefix <= bit);
	}
	a = sn_addr_v4(0x0a0000ff);
	b = sn_addr_v4(0x0a0000fe);
	CHECK(sn_addr_on_link(&a, &b, 96 + 31));
	CHECK(!sn_addr_on_link(&a, &b, 96 + 32));
}

SN_TEST(ports_with_impossible_ipv6_settings_are_refused_and_good_ones_are_kept)
{
	struct sn_engine *e = fake_start(0, 1, false);
	const struct sn_net_port_cfg good = {
		.addr6 = addr6(7, 1), .prefix6 = 64, .gateway6 = router6(), .mtu = 1280, .mac = {2, 0, 0, 0, 0, 7}};
	struct sn_net_port_cfg c = good, back;
	struct sn_addr bad[] = {router6(), {{[0] = 0xff, [15] = 1}}, {{[15] = 1}}, sn_addr_v4(0x0b000001)};

	for (uint32_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		c.addr6 = bad[i];
		CHECK_EQ(sn_net_port_add(e, &c), SN_E_INVAL);
	}
	c = good;
	c.mtu = 1279;
	CHECK_EQ(sn_net_port_add(e, &c), SN_E_INVAL);
	c = good;
	c.prefix6 = 129;
	CHECK_EQ(sn_net_port_add(e, &c), SN_E_INVAL);
	c = good;
	c.gateway6 = sn_addr_v4(GATEWAY_IP);
	CHECK_EQ(sn_net_port_add(e, &c), SN_E_INVAL);
	c.gateway6 = sn_ipv6_all_nodes();
	CHECK_EQ(sn_net_port_add(e, &c), SN_E_INVAL);
	c = good;
	memset(&c.addr6, 0, sizeof c.addr6);
	CHECK_EQ(sn_net_port_add(e, &c), SN_E_INVAL); /* neither family */
	CHECK_EQ(sn_net_port_add(e, &good), 2);
	CHECK_EQ(sn_net_port_add(e, &good), SN_E_EXIST);
	sn_net_port_cfg_get(e, 2, &back);
	CHECK_MEM(&back, &good, sizeof good);
	CHECK(sn_addr_eq(sn_net_port_addr(e, 2), &good.addr6));
	fake_stop();
}

SN_TEST_MAIN()
