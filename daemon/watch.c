/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: Three netlink sockets: one in the rtnetlink groups, one in that of nf_tables, and one in
 * that of our module, and in the group that tells of the module's coming and going. A message is
 * looked at just long enough to tell whether it can concern us: our devices, our tables and
 * preference range, our nf_tables tables, any address of the host, any tunnel's mode. A full
 * routing table that changes next door must not cost a pass. Nothing is taken from a message (HOUSE
 * "State").
 */
#include "watch.h"

#include <errno.h>
#include <ev.h>
#include <linux/fib_rules.h>
#include <linux/genetlink.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "../module/wgscale.h"
#include "nl.h"
#include "nl_events.h"

/* Its number is that of the family. */
#define GENL_NOTIFY_GROUP GENL_ID_CTRL

enum source { SOURCE_RTNL, SOURCE_NFT, SOURCE_GENL, SOURCES };

struct watch {
	struct ev_loop *loop;
	struct nl_events nl[SOURCES];
	ev_io io[SOURCES];
	struct ownership own;
	void (*changed)(void *owner, const char *what);
	void *owner;
	enum source source; /* during one reading */
	const char *seen;   /* likewise */
};

struct wanted_attr {
	uint16_t type;
	const struct nlattr *found;
};

static int find_attr(const struct nlattr *attr, void *data)
{
	struct wanted_attr *w = data;

	if (mnl_attr_get_type(attr) == w->type)
		w->found = attr;
	return MNL_CB_OK;
}

static const struct nlattr *attr_of(const struct nlmsghdr *nlh, size_t header, uint16_t type)
{
	struct wanted_attr w = {.type = type};

	mnl_attr_parse(nlh, (unsigned int)header, find_attr, &w);
	return w.found;
}

static bool starts_with(const struct nlattr *attr, const char *prefix)
{
	size_t len = strlen(prefix);

	return attr && mnl_attr_get_payload_len(attr) >= len &&
	       memcmp(mnl_attr_get_payload(attr), prefix, len) == 0;
}

static bool attr_u32_in(const struct nlattr *attr, uint32_t base, uint32_t span)
{
	uint32_t v;

	if (!attr || mnl_attr_get_payload_len(attr) < sizeof(v))
		return false;
	v = mnl_attr_get_u32(attr);
	return v >= base && v - base < span;
}

static const char *rtnl_concerns(const struct watch *w, const struct nlmsghdr *nlh)
{
	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return starts_with(attr_of(nlh, sizeof(struct ifinfomsg), IFLA_IFNAME),
				   MODEL_DEV_PREFIX)
			       ? "a lane device"
			       : NULL;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return "an address";
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		return attr_u32_in(attr_of(nlh, sizeof(struct rtmsg), RTA_TABLE), w->own.table_base,
				   WANT_TABLE_SPAN)
			       ? "a route"
			       : NULL;
	case RTM_NEWRULE:
	case RTM_DELRULE:
		return attr_u32_in(attr_of(nlh, sizeof(struct fib_rule_hdr), FRA_PRIORITY),
				   w->own.rule_base, WANT_RULE_SPAN)
			       ? "a rule"
			       : NULL;
	default:
		return NULL;
	}
}

/* In every nf_tables message attribute 1 is the table's name, but for the generation's. */
static const char *nft_concerns(const struct nlmsghdr *nlh)
{
	return starts_with(attr_of(nlh, sizeof(struct nfgenmsg), 1), "wgscale")
		       ? "an nf_tables table"
		       : NULL;
}

static const char *genl_concerns(const struct nlmsghdr *nlh)
{
	uint32_t group;
	uint16_t id;

	if (nlh->nlmsg_type != GENL_ID_CTRL)
		return "the mode of a tunnel";
	return nl_parse_family(nlh, WGSCALE_GENL_NAME, WGSCALE_MCGRP_PEERS, &id, &group)
		       ? "the inline module"
		       : NULL;
}

static int on_message(const struct nlmsghdr *nlh, void *data)
{
	struct watch *w = data;
	const char *what = NULL;

	switch (w->source) {
	case SOURCE_RTNL:
		what = rtnl_concerns(w, nlh);
		break;
	case SOURCE_NFT:
		what = nft_concerns(nlh);
		break;
	case SOURCE_GENL:
		what = genl_concerns(nlh);
		break;
	case SOURCES:
		break;
	}
	if (what)
		w->seen = what;
	return MNL_CB_OK;
}

static void read_all(struct watch *w, enum source i)
{
	w->source = i;
	for (;;) {
		int err = nl_events_read(&w->nl[i], on_message, w);

		if (err == -ENOBUFS)
			w->seen = "something (notifications were lost)";
		else if (err)
			return;
	}
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
	struct watch *w = io->data;

	w->seen = NULL;
	read_all(w, (enum source)(io - w->io));
	if (w->seen)
		w->changed(w->owner, w->seen);
}

void watch_drain(struct watch *w)
{
	for (int i = 0; i < SOURCES; i++)
		read_all(w, (enum source)i);
	w->seen = NULL;
}

void watch_set_numbers(struct watch *w, const struct ownership *own)
{
	w->own = *own;
}

/* Should it fail, what it would tell of is noticed by the next pass. */
void watch_set_modes(struct watch *w, uint32_t group)
{
	if (group)
		(void)nl_events_join(&w->nl[SOURCE_GENL], group);
}

int watch_open(struct ev_loop *loop, const struct ownership *own,
	       void (*changed)(void *owner, const char *what), void *owner,
	       struct watch **ret_watch)
{
	static const unsigned int rtnl_groups[] = {
		RTNLGRP_LINK,	    RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
		RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE,	 RTNLGRP_IPV6_RULE,   0};
	static const unsigned int nft_groups[] = {NFNLGRP_NFTABLES, 0};
	static const unsigned int genl_groups[] = {GENL_NOTIFY_GROUP, 0};
	static const struct {
		int bus;
		const unsigned int *groups;
	} sources[SOURCES] = {[SOURCE_RTNL] = {NETLINK_ROUTE, rtnl_groups},
			      [SOURCE_NFT] = {NETLINK_NETFILTER, nft_groups},
			      [SOURCE_GENL] = {NETLINK_GENERIC, genl_groups}};
	struct watch *w = xcalloc(1, sizeof(*w));
	int err = 0;

	w->loop = loop;
	w->own = *own;
	w->changed = changed;
	w->owner = owner;
	for (int i = 0; i < SOURCES && !err; i++)
		err = nl_events_open(&w->nl[i], sources[i].bus, sources[i].groups);
	if (err)
		goto fail;
	for (int i = 0; i < SOURCES; i++) {
		ev_io_init(&w->io[i], on_readable, nl_events_fd(&w->nl[i]), EV_READ);
		w->io[i].data = w;
		ev_io_start(loop, &w->io[i]);
	}
	*ret_watch = w;
	return 0;
fail:
	for (int i = 0; i < SOURCES; i++)
		nl_events_close(&w->nl[i]);
	free(w);
	return err;
}

void watch_close(struct watch *w)
{
	if (!w)
		return;
	for (int i = 0; i < SOURCES; i++) {
		ev_io_stop(w->loop, &w->io[i]);
		nl_events_close(&w->nl[i]);
	}
	free(w);
}
