/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/host.h"

#include <stdlib.h>

#include "sim/pcap.h"
#include "sim/sim.h"
#include "wire/split.h"

enum {
	FORWARD_RING = 1024,
	PORT_BLOCK = 4096, /* local ports of a worker */
	BLOCK_BASE = 32768,
	POLL_STEP_NS = 500, /* an engine that asks to be polled at once is polled after so long */
	IDLE_SPINS_MAX = 100000,
	RX_QUEUE = 1024, /* frames that wait for a worker */
	RX_BURST = 32
};

bool sn_sim_path_v6(const struct sn_sim_cfg *c, uint32_t path)
{
	return c->family == SN_SIM_IPV6 || (c->family == SN_SIM_MIXED && path % 2);
}

struct sn_addr sn_sim_host_addr(const struct sn_sim_cfg *c, uint32_t side, uint32_t path)
{
	struct sn_addr v6 = {.b = {0xfd, [7] = (uint8_t)path, [15] = (uint8_t)(side + 1)}};

	return sn_sim_path_v6(c, path) ? v6 : sn_addr_v4(sn_sim_host_ipv4(side, path));
}

static uint32_t frame_hash(const struct sn_buf *b)
{
	const uint8_t *ip = b->data + 14;
	struct sn_sim_frame f;

	if (sn_sim_frame_parse(&f, b) && f.v6) {
		uint64_t tuple = sn_get32(f.tcp);
		for (uint32_t i = 8; i < 40; i += 8)
			tuple = sn_rng_mix(tuple ^ sn_get64(f.ip + i));
		return (uint32_t)(tuple >> 16);
	}
	if (b->len < 14 + 20 + 4 || sn_get16(b->data + 12) != 0x0800 || (ip[0] & 15u) * 4u + 4 > b->len - 14)
		return 0;
	const uint8_t *l4 = ip + (ip[0] & 15u) * 4;
	uint64_t tuple = (uint64_t)sn_get32(ip + 12) << 32 | sn_get32(ip + 16);
	return (uint32_t)(sn_rng_mix(tuple ^ sn_rng_mix(ip[9] == 6 ? sn_get32(l4) : 0)) >> 16);
}

/* The receive queue a NIC would choose; what is not TCP goes to queue 0. */
static uint32_t queue_of(const struct sn_sim_host *h, const struct sn_buf *b)
{
	if (h->workers == 1 || h->sim->cfg->steering == SN_SIM_FIRST)
		return 0;
	const uint8_t *ip = b->data + 14, *tcp = ip + 20;
	struct sn_sim_frame f;
	if (sn_sim_frame_parse(&f, b) && f.v6)
		tcp = f.tcp;
	else if (b->len < 14 + 40 || sn_get16(b->data + 12) != 0x0800 || ip[9] != 6 || (ip[0] & 15u) != 5)
		return 0;
	if (h->sim->cfg->steering == SN_SIM_BLOCKS) {
		uint32_t block = ((uint32_t)sn_get16(tcp + 2) - BLOCK_BASE) / PORT_BLOCK;
		if (block < h->workers)
			return block;
	}
	return frame_hash(b) % h->workers;
}

/* One frame whose headers stand in b already: the payload behind them, and away it goes. Takes b. */
static void send_frame(struct sn_sim_host *h, uint16_t port, struct sn_buf *b, const struct sn_tx *tx)
{
	struct sn_sim *sim = h->sim;

	for (uint32_t r = 0; r < tx->nref; r++) {
		memcpy(b->data + b->len, tx->ref[r].data, tx->ref[r].len);
		b->len += tx->ref[r].len;
	}
	b->port = port;
	if (h->pcap)
		sn_sim_pcap_write(h->pcap, sim->now, port, true, b->data, b->len);
	if (sim->segments)
		sn_sim_segments_row(sim->segments, sim->now, h->side, true, port, b);
	sn_sim_send(sim, h->side, port, b);
}

