/* SPDX-License-Identifier: Apache-2.0 */
#include "lcore/runtime.h"

#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "port/error.h"

const char *sn_last_error(void) { return sn_fail_text(); }
const char *sn_dpdk_version(void) { return sn_port_eal_version(); }
int sn_eal_init(int argc, char **argv) { return sn_port_eal_init(argc, argv); }
void sn_eal_fini(char *dir, size_t size) { sn_port_eal_fini(dir, size); }

/* Payload references in the ports' hands at a time: a burst for every port. */
static uint32_t refs_wanted(const struct sn_runtime_cfg *cfg) { return (cfg->ports + 1) * SN_TX_BURST * SN_TX_REFS; }

/* Bytes of the longest frame a driver may put into one buffer. */
static uint32_t frame_wanted(const struct sn_runtime_cfg *cfg, const struct sn_port_cfg *ports)
{
	uint32_t mtu = 1500;
	for (uint32_t i = 0; i < cfg->ports; i++)
		mtu = SN_MAX(mtu, (uint32_t)ports[i].mtu);
	/* Ethernet, two VLAN tags, CRC; what a packet socket puts in front; in steps as its frames have. */
	return (mtu + 26 + 96 + 1023) & ~1023u;
}

uint32_t sn_runtime_memory_mb(const struct sn_runtime_cfg *cfg, const struct sn_port_cfg *ports)
{
	size_t pools = cfg->workers * sn_bufs_footprint(cfg->bufs, frame_wanted(cfg, ports), refs_wanted(cfg));
	/* Pools want large contiguous pieces, drivers and EAL some more. */
	return (uint32_t)((pools + pools / 8) >> 20) + 32 + 4 * cfg->ports;
}

static void *map_shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

static void set(uint32_t *to, uint32_t value)
{
	if (value)
		*to = value;
}

static void engine_cfg(struct sn_runtime *rt)
{
	const struct sn_runtime_cfg *c = &rt->cfg;
	struct sn_engine_cfg *e = &rt->engine_cfg;

	sn_engine_cfg_default(e);
	e->workers = c->workers;
	e->block_base = (uint16_t)c->block_base;
	e->port_count = (uint16_t)c->block_ports;
	set(&e->max_conns, c->max_conns);
	set(&e->max_subflows, c->max_subflows);
	set(&e->max_segs, c->max_segs);
	set(&e->max_chunks, c->max_chunks);
	set(&e->max_listeners, c->max_listeners);
	set(&e->rcvbuf, c->rcvbuf);
	e->limits.subflows = c->limit_subflows;
	e->limits.add_addr_accepted = c->limit_add_addr;
	if (c->rto_min_us)
		e->tcp.rto_min = c->rto_min_us * SN_USEC;
	if (c->time_wait_ms)
		e->tcp.time_wait = c->time_wait_ms * SN_MSEC;
	if (c->fin_wait_ms)
		e->tcp.fin_wait = c->fin_wait_ms * SN_MSEC;
	set(&e->tcp.max_orphans, c->max_orphans);
	if (c->cookies)
		e->tcp.cookies = (uint8_t)(c->cookies - SN_COOKIES_CFG_OFF + SN_COOKIES_OFF);
	if (c->sched)
		e->sched = c->sched;
	e->csum = c->csum;
	e->no_join = c->no_join;
	/* The strings lie in the shared mapping: valid in every process. */
	if (c->cc[0])
		e->cc = rt->cfg.cc;
	if (c->tcp_engine[0])
		e->tcp_engine = rt->cfg.tcp_engine;
	memcpy(e->secret, c->secret, sizeof e->secret);
}

static bool make_rings(struct sn_runtime *rt)
{
	uint32_t n = rt->cfg.workers;
	size_t one = (sn_ptr_ring_footprint(SN_FWD_ENTRIES) + SN_CACHE_LINE - 1) & ~(size_t)(SN_CACHE_LINE - 1);

	rt->rings_size = SN_MAX(one * 2 * n * n, (size_t)4096);
	uint8_t *at = rt->rings = map_shared(rt->rings_size);
	if (!at)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		for (uint32_t j = 0; j < n; j++) {
			rt->fwd[i][j] = sn_ptr_ring_init(at, SN_FWD_ENTRIES);
			rt->home[i][j] = sn_ptr_ring_init(at + one, SN_FWD_ENTRIES);
			at += 2 * one;
		}
	}
	return true;
}

