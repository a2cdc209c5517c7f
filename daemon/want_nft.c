/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: Which rules, maps and sets steer inner packets to lanes, and which keep them from leaving
 * in clear. NFTABLES.md's measurements are the reason for the shape:
 *
 *   wgscale:        pre, out --nets4/nets6--> steer4-PEER --> addr4-PEER or port4-PEER
 *                     --hash, map b-PEER--> laneN: set the mark
 *   wgscale_guard:  what is still addressed to a peer's network in postrouting and does not leave
 *                   by a lane is dropped
 *
 * A packet whose bucket has no element falls from port4 to addr4 and then out unmarked, into the
 * fallback table. Invariant: a peer in standby does not occur at all.
 */
#include "want_nft.h"

#include <string.h>
#include <sys/socket.h>

#include "nft_rule.h"

/* After destination NAT has been undone, so that replies of masqueraded flows are matched. */
#define PRIORITY_STEER (-100 + 10)
#define PRIORITY_GUARD (-150)
#define PRIORITY_MSS   (-150)

static void add_owned(struct arena *a, struct addr_owned **owned, size_t *n,
		      const struct prefix *prefix, int owner)
{
	struct addr_owned *o = arena_grow(a, (void **)owned, n, sizeof(*o));

	o->prefix = *prefix;
	o->owner = owner;
}

static bool overlaps_any(const struct addr_owned *owned, size_t n, const struct prefix *p)
{
	for (size_t i = 0; i < n; i++)
		if (owned[i].owner >= 0 && addr_contains(&owned[i].prefix, p))
			return true;
	return false;
}

void want_nft_owned(const struct want_input *in, uint8_t family, struct arena *a,
		    struct addr_owned **ret_owned, size_t *ret_n)
{
	/* Multicast, broadcast, link-local: of the link, whatever a peer claims. */
	static const char *const links[] = {"224.0.0.0/4", "255.255.255.255/32", "169.254.0.0/16",
					    "127.0.0.0/8", "fe80::/10",		 "ff00::/8"};
	const struct config *c = in->site->config;
	struct addr_owned *owned = NULL;
	size_t n = 0, claims;

	for (size_t i = 0; i < in->site->n_peers; i++) {
		const struct peer *p = &in->site->peers[i];

		for (size_t j = 0; p->traffic == TRAFFIC_ON && j < p->n_networks; j++)
			if (p->networks[j].addr.family == family)
				add_owned(a, &owned, &n, &p->networks[j], (int)i);
	}
	for (size_t i = 0; i < in->site->n_held; i++)
		if (in->site->held[i].addr.family == family &&
		    !site_carries(in->site, &in->site->held[i]))
			add_owned(a, &owned, &n, &in->site->held[i], (int)in->site->n_peers);
	claims = n;
	for (size_t i = 0; i < c->networks.n; i++)
		if (c->networks.items[i].prefix.addr.family == family &&
		    overlaps_any(owned, claims, &c->networks.items[i].prefix))
			add_owned(a, &owned, &n, &c->networks.items[i].prefix, -1);
	for (size_t i = 0; in->facts && i < in->facts->n_addrs; i++) {
		const struct fact_addr *f = &in->facts->addrs[i];
		struct prefix host = addr_host(&f->addr);

		if (f->prefix.addr.family != family)
			continue;
		if (overlaps_any(owned, claims, &f->prefix))
			add_owned(a, &owned, &n, &f->prefix, -1);
		else if (overlaps_any(owned, claims, &host))
			add_owned(a, &owned, &n, &host, -1);
	}
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		struct prefix p;

		if (addr_parse_prefix(links[i], &p) == 0 && p.addr.family == family &&
		    overlaps_any(owned, claims, &p))
			add_owned(a, &owned, &n, &p, -1);
	}
	*ret_owned = owned;
	*ret_n = n;
}

static struct obj *add_chain(struct world *w, enum nft_table_id table, const char *name,
			     enum nft_hook hook, int priority)
{
	struct obj *o = world_add(w, OBJ_NFT_CHAIN);

	o->table = table;
	o->name = name;
	o->chain.hook = hook;
	o->chain.priority = priority;
	return o;
}

static void add_rule(struct world *w, struct obj *chain, const struct nft_rule *rule)
{
	struct text line = {0};
	const char **slot = arena_grow(&w->arena, (void **)&chain->chain.rules,
				       &chain->chain.n_rules, sizeof(*slot));

	nft_rule_print(rule, &line);
	*slot = arena_strdup(&w->arena, text_str(&line));
	text_done(&line);
}

