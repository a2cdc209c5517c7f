/* SPDX-License-Identifier: GPL-2.0-only */
// link: daemon/nft_expr.o -lnftnl -lmnl
/*
 * DOC: Rules as expressions: what is encoded is recognised after a trip through netlink bytes;
 * recorded rules of a real kernel are; and anything that was changed about a rule is not.
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
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include "nft_expr.h"
#include "nft_recorded.h"

static const char *const lines[] = {
	"outer mark=0x1fe00000 mask=0x1fe00000",
	"outer mark=0x1fc00000 mask=0x1fe00000",
	"outer mark=0x1fc00000 mask=0x1fc00000",
	"nets4 map=nets4",
	"nets4 map=nets5",
	"nets6 map=nets4",
	"frag4 goto=a",
	"frag4 goto=b",
	"frag6 goto=a",
	"ports goto=a",
	"ports goto=b",
	"hash4 ports seed=0x5 swap=0 map=b-p",
	"hash4 ports seed=0x0 swap=0 map=b-p",
	"hash4 ports seed=0x5 swap=1 map=b-p",
	"hash4 ports seed=0x5 swap=0 map=b-q",
	"hash4 addrs seed=0x5 swap=0 map=b-p",
	"hash4 addrs seed=0x5 swap=1 map=b-p",
	"hash6 ports seed=0x5 swap=0 map=b-p",
	"hash6 ports seed=0x5 swap=1 map=b-p",
	"hash6 addrs seed=0x5 swap=0 map=b-p",
	"hash6 addrs seed=0x5 swap=1 map=b-p",
	"goto=a",
	"goto=b",
	"mark set=0x200000 mask=0x1fe00000",
	"mark set=0x400000 mask=0x1fe00000",
	"mark set=0x400000 mask=0x1fc00000",
	"oif prefix=wgs accept",
	"oif prefix=wg accept",
	"oif lo accept",
	"drop4 set=nets4",
	"drop6 set=nets4",
	"drop4 set=nets6",
	"mss oif prefix=wgs",
	"mss iif prefix=wgs",
	"mss iif prefix=wg",
};
#define N_LINES (sizeof(lines) / sizeof(lines[0]))

struct sets {
	bool good, protos; /* what is answered */
	unsigned int asked, asked_protos;
};

static bool set_ok(void *data, const char *name, bool protos)
{
	struct sets *s = data;

	s->asked += !protos;
	s->asked_protos += protos;
	return protos ? s->protos : s->good;
}

static const char *line_of(struct nftnl_rule *r)
{
	static char line[NFT_RULE_LINE_MAX + 1];
	struct sets sets = {.good = true, .protos = true};

	nft_expr_line(r, set_ok, &sets, line);
	return line;
}

static struct nftnl_rule *encode(const char *line)
{
	struct nftnl_rule *r = nftnl_rule_alloc();
	struct nft_rule rule;

	assert_int_equal(nft_rule_parse(line, &rule), 0);
	assert_int_equal(nft_expr_encode(&rule, 7, r), 0);
	return r;
}

/* As if sent and read back. */
static struct nftnl_rule *trip(struct nftnl_rule *r)
{
	static char buf[4096];
	struct nlmsghdr *nlh = nftnl_nlmsg_build_hdr(buf, NFT_MSG_NEWRULE, NFPROTO_INET, 0, 0);
	struct nftnl_rule *back = nftnl_rule_alloc();

	nftnl_rule_nlmsg_build_payload(nlh, r);
	assert_int_equal(nftnl_rule_nlmsg_parse(nlh, back), 0);
	return back;
}

static void comment(struct nftnl_rule *r, const char *line)
{
	struct nftnl_udata_buf *u = nftnl_udata_buf_alloc(256);

	nftnl_udata_put_strz(u, NFTNL_UDATA_RULE_COMMENT, line);
	nftnl_rule_set_data(r, NFTNL_RULE_USERDATA, nftnl_udata_buf_data(u),
			    nftnl_udata_buf_len(u));
	nftnl_udata_buf_free(u);
}

static void there_and_back(void **state)
{
	for (size_t i = 0; i < N_LINES; i++) {
		struct nftnl_rule *r = encode(lines[i]), *back = trip(r);

		assert_string_equal(line_of(back), lines[i]);
		nftnl_rule_free(back);
		nftnl_rule_free(r);
	}
}

/* A comment that tells of another rule. */
static void every_line_differs(void **state)
{
	for (size_t i = 0; i < N_LINES; i++) {
		struct nftnl_rule *r = encode(lines[i]);

		for (size_t j = 0; j < N_LINES; j++) {
			struct nftnl_rule *back;

			comment(r, lines[j]);
			back = trip(r);
			assert_string_equal(line_of(back), i == j ? lines[i] : NFT_EXPR_ALIEN);
			nftnl_rule_free(back);
		}
		nftnl_rule_free(r);
	}
}

