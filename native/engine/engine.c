/* SPDX-License-Identifier: Apache-2.0
 *
 * One worker's engine: lays out its parts, feeds frames and submissions to them, runs what is due, hands frames out.
 */
#include "engine/engine.h"

#include <stdlib.h>

enum {
	SUBMIT_BUDGET = 64 /* submissions taken from one channel per poll, so that no session starves the others */
};

void sn_engine_cfg_default(struct sn_engine_cfg *cfg)
{
	memset(cfg, 0, sizeof *cfg);
	cfg->workers = 1;
	cfg->port_base = cfg->block_base = 32768;
	cfg->port_count = 32768;
	cfg->max_conns = 4096;
	cfg->max_subflows = 8192;
	cfg->max_segs = 65536;
	cfg->max_chunks = 32768;
	cfg->max_listeners = 256;
	cfg->rcvbuf = 4u << 20;
	cfg->tcp_engine = "native";
	cfg->cc = "cubic";
	cfg->sched = SN_SCHED_MINRTT;
	cfg->limits.subflows = 8;
	cfg->limits.add_addr_accepted = 8;
	sn_tcp_cfg_default(&cfg->tcp);
}

static bool cfg_valid(const struct sn_engine_cfg *cfg)
{
	return cfg->workers >= 1 && cfg->workers <= SN_MAX_WORKERS && cfg->worker < cfg->workers && cfg->port_count &&
	       (cfg->port_count & (cfg->port_count - 1)) == 0 && (uint32_t)cfg->port_base + cfg->port_count <= 65536 &&
	       cfg->port_base == cfg->block_base + cfg->worker * cfg->port_count && cfg->max_conns &&
	       cfg->max_subflows && cfg->max_segs && cfg->max_chunks && cfg->rcvbuf >= 65536;
}

/* Everything that takes memory, in one order, so that footprint() and init() cannot disagree. */
static bool lay_out(struct sn_engine *e)
{
	bool net = sn_net_init(e);
	bool tcp = sn_tcp_init(e);
	bool mptcp = sn_mptcp_init(e);
	return net && tcp && mptcp;
}

size_t sn_engine_footprint(const struct sn_engine_cfg *cfg)
{
	/* A dry run: a region without a base only adds up what is asked of it. */
	struct sn_engine *e = calloc(1, sizeof *e);
	if (!e)
		return 0;
	e->cfg = *cfg;
	sn_region_take(&e->region, sizeof *e);
	(void)lay_out(e);
	size_t size = e->region.used + SN_CACHE_LINE;
	free(e);
	return size;
}

struct sn_engine *sn_engine_init(void *mem, size_t size, const struct sn_engine_cfg *cfg, sn_time now)
{
	if (!cfg_valid(cfg) || ((uintptr_t)mem & (SN_CACHE_LINE - 1)))
		return NULL;
	struct sn_region region = {.base = mem, .size = size};
	struct sn_engine *e = sn_region_take(&region, sizeof *e);
	if (!e)
		return NULL;
	e->cfg = *cfg;
	e->now = now;
	e->ooo_max = UINT32_MAX;
	e->rcv_most = cfg->rcvbuf;
	e->region = region;
	e->tcp_ops = sn_tcp_ops_find(cfg->tcp_engine);
	sn_wheel_init(&e->wheel, now);
	return e->tcp_ops && lay_out(e) ? e : NULL;
}

struct sn_engine *sn_engine_recover(void *mem, size_t size, const struct sn_engine_cfg *cfg, sn_time now)
{
	/* The dead worker's records are read in place; the new engine is laid out over them afterwards. Only what a RST
	 * needs is read: ports, resolved neighbours and the tables of flows and keys, whose geometry equals ours by
	 * construction. Its timer wheel and queues may be half written. */
	struct sn_engine *old = mem;
	struct sn_net_port_cfg ports[SN_MAX_PORTS];
	uint32_t n = sn_net_port_count(old);
	if (n > SN_MAX_PORTS)
		return NULL;
	for (uint32_t i = 0; i < n; i++)
		sn_net_port_cfg_get(old, (uint16_t)i, &ports[i]);
	old->cfg.pool = cfg->pool;
	old->cfg.hooks = cfg->hooks;
	memset(old->out, 0, sizeof old->out);
	old->net.resolved_only = true;
	for (uint32_t i = 0; i < n; i++)
		memset(old->net.port[i].last, 0, sizeof old->net.port[i].last);
	sn_tcp_reset_left_over(old, &old->tcp, now);
	sn_engine_flush(old);

