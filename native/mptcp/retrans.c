/* SPDX-License-Identifier: Apache-2.0
 *
 * Connection-level retransmission (RFC 8684 3.3.6): which subflow carried what, sending it again on another one, and the
 * receiver that acknowledged everything at TCP level but not by DATA_ACK.
 *
 * Timer: t_rtx runs while data is outstanding or the peer's window is shut. Subflows idle, which is a stalled receiver: half
 * an RTT (at least 5 ms) after the last acknowledgement of any kind, doubled from the ninth firing without progress on, at
 * most 1 s. Else the largest RTO (at least 200 ms), doubled for each firing.
 */
#include "mptcp/conn.h"

enum { STALL_EAGER = 8 /* firings before the interval grows */ };

/* --- the record of what was sent --- */

void sn_sent_add(struct sn_conn *c, uint64_t dsn, uint32_t len, uint8_t slot)
{
	struct sn_sent *t = c->sent_tail;
	uint16_t bit = (uint16_t)(1u << slot);

	if (t && t->carriers == bit && !t->need && t->len + len <= SN_SENT_MAX) {
		t->len += len;
		return;
	}
	struct sn_sent *s = sn_slab_take(&c->e->mptcp.sents);
	if (!s) {
		/* Out of records: the last one covers it too, as if any of both had carried it. */
		if (t) {
			t->len += len;
			t->carriers |= bit;
		}
		return;
	}
	s->dsn = dsn;
	s->len = len;
	s->carriers = bit;
	*(t ? &t->next : &c->sent) = s;
	c->sent_tail = s;
}

static void drop_first(struct sn_conn *c)
{
	struct sn_sent *s = c->sent;
	c->sent = s->next;
	if (!c->sent)
		c->sent_tail = NULL;
	if (s->need)
		c->need--;
	sn_slab_put(&c->e->mptcp.sents, s);
}

void sn_sent_trim(struct sn_conn *c)
{
	while (c->sent && sn_dsn_leq(c->sent->dsn + c->sent->len, c->snd_una))
		drop_first(c);
}

void sn_sent_purge(struct sn_conn *c)
{
	while (c->sent)
		drop_first(c);
}

static void mark(struct sn_conn *c, struct sn_sent *s)
{
	if (!s->need)
		c->need++;
	s->need = true;
	s->redone = 0;
}

void sn_sent_doubt(struct sn_conn *c, uint8_t slot)
{
	uint16_t bit = (uint16_t)(1u << slot), lost = bit;
	for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++)
		if (c->sf[i] && c->sf[i]->silent)
			lost |= (uint16_t)(1u << i);
	for (struct sn_sent *s = c->sent; s; s = s->next)
		if ((s->carriers & bit) && !(s->carriers & ~lost) && !s->need)
			mark(c, s);
	if (c->need)
		sn_conn_wake(c);
}

void sn_sent_lost(struct sn_conn *c, uint8_t slot)
{
	uint16_t bit = (uint16_t)(1u << slot);
	for (struct sn_sent *s = c->sent; s; s = s->next) {
		if (!(s->carriers & bit))
			continue;
		s->carriers &= (uint16_t)~bit;
		if (!s->carriers)
			mark(c, s);
	}
	if (c->need)
		sn_conn_wake(c);
}

/* --- sending again --- */

/* Sends [dsn, dsn + len) once more; returns the bytes taken. */
static uint32_t send_again(struct sn_conn *c, struct sn_subflow *sf, uint64_t dsn, uint32_t len, sn_time now)
{
	struct sn_chunk *k = sn_send_chunk_at(c, dsn);
	if (!k)
		return 0;
	sn_path_sent(sf, now);
	int32_t n = c->ops->send(sf->tcp, k, (uint32_t)(dsn - k->dsn), len, dsn, now);
	if (n <= 0)
		return 0;
	sf->sent_any = true;
	c->reinjected = true;
	c->bytes_retrans += (uint32_t)n;
	c->e->counters.MPTCPRetrans++;
	return (uint32_t)n;
}

