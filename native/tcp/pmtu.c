/* SPDX-License-Identifier: Apache-2.0
 *
 * Path MTU: from routers that say what their next link carries (RFC 1191, RFC 8201), and without them (RFC 4821, RFC 8899).
 *
 *   lower   Packet Too Big      what is in flight and too long is cut and sent again at once. No congestion: the window stays.
 *           black hole          the first segment in flight vanished again and again and nothing as long got through since:
 *                               BASE. If that vanishes as well before it arrives, it was an outage, and all is as before.
 *   raise   search              one new segment is longer than the path is known to carry. Lost, it is sent again in pieces
 *                               that fit; again no congestion. Arrived, all are so long. First what is most to be hoped for,
 *                               then halving the rest down to GRAIN.
 *
 * The search begins SETTLE after a black hole, and SN_PMTU_AGE after a router's word or the end of the last search. A peer
 * without SACK cannot show which segment was lost: there, after SN_PMTU_AGE the largest is taken for good at once.
 *
 * Timer: `timer`, the next step of the search, or a look at whether the probe arrived.
 */
#include "tcp/tcp.h"

enum {
	BASE = 1280,    /* nearly every path carries it (RFC 8899 5.1.2 says 1200 of payload) */
	LEAST = 576,    /* RFC 1122 3.3.3: what a router means that does not say */
	FLOOR_V4 = 552, /* nobody's word makes it smaller: small segments cost us, not the sender of the message */
	FLOOR_V6 = 1280,
	GRAIN = 16,
	PROBES = 2,    /* of one size, lost in a row: it is too large */
	CALM = 2,      /* black hole: retransmissions of one segment lost on a path that answers others */
	HEAVY_LOSS = 8 /* as good as VANISH_MIN: so many */
};
#define SETTLE     (2 * SN_SEC)
#define GAP        (100 * SN_MSEC) /* between two probes */
#define IDLE_GAP   SN_SEC          /* nothing to send: doubled each time; losses to mend first */
#define VANISH_MIN (100 * SN_MSEC) /* between the last but one transmission and now: no short outage */

static bool v6(const struct sn_tcp *t) { return !sn_addr_is_v4(&t->flow.remote); }
static uint32_t headers(const struct sn_tcp *t) { return (v6(t) ? 40 : 20) + SN_TCP_HDR_MIN; }

static void apply(struct sn_tcp *t, uint32_t mtu)
{
	t->pmtu.mtu = (uint16_t)mtu;
	t->peer_mss = mtu - headers(t);
	sn_tcp_set_mss(t);
}

static void arm(struct sn_tcp *t, sn_time at) { sn_wheel_arm(&t->e->wheel, &t->pmtu.timer, at); }

static void learn(struct sn_tcp *t, sn_time now)
{
	sn_net_pmtu_learn(t->e, t->port, &t->flow.remote, t->pmtu.mtu, now);
}

uint32_t sn_pmtu_known(const struct sn_tcp *t)
{
	return t->pmtu.mtu < t->pmtu.top ? t->pmtu.mtu : sn_net_port_mtu(t->e, t->port);
}

/* --- lower -------------------------------------------------------------------------------------------------------- */

/* Everything that was too long for the path goes again, as fast as the window and pacing allow. */
static void resend_long(struct sn_tcp *t, sn_time now)
{
	bool any = false;

	for (struct sn_tcp_txseg *s = t->txq; s; s = s->next) {
		if ((s->flags & SN_TXS_SACKED) || s->len <= t->mss)
			continue;
		any = true;
		if ((s->flags & (SN_TXS_LOST | SN_TXS_RETRANS)) == SN_TXS_LOST)
			continue;
		sn_tcp_mark(t, s);
		t->lost_total -= sn_txseg_size(s);
	}
	if (!any)
		return;
	/* As after a timeout, for what is lost meanwhile; but with the window as it is. */
	if (t->ca == SN_CA_OPEN) {
		t->ca = SN_CA_LOSS;
		t->recovery_point = t->snd_nxt;
		t->undo_on = false;
		t->frto = SN_FRTO_OFF;
	}
	t->tlp_on = false;
	t->force_rtx = true;
	sn_tcp_send_lost(t, now);
	sn_tcp_rtx_restart(t, now);
}