/* Is what the engine hands over in order? */
static bool fits(const struct sn_sim *sim, const struct sn_tx *tx)
{
	uint32_t payload = 0, most = 14 + (sim->cfg->mtu ? sim->cfg->mtu : 1500);

	for (uint32_t r = 0; r < tx->nref; r++)
		payload += tx->ref[r].len;
	if (payload != tx->payload_len)
		return false;
	if (!tx->segs)
		return tx->hdr->len + payload <= most;
	return tx->segs > 1 && tx->hdr->len + tx->seg_size <= most && payload <= SN_UNIT_MAX &&
	       payload > (tx->segs - 1u) * tx->seg_size && payload <= (uint32_t)tx->segs * tx->seg_size;
}

static void hook_tx(void *ctx, uint16_t port, struct sn_tx *v, uint32_t n)
{
	struct sn_sim_worker *w = ctx;
	struct sn_sim_host *h = w->host;
	struct sn_sim *sim = h->sim;
	struct sn_sim_pool *to = &sim->host[!h->side].pool;

	for (uint32_t i = 0; i < n; i++) {
		struct sn_tx one = v[i];
		struct sn_split cut;

		if (!fits(sim, &v[i]))
			sn_sim_fail(sim, "host %c sends a frame of %u and %u bytes in %u pieces for %u segments of %u",
				    'A' + (int)h->side, v[i].hdr->len, v[i].payload_len, v[i].nref, v[i].segs,
				    v[i].seg_size);
		else if (v[i].segs)
			sn_split_begin(&cut, &v[i]);
		do {
			struct sn_buf *b = sn_sim_failed(sim) || port >= h->paths ? NULL : sn_buf_alloc(&to->pool);
			if (!b)
				break;
			b->len = v[i].hdr->len;
			if (v[i].segs)
				sn_split_next(&cut, b->data, &one);
			else
				memcpy(b->data, v[i].hdr->data, b->len);
			send_frame(h, port, b, &one);
		} while (v[i].segs && !sn_split_done(&cut));
		sn_buf_free(v[i].hdr);
	}
}

static bool hook_forward(void *ctx, uint32_t worker, struct sn_buf *b)
{
	struct sn_sim_worker *from = ctx;
	if (worker >= from->host->workers || worker == from->index) {
		sn_sim_fail(from->host->sim, "host %c worker %u forwards to worker %u", 'A' + (int)from->host->side,
			    from->index, worker);
		return false;
	}
	struct sn_sim_worker *to = &from->host->worker[worker];
	if (to->inbox_len == FORWARD_RING || from->host->plight.forward > from->host->sim->now)
		return false;
	b->flags |= SN_BUF_FORWARDED;
	b->next = NULL;
	*to->inbox_tail = b;
	to->inbox_tail = &b->next;
	to->inbox_len++;
	return true;
}

static void hook_random(void *ctx, void *out, size_t n)
{
	struct sn_sim_worker *w = ctx;
	sn_rng_fill(&w->rng, out, n);
}

