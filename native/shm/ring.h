/* SPDX-License-Identifier: Apache-2.0
 *
 * Byte ring in shared memory for messages between two processes: one producer, one consumer, records of any length
 * (functions: include/abi/60_core.h). The consumer trusts neither the index nor the lengths that it reads: a producer that
 * died half-way or ran wild makes the ring unusable, nothing else.
 *
 * Thread rule: one thread per side. A view is made by the process that uses it, or before a fork by its parent, which then
 * leaves it alone.
 */
#ifndef SN_SHM_RING_H
#define SN_SHM_RING_H

#include "shm/channel.h" /* abi/60_core.h */
#include "shm/layout.h"

struct sn_ring {
	struct sn_ring_hdr *hdr;
	uint8_t *data;
	uint32_t capacity;   /* private copy, a power of two */
	uint32_t head, tail; /* own index, and what was last seen of the other's */
	bool producer;
	bool broken;
	int door;
};

/* As sn_ring_new(), in memory of the caller's. */
enum sn_err sn_ring_attach(struct sn_ring *r, void *mem, size_t size, bool producer, int door);

#endif
