/* SPDX-License-Identifier: Apache-2.0
 *
 * ICMPv6: echo (RFC 4443 4), neighbour solicitation and advertisement (RFC 4861 4.3, 4.4). Echo looks as in ICMP.
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +---------------+---------------+-------------------------------+
 *   |   Type        |   Code = 0    |           Checksum            |
 *   +-+-+-+---------+---------------+-------------------------------+
 *   |R|S|O|         Reserved (flags: advertisement only)            |
 *   +-+-+-+---------------------------------------------------------+
 *   |                       Target Address (16)                     |
 *   +---------------+---------------+-------------------------------+
 *   | Option 1 or 2 |  Length = 1   | link-layer address (6): of the sender (1) of a solicitation, of the target (2)
 *   +---------------+---------------+-------------------------------+
 */
#ifndef SN_WIRE_ICMP6_H
#define SN_WIRE_ICMP6_H

#include "wire/ip.h"

#define SN_ICMP6_HDR 8u
#define SN_ND_LEN    32u /* a solicitation or advertisement with the link-layer address */

enum sn_icmp6_type { SN_ICMP6_ECHO = 128, SN_ICMP6_ECHO_REPLY = 129, SN_ICMP6_SOLICIT = 135, SN_ICMP6_ADVERTISE = 136 };
enum sn_nd_flag { SN_ND_ROUTER = 0x80, SN_ND_SOLICITED = 0x40, SN_ND_OVERRIDE = 0x20 };

struct sn_icmp6 {
	uint8_t type, code;
	uint16_t id, seq; /* echo and echo reply */
};

struct sn_nd {
	uint8_t type;  /* SN_ICMP6_SOLICIT or SN_ICMP6_ADVERTISE */
	uint8_t flags; /* enum sn_nd_flag; advertisement only */
	bool has_mac;
	uint8_t mac[6];
	struct sn_addr target;
};

/* p, len: the whole message; its checksum with the pseudo header is verified. */
bool sn_icmp6_parse(struct sn_icmp6 *m, const struct sn_ip *ip, const uint8_t *p, uint32_t len);
/* Writes the 8 bytes of header in front of `data_len` bytes of data that already stand behind it, with the checksum. */
void sn_icmp6_emit(uint8_t *p, const struct sn_icmp6 *m, const struct sn_addr *src, const struct sn_addr *dst,
		   uint32_t data_len);

/* A message that sn_icmp6_parse() took, with what RFC 4861 7.1.1 and 7.1.2 ask of it and its IP header. */
bool sn_nd_parse(struct sn_nd *nd, const struct sn_ip *ip, const uint8_t *p, uint32_t len);
/* Writes at most SN_ND_LEN bytes with the checksum; returns how many. */
uint32_t sn_nd_emit(uint8_t *p, const struct sn_nd *nd, const struct sn_addr *src, const struct sn_addr *dst);

#endif
