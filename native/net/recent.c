/* SPDX-License-Identifier: Apache-2.0
 *
 * The short way of a received frame: flows that were met lately are found by the twelve bytes that stand in their packets,
 * without parsing addresses and without the keyed hash. A frame that is not plain, or of no such flow, goes the long way
 * (net.c, demux.c), which would do the same with those that are.
 *
 * Segments of one flow that follow each other in a burst, with the same header but for the number, go to TCP as one run.
 */
#include "engine/engine.h"
#include "wire/eth.h"
#include "wire/ipv4.h"

/* Where a flow would stand among the recent ones. A peer that makes flows collide only costs itself the shortcut. */
static inline struct sn_net_recent *recent_at(struct sn_net *n, uint64_t addrs, uint32_t ports)
{
	return &n->recent[((uint32_t)(addrs ^ addrs >> 32) ^ ports) * 0x9e3779b1u >> 24];
}
_Static_assert(SN_FLOW_RECENT == 256, "the top byte of the hash");

/* The entry of a flow, and what would stand in it. */
static struct sn_net_recent *recent_of(struct sn_net *n, const struct sn_flow *f, struct sn_net_recent *key)
{
	uint8_t addrs[8], ports[4];

	memcpy(addrs, f->remote.b + 12, 4);
	memcpy(addrs + 4, f->local.b + 12, 4);
	sn_put16(ports, f->rport);
	sn_put16(ports + 2, f->lport);
	*key = (struct sn_net_recent){0};
	memcpy(&key->addrs, addrs, 8);
	memcpy(&key->ports, ports, 4);
	return recent_at(n, key->addrs, key->ports);
}

void sn_recent_learn(struct sn_net *n, struct sn_net_flow *f)
{
	struct sn_net_recent key, *r = recent_of(n, &f->flow, &key);

	if (!sn_addr_is_v4(&f->flow.remote))
		return; /* twelve bytes do not tell it from others */
	*r = key;
	r->tcp = f->tcp;
	r->flow = f;
}

struct sn_net_recent *sn_recent_find(struct sn_net *n, const struct sn_flow *f)
{
	struct sn_net_recent key, *r = recent_of(n, f, &key);

	return r->tcp && sn_addr_is_v4(&f->remote) && r->addrs == key.addrs && r->ports == key.ports ? r : NULL;
}

/* Both checksums of a segment behind a header without options; `len` bytes follow the header. */
static __attribute__((noinline)) bool sums_good(const uint8_t *l3, uint32_t len)
{
	return sn_csum_fold(sn_csum_partial(l3, SN_IPV4_HDR, 0)) == 0xffff &&
	       sn_csum_tcp_v4_good(sn_get32(l3 + 12), sn_get32(l3 + 16), l3 + SN_IPV4_HDR, len);
}

/* A frame that needs no more looks: an IPv4 TCP segment without IP options and fragments, in a buffer of ours, sound as far
 * as IP goes. */
static inline __attribute__((always_inline)) bool plain(const struct sn_engine *e, const struct sn_buf *b,
							struct sn_ipv4_plain *ip)
{
	return b->pool == e->cfg.pool && b->port < e->net.ports &&
	       b->len >= SN_ETH_HDR + SN_IPV4_HDR + SN_TCP_HDR_MIN &&
	       sn_eth_dst_word(b->data) == e->net.port[b->port].mac_word && sn_get16(b->data + 12) == SN_ETH_IPV4 &&
	       sn_ipv4_parse_plain(ip, b->data + SN_ETH_HDR, b->len - SN_ETH_HDR, SN_IP_TCP);
}

/* Segments that a burst may hold more of with the same header: nothing but data under an ACK, and no option that is said
 * once. */
static inline bool may_run(const struct sn_tcp_seg *seg, const struct sn_ipv4_plain *ip)
{
	return seg->len && seg->flags == SN_TH_ACK && !(seg->opts & SN_OPT_SACK) && !seg->mp.bad &&
	       !(seg->mp.present & ~SN_MP_BIT(SN_MP_DSS)) && !ip->ce;
}

/* Segments of a run, and so under one ACK: a sender that has no pacing grows its window by eight segments at most for an
 * ACK (RFC 9406 4.3), and sends as much at once. */
