// link: daemon/nl.o daemon/rtnl_encode.o daemon/wg.o -lmnl
/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: netlink messages, without a kernel: what is encoded parses back to the same object, what
 * is not ours parses to nothing that could be wanted, and no parser reads beyond a message that
 * was cut anywhere or had any bit of it turned (each lies in an allocation of its very length, so
 * that an address sanitizer sees one byte too far).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <linux/fib_rules.h>
#include <linux/genetlink.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/wireguard.h>
#include <net/if.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "nl.h"
#include "rtnl_encode.h"
#include "unit/torture.h"
#include "wg.h"

static _Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
static struct arena arena;

static int clean(void **state)
{
	arena_done(&arena);
	return 0;
}

static struct ipaddr ip(const char *s)
{
	struct ipaddr a = {0};

	if (s)
		assert_int_equal(addr_parse(s, &a), 0);
	return a;
}

static struct prefix pfx(const char *s)
{
	struct prefix p;

	assert_int_equal(addr_parse_prefix(s, &p), 0);
	return p;
}

/* ---- cut and turned ---- */

static void feed_rtnl(const struct nlmsghdr *nlh)
{
	struct rtnl_link link;
	struct rtnl_addr addr;
	struct obj_route route;
	struct obj_rule rule;
	uint32_t a, b;

	if (!rtnl_parse_link(nlh, &link)) {
		assert_true(strlen(link.name) < sizeof(link.name) && link.ifindex);
		rtnl_link_is_ours(&link);
	}
	if (!rtnl_parse_addr(nlh, &addr))
		assert_true(addr.len <= addr_bits(addr.addr.family));
	if (!rtnl_parse_route(nlh, &route, &a))
		assert_true(route.dst.len <= addr_bits(route.dst.addr.family));
	if (!rtnl_parse_rule(nlh, &rule))
		assert_true(rule.action <= RULE_NOP);
	rtnl_parse_path(nlh, &a, &b);
}

static void feed_wg(const struct nlmsghdr *nlh)
{
	struct arena a = {0};
	struct wg_dump d = {.arena = &a};

	wg_parse(nlh, &d); /* twice: the second continues the first */
	wg_parse(nlh, &d);
	wg_parse_done(&d);
	arena_done(&a);
}

static void feed_error(const struct nlmsghdr *nlh)
{
	char why[32];
	int err = 0;

	if (nl_parse_error(nlh, &err, why, sizeof(why)))
		assert_true(err <= 0 && strlen(why) < sizeof(why));
}

/* ---- links ---- */

static struct nlmsghdr *link_msg(const char *name, const char *kind, const char *alias,
				 uint32_t group)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	struct rtnl_link_stats64 stats = {.rx_packets = 7, .tx_packets = 5, .rx_bytes = 9};
	struct nlattr *info;

	nlh->nlmsg_type = RTM_NEWLINK;
	ifi->ifi_index = 42;
	ifi->ifi_flags = IFF_UP;
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	mnl_attr_put_u32(nlh, IFLA_MTU, 1412);
	mnl_attr_put_u32(nlh, IFLA_GROUP, group);
	if (alias)
		mnl_attr_put_strz(nlh, IFLA_IFALIAS, alias);
	mnl_attr_put(nlh, IFLA_STATS64, sizeof(stats), &stats);
	if (!kind)
		return nlh;
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, kind);
	mnl_attr_nest_end(nlh, info);
	return nlh;
}

static void test_link_parse(void **state)
{
	const struct nlmsghdr *nlh = link_msg("wgs3", "wireguard", "wgscale:turin", 0);
	struct rtnl_link l;

	assert_int_equal(rtnl_parse_link(nlh, &l), 0);
	assert_int_equal(l.ifindex, 42);
	assert_int_equal(l.mtu, 1412);
	assert_true(l.up);
	assert_int_equal(l.packets, 12);
	assert_string_equal(l.name, "wgs3");
	assert_string_equal(l.kind, "wireguard");
	assert_string_equal(l.alias, "wgscale:turin");
	torture(feed_rtnl, nlh);
}

static bool ours(const char *name, const char *kind, const char *alias, uint32_t group)
{
	struct rtnl_link l;

	assert_int_equal(rtnl_parse_link(link_msg(name, kind, alias, group), &l), 0);
	return rtnl_link_is_ours(&l);
}

