/* SPDX-License-Identifier: Apache-2.0
 *
 * Fragments of both families: what is put together, what is given up, and that neither holds more than it may.
 */
#include "net_fake.h"

enum { HELD = 64, HELD_OF_ONE = 16, PIECES = 64, UDP = 17, DEST = 60, FRAG_HDR = 44 };

static int tcp_a;
static uint8_t segment[2048]; /* TCP header and payload */

/* What a router makes of a packet. */
struct piece {
	bool v6, last;
	uint8_t next, tos,
		options;  /* options: bytes of IPv4 options, or of destination options before the Fragment header */
	uint32_t id, src; /* src: 0: the peer, else another host */
	uint32_t off, len;
	const uint8_t *data; /* NULL: that part of `segment` */
	uint8_t flags;       /* of the buffer */
	sn_time now;
};

static struct sn_addr source6(uint32_t src) { return src ? addr6((uint16_t)src, 9) : peer6(); }

static void rx_piece(struct piece f)
{
	static uint8_t p[70000];
	struct sn_addr us = our6(), peer = source6(f.src);
	uint8_t next = f.next ? f.next : SN_IP_TCP;
	uint32_t hdr = f.v6 ? 48u + f.options : 20u + f.options;

	memset(p, 1, hdr); /* IPv4 options: no operation */
	memcpy(p + hdr, f.data ? f.data : segment + f.off, f.len);
	if (f.v6) {
		uint8_t *x = p + 40 + f.options;
		ip6_packet(p, &peer, &us, f.options ? DEST : FRAG_HDR, 64, hdr - 40 + f.len);
		p[1] = (uint8_t)(f.tos << 4);
		if (f.options) {
			memset(p + 40, 0, f.options);
			p[40] = FRAG_HDR;
			p[41] = (uint8_t)(f.options / 8 - 1);
		}
		x[0] = next;
		x[1] = 0;
		sn_put16(x + 2, (uint16_t)(f.off | !f.last));
		sn_put32(x + 4, f.id);
	} else {
		struct sn_ipv4 h = {.src = f.src ? 0x0b000000 + f.src : PEER_IP,
				    .dst = OUR_IP,
				    .id = (uint16_t)f.id,
				    .frag = (uint16_t)(f.off / 8 | (f.last ? 0 : SN_IPV4_MF)),
				    .ttl = 64,
				    .proto = next,
				    .tos = f.tos,
				    .total_len = (uint16_t)(hdr + f.len)};
		sn_ipv4_emit(p, &h, false);
		p[0] = (uint8_t)(0x40 | hdr / 4);
		sn_put16(p + 10, sn_csum_finish(sn_csum_partial(p, hdr, 0)));
	}
	struct sn_buf *b = fake_alloc(&fake_pool);
	REQUIRE(14 + hdr + f.len <= FAKE_ROOM - SN_HEADROOM);
	sn_eth_emit(b->data, fake_mac[0], peer_mac, f.v6 ? SN_ETH_IPV6 : SN_ETH_IPV4);
	memcpy(b->data + 14, p, hdr + f.len);
	b->len = 14 + hdr + f.len;
	b->port = 0;
	b->flags = f.flags;
	sn_net_rx(fake.e, &b, 1, f.now ? f.now : SN_SEC);
}

/* A good segment of the peer; returns its length with the TCP header. */
static uint32_t segment_of(bool v6, uint32_t payload)
{
	struct sn_tcp_seg s = {.sport = 80, .dport = 33000, .seq = 1000, .ack = 2000, .wnd = 100, .flags = SN_TH_ACK};
	struct sn_addr us = v6 ? our6() : sn_addr_v4(OUR_IP), peer = v6 ? peer6() : sn_addr_v4(PEER_IP);
	uint32_t len = 20 + payload;

	sn_tcp_emit(segment, &s, 0);
	for (uint32_t i = 0; i < payload; i++)
		segment[20 + i] = (uint8_t)(i * 7 + i / 251 + 1);
	sn_tcp_set_csum(segment,
			sn_csum_finish(sn_csum_partial(segment, len, sn_csum_pseudo(&peer, &us, SN_IP_TCP, len))));
	return len;
}

