/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: WireGuard devices and peer entries, over the kernel's generic netlink family "wireguard".
 * It never replaces a device's peers (WGDEVICE_F_REPLACE_PEERS), sends only what an op changes,
 * since a port that is set anew means a new socket, and updates an entry without creating it.
 * Invariant: what held a private or preshared key is wiped, and SET_DEVICE not being a
 * transaction is nobody's surprise: whatever is left half done shows in the next observation.
 * Devices themselves are made and removed in rtnl.c. Read kernel.c next.
 */
#include "wg.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/time_types.h>
#include <linux/wireguard.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* From 6.16; not in older headers. */
#define ALLOWEDIP_A_FLAGS     4
#define ALLOWEDIP_F_REMOVE_ME 1u

#define NEST_MAX 64 /* bytes that one allowed IP and the ends of its nests take at most */

enum can { CAN_UNKNOWN, CAN_NOT, CAN };

struct wg {
	struct nl nl;
	struct nl_batch batch;
	nl_result_fn result;
	void *owner;
	uint16_t family;    /* 0: not looked up */
	enum can remove_me; /* a single allowed IP */
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
};

/* ---- pure: parsing ---- */

static int cmp_prefix(const void *a, const void *b)
{
	return addr_cmp_prefix(a, b);
}

static int parse_allowed(const struct nlattr *attr, struct wg_dump *d, struct obj_wgpeer *p)
{
	const struct nlattr *tb[WGALLOWEDIP_A_MAX + 1];
	struct prefix x = {0}, *slot;

	nl_nested(attr, tb, WGALLOWEDIP_A_MAX);
	x.addr.family = (uint8_t)nl_u16(tb[WGALLOWEDIP_A_FAMILY], 0);
	if (x.addr.family != AF_INET && x.addr.family != AF_INET6)
		return -EBADMSG;
	x.len = nl_u8(tb[WGALLOWEDIP_A_CIDR_MASK], UINT8_MAX);
	if (x.len > addr_bits(x.addr.family) ||
	    !nl_bytes(tb[WGALLOWEDIP_A_IPADDR], x.addr.b, addr_bytes(x.addr.family)))
		return -EBADMSG;
	addr_mask(&x);
	slot = arena_grow(d->arena, (void **)&p->allowed, &p->n_allowed, sizeof(*slot));
	*slot = x;
	return 0;
}

static void parse_endpoint(const struct nlattr *attr, struct sockep *ret)
{
	struct sockaddr_storage sa = {0};
	size_t len = mnl_attr_get_payload_len(attr);

	if (len > sizeof(sa))
		return;
	memcpy(&sa, mnl_attr_get_payload(attr), len);
	if (addr_from_sockaddr((const struct sockaddr *)&sa, len, ret))
		memset(ret, 0, sizeof(*ret));
}

static void parse_peer_head(const struct nlattr **tb, struct obj_wgpeer *p)
{
	struct __kernel_timespec last;

	if (nl_bytes(tb[WGPEER_A_PRESHARED_KEY], &p->psk, sizeof(p->psk)))
		p->has_psk = !key_is_zero(&p->psk);
	if (tb[WGPEER_A_ENDPOINT])
		parse_endpoint(tb[WGPEER_A_ENDPOINT], &p->endpoint);
	p->keepalive_s = nl_u16(tb[WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL], 0);
	if (nl_bytes(tb[WGPEER_A_LAST_HANDSHAKE_TIME], &last, sizeof(last)) && last.tv_sec > 0)
		p->handshake_s = (uint64_t)last.tv_sec;
	p->rx_bytes = nl_u64(tb[WGPEER_A_RX_BYTES], 0);
	p->tx_bytes = nl_u64(tb[WGPEER_A_TX_BYTES], 0);
}

static int parse_peer(const struct nlattr *attr, struct wg_dump *d)
{
	const struct nlattr *tb[WGPEER_A_MAX + 1], *a;
	struct obj_wgpeer *p = d->n_peers ? &d->peers[d->n_peers - 1] : NULL;
	struct key key;

	nl_nested(attr, tb, WGPEER_A_MAX);
	if (!nl_bytes(tb[WGPEER_A_PUBLIC_KEY], &key, sizeof(key)))
		return -EBADMSG;
	/* An entry whose allowed IPs did not fit goes on in the next message, with its key alone.
	 */
	if (!p || key_cmp(&p->public_key, &key) != 0) {
		p = arena_grow(d->arena, (void **)&d->peers, &d->n_peers, sizeof(*p));
		p->public_key = key;
		parse_peer_head(tb, p);
	}
	if (!tb[WGPEER_A_ALLOWEDIPS] || d->skip_allowed)
		return 0;
	mnl_attr_for_each_nested(a, tb[WGPEER_A_ALLOWEDIPS])
	{
		int err = parse_allowed(a, d, p);

		if (err)
			return err;
	}
	return 0;
}

