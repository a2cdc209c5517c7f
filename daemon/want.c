/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: What the kernel should hold for a site: lane devices with their peer entries, addresses and
 * settings, routing tables and rules; nf_tables is in want_nft.c. It never looks at what is there
 * (plan.c does). How a packet finds its lane:
 *
 *   rule_base + 0          outer packets (all mark bits set) skip everything of ours
 *   rule_base + 1          unmarked packets skip the lanes
 *   rule_base + 2 + g      with more than 7 lanes: mark group g (8 slots) goes to its first lane
 *   rule_base + 20 + slot  mark slot -> lookup of that lane's table
 *   rule_base + 200        lookup of the fallback table
 *   rule_base + 299        where skipping ends
 *
 * Table table_base is the fallback: throw routes for what must never enter a tunnel, two live
 * routes per network (source address selection, reverse path checks, packets without a bucket),
 * and an unreachable route below them: no tunnel, no packet. Table table_base + 1 + lane has
 * the networks of the peers that have a tunnel on that lane, and nothing that ends the search.
 */
#include "want.h"

#include <string.h>
#include <sys/socket.h>

#include "want_nft.h"

#define RULE_OUTER    0
#define RULE_UNMARKED 1
#define RULE_GROUP    2
#define RULE_LANE     20
#define RULE_FALLBACK 200
#define RULE_END      (WANT_RULE_SPAN - 1)
#define GROUP_SLOTS   8

#define METRIC_LANE	   1024
#define METRIC_LIVE	   10
#define METRIC_UNREACHABLE 4278198272u
#define LIVE_ROUTES	   2
#define NIC_FIELDS	   0xf0 /* RXH_IP_SRC, IP_DST, L4_B_0_1, L4_B_2_3: addresses and ports */
#define DEVICE_MTU	   1420
#define MTU_MIN6	   1280

/* What is being built, from what, and what is worked out once. */
struct build {
	const struct want_input *in;
	struct world *w;
	uint16_t mtu[MODEL_LANES_MAX]; /* of each lane device */
	struct ipaddr src[2];	       /* IPv4, IPv6: of packets the gateway originates */
};

static void work_out_mtus(struct build *b)
{
	const struct site *s = b->in->site;
	uint16_t least = !b->in->facts || b->in->facts->ipv6 ? MTU_MIN6 : 0;

	for (size_t i = 0; i < s->n_peers; i++)
		for (size_t t = 0; t < s->peers[i].n_tunnels; t++) {
			uint16_t *mtu = &b->mtu[s->peers[i].tunnels[t].ours];

			if (b->in->peers[i].mtu > *mtu)
				*mtu = b->in->peers[i].mtu;
		}
	for (size_t i = 0; i < MODEL_LANES_MAX; i++) {
		if (!b->mtu[i])
			b->mtu[i] = s->config->mtu ? s->config->mtu : DEVICE_MTU;
		if (b->mtu[i] < least)
			b->mtu[i] = least;
	}
}

static bool threaded(const struct want_input *in)
{
	const struct facts *f = in->facts;

	switch (in->site->config->threaded) {
	case THREADED_ON:
		return true;
	case THREADED_OFF:
		return false;
	case THREADED_AUTO:
		/* Before 6.10 a threaded NAPI can lose its wakeup for good (DESIGN 7). */
		return f &&
		       (f->kernel_major > 6 || (f->kernel_major == 6 && f->kernel_minor >= 10));
	}
	return false;
}

static void add_sysctl(struct world *w, const char *dev, enum sysctl_id id, int value)
{
	struct obj *o = world_add(w, OBJ_SYSCTL);

	o->dev = dev;
	o->sysctl.id = id;
	o->sysctl.value = value;
}

static bool lane_has_peer(const struct site *s, unsigned int lane)
{
	for (size_t i = 0; i < s->n_peers; i++)
		for (size_t t = 0; t < s->peers[i].n_tunnels; t++)
			if (s->peers[i].tunnels[t].ours == lane)
				return true;
	return false;
}

