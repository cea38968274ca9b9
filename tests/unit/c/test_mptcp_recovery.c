/* SPDX-License-Identifier: Apache-2.0
 *
 * Paths that break in the middle of a transfer: how long the receiver waits, what the others make of it, and how soon a path
 * that comes back is in use. Three paths of 100 Mbit/s and 10 ms round trip, one bandwidth-delay product of queue.
 */
#include "mptcp_pair.h"

static struct pair p;

enum { RATE = 12500000 };

/* Keeps the sender's queue filled for a while. */
static void stream(sn_time span)
{
	for (sn_time end = p.now + span; p.now < end;) {
		struct side *s = &p.s[A];
		uint64_t out = s->sent - s->given_back;
		if (out < ARENA - 65536)
			pair_send(&p, A, (uint32_t)SN_MIN(ARENA - 65536 - out, 262144u));
		pair_run(&p, SN_MSEC);
	}
}

static void begin(uint32_t paths)
{
	pair_init(&p, 4u << 20);
	p.queue = RATE / 100;
	for (uint32_t i = 0; i < PATHS; i++)
		p.rate[i] = RATE;
	for (uint32_t i = 1; i < paths; i++)
		pair_endpoint(&p, B, i, SN_EP_SIGNAL);
	pair_connect(&p, 0);
	pair_run(&p, 50 * SN_MSEC);
	stream(SN_SEC);
	CHECK_EQ(pair_subflows(&p, A), paths);
}

static void end(void)
{
	pair_run(&p, 20 * SN_SEC);
	pair_check_streams(&p);
	pair_close(&p);
}

static sn_time largest_srtt(void)
{
	struct sn_subflow_info info[SN_MAX_SUBFLOWS];
	uint32_t n = sn_engine_subflow_info(p.s[A].e, p.s[A].conn, info, SN_MAX_SUBFLOWS);
	sn_time most = 0;
	for (uint32_t i = 0; i < n; i++)
		most = SN_MAX(most, (sn_time)info[i].srtt_ns);
	return most;
}

static void watch(void)
{
	p.s[B].gap = 0;
	p.s[B].last_got = p.now;
}

/* Each of the three paths in turn, at several moments. */
SN_TEST(black_hole_in_mid_transfer_costs_three_round_trips_at_most)
{
	for (uint32_t dead = 0; dead < 3; dead++) {
		for (uint32_t later = 0; later < 4; later++) {
			begin(3);
			stream(later * 7 * SN_MSEC);
			sn_time srtt = largest_srtt();
			watch();
			p.down[dead] = true;
			stream(100 * SN_MSEC);
			sn_time gap = p.s[B].gap;
			uint64_t from = p.s[B].got;
			stream(300 * SN_MSEC);
			uint64_t rate = (p.s[B].got - from) * 10 / 3;
			if (getenv("SHOW"))
				fprintf(stderr, "path %u: srtt %.1f ms, gap %.1f ms, %.1f of %.1f MB/s\n", dead,
					(double)srtt / 1e6, (double)gap / 1e6, (double)rate / 1e6, 2.0 * RATE / 1e6);
			CHECK(gap <= 3 * srtt + 5 * SN_MSEC);
			CHECK(rate >= 2ull * RATE * 9 / 10 * 1400 / 1514);
			p.down[dead] = false;
			end();
		}
	}
}

SN_TEST(two_of_three_paths_break_one_after_the_other)
{
	begin(3);
	watch();
	p.down[0] = true;
	stream(15 * SN_MSEC);
	p.down[1] = true;
	stream(500 * SN_MSEC);
	if (getenv("SHOW"))
		fprintf(stderr, "gap %.1f ms\n", (double)p.s[B].gap / 1e6);
	CHECK(p.s[B].gap <= 120 * SN_MSEC);
	p.down[0] = p.down[1] = false;
	end();
}

SN_TEST(all_paths_lost_for_twenty_seconds_then_all_are_used_again_within_a_second)
{
	begin(3);
	for (int i = 0; i < 3; i++)
		p.down[i] = true;
	stream(20 * SN_SEC);
	uint64_t before = p.s[B].got;
	for (int i = 0; i < 3; i++)
		p.down[i] = false;
	stream(SN_SEC);
	CHECK(p.s[B].got > before);
	struct sn_subflow_info info[SN_MAX_SUBFLOWS];
	CHECK_EQ(sn_engine_subflow_info(p.s[A].e, p.s[A].conn, info, SN_MAX_SUBFLOWS), 3);
	for (int i = 0; i < 3; i++)
		CHECK(!info[i].stale);
	CHECK_EQ(p.s[A].closed + p.s[B].closed, 0);
	end();
}

