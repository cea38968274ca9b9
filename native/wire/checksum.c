/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/checksum.h"

/* Two 64-bit lanes; the compiler maps them to one SSE2/NEON register. */
typedef uint64_t lanes __attribute__((vector_size(16)));

static inline lanes load_lanes(const uint8_t *p)
{
	lanes v;
	memcpy(&v, p, sizeof v);
	return v;
}

/* The words are summed as they lie in memory; the ones' complement sum commutes with the byte swap (RFC 1071 2B), so one
 * swap at the end is enough. Each lane adds 32-bit halves: no carry is lost below 2^31 of them. */
uint32_t sn_csum_partial(const void *data, size_t len, uint32_t sum)
{
	const uint8_t *p = data;
	uint64_t acc = 0;

	if (len >= 64) {
		lanes a = {0, 0}, b = {0, 0}, c = {0, 0}, d = {0, 0};
		const lanes low = {0xffffffffu, 0xffffffffu};
		do {
			lanes w = load_lanes(p), x = load_lanes(p + 16), y = load_lanes(p + 32), z = load_lanes(p + 48);
			a += (w & low) + (x & low);
			b += (w >> 32) + (x >> 32);
			c += (y & low) + (z & low);
			d += (y >> 32) + (z >> 32);
			p += 64;
			len -= 64;
		} while (len >= 64);
		a += b + c + d;
		acc = (a[0] & 0xffffffffu) + (a[0] >> 32) + (a[1] & 0xffffffffu) + (a[1] >> 32);
	}
	for (; len >= 8; p += 8, len -= 8) {
		uint64_t w;
		memcpy(&w, p, 8);
		acc += (w & 0xffffffffu) + (w >> 32);
	}
	if (len) {
		uint64_t w = 0; /* the bytes left over, then zeros: the value the words have in memory */
		for (size_t i = 0; i < len; i++)
			w |= (uint64_t)p[i] << (8 * i);
		acc += (w & 0xffffffffu) + (w >> 32);
	}
	acc = (acc & 0xffffffffu) + (acc >> 32);
	acc = (acc & 0xffff) + ((acc >> 16) & 0xffff) + (acc >> 32);
	acc = (acc & 0xffff) + (acc >> 16);
	acc = (acc & 0xffff) + (acc >> 16);
	return sum + __builtin_bswap16((uint16_t)acc);
}