static void test_link_ours(void **state)
{
	assert_true(ours("wgs0", "wireguard", "wgscale:turin", 0));
	assert_true(ours("wgs17", "wireguard", NULL, RTNL_GROUP)); /* its alias is still to come */
	assert_false(ours("wgs0", "wireguard", NULL, 0));
	assert_false(ours("wgs0", "wireguard", "mine", 0));
	assert_false(ours("wgs0", "dummy", "wgscale:turin", RTNL_GROUP));
	assert_false(ours("wgs0", NULL, "wgscale:turin", RTNL_GROUP));
	assert_false(ours("wg0", "wireguard", "wgscale:turin", RTNL_GROUP));
	assert_false(ours("wgs", "wireguard", "wgscale:turin", RTNL_GROUP));
	assert_false(ours("wgs0x", "wireguard", "wgscale:turin", RTNL_GROUP));
}

static struct obj link_obj(const char *alias, uint32_t mtu, bool up)
{
	return (struct obj){
		.kind = OBJ_LINK, .dev = "wgs3", .link = {.alias = alias, .mtu = mtu, .up = up}};
}

static void test_link_encode(void **state)
{
	struct obj want = link_obj("wgscale:turin", 1420, true), have = want;
	struct nlmsghdr *nlh = rtnl_encode_link_add(buf, &want);
	struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[IFLA_GROUP + 1];
	struct rtnl_link l;

	assert_int_equal(nlh->nlmsg_flags, NLM_F_CREATE | NLM_F_EXCL);
	ifi->ifi_index = 1;
	assert_int_equal(rtnl_parse_link(nlh, &l), 0);
	assert_false(l.up);
	assert_int_equal(l.mtu, 1420);
	assert_true(rtnl_link_is_ours(&l));

	have.link.ifindex = 9;
	have.link.up = false;
	nlh = rtnl_encode_link_set(buf, &want, &have);
	ifi = mnl_nlmsg_get_payload(nlh);
	assert_int_equal(nl_msg_attrs(nlh, sizeof(*ifi), tb, IFLA_GROUP), 0);
	assert_int_equal(ifi->ifi_index, 9);
	assert_int_equal(ifi->ifi_change, IFF_UP);
	assert_int_equal(ifi->ifi_flags, IFF_UP);
	assert_null(tb[IFLA_MTU]);
	assert_null(tb[IFLA_IFALIAS]);

	have = link_obj(NULL, 1420, true);
	nlh = rtnl_encode_link_set(buf, &want, &have);
	ifi = mnl_nlmsg_get_payload(nlh);
	assert_int_equal(nl_msg_attrs(nlh, sizeof(*ifi), tb, IFLA_GROUP), 0);
	assert_non_null(tb[IFLA_IFNAME]);
	assert_non_null(tb[IFLA_IFALIAS]);
	assert_null(tb[IFLA_MTU]);
	assert_int_equal(ifi->ifi_change, 0);
}

/* ---- addresses ---- */

static void test_addr(void **state)
{
	struct obj o = {.kind = OBJ_ADDR, .dev = "wgs3"};
	const struct nlattr *tb[IFA_FLAGS + 1];
	struct rtnl_addr a;
	struct nlmsghdr *nlh;

	o.addr.prefix = (struct prefix){.addr = ip("fe80::12:34"), .len = 64};
	nlh = rtnl_encode_addr(buf, OP_ADD, &o, 5);
	assert_int_equal(rtnl_parse_addr(nlh, &a), 0);
	assert_int_equal(a.ifindex, 5);
	assert_int_equal(a.len, 64);
	assert_int_equal(addr_cmp(&a.addr, &o.addr.prefix.addr), 0);
	assert_int_equal(nl_msg_attrs(nlh, sizeof(struct ifaddrmsg), tb, IFA_FLAGS), 0);
	/* Its device route is needed, and it must answer at once. */
	assert_int_equal(nl_u32(tb[IFA_FLAGS], 0), IFA_F_NODAD);
	torture(feed_rtnl, nlh);

	o.addr.prefix = (struct prefix){.addr = ip("10.1.2.3"), .len = 24};
	nlh = rtnl_encode_addr(buf, OP_ADD, &o, 5);
	assert_int_equal(nl_msg_attrs(nlh, sizeof(struct ifaddrmsg), tb, IFA_FLAGS), 0);
	assert_int_equal(nl_u32(tb[IFA_FLAGS], 0), IFA_F_NOPREFIXROUTE);
	assert_int_equal(rtnl_parse_addr(nlh, &a), 0);
	assert_int_equal(addr_cmp_prefix(&a.prefix, &(struct prefix){ip("10.1.2.0"), 24}), 0);
}

