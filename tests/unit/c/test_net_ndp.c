/* SPDX-License-Identifier: Apache-2.0
 *
 * IPv6 neighbours (RFC 4861 7): resolving, waiting, ageing, what is learnt from whom, sharing between workers.
 */
#include "net_fake.h"

static const uint8_t other_mac[6] = {2, 9, 9, 9, 9, 9};
enum { S = SN_ND_SOLICITED, O = SN_ND_OVERRIDE };

/* Frame i asks for `target`: through its group, or only itself if `direct`. */
static void check_question(uint32_t i, struct sn_addr target, bool direct)
{
	struct sn_eth eth;
	struct sn_ip ip;
	struct sn_nd nd;
	struct sn_addr us = our6(), group = sn_ipv6_solicited_node(&target);
	uint8_t mac[6];

	sent_nd(i, &eth, &ip, &nd);
	sn_ipv6_group_mac(mac, &group);
	CHECK_EQ(nd.type, SN_ICMP6_SOLICIT);
	CHECK(sn_addr_eq(&nd.target, &target));
	CHECK(sn_addr_eq(&ip.src, &us));
	CHECK(sn_addr_eq(&ip.dst, direct ? &target : &group));
	CHECK_EQ(ip.ttl, 255);
	CHECK_MEM(eth.dst, direct ? peer_mac : mac, 6);
	CHECK_MEM(eth.src, fake_mac[0], 6);
	CHECK(nd.has_mac);
	CHECK_MEM(nd.mac, fake_mac[0], 6);
}

static void resolve(sn_time now)
{
	rx_solicit(peer6(), our6(), 0, now);
	fake.sent_count = 0;
}

/* MAC that a segment to the peer goes to now. */
static void check_goes_to(const uint8_t mac[6], sn_time now)
{
	uint32_t at = fake.sent_count;

	tx_tcp6(peer6(), NULL, 0, NULL, 0, now);
	REQUIRE(fake.sent_count == at + 1);
	CHECK_MEM(fake.sent[at].data, mac, 6);
}

SN_TEST(a_question_for_our_address_is_answered)
{
	struct sn_engine *e = fake_start6(0, 1, false);
	struct sn_eth eth;
	struct sn_ip ip;
	struct sn_nd nd;
	struct sn_addr us = our6(), peer = peer6();

	rx_solicit(peer6(), our6(), 0, 1);
	CHECK_EQ(fake.sent_count, 1);
	sent_nd(0, &eth, &ip, &nd);
	CHECK_EQ(nd.type, SN_ICMP6_ADVERTISE);
	CHECK_EQ(nd.flags, S | O);
	CHECK(sn_addr_eq(&nd.target, &us));
	CHECK(sn_addr_eq(&ip.src, &us));
	CHECK(sn_addr_eq(&ip.dst, &peer));
	CHECK_EQ(ip.ttl, 255);
	CHECK(nd.has_mac);
	CHECK_MEM(nd.mac, fake_mac[0], 6);
	CHECK_MEM(eth.dst, peer_mac, 6);
	CHECK_EQ(e->counters.nd_rx, 1);
	CHECK_EQ(e->counters.nd_tx, 1);
	check_goes_to(peer_mac, 2); /* learnt from the question */
	fake_stop();
}

SN_TEST(a_question_without_mac_to_us_alone_is_answered_to_the_frame_s_sender_and_teaches_nothing)
{
	struct sn_engine *e = fake_start6(0, 1, false);
	struct sn_nd nd = {.type = SN_ICMP6_SOLICIT, .target = our6()};
	struct sn_addr us = our6(), peer = peer6();

	rx_nd_to(&nd, &peer, &us, 255, 0, 1);
	REQUIRE(fake.sent_count == 1);
	CHECK_MEM(fake.sent[0].data, peer_mac, 6);
	CHECK_EQ(e->net.neighs.used, 0);
	fake_stop();
}

