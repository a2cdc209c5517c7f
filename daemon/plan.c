/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: The only diff in the program. Two sorted lists of objects are merged: what only the wanted
 * one has is added, what only the observed one has is deleted, what both have but differently is
 * set. Then the ops are put in order: make before break, nf_tables in the middle, removals last.
 * It never asks why something is wanted (want.c) or how it is done (the adapters). Invariant:
 * applying a plan without error to the observed world makes the next plan empty.
 */
#include "plan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Order of change. What keeps packets in (throw routes keep us on our own LAN, the exemption of
 * outer packets) comes before what sends them somewhere. */
enum phase {
	PHASE_LINK_ADD,
	PHASE_WGDEV,
	PHASE_LINK_SET,
	PHASE_ADDR_ADD,
	PHASE_PEER,
	PHASE_MODE,
	PHASE_SYSCTL,
	PHASE_NIC,
	PHASE_ROUTE_THROW,
	PHASE_ROUTE_ADD,
	PHASE_ROUTE_UNREACHABLE,
	PHASE_RULE_NOP,
	PHASE_RULE_ADD,
	PHASE_NFT,
	PHASE_RULE_DEL,
	PHASE_RULE_NOP_DEL,
	PHASE_ROUTE_UNREACHABLE_DEL, /* first: else it cuts off what a wider network serves */
	PHASE_ROUTE_DEL,
	PHASE_ROUTE_THROW_DEL,
	PHASE_PEER_DEL,
	PHASE_ADDR_DEL,
	PHASE_LINK_DEL,
};

enum op_bus plan_bus(const struct op *op)
{
	return op->kind >= OBJ_NFT_TABLE ? BUS_NFT : BUS_RTNL;
}

bool plan_steers(const struct op *op)
{
	return op->kind >= OBJ_ROUTE;
}

bool plan_removes(const struct op *op)
{
	return op->phase > PHASE_NFT;
}

static unsigned int route_phase(enum op_verb verb, enum route_type type)
{
	bool del = verb == OP_DEL;

	switch (type) {
	case ROUTE_THROW:
		return del ? PHASE_ROUTE_THROW_DEL : PHASE_ROUTE_THROW;
	case ROUTE_UNICAST:
		return del ? PHASE_ROUTE_DEL : PHASE_ROUTE_ADD;
	case ROUTE_UNREACHABLE:
		return del ? PHASE_ROUTE_UNREACHABLE_DEL : PHASE_ROUTE_UNREACHABLE;
	}
	return PHASE_ROUTE_ADD;
}

static unsigned int rule_phase(enum op_verb verb, enum rule_action action)
{
	if (verb == OP_DEL)
		return action == RULE_NOP ? PHASE_RULE_NOP_DEL : PHASE_RULE_DEL;
	return action == RULE_NOP ? PHASE_RULE_NOP : PHASE_RULE_ADD;
}

static unsigned int op_phase(enum op_verb verb, const struct obj *o)
{
	switch (o->kind) {
	case OBJ_LINK:
		return verb == OP_ADD	? PHASE_LINK_ADD
		       : verb == OP_DEL ? PHASE_LINK_DEL
					: PHASE_LINK_SET;
	case OBJ_WGDEV:
		return PHASE_WGDEV;
	case OBJ_WGPEER:
		return verb == OP_ADD || verb == OP_SET ? PHASE_PEER : PHASE_PEER_DEL;
	case OBJ_MODE:
		return PHASE_MODE;
	case OBJ_ADDR:
		return verb == OP_DEL ? PHASE_ADDR_DEL : PHASE_ADDR_ADD;
	case OBJ_SYSCTL:
		return PHASE_SYSCTL;
	case OBJ_NIC:
		return PHASE_NIC;
	case OBJ_ROUTE:
		return route_phase(verb, o->route.type);
	case OBJ_RULE:
		return rule_phase(verb, o->rule.action);
	case OBJ_NFT_TABLE:
	case OBJ_NFT_CHAIN:
	case OBJ_NFT_NETS:
	case OBJ_NFT_BUCKETS:
	case OBJ_KINDS:
		break;
	}
	return PHASE_NFT;
}

static void emit(struct plan *p, enum op_verb verb, const struct obj *want, const struct obj *have)
{
	const struct obj *o = verb == OP_ADD || verb == OP_SET ? want : have;
	struct op *op = arena_grow(&p->arena, (void **)&p->ops, &p->n, sizeof(*op));

	op->verb = verb;
	op->kind = o->kind;
	op->want = want;
	op->have = have;
	op->phase = op_phase(verb, o);
}

