/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: A kernel for tests: the objects of a world, and the rules by which the real one changes
 * them, where they matter to a plan. It is told nothing of want.c or plan.c and looks at nothing
 * but what an op asks for, the way the adapters ask: fields that differ from the observed object,
 * elements that differ, links by number. Invariant: an op that reports an error has changed
 * nothing, and of an nf_tables transaction either all is done or nothing.
 */
#include "fake_kernel.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "keys.h"

#define MTU_MIN6 1280

struct kernel {
	enum op_bus bus;
};

struct fake_kernel fake_kernel;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- the test's side ---- */

static const char *copy_str(struct arena *a, const char *s)
{
	return s ? arena_strdup(a, s) : NULL;
}

/* With room for as many as arena_grow() takes for granted. */
static void *copy_array(struct arena *a, const void *from, size_t n, size_t size)
{
	size_t room = 1;
	void *p;

	while (room < n)
		room *= 2;
	p = arena_alloc(a, room, size);

	if (n)
		memcpy(p, from, n * size);
	return p;
}

void fake_kernel_copy(struct arena *a, const struct obj *from, struct obj *ret)
{
	*ret = *from;
	ret->dev = copy_str(a, from->dev);
	ret->name = copy_str(a, from->name);
	if (from->kind == OBJ_LINK) {
		ret->link.alias = copy_str(a, from->link.alias);
	} else if (from->kind == OBJ_WGPEER) {
		ret->wgpeer.allowed = copy_array(a, from->wgpeer.allowed, from->wgpeer.n_allowed,
						 sizeof(struct prefix));
	} else if (from->kind == OBJ_NFT_CHAIN) {
		ret->chain.rules = copy_array(a, from->chain.rules, from->chain.n_rules,
					      sizeof(*from->chain.rules));
		for (size_t i = 0; i < from->chain.n_rules; i++)
			ret->chain.rules[i] = arena_strdup(a, from->chain.rules[i]);
	} else if (from->kind == OBJ_NFT_NETS) {
		ret->nets.ranges = copy_array(a, from->nets.ranges, from->nets.n_ranges,
					      sizeof(struct nft_range));
		for (size_t i = 0; i < from->nets.n_ranges; i++)
			ret->nets.ranges[i].chain = copy_str(a, from->nets.ranges[i].chain);
	} else if (from->kind == OBJ_NFT_BUCKETS) {
		ret->buckets = copy_array(a, from->buckets, 1, sizeof(*from->buckets));
	}
}

static struct obj *add_to(struct world *w, const struct obj *o)
{
	struct obj copy, *slot;

	fake_kernel_copy(&w->arena, o, &copy);
	slot = arena_grow(&w->arena, (void **)&w->objs, &w->n, sizeof(*slot));
	*slot = copy;
	return slot;
}

struct obj *fake_put(const struct obj *o)
{
	return add_to(&fake_kernel.world, o);
}

void fake_take_at(size_t i)
{
	struct world *w = &fake_kernel.world;

	memmove(&w->objs[i], &w->objs[i + 1], (--w->n - i) * sizeof(*w->objs));
}

void fake_take(const struct obj *o)
{
	fake_take_at((size_t)(o - fake_kernel.world.objs));
}

struct obj *fake_find(const struct obj *key)
{
	struct world *w = &fake_kernel.world;

	for (size_t i = 0; i < w->n; i++)
		if (world_cmp_key(&w->objs[i], key) == 0)
			return &w->objs[i];
	return NULL;
}

void fake_kernel_reset(void)
{
	world_done(&fake_kernel.world);
	memset(&fake_kernel, 0, sizeof(fake_kernel));
	fake_kernel.fail_op = FAKE_KERNEL_NEVER;
	fake_kernel.facts = (struct facts){
		.ipv6 = true, .kernel_major = 6, .kernel_minor = 12, .online_cpus = 4};
}

struct obj *fake_kernel_put(const struct obj *o)
{
	struct obj *slot = fake_put(o);

	if (slot->kind == OBJ_LINK && !slot->link.ifindex)
		slot->link.ifindex = ++fake_kernel.last_ifindex;
	return slot;
}

void fake_kernel_put_world(const struct world *w)
{
	for (size_t i = 0; i < w->n; i++)
		fake_kernel_put(&w->objs[i]);
}

void fake_kernel_drop(const struct obj *key)
{
	struct obj *o = fake_find(key);

	if (o)
		fake_take(o);
}

