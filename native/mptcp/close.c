/* SPDX-License-Identifier: Apache-2.0
 *
 * Closing (RFC 8684 3.3.3, 3.5): DATA_FIN both ways, then FIN on every subflow; MP_FASTCLOSE; what follows when subflows go.
 *
 *   SHUTDOWN/CLOSE -> shut ; all sent -> fin_sent ; DATA_ACKed -> fin_acked ---+
 *   DATA_FIN in order -> peer_fin (DATA_ACKed at once) ------------------------+-> finishing: FIN on all subflows
 *   finishing, memory given back -> finished ; last word told, no subflow left -> record freed
 *   any error -> dead: every subflow is reset
 *
 * Timers: t_fin repeats the DATA_FIN (200 ms, doubling); t_close ends patience: orphans and connections without a subflow
 * after SN_CLOSE_TIMEOUT (or when the application does not linger any longer), subflows that do not close after
 * SN_FINISH_TIMEOUT.
 */
#include "mptcp/conn.h"

void sn_conn_fail(struct sn_conn *c, enum sn_err err, bool fast, const struct sn_subflow *except, sn_time now)
{
	if (c->dead || c->finished)
		return;
	c->dead = true;
	c->shut = true;
	c->err = err;
	sn_half_leave(c);
	for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++) {
		struct sn_subflow *sf = c->sf[i];
		if (!sf || sf == except || !sf->tcp)
			continue;
		if (fast && c->mptcp && c->keyed && sf->state != SN_SF_OPENING) {
			sf->owe |= SN_OWE_FASTCLOSE;
			c->e->counters.MPFastcloseTx++;
		}
		c->ops->reset(sf->tcp, now);
	}
	sn_wheel_cancel(&c->e->wheel, &c->t_rtx);
	sn_wheel_cancel(&c->e->wheel, &c->t_fin);
	sn_wheel_cancel(&c->e->wheel, &c->t_close);
	sn_wheel_cancel(&c->e->wheel, &c->t_pm);
	sn_wheel_cancel(&c->e->wheel, &c->t_user);
	sn_conn_wake(c);
}

void sn_conn_shut(struct sn_conn *c, sn_time now)
{
	(void)now;
	if (c->shut)
		return;
	c->shut = true;
	if (c->state == SN_CONN_ESTABLISHED)
		sn_conn_set_state(c, SN_CONN_CLOSING);
	sn_conn_wake(c);
}

void sn_conn_close(struct sn_conn *c, sn_time now)
{
	if (c->app_closed)
		return;
	bool drop = ((c->rq || c->ooo || c->unread) && !c->discard) || !c->linger_ms;
	c->app_closed = true;
	sn_recv_purge(c);
	sn_conn_wake(c);
	if (c->dead || c->finished)
		return;
	if (c->state == SN_CONN_CONNECTING) {
		sn_conn_fail(c, SN_E_ABORTED, false, NULL, now);
	} else if (drop) {
		sn_conn_fail(c, SN_OK, true, NULL, now);
	} else {
		sn_conn_shut(c, now);
		c->close_mark = c->bytes_acked;
		if (c->linger_ms != UINT32_MAX)
			sn_wheel_arm(&c->e->wheel, &c->t_close, now + c->linger_ms * SN_MSEC);
		else if (!c->finishing)
			sn_wheel_arm(&c->e->wheel, &c->t_close, now + SN_CLOSE_TIMEOUT);
	}
}

void sn_conn_unread(struct sn_conn *c, sn_time now)
{
	c->unread = true;
	/* It was on its way to the application when that closed. */
	if (c->app_closed && !c->dead && !c->finished && !c->discard)
		sn_conn_fail(c, SN_OK, true, NULL, now);
}

/* A pure ACK on every subflow that can carry one. */
static void ack_all(struct sn_conn *c, sn_time now)
{
	c->ack_all = false;
	/* A client that sent nothing yet and does not know whether its third ACK arrived: the keys, then the DATA_FIN. */
	bool keys_first = !c->server && !c->fully && c->fin_sent;
	for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++) {
		if (keys_first && sn_sf_usable(c->sf[i]))
			c->ops->ack_now(c->sf[i]->tcp, now);
		c->fin_word = keys_first;
		if (sn_sf_usable(c->sf[i]))
			c->ops->ack_now(c->sf[i]->tcp, now);
		c->fin_word = false;
	}
}

void sn_close_fin(struct sn_conn *c, sn_time now)
{
	if (c->dead || c->finished || c->state < SN_CONN_ESTABLISHED)
		return;
	if (c->shut && !c->fin_sent && c->snd_nxt == c->snd_end) {
		c->fin_sent = true;
		if (c->mptcp) {
			c->ack_all = true;
			sn_wheel_arm(&c->e->wheel, &c->t_fin, now + 200 * SN_MSEC);
		} else {
			for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++)
				if (c->sf[i] && c->sf[i]->tcp)
					c->ops->fin(c->sf[i]->tcp, now);
		}
	}
	if (c->ack_all && c->mptcp)
		ack_all(c, now);
}