static struct nft_rule rule_to(enum nft_rule_kind kind, uint8_t family, const char *target)
{
	struct nft_rule r = {.kind = kind, .family = family};

	strncpy(r.target, target, sizeof(r.target) - 1);
	return r;
}

static char family_digit(uint8_t family)
{
	return family == AF_INET6 ? '6' : '4';
}

/* The chain of peer number `owner` for one family. */
static const char *peer_chain(struct world *w, const struct want_input *in, const char *stem,
			      uint8_t family, size_t owner)
{
	return arena_printf(&w->arena, "%s%c-%s", stem, family_digit(family),
			    in->site->peers[owner].id);
}

static void add_nets(struct world *w, const struct want_input *in, uint8_t family)
{
	const char *name = family == AF_INET6 ? "nets6" : "nets4";
	struct obj_nft_nets steer = {.family = family, .is_map = true};
	struct obj_nft_nets guard = {.family = family};
	struct addr_owned *owned;
	struct addr_range *ranges;
	struct obj *o;
	size_t n, n_ranges;

	want_nft_owned(in, family, &w->arena, &owned, &n);
	addr_flatten(&w->arena, owned, n, &ranges, &n_ranges);
	steer.ranges = arena_alloc(&w->arena, n_ranges, sizeof(*steer.ranges));
	guard.ranges = arena_alloc(&w->arena, n_ranges, sizeof(*guard.ranges));
	for (size_t i = 0; i < n_ranges; i++) {
		struct nft_range *last = guard.n_ranges ? &guard.ranges[guard.n_ranges - 1] : NULL;
		struct ipaddr next = ranges[i].first;

		if ((size_t)ranges[i].owner < in->site->n_peers)
			steer.ranges[steer.n_ranges++] = (struct nft_range){
				.first = ranges[i].first,
				.last = ranges[i].last,
				.chain =
					peer_chain(w, in, "steer", family, (size_t)ranges[i].owner),
			};
		/* The guard does not care whose: neighbours become one range. */
		for (int b = (int)addr_bytes(family) - 1; b >= 0 && next.b[b]-- == 0; b--)
			;
		if (last && addr_cmp(&last->last, &next) == 0)
			last->last = ranges[i].last;
		else
			guard.ranges[guard.n_ranges++] = (struct nft_range){
				.first = ranges[i].first, .last = ranges[i].last};
	}
	if (!in->guard_only) {
		o = world_add(w, OBJ_NFT_NETS);
		o->table = NFT_TABLE_STEER;
		o->name = name;
		o->nets = steer;
	}
	o = world_add(w, OBJ_NFT_NETS);
	o->table = NFT_TABLE_GUARD;
	o->name = name;
	o->nets = guard;
}

static void add_peer_family(struct world *w, const struct want_input *in, size_t index,
			    uint8_t family, const char *map)
{
	const struct peer *p = &in->site->peers[index];
	const char *addr = peer_chain(w, in, "addr", family, index);
	const char *port = peer_chain(w, in, "port", family, index);
	struct nft_rule rule = rule_to(NFT_RULE_FRAG, family, addr);
	struct obj *chain;

	chain = add_chain(w, NFT_TABLE_STEER, peer_chain(w, in, "steer", family, index),
			  NFT_HOOK_NONE, 0);
	add_rule(w, chain, &rule);
	rule = rule_to(NFT_RULE_PORTS, 0, port);
	add_rule(w, chain, &rule);
	rule = rule_to(NFT_RULE_GOTO, 0, addr);
	add_rule(w, chain, &rule);

	rule = rule_to(NFT_RULE_HASH, family, map);
	rule.seed = p->seed;
	rule.swap = p->swap;
	chain = add_chain(w, NFT_TABLE_STEER, addr, NFT_HOOK_NONE, 0);
	add_rule(w, chain, &rule);
	rule.ports = true;
	chain = add_chain(w, NFT_TABLE_STEER, port, NFT_HOOK_NONE, 0);
	add_rule(w, chain, &rule);
	rule = rule_to(NFT_RULE_GOTO, 0, addr);
	add_rule(w, chain, &rule);
}