/* ---- observing ---- */

static struct obj *find_dev(enum obj_kind kind, const char *dev)
{
	struct obj key = {.kind = kind, .dev = dev};

	return dev ? fake_find(&key) : NULL;
}

bool fake_link_is_ours(const char *dev)
{
	const struct obj *o = find_dev(OBJ_LINK, dev);

	return o && o->link.alias &&
	       strncmp(o->link.alias, MODEL_ALIAS_PREFIX, strlen(MODEL_ALIAS_PREFIX)) == 0;
}

static bool is_ours(const struct obj *o, const struct ownership *own)
{
	switch (o->kind) {
	case OBJ_LINK:
	case OBJ_WGDEV:
	case OBJ_WGPEER:
	case OBJ_MODE:
	case OBJ_ADDR:
	case OBJ_SYSCTL:
		return fake_link_is_ours(o->dev);
	case OBJ_NIC:
		return false; /* see kernel_observe_nics() */
	case OBJ_ROUTE:
		return o->route.table >= own->table_base &&
		       o->route.table - own->table_base < WANT_TABLE_SPAN &&
		       (fake_kernel.facts.ipv6 || o->route.dst.addr.family == AF_INET);
	case OBJ_RULE:
		return o->rule.pref >= own->rule_base &&
		       o->rule.pref - own->rule_base < WANT_RULE_SPAN &&
		       (fake_kernel.facts.ipv6 || o->rule.family == AF_INET);
	case OBJ_NFT_TABLE:
	case OBJ_NFT_CHAIN:
	case OBJ_NFT_NETS:
	case OBJ_NFT_BUCKETS:
		return true;
	case OBJ_KINDS:
		break;
	}
	return false;
}

int kernel_open(enum op_bus bus, struct kernel **ret_kernel)
{
	struct kernel *k = xcalloc(1, sizeof(*k));

	k->bus = bus;
	*ret_kernel = k;
	return 0;
}

void kernel_close(struct kernel *k)
{
	free(k);
}

int kernel_observe(struct kernel *k, const struct ownership *own, struct world *ret,
		   const char **ret_why)
{
	const struct world *w = &fake_kernel.world;
	int err = 0;

	pthread_mutex_lock(&lock);
	fake_mode_follow();
	if (fake_kernel.observe_failures) {
		fake_kernel.observe_failures--;
		err = fake_kernel.observe_error;
		*ret_why = "injected";
	}
	for (size_t i = 0; !err && i < w->n; i++) {
		struct op op = {.kind = w->objs[i].kind};

		if (plan_bus(&op) != k->bus || !is_ours(&w->objs[i], own))
			continue;
		struct obj *o = add_to(ret, &w->objs[i]);

		if (o->kind == OBJ_WGDEV)
			memset(&o->wgdev.private_key, 0, sizeof(o->wgdev.private_key));
	}
	if (!err && k->bus == BUS_RTNL)
		ret->facts = fake_kernel.facts;
	pthread_mutex_unlock(&lock);
	return err;
}

static bool is_among(const char *dev, const char *const *devs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(devs[i], dev) == 0)
			return true;
	return false;
}

static void add_nic_fact(struct arena *a, struct facts *f, const struct obj *o)
{
	struct fact_nic *nic = NULL;

	for (size_t i = 0; i < f->n_nics; i++)
		if (strcmp(f->nics[i].dev, o->dev) == 0)
			nic = &f->nics[i];
	if (!nic) {
		nic = arena_grow(a, (void **)&f->nics, &f->n_nics, sizeof(*nic));
		nic->dev = arena_strdup(a, o->dev);
	}
	if (o->nic.family == AF_INET6)
		nic->udp6 = true;
	else
		nic->udp4 = true;
}

void kernel_observe_nics(struct kernel *k, const char *const *devs, size_t n_devs,
			 const char *saved_dir, struct world *ret)
{
	const struct world *w = &fake_kernel.world;
	struct facts *f = &ret->facts;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < w->n; i++) {
		const struct obj *o = &w->objs[i];
		bool in_use = o->kind == OBJ_NIC && is_among(o->dev, devs, n_devs);

		if (o->kind != OBJ_NIC || !(in_use || o->nic.saved))
			continue;
		add_to(ret, o);
		if (in_use)
			add_nic_fact(&ret->arena, f, o);
	}
	pthread_mutex_unlock(&lock);
}

