/* SPDX-License-Identifier: Apache-2.0
 *
 * One simulated host: up to SN_SIM_WORKERS engines behind ports with one receive queue per worker. A hash of the 4-tuple
 * picks the queue, as RSS would; what lands on the wrong worker takes the forward hook to its sibling.
 */
#ifndef SN_SIM_HOST_H
#define SN_SIM_HOST_H

#include <stdio.h>

#include "engine/engine.h"
#include "sim/fault.h"
#include "sim/pool.h"
#include "sim/rng.h"

struct sn_sim;
struct sn_sim_cfg;

struct sn_sim_worker {
	struct sn_sim_host *host;
	uint32_t index;
	void *mem;
	size_t size;
	struct sn_engine *engine;
	struct sn_rng rng;
	struct sn_buf *inbox, **inbox_tail; /* forwarded by siblings */
	uint32_t inbox_len;
	sn_time deadline;
	sn_time stopped;                    /* not run before */
	sn_time leap;                       /* its clock is so far ahead */
	struct sn_buf *queue, **queue_tail; /* received while stopped */
	uint32_t queue_len;
	uint32_t idle_spins; /* polls in a row that asked to be polled at once and did nothing */
};

struct sn_sim_host {
	struct sn_sim *sim;
	uint32_t side; /* 0: A, 1: B */
	uint32_t workers, paths;
	struct sn_sim_pool pool;
	struct sn_sim_worker worker[4];
	struct sn_sim_plight plight;
	FILE *pcap;
};

/* 10.0.path.1/24 for A, 10.0.path.2/24 for B. */
static inline uint32_t sn_sim_host_ipv4(uint32_t side, uint32_t path) { return 0x0a000001u + side + (path << 8); }
/* fd00:0:0:path::1/64 for A, fd00:0:0:path::2/64 for B where the path is one of IPv6. */
bool sn_sim_path_v6(const struct sn_sim_cfg *c, uint32_t path);
struct sn_addr sn_sim_host_addr(const struct sn_sim_cfg *c, uint32_t side, uint32_t path);

/* The time by the host's own clock. */
sn_time sn_sim_worker_now(const struct sn_sim_worker *w);
bool sn_sim_host_init(struct sn_sim_host *h, struct sn_sim *sim, uint32_t side);
void sn_sim_host_close(struct sn_sim_host *h);
/* A frame arrives on a port: to the queue, through the engine, and the engine is polled. */
void sn_sim_host_rx(struct sn_sim_host *h, uint16_t port, struct sn_buf *b);
/* Polls one engine now, unless it is stopped; its next deadline is noted. */
void sn_sim_worker_poll(struct sn_sim_worker *w);
/* Delivers what siblings forwarded. Returns true if there was something. */
bool sn_sim_worker_inbox(struct sn_sim_worker *w);

#endif
