/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/sim.h"

static void paths(struct sn_sim *sim, const struct sn_sim_event *e)
{
	for (uint32_t s = 0; s < 2; s++)
		sn_sim_half_set_down(&sim->link[s][e->path], e->what == SN_SIM_DOWN);
	sim->last_progress = sim->now;
}

void sn_sim_fault(struct sn_sim *sim, const struct sn_sim_event *e)
{
	struct sn_sim_host *h = &sim->host[e->host];
	sn_time until = sim->now + e->for_ns;

	sim->res->faults++;
	switch (e->what) {
	case SN_SIM_REBIND: sn_sim_middle_rebind(&sim->box[e->path]); break;
	case SN_SIM_POOL:
		h->plight.pool = until;
		h->plight.pool_share = e->arg ? (uint32_t)e->arg : 1000;
		break;
	case SN_SIM_FORWARD: h->plight.forward = until; break;
	case SN_SIM_FREEZE: h->plight.frozen = until; break;
	case SN_SIM_NO_READ: h->plight.no_read = until; break;
	case SN_SIM_STOP:
		if (e->arg < h->workers)
			h->worker[e->arg].stopped = until;
		break;
	case SN_SIM_CLOCK:
		for (uint32_t w = 0; w < h->workers; w++) {
			h->worker[w].leap += e->arg;
			/* What it has slept for may be due now. */
			if (h->worker[w].deadline != SN_TIME_NEVER)
				h->worker[w].deadline -=
					SN_MIN(h->worker[w].deadline - SN_MIN(sim->now, h->worker[w].deadline), e->arg);
		}
		break;
	case SN_SIM_FLOOD: sn_sim_flood_begin(sim, e->path, until, e->arg); break;
	case SN_SIM_STALL: sn_sim_stall_begin(&sim->stall[e->host]); break;
	case SN_SIM_DIE: sn_sim_app_die(&sim->app[e->host]); break;
	default: paths(sim, e); break;
	}
	/* Time that a fault takes is no stall. */
	sim->last_progress = SN_MAX(sim->last_progress, until);
}

static void first(sn_time *end, sn_time at, sn_time now)
{
	if (at > now && at < *end)
		*end = at;
}

sn_time sn_sim_fault_end(const struct sn_sim *sim)
{
	sn_time end = SN_TIME_NEVER;

	for (uint32_t s = 0; s < 2; s++) {
		const struct sn_sim_host *h = &sim->host[s];
		first(&end, h->plight.pool, sim->now);
		first(&end, h->plight.forward, sim->now);
		first(&end, h->plight.frozen, sim->now);
		first(&end, h->plight.no_read, sim->now);
		for (uint32_t w = 0; w < h->workers; w++)
			first(&end, h->worker[w].stopped, sim->now);
	}
	return end;
}
