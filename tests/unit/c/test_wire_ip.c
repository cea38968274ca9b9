/* SPDX-License-Identifier: Apache-2.0
 *
 * Checksums, Ethernet, ARP, IPv4, ICMP codecs.
 */
#include "sn_test.h"
#include "wire/arp.h"
#include "wire/checksum.h"
#include "wire/eth.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"

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

SN_TEST_MAIN()
