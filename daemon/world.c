/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: The list of kernel objects: growing it, ordering it, and saying in one line of text what an
 * object is. It never decides anything; what is wanted is decided in want.c, what to change in
 * plan.c. Invariant: two objects are the same thing exactly when world_cmp_key() is 0, and no
 * text printed here holds a private or preshared key.
 */
#include "world.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct obj *world_add(struct world *w, enum obj_kind kind)
{
	struct obj *o = arena_grow(&w->arena, (void **)&w->objs, &w->n, sizeof(*o));

	o->kind = kind;
	if (kind == OBJ_NFT_BUCKETS)
		o->buckets = arena_alloc(&w->arena, 1, sizeof(*o->buckets));
	return o;
}

static int cmp_u64(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int cmp_str(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "");
}

static int cmp_rule(const struct obj_rule *a, const struct obj_rule *b)
{
	int c = cmp_u64(a->family, b->family);

	c = c ? c : cmp_u64(a->pref, b->pref);
	c = c ? c : cmp_u64(a->mark, b->mark);
	c = c ? c : cmp_u64(a->mask, b->mask);
	c = c ? c : cmp_u64(a->action, b->action);
	return c ? c : cmp_u64(a->target, b->target);
}

static int cmp_route(const struct obj_route *a, const struct obj_route *b)
{
	int c = cmp_u64(a->table, b->table);

	c = c ? c : addr_cmp_prefix(&a->dst, &b->dst);
	return c ? c : cmp_u64(a->metric, b->metric);
}

int world_cmp_key(const struct obj *a, const struct obj *b)
{
	int c = cmp_u64(a->kind, b->kind);

	if (c)
		return c;
	switch (a->kind) {
	case OBJ_LINK:
	case OBJ_WGDEV:
		return cmp_str(a->dev, b->dev);
	case OBJ_WGPEER:
		c = cmp_str(a->dev, b->dev);
		return c ? c : key_cmp(&a->wgpeer.public_key, &b->wgpeer.public_key);
	case OBJ_MODE:
		c = cmp_str(a->dev, b->dev);
		return c ? c : key_cmp(&a->mode.peer, &b->mode.peer);
	case OBJ_ADDR:
		c = cmp_str(a->dev, b->dev);
		return c ? c : addr_cmp_prefix(&a->addr.prefix, &b->addr.prefix);
	case OBJ_SYSCTL:
		c = cmp_str(a->dev, b->dev);
		return c ? c : cmp_u64(a->sysctl.id, b->sysctl.id);
	case OBJ_NIC:
		c = cmp_str(a->dev, b->dev);
		return c ? c : cmp_u64(a->nic.family, b->nic.family);
	case OBJ_ROUTE:
		return cmp_route(&a->route, &b->route);
	case OBJ_RULE:
		return cmp_rule(&a->rule, &b->rule);
	case OBJ_NFT_TABLE:
		return cmp_u64(a->table, b->table);
	case OBJ_NFT_CHAIN:
	case OBJ_NFT_NETS:
	case OBJ_NFT_BUCKETS:
		c = cmp_u64(a->table, b->table);
		return c ? c : cmp_str(a->name, b->name);
	case OBJ_KINDS:
		break;
	}
	return 0;
}

static int cmp_sort(const void *a, const void *b)
{
	return world_cmp_key(a, b);
}

void world_sort(struct world *w)
{
	if (w->n > 1)
		qsort(w->objs, w->n, sizeof(*w->objs), cmp_sort);
}

struct obj *world_find(const struct world *w, const struct obj *key)
{
	return w->n ? bsearch(key, w->objs, w->n, sizeof(*w->objs), cmp_sort) : NULL;
}

void world_done(struct world *w)
{
	arena_done(&w->arena);
	memset(w, 0, sizeof(*w));
}

static const char *table_name(enum nft_table_id id)
{
	return id == NFT_TABLE_STEER ? "wgscale" : "wgscale_guard";
}

static const char *sysctl_name(enum sysctl_id id)
{
	return id == SYSCTL_RP_FILTER ? "rp_filter" : "threaded";
}

static void print_rule(const struct obj_rule *r, struct text *out)
{
	text_printf(out, "family=%d pref=%u", r->family == AF_INET6 ? 6 : 4, r->pref);
	if (r->mask)
		text_printf(out, " mark=0x%x/0x%x", r->mark, r->mask);
	switch (r->action) {
	case RULE_LOOKUP:
		text_printf(out, " lookup=%u", r->target);
		break;
	case RULE_GOTO:
		text_printf(out, " goto=%u", r->target);
		break;
	case RULE_NOP:
		text_printf(out, " nop");
		break;
	}
}

void world_print_key(const struct obj *o, struct text *out)
{
	char buf[ADDR_STRLEN], key[MODEL_KEY_STRLEN];

	switch (o->kind) {
	case OBJ_LINK:
	case OBJ_WGDEV:
		text_printf(out, "dev=%s", o->dev);
		break;
	case OBJ_WGPEER:
		text_printf(out, "dev=%s peer=%s", o->dev, key_print(&o->wgpeer.public_key, key));
		break;
	case OBJ_MODE:
		text_printf(out, "dev=%s peer=%s", o->dev, key_print(&o->mode.peer, key));
		break;
	case OBJ_ADDR:
		text_printf(out, "dev=%s %s", o->dev, addr_print_prefix(&o->addr.prefix, buf));
		break;
	case OBJ_SYSCTL:
		text_printf(out, "dev=%s %s", o->dev, sysctl_name(o->sysctl.id));
		break;
	case OBJ_NIC:
		text_printf(out, "dev=%s udp%c", o->dev, o->nic.family == AF_INET6 ? '6' : '4');
		break;
	case OBJ_ROUTE:
		text_printf(out, "table=%u %s metric=%u", o->route.table,
			    addr_print_prefix(&o->route.dst, buf), o->route.metric);
		break;
	case OBJ_RULE:
		print_rule(&o->rule, out);
		break;
	case OBJ_NFT_TABLE:
		text_printf(out, "table=%s", table_name(o->table));
		break;
	case OBJ_NFT_CHAIN:
	case OBJ_NFT_NETS:
	case OBJ_NFT_BUCKETS:
		text_printf(out, "table=%s name=%s", table_name(o->table), o->name);
		break;
	case OBJ_KINDS:
		break;
	}
}

