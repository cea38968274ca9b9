/* SPDX-License-Identifier: Apache-2.0
 *
 * Congestion controls by their RFC's rules: NewReno (5681), CUBIC (9438), HyStart++ (9406), initial window (6928), BBR,
 * pacing and delivery-rate samples.
 */
#include "tcp_pair.h"

static struct sn_tcp *tcp_of_side(struct pair *p) { return p->side[0].sub.tcp; }

/* A record in congestion avoidance with a window of so many segments. */
static struct pair *avoiding(const char *cc, uint32_t segments)
{
	struct pair *p = pair_up();

	p->cc = cc;
	dial(p);
	run_for(p, 100 * SN_MSEC);
	struct sn_tcp *t = tcp_of_side(p);
	REQUIRE(t && p->side[0].sub.established);
	t->cwnd = t->ssthresh = segments * t->mss;
	return p;
}

static void ack(struct pair *p, uint32_t segments, sn_time step)
{
	struct sn_tcp *t = tcp_of_side(p);
	struct sn_cc_ack a = {.rtt = step, .limited = true, .prior_pipe = t->cwnd};

	for (uint32_t i = 0; i < segments; i++) {
		a.acked = a.delivered = t->mss;
		a.now = p->now += step;
		t->cc->on_ack(t, &a);
	}
}

SN_TEST(rfc6928_2_the_first_flight_is_ten_segments)
{
	struct pair *p = pair_connected();

	CHECK_EQ(tcp_of_side(p)->cwnd, 10 * tcp_of_side(p)->mss);
	hang_up(p);
	pair_down(p);
}

static enum verdict drop_first_syn(struct pair *p, int from, const struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)tcp;
	return from == 0 && (seg->flags & SN_TH_SYN) && !p->script[0]++ ? DROP : PASS;
}

SN_TEST(rfc5681_3_1_after_a_lost_syn_the_first_flight_is_one_segment)
{
	struct pair *p = pair_up();

	p->filter = drop_first_syn;
	dial(p);
	run_for(p, 5 * SN_SEC);
	CHECK_EQ(tcp_of_side(p)->cwnd, tcp_of_side(p)->mss);
	hang_up(p);
	pair_down(p);
}

SN_TEST(rfc5681_4_1_after_an_idle_time_the_window_restarts)
{
	struct pair *p = avoiding("cubic", 100);
	struct sn_tcp *t = tcp_of_side(p);

	offer(&p->side[0].sub, 1448);
	CHECK(run_transfer(p, SN_SEC));
	CHECK_EQ(t->cwnd, 100 * t->mss);
	run_for(p, 60 * SN_SEC);
	CHECK(ops->room(t, p->now) <= 10 * t->mss);
	CHECK_EQ(t->cwnd, 10 * t->mss);
	CHECK(t->ssthresh >= 75 * t->mss);
	hang_up(p);
	pair_down(p);
}

SN_TEST(rfc5681_3_1_newreno_grows_by_one_segment_a_round_and_halves)
{
	struct pair *p = avoiding("newreno", 40);
	struct sn_tcp *t = tcp_of_side(p);

	ack(p, 40, SN_USEC);
	CHECK_EQ(t->cwnd, 41 * t->mss);
	t->cc->on_loss(t, p->now);
	CHECK_EQ(t->cwnd, 41 * t->mss / 2);
	CHECK_EQ(t->ssthresh, t->cwnd);
	hang_up(p);
	pair_down(p);
}

SN_TEST(rfc9438_4_6_and_4_7_reduction_by_beta_and_fast_convergence)
{
	struct pair *p = avoiding("cubic", 100);
	struct sn_tcp *t = tcp_of_side(p);

	t->cc->on_loss(t, p->now);
	CHECK_EQ(t->cwnd, (uint32_t)(100 * t->mss * 0.7));
	CHECK(t->ccs.cubic.c.w_max > 99.9 && t->ccs.cubic.c.w_max < 100.1);
	t->cc->on_loss(t, p->now); /* below the last maximum: a new flow may be there */
	CHECK(t->ccs.cubic.c.w_max > 59 && t->ccs.cubic.c.w_max < 60);
	hang_up(p);
	pair_down(p);
}

SN_TEST(rfc9438_4_4_the_window_comes_back_to_its_maximum_at_k)
{
	struct pair *p = avoiding("cubic", 1000);
	struct sn_tcp *t = tcp_of_side(p);

	t->srtt = 10 * SN_MSEC;
	t->cc->on_loss(t, p->now);
	double k = 9.0856; /* cube root of 1000 * 0.3 / 0.4 */
	sn_time began = p->now;
	while (p->now - began < (sn_time)(k * 1e9))
		ack(p, 1, 100 * SN_USEC);
	CHECK(t->cwnd >= 990 * t->mss && t->cwnd <= 1010 * t->mss);
	hang_up(p);
	pair_down(p);
}

