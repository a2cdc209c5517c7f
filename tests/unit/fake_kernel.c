/* SPDX-License-Identifier: GPL-2.0-only */
// link: tests/fake_kernel.c tests/fake_nft.c tests/fake_mode.c
/*
 * DOC: tests of the fake kernel: that it is as unkind as the real one where a plan could be wrong.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "fake_kernel.h"
#include "keys.h"

static struct prefix prefix_of(const char *s)
{
	struct prefix p;

	assert_int_equal(addr_parse_prefix(s, &p), 0);
	return p;
}

/* Applies ops as one run of their bus; the first one's error. */
static int apply(struct op *ops, size_t n)
{
	struct arena a = {0};
	struct kernel *k;

	for (size_t i = 0; i < n; i++)
		ops[i].kind = (ops[i].want ? ops[i].want : ops[i].have)->kind;
	assert_int_equal(kernel_open(plan_bus(ops), &k), 0);
	kernel_apply(k, ops, n, &a);
	kernel_close(k);
	arena_done(&a);
	return ops[0].error;
}

static int do_one(enum op_verb verb, const struct obj *want, const struct obj *have)
{
	struct op op = {.verb = verb, .want = want, .have = have};

	return apply(&op, 1);
}

static struct obj link_of(const char *dev, bool up)
{
	struct obj o = {.kind = OBJ_LINK, .dev = dev};

	o.link.alias = "wgscale:turin";
	o.link.mtu = 1420;
	o.link.up = up;
	return o;
}

static struct obj wgdev_of(const char *dev, int key, uint16_t port)
{
	struct obj o = {.kind = OBJ_WGDEV, .dev = dev};

	memset(&o.wgdev.private_key, key, sizeof(o.wgdev.private_key));
	keys_public(&o.wgdev.private_key, &o.wgdev.public_key);
	o.wgdev.port = port;
	return o;
}

static struct obj peer_of(const char *dev, int key, struct prefix *allowed, size_t n)
{
	struct obj o = {.kind = OBJ_WGPEER, .dev = dev};

	memset(&o.wgpeer.public_key, key, sizeof(o.wgpeer.public_key));
	o.wgpeer.allowed = allowed;
	o.wgpeer.n_allowed = n;
	return o;
}

static struct obj route_of(const char *dev, const char *dst)
{
	struct obj o = {.kind = OBJ_ROUTE, .dev = dev};

	o.route.table = 21820;
	o.route.dst = prefix_of(dst);
	o.route.metric = 10;
	o.route.type = dev ? ROUTE_UNICAST : ROUTE_UNREACHABLE;
	return o;
}

