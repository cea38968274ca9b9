/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/pool.h"

#include <stdlib.h>

enum { BUF_SIZE = (sizeof(struct sn_buf) + SN_HEADROOM + SN_SIM_DATA_ROOM + 63) & ~63u };
/* user[6] tells where a buffer is; the engine does not touch it. */
#define AT_HOME 0x6d6f682074612121ull
#define AWAY    0x79617761206e6f21ull

#ifdef __SANITIZE_ADDRESS__
#define ONE_BY_ONE 1
#else
#define ONE_BY_ONE 0
#endif

static void grow(struct sn_sim_pool *p)
{
	if (p->slabs == SN_SIM_POOL_MAX_SLABS)
		return;
	uint8_t *mem = aligned_alloc(SN_CACHE_LINE, (size_t)SN_SIM_POOL_SLAB * BUF_SIZE);
	if (!mem)
		return;
	p->slab[p->slabs++] = mem;
	for (uint32_t i = 0; i < SN_SIM_POOL_SLAB; i++) {
		struct sn_buf *b = (struct sn_buf *)(void *)(mem + (size_t)i * BUF_SIZE);
		b->user[6] = AT_HOME;
		b->next = p->free;
		p->free = b;
	}
}

static struct sn_buf *pool_alloc(struct sn_pool *pool)
{
	struct sn_sim_pool *p = pool->ctx;
	struct sn_buf *b;
	if (p->out >= p->limit)
		return NULL;
	if (p->plight && p->plight->pool > *p->now && sn_rng_below(&p->rng, 1000) < p->plight->pool_share)
		return NULL;
	if (ONE_BY_ONE) {
		b = aligned_alloc(SN_CACHE_LINE, BUF_SIZE);
	} else {
		if (!p->free)
			grow(p);
		b = p->free;
		if (b)
			p->free = b->next;
	}
	if (!b)
		return NULL;
	memset(b, 0, sizeof *b);
	b->pool = pool;
	b->base = (uint8_t *)(b + 1);
	b->room = SN_HEADROOM + SN_SIM_DATA_ROOM;
	b->data = b->base + SN_HEADROOM;
	b->user[6] = AWAY;
	if (++p->out > p->peak)
		p->peak = p->out;
	return b;
}

static void pool_free(struct sn_pool *pool, struct sn_buf *b)
{
	struct sn_sim_pool *p = pool->ctx;
	if (b->user[6] != AWAY) {
		p->bad++;
		return;
	}
	p->out--;
	if (ONE_BY_ONE) {
		free(b);
		return;
	}
	/* Whoever still reads it shall not get away with it: the stream checker sees these bytes. */
	memset(b->base, 0xdb, SN_HEADROOM + 64);
	b->user[6] = AT_HOME;
	b->data = NULL;
	b->len = 0;
	b->next = p->free;
	p->free = b;
}

static uint32_t pool_avail(struct sn_pool *pool, uint32_t *size)
{
	const struct sn_sim_pool *p = pool->ctx;
	*size = p->limit;
	return p->limit - p->out;
}

void sn_sim_pool_init(struct sn_sim_pool *p, const sn_time *now, const struct sn_sim_plight *plight, uint64_t seed)
{
	memset(p, 0, sizeof *p);
	p->now = now;
	p->plight = plight;
	p->rng = sn_rng_seed(seed, 0x7000);
	p->pool = (struct sn_pool){.alloc = pool_alloc, .free = pool_free, .ctx = p, .avail = pool_avail};
	p->limit = SN_SIM_POOL_SLAB * SN_SIM_POOL_MAX_SLABS;
}

void sn_sim_pool_close(struct sn_sim_pool *p)
{
	for (uint32_t i = 0; i < p->slabs; i++)
		free(p->slab[i]);
	p->slabs = 0;
	p->free = NULL;
}
