/* SPDX-License-Identifier: Apache-2.0
 *
 * ICMP errors about a flow (RFC 1122 4.2.3.9, RFC 5461, RFC 5927). Whoever does not see the flow must guess a sequence
 * number that is in flight to be believed. And believed or not, no error ends what is established: the timers do, and the
 * error is the reason that they give.
 *
 *               SYN_SENT            later
 *   hard        ends the open       noted
 *   soft        noted               noted
 *   too big     -                   pmtu.c
 */
#include "tcp/tcp.h"

static enum sn_err reason(enum sn_icmp_why why)
{
	switch (why) {
	case SN_ICMP_NET_UNREACHABLE: return SN_E_NETUNREACH;
	case SN_ICMP_REFUSED: return SN_E_REFUSED;
	case SN_ICMP_PARAMETER: return SN_E_PROTO;
	default: return SN_E_HOSTUNREACH;
	}
}

void sn_tcp_icmp_error(struct sn_tcp *t, const struct sn_icmp_error *m, sn_time now)
{
	bool hard = m->why == SN_ICMP_REFUSED || m->why == SN_ICMP_PROHIBITED;

	if (m->seq - t->snd_una >= t->snd_nxt - t->snd_una) { /* RFC 5927 4.1 */
		t->e->counters.icmp_error_forged++;
		return;
	}
	sn_tcp_enter(t);
	if (m->why == SN_ICMP_TOO_BIG) {
		sn_pmtu_too_big(t, m->mtu, now);
	} else if (hard && t->state == SN_TCP_SYN_SENT) {
		t->e->counters.icmp_error_ended++;
		sn_tcp_finish(t, reason(m->why), now);
	} else {
		t->e->counters.icmp_error_noted++;
		t->soft = (int8_t)reason(m->why);
		t->soft_una = t->snd_una;
	}
	sn_tcp_leave(t);
}

enum sn_err sn_tcp_silence(const struct sn_tcp *t)
{
	bool ours = t->state >= SN_TCP_ESTABLISHED || !t->passive;

	return ours && t->soft && t->soft_una == t->snd_una ? (enum sn_err)t->soft : SN_E_TIMEDOUT;
}
