/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/door.h"
#include "shm/ptr_ring.h"
#include "shm/ring.h"
#include "sn_test.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>

struct rig {
	void *mem;
	size_t size;
	struct sn_ring in, out; /* producer's and consumer's view */
};

static void rig_open(struct rig *r, uint32_t capacity, int door)
{
	r->size = sn_ring_footprint(capacity);
	REQUIRE(r->size);
	r->mem = aligned_alloc(64, r->size);
	REQUIRE(r->mem);
	memset(r->mem, 0xa5, r->size);
	CHECK_EQ(sn_ring_format(r->mem, r->size, capacity), SN_OK);
	CHECK_EQ(sn_ring_attach(&r->in, r->mem, r->size, true, door), SN_OK);
	CHECK_EQ(sn_ring_attach(&r->out, r->mem, r->size, false, door), SN_OK);
}

static void fill(uint8_t *p, uint32_t len, uint32_t seed)
{
	for (uint32_t i = 0; i < len; i++)
		p[i] = (uint8_t)(seed * 31 + i * 7);
}

SN_TEST(capacity_must_be_a_power_of_two)
{
	CHECK_EQ(sn_ring_footprint(0), 0);
	CHECK_EQ(sn_ring_footprint(32), 0);
	CHECK_EQ(sn_ring_footprint(100), 0);
	CHECK_EQ(sn_ring_footprint(0x80000000u), 0);
	CHECK(sn_ring_footprint(64) > 64);
}

SN_TEST(memory_that_is_no_ring_is_not_attached)
{
	struct rig r;
	struct sn_ring ring;

	rig_open(&r, 64, -1);
	CHECK_EQ(sn_ring_attach(&ring, r.mem, 16, false, -1), SN_E_INVAL);
	CHECK_EQ(sn_ring_attach(&ring, r.mem, r.size - 1, false, -1), SN_E_PROTO);
	r.in.hdr->capacity = 128;
	CHECK_EQ(sn_ring_attach(&ring, r.mem, r.size, false, -1), SN_E_PROTO);
	r.in.hdr->capacity = 64;
	r.in.hdr->tail = 65;
	CHECK_EQ(sn_ring_attach(&ring, r.mem, r.size, false, -1), SN_E_PROTO);
	r.in.hdr->magic = 0;
	CHECK_EQ(sn_ring_attach(&ring, r.mem, r.size, false, -1), SN_E_PROTO);
	free(r.mem);
}

SN_TEST(records_of_every_length_come_out_whole_round_the_end)
{
	struct rig r;
	uint8_t in[256], out[256];
	uint32_t pushed = 0, popped = 0;

	rig_open(&r, 256, -1);
	for (int round = 0; round < 2000; round++) {
		for (;; pushed++) {
			uint32_t len = pushed * 13 % 90;
			fill(in, len, pushed);
			if (sn_ring_push(&r.in, in, len) != SN_OK)
				break;
		}
		CHECK(sn_ring_pending(&r.out));
		for (int i = 0; i < 2; i++, popped++) {
			int32_t len = sn_ring_pop(&r.out, out, sizeof out);
			CHECK_EQ(len, popped * 13 % 90);
			fill(in, (uint32_t)len, popped);
			CHECK_MEM(in, out, (size_t)len);
		}
	}
	while (sn_ring_pop(&r.out, out, sizeof out) >= 0)
		popped++;
	CHECK_EQ(pushed, popped);
	CHECK(!sn_ring_pending(&r.out));
	free(r.mem);
}

SN_TEST(record_that_never_fits_and_full_ring_are_told_apart)
{
	struct rig r;
	uint8_t big[64] = {0};

	rig_open(&r, 64, -1);
	CHECK_EQ(sn_ring_push(&r.in, big, 61), SN_E_MSGSIZE);
	CHECK_EQ(sn_ring_push(&r.in, big, 0xffffffffu), SN_E_MSGSIZE);
	CHECK_EQ(sn_ring_push(&r.in, big, 60), SN_OK);
	CHECK_EQ(sn_ring_push(&r.in, big, 0), SN_E_AGAIN);
	CHECK_EQ(sn_ring_pop(&r.out, big, 59), SN_E_MSGSIZE);
	CHECK_EQ(sn_ring_pop(&r.out, big, 64), 60);
	CHECK_EQ(sn_ring_pop(&r.out, big, 64), SN_E_AGAIN);
	free(r.mem);
}

