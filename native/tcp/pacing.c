/* SPDX-License-Identifier: Apache-2.0
 *
 * Pacing: segments leave in bursts of a quantum, one after another at the pacing rate. `next` is when the following
 * burst may leave; room() answers 0 until then and arms a timer of the engine's wheel. The wheel fires up to 16 us late:
 * lateness of up to a quantum is made good by the next burst.
 *
 *   timer  `next` has come and somebody wanted to send: lost records first, then the owner is called
 */
#include "tcp/tcp.h"

#define QUANTUM_TIME (100 * SN_USEC)
#define QUANTUM_MAX  65536u

static sn_time time_of(const struct sn_tcp *t, uint32_t bytes) { return bytes * SN_SEC / t->ccx.rate; }

static void fired(struct sn_timer *timer, sn_time now)
{
	struct sn_tcp *t = SN_CONTAINER(timer, struct sn_tcp, ccx.timer);

	sn_tcp_enter(t);
	if (t->lost_out)
		sn_tcp_send_lost(t, now);
	t->ccx.asked = now;
	if (t->owner && !t->dead)
		(t->up->room ? t->up->room : t->up->acked)(t->owner, now);
	sn_tcp_leave(t);
}

void sn_pace_init(struct sn_tcp *t) { t->ccx.timer.fire = fired; }
void sn_pace_stop(struct sn_tcp *t) { sn_wheel_cancel(&t->e->wheel, &t->ccx.timer); }

void sn_pace_set(struct sn_tcp *t, uint64_t rate)
{
	uint64_t q = rate * QUANTUM_TIME / SN_SEC;

	t->ccx.rate = SN_MAX(rate, (uint64_t)1000);
	t->ccx.quantum = (uint32_t)SN_MIN(SN_MAX(q, 2 * (uint64_t)t->mss), (uint64_t)QUANTUM_MAX);
}

bool sn_pace_blocked(struct sn_tcp *t, sn_time now)
{
	if (!t->ccx.rate || now >= t->ccx.next)
		return false;
	if (!sn_timer_armed(&t->ccx.timer))
		sn_wheel_arm(&t->e->wheel, &t->ccx.timer, t->ccx.next);
	return true;
}

uint32_t sn_pace_room(struct sn_tcp *t, uint32_t room, sn_time now)
{
	if (sn_pace_blocked(t, now))
		return 0;
	return SN_MIN(room, SN_MAX(t->ccx.quantum - t->ccx.quantum % t->mss, t->mss));
}

void sn_pace_sent(struct sn_tcp *t, uint32_t bytes, sn_time now)
{
	sn_time credit = time_of(t, t->ccx.quantum);
	sn_time from = now > credit ? now - credit : 0;

	t->ccx.next = SN_MAX(t->ccx.next, from) + time_of(t, bytes);
}
