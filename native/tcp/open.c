/* SPDX-License-Identifier: Apache-2.0
 *
 * Configuration, tables, and the beginning of a flow: active and passive open, what SYN and SYN/ACK agree on.
 */
#include "tcp/tcp.h"

enum {
	DEFAULT_MSS = 536, /* RFC 9293 3.7.1: a SYN without the option */
	DEFAULT_MSS_V6 = 1220,
	MIN_MSS = 88 /* below it a peer only makes us work: 48 bytes of payload and all options */
};

void sn_tcp_cfg_default(struct sn_tcp_cfg *cfg)
{
	*cfg = (struct sn_tcp_cfg){
		.rto_initial = SN_SEC,
		.rto_max = 60 * SN_SEC,
		.time_wait = 10 * SN_SEC,
		.fin_wait = 10 * SN_SEC,
		.orphan_retries = 8,
		.orphan_patience = 20 * SN_SEC,
		.max_orphans = 4096,
		.syn_retries = 7, /* 183 s: RFC 9293 3.8.3 wants three minutes */
		.retries = 12,
		.patience = 100 * SN_SEC,
		.initial_window = 10,
		.max_ooo = 4096,
		.ecn = SN_ECN_ACCEPT,
		.cookies = SN_COOKIES_PRESSED,
		.rcv_initial = 256 * 1024,
	};
	sn_tcp_cfg_profile(cfg, "datacenter");
}

bool sn_tcp_cfg_profile(struct sn_tcp_cfg *cfg, const char *name)
{
	static const struct profile {
		const char *name;
		sn_time rto_min, delack, ack_delay_max, tlp_min;
		uint32_t tlp_srtt8;
	} all[] = {
		{"datacenter", 5 * SN_MSEC, SN_MSEC, SN_MSEC, SN_MSEC, 12},
		{"linux", 200 * SN_MSEC, 40 * SN_MSEC, 200 * SN_MSEC, 2 * SN_MSEC, 16},
	};

	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
		const struct profile *p = &all[i];
		if (strcmp(p->name, name) != 0)
			continue;
		cfg->rto_min = p->rto_min;
		cfg->delack = p->delack;
		cfg->ack_delay_max = p->ack_delay_max;
		cfg->tlp_min = p->tlp_min;
		cfg->tlp_srtt8 = p->tlp_srtt8;
		return true;
	}
	return false;
}

bool sn_tcp_init(struct sn_engine *e)
{
	bool conns = sn_slab_init(&e->tcp.conns, &e->region, 2 * e->cfg.max_subflows, sizeof(struct sn_tcp));
	bool segs = sn_slab_init(&e->tcp.segs, &e->region, e->cfg.max_segs, sizeof(struct sn_tcp_txseg));

	/* Where BBR is not the rule, it is for few. */
	uint32_t own = sn_cc_find(e->cfg.cc) == &sn_cc_bbr ? 2 * e->cfg.max_subflows : e->cfg.max_subflows / 8 + 1;
	bool bbr = sn_slab_init(&e->tcp.bbr, &e->region, own, sizeof(struct sn_bbr));

	return conns && segs && bbr;
}

static struct sn_tcp *take(struct sn_engine *e, const struct sn_tcp_open *o)
{
	struct sn_tcp *t = sn_slab_take(&e->tcp.conns);

	if (!t && sn_tcp_time_wait_evict(e))
		t = sn_slab_take(&e->tcp.conns);
	if (!t) {
		e->counters.tcp_mem_limit++;
		return NULL;
	}
	t->e = e;
	t->flow = o->flow;
	t->port = o->port;
	if (sn_net_flow_insert(e, &t->flow, t) != SN_OK) {
		e->counters.tcp_mem_limit++;
		sn_slab_put(&e->tcp.conns, t);
		return NULL;
	}
	t->owner = o->owner;
	t->up = o->up;
	sn_cc_choose(t, o->cc ? o->cc : e->cfg.cc);
	t->iss = t->snd_una = o->isn;
	t->snd_nxt = t->iss + 1;
	t->rcv_space = o->rcv_space;
	t->rcv_tuned = SN_MIN(o->rcv_space, e->cfg.tcp.rcv_initial);
	t->rcv_ws = sn_tcp_wscale(o->rcv_space);
	t->rto = e->cfg.tcp.rto_initial;
	t->ssthresh = INT32_MAX;
	t->quick = SN_TCP_QUICK_ACKS;
	t->peer_mss = DEFAULT_MSS;
	sn_tcp_set_mss(t);
	/* A timestamp clock of this flow's own (RFC 7323 5.4) that goes on over its incarnations (RFC 6191). */
	t->ts_off = sn_net_flow_tag(e, &o->flow);
	t->opt_sum = e->cfg.csum;
	t->want_sum = !e->net.port[o->port].tx_csum || t->opt_sum;
	sn_tcp_timers_init(t);
	return t;
}

