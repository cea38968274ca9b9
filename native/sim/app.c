/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/app.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "sim/sim.h"

bool sn_sim_app_init(struct sn_sim_app *a, struct sn_sim *sim, uint32_t side)
{
	const struct sn_sim_cfg *c = sim->cfg;
	const struct sn_channel_geometry g = {
		.sq_entries = c->sq_entries ? c->sq_entries : 256,
		.cq_entries = c->cq_entries ? c->cq_entries : 1024,
		.tx_len = c->arena ? c->arena : 4u << 20,
		.rx_slot_size = c->rx_slot_size ? c->rx_slot_size : 16384,
		.rx_slots = c->rx_slots ? c->rx_slots : 512,
	};

	a->sim = sim;
	a->side = side;
	a->workers = sim->host[side].workers;
	a->conns = c->conns ? c->conns : 1;
	a->rng = sn_rng_seed(c->seed, 0x4000 + side);
	size_t size = sn_channel_footprint(&g);
	uint32_t attached = 0;
	for (uint32_t w = 0; size && w < a->workers; w++) {
		a->ch[w].size = size;
		/* Zero without being touched: most runs use little of it. */
		a->ch[w].mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (a->ch[w].mem == MAP_FAILED) {
			a->ch[w].mem = NULL;
			break;
		}
		if (sn_channel_format(a->ch[w].mem, size, &g, w) != SN_OK ||
		    sn_channel_attach(&a->ch[w].worker, a->ch[w].mem, size, true, -1, -1) != SN_OK ||
		    sn_channel_attach(&a->ch[w].app, a->ch[w].mem, size, false, -1, -1) != SN_OK)
			break;
		a->ch[w].slot = sn_engine_channel_attach(sim->host[side].worker[w].engine, &a->ch[w].worker);
		if (a->ch[w].slot < 0)
			break;
		attached++;
	}
	if (attached != a->workers) {
		sn_sim_fail(sim, "host %c: the channel's geometry is refused", sn_sim_app_name(a));
		return false;
	}
	for (uint32_t i = 0; i < a->conns; i++) {
		struct sn_sim_conn *k = &a->conn[i];
		k->tx_total = side ? c->bytes_ba : c->bytes_ab;
		k->rx_total = side ? c->bytes_ab : c->bytes_ba;
		k->arena_len = g.tx_len / a->conns;
		k->arena_off = i * k->arena_len;
		k->rx_cap = g.rx_slots + 1;
		k->rx = calloc(k->rx_cap, sizeof *k->rx);
		if (!k->rx)
			return false;
	}
	return true;
}

void sn_sim_app_close(struct sn_sim_app *a)
{
	for (uint32_t i = 0; i < 16; i++)
		free(a->conn[i].rx);
	for (uint32_t w = 0; w < 4; w++) {
		if (!a->ch[w].mem)
			continue;
		sn_channel_leave(&a->ch[w].worker);
		munmap(a->ch[w].mem, a->ch[w].size);
		a->ch[w].mem = NULL;
	}
}

void sn_sim_app_die(struct sn_sim_app *a)
{
	if (a->dead)
		return;
	for (uint32_t w = 0; w < a->workers; w++) {
		struct sn_sim_worker *worker = &a->sim->host[a->side].worker[w];
		sn_engine_channel_detach(worker->engine, (uint32_t)a->ch[w].slot, sn_sim_worker_now(worker));
		if (!worker->stopped || worker->stopped <= a->sim->now)
			worker->deadline = a->sim->now;
		/* Nothing may refer to it any more: whoever does, crashes. */
		sn_channel_leave(&a->ch[w].worker);
		munmap(a->ch[w].mem, a->ch[w].size);
		a->ch[w].mem = NULL;
	}
	a->dead = true;
	for (uint32_t i = 0; i < a->conns; i++)
		a->conn[i].closed = true;
}

bool sn_sim_app_tolerant(const struct sn_sim_app *a)
{
	return a->sim->cfg->allow & SN_SIM_ALLOW_ERRORS || a->sim->app[!a->side].dead || a->dead || a->quit;
}

static sn_time open_at(const struct sn_sim_app *a)
{
	if (a->side || !a->sim->app[1].all_listen || a->opened == a->conns)
		return SN_TIME_NEVER;
	return a->sim->start + a->opened * a->sim->cfg->start_gap_ns;
}

/* Opens the connections that are due. */
static bool start_client(struct sn_sim_app *a)
{
	bool did = false;

	for (; open_at(a) <= a->sim->now; a->opened++) {
		uint32_t i = a->opened;
		struct sn_sim_conn *k = &a->conn[i];
		struct sn_addr remote = sn_sim_host_addr(a->sim->cfg, 1, 0);
		struct sn_sqe e = {
			.op = SN_OP_CONNECT,
			.flags = (uint8_t)((a->sim->cfg->tcp_a ? SN_OPF_TCP : 0) |
					   (a->sim->cfg->csum_a ? SN_OPF_CSUM : 0)),
			.port = SN_SIM_SERVER_PORT,
			.user = i,
			.sched = a->sim->cfg->sched_a,
		};
		memcpy(e.addr, remote.b, sizeof e.addr);
		k->worker = i % a->workers;
		sn_channel_sq_push(&a->ch[k->worker].app, &e);
		did = true;
	}
	return did;
}

