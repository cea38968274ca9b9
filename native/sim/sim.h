/* SPDX-License-Identifier: Apache-2.0
 *
 * The simulator's own view of a run. The event loop (sim.c) jumps to the earliest of {frame arrives, engine deadline,
 * application action, scripted event}, does that one thing and lets everything it caused at that instant settle.
 */
#ifndef SN_SIM_H
#define SN_SIM_H

#include "sn_abi.h"
#include "sn_base.h"

#include "abi/50_sim.h"

#include "sim/app.h"
#include "sim/box.h"
#include "sim/host.h"
#include "sim/link.h"
#include "sim/rng.h"
#include "sim/segments.h"
#include "sim/flood.h"
#include "sim/stall.h"
#include "sim/trace.h"

struct sn_sim {
	const struct sn_sim_cfg *cfg;
	struct sn_sim_result *res;
	sn_time start, now;
	sn_time last_progress; /* when an application byte last arrived */
	struct sn_sim_host host[2];
	struct sn_sim_app app[2];
	struct sn_sim_half link[2][SN_SIM_PATHS]; /* [0] A to B, [1] B to A */
	struct sn_sim_middle box[SN_SIM_PATHS];
	struct sn_sim_flood flood[SN_SIM_PATHS];
	uint32_t fragmented[SN_SIM_PATHS]; /* packets */
	struct sn_sim_stall stall[2];      /* of each host */
	uint32_t next_event;
	FILE *segments; /* NULL: none */
	struct sn_sim_trace trace;
	struct sn_stream_table stream;
	bool soft_csum; /* checksums in software: asked for, or frames may be corrupted */
};

/* A frame of a host enters a path: what a forgetful receiver changes, the middlebox, the link. */
void sn_sim_send(struct sn_sim *sim, uint32_t dir, uint32_t path, struct sn_buf *b);
/* too_big.c: tells the sender of a frame of direction `dir` that it was too long. */
void sn_sim_too_big(struct sn_sim *sim, uint32_t path, uint32_t dir, const struct sn_buf *b);
/* Ends the run as failed; the first reason is kept. */
void sn_sim_fail(struct sn_sim *sim, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline bool sn_sim_failed(const struct sn_sim *sim) { return sim->res->failure[0] != 0; }

/* config.c */
bool sn_sim_cfg_valid(const struct sn_sim_cfg *c);
/* check.c: at the end of a run. Records the first thing that is wrong. */
void sn_sim_check_end(struct sn_sim *sim);
/* True while some engine still holds a connection, subflow, segment, chunk or listener record; names it. */
bool sn_sim_records_left(const struct sn_sim *sim, char *what, size_t size);

#endif
