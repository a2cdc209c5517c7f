/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ethtool: which header fields a NIC hashes to choose the receive queue of a flow.
 */
#ifndef WGSCALE_ETHTOOL_H
#define WGSCALE_ETHTOOL_H

#include <stdint.h>

/* `flow_type` is UDP_V4_FLOW or UDP_V6_FLOW, the value a set of RXH_* (both linux/ethtool.h);
 * "sdfn" of ethtool(8) is ETHTOOL_RXFH_PORTS. -EOPNOTSUPP: the driver has no such setting. */
#define ETHTOOL_RXFH_PORTS 0xf0u /* source and destination address and port */

int ethtool_rxfh_get(const char *dev, int flow_type, uint64_t *ret);
int ethtool_rxfh_set(const char *dev, int flow_type, uint64_t value);

#endif
