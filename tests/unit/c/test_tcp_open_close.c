/* SPDX-License-Identifier: Apache-2.0
 *
 * How flows begin and end: handshake, its repeats, FIN both ways, RST, TIME_WAIT, and segments that do not fit.
 */
#include "tcp_pair.h"

static struct sn_tcp *tcp(struct pair *p, int i) { return p->side[i].sub.tcp; }

SN_TEST(handshake_agrees_on_mss_scale_sack_and_timestamps)
{
	struct pair *p = pair_connected();

	for (int i = 0; i < 2; i++) {
		struct sn_tcp_estimate est;
		ops->estimate(tcp(p, i), &est);
		CHECK_EQ(est.mss, 1448);
		CHECK_EQ(est.state, SN_TCP_ESTABLISHED);
		CHECK_EQ(est.cwnd, 14480);
		/* The first SYN waited for ARP. */
		CHECK(est.srtt >= 10 * SN_MSEC && est.srtt < (i ? 11 : 21) * SN_MSEC);
		CHECK(tcp(p, i)->sack_on && tcp(p, i)->ts_on);
		CHECK_EQ(tcp(p, i)->snd_ws, 5); /* 1 MiB >> 5 fits in 16 bits */
	}
	CHECK_EQ(p->seen[0].seg.mss, 1460);
	CHECK_EQ(p->seen[0].seg.hdr_len, 40);
	CHECK_EQ(p->nseen, 3);
	pair_down(p);
}

SN_TEST(rfc7323_7_1_every_flow_has_its_own_timestamp_offset)
{
	struct pair *p = pair_connected();

	/* Two directions of one flow are two clocks: at the same moment a second or more apart. */
	uint32_t a = sn_tcp_ts(tcp(p, 0), p->now), b = sn_tcp_ts(tcp(p, 1), p->now), now = (uint32_t)(p->now / SN_MSEC);
	CHECK(a - b > 1000 && b - a > 1000);
	CHECK(a - now > 1000 && b - now > 1000);
	CHECK_EQ(sn_tcp_ts(tcp(p, 0), p->now + 5 * SN_MSEC) - a, 5);
	pair_down(p);
}

/* B's SYN/ACK asks for segments of script[0] bytes. */
static enum verdict edit_mss(struct pair *p, int from, const struct sn_tcp_seg *seg, uint8_t *at)
{
	if (from == 1 && (seg->flags & SN_TH_SYN)) {
		sn_put16(at + SN_TCP_HDR_MIN + 2, (uint16_t)p->script[0]); /* the first option */
		sn_tcp_set_csum(at, 0);
		struct sn_addr src = pair_addr(0, 2), dst = pair_addr(0, 1);
		sn_tcp_set_csum(
			at, sn_csum_finish(sn_csum_partial(at, seg->hdr_len, pair_pseudo(&src, &dst, seg->hdr_len))));
	}
	return PASS;
}

SN_TEST(a_tiny_mss_is_raised_and_zero_is_none)
{
	static const uint32_t asked[] = {0, 1, 47, 88, 300};
	uint32_t none = pair_family == PAIR_V6 ? 1220 : 536, used[] = {none, 88, 88, 88, 300};

	for (uint32_t i = 0; i < 5; i++) {
		struct pair *p = pair_up();
		p->filter = edit_mss;
		p->script[0] = asked[i];
		dial(p);
		run_for(p, 100 * SN_MSEC);
		REQUIRE(tcp(p, 0) && tcp(p, 1));
		CHECK_EQ(tcp(p, 0)->mss, used[i] - 12);
		ops->set_shared_window(tcp(p, 0), false, 28); /* all options there can be */
		CHECK_EQ(tcp(p, 0)->mss, used[i] - 40);
		offer(&p->side[0].sub, 20000);
		CHECK(run_transfer(p, 60 * SN_SEC));
		hang_up(p);
		pair_down(p);
	}
}

static enum verdict drop_first(struct pair *p, int from, const struct sn_tcp_seg *seg, uint8_t *at)
{
	(void)at;
	uint32_t what = (uint32_t)seg->flags & (SN_TH_SYN | SN_TH_ACK);
	if (from == (int)p->script[0] && what == p->script[1] && p->script[2]) {
		p->script[2]--;
		return DROP;
	}
	return PASS;
}

