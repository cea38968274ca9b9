/* SPDX-License-Identifier: Apache-2.0
 *
 * Checksums, Ethernet, ARP, IPv4, IPv6, ICMP, ICMPv6 codecs.
 */
#include "sn_test.h"
#include "wire/arp.h"
#include "wire/checksum.h"
#include "wire/eth.h"
#include "wire/icmp.h"
#include "wire/icmp6.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/vlan.h"

/* RFC 1071 section 1, word by word. */
static uint16_t slow_sum(const uint8_t *p, size_t n)
{
	uint64_t s = 0;

	for (size_t i = 0; i < n; i++)
		s += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (uint16_t)s;
}

static void fill(uint8_t *p, size_t n, uint32_t x)
{
	for (size_t i = 0; i < n; i++) {
		x = x * 1664525 + 1013904223;
		p[i] = (uint8_t)(x >> 24);
	}
}

SN_TEST(sum_equals_the_definition_for_every_length_and_alignment)
{
	static uint8_t b[2100];

	fill(b, sizeof b, 3);
	for (size_t n = 0; n <= 2048; n++)
		for (size_t at = 0; at < 4; at++)
			CHECK_EQ(sn_csum_fold(sn_csum_partial(b + at, n, 0)), slow_sum(b + at, n));
}

SN_TEST(sum_of_all_ones_does_not_overflow)
{
	static uint8_t b[65536];

	memset(b, 0xff, sizeof b);
	CHECK_EQ(sn_csum_fold(sn_csum_partial(b, sizeof b, 0)), 0xffff);
	CHECK_EQ(sn_csum_fold(sn_csum_partial(b, sizeof b - 1, 0)), slow_sum(b, sizeof b - 1));
	CHECK_EQ(sn_csum_fold(0xffffffff), 0xffff);
}

SN_TEST(pieces_join_at_odd_and_even_offsets)
{
	uint8_t b[300];

	fill(b, sizeof b, 9);
	for (size_t i = 0; i <= 100; i++) {
		for (size_t k = i; k <= 200; k += 7) {
			uint32_t sum = sn_csum_join(0, sn_csum_partial(b, i, 0), 0);
			sum = sn_csum_join(sum, sn_csum_partial(b + i, k - i, 0), i);
			sum = sn_csum_join(sum, sn_csum_partial(b + k, sizeof b - k, 0), k);
			CHECK_EQ(sn_csum_fold(sum), slow_sum(b, sizeof b));
		}
	}
}

SN_TEST(example_of_rfc_1071)
{
	static const uint8_t b[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};

	CHECK_EQ(sn_csum_fold(sn_csum_partial(b, sizeof b, 0)), 0xddf2);
	CHECK_EQ(sn_csum_finish(sn_csum_partial(b, sizeof b, 0)), 0x220d);
}

SN_TEST(ethernet_survives_and_is_refused_when_short)
{
	uint8_t p[14], dst[6] = {1, 2, 3, 4, 5, 6}, src[6] = {7, 8, 9, 10, 11, 12};
	struct sn_eth h;

	sn_eth_emit(p, dst, src, SN_ETH_ARP);
	CHECK(sn_eth_parse(&h, p, 14));
	CHECK_MEM(h.dst, dst, 6);
	CHECK_MEM(h.src, src, 6);
	CHECK_EQ(h.type, SN_ETH_ARP);
	for (uint32_t n = 0; n < 14; n++)
		CHECK(!sn_eth_parse(&h, p, n));
}

SN_TEST(arp_survives_and_foreign_formats_are_refused)
{
	uint8_t p[28];
	struct sn_arp in, out = {.op = SN_ARP_REPLY,
				 .sender = 0x0a000001,
				 .target = 0x0a000002,
				 .sender_mac = {2, 0, 0, 0, 0, 1},
				 .target_mac = {2, 0, 0, 0, 0, 2}};

	sn_arp_emit(p, &out);
	CHECK(sn_arp_parse(&in, p, 28));
	CHECK_EQ(in.op, SN_ARP_REPLY);
	CHECK_EQ(in.sender, out.sender);
	CHECK_EQ(in.target, out.target);
	CHECK_MEM(in.sender_mac, out.sender_mac, 6);
	CHECK_MEM(in.target_mac, out.target_mac, 6);
	for (uint32_t n = 0; n < 28; n++)
		CHECK(!sn_arp_parse(&in, p, n));
	for (uint32_t i = 0; i < 8; i++) { /* hardware, protocol, lengths, opcode */
		uint8_t bad[28];
		memcpy(bad, p, 28);
		bad[i] ^= 0x40;
		CHECK(!sn_arp_parse(&in, bad, 28));
	}
}

