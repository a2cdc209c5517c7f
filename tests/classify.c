/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: The way of a packet through a world. It follows the kernel: a base chain's end accepts, a
 * goto does not return, a rule's lookup that finds nothing or a throw route goes on to the next
 * rule, a goto to a preference that is not there is passed over, the longest prefix wins and then
 * the lowest metric, WireGuard gives a packet to the entry with the longest allowed IP. What no
 * rule of ours decides leaves in clear. Invariant: the world is only read.
 */
#include "classify.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "nft_rule.h"

/* ---- the index ---- */

static void collect(struct classifier *c, const struct obj ***list, size_t *n, const struct obj *o)
{
	const struct obj **slot = arena_grow(&c->arena, (void **)list, n, sizeof(*slot));

	*slot = o;
}

void classify_open(const struct world *w, struct classifier *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->w = w;
	for (size_t i = 0; i < w->n; i++) {
		const struct obj *o = &w->objs[i];

		switch (o->kind) {
		case OBJ_LINK:
			collect(ret, &ret->links, &ret->n_links, o);
			break;
		case OBJ_WGPEER:
			collect(ret, &ret->peers, &ret->n_peers, o);
			break;
		case OBJ_ROUTE:
			collect(ret, &ret->routes, &ret->n_routes, o);
			break;
		case OBJ_RULE:
			collect(ret, &ret->rules, &ret->n_rules, o);
			break;
		case OBJ_NFT_CHAIN:
			collect(ret, &ret->chains, &ret->n_chains, o);
			break;
		case OBJ_NFT_NETS:
		case OBJ_NFT_BUCKETS:
			collect(ret, &ret->sets, &ret->n_sets, o);
			break;
		case OBJ_WGDEV:
		case OBJ_MODE:
		case OBJ_ADDR:
		case OBJ_SYSCTL:
		case OBJ_NIC:
		case OBJ_NFT_TABLE:
		case OBJ_KINDS:
			break;
		}
	}
	/* Insertion keeps rules of one preference in order of arrival. */
	for (size_t i = 1; i < ret->n_rules; i++) {
		const struct obj *o = ret->rules[i];
		size_t j = i;

		for (; j > 0 && ret->rules[j - 1]->rule.pref > o->rule.pref; j--)
			ret->rules[j] = ret->rules[j - 1];
		ret->rules[j] = o;
	}
}

void classify_done(struct classifier *c)
{
	arena_done(&c->arena);
	memset(c, 0, sizeof(*c));
}

/* ---- nf_tables ---- */

/* Lines are few and parsed over and over: they are kept. */
static const struct nft_rule *parse(const char *line)
{
	static struct kept {
		char line[NFT_RULE_LINE_MAX + 1];
		struct nft_rule rule;
	} kept[1024];
	uint32_t at = flow_jhash(line, (uint32_t)strlen(line), 0) % 1024;
	struct kept *k = &kept[at];

	if (strcmp(k->line, line) != 0) {
		if (nft_rule_parse(line, &k->rule))
			return NULL;
		strcpy(k->line, line);
	}
	return &k->rule;
}

static const struct obj *find_named(const struct obj *const *list, size_t n,
				    enum nft_table_id table, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (list[i]->table == table && strcmp(list[i]->name, name) == 0)
			return list[i];
	return NULL;
}

static const struct nft_range *find_range(const struct obj *set, const struct ipaddr *dst)
{
	if (!set || set->kind != OBJ_NFT_NETS)
		return NULL;
	for (size_t i = 0; i < set->nets.n_ranges; i++)
		if (addr_cmp(&set->nets.ranges[i].first, dst) <= 0 &&
		    addr_cmp(dst, &set->nets.ranges[i].last) <= 0)
			return &set->nets.ranges[i];
	return NULL;
}

struct walk {
	const struct classifier *c;
	const struct packet *p;
	enum nft_table_id table;
	const char *oif; /* "" before routing */
	uint32_t mark;
	bool dropped, over;
	const struct obj *chain; /* to go on with, when not over */
};

