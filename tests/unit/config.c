/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: what a good site file comes to. What is said of bad ones: tests/golden/config.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "config.h"
#include "text.h"

static struct config *parse(const char *path, const char *text)
{
	struct diags diags = {0};
	struct config *c = NULL;
	struct text t = {0};
	int r = config_parse(path, text, strlen(text), &diags, &c);

	if (r) {
		diag_print(&diags.items[0], &t);
		fail_msg("%s", text_str(&t));
	}
	assert_int_equal(diags.errors, 0);
	diag_done(&diags);
	return c;
}

/* Refused, with a first diagnosis that contains `what`. */
static void refused(const char *text, size_t len, const char *what)
{
	struct diags diags = {0};
	struct config *c = (struct config *)&diags;

	assert_int_equal(config_parse("site.yaml", text, len, &diags, &c), -EINVAL);
	assert_null(c);
	assert_true(diags.errors > 0);
	if (!strstr(diags.items[0].text, what))
		fail_msg("'%s' lacks '%s'", diags.items[0].text, what);
	diag_done(&diags);
}

static void assert_prefix(const struct config_prefix *p, const char *text, unsigned int line)
{
	char buf[ADDR_STRLEN];

	assert_string_equal(addr_print_prefix(&p->prefix, buf), text);
	assert_int_equal(p->at.line, line);
	assert_string_equal(p->at.file, "/etc/x/site.yaml");
}

static void test_defaults(void **state)
{
	struct config *c = parse("/etc/wgscale/site.yaml", "site: turin\n");

	assert_string_equal(c->path, "/etc/wgscale/site.yaml");
	assert_string_equal(c->site, "turin");
	assert_int_equal(c->site_at.line, 1);
	assert_int_equal(c->site_at.column, 7);
	assert_string_equal(c->secret_file, "/etc/wgscale/site.secret");
	assert_int_equal(c->secret_at.line, 0);
	assert_int_equal(c->lanes, 0);
	assert_int_equal(c->n_endpoints + c->networks.n + c->transit.n + c->n_peers, 0);
	assert_int_equal(c->port_base, 21820);
	assert_int_equal(c->address4.family + c->address6.family, 0);
	assert_int_equal(c->mtu, 0);
	assert_int_equal(c->mark_mask, 0x1fe00000);
	assert_int_equal(c->table_base, 21820);
	assert_int_equal(c->rule_base, 1200);
	assert_int_equal(c->steering, STEERING_OWN);
	assert_int_equal(c->distribute, DISTRIBUTE_FLOW);
	assert_int_equal(c->threaded, THREADED_AUTO);
	assert_int_equal(c->health_interval_ms, 500);
	assert_int_equal(c->health_fail, 5);
	assert_int_equal(c->health_recover, 5);
	config_free(c);
}

static const char everything[] = "site: turin\n"
				 "secret-file: keys/secret\n"
				 "lanes: 12\n"
				 "endpoint: [vpn.example, \"[2001:db8::1]:30000\"]\n"
				 "networks:\n"
				 "- 10.1.0.0/16\n"
				 "- fd00:1::/48\n"
				 "transit: 0.0.0.0/0\n"
				 "steering: off\n"
				 "port-base: 1000\n"
				 "address: [\"fd00:1::1\", 10.1.0.1]\n"
				 "mtu: 9000\n"
				 "mark-mask: 0xf0\n"
				 "table-base: 400\n"
				 "rule-base: 5\n"
				 "threaded: on\n"
				 "health: {interval: 2s, fail: 20, recover: 1}\n";

static void test_everything(void **state)
{
	struct config *c = parse("/etc/x/site.yaml", everything);
	char buf[ADDR_STRLEN];

	assert_string_equal(c->secret_file, "/etc/x/keys/secret");
	assert_int_equal(c->secret_at.line, 2);
	assert_int_equal(c->lanes, 12);
	assert_int_equal(c->n_endpoints, 2);
	assert_string_equal(c->endpoints[0].name, "vpn.example");
	assert_int_equal(c->endpoints[0].port_base, 0);
	assert_null(c->endpoints[1].name);
	assert_string_equal(addr_print(&c->endpoints[1].addr, buf), "2001:db8::1");
	assert_int_equal(c->endpoints[1].port_base, 30000);
	assert_int_equal(c->networks.n, 2);
	assert_prefix(&c->networks.items[0], "10.1.0.0/16", 6);
	assert_prefix(&c->networks.items[1], "fd00:1::/48", 7);
	assert_int_equal(c->transit.n, 1);
	assert_prefix(&c->transit.items[0], "0.0.0.0/0", 8);
	assert_int_equal(c->steering, STEERING_OFF);
	assert_int_equal(c->port_base, 1000);
	assert_string_equal(addr_print(&c->address4, buf), "10.1.0.1");
	assert_string_equal(addr_print(&c->address6, buf), "fd00:1::1");
	assert_int_equal(c->mtu, 9000);
	assert_int_equal(c->mark_mask, 0xf0);
	assert_int_equal(c->table_base, 400);
	assert_int_equal(c->rule_base, 5);
	assert_int_equal(c->threaded, THREADED_ON);
	assert_int_equal(c->health_interval_ms, 2000);
	assert_int_equal(c->health_fail, 20);
	assert_int_equal(c->health_recover, 1);
	config_free(c);
}