/* ---- links ---- */

static bool via(const struct obj *o, const char *dev)
{
	return o->kind == OBJ_ROUTE && o->route.type == ROUTE_UNICAST && o->dev &&
	       strcmp(o->dev, dev) == 0;
}

static bool is_v6(const struct obj *o)
{
	return (o->kind == OBJ_ROUTE ? o->route.dst : o->addr.prefix).addr.family == AF_INET6;
}

/* What goes when a device goes (all), goes down, or is too small for IPv6 (only that). */
static void lose(const char *dev, bool all, bool v4)
{
	struct world *w = &fake_kernel.world;

	for (size_t i = w->n; i-- > 0;) {
		const struct obj *o = &w->objs[i];

		if (!o->dev || strcmp(o->dev, dev) != 0)
			continue;
		if (all || (via(o, dev) && (v4 || is_v6(o))) || (o->kind == OBJ_ADDR && is_v6(o)))
			fake_take_at(i);
	}
}

static bool port_is_free(const struct obj *wgdev)
{
	const struct world *w = &fake_kernel.world;

	for (size_t i = 0; i < w->n; i++) {
		const struct obj *o = &w->objs[i], *l;

		if (o->kind != OBJ_WGDEV || o == wgdev || o->wgdev.port != wgdev->wgdev.port)
			continue;
		l = find_dev(OBJ_LINK, o->dev);
		if (l && l->link.up)
			return false;
	}
	return true;
}

static void set_mtu(struct obj *link, uint32_t mtu)
{
	struct world *w = &fake_kernel.world;
	uint32_t was = link->link.mtu;

	link->link.mtu = mtu;
	if (mtu < MTU_MIN6)
		lose(link->dev, false, false);
	/* fib6_nh_mtu_change(): IPv6 routes follow their device. */
	for (size_t i = 0; i < w->n; i++) {
		struct obj *o = &w->objs[i];

		if (via(o, link->dev) && is_v6(o) && o->route.mtu &&
		    (o->route.mtu >= mtu || o->route.mtu == was))
			o->route.mtu = mtu;
	}
}

static int set_up(const char *dev, bool up)
{
	struct obj *link = find_dev(OBJ_LINK, dev), *wgdev = find_dev(OBJ_WGDEV, dev);

	if (up && wgdev && wgdev->wgdev.port && !port_is_free(wgdev))
		return -EADDRINUSE;
	link->link.up = up;
	if (!up)
		lose(dev, false, true);
	return 0;
}

static int add_link(const struct obj *want)
{
	struct obj o = {.kind = OBJ_LINK, .dev = want->dev};

	if (find_dev(OBJ_LINK, want->dev))
		return -EEXIST;
	o.link.mtu = want->link.mtu;
	o.link.alias = want->link.alias;
	fake_kernel_put(&o);
	o = (struct obj){.kind = OBJ_WGDEV, .dev = want->dev};
	fake_put(&o);
	for (int id = 0; id < SYSCTL_IDS; id++) {
		o = (struct obj){.kind = OBJ_SYSCTL, .dev = want->dev};
		o.sysctl.id = (enum sysctl_id)id;
		fake_put(&o);
	}
	return 0;
}

static int set_link(const struct obj *want, const struct obj *have)
{
	struct obj *o = find_dev(OBJ_LINK, want->dev);
	int err = 0;

	if (!o || (have && o->link.ifindex != have->link.ifindex))
		return -ENODEV;
	if (!have || have->link.up != want->link.up)
		err = set_up(want->dev, want->link.up);
	if (err)
		return err;
	o = find_dev(OBJ_LINK, want->dev); /* it may have moved */
	o->link.alias = arena_strdup(&fake_kernel.world.arena, want->link.alias);
	if (!have || have->link.mtu != want->link.mtu)
		set_mtu(o, want->link.mtu);
	return 0;
}

static int del_link(const struct obj *have)
{
	struct obj *o = find_dev(OBJ_LINK, have->dev);
	const char *dev;

	if (!o || o->link.ifindex != have->link.ifindex)
		return 0; /* gone already */
	dev = arena_strdup(&fake_kernel.world.arena, o->dev);
	lose(dev, true, true);
	return 0;
}

/* ---- WireGuard ---- */

static struct obj *find_peer(const char *dev, const struct key *key)
{
	struct obj o = {.kind = OBJ_WGPEER, .dev = dev};

