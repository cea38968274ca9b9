/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/ring.h"

#include "shm/door.h"

#include <stdlib.h>

#define RECORD_MAX (1u << 30)

static uint32_t record_size(uint32_t len) { return (uint32_t)sizeof(uint32_t) + ((len + 3u) & ~3u); }

size_t sn_ring_footprint(uint32_t capacity)
{
	if (capacity < 64 || capacity > RECORD_MAX || (capacity & (capacity - 1)))
		return 0;
	return sizeof(struct sn_ring_hdr) + capacity;
}

enum sn_err sn_ring_format(void *mem, size_t size, uint32_t capacity)
{
	struct sn_ring_hdr *hdr = mem;
	size_t need = sn_ring_footprint(capacity);

	if (!need || size < need || (uintptr_t)mem % SN_CACHE_LINE)
		return SN_E_INVAL;
	memset(hdr, 0, sizeof *hdr);
	hdr->capacity = capacity;
	__atomic_store_n(&hdr->magic, SN_RING_MAGIC, __ATOMIC_RELEASE);
	return SN_OK;
}

enum sn_err sn_ring_attach(struct sn_ring *r, void *mem, size_t size, bool producer, int door)
{
	struct sn_ring_hdr *hdr = mem;

	if (size < sizeof *hdr || (uintptr_t)mem % SN_CACHE_LINE)
		return SN_E_INVAL;
	if (__atomic_load_n(&hdr->magic, __ATOMIC_ACQUIRE) != SN_RING_MAGIC)
		return SN_E_PROTO;
	uint32_t capacity = __atomic_load_n(&hdr->capacity, __ATOMIC_RELAXED);
	size_t need = sn_ring_footprint(capacity);
	if (!need || size < need)
		return SN_E_PROTO;
	*r = (struct sn_ring){
		.hdr = hdr,
		.data = (uint8_t *)(hdr + 1),
		.capacity = capacity,
		.head = __atomic_load_n(&hdr->head, __ATOMIC_ACQUIRE),
		.tail = __atomic_load_n(&hdr->tail, __ATOMIC_ACQUIRE),
		.producer = producer,
		.door = door,
	};
	return r->tail - r->head > capacity ? SN_E_PROTO : SN_OK;
}

struct sn_ring *sn_ring_new(void *mem, size_t size, bool producer, int door)
{
	struct sn_ring *r = malloc(sizeof *r);

	if (r && sn_ring_attach(r, mem, size, producer, door) != SN_OK) {
		free(r);
		return NULL;
	}
	return r;
}

void sn_ring_free(struct sn_ring *r) { free(r); }

uint32_t sn_ring_capacity(const struct sn_ring *r) { return r->capacity; }

/* Copies that may go round the end. */
static void copy_in(struct sn_ring *r, uint32_t at, const void *src, uint32_t len)
{
	uint32_t off = at & (r->capacity - 1), first = SN_MIN(len, r->capacity - off);

	memcpy(r->data + off, src, first);
	memcpy(r->data, (const uint8_t *)src + first, len - first);
}

static void copy_out(const struct sn_ring *r, uint32_t at, void *dst, uint32_t len)
{
	uint32_t off = at & (r->capacity - 1), first = SN_MIN(len, r->capacity - off);

	memcpy(dst, r->data + off, first);
	memcpy((uint8_t *)dst + first, r->data, len - first);
}

enum sn_err sn_ring_push(struct sn_ring *r, const void *data, uint32_t len)
{
	SN_ASSERT(r->producer);
	if (len > RECORD_MAX || record_size(len) > r->capacity)
		return SN_E_MSGSIZE;
	if (r->capacity - (r->tail - r->head) < record_size(len)) {
		uint32_t head = __atomic_load_n(&r->hdr->head, __ATOMIC_ACQUIRE);
		if (r->tail - head > r->capacity)
			return SN_E_PROTO;
		r->head = head;
		if (r->capacity - (r->tail - head) < record_size(len))
			return SN_E_AGAIN;
	}
	copy_in(r, r->tail, &len, sizeof len);
	if (len)
		copy_in(r, r->tail + (uint32_t)sizeof len, data, len);
	r->tail += record_size(len);
	__atomic_store_n(&r->hdr->tail, r->tail, __ATOMIC_RELEASE);
	if (sn_door_wanted(&r->hdr->sleeps))
		sn_door_ring(r->door);
	return SN_OK;
}

bool sn_ring_pending(const struct sn_ring *r)
{
	return !r->broken && __atomic_load_n(&r->hdr->tail, __ATOMIC_ACQUIRE) != r->head;
}

int32_t sn_ring_pop(struct sn_ring *r, void *out, uint32_t max)
{
	SN_ASSERT(!r->producer);
	if (r->broken)
		return SN_E_PROTO;
	if (r->tail == r->head)
		r->tail = __atomic_load_n(&r->hdr->tail, __ATOMIC_ACQUIRE);
	uint32_t used = r->tail - r->head;
	if (used == 0)
		return SN_E_AGAIN;
	uint32_t len = 0;
	if (used >= sizeof len && used <= r->capacity)
		copy_out(r, r->head, &len, sizeof len); /* lengths stand on multiples of four: never split */
	else
		r->broken = true;
	if (r->broken || len > r->capacity || record_size(len) > used) {
		r->broken = true;
		return SN_E_PROTO;
	}
	if (len > max)
		return SN_E_MSGSIZE;
	copy_out(r, r->head + (uint32_t)sizeof len, out, len);
	r->head += record_size(len);
	__atomic_store_n(&r->hdr->head, r->head, __ATOMIC_RELEASE);
	return (int32_t)len;
}

bool sn_ring_sleep(struct sn_ring *r)
{
	sn_door_prepare(&r->hdr->sleeps);
	if (!sn_ring_pending(r))
		return true;
	sn_door_cancel(&r->hdr->sleeps);
	return false;
}

void sn_ring_wake(struct sn_ring *r)
{
	sn_door_cancel(&r->hdr->sleeps);
	sn_door_drain(r->door);
}