static struct sn_engine *start_with_flow(bool v6, uint32_t workers)
{
	struct sn_engine *e = fake_start6(0, workers, false);
	struct sn_flow f = {.local = v6 ? our6() : sn_addr_v4(OUR_IP),
			    .remote = v6 ? peer6() : sn_addr_v4(PEER_IP),
			    .lport = 33000,
			    .rport = 80};

	CHECK_EQ(sn_net_flow_insert(e, &f, (struct sn_tcp *)&tcp_a), SN_OK);
	return e;
}

static void arrived(uint32_t payload)
{
	CHECK_EQ(fake.inputs, 1);
	CHECK(fake.input_tcp == (struct sn_tcp *)&tcp_a);
	CHECK_EQ(fake.input_len, payload);
	CHECK_MEM(fake.input_data, segment + 20, payload);
	fake.inputs = 0;
}

/* Buffers of packets that wait. */
static uint32_t held(void) { return (uint32_t)fake.live; }

SN_TEST(fragments_in_any_order_make_the_segment_whole)
{
	static const uint8_t orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

	for (int v6 = 0; v6 < 2; v6++) {
		struct sn_engine *e = start_with_flow(v6, 1);
		for (uint32_t len = 49; len < 1440; len += 173)
			for (uint32_t o = 0; o < 6; o++) {
				uint32_t payload = len - 20, third = (segment_of(v6, payload) / 3) & ~7u;
				third = SN_MAX(third, 24);
				for (uint32_t i = 0; i < 3; i++) {
					uint32_t n = orders[o][i];
					rx_piece((struct piece){.v6 = v6,
								.id = len,
								.off = n * third,
								.len = n == 2 ? len - 2 * third : third,
								.last = n == 2});
					CHECK_EQ(held(), i < 2);
				}
				arrived(payload);
			}
		CHECK_EQ(e->counters.frag_done, 6 * 9);
		CHECK_EQ(e->counters.frag_rx, 3 * 6 * 9);
		CHECK_EQ(e->counters.rx_drop_frag + e->counters.rx_drop_tcp + e->counters.rx_drop_ip, 0);
		CHECK_EQ(e->counters.frag_conflict + e->counters.frag_dup + e->counters.frag_evicted, 0);
		fake_stop();
	}
}

SN_TEST(what_was_put_together_is_checked_like_any_packet)
{
	struct sn_engine *e = start_with_flow(false, 1);

	for (int verified = 0; verified < 2; verified++) {
		segment_of(false, 60);
		segment[70] ^= 1;
		rx_piece((struct piece){.id = 1, .len = 40, .flags = verified ? SN_BUF_CSUM_GOOD : 0});
		rx_piece((struct piece){
			.id = 1, .off = 40, .len = 40, .last = true, .flags = verified ? SN_BUF_CSUM_GOOD : 0});
		CHECK_EQ(e->counters.frag_done, verified + 1);
		CHECK_EQ(e->counters.rx_drop_tcp, verified + 1); /* no port vouches for the sum of a fragment */
	}
	CHECK_EQ(fake.inputs, 0);
	fake_stop();
}

SN_TEST(headers_of_the_first_fragment_are_those_of_the_packet)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct sn_engine *e = start_with_flow(v6, 1);
		segment_of(v6, 60);
		rx_piece((struct piece){.v6 = v6, .off = 40, .len = 40, .last = true});
		rx_piece((struct piece){.v6 = v6, .len = 40, .options = 24});
		arrived(60);
		rx_piece((struct piece){.v6 = v6, .len = 40});
		rx_piece((struct piece){.v6 = v6, .off = 40, .len = 40, .options = 8, .last = true});
		arrived(60);
		CHECK_EQ(e->counters.rx_drop_ip, 0);
		fake_stop();
	}
}

