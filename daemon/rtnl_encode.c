/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: The pure half of rtnl: what a link, address, route or rule of ours looks like as an
 * rtnetlink message, both ways. It never sends anything and allocates nothing. Invariant: what is
 * encoded from an object parses back to the same object, and what we would never encode does not
 * parse to an object that we could want. Read rtnl.c for who calls it.
 */
#include "rtnl_encode.h"

#include <ctype.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#include "nl.h"

static struct nlmsghdr *request(void *buf, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = flags;
	return nlh;
}

static void put_addr(struct nlmsghdr *nlh, uint16_t type, const struct ipaddr *a)
{
	mnl_attr_put(nlh, type, addr_bytes(a->family), a->b);
}

static bool get_addr(const struct nlattr *attr, uint8_t family, struct ipaddr *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (!nl_bytes(attr, ret->b, addr_bytes(family)))
		return false;
	ret->family = family;
	return true;
}

/* Tables beyond 255 do not fit into the header's byte; the attribute always counts. */
static uint8_t table_byte(uint32_t table)
{
	return table < 256 ? (uint8_t)table : RT_TABLE_COMPAT;
}

static bool family_known(uint8_t family)
{
	return family == AF_INET || family == AF_INET6;
}

/* ---- links ---- */

struct nlmsghdr *rtnl_encode_link_dump(void *buf)
{
	struct nlmsghdr *nlh = request(buf, RTM_GETLINK, 0);

	mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
	return nlh;
}

struct nlmsghdr *rtnl_encode_link_get(void *buf, uint32_t ifindex)
{
	struct nlmsghdr *nlh = request(buf, RTM_GETLINK, 0);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));

	ifi->ifi_index = (int)ifindex;
	return nlh;
}

struct nlmsghdr *rtnl_encode_link_add(void *buf, const struct obj *want)
{
	struct nlmsghdr *nlh = request(buf, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	struct nlattr *info;

	mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(nlh, IFLA_IFNAME, want->dev);
	mnl_attr_put_u32(nlh, IFLA_GROUP, RTNL_GROUP);
	mnl_attr_put_u32(nlh, IFLA_MTU, want->link.mtu);
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "wireguard");
	mnl_attr_nest_end(nlh, info);
	return nlh;
}

struct nlmsghdr *rtnl_encode_link_set(void *buf, const struct obj *want, const struct obj *have)
{
	struct nlmsghdr *nlh = request(buf, RTM_NEWLINK, 0);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));

	if (have && have->link.ifindex)
		ifi->ifi_index = (int)have->link.ifindex;
	else
		mnl_attr_put_strz(nlh, IFLA_IFNAME, want->dev);
	if (!have || have->link.mtu != want->link.mtu)
		mnl_attr_put_u32(nlh, IFLA_MTU, want->link.mtu);
	if (!have || strcmp(have->link.alias ? have->link.alias : "", want->link.alias) != 0)
		mnl_attr_put(nlh, IFLA_IFALIAS, strlen(want->link.alias), want->link.alias);
	if (!have || have->link.up != want->link.up) {
		ifi->ifi_change = IFF_UP;
		ifi->ifi_flags = want->link.up ? IFF_UP : 0;
	}
	return nlh;
}

struct nlmsghdr *rtnl_encode_link_del(void *buf, uint32_t ifindex)
{
	struct nlmsghdr *nlh = request(buf, RTM_DELLINK, 0);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));

	ifi->ifi_index = (int)ifindex;
	return nlh;
}

