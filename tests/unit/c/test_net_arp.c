/* SPDX-License-Identifier: Apache-2.0
 *
 * Neighbours: resolving, waiting, ageing, what is learnt from whom, sharing between workers.
 */
#include "net_fake.h"

static bool sent_arp(uint32_t i, struct sn_arp *a, struct sn_eth *eth)
{
	return i < fake.sent_count && sn_eth_parse(eth, fake.sent[i].data, fake.sent[i].len) &&
	       eth->type == SN_ETH_ARP && sn_arp_parse(a, fake.sent[i].data + 14, fake.sent[i].len - 14);
}

static void check_request(uint32_t i, uint32_t target)
{
	struct sn_arp a;
	struct sn_eth eth;

	REQUIRE(sent_arp(i, &a, &eth));
	CHECK_EQ(a.op, SN_ARP_REQUEST);
	CHECK_EQ(a.sender, OUR_IP);
	CHECK_EQ(a.target, target);
	CHECK_MEM(eth.dst, all_ones, 6);
	CHECK_MEM(a.sender_mac, fake_mac[0], 6);
}

static void resolve(sn_time now)
{
	rx_arp(SN_ARP_REQUEST, PEER_IP, OUR_IP, 0, now);
	fake.sent_count = 0;
}

SN_TEST(a_request_for_our_address_is_answered)
{
	struct sn_arp a;
	struct sn_eth eth;

	fake_start(0, 1, false);
	rx_arp(SN_ARP_REQUEST, PEER_IP, OUR_IP, 0, 1);
	CHECK_EQ(fake.sent_count, 1);
	REQUIRE(sent_arp(0, &a, &eth));
	CHECK_EQ(a.op, SN_ARP_REPLY);
	CHECK_EQ(a.sender, OUR_IP);
	CHECK_EQ(a.target, PEER_IP);
	CHECK_MEM(a.sender_mac, fake_mac[0], 6);
	CHECK_MEM(a.target_mac, peer_mac, 6);
	CHECK_MEM(eth.dst, peer_mac, 6);
	fake_stop();
}

SN_TEST(a_request_for_another_address_is_not_answered_nor_learnt)
{
	struct sn_engine *e = fake_start(0, 1, false);

	rx_arp(SN_ARP_REQUEST, PEER_IP, 0x0a000077, 0, 1);
	rx_arp(SN_ARP_REQUEST, PEER_IP, OUR_IP2, 0, 1); /* ours, but on the other port */
	CHECK_EQ(fake.sent_count, 0);
	CHECK_EQ(e->net.neighs.used, 0);
	fake_stop();
}

SN_TEST(a_segment_waits_for_the_reply_and_then_leaves_intact)
{
	uint8_t data[101];
	struct sn_eth eth;
	struct sn_ipv4 ip;
	struct sn_tcp_seg seg;

	fake_start(0, 1, false);
	for (uint32_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)i;
	tx_tcp(PEER_IP, data, 51, data + 51, 50, -1, 1);
	CHECK_EQ(fake.sent_count, 1);
	check_request(0, PEER_IP);
	memset(data, 0xee, sizeof data); /* nothing that waits may point to it */
	rx_arp(SN_ARP_REPLY, PEER_IP, OUR_IP, 0, 2);
	CHECK_EQ(fake.sent_count, 2);
	CHECK_EQ(sent_tcp(1, &eth, &ip, &seg), 121);
	CHECK_MEM(eth.dst, peer_mac, 6);
	CHECK_MEM(eth.src, fake_mac[0], 6);
	CHECK_EQ(fake.sent[1].data[54], 0);
	CHECK_EQ(fake.sent[1].data[154], 100);
	fake_stop();
}

/* Nobody answers for as long as the questions last: they are counted and what they asked forgotten. */
static uint32_t ask_in_vain(sn_time from)
{
	uint32_t asked = 0;

	for (uint32_t i = 1; i <= SN_NEIGH_TRIES; i++) {
		asked += fake.sent_count;
		fake.sent_count = 0;
		sn_wheel_run(&fake.e->wheel, from + i * (SN_SEC + SN_MSEC));
	}
	return asked;
}

