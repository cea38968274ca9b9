/* SPDX-License-Identifier: Apache-2.0
 *
 * Paths that carry less than the port: with routers that say so (RFC 1191, RFC 8201) and with routers that do not (RFC 4821,
 * RFC 8899); ICMP errors, true and forged (RFC 5927).
 */
#include "icmp_by_hand.h"
#include "tcp_pair.h"

/* script[]: what the path from side 0 carries (0: all), whether the router says so, frames that were too long. */
enum { MTU, SAYS, VANISHED, OFF };

static struct sn_tcp *tcp(struct pair *p, int i) { return p->side[i].sub.tcp; }
static const struct sn_counters *counters(struct pair *p) { return &p->side[0].e->counters; }

/* Of IPv4; the ports of IPv6 have 20 bytes more (pair_family.h). */
static uint16_t mtu(uint32_t v4) { return (uint16_t)(pair_family == PAIR_V6 ? v4 + 20 : v4); }
static uint32_t ip_hdr(void) { return pair_family == PAIR_V6 ? 40 : 20; }

/* An error about a segment of side 0, on its way there. */
static void say(struct pair *p, uint8_t v4_type, uint8_t v4_code, uint8_t v6_type, uint8_t v6_code, uint32_t mtu,
		uint32_t seq, sn_time at)
{
	struct sn_addr us = pair_addr(0, 1), router = pair_addr(0, 99);
	bool v6 = pair_family == PAIR_V6;
	struct icmp_by_hand m = {.type = v6 ? v6_type : v4_type,
				 .code = v6 ? v6_code : v4_code,
				 .mtu = mtu,
				 .flow = {us, pair_addr(0, 2), 40000, 80},
				 .seq = seq,
				 .tcp_len = 8};
	struct sn_buf *b = sn_buf_alloc(&p->side[0].pool.pool);

	memcpy(b->data, (uint8_t[]){2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 99}, 12);
	sn_put16(b->data + 12, v6 ? 0x86dd : 0x0800);
	b->len = SN_ETH_HDR + icmp_packet(b->data + SN_ETH_HDR, &m, &router, &us);
	put(p, b, 0, at);
}

static void say_too_big(struct pair *p, uint32_t mtu, uint32_t seq, sn_time at) { say(p, 3, 4, 2, 0, mtu, seq, at); }

static enum verdict narrow(struct pair *p, int from, const struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)tcp;
	if (p->script[OFF])
		return DROP;
	if (from || !p->script[MTU] || ip_hdr() + seg->hdr_len + seg->len <= p->script[MTU])
		return PASS;
	p->script[VANISHED]++;
	if (p->script[SAYS])
		say_too_big(p, p->script[SAYS] == 2 ? 0 : p->script[MTU], seg->seq, p->now + p->delay);
	return DROP;
}

/* window: of the receiver, bytes, so that no queue builds up; 0: there is none, and segments have options as with MPTCP. */
static struct pair *narrow_pair_window(uint32_t path_mtu, uint32_t says, uint32_t window)
{
	struct pair *p = pair_up();

	for (int i = 0; i < 2; i++) {
		p->side[i].sub.shared = !window;
		p->side[i].sub.reserve = window ? 0 : 20;
		if (window)
			p->side[i].sub.rcvbuf = window;
	}
	p->script[MTU] = path_mtu;
	p->script[SAYS] = says;
	p->filter = narrow;
	dial(p);
	run_for(p, 100 * SN_MSEC);
	REQUIRE(p->side[0].sub.established == 1 && p->side[1].sub.established == 1);
	return p;
}

static struct pair *narrow_pair(uint32_t path_mtu, uint32_t says) { return narrow_pair_window(path_mtu, says, 0); }

/* Longest IP packet that side 0 sent since the i-th segment. */
static uint32_t longest_since(const struct pair *p, uint32_t i)
{
	uint32_t n = 0;

	for (; i < p->nseen; i++)
		if (!p->seen[i].from)
			n = SN_MAX(n, ip_hdr() + p->seen[i].seg.hdr_len + p->seen[i].seg.len);
	return n;
}

/* --- Packet Too Big ----------------------------------------------------------------------------------------------- */