enum { RUN_MAX = 8 };

/* Takes the frames of v that continue the segment in `first`, whose addresses are in `ip` and TCP header at `tcp`: the
 * same header, but for the number and PSH, which ends it. Links them behind `first`; returns how many. */
static uint32_t gather(struct sn_engine *e, struct sn_tcp_seg *seg, const struct sn_ipv4_plain *ip, const uint8_t *tcp,
		       struct sn_buf *first, struct sn_buf **v, uint32_t n, uint64_t *bytes)
{
	struct sn_buf *last = first;
	uint32_t k = 0;

	for (; k < n && !(seg->flags & SN_TH_PSH); k++) {
		struct sn_buf *b = v[k];
		struct sn_ipv4_plain next;

		if (k + 1 < n)
			__builtin_prefetch(v[k + 1]->data);
		if (!plain(e, b, &next) || next.addrs != ip->addrs || next.ports != ip->ports || next.ce ||
		    next.payload_len <= seg->hdr_len)
			break;
		const uint8_t *l4 = b->data + SN_ETH_HDR + SN_IPV4_HDR;
		uint8_t flags = sn_tcp_same_header(l4, tcp, seg->seq + seg->len, seg->hdr_len);
		if (!flags || (!(b->flags & SN_BUF_CSUM_GOOD) && !sums_good(b->data + SN_ETH_HDR, next.payload_len)))
			break;
		*bytes += b->len;
		b->data += SN_ETH_HDR + SN_IPV4_HDR + seg->hdr_len;
		b->len = next.payload_len - seg->hdr_len;
		seg->len += b->len;
		seg->flags = flags;
		last->next = b;
		last = b;
	}
	last->next = NULL;
	return k;
}

/* The first of n frames, if it is plain and of a flow met lately, and what continues it. Returns how many were taken; 0:
 * nothing was done. */
static inline __attribute__((always_inline)) uint32_t rx_recent(struct sn_engine *e, struct sn_buf **v, uint32_t n,
								uint64_t *bytes, sn_time now)
{
	struct sn_buf *b = v[0];
	const uint8_t *l3 = b->data + SN_ETH_HDR;
	struct sn_ipv4_plain ip;
	struct sn_tcp_seg seg;
	uint32_t more = 0;

	if (!plain(e, b, &ip))
		return 0;
	const struct sn_net_recent *r = recent_at(&e->net, ip.addrs, ip.ports);
	if (r->addrs != ip.addrs || r->ports != ip.ports || !r->tcp ||
	    (!(b->flags & SN_BUF_CSUM_GOOD) && !sums_good(l3, ip.payload_len)) ||
	    sn_tcp_parse(&seg, l3 + SN_IPV4_HDR, ip.payload_len) != SN_OK)
		return 0;
	if (SN_UNLIKELY(ip.ce))
		b->flags |= SN_BUF_CE;
	if (SN_UNLIKELY(seg.mp.bad))
		e->counters.MPOptBad += seg.mp.bad;
	*bytes += b->len;
	b->data += SN_ETH_HDR + SN_IPV4_HDR + seg.hdr_len;
	b->len = seg.len;
	if (n > 1 && may_run(&seg, &ip))
		more = gather(e, &seg, &ip, l3 + SN_IPV4_HDR, b, v + 1, SN_MIN(n, (uint32_t)RUN_MAX) - 1, bytes);
	e->counters.tcp_rx_segments += 1 + more;
	(more ? e->tcp_ops->input_run : e->tcp_ops->input)(r->tcp, &seg, b, now);
	return 1 + more;
}

void sn_net_rx(struct sn_engine *e, struct sn_buf **v, uint32_t n, sn_time now)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0, k; i < n; i += k) {
		if (i + 2 < n)
			__builtin_prefetch(v[i + 2]->data);
		k = rx_recent(e, v + i, n - i, &bytes, now);
		if (SN_UNLIKELY(!k)) {
			bytes += v[i]->len;
			sn_net_rx_frame(e, v[i], now);
			k = 1;
		}
	}
	e->counters.rx_packets += n;
	e->counters.rx_bytes += bytes;
}