int rtnl_parse_link(const struct nlmsghdr *nlh, struct rtnl_link *ret)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	const struct nlattr
		*tb[IFLA_LINKINFO + 1 > IFLA_GROUP + 1 ? IFLA_LINKINFO + 1 : IFLA_GROUP + 1];
	const struct nlattr *info[IFLA_INFO_KIND + 1];
	struct rtnl_link_stats64 stats;

	if (nlh->nlmsg_type != RTM_NEWLINK)
		return -ENOMSG;
	if (nl_msg_attrs(nlh, sizeof(*ifi), tb, IFLA_GROUP))
		return -EBADMSG;
	if (ifi->ifi_family != AF_UNSPEC) /* a bridge's or an address family's view */
		return -ENOMSG;
	memset(ret, 0, sizeof(*ret));
	ret->ifindex = (uint32_t)ifi->ifi_index;
	ret->up = ifi->ifi_flags & IFF_UP;
	ret->mtu = nl_u32(tb[IFLA_MTU], 0);
	ret->group = nl_u32(tb[IFLA_GROUP], 0);
	nl_str(tb[IFLA_IFNAME], ret->name, sizeof(ret->name));
	nl_str(tb[IFLA_IFALIAS], ret->alias, sizeof(ret->alias));
	nl_nested(tb[IFLA_LINKINFO], info, IFLA_INFO_KIND);
	nl_str(info[IFLA_INFO_KIND], ret->kind, sizeof(ret->kind));
	if (tb[IFLA_STATS64] && mnl_attr_get_payload_len(tb[IFLA_STATS64]) >=
					offsetof(struct rtnl_link_stats64, rx_bytes)) {
		memcpy(&stats, mnl_attr_get_payload(tb[IFLA_STATS64]),
		       offsetof(struct rtnl_link_stats64, rx_bytes));
		ret->packets = stats.rx_packets + stats.tx_packets;
	}
	return ret->ifindex && ret->name[0] ? 0 : -EBADMSG;
}

/* wgs0, wgs1, ... */
static bool is_lane_name(const char *name)
{
	size_t n = strlen(MODEL_DEV_PREFIX);

	if (strncmp(name, MODEL_DEV_PREFIX, n) != 0 || !name[n])
		return false;
	for (const char *p = name + n; *p; p++)
		if (!isdigit((unsigned char)*p))
			return false;
	return true;
}

bool rtnl_link_is_ours(const struct rtnl_link *l)
{
	if (strcmp(l->kind, "wireguard") != 0 || !is_lane_name(l->name))
		return false;
	return l->group == RTNL_GROUP ||
	       strncmp(l->alias, MODEL_ALIAS_PREFIX, strlen(MODEL_ALIAS_PREFIX)) == 0;
}

/* ---- addresses ---- */

struct nlmsghdr *rtnl_encode_addr_dump(void *buf)
{
	struct nlmsghdr *nlh = request(buf, RTM_GETADDR, 0);

	mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifaddrmsg));
	return nlh;
}

static bool is_link_local(const struct ipaddr *a)
{
	if (a->family == AF_INET)
		return a->b[0] == 169 && a->b[1] == 254;
	return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

static uint32_t addr_flags(const struct prefix *p)
{
	uint32_t flags = 0;

	/* Nobody else can hold the address on a tunnel, and a tentative one answers no probe. */
	if (p->addr.family == AF_INET6)
		flags |= IFA_F_NODAD;
	/* Probes of link-local addresses need the device route; nothing else of ours does. */
	if (!is_link_local(&p->addr))
		flags |= IFA_F_NOPREFIXROUTE;
	return flags;
}

struct nlmsghdr *rtnl_encode_addr(void *buf, enum op_verb verb, const struct obj *o,
				  uint32_t ifindex)
{
	const struct prefix *p = &o->addr.prefix;
	struct nlmsghdr *nlh;
	struct ifaddrmsg *ifa;

	if (verb == OP_DEL)
		nlh = request(buf, RTM_DELADDR, 0);
	else
		nlh = request(buf, RTM_NEWADDR,
			      NLM_F_CREATE | (verb == OP_ADD ? NLM_F_EXCL : NLM_F_REPLACE));
	ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
	ifa->ifa_family = p->addr.family;
	ifa->ifa_prefixlen = p->len;
	ifa->ifa_scope = is_link_local(&p->addr) ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	ifa->ifa_index = ifindex;
	put_addr(nlh, IFA_LOCAL, &p->addr);
	put_addr(nlh, IFA_ADDRESS, &p->addr);
	if (verb != OP_DEL)
		mnl_attr_put_u32(nlh, IFA_FLAGS, addr_flags(p));
	return nlh;
}

int rtnl_parse_addr(const struct nlmsghdr *nlh, struct rtnl_addr *ret)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[IFA_LOCAL + 1];

	if (nlh->nlmsg_type != RTM_NEWADDR)
		return -ENOMSG;
	if (nl_msg_attrs(nlh, sizeof(*ifa), tb, IFA_LOCAL))
		return -EBADMSG;
	if (!family_known(ifa->ifa_family) || (!tb[IFA_ADDRESS] && !tb[IFA_LOCAL]))
		return -ENOMSG;
	memset(ret, 0, sizeof(*ret));
	if (ifa->ifa_prefixlen > addr_bits(ifa->ifa_family))
		return -EBADMSG;
	/* IFA_ADDRESS is the other end where there is one, else the same as IFA_LOCAL. */
	if (!get_addr(tb[IFA_ADDRESS] ? tb[IFA_ADDRESS] : tb[IFA_LOCAL], ifa->ifa_family,
		      &ret->prefix.addr))
		return -EBADMSG;
	ret->addr = ret->prefix.addr;
	if (tb[IFA_LOCAL] && !get_addr(tb[IFA_LOCAL], ifa->ifa_family, &ret->addr))
		return -EBADMSG;
	ret->ifindex = ifa->ifa_index;
	ret->len = ret->prefix.len = ifa->ifa_prefixlen;
	addr_mask(&ret->prefix);
	return 0;
}

