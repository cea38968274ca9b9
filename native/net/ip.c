/* SPDX-License-Identifier: Apache-2.0
 *
 * Sending over IPv4 and IPv6: next hop, header, transport checksum.
 */
#include "net/neigh.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

enum { TTL = 64 };

/* The header of `size` bytes at tx->hdr->data was written by the caller. */
static inline __attribute__((always_inline)) void send_to(struct sn_engine *e, uint16_t port, enum sn_family family,
							  const struct sn_addr *hop, uint32_t size, struct sn_tx *tx,
							  sn_time now)
{
	struct sn_neigh *h = e->net.port[port].last[family];

	tx->port = port;
	tx->l3_off = SN_ETH_HDR;
	tx->l4_off = (uint16_t)(SN_ETH_HDR + size);
	bool same = h && (family == SN_FAMILY_4 ? sn_addr_v4_get(&h->addr) == sn_addr_v4_get(hop)
						: sn_addr_eq(&h->addr, hop));
	if (SN_UNLIKELY(!same || h->state == SN_NEIGH_ASKING)) {
		struct sn_tx own = *tx; /* it may lie where the question for the neighbour goes */
		sn_neigh_send(e, port, hop, &own, now);
		return;
	}
	h->used = now;
	sn_neigh_emit(e, h, family == SN_FAMILY_4 ? SN_ETH_IPV4 : SN_ETH_IPV6, tx);
}

static void no_route(struct sn_engine *e, struct sn_tx *tx)
{
	e->counters.tx_no_route++;
	sn_buf_free(tx->hdr);
}

static inline __attribute__((always_inline)) void send_v4(struct sn_engine *e, uint16_t port, const struct sn_addr *src,
							  const struct sn_addr *dst, uint8_t proto, struct sn_tx *tx,
							  sn_time now)
{
	struct sn_net_port *p = &e->net.port[port];
	struct sn_ipv4 ip = {.src = sn_addr_v4_get(src),
			     .dst = sn_addr_v4_get(dst),
			     .id = p->next_id++,
			     .frag = proto == SN_IP_TCP ? SN_IPV4_DF : 0, /* nobody would learn that a reply got lost */
			     .ttl = TTL,
			     .proto = proto,
			     .tos = tx->flags & SN_TX_ECT0 ? SN_IP_ECT0 : 0,
			     .total_len = (uint16_t)(SN_IPV4_HDR + tx->hdr->len + tx->payload_len)};
	const struct sn_addr *hop = dst;

	if (((p->ip ^ ip.dst) & p->direct) != 0 || SN_UNLIKELY(!p->ip)) {
		hop = &p->nif[SN_FAMILY_4].gateway;
		if (p->routes[SN_FAMILY_4])
			hop = ip.dst == p->routed ? &p->routed_via : sn_net_routed(p, dst);
		if (SN_UNLIKELY(!p->ip || sn_addr_is_any(hop))) {
			no_route(e, tx);
			return;
		}
	}
	tx->hdr->data -= SN_IPV4_HDR;
	tx->hdr->len += SN_IPV4_HDR;
	sn_ipv4_emit(tx->hdr->data, &ip, tx->flags & SN_TX_CSUM_DONE);
	send_to(e, port, SN_FAMILY_4, hop, SN_IPV4_HDR, tx, now);
}

static __attribute__((noinline)) void send_v6(struct sn_engine *e, uint16_t port, const struct sn_addr *src,
					      const struct sn_addr *dst, uint8_t proto, struct sn_tx *tx, sn_time now)
{
	struct sn_ip ip = {.src = *src,
			   .dst = *dst,
			   .proto = proto,
			   .ttl = TTL,
			   .tos = tx->flags & SN_TX_ECT0 ? SN_IP_ECT0 : 0,
			   .total_len = (uint16_t)(SN_IPV6_HDR + tx->hdr->len + tx->payload_len)};
	struct sn_addr hop;

	if (!sn_net_next_hop(e, port, dst, &hop)) {
		no_route(e, tx);
		return;
	}
	tx->flags |= SN_TX_IPV6;
	tx->hdr->data -= SN_IPV6_HDR;
	tx->hdr->len += SN_IPV6_HDR;
	sn_ipv6_emit(tx->hdr->data, &ip);
	send_to(e, port, SN_FAMILY_6, &hop, SN_IPV6_HDR, tx, now);
}

void sn_ip_send(struct sn_engine *e, uint16_t port, const struct sn_addr *src, const struct sn_addr *dst, uint8_t proto,
		struct sn_tx *tx, sn_time now)
{
	if (sn_addr_is_v4(dst))
		send_v4(e, port, src, dst, proto, tx, now);
	else
		send_v6(e, port, src, dst, proto, tx, now);
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
	uint32_t payload = 0;

	if (tx->nref)
		payload = tx->ref[0].len;
	for (uint32_t i = 1; i < tx->nref; i++)
		payload += tx->ref[i].len;
	tx->payload_len = payload;
	if (SN_LIKELY(e->net.port[port].tx_csum)) {
		tx->flags &= (uint8_t)~SN_TX_CSUM_DONE;
	} else if (tx->segs) {
		tx->flags |= SN_TX_CSUM_DONE;
	} else {
		/* TCP headers are a multiple of 4, so the payload starts on an even offset. */
		uint32_t sum = sn_csum_pseudo(src, dst, SN_IP_TCP, tx->hdr->len + payload);
		sum += payload_sum >= 0 ? (uint32_t)payload_sum : sum_payload(tx);
		sn_tcp_set_csum(tx->hdr->data, sn_csum_finish(sn_csum_partial(tx->hdr->data, tx->hdr->len, sum)));
		tx->flags |= SN_TX_CSUM_DONE;
	}
	if (SN_LIKELY(sn_addr_is_v4(dst)))
		send_v4(e, port, src, dst, SN_IP_TCP, tx, now);
	else
		send_v6(e, port, src, dst, SN_IP_TCP, tx, now);
}

void sn_net_send_unit(struct sn_engine *e, uint16_t port, const struct sn_addr *src, const struct sn_addr *dst,
		      struct sn_tx *tx, sn_time now)
{
	uint32_t more = tx->segs - 1u;
	uint32_t headers = SN_ETH_HDR + (sn_addr_is_v4(dst) ? SN_IPV4_HDR : SN_IPV6_HDR) + tx->hdr->len;
	uint64_t before = e->counters.tx_packets;

	sn_net_send_tcp(e, port, src, dst, tx, -1, now);
	if (SN_UNLIKELY(e->counters.tx_packets == before))
		return;
	/* The frames behind the first. */
	e->net.port[port].next_id = (uint16_t)(e->net.port[port].next_id + more);
	e->counters.tx_packets += more;
	e->counters.tx_bytes += more * headers;
	e->counters.tx_units++;
}
