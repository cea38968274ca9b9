/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/frame.h"

#include "wire/checksum.h"

enum { ETH = 14, ETH_IPV4 = 0x0800, ETH_IPV6 = 0x86dd, PROTO_TCP = 6 };
enum { V4_HDR = 20, V4_SRC = 12, V6_HDR = 40, V6_SRC = 8, TCP_HDR = 20 };

/* Lengths of the IP header and of header and content; false: no TCP in it. */
static bool parse_ip(struct sn_sim_frame *f, const struct sn_buf *b, uint32_t *hdr, uint32_t *total)
{
	uint32_t room = b->len - SN_MIN(b->len, ETH);

	f->ip = b->data + ETH;
	if (room >= V4_HDR && sn_get16(b->data + 12) == ETH_IPV4) {
		f->v6 = false;
		*hdr = (f->ip[0] & 15u) * 4;
		*total = sn_get16(f->ip + 2);
		return f->ip[9] == PROTO_TCP && *hdr >= V4_HDR && *total <= room;
	}
	if (room >= V6_HDR && sn_get16(b->data + 12) == ETH_IPV6) {
		f->v6 = true;
		*hdr = V6_HDR;
		*total = V6_HDR + sn_get16(f->ip + 4);
		return f->ip[0] >> 4 == 6 && f->ip[6] == PROTO_TCP && *total <= room;
	}
	return false;
}

bool sn_sim_frame_parse(struct sn_sim_frame *f, const struct sn_buf *b)
{
	uint32_t hdr, total;

	if (!parse_ip(f, b, &hdr, &total) || hdr + TCP_HDR > total)
		return false;
	f->tcp = f->ip + hdr;
	uint32_t off = (uint32_t)(f->tcp[12] >> 4) * 4;
	if (off < TCP_HDR || hdr + off > total)
		return false;
	f->data = f->tcp + off;
	f->payload = total - hdr - off;
	return true;
}

uint8_t *sn_sim_frame_option(const struct sn_sim_frame *f, uint32_t *at)
{
	uint32_t end = (uint32_t)(f->data - f->tcp) - 20;
	uint8_t *o = f->tcp + 20;

	while (*at < end && o[*at]) {
		uint32_t i = *at;
		if (o[i] == 1) {
			++*at;
			continue;
		}
		if (i + 2 > end || o[i + 1] < 2 || i + o[i + 1] > end)
			return NULL;
		*at = i + o[i + 1];
		return o + i;
	}
	return NULL;
}

bool sn_sim_frame_same_hosts(const struct sn_sim_frame *a, const struct sn_sim_frame *b)
{
	if (a->v6 != b->v6)
		return false;
	return a->v6 ? memcmp(a->ip + V6_SRC, b->ip + V6_SRC, 32) == 0 : memcmp(a->ip + V4_SRC, b->ip + V4_SRC, 8) == 0;
}

void sn_sim_frame_finish(struct sn_sim_frame *f, struct sn_buf *b, bool csum)
{
	uint32_t hdr = (uint32_t)(f->tcp - f->ip), len = (uint32_t)(f->data - f->tcp) + f->payload;

	b->len = ETH + hdr + len;
	sn_put16(f->tcp + 16, 0);
	if (f->v6) {
		sn_put16(f->ip + 4, (uint16_t)(hdr - V6_HDR + len));
	} else {
		sn_put16(f->ip + 2, (uint16_t)(hdr + len));
		sn_put16(f->ip + 10, 0);
	}
	if (!csum)
		return;
	if (!f->v6)
		sn_put16(f->ip + 10, sn_csum_finish(sn_csum_partial(f->ip, hdr, 0)));
	/* Both pseudo headers (RFC 9293 3.1, RFC 8200 8.1) are the addresses, the protocol and the length. */
	uint32_t sum = f->v6 ? sn_csum_partial(f->ip + V6_SRC, 32, PROTO_TCP + len)
			     : sn_csum_partial(f->ip + V4_SRC, 8, PROTO_TCP + len);
	sn_put16(f->tcp + 16, sn_csum_finish(sn_csum_partial(f->tcp, len, sum)));
}

/* No checksum covers the traffic class. */
static bool mark_v6(uint8_t *ip)
{
	uint8_t ecn = ip[1] & 0x30;

	if (!ecn || ecn == 0x30)
		return false;
	ip[1] |= 0x30;
	return true;
}

bool sn_sim_frame_mark(struct sn_buf *b)
{
	uint8_t *ip = b->data + ETH;

	if (b->len >= ETH + V6_HDR && sn_get16(b->data + 12) == ETH_IPV6)
		return mark_v6(ip);
	if (b->len < ETH + V4_HDR || sn_get16(b->data + 12) != ETH_IPV4 || !(ip[1] & 3) || (ip[1] & 3) == 3)
		return false;
	uint32_t sum = sn_get16(ip + 10), old = sn_get16(ip);
	ip[1] |= 3;
	/* RFC 1624; zero: no checksum was made. */
	if (sum) {
		sum = (~sum & 0xffff) + (~old & 0xffff) + sn_get16(ip);
		sum = (sum & 0xffff) + (sum >> 16);
		sn_put16(ip + 10, (uint16_t) ~((sum & 0xffff) + (sum >> 16)));
	}
	return true;
}

struct sn_buf *sn_sim_frame_copy(const struct sn_buf *b)
{
	struct sn_buf *d = sn_buf_alloc(b->pool);

	if (d) {
		memcpy(d->data, b->data, b->len);
		d->len = b->len;
		d->port = b->port;
		d->flags = b->flags;
	}
	return d;
}