static void walk_goto(struct walk *w, const char *chain)
{
	w->chain = find_named(w->c->chains, w->c->n_chains, w->table, chain);
	w->over = !w->chain;
}

/* "goto lane<slot-1>" */
static void walk_bucket(struct walk *w, const struct nft_rule *r, const struct obj *map)
{
	struct flow f = w->p->flow;
	unsigned int slot;
	char name[16];

	if (!map || map->kind != OBJ_NFT_BUCKETS)
		return;
	if (!r->ports)
		f.proto = 0;
	slot = map->buckets->lane_slot[flow_bucket(&f, r->seed, r->swap)];
	if (!slot)
		return;
	snprintf(name, sizeof(name), "lane%u", slot - 1);
	walk_goto(w, name);
}

/* Sets w->chain or w->over when the packet does not go on with the next rule. */
static void walk_rule(struct walk *w, const struct nft_rule *r)
{
	const struct flow *f = &w->p->flow;
	const struct nft_range *range;
	const struct obj *set;

	if (r->family && r->family != f->dst.family)
		return;
	set = find_named(w->c->sets, w->c->n_sets, w->table, r->target);
	switch (r->kind) {
	case NFT_RULE_OUTER:
		w->over = (w->mark & r->mask) == r->mark;
		break;
	case NFT_RULE_NETS:
		range = find_range(set, &f->dst);
		if (range)
			walk_goto(w, range->chain ? range->chain : "");
		break;
	case NFT_RULE_FRAG:
		if (w->p->fragment)
			walk_goto(w, r->target);
		break;
	case NFT_RULE_PORTS:
		if (flow_has_ports(f->proto))
			walk_goto(w, r->target);
		break;
	case NFT_RULE_HASH:
		walk_bucket(w, r, set);
		break;
	case NFT_RULE_GOTO:
		walk_goto(w, r->target);
		break;
	case NFT_RULE_MARK:
		w->mark = (w->mark & ~r->mask) | r->mark;
		break;
	case NFT_RULE_OIF_PREFIX:
		w->over = strncmp(w->oif, r->target, strlen(r->target)) == 0;
		break;
	case NFT_RULE_OIF_LO:
		w->over = strcmp(w->oif, "lo") == 0;
		break;
	case NFT_RULE_DROP:
		w->dropped = w->over = find_range(set, &f->dst) != NULL;
		break;
	case NFT_RULE_MSS:
		break;
	}
}

static void walk_chain(struct walk *w, const struct obj *chain)
{
	while (chain && !w->over) {
		const struct obj *now = chain;

		w->chain = NULL;
		for (size_t i = 0; i < now->chain.n_rules && !w->over && !w->chain; i++) {
			const struct nft_rule *r = parse(now->chain.rules[i]);

			if (r)
				walk_rule(w, r);
		}
		chain = w->chain;
	}
}

/* All base chains of a hook, in any order: ours do not depend on it. */
static bool hook(const struct classifier *c, enum nft_hook which, const struct packet *p,
		 const char *oif, uint32_t *mark)
{
	for (size_t i = 0; i < c->n_chains; i++) {
		const struct obj *o = c->chains[i];
		struct walk w = {.c = c, .p = p, .table = o->table, .oif = oif, .mark = *mark};

		if (o->chain.hook != which)
			continue;
		walk_chain(&w, o);
		*mark = w.mark;
		if (w.dropped)
			return false;
	}
	return true;
}

/* ---- routing ---- */

static const struct obj *find_link(const struct classifier *c, const char *dev)
{
	for (size_t i = 0; i < c->n_links; i++)
		if (strcmp(c->links[i]->dev, dev) == 0)
			return c->links[i];
	return NULL;
}

static const struct obj *lookup(const struct classifier *c, uint32_t table,
				const struct ipaddr *dst)
{
	const struct obj *best = NULL;

	for (size_t i = 0; i < c->n_routes; i++) {
		const struct obj *o = c->routes[i], *link;
		const struct obj_route *r = &o->route;

		if (r->table != table || !addr_in(&r->dst, dst))
			continue;
		link = r->type == ROUTE_UNICAST ? find_link(c, o->dev) : NULL;
		if (r->type == ROUTE_UNICAST && !(link && link->link.up))
			continue;
		if (!best || r->dst.len > best->route.dst.len ||
		    (r->dst.len == best->route.dst.len && r->metric < best->route.metric))
			best = o;
	}
	return best;
}

