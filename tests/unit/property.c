/* SPDX-License-Identifier: GPL-2.0-only */
// link: tests/fake_kernel.c tests/fake_nft.c tests/classify.c tests/pass.c tests/random_site.c
/*
 * DOC: Properties of want.c and plan.c over random sites on the fake kernel: a plan settles within
 * three rounds, from anywhere and although an op fails; what is not ours stays as it is; the same
 * input gives the same plan; and after every single change on the way from one configuration to
 * the next, no packet of a peer's network leaves in clear, whoever's peer and lanes did not change
 * is served throughout, and everybody else's packets go their own way.
 *
 * PROPERTY_RUNS says how many runs (300), PROPERTY_SEED which is the first (from the clock).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <cmocka.h>

#include "classify.h"
#include "fake_kernel.h"
#include "map.h"
#include "pass.h"
#include "random_site.h"

#define ROUNDS_MAX 3
#define FLOWS_MAX  64
#define FAILURES   3 /* injected, one after the other, per run */

static const struct ownership own = {.table_base = 21820, .rule_base = 1200};

enum watch {
	WATCH_NOTHING,
	WATCH_LEAKS, /* never in clear */
	WATCH_ALL,   /* and served throughout */
};

struct watched {
	struct packet packet;
	const struct peer *before, *after; /* whose network it is for, or NULL */
	bool outer, unchanged;
};

struct run {
	uint64_t seed;
	struct rng rng;
	bool ipv6;
	struct setup a, b;
	struct watched flows[FLOWS_MAX];
	size_t n_flows;
	enum watch watch;
	size_t step;
	struct text broken; /* the first thing that was not as it should be */
};

static void complain(struct run *r, const char *what)
{
	text_reset(&r->broken);
	text_printf(&r->broken, "seed %llu: %s\nfrom ", (unsigned long long)r->seed, what);
	spec_print(&r->a.spec, &r->broken);
	text_printf(&r->broken, "\nto   ");
	spec_print(&r->b.spec, &r->broken);
}

/* cmocka cuts long messages. */
static void stop(const struct run *r)
{
	fprintf(stderr, "%s\n", text_str(&r->broken));
	fail();
}

