/* SPDX-License-Identifier: Apache-2.0
 *
 * The event loop: earliest event, one action, settle.
 */
#include "sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SETTLE_MAX = 100000 };

/* Records must be gone so long after the last CLOSED: TIME_WAIT, orphans in FIN_WAIT_2, retransmitted DATA_FINs. */
#define LINGER (300 * SN_SEC)

void sn_sim_fail(struct sn_sim *sim, const char *fmt, ...)
{
	va_list ap;

	if (sn_sim_failed(sim))
		return;
	va_start(ap, fmt);
	vsnprintf(sim->res->failure, sizeof sim->res->failure, fmt, ap);
	va_end(ap);
	if (!sim->res->failure[0])
		strcpy(sim->res->failure, "failed");
}

static bool link_valid(const struct sn_sim_link *l)
{
	return l->loss >= 0 && l->loss <= 1 && l->duplicate >= 0 && l->duplicate <= 1 && l->corrupt >= 0 &&
	       l->corrupt <= 1 && l->reorder >= 0 && l->reorder <= 1 && l->delay_ns <= 100 * SN_SEC &&
	       l->jitter_ns <= 100 * SN_SEC && l->reorder_ns <= 100 * SN_SEC && (!l->rate_bps || l->rate_bps >= 1000);
}

static bool cfg_valid(const struct sn_sim_cfg *c)
{
	if (c->paths < 1 || c->paths > SN_SIM_PATHS || c->events > SN_SIM_EVENTS || c->conns > SN_SIM_CONNS ||
	    c->workers_a > SN_SIM_WORKERS || c->workers_b > SN_SIM_WORKERS ||
	    (c->mtu && (c->mtu < 576 || c->mtu > 2000)) || c->steering > SN_SIM_FIRST ||
	    c->closing > SN_SIM_CLOSE_ONLY || c->arena % 4096 || c->rx_slot_size % SN_CACHE_LINE ||
	    !memchr(c->cc, 0, sizeof c->cc) || !memchr(c->tcp_engine, 0, sizeof c->tcp_engine) ||
	    !memchr(c->pcap, 0, sizeof c->pcap))
		return false;
	for (uint32_t i = 0; i < c->paths; i++)
		if (!link_valid(&c->ab[i]) || !link_valid(&c->ba[i]))
			return false;
	for (uint32_t i = 0; i < c->events; i++)
		if (c->event[i].path >= c->paths || c->event[i].what < SN_SIM_DOWN || c->event[i].what > SN_SIM_UP ||
		    (i && c->event[i].at_ns < c->event[i - 1].at_ns))
			return false;
	return true;
}

/* Applications answer completions, workers take submissions and forwarded frames, until nothing moves at this instant. */
static void settle(struct sn_sim *sim)
{
	bool moved = true;

	for (uint32_t turn = 0; moved && !sn_sim_failed(sim); turn++) {
		moved = false;
		if (turn == SETTLE_MAX)
			sn_sim_fail(sim, "application and worker keep each other busy without time passing");
		for (uint32_t s = 0; s < 2; s++) {
			struct sn_sim_host *h = &sim->host[s];
			bool app = sn_sim_app_run(&sim->app[s]);
			for (uint32_t w = 0; w < h->workers; w++) {
				moved |= sn_sim_worker_inbox(&h->worker[w]);
				/* Completions taken may be what a worker with a full ring waits for. */
				if (app || !sn_channel_sq_empty(&sim->app[s].ch[w].worker)) {
					sn_sim_worker_poll(&h->worker[w]);
					moved = true;
				}
			}
			moved |= app;
		}
	}
}

enum kind { NOTHING, ARRIVAL, DEADLINE, SCRIPT, EVENT };
struct next {
	enum kind kind;
	sn_time at;
	uint32_t side, index;
};

static void consider(struct next *n, enum kind kind, sn_time at, uint32_t side, uint32_t index)
{
	if (at < n->at)
		*n = (struct next){kind, at, side, index};
}

static struct next earliest(const struct sn_sim *sim)
{
	struct next n = {NOTHING, SN_TIME_NEVER, 0, 0};