SN_TEST(destination_options_may_stand_behind_the_fragment_header)
{
	struct sn_engine *e = start_with_flow(true, 1);
	static const uint8_t options[8] = {SN_IP_TCP, 0, 1, 4, 0, 0, 0, 0};
	uint8_t cut[2048];

	memcpy(cut, options, 8);
	uint32_t len = segment_of(true, 60);
	memcpy(cut + 8, segment, len);
	rx_piece((struct piece){.v6 = true, .next = DEST, .data = cut + 48, .off = 48, .len = 40, .last = true});
	rx_piece((struct piece){.v6 = true, .next = DEST, .data = cut, .len = 48});
	arrived(60);
	/* All headers must be in the first fragment, and none of them may be another Fragment header. */
	cut[0] = FRAG_HDR;
	rx_piece((struct piece){.v6 = true, .id = 1, .next = DEST, .data = cut, .len = 48});
	cut[0] = DEST;
	cut[8] = SN_IP_TCP;
	cut[9] = 9;
	rx_piece((struct piece){.v6 = true, .id = 2, .next = DEST, .data = cut, .len = 48});
	CHECK_EQ(e->counters.rx_drop_frag, 2);
	CHECK_EQ(held(), 0);
	fake_stop();
}

SN_TEST(a_segment_of_many_fragments_up_to_the_limit)
{
	for (uint32_t n = PIECES; n <= PIECES + 1; n++) {
		struct sn_engine *e = start_with_flow(false, 1);
		uint32_t len = 24 + 8 * (n - 1);
		segment_of(false, len - 20);
		rx_piece((struct piece){.len = 24});
		for (uint32_t i = 1; i < n; i++)
			rx_piece((struct piece){.off = 16 + 8 * i, .len = 8, .last = i == n - 1});
		if (n == PIECES)
			arrived(len - 20);
		CHECK_EQ(e->counters.frag_too_big, n > PIECES);
		CHECK_EQ(held(), 0);
		fake_stop();
	}
}

SN_TEST(exact_duplicates_are_passed_over)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct sn_engine *e = start_with_flow(v6, 1);
		segment_of(v6, 100);
		for (int i = 0; i < 2; i++)
			rx_piece((struct piece){.v6 = v6, .off = 80, .len = 40, .last = true});
		for (int i = 0; i < 3; i++)
			rx_piece((struct piece){.v6 = v6, .len = 40});
		rx_piece((struct piece){.v6 = v6, .off = 40, .len = 40});
		arrived(100);
		CHECK_EQ(e->counters.frag_dup, 3);
		CHECK_EQ(e->counters.frag_conflict, 0);
		fake_stop();
	}
}

SN_TEST(fragments_that_overlap_or_contradict_give_the_packet_up_and_all_that_still_comes)
{
	static uint8_t other[200];
	static const struct piece bad[] = {
		{.off = 40, .len = 40, .data = other}, /* the same place, other bytes */
		{.off = 32, .len = 16},                /* into it from the front */
		{.off = 72, .len = 16},                /* into it from its end */
		{.off = 48, .len = 8},                 /* inside, the same bytes */
		{.off = 32, .len = 64},                /* around it */
		{.off = 40, .len = 48},                /* longer */
		{.off = 40, .len = 32},                /* shorter */
		{.off = 64, .len = 9, .last = true},   /* an end inside */
		{.off = 8, .len = 16, .last = true},   /* an end before it */
	};

	for (int v6 = 0; v6 < 2; v6++)
		for (uint32_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
			struct sn_engine *e = start_with_flow(v6, 1);
			struct piece f = bad[i];
			segment_of(v6, 140);
			f.v6 = v6;
			rx_piece((struct piece){.v6 = v6, .off = 40, .len = 40});
			rx_piece(f);
			CHECK_EQ(e->counters.frag_conflict, 1);
			CHECK_EQ(held(), 0);
			rx_piece((struct piece){.v6 = v6, .len = 40});
			rx_piece((struct piece){.v6 = v6, .off = 40, .len = 40});
			rx_piece((struct piece){.v6 = v6, .off = 80, .len = 80, .last = true});
			CHECK_EQ(fake.inputs, 0);
			CHECK_EQ(e->counters.rx_drop_frag, 3);
			CHECK_EQ(held(), 0);
			/* Another packet of the same sender is not touched, nor the same number when its time is over. */
			rx_piece((struct piece){.v6 = v6, .id = 2, .len = 40});
			rx_piece((struct piece){.v6 = v6, .id = 2, .off = 40, .len = 120, .last = true});
			arrived(140);
			sn_wheel_run(&e->wheel, 100 * SN_SEC);
			rx_piece((struct piece){.v6 = v6, .len = 40, .now = 100 * SN_SEC});
			rx_piece((struct piece){.v6 = v6, .off = 40, .len = 120, .last = true, .now = 100 * SN_SEC});
			arrived(140);
			fake_stop();
		}
}