#define CHECK(r, ok)                      \
	do {                              \
		if (!(ok)) {              \
			complain(r, #ok); \
			stop(r);          \
		}                         \
	} while (0)

/* ---- whose packet it is, by the rules in DESIGN 5, not by the code under test ---- */

static bool holds(const char *prefix, const struct ipaddr *dst, int *len)
{
	struct prefix p;

	assert_int_equal(addr_parse_prefix(prefix, &p), 0);
	if (!addr_in(&p, dst))
		return false;
	*len = p.len > *len ? p.len : *len;
	return true;
}

static int hole(const struct setup *s, const struct ipaddr *dst)
{
	static const char *const links[] = {"224.0.0.0/4", "169.254.0.0/16", "fe80::/10",
					    "ff00::/8",	   "127.0.0.0/8",    "255.255.255.255/32"};
	int len = -1;

	for (size_t i = 0; i < s->config->networks.n; i++) {
		const struct prefix *p = &s->config->networks.items[i].prefix;

		if (addr_in(p, dst) && p->len > len)
			len = p->len;
	}
	for (size_t i = 0; i < s->facts.n_addrs; i++)
		if (addr_in(&s->facts.addrs[i].prefix, dst) && s->facts.addrs[i].prefix.len > len)
			len = s->facts.addrs[i].prefix.len;
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		holds(links[i], dst, &len);
	return len;
}

static const struct peer *owner(const struct setup *s, const struct ipaddr *dst)
{
	const struct peer *best = NULL;
	int len = hole(s, dst);

	for (size_t i = 0; i < s->site->n_peers && !s->spec.down; i++) {
		const struct peer *p = &s->site->peers[i];

		for (size_t j = 0; j < p->n_networks && p->traffic == TRAFFIC_ON; j++)
			if (p->networks[j].len > len && addr_in(&p->networks[j], dst)) {
				best = p;
				len = p->networks[j].len;
			}
	}
	return best;
}

static bool carries(const struct setup *s)
{
	return !s->spec.down && !s->spec.guard_only;
}

/* The same tunnels, and every bucket on the same one. */
static bool same_service(const struct run *r, const struct peer *p, const struct peer *q)
{
	if (!p || !q || strcmp(p->id, q->id) != 0 || !carries(&r->a) || !carries(&r->b) ||
	    p->n_tunnels != q->n_tunnels)
		return false;
	for (size_t t = 0; t < p->n_tunnels; t++)
		if (p->tunnels[t].ours != q->tunnels[t].ours ||
		    key_cmp(&p->tunnels[t].key, &q->tunnels[t].key) != 0)
			return false;
	return memcmp(r->a.peers[p->index].map, r->b.peers[q->index].map,
		      sizeof(r->a.peers[0].map)) == 0;
}

static bool is_tunnel_of(const struct setup *s, const struct peer *p, const struct verdict *v)
{
	for (size_t t = 0; p && t < p->n_tunnels; t++)
		if (key_cmp(&p->tunnels[t].key, &v->peer) == 0 &&
		    strcmp(site_lane(s->site, p->tunnels[t].ours)->dev, v->dev) == 0)
			return true;
	return false;
}

static bool same_networks(const struct peer *p, const struct peer *q)
{
	if (!p || !q || strcmp(p->id, q->id) != 0 || p->n_networks != q->n_networks)
		return false;
	for (size_t i = 0; i < p->n_networks; i++)
		if (addr_cmp_prefix(&p->networks[i], &q->networks[i]) != 0)
			return false;
	return true;
}

/* While networks move between peers, whoever claims the address may get a packet. */
static bool is_tunnel_of_claimer(const struct setup *s, const struct ipaddr *dst,
				 const struct verdict *v)
{
	for (size_t i = 0; i < s->site->n_peers; i++)
		for (size_t j = 0; j < s->site->peers[i].n_networks; j++)
			if (addr_in(&s->site->peers[i].networks[j], dst) &&
			    is_tunnel_of(s, &s->site->peers[i], v))
				return true;
	return false;
}

static bool is_right_tunnel(const struct run *r, const struct watched *f, const struct verdict *v)
{
	const struct ipaddr *dst = &f->packet.flow.dst;

	if (is_tunnel_of(&r->a, f->before, v) || is_tunnel_of(&r->b, f->after, v))
		return true;
	if (r->watch == WATCH_ALL && same_networks(f->before, f->after))
		return false;
	return is_tunnel_of_claimer(&r->a, dst, v) || is_tunnel_of_claimer(&r->b, dst, v);
}

/* ---- judging ---- */

static const char *judge(const struct run *r, const struct watched *f, const struct verdict *v)
{
	if (f->outer)
		return v->fate == FATE_CLEAR ? NULL : "an outer packet did not leave";
	/* A throw route that the kernel refused leaves what it excepts to the routes around it. */
	if (!f->before && !f->after)
		return v->fate == FATE_CLEAR || r->watch != WATCH_ALL
			       ? NULL
			       : "a packet that is none of ours was touched";
	if (f->before && f->after && v->fate == FATE_CLEAR)
		return "a packet for a peer's network left in clear";
	if (v->fate == FATE_TUNNEL && !is_right_tunnel(r, f, v))
		return "a packet went to a wrong peer";
	if (r->watch == WATCH_ALL && f->unchanged && v->fate != FATE_TUNNEL)
		return "a packet of an unchanged peer was lost";
	return NULL;
}

static void report(struct run *r, const struct watched *f, const struct verdict *v,
		   const char *what)
{
	complain(r, what);
	text_printf(&r->broken, "\nop %zu: ", r->step);
	classify_print(&f->packet, v, &r->broken);
	text_printf(&r->broken, "\nit is for %s, then %s", f->before ? f->before->id : "nobody",
		    f->after ? f->after->id : "nobody");
}

/* Looks at some of the flows after each change; at each of them in turn. */
static void on_change(void *ctx)
{
	struct run *r = ctx;
	struct classifier c;

	r->step++;
	if (r->watch == WATCH_NOTHING || r->broken.len || !r->n_flows)
		return;
	classify_open(&fake_kernel.world, &c);
	for (size_t i = 0; i < 6 && !r->broken.len; i++) {
		const struct watched *f = &r->flows[(r->step * 5 + i) % r->n_flows];
		struct verdict v;
		const char *what;

		classify(&c, &f->packet, &v);
		what = judge(r, f, &v);
		if (what)
			report(r, f, &v, what);
	}
	classify_done(&c);
}

/* Settled: each packet must be exactly where its bucket says. */
static const char *judge_settled(const struct setup *s, const struct watched *f,
				 const struct verdict *v)
{
	const struct peer *p = owner(s, &f->packet.flow.dst);
	struct flow flow = f->packet.flow;
	uint16_t t;

	if (f->outer || !p)
		return v->fate == FATE_CLEAR ? NULL : "a packet that is none of ours is touched";
	if (s->spec.guard_only)
		return v->fate == FATE_DROPPED ? NULL : "the guard lets a packet through";
	if (v->fate != FATE_TUNNEL || !is_tunnel_of(s, p, v))
		return "a packet is not served";
	if (f->packet.fragment)
		flow.proto = 0;
	t = s->peers[p->index].map[flow_bucket(&flow, p->seed, p->swap)];
	if (t != MAP_NONE && key_cmp(&p->tunnels[t].key, &v->peer) != 0)
		return "a packet is in another tunnel than its bucket's";
	return NULL;
}

static void check_settled(struct run *r, const struct setup *s)
{
	struct classifier c;

	classify_open(&fake_kernel.world, &c);
	for (size_t i = 0; i < r->n_flows && !r->broken.len; i++) {
		struct verdict v;
		const char *what;

		classify(&c, &r->flows[i].packet, &v);
		what = judge_settled(s, &r->flows[i], &v);
		if (what)
			report(r, &r->flows[i], &v, what);
	}
	classify_done(&c);
	if (r->broken.len)
		stop(r);
}

/* ---- flows ---- */

static struct watched *add_flow(struct run *r, const struct prefix *within)
{
	static const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_ICMP, 50};
	struct watched *f = &r->flows[r->n_flows];
	struct ipaddr *dst = &f->packet.flow.dst;
	unsigned int bytes = addr_bytes(within->addr.family);

	if (r->n_flows == FLOWS_MAX || (within->addr.family == AF_INET6 && !r->ipv6))
		return NULL;
	memset(f, 0, sizeof(*f));
	dst->family = within->addr.family;
	for (unsigned int i = 0; i < bytes; i++) {
		unsigned int fixed = within->len > 8 * i ? within->len - 8 * i : 0;
		uint8_t host = fixed >= 8 ? 0 : (uint8_t)(0xff >> fixed);

		dst->b[i] = (uint8_t)(within->addr.b[i] | (rng_next(&r->rng) & host));
	}
	f->packet.flow.src = *dst;
	f->packet.flow.src.b[bytes - 1] = (uint8_t)rng_next(&r->rng);
	f->packet.flow.proto = protos[rng_below(&r->rng, 5)];
	f->packet.flow.sport = (uint16_t)rng_next(&r->rng);
	f->packet.flow.dport = (uint16_t)rng_next(&r->rng);
	f->packet.fragment = rng_chance(&r->rng, 20);
	f->packet.local = rng_chance(&r->rng, 30);
	f->before = owner(&r->a, dst);
	f->after = owner(&r->b, dst);
	f->unchanged = same_service(r, f->before, f->after);
	r->n_flows++;
	return f;
}

