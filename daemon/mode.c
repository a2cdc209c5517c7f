/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: Modes of peer entries, over our module's generic netlink family "wgscale". It is looked for
 * each time, since the module may come, go, or be another by now, and never asked for by name,
 * since that has the kernel look for a module. A mode that the module refuses for the kernel it
 * runs on is remembered for as long as the family keeps its number. Read kernel.c next.
 */
#include "mode.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <stdlib.h>
#include <string.h>

#include "../module/wgscale.h"

struct mode_nl {
	struct nl nl;
	struct nl_batch batch;
	nl_result_fn result;
	void *owner;
	uint16_t family;  /* 0: not there, or not looked for */
	uint16_t refused; /* the family that refused inline; 0: none has */
	_Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];
};

/* ---- pure ---- */

static enum mode from_kernel(uint32_t mode)
{
	return mode == WGSCALE_MODE_VANILLA  ? MODE_VANILLA
	       : mode == WGSCALE_MODE_INLINE ? MODE_INLINE
					     : MODE_AUTO;
}

int mode_parse(const struct nlmsghdr *nlh, uint32_t *ret_ifindex, struct obj_mode *ret)
{
	const struct nlattr *tb[WGSCALE_A_SWITCHES + 1];
	struct obj_mode o = {0};
	uint32_t ifindex, mode;

	if (nl_msg_attrs(nlh, sizeof(struct genlmsghdr), tb, WGSCALE_A_SWITCHES))
		return -EBADMSG;
	ifindex = nl_u32(tb[WGSCALE_A_IFINDEX], 0);
	mode = nl_u32(tb[WGSCALE_A_MODE], UINT32_MAX);
	if (!ifindex || mode == UINT32_MAX ||
	    !nl_bytes(tb[WGSCALE_A_PUBLIC_KEY], &o.peer, sizeof(o.peer)))
		return -EBADMSG;
	o.mode = from_kernel(mode);
	o.in_force = from_kernel(nl_u32(tb[WGSCALE_A_MODE_IN_FORCE], mode));
	o.switches = nl_u64(tb[WGSCALE_A_SWITCHES], 0);
	*ret_ifindex = ifindex;
	*ret = o;
	return 0;
}

static struct nlmsghdr *request(void *buf, uint16_t family, uint8_t cmd)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct genlmsghdr *g = mnl_nlmsg_put_extra_header(nlh, sizeof(*g));

	nlh->nlmsg_type = family;
	g->cmd = cmd;
	g->version = WGSCALE_GENL_VERSION;
	return nlh;
}

struct nlmsghdr *mode_encode_get(void *buf, uint16_t family)
{
	return request(buf, family, WGSCALE_CMD_GET_PEER);
}

struct nlmsghdr *mode_encode_set(void *buf, uint16_t family, const char *dev,
				 const struct key *peer, enum mode mode)
{
	struct nlmsghdr *nlh = request(buf, family, WGSCALE_CMD_SET_PEER);

	mnl_attr_put_strz(nlh, WGSCALE_A_IFNAME, dev);
	mnl_attr_put(nlh, WGSCALE_A_PUBLIC_KEY, sizeof(*peer), peer);
	mnl_attr_put_u32(nlh, WGSCALE_A_MODE,
			 mode == MODE_INLINE ? WGSCALE_MODE_INLINE : WGSCALE_MODE_VANILLA);
	return nlh;
}

/* ---- the adapter ---- */

static void on_result(void *owner, void *arg, int error, const char *why)
{
	const struct op *op = arg;
	struct mode_nl *m = owner;

	if (error == -EOPNOTSUPP && op->want->mode.mode == MODE_INLINE)
		m->refused = m->family;
	m->result(m->owner, arg, error, why);
}

int mode_open(nl_result_fn result, void *owner, struct mode_nl **ret_mode)
{
	struct mode_nl *m = xcalloc(1, sizeof(*m));
	int err = nl_open(&m->nl, NETLINK_GENERIC);

	if (err) {
		free(m);
		return err;
	}
	m->result = result;
	m->owner = owner;
	nl_batch_init(&m->batch, &m->nl, on_result, m);
	*ret_mode = m;
	return 0;
}

void mode_close(struct mode_nl *m)
{
	if (!m)
		return;
	nl_batch_done(&m->batch);
	nl_close(&m->nl);
	free(m);
}

void mode_begin(struct mode_nl *m)
{
	m->family = 0;
}

/* -ENOENT: the module is not there. */
static int find_family(struct mode_nl *m, uint32_t *ret_group)
{
	return nl_genl_find(&m->nl, WGSCALE_GENL_NAME, WGSCALE_MCGRP_PEERS, &m->family, ret_group);
}

struct collector {
	struct world *w;
	size_t n; /* objects that were there before */
};

static const char *device(const struct collector *c, uint32_t ifindex)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->w->objs[i].kind == OBJ_LINK && c->w->objs[i].link.ifindex == ifindex)
			return c->w->objs[i].dev;
	return NULL;
}

/* Entries of others' devices are none of ours. */
static int collect(const struct nlmsghdr *nlh, void *data)
{
	struct collector *c = data;
	uint32_t ifindex;
	struct obj_mode mode;
	const char *dev;
	struct obj *o;

	if (mode_parse(nlh, &ifindex, &mode)) {
		errno = EBADMSG;
		return MNL_CB_ERROR;
	}
	dev = device(c, ifindex);
	if (!dev)
		return MNL_CB_OK;
	o = world_add(c->w, OBJ_MODE);
	o->dev = dev;
	o->mode = mode;
	return MNL_CB_OK;
}

static void forget(void *data)
{
	struct collector *c = data;

	c->w->n = c->n;
}

int mode_observe(struct mode_nl *m, struct world *ret, const char **ret_why)
{
	struct collector c = {.w = ret, .n = ret->n};
	struct facts *f = &ret->facts;
	int err;

	f->modes = f->inline_refused = false;
	f->mode_group = 0;
	mode_begin(m);
	err = find_family(m, &f->mode_group);
	if (!err)
		err = nl_dump_retry(&m->nl, mode_encode_get(m->buf, m->family), collect, forget,
				    &c);
	/* Not there, or not any more. */
	if (err == -ENOENT) {
		forget(&c);
		f->mode_group = 0;
		return 0;
	}
	if (err) {
		*ret_why = arena_printf(&ret->arena, "modes of tunnels: %s%s%s", strerror(-err),
					m->nl.why[0] ? ": " : "", m->nl.why);
		return err;
	}
	f->modes = true;
	f->inline_refused = m->refused == m->family;
	return 0;
}

void mode_apply(struct mode_nl *m, struct op *op)
{
	uint32_t group;
	int err = m->family ? 0 : find_family(m, &group);

	if (!op->want)
		err = -EOPNOTSUPP;
	if (err) {
		m->result(m->owner, op, err,
			  err == -ENOENT ? "the inline module is not loaded" : m->nl.why);
		return;
	}
	nl_batch_add(&m->batch,
		     mode_encode_set(m->buf, m->family, op->want->dev, &op->want->mode.peer,
				     op->want->mode.mode),
		     op);
}

void mode_flush(struct mode_nl *m)
{
	nl_batch_flush(&m->batch);
}