SN_TEST(restored_path_is_used_again_within_a_second)
{
	struct sn_subflow_info info[SN_MAX_SUBFLOWS];
	begin(3);
	p.down[1] = true;
	stream(7 * SN_SEC);
	CHECK(p.s[A].e->counters.SubflowStale >= 1);
	p.down[1] = false;
	uint64_t frames = 0;
	sn_engine_subflow_info(p.s[A].e, p.s[A].conn, info, SN_MAX_SUBFLOWS);
	for (int i = 0; i < 3; i++)
		if (info[i].raddr[14] == 1)
			frames = info[i].bytes_acked;
	stream(SN_SEC);
	sn_engine_subflow_info(p.s[A].e, p.s[A].conn, info, SN_MAX_SUBFLOWS);
	for (int i = 0; i < 3; i++)
		if (info[i].raddr[14] == 1)
			CHECK(info[i].bytes_acked > frames + 1000000 && !info[i].stale);
	CHECK(p.s[A].e->counters.SubflowRecover >= 1);
	end();
}

/* The last segments of a transfer are lost: nothing follows that would show it. */
SN_TEST(lost_tail_is_sent_again_on_another_path)
{
	begin(2);
	pair_run(&p, SN_SEC);
	p.down[0] = p.down[1] = false;
	watch();
	p.down[0] = true;
	pair_send(&p, A, 200);
	pair_run(&p, 30 * SN_MSEC);
	pair_send(&p, A, 200);
	pair_run(&p, 150 * SN_MSEC);
	CHECK_EQ(p.s[B].got, p.s[A].sent);
	p.down[0] = false;
	end();
}

SN_TEST(paths_without_loss_reinject_nothing)
{
	begin(3);
	uint64_t before = p.s[A].e->counters.MPTCPRetrans, doubts = p.s[A].e->counters.tcp_probes;
	stream(5 * SN_SEC);
	CHECK_EQ(p.s[A].e->counters.SubflowStale, 0);
	CHECK(p.s[A].e->counters.MPTCPRetrans - before <= 3);
	CHECK(p.s[A].e->counters.tcp_probes - doubts <= 3);
	end();
}

/* A receiver that acknowledges at TCP level and keeps its DATA_ACK back until something old comes again, as the kernel's
 * does after its queue was full. state: 1 hold back, 2 told by a repetition. */
static struct {
	uint32_t ack;
	sn_time heard, resumed; /* last acknowledgement at A before the repetition; first new data after it */
	uint64_t high;
} stall;

static bool hold_data_ack(struct pair *q, int to, uint32_t path, struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)path;
	if (!(seg->mp.present & SN_MP_BIT(SN_MP_DSS)))
		return true;
	if (to == B && seg->len && (seg->mp.dss.flags & SN_DSS_MAP)) {
		if ((int64_t)(seg->mp.dss.dsn - stall.high) > 0) {
			stall.high = seg->mp.dss.dsn;
			if (q->state == 2 && !stall.resumed)
				stall.resumed = q->now;
		} else if (q->state == 1 && (uint32_t)seg->mp.dss.dsn == stall.ack) {
			q->state = 2;
		}
	}
	if (to == A && q->state == 1) {
		stall.heard = q->now + 5 * SN_MSEC;
		for (uint32_t i = 20; i < seg->hdr_len; i += tcp[i] <= 1 ? 1 : tcp[i + 1])
			if (tcp[i] == 30 && tcp[i + 2] >> 4 == 2) {
				uint8_t *low = tcp + i + (tcp[i + 3] & SN_DSS_ACK64 ? 8 : 4);
				if (!stall.ack)
					stall.ack = sn_get32(low);
				sn_put32(low, stall.ack);
			}
	}
	return true;
}

SN_TEST(receiver_that_forgets_its_data_ack_costs_two_round_trips)
{
	begin(2);
	memset(&stall, 0, sizeof stall);
	p.filter = hold_data_ack;
	stream(100 * SN_MSEC);
	sn_time before = largest_srtt();
	p.state = 1;
	stall.ack = 0;
	stream(SN_SEC);
	if (getenv("SHOW"))
		fprintf(stderr, "stall %.1f ms, srtt %.1f ms\n", (double)(stall.resumed - stall.heard) / 1e6,
			(double)before / 1e6);
	CHECK_EQ(p.state, 2);
	/* From the moment on when everything is acknowledged at TCP level. The application's turn is one more ms. */
	CHECK(stall.resumed - stall.heard <= 2 * before + 2 * SN_MSEC);
	p.filter = NULL;
	end();
}

PAIR_TEST_MAIN()
