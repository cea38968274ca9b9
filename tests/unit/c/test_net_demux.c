/* SPDX-License-Identifier: Apache-2.0
 *
 * Demultiplexer: whose segment is it, what happens to the others; flow and forward tables; port choice.
 */
#include "net_fake.h"

#define TCP(n) ((struct sn_tcp *)(uintptr_t)(n))

SN_TEST(a_segment_of_a_known_flow_arrives_with_only_its_payload)
{
	struct sn_engine *e = fake_start(0, 1, false);
	struct sn_flow f = flow_of(80, 5000);

	CHECK_EQ(sn_net_flow_insert(e, &f, TCP(64)), SN_OK);
	rx_tcp(5000, 80, SN_TH_ACK, 3, 3, 0, 1); /* Ethernet pads to 60 bytes */
	CHECK_EQ(fake.inputs, 1);
	CHECK(fake.input_tcp == TCP(64));
	CHECK_EQ(fake.input_len, 3);
	CHECK_EQ(fake.input_seg.len, 3);
	CHECK_EQ(fake.input_first, 1);
	CHECK_EQ(fake.input_seg.seq, 1000);
	rx_tcp(5000, 80, SN_TH_ACK, 0, 6, 0, 1);
	CHECK_EQ(fake.input_len, 0);
	CHECK_EQ(e->counters.tcp_rx_segments, 2);
	fake_stop();
}

SN_TEST(a_bad_checksum_is_dropped_unless_the_port_verified_it)
{
	struct sn_engine *e = fake_start(0, 1, false);
	struct sn_flow f = flow_of(80, 5000);
	uint8_t p[60] = {0};
	struct sn_tcp_seg s = {.sport = 5000, .dport = 80, .flags = SN_TH_ACK};

	CHECK_EQ(sn_net_flow_insert(e, &f, TCP(64)), SN_OK);
	sn_tcp_emit(p + 20, &s, 0);
	uint32_t n = ip_packet(p, PEER_IP, OUR_IP, SN_IP_TCP, 40);
	rx_raw(fake_mac[0], SN_ETH_IPV4, p, n, 0, 0, 1);
	CHECK_EQ(fake.inputs, 0);
	CHECK_EQ(e->counters.rx_drop_tcp, 1);
	rx_raw(fake_mac[0], SN_ETH_IPV4, p, n, 0, SN_BUF_CSUM_GOOD, 1);
	CHECK_EQ(fake.inputs, 1);
	p[8]++; /* now the IP header is wrong */
	rx_raw(fake_mac[0], SN_ETH_IPV4, p, n, 0, 0, 1);
	CHECK_EQ(e->counters.rx_drop_ip, 1);
	fake_stop();
}

SN_TEST(frames_that_are_not_for_us_are_dropped_and_counted)
{
	struct sn_engine *e = fake_start(0, 1, false);
	static const uint8_t other[6] = {2, 0, 0, 0, 9, 9};
	uint8_t p[100] = {0};
	uint32_t n = ip_packet(p, PEER_IP, OUR_IP, 17, 20);

	rx_raw(other, SN_ETH_IPV4, p, n, 0, 0, 1);
	rx_raw(all_ones, SN_ETH_IPV4, p, n, 0, 0, 1);
	rx_raw(fake_mac[0], SN_ETH_IPV6, p, n, 0, 0, 1);
	rx_raw(fake_mac[0], SN_ETH_IPV4, p, n, 9, 0, 1); /* no such port */
	CHECK_EQ(e->counters.rx_drop_eth, 4);
	rx_raw(fake_mac[0], SN_ETH_IPV4, p, n, 0, 0, 1);
	CHECK_EQ(e->counters.rx_drop_proto, 1);
	rx_raw(fake_mac[0], SN_ETH_IPV4, p, ip_packet(p, PEER_IP, FAR_IP, SN_IP_TCP, 20), 0, 0, 1);
	rx_raw(fake_mac[0], SN_ETH_IPV4, p, ip_packet(p, 0xe0000001, OUR_IP, SN_IP_TCP, 20), 0, 0, 1);
	rx_raw(fake_mac[0], SN_ETH_IPV4, p, ip_packet(p, 0x7f000001, OUR_IP, SN_IP_TCP, 20), 0, 0, 1);
	rx_raw(fake_mac[0], SN_ETH_IPV4, p, ip_packet(p, OUR_IP, OUR_IP, SN_IP_TCP, 20), 0, 0, 1);
	rx_raw(fake_mac[0], SN_ETH_IPV4, p, 19, 0, 0, 1);
	CHECK_EQ(e->counters.rx_drop_ip, 5);
	CHECK_EQ(fake.sent_count, 0);
	fake_stop();
}

