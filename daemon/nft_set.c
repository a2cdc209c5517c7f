/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: Sets and maps. How they are declared (types, user data) is what nft 1.0.6 does for
 *
 *	type ipv4_addr [: verdict]; flags interval
 *	typeof numgen inc mod 1024 : verdict; counter
 *
 * so that it can list them without crashing. A range is an element where it starts and one, with
 * the flag INTERVAL_END, after its last address; neighbours have both at the same key, and what
 * reaches the end of the address space has a start alone. Invariant: what is declared and filled
 * here and read back is parsed into the same object. What rules do with sets is nft_expr.c's.
 */
#include "nft_set.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <libnftnl/expr.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

/* nft's numbers of data types, byte orders and expressions, as it keeps them in the kernel. */
#define TYPE_INTEGER  4
#define TYPE_IPADDR   7
#define TYPE_IP6ADDR  8
#define TYPE_PROTOCOL 12
#define ORDER_HOST    1
#define ORDER_BIG     2
#define EXPR_VERDICT  1
#define EXPR_NUMGEN   23

#define SLOT_ALIEN UINT8_MAX

static const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_DCCP, IPPROTO_SCTP,
				 IPPROTO_UDPLITE};
#define N_PROTOS (sizeof(protos) / sizeof(protos[0]))

const char *nft_set_table(enum nft_table_id id)
{
	return id == NFT_TABLE_STEER ? "wgscale" : "wgscale_guard";
}

/* ---- declaration ---- */

static void put_typeof_numgen(struct nftnl_udata_buf *u)
{
	struct nftnl_udata *key = nftnl_udata_nest_start(u, NFTNL_UDATA_SET_KEY_TYPEOF), *data;

	nftnl_udata_put_u32(u, NFTNL_UDATA_SET_TYPEOF_EXPR, EXPR_NUMGEN);
	data = nftnl_udata_nest_start(u, NFTNL_UDATA_SET_TYPEOF_DATA);
	nftnl_udata_put_u32(u, 0, NFT_NG_INCREMENTAL);
	nftnl_udata_put_u32(u, 1, MODEL_BUCKETS);
	nftnl_udata_put_u32(u, 2, 0); /* offset */
	nftnl_udata_nest_end(u, data);
	nftnl_udata_nest_end(u, key);
	data = nftnl_udata_nest_start(u, NFTNL_UDATA_SET_DATA_TYPEOF);
	nftnl_udata_put_u32(u, NFTNL_UDATA_SET_TYPEOF_EXPR, EXPR_VERDICT);
	/* Empty, but nft does not recognise the declaration without. */
	nftnl_udata_nest_end(u, nftnl_udata_nest_start(u, NFTNL_UDATA_SET_TYPEOF_DATA));
	nftnl_udata_nest_end(u, data);
}

/* The order of what nft puts there. */
static int put_userdata(struct nftnl_set *s, uint32_t order, bool map, bool buckets)
{
	struct nftnl_udata_buf *u = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);
	int err;

	if (!u)
		return -ENOMEM;
	nftnl_udata_put_u32(u, NFTNL_UDATA_SET_KEYBYTEORDER, order);
	if (map)
		nftnl_udata_put_u32(u, NFTNL_UDATA_SET_DATABYTEORDER, 0);
	else
		nftnl_udata_put_u32(u, NFTNL_UDATA_SET_MERGE_ELEMENTS, 0);
	if (buckets)
		put_typeof_numgen(u);
	if (map)
		nftnl_udata_put_u32(u, NFTNL_UDATA_SET_DATA_INTERVAL, 0);
	err = nftnl_set_set_data(s, NFTNL_SET_USERDATA, nftnl_udata_buf_data(u),
				 nftnl_udata_buf_len(u));
	nftnl_udata_buf_free(u);
	return err ? -ENOMEM : 0;
}