SN_TEST(packet_too_big_cuts_what_is_in_flight_and_costs_no_window)
{
	struct pair *p = narrow_pair(mtu(1300), 1);

	offer(&p->side[0].sub, 200000);
	uint32_t cwnd = tcp(p, 0)->cwnd;
	run_for(p, 11 * SN_MSEC); /* a round trip: the messages are here, what they were about is sent again */
	CHECK_EQ(tcp(p, 0)->pmtu.mtu, mtu(1300));
	CHECK_EQ(tcp(p, 0)->cwnd, cwnd);
	audit(tcp(p, 0));
	uint32_t then = p->nseen;
	CHECK(run_transfer(p, SN_SEC));
	CHECK_EQ(longest_since(p, then), mtu(1300));
	CHECK_EQ(p->script[VANISHED], 10); /* the first window, and nothing after it */
	CHECK_EQ(tcp(p, 0)->ssthresh, INT32_MAX);
	CHECK_EQ(p->side[0].sub.rtos, 0);
	CHECK_EQ(counters(p)->pmtu_lowered, 1);
	CHECK_EQ(counters(p)->pmtu_black_hole, 0);
	struct sn_tcp_estimate est;
	ops->estimate(tcp(p, 0), &est);
	CHECK_EQ(est.pmtu, mtu(1300));
	ops->estimate(tcp(p, 1), &est);
	CHECK_EQ(est.pmtu, mtu(1500));
	pair_down(p);
}

SN_TEST(a_path_that_narrows_twice_in_mid_transfer_is_followed)
{
	struct pair *p = narrow_pair(0, 1);

	p->rate = 2000000;
	offer(&p->side[0].sub, 1000000);
	run_for(p, 100 * SN_MSEC);
	p->script[MTU] = mtu(1400);
	for (int i = 0; i < 50; i++) {
		run_for(p, 2 * SN_MSEC);
		audit(tcp(p, 0));
	}
	CHECK_EQ(tcp(p, 0)->pmtu.mtu, mtu(1400));
	p->script[MTU] = mtu(1280);
	CHECK(run_transfer(p, 5 * SN_SEC));
	CHECK_EQ(tcp(p, 0)->pmtu.mtu, mtu(1280));
	CHECK_EQ(counters(p)->pmtu_lowered, 2);
	pair_down(p);
}

SN_TEST(a_message_without_the_mtu_means_576_at_first)
{
	struct pair *p = narrow_pair(mtu(1300), 2);

	p->rate = 500000;
	offer(&p->side[0].sub, 4000000);
	run_for(p, 100 * SN_MSEC);
	CHECK_EQ(tcp(p, 0)->pmtu.mtu, pair_family == PAIR_V6 ? 1280 : 576);
	CHECK(run_transfer(p, 20 * SN_SEC)); /* the search finds what the router did not say */
	CHECK(tcp(p, 0)->pmtu.mtu <= mtu(1300) && tcp(p, 0)->pmtu.mtu >= mtu(1300) - 16);
	pair_down(p);
}

SN_TEST(no_message_makes_segments_smaller_than_a_floor)
{
	struct pair *p = narrow_pair(0, 0);

	p->rate = 1000000;
	offer(&p->side[0].sub, 300000);
	run_for(p, 20 * SN_MSEC);
	say_too_big(p, 68, tcp(p, 0)->snd_una, p->now);
	run_for(p, SN_MSEC);
	CHECK_EQ(tcp(p, 0)->pmtu.mtu, pair_family == PAIR_V6 ? 1280 : 552);
	say_too_big(p, mtu(1500), tcp(p, 0)->snd_una, p->now); /* too late, or no sense */
	run_for(p, SN_MSEC);
	CHECK_EQ(tcp(p, 0)->pmtu.mtu, pair_family == PAIR_V6 ? 1280 : 552);
	CHECK_EQ(counters(p)->pmtu_lowered, 1);
	CHECK(run_transfer(p, 5 * SN_SEC));
	pair_down(p);
}