void sn_tcp_set_mss(struct sn_tcp *t)
{
	uint32_t options = (t->ts_on ? 12 : 0) + t->opt_reserve;

	t->mss = t->peer_mss - options;
}

uint32_t sn_tcp_own_mss(const struct sn_engine *e, uint16_t port, const struct sn_addr *remote)
{
	return sn_net_port_mtu(e, port) - (sn_addr_is_v4(remote) ? 20 : 40) - SN_TCP_HDR_MIN;
}

uint32_t sn_tcp_peer_mss(const struct sn_tcp_seg *syn, const struct sn_addr *remote)
{
	uint32_t mss = sn_addr_is_v4(remote) ? DEFAULT_MSS : DEFAULT_MSS_V6;

	if ((syn->opts & SN_OPT_MSS) && syn->mss)
		mss = syn->mss;
	return SN_MAX(mss, (uint32_t)MIN_MSS);
}

void sn_tcp_negotiate(struct sn_tcp *t, const struct sn_tcp_seg *syn, sn_time now)
{
	uint32_t own = sn_tcp_own_mss(t->e, t->port, &t->flow.remote);

	sn_pmtu_begin(t, SN_MIN(sn_tcp_peer_mss(syn, &t->flow.remote), own), now);
	t->irs = syn->seq;
	t->rcv_nxt = t->rcv_acked = syn->seq + 1;
	t->rcv_adv = t->rcv_nxt + t->adv_wnd;
	t->sack_on = syn->opts & SN_OPT_SACK_OK;
	t->ts_on = syn->opts & SN_OPT_TS;
	t->ws_on = syn->opts & SN_OPT_WSCALE;
	if (t->ws_on)
		t->snd_ws = syn->wscale;
	else
		t->snd_ws = t->rcv_ws = 0;
	if (t->ts_on) {
		t->ts_recent = syn->ts_val;
		t->ts_recent_at = now;
	}
	t->rcv_mss = DEFAULT_MSS;
	sn_ecn_negotiate(t, syn);
	sn_tcp_set_mss(t);
}

struct sn_tcp *sn_tcp_open_active(struct sn_engine *e, const struct sn_tcp_open *o, sn_time now)
{
	struct sn_tcp *t = take(e, o);

	if (!t)
		return NULL;
	e->counters.tcp_active_opens++;
	t->sack_on = t->ts_on = t->ws_on = true;
	t->syn_sent = now;
	sn_tcp_set_state(t, SN_TCP_SYN_SENT);
	t->early = o->fastopen ? (uint16_t)sn_tfo_begin(t, o, now) : 0;
	sn_tcp_emit_first_syn(t, o->early, now); /* without a buffer the timer sends it */
	sn_tcp_rtx_restart(t, now);
	return t;
}

struct sn_tcp *sn_tcp_open_passive(struct sn_engine *e, const struct sn_tcp_open *o, const struct sn_tcp_seg *syn,
				   sn_time now)
{
	struct sn_tcp *t = take(e, o);

	if (!t)
		return NULL;
	e->counters.tcp_passive_opens++;
	t->passive = true;
	t->syn_sent = now;
	sn_tcp_negotiate(t, syn, now);
	t->snd_wnd = t->peer_wnd = t->max_wnd = syn->wnd;
	sn_tcp_set_state(t, SN_TCP_SYN_RCVD);
	t->by_cookie = o->answered;
	if (o->fastopen && (syn->opts & SN_OPT_FASTOPEN))
		sn_tfo_accept(t, o, syn, now);
	if (o->answered)
		sn_tcp_promise(t);
	else
		sn_tcp_emit_first_syn(t, NULL, now);
	sn_tcp_rtx_restart(t, now);
	return t;
}

void sn_tcp_established(struct sn_tcp *t, sn_time now)
{
	sn_tcp_set_state(t, SN_TCP_ESTABLISHED);
	sn_tcp_clock_stop(t);
	t->backoff = 0;
	/* A SYN was lost: three seconds until a sample tells more (RFC 6298 5.7). Of a cookie nobody knows when it left. */
	if (!t->syn_resent && !t->by_cookie)
		sn_tcp_rtt_sample(t, now - t->syn_sent);
	else if (t->syn_resent)
		t->rto = SN_MAX(t->rto, 3 * SN_SEC);
	t->rack_fack = t->reo_round = t->snd_una;
	t->reo_mult = 1;
	sn_cc_init(t, now);
	t->up->established(t->owner, now);
}
