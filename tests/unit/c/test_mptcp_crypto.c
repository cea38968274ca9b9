/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens, initial data sequence numbers and HMACs; the expected values come from Python's hashlib and hmac.
 */
#include "mptcp/conn.h"
#include "sn_test.h"

#define K1 0x0123456789abcdefull
#define K2 0xfedcba9876543210ull

SN_TEST(token_and_idsn_are_the_ends_of_the_keys_digest)
{
	uint32_t token;
	uint64_t idsn;
	sn_mp_key_digest(K1, &token, &idsn);
	CHECK_EQ(token, 0x55c53f5d);
	CHECK(idsn == 0x570762cd38be9818ull);
	sn_mp_key_digest(K2, &token, &idsn);
	CHECK_EQ(token, 0x18f9781b);
	CHECK(idsn == 0x280818bf0fa7e28eull);
}

SN_TEST(join_hmac)
{
	static const uint8_t want[32] = {0xf6, 0x17, 0x53, 0xd6, 0xb8, 0xac, 0x22, 0x77, 0x64, 0xb9, 0xd1,
					 0xb1, 0x7a, 0x6f, 0x5c, 0xee, 0xec, 0x9d, 0x1a, 0x8a, 0x43, 0x51,
					 0xaf, 0xe5, 0x40, 0x8a, 0x31, 0xe5, 0x8c, 0xbb, 0xe7, 0xba};
	uint8_t out[32];
	sn_mp_hmac_join(K1, K2, 0x11223344, 0xaabbccdd, out);
	CHECK_MEM(out, want, 32);
	CHECK(sn_mp_equal(out, want, 20));
	out[19] ^= 1;
	CHECK(!sn_mp_equal(out, want, 20));
}

SN_TEST(add_addr_hmac_covers_id_address_and_port)
{
	struct sn_mp_add_addr a = {.id = 7, .family = 4, .addr = sn_addr_v4(0x0a000201)};
	CHECK(sn_mp_hmac_add_addr(K1, K2, &a) == 0x50f6b48307548511ull);
	a.has_port = 1;
	a.port = 8080;
	CHECK(sn_mp_hmac_add_addr(K1, K2, &a) == 0x2db87294b881548aull);
	struct sn_mp_add_addr b = {.id = 9, .family = 6, .has_port = 1, .port = 443};
	static const uint8_t v6[16] = {0x20, 1, 0x0d, 0xb8, [15] = 0x42};
	memcpy(b.addr.b, v6, 16);
	CHECK(sn_mp_hmac_add_addr(K1, K2, &b) == 0x3d847c5ee3189607ull);
}

SN_TEST_MAIN()
