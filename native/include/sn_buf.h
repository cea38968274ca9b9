/* SPDX-License-Identifier: Apache-2.0
 *
 * Packet buffers as the engine sees them, whoever owns the memory: a DPDK mbuf (the record lives in the mbuf's private
 * area), a buffer of the simulator, or one of a test.
 *
 * A received buffer is handed to the engine for good: it frees it or keeps it in a queue. One worker, one thread.
 */
#ifndef SN_BUF_H
#define SN_BUF_H

#include "sn_base.h"

enum sn_buf_flags {
	SN_BUF_CSUM_GOOD = 1 << 0, /* the port verified IP and L4 checksums */
	SN_BUF_FIN = 1 << 1,       /* the segment carries TCP FIN after its payload */
	SN_BUF_MAP = 1 << 2,       /* map_* hold the DSS mapping that came with this segment */
	SN_BUF_MAP_CSUM = 1 << 3,  /* the mapping has a checksum in map_csum */
	SN_BUF_MAP_FIN = 1 << 4,   /* DATA_FIN: the last byte of the mapping is the DATA_FIN */
	SN_BUF_FORWARDED = 1 << 5, /* came through a forward ring: not counted and not forwarded again */
	SN_BUF_CE = 1 << 6,        /* the IP header says Congestion Experienced (RFC 3168 5) */
	SN_BUF_ASKED = 1 << 7      /* forwarded in search of its owner; seq: how many workers are left to ask */
};

struct sn_pool;

/* 128 bytes. `data`/`len` first cover the Ethernet frame, later the TCP payload that is still wanted. */
struct sn_buf {
	struct sn_buf *next; /* link of the queue that owns the buffer */
	uint8_t *data;
	uint32_t len;
	uint16_t port; /* index of the port it came from or leaves by */
	uint8_t flags; /* enum sn_buf_flags */
	uint8_t lent;  /* worker index + 1 that holds it through a forward ring, 0 if at home */
	struct sn_pool *pool;
	uint8_t *base;     /* first byte of the whole room */
	uint32_t room;     /* bytes from base to the end of the room */
	uint32_t seq;      /* TCP: sequence number of data[0] */
	uint64_t dsn;      /* MPTCP: data sequence number of data[0], set when its mapping is applied */
	uint64_t map_dsn;  /* DSS mapping: absolute 64-bit data sequence number */
	uint32_t map_ssn;  /* DSS mapping: relative subflow sequence number */
	uint16_t map_len;  /* DSS mapping: data-level length (counts a DATA_FIN) */
	uint16_t map_csum; /* DSS mapping: checksum as received, host order */
	uint64_t user[7];  /* the pool owner's */
};
_Static_assert(sizeof(struct sn_buf) == 128, "two cache lines");

/* Where buffers come from. alloc may return NULL; alloc and free are called by the owning worker only. */
struct sn_pool {
	struct sn_buf *(*alloc)(struct sn_pool *);
	void (*free)(struct sn_pool *, struct sn_buf *);
	void *ctx;
	/* Optional: how many are free, and of how many that is the rest (what lies in receive rings does not count). Any
	 * worker may ask. Without it a pool never counts as short. */
	uint32_t (*avail)(struct sn_pool *, uint32_t *size);
};

/* Bytes kept free in front of a TCP header so that IPv6/IPv4 and Ethernet + VLAN headers can be prepended. */
#define SN_HEADROOM 128

static inline uint32_t sn_pool_avail(struct sn_pool *p, uint32_t *size)
{
	*size = 0;
	return p->avail ? p->avail(p, size) : UINT32_MAX;
}
/* Less than a quarter is free. */
static inline bool sn_pool_short(struct sn_pool *p)
{
	uint32_t size, free = sn_pool_avail(p, &size);
	return free < size / 4;
}
static inline struct sn_buf *sn_buf_alloc(struct sn_pool *p) { return p->alloc(p); }
static inline void sn_buf_free(struct sn_buf *b) { b->pool->free(b->pool, b); }
/* Copies b's bytes behind a's if there is room. b stays the caller's. */
static inline bool sn_buf_join(struct sn_buf *a, const struct sn_buf *b)
{
	if ((size_t)(a->base + a->room - (a->data + a->len)) < b->len)
		return false;
	memcpy(a->data + a->len, b->data, b->len);
	a->len += b->len;
	return true;
}
/* Frees a whole chain linked by `next`. */
static inline void sn_buf_free_chain(struct sn_buf *b)
{
	while (b) {
		struct sn_buf *next = b->next;
		sn_buf_free(b);
		b = next;
	}
}

/* One piece of unacknowledged send data: lies in the application's arena and is the only copy.
 * Held by the connection's send queue (one reference) and by every TCP segment record that covers a part of it and is
 * not yet acknowledged by that subflow, and by packets still in a port's hands. The bytes go back to the application,
 * in order, when refs is zero. */
struct sn_chunk {
	struct sn_chunk *next; /* next piece in data sequence order */
	const uint8_t *data;
	uint32_t len;
	uint32_t refs;
	uint64_t dsn; /* data sequence number (stream offset in fallback) of data[0] */
	uint64_t user;
};

/* A packet to send: headers in `hdr` (data/len cover Ethernet to the end of the TCP options), then up to SN_TX_REFS
 * pieces of payload that are sent from where they lie.
 *
 * A unit is several TCP segments in one: the payload of all of them behind the headers of the first, IP's lengths and
 * PSH those of the whole. The port cuts it, by itself or with wire/split.h. Only ports that say so get units
 * (struct sn_net_port_cfg). */
#define SN_TX_REFS  4
/* Payload of a unit, bytes: with 60 bytes of TCP header, its IPv4 total length still has 16 bits. */
#define SN_UNIT_MAX (65535u - 20u - 60u)
enum sn_tx_flags {
	SN_TX_CSUM_DONE = 1 << 0, /* IP and L4 checksums are already in place; of a unit: who cuts it makes them */
	SN_TX_ECT0 = 1 << 1,      /* ECN-capable transport (RFC 3168 5) */
	SN_TX_IPV6 = 1 << 2       /* the IP header is one of IPv6: there is no IP checksum */
};
struct sn_tx {
	struct sn_buf *hdr;
	uint16_t port;
	uint8_t nref;
	uint8_t flags;
	uint16_t l3_off, l4_off; /* from hdr->data; for checksum offload */
	uint32_t payload_len;
	uint16_t seg_size,
		segs; /* a unit: payload of all its segments but the last, which has the rest, and their number;
				  * else 0 */
	struct {
		const uint8_t *data;
		uint32_t len;
		struct sn_chunk *chunk; /* a port that keeps the packet after tx() returns holds a reference */
	} ref[SN_TX_REFS];
};

#endif
