/* SPDX-License-Identifier: Apache-2.0 */
#include "port/port.h"

#include <dirent.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_ethdev.h>

#include "port/error.h"
#include "port/resync.h"

enum { SN_RX_DESC = 1024, SN_TX_DESC = 1024 };
enum { SN_TSO_PIECES = 33 }; /* of a packet to be cut, where the driver does not say how many it takes */

/* Drivers that are done with a packet's memory when rte_eth_tx_burst() returns, and take it in pieces. */
static bool driver_copies(const char *driver)
{
	static const char *const names[] = {"net_af_packet", "net_tap", "net_memif"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(driver, names[i]) == 0)
			return true;
	return false;
}

/* Drivers that keep no buffer of ours between bursts. */
static bool driver_holds_rx(const char *driver)
{
	return !driver_copies(driver) && strcmp(driver, "net_null") != 0 && strcmp(driver, "net_ring") != 0;
}

/* --- what to sleep on -------------------------------------------------------------------------------------------- */

static bool is_packet_socket(int fd, int ifindex)
{
	int domain = 0;
	socklen_t len = sizeof domain;
	struct sockaddr_ll ll = {0};

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 || domain != AF_PACKET)
		return false;
	len = sizeof ll;
	return getsockname(fd, (struct sockaddr *)&ll, &len) == 0 && ll.sll_ifindex == ifindex;
}