SN_TEST(rfc9438_4_8_after_a_timeout_the_curve_starts_at_its_plateau)
{
	struct pair *p = avoiding("cubic", 100);
	struct sn_tcp *t = tcp_of_side(p);

	t->cc->on_rto(t, p->now);
	t->cwnd = t->ssthresh;
	ack(p, 1, SN_MSEC);
	CHECK(t->ccs.cubic.c.k == 0);
	CHECK(t->ccs.cubic.c.w_max < 71);
	hang_up(p);
	pair_down(p);
}

SN_TEST(rfc9438_4_9_a_spurious_loss_leaves_the_curve_as_it_was)
{
	struct pair *p = avoiding("cubic", 100);
	struct sn_tcp *t = tcp_of_side(p);

	t->undo_cwnd = t->cwnd;
	t->cc->on_loss(t, p->now);
	ack(p, 10, SN_MSEC);
	struct sn_cubic_curve before = t->ccs.cubic.c;
	uint32_t cwnd = t->cwnd, ssthresh = t->ssthresh;
	t->cc->on_loss(t, p->now);
	t->cwnd = cwnd;
	t->ssthresh = ssthresh;
	t->cc->on_undo(t, p->now);
	CHECK(memcmp(&before, &t->ccs.cubic.c, sizeof before) == 0);
	hang_up(p);
	pair_down(p);
}

SN_TEST(rfc9438_4_9_2_a_window_that_outgrew_its_old_size_keeps_its_curve)
{
	struct pair *p = avoiding("cubic", 100);
	struct sn_tcp *t = tcp_of_side(p);

	t->undo_cwnd = t->cwnd;
	t->cc->on_loss(t, p->now);
	t->srtt = 10 * SN_MSEC;
	while (t->cwnd <= t->undo_cwnd)
		ack(p, 1, SN_MSEC);
	struct sn_cubic_curve now = t->ccs.cubic.c;
	t->cc->on_undo(t, p->now);
	CHECK(memcmp(&now, &t->ccs.cubic.c, sizeof now) == 0);
	hang_up(p);
	pair_down(p);
}

SN_TEST(rfc9438_5_8_time_without_data_does_not_count)
{
	struct pair *p = avoiding("cubic", 100);
	struct sn_tcp *t = tcp_of_side(p);

	t->cc->on_loss(t, p->now);
	ack(p, 10, SN_MSEC);
	sn_time epoch = t->ccs.cubic.c.epoch;
	p->now += SN_SEC;
	t->cc->on_restart(t, SN_SEC, p->now);
	CHECK_EQ(t->ccs.cubic.c.epoch, epoch + SN_SEC);
	hang_up(p);
	pair_down(p);
}

SN_TEST(rfc9406_4_2_a_growing_round_trip_slows_and_ends_slow_start)
{
	struct pair *p = avoiding("newreno", 10);
	struct sn_tcp *t = tcp_of_side(p);
	struct sn_hystart h;
	sn_time rtt = 20 * SN_MSEC;
	bool css = false;

	t->ssthresh = INT32_MAX;
	sn_hystart_init(&h, t->snd_nxt);
	for (int round = 0; round < 12 && t->ssthresh == INT32_MAX; round++) {
		struct sn_cc_ack a = {.acked = t->mss, .rtt = rtt, .now = p->now, .limited = true};
		uint32_t before = t->cwnd;
		h.round_end = t->snd_una + 1;
		for (int i = 0; i < 10; i++)
			(void)sn_slow_start(t, &h, &a);
		CHECK(t->cwnd > before);
		if (css) /* a quarter of the pace */
			CHECK(t->cwnd - before <= 10 * t->mss / 4 + 10);
		css = h.css;
		h.round_end = t->snd_una; /* the round is acknowledged */
		(void)sn_slow_start(t, &h, &a);
		rtt += 5 * SN_MSEC;
	}
	CHECK(t->ssthresh != INT32_MAX);
	hang_up(p);
	pair_down(p);
}

SN_TEST(rfc9406_4_3_only_a_paced_sender_grows_by_more_than_eight_segments_at_once)
{
	for (int paced = 0; paced < 2; paced++) {
		struct pair *p = avoiding("cubic", 100);
		struct sn_tcp *t = tcp_of_side(p);
		struct sn_cc_ack a = {.acked = 40 * t->mss, .limited = true, .now = p->now};

		t->ssthresh = INT32_MAX;
		t->ccx.rate = paced ? 1000000 : 0;
		t->cc->on_ack(t, &a);
		CHECK_EQ(t->cwnd, (paced ? 140u : 108u) * t->mss);
		t->ccx.rate = 0;
		hang_up(p);
		pair_down(p);
	}
}

