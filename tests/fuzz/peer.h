/* SPDX-License-Identifier: Apache-2.0
 *
 * What a peer would know of the engine under test, read from the frames it sends. It turns a fuzzer's small numbers into
 * segments that get past the handshakes: sequence numbers are offsets, keys, tokens and HMACs are put in on request.
 */
#ifndef FUZZ_PEER_H
#define FUZZ_PEER_H

#include "../unit/c/icmp_by_hand.h"
#include "mptcp/conn.h"
#include "wire/arp.h"
#include "wire/checksum.h"
#include "wire/eth.h"
#include "wire/icmp6.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/view.h"

enum { PEER_ASKED = 4, PEER_PORTS = 8, PEER_FLOWS = 2 * PEER_PORTS, PEER_PORT = 5000, OUR_PORT = 80 };
/* Of each port: of IPv4, or of IPv6 fd00:0:0:<port>::1 (the engine) and ::2 (the peer). */
enum { OUR_IP = 0x0a000001, OUR_IP2 = 0x0a000101, PEER_IP = 0x0a000002, PEER_IP2 = 0x0a000102 };
static const uint8_t our_mac[2][6] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}};
static const uint8_t peer_mac[6] = {2, 0, 0, 0, 1, 0};

/* Wishes of one segment. */
enum peer_fix {
	FIX_KEY = 1,    /* MP_CAPABLE, MP_FASTCLOSE: the engine's key as receiver's key */
	FIX_TOKEN = 2,  /* MP_JOIN SYN: the engine's token */
	FIX_HMAC = 4,   /* MP_JOIN SYN/ACK and ACK, ADD_ADDR: the right HMAC */
	FIX_DSN = 8,    /* DSS: numbers are offsets to what is expected, the checksum is right */
	FIX_TS = 16,    /* timestamps: echo what was sent last; SACK: offsets to what the engine sent */
	FIX_LPORT = 32, /* to the port the engine connects from */
	FIX_IP2 = 64,   /* over the second port */
	FIX_BAD_CSUM = 128
};

/* One port of one address of the peer: the second address has the upper half. */
struct peer_flow {
	uint32_t snd_nxt, rcv_nxt; /* the peer's next sequence number, the engine's */
	uint32_t ts;               /* last timestamp of the engine */
	uint16_t lport;            /* port the engine opened this flow from */
	uint32_t nonce, engine_nonce;
};

struct peer {
	struct peer_flow flow[PEER_FLOWS];
	uint64_t key, engine_key;
	uint32_t token;                   /* the engine's */
	uint64_t dsn;                     /* next data sequence number the engine expects */
	uint64_t engine_dsn;              /* end of what the engine sent */
	struct sn_addr asked[PEER_ASKED]; /* whose link address the engine wants to know */
	uint32_t asked_count;
	bool v6[2]; /* the addresses of this port are of IPv6 */
};

static struct sn_addr peer_addr(const struct peer *p, bool second, bool theirs)
{
	struct sn_addr a = {.b = {0xfd, [7] = second, [15] = theirs ? 2 : 1}};

	return p->v6[second] ? a : sn_addr_v4((theirs ? PEER_IP : OUR_IP) + (second ? OUR_IP2 - OUR_IP : 0));
}

static void peer_init(struct peer *p, bool v6, bool second_v6)
{
	memset(p, 0, sizeof *p);
	p->v6[0] = v6;
	p->v6[1] = second_v6;
	p->key = 0x1122334455667788;
	uint32_t token;
	uint64_t idsn;
	sn_mp_key_digest(p->key, &token, &idsn);
	p->dsn = idsn + 1;
	for (uint32_t i = 0; i < PEER_FLOWS; i++)
		p->flow[i].snd_nxt = 1000 * (i + 1);
}

static void peer_engine_key(struct peer *p, uint64_t key)
{
	uint64_t idsn;

	p->engine_key = key;
	sn_mp_key_digest(key, &p->token, &idsn);
	p->engine_dsn = idsn + 1;
}

