// link: daemon/nl.o daemon/rtnl.o daemon/rtnl_encode.o -lmnl
/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: routes and rules against the running kernel, in a network namespace of the test's own whose
 * only device is lo: what is applied is observed again, replacing one route spares its siblings,
 * what strangers put into our tables is seen and can be removed, every request of a large batch
 * gets its own answer. Skipped where no namespace can be made.
 */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "nl.h"
#include "rtnl.h"
#include "rtnl_encode.h"

#define TABLE 21820u
#define RULE  1200u
#define WORST 4278198272u
#define MANY  1000

static const struct ownership own = {.table_base = TABLE, .rule_base = RULE};
static struct rtnl *rtnl;
static struct world world;
static bool usable;

static void result(void *owner, void *arg, int error, const char *why)
{
	struct op *op = arg;

	op->phase++; /* how many answers it got */
	if (error)
		op->error = error;
}

static int apply(enum op_verb verb, const struct obj *o)
{
	struct op op = {.verb = verb, .kind = o->kind};

	if (verb == OP_DEL)
		op.have = o;
	else
		op.want = o;
	rtnl_apply(rtnl, &op);
	rtnl_flush(rtnl);
	assert_int_equal(op.phase, 1);
	return op.error;
}

static void observe(void)
{
	const char *why = "";

	world_done(&world);
	world.facts.ipv6 = true;
	assert_int_equal(rtnl_observe(rtnl, &own, &world, &why), 0);
	world_sort(&world);
}

static struct obj route(const char *dst, uint32_t metric, enum route_type type)
{
	struct obj o = {.kind = OBJ_ROUTE};

	assert_int_equal(addr_parse_prefix(dst, &o.route.dst), 0);
	o.route.table = TABLE;
	o.route.metric = metric;
	o.route.type = type;
	o.dev = type == ROUTE_UNICAST ? "lo" : NULL;
	return o;
}

static bool holds(const struct obj *o)
{
	const struct obj *have = world_find(&world, o);

	return have && have->route.type == o->route.type && have->route.mtu == o->route.mtu &&
	       (!o->dev || (have->dev && strcmp(o->dev, have->dev) == 0));
}

static int setup(void **state)
{
	struct obj up = {.kind = OBJ_LINK, .dev = "lo"}, down;
	struct op op = {.verb = OP_SET, .kind = OBJ_LINK, .want = &up, .have = &down};

	if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET))
		return 0;
	if (rtnl_open(result, NULL, &rtnl))
		return 0;
	up.link.up = true;
	up.link.alias = "";
	up.link.ifindex = 1;
	down = up;
	down.link.up = false;
	rtnl_apply(rtnl, &op);
	usable = !op.error;
	return 0;
}

static int teardown(void **state)
{
	world_done(&world);
	rtnl_close(rtnl);
	return 0;
}

static void need_kernel(void)
{
	if (!usable)
		skip();
}

static void test_siblings(void **state)
{
	static const char *const nets[] = {"10.2.0.0/16", "fd00:2::/48"};

	need_kernel();
	for (size_t i = 0; i < 2; i++) {
		struct obj live = route(nets[i], 10, ROUTE_UNICAST);
		struct obj second = route(nets[i], 11, ROUTE_UNICAST);
		struct obj worst = route(nets[i], WORST, ROUTE_UNREACHABLE);

		assert_int_equal(apply(OP_ADD, &worst), 0);
		assert_int_equal(apply(OP_ADD, &second), 0);
		assert_int_equal(apply(OP_ADD, &live), 0);
		assert_int_equal(apply(OP_ADD, &live), -EEXIST);
		observe();
		assert_true(holds(&live) && holds(&second) && holds(&worst));

		live.route.mtu = 1400;
		assert_int_equal(apply(OP_SET, &live), 0);
		observe();
		assert_true(holds(&live) && holds(&second) && holds(&worst));

		live.route.mtu = 0;
		live.route.type = ROUTE_THROW;
		live.dev = NULL;
		assert_int_equal(apply(OP_SET, &live), 0);
		assert_int_equal(apply(OP_DEL, &second), 0);
		assert_int_equal(apply(OP_DEL, &second), -ESRCH);
		observe();
		assert_true(holds(&live) && !holds(&second) && holds(&worst));
		assert_int_equal(world.n, 2);
		assert_int_equal(apply(OP_DEL, &live), 0);
		assert_int_equal(apply(OP_DEL, &worst), 0);
	}
	observe();
	assert_int_equal(world.n, 0);
}

/* Puts a route of a type we never make into our table. */
static void strange_route(struct nl *nl, const char *dst, uint8_t type)
{
	_Alignas(struct nlmsghdr) char buf[RTNL_MSG_MAX];
	struct obj o = route(dst, 5, ROUTE_UNREACHABLE);
	struct nlmsghdr *nlh = rtnl_encode_route(buf, OP_ADD, &o, 0);
	struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);

	rtm->rtm_type = type;
	assert_int_equal(nl_talk(nl, nlh, NULL, NULL), 0);
}

