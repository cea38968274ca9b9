/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/app.h"

#include <stdlib.h>

#include "sim/sim.h"

static char side_name(const struct sn_sim_app *a) { return (char)('A' + a->side); }

bool sn_sim_app_init(struct sn_sim_app *a, struct sn_sim *sim, uint32_t side)
{
	const struct sn_sim_cfg *c = sim->cfg;
	const struct sn_channel_geometry g = {
		.sq_entries = 256,
		.cq_entries = 1024,
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
		a->ch[w].mem = aligned_alloc(4096, size);
		if (!a->ch[w].mem)
			break;
		memset(a->ch[w].mem, 0, size);
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
		sn_sim_fail(sim, "host %c: the channel's geometry is refused", side_name(a));
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
		if (a->ch[w].mem)
			sn_channel_leave(&a->ch[w].worker);
		free(a->ch[w].mem);
	}
}

/* Both sides derive the content from the client's port. */
static void name_streams(struct sn_sim_app *a, struct sn_sim_conn *k, uint16_t cport)
{
	uint64_t seed = a->sim->cfg->seed;
	k->cport = cport;
	k->tx_stream = sn_rng_seed(seed, 0x10000 + cport * 2u + a->side).at;
	k->rx_stream = sn_rng_seed(seed, 0x10000 + cport * 2u + !a->side).at;
	k->open = true;
}

static struct sn_sim_conn *find(struct sn_sim_app *a, uint32_t worker, uint32_t conn)
{
	for (uint32_t i = 0; i < a->conns; i++) {
		struct sn_sim_conn *k = &a->conn[i];
		if (k->open && !k->closed && k->worker == worker && k->conn == conn)
			return k;
	}
	return NULL;
}