/* A whole frame behind `tags`, the last of which names IPv4; a segment of the flow 80 <- 5000. */
static void rx_tagged(const uint8_t *tags, uint32_t len)
{
	struct sn_tcp_seg s = {.sport = 5000, .dport = 80, .flags = SN_TH_ACK};
	uint8_t p[100] = {0};

	memcpy(p, tags, len);
	sn_tcp_emit(p + len + 20, &s, 0);
	uint32_t n = ip_packet(p + len, PEER_IP, OUR_IP, SN_IP_TCP, 20);
	rx_raw(fake_mac[0], SN_ETH_VLAN, p, len + n, 0, SN_BUF_CSUM_GOOD, 1);
}

SN_TEST(a_frame_with_a_priority_alone_is_untagged_and_one_of_a_vlan_is_not_ours)
{
	struct sn_engine *e = fake_start(0, 1, false);
	struct sn_flow f = flow_of(80, 5000);
	static const uint8_t priority[] = {0xe0, 0x00, 0x08, 0x00}, vlan[] = {0xe0, 0x05, 0x08, 0x00},
			     two[] = {0x00, 0x00, 0x81, 0x00, 0x00, 0x00, 0x08, 0x00};

	CHECK_EQ(sn_net_flow_insert(e, &f, TCP(64)), SN_OK);
	rx_tagged(priority, sizeof priority);
	CHECK_EQ(fake.inputs, 1);
	rx_tagged(vlan, sizeof vlan);
	rx_tagged(two, sizeof two);
	CHECK_EQ(fake.inputs, 1);
	CHECK_EQ(e->counters.rx_drop_vlan, 2);
	rx_raw(fake_mac[0], SN_ETH_VLAN, priority, 3, 0, 0, 1); /* no type in it */
	CHECK_EQ(e->counters.rx_drop_eth, 1);
	fake_stop();
}

SN_TEST(a_packet_for_the_address_of_another_port_is_accepted)
{
	struct sn_engine *e = fake_start(0, 1, false);
	uint8_t p[60] = {0};

	rx_raw(fake_mac[0], SN_ETH_IPV4, p, ip_packet(p, PEER_IP, OUR_IP2, SN_IP_TCP, 20), 0, SN_BUF_CSUM_GOOD, 1);
	CHECK_EQ(e->counters.rx_drop_ip, 0);
	fake_stop();
}

SN_TEST(a_syn_is_offered_to_mptcp_and_a_refusal_is_answered_with_its_options)
{
	struct sn_eth eth;
	struct sn_ipv4 ip;
	struct sn_tcp_seg seg;

	fake_start(0, 1, false);
	rx_arp(SN_ARP_REQUEST, PEER_IP, OUR_IP, 0, 1);
	fake.sent_count = 0;
	fake.verdict = SN_SYN_TAKEN;
	rx_tcp(5000, 80, SN_TH_SYN, 0, 0, 0, 1);
	CHECK_EQ(fake.syns, 1);
	CHECK_EQ(fake.sent_count, 0);
	fake.verdict = SN_SYN_REFUSE;
	rx_tcp(5000, 80, SN_TH_SYN, 0, 0, 0, 1);
	CHECK_EQ(fake.sent_count, 1);
	sent_tcp(0, &eth, &ip, &seg);
	CHECK_EQ(seg.flags, SN_TH_RST | SN_TH_ACK);
	CHECK_EQ(seg.seq, 0);
	CHECK_EQ(seg.ack, 1001);
	CHECK_EQ(seg.sport, 80);
	CHECK_EQ(seg.dport, 5000);
	CHECK_EQ(seg.mp.present, SN_MP_BIT(SN_MP_TCPRST));
	CHECK_EQ(seg.mp.rst_reason, 1);
	CHECK_EQ(ip.src, OUR_IP);
	CHECK_EQ(ip.dst, PEER_IP);
	fake_stop();
}

