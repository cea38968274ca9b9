/* SPDX-License-Identifier: Apache-2.0 */
#include "port/pool.h"

#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#include "port/error.h"
#include "port/mbuf.h"
#include "shm/ptr_ring.h"

/* --- free stack of a mempool: one process at a time, so plain loads and stores -------------------------------- */

struct lifo {
	uint32_t n, size;
	void *item[];
};

static int lifo_alloc(struct rte_mempool *mp)
{
	struct lifo *s =
		rte_zmalloc_socket("sn_lifo", sizeof *s + (size_t)mp->size * sizeof(void *), 64, mp->socket_id);
	if (!s)
		return -rte_errno;
	s->size = mp->size;
	mp->pool_data = s;
	return 0;
}

static void lifo_free(struct rte_mempool *mp) { rte_free(mp->pool_data); }

static int lifo_put(struct rte_mempool *mp, void *const *v, unsigned int n)
{
	struct lifo *s = mp->pool_data;
	if (SN_UNLIKELY(s->n + n > s->size))
		return -ENOBUFS;
	memcpy(&s->item[s->n], v, n * sizeof *v);
	s->n += n;
	return 0;
}

static int lifo_get(struct rte_mempool *mp, void **v, unsigned int n)
{
	struct lifo *s = mp->pool_data;
	if (SN_UNLIKELY(s->n < n))
		return -ENOBUFS;
	s->n -= n;
	for (unsigned int i = 0; i < n; i++)
		v[i] = s->item[s->n + n - 1 - i];
	return 0;
}

static unsigned int lifo_count(const struct rte_mempool *mp) { return ((const struct lifo *)mp->pool_data)->n; }

static const struct rte_mempool_ops lifo_ops = {
	.name = "sn_lifo",
	.alloc = lifo_alloc,
	.free = lifo_free,
	.enqueue = lifo_put,
	.dequeue = lifo_get,
	.get_count = lifo_count,
};
RTE_MEMPOOL_REGISTER_OPS(lifo_ops);

/* --- struct sn_pool ---------------------------------------------------------------------------------------------- */

static struct sn_buf *buf_alloc(struct sn_pool *pool)
{
	struct sn_bufs *p = pool->ctx;
	struct rte_mbuf *m = rte_pktmbuf_alloc(p->mp);
	if (SN_UNLIKELY(!m))
		return NULL;
	struct sn_buf *b = sn_buf_of(m);
	*b = (struct sn_buf){
		.data = (uint8_t *)m->buf_addr + SN_HEADROOM,
		.pool = pool,
		.base = m->buf_addr,
		.room = m->buf_len,
	};
	return b;
}

static void buf_free(struct sn_pool *pool, struct sn_buf *b)
{
	struct sn_bufs *p = pool->ctx;
	if (SN_LIKELY(!b->lent)) {
		struct rte_mbuf *m = sn_mbuf_of(b);
		m->next = NULL;
		m->nb_segs = 1;
		rte_mbuf_raw_free(m);
		return;
	}
	/* Not ours: this process is the holder that `lent` names. */
	struct sn_ptr_ring *home = p->home[b->lent - 1];
	if (SN_UNLIKELY(!sn_ptr_ring_push(home, b))) {
		__atomic_store_n(&b->lent, SN_LENT_RETURNED, __ATOMIC_RELEASE);
		__atomic_fetch_add(&p->overflow, 1, __ATOMIC_RELEASE); /* rare: not on the packet path's common way */
	}
}

static uint32_t buf_avail(struct sn_pool *pool, uint32_t *size)
{
	struct sn_bufs *p = pool->ctx;
	uint32_t n = lifo_count(p->mp);
	if (n > p->rest)
		p->rest = n;
	*size = p->rest;
	return n;
}

static struct rte_mempool *make(const char *kind, const char *name, uint32_t worker, uint32_t count, uint16_t priv,
				uint16_t room)
{
	char full[RTE_MEMPOOL_NAMESIZE];
	snprintf(full, sizeof full, "%s%u.%.12s", kind, worker, name);
	return rte_pktmbuf_pool_create_by_ops(full, count, 0, priv, room, SOCKET_ID_ANY, "sn_lifo");
}