SN_TEST(who_wants_our_address_hears_with_all_others_that_it_is_taken)
{
	struct sn_engine *e = fake_start6(0, 1, false);
	struct sn_nd out, nd = {.type = SN_ICMP6_SOLICIT, .target = our6()};
	struct sn_addr none = {0}, group = sn_ipv6_solicited_node(&nd.target), all = sn_ipv6_all_nodes();
	struct sn_eth eth;
	struct sn_ip ip;
	static const uint8_t all_mac[6] = {0x33, 0x33, 0, 0, 0, 1};

	rx_nd_to(&nd, &none, &group, 255, 0, 1);
	sent_nd(0, &eth, &ip, &out);
	CHECK(sn_addr_eq(&ip.dst, &all));
	CHECK_MEM(eth.dst, all_mac, 6);
	CHECK_EQ(out.flags, O);
	CHECK_EQ(e->net.neighs.used, 0);
	fake_stop();
}

SN_TEST(a_question_for_another_address_is_not_answered_nor_learnt)
{
	struct sn_engine *e = fake_start6(0, 1, false);
	struct sn_nd nd = {
		.type = SN_ICMP6_SOLICIT, .has_mac = true, .target = addr6(0, 0x77), .mac = {2, 0, 0, 0, 1, 0}};
	struct sn_addr us = our6(), peer = peer6();

	rx_nd_to(&nd, &peer, &us, 255, 0, 1);
	nd.target = addr6(1, 1); /* ours, but on the other port */
	rx_nd_to(&nd, &peer, &us, 255, 0, 1);
	CHECK_EQ(e->counters.nd_rx, 2);
	CHECK_EQ(fake.sent_count, 0);
	CHECK_EQ(e->net.neighs.used, 0);
	fake_stop();
}

SN_TEST(a_segment_waits_for_the_answer_and_then_leaves_intact)
{
	uint8_t data[101];
	struct sn_eth eth;
	struct sn_ip ip;
	struct sn_tcp_seg seg;

	fake_start6(0, 1, false);
	for (uint32_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)i;
	tx_tcp6(peer6(), data, 51, data + 51, 50, 1);
	CHECK_EQ(fake.sent_count, 1);
	check_question(0, peer6(), false);
	memset(data, 0xee, sizeof data); /* nothing that waits may point to it */
	rx_advertise(peer6(), peer_mac, S | O, 0, 2);
	CHECK_EQ(fake.sent_count, 2);
	CHECK_EQ(sent_tcp6(1, &eth, &ip, &seg), 121);
	CHECK(fake.sent[1].flags & SN_TX_IPV6);
	CHECK_MEM(eth.dst, peer_mac, 6);
	CHECK_EQ(fake.sent[1].data[74], 0);
	CHECK_EQ(fake.sent[1].data[174], 100);
	fake_stop();
}

SN_TEST(a_question_each_second_for_ten_seconds_then_what_waits_is_dropped_of_ipv6)
{
	struct sn_engine *e = fake_start6(0, 1, false);

	for (uint32_t i = 0; i < 20; i++)
		tx_tcp6(peer6(), NULL, 0, NULL, 0, SN_MSEC);
	CHECK_EQ(fake.sent_count, 1);
	CHECK_EQ(e->counters.neigh_pending_drop, 4); /* 16 wait */
	for (uint32_t i = 1; i < 15; i++)
		sn_wheel_run(&e->wheel, i * (SN_SEC + 2 * SN_MSEC));
	CHECK_EQ(fake.sent_count, 10);
	check_question(9, peer6(), false);
	CHECK_EQ(e->counters.neigh_pending_drop, 20);
	CHECK_EQ(fake.unreachables, 1);
	CHECK_EQ(e->net.neighs.used, 0);
	fake_stop();
}

SN_TEST(who_did_not_answer_is_asked_through_its_group_and_believed_without_override)
{
	struct sn_engine *e = fake_start6(0, 1, false);

	tx_tcp6(peer6(), NULL, 0, NULL, 0, SN_MSEC);
	for (uint32_t i = 1; i < 12; i++)
		sn_wheel_run(&e->wheel, i * (SN_SEC + 2 * SN_MSEC));
	fake.sent_count = 0;
	tx_tcp6(peer6(), NULL, 0, NULL, 0, 12 * SN_SEC);
	CHECK_EQ(fake.sent_count, 1);
	check_question(0, peer6(), false);
	rx_advertise(peer6(), peer_mac, S, 0, 12 * SN_SEC);
	check_goes_to(peer_mac, 12 * SN_SEC);
	fake_stop();
}

