/* SPDX-License-Identifier: Apache-2.0
 *
 * ICMP and ICMPv6 errors (RFC 792, RFC 1191 4, RFC 4443 3): what went wrong, and the TCP segment that it happened to.
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +---------------+---------------+-------------------------------+
 *   |     Type      |     Code      |           Checksum            |
 *   +---------------+---------------+-------------------------------+
 *   | unused (16)                   | next-hop MTU (16)             |  ICMP 3/4; of ICMPv6 2 all 32 bits are the MTU
 *   +-------------------------------+-------------------------------+
 *   | the packet: its IP header (and extension headers), at least the first 8 bytes of its TCP header
 *   +---------------
 */
#ifndef SN_WIRE_ICMP_ERROR_H
#define SN_WIRE_ICMP_ERROR_H

#include "sn_base.h"

enum sn_icmp_why {
	SN_ICMP_TOO_BIG,
	SN_ICMP_NET_UNREACHABLE,
	SN_ICMP_HOST_UNREACHABLE,
	SN_ICMP_PROHIBITED, /* by somebody's policy, or as never to be reached */
	SN_ICMP_REFUSED,    /* protocol or port unreachable */
	SN_ICMP_EXPIRED,    /* hop limit or reassembly time exceeded */
	SN_ICMP_PARAMETER   /* a header that somebody did not understand */
};

struct sn_icmp_error {
	enum sn_icmp_why why;
	uint32_t mtu; /* TOO_BIG: what the next link carries, IP header included; 0: the router did not say */
	/* The quoted segment, which we sent. */
	struct sn_addr src, dst;
	uint16_t sport, dport;
	uint32_t seq;
};

enum sn_icmp_verdict {
	SN_ICMP_OK,
	SN_ICMP_NO_ERROR, /* another message */
	SN_ICMP_BAD,      /* shorter than it must be, or the quoted packet makes no sense */
	SN_ICMP_OTHER     /* an error of something else than a TCP segment's beginning */
};

/* Whole messages that sn_icmp_parse() and sn_icmp6_parse() took. */
enum sn_icmp_verdict sn_icmp_error_parse(struct sn_icmp_error *m, const uint8_t *p, uint32_t len);
enum sn_icmp_verdict sn_icmp6_error_parse(struct sn_icmp_error *m, const uint8_t *p, uint32_t len);

#endif
