/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/channel.h"

#include "shm/door.h"
#include "shm/layout.h"

#include <stdlib.h>

#define MAX_ENTRIES (1u << 20)
#define MAX_SLOTS   (1u << 20)
#define MAX_BYTES   (1ull << 31) /* offsets are 32 bits wide */

struct layout {
	uint32_t sq_off, cq_off, tx_off, rx_off;
	uint64_t total;
};

static bool power_of_two(uint32_t n) { return n && !(n & (n - 1)); }

static uint64_t page_up(uint64_t n) { return (n + SN_CHANNEL_PAGE - 1) & ~(uint64_t)(SN_CHANNEL_PAGE - 1); }

/* Places the parts; false if the geometry is not valid. */
static bool layout_of(const struct sn_channel_geometry *g, struct layout *l)
{
	if (!power_of_two(g->sq_entries) || g->sq_entries > MAX_ENTRIES || !power_of_two(g->cq_entries) ||
	    g->cq_entries > MAX_ENTRIES)
		return false;
	if (!g->tx_len || g->tx_len % SN_CHANNEL_PAGE || !g->rx_slot_size || g->rx_slot_size % SN_CACHE_LINE ||
	    !g->rx_slots || g->rx_slots > MAX_SLOTS)
		return false;
	uint64_t sq = SN_CHANNEL_PAGE;
	uint64_t cq = page_up(sq + (uint64_t)g->sq_entries * sizeof(struct sn_sqe));
	uint64_t tx = page_up(cq + (uint64_t)g->cq_entries * sizeof(struct sn_cqe));
	uint64_t rx = tx + g->tx_len;
	uint64_t total = page_up(rx + (uint64_t)g->rx_slot_size * g->rx_slots);
	if (total > MAX_BYTES)
		return false;
	*l = (struct layout){(uint32_t)sq, (uint32_t)cq, (uint32_t)tx, (uint32_t)rx, total};
	return true;
}

size_t sn_channel_footprint(const struct sn_channel_geometry *g)
{
	struct layout l;

	return layout_of(g, &l) ? (size_t)l.total : 0;
}

enum sn_err sn_channel_format(void *mem, size_t size, const struct sn_channel_geometry *g, uint32_t worker)
{
	struct sn_channel_hdr *hdr = mem;
	struct layout l;

	if ((uintptr_t)mem % SN_CACHE_LINE || !layout_of(g, &l) || size < l.total)
		return SN_E_INVAL;
	memset(hdr, 0, sizeof *hdr);
	hdr->version = SN_CHANNEL_VERSION;
	hdr->layout_hash = sn_channel_layout_hash();
	hdr->worker = worker;
	hdr->total = l.total;
	hdr->sq_off = l.sq_off;
	hdr->sq_entries = g->sq_entries;
	hdr->cq_off = l.cq_off;
	hdr->cq_entries = g->cq_entries;
	hdr->tx_off = l.tx_off;
	hdr->tx_len = g->tx_len;
	hdr->rx_off = l.rx_off;
	hdr->rx_slot_size = g->rx_slot_size;
	hdr->rx_slots = g->rx_slots;
	__atomic_store_n(&hdr->magic, SN_CHANNEL_MAGIC, __ATOMIC_RELEASE);
	return SN_OK;
}

static uint32_t once(const uint32_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }

