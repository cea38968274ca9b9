/* SPDX-License-Identifier: Apache-2.0
 *
 * Sending over IPv4: next hop, header, transport checksum.
 */
#include "engine/engine.h"
#include "wire/eth.h"
#include "wire/ipv4.h"

enum { TTL = 64 };

uint32_t sn_net_next_hop(const struct sn_engine *e, uint16_t port, uint32_t dst)
{
	const struct sn_net_port *p = &e->net.port[port];
	return ((p->ip ^ dst) & p->mask) == 0 ? dst : p->gateway;
}

static inline __attribute__((always_inline)) void prepend(struct sn_net_port *p, uint32_t src, uint32_t dst,
							  uint8_t proto, struct sn_tx *tx)
{
	struct sn_ipv4 ip = {.src = src,
			     .dst = dst,
			     .id = p->next_id++,
			     .frag = SN_IPV4_DF,
			     .ttl = TTL,
			     .proto = proto,
			     .tos = tx->flags & SN_TX_ECT0 ? SN_IP_ECT0 : 0,
			     .total_len = (uint16_t)(SN_IPV4_HDR + tx->hdr->len + tx->payload_len)};

	tx->hdr->data -= SN_IPV4_HDR;
	tx->hdr->len += SN_IPV4_HDR;
	tx->l3_off = SN_ETH_HDR;
	tx->l4_off = SN_ETH_HDR + SN_IPV4_HDR;
	sn_ipv4_emit(tx->hdr->data, &ip, tx->flags & SN_TX_CSUM_DONE);
}

static inline __attribute__((always_inline)) void output(struct sn_engine *e, uint16_t port, uint32_t src, uint32_t dst,
							 uint8_t proto, struct sn_tx *tx, sn_time now)
{
	struct sn_net_port *p = &e->net.port[port];
	uint32_t hop = ((p->ip ^ dst) & p->mask) == 0 ? dst : p->gateway;
	struct sn_neigh *h = p->last;

	if (SN_UNLIKELY(hop == 0)) {
		e->counters.tx_no_route++;
		sn_buf_free(tx->hdr);
		return;
	}
	tx->port = port;
	prepend(p, src, dst, proto, tx);
	if (SN_UNLIKELY(!h || h->ip != hop || h->state == SN_NEIGH_ASKING)) {
		struct sn_tx own = *tx; /* it may lie where the question for the neighbour goes */
		sn_neigh_send(e, port, hop, &own, now);
		return;
	}
	h->used = now;
	tx->hdr->data -= SN_ETH_HDR;
	tx->hdr->len += SN_ETH_HDR;
	sn_eth_emit(tx->hdr->data, h->mac, p->mac, SN_ETH_IPV4);
	sn_engine_emit(e, tx);
}

void sn_ipv4_send(struct sn_engine *e, uint16_t port, uint32_t src, uint32_t dst, uint8_t proto, struct sn_tx *tx,
		  sn_time now)
{
	output(e, port, src, dst, proto, tx, now);
}

/* Sum of the payload references, which may join at odd offsets. */
static uint32_t sum_payload(const struct sn_tx *tx)
{
	uint32_t sum = 0;
	size_t at = 0;

	for (uint32_t i = 0; i < tx->nref; i++) {
		sum = sn_csum_join(sum, sn_csum_partial(tx->ref[i].data, tx->ref[i].len, 0), at);
		at += tx->ref[i].len;
	}
	return sum;
}

void sn_net_send_tcp(struct sn_engine *e, uint16_t port, const struct sn_addr *src, const struct sn_addr *dst,
		     struct sn_tx *tx, int32_t payload_sum, sn_time now)
{
	uint32_t s = sn_addr_v4_get(src), d = sn_addr_v4_get(dst), payload = 0;

	if (tx->nref)
		payload = tx->ref[0].len;
	for (uint32_t i = 1; i < tx->nref; i++)
		payload += tx->ref[i].len;
	tx->payload_len = payload;
	if (SN_LIKELY(e->net.port[port].tx_csum)) {
		tx->flags &= (uint8_t)~SN_TX_CSUM_DONE;
	} else {
		/* TCP headers are a multiple of 4, so the payload starts on an even offset. */
		uint32_t sum = sn_csum_pseudo_v4(s, d, SN_IP_TCP, tx->hdr->len + payload);
		sum += payload_sum >= 0 ? (uint32_t)payload_sum : sum_payload(tx);
		sn_tcp_set_csum(tx->hdr->data, sn_csum_finish(sn_csum_partial(tx->hdr->data, tx->hdr->len, sum)));
		tx->flags |= SN_TX_CSUM_DONE;
	}
	output(e, port, s, d, SN_IP_TCP, tx, now);
}
