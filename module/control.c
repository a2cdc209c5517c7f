// SPDX-License-Identifier: GPL-2.0-only
/*
 * DOC: The netlink family of wgscale.h. It reads and sets, and decides nothing: inline.c and
 * placement.c do. A device is held by a reference, its peers by the device's update lock.
 */
#include "control.h"

#include "compat.h"
#include "device.h"
#include "inline.h"
#include "noise.h"
#include "peer.h"
#include "peerlookup.h"

#include <linux/module.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <generated/utsversion.h>
#include <net/genetlink.h>
#include <net/sock.h>

static struct genl_family family;

/* The build of the kernel that this is for: see load-wireguard. */
MODULE_INFO(built_for, UTS_VERSION);

static const struct genl_multicast_group groups[] = {
	{.name = WGSCALE_MCGRP_PEERS, .flags = GENL_MCAST_CAP_NET_ADMIN},
};

/* ---- which device, which peer ---- */

static struct wg_device *as_wireguard(struct net_device *dev)
{
	if (!dev->rtnl_link_ops || !dev->rtnl_link_ops->kind ||
	    strcmp(dev->rtnl_link_ops->kind, KBUILD_MODNAME))
		return NULL;
	return netdev_priv(dev);
}

/* With a reference to its net_device; release_device() it. */
static struct wg_device *find_device(struct net *net, struct nlattr **attrs,
				     struct netlink_ext_ack *extack)
{
	struct net_device *dev;

	if (!attrs[WGSCALE_A_IFINDEX] == !attrs[WGSCALE_A_IFNAME]) {
		NL_SET_ERR_MSG(extack, "a device is named by its index or by its name");
		return ERR_PTR(-EINVAL);
	}
	dev = attrs[WGSCALE_A_IFINDEX]
		      ? dev_get_by_index(net, nla_get_u32(attrs[WGSCALE_A_IFINDEX]))
		      : dev_get_by_name(net, nla_data(attrs[WGSCALE_A_IFNAME]));
	if (!dev) {
		NL_SET_ERR_MSG(extack, "no such device in this network namespace");
		return ERR_PTR(-ENODEV);
	}
	if (!as_wireguard(dev)) {
		dev_put(dev);
		NL_SET_ERR_MSG(extack, "not a WireGuard device");
		return ERR_PTR(-EINVAL);
	}
	return netdev_priv(dev);
}

static void release_device(struct wg_device *wg)
{
	dev_put(wg->dev);
}

/* The device of the least index above `after`, as find_device(); NULL: there is none. */
static struct wg_device *next_device(struct net *net, int after)
{
	struct net_device *dev, *next = NULL;

	rcu_read_lock();
	for_each_netdev_rcu(net, dev)
		if (dev->ifindex > after && (!next || dev->ifindex < next->ifindex) &&
		    as_wireguard(dev))
			next = dev;
	dev_hold(next);
	rcu_read_unlock();
	return next ? netdev_priv(next) : NULL;
}

/* With a reference. */
static struct wg_peer *get_peer(struct wg_device *wg, struct nlattr **attrs,
				struct netlink_ext_ack *extack)
{
	struct wg_peer *peer;

	if (!attrs[WGSCALE_A_PUBLIC_KEY]) {
		NL_SET_ERR_MSG(extack, "a peer is named by its public key");
		return ERR_PTR(-EINVAL);
	}
	peer = wg_pubkey_hashtable_lookup(wg->peer_hashtable,
					  nla_data(attrs[WGSCALE_A_PUBLIC_KEY]));
	if (!peer) {
		NL_SET_ERR_MSG(extack, "the device has no peer with this key");
		return ERR_PTR(-ENOENT);
	}
	return peer;
}

/* ---- messages ---- */

static int put_u64(struct sk_buff *msg, int attr, u64 value)
{
	return nla_put_u64_64bit(msg, attr, value, WGSCALE_A_PAD);
}

static int put_drops(struct sk_buff *msg, const atomic64_t *drops)
{
	struct nlattr *nest = nla_nest_start(msg, WGSCALE_A_DROPS);
	int why;

	if (!nest)
		return -EMSGSIZE;
	for (why = WGSCALE_DROP_PAD + 1; why <= WGSCALE_DROP_MAX; why++)
		if (atomic64_read(&drops[why]) &&
		    nla_put_u64_64bit(msg, why, atomic64_read(&drops[why]), WGSCALE_DROP_PAD))
			return -EMSGSIZE;
	nla_nest_end(msg, nest);
	return 0;
}

