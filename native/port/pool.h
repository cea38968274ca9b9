/* SPDX-License-Identifier: Apache-2.0
 *
 * Packet buffers of one worker over a DPDK mempool. The record the engine sees (struct sn_buf) is the mbuf's private
 * area. The free buffers stand on a stack in shared memory, pushed and popped by the owning worker only.
 *
 *   | rte_mbuf (128) | sn_buf (128) | room: SN_HEADROOM + data |
 *
 * A buffer handed to another worker carries that worker's index + 1 in `lent`. Whoever frees a lent buffer is its
 * holder: it goes home through the holder's return ring. Function pointers in here are valid in every process that was
 * forked from the one that made the pool.
 */
#ifndef SN_PORT_POOL_H
#define SN_PORT_POOL_H

#include "sn_buf.h"

struct rte_mempool;
struct sn_ptr_ring;

enum { SN_LENT_RETURNED = 255 }; /* in sn_buf.lent: given back although the return ring was full; found by a walk */

struct sn_bufs {
	struct sn_pool pool;                      /* what the engine is given */
	struct rte_mempool *mp;                   /* packets */
	struct rte_mempool *refs;                 /* mbufs without room that point at payload */
	uint32_t worker;                          /* owner */
	uint32_t count;                           /* buffers in all */
	uint32_t room;                            /* bytes of room per buffer, headroom included */
	uint32_t rest;                            /* most that was ever free at once: the others lie in receive rings */
	uint32_t overflow;                        /* bumped by a holder that found its return ring full */
	uint32_t overflow_seen;                   /* the owner's */
	struct sn_ptr_ring *home[SN_MAX_WORKERS]; /* [holder]: return ring from that worker */
};

/* Makes the pools of one worker; count buffers for packets of up to frame bytes. Before the fork. */
enum sn_err sn_bufs_create(struct sn_bufs *p, const char *name, uint32_t worker, uint32_t count, uint32_t frame,
			   uint32_t refs);
/* Bytes of EAL memory that sn_bufs_create() will take, roughly and on the safe side. */
size_t sn_bufs_footprint(uint32_t count, uint32_t frame, uint32_t refs);
void sn_bufs_destroy(struct sn_bufs *p);
/* The owner's previous process died: everything that is not lent is free again. */
void sn_bufs_reset(struct sn_bufs *p);
/* Takes back what `holder` (SN_LENT_RETURNED - 1: what came back beside a full ring) still had; returns how many. */
uint32_t sn_bufs_reclaim(struct sn_bufs *p, uint32_t holder);
/* A buffer arrived through a return ring. */
void sn_bufs_came_home(struct sn_bufs *p, struct sn_buf *b);
uint32_t sn_bufs_free_count(const struct sn_bufs *p);
/* Buffers that other workers hold: walks the whole pool. */
uint32_t sn_bufs_lent_count(const struct sn_bufs *p);

#endif