static void bad_comments(void **state)
{
	static const uint8_t bad[][8] = {
		{0, 7, 'g', 'o', 't', 'o', '=', 'a'}, /* no NUL, cut */
		{0, 3, 'x', 'y', 0},		      /* not a line */
		{1, 4, 'a', 'b', 'c', 0},	      /* of another type */
		{0, 4, 'a', 0, 'c', 0},
		{0, 0},
		{0},
	};
	struct nftnl_rule *r = encode("goto=a");

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		for (uint32_t len = 1; len <= sizeof(bad[0]); len++) {
			nftnl_rule_set_data(r, NFTNL_RULE_USERDATA, bad[i], len);
			assert_string_equal(line_of(r), NFT_EXPR_ALIEN);
		}
	nftnl_rule_unset(r, NFTNL_RULE_USERDATA);
	assert_string_equal(line_of(r), NFT_EXPR_ALIEN);
	nftnl_rule_free(r);
}

static unsigned int count_exprs(struct nftnl_rule *r)
{
	struct nftnl_expr_iter *i = nftnl_expr_iter_create(r);
	unsigned int n = 0;

	while (nftnl_expr_iter_next(i))
		n++;
	nftnl_expr_iter_destroy(i);
	return n;
}

static struct nftnl_expr *nth_expr(struct nftnl_rule *r, unsigned int n)
{
	struct nftnl_expr_iter *i = nftnl_expr_iter_create(r);
	struct nftnl_expr *e = nftnl_expr_iter_next(i);

	while (n--)
		e = nftnl_expr_iter_next(i);
	nftnl_expr_iter_destroy(i);
	return e;
}

static void one_expression_less_or_more(void **state)
{
	for (size_t i = 0; i < N_LINES; i++) {
		struct nftnl_rule *r = encode(lines[i]);
		unsigned int n = count_exprs(r);

		for (unsigned int j = 0; j < n; j++) {
			struct nftnl_rule *less = encode(lines[i]);
			struct nftnl_expr *e = nth_expr(less, j);

			nftnl_rule_del_expr(e);
			nftnl_expr_free(e);
			assert_string_equal(line_of(less), NFT_EXPR_ALIEN);
			nftnl_rule_free(less);
		}
		nftnl_rule_add_expr(r, nftnl_expr_alloc("counter"));
		assert_string_equal(line_of(r), NFT_EXPR_ALIEN);
		nftnl_rule_free(r);
	}
}

/* The first expression of this name in the rule. */
static struct nftnl_expr *expr_named(struct nftnl_rule *r, const char *name)
{
	for (unsigned int i = 0; i < count_exprs(r); i++) {
		struct nftnl_expr *e = nth_expr(r, i);

		if (strcmp(nftnl_expr_get_str(e, NFTNL_EXPR_NAME), name) == 0)
			return e;
	}
	fail_msg("no %s", name);
	return NULL;
}

static void expect_after(const char *line, const char *expr, uint16_t attr, uint32_t value,
			 bool same)
{
	struct nftnl_rule *r = encode(line);

	nftnl_expr_set_u32(expr_named(r, expr), attr, value);
	assert_string_equal(line_of(r), same ? line : NFT_EXPR_ALIEN);
	nftnl_rule_free(r);
}

static void one_attribute(void **state)
{
	const char *hash = "hash4 ports seed=0x5 swap=0 map=b-p", *drop = "drop4 set=nets4";

	/* What the kernel fills in. */
	expect_after(hash, "hash", NFTNL_EXPR_HASH_OFFSET, 0, true);
	expect_after(drop, "lookup", NFTNL_EXPR_LOOKUP_FLAGS, 0, true);
	expect_after("mark set=0x1 mask=0xf", "bitwise", NFTNL_EXPR_BITWISE_OP, 0, true);
	/* What makes another rule of it. */
	expect_after(hash, "hash", NFTNL_EXPR_HASH_OFFSET, 1, false);
	expect_after(hash, "hash", NFTNL_EXPR_HASH_MODULUS, 512, false);
	expect_after(hash, "hash", NFTNL_EXPR_HASH_SEED, 6, false);
	expect_after(hash, "hash", NFTNL_EXPR_HASH_LEN, 12, false);
	expect_after(drop, "lookup", NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV, false);
	expect_after(drop, "lookup", NFTNL_EXPR_LOOKUP_DREG, NFT_REG_VERDICT, false);
	expect_after(drop, "immediate", NFTNL_EXPR_IMM_VERDICT, NF_ACCEPT, false);
	expect_after(drop, "payload", NFTNL_EXPR_PAYLOAD_OFFSET, 12, false);
	expect_after("frag4 goto=a", "cmp", NFTNL_EXPR_CMP_OP, NFT_CMP_NEQ, false);
	expect_after("mark set=0x1 mask=0xf", "meta", NFTNL_EXPR_META_KEY, NFT_META_PRIORITY,
		     false);
	expect_after("goto=a", "immediate", NFTNL_EXPR_IMM_VERDICT, (uint32_t)NFT_JUMP, false);
}

static void counter_values_do_not_matter(void **state)
{
	struct nftnl_rule *r = encode("mark set=0x1 mask=0xf");

	nftnl_expr_set_u64(expr_named(r, "counter"), NFTNL_EXPR_CTR_PACKETS, 12345);
	assert_string_equal(line_of(r), "mark set=0x1 mask=0xf");
	nftnl_rule_free(r);
}

