/* SPDX-License-Identifier: Apache-2.0
 *
 * Neighbours: everybody on the link says what he likes by ARP and neighbour discovery, asked or not, in anybody's name,
 * while the engine wants to send to many of them over either family. Nobody answers by himself. The table and what waits
 * in it stay bounded, and all of it comes back.
 *
 * Input: u8 settings (world.h), then steps:
 *   0 ARP      u8 who, u8 MAC, u8 how (1 reply, 2 to all, 4 another target, 8 source of the frame differs, 16 second port,
 *              32 forwarded by another worker)
 *   1 ND       u8 who, u8 MAC, u8 how (1 advertisement, 2 to the group, 4 another target, 8 no MAC, 16 second port, 32
 *              forwarded), u8 flags
 *   2 connect  u8 who
 *   3 SYN      u8 who, u8 port: the engine answers, so it asks first
 *   4 time     u8: 16 ms each, or with the top bit to the next deadline
 *   5 fault    u8: 1 no buffers
 *   6 abort    the connection opened last
 *   7 echo     u8 who, u8 length
 * Other first bytes: modulo 8.
 */
#include "world.h"

static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* The engine's network has many: of the port's family, by number. */
static struct sn_addr neighbour(const struct world *w, bool second, uint8_t who)
{
	struct sn_addr a = peer_addr(&w->peer, second, true);

	a.b[15] = who;
	return a;
}

static void mac_of(uint8_t number, uint8_t mac[6])
{
	memcpy(mac, peer_mac, 6);
	mac[5] = number;
	if (number == 255)
		memcpy(mac, everybody, 6);
	if (number == 254)
		memset(mac, 0, 6);
}

static void step_arp(struct world *w, struct input *in)
{
	uint8_t who = take8(in), number = take8(in), how = take8(in);
	bool second = how & 16;
	struct sn_arp a = {.op = how & 1 ? SN_ARP_REPLY : SN_ARP_REQUEST,
			   .sender = (second ? PEER_IP2 : PEER_IP) - 2 + who};
	uint8_t frame[SN_ETH_HDR + SN_ARP_LEN], from[6];

	mac_of(number, a.sender_mac);
	mac_of(how & 8 ? (uint8_t)(number + 1) : number, from);
	a.target = (second ? OUR_IP2 : OUR_IP) + (how >> 2 & 1);
	memcpy(a.target_mac, our_mac[second], 6);
	sn_eth_emit(frame, how & 2 ? everybody : our_mac[second], from, SN_ETH_ARP);
	sn_arp_emit(frame + SN_ETH_HDR, &a);
	rx(w, frame, sizeof frame, second, how & 32 ? SN_BUF_FORWARDED : 0);
}

static void step_nd(struct world *w, struct input *in)
{
	uint8_t who = take8(in), number = take8(in), how = take8(in), flags = take8(in);
	bool second = how & 16;
	struct sn_addr ours = peer_addr(&w->peer, second, false), src = {.b = {0xfd, [7] = second, [15] = who}};
	struct sn_addr group = {.b = {0xff, 2, [11] = 1, [12] = 0xff, [15] = 1}};
	struct sn_nd nd = {
		.type = how & 1 ? SN_ICMP6_ADVERTISE : SN_ICMP6_SOLICIT, .flags = flags, .has_mac = !(how & 8)};
	struct sn_ip ip = {.src = who ? src : (struct sn_addr){0},
			   .dst = how & 2 ? group : ours,
			   .ttl = 255,
			   .proto = SN_IP_ICMP6};
	uint8_t frame[SN_ETH_HDR + SN_IPV6_HDR + SN_ND_LEN], to[6] = {0x33, 0x33, 0xff, 0, 0, 1};

	nd.target = how & 1 ? src : ours;
	nd.target.b[15] ^= how >> 2 & 1;
	mac_of(number, nd.mac);
	uint32_t n = sn_nd_emit(frame + SN_ETH_HDR + SN_IPV6_HDR, &nd, &ip.src, &ip.dst);
	ip.total_len = (uint16_t)(SN_IPV6_HDR + n);
	sn_ipv6_emit(frame + SN_ETH_HDR, &ip);
	sn_eth_emit(frame, how & 2 ? to : our_mac[second], nd.mac, SN_ETH_IPV6);
	rx(w, frame, SN_ETH_HDR + ip.total_len, second, how & 32 ? SN_BUF_FORWARDED : 0);
}