static void test_addr_pointopoint(void **state)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
	struct ipaddr local = ip("192.168.7.1"), other = ip("192.168.7.2");
	struct prefix host = addr_host(&other);
	struct rtnl_addr a;

	nlh->nlmsg_type = RTM_NEWADDR;
	ifa->ifa_family = AF_INET;
	ifa->ifa_prefixlen = 32;
	mnl_attr_put(nlh, IFA_LOCAL, 4, local.b);
	mnl_attr_put(nlh, IFA_ADDRESS, 4, other.b);
	assert_int_equal(rtnl_parse_addr(nlh, &a), 0);
	assert_int_equal(addr_cmp(&a.addr, &local), 0);
	assert_int_equal(addr_cmp_prefix(&a.prefix, &host), 0);
}

/* ---- routes ---- */

static const struct route_case {
	const char *dst, *src, *dev;
	uint32_t table, metric, mtu;
	enum route_type type;
} routes[] = {
	{"10.2.0.0/16", "10.1.0.1", "wgs0", 21820, 10, 1400, ROUTE_UNICAST},
	{"10.2.0.0/16", NULL, "wgs0", 21821, 1024, 0, ROUTE_UNICAST},
	{"0.0.0.0/0", NULL, "wgs0", 100, 1024, 0, ROUTE_UNICAST},
	{"10.2.0.0/16", NULL, NULL, 21820, 4278198272u, 0, ROUTE_UNREACHABLE},
	{"10.1.0.0/16", NULL, NULL, 21820, 1, 0, ROUTE_THROW},
	{"fd00:2::/48", "fd00:1::1", "wgs0", 21820, 10, 1400, ROUTE_UNICAST},
	{"::/0", NULL, "wgs0", 21821, 1024, 0, ROUTE_UNICAST},
	{"fd00:2::/48", NULL, NULL, 21820, 4278198272u, 0, ROUTE_UNREACHABLE},
	{"fd00:1::/48", NULL, NULL, 21820, 1, 0, ROUTE_THROW},
};

static struct obj route_obj(const struct route_case *c)
{
	struct obj o = {.kind = OBJ_ROUTE, .dev = c->dev};

	o.route = (struct obj_route){.table = c->table,
				     .dst = pfx(c->dst),
				     .metric = c->metric,
				     .type = c->type,
				     .mtu = c->mtu,
				     .src = ip(c->src)};
	return o;
}

static void test_route_there_and_back(void **state)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(*routes); i++) {
		struct obj o = route_obj(&routes[i]);
		uint32_t oif = o.dev ? 77 : 0, ifindex = 1;
		struct nlmsghdr *nlh = rtnl_encode_route(buf, OP_ADD, &o, oif);
		const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
		struct obj_route r;

		assert_int_equal(nlh->nlmsg_flags, NLM_F_CREATE | NLM_F_EXCL);
		assert_int_equal(rtnl_parse_route(nlh, &r, &ifindex), 0);
		assert_memory_equal(&r, &o.route, sizeof(r));
		assert_int_equal(ifindex, oif);
		assert_int_equal(rtm->rtm_protocol, o.dev ? RTPROT_STATIC : RTPROT_KERNEL);
		torture(feed_rtnl, nlh);
		nlh = rtnl_encode_route(buf, OP_SET, &o, oif);
		assert_int_equal(nlh->nlmsg_flags, NLM_F_CREATE | NLM_F_REPLACE);
	}
}

/* A message as of a route of ours, for tests to spoil. */
static struct rtmsg *route_msg(struct nlmsghdr **ret_nlh)
{
	struct obj o = route_obj(&routes[1]);

	*ret_nlh = rtnl_encode_route(buf, OP_ADD, &o, 77);
	return mnl_nlmsg_get_payload(*ret_nlh);
}

static void check_alien(struct nlmsghdr *nlh, enum route_type type)
{
	struct obj_route r;
	uint32_t ifindex;

	assert_int_equal(rtnl_parse_route(nlh, &r, &ifindex), 0);
	assert_int_equal(r.mtu, RTNL_ALIEN_MTU);
	assert_int_equal(r.type, type);
}

