/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: addresses and prefixes: texts there and back, containment, sockets, and flattening against
 * an oracle that asks of every single address which prefix is the longest.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <cmocka.h>

#include "addr.h"
#include "arena.h"

static uint32_t seed = 1;

static uint32_t rnd(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % below;
}

static struct ipaddr ip(const char *s)
{
	struct ipaddr a;

	assert_int_equal(addr_parse(s, &a), 0);
	return a;
}

static struct prefix pfx(const char *s)
{
	struct prefix p;

	assert_int_equal(addr_parse_prefix(s, &p), 0);
	return p;
}

static void test_parse(void **state)
{
	static const char *const good[] = {
		"0.0.0.0", "255.255.255.255", "10.1.2.3", "::",
		"::1",	   "2001:db8::1",     "fe80::1",  "::ffff:192.0.2.1"};
	static const char *const bad[] = {"",	       " ",	     "10.1",	  "10.1.2.3.4",
					  "010.1.2.3", "10.1.2.256", "10.1.2.3 ", "1",
					  "2001:db8",  "fe80::1%lo", "[::1]",	  "10.1.2.3/8",
					  ":::",       "host",	     "0x0a000001"};
	char buf[ADDR_STRLEN];
	struct ipaddr a;
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(addr_parse(good[i], &a), 0);
		assert_string_equal(addr_print(&a, buf), good[i]);
		assert_int_equal(a.family, strchr(good[i], ':') ? AF_INET6 : AF_INET);
	}
	memset(&a, 0x5a, sizeof(a));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(addr_parse(bad[i], &a), -EINVAL);
	assert_int_equal(a.family, 0x5a);
	a = ip("192.0.2.1");
	for (i = 4; i < 16; i++)
		assert_int_equal(a.b[i], 0);
	assert_string_equal(addr_print(&(struct ipaddr){0}, buf), "-");
}

static void test_parse_prefix(void **state)
{
	static const struct {
		const char *in;
		int r;
		const char *out; /* when r is 0 or -EDOM */
	} t[] = {
		{"10.1.0.0/16", 0, "10.1.0.0/16"},
		{"10.1.2.3", 0, "10.1.2.3/32"},
		{"0.0.0.0/0", 0, "0.0.0.0/0"},
		{"::/0", 0, "::/0"},
		{"2001:db8::1", 0, "2001:db8::1/128"},
		{"fd00:1::/48", 0, "fd00:1::/48"},
		{"10.1.2.3/16", -EDOM, "10.1.0.0/16"},
		{"10.1.2.3/31", -EDOM, "10.1.2.2/31"},
		{"10.1.2.3/0", -EDOM, "0.0.0.0/0"},
		{"fd00:0:1::1/47", -EDOM, "fd00::/47"},
		{"10.1.0.0/33", -ERANGE, NULL},
		{"10.1.0.0/4294967304", -ERANGE, NULL},
		{"10.1.0.0/18446744073709551624", -ERANGE, NULL},
		{"::/129", -ERANGE, NULL},
		{"10.1.0.0/", -EINVAL, NULL},
		{"10.1.0.0/08", -EINVAL, NULL},
		{"10.1.0.0/+8", -EINVAL, NULL},
		{"10.1.0.0/-1", -EINVAL, NULL},
		{"10.1.0.0/8/8", -EINVAL, NULL},
		{"10.1.0.0/255.255.0.0", -EINVAL, NULL},
		{"10.1.0.0 /16", -EINVAL, NULL},
		{"/16", -EINVAL, NULL},
		{"", -EINVAL, NULL},
		{"1111111111111111111111111111111111111111111111111111111111111111111111111111/8",
		 -EINVAL, NULL},
	};
	char buf[ADDR_STRLEN];
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct prefix p;

		memset(&p, 0x5a, sizeof(p));
		assert_int_equal(addr_parse_prefix(t[i].in, &p), t[i].r);
		if (t[i].out)
			assert_string_equal(addr_print_prefix(&p, buf), t[i].out);
		else
			assert_int_equal(p.len, 0x5a);
	}
	assert_string_equal(addr_print_prefix(&(struct prefix){0}, buf), "-");
}

