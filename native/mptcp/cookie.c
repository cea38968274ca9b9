/* SPDX-License-Identifier: Apache-2.0
 *
 * SYN cookies for listeners (RFC 4987 3.6), with MPTCP (RFC 8684 3.1): no record, no token and no key is kept for a SYN.
 *
 * Our key is a keyed hash of the 4-tuple and of the cookie, which depends on the peer's ISN and the time. So it can be made
 * again when the third ACK brings it back, and the peer's own key comes with it. The first of KEY_TRIES such hashes whose
 * token names this worker is the key, as in token.c; where there is none the SYN is answered without MP_CAPABLE.
 *
 * While cookies are out (cookies_until), an ACK without a flow to a port that somebody listens on is checked: one hash. If
 * there is no room it is dropped, so that the peer tries again; so is the second segment of a client whose first is to come
 * again. What has nothing to do with a cookie is reset, as ever.
 */
#include "mptcp/conn.h"
#include "net/siphash.h"

enum { KEY_TRIES = 8 /* times the number of workers */ };
#define COOKIE_LIFE (100 * SN_SEC) /* none is good for longer */

static uint64_t key_of(const struct sn_engine *e, const struct sn_flow *flow, uint32_t cookie, uint32_t try)
{
	uint8_t m[44];

	memcpy(m, flow->local.b, 16);
	memcpy(m + 16, flow->remote.b, 16);
	sn_put32(m + 32, (uint32_t)flow->lport << 16 | flow->rport);
	sn_put32(m + 36, cookie);
	sn_put32(m + 40, try);
	return sn_siphash(e->cfg.secret, m, sizeof m);
}

static bool make_key(const struct sn_engine *e, const struct sn_flow *flow, uint32_t cookie, uint64_t *key)
{
	for (uint32_t i = 0; i < KEY_TRIES * e->cfg.workers; i++) {
		uint32_t token;
		uint64_t idsn;
		*key = key_of(e, flow, cookie, i);
		if (e->cfg.workers == 1)
			return true;
		sn_mp_key_digest(*key, &token, &idsn);
		if (token % e->cfg.workers == e->cfg.worker)
			return true;
	}
	return false;
}

void sn_cookie_answer(struct sn_engine *e, const struct sn_listener *l, uint16_t port, const struct sn_flow *flow,
		      const struct sn_tcp_seg *syn, sn_time now)
{
	const struct sn_tcp_cookie_ops *ops = e->tcp_ops->cookie;
	struct sn_tcp_open o = {.flow = *flow, .port = port, .rcv_space = e->cfg.rcvbuf};
	struct sn_mp_capable cap = {.len = 12, .version = 1};
	uint8_t opts[SN_TCP_OPT_MAX];
	uint32_t n = 0;

	o.isn = ops->make(e, flow, syn, now);
	if (sn_syn_capable(l, &syn->mp)) {
		bool csum = e->cfg.csum || (l->flags & SN_OPF_CSUM) || (syn->mp.capable.flags & SN_MPC_CSUM);
		e->counters.MPCapableSYNRX++;
		cap.flags = (uint8_t)(SN_MPC_HMAC_SHA256 | (csum ? SN_MPC_CSUM : 0) |
				      (e->cfg.no_join ? SN_MPC_NO_JOIN : 0));
		if (make_key(e, flow, o.isn, &cap.sender_key))
			n = sn_mp_emit_capable(opts, &cap);
	}
	e->mptcp.cookies_until = now + COOKIE_LIFE;
	ops->send(e, &o, syn, SN_MIN(e->cfg.rcvbuf, (uint32_t)SN_RCV_START), opts, n, now);
}

/* Which word of the peer's is this? */
enum word {
	WORD_PLAIN,   /* no MPTCP */
	WORD_CAPABLE, /* MP_CAPABLE with the key that is to be taken */
	WORD_EARLY,   /* it overtook the one with the keys */
	WORD_OTHERS   /* its key names another worker */
};

static enum word word_of(const struct sn_engine *e, const struct sn_listener *l, const struct sn_flow *flow,
			 const struct sn_tcp_seg *ack)
{
	const struct sn_mp_capable *cap = &ack->mp.capable;
	uint64_t idsn;
	uint32_t token;

	if (!ack->mp.present || (l->flags & SN_OPF_TCP))
		return WORD_PLAIN;
	if (!(ack->mp.present & SN_MP_BIT(SN_MP_CAPABLE)) || cap->len < 20)
		return WORD_EARLY;
	for (uint32_t i = 0; i < KEY_TRIES * e->cfg.workers; i++) {
		if (key_of(e, flow, ack->ack - 1, i) != cap->receiver_key)
			continue;
		sn_mp_key_digest(cap->receiver_key, &token, &idsn);
		return token % e->cfg.workers == e->cfg.worker ? WORD_CAPABLE : WORD_OTHERS;
	}
	return WORD_PLAIN;
}

enum sn_ack_verdict sn_mptcp_ack(struct sn_engine *e, uint16_t port, const struct sn_flow *flow,
				 const struct sn_tcp_seg *ack, struct sn_tcp **tcp, sn_time now)
{
	struct sn_listener *l = sn_listener_for(e, flow);
	struct sn_tcp_seg syn;

	if (!l || e->mptcp.draining)
		return SN_ACK_STRANGE;
	enum sn_cookie cookie = e->tcp_ops->cookie->open(e, flow, ack, &syn, now);
	if (cookie == SN_COOKIE_BAD) {
		e->counters.SyncookiesFailed++;
		return SN_ACK_STRANGE;
	}
	if (cookie == SN_COOKIE_LATER)
		return SN_ACK_QUIET;
	enum word word = word_of(e, l, flow, ack);
	if (word == WORD_OTHERS)
		return SN_ACK_QUIET;
	if (word == WORD_EARLY)
		return SN_ACK_DROPPED;
	if (sn_listener_full(l)) {
		e->counters.ListenOverflows++;
		return SN_ACK_DROPPED;
	}
	struct sn_conn *c = sn_conn_for(e, l, flow, now);
	if (!c) {
		e->counters.tcp_syn_drop++;
		return SN_ACK_DROPPED;
	}
	if (word == WORD_CAPABLE) {
		c->mptcp = sn_token_take(c, ack->mp.capable.receiver_key);
		c->peer_no_join = (ack->mp.capable.flags & SN_MPC_NO_JOIN) != 0;
		c->snd_una = c->snd_nxt = c->snd_end = c->idsn + 1;
	}
	if (!c->mptcp)
		e->counters.conn_fallback++;
	struct sn_subflow *sf = sn_sf_new(c, c->mptcp ? SN_SF_CAPABLE : SN_SF_PLAIN, flow, port);
	if (!sf || !sn_sf_accept_cookie(sf, ack->ack - 1, &syn, now)) {
		e->counters.tcp_syn_drop++;
		sn_conn_free(c);
		return SN_ACK_DROPPED;
	}
	e->counters.SyncookiesRecv++;
	*tcp = sf->tcp;
	return SN_ACK_OPENED;
}
