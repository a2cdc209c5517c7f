/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: tests of plan.c: each kind of op as its line of text, what counts as a difference and what
 * does not, and the order. Whole plans are in golden_plan.c, their effects in property.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "keys.h"
#include "plan.h"

/* A wanted and an observed world, and what comes of them. */
struct pair_of_worlds {
	struct world want, have;
	struct plan plan;
	struct text text;
};

static struct prefix prefix_of(const char *s)
{
	struct prefix p;

	assert_int_equal(addr_parse_prefix(s, &p), 0);
	return p;
}

static struct sockep endpoint_of(const char *addr, uint16_t port)
{
	struct sockep e = {.port = port};

	assert_int_equal(addr_parse(addr, &e.addr), 0);
	return e;
}

static struct key key_of(int byte)
{
	struct key k;

	memset(&k, byte, sizeof(k));
	return k;
}

static const char *lines(struct pair_of_worlds *p)
{
	world_sort(&p->want);
	world_sort(&p->have);
	plan_build(&p->want, &p->have, &p->plan);
	for (size_t i = 0; i < p->plan.n; i++) {
		plan_print_op(&p->plan.ops[i], &p->text);
		text_printf(&p->text, "\n");
	}
	return text_str(&p->text);
}

static void done(struct pair_of_worlds *p)
{
	plan_done(&p->plan);
	world_done(&p->want);
	world_done(&p->have);
	text_done(&p->text);
	memset(p, 0, sizeof(*p));
}

static void expect(struct pair_of_worlds *p, const char *expected)
{
	assert_string_equal(lines(p), expected);
	done(p);
}

static struct obj *link_in(struct world *w, const char *dev, bool up)
{
	struct obj *o = world_add(w, OBJ_LINK);

	o->dev = dev;
	o->link.alias = "wgscale:turin";
	o->link.mtu = 1420;
	o->link.up = up;
	return o;
}

static struct obj *peer_in(struct world *w, const char *dev, int key)
{
	struct obj *o = world_add(w, OBJ_WGPEER);

	o->dev = dev;
	o->wgpeer.public_key = key_of(key);
	return o;
}

static void allow(struct world *w, struct obj *o, const char *prefix)
{
	struct prefix *slot = arena_grow(&w->arena, (void **)&o->wgpeer.allowed,
					 &o->wgpeer.n_allowed, sizeof(*slot));

	*slot = prefix_of(prefix);
}

#define KEY1 "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="

/* ---- each kind ---- */

static void test_link(void **state)
{
	struct pair_of_worlds p = {0};

	link_in(&p.want, "wgs0", true);
	expect(&p, "link.add dev=wgs0 alias=wgscale:turin mtu=1420 up\nlink.set dev=wgs0 up\n");

	link_in(&p.want, "wgs0", true);
	link_in(&p.have, "wgs0", false)->link.mtu = 1400;
	expect(&p, "link.set dev=wgs0 mtu=1420 up\n");

	link_in(&p.want, "wgs0", true);
	link_in(&p.have, "wgs0", true)->link.alias = NULL;
	expect(&p, "link.set dev=wgs0 alias=wgscale:turin\n");

	link_in(&p.have, "wgs0", true);
	expect(&p, "link.del dev=wgs0\n");
}

static struct obj *wgdev_in(struct world *w, int private_key)
{
	struct obj *o = world_add(w, OBJ_WGDEV);

	o->dev = "wgs0";
	o->wgdev.private_key = key_of(private_key);
	o->wgdev.public_key = key_of(1);
	o->wgdev.port = 21820;
	o->wgdev.fwmark = 0x1fe00000;
	return o;
}

static void test_wgdev(void **state)
{
	struct pair_of_worlds p = {0};

	link_in(&p.want, "wgs0", true);
	link_in(&p.have, "wgs0", true);
	wgdev_in(&p.want, 9);
	wgdev_in(&p.have, 0)->wgdev.port = 1;
	expect(&p, "wg.dev.set dev=wgs0 key=" KEY1 " port=21820 fwmark=0x1fe00000\n");

	/* The kernel does not say its private key: the public one tells. */
	wgdev_in(&p.want, 9);
	wgdev_in(&p.have, 0);
	expect(&p, "");
}