	o.wgpeer.public_key = *key;
	return fake_find(&o);
}

static int set_wgdev(const struct obj *want, const struct obj *have)
{
	struct obj *o = find_dev(OBJ_WGDEV, want->dev), *l = find_dev(OBJ_LINK, want->dev), *own;
	const struct obj_wgdev *w = &want->wgdev, *h = have ? &have->wgdev : NULL;
	uint16_t port;

	if (!o)
		return -ENODEV;
	port = o->wgdev.port;
	if (!h || h->port != w->port)
		o->wgdev.port = w->port;
	if (l->link.up && o->wgdev.port != port && !port_is_free(o)) {
		o->wgdev.port = port;
		return -EADDRINUSE;
	}
	if (!h || h->fwmark != w->fwmark)
		o->wgdev.fwmark = w->fwmark;
	if (h && key_cmp(&h->public_key, &w->public_key) == 0)
		return 0;
	o->wgdev.private_key = w->private_key;
	keys_public(&w->private_key, &o->wgdev.public_key);
	own = find_peer(want->dev, &o->wgdev.public_key);
	if (own)
		fake_take(own);
	return 0;
}

static void drop_allowed(struct obj *peer, const struct prefix *p)
{
	struct obj_wgpeer *e = &peer->wgpeer;
	size_t n = 0;

	for (size_t i = 0; i < e->n_allowed; i++)
		if (addr_cmp_prefix(&e->allowed[i], p) != 0)
			e->allowed[n++] = e->allowed[i];
	e->n_allowed = n;
}

static int cmp_prefix(const void *a, const void *b)
{
	return addr_cmp_prefix(a, b);
}

/* A prefix belongs to one peer of a device: to the last that was given it. */
static void add_allowed(struct obj *peer, const struct prefix *p)
{
	struct world *w = &fake_kernel.world;
	struct obj_wgpeer *e = &peer->wgpeer;
	struct prefix *slot;

	for (size_t i = 0; i < w->n; i++)
		if (w->objs[i].kind == OBJ_WGPEER && strcmp(w->objs[i].dev, peer->dev) == 0)
			drop_allowed(&w->objs[i], p);
	slot = arena_grow(&w->arena, (void **)&e->allowed, &e->n_allowed, sizeof(*slot));
	*slot = *p;
	qsort(e->allowed, e->n_allowed, sizeof(*slot), cmp_prefix);
}

static bool allows(const struct obj_wgpeer *e, const struct prefix *p)
{
	for (size_t i = 0; i < e->n_allowed; i++)
		if (addr_cmp_prefix(&e->allowed[i], p) == 0)
			return true;
	return false;
}

static void change_allowed(struct obj *peer, const struct obj_wgpeer *want,
			   const struct obj_wgpeer *have)
{
	bool removes = false;

	for (size_t i = 0; i < have->n_allowed; i++)
		removes = removes || !allows(want, &have->allowed[i]);
	if (removes && !fake_kernel.remove_me) {
		peer->wgpeer.n_allowed = 0;
		for (size_t i = 0; i < want->n_allowed; i++)
			add_allowed(peer, &want->allowed[i]);
		return;
	}
	for (size_t i = 0; i < want->n_allowed; i++)
		if (!allows(have, &want->allowed[i]))
			add_allowed(peer, &want->allowed[i]);
	for (size_t i = 0; i < have->n_allowed; i++)
		if (!allows(want, &have->allowed[i]))
			drop_allowed(peer, &have->allowed[i]);
}

static void change_peer(struct obj *peer, const struct obj_wgpeer *want,
			const struct obj_wgpeer *have)
{
	struct obj_wgpeer *e = &peer->wgpeer;

	if (want->has_psk != have->has_psk || key_cmp(&want->psk, &have->psk) != 0) {
		e->psk = want->psk;
		e->has_psk = !key_is_zero(&want->psk);
	}
	if (want->endpoint.addr.family && (!have->endpoint.addr.family || want->move_endpoint))
		e->endpoint = want->endpoint;
	if (want->keepalive_s != have->keepalive_s)
		e->keepalive_s = want->keepalive_s;
	change_allowed(peer, want, have);
}

