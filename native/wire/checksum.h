/* SPDX-License-Identifier: Apache-2.0
 *
 * Internet checksum (RFC 1071). A sum is kept as the ones' complement sum of big-endian 16-bit words, held as a plain
 * number in host order: header fields can be added to it as they are, and pieces are joined with sn_csum_join().
 * A 32-bit sum takes 65535 additions before it must be folded.
 */
#ifndef SN_WIRE_CHECKSUM_H
#define SN_WIRE_CHECKSUM_H

#include "sn_base.h"

/* sum + the words of p. The piece starts on an even offset; an odd last byte counts as the upper half of a word. */
uint32_t sn_csum_partial(const void *p, size_t len, uint32_t sum);

static inline uint16_t sn_csum_fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)(sum + (sum >> 16));
}
/* What goes into the checksum field. */
static inline uint16_t sn_csum_finish(uint32_t sum) { return (uint16_t)~sn_csum_fold(sum); }

/* Adds the sum of a piece that stands `offset` bytes behind the start: at odd offsets its bytes change halves. */
static inline uint32_t sn_csum_join(uint32_t sum, uint32_t piece, size_t offset)
{
	uint16_t s = sn_csum_fold(piece);
	return sum + (offset & 1 ? __builtin_bswap16(s) : s);
}

/* IPv4 pseudo header (RFC 9293 3.1): source, destination, protocol, length of the TCP header and data. */
static inline uint32_t sn_csum_pseudo_v4(uint32_t src, uint32_t dst, uint8_t proto, uint32_t len)
{
	return (src >> 16) + (src & 0xffff) + (dst >> 16) + (dst & 0xffff) + proto + (len >> 16) + (len & 0xffff);
}
/* The same of IPv6 (RFC 8200 8.1). */
static inline uint32_t sn_csum_pseudo_v6(const struct sn_addr *src, const struct sn_addr *dst, uint8_t proto,
					 uint32_t len)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < 16; i += 4)
		sum += (uint64_t)sn_get32(src->b + i) + sn_get32(dst->b + i);
	sum = (sum & 0xffffffff) + (sum >> 32);
	return (uint32_t)((sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32)) + proto + (len >> 16) + (len & 0xffff);
}
/* Of either family. */
static inline uint32_t sn_csum_pseudo(const struct sn_addr *src, const struct sn_addr *dst, uint8_t proto, uint32_t len)
{
	return sn_addr_is_v4(dst) ? sn_csum_pseudo_v4(sn_addr_v4_get(src), sn_addr_v4_get(dst), proto, len)
				  : sn_csum_pseudo_v6(src, dst, proto, len);
}
/* A whole TCP segment with its pseudo header sums up to all ones. */
static inline bool sn_csum_tcp_v4_good(uint32_t src, uint32_t dst, const uint8_t *tcp, uint32_t len)
{
	return sn_csum_fold(sn_csum_partial(tcp, len, sn_csum_pseudo_v4(src, dst, 6 /* TCP */, len))) == 0xffff;
}

#endif