static void make_flows(struct run *r)
{
	static const char *const others[] = {"10.1.0.0/24",    "10.1.0.0/16",	"10.99.0.0/24",
					     "203.0.113.0/24", "224.0.0.0/4",	"fd00:1::/64",
					     "10.0.0.0/8",     "192.168.0.0/16"};
	const struct setup *const setups[] = {&r->a, &r->b};
	struct watched *f;
	struct prefix p;

	r->n_flows = 0;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		assert_int_equal(addr_parse_prefix(others[i], &p), 0);
		add_flow(r, &p);
	}
	assert_int_equal(addr_parse_prefix("198.51.100.10/31", &p), 0);
	f = add_flow(r, &p);
	f->outer = f->packet.local = true;
	f->packet.mark = r->a.config->mark_mask;
	for (size_t i = 0; i < 2; i++)
		for (size_t k = 0; k < setups[i]->site->n_peers; k++) {
			const struct peer *peer = &setups[i]->site->peers[k];

			for (size_t j = 0; j < peer->n_networks; j++)
				add_flow(r, &peer->networks[j]);
		}
}

/* ---- rounds ---- */

static void check_wanted(struct run *r, const struct world *want)
{
	for (size_t i = 1; i < want->n; i++)
		CHECK(r, world_cmp_key(&want->objs[i - 1], &want->objs[i]) < 0);
}