enum sn_err sn_channel_attach(struct sn_channel *ch, void *mem, size_t size, bool worker_side, int door_app,
			      int door_worker)
{
	struct sn_channel_hdr *hdr = mem;
	struct layout l;

	if (size < sizeof *hdr || (uintptr_t)mem % SN_CACHE_LINE)
		return SN_E_INVAL;
	if (__atomic_load_n(&hdr->magic, __ATOMIC_ACQUIRE) != SN_CHANNEL_MAGIC ||
	    once(&hdr->version) != SN_CHANNEL_VERSION || once(&hdr->layout_hash) != sn_channel_layout_hash())
		return SN_E_PROTO;
	const struct sn_channel_geometry g = {
		.sq_entries = once(&hdr->sq_entries),
		.cq_entries = once(&hdr->cq_entries),
		.tx_len = once(&hdr->tx_len),
		.rx_slot_size = once(&hdr->rx_slot_size),
		.rx_slots = once(&hdr->rx_slots),
	};
	/* The places follow from the numbers: what the header says about them is only compared. */
	if (!layout_of(&g, &l) || l.total > size || once(&hdr->sq_off) != l.sq_off || once(&hdr->cq_off) != l.cq_off ||
	    once(&hdr->tx_off) != l.tx_off || once(&hdr->rx_off) != l.rx_off)
		return SN_E_PROTO;
	uint8_t *base = mem;
	*ch = (struct sn_channel){
		.hdr = hdr,
		.base = base,
		.size = size,
		.sq = (struct sn_sqe *)(void *)(base + l.sq_off),
		.cq = (struct sn_cqe *)(void *)(base + l.cq_off),
		.sq_mask = g.sq_entries - 1,
		.cq_mask = g.cq_entries - 1,
		.tx_off = l.tx_off,
		.tx_len = g.tx_len,
		.rx_off = l.rx_off,
		.rx_slot_size = g.rx_slot_size,
		.rx_slots = g.rx_slots,
		.door_app = door_app,
		.door_worker = door_worker,
	};
	/* A channel lives as long as both sides: every index starts at zero, whatever the header says by now. */
	if (!worker_side)
		return SN_OK;
	ch->rx_free_list = malloc((size_t)g.rx_slots * sizeof(uint32_t));
	ch->rx_out = calloc(g.rx_slots, 1);
	if (!ch->rx_free_list || !ch->rx_out) {
		sn_channel_leave(ch);
		return SN_E_NOMEM;
	}
	ch->rx_free = g.rx_slots;
	for (uint32_t i = 0; i < g.rx_slots; i++)
		ch->rx_free_list[i] = g.rx_slots - 1 - i;
	return SN_OK;
}

void sn_channel_leave(struct sn_channel *ch)
{
	free(ch->rx_free_list);
	free(ch->rx_out);
	ch->rx_free_list = NULL;
	ch->rx_out = NULL;
	ch->rx_free = 0;
}

/* --- rings: `own` is written by this side, `seen` is what was last accepted of the other side's index --- */

/* Reads the other side's index as a producer does (how far it consumed) or as a consumer does (how much it published):
 * in both cases tail - head must stay within the ring. */
static bool accept_index(struct sn_channel *ch, uint32_t used, uint32_t mask)
{
	if (SN_LIKELY(used <= mask + 1))
		return true;
	ch->violated = true;
	return false;
}

bool sn_channel_sq_pop(struct sn_channel *ch, struct sn_sqe *out)
{
	if (ch->sq_head == ch->sq_tail) {
		uint32_t tail = __atomic_load_n(&ch->hdr->sq_tail, __ATOMIC_ACQUIRE);
		if (tail == ch->sq_head || ch->violated || !accept_index(ch, tail - ch->sq_head, ch->sq_mask))
			return false;
		ch->sq_tail = tail;
	}
	memcpy(out, &ch->sq[ch->sq_head & ch->sq_mask], sizeof *out);
	__atomic_store_n(&ch->hdr->sq_head, ++ch->sq_head, __ATOMIC_RELEASE);
	return true;
}

bool sn_channel_sq_empty(const struct sn_channel *ch)
{
	return ch->violated || __atomic_load_n(&ch->hdr->sq_tail, __ATOMIC_ACQUIRE) == ch->sq_head;
}

uint32_t sn_channel_cq_room(struct sn_channel *ch)
{
	uint32_t head = __atomic_load_n(&ch->hdr->cq_head, __ATOMIC_ACQUIRE);

	if (ch->violated || !accept_index(ch, ch->cq_tail - head, ch->cq_mask))
		return 0;
	ch->cq_head = head;
	return ch->cq_mask + 1 - (ch->cq_tail - head);
}

bool sn_channel_cq_push(struct sn_channel *ch, const struct sn_cqe *e)
{
	if (ch->cq_tail - ch->cq_head > ch->cq_mask && sn_channel_cq_room(ch) == 0)
		return false;
	if (ch->violated)
		return false;
	memcpy(&ch->cq[ch->cq_tail & ch->cq_mask], e, sizeof *e);
	__atomic_store_n(&ch->hdr->cq_tail, ++ch->cq_tail, __ATOMIC_RELEASE);
	ch->wake_app = 1;
	return true;
}

void sn_channel_notify_app(struct sn_channel *ch)
{
	if (!ch->wake_app)
		return;
	ch->wake_app = 0;
	if (sn_door_wanted(&ch->hdr->app_sleeps))
		sn_door_ring(ch->door_app);
}