void sn_close_fin_fire(struct sn_timer *t, sn_time now)
{
	struct sn_conn *c = SN_CONTAINER(t, struct sn_conn, t_fin);
	if (c->dead || c->fin_acked || !c->fin_sent || !c->mptcp)
		return;
	if (c->fin_backoff < 9)
		c->fin_backoff++;
	ack_all(c, now);
	sn_wheel_arm(&c->e->wheel, t, now + SN_MIN((200 * SN_MSEC) << c->fin_backoff, 60 * SN_SEC));
}

/* Both directions are through: close the subflows. */
static void finish(struct sn_conn *c, sn_time now)
{
	c->finishing = true;
	sn_wheel_cancel(&c->e->wheel, &c->t_pm);
	for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++)
		if (c->sf[i])
			sn_sf_leave(c->sf[i], now);
	sn_wheel_arm(&c->e->wheel, &c->t_close, now + SN_FINISH_TIMEOUT);
}

static void check_plain(struct sn_conn *c, sn_time now)
{
	if (!c->nsf) {
		if (c->last_err == SN_OK)
			c->finished = true;
		else
			sn_conn_fail(c, c->last_err, false, NULL, now);
		return;
	}
	if (!c->app_closed || !c->fin_sent || c->chunks)
		return;
	/* The rest of the close is TCP's alone. */
	for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++) {
		struct sn_subflow *sf = c->sf[i];
		if (!sf)
			continue;
		if (sf->tcp)
			c->ops->detach(sf->tcp, now);
		sn_sf_free(sf);
	}
	c->finished = true;
}

static void check_mptcp(struct sn_conn *c, sn_time now)
{
	if (c->fin_acked && c->peer_fin && !c->finishing)
		finish(c, now);
	if (c->finishing) {
		c->finished = !c->chunks || !c->nsf;
		return;
	}
	for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++)
		if (c->sf[i] && c->sf[i]->state != SN_SF_LEAVING)
			return;
	/* No subflow is left. If only the acknowledgement of our DATA_FIN is missing, everything arrived both ways. */
	if (c->fin_sent && c->peer_fin && c->snd_una == c->snd_end) {
		finish(c, now);
		c->finished = true;
		return;
	}
	/* The peer may come back (or we to it) until patience ends. */
	if (c->app_closed || !c->fully) {
		sn_conn_fail(c, c->last_err ? c->last_err : SN_E_RESET, true, NULL, now);
	} else if (!sn_timer_armed(&c->t_close)) {
		sn_wheel_arm(&c->e->wheel, &c->t_close,
			     now + (c->tune.user_timeout ? c->tune.user_timeout : SN_CLOSE_TIMEOUT));
		c->pm_dirty = true;
	}
}

void sn_close_check(struct sn_conn *c, sn_time now)
{
	if (c->dead || c->finished)
		return;
	if (c->doomed)
		sn_conn_fail(c, c->last_err, true, NULL, now);
	else if (c->state < SN_CONN_ESTABLISHED) {
		if (!c->nsf)
			sn_conn_fail(c, c->last_err ? c->last_err : SN_E_REFUSED, false, NULL, now);
	} else if (c->mptcp) {
		check_mptcp(c, now);
	} else {
		check_plain(c, now);
	}
}

void sn_close_fire(struct sn_timer *t, sn_time now)
{
	struct sn_conn *c = SN_CONTAINER(t, struct sn_conn, t_close);

	if (c->finishing) {
		for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++)
			if (c->sf[i])
				sn_sf_reset(c->sf[i], SN_RST_NONE, now);
		sn_conn_wake(c);
	} else if (c->app_closed && c->linger_ms == UINT32_MAX && c->bytes_acked != c->close_mark) {
		c->close_mark = c->bytes_acked;
		sn_wheel_arm(&c->e->wheel, t, now + SN_CLOSE_TIMEOUT);
	} else if (c->app_closed) {
		sn_conn_fail(c, SN_E_TIMEDOUT, true, NULL, now);
	} else {
		sn_conn_fail(c, c->last_err ? c->last_err : SN_E_TIMEDOUT, true, NULL, now);
	}
}

uint32_t sn_mptcp_last_words(const struct sn_engine *e, const struct sn_subflow *owner, uint8_t *out)
{
	if (!owner || !sn_slab_holds(&e->mptcp.subflows, owner))
		return 0;
	const struct sn_conn *c = owner->conn;
	if (!c || !sn_slab_holds(&e->mptcp.conns, c) || !c->mptcp || !c->keyed || owner->kind == SN_SF_PLAIN)
		return 0;
	return sn_mp_emit_fastclose(out, c->remote_key);
}
