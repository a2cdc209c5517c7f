/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: One transaction. An op stands for a whole object (a chain with its rules, a set with its
 * elements); here it becomes messages, and these are ordered so that the kernel, which takes them
 * one by one, finds at each what it refers to: first away with what is old, then the new from
 * tables down to rules. Packets see only before and after. Of a set or bucket map only the
 * elements that differ are sent, so that the others keep their counters. Invariant: all ops
 * succeed, or none does and each says why.
 */
#include "nft_txn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <libnftnl/batch.h>
#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "nft_expr.h"
#include "nft_set.h"

/* More than any message takes: a rule, or ELEMS_MAX elements of a chain name of 255 bytes each. */
#define MSG_ROOM  (128 * 1024)
#define ELEMS_MAX 128 /* of one message: its list is an attribute, of 64 KiB at most */
#define TRIES	  3
#define NO_OP	  SIZE_MAX
#define RESTART	  85 /* ERESTART, which user space has no name for */

struct message {
	size_t op;
	const char *what; /* part of the op, or NULL */
};

struct txn {
	struct nl *nl;
	struct arena *arena;
	struct op *ops;
	size_t n_ops;
	char *buf;
	size_t len, cap;
	struct message *messages;
	size_t n_messages;
	uint32_t next_id; /* of new sets, within the transaction */
	/* The first failure. */
	int error;
	size_t error_op;
	const char *why;
};

static const struct obj *op_obj(const struct op *op)
{
	return op->want ? op->want : op->have;
}

static void fail(struct txn *t, size_t op, int error, const char *why)
{
	if (t->error)
		return;
	t->error = error;
	t->error_op = op;
	t->why = why;
}

/* ---- messages ---- */

static void *room(struct txn *t)
{
	if (t->cap - t->len < MSG_ROOM) {
		t->cap = 2 * t->cap + MSG_ROOM;
		t->buf = xrealloc(t->buf, t->cap, 1);
	}
	return t->buf + t->len;
}

static void message_done(struct txn *t, const struct nlmsghdr *nlh, size_t op, const char *what)
{
	struct message *m = arena_grow(t->arena, (void **)&t->messages, &t->n_messages, sizeof(*m));

	m->op = op;
	m->what = what;
	t->len += NLMSG_ALIGN(nlh->nlmsg_len);
}

static struct nlmsghdr *message(struct txn *t, uint16_t type, uint16_t flags)
{
	return nftnl_nlmsg_build_hdr(room(t), type, NFPROTO_INET, flags, 0);
}

/* A request that only names things: NFTA_*_TABLE is 1 for all of them. */
static void named(struct txn *t, uint16_t type, uint16_t flags, size_t op, uint16_t name_attr)
{
	const struct obj *o = op_obj(&t->ops[op]);
	struct nlmsghdr *nlh = message(t, type, flags);

	mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, nft_set_table(o->table));
	if (name_attr)
		mnl_attr_put_strz(nlh, name_attr, o->name);
	message_done(t, nlh, op, NULL);
}

/* ---- elements, several messages of them if need be ---- */

struct elems {
	struct txn *t;
	size_t op;
	bool del;
	struct nftnl_set *set;
	unsigned int n;
};

static struct nftnl_set *name_set(const struct obj *o)
{
	struct nftnl_set *s = nftnl_set_alloc();

	if (s) {
		nftnl_set_set_str(s, NFTNL_SET_TABLE, nft_set_table(o->table));
		nftnl_set_set_str(s, NFTNL_SET_NAME, o->name);
	}
	return s;
}

static void elems_flush(struct elems *e)
{
	struct nlmsghdr *nlh;

	if (!e->set)
		return;
	nlh = message(e->t, e->del ? NFT_MSG_DELSETELEM : NFT_MSG_NEWSETELEM,
		      e->del ? 0 : NLM_F_CREATE);
	nftnl_set_elems_nlmsg_build_payload(nlh, e->set);
	message_done(e->t, nlh, e->op, "elements");
	nftnl_set_free(e->set);
	e->set = NULL;
	e->n = 0;
}

/* The set to put the next one or two elements into, or NULL. */
static struct nftnl_set *elems_next(struct elems *e)
{
	if (e->n >= ELEMS_MAX)
		elems_flush(e);
	e->n += 2;
	if (!e->set)
		e->set = name_set(op_obj(&e->t->ops[e->op]));
	if (!e->set)
		fail(e->t, e->op, -ENOMEM, "no memory");
	return e->set;
}

static void elems_range(struct elems *e, const struct nft_range *r)
{
	struct nftnl_set *s = elems_next(e);

	if (s && nft_set_add_range(s, r, e->del))
		fail(e->t, e->op, -ENOMEM, "no memory");
}

