/* SPDX-License-Identifier: Apache-2.0
 *
 * Holes that last. Everything behind the first byte that is not DATA_ACKed waits for it at the receiver, whichever subflow
 * lost it, so the connection looks after it itself, as RACK and the tail probe (RFC 8985) do for one path: if the last
 * copy of the head is older than 1.25 round trips of its path, one segment goes out on another path, beyond the congestion
 * window if need be; so does what else is overdue a little behind. Then neither a window that losses made small, nor a tail
 * with nothing behind it, nor a retransmission that was lost as well holds up the rest for a timeout.
 *
 * The subflow's own retransmission comes first: the first copy gets a little more time than RACK needs, later ones do not.
 * What may be sent so is bounded to 1/MEND_SHARE of what is DATA_ACKed, with MEND_MOST in store.
 *
 * Timer: t_mend of a connection with several subflows, while data is outstanding.
 */
#include "mptcp/conn.h"

enum {
	MEND_SHARE = 24,
	MEND_MOST = 65536,
	MEND_FIRST = 16384,
	MEND_KEEP = 8192,
	LOOK_AT = 16 /* segments */,
	STEP = 1400
};
#define MEND_SLACK SN_MSEC /* for the subflow's own retransmission */

static bool wanted(const struct sn_conn *c)
{
	return c->ops->sent_at && c->mptcp && c->fully && !c->dead && !c->finished && !c->failing && c->nsf > 1 &&
	       sn_send_outstanding(c);
}

void sn_mend_acked(struct sn_conn *c, uint64_t bytes, sn_time now)
{
	c->mend_left = (uint32_t)SN_MIN(c->mend_left + bytes / MEND_SHARE, (uint64_t)MEND_MOST);
	/* A hole was filled: is there another behind it? */
	if (c->mended && wanted(c))
		sn_wheel_arm(&c->e->wheel, &c->t_mend, now);
	c->mended = false;
}

void sn_mend_check(struct sn_conn *c, sn_time now)
{
	if (sn_timer_armed(&c->t_mend) || !wanted(c))
		return;
	if (!c->mend_gap) {
		c->mend_gap = SN_MSEC;
		c->mend_left = MEND_FIRST;
	}
	sn_wheel_arm(&c->e->wheel, &c->t_mend, now + c->mend_gap);
}

struct copy {
	struct sn_tcp_sent sent;
	uint8_t slot;
};

/* The last copy of the byte at `dsn`, which s holds, that may still be under way. */
static bool last_copy(const struct sn_conn *c, const struct sn_sent *s, uint64_t dsn, struct copy *out)
{
	*out = (struct copy){0};
	for (uint32_t left = s->carriers; left; left &= left - 1) {
		struct copy k = {.slot = (uint8_t)__builtin_ctz(left)};
		if (sn_sf_usable(c->sf[k.slot]) && c->ops->sent_at(c->sf[k.slot]->tcp, dsn, &k.sent) &&
		    k.sent.at >= out->sent.at)
			*out = k;
	}
	if (out->sent.at && s->extra >= out->sent.at && dsn - s->dsn < STEP) {
		out->sent.at = s->extra;
		out->sent.before = 1;
		out->slot = s->extra_slot;
	}
	return out->sent.at;
}

static sn_time patience(const struct sn_conn *c, const struct copy *k, uint64_t dsn)
{
	struct sn_tcp_estimate est = {0};

	if (sn_sf_usable(c->sf[k->slot]))
		c->ops->estimate(c->sf[k->slot]->tcp, &est);
	if (!est.srtt)
		return SN_SEC;
	sn_time t = SN_MAX(est.srtt + est.srtt / 4, SN_MSEC);
	if (!k->sent.before)
		t += MEND_SLACK;
	/* The peer may hold back its answer to what comes alone. Is there something behind it, the answer to that tells. */
	if (dsn + k->sent.len == c->snd_nxt && est.bytes_sent - est.bytes_acked <= est.mss)
		t += c->e->cfg.tcp.ack_delay_max;
	return t;
}

/* The fastest other subflow. */
static struct sn_subflow *other(const struct sn_conn *c, uint8_t slot, struct sn_tcp_estimate *out)
{
	struct sn_subflow *best = NULL;

	for (uint32_t left = sn_sched_eligible(c, 1u << slot); left; left &= left - 1) {
		struct sn_subflow *sf = c->sf[__builtin_ctz(left)];
		struct sn_tcp_estimate est;
		c->ops->estimate(sf->tcp, &est);
		if (!est.srtt || sf->silent || (best && out->srtt <= est.srtt))
			continue;
		best = sf;
		*out = est;
	}
	return best;
}

/* False: no more of this now. */
static bool mend(struct sn_conn *c, struct sn_sent *s, uint64_t dsn, const struct copy *last, sn_time now)
{
	struct sn_tcp_estimate est, own;
	struct sn_subflow *sf = other(c, last->slot, &est);

	/* The last of the store is for what was lost twice. */
	if (!sf || c->mend_left < est.mss + (last->sent.before ? 0 : MEND_KEEP))
		return false;
	/* A slow path is no help where a timeout comes sooner. */
	if (sn_sf_usable(c->sf[last->slot])) {
		c->ops->estimate(c->sf[last->slot]->tcp, &own);
		if (est.srtt / 2 > SN_MAX(own.rto, own.srtt))
			return false;
	}
	s = sn_retrans_piece(c, s, dsn, SN_MIN(est.mss, last->sent.len), sf, now);
	if (!s)
		return false;
	c->mend_left -= SN_MIN(c->mend_left, s->len);
	c->mended = true;
	s->extra = now;
	s->extra_slot = sf->slot;
	return true;
}

void sn_mend_fire(struct sn_timer *t, sn_time now)
{
	struct sn_conn *c = SN_CONTAINER(t, struct sn_conn, t_mend);
	struct sn_sent *s = c->sent;
	sn_time next = SN_TIME_NEVER;
	uint64_t dsn = c->snd_una;

	if (!wanted(c))
		return;
	for (uint32_t n = 0; s && n < LOOK_AT; n++) {
		struct copy last;
		while (s && dsn - s->dsn >= s->len)
			s = s->next;
		/* Not under way any more: the DATA_ACK is late (retrans.c), or waits for what is before it. */
		if (!s || !last_copy(c, s, dsn, &last)) {
			dsn += STEP;
			continue;
		}
		c->mend_gap = patience(c, &last, dsn);
		/* While DATA_ACKs come there is no hole, only a queue that grows. */
		sn_time due = SN_MAX(last.sent.at + c->mend_gap, c->rtx_base + c->mend_gap / 8);
		bool on = true;
		if (now >= due) {
			due = now + c->mend_gap;
			on = mend(c, s, dsn, &last, now);
		}
		next = SN_MIN(next, due);
		if (!on || !c->mended) /* what is behind matters only if there is a hole */
			break;
		dsn += last.sent.len;
	}
	sn_wheel_arm(&c->e->wheel, t, next == SN_TIME_NEVER ? now + c->mend_gap : next);
}
