/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: What our two tables hold, read from the kernel into a world; and the door to changing them
 * (nft_txn.c). Reads are several dumps: they count only if the generation of the whole ruleset is
 * the same before and after. Invariant: an object reported as wanted is in every respect what
 * applying it would make of it; a rule that is not reads "alien", a set that is not has family 0
 * (nft_set.c), a table that does not do its work (dormant) is reported as absent. What rules and
 * sets look like is in nft_expr.c and nft_set.c.
 */
#include "nft.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "nft_expr.h"
#include "nft_set.h"
#include "nft_txn.h"

#define TRIES 10
/* Of a base chain that is none of ours: no wanted chain has it. */
#define PRIORITY_ALIEN INT_MIN

struct nft {
	struct nl nl;
	char why[320];
};

int nft_open(struct nft **ret_nft)
{
	struct nft *n = xcalloc(1, sizeof(*n));
	int err = nl_open(&n->nl, NETLINK_NETFILTER);

	if (err) {
		free(n);
		return err;
	}
	*ret_nft = n;
	return 0;
}

void nft_close(struct nft *n)
{
	if (!n)
		return;
	nl_close(&n->nl);
	free(n);
}

/* ---- one look ---- */

struct set {
	struct nftnl_set *raw;
	bool protos, good; /* as nft_expr_set_fn asks */
};

struct look {
	struct nft *nft;
	struct arena *a;
	bool tables[2];
	struct set *sets;
	size_t n_sets;
	struct obj *objs;
	size_t n_objs;
	size_t n_chains;	 /* of objs, which starts with them */
	size_t at;		 /* the chain of the last rule */
	enum nft_table_id table; /* whose rules are read */
};

static int which_table(const char *name)
{
	for (int i = 0; name && i < 2; i++)
		if (strcmp(name, nft_set_table((enum nft_table_id)i)) == 0)
			return i;
	return -1;
}

static int no_memory(void)
{
	errno = ENOMEM;
	return MNL_CB_ERROR;
}

static int take_table(const struct nlmsghdr *nlh, void *data)
{
	struct look *l = data;
	struct nftnl_table *t = nftnl_table_alloc();
	int id;

	if (!t)
		return no_memory();
	if (nftnl_table_nlmsg_parse(nlh, t) == 0 &&
	    nftnl_table_get_u32(t, NFTNL_TABLE_FAMILY) == NFPROTO_INET) {
		id = which_table(nftnl_table_get_str(t, NFTNL_TABLE_NAME));
		if (id >= 0)
			l->tables[id] =
				!(nftnl_table_get_u32(t, NFTNL_TABLE_FLAGS) & NFT_TABLE_F_DORMANT);
	}
	nftnl_table_free(t);
	return MNL_CB_OK;
}

static enum nft_hook which_hook(const struct nftnl_chain *c)
{
	const char *type = nftnl_chain_get_str(c, NFTNL_CHAIN_TYPE);
	bool filter = type && strcmp(type, "filter") == 0;

	if (nftnl_chain_get_u32(c, NFTNL_CHAIN_POLICY) != NF_ACCEPT)
		return NFT_HOOK_NONE;
	switch (nftnl_chain_get_u32(c, NFTNL_CHAIN_HOOKNUM)) {
	case NF_INET_PRE_ROUTING:
		return filter ? NFT_HOOK_PREROUTING : NFT_HOOK_NONE;
	case NF_INET_LOCAL_OUT:
		return type && strcmp(type, "route") == 0 ? NFT_HOOK_OUTPUT_ROUTE : NFT_HOOK_NONE;
	case NF_INET_POST_ROUTING:
		return filter ? NFT_HOOK_POSTROUTING : NFT_HOOK_NONE;
	case NF_INET_FORWARD:
		return filter ? NFT_HOOK_FORWARD : NFT_HOOK_NONE;
	default:
		return NFT_HOOK_NONE;
	}
}

static void add_chain(struct look *l, const struct nftnl_chain *c, enum nft_table_id table)
{
	struct obj *o = arena_grow(l->a, (void **)&l->objs, &l->n_objs, sizeof(*o));

	l->n_chains++;
	o->kind = OBJ_NFT_CHAIN;
	o->table = table;
	o->name = arena_strdup(l->a, nftnl_chain_get_str(c, NFTNL_CHAIN_NAME));
	if (!nftnl_chain_is_set(c, NFTNL_CHAIN_HOOKNUM))
		return;
	o->chain.hook = which_hook(c);
	o->chain.priority = o->chain.hook == NFT_HOOK_NONE
				    ? PRIORITY_ALIEN
				    : nftnl_chain_get_s32(c, NFTNL_CHAIN_PRIO);
}