void sn_sim_app_listen(struct sn_sim_app *a)
{
	for (uint32_t w = 0; w < a->workers; w++) {
		struct sn_sqe e = {
			.op = SN_OP_LISTEN,
			.flags = (uint8_t)((a->sim->cfg->tcp_b ? SN_OPF_TCP : 0) |
					   (a->sim->cfg->csum_b ? SN_OPF_CSUM : 0)),
			.lport = SN_SIM_SERVER_PORT,
			.len = 64,
			.user = 1000 + w,
			.sched = a->sim->cfg->sched_b,
		};
		sn_channel_sq_push(&a->ch[w].app, &e);
	}
}

static bool push(struct sn_sim_app *a, struct sn_sim_conn *k, struct sn_sqe e)
{
	e.conn = k->conn;
	return sn_channel_sq_push(&a->ch[k->worker].app, &e);
}

/* Verifies the oldest piece and gives its slot back. The bytes are looked at as late as possible: a worker that writes
 * into a slot it has handed out is found. */
static bool release_one(struct sn_sim_app *a, struct sn_sim_conn *k)
{
	const struct sn_channel *ch = &a->ch[k->worker].app;
	struct sn_sim_rx r = k->rx[k->rx_head];
	uint64_t rate = a->side ? a->sim->cfg->read_rate_b : a->sim->cfg->read_rate_a;

	if (r.off < ch->rx_off || (uint64_t)r.off + r.len > ch->rx_off + (uint64_t)ch->rx_slot_size * ch->rx_slots) {
		sn_sim_fail(a->sim, "host %c: a received piece lies outside the slots", sn_sim_app_name(a));
		return false;
	}
	struct sn_sqe e = {.op = SN_OP_RELEASE, .off = r.off, .len = r.len};
	/* Verify before the push: afterwards the slot is the worker's. */
	for (size_t at = 0, n; at < r.len; at += n) {
		n = r.len - at;
		const uint8_t *want = sn_stream_at(&a->sim->stream, k->rx_stream, k->rx_read + at, &n);
		const uint8_t *got = ch->base + r.off + at;
		if (memcmp(want, got, n) == 0 || a->sim->cfg->allow & SN_SIM_ALLOW_BYTES)
			continue;
		size_t i = 0;
		while (want[i] == got[i])
			i++;
		sn_sim_fail(a->sim, "host %c: byte %llu of the stream differs (0x%02x, not 0x%02x)", sn_sim_app_name(a),
			    (unsigned long long)(k->rx_read + at + i), got[i], want[i]);
		return false;
	}
	if (!push(a, k, e))
		return false;
	k->rx_head = (k->rx_head + 1) % k->rx_cap;
	k->rx_read += r.len;
	if (rate)
		k->read_at = SN_MAX(k->read_at, a->sim->now) + r.len * SN_SEC / rate;
	return true;
}

static bool send_one(struct sn_sim_app *a, struct sn_sim_conn *k)
{
	const struct sn_sim_cfg *c = a->sim->cfg;
	uint32_t used = (uint32_t)(k->tx_sub - k->tx_back), at = (uint32_t)(k->tx_sub % k->arena_len);
	uint32_t len = c->chunk ? c->chunk : 16384;

	if (c->odd_chunks)
		len = 1 + (uint32_t)sn_rng_below(&a->rng, len);
	if (c->msg_bytes && !a->side) { /* one piece for each message, unless the arena's end cuts it */
		if (a->sim->now < sn_sim_message_due(c, k, k->tx_sub / c->msg_bytes))
			return false;
		len = c->msg_bytes - (uint32_t)(k->tx_sub % c->msg_bytes);
	}
	len = SN_MIN(len, k->arena_len - at);
	len = (uint32_t)SN_MIN(len, k->tx_total - k->tx_sub);
	/* Wait for room for a whole piece rather than to crumble the arena. */
	if (len > k->arena_len - used)
		return false;
	struct sn_sqe e = {.op = SN_OP_SEND, .off = k->arena_off + at, .len = len};
	uint8_t *to = a->ch[k->worker].app.base + a->ch[k->worker].app.tx_off + e.off;
	for (size_t done = 0, n; done < len; done += n) {
		n = len - done;
		const uint8_t *from = sn_stream_at(&a->sim->stream, k->tx_stream, k->tx_sub + done, &n);
		memcpy(to + done, from, n);
	}
	if (!push(a, k, e))
		return false;
	k->tx_sub += len;
	return true;
}