static struct pair *pair_dropping(uint32_t from, uint32_t flags, uint32_t n)
{
	struct pair *p = pair_up();

	p->filter = drop_first;
	p->script[0] = from;
	p->script[1] = flags;
	p->script[2] = n;
	dial(p);
	return p;
}

SN_TEST(lost_syn_is_sent_again_after_a_second_and_then_two)
{
	struct pair *p = pair_dropping(0, SN_TH_SYN, 2);

	run_for(p, 2900 * SN_MSEC);
	CHECK_EQ(p->side[0].sub.established, 0);
	run_for(p, 200 * SN_MSEC);
	CHECK_EQ(p->side[0].sub.established, 1);
	CHECK_EQ(p->side[0].sub.rtos, 2);
	CHECK_EQ(tcp(p, 0)->srtt, 0); /* Karn: no sample */
	pair_down(p);
}

SN_TEST(lost_synack_is_sent_again)
{
	struct pair *p = pair_dropping(1, SN_TH_SYN | SN_TH_ACK, 1);

	run_for(p, 1100 * SN_MSEC);
	CHECK_EQ(p->side[0].sub.established, 1);
	CHECK_EQ(p->side[1].sub.established, 1);
	pair_down(p);
}

SN_TEST(lost_third_ack_is_made_good_by_the_answer_to_the_repeated_synack)
{
	struct pair *p = pair_dropping(0, SN_TH_ACK, 1);

	run_for(p, 500 * SN_MSEC);
	CHECK_EQ(p->side[0].sub.established, 1);
	CHECK_EQ(p->side[1].sub.established, 0);
	run_for(p, 700 * SN_MSEC);
	CHECK_EQ(p->side[1].sub.established, 1);
	pair_down(p);
}

SN_TEST(syn_without_an_answer_gives_up)
{
	struct pair *p = pair_dropping(0, SN_TH_SYN, 100);

	run_for(p, 600 * SN_SEC);
	CHECK_EQ(p->side[0].sub.closed, 1);
	CHECK_EQ(p->side[0].sub.err, SN_E_TIMEDOUT);
	CHECK_EQ(count_from(p, 0, SN_TH_SYN), 8);
	pair_down(p);
}

SN_TEST(refused_port_is_reported)
{
	struct pair *p = pair_up();

	p->side[1].sub.refuse = true; /* the engine's own listener table is empty: RST */
	dial(p);
	run_for(p, SN_SEC);
	CHECK_EQ(p->side[0].sub.closed, 1);
	CHECK_EQ(p->side[0].sub.err, SN_E_REFUSED);
	pair_down(p);
}

SN_TEST(fin_from_one_then_the_other)
{
	for (int first = 0; first < 2; first++) {
		struct pair *p = pair_connected();
		struct sn_tcp *a = tcp(p, first);

		ops->fin(a, p->now);
		run_for(p, 100 * SN_MSEC);
		CHECK_EQ(p->side[!first].sub.fins, 1);
		CHECK_EQ(a->state, SN_TCP_FIN_WAIT_2);
		CHECK_EQ(tcp(p, !first)->state, SN_TCP_CLOSE_WAIT);
		CHECK_EQ(ops->room(a, p->now), 0);
		ops->fin(tcp(p, !first), p->now);
		run_for(p, 100 * SN_MSEC);
		for (int i = 0; i < 2; i++) {
			CHECK_EQ(p->side[i].sub.closed, 1);
			CHECK_EQ(p->side[i].sub.err, SN_OK);
		}
		CHECK_EQ(a->state, SN_TCP_TIME_WAIT);
		CHECK_EQ(p->side[!first].e->tcp.conns.used, 0);
		run_for(p, 11 * SN_SEC);
		CHECK_EQ(p->side[first].e->tcp.conns.used, 0);
		pair_down(p);
	}
}

SN_TEST(simultaneous_close_ends_in_time_wait_on_both_sides)
{
	struct pair *p = pair_connected();
	struct sn_tcp *a = tcp(p, 0), *b = tcp(p, 1);

	ops->fin(a, p->now);
	ops->fin(b, p->now);
	run_for(p, 100 * SN_MSEC);
	CHECK_EQ(a->state, SN_TCP_TIME_WAIT);
	CHECK_EQ(b->state, SN_TCP_TIME_WAIT);
	CHECK_EQ(p->side[0].sub.closed + p->side[1].sub.closed, 2);
	pair_down(p);
}

