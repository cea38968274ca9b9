/* SPDX-License-Identifier: Apache-2.0
 *
 * Data under loss, reordering, repeats and closed windows.
 */
#include "tcp_pair.h"

static struct sn_tcp *tcp(struct pair *p, int i) { return p->side[i].sub.tcp; }
static const struct sn_counters *counters(struct pair *p, int i) { return &p->side[i].e->counters; }

SN_TEST(bulk_both_ways_without_loss_sends_nothing_twice)
{
	struct pair *p = pair_connected();

	offer(&p->side[0].sub, 4 << 20);
	offer(&p->side[1].sub, 3 << 20);
	CHECK(run_transfer(p, 20 * SN_SEC));
	run_for(p, SN_SEC);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(counters(p, i)->tcp_retrans, 0);
		CHECK_EQ(counters(p, i)->tcp_rto, 0);
		CHECK(ops->idle(tcp(p, i)));
		CHECK_EQ(tcp(p, i)->pipe, 0);
	}
	hang_up(p);
	pair_down(p);
}

SN_TEST(one_way_bulk_is_acknowledged_at_least_every_second_segment)
{
	struct pair *p = pair_connected();

	offer(&p->side[0].sub, 2 << 20);
	CHECK(run_transfer(p, 20 * SN_SEC));
	uint32_t data = (2 << 20) / 1448, acks = count_from(p, 1, SN_TH_ACK);
	CHECK(acks >= data / 2 && acks <= data / 2 + 60);
	pair_down(p);
}

SN_TEST(lone_segment_is_acknowledged_within_the_delay)
{
	struct pair *p = pair_connected();
	struct sn_subflow *a = &p->side[0].sub;

	tcp(p, 1)->quick = 0;
	tcp(p, 1)->last_recv = p->now;
	offer(a, 100);
	run_for(p, 10500 * SN_USEC);
	CHECK_EQ(tcp(p, 0)->snd_una, p->isn[0] + 1);
	run_for(p, 600 * SN_USEC);
	CHECK_EQ(tcp(p, 0)->snd_una, p->isn[0] + 101);
	CHECK_EQ(counters(p, 0)->tcp_rto, 0);
	pair_down(p);
}

/* Drops first transmissions of the data segments whose relative number is in script[0..7]. */
static enum verdict drop_listed(struct pair *p, int from, const struct sn_tcp_seg *seg, uint8_t *at)
{
	(void)at;
	if (from != 0 || !seg->len)
		return PASS;
	uint32_t index = (seg->seq - p->isn[0] - 1) / 1448;
	for (int i = 0; i < 8; i++)
		if (p->script[i] && p->script[i] == index) {
			p->script[i] = 0;
			return DROP;
		}
	return PASS;
}

static struct pair *transfer_dropping(const uint32_t *list, int n, uint64_t bytes)
{
	struct pair *p = pair_connected();

	p->filter = drop_listed;
	for (int i = 0; i < n; i++)
		p->script[i] = list[i];
	offer(&p->side[0].sub, bytes);
	CHECK(run_transfer(p, 20 * SN_SEC));
	run_for(p, SN_SEC);
	return p;
}

SN_TEST(one_lost_segment_is_repaired_by_sack_without_a_timeout)
{
	struct pair *p = transfer_dropping((uint32_t[]){5}, 1, 200000);

	CHECK_EQ(counters(p, 0)->tcp_rto, 0);
	CHECK_EQ(counters(p, 0)->tcp_retrans, 1);
	CHECK_EQ(counters(p, 0)->tcp_fast_retrans, 1);
	pair_down(p);
}

SN_TEST(several_holes_in_one_window_are_repaired_in_one_recovery)
{
	struct pair *p = transfer_dropping((uint32_t[]){30, 32, 33, 36, 40, 41, 42}, 7, 400000);

	CHECK_EQ(counters(p, 0)->tcp_rto, 0);
	CHECK_EQ(counters(p, 0)->tcp_retrans, 7);
	/* One reduction: 0.7 of the window, not 0.7^7. */
	CHECK(tcp(p, 0)->ssthresh > 10 * 1448);
	CHECK_EQ(counters(p, 1)->tcp_dup_data, 0);
	pair_down(p);
}

