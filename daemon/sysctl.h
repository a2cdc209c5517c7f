/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sysctl: settings of our own devices, below /proc/sys/net and /sys/class/net.
 */
#ifndef WGSCALE_SYSCTL_H
#define WGSCALE_SYSCTL_H

#include "world.h"

/* *ret_value is -1 when there is no such file. */
int sysctl_read(const char *dev, enum sysctl_id id, int *ret_value);
/* Writes, unless it is so already, and reads back: -EIO when the kernel took another value. */
int sysctl_write(const char *dev, enum sysctl_id id, int value);
/* Lets a device have IPv6 addresses where new devices have none by default. */
int sysctl_enable_ipv6(const char *dev);

#endif