/* A hash without seed gets a random one: that is not seed 0. */
static void random_seed(void **state)
{
	struct nftnl_rule *r = encode("hash4 addrs seed=0x0 swap=0 map=b-p");
	struct nftnl_expr *old = expr_named(r, "hash"), *e = nftnl_expr_alloc("hash");
	struct nftnl_expr *lookup = expr_named(r, "lookup");
	static const uint16_t attrs[] = {NFTNL_EXPR_HASH_SREG, NFTNL_EXPR_HASH_DREG,
					 NFTNL_EXPR_HASH_LEN, NFTNL_EXPR_HASH_MODULUS,
					 NFTNL_EXPR_HASH_TYPE};

	for (size_t i = 0; i < sizeof(attrs) / sizeof(attrs[0]); i++)
		nftnl_expr_set_u32(e, attrs[i], nftnl_expr_get_u32(old, attrs[i]));
	nftnl_rule_del_expr(old);
	nftnl_rule_del_expr(lookup);
	nftnl_rule_add_expr(r, e);
	nftnl_rule_add_expr(r, lookup);
	assert_string_equal(line_of(r), NFT_EXPR_ALIEN);
	nftnl_expr_set_u32(e, NFTNL_EXPR_HASH_SEED, 0);
	assert_string_equal(line_of(r), "hash4 addrs seed=0x0 swap=0 map=b-p");
	nftnl_expr_free(old);
	nftnl_rule_free(r);
}

static void sets_must_be_good(void **state)
{
	static const char *const of_sets[] = {"nets4 map=a", "drop6 set=a",
					      "hash6 addrs seed=0x5 swap=0 map=b-p"};
	char line[NFT_RULE_LINE_MAX + 1];
	struct sets sets = {.protos = true};
	struct nftnl_rule *r;

	for (size_t i = 0; i < 3; i++) {
		r = encode(of_sets[i]);
		nft_expr_line(r, set_ok, &sets, line);
		assert_string_equal(line, NFT_EXPR_ALIEN);
		nftnl_rule_free(r);
	}
	assert_int_equal(sets.asked, 3);
	assert_int_equal(sets.asked_protos, 0);

	r = encode("ports goto=a");
	nft_expr_line(r, set_ok, &sets, line);
	assert_string_equal(line, "ports goto=a");
	sets = (struct sets){.good = true};
	nft_expr_line(r, set_ok, &sets, line);
	assert_string_equal(line, NFT_EXPR_ALIEN);
	assert_int_equal(sets.asked_protos, 1);
	nftnl_rule_free(r);
}

static struct nlmsghdr *unhex(const char *hex)
{
	size_t n = strlen(hex) / 2;
	uint8_t *buf = malloc(n);

	assert_non_null(buf);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(sscanf(hex + 2 * i, "%2hhx", &buf[i]), 1);
	return (struct nlmsghdr *)buf;
}

static void recorded(void **state)
{
	for (size_t i = 0; i < sizeof(recorded_rules) / sizeof(recorded_rules[0]); i++) {
		struct nlmsghdr *nlh = unhex(recorded_rules[i].message);
		struct nftnl_rule *r = nftnl_rule_alloc();

		assert_int_equal(nftnl_rule_nlmsg_parse(nlh, r), 0);
		assert_string_equal(line_of(r), recorded_rules[i].line);
		nftnl_rule_free(r);
		free(nlh);
	}
}

/* The comment is the last thing in a message: what is cut short is not recognised. libmnl reads
 * on to the next multiple of four, and libnftnl trusts names to end, so zeroes follow. */
static void recorded_cut_short(void **state)
{
	for (size_t i = 0; i < sizeof(recorded_rules) / sizeof(recorded_rules[0]); i++) {
		struct nlmsghdr *nlh = unhex(recorded_rules[i].message);
		uint32_t whole = nlh->nlmsg_len;

		for (uint32_t len = NLMSG_HDRLEN + 4; NLMSG_ALIGN(len) < whole; len++) {
			struct nlmsghdr *cut = calloc(1, NLMSG_ALIGN(len) + 1);
			struct nftnl_rule *r = nftnl_rule_alloc();

			assert_non_null(cut);
			memcpy(cut, nlh, len);
			cut->nlmsg_len = len;
			if (nftnl_rule_nlmsg_parse(cut, r) == 0)
				assert_string_equal(line_of(r), NFT_EXPR_ALIEN);
			nftnl_rule_free(r);
			free(cut);
		}
		free(nlh);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back), cmocka_unit_test(every_line_differs),
		cmocka_unit_test(bad_comments),	  cmocka_unit_test(one_expression_less_or_more),
		cmocka_unit_test(one_attribute),  cmocka_unit_test(counter_values_do_not_matter),
		cmocka_unit_test(random_seed),	  cmocka_unit_test(sets_must_be_good),
		cmocka_unit_test(recorded),	  cmocka_unit_test(recorded_cut_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
