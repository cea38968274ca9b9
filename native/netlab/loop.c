/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "netlab/netlab.h"

enum { EVENTS = 64 };
#define WATCHED UINT64_MAX

static sn_time clock_ns(clockid_t which)
{
	struct timespec t;

	clock_gettime(which, &t);
	return (sn_time)t.tv_sec * SN_SEC + (sn_time)t.tv_nsec;
}

static struct timespec span(sn_time ns) { return (struct timespec){(time_t)(ns / SN_SEC), (long)(ns % SN_SEC)}; }

struct sn_netlab *sn_netlab_new(uint32_t frame, uint32_t buffers, uint64_t grain_ns)
{
	if (frame < 64 || frame > 65536 || buffers < 2 * SN_NETLAB_BATCH || buffers > 1u << 20)
		return NULL;
	struct sn_netlab *lab = calloc(1, sizeof *lab);
	if (!lab)
		return NULL;
	lab->frame = frame;
	lab->grain_ns = grain_ns;
	lab->dir = calloc(2 * SN_NETLAB_MAX_LINKS, sizeof *lab->dir);
	lab->port = calloc(2 * SN_NETLAB_MAX_LINKS, sizeof *lab->port);
	lab->box = calloc(SN_NETLAB_MAX_LINKS, sizeof *lab->box);
	lab->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!lab->dir || !lab->port || !lab->box || lab->epoll < 0 ||
	    !sn_netlab_pool_init(&lab->pool, frame, buffers)) {
		sn_netlab_free(lab);
		return NULL;
	}
	for (uint32_t i = 0; i < SN_NETLAB_BATCH; i++)
		lab->batch[i] = sn_buf_alloc(&lab->pool.pool);
	return lab;
}

void sn_netlab_free(struct sn_netlab *lab)
{
	if (!lab)
		return;
	for (uint32_t i = 0; i < 2 * lab->links; i++)
		close(lab->port[i].fd);
	if (lab->epoll >= 0)
		close(lab->epoll);
	sn_netlab_pool_close(&lab->pool);
	free(lab->dir);
	free(lab->port);
	free(lab->box);
	free(lab);
}

int sn_netlab_add(struct sn_netlab *lab, int netns_a, const char *if_a, int netns_b, const char *if_b, uint64_t seed)
{
	uint32_t at = 2 * lab->links;
	int fd[2];

	if (lab->links == SN_NETLAB_MAX_LINKS)
		return SN_E_NOSPC;
	fd[0] = sn_netlab_socket_open(netns_a, if_a);
	if (fd[0] < 0)
		return fd[0];
	fd[1] = sn_netlab_socket_open(netns_b, if_b);
	if (fd[1] < 0) {
		close(fd[0]);
		return fd[1];
	}
	for (uint32_t side = 0; side < 2; side++) {
		struct epoll_event e = {.events = EPOLLIN, .data.u64 = at + side};

		lab->port[at + side].fd = fd[side];
		sn_netlab_dir_init(&lab->dir[at + side], seed, at + side);
		if (epoll_ctl(lab->epoll, EPOLL_CTL_ADD, fd[side], &e)) {
			int error = -errno;

			close(fd[0]);
			close(fd[1]);
			return error;
		}
	}
	sn_netlab_box_init(lab, lab->links, seed);
	return (int)lab->links++;
}

int sn_netlab_set(struct sn_netlab *lab, uint32_t link, uint32_t side, const struct sn_netlab_link *what)
{
	if (link >= lab->links || side > 1)
		return SN_E_INVAL;
	sn_netlab_dir_set(&lab->dir[2 * link + side], what);
	return 0;
}

int sn_netlab_stats(struct sn_netlab *lab, uint32_t link, uint32_t side, struct sn_netlab_stats *out)
{
	if (link >= lab->links || side > 1)
		return SN_E_INVAL;
	struct sn_netlab_dir *d = &lab->dir[2 * link + side];
	d->stats.missed += sn_netlab_socket_missed(lab->port[2 * link + side].fd);
	sn_netlab_dir_stats(d, clock_ns(CLOCK_MONOTONIC), out);
	return 0;
}