SN_TEST(a_far_address_resolves_the_router_by_its_link_local_address)
{
	struct sn_engine *e = fake_start6(0, 1, false);
	struct sn_addr router = router6();
	struct sn_eth eth;
	struct sn_ip ip;
	struct sn_tcp_seg seg;
	struct sn_addr far = far6();

	tx_tcp6(far6(), NULL, 0, NULL, 0, 1);
	check_question(0, router, false);
	rx_advertise(router, peer_mac, SN_ND_ROUTER | S | O, 0, 2);
	sent_tcp6(1, &eth, &ip, &seg);
	CHECK(sn_addr_eq(&ip.dst, &far));
	CHECK_MEM(eth.dst, peer_mac, 6);
	CHECK_EQ(e->counters.tx_no_route, 0);
	fake_stop();
}

SN_TEST(an_entry_in_use_is_asked_itself_after_a_minute_while_its_mac_stays_in_use)
{
	struct sn_engine *e = fake_start6(0, 1, false);

	resolve(SN_SEC);
	check_goes_to(peer_mac, 30 * SN_SEC);
	sn_wheel_run(&e->wheel, 62 * SN_SEC);
	CHECK_EQ(fake.sent_count, 2);
	check_question(1, peer6(), true);
	check_goes_to(peer_mac, 62 * SN_SEC);           /* not delayed */
	rx_advertise(peer6(), NULL, S, 0, 62 * SN_SEC); /* an answer to one alone may leave the MAC out */
	sn_wheel_run(&e->wheel, 100 * SN_SEC);
	CHECK_EQ(fake.sent_count, 3);
	CHECK_EQ(e->net.neighs.used, 1);
	fake_stop();
}

SN_TEST(an_entry_that_stays_silent_is_forgotten_and_an_unused_one_too)
{
	struct sn_engine *e = fake_start6(0, 1, false);

	resolve(SN_SEC);
	rx_solicit(addr6(0, 3), our6(), 0, SN_SEC);
	fake.sent_count = 0;
	check_goes_to(peer_mac, 30 * SN_SEC);
	sn_wheel_run(&e->wheel, 61 * SN_SEC + SN_MSEC);
	CHECK_EQ(e->net.neighs.used, 1); /* the third party was never sent to */
	for (uint32_t s = 62; s < 70; s++)
		sn_wheel_run(&e->wheel, s * SN_SEC + SN_MSEC);
	CHECK_EQ(e->net.neighs.used, 0);
	CHECK_EQ(fake.sent_count, 4); /* the segment and three questions */
	fake_stop();
}

SN_TEST(an_advertisement_makes_no_entry)
{
	struct sn_engine *e = fake_start6(0, 1, false);

	rx_advertise(peer6(), peer_mac, S | O, 0, 1);
	rx_advertise(peer6(), peer_mac, O, 0, 1);
	CHECK_EQ(e->counters.nd_rx, 2);
	CHECK_EQ(e->net.neighs.used, 0);
	fake_stop();
}

SN_TEST(an_answer_without_override_does_not_change_a_mac)
{
	fake_start6(0, 1, false);
	resolve(1);
	rx_advertise(peer6(), other_mac, S, 0, 2);
	check_goes_to(peer_mac, 3);
	rx_advertise(peer6(), other_mac, S | O, 0, 4);
	check_goes_to(other_mac, 5);
	fake_stop();
}

SN_TEST(a_mac_announced_unasked_is_used_and_checked_at_once_but_not_for_ever)
{
	struct sn_engine *e = fake_start6(0, 1, false);

	resolve(SN_SEC);
	rx_advertise(peer6(), other_mac, O, 0, SN_SEC);
	CHECK_EQ(fake.sent_count, 1); /* the check, to the new MAC */
	CHECK_MEM(fake.sent[0].data, other_mac, 6);
	check_goes_to(other_mac, SN_SEC);
	for (uint32_t i = 0; i < 50; i++) { /* contradicting ones in between */
		rx_advertise(peer6(), i & 1 ? other_mac : peer_mac, O, 0, SN_SEC + i * 90 * SN_MSEC);
		sn_wheel_run(&e->wheel, SN_SEC + i * 90 * SN_MSEC);
	}
	CHECK_EQ(e->counters.nd_tx, 4); /* the answer at the start, three questions */
	CHECK_EQ(e->net.neighs.used, 0);
	fake_stop();
}