/* ---- routes ---- */

struct nlmsghdr *rtnl_encode_route_dump(void *buf, uint8_t family, uint32_t table)
{
	struct nlmsghdr *nlh = request(buf, RTM_GETROUTE, 0);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));

	rtm->rtm_family = family;
	mnl_attr_put_u32(nlh, RTA_TABLE, table);
	return nlh;
}

static uint8_t type_encode(enum route_type type)
{
	switch (type) {
	case ROUTE_UNICAST:
		return RTN_UNICAST;
	case ROUTE_UNREACHABLE:
		return RTN_UNREACHABLE;
	case ROUTE_THROW:
		return RTN_THROW;
	}
	return RTN_UNREACHABLE;
}

/* Of RTM_NEWROUTE. */
static void route_rest(struct nlmsghdr *nlh, struct rtmsg *rtm, const struct obj *o)
{
	const struct obj_route *r = &o->route;
	struct nlattr *metrics;

	rtm->rtm_type = type_encode(r->type);
	/* systemd-networkd deletes routes it does not know, but for those of the kernel; routes
	 * over our devices it leaves alone, as those are unmanaged. */
	rtm->rtm_protocol = r->type == ROUTE_UNICAST ? RTPROT_STATIC : RTPROT_KERNEL;
	rtm->rtm_scope = RT_SCOPE_UNIVERSE;
	if (r->type == ROUTE_UNICAST && r->dst.addr.family == AF_INET)
		rtm->rtm_scope = RT_SCOPE_LINK;
	if (r->src.family)
		put_addr(nlh, RTA_PREFSRC, &r->src);
	if (r->mtu) {
		metrics = mnl_attr_nest_start(nlh, RTA_METRICS);
		mnl_attr_put_u32(nlh, RTAX_MTU, r->mtu);
		mnl_attr_nest_end(nlh, metrics);
	}
}

struct nlmsghdr *rtnl_encode_route(void *buf, enum op_verb verb, const struct obj *o,
				   uint32_t ifindex)
{
	const struct obj_route *r = &o->route;
	struct nlmsghdr *nlh;
	struct rtmsg *rtm;

	if (verb == OP_DEL)
		nlh = request(buf, RTM_DELROUTE, 0);
	else
		nlh = request(buf, RTM_NEWROUTE,
			      NLM_F_CREATE | (verb == OP_ADD ? NLM_F_EXCL : NLM_F_REPLACE));
	rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	rtm->rtm_family = r->dst.addr.family;
	rtm->rtm_dst_len = r->dst.len;
	rtm->rtm_table = table_byte(r->table);
	mnl_attr_put_u32(nlh, RTA_TABLE, r->table);
	if (r->dst.len)
		put_addr(nlh, RTA_DST, &r->dst.addr);
	if (r->metric)
		mnl_attr_put_u32(nlh, RTA_PRIORITY, r->metric);
	if (r->type == ROUTE_UNICAST && ifindex)
		mnl_attr_put_u32(nlh, RTA_OIF, ifindex);
	if (verb == OP_DEL)
		rtm->rtm_scope = RT_SCOPE_NOWHERE; /* any; as are type and protocol 0 */
	else
		route_rest(nlh, rtm, o);
	return nlh;
}

static uint32_t route_mtu(const struct nlattr *metrics)
{
	const struct nlattr *tb[RTAX_MTU + 1];

	nl_nested(metrics, tb, RTAX_MTU);
	return nl_u32(tb[RTAX_MTU], 0);
}