static bool peer_differs(const struct obj_wgpeer *want, const struct obj_wgpeer *have)
{
	if (want->endpoint.addr.family && !have->endpoint.addr.family)
		return true;
	if (want->move_endpoint && !addr_equal_ep(&want->endpoint, &have->endpoint))
		return true;
	if (want->keepalive_s != have->keepalive_s || want->has_psk != have->has_psk)
		return true;
	if (want->has_psk && key_cmp(&want->psk, &have->psk) != 0)
		return true;
	if (want->n_allowed != have->n_allowed)
		return true;
	for (size_t i = 0; i < want->n_allowed; i++)
		if (addr_cmp_prefix(&want->allowed[i], &have->allowed[i]) != 0)
			return true;
	return false;
}

static bool route_differs(const struct obj *want, const struct obj *have)
{
	const struct obj_route *w = &want->route, *h = &have->route;

	if (w->type != h->type || w->mtu != h->mtu || addr_cmp(&w->src, &h->src) != 0)
		return true;
	return w->type == ROUTE_UNICAST && strcmp(want->dev, have->dev ? have->dev : "") != 0;
}

static bool chain_differs(const struct obj_nft_chain *want, const struct obj_nft_chain *have)
{
	if (want->hook != have->hook || want->priority != have->priority ||
	    want->n_rules != have->n_rules)
		return true;
	for (size_t i = 0; i < want->n_rules; i++)
		if (strcmp(want->rules[i], have->rules[i]) != 0)
			return true;
	return false;
}

static bool nets_differ(const struct obj_nft_nets *want, const struct obj_nft_nets *have)
{
	if (want->family != have->family || want->is_map != have->is_map ||
	    want->n_ranges != have->n_ranges)
		return true;
	for (size_t i = 0; i < want->n_ranges; i++) {
		const struct nft_range *w = &want->ranges[i], *h = &have->ranges[i];

		if (addr_cmp(&w->first, &h->first) != 0 || addr_cmp(&w->last, &h->last) != 0)
			return true;
		if (strcmp(w->chain ? w->chain : "", h->chain ? h->chain : "") != 0)
			return true;
	}
	return false;
}

static bool differs(const struct obj *want, const struct obj *have)
{
	switch (want->kind) {
	case OBJ_LINK:
		return want->link.mtu != have->link.mtu || want->link.up != have->link.up ||
		       strcmp(want->link.alias, have->link.alias ? have->link.alias : "") != 0;
	case OBJ_WGDEV:
		return key_cmp(&want->wgdev.public_key, &have->wgdev.public_key) != 0 ||
		       want->wgdev.port != have->wgdev.port ||
		       want->wgdev.fwmark != have->wgdev.fwmark;
	case OBJ_WGPEER:
		return peer_differs(&want->wgpeer, &have->wgpeer);
	case OBJ_MODE:
		return want->mode.mode != have->mode.mode;
	case OBJ_SYSCTL:
		return want->sysctl.value != have->sysctl.value;
	case OBJ_NIC:
		return want->nic.fields != have->nic.fields;
	case OBJ_ROUTE:
		return route_differs(want, have);
	case OBJ_NFT_CHAIN:
		return chain_differs(&want->chain, &have->chain);
	case OBJ_NFT_NETS:
		return nets_differ(&want->nets, &have->nets);
	case OBJ_NFT_BUCKETS:
		return memcmp(want->buckets, have->buckets, sizeof(*want->buckets)) != 0;
	case OBJ_ADDR:
	case OBJ_RULE:
	case OBJ_NFT_TABLE:
	case OBJ_KINDS:
		break;
	}
	return false;
}

/* The object that `o` lives on, which takes `o` along when it is deleted, or NULL. */
static const struct obj *parent(const struct world *w, const struct obj *o)
{
	struct obj key = {.kind = OBJ_LINK, .dev = o->dev};

	switch (o->kind) {
	case OBJ_WGDEV:
	case OBJ_WGPEER:
	case OBJ_MODE:
	case OBJ_ADDR:
	case OBJ_SYSCTL:
		break;
	case OBJ_NFT_CHAIN:
	case OBJ_NFT_NETS:
	case OBJ_NFT_BUCKETS:
		key = (struct obj){.kind = OBJ_NFT_TABLE, .table = o->table};
		break;
	case OBJ_LINK:
	case OBJ_NIC:
	case OBJ_ROUTE:
	case OBJ_RULE:
	case OBJ_NFT_TABLE:
	case OBJ_KINDS:
		return NULL;
	}
	return world_find(w, &key);
}

