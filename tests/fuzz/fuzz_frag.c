/* SPDX-License-Identifier: Apache-2.0
 *
 * Fragments of eight echo requests whose content is known, cut, bent and mixed as the input says. Whatever happens: what is
 * answered is one of the eight, byte for byte; what is held is bounded; in the end every buffer comes back.
 *
 * The input is a byte of settings (1 IPv6, 2 a second worker, 4 a pool of 32 buffers), then steps:
 *   u8 what: 0-2 which packet, 8 a byte is wrong, 16 the last-fragment bit is wrong, 32 a step of time instead,
 *            64 another identification, 128 another next header
 *   u8 offset in 8 bytes (time: seconds), u8 length in 8 bytes; what reaches over the packet's end is its last fragment
 */
#include <stdio.h>
#include <stdlib.h>

#include "engine/engine.h"
#include "wire/arp.h"
#include "wire/eth.h"
#include "wire/icmp.h"
#include "wire/icmp6.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

#define MUST(x)                  \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

enum { ROOM = 2048, PACKETS = 8, LONGEST = 2000, HELD = 64, QUEUE = 4, MTU = 1500 };
static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1}, peer_mac[6] = {2, 0, 0, 0, 1, 0};
enum { OUR_IP = 0x0a000001, PEER_IP = 0x0a000002 };

struct world {
	struct sn_engine *e;
	struct sn_pool pool;
	sn_time now;
	bool v6;
	uint32_t live, pool_size;
	struct sn_buf *crossing[QUEUE]; /* on the way to the second worker, which is the same engine */
	uint32_t crossings;
	uint8_t packet[PACKETS][LONGEST];
	uint32_t len[PACKETS];
};

static struct sn_addr address(const struct world *w, uint8_t host)
{
	return w->v6 ? (struct sn_addr){{[0] = 0xfd, [15] = host}} : sn_addr_v4(0x0a000000u + host);
}

static struct sn_buf *pool_alloc(struct sn_pool *pool)
{
	struct world *w = pool->ctx;
	if (w->live >= w->pool_size)
		return NULL;
	struct sn_buf *b = malloc(sizeof *b);
	memset(b, 0xa5, sizeof *b);
	b->base = malloc(ROOM);
	b->room = ROOM;
	b->data = b->base + SN_HEADROOM;
	b->len = 0;
	b->pool = pool;
	w->live++;
	return b;
}

static void pool_free(struct sn_pool *pool, struct sn_buf *b)
{
	((struct world *)pool->ctx)->live--;
	free(b->base);
	free(b);
}

static uint32_t pool_avail(struct sn_pool *pool, uint32_t *size)
{
	const struct world *w = pool->ctx;
	*size = w->pool_size;
	return w->pool_size - w->live;
}

/* A reply has what its request had behind type, code and checksum. */
static void check_reply(const struct world *w, const uint8_t *icmp, uint32_t len)
{
	uint32_t n = sn_get16(icmp + 4);
	MUST(n < PACKETS && len == w->len[n] && memcmp(icmp + 4, w->packet[n] + 4, len - 4) == 0);
}

static void hook_tx(void *ctx, uint16_t port, struct sn_tx *v, uint32_t n)
{
	const struct world *w = ctx;
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *p = v[i].hdr->data + SN_ETH_HDR;
		uint32_t len = v[i].hdr->len - SN_ETH_HDR;
		struct sn_ipv4 ip4;
		struct sn_ip ip6;
		MUST(port == 0 && v[i].nref == 0 && len <= MTU);
		if (sn_eth_type(v[i].hdr->data) == SN_ETH_IPV4) {
			MUST(sn_ipv4_parse(&ip4, p, len, true) && ip4.proto == SN_IP_ICMP && ip4.dst == PEER_IP);
			check_reply(w, p + SN_IPV4_HDR, len - SN_IPV4_HDR);
		} else if (sn_eth_type(v[i].hdr->data) == SN_ETH_IPV6) {
			MUST(sn_ipv6_parse(&ip6, p, len) == SN_IPV6_OK && ip6.proto == SN_IP_ICMP6);
			if (p[SN_IPV6_HDR] == SN_ICMP6_ECHO_REPLY)
				check_reply(w, p + SN_IPV6_HDR, len - SN_IPV6_HDR);
		}
		sn_buf_free(v[i].hdr);
	}
}

