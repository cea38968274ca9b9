/* SPDX-License-Identifier: Apache-2.0
 *
 * minRTT: the subflow with the smallest smoothed RTT that has room. Also what all schedulers share.
 */
#include "mptcp/conn.h"

uint32_t sn_sched_eligible(const struct sn_conn *c, uint32_t exclude)
{
	uint32_t active = 0, backup = 0, stale = 0;
	for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++) {
		const struct sn_subflow *sf = c->sf[i];
		if (!sn_sf_usable(sf))
			continue;
		*(sf->stale || sf->silent ? &stale : sf->backup ? &backup : &active) |= 1u << i;
	}
	uint32_t from = active ? active : backup ? backup : stale;
	/* What is excluded may leave only the second choice. */
	if (!(from & ~exclude))
		from = (active | backup) & ~exclude ? active | backup : active | backup | stale;
	return from & ~exclude;
}

uint32_t sn_sched_take(const struct sn_conn *c, struct sn_subflow *sf, uint64_t want, sn_time *srtt, sn_time now)
{
	uint32_t room = c->ops->room(sf->tcp, now);
	if (!room)
		return 0;
	struct sn_tcp_estimate est;
	c->ops->estimate(sf->tcp, &est);
	*srtt = est.srtt;
	if (room >= want)
		return (uint32_t)want;
	/* The window ends before the data does: whole segments only, a rest waits for more room. */
	if (est.mss && room >= est.mss)
		return room - room % est.mss;
	return c->ops->idle(sf->tcp) ? room : 0;
}

static bool pick(struct sn_conn *c, uint32_t exclude, uint64_t want, struct sn_pick *out, sn_time now)
{
	uint32_t left = sn_sched_eligible(c, exclude);
	sn_time best = SN_TIME_NEVER;

	for (; left; left &= left - 1) {
		struct sn_subflow *sf = c->sf[__builtin_ctz(left)];
		sn_time srtt;
		uint32_t len = sn_sched_take(c, sf, want, &srtt, now);
		if (!len || srtt >= best)
			continue;
		best = srtt;
		out->sf = sf;
		out->len = len;
	}
	return best != SN_TIME_NEVER;
}

const struct sn_sched_ops sn_sched_minrtt = {"minrtt", SN_SCHED_MINRTT, pick};