/* Cuts a record behind its first `len` bytes. False: no record to be had. */
static bool split(struct sn_conn *c, struct sn_sent *s, uint32_t len)
{
	struct sn_sent *t = sn_slab_take(&c->e->mptcp.sents);
	if (!t)
		return false;
	*t = *s;
	t->dsn += len;
	t->len -= len;
	t->redone = 0;
	t->extra = 0;
	s->len = len;
	s->next = t;
	if (c->sent_tail == s)
		c->sent_tail = t;
	c->need += s->need;
	return true;
}

/* Sends one record again, as far as there is room. False: nobody has any. */
static bool push_one(struct sn_conn *c, struct sn_sent *s, sn_time now)
{
	uint16_t added = 0;

	while (s->redone < s->len) {
		uint64_t dsn = s->dsn + s->redone;
		struct sn_pick p;
		if (sn_dsn_lt(dsn, c->snd_una)) {
			s->redone += (uint32_t)SN_MIN(c->snd_una - dsn, s->len - s->redone);
			continue;
		}
		/* Nobody else there: the subflow's own retransmission has to do. */
		if (!sn_sched_eligible(c, s->carriers)) {
			if (s->carriers)
				break;
			return false;
		}
		if (!c->sched->pick(c, s->carriers, s->len - s->redone, &p, now))
			return false;
		uint32_t n = send_again(c, p.sf, dsn, p.len, now);
		if (!n)
			return false;
		s->redone += n;
		added |= (uint16_t)(1u << p.sf->slot);
		/* What comes next may go another way: each piece knows its own carriers, so that the loss of one of them
		 * is seen. */
		if (s->redone < s->len && split(c, s, s->redone))
			break;
	}
	s->carriers |= added;
	s->need = false;
	c->need--;
	return true;
}

void sn_retrans_push(struct sn_conn *c, sn_time now)
{
	for (struct sn_sent *s = c->sent; s && c->need; s = s->next)
		if (s->need && !push_one(c, s, now))
			return;
}

struct sn_sent *sn_retrans_piece(struct sn_conn *c, struct sn_sent *s, uint64_t dsn, uint32_t len,
				 struct sn_subflow *sf, sn_time now)
{
	/* Each piece knows its own carriers: what is not sent again here must not look as if it had been. */
	if (dsn != s->dsn && sn_dsn_lt(c->snd_una, dsn)) {
		if (!split(c, s, (uint32_t)(dsn - s->dsn)))
			return NULL;
		s = s->next;
	}
	uint32_t before = (uint32_t)(dsn - s->dsn);
	len = SN_MIN(len, s->len - before);
	if (before + len != s->len && !split(c, s, before + len))
		return NULL;
	if (send_again(c, sf, dsn, len, now) < len)
		return NULL;
	s->carriers |= (uint16_t)(1u << sf->slot);
	c->need -= s->need;
	s->need = false;
	return s;
}

/* --- stalled receiver, shut window --- */

static bool all_idle(const struct sn_conn *c)
{
	for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++)
		if (sn_sf_usable(c->sf[i]) && !c->ops->idle(c->sf[i]->tcp))
			return false;
	return true;
}

static bool window_shut(const struct sn_conn *c)
{
	return c->snd_nxt != c->snd_end && !sn_send_outstanding(c) && sn_dsn_leq(c->snd_edge, c->snd_nxt);
}

static sn_time interval(const struct sn_conn *c, bool idle)
{
	sn_time srtt = 0, rto = 0;
	for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++) {
		if (!sn_sf_usable(c->sf[i]))
			continue;
		struct sn_tcp_estimate est;
		c->ops->estimate(c->sf[i]->tcp, &est);
		srtt = SN_MAX(srtt, est.srtt);
		rto = SN_MAX(rto, est.rto);
	}
	if (idle) {
		uint32_t shift = c->rtx_backoff > STALL_EAGER ? c->rtx_backoff - STALL_EAGER : 0;
		return SN_MIN(SN_MAX(srtt / 2, 5 * SN_MSEC) << shift, SN_MAX(SN_SEC, 2 * srtt));
	}
	return SN_MIN(SN_MAX(SN_MAX(2 * srtt, rto), 200 * SN_MSEC) << SN_MIN(c->rtx_backoff, 12), 60 * SN_SEC);
}

