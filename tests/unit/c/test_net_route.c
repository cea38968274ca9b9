/* SPDX-License-Identifier: Apache-2.0
 *
 * Static routes: longest prefix first, then the source address. Ports 2 and 3 have routes; port 0 a gateway (net_fake.h).
 */
#include "net_fake.h"

enum { A = 2, B = 3 };

static void add(struct sn_net_port_cfg *cfg, struct sn_addr dst, uint8_t prefix, struct sn_addr via)
{
	enum sn_family f = sn_addr_family(&dst);
	struct sn_route *r = &cfg->route[f][cfg->routes[f]++];

	memcpy(r->dst, dst.b, 16);
	memcpy(r->via, via.b, 16);
	r->prefix = prefix;
}

static struct sn_net_port_cfg port(uint8_t number)
{
	return (struct sn_net_port_cfg){.mac = {2, 0, 0, 0, 0, number},
					.addr = sn_addr_v4(0x0a000001u + number * 256u),
					.prefix = 24,
					.gateway = sn_addr_v4(0x0a0000feu + number * 256u),
					.addr6 = addr6(number, 1),
					.prefix6 = 64,
					.mtu = 1500};
}

static struct sn_addr v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	return sn_addr_v4((uint32_t)a << 24 | (uint32_t)b << 16 | (uint32_t)c << 8 | d);
}

static struct sn_addr net6(uint8_t a, uint8_t b) { return (struct sn_addr){{0x20, 1, 0xd, 0xb8, a, b}}; }

static struct sn_engine *start(void)
{
	struct sn_engine *e = fake_start6(0, 1, false);
	struct sn_net_port_cfg a = port(A), b = port(B);

	add(&a, v4(10, 9, 0, 0), 16, v4(10, 0, 2, 2));
	add(&a, v4(10, 9, 8, 0), 24, v4(10, 0, 2, 3));   /* narrower, given later */
	add(&a, v4(10, 0, 2, 128), 25, v4(10, 0, 2, 4)); /* inside the link */
	add(&a, net6(9, 0), 40, addr6(A, 2));
	add(&b, v4(10, 9, 8, 7), 32, v4(10, 0, 3, 2));
	add(&b, net6(9, 9), 48, router6());
	CHECK_EQ(sn_net_port_add(e, &a), A);
	CHECK_EQ(sn_net_port_add(e, &b), B);
	return e;
}

static void check_hop(uint16_t port_index, struct sn_addr dst, struct sn_addr want)
{
	struct sn_addr hop;

	REQUIRE(sn_net_next_hop(fake.e, port_index, &dst, &hop));
	CHECK_MEM(hop.b, want.b, 16);
}

static int32_t route(struct sn_addr src, struct sn_addr dst) { return sn_net_route(fake.e, &src, &dst); }

SN_TEST(the_longest_prefix_leads_to_the_next_hop)
{
	start();
	check_hop(A, v4(10, 9, 1, 1), v4(10, 0, 2, 2));
	check_hop(A, v4(10, 9, 8, 1), v4(10, 0, 2, 3));
	check_hop(A, v4(10, 0, 2, 9), v4(10, 0, 2, 9));
	check_hop(A, v4(10, 0, 2, 200), v4(10, 0, 2, 4));
	check_hop(A, v4(10, 8, 0, 1), v4(10, 0, 2, 254));
	check_hop(B, v4(10, 9, 8, 7), v4(10, 0, 3, 2));
	check_hop(B, v4(10, 9, 8, 8), v4(10, 0, 3, 254));
	check_hop(A, net6(9, 1), addr6(A, 2));
	check_hop(B, net6(9, 9), router6());
	fake_stop();
}

SN_TEST(the_longest_prefix_chooses_the_port)
{
	struct sn_engine *e = start();
	struct sn_addr any = {0};

	CHECK_EQ(route(any, v4(10, 9, 1, 1)), A);
	CHECK_EQ(route(any, v4(10, 9, 8, 7)), B);
	CHECK_EQ(route(any, v4(10, 9, 8, 8)), A);
	CHECK_EQ(route(any, v4(10, 0, 3, 8)), B);
	CHECK_EQ(route(any, v4(10, 0, 3, 255)), SN_E_NETUNREACH);
	CHECK_EQ(route(any, v4(8, 8, 8, 8)), 0); /* the first gateway */
	CHECK_EQ(route(any, net6(9, 9)), B);
	CHECK_EQ(route(any, net6(9, 8)), A);
	CHECK_EQ(route(any, net6(1, 1)), 0);
	CHECK_EQ(e->counters.tx_no_route, 0);
	fake_stop();
}

SN_TEST(a_source_address_keeps_to_its_port_wherever_else_the_way_would_be_longer)
{
	start();
	CHECK_EQ(route(v4(10, 0, 2, 1), v4(10, 9, 8, 7)), A);
	CHECK_EQ(route(v4(10, 0, 3, 1), v4(10, 9, 1, 1)), B); /* by its gateway */
	CHECK_EQ(route(v4(10, 0, 0, 1), v4(10, 9, 1, 1)), 0);
	CHECK_EQ(route(v4(10, 0, 1, 1), v4(10, 9, 1, 1)), SN_E_NETUNREACH); /* none there */
	CHECK_EQ(route(addr6(B, 1), net6(9, 8)), SN_E_NETUNREACH);
	fake_stop();
}

