/* SPDX-License-Identifier: GPL-2.0-only */
// link: daemon/nft_set.o -lnftnl -lmnl
/*
 * DOC: Sets: random ranges and buckets through netlink bytes and back; the two ends of the address
 * space; and what is not a set of ours.
 */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "nft_set.h"

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

/* libnftnl numbers the elements it sends, and reads only what is marked as the kernel does. */
static void mark_elems(struct nlmsghdr *nlh)
{
	struct nlattr *list, *elem;

	mnl_attr_for_each(list, nlh, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(list) != NFTA_SET_ELEM_LIST_ELEMENTS)
			continue;
		mnl_attr_for_each_nested(elem, list) elem->nla_type = NLA_F_NESTED | NFTA_LIST_ELEM;
	}
}

/* As if sent and read back, elements included. */
static struct nftnl_set *trip(struct nftnl_set *s)
{
	size_t size = 1024 * 1024;
	char *buf = calloc(1, size);
	struct nftnl_set *back = nftnl_set_alloc();
	struct nlmsghdr *nlh;

	assert_non_null(buf);
	nlh = nftnl_nlmsg_build_hdr(buf, NFT_MSG_NEWSET, NFPROTO_INET, 0, 0);
	nftnl_set_nlmsg_build_payload(nlh, s);
	assert_int_equal(nftnl_set_nlmsg_parse(nlh, back), 0);
	memset(buf, 0, size);
	nlh = nftnl_nlmsg_build_hdr(buf, NFT_MSG_NEWSETELEM, NFPROTO_INET, 0, 0);
	nftnl_set_elems_nlmsg_build_payload(nlh, s);
	mark_elems(nlh);
	assert_int_equal(nftnl_set_elems_nlmsg_parse(nlh, back), 0);
	free(buf);
	return back;
}

static struct obj nets(uint8_t family, bool map)
{
	return (struct obj){.kind = OBJ_NFT_NETS,
			    .table = NFT_TABLE_GUARD,
			    .name = "nets",
			    .nets = {.family = family, .is_map = map}};
}

static struct obj parse_free(struct nftnl_set *s, struct arena *a)
{
	struct nftnl_set *back = trip(s);
	struct obj o;

	nft_set_parse(back, a, &o);
	nftnl_set_free(back);
	nftnl_set_free(s);
	return o;
}

static void expect_alien(struct nftnl_set *s)
{
	struct arena a = {0};
	struct obj o = parse_free(s, &a);

	assert_int_equal(o.kind, OBJ_NFT_NETS);
	assert_int_equal(o.nets.family, 0);
	assert_int_equal(o.nets.n_ranges, 0);
	arena_done(&a);
}

static void expect_ranges(const struct obj *want)
{
	struct nftnl_set *s = nft_set_declare(want, 1);
	struct arena a = {0};
	struct obj have;

	/* In any order. */
	for (size_t i = want->nets.n_ranges; i-- > 0;)
		assert_int_equal(nft_set_add_range(s, &want->nets.ranges[i], false), 0);
	have = parse_free(s, &a);
	assert_int_equal(have.kind, OBJ_NFT_NETS);
	assert_int_equal(have.table, NFT_TABLE_GUARD);
	assert_string_equal(have.name, "nets");
	assert_int_equal(have.nets.family, want->nets.family);
	assert_int_equal(have.nets.is_map, want->nets.is_map);
	assert_int_equal(have.nets.n_ranges, want->nets.n_ranges);
	for (size_t i = 0; i < want->nets.n_ranges; i++) {
		const struct nft_range *w = &want->nets.ranges[i], *h = &have.nets.ranges[i];

		assert_int_equal(addr_cmp(&w->first, &h->first), 0);
		assert_int_equal(addr_cmp(&w->last, &h->last), 0);
		if (want->nets.is_map)
			assert_string_equal(w->chain, h->chain);
		else
			assert_null(h->chain);
	}
	arena_done(&a);
}

/* Ranges over a space of 2^16 addresses at one of its ends, often neighbours. */
static void random_ranges(void **state)
{
	static const char *const chains[] = {"a", "b", "c"};

	for (int round = 0; round < 500; round++) {
		uint8_t family = rnd(2) ? AF_INET6 : AF_INET;
		struct obj want = nets(family, rnd(2));
		struct nft_range ranges[64] = {0};
		uint32_t at = rnd(2) ? rnd(100) : 0, base = rnd(2) ? 0xff : 0;

		want.nets.ranges = ranges;
		while (want.nets.n_ranges < 64 && at < 65536) {
			struct nft_range *r = &ranges[want.nets.n_ranges++];
			uint32_t last = at + (rnd(3) ? 0 : rnd(5000)), n = addr_bytes(family);

			if (last > 65535 || rnd(40) == 0)
				last = 65535;
			r->first.family = r->last.family = family;
			memset(r->first.b, (int)base, n);
			memset(r->last.b, (int)base, n);
			r->first.b[n - 2] = (uint8_t)(at >> 8);
			r->first.b[n - 1] = (uint8_t)at;
			r->last.b[n - 2] = (uint8_t)(last >> 8);
			r->last.b[n - 1] = (uint8_t)last;
			r->chain = want.nets.is_map ? chains[rnd(3)] : NULL;
			at = last + 1 + (rnd(2) ? rnd(3000) : 0);
		}
		expect_ranges(&want);
	}
}

