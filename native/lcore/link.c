/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lcore/worker.h"

static int call(const char *ifname, uint32_t cmd, uint32_t *data)
{
	struct ethtool_value value = {.cmd = cmd, .data = *data};
	struct ifreq req = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	snprintf(req.ifr_name, sizeof req.ifr_name, "%s", ifname);
	req.ifr_data = (void *)&value;
	int rc = ioctl(fd, SIOCETHTOOL, &req) < 0 ? -errno : 0;
	close(fd);
	*data = value.data;
	return rc;
}

int sn_link_offload(const char *ifname, const char *what, int on)
{
	bool lro = strcmp(what, "lro") == 0;
	uint32_t value = 0;

	int rc = call(ifname, lro ? ETHTOOL_GFLAGS : ETHTOOL_GGRO, &value);
	if (rc < 0)
		return rc;
	if (on < 0)
		return lro ? !!(value & ETH_FLAG_LRO) : !!value;
	if (lro)
		value = on ? value | ETH_FLAG_LRO : value & ~(uint32_t)ETH_FLAG_LRO;
	else
		value = on != 0;
	rc = call(ifname, lro ? ETHTOOL_SFLAGS : ETHTOOL_SGRO, &value);
	return rc < 0 ? rc : on;
}

int sn_link_up(const char *ifname)
{
	uint32_t value = 0;
	int rc = call(ifname, ETHTOOL_GLINK, &value);

	return rc < 0 ? rc : value != 0;
}