static void check_same_plan(struct run *r, const struct setup *s, const struct world *have,
			    const struct plan *plan)
{
	struct text one = {0}, two = {0};
	struct world want;
	struct plan again;

	setup_want(s, &want);
	plan_build(&want, have, &again);
	pass_print(plan, &one);
	pass_print(&again, &two);
	CHECK(r, strcmp(text_str(&one), text_str(&two)) == 0);
	plan_done(&again);
	world_done(&want);
	text_done(&one);
	text_done(&two);
}

/* How many ops were needed; 0: it is settled. */
static size_t round_of(struct run *r, const struct setup *s, bool quiet, size_t *ret_leaving)
{
	struct world have, want;
	struct arena a = {0};
	struct plan plan;
	size_t n;

	assert_int_equal(pass_observe(&own, quiet, &have), 0);
	setup_want(s, &want);
	check_wanted(r, &want);
	plan_build(&want, &have, &plan);
	for (size_t i = 1; i < plan.n; i++)
		CHECK(r, plan.ops[i - 1].phase <= plan.ops[i].phase);
	if (rng_chance(&r->rng, 20))
		check_same_plan(r, s, &have, &plan);
	pass_apply(&plan, &a);
	if (r->broken.len) {
		text_printf(&r->broken, "\n");
		pass_print(&plan, &r->broken);
		stop(r);
	}
	n = plan.n;
	*ret_leaving = plan.leaving;
	arena_done(&a);
	plan_done(&plan);
	world_done(&want);
	world_done(&have);
	return n;
}

static void settle(struct run *r, const struct setup *s)
{
	unsigned int rounds = 0;
	size_t leaving;

	while (round_of(r, s, false, &leaving))
		CHECK(r, ++rounds <= ROUNDS_MAX);
	/* What is inert goes when it is quiet. */
	rounds = 0;
	while (round_of(r, s, true, &leaving))
		CHECK(r, ++rounds <= 1);
	CHECK(r, leaving == 0);
}

/* ---- what is not ours ---- */

static struct prefix prefix_of(const char *s)
{
	struct prefix p;

	assert_int_equal(addr_parse_prefix(s, &p), 0);
	return p;
}

static void put_route(uint32_t table, const char *dst, uint32_t metric, const char *dev)
{
	struct obj o = {.kind = OBJ_ROUTE, .dev = dev};

	o.route.table = table;
	o.route.dst = prefix_of(dst);
	o.route.metric = metric;
	o.route.type = dev ? ROUTE_UNICAST : ROUTE_UNREACHABLE;
	fake_kernel_put(&o);
}

static void put_rule(uint8_t family, uint32_t pref, uint32_t mark, uint32_t table)
{
	struct obj o = {.kind = OBJ_RULE};

	o.rule = (struct obj_rule){.family = family,
				   .pref = pref,
				   .mark = mark,
				   .mask = mark,
				   .action = RULE_LOOKUP,
				   .target = table};
	fake_kernel_put(&o);
}

static void put_aliens(void)
{
	static const char *const devs[] = {"eth0", "wg0", "wgsfoo"};
	struct obj o;

	for (size_t i = 0; i < 3; i++) {
		o = (struct obj){.kind = OBJ_LINK, .dev = devs[i]};
		o.link.mtu = 1500;
		o.link.up = true;
		fake_kernel_put(&o);
	}
	o = (struct obj){.kind = OBJ_WGDEV, .dev = "wg0"};
	o.wgdev.port = 51820;
	fake_kernel_put(&o);
	o = (struct obj){.kind = OBJ_WGPEER, .dev = "wg0"};
	memset(&o.wgpeer.public_key, 7, sizeof(o.wgpeer.public_key));
	fake_kernel_put(&o);
	o = (struct obj){.kind = OBJ_ADDR, .dev = "wg0"};
	o.addr.prefix = prefix_of("10.200.0.0/24");
	fake_kernel_put(&o);
	put_route(254, "0.0.0.0/0", 0, "eth0");
	put_route(254, "::/0", 1024, "eth0");
	put_route(own.table_base - 1, "10.16.0.0/16", 0, NULL);
	put_route(own.table_base + WANT_TABLE_SPAN, "10.17.0.0/16", 0, NULL);
	put_rule(AF_INET, own.rule_base - 1, 1, 100);
	put_rule(AF_INET, own.rule_base + WANT_RULE_SPAN, 1, 100);
	put_rule(AF_INET, 32766, 0, 254);
	put_rule(AF_INET6, 32766, 0, 254);
}

