/* SPDX-License-Identifier: Apache-2.0
 *
 * Destinations on whose path somebody drops SYNs with MP_CAPABLE: once a connection came about only without the option,
 * the next ones to that address do not try it for an hour. The table is small; the entry that ends first makes room.
 */
#include "mptcp/conn.h"

#define REMEMBERED (3600 * SN_SEC)

static struct sn_blackhole *find(struct sn_engine *e, const struct sn_addr *to)
{
	for (uint32_t i = 0; i < SN_BLACKHOLES; i++) {
		struct sn_blackhole *b = &e->mptcp.blackhole[i];
		if (b->until && sn_addr_eq(&b->addr, to))
			return b;
	}
	return NULL;
}

bool sn_blackhole_known(struct sn_engine *e, const struct sn_addr *to, sn_time now)
{
	struct sn_blackhole *b = find(e, to);
	if (b && b->until <= now)
		b->until = 0;
	return b && b->until;
}

void sn_blackhole_note(struct sn_engine *e, const struct sn_addr *to, sn_time now)
{
	struct sn_blackhole *b = find(e, to);
	for (uint32_t i = 0; !b && i < SN_BLACKHOLES; i++)
		if (!e->mptcp.blackhole[i].until)
			b = &e->mptcp.blackhole[i];
	if (!b) {
		b = e->mptcp.blackhole;
		for (uint32_t i = 1; i < SN_BLACKHOLES; i++)
			if (e->mptcp.blackhole[i].until < b->until)
				b = &e->mptcp.blackhole[i];
	}
	*b = (struct sn_blackhole){.addr = *to, .until = now + REMEMBERED};
	e->counters.Blackhole++;
}

void sn_blackhole_forget(struct sn_engine *e, const struct sn_addr *to)
{
	struct sn_blackhole *b = find(e, to);
	if (b)
		b->until = 0;
}