SN_TEST(simultaneous_open_meets_in_the_middle)
{
	struct pair *p = pair_up();
	struct side *b = &p->side[1];
	struct sn_tcp_open o = {.owner = &b->sub, .up = &up, .isn = p->isn[1], .rcv_space = b->sub.rcvbuf};

	o.flow = (struct sn_flow){pair_addr(0, 2), pair_addr(0, 1), 80, 40000};
	b->sub.tcp = ops->open(b->e, &o, p->now);
	poll_side(p, b);
	dial(p);
	run_for(p, 3 * SN_SEC);
	CHECK_EQ(p->side[0].sub.established, 1);
	CHECK_EQ(b->sub.established, 1);
	offer(&b->sub, 100000);
	CHECK(run_transfer(p, 10 * SN_SEC));
	pair_down(p);
}

static enum verdict drop_fins(struct pair *p, int from, const struct sn_tcp_seg *seg, uint8_t *at)
{
	(void)from;
	(void)at;
	return (seg->flags & SN_TH_FIN) && p->script[0] && p->script[0]-- ? DROP : PASS;
}

SN_TEST(lost_fin_is_sent_again)
{
	struct pair *p = pair_connected();

	p->filter = drop_fins;
	p->script[0] = 3;
	hang_up(p);
	CHECK_EQ(p->side[0].sub.err, SN_OK);
	CHECK_EQ(p->side[0].sub.closed, 1);
	CHECK_EQ(p->side[1].sub.closed, 1);
	pair_down(p);
}

SN_TEST(data_before_fin_is_delivered_before_fin)
{
	struct pair *p = pair_connected();

	p->side[0].sub.fin_after = true;
	offer(&p->side[0].sub, 500000);
	CHECK(run_transfer(p, 10 * SN_SEC));
	run_for(p, 100 * SN_MSEC);
	CHECK_EQ(p->side[1].sub.fins, 1);
	CHECK_EQ(p->side[1].sub.received, 500000);
	offer(&p->side[1].sub, 300000); /* the other half still works */
	CHECK(run_transfer(p, 10 * SN_SEC));
	hang_up(p);
	CHECK_EQ(p->side[0].sub.err, SN_OK);
	CHECK_EQ(p->side[0].sub.closed, 1);
	pair_down(p);
}

SN_TEST(reset_ends_both_sides)
{
	struct pair *p = pair_connected();

	ops->reset(tcp(p, 0), p->now);
	CHECK_EQ(p->side[0].sub.closed, 1);
	CHECK_EQ(p->side[0].sub.err, SN_E_ABORTED);
	sn_engine_flush(p->side[0].e);
	run_for(p, 100 * SN_MSEC);
	CHECK_EQ(p->side[1].sub.closed, 1);
	CHECK_EQ(p->side[1].sub.err, SN_E_RESET);
	pair_down(p);
}

SN_TEST(reset_with_data_in_flight_gets_through_by_the_challenge)
{
	struct pair *p = pair_connected();

	p->filter = NULL;
	offer(&p->side[0].sub, 5000);
	/* The data is lost, the RST behind it is not in sequence. */
	sn_engine_flush(p->side[0].e);
	for (uint32_t i = 0; i < p->nwire; i++)
		sn_buf_free(p->wire[i].b);
	p->nwire = 0;
	ops->reset(tcp(p, 0), p->now);
	sn_engine_flush(p->side[0].e);
	run_for(p, 100 * SN_MSEC);
	CHECK_EQ(p->side[1].e->counters.tcp_challenge_acks, 1);
	CHECK_EQ(p->side[1].sub.closed, 1);
	CHECK_EQ(p->side[1].sub.err, SN_E_RESET);
	pair_down(p);
}

SN_TEST(detached_flow_closes_by_itself)
{
	struct pair *p = pair_connected();

	offer(&p->side[0].sub, 10000);
	ops->detach(tcp(p, 0), p->now);
	p->side[0].sub.tcp = NULL;
	run_for(p, 100 * SN_MSEC);
	CHECK_EQ(p->side[1].sub.received, 10000);
	CHECK_EQ(p->side[1].sub.fins, 1);
	ops->fin(tcp(p, 1), p->now);
	run_for(p, 100 * SN_MSEC);
	CHECK_EQ(p->side[1].sub.closed, 1);
	CHECK_EQ(p->side[0].sub.closed, 0);
	pair_down(p);
}

