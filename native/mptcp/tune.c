/* SPDX-License-Identifier: Apache-2.0
 *
 * What an application sets of one connection (enum sn_set): keep-alive of every subflow (RFC 1122 4.2.3.6), user timeout
 * (RFC 5482, local use) and how long CLOSE may linger.
 *
 * The user timeout is the connection's: what was handed over and is not acknowledged (by DATA_ACK, where MPTCP is spoken)
 * for so long ends it, however many subflows say that they are well. It takes the place of each subflow's own patience, be
 * it shorter or longer. t_user looks eight times per timeout while something is owed, so that nothing is done per segment.
 */
#include "mptcp/conn.h"

static uint64_t acknowledged(const struct sn_conn *c)
{
	struct sn_tcp_estimate est;

	/* Of plain TCP only whole chunks are noted. */
	if (!c->mptcp && c->nsf == 1)
		for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++)
			if (c->sf[i] && c->sf[i]->tcp) {
				c->ops->estimate(c->sf[i]->tcp, &est);
				return est.bytes_acked;
			}
	return c->bytes_acked;
}

void sn_user_fire(struct sn_timer *t, sn_time now)
{
	struct sn_conn *c = SN_CONTAINER(t, struct sn_conn, t_user);
	uint64_t acked = acknowledged(c);

	if (c->dead || c->finished || !c->tune.user_timeout)
		return;
	if (c->snd_una == c->snd_end) {
		c->user_since = 0; /* nothing is owed: the next data starts it */
		return;
	}
	if (!c->user_since || acked != c->user_mark) {
		c->user_since = now;
		c->user_mark = acked;
	}
	if (now - c->user_since >= c->tune.user_timeout) {
		c->e->counters.tcp_user_timeout++;
		sn_conn_fail(c, SN_E_TIMEDOUT, true, NULL, now);
		return;
	}
	sn_time look = now + SN_MAX(c->tune.user_timeout / 8, SN_MSEC);
	sn_wheel_arm(&c->e->wheel, t, SN_MIN(look, c->user_since + c->tune.user_timeout));
}

void sn_sf_tune(struct sn_subflow *sf, sn_time now)
{
	if (sf->tcp)
		sf->conn->ops->tune(sf->tcp, &sf->conn->tune, now);
}

enum sn_err sn_conn_set(struct sn_conn *c, uint32_t what, uint32_t value, sn_time now)
{
	struct sn_tcp_tune *tune = &c->tune;

	switch (what) {
	case SN_SET_KEEP_IDLE: tune->keep_idle = value * SN_MSEC; break;
	case SN_SET_KEEP_INTERVAL:
		if (!value)
			return SN_E_INVAL;
		tune->keep_interval = value * SN_MSEC;
		break;
	case SN_SET_KEEP_COUNT:
		if (!value || value > UINT8_MAX)
			return SN_E_INVAL;
		tune->keep_count = (uint8_t)value;
		break;
	case SN_SET_USER_TIMEOUT:
		tune->user_timeout = value * SN_MSEC;
		c->user_since = 0;
		sn_wheel_cancel(&c->e->wheel, &c->t_user);
		sn_conn_wake(c);
		break;
	default: c->linger_ms = value; return SN_OK;
	}
	for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++)
		if (c->sf[i])
			sn_sf_tune(c->sf[i], now);
	return SN_OK;
}