static void add_lane(struct build *b, const struct lane *lane)
{
	const struct want_input *in = b->in;
	const struct site *s = in->site;
	struct world *w = b->w;
	struct obj *o = world_add(w, OBJ_LINK);

	o->dev = lane->dev;
	o->link.alias = arena_printf(&w->arena, MODEL_ALIAS_PREFIX "%s", s->id);
	o->link.mtu = b->mtu[lane->number];
	o->link.up = true;

	o = world_add(w, OBJ_WGDEV);
	o->dev = lane->dev;
	o->wgdev.public_key = lane->public_key;
	o->wgdev.private_key = lane->private_key;
	o->wgdev.port = lane->port;
	o->wgdev.fwmark = s->config->mark_mask;

	if (!in->facts || in->facts->ipv6) {
		o = world_add(w, OBJ_ADDR);
		o->dev = lane->dev;
		o->addr.prefix.addr = lane->probe;
		o->addr.prefix.len = 64;
	}
	/* Without any IPv4 address on the device the kernel's reverse path check fails even in
	 * loose mode, whatever routes there are. */
	o = world_add(w, OBJ_ADDR);
	o->dev = lane->dev;
	o->addr.prefix = addr_host(&lane->link4);
	add_sysctl(w, lane->dev, SYSCTL_RP_FILTER, 2);
	/* The kernel refuses the setting on a device without peers. */
	if (lane_has_peer(s, lane->number))
		add_sysctl(w, lane->dev, SYSCTL_THREADED, threaded(in));
}

static bool is_carried(const struct site *s, const struct prefix *net)
{
	for (size_t i = 0; i < s->n_peers; i++)
		for (size_t j = 0; s->peers[i].traffic == TRAFFIC_ON && j < s->peers[i].n_networks;
		     j++)
			if (addr_contains(&s->peers[i].networks[j], net))
				return true;
	return false;
}

/*
 * The networks that a peer's entries allow. In standby they must not take packets from a peer that
 * carries a network around them: WireGuard gives to the longest prefix of a lane's entries.
 */
static void allowed_networks(struct build *b, const struct peer *p, struct prefix **ret_nets,
			     size_t *ret_n)
{
	struct prefix *nets = arena_alloc(&b->w->arena, p->n_networks, sizeof(*nets));
	size_t n = 0;

	for (size_t i = 0; i < p->n_networks; i++)
		if (p->traffic == TRAFFIC_ON || !is_carried(b->in->site, &p->networks[i]))
			nets[n++] = p->networks[i];
	*ret_nets = nets;
	*ret_n = n;
}

/* Where entries have no modes, all are vanilla, and nothing need be said. */
static void add_mode(struct build *b, const char *dev, const struct tunnel *t, enum mode wish)
{
	const struct facts *f = b->in->facts;
	struct obj *o;

	if (!f || !f->modes)
		return;
	o = world_add(b->w, OBJ_MODE);
	o->dev = dev;
	o->mode.peer = t->key;
	o->mode.mode = wish == MODE_VANILLA || f->inline_refused ? MODE_VANILLA : MODE_INLINE;
}

static void add_entry(struct build *b, const struct peer *p, size_t index,
		      const struct prefix *nets, size_t n_nets)
{
	const struct want_input *in = b->in;
	struct world *w = b->w;
	const struct tunnel *t = &p->tunnels[index];
	const struct want_tunnel *wt = &in->peers[p->index].tunnels[index];
	struct obj *o = world_add(w, OBJ_WGPEER);
	struct obj_wgpeer *e = &o->wgpeer;
	struct prefix probe = addr_host(&t->probe);
	size_t at = 0, n = 0;

	o->dev = site_lane(in->site, t->ours)->dev;
	e->public_key = t->key;
	e->endpoint = wt->endpoint;
	e->move_endpoint = wt->move_endpoint;
	e->keepalive_s = (uint16_t)p->config->keepalive_s;
	e->has_psk = p->has_psk;
	e->psk = p->psk;
	e->allowed = arena_alloc(&w->arena, n_nets + 1, sizeof(*e->allowed));
	while (t->probe.family && at < n_nets && addr_cmp_prefix(&nets[at], &probe) < 0)
		e->allowed[n++] = nets[at++];
	if (t->probe.family && (at == n_nets || addr_cmp_prefix(&nets[at], &probe) != 0))
		e->allowed[n++] = probe;
	while (at < n_nets)
		e->allowed[n++] = nets[at++];
	e->n_allowed = n;
	add_mode(b, site_lane(in->site, t->ours)->dev, t, wt->mode);
}