SN_TEST(ten_minutes_after_a_router_spoke_a_larger_segment_is_tried)
{
	struct pair *p = narrow_pair_window(mtu(1300), 1, 30000);

	p->rate = 100000;
	offer(&p->side[0].sub, 150000000);
	run_for(p, SN_SEC);
	CHECK_EQ(tcp(p, 0)->pmtu.mtu, mtu(1300));
	uint32_t before = p->script[VANISHED];
	run_for(p, 610 * SN_SEC); /* the path is as it was */
	CHECK_EQ(tcp(p, 0)->pmtu.mtu, mtu(1300));
	CHECK_EQ(p->script[VANISHED], before + 1);
	CHECK_EQ(counters(p)->pmtu_probes, 1);
	CHECK_EQ(counters(p)->pmtu_probes_lost, 1);
	p->script[MTU] = mtu(1400); /* now there is a better one */
	run_for(p, 610 * SN_SEC);
	CHECK_EQ(tcp(p, 0)->pmtu.mtu, mtu(1400));
	CHECK_EQ(p->script[VANISHED], before + 2); /* the router answered the probe with the size */
	pair_down(p);
}

SN_TEST(a_flow_begins_with_what_its_path_is_known_to_carry)
{
	struct pair *p = pair_up();
	struct sn_addr peer = pair_addr(0, 2);

	sn_net_pmtu_learn(p->side[0].e, 0, &peer, mtu(1400), p->now);
	dial(p);
	run_for(p, 100 * SN_MSEC);
	CHECK_EQ(tcp(p, 0)->pmtu.mtu, mtu(1400));
	CHECK_EQ(tcp(p, 0)->mss, 1400 - 40 - 12);
	offer(&p->side[0].sub, 100000);
	CHECK(run_transfer(p, SN_SEC));
	CHECK_EQ(longest_since(p, 0), mtu(1400));
	for (uint32_t i = 0; i < p->nseen; i++)
		if (p->seen[i].seg.flags & SN_TH_SYN) /* what we can take has not changed */
			CHECK_EQ(p->seen[i].seg.mss, 1460);
	pair_down(p);
}

/* --- forgery ------------------------------------------------------------------------------------------------------ */

SN_TEST(ten_thousand_forged_messages_outside_what_is_in_flight_change_nothing)
{
	static const uint8_t kinds[][4] = {{3, 4, 2, 0}, {3, 3, 1, 4}, {3, 1, 1, 0}, {11, 0, 3, 0}};
	struct pair *p = narrow_pair(0, 0);

	p->rate = 1000000;
	offer(&p->side[0].sub, 200000);
	run_for(p, 20 * SN_MSEC);
	struct sn_tcp *t = tcp(p, 0);
	uint32_t mss = t->mss, said = 0;
	while (said < 10000) {
		uint32_t seq = (uint32_t)sn_rng_below(&p->rng, UINT64_C(1) << 32);
		if (said < 200) /* close to it as well */
			seq = said & 1 ? t->snd_nxt + said / 2 : t->snd_una - 1 - said / 2;
		if (seq - t->snd_una < t->snd_nxt - t->snd_una)
			continue;
		const uint8_t *k = kinds[said++ % 4];
		say(p, k[0], k[1], k[2], k[3], mtu(600), seq, p->now);
		if (said % 4000 == 0)
			run_for(p, SN_SEC / 1000); /* the wire holds so many, the limit lets so many pass */
		if (said % 4000 == 0)
			p->side[0].e->net.error_limit.credit = SN_SEC;
	}
	run_for(p, SN_MSEC);
	CHECK_EQ(counters(p)->icmp_error_rx, 10000);
	CHECK_EQ(counters(p)->icmp_error_forged + counters(p)->icmp_error_limited, 10000);
	CHECK(counters(p)->icmp_error_forged > 5000);
	CHECK_EQ(t->mss, mss);
	CHECK_EQ(t->soft, 0);
	CHECK_EQ(counters(p)->pmtu_lowered + counters(p)->icmp_error_noted + counters(p)->icmp_error_ended, 0);
	CHECK(run_transfer(p, 5 * SN_SEC));
	pair_down(p);
}

/* --- unreachable -------------------------------------------------------------------------------------------------- */

