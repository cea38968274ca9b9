/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/mman.h>

#include "netlab/netlab.h"

static struct sn_buf *take(struct sn_pool *pool)
{
	struct sn_netlab_pool *p = pool->ctx;
	struct sn_buf *b = p->free;

	if (!b)
		return NULL;
	p->free = b->next;
	p->used++;
	p->peak = SN_MAX(p->peak, p->used);
	b->next = NULL;
	b->data = b->base + SN_NETLAB_TAG;
	b->len = 0;
	b->flags = 0;
	b->user[0] = 0;
	b->user[1] = p->now;
	return b;
}

static void give(struct sn_pool *pool, struct sn_buf *b)
{
	struct sn_netlab_pool *p = pool->ctx;

	SN_ASSERT(p->used > 0);
	p->used--;
	b->next = p->free;
	p->free = b;
}

bool sn_netlab_pool_init(struct sn_netlab_pool *p, uint32_t frame, uint32_t count)
{
	memset(p, 0, sizeof *p);
	p->room = frame + SN_NETLAB_TAG;
	size_t step = (sizeof(struct sn_buf) + p->room + SN_CACHE_LINE - 1) / SN_CACHE_LINE * SN_CACHE_LINE;
	p->size = step * count;
	/* Touched as it is used, last in first out: memory follows what really waits. */
	p->mem = mmap(NULL, p->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p->mem == MAP_FAILED) {
		p->mem = NULL;
		return false;
	}
	p->pool = (struct sn_pool){.alloc = take, .free = give, .ctx = p};
	p->count = count;
	for (uint32_t i = count; i-- > 0;) {
		struct sn_buf *b = (struct sn_buf *)(void *)(p->mem + step * i);

		b->pool = &p->pool;
		b->base = (uint8_t *)(b + 1);
		b->room = p->room;
		b->next = p->free;
		p->free = b;
	}
	return true;
}

void sn_netlab_pool_close(struct sn_netlab_pool *p)
{
	if (p->mem)
		munmap(p->mem, p->size);
	p->mem = NULL;
}
