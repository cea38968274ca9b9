/* SPDX-License-Identifier: Apache-2.0
 *
 * TCP Fast Open, RFC 7413: data with the SYN of a client that came before.
 *
 *   client                                       server
 *     | SYN, empty option                          |
 *     |------------------------------------------->|
 *     |                     SYN/ACK, option: cookie |     cookie = F(both addresses, secret)
 *     |<-------------------------------------------|
 *     |  later                                     |
 *     | SYN, cookie, data                          |
 *     |------------------------------------------->|     the owner has the data
 *     |                   SYN/ACK acknowledges data |
 *     |<-------------------------------------------|
 *
 * A cookie is six bytes long: with it, timestamps and MP_CAPABLE a SYN/ACK's options are full. Servers remembered are few;
 * the one used longest ago makes room. Two SYNs with data in a row that got lost while others come through mute a server for
 * an hour: somebody on the path drops them (RFC 7413 4.1.3.1).
 */
#include "net/siphash.h"
#include "tcp/tcp.h"

enum {
	COOKIE = 6,
	COOKIE_MOST = 14, /* more than this does not fit into a SYN beside 20 bytes of options and MP_CAPABLE */
	STRIKES = 2
};
#define MUTED (3600 * SN_SEC)

static struct sn_tfo_cookie make_cookie(const struct sn_engine *e, const struct sn_flow *flow)
{
	struct sn_tfo_cookie c = {.len = COOKIE};
	uint8_t in[33];

	memcpy(in, flow->remote.b, 16);
	memcpy(in + 16, flow->local.b, 16);
	in[32] = 't'; /* its length sets it apart from what else the secret signs */
	uint64_t f = sn_siphash(e->cfg.secret, in, sizeof in);
	memcpy(c.b, &f, COOKIE);
	return c;
}

static struct sn_tfo_server *find(struct sn_engine *e, const struct sn_addr *addr)
{
	for (uint32_t i = 0; i < SN_TFO_SERVERS; i++)
		if (e->tcp.tfo[i].cookie.len && sn_addr_eq(&e->tcp.tfo[i].addr, addr))
			return &e->tcp.tfo[i];
	return NULL;
}

uint32_t sn_tfo_begin(struct sn_tcp *t, const struct sn_tcp_open *o, sn_time now)
{
	struct sn_tfo_server *s = find(t->e, &t->flow.remote);

	if (s && now < s->muted)
		return 0;
	if (!s) {
		t->tfo = SN_TFO_ASK;
		t->e->counters.tcp_fastopen_asked++;
		return 0;
	}
	s->used = now;
	t->peer_mss = s->mss;
	uint32_t room = t->peer_mss > SN_TCP_OPT_MAX ? t->peer_mss - SN_TCP_OPT_MAX : 0;
	uint32_t n = o->early ? SN_MIN(o->early->len, room) : 0;
	if (n) {
		t->tfo = SN_TFO_SEND;
		t->e->counters.tcp_fastopen_sent++;
	}
	return n;
}

void sn_tfo_accept(struct sn_tcp *t, const struct sn_tcp_open *o, const struct sn_tcp_seg *syn, sn_time now)
{
	struct sn_tfo_cookie own = make_cookie(t->e, &t->flow);

	if (syn->tfo.len != own.len || memcmp(syn->tfo.b, own.b, own.len) != 0) {
		t->tfo = SN_TFO_GIVE;
		t->e->counters.tcp_fastopen_given++;
		t->e->counters.tcp_fastopen_refused += syn->tfo.len != 0;
		return;
	}
	struct sn_buf *b = syn->len && syn->early ? sn_buf_alloc(t->e->cfg.pool) : NULL;
	if (!b)
		return;
	if (SN_HEADROOM + syn->len > b->room) {
		sn_buf_free(b);
		return;
	}
	b->data = b->base + SN_HEADROOM;
	b->len = syn->len;
	memcpy(b->data, syn->early, syn->len);
	b->next = NULL;
	t->rcv_nxt += syn->len;
	t->rcv_acked = t->rcv_adv = t->rcv_nxt;
	t->bytes_received += syn->len;
	t->e->counters.tcp_fastopen_taken++;
	t->up->early_data(o->owner, b, now);
}

/* Takes a cookie over, in the place of the server's old one or of the entry used longest ago. */
static void remember(struct sn_tcp *t, const struct sn_tfo_cookie *cookie, sn_time now)
{
	struct sn_tcp_stack *k = &t->e->tcp;
	struct sn_tfo_server *s = find(t->e, &t->flow.remote);

	for (uint32_t i = 0; !s && i < SN_TFO_SERVERS; i++)
		if (!k->tfo[i].cookie.len)
			s = &k->tfo[i];
	if (!s) {
		s = k->tfo;
		for (uint32_t i = 1; i < SN_TFO_SERVERS; i++)
			if (k->tfo[i].used < s->used)
				s = &k->tfo[i];
	}
	*s = (struct sn_tfo_server){
		.addr = t->flow.remote, .cookie = *cookie, .mss = (uint16_t)t->peer_mss, .used = now};
}

void sn_tfo_answered(struct sn_tcp *t, const struct sn_tcp_seg *synack, uint32_t taken, sn_time now)
{
	if ((synack->opts & SN_OPT_FASTOPEN) && synack->tfo.len && synack->tfo.len <= COOKIE_MOST)
		remember(t, &synack->tfo, now);
	struct sn_tfo_server *s = find(t->e, &t->flow.remote);
	if (t->early && s) {
		s->strikes = t->syn_resent && !taken ? s->strikes + 1 : 0;
		if (s->strikes == STRIKES) {
			s->strikes = 0;
			s->muted = now + MUTED;
			t->e->counters.tcp_fastopen_muted++;
		}
	}
	if (!taken)
		return;
	t->e->counters.tcp_fastopen_acked++;
	t->bytes_sent += taken;
	t->bytes_acked += taken;
	if (t->owner)
		t->up->early_taken(t->owner, taken, now);
}

uint32_t sn_tfo_option(const struct sn_tcp *t, uint8_t *p)
{
	struct sn_tfo_cookie cookie = {.len = 0};

	if (t->tfo == SN_TFO_GIVE)
		cookie = make_cookie(t->e, &t->flow);
	else if (t->tfo == SN_TFO_SEND)
		cookie = find(t->e, &t->flow.remote)->cookie; /* sn_tfo_begin() saw it a moment ago */
	return sn_opt_emit_fastopen(p, &cookie);
}