static void test_route_alien(void **state)
{
	static const uint8_t types[] = {RTN_BLACKHOLE, RTN_PROHIBIT, RTN_LOCAL, RTN_BROADCAST};
	struct nlmsghdr *nlh;
	struct obj_route r;
	uint32_t ifindex;

	for (size_t i = 0; i < sizeof(types); i++) {
		route_msg(&nlh)->rtm_type = types[i];
		check_alien(nlh, ROUTE_UNREACHABLE);
	}
	route_msg(&nlh)->rtm_tos = 4;
	check_alien(nlh, ROUTE_UNICAST);
	route_msg(&nlh);
	mnl_attr_put_u32(nlh, RTA_GATEWAY, 1);
	check_alien(nlh, ROUTE_UNICAST);
	route_msg(&nlh);
	mnl_attr_put_u32(nlh, RTA_NH_ID, 1);
	check_alien(nlh, ROUTE_UNICAST);
	route_msg(&nlh)->rtm_flags = RTM_F_CLONED;
	assert_int_equal(rtnl_parse_route(nlh, &r, &ifindex), -ENOMSG);
	route_msg(&nlh)->rtm_dst_len = 33;
	assert_int_equal(rtnl_parse_route(nlh, &r, &ifindex), -EBADMSG);
}

/* Deleting must match whatever type or protocol the route has. */
static void test_route_del(void **state)
{
	struct obj o = route_obj(&routes[3]);
	struct nlmsghdr *nlh = rtnl_encode_route(buf, OP_DEL, &o, 0);
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);

	assert_int_equal(nlh->nlmsg_type, RTM_DELROUTE);
	assert_int_equal(rtm->rtm_type, RTN_UNSPEC);
	assert_int_equal(rtm->rtm_protocol, RTPROT_UNSPEC);
	assert_int_equal(rtm->rtm_scope, RT_SCOPE_NOWHERE);
}

static void test_path(void **state)
{
	struct obj o = route_obj(&routes[0]);
	struct nlmsghdr *nlh = rtnl_encode_route(buf, OP_ADD, &o, 77);
	struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	uint32_t ifindex, mtu;

	assert_int_equal(rtnl_parse_path(nlh, &ifindex, &mtu), 0);
	assert_int_equal(ifindex, 77);
	assert_int_equal(mtu, 1400);
	rtm->rtm_type = RTN_UNREACHABLE;
	assert_int_equal(rtnl_parse_path(nlh, &ifindex, &mtu), -ENETUNREACH);
}

/* ---- rules ---- */

static const struct obj_rule rules[] = {
	{AF_INET, 1200, 0x1fe00000, 0x1fe00000, RULE_GOTO, 1499},
	{AF_INET6, 1201, 0, 0x1fe00000, RULE_GOTO, 1400},
	{AF_INET, 1221, 0x200000, 0x1fe00000, RULE_LOOKUP, 21821},
	{AF_INET6, 1400, 0, 0, RULE_LOOKUP, 200},
	{AF_INET, 1499, 0, 0, RULE_NOP, 0},
};

static void test_rule_there_and_back(void **state)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
		struct nlmsghdr *nlh = rtnl_encode_rule(buf, OP_ADD, &rules[i]);
		const struct nlattr *tb[FRA_PROTOCOL + 1];
		struct obj_rule r;

		assert_int_equal(rtnl_parse_rule(nlh, &r), 0);
		assert_memory_equal(&r, &rules[i], sizeof(r));
		assert_int_equal(nl_msg_attrs(nlh, sizeof(struct fib_rule_hdr), tb, FRA_PROTOCOL),
				 0);
		assert_int_equal(nl_u8(tb[FRA_PROTOCOL], 0), RTPROT_KERNEL);
		torture(feed_rtnl, nlh);
	}
}

static struct fib_rule_hdr *rule_msg(struct nlmsghdr **ret_nlh)
{
	*ret_nlh = rtnl_encode_rule(buf, OP_ADD, &rules[2]);
	return mnl_nlmsg_get_payload(*ret_nlh);
}

static void check_rule_alien(struct nlmsghdr *nlh, bool alien)
{
	struct obj_rule r;

	assert_int_equal(rtnl_parse_rule(nlh, &r), 0);
	assert_int_equal(r.action, alien ? RULE_NOP : RULE_LOOKUP);
	assert_int_equal(r.target, alien ? RTNL_ALIEN_TARGET : 21821);
}