static void test_ports_move(void **state)
{
	static const char *const devs[] = {"wgs0", "wgs1", "wgs10"};
	struct pair_of_worlds p = {0};

	for (int up = 0; up < 2; up++) {
		for (uint16_t i = 0; i < 3; i++) {
			struct obj *o = wgdev_in(&p.want, 9);

			o->dev = devs[i];
			o->wgdev.port = (uint16_t)(100 + i + up);
			o = wgdev_in(&p.have, 0);
			o->dev = devs[i];
			o->wgdev.port = (uint16_t)(101 + i - up);
		}
		lines(&p);
		assert_int_equal(p.plan.n, 3);
		assert_string_equal(p.plan.ops[0].want->dev, up ? "wgs10" : "wgs0");
		assert_string_equal(p.plan.ops[1].want->dev, "wgs1");
		done(&p);
	}
}

static void test_peer_text(void **state)
{
	struct pair_of_worlds p = {0};
	struct obj *w, *h;

	w = peer_in(&p.want, "wgs0", 1);
	w->wgpeer.endpoint = endpoint_of("2001:db8::1", 21820);
	w->wgpeer.keepalive_s = 25;
	w->wgpeer.has_psk = true;
	w->wgpeer.psk = key_of(2);
	allow(&p.want, w, "10.2.0.0/16");
	expect(&p, "wg.peer.add dev=wgs0 peer=" KEY1 " endpoint=[2001:db8::1]:21820 keepalive=25 "
		   "psk=(hidden) allowed=10.2.0.0/16\n");

	w = peer_in(&p.want, "wgs0", 1);
	h = peer_in(&p.have, "wgs0", 1);
	allow(&p.want, w, "10.2.0.0/16");
	allow(&p.want, w, "10.4.0.0/16");
	allow(&p.have, h, "10.2.0.0/16");
	allow(&p.have, h, "10.3.0.0/16");
	h->wgpeer.keepalive_s = 25;
	h->wgpeer.has_psk = true;
	h->wgpeer.psk = key_of(3);
	expect(&p, "wg.peer.set dev=wgs0 peer=" KEY1
		   " keepalive=0 psk=none allowed=-10.3.0.0/16,+10.4.0.0/16\n");
}

/* A key in base64, or bytes of it, never stand in a line. */
static void test_no_secrets(void **state)
{
	struct pair_of_worlds p = {0};
	struct key psk = key_of(0x5a), private_key = key_of(0x5a);
	char buf[MODEL_KEY_STRLEN];
	struct obj *w, *h;

	wgdev_in(&p.want, 0)->wgdev.private_key = private_key;
	w = peer_in(&p.want, "wgs0", 1);
	w->wgpeer.has_psk = true;
	w->wgpeer.psk = psk;
	h = peer_in(&p.have, "wgs0", 1);
	h->wgpeer.has_psk = true;
	h->wgpeer.psk = key_of(3);
	lines(&p);
	assert_int_equal(p.plan.n, 2);
	assert_null(strstr(text_str(&p.text), key_print(&psk, buf)));
	assert_null(strstr(text_str(&p.text), "Wlpa"));
	assert_null(strstr(text_str(&p.text), "5a5a"));
	done(&p);
}

static void test_addr_sysctl(void **state)
{
	struct pair_of_worlds p = {0};
	struct obj *o;

	link_in(&p.want, "wgs0", true);
	link_in(&p.have, "wgs0", true);
	o = world_add(&p.want, OBJ_ADDR);
	o->dev = "wgs0";
	assert_int_equal(addr_parse("fe80::1", &o->addr.prefix.addr), 0);
	o->addr.prefix.len = 64;
	o = world_add(&p.have, OBJ_ADDR);
	o->dev = "wgs0";
	o->addr.prefix = prefix_of("10.0.0.1/32");
	o = world_add(&p.want, OBJ_SYSCTL);
	o->dev = "wgs0";
	o->sysctl.id = SYSCTL_THREADED;
	o->sysctl.value = 1;
	o = world_add(&p.have, OBJ_SYSCTL);
	o->dev = "wgs0";
	o->sysctl.id = SYSCTL_RP_FILTER; /* not wanted: left alone */
	expect(&p, "addr.add dev=wgs0 fe80::1/64\n"
		   "sysctl.add dev=wgs0 threaded value=1\n"
		   "addr.del dev=wgs0 10.0.0.1/32\n");
}