void sn_pmtu_too_big(struct sn_tcp *t, uint32_t mtu, sn_time now)
{
	struct sn_tcp_pmtu *p = &t->pmtu;
	bool unsaid = !mtu; /* a router older than RFC 1191 */

	mtu = SN_MAX(unsaid ? (uint32_t)LEAST : mtu, (uint32_t)(v6(t) ? FLOOR_V6 : FLOOR_V4));
	if (t->state < SN_TCP_ESTABLISHED || mtu >= p->top)
		return;
	if (p->flying && (unsaid || mtu >= p->mtu)) { /* it is the answer to the probe */
		if (mtu >= p->size)
			return;
		t->e->counters.pmtu_probes_lost++;
		p->most = (uint16_t)(unsaid ? p->size - 1u : mtu);
		p->halve = unsaid;
		p->flying = false;
		p->lost = 0;
		learn(t, now);
		arm(t, now + GAP);
	} else if (mtu < p->mtu || (p->doubt && mtu < p->most)) {
		t->e->counters.pmtu_lowered++;
		p->most = (uint16_t)(unsaid ? p->mtu - 1u : mtu);
		p->searching = p->halve = unsaid;
		p->flying = p->doubt = false;
		p->lost = 0;
		apply(t, mtu);
		learn(t, now);
		arm(t, now + (unsaid && t->sack_on ? SETTLE : SN_PMTU_AGE));
	} else {
		return;
	}
	resend_long(t, now);
}

/* The first segment in flight is to be sent once more: was its size the reason? */
static bool vanishes(const struct sn_tcp *t, const struct sn_tcp_txseg *s, sn_time now)
{
	const struct sn_tcp_pmtu *p = &t->pmtu;

	if (p->mtu <= BASE || t->state < SN_TCP_ESTABLISHED || (!t->shared && !t->snd_wnd))
		return false;
	uint32_t fits = t->mss - (p->mtu - BASE);
	if (s->len <= fits || (t->backoff < 2 && p->calm < CALM))
		return false;
	if (now - s->first < VANISH_MIN && s->sends < HEAVY_LOSS)
		return false;
	for (const struct sn_tcp_txseg *x = s->next; x; x = x->next)
		if ((x->flags & SN_TXS_SACKED) && x->len > fits && x->sent >= s->first)
			return false;
	return true;
}

/* The first segment in flight was sent again before, and will be now. */
static void look_at_head(struct sn_tcp *t, const struct sn_tcp_txseg *s, sn_time now)
{
	struct sn_tcp_pmtu *p = &t->pmtu;

	if (s->seq != p->una) {
		p->una = s->seq;
		p->calm = 0;
	}
	if (!p->doubt && vanishes(t, s, now)) {
		p->most = p->mtu;
		p->doubt = p->searching = true;
		p->halve = p->flying = false;
		p->lost = p->tries = 0;
		apply(t, BASE);
		sn_pmtu_stop(t);
	}
	if (p->doubt && p->tries < UINT8_MAX && ++p->tries == 2)
		p->again = now;
	if (!t->backoff && p->calm < UINT8_MAX)
		p->calm++;
}

void sn_pmtu_progress(struct sn_tcp *t, sn_time now)
{
	struct sn_tcp_pmtu *p = &t->pmtu;

	p->doubt = false;
	/* The first transmission of the piece arrived: nobody can have answered the second yet. */
	if (p->tries == 1 || (p->tries == 2 && now - p->again < t->min_rtt / 2)) {
		t->e->counters.pmtu_black_hole++;
		arm(t, now + (t->sack_on ? SETTLE : SN_PMTU_AGE));
		return;
	}
	p->searching = false;
	apply(t, p->most);
	if (p->mtu < p->top)
		arm(t, now + SN_PMTU_AGE);
}

/* --- raise -------------------------------------------------------------------------------------------------------- */

/* Asks for the next probe, or ends the search. */
static void step(struct sn_tcp *t, sn_time now)
{
	struct sn_tcp_pmtu *p = &t->pmtu;

	if (p->most <= p->mtu || (p->halve && p->most < p->mtu + GRAIN)) {
		p->searching = false;
		if (p->mtu < p->top)
			arm(t, now + SN_PMTU_AGE);
		return;
	}
	if (!t->sack_on) {
		p->searching = false;
		apply(t, p->most);
		learn(t, now);
		return;
	}
	if (t->ca != SN_CA_OPEN || t->backoff) { /* what would be lost now says nothing */
		arm(t, now + IDLE_GAP);
		return;
	}
	p->size = p->halve ? (uint16_t)((p->mtu + p->most + 1) / 2) : p->most;
	arm(t, now + (IDLE_GAP << SN_MIN(p->idle, 6)));
	if (p->idle < UINT8_MAX)
		p->idle++;
	t->probing = SN_PROBING_PMTU;
	(t->up->room ? t->up->room : t->up->acked)(t->owner, now);
}

