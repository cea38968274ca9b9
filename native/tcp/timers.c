/* SPDX-License-Identifier: Apache-2.0
 *
 * Timers of a record:
 *   timer   one of, told by `clock`:
 *             RTX      SYN, SYN/ACK, data or FIN is unacknowledged (RFC 6298 5); also: a FIN found no record to be kept in
 *             RACK     a segment will be taken for lost (RFC 8985 6.3)
 *             TLP      the tail is unacknowledged (RFC 8985 7.2)
 *             PERSIST  the peer's window is closed and the owner wants to send (RFC 9293 3.8.6.1)
 *             WAIT     TIME_WAIT, or FIN_WAIT_2 without an owner
 *           RTX, RACK and TLP share `rto_at`: the first of them that is due has the clock.
 *           `timer_at` is the deadline: pushing it back leaves the wheel alone, an early expiry arms it again.
 *   keep    keep-alive, if it was asked for (keepalive.c)
 *   pmtu    pmtu.c's
 *   delack  an ACK is owed (RFC 9293 3.8.6.3); an expiry that finds nothing owed does nothing
 */
#include "tcp/tcp.h"

void sn_tcp_rtx_arm(struct sn_tcp *t, sn_time now)
{
	/* What RACK suspects it judges before RTO takes everything for lost. */
	if (t->rack_at)
		sn_tcp_clock_set(t, SN_CLOCK_RACK, t->rack_at);
	else if (sn_tcp_tlp_wanted(t))
		sn_tcp_clock_set(t, SN_CLOCK_TLP, SN_MIN(sn_tcp_tlp_time(t, now), t->rto_at));
	else
		sn_tcp_clock_set(t, SN_CLOCK_RTX, t->rto_at);
}

void sn_tcp_rtx_restart(struct sn_tcp *t, sn_time now)
{
	t->rto_at = now + sn_tcp_rto(t);
	sn_tcp_rtx_arm(t, now);
}

/* Counts one more expiry of a kind. True if they were too many, and went on for long enough (R2 of RFC 9293 3.8.3). What
 * the application set takes their place; an orphan has less of both. */
static bool too_many(struct sn_tcp *t, uint8_t *count, uint32_t limit, sn_time now)
{
	const struct sn_tcp_cfg *cfg = &t->e->cfg.tcp;
	sn_time patience = cfg->patience;

	if (!*count)
		t->silent_since = now;
	if (*count < UINT8_MAX)
		++*count;
	if (t->state < SN_TCP_ESTABLISHED)
		return *count > limit;
	if (t->orphan) {
		limit = cfg->orphan_retries;
		patience = cfg->orphan_patience;
	} else if (t->tune.user_timeout) {
		limit = 0;
		patience = t->tune.user_timeout;
	}
	return *count > limit && now - t->silent_since >= patience;
}

/* Counts one more expiry; false if that was one too many and the record is gone. */
static bool go_on(struct sn_tcp *t, uint32_t limit, sn_time now)
{
	bool give_up;

	/* A peer that closed its window over what is in flight may answer for ever (RFC 9293 3.8.6.1). */
	if (!t->shared && !t->snd_wnd && t->state >= SN_TCP_ESTABLISHED) {
		if (t->backoff < UINT8_MAX)
			t->backoff++;
		give_up = too_many(t, &t->unanswered, limit, now);
	} else {
		give_up = too_many(t, &t->backoff, limit, now);
	}
	if (!give_up && t->owner)
		give_up = !t->up->rto(t->owner, t->backoff, now);
	if (give_up)
		sn_tcp_abort(t, sn_tcp_silence(t), now);
	return !t->dead;
}

static void handshake_expired(struct sn_tcp *t, sn_time now)
{
	if (!go_on(t, t->e->cfg.tcp.syn_retries, now))
		return;
	t->rtos++;
	t->retrans++;
	t->e->counters.tcp_retrans++;
	t->syn_resent = true;
	sn_tcp_emit_syn(t, now);
	sn_tcp_rtx_restart(t, now);
}

static void rtx_expired(struct sn_tcp *t, sn_time now)
{
	if (t->state == SN_TCP_SYN_SENT || t->state == SN_TCP_SYN_RCVD) {
		handshake_expired(t, now);
		return;
	}
	if (!t->txq) {
		if (t->fin_wanted)
			sn_tcp_emit_fin(t, now);
		return;
	}
	t->rtos++;
	t->e->counters.tcp_rto++;
	if (!go_on(t, t->e->cfg.tcp.retries, now))
		return;
	t->tlp_on = false;
	sn_tcp_enter_loss(t, now);
	t->force_rtx = true;
	sn_tcp_send_lost(t, now);
	sn_tcp_rtx_restart(t, now);
}

static void persist_expired(struct sn_tcp *t, sn_time now)
{
	SN_ASSERT(!t->txq && !t->snd_wnd);
	if (too_many(t, &t->unanswered, t->e->cfg.tcp.retries, now)) {
		sn_tcp_abort(t, sn_tcp_silence(t), now);
		return;
	}
	t->e->counters.tcp_probes++;
	sn_tcp_emit_ack(t, t->snd_una - 1, now);
	if (t->backoff < UINT8_MAX)
		t->backoff++;
	sn_tcp_clock_set(t, SN_CLOCK_PERSIST, now + sn_tcp_rto(t));
}

static void timer_fired(struct sn_timer *timer, sn_time now)
{
	struct sn_tcp *t = SN_CONTAINER(timer, struct sn_tcp, timer);
	uint8_t clock = t->clock;

	if (clock == SN_CLOCK_NONE)
		return;
	if (t->timer_at > now) {
		sn_wheel_arm(&t->e->wheel, &t->timer, t->timer_at);
		return;
	}
	sn_tcp_enter(t);
	t->clock = SN_CLOCK_NONE;
	switch (clock) {
	case SN_CLOCK_RTX: rtx_expired(t, now); break;
	case SN_CLOCK_RACK: sn_tcp_rack_expired(t, now); break;
	case SN_CLOCK_TLP: sn_tcp_tlp_send(t, now); break;
	case SN_CLOCK_PERSIST: persist_expired(t, now); break;
	default: sn_tcp_release(t); break;
	}
	sn_tcp_leave(t);
}

static void delack_fired(struct sn_timer *timer, sn_time now)
{
	struct sn_tcp *t = SN_CONTAINER(timer, struct sn_tcp, delack);

	if (!t->ack_later)
		return;
	sn_tcp_enter(t);
	if (!sn_tcp_emit_ack(t, t->snd_nxt, now))
		sn_tcp_delack_arm(t, now);
	sn_tcp_leave(t);
}

void sn_tcp_timers_init(struct sn_tcp *t)
{
	t->timer.fire = timer_fired;
	t->delack.fire = delack_fired;
	t->keep.fire = sn_tcp_keep_fire;
	sn_pace_init(t);
}

void sn_tcp_timers_stop(struct sn_tcp *t)
{
	t->clock = SN_CLOCK_NONE;
	sn_wheel_cancel(&t->e->wheel, &t->timer);
	sn_wheel_cancel(&t->e->wheel, &t->delack);
	if (sn_timer_armed(&t->keep))
		sn_wheel_cancel(&t->e->wheel, &t->keep);
	sn_pace_stop(t);
	sn_pmtu_stop(t);
}