SN_TEST(ipv4_survives_with_a_good_checksum)
{
	uint8_t p[100] = {0};
	struct sn_ipv4 in, out = {.src = 0xc0a80001,
				  .dst = 0x0a0b0c0d,
				  .total_len = 90,
				  .id = 0xfffe,
				  .frag = SN_IPV4_DF,
				  .ttl = 64,
				  .proto = SN_IP_TCP,
				  .tos = 0x10};

	sn_ipv4_emit(p, &out, true);
	CHECK_EQ(slow_sum(p, 20), 0xffff);
	CHECK(sn_ipv4_parse(&in, p, sizeof p, true)); /* Ethernet padding behind it is fine */
	CHECK_EQ(in.src, out.src);
	CHECK_EQ(in.dst, out.dst);
	CHECK_EQ(in.total_len, 90);
	CHECK_EQ(in.hdr_len, 20);
	CHECK_EQ(in.id, out.id);
	CHECK_EQ(in.frag, out.frag);
	CHECK_EQ(in.ttl, 64);
	CHECK_EQ(in.proto, SN_IP_TCP);
	CHECK_EQ(in.tos, 0x10);
	p[8]--;
	CHECK(!sn_ipv4_parse(&in, p, sizeof p, true));
	CHECK(sn_ipv4_parse(&in, p, sizeof p, false));
}

SN_TEST(ipv4_of_inconsistent_lengths_is_refused)
{
	uint8_t p[60] = {0};
	struct sn_ipv4 in, out = {.src = 1, .dst = 2, .total_len = 60, .ttl = 1, .proto = 6};

	sn_ipv4_emit(p, &out, false);
	for (uint32_t n = 0; n < 60; n++)
		CHECK(!sn_ipv4_parse(&in, p, n, false));
	CHECK(sn_ipv4_parse(&in, p, 60, false));
	p[0] = 0x44; /* header below 20 */
	CHECK(!sn_ipv4_parse(&in, p, 60, false));
	p[0] = 0x4f; /* 60 bytes of header: nothing behind it */
	CHECK(sn_ipv4_parse(&in, p, 60, false));
	CHECK_EQ(in.hdr_len, 60);
	p[3] = 59; /* total length below the header */
	CHECK(!sn_ipv4_parse(&in, p, 60, false));
	p[0] = 0x65;
	CHECK(!sn_ipv4_parse(&in, p, 60, false));
}

SN_TEST(icmp_echo_survives_and_bad_checksums_are_refused)
{
	uint8_t p[21];
	struct sn_icmp in, out = {.type = SN_ICMP_ECHO, .id = 0x1234, .seq = 0x5678};

	for (uint32_t data = 0; data <= 13; data++) {
		fill(p, sizeof p, data);
		sn_icmp_emit(p, &out, data);
		CHECK(sn_icmp_parse(&in, p, 8 + data));
		CHECK_EQ(in.type, SN_ICMP_ECHO);
		CHECK_EQ(in.id, 0x1234);
		CHECK_EQ(in.seq, 0x5678);
		p[0] ^= 1;
		CHECK(!sn_icmp_parse(&in, p, 8 + data));
	}
	for (uint32_t n = 0; n < 8; n++)
		CHECK(!sn_icmp_parse(&in, p, n));
}

static const struct sn_addr a6 = {{0x20, 1, 0xd, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}};
static const struct sn_addr b6 = {
	{0xfd, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2}};

SN_TEST(pseudo_header_of_ipv6_equals_the_definition)
{
	uint8_t p[40];

	for (uint32_t i = 0; i < 200; i++) {
		struct sn_addr src, dst;
		fill(p, sizeof p, i);
		if (i == 0)
			memset(p, 0xff, sizeof p);
		memcpy(src.b, p, 16);
		memcpy(dst.b, p + 16, 16);
		uint32_t len = i ? sn_get32(p + 32) : UINT32_MAX;
		sn_put32(p + 32, len);
		sn_put32(p + 36, i); /* RFC 8200 8.1: three zero bytes, next header */
		CHECK_EQ(sn_csum_fold(sn_csum_pseudo_v6(&src, &dst, (uint8_t)i, len)), slow_sum(p, 40));
	}
}