static void start_client(struct sn_sim_app *a)
{
	for (uint32_t i = 0; i < a->conns; i++) {
		struct sn_sim_conn *k = &a->conn[i];
		struct sn_addr remote = sn_addr_v4(sn_sim_host_addr(1, 0));
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
	}
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

static void on_accept(struct sn_sim_app *a, uint32_t worker, const struct sn_cqe *e)
{
	if (a->accepted == a->conns) {
		sn_sim_fail(a->sim, "a connection too many was accepted, from port %u", e->port);
		return;
	}
	struct sn_sim_conn *k = &a->conn[a->accepted++];
	k->worker = worker;
	k->conn = e->conn;
	name_streams(a, k, e->port);
	struct sn_sqe take = {.op = SN_OP_ACCEPT, .conn = e->conn};
	if (!sn_channel_sq_push(&a->ch[worker].app, &take))
		sn_sim_fail(a->sim, "the server's submission ring is full at accept");
}

static void complete(struct sn_sim_app *a, uint32_t worker, const struct sn_cqe *e)
{
	struct sn_sim *sim = a->sim;

	switch (e->op) {
	case SN_CQ_LISTENING:
		if (e->res)
			sn_sim_fail(sim, "listen fails with %d", e->res);
		if (++a->listening == a->workers)
			start_client(&sim->app[0]);
		return;
	case SN_CQ_CONNECTED: {
		struct sn_sim_conn *k = e->user < a->conns ? &a->conn[e->user] : NULL;
		if (e->res || !k || k->open) {
			sn_sim_fail(sim, "connect %llu fails with %d", (unsigned long long)e->user, e->res);
			return;
		}
		k->conn = e->conn;
		name_streams(a, k, e->lport);
		if (e->flags & SN_CQF_MPTCP)
			sim->res->mptcp_conns++;
		else
			sim->res->tcp_conns++;
		return;
	}
	case SN_CQ_ACCEPT: on_accept(a, worker, e); return;
	case SN_CQ_ERROR:
		sn_sim_fail(sim, "host %c: a submission for connection %u is refused with %d", side_name(a), e->conn,
			    e->res);
		return;
	default: break;
	}

	struct sn_sim_conn *k = find(a, worker, e->conn);
	if (!k) {
		sn_sim_fail(sim, "host %c: completion %u for the unknown connection %u", side_name(a), e->op, e->conn);
		return;
	}
	switch (e->op) {
	case SN_CQ_RECV: {
		uint32_t next = (k->rx_tail + 1) % k->rx_cap;
		if (k->eof || k->close_sent || next == k->rx_head || !e->len) {
			sn_sim_fail(sim, "host %c: %u bytes arrive %s", side_name(a), e->len,
				    k->eof          ? "after EOF"
				    : k->close_sent ? "after CLOSE"
						    : "beyond the slots there are");
			return;
		}
		k->rx[k->rx_tail] = (struct sn_sim_rx){e->off, e->len};
		k->rx_tail = next;
		k->rx_got += e->len;
		sim->res->received[!a->side] += e->len;
		sim->res->transfer_ns[!a->side] = sim->now - sim->start;
		sim->last_progress = sim->now;
		if (k->rx_got > k->rx_total)
			sn_sim_fail(sim, "host %c: %llu bytes arrive where %llu were sent", side_name(a),
				    (unsigned long long)k->rx_got, (unsigned long long)k->rx_total);
		return;
	}
	case SN_CQ_SENT:
		k->tx_back += e->len;
		if (k->tx_back > k->tx_sub)
			sn_sim_fail(sim, "host %c: more send memory comes back than was given", side_name(a));
		return;
	case SN_CQ_EOF:
		if (k->eof || k->rx_got != k->rx_total)
			sn_sim_fail(sim, "host %c: EOF after %llu of %llu bytes", side_name(a),
				    (unsigned long long)k->rx_got, (unsigned long long)k->rx_total);
		k->eof = true;
		sim->last_progress = sim->now;
		return;
	case SN_CQ_CLOSED:
		k->closed = true;
		sim->last_progress = sim->now;
		/* It may end by itself once both sides are through. */
		if (e->res || !(k->close_sent || (k->shut && k->eof && k->tx_back == k->tx_total)))
			sn_sim_fail(sim,
				    "host %c: the connection ends with %d %s, sent %llu of %llu, received %llu of %llu",
				    side_name(a), e->res, k->close_sent ? "after CLOSE" : "by itself",
				    (unsigned long long)k->tx_back, (unsigned long long)k->tx_total,
				    (unsigned long long)k->rx_got, (unsigned long long)k->rx_total);
		return;
	default: sn_sim_fail(sim, "host %c: unknown completion %u", side_name(a), e->op);
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
	uint8_t want[4096];

	if (r.off < ch->rx_off || (uint64_t)r.off + r.len > ch->rx_off + (uint64_t)ch->rx_slot_size * ch->rx_slots) {
		sn_sim_fail(a->sim, "host %c: a received piece lies outside the slots", side_name(a));
		return false;
	}
	struct sn_sqe e = {.op = SN_OP_RELEASE, .off = r.off, .len = r.len};
	/* Verify before the push: afterwards the slot is the worker's. */
	for (uint32_t at = 0; at < r.len; at += (uint32_t)sizeof want) {
		uint32_t n = SN_MIN(r.len - at, (uint32_t)sizeof want);
		sn_rng_stream(k->rx_stream, k->rx_read + at, want, n);
		const uint8_t *got = ch->base + r.off + at;
		if (memcmp(want, got, n) == 0)
			continue;
		uint32_t i = 0;
		while (want[i] == got[i])
			i++;
		sn_sim_fail(a->sim, "host %c: byte %llu of the stream differs (0x%02x, not 0x%02x)", side_name(a),
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
	len = SN_MIN(len, k->arena_len - at);
	len = (uint32_t)SN_MIN(len, k->tx_total - k->tx_sub);
	/* Wait for room for a whole piece rather than to crumble the arena. */
	if (len > k->arena_len - used)
		return false;
	struct sn_sqe e = {.op = SN_OP_SEND, .off = k->arena_off + at, .len = len};
	sn_rng_stream(k->tx_stream, k->tx_sub, a->ch[k->worker].app.base + a->ch[k->worker].app.tx_off + e.off, len);
	if (!push(a, k, e))
		return false;
	k->tx_sub += len;
	return true;
}

/* Goes on with one script. Returns true if it did something. */
static bool step(struct sn_sim_app *a, struct sn_sim_conn *k)
{
	uint8_t closing = a->sim->cfg->closing;

	if (!k->open || k->close_sent)
		return false;
	if (k->rx_head != k->rx_tail && k->read_at <= a->sim->now)
		return release_one(a, k);
	if (k->closed)
		return false;
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

	for (uint32_t w = 0; w < a->workers; w++)
		while (!sn_sim_failed(a->sim) && sn_channel_cq_pop(&a->ch[w].app, &e)) {
			complete(a, w, &e);
			did = true;
		}
	for (uint32_t i = 0; i < a->conns; i++)
		while (!sn_sim_failed(a->sim) && step(a, &a->conn[i]))
			did = true;
	return did;
}

sn_time sn_sim_app_next(const struct sn_sim_app *a)
{
	sn_time next = SN_TIME_NEVER;
	for (uint32_t i = 0; i < a->conns; i++) {
		const struct sn_sim_conn *k = &a->conn[i];
		if (k->open && !k->close_sent && k->rx_head != k->rx_tail && k->read_at > a->sim->now &&
		    k->read_at < next)
			next = k->read_at;
	}
	return next;
}

bool sn_sim_app_done(const struct sn_sim_app *a)
{
	for (uint32_t i = 0; i < a->conns; i++)
		if (!a->conn[i].closed || a->conn[i].rx_head != a->conn[i].rx_tail)
			return false;
	return true;
}

void sn_sim_app_unlisten(struct sn_sim_app *a)
{
	for (uint32_t w = 0; w < a->workers; w++) {
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
			 side_name(a), i, k->open ? "open" : "not open", (unsigned long long)k->tx_sub,
			 (unsigned long long)k->tx_total, (unsigned long long)k->tx_back, (unsigned long long)k->rx_got,
			 (unsigned long long)k->rx_total, k->eof ? ", EOF seen" : "", k->shut ? ", shut down" : "",
			 k->close_sent ? ", close submitted" : "");
		return;
	}
	snprintf(out, size, "%c: done", side_name(a));
}
