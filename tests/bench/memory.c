/* SPDX-License-Identifier: Apache-2.0
 *
 * What connections take of an engine's tables while nothing happens on them: two engines in virtual time, CONNS
 * connections that carried a little data and are quiet, then one more subflow for each. Tables are looked at before and
 * after; the difference is what is printed, per connection and per subflow:
 *
 *   TABLE item_size index_size count connections subflows      (records per connection and per added subflow)
 *   = bytes_per_connection bytes_per_subflow tables_bytes timers buffers
 *
 * tables_bytes is the whole region, which is in memory from the start; timers and buffers are those still in use.
 */
#include <inttypes.h>

#define PAIR_CONNS    4096
#define PAIR_SUBFLOWS 8192
#include "mptcp_pair.h"

enum { CONNS = 1000, WARM = 8, BYTES = 3000, TABLES = 16 };
#define QUIET (300 * SN_SEC) /* longer than any timer of a connection that is well */

static uint32_t tables(const struct pair *p, struct sn_table_info *t) { return sn_engine_tables(p->s[A].e, t, TABLES); }

static void open_many(struct pair *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t before = p->s[B].opened;
		pair_submit(p, A, connect_sqe(0));
		pair_run(p, 40 * SN_MSEC);
		REQUIRE(p->s[B].opened == before + 1 && p->s[A].mptcp && p->s[B].mptcp);
		pair_send(p, A, BYTES);
		pair_send(p, B, BYTES);
		pair_run(p, 40 * SN_MSEC);
	}
	pair_run(p, QUIET);
}

SN_TEST(memory)
{
	static struct pair p;
	struct sn_table_info before[TABLES], opened[TABLES], joined[TABLES];

	pair_init(&p, 0);
	pair_submit(&p, B, (struct sn_sqe){.op = SN_OP_LISTEN, .lport = PEER_PORT, .len = 16, .user = 22});
	pair_run(&p, SN_MSEC);
	open_many(&p, WARM);
	tables(&p, before);
	open_many(&p, CONNS);
	tables(&p, opened);
	struct sn_pm_limits two = p.s[A].e->cfg.limits;
	two.ndiffports = 2;
	sn_engine_limits_set(p.s[A].e, &two);
	pair_run(&p, QUIET);
	uint32_t n = tables(&p, joined);

	double conn = 0, subflow = 0;
	for (uint32_t i = 0; i < n; i++) {
		double c = (double)(opened[i].used - before[i].used) / CONNS;
		double s = (double)(joined[i].used - opened[i].used) / (WARM + CONNS);
		uint32_t size = joined[i].item_size + joined[i].index_size;
		conn += c * size;
		subflow += s * size;
		printf("%s %u %u %u %.3f %.3f\n", sn_engine_table_name(i), joined[i].item_size, joined[i].index_size,
		       joined[i].count, c, s);
	}
	printf("= %.0f %.0f %zu %u %u\n", conn, subflow, p.s[A].e->region.used, p.s[A].e->wheel.armed, p.s[A].pool.out);
	pair_check_streams(&p);
	pair_close(&p);
}

SN_TEST_MAIN()
