/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rtnl: the rtnetlink adapter: lane devices, their addresses, our routing tables and rules, and
 * what of the host's links and addresses bears on them.
 */
#ifndef WGSCALE_RTNL_H
#define WGSCALE_RTNL_H

#include "nl.h"
#include "plan.h"
#include "want.h"

struct rtnl;

/* `result` is called once or more per applied op (`arg` is the struct op): 0 or -errno. */
int rtnl_open(nl_result_fn result, void *owner, struct rtnl **ret_rtnl);
void rtnl_close(struct rtnl *r);

/*
 * Adds objects (LINK, ADDR, ROUTE, RULE) and facts (addrs, foreign without ports) to `ret`;
 * ret->facts.ipv6 says whether to look at IPv6. As kernel_observe().
 */
int rtnl_observe(struct rtnl *r, const struct ownership *own, struct world *ret,
		 const char **ret_why);

/* Collects the requests of one op; results come when there are many, or at rtnl_flush(). */
void rtnl_apply(struct rtnl *r, struct op *op);
void rtnl_flush(struct rtnl *r);

/* As kernel_path(). */
int rtnl_path(struct rtnl *r, const struct ipaddr *dst, uint32_t mark, uint32_t *ret_mtu,
	      char ret_dev[static 16]);

#endif
