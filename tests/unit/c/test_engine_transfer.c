/* SPDX-License-Identifier: Apache-2.0
 *
 * Two engines against each other through the simulator, so that whole transfers also run under the sanitizers, where every
 * packet buffer is an allocation of its own. The scenarios at length are in tests/sim.
 */
#include "sim/sim.h"
#include "sn_test.h"

static struct sn_sim_cfg scenario(uint32_t paths, uint64_t there, uint64_t back)
{
	struct sn_sim_cfg c = {.seed = 1,
			       .paths = paths,
			       .bytes_ab = there,
			       .bytes_ba = back,
			       .pm = SN_SIM_PM_SIGNAL,
			       .subflows = 8,
			       .add_addr_accepted = 8};
	for (uint32_t p = 0; p < paths; p++)
		c.ab[p] = c.ba[p] =
			(struct sn_sim_link){.rate_bps = 100000000, .delay_ns = 5 * SN_MSEC, .queue_bytes = 125000};
	return c;
}

static struct sn_sim_result run(const struct sn_sim_cfg *c)
{
	struct sn_sim_result r;

	if (sn_sim_run(c, &r) != 0) {
		fprintf(stderr, "seed %llu: %s\n", (unsigned long long)c->seed, r.failure);
		CHECK(!"the scenario completes");
	}
	return r;
}

SN_TEST(one_path_both_ways)
{
	struct sn_sim_cfg c = scenario(1, 1000000, 300000);
	c.soft_csum = 1;
	CHECK_EQ(run(&c).mptcp_conns, 1);
}

SN_TEST(three_paths_are_all_used)
{
	struct sn_sim_cfg c = scenario(3, 4000000, 0);
	struct sn_sim_result r = run(&c);
	CHECK_EQ(r.subflows_peak, 3);
	for (int p = 0; p < 3; p++)
		CHECK(r.path_payload[0][p] > 500000);
}

SN_TEST(loss_reordering_duplicates_and_corruption)
{
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct sn_sim_cfg c = scenario(1 + (uint32_t)seed % 3, 300000, 300000);
		c.seed = seed;
		c.conns = 2;
		c.csum_a = seed & 1;
		c.odd_chunks = seed & 1;
		c.closing = (uint8_t)(seed % 3);
		for (uint32_t p = 0; p < c.paths; p++) {
			c.ab[p].loss = c.ba[p].loss = 0.02;
			c.ab[p].reorder = c.ba[p].reorder = 0.02;
			c.ab[p].reorder_ns = c.ba[p].reorder_ns = 3 * SN_MSEC;
			c.ab[p].duplicate = c.ba[p].duplicate = 0.02;
			c.ab[p].corrupt = c.ba[p].corrupt = 0.01;
		}
		run(&c);
	}
}

SN_TEST(plain_tcp_on_either_side)
{
	for (int sides = 1; sides <= 3; sides++) {
		struct sn_sim_cfg c = scenario(2, 200000, 200000);
		c.tcp_a = sides & 1;
		c.tcp_b = sides >> 1;
		c.ab[0].loss = 0.01;
		CHECK_EQ(run(&c).tcp_conns, 1);
	}
}

SN_TEST(two_workers_without_steering)
{
	struct sn_sim_cfg c = scenario(3, 200000, 200000);
	c.workers_a = c.workers_b = 2;
	c.conns = 4;
	CHECK(run(&c).misdirected > 0);
}

SN_TEST(path_that_dies)
{
	struct sn_sim_cfg c = scenario(3, 4000000, 0);
	c.events = 1;
	c.event[0] = (struct sn_sim_event){.at_ns = 150 * SN_MSEC, .path = 1, .what = SN_SIM_DOWN};
	run(&c);
}

SN_TEST(slow_reader_with_little_memory)
{
	struct sn_sim_cfg c = scenario(2, 500000, 0);
	c.read_rate_b = 200000;
	c.rcvbuf = 65536;
	c.rx_slots = 8;
	run(&c);
}

SN_TEST(bad_configuration_is_refused)
{
	struct sn_sim_result r;
	struct sn_sim_cfg c = scenario(1, 1, 1);
	c.paths = 9;
	CHECK_EQ(sn_sim_run(&c, &r), SN_E_INVAL);
	c = scenario(1, 1, 1);
	c.ab[0].loss = 2;
	CHECK_EQ(sn_sim_run(&c, &r), SN_E_INVAL);
	CHECK(r.failure[0] && !r.completed);
}

SN_TEST_MAIN()
