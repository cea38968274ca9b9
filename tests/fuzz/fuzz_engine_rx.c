/* SPDX-License-Identifier: Apache-2.0
 *
 * A whole engine with a listener, one application and a peer that knows the protocol (peer.h). The input is a byte of
 * settings (1 NewReno, 2 round robin, 4 DSS checksums, 8 a pool of 16 buffers, 16 of 64, 32 the first port has IPv6
 * instead of IPv4, 64 the second port, 128 BBR), then a list of steps: raw frames, segments, time, what the application does, raw
 * submissions, faults. Whatever happens: every frame that leaves is well formed, and after the application is gone
 * everything comes back to its table.
 *
 *   0 raw      u8 bits (1 checksum good, 2 forwarded, 4 second port, 8 no such port), u16 length, bytes
 *   1 segment  u8 flow, u8 TCP flags, u8 fix (peer.h), s16 seq, s16 ack, u16 window, u16 payload, u8 options, bytes
 *   2 time     u16 milliseconds; with the top bit set: to the next deadline
 *   3 app      u8 what, u16 length: send, release, shutdown, close, abort, accept, connect, unlisten
 *   4 raw submission  u8 (1: with the id of the connection), 64 bytes
 *   5 fault    u8 bits: 1 pool empty, 2 forward ring full, 4 a signal endpoint, 8 a subflow endpoint
 *   6 ICMP error  u8 flow, u8 kind (peer.h), u16 seq, u16 mtu
 *   Other first bytes: modulo 7.
 */
#include "world.h"

static void step_app(struct world *w, struct input *in)
{
	static const uint8_t ops[] = {SN_OP_SEND,   SN_OP_RELEASE, SN_OP_SHUTDOWN, SN_OP_CLOSE, SN_OP_ABORT,
				      SN_OP_ACCEPT, SN_OP_CONNECT, SN_OP_UNLISTEN, SN_OP_SET};
	uint8_t what = take8(in);
	struct sn_sqe s = {.op = ops[what % sizeof ops], .conn = w->conn, .len = take16(in), .user = 1};

	if (s.op == SN_OP_RELEASE) {
		if (!w->nslots)
			return;
		s.off = w->slots[--w->nslots];
		s.len = w->slot_len[w->nslots];
	} else if (s.op == SN_OP_SEND) {
		s.len %= 16384;
	} else if (s.op == SN_OP_CONNECT) {
		struct sn_addr to = peer_addr(&w->peer, false, true);
		memcpy(s.addr, to.b, 16);
		s.port = (uint16_t)(PEER_PORT + s.len % PEER_PORTS);
		s.flags = what & 0x80 ? SN_OPF_TCP : 0;
		s.user = 2;
	} else if (s.op == SN_OP_SET) {
		s.off = SN_SET_KEEP_IDLE + s.len % SN_SET_LINGER;
	}
	submit(w, &s);
}

static void step_endpoint(struct world *w, uint8_t bits)
{
	struct sn_endpoint ep = {.flags = (uint8_t)(bits & 4 ? SN_EP_SIGNAL : SN_EP_SUBFLOW), .id = bits & 4 ? 2 : 3};
	struct sn_addr a = peer_addr(&w->peer, true, false);
	memcpy(ep.addr, a.b, 16);
	(void)sn_engine_endpoint_add(w->e, &ep, w->now);
}

static void step(struct world *w, struct input *in)
{
	const uint8_t *bytes;
	uint8_t frame[FRAME_MAX];

	switch (take8(in) % 7) {
	case 0: {
		uint8_t bits = take8(in);
		uint32_t n = take_bytes(in, &bytes, take16(in) % (FRAME_MAX - SN_HEADROOM));
		rx(w, bytes, n, bits & 8 ? 9 : bits >> 2 & 1,
		   (uint8_t)((bits & 1 ? SN_BUF_CSUM_GOOD : 0) | (bits & 2 ? SN_BUF_FORWARDED : 0)));
		break;
	}
	case 1: {
		struct peer_wish s = {.flow = take8(in), .tcp_flags = take8(in), .fix = take8(in)};
		s.seq = (int16_t)take16(in);
		s.ack = (int16_t)take16(in);
		s.wnd = take16(in);
		s.payload = take16(in) % 1401;
		s.opt_len = (uint8_t)take_bytes(in, &s.opts, take8(in) % (SN_TCP_OPT_MAX + 1));
		rx(w, frame, peer_segment(&w->peer, &s, frame), s.fix & FIX_IP2 ? 1 : 0, 0);
		break;
	}
	case 6: {
		uint8_t flow = take8(in), kind = take8(in);
		uint16_t seq = take16(in), mtu = take16(in);
		rx(w, frame, peer_icmp_error(&w->peer, flow, kind, seq, mtu, frame), kind & FIX_IP2 ? 1 : 0, 0);
		break;
	}
	case 2: {
		uint16_t ms = take16(in);
		if (!(ms & 0x8000))
			w->now += ms * SN_MSEC;
		else if (w->next != SN_TIME_NEVER)
			w->now = SN_MAX(w->now, w->next);
		break;
	}
	case 3: step_app(w, in); break;
	case 4: {
		struct sn_sqe s = {0};
		bool known = take8(in) & 1;
		uint32_t n = take_bytes(in, &bytes, sizeof s);
		memcpy(&s, bytes, n);
		if (known)
			s.conn = w->conn;
		submit(w, &s);
		break;
	}
	default: {
		uint8_t bits = take8(in);
		w->pool_empty = bits & 1;
		w->ring_full = bits & 2;
		if (bits & 12)
			step_endpoint(w, bits);
	}
	}
	poll_engine(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 8192)
		return 0;
	struct world *w = calloc(1, sizeof *w);
	struct sn_pool pool = {.alloc = pool_alloc, .free = pool_free, .ctx = w, .avail = pool_avail};
	struct input in = {data, data + size};
	void *memory, *shared;

	uint8_t settings = take8(&in);
	peer_init(&w->peer, settings & 32, settings & 64);
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
