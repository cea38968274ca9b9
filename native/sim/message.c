/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages under open-loop load: A sends them at times that are fixed beforehand, so that a stall is not hidden, and the
 * one-way time of each counts from then. The histogram has 64 buckets per power of two of microseconds (1.6 %).
 */
#include "sim/app.h"
#include "sim/sim.h"

enum { SUB_BITS = 6, SUB = 1 << SUB_BITS, BUCKETS = 2048 };

sn_time sn_sim_message_due(const struct sn_sim_cfg *c, const struct sn_sim_conn *k, uint64_t i)
{
	/* One in every interval, at a place of its own: no beat with anything else that is periodic. */
	return k->began + i * c->msg_every_ns + sn_rng_mix(k->tx_stream ^ (i + 1)) % c->msg_every_ns;
}

static uint32_t bucket(sn_time ns)
{
	uint64_t us = SN_MIN(ns / SN_USEC, (uint64_t)UINT32_MAX);

	if (us < SUB)
		return (uint32_t)us;
	uint32_t shift = 63 - SUB_BITS - (uint32_t)__builtin_clzll(us);
	return SN_MIN((shift + 1) * SUB + (uint32_t)(us >> shift) - SUB, BUCKETS - 1u);
}

uint64_t sn_sim_latency_ns(uint32_t i)
{
	if (i < SUB)
		return (i + 1) * SN_USEC;
	uint32_t shift = i / SUB - 1;
	return ((uint64_t)(i % SUB + SUB + 1) << shift) * SN_USEC;
}

struct sn_sim_conn *sn_sim_app_peer(const struct sn_sim_app *a, const struct sn_sim_conn *k)
{
	struct sn_sim_app *other = &a->sim->app[!a->side];

	for (uint32_t i = 0; i < other->conns; i++)
		if (other->conn[i].open && other->conn[i].cport == k->cport)
			return &other->conn[i];
	return NULL;
}

void sn_sim_message_got(struct sn_sim_app *a, const struct sn_sim_conn *k, uint64_t before)
{
	const struct sn_sim_cfg *c = a->sim->cfg;
	struct sn_sim_result *r = a->sim->res;
	const struct sn_sim_conn *from = sn_sim_app_peer(a, k);

	if (!from)
		return;
	uint32_t conn = (uint32_t)(from - a->sim->app[0].conn);
	r->conn_received[conn] = k->rx_got;
	r->conn_ns[conn] = a->sim->now - a->sim->start;
	if (!c->msg_bytes)
		return;
	for (uint64_t i = before / c->msg_bytes; (i + 1) * c->msg_bytes <= k->rx_got; i++) {
		sn_time took = a->sim->now - sn_sim_message_due(c, from, i);
		r->latency[bucket(took)]++;
		r->messages++;
		r->latency_max_ns = SN_MAX(r->latency_max_ns, took);
	}
}
