/* SPDX-License-Identifier: GPL-2.0-only */
// link: daemon/worker.o -lev
/*
 * DOC: worker - order, names, and every way to stop
 *
 * Slow requests are requests that wait for a semaphore of the test: nothing here depends on how
 * long anything takes.
 */
#include <errno.h>
#include <ev.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "worker.h"

#define JOBS 1000

struct probe {
	struct ev_loop *loop;
	struct worker *w;
	pthread_t loop_thread;
	int ctx;
	sem_t started, go, over;
	int ran[JOBS], done[JOBS]; /* in order */
	int n_ran, n_done;
	int stop_after; /* break the loop after so many answers */
	char thread_name[16];
	bool signals_blocked;
};

static struct probe t;

static int setup(void **state)
{
	memset(&t, 0, sizeof(t));
	t.loop = ev_loop_new(0);
	t.loop_thread = pthread_self();
	sem_init(&t.started, 0, 0);
	sem_init(&t.go, 0, 0);
	sem_init(&t.over, 0, 0);
	return worker_start(t.loop, "a-name-too-long-for-one", &t.ctx, &t.w);
}

static int teardown(void **state)
{
	int r = worker_stop(t.w, 5000);

	ev_loop_destroy(t.loop);
	return r;
}

static void wait_for(sem_t *sem)
{
	while (sem_wait(sem) < 0)
		;
}

static void fn_number(void *ctx, void *arg)
{
	if (ctx == &t.ctx && !pthread_equal(pthread_self(), t.loop_thread))
		t.ran[t.n_ran++] = *(int *)arg;
}

static void done_number(void *owner, void *arg)
{
	assert_ptr_equal(owner, &t);
	assert_true(pthread_equal(pthread_self(), t.loop_thread));
	t.done[t.n_done++] = *(int *)arg;
	if (t.n_done == t.stop_after)
		ev_break(t.loop, EVBREAK_ALL);
}

static void fn_slow(void *ctx, void *arg)
{
	sigset_t set;

	pthread_getname_np(pthread_self(), t.thread_name, sizeof(t.thread_name));
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	t.signals_blocked = sigismember(&set, SIGTERM) && sigismember(&set, SIGHUP);
	sem_post(&t.started);
	wait_for(&t.go);
	fn_number(ctx, arg);
	sem_post(&t.over);
}

static void test_order(void **state)
{
	static int numbers[JOBS];

	for (int i = 0; i < JOBS; i++) {
		numbers[i] = i;
		worker_submit(t.w, "number", fn_number, done_number, &t, &numbers[i]);
	}
	t.stop_after = JOBS;
	ev_run(t.loop, 0);
	assert_int_equal(t.n_ran, JOBS);
	for (int i = 0; i < JOBS; i++) {
		assert_int_equal(t.ran[i], i);
		assert_int_equal(t.done[i], i);
	}
}

static void test_busy(void **state)
{
	uint64_t age_ms = 12345;
	int one = 1, two = 2;

	assert_null(worker_busy(t.w, &age_ms));
	assert_int_equal(age_ms, 12345);
	worker_submit(t.w, "the slow one", fn_slow, done_number, &t, &one);
	worker_submit(t.w, "the next", fn_slow, done_number, &t, &two);
	wait_for(&t.started);
	assert_string_equal(worker_busy(t.w, &age_ms), "the slow one");
	assert_in_range(age_ms, 0, 5000);
	usleep(20000);
	assert_string_equal(worker_busy(t.w, &age_ms), "the slow one");
	assert_in_range(age_ms, 20, 5000);
	assert_string_equal(t.thread_name, "a-name-too-long");
	assert_true(t.signals_blocked);
	ev_run(t.loop, EVRUN_NOWAIT);
	assert_int_equal(t.n_done, 0);
	sem_post(&t.go);
	wait_for(&t.started);
	assert_string_equal(worker_busy(t.w, &age_ms), "the next");
	sem_post(&t.go);
	t.stop_after = 2;
	ev_run(t.loop, 0);
	assert_null(worker_busy(t.w, &age_ms));
}

static void done_again(void *owner, void *arg)
{
	int *n = arg;

	if (++*n < 5)
		worker_submit(t.w, "again", fn_number, done_again, owner, arg);
	else
		ev_break(t.loop, EVBREAK_ALL);
}

static void test_submit_from_done(void **state)
{
	int n = 0;

	worker_submit(t.w, "first", fn_number, done_again, &t, &n);
	ev_run(t.loop, 0);
	assert_int_equal(n, 5);
	assert_int_equal(t.n_ran, 5);
}

static void test_no_callback(void **state)
{
	int one = 1, two = 2;

	worker_submit(t.w, "quiet", fn_number, NULL, NULL, &one);
	worker_submit(t.w, "loud", fn_number, done_number, &t, &two);
	t.stop_after = 1;
	ev_run(t.loop, 0);
	assert_int_equal(t.n_ran, 2);
	assert_int_equal(t.done[0], 2);
}

static void test_stop_idle(void **state)
{
	assert_int_equal(worker_stop(t.w, 5000), 0);
	t.w = NULL;
	assert_int_equal(worker_stop(NULL, 0), 0);
}

static void *let_go(void *arg)
{
	usleep(30000); /* so that the stop is likely to wait; right either way */
	sem_post(&t.go);
	return NULL;
}

/* What runs is finished and answered, what is queued is neither run nor answered. */
static void test_stop_queued(void **state)
{
	pthread_t helper;
	int one = 1, two = 2;

	worker_submit(t.w, "slow", fn_slow, done_number, &t, &one);
	for (int i = 0; i < 10; i++)
		worker_submit(t.w, "queued", fn_number, done_number, &t, &two);
	wait_for(&t.started);
	pthread_create(&helper, NULL, let_go, NULL);
	assert_int_equal(worker_stop(t.w, 5000), 0);
	t.w = NULL;
	pthread_join(helper, NULL);
	assert_int_equal(t.n_ran, 1);
	assert_int_equal(t.n_done, 1);
	assert_int_equal(t.done[0], 1);
	ev_run(t.loop, EVRUN_NOWAIT);
	assert_int_equal(t.n_done, 1);
}

/* One that hangs is left alone, and frees the rest when it ends. */
static void test_stop_stuck(void **state)
{
	int one = 1, two = 2;

	worker_submit(t.w, "stuck", fn_slow, done_number, &t, &one);
	worker_submit(t.w, "queued", fn_number, done_number, &t, &two);
	wait_for(&t.started);
	assert_int_equal(worker_stop(t.w, 20), -ETIMEDOUT);
	t.w = NULL;
	assert_int_equal(t.n_ran, 0);
	ev_loop_destroy(t.loop);
	t.loop = ev_loop_new(0);
	sem_post(&t.go);
	wait_for(&t.over);
	assert_int_equal(t.n_ran, 1);
	assert_int_equal(t.n_done, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_busy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_submit_from_done, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_callback, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop_idle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop_queued, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop_stuck, setup, teardown),
	};

	alarm(60); /* a lost wake-up would hang, not fail */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
