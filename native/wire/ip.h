/* SPDX-License-Identifier: Apache-2.0
 *
 * What the layers above IP want to know of a packet, of either family.
 */
#ifndef SN_WIRE_IP_H
#define SN_WIRE_IP_H

#include "sn_base.h"

enum sn_ip_proto { SN_IP_ICMP = 1, SN_IP_TCP = 6, SN_IP_ICMP6 = 58, SN_IPV6_DESTINATION = 60 /* options */ };

/* The ECN field of `tos` (RFC 3168 5). */
enum { SN_IP_ECT1 = 1, SN_IP_ECT0 = 2, SN_IP_CE = 3 };

struct sn_ip {
	struct sn_addr src, dst;
	uint16_t hdr_len;   /* bytes in front of the upper layer: IPv6 extension headers count */
	uint16_t total_len; /* header and payload: at most the length given to the parser (Ethernet pads) */
	uint8_t proto;      /* of the upper layer */
	uint8_t tos, ttl;   /* IPv6: traffic class, hop limit */
};

/* A piece of a packet. */
struct sn_frag {
	const uint8_t *hdr;    /* headers that stand in every fragment: `hdr_len` bytes */
	const uint8_t *data;   /* `len` bytes of what was cut */
	uint32_t hdr_len, len; /* hdr_len without a Fragment header */
	uint32_t off;          /* of `data` in what was cut, bytes: a multiple of 8 */
	uint32_t id;
	uint8_t next; /* what `data` of the first fragment starts with */
	bool more;    /* not the last one */
};

#endif
