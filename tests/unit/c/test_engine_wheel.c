/* SPDX-License-Identifier: Apache-2.0
 *
 * The timer wheel against a list: never early, at most one tick late, whatever is armed, re-armed and cancelled, also from
 * inside callbacks.
 */
#include "engine/wheel.h"

#include "sim/rng.h"
#include "sn_test.h"

#define TICK (1ull << SN_WHEEL_SHIFT)
enum { TIMERS = 300 };

struct item {
	struct sn_timer timer;
	bool armed;
	sn_time at;    /* as asked for */
	sn_time since; /* when it was asked for */
};

static struct {
	struct sn_wheel wheel;
	struct item item[TIMERS];
	struct sn_rng rng;
	sn_time now;
	bool meddle; /* callbacks arm and cancel */
	unsigned fired, early, late, unasked;
} m;

static sn_time far_or_near(void)
{
	static const sn_time range[] = {1, TICK / 2, 3 * TICK, 100 * TICK, 70000 * TICK, 20000000 * TICK, 40ull << 36};
	return sn_rng_below(&m.rng, range[sn_rng_below(&m.rng, sizeof range / sizeof range[0])] + 1);
}

/* Mostly later than now, sometimes up to `back` before it. */
static sn_time around(sn_time now, sn_time back)
{
	sn_time before = sn_rng_below(&m.rng, back + 1);
	return now + far_or_near() - SN_MIN(now, before);
}

static void arm(struct item *it, sn_time at)
{
	it->armed = true;
	it->at = at;
	it->since = m.now;
	sn_wheel_arm(&m.wheel, &it->timer, at);
}

static void cancel(struct item *it)
{
	it->armed = false;
	sn_wheel_cancel(&m.wheel, &it->timer);
}

static struct item *any(void) { return &m.item[sn_rng_below(&m.rng, TIMERS)]; }

static void fire(struct sn_timer *t, sn_time now)
{
	struct item *it = (struct item *)(void *)t;

	m.fired++;
	m.unasked += !it->armed || sn_timer_armed(t);
	m.early += now < it->at;
	it->armed = false;
	if (!m.meddle)
		return;
	switch (sn_rng_below(&m.rng, 8)) {
	case 0: /* its own again, soon or in the past */ arm(it, around(now, 5 * TICK)); break;
	case 1: cancel(any()); break;
	case 2: {
		struct item *other = any();
		arm(other, now + far_or_near());
		break;
	}
	case 3: /* the owner is freed and its memory used for something else */
		memset(&it->timer, 0xa5, sizeof it->timer);
		memset(&it->timer, 0, sizeof it->timer);
		it->timer.fire = fire;
		break;
	case 4: arm(it, now); break;
	default: break;
	}
}

static void start(uint64_t seed, sn_time now, bool meddle)
{
	memset(&m, 0, sizeof m);
	m.rng = sn_rng_seed(seed, 1);
	m.now = now;
	m.meddle = meddle;
	sn_wheel_init(&m.wheel, now);
	for (int i = 0; i < TIMERS; i++)
		m.item[i].timer.fire = fire;
}

/* Everything that should have fired by m.now has; next() is not later than what is to come, and not in the past. */
static void check_state(void)
{
	sn_time earliest = SN_TIME_NEVER;
	uint32_t armed = 0;

	for (int i = 0; i < TIMERS; i++) {
		struct item *it = &m.item[i];
		if (it->armed != sn_timer_armed(&it->timer))
			m.unasked++;
		if (!it->armed)
			continue;
		armed++;
		m.late += SN_MAX(it->at, it->since) + TICK <= m.now;
		earliest = SN_MIN(earliest, SN_MAX(it->at, it->since));
	}
	CHECK_EQ(m.wheel.armed, armed);
	sn_time next = sn_wheel_next(&m.wheel);
	if (!armed) {
		CHECK(next == SN_TIME_NEVER);
		return;
	}
	/* A whole tick only for what a callback armed for "now" when now is the start of a tick. */
	CHECK(next <= earliest + TICK);
	CHECK(next > m.now);
}

