/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: Lines of rules: every kind there and back, and what is not such a line.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "nft_rule.h"

static const char *const lines[] = {
	"outer mark=0x1fe00000 mask=0x1fe00000",
	"nets4 map=nets4",
	"nets6 map=nets6",
	"frag4 goto=addr4-milan",
	"frag6 goto=addr6-milan",
	"ports goto=port4-milan",
	"hash4 ports seed=0x5ca1ab1e swap=0 map=b-milan",
	"hash4 addrs seed=0x5ca1ab1e swap=1 map=b-milan",
	"hash6 ports seed=0x0 swap=1 map=b-milan",
	"hash6 addrs seed=0xffffffff swap=0 map=b-milan",
	"goto=addr4-milan",
	"mark set=0x200000 mask=0x1fe00000",
	"mark set=0x0 mask=0x1fe00000",
	"oif prefix=wgs accept",
	"oif lo accept",
	"drop4 set=nets4",
	"drop6 set=nets6",
	"mss oif prefix=wgs",
	"mss iif prefix=wgs",
};

static void there_and_back(void **state)
{
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct nft_rule r;
		struct text t = {0};

		assert_int_equal(nft_rule_parse(lines[i], &r), 0);
		nft_rule_print(&r, &t);
		assert_string_equal(text_str(&t), lines[i]);
		text_done(&t);
	}
}

static void fields(void **state)
{
	struct nft_rule r;

	assert_int_equal(nft_rule_parse("hash6 ports seed=0x5ca1ab1e swap=1 map=b-x", &r), 0);
	assert_int_equal(r.kind, NFT_RULE_HASH);
	assert_int_equal(r.family, AF_INET6);
	assert_true(r.ports);
	assert_true(r.swap);
	assert_int_equal(r.seed, 0x5ca1ab1e);
	assert_string_equal(r.target, "b-x");

	assert_int_equal(nft_rule_parse("mark set=0x200000 mask=0x1fe00000", &r), 0);
	assert_int_equal(r.kind, NFT_RULE_MARK);
	assert_int_equal(r.mark, 0x200000);
	assert_int_equal(r.mask, 0x1fe00000);

	assert_int_equal(nft_rule_parse("mss iif prefix=wgs", &r), 0);
	assert_int_equal(r.kind, NFT_RULE_MSS);
	assert_true(r.iif);
}

static void refused(void **state)
{
	static const char *const bad[] = {
		"",
		"alien",
		"goto=",
		"goto=a b",
		" goto=a",
		"goto=a ",
		"goto=a\n",
		"nets5 map=a",
		"nets4 map=a b",
		"nets4  map=a",
		"drop4 map=a",
		"frag4 goto=",
		"frag goto=a",
		"ports  goto=a",
		"outer mark=1 mask=0x1",
		"outer mark=0x01 mask=0x1",
		"outer mark=0X1 mask=0x1",
		"outer mark=-0x1 mask=0x1",
		"outer mark=0x100000001 mask=0x1",
		"outer mark=0x1",
		"mark set=0x1 mask=0x1 ",
		"hash4 port seed=0x1 swap=0 map=a",
		"hash4 ports seed=1 swap=0 map=a",
		"hash4 ports seed=0x1 swap=2 map=a",
		"hash4 ports seed=0x1 swap=00 map=a",
		"hash4 ports seed=0x1 swap=0 map=",
		"oif lo",
		"oif lo accept now",
		"oif prefix=wgs",
		"mss prefix=wgs",
		"mss iof prefix=wgs",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct nft_rule r = {.kind = NFT_RULE_DROP};

		if (nft_rule_parse(bad[i], &r) != -EINVAL)
			fail_msg("taken: \"%s\"", bad[i]);
		assert_int_equal(r.kind, NFT_RULE_DROP);
	}
}

static void cut_short(void **state)
{
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		for (size_t len = 0; len < strlen(lines[i]); len++) {
			char cut[NFT_RULE_LINE_MAX + 1];
			struct text t = {0};
			struct nft_rule r;

			snprintf(cut, sizeof(cut), "%.*s", (int)len, lines[i]);
			if (nft_rule_parse(cut, &r) == 0) {
				nft_rule_print(&r, &t);
				assert_string_equal(text_str(&t), cut);
			}
			text_done(&t);
		}
	}
}

/* The longest name a site gives rise to fits; a longer one is refused, not cut. */
static void long_names(void **state)
{
	char line[512], name[NFT_RULE_TARGET_MAX + 2];
	struct nft_rule r;
	struct text t = {0};

	memset(name, 'x', sizeof(name));
	snprintf(line, sizeof(line), "hash4 addrs seed=0xffffffff swap=1 map=%.*s",
		 NFT_RULE_TARGET_MAX, name);
	assert_int_equal(nft_rule_parse(line, &r), 0);
	nft_rule_print(&r, &t);
	assert_string_equal(text_str(&t), line);
	assert_true(t.len <= NFT_RULE_LINE_MAX);
	text_done(&t);
	snprintf(line, sizeof(line), "goto=%.*s", NFT_RULE_TARGET_MAX + 1, name);
	assert_int_equal(nft_rule_parse(line, &r), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back), cmocka_unit_test(fields),
		cmocka_unit_test(refused),	  cmocka_unit_test(cut_short),
		cmocka_unit_test(long_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