static void test_order(void **state)
{
	static const char *const ascending[] = {"0.0.0.0/0",	"10.0.0.0/8",  "10.0.0.0/9",
						"10.128.0.0/9", "255.0.0.0/8", "::/0",
						"::/128",	"fd00::/8"};
	struct prefix a, b;
	size_t n = sizeof(ascending) / sizeof(ascending[0]), i, j;

	for (i = 0; i < n; i++)
		for (j = 0; j < n; j++) {
			int c;

			a = pfx(ascending[i]);
			b = pfx(ascending[j]);
			c = addr_cmp_prefix(&a, &b);
			assert_int_equal((c > 0) - (c < 0), (i > j) - (i < j));
		}
}

static void test_containment(void **state)
{
	static const struct {
		const char *outer, *inner;
		bool contains, overlaps;
	} t[] = {
		{"10.0.0.0/8", "10.1.0.0/16", true, true},
		{"10.0.0.0/8", "10.0.0.0/8", true, true},
		{"10.1.0.0/16", "10.0.0.0/8", false, true},
		{"10.0.0.0/16", "10.0.0.0/8", false, true},
		{"10.0.0.0/8", "11.0.0.0/16", false, false},
		{"0.0.0.0/0", "255.255.255.255", true, true},
		{"0.0.0.0/0", "::/0", false, false},
		{"::/0", "0.0.0.0/0", false, false},
		{"::/0", "2001:db8::1", true, true},
		{"2001:db8::/33", "2001:db8:8000::/34", false, false},
		{"10.0.0.4/30", "10.0.0.7", true, true},
		{"10.0.0.4/30", "10.0.0.8", false, false},
		{"10.0.0.7", "10.0.0.7", true, true},
	};
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct prefix a = pfx(t[i].outer), b = pfx(t[i].inner);

		assert_int_equal(addr_contains(&a, &b), t[i].contains);
		assert_int_equal(addr_overlaps(&a, &b), t[i].overlaps);
		assert_int_equal(addr_overlaps(&b, &a), t[i].overlaps);
		if (b.len == addr_bits(b.addr.family))
			assert_int_equal(addr_in(&a, &b.addr), t[i].contains);
	}
}

static void test_host(void **state)
{
	struct ipaddr a = ip("192.0.2.1"), b = ip("2001:db8::1");
	char buf[ADDR_STRLEN];
	struct prefix p = addr_host(&a);

	assert_string_equal(addr_print_prefix(&p, buf), "192.0.2.1/32");
	p = addr_host(&b);
	assert_string_equal(addr_print_prefix(&p, buf), "2001:db8::1/128");
	p.len = 0;
	addr_mask(&p);
	assert_string_equal(addr_print_prefix(&p, buf), "::/0");
}

static void test_endpoint(void **state)
{
	static const struct {
		const char *addr;
		uint16_t port;
		uint32_t scope;
		const char *out;
		size_t len;
	} t[] = {
		{"192.0.2.1", 21820, 0, "192.0.2.1:21820", sizeof(struct sockaddr_in)},
		{"2001:db8::1", 65535, 0, "[2001:db8::1]:65535", sizeof(struct sockaddr_in6)},
		{"fe80::1", 1, 3, "[fe80::1%3]:1", sizeof(struct sockaddr_in6)},
		{"fe80:1111:2222:3333:4444:5555:6666:7777", 65535, UINT32_MAX,
		 "[fe80:1111:2222:3333:4444:5555:6666:7777%4294967295]:65535",
		 sizeof(struct sockaddr_in6)},
	};
	char buf[ADDR_STRLEN];
	size_t i, len;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct sockep e = {.addr = ip(t[i].addr), .port = t[i].port, .scope = t[i].scope};
		struct sockaddr_storage ss;
		struct sockep back;
		socklen_t ss_len;

		assert_string_equal(addr_print_ep(&e, buf), t[i].out);
		addr_to_sockaddr(&e, &ss, &ss_len);
		assert_int_equal(ss_len, t[i].len);
		for (len = 0; len < ss_len; len++)
			assert_int_equal(addr_from_sockaddr((struct sockaddr *)&ss, len, &back),
					 -EINVAL);
		assert_int_equal(addr_from_sockaddr((struct sockaddr *)&ss, ss_len, &back), 0);
		assert_true(addr_equal_ep(&e, &back));
		back.port ^= 1;
		assert_false(addr_equal_ep(&e, &back));
		back = e;
		back.scope++;
		assert_false(addr_equal_ep(&e, &back));
		back = e;
		back.addr.b[3] ^= 1;
		assert_false(addr_equal_ep(&e, &back));
	}
}

