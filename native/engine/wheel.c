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
	t->level = (uint8_t)level;
	t->slot = (uint8_t)slot;
	t->next = head;
	t->prev = head->prev;
	head->prev->next = t;
	head->prev = t;
	w->busy[level] |= 1ull << slot;
	uint64_t work = due >> (LEVEL_BITS * level) << (LEVEL_BITS * level);
	if (work < w->soon)
		w->soon = work;
}

static void unlink_timer(struct sn_wheel *w, struct sn_timer *t)
{
	t->prev->next = t->next;
	t->next->prev = t->prev;
	struct sn_timer *head = &w->slot[t->level][t->slot];
	if (head->next == head)
		w->busy[t->level] &= ~(1ull << t->slot);
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

/* Ticks from w->tick to the first tick at which a level has work: to fire (level 0) or to cascade (above). */
static uint64_t level_distance(const struct sn_wheel *w, int level)
{
	if (!w->busy[level])
		return UINT64_MAX;
	int shift = LEVEL_BITS * level;
	int at = (int)(w->tick >> shift) & SLOT_MASK;
	/* A level above 0 whose current slot boundary was already passed finds that slot a full turn away. */
	bool boundary = (w->tick & ((1ull << shift) - 1)) == 0;
	int from = boundary ? at : (at + 1) & SLOT_MASK;
	uint64_t turned = from ? (w->busy[level] >> from) | (w->busy[level] << (64 - from)) : w->busy[level];
	uint64_t steps = (uint64_t)__builtin_ctzll(turned) + (boundary ? 0 : 1);
	return (((w->tick >> shift) + steps) << shift) - w->tick;
}

static uint64_t distance(const struct sn_wheel *w)
{
	uint64_t best = UINT64_MAX;
	for (int l = 0; l < SN_WHEEL_LEVELS; l++) {
		uint64_t d = level_distance(w, l);
		if (d < best)
			best = d;
	}
	return best;
}

sn_time sn_wheel_next(const struct sn_wheel *w) { return w->armed ? w->soon << SN_WHEEL_SHIFT : SN_TIME_NEVER; }

uint32_t sn_wheel_run(struct sn_wheel *w, sn_time now)
{
	uint64_t until = now >> SN_WHEEL_SHIFT;
	uint32_t fired = 0;

	while (w->armed && w->soon <= until) {
		uint64_t d = distance(w);
		w->soon = d == UINT64_MAX ? d : w->tick + d;
		if (w->soon > until)
			break;
		w->tick += d;
		/* From the top down, so that what falls to this tick is fired in this turn. */
		for (int l = SN_WHEEL_LEVELS - 1; l > 0; l--) {
			if (w->tick & ((1ull << (LEVEL_BITS * l)) - 1))
				continue;
			struct sn_timer *head = &w->slot[l][(w->tick >> (LEVEL_BITS * l)) & SLOT_MASK];
			struct sn_timer list = *head;
			if (head->next == head)
				continue;
			/* Detach first: a clamped timer may be filed into this very slot again. */
			list.next->prev = &list;
			list.prev->next = &list;
			head->next = head->prev = head;
			w->busy[l] &= ~(1ull << ((w->tick >> (LEVEL_BITS * l)) & SLOT_MASK));
			while (list.next != &list) {
				struct sn_timer *t = list.next;
				list.next = t->next;
				t->next->prev = &list;
				file(w, t);
			}
		}
		int slot = (int)w->tick & SLOT_MASK;
		struct sn_timer *head = &w->slot[0][slot];
		/* New timers for "now" go to the next tick, so that a timer that re-arms itself cannot hold the loop. */
		struct sn_timer list = *head;
		w->tick++;
		if (head->next == head)
			continue;
		list.next->prev = &list;
		list.prev->next = &list;
		head->next = head->prev = head;
		w->busy[0] &= ~(1ull << slot);
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
	/* Nothing is due before the next distance(), so no boundary with work is stepped over. */
	if (w->tick <= until)
		w->tick = until + 1;
	return fired;
}
