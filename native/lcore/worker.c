/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker's poll loop. One round: receive from every port's queue, from siblings, run the engine, show the heartbeat.
 *
 * Idle ladder: after the last work go on polling for `spin`, then ask everybody who may bring work for a wake-up (door
 * protocol, shm/door.h), look again, and block until the engine's next deadline, 50 ms at most. --poll busy never blocks.
 */
#include "lcore/lcore.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "port/error.h"

#define LONGEST_SLEEP (40 * SN_MSEC)

static sn_time clock_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (sn_time)t.tv_sec * SN_SEC + (sn_time)t.tv_nsec;
}

/* --- hooks of the engine ----------------------------------------------------------------------------------------- */

static void hook_tx(void *ctx, uint16_t port, struct sn_tx *v, uint32_t n)
{
	struct sn_worker *w = ctx;
	struct sn_port_queue *q = &w->rt->port[port].queue[w->index];
	uint64_t full = q->tx_full, nobuf = q->tx_nobuf;

	sn_port_tx(&w->rt->port[port], w->index, v, n, w->now);
	if (SN_LIKELY(w->engine)) {
		w->engine->counters.tx_full += q->tx_full - full;
		w->engine->counters.tx_nobuf += q->tx_nobuf - nobuf;
	}
}

static void hook_random(void *ctx, void *out, size_t n)
{
	(void)ctx;
	uint8_t *p = out;
	while (n) {
		ssize_t got = getrandom(p, n, 0);
		if (got < 0 && errno != EINTR)
			abort(); /* no randomness, no keys: nothing sensible can be done */
		if (got > 0) {
			p += got;
			n -= (size_t)got;
		}
	}
}

/* --- take-over --------------------------------------------------------------------------------------------------- */

static struct sn_engine *make_engine(struct sn_worker *w)
{
	struct sn_runtime *rt = w->rt;
	struct sn_engine_cfg cfg = rt->engine_cfg;

	cfg.worker = w->index;
	cfg.port_base = (uint16_t)(cfg.block_base + w->index * cfg.port_count);
	cfg.pool = &w->bufs->pool;
	cfg.hooks =
		(struct sn_engine_hooks){.ctx = w, .tx = hook_tx, .forward = sn_lcore_forward, .random = hook_random};
	if (w->me->engine_ready) {
		/* A death in here leaves a region that is not an engine: the next process starts afresh. */
		w->me->engine_ready = false;
		struct sn_engine *e = sn_engine_recover(w->me->engine, rt->engine_size, &cfg, w->now);
		if (e)
			return e;
	}
	struct sn_engine *e = sn_engine_init(w->me->engine, rt->engine_size, &cfg, w->now);
	for (uint32_t i = 0; e && i < rt->ports; i++)
		if (sn_engine_port_add(e, &rt->net[i]) != (int32_t)i)
			return NULL;
	return e;
}

/* Our predecessor died: what it held is free, what its siblings lent it is theirs again. */
static enum sn_err take_over(struct sn_worker *w)
{
	struct sn_runtime *rt = w->rt;
	enum sn_err err = SN_OK;

	for (uint32_t i = 0; !err && i < rt->ports; i++)
		err = sn_port_queue_stop(&rt->port[i], w->index);
	if (!err)
		sn_bufs_reset(w->bufs);
	for (uint32_t i = 0; !err && i < rt->ports; i++)
		err = sn_port_queue_start(&rt->port[i], w->index);
	return err;
}

struct sn_worker *sn_worker_create(struct sn_runtime *rt, uint32_t index, struct sn_ring *control, int control_door)
{
	struct sn_worker *w = index < rt->cfg.workers ? calloc(1, sizeof *w) : NULL;
	if (!w) {
		sn_fail(SN_E_NOMEM, "no memory for worker %u", index);
		return NULL;
	}
	w->rt = rt;
	w->me = &rt->lcore[index];
	w->index = index;
	w->bufs = &rt->bufs[index];
	w->control = control;
	w->control_door = control_door;
	w->workers = rt->cfg.workers;
	w->ports = rt->ports;
	w->busy_poll = rt->cfg.busy_poll;
	w->spin = rt->cfg.spin_us * SN_USEC;
	w->now = clock_now();
	w->doors = epoll_create1(EPOLL_CLOEXEC);
	char name[24]; /* the kernel keeps 15 */
	snprintf(name, sizeof name, "sennit-w%u", index);
	prctl(PR_SET_NAME, name);
	/* Without the control process nobody would ever stop us: end connections and leave. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	w->me->cnc.state = SN_CNC_BOOT;
	w->me->cnc.pid = (uint32_t)getpid();
	w->me->cnc.heartbeat = w->now;
	if (w->doors < 0 || (w->me->epoch && take_over(w))) {
		free(w);
		return NULL;
	}
	sn_worker_siblings(w);
	w->engine = make_engine(w);
	if (!w->engine) {
		sn_fail(SN_E_NOMEM, "worker %u: its engine does not fit %zu MB or its settings are out of range", index,
			rt->engine_size >> 20);
		close(w->doors);
		free(w);
		return NULL;
	}
	w->me->engine_ready = true;
	return w;
}

void sn_worker_set_state(struct sn_worker *w, uint32_t state)
{
	__atomic_store_n(&w->me->cnc.state, state, __ATOMIC_RELEASE);
}

/* --- sleeping ---------------------------------------------------------------------------------------------------- */

static bool look_again(const struct sn_worker *w)
{
	return sn_engine_pending(w->engine) || sn_lcore_waiting(w) || (w->control && sn_ring_pending(w->control));
}

static void prepare(struct sn_worker *w)
{
	for (uint32_t i = 0; i < w->engine->channels; i++)
		if (w->engine->channel[i])
			sn_channel_worker_sleep_prepare(w->engine->channel[i]);
	if (w->control)
		sn_ring_sleep(w->control);
	sn_door_prepare(&w->me->sleeps); /* last: its full fence stands before every look */
}

static void cancel(struct sn_worker *w)
{
	sn_door_cancel(&w->me->sleeps);
	for (uint32_t i = 0; i < w->engine->channels; i++)
		if (w->engine->channel[i])
			sn_channel_worker_sleep_cancel(w->engine->channel[i]);
}

/* The doorbells that were rung. */
static void answer_doors(struct sn_worker *w)
{
	struct epoll_event ev[16];
	int n = epoll_wait(w->doors, ev, 16, 0);
	for (int i = 0; i < n; i++) {
		sn_door_drain(ev[i].data.fd);
		/* The application's end is closed for good: the control process will end the session. */
		if (ev[i].events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP))
			epoll_ctl(w->doors, EPOLL_CTL_DEL, ev[i].data.fd, NULL);
	}
}