static void only_have(struct plan *p, const struct world *want, const struct world *have,
		      const struct obj *o)
{
	const struct obj *home = parent(have, o);

	if (o->kind == OBJ_WGDEV || o->kind == OBJ_SYSCTL || o->kind == OBJ_MODE)
		return; /* part of a device or an entry: goes with it */
	if (o->kind == OBJ_NIC && !o->nic.saved)
		return; /* as we found it */
	if (home && !world_find(want, home))
		return;
	if (o->kind != OBJ_WGPEER)
		emit(p, OP_DEL, NULL, o);
	else if (o->wgpeer.n_allowed)
		emit(p, OP_INERT, NULL, o);
	else if (home && home->link.quiet)
		emit(p, OP_DEL, NULL, o);
	else
		p->leaving++;
}

static void only_want(struct plan *p, const struct obj *o)
{
	if (o->kind == OBJ_MODE) {
		/* Of an entry that is made in this plan: it begins as a vanilla one. */
		if (o->mode.mode != MODE_VANILLA)
			emit(p, OP_SET, o, NULL);
		return;
	}
	emit(p, OP_ADD, o, NULL);
	if (o->kind != OBJ_LINK || !o->link.up)
		return;
	/* A device is created down and comes up when it has its keys. */
	emit(p, OP_SET, o, NULL);
}

static bool moves_up(const struct op *op)
{
	return op->have && op->want->wgdev.port > op->have->wgdev.port;
}

/* When all ports move, each is free only after its neighbour has moved on. */
static int cmp_port(const struct op *x, const struct op *y)
{
	int c = (int)x->want->wgdev.port - (int)y->want->wgdev.port;

	if (moves_up(x) != moves_up(y))
		return moves_up(x) ? -1 : 1;
	return moves_up(x) ? -c : c;
}

static int cmp_op(const void *a, const void *b)
{
	const struct op *x = a, *y = b;
	const struct obj *p = x->want ? x->want : x->have, *q = y->want ? y->want : y->have;
	int c;

	if (x->phase != y->phase)
		return x->phase < y->phase ? -1 : 1;
	c = x->phase == PHASE_WGDEV ? cmp_port(x, y) : 0;
	c = c ? c : world_cmp_key(p, q);
	/* The exemption of outer packets has the lowest preference: made first, removed last. */
	if (x->phase == PHASE_RULE_DEL)
		c = -c;
	return c ? c : (int)x->verb - (int)y->verb;
}

void plan_build(const struct world *want, const struct world *have, struct plan *ret)
{
	size_t i = 0, j = 0;

	memset(ret, 0, sizeof(*ret));
	while (i < want->n || j < have->n) {
		int c;

		if (i == want->n)
			c = 1;
		else if (j == have->n)
			c = -1;
		else
			c = world_cmp_key(&want->objs[i], &have->objs[j]);

		if (c < 0) {
			only_want(ret, &want->objs[i++]);
		} else if (c > 0) {
			only_have(ret, want, have, &have->objs[j++]);
		} else {
			if (differs(&want->objs[i], &have->objs[j]))
				emit(ret, OP_SET, &want->objs[i], &have->objs[j]);
			i++;
			j++;
		}
	}
	if (ret->n > 1)
		qsort(ret->ops, ret->n, sizeof(*ret->ops), cmp_op);
}

void plan_done(struct plan *p)
{
	arena_done(&p->arena);
	memset(p, 0, sizeof(*p));
}

/* ---- text ---- */

static const char *const kind_names[OBJ_KINDS] = {
	[OBJ_LINK] = "link",
	[OBJ_WGDEV] = "wg.dev",
	[OBJ_WGPEER] = "wg.peer",
	[OBJ_MODE] = "mode",
	[OBJ_ADDR] = "addr",
	[OBJ_SYSCTL] = "sysctl",
	[OBJ_NIC] = "nic",
	[OBJ_ROUTE] = "route",
	[OBJ_RULE] = "rule",
	[OBJ_NFT_TABLE] = "nft.table",
	[OBJ_NFT_CHAIN] = "nft.chain",
	[OBJ_NFT_NETS] = "nft.nets",
	[OBJ_NFT_BUCKETS] = "nft.buckets",
};

static const char *verb_name(enum op_verb verb)
{
	switch (verb) {
	case OP_ADD:
		return "add";
	case OP_SET:
		return "set";
	case OP_DEL:
		return "del";
	case OP_INERT:
		return "inert";
	}
	return "?";
}

