/* SPDX-License-Identifier: Apache-2.0
 *
 * The network layer alone: an engine without TCP and MPTCP behind it. Frames that would leave are kept; the TCP engine and
 * the answer to a SYN are fakes of the test. Include once per test program.
 */
#ifndef NET_FAKE_H
#define NET_FAKE_H

#include <stdlib.h>

#include "engine/engine.h"
#include "sn_test.h"
#include "wire/arp.h"
#include "wire/checksum.h"
#include "wire/eth.h"
#include "wire/icmp.h"
#include "wire/icmp6.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

enum { FAKE_ROOM = 2048, FAKE_FRAMES = 64, FAKE_WORKERS = 4 };

static struct {
	struct sn_engine *e;
	void *region;
	int live; /* buffers not freed */
	bool pool_empty;
	/* Frames sent, payload references appended. */
	struct {
		uint8_t data[2048];
		uint32_t len;
		uint16_t port, l3_off, l4_off;
		uint8_t flags;
	} sent[FAKE_FRAMES];
	uint32_t sent_count;
	/* Buffers forwarded, by worker. */
	struct {
		struct sn_buf *b;
		uint32_t worker;
	} forwarded[FAKE_FRAMES];
	uint32_t forwarded_count;
	/* Notes of questions are apart: how many, and the last one. */
	uint32_t notes;
	struct sn_buf *note;
	bool ring_full;
	/* TCP input. */
	uint32_t inputs, input_len;
	uint8_t input_first, input_flags, input_data[2048];
	struct sn_tcp *input_tcp;
	struct sn_pool *input_pool;
	struct sn_tcp_seg input_seg;
	/* ICMP errors. */
	uint32_t errors;
	struct sn_tcp *error_tcp;
	struct sn_icmp_error error;
	/* Answer to a SYN. */
	enum sn_syn_verdict verdict;
	enum sn_ack_verdict ack_verdict; /* asked for while cookies are out */
	uint32_t acks;
	uint32_t syn_owner, syns;
	uint16_t listens;      /* this port is taken by a listener */
	uint32_t unreachables; /* times that a next hop was said not to answer */
} fake;

static struct sn_buf *fake_alloc(struct sn_pool *pool)
{
	if (fake.pool_empty)
		return NULL;
	struct sn_buf *b = malloc(sizeof *b + FAKE_ROOM);
	memset(b, 0x5a, sizeof *b);
	b->pool = pool;
	b->base = (uint8_t *)(b + 1);
	b->room = FAKE_ROOM;
	b->data = b->base + SN_HEADROOM;
	b->len = 0;
	b->flags = 0;
	b->lent = 0;
	b->next = NULL;
	fake.live++;
	return b;
}

static void fake_free(struct sn_pool *pool, struct sn_buf *b)
{
	(void)pool;
	fake.live--;
	free(b);
}

static struct sn_pool fake_pool = {.alloc = fake_alloc, .free = fake_free};

void sn_engine_emit(struct sn_engine *e, const struct sn_tx *tx)
{
	(void)e;
	REQUIRE(fake.sent_count < FAKE_FRAMES);
	uint32_t at = fake.sent_count++;
	CHECK(tx->hdr->data >= tx->hdr->base && tx->hdr->data + tx->hdr->len <= tx->hdr->base + tx->hdr->room);
	memcpy(fake.sent[at].data, tx->hdr->data, tx->hdr->len);
	fake.sent[at].len = tx->hdr->len;
	fake.sent[at].port = tx->port;
	fake.sent[at].flags = tx->flags;
	fake.sent[at].l3_off = tx->l3_off;
	fake.sent[at].l4_off = tx->l4_off;
	for (uint32_t i = 0; i < tx->nref; i++) {
		memcpy(fake.sent[at].data + fake.sent[at].len, tx->ref[i].data, tx->ref[i].len);
		fake.sent[at].len += tx->ref[i].len;
	}
	CHECK_EQ(fake.sent[at].len, tx->hdr->len + tx->payload_len);
	sn_buf_free(tx->hdr);
}

int32_t sn_engine_port_owner(const struct sn_engine *e, uint16_t lport)
{
	if (lport < e->cfg.block_base)
		return -1;
	uint32_t w = (uint32_t)(lport - e->cfg.block_base) / e->cfg.port_count;
	return w < e->cfg.workers ? (int32_t)w : -1;
}

