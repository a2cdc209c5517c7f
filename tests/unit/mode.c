/* SPDX-License-Identifier: GPL-2.0-only */
// link: daemon/nl.o daemon/mode.o -lmnl
/*
 * DOC: what is said to our module, and what it says, without a kernel: messages as the module makes
 * them parse to what they mean, and no parser reads beyond one that was cut or damaged.
 */
#include "unit/torture.h"

#include <errno.h>
#include <linux/genetlink.h>

#include "../module/wgscale.h"
#include "mode.h"

#define FAMILY 0x1f

static _Alignas(struct nlmsghdr) char buf[NL_MSG_MAX];

static struct key key_of(uint8_t byte)
{
	struct key k;

	memset(&k, byte, sizeof(k));
	return k;
}

static struct nlmsghdr *header(uint16_t type, uint8_t cmd)
{
	struct nlmsghdr *nlh;
	struct genlmsghdr *g;

	memset(buf, 0, sizeof(buf));
	nlh = mnl_nlmsg_put_header(buf);
	nlh->nlmsg_type = type;
	g = mnl_nlmsg_put_extra_header(nlh, sizeof(*g));
	g->cmd = cmd;
	return nlh;
}

static void feed_peer(const struct nlmsghdr *nlh)
{
	uint32_t ifindex;
	struct obj_mode o;

	if (!mode_parse(nlh, &ifindex, &o))
		assert_true(ifindex && o.mode <= MODE_AUTO && o.in_force <= MODE_AUTO);
}

static void feed_family(const struct nlmsghdr *nlh)
{
	uint32_t group;
	uint16_t id;

	if (nl_parse_family(nlh, WGSCALE_GENL_NAME, WGSCALE_MCGRP_PEERS, &id, &group))
		assert_true(id);
}

/* ---- entries ---- */

/* As put_peer() of the module does. */
static struct nlmsghdr *peer_msg(uint32_t mode, uint32_t in_force)
{
	struct nlmsghdr *nlh = header(FAMILY, WGSCALE_CMD_GET_PEER);
	struct key key = key_of(7);

	mnl_attr_put_u32(nlh, WGSCALE_A_IFINDEX, 42);
	mnl_attr_put(nlh, WGSCALE_A_PUBLIC_KEY, sizeof(key), &key);
	mnl_attr_put_u32(nlh, WGSCALE_A_MODE, mode);
	mnl_attr_put_u32(nlh, WGSCALE_A_MODE_IN_FORCE, in_force);
	mnl_attr_put(nlh, WGSCALE_A_PAD, 0, NULL);
	mnl_attr_put_u64(nlh, WGSCALE_A_SWITCHES, 1ull << 40);
	mnl_attr_put_u32(nlh, WGSCALE_A_NAPI_PID, 4711);
	mnl_attr_put_u64(nlh, WGSCALE_A_SCALAR, 3);
	for (uint32_t m = 0; m <= WGSCALE_MODE_MAX; m++) {
		struct nlattr *nest = mnl_attr_nest_start(nlh, WGSCALE_A_COUNTERS);

		mnl_attr_put_u32(nlh, WGSCALE_COUNTERS_A_MODE, m);
		mnl_attr_put_u64(nlh, WGSCALE_COUNTERS_A_TX_PACKETS, 100 + m);
		mnl_attr_nest_end(nlh, nest);
	}
	return nlh;
}

static void test_peer(void **state)
{
	const struct key key = key_of(7);
	uint32_t ifindex = 0;
	struct obj_mode o;

	assert_int_equal(
		mode_parse(peer_msg(WGSCALE_MODE_INLINE, WGSCALE_MODE_VANILLA), &ifindex, &o), 0);
	assert_int_equal(ifindex, 42);
	assert_int_equal(key_cmp(&o.peer, &key), 0);
	assert_int_equal(o.mode, MODE_INLINE);
	assert_int_equal(o.in_force, MODE_VANILLA);
	assert_true(o.switches == 1ull << 40);
	torture(feed_peer, peer_msg(WGSCALE_MODE_INLINE, WGSCALE_MODE_VANILLA));
	assert_int_equal(
		mode_parse(peer_msg(WGSCALE_MODE_VANILLA, WGSCALE_MODE_VANILLA), &ifindex, &o), 0);
	assert_int_equal(o.mode, MODE_VANILLA);
	/* A module of the future: neither of what is wanted. */
	assert_int_equal(mode_parse(peer_msg(2, 3), &ifindex, &o), 0);
	assert_int_equal(o.mode, MODE_AUTO);
	assert_int_equal(o.in_force, MODE_AUTO);
}