SN_TEST(nothing_stands_behind_the_last_fragment_and_there_is_one)
{
	struct sn_engine *e = start_with_flow(false, 1);

	segment_of(false, 140);
	rx_piece((struct piece){.id = 1, .off = 80, .len = 9, .last = true});
	rx_piece((struct piece){.id = 1, .off = 96, .len = 8});
	rx_piece((struct piece){.id = 2, .off = 80, .len = 8, .last = true});
	rx_piece((struct piece){.id = 2, .off = 40, .len = 8, .last = true});
	CHECK_EQ(e->counters.frag_conflict, 2);
	CHECK_EQ(held(), 0);
	fake_stop();
}

SN_TEST(malformed_fragments_are_dropped_and_counted)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct sn_engine *e = start_with_flow(v6, 1);
		uint8_t with_options[64];
		segment_of(v6, 140);
		memcpy(with_options, segment, sizeof with_options);
		with_options[12] = 8 << 4; /* a TCP header of 32 bytes */
		const struct piece bad[] = {
			{.len = 41},                         /* not the last, not a multiple of 8 */
			{.off = 40, .len = 0, .last = true}, /* nothing in it */
			{.len = 16},                         /* a piece of a TCP header */
			{.len = 24, .data = with_options},   /* all but its options */
			{.len = 8, .next = SN_IP_TCP},       /* ports alone */
		};
		for (uint32_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
			struct piece f = bad[i];
			f.v6 = v6;
			f.id = i;
			rx_piece(f);
			CHECK_EQ(e->counters.rx_drop_frag, i + 1);
		}
		rx_piece((struct piece){.v6 = v6, .next = UDP, .len = 40});
		rx_piece((struct piece){.v6 = v6, .next = UDP, .off = 40, .len = 40, .last = true});
		CHECK_EQ(e->counters.rx_drop_proto, 2);
		CHECK_EQ(held(), 0);
		fake_stop();
	}
}

SN_TEST(more_headers_than_fit_before_a_packet_are_refused)
{
	struct sn_engine *e = start_with_flow(true, 1);

	segment_of(true, 140);
	rx_piece((struct piece){.v6 = true, .len = 40, .options = 80});
	CHECK_EQ(e->counters.rx_drop_frag, 1);
	/* The first fragment has more than the others, and the packet was as long as it could be. */
	uint32_t most = FAKE_ROOM - SN_HEADROOM - 14 - 40;
	rx_piece((struct piece){.v6 = true, .id = 1, .off = most & ~7u, .len = most % 8 ? most % 8 : 8, .last = true});
	for (uint32_t off = most & ~7u; off; off -= off > 400 ? 400 : off)
		rx_piece((struct piece){.v6 = true,
					.id = 1,
					.off = off > 400 ? off - 400 : 0,
					.len = off > 400 ? 400 : off,
					.options = off > 400 ? 0 : 24});
	CHECK_EQ(e->counters.frag_too_big, 1);
	CHECK_EQ(e->counters.frag_done, 0);
	CHECK_EQ(held(), 0);
	fake_stop();
}