static int put_counters(struct sk_buff *msg, const struct wg_peer *peer, enum wgscale_mode mode)
{
	struct nlattr *nest = nla_nest_start(msg, WGSCALE_A_COUNTERS);
	const int pad = WGSCALE_COUNTERS_A_PAD;
	struct wgs_mode_counters c;

	wgs_peer_counters(peer, mode, &c);
	if (!nest || nla_put_u32(msg, WGSCALE_COUNTERS_A_MODE, mode) ||
	    nla_put_u64_64bit(msg, WGSCALE_COUNTERS_A_TX_PACKETS, c.tx_packets, pad) ||
	    nla_put_u64_64bit(msg, WGSCALE_COUNTERS_A_TX_BYTES, c.tx_bytes, pad) ||
	    nla_put_u64_64bit(msg, WGSCALE_COUNTERS_A_RX_PACKETS, c.rx_packets, pad) ||
	    nla_put_u64_64bit(msg, WGSCALE_COUNTERS_A_RX_BYTES, c.rx_bytes, pad))
		return -EMSGSIZE;
	nla_nest_end(msg, nest);
	return 0;
}

static int put_modes(struct sk_buff *msg, const struct wg_peer *peer)
{
	if (nla_put_u32(msg, WGSCALE_A_IFINDEX, peer->device->dev->ifindex) ||
	    nla_put(msg, WGSCALE_A_PUBLIC_KEY, NOISE_PUBLIC_KEY_LEN,
		    peer->handshake.remote_static) ||
	    nla_put_u32(msg, WGSCALE_A_MODE, READ_ONCE(peer->scale.mode)) ||
	    nla_put_u32(msg, WGSCALE_A_MODE_IN_FORCE, wgs_peer_mode_in_force(peer)) ||
	    put_u64(msg, WGSCALE_A_SWITCHES, atomic64_read(&peer->scale.switches)))
		return -EMSGSIZE;
	return 0;
}

/* The thread, if it could be made, lives as long as the peer's NAPI: the update lock is held. */
static int put_peer(struct sk_buff *msg, const struct wg_peer *peer)
{
	int mode, err;

	if (put_modes(msg, peer) ||
	    (!IS_ERR_OR_NULL(peer->napi.thread) &&
	     nla_put_u32(msg, WGSCALE_A_NAPI_PID, task_pid_nr(peer->napi.thread))) ||
	    put_u64(msg, WGSCALE_A_SCALAR, wgs_peer_scalar(peer)))
		return -EMSGSIZE;
	for (mode = 0; mode <= WGSCALE_MODE_MAX; mode++) {
		err = put_counters(msg, peer, mode);
		if (err)
			return err;
	}
	return put_drops(msg, peer->scale.drops);
}

/* Absent when there is no mask. */
static int put_crypt_cpus(struct sk_buff *msg, const struct wg_device *wg)
{
	const struct cpumask_rcu *mask;
	char *text;
	int err = 0;

	text = kmalloc(WGSCALE_CPUS_LEN + 1, GFP_KERNEL);
	if (!text)
		return -ENOMEM;
	rcu_read_lock();
	mask = rcu_dereference(wg->scale.placement.mask);
	if (mask) {
		scnprintf(text, WGSCALE_CPUS_LEN + 1, "%*pbl", cpumask_pr_args(&mask->cpus));
		err = nla_put_string(msg, WGSCALE_A_CRYPT_CPUS, text);
	}
	rcu_read_unlock();
	kfree(text);
	return err;
}

static int put_device_attrs(struct sk_buff *msg, struct wg_device *wg)
{
	int err;

	if (nla_put_u32(msg, WGSCALE_A_IFINDEX, wg->dev->ifindex) ||
	    nla_put_string(msg, WGSCALE_A_IFNAME, wg->dev->name) ||
	    nla_put_u32(msg, WGSCALE_A_DEFAULT_MODE, READ_ONCE(wg->scale.default_mode)) ||
	    nla_put_u32(msg, WGSCALE_A_PEERS, wg->num_peers))
		return -EMSGSIZE;
	err = put_crypt_cpus(msg, wg);
	if (err)
		return err;
	return put_drops(msg, wg->scale.drops);
}

/* ---- devices ---- */

