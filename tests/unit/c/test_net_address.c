/* SPDX-License-Identifier: Apache-2.0
 *
 * Our own addresses: probed before they are used, announced, defended. Port 2 has addresses that are held back.
 */
#include "net_fake.h"

enum { HELD = 2, HELD_IP = 0x0a000201 };
static const uint8_t held_mac[6] = {2, 0, 0, 0, 0, 2}, thief[6] = {2, 7, 7, 7, 7, 7};

static struct sn_addr held4(void) { return sn_addr_v4(HELD_IP); }
static struct sn_addr held6(void) { return addr6(2, 1); }

static struct sn_engine *start(void)
{
	struct sn_engine *e = fake_start6(0, 1, false);
	struct sn_net_port_cfg p = {
		.addr = held4(), .prefix = 24, .addr6 = held6(), .prefix6 = 64, .mtu = 1500, .held = 3};

	memcpy(p.mac, held_mac, 6);
	CHECK_EQ(sn_net_port_add(e, &p), HELD);
	sn_net_news_watch(e);
	return e;
}

static enum sn_err order(uint8_t op, uint16_t port, struct sn_addr addr)
{
	struct sn_neigh_order o = {.op = op, .port = port};

	memcpy(o.addr, addr.b, 16);
	return sn_net_order(fake.e, &o, 1);
}

static void rx_arp_of(uint16_t op, const uint8_t mac[6], uint32_t sender, uint32_t target, uint16_t port, sn_time now)
{
	struct sn_arp a = {.op = op, .sender = sender, .target = target};
	uint8_t p[SN_ARP_LEN];

	memcpy(a.sender_mac, mac, 6);
	sn_arp_emit(p, &a);
	rx_raw(all_ones, SN_ETH_ARP, p, sizeof p, port, 0, now);
}

/* A neighbour message about `target` to a group. */
static void rx_nd_of(uint8_t type, const uint8_t mac[6], struct sn_addr src, struct sn_addr target, uint16_t port,
		     sn_time now)
{
	struct sn_nd nd = {.type = type, .has_mac = type == SN_ICMP6_ADVERTISE, .target = target};
	struct sn_addr dst = type == SN_ICMP6_SOLICIT ? sn_ipv6_solicited_node(&target) : sn_ipv6_all_nodes();
	uint8_t p[40 + SN_ND_LEN], to[6];

	memcpy(nd.mac, mac, 6);
	sn_ipv6_group_mac(to, &dst);
	uint32_t len = sn_nd_emit(p + 40, &nd, &src, &dst);
	rx_raw(to, SN_ETH_IPV6, p, ip6_packet(p, &src, &dst, SN_IP_ICMP6, 255, len), port, 0, now);
}

static uint32_t conflicts(const uint8_t mac[6], struct sn_addr addr)
{
	struct sn_neigh_news v[8];
	uint32_t n = sn_net_news_take(fake.e, v, 8);

	for (uint32_t i = 0; i < n; i++) {
		CHECK_EQ(v[i].kind, SN_NEIGH_CONFLICT);
		CHECK_MEM(v[i].mac, mac, 6);
		CHECK_MEM(v[i].addr, addr.b, 16);
	}
	return n;
}

static void check_arp(uint32_t i, uint32_t sender, uint32_t target)
{
	struct sn_arp a;
	struct sn_eth eth;

	REQUIRE(i < fake.sent_count && sn_eth_parse(&eth, fake.sent[i].data, fake.sent[i].len));
	REQUIRE(eth.type == SN_ETH_ARP && sn_arp_parse(&a, fake.sent[i].data + 14, fake.sent[i].len - 14));
	CHECK_EQ(a.op, SN_ARP_REQUEST);
	CHECK_EQ(a.sender, sender);
	CHECK_EQ(a.target, target);
	CHECK_MEM(eth.dst, all_ones, 6);
	CHECK_MEM(a.sender_mac, eth.src, 6);
}

