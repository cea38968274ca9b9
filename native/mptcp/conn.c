/* SPDX-License-Identifier: Apache-2.0
 *
 * Records: connections, subflows, the lists they wait on, the layer's tables.
 */
#include "mptcp/conn.h"

_Static_assert((int)SN_MPTCP_CHANNELS >= (int)SN_MAX_CHANNELS, "one pair of lists per channel");

static void retry_fire(struct sn_timer *t, sn_time now)
{
	(void)t; /* being awake is enough: sn_mptcp_run looks at the blocked lists */
	(void)now;
}

bool sn_mptcp_init(struct sn_engine *e)
{
	struct sn_mptcp *m = &e->mptcp;
	const struct sn_engine_cfg *cfg = &e->cfg;
	struct sn_region *r = &e->region;

	if (cfg->max_conns > 1u << SN_CONN_INDEX_BITS)
		return false;
	uint32_t buckets = 1;
	while (buckets < cfg->max_conns)
		buckets <<= 1;
	bool ok = sn_slab_init(&m->conns, r, cfg->max_conns, sizeof(struct sn_conn));
	ok &= sn_slab_init(&m->subflows, r, cfg->max_subflows, sizeof(struct sn_subflow));
	ok &= sn_slab_init(&m->chunks, r, cfg->max_chunks, sizeof(struct sn_chunk));
	ok &= sn_slab_init(&m->sents, r, cfg->max_segs / 2 + 1, sizeof(struct sn_sent));
	ok &= sn_slab_init(&m->listeners, r, cfg->max_listeners, sizeof(struct sn_listener));
	m->generation = sn_region_take(r, cfg->max_conns * sizeof *m->generation);
	m->bucket = sn_region_take(r, buckets * sizeof *m->bucket);
	m->bucket_mask = buckets - 1;
	m->retry.fire = retry_fire;
	m->event = sn_region_take(r, SN_PM_EVENTS * sizeof *m->event);
	return ok && m->generation && m->bucket && m->event;
}

/* --- lists --- */

void sn_conn_unlist(struct sn_conn *c)
{
	struct sn_conn_list *l = c->link.in;
	if (!l)
		return;
	*(c->link.prev ? &c->link.prev->link.next : &l->head) = c->link.next;
	*(c->link.next ? &c->link.next->link.prev : &l->tail) = c->link.prev;
	l->n--;
	c->link.next = c->link.prev = NULL;
	c->link.in = NULL;
}

static void enlist(struct sn_conn *c, struct sn_conn_list *l)
{
	if (c->link.in == l)
		return;
	sn_conn_unlist(c);
	c->link.in = l;
	c->link.prev = l->tail;
	*(l->tail ? &l->tail->link.next : &l->head) = c;
	l->tail = c;
	l->n++;
}

void sn_conn_wake(struct sn_conn *c) { enlist(c, &c->e->mptcp.run); }

void sn_conn_block(struct sn_conn *c, enum sn_block why)
{
	if (c->link.in != &c->e->mptcp.run) /* woken meanwhile: it runs again anyway */
		enlist(c, &c->e->mptcp.blocked[c->slot][why]);
}

/* --- connections --- */

void sn_conn_set_state(struct sn_conn *c, enum sn_conn_state state)
{
	if (c->state == state)
		return;
	if (state != SN_CONN_CONNECTING)
		sn_half_leave(c);
	if (state == SN_CONN_ESTABLISHED)
		c->e->counters.conn_opened++;
	else if (state == SN_CONN_CLOSED && c->state >= SN_CONN_ESTABLISHED)
		c->e->counters.conn_closed++;
	c->state = (uint8_t)state;
}