int wg_parse(const struct nlmsghdr *nlh, struct wg_dump *d)
{
	const struct nlattr *tb[WGDEVICE_A_MAX + 1], *a;

	if (nl_msg_attrs(nlh, sizeof(struct genlmsghdr), tb, WGDEVICE_A_MAX))
		return -EBADMSG;
	/* Only the first message has these. */
	nl_bytes(tb[WGDEVICE_A_PUBLIC_KEY], &d->public_key, sizeof(d->public_key));
	d->port = nl_u16(tb[WGDEVICE_A_LISTEN_PORT], d->port);
	d->fwmark = nl_u32(tb[WGDEVICE_A_FWMARK], d->fwmark);
	if (!tb[WGDEVICE_A_PEERS] || d->skip_peers)
		return 0;
	mnl_attr_for_each_nested(a, tb[WGDEVICE_A_PEERS])
	{
		int err = parse_peer(a, d);

		if (err)
			return err;
	}
	return 0;
}

void wg_parse_done(struct wg_dump *d)
{
	for (size_t i = 0; i < d->n_peers; i++) {
		struct obj_wgpeer *p = &d->peers[i];

		if (p->n_allowed)
			qsort(p->allowed, p->n_allowed, sizeof(*p->allowed), cmp_prefix);
	}
}

/* ---- pure: encoding ---- */

static struct nlmsghdr *request(void *buf, uint16_t family, uint8_t cmd, const char *dev)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct genlmsghdr *g = mnl_nlmsg_put_extra_header(nlh, sizeof(*g));

	nlh->nlmsg_type = family;
	g->cmd = cmd;
	g->version = WG_GENL_VERSION;
	mnl_attr_put_strz(nlh, WGDEVICE_A_IFNAME, dev);
	return nlh;
}

struct nlmsghdr *wg_encode_get(void *buf, uint16_t family, const char *dev)
{
	return request(buf, family, WG_CMD_GET_DEVICE, dev);
}

struct nlmsghdr *wg_encode_device(void *buf, uint16_t family, const struct obj *want,
				  const struct obj *have)
{
	const struct obj_wgdev *w = &want->wgdev, *h = have ? &have->wgdev : NULL;
	struct nlmsghdr *nlh = request(buf, family, WG_CMD_SET_DEVICE, want->dev);

	if (!h || h->fwmark != w->fwmark)
		mnl_attr_put_u32(nlh, WGDEVICE_A_FWMARK, w->fwmark);
	if (!h || h->port != w->port)
		mnl_attr_put_u16(nlh, WGDEVICE_A_LISTEN_PORT, w->port);
	if (!h || key_cmp(&h->public_key, &w->public_key) != 0)
		mnl_attr_put(nlh, WGDEVICE_A_PRIVATE_KEY, sizeof(w->private_key), &w->private_key);
	return nlh;
}

static void put_allowed(struct nlmsghdr *nlh, const struct wg_allowed *x)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, 0);

	mnl_attr_put_u16(nlh, WGALLOWEDIP_A_FAMILY, x->prefix.addr.family);
	mnl_attr_put(nlh, WGALLOWEDIP_A_IPADDR, addr_bytes(x->prefix.addr.family),
		     x->prefix.addr.b);
	mnl_attr_put_u8(nlh, WGALLOWEDIP_A_CIDR_MASK, x->prefix.len);
	if (x->remove)
		mnl_attr_put_u32(nlh, ALLOWEDIP_A_FLAGS, ALLOWEDIP_F_REMOVE_ME);
	mnl_attr_nest_end(nlh, nest);
}

static void put_peer_head(struct nlmsghdr *nlh, const struct wg_change *c)
{
	if (c->psk)
		mnl_attr_put(nlh, WGPEER_A_PRESHARED_KEY, sizeof(*c->psk), c->psk);
	if (c->endpoint) {
		struct sockaddr_storage sa;
		socklen_t len;

		addr_to_sockaddr(c->endpoint, &sa, &len);
		mnl_attr_put(nlh, WGPEER_A_ENDPOINT, len, &sa);
	}
	if (c->has_keepalive)
		mnl_attr_put_u16(nlh, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, c->keepalive_s);
}

