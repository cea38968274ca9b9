/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/trace.h"

#include "sim/sim.h"

bool sn_sim_trace_open(struct sn_sim *sim)
{
	if (!sim->cfg->trace[0])
		return true;
	sim->trace.file = fopen(sim->cfg->trace, "w");
	if (!sim->trace.file) {
		sn_sim_fail(sim, "cannot write %s", sim->cfg->trace);
		return false;
	}
	fputs("time_s,conn,received,cwnd,ssthresh,in_flight,srtt_us,min_rtt_us,queue_bytes\n", sim->trace.file);
	sim->trace.at = sim->start;
	return true;
}

void sn_sim_trace_row(struct sn_sim *sim)
{
	const struct sn_sim_app *a = &sim->app[0];
	uint64_t queue = sim->cfg->ab[0].rate_bps ? sn_sim_half_backlog(&sim->link[0][0], sim->now) : 0;

	for (uint32_t i = 0; i < a->conns; i++) {
		const struct sn_sim_conn *k = &a->conn[i], *peer;
		struct sn_subflow_info s = {0};
		if (!k->open || k->closed || !(peer = sn_sim_app_peer(a, k)))
			continue;
		(void)sn_engine_subflow_info(sim->host[0].worker[k->worker].engine, k->conn, &s, 1);
		fprintf(sim->trace.file, "%.9f,%u,%llu,%u,%u,%u,%.3f,%.3f,%llu\n",
			(double)(sim->now - sim->start) * 1e-9, i, (unsigned long long)peer->rx_got, s.cwnd, s.ssthresh,
			s.in_flight, (double)s.srtt_ns * 1e-3, (double)s.min_rtt_ns * 1e-3, (unsigned long long)queue);
	}
	sim->trace.at += sim->cfg->trace_ns;
}

void sn_sim_trace_close(struct sn_sim *sim)
{
	if (sim->trace.file)
		fclose(sim->trace.file);
	sim->trace.file = NULL;
}