static bool is_alien(const struct obj *o)
{
	static const char *const devs[] = {"eth0", "wg0", "wgsfoo"};

	if (o->kind == OBJ_RULE)
		return o->rule.pref < own.rule_base ||
		       o->rule.pref >= own.rule_base + WANT_RULE_SPAN;
	if (o->kind == OBJ_ROUTE)
		return o->route.table < own.table_base ||
		       o->route.table >= own.table_base + WANT_TABLE_SPAN;
	for (size_t i = 0; i < 3; i++)
		if (o->dev && strcmp(o->dev, devs[i]) == 0)
			return true;
	return false;
}

static void print_aliens(struct text *out)
{
	for (size_t i = 0; i < fake_kernel.world.n; i++) {
		const struct obj *o = &fake_kernel.world.objs[i];

		if (!is_alien(o))
			continue;
		world_print_key(o, out);
		text_printf(out, " ");
		world_print_rest(o, out);
		text_printf(out, "\n");
	}
}

/* ---- starting worlds ---- */

static void save(struct world *ret)
{
	*ret = (struct world){0};
	for (size_t i = 0; i < fake_kernel.world.n; i++) {
		struct obj copy, *slot;

		fake_kernel_copy(&ret->arena, &fake_kernel.world.objs[i], &copy);
		slot = arena_grow(&ret->arena, (void **)&ret->objs, &ret->n, sizeof(*slot));
		*slot = copy;
	}
}

static void load(struct run *r, const struct world *w)
{
	fake_kernel_reset();
	fake_kernel_put_world(w);
	fake_kernel.facts = r->a.facts;
	fake_kernel.remove_me = r->seed & 1;
	fake_kernel.last_ifindex = 1000;
	fake_kernel.changed = on_change;
	fake_kernel.changed_ctx = r;
	r->step = 0;
}

static void damage_peer(struct run *r, struct obj *o)
{
	struct obj_wgpeer *e = &o->wgpeer;

	switch (rng_below(&r->rng, 5)) {
	case 0:
		e->n_allowed = 0;
		break;
	case 1:
		e->has_psk = true;
		memset(&e->psk, 99, sizeof(e->psk));
		break;
	case 2:
		e->keepalive_s = 77;
		break;
	case 3:
		memset(&e->endpoint, 0, sizeof(e->endpoint));
		break;
	case 4:
		if (e->n_allowed)
			e->n_allowed--;
		break;
	}
}

/* What somebody may do to an object of ours. */
static void damage(struct run *r, struct obj *o)
{
	struct arena *a = &fake_kernel.world.arena;

	switch (o->kind) {
	case OBJ_LINK:
		o->link.mtu = 1300 + rng_below(&r->rng, 100);
		o->link.alias = MODEL_ALIAS_PREFIX "other";
		break;
	case OBJ_WGDEV:
		o->wgdev.port = (uint16_t)(40000 + o->wgdev.port);
		o->wgdev.fwmark = 0;
		memset(&o->wgdev.public_key, 1, sizeof(o->wgdev.public_key));
		break;
	case OBJ_WGPEER:
		damage_peer(r, o);
		break;
	case OBJ_SYSCTL:
		o->sysctl.value = (int)rng_below(&r->rng, 3);
		break;
	case OBJ_ROUTE:
		o->route.type = ROUTE_UNREACHABLE;
		o->route.mtu = 1;
		o->dev = NULL;
		break;
	case OBJ_NFT_CHAIN:
		if (o->chain.n_rules)
			o->chain.rules[rng_below(&r->rng, (unsigned int)o->chain.n_rules)] =
				"alien";
		break;
	case OBJ_NFT_NETS:
		if (rng_chance(&r->rng, 50))
			o->nets.family = 0;
		else if (o->nets.n_ranges)
			o->nets.n_ranges--;
		break;
	case OBJ_NFT_BUCKETS:
		o->buckets = arena_alloc(a, 1, sizeof(*o->buckets));
		o->buckets->lane_slot[rng_below(&r->rng, MODEL_BUCKETS)] = UINT8_MAX;
		break;
	case OBJ_ADDR:
	case OBJ_RULE:
	case OBJ_NFT_TABLE:
	case OBJ_KINDS:
		break;
	}
}

