/* SPDX-License-Identifier: Apache-2.0
 *
 * Neighbours between workers (notes of questions) and between a worker and the control process (news and orders).
 */
#include "net_fake.h"

static const uint8_t other_mac[6] = {2, 9, 9, 9, 9, 9};

static struct sn_addr peer(void) { return sn_addr_v4(PEER_IP); }

static enum sn_err order(uint8_t op, struct sn_addr addr, const uint8_t mac[6], uint32_t hold_ms, sn_time now)
{
	struct sn_neigh_order o = {.op = op, .hold_ms = hold_ms};

	memcpy(o.addr, addr.b, 16);
	if (mac)
		memcpy(o.mac, mac, 6);
	return sn_net_order(fake.e, &o, now);
}

/* The only news there are. */
static void check_news(uint8_t kind, struct sn_addr addr, const uint8_t mac[6])
{
	struct sn_neigh_news v[2];

	REQUIRE(sn_net_news_take(fake.e, v, 2) == 1);
	CHECK_EQ(v[0].kind, kind);
	CHECK_EQ(v[0].port, 0);
	CHECK_MEM(v[0].addr, addr.b, 16);
	if (mac)
		CHECK_MEM(v[0].mac, mac, 6);
}

static void check_no_news(void)
{
	struct sn_neigh_news v;
	CHECK_EQ(sn_net_news_take(fake.e, &v, 1), 0);
}

static struct sn_engine *watched(uint32_t workers)
{
	struct sn_engine *e = fake_start6(0, workers, false);
	sn_net_news_watch(e);
	return e;
}

static void send_to_peer(sn_time now) { tx_tcp(PEER_IP, NULL, 0, NULL, 0, -1, now); }

/* MAC that a segment to the peer goes to now. */
static void check_goes_to(const uint8_t mac[6], sn_time now)
{
	uint32_t at = fake.sent_count;

	send_to_peer(now);
	REQUIRE(fake.sent_count == at + 1);
	CHECK_MEM(fake.sent[at].data, mac, 6);
}

/* Hands the last note back, as if we were the sibling that got it. */
static void rx_note(sn_time now)
{
	struct sn_buf *b = fake.note;

	REQUIRE(b);
	fake.note = NULL;
	b->flags = SN_BUF_FORWARDED;
	sn_net_rx(fake.e, &b, 1, now);
}

SN_TEST(every_question_is_told_to_the_siblings_and_they_wait_for_the_same_answer)
{
	struct sn_engine *e = fake_start(0, 3, false);

	send_to_peer(1);
	CHECK_EQ(fake.notes, 2);
	uint8_t frame[64];
	uint32_t len = fake.note->len;
	REQUIRE(len <= sizeof frame);
	memcpy(frame, fake.note->data, len);
	sn_wheel_run(&e->wheel, SN_SEC + SN_MSEC);
	CHECK_EQ(fake.notes, 4);
	fake_stop();

	e = fake_start(1, 3, false);
	rx_raw(fake_mac[0], SN_NEIGH_NOTE, frame + SN_ETH_HDR, len - SN_ETH_HDR, 0, SN_BUF_FORWARDED, 1);
	CHECK_EQ(e->net.neighs.used, 1);
	send_to_peer(2);
	CHECK_EQ(fake.sent_count, 0);
	rx_arp(SN_ARP_REPLY, PEER_IP, OUR_IP, SN_BUF_FORWARDED, 3);
	CHECK_EQ(fake.sent_count, 1); /* the segment that waited */
	fake_stop();
}

SN_TEST(a_sibling_that_falls_silent_is_replaced_by_who_needs_the_answer)
{
	struct sn_engine *e = fake_start(0, 2, false);

	send_to_peer(1);
	sn_wheel_run(&e->wheel, SN_SEC / 2);
	rx_note(SN_SEC / 2); /* another one asked just now */
	CHECK_EQ(fake.sent_count, 1);
	sn_wheel_run(&e->wheel, SN_SEC * 19 / 10);
	CHECK_EQ(fake.sent_count, 1);
	sn_wheel_run(&e->wheel, SN_SEC * 21 / 10);
	CHECK_EQ(fake.sent_count, 2);
	fake_stop();
}

