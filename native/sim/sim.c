/* SPDX-License-Identifier: Apache-2.0
 *
 * The event loop: earliest event, one action, settle.
 */
#include "sim/sim.h"

#include "sim/fragment.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SETTLE_MAX = 100000 };

/* Records must be gone so long after the last CLOSED: TIME_WAIT, orphans in FIN_WAIT_2, retransmitted DATA_FINs. */
#define LINGER (1800 * SN_SEC)

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
				if (h->worker[w].stopped > sim->now)
					continue;
				moved |= sn_sim_worker_inbox(&h->worker[w]);
				/* Completions taken may be what a worker with a full ring waits for. */
				if (app || (!sim->app[s].dead && !sn_channel_sq_empty(&sim->app[s].ch[w].worker))) {
					sn_sim_worker_poll(&h->worker[w]);
					moved = true;
				}
			}
			moved |= app;
		}
	}
}

enum kind { NOTHING, ARRIVAL, DEADLINE, SCRIPT, EVENT, HELD, TRACE };
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

	if (sim->trace.file)
		consider(&n, TRACE, sim->trace.at, 0, 0);
	if (sim->next_event < sim->cfg->events)
		consider(&n, EVENT, sim->start + sim->cfg->event[sim->next_event].at_ns, 0, 0);
	for (uint32_t p = 0; p < sim->cfg->paths; p++)
		consider(&n, HELD, SN_MIN(sn_sim_middle_next(&sim->box[p]), sim->flood[p].next), 0, p);
	if (sim->res->faults)
		consider(&n, SCRIPT, sn_sim_fault_end(sim), 0, 0);
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
	case TRACE: sn_sim_trace_row(sim); return;
	case ARRIVAL:
		sn_sim_host_rx(&sim->host[!n->side], (uint16_t)n->index,
			       sn_sim_half_take(&sim->link[n->side][n->index]));
		break;
	case DEADLINE: sn_sim_worker_poll(&sim->host[n->side].worker[n->index]); break;
	case EVENT: sn_sim_fault(sim, &sim->cfg->event[sim->next_event++]); break;
	case HELD:
		sn_sim_middle_flush(&sim->box[n->index], sim->now);
		sn_sim_flood_run(sim, n->index);
		break;
	default: break; /* SCRIPT: settle() runs the applications */
	}
	settle(sim);
}

/* Nothing is under way between the engines. */
static bool links_empty(const struct sn_sim *sim)
{
	for (uint32_t p = 0; p < sim->cfg->paths; p++)
		if (sim->box[p].held[0] || sim->box[p].held[1])
			return false;
	for (uint32_t s = 0; s < 2; s++)
		for (uint32_t w = 0; w < sim->host[s].workers; w++)
			if (sim->host[s].worker[w].queue || sim->host[s].worker[w].inbox)
				return false;
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

/* Nothing happens any more where something should. Applications give up once where faults may lead to that. */
static void stalled(struct sn_sim *sim, const char *what)
{
	bool may = false;

	for (uint32_t s = 0; s < 2; s++) {
		struct sn_sim_app *a = &sim->app[s];
		if (!a->dead && !a->quit && sn_sim_app_tolerant(a))
			may = a->quit = true;
	}
	if (may) {
		sim->last_progress = sim->now;
		settle(sim);
	} else {
		describe_stall(sim, what);
	}
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
			sn_sim_trace_close(sim);
			sn_sim_app_unlisten(&sim->app[1]);
			settle(sim);
			continue;
		}
		/* Buffers may wait for a neighbour's answer a little longer; what is left then, nobody frees. */
		if (ended && links_empty(sim) && !sn_sim_records_left(sim, left, sizeof left) &&
		    !sim->host[0].pool.out && !sim->host[1].pool.out)
			return;
		struct next n = earliest(sim);
		if (n.kind == NOTHING && !ended) {
			stalled(sim, "nothing is left to happen");
			continue;
		}
		if (n.kind == NOTHING || n.at > (ended ? ended + LINGER : SN_TIME_NEVER)) {
			if (sn_sim_records_left(sim, left, sizeof left))
				sn_sim_fail(sim, "after everything closed, %s", left);
			return;
		}
		if (!ended && n.at > bound)
			describe_stall(sim, "not finished within the time bound");
		else if (!ended && n.at > sim->last_progress + stall) {
			stalled(sim, "no progress");
			continue;
		}
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
			r->path_marked[s][p] = l->marked;
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
	for (uint32_t p = 0; p < sim->cfg->paths; p++)
		sn_sim_middle_drop(&sim->box[p]);
	for (uint32_t s = 0; s < 2; s++)
		for (uint32_t p = 0; p < sim->cfg->paths; p++)
			while (sn_sim_half_next(&sim->link[s][p]) != SN_TIME_NEVER)
				sn_buf_free(sn_sim_half_take(&sim->link[s][p]));
}

