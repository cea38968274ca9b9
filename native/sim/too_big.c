/* SPDX-License-Identifier: Apache-2.0
 *
 * A router whose next link carries less: the packet vanishes and its sender hears of it (RFC 1191 4, RFC 4443 3.2). Written
 * by hand, as everything between the hosts.
 */
#include "sim/sim.h"

enum { QUOTE = 64 }; /* bytes of the packet in the message */

static uint32_t sum(const uint8_t *p, uint32_t len, uint32_t from)
{
	for (uint32_t i = 0; i + 1 < len; i += 2)
		from += sn_get16(p + i);
	return from;
}

static uint16_t fold(uint32_t s)
{
	s = (s & 0xffff) + (s >> 16);
	return (uint16_t) ~(s + (s >> 16));
}

void sn_sim_too_big(struct sn_sim *sim, uint32_t path, uint32_t dir, const struct sn_buf *b)
{
	bool v6 = sn_get16(b->data + 12) == 0x86dd;
	uint32_t hdr = v6 ? 40 : 20;
	struct sn_buf *a = sn_sim_frame_copy(b);

	if (!a)
		return;
	uint8_t *ip = a->data + 14, *icmp = ip + hdr;
	const uint8_t *was = b->data + 14;
	memcpy(a->data, b->data + 6, 6); /* back to where it came from */
	memcpy(a->data + 6, b->data, 6);
	memset(ip, 0, hdr + 8);
	memcpy(icmp + 8, was, QUOTE);
	if (v6) {
		ip[0] = 0x60;
		sn_put16(ip + 4, 8 + QUOTE);
		ip[6] = 58;
		ip[7] = 64;
		memcpy(ip + 8, was + 24, 16);
		memcpy(ip + 24, was + 8, 16);
		icmp[0] = 2;
		sn_put32(icmp + 4, sim->cfg->box[path].mtu);
		sn_put16(icmp + 2, fold(sum(icmp, 8 + QUOTE, sum(ip + 8, 32, 58 + 8 + QUOTE))));
	} else {
		ip[0] = 0x45;
		sn_put16(ip + 2, (uint16_t)(hdr + 8 + QUOTE));
		ip[8] = 64;
		ip[9] = 1;
		memcpy(ip + 12, was + 16, 4);
		memcpy(ip + 16, was + 12, 4);
		sn_put16(ip + 10, fold(sum(ip, 20, 0)));
		icmp[0] = 3;
		icmp[1] = 4;
		sn_put16(icmp + 6, (uint16_t)sim->cfg->box[path].mtu);
		sn_put16(icmp + 2, fold(sum(icmp, 8 + QUOTE, 0)));
	}
	a->len = 14 + hdr + 8 + QUOTE;
	sim->res->faults++;
	sn_sim_half_send(&sim->link[!dir][path], a, sim->now);
}