static void whole_space(void **state)
{
	struct nft_range r4 = {.first = ip("0.0.0.0"), .last = ip("255.255.255.255")};
	struct nft_range r6 = {.first = ip("::"),
			       .last = ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
			       .chain = "x"};
	struct nft_range top = {.first = ip("255.255.255.255"), .last = ip("255.255.255.255")};
	struct obj want = nets(AF_INET, false);

	want.nets.ranges = &r4;
	want.nets.n_ranges = 1;
	expect_ranges(&want);
	want.nets.ranges = &top;
	expect_ranges(&want);
	want = nets(AF_INET6, true);
	want.nets.ranges = &r6;
	want.nets.n_ranges = 1;
	expect_ranges(&want);
	want.nets.n_ranges = 0;
	expect_ranges(&want);
}

static struct nftnl_set_elem *first_elem(struct nftnl_set *s)
{
	struct nftnl_set_elems_iter *i = nftnl_set_elems_iter_create(s);
	struct nftnl_set_elem *e = nftnl_set_elems_iter_cur(i);

	nftnl_set_elems_iter_destroy(i);
	return e;
}

static int count_elem(struct nftnl_set_elem *e, void *data)
{
	++*(unsigned int *)data;
	return 0;
}

/* Up to the last address: a start alone, marked for nft; else a start and an end. */
static void open_range(void **state)
{
	struct obj want = nets(AF_INET, false);
	struct nft_range r = {.first = ip("10.0.0.0"), .last = ip("255.255.255.255")};
	struct nftnl_set *s = nft_set_declare(&want, 1);
	struct nftnl_set_elem *e;
	unsigned int n = 0;
	uint32_t len = 0;

	nft_set_add_range(s, &r, false);
	nftnl_set_elem_foreach(s, count_elem, &n);
	assert_int_equal(n, 1);
	e = first_elem(s);
	assert_memory_equal(nftnl_set_elem_get(e, NFTNL_SET_ELEM_USERDATA, &len), "\1\4\1\0\0\0",
			    6);
	assert_int_equal(len, 6);
	nftnl_set_free(s);

	s = nft_set_declare(&want, 1);
	r.last = ip("10.0.0.0");
	nft_set_add_range(s, &r, false);
	n = 0;
	nftnl_set_elem_foreach(s, count_elem, &n);
	assert_int_equal(n, 2);
	assert_false(nftnl_set_elem_is_set(first_elem(s), NFTNL_SET_ELEM_USERDATA));
	nftnl_set_free(s);
}

static void add_end(struct nftnl_set *s, const char *addr)
{
	struct nftnl_set_elem *e = nftnl_set_elem_alloc();
	struct ipaddr a = ip(addr);

	nftnl_set_elem_set(e, NFTNL_SET_ELEM_KEY, a.b, addr_bytes(a.family));
	nftnl_set_elem_set_u32(e, NFTNL_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
	nftnl_set_elem_add(s, e);
}

/* nft puts an end at address 0 in front of the first range. */
static void end_of_nothing(void **state)
{
	struct obj want = nets(AF_INET, false), have;
	struct nft_range r = {.first = ip("10.0.0.0"), .last = ip("10.255.255.255")};
	struct nftnl_set *s = nft_set_declare(&want, 1);
	struct arena a = {0};

	add_end(s, "0.0.0.0");
	nft_set_add_range(s, &r, false);
	have = parse_free(s, &a);
	assert_int_equal(have.nets.family, AF_INET);
	assert_int_equal(have.nets.n_ranges, 1);
	assert_int_equal(addr_cmp(&have.nets.ranges[0].first, &r.first), 0);
	arena_done(&a);
}

static void alien_nets(void **state)
{
	struct obj set = nets(AF_INET, false), map = nets(AF_INET6, true);
	struct nft_range r = {.first = ip("10.0.0.0"), .last = ip("10.255.255.255")};
	struct nft_range open = {.first = ip("9.0.0.0"), .last = ip("255.255.255.255")};
	struct nftnl_set *s;

	s = nft_set_declare(&set, 1); /* two starts without an end between */
	nft_set_add_range(s, &r, false);
	nft_set_add_range(s, &open, false);
	expect_alien(s);
	s = nft_set_declare(&set, 1);
	nftnl_set_set_u32(s, NFTNL_SET_FLAGS, NFT_SET_INTERVAL | NFT_SET_TIMEOUT);
	expect_alien(s);
	s = nft_set_declare(&set, 1);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, 5);
	expect_alien(s);
	s = nft_set_declare(&set, 1);
	nftnl_set_add_expr(s, nftnl_expr_alloc("counter"));
	expect_alien(s);
	s = nft_set_declare(&set, 1);
	nftnl_set_set_u32(s, NFTNL_SET_DESC_SIZE, 3);
	expect_alien(s);
	s = nft_set_declare(&map, 1);
	nftnl_set_set_u32(s, NFTNL_SET_DATA_TYPE, 19);
	expect_alien(s);
	s = nft_set_declare(&set, 1); /* catches all */
	nft_set_add_range(s, &open, false);
	nftnl_set_elem_set_u32(first_elem(s), NFTNL_SET_ELEM_FLAGS, 2);
	expect_alien(s);
}

