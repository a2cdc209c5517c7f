/* SPDX-License-Identifier: GPL-2.0-only */
// link: tests/fake_kernel.c tests/fake_nft.c tests/fake_mode.c tests/pass.c
// link: tests/classify.c tests/mess.c tests/random_site.c
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
#include "mess.h"
#include "pass.h"
#include "random_site.h"

#define ROUNDS_MAX 3
#define FLOWS_MAX  64
#define FLOWS_EACH 12 /* looked at after a change */
#define FAILURES   3  /* injected, one after the other, per run */

enum watch {
	WATCH_NOTHING,
	WATCH_FIRST, /* from nothing: only what is none of ours */
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
	bool clean;	    /* no op may fail */
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
	/* On the way down a rule that stays may outlive the exemption. */
	if (f->outer && r->watch == WATCH_LEAKS && r->b.spec.down)
		return NULL;
	if (f->outer)
		return v->fate == FATE_CLEAR ? NULL : "an outer packet did not leave";
	if (r->watch == WATCH_FIRST)
		return owner(&r->a, &f->packet.flow.dst) || v->fate == FATE_CLEAR
			       ? NULL
			       : "a packet that is none of ours was touched at first";
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
	text_printf(&r->broken, "\nop %zu%s: ", r->step,
		    fake_kernel.fail_op < r->step ? " (one failed)" : "");
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
	for (size_t i = 0; i < FLOWS_EACH && !r->broken.len; i++) {
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

/* The entries of all tunnels, as the setup has them. */
static void check_entries(struct run *r, const struct setup *s)
{
	for (size_t i = 0; i < s->site->n_peers && carries(s); i++) {
		const struct peer *p = &s->site->peers[i];

		for (size_t t = 0; t < p->n_tunnels; t++) {
			const struct want_tunnel *wt = &s->peers[i].tunnels[t];
			const struct lane *lane = site_lane(s->site, p->tunnels[t].ours);
			struct obj key = {.kind = OBJ_WGPEER, .dev = lane->dev};
			const struct obj *o;

			key.wgpeer.public_key = p->tunnels[t].key;
			o = fake_find(&key);
			CHECK(r, o && o->wgpeer.has_psk == p->has_psk);
			CHECK(r, !p->has_psk || key_cmp(&o->wgpeer.psk, &p->psk) == 0);
			CHECK(r, o->wgpeer.keepalive_s == p->config->keepalive_s);
			CHECK(r, !wt->endpoint.addr.family || o->wgpeer.endpoint.addr.family);
			CHECK(r, !wt->move_endpoint ||
					 addr_equal_ep(&wt->endpoint, &o->wgpeer.endpoint));
			key.kind = OBJ_WGDEV;
			o = fake_find(&key);
			CHECK(r, o && key_cmp(&o->wgdev.private_key, &lane->private_key) == 0);
			CHECK(r, o->wgdev.port == lane->port);
		}
	}
}

/* As wished for, where the kernel can. */
static void check_modes(struct run *r, const struct setup *s)
{
	for (size_t i = 0; i < s->site->n_peers && carries(s); i++) {
		const struct peer *p = &s->site->peers[i];

		for (size_t t = 0; t < p->n_tunnels; t++) {
			const struct lane *lane = site_lane(s->site, p->tunnels[t].ours);
			struct obj key = {.kind = OBJ_MODE, .dev = lane->dev};
			bool wish = s->peers[i].tunnels[t].mode != MODE_VANILLA;
			const struct obj *o;

			key.mode.peer = p->tunnels[t].key;
			o = fake_find(&key);
			CHECK(r, !o == !s->spec.module);
			CHECK(r, !o || (o->mode.mode == MODE_INLINE) == (wish && !s->spec.refuses));
		}
	}
}

static void check_nic(struct run *r, const struct setup *s)
{
	struct obj key = {.kind = OBJ_NIC, .dev = "eth0"};
	const struct obj *o;

	key.nic.family = AF_INET;
	o = fake_find(&key);
	CHECK(r, o->nic.fields == (carries(s) ? 0xf0 : MESS_NIC_FIELDS));
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
	check_entries(r, s);
	check_modes(r, s);
	check_nic(r, s);
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
	size_t n, failed;

	fake_kernel.facts.modes = s->facts.modes;
	fake_kernel.facts.inline_refused = s->facts.inline_refused;
	assert_int_equal(pass_observe(&mess_own, quiet, &have), 0);
	setup_want(s, &want);
	check_wanted(r, &want);
	plan_build(&want, &have, &plan);
	for (size_t i = 1; i < plan.n; i++)
		CHECK(r, plan.ops[i - 1].phase <= plan.ops[i].phase);
	if (rng_chance(&r->rng, 20))
		check_same_plan(r, s, &have, &plan);
	failed = pass_apply(&plan, &a);
	if (failed && r->clean)
		complain(r, "an op failed");
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
	fake_kernel.facts.n_nics = 0; /* for kernel_observe_nics() to say */
	fake_kernel.remove_me = r->seed & 1;
	fake_kernel.last_ifindex = 1000;
	fake_kernel.changed = on_change;
	fake_kernel.changed_ctx = r;
	r->step = 0;
}

/* ---- what holds when a part of it is gone ---- */

enum layer { LAYER_NFT = 1, LAYER_RULES = 2, LAYER_DEVICES = 4 };

static void strip(unsigned int layers)
{
	for (size_t i = fake_kernel.world.n; i-- > 0;) {
		const struct obj *o;

		if (i >= fake_kernel.world.n) /* a device took others along */
			continue;
		o = &fake_kernel.world.objs[i];
		if (mess_is_alien(o))
			continue;
		if ((o->kind >= OBJ_NFT_TABLE && layers & LAYER_NFT) ||
		    (o->kind == OBJ_RULE && layers & LAYER_RULES))
			fake_take_at(i);
		else if (o->kind == OBJ_LINK && layers & LAYER_DEVICES)
			mess_del(o);
	}
}

/* Somebody flushes nf_tables, rules or devices: nothing leaves in clear. */
static void check_layers(struct run *r, const struct setup *s)
{
	static const unsigned int gone[] = {LAYER_NFT, LAYER_RULES, LAYER_DEVICES,
					    LAYER_NFT | LAYER_DEVICES, LAYER_RULES | LAYER_DEVICES};
	struct world all;

	save(&all);
	for (size_t k = 0; k < 5; k++) {
		struct classifier c;

		strip(gone[k]);
		classify_open(&fake_kernel.world, &c);
		for (size_t i = 0; i < r->n_flows; i++) {
			struct watched *f = &r->flows[i];
			struct verdict v;

			classify(&c, &f->packet, &v);
			if (f->outer || v.fate != FATE_CLEAR || !owner(s, &f->packet.flow.dst))
				continue;
			report(r, f, &v, "a packet leaves in clear when a part is gone");
			stop(r);
		}
		classify_done(&c);
		load(r, &all);
	}
	world_done(&all);
}

/* ---- runs ---- */

static const int errors[] = {-EPERM,   -EBUSY,	-ENOMEM,     -EEXIST, -EINVAL,
			     -ENOBUFS, -ENOENT, -EOPNOTSUPP, -EIO};

static void transition(struct run *r, const struct world *from)
{
	load(r, from);
	r->watch = WATCH_ALL;
	/* A port may still be held by a lane that goes. */
	r->clean = r->a.spec.port_base == r->b.spec.port_base ||
		   r->a.site->n_lanes <= r->b.site->n_lanes;
	settle(r, &r->b);
	r->clean = false;
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
	mess_put_aliens();
	mess_print_aliens(&before);
	r->watch = WATCH_FIRST;
	r->clean = true;
	settle(r, &r->a);
	r->watch = WATCH_NOTHING;
	check_settled(r, &r->a);
	save(&start);

	transition(r, &start);
	ops = fake_kernel.ops;
	check_layers(r, &r->b);
	for (int i = 0; i < FAILURES; i++)
		failing_transition(r, &start, ops);

	mess_make(&r->rng);
	settle(r, &r->b);
	check_settled(r, &r->b);
	mess_print_aliens(&after);
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
