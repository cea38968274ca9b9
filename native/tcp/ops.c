/* SPDX-License-Identifier: Apache-2.0
 *
 * The door: struct sn_tcp_ops of the native engine, and the registry of engines.
 */
#include "tcp/tcp.h"

static void op_credit(struct sn_tcp *t, sn_time now)
{
	if (t->dead || !t->owner || t->state < SN_TCP_ESTABLISHED || t->fin_done)
		return;
	int32_t left = t->shared ? (int32_t)t->adv_wnd : (int32_t)(t->rcv_adv - t->rcv_nxt);
	int32_t worth = (int32_t)SN_MIN(t->rcv_tuned / 2, 2 * t->peer_mss);
	/* What is left of the window is nearly all that it may be: no need to ask for more. */
	if (!t->shared && (int32_t)t->rcv_tuned - left < worth)
		return;
	int32_t grown = (int32_t)sn_tcp_window(t) - SN_MAX(left, 0);
	if (grown >= worth)
		sn_tcp_emit_ack(t, t->snd_nxt, now);
}

static void op_ack_now(struct sn_tcp *t, sn_time now)
{
	if (t->dead || t->state < SN_TCP_ESTABLISHED)
		return;
	if (!sn_tcp_emit_ack(t, t->snd_nxt, now)) {
		t->ack_later = true;
		sn_tcp_delack_arm(t, now);
	}
}

static void op_probe(struct sn_tcp *t, sn_time now)
{
	if (t->dead || t->state < SN_TCP_ESTABLISHED)
		return;
	t->e->counters.tcp_probes++;
	sn_tcp_emit_ack(t, t->snd_una - 1, now);
}

static void op_kick(struct sn_tcp *t, sn_time now)
{
	if (t->dead || !t->txq || t->state < SN_TCP_ESTABLISHED)
		return;
	t->backoff = 0;
	sn_tcp_enter_loss(t, now);
	t->force_rtx = true;
	sn_tcp_send_lost(t, now);
	sn_tcp_rtx_restart(t, now);
}

static void op_fin(struct sn_tcp *t, sn_time now)
{
	if (t->dead || t->fin_sent)
		return;
	t->fin_wanted = true; /* in the handshake it waits for its end */
	sn_tcp_emit_fin(t, now);
}

static void op_reset(struct sn_tcp *t, sn_time now) { sn_tcp_abort(t, SN_E_ABORTED, now); }

static void op_set_shared_window(struct sn_tcp *t, bool on, uint32_t opt_reserve)
{
	t->shared = on;
	t->opt_reserve = SN_MIN((opt_reserve & ~SN_TCP_RESERVE_SUM) + 3, SN_TCP_OPT_MAX - 12) & ~3u;
	if (opt_reserve & SN_TCP_RESERVE_SUM)
		t->want_sum = t->opt_sum = true;
	if (on && t->clock == SN_CLOCK_PERSIST)
		sn_tcp_clock_stop(t);
	sn_tcp_set_mss(t);
}

static void op_estimate(const struct sn_tcp *t, struct sn_tcp_estimate *out)
{
	*out = (struct sn_tcp_estimate){
		.srtt = t->srtt,
		.rttvar = t->rttvar,
		.rto = sn_tcp_rto(t),
		.min_rtt = t->min_rtt,
		.cwnd = t->cwnd,
		.in_flight = sn_tcp_in_flight(t),
		.ssthresh = t->ssthresh,
		.mss = sn_tcp_probe_len(t),
		.pmtu = sn_pmtu_known(t),
		.delivery_rate = t->rate,
		.bytes_sent = t->bytes_sent,
		.bytes_acked = t->bytes_acked,
		.bytes_received = t->bytes_received,
		.bytes_retrans = t->bytes_retrans,
		.segs_sent = t->segs_sent,
		.segs_received = t->segs_received,
		.retrans = t->retrans,
		.rtos = t->rtos,
		.state = t->state,
	};
}

static void op_details(const struct sn_tcp *t, struct sn_tcp_details *out)
{
	*out = (struct sn_tcp_details){
		.cc = t->cc->name,
		.pacing_rate = t->ccx.rate,
		.delivered = t->delivered,
		.snd_wnd = t->shared ? t->peer_wnd : t->snd_wnd,
		.rcv_wnd = t->adv_wnd,
		.unacked = t->snd_nxt - t->snd_una,
		.lost = t->lost_out,
		.sacked = t->sacked_out,
		.rcv_ooo = t->ooo_count,
		.ca = t->ca,
		.backoff = t->backoff,
		.snd_wscale = t->snd_ws,
		.rcv_wscale = t->rcv_ws,
		.options = (uint8_t)((t->ts_on ? SN_TCPI_TS : 0) | (t->sack_on ? SN_TCPI_SACK : 0) |
				     (t->ws_on ? SN_TCPI_WSCALE : 0) | (t->ccx.ecn ? SN_TCPI_ECN : 0)),
		.reordering = t->reordered,
		.last_sent = t->last_send,
		.last_recv = t->last_recv,
	};
}

