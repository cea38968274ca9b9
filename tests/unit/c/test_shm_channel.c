/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/channel.h"
#include "shm/door.h"
#include "shm/layout.h"
#include "sn_test.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>

static const struct sn_channel_geometry geometry = {
	.sq_entries = 8, .cq_entries = 4, .tx_len = 8192, .rx_slot_size = 256, .rx_slots = 3};

struct rig {
	uint8_t *mem;
	size_t size;
	struct sn_channel app, worker;
};

static void rig_open(struct rig *r, const struct sn_channel_geometry *g, int door_app, int door_worker)
{
	r->size = sn_channel_footprint(g);
	r->mem = aligned_alloc(4096, r->size);
	REQUIRE(r->mem);
	memset(r->mem, 0, r->size);
	CHECK_EQ(sn_channel_format(r->mem, r->size, g, 5), SN_OK);
	CHECK_EQ(sn_channel_attach(&r->worker, r->mem, r->size, true, door_app, door_worker), SN_OK);
	CHECK_EQ(sn_channel_attach(&r->app, r->mem, r->size, false, door_app, door_worker), SN_OK);
}

static void rig_close(struct rig *r)
{
	sn_channel_leave(&r->worker);
	sn_channel_leave(&r->app);
	free(r->mem);
}

static struct sn_channel_hdr *hdr(struct rig *r) { return (struct sn_channel_hdr *)(void *)r->mem; }

SN_TEST(geometry_that_cannot_be_shared_has_no_footprint)
{
	struct sn_channel_geometry g = geometry;

	CHECK(sn_channel_footprint(&g) > 0);
	CHECK_EQ(sn_channel_footprint(&g) % 4096, 0);
#define REFUSED(field, value) \
	g = geometry;         \
	g.field = (value);    \
	CHECK_EQ(sn_channel_footprint(&g), 0)
	REFUSED(sq_entries, 0);
	REFUSED(sq_entries, 12);
	REFUSED(cq_entries, 0x80000000u);
	REFUSED(tx_len, 4000);
	REFUSED(tx_len, 0);
	REFUSED(tx_len, 0xfffff000u);
	REFUSED(rx_slot_size, 100);
	REFUSED(rx_slots, 0);
	g = geometry;
	g.rx_slot_size = 0xffffffc0u;
	g.rx_slots = 1u << 20;
	CHECK_EQ(sn_channel_footprint(&g), 0);
}

SN_TEST(header_that_does_not_fit_is_not_attached)
{
	struct rig r;
	struct sn_channel ch;

	rig_open(&r, &geometry, -1, -1);
	CHECK_EQ(sn_channel_worker(&r.app), 5);
	CHECK_EQ(sn_channel_attach(&ch, r.mem, 100, true, -1, -1), SN_E_INVAL);
	CHECK_EQ(sn_channel_attach(&ch, r.mem, r.size - 4096, true, -1, -1), SN_E_PROTO);
#define BROKEN(field, value)                                                               \
	do {                                                                               \
		struct sn_channel_hdr saved = *hdr(&r);                                    \
		hdr(&r)->field = (value);                                                  \
		CHECK_EQ(sn_channel_attach(&ch, r.mem, r.size, true, -1, -1), SN_E_PROTO); \
		*hdr(&r) = saved;                                                          \
	} while (0)
	BROKEN(magic, 0);
	BROKEN(version, 2);
	BROKEN(layout_hash, 1);
	BROKEN(sq_entries, 1u << 20);
	BROKEN(sq_entries, 0);
	BROKEN(cq_off, 0);
	BROKEN(tx_len, 0xfffff000u);
	BROKEN(rx_off, 0xfffffff0u);
	BROKEN(rx_slots, 0xffffffffu);
	rig_close(&r);
}

