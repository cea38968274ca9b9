/* SPDX-License-Identifier: Apache-2.0
 *
 * Delivery rate (draft-cheng-iccrg-delivery-rate-estimation): the bytes delivered between the sending of a segment and
 * its acknowledgement, over the longer of the time they took to be sent and the time they took to be acknowledged.
 * A sample is application-limited if the owner left room unused at some time while the segment was on its way.
 *
 * A record keeps what was true when it was sent in four small numbers: 11 bits of mantissa are exact enough for a rate.
 */
#include "tcp/tcp.h"

static uint32_t usec(sn_time t) { return (uint32_t)(t / SN_USEC); }

/* A float without sign: values below 2048 are exact, the rest to 0.05 %. */
static inline uint16_t squeeze(uint32_t v)
{
	if (v < 2048)
		return (uint16_t)v;
	uint32_t shift = 20 - (uint32_t)__builtin_clz(v);
	return (uint16_t)(((shift + 1) << 11) | ((v >> shift) & 2047));
}

static inline uint32_t expand(uint16_t f)
{
	uint32_t e = f >> 11, m = f & 2047;

	return e ? (m | 2048) << (e - 1) : m;
}

void sn_rate_sent(struct sn_tcp *t, struct sn_tcp_txseg *s, sn_time now)
{
	uint32_t at = usec(now);

	if (!t->pipe) /* a new flight: its rate counts from here */
		t->first_us = t->delivered_us = at;
	s->delivered = (uint32_t)t->delivered;
	s->rate.since_delivered = squeeze(at - t->delivered_us);
	s->rate.since_first = squeeze(at - t->first_us);
	s->rate.in_flight = squeeze(t->pipe + sn_txseg_size(s));
	s->rate.lost = (uint16_t)(t->lost_total >> 6);
	s->flags = (uint8_t)(t->ccx.limited_until ? s->flags | SN_TXS_APP_LIMITED : s->flags & ~SN_TXS_APP_LIMITED);
}

void sn_rate_delivered(struct sn_tcp *t, struct sn_tcp_txseg *s, struct sn_tcp_ackinfo *info, sn_time now)
{
	t->delivered_us = usec(now);
	if (info->has_rate && (int32_t)(s->delivered - info->prior_delivered) <= 0)
		return;
	uint32_t sent = usec(s->sent);
	info->has_rate = true;
	info->prior_delivered = s->delivered;
	info->prior_us = sent - expand(s->rate.since_delivered);
	info->send_us = expand(s->rate.since_first);
	info->sent_in_flight = expand(s->rate.in_flight);
	info->sent_lost = s->rate.lost;
	info->app_limited = s->flags & SN_TXS_APP_LIMITED;
	t->first_us = sent;
}

void sn_rate_sample(struct sn_tcp *t, const struct sn_tcp_ackinfo *info, struct sn_rate_sample *rs)
{
	if (t->ccx.limited_until && t->delivered > t->ccx.limited_until)
		t->ccx.limited_until = 0;
	if (!info->has_rate)
		return;
	rs->valid = true;
	rs->prior_delivered = info->prior_delivered;
	rs->delivered = (uint32_t)t->delivered - info->prior_delivered;
	rs->in_flight = info->sent_in_flight;
	rs->lost = (uint32_t)(uint16_t)((t->lost_total >> 6) - info->sent_lost) << 6;
	rs->app_limited = info->app_limited;
	uint32_t us = SN_MAX(t->delivered_us - info->prior_us, info->send_us);
	/* Shorter than any round trip: ACKs were held back and came at once. */
	if (!us || (sn_time)us * SN_USEC < t->min_rtt - t->min_rtt / 128)
		return;
	rs->rate = (uint64_t)rs->delivered * 1000000u / us;
	/* What the scheduler and the user see is smoothed. */
	if (!rs->app_limited || rs->rate > t->rate)
		t->rate = t->rate ? (3 * t->rate + rs->rate) / 4 : rs->rate;
}

void sn_rate_check_limited(struct sn_tcp *t)
{
	uint32_t flight = sn_tcp_in_flight(t);

	if (t->ccx.limited_until == t->delivered + flight || flight + t->mss > t->cwnd || t->lost_out ||
	    sn_timer_armed(&t->ccx.timer))
		return;
	if (!t->shared && t->snd_nxt - t->snd_una + t->mss > t->snd_wnd)
		return; /* it is the peer who holds back */
	t->ccx.limited_until = SN_MAX(t->delivered + flight, (uint64_t)1);
}