static void elems_bucket(struct elems *e, unsigned int bucket, unsigned int slot)
{
	struct nftnl_set *s = elems_next(e);

	if (s && nft_set_add_bucket(s, bucket, slot, e->del))
		fail(e->t, e->op, -ENOMEM, "no memory");
}

static int cmp_range(const struct nft_range *a, const struct nft_range *b)
{
	int c = addr_cmp(&a->first, &b->first);

	c = c ? c : addr_cmp(&a->last, &b->last);
	return c ? c : strcmp(a->chain ? a->chain : "", b->chain ? b->chain : "");
}

/* Adds the ranges of `a` that are not in `b`. */
static void elems_nets(struct elems *e, const struct obj_nft_nets *a, const struct obj_nft_nets *b)
{
	size_t j = 0;

	for (size_t i = 0; i < a->n_ranges; i++) {
		int c = -1;

		while (b && j < b->n_ranges && (c = cmp_range(&a->ranges[i], &b->ranges[j])) > 0)
			j++;
		if (!b || j == b->n_ranges || c != 0)
			elems_range(e, &a->ranges[i]);
	}
}

static void elems_buckets(struct elems *e, const struct obj_nft_buckets *a,
			  const struct obj_nft_buckets *b)
{
	for (unsigned int i = 0; i < MODEL_BUCKETS; i++)
		if (a->lane_slot[i] && (!b || a->lane_slot[i] != b->lane_slot[i]))
			elems_bucket(e, i, a->lane_slot[i]);
}

/* Elements of `of` that `than` (or NULL) does not have. */
static void differing(struct txn *t, size_t op, bool del, const struct obj *of,
		      const struct obj *than)
{
	struct elems e = {.t = t, .op = op, .del = del};

	if (of->kind == OBJ_NFT_NETS)
		elems_nets(&e, &of->nets, than ? &than->nets : NULL);
	else
		elems_buckets(&e, of->buckets, than ? than->buckets : NULL);
	elems_flush(&e);
}

/* ---- steps; each is run over all ops before the next ---- */

/* What cannot be changed in place: it goes and comes anew. */
static bool remade(const struct op *op)
{
	const struct obj *w = op->want, *h = op->have;

	if (op->verb != OP_SET)
		return false;
	if (op->kind == OBJ_NFT_CHAIN)
		return w->chain.hook != h->chain.hook || w->chain.priority != h->chain.priority;
	return op->kind == OBJ_NFT_NETS &&
	       (w->nets.family != h->nets.family || w->nets.is_map != h->nets.is_map);
}

static bool comes(const struct op *op)
{
	return op->verb == OP_ADD || remade(op);
}

static bool goes(const struct op *op)
{
	return op->verb == OP_DEL || remade(op);
}

static bool is_set(const struct op *op)
{
	return op->kind == OBJ_NFT_NETS || op->kind == OBJ_NFT_BUCKETS;
}

/* Not one that somebody else declared (family 0): it may be constant, which refuses to be emptied.
 */
static bool is_our_map(const struct obj *o)
{
	return o->kind == OBJ_NFT_BUCKETS || (o->nets.is_map && o->nets.family);
}

static void step_tables(struct txn *t, size_t i)
{
	const struct op *op = &t->ops[i];

	if (op->kind != OBJ_NFT_TABLE)
		return;
	/* Whatever table of this name may be there, a new one starts empty; naming it first makes
	 * the deletion succeed in any case. */
	if (op->verb == OP_ADD)
		named(t, NFT_MSG_NEWTABLE, NLM_F_CREATE, i, 0);
	named(t, NFT_MSG_DELTABLE, 0, i, 0);
	if (op->verb == OP_ADD)
		named(t, NFT_MSG_NEWTABLE, NLM_F_CREATE, i, 0);
}

static void step_flush_rules(struct txn *t, size_t i)
{
	const struct op *op = &t->ops[i];

	if (op->kind == OBJ_NFT_CHAIN && op->verb != OP_ADD)
		named(t, NFT_MSG_DELRULE, 0, i, NFTA_RULE_CHAIN);
}

static void step_del_elems(struct txn *t, size_t i)
{
	const struct op *op = &t->ops[i];

	if (!is_set(op) || op->verb == OP_ADD)
		return;
	/* Without a list: all of them. Else old kernels hold the chains a map leads to until the
	 * map is gone, which is after the transaction. */
	if (goes(op) && is_our_map(op->have))
		named(t, NFT_MSG_DELSETELEM, 0, i, NFTA_SET_ELEM_LIST_SET);
	else if (!goes(op))
		differing(t, i, true, op->have, op->want);
}

