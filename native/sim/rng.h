/* SPDX-License-Identifier: Apache-2.0
 *
 * Deterministic randomness: a 64-bit counter through a mixing function. Each user seeds a stream of its own, so that
 * one more draw in one place does not change what another place sees.
 */
#ifndef SN_SIM_RNG_H
#define SN_SIM_RNG_H

#include "sn_base.h"

struct sn_rng {
	uint64_t at;
};

static inline uint64_t sn_rng_mix(uint64_t z)
{
	z = (z ^ (z >> 32)) * 0xd6e8feb86659fd93ull;
	z = (z ^ (z >> 32)) * 0xd6e8feb86659fd93ull;
	return z ^ (z >> 32);
}
static inline struct sn_rng sn_rng_seed(uint64_t seed, uint64_t stream)
{
	return (struct sn_rng){sn_rng_mix(seed + 0x632be59bd9b4e019ull) ^
			       sn_rng_mix(stream * 0x9e3779b97f4a7c15ull + 1)};
}
static inline uint64_t sn_rng_next(struct sn_rng *r) { return sn_rng_mix(r->at += 0x9e3779b97f4a7c15ull); }
/* Uniform in [0, n); n > 0. The bias of 2^-32 and less does not matter here. */
static inline uint64_t sn_rng_below(struct sn_rng *r, uint64_t n) { return sn_rng_next(r) % n; }
static inline bool sn_rng_chance(struct sn_rng *r, double p)
{
	return p > 0 && (double)(sn_rng_next(r) >> 11) * 0x1p-53 < p;
}
static inline void sn_rng_fill(struct sn_rng *r, void *out, size_t n)
{
	uint8_t *p = out;
	while (n) {
		uint64_t v = sn_rng_next(r);
		size_t k = n < sizeof v ? n : sizeof v;
		memcpy(p, &v, k);
		p += k;
		n -= k;
	}
}

/* The byte stream of one direction of one connection: any piece can be had at any time from its offset alone. A block of
 * it is a piece of one table, from a place that stream and block choose: making and checking it costs no more than a copy. */
enum { SN_STREAM_BLOCK = 4096, SN_STREAM_TABLE = 32768 };
struct sn_stream_table {
	uint8_t byte[SN_STREAM_TABLE + SN_STREAM_BLOCK];
};
static inline void sn_stream_init(struct sn_stream_table *t)
{
	struct sn_rng r = sn_rng_seed(0, 0);
	sn_rng_fill(&r, t->byte, sizeof t->byte);
}
/* The stream at `off`; *n is cut to what lies there in one piece. */
static inline const uint8_t *sn_stream_at(const struct sn_stream_table *t, uint64_t stream, uint64_t off, size_t *n)
{
	size_t in = off % SN_STREAM_BLOCK;
	uint64_t place = sn_rng_mix(stream + off / SN_STREAM_BLOCK * 0x9e3779b97f4a7c15ull) % SN_STREAM_TABLE;

	*n = SN_MIN(*n, SN_STREAM_BLOCK - in);
	return t->byte + place + in;
}

#endif