static int take_chain(const struct nlmsghdr *nlh, void *data)
{
	struct look *l = data;
	struct nftnl_chain *c = nftnl_chain_alloc();
	int id;

	if (!c)
		return no_memory();
	if (nftnl_chain_nlmsg_parse(nlh, c) == 0 &&
	    nftnl_chain_get_u32(c, NFTNL_CHAIN_FAMILY) == NFPROTO_INET &&
	    nftnl_chain_is_set(c, NFTNL_CHAIN_NAME)) {
		id = which_table(nftnl_chain_get_str(c, NFTNL_CHAIN_TABLE));
		if (id >= 0 && l->tables[id])
			add_chain(l, c, (enum nft_table_id)id);
	}
	nftnl_chain_free(c);
	return MNL_CB_OK;
}

static int take_set(const struct nlmsghdr *nlh, void *data)
{
	struct look *l = data;
	struct nftnl_set *s = nftnl_set_alloc();
	struct set *slot;

	if (!s)
		return no_memory();
	if (nftnl_set_nlmsg_parse(nlh, s) || !nftnl_set_is_set(s, NFTNL_SET_NAME) ||
	    which_table(nftnl_set_get_str(s, NFTNL_SET_TABLE)) < 0) {
		nftnl_set_free(s);
		return MNL_CB_OK;
	}
	slot = arena_grow(l->a, (void **)&l->sets, &l->n_sets, sizeof(*slot));
	slot->raw = s;
	return MNL_CB_OK;
}

static int take_elems(const struct nlmsghdr *nlh, void *data)
{
	errno = EBADMSG;
	return nftnl_set_elems_nlmsg_parse(nlh, data) < 0 ? MNL_CB_ERROR : MNL_CB_OK;
}

static bool set_ok(void *data, const char *name, bool protos)
{
	const struct look *l = data;

	for (size_t i = 0; i < l->n_sets; i++) {
		const struct set *s = &l->sets[i];

		if (strcmp(nftnl_set_get_str(s->raw, NFTNL_SET_NAME), name) == 0 &&
		    which_table(nftnl_set_get_str(s->raw, NFTNL_SET_TABLE)) == (int)l->table)
			return protos ? s->protos : s->good;
	}
	return false;
}

/* Rules come chain by chain, in the order of the chains. */
static struct obj *find_chain(struct look *l, enum nft_table_id table, const char *name)
{
	for (size_t i = 0; i < l->n_chains; i++) {
		struct obj *o = &l->objs[(l->at + i) % l->n_chains];

		if (o->table == table && strcmp(o->name, name) == 0) {
			l->at = (l->at + i) % l->n_chains;
			return o;
		}
	}
	return NULL;
}

static int take_rule(const struct nlmsghdr *nlh, void *data)
{
	struct look *l = data;
	struct nftnl_rule *r = nftnl_rule_alloc();
	char line[NFT_RULE_LINE_MAX + 1];
	struct obj *chain = NULL;
	const char **slot;
	int id;

	if (!r)
		return no_memory();
	if (nftnl_rule_nlmsg_parse(nlh, r) == 0 && nftnl_rule_is_set(r, NFTNL_RULE_CHAIN)) {
		id = which_table(nftnl_rule_get_str(r, NFTNL_RULE_TABLE));
		if (id == (int)l->table)
			chain = find_chain(l, l->table, nftnl_rule_get_str(r, NFTNL_RULE_CHAIN));
	}
	if (chain) {
		nft_expr_line(r, set_ok, l, line);
		slot = arena_grow(l->a, (void **)&chain->chain.rules, &chain->chain.n_rules,
				  sizeof(*slot));
		*slot = arena_strdup(l->a, line);
	}
	nftnl_rule_free(r);
	return MNL_CB_OK;
}

/* A dump of one kind of thing; what was asked is remembered for the error. */
static int dump(struct nft *n, uint16_t type, const char *table, const char *set, mnl_cb_t cb,
		void *data)
{
	char buf[1024];
	struct nlmsghdr *nlh = nftnl_nlmsg_build_hdr(buf, type, NFPROTO_INET, 0, 0);
	int err;

	/* The same number for rules, sets and elements; tables and chains come unfiltered. */
	if (table)
		mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, table);
	if (set)
		mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, set);
	err = nl_dump(&n->nl, nlh, cb, data);
	if (err)
		snprintf(n->why, sizeof(n->why), "nf_tables dump %u of %s %s: %s", type,
			 table ? table : "all", set ? set : "",
			 n->nl.why[0] ? n->nl.why : strerror(-err));
	return err;
}