static struct nftnl_set *declare(enum nft_table_id table, const char *name, uint32_t id,
				 uint32_t flags)
{
	struct nftnl_set *s = nftnl_set_alloc();

	if (!s)
		return NULL;
	nftnl_set_set_u32(s, NFTNL_SET_FAMILY, NFPROTO_INET);
	nftnl_set_set_str(s, NFTNL_SET_TABLE, nft_set_table(table));
	nftnl_set_set_str(s, NFTNL_SET_NAME, name);
	nftnl_set_set_u32(s, NFTNL_SET_ID, id);
	nftnl_set_set_u32(s, NFTNL_SET_FLAGS, flags);
	if (flags & NFT_SET_MAP) {
		nftnl_set_set_u32(s, NFTNL_SET_DATA_TYPE, NFT_DATA_VERDICT);
		nftnl_set_set_u32(s, NFTNL_SET_DATA_LEN, 0);
	}
	return s;
}

static int declare_buckets(struct nftnl_set *s)
{
	struct nftnl_expr *counter = nftnl_expr_alloc("counter");

	if (!counter)
		return -ENOMEM;
	nftnl_set_add_expr(s, counter);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, TYPE_INTEGER);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, sizeof(uint32_t));
	/* A known size gets the table of fixed size, whose lookup is the cheapest. */
	nftnl_set_set_u32(s, NFTNL_SET_DESC_SIZE, MODEL_BUCKETS);
	return put_userdata(s, ORDER_HOST, true, true);
}

static int declare_nets(struct nftnl_set *s, const struct obj_nft_nets *nets)
{
	bool v6 = nets->family == AF_INET6;

	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, v6 ? TYPE_IP6ADDR : TYPE_IPADDR);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, addr_bytes(nets->family));
	return put_userdata(s, ORDER_BIG, nets->is_map, false);
}

struct nftnl_set *nft_set_declare(const struct obj *o, uint32_t id)
{
	bool buckets = o->kind == OBJ_NFT_BUCKETS;
	uint32_t flags = buckets ? NFT_SET_MAP : NFT_SET_INTERVAL;
	struct nftnl_set *s;
	int err;

	if (!buckets && o->nets.is_map)
		flags |= NFT_SET_MAP;
	s = declare(o->table, o->name, id, flags);
	if (!s)
		return NULL;
	err = buckets ? declare_buckets(s) : declare_nets(s, &o->nets);
	if (err) {
		nftnl_set_free(s);
		return NULL;
	}
	return s;
}

/* ---- elements ---- */

static struct nftnl_set_elem *add_elem(struct nftnl_set *s, const void *key, uint32_t len)
{
	struct nftnl_set_elem *e = nftnl_set_elem_alloc();

	if (!e)
		return NULL;
	if (nftnl_set_elem_set(e, NFTNL_SET_ELEM_KEY, key, len)) {
		nftnl_set_elem_free(e);
		return NULL;
	}
	nftnl_set_elem_add(s, e);
	return e;
}

static int set_goto(struct nftnl_set_elem *e, const char *chain)
{
	nftnl_set_elem_set_u32(e, NFTNL_SET_ELEM_VERDICT, (uint32_t)NFT_GOTO);
	return nftnl_set_elem_set_str(e, NFTNL_SET_ELEM_CHAIN, chain) ? -ENOMEM : 0;
}

struct nftnl_set *nft_set_declare_protos(enum nft_table_id table, uint32_t id)
{
	struct nftnl_set *s = declare(table, "__set%d", id, NFT_SET_ANONYMOUS | NFT_SET_CONSTANT);

	if (!s)
		return NULL;
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, TYPE_PROTOCOL);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, sizeof(protos[0]));
	nftnl_set_set_u32(s, NFTNL_SET_DESC_SIZE, N_PROTOS);
	if (put_userdata(s, ORDER_BIG, false, false))
		goto fail;
	for (size_t i = 0; i < N_PROTOS; i++)
		if (!add_elem(s, &protos[i], sizeof(protos[i])))
			goto fail;
	return s;
fail:
	nftnl_set_free(s);
	return NULL;
}

/* False when there is no address after it. */
static bool next_addr(struct ipaddr *a)
{
	for (int i = (int)addr_bytes(a->family) - 1; i >= 0; i--)
		if (++a->b[i])
			return true;
	return false;
}

static void prev_addr(struct ipaddr *a)
{
	for (int i = (int)addr_bytes(a->family) - 1; i >= 0; i--)
		if (a->b[i]--)
			return;
}

