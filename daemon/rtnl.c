/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: Lane devices, addresses, routes and rules in the kernel, over rtnetlink. What a message
 * looks like is in rtnl_encode.c; WireGuard's side of a device in wg.c. It never looks into
 * routing tables outside our range (a dump is filtered by the kernel: a host may hold a full
 * Internet table) nor touches a device that does not carry our sign. Invariant: observing changes
 * nothing, and what was observed from a torn dump is thrown away. Read kernel.c next.
 */
#include "rtnl.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "rtnl_encode.h"

struct rtnl {
	struct nl nl;
	struct nl_batch batch;
	nl_result_fn result;
	void *owner;
	/* Interface numbers looked up since the last flush. */
	struct {
		char dev[IF_NAMESIZE];
		uint32_t ifindex;
	} known[MODEL_LANES_MAX];
	size_t n_known;
	_Alignas(struct nlmsghdr) char buf[RTNL_MSG_MAX];
};

int rtnl_open(nl_result_fn result, void *owner, struct rtnl **ret_rtnl)
{
	struct rtnl *r = xcalloc(1, sizeof(*r));
	int err = nl_open(&r->nl, NETLINK_ROUTE);

	if (err) {
		free(r);
		return err;
	}
	r->result = result;
	r->owner = owner;
	nl_batch_init(&r->batch, &r->nl, result, owner);
	*ret_rtnl = r;
	return 0;
}

void rtnl_close(struct rtnl *r)
{
	if (!r)
		return;
	nl_batch_done(&r->batch);
	nl_close(&r->nl);
	free(r);
}

/* ---- observe ---- */

struct scan {
	struct rtnl *r;
	const struct ownership *own;
	struct world *w;
	struct arena tmp;
	struct seen {
		uint32_t ifindex;
		const char *dev; /* in the world's arena */
		bool ours;
	} * links; /* by ifindex */
	size_t n_links;
	uint32_t table; /* of the routes asked for */
	/* How much the world held before the dump that runs. */
	size_t objs, addrs, foreign;
};

static void scan_mark(struct scan *s)
{
	s->objs = s->w->n;
	s->addrs = s->w->facts.n_addrs;
	s->foreign = s->w->facts.n_foreign;
}

static void scan_reset(void *data)
{
	struct scan *s = data;

	s->w->n = s->objs;
	s->w->facts.n_addrs = s->addrs;
	s->w->facts.n_foreign = s->foreign;
}

static void links_reset(void *data)
{
	struct scan *s = data;

	scan_reset(data);
	s->n_links = 0;
}

static int scan_dump(struct scan *s, struct nlmsghdr *nlh, mnl_cb_t cb, void (*reset)(void *))
{
	scan_mark(s);
	return nl_dump_retry(&s->r->nl, nlh, cb, reset, s);
}

/* What a callback gives for a parser's result. */
static int verdict(int err)
{
	if (!err || err == -ENOMSG)
		return MNL_CB_OK;
	errno = -err;
	return MNL_CB_ERROR;
}

static void add_foreign(struct scan *s, const struct rtnl_link *l, const char *dev)
{
	struct facts *f = &s->w->facts;
	struct fact_link *fl =
		arena_grow(&s->w->arena, (void **)&f->foreign, &f->n_foreign, sizeof(*fl));

	fl->dev = dev;
	fl->alias = l->alias[0] ? arena_strdup(&s->w->arena, l->alias) : NULL;
	fl->wireguard = strcmp(l->kind, "wireguard") == 0;
	fl->mtu = l->mtu;
}

static int link_cb(const struct nlmsghdr *nlh, void *data)
{
	struct scan *s = data;
	struct rtnl_link l;
	int err = rtnl_parse_link(nlh, &l);
	struct seen *seen;

	if (err)
		return verdict(err);
	seen = arena_grow(&s->tmp, (void **)&s->links, &s->n_links, sizeof(*seen));
	seen->ifindex = l.ifindex;
	seen->dev = arena_strdup(&s->w->arena, l.name);
	seen->ours = rtnl_link_is_ours(&l);
	if (seen->ours) {
		struct obj *o = world_add(s->w, OBJ_LINK);

		o->dev = seen->dev;
		o->link.alias = l.alias[0] ? arena_strdup(&s->w->arena, l.alias) : NULL;
		o->link.mtu = l.mtu;
		o->link.up = l.up;
		o->link.ifindex = l.ifindex;
		o->link.packets = l.packets;
	} else if (strcmp(l.kind, "wireguard") == 0 ||
		   strncmp(l.name, MODEL_DEV_PREFIX, strlen(MODEL_DEV_PREFIX)) == 0) {
		add_foreign(s, &l, seen->dev);
	}
	return MNL_CB_OK;
}

static int cmp_seen(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;

	return x->ifindex < y->ifindex ? -1 : x->ifindex > y->ifindex;
}

