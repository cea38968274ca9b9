/* SPDX-License-Identifier: Apache-2.0
 *
 * ICMP: echo requests are answered (RFC 1122 3.2.2.6), everything else is ignored.
 */
#include "wire/icmp.h"

#include "engine/engine.h"
#include "wire/eth.h"
#include "wire/ipv4.h"

static void answer(struct sn_engine *e, uint16_t port, const struct sn_ipv4 *ip, const struct sn_icmp *m,
		   const uint8_t *data, uint32_t len, sn_time now)
{
	struct sn_icmp reply = {.type = SN_ICMP_ECHO_REPLY, .code = 0, .id = m->id, .seq = m->seq};
	struct sn_tx tx = {.port = port, .flags = SN_TX_CSUM_DONE};

	tx.hdr = sn_buf_alloc(e->cfg.pool);
	if (!tx.hdr) {
		e->counters.tx_nobuf++;
		return;
	}
	if (SN_HEADROOM + SN_ICMP_HDR + len > tx.hdr->room) {
		sn_buf_free(tx.hdr);
		e->counters.rx_drop_icmp++;
		return;
	}
	tx.hdr->data = tx.hdr->base + SN_HEADROOM;
	tx.hdr->len = SN_ICMP_HDR + len;
	memcpy(tx.hdr->data + SN_ICMP_HDR, data, len);
	sn_icmp_emit(tx.hdr->data, &reply, len);
	e->counters.icmp_echo++;
	sn_ipv4_send(e, port, ip->dst, ip->src, SN_IP_ICMP, &tx, now);
}

void sn_icmp_rx(struct sn_engine *e, struct sn_buf *b, const struct sn_ipv4 *ip, const uint8_t *p, uint32_t len,
		sn_time now)
{
	struct sn_icmp m;

	if (!sn_icmp_parse(&m, p, len))
		e->counters.rx_drop_icmp++;
	else if (m.type == SN_ICMP_ECHO && m.code == 0)
		answer(e, b->port, ip, &m, p + SN_ICMP_HDR, len - SN_ICMP_HDR, now);
	sn_buf_free(b);
}