static struct obj buckets(struct obj_nft_buckets *b)
{
	return (struct obj){.kind = OBJ_NFT_BUCKETS, .name = "b-x", .buckets = b};
}

/* As the kernel gives each element a counter of its own. */
static int add_counter(struct nftnl_set_elem *e, void *data)
{
	struct nftnl_expr *c = nftnl_expr_alloc("counter");
	uint64_t *n = data;

	nftnl_expr_set_u64(c, NFTNL_EXPR_CTR_PACKETS, ++*n);
	nftnl_expr_set_u64(c, NFTNL_EXPR_CTR_BYTES, 100 * *n);
	nftnl_set_elem_add_expr(e, c);
	return 0;
}

static void random_buckets(void **state)
{
	for (int round = 0; round < 50; round++) {
		struct obj_nft_buckets b = {0};
		struct obj want = buckets(&b), have;
		struct nftnl_set *s = nft_set_declare(&want, 1);
		struct arena a = {0};
		uint64_t n = 0;

		for (unsigned int i = 0; i < MODEL_BUCKETS; i++) {
			/* About half of them: one message has no room for all with counters. */
			b.lane_slot[i] = rnd(2) ? (uint8_t)rnd(MODEL_LANES_MAX + 1) : 0;
			if (b.lane_slot[i])
				nft_set_add_bucket(s, i, b.lane_slot[i], false);
		}
		nftnl_set_elem_foreach(s, add_counter, &n);
		have = parse_free(s, &a);
		assert_int_equal(have.kind, OBJ_NFT_BUCKETS);
		assert_int_equal(have.table, NFT_TABLE_STEER);
		assert_string_equal(have.name, "b-x");
		assert_memory_equal(have.buckets, &b, sizeof(b));
		arena_done(&a);
	}
}

static void counts(void **state)
{
	struct kernel_bucket_count c[MODEL_BUCKETS] = {0};
	struct obj_nft_buckets b = {0};
	struct obj want = buckets(&b);
	struct nftnl_set *s = nft_set_declare(&want, 1), *back;
	uint64_t n = 0;

	nft_set_add_bucket(s, 0, 1, false);
	nft_set_add_bucket(s, 1023, 1, false);
	nftnl_set_elem_foreach(s, add_counter, &n);
	back = trip(s);
	nft_set_counts(back, c);
	assert_int_equal(c[0].packets, 1);
	assert_int_equal(c[0].bytes, 100);
	assert_int_equal(c[1].packets, 0);
	assert_int_equal(c[1023].packets, 2);
	assert_int_equal(c[1023].bytes, 200);
	nftnl_set_free(back);
	nftnl_set_free(s);
}

/* What one element of a bucket map reads as. */
static int slot_of(const char *chain, int verdict, bool counter)
{
	struct obj_nft_buckets b = {0};
	struct obj want = buckets(&b), have;
	struct nftnl_set *s = nft_set_declare(&want, 1);
	struct nftnl_set_elem *e = nftnl_set_elem_alloc();
	uint32_t key = 5;
	struct arena a = {0};
	uint64_t n = 0;
	int slot;

	nftnl_set_elem_set(e, NFTNL_SET_ELEM_KEY, &key, sizeof(key));
	nftnl_set_elem_set_u32(e, NFTNL_SET_ELEM_VERDICT, (uint32_t)verdict);
	if (chain)
		nftnl_set_elem_set_str(e, NFTNL_SET_ELEM_CHAIN, chain);
	if (counter)
		add_counter(e, &n);
	nftnl_set_elem_add(s, e);
	have = parse_free(s, &a);
	assert_int_equal(have.kind, OBJ_NFT_BUCKETS);
	slot = have.buckets->lane_slot[5];
	arena_done(&a);
	return slot;
}

