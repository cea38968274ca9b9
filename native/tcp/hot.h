/* SPDX-License-Identifier: Apache-2.0
 *
 * What nearly every segment passes through, inlined where it is used: fastpath.c and the general path share these, so that
 * both do the same. Included by tcp.h only.
 */
#ifndef SN_TCP_HOT_H
#define SN_TCP_HOT_H

static inline void sn_tcp_leave(struct sn_tcp *t)
{
	if (--t->busy == 0 && SN_UNLIKELY(t->dead))
		sn_tcp_put(t);
}

/* --- timers.c --- */
static inline void sn_tcp_clock_set(struct sn_tcp *t, enum sn_tcp_clock clock, sn_time at)
{
	t->clock = (uint8_t)clock;
	t->timer_at = at;
	if (!sn_timer_armed(&t->timer) || t->timer.at > at)
		sn_wheel_arm(&t->e->wheel, &t->timer, at);
}
static inline void sn_tcp_clock_stop(struct sn_tcp *t) { t->clock = SN_CLOCK_NONE; }
static inline void sn_tcp_delack_arm(struct sn_tcp *t, sn_time now)
{
	if (!sn_timer_armed(&t->delack))
		sn_wheel_arm(&t->e->wheel, &t->delack, now + t->e->cfg.tcp.delack);
}

/* --- rto.c --- */
static inline void sn_tcp_set_rto(struct sn_tcp *t)
{
	const struct sn_tcp_cfg *cfg = &t->e->cfg.tcp;
	/* The floor applies to the variance term: a path of 300 ms needs its margin as much as one of 1 ms. */
	sn_time margin = SN_MAX(4 * t->rttvar, SN_MAX(SN_MSEC, cfg->rto_min));

	t->rto = SN_MIN(t->srtt + margin, cfg->rto_max);
}

static inline void sn_tcp_rtt_sample(struct sn_tcp *t, sn_time rtt)
{
	rtt = SN_MAX(rtt, (sn_time)1);
	t->tlp_blind = false;
	if (!t->min_rtt || rtt < t->min_rtt)
		t->min_rtt = rtt;
	if (!t->srtt) {
		t->srtt = rtt;
		t->rttvar = rtt / 2;
	} else {
		sn_time err = t->srtt > rtt ? t->srtt - rtt : rtt - t->srtt;
		t->rttvar = t->rttvar - t->rttvar / 4 + err / 4;
		t->srtt = t->srtt - t->srtt / 8 + rtt / 8;
	}
	sn_tcp_set_rto(t);
}

/* --- tlp.c --- */
static inline sn_time sn_tcp_tlp_time(const struct sn_tcp *t, sn_time now)
{
	const struct sn_tcp_cfg *cfg = &t->e->cfg.tcp;
	sn_time wait = t->srtt / 8 * cfg->tlp_srtt8;

	if (t->txq == t->txq_tail) /* nothing behind it makes the peer answer at once */
		wait += cfg->ack_delay_max;
	return now + SN_MAX(wait, cfg->tlp_min);
}

/* --- rate.c --- */
/* Ticks of 1.024 us: no division. */
enum { SN_RATE_SHIFT = 10 };
static inline uint32_t sn_rate_clock(sn_time t) { return (uint32_t)(t >> SN_RATE_SHIFT); }
/* A segment is handed to the network: what is true now. */
static inline void sn_rate_sent(struct sn_tcp *t, struct sn_tcp_txseg *s, sn_time now)
{
	if (SN_UNLIKELY(!t->pipe)) /* a new flight: its rate counts from here */
		t->first_at = t->delivered_at = sn_rate_clock(now);
	s->delivered = (uint32_t)t->delivered;
	s->rate.delivered_at = t->delivered_at;
	s->rate.first_at = t->first_at;
	s->rate.in_flight = t->pipe + sn_txseg_size(s);
	s->rate.lost = t->lost_total;
	s->flags = (uint8_t)(t->ccx.limited_until ? s->flags | SN_TXS_APP_LIMITED : s->flags & ~SN_TXS_APP_LIMITED);
}

