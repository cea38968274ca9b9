/* SPDX-License-Identifier: Apache-2.0
 *
 * ICMP errors of both families: the flow that each is about is told, whichever worker has it. What follows is TCP's
 * matter (tcp/icmp.c): here nothing is believed but that a segment of that flow may have left from here.
 */
#include "wire/icmp_error.h"

#include "engine/engine.h"
#include "wire/ip.h"

/* Takes the buffer. */
static void tell(struct sn_engine *e, struct sn_buf *b, const struct sn_icmp_error *m, sn_time now)
{
	struct sn_flow flow = {.local = m->src, .remote = m->dst, .lport = m->sport, .rport = m->dport};
	struct sn_tcp *t = sn_net_flow_find(e, &flow);

	if (t && e->tcp_ops->error)
		e->tcp_ops->error(t, m, now);
	else if (!t && sn_demux_elsewhere(e, b, &flow, now))
		return;
	else
		e->counters.icmp_error_no_flow++;
	sn_buf_free(b);
}

void sn_icmp_error_rx(struct sn_engine *e, struct sn_buf *b, const struct sn_ip *ip, const uint8_t *p, uint32_t len,
		      sn_time now)
{
	struct sn_icmp_error m;
	enum sn_icmp_verdict v =
		ip->proto == SN_IP_ICMP ? sn_icmp_error_parse(&m, p, len) : sn_icmp6_error_parse(&m, p, len);
	bool first = !(b->flags & SN_BUF_FORWARDED);

	if (v == SN_ICMP_NO_ERROR) {
		sn_buf_free(b);
		return;
	}
	e->counters.icmp_error_rx += first;
	if (v == SN_ICMP_BAD) {
		e->counters.rx_drop_icmp++;
	} else if (first && !sn_net_limit_take(&e->net.error_limit, SN_ICMP_ERROR_RATE, now)) {
		e->counters.icmp_error_limited++;
	} else if (v == SN_ICMP_OTHER || !sn_addr_eq(&m.src, &ip->dst)) {
		e->counters
			.icmp_error_no_flow++; /* nor is it an answer to what we sent if the packet had another source */
	} else {
		tell(e, b, &m, now);
		return;
	}
	sn_buf_free(b);
}
