/* SPDX-License-Identifier: GPL-2.0-only */
// link: daemon/resolve.o daemon/worker.o -lev
/*
 * DOC: resolve - numbers and bounds; no name server is asked
 */
#include <errno.h>
#include <ev.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "resolve.h"

static struct ev_loop *loop;
static struct resolver *r;
static char names[4][64];
static struct ipaddr first[4];
static size_t counts[4];
static bool failed[4];
static int n_done, stop_after;

static int setup(void **state)
{
	n_done = 0;
	loop = ev_loop_new(0);
	return resolve_open(loop, &r);
}

static int teardown(void **state)
{
	resolve_close(r);
	ev_loop_destroy(loop);
	return 0;
}

static void on_done(void *owner, const char *name, const struct ipaddr *addrs, size_t n,
		    const char *error)
{
	assert_ptr_equal(owner, &n_done);
	assert_int_equal(n == 0, error != NULL);
	strncpy(names[n_done % 4], name, sizeof(names[0]) - 1);
	counts[n_done % 4] = n;
	failed[n_done % 4] = error && error[0];
	if (n)
		first[n_done % 4] = addrs[0];
	if (++n_done == stop_after)
		ev_break(loop, EVBREAK_ALL);
}

static void test_answers(void **state)
{
	struct ipaddr a;

	assert_int_equal(resolve_ask(r, "192.0.2.7", on_done, &n_done), 0);
	assert_int_equal(resolve_ask(r, "2001:db8::7", on_done, &n_done), 0);
	assert_int_equal(resolve_ask(r, "not a host name", on_done, &n_done), 0);
	stop_after = 3;
	ev_run(loop, 0);
	assert_string_equal(names[0], "192.0.2.7");
	assert_int_equal(counts[0], 1);
	assert_int_equal(addr_parse("192.0.2.7", &a), 0);
	assert_int_equal(addr_cmp(&first[0], &a), 0);
	assert_string_equal(names[1], "2001:db8::7");
	assert_int_equal(counts[1], 1);
	assert_int_equal(addr_parse("2001:db8::7", &a), 0);
	assert_int_equal(addr_cmp(&first[1], &a), 0);
	assert_int_equal(counts[2], 0);
	assert_true(failed[2]);
}

static void test_bounds(void **state)
{
	char name[RESOLVE_NAME_MAX + 2];

	memset(name, 'a', sizeof(name));
	name[RESOLVE_NAME_MAX + 1] = '\0';
	assert_int_equal(resolve_ask(r, name, on_done, &n_done), -EINVAL);
	assert_int_equal(resolve_ask(r, "", on_done, &n_done), -EINVAL);
	for (int i = 0; i < RESOLVE_PENDING_MAX; i++)
		assert_int_equal(resolve_ask(r, "192.0.2.7", on_done, &n_done), 0);
	assert_int_equal(resolve_ask(r, "192.0.2.7", on_done, &n_done), -EBUSY);
	stop_after = RESOLVE_PENDING_MAX;
	ev_run(loop, 0);
	assert_int_equal(resolve_ask(r, "192.0.2.7", on_done, &n_done), 0);
}

static void test_close_pending(void **state)
{
	for (int i = 0; i < 100; i++)
		assert_int_equal(resolve_ask(r, "192.0.2.7", on_done, &n_done), 0);
	resolve_close(r);
	r = NULL;
	assert_int_equal(n_done, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_close_pending, setup, teardown),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