static bool route_alien(const struct rtmsg *rtm, const struct nlattr **tb)
{
	static const uint8_t not_ours[] = {RTA_GATEWAY, RTA_VIA, RTA_MULTIPATH, RTA_NH_ID,
					   RTA_ENCAP};

	if (rtm->rtm_tos || rtm->rtm_src_len)
		return true;
	for (size_t i = 0; i < sizeof(not_ours); i++)
		if (tb[not_ours[i]])
			return true;
	return false;
}

int rtnl_parse_route(const struct nlmsghdr *nlh, struct obj_route *ret, uint32_t *ret_ifindex)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[RTA_NH_ID + 1];
	uint8_t family;
	bool alien;

	if (nlh->nlmsg_type != RTM_NEWROUTE)
		return -ENOMSG;
	if (nl_msg_attrs(nlh, sizeof(*rtm), tb, RTA_NH_ID))
		return -EBADMSG;
	family = rtm->rtm_family;
	if (!family_known(family) || (rtm->rtm_flags & RTM_F_CLONED))
		return -ENOMSG;
	memset(ret, 0, sizeof(*ret));
	if (rtm->rtm_dst_len > addr_bits(family))
		return -EBADMSG;
	ret->dst.addr.family = family;
	ret->dst.len = rtm->rtm_dst_len;
	if (tb[RTA_DST] && !get_addr(tb[RTA_DST], family, &ret->dst.addr))
		return -EBADMSG;
	addr_mask(&ret->dst);
	if (tb[RTA_PREFSRC] && !get_addr(tb[RTA_PREFSRC], family, &ret->src))
		return -EBADMSG;
	ret->table = nl_u32(tb[RTA_TABLE], rtm->rtm_table);
	ret->metric = nl_u32(tb[RTA_PRIORITY], 0);
	alien = route_alien(rtm, tb);
	if (rtm->rtm_type == RTN_UNICAST) {
		ret->type = ROUTE_UNICAST;
	} else if (rtm->rtm_type == RTN_THROW) {
		ret->type = ROUTE_THROW;
	} else {
		ret->type = ROUTE_UNREACHABLE;
		alien = alien || rtm->rtm_type != RTN_UNREACHABLE;
	}
	ret->mtu = alien ? RTNL_ALIEN_MTU : route_mtu(tb[RTA_METRICS]);
	*ret_ifindex = ret->type == ROUTE_UNICAST ? nl_u32(tb[RTA_OIF], 0) : 0;
	return 0;
}

struct nlmsghdr *rtnl_encode_path(void *buf, const struct ipaddr *dst, uint32_t mark)
{
	struct nlmsghdr *nlh = request(buf, RTM_GETROUTE, 0);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));

	rtm->rtm_family = dst->family;
	rtm->rtm_dst_len = (uint8_t)addr_bits(dst->family);
	put_addr(nlh, RTA_DST, dst);
	if (mark)
		mnl_attr_put_u32(nlh, RTA_MARK, mark);
	return nlh;
}

int rtnl_parse_path(const struct nlmsghdr *nlh, uint32_t *ret_ifindex, uint32_t *ret_mtu)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[RTA_METRICS + 1];
	uint32_t ifindex;

	if (nlh->nlmsg_type != RTM_NEWROUTE)
		return -ENOMSG;
	if (nl_msg_attrs(nlh, sizeof(*rtm), tb, RTA_METRICS))
		return -EBADMSG;
	ifindex = nl_u32(tb[RTA_OIF], 0);
	if ((rtm->rtm_type != RTN_UNICAST && rtm->rtm_type != RTN_LOCAL) || !ifindex)
		return -ENETUNREACH;
	*ret_ifindex = ifindex;
	*ret_mtu = route_mtu(tb[RTA_METRICS]);
	return 0;
}

/* ---- rules ---- */

struct nlmsghdr *rtnl_encode_rule_dump(void *buf, uint8_t family)
{
	struct nlmsghdr *nlh = request(buf, RTM_GETRULE, 0);
	struct fib_rule_hdr *frh = mnl_nlmsg_put_extra_header(nlh, sizeof(*frh));

	frh->family = family;
	return nlh;
}