static void del(const struct obj *o)
{
	struct op op = {.verb = OP_DEL, .kind = o->kind, .have = o};
	struct plan plan = {.ops = &op, .n = 1};
	struct arena a = {0};

	pass_apply(&plan, &a);
	arena_done(&a);
}

static const char *const junk_names[] = {"junk", "pre",	   "nets4", "nets6",
					 "post", "b-alfa", "lane0", "lane70"};

static void junk_object(struct run *r, enum obj_kind kind, struct obj *o)
{
	static const char *const devs[] = {"wgs0", "wgs1", "wgs40", "old"};
	static const char *const nets[] = {"10.16.0.0/16", "0.0.0.0/0", "10.17.128.0/24",
					   "fd00:10::/48", "192.0.2.0/24"};
	struct rng *g = &r->rng;

	*o = (struct obj){.kind = kind};
	switch (kind) {
	case OBJ_LINK:
		o->dev = devs[2 + rng_below(g, 2)];
		o->link.alias = MODEL_ALIAS_PREFIX "hub";
		o->link.mtu = 1420;
		o->link.up = rng_chance(g, 50);
		break;
	case OBJ_WGPEER:
		o->dev = devs[rng_below(g, 2)];
		memset(&o->wgpeer.public_key, (int)(20 + rng_below(g, 5)), MODEL_KEY_LEN);
		break;
	case OBJ_ADDR:
		o->dev = devs[rng_below(g, 2)];
		o->addr.prefix = prefix_of(nets[rng_below(g, 5)]);
		break;
	case OBJ_ROUTE:
		o->route.table = own.table_base + rng_below(g, WANT_TABLE_SPAN);
		o->route.dst = prefix_of(nets[rng_below(g, 5)]);
		o->route.metric = 1 + rng_below(g, 3) * 9;
		o->route.type = rng_chance(g, 50) ? ROUTE_UNREACHABLE : ROUTE_THROW;
		break;
	case OBJ_RULE:
		o->rule = (struct obj_rule){.family = rng_chance(g, 50) ? AF_INET : AF_INET6,
					    .pref = own.rule_base + rng_below(g, WANT_RULE_SPAN),
					    .mark = rng_below(g, 4) << 21,
					    .mask = 0x1fe00000,
					    .action = RULE_LOOKUP,
					    .target = own.table_base + rng_below(g, 4)};
		break;
	case OBJ_NFT_CHAIN:
	case OBJ_NFT_NETS:
	case OBJ_NFT_BUCKETS:
		o->table = rng_chance(g, 50) ? NFT_TABLE_STEER : NFT_TABLE_GUARD;
		o->name = junk_names[rng_below(g, 8)];
		if (kind == OBJ_NFT_BUCKETS)
			o->buckets = arena_alloc(&fake_kernel.world.arena, 1, sizeof(*o->buckets));
		break;
	case OBJ_WGDEV:
	case OBJ_SYSCTL:
	case OBJ_NFT_TABLE:
	case OBJ_KINDS:
		break;
	}
}

static bool has_table(const struct obj *o)
{
	struct obj key = {.kind = OBJ_NFT_TABLE, .table = o->table};

	return o->kind < OBJ_NFT_TABLE || fake_find(&key);
}