SN_TEST(rfc9406_4_2_a_round_trip_that_shrinks_again_resumes_slow_start)
{
	struct pair *p = avoiding("newreno", 10);
	struct sn_tcp *t = tcp_of_side(p);
	struct sn_hystart h;

	sn_hystart_init(&h, t->snd_nxt);
	h.css = true;
	h.css_base = 30 * SN_MSEC;
	struct sn_cc_ack a = {.acked = t->mss, .rtt = 20 * SN_MSEC, .now = p->now, .limited = true};
	t->ssthresh = INT32_MAX;
	h.round_end = t->snd_nxt + 1000000;
	for (int i = 0; i < 8; i++)
		(void)sn_slow_start(t, &h, &a);
	CHECK(!h.css);
	hang_up(p);
	pair_down(p);
}

SN_TEST(bbr_finds_the_rate_and_the_round_trip_and_paces)
{
	struct pair *p = pair_up();

	p->cc = "bbr";
	p->rate = 12500000; /* 100 Mbit/s */
	p->side[0].sub.rcvbuf = p->side[1].sub.rcvbuf = 4 << 20;
	dial(p);
	run_for(p, 100 * SN_MSEC);
	offer(&p->side[0].sub, 20u << 20);
	CHECK(run_transfer(p, 10 * SN_SEC));
	const struct sn_bbr *b = tcp_of_side(p)->ccs.bbr;
	uint64_t bw = sn_bbr_max_bw(b), line = 12500000ull * 1448 / 1514;
	CHECK(b->full_bw_reached && b->state >= SN_BBR_DOWN);
	CHECK(bw > line * 95 / 100 && bw < line * 105 / 100);
	CHECK(b->min_rtt >= 10 * SN_MSEC && b->min_rtt < 11 * SN_MSEC);
	/* No burst is longer than a quantum: three times what 100 us carry, or two segments. */
	uint32_t burst = 0, most = 0;
	sn_time last = 0;
	for (uint32_t i = p->nseen / 2; i < p->nseen; i++) {
		const struct seen *s = &p->seen[i];
		if (s->from || !s->seg.len)
			continue;
		burst = s->at == last ? burst + 1 : 1;
		last = s->at;
		most = SN_MAX(most, burst);
	}
	CHECK(most <= 4);
	hang_up(p);
	pair_down(p);
}

SN_TEST(bbr_raises_its_bound_by_twice_as_much_each_round_up_to_the_window)
{
	struct pair *p = pair_up();

	p->cc = "bbr";
	dial(p);
	run_for(p, 100 * SN_MSEC);
	struct sn_tcp *t = tcp_of_side(p);
	struct sn_bbr *b = t->ccs.bbr;
	struct sn_cc_ack a = {.now = p->now, .rs.valid = true};
	static const uint32_t raised[] = {1, 1, 2}; /* segments a round of four; then 4, no more */

	b->full_bw_reached = b->round_start = true;
	b->state = SN_BBR_UP;
	b->acks = SN_BBR_ACKS_FEEDBACK;
	t->cwnd = 4 * t->mss;
	b->probe_up_count = 4 * t->mss;
	t->limited = true;
	a.acked = a.delivered = t->cwnd;
	for (int i = 0; i < 50; i++) {
		b->inflight_hi = t->cwnd;
		sn_bbr_state_ack(t, &a);
		REQUIRE(b->state == SN_BBR_UP);
		CHECK_EQ(b->inflight_hi - t->cwnd, (i < 3 ? raised[i] : 4) * t->mss);
	}
	hang_up(p);
	pair_down(p);
}

SN_TEST(bbr_keeps_its_model_when_the_application_is_slow)
{
	struct pair *p = pair_up();

	p->cc = "bbr";
	p->rate = 12500000;
	p->side[0].sub.rcvbuf = p->side[1].sub.rcvbuf = 4 << 20;
	dial(p);
	run_for(p, 100 * SN_MSEC);
	struct sn_subflow *s = &p->side[0].sub;
	offer(s, 22u << 20);
	s->offered = 20u << 20;
	CHECK(run_transfer(p, 10 * SN_SEC));
	uint64_t bw = sn_bbr_max_bw(s->tcp->ccs.bbr);
	for (int i = 0; i < 500; i++) { /* one segment every 20 ms for 10 s */
		s->offered += 1448;
		pump(s);
		run_for(p, 20 * SN_MSEC);
	}
	CHECK(s->tcp->ccx.limited_until != 0);
	CHECK(sn_bbr_max_bw(s->tcp->ccs.bbr) >= bw * 9 / 10);
	CHECK_EQ(p->side[1].sub.received, s->offered);
	hang_up(p);
	pair_down(p);
}

SN_TEST(names_are_known_or_the_default_is_taken)
{
	CHECK(sn_cc_known("bbr") && sn_cc_known("dctcp") && sn_cc_known("newreno") && sn_cc_known("cubic"));
	CHECK(!sn_cc_known("vegas") && !sn_cc_known(NULL));
	CHECK(sn_cc_find("vegas") == &sn_cc_cubic && sn_cc_find("bbr") == &sn_cc_bbr);
}

SN_TEST_MAIN()