static void on_link(void *ctx, uint32_t path, uint32_t dir, struct sn_buf *b, sn_time now)
{
	struct sn_sim *sim = ctx;
	struct sn_sim_half *link = &sim->link[dir][path];
	uint32_t step = sim->cfg->box[path].fragment;
	struct sn_sim_frame f;

	if (step && sn_sim_frame_parse(&f, b) && (uint32_t)(f.data - f.tcp) + f.payload > step) {
		bool more = true;
		sn_sim_frame_finish(&f, b, true); /* no port vouches for the sum of a fragment */
		sim->fragmented[path]++;
		for (uint32_t n = 0; more; n++) {
			struct sn_buf *d = sn_sim_fragment(b, &f, n, step, sim->fragmented[path], &more);
			if (d) /* else the pool is empty: it is lost */
				sn_sim_half_send(link, d, now);
			sim->res->faults++;
		}
		sn_buf_free(b);
		return;
	}
	sn_sim_half_send(link, b, now);
}

static void middle_init(struct sn_sim *sim, uint32_t path)
{
	struct sn_sim_middle *m = &sim->box[path];

	sn_sim_middle_init(m, &sim->cfg->box[path], sim->cfg->seed, path);
	m->room = SN_SIM_DATA_ROOM;
	m->csum = sim->soft_csum;
	m->changes = &sim->res->faults;
	m->out = on_link;
	m->ctx = sim;
	sn_sim_flood_init(sim, path);
}

void sn_sim_send(struct sn_sim *sim, uint32_t dir, uint32_t path, struct sn_buf *b)
{
	struct sn_sim_stall *stall = sim->stall;
	struct sn_sim_frame f;

	if (SN_UNLIKELY(stall[0].on || stall[1].on) && sn_sim_frame_parse(&f, b)) {
		sn_sim_stall_frame(&stall[!dir], &f, false);
		if (sn_sim_stall_frame(&stall[dir], &f, true))
			sn_sim_frame_finish(&f, b, sim->soft_csum);
	}
	if (SN_UNLIKELY(sim->flood[path].planned) && dir == 0)
		sn_sim_flood_see(sim, path, b);
	uint32_t mtu = sim->cfg->box[path].mtu;
	if (mtu && b->len > 14 + mtu) {
		sn_sim_too_big(sim, path, dir, b);
		sn_buf_free(b);
		return;
	}
	sn_sim_middle_send(&sim->box[path], dir, b, sim->now);
}

int sn_sim_run(const struct sn_sim_cfg *cfg, struct sn_sim_result *result)
{
	uint64_t began = wall();
	memset(result, 0, sizeof *result);
	struct sn_sim *sim = calloc(1, sizeof *sim);
	if (!sim)
		return SN_E_NOMEM;
	if (!sn_sim_cfg_valid(cfg)) {
		free(sim);
		strcpy(result->failure, "the configuration is not valid");
		return SN_E_INVAL;
	}
	sim->cfg = cfg;
	sim->res = result;
	sim->start = sim->now = sim->last_progress = cfg->start_ns ? cfg->start_ns : SN_SEC;
	sim->soft_csum = cfg->soft_csum;
	sn_stream_init(&sim->stream);
	for (uint32_t p = 0; p < cfg->paths; p++) {
		sim->soft_csum |= cfg->ab[p].corrupt > 0 || cfg->ba[p].corrupt > 0;
		sn_sim_half_init(&sim->link[0][p], &cfg->ab[p], cfg->seed, p, sim->start);
		sn_sim_half_init(&sim->link[1][p], &cfg->ba[p], cfg->seed, p + SN_SIM_PATHS, sim->start);
		for (uint32_t s = 0; s < 2 && cfg->shared; s++)
			sim->link[s][p].wire = &sim->link[s][0];
	}
	for (uint32_t p = 0; p < cfg->paths; p++)
		middle_init(sim, p);
	if (cfg->segments[0] && !(sim->segments = sn_sim_segments_open(cfg->segments)))
		sn_sim_fail(sim, "cannot write %s", cfg->segments);
	else if (sn_sim_host_init(&sim->host[0], sim, 0) && sn_sim_host_init(&sim->host[1], sim, 1) &&
		 sn_sim_app_init(&sim->app[0], sim, 0) && sn_sim_app_init(&sim->app[1], sim, 1) &&
		 sn_sim_trace_open(sim))
		loop(sim);
	sn_sim_trace_close(sim);
	if (sim->segments)
		fclose(sim->segments);
	sim->segments = NULL;
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
