/* SPDX-License-Identifier: Apache-2.0
 *
 * What a configuration may say.
 */
#include "sim/sim.h"

static bool chance(double p) { return p >= 0 && p <= 1; }

static bool link_valid(const struct sn_sim_link *l)
{
	return chance(l->loss) && chance(l->duplicate) && chance(l->corrupt) && chance(l->reorder) &&
	       chance(l->burst_enter) && chance(l->burst_leave) && chance(l->burst_loss) &&
	       l->delay_ns <= 100 * SN_SEC && l->jitter_ns <= 100 * SN_SEC && l->reorder_ns <= 100 * SN_SEC &&
	       (!l->rate_bps || l->rate_bps >= 1000) && (!l->down_ns || l->up_ns) && l->up_ns < UINT64_MAX / 2 &&
	       l->down_ns < UINT64_MAX / 2;
}

static bool box_valid(const struct sn_sim_box *b)
{
	return chance(b->mangle) && chance(b->rewrite) && b->flags < 2 * SN_SIM_BOX_DUMB &&
	       (!b->coalesce || b->coalesce_ns) && b->coalesce_ns <= SN_SEC && (!b->split || b->split >= 8) &&
	       (!b->mss || b->mss >= 64) && (!b->mtu || b->mtu >= 576) && b->fragment % 8 == 0 &&
	       (!b->fragment || b->fragment >= 64);
}

/* RFC 8200 5: no IPv6 below an mtu of 1280. */
static bool family_valid(const struct sn_sim_cfg *c)
{
	if (c->family > SN_SIM_MIXED || (c->family && c->mtu && c->mtu < 1280))
		return false;
	for (uint32_t i = 0; i < c->paths; i++)
		if (sn_sim_path_v6(c, i) && c->box[i].flags & SN_SIM_BOX_NAT)
			return false;
	return true;
}

static bool event_valid(const struct sn_sim_cfg *c, const struct sn_sim_event *e)
{
	if (e->path >= c->paths || e->host > 1 || e->for_ns > 3600 * SN_SEC)
		return false;
	switch (e->what) {
	case SN_SIM_POOL: return e->arg <= 1000;
	case SN_SIM_CLOCK: return e->arg <= 3600 * SN_SEC;
	case SN_SIM_FLOOD: return e->arg <= 1000000;
	case SN_SIM_STALL: return c->conns <= 1; /* whose DATA_ACK it is nobody asks */
	default: return e->what >= SN_SIM_DOWN && e->what <= SN_SIM_DIE;
	}
}

static bool text_valid(const struct sn_sim_cfg *c)
{
	return memchr(c->cc, 0, sizeof c->cc) && memchr(c->cc_b, 0, sizeof c->cc_b) &&
	       memchr(c->profile, 0, sizeof c->profile) && memchr(c->trace, 0, sizeof c->trace) &&
	       memchr(c->tcp_engine, 0, sizeof c->tcp_engine) && memchr(c->pcap, 0, sizeof c->pcap) &&
	       memchr(c->segments, 0, sizeof c->segments);
}

bool sn_sim_cfg_valid(const struct sn_sim_cfg *c)
{
	if (c->paths < 1 || c->paths > SN_SIM_PATHS || c->events > SN_SIM_EVENTS || c->conns > SN_SIM_CONNS ||
	    c->workers_a > SN_SIM_WORKERS || c->workers_b > SN_SIM_WORKERS ||
	    (c->mtu && (c->mtu < 576 || c->mtu > 2000)) || c->steering > SN_SIM_FIRST ||
	    c->closing > SN_SIM_CLOSE_ONLY || c->arena % 4096 || c->rx_slot_size % SN_CACHE_LINE || !text_valid(c) ||
	    (c->trace[0] && !c->trace_ns) || c->rx_wait_ns > SN_SEC || c->ecn > 3 || c->allow > 3 ||
	    (c->msg_bytes && (!c->msg_every_ns || c->bytes_ab % c->msg_bytes)))
		return false;
	if (!family_valid(c))
		return false;
	for (uint32_t i = 0; i < c->paths; i++)
		if (!link_valid(&c->ab[i]) || !link_valid(&c->ba[i]) || !box_valid(&c->box[i]))
			return false;
	for (uint32_t i = 0; i < c->events; i++)
		if (!event_valid(c, &c->event[i]) || (i && c->event[i].at_ns < c->event[i - 1].at_ns))
			return false;
	return true;
}