static void test_rule_alien(void **state)
{
	struct nlmsghdr *nlh;
	const struct fib_rule_hdr *frh;
	struct obj_rule alien = rules[4];

	rule_msg(&nlh)->flags = FIB_RULE_INVERT;
	check_rule_alien(nlh, true);
	rule_msg(&nlh)->action = FR_ACT_UNREACHABLE;
	check_rule_alien(nlh, true);
	rule_msg(&nlh);
	mnl_attr_put_strz(nlh, FRA_IIFNAME, "eth0");
	check_rule_alien(nlh, true);
	rule_msg(&nlh);
	mnl_attr_put_u32(nlh, FRA_SUPPRESS_PREFIXLEN, 0);
	check_rule_alien(nlh, true);
	rule_msg(&nlh); /* what the kernel says of every rule */
	mnl_attr_put_u32(nlh, FRA_SUPPRESS_PREFIXLEN, UINT32_MAX);
	mnl_attr_put_u32(nlh, FRA_MAX + 1, 1);
	check_rule_alien(nlh, false);

	alien.target = RTNL_ALIEN_TARGET;
	frh = mnl_nlmsg_get_payload(rtnl_encode_rule(buf, OP_DEL, &alien));
	assert_int_equal(frh->action, FR_ACT_UNSPEC);
}

/* ---- WireGuard ---- */

#define FAMILY	  0x1c
#define N_ALLOWED 5000

static struct prefix allowed[N_ALLOWED];

static struct obj peer_obj(size_t first, size_t n)
{
	struct obj o = {.kind = OBJ_WGPEER, .dev = "wgs3"};

	for (size_t i = 0; i < N_ALLOWED; i++) {
		struct prefix *p = &allowed[i];

		memset(p, 0, sizeof(*p));
		p->addr.family = i < N_ALLOWED / 2 ? AF_INET : AF_INET6;
		p->addr.b[0] = i < N_ALLOWED / 2 ? 10 : 0xfd;
		p->addr.b[1] = (uint8_t)(i >> 8);
		p->addr.b[2] = (uint8_t)i;
		p->len = 24;
	}
	memset(&o.wgpeer.public_key, 0x11, sizeof(struct key));
	memset(&o.wgpeer.psk, 0x22, sizeof(struct key));
	o.wgpeer.has_psk = true;
	o.wgpeer.keepalive_s = 25;
	o.wgpeer.endpoint = (struct sockep){.addr = ip("2001:db8::7"), .port = 21823};
	o.wgpeer.allowed = &allowed[first];
	o.wgpeer.n_allowed = n;
	return o;
}

/* Encodes a change in as many messages as it takes, and parses them as one dump. */
static size_t through(const struct wg_change *c, struct wg_dump *d)
{
	size_t at = 0, messages = 0;

	do {
		const struct nlmsghdr *nlh = wg_encode_peer(buf, FAMILY, c, &at);

		assert_true(nlh->nlmsg_len <= NL_MSG_MAX);
		assert_int_equal(wg_parse(nlh, d), 0);
		messages++;
	} while (at < c->n_allowed);
	wg_parse_done(d);
	return messages;
}

static void check_peer(const struct wg_dump *d, const struct obj_wgpeer *want)
{
	const struct obj_wgpeer *p = d->peers;

	assert_int_equal(d->n_peers, 1);
	assert_int_equal(key_cmp(&p->public_key, &want->public_key), 0);
	assert_int_equal(key_cmp(&p->psk, &want->psk), 0);
	assert_int_equal(p->has_psk, want->has_psk);
	assert_int_equal(p->keepalive_s, want->keepalive_s);
	assert_true(addr_equal_ep(&p->endpoint, &want->endpoint));
	assert_int_equal(p->n_allowed, want->n_allowed);
	for (size_t i = 0; i < p->n_allowed; i++)
		assert_int_equal(addr_cmp_prefix(&p->allowed[i], &want->allowed[i]), 0);
}

