/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/slab.h"

void *sn_region_take(struct sn_region *r, size_t size)
{
	size_t at = (r->used + SN_CACHE_LINE - 1) & ~(size_t)(SN_CACHE_LINE - 1);
	if (!r->base) {
		r->used = at + size;
		return NULL;
	}
	if (at > r->size || size > r->size - at)
		return NULL;
	r->used = at + size;
	memset(r->base + at, 0, size);
	return r->base + at;
}

/* Of an odd number, modulo 2^32: every step doubles the bits that are right (Newton). */
static uint32_t inverse(uint32_t odd)
{
	uint32_t x = odd; /* right in the lowest 3 bits */

	for (int i = 0; i < 4; i++)
		x *= 2 - odd * x;
	return x;
}

bool sn_slab_init(struct sn_slab *s, struct sn_region *r, uint32_t count, uint32_t item_size)
{
	s->item_size = (item_size + 15u) & ~15u;
	s->count = count;
	s->used = s->peak = 0;
	s->shift = (uint32_t)__builtin_ctz(s->item_size);
	s->inverse = inverse(s->item_size >> s->shift);
	s->items = sn_region_take(r, (size_t)count * s->item_size);
	s->next_free = sn_region_take(r, (size_t)count * sizeof(uint32_t));
	if (!s->items || !s->next_free)
		return false;
	for (uint32_t i = 0; i < count; i++)
		s->next_free[i] = i + 1 < count ? i + 1 : SN_SLAB_NONE;
	s->free_head = count ? 0 : SN_SLAB_NONE;
	return true;
}

void *sn_slab_take(struct sn_slab *s)
{
	void *item = sn_slab_take_dirty(s);

	if (item)
		memset(item, 0, s->item_size);
	return item;
}
