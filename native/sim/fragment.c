/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/fragment.h"

#include "wire/checksum.h"

enum { ETH = 14, FRAG_HDR = 8, FRAGMENT = 44, MORE4 = 0x2000 };

struct sn_buf *sn_sim_fragment(const struct sn_buf *b, const struct sn_sim_frame *f, uint32_t n, uint32_t step,
			       uint32_t id, bool *more)
{
	uint32_t hdr = (uint32_t)(f->tcp - f->ip), all = (uint32_t)(f->data - f->tcp) + f->payload;
	uint32_t at = n * step, len = SN_MIN(step, all - at);
	struct sn_buf *d = sn_buf_alloc(b->pool);

	*more = at + len < all;
	if (!d)
		return NULL;
	uint8_t *ip = d->data + ETH, *to = ip + hdr;
	memcpy(d->data, b->data, ETH + hdr);
	if (f->v6) {
		to[0] = ip[6];
		to[1] = 0;
		sn_put16(to + 2, (uint16_t)(at | *more));
		sn_put32(to + 4, id);
		ip[6] = FRAGMENT;
		to += FRAG_HDR;
		sn_put16(ip + 4, (uint16_t)(FRAG_HDR + len));
	} else {
		sn_put16(ip + 2, (uint16_t)(hdr + len));
		sn_put16(ip + 4, (uint16_t)id); /* with DF a sender's own need not be unique (RFC 6864 4.1) */
		sn_put16(ip + 6, (uint16_t)(at / 8 | (*more ? MORE4 : 0)));
		sn_put16(ip + 10, 0);
		sn_put16(ip + 10, sn_csum_finish(sn_csum_partial(ip, hdr, 0)));
	}
	memcpy(to, f->tcp + at, len);
	d->len = (uint32_t)(to - d->data) + len;
	d->port = b->port;
	d->flags = b->flags;
	return d;
}