static void test_nic(void **state)
{
	struct pair_of_worlds p = {0};
	struct obj *o;

	for (int saved = 0; saved < 2; saved++) {
		o = world_add(&p.have, OBJ_NIC);
		o->dev = "eth0";
		o->nic.family = saved ? AF_INET : AF_INET6;
		o->nic.fields = 0x30;
		o->nic.saved = saved;
	}
	o = world_add(&p.want, OBJ_NIC);
	o->dev = "eth1";
	o->nic.family = AF_INET6;
	o->nic.fields = 0xf0;
	o = world_add(&p.have, OBJ_NIC);
	o->dev = "eth1";
	o->nic.family = AF_INET6;
	lines(&p);
	assert_non_null(strstr(text_str(&p.text), "nic.set dev=eth1 udp6 fields=0xf0\n"));
	/* Only what we have changed goes back to what it was. */
	assert_non_null(strstr(text_str(&p.text), "nic.del dev=eth0 udp4\n"));
	assert_int_equal(p.plan.n, 2);
	done(&p);
}

static struct obj *route_in(struct world *w, const char *dst, uint32_t metric, enum route_type type)
{
	struct obj *o = world_add(w, OBJ_ROUTE);

	o->route.table = 21820;
	o->route.dst = prefix_of(dst);
	o->route.metric = metric;
	o->route.type = type;
	if (type == ROUTE_UNICAST)
		o->dev = "wgs0";
	return o;
}

static void test_routes(void **state)
{
	struct pair_of_worlds p = {0};
	struct obj *o;

	route_in(&p.want, "10.2.0.0/16", 99, ROUTE_UNREACHABLE);
	o = route_in(&p.want, "10.2.0.0/16", 10, ROUTE_UNICAST);
	o->route.mtu = 1380;
	assert_int_equal(addr_parse("10.1.0.1", &o->route.src), 0);
	route_in(&p.want, "10.2.3.0/24", 1, ROUTE_THROW);
	route_in(&p.have, "10.3.0.0/16", 10, ROUTE_UNICAST);
	route_in(&p.have, "10.3.0.0/16", 1, ROUTE_THROW);
	route_in(&p.have, "10.3.0.0/16", 99, ROUTE_UNREACHABLE);
	expect(&p, "route.add table=21820 10.2.3.0/24 metric=1 throw\n"
		   "route.add table=21820 10.2.0.0/16 metric=10 dev=wgs0 mtu=1380 src=10.1.0.1\n"
		   "route.add table=21820 10.2.0.0/16 metric=99 unreachable\n"
		   "route.del table=21820 10.3.0.0/16 metric=99\n"
		   "route.del table=21820 10.3.0.0/16 metric=10\n"
		   "route.del table=21820 10.3.0.0/16 metric=1\n");

	/* The key is the same whatever the type. */
	route_in(&p.want, "10.2.0.0/16", 10, ROUTE_UNICAST);
	route_in(&p.have, "10.2.0.0/16", 10, ROUTE_THROW);
	expect(&p, "route.set table=21820 10.2.0.0/16 metric=10 dev=wgs0\n");

	route_in(&p.want, "10.2.0.0/16", 10, ROUTE_UNICAST);
	route_in(&p.have, "10.2.0.0/16", 10, ROUTE_UNICAST)->dev = "wgs1";
	expect(&p, "route.set table=21820 10.2.0.0/16 metric=10 dev=wgs0\n");
}

static struct obj *rule_in(struct world *w, uint32_t pref, enum rule_action action, uint32_t target)
{
	struct obj *o = world_add(w, OBJ_RULE);

	o->rule = (struct obj_rule){
		.family = AF_INET, .pref = pref, .action = action, .target = target};
	return o;
}

static void test_rules(void **state)
{
	struct pair_of_worlds p = {0};
	struct obj *o;

	for (int i = 0; i < 2; i++) {
		struct world *w = i ? &p.have : &p.want;
		uint32_t base = i ? 2200 : 1200;

		o = rule_in(w, base, RULE_GOTO, base + 299);
		o->rule.mark = o->rule.mask = 0x1fe00000;
		rule_in(w, base + 1, RULE_GOTO, base + 200)->rule.mask = 0x1fe00000;
		rule_in(w, base + 200, RULE_LOOKUP, 21820);
		rule_in(w, base + 299, RULE_NOP, 0);
	}
	/* The exemption of outer packets stands before all others come and until they are gone. */
	expect(&p, "rule.add family=4 pref=1499 nop\n"
		   "rule.add family=4 pref=1200 mark=0x1fe00000/0x1fe00000 goto=1499\n"
		   "rule.add family=4 pref=1201 mark=0x0/0x1fe00000 goto=1400\n"
		   "rule.add family=4 pref=1400 lookup=21820\n"
		   "rule.del family=4 pref=2400 lookup=21820\n"
		   "rule.del family=4 pref=2201 mark=0x0/0x1fe00000 goto=2400\n"
		   "rule.del family=4 pref=2200 mark=0x1fe00000/0x1fe00000 goto=2499\n"
		   "rule.del family=4 pref=2499 nop\n");
}