static void add_peer(struct world *w, const struct want_input *in, size_t index)
{
	const struct peer *p = &in->site->peers[index];
	const char *map = arena_printf(&w->arena, "b-%s", p->id);
	struct obj *o = world_add(w, OBJ_NFT_BUCKETS);

	o->table = NFT_TABLE_STEER;
	o->name = map;
	for (unsigned int b = 0; b < MODEL_BUCKETS; b++) {
		uint16_t t = in->peers[index].map[b];

		if (t < p->n_tunnels)
			o->buckets->lane_slot[b] = (uint8_t)(p->tunnels[t].ours + 1);
	}
	add_peer_family(w, in, index, AF_INET, map);
	add_peer_family(w, in, index, AF_INET6, map);
}

static void add_hooks(struct world *w, const struct want_input *in)
{
	static const struct {
		const char *name;
		enum nft_hook hook;
	} hooks[] = {{"pre", NFT_HOOK_PREROUTING}, {"out", NFT_HOOK_OUTPUT_ROUTE}};
	uint32_t outer = in->site->config->mark_mask;
	struct nft_rule rule;
	struct obj *chain;

	for (size_t i = 0; i < 2; i++) {
		chain = add_chain(w, NFT_TABLE_STEER, hooks[i].name, hooks[i].hook, PRIORITY_STEER);
		rule = rule_to(NFT_RULE_OUTER, 0, "");
		rule.mark = rule.mask = outer;
		add_rule(w, chain, &rule);
		rule = rule_to(NFT_RULE_NETS, AF_INET, "nets4");
		add_rule(w, chain, &rule);
		rule = rule_to(NFT_RULE_NETS, AF_INET6, "nets6");
		add_rule(w, chain, &rule);
	}
	/* A TCP peer behind a broken path learns the tunnel's size from the handshake. */
	chain = add_chain(w, NFT_TABLE_STEER, "mss", NFT_HOOK_FORWARD, PRIORITY_MSS);
	rule = rule_to(NFT_RULE_MSS, 0, MODEL_DEV_PREFIX);
	add_rule(w, chain, &rule);
	rule.iif = true;
	add_rule(w, chain, &rule);
}

static void add_lane(struct world *w, const struct want_input *in, const struct lane *lane)
{
	uint32_t mask = in->site->config->mark_mask;
	struct nft_rule rule = rule_to(NFT_RULE_MARK, 0, "");
	struct obj *chain;

	chain = add_chain(w, NFT_TABLE_STEER, arena_printf(&w->arena, "lane%u", lane->number),
			  NFT_HOOK_NONE, 0);
	rule.mark = model_mark(mask, lane->number + 1);
	rule.mask = mask;
	add_rule(w, chain, &rule);
}

static void add_guard(struct world *w, const struct want_input *in)
{
	struct obj *chain =
		add_chain(w, NFT_TABLE_GUARD, "post", NFT_HOOK_POSTROUTING, PRIORITY_GUARD);
	struct nft_rule rule = rule_to(NFT_RULE_OIF_PREFIX, 0, MODEL_DEV_PREFIX);

	add_rule(w, chain, &rule);
	rule = rule_to(NFT_RULE_OIF_LO, 0, "");
	add_rule(w, chain, &rule);
	rule = rule_to(NFT_RULE_OUTER, 0, "");
	rule.mark = rule.mask = in->site->config->mark_mask;
	add_rule(w, chain, &rule);
	rule = rule_to(NFT_RULE_DROP, AF_INET, "nets4");
	add_rule(w, chain, &rule);
	rule = rule_to(NFT_RULE_DROP, AF_INET6, "nets6");
	add_rule(w, chain, &rule);
}

void want_nft_build(const struct want_input *in, struct world *w)
{
	world_add(w, OBJ_NFT_TABLE)->table = NFT_TABLE_GUARD;
	add_guard(w, in);
	add_nets(w, in, AF_INET);
	add_nets(w, in, AF_INET6);
	if (in->guard_only)
		return;
	world_add(w, OBJ_NFT_TABLE)->table = NFT_TABLE_STEER;
	add_hooks(w, in);
	for (size_t i = 0; i < in->site->n_lanes; i++)
		add_lane(w, in, &in->site->lanes[i]);
	for (size_t i = 0; i < in->site->n_peers; i++)
		if (in->site->peers[i].traffic == TRAFFIC_ON)
			add_peer(w, in, i);
}
