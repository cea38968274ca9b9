/* SPDX-License-Identifier: Apache-2.0
 *
 * Segments in a script: what a line says, comparing it with what the engine sent, sending it as the peer.
 */
#ifndef SN_PKT_SEGMENT_H
#define SN_PKT_SEGMENT_H

#include "pkt.h"

/* What a line says of a segment. */
struct want {
	struct sn_tcp_seg g;
	bool ack, win, sack, psh, nots, ts, mss, ws, sackok, ecr, ce, prio;
	uint32_t wnd;
	int len;
};

static bool number(const char *w, uint32_t *out)
{
	char *end;

	*out = (uint32_t)strtoll(w, &end, 10);
	return *w && !*end;
}

static bool range(const char *w, uint32_t *a, uint32_t *b)
{
	int n = 0;

	return sscanf(w, "%u:%u%n", a, b, &n) == 2 && !w[n];
}

/* Words after the direction: FLAGS seq:end [ack N] [win N] [sack a:b...] [ts N] [ecr N] [mss N] [ws N] [sackok] [nots] [ce]
 * [prio] */
static bool parse_segment(struct script *s, char **w, int n, int me, struct want *out)
{
	uint32_t a, b, base = s->p->isn[me], other = s->p->isn[!me];

	memset(out, 0, sizeof *out);
	if (n < 2 || !range(w[1], &a, &b))
		return false;
	for (const char *f = w[0]; *f; f++) {
		static const char names[] = "FSRP.UEW";
		const char *at = strchr(names, *f == 'A' ? '.' : *f);
		if (!at)
			return false;
		out->g.flags |= (uint8_t)(1u << (at - names));
	}
	out->psh = out->g.flags & SN_TH_PSH;
	out->g.seq = base + a;
	out->g.len = b - a;
	for (int i = 2; i < n; i++) {
		bool arg = i + 1 < n;
		if (!strcmp(w[i], "ack") && arg && number(w[i + 1], &a)) {
			out->ack = true;
			out->g.ack = other + a;
			i++;
		} else if (!strcmp(w[i], "win") && arg && number(w[i + 1], &out->wnd)) {
			out->win = true;
			i++;
		} else if (!strcmp(w[i], "ecr") && arg && number(w[i + 1], &a)) {
			out->ecr = true;
			out->g.ts_ecr = a;
			i++;
		} else if (!strcmp(w[i], "ts") && arg && number(w[i + 1], &a)) {
			out->ts = true;
			out->g.ts_val = a;
			i++;
		} else if (!strcmp(w[i], "mss") && arg && number(w[i + 1], &a)) {
			out->mss = true;
			out->g.mss = (uint16_t)a;
			i++;
		} else if (!strcmp(w[i], "ws") && arg && number(w[i + 1], &a)) {
			out->ws = true;
			out->g.wscale = (uint8_t)a;
			i++;
		} else if (!strcmp(w[i], "sack")) {
			out->sack = true;
			while (i + 1 < n && out->g.nsack < 4 && range(w[i + 1], &a, &b)) {
				out->g.sack[out->g.nsack++] = (struct sn_sack_block){other + a, other + b};
				i++;
			}
		} else if (!strcmp(w[i], "nosack")) {
			out->sack = true;
		} else if (!strcmp(w[i], "sackok")) {
			out->sackok = true;
		} else if (!strcmp(w[i], "nots")) {
			out->nots = true;
		} else if (!strcmp(w[i], "ce")) {
			out->ce = true;
		} else if (!strcmp(w[i], "prio")) {
			out->prio = true;
		} else {
			return false;
		}
	}
	return true;
}

