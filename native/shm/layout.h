/* SPDX-License-Identifier: Apache-2.0
 *
 * Every byte of shared memory that two processes agree on, except the ring entries (include/abi/20_channel.h). Words that
 * different sides write lie on different cache lines. Sizes and offsets are asserted; their hash stands in the header, so
 * that two builds with different layouts refuse each other.
 */
#ifndef SN_SHM_LAYOUT_H
#define SN_SHM_LAYOUT_H

#include "sn_abi.h"
#include "sn_base.h"

#define SN_CHANNEL_MAGIC   0x6c686373u /* "schl" */
#define SN_CHANNEL_VERSION 1u
#define SN_CHANNEL_PAGE    4096u

struct sn_channel_hdr {
	/* Written once by the control process. */
	uint32_t magic, version, layout_hash, worker;
	uint64_t total; /* bytes of the whole channel */
	uint32_t sq_off, sq_entries;
	uint32_t cq_off, cq_entries;
	uint32_t tx_off, tx_len;
	uint32_t rx_off, rx_slot_size, rx_slots;
	uint32_t reserved;
	/* Written by the application. */
	SN_ALIGNED uint32_t sq_tail;
	SN_ALIGNED uint32_t cq_head;
	/* Written by the worker. */
	SN_ALIGNED uint32_t sq_head;
	SN_ALIGNED uint32_t cq_tail;
	/* Sleeping flags (shm/door.h): set by the sleeper, cleared by either. */
	SN_ALIGNED uint32_t app_sleeps;
	SN_ALIGNED uint32_t worker_sleeps;
	/* Written by the control process: 0 while the worker lives. */
	SN_ALIGNED uint32_t dead;
	uint8_t fill[SN_CHANNEL_PAGE - 7 * SN_CACHE_LINE - sizeof(uint32_t)];
};
_Static_assert(sizeof(struct sn_channel_hdr) == SN_CHANNEL_PAGE, "one page");
_Static_assert(offsetof(struct sn_channel_hdr, total) == 16, "shared layout");
_Static_assert(offsetof(struct sn_channel_hdr, sq_off) == 24, "shared layout");
_Static_assert(offsetof(struct sn_channel_hdr, rx_slots) == 56, "shared layout");
_Static_assert(offsetof(struct sn_channel_hdr, sq_tail) == 64, "shared layout");
_Static_assert(offsetof(struct sn_channel_hdr, cq_head) == 128, "shared layout");
_Static_assert(offsetof(struct sn_channel_hdr, sq_head) == 192, "shared layout");
_Static_assert(offsetof(struct sn_channel_hdr, cq_tail) == 256, "shared layout");
_Static_assert(offsetof(struct sn_channel_hdr, app_sleeps) == 320, "shared layout");
_Static_assert(offsetof(struct sn_channel_hdr, worker_sleeps) == 384, "shared layout");
_Static_assert(offsetof(struct sn_channel_hdr, dead) == 448, "shared layout");

_Static_assert(offsetof(struct sn_sqe, conn) == 4, "shared layout");
_Static_assert(offsetof(struct sn_sqe, user) == 8, "shared layout");
_Static_assert(offsetof(struct sn_sqe, off) == 16, "shared layout");
_Static_assert(offsetof(struct sn_sqe, addr) == 24, "shared layout");
_Static_assert(offsetof(struct sn_sqe, laddr) == 40, "shared layout");
_Static_assert(offsetof(struct sn_sqe, lport) == 56, "shared layout");
_Static_assert(offsetof(struct sn_sqe, sched) == 58, "shared layout");
_Static_assert(offsetof(struct sn_cqe, conn) == 4, "shared layout");
_Static_assert(offsetof(struct sn_cqe, user) == 8, "shared layout");
_Static_assert(offsetof(struct sn_cqe, res) == 16, "shared layout");
_Static_assert(offsetof(struct sn_cqe, off) == 20, "shared layout");
_Static_assert(offsetof(struct sn_cqe, addr) == 28, "shared layout");
_Static_assert(offsetof(struct sn_cqe, laddr) == 44, "shared layout");
_Static_assert(offsetof(struct sn_cqe, lport) == 60, "shared layout");

/* Changes whenever a field of the header or of an entry moves. */
static inline uint32_t sn_channel_layout_hash(void)
{
	static const uint32_t words[] = {
		SN_CHANNEL_VERSION,
		sizeof(struct sn_channel_hdr),
		sizeof(struct sn_sqe),
		sizeof(struct sn_cqe),
		offsetof(struct sn_channel_hdr, sq_tail),
		offsetof(struct sn_channel_hdr, cq_head),
		offsetof(struct sn_channel_hdr, sq_head),
		offsetof(struct sn_channel_hdr, cq_tail),
		offsetof(struct sn_channel_hdr, app_sleeps),
		offsetof(struct sn_channel_hdr, dead),
		offsetof(struct sn_sqe, off),
		offsetof(struct sn_sqe, laddr),
		offsetof(struct sn_sqe, sched),
		offsetof(struct sn_cqe, res),
		offsetof(struct sn_cqe, addr),
		offsetof(struct sn_cqe, lport),
	};
	uint32_t h = 2166136261u; /* FNV-1a by words */

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		h = (h ^ words[i]) * 16777619u;
	return h;
}

#define SN_RING_MAGIC 0x676e7273u /* "srng" */

/* A byte ring; `capacity` bytes of records follow. A record: 32-bit length, the bytes, zero to three bytes of padding. */
struct sn_ring_hdr {
	uint32_t magic, capacity;
	SN_ALIGNED uint32_t tail;   /* producer */
	SN_ALIGNED uint32_t head;   /* consumer */
	SN_ALIGNED uint32_t sleeps; /* consumer's flag, shm/door.h */
};
_Static_assert(sizeof(struct sn_ring_hdr) == 256, "shared layout");
_Static_assert(offsetof(struct sn_ring_hdr, tail) == 64, "shared layout");
_Static_assert(offsetof(struct sn_ring_hdr, head) == 128, "shared layout");
_Static_assert(offsetof(struct sn_ring_hdr, sleeps) == 192, "shared layout");

#endif
