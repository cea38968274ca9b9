/* SPDX-License-Identifier: Apache-2.0
 *
 * IPv4 header (RFC 791 3.1). Options are stepped over, never read. Addresses are host order.
 *
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +-------+-------+---------------+-------------------------------+
 *   |Version|  IHL  |      TOS      |         Total Length          |
 *   +-------+-------+---------------+-----+-------------------------+
 *   |        Identification         |0 D M|     Fragment Offset     |
 *   +---------------+---------------+-----+-------------------------+
 *   |      TTL      |   Protocol    |        Header Checksum        |
 *   +---------------+---------------+-------------------------------+
 *   |                        Source Address                         |
 *   +---------------------------------------------------------------+
 *   |                      Destination Address                      |
 *   +---------------------------------------------------------------+
 */
#ifndef SN_WIRE_IPV4_H
#define SN_WIRE_IPV4_H

#include "sn_base.h"
#include "wire/checksum.h"
#include "wire/ip.h"

#define SN_IPV4_HDR 20u

/* `frag` holds flags and offset as on the wire. */
enum { SN_IPV4_DF = 0x4000, SN_IPV4_MF = 0x2000, SN_IPV4_OFFSET = 0x1fff };

struct sn_ipv4 {
	uint32_t src, dst;
	uint16_t total_len; /* header and payload: at most the length given to the parser (Ethernet pads) */
	uint16_t id;
	uint16_t frag;
	uint8_t hdr_len; /* bytes */
	uint8_t tos, ttl, proto;
};

/* `verify`: check the header checksum too. */
static inline bool sn_ipv4_parse(struct sn_ipv4 *h, const uint8_t *p, uint32_t len, bool verify)
{
	if (SN_UNLIKELY(len < SN_IPV4_HDR || p[0] >> 4 != 4))
		return false;
	h->hdr_len = (uint8_t)((p[0] & 0x0f) * 4);
	h->tos = p[1];
	h->total_len = sn_get16(p + 2);
	h->id = sn_get16(p + 4);
	h->frag = sn_get16(p + 6);
	h->ttl = p[8];
	h->proto = p[9];
	h->src = sn_get32(p + 12);
	h->dst = sn_get32(p + 16);
	if (SN_UNLIKELY(h->hdr_len < SN_IPV4_HDR || h->total_len < h->hdr_len || h->total_len > len))
		return false;
	return !verify || sn_csum_fold(sn_csum_partial(p, h->hdr_len, 0)) == 0xffff;
}

/* What is needed of a packet whose flow is known already. */
struct sn_ipv4_plain {
	uint64_t addrs;       /* source and destination as they stand in the packet */
	uint32_t ports;       /* the four bytes behind the header, likewise */
	uint32_t payload_len; /* as with total_len: at most what is there */
	bool ce;              /* Congestion Experienced */
};

/* A header without options of a whole packet of `proto`; at least 24 bytes at p. The checksum is not looked at. */
static inline bool sn_ipv4_parse_plain(struct sn_ipv4_plain *h, const uint8_t *p, uint32_t len, enum sn_ip_proto proto)
{
	uint32_t total = sn_get16(p + 2);

	if (p[0] != 0x45 || p[9] != proto || (sn_get16(p + 6) & (SN_IPV4_MF | SN_IPV4_OFFSET)) || total > len ||
	    total < SN_IPV4_HDR)
		return false;
	memcpy(&h->addrs, p + 12, 8);
	memcpy(&h->ports, p + 20, 4);
	h->payload_len = total - SN_IPV4_HDR;
	h->ce = (p[1] & SN_IP_CE) == SN_IP_CE;
	return true;
}

/* The fragment whose header was parsed from p. */
static inline void sn_ipv4_frag_parse(struct sn_frag *f, const struct sn_ipv4 *h, const uint8_t *p)
{
	*f = (struct sn_frag){.hdr = p,
			      .data = p + h->hdr_len,
			      .hdr_len = h->hdr_len,
			      .len = (uint32_t)(h->total_len - h->hdr_len),
			      .off = (uint32_t)(h->frag & SN_IPV4_OFFSET) * 8,
			      .id = h->id,
			      .next = h->proto,
			      .more = h->frag & SN_IPV4_MF};
}

/* Makes the header of a first fragment that of the whole packet. */
static inline void sn_ipv4_frag_join(uint8_t *p, uint32_t hdr_len, uint16_t total_len)
{
	sn_put16(p + 2, total_len);
	sn_put16(p + 6, 0);
	sn_put16(p + 10, 0);
	sn_put16(p + 10, sn_csum_finish(sn_csum_partial(p, hdr_len, 0)));
}

/* Writes 20 bytes; the checksum is set if `with_csum`, else zero. hdr_len is not read. */
static inline void sn_ipv4_emit(uint8_t *p, const struct sn_ipv4 *h, bool with_csum)
{
	sn_put64(p,
		 (uint64_t)(0x4500u | h->tos) << 48 | (uint64_t)h->total_len << 32 | (uint32_t)h->id << 16 | h->frag);
	sn_put32(p + 8, (uint32_t)h->ttl << 24 | (uint32_t)h->proto << 16);
	sn_put32(p + 12, h->src);
	sn_put32(p + 16, h->dst);
	if (with_csum) {
		/* Nine constants and fields are at hand: cheaper than reading the header back. */
		uint32_t sum = 0x4500u + h->tos + h->total_len + h->id + h->frag +
			       (((uint32_t)h->ttl << 8) | h->proto) + (h->src >> 16) + (h->src & 0xffff) +
			       (h->dst >> 16) + (h->dst & 0xffff);
		sn_put16(p + 10, sn_csum_finish(sum));
	}
}

#endif