SN_TEST(a_hard_error_ends_an_open_and_a_soft_one_is_its_reason_in_the_end)
{
	static const struct {
		uint8_t v4_type, v4_code, v6_type, v6_code;
		bool hard;
		enum sn_err err;
	} all[] = {
		{3, 3, 1, 4, true, SN_E_REFUSED},       {3, 13, 1, 1, true, SN_E_HOSTUNREACH},
		{3, 0, 1, 0, false, SN_E_NETUNREACH},   {3, 1, 1, 3, false, SN_E_HOSTUNREACH},
		{11, 0, 3, 0, false, SN_E_HOSTUNREACH}, {12, 0, 4, 0, false, SN_E_PROTO},
	};

	for (uint32_t i = 0; i < sizeof all / sizeof all[0]; i++) {
		struct pair *p = pair_up();
		p->script[OFF] = 1;
		p->filter = narrow;
		dial(p);
		say(p, all[i].v4_type, all[i].v4_code, all[i].v6_type, all[i].v6_code, 0, p->isn[0] + 1, p->now);
		run_for(p, SN_MSEC);
		CHECK_EQ(p->side[0].sub.closed, 0); /* not the SYN's number */
		say(p, all[i].v4_type, all[i].v4_code, all[i].v6_type, all[i].v6_code, 0, p->isn[0], p->now);
		run_for(p, SN_MSEC);
		CHECK_EQ(p->side[0].sub.closed, all[i].hard);
		CHECK_EQ(counters(p)->icmp_error_ended, all[i].hard);
		CHECK_EQ(counters(p)->icmp_error_noted, !all[i].hard);
		run_for(p, 400 * SN_SEC);
		CHECK_EQ(p->side[0].sub.closed, 1);
		CHECK_EQ(p->side[0].sub.err, all[i].err);
		pair_down(p);
	}
}

SN_TEST(no_error_ends_an_established_flow_but_it_is_the_reason_when_nobody_answers)
{
	struct pair *p = narrow_pair(0, 0);

	p->rate = 1000000;
	offer(&p->side[0].sub, 100000);
	run_for(p, 20 * SN_MSEC);
	say(p, 3, 3, 1, 4, 0, tcp(p, 0)->snd_una, p->now);
	CHECK(run_transfer(p, SN_SEC));
	CHECK_EQ(p->side[0].sub.closed, 0);
	CHECK_EQ(counters(p)->icmp_error_noted, 1);
	CHECK_EQ(sn_tcp_silence(tcp(p, 0)), SN_E_TIMEDOUT); /* there was progress since */
	pair_down(p);

	p = narrow_pair(0, 0);
	p->script[OFF] = 1;
	offer(&p->side[0].sub, 100000);
	run_for(p, 20 * SN_MSEC);
	say(p, 3, 1, 1, 3, 0, tcp(p, 0)->snd_una, p->now);
	run_for(p, 400 * SN_SEC);
	CHECK_EQ(p->side[0].sub.closed, 1);
	CHECK_EQ(p->side[0].sub.err, SN_E_HOSTUNREACH);
	pair_down(p);
}

SN_TEST(packet_too_big_about_a_syn_says_nothing)
{
	struct pair *p = pair_up();

	dial(p);
	say_too_big(p, mtu(600), p->isn[0], p->now);
	run_for(p, 100 * SN_MSEC);
	CHECK_EQ(tcp(p, 0)->pmtu.mtu, mtu(1500));
	CHECK_EQ(counters(p)->pmtu_lowered, 0);
	pair_down(p);
}

/* --- black holes -------------------------------------------------------------------------------------------------- */

SN_TEST(full_segments_that_vanish_are_made_smaller_until_they_pass)
{
	struct pair *p = narrow_pair(mtu(1300), 0);

	p->rate = 500000;
	offer(&p->side[0].sub, 4000000);
	run_for(p, 500 * SN_MSEC);
	CHECK_EQ(tcp(p, 0)->pmtu.mtu, 1280);
	CHECK(p->side[1].sub.received > 0); /* half a second lost, no more */
	CHECK_EQ(counters(p)->pmtu_black_hole, 1);
	CHECK(run_transfer(p, 20 * SN_SEC));
	CHECK(tcp(p, 0)->pmtu.mtu > mtu(1300) - 16 && tcp(p, 0)->pmtu.mtu <= mtu(1300));
	CHECK_EQ(counters(p)->pmtu_black_hole, 1);
	CHECK(counters(p)->pmtu_probes_lost >= 2);
	struct sn_addr peer = pair_addr(0, 2); /* the next flow need not find out */
	CHECK_EQ(sn_net_pmtu(p->side[0].e, 0, &peer, p->now), tcp(p, 0)->pmtu.mtu);
	pair_down(p);
}