static void test_endpoint_odd(void **state)
{
	struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_scope_id = 7};
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(0x1234)};
	struct sockaddr un = {.sa_family = AF_UNIX};
	struct sockaddr_storage ss;
	struct sockep e = {0};
	char buf[ADDR_STRLEN];
	socklen_t len;

	assert_string_equal(addr_print_ep(&e, buf), "-");
	addr_to_sockaddr(&e, &ss, &len);
	assert_int_equal(len, 0);
	assert_int_equal(addr_from_sockaddr(&un, sizeof(un), &e), -EAFNOSUPPORT);
	inet_pton(AF_INET6, "2001:db8::1", &sin6.sin6_addr);
	assert_int_equal(addr_from_sockaddr((struct sockaddr *)&sin6, sizeof(sin6), &e), 0);
	assert_int_equal(e.scope, 0);
	assert_int_equal(addr_from_sockaddr((struct sockaddr *)&sin, sizeof(sin), &e), 0);
	assert_int_equal(e.port, 0x1234);
}

/* ---- flattening ---- */

/* One line per range, "FIRST-LAST OWNER". */
static void assert_flat(const struct addr_owned *in, size_t n, const char *want)
{
	char got[4096] = "", first[ADDR_STRLEN], last[ADDR_STRLEN];
	struct addr_range *ranges;
	struct arena a = {0};
	size_t n_ranges, i, len = 0;

	addr_flatten(&a, in, n, &ranges, &n_ranges);
	for (i = 0; i < n_ranges; i++)
		len += (size_t)snprintf(got + len, sizeof(got) - len, "%s-%s %d\n",
					addr_print(&ranges[i].first, first),
					addr_print(&ranges[i].last, last), ranges[i].owner);
	assert_string_equal(got, want);
	arena_done(&a);
}

#define FLAT(want, ...)                                               \
	do {                                                          \
		const struct addr_owned in_[] = {__VA_ARGS__};        \
		assert_flat(in_, sizeof(in_) / sizeof(in_[0]), want); \
	} while (0)

static void test_flatten_known(void **state)
{
	assert_flat(NULL, 0, "");
	FLAT("0.0.0.0-255.255.255.255 3\n", {pfx("0.0.0.0/0"), 3});
	FLAT("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 3\n", {pfx("::/0"), 3});
	FLAT("0.0.0.0-255.255.255.254 1\n255.255.255.255-255.255.255.255 2\n",
	     {pfx("0.0.0.0/0"), 1}, {pfx("255.255.255.255"), 2});
	FLAT("0.0.0.0-255.255.255.254 1\n", {pfx("0.0.0.0/0"), 1}, {pfx("255.255.255.255"), -1});
	FLAT("255.255.255.255-255.255.255.255 0\n", {pfx("0.0.0.0/0"), -1},
	     {pfx("255.255.255.255"), 0});
	FLAT("0.0.0.1-255.255.255.255 1\n", {pfx("0.0.0.0/0"), 1}, {pfx("0.0.0.0"), -1});
	FLAT("0.0.0.0-255.255.255.255 1\n", {pfx("0.0.0.0/0"), 1}, {pfx("10.0.0.0/8"), 1},
	     {pfx("255.255.255.255"), 1});
	/* a claim in a hole in a claim, and the same the other way round */
	FLAT("10.0.0.0-10.0.255.255 1\n10.1.1.0-10.1.1.255 2\n10.2.0.0-10.255.255.255 1\n",
	     {pfx("10.1.1.0/24"), 2}, {pfx("10.1.0.0/16"), -1}, {pfx("10.0.0.0/8"), 1});
	FLAT("10.1.0.0-10.1.0.255 2\n10.1.2.0-10.1.255.255 2\n", {pfx("10.1.1.0/24"), -2},
	     {pfx("10.1.0.0/16"), 2}, {pfx("10.0.0.0/8"), -1}, {pfx("10.1.1.0/25"), -1});
	/* equal prefixes */
	FLAT("", {pfx("10.0.0.0/8"), 0}, {pfx("10.0.0.0/8"), -1});
	FLAT("10.0.0.0-10.255.255.255 2\n", {pfx("10.0.0.0/8"), 5}, {pfx("10.0.0.0/8"), 2},
	     {pfx("10.0.0.0/8"), 3});
	/* neighbours */
	FLAT("10.0.0.0-11.255.255.255 1\n12.0.0.0-12.255.255.255 2\n", {pfx("11.0.0.0/8"), 1},
	     {pfx("12.0.0.0/8"), 2}, {pfx("10.0.0.0/8"), 1});
	FLAT("10.0.0.0-10.255.255.255 1\n12.0.0.0-12.255.255.255 1\n", {pfx("12.0.0.0/8"), 1},
	     {pfx("10.0.0.0/8"), 1});
}