static bool stopped_reading(const struct sn_sim_app *a) { return a->sim->host[a->side].plight.no_read > a->sim->now; }
static bool frozen(const struct sn_sim_app *a) { return a->sim->host[a->side].plight.frozen > a->sim->now; }

/* Goes on with one script. Returns true if it did something. */
static bool step(struct sn_sim_app *a, struct sn_sim_conn *k)
{
	uint8_t closing = a->sim->cfg->closing;

	if (!k->open)
		return false;
	if (k->rx_head != k->rx_tail && k->read_at <= a->sim->now && !stopped_reading(a))
		return release_one(a, k);
	if (k->closed || k->close_sent)
		return false;
	if (a->quit || k->hopeless) {
		if (!push(a, k, (struct sn_sqe){.op = SN_OP_ABORT}))
			return false;
		a->sim->res->given_up++;
		return k->hopeless = k->close_sent = true;
	}
	if (k->tx_sub < k->tx_total)
		return send_one(a, k);
	if (!k->shut && closing != SN_SIM_CLOSE_ONLY)
		return k->shut = push(a, k, (struct sn_sqe){.op = SN_OP_SHUTDOWN});
	if (k->rx_read != k->rx_total || k->rx_head != k->rx_tail)
		return false;
	if (closing == SN_SIM_CLOSE_ONLY || (k->eof && (closing == SN_SIM_CLOSE_EARLY || k->tx_back == k->tx_total)))
		return k->close_sent = push(a, k, (struct sn_sqe){.op = SN_OP_CLOSE});
	return false;
}

bool sn_sim_app_run(struct sn_sim_app *a)
{
	bool did = false;
	struct sn_cqe e;

	if (a->dead || frozen(a))
		return false;
	for (uint32_t w = 0; w < a->workers; w++)
		while (!sn_sim_failed(a->sim) && sn_channel_cq_pop(&a->ch[w].app, &e)) {
			sn_sim_app_complete(a, w, &e);
			did = true;
		}
	did |= start_client(a);
	for (uint32_t i = 0; i < a->conns; i++)
		while (!sn_sim_failed(a->sim) && step(a, &a->conn[i]))
			did = true;
	return did;
}

sn_time sn_sim_app_next(const struct sn_sim_app *a)
{
	const struct sn_sim_cfg *c = a->sim->cfg;
	sn_time next;

	if (a->dead || frozen(a)) /* the end of that is an event of its own */
		return SN_TIME_NEVER;
	next = open_at(a);
	for (uint32_t i = 0; i < a->conns; i++) {
		const struct sn_sim_conn *k = &a->conn[i];
		if (k->open && !stopped_reading(a) && k->rx_head != k->rx_tail && k->read_at > a->sim->now &&
		    k->read_at < next)
			next = k->read_at;
		if (c->msg_bytes && !a->side && k->open && k->tx_sub < k->tx_total) {
			sn_time due = sn_sim_message_due(c, k, k->tx_sub / c->msg_bytes);
			if (due > a->sim->now && due < next)
				next = due;
		}
	}
	return next;
}

bool sn_sim_app_done(const struct sn_sim_app *a)
{
	const struct sn_sim_app *client = &a->sim->app[0];

	if (!a->dead && frozen(a)) /* what its rings hold it has not seen yet */
		return false;
	for (uint32_t i = 0; !a->dead && i < a->conns; i++) {
		const struct sn_sim_conn *k = &a->conn[i];
		/* What the client gave up before the server heard of it never comes. */
		if (a->side && !k->open && sn_sim_app_tolerant(a) && sn_sim_app_done(client))
			continue;
		if (!k->closed || k->rx_head != k->rx_tail)
			return false;
	}
	return true;
}

void sn_sim_app_unlisten(struct sn_sim_app *a)
{
	for (uint32_t w = 0; !a->dead && w < a->workers; w++) {
		struct sn_sqe e = {.op = SN_OP_UNLISTEN, .user = 1000 + w};
		if (!sn_channel_sq_push(&a->ch[w].app, &e))
			sn_sim_fail(a->sim, "the server's submission ring is full at unlisten");
	}
}

void sn_sim_app_describe(const struct sn_sim_app *a, char *out, size_t size)
{
	for (uint32_t i = 0; i < a->conns; i++) {
		const struct sn_sim_conn *k = &a->conn[i];
		if (k->closed)
			continue;
		snprintf(out, size,
			 "%c: connection %u %s, sent %llu of %llu (%llu given back), received %llu of %llu%s%s%s",
			 sn_sim_app_name(a), i, k->open ? "open" : "not open", (unsigned long long)k->tx_sub,
			 (unsigned long long)k->tx_total, (unsigned long long)k->tx_back, (unsigned long long)k->rx_got,
			 (unsigned long long)k->rx_total, k->eof ? ", EOF seen" : "", k->shut ? ", shut down" : "",
			 k->close_sent ? ", close submitted" : "");
		return;
	}
	snprintf(out, size, "%c: %s", sn_sim_app_name(a), a->dead ? "dead" : "done");
}