SN_TEST(a_note_that_nobody_needs_costs_no_question_and_changes_no_entry)
{
	struct sn_engine *e = fake_start(0, 2, false);
	uint8_t p[17] = {3};

	memcpy(p + 1, peer().b, 16);
	rx_raw(fake_mac[0], SN_NEIGH_NOTE, p, sizeof p, 0, SN_BUF_FORWARDED, 1);
	rx_raw(fake_mac[0], SN_NEIGH_NOTE, p, 10, 0, SN_BUF_FORWARDED, 1);
	CHECK_EQ(e->net.neighs.used, 1);
	sn_wheel_run(&e->wheel, 2 * SN_SEC);
	CHECK_EQ(e->net.neighs.used, 0);
	CHECK_EQ(fake.sent_count, 0);
	rx_arp(SN_ARP_REQUEST, PEER_IP, OUR_IP, 0, 3 * SN_SEC);
	fake.sent_count = 0;
	rx_raw(fake_mac[0], SN_NEIGH_NOTE, p, sizeof p, 0, SN_BUF_FORWARDED, 3 * SN_SEC);
	check_goes_to(peer_mac, 3 * SN_SEC);
	fake_stop();
}

SN_TEST(a_note_from_the_wire_is_no_note)
{
	struct sn_engine *e = fake_start(0, 2, false);
	uint8_t p[17] = {1};

	memcpy(p + 1, peer().b, 16);
	rx_raw(fake_mac[0], SN_NEIGH_NOTE, p, sizeof p, 0, 0, 1);
	CHECK_EQ(e->net.neighs.used, 0);
	CHECK_EQ(e->counters.rx_drop_eth, 1);
	fake_stop();
}

SN_TEST(nothing_is_told_before_somebody_watches)
{
	fake_start(0, 1, false);
	send_to_peer(1);
	check_no_news();
	fake_stop();
}

SN_TEST(questions_answers_and_silence_are_told)
{
	struct sn_engine *e = watched(1);

	send_to_peer(1);
	CHECK_EQ(sn_net_news_due(e), 0);
	CHECK(sn_net_news_ask(e, 1));
	CHECK(!sn_net_news_ask(e, 2)); /* not all the time */
	check_news(SN_NEIGH_ASKED, peer(), NULL);
	CHECK_EQ(sn_net_news_due(e), SN_TIME_NEVER);
	rx_arp(SN_ARP_REPLY, PEER_IP, OUR_IP, 0, 2);
	check_news(SN_NEIGH_HEARD, peer(), peer_mac);
	rx_arp(SN_ARP_REPLY, PEER_IP, OUR_IP, 0, 3); /* nothing new */
	check_no_news();
	tx_tcp6(peer6(), NULL, 0, NULL, 0, 3);
	check_news(SN_NEIGH_ASKED, peer6(), NULL);
	for (uint32_t i = 1; i <= 10; i++)
		sn_wheel_run(&e->wheel, i * (SN_SEC + SN_MSEC));
	check_news(SN_NEIGH_SILENT, peer6(), NULL);
	fake_stop();
}

SN_TEST(who_only_asks_us_is_told_of_when_it_is_sent_to)
{
	watched(1);
	rx_arp(SN_ARP_REQUEST, PEER_IP, OUR_IP, 0, 1);
	check_no_news();
	send_to_peer(2);
	check_news(SN_NEIGH_HEARD, peer(), peer_mac);
	send_to_peer(3);
	check_no_news();
	fake_stop();
}

/* ARP or, of IPv6, an advertisement to all: the peer has a new MAC. */
static void announce(bool v6, sn_time now)
{
	struct sn_arp a = {.op = SN_ARP_REPLY, .sender = PEER_IP, .target = PEER_IP, .sender_mac = {2, 9, 9, 9, 9, 9}};
	uint8_t p[SN_ARP_LEN];

	sn_arp_emit(p, &a);
	if (v6)
		rx_advertise(peer6(), other_mac, SN_ND_OVERRIDE, 0, now);
	else
		rx_raw(all_ones, SN_ETH_ARP, p, sizeof p, 0, 0, now);
}

SN_TEST(a_mac_that_changes_is_told_also_where_only_a_sibling_uses_it)
{
	watched(1);
	order(SN_NEIGH_PUT, peer(), peer_mac, 0, 1); /* the sibling's */
	announce(false, 2);
	check_news(SN_NEIGH_HEARD, peer(), other_mac);
	order(SN_NEIGH_PUT, peer6(), peer_mac, 0, 3);
	announce(true, 4);
	check_no_news(); /* it is in doubt */
	rx_advertise(peer6(), other_mac, SN_ND_OVERRIDE | SN_ND_SOLICITED, 0, 5);
	check_news(SN_NEIGH_HEARD, peer6(), other_mac);
	fake_stop();
}