SN_TEST(submissions_come_out_in_order_and_a_full_ring_says_so)
{
	struct rig r;
	struct sn_sqe e = {.op = SN_OP_SEND}, got;
	uint64_t in = 0, out = 0;

	rig_open(&r, &geometry, -1, -1);
	CHECK(sn_channel_sq_empty(&r.worker));
	for (int round = 0; round < 10; round++) {
		uint64_t before = in;
		for (e.user = in; sn_channel_sq_push(&r.app, &e); e.user = ++in)
			;
		CHECK_EQ(in - before, round ? 5 : 8);
		CHECK(!sn_channel_sq_empty(&r.worker));
		for (int i = 0; i < 5; i++) {
			REQUIRE(sn_channel_sq_pop(&r.worker, &got));
			CHECK_EQ(got.user, out++);
		}
	}
	CHECK(!r.worker.violated);
	rig_close(&r);
}

SN_TEST(completions_come_out_in_order_and_room_is_counted)
{
	struct rig r;
	struct sn_cqe e = {.op = SN_CQ_SENT}, got;

	rig_open(&r, &geometry, -1, -1);
	for (uint32_t i = 0; i < 4; i++) {
		CHECK_EQ(sn_channel_cq_room(&r.worker), 4 - i);
		e.user = i;
		CHECK(sn_channel_cq_push(&r.worker, &e));
	}
	CHECK(!sn_channel_cq_push(&r.worker, &e));
	for (uint32_t i = 0; i < 4; i++) {
		REQUIRE(sn_channel_cq_pop(&r.app, &got));
		CHECK_EQ(got.user, i);
	}
	CHECK(!sn_channel_cq_pop(&r.app, &got));
	CHECK(sn_channel_cq_empty(&r.app));
	CHECK_EQ(sn_channel_cq_room(&r.worker), 4);
	rig_close(&r);
}

SN_TEST(impossible_submission_index_is_a_violation)
{
	struct rig r;
	struct sn_sqe e;

	rig_open(&r, &geometry, -1, -1);
	hdr(&r)->sq_tail = 9;
	CHECK(!sn_channel_sq_pop(&r.worker, &e));
	CHECK(r.worker.violated);
	hdr(&r)->sq_tail = 1; /* too late to be good again */
	CHECK(!sn_channel_sq_pop(&r.worker, &e));
	CHECK(sn_channel_sq_empty(&r.worker));
	CHECK_EQ(sn_channel_cq_room(&r.worker), 0);
	rig_close(&r);
}

SN_TEST(submission_index_that_goes_back_is_a_violation)
{
	struct rig r;
	struct sn_sqe e = {.op = SN_OP_NOP};

	rig_open(&r, &geometry, -1, -1);
	CHECK(sn_channel_sq_push(&r.app, &e));
	CHECK(sn_channel_sq_pop(&r.worker, &e));
	hdr(&r)->sq_tail = 0;
	CHECK(!sn_channel_sq_pop(&r.worker, &e));
	CHECK(r.worker.violated);
	rig_close(&r);
}

SN_TEST(impossible_completion_index_is_a_violation)
{
	struct rig r;
	struct sn_cqe e = {.op = SN_CQ_EOF};

	rig_open(&r, &geometry, -1, -1);
	hdr(&r)->cq_head = 1; /* consumed what was never published */
	CHECK_EQ(sn_channel_cq_room(&r.worker), 0);
	CHECK(r.worker.violated);
	CHECK(!sn_channel_cq_push(&r.worker, &e));
	rig_close(&r);
}

SN_TEST(indices_in_the_header_do_not_survive_attach)
{
	struct rig r;
	struct sn_channel late;
	struct sn_sqe e = {.user = 7}, got;

	rig_open(&r, &geometry, -1, -1);
	hdr(&r)->sq_head = 1000; /* an application that wrote the worker's word before the worker came */
	hdr(&r)->cq_tail = 1000;
	CHECK_EQ(sn_channel_attach(&late, r.mem, r.size, true, -1, -1), SN_OK);
	CHECK(sn_channel_sq_empty(&late));
	CHECK(sn_channel_sq_push(&r.app, &e));
	CHECK(sn_channel_sq_pop(&late, &got));
	CHECK_EQ(got.user, 7);
	sn_channel_leave(&late);
	rig_close(&r);
}

