/* SPDX-License-Identifier: Apache-2.0
 *
 * Ethernet II header (IEEE 802.3 3.2.6). VLAN tags: wire/vlan.h.
 *
 *   +-------------------+-------------------+-----------+
 *   |  Destination (6)  |    Source (6)     |  Type (2) |
 *   +-------------------+-------------------+-----------+
 */
#ifndef SN_WIRE_ETH_H
#define SN_WIRE_ETH_H

#include "sn_base.h"

#define SN_ETH_HDR 14u

enum sn_eth_type { SN_ETH_IPV4 = 0x0800, SN_ETH_ARP = 0x0806, SN_ETH_VLAN = 0x8100, SN_ETH_IPV6 = 0x86dd };

struct sn_eth {
	uint8_t dst[6], src[6];
	uint16_t type;
};

static inline bool sn_eth_parse(struct sn_eth *h, const uint8_t *p, uint32_t len)
{
	if (SN_UNLIKELY(len < SN_ETH_HDR))
		return false;
	memcpy(h->dst, p, 6);
	memcpy(h->src, p + 6, 6);
	h->type = sn_get16(p + 12);
	return true;
}

/* Single fields of a header that is there. */
static inline const uint8_t *sn_eth_dst(const uint8_t *p) { return p; }
static inline uint16_t sn_eth_type(const uint8_t *p) { return sn_get16(p + 12); }

static inline void sn_eth_emit(uint8_t *p, const uint8_t dst[6], const uint8_t src[6], uint16_t type)
{
	memcpy(p, dst, 6);
	memcpy(p + 6, src, 6);
	sn_put16(p + 12, type);
}

/* An address as one word, to be compared at once: the destination of the header at p (8 bytes are read). */
static inline uint64_t sn_eth_dst_word(const uint8_t *p)
{
	uint64_t w;
	memcpy(&w, p, 8);
	return w << 16;
}

static inline bool sn_mac_eq(const uint8_t a[6], const uint8_t b[6]) { return memcmp(a, b, 6) == 0; }
static inline bool sn_mac_is_group(const uint8_t a[6]) { return a[0] & 1; }
static inline bool sn_mac_is_broadcast(const uint8_t a[6]) { return (a[0] & a[1] & a[2] & a[3] & a[4] & a[5]) == 0xff; }

#endif