SN_TEST(ipv6_survives)
{
	uint8_t p[100] = {0};
	struct sn_ip in, out = {.src = a6, .dst = b6, .total_len = 90, .proto = SN_IP_TCP, .tos = 0xb9, .ttl = 63};

	sn_ipv6_emit(p, &out);
	CHECK_EQ(sn_get32(p), 0x6b900000);
	CHECK_EQ(sn_get16(p + 4), 50);
	CHECK_EQ(sn_ipv6_parse(&in, p, sizeof p), SN_IPV6_OK); /* Ethernet padding behind it is fine */
	CHECK_MEM(in.src.b, a6.b, 16);
	CHECK_MEM(in.dst.b, b6.b, 16);
	CHECK_EQ(in.total_len, 90);
	CHECK_EQ(in.hdr_len, 40);
	CHECK_EQ(in.proto, SN_IP_TCP);
	CHECK_EQ(in.tos, 0xb9);
	CHECK_EQ(in.ttl, 63);
	for (uint32_t n = 0; n < 90; n++)
		CHECK_EQ(sn_ipv6_parse(&in, p, n), SN_IPV6_BAD);
	p[0] = 0x40;
	CHECK_EQ(sn_ipv6_parse(&in, p, sizeof p), SN_IPV6_BAD);
}

SN_TEST(ipv6_longer_than_65535_bytes_is_refused)
{
	static uint8_t p[66000];
	struct sn_ip in, out = {.src = a6, .dst = b6, .total_len = 40, .proto = 59, .ttl = 1};

	sn_ipv6_emit(p, &out);
	sn_put16(p + 4, 65495);
	CHECK_EQ(sn_ipv6_parse(&in, p, sizeof p), SN_IPV6_OK);
	CHECK_EQ(in.total_len, 65535);
	sn_put16(p + 4, 65496);
	CHECK_EQ(sn_ipv6_parse(&in, p, sizeof p), SN_IPV6_BAD);
}

SN_TEST(ipv6_extension_headers_end_within_the_packet_at_every_length)
{
	/* Hop-by-hop, destination of 16 bytes, atomic fragment, then 4 bytes of TCP. */
	static const uint8_t ext[] = {60, 0, 1, 4, 0, 0, 0, 0,  44, 1, 1, 12, 0, 0, 0, 0, 0, 0,
				      0,  0, 0, 0, 0, 0, 6, 99, 0,  6, 0, 0,  0, 0, 1, 2, 3, 4};
	uint8_t p[40 + sizeof ext];
	struct sn_ip in, out = {.src = a6, .dst = b6, .proto = 0, .ttl = 1};

	for (uint32_t n = 0; n <= sizeof ext; n++) {
		out.total_len = (uint16_t)(40 + n);
		sn_ipv6_emit(p, &out);
		memcpy(p + 40, ext, sizeof ext);
		enum sn_ipv6_verdict v = sn_ipv6_parse(&in, p, 40 + n);
		CHECK_EQ(v, n >= 32 ? SN_IPV6_OK : SN_IPV6_BAD);
	}
	CHECK_EQ(in.hdr_len, 72);
	CHECK_EQ(in.proto, SN_IP_TCP);
	p[40 + 24 + 3] = 1; /* more fragments; the reserved bits before it are not looked at */
	CHECK_EQ(sn_ipv6_parse(&in, p, sizeof p), SN_IPV6_FRAGMENT);
}

SN_TEST(groups_and_their_macs_are_as_defined)
{
	/* RFC 4291 2.7.1 and RFC 2464 7: the examples. */
	static const uint8_t group[16] = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0x0e, 0x8c, 0x6c};
	static const uint8_t mac[6] = {0x33, 0x33, 0xff, 0x0e, 0x8c, 0x6c}, all[6] = {0x33, 0x33, 0, 0, 0, 1};
	struct sn_addr a = {{0x40, 0x37, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0x20, 0x0e, 0x8c, 0x6c}};
	uint8_t out[6];

	a = sn_ipv6_solicited_node(&a);
	CHECK_MEM(a.b, group, 16);
	sn_ipv6_group_mac(out, &a);
	CHECK_MEM(out, mac, 6);
	a = sn_ipv6_all_nodes();
	sn_ipv6_group_mac(out, &a);
	CHECK_MEM(out, all, 6);
}

