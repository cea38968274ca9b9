/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/frame.h"

#include "wire/checksum.h"

enum { ETH = 14, PROTO_TCP = 6 };

bool sn_sim_frame_parse(struct sn_sim_frame *f, const struct sn_buf *b)
{
	if (b->len < ETH + 40 || sn_get16(b->data + 12) != 0x0800)
		return false;
	f->ip = b->data + ETH;
	uint32_t ihl = (f->ip[0] & 15u) * 4, total = sn_get16(f->ip + 2);
	if (f->ip[9] != PROTO_TCP || ihl < 20 || ihl + 20 > total || total > b->len - ETH)
		return false;
	f->tcp = f->ip + ihl;
	uint32_t off = (uint32_t)(f->tcp[12] >> 4) * 4;
	if (off < 20 || ihl + off > total)
		return false;
	f->data = f->tcp + off;
	f->payload = total - ihl - off;
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

void sn_sim_frame_finish(struct sn_sim_frame *f, struct sn_buf *b, bool csum)
{
	uint32_t ihl = (uint32_t)(f->tcp - f->ip), len = (uint32_t)(f->data - f->tcp) + f->payload;

	b->len = ETH + ihl + len;
	sn_put16(f->ip + 2, (uint16_t)(ihl + len));
	sn_put16(f->ip + 10, 0);
	sn_put16(f->tcp + 16, 0);
	if (!csum)
		return;
	uint32_t sum = sn_csum_pseudo_v4(sn_get32(f->ip + 12), sn_get32(f->ip + 16), PROTO_TCP, len);
	sn_put16(f->ip + 10, sn_csum_finish(sn_csum_partial(f->ip, ihl, 0)));
	sn_put16(f->tcp + 16, sn_csum_finish(sn_csum_partial(f->tcp, len, sum)));
}

bool sn_sim_frame_mark(struct sn_buf *b)
{
	uint8_t *ip = b->data + ETH;

	if (b->len < ETH + 20 || sn_get16(b->data + 12) != 0x0800 || !(ip[1] & 3) || (ip[1] & 3) == 3)
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
