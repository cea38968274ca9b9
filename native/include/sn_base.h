/* SPDX-License-Identifier: Apache-2.0
 *
 * Types that every module of the data plane speaks: time, errors, byte order, addresses.
 * Header only; no module state; safe from any thread.
 */
#ifndef SN_BASE_H
#define SN_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "abi/10_base.h"

/* Time: nanoseconds on a monotonic clock of the caller's choice. Never read inside the engine. */
typedef uint64_t sn_time;
#define SN_TIME_NEVER UINT64_MAX
#define SN_USEC       1000ull
#define SN_MSEC       1000000ull
#define SN_SEC        1000000000ull

#define SN_LIKELY(x)                    __builtin_expect(!!(x), 1)
#define SN_UNLIKELY(x)                  __builtin_expect(!!(x), 0)
#define SN_MIN(a, b)                    ((a) < (b) ? (a) : (b))
#define SN_MAX(a, b)                    ((a) > (b) ? (a) : (b))
#define SN_CACHE_LINE                   64
#define SN_ALIGNED                      __attribute__((aligned(SN_CACHE_LINE)))
#define SN_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* An invariant of our own. Never applied to what a peer, an application or a file says. */
#ifdef SN_CHECK
#define SN_ASSERT(x)                      \
	do {                              \
		if (SN_UNLIKELY(!(x)))    \
			__builtin_trap(); \
	} while (0)
#else
#define SN_ASSERT(x) ((void)sizeof((x) ? 1 : 0))
#endif

/* Big-endian values as they stand in a packet: distinct types, so that a forgotten swap does not compile. */
typedef struct __attribute__((packed)) {
	uint16_t raw;
} sn_be16;
typedef struct __attribute__((packed)) {
	uint32_t raw;
} sn_be32;
typedef struct __attribute__((packed)) {
	uint64_t raw;
} sn_be64;

static inline uint16_t sn_be16_get(sn_be16 v) { return __builtin_bswap16(v.raw); }
static inline uint32_t sn_be32_get(sn_be32 v) { return __builtin_bswap32(v.raw); }
static inline uint64_t sn_be64_get(sn_be64 v) { return __builtin_bswap64(v.raw); }
static inline sn_be16 sn_be16_make(uint16_t v) { return (sn_be16){__builtin_bswap16(v)}; }
static inline sn_be32 sn_be32_make(uint32_t v) { return (sn_be32){__builtin_bswap32(v)}; }
static inline sn_be64 sn_be64_make(uint64_t v) { return (sn_be64){__builtin_bswap64(v)}; }

/* Unaligned big-endian access for codecs (native/wire only). */
static inline uint16_t sn_get16(const uint8_t *p)
{
	uint16_t v;
	memcpy(&v, p, 2);
	return __builtin_bswap16(v);
}
static inline uint32_t sn_get32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, 4);
	return __builtin_bswap32(v);
}
static inline uint64_t sn_get64(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, 8);
	return __builtin_bswap64(v);
}
static inline void sn_put16(uint8_t *p, uint16_t v)
{
	v = __builtin_bswap16(v);
	memcpy(p, &v, 2);
}
static inline void sn_put32(uint8_t *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, 4);
}
static inline void sn_put64(uint8_t *p, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(p, &v, 8);
}

/* Sequence arithmetic modulo 2^32 (RFC 9293 3.4) and 2^64 (RFC 8684 3.3). */
static inline bool sn_seq_lt(uint32_t a, uint32_t b) { return (int32_t)(a - b) < 0; }
static inline bool sn_seq_leq(uint32_t a, uint32_t b) { return (int32_t)(a - b) <= 0; }
static inline bool sn_seq_gt(uint32_t a, uint32_t b) { return (int32_t)(a - b) > 0; }
static inline bool sn_seq_geq(uint32_t a, uint32_t b) { return (int32_t)(a - b) >= 0; }
static inline bool sn_dsn_lt(uint64_t a, uint64_t b) { return (int64_t)(a - b) < 0; }
static inline bool sn_dsn_leq(uint64_t a, uint64_t b) { return (int64_t)(a - b) <= 0; }

/* An address: always 16 bytes; IPv4 is held IPv4-mapped (RFC 4291 2.5.5.2), so that one code path compares and hashes. */
struct sn_addr {
	uint8_t b[16];
};

static inline struct sn_addr sn_addr_v4(uint32_t host_order)
{
	struct sn_addr a = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0}};
	sn_put32(a.b + 12, host_order);
	return a;
}
static inline bool sn_addr_is_v4(const struct sn_addr *a)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	return memcmp(a->b, mapped, sizeof mapped) == 0;
}
static inline uint32_t sn_addr_v4_get(const struct sn_addr *a) { return sn_get32(a->b + 12); }
static inline bool sn_addr_eq(const struct sn_addr *a, const struct sn_addr *b) { return memcmp(a->b, b->b, 16) == 0; }
/* True for :: and for the IPv4-mapped 0.0.0.0. */
static inline bool sn_addr_is_any(const struct sn_addr *a)
{
	static const uint8_t zero[16];
	return memcmp(a->b, zero, 16) == 0 || (sn_addr_is_v4(a) && sn_addr_v4_get(a) == 0);
}

/* `family` of an address: which of a port's two addresses goes with it. */
enum sn_family { SN_FAMILY_4 = 0, SN_FAMILY_6 = 1, SN_FAMILIES = 2 };
static inline enum sn_family sn_addr_family(const struct sn_addr *a)
{
	return sn_addr_is_v4(a) ? SN_FAMILY_4 : SN_FAMILY_6;
}
static inline bool sn_addr_same_family(const struct sn_addr *a, const struct sn_addr *b)
{
	return sn_addr_is_v4(a) == sn_addr_is_v4(b);
}
/* 0.0.0.0 and :: apart. */
static inline bool sn_addr_is_any4(const struct sn_addr *a) { return sn_addr_is_v4(a) && sn_addr_v4_get(a) == 0; }
static inline bool sn_addr_is_any6(const struct sn_addr *a)
{
	static const uint8_t zero[16];
	return memcmp(a->b, zero, 16) == 0;
}
/* fe80::/10 (RFC 4291 2.5.6). */
static inline bool sn_addr_is_link_local(const struct sn_addr *a)
{
	return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}
/* ff00::/8, or 224.0.0.0/4. */
static inline bool sn_addr_is_multicast(const struct sn_addr *a)
{
	return a->b[0] == 0xff || (sn_addr_is_v4(a) && a->b[12] >> 4 == 0xe);
}
/* The first `prefix` bits (0 to 128) are equal. An IPv4 prefix counts 96 more, for ::ffff:0:0/96. */
static inline bool sn_addr_on_link(const struct sn_addr *a, const struct sn_addr *b, uint32_t prefix)
{
	uint32_t bytes = prefix / 8, bits = prefix % 8;

	return memcmp(a->b, b->b, bytes) == 0 &&
	       (!bits || ((a->b[bytes] ^ b->b[bytes]) & (0xff00u >> bits) & 0xff) == 0);
}

/* One TCP flow as this host sees it; ports in host order. */
struct sn_flow {
	struct sn_addr local, remote;
	uint16_t lport, rport;
};
static inline bool sn_flow_eq(const struct sn_flow *a, const struct sn_flow *b)
{
	return a->lport == b->lport && a->rport == b->rport && sn_addr_eq(&a->remote, &b->remote) &&
	       sn_addr_eq(&a->local, &b->local);
}

#endif