SN_TEST(a_question_each_second_for_ten_seconds_then_what_waits_is_dropped)
{
	struct sn_engine *e = fake_start(0, 1, false);

	for (uint32_t i = 0; i < 20; i++)
		tx_tcp(PEER_IP, NULL, 0, NULL, 0, -1, SN_MSEC);
	CHECK_EQ(fake.sent_count, 1);
	CHECK_EQ(e->counters.neigh_pending_drop, 4); /* 16 wait */
	sn_wheel_run(&e->wheel, SN_SEC - SN_MSEC);
	CHECK_EQ(fake.sent_count, 1);
	CHECK_EQ(fake.unreachables, 0);
	CHECK_EQ(ask_in_vain(SN_MSEC), 10);
	CHECK_EQ(e->counters.neigh_pending_drop, 20);
	sn_wheel_run(&e->wheel, 10 * SN_SEC + 20 * SN_MSEC);
	CHECK_EQ(fake.unreachables, 1);
	CHECK_EQ(fake.live, 0);
	fake_stop();
}

SN_TEST(who_needs_one_that_did_not_answer_hears_so_at_once_and_asks_once_a_second)
{
	struct sn_engine *e = fake_start(0, 1, false);

	tx_tcp(PEER_IP, NULL, 0, NULL, 0, -1, SN_MSEC);
	ask_in_vain(SN_MSEC);
	sn_wheel_run(&e->wheel, 10 * SN_SEC + 20 * SN_MSEC);
	CHECK_EQ(fake.unreachables, 1);
	fake.sent_count = 0;
	for (uint32_t i = 0; i < 20; i++) {
		tx_tcp(PEER_IP, NULL, 0, NULL, 0, -1, 11 * SN_SEC + i * 100 * SN_MSEC);
		sn_wheel_run(&e->wheel, 11 * SN_SEC + i * 100 * SN_MSEC + SN_MSEC);
		CHECK_EQ(fake.unreachables, 2 + i);
	}
	CHECK_EQ(fake.live, 0);
	CHECK_EQ(fake.sent_count, 2);
	check_request(1, PEER_IP);
	CHECK_EQ(e->net.neighs.used, 1);
	sn_wheel_run(&e->wheel,
		     13 * SN_SEC + 30 * SN_MSEC); /* three after it was given up, not after the last refusal */
	CHECK_EQ(e->net.neighs.used, 0);
	tx_tcp(PEER_IP, NULL, 0, NULL, 0, -1, 14 * SN_SEC);
	CHECK_EQ(fake.live, 1); /* waits again */
	fake_stop();
}

SN_TEST(a_neighbour_that_was_given_up_is_back_when_it_speaks)
{
	struct sn_engine *e = fake_start(0, 1, false);

	tx_tcp(PEER_IP, NULL, 0, NULL, 0, -1, SN_MSEC);
	ask_in_vain(SN_MSEC);
	resolve(11 * SN_SEC);
	tx_tcp(PEER_IP, NULL, 0, NULL, 0, -1, 11 * SN_SEC);
	REQUIRE(fake.sent_count == 1);
	CHECK_MEM(fake.sent[0].data, peer_mac, 6);
	sn_wheel_run(&e->wheel, 20 * SN_SEC);
	CHECK_EQ(fake.unreachables, 0);
	fake_stop();
}

SN_TEST(a_far_address_resolves_the_gateway)
{
	struct sn_engine *e = fake_start(0, 1, false);

	tx_tcp(FAR_IP, NULL, 0, NULL, 0, -1, 1);
	check_request(0, GATEWAY_IP);
	CHECK_EQ(e->counters.tx_no_route, 0);
	fake_stop();
}