/* When t_rtx is due. */
static sn_time rtx_due(const struct sn_conn *c, bool idle)
{
	sn_time base = c->rtx_base;
	/* A DATA_ACK may follow what TCP acknowledged by its own packet. */
	for (uint32_t i = 0; idle && i < SN_MAX_SUBFLOWS; i++)
		if (sn_sf_usable(c->sf[i]))
			base = SN_MAX(base, c->sf[i]->heard);
	return base + interval(c, idle);
}

/* Sends from snd_una, preferably where it was not sent before. */
static void resend_head(struct sn_conn *c, sn_time now)
{
	uint32_t left = (uint32_t)SN_MIN(c->snd_nxt - c->snd_una, (uint64_t)c->stall_len);
	uint32_t avoid = c->sent ? c->sent->carriers : 0;
	uint64_t dsn = c->snd_una;
	struct sn_pick p;

	while (left) {
		if (!c->sched->pick(c, avoid, left, &p, now) && !c->sched->pick(c, 0, left, &p, now))
			break;
		uint32_t n = send_again(c, p.sf, dsn, p.len, now);
		if (!n)
			break;
		dsn += n;
		left -= n;
	}
	c->stall_end = dsn;
}

void sn_retrans_check(struct sn_conn *c, sn_time now)
{
	if (c->starved && !sn_timer_armed(&c->t_rtx))
		sn_wheel_arm(&c->e->wheel, &c->t_rtx, now + SN_MSEC);
	if (SN_UNLIKELY(c->tune.user_timeout && !sn_timer_armed(&c->t_user)))
		sn_user_fire(&c->t_user, now);
	if (!c->mptcp || c->dead || c->finished || c->state < SN_CONN_ESTABLISHED || c->failing)
		return;
	bool out = sn_send_outstanding(c);
	if (!out)
		c->stall_end = 0;
	if (!out && !window_shut(c))
		return;
	bool idle = all_idle(c);
	/* The receiver took just what was sent again: it lacks more. Double the amount, clocked by its DATA_ACKs. */
	if (out && idle && c->stall_end && sn_dsn_leq(c->stall_end, c->snd_una)) {
		c->stall_len = SN_MIN(c->stall_len * 2, 1u << 18);
		c->rtx_base = now;
		resend_head(c, now);
	}
	bool armed = sn_timer_armed(&c->t_rtx);
	if (armed && !(out && idle))
		return;
	if (!out && !armed)
		c->rtx_base = now;
	sn_time due = rtx_due(c, out && idle);
	if (!armed || c->t_rtx.at > due + SN_MSEC)
		sn_wheel_arm(&c->e->wheel, &c->t_rtx, due);
}

void sn_retrans_fire(struct sn_timer *t, sn_time now)
{
	struct sn_conn *c = SN_CONTAINER(t, struct sn_conn, t_rtx);
	bool out = sn_send_outstanding(c), shut = window_shut(c);

	if (c->starved)
		sn_conn_wake(c);
	if (!c->mptcp || c->dead || c->finished || (!out && !shut) || c->failing)
		return;
	sn_time due = rtx_due(c, out && all_idle(c));
	if (now < due) {
		sn_wheel_arm(&c->e->wheel, t, due);
		return;
	}
	struct sn_subflow *sf = sn_conn_any_up(c);
	/* Acknowledged without a DATA_ACK, by segments without options: somebody strips them (RFC 8684 3.7). */
	if (sf && out && sf->bare && all_idle(c) && sn_conn_fallback(c, sf, now))
		return;
	if (sf && shut) {
		c->e->counters.tcp_probes++;
		c->ops->probe(sf->tcp, now);
	} else if (sf && c->fully) { /* a peer that fell back would take it for new data */
		struct sn_tcp_estimate est;
		c->ops->estimate(sf->tcp, &est);
		c->stall_len = est.mss ? 2 * est.mss : 1024; /* two segments: their ACK is not delayed */
		resend_head(c, now);
	}
	c->rtx_base = now;
	if (c->rtx_backoff < 12)
		c->rtx_backoff++;
	sn_wheel_arm(&c->e->wheel, t, now + interval(c, out && all_idle(c)));
}