static int take_generation(const struct nlmsghdr *nlh, void *data)
{
	const struct nlattr *tb[NFTA_GEN_ID + 1];

	if (!nl_msg_attrs(nlh, sizeof(struct nfgenmsg), tb, NFTA_GEN_ID))
		*(uint32_t *)data = ntohl(nl_u32(tb[NFTA_GEN_ID], 0));
	return MNL_CB_OK;
}

static int generation(struct nft *n, uint32_t *ret)
{
	char buf[256];
	struct nlmsghdr *nlh = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETGEN, AF_UNSPEC, 0, 0);
	int err = nl_talk(&n->nl, nlh, take_generation, ret);

	if (err)
		snprintf(n->why, sizeof(n->why), "nf_tables generation: %s",
			 n->nl.why[0] ? n->nl.why : strerror(-err));
	return err;
}

static void judge_set(struct look *l, struct set *s)
{
	struct obj o, *slot;

	s->protos = nft_set_is_protos(s->raw);
	if (nftnl_set_get_u32(s->raw, NFTNL_SET_FLAGS) & NFT_SET_ANONYMOUS)
		return; /* part of a rule */
	nft_set_parse(s->raw, l->a, &o);
	s->good = o.kind == OBJ_NFT_BUCKETS || o.nets.family;
	slot = arena_grow(l->a, (void **)&l->objs, &l->n_objs, sizeof(*slot));
	*slot = o;
}

static int look_at_table(struct look *l, enum nft_table_id id)
{
	const char *table = nft_set_table(id);
	size_t first = l->n_sets;
	int err = dump(l->nft, NFT_MSG_GETSET, table, NULL, take_set, l);

	for (size_t i = first; i < l->n_sets && !err; i++) {
		struct set *s = &l->sets[i];

		err = dump(l->nft, NFT_MSG_GETSETELEM, table,
			   nftnl_set_get_str(s->raw, NFTNL_SET_NAME), take_elems, s->raw);
		if (!err)
			judge_set(l, s);
	}
	if (err)
		return err;
	l->table = id;
	return dump(l->nft, NFT_MSG_GETRULE, table, NULL, take_rule, l);
}

static int look_at_all(struct look *l)
{
	uint32_t before = 0, after = 0;
	int err = generation(l->nft, &before);

	err = err ? err : dump(l->nft, NFT_MSG_GETTABLE, NULL, NULL, take_table, l);
	err = err ? err : dump(l->nft, NFT_MSG_GETCHAIN, NULL, NULL, take_chain, l);
	for (int i = 0; i < 2 && !err; i++)
		if (l->tables[i])
			err = look_at_table(l, (enum nft_table_id)i);
	/* Asked after an error, too: what was there a moment ago may have been removed. */
	if (generation(l->nft, &after) == 0 && after != before) {
		strcpy(l->nft->why, "nf_tables changes all the time");
		return -EAGAIN;
	}
	return err;
}

static void look_done(struct look *l)
{
	for (size_t i = 0; i < l->n_sets; i++)
		nftnl_set_free(l->sets[i].raw);
}

static void report(const struct look *l, struct world *ret)
{
	for (int i = 0; i < 2; i++)
		if (l->tables[i])
			world_add(ret, OBJ_NFT_TABLE)->table = (enum nft_table_id)i;
	for (size_t i = 0; i < l->n_objs; i++)
		*world_add(ret, l->objs[i].kind) = l->objs[i];
}

int nft_observe(struct nft *n, struct world *ret, const char **ret_why)
{
	int err = -EAGAIN;

	for (int i = 0; i < TRIES && (err == -EAGAIN || err == -EINTR); i++) {
		struct look l = {.nft = n, .a = &ret->arena};

		err = look_at_all(&l);
		if (!err)
			report(&l, ret);
		look_done(&l);
	}
	if (err)
		*ret_why = n->why;
	return err;
}

size_t nft_apply(struct nft *n, struct op *ops, size_t n_ops, struct arena *a)
{
	return nft_txn_run(&n->nl, ops, n_ops, a);
}

int nft_bucket_counts(struct nft *n, const char *map,
		      struct kernel_bucket_count ret_counts[MODEL_BUCKETS])
{
	int err = -EAGAIN;

	for (int i = 0; i < TRIES && (err == -EAGAIN || err == -EINTR); i++) {
		struct nftnl_set *s = nftnl_set_alloc();

		if (!s)
			return -ENOMEM;
		err = dump(n, NFT_MSG_GETSETELEM, nft_set_table(NFT_TABLE_STEER), map, take_elems,
			   s);
		if (!err) {
			memset(ret_counts, 0, MODEL_BUCKETS * sizeof(*ret_counts));
			nft_set_counts(s, ret_counts);
		}
		nftnl_set_free(s);
	}
	return err;
}