SN_TEST(consumer_survives_impossible_tail_and_length)
{
	static const struct {
		uint32_t tail, len;
	} bad[] = {{65, 0}, {3, 0}, {0xffffffffu, 0}, {8, 5}, {8, 64}, {8, 0xffffffffu}, {64, 0xfffffffcu}, {64, 61}};
	uint8_t out[64];

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct rig r;
		rig_open(&r, 64, -1);
		memcpy(r.in.data, &bad[i].len, 4);
		r.in.hdr->tail = bad[i].tail;
		CHECK_EQ(sn_ring_pop(&r.out, out, sizeof out), SN_E_PROTO);
		CHECK_EQ(sn_ring_pop(&r.out, out, sizeof out), SN_E_PROTO);
		CHECK(!sn_ring_pending(&r.out));
		free(r.mem);
	}
}

SN_TEST(producer_survives_impossible_head)
{
	struct rig r;
	uint8_t data[32] = {0};

	rig_open(&r, 64, -1);
	CHECK_EQ(sn_ring_push(&r.in, data, 32), SN_OK);
	r.in.hdr->head = 1000;
	CHECK_EQ(sn_ring_push(&r.in, data, 32), SN_E_PROTO);
	free(r.mem);
}

enum { STRESS = 20000 };

static void *produce(void *arg)
{
	struct rig *r = arg;
	uint8_t data[64];

	for (uint32_t i = 0; i < STRESS; i++) {
		uint32_t len = 4 + i % 50;
		fill(data, len, i);
		while (sn_ring_push(&r->in, data, len) == SN_E_AGAIN)
			sched_yield();
	}
	return NULL;
}

SN_TEST(no_message_and_no_wakeup_is_lost_between_two_threads)
{
	struct rig r;
	pthread_t t;
	uint8_t want[64], got[64];
	uint32_t n = 0;
	bool lost = false;
	int door = eventfd(0, EFD_NONBLOCK);

	rig_open(&r, 512, door);
	REQUIRE(pthread_create(&t, NULL, produce, &r) == 0);
	while (n < STRESS && !lost) {
		int32_t len = sn_ring_pop(&r.out, got, sizeof got);
		if (len >= 0) {
			CHECK_EQ(len, 4 + n % 50);
			fill(want, (uint32_t)len, n++);
			CHECK_MEM(want, got, (size_t)len);
		} else if (sn_ring_sleep(&r.out)) {
			struct pollfd p = {.fd = door, .events = POLLIN};
			lost = poll(&p, 1, 5000) == 0;
			sn_ring_wake(&r.out);
		}
	}
	CHECK(!lost);
	pthread_join(t, NULL);
	close(door);
	free(r.mem);
}

static void *produce_pointers(void *arg)
{
	struct sn_ptr_ring *r = arg;

	for (uintptr_t i = 1; i <= STRESS; i++)
		while (!sn_ptr_ring_push(r, (void *)i))
			sched_yield();
	return NULL;
}

SN_TEST(pointers_cross_in_order)
{
	struct sn_ptr_ring *r = sn_ptr_ring_init(aligned_alloc(64, (sn_ptr_ring_footprint(16) + 63) & ~63ul), 16);
	void *out[5];
	uintptr_t next = 1;
	pthread_t t;

	for (uintptr_t i = 1; i <= 16; i++)
		CHECK(sn_ptr_ring_push(r, (void *)i));
	CHECK(!sn_ptr_ring_push(r, (void *)1));
	CHECK(!sn_ptr_ring_empty(r));
	for (uint32_t n; (n = sn_ptr_ring_pop(r, out, 5));)
		for (uint32_t i = 0; i < n; i++)
			CHECK_EQ((uintptr_t)out[i], next++);
	CHECK_EQ(next, 17);
	CHECK(sn_ptr_ring_empty(r));

	next = 1;
	REQUIRE(pthread_create(&t, NULL, produce_pointers, r) == 0);
	while (next <= STRESS) {
		uint32_t n = sn_ptr_ring_pop(r, out, 5);
		for (uint32_t i = 0; i < n; i++)
			CHECK_EQ((uintptr_t)out[i], next++);
		if (!n)
			sched_yield();
	}
	pthread_join(t, NULL);
	free(r);
}

SN_TEST_MAIN()