static void test_peer_there_and_back(void **state)
{
	struct obj o = peer_obj(0, N_ALLOWED);
	struct op op = {.verb = OP_ADD, .kind = OBJ_WGPEER, .want = &o};
	struct wg_dump d = {.arena = &arena};
	struct wg_change c;

	wg_diff_peer(&op, false, NULL, &arena, &c);
	assert_true(through(&c, &d) > 3);
	check_peer(&d, &o.wgpeer);

	o = peer_obj(N_ALLOWED / 2 - 3, 6);
	wg_diff_peer(&op, false, NULL, &arena, &c);
	d = (struct wg_dump){.arena = &arena};
	assert_int_equal(through(&c, &d), 1);
	check_peer(&d, &o.wgpeer);
	d = (struct wg_dump){.arena = &arena, .skip_allowed = true};
	through(&c, &d);
	assert_int_equal(d.peers[0].n_allowed, 0);
	c.n_allowed = 0;
	torture(feed_wg, wg_encode_peer(buf, FAMILY, &c, &(size_t){0}));
	c.n_allowed = 6;
	torture(feed_wg, wg_encode_peer(buf, FAMILY, &c, &(size_t){0}));
}

/* The first peer in a request. */
static void peer_attrs(const struct nlmsghdr *nlh, const struct nlattr **tb)
{
	const struct nlattr *dev[WGDEVICE_A_MAX + 1], *list[1];

	assert_int_equal(nl_msg_attrs(nlh, sizeof(struct genlmsghdr), dev, WGDEVICE_A_MAX), 0);
	assert_int_equal(nl_u32(dev[WGDEVICE_A_FLAGS], 0), 0); /* never REPLACE_PEERS */
	assert_true(dev[WGDEVICE_A_PEERS]->nla_type & NLA_F_NESTED);
	nl_nested(dev[WGDEVICE_A_PEERS], list, 0);
	assert_true(list[0]->nla_type & NLA_F_NESTED);
	nl_nested(list[0], tb, WGPEER_A_MAX);
	if (tb[WGPEER_A_ALLOWEDIPS])
		assert_true(tb[WGPEER_A_ALLOWEDIPS]->nla_type & NLA_F_NESTED);
}

static void test_peer_split_flags(void **state)
{
	struct obj o = peer_obj(0, N_ALLOWED);
	struct op op = {.verb = OP_ADD, .kind = OBJ_WGPEER, .want = &o};
	const struct nlattr *tb[WGPEER_A_MAX + 1];
	struct wg_change c;
	size_t at = 0;

	wg_diff_peer(&op, false, NULL, &arena, &c);
	peer_attrs(wg_encode_peer(buf, FAMILY, &c, &at), tb);
	assert_int_equal(nl_u32(tb[WGPEER_A_FLAGS], 0), 0);
	assert_non_null(tb[WGPEER_A_PRESHARED_KEY]);
	peer_attrs(wg_encode_peer(buf, FAMILY, &c, &at), tb);
	assert_int_equal(nl_u32(tb[WGPEER_A_FLAGS], 0), WGPEER_F_UPDATE_ONLY);
	assert_null(tb[WGPEER_A_PRESHARED_KEY]);
	assert_null(tb[WGPEER_A_ENDPOINT]);
	assert_non_null(tb[WGPEER_A_PUBLIC_KEY]);
}

static void test_peer_diff_nothing_else(void **state)
{
	struct obj want = peer_obj(0, 8), have = want;
	struct op op = {.verb = OP_SET, .kind = OBJ_WGPEER, .want = &want, .have = &have};
	struct wg_change c;

	want.wgpeer.endpoint.port = 1; /* it roamed: leave alone */
	want.wgpeer.keepalive_s = 0;
	wg_diff_peer(&op, false, NULL, &arena, &c);
	assert_int_equal(c.flags, WGPEER_F_UPDATE_ONLY);
	assert_null(c.psk);
	assert_null(c.endpoint);
	assert_true(c.has_keepalive && !c.keepalive_s);
	assert_int_equal(c.n_allowed, 0);
	assert_false(wg_takes_allowed(&op));

	want.wgpeer.move_endpoint = true;
	want.wgpeer.has_psk = false;
	memset(&want.wgpeer.psk, 0, sizeof(struct key));
	wg_diff_peer(&op, false, NULL, &arena, &c);
	assert_true(addr_equal_ep(c.endpoint, &want.wgpeer.endpoint));
	assert_true(key_is_zero(c.psk));

	want.wgpeer.move_endpoint = false;
	memset(&have.wgpeer.endpoint, 0, sizeof(have.wgpeer.endpoint));
	wg_diff_peer(&op, false, NULL, &arena, &c);
	assert_non_null(c.endpoint);
	memset(&want.wgpeer.endpoint, 0, sizeof(want.wgpeer.endpoint));
	wg_diff_peer(&op, false, NULL, &arena, &c);
	assert_null(c.endpoint);
}