static int setup(void **state)
{
	struct obj o = link_of("wgs0", true);

	fake_kernel_reset();
	assert_int_equal(do_one(OP_ADD, &o, NULL), 0);
	assert_int_equal(do_one(OP_SET, &o, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	fake_kernel_reset();
	return 0;
}

static void test_links(void **state)
{
	struct obj o = link_of("wgs0", true), p = link_of("wgs1", true), r, *have;

	assert_int_equal(do_one(OP_ADD, &o, NULL), -EEXIST);
	assert_int_equal(do_one(OP_ADD, &p, NULL), 0);
	assert_false(fake_find(&p)->link.up);
	r = route_of("wgs1", "10.2.0.0/16");
	assert_int_equal(do_one(OP_ADD, &r, NULL), -ENETDOWN);
	assert_int_equal(do_one(OP_SET, &p, NULL), 0);
	assert_int_equal(do_one(OP_ADD, &r, NULL), 0);
	assert_int_equal(do_one(OP_ADD, &r, NULL), -EEXIST);

	/* Down, it loses its routes, and they do not come back. */
	have = fake_find(&p);
	o = *have;
	p.link.up = false;
	assert_int_equal(do_one(OP_SET, &p, &o), 0);
	assert_null(fake_find(&r));
	p.link.up = true;
	o = *fake_find(&p);
	assert_int_equal(do_one(OP_SET, &p, &o), 0);
	assert_null(fake_find(&r));

	/* Gone, it takes everything along. */
	assert_int_equal(do_one(OP_ADD, &r, NULL), 0);
	o = *fake_find(&p);
	assert_int_equal(do_one(OP_DEL, NULL, &o), 0);
	assert_null(fake_find(&p));
	assert_null(fake_find(&r));
	for (size_t i = 0; i < fake_kernel.world.n; i++)
		assert_string_not_equal(fake_kernel.world.objs[i].dev, "wgs1");
	assert_int_equal(do_one(OP_SET, &p, &o), -ENODEV);
}

static void test_ports(void **state)
{
	struct obj o = link_of("wgs1", true), a = wgdev_of("wgs0", 1, 21820),
		   b = wgdev_of("wgs1", 2, 21820), c;

	assert_int_equal(do_one(OP_ADD, &o, NULL), 0);
	assert_int_equal(do_one(OP_ADD, &a, NULL), 0);
	/* A device that is down binds no socket. */
	assert_int_equal(do_one(OP_ADD, &b, NULL), 0);
	assert_int_equal(do_one(OP_SET, &o, NULL), -EADDRINUSE);
	c = wgdev_of("wgs1", 2, 21821);
	assert_int_equal(do_one(OP_SET, &c, &b), 0);
	assert_int_equal(do_one(OP_SET, &o, NULL), 0);
	assert_int_equal(do_one(OP_SET, &b, &c), -EADDRINUSE);
}

static void test_allowed_move(void **state)
{
	struct prefix one[] = {prefix_of("10.2.0.0/16"), prefix_of("10.3.0.0/16")};
	struct obj a = peer_of("wgs0", 1, one, 2), b = peer_of("wgs0", 2, one, 1), now;

	assert_int_equal(do_one(OP_ADD, &a, NULL), 0);
	assert_int_equal(do_one(OP_ADD, &b, NULL), 0);
	assert_int_equal(fake_find(&a)->wgpeer.n_allowed, 1);
	assert_int_equal(addr_cmp_prefix(&fake_find(&a)->wgpeer.allowed[0], &one[1]), 0);
	assert_int_equal(fake_find(&b)->wgpeer.n_allowed, 1);

	/* An update of what vanished does nothing, without an error. */
	now = *fake_find(&a);
	fake_kernel_drop(&a);
	assert_int_equal(do_one(OP_SET, &a, &now), 0);
	assert_null(fake_find(&a));

	assert_int_equal(do_one(OP_INERT, NULL, &b), 0);
	assert_int_equal(fake_find(&b)->wgpeer.n_allowed, 0);
	assert_true(fake_find(&b)->wgpeer.has_psk);
}

static void test_own_key_as_peer(void **state)
{
	struct obj dev = wgdev_of("wgs0", 1, 21820), o = peer_of("wgs0", 0, NULL, 0);

	o.wgpeer.public_key = dev.wgdev.public_key;
	assert_int_equal(do_one(OP_ADD, &o, NULL), 0);
	assert_non_null(fake_find(&o));
	assert_int_equal(do_one(OP_ADD, &dev, NULL), 0);
	assert_null(fake_find(&o));
	assert_int_equal(do_one(OP_ADD, &o, NULL), 0);
	assert_null(fake_find(&o));
}

static void test_threaded(void **state)
{
	struct obj o = {.kind = OBJ_SYSCTL, .dev = "wgs0"}, p = peer_of("wgs0", 1, NULL, 0);

	o.sysctl.id = SYSCTL_THREADED;
	o.sysctl.value = 1;
	assert_int_equal(do_one(OP_SET, &o, NULL), -EOPNOTSUPP);
	assert_int_equal(do_one(OP_ADD, &p, NULL), 0);
	assert_int_equal(do_one(OP_SET, &o, NULL), 0);
}

static void test_mtu(void **state)
{
	struct obj small = link_of("wgs0", true), have = small, r = route_of("wgs0", "fd00:2::/48"),
		   s = route_of("wgs0", "10.2.0.0/16");

	r.route.mtu = 1412;
	s.route.mtu = 1412;
	assert_int_equal(do_one(OP_ADD, &r, NULL), 0);
	assert_int_equal(do_one(OP_ADD, &s, NULL), 0);
	have.link.ifindex = fake_find(&small)->link.ifindex;
	small.link.mtu = 1300;
	assert_int_equal(do_one(OP_SET, &small, &have), 0);
	assert_int_equal(fake_find(&r)->route.mtu, 1300);
	assert_int_equal(fake_find(&s)->route.mtu, 1412);
	have.link.mtu = 1300;
	small.link.mtu = 1279;
	assert_int_equal(do_one(OP_SET, &small, &have), 0);
	assert_null(fake_find(&r));
	assert_non_null(fake_find(&s));
}

/* ---- nf_tables ---- */

static struct obj nft_of(enum obj_kind kind, const char *name)
{
	return (struct obj){.kind = kind, .table = NFT_TABLE_STEER, .name = name};
}

static void test_transaction(void **state)
{
	static const char *to_x[] = {"goto=x"}, *wrong[] = {"accept everything"};
	struct obj_nft_buckets slots = {{1}};
	struct obj table = nft_of(OBJ_NFT_TABLE, NULL), a = nft_of(OBJ_NFT_CHAIN, "a"),
		   x = nft_of(OBJ_NFT_CHAIN, "x"), lane = nft_of(OBJ_NFT_CHAIN, "lane0"),
		   b = nft_of(OBJ_NFT_BUCKETS, "b");
	struct op adds[] = {{.verb = OP_ADD, .want = &table},
			    {.verb = OP_ADD, .want = &a},
			    {.verb = OP_ADD, .want = &x}};

	a.chain.rules = to_x;
	a.chain.n_rules = 1;
	b.buckets = &slots;
	assert_int_equal(do_one(OP_ADD, &x, NULL), -ENOENT); /* no table */
	assert_int_equal(apply(adds, 2), -ENOENT);	     /* no x: nothing is done */
	assert_null(fake_find(&table));
	assert_int_equal(apply(adds, 3), 0);
	assert_non_null(fake_find(&a));
	assert_int_equal(do_one(OP_ADD, &x, NULL), -EEXIST);
	assert_int_equal(do_one(OP_DEL, NULL, &x), -EBUSY);
	assert_non_null(fake_find(&x));

	a.chain.rules = wrong;
	assert_int_equal(do_one(OP_SET, &a, &a), -ENOENT);
	assert_string_equal(fake_find(&a)->chain.rules[0], "goto=x");

	assert_int_equal(do_one(OP_ADD, &b, NULL), -ENOENT); /* no lane0 */
	assert_int_equal(do_one(OP_ADD, &lane, NULL), 0);
	assert_int_equal(do_one(OP_ADD, &b, NULL), 0);
	assert_int_equal(do_one(OP_DEL, NULL, &lane), -EBUSY);

	/* With the table all of it goes. */
	assert_int_equal(do_one(OP_DEL, NULL, &table), 0);
	assert_null(fake_find(&x));
	assert_null(fake_find(&b));
}

/* A move of buckets that are elsewhere by now is refused. */
static void test_stale_buckets(void **state)
{
	struct obj_nft_buckets now = {{1}}, other = {{0, 1}}, to = {{0, 0, 1}};
	struct obj table = nft_of(OBJ_NFT_TABLE, NULL), lane = nft_of(OBJ_NFT_CHAIN, "lane0"),
		   b = nft_of(OBJ_NFT_BUCKETS, "b"), want = b, have = b;
	struct op adds[] = {{.verb = OP_ADD, .want = &table},
			    {.verb = OP_ADD, .want = &lane},
			    {.verb = OP_ADD, .want = &b}};

	b.buckets = &now;
	want.buckets = &to;
	have.buckets = &other;
	assert_int_equal(apply(adds, 3), 0);
	assert_int_equal(do_one(OP_SET, &want, &have), -ENOENT);
	assert_int_equal(fake_find(&b)->buckets->lane_slot[0], 1);
	have.buckets = &now;
	assert_int_equal(do_one(OP_SET, &want, &have), 0);
	assert_int_equal(fake_find(&b)->buckets->lane_slot[0], 0);
	assert_int_equal(fake_find(&b)->buckets->lane_slot[2], 1);
}

/* ---- failures, and what is seen ---- */

static void test_injected(void **state)
{
	struct obj r[] = {route_of(NULL, "10.2.0.0/16"), route_of(NULL, "10.3.0.0/16"),
			  route_of(NULL, "10.4.0.0/16")};
	struct op ops[] = {{.verb = OP_ADD, .want = &r[0]},
			   {.verb = OP_ADD, .want = &r[1]},
			   {.verb = OP_ADD, .want = &r[2]}};

	fake_kernel.fail_op = fake_kernel.ops + 1;
	fake_kernel.fail_error = -ENOMEM;
	assert_int_equal(apply(ops, 3), 0);
	assert_int_equal(ops[1].error, -ENOMEM);
	assert_non_null(ops[1].why);
	assert_int_equal(ops[2].error, 0);
	assert_null(fake_find(&r[1]));
	assert_non_null(fake_find(&r[2]));
}

static void test_observe(void **state)
{
	const struct ownership own = {.table_base = 21820, .rule_base = 1200};
	struct obj alien = link_of("wg0", true), r = route_of(NULL, "10.2.0.0/16"), key;
	struct world w = {0};
	const char *why = NULL;
	struct kernel *k;

	alien.link.alias = NULL;
	fake_kernel_put(&alien);
	key = wgdev_of("wgs0", 1, 21820);
	assert_int_equal(do_one(OP_ADD, &key, NULL), 0);
	fake_kernel_put(&r);
	r.route.table = 100;
	fake_kernel_put(&r);
	assert_int_equal(kernel_open(BUS_RTNL, &k), 0);
	fake_kernel.observe_failures = 1;
	fake_kernel.observe_error = -EINTR;
	assert_int_equal(kernel_observe(k, &own, &w, &why), -EINTR);
	assert_non_null(why);
	assert_int_equal(kernel_observe(k, &own, &w, &why), 0);
	kernel_close(k);
	world_sort(&w);
	assert_null(world_find(&w, &alien));
	assert_null(world_find(&w, &r));
	assert_int_equal(w.n, 5); /* link, wgdev, two settings, one route */
	assert_true(key_is_zero(&world_find(&w, &key)->wgdev.private_key));
	world_done(&w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(links),	TEST(ports),   TEST(allowed_move), TEST(own_key_as_peer),
		TEST(threaded), TEST(mtu),     TEST(transaction),  TEST(stale_buckets),
		TEST(injected), TEST(observe),
	};

	if (keys_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
