/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding out that a reduction was for nothing, and taking it back.
 *
 *   Eifel (RFC 3522, 4015)   with timestamps: the ACK that first covers the first retransmission echoes the original
 *   D-SACK (RFC 2883, 3708)  the peer reports every retransmission since the reduction as a duplicate
 *   F-RTO (RFC 5682)         without timestamps, after a timeout: recovery.c asks, see there
 */
#include "tcp/tcp.h"

void sn_tcp_undo_begin(struct sn_tcp *t)
{
	t->undo_on = true;
	t->undo_first = false;
	t->undo_cwnd = t->cwnd;
	t->undo_ssthresh = t->ssthresh;
	t->undo_marker = t->snd_una;
	t->undo_sent = t->undo_dsacked = 0;
}

void sn_tcp_undo_sent(struct sn_tcp *t, const struct sn_tcp_txseg *s, sn_time now)
{
	if (!t->undo_on || t->ca == SN_CA_OPEN)
		return;
	if (!t->undo_sent++) {
		t->undo_first = t->ts_on && !s->sends; /* sent twice before: which copy came cannot be told */
		t->undo_seq = s->seq;
		t->undo_ts = sn_tcp_ts(t, now);
	}
}

void sn_tcp_undo_dsack(struct sn_tcp *t, const struct sn_sack_block *b)
{
	if (t->undo_on && t->undo_sent && sn_seq_geq(b->left, t->undo_marker))
		t->undo_dsacked++;
}

void sn_tcp_undo(struct sn_tcp *t, const struct sn_tcp_ackinfo *info, sn_time now)
{
	bool timeout = t->ca == SN_CA_LOSS;

	t->undo_on = t->undo_first = false;
	t->cwnd = SN_MAX(t->cwnd, t->undo_cwnd);
	t->ssthresh = SN_MAX(t->ssthresh, t->undo_ssthresh);
	if (t->cc->on_undo)
		t->cc->on_undo(t, now);
	sn_tcp_unmark_lost(t);
	t->ca = SN_CA_OPEN;
	t->frto = SN_FRTO_OFF;
	t->force_rtx = false;
	t->reno_dups = 0;
	if (timeout) {
		t->backoff = 0;
		if (info->rtt)
			sn_tcp_rtt_reseed(t, info->rtt);
	} else {
		t->reordered = true;
	}
	t->progress = true;
	t->e->counters.tcp_undo++;
}

void sn_tcp_undo_check(struct sn_tcp *t, const struct sn_tcp_ackinfo *info, sn_time now)
{
	if (t->undo_first && info->acked && sn_seq_gt(t->snd_una, t->undo_seq)) {
		t->undo_first = false;
		/* RFC 3522 3.2 step 5: with a D-SACK both copies came, and what was lost is the ACKs (3.3). */
		if (info->has_ecr && (int32_t)(info->ecr - t->undo_ts) < 0 && !info->dsack) {
			sn_tcp_undo(t, info, now);
			return;
		}
	}
	if (t->undo_sent && t->undo_dsacked >= t->undo_sent)
		sn_tcp_undo(t, info, now);
}