SN_TEST(an_address_that_is_held_back_is_neither_answered_for_nor_sent_from)
{
	struct sn_engine *e = start();
	struct sn_addr dst = sn_addr_v4(HELD_IP + 1), dst6 = addr6(2, 2), any = {0}, four = held4(), six = held6(), hop;

	rx_arp_of(SN_ARP_REQUEST, peer_mac, HELD_IP + 1, HELD_IP, HELD, 1);
	rx_nd_of(SN_ICMP6_SOLICIT, peer_mac, dst6, held6(), HELD, 1);
	CHECK_EQ(fake.sent_count, 0);
	CHECK_EQ(e->net.neighs.used, 0);
	CHECK_EQ(sn_net_addr_port(e, &four), -1);
	CHECK_EQ(sn_net_addr_port(e, &six), -1);
	CHECK(!sn_net_next_hop(e, HELD, &dst, &hop));
	CHECK_EQ(sn_net_route(e, &any, &dst6), 0); /* over a gateway of another port */
	CHECK_EQ(order(SN_ADDR_ANNOUNCE, HELD, held4()), SN_E_INVAL);
	CHECK_EQ(order(SN_ADDR_READY, HELD, held4()), SN_OK);
	CHECK_EQ(order(SN_ADDR_READY, HELD, held6()), SN_OK);
	CHECK_EQ(order(SN_ADDR_READY, HELD, held6()), SN_OK); /* is it again */
	CHECK_EQ(order(SN_ADDR_PROBE, HELD, held6()), SN_E_INVAL);
	CHECK_EQ(sn_net_addr_port(e, &four), HELD);
	CHECK_EQ(sn_net_addr_port(e, &six), HELD);
	CHECK_EQ(sn_net_route(e, &any, &dst), HELD);
	CHECK_EQ(sn_net_route(e, &any, &dst6), HELD);
	rx_arp_of(SN_ARP_REQUEST, peer_mac, HELD_IP + 1, HELD_IP, HELD, 1);
	CHECK_EQ(fake.sent_count, 1);
	fake_stop();
}

SN_TEST(a_probe_of_ipv4_says_who_asks_only_by_its_mac)
{
	start();
	CHECK_EQ(order(SN_ADDR_PROBE, HELD, held4()), SN_OK);
	check_arp(0, 0, HELD_IP);
	CHECK_EQ(order(SN_ADDR_PROBE, HELD, sn_addr_v4(HELD_IP + 1)), SN_E_INVAL);
	CHECK_EQ(order(SN_ADDR_PROBE, 0, sn_addr_v4(OUR_IP)), SN_E_INVAL); /* in use */
	CHECK_EQ(fake.sent_count, 1);
	fake_stop();
}

SN_TEST(a_probe_of_ipv6_comes_from_nobody_and_goes_to_the_group)
{
	struct sn_eth eth;
	struct sn_ip ip;
	struct sn_nd nd;
	struct sn_addr target = held6(), group = sn_ipv6_solicited_node(&target);
	uint8_t mac[6];

	start();
	CHECK_EQ(order(SN_ADDR_PROBE, HELD, held6()), SN_OK);
	sent_nd(0, &eth, &ip, &nd);
	sn_ipv6_group_mac(mac, &group);
	CHECK_EQ(nd.type, SN_ICMP6_SOLICIT);
	CHECK(!nd.has_mac);
	CHECK(sn_addr_eq(&nd.target, &target));
	CHECK(sn_addr_is_any6(&ip.src));
	CHECK(sn_addr_eq(&ip.dst, &group));
	CHECK_MEM(eth.dst, mac, 6);
	fake_stop();
}

SN_TEST(who_has_the_address_or_probes_for_it_too_is_told_of)
{
	struct sn_engine *e = start();
	struct sn_addr none = {0};

	rx_arp_of(SN_ARP_REPLY, thief, HELD_IP, HELD_IP + 9, HELD, 1);
	CHECK_EQ(conflicts(thief, held4()), 1);
	rx_arp_of(SN_ARP_REQUEST, thief, HELD_IP, HELD_IP, HELD, 2);
	CHECK_EQ(conflicts(thief, held4()), 1);
	rx_arp_of(SN_ARP_REQUEST, thief, 0, HELD_IP, HELD, 3);
	CHECK_EQ(conflicts(thief, held4()), 1);
	rx_nd_of(SN_ICMP6_ADVERTISE, thief, held6(), held6(), HELD, 4);
	CHECK_EQ(conflicts(thief, held6()), 1);
	rx_nd_of(SN_ICMP6_SOLICIT, thief, none, held6(), HELD, 5);
	CHECK_EQ(conflicts(peer_mac, held6()), 1); /* the frame's source: a probe has no option */
	CHECK_EQ(e->counters.addr_conflict, 5);
	CHECK_EQ(e->counters.addr_defended, 0);
	CHECK_EQ(fake.sent_count, 0);
	fake_stop();
}

