/* SPDX-License-Identifier: Apache-2.0 */
#include "lcore/lcore.h"

bool sn_lcore_forward(void *ctx, uint32_t worker, struct sn_buf *b)
{
	struct sn_worker *w = ctx;

	/* A buffer that came from a sibling is not sent on a second journey. */
	if (SN_UNLIKELY(worker >= w->workers || worker == w->index || b->lent))
		return false;
	b->next = NULL;
	b->flags |= SN_BUF_FORWARDED;
	b->lent = (uint8_t)(worker + 1);
	if (SN_UNLIKELY(!sn_ptr_ring_push(w->rt->fwd[w->index][worker], b))) {
		b->lent = 0;
		b->flags &= (uint8_t)~SN_BUF_FORWARDED;
		return false;
	}
	w->poke |= 1ull << worker;
	return true;
}

void sn_lcore_poke(struct sn_worker *w)
{
	while (w->poke) {
		uint32_t j = (uint32_t)__builtin_ctzll(w->poke);
		struct sn_lcore *l = &w->rt->lcore[j];
		w->poke &= w->poke - 1;
		if (sn_door_wanted(&l->sleeps))
			sn_door_ring(l->door);
	}
}

/* Reading fwd[j][us] must wait until j has taken back what our dead predecessor held. */
static bool open_from(struct sn_worker *w, uint32_t j)
{
	uint64_t bit = 1ull << j;
	if (SN_LIKELY(w->fwd_open & bit))
		return true;
	if (__atomic_load_n(&w->rt->lcore[j].seen[w->index], __ATOMIC_ACQUIRE) != w->me->epoch)
		return false;
	w->fwd_open |= bit;
	return true;
}

uint32_t sn_lcore_receive(struct sn_worker *w, sn_time now)
{
	struct sn_buf *v[SN_RX_BURST];
	uint32_t frames = 0, n;

	for (uint32_t j = 0; j < w->workers; j++) {
		if (j == w->index)
			continue;
		n = sn_ptr_ring_pop(w->rt->home[j][w->index], (void **)v, SN_RX_BURST);
		for (uint32_t i = 0; i < n; i++)
			sn_bufs_came_home(w->bufs, v[i]);
		if (!open_from(w, j))
			continue;
		n = sn_ptr_ring_pop(w->rt->fwd[j][w->index], (void **)v, SN_RX_BURST);
		if (n)
			sn_engine_rx(w->engine, v, n, now);
		frames += n;
	}
	if (SN_UNLIKELY(__atomic_load_n(&w->bufs->overflow, __ATOMIC_ACQUIRE) != w->bufs->overflow_seen))
		sn_bufs_reclaim(w->bufs, SN_LENT_RETURNED - 1);
	return frames;
}

bool sn_lcore_waiting(const struct sn_worker *w)
{
	for (uint32_t j = 0; j < w->workers; j++)
		if (j != w->index && (!sn_ptr_ring_empty(w->rt->home[j][w->index]) ||
				      (w->fwd_open >> j & 1 && !sn_ptr_ring_empty(w->rt->fwd[j][w->index]))))
			return true;
	return false;
}

void sn_worker_siblings(struct sn_worker *w)
{
	struct sn_buf *v[SN_RX_BURST];
	uint32_t n;

	for (uint32_t k = 0; k < w->workers; k++) {
		uint32_t epoch = __atomic_load_n(&w->rt->lcore[k].epoch, __ATOMIC_ACQUIRE);
		if (k == w->index || w->me->seen[k] == epoch)
			continue;
		/* Neither end of these rings is in use by k: its new process waits for `seen`. */
		struct sn_ptr_ring *home = w->rt->home[k][w->index], *fwd = w->rt->fwd[w->index][k];
		while ((n = sn_ptr_ring_pop(home, (void **)v, SN_RX_BURST)))
			for (uint32_t i = 0; i < n; i++)
				sn_bufs_came_home(w->bufs, v[i]);
		sn_ptr_ring_init(fwd, fwd->entries);
		sn_bufs_reclaim(w->bufs, k);
		__atomic_store_n(&w->me->seen[k], epoch, __ATOMIC_RELEASE);
	}
}
