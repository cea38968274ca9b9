/* SPDX-License-Identifier: Apache-2.0
 *
 * One direction of a netlab link without sockets: frames go in at chosen times, and come out when and as they should.
 */
#include "netlab/netlab.h"

#include "sn_test.h"

enum { FRAME = 1514, BUFFERS = 4096 };

struct lane {
	struct sn_netlab_pool pool;
	struct sn_netlab_dir dir;
	uint64_t out;
};

static void lane_open(struct lane *l, const struct sn_netlab_link *what)
{
	REQUIRE(sn_netlab_pool_init(&l->pool, FRAME, BUFFERS));
	sn_netlab_dir_init(&l->dir, 7, 0);
	sn_netlab_dir_set(&l->dir, what);
	l->out = 0;
}

static void lane_close(struct lane *l)
{
	struct sn_netlab_link down = {.down = 1};

	sn_netlab_dir_set(&l->dir, &down);
	CHECK_EQ(l->pool.used, 0);
	sn_netlab_pool_close(&l->pool);
}

/* An IPv4 frame of zeros. */
static void push(struct lane *l, uint32_t length, sn_time now)
{
	struct sn_buf *b = sn_buf_alloc(&l->pool.pool);

	REQUIRE(b != NULL);
	b->len = SN_MIN(length, (uint32_t)FRAME);
	memset(b->data, 0, b->len);
	sn_put16(b->data + 12, 0x0800);
	sn_netlab_dir_push(&l->dir, b, length, now);
}

/* When the next frame leaves; 0: nothing waits. */
static sn_time pull(struct lane *l)
{
	sn_time due = sn_sim_half_next(&l->dir.half);

	if (due == SN_TIME_NEVER)
		return 0;
	struct sn_buf *b = sn_netlab_dir_pull(&l->dir, due);
	if (b) {
		sn_netlab_dir_sent(&l->dir, b, due, due);
		sn_buf_free(b);
		l->out++;
	}
	return due;
}

static struct sn_netlab_stats stats(const struct lane *l)
{
	struct sn_netlab_stats s;

	sn_netlab_dir_stats(&l->dir, 0, &s);
	return s;
}

static void check_sum(const struct lane *l)
{
	struct sn_netlab_stats s = stats(l);

	CHECK_EQ(s.rx_frames + s.duplicated, s.lost + s.burst_lost + s.overflow + s.down_lost + s.too_big +
						     s.no_buffer + s.tx_frames + s.tx_failed + s.waiting);
}

SN_TEST(frames_leave_at_the_rate_and_after_the_delay)
{
	struct sn_netlab_link what = {.link = {.rate_bps = 100000000, .delay_ns = 5 * SN_MSEC}};
	struct lane l;

	lane_open(&l, &what);
	for (uint32_t i = 0; i < 10; i++)
		push(&l, 1250, SN_SEC);
	for (uint32_t i = 1; i <= 10; i++)
		CHECK_EQ(pull(&l), SN_SEC + i * 100 * SN_USEC + 5 * SN_MSEC);
	CHECK_EQ(pull(&l), 0);
	CHECK_EQ(stats(&l).delay_ns, 55 * 100 * SN_USEC + 10 * 5 * SN_MSEC);
	check_sum(&l);
	lane_close(&l);
}

SN_TEST(a_full_queue_drops_what_comes_last)
{
	struct sn_netlab_link what = {.link = {.rate_bps = 10000000, .queue_bytes = 10000}};
	struct lane l;

	lane_open(&l, &what);
	for (uint32_t i = 0; i < 50; i++)
		push(&l, 1000, SN_SEC);
	CHECK_EQ(stats(&l).overflow, 40);
	CHECK_EQ(stats(&l).waiting, 10);
	while (pull(&l)) {
	}
	CHECK_EQ(l.out, 10);
	check_sum(&l);
	lane_close(&l);
}

SN_TEST(independent_loss_has_its_share)
{
	struct sn_netlab_link what = {.link = {.loss = 0.05}};
	struct lane l;

	lane_open(&l, &what);
	for (uint32_t i = 0; i < 100000; i++) {
		push(&l, 100, SN_SEC + i);
		pull(&l);
	}
	/* Five standard deviations. */
	CHECK(stats(&l).lost > 4655 && stats(&l).lost < 5345);
	check_sum(&l);
	lane_close(&l);
}

