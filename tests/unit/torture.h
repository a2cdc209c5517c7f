/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * torture: a netlink message cut at every byte, and with every bit of it turned, each in an
 * allocation of its very length, so that an address sanitizer sees one byte too far.
 */
#ifndef WGSCALE_TORTURE_H
#define WGSCALE_TORTURE_H

#include <libmnl/libmnl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

typedef void (*feed_fn)(const struct nlmsghdr *nlh);

/* Feeds `len` bytes of `nlh` in an allocation of that length. */
static void feed_copy(feed_fn feed, const struct nlmsghdr *nlh, size_t len, size_t flip)
{
	struct nlmsghdr *copy = malloc(len);

	assert_non_null(copy);
	memcpy(copy, nlh, len);
	if (flip)
		((char *)copy)[flip / 8] ^= (char)(1 << flip % 8);
	copy->nlmsg_len = (uint32_t)len; /* what nl.c has checked */
	feed(copy);
	free(copy);
}

static void torture(feed_fn feed, const struct nlmsghdr *nlh)
{
	for (size_t len = NLMSG_HDRLEN; len <= nlh->nlmsg_len; len++)
		feed_copy(feed, nlh, len, 0);
	for (size_t bit = sizeof(uint32_t) * 8; bit < nlh->nlmsg_len * 8; bit++)
		feed_copy(feed, nlh, nlh->nlmsg_len, bit);
}

#endif
