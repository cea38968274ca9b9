/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/if_ether.h>

#include "netlab/netlab.h"

/* Bytes of frames that may wait for a look in the kernel. */
enum { SOCKET_ROOM = 8 << 20 };

static int set(int fd, int level, int name, int value) { return setsockopt(fd, level, name, &value, sizeof value); }

/* A packet socket bound to one interface, in the namespace that the thread is in. */
static int open_here(const char *name)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	struct packet_mreq all = {.mr_type = PACKET_MR_PROMISC};

	at.sll_ifindex = (int)if_nametoindex(name);
	if (!at.sll_ifindex)
		return -errno;
	/* Protocol 0 until it is bound: no frame of another interface gets in. */
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	all.mr_ifindex = at.sll_ifindex;
	if (set(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1) || set(fd, SOL_PACKET, PACKET_AUXDATA, 1) ||
	    set(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1) ||
	    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all) ||
	    bind(fd, (struct sockaddr *)&at, sizeof at)) {
		int error = -errno;

		close(fd);
		return error;
	}
	/* Without the privilege for more, the usual limits hold. */
	if (set(fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_ROOM))
		set(fd, SOL_SOCKET, SO_RCVBUF, SOCKET_ROOM);
	if (set(fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_ROOM))
		set(fd, SOL_SOCKET, SO_SNDBUF, SOCKET_ROOM);
	return fd;
}

int sn_netlab_socket_open(int netns, const char *name)
{
	if (netns < 0)
		return open_here(name);
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (home < 0)
		return -errno;
	int fd = setns(netns, CLONE_NEWNET) ? -errno : open_here(name);
	/* Staying in the wrong namespace would be worse than failing. */
	if (setns(home, CLONE_NEWNET)) {
		int error = -errno;

		if (fd >= 0)
			close(fd);
		fd = error;
	}
	close(home);
	return fd;
}

/* Puts back the VLAN tag that the kernel keeps beside the frame, and notes checksums that are left to hardware. */
static void complete(struct sn_netlab_dir *d, struct msghdr *h, struct sn_buf *b)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		struct tpacket_auxdata aux;

		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA || c->cmsg_len < CMSG_LEN(sizeof aux))
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof aux);
		if (aux.tp_status & TP_STATUS_CSUMNOTREADY)
			d->stats.unfinished++;
		if (!(aux.tp_status & TP_STATUS_VLAN_VALID) || b->len < 14)
			continue;
		b->data -= SN_NETLAB_TAG;
		memmove(b->data, b->data + SN_NETLAB_TAG, 12);
		sn_put16(b->data + 12, aux.tp_status & TP_STATUS_VLAN_TPID_VALID ? aux.tp_vlan_tpid : 0x8100);
		sn_put16(b->data + 14, aux.tp_vlan_tci);
		b->len += SN_NETLAB_TAG;
	}
}

uint32_t sn_netlab_socket_receive(struct sn_netlab *lab, uint32_t port, sn_time now)
{
	struct sn_netlab_dir *d = &lab->dir[port];

	for (uint32_t i = 0; i < SN_NETLAB_BATCH; i++) {
		lab->iov[i] = (struct iovec){lab->batch[i]->base + SN_NETLAB_TAG, lab->frame};
		lab->msg[i].msg_hdr = (struct msghdr){.msg_iov = &lab->iov[i],
						      .msg_iovlen = 1,
						      .msg_control = lab->control[i],
						      .msg_controllen = sizeof lab->control[i]};
	}
	int got = recvmmsg(lab->port[port].fd, lab->msg, SN_NETLAB_BATCH, MSG_DONTWAIT | MSG_TRUNC, NULL);
	for (int i = 0; i < got; i++) {
		struct sn_buf *b = lab->batch[i], *next = sn_buf_alloc(&lab->pool.pool);
		uint32_t length = lab->msg[i].msg_len;

		if (!next) {
			d->stats.rx_frames++;
			d->stats.rx_bytes += length;
			d->stats.no_buffer++;
			continue;
		}
		lab->batch[i] = next;
		b->data = b->base + SN_NETLAB_TAG;
		b->len = SN_MIN(length, lab->frame);
		if (length <= lab->frame) {
			complete(d, &lab->msg[i].msg_hdr, b);
			length = b->len;
		}
		if (length > b->len)
			sn_netlab_dir_push(d, b, length, now);
		else
			sn_netlab_box_send(lab, port, b, now);
	}
	return got > 0 ? (uint32_t)got : 0;
}

void sn_netlab_socket_send(struct sn_netlab *lab, uint32_t dir, sn_time due, sn_time now)
{
	struct sn_netlab_dir *d = &lab->dir[dir];
	int fd = lab->port[dir ^ 1].fd;
	struct sn_buf *out[SN_NETLAB_BATCH];
	uint32_t n;

	do {
		for (n = 0; n < SN_NETLAB_BATCH && (out[n] = sn_netlab_dir_pull(d, due)); n++) {
			lab->iov[n] = (struct iovec){out[n]->data, out[n]->len};
			lab->msg[n].msg_hdr = (struct msghdr){.msg_iov = &lab->iov[n], .msg_iovlen = 1};
		}
		for (uint32_t at = 0; at < n;) {
			int sent = sendmmsg(fd, lab->msg + at, n - at, MSG_DONTWAIT);

			/* The first one is refused: go on behind it. */
			if (sent <= 0) {
				d->stats.tx_failed++;
				at++;
				continue;
			}
			for (uint32_t end = at + (uint32_t)sent; at < end; at++)
				sn_netlab_dir_sent(d, out[at], out[at]->user[0], now);
		}
		for (uint32_t i = 0; i < n; i++)
			sn_buf_free(out[i]);
	} while (n == SN_NETLAB_BATCH);
}

uint64_t sn_netlab_socket_missed(int fd)
{
	struct tpacket_stats s;
	socklen_t len = sizeof s;

	return getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &s, &len) ? 0 : s.tp_drops;
}