static void expect(struct script *s, const struct want *w)
{
	const struct seen *v = pending(s);
	const struct sn_tcp *t = sub(s)->tcp;
	uint8_t mask = (uint8_t) ~(w->psh ? 0 : SN_TH_PSH);

	if (!v) {
		fail(s, "nothing was sent");
		return;
	}
	const struct sn_tcp_seg *g = &v->seg;
	uint32_t scale = t && !(g->flags & SN_TH_SYN) ? t->rcv_ws : 0;
	const char *bad = NULL;
	if ((g->flags & mask) != (w->g.flags & mask))
		bad = "flags";
	else if (g->seq != w->g.seq || g->len != w->g.len)
		bad = "sequence";
	else if (w->ack && g->ack != w->g.ack)
		bad = "ack";
	else if (w->win && (uint32_t)g->wnd << scale != w->wnd)
		bad = "window";
	else if (w->sack && (g->nsack != w->g.nsack || memcmp(g->sack, w->g.sack, g->nsack * sizeof g->sack[0])))
		bad = "sack";
	else if (w->nots && (g->opts & SN_OPT_TS))
		bad = "timestamps";
	else if (w->mss && (!(g->opts & SN_OPT_MSS) || g->mss != w->g.mss))
		bad = "mss";
	else if (w->ws && (!(g->opts & SN_OPT_WSCALE) || g->wscale != w->g.wscale))
		bad = "window scale";
	else if (w->sackok && !(g->opts & SN_OPT_SACK_OK))
		bad = "sackok";
	else if (w->ecr && g->ts_ecr != w->g.ts_ecr)
		bad = "ecr";
	else if (!(g->flags & SN_TH_SYN) && (g->opts & (SN_OPT_MSS | SN_OPT_WSCALE | SN_OPT_SACK_OK)))
		bad = "SYN's options"; /* RFC 9293 3.2, RFC 2018 2, RFC 7323 2.2 */
	if (bad) {
		fail(s, "%s differs (window %u):", bad, (uint32_t)g->wnd << scale);
		show(s, '>', v->at, g);
	}
	claim(s);
}

static uint32_t put_options(struct script *s, const struct want *w, uint8_t *o)
{
	bool syn = w->g.flags & SN_TH_SYN;
	uint32_t n = 0;

	if (syn) {
		if (!s->no_mss)
			n += sn_opt_emit_mss(o, w->mss ? w->g.mss : (uint16_t)s->mss);
		if (s->sack)
			n += sn_opt_emit_sack_ok(o + n);
		if (s->ws_on)
			n += sn_opt_emit_wscale(o + n, (uint8_t)s->ws);
	} else if (w->ws) {
		n += sn_opt_emit_wscale(o + n, w->g.wscale);
	}
	if (s->ts && !w->nots) {
		uint32_t val = w->ts ? w->g.ts_val : (uint32_t)((s->p->now - s->start) / SN_MSEC) + 100;
		uint32_t ecr = w->ecr ? w->g.ts_ecr + s->ts_base : s->ts_last;
		n += sn_opt_emit_ts(o + n, val, w->g.flags & SN_TH_ACK ? ecr : 0);
	}
	if (w->g.nsack)
		n += sn_opt_emit_sack(o + n, w->g.sack, w->g.nsack);
	if (w->prio)
		n += sn_mp_emit_prio(o + n, false);
	return n;
}

static void send_segment(struct script *s, const struct want *w)
{
	struct pair *p = s->p;
	struct sn_buf *b = big_alloc(&s->pool);
	uint8_t *ip = b->data + SN_ETH_HDR, *tcp = ip + SN_IPV4_HDR;
	struct sn_tcp_seg g = w->g;
	uint32_t opt = put_options(s, w, tcp + SN_TCP_HDR_MIN), at = rel(s, 1, g.seq);
	struct sn_ipv4 h = {.src = 0x0a000002, .dst = 0x0a000001, .ttl = 64, .proto = SN_IP_TCP};

	if (w->win)
		s->win = w->wnd;
	g.wnd = (uint16_t)SN_MIN(s->ws_on && !(g.flags & SN_TH_SYN) ? s->win >> s->ws : s->win, 65535u);
	g.sport = s->passive ? 40000 : 80;
	g.dport = s->passive ? 80 : 40000;
	h.total_len = (uint16_t)(SN_IPV4_HDR + SN_TCP_HDR_MIN + opt + g.len);
	sn_eth_emit(b->data, (uint8_t[]){2, 0, 0, 0, 0, 1}, (uint8_t[]){2, 0, 0, 0, 0, 2}, SN_ETH_IPV4);
	sn_ipv4_emit(ip, &h, true);
	if (w->ce) { /* the header sum moves by as much */
		ip[1] |= 3;
		sn_put16(ip + 10, (uint16_t)(sn_get16(ip + 10) - 3));
	}
	sn_tcp_emit(tcp, &g, opt);
	for (uint32_t i = 0; i < g.len; i++)
		tcp[SN_TCP_HDR_MIN + opt + i] = p->pattern[(at - 1 + i) % PERIOD];
	b->len = SN_ETH_HDR + h.total_len;
	b->flags |= SN_BUF_CSUM_GOOD;
	if (s->verbose)
		show(s, '<', p->now, &g);
	arrive(p, &p->side[0], b);
	settle(p);
}

#endif
