/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: cards that are printed and read back, their checksum and digest. What is said of bad ones:
 * tests/golden/config.
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

#include "card.h"
#include "config.h"
#include "keys.h"
#include "text.h"

#define LANES 3

static const char site_text[] = "site: paris\n"
				"endpoint: [vpn.example, 192.0.2.1, \"[2001:db8::1]:30000\"]\n"
				"networks: [10.3.0.0/16, fd00:3::/48]\n"
				"transit: [10.0.0.0/8]\n";

struct fixture {
	struct config *config;
	struct lane lanes[LANES];
	struct site site;
	struct text text;
};

static struct config *parse_config(const char *text)
{
	struct diags diags = {0};
	struct config *c;

	assert_int_equal(config_parse("site.yaml", text, strlen(text), &diags, &c), 0);
	diag_done(&diags);
	return c;
}

static void make(struct fixture *f, const char *text)
{
	struct secret secret;
	unsigned int i;

	memset(f, 0, sizeof(*f));
	memset(&secret, 7, sizeof(secret));
	f->config = parse_config(text);
	f->site = (struct site){
		.config = f->config,
		.id = f->config->site,
		.lanes = f->lanes,
		.n_lanes = LANES,
	};
	for (i = 0; i < LANES; i++) {
		struct lane *l = &f->lanes[i];

		l->number = i;
		l->generation = i + 1;
		l->port = (uint16_t)(f->config->port_base + i);
		keys_lane(&secret, i, l->generation, &l->private_key, &l->public_key);
		keys_probe(&l->public_key, &l->probe);
	}
	card_print(&f->site, 42, &f->text);
}

static void done(struct fixture *f)
{
	config_free(f->config);
	text_done(&f->text);
}

static struct card *parse(const char *text, size_t len)
{
	struct diags diags = {0};
	struct card *c = NULL;

	if (card_parse("peers.d/paris.yaml", text, len, &diags, &c))
		fail_msg("%s", diags.items[0].text);
	diag_done(&diags);
	return c;
}

static void test_round_trip(void **state)
{
	struct fixture f;
	struct card *c;
	char buf[ADDR_STRLEN];
	size_t i;

	make(&f, site_text);
	c = parse(f.text.s, f.text.len);
	assert_string_equal(c->path, "peers.d/paris.yaml");
	assert_string_equal(c->site, "paris");
	assert_false(c->plain);
	assert_int_equal(c->serial, 42);
	assert_int_equal(c->port_base, 21820);
	assert_int_equal(c->n_endpoints, 3);
	assert_string_equal(c->endpoints[0].name, "vpn.example");
	assert_string_equal(addr_print(&c->endpoints[1].addr, buf), "192.0.2.1");
	assert_int_equal(c->endpoints[2].port_base, 30000);
	assert_int_equal(c->n_lanes, LANES);
	for (i = 0; i < LANES; i++) {
		assert_int_equal(c->lanes[i].number, i);
		assert_int_equal(c->lanes[i].generation, i + 1);
		assert_int_equal(c->lanes[i].port, 21820 + i);
		assert_int_equal(key_cmp(&c->lanes[i].key, &f.lanes[i].public_key), 0);
		assert_int_equal(addr_cmp(&c->lanes[i].probe, &f.lanes[i].probe), 0);
	}
	assert_int_equal(c->networks.n, 2);
	assert_string_equal(addr_print_prefix(&c->networks.items[1].prefix, buf), "fd00:3::/48");
	assert_int_equal(c->transit.n, 1);
	assert_int_not_equal(c->digest, 0);
	assert_true(c->digest == card_digest(c));
	assert_true(c->digest == card_digest_site(&f.site));
	card_free(c);
	done(&f);
}

/* A site with nothing to say but its lanes. */
static void test_least(void **state)
{
	struct fixture f;
	struct card *c;

	make(&f, "site: paris\n");
	c = parse(f.text.s, f.text.len);
	assert_int_equal(c->n_endpoints + c->networks.n + c->transit.n, 0);
	assert_true(c->digest == card_digest_site(&f.site));
	card_free(c);
	done(&f);
}