static const struct seen *find_link(const struct scan *s, uint32_t ifindex)
{
	struct seen key = {.ifindex = ifindex};

	if (!s->n_links)
		return NULL;
	return bsearch(&key, s->links, s->n_links, sizeof(key), cmp_seen);
}

static bool is_host_only(const struct ipaddr *a)
{
	static const uint8_t loopback6[16] = {[15] = 1};

	if (a->family == AF_INET)
		return a->b[0] == 127;
	return memcmp(a->b, loopback6, sizeof(loopback6)) == 0 ||
	       (a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80);
}

static int addr_cb(const struct nlmsghdr *nlh, void *data)
{
	struct scan *s = data;
	struct rtnl_addr a;
	int err = rtnl_parse_addr(nlh, &a);
	const struct seen *link;
	struct fact_addr *fact;

	if (err)
		return verdict(err);
	link = find_link(s, a.ifindex);
	if (!link) /* newer than the dump of links: the next pass sees both */
		return MNL_CB_OK;
	if (link->ours) {
		struct obj *o = world_add(s->w, OBJ_ADDR);

		o->dev = link->dev;
		o->addr.prefix.addr = a.addr;
		o->addr.prefix.len = a.len;
	} else if (!is_host_only(&a.addr)) {
		struct facts *f = &s->w->facts;

		fact = arena_grow(&s->w->arena, (void **)&f->addrs, &f->n_addrs, sizeof(*fact));
		fact->dev = link->dev;
		fact->addr = a.addr;
		fact->prefix = a.prefix;
	}
	return MNL_CB_OK;
}

static int route_cb(const struct nlmsghdr *nlh, void *data)
{
	struct scan *s = data;
	struct obj_route route;
	uint32_t ifindex;
	int err = rtnl_parse_route(nlh, &route, &ifindex);
	const struct seen *link;
	struct obj *o;

	if (err)
		return verdict(err);
	if (route.table != s->table)
		return MNL_CB_OK;
	o = world_add(s->w, OBJ_ROUTE);
	o->route = route;
	link = find_link(s, ifindex);
	o->dev = link ? link->dev : NULL;
	return MNL_CB_OK;
}

static int rule_cb(const struct nlmsghdr *nlh, void *data)
{
	struct scan *s = data;
	struct obj_rule rule;
	int err = rtnl_parse_rule(nlh, &rule);

	if (err)
		return verdict(err);
	if (rule.pref < s->own->rule_base || rule.pref - s->own->rule_base >= WANT_RULE_SPAN)
		return MNL_CB_OK;
	world_add(s->w, OBJ_RULE)->rule = rule;
	return MNL_CB_OK;
}

static int scan_links(struct scan *s)
{
	int err = scan_dump(s, rtnl_encode_link_dump(s->r->buf), link_cb, links_reset);

	if (!err && s->n_links)
		qsort(s->links, s->n_links, sizeof(*s->links), cmp_seen);
	return err;
}

static int scan_routes(struct scan *s, uint8_t family)
{
	for (uint32_t i = 0; i < WANT_TABLE_SPAN; i++) {
		int err;

		s->table = s->own->table_base + i;
		err = scan_dump(s, rtnl_encode_route_dump(s->r->buf, family, s->table), route_cb,
				scan_reset);
		if (err && err != -ENOENT) /* there is no such table */
			return err;
	}
	return 0;
}

static int scan_rules(struct scan *s, uint8_t family)
{
	int err = scan_dump(s, rtnl_encode_rule_dump(s->r->buf, family), rule_cb, scan_reset);

	return err == -EAFNOSUPPORT ? 0 : err;
}

static int scan_all(struct scan *s, const char **ret_what)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	int err;

	*ret_what = "dump of links";
	err = scan_links(s);
	if (err)
		return err;
	*ret_what = "dump of addresses";
	err = scan_dump(s, rtnl_encode_addr_dump(s->r->buf), addr_cb, scan_reset);
	for (size_t i = 0; !err && i < (s->w->facts.ipv6 ? 2 : 1); i++) {
		*ret_what = "dump of routes";
		err = scan_routes(s, families[i]);
		if (err)
			return err;
		*ret_what = "dump of rules";
		err = scan_rules(s, families[i]);
	}
	return err;
}

int rtnl_observe(struct rtnl *r, const struct ownership *own, struct world *ret,
		 const char **ret_why)
{
	struct scan s = {.r = r, .own = own, .w = ret};
	const char *what;
	int err = scan_all(&s, &what);

	arena_done(&s.tmp);
	if (err)
		*ret_why = arena_printf(&ret->arena, "%s: %s%s%s", what, strerror(-err),
					r->nl.why[0] ? ": " : "", r->nl.why);
	return err;
}

/* ---- apply ---- */