struct nlmsghdr *wg_encode_peer(void *buf, uint16_t family, const struct wg_change *c, size_t *at)
{
	struct nlmsghdr *nlh = request(buf, family, WG_CMD_SET_DEVICE, c->dev);
	struct nlattr *peers = mnl_attr_nest_start(nlh, WGDEVICE_A_PEERS);
	struct nlattr *peer = mnl_attr_nest_start(nlh, 0), *ips;
	uint32_t flags = *at ? WGPEER_F_UPDATE_ONLY : c->flags;

	mnl_attr_put(nlh, WGPEER_A_PUBLIC_KEY, sizeof(c->key), &c->key);
	if (flags)
		mnl_attr_put_u32(nlh, WGPEER_A_FLAGS, flags);
	if (!*at)
		put_peer_head(nlh, c);
	if (*at < c->n_allowed) {
		ips = mnl_attr_nest_start(nlh, WGPEER_A_ALLOWEDIPS);
		while (*at < c->n_allowed && nlh->nlmsg_len + NEST_MAX <= NL_MSG_MAX)
			put_allowed(nlh, &c->allowed[(*at)++]);
		mnl_attr_nest_end(nlh, ips);
	}
	mnl_attr_nest_end(nlh, peer);
	mnl_attr_nest_end(nlh, peers);
	return nlh;
}

/* ---- pure: what an op changes ---- */

static void allow(struct wg_change *c, const struct prefix *p, bool remove)
{
	c->allowed[c->n_allowed++] = (struct wg_allowed){.prefix = *p, .remove = remove};
}

/* Calls for prefixes that only one of two sorted lists has: `only_want`, or else only the other. */
static void diff_allowed(const struct obj_wgpeer *want, const struct obj_wgpeer *have,
			 bool only_want, struct wg_change *c)
{
	size_t i = 0, j = 0;

	while (i < want->n_allowed || j < have->n_allowed) {
		int cmp = i == want->n_allowed ? 1
			  : j == have->n_allowed
				  ? -1
				  : addr_cmp_prefix(&want->allowed[i], &have->allowed[j]);

		if (cmp < 0 && only_want)
			allow(c, &want->allowed[i], false);
		if (cmp > 0 && !only_want)
			allow(c, &have->allowed[j], true);
		i += cmp <= 0;
		j += cmp >= 0;
	}
}

static void change_allowed(const struct obj_wgpeer *want, const struct obj_wgpeer *have,
			   bool remove_me, struct arena *a, struct wg_change *c)
{
	c->allowed = arena_alloc(a, want->n_allowed + have->n_allowed + 1, sizeof(*c->allowed));
	diff_allowed(want, have, false, c);
	if (c->n_allowed && !remove_me) {
		c->n_allowed = 0;
		c->flags |= WGPEER_F_REPLACE_ALLOWEDIPS;
		for (size_t i = 0; i < want->n_allowed; i++)
			allow(c, &want->allowed[i], false);
		return;
	}
	c->n_allowed = 0;
	diff_allowed(want, have, true, c); /* first what adds */
	diff_allowed(want, have, false, c);
}

static void change_peer(const struct obj_wgpeer *want, const struct obj_wgpeer *have,
			struct wg_change *c)
{
	static const struct key none;

	if (want->has_psk && (!have->has_psk || key_cmp(&want->psk, &have->psk) != 0))
		c->psk = &want->psk;
	else if (!want->has_psk && have->has_psk)
		c->psk = &none;
	if (want->endpoint.addr.family && (!have->endpoint.addr.family || want->move_endpoint) &&
	    !addr_equal_ep(&want->endpoint, &have->endpoint))
		c->endpoint = &want->endpoint;
	c->has_keepalive = want->keepalive_s != have->keepalive_s;
	c->keepalive_s = want->keepalive_s;
}

void wg_diff_peer(const struct op *op, bool remove_me, const struct key *psk, struct arena *a,
		  struct wg_change *ret)
{
	static const struct obj_wgpeer nothing;
	const struct obj *o = op->want ? op->want : op->have;

