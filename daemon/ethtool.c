/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: Reads and writes a NIC's receive flow hash fields, by ioctl: ethtool's netlink family has
 * no message for them on the kernels we run on. Without ports among them all tunnels between two
 * addresses share one queue (DESIGN 9). It never decides whether to write, nor keeps what was
 * there before; its caller does.
 */
#include "ethtool.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

_Static_assert(ETHTOOL_RXFH_PORTS == (RXH_IP_SRC | RXH_IP_DST | RXH_L4_B_0_1 | RXH_L4_B_2_3),
	       "sdfn");

static int request(const char *dev, struct ethtool_rxnfc *nfc)
{
	struct ifreq ifr = {0};
	int fd, err;

	if (strlen(dev) >= sizeof(ifr.ifr_name))
		return -ENODEV;
	strcpy(ifr.ifr_name, dev);
	ifr.ifr_data = (void *)nfc;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	err = ioctl(fd, SIOCETHTOOL, &ifr) < 0 ? -errno : 0;
	close(fd);
	return err;
}

int ethtool_rxfh_get(const char *dev, int flow_type, uint64_t *ret)
{
	struct ethtool_rxnfc nfc = {.cmd = ETHTOOL_GRXFH, .flow_type = (uint32_t)flow_type};
	int err = request(dev, &nfc);

	if (!err)
		*ret = nfc.data;
	return err;
}

int ethtool_rxfh_set(const char *dev, int flow_type, uint64_t value)
{
	struct ethtool_rxnfc nfc = {
		.cmd = ETHTOOL_SRXFH, .flow_type = (uint32_t)flow_type, .data = value};

	return request(dev, &nfc);
}