SN_TEST(the_search_for_a_larger_segment_costs_no_window)
{
	struct pair *p = narrow_pair_window(mtu(1400), 0, 30000);

	p->rate = 500000;
	offer(&p->side[0].sub, 8000000);
	run_for(p, 1500 * SN_MSEC);
	uint32_t rtos = p->side[0].sub.rtos, ssthresh = tcp(p, 0)->ssthresh, probes = 0;
	for (int i = 0; i < 5000; i++) {
		run_for(p, SN_MSEC);
		audit(tcp(p, 0));
		CHECK(tcp(p, 0)->ca == SN_CA_OPEN || !probes);
		probes = (uint32_t)counters(p)->pmtu_probes_lost;
	}
	CHECK(probes >= 2);
	CHECK_EQ(tcp(p, 0)->ssthresh, ssthresh);
	CHECK_EQ(p->side[0].sub.rtos, rtos);
	CHECK(tcp(p, 0)->pmtu.mtu > mtu(1400) - 16 && tcp(p, 0)->pmtu.mtu <= mtu(1400));
	CHECK(run_transfer(p, 30 * SN_SEC));
	pair_down(p);
}

static void outage(uint16_t path)
{
	struct pair *p = narrow_pair(path, 1);

	p->rate = 500000;
	offer(&p->side[0].sub, 4000000);
	run_for(p, 200 * SN_MSEC);
	p->script[OFF] = 1;
	run_for(p, 700 * SN_MSEC);
	p->script[OFF] = 0;
	CHECK(tcp(p, 0)->pmtu.mtu <= 1280);
	run_for(p, SN_SEC);
	CHECK(p->side[1].sub.received > 0);
	CHECK_EQ(tcp(p, 0)->pmtu.mtu, path ? path : mtu(1500));
	CHECK_EQ(counters(p)->pmtu_black_hole, 0); /* small pieces vanished as well */
	CHECK_EQ(counters(p)->pmtu_probes, 0);
	CHECK(run_transfer(p, 20 * SN_SEC));
	pair_down(p);
}

SN_TEST(an_outage_is_no_black_hole)
{
	outage(0);
	outage(mtu(1400)); /* which a router told before */
}

static enum verdict lossy(struct pair *p, int from, const struct sn_tcp_seg *seg, uint8_t *tcp)
{
	(void)from, (void)tcp;
	return seg->len && sn_rng_below(&p->rng, 100) < 8 ? DROP : PASS;
}

SN_TEST(segments_lost_among_others_that_arrive_are_no_black_hole)
{
	struct pair *p = narrow_pair(0, 0);

	p->rate = 5000000;
	p->filter = lossy;
	offer(&p->side[0].sub, 10000000);
	CHECK(run_transfer(p, 60 * SN_SEC));
	CHECK(tcp(p, 0)->retrans > 500);
	CHECK_EQ(counters(p)->pmtu_black_hole, 0);
	pair_down(p);
}

SN_TEST(a_probe_waits_for_data_that_fills_it)
{
	struct pair *p = narrow_pair(mtu(1300), 0);

	offer(&p->side[0].sub, 20000);
	CHECK(run_transfer(p, SN_SEC));
	CHECK_EQ(tcp(p, 0)->pmtu.mtu, 1280);
	run_for(p, 400 * SN_SEC);
	CHECK_EQ(counters(p)->pmtu_probes, 0);
	CHECK(tcp(p, 0)->pmtu.searching);
	struct sn_chunk some = {.data = p->pattern + 20000, .len = 500};
	CHECK_EQ(ops->send(tcp(p, 0), &some, 0, 500, 20000, p->now), 500); /* is not held back for it */
	run_for(p, 100 * SN_MSEC);
	CHECK_EQ(p->side[1].sub.received, 20500);
	CHECK_EQ(counters(p)->pmtu_probes, 0);
	CHECK(sn_timer_armed(&tcp(p, 0)->pmtu.timer));
	hang_up(p);
	pair_down(p);
}