static void op_prune(struct sn_engine *e, uint32_t most, uint32_t hog)
{
	for (uint32_t i = 0; i < e->tcp.conns.count; i++) {
		struct sn_tcp *t = sn_slab_at(&e->tcp.conns, i);
		if (!t || t->ooo_count <= most)
			continue;
		bool waits = t->prune_mark == t->rcv_nxt;
		t->prune_mark = t->rcv_nxt;
		if (!waits && t->ooo_count <= hog)
			continue;
		e->counters.tcp_ooo_drop += t->ooo_count;
		sn_tcp_rcvq_free(t);
	}
}

static void op_unreachable(struct sn_engine *e, uint16_t port, const struct sn_addr *hop, sn_time now)
{
	struct sn_addr via;

	for (uint32_t i = 0; i < e->tcp.conns.count; i++) {
		struct sn_tcp *t = sn_slab_at(&e->tcp.conns, i);
		if (t && !t->dead && t->state == SN_TCP_SYN_SENT && t->port == port &&
		    sn_net_next_hop(e, port, &t->flow.remote, &via) && sn_addr_eq(&via, hop))
			sn_tcp_abort(t, SN_E_HOSTUNREACH, now);
	}
}

static bool op_sent_at(const struct sn_tcp *t, uint64_t dsn, struct sn_tcp_sent *out)
{
	enum { LOOK_AT = 256 };
	uint32_t n = 0;

	for (const struct sn_tcp_txseg *s = t->txq; s && n < LOOK_AT; s = s->next, n++) {
		if (dsn - s->dsn >= s->len || (s->flags & SN_TXS_FIN))
			continue;
		*out = (struct sn_tcp_sent){s->sent, s->sends, s->len - (uint32_t)(dsn - s->dsn)};
		return true;
	}
	return false;
}

static const struct sn_flow *op_flow(const struct sn_tcp *t) { return &t->flow; }
static uint32_t op_peer_window(const struct sn_tcp *t) { return t->peer_wnd; }
static bool op_idle(const struct sn_tcp *t) { return t->txq == NULL; }

const struct sn_tcp_ops sn_tcp_native_ops = {
	.name = "native",
	.open = sn_tcp_open_active,
	.accept = sn_tcp_open_passive,
	.input = sn_tcp_input,
	.input_run = sn_tcp_input_run,
	.room = sn_tcp_room,
	.send = sn_tcp_send,
	.credit = op_credit,
	.ack_now = op_ack_now,
	.probe = op_probe,
	.tune = sn_tcp_tune,
	.kick = op_kick,
	.fin = op_fin,
	.reset = op_reset,
	.detach = sn_tcp_detach,
	.own = sn_tcp_txq_own,
	.set_shared_window = op_set_shared_window,
	.estimate = op_estimate,
	.details = op_details,
	.flow = op_flow,
	.peer_window = op_peer_window,
	.idle = op_idle,
	.sent_at = op_sent_at,
	.prune = op_prune,
	.unreachable = op_unreachable,
	.cookie = &sn_tcp_cookies,
	.error = sn_tcp_icmp_error,
};

const struct sn_tcp_ops *sn_tcp_ops_find(const char *name)
{
	static const struct sn_tcp_ops *const all[] = {&sn_tcp_native_ops};

	for (size_t i = 0; name && i < sizeof all / sizeof all[0]; i++)
		if (strcmp(all[i]->name, name) == 0)
			return all[i];
	return NULL;
}

void sn_tcp_reset_left_over(struct sn_engine *e, const struct sn_tcp_stack *from, sn_time now)
{
	for (uint32_t i = 0; i < from->conns.count; i++) {
		const struct sn_tcp *t = sn_slab_at(&from->conns, i);
		if (!t || t->state < SN_TCP_SYN_RCVD || t->state == SN_TCP_TIME_WAIT || t->port >= sn_net_port_count(e))
			continue;
		/* Not through the record: its pointers are a dead process's word. */
		struct sn_tx tx = {.port = t->port, .hdr = sn_buf_alloc(e->cfg.pool)};
		if (!tx.hdr)
			return;
		struct sn_tcp_seg h;
		h.sport = t->flow.lport;
		h.dport = t->flow.rport;
		h.seq = t->snd_nxt;
		h.ack = t->rcv_nxt;
		h.flags = SN_TH_RST | SN_TH_ACK;
		h.wnd = h.urg = 0;
		tx.hdr->data = tx.hdr->base + SN_HEADROOM;
		uint32_t opts = sn_mptcp_last_words(e, t->owner, tx.hdr->data + SN_TCP_HDR_MIN);
		tx.hdr->len = SN_TCP_HDR_MIN + opts;
		sn_tcp_emit(tx.hdr->data, &h, opts);
		e->counters.tcp_rst_tx++;
		sn_net_send_tcp(e, t->port, &t->flow.local, &t->flow.remote, &tx, -1, now);
	}
}
