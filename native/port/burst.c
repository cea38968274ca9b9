/* SPDX-License-Identifier: Apache-2.0
 *
 * Receive and transmit bursts.
 *
 * One timer: sn_port_queue.kick. A packet socket's send ring keeps frames that the queueing discipline would not take
 * (the driver reports them as sent); nobody sends them before the next system call on that socket. So some time after
 * a burst, and again while the kernel says that it is full, we make that call ourselves.
 */
#include "port/port.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_ethdev.h>
#include <rte_pause.h>

#include "port/mbuf.h"
#include "port/resync.h"
#include "wire/vlan.h"
#include "wire/split.h"

enum { SN_BURST = 64, SN_TX_RETRIES = 4 };
#define KICK_AFTER (200 * SN_USEC)
#define KICK_AGAIN (300 * SN_USEC)

/* Did the port find every checksum right? IPv6 has none in its header, so drivers say nothing about it. */
static bool csum_good(const struct rte_mbuf *m)
{
	uint64_t ip = m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;

	if ((m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) != RTE_MBUF_F_RX_L4_CKSUM_GOOD)
		return false;
	if (SN_LIKELY(ip == RTE_MBUF_F_RX_IP_CKSUM_GOOD))
		return true;
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	return ip != RTE_MBUF_F_RX_IP_CKSUM_BAD && m->data_len >= sizeof *eth &&
	       eth->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6);
}

/* A frame of the port's VLAN, whose tag is taken away. Drivers leave it in the frame, or put it aside. */
static bool of_our_vlan(struct sn_port_queue *q, uint16_t vlan, const struct rte_mbuf *m, struct sn_buf *b)
{
	uint16_t id = 0;

	if (m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) {
		id = m->vlan_tci & SN_VLAN_ID;
	} else if (sn_vlan_tagged(b->data, b->len)) {
		id = sn_vlan_id(b->data);
		b->data = sn_vlan_pop(b->data);
		b->len -= SN_VLAN_TAG;
	}
	if (id == vlan)
		return true;
	q->rx_vlan++;
	return false;
}

uint32_t sn_port_rx(struct sn_port *p, uint32_t queue, struct sn_buf **v, uint32_t n)
{
	struct rte_mbuf *m[SN_BURST];
	uint16_t got = rte_eth_rx_burst(p->dev, (uint16_t)queue, m, (uint16_t)SN_MIN(n, (uint32_t)SN_BURST));
	uint32_t out = 0;

	if (SN_UNLIKELY(p->queue[queue].resync)) {
		if (!got && sn_resync_frames(&p->queue[queue])) {
			got = rte_eth_rx_burst(p->dev, (uint16_t)queue, m, (uint16_t)SN_MIN(n, (uint32_t)SN_BURST));
			if (!got)
				sn_resync_rx(p, queue);
		}
		if (got)
			p->queue[queue].resync = false;
	}
	for (uint16_t i = 0; i < got; i++) {
		struct sn_buf *b = sn_buf_of(m[i]);
		/* A chain cannot happen without scatter, which is off. */
		if (SN_UNLIKELY(m[i]->nb_segs != 1)) {
			p->queue[queue].rx_bad++;
			rte_pktmbuf_free(m[i]);
			continue;
		}
		b->next = NULL;
		b->data = rte_pktmbuf_mtod(m[i], uint8_t *);
		b->len = m[i]->data_len;
		b->port = p->index;
		b->flags = 0;
		b->lent = 0;
		if (p->rx_csum && csum_good(m[i]))
			b->flags = SN_BUF_CSUM_GOOD;
		b->pool = &p->queue[queue].pool->pool;
		b->base = m[i]->buf_addr;
		b->room = m[i]->buf_len;
		if (SN_UNLIKELY(p->vlan || m[i]->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) &&
		    !of_our_vlan(&p->queue[queue], p->vlan, m[i], b)) {
			rte_pktmbuf_free(m[i]);
			continue;
		}
		v[out++] = b;
	}
	return out;
}

/* --- transmit ---------------------------------------------------------------------------------------------------- */

static void payload_done(void *addr, void *chunk)
{
	(void)addr;
	((struct sn_chunk *)chunk)->refs--;
}

static struct rte_mbuf *by_reference(struct sn_bufs *pool, const uint8_t *data, uint32_t len, struct sn_chunk *chunk)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool->refs);
	if (SN_UNLIKELY(!m))
		return NULL;
	struct rte_mbuf_ext_shared_info *info = rte_mbuf_to_priv(m);
	info->free_cb = payload_done;
	info->fcb_opaque = chunk;
	rte_mbuf_ext_refcnt_set(info, 1);
	chunk->refs++;
	/* The driver copies with the CPU: an IO address is never used. */
	rte_pktmbuf_attach_extbuf(m, (void *)(uintptr_t)data, RTE_BAD_IOVA, (uint16_t)len, info);
	m->data_len = (uint16_t)len;
	m->pkt_len = len;
	return m;
}