	memset(ret, 0, sizeof(*ret));
	ret->dev = o->dev;
	ret->key = o->wgpeer.public_key;
	switch (op->verb) {
	case OP_ADD:
		change_peer(&op->want->wgpeer, &nothing, ret);
		change_allowed(&op->want->wgpeer, &nothing, remove_me, a, ret);
		break;
	case OP_SET:
		ret->flags = WGPEER_F_UPDATE_ONLY;
		change_peer(&op->want->wgpeer, &op->have->wgpeer, ret);
		change_allowed(&op->want->wgpeer, &op->have->wgpeer, remove_me, a, ret);
		break;
	case OP_INERT:
		ret->flags = WGPEER_F_UPDATE_ONLY | WGPEER_F_REPLACE_ALLOWEDIPS;
		ret->psk = psk;
		ret->has_keepalive = true;
		break;
	case OP_DEL:
		ret->flags = WGPEER_F_REMOVE_ME;
		break;
	}
}

bool wg_takes_allowed(const struct op *op)
{
	struct arena a = {0};
	struct wg_change c = {0};
	bool takes;

	if (op->verb != OP_SET || op->kind != OBJ_WGPEER)
		return false;
	change_allowed(&op->want->wgpeer, &op->have->wgpeer, false, &a, &c);
	takes = (c.flags & WGPEER_F_REPLACE_ALLOWEDIPS) && c.n_allowed;
	arena_done(&a);
	return takes;
}

/* ---- the adapter ---- */

int wg_open(nl_result_fn result, void *owner, struct wg **ret_wg)
{
	struct wg *w = xcalloc(1, sizeof(*w));
	int err = nl_open(&w->nl, NETLINK_GENERIC);

	if (err) {
		free(w);
		return err;
	}
	w->result = result;
	w->owner = owner;
	nl_batch_init(&w->batch, &w->nl, result, owner);
	*ret_wg = w;
	return 0;
}

void wg_close(struct wg *w)
{
	if (!w)
		return;
	nl_batch_done(&w->batch);
	nl_close(&w->nl);
	explicit_bzero(w, sizeof(*w));
	free(w);
}

void wg_begin(struct wg *w)
{
	w->family = 0;
	w->remove_me = CAN_UNKNOWN;
}

/* Looked up only when there is something to ask: a host without WireGuard is no error. */
static int find_family(struct wg *w)
{
	int err;

	if (w->family)
		return 0;
	err = nl_genl_family(&w->nl, WG_GENL_NAME, &w->family);
	if (err != -ENOENT)
		return err;
	strcpy(w->nl.why, "the kernel has no WireGuard");
	return -EPROTONOSUPPORT;
}

static int dump_cb(const struct nlmsghdr *nlh, void *data)
{
	int err = wg_parse(nlh, data);

	errno = -err;
	return err ? MNL_CB_ERROR : MNL_CB_OK;
}

static void dump_reset(void *data)
{
	struct wg_dump *d = data;

	d->n_peers = 0;
	d->port = 0;
	d->fwmark = 0;
	memset(&d->public_key, 0, sizeof(d->public_key));
}

static int dump(struct wg *w, const char *dev, struct wg_dump *d)
{
	int err = find_family(w);

	if (!err)
		err = nl_dump_retry(&w->nl, wg_encode_get(w->buf, w->family, dev), dump_cb,
				    dump_reset, d);
	if (!err)
		wg_parse_done(d);
	return err;
}

int wg_observe(struct wg *w, const char *dev, struct world *ret, const char **ret_why)
{
	struct wg_dump d = {.arena = &ret->arena};
	int err = dump(w, dev, &d);
	struct obj *o;

	if (err) {
		*ret_why = arena_printf(&ret->arena, "wireguard %s: %s%s%s", dev, strerror(-err),
					w->nl.why[0] ? ": " : "", w->nl.why);
		return err;
	}
	o = world_add(ret, OBJ_WGDEV);
	o->dev = dev;
	o->wgdev.public_key = d.public_key;
	o->wgdev.port = d.port;
	o->wgdev.fwmark = d.fwmark;
	for (size_t i = 0; i < d.n_peers; i++) {
		o = world_add(ret, OBJ_WGPEER);
		o->dev = dev;
		o->wgpeer = d.peers[i];
	}
	return 0;
}

int wg_port(struct wg *w, const char *dev, uint16_t *ret_port)
{
	struct wg_dump d = {.skip_peers = true};
	int err = dump(w, dev, &d);

	if (err && err != -ENODEV)
		return err;
	*ret_port = d.port;
	return 0;
}

int wg_sample(struct wg *w, const char *dev, struct arena *a,
	      struct kernel_peer_sample **ret_samples, size_t *ret_n)
{
	struct arena tmp = {0};
	struct wg_dump d = {.arena = &tmp, .skip_allowed = true};
	struct kernel_peer_sample *s;
	int err = dump(w, dev, &d);