SN_TEST(an_announcement_of_the_known_mac_changes_nothing)
{
	struct sn_engine *e = fake_start6(0, 1, false);

	resolve(SN_SEC);
	rx_advertise(peer6(), peer_mac, O, 0, 50 * SN_SEC); /* no confirmation: nobody says that he hears us */
	check_goes_to(peer_mac, 50 * SN_SEC);
	sn_wheel_run(&e->wheel, 62 * SN_SEC);
	CHECK_EQ(fake.sent_count, 2);
	check_question(1, peer6(), true);
	fake_stop();
}

SN_TEST(an_advertisement_without_mac_does_not_end_the_asking)
{
	struct sn_engine *e = fake_start6(0, 1, false);

	tx_tcp6(peer6(), NULL, 0, NULL, 0, 1);
	rx_advertise(peer6(), NULL, S | O, 0, 2);
	CHECK_EQ(fake.sent_count, 1);
	rx_advertise(peer6(), peer_mac, 0, 0, 3); /* one without any flag does */
	CHECK_EQ(fake.sent_count, 3);             /* the segment, and the check of what nobody asked for */
	CHECK_EQ(e->net.neighs.used, 1);
	fake_stop();
}

SN_TEST(nobody_can_claim_our_address_or_one_off_link)
{
	struct sn_engine *e = fake_start6(0, 1, false);

	rx_solicit(our6(), our6(), 0, 1);
	CHECK_EQ(e->counters.rx_drop_ip, 1);
	rx_solicit(far6(), our6(), 0, 1); /* answered, not learnt */
	CHECK_EQ(fake.sent_count, 1);
	rx_advertise(our6(), peer_mac, O, 0, 1);
	CHECK_EQ(e->net.neighs.used, 0);
	rx_solicit(router6(), our6(), 0, 1);
	CHECK_EQ(e->net.neighs.used, 1); /* a router speaks from its link-local address */
	fake_stop();
}

SN_TEST(an_advertisement_for_a_mapped_address_does_not_touch_the_ipv4_neighbour)
{
	struct sn_engine *e = fake_start6(0, 1, false);
	struct sn_nd nd = {.type = SN_ICMP6_ADVERTISE, .flags = S | O, .has_mac = true, .target = sn_addr_v4(PEER_IP)};
	struct sn_addr us = our6(), peer = peer6();

	memcpy(nd.mac, other_mac, 6);
	rx_arp(SN_ARP_REQUEST, PEER_IP, OUR_IP, 0, 1);
	rx_nd_to(&nd, &peer, &us, 255, 0, 2);
	CHECK_EQ(e->counters.rx_drop_nd, 1);
	fake.sent_count = 0;
	tx_tcp(PEER_IP, NULL, 0, NULL, 0, -1, 3);
	REQUIRE(fake.sent_count == 1);
	CHECK_MEM(fake.sent[0].data, peer_mac, 6);
	fake_stop();
}

/* A good question, in which one thing is changed. */
static void rx_spoilt(struct sn_nd nd, struct sn_addr src, struct sn_addr dst, uint8_t ttl, int32_t at, uint8_t to,
		      uint32_t cut)
{
	uint8_t p[100] = {0}, mac[6];
	struct sn_ip ip = {.src = src, .dst = dst, .proto = SN_IP_ICMP6, .ttl = ttl};
	uint32_t len = sn_nd_emit(p + 40, &nd, &src, &dst) - cut;

	if (at >= 0)
		p[40 + at] = to;
	sn_put16(p + 42, 0);
	sn_put16(p + 42, sn_csum_finish(sn_csum_partial(p + 40, len, sn_csum_pseudo_v6(&src, &dst, SN_IP_ICMP6, len))));
	ip.total_len = (uint16_t)(40 + len);
	sn_ipv6_emit(p, &ip);
	memcpy(mac, fake_mac[0], 6);
	if (sn_addr_is_multicast(&dst))
		sn_ipv6_group_mac(mac, &dst);
	rx_raw(mac, SN_ETH_IPV6, p, ip.total_len, 0, 0, 1);
}