static bool hook_forward(void *ctx, uint32_t worker, struct sn_buf *b)
{
	struct world *w = ctx;
	MUST(worker == 1);
	if (w->crossings == QUEUE)
		return false;
	w->crossing[w->crossings++] = b;
	return true;
}

static void hook_random(void *ctx, void *out, size_t n)
{
	(void)ctx;
	memset(out, 0x5a, n);
}

static void rx(struct world *w, uint16_t type, const uint8_t *p, uint32_t len)
{
	struct sn_buf *b = pool_alloc(&w->pool);
	if (!b)
		return;
	sn_eth_emit(b->data, our_mac, peer_mac, type);
	memcpy(b->data + SN_ETH_HDR, p, len);
	b->len = SN_ETH_HDR + len;
	b->next = NULL;
	b->port = 0;
	b->flags = b->lent = 0;
	sn_engine_rx(w->e, &b, 1, w->now);
	uint32_t n = w->crossings;
	w->crossings = 0;
	if (n)
		sn_engine_rx(w->e, w->crossing, n, w->now);
	uint32_t work;
	sn_engine_poll(w->e, w->now, &work);
	MUST(w->live <= HELD + w->crossings);
}

/* The peer is there: replies leave at once. */
static void announce(struct world *w)
{
	uint8_t p[SN_IPV6_HDR + SN_ND_LEN];
	if (!w->v6) {
		struct sn_arp a = {.op = SN_ARP_REQUEST, .sender = PEER_IP, .target = OUR_IP};
		memcpy(a.sender_mac, peer_mac, 6);
		sn_arp_emit(p, &a);
		rx(w, SN_ETH_ARP, p, SN_ARP_LEN);
		return;
	}
	struct sn_nd nd = {.type = SN_ICMP6_SOLICIT, .has_mac = true, .target = address(w, 1)};
	struct sn_ip ip = {.src = address(w, 2), .dst = address(w, 1), .proto = SN_IP_ICMP6, .ttl = 255};
	memcpy(nd.mac, peer_mac, 6);
	uint32_t len = sn_nd_emit(p + SN_IPV6_HDR, &nd, &ip.src, &ip.dst);
	ip.total_len = (uint16_t)(SN_IPV6_HDR + len);
	sn_ipv6_emit(p, &ip);
	rx(w, SN_ETH_IPV6, p, SN_IPV6_HDR + len);
}

static void rx_fragment(struct world *w, uint8_t what, uint32_t off, uint32_t len)
{
	uint8_t p[SN_IPV6_HDR + SN_IPV6_FRAG_HDR + ROOM], other = what & 128 ? SN_IPV6_DESTINATION : 0;
	uint32_t n = what & 7, id = n + (what & 64 ? 100 : 0),
		 hdr = w->v6 ? SN_IPV6_HDR + SN_IPV6_FRAG_HDR : SN_IPV4_HDR;
	bool last = off + len >= w->len[n];

	if (off >= w->len[n])
		off = w->len[n] & ~7u;
	len = SN_MIN(SN_MIN(len, w->len[n] - off), MTU - hdr);
	memcpy(p + hdr, w->packet[n] + off, len);
	if (what & 8 && len)
		p[hdr + len / 2] ^= 0x20;
	last ^= (what & 16) != 0;
	if (w->v6) {
		struct sn_ip ip = {.src = address(w, 2), .dst = address(w, 1), .proto = 44, .ttl = 64};
		ip.total_len = (uint16_t)(hdr + len);
		sn_ipv6_emit(p, &ip);
		p[SN_IPV6_HDR] = other ? other : SN_IP_ICMP6;
		p[SN_IPV6_HDR + 1] = 0;
		sn_put16(p + SN_IPV6_HDR + 2, (uint16_t)(off | !last));
		sn_put32(p + SN_IPV6_HDR + 4, id);
	} else {
		struct sn_ipv4 ip = {.src = PEER_IP,
				     .dst = OUR_IP,
				     .id = (uint16_t)id,
				     .frag = (uint16_t)(off / 8 | (last ? 0 : SN_IPV4_MF)),
				     .ttl = 64,
				     .proto = other ? SN_IP_TCP : SN_IP_ICMP,
				     .total_len = (uint16_t)(hdr + len)};
		sn_ipv4_emit(p, &ip, true);
	}
	rx(w, w->v6 ? SN_ETH_IPV6 : SN_ETH_IPV4, p, hdr + len);
}