static void run_random(uint64_t seed, sn_time from, bool meddle)
{
	start(seed, from, meddle);
	for (int i = 0; i < 20000 && !sn_test_state.failures; i++) {
		for (uint64_t n = sn_rng_below(&m.rng, 4); n; n--) {
			if (sn_rng_below(&m.rng, 4))
				arm(any(), around(m.now, TICK));
			else
				cancel(any());
		}
		/* Small steps, the exact next deadline, or a long sleep. */
		switch (sn_rng_below(&m.rng, 4)) {
		case 0: m.now += sn_rng_below(&m.rng, 2 * TICK); break;
		case 1: m.now += sn_rng_below(&m.rng, 64) ? sn_rng_below(&m.rng, 300 * TICK) : far_or_near(); break;
		default: {
			sn_time next = sn_wheel_next(&m.wheel);
			if (next != SN_TIME_NEVER)
				m.now = SN_MAX(m.now, next);
		}
		}
		sn_wheel_run(&m.wheel, m.now);
		check_state();
		CHECK_EQ(m.early, 0);
		CHECK_EQ(m.late, 0);
		CHECK_EQ(m.unasked, 0);
	}
	CHECK(m.fired > 1000);
}

SN_TEST(timers_fire_neither_early_nor_late)
{
	for (uint64_t seed = 1; seed <= 10; seed++)
		run_random(seed, 0, false);
}

SN_TEST(callbacks_may_arm_cancel_and_free)
{
	for (uint64_t seed = 1; seed <= 20; seed++)
		run_random(seed, 12345678901ull, true);
}

SN_TEST(start_time_does_not_matter)
{
	static const sn_time from[] = {TICK - 1,         TICK << 6,        (TICK << 12) - 1, (TICK << 18) + 1,
				       (TICK << 30) - 1, (TICK << 36) - 5, 1ull << 60};
	for (size_t i = 0; i < sizeof from / sizeof from[0]; i++)
		run_random(100 + i, from[i], true);
}

SN_TEST(jumping_from_next_to_next_wakes_at_most_once_per_level)
{
	start(7, 999999, false);
	for (int i = 0; i < TIMERS; i++)
		arm(&m.item[i], m.now + sn_rng_below(&m.rng, 1000000 * TICK));
	unsigned wakes = 0;
	for (sn_time next; (next = sn_wheel_next(&m.wheel)) != SN_TIME_NEVER; wakes++) {
		REQUIRE(next > m.now);
		m.now = next;
		sn_wheel_run(&m.wheel, m.now);
		check_state();
	}
	CHECK_EQ(m.fired, TIMERS);
	CHECK_EQ(m.early + m.late + m.unasked, 0);
	CHECK(wakes <= TIMERS * SN_WHEEL_LEVELS);
}

SN_TEST(deadline_beyond_the_reach_is_kept)
{
	start(8, 5, false);
	sn_time far = 40 * 24 * 3600 * SN_SEC; /* the wheel reaches 13 days */
	arm(&m.item[0], far);
	unsigned wakes = 0;
	for (sn_time next; (next = sn_wheel_next(&m.wheel)) != SN_TIME_NEVER && wakes < 1000; wakes++) {
		m.now = next;
		sn_wheel_run(&m.wheel, m.now);
		CHECK_EQ(m.early, 0);
	}
	CHECK_EQ(m.fired, 1);
	CHECK(m.now >= far && m.now < far + TICK);
}

SN_TEST(timer_of_the_past_fires_at_the_next_run)
{
	start(9, 1000 * TICK, false);
	arm(&m.item[0], 3);
	CHECK(sn_wheel_next(&m.wheel) <= m.now + TICK);
	m.now += TICK;
	CHECK_EQ(sn_wheel_run(&m.wheel, m.now), 1);
	CHECK_EQ(m.fired, 1);
}

static struct item *victim;
static void fire_and_cancel(struct sn_timer *t, sn_time now)
{
	(void)t;
	(void)now;
	m.fired++;
	cancel(victim);
}

SN_TEST(timer_cancelled_by_another_of_the_same_tick_does_not_fire)
{
	for (int order = 0; order < 2; order++) {
		start(10, 0, false);
		victim = &m.item[1];
		m.item[0].timer.fire = fire_and_cancel;
		arm(&m.item[order], 5 * TICK);
		arm(&m.item[!order], 5 * TICK);
		m.now = 6 * TICK;
		sn_wheel_run(&m.wheel, m.now);
		/* Either it came first, or it never came. */
		CHECK_EQ(m.fired, order ? 2 : 1);
		CHECK_EQ(m.wheel.armed, 0);
	}
}

SN_TEST_MAIN()