SN_TEST(a_flood_of_changes_is_told_at_a_bounded_rate)
{
	struct sn_engine *e = watched(1);
	uint32_t taken = 0;

	send_to_peer(1);
	for (uint32_t i = 0; i < 20000; i++) {
		struct sn_arp a = {.op = SN_ARP_REPLY, .sender = PEER_IP, .target = OUR_IP, .sender_mac = {2, 8}};
		struct sn_neigh_news v[64];
		uint8_t p[SN_ARP_LEN];
		sn_put16(a.sender_mac + 4, (uint16_t)i);
		sn_arp_emit(p, &a);
		rx_raw(fake_mac[0], SN_ETH_ARP, p, sizeof p, 0, 0, 1 + i * 50 * SN_USEC); /* a second in all */
		fake.sent_count = 0;
		taken += sn_net_news_take(e, v, 64);
	}
	CHECK(taken >= 150 && taken <= 201); /* what was saved up, and one second's */
	CHECK_EQ(e->counters.neigh_news_lost, 20001 - taken);
	CHECK_EQ(e->net.neighs.used, 1);
	/* What was true in the end is told with the next use. */
	send_to_peer(10 * SN_SEC);
	send_to_peer(10 * SN_SEC);
	const uint8_t last[6] = {2, 8, 0, 0, 19999 >> 8, 19999 & 0xff};
	check_news(SN_NEIGH_HEARD, peer(), last);
	fake_stop();
}

SN_TEST(invented_neighbours_are_not_told_of)
{
	struct sn_engine *e = watched(1);

	for (uint32_t i = 0; i < 20000; i++) {
		struct sn_arp a = {.op = SN_ARP_REQUEST, .sender = 0x0a000000 + 2 + i % 250, .target = OUR_IP};
		uint8_t p[SN_ARP_LEN];
		memcpy(a.sender_mac, other_mac, 6);
		sn_put16(a.sender_mac + 4, (uint16_t)i);
		sn_arp_emit(p, &a);
		rx_raw(all_ones, SN_ETH_ARP, p, sizeof p, 0, 0, 1 + i);
		fake.sent_count = 0;
	}
	check_no_news();
	CHECK_EQ(e->counters.neigh_news_lost, 0);
	fake_stop();
}

SN_TEST(what_is_put_is_used_without_a_question)
{
	watched(1);
	CHECK_EQ(order(SN_NEIGH_PUT, peer(), peer_mac, 0, 1), SN_OK);
	check_goes_to(peer_mac, 2);
	CHECK_EQ(order(SN_NEIGH_PUT, peer(), other_mac, 0, 3), SN_OK);
	check_goes_to(other_mac, 4);
	check_no_news();
	fake_stop();
}

SN_TEST(what_waits_leaves_when_the_mac_is_put)
{
	watched(1);
	send_to_peer(1);
	order(SN_NEIGH_PUT, peer(), peer_mac, 0, 2);
	REQUIRE(fake.sent_count == 2);
	CHECK_MEM(fake.sent[1].data, peer_mac, 6);
	fake_stop();
}

SN_TEST(what_failed_elsewhere_fails_here_but_not_what_is_known_here)
{
	struct sn_engine *e = watched(1);

	send_to_peer(1);
	order(SN_NEIGH_FAIL, peer(), NULL, 2000, 2);
	CHECK_EQ(fake.live, 0); /* what waited */
	sn_wheel_run(&e->wheel, SN_MSEC);
	CHECK_EQ(fake.unreachables, 1);
	fake.sent_count = 0;
	send_to_peer(SN_SEC / 2);
	CHECK_EQ(fake.sent_count, 0);
	sn_wheel_run(&e->wheel, SN_SEC + SN_MSEC);
	CHECK_EQ(fake.unreachables, 2);
	sn_wheel_run(&e->wheel, 2 * SN_SEC + SN_MSEC);
	CHECK_EQ(e->net.neighs.used, 0);
	order(SN_NEIGH_PUT, peer(), peer_mac, 0, 3 * SN_SEC);
	order(SN_NEIGH_FAIL, peer(), NULL, 2000, 3 * SN_SEC);
	check_goes_to(peer_mac, 3 * SN_SEC);
	fake_stop();
}

SN_TEST(the_next_use_of_a_stale_entry_is_told_once)
{
	struct sn_engine *e = watched(1);

	order(SN_NEIGH_PUT, peer(), peer_mac, 0, 1);
	check_goes_to(peer_mac, 2);
	order(SN_NEIGH_STALE, peer(), NULL, 0, 3);
	check_no_news();
	check_goes_to(peer_mac, 4);
	check_news(SN_NEIGH_IN_USE, peer(), NULL);
	check_goes_to(peer_mac, 5);
	check_no_news();
	CHECK_EQ(order(SN_NEIGH_STALE, peer6(), NULL, 0, 6), SN_OK); /* not here */
	CHECK_EQ(e->net.neighs.used, 1);
	fake_stop();
}

