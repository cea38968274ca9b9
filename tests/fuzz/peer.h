/* SPDX-License-Identifier: Apache-2.0
 *
 * What a peer would know of the engine under test, read from the frames it sends. It turns a fuzzer's small numbers into
 * segments that get past the handshakes: sequence numbers are offsets, keys, tokens and HMACs are put in on request.
 */
#ifndef FUZZ_PEER_H
#define FUZZ_PEER_H

#include "mptcp/conn.h"
#include "wire/arp.h"
#include "wire/checksum.h"
#include "wire/eth.h"
#include "wire/ipv4.h"
#include "wire/view.h"

enum { PEER_PORTS = 8, PEER_FLOWS = 2 * PEER_PORTS, PEER_PORT = 5000, OUR_PORT = 80 };
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
	uint32_t token;        /* the engine's */
	uint64_t dsn;          /* next data sequence number the engine expects */
	uint64_t engine_dsn;   /* end of what the engine sent */
	uint32_t arp_asked[4]; /* requests to answer */
	uint32_t arp_count;
};

static void peer_init(struct peer *p)
{
	memset(p, 0, sizeof *p);
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

/* A frame of the engine; false if it is malformed. */
static bool peer_sees(struct peer *p, const uint8_t *frame, uint32_t len)
{
	struct sn_eth eth;
	struct sn_ipv4 ip;
	struct sn_arp arp;
	struct sn_tcp_seg seg;

	if (!sn_eth_parse(&eth, frame, len))
		return false;
	if (eth.type == SN_ETH_ARP) {
		if (!sn_arp_parse(&arp, frame + SN_ETH_HDR, len - SN_ETH_HDR))
			return false;
		if (arp.op == SN_ARP_REQUEST && p->arp_count < 4)
			p->arp_asked[p->arp_count++] = arp.target;
		return true;
	}
	if (eth.type != SN_ETH_IPV4 || !sn_ipv4_parse(&ip, frame + SN_ETH_HDR, len - SN_ETH_HDR, true) ||
	    ip.total_len != len - SN_ETH_HDR)
		return false;
	if (ip.proto != SN_IP_TCP)
		return ip.proto == SN_IP_ICMP;
	const uint8_t *tcp = frame + SN_ETH_HDR + ip.hdr_len;
	uint32_t n = ip.total_len - ip.hdr_len;
	if (sn_csum_fold(sn_csum_partial(tcp, n, sn_csum_pseudo_v4(ip.src, ip.dst, SN_IP_TCP, n))) != 0xffff ||
	    sn_tcp_parse(&seg, tcp, n) != SN_OK || seg.mp.bad)
		return false;
	peer_sees_tcp(p, &seg, ip.dst == PEER_IP2);
	return true;
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

/* Builds the frame at `out` (room for 1600 bytes); returns its length. */
static uint32_t peer_segment(struct peer *p, const struct peer_wish *w, uint8_t *out)
{
	uint32_t second = !!(w->fix & FIX_IP2);
	struct peer_flow *f = &p->flow[w->flow % PEER_PORTS + second * PEER_PORTS];
	uint8_t raw[60] = {0}, data[1500], *tcp = out + SN_ETH_HDR + SN_IPV4_HDR;
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
	uint32_t len = (uint32_t)n + w->payload;
	struct sn_ipv4 ip = {.src = second ? PEER_IP2 : PEER_IP,
			     .dst = second ? OUR_IP2 : OUR_IP,
			     .total_len = (uint16_t)(SN_IPV4_HDR + len),
			     .ttl = 64,
			     .proto = SN_IP_TCP};
	uint32_t sum = sn_csum_partial(tcp, len, sn_csum_pseudo_v4(ip.src, ip.dst, SN_IP_TCP, len));
	sn_tcp_set_csum(tcp, (uint16_t)(sn_csum_finish(sum) ^ (w->fix & FIX_BAD_CSUM ? 1 : 0)));
	sn_ipv4_emit(out + SN_ETH_HDR, &ip, true);
	sn_eth_emit(out, our_mac[second], peer_mac, SN_ETH_IPV4);
	return SN_ETH_HDR + SN_IPV4_HDR + len;
}

#endif
