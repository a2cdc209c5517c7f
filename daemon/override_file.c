/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: One small file (override_file.h says what is in it). What it means is override.c's. Read
 * next: modes.c, which changes it.
 */
#include "override_file.h"

#include <errno.h>
#include <string.h>

#define FILE_MAX (256u << 10)

static char *path_of(const struct paths *p, struct text *path)
{
	text_printf(path, "%s/modes", p->state_dir);
	return path->s;
}

int override_file_read(const struct paths *p, struct overrides *ret)
{
	struct text path = {0};
	struct arena a = {0};
	char *text;
	size_t len;
	int err = state_read_file(path_of(p, &path), FILE_MAX, &a, &text, &len);

	memset(ret, 0, sizeof(*ret));
	if (!err)
		override_parse(text, ret);
	text_done(&path);
	arena_done(&a);
	return err == -ENOENT ? 0 : err;
}

int override_file_write(const struct paths *p, const struct overrides *o)
{
	struct text path = {0}, out = {0};
	int err;

	override_print(o, &out);
	path_of(p, &path);
	if (o->n)
		err = state_write_file(path.s, text_str(&out), out.len, 0644);
	else
		err = state_remove_file(path.s);
	text_done(&path);
	text_done(&out);
	return err == -ENOENT && !o->n ? 0 : err;
}