SN_TEST(burst_loss_comes_in_bursts_and_has_its_share)
{
	/* One frame in 400 starts a burst of 4 on average: 1 % in all. */
	struct sn_netlab_link what = {.burst_enter = 0.0025, .burst_leave = 0.25, .burst_loss = 1};
	struct lane l;
	uint64_t bursts = 0, last = 0;
	bool losing = false;

	lane_open(&l, &what);
	for (uint32_t i = 0; i < 200000; i++) {
		push(&l, 100, SN_SEC + i);
		pull(&l);
		uint64_t lost = stats(&l).burst_lost;
		if (lost != last && !losing)
			bursts++;
		losing = lost != last;
		last = lost;
	}
	CHECK(last > 1600 && last < 2400);
	CHECK(bursts > 400 && bursts < 600);
	CHECK_EQ(stats(&l).lost, 0);
	check_sum(&l);
	lane_close(&l);
}

SN_TEST(a_lost_frame_takes_its_time_on_the_wire)
{
	struct sn_netlab_link what = {
		.link = {.rate_bps = 100000000}, .burst_enter = 1, .burst_leave = 0, .burst_loss = 1};
	struct lane l;

	lane_open(&l, &what);
	push(&l, 1250, SN_SEC);
	what.burst_enter = 0;
	sn_netlab_dir_set(&l.dir, &what);
	push(&l, 1250, SN_SEC);
	pull(&l);
	CHECK_EQ(l.out, 0);
	CHECK_EQ(pull(&l), SN_SEC + 200 * SN_USEC);
	CHECK_EQ(l.out, 1);
	lane_close(&l);
}

SN_TEST(what_is_longer_than_the_mtu_vanishes)
{
	struct sn_netlab_link what = {.mtu = 1280};
	struct lane l;

	lane_open(&l, &what);
	push(&l, 1280 + 14, SN_SEC);
	push(&l, 1280 + 15, SN_SEC);
	push(&l, 9000, SN_SEC); /* did not even fit into the buffer */
	while (pull(&l)) {
	}
	CHECK_EQ(l.out, 1);
	CHECK_EQ(stats(&l).too_big, 2);
	check_sum(&l);
	lane_close(&l);
}

SN_TEST(going_down_loses_what_is_under_way_and_coming_up_starts_anew)
{
	struct sn_netlab_link what = {.link = {.rate_bps = 1000000, .delay_ns = SN_SEC}};
	struct lane l;

	lane_open(&l, &what);
	for (uint32_t i = 0; i < 3; i++)
		push(&l, 1250, SN_SEC);
	what.down = 1;
	sn_netlab_dir_set(&l.dir, &what);
	push(&l, 1250, SN_SEC);
	CHECK_EQ(pull(&l), 0);
	CHECK_EQ(stats(&l).down_lost, 4);
	CHECK_EQ(stats(&l).lost, 0);
	what.down = 0;
	sn_netlab_dir_set(&l.dir, &what);
	push(&l, 1250, 2 * SN_SEC);
	CHECK_EQ(pull(&l), 3 * SN_SEC + 10 * SN_MSEC);
	check_sum(&l);
	lane_close(&l);
}

SN_TEST(corruption_flips_one_bit_of_the_packet)
{
	struct sn_netlab_link what = {.link = {.corrupt = 1}};
	struct lane l;

	lane_open(&l, &what);
	for (uint32_t i = 0; i < 100; i++) {
		push(&l, 60, SN_SEC);
		struct sn_buf *b = sn_netlab_dir_pull(&l.dir, SN_SEC);
		uint32_t bits = 0;

		REQUIRE(b != NULL);
		CHECK_EQ(sn_get16(b->data + 12), 0x0800);
		for (uint32_t k = 14; k < b->len; k++)
			bits += (uint32_t)__builtin_popcount(b->data[k]);
		CHECK_EQ(bits, 1);
		sn_netlab_dir_sent(&l.dir, b, SN_SEC, SN_SEC);
		sn_buf_free(b);
	}
	CHECK_EQ(stats(&l).corrupted, 100);
	lane_close(&l);
}