static void alien_elements(void **state)
{
	assert_int_equal(slot_of("lane0", NFT_GOTO, true), 1);
	assert_int_equal(slot_of("lane63", NFT_GOTO, true), 64);
	assert_int_equal(slot_of("lane0", NFT_GOTO, false), UINT8_MAX);
	assert_int_equal(slot_of("lane0", NFT_JUMP, true), UINT8_MAX);
	assert_int_equal(slot_of("lane64", NFT_GOTO, true), UINT8_MAX);
	assert_int_equal(slot_of("lane01", NFT_GOTO, true), UINT8_MAX);
	assert_int_equal(slot_of("lane", NFT_GOTO, true), UINT8_MAX);
	assert_int_equal(slot_of("lane0x1", NFT_GOTO, true), UINT8_MAX);
	assert_int_equal(slot_of("other", NFT_GOTO, true), UINT8_MAX);
	assert_int_equal(slot_of(NULL, NF_DROP, true), UINT8_MAX);
}

static void alien_buckets(void **state)
{
	struct obj_nft_buckets b = {0};
	struct obj want = buckets(&b);
	struct nftnl_set *s;

	s = nft_set_declare(&want, 1);
	nftnl_set_set_u32(s, NFTNL_SET_DESC_SIZE, 512);
	expect_alien(s);
	s = nft_set_declare(&want, 1); /* what crashes nft */
	nftnl_set_set_data(s, NFTNL_SET_USERDATA, "\0\4\1\0\0\0", 6);
	expect_alien(s);
	s = nft_set_declare(&want, 1);
	nft_set_add_bucket(s, MODEL_BUCKETS, 1, false);
	expect_alien(s);
	s = nft_set_declare(&want, 1);
	nft_set_add_bucket(s, 1, 1, false);
	nftnl_set_elem_set_u32(first_elem(s), NFTNL_SET_ELEM_FLAGS, 2);
	expect_alien(s);
}

static void protocols(void **state)
{
	struct nftnl_set *s = nft_set_declare_protos(NFT_TABLE_STEER, 9), *back = trip(s);
	struct nftnl_set_elem *e = nftnl_set_elem_alloc();
	uint8_t icmp = 1, tcp = 6;

	assert_true(nft_set_is_protos(back));
	nftnl_set_elem_set(e, NFTNL_SET_ELEM_KEY, &icmp, sizeof(icmp));
	nftnl_set_elem_add(back, e);
	assert_false(nft_set_is_protos(back));
	nftnl_set_free(back);
	back = trip(s);
	nftnl_set_set_u32(back, NFTNL_SET_FLAGS, NFT_SET_CONSTANT);
	assert_false(nft_set_is_protos(back));
	nftnl_set_free(back);
	nftnl_set_free(s);

	s = nftnl_set_alloc(); /* only one of them */
	nftnl_set_set_u32(s, NFTNL_SET_FLAGS, NFT_SET_ANONYMOUS | NFT_SET_CONSTANT);
	e = nftnl_set_elem_alloc();
	nftnl_set_elem_set(e, NFTNL_SET_ELEM_KEY, &tcp, sizeof(tcp));
	nftnl_set_elem_add(s, e);
	assert_false(nft_set_is_protos(s));
	nftnl_set_free(s);
}

/* Requests to delete name keys alone. */
static void keys_only(void **state)
{
	struct obj want = nets(AF_INET, true);
	struct nft_range r = {.first = ip("10.0.0.0"), .last = ip("255.255.255.255"), .chain = "x"};
	struct nftnl_set *s = nft_set_declare(&want, 1);

	nft_set_add_range(s, &r, true);
	assert_false(nftnl_set_elem_is_set(first_elem(s), NFTNL_SET_ELEM_CHAIN));
	assert_false(nftnl_set_elem_is_set(first_elem(s), NFTNL_SET_ELEM_USERDATA));
	nftnl_set_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_ranges), cmocka_unit_test(whole_space),
		cmocka_unit_test(open_range),	 cmocka_unit_test(end_of_nothing),
		cmocka_unit_test(alien_nets),	 cmocka_unit_test(random_buckets),
		cmocka_unit_test(counts),	 cmocka_unit_test(alien_elements),
		cmocka_unit_test(alien_buckets), cmocka_unit_test(protocols),
		cmocka_unit_test(keys_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