	if (sim->next_event < sim->cfg->events)
		consider(&n, EVENT, sim->start + sim->cfg->event[sim->next_event].at_ns, 0, 0);
	for (uint32_t s = 0; s < 2; s++) {
		for (uint32_t p = 0; p < sim->cfg->paths; p++)
			consider(&n, ARRIVAL, sn_sim_half_next(&sim->link[s][p]), s, p);
		for (uint32_t w = 0; w < sim->host[s].workers; w++)
			consider(&n, DEADLINE, sim->host[s].worker[w].deadline, s, w);
		consider(&n, SCRIPT, sn_sim_app_next(&sim->app[s]), s, 0);
	}
	return n;
}

static void act(struct sn_sim *sim, const struct next *n)
{
	switch (n->kind) {
	case ARRIVAL:
		sn_sim_host_rx(&sim->host[!n->side], (uint16_t)n->index,
			       sn_sim_half_take(&sim->link[n->side][n->index]));
		break;
	case DEADLINE: sn_sim_worker_poll(&sim->host[n->side].worker[n->index]); break;
	case EVENT: {
		const struct sn_sim_event *e = &sim->cfg->event[sim->next_event++];
		for (uint32_t s = 0; s < 2; s++)
			sn_sim_half_set_down(&sim->link[s][e->path], e->what == SN_SIM_DOWN);
		sim->last_progress = sim->now;
		break;
	}
	default: break; /* SCRIPT: settle() runs the applications */
	}
	settle(sim);
}

static bool links_empty(const struct sn_sim *sim)
{
	for (uint32_t s = 0; s < 2; s++)
		for (uint32_t p = 0; p < sim->cfg->paths; p++)
			if (sn_sim_half_next(&sim->link[s][p]) != SN_TIME_NEVER)
				return false;
	return true;
}

static void watch(struct sn_sim *sim)
{
	uint32_t subflows = 0;

	sim->res->virtual_ns = sim->now - sim->start;
	for (uint32_t w = 0; w < sim->host[0].workers; w++)
		subflows += sim->host[0].worker[w].engine->mptcp.subflows.used;
	if (subflows > sim->res->subflows_peak)
		sim->res->subflows_peak = subflows;
}

static void describe_stall(struct sn_sim *sim, const char *what)
{
	char a[112], b[112];
	sn_sim_app_describe(&sim->app[0], a, sizeof a);
	sn_sim_app_describe(&sim->app[1], b, sizeof b);
	sn_sim_fail(sim, "%s; %s; %s", what, a, b);
}

static void loop(struct sn_sim *sim)
{
	const struct sn_sim_cfg *c = sim->cfg;
	sn_time bound = sim->start + (c->bound_ns ? c->bound_ns : 600 * SN_SEC);
	sn_time stall = c->stall_ns ? c->stall_ns : 100 * SN_SEC;
	sn_time ended = 0; /* when both applications were done */
	char left[64];

	sn_sim_app_listen(&sim->app[1]);
	settle(sim);
	while (!sn_sim_failed(sim)) {
		if (!ended && sn_sim_app_done(&sim->app[0]) && sn_sim_app_done(&sim->app[1])) {
			ended = sim->now;
			sn_sim_app_unlisten(&sim->app[1]);
			settle(sim);
			continue;
		}
		/* A frame may still wait for a neighbour that does not answer. */
		if (ended && links_empty(sim) && !sim->host[0].pool.out && !sim->host[1].pool.out &&
		    !sn_sim_records_left(sim, left, sizeof left))
			return;
		struct next n = earliest(sim);
		if (n.kind == NOTHING || (ended && n.at > ended + LINGER)) {
			if (!ended)
				describe_stall(sim, "nothing is left to happen");
			else if (sn_sim_records_left(sim, left, sizeof left))
				sn_sim_fail(sim, "after everything closed, %s", left);
			return;
		}
		if (!ended && n.at > bound)
			describe_stall(sim, "not finished within the time bound");
		else if (!ended && n.at > sim->last_progress + stall)
			describe_stall(sim, "no progress");
		if (__atomic_load_n(&sim->res->cancel, __ATOMIC_RELAXED))
			sn_sim_fail(sim, "cancelled");
		if (sn_sim_failed(sim))
			return;
		if (n.at > sim->now)
			sim->now = n.at;
		sim->res->steps++;
		act(sim, &n);
		watch(sim);
	}
}