SN_TEST(what_breaks_the_rules_of_rfc_4861_7_1_is_dropped_and_counted)
{
	struct sn_engine *e = fake_start6(0, 1, false);
	struct sn_nd q = {.type = SN_ICMP6_SOLICIT, .has_mac = true, .target = our6(), .mac = {2, 0, 0, 0, 1, 0}};
	struct sn_nd a = {.type = SN_ICMP6_ADVERTISE,
			  .flags = S | O,
			  .has_mac = true,
			  .target = peer6(),
			  .mac = {2, 9, 9, 9, 9, 9}};
	struct sn_addr us = our6(), peer = peer6(), none = {0}, all = sn_ipv6_all_nodes();
	struct sn_addr group = sn_ipv6_solicited_node(&us);
	uint32_t bad = 0;

	rx_spoilt(q, peer, group, 254, -1, 0, 0); /* came through a router */
	CHECK_EQ(e->counters.rx_drop_nd, ++bad);
	rx_spoilt(q, peer, group, 255, 1, 1, 0); /* code */
	CHECK_EQ(e->counters.rx_drop_nd, ++bad);
	rx_spoilt(q, peer, group, 255, -1, 0, 16); /* too short */
	CHECK_EQ(e->counters.rx_drop_nd, ++bad);
	rx_spoilt(q, peer, group, 255, 25, 0, 0); /* option of no length */
	CHECK_EQ(e->counters.rx_drop_nd, ++bad);
	rx_spoilt(q, peer, group, 255, 25, 2, 0); /* option beyond the end */
	CHECK_EQ(e->counters.rx_drop_nd, ++bad);
	rx_spoilt(q, peer, group, 255, -1, 0, 4); /* half an option */
	CHECK_EQ(e->counters.rx_drop_nd, ++bad);
	rx_spoilt(q, peer, group, 255, 8, 0xff, 0); /* a group as target */
	CHECK_EQ(e->counters.rx_drop_nd, ++bad);
	rx_spoilt(q, peer, group, 255, 26, 3, 0); /* a group's MAC */
	CHECK_EQ(e->counters.rx_drop_nd, ++bad);
	rx_spoilt(q, none, group, 255, -1, 0, 0); /* nobody has a MAC */
	CHECK_EQ(e->counters.rx_drop_nd, ++bad);
	q.has_mac = false;
	rx_spoilt(q, none, us, 255, -1, 0, 0); /* nobody asks one alone */
	CHECK_EQ(e->counters.rx_drop_nd, ++bad);
	rx_spoilt(q, none, all, 255, -1, 0, 0);
	CHECK_EQ(e->counters.rx_drop_nd, ++bad);
	rx_spoilt(a, peer, all, 255, -1, 0, 0); /* an answer to all */
	CHECK_EQ(e->counters.rx_drop_nd, ++bad);
	CHECK_EQ(e->counters.nd_rx, 0);
	CHECK_EQ(fake.sent_count, 0);
	CHECK_EQ(e->net.neighs.used, 0);
	rx_spoilt(a, peer, us, 255, -1, 0, 0); /* unspoilt */
	CHECK_EQ(e->counters.nd_rx, 1);
	fake_stop();
}

SN_TEST(a_bad_checksum_is_no_neighbour_message)
{
	struct sn_engine *e = fake_start6(0, 1, false);
	struct sn_nd q = {.type = SN_ICMP6_SOLICIT, .has_mac = true, .target = our6()};
	struct sn_addr us = our6(), peer = peer6();
	uint8_t p[72];

	sn_nd_emit(p + 40, &q, &peer, &us);
	p[70] ^= 1;
	rx_raw(fake_mac[0], SN_ETH_IPV6, p, ip6_packet(p, &peer, &us, SN_IP_ICMP6, 255, 32), 0, SN_BUF_CSUM_GOOD, 1);
	CHECK_EQ(e->counters.rx_drop_icmp, 1);
	CHECK_EQ(e->counters.nd_rx, 0);
	fake_stop();
}

