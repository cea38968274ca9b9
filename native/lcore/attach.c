/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lcore/lcore.h"
#include "port/error.h"

static void close_all(const int fd[3])
{
	for (int i = 0; i < 3; i++) {
		bool seen = fd[i] < 0;
		for (int j = 0; j < i; j++)
			seen |= fd[j] == fd[i];
		if (!seen)
			close(fd[i]);
	}
}

static struct sn_attached *find(struct sn_worker *w, uint64_t session)
{
	for (uint32_t i = 0; session && i < SN_MAX_CHANNELS; i++)
		if (w->channel[i].session == session)
			return &w->channel[i];
	return NULL;
}

/* Maps the memory; it must be of a kind that nobody can shrink under us. */
static enum sn_err map(struct sn_attached *a)
{
	struct stat st;
	int seals = fcntl(a->fd[0], F_GET_SEALS);

	if (fstat(a->fd[0], &st) < 0 || st.st_size <= 0 || seals < 0 || !(seals & F_SEAL_SHRINK))
		return sn_fail(SN_E_PROTO, "the channel's memory is not a sealed memory file");
	a->size = (size_t)st.st_size;
	a->mem = mmap(NULL, a->size, PROT_READ | PROT_WRITE, MAP_SHARED, a->fd[0], 0);
	if (a->mem == MAP_FAILED)
		return sn_fail(SN_E_NOMEM, "the channel's %zu bytes cannot be mapped", a->size);
	return SN_OK;
}

static enum sn_err join(struct sn_worker *w, struct sn_attached *a, int32_t *slot)
{
	a->ch = sn_channel_new(a->mem, a->size, true, a->fd[1], a->fd[2]);
	if (!a->ch)
		return sn_fail(SN_E_PROTO, "the channel's header does not fit its memory");
	*slot = sn_engine_channel_attach(w->engine, a->ch);
	if (*slot < 0)
		return sn_fail(SN_E_NOSPC, "worker %u has %d application sessions, which is the limit", w->index,
			       SN_MAX_CHANNELS);
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = a->fd[2]};
	epoll_ctl(w->doors, EPOLL_CTL_ADD, a->fd[2], &ev);
	return SN_OK;
}

static void let_go(struct sn_attached *a)
{
	if (a->ch)
		sn_channel_free(a->ch);
	if (a->mem && a->mem != MAP_FAILED)
		munmap(a->mem, a->size);
	close_all(a->fd);
	memset(a, 0, sizeof *a);
}

int32_t sn_worker_channel_attach(struct sn_worker *w, uint64_t session, int memory, int door_app, int door_worker)
{
	struct sn_attached a = {.session = session, .fd = {memory, door_app, door_worker}};
	int32_t slot = 0;
	enum sn_err err;

	if (!session || find(w, session))
		err = sn_fail(SN_E_EXIST, "session %llu is attached already", (unsigned long long)session);
	else if ((err = map(&a)) == SN_OK)
		err = join(w, &a, &slot);
	if (err) {
		let_go(&a);
		return err;
	}
	w->channel[slot] = a;
	return slot;
}

int sn_worker_channel_detach(struct sn_worker *w, uint64_t session)
{
	struct sn_attached *a = find(w, session);
	if (!a)
		return sn_fail(SN_E_INVAL, "session %llu is not attached", (unsigned long long)session);
	sn_engine_channel_detach(w->engine, (uint32_t)(a - w->channel), w->now);
	epoll_ctl(w->doors, EPOLL_CTL_DEL, a->fd[2], NULL);
	let_go(a);
	return SN_OK;
}

uint64_t sn_worker_session(const struct sn_worker *w, uint32_t slot)
{
	return slot < SN_MAX_CHANNELS ? w->channel[slot].session : 0;
}

uint64_t sn_worker_violation(const struct sn_worker *w)
{
	for (uint32_t i = 0; i < SN_MAX_CHANNELS; i++)
		if (w->channel[i].session && sn_channel_violated(w->channel[i].ch))
			return w->channel[i].session;
	return 0;
}
