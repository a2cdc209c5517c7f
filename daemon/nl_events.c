/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: The listening half of netlink, apart from nl.c because it is used on the event loop, where
 * nothing may wait, and never sends. What a message means is the caller's (watch.c).
 */
#include "nl_events.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sys/socket.h>

int nl_events_join(struct nl_events *e, unsigned int group)
{
	return mnl_socket_setsockopt(e->sock, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0
		       ? -errno
		       : 0;
}

int nl_events_open(struct nl_events *e, int bus, const unsigned int *groups)
{
	int err;

	e->sock = mnl_socket_open2(bus, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!e->sock)
		return -errno;
	if (mnl_socket_bind(e->sock, 0, MNL_SOCKET_AUTOPID) < 0)
		goto fail;
	for (; *groups; groups++)
		if (nl_events_join(e, *groups) < 0)
			goto fail;
	return 0;
fail:
	err = -errno;
	nl_events_close(e);
	return err;
}

void nl_events_close(struct nl_events *e)
{
	if (e->sock)
		mnl_socket_close(e->sock);
	e->sock = NULL;
}

int nl_events_fd(const struct nl_events *e)
{
	return mnl_socket_get_fd(e->sock);
}

int nl_events_read(struct nl_events *e, mnl_cb_t cb, void *data)
{
	char buf[16384] __attribute__((aligned(NLMSG_ALIGNTO)));
	ssize_t n = mnl_socket_recvfrom(e->sock, buf, sizeof(buf));

	if (n < 0)
		return -errno;
	return mnl_cb_run(buf, (size_t)n, 0, 0, cb, data) < 0 ? -errno : 0;
}