static bool make_lcores(struct sn_runtime *rt)
{
	rt->engine_size = (sn_engine_footprint(&rt->engine_cfg) + 4095) & ~(size_t)4095;
	for (uint32_t i = 0; i < rt->cfg.workers; i++) {
		struct sn_lcore *l = &rt->lcore[i];
		l->door = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		l->engine = map_shared(rt->engine_size);
		if (l->door < 0 || !l->engine)
			return false;
	}
	return true;
}

static enum sn_err make_pools(struct sn_runtime *rt, const struct sn_port_cfg *ports)
{
	uint32_t frame = frame_wanted(&rt->cfg, ports);
	for (uint32_t i = 0; i < rt->cfg.workers; i++) {
		enum sn_err err =
			sn_bufs_create(&rt->bufs[i], rt->cfg.name, i, rt->cfg.bufs, frame, refs_wanted(&rt->cfg));
		if (err)
			return err;
		for (uint32_t j = 0; j < rt->cfg.workers; j++)
			rt->bufs[i].home[j] = rt->home[j][i];
	}
	return SN_OK;
}

static struct sn_addr addr_of(const uint8_t raw[16])
{
	struct sn_addr a;
	memcpy(a.b, raw, sizeof a.b);
	return a;
}

static enum sn_err open_ports(struct sn_runtime *rt, const struct sn_port_cfg *ports)
{
	for (uint32_t i = 0; i < rt->cfg.ports; i++) {
		const struct sn_port_cfg *c = &ports[i];
		struct sn_port_open o = {
			.name = c->name,
			.device = c->device,
			.ifindex = c->ifindex,
			.mtu = c->mtu,
			.vlan = c->vlan,
			.queues = (uint16_t)rt->cfg.workers,
			.addr6 = addr_of(c->addr6),
			.frame_size = c->frame_size,
			.frames = c->frames,
			.pools = rt->bufs,
		};
		enum sn_err err = sn_port_open(&rt->port[i], (uint16_t)i, &o);
		if (err)
			return err;
		rt->ports++;
		struct sn_net_port_cfg *n = &rt->net[i];
		memcpy(n->mac, rt->port[i].mac, sizeof n->mac);
		n->addr = addr_of(c->addr);
		n->gateway = addr_of(c->gateway);
		n->prefix = c->prefix;
		n->addr6 = o.addr6;
		n->gateway6 = addr_of(c->gateway6);
		n->prefix6 = c->prefix6;
		n->mtu = c->mtu;
		n->tx_csum = rt->port[i].tx_csum;
		n->held = c->held;
		n->routes[SN_FAMILY_4] = c->routes;
		n->routes[SN_FAMILY_6] = c->routes6;
		memcpy(n->route[SN_FAMILY_4], c->route, sizeof c->route);
		memcpy(n->route[SN_FAMILY_6], c->route6, sizeof c->route6);
		n->unit_max = rt->port[i].unit_max;
	}
	return SN_OK;
}

struct sn_runtime *sn_runtime_create(const struct sn_runtime_cfg *cfg, const struct sn_port_cfg *ports)
{
	if (!cfg->workers || cfg->workers > SN_MAX_WORKERS || cfg->ports > SN_MAX_PORTS) {
		sn_fail(SN_E_INVAL, "%u workers and %u ports: 1 to %d workers and up to %d ports are possible",
			cfg->workers, cfg->ports, SN_MAX_WORKERS, SN_MAX_PORTS);
		return NULL;
	}
	if (!cfg->block_ports || (cfg->block_ports & (cfg->block_ports - 1)) ||
	    cfg->block_base + (uint64_t)cfg->block_ports * cfg->workers > 65536) {
		sn_fail(SN_E_INVAL, "%u workers with %u local ports each do not fit above port %u", cfg->workers,
			cfg->block_ports, cfg->block_base);
		return NULL;
	}
	struct sn_runtime *rt = map_shared(sizeof *rt);
	if (!rt) {
		sn_fail(SN_E_NOMEM, "no memory for %zu bytes of shared state", sizeof *rt);
		return NULL;
	}
	rt->cfg = *cfg;
	rt->size = sizeof *rt;
	for (uint32_t i = 0; i < SN_MAX_WORKERS; i++)
		rt->lcore[i].door = -1;
	engine_cfg(rt);
	if (!make_rings(rt) || !make_lcores(rt)) {
		sn_fail(SN_E_NOMEM, "no memory for the tables of %u workers (%zu MB each): lower max_conns",
			cfg->workers, rt->engine_size >> 20);
	} else if (make_pools(rt, ports) == SN_OK && open_ports(rt, ports) == SN_OK) {
		return rt;
	}
	sn_runtime_destroy(rt);
	return NULL;
}