SN_TEST(without_sack_there_is_no_probe_but_another_try_after_ten_minutes)
{
	struct pair *p = narrow_pair_window(mtu(1300), 0, 30000);

	p->rate = 100000;
	tcp(p, 0)->sack_on = false;
	offer(&p->side[0].sub, 70000000);
	run_for(p, 10 * SN_SEC);
	CHECK_EQ(tcp(p, 0)->pmtu.mtu, 1280);
	p->script[MTU] = 0;
	run_for(p, 600 * SN_SEC);
	CHECK_EQ(tcp(p, 0)->pmtu.mtu, mtu(1500));
	CHECK_EQ(counters(p)->pmtu_probes, 0);
	CHECK_EQ(counters(p)->pmtu_black_hole, 1);
	pair_down(p);
}

/* --- cutting records ---------------------------------------------------------------------------------------------- */

SN_TEST(records_over_many_chunks_are_cut_with_their_references)
{
	static const uint32_t sizes[] = {1, 7, 100, 500, 1208, 1428, 5000};

	for (uint32_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
		for (uint32_t own = 0; own < 2; own++) {
			struct pair *p = narrow_pair(mtu(1280), 1);
			p->side[0].sub.chunk_size = sizes[i];
			offer(&p->side[0].sub, 20000);
			if (own)
				CHECK(ops->own(tcp(p, 0)));
			CHECK(run_transfer(p, SN_SEC));
			CHECK(p->script[VANISHED] > 0);
			audit(tcp(p, 0));
			pair_down(p);
		}
}

SN_TEST(without_records_or_buffers_for_the_pieces_the_timer_tries_again)
{
	for (uint32_t own = 0; own < 2; own++) {
		struct pair *p = narrow_pair(mtu(1300), 1);
		struct sn_slab *segs = &p->side[0].e->tcp.segs;
		void *taken[16384];
		uint32_t n = 0;
		offer(&p->side[0].sub, 14280);
		if (own)
			CHECK(ops->own(tcp(p, 0)));
		while (!own && (taken[n] = sn_slab_take(segs)))
			n++;
		settle(p);
		if (own)
			p->side[0].pool.limit = 0;
		run_for(p, 100 * SN_MSEC);
		CHECK_EQ(p->side[1].sub.received, 0);
		CHECK(own ? counters(p)->tx_nobuf : counters(p)->tcp_mem_limit);
		audit(tcp(p, 0));
		while (n)
			sn_slab_put(segs, taken[--n]);
		p->side[0].pool.limit = SN_SIM_POOL_SLAB * SN_SIM_POOL_MAX_SLABS;
		CHECK(run_transfer(p, 10 * SN_SEC));
		pair_down(p);
	}
}

SN_TEST(random_losses_on_a_path_that_changes_keep_every_sum_right)
{
	for (uint32_t seed = 0; seed < 12; seed++) {
		struct pair *p = narrow_pair(0, seed & 1);
		p->rng = sn_rng_seed(seed, 3);
		p->rate = 400000;
		p->cc = seed % 3 == 2 ? "bbr" : NULL;
		p->side[0].sub.chunk_size = 1 + (uint32_t)sn_rng_below(&p->rng, 4000);
		offer(&p->side[0].sub, 2000000);
		for (uint32_t i = 0; i < 500 && p->side[1].sub.received < 2000000; i++) {
			if (i % 40 == 0)
				p->script[MTU] = mtu(1280 + (uint32_t)sn_rng_below(&p->rng, 221));
			p->script[OFF] = sn_rng_below(&p->rng, 10) == 0;
			for (int k = 0; k < 10; k++) {
				run_for(p, 2 * SN_MSEC);
				audit(tcp(p, 0));
			}
		}
		p->script[OFF] = 0;
		CHECK(run_transfer(p, 60 * SN_SEC));
		CHECK(counters(p)->pmtu_lowered || counters(p)->pmtu_black_hole);
		pair_down(p);
	}
}

PAIR_TEST_MAIN()