static bool add_references(struct sn_bufs *pool, struct rte_mbuf *head, const struct sn_tx *tx)
{
	struct rte_mbuf *last = head;
	for (uint32_t i = 0; i < tx->nref; i++) {
		struct rte_mbuf *m = by_reference(pool, tx->ref[i].data, tx->ref[i].len, tx->ref[i].chunk);
		if (SN_UNLIKELY(!m))
			return false;
		last->next = m;
		last = m;
		head->nb_segs++;
		head->pkt_len += m->data_len;
	}
	return true;
}

/* Copies of the payload behind the headers; what has no room there goes into further buffers. */
static bool add_copies(struct sn_bufs *pool, struct rte_mbuf *head, const struct sn_tx *tx)
{
	struct rte_mbuf *last = head;

	for (uint32_t i = 0; i < tx->nref; i++) {
		const uint8_t *from = tx->ref[i].data;
		for (uint32_t left = tx->ref[i].len; left;) {
			uint32_t n = SN_MIN(left, (uint32_t)rte_pktmbuf_tailroom(last));
			memcpy(rte_pktmbuf_mtod_offset(last, char *, last->data_len), from, n);
			last->data_len = (uint16_t)(last->data_len + n);
			head->pkt_len += n;
			from += n;
			left -= n;
			if (!left)
				break;
			struct rte_mbuf *m = tx->segs ? rte_pktmbuf_alloc(pool->mp) : NULL;
			if (SN_UNLIKELY(!m))
				return false;
			last->next = m;
			last = m;
			head->nb_segs++;
		}
	}
	return true;
}

/* A received buffer of another worker that the engine turned into an answer: it goes home, a copy is sent. */
static struct sn_buf *own_copy(struct sn_bufs *pool, struct sn_buf *lent)
{
	struct sn_buf *b = sn_buf_alloc(&pool->pool);
	if (SN_LIKELY(b && lent->len <= b->room - SN_HEADROOM)) {
		memcpy(b->data, lent->data, lent->len);
		b->len = lent->len;
	} else if (b) {
		sn_buf_free(b);
		b = NULL;
	}
	sn_buf_free(lent);
	return b;
}

/* What the port does to the packet itself. */
static void ask_offloads(const struct sn_port *p, struct rte_mbuf *m, const struct sn_tx *tx)
{
	m->l2_len = tx->l3_off;
	m->l3_len = (uint32_t)(tx->l4_off - tx->l3_off) & 0x1ff;
	m->l4_len = 0;
	m->ol_flags = RTE_MBUF_F_TX_TCP_CKSUM;
	m->ol_flags |= tx->flags & SN_TX_IPV6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
	if (p->tso && tx->segs) {
		m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
		m->l4_len = (m->data_len - tx->l4_off) & 0xff;
		m->tso_segsz = tx->seg_size;
	}
}

/* Headers are in m: makes the packet, or frees everything and returns NULL. */
static struct rte_mbuf *complete(const struct sn_port *p, struct sn_port_queue *q, struct rte_mbuf *m,
				 const struct sn_tx *tx)
{
	m->ol_flags = 0;
	if (p->tx_csum && !(tx->flags & SN_TX_CSUM_DONE))
		ask_offloads(p, m, tx);
	if (SN_LIKELY(p->copies && p->multi_seg ? add_references(q->pool, m, tx) : add_copies(q->pool, m, tx)))
		return m;
	rte_pktmbuf_free(m);
	q->tx_nobuf++;
	return NULL;
}

/* The packet, or NULL and everything is freed. */
static struct rte_mbuf *build(const struct sn_port *p, struct sn_port_queue *q, const struct sn_tx *tx)
{
	struct sn_buf *hdr = SN_UNLIKELY(tx->hdr->lent) ? own_copy(q->pool, tx->hdr) : tx->hdr;
	if (SN_UNLIKELY(!hdr)) {
		q->tx_nobuf++;
		return NULL;
	}
	struct rte_mbuf *m = sn_mbuf_of(hdr);
	m->data_off = (uint16_t)(hdr->data - (uint8_t *)m->buf_addr);
	m->data_len = (uint16_t)hdr->len;
	m->pkt_len = hdr->len;
	m->next = NULL;
	m->nb_segs = 1;
	return complete(p, q, m, tx);
}

/* The next frame of a unit, or NULL. The last one takes the unit's own buffer. */
static struct rte_mbuf *cut(const struct sn_port *p, struct sn_port_queue *q, struct sn_split *s)
{
	struct sn_buf *hdr = s->unit->hdr;
	struct sn_tx one;