SN_TEST(lost_tail_is_repaired_by_the_tail_probe)
{
	/* 10 segments, the last one lost: nothing behind it to be SACKed. */
	struct pair *p = transfer_dropping((uint32_t[]){9}, 1, 14480);

	CHECK_EQ(counters(p, 0)->tcp_rto, 0);
	CHECK_EQ(counters(p, 0)->tcp_tlp, 1);
	CHECK_EQ(counters(p, 0)->tcp_retrans, 1);
	CHECK_EQ(p->side[1].sub.received, 14480);
	pair_down(p);
}

static enum verdict drop_retransmission(struct pair *p, int from, const struct sn_tcp_seg *seg, uint8_t *at)
{
	(void)at;
	if (from == 0 && seg->len && (seg->seq - p->isn[0] - 1) / 1448 == 20 && p->script[0]) {
		p->script[0]--;
		return DROP;
	}
	return PASS;
}

SN_TEST(lost_retransmission_is_found_by_what_was_delivered_after_it)
{
	struct pair *p = pair_connected();

	p->filter = drop_retransmission;
	p->script[0] = 3;
	offer(&p->side[0].sub, 600000);
	CHECK(run_transfer(p, 20 * SN_SEC));
	CHECK_EQ(counters(p, 0)->tcp_rto, 0);
	CHECK_EQ(counters(p, 0)->tcp_retrans, 3);
	pair_down(p);
}

SN_TEST(lost_retransmission_of_the_tail_waits_for_the_timeout)
{
	struct pair *p = pair_connected();

	p->filter = drop_retransmission;
	p->script[0] = 2;
	offer(&p->side[0].sub, 1448 * 24);
	CHECK(run_transfer(p, 20 * SN_SEC));
	CHECK_EQ(counters(p, 0)->tcp_rto, 1);
	CHECK_EQ(p->side[1].sub.received, 1448 * 24);
	pair_down(p);
}

/* Takes SACK-permitted out of SYN and SYN/ACK. */
static enum verdict no_sack(struct pair *p, int from, const struct sn_tcp_seg *seg, uint8_t *at)
{
	if (seg->flags & SN_TH_SYN) {
		bool found = false;
		for (uint8_t *o = at + 20; o<at + seg->hdr_len; o += *o> 1 ? o[1] : 1)
			if (*o == 4) {
				o[0] = o[1] = 1;
				found = true;
			}
		if (!found)
			return PASS;
		/* NOP NOP weighs less than kind 4, length 2: put the checksum right (RFC 1624). */
		uint32_t sum = (uint16_t)~sn_get16(at + 16) + (uint32_t)(uint16_t)~0x0402 + 0x0101;
		sum = (sum & 0xffff) + (sum >> 16);
		sn_put16(at + 16, (uint16_t) ~((sum & 0xffff) + (sum >> 16)));
		return PASS;
	}
	return drop_listed(p, from, seg, at);
}

SN_TEST(peer_without_sack_is_served_by_newreno)
{
	struct pair *p = pair_up();

	p->filter = no_sack;
	dial(p);
	run_for(p, 100 * SN_MSEC);
	REQUIRE(tcp(p, 0) && tcp(p, 1));
	CHECK(!tcp(p, 0)->sack_on && !tcp(p, 1)->sack_on);
	p->script[0] = 20;
	p->script[1] = 23;
	p->script[2] = 24;
	offer(&p->side[0].sub, 600000);
	CHECK(run_transfer(p, 20 * SN_SEC));
	CHECK_EQ(counters(p, 0)->tcp_rto, 0);
	CHECK_EQ(counters(p, 0)->tcp_retrans, 3);
	pair_down(p);
}