static size_t rule_at(const struct classifier *c, uint8_t family, uint32_t pref, size_t other)
{
	for (size_t i = 0; i < c->n_rules; i++)
		if (c->rules[i]->rule.family == family && c->rules[i]->rule.pref == pref)
			return i;
	return other;
}

/* NULL: no rule decides. */
static const struct obj *route(const struct classifier *c, const struct ipaddr *dst, uint32_t mark)
{
	const struct obj *found;

	for (size_t i = 0; i < c->n_rules;) {
		const struct obj_rule *r = &c->rules[i++]->rule;

		if (r->family != dst->family || (mark & r->mask) != r->mark)
			continue;
		switch (r->action) {
		case RULE_LOOKUP:
			found = lookup(c, r->target, dst);
			if (found && found->route.type != ROUTE_THROW)
				return found;
			break;
		case RULE_GOTO:
			i = rule_at(c, r->family, r->target, i);
			break;
		case RULE_NOP:
			break;
		}
	}
	return NULL;
}

/* The entry of a device that a packet is encrypted for. */
static const struct obj *find_entry(const struct classifier *c, const char *dev,
				    const struct ipaddr *dst)
{
	const struct obj *best = NULL;
	int best_len = -1;

	for (size_t i = 0; i < c->n_peers; i++) {
		const struct obj_wgpeer *e = &c->peers[i]->wgpeer;

		if (strcmp(c->peers[i]->dev, dev) != 0)
			continue;
		for (size_t j = 0; j < e->n_allowed; j++)
			if (e->allowed[j].len > best_len && addr_in(&e->allowed[j], dst)) {
				best = c->peers[i];
				best_len = e->allowed[j].len;
			}
	}
	return best;
}

void classify(const struct classifier *c, const struct packet *p, struct verdict *ret)
{
	const struct obj *way, *entry;

	memset(ret, 0, sizeof(*ret));
	ret->fate = FATE_DROPPED;
	ret->mark = p->mark;
	hook(c, p->local ? NFT_HOOK_OUTPUT_ROUTE : NFT_HOOK_PREROUTING, p, "", &ret->mark);
	way = route(c, &p->flow.dst, ret->mark);
	if (way && way->route.type == ROUTE_UNREACHABLE) {
		ret->why = "unreachable";
		return;
	}
	ret->dev = way ? way->dev : "main";
	if (!hook(c, NFT_HOOK_POSTROUTING, p, ret->dev, &ret->mark)) {
		ret->why = "guarded";
		return;
	}
	if (strncmp(ret->dev, MODEL_DEV_PREFIX, strlen(MODEL_DEV_PREFIX)) != 0) {
		ret->fate = FATE_CLEAR;
		ret->why = "in clear";
		return;
	}
	entry = find_entry(c, ret->dev, &p->flow.dst);
	if (!entry) {
		ret->why = "no entry allows it";
		return;
	}
	ret->fate = FATE_TUNNEL;
	ret->why = "encrypted";
	ret->peer = entry->wgpeer.public_key;
}

void classify_print(const struct packet *p, const struct verdict *v, struct text *out)
{
	char a[ADDR_STRLEN], b[ADDR_STRLEN], key[MODEL_KEY_STRLEN];

	text_printf(out, "%s:%u > %s:%u proto %u%s%s mark 0x%x: %s, dev %s, mark 0x%x",
		    addr_print(&p->flow.src, a), p->flow.sport, addr_print(&p->flow.dst, b),
		    p->flow.dport, p->flow.proto, p->fragment ? " fragment" : "",
		    p->local ? " local" : "", p->mark, v->why, v->dev ? v->dev : "-", v->mark);
	if (v->fate == FATE_TUNNEL)
		text_printf(out, ", peer %s", key_print(&v->peer, key));
}