SN_TEST(a_stray_ack_is_answered_with_rst_at_its_acknowledgement)
{
	struct sn_eth eth;
	struct sn_ipv4 ip;
	struct sn_tcp_seg seg;
	struct sn_engine *e = fake_start(0, 1, false);

	rx_arp(SN_ARP_REQUEST, PEER_IP, OUR_IP, 0, 1);
	fake.sent_count = 0;
	rx_tcp(5000, 80, SN_TH_ACK, 10, 0, 0, 1);
	CHECK_EQ(fake.sent_count, 1);
	sent_tcp(0, &eth, &ip, &seg);
	CHECK_EQ(seg.flags, SN_TH_RST);
	CHECK_EQ(seg.seq, 2000);
	rx_tcp(5000, 80, SN_TH_FIN, 10, 0, 0, 1); /* no ACK: sequence and FIN are acknowledged */
	sent_tcp(1, &eth, &ip, &seg);
	CHECK_EQ(seg.flags, SN_TH_RST | SN_TH_ACK);
	CHECK_EQ(seg.seq, 0);
	CHECK_EQ(seg.ack, 1011);
	CHECK_EQ(e->counters.tcp_no_flow, 2);
	CHECK_EQ(e->counters.tcp_rst_tx, 2);
	CHECK_EQ(fake.syns, 0);
	fake_stop();
}

SN_TEST(a_rst_is_never_answered)
{
	fake_start(0, 1, false);
	rx_tcp(5000, 80, SN_TH_RST, 0, 0, 0, 1);
	rx_tcp(5000, 80, SN_TH_RST | SN_TH_ACK, 0, 0, 0, 1);
	rx_tcp(5000, 80, SN_TH_RST | SN_TH_SYN, 0, 0, 0, 1);
	CHECK_EQ(fake.sent_count, 0);
	CHECK_EQ(fake.syns, 0);
	fake_stop();
}

SN_TEST(resets_are_limited_to_a_thousand_a_second)
{
	struct sn_engine *e = fake_start(0, 1, false);

	rx_arp(SN_ARP_REQUEST, PEER_IP, OUR_IP, 0, 1);
	for (uint32_t i = 0; i < 3000; i++) {
		rx_tcp(5000, 80, SN_TH_ACK, 0, 0, 0, SN_SEC);
		fake.sent_count = 0;
	}
	CHECK_EQ(e->counters.tcp_rst_tx, 1000);
	CHECK_EQ(e->counters.tcp_rst_limited, 2000);
	for (uint32_t i = 0; i < 3000; i++) {
		rx_tcp(5000, 80, SN_TH_ACK, 0, 0, 0, SN_SEC + i * (SN_SEC / 2000));
		fake.sent_count = 0;
	}
	CHECK(e->counters.tcp_rst_tx >= 2450 && e->counters.tcp_rst_tx <= 2550);
	fake_stop();
}

SN_TEST(a_segment_for_another_workers_port_block_is_forwarded_whole)
{
	struct sn_engine *e = fake_start(0, 2, false);

	rx_tcp(80, 32768 + 4096 + 5, SN_TH_ACK | SN_TH_SYN, 0, 0, 0, 1);
	CHECK_EQ(fake.forwarded_count, 1);
	CHECK_EQ(fake.forwarded[0].worker, 1);
	CHECK_EQ(fake.forwarded[0].b->len, 54);
	CHECK(fake.forwarded[0].b->flags & SN_BUF_FORWARDED);
	CHECK(fake.forwarded[0].b->flags & SN_BUF_CSUM_GOOD);
	CHECK_EQ(e->counters.misdirected, 1);
	rx_tcp(80, 32768 + 5, SN_TH_ACK, 0, 0, 0, 1); /* our own block: RST */
	CHECK_EQ(fake.forwarded_count, 1);
	CHECK_EQ(e->counters.tcp_rst_tx, 1);
	fake_stop();
}

