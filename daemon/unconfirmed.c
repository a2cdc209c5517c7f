/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: One small file (unconfirmed.h says what is in it). Whatever stands in it that makes no sense
 * counts as a time that is over: to undo what nobody confirmed is the safe side. Read next:
 * lifecycle.c, which goes by it.
 */
#include "unconfirmed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "text.h"

#define FILE_MAX    4096
#define BOOT_ID_MAX 64

static char *path_of(const struct paths *p, struct text *path)
{
	text_printf(path, "%s/unconfirmed", p->state_dir);
	return path->s;
}

/* free() it; NULL: it cannot be read. */
static char *boot_id(void)
{
	char *id;
	size_t len;

	if (text_read_file("/proc/sys/kernel/random/boot_id", BOOT_ID_MAX, &id, &len))
		return NULL;
	id[strcspn(id, "\n")] = '\0';
	return id;
}

static uint64_t boottime_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec;
}

int unconfirmed_write(const struct paths *p, unsigned int seconds)
{
	struct text path = {0}, t = {0};
	char *boot = boot_id();
	int r = -EIO;

	if (boot) {
		text_printf(&t, "%s %llu\n", boot, (unsigned long long)(boottime_s() + seconds));
		r = state_write_file(path_of(p, &path), text_str(&t), t.len, 0644);
	}
	free(boot);
	text_done(&t);
	text_done(&path);
	return r;
}

int unconfirmed_clear(const struct paths *p)
{
	struct text path = {0};
	int r = state_remove_file(path_of(p, &path));

	text_done(&path);
	return r == -ENOENT ? 0 : r;
}

static unsigned int left_s(char *line, const char *boot)
{
	uint64_t end_s = 0, now_s = boottime_s();
	char *end = line;

	line[strcspn(line, "\n")] = '\0';
	strsep(&end, " ");
	if (!end || strcmp(line, boot) || text_parse_u64(end, 1, UINT32_MAX, &end_s))
		return 0;
	return end_s > now_s ? (unsigned int)(end_s - now_s) : 0;
}

bool unconfirmed_read(const struct paths *p, unsigned int *ret_left_s)
{
	struct arena a = {0};
	struct text path = {0};
	char *text, *boot = boot_id();
	size_t len;
	int r = state_read_file(path_of(p, &path), FILE_MAX, &a, &text, &len);

	*ret_left_s = !r && boot ? left_s(text, boot) : 0;
	free(boot);
	text_done(&path);
	arena_done(&a);
	return r != -ENOENT;
}
