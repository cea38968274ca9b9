/* SPDX-License-Identifier: Apache-2.0
 *
 * Loss detection by time, RFC 8985 6 (RACK): what was sent before something that was delivered, and is overdue by a
 * reordering window, is lost. The order of sending is known without a list of its own: records that were sent once lie in
 * the send queue from loss_edge on, retransmissions in rtxq. Both are looked at from their oldest and left at the first
 * that still has time, so each record is judged once per transmission.
 */
#include "tcp/tcp.h"

enum { REO_PERSIST = 16, REO_MAX = 64 };

static bool sent_before(sn_time a, uint32_t a_end, sn_time b, uint32_t b_end)
{
	return a < b || (a == b && sn_seq_lt(a_end, b_end));
}

void sn_tcp_rack_update(struct sn_tcp *t, const struct sn_tcp_txseg *s, const struct sn_tcp_ackinfo *info, sn_time now)
{
	uint32_t end = sn_txseg_end(s);

	sn_time sent = s->sent;
	if (s->flags & SN_TXS_EVER) {
		/* 6.2 step 2: it may be the first copy that arrived. */
		if (now - sent < t->min_rtt || (info->has_ecr && (int32_t)(info->ecr - sn_tcp_ts(t, sent)) < 0)) {
			if (s->sends != 1)
				return;
			sent = s->first;
		}
	} else if (sn_seq_lt(end, info->prior_fack)) {
		t->reordered = true; /* 6.2 step 3 */
	}
	if (sn_seq_gt(end, t->rack_fack))
		t->rack_fack = end;
	if (!t->rack || sent_before(t->rack, t->rack_end, sent, end)) {
		t->rack = sent;
		t->rack_end = end;
		t->rack_rtt = now - sent;
	}
}

/* 6.2 step 4. */
static sn_time reordering_window(const struct sn_tcp *t)
{
	if (!t->reordered && (t->ca != SN_CA_OPEN || t->sacked_out >= SN_TCP_DUPTHRESH))
		return 0;
	return SN_MIN(t->reo_mult * (t->min_rtt / 4), t->srtt);
}

sn_time sn_tcp_rack_patience(const struct sn_tcp *t) { return t->rack_rtt + reordering_window(t); }

void sn_tcp_rack_dsack(struct sn_tcp *t)
{
	if (sn_seq_lt(t->snd_una, t->reo_round)) /* once per round trip */
		return;
	t->reo_round = t->snd_nxt;
	t->reordered = true;
	t->reo_persist = REO_PERSIST;
	if (t->reo_mult < REO_MAX)
		t->reo_mult++;
}

void sn_tcp_rack_recovered(struct sn_tcp *t)
{
	if (t->reo_persist && --t->reo_persist == 0)
		t->reo_mult = 1;
}

/* True if `s` is lost; else says in rack_at when it will be, if it was sent before what was delivered. */
static bool overdue(struct sn_tcp *t, const struct sn_tcp_txseg *s, sn_time patience, sn_time now)
{
	/* Within one instant originals go in sequence order, a retransmission before what was new behind it. */
	if (!sent_before(s->sent, s->flags & SN_TXS_EVER ? s->snd_nxt : sn_txseg_end(s), t->rack, t->rack_end))
		return false;
	if (s->sent + patience <= now)
		return true;
	if (!t->rack_at || s->sent + patience < t->rack_at)
		t->rack_at = s->sent + patience;
	return false;
}

bool sn_tcp_rack_detect(struct sn_tcp *t, sn_time now)
{
	sn_time patience = sn_tcp_rack_patience(t);
	struct sn_tcp_txseg *s;
	bool any = false;

	t->rack_at = 0;
	if (!t->rack)
		return false;
	while ((s = t->rtxq) && overdue(t, s, patience, now)) {
		sn_tcp_mark(t, s);
		any = true;
	}
	for (s = t->loss_edge; s; s = s->next) {
		if (s->flags & (SN_TXS_SACKED | SN_TXS_LOST | SN_TXS_EVER))
			continue;
		if (!overdue(t, s, patience, now))
			break;
		if (SN_UNLIKELY(t->pmtu.flying) && sn_pmtu_probe_lost(t, s, now))
			continue;
		sn_tcp_mark(t, s);
		any = true;
	}
	t->loss_edge = s;
	return any;
}
