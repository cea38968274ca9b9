/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/slab.h"

#include <stdlib.h>

#include "sim/rng.h"
#include "sn_test.h"

static struct sn_region region(size_t size)
{
	struct sn_region r = {.base = aligned_alloc(SN_CACHE_LINE, (size + 63) & ~63ul), .size = size};
	memset(r.base, 0xee, size);
	return r;
}

SN_TEST(region_gives_zeroed_aligned_pieces_until_it_is_used_up)
{
	struct sn_region r = region(1000);
	uint8_t *a = sn_region_take(&r, 1), *b = sn_region_take(&r, 100);
	REQUIRE(a && b);
	CHECK_EQ((uintptr_t)a % SN_CACHE_LINE, 0);
	CHECK_EQ((uintptr_t)b % SN_CACHE_LINE, 0);
	CHECK(b >= a + 1);
	for (int i = 0; i < 100; i++)
		CHECK_EQ(b[i], 0);
	CHECK(sn_region_take(&r, 1000) == NULL);
	CHECK(sn_region_take(&r, SIZE_MAX) == NULL);
	CHECK(sn_region_take(&r, 500) != NULL);
	free(r.base);
}

SN_TEST(dry_run_needs_exactly_what_the_real_one_takes)
{
	struct sn_region dry = {0};
	struct sn_slab s;
	(void)sn_slab_init(&s, &dry, 77, 100);
	(void)sn_slab_init(&s, &dry, 3, 8);
	struct sn_region r = region(dry.used), tight = region(dry.used - 1);
	CHECK(sn_slab_init(&s, &r, 77, 100));
	CHECK(sn_slab_init(&s, &r, 3, 8));
	CHECK_EQ(r.used, dry.used);
	CHECK(sn_slab_init(&s, &tight, 77, 100));
	CHECK(!sn_slab_init(&s, &tight, 3, 8));
	free(r.base);
	free(tight.base);
}

SN_TEST(records_are_zeroed_distinct_and_limited)
{
	enum { N = 50 };
	struct sn_region r = region(1 << 16);
	struct sn_slab s;
	void *taken[N];
	REQUIRE(sn_slab_init(&s, &r, N, 33));
	CHECK_EQ(s.item_size, 48);
	for (int i = 0; i < N; i++) {
		taken[i] = sn_slab_take(&s);
		REQUIRE(taken[i]);
		CHECK_EQ(((uintptr_t)taken[i]) % 16, 0);
		for (uint32_t k = 0; k < s.item_size; k++)
			CHECK_EQ(((uint8_t *)taken[i])[k], 0);
		memset(taken[i], i + 1, s.item_size);
	}
	CHECK(sn_slab_take(&s) == NULL);
	CHECK_EQ(s.used, N);
	for (int i = 0; i < N; i++) {
		CHECK_EQ(((uint8_t *)taken[i])[0], i + 1);
		CHECK_EQ(((uint8_t *)taken[i])[s.item_size - 1], i + 1);
		CHECK(sn_slab_at(&s, sn_slab_index(&s, taken[i])) == taken[i]);
	}
	free(r.base);
}

SN_TEST(any_index_may_be_asked)
{
	struct sn_region r = region(1 << 12);
	struct sn_slab s;
	REQUIRE(sn_slab_init(&s, &r, 4, 16));
	void *a = sn_slab_take(&s);
	uint32_t i = sn_slab_index(&s, a);
	for (uint32_t k = 0; k < 8; k++)
		CHECK((sn_slab_at(&s, k) != NULL) == (k == i));
	CHECK(sn_slab_at(&s, SN_SLAB_NONE) == NULL);
	CHECK(sn_slab_at(&s, SN_SLAB_USED) == NULL);
	sn_slab_put(&s, a);
	CHECK(sn_slab_at(&s, i) == NULL);
	free(r.base);
}

SN_TEST(empty_slab_gives_nothing)
{
	struct sn_region r = region(1 << 12);
	struct sn_slab s;
	REQUIRE(sn_slab_init(&s, &r, 0, 16));
	CHECK(sn_slab_take(&s) == NULL);
	CHECK(sn_slab_at(&s, 0) == NULL);
	free(r.base);
}

SN_TEST(random_takes_and_puts_follow_a_model)
{
	enum { N = 200 };
	struct sn_region r = region(1 << 16);
	struct sn_slab s;
	struct sn_rng rng = sn_rng_seed(5, 5);
	uint64_t *held[N];
	uint32_t n = 0, peak = 0;
	REQUIRE(sn_slab_init(&s, &r, N, sizeof(uint64_t)));
	for (uint64_t i = 1; i <= 200000; i++) {
		/* Phases of growth and of shrinking. */
		if (sn_rng_below(&rng, 100) < ((i >> 12) & 1 ? 35 : 65)) {
			uint64_t *p = sn_slab_take(&s);
			REQUIRE((p != NULL) == (n < N));
			if (p) {
				REQUIRE(*p == 0);
				*p = i;
				held[n++] = p;
			}
		} else if (n) {
			uint32_t k = (uint32_t)sn_rng_below(&rng, n);
			REQUIRE(*held[k] != 0);
			*held[k] = 0;
			sn_slab_put(&s, held[k]);
			held[k] = held[--n];
		}
		peak = SN_MAX(peak, n);
		REQUIRE(s.used == n && s.peak == peak);
	}
	free(r.base);
}

SN_TEST_MAIN()
