/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: Settings of a lane device that live in files: reverse path filter, threaded NAPI. It never
 * writes a setting of the whole host or of another's device; the caller gives only names of lane
 * devices. Invariant: after a write without error the file holds that value.
 */
#include "sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_LEN 128

static int path_of(const char *dev, enum sysctl_id id, char path[static PATH_LEN])
{
	const char *dir = NULL, *file = NULL;
	int n;

	switch (id) {
	case SYSCTL_RP_FILTER:
		dir = "/proc/sys/net/ipv4/conf";
		file = "rp_filter";
		break;
	case SYSCTL_THREADED:
		dir = "/sys/class/net";
		file = "threaded";
		break;
	case SYSCTL_IDS:
		break;
	}
	if (!file || strchr(dev, '/') || dev[0] == '.')
		return -EINVAL;
	n = snprintf(path, PATH_LEN, "%s/%s/%s", dir, dev, file);
	return n < PATH_LEN ? 0 : -ENAMETOOLONG;
}

static int read_int(const char *path, int *ret_value)
{
	char buf[32], *end;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;
	long value;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, sizeof(buf) - 1);
	if (n < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	close(fd);
	buf[n] = '\0';
	value = strtol(buf, &end, 10);
	if (end == buf || value < -1 || value > INT16_MAX)
		return -EBADMSG;
	*ret_value = (int)value;
	return 0;
}

static int write_int(const char *path, int value)
{
	char buf[16];
	int n = snprintf(buf, sizeof(buf), "%d\n", value), err = 0;
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (write(fd, buf, (size_t)n) != n)
		err = errno ? -errno : -EIO;
	close(fd);
	return err;
}

int sysctl_read(const char *dev, enum sysctl_id id, int *ret_value)
{
	char path[PATH_LEN];
	int err = path_of(dev, id, path);

	if (err)
		return err;
	err = read_int(path, ret_value);
	if (err != -ENOENT)
		return err;
	*ret_value = -1;
	return 0;
}

int sysctl_write(const char *dev, enum sysctl_id id, int value)
{
	char path[PATH_LEN];
	int now = -1, err = path_of(dev, id, path);

	if (err)
		return err;
	if (!read_int(path, &now) && now == value)
		return 0;
	err = write_int(path, value);
	if (err)
		return err;
	err = read_int(path, &now);
	if (err)
		return err;
	return now == value ? 0 : -EIO;
}

int sysctl_enable_ipv6(const char *dev)
{
	char path[PATH_LEN];

	if (strchr(dev, '/') || dev[0] == '.')
		return -EINVAL;
	if (snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", dev) >=
	    (int)sizeof(path))
		return -ENAMETOOLONG;
	return write_int(path, 0);
}
