/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/ipv6.h"

/* Next headers (RFC 8200 4). */
enum { HOP_BY_HOP = 0, ROUTING = 43, FRAGMENT = 44, NOTHING = 59, DESTINATION = SN_IPV6_DESTINATION };

/* Options of type PAD1 are one byte, all others have a length. */
enum { PAD1 = 0, OPTION_ACTION = 0xc0 };

/* Options in `len` bytes (RFC 8200 4.2): none is known but padding; some demand that then the packet is discarded. */
static bool options_good(const uint8_t *p, uint32_t len)
{
	for (uint32_t at = 0; at < len;) {
		if (p[at] == PAD1) {
			at++;
			continue;
		}
		if (len - at < 2 || len - at - 2 < p[at + 1] || (p[at] & OPTION_ACTION))
			return false;
		at += 2u + p[at + 1];
	}
	return true;
}

/* Steps over headers from h->hdr_len on, the first of which is h->proto. `seen`: headers before these. */
static enum sn_ipv6_verdict step_over(struct sn_ip *h, const uint8_t *p, uint32_t seen)
{
	uint32_t at = h->hdr_len, total = h->total_len;
	uint8_t next = h->proto;

	for (uint32_t n = seen; next == HOP_BY_HOP || next == ROUTING || next == FRAGMENT || next == DESTINATION; n++) {
		const uint8_t *x = p + at;
		if (n == SN_IPV6_EXT_MAX || total - at < 8 || (next == HOP_BY_HOP && n > 0))
			return SN_IPV6_BAD;
		uint32_t size = next == FRAGMENT ? 8 : 8 + 8u * x[1];
		if (total - at < size)
			return SN_IPV6_BAD;
		if (next == FRAGMENT) {
			if (sn_get16(x + 2) & 0xfff9) { /* offset and M; two bits are reserved */
				h->proto = x[0];
				h->hdr_len = (uint16_t)at;
				return SN_IPV6_FRAGMENT;
			}
		} else if (next == ROUTING ? x[3] != 0 : !options_good(x + 2, size - 2))
			return SN_IPV6_BAD;
		next = x[0];
		at += size;
	}
	h->proto = next;
	h->hdr_len = (uint16_t)at;
	return SN_IPV6_OK;
}

bool sn_ipv6_upper(const uint8_t *p, uint32_t len, uint8_t *proto, uint32_t *at)
{
	uint8_t next = p[6];

	*at = SN_IPV6_HDR;
	for (uint32_t n = 0; next == HOP_BY_HOP || next == ROUTING || next == FRAGMENT || next == DESTINATION; n++) {
		const uint8_t *x = p + *at;
		if (n == SN_IPV6_EXT_MAX || len - *at < 8)
			return false;
		uint32_t size = next == FRAGMENT ? 8 : 8 + 8u * x[1];
		if (len - *at < size)
			return false;
		bool later = next == FRAGMENT && sn_get16(x + 2) >> 3;
		next = later ? NOTHING : x[0];
		*at += size;
	}
	*proto = next;
	return true;
}

enum sn_ipv6_verdict sn_ipv6_parse(struct sn_ip *h, const uint8_t *p, uint32_t len)
{
	if (len < SN_IPV6_HDR || p[0] >> 4 != 6)
		return SN_IPV6_BAD;
	uint32_t total = SN_IPV6_HDR + sn_get16(p + 4);
	if (total > len || total > UINT16_MAX)
		return SN_IPV6_BAD;
	h->total_len = (uint16_t)total;
	h->tos = (uint8_t)(sn_get16(p) >> 4);
	h->ttl = p[7];
	memcpy(h->src.b, p + 8, 16);
	memcpy(h->dst.b, p + 24, 16);
	h->proto = p[6];
	h->hdr_len = SN_IPV6_HDR;
	return step_over(h, p, 0);
}

bool sn_ipv6_frag_parse(struct sn_frag *f, struct sn_ip *upper, const uint8_t *p)
{
	const uint8_t *x = p + upper->hdr_len;
	uint16_t where = sn_get16(x + 2);

	f->hdr = p;
	f->hdr_len = upper->hdr_len;
	f->data = x + SN_IPV6_FRAG_HDR;
	f->len = upper->total_len - f->hdr_len - SN_IPV6_FRAG_HDR;
	f->off = where & 0xfff8;
	f->more = where & 1;
	f->id = sn_get32(x + 4);
	f->next = x[0];
	if (f->off)
		return true;
	upper->hdr_len = (uint16_t)(f->hdr_len + SN_IPV6_FRAG_HDR);
	return step_over(upper, p, 1) == SN_IPV6_OK;
}

void sn_ipv6_frag_join(uint8_t *p, uint32_t hdr_len, uint8_t next, uint16_t total_len)
{
	uint8_t *at = p + 6; /* what names the header at `off` */

	for (uint32_t off = SN_IPV6_HDR; off < hdr_len;) {
		uint32_t size = *at == FRAGMENT ? SN_IPV6_FRAG_HDR : 8 + 8u * p[off + 1];
		at = p + off;
		off += size;
	}
	*at = next;
	sn_put16(p + 4, (uint16_t)(total_len - SN_IPV6_HDR));
}

void sn_ipv6_emit(uint8_t *p, const struct sn_ip *h)
{
	sn_put32(p, 6u << 28 | (uint32_t)h->tos << 20);
	sn_put16(p + 4, (uint16_t)(h->total_len - SN_IPV6_HDR));
	p[6] = h->proto;
	p[7] = h->ttl;
	memcpy(p + 8, h->src.b, 16);
	memcpy(p + 24, h->dst.b, 16);
}

struct sn_addr sn_ipv6_all_nodes(void) { return (struct sn_addr){{[0] = 0xff, [1] = 2, [15] = 1}}; }

struct sn_addr sn_ipv6_solicited_node(const struct sn_addr *a)
{
	struct sn_addr group = {{[0] = 0xff, [1] = 2, [11] = 1, [12] = 0xff}};

	memcpy(group.b + 13, a->b + 13, 3);
	return group;
}

void sn_ipv6_group_mac(uint8_t mac[6], const struct sn_addr *group)
{
	mac[0] = mac[1] = 0x33;
	memcpy(mac + 2, group->b + 12, 4);
}
