/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/split.h"

#include "wire/checksum.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/tcp.h"

void sn_split_begin(struct sn_split *s, const struct sn_tx *unit)
{
	const uint8_t *ip = unit->hdr->data + unit->l3_off, *tcp = unit->hdr->data + unit->l4_off;
	uint32_t tcp_len = unit->hdr->len - unit->l4_off;

	s->unit = unit;
	s->left = unit->payload_len;
	s->seq = sn_get32(tcp + 4);
	s->offset_flags = sn_get16(tcp + 12);
	s->off = s->ref = 0;
	s->v6 = unit->flags & SN_TX_IPV6;
	s->id = s->v6 ? 0 : sn_get16(ip + 4);
	if (!(unit->flags & SN_TX_CSUM_DONE))
		return;
	/* IPv4: version to ToS, fragment field to protocol, addresses. TCP: all but number, flags and checksum. */
	s->ip_sum = s->v6 ? 0 : sn_csum_partial(ip + 6, 4, sn_csum_partial(ip + 12, 8, sn_get16(ip)));
	s->tcp_sum = s->v6 ? sn_csum_partial(ip + 8, 32, SN_IP_TCP) : sn_csum_partial(ip + 12, 8, SN_IP_TCP);
	s->tcp_sum = sn_csum_partial(tcp + 8, 4, sn_csum_partial(tcp, 4, s->tcp_sum)) + sn_get16(tcp + 14) +
		     sn_get16(tcp + 18);
	s->tcp_sum = sn_csum_partial(tcp + SN_TCP_HDR_MIN, tcp_len - SN_TCP_HDR_MIN, s->tcp_sum);
}

/* `len` bytes of payload into out's pieces. */
static inline void cut_payload(struct sn_split *s, uint32_t len, struct sn_tx *out)
{
	const struct sn_tx *u = s->unit;

	out->nref = 0;
	out->payload_len = len;
	while (len) {
		uint32_t n = SN_MIN(u->ref[s->ref].len - s->off, len);

		out->ref[out->nref].data = u->ref[s->ref].data + s->off;
		out->ref[out->nref].len = n;
		out->ref[out->nref++].chunk = u->ref[s->ref].chunk;
		len -= n;
		s->off += n;
		if (s->off == u->ref[s->ref].len) {
			s->ref++;
			s->off = 0;
		}
	}
}

static inline uint16_t tcp_csum(const struct sn_split *s, uint16_t offset_flags, uint32_t tcp_len,
				const struct sn_tx *out)
{
	uint32_t sum = s->tcp_sum + (s->seq >> 16) + (s->seq & 0xffff) + offset_flags + tcp_len + out->payload_len;
	uint32_t at = 0;

	for (uint32_t i = 0; i < out->nref; i++) {
		sum = sn_csum_join(sum, sn_csum_partial(out->ref[i].data, out->ref[i].len, 0), at);
		at += out->ref[i].len;
	}
	return sn_csum_finish(sum);
}

void sn_split_next(struct sn_split *s, uint8_t *hdr, struct sn_tx *out)
{
	const struct sn_tx *u = s->unit;
	uint8_t *ip = hdr + u->l3_off, *tcp = hdr + u->l4_off;
	uint32_t tcp_len = u->hdr->len - u->l4_off;
	uint16_t offset_flags = s->offset_flags;

	if (!sn_split_last(s))
		offset_flags &= (uint16_t)~SN_TH_PSH;
	if (s->left != u->payload_len)
		offset_flags &= (uint16_t)~SN_TH_CWR;
	out->port = u->port;
	out->flags = u->flags;
	out->l3_off = u->l3_off;
	out->l4_off = u->l4_off;
	out->seg_size = out->segs = 0;
	cut_payload(s, SN_MIN(s->left, (uint32_t)u->seg_size), out);

	if (SN_LIKELY(hdr != u->hdr->data))
		memcpy(hdr, u->hdr->data, u->hdr->len);
	sn_put32(tcp + 4, s->seq);
	sn_put16(tcp + 12, offset_flags);
	if (s->v6) {
		sn_put16(ip + 4, (uint16_t)(tcp_len + out->payload_len));
	} else {
		uint32_t total = SN_IPV4_HDR + tcp_len + out->payload_len;
		sn_put16(ip + 2, (uint16_t)total);
		sn_put16(ip + 4, s->id);
		if (u->flags & SN_TX_CSUM_DONE)
			sn_put16(ip + 10, sn_csum_finish(s->ip_sum + total + s->id));
	}
	if (u->flags & SN_TX_CSUM_DONE)
		sn_tcp_set_csum(tcp, tcp_csum(s, offset_flags, tcp_len, out));
	s->seq += out->payload_len;
	s->id++;
	s->left -= out->payload_len;
}