SN_TEST(detached_flow_does_not_wait_for_ever_for_the_other_fin)
{
	struct pair *p = pair_connected();

	ops->detach(tcp(p, 0), p->now);
	p->side[0].sub.tcp = NULL;
	run_for(p, 11 * SN_SEC);
	CHECK_EQ(p->side[0].e->tcp.conns.used, 0);
	pair_down(p);
}

SN_TEST(old_timestamp_is_rejected)
{
	struct pair *p = pair_connected();
	uint8_t opts[40];
	uint32_t n;
	struct sn_tcp_seg seg = plain_ack(p, 0, opts, &n);

	seg.flags |= SN_TH_PSH;
	n = sn_opt_emit_ts(opts, tcp(p, 1)->ts_recent - 5, 0);
	inject(p, 0, &seg, opts, n, 100);
	CHECK_EQ(p->side[1].sub.received, 0);
	CHECK_EQ(p->side[1].e->counters.tcp_paws, 1);
	CHECK_EQ(last_from(p, 1)->seg.flags, SN_TH_ACK);
	pair_down(p);
}

SN_TEST(rst_and_syn_in_the_window_are_challenged)
{
	struct pair *p = pair_connected();
	uint8_t opts[40];
	uint32_t n;
	struct sn_tcp_seg seg = plain_ack(p, 0, opts, &n);

	seg.flags = SN_TH_RST;
	seg.seq += 1000;
	inject(p, 0, &seg, opts, 0, 0);
	CHECK_EQ(p->side[1].sub.closed, 0);
	CHECK_EQ(p->side[1].e->counters.tcp_challenge_acks, 1);
	run_for(p, 50 * SN_MSEC);
	seg.flags = SN_TH_SYN;
	inject(p, 0, &seg, opts, 0, 0);
	CHECK_EQ(p->side[1].e->counters.tcp_challenge_acks, 2);
	seg.flags = SN_TH_SYN; /* at once: rate limited */
	inject(p, 0, &seg, opts, 0, 0);
	CHECK_EQ(p->side[1].e->counters.tcp_challenge_acks, 2);
	seg.flags = SN_TH_RST; /* far outside: nothing */
	seg.seq += 1u << 30;
	inject(p, 0, &seg, opts, 0, 0);
	CHECK_EQ(p->side[1].sub.closed, 0);
	seg.seq = tcp(p, 1)->rcv_nxt;
	inject(p, 0, &seg, opts, 0, 0);
	CHECK_EQ(p->side[1].sub.closed, 1);
	pair_down(p);
}

SN_TEST(ack_of_what_was_never_sent_is_challenged)
{
	struct pair *p = pair_connected();
	uint8_t opts[40];
	uint32_t n;
	struct sn_tcp_seg seg = plain_ack(p, 0, opts, &n);

	seg.ack += 5000;
	inject(p, 0, &seg, opts, n, 10);
	CHECK_EQ(p->side[1].sub.received, 0);
	CHECK_EQ(p->side[1].e->counters.tcp_challenge_acks, 1);
	pair_down(p);
}

SN_TEST(a_next_hop_that_nobody_has_ends_an_open_when_it_stays_silent)
{
	struct pair *p = pair_up();
	struct side *s = &p->side[0];
	struct sn_tcp_open o = {.owner = &s->sub, .up = &up, .isn = 1, .rcv_space = s->sub.rcvbuf};

	o.flow.local = pair_addr(0, 1);
	o.flow.remote = pair_addr(0, 9);
	o.flow.lport = 40000;
	o.flow.rport = 80;
	s->sub.tcp = ops->open(s->e, &o, p->now);
	REQUIRE(s->sub.tcp);
	poll_side(p, s);
	run_for(p, 9500 * SN_MSEC);
	CHECK_EQ(s->sub.closed, 0);
	run_for(p, SN_SEC);
	CHECK_EQ(s->sub.closed, 1);
	CHECK_EQ(s->sub.err, SN_E_HOSTUNREACH);
	CHECK_EQ(s->e->counters.arp_tx + s->e->counters.nd_tx, 10);
	/* What is known does not take ten seconds again. */
	o.flow.lport++;
	s->sub.tcp = ops->open(s->e, &o, p->now);
	REQUIRE(s->sub.tcp);
	poll_side(p, s);
	run_for(p, 20 * SN_MSEC);
	CHECK_EQ(s->sub.closed, 2);
	CHECK_EQ(s->sub.err, SN_E_HOSTUNREACH);
	CHECK_EQ(s->e->counters.arp_tx + s->e->counters.nd_tx, 11); /* it is asked once more meanwhile */
	pair_down(p);
}

