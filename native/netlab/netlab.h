/* SPDX-License-Identifier: Apache-2.0
 *
 * Links between network interfaces in real time. The queue, the wire and the delay are the simulator's (sim/link.h), by
 * arithmetic; here are the clock, the packet sockets and what the simulator does not do: loss in bursts, MTU, statistics.
 *
 *     interface a ── port 2n ── dir 0 ──► port 2n+1 ── interface b
 *                             ◄── dir 1 ──
 *
 * One thread. Nothing is allocated while frames flow.
 */
#ifndef SN_NETLAB_H
#define SN_NETLAB_H

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "sim/sim.h"

#include "abi/70_netlab.h"

/* In front of every frame: room for a VLAN tag that the kernel took out. */
enum { SN_NETLAB_BATCH = 32, SN_NETLAB_MAX_LINKS = 1024, SN_NETLAB_TAG = 4 };

/* Frame buffers; what is due is in sn_buf.user[0] (sim/link.c), the arrival in user[1]. */
struct sn_netlab_pool {
	struct sn_pool pool;
	struct sn_buf *free;
	uint8_t *mem;
	size_t size;
	uint32_t room; /* of a frame, tag included */
	uint32_t count, used, peak;
	sn_time now; /* arrival of what is taken: duplicates have no other */
};

/* One direction. */
struct sn_netlab_dir {
	struct sn_netlab_link what;
	struct sn_sim_link wire; /* the part of `what` that sim/link.c does */
	struct sn_sim_half half;
	struct sn_rng rng;
	bool burst;       /* state of the Gilbert-Elliott model */
	uint64_t flushed; /* the part of half.lost that going down lost */
	struct sn_netlab_stats stats;
};

/* The middlebox in front of both directions of a link. */
struct sn_netlab_box {
	struct sn_sim_box what;
	struct sn_sim_middle middle;
	uint32_t changes;
};

struct sn_netlab_port {
	int fd;
	uint32_t out; /* index of the direction that leads away from here */
};

struct sn_netlab {
	struct sn_netlab_pool pool;
	uint32_t frame; /* longest */
	uint32_t links;
	struct sn_netlab_dir *dir;   /* 2 per link */
	struct sn_netlab_box *box;   /* 1 per link */
	struct sn_netlab_port *port; /* 2 per link: port i receives for dir i; dir i sends by port i ^ 1 */
	int epoll;
	uint32_t realtime;
	uint64_t grain_ns;
	sn_time woken; /* when the loop last had something to do */
	bool busy;     /* and it had just before, too */
	uint64_t wakeups, frames;
	struct sn_buf *batch[SN_NETLAB_BATCH]; /* always full: what the next frames are received into */
	struct mmsghdr msg[SN_NETLAB_BATCH];
	struct iovec iov[SN_NETLAB_BATCH];
	_Alignas(struct cmsghdr) uint8_t control[SN_NETLAB_BATCH][64];
};

/* pool.c */
bool sn_netlab_pool_init(struct sn_netlab_pool *p, uint32_t frame, uint32_t count);
void sn_netlab_pool_close(struct sn_netlab_pool *p);

/* dir.c: one direction, no I/O. */
void sn_netlab_dir_init(struct sn_netlab_dir *d, uint64_t seed, uint64_t stream);
void sn_netlab_dir_set(struct sn_netlab_dir *d, const struct sn_netlab_link *what);
/* A frame of b->len bytes arrived, or one of `length` bytes that did not fit. Takes the buffer. */
void sn_netlab_dir_push(struct sn_netlab_dir *d, struct sn_buf *b, uint32_t length, sn_time now);
/* The next frame that is due at `now`, NULL if none is. The caller sends it and says so with sent() or failed(). */
struct sn_buf *sn_netlab_dir_pull(struct sn_netlab_dir *d, sn_time now);
void sn_netlab_dir_sent(struct sn_netlab_dir *d, const struct sn_buf *b, sn_time due, sn_time now);
void sn_netlab_dir_stats(const struct sn_netlab_dir *d, sn_time now, struct sn_netlab_stats *out);

/* box.c: frames of a direction on their way to push(). */
void sn_netlab_box_init(struct sn_netlab *lab, uint32_t link, uint64_t seed);
void sn_netlab_box_send(struct sn_netlab *lab, uint32_t dir, struct sn_buf *b, sn_time now);

/* socket.c: a packet socket on one interface. */
int sn_netlab_socket_open(int netns, const char *name);
/* Receives up to a batch; returns how many frames came, SN_NETLAB_BATCH: there may be more. */
uint32_t sn_netlab_socket_receive(struct sn_netlab *lab, uint32_t port, sn_time now);
/* Sends what is due on a direction. */
void sn_netlab_socket_send(struct sn_netlab *lab, uint32_t dir, sn_time due, sn_time now);
/* What the kernel dropped in front of the socket since the last call. */
uint64_t sn_netlab_socket_missed(int fd);

#endif
