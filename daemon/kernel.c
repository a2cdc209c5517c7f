/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: The one door to the kernel: hands observing and applying to the adapters of a bus, in the
 * order of the plan. It never decides what to change, and no adapter knows another. Invariants: an
 * op's error is the first of its requests', a thing that is gone already counts as deleted, and
 * nothing is done to a device that could not be made, since whoever has its name is not ours.
 */
#include "kernel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "ethtool_nic.h"
#include "mode.h"
#include "nft.h"
#include "rtnl.h"
#include "sysctl.h"
#include "wg.h"

#define OBSERVE_TRIES 5

struct kernel {
	/* One of the two buses; the other's are NULL. */
	struct rtnl *rtnl;
	struct wg *wg;
	struct mode_nl *mode;
	struct nft *nft;
	char *saved_dir; /* of ethtool_nic; NULL until NICs were observed */
	/* While ops are applied. */
	struct arena *arena;
	const char *blocked[MODEL_LANES_MAX]; /* devices that could not be made */
	size_t n_blocked;
};

static bool gone(int error)
{
	return error == -ENOENT || error == -ENODEV || error == -ESRCH || error == -EADDRNOTAVAIL;
}

static void result(void *owner, void *arg, int error, const char *why)
{
	struct kernel *k = owner;
	struct op *op = arg;

	if (!error || op->error || (op->verb == OP_DEL && gone(error)))
		return;
	op->error = error;
	op->why = why[0] ? arena_strdup(k->arena, why) : NULL;
}

int kernel_open(enum op_bus bus, struct kernel **ret_kernel)
{
	struct kernel *k = xcalloc(1, sizeof(*k));
	int err = 0;

	switch (bus) {
	case BUS_RTNL:
		err = rtnl_open(result, k, &k->rtnl);
		if (!err)
			err = wg_open(result, k, &k->wg);
		if (!err)
			err = mode_open(result, k, &k->mode);
		break;
	case BUS_NFT:
		err = nft_open(&k->nft);
		break;
	}
	if (err) {
		kernel_close(k);
		return err;
	}
	*ret_kernel = k;
	return 0;
}

void kernel_close(struct kernel *k)
{
	if (!k)
		return;
	rtnl_close(k->rtnl);
	wg_close(k->wg);
	mode_close(k->mode);
	if (k->nft)
		nft_close(k->nft);
	free(k->saved_dir);
	free(k);
}

/* ---- observe ---- */

static void observe_host(struct facts *f)
{
	struct utsname uts;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	f->ipv6 = access("/proc/net/if_inet6", F_OK) == 0;
	f->online_cpus = cpus > 0 ? (unsigned int)cpus : 1;
	if (uname(&uts) < 0 ||
	    sscanf(uts.release, "%u.%u", &f->kernel_major, &f->kernel_minor) != 2)
		f->kernel_major = f->kernel_minor = 0;
}

static int observe_sysctls(const char *dev, struct world *w, const char **ret_why)
{
	for (int id = 0; id < SYSCTL_IDS; id++) {
		int value, err = sysctl_read(dev, (enum sysctl_id)id, &value);
		struct obj *o;

		if (err) {
			*ret_why =
				arena_printf(&w->arena, "settings of %s: %s", dev, strerror(-err));
			return err;
		}
		o = world_add(w, OBJ_SYSCTL);
		o->dev = dev;
		o->sysctl.id = (enum sysctl_id)id;
		o->sysctl.value = value;
	}
	return 0;
}

static int observe_once(struct kernel *k, const struct ownership *own, struct world *w,
			const char **ret_why)
{
	size_t first = w->n, last;
	int err;

	observe_host(&w->facts);
	err = rtnl_observe(k->rtnl, own, w, ret_why);
	last = w->n;
	for (size_t i = first; !err && i < last; i++) {
		const char *dev = w->objs[i].dev;

		if (w->objs[i].kind != OBJ_LINK)
			continue;
		err = wg_observe(k->wg, dev, w, ret_why);
		if (!err)
			err = observe_sysctls(dev, w, ret_why);
	}
	/* After the entries: one that has come since has no mode yet, and the next pass looks. */
	if (!err)
		err = mode_observe(k->mode, w, ret_why);
	for (size_t i = 0; !err && i < w->facts.n_foreign; i++) {
		struct fact_link *f = &w->facts.foreign[i];

		if (!f->wireguard)
			continue;
		err = wg_port(k->wg, f->dev, &f->port);
		if (err)
			*ret_why =
				arena_printf(&w->arena, "wireguard %s: %s", f->dev, strerror(-err));
	}
	return err;
}

int kernel_observe(struct kernel *k, const struct ownership *own, struct world *ret,
		   const char **ret_why)
{
	size_t n = ret->n, addrs = ret->facts.n_addrs, foreign = ret->facts.n_foreign;
	int err = -EAGAIN;

	if (k->nft)
		return nft_observe(k->nft, ret, ret_why);
	/* A device may vanish between the dump of links and that of its peers. */
	for (int i = 0; i < OBSERVE_TRIES && (err == -EAGAIN || err == -ENODEV); i++) {
		ret->n = n;
		ret->facts.n_addrs = addrs;
		ret->facts.n_foreign = foreign;
		wg_begin(k->wg);
		err = observe_once(k, own, ret, ret_why);
	}
	return err;
}