static void test_strangers(void **state)
{
	struct obj wanted = route("10.3.0.0/16", 5, ROUTE_UNREACHABLE);
	struct nl nl;

	need_kernel();
	assert_int_equal(nl_open(&nl, NETLINK_ROUTE), 0);
	strange_route(&nl, "10.3.0.0/16", RTN_BLACKHOLE);
	strange_route(&nl, "10.4.0.0/16", RTN_PROHIBIT);
	strange_route(&nl, "fd00:4::/48", RTN_BLACKHOLE);
	nl_close(&nl);
	observe();
	assert_int_equal(world.n, 3);
	assert_false(holds(&wanted)); /* so that it is set */
	assert_int_equal(apply(OP_SET, &wanted), 0);
	observe();
	assert_true(holds(&wanted));
	for (size_t i = 0; i < world.n; i++)
		assert_int_equal(apply(OP_DEL, &world.objs[i]), 0);
	observe();
	assert_int_equal(world.n, 0);
}

static void test_rules(void **state)
{
	static const struct obj_rule rules[] = {
		{0, RULE, 0x1fe00000, 0x1fe00000, RULE_GOTO, RULE + 299},
		{0, RULE + 1, 0, 0x1fe00000, RULE_GOTO, RULE + 200},
		{0, RULE + 21, 0x200000, 0x1fe00000, RULE_LOOKUP, TABLE + 1},
		{0, RULE + 200, 0, 0, RULE_LOOKUP, TABLE},
		{0, RULE + 299, 0, 0, RULE_NOP, 0},
	};
	size_t n = sizeof(rules) / sizeof(*rules);
	struct obj o = {.kind = OBJ_RULE};

	need_kernel();
	for (size_t i = 0; i < 2 * n; i++) {
		o.rule = rules[i / 2];
		o.rule.family = i % 2 ? AF_INET6 : AF_INET;
		assert_int_equal(apply(OP_ADD, &o), 0);
		assert_int_equal(apply(OP_ADD, &o), -EEXIST);
	}
	o.rule.pref = RULE + WANT_RULE_SPAN; /* beyond ours: not seen */
	assert_int_equal(apply(OP_ADD, &o), 0);
	observe();
	assert_int_equal(world.n, 2 * n);
	for (size_t i = 0; i < 2 * n; i++) {
		o.rule = rules[i / 2];
		o.rule.family = i % 2 ? AF_INET6 : AF_INET;
		assert_non_null(world_find(&world, &o));
		assert_int_equal(apply(OP_DEL, &o), 0);
	}
	observe();
	assert_int_equal(world.n, 0);
}

static void test_many(void **state)
{
	static struct obj objs[MANY];
	static struct op ops[MANY];

	need_kernel();
	for (size_t i = 0; i < MANY; i++) {
		objs[i] = route("10.0.0.0/24", 7, ROUTE_THROW);
		objs[i].route.dst.addr.b[1] = (uint8_t)(i >> 8);
		objs[i].route.dst.addr.b[2] = (uint8_t)i;
		ops[i] = (struct op){.verb = OP_ADD, .kind = OBJ_ROUTE, .want = &objs[i]};
	}
	objs[500].route = objs[499].route; /* one that is refused amid the others */
	for (size_t i = 0; i < MANY; i++)
		rtnl_apply(rtnl, &ops[i]);
	rtnl_flush(rtnl);
	for (size_t i = 0; i < MANY; i++) {
		assert_int_equal(ops[i].phase, 1);
		assert_int_equal(ops[i].error, i == 500 ? -EEXIST : 0);
	}
	observe();
	assert_int_equal(world.n, MANY - 1);
}

static int link_cb(const struct nlmsghdr *nlh, void *data)
{
	return rtnl_parse_link(nlh, data) ? MNL_CB_ERROR : MNL_CB_OK;
}

/* A device that has the name already is somebody's: its alias would say that it is ours. */
static void test_taken_name(void **state)
{
	_Alignas(struct nlmsghdr) char buf[RTNL_MSG_MAX];
	struct obj lo = {.kind = OBJ_LINK, .dev = "lo"};
	struct rtnl_link l;
	struct nl nl;

	need_kernel();
	lo.link.alias = "wgscale:test";
	lo.link.mtu = 1420;
	assert_int_equal(apply(OP_ADD, &lo), -EEXIST);
	assert_int_equal(nl_open(&nl, NETLINK_ROUTE), 0);
	assert_int_equal(nl_talk(&nl, rtnl_encode_link_get(buf, 1), link_cb, &l), 0);
	assert_string_equal(l.name, "lo");
	assert_string_equal(l.alias, "");
	assert_int_not_equal(l.mtu, 1420);
	assert_int_equal(nl_talk(&nl, rtnl_encode_link_get(buf, 99), link_cb, &l), -ENODEV);
	nl_close(&nl);
}

static void test_path(void **state)
{
	struct ipaddr dst;
	uint32_t mtu = 0;
	char dev[16];

	need_kernel();
	assert_int_equal(addr_parse("127.0.0.1", &dst), 0);
	assert_int_equal(rtnl_path(rtnl, &dst, 7, &mtu, dev), 0);
	assert_string_equal(dev, "lo");
	assert_int_equal(mtu, 65536);
	assert_int_equal(addr_parse("192.0.2.1", &dst), 0);
	assert_int_equal(rtnl_path(rtnl, &dst, 7, &mtu, dev), -ENETUNREACH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_siblings), cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_rules),	 cmocka_unit_test(test_many),
		cmocka_unit_test(test_path),	 cmocka_unit_test(test_taken_name),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
