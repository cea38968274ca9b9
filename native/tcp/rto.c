/* SPDX-License-Identifier: Apache-2.0
 *
 * Round-trip time and retransmission timeout, RFC 6298. Samples come from segments that were sent once, or from echoed
 * timestamps (RFC 7323 4), so that Karn's rule holds.
 */
#include "tcp/tcp.h"

#define GRANULARITY SN_MSEC

static void set_rto(struct sn_tcp *t)
{
	const struct sn_tcp_cfg *cfg = &t->e->cfg.tcp;
	/* The floor applies to the variance term: a path of 300 ms needs its margin as much as one of 1 ms. */
	sn_time margin = SN_MAX(4 * t->rttvar, SN_MAX(GRANULARITY, cfg->rto_min));

	t->rto = SN_MIN(t->srtt + margin, cfg->rto_max);
}

void sn_tcp_rtt_sample(struct sn_tcp *t, sn_time rtt)
{
	rtt = SN_MAX(rtt, (sn_time)1);
	if (!t->min_rtt || rtt < t->min_rtt)
		t->min_rtt = rtt;
	if (!t->srtt) {
		t->srtt = rtt;
		t->rttvar = rtt / 2;
	} else {
		sn_time err = t->srtt > rtt ? t->srtt - rtt : rtt - t->srtt;
		t->rttvar = t->rttvar - t->rttvar / 4 + err / 4;
		t->srtt = t->srtt - t->srtt / 8 + rtt / 8;
	}
	set_rto(t);
}

void sn_tcp_rtt_reseed(struct sn_tcp *t, sn_time rtt)
{
	t->srtt = SN_MAX(t->srtt, rtt);
	t->rttvar = SN_MAX(t->rttvar, rtt / 2);
	set_rto(t);
}

sn_time sn_tcp_rto(const struct sn_tcp *t)
{
	sn_time max = t->e->cfg.tcp.rto_max;
	uint32_t shift = SN_MIN(t->backoff, 20);

	return t->rto > max >> shift ? max : t->rto << shift;
}