static uint32_t ifindex_of(struct rtnl *r, const char *dev)
{
	uint32_t ifindex;

	for (size_t i = 0; i < r->n_known; i++)
		if (strcmp(r->known[i].dev, dev) == 0)
			return r->known[i].ifindex;
	ifindex = if_nametoindex(dev);
	if (ifindex && r->n_known < MODEL_LANES_MAX && strlen(dev) < IF_NAMESIZE) {
		strcpy(r->known[r->n_known].dev, dev);
		r->known[r->n_known++].ifindex = ifindex;
	}
	return ifindex;
}

static void add_link(struct rtnl *r, struct op *op)
{
	struct obj made = *op->want;
	int err;

	nl_batch_flush(&r->batch);
	err = nl_talk(&r->nl, rtnl_encode_link_add(r->buf, op->want), NULL, NULL);
	if (err) {
		/* Nothing more by this name: the device that has it is not ours. */
		r->result(r->owner, op, err, r->nl.why);
		return;
	}
	/* The kernel takes no alias with the creation of a device. */
	made.link.alias = NULL;
	made.link.ifindex = 0;
	nl_batch_add(&r->batch, rtnl_encode_link_set(r->buf, op->want, &made), op);
}

static void apply_link(struct rtnl *r, struct op *op)
{
	switch (op->verb) {
	case OP_ADD:
		add_link(r, op);
		break;
	case OP_SET:
		nl_batch_add(&r->batch, rtnl_encode_link_set(r->buf, op->want, op->have), op);
		break;
	case OP_DEL:
		/* By number: the name may have another device by now. */
		nl_batch_add(&r->batch, rtnl_encode_link_del(r->buf, op->have->link.ifindex), op);
		break;
	case OP_INERT:
		r->result(r->owner, op, -EOPNOTSUPP, "");
		break;
	}
	rtnl_flush(r); /* what follows looks up its number */
}

static void apply_addr(struct rtnl *r, struct op *op, const struct obj *o)
{
	uint32_t ifindex = ifindex_of(r, o->dev);

	if (!ifindex)
		r->result(r->owner, op, -ENODEV, "");
	else
		nl_batch_add(&r->batch, rtnl_encode_addr(r->buf, op->verb, o, ifindex), op);
}

static void apply_route(struct rtnl *r, struct op *op, const struct obj *o)
{
	uint32_t ifindex = 0;

	if (o->route.type == ROUTE_UNICAST && o->dev) {
		ifindex = ifindex_of(r, o->dev);
		if (!ifindex) {
			r->result(r->owner, op, -ENODEV, "");
			return;
		}
	}
	nl_batch_add(&r->batch, rtnl_encode_route(r->buf, op->verb, o, ifindex), op);
}

void rtnl_apply(struct rtnl *r, struct op *op)
{
	const struct obj *o = op->verb == OP_DEL ? op->have : op->want;

	switch (op->kind) {
	case OBJ_LINK:
		apply_link(r, op);
		return;
	case OBJ_ADDR:
		apply_addr(r, op, o);
		return;
	case OBJ_ROUTE:
		apply_route(r, op, o);
		return;
	case OBJ_RULE:
		nl_batch_add(&r->batch, rtnl_encode_rule(r->buf, op->verb, &o->rule), op);
		return;
	case OBJ_WGDEV:
	case OBJ_WGPEER:
	case OBJ_MODE:
	case OBJ_SYSCTL:
	case OBJ_NIC:
	case OBJ_NFT_TABLE:
	case OBJ_NFT_CHAIN:
	case OBJ_NFT_NETS:
	case OBJ_NFT_BUCKETS:
	case OBJ_KINDS:
		break;
	}
	r->result(r->owner, op, -EOPNOTSUPP, "");
}

void rtnl_flush(struct rtnl *r)
{
	nl_batch_flush(&r->batch);
	r->n_known = 0;
}

/* ---- path ---- */

struct path {
	uint32_t ifindex, mtu;
	struct rtnl_link link;
};

static int path_cb(const struct nlmsghdr *nlh, void *data)
{
	struct path *p = data;

	return verdict(rtnl_parse_path(nlh, &p->ifindex, &p->mtu));
}

static int path_link_cb(const struct nlmsghdr *nlh, void *data)
{
	struct path *p = data;

	return verdict(rtnl_parse_link(nlh, &p->link));
}

int rtnl_path(struct rtnl *r, const struct ipaddr *dst, uint32_t mark, uint32_t *ret_mtu,
	      char ret_dev[static 16])
{
	struct path p = {0};
	int err;

	_Static_assert(sizeof(p.link.name) == 16, "a device name");
	err = nl_talk(&r->nl, rtnl_encode_path(r->buf, dst, mark), path_cb, &p);
	if (err)
		return err;
	err = nl_talk(&r->nl, rtnl_encode_link_get(r->buf, p.ifindex), path_link_cb, &p);
	if (err)
		return err;
	if (!p.link.ifindex)
		return -ENODEV;
	*ret_mtu = p.mtu && p.mtu < p.link.mtu ? p.mtu : p.link.mtu;
	memcpy(ret_dev, p.link.name, 16);
	return 0;
}