static void add_junk(struct run *r)
{
	static const enum obj_kind kinds[] = {OBJ_LINK,	    OBJ_WGPEER,	    OBJ_ADDR,
					      OBJ_ROUTE,    OBJ_RULE,	    OBJ_NFT_CHAIN,
					      OBJ_NFT_NETS, OBJ_NFT_BUCKETS};
	struct obj o, link, part;

	junk_object(r, kinds[rng_below(&r->rng, 8)], &o);
	link = (struct obj){.kind = OBJ_LINK, .dev = o.dev};
	if (fake_find(&o) || !has_table(&o) || (o.kind != OBJ_LINK && o.dev && !fake_find(&link)))
		return;
	fake_kernel_put(&o);
	if (o.kind != OBJ_LINK)
		return;
	part = (struct obj){.kind = OBJ_WGDEV, .dev = o.dev};
	part.wgdev.port = (uint16_t)(21820 + rng_below(&r->rng, 4));
	fake_kernel_put(&part);
	part = (struct obj){.kind = OBJ_SYSCTL, .dev = o.dev};
	fake_kernel_put(&part);
}

/* A world that others have been at. */
static void make_mess(struct run *r)
{
	unsigned int n = 1 + rng_below(&r->rng, 20);

	for (unsigned int i = 0; i < n && fake_kernel.world.n; i++) {
		size_t at = rng_below(&r->rng, (unsigned int)fake_kernel.world.n);
		struct obj *o = &fake_kernel.world.objs[at];

		if (rng_chance(&r->rng, 30))
			add_junk(r);
		else if (is_alien(o))
			continue;
		else if (rng_chance(&r->rng, 50))
			damage(r, o);
		else
			del(o);
	}
}

/* ---- runs ---- */

static const int errors[] = {-EPERM,   -EBUSY,	-ENOMEM,     -EEXIST, -EINVAL,
			     -ENOBUFS, -ENOENT, -EOPNOTSUPP, -EIO};

static void transition(struct run *r, const struct world *from)
{
	load(r, from);
	r->watch = WATCH_ALL;
	settle(r, &r->b);
	r->watch = WATCH_NOTHING;
	check_settled(r, &r->b);
}

static void failing_transition(struct run *r, const struct world *from, size_t n_ops)
{
	if (!n_ops)
		return;
	load(r, from);
	r->watch = WATCH_LEAKS;
	fake_kernel.fail_op = rng_below(&r->rng, (unsigned int)n_ops);
	fake_kernel.fail_error = errors[rng_below(&r->rng, 9)];
	while (fake_kernel.ops <= fake_kernel.fail_op) {
		size_t leaving;

		if (!round_of(r, &r->b, true, &leaving))
			break;
	}
	settle(r, &r->b);
	r->watch = WATCH_NOTHING;
	check_settled(r, &r->b);
}

static void run_one(uint64_t seed)
{
	struct run run = {.seed = seed, .rng = {keys_mix64(seed)}}, *r = &run;
	struct text before = {0}, after = {0};
	struct spec a, b;
	struct world start;
	size_t ops;

	r->ipv6 = rng_chance(&r->rng, 90);
	spec_random(&r->rng, seed, &a);
	b = a;
	spec_change(&r->rng, &b);
	setup_build(&a, r->ipv6, &r->a);
	setup_build(&b, r->ipv6, &r->b);
	make_flows(r);
	start = (struct world){0};
	load(r, &start);
	put_aliens();
	print_aliens(&before);
	settle(r, &r->a);
	check_settled(r, &r->a);
	save(&start);

	transition(r, &start);
	ops = fake_kernel.ops;
	for (int i = 0; i < FAILURES; i++)
		failing_transition(r, &start, ops);

	make_mess(r);
	settle(r, &r->b);
	check_settled(r, &r->b);
	print_aliens(&after);
	CHECK(r, strcmp(text_str(&before), text_str(&after)) == 0);

	world_done(&start);
	text_done(&before);
	text_done(&after);
	text_done(&r->broken);
	setup_done(&r->a);
	setup_done(&r->b);
	fake_kernel_reset();
}

static void test_random(void **state)
{
	const char *runs = getenv("PROPERTY_RUNS"), *seed = getenv("PROPERTY_SEED");
	unsigned long n = runs ? strtoul(runs, NULL, 10) : 300;
	uint64_t first = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL) * 1000;

	print_message("seeds %llu to %llu\n", (unsigned long long)first,
		      (unsigned long long)(first + n - 1));
	for (unsigned long i = 0; i < n; i++)
		run_one(first + i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};

	if (keys_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
