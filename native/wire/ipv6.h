/* SPDX-License-Identifier: Apache-2.0
 *
 * IPv6 header and its extension headers (RFC 8200 3, 4). The flow label is zero in what we send and not read.
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +-------+---------------+---------------------------------------+
 *   |Version| Traffic Class |              Flow Label               |
 *   +-------+---------------+-------+---------------+---------------+
 *   |         Payload Length        |  Next Header  |   Hop Limit   |
 *   +-------------------------------+---------------+---------------+
 *   |                   Source Address (16 bytes)                   |
 *   +---------------------------------------------------------------+
 *   |                 Destination Address (16 bytes)                |
 *   +---------------------------------------------------------------+
 */
#ifndef SN_WIRE_IPV6_H
#define SN_WIRE_IPV6_H

#include "wire/ip.h"

#define SN_IPV6_HDR 40u

/* Extension headers that are stepped over, in one packet. */
enum { SN_IPV6_EXT_MAX = 8 };

enum sn_ipv6_verdict {
	SN_IPV6_OK,
	SN_IPV6_BAD,     /* malformed, or an option or routing header that says so is not understood */
	SN_IPV6_FRAGMENT /* a piece of a packet; proto and hdr_len are not set */
};

/* Steps over hop-by-hop and destination options, routing headers without segments left and atomic fragments (RFC 6946),
 * all within `len`. An unknown next header ends the walk and is the protocol. */
enum sn_ipv6_verdict sn_ipv6_parse(struct sn_ip *h, const uint8_t *p, uint32_t len);

/* The upper layer of a packet of which only the first `len` bytes (40 at least) are there, as an ICMPv6 error quotes it. A
 * fragment that is not the first has none that is known: 59 (no next header). False: an extension header ends beyond `len`,
 * or there are too many. */
bool sn_ipv6_upper(const uint8_t *p, uint32_t len, uint8_t *proto, uint32_t *at);

/* Writes 40 bytes. hdr_len is not read: nothing stands between header and upper layer. */
void sn_ipv6_emit(uint8_t *p, const struct sn_ip *h);

/* ff02::1 and the group of whom has an address like this one (RFC 4291 2.7.1). */
struct sn_addr sn_ipv6_all_nodes(void);
struct sn_addr sn_ipv6_solicited_node(const struct sn_addr *a);
/* The Ethernet address of a multicast address (RFC 2464 7). */
void sn_ipv6_group_mac(uint8_t mac[6], const struct sn_addr *group);

#endif