bool sn_channel_sq_push(struct sn_channel *ch, const struct sn_sqe *e)
{
	if (ch->sq_tail - ch->sq_head > ch->sq_mask) {
		uint32_t head = __atomic_load_n(&ch->hdr->sq_head, __ATOMIC_ACQUIRE);
		if (ch->violated || !accept_index(ch, ch->sq_tail - head, ch->sq_mask))
			return false;
		ch->sq_head = head;
		if (ch->sq_tail - head > ch->sq_mask)
			return false;
	}
	memcpy(&ch->sq[ch->sq_tail & ch->sq_mask], e, sizeof *e);
	__atomic_store_n(&ch->hdr->sq_tail, ++ch->sq_tail, __ATOMIC_RELEASE);
	return true;
}

void sn_channel_notify_worker(struct sn_channel *ch)
{
	if (sn_door_wanted(&ch->hdr->worker_sleeps))
		sn_door_ring(ch->door_worker);
}

bool sn_channel_cq_pop(struct sn_channel *ch, struct sn_cqe *out)
{
	if (ch->cq_head == ch->cq_tail) {
		uint32_t tail = __atomic_load_n(&ch->hdr->cq_tail, __ATOMIC_ACQUIRE);
		if (tail == ch->cq_head || ch->violated || !accept_index(ch, tail - ch->cq_head, ch->cq_mask))
			return false;
		ch->cq_tail = tail;
	}
	memcpy(out, &ch->cq[ch->cq_head & ch->cq_mask], sizeof *out);
	__atomic_store_n(&ch->hdr->cq_head, ++ch->cq_head, __ATOMIC_RELEASE);
	return true;
}

bool sn_channel_cq_empty(const struct sn_channel *ch)
{
	return ch->violated || __atomic_load_n(&ch->hdr->cq_tail, __ATOMIC_ACQUIRE) == ch->cq_head;
}

/* --- arena and slots, worker's side --- */

const uint8_t *sn_channel_tx(const struct sn_channel *ch, uint32_t off, uint32_t len)
{
	if (off > ch->tx_len || len > ch->tx_len - off)
		return NULL;
	return ch->base + ch->tx_off + off;
}

/* Index of the slot that starts at `off`, or -1. */
static int64_t slot_of(const struct sn_channel *ch, uint32_t off)
{
	if (off < ch->rx_off || (off - ch->rx_off) % ch->rx_slot_size)
		return -1;
	uint32_t i = (off - ch->rx_off) / ch->rx_slot_size;
	return i < ch->rx_slots ? (int64_t)i : -1;
}

uint8_t *sn_channel_rx_take(struct sn_channel *ch, uint32_t *off)
{
	if (!ch->rx_free)
		return NULL;
	*off = ch->rx_off + ch->rx_free_list[--ch->rx_free] * ch->rx_slot_size;
	return ch->base + *off;
}

void sn_channel_rx_untake(struct sn_channel *ch, uint32_t off)
{
	int64_t i = slot_of(ch, off);

	SN_ASSERT(i >= 0 && !ch->rx_out[i] && ch->rx_free < ch->rx_slots);
	ch->rx_free_list[ch->rx_free++] = (uint32_t)i;
}

void sn_channel_rx_hand_out(struct sn_channel *ch, uint32_t off)
{
	int64_t i = slot_of(ch, off);

	SN_ASSERT(i >= 0 && !ch->rx_out[i]);
	ch->rx_out[i] = 1;
}

bool sn_channel_rx_release(struct sn_channel *ch, uint32_t off)
{
	int64_t i = slot_of(ch, off);

	if (i < 0 || !ch->rx_out[i])
		return false;
	ch->rx_out[i] = 0;
	ch->rx_free_list[ch->rx_free++] = (uint32_t)i;
	return true;
}

/* --- sleeping and death --- */

void sn_channel_worker_sleep_prepare(struct sn_channel *ch) { sn_door_prepare(&ch->hdr->worker_sleeps); }

void sn_channel_worker_sleep_cancel(struct sn_channel *ch) { sn_door_cancel(&ch->hdr->worker_sleeps); }

void sn_channel_app_sleep_prepare(struct sn_channel *ch) { sn_door_prepare(&ch->hdr->app_sleeps); }

void sn_channel_app_sleep_cancel(struct sn_channel *ch) { sn_door_cancel(&ch->hdr->app_sleeps); }

uint32_t sn_channel_worker(const struct sn_channel *ch) { return once(&ch->hdr->worker); }

uint32_t sn_channel_dead(const struct sn_channel *ch) { return __atomic_load_n(&ch->hdr->dead, __ATOMIC_ACQUIRE); }

void sn_channel_mark_dead(void *mem) { __atomic_store_n(&((struct sn_channel_hdr *)mem)->dead, 1, __ATOMIC_SEQ_CST); }
