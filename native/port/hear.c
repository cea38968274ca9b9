/* SPDX-License-Identifier: Apache-2.0
 *
 * Multicast: the solicited-node group of a port's IPv6 address (RFC 4291 2.7.1, RFC 2464 7). Whoever filters on the way
 * to us is told: the Linux interface below, by a membership that lives as long as a socket; else the driver.
 */
#include <errno.h>
#include <linux/if_packet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_ethdev.h>

#include "port/error.h"
#include "port/port.h"

/* The socket is bound to nothing and receives nothing. */
static int join_interface(int ifindex, const struct rte_ether_addr *mac)
{
	struct packet_mreq req = {.mr_ifindex = ifindex, .mr_type = PACKET_MR_MULTICAST, .mr_alen = sizeof *mac};
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(req.mr_address, mac, sizeof *mac);
	if (fd >= 0 && setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &req, sizeof req) < 0) {
		int saved = errno;
		close(fd);
		errno = saved;
		fd = -1;
	}
	return fd;
}

enum sn_err sn_port_hear(struct sn_port *p, const struct sn_addr *addr)
{
	const uint8_t *a = addr->b;
	struct rte_ether_addr group = {{0x33, 0x33, 0xff, a[13], a[14], a[15]}};

	if (p->ifindex) {
		p->hear_fd = join_interface(p->ifindex, &group);
		return p->hear_fd >= 0
			       ? SN_OK
			       : sn_fail(SN_E_INVAL, "port %s: the interface does not take a multicast group: %s",
					 p->name, strerror(errno));
	}
	int rc = rte_eth_dev_set_mc_addr_list(p->dev, &group, 1);
	if (rc)
		rc = rte_eth_allmulticast_enable(p->dev);
	/* A driver that has neither does not filter. */
	if (rc && rc != -ENOTSUP)
		return sn_fail(SN_E_INVAL, "port %s: %s does not let multicast in, so IPv6 cannot be used there: %s",
			       p->name, p->driver, rte_strerror(-rc));
	return SN_OK;
}