static int apply_peer(const struct op *op)
{
	static const struct obj_wgpeer nothing;
	const struct obj *o = op->want ? op->want : op->have;
	const struct obj *dev = find_dev(OBJ_WGDEV, o->dev);
	struct obj *peer = find_peer(o->dev, &o->wgpeer.public_key), fresh;

	if (!dev)
		return op->verb == OP_DEL ? 0 : -ENODEV;
	switch (op->verb) {
	case OP_ADD:
		if (key_cmp(&dev->wgdev.public_key, &o->wgpeer.public_key) == 0)
			return 0;
		fresh = (struct obj){.kind = OBJ_WGPEER, .dev = o->dev};
		fresh.wgpeer.public_key = o->wgpeer.public_key;
		change_peer(peer ? peer : fake_put(&fresh), &o->wgpeer, &nothing);
		break;
	case OP_SET:
		if (peer)
			change_peer(peer, &op->want->wgpeer, &op->have->wgpeer);
		break;
	case OP_INERT:
		if (!peer)
			break;
		peer->wgpeer.n_allowed = 0;
		peer->wgpeer.has_psk = true;
		memset(&peer->wgpeer.psk, 0xa5, sizeof(peer->wgpeer.psk));
		peer->wgpeer.keepalive_s = 0;
		break;
	case OP_DEL:
		if (peer)
			fake_take(peer);
		break;
	}
	return 0;
}

/* ---- addresses, settings, routes, rules ---- */

static bool has_family(uint8_t family)
{
	return family == AF_INET || fake_kernel.facts.ipv6;
}

static int apply_addr(enum op_verb verb, const struct obj *o)
{
	struct obj *have = fake_find(o), *link = find_dev(OBJ_LINK, o->dev);

	if (verb == OP_DEL) {
		if (have)
			fake_take(have);
		return 0;
	}
	if (!has_family(o->addr.prefix.addr.family))
		return -EOPNOTSUPP;
	if (!link)
		return -ENODEV;
	if (have)
		return -EEXIST;
	fake_put(o);
	return 0;
}

static int apply_sysctl(const struct obj *want)
{
	struct obj *o = want ? fake_find(want) : NULL;
	bool peers = false;

	if (!o)
		return -ENOENT;
	for (size_t i = 0; i < fake_kernel.world.n; i++)
		peers = peers || (fake_kernel.world.objs[i].kind == OBJ_WGPEER &&
				  strcmp(fake_kernel.world.objs[i].dev, want->dev) == 0);
	if (want->sysctl.id == SYSCTL_THREADED && !peers)
		return -EOPNOTSUPP;
	o->sysctl.value = want->sysctl.value;
	return 0;
}

static bool on_host(const struct ipaddr *a)
{
	const struct facts *f = &fake_kernel.facts;
	const struct world *w = &fake_kernel.world;

	for (size_t i = 0; i < f->n_addrs; i++)
		if (addr_cmp(&f->addrs[i].addr, a) == 0)
			return true;
	for (size_t i = 0; i < w->n; i++)
		if (w->objs[i].kind == OBJ_ADDR && addr_cmp(&w->objs[i].addr.prefix.addr, a) == 0)
			return true;
	return false;
}

static int apply_route(enum op_verb verb, const struct obj *o)
{
	struct obj *have = fake_find(o), *link = find_dev(OBJ_LINK, o->dev);

	if (verb == OP_DEL) {
		if (have)
			fake_take(have);
		return 0;
	}
	if (!has_family(o->route.dst.addr.family))
		return -EAFNOSUPPORT;
	if (o->route.type == ROUTE_UNICAST && !link)
		return -ENODEV;
	if (o->route.type == ROUTE_UNICAST && !link->link.up)
		return -ENETDOWN;
	if (o->route.src.family && !on_host(&o->route.src))
		return -EINVAL;
	if (have && verb == OP_ADD)
		return -EEXIST;
	if (have)
		fake_take(have);
	fake_put(o);
	return 0;
}

static int apply_rule(enum op_verb verb, const struct obj *o)
{
	struct obj *have = fake_find(o);

	if (verb == OP_DEL) {
		if (have)
			fake_take(have);
		return 0;
	}
	if (!has_family(o->rule.family))
		return -EAFNOSUPPORT;
	if (o->rule.action == RULE_GOTO && o->rule.target <= o->rule.pref)
		return -EINVAL;
	if (have)
		return -EEXIST;
	fake_put(o);
	return 0;
}