/* A TCP segment of the engine. */
static void peer_sees_tcp(struct peer *p, const struct sn_tcp_seg *s, bool second)
{
	struct peer_flow *f = &p->flow[s->dport % PEER_PORTS + (second ? PEER_PORTS : 0)];

	f->rcv_nxt = s->seq + s->len + !!(s->flags & SN_TH_SYN) + !!(s->flags & SN_TH_FIN);
	if (s->opts & SN_OPT_TS)
		f->ts = s->ts_val;
	if (s->flags & SN_TH_SYN)
		f->lport = s->sport;
	if ((s->mp.present & SN_MP_BIT(SN_MP_CAPABLE)) && s->mp.capable.len >= 12)
		peer_engine_key(p, s->mp.capable.sender_key);
	if ((s->mp.present & SN_MP_BIT(SN_MP_JOIN)) && s->mp.join.len < 24)
		f->engine_nonce = s->mp.join.nonce;
	if (s->mp.present & SN_MP_BIT(SN_MP_DSS)) {
		const struct sn_mp_dss *d = &s->mp.dss;
		if (d->flags & SN_DSS_ACK)
			p->dsn = d->flags & SN_DSS_ACK64 ? d->ack : (p->dsn & ~0xffffffffull) | d->ack;
		if (d->flags & SN_DSS_MAP)
			p->engine_dsn = d->dsn + d->len;
	}
}

static void peer_asked(struct peer *p, struct sn_addr whom)
{
	if (p->asked_count < PEER_ASKED)
		p->asked[p->asked_count++] = whom;
}

/* An IP packet of the engine; false if it is malformed. ICMP of IPv4 is not looked into. */
static bool peer_sees_ip(struct peer *p, const struct sn_ip *ip, const uint8_t *l4, uint32_t n, uint32_t sum)
{
	struct sn_addr second = peer_addr(p, true, true);
	struct sn_icmp6 icmp;
	struct sn_tcp_seg seg;
	struct sn_nd nd;

	if (ip->proto == SN_IP_ICMP && sn_addr_is_v4(&ip->dst))
		return true;
	if (sn_csum_fold(sn_csum_partial(l4, n, sum)) != 0xffff)
		return false;
	if (ip->proto == SN_IP_ICMP6 && !sn_addr_is_v4(&ip->dst)) {
		if (!sn_icmp6_parse(&icmp, ip, l4, n))
			return false;
		if (icmp.type == SN_ICMP6_ECHO_REPLY)
			return true;
		if (!sn_nd_parse(&nd, ip, l4, n))
			return false;
		if (nd.type == SN_ICMP6_SOLICIT)
			peer_asked(p, nd.target);
		return true;
	}
	if (ip->proto != SN_IP_TCP || sn_tcp_parse(&seg, l4, n) != SN_OK || seg.mp.bad)
		return false;
	peer_sees_tcp(p, &seg, sn_addr_eq(&ip->dst, &second));
	return true;
}

/* A frame of the engine; false if it is malformed. */
static bool peer_sees(struct peer *p, const uint8_t *frame, uint32_t len)
{
	const uint8_t *l3 = frame + SN_ETH_HDR;
	struct sn_eth eth;
	struct sn_ipv4 v4;
	struct sn_arp arp;
	struct sn_ip ip;

	if (!sn_eth_parse(&eth, frame, len))
		return false;
	if (eth.type == SN_ETH_ARP) {
		if (!sn_arp_parse(&arp, l3, len - SN_ETH_HDR))
			return false;
		if (arp.op == SN_ARP_REQUEST)
			peer_asked(p, sn_addr_v4(arp.target));
		return true;
	}
	if (eth.type == SN_ETH_IPV6) {
		if (sn_ipv6_parse(&ip, l3, len - SN_ETH_HDR) != SN_IPV6_OK || ip.hdr_len != SN_IPV6_HDR ||
		    ip.total_len != len - SN_ETH_HDR)
			return false;
		uint32_t n = ip.total_len - SN_IPV6_HDR;
		return peer_sees_ip(p, &ip, l3 + SN_IPV6_HDR, n, sn_csum_pseudo_v6(&ip.src, &ip.dst, ip.proto, n));
	}
	if (eth.type != SN_ETH_IPV4 || !sn_ipv4_parse(&v4, l3, len - SN_ETH_HDR, true) ||
	    v4.total_len != len - SN_ETH_HDR)
		return false;
	uint32_t n = v4.total_len - v4.hdr_len;
	ip = (struct sn_ip){.dst = sn_addr_v4(v4.dst), .src = sn_addr_v4(v4.src), .proto = v4.proto};
	return peer_sees_ip(p, &ip, l3 + v4.hdr_len, n, sn_csum_pseudo_v4(v4.src, v4.dst, v4.proto, n));
}

