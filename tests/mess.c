/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: Everybody else on the host. Aliens have names and numbers next to ours and no sign that
 * they are ours; a mess is objects of ours deleted and changed, and strange ones within our
 * numbers. Invariant: a mess is one that a kernel can hold: no key twice, nothing on a device or in
 * a table that is not there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "fake_kernel.h"
#include "mess.h"
#include "pass.h"

const struct ownership mess_own = {.table_base = 21820, .rule_base = 1200};

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

void mess_put_aliens(void)
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
	for (int f = 0; f < 2; f++) {
		o = (struct obj){.kind = OBJ_NIC, .dev = "eth0"};
		o.nic.family = f ? AF_INET6 : AF_INET;
		o.nic.fields = MESS_NIC_FIELDS;
		fake_kernel_put(&o);
	}
	put_route(254, "0.0.0.0/0", 0, "eth0");
	put_route(254, "::/0", 1024, "eth0");
	put_route(mess_own.table_base - 1, "10.16.0.0/16", 0, NULL);
	put_route(mess_own.table_base + WANT_TABLE_SPAN, "10.17.0.0/16", 0, NULL);
	put_rule(AF_INET, mess_own.rule_base - 1, 1, 100);
	put_rule(AF_INET, mess_own.rule_base + WANT_RULE_SPAN, 1, 100);
	put_rule(AF_INET, 32766, 0, 254);
	put_rule(AF_INET6, 32766, 0, 254);
}

bool mess_is_alien(const struct obj *o)
{
	static const char *const devs[] = {"eth0", "wg0", "wgsfoo"};

	if (o->kind == OBJ_NIC)
		return false;
	if (o->kind == OBJ_RULE)
		return o->rule.pref < mess_own.rule_base ||
		       o->rule.pref >= mess_own.rule_base + WANT_RULE_SPAN;
	if (o->kind == OBJ_ROUTE)
		return o->route.table < mess_own.table_base ||
		       o->route.table >= mess_own.table_base + WANT_TABLE_SPAN;
	for (size_t i = 0; i < 3; i++)
		if (o->dev && strcmp(o->dev, devs[i]) == 0)
			return true;
	return false;
}

void mess_print_aliens(struct text *out)
{
	for (size_t i = 0; i < fake_kernel.world.n; i++) {
		const struct obj *o = &fake_kernel.world.objs[i];

		if (!mess_is_alien(o))
			continue;
		world_print_key(o, out);
		text_printf(out, " ");
		world_print_rest(o, out);
		text_printf(out, "\n");
	}
}

/* ---- what others do to ours ---- */