	if (!err) {
		s = arena_alloc(a, d.n_peers, sizeof(*s));
		for (size_t i = 0; i < d.n_peers; i++) {
			s[i].key = d.peers[i].public_key;
			s[i].endpoint = d.peers[i].endpoint;
			s[i].handshake_s = d.peers[i].handshake_s;
			s[i].rx_bytes = d.peers[i].rx_bytes;
			s[i].tx_bytes = d.peers[i].tx_bytes;
		}
		*ret_samples = s;
		*ret_n = d.n_peers;
	}
	arena_done(&tmp);
	return err;
}

static void add_change(struct wg *w, struct op *op, const struct wg_change *c)
{
	size_t at = 0;

	do
		nl_batch_add(&w->batch, wg_encode_peer(w->buf, w->family, c, &at), op);
	while (at < c->n_allowed);
}

/* Takes away single allowed IPs for the first time: older kernels refuse the attribute, after
 * they have added what there is to add. True: done, or failed for good. */
static bool try_remove_me(struct wg *w, struct op *op)
{
	struct arena a = {0};
	struct wg_change c;
	size_t at = 0;
	int err;

	nl_batch_flush(&w->batch);
	wg_diff_peer(op, true, NULL, &a, &c);
	do
		err = nl_talk(&w->nl, wg_encode_peer(w->buf, w->family, &c, &at), NULL, NULL);
	while (!err && at < c.n_allowed);
	w->remove_me = err ? CAN_NOT : CAN;
	arena_done(&a);
	if (err == -EINVAL || err == -EOPNOTSUPP)
		return false;
	w->result(w->owner, op, err, w->nl.why);
	return true;
}

/*
 * Kernels before 6.16 can only take away all allowed IPs of a peer at once, which would lose the
 * packets of that moment. But an allowed IP that is given to another entry moves there in one
 * step: so those not wanted go to an entry that is nobody's. The next pass finds it unwanted and
 * lets it leave like any other.
 */
static int take_by_moving(struct wg *w, struct op *op, struct arena *a)
{
	struct wg_change c, nobody = {0};
	size_t kept = 0;

	wg_diff_peer(op, true, NULL, a, &c);
	nobody.dev = c.dev;
	nobody.allowed = arena_alloc(a, c.n_allowed, sizeof(*nobody.allowed));
	if (getrandom(&nobody.key, sizeof(nobody.key), 0) != sizeof(nobody.key))
		return -EIO;
	for (size_t i = 0; i < c.n_allowed; i++) {
		if (!c.allowed[i].remove)
			c.allowed[kept++] = c.allowed[i];
		else
			allow(&nobody, &c.allowed[i].prefix, false);
	}
	c.n_allowed = kept;
	add_change(w, op, &nobody);
	add_change(w, op, &c);
	return 0;
}

static void apply_peer(struct wg *w, struct op *op)
{
	struct arena a = {0};
	struct wg_change c;
	struct key psk = {0};

	if (op->verb == OP_INERT && getrandom(&psk, sizeof(psk), 0) != sizeof(psk)) {
		w->result(w->owner, op, -EIO, "no random key");
		return;
	}
	if (!wg_takes_allowed(op)) {
		wg_diff_peer(op, w->remove_me == CAN, &psk, &a, &c);
		add_change(w, op, &c);
	} else if (w->remove_me == CAN) {
		wg_diff_peer(op, true, NULL, &a, &c);
		add_change(w, op, &c);
	} else if ((w->remove_me == CAN_NOT || !try_remove_me(w, op)) &&
		   take_by_moving(w, op, &a) != 0) {
		w->result(w->owner, op, -EIO, "no random key");
	}
	explicit_bzero(&psk, sizeof(psk));
	explicit_bzero(w->buf, sizeof(w->buf));
	arena_done(&a);
}

void wg_apply(struct wg *w, struct op *op)
{
	int err = find_family(w);

	if (err) {
		w->result(w->owner, op, err, w->nl.why);
	} else if (op->kind == OBJ_WGPEER) {
		apply_peer(w, op);
	} else if (op->kind == OBJ_WGDEV && op->want) {
		nl_batch_add(&w->batch, wg_encode_device(w->buf, w->family, op->want, op->have),
			     op);
		explicit_bzero(w->buf, sizeof(w->buf));
	} else {
		w->result(w->owner, op, -EOPNOTSUPP, "");
	}
}

void wg_flush(struct wg *w)
{
	nl_batch_flush(&w->batch);
}