void kernel_observe_nics(struct kernel *k, const char *const *devs, size_t n_devs,
			 const char *saved_dir, struct world *ret)
{
	free(k->saved_dir);
	k->saved_dir = xstrdup(saved_dir);
	ethtool_nic_observe(devs, n_devs, saved_dir, ret);
}

/* ---- apply ---- */

static void flush(struct kernel *k)
{
	rtnl_flush(k->rtnl);
	wg_flush(k->wg);
	mode_flush(k->mode);
}

static bool is_blocked(const struct kernel *k, const char *dev)
{
	for (size_t i = 0; dev && i < k->n_blocked; i++)
		if (strcmp(k->blocked[i], dev) == 0)
			return true;
	return false;
}

static void apply_link(struct kernel *k, struct op *op)
{
	rtnl_apply(k->rtnl, op);
	rtnl_flush(k->rtnl);
	if (op->verb == OP_ADD && op->error && k->n_blocked < MODEL_LANES_MAX)
		k->blocked[k->n_blocked++] = op->want->dev;
}

static void apply_addr(struct kernel *k, struct op *op)
{
	rtnl_apply(k->rtnl, op);
	rtnl_flush(k->rtnl);
	/* Where new devices have no IPv6 by default (disable_ipv6), ours need it for probes. */
	if (op->verb == OP_DEL || op->error != -EACCES ||
	    op->want->addr.prefix.addr.family != AF_INET6 || sysctl_enable_ipv6(op->want->dev))
		return;
	op->error = 0;
	op->why = NULL;
	rtnl_apply(k->rtnl, op);
	rtnl_flush(k->rtnl);
}

static void apply_sysctl(struct kernel *k, struct op *op)
{
	int err = -EOPNOTSUPP;

	flush(k);
	if (op->want)
		err = sysctl_write(op->want->dev, op->want->sysctl.id, op->want->sysctl.value);
	result(k, op, err, err == -EIO ? "the kernel took another value" : "");
}

static void apply(struct kernel *k, struct op *op)
{
	switch (op->kind) {
	case OBJ_LINK:
		wg_flush(k->wg);
		apply_link(k, op);
		break;
	case OBJ_ADDR:
		wg_flush(k->wg);
		apply_addr(k, op);
		break;
	case OBJ_ROUTE:
	case OBJ_RULE:
		wg_flush(k->wg);
		rtnl_apply(k->rtnl, op);
		break;
	case OBJ_WGDEV:
	case OBJ_WGPEER:
		rtnl_flush(k->rtnl);
		wg_apply(k->wg, op);
		break;
	case OBJ_MODE:
		rtnl_flush(k->rtnl);
		wg_flush(k->wg);
		mode_apply(k->mode, op);
		break;
	case OBJ_SYSCTL:
		apply_sysctl(k, op);
		break;
	case OBJ_NIC:
		flush(k);
		result(k, op, ethtool_nic_apply(op, k->saved_dir), "");
		break;
	case OBJ_NFT_TABLE:
	case OBJ_NFT_CHAIN:
	case OBJ_NFT_NETS:
	case OBJ_NFT_BUCKETS:
	case OBJ_KINDS:
		result(k, op, -EOPNOTSUPP, "not of this bus");
		break;
	}
}

size_t kernel_apply(struct kernel *k, struct op *ops, size_t n, struct arena *a)
{
	size_t failed = 0;

	if (k->nft)
		return nft_apply(k->nft, ops, n, a);
	k->arena = a;
	k->n_blocked = 0;
	wg_begin(k->wg);
	mode_begin(k->mode);
	for (size_t i = 0; i < n; i++) {
		const struct obj *o = ops[i].want ? ops[i].want : ops[i].have;

		ops[i].error = 0;
		ops[i].why = NULL;
		if (is_blocked(k, o->dev))
			result(k, &ops[i], -ECANCELED, "its device could not be made");
		else
			apply(k, &ops[i]);
	}
	flush(k);
	k->arena = NULL;
	for (size_t i = 0; i < n; i++)
		failed += ops[i].error != 0;
	return failed;
}

/* ---- the rest ---- */

int kernel_sample(struct kernel *k, const char *dev, struct arena *a,
		  struct kernel_peer_sample **ret_samples, size_t *ret_n)
{
	if (!k->wg)
		return -EOPNOTSUPP;
	wg_begin(k->wg);
	return wg_sample(k->wg, dev, a, ret_samples, ret_n);
}

int kernel_path(struct kernel *k, const struct ipaddr *dst, uint32_t mark, uint32_t *ret_mtu,
		char ret_dev[static 16])
{
	if (!k->rtnl)
		return -EOPNOTSUPP;
	return rtnl_path(k->rtnl, dst, mark, ret_mtu, ret_dev);
}

int kernel_bucket_counts(struct kernel *k, const char *map,
			 struct kernel_bucket_count ret_counts[MODEL_BUCKETS])
{
	if (!k->nft)
		return -EOPNOTSUPP;
	return nft_bucket_counts(k->nft, map, ret_counts);
}