SN_TEST(icmp6_echo_survives_and_bad_checksums_are_refused)
{
	uint8_t p[21];
	struct sn_ip ip = {.src = a6, .dst = b6}, back = {.src = b6, .dst = b6};
	struct sn_icmp6 in, out = {.type = SN_ICMP6_ECHO, .id = 0x1234, .seq = 0x5678};

	for (uint32_t data = 0; data <= 13; data++) {
		fill(p, sizeof p, data);
		sn_icmp6_emit(p, &out, &a6, &b6, data);
		CHECK(sn_icmp6_parse(&in, &ip, p, 8 + data));
		CHECK_EQ(in.type, SN_ICMP6_ECHO);
		CHECK_EQ(in.id, 0x1234);
		CHECK_EQ(in.seq, 0x5678);
		CHECK(!sn_icmp6_parse(&in, &back, p, 8 + data)); /* the pseudo header counts */
		p[0] ^= 1;
		CHECK(!sn_icmp6_parse(&in, &ip, p, 8 + data));
	}
	for (uint32_t n = 0; n < 8; n++)
		CHECK(!sn_icmp6_parse(&in, &ip, p, n));
}

SN_TEST(neighbour_messages_survive_and_other_options_are_skipped)
{
	uint8_t p[64] = {0};
	struct sn_ip ip = {.src = a6, .dst = b6, .ttl = 255};
	struct sn_nd in, out = {.type = SN_ICMP6_ADVERTISE, .flags = 0xe0, .has_mac = true, .target = a6};

	fill(out.mac, 6, 4);
	out.mac[0] &= 0xfe;
	CHECK_EQ(sn_nd_emit(p, &out, &a6, &b6), 32);
	CHECK(sn_nd_parse(&in, &ip, p, 32));
	CHECK_EQ(in.type, SN_ICMP6_ADVERTISE);
	CHECK_EQ(in.flags, 0xe0);
	CHECK(in.has_mac);
	CHECK_MEM(in.mac, out.mac, 6);
	CHECK_MEM(in.target.b, a6.b, 16);
	memmove(p + 40, p + 24, 8); /* behind an unknown option of 16 bytes */
	p[24] = 14;
	p[25] = 2;
	CHECK(sn_nd_parse(&in, &ip, p, 48));
	CHECK_MEM(in.mac, out.mac, 6);
	p[40] = 1; /* the other side's option is none of an advertisement */
	CHECK(sn_nd_parse(&in, &ip, p, 48));
	CHECK(!in.has_mac);
	out.has_mac = false;
	out.type = SN_ICMP6_SOLICIT;
	out.flags = 0;
	CHECK_EQ(sn_nd_emit(p, &out, &a6, &b6), 24);
	CHECK(sn_nd_parse(&in, &ip, p, 24));
	CHECK(!in.has_mac);
	for (uint32_t n = 0; n < 24; n++)
		CHECK(!sn_nd_parse(&in, &ip, p, n));
	p[0] = SN_ICMP6_ECHO;
	CHECK(!sn_nd_parse(&in, &ip, p, 24));
}

SN_TEST(a_tag_goes_in_and_out_and_leaves_the_frame_as_it_was)
{
	uint8_t room[SN_VLAN_TAG + 60], frame[60];
	static const uint8_t tag[4] = {0x81, 0x00, 0x0f, 0xfe};

	fill(frame, sizeof frame, 5);
	sn_put16(frame + 12, SN_ETH_ARP);
	memcpy(room + SN_VLAN_TAG, frame, sizeof frame);
	CHECK(!sn_vlan_tagged(room + SN_VLAN_TAG, sizeof frame));
	CHECK(sn_vlan_push(room + SN_VLAN_TAG, SN_VLAN_MAX) == room);
	CHECK_MEM(room, frame, 12);
	CHECK_MEM(room + 12, tag, 4);
	CHECK_MEM(room + 16, frame + 12, sizeof frame - 12);
	CHECK(sn_vlan_tagged(room, sizeof room));
	CHECK(!sn_vlan_tagged(room, 17)); /* no type behind it */
	CHECK_EQ(sn_vlan_id(room), SN_VLAN_MAX);
	room[14] |= 0xf0; /* priority and drop eligibility */
	CHECK_EQ(sn_vlan_id(room), SN_VLAN_MAX);
	CHECK(sn_vlan_pop(room) == room + SN_VLAN_TAG);
	CHECK_MEM(room + SN_VLAN_TAG, frame, sizeof frame);
}

SN_TEST_MAIN()