void sn_netlab_load(struct sn_netlab *lab, struct sn_netlab_load *out)
{
	*out = (struct sn_netlab_load){.cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID),
				       .wakeups = lab->wakeups,
				       .frames = lab->frames,
				       .buffers = lab->pool.count - SN_NETLAB_BATCH,
				       .buffers_used = lab->pool.used - SN_NETLAB_BATCH,
				       .buffers_peak = lab->pool.peak - SN_NETLAB_BATCH,
				       .realtime = lab->realtime};
}

void sn_netlab_prepare(struct sn_netlab *lab, int realtime)
{
	struct sched_param p = {.sched_priority = 1};

	prctl(PR_SET_TIMERSLACK, 1ul, 0ul, 0ul, 0ul);
	if (realtime)
		lab->realtime = sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &p) == 0;
}

int sn_netlab_watch(struct sn_netlab *lab, int fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = WATCHED};

	return epoll_ctl(lab->epoll, EPOLL_CTL_ADD, fd, &e) ? -errno : 0;
}

static sn_time earliest(const struct sn_netlab *lab)
{
	sn_time at = SN_TIME_NEVER;

	for (uint32_t i = 0; i < 2 * lab->links; i++)
		at = SN_MIN(at, sn_sim_half_next(&lab->dir[i].half));
	for (uint32_t i = 0; i < lab->links; i++)
		at = SN_MIN(at, sn_sim_middle_next(&lab->box[i].middle));
	return at;
}

/* Returns whether there was anything to send. */
static bool release(struct sn_netlab *lab, sn_time now)
{
	/* Half a grain early as often as late: the mean is right. */
	sn_time due = lab->busy ? now + lab->grain_ns / 2 : now;
	bool any = false;

	for (uint32_t i = 0; i < lab->links; i++)
		sn_sim_middle_flush(&lab->box[i].middle, now);
	for (uint32_t i = 0; i < 2 * lab->links; i++) {
		if (sn_sim_half_next(&lab->dir[i].half) > due)
			continue;
		sn_netlab_socket_send(lab, i, due, now);
		any = true;
	}
	return any;
}

int sn_netlab_run(struct sn_netlab *lab, uint64_t until_ns)
{
	bool more = false;
	uint32_t frames = 0;

	for (;;) {
		sn_time now = clock_ns(CLOCK_MONOTONIC);

		if (release(lab, now) || frames) {
			lab->busy = now < lab->woken + 2 * lab->grain_ns;
			lab->woken = now;
		} else {
			lab->busy = false;
		}
		if (now >= until_ns)
			return 0;
		/* Under load one look per grain serves many frames. */
		if (lab->busy && !more) {
			struct timespec at = span(SN_MIN(now + lab->grain_ns, until_ns));

			if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL))
				return SN_E_AGAIN;
			now = clock_ns(CLOCK_MONOTONIC);
		}
		struct epoll_event e[EVENTS];
		sn_time next = SN_MIN(earliest(lab), until_ns);
		struct timespec wait = span(more || next <= now ? 0 : next - now);
		int n = epoll_pwait2(lab->epoll, e, EVENTS, next == SN_TIME_NEVER && !more ? NULL : &wait, NULL);
		if (n < 0)
			return errno == EINTR ? SN_E_AGAIN : -errno;

		bool watched = false;
		now = clock_ns(CLOCK_MONOTONIC);
		more = false;
		frames = 0;
		for (int i = 0; i < n; i++) {
			if (e[i].data.u64 == WATCHED) {
				watched = true;
				continue;
			}
			uint32_t got = sn_netlab_socket_receive(lab, (uint32_t)e[i].data.u64, now);
			frames += got;
			more |= got == SN_NETLAB_BATCH;
		}
		lab->wakeups++;
		lab->frames += frames;
		if (watched)
			return 1;
	}
}