static void damage_peer(struct rng *rng, struct obj *o)
{
	struct obj_wgpeer *e = &o->wgpeer;

	switch (rng_below(rng, 5)) {
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
static void damage(struct rng *rng, struct obj *o)
{
	struct arena *a = &fake_kernel.world.arena;

	switch (o->kind) {
	case OBJ_LINK:
		o->link.mtu = 1300 + rng_below(rng, 100);
		o->link.alias = MODEL_ALIAS_PREFIX "other";
		break;
	case OBJ_WGDEV:
		o->wgdev.port = (uint16_t)(40000 + o->wgdev.port);
		o->wgdev.fwmark = 0;
		memset(&o->wgdev.public_key, 1, sizeof(o->wgdev.public_key));
		break;
	case OBJ_WGPEER:
		damage_peer(rng, o);
		break;
	case OBJ_MODE:
		o->mode.mode = o->mode.mode == MODE_INLINE ? MODE_VANILLA : MODE_INLINE;
		break;
	case OBJ_NIC:
		if (o->nic.saved)
			o->nic.fields = 0x10;
		break;
	case OBJ_SYSCTL:
		o->sysctl.value = (int)rng_below(rng, 3);
		break;
	case OBJ_ROUTE:
		o->route.type = ROUTE_UNREACHABLE;
		o->route.mtu = 1;
		o->dev = NULL;
		break;
	case OBJ_NFT_CHAIN:
		if (o->chain.n_rules)
			o->chain.rules[rng_below(rng, (unsigned int)o->chain.n_rules)] = "alien";
		break;
	case OBJ_NFT_NETS:
		if (rng_chance(rng, 50))
			o->nets.family = 0;
		else if (o->nets.n_ranges)
			o->nets.n_ranges--;
		break;
	case OBJ_NFT_BUCKETS:
		o->buckets = arena_alloc(a, 1, sizeof(*o->buckets));
		o->buckets->lane_slot[rng_below(rng, MODEL_BUCKETS)] = UINT8_MAX;
		break;
	case OBJ_ADDR:
	case OBJ_RULE:
	case OBJ_NFT_TABLE:
	case OBJ_KINDS:
		break;
	}
}

void mess_del(const struct obj *o)
{
	struct op op = {.verb = OP_DEL, .kind = o->kind, .have = o};
	struct plan plan = {.ops = &op, .n = 1};
	struct arena a = {0};

	pass_apply(&plan, &a);
	arena_done(&a);
}

static const char *const junk_names[] = {"junk", "pre",	   "nets4", "nets6",
					 "post", "b-alfa", "lane0", "lane70"};

static void junk_object(struct rng *rng, enum obj_kind kind, struct obj *o)
{
	static const char *const devs[] = {"wgs0", "wgs1", "wgs40", "old"};
	static const char *const nets[] = {"10.16.0.0/16", "0.0.0.0/0", "10.17.128.0/24",
					   "fd00:10::/48", "192.0.2.0/24"};
	*o = (struct obj){.kind = kind};
	switch (kind) {
	case OBJ_LINK:
		o->dev = devs[2 + rng_below(rng, 2)];
		o->link.alias = MODEL_ALIAS_PREFIX "hub";
		o->link.mtu = 1420;
		o->link.up = rng_chance(rng, 50);
		break;
	case OBJ_WGPEER:
		o->dev = devs[rng_below(rng, 2)];
		memset(&o->wgpeer.public_key, (int)(20 + rng_below(rng, 5)), MODEL_KEY_LEN);
		break;
	case OBJ_ADDR:
		o->dev = devs[rng_below(rng, 2)];
		o->addr.prefix = prefix_of(nets[rng_below(rng, 5)]);
		break;
	case OBJ_ROUTE:
		o->route.table = mess_own.table_base + rng_below(rng, WANT_TABLE_SPAN);
		o->route.dst = prefix_of(nets[rng_below(rng, 5)]);
		o->route.metric = 1 + rng_below(rng, 3) * 9;
		o->route.type = rng_chance(rng, 50) ? ROUTE_UNREACHABLE : ROUTE_THROW;
		break;
	case OBJ_RULE:
		o->rule = (struct obj_rule){.family = rng_chance(rng, 50) ? AF_INET : AF_INET6,
					    .pref = mess_own.rule_base +
						    rng_below(rng, WANT_RULE_SPAN),
					    .mark = rng_below(rng, 4) << 21,
					    .mask = 0x1fe00000,
					    .action = RULE_LOOKUP,
					    .target = mess_own.table_base + rng_below(rng, 4)};
		break;
	case OBJ_NFT_CHAIN:
	case OBJ_NFT_NETS:
	case OBJ_NFT_BUCKETS:
		o->table = rng_chance(rng, 50) ? NFT_TABLE_STEER : NFT_TABLE_GUARD;
		o->name = junk_names[rng_below(rng, 8)];
		if (kind == OBJ_NFT_BUCKETS)
			o->buckets = arena_alloc(&fake_kernel.world.arena, 1, sizeof(*o->buckets));
		break;
	case OBJ_WGDEV:
	case OBJ_MODE:
	case OBJ_SYSCTL:
	case OBJ_NIC:
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

static void add_junk(struct rng *rng)
{
	static const enum obj_kind kinds[] = {OBJ_LINK,	    OBJ_WGPEER,	    OBJ_ADDR,
					      OBJ_ROUTE,    OBJ_RULE,	    OBJ_NFT_CHAIN,
					      OBJ_NFT_NETS, OBJ_NFT_BUCKETS};
	struct obj o, link, part;

	junk_object(rng, kinds[rng_below(rng, 8)], &o);
	link = (struct obj){.kind = OBJ_LINK, .dev = o.dev};
	if (fake_find(&o) || !has_table(&o) || (o.kind != OBJ_LINK && o.dev && !fake_find(&link)))
		return;
	fake_kernel_put(&o);
	if (o.kind != OBJ_LINK)
		return;
	part = (struct obj){.kind = OBJ_WGDEV, .dev = o.dev};
	part.wgdev.port = (uint16_t)(21820 + rng_below(rng, 4));
	fake_kernel_put(&part);
	part = (struct obj){.kind = OBJ_SYSCTL, .dev = o.dev};
	fake_kernel_put(&part);
}

/* A world that others have been at. */
void mess_make(struct rng *rng)
{
	unsigned int n = 1 + rng_below(rng, 20);

	for (unsigned int i = 0; i < n && fake_kernel.world.n; i++) {
		size_t at = rng_below(rng, (unsigned int)fake_kernel.world.n);
		struct obj *o = &fake_kernel.world.objs[at];

		if (rng_chance(rng, 30))
			add_junk(rng);
		else if (mess_is_alien(o))
			continue;
		else if (rng_chance(rng, 50))
			damage(rng, o);
		else
			mess_del(o);
	}
}