static int get_device_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct wg_device *wg = find_device(genl_info_net(info), info->attrs, info->extack);
	struct sk_buff *msg;
	int err = -ENOMEM;
	void *header;

	if (IS_ERR(wg))
		return PTR_ERR(wg);
	/* A mask may be longer than a page's worth of message. */
	msg = genlmsg_new(NLMSG_GOODSIZE + WGSCALE_CPUS_LEN, GFP_KERNEL);
	if (!msg)
		goto out;
	err = -EMSGSIZE;
	header = genlmsg_put_reply(msg, info, &family, 0, WGSCALE_CMD_GET_DEVICE);
	if (header) {
		mutex_lock(&wg->device_update_lock);
		err = put_device_attrs(msg, wg);
		mutex_unlock(&wg->device_update_lock);
	}
	if (err) {
		nlmsg_free(msg);
		goto out;
	}
	genlmsg_end(msg, header);
	err = genlmsg_reply(msg, info);
out:
	release_device(wg);
	return err;
}

/* A mask may be longer than a message is by default. */
static int get_device_start(struct netlink_callback *cb)
{
	cb->min_dump_alloc = NLMSG_GOODSIZE + WGSCALE_CPUS_LEN;
	return 0;
}

/* args[0]: index of the last device that was put. */
static int get_device_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct nlattr **attrs = wgs_dump_attrs(cb);
	struct wg_device *wg;
	void *header;
	int err = 0;

	if (attrs[WGSCALE_A_IFINDEX] || attrs[WGSCALE_A_IFNAME]) {
		NL_SET_ERR_MSG(cb->extack, "a dump is of all devices");
		return -EINVAL;
	}
	while (!err && (wg = next_device(sock_net(skb->sk), cb->args[0])) != NULL) {
		err = -EMSGSIZE;
		header = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq, &family,
				     NLM_F_MULTI, WGSCALE_CMD_GET_DEVICE);
		if (header) {
			mutex_lock(&wg->device_update_lock);
			err = put_device_attrs(skb, wg);
			mutex_unlock(&wg->device_update_lock);
			if (err) {
				genlmsg_cancel(skb, header);
			} else {
				genlmsg_end(skb, header);
				cb->args[0] = wg->dev->ifindex;
			}
		}
		release_device(wg);
	}
	/* Full: the rest follows in the next message. */
	return err && !skb->len ? err : skb->len;
}

static int parse_crypt_cpus(const struct nlattr *attr, struct cpumask *ret,
			    struct netlink_ext_ack *extack)
{
	const char *text = nla_data(attr);
	int err;

	cpumask_clear(ret);
	if (!*text)
		return 0;
	err = cpulist_parse(text, ret);
	if (err == -ERANGE) {
		NL_SET_ERR_MSG_ATTR(extack, attr, "this machine cannot have such a CPU");
		return -EINVAL;
	}
	if (err) {
		NL_SET_ERR_MSG_ATTR(extack, attr, "not a list of CPUs, such as 0-3,8");
		return -EINVAL;
	}
	if (snprintf(NULL, 0, "%*pbl", cpumask_pr_args(ret)) > WGSCALE_CPUS_LEN) {
		NL_SET_ERR_MSG_ATTR(extack, attr, "too long when written without steps");
		return -EINVAL;
	}
	if (!cpumask_intersects(ret, cpu_online_mask)) {
		NL_SET_ERR_MSG_ATTR(extack, attr, "none of these CPUs is online");
		return -EINVAL;
	}
	return 0;
}

static int check_mode(u32 mode, struct netlink_ext_ack *extack)
{
	if (mode == WGSCALE_MODE_INLINE && IS_ENABLED(CONFIG_PREEMPT_RT)) {
		NL_SET_ERR_MSG(extack, "inline mode is not possible on a PREEMPT_RT kernel");
		return -EOPNOTSUPP;
	}
	return 0;
}

static int set_device_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *cpus_attr = info->attrs[WGSCALE_A_CRYPT_CPUS];
	struct nlattr *mode_attr = info->attrs[WGSCALE_A_DEFAULT_MODE];
	struct wg_device *wg = find_device(genl_info_net(info), info->attrs, info->extack);
	struct wg_peer *peer;
	cpumask_var_t cpus;
	int err;

	if (IS_ERR(wg))
		return PTR_ERR(wg);
	err = -ENOMEM;
	if (!alloc_cpumask_var(&cpus, GFP_KERNEL))
		goto out;
	err = cpus_attr ? parse_crypt_cpus(cpus_attr, cpus, info->extack) : 0;
	if (!err && mode_attr)
		err = check_mode(nla_get_u32(mode_attr), info->extack);
	if (err)
		goto out_cpus;
	mutex_lock(&wg->device_update_lock);
	if (cpus_attr)
		err = wgs_placement_set(&wg->scale.placement, cpus);
	if (!err && cpus_attr)
		list_for_each_entry(peer, &wg->peer_list, peer_list)
			WRITE_ONCE(peer->serial_work_cpu, nr_cpu_ids); /* chosen anew */
	if (!err && mode_attr)
		WRITE_ONCE(wg->scale.default_mode, nla_get_u32(mode_attr));
	mutex_unlock(&wg->device_update_lock);
