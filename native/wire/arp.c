/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/arp.h"

enum { HTYPE_ETHERNET = 1, PTYPE_IPV4 = 0x0800 };

bool sn_arp_parse(struct sn_arp *a, const uint8_t *p, uint32_t len)
{
	if (len < SN_ARP_LEN || sn_get16(p) != HTYPE_ETHERNET || sn_get16(p + 2) != PTYPE_IPV4 || p[4] != 6 ||
	    p[5] != 4)
		return false;
	a->op = sn_get16(p + 6);
	memcpy(a->sender_mac, p + 8, 6);
	a->sender = sn_get32(p + 14);
	memcpy(a->target_mac, p + 18, 6);
	a->target = sn_get32(p + 24);
	return a->op == SN_ARP_REQUEST || a->op == SN_ARP_REPLY;
}

void sn_arp_emit(uint8_t *p, const struct sn_arp *a)
{
	sn_put16(p, HTYPE_ETHERNET);
	sn_put16(p + 2, PTYPE_IPV4);
	p[4] = 6;
	p[5] = 4;
	sn_put16(p + 6, a->op);
	memcpy(p + 8, a->sender_mac, 6);
	sn_put32(p + 14, a->sender);
	memcpy(p + 18, a->target_mac, 6);
	sn_put32(p + 24, a->target);
}