SN_TEST(a_packet_beyond_a_buffer_or_beyond_65535_bytes_is_given_up)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct sn_engine *e = start_with_flow(v6, 1);
		segment_of(v6, 1800);
		rx_piece((struct piece){.v6 = v6, .id = 1, .len = 1480});
		rx_piece((struct piece){.v6 = v6, .id = 1, .off = 1480, .len = 480, .data = segment, .last = true});
		CHECK_EQ(e->counters.frag_too_big, 1);
		rx_piece((struct piece){.v6 = v6, .id = 2, .off = 65528, .len = 800, .data = segment, .last = true});
		CHECK_EQ(e->counters.frag_too_big, 2);
		CHECK_EQ(held(), 0);
		fake_stop();
	}
}

SN_TEST(the_longest_packet_that_fits_a_buffer_is_put_together)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct sn_engine *e = start_with_flow(v6, 1);
		uint32_t len = FAKE_ROOM - SN_HEADROOM - 14 - (v6 ? 40 : 20);
		segment_of(v6, len - 20);
		rx_piece((struct piece){.v6 = v6, .off = 1400, .len = len - 1400, .last = true});
		rx_piece((struct piece){.v6 = v6, .len = 1400});
		arrived(len - 20);
		CHECK_EQ(e->counters.frag_too_big, 0);
		fake_stop();
	}
}

SN_TEST(an_incomplete_packet_is_given_up_in_time)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct sn_engine *e = start_with_flow(v6, 1);
		sn_time limit = v6 ? 60 * SN_SEC : 30 * SN_SEC;
		segment_of(v6, 140);
		rx_piece((struct piece){.v6 = v6, .id = 1, .len = 40, .now = SN_SEC});
		rx_piece((struct piece){.v6 = v6, .id = 2, .len = 40, .now = 11 * SN_SEC});
		rx_piece((struct piece){.v6 = v6, .id = 1, .off = 80, .len = 40, .now = 20 * SN_SEC}); /* no new term */
		sn_wheel_run(&e->wheel, SN_SEC + limit - SN_MSEC);
		CHECK_EQ(held(), 2);
		sn_wheel_run(&e->wheel, SN_SEC + limit + SN_MSEC);
		CHECK_EQ(held(), 1);
		CHECK_EQ(e->counters.frag_timeout, 1);
		sn_wheel_run(&e->wheel, 11 * SN_SEC + limit + SN_MSEC);
		CHECK_EQ(held(), 0);
		CHECK_EQ(e->counters.frag_timeout, 2);
		/* What comes too late begins anew, and goes in time. */
		rx_piece((struct piece){.v6 = v6, .id = 1, .off = 40, .len = 40, .now = 200 * SN_SEC});
		CHECK_EQ(fake.inputs, 0);
		sn_wheel_run(&e->wheel, 300 * SN_SEC);
		CHECK_EQ(held(), 0);
		CHECK_EQ(e->wheel.armed, 0);
		fake_stop();
	}
}

SN_TEST(one_sender_cannot_hold_more_than_its_share_and_loses_its_own_oldest)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct sn_engine *e = start_with_flow(v6, 1);
		segment_of(v6, 60);
		rx_piece((struct piece){.v6 = v6, .id = 7, .len = 40}); /* of the peer, the oldest of all */
		for (uint32_t i = 0; i < 1000; i++)
			rx_piece((struct piece){.v6 = v6, .id = i, .src = 5, .len = 40, .now = SN_SEC + i});
		CHECK_EQ(held(), 1 + HELD_OF_ONE);
		CHECK_EQ(e->counters.frag_evicted, 1000 - HELD_OF_ONE);
		rx_piece((struct piece){.v6 = v6, .id = 7, .off = 40, .len = 40, .last = true});
		arrived(60);
		for (uint32_t i = 1000; i-- > 1000 - HELD_OF_ONE;) /* the youngest are still there */
			rx_piece((struct piece){.v6 = v6, .id = i, .src = 5, .off = 40, .len = 40, .last = true});
		CHECK_EQ(e->counters.frag_done, 1 + HELD_OF_ONE);
		CHECK_EQ(held(), 0);
		fake_stop();
	}
}