SN_TEST(sequence_numbers_wrap_around)
{
	struct pair *p = pair_up();

	p->isn[0] = 0xffffffffu - 100000;
	p->isn[1] = 0x7fffffffu - 50000;
	dial(p);
	run_for(p, 100 * SN_MSEC);
	p->filter = drop_listed;
	p->script[0] = 60;
	p->script[1] = 69; /* around the wrap */
	p->script[2] = 70;
	offer(&p->side[0].sub, 1 << 20);
	offer(&p->side[1].sub, 1 << 20);
	CHECK(run_transfer(p, 20 * SN_SEC));
	CHECK_EQ(counters(p, 0)->tcp_rto, 0);
	pair_down(p);
}

static enum verdict shuffle(struct pair *p, int from, const struct sn_tcp_seg *seg, uint8_t *at)
{
	(void)from;
	(void)seg;
	(void)at;
	return sn_rng_chance(&p->rng, 0.05) ? LATE : PASS;
}

SN_TEST(reordering_delivers_everything_in_order)
{
	struct pair *p = pair_connected();

	p->filter = shuffle;
	p->rate = 12500000;
	offer(&p->side[0].sub, 2 << 20);
	CHECK(run_transfer(p, 60 * SN_SEC));
	CHECK(counters(p, 1)->tcp_ooo > 10);
	CHECK_EQ(counters(p, 0)->tcp_rto, 0);
	pair_down(p);
}

static enum verdict twice(struct pair *p, int from, const struct sn_tcp_seg *seg, uint8_t *at)
{
	(void)p;
	(void)from;
	(void)seg;
	(void)at;
	return TWICE;
}

SN_TEST(duplicates_are_reported_and_do_no_harm)
{
	struct pair *p = pair_connected();

	p->filter = twice;
	offer(&p->side[0].sub, 500000);
	CHECK(run_transfer(p, 20 * SN_SEC));
	CHECK(counters(p, 1)->tcp_dup_data > 300);
	CHECK_EQ(counters(p, 0)->tcp_retrans, 0);
	bool dsack = false;
	for (uint32_t i = 0; i < p->nseen; i++)
		dsack |= p->seen[i].from == 1 && p->seen[i].seg.nsack &&
			 sn_seq_leq(p->seen[i].seg.sack[0].right, p->seen[i].seg.ack);
	CHECK(dsack);
	pair_down(p);
}

SN_TEST(closed_window_is_probed_and_opens_again)
{
	struct pair *p = pair_up();

	p->side[1].sub.rcvbuf = 100000;
	dial(p);
	run_for(p, 100 * SN_MSEC);
	p->side[1].sub.hold = true;
	offer(&p->side[0].sub, 500000);
	run_for(p, 5 * SN_SEC);
	CHECK(p->side[1].sub.received <= 100000 + 128 && p->side[1].sub.received > 98000);
	CHECK(counters(p, 0)->tcp_probes >= 3);
	CHECK_EQ(counters(p, 0)->tcp_rto, 0);
	/* The update gets lost: a probe finds out. */
	p->side[1].sub.hold = false;
	p->side[1].sub.held = 0;
	CHECK(run_transfer(p, 60 * SN_SEC));
	pair_down(p);
}

SN_TEST(window_update_restarts_the_sender_at_once)
{
	struct pair *p = pair_up();

	p->side[1].sub.rcvbuf = 100000;
	dial(p);
	run_for(p, 100 * SN_MSEC);
	p->side[1].sub.hold = true;
	offer(&p->side[0].sub, 150000);
	run_for(p, SN_SEC);
	uint32_t before = p->nseen;
	p->side[1].sub.held -= 1000; /* not worth an update */
	ops->credit(tcp(p, 1), p->now);
	sn_engine_flush(p->side[1].e);
	CHECK_EQ(p->nseen, before);
	p->side[1].sub.hold = false;
	p->side[1].sub.held = 0;
	ops->credit(tcp(p, 1), p->now);
	poll_side(p, &p->side[1]);
	CHECK_EQ(p->nseen, before + 1);
	CHECK(run_transfer(p, 200 * SN_MSEC));
	pair_down(p);
}