static bool worker_init(struct sn_sim_worker *w, struct sn_sim_host *h, uint32_t index)
{
	const struct sn_sim_cfg *c = h->sim->cfg;
	uint32_t side = h->side;

	*w = (struct sn_sim_worker){.host = h, .index = index, .rng = sn_rng_seed(c->seed, 0x2000 + side * 16 + index)};
	w->inbox_tail = &w->inbox;
	w->queue_tail = &w->queue;

	struct sn_engine_cfg ec;
	sn_engine_cfg_default(&ec);
	ec.worker = index;
	ec.workers = h->workers;
	ec.block_base = BLOCK_BASE;
	ec.port_base = (uint16_t)(BLOCK_BASE + index * PORT_BLOCK);
	ec.port_count = PORT_BLOCK;
	ec.max_conns = 64;
	ec.max_subflows = 64 * 8;
	ec.max_segs = c->segs ? c->segs : 65536;
	ec.max_chunks = 16384;
	ec.max_listeners = 8;
	if (c->rcvbuf)
		ec.rcvbuf = c->rcvbuf;
	if (c->tcp_engine[0])
		ec.tcp_engine = c->tcp_engine;
	if (c->cc[0])
		ec.cc = c->cc;
	if (c->profile[0] && !sn_tcp_cfg_profile(&ec.tcp, c->profile))
		return false;
	if (side && c->cc_b[0])
		ec.cc = c->cc_b;
	if (c->ecn)
		ec.tcp.ecn = c->ecn - 1;
	ec.tcp.pacing = c->pacing;
	if (side ? c->sched_b : c->sched_a)
		ec.sched = side ? c->sched_b : c->sched_a;
	ec.csum = side ? c->csum_b : c->csum_a;
	if (c->rto_min_ns)
		ec.tcp.rto_min = c->rto_min_ns;
	ec.limits = (struct sn_pm_limits){.subflows = c->subflows, .add_addr_accepted = c->add_addr_accepted};
	ec.pool = &h->pool.pool;
	ec.hooks = (struct sn_engine_hooks){.ctx = w, .tx = hook_tx, .forward = hook_forward, .random = hook_random};
	struct sn_rng secret = sn_rng_seed(c->seed, 0x3000 + side);
	sn_rng_fill(&secret, ec.secret, sizeof ec.secret);

	w->size = (sn_engine_footprint(&ec) + 4095) & ~(size_t)4095;
	w->mem = aligned_alloc(4096, w->size);
	w->engine = w->mem ? sn_engine_init(w->mem, w->size, &ec, h->sim->now) : NULL;
	if (!w->engine)
		return false;
	for (uint32_t p = 0; p < h->paths; p++) {
		struct sn_net_port_cfg pc = {
			.mac = {2, 0, 0, 0, (uint8_t)p, (uint8_t)(side + 1)},
			.mtu = (uint16_t)(c->mtu ? c->mtu : 1500),
			.tx_csum = !h->sim->soft_csum,
			.unit_max = c->single ? 0 : SN_UNIT_MAX,
		};
		struct sn_addr own = sn_sim_host_addr(c, side, p), none = {0};
		struct sn_addr gateway = c->pm & SN_SIM_PM_SUBFLOW ? sn_sim_host_addr(c, !side, p) : none;
		if (sn_sim_path_v6(c, p)) {
			pc.addr6 = own;
			pc.prefix6 = 64;
			pc.gateway6 = gateway;
		} else {
			pc.addr = own;
			pc.prefix = 24;
			pc.gateway = gateway;
		}
		if (sn_engine_port_add(w->engine, &pc) != (int32_t)p)
			return false;
		struct sn_endpoint ep = {.id = (uint8_t)(p + 1), .nic_port = (uint16_t)p};
		memcpy(ep.addr, own.b, sizeof ep.addr);
		if (side == 1 && (c->pm & SN_SIM_PM_SIGNAL))
			ep.flags = SN_EP_SIGNAL;
		if (side == 0 && (c->pm & (SN_SIM_PM_SUBFLOW | SN_SIM_PM_FULLMESH)))
			ep.flags = (uint8_t)(SN_EP_SUBFLOW | (c->pm & SN_SIM_PM_FULLMESH ? SN_EP_FULLMESH : 0) |
					     (c->pm & SN_SIM_PM_BACKUP ? SN_EP_BACKUP : 0));
		/* The initial subflow's own address needs no endpoint. */
		if (p && ep.flags && sn_engine_endpoint_add(w->engine, &ep, h->sim->now) != SN_OK)
			return false;
	}
	/* The first poll comes as an event, when both hosts exist. */
	w->deadline = h->sim->now;
	return true;
}

bool sn_sim_host_init(struct sn_sim_host *h, struct sn_sim *sim, uint32_t side)
{
	const struct sn_sim_cfg *c = sim->cfg;

	h->sim = sim;
	h->side = side;
	h->paths = c->paths;
	h->workers = side ? c->workers_b : c->workers_a;
	if (!h->workers)
		h->workers = 1;
	sn_sim_pool_init(&h->pool, &sim->now, &h->plight, c->seed + side);
	if (c->pcap[0]) {
		char name[sizeof c->pcap + 16];
		snprintf(name, sizeof name, "%s-%c.pcapng", c->pcap, side ? 'b' : 'a');
		h->pcap = sn_sim_pcap_open(name, side ? "b-path" : "a-path", c->paths);
		if (!h->pcap) {
			sn_sim_fail(sim, "cannot write %s", name);
			return false;
		}
	}
	for (uint32_t i = 0; i < h->workers; i++)
		if (!worker_init(&h->worker[i], h, i)) {
			sn_sim_fail(sim, "host %c: the engine refuses its configuration", 'A' + (int)side);
			return false;
		}
	return true;
}

