/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/icmp6.h"

#include "wire/checksum.h"
#include "wire/ipv6.h"

enum { ND_HDR = 24, OPTION_SOURCE = 1, OPTION_TARGET = 2 };

bool sn_icmp6_parse(struct sn_icmp6 *m, const struct sn_ip *ip, const uint8_t *p, uint32_t len)
{
	if (len < SN_ICMP6_HDR)
		return false;
	uint32_t sum = sn_csum_pseudo_v6(&ip->src, &ip->dst, SN_IP_ICMP6, len);
	if (sn_csum_fold(sn_csum_partial(p, len, sum)) != 0xffff)
		return false;
	m->type = p[0];
	m->code = p[1];
	m->id = m->seq = 0;
	if (m->type == SN_ICMP6_ECHO || m->type == SN_ICMP6_ECHO_REPLY) {
		m->id = sn_get16(p + 4);
		m->seq = sn_get16(p + 6);
	}
	return true;
}

static void set_csum(uint8_t *p, const struct sn_addr *src, const struct sn_addr *dst, uint32_t len)
{
	sn_put16(p + 2, 0);
	uint32_t sum = sn_csum_pseudo_v6(src, dst, SN_IP_ICMP6, len);
	sn_put16(p + 2, sn_csum_finish(sn_csum_partial(p, len, sum)));
}

void sn_icmp6_emit(uint8_t *p, const struct sn_icmp6 *m, const struct sn_addr *src, const struct sn_addr *dst,
		   uint32_t data_len)
{
	p[0] = m->type;
	p[1] = m->code;
	sn_put16(p + 4, m->id);
	sn_put16(p + 6, m->seq);
	set_csum(p, src, dst, SN_ICMP6_HDR + data_len);
}

/* The one option that is wanted; others are skipped, none may be of no length. */
static bool options_parse(struct sn_nd *nd, const uint8_t *p, uint32_t len)
{
	uint8_t wanted = nd->type == SN_ICMP6_SOLICIT ? OPTION_SOURCE : OPTION_TARGET;

	while (len) {
		if (len < 8 || p[1] == 0 || 8u * p[1] > len)
			return false;
		if (p[0] == wanted && p[1] == 1) {
			nd->has_mac = true;
			memcpy(nd->mac, p + 2, 6);
		}
		len -= 8u * p[1];
		p += 8u * p[1];
	}
	return true;
}

bool sn_nd_parse(struct sn_nd *nd, const struct sn_ip *ip, const uint8_t *p, uint32_t len)
{
	/* From a router's far side no packet comes with this hop limit. */
	if (ip->ttl != 255 || len < ND_HDR || p[1] != 0 || (p[0] != SN_ICMP6_SOLICIT && p[0] != SN_ICMP6_ADVERTISE))
		return false;
	nd->type = p[0];
	nd->flags = p[0] == SN_ICMP6_ADVERTISE ? p[4] & (SN_ND_ROUTER | SN_ND_SOLICITED | SN_ND_OVERRIDE) : 0;
	nd->has_mac = false;
	memcpy(nd->target.b, p + 8, 16);
	if (sn_addr_is_multicast(&nd->target) || sn_addr_is_v4(&nd->target) ||
	    !options_parse(nd, p + ND_HDR, len - ND_HDR))
		return false;
	if (nd->has_mac && (nd->mac[0] & 1))
		return false;
	if (nd->type == SN_ICMP6_ADVERTISE)
		return !(nd->flags & SN_ND_SOLICITED) || !sn_addr_is_multicast(&ip->dst);
	/* Who asks whether its address is free has none yet. */
	struct sn_addr group = sn_ipv6_solicited_node(&nd->target);
	return !sn_addr_is_any6(&ip->src) || (!nd->has_mac && sn_addr_eq(&ip->dst, &group));
}

uint32_t sn_nd_emit(uint8_t *p, const struct sn_nd *nd, const struct sn_addr *src, const struct sn_addr *dst)
{
	uint32_t len = nd->has_mac ? SN_ND_LEN : ND_HDR;

	p[0] = nd->type;
	p[1] = 0;
	sn_put32(p + 4, (uint32_t)nd->flags << 24);
	memcpy(p + 8, nd->target.b, 16);
	if (nd->has_mac) {
		p[24] = nd->type == SN_ICMP6_SOLICIT ? OPTION_SOURCE : OPTION_TARGET;
		p[25] = 1;
		memcpy(p + 26, nd->mac, 6);
	}
	set_csum(p, src, dst, len);
	return len;
}