static int by_value(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

/* The driver keeps its packet sockets to itself: find them among our descriptors. It opens one per queue, in order, and the
 * kernel gives out rising numbers; any other count than one per queue means that this is not so, and we sleep by the clock. */
static void find_packet_sockets(struct sn_port *p, const struct sn_port_open *o)
{
	int fd[SN_MAX_WORKERS + 1], n = 0;
	DIR *d = opendir("/proc/self/fd");
	const struct dirent *e;

	while (d && n <= SN_MAX_WORKERS && (e = readdir(d))) {
		int candidate = atoi(e->d_name);
		if (e->d_name[0] != '.' && is_packet_socket(candidate, p->ifindex))
			fd[n++] = candidate;
	}
	if (d)
		closedir(d);
	if (n != p->queues)
		return;
	qsort(fd, (size_t)n, sizeof *fd, by_value);
	for (int q = 0; q < n; q++) {
		/* The driver waits without limit when its send ring is full and the socket has no room: see that it has. */
		int room = 256 << 20;
		if (setsockopt(fd[q], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room) < 0)
			setsockopt(fd[q], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
		p->queue[q].wait_fd = fd[q];
		p->queue[q].kernel = true;
		sn_resync_find(&p->queue[q], o->frame_size, o->frames);
	}
}

static void find_wait_fds(struct sn_port *p, const struct sn_port_open *o, bool intr)
{
	for (uint16_t q = 0; q < p->queues; q++) {
		p->queue[q].wait_fd = -1;
		p->queue[q].kick = SN_TIME_NEVER;
	}
	if (strcmp(p->driver, "net_af_packet") == 0 && p->ifindex) {
		find_packet_sockets(p, o);
		return;
	}
	for (uint16_t q = 0; intr && q < p->queues; q++) {
		p->queue[q].wait_fd = rte_eth_dev_rx_intr_ctl_q_get_fd(p->dev, q);
		p->queue[q].intr = p->queue[q].wait_fd >= 0;
	}
}

/* --- start and stop ---------------------------------------------------------------------------------------------- */

static enum sn_err setup_queues(struct sn_port *p, const struct sn_port_open *o, const struct rte_eth_dev_info *info)
{
	uint16_t nrx = SN_RX_DESC, ntx = SN_TX_DESC;
	int rc = rte_eth_dev_adjust_nb_rx_tx_desc(p->dev, &nrx, &ntx);
	int socket = SN_MAX(rte_eth_dev_socket_id(p->dev), 0);
	struct rte_eth_txconf tx = info->default_txconf;

	tx.offloads = 0; /* as configured for the port */
	for (uint16_t q = 0; rc == 0 && q < p->queues; q++) {
		rc = rte_eth_rx_queue_setup(p->dev, q, nrx, (unsigned int)socket, NULL, o->pools[q].mp);
		if (rc == 0)
			rc = rte_eth_tx_queue_setup(p->dev, q, ntx, (unsigned int)socket, &tx);
	}
	if (rc)
		return sn_fail(rc == -ENOMEM ? SN_E_NOMEM : SN_E_INVAL, "port %s: its queues could not be set up: %s",
			       o->name, rte_strerror(-rc));
	return SN_OK;
}

static void configure(struct sn_port *p, const struct rte_eth_dev_info *info, struct rte_eth_conf *conf)
{
	const uint64_t rx = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
	const uint64_t tx = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM;

	/* net_tap computes checksums in software and calls it an offload: ours are as good and done once. */
	bool soft = p->copies;
	if (!soft && (info->rx_offload_capa & rx) == rx) {
		conf->rxmode.offloads |= rx;
		p->rx_csum = true;
	}
	if (!soft && (info->tx_offload_capa & tx) == tx) {
		conf->txmode.offloads |= tx;
		p->tx_csum = true;
	}
	if (info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) {
		conf->txmode.offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
		p->multi_seg = true;
	}
	p->unit_max = SN_UNIT_MAX;
	if (p->tx_csum && p->multi_seg && info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_TCP_TSO) {
		/* Payload is copied into buffers of at least 2048 bytes behind the headers' own. */
		uint32_t pieces = info->tx_desc_lim.nb_seg_max ? info->tx_desc_lim.nb_seg_max : SN_TSO_PIECES;
		conf->txmode.offloads |= RTE_ETH_TX_OFFLOAD_TCP_TSO;
		p->tso = true;
		p->unit_max = SN_MIN(p->unit_max, (pieces - 1) * 2048);
	}
	uint64_t rss = info->flow_type_rss_offloads & (RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_IPV4 |
						       RTE_ETH_RSS_NONFRAG_IPV6_TCP | RTE_ETH_RSS_IPV6);
	if (p->queues > 1 && rss) {
		conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf->rx_adv_conf.rss_conf.rss_hf = rss;
	}
}

static enum sn_err start(struct sn_port *p, const struct sn_port_open *o)
{
	struct rte_eth_dev_info info;
	struct rte_eth_conf conf;
	struct rte_ether_addr mac;

	memset(&conf, 0, sizeof conf);
	int rc = rte_eth_dev_info_get(p->dev, &info);
	if (rc)
		return sn_fail(SN_E_INVAL, "port %s: the driver does not say what it can do: %s", o->name,
			       rte_strerror(-rc));
	snprintf(p->driver, sizeof p->driver, "%s", info.driver_name);
	p->copies = driver_copies(p->driver);
	p->holds_rx = driver_holds_rx(p->driver);
	if (info.max_rx_queues < p->queues || info.max_tx_queues < p->queues)
		return sn_fail(
			SN_E_INVAL,
			"port %s has %u receive and %u transmit queues, but there are %u workers: use fewer lcores",
			o->name, info.max_rx_queues, info.max_tx_queues, p->queues);
	configure(p, &info, &conf);

	bool intr = p->holds_rx;
	conf.intr_conf.rxq = intr;
	rc = rte_eth_dev_configure(p->dev, p->queues, p->queues, &conf);
	if (rc && intr) {
		intr = false;
		conf.intr_conf.rxq = 0;
		rc = rte_eth_dev_configure(p->dev, p->queues, p->queues, &conf);
	}
	if (rc)
		return sn_fail(SN_E_INVAL, "port %s: %s does not take %u queues: %s", o->name, p->driver, p->queues,
			       rte_strerror(-rc));
	/* A Linux interface has its MTU already. */
	if (!o->ifindex && (rc = rte_eth_dev_set_mtu(p->dev, o->mtu)) && rc != -ENOTSUP)
		return sn_fail(SN_E_INVAL, "port %s does not take an MTU of %u: %s", o->name, o->mtu,
			       rte_strerror(-rc));
	enum sn_err err = setup_queues(p, o, &info);
	if (err)
		return err;
	rc = rte_eth_macaddr_get(p->dev, &mac);
	if (rc)
		return sn_fail(SN_E_INVAL, "port %s has no Ethernet address: %s", o->name, rte_strerror(-rc));
	memcpy(p->mac, mac.addr_bytes, sizeof p->mac);
	rc = rte_eth_dev_start(p->dev);
	if (rc)
		return sn_fail(SN_E_INVAL, "port %s did not start: %s", o->name, rte_strerror(-rc));
	p->started = true;
	find_wait_fds(p, o, intr);
	p->flow_rules = p->vlan ? 0 : sn_port_flow_probe(p); /* the rules look for untagged segments */
	return sn_addr_is_any6(&o->addr6) ? SN_OK : sn_port_hear(p, &o->addr6);
}

enum sn_err sn_port_open(struct sn_port *p, uint16_t index, const struct sn_port_open *o)
{
	memset(p, 0, sizeof *p);
	p->index = index;
	p->queues = o->queues;
	p->mtu = o->mtu;
	p->vlan = o->vlan;
	p->ifindex = o->ifindex;
	p->hear_fd = -1;
	for (uint16_t q = 0; q < o->queues; q++)
		p->queue[q].pool = &o->pools[q];
	snprintf(p->name, sizeof p->name, "%s", o->name);
	if (rte_eth_dev_get_port_by_name(o->device, &p->dev))
		return sn_fail(
			SN_E_INVAL,
			"port %s: DPDK has no device %s; is it bound to vfio-pci or uio_pci_generic (dpdk-devbind.py --status)?",
			o->name, o->device);
	enum sn_err err = start(p, o);
	if (err)
		sn_port_close(p);
	return err;
}

void sn_port_close(struct sn_port *p)
{
	sn_port_flow_fini(p);
	if (p->hear_fd >= 0)
		close(p->hear_fd);
	if (p->started)
		rte_eth_dev_stop(p->dev);
	p->started = false;
	rte_eth_dev_close(p->dev);
}

void sn_port_stats(const struct sn_port *p, struct sn_port_stats *out)
{
	struct rte_eth_stats s;
	struct rte_eth_link link;

	memset(out, 0, sizeof *out);
	if (rte_eth_stats_get(p->dev, &s) == 0) {
		out->rx_packets = s.ipackets;
		out->tx_packets = s.opackets;
		out->rx_bytes = s.ibytes;
		out->tx_bytes = s.obytes;
		out->rx_missed = s.imissed;
		out->rx_errors = s.ierrors;
		out->tx_errors = s.oerrors;
		out->rx_nobuf = s.rx_nombuf;
	}
	out->flow_rules = sn_port_flow_count(p);
	if (rte_eth_link_get_nowait(p->dev, &link) == 0)
		out->link_up = link.link_status;
}

enum sn_err sn_port_queue_stop(struct sn_port *p, uint32_t queue)
{
	if (!p->holds_rx)
		return SN_OK;
	int rc = rte_eth_dev_rx_queue_stop(p->dev, (uint16_t)queue);
	if (rc == 0)
		rc = rte_eth_dev_tx_queue_stop(p->dev, (uint16_t)queue);
	if (rc)
		return sn_fail(
			SN_E_NOTSUP,
			"port %s: %s cannot restart one queue (%s), so its buffers cannot be taken back: restart the runtime",
			p->name, p->driver, rte_strerror(-rc));
	return SN_OK;
}

enum sn_err sn_port_queue_start(struct sn_port *p, uint32_t queue)
{
	sn_resync_begin(p, queue);
	if (!p->holds_rx)
		return SN_OK;
	int rc = rte_eth_dev_rx_queue_start(p->dev, (uint16_t)queue);
	if (rc == 0)
		rc = rte_eth_dev_tx_queue_start(p->dev, (uint16_t)queue);
	if (rc)
		return sn_fail(SN_E_NOTSUP, "port %s: queue %u did not start again: %s", p->name, queue,
			       rte_strerror(-rc));
	return SN_OK;
}