/* No private key has any business in there. */
static void test_is_public(void **state)
{
	char buf[MODEL_KEY_STRLEN];
	struct fixture f;
	size_t i;

	make(&f, site_text);
	for (i = 0; i < LANES; i++) {
		assert_null(strstr(f.text.s, key_print(&f.lanes[i].private_key, buf)));
		assert_non_null(strstr(f.text.s, key_print(&f.lanes[i].public_key, buf)));
	}
	done(&f);
}

/* A card that is not whole is never taken, and always blamed on its peer. */
static void test_cut_everywhere(void **state)
{
	struct fixture f;
	size_t len;

	make(&f, site_text);
	for (len = 0; len < f.text.len - 1; len++) {
		char *cut = malloc(len ? len : 1);
		struct diags diags = {0};
		struct card *c;
		size_t i;

		memcpy(cut, f.text.s, len);
		if (!card_parse("peers.d/paris.yaml", cut, len, &diags, &c))
			fail_msg("taken when cut at %zu", len);
		assert_null(c);
		assert_true(diags.errors > 0);
		for (i = 0; i < diags.n; i++)
			assert_string_equal(diags.items[i].peer, "paris");
		diag_done(&diags);
		free(cut);
	}
	done(&f);
}

static void test_every_bit_counts(void **state)
{
	struct fixture f;
	size_t i;

	make(&f, site_text);
	for (i = 0; i < f.text.len - 1; i++) {
		struct diags diags = {0};
		struct card *c;

		f.text.s[i] ^= 1;
		if (!card_parse("paris.yaml", f.text.s, f.text.len, &diags, &c))
			fail_msg("taken with byte %zu changed", i);
		f.text.s[i] ^= 1;
		diag_done(&diags);
	}
	done(&f);
}

static uint64_t digest_of(const char *text)
{
	struct card *c = parse(text, strlen(text));
	uint64_t digest = c->digest;

	card_free(c);
	return digest;
}

#define K0 "JoF/ybEfS/URRsFD/96THVgICl7FCxBlug0DRuby5B0="
#define K1 "Lo1Lu+E88NhBruOSdaml4pUTkhYhTp72h/jdLSWC0zM="

static void test_digest(void **state)
{
	uint64_t first = digest_of("card: 1\nsite: paris\nendpoints: [a.example, b.example]\n"
				   "lanes: [{port: 5, key: " K0 "}, {port: 6, key: " K1 "}]\n"
				   "networks: [10.1.0.0/16, 10.2.0.0/16]\ntransit: [10.0.0.0/8]\n");

	/* Layout and order do not matter. */
	assert_true(first ==
		    digest_of("# comment\ntransit: 10.0.0.0/8\n"
			      "networks:\n- 10.2.0.0/16\n- \"10.1.0.0/16\"\n"
			      "lanes:\n- {lane: 1, port: 6, key: " K1 "}\n"
			      "- {lane: 0, port: 5, key: \"" K0 "\"}\n"
			      "endpoints: [b.example, a.example]\nsite: paris\ncard: 1\n"));
	/* What it says does. */
	assert_false(first == digest_of("card: 1\nsite: paris\nendpoints: [a.example, b.example]\n"
					"lanes: [{port: 5, key: " K0 "}, {port: 7, key: " K1 "}]\n"
					"networks: [10.1.0.0/16, 10.2.0.0/16]\n"
					"transit: [10.0.0.0/8]\n"));
	assert_false(first == digest_of("card: 1\nsite: paris\nendpoints: [a.example, b.example]\n"
					"lanes: [{port: 5, key: " K1 "}, {port: 6, key: " K0 "}]\n"
					"networks: [10.1.0.0/16, 10.2.0.0/16]\n"
					"transit: [10.0.0.0/8]\n"));
	assert_false(first == digest_of("card: 1\nsite: paris\nendpoints: [a.example, b.example]\n"
					"lanes: [{port: 5, key: " K0 "}, {port: 6, key: " K1 "}]\n"
					"networks: [10.1.0.0/16, 10.2.0.0/16, 10.0.0.0/8]\n"));
}

