/* SPDX-License-Identifier: Apache-2.0
 *
 * Delivery rate (draft-cheng-iccrg-delivery-rate-estimation): the bytes delivered between the sending of a segment and
 * its acknowledgement, over the longer of the time they took to be sent and the time they took to be acknowledged.
 * A sample is application-limited if the owner left room unused at some time while the segment was on its way.
 */
#include "tcp/tcp.h"

void sn_rate_check_limited(struct sn_tcp *t)
{
	uint32_t flight = sn_tcp_in_flight(t);

	if (t->ccx.limited_until == t->delivered + flight || flight + t->mss > t->cwnd || t->lost_out ||
	    sn_timer_armed(&t->ccx.timer))
		return;
	if (!t->shared && t->snd_nxt - t->snd_una + t->mss > t->snd_wnd)
		return; /* it is the peer who holds back */
	t->ccx.limited_until = SN_MAX(t->delivered + flight, (uint64_t)1);
}