static void rule_action(struct nlmsghdr *nlh, struct fib_rule_hdr *frh, const struct obj_rule *r)
{
	switch (r->action) {
	case RULE_LOOKUP:
		frh->action = FR_ACT_TO_TBL;
		frh->table = r->target < 256 ? (uint8_t)r->target : RT_TABLE_UNSPEC;
		mnl_attr_put_u32(nlh, FRA_TABLE, r->target);
		break;
	case RULE_GOTO:
		frh->action = FR_ACT_GOTO;
		mnl_attr_put_u32(nlh, FRA_GOTO, r->target);
		break;
	case RULE_NOP:
		/* One that is not of ours is deleted whatever its action. */
		frh->action = r->target == RTNL_ALIEN_TARGET ? FR_ACT_UNSPEC : FR_ACT_NOP;
		break;
	}
}

struct nlmsghdr *rtnl_encode_rule(void *buf, enum op_verb verb, const struct obj_rule *r)
{
	struct nlmsghdr *nlh;
	struct fib_rule_hdr *frh;

	if (verb == OP_DEL)
		nlh = request(buf, RTM_DELRULE, 0);
	else
		nlh = request(buf, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL);
	frh = mnl_nlmsg_put_extra_header(nlh, sizeof(*frh));
	frh->family = r->family;
	mnl_attr_put_u32(nlh, FRA_PRIORITY, r->pref);
	if (r->mask) {
		mnl_attr_put_u32(nlh, FRA_FWMARK, r->mark);
		mnl_attr_put_u32(nlh, FRA_FWMASK, r->mask);
	}
	rule_action(nlh, frh, r);
	if (verb != OP_DEL)
		mnl_attr_put_u8(nlh, FRA_PROTOCOL, RTPROT_KERNEL);
	return nlh;
}

/* A list of what is not ours, rather than of what is: a later kernel may tell more of any rule. */
static bool rule_alien(const struct fib_rule_hdr *frh, const struct nlattr **tb)
{
	static const uint8_t selectors[] = {
		FRA_DST,       FRA_SRC,	     FRA_IIFNAME,     FRA_OIFNAME,     FRA_TUN_ID,
		FRA_UID_RANGE, FRA_IP_PROTO, FRA_SPORT_RANGE, FRA_DPORT_RANGE,
	};

	if (frh->dst_len || frh->src_len || frh->tos || (frh->flags & FIB_RULE_INVERT))
		return true;
	for (size_t i = 0; i < sizeof(selectors); i++)
		if (tb[selectors[i]])
			return true;
	return nl_u8(tb[FRA_L3MDEV], 0) ||
	       nl_u32(tb[FRA_SUPPRESS_PREFIXLEN], UINT32_MAX) != UINT32_MAX ||
	       nl_u32(tb[FRA_SUPPRESS_IFGROUP], UINT32_MAX) != UINT32_MAX;
}

int rtnl_parse_rule(const struct nlmsghdr *nlh, struct obj_rule *ret)
{
	const struct fib_rule_hdr *frh = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[FRA_MAX + 1];
	bool alien;

	if (nlh->nlmsg_type != RTM_NEWRULE)
		return -ENOMSG;
	if (nl_msg_attrs(nlh, sizeof(*frh), tb, FRA_MAX))
		return -EBADMSG;
	if (!family_known(frh->family))
		return -ENOMSG;
	memset(ret, 0, sizeof(*ret));
	ret->family = frh->family;
	ret->pref = nl_u32(tb[FRA_PRIORITY], 0);
	ret->mark = nl_u32(tb[FRA_FWMARK], 0);
	ret->mask = nl_u32(tb[FRA_FWMASK], ret->mark ? UINT32_MAX : 0);
	alien = rule_alien(frh, tb);
	if (frh->action == FR_ACT_TO_TBL) {
		ret->action = RULE_LOOKUP;
		ret->target = nl_u32(tb[FRA_TABLE], frh->table);
	} else if (frh->action == FR_ACT_GOTO) {
		ret->action = RULE_GOTO;
		ret->target = nl_u32(tb[FRA_GOTO], 0);
	} else {
		ret->action = RULE_NOP;
		alien = alien || frh->action != FR_ACT_NOP;
	}
	if (alien) {
		ret->action = RULE_NOP;
		ret->target = RTNL_ALIEN_TARGET;
	}
	return 0;
}
