/* SPDX-License-Identifier: Apache-2.0
 *
 * Round-robin: the next subflow with room after the last one used, a quantum of segments at a time.
 */
#include "mptcp/conn.h"

enum { QUANTUM = 16 * 1024 /* bytes, cut to whole segments */ };

static bool pick(struct sn_conn *c, uint32_t exclude, uint64_t want, struct sn_pick *out, sn_time now)
{
	uint32_t left = sn_sched_eligible(c, exclude);

	for (uint32_t n = 1; n <= SN_MAX_SUBFLOWS; n++) {
		uint32_t slot = (c->rr_slot + n) % SN_MAX_SUBFLOWS;
		if (!(left & 1u << slot))
			continue;
		struct sn_tcp_estimate est;
		sn_time srtt;
		uint32_t len = sn_sched_take(c, c->sf[slot], want, &srtt, now);
		if (!len)
			continue;
		if (len > QUANTUM) {
			c->ops->estimate(c->sf[slot]->tcp, &est);
			len = est.mss && est.mss < QUANTUM ? QUANTUM - QUANTUM % est.mss : QUANTUM;
		}
		c->rr_slot = (uint8_t)slot;
		out->sf = c->sf[slot];
		out->len = len;
		return true;
	}
	return false;
}

const struct sn_sched_ops sn_sched_rr = {"roundrobin", SN_SCHED_ROUNDROBIN, pick};