static void add_entries(struct build *b, const struct peer *p)
{
	struct prefix *nets;
	size_t n;

	allowed_networks(b, p, &nets, &n);
	for (size_t t = 0; t < p->n_tunnels; t++)
		add_entry(b, p, t, nets, n);
}

static struct obj *add_route(struct world *w, uint32_t table, const struct prefix *dst,
			     uint32_t metric, enum route_type type)
{
	struct obj *o = world_add(w, OBJ_ROUTE);

	o->route.table = table;
	o->route.dst = *dst;
	o->route.metric = metric;
	o->route.type = type;
	return o;
}

static bool on_host(const struct facts *f, const struct ipaddr *addr)
{
	for (size_t i = 0; f && i < f->n_addrs; i++)
		if (addr_cmp(&f->addrs[i].addr, addr) == 0)
			return true;
	return !f;
}

struct ipaddr want_source(const struct config *c, const struct facts *f, uint8_t family)
{
	const struct ipaddr *fixed = family == AF_INET6 ? &c->address6 : &c->address4;

	/* The kernel refuses a route whose source is not on the host. */
	if (fixed->family && on_host(f, fixed))
		return *fixed;
	for (size_t i = 0; f && i < f->n_addrs; i++)
		for (size_t j = 0; j < c->networks.n; j++)
			if (f->addrs[i].addr.family == family &&
			    addr_in(&c->networks.items[j].prefix, &f->addrs[i].addr))
				return f->addrs[i].addr;
	return (struct ipaddr){0};
}

static bool family_wanted(const struct want_input *in, uint8_t family)
{
	return family == AF_INET || !in->facts || in->facts->ipv6;
}

static void add_live_routes(struct build *b, const struct peer *p, const struct prefix *net)
{
	const struct site *s = b->in->site;
	uint32_t base = s->config->table_base;

	for (size_t t = 0; t < p->n_tunnels; t++) {
		const struct lane *lane = site_lane(s, p->tunnels[t].ours);
		uint32_t mtu = b->in->peers[p->index].mtu;
		struct obj *o;

		if (mtu == b->mtu[lane->number])
			mtu = 0;
		o = add_route(b->w, base + 1 + lane->number, net, METRIC_LANE, ROUTE_UNICAST);
		o->dev = lane->dev;
		o->route.mtu = mtu;
		if (t >= LIVE_ROUTES)
			continue;
		o = add_route(b->w, base, net, METRIC_LIVE + (uint32_t)t, ROUTE_UNICAST);
		o->dev = lane->dev;
		o->route.mtu = mtu;
		o->route.src = b->src[net->addr.family == AF_INET6];
	}
}

static void add_peer_routes(struct build *b, const struct peer *p)
{
	for (size_t i = 0; i < p->n_networks; i++) {
		const struct prefix *net = &p->networks[i];

		if (!family_wanted(b->in, net->addr.family))
			continue;
		add_route(b->w, b->in->site->config->table_base, net, METRIC_UNREACHABLE,
			  ROUTE_UNREACHABLE);
		if (!b->in->guard_only)
			add_live_routes(b, p, net);
	}
}

static void add_held(const struct want_input *in, struct world *w)
{
	for (size_t i = 0; i < in->site->n_held; i++) {
		const struct prefix *net = &in->site->held[i];

		if (family_wanted(in, net->addr.family) && !site_carries(in->site, net))
			add_route(w, in->site->config->table_base, net, METRIC_UNREACHABLE,
				  ROUTE_UNREACHABLE);
	}
}

static void add_throws(const struct want_input *in, uint8_t family, struct world *w)
{
	struct addr_owned *owned;
	size_t n;

	want_nft_owned(in, family, &w->arena, &owned, &n);
	for (size_t i = 0; i < n; i++) {
		bool known = owned[i].owner >= 0;

		for (size_t j = 0; j < i && !known; j++)
			known = owned[j].owner < 0 &&
				addr_cmp_prefix(&owned[j].prefix, &owned[i].prefix) == 0;
		if (!known)
			add_route(w, in->site->config->table_base, &owned[i].prefix, 1,
				  ROUTE_THROW);
	}
}

