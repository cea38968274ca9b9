/* SPDX-License-Identifier: Apache-2.0
 *
 * What the pairs of engines need to run the same tests over IPv4 and over IPv6: addresses, port configurations, headers.
 * Headers are read and written by hand here: the codec is under test. PAIR_TEST_MAIN() runs every test once per family.
 */
#ifndef SN_TEST_PAIR_FAMILY_H
#define SN_TEST_PAIR_FAMILY_H

#include "net/net.h"
#include "sn_test.h"
#include "wire/checksum.h"

/* PAIR_BOTH: ports have addresses of both families; pair_addr() gives IPv4. */
enum { PAIR_V4, PAIR_V6, PAIR_BOTH };
static uint32_t pair_family = PAIR_V4;

/* 10.0.net.host */
static inline struct sn_addr pair_addr4(uint32_t net, uint32_t host)
{
	return sn_addr_v4(0x0a000000u + (net << 8) + host);
}
/* fd00:0:0:net::host */
static inline struct sn_addr pair_addr6(uint32_t net, uint32_t host)
{
	struct sn_addr a = {{0xfd}};
	sn_put16(a.b + 6, (uint16_t)net);
	sn_put16(a.b + 14, (uint16_t)host);
	return a;
}
static inline struct sn_addr pair_addr(uint32_t net, uint32_t host)
{
	return pair_family == PAIR_V6 ? pair_addr6(net, host) : pair_addr4(net, host);
}

/* The addresses of a port. `mtu` is IPv4's: IPv6 gets 20 bytes more, so that segments are as long. */
static inline void pair_port_addrs(struct sn_net_port_cfg *c, uint32_t net, uint32_t host, uint16_t mtu)
{
	if (pair_family != PAIR_V6) {
		c->addr = pair_addr4(net, host);
		c->prefix = 24;
	}
	if (pair_family != PAIR_V4) {
		c->addr6 = pair_addr6(net, host);
		c->prefix6 = 64;
	}
	c->mtu = (uint16_t)(pair_family == PAIR_V6 ? mtu + 20 : mtu);
}

/* Length of the IP header of an Ethernet frame with a TCP segment, 0: it holds something else. */
static inline uint32_t pair_ip_hdr(const uint8_t *frame)
{
	uint16_t type = sn_get16(frame + 12);
	if (type == 0x0800)
		return frame[14 + 9] == 6 ? 20 : 0;
	return type == 0x86dd && frame[14 + 6] == 6 ? 40 : 0;
}
/* Length of the TCP segment in it. */
static inline uint32_t pair_tcp_len(const uint8_t *frame)
{
	return sn_get16(frame + 12) == 0x0800 ? sn_get16(frame + 14 + 2) - 20u : sn_get16(frame + 14 + 4);
}

/* Ethernet and IP headers in front of `len` bytes of TCP; returns where those begin. */
static inline uint32_t pair_emit_headers(uint8_t *frame, const uint8_t *to, const uint8_t *from,
					 const struct sn_addr *src, const struct sn_addr *dst, uint32_t len)
{
	bool v4 = sn_addr_is_v4(src);
	uint8_t *ip = frame + 14;

	memcpy(frame, to, 6);
	memcpy(frame + 6, from, 6);
	sn_put16(frame + 12, v4 ? 0x0800 : 0x86dd);
	memset(ip, 0, 40);
	if (v4) {
		ip[0] = 0x45;
		sn_put16(ip + 2, (uint16_t)(20 + len));
		ip[8] = 64;
		ip[9] = 6;
		memcpy(ip + 12, src->b + 12, 4);
		memcpy(ip + 16, dst->b + 12, 4);
		uint32_t sum = 0;
		for (int i = 0; i < 20; i += 2)
			sum += sn_get16(ip + i);
		sum = (sum & 0xffff) + (sum >> 16);
		sn_put16(ip + 10, (uint16_t) ~(sum + (sum >> 16)));
		return 34;
	}
	ip[0] = 0x60;
	sn_put16(ip + 4, (uint16_t)len);
	ip[6] = 6;
	ip[7] = 64;
	memcpy(ip + 8, src->b, 16);
	memcpy(ip + 24, dst->b, 16);
	return 54;
}

/* Sum of the pseudo header of `len` bytes of TCP. */
static inline uint32_t pair_pseudo(const struct sn_addr *src, const struct sn_addr *dst, uint32_t len)
{
	uint32_t skip = sn_addr_is_v4(src) ? 12 : 0;
	return sn_csum_partial(dst->b + skip, 16 - skip, sn_csum_partial(src->b + skip, 16 - skip, 6 + len));
}

/* TOS or traffic class of a segment, from its TCP header. */
static inline uint8_t pair_tos(const uint8_t *tcp)
{
	return pair_family == PAIR_V6 ? (uint8_t)(sn_get16(tcp - 40) >> 4) : tcp[-19];
}
static inline void pair_set_tos(uint8_t *tcp, uint8_t tos)
{
	if (pair_family == PAIR_V6) {
		sn_put16(tcp - 40, (uint16_t)((sn_get16(tcp - 40) & 0xf00f) | tos << 4));
		return;
	}
	tcp[-19] = tos;
	sn_put16(tcp - 10, 0);
	sn_put16(tcp - 10, sn_csum_finish(sn_csum_partial(tcp - 20, 20, 0)));
}

#define PAIR_TEST_MAIN()                                                                \
	int main(int argc, char **argv)                                                 \
	{                                                                               \
		int bad = 0;                                                            \
		for (pair_family = PAIR_V4; pair_family <= PAIR_V6; pair_family++) {    \
			printf("over %s:\n", pair_family == PAIR_V6 ? "IPv6" : "IPv4"); \
			bad |= sn_test_main(argc, argv);                                \
		}                                                                       \
		return bad;                                                             \
	}

#endif
