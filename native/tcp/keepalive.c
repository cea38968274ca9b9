/* SPDX-License-Identifier: Apache-2.0
 *
 * Keep-alive (RFC 1122 4.2.3.6): a peer that said nothing for long is asked by an empty segment below snd_una, which it has
 * to answer. Off unless the owner asks for it.
 *
 * Nothing is done per segment. The timer looks back when it fires: data came at last_recv, what was sent at last_send is
 * acknowledged if nothing is in flight, and whether a probe was answered is told by the count of segments received. While
 * something is in flight or the peer's window is closed, retransmission and window probes ask instead.
 */
#include "tcp/tcp.h"

static sn_time last_word(const struct sn_tcp *t) { return SN_MAX(t->keep_heard, SN_MAX(t->last_recv, t->last_send)); }

/* In whatever state of a connection that somebody owns: while a FIN is unacknowledged it is in flight. */
static bool wanted(const struct sn_tcp *t) { return t->tune.keep_idle && t->owner && t->state >= SN_TCP_ESTABLISHED; }

/* Enough questions, or all that the user's patience allows. */
static bool hopeless(const struct sn_tcp *t, sn_time now)
{
	if (t->tune.user_timeout)
		return t->keep_sent && now - last_word(t) >= t->tune.user_timeout;
	return t->keep_sent >= t->tune.keep_count;
}

void sn_tcp_keep_fire(struct sn_timer *timer, sn_time now)
{
	struct sn_tcp *t = SN_CONTAINER(timer, struct sn_tcp, keep);
	sn_time next = now + t->tune.keep_idle;

	if (!wanted(t))
		return;
	if (t->keep_sent && t->segs_received != t->keep_mark) {
		t->keep_sent = 0;
		t->keep_heard = now;
	}
	if (!t->txq && t->clock != SN_CLOCK_PERSIST) {
		next = last_word(t) + t->tune.keep_idle;
		if (now >= next && hopeless(t, now)) {
			t->e->counters.tcp_keep_timeout++;
			sn_tcp_abort(t, SN_E_TIMEDOUT, now);
			return;
		}
		if (now >= next) {
			t->e->counters.TCPKeepAlive++;
			t->keep_mark = t->segs_received;
			if (t->keep_sent < UINT8_MAX)
				t->keep_sent++;
			sn_tcp_emit_ack(t, t->snd_una - 1, now);
			next = now + t->tune.keep_interval;
		}
	}
	sn_wheel_arm(&t->e->wheel, &t->keep, next);
}

void sn_tcp_tune(struct sn_tcp *t, const struct sn_tcp_tune *tune, sn_time now)
{
	t->tune = *tune;
	t->keep_heard = now;
	t->keep_sent = 0;
	if (wanted(t))
		sn_wheel_arm(&t->e->wheel, &t->keep, now + tune->keep_idle);
	else
		sn_wheel_cancel(&t->e->wheel, &t->keep);
}