static void step_del_sets(struct txn *t, size_t i)
{
	if (is_set(&t->ops[i]) && goes(&t->ops[i]))
		named(t, NFT_MSG_DELSET, 0, i, NFTA_SET_NAME);
}

static void step_del_chains(struct txn *t, size_t i)
{
	if (t->ops[i].kind == OBJ_NFT_CHAIN && goes(&t->ops[i]))
		named(t, NFT_MSG_DELCHAIN, 0, i, NFTA_CHAIN_NAME);
}

static void step_add_chains(struct txn *t, size_t i)
{
	static const struct {
		const char *type;
		uint32_t number;
	} hooks[] = {
		[NFT_HOOK_PREROUTING] = {"filter", NF_INET_PRE_ROUTING},
		[NFT_HOOK_OUTPUT_ROUTE] = {"route", NF_INET_LOCAL_OUT},
		[NFT_HOOK_POSTROUTING] = {"filter", NF_INET_POST_ROUTING},
		[NFT_HOOK_FORWARD] = {"filter", NF_INET_FORWARD},
	};
	const struct op *op = &t->ops[i];
	const struct obj *o = op->want;
	struct nlmsghdr *nlh;
	struct nlattr *nest;

	if (op->kind != OBJ_NFT_CHAIN || !comes(op))
		return;
	nlh = message(t, NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL);
	mnl_attr_put_strz(nlh, NFTA_CHAIN_TABLE, nft_set_table(o->table));
	mnl_attr_put_strz(nlh, NFTA_CHAIN_NAME, o->name);
	if (o->chain.hook != NFT_HOOK_NONE) {
		mnl_attr_put_strz(nlh, NFTA_CHAIN_TYPE, hooks[o->chain.hook].type);
		mnl_attr_put_u32(nlh, NFTA_CHAIN_POLICY, htonl(NF_ACCEPT));
		nest = mnl_attr_nest_start(nlh, NFTA_CHAIN_HOOK);
		mnl_attr_put_u32(nlh, NFTA_HOOK_HOOKNUM, htonl(hooks[o->chain.hook].number));
		mnl_attr_put_u32(nlh, NFTA_HOOK_PRIORITY, htonl((uint32_t)o->chain.priority));
		mnl_attr_nest_end(nlh, nest);
	}
	message_done(t, nlh, i, NULL);
}

static void put_set(struct txn *t, size_t op, struct nftnl_set *s, const char *what)
{
	struct nlmsghdr *nlh = message(t, NFT_MSG_NEWSET, NLM_F_CREATE | NLM_F_EXCL);

	nftnl_set_nlmsg_build_payload(nlh, s);
	message_done(t, nlh, op, what);
}

static void step_add_sets(struct txn *t, size_t i)
{
	const struct op *op = &t->ops[i];
	struct nftnl_set *s;

	if (!is_set(op) || !comes(op))
		return;
	s = nft_set_declare(op->want, ++t->next_id);
	if (!s) {
		fail(t, i, -ENOMEM, "no memory");
		return;
	}
	put_set(t, i, s, NULL);
	nftnl_set_free(s);
}

static void step_add_elems(struct txn *t, size_t i)
{
	const struct op *op = &t->ops[i];

	if (is_set(op) && op->verb != OP_DEL)
		differing(t, i, false, op->want, comes(op) ? NULL : op->have);
}

static int put_protos(struct txn *t, size_t op, const char *line)
{
	struct nftnl_set *s = nft_set_declare_protos(t->ops[op].want->table, ++t->next_id);
	struct nlmsghdr *nlh;

	if (!s)
		return -ENOMEM;
	put_set(t, op, s, line);
	nlh = message(t, NFT_MSG_NEWSETELEM, NLM_F_CREATE);
	nftnl_set_elems_nlmsg_build_payload(nlh, s);
	message_done(t, nlh, op, line);
	nftnl_set_free(s);
	return 0;
}

static int put_rule(struct txn *t, size_t op, const char *line)
{
	const struct obj *o = t->ops[op].want;
	struct nft_rule rule;
	struct nftnl_rule *r;
	struct nlmsghdr *nlh;
	int err = nft_rule_parse(line, &rule);

	if (!err && rule.kind == NFT_RULE_PORTS)
		err = put_protos(t, op, line);
	if (err)
		return err;
	r = nftnl_rule_alloc();
	if (!r)
		return -ENOMEM;
	nftnl_rule_set_u32(r, NFTNL_RULE_FAMILY, NFPROTO_INET);
	nftnl_rule_set_str(r, NFTNL_RULE_TABLE, nft_set_table(o->table));
	nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, o->name);
	err = nft_expr_encode(&rule, t->next_id, r);
	if (!err) {
		nlh = message(t, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
		nftnl_rule_nlmsg_build_payload(nlh, r);
		message_done(t, nlh, op, line);
	}
	nftnl_rule_free(r);
	return err;
}