SN_TEST(a_segment_that_landed_at_a_worker_without_its_flow_goes_round_before_a_reset)
{
	struct sn_engine *e = fake_start(0, 2, false);

	rx_tcp(5000, 80, SN_TH_ACK, 0, 0, 0, 1);
	CHECK_EQ(fake.forwarded_count, 1);
	CHECK_EQ(fake.forwarded[0].worker, 1);
	CHECK_EQ(fake.forwarded[0].b->seq, 0);
	CHECK_EQ(e->counters.tcp_rst_tx, 0);
	struct sn_buf *b = fake.forwarded[0].b;
	fake.forwarded_count = 0;
	sn_net_rx(e, &b, 1, 1); /* as if we were worker 1, the last one asked */
	CHECK_EQ(fake.forwarded_count, 0);
	CHECK_EQ(e->counters.tcp_rst_tx, 1);
	fake_stop();

	e = fake_start(2, 3, false);
	rx_tcp(5000, 80, SN_TH_ACK, 0, 0, 0, 1);
	CHECK_EQ(fake.forwarded_count, 1);
	CHECK_EQ(fake.forwarded[0].worker, 0);
	CHECK_EQ(fake.forwarded[0].b->seq, 1); /* worker 1 comes after worker 0 */
	b = fake.forwarded[0].b;
	fake.forwarded_count = 0;
	sn_net_rx(e, &b, 1, 1); /* as if we were worker 0 */
	CHECK_EQ(fake.forwarded_count, 1);
	CHECK_EQ(fake.forwarded[0].b->seq, 0);
	b = fake.forwarded[0].b;
	fake.forwarded_count = 0;
	sn_net_rx(e, &b, 1, 1);
	CHECK_EQ(fake.forwarded_count, 0);
	CHECK_EQ(e->counters.tcp_rst_tx, 1);
	fake_stop();
}

SN_TEST(a_segment_behind_a_cookie_goes_round_and_nobody_resets_it)
{
	struct sn_engine *e = fake_start(0, 2, false);

	e->mptcp.cookies_until = 1000;
	fake.ack_verdict = SN_ACK_QUIET;
	rx_tcp(5000, 80, SN_TH_ACK, 0, 0, 0, 1);
	CHECK_EQ(fake.forwarded_count, 1);
	CHECK_EQ(fake.acks, 1);
	struct sn_buf *b = fake.forwarded[0].b;
	fake.forwarded_count = 0;
	fake.ack_verdict = SN_ACK_STRANGE;
	e->mptcp.cookies_until = 0; /* the other one knows nothing of cookies */
	sn_net_rx(e, &b, 1, 1);
	CHECK_EQ(fake.forwarded_count, 0);
	CHECK_EQ(fake.acks, 1);
	CHECK_EQ(e->counters.tcp_rst_tx, 0);
	CHECK_EQ(e->counters.tcp_no_flow, 1);
	fake_stop();

	e = fake_start(0, 2, false);
	e->mptcp.cookies_until = 1000;
	fake.ack_verdict = SN_ACK_DROPPED;
	rx_tcp(5000, 80, SN_TH_ACK, 0, 0, 0, 1);
	rx_tcp(5000, 80, SN_TH_ACK | SN_TH_SYN, 0, 0, 0, 1); /* no third ACK of anybody */
	rx_tcp(5000, 80, SN_TH_ACK, 0, 0, 0, 1000);          /* too late for all that were sent */
	CHECK_EQ(fake.acks, 1);
	CHECK_EQ(fake.forwarded_count, 2);
	fake_stop();
}

SN_TEST(a_forwarded_segment_is_never_forwarded_again)
{
	struct sn_engine *e = fake_start(0, 2, false);

	rx_tcp(80, 32768 + 4096 + 5, SN_TH_ACK, 0, 0, SN_BUF_FORWARDED | SN_BUF_CSUM_GOOD, 1);
	fake.verdict = SN_SYN_FORWARD;
	fake.syn_owner = 1;
	rx_tcp(5000, 80, SN_TH_SYN, 0, 0, SN_BUF_FORWARDED | SN_BUF_CSUM_GOOD, 1);
	CHECK_EQ(fake.syns, 1);
	CHECK_EQ(fake.forwarded_count, 0);
	CHECK_EQ(e->counters.misdirected, 0);
	CHECK_EQ(e->counters.tcp_no_flow, 2);
	CHECK_EQ(fake.sent_count, 0);
	fake_stop();
}

