/* SPDX-License-Identifier: Apache-2.0
 *
 * SYN cookies (RFC 4987 3.6): a SYN/ACK whose sequence number says all that a record would have to remember.
 *
 *    31          25 24         22 21               5 4   3 2     0
 *   +--------------+-------------+------------------+-----+-------+
 *   | F(4-tuple,   | ISN >> 16   | G(F, peer's ISN) | per.| class |
 *   | period, MSS) | + more of F |                  |     |       |
 *   +--------------+-------------+------------------+-----+-------+
 *
 * F and G are of SipHash-2-4 with the worker's secret. `per.` is the period of PERIOD modulo 4, so that one look tells
 * whether a cookie is good; it is so for AGE_MAX more periods. Of 2^32 acknowledgement numbers 24 are good for one 4-tuple
 * and ISN. F and the three bits of the ISN tell what a peer sends behind its first segment, within the window that it was
 * given and acknowledging the same, from strays.
 *
 * Other options survive in the timestamp that the peer echoes, if it has timestamps. Its low five bits are not time:
 *
 *   bit 4     SACK permitted
 *   bits 3-0  the peer's window scale, 15: none
 *
 * What is lost: ECN, the exact MSS, the first round-trip sample, and the SYN/ACK's retransmission. The peer's next SYN brings
 * another one; but a client that has nothing to say, and whose third ACK was lost, waits in vain. Sequence numbers are not
 * RFC 6528's clock meanwhile; they are as hard to guess.
 */
#include "net/siphash.h"
#include "tcp/tcp.h"

enum {
	AGE_MAX = 2,
	CLASS_BITS = 3,
	PERIOD_BITS = 2,
	ISN_BITS = 17,
	NEAR_SHIFT = CLASS_BITS + PERIOD_BITS + ISN_BITS,
	NEAR_BITS = 3,
	TUPLE_SHIFT = NEAR_SHIFT + NEAR_BITS,
	NO_WSCALE = 15,
	TS_SACK = 16,
	TS_BITS = 31 /* mask */
};
#define PERIOD (32 * SN_SEC)

/* The largest that does not exceed what the peer takes is used: the least that ever is, the defaults of both families, what
 * tunnels leave, Ethernet with each, jumbo frames. */
static const uint16_t class_mss[1 << CLASS_BITS] = {88, 256, 536, 1220, 1380, 1440, 1460, 8940};

static uint64_t tuple_hash(const struct sn_engine *e, const struct sn_flow *flow, uint64_t period, uint32_t class)
{
	uint8_t m[48];

	memcpy(m, flow->local.b, 16);
	memcpy(m + 16, flow->remote.b, 16);
	sn_put32(m + 32, (uint32_t)flow->lport << 16 | flow->rport);
	sn_put32(m + 36, 0);
	sn_put64(m + 40, period << CLASS_BITS | class);
	return sn_siphash(e->cfg.secret, m, sizeof m);
}

/* The number for a peer's ISN. */
static uint32_t cookie_of(const struct sn_engine *e, uint64_t tuple, uint32_t irs, uint64_t period, uint32_t class)
{
	uint8_t m[12];

	sn_put64(m, tuple);
	sn_put32(m + 8, irs);
	uint32_t g = (uint32_t)sn_siphash(e->cfg.secret, m, sizeof m) & ((1u << ISN_BITS) - 1);
	uint32_t near = ((irs >> 16) + (uint32_t)tuple) & ((1u << NEAR_BITS) - 1);
	return (uint32_t)(tuple >> 32) >> TUPLE_SHIFT << TUPLE_SHIFT | near << NEAR_SHIFT |
	       g << (CLASS_BITS + PERIOD_BITS) | (uint32_t)(period & ((1 << PERIOD_BITS) - 1)) << CLASS_BITS | class;
}

static uint32_t make(const struct sn_engine *e, const struct sn_flow *flow, const struct sn_tcp_seg *syn, sn_time now)
{
	uint32_t mss = sn_tcp_peer_mss(syn, &flow->remote), class = (1 << CLASS_BITS) - 1;
	uint64_t period = now / PERIOD;

	while (class && class_mss[class] > mss)
		class --;
	return cookie_of(e, tuple_hash(e, flow, period, class), syn->seq, period, class);
}

/* The clock of the record that may follow (open.c), set back so far that the low bits can be given another sense. */
static uint32_t stamp(struct sn_engine *e, const struct sn_flow *flow, const struct sn_tcp_seg *syn, sn_time now)
{
	uint32_t clock = (uint32_t)(now / SN_MSEC) + sn_net_flow_tag(e, flow);
	uint32_t bits = syn->opts & SN_OPT_WSCALE ? SN_MIN(syn->wscale, 14) : NO_WSCALE;

	if (syn->opts & SN_OPT_SACK_OK)
		bits |= TS_SACK;
	return (clock & ~(uint32_t)TS_BITS) - (TS_BITS + 1) + bits;
}

