/* SPDX-License-Identifier: Apache-2.0
 *
 * The tag of a VLAN (IEEE 802.1Q 9.6), between the addresses and the type of an Ethernet frame. Id 0 is no VLAN: such a
 * tag carries a priority alone, which nobody here reads.
 *
 *   +-------------------+-------------------+---------------+-----+-+-------------+-----------+
 *   |  Destination (6)  |    Source (6)     | 0x8100 (2)    | PCP |D|  Id (12 b)  |  Type (2) |
 *   +-------------------+-------------------+---------------+-----+-+-------------+-----------+
 */
#ifndef SN_WIRE_VLAN_H
#define SN_WIRE_VLAN_H

#include "wire/eth.h"

#define SN_VLAN_TAG 4u
enum { SN_VLAN_ID = 0x0fff, SN_VLAN_MAX = 4094 };

static inline bool sn_vlan_tagged(const uint8_t *frame, uint32_t len)
{
	return len >= SN_ETH_HDR + SN_VLAN_TAG && sn_eth_type(frame) == SN_ETH_VLAN;
}

/* Of a tagged frame. */
static inline uint16_t sn_vlan_id(const uint8_t *frame) { return sn_get16(frame + SN_ETH_HDR) & SN_VLAN_ID; }

/* Takes the tag out; returns where the frame starts now, SN_VLAN_TAG bytes later. */
static inline uint8_t *sn_vlan_pop(uint8_t *frame)
{
	memmove(frame + SN_VLAN_TAG, frame, 12);
	return frame + SN_VLAN_TAG;
}

/* Puts a tag in; returns where the frame starts now, SN_VLAN_TAG bytes earlier. */
static inline uint8_t *sn_vlan_push(uint8_t *frame, uint16_t id)
{
	uint8_t *p = frame - SN_VLAN_TAG;

	memmove(p, frame, 12);
	sn_put16(p + 12, SN_ETH_VLAN);
	sn_put16(p + 14, id);
	return p;
}

#endif
