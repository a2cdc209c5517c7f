/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: golden output of wgscalectl. One folder per behaviour below tests/golden/render (or
 * $GOLDEN_DIR, or the first argument): input.json says what to render (`render`, `reply`, and for
 * errors `error`; `colour`), `expected` holds the text, byte for byte. UPDATE=1 writes `expected`
 * anew. Read golden.h next.
 */
// link: ctl/render.o ctl/table.o -ljansson
#include "unit/golden.h"

#include <string.h>

#include "../../ctl/render.h"

static const struct {
	const char *name;
	void (*fn)(const json_t *reply, bool colour, struct text *out);
} renders[] = {
	{"status", render_status}, {"peers", render_peers},	{"plan", render_plan},
	{"reload", render_reload}, {"where", render_where},	{"ping", render_ping},
	{"down", render_down},	   {"traffic", render_traffic}, {"exposed", render_exposed},
	{"mode", render_mode},
};

/* Whatever was in the input, what comes out cannot drive a terminal. */
static void assert_harmless(const char *dir, const struct text *t, bool colour)
{
	for (const char *p = text_str(t); *p; p++) {
		unsigned char c = (unsigned char)*p;

		if (c == '\n' || (c >= 0x20 && c != 0x7f))
			continue;
		if (!colour || c != 033 || p[1] != '[')
			fail_msg("%s: byte 0x%02x in the output", dir, c);
	}
}

static void render(const char *dir, struct text *out)
{
	json_error_t where;
	const char *path = golden_path(dir, "input.json"), *name;
	json_t *in, *reply;
	bool colour, found = false;

	in = json_load_file(path, JSON_REJECT_DUPLICATES, &where);
	if (!in)
		fail_msg("%s:%d: %s", path, where.line, where.text);
	name = json_string_value(json_object_get(in, "render"));
	reply = json_object_get(in, "reply");
	colour = json_is_true(json_object_get(in, "colour"));
	for (size_t i = 0; i < sizeof(renders) / sizeof(renders[0]); i++)
		if (strcmp(renders[i].name, name) == 0) {
			renders[i].fn(reply, colour, out);
			found = true;
		}
	if (strcmp(name, "error") == 0) {
		render_error(json_string_value(json_object_get(in, "error")), reply, out);
		text_printf(out, "\n");
		found = true;
	}
	if (!found)
		fail_msg("%s: nothing renders \"%s\"", path, name);
	assert_harmless(dir, out, colour);
	json_decref(in);
}

static void golden(void **state)
{
	golden_walk("expected", render);
}

/* Bytes that JSON cannot carry, but a kernel's text or a file name can. */
static void unclean_bytes(void **state)
{
	static const struct {
		const char *in, *out;
		bool lines;
	} t[] = {
		{"plain", "plain", false},
		{"Zürich 東京 \xf0\x9f\x8c\x8d", "Zürich 東京 \xf0\x9f\x8c\x8d", false},
		{"a\033[31mb\007\177", "a?[31mb??", false},
		{"one\ntwo\r", "one\ntwo?", true},
		{"one\ntwo", "one?two", false},
		{"c1 \xc2\x9b"
		 "31m \xc2\x80",
		 "c1 ?31m ?", false},
		{"bidi \xe2\x80\xae \xe2\x81\xa6 \xe2\x80\x8f", "bidi ? ? ?", false},
		{"lines \xe2\x80\xa8\xe2\x80\xa9", "lines ??", false},
		{"raw \x9b \xff \xc3", "raw ? ? ?", false},
		{"overlong \xc0\x8a \xe0\x80\x8a \xf0\x80\x80\x8a", "overlong ?? ??? ????", false},
		{"surrogate \xed\xa0\x80", "surrogate ???", false},
		{"beyond \xf4\x90\x80\x80 \xf5", "beyond ???? ?", false},
		{"cut \xe2\x82", "cut ??", false},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct text out = {0};

		render_clean(&out, t[i].in, strlen(t[i].in), t[i].lines);
		assert_string_equal(text_str(&out), t[i].out);
		text_done(&out);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(golden),
					   cmocka_unit_test(unclean_bytes)};

	golden_choose_root("tests/golden/render", argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