/* ---- nf_tables ---- */

static void table_in(struct world *w, enum nft_table_id table)
{
	world_add(w, OBJ_NFT_TABLE)->table = table;
}

static struct obj *chain_in(struct world *w, const char *name, const char **rules, size_t n)
{
	struct obj *o = world_add(w, OBJ_NFT_CHAIN);

	o->table = NFT_TABLE_STEER;
	o->name = name;
	o->chain.rules = rules;
	o->chain.n_rules = n;
	return o;
}

static void test_chains(void **state)
{
	static const char *rules[] = {"nets4 map=nets4", "goto=x"};
	static const char *alien[] = {"nets4 map=nets4", "alien"};
	struct pair_of_worlds p = {0};
	struct obj *o;

	table_in(&p.want, NFT_TABLE_STEER);
	o = chain_in(&p.want, "pre", rules, 2);
	o->chain.hook = NFT_HOOK_PREROUTING;
	o->chain.priority = -90;
	expect(&p, "nft.table.add table=wgscale\n"
		   "nft.chain.add table=wgscale name=pre hook=prerouting priority=-90 "
		   "rules=nets4 map=nets4; goto=x\n");

	table_in(&p.want, NFT_TABLE_STEER);
	table_in(&p.have, NFT_TABLE_STEER);
	chain_in(&p.want, "a", rules, 2);
	chain_in(&p.have, "a", alien, 2);
	chain_in(&p.want, "b", rules, 2);
	chain_in(&p.have, "b", rules, 2);
	chain_in(&p.have, "c", rules, 2);
	expect(&p, "nft.chain.set table=wgscale name=a rules=nets4 map=nets4; goto=x\n"
		   "nft.chain.del table=wgscale name=c\n");

	/* What is in a table goes with it. */
	table_in(&p.have, NFT_TABLE_STEER);
	chain_in(&p.have, "c", rules, 2);
	expect(&p, "nft.table.del table=wgscale\n");
}

static struct obj *nets_in(struct world *w, struct nft_range *ranges, size_t n)
{
	struct obj *o = world_add(w, OBJ_NFT_NETS);

	o->table = NFT_TABLE_STEER;
	o->name = "nets4";
	o->nets.family = AF_INET;
	o->nets.is_map = true;
	o->nets.ranges = ranges;
	o->nets.n_ranges = n;
	return o;
}

static void test_nets(void **state)
{
	struct nft_range ranges[2] = {{.chain = "x"}, {.chain = "y"}};
	struct pair_of_worlds p = {0};

	assert_int_equal(addr_parse("10.2.0.0", &ranges[0].first), 0);
	assert_int_equal(addr_parse("10.2.255.255", &ranges[0].last), 0);
	ranges[1].first = ranges[1].last = ranges[0].last;
	table_in(&p.want, NFT_TABLE_STEER);
	table_in(&p.have, NFT_TABLE_STEER);
	nets_in(&p.want, ranges, 1);
	nets_in(&p.have, ranges, 1);
	expect(&p, "");

	/* Alike but for the chain, or of another kind altogether. */
	nets_in(&p.want, ranges, 1);
	nets_in(&p.have, ranges, 1)->nets.family = 0;
	expect(&p, "nft.nets.set table=wgscale name=nets4 ranges=10.2.0.0-10.2.255.255>x\n");

	nets_in(&p.want, ranges, 2);
	nets_in(&p.have, ranges, 1);
	expect(&p, "nft.nets.set table=wgscale name=nets4 "
		   "ranges=10.2.0.0-10.2.255.255>x,10.2.255.255-10.2.255.255>y\n");
}

static struct obj *buckets_in(struct world *w, uint8_t slot)
{
	struct obj *o = world_add(w, OBJ_NFT_BUCKETS);

	o->table = NFT_TABLE_STEER;
	o->name = "b-milan";
	memset(o->buckets->lane_slot, slot, MODEL_BUCKETS);
	return o;
}