SN_TEST(right_edge_never_moves_back)
{
	struct pair *p = pair_up();

	p->side[1].sub.rcvbuf = 300000;
	dial(p);
	run_for(p, 100 * SN_MSEC);
	p->side[1].sub.hold = true;
	offer(&p->side[0].sub, 280000);
	run_transfer(p, 3 * SN_SEC);
	uint32_t edge = 0;
	for (uint32_t i = 0; i < p->nseen; i++) {
		const struct sn_tcp_seg *s = &p->seen[i].seg;
		if (p->seen[i].from != 1 || (s->flags & SN_TH_SYN))
			continue;
		uint32_t now = s->ack + ((uint32_t)s->wnd << tcp(p, 1)->rcv_ws);
		CHECK(!edge || sn_seq_geq(now, edge));
		edge = now;
	}
	pair_down(p);
}

SN_TEST(shared_window_is_not_tcps_business)
{
	struct pair *p = pair_up();

	for (int i = 0; i < 2; i++) {
		p->side[i].sub.shared = true;
		p->side[i].sub.reserve = 28;
	}
	p->side[1].sub.rcvbuf = 200000;
	dial(p);
	run_for(p, 100 * SN_MSEC);
	struct sn_tcp_estimate est;
	ops->estimate(tcp(p, 0), &est);
	CHECK_EQ(est.mss, 1420);
	p->side[1].sub.hold = true; /* the advertised value shrinks to 0, data is taken all the same */
	offer(&p->side[0].sub, 400000);
	CHECK(run_transfer(p, 20 * SN_SEC));
	CHECK_EQ(counters(p, 0)->tcp_retrans, 0);
	CHECK_EQ(ops->peer_window(tcp(p, 0)), 0);
	pair_down(p);
}

SN_TEST(small_chunks_are_put_together)
{
	struct pair *p = pair_connected();

	p->side[0].sub.chunk_size = 101;
	offer(&p->side[0].sub, 60000);
	uint32_t small = 0;
	p->filter = drop_listed;
	p->script[0] = 12;
	CHECK(run_transfer(p, 20 * SN_SEC));
	for (uint32_t i = 0; i < p->nseen; i++)
		small += p->seen[i].from == 0 && p->seen[i].seg.len && p->seen[i].seg.len < 1000;
	CHECK(small <= 3);
	pair_down(p);
}

SN_TEST(sending_stops_when_records_run_out_and_goes_on)
{
	struct pair *p = pair_connected();
	struct sn_slab *segs = &p->side[0].e->tcp.segs;
	void *taken[16384];
	uint32_t n = 0;

	while (segs->used < segs->count - 5)
		taken[n++] = sn_slab_take(segs);
	offer(&p->side[0].sub, 200000);
	CHECK(run_transfer(p, 20 * SN_SEC));
	CHECK(counters(p, 0)->tcp_mem_limit > 0);
	while (n)
		sn_slab_put(segs, taken[--n]);
	pair_down(p);
}

SN_TEST(window_starts_again_after_idle)
{
	struct pair *p = pair_connected();

	offer(&p->side[0].sub, 1 << 20);
	CHECK(run_transfer(p, 20 * SN_SEC));
	CHECK(tcp(p, 0)->cwnd > 50 * 1448);
	run_for(p, 5 * SN_SEC);
	CHECK_EQ(ops->room(tcp(p, 0), p->now), 10 * 1448);
	pair_down(p);
}

static enum verdict drop_all(struct pair *p, int from, const struct sn_tcp_seg *seg, uint8_t *at)
{
	(void)p;
	(void)from;
	(void)seg;
	(void)at;
	return DROP;
}

SN_TEST(dead_path_gives_up_after_the_configured_timeouts)
{
	struct pair *p = pair_connected();

	p->filter = drop_all;
	offer(&p->side[0].sub, 50000);
	run_for(p, 2000 * SN_SEC);
	CHECK_EQ(p->side[0].sub.closed, 1);
	CHECK_EQ(p->side[0].sub.err, SN_E_TIMEDOUT);
	CHECK_EQ(p->side[0].sub.rtos, 12);
	pair_down(p);
}