/* It is known to be delivered: the newest of those that an ACK delivers gives the sample. */
static inline void sn_rate_newest(struct sn_tcp *t, const struct sn_tcp_txseg *s, struct sn_tcp_ackinfo *info)
{
	if (info->has_rate && (int32_t)(s->delivered - info->prior_delivered) <= 0)
		return;
	uint32_t sent = sn_rate_clock(s->sent);
	info->has_rate = true;
	info->prior_delivered = s->delivered;
	info->prior_at = s->rate.delivered_at;
	info->send_time = sent - s->rate.first_at;
	info->sent_in_flight = s->rate.in_flight;
	info->sent_lost = s->rate.lost;
	info->app_limited = s->flags & SN_TXS_APP_LIMITED;
	t->first_at = sent;
}

/* The rate of an ACK's sample, bytes/s, 0: none that can be trusted. */
static inline uint64_t sn_rate_take(struct sn_tcp *t, const struct sn_tcp_ackinfo *info)
{
	if (t->ccx.limited_until && t->delivered > t->ccx.limited_until)
		t->ccx.limited_until = 0;
	if (!info->has_rate)
		return 0;
	uint32_t ticks = SN_MAX(t->delivered_at - info->prior_at, info->send_time);
	/* Shorter than any round trip: ACKs were held back and came at once. */
	if (!ticks || (sn_time)ticks << SN_RATE_SHIFT < t->min_rtt - t->min_rtt / 128)
		return 0;
	uint64_t bytes = (uint32_t)t->delivered - info->prior_delivered;
	uint64_t rate = bytes * SN_SEC / ((sn_time)ticks << SN_RATE_SHIFT);
	/* What the scheduler and the user see is smoothed. */
	if (!info->app_limited || rate > t->rate)
		t->rate = t->rate ? (3 * t->rate + rate) / 4 : rate;
	return rate;
}
/* The rest of the sample, for an algorithm that models the path. */
static inline void sn_rate_sample(const struct sn_tcp *t, const struct sn_tcp_ackinfo *info, uint64_t rate,
				  struct sn_rate_sample *rs)
{
	if (!info->has_rate)
		return;
	rs->valid = true;
	rs->rate = rate;
	rs->prior_delivered = info->prior_delivered;
	rs->delivered = (uint32_t)t->delivered - info->prior_delivered;
	rs->in_flight = info->sent_in_flight;
	rs->lost = t->lost_total - info->sent_lost;
	rs->app_limited = info->app_limited;
}

/* --- cc.c --- */
enum { SN_CWND_MAX = 1 << 30 };

/* In slow start the window may also grow while it is at most twice what is used. */
static inline bool sn_cc_window_limited(const struct sn_tcp *t, uint32_t prior_pipe)
{
	return t->limited || t->ca == SN_CA_LOSS || (t->cwnd < t->ssthresh && t->cwnd < 2 * prior_pipe);
}

/* sn_cc_acked(), `ece`: the ACK carries an ECN echo. */
static inline void sn_cc_feed(struct sn_tcp *t, const struct sn_tcp_ackinfo *info, bool ece, sn_time now)
{
	const struct sn_cc_ops *cc = t->cc;
	struct sn_cc_ack a;

	uint64_t rate = sn_rate_take(t, info);
	a.acked = info->acked;
	a.delivered = info->delivered;
	a.lost = t->lost_total - info->lost_before;
	a.rtt = info->rtt;
	a.now = now;
	a.prior_pipe = info->prior_pipe;
	a.limited = false;
	a.ece = ece;
	/* An algorithm with exact ECN weighs the marks by itself. */
	if (SN_UNLIKELY(ece && !cc->exact_ecn && sn_ecn_congestion(t)))
		cc->on_loss(t, now);
	if (cc->own_recovery) {
		a.rs = (struct sn_rate_sample){0};
		sn_rate_sample(t, info, rate, &a.rs);
		cc->on_ack(t, &a);
	} else if (info->acked && t->ca != SN_CA_RECOVERY && (!ece || cc->exact_ecn)) {
		/* RFC 3168 6.1.2: a window does not grow by an ACK with ECE. */
		a.limited = sn_cc_window_limited(t, info->prior_pipe);
		cc->on_ack(t, &a);
	}
	t->cwnd = SN_MIN(t->cwnd, (uint32_t)SN_CWND_MAX);
	if (SN_UNLIKELY(t->e->cfg.tcp.pacing && !cc->own_recovery))
		sn_cc_pace(t);
}