SN_TEST(send_descriptor_outside_the_arena_has_no_address)
{
	struct rig r;

	rig_open(&r, &geometry, -1, -1);
	CHECK(sn_channel_tx(&r.worker, 0, 8192) == r.mem + r.worker.tx_off);
	CHECK(sn_channel_tx(&r.worker, 8191, 1) == r.mem + r.worker.tx_off + 8191);
	CHECK(sn_channel_tx(&r.worker, 8192, 0) != NULL);
	CHECK(!sn_channel_tx(&r.worker, 0, 8193));
	CHECK(!sn_channel_tx(&r.worker, 8192, 1));
	CHECK(!sn_channel_tx(&r.worker, 8193, 0));
	CHECK(!sn_channel_tx(&r.worker, 1, 0xffffffffu));
	CHECK(!sn_channel_tx(&r.worker, 0xffffffffu, 2));
	rig_close(&r);
}

SN_TEST(slot_comes_back_once_and_only_from_who_holds_it)
{
	struct rig r;
	uint32_t off[3], more;

	rig_open(&r, &geometry, -1, -1);
	for (int i = 0; i < 3; i++)
		REQUIRE(sn_channel_rx_take(&r.worker, &off[i]));
	CHECK(!sn_channel_rx_take(&r.worker, &more));
	CHECK(!sn_channel_rx_release(&r.worker, off[0])); /* taken, not handed out */
	sn_channel_rx_hand_out(&r.worker, off[0]);
	CHECK(!sn_channel_rx_release(&r.worker, off[0] + 64));
	CHECK(!sn_channel_rx_release(&r.worker, off[0] + 1));
	CHECK(!sn_channel_rx_release(&r.worker, r.worker.rx_off + 3 * 256));
	CHECK(!sn_channel_rx_release(&r.worker, 0));
	CHECK(!sn_channel_rx_release(&r.worker, 0xffffffffu));
	CHECK(sn_channel_rx_release(&r.worker, off[0]));
	CHECK(!sn_channel_rx_release(&r.worker, off[0]));
	sn_channel_rx_untake(&r.worker, off[1]);
	CHECK(!sn_channel_rx_release(&r.worker, off[1]));
	CHECK_EQ(r.worker.rx_free, 2);
	rig_close(&r);
}

static bool readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

SN_TEST(doorbell_rings_once_per_sleep_and_never_awake)
{
	struct rig r;
	struct sn_cqe e = {.op = SN_CQ_EOF}, got;
	int door = eventfd(0, EFD_NONBLOCK);

	rig_open(&r, &geometry, door, -1);
	sn_channel_cq_push(&r.worker, &e);
	sn_channel_notify_app(&r.worker);
	CHECK(!readable(door));
	CHECK(!sn_app_sleep(&r.app)); /* something is there: do not sleep */
	CHECK(sn_channel_cq_pop(&r.app, &got));
	CHECK(sn_app_sleep(&r.app));
	sn_channel_notify_app(&r.worker); /* nothing new was published */
	CHECK(!readable(door));
	sn_channel_cq_push(&r.worker, &e);
	sn_channel_notify_app(&r.worker);
	CHECK(readable(door));
	sn_door_drain(door);
	sn_channel_cq_push(&r.worker, &e);
	sn_channel_notify_app(&r.worker);
	CHECK(!readable(door)); /* the first ring took the wish back */
	sn_app_wake(&r.app, true);
	CHECK(!readable(door));
	close(door);
	rig_close(&r);
}