SN_TEST(duplicates_and_held_frames_are_counted)
{
	struct sn_netlab_link what = {
		.link = {.delay_ns = SN_MSEC, .duplicate = 0.1, .reorder = 0.1, .reorder_ns = SN_MSEC}};
	struct lane l;

	lane_open(&l, &what);
	for (uint32_t i = 0; i < 10000; i++) {
		push(&l, 100, SN_SEC + i * SN_USEC);
		while (sn_sim_half_next(&l.dir.half) <= SN_SEC + i * SN_USEC)
			pull(&l);
	}
	while (pull(&l)) {
	}
	CHECK(stats(&l).duplicated > 850 && stats(&l).duplicated < 1150);
	CHECK(stats(&l).reordered > 850 && stats(&l).reordered < 1150);
	CHECK_EQ(l.out, 10000 + stats(&l).duplicated);
	check_sum(&l);
	lane_close(&l);
}

/* --- middlebox --- */

enum { HEADERS = 14 + 20 + 20, DSS = 8 };

/* An IPv4 segment with `payload` bytes that begin at `seq`, and the shortest DSS there is: a DATA_ACK. */
static void segment(struct sn_netlab *lab, uint32_t seq, uint32_t payload, uint8_t ack)
{
	struct sn_buf *b = sn_buf_alloc(&lab->pool.pool);
	struct sn_sim_frame f;

	REQUIRE(b != NULL);
	memset(b->data, 0, HEADERS + DSS);
	sn_put16(b->data + 12, 0x0800);
	b->data[14] = 0x45;
	sn_put16(b->data + 16, (uint16_t)(HEADERS - 14 + DSS + payload));
	b->data[23] = 6;
	b->data[46] = (20 + DSS) / 4 << 4;
	b->data[47] = SN_SIM_ACK;
	sn_put32(b->data + 38, seq);
	memcpy(b->data + HEADERS, (uint8_t[]){SN_SIM_KIND_MPTCP, DSS, 0x20, 1, 0, 0, 0, ack}, DSS);
	for (uint32_t i = 0; i < payload; i++)
		b->data[HEADERS + DSS + i] = (uint8_t)(seq + i);
	b->len = HEADERS + DSS + payload;
	REQUIRE(sn_sim_frame_parse(&f, b));
	sn_sim_frame_finish(&f, b, true);
	sn_netlab_box_send(lab, 0, b, SN_SEC);
}

/* The next segment that leaves; *seq moves behind it. Returns its payload, and whether it has the MPTCP option. */
static uint32_t leaves(struct sn_netlab *lab, uint32_t *seq, bool *mptcp)
{
	struct sn_buf *b = sn_netlab_dir_pull(&lab->dir[0], 2 * SN_SEC);
	struct sn_sim_frame f;
	uint32_t at = 0;

	if (!b)
		return 0;
	REQUIRE(sn_sim_frame_parse(&f, b));
	CHECK_EQ(sn_sim_frame_seq(&f), *seq);
	for (uint32_t i = 0; i < f.payload; i++)
		CHECK_EQ(f.data[i], (uint8_t)(*seq + i));
	uint16_t sum = sn_get16(f.tcp + 16);
	sn_sim_frame_finish(&f, b, true);
	CHECK_EQ(sn_get16(f.tcp + 16), sum);
	const uint8_t *o = sn_sim_frame_option(&f, &at);
	*mptcp = o && o[0] == SN_SIM_KIND_MPTCP;
	uint32_t n = f.payload;
	*seq += n;
	sn_buf_free(b);
	return n;
}

static struct sn_netlab *boxed(const struct sn_sim_box *what)
{
	struct sn_netlab *lab = sn_netlab_new(FRAME, BUFFERS, 0);

