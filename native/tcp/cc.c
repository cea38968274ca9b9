/* SPDX-License-Identifier: Apache-2.0
 *
 * Registry of congestion controls, and when they are called.
 */
#include "tcp/tcp.h"

enum { WINDOW_MAX = 1 << 30 };

static const struct sn_cc_ops *const all[] = {&sn_cc_cubic, &sn_cc_newreno, &sn_cc_bbr, &sn_cc_dctcp};

static const struct sn_cc_ops *look_up(const char *name)
{
	for (size_t i = 0; name && i < sizeof all / sizeof all[0]; i++)
		if (strcmp(all[i]->name, name) == 0)
			return all[i];
	return NULL;
}

bool sn_cc_known(const char *name) { return look_up(name); }

const struct sn_cc_ops *sn_cc_find(const char *name)
{
	const struct sn_cc_ops *cc = look_up(name);

	return cc ? cc : all[0];
}

/* Pacing of a window: in slow start twice as fast as it is acknowledged, later a fifth faster. */
static void pace_window(struct sn_tcp *t)
{
	if (!t->srtt)
		return;
	uint32_t gain = t->cwnd < t->ssthresh ? 10 : 6;
	sn_pace_set(t, (uint64_t)t->cwnd * (SN_SEC / 1000) / SN_MAX(t->srtt / 1000, (sn_time)1) * gain / 5);
}

void sn_cc_init(struct sn_tcp *t, sn_time now)
{
	/* RFC 6928 2; after a lost SYN the initial window is one segment (RFC 5681 3.1). */
	t->cwnd = (t->syn_resent ? 1 : t->e->cfg.tcp.initial_window) * t->mss;
	t->first_us = t->delivered_us = (uint32_t)(now / SN_USEC);
	t->ccx.next = now;
	t->cc->init(t, now);
	if (t->e->cfg.tcp.pacing && !t->ccx.rate)
		pace_window(t);
}

/* In slow start the window may also grow while it is at most twice what is used. */
static bool window_limited(const struct sn_tcp *t, uint32_t prior_pipe)
{
	return t->limited || t->ca == SN_CA_LOSS || (t->cwnd < t->ssthresh && t->cwnd < 2 * prior_pipe);
}

void sn_cc_acked(struct sn_tcp *t, const struct sn_tcp_seg *seg, const struct sn_tcp_ackinfo *info, sn_time now)
{
	struct sn_cc_ack a = {.acked = info->acked,
			      .delivered = info->delivered,
			      .lost = t->lost_total - info->lost_before,
			      .rtt = info->rtt,
			      .now = now,
			      .prior_pipe = info->prior_pipe};

	sn_rate_sample(t, info, &a.rs);
	a.ece = t->ccx.ecn && (seg->flags & SN_TH_ECE);
	/* An algorithm with exact ECN weighs the marks by itself. */
	if (SN_UNLIKELY(a.ece && !t->cc->exact_ecn && sn_ecn_congestion(t)))
		t->cc->on_loss(t, now);
	if (t->cc->own_recovery) {
		t->cc->on_ack(t, &a);
	} else if (info->acked && t->ca != SN_CA_RECOVERY && (!a.ece || t->cc->exact_ecn)) {
		/* RFC 3168 6.1.2: a window does not grow by an ACK with ECE. */
		a.limited = window_limited(t, info->prior_pipe);
		t->cc->on_ack(t, &a);
	}
	t->cwnd = SN_MIN(t->cwnd, (uint32_t)WINDOW_MAX);
	if (t->e->cfg.tcp.pacing && !t->cc->own_recovery)
		pace_window(t);
}

void sn_cc_idle(struct sn_tcp *t, sn_time now)
{
	/* RFC 5681 4.1: after an idle RTO the network is no longer known: start from the restart window, min(IW, cwnd), and
	 * remember what was. Somebody who paces needs not. */
	uint32_t iw = t->e->cfg.tcp.initial_window * t->mss;

	if (t->cc->on_restart)
		t->cc->on_restart(t, now - t->last_send, now);
	if (t->cwnd > iw && !t->cc->own_recovery) {
		t->ssthresh = SN_MAX(t->ssthresh, t->cwnd / 4 * 3);
		t->cwnd = iw;
	}
	t->limited = false;
}