out_cpus:
	free_cpumask_var(cpus);
out:
	release_device(wg);
	return err;
}

/* ---- peers ---- */

static int get_peer_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct wg_device *wg = find_device(genl_info_net(info), info->attrs, info->extack);
	struct wg_peer *peer;
	struct sk_buff *msg;
	void *header;
	int err;

	if (IS_ERR(wg))
		return PTR_ERR(wg);
	peer = get_peer(wg, info->attrs, info->extack);
	err = PTR_ERR_OR_ZERO(peer);
	if (err)
		goto out;
	err = -ENOMEM;
	msg = genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
	if (!msg)
		goto out_peer;
	err = -EMSGSIZE;
	header = genlmsg_put_reply(msg, info, &family, 0, WGSCALE_CMD_GET_PEER);
	if (header) {
		mutex_lock(&wg->device_update_lock);
		err = put_peer(msg, peer);
		mutex_unlock(&wg->device_update_lock);
	}
	if (err) {
		nlmsg_free(msg);
		goto out_peer;
	}
	genlmsg_end(msg, header);
	err = genlmsg_reply(msg, info);
out_peer:
	wg_peer_put(peer);
out:
	release_device(wg);
	return err;
}

struct dump_position {
	int done;	 /* index of the last device that was put whole; -1: nothing is left */
	int ifindex;	 /* of the one in progress */
	u64 internal_id; /* of the last peer of it that was put; they are listed in this order */
};

static int dump_peers_of(struct wg_device *wg, struct sk_buff *skb, struct netlink_callback *cb,
			 struct dump_position *at)
{
	struct wg_peer *peer;
	void *header;

	if (at->ifindex != wg->dev->ifindex) {
		at->ifindex = wg->dev->ifindex;
		at->internal_id = 0;
	}
	list_for_each_entry(peer, &wg->peer_list, peer_list) {
		if (peer->internal_id <= at->internal_id)
			continue;
		header = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq, &family,
				     NLM_F_MULTI, WGSCALE_CMD_GET_PEER);
		if (!header)
			return -EMSGSIZE;
		if (put_peer(skb, peer)) {
			genlmsg_cancel(skb, header);
			return -EMSGSIZE;
		}
		genlmsg_end(skb, header);
		at->internal_id = peer->internal_id;
	}
	return 0;
}

static int get_peer_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct nlattr **attrs = wgs_dump_attrs(cb);
	bool one = attrs[WGSCALE_A_IFINDEX] || attrs[WGSCALE_A_IFNAME];
	struct dump_position *at = (struct dump_position *)cb->ctx;
	struct net *net = sock_net(skb->sk);
	struct wg_device *wg;
	int err = 0;

	BUILD_BUG_ON(sizeof(*at) > sizeof(cb->ctx));
	if (attrs[WGSCALE_A_PUBLIC_KEY]) {
		NL_SET_ERR_MSG(cb->extack, "a dump is of all peers of a device, or of all devices");
		return -EINVAL;
	}
	while (!err) {
		if (one) {
			wg = at->done < 0 ? NULL : find_device(net, attrs, cb->extack);
			if (IS_ERR(wg))
				return PTR_ERR(wg);
		} else {
			wg = next_device(net, at->done);
		}
		if (!wg)
			break;
		mutex_lock(&wg->device_update_lock);
		err = dump_peers_of(wg, skb, cb, at);
		mutex_unlock(&wg->device_update_lock);
		if (!err)
			at->done = one ? -1 : wg->dev->ifindex;
		release_device(wg);
	}
	return err && !skb->len ? err : skb->len;
}

static int set_peer_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct wg_device *wg;
	struct wg_peer *peer;
	u32 mode;
	int err;

	if (!info->attrs[WGSCALE_A_MODE]) {
		NL_SET_ERR_MSG(info->extack, "nothing to set: no mode");
		return -EINVAL;
	}
	mode = nla_get_u32(info->attrs[WGSCALE_A_MODE]);
	err = check_mode(mode, info->extack);
	if (err)
		return err;
	wg = find_device(genl_info_net(info), info->attrs, info->extack);
	if (IS_ERR(wg))
		return PTR_ERR(wg);
	rtnl_lock(); /* whether the device is threaded */
	mutex_lock(&wg->device_update_lock);
	peer = get_peer(wg, info->attrs, info->extack);
	err = PTR_ERR_OR_ZERO(peer);
	if (!err) {
		err = READ_ONCE(peer->is_dead) ? -ENOENT : wgs_peer_set_mode(peer, mode);
		wg_peer_put(peer);
	}
	mutex_unlock(&wg->device_update_lock);
	rtnl_unlock();
	release_device(wg);
	return err;
}