SN_TEST(a_join_for_another_worker_is_forwarded_and_what_follows_too)
{
	struct sn_engine *e = fake_start(0, 2, false);

	fake.verdict = SN_SYN_FORWARD;
	fake.syn_owner = 1;
	rx_tcp(5000, 80, SN_TH_SYN, 0, 0, 0, 1);
	rx_tcp(5000, 80, SN_TH_ACK, 0, 0, 0, 2);
	rx_tcp(5000, 80, SN_TH_ACK, 100, 0, 0, 3);
	CHECK_EQ(fake.forwarded_count, 3);
	CHECK_EQ(e->counters.misdirected, 3);
	CHECK_EQ(fake.sent_count, 0);
	/* A SYN in the middle of it is its owner's business. */
	fake.verdict = SN_SYN_TAKEN;
	rx_tcp(5000, 80, SN_TH_SYN, 0, 0, 0, 4);
	CHECK_EQ(fake.syns, 1);
	CHECK_EQ(fake.forwarded_count, 4);
	/* The same 4-tuple may become ours later. */
	rx_tcp(5000, 80, SN_TH_SYN, 0, 0, 0, 3 * SN_SEC);
	CHECK_EQ(fake.syns, 2);
	struct sn_flow f = flow_of(80, 5000);
	CHECK(sn_net_flow_find(e, &f) == NULL);
	CHECK_EQ(sn_net_flow_insert(e, &f, TCP(8)), SN_OK);
	rx_tcp(5000, 80, SN_TH_ACK, 0, 0, 0, 3 * SN_SEC);
	CHECK_EQ(fake.inputs, 1);
	sn_net_flow_remove(e, &f);
	rx_tcp(5000, 80, SN_TH_ACK, 0, 0, 0, 3 * SN_SEC);
	CHECK_EQ(fake.forwarded_count, 5);
	CHECK(fake.forwarded[4].b->flags & SN_BUF_ASKED); /* not known to be another's any more */
	fake_stop();
}

SN_TEST(a_forwarded_flow_that_ended_gives_its_4_tuple_back_at_once)
{
	fake_start(0, 2, false);

	fake.verdict = SN_SYN_FORWARD;
	fake.syn_owner = 1;
	rx_tcp(5000, 80, SN_TH_SYN, 0, 0, 0, 1);
	rx_tcp(5000, 80, SN_TH_ACK, 0, 0, 0, 2);
	rx_tcp(5000, 80, SN_TH_RST, 0, 0, 0, 3);
	rx_tcp(5000, 80, SN_TH_SYN, 0, 0, 0, 4);
	CHECK_EQ(fake.syns, 2);
	fake_stop();
}

SN_TEST(a_flood_of_joins_that_never_go_on_pushes_out_no_flow_in_use)
{
	struct sn_engine *e = fake_start(0, 2, false);
	uint32_t live = e->net.foreign_count / 2;

	fake.verdict = SN_SYN_FORWARD;
	fake.syn_owner = 1;
	fake.ring_full = true; /* what is forwarded is not looked at here */
	for (uint32_t i = 0; i < live; i++) {
		rx_tcp((uint16_t)(1000 + i), 80, SN_TH_SYN, 0, 0, 0, SN_SEC + i);
		rx_tcp((uint16_t)(1000 + i), 80, SN_TH_ACK, 0, 0, 0, SN_SEC + i);
	}
	for (uint32_t i = 0; i < 20000; i++)
		rx_tcp((uint16_t)(10000 + i), 80, SN_TH_SYN, 0, 0, 0, 10 * SN_SEC + i);
	for (uint32_t i = 0; i < live; i++) {
		struct sn_flow f = flow_of(80, (uint16_t)(1000 + i));
		CHECK(sn_demux_lookup(&e->net, &f, sn_demux_hash(e, &f)) != NULL);
	}
	/* With every entry in use a new one is not remembered; in time the unused ones go. */
	for (uint32_t i = 0; i < e->net.foreign_count; i++) {
		rx_tcp((uint16_t)(40000 + i), 80, SN_TH_SYN, 0, 0, 0, 20 * SN_SEC);
		rx_tcp((uint16_t)(40000 + i), 80, SN_TH_ACK, 0, 0, 0, 20 * SN_SEC);
	}
	CHECK(e->counters.forward_table_full > 0);
	struct sn_flow late = flow_of(80, 9);
	CHECK(!sn_net_forward_learn(e, &late, 1, 21 * SN_SEC));
	CHECK(sn_net_forward_learn(e, &late, 1, 200 * SN_SEC));
	fake_stop();
}