enum sn_syn_verdict sn_mptcp_syn(struct sn_engine *e, uint16_t port, const struct sn_flow *flow,
				 const struct sn_tcp_seg *syn, uint32_t *owner, uint8_t *opts, uint32_t *opt_len,
				 sn_time now)
{
	(void)e, (void)port, (void)flow, (void)syn, (void)now;
	fake.syns++;
	*owner = fake.syn_owner;
	if (fake.verdict == SN_SYN_REFUSE)
		*opt_len = sn_mp_emit_tcprst(opts, 0, 1);
	return fake.verdict;
}

enum sn_ack_verdict sn_mptcp_ack(struct sn_engine *e, uint16_t port, const struct sn_flow *flow,
				 const struct sn_tcp_seg *ack, struct sn_tcp **tcp, sn_time now)
{
	(void)e, (void)port, (void)flow, (void)ack, (void)tcp, (void)now;
	fake.acks++;
	return fake.ack_verdict;
}

bool sn_mptcp_listens(const struct sn_engine *e, uint16_t lport)
{
	(void)e;
	return lport && lport == fake.listens;
}

static bool fake_forward(void *ctx, uint32_t worker, struct sn_buf *b)
{
	(void)ctx;
	if (b->len >= SN_ETH_HDR && sn_eth_type(b->data) == SN_NEIGH_NOTE) {
		if (fake.ring_full)
			return false;
		if (fake.note)
			sn_buf_free(fake.note);
		fake.note = b;
		fake.notes++;
		return true;
	}
	if (fake.ring_full)
		return false;
	REQUIRE(fake.forwarded_count < FAKE_FRAMES);
	fake.forwarded[fake.forwarded_count].b = b;
	fake.forwarded[fake.forwarded_count++].worker = worker;
	return true;
}

static void fake_input(struct sn_tcp *tcp, const struct sn_tcp_seg *seg, struct sn_buf *b, sn_time now)
{
	(void)now;
	fake.inputs++;
	fake.input_tcp = tcp;
	fake.input_pool = b->pool;
	fake.input_seg = *seg;
	fake.input_len = b->len;
	fake.input_flags = b->flags;
	fake.input_first = b->len ? b->data[0] : 0;
	memcpy(fake.input_data, b->data, SN_MIN(b->len, sizeof fake.input_data));
	sn_buf_free(b);
}

static void fake_error(struct sn_tcp *tcp, const struct sn_icmp_error *m, sn_time now)
{
	(void)now;
	fake.errors++;
	fake.error_tcp = tcp;
	fake.error = *m;
}

static void fake_unreachable(struct sn_engine *e, uint16_t port, const struct sn_addr *hop, sn_time now)
{
	(void)e, (void)port, (void)hop, (void)now;
	fake.unreachables++;
}

static const struct sn_tcp_ops fake_tcp = {
	.name = "fake", .input = fake_input, .error = fake_error, .unreachable = fake_unreachable};

