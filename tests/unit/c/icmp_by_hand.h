/* SPDX-License-Identifier: Apache-2.0
 *
 * ICMP and ICMPv6 errors written by hand, without the codec that is under test.
 */
#ifndef SN_TEST_ICMP_BY_HAND_H
#define SN_TEST_ICMP_BY_HAND_H

#include "sn_base.h"
#include "wire/checksum.h"

struct icmp_by_hand {
	uint8_t type, code;
	uint32_t mtu;        /* 32 bits at offset 4 */
	struct sn_flow flow; /* of the quoted segment as its sender sees it */
	uint32_t seq;
	uint32_t tcp_len;  /* TCP bytes that are quoted */
	uint32_t ext;      /* bytes of a destination options header in the quoted packet (IPv6), a multiple of 8 */
	uint8_t proto;     /* of the quoted packet; 0: TCP */
	uint16_t fragment; /* its fragment field (IPv4) */
};

static inline void icmp_quoted_tcp(uint8_t *p, const struct icmp_by_hand *m)
{
	memset(p, 0, m->tcp_len);
	if (m->tcp_len < 8)
		return;
	sn_put16(p, m->flow.lport);
	sn_put16(p + 2, m->flow.rport);
	sn_put32(p + 4, m->seq);
}

/* The message alone, its checksum for these addresses. Returns its length. */
static inline uint32_t icmp_message(uint8_t *p, const struct icmp_by_hand *m, const struct sn_addr *from,
				    const struct sn_addr *to)
{
	bool v4 = sn_addr_is_v4(to);
	uint8_t *q = p + 8, proto = m->proto ? m->proto : 6;
	uint32_t len;

	memset(p, 0, 8);
	p[0] = m->type;
	p[1] = m->code;
	sn_put32(p + 4, m->mtu);
	if (v4) {
		memset(q, 0, 20);
		q[0] = 0x45;
		sn_put16(q + 2, 1500);
		sn_put16(q + 6, m->fragment);
		q[8] = 63;
		q[9] = proto;
		memcpy(q + 12, m->flow.local.b + 12, 4);
		memcpy(q + 16, m->flow.remote.b + 12, 4);
		icmp_quoted_tcp(q + 20, m);
		len = 28 + m->tcp_len;
	} else {
		memset(q, 0, 40 + m->ext);
		q[0] = 0x60;
		sn_put16(q + 4, 1460);
		q[6] = m->ext ? 60 : proto;
		memcpy(q + 8, m->flow.local.b, 16);
		memcpy(q + 24, m->flow.remote.b, 16);
		if (m->ext) {
			q[40] = proto;
			q[41] = (uint8_t)(m->ext / 8 - 1);
		}
		icmp_quoted_tcp(q + 40 + m->ext, m);
		len = 48 + m->ext + m->tcp_len;
	}
	uint32_t sum = 0;
	if (!v4)
		sum = sn_csum_partial(to->b, 16, sn_csum_partial(from->b, 16, 58 + len));
	sn_put16(p + 2, sn_csum_finish(sn_csum_partial(p, len, sum)));
	return len;
}

/* The whole IP packet. Returns its length. */
static inline uint32_t icmp_packet(uint8_t *p, const struct icmp_by_hand *m, const struct sn_addr *from,
				   const struct sn_addr *to)
{
	uint32_t len;

	if (sn_addr_is_v4(to)) {
		len = icmp_message(p + 20, m, from, to);
		memset(p, 0, 20);
		p[0] = 0x45;
		sn_put16(p + 2, (uint16_t)(20 + len));
		p[8] = 64;
		p[9] = 1;
		memcpy(p + 12, from->b + 12, 4);
		memcpy(p + 16, to->b + 12, 4);
		sn_put16(p + 10, sn_csum_finish(sn_csum_partial(p, 20, 0)));
		return 20 + len;
	}
	len = icmp_message(p + 40, m, from, to);
	memset(p, 0, 40);
	p[0] = 0x60;
	sn_put16(p + 4, (uint16_t)len);
	p[6] = 58;
	p[7] = 64;
	memcpy(p + 8, from->b, 16);
	memcpy(p + 24, to->b, 16);
	return 40 + len;
}

#endif
