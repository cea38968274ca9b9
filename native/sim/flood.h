/* SPDX-License-Identifier: Apache-2.0
 *
 * Somebody on a path who floods B with SYNs (SN_SIM_FLOOD): copies of the first SYN that came by, each with another port and
 * sequence number, every other one from an address of the link that nobody has.
 */
#ifndef SN_SIM_FLOOD_H
#define SN_SIM_FLOOD_H

#include "sn_base.h"
#include "sn_buf.h"
#include "sim/rng.h"

struct sn_sim;

enum { SN_SIM_FLOOD_SYN = 160 };

struct sn_sim_flood {
	bool planned; /* a SYN is wanted */
	uint8_t syn[SN_SIM_FLOOD_SYN];
	uint32_t len; /* of it, 0: none came by yet */
	sn_time next, until, gap;
	uint64_t sent;
	struct sn_rng rng;
};

void sn_sim_flood_init(struct sn_sim *sim, uint32_t path);
/* A frame from A to B comes by. */
void sn_sim_flood_see(struct sn_sim *sim, uint32_t path, const struct sn_buf *b);
/* `rate` SYNs a second until then; nothing if no SYN was seen. */
void sn_sim_flood_begin(struct sn_sim *sim, uint32_t path, sn_time until, uint64_t rate);
/* Sends what is due. */
void sn_sim_flood_run(struct sn_sim *sim, uint32_t path);

#endif
