/* SPDX-License-Identifier: Apache-2.0 */
#include "lcore/lcore.h"

int sn_worker_endpoint_add(struct sn_worker *w, const struct sn_endpoint *ep)
{
	return sn_engine_endpoint_add(w->engine, ep, w->now);
}

int sn_worker_endpoint_del(struct sn_worker *w, uint8_t id) { return sn_engine_endpoint_del(w->engine, id, w->now); }
void sn_worker_limits_set(struct sn_worker *w, const struct sn_pm_limits *limits)
{
	sn_engine_limits_set(w->engine, limits);
}

int sn_worker_pm_command(struct sn_worker *w, const struct sn_pm_command *cmd)
{
	return sn_engine_pm_command(w->engine, cmd, w->now);
}

void sn_worker_watch(struct sn_worker *w, bool on) { sn_engine_watch(w->engine, on); }

uint32_t sn_worker_events(struct sn_worker *w, struct sn_pm_event *out, uint32_t n, uint64_t *lost)
{
	return sn_engine_events(w->engine, out, n, lost);
}

void sn_worker_news_watch(struct sn_worker *w) { sn_engine_news_watch(w->engine); }

uint32_t sn_worker_news(struct sn_worker *w, struct sn_neigh_news *out, uint32_t n)
{
	return sn_engine_news(w->engine, out, n);
}

int sn_worker_order(struct sn_worker *w, const struct sn_neigh_order *order)
{
	return sn_engine_order(w->engine, order, w->now);
}

void sn_worker_drain(struct sn_worker *w) { sn_engine_drain(w->engine, w->now); }

void sn_worker_abort(struct sn_worker *w)
{
	for (uint32_t i = 0; i < SN_MAX_CHANNELS; i++)
		if (w->channel[i].session)
			sn_worker_channel_detach(w, w->channel[i].session);
}

uint32_t sn_worker_conns(const struct sn_worker *w) { return sn_engine_conns(w->engine); }
uint64_t sn_worker_now(const struct sn_worker *w) { return w->now; }

uint32_t sn_worker_conn_info(const struct sn_worker *w, uint32_t *cursor, struct sn_conn_info *out, uint32_t n)
{
	return sn_engine_conn_info(w->engine, cursor, out, n);
}

uint32_t sn_worker_subflow_info(const struct sn_worker *w, uint32_t conn, struct sn_subflow_info *out, uint32_t n)
{
	return sn_engine_subflow_info(w->engine, conn, out, n);
}

uint32_t sn_worker_tables(const struct sn_worker *w, struct sn_table_info *out, uint32_t n)
{
	return sn_engine_tables(w->engine, out, n);
}

const char *sn_worker_table_name(uint32_t i) { return sn_engine_table_name(i); }

uint32_t sn_worker_counters(const struct sn_worker *w, uint64_t *out, uint32_t n)
{
	uint32_t i;
	for (i = 0; i < n && i < sn_counter_count(); i++)
		out[i] = sn_engine_counter(w->engine, i);
	return i;
}

const char *sn_worker_counter_name(uint32_t i) { return sn_counter_name(i); }
uint32_t sn_worker_pool_free(const struct sn_worker *w) { return sn_bufs_free_count(w->bufs); }
uint32_t sn_worker_pool_size(const struct sn_worker *w) { return w->bufs->count; }
uint32_t sn_worker_pool_lent(const struct sn_worker *w) { return sn_bufs_lent_count(w->bufs); }
