/* SPDX-License-Identifier: Apache-2.0
 *
 * The middlebox of one path, of the simulator and of netlab. Frames enter it before the link of their direction; it
 * rewrites, cuts, joins and holds them as struct sn_sim_box says. Sequence numbers: it knows A's view on its A side and
 * B's view on its B side, and keeps no state for that (the shift is a hash of the ports). Only the NAT has a table.
 */
#ifndef SN_SIM_BOX_H
#define SN_SIM_BOX_H

#include "sim/frame.h"
#include "sim/rng.h"

struct sn_sim_box; /* abi/50_sim.h */

enum { SN_SIM_NAT_FLOWS = 128 };

struct sn_sim_nat_flow {
	uint16_t inside, outside; /* A's port, and what B sees */
	bool gone;                /* the NAT has forgotten it; kept to know whose port it was */
};

struct sn_sim_middle {
	const struct sn_sim_box *cfg;
	uint64_t seed;
	uint32_t path;
	/* Set by the owner. */
	uint32_t room;     /* the longest frame */
	bool csum;         /* frames carry checksums, which are made anew */
	uint32_t *changes; /* counts what was done to frames */
	void (*out)(void *ctx, uint32_t path, uint32_t dir, struct sn_buf *b,
		    sn_time now); /* takes what leaves the box */
	void *ctx;

	struct sn_rng rng;
	uint32_t rewrites;
	uint32_t flows;
	struct sn_sim_nat_flow flow[SN_SIM_NAT_FLOWS];
	struct sn_buf *held[2]; /* [direction] waits for the next segment of its flow */
	sn_time until[2];
};

void sn_sim_middle_init(struct sn_sim_middle *m, const struct sn_sim_box *cfg, uint64_t seed, uint32_t path);
/* Takes a frame of one direction; out() gets what comes of it. */
void sn_sim_middle_send(struct sn_sim_middle *m, uint32_t dir, struct sn_buf *b, sn_time now);
/* When held frames go on. */
static inline sn_time sn_sim_middle_next(const struct sn_sim_middle *m) { return SN_MIN(m->until[0], m->until[1]); }
void sn_sim_middle_flush(struct sn_sim_middle *m, sn_time now);
void sn_sim_middle_drop(struct sn_sim_middle *m);
void sn_sim_middle_rebind(struct sn_sim_middle *m);
/* nat.c */
/* Rewrites addresses and ports; false: the NAT knows no such flow, or has no room. */
bool sn_sim_nat_tcp(struct sn_sim_middle *m, uint32_t dir, struct sn_sim_frame *f);
void sn_sim_nat_arp(struct sn_sim_middle *m, uint32_t dir, struct sn_buf *b);
/* A's port behind the port that B sees. */
uint16_t sn_sim_nat_inside(const struct sn_sim_middle *m, uint16_t outside);

#endif
