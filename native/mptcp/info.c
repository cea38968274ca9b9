/* SPDX-License-Identifier: Apache-2.0
 *
 * Views of connections and subflows for whoever shows them.
 */
#include "mptcp/conn.h"

static void conn_info(const struct sn_conn *c, struct sn_conn_info *o)
{
	memset(o, 0, sizeof *o);
	o->conn = c->id;
	o->channel = c->slot;
	o->token = c->mptcp ? c->token : 0;
	o->state = c->dead || c->finished ? SN_CONN_CLOSED : c->state;
	o->mptcp = c->mptcp;
	o->server = c->server;
	o->sched = c->sched->id;
	memcpy(o->laddr, c->flow.local.b, 16);
	memcpy(o->raddr, c->flow.remote.b, 16);
	o->lport = c->flow.lport;
	o->rport = c->flow.rport;
	o->subflows = c->nsf;
	o->bytes_acked = c->bytes_acked;
	o->bytes_sent = c->bytes_acked + (c->snd_nxt - c->snd_una);
	o->bytes_received = c->bytes_received;
	o->bytes_retrans = c->bytes_retrans;
	o->opened_ns = c->opened;
	o->send_queue = (uint32_t)SN_MIN(c->snd_end - c->snd_una, UINT32_MAX);
	o->recv_queue = c->rq_bytes + c->ooo_bytes;
	o->remote_token = c->remote_token;
	o->cc = c->cc;
	o->fell_back = !c->mptcp && c->fell_back;
	o->remote_key = c->keyed;
	o->csum = c->mptcp && c->csum;
	o->peer_no_join = c->peer_no_join;
	o->add_addr_signal = (uint8_t)__builtin_popcount(c->ann_done) + (c->ann_cur >= 0);
	for (uint32_t i = 0; i < SN_MAX_REMOTES; i++)
		o->add_addr_accepted += c->remote[i].used && c->remote[i].accepted;
	o->extra = (uint8_t)sn_pm_extra(c);
	o->retransmits = c->rtx_backoff;
	o->write_seq = c->snd_end;
	o->snd_nxt = c->snd_nxt;
	o->snd_una = c->snd_una;
	o->rcv_nxt = c->rcv_nxt;
	o->snd_wnd = sn_dsn_lt(c->snd_una, c->snd_edge) ? c->snd_edge - c->snd_una : 0;
	o->rcv_wnd = sn_dsn_lt(c->rcv_nxt, c->rcv_adv) ? c->rcv_adv - c->rcv_nxt : 0;
	for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++) {
		struct sn_tcp_details d;
		if (!c->sf[i] || !c->sf[i]->tcp)
			continue;
		c->ops->details(c->sf[i]->tcp, &d);
		o->last_sent_ns = SN_MAX(o->last_sent_ns, d.last_sent);
		o->last_recv_ns = SN_MAX(o->last_recv_ns, d.last_recv);
		o->last_acked_ns = SN_MAX(o->last_acked_ns, c->sf[i]->heard);
	}
}

uint32_t sn_mptcp_conn_info(const struct sn_engine *e, uint32_t *cursor, struct sn_conn_info *out, uint32_t n)
{
	uint32_t done = 0;
	for (; *cursor < e->mptcp.conns.count && done < n; ++*cursor) {
		const struct sn_conn *c = sn_slab_at(&e->mptcp.conns, *cursor);
		if (c)
			conn_info(c, &out[done++]);
	}
	if (*cursor >= e->mptcp.conns.count)
		*cursor = UINT32_MAX;
	return done;
}

static void subflow_info(const struct sn_subflow *sf, struct sn_subflow_info *o)
{
	struct sn_tcp_estimate est = {0};
	struct sn_tcp_details d = {0};
	memset(o, 0, sizeof *o);
	if (sf->tcp) {
		sf->conn->ops->estimate(sf->tcp, &est);
		sf->conn->ops->details(sf->tcp, &d);
	}
	o->id = sf->slot;
	o->state = est.state;
	o->join = sf->kind == SN_SF_JOIN;
	o->backup = sf->backup;
	o->port = sf->port;
	o->lport = sf->flow.lport;
	o->rport = sf->flow.rport;
	memcpy(o->laddr, sf->flow.local.b, 16);
	memcpy(o->raddr, sf->flow.remote.b, 16);
	o->laddr_id = sf->local_id;
	o->raddr_id = sf->remote_id;
	o->established = sf->state == SN_SF_UP;
	o->stale = sf->stale;
	o->cwnd = est.cwnd;
	o->ssthresh = est.ssthresh;
	o->in_flight = est.in_flight;
	o->mss = est.mss;
	o->pmtu = est.pmtu;
	o->srtt_ns = est.srtt;
	o->rttvar_ns = est.rttvar;
	o->min_rtt_ns = est.min_rtt;
	o->rto_ns = est.rto;
	o->bytes_sent = est.bytes_sent;
	o->bytes_acked = est.bytes_acked;
	o->bytes_received = est.bytes_received;
	o->bytes_retrans = est.bytes_retrans;
	o->segs_sent = est.segs_sent;
	o->segs_received = est.segs_received;
	o->retrans = est.retrans;
	o->rtos = est.rtos;
	for (uint32_t i = 0; d.cc && d.cc[i] && i < sizeof o->cc - 1; i++)
		o->cc[i] = d.cc[i];
	o->delivery_rate = est.delivery_rate;
	o->pacing_rate = d.pacing_rate;
	o->delivered = d.delivered;
	o->snd_wnd = d.snd_wnd;
	o->rcv_wnd = d.rcv_wnd;
	o->unacked = d.unacked;
	o->lost = d.lost;
	o->sacked = d.sacked;
	o->rcv_ooo = d.rcv_ooo;
	o->ca = d.ca;
	o->backoff = d.backoff;
	o->snd_wscale = d.snd_wscale;
	o->rcv_wscale = d.rcv_wscale;
	o->options = d.options;
	o->reordering = d.reordering;
	o->active = sf->active;
	o->silent = sf->silent;
	o->our_backup = sf->our_backup;
	o->peer_backup = sf->peer_backup;
	o->last_sent_ns = d.last_sent;
	o->last_recv_ns = d.last_recv;
	o->last_acked_ns = sf->heard;
}

uint32_t sn_mptcp_subflow_info(const struct sn_engine *e, uint32_t conn, struct sn_subflow_info *out, uint32_t n)
{
	const struct sn_conn *c = sn_slab_at(&e->mptcp.conns, conn & ((1u << SN_CONN_INDEX_BITS) - 1));
	uint32_t done = 0;
	if (!c || c->id != conn)
		return 0;
	for (uint32_t i = 0; i < SN_MAX_SUBFLOWS && done < n; i++)
		if (c->sf[i])
			subflow_info(c->sf[i], &out[done++]);
	return done;
}
