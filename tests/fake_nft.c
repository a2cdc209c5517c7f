/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: The nf_tables half of the fake kernel: one transaction. Ops are applied, what goes before
 * what comes; then everything in both tables must have all that it leads to, or nothing was done.
 * Invariant: a packet that follows any rule, range or bucket always finds a chain.
 */
#include "fake_kernel.h"

#include <errno.h>
#include <string.h>

#include "nft_rule.h"

static struct obj *find_nft(enum obj_kind kind, enum nft_table_id table, const char *name)
{
	struct obj key = {.kind = kind, .table = table, .name = name};

	return fake_find(&key);
}

static void empty_table(enum nft_table_id table)
{
	struct world *w = &fake_kernel.world;

	for (size_t i = w->n; i-- > 0;)
		if (w->objs[i].kind >= OBJ_NFT_TABLE && w->objs[i].table == table)
			fake_take_at(i);
}

/* Elements that differ between want and have: those to go must be there, those to come not. */
static int change_buckets(struct obj *now, const struct obj *want, const struct obj *have)
{
	const uint8_t *w = want->buckets->lane_slot, *h = have->buckets->lane_slot;

	for (unsigned int i = 0; i < MODEL_BUCKETS; i++) {
		if (w[i] == h[i])
			continue;
		if (now->buckets->lane_slot[i] != h[i])
			return now->buckets->lane_slot[i] ? -EEXIST : -ENOENT;
		now->buckets->lane_slot[i] = w[i];
	}
	return 0;
}

static bool remade(const struct op *op)
{
	return op->verb == OP_SET && op->kind == OBJ_NFT_NETS &&
	       (op->want->nets.family != op->have->nets.family ||
		op->want->nets.is_map != op->have->nets.is_map);
}

/* What goes makes room first: `removing` ops, then the others. */
static int apply_nft(const struct op *op, bool removing)
{
	const struct obj *o = op->want ? op->want : op->have;
	struct obj *now = fake_find(o), copy;

	if (removing) {
		if (op->verb == OP_DEL && op->kind == OBJ_NFT_TABLE)
			empty_table(o->table);
		else if (op->verb == OP_DEL && now)
			fake_take(now);
		else if (op->verb == OP_DEL || (remade(op) && !now))
			return -ENOENT;
		return 0;
	}
	if (op->verb == OP_DEL)
		return 0;
	if (op->kind == OBJ_NFT_TABLE) {
		empty_table(o->table);
		fake_put(o);
		return 0;
	}
	if (op->verb == OP_ADD && now)
		return -EEXIST;
	if (op->verb == OP_SET && !now)
		return -ENOENT;
	if (op->verb == OP_SET && op->kind == OBJ_NFT_BUCKETS) {
		fake_kernel_copy(&fake_kernel.world.arena, now, &copy);
		*now = copy; /* the old one is kept, in case all is undone */
		return change_buckets(now, op->want, op->have);
	}
	if (now)
		fake_take(now);
	fake_put(o);
	return 0;
}

static bool leads_to_chain(enum nft_table_id table, const char *name)
{
	const struct obj *o = find_nft(OBJ_NFT_CHAIN, table, name);

	return o && o->chain.hook == NFT_HOOK_NONE;
}

static bool rule_stands(const struct obj *chain, const char *line)
{
	const struct obj *set;
	struct nft_rule r;

	if (nft_rule_parse(line, &r))
		return false;
	switch (r.kind) {
	case NFT_RULE_FRAG:
	case NFT_RULE_PORTS:
	case NFT_RULE_GOTO:
		return leads_to_chain(chain->table, r.target);
	case NFT_RULE_HASH:
		return find_nft(OBJ_NFT_BUCKETS, chain->table, r.target) != NULL;
	case NFT_RULE_NETS:
	case NFT_RULE_DROP:
		set = find_nft(OBJ_NFT_NETS, chain->table, r.target);
		return set && set->nets.family == r.family &&
		       set->nets.is_map == (r.kind == NFT_RULE_NETS);
	case NFT_RULE_OUTER:
	case NFT_RULE_MARK:
	case NFT_RULE_OIF_PREFIX:
	case NFT_RULE_OIF_LO:
	case NFT_RULE_MSS:
		break;
	}
	return true;
}

static bool nets_stand(const struct obj *o)
{
	for (size_t i = 0; i < o->nets.n_ranges; i++) {
		const struct nft_range *r = &o->nets.ranges[i];

		if (r->first.family != o->nets.family || r->last.family != o->nets.family ||
		    addr_cmp(&r->first, &r->last) > 0)
			return false;
		if (i && addr_cmp(&o->nets.ranges[i - 1].last, &r->first) >= 0)
			return false;
		if (o->nets.is_map != (r->chain != NULL))
			return false;
		if (r->chain && !leads_to_chain(o->table, r->chain))
			return false;
	}
	return true;
}

static bool buckets_stand(const struct obj *o)
{
	bool seen[UINT8_MAX + 1] = {false};

	for (unsigned int i = 0; i < MODEL_BUCKETS; i++)
		seen[o->buckets->lane_slot[i]] = true;
	for (unsigned int slot = 1; slot <= UINT8_MAX; slot++) {
		char name[16] = "lane";

		if (!seen[slot])
			continue;
		if (slot > 10)
			name[4] = (char)('0' + (slot - 1) / 10);
		name[strlen(name)] = (char)('0' + (slot - 1) % 10);
		if (slot > MODEL_LANES_MAX || !leads_to_chain(o->table, name))
			return false;
	}
	return true;
}

/* Everything an object leads to is there. */
static bool stands(const struct obj *o)
{
	if (o->kind > OBJ_NFT_TABLE && !find_nft(OBJ_NFT_TABLE, o->table, NULL))
		return false;
	for (size_t i = 0; o->kind == OBJ_NFT_CHAIN && i < o->chain.n_rules; i++)
		if (!rule_stands(o, o->chain.rules[i]))
			return false;
	if (o->kind == OBJ_NFT_NETS)
		return nets_stand(o);
	return o->kind != OBJ_NFT_BUCKETS || buckets_stand(o);
}

int fake_nft_run(const struct op *ops, size_t n)
{
	struct world *w = &fake_kernel.world;
	struct obj *at = w->objs, *before = arena_alloc(&w->arena, w->n, sizeof(*before));
	size_t n_before = w->n;
	bool removes = false;
	int err = 0;

	if (n_before)
		memcpy(before, at, n_before * sizeof(*before));
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < n && !err; i++) {
			removes = removes || ops[i].verb == OP_DEL;
			err = apply_nft(&ops[i], pass == 0);
		}
	for (size_t i = 0; i < w->n && !err; i++)
		if (w->objs[i].kind >= OBJ_NFT_TABLE && !stands(&w->objs[i]))
			err = removes ? -EBUSY : -ENOENT;
	if (!err)
		return 0;
	w->objs = at;
	w->n = n_before;
	if (n_before)
		memcpy(at, before, n_before * sizeof(*before));
	return err;
}
