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

#define SN_IPV6_HDR      40u
#define SN_IPV6_FRAG_HDR 8u

/* Extension headers that are stepped over, in one packet. */
enum { SN_IPV6_EXT_MAX = 8 };

enum sn_ipv6_verdict {
	SN_IPV6_OK,
	SN_IPV6_BAD,     /* malformed, or an option or routing header that says so is not understood */
	SN_IPV6_FRAGMENT /* a piece of a packet; hdr_len is where its Fragment header stands, proto what that names next */
};

/* Steps over hop-by-hop and destination options, routing headers without segments left and atomic fragments (RFC 6946),
 * all within `len`. An unknown next header ends the walk and is the protocol. */
enum sn_ipv6_verdict sn_ipv6_parse(struct sn_ip *h, const uint8_t *p, uint32_t len);

/* The upper layer of a packet of which only the first `len` bytes (40 at least) are there, as an ICMPv6 error quotes it. A
 * fragment that is not the first has none that is known: 59 (no next header). False: an extension header ends beyond `len`,
 * or there are too many. */
bool sn_ipv6_upper(const uint8_t *p, uint32_t len, uint8_t *proto, uint32_t *at);

/*
 * Fragment header (RFC 8200 4.5). A packet with offset 0 and no more to come is whole (RFC 6946).
 *
 *   +---------------+---------------+-------------------------+---+-+
 *   |  Next Header  |   Reserved    |     Fragment Offset     |Res|M|
 *   +---------------+---------------+-------------------------+---+-+
 *   |                        Identification                         |
 *   +---------------------------------------------------------------+
 *
 * `ip` is as sn_ipv6_parse() left it with SN_IPV6_FRAGMENT. Of a first fragment it then says what stands behind the Fragment
 * header: upper layer and where it begins. False: the first fragment does not hold all headers (RFC 7112), or bad ones.
 */
bool sn_ipv6_frag_parse(struct sn_frag *f, struct sn_ip *ip, const uint8_t *p);
/* Makes the headers of a first fragment, without its Fragment header, those of the whole packet. */
void sn_ipv6_frag_join(uint8_t *p, uint32_t hdr_len, uint8_t next, uint16_t total_len);

/* Writes 40 bytes. hdr_len is not read: nothing stands between header and upper layer. */
void sn_ipv6_emit(uint8_t *p, const struct sn_ip *h);

/* ff02::1 and the group of whom has an address like this one (RFC 4291 2.7.1). */
struct sn_addr sn_ipv6_all_nodes(void);
struct sn_addr sn_ipv6_solicited_node(const struct sn_addr *a);
/* The Ethernet address of a multicast address (RFC 2464 7). */
void sn_ipv6_group_mac(uint8_t mac[6], const struct sn_addr *group);

#endif