/* What a NIC was before the first change is kept until it is that again. */
static int apply_nic(enum op_verb verb, const struct obj *o)
{
	struct obj *now = fake_find(o);

	if (!now || (verb == OP_DEL && !now->nic.saved))
		return -EOPNOTSUPP;
	if (!now->nic.saved)
		now->nic.original = now->nic.fields;
	now->nic.saved = verb != OP_DEL;
	now->nic.fields = verb == OP_DEL ? now->nic.original : o->nic.fields;
	return 0;
}

static int apply_rtnl(const struct op *op)
{
	const struct obj *o = op->want ? op->want : op->have;

	switch (op->kind) {
	case OBJ_LINK:
		return op->verb == OP_ADD   ? add_link(op->want)
		       : op->verb == OP_SET ? set_link(op->want, op->have)
					    : del_link(op->have);
	case OBJ_WGDEV:
		return op->want ? set_wgdev(op->want, op->have) : -EOPNOTSUPP;
	case OBJ_WGPEER:
		return apply_peer(op);
	case OBJ_MODE:
		return fake_mode_apply(op);
	case OBJ_ADDR:
		return apply_addr(op->verb, o);
	case OBJ_SYSCTL:
		return apply_sysctl(op->want);
	case OBJ_ROUTE:
		return apply_route(op->verb, o);
	case OBJ_RULE:
		return apply_rule(op->verb, o);
	case OBJ_NIC:
		return apply_nic(op->verb, o);
	case OBJ_NFT_TABLE:
	case OBJ_NFT_CHAIN:
	case OBJ_NFT_NETS:
	case OBJ_NFT_BUCKETS:
	case OBJ_KINDS:
		break;
	}
	return -EOPNOTSUPP;
}

/* ---- applying ---- */

static void changed(void)
{
	if (fake_kernel.changed)
		fake_kernel.changed(fake_kernel.changed_ctx);
}

static size_t run_nft(struct op *ops, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n; i++)
		if (fake_kernel.ops++ == fake_kernel.fail_op)
			err = fake_kernel.fail_error;
	err = err ? err : fake_nft_run(ops, n);
	for (size_t i = 0; i < n; i++) {
		ops[i].error = err;
		ops[i].why = err ? "the transaction was refused" : NULL;
	}
	changed();
	return err ? n : 0;
}

static size_t run_rtnl(struct op *ops, size_t n)
{
	size_t failed = 0;

	for (size_t i = 0; i < n; i++) {
		bool fails = fake_kernel.ops++ == fake_kernel.fail_op;

		ops[i].why = fails ? "injected" : NULL;
		ops[i].error = fails ? fake_kernel.fail_error : apply_rtnl(&ops[i]);
		failed += ops[i].error != 0;
		changed();
	}
	return failed;
}

size_t kernel_apply(struct kernel *k, struct op *ops, size_t n, struct arena *a)
{
	size_t failed;

	pthread_mutex_lock(&lock);
	failed = k->bus == BUS_NFT ? run_nft(ops, n) : run_rtnl(ops, n);
	pthread_mutex_unlock(&lock);
	return failed;
}

/* ---- the rest ---- */

int kernel_sample(struct kernel *k, const char *dev, struct arena *a,
		  struct kernel_peer_sample **ret_samples, size_t *ret_n)
{
	const struct world *w = &fake_kernel.world;

	*ret_samples = NULL;
	*ret_n = 0;
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < w->n; i++) {
		const struct obj_wgpeer *e = &w->objs[i].wgpeer;
		struct kernel_peer_sample *s;

		if (w->objs[i].kind != OBJ_WGPEER || strcmp(w->objs[i].dev, dev) != 0)
			continue;
		s = arena_grow(a, (void **)ret_samples, ret_n, sizeof(*s));
		*s = (struct kernel_peer_sample){.key = e->public_key,
						 .endpoint = e->endpoint,
						 .handshake_s = e->handshake_s,
						 .rx_bytes = e->rx_bytes,
						 .tx_bytes = e->tx_bytes};
	}
	pthread_mutex_unlock(&lock);
	return 0;
}

int kernel_path(struct kernel *k, const struct ipaddr *dst, uint32_t mark, uint32_t *ret_mtu,
		char ret_dev[static 16])
{
	*ret_mtu = 1500;
	strcpy(ret_dev, "eth0");
	return 0;
}

int kernel_bucket_counts(struct kernel *k, const char *map,
			 struct kernel_bucket_count ret_counts[MODEL_BUCKETS])
{
	memset(ret_counts, 0, MODEL_BUCKETS * sizeof(*ret_counts));
	return 0;
}
