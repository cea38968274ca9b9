/* SPDX-License-Identifier: Apache-2.0
 *
 * Ring of pointers between two workers that map the same memory at the same address: packets that landed on the wrong queue
 * go over one, emptied buffers come home over another. One producer, one consumer, both ours, so nothing is checked.
 */
#ifndef SN_SHM_PTR_RING_H
#define SN_SHM_PTR_RING_H

#include "shm/door.h"
#include "sn_base.h"

struct sn_ptr_ring {
	uint32_t entries;         /* power of two */
	SN_ALIGNED uint32_t tail; /* producer */
	uint32_t head_seen;       /* producer's copy of head */
	SN_ALIGNED uint32_t head; /* consumer */
	uint32_t tail_seen;       /* consumer's copy of tail */
	SN_ALIGNED void *slot[];
};

static inline size_t sn_ptr_ring_footprint(uint32_t entries)
{
	return sizeof(struct sn_ptr_ring) + (size_t)entries * sizeof(void *);
}

/* mem: cache-line aligned, footprint() bytes, any content. entries must be a power of two. */
static inline struct sn_ptr_ring *sn_ptr_ring_init(void *mem, uint32_t entries)
{
	struct sn_ptr_ring *r = mem;

	SN_ASSERT(entries && !(entries & (entries - 1)));
	memset(r, 0, sizeof *r);
	r->entries = entries;
	return r;
}

/* False: full. */
static inline bool sn_ptr_ring_push(struct sn_ptr_ring *r, void *p)
{
	uint32_t tail = r->tail;

	if (tail - r->head_seen == r->entries) {
		r->head_seen = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
		if (tail - r->head_seen == r->entries)
			return false;
	}
	r->slot[tail & (r->entries - 1)] = p;
	__atomic_store_n(&r->tail, tail + 1, __ATOMIC_RELEASE);
	return true;
}

/* Takes up to n pointers; returns how many. */
static inline uint32_t sn_ptr_ring_pop(struct sn_ptr_ring *r, void **out, uint32_t n)
{
	uint32_t head = r->head, have = r->tail_seen - head;

	if (have < n) {
		r->tail_seen = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
		have = r->tail_seen - head;
	}
	n = SN_MIN(n, have);
	for (uint32_t i = 0; i < n; i++)
		out[i] = r->slot[(head + i) & (r->entries - 1)];
	if (n)
		__atomic_store_n(&r->head, head + n, __ATOMIC_RELEASE);
	return n;
}

/* Consumer's look: the last one before sleeping follows sn_door_prepare(). */
static inline bool sn_ptr_ring_empty(const struct sn_ptr_ring *r)
{
	return __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE) == r->head;
}

#endif