static void test_peer_diff_allowed(void **state)
{
	struct obj want = peer_obj(2, 8), have = peer_obj(0, 8);
	struct op op = {.verb = OP_SET, .kind = OBJ_WGPEER, .want = &want, .have = &have};
	struct wg_change c;

	wg_diff_peer(&op, true, NULL, &arena, &c);
	assert_int_equal(c.flags, WGPEER_F_UPDATE_ONLY);
	assert_int_equal(c.n_allowed, 4);
	for (size_t i = 0; i < 4; i++) /* first what adds */
		assert_int_equal(c.allowed[i].remove, i >= 2);
	assert_int_equal(addr_cmp_prefix(&c.allowed[0].prefix, &allowed[8]), 0);
	assert_int_equal(addr_cmp_prefix(&c.allowed[2].prefix, &allowed[0]), 0);

	wg_diff_peer(&op, false, NULL, &arena, &c);
	assert_int_equal(c.flags, WGPEER_F_UPDATE_ONLY | WGPEER_F_REPLACE_ALLOWEDIPS);
	assert_int_equal(c.n_allowed, 8);
	assert_true(wg_takes_allowed(&op));

	want = peer_obj(0, 10); /* only more: plainly added, whatever the kernel */
	wg_diff_peer(&op, false, NULL, &arena, &c);
	assert_int_equal(c.flags, WGPEER_F_UPDATE_ONLY);
	assert_int_equal(c.n_allowed, 2);
	assert_false(wg_takes_allowed(&op));
}

static void test_peer_leaves(void **state)
{
	struct obj have = peer_obj(0, 8);
	struct op op = {.verb = OP_INERT, .kind = OBJ_WGPEER, .have = &have};
	const struct nlattr *tb[WGPEER_A_MAX + 1];
	struct key random = {.b = {1, 2, 3}}, psk;
	struct wg_change c;

	wg_diff_peer(&op, true, &random, &arena, &c);
	peer_attrs(wg_encode_peer(buf, FAMILY, &c, &(size_t){0}), tb);
	assert_int_equal(nl_u32(tb[WGPEER_A_FLAGS], 0),
			 WGPEER_F_UPDATE_ONLY | WGPEER_F_REPLACE_ALLOWEDIPS);
	assert_true(nl_bytes(tb[WGPEER_A_PRESHARED_KEY], &psk, sizeof(psk)));
	assert_int_equal(key_cmp(&psk, &random), 0);
	assert_int_equal(nl_u16(tb[WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL], 99), 0);
	assert_null(tb[WGPEER_A_ALLOWEDIPS]);

	op.verb = OP_DEL;
	wg_diff_peer(&op, true, NULL, &arena, &c);
	peer_attrs(wg_encode_peer(buf, FAMILY, &c, &(size_t){0}), tb);
	assert_int_equal(nl_u32(tb[WGPEER_A_FLAGS], 0), WGPEER_F_REMOVE_ME);
	assert_null(tb[WGPEER_A_PRESHARED_KEY]);
}

static void test_device(void **state)
{
	struct obj want = {.kind = OBJ_WGDEV, .dev = "wgs3"}, have;
	const struct nlattr *tb[WGDEVICE_A_MAX + 1];
	struct wg_dump d = {.arena = &arena};

	want.wgdev.port = 21823;
	want.wgdev.fwmark = 0x1fe00000;
	memset(&want.wgdev.public_key, 0x33, sizeof(struct key));
	memset(&want.wgdev.private_key, 0x44, sizeof(struct key));
	assert_int_equal(wg_parse(wg_encode_device(buf, FAMILY, &want, NULL), &d), 0);
	assert_int_equal(d.port, 21823);
	assert_int_equal(d.fwmark, 0x1fe00000);

	have = want;
	have.wgdev.fwmark = 0;
	nl_msg_attrs(wg_encode_device(buf, FAMILY, &want, &have), sizeof(struct genlmsghdr), tb,
		     WGDEVICE_A_MAX);
	assert_non_null(tb[WGDEVICE_A_FWMARK]);
	assert_null(tb[WGDEVICE_A_LISTEN_PORT]);
	assert_null(tb[WGDEVICE_A_PRIVATE_KEY]);

	have = want;
	memset(&have.wgdev.public_key, 0, sizeof(struct key));
	nl_msg_attrs(wg_encode_device(buf, FAMILY, &want, &have), sizeof(struct genlmsghdr), tb,
		     WGDEVICE_A_MAX);
	assert_non_null(tb[WGDEVICE_A_PRIVATE_KEY]);
	assert_null(tb[WGDEVICE_A_LISTEN_PORT]);
	torture(feed_wg, wg_encode_device(buf, FAMILY, &want, NULL));
}

