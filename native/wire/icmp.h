/* SPDX-License-Identifier: Apache-2.0
 *
 * ICMP echo (RFC 792). Other types pass the parser with id and seq zero.
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +---------------+---------------+-------------------------------+
 *   |     Type      |     Code      |           Checksum            |
 *   +---------------+---------------+-------------------------------+
 *   |          Identifier           |        Sequence Number        |
 *   +-------------------------------+-------------------------------+
 *   |            Data ...
 *   +-------------
 */
#ifndef SN_WIRE_ICMP_H
#define SN_WIRE_ICMP_H

#include "sn_base.h"

#define SN_ICMP_HDR 8u

enum sn_icmp_type { SN_ICMP_ECHO_REPLY = 0, SN_ICMP_ECHO = 8 };

struct sn_icmp {
	uint8_t type, code;
	uint16_t id, seq; /* echo and echo reply */
};

/* p, len: the whole ICMP message; its checksum is verified. */
bool sn_icmp_parse(struct sn_icmp *m, const uint8_t *p, uint32_t len);
/* Writes the 8 bytes of header in front of `data_len` bytes of data that already stand behind it, with the checksum. */
void sn_icmp_emit(uint8_t *p, const struct sn_icmp *m, uint32_t data_len);

#endif
