/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: Finds the NICs under the devices that outer packets use, and reads, sets and restores what
 * they hash. Invariant: a value is written only after the one before it lies on disk, and a saved
 * value is removed only after it was written back; so a crash between the two repeats the step.
 * Which fields are wanted is decided in want.c.
 */
#include "ethtool_nic.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ethtool.h"

#define PATH_LEN  512
#define DEPTH_MAX 4
#define NICS_MAX  64

struct nics {
	char names[NICS_MAX][16];
	size_t n;
};

static int flow_type(uint8_t family)
{
	return family == AF_INET6 ? UDP_V6_FLOW : UDP_V4_FLOW;
}

static int saved_path(const char *dir, const char *dev, uint8_t family, char path[static PATH_LEN])
{
	int n = snprintf(path, PATH_LEN, "%s/rxfh-%s-udp%c", dir, dev,
			 family == AF_INET6 ? '6' : '4');

	return n < PATH_LEN ? 0 : -ENAMETOOLONG;
}

static int read_saved(const char *dir, const char *dev, uint8_t family, uint64_t *ret)
{
	char path[PATH_LEN], *text = NULL;
	size_t len;
	int err = saved_path(dir, dev, family, path);

	if (!err)
		err = text_read_file(path, 64, &text, &len);
	if (err)
		return err;
	text[strcspn(text, "\n")] = '\0';
	err = text_parse_u64(text, 0, UINT64_MAX, ret);
	free(text);
	return err;
}

static int write_saved(const char *dir, const char *dev, uint8_t family, uint64_t value)
{
	char path[PATH_LEN], tmp[PATH_LEN + 4], line[32];
	int len = snprintf(line, sizeof(line), "0x%llx\n", (unsigned long long)value);
	int fd, err = saved_path(dir, dev, family, path);

	if (err)
		return err;
	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return -errno;
	snprintf(tmp, sizeof(tmp), "%s.new", path);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, line, (size_t)len) != len || fsync(fd) != 0)
		err = errno ? -errno : -EIO;
	close(fd);
	if (!err && rename(tmp, path) != 0)
		err = -errno;
	return err;
}

static void add_name(struct nics *nics, const char *name)
{
	for (size_t i = 0; i < nics->n; i++)
		if (strcmp(nics->names[i], name) == 0)
			return;
	if (nics->n < NICS_MAX && strlen(name) < sizeof(nics->names[0]))
		strcpy(nics->names[nics->n++], name);
}

/* The devices at the bottom: those that lie on no other. */
static void resolve(const char *dev, unsigned int depth, struct nics *nics)
{
	char path[PATH_LEN];
	bool lowest = true;
	struct dirent *e;
	DIR *dir;

	if (strchr(dev, '/') || dev[0] == '.' || depth > DEPTH_MAX)
		return;
	snprintf(path, sizeof(path), "/sys/class/net/%s", dev);
	dir = opendir(path);
	if (!dir)
		return;
	while ((e = readdir(dir)))
		if (strncmp(e->d_name, "lower_", 6) == 0) {
			lowest = false;
			resolve(e->d_name + 6, depth + 1, nics);
		}
	closedir(dir);
	if (lowest)
		add_name(nics, dev);
}

static void find_saved(const char *saved_dir, struct nics *nics)
{
	DIR *dir = opendir(saved_dir);
	struct dirent *e;
	char name[64], *end;

	while (dir && (e = readdir(dir))) {
		if (strncmp(e->d_name, "rxfh-", 5) != 0 || strlen(e->d_name) >= sizeof(name))
			continue;
		strcpy(name, e->d_name + 5);
		end = strrchr(name, '-');
		if (!end || strncmp(end, "-udp", 4) != 0 || strlen(end) != 5)
			continue;
		*end = '\0';
		add_name(nics, name);
	}
	if (dir)
		closedir(dir);
}

static bool add_nic(const char *dev, uint8_t family, const char *saved_dir, struct world *w)
{
	uint64_t fields, original = 0;
	struct obj *o;

	if (ethtool_rxfh_get(dev, flow_type(family), &fields) != 0)
		return false;
	o = world_add(w, OBJ_NIC);
	o->dev = arena_strdup(&w->arena, dev);
	o->nic.family = family;
	o->nic.fields = fields;
	o->nic.saved = read_saved(saved_dir, dev, family, &original) == 0;
	o->nic.original = original;
	return true;
}

void ethtool_nic_observe(const char *const *devs, size_t n_devs, const char *saved_dir,
			 struct world *ret)
{
	struct nics nics = {0};
	size_t in_use;

	for (size_t i = 0; i < n_devs; i++)
		resolve(devs[i], 0, &nics);
	in_use = nics.n;
	find_saved(saved_dir, &nics);
	for (size_t i = 0; i < nics.n; i++) {
		bool udp4 = add_nic(nics.names[i], AF_INET, saved_dir, ret);
		bool udp6 = add_nic(nics.names[i], AF_INET6, saved_dir, ret);
		struct fact_nic *slot;

		if ((!udp4 && !udp6) || i >= in_use)
			continue;
		slot = arena_grow(&ret->arena, (void **)&ret->facts.nics, &ret->facts.n_nics,
				  sizeof(*slot));
		*slot = (struct fact_nic){.dev = arena_strdup(&ret->arena, nics.names[i]),
					  .udp4 = udp4,
					  .udp6 = udp6};
	}
}

int ethtool_nic_apply(const struct op *op, const char *saved_dir)
{
	const struct obj *o = op->want ? op->want : op->have;
	char path[PATH_LEN];
	uint64_t now;
	int err;

	if (op->verb == OP_DEL) {
		err = ethtool_rxfh_set(o->dev, flow_type(o->nic.family), o->nic.original);
		if (err && err != -ENODEV)
			return err;
		err = saved_path(saved_dir, o->dev, o->nic.family, path);
		return err ? err : unlink(path) == 0 ? 0 : -errno;
	}
	err = ethtool_rxfh_get(o->dev, flow_type(o->nic.family), &now);
	if (!err && !(op->have && op->have->nic.saved))
		err = write_saved(saved_dir, o->dev, o->nic.family, now);
	if (!err)
		err = ethtool_rxfh_set(o->dev, flow_type(o->nic.family), o->nic.fields);
	return err;
}