/* A packet of somebody: the peer's, with another source address and its checksums set right. */
static void step_packet(struct world *w, struct input *in, bool echo)
{
	uint8_t who = take8(in), number = take8(in), frame[FRAME_MAX] = {0};
	bool second = who & 1;
	struct sn_addr src = neighbour(w, second, who), dst = peer_addr(&w->peer, second, false);
	bool v6 = !sn_addr_is_v4(&src);
	uint32_t hdr = v6 ? SN_IPV6_HDR : SN_IPV4_HDR, len = echo ? SN_ICMP6_HDR + number : SN_TCP_HDR_MIN;
	uint8_t *l3 = frame + SN_ETH_HDR, *l4 = l3 + hdr;
	struct sn_ip ip = {.src = src, .dst = dst, .ttl = 64, .proto = echo ? SN_IP_ICMP6 : SN_IP_TCP};

	if (echo && !v6)
		return;
	ip.total_len = (uint16_t)(hdr + len);
	if (echo) {
		struct sn_icmp6 m = {.type = SN_ICMP6_ECHO, .id = number};
		sn_icmp6_emit(l4, &m, &src, &dst, number);
	} else {
		struct sn_tcp_seg s = {
			.sport = (uint16_t)(1000 + number), .dport = OUR_PORT, .seq = 1, .flags = SN_TH_SYN};
		sn_tcp_emit(l4, &s, 0);
		uint32_t sum = v6 ? sn_csum_pseudo_v6(&src, &dst, SN_IP_TCP, len)
				  : sn_csum_pseudo_v4(sn_addr_v4_get(&src), sn_addr_v4_get(&dst), SN_IP_TCP, len);
		sn_tcp_set_csum(l4, sn_csum_finish(sn_csum_partial(l4, len, sum)));
	}
	if (v6) {
		sn_ipv6_emit(l3, &ip);
	} else {
		struct sn_ipv4 v4 = {
			.src = sn_addr_v4_get(&src), .dst = sn_addr_v4_get(&dst), .ttl = 64, .proto = SN_IP_TCP};
		v4.total_len = ip.total_len;
		sn_ipv4_emit(l3, &v4, true);
	}
	sn_eth_emit(frame, our_mac[second], peer_mac, v6 ? SN_ETH_IPV6 : SN_ETH_IPV4);
	rx(w, frame, SN_ETH_HDR + ip.total_len, second, 0);
}

static void step(struct world *w, struct input *in)
{
	switch (take8(in) % 8) {
	case 0: step_arp(w, in); break;
	case 1: step_nd(w, in); break;
	case 2: {
		uint8_t who = take8(in);
		struct sn_addr to = neighbour(w, who & 1, who);
		struct sn_sqe s = {.op = SN_OP_CONNECT, .port = PEER_PORT, .user = 2};
		memcpy(s.addr, to.b, 16);
		submit(w, &s);
		break;
	}
	case 3: step_packet(w, in, false); break;
	case 4: {
		uint8_t ms = take8(in);
		if (!(ms & 0x80))
			w->now += ms * 16 * SN_MSEC;
		else if (w->next != SN_TIME_NEVER)
			w->now = SN_MAX(w->now, w->next);
		break;
	}
	case 5: w->pool_empty = take8(in) & 1; break;
	case 6: {
		struct sn_sqe s = {.op = SN_OP_ABORT, .conn = w->conn};
		submit(w, &s);
		break;
	}
	default: step_packet(w, in, true); break;
	}
	poll_engine(w);
	MUST(w->e->net.neighs.used <= w->e->net.neighs.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 4096)
		return 0;
	struct world *w = calloc(1, sizeof *w);
	struct sn_pool pool = {.alloc = pool_alloc, .free = pool_free, .ctx = w, .avail = pool_avail};
	struct input in = {data, data + size};
	void *memory, *shared;

	uint8_t settings = take8(&in);
	peer_init(&w->peer, settings & 32, settings & 64);
	w->deaf = true;
	start(w, &pool, settings, &memory, &shared);
	while (in.p < in.end)
		step(w, &in);
	report(w);
	finish(w);
	free(memory);
	free(shared);
	free(w);
	return 0;
}