	struct sn_engine *e = sn_engine_init(mem, size, cfg, now);
	for (uint32_t i = 0; e && i < n; i++)
		if (sn_engine_port_add(e, &ports[i]) < 0)
			return NULL;
	return e;
}

int32_t sn_engine_port_add(struct sn_engine *e, const struct sn_net_port_cfg *port) { return sn_net_port_add(e, port); }

int32_t sn_engine_channel_attach(struct sn_engine *e, struct sn_channel *ch)
{
	for (uint32_t i = 0; i < SN_MAX_CHANNELS; i++) {
		if (e->channel[i])
			continue;
		e->channel[i] = ch;
		if (i + 1 > e->channels)
			e->channels = i + 1;
		return (int32_t)i;
	}
	return SN_E_NOSPC;
}

void sn_engine_channel_detach(struct sn_engine *e, uint32_t slot, sn_time now)
{
	if (slot >= SN_MAX_CHANNELS || !e->channel[slot])
		return;
	e->now = now;
	/* Frames built so far may reference the arena that is about to go. */
	sn_engine_flush(e);
	sn_mptcp_channel_gone(e, slot, now);
	sn_engine_flush(e);
	e->channel[slot] = NULL;
	e->ended &= ~(1ull << slot);
	while (e->channels && !e->channel[e->channels - 1])
		e->channels--;
}

void sn_engine_rx(struct sn_engine *e, struct sn_buf **v, uint32_t n, sn_time now)
{
	e->now = now;
	if (!n)
		return;
	e->counters.rx_bursts++;
	sn_net_rx(e, v, n, now);
}

/* Takes a bounded number of submissions of one channel. Returns how many. */
static uint32_t poll_channel(struct sn_engine *e, uint32_t slot, sn_time now)
{
	struct sn_channel *ch = e->channel[slot];
	struct sn_sqe sqe;
	uint32_t done = 0;
	bool ok = true;

	/* A refusal is answered at once: what cannot be answered is not taken. */
	while (ok && done < SUBMIT_BUDGET && sn_channel_cq_room(ch) && sn_channel_sq_pop(ch, &sqe)) {
		ok = sn_mptcp_submit(e, slot, &sqe, now);
		done++;
	}
	if (SN_UNLIKELY(!ok))
		ch->violated = true;
	return done;
}

sn_time sn_engine_poll(struct sn_engine *e, sn_time now, uint32_t *work)
{
	uint32_t done = 0;
	bool more = false;

	e->now = now;
	sn_pressure_look(e, now);
	for (uint32_t i = 0; i < e->channels; i++) {
		struct sn_channel *ch = e->channel[i];
		if (!ch)
			continue;
		uint32_t taken = ch->violated ? 0 : poll_channel(e, i, now);
		more |= taken == SUBMIT_BUDGET;
		done += taken;
		/* The session is over: its connections end now, the surroundings see `violated` and detach it. */
		if (SN_UNLIKELY(ch->violated) && !(e->ended & 1ull << i)) {
			e->ended |= 1ull << i;
			e->counters.app_violation++;
			sn_mptcp_channel_gone(e, i, now);
		}
	}
	done += sn_wheel_run(&e->wheel, now);
	if (e->mptcp.run.n || e->mptcp.zombies || e->channels)
		done += sn_mptcp_run(e, now);
	if (e->queued)
		sn_engine_flush(e);
	for (uint32_t i = 0; i < e->channels; i++)
		if (e->channel[i] && e->channel[i]->wake_app)
			sn_channel_notify_app(e->channel[i]);
	*work = done;
	return more || e->mptcp.run.n ? now : sn_wheel_next(&e->wheel);
}

