/* SPDX-License-Identifier: GPL-2.0-only */
// link: daemon/gateway.o daemon/state.o daemon/carried.o
/*
 * DOC: what is held: networks that were carried and are left out, though nobody has said so. Files
 * are those of a folder made for each test; milan's card is a hand-written one.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "gateway.h"

#define KEY    "JoF/ybEfS/URRsFD/96THVgICl7FCxBlug0DRuby5B0="
#define SECRET KEYS_SECRET_PREFIX "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"

static char dir[64];
static struct paths paths;
static char config[96], state_dir[96];

static void put(const char *name, const char *text)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(state_write_file(path, text, strlen(text), 0600), 0);
}

static int setup(void **state)
{
	char peers[96];

	strcpy(dir, "/tmp/wgscale-gateway-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(peers, sizeof(peers), "%s/peers.d", dir);
	snprintf(config, sizeof(config), "%s/site.yaml", dir);
	snprintf(state_dir, sizeof(state_dir), "%s/lib", dir);
	paths = (struct paths){.config = config, .state_dir = state_dir, .runtime_dir = dir};
	put("site.secret", SECRET);
	return mkdir(peers, 0700) || mkdir(state_dir, 0700);
}

static int teardown(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

/* The site with milan's settings and the networks of its card; "": no card. */
static struct gateway *load(const char *milan, const char *networks, const struct facts *facts)
{
	struct diags diags = {0};
	struct text t = {0};
	struct gateway *g;

	text_printf(&t,
		    "site: turin\nlanes: 2\nsecret-file: site.secret\nnetworks: [10.1.0.0/16]\n"
		    "peers: {milan: {%s}}\n",
		    milan);
	put("site.yaml", text_str(&t));
	text_reset(&t);
	text_printf(&t, "card: 1\nsite: %s\nlanes: [{port: 5, key: " KEY "}]\nnetworks: [%s]\n",
		    *networks ? "milan" : "nobody", networks);
	put("peers.d/milan.yaml", text_str(&t));
	text_done(&t);
	g = gateway_load(&paths, false, true, facts, &diags);
	diag_done(&diags);
	assert_non_null(g);
	return g;
}

static void carries(struct carried *c, const char *const *nets)
{
	struct prefix net;

	memset(c, 0, sizeof(*c));
	for (; *nets; nets++) {
		assert_int_equal(addr_parse_prefix(*nets, &net), 0);
		carried_add(c, &net);
	}
}

static void held_are(const struct gateway *g, const char *expected)
{
	struct text got = {0};
	char buf[ADDR_STRLEN];

	for (size_t i = 0; i < g->site->n_held; i++)
		text_printf(&got, "%s%s", i ? " " : "", addr_print_prefix(&g->site->held[i], buf));
	assert_string_equal(text_str(&got), expected);
	text_done(&got);
}

/* The host is connected to a part of 10.2.0.0/15, and to one of 10.8.0.0/14 since ever. */
static const struct facts *connected(void)
{
	static struct fact_addr addrs[2] = {{.dev = "office"}, {.dev = "lab"}};
	static struct facts facts = {.addrs = addrs, .n_addrs = 2};

	assert_int_equal(addr_parse("10.2.7.1", &addrs[0].addr), 0);
	assert_int_equal(addr_parse_prefix("10.2.7.0/24", &addrs[0].prefix), 0);
	assert_int_equal(addr_parse("10.9.0.1", &addrs[1].addr), 0);
	assert_int_equal(addr_parse_prefix("10.9.0.0/24", &addrs[1].prefix), 0);
	return &facts;
}

static const char *const both[] = {"10.2.0.0/16", "10.77.0.0/16", NULL};

static void hold(const char *milan, const char *networks, const struct facts *facts, bool known,
		 const char *expected)
{
	struct gateway *was = load("", "10.2.0.0/16, 10.8.0.0/14", NULL);
	struct gateway *g = load(milan, networks, facts);
	struct carried carried;

	carries(&carried, both);
	gateway_hold(g, was->site, known ? &carried : NULL);
	held_are(g, expected);
	carried_done(&carried);
	gateway_free(was);
	gateway_free(g);
}