/* The address that is asked for when a segment goes to dst from this port. */
static void check_asks(uint16_t port_index, struct sn_addr dst, uint32_t want)
{
	struct sn_tcp_seg s = {.flags = SN_TH_ACK};
	struct sn_tx tx = {.hdr = fake_alloc(&fake_pool)};
	struct sn_addr src = fake.e->net.port[port_index].nif[SN_FAMILY_4].addr;
	struct sn_arp a;

	fake.sent_count = 0;
	sn_tcp_emit(tx.hdr->data, &s, 0);
	tx.hdr->len = 20;
	sn_net_send_tcp(fake.e, port_index, &src, &dst, &tx, -1, 1);
	REQUIRE(fake.sent_count == 1 && sn_arp_parse(&a, fake.sent[0].data + 14, fake.sent[0].len - 14));
	CHECK_EQ(a.target, want);
}

SN_TEST(segments_go_to_the_router_of_their_route)
{
	start();
	check_asks(A, v4(10, 9, 1, 1), 0x0a000202);
	check_asks(A, v4(10, 9, 8, 1), 0x0a000203);
	check_asks(A, v4(10, 0, 2, 77), 0x0a00024d);
	check_asks(A, v4(10, 0, 2, 177), 0x0a000204);
	check_asks(A, v4(8, 8, 8, 8), 0x0a0002fe);
	check_asks(B, v4(10, 9, 8, 7), 0x0a000302);
	fake_stop();
}

SN_TEST(the_next_hop_of_the_last_destination_is_kept_for_the_next_packet)
{
	struct sn_engine *e = start();
	struct sn_net_port_cfg c = port(4);
	struct sn_addr one = v4(10, 9, 1, 1), two = v4(10, 9, 8, 1), via = v4(10, 0, 2, 2), none = v4(8, 8, 8, 8);

	check_asks(A, one, 0x0a000202);
	CHECK_EQ(e->net.port[A].routed, 0x0a090101);
	CHECK_MEM(e->net.port[A].routed_via.b, via.b, 16);
	check_asks(A, two, 0x0a000203);
	CHECK_EQ(e->net.port[A].routed, 0x0a090801);
	c.gateway = (struct sn_addr){0};
	add(&c, v4(10, 9, 0, 0), 16, v4(10, 0, 4, 2));
	CHECK_EQ(sn_net_port_add(e, &c), 4);
	check_asks(4, one, 0x0a000402);
	CHECK(sn_addr_is_any(sn_net_routed(&e->net.port[4], &none)));
	CHECK_EQ(e->net.port[4].routed, 0);
	CHECK_MEM(sn_net_routed(&e->net.port[4], &one)->b, v4(10, 0, 4, 2).b, 16);
	fake_stop();
}

SN_TEST(routes_survive_in_the_configuration_of_a_port)
{
	struct sn_engine *e = start();
	struct sn_net_port_cfg cfg;

	sn_net_port_cfg_get(e, A, &cfg);
	CHECK_EQ(cfg.routes[SN_FAMILY_4], 3);
	CHECK_EQ(cfg.routes[SN_FAMILY_6], 1);
	CHECK_EQ(cfg.route[SN_FAMILY_4][0].prefix, 25); /* longest first */
	CHECK_EQ(cfg.route[SN_FAMILY_4][2].prefix, 16);
	CHECK_EQ(cfg.route[SN_FAMILY_6][0].prefix, 40);
	cfg.addr = v4(10, 0, 2, 7);
	cfg.addr6 = addr6(A, 7);
	CHECK_EQ(sn_net_port_add(e, &cfg), 4); /* it can be added again */
	fake_stop();
}

SN_TEST(routes_over_routers_that_are_not_on_the_link_are_refused)
{
	struct sn_engine *e = fake_start6(0, 1, false);
	struct sn_net_port_cfg p = port(A);

	add(&p, v4(10, 9, 0, 0), 16, v4(10, 0, 3, 2));
	CHECK_EQ(sn_net_port_add(e, &p), SN_E_INVAL);
	p = port(A);
	add(&p, v4(10, 9, 0, 0), 16, p.addr); /* ourselves */
	CHECK_EQ(sn_net_port_add(e, &p), SN_E_INVAL);
	p = port(A);
	add(&p, v4(10, 9, 0, 0), 33, v4(10, 0, 2, 2));
	CHECK_EQ(sn_net_port_add(e, &p), SN_E_INVAL);
	p = port(A);
	add(&p, net6(1, 1), 48, addr6(B, 2));
	CHECK_EQ(sn_net_port_add(e, &p), SN_E_INVAL);
	p = port(A);
	add(&p, v4(10, 9, 0, 0), 16, router6());
	CHECK_EQ(sn_net_port_add(e, &p), SN_E_INVAL);
	p = port(A);
	p.routes[SN_FAMILY_4] = SN_ROUTES + 1;
	CHECK_EQ(sn_net_port_add(e, &p), SN_E_INVAL);
	p = port(A);
	p.addr6 = (struct sn_addr){0};
	add(&p, net6(1, 1), 48, router6());
	CHECK_EQ(sn_net_port_add(e, &p), SN_E_INVAL);
	fake_stop();
}

SN_TEST_MAIN()