SN_TEST(owner_may_drop_a_segment)
{
	struct pair *p = pair_connected();

	p->side[1].sub.refuse = true;
	offer(&p->side[0].sub, 1000);
	run_for(p, 100 * SN_MSEC);
	CHECK_EQ(p->side[1].sub.received, 0);
	p->side[1].sub.refuse = false;
	CHECK(run_transfer(p, 5 * SN_SEC));
	pair_down(p);
}

SN_TEST(time_wait_answers_a_repeated_fin_and_gives_way_to_a_new_syn)
{
	struct pair *p = pair_connected();
	uint8_t opts[40];
	uint32_t n;
	struct sn_tcp *a = tcp(p, 0);

	ops->fin(a, p->now);
	run_for(p, 50 * SN_MSEC);
	ops->fin(tcp(p, 1), p->now);
	run_for(p, 50 * SN_MSEC);
	REQUIRE(a->state == SN_TCP_TIME_WAIT);

	struct sn_tcp_seg seg = {
		.seq = a->rcv_nxt - 1, .ack = a->snd_nxt, .sport = 80, .dport = 40000, .flags = SN_TH_FIN | SN_TH_ACK};
	n = sn_opt_emit_ts(opts, a->ts_recent, 0);
	uint32_t before = p->nseen;
	inject(p, 1, &seg, opts, n, 0);
	CHECK_EQ(p->nseen, before + 1);
	CHECK_EQ(last_from(p, 0)->seg.ack, a->rcv_nxt);

	seg.flags = SN_TH_SYN; /* older timestamp: not a new incarnation */
	n = sn_opt_emit_ts(opts, a->ts_recent - 1, 0);
	inject(p, 1, &seg, opts, n, 0);
	CHECK_EQ(p->side[0].e->tcp.conns.used, 1);
	n = sn_opt_emit_ts(opts, a->ts_recent + 1, 0);
	inject(p, 1, &seg, opts, n, 0);
	CHECK_EQ(p->side[0].e->tcp.conns.used, 0);
	CHECK_EQ(last_from(p, 0)->seg.flags, SN_TH_RST | SN_TH_ACK); /* nobody listens there */
	pair_down(p);
}

SN_TEST(records_in_time_wait_make_room_for_new_flows)
{
	struct pair *p = pair_up();
	struct side *a = &p->side[0];

	for (uint32_t i = 0; i < 100; i++) {
		struct sn_tcp_open o = {.owner = &a->sub, .up = &up, .isn = i, .rcv_space = 65535};
		o.flow = (struct sn_flow){pair_addr(0, 1), pair_addr(0, 2), (uint16_t)(40000 + i), 80};
		a->sub.tcp = ops->open(a->e, &o, p->now);
		REQUIRE(a->sub.tcp);
		p->side[1].sub.tcp = NULL;
		poll_side(p, a);
		run_for(p, 20 * SN_MSEC);
		ops->fin(a->sub.tcp, p->now);
		poll_side(p, a);
		run_for(p, 20 * SN_MSEC);
		ops->fin(p->side[1].sub.tcp, p->now);
		run_for(p, 20 * SN_MSEC);
		CHECK_EQ(a->sub.closed, i + 1);
	}
	CHECK_EQ(a->e->tcp.conns.used, 32);
	pair_down(p);
}

SN_TEST(left_over_records_of_a_dead_worker_reset_their_peers)
{
	struct pair *p = pair_connected();
	struct side *a = &p->side[0];

	sn_tcp_reset_left_over(a->e, &a->e->tcp, p->now);
	sn_engine_flush(a->e);
	run_for(p, 50 * SN_MSEC);
	CHECK_EQ(p->side[1].sub.closed, 1);
	CHECK_EQ(p->side[1].sub.err, SN_E_RESET);
	pair_down(p);
}

PAIR_TEST_MAIN()