SN_TEST(a_flood_of_many_senders_is_bounded_and_the_oldest_makes_room)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct sn_engine *e = start_with_flow(v6, 1);
		segment_of(v6, 60);
		rx_piece((struct piece){.v6 = v6, .id = 7, .len = 40});
		for (uint32_t i = 1; i <= 5000; i++) {
			rx_piece((struct piece){.v6 = v6, .id = i, .src = i, .len = 40, .now = SN_SEC + i});
			CHECK(held() <= HELD);
		}
		CHECK_EQ(held(), HELD);
		CHECK_EQ(e->counters.frag_evicted, 5001 - HELD);
		rx_piece((struct piece){.v6 = v6, .id = 7, .off = 40, .len = 40, .last = true});
		CHECK_EQ(fake.inputs, 0);
		/* The youngest are there; whoever comes now gets through. */
		rx_piece((struct piece){.v6 = v6, .id = 8, .len = 40, .now = 2 * SN_SEC});
		rx_piece((struct piece){.v6 = v6, .id = 8, .off = 40, .len = 40, .last = true, .now = 2 * SN_SEC});
		arrived(60);
		sn_wheel_run(&e->wheel, 200 * SN_SEC);
		CHECK_EQ(held(), 0);
		fake_stop();
	}
}

static uint32_t pool_free;
static uint32_t pool_avail(struct sn_pool *pool, uint32_t *size)
{
	(void)pool;
	*size = 100;
	return pool_free;
}

SN_TEST(fragments_hold_no_buffer_when_buffers_are_short)
{
	struct sn_engine *e = start_with_flow(false, 1);

	segment_of(false, 60);
	fake_pool.avail = pool_avail;
	pool_free = 50;
	rx_piece((struct piece){.id = 1, .len = 40});
	pool_free = 24;
	rx_piece((struct piece){.id = 2, .len = 40});
	CHECK_EQ(e->counters.frag_nobuf, 1);
	CHECK_EQ(held(), 1);
	rx_piece((struct piece){.id = 1, .off = 40, .len = 40, .last = true}); /* what was begun may be finished */
	arrived(60);
	fake_pool.avail = NULL;
	fake_stop();
}

SN_TEST(all_fragments_of_a_packet_meet_at_one_worker_wherever_they_land)
{
	for (int v6 = 0; v6 < 2; v6++) {
		uint32_t here = 0, spread[4] = {0};
		for (uint32_t id = 0; id < 60; id++) {
			struct sn_engine *e = start_with_flow(v6, 4);
			segment_of(v6, 60);
			rx_piece((struct piece){.v6 = v6, .id = id, .len = 40});
			rx_piece((struct piece){.v6 = v6, .id = id, .off = 40, .len = 40, .last = true});
			CHECK_EQ(e->counters.frag_forwarded, fake.forwarded_count);
			CHECK_EQ(e->counters.misdirected, 0);
			if (!fake.forwarded_count) {
				here++;
				arrived(60);
				fake_stop();
				continue;
			}
			REQUIRE(fake.forwarded_count == 2);
			uint32_t owner = fake.forwarded[0].worker;
			CHECK_EQ(fake.forwarded[1].worker, owner);
			CHECK(owner > 0 && owner < 4);
			spread[owner & 3]++;
			/* As if we were the one they meet at; the whole segment then goes where its flow is. */
			fake.forwarded_count = 0;
			struct sn_buf *v[2] = {fake.forwarded[0].b, fake.forwarded[1].b};
			e->cfg.worker = owner;
			sn_net_rx(e, v, 2, SN_SEC);
			CHECK_EQ(fake.forwarded_count, 0);
			CHECK_EQ(e->counters.frag_done, 1);
			CHECK_EQ(e->counters.frag_rx, 2);
			arrived(60);
			fake_stop();
		}
		CHECK(here > 5 && spread[1] > 5 && spread[2] > 5 && spread[3] > 5);
	}
}