static struct obj_rule *add_rule(struct world *w, uint8_t family, uint32_t pref,
				 enum rule_action action, uint32_t target)
{
	struct obj *o = world_add(w, OBJ_RULE);

	o->rule.family = family;
	o->rule.pref = pref;
	o->rule.action = action;
	o->rule.target = target;
	return &o->rule;
}

static void add_lane_rules(const struct want_input *in, uint8_t family, struct world *w)
{
	const struct config *c = in->site->config;
	uint32_t base = c->rule_base, mask = c->mark_mask;
	unsigned int last = 0;

	for (size_t i = 0; i < in->site->n_lanes; i++) {
		unsigned int number = in->site->lanes[i].number, slot = number + 1;
		struct obj_rule *r = add_rule(w, family, base + RULE_LANE + slot, RULE_LOOKUP,
					      c->table_base + 1 + number);

		r->mark = model_mark(mask, slot);
		r->mask = mask;
		last = slot > last ? slot : last;
	}
	for (unsigned int group = 1; group * GROUP_SLOTS <= last; group++) {
		struct obj_rule *r = add_rule(w, family, base + RULE_GROUP + group, RULE_GOTO,
					      base + RULE_LANE + group * GROUP_SLOTS);

		r->mark = model_mark(mask, group * GROUP_SLOTS);
		r->mask = mask & ~model_mark(mask, GROUP_SLOTS - 1);
	}
}

static void add_rules(const struct want_input *in, uint8_t family, struct world *w)
{
	const struct config *c = in->site->config;
	uint32_t base = c->rule_base, mask = c->mark_mask;
	struct obj_rule *r;

	r = add_rule(w, family, base + RULE_OUTER, RULE_GOTO, base + RULE_END);
	r->mark = r->mask = mask;
	add_rule(w, family, base + RULE_FALLBACK, RULE_LOOKUP, c->table_base);
	add_rule(w, family, base + RULE_END, RULE_NOP, 0);
	if (in->guard_only)
		return;
	r = add_rule(w, family, base + RULE_UNMARKED, RULE_GOTO, base + RULE_FALLBACK);
	r->mask = mask;
	add_lane_rules(in, family, w);
}

static void add_nic(struct world *w, const char *dev, uint8_t family)
{
	struct obj *o = world_add(w, OBJ_NIC);

	o->dev = dev;
	o->nic.family = family;
	o->nic.fields = NIC_FIELDS;
}

/* Without the ports all tunnels between two addresses share one receive queue. */
static void add_nics(const struct want_input *in, struct world *w)
{
	for (size_t i = 0; in->facts && i < in->facts->n_nics; i++) {
		const struct fact_nic *nic = &in->facts->nics[i];

		if (nic->udp4)
			add_nic(w, nic->dev, AF_INET);
		if (nic->udp6)
			add_nic(w, nic->dev, AF_INET6);
	}
}

void want_build(const struct want_input *in, struct world *ret)
{
	const struct site *s = in->site;
	struct build b = {
		.in = in,
		.w = ret,
		.src = {want_source(s->config, in->facts, AF_INET),
			want_source(s->config, in->facts, AF_INET6)},
	};

	memset(ret, 0, sizeof(*ret));
	work_out_mtus(&b);
	for (size_t i = 0; !in->guard_only && i < s->n_lanes; i++)
		add_lane(&b, &s->lanes[i]);
	for (size_t i = 0; i < s->n_peers; i++) {
		const struct peer *p = &s->peers[i];

		if (!in->guard_only)
			add_entries(&b, p);
		if (p->traffic == TRAFFIC_ON)
			add_peer_routes(&b, p);
	}
	add_held(in, ret);
	if (!in->guard_only && s->config->steering != STEERING_OFF)
		add_nics(in, ret);
	for (int f = 0; f < 2; f++) {
		uint8_t family = f ? AF_INET6 : AF_INET;

		if (!family_wanted(in, family))
			continue;
		add_throws(in, family, ret);
		add_rules(in, family, ret);
	}
	want_nft_build(in, ret);
	world_sort(ret);
}