void sn_sim_host_close(struct sn_sim_host *h)
{
	for (uint32_t i = 0; i < h->workers; i++) {
		sn_buf_free_chain(h->worker[i].queue);
		sn_buf_free_chain(h->worker[i].inbox);
		free(h->worker[i].mem);
	}
	if (h->pcap)
		fclose(h->pcap);
	sn_sim_pool_close(&h->pool);
}

sn_time sn_sim_worker_now(const struct sn_sim_worker *w) { return w->host->sim->now + w->leap; }

/* Frames that came while the worker was stopped or its NIC waited for more, in bursts. */
static void drain_queue(struct sn_sim_worker *w)
{
	while (w->queue) {
		struct sn_buf *v[RX_BURST];
		uint32_t n = 0;
		for (; n < RX_BURST && w->queue; n++) {
			v[n] = w->queue;
			w->queue = v[n]->next;
			v[n]->next = NULL;
		}
		sn_engine_rx(w->engine, v, n, sn_sim_worker_now(w));
	}
	w->queue_tail = &w->queue;
	w->queue_len = 0;
}

void sn_sim_worker_poll(struct sn_sim_worker *w)
{
	struct sn_sim *sim = w->host->sim;
	uint32_t work = 0;

	if (w->stopped > sim->now) {
		w->deadline = w->stopped;
		return;
	}
	drain_queue(w);
	sn_time next = sn_engine_poll(w->engine, sn_sim_worker_now(w), &work);

	if (next != SN_TIME_NEVER)
		next = next > w->leap ? next - w->leap : 0;

	if (next > sim->now) {
		w->deadline = next;
		w->idle_spins = 0;
		return;
	}
	w->deadline = sim->now + POLL_STEP_NS;
	w->idle_spins = work ? 0 : w->idle_spins + 1;
	if (w->idle_spins == IDLE_SPINS_MAX)
		sn_sim_fail(sim, "host %c worker %u asks to be polled again and again but does nothing",
			    'A' + (int)w->host->side, w->index);
}

bool sn_sim_worker_inbox(struct sn_sim_worker *w)
{
	struct sn_buf *b = w->inbox;
	if (!b || w->stopped > w->host->sim->now)
		return false;
	w->inbox = NULL;
	w->inbox_tail = &w->inbox;
	w->inbox_len = 0;
	while (b) {
		struct sn_buf *next = b->next;
		b->next = NULL;
		sn_engine_rx(w->engine, &b, 1, sn_sim_worker_now(w));
		b = next;
	}
	sn_sim_worker_poll(w);
	return true;
}

void sn_sim_host_rx(struct sn_sim_host *h, uint16_t port, struct sn_buf *b)
{
	struct sn_sim *sim = h->sim;
	struct sn_sim_worker *w = &h->worker[queue_of(h, b)];

	b->port = port;
	if (!sim->soft_csum)
		b->flags |= SN_BUF_CSUM_GOOD;
	if (h->pcap)
		sn_sim_pcap_write(h->pcap, sim->now, port, false, b->data, b->len);
	if (sim->segments)
		sn_sim_segments_row(sim->segments, sim->now, h->side, false, port, b);
	if (w->stopped > sim->now || sim->cfg->rx_wait_ns) {
		if (w->queue_len == RX_QUEUE) {
			sn_buf_free(b);
			return;
		}
		if (w->stopped <= sim->now)
			w->deadline = SN_MIN(w->deadline, sim->now + sim->cfg->rx_wait_ns);
		*w->queue_tail = b;
		w->queue_tail = &b->next;
		w->queue_len++;
		return;
	}
	sn_engine_rx(w->engine, &b, 1, sn_sim_worker_now(w));
	sn_sim_worker_poll(w);
}