/* Prefixes only in one of two sorted lists, with a sign. */
static void print_allowed_diff(const struct obj_wgpeer *want, const struct obj_wgpeer *have,
			       struct text *out)
{
	size_t i = 0, j = 0;
	const char *sep = " allowed=";
	char buf[ADDR_STRLEN];

	while (i < want->n_allowed || j < have->n_allowed) {
		int c = i == want->n_allowed ? 1
			: j == have->n_allowed
				? -1
				: addr_cmp_prefix(&want->allowed[i], &have->allowed[j]);

		if (c) {
			text_printf(out, "%s%c%s", sep, c < 0 ? '+' : '-',
				    addr_print_prefix(c < 0 ? &want->allowed[i] : &have->allowed[j],
						      buf));
			sep = ",";
		}
		i += c <= 0;
		j += c >= 0;
	}
}

static void print_peer_diff(const struct obj_wgpeer *want, const struct obj_wgpeer *have,
			    struct text *out)
{
	char buf[ADDR_STRLEN];

	if (want->endpoint.addr.family && (!have->endpoint.addr.family || want->move_endpoint) &&
	    !addr_equal_ep(&want->endpoint, &have->endpoint))
		text_printf(out, " endpoint=%s", addr_print_ep(&want->endpoint, buf));
	if (want->keepalive_s != have->keepalive_s)
		text_printf(out, " keepalive=%u", want->keepalive_s);
	if (want->has_psk != have->has_psk ||
	    (want->has_psk && key_cmp(&want->psk, &have->psk) != 0))
		text_printf(out, " psk=%s", want->has_psk ? "(hidden)" : "none");
	print_allowed_diff(want, have, out);
}

#define PRINT_MOVES_MAX 16

/* "moved=128 0-3>lane2 17>lane5 ..." */
static void print_buckets_diff(const struct obj_nft_buckets *want,
			       const struct obj_nft_buckets *have, struct text *out)
{
	unsigned int moved = 0, runs = 0;

	for (unsigned int i = 0; i < MODEL_BUCKETS; i++)
		moved += want->lane_slot[i] != have->lane_slot[i];
	text_printf(out, " moved=%u", moved);
	for (unsigned int i = 0; i < MODEL_BUCKETS; i++) {
		unsigned int j = i;

		if (want->lane_slot[i] == have->lane_slot[i])
			continue;
		if (++runs > PRINT_MOVES_MAX) {
			text_printf(out, " ...");
			return;
		}
		while (j + 1 < MODEL_BUCKETS && want->lane_slot[j + 1] == want->lane_slot[i] &&
		       want->lane_slot[j + 1] != have->lane_slot[j + 1])
			j++;
		text_printf(out, i == j ? " %u" : " %u-%u", i, j);
		if (want->lane_slot[i])
			text_printf(out, ">lane%u", want->lane_slot[i] - 1u);
		else
			text_printf(out, ">none");
		i = j;
	}
}

static void print_link_diff(const struct obj_link *want, const struct obj_link *have,
			    struct text *out)
{
	if (have && strcmp(want->alias, have->alias ? have->alias : "") != 0)
		text_printf(out, " alias=%s", want->alias);
	if (have && want->mtu != have->mtu)
		text_printf(out, " mtu=%u", want->mtu);
	if (!have || want->up != have->up)
		text_printf(out, " %s", want->up ? "up" : "down");
}

void plan_print_op(const struct op *op, struct text *out)
{
	const struct obj *o = op->want ? op->want : op->have;
	struct text rest = {0};

	text_printf(out, "%s.%s ", kind_names[op->kind], verb_name(op->verb));
	world_print_key(o, out);
	if (op->verb == OP_DEL || op->verb == OP_INERT)
		return;
	if (op->kind == OBJ_LINK && op->verb == OP_SET) {
		print_link_diff(&op->want->link, op->have ? &op->have->link : NULL, out);
		return;
	}
	if (op->kind == OBJ_WGPEER && op->have) {
		print_peer_diff(&op->want->wgpeer, &op->have->wgpeer, out);
		return;
	}
	if (op->kind == OBJ_NFT_BUCKETS && op->have) {
		print_buckets_diff(op->want->buckets, op->have->buckets, out);
		return;
	}
	world_print_rest(o, &rest);
	if (rest.len)
		text_printf(out, " %s", text_str(&rest));
	text_done(&rest);
}

void plan_print_failure(const struct op *op, struct text *out)
{
	plan_print_op(op, out);
	text_printf(out, ": %s", strerror(-op->error));
	if (op->why)
		text_printf(out, ": %s", op->why);
}