SN_TEST(a_fragment_is_never_forwarded_again)
{
	struct sn_engine *e = start_with_flow(false, 4);

	segment_of(false, 60);
	for (uint32_t id = 0; id < 20; id++) /* the others think that all of them are ours */
		rx_piece((struct piece){.id = id % 10,
					.off = id < 10 ? 0 : 40,
					.len = 40,
					.last = id >= 10,
					.flags = SN_BUF_FORWARDED});
	CHECK_EQ(fake.forwarded_count, 0);
	CHECK_EQ(e->counters.frag_done, 10);
	CHECK_EQ(fake.inputs, 10);
	fake_stop();
}

SN_TEST(a_segment_put_together_is_forwarded_to_the_worker_that_has_its_flow)
{
	struct sn_engine *e = fake_start(0, 2, false);
	struct sn_tcp_seg s = {.sport = 80, .dport = 32768 + 4096 + 5, .flags = SN_TH_ACK};
	struct sn_addr us = sn_addr_v4(OUR_IP), peer = sn_addr_v4(PEER_IP);

	memset(segment, 3, 80);
	sn_tcp_emit(segment, &s, 0);
	sn_tcp_set_csum(segment,
			sn_csum_finish(sn_csum_partial(segment, 80, sn_csum_pseudo(&peer, &us, SN_IP_TCP, 80))));
	for (uint32_t id = 0; !e->counters.frag_done; id++) {
		REQUIRE(id < 20);
		rx_piece((struct piece){.id = id, .len = 40});
		rx_piece((struct piece){.id = id, .off = 40, .len = 40, .last = true});
	}
	const struct sn_buf *b = fake.forwarded[fake.forwarded_count - 1].b;
	CHECK_EQ(e->counters.misdirected, 1);
	CHECK_EQ(b->len, 14 + 20 + 80);
	struct sn_ipv4 ip;
	REQUIRE(sn_ipv4_parse(&ip, b->data + 14, b->len - 14, true));
	CHECK_EQ(ip.frag, 0);
	CHECK_EQ(ip.total_len, 100);
	CHECK_MEM(b->data + 34, segment, 80);
	fake_stop();
}

SN_TEST(a_full_ring_drops_fragments_for_another_worker)
{
	struct sn_engine *e = start_with_flow(false, 4);

	segment_of(false, 60);
	fake.ring_full = true;
	for (uint32_t id = 0; id < 20; id++)
		rx_piece((struct piece){.id = id, .len = 40});
	CHECK(e->counters.forward_full > 5);
	CHECK_EQ(e->counters.frag_forwarded, 0);
	CHECK_EQ(held(), 20 - e->counters.forward_full);
	fake_stop();
}

SN_TEST(congestion_experienced_of_one_fragment_is_that_of_the_packet)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct sn_engine *e = start_with_flow(v6, 1);
		segment_of(v6, 60);
		for (uint8_t ce = 0; ce < 3; ce++) { /* none, the first, the second */
			rx_piece((struct piece){.v6 = v6, .tos = ce == 1 ? 3 : 2, .id = ce, .len = 40});
			rx_piece((struct piece){
				.v6 = v6, .tos = ce == 2 ? 3 : 2, .id = ce, .off = 40, .len = 40, .last = true});
			CHECK_EQ(fake.input_flags & SN_BUF_CE, ce ? SN_BUF_CE : 0);
			arrived(60);
		}
		rx_piece((struct piece){.v6 = v6, .tos = 0, .id = 9, .len = 40});
		rx_piece((struct piece){.v6 = v6, .tos = 3, .id = 9, .off = 40, .len = 40, .last = true});
		CHECK_EQ(fake.inputs, 0);
		CHECK_EQ(e->counters.frag_conflict, 1);
		CHECK_EQ(held(), 0);
		fake_stop();
	}
}