	if (sn_split_last(s)) {
		sn_split_next(s, hdr->data, &one);
		one.hdr = hdr;
		return build(p, q, &one);
	}
	struct rte_mbuf *m = rte_pktmbuf_alloc(q->pool->mp);
	if (SN_UNLIKELY(!m)) {
		uint8_t nowhere[SN_HEADROOM];
		sn_split_next(s, nowhere, &one);
		q->tx_nobuf++;
		return NULL;
	}
	m->data_len = (uint16_t)hdr->len;
	m->pkt_len = hdr->len;
	sn_split_next(s, rte_pktmbuf_mtod(m, uint8_t *), &one);
	return complete(p, q, m, &one);
}

/* Asks the kernel to go on with what stands in the send ring: true if nothing is left there. */
static bool kick(const struct sn_port_queue *q)
{
	return sendto(q->wait_fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0 || (errno != ENOBUFS && errno != EAGAIN);
}

struct burst {
	uint16_t n;
	struct rte_mbuf *m[SN_BURST];
};

/* What the queue does not take after a bounded retry is dropped. */
static void hand_over(const struct sn_port *p, uint32_t queue, struct sn_port_queue *q, struct burst *b)
{
	uint16_t sent = 0, ready = b->n;

	if (p->tx_csum)
		ready = rte_eth_tx_prepare(p->dev, (uint16_t)queue, b->m, b->n);
	for (int retry = 0; sent < ready && retry < SN_TX_RETRIES; retry++) {
		uint16_t took = rte_eth_tx_burst(p->dev, (uint16_t)queue, b->m + sent, (uint16_t)(ready - sent));
		sent = (uint16_t)(sent + took);
		if (sent == ready || q->kernel)
			break; /* the send ring of the kernel is as long as we want a queue to be */
		rte_pause();
	}
	q->tx_full += (uint64_t)(b->n - sent);
	while (sent < b->n)
		rte_pktmbuf_free(b->m[sent++]);
	b->n = 0;
}

static inline void add(const struct sn_port *p, uint32_t queue, struct sn_port_queue *q, struct burst *b,
		       struct rte_mbuf *m)
{
	if (SN_LIKELY(m))
		b->m[b->n++] = m;
	if (b->n == SN_BURST)
		hand_over(p, queue, q, b);
}

/* Puts the port's VLAN into a frame or unit. False: no buffer, and everything is freed. */
static bool tag(const struct sn_port *p, struct sn_port_queue *q, struct sn_tx *tx)
{
	if (tx->hdr->lent && !(tx->hdr = own_copy(q->pool, tx->hdr))) {
		q->tx_nobuf++;
		return false;
	}
	tx->hdr->data = sn_vlan_push(tx->hdr->data, p->vlan);
	tx->hdr->len += SN_VLAN_TAG;
	tx->l3_off += SN_VLAN_TAG;
	tx->l4_off += SN_VLAN_TAG;
	return true;
}

void sn_port_tx(struct sn_port *p, uint32_t queue, struct sn_tx *v, uint32_t n, sn_time now)
{
	struct sn_port_queue *q = &p->queue[queue];
	struct burst b;

	b.n = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct sn_split s;

		if (SN_UNLIKELY(p->vlan) && !tag(p, q, &v[i]))
			continue;
		if (!v[i].segs || p->tso) {
			add(p, queue, q, &b, build(p, q, &v[i]));
			continue;
		}
		sn_split_begin(&s, &v[i]);
		while (!sn_split_done(&s))
			add(p, queue, q, &b, cut(p, q, &s));
	}
	if (b.n)
		hand_over(p, queue, q, &b);
	if (q->kernel)
		q->kick = now + KICK_AFTER;
}

/* --- sleeping ---------------------------------------------------------------------------------------------------- */

sn_time sn_port_sleep(struct sn_port *p, uint32_t queue, sn_time now)
{
	struct sn_port_queue *q = &p->queue[queue];

	if (q->kernel) {
		if (now >= q->kick)
			q->kick = kick(q) ? SN_TIME_NEVER : now + KICK_AGAIN;
		return q->kick;
	}
	if (q->intr) {
		rte_eth_dev_rx_intr_enable(p->dev, (uint16_t)queue);
		return rte_eth_rx_queue_count(p->dev, (uint16_t)queue) > 0 ? now : SN_TIME_NEVER;
	}
	return now + SN_MSEC;
}

void sn_port_wake(struct sn_port *p, uint32_t queue, short revents)
{
	struct sn_port_queue *q = &p->queue[queue];

	if (q->intr) {
		uint64_t n;
		rte_eth_dev_rx_intr_disable(p->dev, (uint16_t)queue);
		if (revents & POLLIN && read(q->wait_fd, &n, sizeof n) < 0)
			return;
	}
	if (q->kernel && revents & (POLLERR | POLLHUP)) {
		/* The interface went down: the error is reported until it is fetched. */
		int err;
		socklen_t len = sizeof err;
		getsockopt(q->wait_fd, SOL_SOCKET, SO_ERROR, &err, &len);
	}
}