SN_TEST(ring_does_not_block_on_a_doorbell_that_was_filled_and_made_blocking)
{
	int end[2];
	char junk[4096] = {0};

	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, end) == 0);
	while (send(end[1], junk, sizeof junk, MSG_DONTWAIT) > 0)
		;
	sn_door_ring(end[1]);
	CHECK(readable(end[0]));
	close(end[0]);
	sn_door_ring(end[1]); /* the sleeper is gone: neither SIGPIPE nor an error */
	sn_door_ring(-1);
	sn_door_drain(-1);
	close(end[1]);
}

SN_TEST(dead_worker_is_seen_and_ends_sleep)
{
	struct rig r;

	rig_open(&r, &geometry, -1, -1);
	CHECK(!sn_channel_dead(&r.app));
	CHECK(sn_app_sleep(&r.app));
	sn_channel_mark_dead(r.mem);
	CHECK(sn_channel_dead(&r.app));
	CHECK(sn_app_lost(&r.app));
	CHECK(!sn_app_sleep(&r.app));
	rig_close(&r);
}

enum { STRESS = 20000 };

struct echo {
	struct rig rig;
	uint64_t sum;
	uint32_t sleeps;
};

/* Echoes every submission as a completion; sleeps whenever there is nothing to do. */
static void *echo_worker(void *arg)
{
	struct echo *s = arg;
	struct sn_channel *ch = &s->rig.worker;
	uint32_t done = 0;

	while (done < STRESS) {
		struct sn_sqe e;
		while (sn_channel_cq_room(ch) && sn_channel_sq_pop(ch, &e)) {
			struct sn_cqe c = {.op = SN_CQ_SENT, .user = e.user};
			sn_channel_cq_push(ch, &c);
			done++;
		}
		sn_channel_notify_app(ch);
		if (!sn_channel_cq_room(ch)) {
			sched_yield();
		} else if (sn_worker_sleep(ch)) {
			struct pollfd p = {.fd = ch->door_worker, .events = POLLIN};
			s->sleeps++;
			if (done < STRESS && poll(&p, 1, 5000) == 0)
				break; /* a lost wake-up */
			sn_worker_wake(ch);
		}
	}
	return (void *)(uintptr_t)done;
}

SN_TEST(no_wakeup_is_lost_between_two_threads_that_sleep)
{
	struct echo s = {0};
	int app[2], worker[2];
	pthread_t t;
	void *done;

	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, app) == 0);
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, worker) == 0);
	rig_open(&s.rig, &geometry, -1, -1);
	s.rig.app.door_app = app[0];
	s.rig.worker.door_app = app[1];
	s.rig.worker.door_worker = worker[0];
	s.rig.app.door_worker = worker[1];
	REQUIRE(pthread_create(&t, NULL, echo_worker, &s) == 0);

	uint64_t next = 0, back = 0;
	bool lost = false;
	while (back < STRESS && !lost) {
		struct sn_sqe e = {.op = SN_OP_NOP, .user = next};
		uint32_t burst = (uint32_t)(next % 3) + 1;
		while (next < STRESS && burst-- && sn_channel_sq_push(&s.rig.app, &e))
			e.user = ++next;
		sn_channel_notify_worker(&s.rig.app);
		struct sn_cqe c[4];
		uint32_t n = sn_app_reap(&s.rig.app, c, 4);
		for (uint32_t i = 0; i < n; i++)
			CHECK_EQ(c[i].user, back++);
		if (!n && next > back && sn_app_sleep(&s.rig.app)) {
			struct pollfd p = {.fd = app[0], .events = POLLIN};
			lost = poll(&p, 1, 5000) == 0;
			sn_app_wake(&s.rig.app, true);
		}
	}
	CHECK(!lost);
	CHECK_EQ(back, STRESS);
	sn_door_ring(worker[1]);
	pthread_join(t, &done);
	CHECK_EQ((uintptr_t)done, STRESS);
	CHECK(!s.rig.app.violated);
	CHECK(!s.rig.worker.violated);
	for (int i = 0; i < 2; i++) {
		close(app[i]);
		close(worker[i]);
	}
	rig_close(&s.rig);
}

SN_TEST_MAIN()