SN_TEST(a_full_forward_ring_drops_and_counts)
{
	struct sn_engine *e = fake_start(0, 2, false);

	fake.ring_full = true;
	rx_tcp(80, 32768 + 4096 + 5, SN_TH_ACK, 0, 0, 0, 1);
	CHECK_EQ(e->counters.forward_full, 1);
	CHECK_EQ(fake.live, 0);
	fake_stop();
}

static uint32_t sibling_free;
static uint32_t sibling_avail(struct sn_pool *pool, uint32_t *size)
{
	(void)pool;
	*size = 100;
	return sibling_free;
}

SN_TEST(a_forwarded_frame_moves_to_our_buffers_when_its_owners_are_short)
{
	struct sn_pool sibling = {.alloc = fake_alloc, .free = fake_free, .avail = sibling_avail};
	struct sn_engine *e = fake_start(0, 2, false);
	struct sn_flow f = flow_of(80, 5000);
	struct sn_ipv4 ip = {.src = PEER_IP, .dst = OUR_IP, .proto = SN_IP_TCP, .ttl = 64, .total_len = 43};
	struct sn_tcp_seg s = {.sport = 5000, .dport = 80, .flags = SN_TH_ACK};

	CHECK_EQ(sn_net_flow_insert(e, &f, TCP(64)), SN_OK);
	for (int round = 0; round < 3; round++) {
		struct sn_buf *b = fake_alloc(&sibling);
		sn_eth_emit(b->data, fake_mac[0], peer_mac, SN_ETH_IPV4);
		sn_ipv4_emit(b->data + 14, &ip, true);
		sn_tcp_emit(b->data + 34, &s, 0);
		memcpy(b->data + 54, "abc", 3);
		b->len = 57;
		b->port = 0;
		b->flags = SN_BUF_CSUM_GOOD | SN_BUF_FORWARDED;
		sibling_free = round ? 10 : 50;
		fake.pool_empty = round == 2;
		sn_net_rx(e, &b, 1, 1);
		CHECK_EQ(fake.inputs, SN_MIN(round + 1, 2));
		CHECK_EQ(fake.input_first, 'a');
		CHECK(fake.input_pool == (round ? &fake_pool : &sibling));
	}
	fake.pool_empty = false;
	CHECK_EQ(e->counters.pool_refused, 1);
	CHECK_EQ(fake.live, 0);
	fake_stop();
}

SN_TEST(a_nonsensical_owner_is_dropped)
{
	struct sn_engine *e = fake_start(0, 2, false);

	fake.verdict = SN_SYN_FORWARD;
	fake.syn_owner = 7;
	rx_tcp(5000, 80, SN_TH_SYN, 0, 0, 0, 1);
	fake.syn_owner = 0;
	rx_tcp(5001, 80, SN_TH_SYN, 0, 0, 0, 1);
	CHECK_EQ(fake.forwarded_count, 0);
	CHECK_EQ(e->counters.tcp_no_flow, 2);
	fake_stop();
}

SN_TEST(flows_are_unique_found_and_removed_until_the_table_is_full)
{
	struct sn_engine *e = fake_start(0, 1, false);

	for (uint32_t i = 0; i < 256; i++) {
		struct sn_flow f = flow_of((uint16_t)(100 + i % 16), (uint16_t)(1000 + i / 16));
		CHECK_EQ(sn_net_flow_insert(e, &f, TCP(8 + 8 * i)), SN_OK);
		CHECK_EQ(sn_net_flow_insert(e, &f, TCP(8)), SN_E_ADDRINUSE);
	}
	struct sn_flow more = flow_of(1, 1);
	CHECK_EQ(sn_net_flow_insert(e, &more, TCP(8)), SN_E_NOMEM);
	for (uint32_t i = 0; i < 256; i++) {
		struct sn_flow f = flow_of((uint16_t)(100 + i % 16), (uint16_t)(1000 + i / 16));
		CHECK(sn_net_flow_find(e, &f) == TCP(8 + 8 * i));
		sn_net_flow_remove(e, &f);
		CHECK(sn_net_flow_find(e, &f) == NULL);
		sn_net_flow_remove(e, &f); /* twice does no harm */
	}
	CHECK_EQ(e->net.nodes.used, 0);
	CHECK_EQ(sn_net_flow_insert(e, &more, TCP(8)), SN_OK);
	fake_stop();
}

