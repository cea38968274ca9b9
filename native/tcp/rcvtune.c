/* SPDX-License-Identifier: Apache-2.0
 *
 * Receive window tuning (dynamic right-sizing): the window starts at cfg.rcv_initial and grows to four times what the
 * application took in one round trip, so that the peer's slow start, which doubles, never meets it; at most to what the
 * owner grants. A window accounted above (MPTCP) is the owner's business alone.
 *
 * The round trip as a receiver sees it: the age of the timestamp that a data segment echoes, or without timestamps the time
 * in which a whole advertised window was used up. Both are too long rather than too short.
 */
#include "tcp/tcp.h"

static void measure(struct sn_tcp *t, const struct sn_tcp_seg *seg, sn_time now)
{
	sn_time rtt = 0;

	if (t->ts_on && (seg->opts & SN_OPT_TS)) {
		int32_t ms = (int32_t)(sn_tcp_ts(t, now) - seg->ts_ecr);
		if (seg->ts_ecr && ms >= 0)
			rtt = SN_MAX((sn_time)ms, (sn_time)1) * SN_MSEC;
	} else if (!t->tune_rtt_at || sn_seq_geq(t->rcv_nxt, t->tune_rtt_seq)) {
		if (t->tune_rtt_at)
			rtt = SN_MAX(now - t->tune_rtt_at, (sn_time)1);
		t->tune_rtt_at = now;
		t->tune_rtt_seq = t->rcv_adv;
	}
	if (!rtt)
		return;
	t->tune_rtt = !t->tune_rtt || rtt < t->tune_rtt ? rtt : t->tune_rtt + (rtt - t->tune_rtt) / 8;
}

void sn_tcp_rcv_tune(struct sn_tcp *t, const struct sn_tcp_seg *seg, sn_time now)
{
	if (t->shared || t->rcv_tuned >= t->rcv_space || !t->owner)
		return;
	measure(t, seg, now);
	if (!t->tune_rtt || now - t->tune_at < t->tune_rtt)
		return;
	uint32_t free = SN_MIN(t->up->window(t->owner), t->rcv_space), held = t->rcv_space - free;
	int64_t taken = (int64_t)(t->rcv_nxt - t->tune_seq) + t->tune_held - held;
	if (t->tune_at && taken > 0 && 4 * taken > t->rcv_tuned)
		t->rcv_tuned = (uint32_t)SN_MIN(4 * taken, (int64_t)t->rcv_space);
	t->tune_at = now;
	t->tune_seq = t->rcv_nxt;
	t->tune_held = held;
}
