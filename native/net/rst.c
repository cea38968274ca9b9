/* SPDX-License-Identifier: Apache-2.0
 *
 * RST in answer to a segment without a connection (RFC 9293 3.10.7.1).
 */
#include "engine/engine.h"

void sn_net_send_rst(struct sn_engine *e, uint16_t port, const struct sn_flow *flow, const struct sn_tcp_seg *seg,
		     const uint8_t *opts, uint32_t opt_len, sn_time now)
{
	struct sn_tcp_seg rst = {.sport = flow->lport, .dport = flow->rport, .flags = SN_TH_RST};
	struct sn_tx tx = {.port = port};

	if (seg->flags & SN_TH_RST)
		return;
	if (!sn_net_limit_take(&e->net.rst_limit, SN_RST_RATE, now)) {
		e->counters.tcp_rst_limited++;
		return;
	}
	tx.hdr = sn_buf_alloc(e->cfg.pool);
	if (!tx.hdr) {
		e->counters.tx_nobuf++;
		return;
	}
	if (seg->flags & SN_TH_ACK) {
		rst.seq = seg->ack;
	} else {
		rst.ack = seg->seq + seg->len + !!(seg->flags & SN_TH_SYN) + !!(seg->flags & SN_TH_FIN);
		rst.flags |= SN_TH_ACK;
	}
	tx.hdr->data = tx.hdr->base + SN_HEADROOM;
	tx.hdr->len = SN_TCP_HDR_MIN + opt_len;
	sn_tcp_emit(tx.hdr->data, &rst, opt_len);
	if (opt_len)
		memcpy(tx.hdr->data + SN_TCP_HDR_MIN, opts, opt_len);
	e->counters.tcp_rst_tx++;
	sn_net_send_tcp(e, port, &flow->local, &flow->remote, &tx, -1, now);
}
