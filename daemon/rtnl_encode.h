/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rtnl_encode: rtnetlink messages <-> links, addresses, routes, rules. Pure.
 *
 * _encode_ functions write one request to `buf`, which has RTNL_MSG_MAX bytes and is aligned as a
 * struct nlmsghdr, and return it. _parse_ functions give 0, -ENOMSG (another kind of message: not
 * for us) or -EBADMSG (malformed); *ret is unspecified then.
 */
#ifndef WGSCALE_RTNL_ENCODE_H
#define WGSCALE_RTNL_ENCODE_H

#include <libmnl/libmnl.h>

#include "plan.h"

#define RTNL_MSG_MAX 1024

/* Group of our devices ("wgsc"): the kernel sets it when it creates a device, while an alias can
 * only be set afterwards; so a device is never without a sign that it is ours. */
#define RTNL_GROUP 0x77677363u

/* MTU of an observed route that is not of a kind we make (blackhole, with a gateway, with a TOS):
 * no wanted route has it, so that the route is replaced or removed. */
#define RTNL_ALIEN_MTU 1u
/* Target of such a rule (with a selector we do not use); its action reads RULE_NOP. */
#define RTNL_ALIEN_TARGET UINT32_MAX

/* ---- links ---- */

struct rtnl_link {
	uint32_t ifindex, mtu, group;
	char name[16], kind[16], alias[256]; /* "" when absent */
	bool up;
	uint64_t packets; /* rx + tx */
};

struct nlmsghdr *rtnl_encode_link_dump(void *buf);
struct nlmsghdr *rtnl_encode_link_get(void *buf, uint32_t ifindex);
/* Down, with group and MTU. */
struct nlmsghdr *rtnl_encode_link_add(void *buf, const struct obj *want);
/* What differs from `have`; all of it when that is NULL (the device is found by name then). */
struct nlmsghdr *rtnl_encode_link_set(void *buf, const struct obj *want, const struct obj *have);
struct nlmsghdr *rtnl_encode_link_del(void *buf, uint32_t ifindex);
int rtnl_parse_link(const struct nlmsghdr *nlh, struct rtnl_link *ret);
bool rtnl_link_is_ours(const struct rtnl_link *l);

/* ---- addresses ---- */

struct rtnl_addr {
	uint32_t ifindex;
	struct ipaddr addr; /* the host's own */
	uint8_t len;	    /* prefix length */
	struct prefix
		prefix; /* connected: masked; that of the other end on a point-to-point link */
};

struct nlmsghdr *rtnl_encode_addr_dump(void *buf);
struct nlmsghdr *rtnl_encode_addr(void *buf, enum op_verb verb, const struct obj *o,
				  uint32_t ifindex);
int rtnl_parse_addr(const struct nlmsghdr *nlh, struct rtnl_addr *ret);

/* ---- routes ---- */

struct nlmsghdr *rtnl_encode_route_dump(void *buf, uint8_t family, uint32_t table);
/* ifindex: of o->dev; 0: none, or any when deleting. */
struct nlmsghdr *rtnl_encode_route(void *buf, enum op_verb verb, const struct obj *o,
				   uint32_t ifindex);
/* *ret_ifindex: of a unicast route, else 0. */
int rtnl_parse_route(const struct nlmsghdr *nlh, struct obj_route *ret, uint32_t *ret_ifindex);

/* Where would a packet with this mark go? Answered with a route. */
struct nlmsghdr *rtnl_encode_path(void *buf, const struct ipaddr *dst, uint32_t mark);
/* *ret_mtu: of the route, 0 when it has none. -ENETUNREACH when packets do not leave. */
int rtnl_parse_path(const struct nlmsghdr *nlh, uint32_t *ret_ifindex, uint32_t *ret_mtu);

/* ---- rules ---- */

struct nlmsghdr *rtnl_encode_rule_dump(void *buf, uint8_t family);
struct nlmsghdr *rtnl_encode_rule(void *buf, enum op_verb verb, const struct obj_rule *r);
int rtnl_parse_rule(const struct nlmsghdr *nlh, struct obj_rule *ret);

#endif
