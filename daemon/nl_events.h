/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * nl_events: a netlink socket that only listens to multicast groups. Non-blocking.
 */
#ifndef WGSCALE_NL_EVENTS_H
#define WGSCALE_NL_EVENTS_H

#include <libmnl/libmnl.h>

struct nl_events {
	struct mnl_socket *sock;
};

/* Joins `groups` (ends with 0); -errno. */
int nl_events_open(struct nl_events *e, int bus, const unsigned int *groups);
/* One group more, whether or not it is in it already; -errno. */
int nl_events_join(struct nl_events *e, unsigned int group);
void nl_events_close(struct nl_events *e);
int nl_events_fd(const struct nl_events *e);
/* One reception: `cb` sees each message. -EAGAIN: nothing there; -ENOBUFS: some were lost. */
int nl_events_read(struct nl_events *e, mnl_cb_t cb, void *data);

#endif