static void test_flatten_deep(void **state)
{
	struct addr_owned in[129];
	struct addr_range *ranges;
	struct arena a = {0};
	size_t n, i;

	/* As deep as nesting gets, at both ends of the address space. */
	for (i = 0; i <= 128; i++)
		in[i] = (struct addr_owned){{.addr = ip("::"), .len = (uint8_t)i}, (int)i};
	addr_flatten(&a, in, 129, &ranges, &n);
	assert_int_equal(n, 129);
	for (i = 0; i < n; i++)
		assert_int_equal(ranges[i].owner, 128 - (int)i);
	for (i = 0; i <= 128; i++) {
		in[i].prefix.addr = ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
		addr_mask(&in[i].prefix);
	}
	addr_flatten(&a, in, 129, &ranges, &n);
	assert_int_equal(n, 129);
	for (i = 0; i < n; i++)
		assert_int_equal(ranges[i].owner, (int)i);
	arena_done(&a);
}

#define SPACE 256 /* addresses below a base of which only the last byte differs */

/* The owner of one address by asking every prefix; -1: nobody. */
static int oracle_owner(const struct addr_owned *in, size_t n, const struct ipaddr *a)
{
	const struct addr_owned *best = NULL;
	size_t i;

	for (i = 0; i < n; i++) {
		if (!addr_in(&in[i].prefix, a))
			continue;
		if (!best || in[i].prefix.len > best->prefix.len ||
		    (in[i].prefix.len == best->prefix.len && in[i].owner < best->owner))
			best = &in[i];
	}
	return best && best->owner >= 0 ? best->owner : -1;
}

static size_t oracle(const struct addr_owned *in, size_t n, struct ipaddr at, int owners[SPACE],
		     struct addr_range *want)
{
	uint8_t *low = &at.b[addr_bytes(at.family) - 1];
	size_t n_want = 0;
	unsigned int i;

	for (i = 0; i < SPACE; i++) {
		*low = (uint8_t)i;
		owners[i] = oracle_owner(in, n, &at);
		if (owners[i] < 0)
			continue;
		if (!i || owners[i] != owners[i - 1])
			want[n_want++] = (struct addr_range){.first = at, .owner = owners[i]};
		want[n_want - 1].last = at;
	}
	return n_want;
}

static void flatten_random(const char *base)
{
	static struct addr_range want[SPACE];
	struct ipaddr at = ip(base);
	unsigned int bits = addr_bits(at.family);
	struct addr_owned in[64];
	int owners[SPACE];
	size_t n = rnd(sizeof(in) / sizeof(in[0]) + 1), n_got, n_want, i;
	struct addr_range *got;
	struct arena a = {0};

	for (i = 0; i < n; i++) {
		in[i].prefix.addr = at;
		in[i].prefix.addr.b[bits / 8 - 1] = (uint8_t)rnd(SPACE);
		in[i].prefix.len = (uint8_t)(bits - rnd(9));
		addr_mask(&in[i].prefix);
		in[i].owner = (int)rnd(6) - 2;
	}
	n_want = oracle(in, n, at, owners, want);
	addr_flatten(&a, in, n, &got, &n_got);
	assert_int_equal(n_got, n_want);
	for (i = 0; i < n_got; i++) {
		assert_int_equal(addr_cmp(&got[i].first, &want[i].first), 0);
		assert_int_equal(addr_cmp(&got[i].last, &want[i].last), 0);
		assert_int_equal(got[i].owner, want[i].owner);
	}
	arena_done(&a);
}