bool sn_engine_pending(const struct sn_engine *e)
{
	for (uint32_t i = 0; i < e->channels; i++)
		if (e->channel[i] && !sn_channel_sq_empty(e->channel[i]) && sn_channel_cq_room(e->channel[i]))
			return true;
	return sn_mptcp_runnable(e);
}

void sn_engine_drain(struct sn_engine *e, sn_time now)
{
	e->now = now;
	sn_mptcp_drain(e, now);
	sn_engine_flush(e);
}

uint32_t sn_engine_conns(const struct sn_engine *e) { return e->mptcp.conns.used; }

enum sn_err sn_engine_endpoint_add(struct sn_engine *e, const struct sn_endpoint *ep, sn_time now)
{
	e->now = now;
	return sn_mptcp_endpoint_add(e, ep, now);
}

enum sn_err sn_engine_endpoint_del(struct sn_engine *e, uint8_t id, sn_time now)
{
	e->now = now;
	return sn_mptcp_endpoint_del(e, id, now);
}

void sn_engine_limits_set(struct sn_engine *e, const struct sn_pm_limits *limits)
{
	e->cfg.limits = *limits;
	e->cfg.limits.subflows = SN_MIN(limits->subflows, (uint32_t)SN_MAX_SUBFLOWS - 1);
	sn_mptcp_policy_changed(e);
}

enum sn_err sn_engine_pm_command(struct sn_engine *e, const struct sn_pm_command *cmd, sn_time now)
{
	e->now = now;
	return sn_mptcp_pm_command(e, cmd, now);
}

void sn_engine_watch(struct sn_engine *e, bool on) { sn_mptcp_watch(e, on); }

uint32_t sn_engine_events(struct sn_engine *e, struct sn_pm_event *out, uint32_t n, uint64_t *lost)
{
	return sn_mptcp_events(e, out, n, lost);
}

sn_time sn_engine_events_due(const struct sn_engine *e)
{
	return SN_MIN(e->mptcp.event_n ? e->mptcp.event_due : SN_TIME_NEVER, sn_net_news_due(e));
}

bool sn_engine_events_ask(struct sn_engine *e, sn_time now)
{
	bool news = sn_net_news_ask(e, now);

	if (SN_LIKELY(!e->mptcp.event_n) || now < e->mptcp.event_due)
		return news;
	e->mptcp.event_due = now + SN_PM_EVENTS_SOON;
	return true;
}

void sn_engine_news_watch(struct sn_engine *e) { sn_net_news_watch(e); }

uint32_t sn_engine_news(struct sn_engine *e, struct sn_neigh_news *out, uint32_t n)
{
	return sn_net_news_take(e, out, n);
}

enum sn_err sn_engine_order(struct sn_engine *e, const struct sn_neigh_order *order, sn_time now)
{
	e->now = now;
	return sn_net_order(e, order, now);
}

void sn_engine_emit(struct sn_engine *e, const struct sn_tx *tx)
{
	struct sn_tx_queue *q = &e->out[tx->port];
	struct sn_tx *to = &q->v[q->n++];

	e->queued = true;
	e->counters.tx_packets++;
	e->counters.tx_bytes += tx->hdr->len + tx->payload_len;
	if (SN_UNLIKELY(to != tx))
		*to = *tx;
	if (SN_UNLIKELY(q->n == SN_TX_BURST)) {
		e->cfg.hooks.tx(e->cfg.hooks.ctx, tx->port, q->v, SN_TX_BURST);
		q->n = 0;
	}
}

void sn_engine_flush(struct sn_engine *e)
{
	e->queued = false;
	for (uint32_t p = 0; p < e->net.ports; p++) {
		if (!e->out[p].n)
			continue;
		e->cfg.hooks.tx(e->cfg.hooks.ctx, (uint16_t)p, e->out[p].v, e->out[p].n);
		e->out[p].n = 0;
	}
}

int32_t sn_engine_port_owner(const struct sn_engine *e, uint16_t lport)
{
	if (lport < e->cfg.block_base)
		return -1;
	/* port_count is a power of two: no division per packet. */
	uint32_t w = (uint32_t)(lport - e->cfg.block_base) >> __builtin_ctz(e->cfg.port_count);
	return w < e->cfg.workers ? (int32_t)w : -1;
}
