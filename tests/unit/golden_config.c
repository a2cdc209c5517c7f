/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: golden diagnoses. One folder per behaviour below tests/golden/config (or $GOLDEN_DIR, or
 * the first argument): site.yaml or card.yaml, and in `expected`, byte for byte, what is said of
 * them and whether they are taken. UPDATE=1 writes `expected` anew: read the difference before it
 * goes into a commit.
 */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "card.h"
#include "config.h"
#include "keys.h"
#include "text.h"

static const char *root = "tests/golden/config";

static void print(const struct diags *diags, int r, struct text *out)
{
	size_t i;

	for (i = 0; i < diags->n; i++) {
		diag_print(&diags->items[i], out);
		text_printf(out, "\n");
	}
	if (diags->errors + diags->warnings > diags->n)
		text_printf(out, "and %zu more\n", diags->errors + diags->warnings - diags->n);
	text_printf(out, "%s\n", r ? "refused" : "taken");
	/* The contract of both parsers: refused if and only if there is an error. */
	assert_int_equal(r, diags->errors ? -EINVAL : 0);
}

static bool read_input(const char *dir, const char *name, char **ret_text, size_t *ret_len)
{
	char path[512];
	int r;

	snprintf(path, sizeof(path), "%s/%s/%s", root, dir, name);
	r = text_read_file(path, CONFIG_FILE_MAX, ret_text, ret_len);
	if (r && r != -ENOENT)
		fail_msg("%s: %s", path, strerror(-r));
	return !r;
}

static void diagnose(const char *dir, struct text *out)
{
	struct diags diags = {0};
	struct config *config;
	struct card *card;
	bool any = false;
	size_t len;
	char *text;

	if (read_input(dir, "site.yaml", &text, &len)) {
		print(&diags, config_parse("site.yaml", text, len, &diags, &config), out);
		config_free(config);
		free(text);
		any = true;
	}
	diag_done(&diags);
	if (read_input(dir, "card.yaml", &text, &len)) {
		print(&diags, card_parse("card.yaml", text, len, &diags, &card), out);
		card_free(card);
		free(text);
		any = true;
	}
	diag_done(&diags);
	if (!any)
		fail_msg("%s/%s holds neither site.yaml nor card.yaml", root, dir);
}

static void update(const char *path, const struct text *t)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(t->s, 1, t->len, f), t->len);
	assert_int_equal(fclose(f), 0);
}

/* True when the folder says what it should. */
static bool compare(const char *dir)
{
	struct text got = {0};
	char path[512], *want;
	bool same = true;
	size_t len;
	int r;

	diagnose(dir, &got);
	snprintf(path, sizeof(path), "%s/%s/expected", root, dir);
	if (getenv("UPDATE")) {
		update(path, &got);
	} else {
		r = text_read_file(path, CONFIG_FILE_MAX, &want, &len);
		if (r)
			fail_msg("%s: %s; UPDATE=1 writes it", path, strerror(-r));
		same = len == got.len && !memcmp(want, got.s, len);
		if (!same)
			print_error("%s\n--- expected\n%s--- got\n%s", dir, want, text_str(&got));
		free(want);
	}
	text_done(&got);
	return same;
}

static int is_visible(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static void test_golden(void **state)
{
	struct dirent **dirs;
	size_t wrong = 0;
	int n, i;

	n = scandir(root, &dirs, is_visible, alphasort);
	if (n <= 0)
		fail_msg("nothing in %s", root);
	for (i = 0; i < n; i++) {
		wrong += !compare(dirs[i]->d_name);
		free(dirs[i]);
	}
	free(dirs);
	if (wrong)
		fail_msg("%zu of %d differ", wrong, n);
	print_message("%d folders\n", n);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden)};

	if (keys_init())
		return 1;
	if (getenv("GOLDEN_DIR"))
		root = getenv("GOLDEN_DIR");
	if (argc > 1)
		root = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
