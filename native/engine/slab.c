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

bool sn_slab_init(struct sn_slab *s, struct sn_region *r, uint32_t count, uint32_t item_size)
{
	s->item_size = (item_size + 15u) & ~15u;
	s->count = count;
	s->used = s->peak = 0;
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
	uint32_t i = s->free_head;
	if (i == SN_SLAB_NONE)
		return NULL;
	s->free_head = s->next_free[i];
	s->next_free[i] = SN_SLAB_USED;
	if (++s->used > s->peak)
		s->peak = s->used;
	void *item = s->items + (size_t)i * s->item_size;
	memset(item, 0, s->item_size);
	return item;
}

void sn_slab_put(struct sn_slab *s, void *item)
{
	uint32_t i = sn_slab_index(s, item);
	SN_ASSERT(i < s->count && s->next_free[i] == SN_SLAB_USED);
	s->next_free[i] = s->free_head;
	s->free_head = i;
	s->used--;
}