static void arrived(struct sn_tcp *t, sn_time now)
{
	struct sn_tcp_pmtu *p = &t->pmtu;

	t->e->counters.pmtu_raised++;
	p->flying = false;
	p->lost = 0;
	apply(t, p->size);
	learn(t, now);
}

static void fire(struct sn_timer *timer, sn_time now)
{
	struct sn_tcp *t = SN_CONTAINER(timer, struct sn_tcp, pmtu.timer);
	struct sn_tcp_pmtu *p = &t->pmtu;

	if (!t->owner || !sn_tcp_can_send(t))
		return;
	if (p->flying && sn_seq_lt(t->snd_una, p->end)) { /* not known yet */
		arm(t, now + SN_MAX(t->srtt, GAP));
		return;
	}
	sn_tcp_enter(t);
	if (p->flying)
		arrived(t, now);
	if (!p->searching) {
		p->searching = true;
		p->halve = false;
		p->most = p->top;
		p->lost = 0;
	}
	step(t, now);
	sn_tcp_leave(t);
}

void sn_pmtu_raise(struct sn_tcp *t, uint32_t len)
{
	uint32_t want = sn_tcp_probe_len(t);

	if (len < want) {
		t->probing = SN_PROBING_NOT;
		return;
	}
	t->peer_mss += want - t->mss;
	t->mss = want;
	t->pmtu.raised = true;
	t->pmtu.end = t->snd_nxt;
}

void sn_pmtu_settle(struct sn_tcp *t, sn_time now)
{
	struct sn_tcp_pmtu *p = &t->pmtu;
	uint32_t want = t->mss;

	p->raised = false;
	t->probing = SN_PROBING_NOT;
	apply(t, p->mtu);
	if (t->snd_nxt == p->end || t->txq_tail->len != want)
		return; /* no record, or it would have been made of too many pieces */
	t->e->counters.pmtu_probes++;
	p->flying = true;
	p->end = t->snd_nxt;
	p->idle = 0;
	arm(t, now + SN_MAX(2 * t->srtt, 10 * SN_MSEC));
}

static void probe_failed(struct sn_tcp *t, sn_time now)
{
	struct sn_tcp_pmtu *p = &t->pmtu;

	t->e->counters.pmtu_probes_lost++;
	p->flying = false;
	/* After a timeout everything is sent again, whatever its size. */
	if (t->ca != SN_CA_LOSS && ++p->lost == PROBES) {
		p->lost = 0;
		p->most = (uint16_t)(p->size - 1);
		p->halve = true;
		learn(t, now);
	}
	arm(t, now + GAP);
}

bool sn_pmtu_probe_lost(struct sn_tcp *t, struct sn_tcp_txseg *s, sn_time now)
{
	uint32_t end = t->pmtu.end;

	if (sn_txseg_end(s) != end)
		return false;
	sn_tcp_mark(t, s);
	t->lost_total -= sn_txseg_size(s);
	while (s && sn_seq_lt(s->seq, end) && sn_tcp_emit_again(t, s, now))
		s = s->next;
	return true;
}

/* --- both --------------------------------------------------------------------------------------------------------- */

bool sn_pmtu_again(struct sn_tcp *t, struct sn_tcp_txseg *s, sn_time now)
{
	if (s->sends && s == t->txq)
		look_at_head(t, s, now);
	if (s->len <= t->mss)
		return true;
	/* Of a record that a middlebox cut as well, a part may have arrived: a first piece of that alone would bring no
	 * progress, for ever. */
	if (sn_seq_gt(t->snd_una, s->seq)) {
		sn_txseg_trim(t, s, t->snd_una - s->seq);
		if (s->len <= t->mss)
			return true;
	}
	if (t->pmtu.flying && sn_txseg_end(s) == t->pmtu.end)
		probe_failed(t, now);
	return sn_txseg_split(t, s, t->mss);
}

void sn_pmtu_begin(struct sn_tcp *t, uint32_t peer_mss, sn_time now)
{
	struct sn_tcp_pmtu *p = &t->pmtu;

	p->top = p->most = (uint16_t)(peer_mss + headers(t));
	apply(t, SN_MIN((uint32_t)p->top, (uint32_t)sn_net_pmtu(t->e, t->port, &t->flow.remote, now)));
	p->timer.fire = fire;
	if (p->mtu < p->top)
		arm(t, now + SN_PMTU_AGE);
}

void sn_pmtu_stop(struct sn_tcp *t)
{
	if (sn_timer_armed(&t->pmtu.timer))
		sn_wheel_cancel(&t->e->wheel, &t->pmtu.timer);
}
