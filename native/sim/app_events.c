/* SPDX-License-Identifier: Apache-2.0
 *
 * What a worker tells the application, and whether it may.
 */
#include "sim/sim.h"

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

static void on_accept(struct sn_sim_app *a, uint32_t worker, const struct sn_cqe *e)
{
	if (a->accepted == a->conns) {
		sn_sim_fail(a->sim, "a connection too many was accepted, from port %u", e->port);
		return;
	}
	struct sn_sim_conn *k = &a->conn[a->accepted++];
	k->worker = worker;
	k->conn = e->conn;
	struct sn_sim_middle *box = &a->sim->box[0];
	uint16_t cport = box->cfg->flags & SN_SIM_BOX_NAT ? sn_sim_nat_inside(box, e->port) : e->port;
	name_streams(a, k, cport);
	const struct sn_sim_conn *client = sn_sim_app_peer(a, k);
	k->hopeless = sn_sim_app_tolerant(a) && (!client || client->closed);
	struct sn_sqe take = {.op = SN_OP_ACCEPT, .conn = e->conn};
	if (!sn_channel_sq_push(&a->ch[worker].app, &take))
		sn_sim_fail(a->sim, "the server's submission ring is full at accept");
}

/* The last acknowledgment may be lost and the peer's record gone: who closes in a hurry cannot know that all arrived. */
static bool vain(const struct sn_sim_app *a, const struct sn_sim_conn *k)
{
	const struct sn_sim_conn *peer = sn_sim_app_peer(a, k);

	return k->close_sent && peer && peer->rx_got == peer->rx_total &&
	       (peer->closed || peer->close_sent || peer->eof);
}

void sn_sim_app_complete(struct sn_sim_app *a, uint32_t worker, const struct sn_cqe *e)
{
	struct sn_sim *sim = a->sim;

	switch (e->op) {
	case SN_CQ_LISTENING:
		if (e->res)
			sn_sim_fail(sim, "listen fails: %s", strerror(-e->res));
		a->all_listen = ++a->listening == a->workers;
		return;
	case SN_CQ_CONNECTED: {
		struct sn_sim_conn *k = e->user < a->conns ? &a->conn[e->user] : NULL;
		if (k && e->res && !k->open && sn_sim_app_tolerant(a)) {
			k->closed = k->failed = true;
			sim->res->errors++;
			sim->last_progress = sim->now;
			return;
		}
		if (e->res || !k || k->open) {
			sn_sim_fail(sim, "connect %llu fails: %s", (unsigned long long)e->user, strerror(-e->res));
			return;
		}
		k->conn = e->conn;
		k->began = sim->now;
		name_streams(a, k, e->lport);
		if (e->flags & SN_CQF_MPTCP)
			sim->res->mptcp_conns++;
		else
			sim->res->tcp_conns++;
		return;
	}
	case SN_CQ_ACCEPT: on_accept(a, worker, e); return;
	case SN_CQ_ERROR:
		if (sn_sim_app_tolerant(a))
			return;
		sn_sim_fail(sim, "host %c: a submission for connection %u is refused with %d", sn_sim_app_name(a),
			    e->conn, e->res);
		return;
	default: break;
	}

	struct sn_sim_conn *k = find(a, worker, e->conn);
	if (!k) {
		sn_sim_fail(sim, "host %c: completion %u for the unknown connection %u", sn_sim_app_name(a), e->op,
			    e->conn);
		return;
	}
	switch (e->op) {
	case SN_CQ_RECV: {
		uint32_t next = (k->rx_tail + 1) % k->rx_cap;
		if (k->eof || (k->close_sent && !k->hopeless) || next == k->rx_head || !e->len) {
			sn_sim_fail(sim, "host %c: %u bytes arrive %s", sn_sim_app_name(a), e->len,
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
		if (a->side)
			sn_sim_message_got(a, k, k->rx_got - e->len);
		if (k->rx_got > k->rx_total)
			sn_sim_fail(sim, "host %c: %llu bytes arrive where %llu were sent", sn_sim_app_name(a),
				    (unsigned long long)k->rx_got, (unsigned long long)k->rx_total);
		return;
	}
	case SN_CQ_SENT:
		k->tx_back += e->len;
		if (k->tx_back > k->tx_sub)
			sn_sim_fail(sim, "host %c: more send memory comes back than was given", sn_sim_app_name(a));
		return;
	case SN_CQ_EOF:
		if (k->eof || (k->rx_got != k->rx_total && !(sim->cfg->allow & SN_SIM_ALLOW_BYTES)))
			sn_sim_fail(sim, "host %c: EOF after %llu of %llu bytes", sn_sim_app_name(a),
				    (unsigned long long)k->rx_got, (unsigned long long)k->rx_total);
		k->eof = true;
		sim->last_progress = sim->now;
		return;
	case SN_CQ_CLOSED:
		k->closed = true;
		sim->last_progress = sim->now;
		k->failed = e->res != 0;
		if (k->failed && (sn_sim_app_tolerant(a) || vain(a, k))) {
			sim->res->errors++;
			return;
		}
		/* It may end by itself once both sides are through. */
		if (e->res || !(k->close_sent || (k->shut && k->eof && k->tx_back == k->tx_total)))
			sn_sim_fail(sim,
				    "host %c: the connection ends with %d %s, sent %llu of %llu, received %llu of %llu",
				    sn_sim_app_name(a), e->res, k->close_sent ? "after CLOSE" : "by itself",
				    (unsigned long long)k->tx_back, (unsigned long long)k->tx_total,
				    (unsigned long long)k->rx_got, (unsigned long long)k->rx_total);
		return;
	default: sn_sim_fail(sim, "host %c: unknown completion %u", sn_sim_app_name(a), e->op);
	}
}
