/* SPDX-License-Identifier: Apache-2.0
 *
 * One worker's process-private state. For native/lcore only; the functions of abi/40_worker.h work on it.
 *
 *   worker.c   take-over after the fork, poll loop, sleeping
 *   forward.c  frames and buffers between workers
 *   attach.c   channels of applications
 *   info.c     views for Python
 */
#ifndef SN_LCORE_LCORE_H
#define SN_LCORE_LCORE_H

#include "lcore/runtime.h"

enum { SN_RX_BURST = 32 };

struct sn_attached {
	uint64_t session; /* 0: free */
	struct sn_channel *ch;
	void *mem;
	size_t size;
	int fd[3]; /* memory, application's doorbell, worker's doorbell */
};

struct sn_worker {
	struct sn_runtime *rt;
	struct sn_lcore *me;
	struct sn_engine *engine;
	struct sn_bufs *bufs;
	struct sn_ring *control;
	int control_door;
	int doors; /* epoll: doorbells of all channels */
	uint32_t index;
	uint32_t workers;
	uint32_t ports;
	bool busy_poll;
	sn_time spin; /* how long to go on polling after work */
	sn_time now;
	uint64_t fwd_open; /* bit j: sibling j has dealt with our predecessor's death */
	uint64_t poke;     /* bit j: something was forwarded to j since its door was looked at */
	uint32_t epoch_seen[SN_MAX_WORKERS];
	struct sn_attached channel[SN_MAX_CHANNELS];
};

/* Hook of the engine: hands a frame to a sibling. */
bool sn_lcore_forward(void *ctx, uint32_t worker, struct sn_buf *b);
/* Frames and buffers from siblings; returns how many frames were handed to the engine. */
uint32_t sn_lcore_receive(struct sn_worker *w, sn_time now);
/* Wakes siblings that something was forwarded to. */
void sn_lcore_poke(struct sn_worker *w);
/* True if a sibling has put something into a ring of ours. */
bool sn_lcore_waiting(const struct sn_worker *w);

#endif
