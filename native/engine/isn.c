/* SPDX-License-Identifier: Apache-2.0
 *
 * Initial sequence numbers, RFC 6528: ISN = M + F(local, remote, secret), M a clock of 4 us, F keyed and unpredictable.
 * F is SipHash-2-4 (Aumasson and Bernstein, 2012) over the 4-tuple.
 */
#include "engine/engine.h"
#include "net/siphash.h"

uint32_t sn_engine_isn(struct sn_engine *e, const struct sn_flow *flow, sn_time now)
{
	uint8_t key[36];
	memcpy(key, flow->local.b, 16);
	memcpy(key + 16, flow->remote.b, 16);
	sn_put16(key + 32, flow->lport);
	sn_put16(key + 34, flow->rport);
	return (uint32_t)(now / (4 * SN_USEC)) + (uint32_t)sn_siphash(e->cfg.secret, key, sizeof key);
}