static void test_buckets(void **state)
{
	struct pair_of_worlds p = {0};
	struct obj *o;

	buckets_in(&p.want, 3);
	expect(&p, "nft.buckets.add table=wgscale name=b-milan buckets=0-1023>lane2 \n");

	o = buckets_in(&p.want, 1);
	buckets_in(&p.have, 1);
	o->buckets->lane_slot[0] = o->buckets->lane_slot[1] = 2;
	o->buckets->lane_slot[7] = 0;
	expect(&p, "nft.buckets.set table=wgscale name=b-milan moved=3 0-1>lane1 7>none\n");

	/* A long list is cut. */
	o = buckets_in(&p.want, 1);
	buckets_in(&p.have, 1);
	for (unsigned int i = 0; i < MODEL_BUCKETS; i += 2)
		o->buckets->lane_slot[i] = 2;
	lines(&p);
	assert_non_null(strstr(text_str(&p.text), "moved=512 0>lane1 2>lane1 "));
	assert_non_null(strstr(text_str(&p.text), " 30>lane1 ...\n"));
	done(&p);
}

/* ---- peers: endpoints, leaving ---- */

static void test_endpoint(void **state)
{
	struct pair_of_worlds p = {0};
	struct obj *w, *h;

	/* It roamed, and answers from there: left alone. */
	w = peer_in(&p.want, "wgs0", 1);
	h = peer_in(&p.have, "wgs0", 1);
	w->wgpeer.endpoint = endpoint_of("192.0.2.1", 1);
	h->wgpeer.endpoint = endpoint_of("192.0.2.2", 2);
	expect(&p, "");

	w = peer_in(&p.want, "wgs0", 1);
	h = peer_in(&p.have, "wgs0", 1);
	w->wgpeer.endpoint = endpoint_of("192.0.2.1", 1);
	w->wgpeer.move_endpoint = true;
	h->wgpeer.endpoint = endpoint_of("192.0.2.2", 2);
	expect(&p, "wg.peer.set dev=wgs0 peer=" KEY1 " endpoint=192.0.2.1:1\n");

	/* Moved already. */
	w = peer_in(&p.want, "wgs0", 1);
	h = peer_in(&p.have, "wgs0", 1);
	w->wgpeer.endpoint = h->wgpeer.endpoint = endpoint_of("192.0.2.1", 1);
	w->wgpeer.move_endpoint = true;
	expect(&p, "");

	/* None is known here, the kernel has one. */
	peer_in(&p.want, "wgs0", 1);
	peer_in(&p.have, "wgs0", 1)->wgpeer.endpoint = endpoint_of("192.0.2.2", 2);
	expect(&p, "");
}

static void test_leaving(void **state)
{
	struct pair_of_worlds p = {0};
	struct obj *o;

	for (int quiet = 0; quiet < 2; quiet++) {
		link_in(&p.want, "wgs0", true);
		o = link_in(&p.have, "wgs0", true);
		o->link.quiet = quiet;
		o = peer_in(&p.have, "wgs0", 1);
		allow(&p.have, o, "10.2.0.0/16");
		lines(&p);
		assert_string_equal(text_str(&p.text), "wg.peer.inert dev=wgs0 peer=" KEY1 "\n");
		assert_int_equal(p.plan.leaving, 0);
		done(&p);

		link_in(&p.want, "wgs0", true);
		o = link_in(&p.have, "wgs0", true);
		o->link.quiet = quiet;
		peer_in(&p.have, "wgs0", 1);
		lines(&p);
		assert_string_equal(text_str(&p.text),
				    quiet ? "wg.peer.del dev=wgs0 peer=" KEY1 "\n" : "");
		assert_int_equal(p.plan.leaving, quiet ? 0 : 1);
		done(&p);
	}

	/* With the device everything goes at once. */
	link_in(&p.have, "wgs0", true);
	peer_in(&p.have, "wgs0", 1);
	expect(&p, "link.del dev=wgs0\n");
}

static void test_bus(void **state)
{
	for (int kind = 0; kind < OBJ_KINDS; kind++) {
		struct op op = {.kind = (enum obj_kind)kind};

		assert_int_equal(plan_bus(&op), kind >= OBJ_NFT_TABLE ? BUS_NFT : BUS_RTNL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_link),	   cmocka_unit_test(test_wgdev),
		cmocka_unit_test(test_ports_move), cmocka_unit_test(test_peer_text),
		cmocka_unit_test(test_no_secrets), cmocka_unit_test(test_addr_sysctl),
		cmocka_unit_test(test_nic),	   cmocka_unit_test(test_routes),
		cmocka_unit_test(test_rules),	   cmocka_unit_test(test_chains),
		cmocka_unit_test(test_nets),	   cmocka_unit_test(test_buckets),
		cmocka_unit_test(test_endpoint),   cmocka_unit_test(test_leaving),
		cmocka_unit_test(test_bus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
