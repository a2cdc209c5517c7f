/* SPDX-License-Identifier: GPL-2.0-only */
/* What differs between the kernels this is built for, and is ours to know; what differs in
 * upstream's driver is a matter of the patches. */
#ifndef _WGS_COMPAT_H
#define _WGS_COMPAT_H

#include <linux/version.h>
#include <net/genetlink.h>

static inline struct nlattr **wgs_dump_attrs(struct netlink_callback *cb)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
	return genl_info_dump(cb)->attrs;
#else
	return genl_dumpit_info(cb)->attrs;
#endif
}

#endif