static void report(struct sn_sim *sim)
{
	struct sn_sim_result *r = sim->res;

	r->counter_count = sn_counter_count();
	for (uint32_t s = 0; s < 2; s++) {
		for (uint32_t p = 0; p < sim->cfg->paths; p++) {
			const struct sn_sim_half *l = &sim->link[s][p];
			r->path_payload[s][p] = l->payload;
			r->path_frames[s][p] = l->frames;
			r->path_lost[s][p] = l->lost;
			r->path_overflow[s][p] = l->overflow;
		}
		for (uint32_t w = 0; w < sim->host[s].workers; w++) {
			const struct sn_engine *e = sim->host[s].worker[w].engine;
			if (!e)
				continue;
			for (uint32_t i = 0; i < r->counter_count && i < SN_SIM_COUNTERS; i++)
				r->counters[s][i] += sn_engine_counter(e, i);
			r->retransmissions += e->counters.tcp_retrans;
			r->reinjections += e->counters.MPTCPRetrans;
			r->misdirected += e->counters.misdirected;
		}
		if (r->transfer_ns[s])
			r->goodput_bps[s] = (double)r->received[s] * 8e9 / (double)r->transfer_ns[s];
	}
	r->completed = !sn_sim_failed(sim);
}

static uint64_t wall(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * SN_SEC + (uint64_t)ts.tv_nsec;
}

static void drop_links(struct sn_sim *sim)
{
	for (uint32_t s = 0; s < 2; s++)
		for (uint32_t p = 0; p < sim->cfg->paths; p++)
			while (sn_sim_half_next(&sim->link[s][p]) != SN_TIME_NEVER)
				sn_buf_free(sn_sim_half_take(&sim->link[s][p]));
}

int sn_sim_run(const struct sn_sim_cfg *cfg, struct sn_sim_result *result)
{
	uint64_t began = wall();
	memset(result, 0, sizeof *result);
	struct sn_sim *sim = calloc(1, sizeof *sim);
	if (!sim)
		return SN_E_NOMEM;
	if (!cfg_valid(cfg)) {
		free(sim);
		strcpy(result->failure, "the configuration is not valid");
		return SN_E_INVAL;
	}
	sim->cfg = cfg;
	sim->res = result;
	sim->start = sim->now = sim->last_progress = cfg->start_ns ? cfg->start_ns : SN_SEC;
	sim->soft_csum = cfg->soft_csum;
	for (uint32_t p = 0; p < cfg->paths; p++) {
		sim->soft_csum |= cfg->ab[p].corrupt > 0 || cfg->ba[p].corrupt > 0;
		sn_sim_half_init(&sim->link[0][p], &cfg->ab[p], cfg->seed, p);
		sn_sim_half_init(&sim->link[1][p], &cfg->ba[p], cfg->seed, p + SN_SIM_PATHS);
		for (uint32_t s = 0; s < 2 && cfg->shared; s++)
			sim->link[s][p].busy = &sim->link[s][0].own_busy;
	}
	if (sn_sim_host_init(&sim->host[0], sim, 0) && sn_sim_host_init(&sim->host[1], sim, 1) &&
	    sn_sim_app_init(&sim->app[0], sim, 0) && sn_sim_app_init(&sim->app[1], sim, 1))
		loop(sim);
	report(sim);
	drop_links(sim);
	if (result->completed) {
		sn_sim_check_end(sim);
		result->completed = !sn_sim_failed(sim);
	}
	for (uint32_t s = 0; s < 2; s++) {
		sn_sim_app_close(&sim->app[s]);
		sn_sim_host_close(&sim->host[s]);
	}
	free(sim);
	result->wall_ns = wall() - began;
	return result->completed ? 0 : SN_E_PROTO;
}

const char *sn_sim_counter_name(uint32_t i) { return sn_counter_name(i); }