/* Blocks until something happens or `until`. Returns false on a signal. */
static bool block(struct sn_worker *w, sn_time until)
{
	struct pollfd fd[SN_MAX_PORTS + 3];
	nfds_t n = 0;
	sn_time now = w->now;

	fd[n++] = (struct pollfd){.fd = w->me->door, .events = POLLIN};
	fd[n++] = (struct pollfd){.fd = w->doors, .events = POLLIN};
	fd[n++] = (struct pollfd){.fd = w->control_door, .events = POLLIN};
	for (uint32_t i = 0; i < w->ports; i++) {
		sn_time again = sn_port_sleep(&w->rt->port[i], w->index, now);
		until = SN_MIN(until, again);
		fd[n++] = (struct pollfd){.fd = w->rt->port[i].queue[w->index].wait_fd, .events = POLLIN};
	}
	sn_time wait = until > now ? until - now : 0;
	struct timespec t = {.tv_sec = (time_t)(wait / SN_SEC), .tv_nsec = (long)(wait % SN_SEC)};
	int rc = ppoll(fd, n, &t, NULL);
	bool signal = rc < 0 && errno == EINTR;
	for (uint32_t i = 0; i < w->ports; i++)
		sn_port_wake(&w->rt->port[i], w->index, rc > 0 ? fd[3 + i].revents : 0);
	if (rc > 0 && fd[0].revents)
		sn_door_drain(w->me->door);
	if (rc > 0 && fd[1].revents)
		answer_doors(w);
	if (rc > 0 && fd[2].revents)
		sn_ring_wake(w->control);
	return !signal;
}

static bool sleep_until(struct sn_worker *w, sn_time until)
{
	bool ok = true;

	prepare(w);
	if (!look_again(w))
		ok = block(w, until);
	cancel(w);
	return ok;
}

/* --- the loop ---------------------------------------------------------------------------------------------------- */

/* What a port threw away because of its tag. */
static void count_vlans(struct sn_worker *w, uint32_t port)
{
	struct sn_port_queue *q = &w->rt->port[port].queue[w->index];

	if (SN_UNLIKELY(q->rx_vlan)) {
		w->engine->counters.rx_drop_vlan += q->rx_vlan;
		q->rx_vlan = 0;
	}
}

/* One round; returns the work done, *next is the engine's next deadline. */
static uint32_t round_once(struct sn_worker *w, sn_time *next)
{
	struct sn_buf *v[SN_RX_BURST];
	uint32_t work = 0, done = 0;

	for (uint32_t i = 0; i < w->ports; i++) {
		uint32_t n = sn_port_rx(&w->rt->port[i], w->index, v, SN_RX_BURST);
		count_vlans(w, i);
		if (!n)
			continue;
		sn_engine_rx(w->engine, v, n, w->now);
		w->me->cnc.bursts++;
		work += n;
	}
	if (w->workers > 1) {
		work += sn_lcore_receive(w, w->now);
		sn_lcore_poke(w);
	}
	*next = sn_engine_poll(w->engine, w->now, &done);
	return work + done;
}

int sn_worker_run(struct sn_worker *w, uint64_t until_ns)
{
	struct sn_cnc *cnc = &w->me->cnc;
	uint64_t violations = w->engine->counters.app_violation;
	bool worked = false;
	sn_time last_work = w->now = clock_now();
	sn_time next;

	sn_worker_siblings(w);
	for (;;) {
		uint32_t work = round_once(w, &next);
		sn_time now = clock_now();
		*(work ? &cnc->busy_ns : &cnc->idle_ns) += now - w->now;
		w->now = now;
		cnc->loops++;
		__atomic_store_n(&cnc->heartbeat, now, __ATOMIC_RELEASE);
		if (work) {
			last_work = now;
			worked = true;
		}
		int why = (now >= until_ns ? SN_RUN_DEADLINE : 0) |
			  (w->control && sn_ring_pending(w->control) ? SN_RUN_CONTROL : 0) |
			  (w->engine->counters.app_violation != violations ? SN_RUN_VIOLATION : 0) |
			  (sn_engine_events_ask(w->engine, now) ? SN_RUN_EVENTS : 0);
		if (SN_UNLIKELY(why))
			return why;
		if (work || w->busy_poll || next <= now)
			continue;
		if (worked && now - last_work < w->spin) {
			__builtin_ia32_pause();
			continue;
		}
		worked = false;
		sn_time until = SN_MIN(SN_MIN(next, (sn_time)until_ns), now + LONGEST_SLEEP);
		until = SN_MIN(until, sn_engine_events_due(w->engine));
		bool ok = sleep_until(w, until);
		now = clock_now();
		cnc->idle_ns += now - w->now;
		w->now = now;
		if (!ok)
			return SN_RUN_SIGNAL;
	}
}