static void peer_fix_join(const struct peer *p, struct sn_wire_view *v, struct peer_flow *f, uint8_t fix)
{
	uint8_t hmac[32];

	if (v->join_len == 12) {
		f->nonce = v->join_nonce;
		if (fix & FIX_TOKEN)
			v->join_token = p->token;
	} else if (v->join_len == 16) {
		f->nonce = v->join_nonce;
		sn_mp_hmac_join(p->key, p->engine_key, f->nonce, f->engine_nonce, hmac);
		if (fix & FIX_HMAC)
			v->join_hmac64 = sn_get64(hmac);
	} else if (fix & FIX_HMAC) {
		sn_mp_hmac_join(p->key, p->engine_key, f->nonce, f->engine_nonce, hmac);
		memcpy(v->join_hmac, hmac, sizeof v->join_hmac);
	}
}

/* Checksum of a mapping (RFC 8684 3.3.1) whose data is the segment's. */
static uint16_t peer_dss_csum(uint64_t dsn, uint32_t ssn, uint16_t len, const uint8_t *data, uint32_t data_len)
{
	uint8_t pseudo[16];

	sn_put64(pseudo, dsn);
	sn_put32(pseudo + 8, ssn);
	sn_put16(pseudo + 12, len);
	sn_put16(pseudo + 14, 0);
	return sn_csum_finish(sn_csum_partial(data, data_len, sn_csum_partial(pseudo, sizeof pseudo, 0)));
}

static void peer_fix_dss(const struct peer *p, struct sn_wire_view *v, const uint8_t *data, uint32_t len)
{
	if (v->mp_present & SN_MP_BIT(SN_MP_DSS)) {
		v->dss_ack = p->engine_dsn + (uint64_t)(int64_t)(int32_t)v->dss_ack;
		v->dss_dsn = p->dsn + (uint64_t)(int64_t)(int32_t)v->dss_dsn;
		v->dss_csum = peer_dss_csum(v->dss_dsn, v->dss_ssn, v->dss_len, data, len);
	}
	if (v->mp_present & SN_MP_BIT(SN_MP_CAPABLE))
		v->capable_csum = peer_dss_csum(p->dsn, 1, v->capable_data_len, data, len);
}

static void peer_fix_options(struct peer *p, struct sn_wire_view *v, struct peer_flow *f, uint8_t fix)
{
	if (fix & FIX_TS) {
		v->ts_ecr = f->ts;
		for (uint32_t i = 0; i < 2u * v->nsack; i++)
			v->sack[i] += f->rcv_nxt;
	}
	if (v->mp_present & SN_MP_BIT(SN_MP_CAPABLE)) {
		if (v->capable_len >= 12)
			v->capable_sender_key = p->key;
		if (fix & FIX_KEY)
			v->capable_receiver_key = p->engine_key;
	}
	if (fix & FIX_KEY)
		v->fastclose_key = p->engine_key;
	if (v->mp_present & SN_MP_BIT(SN_MP_JOIN))
		peer_fix_join(p, v, f, fix);
	if ((v->mp_present & SN_MP_BIT(SN_MP_ADD_ADDR)) && (fix & FIX_HMAC)) {
		struct sn_mp_add_addr a = {.id = v->add_addr_id,
					   .family = v->add_addr_family,
					   .has_port = v->add_addr_has_port,
					   .port = v->add_addr_port};
		memcpy(a.addr.b, v->add_addr, sizeof a.addr.b);
		v->add_addr_hmac = sn_mp_hmac_add_addr(p->key, p->engine_key, &a);
	}
}

/* One wish for a segment, as the fuzzer's input has it. */
struct peer_wish {
	uint8_t flow, tcp_flags, fix, opt_len;
	int16_t seq, ack; /* offsets */
	uint16_t wnd, payload;
	const uint8_t *opts;
};

/* Writes the headers in front of `len` bytes of TCP at out + SN_ETH_HDR + (40 or 20), and the TCP checksum with `flip`. */
static uint32_t peer_ip(const struct peer *p, bool second, uint8_t *out, uint32_t len, uint16_t flip)
{
	struct sn_addr src = peer_addr(p, second, true), dst = peer_addr(p, second, false);
	uint32_t hdr = p->v6[second] ? SN_IPV6_HDR : SN_IPV4_HDR, sum;
	uint8_t *l3 = out + SN_ETH_HDR;

	if (p->v6[second]) {
		struct sn_ip ip = {.src = src, .dst = dst, .ttl = 64, .proto = SN_IP_TCP};
		ip.total_len = (uint16_t)(hdr + len);
		sn_ipv6_emit(l3, &ip);
		sum = sn_csum_pseudo_v6(&src, &dst, SN_IP_TCP, len);
	} else {
		struct sn_ipv4 ip = {.src = sn_addr_v4_get(&src), .dst = sn_addr_v4_get(&dst)};
		ip.total_len = (uint16_t)(hdr + len);
		ip.ttl = 64;
		ip.proto = SN_IP_TCP;
		sn_ipv4_emit(l3, &ip, true);
		sum = sn_csum_pseudo_v4(ip.src, ip.dst, SN_IP_TCP, len);
	}
	sn_tcp_set_csum(l3 + hdr, (uint16_t)(sn_csum_finish(sn_csum_partial(l3 + hdr, len, sum)) ^ flip));
	sn_eth_emit(out, our_mac[second], peer_mac, p->v6[second] ? SN_ETH_IPV6 : SN_ETH_IPV4);
	return SN_ETH_HDR + hdr + len;
}