struct sn_conn *sn_conn_new(struct sn_engine *e, uint32_t slot, sn_time now)
{
	struct sn_conn *c = sn_slab_take(&e->mptcp.conns);
	if (!c)
		return NULL;
	uint32_t index = sn_slab_index(&e->mptcp.conns, c);
	c->e = e;
	c->ops = e->tcp_ops;
	c->slot = slot;
	c->id = index | (e->mptcp.generation[index] + 1u) << SN_CONN_INDEX_BITS;
	c->opened = now;
	c->sched = sn_sched_by_id(e->cfg.sched);
	c->rcv_size = SN_MIN(e->cfg.rcvbuf, SN_RCV_START);
	c->rcv_edge = c->rcv_adv = c->rcv_size;
	c->snd_edge = UINT32_MAX;
	c->ann_cur = -1;
	c->t_rtx.fire = sn_retrans_fire;
	c->t_mend.fire = sn_mend_fire;
	c->t_fin.fire = sn_close_fin_fire;
	c->t_close.fire = sn_close_fire;
	c->t_pm.fire = sn_pm_fire;
	c->t_user.fire = sn_user_fire;
	c->linger_ms = UINT32_MAX;
	c->tune = (struct sn_tcp_tune){.keep_interval = 75 * SN_SEC, .keep_count = 9}; /* when it is switched on */
	return c;
}

void sn_conn_free(struct sn_conn *c)
{
	struct sn_engine *e = c->e;
	SN_ASSERT(c->nsf == 0);
	sn_pm_tell(c, SN_PM_CLOSED);
	sn_wheel_cancel(&e->wheel, &c->t_rtx);
	sn_wheel_cancel(&e->wheel, &c->t_mend);
	sn_wheel_cancel(&e->wheel, &c->t_fin);
	sn_wheel_cancel(&e->wheel, &c->t_close);
	sn_wheel_cancel(&e->wheel, &c->t_pm);
	sn_wheel_cancel(&e->wheel, &c->t_user);
	sn_token_remove(c);
	sn_half_leave(c);
	sn_listener_left(c);
	sn_send_purge(c);
	sn_recv_purge(c);
	sn_conn_unlist(c);
	sn_conn_set_state(c, SN_CONN_CLOSED);
	uint32_t index = sn_slab_index(&e->mptcp.conns, c);
	/* 12 bits of an id are the generation, 1 to 4095, so that no id is 0. */
	e->mptcp.generation[index] = (uint16_t)((e->mptcp.generation[index] + 1u) % 4095);
	sn_slab_put(&e->mptcp.conns, c);
}

struct sn_subflow *sn_conn_any_up(const struct sn_conn *c)
{
	if (c->last_rx && sn_sf_usable(c->last_rx))
		return c->last_rx;
	for (uint32_t i = 0; i < SN_MAX_SUBFLOWS; i++)
		if (sn_sf_usable(c->sf[i]))
			return c->sf[i];
	return NULL;
}

/* --- subflows --- */

struct sn_subflow *sn_sf_new(struct sn_conn *c, enum sn_sf_kind kind, const struct sn_flow *flow, uint16_t port)
{
	uint32_t slot = 0;
	while (slot < SN_MAX_SUBFLOWS && c->sf[slot])
		slot++;
	struct sn_subflow *sf = slot < SN_MAX_SUBFLOWS ? sn_slab_take(&c->e->mptcp.subflows) : NULL;
	if (!sf) {
		c->e->counters.tcp_mem_limit++;
		return NULL;
	}
	sf->conn = c;
	sf->slot = (uint8_t)slot;
	sf->kind = (uint8_t)kind;
	sf->state = SN_SF_OPENING;
	sf->flow = *flow;
	sf->port = port;
	sf->rcv_ssn = 1;
	sf->why = SN_WHY_PEER;
	sf->rst_reason = SN_RST_NONE;
	sf->peer_reason = SN_RST_NONE;
	if (kind == SN_SF_JOIN)
		sf->t_join.fire = sn_join_ack_fire;
	else
		sf->t_path.fire = sn_path_fire;
	c->sf[slot] = sf;
	c->nsf++;
	return sf;
}

void sn_sf_free(struct sn_subflow *sf)
{
	struct sn_conn *c = sf->conn;
	sn_wheel_cancel(&c->e->wheel, &sf->t_path); /* t_join as well */
	sn_dss_drop_held(sf);
	if (c->last_rx == sf)
		c->last_rx = NULL;
	c->sf[sf->slot] = NULL;
	c->nsf--;
	sn_slab_put(&c->e->mptcp.subflows, sf);
}

