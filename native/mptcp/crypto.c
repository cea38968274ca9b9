/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens, initial data sequence numbers and HMACs (RFC 8684 3.1, 3.2, 3.4.1) by OpenSSL. Its one-shot SHA256() looks the
 * algorithm up and allocates each time, four times the work of one block: tokens are made for SYNs, so they take the old calls.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "mptcp/conn.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

void sn_mp_key_digest(uint64_t key, uint32_t *token, uint64_t *idsn)
{
	uint8_t k[8], d[SHA256_DIGEST_LENGTH];
	SHA256_CTX ctx;
	sn_put64(k, key);
	SHA256_Init(&ctx);
	SHA256_Update(&ctx, k, sizeof k);
	SHA256_Final(d, &ctx);
	*token = sn_get32(d);
	*idsn = sn_get64(d + 24);
}

void sn_mp_hmac(uint64_t k1, uint64_t k2, const uint8_t *msg, uint32_t len, uint8_t out[32])
{
	uint8_t key[16];
	unsigned int n = 32;
	sn_put64(key, k1);
	sn_put64(key + 8, k2);
	if (!HMAC(EVP_sha256(), key, sizeof key, msg, len, out, &n))
		memset(out, 0, 32);
}

void sn_mp_hmac_join(uint64_t k1, uint64_t k2, uint32_t n1, uint32_t n2, uint8_t out[32])
{
	uint8_t msg[8];
	sn_put32(msg, n1);
	sn_put32(msg + 4, n2);
	sn_mp_hmac(k1, k2, msg, sizeof msg, out);
}

uint64_t sn_mp_hmac_add_addr(uint64_t k_sender, uint64_t k_receiver, const struct sn_mp_add_addr *a)
{
	uint8_t msg[19], out[32];
	uint32_t n = 0;
	msg[n++] = a->id;
	if (a->family == 6) {
		memcpy(msg + n, a->addr.b, 16);
		n += 16;
	} else {
		memcpy(msg + n, a->addr.b + 12, 4);
		n += 4;
	}
	sn_put16(msg + n, a->has_port ? a->port : 0);
	n += 2;
	sn_mp_hmac(k_sender, k_receiver, msg, n, out);
	return sn_get64(out + 24);
}

bool sn_mp_equal(const void *a, const void *b, uint32_t n) { return CRYPTO_memcmp(a, b, n) == 0; }
