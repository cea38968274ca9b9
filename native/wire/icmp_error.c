/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/icmp_error.h"

#include "wire/icmp.h"
#include "wire/icmp6.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

enum { QUOTED = 8 }; /* bytes of the TCP header that are read: ports and sequence number */

/* ICMP: types 3, 11 and 12. */
static bool why_v4(struct sn_icmp_error *m, uint8_t type, uint8_t code)
{
	static const uint8_t unreachable[] = {
		SN_ICMP_NET_UNREACHABLE,  SN_ICMP_HOST_UNREACHABLE, SN_ICMP_REFUSED,         SN_ICMP_REFUSED,
		SN_ICMP_TOO_BIG,          SN_ICMP_HOST_UNREACHABLE, SN_ICMP_NET_UNREACHABLE, SN_ICMP_HOST_UNREACHABLE,
		SN_ICMP_HOST_UNREACHABLE, SN_ICMP_PROHIBITED,       SN_ICMP_PROHIBITED,      SN_ICMP_NET_UNREACHABLE,
		SN_ICMP_HOST_UNREACHABLE, SN_ICMP_PROHIBITED,       SN_ICMP_PROHIBITED,      SN_ICMP_PROHIBITED,
	};

	switch (type) {
	case 3:
		if (code >= sizeof unreachable)
			return false;
		m->why = unreachable[code];
		return true;
	case 11: m->why = SN_ICMP_EXPIRED; return true;
	case 12: m->why = SN_ICMP_PARAMETER; return true;
	default: return false;
	}
}

/* ICMPv6: types 1 to 4. */
static bool why_v6(struct sn_icmp_error *m, uint8_t type, uint8_t code)
{
	static const uint8_t unreachable[] = {
		SN_ICMP_NET_UNREACHABLE, SN_ICMP_PROHIBITED, SN_ICMP_HOST_UNREACHABLE, SN_ICMP_HOST_UNREACHABLE,
		SN_ICMP_REFUSED,         SN_ICMP_PROHIBITED, SN_ICMP_PROHIBITED,
	};

	switch (type) {
	case 1:
		if (code >= sizeof unreachable)
			return false;
		m->why = unreachable[code];
		return true;
	case 2: m->why = SN_ICMP_TOO_BIG; return true;
	case 3: m->why = SN_ICMP_EXPIRED; return true;
	case 4: m->why = SN_ICMP_PARAMETER; return true;
	default: return false;
	}
}

static void segment(struct sn_icmp_error *m, const uint8_t *tcp)
{
	m->sport = sn_get16(tcp);
	m->dport = sn_get16(tcp + 2);
	m->seq = sn_get32(tcp + 4);
}

enum sn_icmp_verdict sn_icmp_error_parse(struct sn_icmp_error *m, const uint8_t *p, uint32_t len)
{
	if (len < SN_ICMP_HDR)
		return SN_ICMP_BAD;
	if (!why_v4(m, p[0], p[1]))
		return SN_ICMP_NO_ERROR;
	m->mtu = m->why == SN_ICMP_TOO_BIG ? sn_get16(p + 6) : 0;
	p += SN_ICMP_HDR;
	len -= SN_ICMP_HDR;
	/* The packet is longer than what is quoted of it, and a router may have changed the checksum. */
	if (len < SN_IPV4_HDR || p[0] >> 4 != 4)
		return SN_ICMP_BAD;
	uint32_t hdr = (p[0] & 0x0fu) * 4;
	if (hdr < SN_IPV4_HDR || len < hdr)
		return SN_ICMP_BAD;
	if (p[9] != SN_IP_TCP || (sn_get16(p + 6) & SN_IPV4_OFFSET))
		return SN_ICMP_OTHER;
	if (len < hdr + QUOTED)
		return SN_ICMP_BAD;
	m->src = sn_addr_v4(sn_get32(p + 12));
	m->dst = sn_addr_v4(sn_get32(p + 16));
	segment(m, p + hdr);
	return SN_ICMP_OK;
}

enum sn_icmp_verdict sn_icmp6_error_parse(struct sn_icmp_error *m, const uint8_t *p, uint32_t len)
{
	uint32_t at;
	uint8_t proto;

	if (len < SN_ICMP6_HDR)
		return SN_ICMP_BAD;
	if (!why_v6(m, p[0], p[1]))
		return SN_ICMP_NO_ERROR;
	m->mtu = m->why == SN_ICMP_TOO_BIG ? sn_get32(p + 4) : 0;
	p += SN_ICMP6_HDR;
	len -= SN_ICMP6_HDR;
	if (len < SN_IPV6_HDR || p[0] >> 4 != 6)
		return SN_ICMP_BAD;
	if (!sn_ipv6_upper(p, len, &proto, &at))
		return SN_ICMP_BAD;
	if (proto != SN_IP_TCP)
		return SN_ICMP_OTHER;
	if (len - at < QUOTED)
		return SN_ICMP_BAD;
	memcpy(m->src.b, p + 8, 16);
	memcpy(m->dst.b, p + 24, 16);
	segment(m, p + at);
	return SN_ICMP_OK;
}