/* Without it nft shows a range to the end of the address space as its first address. */
static int set_open(struct nftnl_set_elem *e)
{
	struct nftnl_udata_buf *u = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);
	int err;

	if (!u)
		return -ENOMEM;
	nftnl_udata_put_u32(u, NFTNL_UDATA_SET_ELEM_FLAGS, NFTNL_SET_ELEM_F_INTERVAL_OPEN);
	err = nftnl_set_elem_set(e, NFTNL_SET_ELEM_USERDATA, nftnl_udata_buf_data(u),
				 nftnl_udata_buf_len(u));
	nftnl_udata_buf_free(u);
	return err ? -ENOMEM : 0;
}

int nft_set_add_range(struct nftnl_set *s, const struct nft_range *r, bool key_only)
{
	uint32_t len = addr_bytes(r->first.family);
	struct ipaddr end = r->last;
	struct nftnl_set_elem *e = add_elem(s, r->first.b, len);
	int err = 0;

	if (!e)
		return -ENOMEM;
	if (r->chain && !key_only)
		err = set_goto(e, r->chain);
	if (err)
		return err;
	if (!next_addr(&end))
		return key_only ? 0 : set_open(e);
	e = add_elem(s, end.b, len);
	if (!e)
		return -ENOMEM;
	nftnl_set_elem_set_u32(e, NFTNL_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
	return 0;
}

int nft_set_add_bucket(struct nftnl_set *s, unsigned int bucket, unsigned int slot, bool key_only)
{
	uint32_t key = bucket; /* in host byte order, as the hash leaves it in a register */
	struct nftnl_set_elem *e = add_elem(s, &key, sizeof(key));
	char chain[16];

	if (!e)
		return -ENOMEM;
	if (key_only)
		return 0;
	snprintf(chain, sizeof(chain), "lane%u", slot - 1);
	return set_goto(e, chain);
}

/* ---- what an observed set is ---- */

/* Adds 1 for a counter, more for anything else. */
static int count_counters(struct nftnl_expr *e, void *data)
{
	int *n = data;

	*n += strcmp(nftnl_expr_get_str(e, NFTNL_EXPR_NAME), "counter") == 0 ? 1 : 100;
	return 0;
}

/* One counter and nothing else. */
static bool set_counts(const struct nftnl_set *s)
{
	int n = 0;

	nftnl_set_expr_foreach(s, count_counters, &n);
	return n == 1;
}

static bool same_u32(const struct nftnl_set *a, const struct nftnl_set *b, uint16_t attr)
{
	return nftnl_set_get_u32(a, attr) == nftnl_set_get_u32(b, attr);
}

static bool same_declaration(const struct nftnl_set *have, const struct nftnl_set *want)
{
	static const uint16_t attrs[] = {NFTNL_SET_FLAGS, NFTNL_SET_KEY_TYPE, NFTNL_SET_KEY_LEN,
					 NFTNL_SET_DATA_TYPE, NFTNL_SET_DESC_SIZE};
	uint32_t have_len = 0, want_len = 0;
	const void *h = nftnl_set_get_data(have, NFTNL_SET_USERDATA, &have_len);
	const void *w = nftnl_set_get_data(want, NFTNL_SET_USERDATA, &want_len);

	for (size_t i = 0; i < sizeof(attrs) / sizeof(attrs[0]); i++)
		if (!same_u32(have, want, attrs[i]))
			return false;
	/* What nft would read there could crash it, or be shown as something else. */
	if (!h || !w || have_len != want_len || memcmp(h, w, have_len) != 0)
		return false;
	return set_counts(have) == set_counts(want);
}

struct elem {
	struct ipaddr key;
	bool end;
	const char *chain;
};

struct elems {
	struct arena *a;
	uint8_t family;
	bool bad;
	struct elem *items;
	size_t n;
};

static bool elem_plain(struct nftnl_set_elem *e, uint32_t key_len)
{
	uint32_t len = 0, flags = 0;

	if (nftnl_set_elem_is_set(e, NFTNL_SET_ELEM_FLAGS))
		flags = nftnl_set_elem_get_u32(e, NFTNL_SET_ELEM_FLAGS);
	return nftnl_set_elem_get(e, NFTNL_SET_ELEM_KEY, &len) && len == key_len &&
	       !(flags & ~(uint32_t)NFT_SET_ELEM_INTERVAL_END);
}

/* The chain that a map's element goes to, or "". */
static const char *elem_chain(struct nftnl_set_elem *e)
{
	const char *chain = NULL;

	if (nftnl_set_elem_is_set(e, NFTNL_SET_ELEM_VERDICT) &&
	    (int)nftnl_set_elem_get_u32(e, NFTNL_SET_ELEM_VERDICT) == NFT_GOTO &&
	    nftnl_set_elem_is_set(e, NFTNL_SET_ELEM_CHAIN))
		chain = nftnl_set_elem_get_str(e, NFTNL_SET_ELEM_CHAIN);
	return chain ? chain : "";
}

static int collect_elem(struct nftnl_set_elem *e, void *data)
{
	struct elems *all = data;
	struct elem *item;
	uint32_t len;

	if (!elem_plain(e, addr_bytes(all->family))) {
		all->bad = true;
		return 0;
	}
	item = arena_grow(all->a, (void **)&all->items, &all->n, sizeof(*item));
	item->key.family = all->family;
	memcpy(item->key.b, nftnl_set_elem_get(e, NFTNL_SET_ELEM_KEY, &len),
	       addr_bytes(all->family));
	item->end = nftnl_set_elem_is_set(e, NFTNL_SET_ELEM_FLAGS) &&
		    nftnl_set_elem_get_u32(e, NFTNL_SET_ELEM_FLAGS);
	item->chain = elem_chain(e);
	return 0;
}

static int cmp_elem(const void *x, const void *y)
{
	const struct elem *a = x, *b = y;
	int c = addr_cmp(&a->key, &b->key);

	return c ? c : (int)b->end - (int)a->end;
}

/* Pairs sorted starts and ends; an end that ends nothing, as nft puts at address 0, is nothing. */
static bool pair_elems(struct elems *all, struct obj_nft_nets *ret)
{
	ret->ranges = arena_alloc(all->a, all->n, sizeof(*ret->ranges));
	for (size_t i = 0; i < all->n; i++) {
		struct nft_range *r = &ret->ranges[ret->n_ranges];

		if (all->items[i].end)
			continue;
		r->first = all->items[i].key;
		if (ret->is_map)
			r->chain = arena_strdup(all->a, all->items[i].chain);
		if (i + 1 < all->n) {
			if (!all->items[i + 1].end)
				return false;
			r->last = all->items[i + 1].key;
			prev_addr(&r->last);
		} else {
			r->last.family = all->family;
			memset(r->last.b, 0xff, addr_bytes(all->family));
		}
		ret->n_ranges++;
	}
	return true;
}

static bool parse_nets(const struct nftnl_set *have, struct arena *a, struct obj *ret)
{
	struct elems all = {.a = a, .family = ret->nets.family};

	nftnl_set_elem_foreach((struct nftnl_set *)have, collect_elem, &all);
	if (all.bad)
		return false;
	if (all.n > 1)
		qsort(all.items, all.n, sizeof(*all.items), cmp_elem);
	return pair_elems(&all, &ret->nets);
}

/* The bucket of an element, or -1. */
static int elem_bucket(struct nftnl_set_elem *e)
{
	uint32_t key, len;

	if (!elem_plain(e, sizeof(key)))
		return -1;
	memcpy(&key, nftnl_set_elem_get(e, NFTNL_SET_ELEM_KEY, &len), sizeof(key));
	return key < MODEL_BUCKETS ? (int)key : -1;
}

static uint8_t lane_slot(const char *chain)
{
	uint64_t lane;

	/* want_build() writes no leading zeroes, so neither may this. */
	if (strncmp(chain, "lane", 4) != 0 || (chain[4] == '0' && chain[5]) ||
	    text_parse_u64(chain + 4, 0, MODEL_LANES_MAX - 1, &lane) != 0)
		return SLOT_ALIEN;
	return (uint8_t)(lane + 1);
}

static int take_bucket(struct nftnl_set_elem *e, void *data)
{
	struct obj_nft_buckets *b = data;
	int bucket = elem_bucket(e), counters = 0;

	if (bucket < 0)
		return -1;
	nftnl_set_elem_expr_foreach(e, count_counters, &counters);
	b->lane_slot[bucket] = counters == 1 ? lane_slot(elem_chain(e)) : SLOT_ALIEN;
	return 0;
}

static bool well_formed(const struct nftnl_set *have, struct arena *a, struct obj *ret)
{
	struct nftnl_set *want = nft_set_declare(ret, 0);
	bool same = want && same_declaration(have, want);

	if (want)
		nftnl_set_free(want);
	if (!same)
		return false;
	if (ret->kind == OBJ_NFT_NETS)
		return parse_nets(have, a, ret);
	return nftnl_set_elem_foreach((struct nftnl_set *)have, take_bucket, ret->buckets) == 0;
}

void nft_set_parse(const struct nftnl_set *have, struct arena *a, struct obj *ret)
{
	uint32_t flags = nftnl_set_get_u32(have, NFTNL_SET_FLAGS);
	struct obj o = {.kind = OBJ_NFT_NETS};

	o.name = arena_strdup(a, nftnl_set_get_str(have, NFTNL_SET_NAME));
	if (strcmp(nftnl_set_get_str(have, NFTNL_SET_TABLE), nft_set_table(NFT_TABLE_GUARD)) == 0)
		o.table = NFT_TABLE_GUARD;
	if (flags & NFT_SET_INTERVAL) {
		o.nets.is_map = flags & NFT_SET_MAP;
		o.nets.family = nftnl_set_get_u32(have, NFTNL_SET_KEY_TYPE) == TYPE_IP6ADDR
					? AF_INET6
					: AF_INET;
	} else {
		o.kind = OBJ_NFT_BUCKETS;
		o.buckets = arena_alloc(a, 1, sizeof(*o.buckets));
	}
	if (!well_formed(have, a, &o)) {
		o.kind = OBJ_NFT_NETS;
		o.nets = (struct obj_nft_nets){0};
	}
	*ret = o;
}

static int count_proto(struct nftnl_set_elem *e, void *data)
{
	unsigned int *seen = data;
	const uint8_t *key;
	uint32_t len = 0;

	if (!elem_plain(e, sizeof(protos[0])))
		return -1;
	key = nftnl_set_elem_get(e, NFTNL_SET_ELEM_KEY, &len);
	for (size_t i = 0; i < N_PROTOS; i++) {
		if (*key != protos[i])
			continue;
		*seen |= 1u << i;
		return 0;
	}
	return -1;
}

bool nft_set_is_protos(const struct nftnl_set *have)
{
	unsigned int seen = 0;

	return nftnl_set_get_u32(have, NFTNL_SET_FLAGS) == (NFT_SET_ANONYMOUS | NFT_SET_CONSTANT) &&
	       nftnl_set_elem_foreach((struct nftnl_set *)have, count_proto, &seen) == 0 &&
	       seen == (1u << N_PROTOS) - 1;
}

static int read_counter(struct nftnl_expr *e, void *data)
{
	struct kernel_bucket_count *c = data;

	if (strcmp(nftnl_expr_get_str(e, NFTNL_EXPR_NAME), "counter") == 0) {
		c->packets = nftnl_expr_get_u64(e, NFTNL_EXPR_CTR_PACKETS);
		c->bytes = nftnl_expr_get_u64(e, NFTNL_EXPR_CTR_BYTES);
	}
	return 0;
}

static int read_count(struct nftnl_set_elem *e, void *data)
{
	struct kernel_bucket_count *counts = data;
	int bucket = elem_bucket(e);

	if (bucket >= 0)
		nftnl_set_elem_expr_foreach(e, read_counter, &counts[bucket]);
	return 0;
}

void nft_set_counts(const struct nftnl_set *have, struct kernel_bucket_count counts[MODEL_BUCKETS])
{
	nftnl_set_elem_foreach((struct nftnl_set *)have, read_count, counts);
}