/* Builds the frame at `out` (room for 1600 bytes); returns its length. */
static inline uint32_t peer_segment(struct peer *p, const struct peer_wish *w, uint8_t *out)
{
	uint32_t second = !!(w->fix & FIX_IP2);
	struct peer_flow *f = &p->flow[w->flow % PEER_PORTS + second * PEER_PORTS];
	uint8_t raw[60] = {0}, data[1500], *tcp = out + SN_ETH_HDR + (p->v6[second] ? SN_IPV6_HDR : SN_IPV4_HDR);
	struct sn_wire_view v;
	struct sn_tcp_seg s = {.sport = (uint16_t)(PEER_PORT + w->flow % PEER_PORTS),
			       .dport = w->fix & FIX_LPORT && f->lport ? f->lport : OUR_PORT,
			       .seq = f->snd_nxt + (uint32_t)w->seq,
			       .ack = f->rcv_nxt + (uint32_t)w->ack,
			       .flags = w->tcp_flags,
			       .wnd = w->wnd};
	uint32_t opt_len = (w->opt_len + 3u) & ~3u;
	int32_t n = 0;

	for (uint32_t i = 0; i < w->payload; i++)
		data[i] = (uint8_t)i;
	sn_tcp_emit(raw, &s, opt_len);
	memcpy(raw + SN_TCP_HDR_MIN, w->opts, w->opt_len);
	if (w->fix && sn_wire_parse_tcp(raw, SN_TCP_HDR_MIN + opt_len, &v) == SN_OK) {
		peer_fix_options(p, &v, f, w->fix);
		if (w->fix & FIX_DSN)
			peer_fix_dss(p, &v, data, w->payload);
		n = sn_wire_emit_tcp(&v, tcp);
	}
	if (n <= 0) { /* malformed options go out as they are */
		n = (int32_t)(SN_TCP_HDR_MIN + opt_len);
		memcpy(tcp, raw, (size_t)n);
	}
	memcpy(tcp + n, data, w->payload);
	if (w->seq == 0)
		f->snd_nxt += w->payload + !!(w->tcp_flags & SN_TH_SYN) + !!(w->tcp_flags & SN_TH_FIN);
	return peer_ip(p, second, out, (uint32_t)n + w->payload, w->fix & FIX_BAD_CSUM ? 1 : 0);
}

/* An ICMP error about a segment of the engine. kind: 3 what, FIX_LPORT and FIX_IP2 as for a segment; seq: of the quoted
 * segment, back from what the engine sends next. Writes a frame; returns its length. */
static inline uint32_t peer_icmp_error(const struct peer *p, uint8_t flow, uint8_t kind, uint16_t seq, uint16_t mtu,
				       uint8_t *out)
{
	static const uint8_t v4[4][2] = {{3, 4}, {3, 3}, {3, 1}, {11, 0}}, v6[4][2] = {{2, 0}, {1, 4}, {1, 3}, {3, 0}};
	bool second = kind & FIX_IP2;
	const struct peer_flow *f = &p->flow[flow % PEER_PORTS + (second ? PEER_PORTS : 0)];
	struct sn_addr us = peer_addr(p, second, false), them = peer_addr(p, second, true);
	const uint8_t *what = (p->v6[second] ? v6 : v4)[kind & 3];
	struct icmp_by_hand m = {.type = what[0],
				 .code = what[1],
				 .mtu = mtu,
				 .flow = {us, them, kind & FIX_LPORT && f->lport ? f->lport : OUR_PORT,
					  (uint16_t)(PEER_PORT + flow % PEER_PORTS)},
				 .seq = f->rcv_nxt - seq,
				 .tcp_len = 8};

	sn_eth_emit(out, our_mac[second], peer_mac, p->v6[second] ? SN_ETH_IPV6 : SN_ETH_IPV4);
	return SN_ETH_HDR + icmp_packet(out + SN_ETH_HDR, &m, &them, &us);
}

#endif
