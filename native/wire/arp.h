/* SPDX-License-Identifier: Apache-2.0
 *
 * ARP for IPv4 over Ethernet (RFC 826). Addresses are host order.
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +-------------------------------+-------------------------------+
 *   |      Hardware space = 1       |   Protocol space = 0x0800     |
 *   +---------------+---------------+-------------------------------+
 *   |  HW len = 6   | Proto len = 4 |           Opcode              |
 *   +---------------+---------------+-------------------------------+
 *   | Sender MAC (6), sender IP (4), target MAC (6), target IP (4)  |
 *   +---------------------------------------------------------------+
 */
#ifndef SN_WIRE_ARP_H
#define SN_WIRE_ARP_H

#include "sn_base.h"

#define SN_ARP_LEN 28u

enum sn_arp_op { SN_ARP_REQUEST = 1, SN_ARP_REPLY = 2 };

struct sn_arp {
	uint16_t op; /* enum sn_arp_op, nothing else passes the parser */
	uint8_t sender_mac[6], target_mac[6];
	uint32_t sender, target;
};

bool sn_arp_parse(struct sn_arp *a, const uint8_t *p, uint32_t len);
void sn_arp_emit(uint8_t *p, const struct sn_arp *a);

#endif