SN_TEST(an_entry_in_use_is_asked_again_after_a_minute_while_its_mac_stays_in_use)
{
	struct sn_engine *e = fake_start(0, 1, false);

	resolve(SN_SEC);
	tx_tcp(PEER_IP, NULL, 0, NULL, 0, -1, 30 * SN_SEC);
	CHECK_EQ(fake.sent_count, 1);
	sn_wheel_run(&e->wheel, 62 * SN_SEC);
	CHECK_EQ(fake.sent_count, 2);
	check_request(1, PEER_IP);
	tx_tcp(PEER_IP, NULL, 0, NULL, 0, -1, 62 * SN_SEC);
	CHECK_EQ(fake.sent_count, 3); /* not delayed */
	rx_arp(SN_ARP_REPLY, PEER_IP, OUR_IP, 0, 62 * SN_SEC);
	sn_wheel_run(&e->wheel, 100 * SN_SEC);
	CHECK_EQ(fake.sent_count, 3);
	CHECK_EQ(e->net.neighs.used, 1);
	fake_stop();
}

SN_TEST(an_unused_entry_goes_after_a_minute)
{
	struct sn_engine *e = fake_start(0, 1, false);

	resolve(SN_SEC);
	CHECK_EQ(e->net.neighs.used, 1);
	sn_wheel_run(&e->wheel, 62 * SN_SEC);
	CHECK_EQ(e->net.neighs.used, 0);
	CHECK_EQ(fake.sent_count, 0);
	fake_stop();
}

SN_TEST(an_entry_that_stays_silent_is_forgotten)
{
	struct sn_engine *e = fake_start(0, 1, false);

	resolve(SN_SEC);
	tx_tcp(PEER_IP, NULL, 0, NULL, 0, -1, 30 * SN_SEC);
	for (uint32_t s = 61; s < 70; s++)
		sn_wheel_run(&e->wheel, s * SN_SEC + SN_MSEC);
	CHECK_EQ(e->net.neighs.used, 0);
	CHECK_EQ(fake.sent_count, 4); /* the segment and three requests */
	fake_stop();
}

SN_TEST(an_unasked_reply_teaches_nothing_but_updates_what_is_known)
{
	struct sn_engine *e = fake_start(0, 1, false);
	struct sn_arp a = {.op = SN_ARP_REPLY, .sender = PEER_IP, .target = PEER_IP, .sender_mac = {2, 9, 9, 9, 9, 9}};
	uint8_t p[SN_ARP_LEN];

	rx_arp(SN_ARP_REPLY, PEER_IP, OUR_IP, 0, 1);
	CHECK_EQ(e->net.neighs.used, 0);
	resolve(2);
	sn_arp_emit(p, &a); /* announcement of a new MAC */
	rx_raw(all_ones, SN_ETH_ARP, p, sizeof p, 0, 0, 3);
	tx_tcp(PEER_IP, NULL, 0, NULL, 0, -1, 4);
	CHECK_EQ(fake.sent_count, 1);
	CHECK_MEM(fake.sent[0].data, a.sender_mac, 6);
	fake_stop();
}

SN_TEST(nobody_can_claim_our_address_or_one_off_link_or_a_group_mac)
{
	struct sn_engine *e = fake_start(0, 1, false);
	struct sn_arp a = {.op = SN_ARP_REQUEST, .sender = PEER_IP, .target = OUR_IP, .sender_mac = {3, 0, 0, 0, 0, 1}};
	uint8_t p[SN_ARP_LEN];

	rx_arp(SN_ARP_REQUEST, OUR_IP, OUR_IP, 0, 1);
	rx_arp(SN_ARP_REQUEST, FAR_IP, OUR_IP, 0, 1);
	rx_arp(SN_ARP_REQUEST, 0, OUR_IP, 0, 1); /* a duplicate address probe is answered, not learnt */
	CHECK_EQ(e->net.neighs.used, 0);
	sn_arp_emit(p, &a);
	rx_raw(all_ones, SN_ETH_ARP, p, sizeof p, 0, 0, 1);
	CHECK_EQ(e->counters.rx_drop_arp, 1);
	CHECK_EQ(e->net.neighs.used, 0);
	fake_stop();
}