SN_TEST(delivery_rate_comes_near_the_link)
{
	static const char *const cc[] = {"cubic", "newreno"};

	for (int i = 0; i < 2; i++) {
		struct pair *p = pair_up();
		p->cc = cc[i];
		p->rate = 12500000; /* 100 Mbit/s, unlimited queue */
		p->side[1].sub.rcvbuf = 4 << 20;
		dial(p);
		run_for(p, 100 * SN_MSEC);
		sn_time start = p->now;
		offer(&p->side[0].sub, 16 << 20);
		CHECK(run_transfer(p, 20 * SN_SEC));
		CHECK(p->now - start < 1600 * SN_MSEC); /* 1.34 s at line rate */
		struct sn_tcp_estimate est;
		ops->estimate(tcp(p, 0), &est);
		CHECK(est.delivery_rate > 10000000 && est.delivery_rate < 13000000);
		pair_down(p);
	}
}

/* Everything at once: loss, repeats and reordering of all segments of both sides. */
static enum verdict chaos(struct pair *p, int from, const struct sn_tcp_seg *seg, uint8_t *at)
{
	(void)from;
	double bad = p->script[0] / 1000.0;

	if (sn_rng_chance(&p->rng, bad))
		return DROP;
	if (sn_rng_chance(&p->rng, bad / 2))
		return TWICE;
	if (sn_rng_chance(&p->rng, bad)) {
		p->late = sn_rng_below(&p->rng, 20 * SN_MSEC);
		return LATE;
	}
	if (sn_rng_chance(&p->rng, bad / 4)) /* the checksum finds it */
		at[sn_rng_below(&p->rng, seg->hdr_len)] ^= (uint8_t)(1 + sn_rng_below(&p->rng, 255));
	return PASS;
}

SN_TEST(any_mixture_of_faults_ends_with_every_byte_in_place)
{
	for (uint32_t seed = 1; seed <= 60; seed++) {
		struct pair *p = pair_up();
		p->rng = sn_rng_seed(seed, 7);
		p->isn[0] = (uint32_t)sn_rng_next(&p->rng);
		p->isn[1] = (uint32_t)sn_rng_next(&p->rng);
		p->script[0] = (uint32_t)sn_rng_below(&p->rng, 120);
		p->rate = sn_rng_below(&p->rng, 2) ? 2500000 : 0;
		p->cc = sn_rng_below(&p->rng, 2) ? "newreno" : "cubic";
		p->filter = chaos;
		for (int i = 0; i < 2; i++) {
			p->side[i].sub.chunk_size = 1 + (uint32_t)sn_rng_below(&p->rng, 30000);
			p->side[i].sub.rcvbuf = 20000 + (uint32_t)sn_rng_below(&p->rng, 1 << 19);
		}
		dial(p);
		sn_time until = p->now + 30 * SN_SEC;
		while (p->now < until && !p->side[1].sub.established && step(p, until))
			;
		if (!p->side[1].sub.established) { /* SYN or its answers lost too often */
			pair_down(p);
			continue;
		}
		p->side[0].sub.fin_after = p->side[1].sub.fin_after = true;
		offer(&p->side[0].sub, sn_rng_below(&p->rng, 300000));
		offer(&p->side[1].sub, sn_rng_below(&p->rng, 300000));
		uint64_t want[2] = {p->side[1].sub.offered, p->side[0].sub.offered};
		until = p->now + 600 * SN_SEC;
		settle(p);
		while (step(p, until) && !sn_test_state.failures)
			for (int i = 0; i < 2; i++)
				if (tcp(p, i))
					audit(tcp(p, i));
		for (int i = 0; i < 2; i++) {
			const struct sn_subflow *s = &p->side[i].sub;
			if (s->received != want[i] || s->closed != 1 || s->err != SN_OK || s->bad)
				fprintf(stderr, "seed %u side %d: received %llu of %llu, closed %u err %d bad %u\n",
					seed, i, (unsigned long long)s->received, (unsigned long long)want[i],
					s->closed, s->err, s->bad);
			CHECK_EQ(s->received, want[i]);
			CHECK_EQ(s->fins, 1);
			CHECK_EQ(s->closed, 1);
			CHECK_EQ(s->err, SN_OK);
		}
		pair_down(p);
		if (sn_test_state.failures)
			break;
	}
}