/* Without what tells the entry or its mode there is none; the rest may be missing. */
static void test_peer_incomplete(void **state)
{
	static const uint16_t needed[] = {WGSCALE_A_IFINDEX, WGSCALE_A_PUBLIC_KEY, WGSCALE_A_MODE};
	struct obj_mode o = {.switches = 5};
	struct key key = key_of(7);
	uint32_t ifindex = 9;

	for (size_t without = 0; without <= 3; without++) {
		struct nlmsghdr *nlh = header(FAMILY, WGSCALE_CMD_GET_PEER);

		for (size_t i = 0; i < 3; i++) {
			if (i == without)
				continue;
			if (needed[i] == WGSCALE_A_PUBLIC_KEY)
				mnl_attr_put(nlh, needed[i], sizeof(key), &key);
			else
				mnl_attr_put_u32(nlh, needed[i], 1);
		}
		assert_int_equal(mode_parse(nlh, &ifindex, &o), without < 3 ? -EBADMSG : 0);
		assert_int_equal(ifindex, without < 3 ? 9 : 1);
	}
	assert_int_equal(o.mode, MODE_INLINE);
	assert_int_equal(o.in_force, MODE_INLINE);
	assert_int_equal(o.switches, 0);
}

static void test_encode(void **state)
{
	const struct key key = key_of(9);
	const struct nlattr *tb[WGSCALE_A_MAX + 1];
	struct nlmsghdr *nlh = mode_encode_get(buf, FAMILY);
	struct genlmsghdr *g = mnl_nlmsg_get_payload(nlh);
	char name[16];
	struct key k;

	assert_int_equal(nlh->nlmsg_type, FAMILY);
	assert_int_equal(nlh->nlmsg_len, NLMSG_HDRLEN + GENL_HDRLEN);
	assert_int_equal(g->cmd, WGSCALE_CMD_GET_PEER);
	for (enum mode mode = MODE_VANILLA; mode <= MODE_INLINE; mode++) {
		nlh = mode_encode_set(buf, FAMILY, "wgs3", &key, mode);
		g = mnl_nlmsg_get_payload(nlh);
		assert_int_equal(g->cmd, WGSCALE_CMD_SET_PEER);
		assert_int_equal(g->version, WGSCALE_GENL_VERSION);
		assert_int_equal(nl_msg_attrs(nlh, sizeof(*g), tb, WGSCALE_A_MAX), 0);
		assert_string_equal(nl_str(tb[WGSCALE_A_IFNAME], name, sizeof(name)), "wgs3");
		assert_true(nl_bytes(tb[WGSCALE_A_PUBLIC_KEY], &k, sizeof(k)));
		assert_int_equal(key_cmp(&k, &key), 0);
		assert_int_equal(nl_u32(tb[WGSCALE_A_MODE], 9),
				 mode == MODE_INLINE ? WGSCALE_MODE_INLINE : WGSCALE_MODE_VANILLA);
		assert_null(tb[WGSCALE_A_IFINDEX]); /* the module wants one of the two */
	}
}

/* ---- the family ---- */

static struct nlmsghdr *family_msg(const char *name, const char *const *groups)
{
	struct nlmsghdr *nlh = header(GENL_ID_CTRL, CTRL_CMD_NEWFAMILY);
	struct nlattr *list;

	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, name);
	mnl_attr_put_u16(nlh, CTRL_ATTR_FAMILY_ID, FAMILY);
	mnl_attr_put_u32(nlh, CTRL_ATTR_VERSION, 1);
	list = mnl_attr_nest_start(nlh, CTRL_ATTR_MCAST_GROUPS);
	for (uint16_t i = 0; groups[i]; i++) {
		struct nlattr *group = mnl_attr_nest_start(nlh, i + 1);

		mnl_attr_put_u32(nlh, CTRL_ATTR_MCAST_GRP_ID, 100u + i);
		mnl_attr_put_strz(nlh, CTRL_ATTR_MCAST_GRP_NAME, groups[i]);
		mnl_attr_nest_end(nlh, group);
	}
	mnl_attr_nest_end(nlh, list);
	return nlh;
}

static bool family(const char *name, const char *const *groups, uint32_t *ret_group)
{
	uint16_t id = 0;
	bool is = nl_parse_family(family_msg(name, groups), WGSCALE_GENL_NAME, WGSCALE_MCGRP_PEERS,
				  &id, ret_group);

	assert_int_equal(id, is ? FAMILY : 0);
	return is;
}

static void test_family(void **state)
{
	static const char *const groups[] = {"devices", "peers", "peers2", NULL};
	static const char *const none[] = {NULL};
	uint32_t group = 7;

	assert_false(family("wireguard", groups, &group));
	assert_false(family("wgscale2", groups, &group));
	assert_int_equal(group, 7);
	assert_true(family("wgscale", groups, &group));
	assert_int_equal(group, 101);
	assert_true(family("wgscale", none, &group));
	assert_int_equal(group, 0);
	torture(feed_family, family_msg("wgscale", groups));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_peer),
		cmocka_unit_test(test_peer_incomplete),
		cmocka_unit_test(test_encode),
		cmocka_unit_test(test_family),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
