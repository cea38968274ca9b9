/* SPDX-License-Identifier: Apache-2.0
 *
 * How one side of a ring sleeps and the other wakes it. The only place where this is written; every pair of processes
 * uses it. One flag per direction, in shared memory, on its own cache line:
 *
 *   consumer                                producer
 *   1 flag = 1                              1 publish (store-release of the ring's index)
 *   2 full fence                            2 full fence
 *   3 look at the ring again                3 flag == 0: done
 *   4 nothing there: block on the doorbell  4 flag = 0, ring the doorbell
 *   5 flag = 0, drain the doorbell
 *   6 look at the ring
 *
 * With both fences either the consumer's look (3) sees what was published, or the producer's test (3) sees the flag: no
 * wake-up is lost. The producer clears the flag so that one sleep costs one ring; a producer that is late with step 4
 * wakes a later sleep for nothing, never the other way round, because it rings after it cleared. The doorbell is
 * drained before the ring is looked at, never after.
 *
 * A doorbell is an eventfd between processes of ours. Between a worker and an application it is one end of a
 * socketpair: file status flags are shared with the application, so an eventfd that it filled and made blocking would
 * stop the worker; MSG_DONTWAIT cannot be taken away.
 */
#ifndef SN_SHM_DOOR_H
#define SN_SHM_DOOR_H

#include "sn_base.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* Consumer, steps 1 and 2. */
static inline void sn_door_prepare(uint32_t *flag)
{
	__atomic_store_n(flag, 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Consumer, step 5 without the doorbell. */
static inline void sn_door_cancel(uint32_t *flag) { __atomic_store_n(flag, 0, __ATOMIC_RELAXED); }

/* Producer, steps 2 to 4: true if the doorbell must be rung. */
static inline bool sn_door_wanted(uint32_t *flag)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (SN_LIKELY(__atomic_load_n(flag, __ATOMIC_RELAXED) == 0))
		return false;
	__atomic_store_n(flag, 0, __ATOMIC_RELAXED);
	return true;
}

/* Never blocks. A doorbell that is full has been rung already; one whose other end is gone wakes nobody. */
static inline void sn_door_ring(int fd)
{
	const uint64_t one = 1;

	if (fd >= 0 && send(fd, &one, sizeof one, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == ENOTSOCK) {
		ssize_t n = write(fd, &one, sizeof one);
		(void)n;
	}
}

/* Empties the doorbell, at most what a well-behaved other side can have left in it. */
static inline void sn_door_drain(int fd)
{
	uint64_t buf[32];

	if (fd >= 0 && recv(fd, buf, sizeof buf, MSG_DONTWAIT) < 0 && errno == ENOTSOCK) {
		ssize_t n = read(fd, buf, sizeof buf[0]);
		(void)n;
	}
}

#endif
