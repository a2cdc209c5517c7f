/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: golden diagnoses. One folder per behaviour below tests/golden/config (or $GOLDEN_DIR, or
 * the first argument): site.yaml or card.yaml, and in `expected`, byte for byte, what is said of
 * them and whether they are taken. UPDATE=1 writes `expected` anew. Read golden.h next.
 */
#include "unit/golden.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "card.h"
#include "config.h"
#include "keys.h"
#include "text.h"

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

static void diagnose(const char *dir, struct text *out)
{
	char *site = golden_read(dir, "site.yaml"), *card_text = golden_read(dir, "card.yaml");
	struct diags diags = {0};
	struct config *config;
	struct card *card;

	if (!site && !card_text)
		fail_msg("%s holds neither site.yaml nor card.yaml", golden_path(dir, ""));
	if (site) {
		print(&diags, config_parse("site.yaml", site, strlen(site), &diags, &config), out);
		config_free(config);
		diag_done(&diags);
	}
	if (card_text) {
		print(&diags, card_parse("card.yaml", card_text, strlen(card_text), &diags, &card),
		      out);
		card_free(card);
		diag_done(&diags);
	}
	free(site);
	free(card_text);
}

static void test_golden(void **state)
{
	golden_walk("expected", diagnose);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden)};

	if (keys_init())
		return 1;
	golden_choose_root("tests/golden/config", argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