static struct sk_buff *notification(const struct wg_peer *peer)
{
	struct sk_buff *msg = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_ATOMIC);
	void *header;

	if (!msg)
		return NULL;
	header = genlmsg_put(msg, 0, 0, &family, 0, WGSCALE_CMD_NTF_PEER);
	if (!header || put_modes(msg, peer)) {
		nlmsg_free(msg);
		return NULL;
	}
	genlmsg_end(msg, header);
	return msg;
}

void wgs_control_notify(const struct wg_peer *peer)
{
	struct sk_buff *msg;
	struct net *net;

	rcu_read_lock(); /* the device may be on its way to another namespace */
	net = dev_net(peer->device->dev);
	if (genl_has_listeners(&family, net, 0)) {
		msg = notification(peer);
		if (msg)
			genlmsg_multicast_netns(&family, net, msg, 0, 0, GFP_ATOMIC);
	}
	rcu_read_unlock();
}

/* ---- the family ---- */

#define DEVICE_POLICY                                                                     \
	[WGSCALE_A_IFINDEX] = NLA_POLICY_MIN(NLA_U32, 1), [WGSCALE_A_IFNAME] = {          \
								  .type = NLA_NUL_STRING, \
								  .len = IFNAMSIZ - 1}

static const struct nla_policy device_policy[] = {
	DEVICE_POLICY,
};

static const struct nla_policy set_device_policy[] = {
	DEVICE_POLICY,
	[WGSCALE_A_DEFAULT_MODE] = NLA_POLICY_MAX(NLA_U32, WGSCALE_MODE_MAX),
	[WGSCALE_A_CRYPT_CPUS] = {.type = NLA_NUL_STRING, .len = WGSCALE_CPUS_LEN},
};

static const struct nla_policy peer_policy[] = {
	DEVICE_POLICY,
	[WGSCALE_A_PUBLIC_KEY] = NLA_POLICY_EXACT_LEN(NOISE_PUBLIC_KEY_LEN),
};

static const struct nla_policy set_peer_policy[] = {
	DEVICE_POLICY,
	[WGSCALE_A_PUBLIC_KEY] = NLA_POLICY_EXACT_LEN(NOISE_PUBLIC_KEY_LEN),
	[WGSCALE_A_MODE] = NLA_POLICY_MAX(NLA_U32, WGSCALE_MODE_MAX),
};

static const struct genl_ops ops[] = {
	{
		.cmd = WGSCALE_CMD_GET_DEVICE,
		.doit = get_device_doit,
		.start = get_device_start,
		.dumpit = get_device_dumpit,
		.policy = device_policy,
		.maxattr = ARRAY_SIZE(device_policy) - 1,
		.flags = GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd = WGSCALE_CMD_SET_DEVICE,
		.doit = set_device_doit,
		.policy = set_device_policy,
		.maxattr = ARRAY_SIZE(set_device_policy) - 1,
		.flags = GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd = WGSCALE_CMD_GET_PEER,
		.doit = get_peer_doit,
		.dumpit = get_peer_dumpit,
		.policy = peer_policy,
		.maxattr = ARRAY_SIZE(peer_policy) - 1,
		.flags = GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd = WGSCALE_CMD_SET_PEER,
		.doit = set_peer_doit,
		.policy = set_peer_policy,
		.maxattr = ARRAY_SIZE(set_peer_policy) - 1,
		.flags = GENL_UNS_ADMIN_PERM,
	},
};

static struct genl_family family __ro_after_init = {
	.name = WGSCALE_GENL_NAME,
	.version = WGSCALE_GENL_VERSION,
	.maxattr = WGSCALE_A_MAX,
	.netnsok = true,
	.module = THIS_MODULE,
	.ops = ops,
	.n_ops = ARRAY_SIZE(ops),
	.mcgrps = groups,
	.n_mcgrps = ARRAY_SIZE(groups),
};

int __init wgs_control_init(void)
{
	return genl_register_family(&family);
}

void wgs_control_done(void)
{
	genl_unregister_family(&family);
}