SN_TEST(the_forward_table_forgets_the_entry_used_longest_ago)
{
	struct sn_engine *e = fake_start(0, 2, false);
	struct sn_flow busy = flow_of(80, 1);
	uint32_t kept = 0;

	CHECK(sn_net_forward_learn(e, &busy, 1, 1));
	for (uint32_t i = 0; i < 5000; i++) {
		struct sn_flow f = flow_of(80, (uint16_t)(1000 + i));
		sn_net_forward_learn(e, &f, 1, 10 + i);
		sn_net_forward_learn(e, &busy, 1, 10 + i); /* in use all the time */
	}
	for (uint32_t i = 0; i < 5000; i++) {
		struct sn_flow f = flow_of(80, (uint16_t)(1000 + i));
		kept += sn_demux_lookup(&e->net, &f, sn_demux_hash(e, &f)) != NULL;
	}
	CHECK_EQ(kept, e->net.foreign_count - 1);
	CHECK(sn_demux_lookup(&e->net, &busy, sn_demux_hash(e, &busy)) != NULL);
	fake_stop();
}

SN_TEST(ports_are_chosen_from_our_block_without_repeats_until_none_is_left)
{
	struct sn_engine *e = fake_start(1, 2, false);
	struct sn_flow f = flow_of(0, 80), g;
	static bool taken[65536];
	uint32_t in_order = 0;
	uint16_t last = 0;

	e->cfg.port_count = 128;
	e->cfg.port_base = 40000;
	for (uint32_t i = 0; i < 128; i++) {
		CHECK_EQ(sn_net_port_choose(e, &f), SN_OK);
		CHECK(f.lport >= 40000 && f.lport < 40128 && !taken[f.lport]);
		taken[f.lport] = true;
		in_order += f.lport == last + 1;
		last = f.lport;
		CHECK_EQ(sn_net_flow_insert(e, &f, TCP(8)), SN_OK);
	}
	CHECK(in_order >= 120);
	CHECK_EQ(sn_net_port_choose(e, &f), SN_E_ADDRNOTAVAIL);
	f.lport = last;
	sn_net_flow_remove(e, &f); /* the last port is free again, but somebody listens there */
	fake.listens = last;
	CHECK_EQ(sn_net_port_choose(e, &f), SN_E_ADDRNOTAVAIL);
	fake.listens = 0;
	CHECK_EQ(sn_net_port_choose(e, &f), SN_OK);
	CHECK_EQ(f.lport, last);
	g = flow_of(0, 81); /* another destination has its own sequence and all ports */
	CHECK_EQ(sn_net_port_choose(e, &g), SN_OK);
	fake_stop();
}

/* RFC 6056 3.3.4: who watches the ports of connections to himself learns nothing of how many are opened to others. */
SN_TEST(opens_to_others_do_not_move_a_destinations_ports)
{
	struct sn_engine *e = fake_start(1, 2, false);
	struct sn_flow f = flow_of(0, 80);
	uint16_t first;

	CHECK_EQ(sn_net_port_choose(e, &f), SN_OK);
	first = f.lport;
	for (uint16_t i = 0; i < 10; i++) {
		struct sn_flow g = flow_of(0, (uint16_t)(1000 + i));
		CHECK_EQ(sn_net_port_choose(e, &g), SN_OK);
	}
	CHECK_EQ(sn_net_port_choose(e, &f), SN_OK);
	CHECK_EQ(f.lport, (uint16_t)(first + 1));
	fake_stop();
}

SN_TEST_MAIN()
