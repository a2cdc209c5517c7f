/* SPDX-License-Identifier: GPL-2.0-only */
// link: daemon/log.o -lsystemd
/*
 * DOC: log - what arrives on stderr when it is a file
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "log.h"

static char out[4 * LOG_LINE_MAX];
static FILE *file;
static int saved;

static void begin(void)
{
	fflush(stderr);
	file = tmpfile();
	saved = dup(STDERR_FILENO);
	assert_non_null(file);
	assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
}

/* The text behind "HH:MM:SS.mmm ". */
static const char *end(void)
{
	ssize_t n = pread(fileno(file), out, sizeof(out) - 1, 0);
	int h, m, s, ms, at = 0;

	dup2(saved, STDERR_FILENO);
	close(saved);
	fclose(file);
	assert_true(n >= 0);
	out[n] = '\0';
	if (!n)
		return out;
	assert_int_equal(sscanf(out, "%2d:%2d:%2d.%3d %n", &h, &m, &s, &ms, &at), 4);
	assert_int_equal(at, 13);
	return out + at;
}

static void test_line(void **state)
{
	unsetenv("JOURNAL_STREAM");
	log_init(LOG_INFO);
	begin();
	errno = ENOENT;
	log_line(LOG_WARNING, "tunnel %d: %m", 7);
	assert_int_equal(errno, ENOENT);
	assert_string_equal(end(), "warning tunnel 7: No such file or directory\n");
	begin();
	log_peer(LOG_INFO, "milan", 3, "up");
	assert_string_equal(end(), "info up\n");
	begin();
	log_line(LOG_DEBUG, "not wanted");
	assert_string_equal(end(), "");
}

static void test_clean(void **state)
{
	begin();
	log_line(LOG_ERR, "%s", "a\nb\033[31m\t\x7f \xc2\x9b \xc3\xa9");
	assert_string_equal(end(), "error a?b?[31m?? ?? \xc3\xa9\n");
}

static void test_cut(void **state)
{
	char *text = malloc(2 * LOG_LINE_MAX);
	const char *line;

	assert_non_null(text);
	for (size_t i = 0; i < 2 * LOG_LINE_MAX; i += 2)
		memcpy(text + i, "\xc3\xa9", 2);
	text[2 * LOG_LINE_MAX - 2] = '\0';
	begin();
	log_line(LOG_ERR, "x%s", text);
	line = end();
	assert_in_range(strlen(line), LOG_LINE_MAX, LOG_LINE_MAX + 16);
	assert_string_equal(line + strlen(line) - 6, "\xc3\xa9...\n");
	free(text);
}

/* $JOURNAL_STREAM inherited from somebody else's stderr means nothing. */
static void test_foreign_stream(void **state)
{
	setenv("JOURNAL_STREAM", "1:1", 1);
	log_init(LOG_INFO);
	begin();
	log_line(LOG_NOTICE, "here");
	assert_string_equal(end(), "notice here\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_foreign_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