/* The serial is not part of what a card means. */
static void test_digest_without_serial(void **state)
{
	struct text other = {0};
	struct fixture f;

	make(&f, site_text);
	card_print(&f.site, 43, &other);
	assert_string_not_equal(text_str(&other), text_str(&f.text));
	assert_true(digest_of(other.s) == digest_of(f.text.s));
	text_done(&other);
	done(&f);
}

static void test_plain(void **state)
{
	static const char text[] = "card: 1\nsite: paris\nlanes:\n"
				   "- {lane: 4, port: 51821, key: " K1 "}\n"
				   "- {port: 51820, key: " K0 ", probe: 10.3.0.1}\n";
	struct card *c = parse(text, sizeof(text) - 1);
	char buf[ADDR_STRLEN];

	assert_true(c->plain);
	assert_int_equal(c->serial, 0);
	assert_int_equal(c->port_base, 0);
	assert_int_equal(c->n_lanes, 2);
	assert_int_equal(c->lanes[0].number, 1);
	assert_int_equal(c->lanes[0].port, 51820);
	assert_int_equal(c->lanes[0].generation, 0);
	assert_string_equal(addr_print(&c->lanes[0].probe, buf), "10.3.0.1");
	assert_int_equal(c->lanes[0].at.line, 5);
	assert_int_equal(c->lanes[1].number, 4);
	assert_int_equal(c->lanes[1].probe.family, 0);
	card_free(c);
}

/* Points of order 1, 2, 4 and 8, and encodings of them that are not canonical. */
static void test_low_order(void **state)
{
	static const uint8_t points[][MODEL_KEY_LEN] = {
		{0},
		{1},
		{0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3,
		 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32,
		 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00},
		{0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1,
		 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c,
		 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57},
		{0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
		{0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	};
	char key[MODEL_KEY_STRLEN], text[256];
	size_t i;

	for (i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		struct diags diags = {0};
		struct card *c;
		struct key k;

		memcpy(k.b, points[i], sizeof(k.b));
		snprintf(text, sizeof(text), "card: 1\nsite: a\nlanes: [{port: 1, key: \"%s\"}]\n",
			 key_print(&k, key));
		assert_int_equal(card_parse("a.yaml", text, strlen(text), &diags, &c), -EINVAL);
		assert_non_null(strstr(diags.items[0].text, "low-order"));
		diag_done(&diags);
	}
}

/* Which peer a broken card is blamed on. */
static void test_blame(void **state)
{
	static const struct {
		const char *text, *peer;
	} cases[] = {
		{"card: 1\nsite: milan\n[", "milan"},
		{"card: 1\nsite: \"milan\" # there\nx: y\n", "milan"},
		{"card: 1\nsite: Milan\n", "paris"},
		{"", "paris"},
		{"site:", "paris"},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct diags diags = {0};
		struct card *c;

		assert_int_equal(card_parse("/x/peers.d/paris.yaml", cases[i].text,
					    strlen(cases[i].text), &diags, &c),
				 -EINVAL);
		assert_string_equal(diags.items[0].peer, cases[i].peer);
		diag_done(&diags);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_least),
		cmocka_unit_test(test_is_public),
		cmocka_unit_test(test_cut_everywhere),
		cmocka_unit_test(test_every_bit_counts),
		cmocka_unit_test(test_digest),
		cmocka_unit_test(test_digest_without_serial),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_low_order),
		cmocka_unit_test(test_blame),
	};

	return keys_init() || cmocka_run_group_tests(tests, NULL, NULL);
}
