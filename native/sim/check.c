/* SPDX-License-Identifier: Apache-2.0
 *
 * What must hold when a run is over: nothing left in any table, nothing left of any buffer, every byte delivered.
 */
#include <stdio.h>

#include "sim/sim.h"

bool sn_sim_records_left(const struct sn_sim *sim, char *what, size_t size)
{
	struct sn_table_info t[16];

	for (uint32_t s = 0; s < 2; s++) {
		const struct sn_sim_host *h = &sim->host[s];
		for (uint32_t w = 0; w < h->workers; w++) {
			uint32_t n = sn_engine_tables(h->worker[w].engine, t, 16);
			for (uint32_t i = 0; i < n; i++) {
				if (!t[i].used)
					continue;
				snprintf(what, size, "host %c worker %u still holds %u of %s", 'A' + (int)s, w,
					 t[i].used, sn_engine_table_name(i));
				return true;
			}
		}
	}
	return false;
}

static void check_app(struct sn_sim *sim, const struct sn_sim_app *a)
{
	if (a->dead)
		return;
	for (uint32_t i = 0; i < a->conns; i++) {
		const struct sn_sim_conn *k = &a->conn[i];
		if (sn_sim_app_tolerant(a) &&
		    (!k->open || k->failed || k->hopeless || a->sim->cfg->allow & SN_SIM_ALLOW_BYTES))
			continue;
		if (k->rx_read != k->rx_total || k->tx_sub != k->tx_total || !k->closed)
			sn_sim_fail(sim, "host %c connection %u: read %llu of %llu, submitted %llu of %llu",
				    'A' + (int)a->side, i, (unsigned long long)k->rx_read,
				    (unsigned long long)k->rx_total, (unsigned long long)k->tx_sub,
				    (unsigned long long)k->tx_total);
	}
	/* Every slot is at home again. */
	for (uint32_t w = 0; w < a->workers; w++) {
		const struct sn_channel *ch = &a->ch[w].worker;
		if (ch->violated)
			sn_sim_fail(sim, "host %c worker %u says that the application broke the protocol",
				    'A' + (int)a->side, w);
		if (ch->rx_free != ch->rx_slots)
			sn_sim_fail(sim, "host %c worker %u: %u of %u receive slots are missing", 'A' + (int)a->side, w,
				    ch->rx_slots - ch->rx_free, ch->rx_slots);
	}
}

void sn_sim_check_end(struct sn_sim *sim)
{
	for (uint32_t s = 0; s < 2; s++) {
		const struct sn_sim_host *h = &sim->host[s];
		check_app(sim, &sim->app[s]);
		for (uint32_t w = 0; w < h->workers; w++) {
			if (sn_engine_conns(h->worker[w].engine))
				sn_sim_fail(sim, "host %c worker %u: %u connections left", 'A' + (int)s, w,
					    sn_engine_conns(h->worker[w].engine));
			if (!sim->app[s].dead)
				sn_engine_channel_detach(h->worker[w].engine, (uint32_t)sim->app[s].ch[w].slot,
							 sn_sim_worker_now(&h->worker[w]));
		}
		if (h->pool.bad)
			sn_sim_fail(sim, "host %c: %u buffers were freed twice", 'A' + (int)s, h->pool.bad);
	}
	for (uint32_t s = 0; s < 2; s++)
		if (sim->host[s].pool.out)
			sn_sim_fail(sim, "host %c: %u buffers were never freed", 'A' + (int)s, sim->host[s].pool.out);
}
