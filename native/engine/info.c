/* SPDX-License-Identifier: Apache-2.0
 *
 * Views on an engine: counters, tables, connections. Read only.
 */
#include "engine/engine.h"

static const struct {
	const char *name, *help;
} counter_text[] = {
#define SN_COUNTER_TEXT(name, help) {#name, help},
	SN_COUNTERS(SN_COUNTER_TEXT)
#undef SN_COUNTER_TEXT
};

uint32_t sn_counter_count(void) { return SN_COUNTER_COUNT; }
const char *sn_counter_name(uint32_t i) { return i < SN_COUNTER_COUNT ? counter_text[i].name : NULL; }
const char *sn_counter_help(uint32_t i) { return i < SN_COUNTER_COUNT ? counter_text[i].help : NULL; }

uint64_t sn_engine_counter(const struct sn_engine *e, uint32_t i)
{
	return i < SN_COUNTER_COUNT ? ((const uint64_t *)(const void *)&e->counters)[i] : 0;
}

/* One row per slab that is worth a line in `sennit status`. */
static const struct {
	const char *name;
	size_t offset; /* of its slab */
	size_t heads;  /* of the mask of its hash table, 0: it has none */
	size_t beside; /* bytes per record that lie in arrays of their own */
} table[] = {
	{"connections", offsetof(struct sn_engine, mptcp.conns), offsetof(struct sn_engine, mptcp.bucket_mask),
	 sizeof *((const struct sn_mptcp *)0)->generation},
	{"subflows", offsetof(struct sn_engine, mptcp.subflows), 0, 0},
	{"chunks", offsetof(struct sn_engine, mptcp.chunks), 0, 0},
	{"sent", offsetof(struct sn_engine, mptcp.sents), 0, 0},
	{"listeners", offsetof(struct sn_engine, mptcp.listeners), 0, 0},
	{"tcp", offsetof(struct sn_engine, tcp.conns), 0, 0},
	{"segments", offsetof(struct sn_engine, tcp.segs), 0, 0},
	{"bbr", offsetof(struct sn_engine, tcp.bbr), 0, 0},
	{"flows", offsetof(struct sn_engine, net.nodes), offsetof(struct sn_engine, net.bucket_mask), 0},
};
enum { TABLES = sizeof table / sizeof table[0] };

const char *sn_engine_table_name(uint32_t i) { return i < TABLES ? table[i].name : NULL; }

uint32_t sn_engine_tables(const struct sn_engine *e, struct sn_table_info *out, uint32_t n)
{
	uint32_t i;
	for (i = 0; i < TABLES && i < n; i++) {
		const struct sn_slab *s = (const void *)((const char *)e + table[i].offset);
		size_t beside = sizeof *s->next_free + table[i].beside;
		if (table[i].heads) {
			uint32_t mask = *(const uint32_t *)(const void *)((const char *)e + table[i].heads);
			beside += ((size_t)mask * sizeof(void *) + s->count) / s->count;
		}
		out[i] = (struct sn_table_info){s->used, s->peak, s->count, s->item_size, (uint32_t)beside};
	}
	return i;
}

uint32_t sn_engine_conn_info(const struct sn_engine *e, uint32_t *cursor, struct sn_conn_info *out, uint32_t n)
{
	return sn_mptcp_conn_info(e, cursor, out, n);
}

uint32_t sn_engine_subflow_info(const struct sn_engine *e, uint32_t conn, struct sn_subflow_info *out, uint32_t n)
{
	return sn_mptcp_subflow_info(e, conn, out, n);
}
