/* SPDX-License-Identifier: Apache-2.0 */
#include "port/resync.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <rte_ethdev.h>

#include "port/mbuf.h"

enum {
	LONGEST_BURST = 64, /* of sn_port_rx() and sn_port_tx() */
	PROBE_LEN = 60,
	PATIENCE_MS = 500 /* frames of the dead process may still wait in a queueing discipline */
};

void sn_resync_find(struct sn_port_queue *q, uint32_t frame_size, uint32_t frames)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	struct stat st;

	if (!maps || fstat(q->wait_fd, &st) < 0)
		frames = 0;
	while (maps && frames && fgets(line, sizeof line, maps)) {
		unsigned long from, to, inode;
		if (sscanf(line, "%lx-%lx %*s %*s %*s %lu", &from, &to, &inode) != 3 || inode != st.st_ino)
			continue;
		/* One mapping: the receive ring, then the send ring, of the same size. */
		if (to - from == 2ul * frames * frame_size) {
			q->ring = (uint8_t *)from;
			q->frame_size = frame_size;
			q->frames = frames;
		}
	}
	if (maps)
		fclose(maps);
}

static struct tpacket2_hdr *slot(const struct sn_port_queue *q, bool tx, uint32_t i)
{
	return (void *)(q->ring + ((tx ? q->frames : 0) + (size_t)(i % q->frames)) * q->frame_size);
}

static uint32_t status(const struct sn_port_queue *q, bool tx, uint32_t i)
{
	return __atomic_load_n(&slot(q, tx, i)->tp_status, __ATOMIC_ACQUIRE);
}

static void set_status(const struct sn_port_queue *q, bool tx, uint32_t i, uint32_t value)
{
	__atomic_store_n(&slot(q, tx, i)->tp_status, value, __ATOMIC_RELEASE);
}

static void nap(void) { nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); }

/* --- send -------------------------------------------------------------------------------------------------------- */

/* Withdraws every frame that the kernel has not taken; nobody else uses this socket now. Returns how many. */
static uint32_t withdraw(const struct sn_port_queue *q)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < q->frames; i++) {
		if (status(q, true, i) & (TP_STATUS_SEND_REQUEST | TP_STATUS_WRONG_FORMAT)) {
			set_status(q, true, i, TP_STATUS_AVAILABLE);
			n++;
		}
	}
	return n;
}

/* A frame to ourselves of the Ethernet loop-back protocol: whoever sees it ignores it. */
static struct rte_mbuf *probe(const struct sn_port *p, const struct sn_port_queue *q)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(q->pool->mp);
	uint8_t *at = m ? (uint8_t *)rte_pktmbuf_append(m, PROBE_LEN) : NULL;
	if (!at)
		return NULL;
	memset(at, 0, PROBE_LEN);
	memcpy(at, p->mac, 6);
	memcpy(at + 6, p->mac, 6);
	at[12] = 0x90;
	return m;
}

static bool kernel_is_full(const struct sn_port_queue *q)
{
	return sendto(q->wait_fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && (errno == ENOBUFS || errno == EAGAIN);
}

static void align_tx(const struct sn_port *p, uint32_t queue)
{
	const struct sn_port_queue *q = &p->queue[queue];
	int naps = 0;

	withdraw(q);
	for (uint32_t turn = 0; turn <= q->frames;) {
		struct rte_mbuf *m = probe(p, q);
		if (!m)
			return;
		if (!rte_eth_tx_burst(p->dev, (uint16_t)queue, &m, 1)) {
			/* The slot is still in the kernel's hands. */
			rte_pktmbuf_free(m);
			if (++naps > PATIENCE_MS)
				return;
			nap();
			continue;
		}
		while (kernel_is_full(q) && ++naps <= PATIENCE_MS)
			nap();
		if (!withdraw(q))
			return; /* taken: both are at the same place */
		turn++;
	}
}

/* --- receive ----------------------------------------------------------------------------------------------------- */

/* The first of the frames that the kernel has put there, or `frames` if there is none or no single run of them. */
static uint32_t first_frame(const struct sn_port_queue *q)
{
	uint32_t found = q->frames;
	for (uint32_t i = 0; i < q->frames; i++) {
		if (!(status(q, false, i) & TP_STATUS_USER) || status(q, false, i + q->frames - 1) & TP_STATUS_USER)
			continue;
		if (found != q->frames)
			return q->frames;
		found = i;
	}
	return found;
}

static void put_empty(const struct sn_port_queue *q, uint32_t i)
{
	struct tpacket2_hdr *h = slot(q, false, i);
	h->tp_len = h->tp_snaplen = 14;
	h->tp_mac = TPACKET2_HDRLEN;
	h->tp_net = TPACKET2_HDRLEN + 14;
	set_status(q, false, i, TP_STATUS_USER);
}

bool sn_resync_frames(const struct sn_port_queue *q) { return first_frame(q) != q->frames; }

void sn_resync_rx(struct sn_port *p, uint32_t queue)
{
	struct sn_port_queue *q = &p->queue[queue];
	uint32_t first = first_frame(q), n = 0;
	struct rte_mbuf *m;

	if (first == q->frames)
		return;
	/* The driver stands at most one burst before it. */
	while (n < LONGEST_BURST && !(status(q, false, first + q->frames - n - 1) & TP_STATUS_USER))
		put_empty(q, first + q->frames - ++n);
	while (n && status(q, false, first + q->frames - 1) & TP_STATUS_USER &&
	       rte_eth_rx_burst(p->dev, (uint16_t)queue, &m, 1))
		rte_pktmbuf_free(m);
	/* Those before the place where it stood. */
	for (; n; n--)
		if (status(q, false, first + q->frames - n) & TP_STATUS_USER)
			set_status(q, false, first + q->frames - n, TP_STATUS_KERNEL);
	q->resync = false;
}

void sn_resync_begin(struct sn_port *p, uint32_t queue)
{
	struct sn_port_queue *q = &p->queue[queue];
	if (!q->kernel || !q->ring)
		return;
	align_tx(p, queue);
	q->resync = true;
}
