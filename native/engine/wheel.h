/* SPDX-License-Identifier: Apache-2.0
 *
 * Hierarchical timer wheel: arm and cancel in O(1), the next deadline by bitmap look-up. Resolution 16.384 us (2^14 ns);
 * a timer never fires early. 6 levels of 64 slots reach 13 days; a later deadline is clamped and re-armed on expiry.
 * A timer is embedded in its owner; fire() may arm, re-arm or cancel any timer, its own included, and may free its owner.
 */
#ifndef SN_WHEEL_H
#define SN_WHEEL_H

#include "sn_base.h"

struct sn_timer {
	struct sn_timer *next, *prev; /* NULL while not armed */
	sn_time at;
	void (*fire)(struct sn_timer *, sn_time now);
};
_Static_assert(sizeof(struct sn_timer) == 32, "connections have many; and slots are found by a shift");

enum { SN_WHEEL_SHIFT = 14, SN_WHEEL_LEVELS = 6, SN_WHEEL_SLOTS = 64 };

struct sn_wheel {
	uint64_t tick;                                         /* all timers of ticks before this one have fired */
	uint64_t busy[SN_WHEEL_LEVELS];                        /* bit per slot */
	uint32_t levels;                                       /* bit per level with a busy slot */
	struct sn_timer slot[SN_WHEEL_LEVELS][SN_WHEEL_SLOTS]; /* list heads */
	uint64_t soon;                                         /* no slot has work before this tick */
	uint32_t armed;
};

void sn_wheel_init(struct sn_wheel *w, sn_time now);
/* Arms or re-arms. `at` in the past fires at the next run. */
void sn_wheel_arm(struct sn_wheel *w, struct sn_timer *t, sn_time at);
void sn_wheel_cancel(struct sn_wheel *w, struct sn_timer *t);
static inline bool sn_timer_armed(const struct sn_timer *t) { return t->next != NULL; }
uint32_t sn_wheel_run_due(struct sn_wheel *w, sn_time now);
/* Fires everything due at `now`; returns the number fired. */
static inline uint32_t sn_wheel_run(struct sn_wheel *w, sn_time now)
{
	uint64_t until = now >> SN_WHEEL_SHIFT;
	uint32_t fired = w->armed && w->soon <= until ? sn_wheel_run_due(w, now) : 0;

	/* Nothing is due before `soon`, so no boundary with work is stepped over. */
	if (w->tick <= until)
		w->tick = until + 1;
	return fired;
}
/* Not later than the earliest deadline (it may be earlier by a cascade step), SN_TIME_NEVER if nothing is armed. */
static inline sn_time sn_wheel_next(const struct sn_wheel *w)
{
	return w->armed ? w->soon << SN_WHEEL_SHIFT : SN_TIME_NEVER;
}

#endif
