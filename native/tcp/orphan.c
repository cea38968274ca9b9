/* SPDX-License-Identifier: Apache-2.0
 *
 * Orphans: flows whose owner left and that are not through with closing. They are bounded in time (FIN_WAIT_2 by fin_wait,
 * a FIN that nobody acknowledges by orphan_retries) and in number: a peer that never answers a FIN must not use records up.
 */
#include "tcp/tcp.h"

void sn_tcp_orphan_leave(struct sn_tcp *t)
{
	struct sn_tcp_stack *k = &t->e->tcp;

	if (!t->orphan)
		return;
	t->orphan = false;
	k->orphans--;
	*(t->tw_prev ? &t->tw_prev->tw_next : &k->orphan_head) = t->tw_next;
	*(t->tw_next ? &t->tw_next->tw_prev : &k->orphan_tail) = t->tw_prev;
	t->tw_next = t->tw_prev = NULL;
}

static void enter(struct sn_tcp *t, sn_time now)
{
	struct sn_tcp_stack *k = &t->e->tcp;
	/* However few records there are, flows that are wanted get half of them. */
	uint32_t most = SN_MIN(t->e->cfg.tcp.max_orphans, k->conns.count / 2);

	t->orphan = true;
	t->tw_next = NULL;
	t->tw_prev = k->orphan_tail;
	*(k->orphan_tail ? &k->orphan_tail->tw_next : &k->orphan_head) = t;
	k->orphan_tail = t;
	if (++k->orphans > most) {
		t->e->counters.tcp_orphans_reset++;
		sn_tcp_abort(k->orphan_head, SN_E_ABORTED, now);
	}
}

void sn_tcp_detach(struct sn_tcp *t, sn_time now)
{
	if (t->dead)
		return;
	t->owner = NULL;
	sn_wheel_cancel(&t->e->wheel, &t->keep);
	switch (t->state) {
	case SN_TCP_SYN_SENT:
	case SN_TCP_SYN_RCVD: sn_tcp_abort(t, SN_E_ABORTED, now); return;
	case SN_TCP_ESTABLISHED:
	case SN_TCP_CLOSE_WAIT:
		t->fin_wanted = true;
		sn_tcp_emit_fin(t, now);
		break;
	case SN_TCP_FIN_WAIT_2: sn_tcp_clock_set(t, SN_CLOCK_WAIT, now + t->e->cfg.tcp.fin_wait); break;
	default: break;
	}
	enter(t, now);
}