void sn_runtime_destroy(struct sn_runtime *rt)
{
	while (rt->ports)
		sn_port_close(&rt->port[--rt->ports]);
	for (uint32_t i = 0; i < rt->cfg.workers; i++) {
		if (rt->bufs[i].mp)
			sn_bufs_destroy(&rt->bufs[i]);
		if (rt->lcore[i].engine)
			munmap(rt->lcore[i].engine, rt->engine_size);
		if (rt->lcore[i].door >= 0)
			close(rt->lcore[i].door);
	}
	if (rt->rings)
		munmap(rt->rings, rt->rings_size);
	munmap(rt, rt->size);
}

const struct sn_cnc *sn_runtime_cnc(const struct sn_runtime *rt, uint32_t worker)
{
	return worker < rt->cfg.workers ? &rt->lcore[worker].cnc : NULL;
}

int sn_runtime_door(const struct sn_runtime *rt, uint32_t worker)
{
	return worker < rt->cfg.workers ? rt->lcore[worker].door : -1;
}

void sn_runtime_worker_gone(struct sn_runtime *rt, uint32_t worker)
{
	if (worker >= rt->cfg.workers)
		return;
	struct sn_lcore *l = &rt->lcore[worker];
	l->cnc.state = SN_CNC_FAIL;
	l->cnc.restarts++;
	sn_door_cancel(&l->sleeps);
	__atomic_store_n(&l->epoch, l->epoch + 1, __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < rt->cfg.workers; i++)
		if (i != worker)
			sn_door_ring(rt->lcore[i].door);
}

int sn_runtime_port_view(const struct sn_runtime *rt, uint32_t port, struct sn_port_view *out)
{
	struct sn_port_stats s;

	if (port >= rt->ports)
		return sn_fail(SN_E_INVAL, "there is no port %u", port);
	const struct sn_port *p = &rt->port[port];
	memset(out, 0, sizeof *out);
	snprintf(out->driver, sizeof out->driver, "%s", p->driver);
	memcpy(out->mac, p->mac, sizeof out->mac);
	out->queues = p->queues;
	out->tx_csum = p->tx_csum;
	out->rx_csum = p->rx_csum;
	out->tso = p->tso;
	out->copies = p->copies;
	out->flow_rules = p->flow_rules;
	out->can_sleep = 1;
	for (uint32_t q = 0; q < p->queues; q++) {
		out->can_sleep &= p->queue[q].wait_fd >= 0;
		out->tx_full += p->queue[q].tx_full;
		out->tx_nobuf += p->queue[q].tx_nobuf;
		out->rx_bad += p->queue[q].rx_bad;
	}
	sn_port_stats(p, &s);
	out->link_up = s.link_up != 0;
	out->rx_packets = s.rx_packets;
	out->tx_packets = s.tx_packets;
	out->rx_bytes = s.rx_bytes;
	out->tx_bytes = s.tx_bytes;
	out->rx_missed = s.rx_missed;
	out->rx_errors = s.rx_errors;
	out->tx_errors = s.tx_errors;
	out->rx_nobuf = s.rx_nobuf;
	out->rules = s.flow_rules;
	return SN_OK;
}

void sn_runtime_addresses_ready(struct sn_runtime *rt)
{
	for (uint32_t i = 0; i < rt->ports; i++)
		rt->net[i].held = 0;
}

int32_t sn_runtime_flow_ask(struct sn_runtime *rt, uint32_t port, uint32_t worker, const uint8_t *laddr, uint16_t lport,
			    const uint8_t *raddr, uint16_t rport)
{
	struct sn_flow flow = {.lport = lport, .rport = rport};

	if (port >= rt->ports || worker >= rt->cfg.workers)
		return sn_fail(SN_E_INVAL, "there is no port %u or no worker %u", port, worker);
	memcpy(flow.local.b, laddr, 16);
	memcpy(flow.remote.b, raddr, 16);
	return sn_port_flow_ask(&rt->port[port], worker, &flow);
}

int sn_runtime_flow_drop(struct sn_runtime *rt, uint32_t port, int32_t rule)
{
	return port < rt->ports ? sn_port_flow_drop(&rt->port[port], rule)
				: sn_fail(SN_E_INVAL, "there is no port %u", port);
}
