/* SPDX-License-Identifier: Apache-2.0
 *
 * Life and end of a record (RFC 9293 3.3.2). Every state change passes sn_tcp_set_state().
 *
 *   SYN_SENT, SYN_RCVD  handshake; SYN (or SYN/ACK) is sent again by the timer
 *   ESTABLISHED         data both ways
 *   FIN_WAIT_1          we sent FIN, it is not acknowledged; data may still come
 *   FIN_WAIT_2          it is; waiting for the peer's FIN (with a limit once nobody owns the record)
 *   CLOSE_WAIT          the peer sent FIN; we may still send
 *   CLOSING             both sent FIN, ours is not acknowledged
 *   LAST_ACK            the peer's FIN came first, ours is not acknowledged
 *   TIME_WAIT           both are; the record answers late segments, without an owner
 *
 * A callback may end the very record that calls it. So whoever may call back stands between enter() and leave(): a
 * released record is `dead` and stays readable until the last of them left.
 */
#include "tcp/tcp.h"

void sn_tcp_set_state(struct sn_tcp *t, enum sn_tcp_state state) { t->state = (uint8_t)state; }

void sn_tcp_put(struct sn_tcp *t)
{
	sn_cc_leave(t);
	sn_slab_put(&t->e->tcp.conns, t);
}

void sn_tcp_disown(struct sn_tcp *t, enum sn_err err, sn_time now)
{
	struct sn_subflow *owner = t->owner;

	t->owner = NULL;
	if (owner)
		t->up->closed(owner, err, now);
}

static void tw_unlink(struct sn_tcp *t)
{
	struct sn_tcp_stack *k = &t->e->tcp;

	*(t->tw_prev ? &t->tw_prev->tw_next : &k->tw_head) = t->tw_next;
	*(t->tw_next ? &t->tw_next->tw_prev : &k->tw_tail) = t->tw_prev;
}

bool sn_tcp_time_wait_evict(struct sn_engine *e)
{
	struct sn_tcp *t = e->tcp.tw_head;

	if (t)
		sn_tcp_release(t);
	return t;
}

void sn_tcp_release(struct sn_tcp *t)
{
	SN_ASSERT(!t->dead);
	t->dead = true;
	if (t->state == SN_TCP_TIME_WAIT)
		tw_unlink(t);
	sn_tcp_orphan_leave(t);
	t->owner = NULL;
	sn_tcp_set_state(t, SN_TCP_CLOSED);
	sn_tcp_timers_stop(t);
	sn_tcp_txq_free(t);
	sn_tcp_rcvq_free(t);
	sn_net_flow_remove(t->e, &t->flow);
	if (!t->busy)
		sn_tcp_put(t);
}

void sn_tcp_finish(struct sn_tcp *t, enum sn_err err, sn_time now)
{
	if (t->dead)
		return;
	sn_tcp_enter(t);
	struct sn_subflow *owner = t->owner;
	/* First let go of everything, so that the owner finds its chunks unreferenced and the flow free. */
	sn_tcp_release(t);
	if (owner)
		t->up->closed(owner, err, now);
	sn_tcp_leave(t);
}

void sn_tcp_abort(struct sn_tcp *t, enum sn_err err, sn_time now)
{
	if (t->dead)
		return;
	if (t->state != SN_TCP_SYN_SENT && t->state != SN_TCP_TIME_WAIT && t->state != SN_TCP_CLOSED)
		sn_tcp_emit_rst(t, now);
	sn_tcp_finish(t, err, now);
}

void sn_tcp_time_wait(struct sn_tcp *t, sn_time now)
{
	struct sn_tcp_stack *k = &t->e->tcp;

	sn_tcp_orphan_leave(t);
	sn_tcp_set_state(t, SN_TCP_TIME_WAIT);
	t->tw_next = NULL;
	t->tw_prev = k->tw_tail;
	*(k->tw_tail ? &k->tw_tail->tw_next : &k->tw_head) = t;
	k->tw_tail = t;
	sn_tcp_rcvq_free(t);
	sn_tcp_clock_set(t, SN_CLOCK_WAIT, now + t->e->cfg.tcp.time_wait);
	sn_tcp_disown(t, SN_OK, now);
}

void sn_tcp_fin_acked(struct sn_tcp *t, sn_time now)
{
	switch (t->state) {
	case SN_TCP_FIN_WAIT_1:
		sn_tcp_set_state(t, SN_TCP_FIN_WAIT_2);
		if (!t->owner)
			sn_tcp_clock_set(t, SN_CLOCK_WAIT, now + t->e->cfg.tcp.fin_wait);
		break;
	case SN_TCP_CLOSING: sn_tcp_time_wait(t, now); break;
	case SN_TCP_LAST_ACK: sn_tcp_finish(t, SN_OK, now); break;
	}
}

void sn_tcp_fin_received(struct sn_tcp *t, sn_time now)
{
	t->fin_done = true;
	t->rcv_nxt++;
	t->ack_now = true;
	switch (t->state) {
	case SN_TCP_ESTABLISHED: sn_tcp_set_state(t, SN_TCP_CLOSE_WAIT); break;
	case SN_TCP_FIN_WAIT_1: sn_tcp_set_state(t, SN_TCP_CLOSING); break;
	default: break;
	}
	if (t->owner)
		t->up->fin(t->owner, now);
	if (!t->dead && t->state == SN_TCP_FIN_WAIT_2)
		sn_tcp_time_wait(t, now);
}
