/* SPDX-License-Identifier: Apache-2.0
 *
 * Round-trip time and retransmission timeout, RFC 6298. Samples come from segments that were sent once, or from echoed
 * timestamps (RFC 7323 4), so that Karn's rule holds.
 */
#include "tcp/tcp.h"

void sn_tcp_rtt_reseed(struct sn_tcp *t, sn_time rtt)
{
	t->srtt = SN_MAX(t->srtt, rtt);
	t->rttvar = SN_MAX(t->rttvar, rtt / 2);
	sn_tcp_set_rto(t);
}

sn_time sn_tcp_rto(const struct sn_tcp *t)
{
	sn_time max = t->e->cfg.tcp.rto_max;
	uint32_t shift = SN_MIN(t->backoff, 20);

	return t->rto > max >> shift ? max : t->rto << shift;
}