static void test_peers(void **state)
{
	struct config *c =
		parse("conf/site.yaml", "site: turin\n"
					"peers:\n"
					"  milan: {accept: [], mtu: 1412, traffic: off}\n"
					"  1:\n"
					"  lyon:\n"
					"    keepalive: 2m\n"
					"    preshared-key-file: lyon.psk\n"
					"    endpoint: 192.0.2.1:7000\n"
					"  nice: {keepalive: off, mtu: auto}\n");
	struct config_peer *p = c->peers;

	assert_int_equal(c->n_peers, 4);
	assert_string_equal(p[0].id, "milan");
	assert_int_equal(p[0].at.line, 3);
	assert_int_equal(p[0].at.column, 3);
	assert_string_equal(p[0].at.peer, "milan");
	assert_true(p[0].has_accept);
	assert_int_equal(p[0].accept.n, 0);
	assert_int_equal(p[0].mtu, 1412);
	assert_int_equal(p[0].traffic, TRAFFIC_OFF);
	assert_int_equal(p[0].keepalive_s, 25);
	assert_string_equal(p[1].id, "1");
	assert_false(p[1].has_accept);
	assert_int_equal(p[1].traffic, TRAFFIC_ON);
	assert_null(p[1].psk_file);
	assert_int_equal(p[2].keepalive_s, 120);
	assert_string_equal(p[2].psk_file, "conf/lyon.psk");
	assert_int_equal(p[2].psk_at.line, 7);
	assert_int_equal(p[2].endpoints[0].port_base, 7000);
	assert_int_equal(p[3].keepalive_s, 0);
	assert_int_equal(p[3].mtu, 0);
	config_free(c);
}

static void test_file_names(void **state)
{
	struct config *c = parse("site.yaml", "site: a\nsecret-file: b\n");

	assert_string_equal(c->secret_file, "b");
	config_free(c);
	c = parse("site.yaml", "site: a\n");
	assert_string_equal(c->secret_file, "site.secret");
	config_free(c);
	c = parse("/site.yaml", "site: a\nsecret-file: b\n");
	assert_string_equal(c->secret_file, "/b");
	config_free(c);
	c = parse("/x/site.yaml", "site: a\nsecret-file: /c/d\n");
	assert_string_equal(c->secret_file, "/c/d");
	config_free(c);
}

/* What does not fit into a golden file, or must not be shown in one. */
static void test_hostile(void **state)
{
	static const char nul[] = "site: turin\nlanes: 8\0\n";
	struct text t = {0};
	size_t i;

	refused(nul, sizeof(nul) - 1, "not text");
	refused("site: \"a\\0b\"\n", 13, "control characters");
	refused("site: \"a\\x9bb\"\n", 15, "control characters");
	refused("\xff\xfes\0i\0t\0e\0", 10, "not text");

	for (i = 0; i < 100000; i++)
		text_printf(&t, "[");
	refused(text_str(&t), t.len, "nested too deeply");
	text_reset(&t);
	text_printf(&t, "site: turin\nnetworks: [");
	for (i = 0; i < CONFIG_FILE_MAX / 8; i++)
		text_printf(&t, "a, ");
	text_printf(&t, "]\n");
	refused(text_str(&t), t.len, "too many values");
	text_reset(&t);
	text_printf(&t, "site: turin\nnetworks: [");
	for (i = 0; i <= MODEL_PREFIXES_MAX; i++)
		text_printf(&t, "10.%zu.%zu.0/24, ", i / 256, i % 256);
	text_printf(&t, "]\n");
	refused(text_str(&t), t.len, "16385 items");
	text_done(&t);
}

/* Whatever is cut off, nothing worse than a diagnosis comes of it. */
static void test_cut_everywhere(void **state)
{
	size_t len, i;

	for (len = 0; len < sizeof(everything) - 1; len++) {
		struct diags diags = {0};
		struct config *c;
		char *cut = malloc(len ? len : 1);

		memcpy(cut, everything, len);
		if (config_parse("site.yaml", cut, len, &diags, &c))
			assert_true(diags.errors > 0);
		else
			assert_int_equal(diags.errors, 0);
		for (i = 0; i < diags.n; i++)
			assert_true(diags.items[i].line <= 18);
		config_free(c);
		diag_done(&diags);
		free(cut);
	}
}

/* The caller's earlier diagnoses stay what and where they are. */
static void test_diags_of_caller(void **state)
{
	struct diag_at at = {"other", 99, 1, NULL};
	struct diags diags = {0};
	struct config *c;

	diag_add(&diags, DIAG_ERROR, &at, "before");
	assert_int_equal(config_parse("s", "site: a\n", 8, &diags, &c), 0);
	config_free(c);
	assert_int_equal(config_parse("s", "lanes: x\n", 9, &diags, &c), -EINVAL);
	assert_int_equal(diags.n, 3);
	assert_string_equal(diags.items[0].text, "before");
	assert_int_equal(diags.items[1].line, 0);
	assert_int_equal(diags.items[2].line, 1);
	diag_done(&diags);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),	cmocka_unit_test(test_everything),
		cmocka_unit_test(test_peers),		cmocka_unit_test(test_file_names),
		cmocka_unit_test(test_hostile),		cmocka_unit_test(test_cut_everywhere),
		cmocka_unit_test(test_diags_of_caller),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