static void send_synack(struct sn_engine *e, const struct sn_tcp_open *o, const struct sn_tcp_seg *syn, uint32_t wnd,
			const uint8_t *opts, uint32_t opt_len, sn_time now)
{
	bool ts = syn->opts & SN_OPT_TS;
	struct sn_tcp_syn_options so = {.mss = (uint16_t)sn_tcp_own_mss(e, o->port, &o->flow.remote),
					.ts = ts,
					.sack = ts && (syn->opts & SN_OPT_SACK_OK),
					.ws = ts && (syn->opts & SN_OPT_WSCALE),
					.shift = sn_tcp_wscale(o->rcv_space),
					.ts_ecr = syn->ts_val};

	if (!sn_net_may_answer(e, o->port, &o->flow.remote, now)) {
		e->counters.tcp_cookie_strange++;
		return;
	}
	struct sn_tx tx = {.port = o->port, .hdr = sn_buf_alloc(e->cfg.pool)};
	if (!tx.hdr) {
		e->counters.tx_nobuf++;
		return;
	}
	if (ts)
		so.ts_val = stamp(e, &o->flow, syn, now);
	uint8_t *p = tx.hdr->base + SN_HEADROOM;
	uint32_t n = sn_tcp_put_syn_options(p + SN_TCP_HDR_MIN, &so);
	memcpy(p + SN_TCP_HDR_MIN + n, opts, opt_len);
	n += opt_len;
	SN_ASSERT(n <= SN_TCP_OPT_MAX);
	sn_tcp_put_header(p, o->flow.lport, o->flow.rport, o->isn, syn->seq + 1, n, SN_TH_SYN | SN_TH_ACK,
			  (uint16_t)SN_MIN(SN_MIN(wnd, e->cfg.tcp.rcv_initial), 65535u));
	tx.hdr->data = p;
	tx.hdr->len = SN_TCP_HDR_MIN + n;
	e->counters.tcp_tx_segments++;
	e->counters.SyncookiesSent++;
	sn_net_send_tcp(e, o->port, &o->flow.local, &o->flow.remote, &tx, -1, now);
}

static enum sn_cookie open_cookie(const struct sn_engine *e, const struct sn_flow *flow, const struct sn_tcp_seg *ack,
				  struct sn_tcp_seg *syn, sn_time now)
{
	uint32_t cookie = ack->ack - 1, irs = ack->seq - 1, bits = ack->ts_ecr & TS_BITS;
	uint32_t class = cookie & ((1 << CLASS_BITS) - 1);
	uint64_t period = now / PERIOD, age = (period - (cookie >> CLASS_BITS)) & ((1 << PERIOD_BITS) - 1);

	if (age > AGE_MAX || age > period)
		return SN_COOKIE_BAD;
	uint64_t tuple = tuple_hash(e, flow, period - age, class);
	uint32_t want = cookie_of(e, tuple, irs, period - age, class);
	if (want != cookie) {
		/* The window that a cookie offers ends in the same 64 KB as the ISN, or in the next. */
		uint32_t past = ((want >> NEAR_SHIFT) - (cookie >> NEAR_SHIFT)) & ((1u << NEAR_BITS) - 1);
		return (want ^ cookie) >> TUPLE_SHIFT || past > 1 ? SN_COOKIE_BAD : SN_COOKIE_LATER;
	}
	*syn = (struct sn_tcp_seg){.seq = irs,
				   .sport = ack->sport,
				   .dport = ack->dport,
				   .flags = SN_TH_SYN,
				   .wnd = ack->wnd,
				   .opts = SN_OPT_MSS,
				   .mss = class_mss[class]};
	if (!(ack->opts & SN_OPT_TS))
		return SN_COOKIE_GOOD;
	syn->opts |= SN_OPT_TS;
	syn->ts_val = ack->ts_val;
	if (bits & TS_SACK)
		syn->opts |= SN_OPT_SACK_OK;
	if ((bits & NO_WSCALE) != NO_WSCALE) {
		syn->opts |= SN_OPT_WSCALE;
		syn->wscale = (uint8_t)(bits & NO_WSCALE);
	}
	return SN_COOKIE_GOOD;
}

const struct sn_tcp_cookie_ops sn_tcp_cookies = {.make = make, .send = send_synack, .open = open_cookie};