SN_TEST(a_check_that_was_ordered_asks_once_and_tells_the_answer)
{
	struct sn_engine *e = watched(1);

	order(SN_NEIGH_PUT, peer(), peer_mac, 0, 1);
	order(SN_NEIGH_ASK, peer(), NULL, 0, 2);
	CHECK_EQ(fake.sent_count, 1);
	CHECK_EQ(e->counters.arp_tx, 1);
	rx_arp(SN_ARP_REPLY, PEER_IP, OUR_IP, 0, 3);
	check_news(SN_NEIGH_HEARD, peer(), peer_mac);
	order(SN_NEIGH_PUT, peer6(), peer_mac, 0, 4);
	order(SN_NEIGH_ASK, peer6(), NULL, 0, 5);
	CHECK_EQ(e->counters.nd_tx, 1);
	CHECK_MEM(fake.sent[1].data, peer_mac, 6); /* itself, not its group */
	rx_advertise(peer6(), NULL, SN_ND_SOLICITED, 0, 6);
	check_news(SN_NEIGH_HEARD, peer6(), peer_mac);
	fake_stop();
}

SN_TEST(what_is_forgotten_is_asked_for_again_unless_somebody_waits)
{
	struct sn_engine *e = watched(1);

	order(SN_NEIGH_PUT, peer(), peer_mac, 0, 1);
	order(SN_NEIGH_FORGET, peer(), NULL, 0, 2);
	CHECK_EQ(e->net.neighs.used, 0);
	send_to_peer(3);
	CHECK_EQ(e->counters.arp_tx, 1);
	order(SN_NEIGH_FORGET, peer(), NULL, 0, 4);
	CHECK_EQ(e->net.neighs.used, 1);
	fake_stop();
}

SN_TEST(without_orders_a_worker_goes_on_alone)
{
	struct sn_engine *e = watched(1);

	order(SN_NEIGH_PUT, peer(), peer_mac, 0, SN_SEC);
	check_goes_to(peer_mac, 40 * SN_SEC);
	sn_wheel_run(&e->wheel, 62 * SN_SEC); /* nobody had it checked */
	CHECK_EQ(e->counters.arp_tx, 1);
	check_goes_to(peer_mac, 62 * SN_SEC);
	fake_stop();
}

SN_TEST(orders_that_make_no_sense_are_refused)
{
	struct sn_engine *e = watched(1);
	struct sn_neigh_order o = {.op = SN_NEIGH_PUT, .port = 2};
	struct sn_addr none = {0};

	memcpy(o.addr, peer().b, 16);
	CHECK_EQ(sn_net_order(e, &o, 1), SN_E_INVAL); /* no such port */
	CHECK_EQ(order(SN_NEIGH_PUT, none, peer_mac, 0, 1), SN_E_INVAL);
	CHECK_EQ(order(SN_NEIGH_PUT, peer(), all_ones, 0, 1), SN_E_INVAL);
	CHECK_EQ(order(99, peer(), NULL, 0, 1), SN_E_INVAL);
	CHECK_EQ(e->net.neighs.used, 0);
	fake_stop();
}

SN_TEST(a_full_table_makes_room_for_what_is_put)
{
	struct sn_engine *e = watched(1);

	for (uint32_t i = 0; i < SN_NEIGH_MAX + 20; i++) {
		struct sn_addr a = addr6(0, (uint8_t)i);
		a.b[14] = 1 + (uint8_t)(i >> 8);
		CHECK_EQ(order(i % 2 ? SN_NEIGH_PUT : SN_NEIGH_FAIL, a, peer_mac, 1000, 1 + i), SN_OK);
	}
	CHECK_EQ(e->net.neighs.used, SN_NEIGH_MAX);
	fake_stop();
}

SN_TEST(what_others_need_pushes_out_nothing_that_is_used_here)
{
	struct sn_engine *e = watched(2);

	for (uint32_t i = 0; i < SN_NEIGH_MAX; i++) {
		struct sn_addr a = addr6(0, (uint8_t)i);
		a.b[14] = 1;
		order(SN_NEIGH_PUT, a, peer_mac, 0, 1);
		tx_tcp6(a, NULL, 0, NULL, 0, 2 + i);
		fake.sent_count = 0;
	}
	CHECK_EQ(e->counters.nd_tx, 0);
	order(SN_NEIGH_PUT, peer(), peer_mac, 0, 1000);
	order(SN_NEIGH_FAIL, peer(), NULL, 1000, 1000);
	send_to_peer(1000); /* what is needed here does */
	CHECK_EQ(e->counters.arp_tx, 1);
	CHECK_EQ(e->net.neighs.used, SN_NEIGH_MAX);
	fake.pool_empty = true; /* so many questions are more than the fake keeps */
	for (uint32_t s = 1; s < 80; s++)
		sn_wheel_run(&e->wheel, s * SN_SEC);
	fake.pool_empty = false;
	fake_stop();
}

SN_TEST_MAIN()