static const char *cc_name(const struct sn_conn *c)
{
	static const char *const name[] = {
		[SN_CC_CUBIC] = "cubic", [SN_CC_NEWRENO] = "newreno", [SN_CC_BBR] = "bbr", [SN_CC_DCTCP] = "dctcp"};

	return c->cc ? name[c->cc] : c->e->cfg.cc;
}

static struct sn_tcp_open open_args(struct sn_subflow *sf, sn_time now)
{
	struct sn_engine *e = sf->conn->e;
	return (struct sn_tcp_open){
		.flow = sf->flow,
		.port = sf->port,
		.owner = sf,
		.up = &sn_mptcp_up,
		.cc = cc_name(sf->conn),
		.isn = sn_engine_isn(e, &sf->flow, now),
		.rcv_space = e->cfg.rcvbuf,
	};
}

bool sn_sf_open(struct sn_subflow *sf, sn_time now)
{
	struct sn_conn *c = sf->conn;
	struct sn_tcp_open o = open_args(sf, now);
	sf->active = true;
	if (sf->kind != SN_SF_JOIN && c->fastopen) {
		o.fastopen = true;
		o.early = c->chunks;
	}
	if (sf->kind == SN_SF_CAPABLE)
		c->e->counters.MPCapableSYNTX++;
	else if (sf->kind == SN_SF_JOIN)
		c->e->counters.MPJoinSynTx++;
	struct sn_tcp *tcp = c->ops->open(c->e, &o, now);
	if (!tcp) {
		sn_sf_free(sf);
		return false;
	}
	sf->tcp = tcp;
	return true;
}

static bool accept_as(struct sn_subflow *sf, const struct sn_tcp_open *o, const struct sn_tcp_seg *syn, sn_time now)
{
	struct sn_conn *c = sf->conn;
	sf->peer_wscale = syn->opts & SN_OPT_WSCALE ? SN_MIN(syn->wscale, 14) : 0;
	struct sn_tcp *tcp = c->ops->accept(c->e, o, syn, now);
	if (!tcp) {
		sn_sf_free(sf);
		return false;
	}
	sf->tcp = tcp;
	return true;
}

bool sn_sf_accept(struct sn_subflow *sf, const struct sn_tcp_seg *syn, sn_time now)
{
	struct sn_conn *c = sf->conn;
	struct sn_tcp_open o = open_args(sf, now);

	/* A crowd of handshakes is no time to take data on trust. */
	o.fastopen = sf->kind != SN_SF_JOIN && (c->listener->flags & SN_OPF_FASTOPEN) &&
		     c->e->mptcp.half < c->e->mptcp.conns.count / 16;
	return accept_as(sf, &o, syn, now);
}

bool sn_sf_accept_cookie(struct sn_subflow *sf, uint32_t cookie, const struct sn_tcp_seg *syn, sn_time now)
{
	struct sn_tcp_open o = open_args(sf, now);

	o.isn = cookie;
	o.answered = true;
	return accept_as(sf, &o, syn, now);
}

void sn_sf_reset(struct sn_subflow *sf, enum sn_rst_reason why, sn_time now)
{
	if (!sf->tcp)
		return;
	sf->rst_reason = (uint8_t)why;
	sf->conn->e->counters.MPRstTx += why != SN_RST_NONE && sf->kind != SN_SF_PLAIN;
	sf->conn->ops->reset(sf->tcp, now);
}

void sn_sf_leave(struct sn_subflow *sf, sn_time now)
{
	if (sf->state == SN_SF_LEAVING)
		return;
	if (sf->state != SN_SF_UP) {
		sn_sf_reset(sf, SN_RST_NONE, now);
		return;
	}
	sf->state = SN_SF_LEAVING;
	sn_sent_lost(sf->conn, sf->slot);
	sf->conn->ops->fin(sf->tcp, now);
	sn_conn_wake(sf->conn);
}