SN_TEST(who_only_wants_to_talk_to_the_address_has_no_conflict_with_it)
{
	struct sn_engine *e = start();
	struct sn_addr none = {0};

	rx_arp_of(SN_ARP_REQUEST, thief, HELD_IP + 1, HELD_IP, HELD, 1);
	rx_arp_of(SN_ARP_REQUEST, thief, 0, HELD_IP + 1, HELD, 1);
	rx_arp_of(SN_ARP_REQUEST, held_mac, 0, HELD_IP, HELD, 1); /* our own, come back */
	rx_nd_of(SN_ICMP6_SOLICIT, thief, addr6(2, 9), held6(), HELD, 1);
	rx_nd_of(SN_ICMP6_SOLICIT, thief, none, addr6(2, 9), HELD, 1);
	rx_nd_of(SN_ICMP6_ADVERTISE, thief, addr6(2, 9), addr6(2, 9), HELD, 1);
	rx_nd_of(SN_ICMP6_ADVERTISE, held_mac, held6(), held6(), HELD, 1);
	CHECK_EQ(e->counters.addr_conflict, 0);
	fake_stop();
}

SN_TEST(announcements_name_us_to_all)
{
	struct sn_eth eth;
	struct sn_ip ip;
	struct sn_nd nd;
	struct sn_addr us = our6(), all = sn_ipv6_all_nodes();

	start();
	CHECK_EQ(order(SN_ADDR_ANNOUNCE, 0, sn_addr_v4(OUR_IP)), SN_OK);
	check_arp(0, OUR_IP, OUR_IP);
	CHECK_EQ(order(SN_ADDR_ANNOUNCE, 0, our6()), SN_OK);
	sent_nd(1, &eth, &ip, &nd);
	CHECK_EQ(nd.type, SN_ICMP6_ADVERTISE);
	CHECK_EQ(nd.flags, SN_ND_OVERRIDE);
	CHECK(sn_addr_eq(&ip.src, &us));
	CHECK(sn_addr_eq(&ip.dst, &all));
	CHECK(sn_addr_eq(&nd.target, &us));
	CHECK_MEM(nd.mac, fake_mac[0], 6);
	fake_stop();
}

SN_TEST(an_address_in_use_is_defended_and_told_of_once_in_ten_seconds)
{
	struct sn_engine *e = start();

	for (uint32_t i = 0; i < 1000; i++)
		rx_arp_of(SN_ARP_REQUEST, thief, OUR_IP, OUR_IP, 0, SN_SEC + i * 9 * SN_MSEC);
	CHECK_EQ(e->counters.addr_conflict, 1000);
	CHECK_EQ(e->counters.addr_defended, 1);
	CHECK_EQ(fake.sent_count, 1);
	check_arp(0, OUR_IP, OUR_IP);
	CHECK_EQ(conflicts(thief, sn_addr_v4(OUR_IP)), 1);
	rx_arp_of(SN_ARP_REPLY, thief, OUR_IP, PEER_IP, 0, 12 * SN_SEC);
	CHECK_EQ(e->counters.addr_defended, 2);
	rx_nd_of(SN_ICMP6_ADVERTISE, thief, our6(), our6(), 0, 12 * SN_SEC); /* of IPv6 apart */
	rx_nd_of(SN_ICMP6_ADVERTISE, thief, peer6(), our6(), 0, 12 * SN_SEC);
	CHECK_EQ(e->counters.addr_defended, 3);
	CHECK_EQ(e->counters.addr_conflict, 1003);
	fake_stop();
}

SN_TEST(probes_of_others_for_an_address_in_use_are_answered_and_no_conflict)
{
	struct sn_engine *e = start();
	struct sn_addr none = {0};

	rx_arp_of(SN_ARP_REQUEST, thief, 0, OUR_IP, 0, 1);
	rx_nd_of(SN_ICMP6_SOLICIT, thief, none, our6(), 0, 1);
	CHECK_EQ(fake.sent_count, 2);
	CHECK_EQ(e->counters.addr_conflict, 0);
	fake_stop();
}

SN_TEST(what_is_held_back_stays_so_in_the_configuration_of_the_port)
{
	struct sn_engine *e = start();
	struct sn_net_port_cfg cfg;
	struct sn_addr four = held4(), six = held6();

	sn_net_port_cfg_get(e, HELD, &cfg);
	CHECK_EQ(cfg.held, 3);
	CHECK(sn_addr_eq(&cfg.addr, &four));
	CHECK(sn_addr_eq(&cfg.addr6, &six));
	CHECK_EQ(cfg.prefix, 24);
	fake_stop();
}

SN_TEST_MAIN()
