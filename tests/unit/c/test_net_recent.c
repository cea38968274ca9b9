/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames of a flow that was met a moment ago take a shorter way to it. What they may carry, and what is dropped, is the
 * same as on the long way.
 */
#include "tcp_pair.h"

struct frame {
	uint8_t proto, ip_options, tos; /* ip_options: bytes, a multiple of 4 */
	uint16_t frag;
	int total; /* added to the total length */
	uint32_t padding;
	uint32_t len; /* payload */
	bool verified;
};

/* A data segment of the peer's, next in sequence, in a frame made so. */
static void deliver(struct pair *p, const struct frame *f)
{
	const struct sn_tcp *t = p->side[0].sub.tcp;
	struct side *to = &p->side[1];
	struct sn_buf *b = sn_buf_alloc(&to->pool.pool);
	uint8_t *ip = b->data + SN_ETH_HDR, *tcp = ip + SN_IPV4_HDR + f->ip_options, opts[40];
	uint32_t opt_len;
	struct sn_tcp_seg seg = plain_ack(p, 0, opts, &opt_len);
	uint32_t len = SN_TCP_HDR_MIN + opt_len + f->len;
	struct sn_ipv4 h = {.src = 0x0a000001, .dst = 0x0a000002, .ttl = 64, .proto = f->proto, .tos = f->tos};

	seg.seq = p->side[1].sub.tcp->rcv_nxt;
	seg.dport = 80;
	seg.sport = t->flow.lport;
	h.frag = f->frag;
	h.total_len = (uint16_t)((int)(SN_IPV4_HDR + f->ip_options + len) + f->total);
	sn_eth_emit(b->data, (uint8_t[]){2, 0, 0, 0, 0, 2}, (uint8_t[]){2, 0, 0, 0, 0, 1}, SN_ETH_IPV4);
	sn_ipv4_emit(ip, &h, true);
	ip[0] = (uint8_t)(0x45 + f->ip_options / 4);
	memset(ip + SN_IPV4_HDR, 1, f->ip_options); /* no operation */
	sn_put16(ip + 10, 0);
	sn_put16(ip + 10, sn_csum_finish(sn_csum_partial(ip, SN_IPV4_HDR + f->ip_options, 0)));
	sn_tcp_emit(tcp, &seg, opt_len);
	memcpy(tcp + SN_TCP_HDR_MIN, opts, opt_len);
	for (uint32_t i = 0; i < f->len; i++)
		tcp[SN_TCP_HDR_MIN + opt_len + i] = p->pattern[(p->side[1].sub.received + i) % PERIOD];
	sn_tcp_set_csum(tcp, 0);
	sn_tcp_set_csum(tcp, sn_csum_finish(sn_csum_partial(
				     tcp, len, sn_csum_pseudo_v4(h.src, h.dst, SN_IP_TCP, (uint16_t)len))));
	b->len = SN_ETH_HDR + SN_IPV4_HDR + f->ip_options + len + f->padding;
	memset(b->data + b->len - f->padding, 0xee, f->padding);
	if (f->verified)
		b->flags |= SN_BUF_CSUM_GOOD;
	sn_engine_rx(to->e, &b, 1, p->now);
	poll_side(p, to);
}

/* Bytes that reach the application. */
static uint64_t taken(struct pair *p, struct frame f)
{
	struct sn_subflow *s = &p->side[1].sub;
	struct frame plain = {.proto = SN_IP_TCP, .len = 10, .verified = true};

	deliver(p, &plain); /* from here on the flow is a recent one */
	uint64_t before = s->received;
	deliver(p, &f);
	CHECK_EQ(s->bad, 0);
	return s->received - before;
}

SN_TEST(rfc791_3_1_what_a_frame_may_carry_does_not_depend_on_what_came_before)
{
	struct pair *p = pair_connected();

	for (int verified = 0; verified < 2; verified++) {
		struct frame f = {.proto = SN_IP_TCP, .len = 100, .verified = verified};
		CHECK_EQ(taken(p, f), 100);
		f.padding = 30; /* of a short Ethernet frame */
		CHECK_EQ(taken(p, f), 100);
		f.ip_options = 8;
		CHECK_EQ(taken(p, f), 100);
		f.frag = SN_IPV4_DF;
		CHECK_EQ(taken(p, f), 100);
		f.len = 0;
		CHECK_EQ(taken(p, f), 0);
	}
	pair_down(p);
}

SN_TEST(rfc791_3_1_inconsistent_frames_of_a_recent_flow_are_dropped)
{
	struct pair *p = pair_connected();
	static const struct frame bad[] = {
		{.proto = SN_IP_TCP, .len = 100, .total = 1},                /* more than there is */
		{.proto = SN_IP_TCP, .len = 100, .total = -(20 + 32 + 100)}, /* less than an IP header */
		{.proto = SN_IP_TCP, .len = 100, .total = -(100 + 1)},       /* less than the TCP header */
		{.proto = SN_IP_TCP, .len = 100, .total = -(32 + 100)},      /* no TCP header at all */
		{.proto = SN_IP_TCP, .len = 100, .frag = SN_IPV4_MF},        /* the first fragment */
		{.proto = SN_IP_TCP, .len = 100, .frag = 1},                 /* a later one */
		{.proto = 17, .len = 100},                                   /* UDP */
	};

	for (int verified = 0; verified < 2; verified++)
		for (uint32_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
			struct frame f = bad[i];
			f.verified = verified;
			CHECK_EQ(taken(p, f), 0);
		}
	CHECK_EQ(p->side[1].sub.closed, 0);
	pair_down(p);
}

SN_TEST_MAIN()
