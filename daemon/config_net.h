/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * config_net: addresses, prefixes and endpoints as people write them in site files and cards.
 * Pure. Readers as those of config_yaml.h.
 */
#ifndef WGSCALE_CONFIG_NET_H
#define WGSCALE_CONFIG_NET_H

#include "config_yaml.h"

/* A unicast address that other hosts can reach: not unspecified, loopback or link-local. */
bool config_net_addr(struct config_yaml *y, const struct config_yaml_node *n, struct ipaddr *ret);
/* A prefix, or a list of them; those in error are diagnosed and left out, and so are equal ones. */
void config_net_prefixes(struct config_yaml *y, const struct config_yaml_node *n,
			 struct config_prefixes *ret);
/* An endpoint, or a list: "name", "192.0.2.1", "2001:db8::1", "name:port", "[2001:db8::1]:port". */
void config_net_endpoints(struct config_yaml *y, const struct config_yaml_node *n,
			  struct config_endpoint **ret, size_t *ret_n);

#endif
