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

/* The byte stream of one direction of one connection: any piece can be made at any time from its offset alone. */
static inline void sn_rng_stream(uint64_t stream, uint64_t off, uint8_t *out, size_t n)
{
	while (n) {
		uint64_t v = sn_rng_mix(stream + (off >> 3) * 0x9e3779b97f4a7c15ull);
		size_t skip = off & 7, k = SN_MIN(n, 8 - skip);
		memcpy(out, (const uint8_t *)&v + skip, k);
		out += k;
		off += k;
		n -= k;
	}
}

#endif