/* ---- errors ---- */

static struct nlmsghdr *error_msg(int error, bool capped, const char *words)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nlmsgerr *e = mnl_nlmsg_put_extra_header(nlh, sizeof(*e));

	nlh->nlmsg_type = NLMSG_ERROR;
	nlh->nlmsg_flags = NLM_F_ACK_TLVS | (capped ? NLM_F_CAPPED : 0);
	e->error = error;
	e->msg.nlmsg_len = NLMSG_HDRLEN + 12;
	if (!capped) /* the request follows */
		memset(mnl_nlmsg_put_extra_header(nlh, 12), 0xff, 12);
	mnl_attr_put_strz(nlh, NLMSGERR_ATTR_MSG, words);
	return nlh;
}

static void test_error(void **state)
{
	for (int capped = 0; capped < 2; capped++) {
		struct nlmsghdr *nlh = error_msg(-EINVAL, capped, "Invalid source address");
		char why[64];
		int err = 1;

		assert_true(nl_parse_error(nlh, &err, why, sizeof(why)));
		assert_int_equal(err, -EINVAL);
		assert_string_equal(why, "Invalid source address");
		assert_true(nl_parse_error(nlh, &err, why, 8));
		assert_string_equal(why, "Invalid");
		torture(feed_error, nlh);
		nlh->nlmsg_len = NLMSG_HDRLEN + 3;
		assert_false(nl_parse_error(nlh, &err, why, sizeof(why)));
	}
}

static void test_error_done(void **state)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	char why[64];
	int err = 1;

	nlh->nlmsg_type = NLMSG_DONE;
	nlh->nlmsg_flags = NLM_F_ACK_TLVS;
	*(int *)mnl_nlmsg_put_extra_header(nlh, sizeof(int)) = -ENOENT;
	mnl_attr_put_strz(nlh, NLMSGERR_ATTR_MSG, "no table");
	assert_true(nl_parse_error(nlh, &err, why, sizeof(why)));
	assert_int_equal(err, -ENOENT);
	assert_string_equal(why, "no table");
	torture(feed_error, nlh);
}

static void test_values(void **state)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	const struct nlattr *tb[4];
	char s[4];

	mnl_attr_put_u16(nlh, 1, 0x1234);
	mnl_attr_put(nlh, 2, 3, "abc"); /* not terminated */
	mnl_attr_put_u32(nlh, 9, 1);
	assert_int_equal(nl_msg_attrs(nlh, 0, tb, 3), 0);
	assert_int_equal(nl_u16(tb[1], 7), 0x1234);
	assert_int_equal(nl_u32(tb[1], 7), 7); /* too short */
	assert_int_equal(nl_u32(tb[3], 7), 7);
	assert_string_equal(nl_str(tb[2], s, sizeof(s)), "abc");
	assert_string_equal(nl_str(tb[2], s, 3), "ab");
	assert_string_equal(nl_str(tb[3], s, sizeof(s)), "");
	assert_false(nl_bytes(tb[2], s, 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_link_parse),
		cmocka_unit_test(test_link_ours),
		cmocka_unit_test(test_link_encode),
		cmocka_unit_test(test_addr),
		cmocka_unit_test(test_addr_pointopoint),
		cmocka_unit_test(test_route_there_and_back),
		cmocka_unit_test(test_route_alien),
		cmocka_unit_test(test_route_del),
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_rule_there_and_back),
		cmocka_unit_test(test_rule_alien),
		cmocka_unit_test_teardown(test_peer_there_and_back, clean),
		cmocka_unit_test_teardown(test_peer_split_flags, clean),
		cmocka_unit_test_teardown(test_peer_diff_nothing_else, clean),
		cmocka_unit_test_teardown(test_peer_diff_allowed, clean),
		cmocka_unit_test_teardown(test_peer_leaves, clean),
		cmocka_unit_test_teardown(test_device, clean),
		cmocka_unit_test(test_error),
		cmocka_unit_test(test_error_done),
		cmocka_unit_test(test_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