static void start(struct world *w, uint8_t settings, void **memory)
{
	struct sn_engine_cfg cfg;

	w->v6 = settings & 1;
	w->pool_size = settings & 4 ? 32 : 512;
	w->pool = (struct sn_pool){.alloc = pool_alloc, .free = pool_free, .ctx = w, .avail = pool_avail};
	w->now = SN_SEC;
	sn_engine_cfg_default(&cfg);
	cfg.workers = settings & 2 ? 2 : 1;
	cfg.port_count = 1024;
	cfg.max_conns = cfg.max_listeners = 4;
	cfg.max_subflows = 8;
	cfg.max_segs = cfg.max_chunks = 64;
	cfg.rcvbuf = 65536;
	cfg.pool = &w->pool;
	memcpy(cfg.secret, "fuzzing is easy", 16);
	cfg.hooks = (struct sn_engine_hooks){.ctx = w, .tx = hook_tx, .forward = hook_forward, .random = hook_random};
	size_t size = sn_engine_footprint(&cfg);
	*memory = aligned_alloc(4096, (size + 4095) & ~(size_t)4095);
	memset(*memory, 0, size);
	w->e = sn_engine_init(*memory, size, &cfg, w->now);
	MUST(w->e);
	struct sn_net_port_cfg port = {.mtu = MTU};
	memcpy(port.mac, our_mac, 6);
	*(w->v6 ? &port.addr6 : &port.addr) = address(w, 1);
	*(w->v6 ? &port.prefix6 : &port.prefix) = w->v6 ? 64 : 24;
	MUST(sn_engine_port_add(w->e, &port) == 0);

	struct sn_addr us = address(w, 1), peer = address(w, 2);
	for (uint32_t n = 0; n < PACKETS; n++) {
		struct sn_icmp m = {.type = SN_ICMP_ECHO, .id = (uint16_t)n, .seq = 7};
		struct sn_icmp6 m6 = {.type = SN_ICMP6_ECHO, .id = (uint16_t)n, .seq = 7};
		w->len[n] = 40 + n * 271;
		for (uint32_t i = SN_ICMP_HDR; i < w->len[n]; i++)
			w->packet[n][i] = (uint8_t)(i * 5 + n + i / 256);
		if (w->v6)
			sn_icmp6_emit(w->packet[n], &m6, &peer, &us, w->len[n] - SN_ICMP_HDR);
		else
			sn_icmp_emit(w->packet[n], &m, w->len[n] - SN_ICMP_HDR);
	}
	announce(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 4 || size > 3000)
		return 0;
	struct world *w = calloc(1, sizeof *w);
	void *memory;

	start(w, data[0], &memory);
	for (const uint8_t *p = data + 1; data + size - p >= 3; p += 3) {
		if (p[0] & 32) {
			uint32_t work;
			w->now += p[1] * SN_SEC;
			sn_engine_poll(w->e, w->now, &work);
			announce(w);
		} else {
			rx_fragment(w, p[0], p[1] * 8u, p[2] * 8u);
		}
	}
#ifdef FUZZ_SHOW /* how far a seed gets */
	for (uint32_t i = 0; i < sn_counter_count(); i++)
		if (sn_engine_counter(w->e, i))
			printf("%s=%llu ", sn_counter_name(i), (unsigned long long)sn_engine_counter(w->e, i));
	printf("\n");
#endif
	for (uint32_t i = 0; i < w->crossings; i++)
		sn_buf_free(w->crossing[i]);
	for (uint32_t i = 0; i < 10; i++) {
		uint32_t work;
		w->now += 100 * SN_SEC;
		sn_engine_poll(w->e, w->now, &work);
	}
	MUST(w->live == 0);
	free(memory);
	free(w);
	return 0;
}
