/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/wheel.h"

#define LEVEL_BITS  6
#define SLOT_MASK   (SN_WHEEL_SLOTS - 1)
#define SPAN(level) (1ull << (LEVEL_BITS * ((level) + 1))) /* ticks that a level covers */

void sn_wheel_init(struct sn_wheel *w, sn_time now)
{
	memset(w, 0, sizeof *w);
	w->tick = now >> SN_WHEEL_SHIFT;
	for (int l = 0; l < SN_WHEEL_LEVELS; l++)
		for (int s = 0; s < SN_WHEEL_SLOTS; s++)
			w->slot[l][s].next = w->slot[l][s].prev = &w->slot[l][s];
}

/* Files a timer by its distance from w->tick: level l holds deadlines less than SPAN(l) ticks away. */
static void file(struct sn_wheel *w, struct sn_timer *t)
{
	/* Round up: a timer never fires before its time. */
	uint64_t due = (t->at >> SN_WHEEL_SHIFT) + ((t->at & ((1u << SN_WHEEL_SHIFT) - 1)) != 0);
	if (due < w->tick)
		due = w->tick;
	uint64_t delta = due - w->tick;
	if (delta >= SPAN(SN_WHEEL_LEVELS - 1)) {
		delta = SPAN(SN_WHEEL_LEVELS - 1) - 1;
		due = w->tick + delta;
	}
	int level = delta < SN_WHEEL_SLOTS ? 0 : (63 - __builtin_clzll(delta)) / LEVEL_BITS;
	int slot = (int)(due >> (LEVEL_BITS * level)) & SLOT_MASK;
	struct sn_timer *head = &w->slot[level][slot];
	t->next = head;
	t->prev = head->prev;
	head->prev->next = t;
	head->prev = t;
	w->busy[level] |= 1ull << slot;
	w->levels |= 1u << level;
	uint64_t work = due >> (LEVEL_BITS * level) << (LEVEL_BITS * level);
	if (work < w->soon)
		w->soon = work;
}

static void slot_empty(struct sn_wheel *w, uint32_t level, uint32_t slot)
{
	w->busy[level] &= ~(1ull << slot);
	if (!w->busy[level])
		w->levels &= ~(1u << level);
}

static void unlink_timer(struct sn_wheel *w, struct sn_timer *t)
{
	t->prev->next = t->next;
	t->next->prev = t->prev;
	/* It was the last of its list: what is left is the head, of a slot or of those that are being fired just now. */
	if (t->next == t->prev) {
		uintptr_t index = ((uintptr_t)t->next - (uintptr_t)w->slot) / sizeof *t;
		if (index < SN_WHEEL_LEVELS * SN_WHEEL_SLOTS)
			slot_empty(w, (uint32_t)(index / SN_WHEEL_SLOTS), (uint32_t)(index % SN_WHEEL_SLOTS));
	}
	t->next = t->prev = NULL;
}

void sn_wheel_arm(struct sn_wheel *w, struct sn_timer *t, sn_time at)
{
	if (t->next)
		unlink_timer(w, t);
	else if (w->armed++ == 0)
		w->soon = UINT64_MAX;
	t->at = at;
	file(w, t);
}

void sn_wheel_cancel(struct sn_wheel *w, struct sn_timer *t)
{
	if (!t->next)
		return;
	unlink_timer(w, t);
	w->armed--;
}

/* Ticks from w->tick to the first tick at which a busy level has work: to fire (level 0) or to cascade (above). */
static inline uint64_t level_distance(const struct sn_wheel *w, int level)
{
	int shift = LEVEL_BITS * level;
	/* A level above 0 whose current slot boundary was already passed finds that slot a full turn away. */
	uint64_t boundary = (w->tick + ((1ull << shift) - 1)) >> shift;
	int from = (int)boundary & SLOT_MASK;
	uint64_t turned = w->busy[level] >> from | w->busy[level] << (-from & SLOT_MASK);
	return ((boundary + (uint64_t)__builtin_ctzll(turned)) << shift) - w->tick;
}

static uint64_t distance(const struct sn_wheel *w)
{
	uint64_t best = UINT64_MAX;
	for (uint32_t left = w->levels; left; left &= left - 1) {
		uint64_t d = level_distance(w, __builtin_ctz(left));
		if (d < best)
			best = d;
	}
	return best;
}

/* What comes due at w->tick in the levels above 0 goes down, from the top, so that what falls to this tick is fired in
 * this turn. */
static void cascade(struct sn_wheel *w)
{
	for (int l = SN_MIN(__builtin_ctzll(w->tick | 1ull << 63) / LEVEL_BITS, SN_WHEEL_LEVELS - 1); l > 0; l--) {
		uint32_t slot = (uint32_t)(w->tick >> (LEVEL_BITS * l)) & SLOT_MASK;
		if (!(w->busy[l] >> slot & 1))
			continue;
		struct sn_timer *head = &w->slot[l][slot];
		struct sn_timer list = *head;
		/* Detach first: a clamped timer may be filed into this very slot again. */
		list.next->prev = &list;
		list.prev->next = &list;
		head->next = head->prev = head;
		slot_empty(w, (uint32_t)l, slot);
		while (list.next != &list) {
			struct sn_timer *t = list.next;
			list.next = t->next;
			t->next->prev = &list;
			file(w, t);
		}
	}
}

uint32_t sn_wheel_run_due(struct sn_wheel *w, sn_time now)
{
	uint64_t until = now >> SN_WHEEL_SHIFT;
	uint32_t fired = 0;

	while (w->armed && w->soon <= until) {
		uint64_t d = distance(w);
		w->soon = d == UINT64_MAX ? d : w->tick + d;
		if (w->soon > until)
			break;
		w->tick += d;
		if ((w->tick & SLOT_MASK) == 0)
			cascade(w);
		int slot = (int)w->tick & SLOT_MASK;
		struct sn_timer *head = &w->slot[0][slot];
		/* New timers for "now" go to the next tick, so that a timer that re-arms itself cannot hold the loop. */
		struct sn_timer list = *head;
		w->tick++;
		if (!(w->busy[0] >> slot & 1))
			continue;
		list.next->prev = &list;
		list.prev->next = &list;
		head->next = head->prev = head;
		slot_empty(w, 0, (uint32_t)slot);
		while (list.next != &list) {
			struct sn_timer *t = list.next;
			/* Still linked while it fires others: a cancel from inside a callback works on the local list. */
			list.next = t->next;
			t->next->prev = &list;
			t->next = t->prev = NULL;
			w->armed--;
			if (t->at > now) /* clamped far deadline */
				sn_wheel_arm(w, t, t->at);
			else {
				t->fire(t, now);
				fired++;
			}
		}
	}
	return fired;
}