static void step_add_rules(struct txn *t, size_t i)
{
	const struct op *op = &t->ops[i];

	if (op->kind != OBJ_NFT_CHAIN || op->verb == OP_DEL)
		return;
	for (size_t j = 0; j < op->want->chain.n_rules; j++) {
		const char *line = op->want->chain.rules[j];
		int err = put_rule(t, i, line);

		if (err)
			fail(t, i, err, arena_printf(t->arena, "%s: %s", line, strerror(-err)));
	}
}

/* ---- the whole ---- */

/* What lies in a table that goes, goes with it. */
static bool concerns(const struct op *op, const bool *lost)
{
	return plan_bus(op) == BUS_NFT && (op->kind == OBJ_NFT_TABLE || !lost[op_obj(op)->table]);
}

static void build(struct txn *t)
{
	static void (*const steps[])(struct txn * t, size_t i) = {
		step_tables,	 step_flush_rules, step_del_elems, step_del_sets,  step_del_chains,
		step_add_chains, step_add_sets,	   step_add_elems, step_add_rules,
	};

	bool lost[] = {[NFT_TABLE_STEER] = false, [NFT_TABLE_GUARD] = false};

	for (size_t i = 0; i < t->n_ops; i++)
		if (t->ops[i].kind == OBJ_NFT_TABLE && t->ops[i].verb == OP_DEL)
			lost[t->ops[i].have->table] = true;
	message_done(t, nftnl_batch_begin(room(t), 0), NO_OP, NULL);
	for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++)
		for (size_t i = 0; i < t->n_ops; i++)
			if (concerns(&t->ops[i], lost))
				steps[s](t, i);
	message_done(t, nftnl_batch_end(room(t), 0), NO_OP, NULL);
}

/* Only the last request is answered when all is well. */
static void ask_for_ack(struct txn *t)
{
	struct nlmsghdr *nlh = (struct nlmsghdr *)t->buf;
	int left = (int)t->len;

	for (size_t i = 2; i < t->n_messages; i++)
		nlh = mnl_nlmsg_next(nlh, &left);
	nlh->nlmsg_flags |= NLM_F_ACK;
}

static void take_answer(void *owner, size_t index, int error, const char *why)
{
	struct txn *t = owner;
	const struct message *m = index < t->n_messages ? &t->messages[index] : NULL;
	const char *text = *why ? why : strerror(-error);

	if (!error || t->error)
		return;
	text = m && m->what ? arena_printf(t->arena, "%s: %s", m->what, text)
			    : arena_strdup(t->arena, text);
	fail(t, m ? m->op : NO_OP, error, text);
}

static bool passes(int error)
{
	return error == -EINTR || error == -ENOBUFS || error == -EAGAIN || error == -RESTART;
}

static void send_all(struct txn *t)
{
	for (int i = 0; i < TRIES; i++) {
		int err;

		t->error = 0;
		err = nl_exchange(t->nl, t->buf, t->len, take_answer, t);
		if (err)
			fail(t, NO_OP, err, strerror(-err));
		if (!passes(t->error))
			return;
	}
}

static size_t report(struct txn *t)
{
	struct text line = {0};
	const char *others;
	size_t failed = 0;

	if (t->error && t->error_op != NO_OP)
		world_print_key(op_obj(&t->ops[t->error_op]), &line);
	others = arena_printf(t->arena, "transaction refused because of: %s%s%s", text_str(&line),
			      line.len ? ": " : "", t->why ? t->why : "");
	text_done(&line);
	for (size_t i = 0; i < t->n_ops; i++) {
		struct op *op = &t->ops[i];
		bool guilty = i == t->error_op || t->error_op == NO_OP;

		if (plan_bus(op) != BUS_NFT)
			continue;
		op->error = !t->error ? 0 : guilty ? t->error : -ECANCELED;
		op->why = !t->error ? NULL : guilty ? t->why : others;
		failed += t->error != 0;
	}
	return failed;
}

size_t nft_txn_run(struct nl *nl, struct op *ops, size_t n_ops, struct arena *a)
{
	struct txn t = {.nl = nl, .arena = a, .ops = ops, .n_ops = n_ops};

	build(&t);
	if (!t.error && t.n_messages > 2) {
		ask_for_ack(&t);
		send_all(&t);
	}
	free(t.buf);
	return report(&t);
}
