/* SPDX-License-Identifier: Apache-2.0
 *
 * SYNs from addresses that do not exist, at a steady rate and for a bounded time, straight onto one interface. For tests in
 * network namespaces: flood IFACE DESTINATION_MAC DESTINATION_IPV4 PORT PER_SECOND SECONDS
 * Sources are random addresses of 198.18.0.0/15 (RFC 2544). Options are those of a Linux client that wants MPTCP. Prints
 * how many frames were handed over.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <linux/if_packet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, OPTIONS = 24, TICK_NS = 1000000, MOST_SECONDS = 60, MOST_PER_SECOND = 1000000 };

struct frame {
	struct ether_header eth;
	struct iphdr ip;
	struct tcphdr tcp;
	uint8_t opt[OPTIONS];
} __attribute__((packed));

static uint32_t sum_of(const void *p, size_t len, uint32_t sum)
{
	for (const uint8_t *b = p; len > 1; b += 2, len -= 2)
		sum += (uint32_t)b[0] << 8 | b[1];
	return sum;
}

static uint16_t finish(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t) ~(sum + (sum >> 16)));
}

static void fill(struct frame *f)
{
	uint32_t r = (uint32_t)random();

	f->ip.saddr = htonl(0xc6120000u | (r & 0x1ffff));
	f->ip.check = 0;
	f->ip.check = finish(sum_of(&f->ip, sizeof f->ip, 0));
	f->tcp.source = htons((uint16_t)(1024 + random() % 60000));
	f->tcp.seq = (uint32_t)random();
	f->tcp.check = 0;
	f->tcp.check = finish(sum_of(&f->tcp, sizeof f->tcp + OPTIONS,
				     sum_of(&f->ip.saddr, 8, IPPROTO_TCP + sizeof f->tcp + OPTIONS)));
}

int main(int argc, char **argv)
{
	static const uint8_t opt[OPTIONS] = {2, 4, 5, 180, 4, 2, 8, 10, 0,  0, 1, 0,
					     0, 0, 0, 0,   1, 3, 3, 7,  30, 4, 1, 1};
	static struct frame frame[BATCH];
	static struct iovec iov[BATCH];
	static struct mmsghdr msg[BATCH];
	unsigned mac[6];

	if (argc != 7 || sscanf(argv[2], "%x:%x:%x:%x:%x:%x", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) != 6)
		return 2;
	long rate = atol(argv[5]), seconds = atol(argv[6]), sent = 0;
	if (rate < 1 || rate > MOST_PER_SECOND || seconds < 1 || seconds > MOST_SECONDS)
		return 2;
	int fd = socket(AF_PACKET, SOCK_RAW, 0);
	struct ifreq ifr = {0};
	strncpy(ifr.ifr_name, argv[1], IFNAMSIZ - 1);
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(argv[1])};
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &ifr) || bind(fd, (struct sockaddr *)&at, sizeof at)) {
		perror("flood");
		return 1;
	}
	for (int i = 0; i < BATCH; i++) {
		struct frame *f = &frame[i];
		for (int k = 0; k < 6; k++)
			f->eth.ether_dhost[k] = (uint8_t)mac[k];
		memcpy(f->eth.ether_shost, ifr.ifr_hwaddr.sa_data, 6);
		f->eth.ether_type = htons(ETHERTYPE_IP);
		f->ip = (struct iphdr){.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP};
		f->ip.tot_len = htons(sizeof *f - sizeof f->eth);
		f->ip.daddr = inet_addr(argv[3]);
		f->tcp.dest = htons((uint16_t)atoi(argv[4]));
		f->tcp.doff = (sizeof f->tcp + OPTIONS) / 4;
		f->tcp.syn = 1;
		f->tcp.window = htons(64240);
		memcpy(f->opt, opt, OPTIONS);
		iov[i] = (struct iovec){f, sizeof *f};
		msg[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
	}
	struct timespec start, now;
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (;;) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		double past = (double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) / 1e9;
		if (past >= (double)seconds)
			break;
		long due = (long)(past * (double)rate) - sent;
		while (due > 0) {
			unsigned n = due < BATCH ? (unsigned)due : BATCH;
			for (unsigned i = 0; i < n; i++)
				fill(&frame[i]);
			int took = sendmmsg(fd, msg, n, 0);
			if (took <= 0) /* the queue is full: what is due is sent later, or not at all */
				break;
			sent += took;
			due -= took;
		}
		nanosleep(&(struct timespec){0, TICK_NS}, NULL);
	}
	printf("%ld\n", sent);
	return 0;
}
