/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * golden: folders below one root, one per behaviour. A test makes a text of each; a file beside the
 * input says, byte for byte, what it must be. UPDATE=1 writes that file instead of comparing: read
 * the difference before it goes into a commit.
 */
#ifndef WGSCALE_TESTS_GOLDEN_H
#define WGSCALE_TESTS_GOLDEN_H

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "text.h"

#define GOLDEN_FILE_MAX	   (4u << 20)
#define GOLDEN_LINES_SHOWN 10

static const char *golden_root;

/* The first argument, else $GOLDEN_DIR, else `otherwise`. */
static void golden_choose_root(const char *otherwise, int argc, char **argv)
{
	const char *env = getenv("GOLDEN_DIR");

	golden_root = argc > 1 ? argv[1] : env ? env : otherwise;
}

/* Valid until the next call. */
static const char *golden_path(const char *dir, const char *name)
{
	static char path[1024];

	snprintf(path, sizeof(path), "%s/%s/%s", golden_root, dir, name);
	return path;
}

/* NULL when there is no such file; free() it. */
static char *golden_read(const char *dir, const char *name)
{
	char *text;
	size_t len;
	int err = text_read_file(golden_path(dir, name), GOLDEN_FILE_MAX, &text, &len);

	if (err && err != -ENOENT && err != -ENOTDIR)
		fail_msg("%s: %s", golden_path(dir, name), strerror(-err));
	return err ? NULL : text;
}

static void golden_write(const char *dir, const char *name, const struct text *t)
{
	FILE *f = fopen(golden_path(dir, name), "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text_str(t), 1, t->len, f), t->len);
	assert_int_equal(fclose(f), 0);
}

static void golden_print_lines(const char *title, const char *s)
{
	size_t len = 0;

	for (unsigned int lines = 0; s[len] && lines < GOLDEN_LINES_SHOWN; len++)
		lines += s[len] == '\n';
	fprintf(stderr, "--- %s\n%.*s%s", title, (int)len, s,
		len && s[len - 1] != '\n' ? "\n" : "");
}

/* Both texts from the first line that differs. */
static void golden_print_difference(const char *dir, const char *expected, const char *got)
{
	unsigned int line = 1;
	size_t start = 0;

	for (size_t i = 0; expected[i] && expected[i] == got[i]; i++)
		if (expected[i] == '\n') {
			start = i + 1;
			line++;
		}
	fprintf(stderr, "%s: line %u differs\n", dir, line);
	golden_print_lines("expected", expected + start);
	golden_print_lines("got", got + start);
}

/* True when it is what `file` says. */
static bool golden_compare(const char *dir, const char *file, const struct text *got)
{
	char *expected;
	bool same;

	if (getenv("UPDATE")) {
		golden_write(dir, file, got);
		return true;
	}
	expected = golden_read(dir, file);
	if (!expected)
		fail_msg("%s is missing; UPDATE=1 writes it", golden_path(dir, file));
	same = strlen(expected) == got->len && memcmp(expected, text_str(got), got->len) == 0;
	if (!same)
		golden_print_difference(dir, expected, text_str(got));
	free(expected);
	return same;
}

static int golden_is_folder(const struct dirent *d)
{
	struct stat st;

	return d->d_name[0] != '.' && stat(golden_path(d->d_name, ""), &st) == 0 &&
	       S_ISDIR(st.st_mode);
}

/* Compares what `make` appends to an empty text with `file`, in every folder; fails at the end. */
static void golden_walk(const char *file, void (*make)(const char *dir, struct text *out))
{
	struct dirent **dirs;
	size_t wrong = 0;
	int n = scandir(golden_root, &dirs, golden_is_folder, alphasort);

	if (n <= 0)
		fail_msg("nothing in %s", golden_root);
	for (int i = 0; i < n; i++) {
		struct text got = {0};

		make(dirs[i]->d_name, &got);
		wrong += !golden_compare(dirs[i]->d_name, file, &got);
		text_done(&got);
		free(dirs[i]);
	}
	free(dirs);
	if (wrong)
		fail_msg("%zu of %d differ", wrong, n);
	print_message("%d folders\n", n);
}

#endif