	REQUIRE(lab != NULL);
	sn_netlab_dir_init(&lab->dir[0], 7, 0);
	sn_netlab_box_init(lab, 0, 7);
	lab->links = 1;
	lab->port[0].fd = lab->port[1].fd = -1;
	CHECK_EQ(sn_netlab_set_box(lab, 0, what), 0);
	return lab;
}

SN_TEST(box_cuts_segments_with_all_options_on_each)
{
	struct sn_sim_box what = {.split = 400};
	struct sn_netlab *lab = boxed(&what);
	uint32_t seq = 5;
	bool mptcp;

	segment(lab, 5, 1000, 9);
	CHECK_EQ(leaves(lab, &seq, &mptcp), 400);
	CHECK(mptcp);
	CHECK_EQ(leaves(lab, &seq, &mptcp), 400);
	CHECK(mptcp);
	CHECK_EQ(leaves(lab, &seq, &mptcp), 200);
	CHECK(mptcp);
	CHECK_EQ(leaves(lab, &seq, &mptcp), 0);
	CHECK_EQ(lab->pool.used, SN_NETLAB_BATCH);
	sn_netlab_free(lab);
}

SN_TEST(box_joins_what_follows_and_lets_go_of_the_last_in_time)
{
	struct sn_sim_box what = {.flags = SN_SIM_BOX_DUMB, .coalesce = 1000, .coalesce_ns = SN_MSEC};
	struct sn_netlab *lab = boxed(&what);
	uint32_t seq = 1;
	bool mptcp;

	for (uint32_t i = 0; i < 3; i++)
		segment(lab, 1 + i * 500, 500, (uint8_t)i);
	CHECK_EQ(leaves(lab, &seq, &mptcp), 1000);
	CHECK(mptcp);
	CHECK_EQ(leaves(lab, &seq, &mptcp), 0);
	CHECK_EQ(sn_sim_middle_next(&lab->box[0].middle), SN_SEC + SN_MSEC);
	sn_sim_middle_flush(&lab->box[0].middle, SN_SEC + SN_MSEC);
	CHECK_EQ(leaves(lab, &seq, &mptcp), 500);
	/* What it held when it was taken out is lost, like all that is inside a box that is switched off. */
	segment(lab, seq, 500, 9);
	CHECK_EQ(sn_netlab_set_box(lab, 0, &(struct sn_sim_box){0}), 0);
	CHECK_EQ(sn_sim_middle_next(&lab->box[0].middle), SN_TIME_NEVER);
	CHECK_EQ(lab->pool.used, SN_NETLAB_BATCH);
	sn_netlab_free(lab);
}

SN_TEST(box_that_respects_options_joins_segments_with_the_same_ones_only)
{
	struct sn_sim_box what = {.coalesce = 1000, .coalesce_ns = SN_MSEC};
	struct sn_netlab *lab = boxed(&what);
	uint32_t seq = 1;
	bool mptcp;

	segment(lab, 1, 400, 7);
	segment(lab, 401, 400, 7);
	segment(lab, 801, 200, 8);
	CHECK_EQ(leaves(lab, &seq, &mptcp), 800);
	CHECK(mptcp);
	CHECK_EQ(leaves(lab, &seq, &mptcp), 0);
	sn_sim_middle_flush(&lab->box[0].middle, SN_SEC + SN_MSEC);
	CHECK_EQ(leaves(lab, &seq, &mptcp), 200);
	CHECK(mptcp);
	sn_netlab_free(lab);
}

SN_TEST(box_strips_options_and_a_nat_is_refused)
{
	struct sn_sim_box what = {.strip_data = 1u << SN_SIM_KIND_MPTCP};
	struct sn_netlab *lab = boxed(&what);
	uint32_t seq = 1;
	bool mptcp;

	segment(lab, 1, 100, 9);
	CHECK_EQ(leaves(lab, &seq, &mptcp), 100);
	CHECK(!mptcp);
	CHECK_EQ(sn_netlab_set_box(lab, 0, &(struct sn_sim_box){.flags = SN_SIM_BOX_NAT}), SN_E_INVAL);
	CHECK_EQ(sn_netlab_set_box(lab, 1, &what), SN_E_INVAL);
	sn_netlab_free(lab);
}

SN_TEST_MAIN()