enum sn_err sn_bufs_create(struct sn_bufs *p, const char *name, uint32_t worker, uint32_t count, uint32_t frame,
			   uint32_t refs)
{
	uint32_t room = SN_HEADROOM + SN_MAX(frame, 2048u);
	_Static_assert(SN_HEADROOM == RTE_PKTMBUF_HEADROOM, "received frames start behind the same headroom");

	memset(p, 0, sizeof *p);
	if (room > UINT16_MAX)
		return sn_fail(SN_E_INVAL,
			       "frames of %u bytes do not fit a packet buffer (at most 65407): lower the MTU", frame);
	p->mp = make("pk", name, worker, count, sizeof(struct sn_buf), (uint16_t)room);
	if (p->mp)
		p->refs = make("ref", name, worker, refs,
			       RTE_ALIGN(sizeof(struct rte_mbuf_ext_shared_info), RTE_MBUF_PRIV_ALIGN), 0);
	if (!p->refs) {
		int err = rte_errno;
		sn_bufs_destroy(p);
		return sn_fail(
			SN_E_NOMEM,
			"no memory for %u packet buffers of %u bytes, %zu MB, of worker %u (%s): raise memory_mb, or lower buffers "
			"or the MTU",
			count, room, sn_bufs_footprint(count, frame, refs) >> 20, worker, rte_strerror(err));
	}
	p->worker = worker;
	p->count = count;
	p->room = room;
	p->pool = (struct sn_pool){.alloc = buf_alloc, .free = buf_free, .ctx = p, .avail = buf_avail};
	return SN_OK;
}

size_t sn_bufs_footprint(uint32_t count, uint32_t frame, uint32_t refs)
{
	size_t per = sizeof(struct rte_mbuf) + sizeof(struct sn_buf) + SN_HEADROOM + SN_MAX(frame, 2048u) + 192;
	return count * per + refs * (size_t)448 + (1u << 20);
}

void sn_bufs_destroy(struct sn_bufs *p)
{
	rte_mempool_free(p->mp);
	rte_mempool_free(p->refs);
	p->mp = p->refs = NULL;
}

/* --- after a death ----------------------------------------------------------------------------------------------- */

static void reset_one(struct rte_mempool *mp, void *arg, void *obj, unsigned int i)
{
	struct lifo *s = mp->pool_data;
	(void)arg;
	if (mp->elt_size > sizeof(struct rte_mbuf) + sizeof(struct sn_buf) && sn_buf_of(obj)->lent) {
		if (__atomic_load_n(&sn_buf_of(obj)->lent, __ATOMIC_ACQUIRE) != SN_LENT_RETURNED)
			return;
	}
	rte_pktmbuf_init(mp, NULL, obj, i);
	s->item[s->n++] = obj;
}

void sn_bufs_reset(struct sn_bufs *p)
{
	struct rte_mempool *pools[] = {p->mp, p->refs};
	for (size_t i = 0; i < 2; i++) {
		((struct lifo *)pools[i]->pool_data)->n = 0;
		rte_mempool_obj_iter(pools[i], reset_one, NULL);
	}
	p->overflow_seen = __atomic_load_n(&p->overflow, __ATOMIC_ACQUIRE);
	p->rest = 0;
}

struct reclaim {
	struct sn_bufs *p;
	uint8_t lent;
	uint32_t n;
};

static void reclaim_one(struct rte_mempool *mp, void *arg, void *obj, unsigned int i)
{
	struct reclaim *r = arg;
	struct sn_buf *b = sn_buf_of(obj);
	(void)mp;
	(void)i;
	if (__atomic_load_n(&b->lent, __ATOMIC_ACQUIRE) != r->lent)
		return;
	sn_bufs_came_home(r->p, b);
	r->n++;
}

uint32_t sn_bufs_reclaim(struct sn_bufs *p, uint32_t holder)
{
	struct reclaim r = {.p = p, .lent = (uint8_t)(holder + 1)};
	p->overflow_seen = __atomic_load_n(&p->overflow, __ATOMIC_ACQUIRE);
	rte_mempool_obj_iter(p->mp, reclaim_one, &r);
	return r.n;
}

void sn_bufs_came_home(struct sn_bufs *p, struct sn_buf *b)
{
	b->lent = 0;
	buf_free(&p->pool, b);
}

static void count_lent(struct rte_mempool *mp, void *arg, void *obj, unsigned int i)
{
	(void)mp;
	(void)i;
	*(uint32_t *)arg += sn_buf_of(obj)->lent != 0;
}

uint32_t sn_bufs_free_count(const struct sn_bufs *p) { return lifo_count(p->mp); }

uint32_t sn_bufs_lent_count(const struct sn_bufs *p)
{
	uint32_t n = 0;
	rte_mempool_obj_iter(p->mp, count_lent, &n);
	return n;
}
