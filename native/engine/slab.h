/* SPDX-License-Identifier: Apache-2.0
 *
 * Fixed tables of records, carved once out of one worker's memory region. Take and put are O(1); nothing is
 * allocated after start. The region is mapped before the fork, so records stay readable when a worker has died.
 */
#ifndef SN_SLAB_H
#define SN_SLAB_H

#include "sn_base.h"

/* A region that is only ever carved from the front. */
struct sn_region {
	uint8_t *base;
	size_t size, used;
};

/* Returns zeroed, cache-line aligned memory, or NULL when the region is used up. With base == NULL it only adds up. */
void *sn_region_take(struct sn_region *r, size_t size);

struct sn_slab {
	uint8_t *items;
	uint32_t *next_free; /* link by index; SN_SLAB_USED marks a record in use */
	uint32_t free_head;
	uint32_t item_size, count, used, peak;
	uint32_t shift, inverse; /* item_size is 2^shift times an odd number; its inverse modulo 2^32 */
};
#define SN_SLAB_NONE UINT32_MAX
#define SN_SLAB_USED (UINT32_MAX - 1)

/* item_size is rounded up to 16 bytes. Returns false if the region is too small. */
bool sn_slab_init(struct sn_slab *s, struct sn_region *r, uint32_t count, uint32_t item_size);
/* A zeroed record or NULL when all are in use. */
void *sn_slab_take(struct sn_slab *s);
static inline void sn_slab_put(struct sn_slab *s, void *item);
/* As sn_slab_take(), but the record holds whatever it held: the caller sets every field that is ever read. */
static inline void *sn_slab_take_dirty(struct sn_slab *s)
{
	uint32_t i = s->free_head;
	if (SN_UNLIKELY(i == SN_SLAB_NONE))
		return NULL;
	s->free_head = s->next_free[i];
	s->next_free[i] = SN_SLAB_USED;
	if (++s->used > s->peak)
		s->peak = s->used;
	return s->items + (size_t)i * s->item_size;
}
/* Of a record of the slab: its offset is a multiple of item_size, so that no division is needed. */
static inline uint32_t sn_slab_index(const struct sn_slab *s, const void *item)
{
	return (uint32_t)((size_t)((const uint8_t *)item - s->items) >> s->shift) * s->inverse;
}
static inline void sn_slab_put(struct sn_slab *s, void *item)
{
	uint32_t i = sn_slab_index(s, item);
	SN_ASSERT(i < s->count && s->next_free[i] == SN_SLAB_USED);
	s->next_free[i] = s->free_head;
	s->free_head = i;
	s->used--;
}
/* True if the pointer is the start of a record in use. Any pointer may be asked. */
static inline bool sn_slab_holds(const struct sn_slab *s, const void *item)
{
	size_t off = (size_t)((const uint8_t *)item - s->items);
	return off < (size_t)s->count * s->item_size && off % s->item_size == 0 &&
	       s->next_free[off / s->item_size] == SN_SLAB_USED;
}
/* The record at an index if it is in use, else NULL. Any index may be asked. */
static inline void *sn_slab_at(const struct sn_slab *s, uint32_t index)
{
	return index < s->count && s->next_free[index] == SN_SLAB_USED ? s->items + (size_t)index * s->item_size : NULL;
}

#endif