static void print_peer(const struct obj_wgpeer *p, struct text *out)
{
	char buf[ADDR_STRLEN];

	text_printf(out, "endpoint=%s keepalive=%u", addr_print_ep(&p->endpoint, buf),
		    p->keepalive_s);
	if (p->has_psk)
		text_printf(out, " psk=(hidden)");
	text_printf(out, " allowed=");
	for (size_t i = 0; i < p->n_allowed; i++)
		text_printf(out, "%s%s", i ? "," : "", addr_print_prefix(&p->allowed[i], buf));
}

static void print_route(const struct obj *o, struct text *out)
{
	const struct obj_route *r = &o->route;
	char buf[ADDR_STRLEN];

	switch (r->type) {
	case ROUTE_UNICAST:
		text_printf(out, "dev=%s", o->dev ? o->dev : "?");
		break;
	case ROUTE_UNREACHABLE:
		text_printf(out, "unreachable");
		break;
	case ROUTE_THROW:
		text_printf(out, "throw");
		break;
	}
	if (r->mtu)
		text_printf(out, " mtu=%u", r->mtu);
	if (r->src.family)
		text_printf(out, " src=%s", addr_print(&r->src, buf));
}

/* The seed of the bucket hash is not public: who knows it can aim flows at one bucket. */
static void print_rule_line(const char *line, struct text *out)
{
	const char *seed = strstr(line, "seed=");
	const char *rest = seed ? strchr(seed, ' ') : NULL;

	if (!seed)
		text_printf(out, "%s", line);
	else
		text_printf(out, "%.*sseed=(hidden)%s", (int)(seed - line), line, rest ? rest : "");
}

static void print_chain(const struct obj_nft_chain *c, struct text *out)
{
	static const char *const hooks[] = {"", "prerouting", "output", "postrouting", "forward"};

	if (c->hook != NFT_HOOK_NONE)
		text_printf(out, "hook=%s priority=%d ", hooks[c->hook], c->priority);
	text_printf(out, "rules=");
	for (size_t i = 0; i < c->n_rules; i++) {
		text_printf(out, "%s", i ? "; " : "");
		print_rule_line(c->rules[i], out);
	}
}

static void print_nets(const struct obj_nft_nets *s, struct text *out)
{
	char a[ADDR_STRLEN], b[ADDR_STRLEN];

	text_printf(out, "ranges=");
	for (size_t i = 0; i < s->n_ranges; i++) {
		const struct nft_range *r = &s->ranges[i];

		text_printf(out, "%s%s-%s", i ? "," : "", addr_print(&r->first, a),
			    addr_print(&r->last, b));
		if (r->chain)
			text_printf(out, ">%s", r->chain);
	}
}

#define PRINT_RUNS_MAX 16

/* Runs of neighbouring buckets with the same lane: "0-127>lane0 128>lane3". */
static void print_buckets(const struct obj_nft_buckets *b, struct text *out)
{
	unsigned int i = 0, runs = 0;

	text_printf(out, "buckets=");
	while (i < MODEL_BUCKETS) {
		unsigned int j = i;

		while (j + 1 < MODEL_BUCKETS && b->lane_slot[j + 1] == b->lane_slot[i])
			j++;
		if (b->lane_slot[i] && ++runs > PRINT_RUNS_MAX) {
			text_printf(out, "...");
			return;
		}
		if (b->lane_slot[i]) {
			text_printf(out, i == j ? "%u" : "%u-%u", i, j);
			text_printf(out, ">lane%u ", b->lane_slot[i] - 1u);
		}
		i = j + 1;
	}
}

void world_print_rest(const struct obj *o, struct text *out)
{
	char key[MODEL_KEY_STRLEN];

	switch (o->kind) {
	case OBJ_LINK:
		text_printf(out, "alias=%s mtu=%u %s", o->link.alias ? o->link.alias : "-",
			    o->link.mtu, o->link.up ? "up" : "down");
		break;
	case OBJ_WGDEV:
		text_printf(out, "key=%s port=%u fwmark=0x%x", key_print(&o->wgdev.public_key, key),
			    o->wgdev.port, o->wgdev.fwmark);
		break;
	case OBJ_WGPEER:
		print_peer(&o->wgpeer, out);
		break;
	case OBJ_MODE:
		text_printf(out, "mode=%s", model_mode_name(o->mode.mode));
		break;
	case OBJ_SYSCTL:
		text_printf(out, "value=%d", o->sysctl.value);
		break;
	case OBJ_NIC:
		text_printf(out, "fields=0x%llx", (unsigned long long)o->nic.fields);
		break;
	case OBJ_ROUTE:
		print_route(o, out);
		break;
	case OBJ_NFT_CHAIN:
		print_chain(&o->chain, out);
		break;
	case OBJ_NFT_NETS:
		print_nets(&o->nets, out);
		break;
	case OBJ_NFT_BUCKETS:
		print_buckets(o->buckets, out);
		break;
	case OBJ_ADDR:
	case OBJ_RULE:
	case OBJ_NFT_TABLE:
	case OBJ_KINDS:
		break;
	}
}