/* --- pmtu.c --- */
/* Payload of the segment that may go next: t->mss, unless a longer one is wanted as a probe. */
static inline uint32_t sn_tcp_probe_len(const struct sn_tcp *t)
{
	return SN_LIKELY(t->probing != SN_PROBING_PMTU) ? t->mss : t->mss + (uint32_t)(t->pmtu.size - t->pmtu.mtu);
}

/* --- scoreboard.c --- */
/* Lets go of the payload of a record. */
static inline void sn_txseg_drop_refs(struct sn_tcp_txseg *s)
{
	if (SN_LIKELY(s->off != SN_TXS_OWN && s->len && s->len <= s->chunk->len - s->off))
		s->chunk->refs--;
	else
		sn_txseg_drop_refs_many(s);
}
/* A record that was sent for the first time goes last. */
static inline void sn_tcp_txq_append(struct sn_tcp *t, struct sn_tcp_txseg *s)
{
	s->next = NULL;
	s->prev = t->txq_tail;
	*(t->txq_tail ? &t->txq_tail->next : &t->txq) = s;
	t->txq_tail = s;
	if (!t->loss_edge)
		t->loss_edge = s;
	t->pipe += sn_txseg_size(s);
}

/* --- ack.c --- */
/* RFC 9293 3.10.7.4: the send window from a segment that is not older than the last that set it. */
static inline void sn_tcp_update_window(struct sn_tcp *t, const struct sn_tcp_seg *seg)
{
	int32_t newer = (int32_t)(seg->seq - t->snd_wl1);

	if (newer > 0 || (newer == 0 && sn_seq_leq(t->snd_wl2, seg->ack))) {
		uint32_t wnd = (uint32_t)seg->wnd << t->snd_ws;
		if (wnd > t->snd_wnd)
			t->progress = true;
		t->snd_wnd = wnd;
		t->max_wnd = SN_MAX(t->max_wnd, wnd);
		t->snd_wl1 = seg->seq;
		t->snd_wl2 = seg->ack;
		if (SN_UNLIKELY(t->clock == SN_CLOCK_PERSIST && wnd)) {
			t->clock = SN_CLOCK_NONE;
			t->backoff = 0;
		}
	}
}

/* --- rcvq.c --- */
/* Payload arrived. One-way data after a pause: the peer starts from a small window, or it is a lone message, and is
 * acknowledged at once. Where we answer, the answer will carry the ACK. */
static inline void sn_tcp_data_came(struct sn_tcp *t, uint32_t len, sn_time now)
{
	if (now - t->last_recv > t->rto && t->last_send <= t->last_recv)
		t->quick = SN_TCP_QUICK_ACKS;
	t->last_recv = now;
	if (len > t->rcv_mss)
		t->rcv_mss = SN_MIN(len, t->peer_mss);
}
/* After data in order: an ACK now or soon (RFC 5681 4.2). */
static inline void sn_tcp_owe_ack(struct sn_tcp *t, sn_time now)
{
	if (t->quick) {
		t->quick--;
		t->ack_now = true;
	} else if (t->rcv_nxt - t->rcv_acked > t->rcv_mss) { /* the second full-sized segment */
		t->ack_now = true;
	} else {
		t->ack_later = true;
		sn_tcp_delack_arm(t, now);
	}
}

/* --- the end of every input (input.c, fastpath.c) --- */
/* What the segment made due: a FIN that waited, the owner's chance to send, ACKs. Frees `b` unless it was taken; the record
 * may be gone afterwards. */
static inline void sn_tcp_input_end(struct sn_tcp *t, struct sn_buf *b, bool taken, sn_time now)
{
	if (!taken)
		sn_buf_free(b);
	if (SN_UNLIKELY(t->fin_wanted))
		sn_tcp_emit_fin(t, now);
	if (t->progress) {
		t->progress = false;
		t->ccx.asked = now;
		if (t->owner)
			t->up->acked(t->owner, now);
	}
	if (SN_UNLIKELY(t->frto == SN_FRTO_HOLD && !t->dead))
		sn_tcp_frto_settle(t, now);
	if (t->ack_now && !t->dead)
		sn_tcp_ack_owed(t, now);
	sn_tcp_leave(t);
}

#endif
