/* SPDX-License-Identifier: GPL-2.0-only */
// link: daemon/unconfirmed.o daemon/state.o
/*
 * DOC: what waits for a confirmation, in a folder made for each test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "text.h"
#include "unconfirmed.h"

static char dir[64], file[80];
static struct paths paths;

static int setup(void **state)
{
	strcpy(dir, "/tmp/wgscale-unconfirmed-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(file, sizeof(file), "%s/unconfirmed", dir);
	paths = (struct paths){.state_dir = dir};
	return 0;
}

static int teardown(void **state)
{
	unlink(file);
	return rmdir(dir);
}

static void test_left(void **state)
{
	unsigned int left_s = 7;

	assert_false(unconfirmed_read(&paths, &left_s));
	assert_int_equal(left_s, 0);
	assert_int_equal(unconfirmed_clear(&paths), 0);
	assert_int_equal(unconfirmed_write(&paths, 600), 0);
	assert_true(unconfirmed_read(&paths, &left_s));
	assert_in_range(left_s, 595, 600);
	assert_int_equal(unconfirmed_write(&paths, 60), 0);
	assert_true(unconfirmed_read(&paths, &left_s));
	assert_in_range(left_s, 55, 60);
	assert_int_equal(unconfirmed_clear(&paths), 0);
	assert_false(unconfirmed_read(&paths, &left_s));
}

/* Over, of another boot, or unreadable: the time is over, but something is to be confirmed. */
static void test_over(void **state)
{
	static const char *const texts[] = {"00000000-0000-0000-0000-000000000000 4000000000\n",
					    "",
					    "\n",
					    " \n",
					    "nonsense\n",
					    "4000000000\n"};
	unsigned int left_s = 7;

	assert_int_equal(unconfirmed_write(&paths, 0), 0);
	assert_true(unconfirmed_read(&paths, &left_s));
	assert_int_equal(left_s, 0);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(state_write_file(file, texts[i], strlen(texts[i]), 0644), 0);
		left_s = 7;
		assert_true(unconfirmed_read(&paths, &left_s));
		assert_int_equal(left_s, 0);
	}
}

/* Nobody writes into it: to open it as any file would wait for ever. */
static void test_pipe(void **state)
{
	unsigned int left_s = 7;

	assert_int_equal(mkfifo(file, 0600), 0);
	alarm(10);
	assert_true(unconfirmed_read(&paths, &left_s));
	alarm(0);
	assert_int_equal(left_s, 0);
}

static void test_no_folder(void **state)
{
	unsigned int left_s = 7;

	paths.state_dir = "/nonexistent";
	assert_int_not_equal(unconfirmed_write(&paths, 600), 0);
	assert_int_equal(unconfirmed_clear(&paths), 0);
	assert_false(unconfirmed_read(&paths, &left_s));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_left),
		TEST(test_over),
		TEST(test_pipe),
		TEST(test_no_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
