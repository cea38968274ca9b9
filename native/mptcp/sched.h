/* SPDX-License-Identifier: Apache-2.0
 *
 * Packet schedulers: which subflow carries the next piece. Asked once per piece of up to a burst, never per byte.
 */
#ifndef SN_MPTCP_SCHED_H
#define SN_MPTCP_SCHED_H

#include "sn_base.h"

struct sn_conn;
struct sn_subflow;

struct sn_pick {
	struct sn_subflow *sf;
	uint32_t len; /* bytes that it may take now, at least 1 */
};

/* want: bytes that wait; exclude: bit per subflow slot that must not be used. False: nobody has room. */
struct sn_sched_ops {
	const char *name;
	uint8_t id; /* enum sn_sched_id */
	bool (*pick)(struct sn_conn *c, uint32_t exclude, uint64_t want, struct sn_pick *out, sn_time now);
};

extern const struct sn_sched_ops sn_sched_minrtt, sn_sched_rr;
static inline const struct sn_sched_ops *sn_sched_by_id(uint8_t id)
{
	return id == SN_SCHED_ROUNDROBIN ? &sn_sched_rr : &sn_sched_minrtt;
}

/* Subflows that may be used at all, bit per slot: the active ones; if there are none the backups; if there are only
 * stale ones, those. */
uint32_t sn_sched_eligible(const struct sn_conn *c, uint32_t exclude);
/* What a subflow takes now of `want` bytes: whole segments, or a short one only when nothing is in flight. 0: wait. */
uint32_t sn_sched_take(const struct sn_conn *c, struct sn_subflow *sf, uint64_t want, sn_time *srtt, sn_time now);

#endif
