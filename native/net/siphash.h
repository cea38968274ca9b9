/* SPDX-License-Identifier: Apache-2.0
 *
 * SipHash-2-4: a short-input keyed hash, for tables and numbers that a peer must not be able to predict.
 */
#ifndef SN_NET_SIPHASH_H
#define SN_NET_SIPHASH_H

#include "sn_base.h"

static inline uint64_t sn_rotl64(uint64_t x, int b) { return (x << b) | (x >> (64 - b)); }

static inline void sn_sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = sn_rotl64(v[1], 13) ^ v[0];
	v[0] = sn_rotl64(v[0], 32);
	v[2] += v[3];
	v[3] = sn_rotl64(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = sn_rotl64(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = sn_rotl64(v[1], 17) ^ v[2];
	v[2] = sn_rotl64(v[2], 32);
}

static inline uint64_t sn_siphash(const uint8_t key[16], const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t k0, k1, m;
	memcpy(&k0, key, 8);
	memcpy(&k1, key + 8, 8);
	uint64_t v[4] = {k0 ^ 0x736f6d6570736575ull, k1 ^ 0x646f72616e646f6dull, k0 ^ 0x6c7967656e657261ull,
			 k1 ^ 0x7465646279746573ull};
	uint64_t last = (uint64_t)len << 56;

	for (; len >= 8; len -= 8, p += 8) {
		memcpy(&m, p, 8);
		v[3] ^= m;
		sn_sip_round(v);
		sn_sip_round(v);
		v[0] ^= m;
	}
	for (size_t i = 0; i < len; i++)
		last |= (uint64_t)p[i] << (8 * i);
	v[3] ^= last;
	sn_sip_round(v);
	sn_sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sn_sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