/* An echo request of `len` bytes with its header in two fragments. */
static void rx_echo(bool v6, uint32_t len, uint8_t type)
{
	struct sn_addr us = our6(), peer = peer6();

	for (uint32_t i = 8; i < len; i++)
		segment[i] = (uint8_t)(i * 3 + i / 256);
	if (v6) {
		struct sn_icmp6 m = {.type = type, .id = 5, .seq = 6};
		sn_icmp6_emit(segment, &m, &peer, &us, len - 8);
	} else {
		struct sn_icmp m = {.type = type, .id = 5, .seq = 6};
		sn_icmp_emit(segment, &m, len - 8);
	}
	uint8_t next = v6 ? SN_IP_ICMP6 : SN_IP_ICMP;
	rx_piece((struct piece){.v6 = v6, .id = len, .next = next, .len = 400});
	rx_piece((struct piece){.v6 = v6, .id = len, .next = next, .off = 400, .len = len - 400, .last = true});
}

SN_TEST(an_echo_request_in_fragments_is_answered_as_far_as_one_frame_goes)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct sn_engine *e = fake_start6(0, 1, false);
		uint32_t most = 1500 - (v6 ? 40 : 20);
		if (v6)
			rx_solicit(peer6(), our6(), 0, 1);
		else
			rx_arp(SN_ARP_REQUEST, PEER_IP, OUR_IP, 0, 1);
		fake.sent_count = 0;
		rx_echo(v6, most, v6 ? SN_ICMP6_ECHO : SN_ICMP_ECHO);
		REQUIRE(fake.sent_count == 1);
		const uint8_t *l4 = fake.sent[0].data + 14 + (v6 ? 40 : 20);
		CHECK_EQ(fake.sent[0].len, 1514);
		CHECK_EQ(l4[0], v6 ? SN_ICMP6_ECHO_REPLY : SN_ICMP_ECHO_REPLY);
		CHECK_MEM(l4 + 8, segment + 8, most - 8);
		if (!v6) /* a router on the way may cut it as it cut the request */
			CHECK_EQ(sn_get16(fake.sent[0].data + 14 + 6), 0);
		rx_echo(v6, most + 1, v6 ? SN_ICMP6_ECHO : SN_ICMP_ECHO);
		CHECK_EQ(fake.sent_count, 1);
		CHECK_EQ(e->counters.icmp_too_big, 1);
		CHECK_EQ(held(), 0);
		fake_stop();
	}
}

SN_TEST(neighbour_discovery_in_fragments_is_refused)
{
	struct sn_engine *e = fake_start6(0, 1, false);

	rx_echo(true, 800, SN_ICMP6_SOLICIT);
	rx_echo(true, 808, SN_ICMP6_ADVERTISE);
	CHECK_EQ(e->counters.rx_drop_frag, 2);
	CHECK_EQ(e->counters.nd_rx, 0);
	CHECK_EQ(e->net.neighs.used, 0);
	fake_stop();
}

SN_TEST(fragments_to_a_group_or_of_nobody_are_dropped)
{
	struct sn_engine *e = fake_start6(0, 1, false);
	struct sn_addr us = our6(), all = sn_ipv6_all_nodes(), peer = peer6();
	uint8_t p[100] = {0}, mac[6];

	for (uint32_t i = 0; i < 2; i++) {
		ip6_packet(p, i ? &us : &peer, i ? &us : &all, FRAG_HDR, 64, 48);
		memcpy(p + 40, (uint8_t[]){SN_IP_ICMP6, 0, 0, 1, 0, 0, 0, 1, SN_ICMP6_ECHO}, 9);
		memcpy(mac, fake_mac[0], 6);
		if (!i)
			sn_ipv6_group_mac(mac, &all);
		rx_raw(mac, SN_ETH_IPV6, p, 88, 0, 0, 1);
	}
	CHECK_EQ(e->counters.rx_drop_frag, 1);
	CHECK_EQ(e->counters.rx_drop_ip, 1);
	CHECK_EQ(held(), 0);
	fake_stop();
}

SN_TEST_MAIN()