SN_TEST(a_full_table_drops_the_entry_used_longest_ago)
{
	struct sn_engine *e = fake_start(0, 1, false);
	struct sn_net_port_cfg wide = {
		.addr = sn_addr_v4(0x0b000001), .prefix = 8, .mtu = 1500, .mac = {2, 0, 0, 0, 0, 7}};
	struct sn_addr src = wide.addr;

	CHECK_EQ(sn_net_port_add(e, &wide), 2);
	for (uint32_t i = 0; i < SN_NEIGH_MAX + 10; i++) {
		struct sn_tcp_seg s = {.flags = SN_TH_ACK};
		struct sn_tx tx = {.hdr = fake_alloc(&fake_pool)};
		struct sn_addr dst = sn_addr_v4(0x0b000100 + i);
		sn_tcp_emit(tx.hdr->data, &s, 0);
		tx.hdr->len = 20;
		sn_net_send_tcp(e, 2, &src, &dst, &tx, -1, i + 1);
		fake.sent_count = 0;
	}
	CHECK_EQ(e->net.neighs.used, SN_NEIGH_MAX);
	CHECK_EQ(e->counters.neigh_pending_drop, 10);
	CHECK_EQ(fake.live, SN_NEIGH_MAX);
	fake.pool_empty = true; /* the requests of one second are more than the fake keeps */
	for (uint32_t s = 1; s < 18; s++)
		sn_wheel_run(&e->wheel, s * SN_SEC + 10 * s * SN_MSEC);
	CHECK_EQ(e->net.neighs.used, 0);
	fake.pool_empty = false;
	fake_stop();
}

SN_TEST(arp_for_us_is_passed_to_every_other_worker_once)
{
	struct sn_engine *e = fake_start(1, 3, false);

	rx_arp(SN_ARP_REPLY, PEER_IP, OUR_IP, 0, 1);
	CHECK_EQ(fake.forwarded_count, 2);
	CHECK_EQ(fake.forwarded[0].worker, 0);
	CHECK_EQ(fake.forwarded[1].worker, 2);
	CHECK(fake.forwarded[0].b->flags & SN_BUF_FORWARDED);
	CHECK_EQ(fake.forwarded[0].b->len, 42);
	CHECK_EQ(e->counters.misdirected, 0);
	rx_arp(SN_ARP_REQUEST, PEER_IP, 0x0a000077, 0, 1); /* not for us */
	CHECK_EQ(fake.forwarded_count, 2);
	fake_stop();
}

SN_TEST(a_passed_on_arp_packet_is_learnt_but_neither_answered_nor_passed_on)
{
	struct sn_engine *e = fake_start(1, 3, false);

	tx_tcp(PEER_IP, NULL, 0, NULL, 0, -1, 1);
	fake.sent_count = 0;
	rx_arp(SN_ARP_REPLY, PEER_IP, OUR_IP, SN_BUF_FORWARDED, 2);
	CHECK_EQ(fake.forwarded_count, 0);
	CHECK_EQ(fake.sent_count, 1); /* the segment that waited */
	rx_arp(SN_ARP_REQUEST, 0x0a000003, OUR_IP, SN_BUF_FORWARDED, 2);
	CHECK_EQ(fake.sent_count, 1);
	CHECK_EQ(e->net.neighs.used, 2);
	fake_stop();
}

SN_TEST(copies_are_freed_when_the_ring_is_full_or_the_pool_empty)
{
	struct sn_engine *e = fake_start(0, 3, false);

	fake.ring_full = true;
	rx_arp(SN_ARP_REPLY, PEER_IP, OUR_IP, 0, 1);
	CHECK_EQ(e->counters.forward_full, 2);
	CHECK_EQ(fake.live, 0);
	fake_stop();
}

SN_TEST_MAIN()