static void test_flatten_oracle(void **state)
{
	static const char *const bases[] = {
		"0.0.0.0", "10.1.2.0",	"255.255.255.0",
		"::",	   "fd00::100", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff00",
	};
	unsigned int i;

	for (i = 0; i < 12000; i++)
		flatten_random(bases[i % 6]);
}

/* Prefixes of every length: compared where anything could change, at each end and beside it. */
static void flatten_wide(uint8_t family)
{
	struct addr_owned in[40];
	struct addr_range *got;
	struct arena a = {0};
	size_t n = 1 + rnd(40), n_got, i, k, hit;

	for (i = 0; i < n; i++) {
		struct prefix *p = &in[i].prefix;

		*p = (struct prefix){.addr.family = family};
		for (k = 0; k < addr_bytes(family); k++)
			p->addr.b[k] = rnd(2) ? 0 : 0xff;
		p->len = (uint8_t)rnd(addr_bits(family) + 1);
		addr_mask(p);
		in[i].owner = (int)rnd(5) - 1;
	}
	addr_flatten(&a, in, n, &got, &n_got);
	for (i = 0; i < 4 * n; i++) {
		struct ipaddr at = in[i / 4].prefix.addr;
		uint8_t len = in[i / 4].prefix.len;
		int owner = -1;

		for (k = len; (i & 1) && k < addr_bits(family); k++)
			at.b[k / 8] |= (uint8_t)(0x80 >> k % 8);
		for (k = addr_bytes(family); (i & 2) && k--;) { /* one further out; may wrap */
			at.b[k] = (uint8_t)(at.b[k] + (i & 1 ? 1 : -1));
			if (at.b[k] != (i & 1 ? 0 : 0xff))
				break;
		}
		for (hit = 0, k = 0; k < n_got; k++)
			if (addr_cmp(&got[k].first, &at) <= 0 && addr_cmp(&at, &got[k].last) <= 0) {
				owner = got[k].owner;
				hit++;
			}
		assert_true(hit <= 1);
		assert_int_equal(owner, oracle_owner(in, n, &at));
	}
	for (k = 1; k < n_got; k++)
		assert_true(addr_cmp(&got[k - 1].last, &got[k].first) < 0);
	arena_done(&a);
}

static void test_flatten_wide(void **state)
{
	unsigned int i;

	for (i = 0; i < 4000; i++)
		flatten_wide(i & 1 ? AF_INET6 : AF_INET);
}

static void test_flatten_many(void **state)
{
	const size_t n = 200000;
	struct addr_owned *in = xcalloc(n, sizeof(*in));
	struct addr_range *got;
	struct arena a = {0};
	size_t n_got, i;

	/* Every other /24 below one claim: quadratic work would take minutes. */
	in[0] = (struct addr_owned){pfx("0.0.0.0/0"), 0};
	for (i = 1; i < n; i++) {
		in[i].prefix = (struct prefix){{AF_INET, {0}}, 24};
		in[i].prefix.addr.b[0] = (uint8_t)(i >> 15);
		in[i].prefix.addr.b[1] = (uint8_t)(i >> 7);
		in[i].prefix.addr.b[2] = (uint8_t)(i << 1);
		in[i].owner = 1;
	}
	addr_flatten(&a, in, n, &got, &n_got);
	assert_int_equal(n_got, 2 * n - 1);
	arena_done(&a);
	free(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),	     cmocka_unit_test(test_parse_prefix),
		cmocka_unit_test(test_order),	     cmocka_unit_test(test_containment),
		cmocka_unit_test(test_host),	     cmocka_unit_test(test_endpoint),
		cmocka_unit_test(test_endpoint_odd), cmocka_unit_test(test_flatten_known),
		cmocka_unit_test(test_flatten_deep), cmocka_unit_test(test_flatten_oracle),
		cmocka_unit_test(test_flatten_wide), cmocka_unit_test(test_flatten_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