static void test_hold(void **state)
{
	const char *same = "10.2.0.0/16, 10.8.0.0/14";

	/* Left out for what it overlaps now; 10.8.0.0/14 never was carried. */
	hold("", same, connected(), true, "10.2.0.0/16");
	hold("", same, connected(), false, "");
	hold("traffic: off", same, connected(), true, "");
	hold("accept: [10.8.0.0/14]", same, connected(), true, "");
	hold("accept: [10.9.0.0/16]", same, connected(), true, "");
	hold("", "10.0.0.0/8", connected(), true, "10.2.0.0/16");
	hold("", "10.3.0.0/16", connected(), true, "");
	/* Refused. */
	hold("", "", NULL, true, "10.2.0.0/16");
	hold("", "", NULL, false, "10.2.0.0/16 10.8.0.0/14");
	hold("traffic: off", "", NULL, true, "");
	/* Carried still. */
	hold("", same, NULL, true, "");
}

static void loses(const char *milan, const char *networks, bool expected)
{
	struct gateway *from = load("", "10.2.0.0/16", NULL);
	struct gateway *to = load(milan, networks, connected());

	assert_int_equal(gateway_loses(from, to), expected);
	gateway_free(from);
	gateway_free(to);
}

static void test_loses(void **state)
{
	loses("", "10.2.0.0/16", true);
	loses("", "10.2.0.0/15", true);
	loses("accept: [10.2.0.0/16]", "10.2.0.0/16", false);
	loses("", "10.3.0.0/16", false);
	loses("traffic: off", "10.2.0.0/16", false);
}

static void keep(const char *milan, const char *networks, const struct facts *facts,
		 const char *expected)
{
	struct gateway *old = load("", "10.2.0.0/16", NULL), *g = load(milan, networks, facts);

	site_hold(old->site, &old->site->peers[0].networks[0]);
	held_are(old, "10.2.0.0/16");
	gateway_keep_held(g, old);
	held_are(g, expected);
	/* Standby is the operator's word. */
	if (g->site->n_peers)
		site_release(g->site, &g->site->peers[0]);
	held_are(g, "");
	gateway_free(old);
	gateway_free(g);
}

static void test_keep_held(void **state)
{
	keep("", "10.2.0.0/16", connected(), "10.2.0.0/16");
	keep("", "10.2.0.0/15", connected(), "10.2.0.0/16");
	keep("", "10.2.0.0/16", NULL, "");
	keep("", "10.2.0.0/15", NULL, "");
	keep("", "10.3.0.0/16", connected(), "");
	keep("traffic: off", "10.2.0.0/16", connected(), "");
}

/* What was written is read again; what somebody else has written is not. */
static void test_carried(void **state)
{
	static const char *const bad[] = {"", "net 10.2.0.0/16\n", "mark-mask 0x1fe00000\nnet x\n",
					  "mark-mask 1\ntable-base 2\nrule-base 3\nnothing\n"};
	struct gateway *g = load("", "10.2.0.0/16, 10.4.0.0/16", NULL);
	struct prefix net;
	struct carried c;

	assert_int_equal(carried_read(&paths, &c), -ENOENT);
	assert_int_equal(carried_set_empty(&paths), 0);
	assert_int_equal(carried_read(&paths, &c), -ENOENT);
	assert_int_equal(addr_parse_prefix("fd00::/32", &net), 0);
	site_hold(g->site, &net);
	assert_int_equal(carried_write(&paths, g->site), 0);
	assert_int_equal(carried_read(&paths, &c), 0);
	assert_int_equal(c.n_networks, 3);
	assert_true(carried_has(&c, &net));
	assert_int_equal(c.config.networks.n, 1);
	assert_int_equal(c.config.table_base, g->site->config->table_base);
	assert_int_equal(c.config.rule_base, g->site->config->rule_base);
	assert_int_equal(c.config.mark_mask, g->site->config->mark_mask);
	carried_remove(&c, &net);
	assert_false(carried_has(&c, &net));
	carried_done(&c);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put("lib/networks", bad[i]);
		assert_int_equal(carried_read(&paths, &c), -EBADMSG);
		assert_int_equal(c.n_networks, 0);
	}
	assert_int_equal(carried_write(&paths, g->site), 0);
	assert_int_equal(carried_set_empty(&paths), 0);
	assert_int_equal(carried_set_empty(&paths), 0);
	assert_int_equal(carried_read(&paths, &c), 0);
	assert_true(c.empty);
	assert_int_equal(c.n_networks, 3);
	carried_done(&c);
	assert_int_equal(carried_write(&paths, g->site), 0);
	assert_int_equal(carried_read(&paths, &c), 0);
	assert_false(c.empty);
	carried_done(&c);
	gateway_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_hold, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keep_held, setup, teardown),
		cmocka_unit_test_setup_teardown(test_carried, setup, teardown),
	};

	return keys_init() || cmocka_run_group_tests(tests, NULL, NULL);
}