/* A number near `at`, at some distance, or anything. */
static uint32_t around(struct pair *p, uint32_t at)
{
	switch (sn_rng_below(&p->rng, 4)) {
	case 0: return at;
	case 1: return at + (uint32_t)sn_rng_below(&p->rng, 20) - 10;
	case 2: return at + (uint32_t)sn_rng_below(&p->rng, 200000) - 100000;
	default: return (uint32_t)sn_rng_next(&p->rng);
	}
}

static void throw_segment(struct pair *p, int from)
{
	const struct sn_tcp *t = p->side[!from].sub.tcp;
	struct sn_tcp_seg seg = {.sport = t->flow.rport, .dport = t->flow.lport};
	uint8_t opts[40];
	uint32_t n = 0;

	seg.seq = around(p, t->rcv_nxt);
	seg.ack = around(p, sn_rng_below(&p->rng, 2) ? t->snd_una : t->snd_nxt);
	seg.wnd = (uint16_t)sn_rng_next(&p->rng);
	seg.flags = SN_TH_ACK;
	if (sn_rng_below(&p->rng, 8) == 0)
		seg.flags = (uint8_t)sn_rng_next(&p->rng);
	seg.flags &= sn_rng_below(&p->rng, 50) ? (uint8_t) ~(SN_TH_RST | SN_TH_FIN) : 255;
	if (sn_rng_below(&p->rng, 4))
		n += sn_opt_emit_ts(opts, t->ts_recent + (uint32_t)sn_rng_below(&p->rng, 3),
				    (uint32_t)sn_rng_next(&p->rng));
	if (sn_rng_below(&p->rng, 2)) {
		struct sn_sack_block b[3];
		uint32_t k = 1 + (uint32_t)sn_rng_below(&p->rng, 2);
		for (uint32_t i = 0; i < k; i++) {
			/* Often on the borders of real records. */
			uint32_t from_seg = (uint32_t)sn_rng_below(&p->rng, 40),
				 len = (uint32_t)sn_rng_below(&p->rng, 12);
			b[i].left = t->snd_una + from_seg * 1448 + (sn_rng_below(&p->rng, 4) ? 0 : 7);
			b[i].right = b[i].left + len * 1448;
			if (sn_rng_below(&p->rng, 8) == 0)
				b[i].right = around(p, b[i].left);
		}
		n += sn_opt_emit_sack(opts + n, b, k);
	}
	inject(p, from, &seg, opts, n, sn_rng_below(&p->rng, 2) ? 0 : (uint32_t)sn_rng_below(&p->rng, 1400));
}

SN_TEST(arbitrary_segments_leave_the_books_in_order)
{
	for (uint32_t seed = 1; seed <= 300; seed++) {
		struct pair *p = pair_connected();
		p->rng = sn_rng_seed(seed, 11);
		for (int i = 0; i < 2; i++)
			offer(&p->side[i].sub, 1 << 20);
		for (int n = 0; n < 400 && !sn_test_state.failures; n++) {
			int from = (int)sn_rng_below(&p->rng, 2);
			if (!tcp(p, !from))
				break;
			throw_segment(p, from);
			if (tcp(p, !from))
				audit(tcp(p, !from));
			if (sn_rng_below(&p->rng, 3) == 0)
				run_for(p, sn_rng_below(&p->rng, 20 * SN_MSEC));
			else if (sn_rng_below(&p->rng, 20) == 0)
				run_for(p, sn_rng_below(&p->rng, 2 * SN_SEC));
		}
		for (int i = 0; i < 2; i++)
			p->side[i].sub.bad = 0; /* forged bytes were taken as the peer's */
		pair_down(p);
		if (sn_test_state.failures) {
			fprintf(stderr, "seed %u\n", seed);
			break;
		}
	}
}

PAIR_TEST_MAIN()
