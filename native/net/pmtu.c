/* SPDX-License-Identifier: Apache-2.0
 *
 * What paths are known to carry (RFC 1191 6.2, RFC 8201 5.2): a bounded table of this worker's, from which new flows
 * begin. A path is a port and a destination: two ports may reach the same host by links of different MTU.
 *
 * An entry holds for ten minutes (RFC 8201 4); a set of four that is full loses its oldest.
 */
#include "engine/engine.h"

enum { WAYS = 4 };
_Static_assert(SN_PMTU_MAX % WAYS == 0, "whole sets");

static struct sn_net_pmtu *set_of(const struct sn_engine *e, uint16_t port, const struct sn_addr *dst)
{
	struct sn_flow key = {.remote = *dst, .lport = port};
	uint64_t set = sn_demux_hash(e, &key) % (SN_PMTU_MAX / WAYS);

	return (struct sn_net_pmtu *)&e->net.pmtu[set * WAYS];
}

static bool is_of(const struct sn_net_pmtu *k, uint16_t port, const struct sn_addr *dst)
{
	return k->mtu && k->port == port && sn_addr_eq(&k->dst, dst);
}

uint16_t sn_net_pmtu(const struct sn_engine *e, uint16_t port, const struct sn_addr *dst, sn_time now)
{
	uint16_t mtu = sn_net_port_mtu(e, port);

	if (!e->net.pmtu_known)
		return mtu;
	const struct sn_net_pmtu *k = set_of(e, port, dst);
	for (uint32_t i = 0; i < WAYS; i++)
		if (is_of(&k[i], port, dst) && now - k[i].at < SN_PMTU_AGE)
			return SN_MIN(k[i].mtu, mtu);
	return mtu;
}

void sn_net_pmtu_learn(struct sn_engine *e, uint16_t port, const struct sn_addr *dst, uint16_t mtu, sn_time now)
{
	struct sn_net_pmtu *k = set_of(e, port, dst), *take = k;

	for (uint32_t i = 0; i < WAYS; i++) {
		if (is_of(&k[i], port, dst)) {
			take = &k[i];
			break;
		}
		if (!k[i].mtu || k[i].at < take->at)
			take = &k[i];
	}
	e->net.pmtu_known = true;
	*take = (struct sn_net_pmtu){.dst = *dst, .at = now, .port = port, .mtu = mtu};
}