SN_TEST(a_full_table_drops_the_entry_used_longest_ago_whatever_its_family)
{
	struct sn_engine *e = fake_start6(0, 1, false);

	rx_arp(SN_ARP_REQUEST, PEER_IP, OUR_IP, 0, 1);
	for (uint32_t i = 0; i < SN_NEIGH_MAX; i++) {
		struct sn_addr a = addr6(0, (uint8_t)i);
		a.b[14] = 1;
		rx_solicit(a, our6(), 0, 2 + i);
		fake.sent_count = 0;
	}
	CHECK_EQ(e->net.neighs.used, SN_NEIGH_MAX);
	tx_tcp(PEER_IP, NULL, 0, NULL, 0, -1, 1000);
	CHECK_EQ(fake.sent[0].data[12] << 8 | fake.sent[0].data[13], SN_ETH_ARP); /* asked anew */
	fake_stop();
}

/* Questions from `n` made-up neighbours. */
static void flood(uint32_t n, sn_time now)
{
	for (uint32_t i = 0; i < n; i++) {
		struct sn_addr a = addr6(0, (uint8_t)i);
		a.b[13] = 1 + (uint8_t)(i >> 8);
		rx_solicit(a, our6(), 0, now + i);
		fake.sent_count = 0;
	}
}

SN_TEST(a_flood_of_questions_pushes_out_neither_who_is_sent_to_nor_who_is_asked)
{
	struct sn_engine *e = fake_start6(0, 1, false);

	rx_arp(SN_ARP_REQUEST, PEER_IP, OUR_IP, 0, 1);
	tx_tcp(PEER_IP, NULL, 0, NULL, 0, -1, 1);
	resolve(1);
	check_goes_to(peer_mac, 2);
	flood(1000, 10);
	CHECK_EQ(e->net.neighs.used, SN_NEIGH_MAX);
	check_goes_to(peer_mac, 2000);
	tx_tcp(PEER_IP, NULL, 0, NULL, 0, -1, 2000);
	REQUIRE(fake.sent_count == 2);
	CHECK_MEM(fake.sent[1].data, peer_mac, 6);
	tx_tcp6(addr6(0, 3), NULL, 0, NULL, 0, 2001); /* is asked for while it goes on */
	flood(1000, 2010);
	rx_advertise(addr6(0, 3), other_mac, S | O, 0, 4000);
	REQUIRE(fake.sent_count == 1);
	CHECK_MEM(fake.sent[0].data, other_mac, 6);
	CHECK_EQ(e->counters.neigh_pending_drop, 0);
	fake_stop();
}

SN_TEST(what_is_addressed_to_us_is_passed_to_every_other_worker_once)
{
	struct sn_engine *e = fake_start6(1, 3, false);

	rx_advertise(peer6(), peer_mac, S | O, 0, 1);
	CHECK_EQ(fake.forwarded_count, 2);
	CHECK_EQ(fake.forwarded[0].worker, 0);
	CHECK_EQ(fake.forwarded[1].worker, 2);
	CHECK(fake.forwarded[0].b->flags & SN_BUF_FORWARDED);
	CHECK_EQ(fake.forwarded[0].b->len, 14 + 40 + 32);
	rx_solicit(peer6(), our6(), 0, 1);
	CHECK_EQ(fake.forwarded_count, 4);
	rx_advertise(peer6(), peer_mac, O, 0, 1); /* not to us */
	CHECK_EQ(fake.forwarded_count, 4);
	CHECK_EQ(e->counters.misdirected, 0);
	fake_stop();
}

SN_TEST(a_passed_on_message_is_learnt_but_neither_answered_nor_passed_on)
{
	struct sn_engine *e = fake_start6(1, 3, false);

	tx_tcp6(peer6(), NULL, 0, NULL, 0, 1);
	fake.sent_count = 0;
	rx_advertise(peer6(), peer_mac, S | O, SN_BUF_FORWARDED, 2);
	CHECK_EQ(fake.sent_count, 1); /* the segment that waited */
	rx_solicit(addr6(0, 3), our6(), SN_BUF_FORWARDED, 2);
	CHECK_EQ(fake.sent_count, 1);
	CHECK_EQ(fake.forwarded_count, 0);
	CHECK_EQ(e->net.neighs.used, 2);
	fake_stop();
}

SN_TEST_MAIN()
