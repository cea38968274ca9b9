/* SPDX-License-Identifier: Apache-2.0
 *
 * A hostile application: it shares a channel with the worker, writes what it likes to any byte of it at any time, submits
 * entries of any kind, and takes or leaves its completions. A connection is established and has delivered data before the
 * input begins. Whatever happens: the worker ends that session at most, reads nothing outside the channel, and has every
 * record and buffer back when the session is gone. The same for the byte ring that carries messages.
 *
 * Input: u8 settings (world.h), u8 mode (1 the byte ring), then steps:
 *   0 entry     u8 how (1 the connection's id, 2 a known operation, 4 inside the arena), 64 bytes of struct sn_sqe
 *   1 scribble  u8 where (header, indices, entries, anywhere), u16 offset, u8 count, bytes
 *   2 peer      u8 TCP flags, u16 payload
 *   3 time      u8: 4 ms each, or with the top bit to the next deadline
 *   4 reaping   u8: completions to take
 *   5 release   u8 which of the held slots, u8 bend
 *   6 join      the memory as it is now becomes the channel of a new session
 * Other first bytes: modulo 7.
 */
#include "world.h"

enum { RING = 1024, MOST_JOINS = 4 };

static void peer_says(struct world *w, uint8_t flags, uint16_t payload)
{
	static const uint8_t none[1];
	struct peer_wish s = {.tcp_flags = flags, .wnd = 60000, .payload = payload % 1401, .opts = none};
	uint8_t frame[FRAME_MAX];

	rx(w, frame, peer_segment(&w->peer, &s, frame), 0, 0);
	poll_engine(w);
}

static size_t shm_size(const struct world *w) { return sn_channel_footprint(&w->geometry); }

static void step_entry(struct world *w, struct input *in)
{
	uint8_t how = take8(in);
	const uint8_t *bytes;
	struct sn_sqe s = {0};

	uint32_t n = take_bytes(in, &bytes, sizeof s);
	memcpy(&s, bytes, n);
	if (how & 1)
		s.conn = w->conn;
	if (how & 2)
		s.op %= SN_OP_ABORT + 1;
	if (how & 4) {
		s.off %= w->geometry.tx_len;
		s.len %= w->geometry.tx_len - s.off + 1;
	}
	submit(w, &s);
}

static void step_scribble(struct world *w, struct input *in)
{
	static const uint32_t base[] = {0, 64, 4096, 4096 + 64 * 64};
	uint8_t where = take8(in);
	uint32_t at = take16(in), size = (uint32_t)shm_size(w);
	const uint8_t *bytes;

	uint32_t n = take_bytes(in, &bytes, take8(in) % 33);
	at = where & 4 ? at * 16 % size : (base[where & 3] + at % 512) % size;
	memcpy((uint8_t *)w->shm + at, bytes, SN_MIN(n, size - at));
}

static void step_release(struct world *w, struct input *in)
{
	uint8_t which = take8(in), bend = take8(in);

	if (!w->nslots)
		return;
	uint32_t i = which % w->nslots;
	struct sn_sqe s = {.op = SN_OP_RELEASE, .conn = w->conn, .off = w->slots[i], .len = w->slot_len[i]};
	s.off += bend & 1;
	s.off += bend & 2 ? w->geometry.rx_slot_size : 0;
	s.len += bend & 4;
	if (!(bend & 8)) { /* else it will be given back twice */
		w->nslots--;
		w->slots[i] = w->slots[w->nslots];
		w->slot_len[i] = w->slot_len[w->nslots];
	}
	submit(w, &s);
}

/* What the worker does when the control process hands it a session: the application has had its hands on the memory. */
static void step_join(struct world *w)
{
	if (w->worker_side || w->joins++ == MOST_JOINS)
		return;
	w->nslots = 0;
	w->worker_side = sn_channel_new(w->shm, shm_size(w), true, -1, -1);
	if (!w->worker_side)
		return;
	w->app_side = sn_channel_new(w->shm, shm_size(w), false, -1, -1);
	if (!w->app_side) {
		sn_channel_free(w->worker_side);
		w->worker_side = NULL;
		return;
	}
	w->slot = sn_engine_channel_attach(w->e, w->worker_side);
	MUST(w->slot >= 0);
}

static void step(struct world *w, struct input *in)
{
	switch (take8(in) % 7) {
	case 0: step_entry(w, in); break;
	case 1: step_scribble(w, in); break;
	case 2: {
		uint8_t flags = take8(in);
		peer_says(w, flags, take16(in));
		break;
	}
	case 3: {
		uint8_t ms = take8(in);
		if (!(ms & 0x80))
			w->now += ms * 4 * SN_MSEC;
		else if (w->next != SN_TIME_NEVER)
			w->now = SN_MAX(w->now, w->next);
		break;
	}
	case 4: w->reap_most = take8(in); break;
	case 5: step_release(w, in); break;
	default: step_join(w); break;
	}
	poll_engine(w);
}

static void ring(struct input *in)
{
	size_t size = sn_ring_footprint(RING);
	uint8_t *mem = zeroed(size), out[RING + 8];
	const uint8_t *bytes;

	MUST(sn_ring_format(mem, size, RING) == SN_OK);
	struct sn_ring *to = sn_ring_new(mem, size, true, -1), *from = sn_ring_new(mem, size, false, -1);
	MUST(to && from);
	while (in->p < in->end) {
		uint8_t what = take8(in), count = take8(in);
		uint32_t n = take_bytes(in, &bytes, count);
		if (what & 1)
			(void)sn_ring_push(to, bytes, n);
		if (what & 2)
			memcpy(mem + (what * 16u + count) % (size - 256), bytes, n);
		if (what & 4) {
			int32_t got = sn_ring_pop(from, out, count & 1 ? RING : count);
			MUST(got <= RING);
		}
		(void)sn_ring_pending(from);
	}
	sn_ring_free(to);
	sn_ring_free(from);
	from = sn_ring_new(mem, size, false, -1); /* joined when it was damaged already */
	if (from) {
		(void)sn_ring_pop(from, out, RING);
		sn_ring_free(from);
	}
	free(mem);
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
	if (take8(&in) & 1) {
		ring(&in);
		free(w);
		return 0;
	}
	peer_init(&w->peer, settings & 32, settings & 64);
	start(w, &pool, settings, &memory, &shared);
	peer_says(w, SN_TH_SYN, 0);
	peer_says(w, SN_TH_ACK, 0);
	struct sn_sqe accept = {.op = SN_OP_ACCEPT, .conn = w->conn};
	submit(w, &accept);
	peer_says(w, SN_TH_ACK | SN_TH_PSH, 500);
	peer_says(w, SN_TH_ACK | SN_TH_PSH, 500);
	while (in.p < in.end)
		step(w, &in);
	report(w);
	finish(w);
	free(memory);
	free(shared);
	free(w);
	return 0;
}