/* Ports 10.0.i.1/24, fd00:0:0:i::1/64 with MAC 02:00:00:00:00:0i; port 0 has the gateways 10.0.0.254 and fe80::fe. */
static const uint8_t fake_mac[2][6] = {{2, 0, 0, 0, 0, 0}, {2, 0, 0, 0, 0, 1}};
static const uint8_t peer_mac[6] = {2, 0, 0, 0, 1, 0};
static const uint8_t all_ones[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
enum { OUR_IP = 0x0a000001, OUR_IP2 = 0x0a000101, PEER_IP = 0x0a000002, GATEWAY_IP = 0x0a0000fe, FAR_IP = 0x08080808 };

static inline struct sn_addr addr6(uint16_t net, uint8_t host)
{
	return (struct sn_addr){{[0] = 0xfd, [6] = (uint8_t)(net >> 8), [7] = (uint8_t)net, [15] = host}};
}
static inline struct sn_addr our6(void) { return addr6(0, 1); }
static inline struct sn_addr peer6(void) { return addr6(0, 2); }
static inline struct sn_addr router6(void) { return (struct sn_addr){{[0] = 0xfe, [1] = 0x80, [15] = 0xfe}}; }
static inline struct sn_addr far6(void)
{
	return (struct sn_addr){{[0] = 0x20, [1] = 0x01, [2] = 0x0d, [3] = 0xb8, [15] = 8}};
}

static struct sn_engine *fake_begin(uint32_t worker, uint32_t workers, bool tx_csum, bool v6)
{
	memset(&fake, 0, sizeof fake);
	struct sn_engine *e = fake.e = calloc(1, sizeof *e);
	e->cfg.worker = worker;
	e->cfg.workers = workers;
	e->cfg.block_base = 32768;
	e->cfg.port_count = 4096;
	e->cfg.port_base = (uint16_t)(32768 + 4096 * worker);
	e->cfg.max_subflows = 128;
	e->cfg.pool = &fake_pool;
	e->cfg.hooks.forward = fake_forward;
	memcpy(e->cfg.secret, "0123456789abcdef", 16);
	e->tcp_ops = &fake_tcp;
	sn_wheel_init(&e->wheel, 0);
	(void)sn_net_init(e); /* dry run */
	size_t size = e->region.used + SN_CACHE_LINE;
	fake.region = aligned_alloc(SN_CACHE_LINE, (size + SN_CACHE_LINE - 1) & ~(size_t)(SN_CACHE_LINE - 1));
	e->region = (struct sn_region){.base = fake.region, .size = size};
	REQUIRE(sn_net_init(e));
	for (uint32_t i = 0; i < 2; i++) {
		struct sn_net_port_cfg p = {
			.addr = sn_addr_v4(i ? OUR_IP2 : OUR_IP), .prefix = 24, .mtu = 1500, .tx_csum = tx_csum};
		memcpy(p.mac, fake_mac[i], 6);
		if (i == 0)
			p.gateway = sn_addr_v4(GATEWAY_IP);
		if (v6) {
			p.addr6 = addr6((uint16_t)i, 1);
			p.prefix6 = 64;
			if (i == 0)
				p.gateway6 = router6();
		}
		CHECK_EQ(sn_net_port_add(e, &p), i);
	}
	return e;
}

static inline struct sn_engine *fake_start(uint32_t worker, uint32_t workers, bool tx_csum)
{
	return fake_begin(worker, workers, tx_csum, false);
}
/* Both families. */
static inline struct sn_engine *fake_start6(uint32_t worker, uint32_t workers, bool tx_csum)
{
	return fake_begin(worker, workers, tx_csum, true);
}

/* Drops what the network layer and the test still hold and checks that no buffer is lost. */
static void fake_stop(void)
{
	struct sn_net *n = &fake.e->net;

	for (uint32_t i = 0; i < 16; i++) { /* neighbours go unused or give up */
		fake.sent_count = 0;
		sn_wheel_run(&fake.e->wheel, (3600 + 100 * i) * SN_SEC);
	}
	for (uint32_t i = 0; i < fake.forwarded_count; i++)
		sn_buf_free(fake.forwarded[i].b);
	if (fake.note)
		sn_buf_free(fake.note);
	CHECK_EQ(n->neighs.used, 0);
	CHECK_EQ(fake.live, 0);
	free(fake.region);
	free(fake.e);
}

/* Hands in a frame: Ethernet header and `len` bytes behind it. */
static inline void rx_raw(const uint8_t dst[6], uint16_t type, const uint8_t *p, uint32_t len, uint16_t port,
			  uint8_t flags, sn_time now)
{
	struct sn_buf *b = fake_alloc(&fake_pool);

	sn_eth_emit(b->data, dst, peer_mac, type);
	memcpy(b->data + SN_ETH_HDR, p, len);
	b->len = SN_ETH_HDR + len;
	b->port = port;
	b->flags = flags;
	sn_net_rx(fake.e, &b, 1, now);
}

static inline void rx_arp(uint16_t op, uint32_t sender, uint32_t target, uint8_t flags, sn_time now)
{
	struct sn_arp a = {.op = op, .sender = sender, .target = target};
	uint8_t p[SN_ARP_LEN];

	memcpy(a.sender_mac, peer_mac, 6);
	sn_arp_emit(p, &a);
	rx_raw(op == SN_ARP_REQUEST ? all_ones : fake_mac[0], SN_ETH_ARP, p, sizeof p, 0, flags, now);
}

/* Writes an IPv4 packet around `len` payload bytes that stand at p + 20. */
static inline uint32_t ip_packet(uint8_t *p, uint32_t src, uint32_t dst, uint8_t proto, uint32_t len)
{
	struct sn_ipv4 h = {.src = src, .dst = dst, .proto = proto, .ttl = 64, .total_len = (uint16_t)(20 + len)};

	sn_ipv4_emit(p, &h, true);
	return 20 + len;
}

/* A segment of PEER_IP; payload bytes count up from 1. `pad` bytes of Ethernet padding follow. */
static inline void rx_tcp(uint16_t sport, uint16_t dport, uint8_t flags, uint32_t payload, uint32_t pad,
			  uint8_t buf_flags, sn_time now)
{
	uint8_t p[1600] = {0};
	struct sn_tcp_seg s = {.sport = sport, .dport = dport, .seq = 1000, .ack = 2000, .wnd = 100, .flags = flags};

	sn_tcp_emit(p + 20, &s, 0);
	for (uint32_t i = 0; i < payload; i++)
		p[40 + i] = (uint8_t)(i + 1);
	sn_tcp_set_csum(p + 20,
			sn_csum_finish(sn_csum_partial(p + 20, 20 + payload,
						       sn_csum_pseudo_v4(PEER_IP, OUR_IP, SN_IP_TCP, 20 + payload))));
	uint32_t n = ip_packet(p, PEER_IP, OUR_IP, SN_IP_TCP, 20 + payload);
	rx_raw(fake_mac[0], SN_ETH_IPV4, p, n + pad, 0, buf_flags, now);
}

static inline struct sn_flow flow_of(uint16_t lport, uint16_t rport)
{
	return (struct sn_flow){
		.local = sn_addr_v4(OUR_IP), .remote = sn_addr_v4(PEER_IP), .lport = lport, .rport = rport};
}

/* A segment from us: header bytes and payload references given by the caller. */
static inline void tx_tcp(uint32_t dst, const uint8_t *a, uint32_t alen, const uint8_t *b, uint32_t blen, int32_t sum,
			  sn_time now)
{
	struct sn_tcp_seg s = {.sport = 33000, .dport = 80, .seq = 7, .ack = 8, .flags = SN_TH_ACK, .wnd = 9};
	struct sn_tx tx = {.hdr = fake_alloc(&fake_pool)};
	struct sn_addr src = sn_addr_v4(OUR_IP), to = sn_addr_v4(dst);

	sn_tcp_emit(tx.hdr->data, &s, 0);
	tx.hdr->len = 20;
	if (alen) {
		tx.ref[tx.nref].data = a;
		tx.ref[tx.nref++].len = alen;
	}
	if (blen) {
		tx.ref[tx.nref].data = b;
		tx.ref[tx.nref++].len = blen;
	}
	sn_net_send_tcp(fake.e, 0, &src, &to, &tx, sum, now);
}

/* Reads frame i back: Ethernet, IPv4 with checksum, TCP with checksum. Returns the TCP length. */
static inline uint32_t sent_tcp(uint32_t i, struct sn_eth *eth, struct sn_ipv4 *ip, struct sn_tcp_seg *seg)
{
	REQUIRE(i < fake.sent_count);
	const uint8_t *p = fake.sent[i].data;
	REQUIRE(sn_eth_parse(eth, p, fake.sent[i].len));
	CHECK_EQ(eth->type, SN_ETH_IPV4);
	REQUIRE(sn_ipv4_parse(ip, p + 14, fake.sent[i].len - 14, true));
	CHECK_EQ(ip->total_len, fake.sent[i].len - 14);
	uint32_t len = ip->total_len - 20u;
	CHECK_EQ(sn_csum_fold(sn_csum_partial(p + 34, len, sn_csum_pseudo_v4(ip->src, ip->dst, SN_IP_TCP, len))),
		 0xffff);
	REQUIRE(sn_tcp_parse(seg, p + 34, len) == SN_OK);
	return len;
}

/* --- IPv6 --- */

/* Writes an IPv6 packet around `len` payload bytes that stand at p + 40. */
static inline uint32_t ip6_packet(uint8_t *p, const struct sn_addr *src, const struct sn_addr *dst, uint8_t proto,
				  uint8_t ttl, uint32_t len)
{
	struct sn_ip h = {.src = *src, .dst = *dst, .proto = proto, .ttl = ttl, .total_len = (uint16_t)(40 + len)};

	sn_ipv6_emit(p, &h);
	return 40 + len;
}

/* A segment between two addresses, whose payload bytes count up from 1. Returns the packet's length. */
static inline uint32_t tcp6_packet(uint8_t *p, const struct sn_addr *src, const struct sn_addr *dst, uint16_t sport,
				   uint16_t dport, uint8_t flags, uint32_t payload)
{
	struct sn_tcp_seg s = {.sport = sport, .dport = dport, .seq = 1000, .ack = 2000, .wnd = 100, .flags = flags};

	sn_tcp_emit(p + 40, &s, 0);
	for (uint32_t i = 0; i < payload; i++)
		p[60 + i] = (uint8_t)(i + 1);
	uint32_t sum = sn_csum_pseudo_v6(src, dst, SN_IP_TCP, 20 + payload);
	sn_tcp_set_csum(p + 40, sn_csum_finish(sn_csum_partial(p + 40, 20 + payload, sum)));
	return ip6_packet(p, src, dst, SN_IP_TCP, 64, 20 + payload);
}

/* A neighbour message of `src`, sent to the MAC that dst has. */
static inline void rx_nd_to(const struct sn_nd *nd, const struct sn_addr *src, const struct sn_addr *dst, uint8_t ttl,
			    uint8_t flags, sn_time now)
{
	uint8_t p[40 + SN_ND_LEN], mac[6];

	memcpy(mac, fake_mac[0], 6);
	if (sn_addr_is_multicast(dst))
		sn_ipv6_group_mac(mac, dst);
	uint32_t len = sn_nd_emit(p + 40, nd, src, dst);
	rx_raw(mac, SN_ETH_IPV6, p, ip6_packet(p, src, dst, SN_IP_ICMP6, ttl, len), 0, flags, now);
}

/* `src` asks for our address as one does who knows nothing of us. */
static inline void rx_solicit(struct sn_addr src, struct sn_addr target, uint8_t flags, sn_time now)
{
	struct sn_nd nd = {.type = SN_ICMP6_SOLICIT, .has_mac = true, .target = target};
	struct sn_addr group = sn_ipv6_solicited_node(&target);

	memcpy(nd.mac, peer_mac, 6);
	rx_nd_to(&nd, &src, &group, 255, flags, now);
}

/* `who` answers us. */
static inline void rx_advertise(struct sn_addr who, const uint8_t mac[6], uint8_t nd_flags, uint8_t flags, sn_time now)
{
	struct sn_nd nd = {.type = SN_ICMP6_ADVERTISE, .flags = nd_flags, .has_mac = mac != NULL, .target = who};
	struct sn_addr us = our6(), all = sn_ipv6_all_nodes();

	if (mac)
		memcpy(nd.mac, mac, 6);
	rx_nd_to(&nd, &who, nd_flags & SN_ND_SOLICITED ? &us : &all, 255, flags, now);
}

static inline void tx_tcp6(struct sn_addr dst, const uint8_t *a, uint32_t alen, const uint8_t *b, uint32_t blen,
			   sn_time now)
{
	struct sn_tcp_seg s = {.sport = 33000, .dport = 80, .seq = 7, .ack = 8, .flags = SN_TH_ACK, .wnd = 9};
	struct sn_tx tx = {.hdr = fake_alloc(&fake_pool)};
	struct sn_addr src = our6();

	sn_tcp_emit(tx.hdr->data, &s, 0);
	tx.hdr->len = 20;
	if (alen) {
		tx.ref[tx.nref].data = a;
		tx.ref[tx.nref++].len = alen;
	}
	if (blen) {
		tx.ref[tx.nref].data = b;
		tx.ref[tx.nref++].len = blen;
	}
	sn_net_send_tcp(fake.e, 0, &src, &dst, &tx, -1, now);
}

/* Reads frame i back: Ethernet and IPv6. Returns what stands behind its header. */
static inline const uint8_t *sent_ip6(uint32_t i, struct sn_eth *eth, struct sn_ip *ip)
{
	REQUIRE(i < fake.sent_count);
	const uint8_t *p = fake.sent[i].data;
	REQUIRE(sn_eth_parse(eth, p, fake.sent[i].len));
	CHECK_EQ(eth->type, SN_ETH_IPV6);
	REQUIRE(sn_ipv6_parse(ip, p + 14, fake.sent[i].len - 14) == SN_IPV6_OK);
	CHECK_EQ(ip->total_len, fake.sent[i].len - 14);
	CHECK_EQ(ip->hdr_len, 40);
	return p + 54;
}

static inline uint32_t sent_tcp6(uint32_t i, struct sn_eth *eth, struct sn_ip *ip, struct sn_tcp_seg *seg)
{
	const uint8_t *p = sent_ip6(i, eth, ip);
	uint32_t len = ip->total_len - 40u;

	CHECK_EQ(ip->proto, SN_IP_TCP);
	CHECK_EQ(sn_csum_fold(sn_csum_partial(p, len, sn_csum_pseudo_v6(&ip->src, &ip->dst, SN_IP_TCP, len))), 0xffff);
	REQUIRE(sn_tcp_parse(seg, p, len) == SN_OK);
	return len;
}

static inline void sent_nd(uint32_t i, struct sn_eth *eth, struct sn_ip *ip, struct sn_nd *nd)
{
	struct sn_icmp6 m;
	const uint8_t *p = sent_ip6(i, eth, ip);

	REQUIRE(ip->proto == SN_IP_ICMP6);
	REQUIRE(sn_icmp6_parse(&m, ip, p, ip->total_len - 40u));
	REQUIRE(sn_nd_parse(nd, ip, p, ip->total_len - 40u));
}

#endif
