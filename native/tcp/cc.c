/* SPDX-License-Identifier: Apache-2.0
 *
 * Registry of congestion controls, and when they are called.
 */
#include "tcp/tcp.h"

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

void sn_cc_choose(struct sn_tcp *t, const char *name)
{
	t->cc = sn_cc_find(name);
	if (t->cc != &sn_cc_bbr)
		return;
	t->ccs.bbr = sn_slab_take(&t->e->tcp.bbr);
	if (!t->ccs.bbr) {
		t->e->counters.tcp_mem_limit++;
		t->cc = all[0];
	}
}

void sn_cc_leave(struct sn_tcp *t)
{
	if (t->cc == &sn_cc_bbr)
		sn_slab_put(&t->e->tcp.bbr, t->ccs.bbr);
}

/* Pacing of a window: in slow start twice as fast as it is acknowledged, later a fifth faster. */
void sn_cc_pace(struct sn_tcp *t)
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
	t->first_at = t->delivered_at = sn_rate_clock(now);
	t->ccx.next = now;
	t->cc->init(t, now);
	if (t->e->cfg.tcp.pacing && !t->ccx.rate)
		sn_cc_pace(t);
}

void sn_cc_acked(struct sn_tcp *t, const struct sn_tcp_seg *seg, const struct sn_tcp_ackinfo *info, sn_time now)
{
	sn_cc_feed(t, info, t->ccx.ecn && (seg->flags & SN_TH_ECE), now);
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
