/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: worker - requests that may block, off the event loop
 *
 * Owns one thread and two queues: requests on the way in, answers on the way out. It knows nothing
 * of what a request does and never touches its argument.
 *
 * Invariant: a job is in exactly one place at a time (queued, running, finished), and only moves
 * with the lock held; functions and callbacks run without it. Answers are delivered on the event
 * loop, woken by ev_async, in the order in which the requests came.
 *
 * A request may hang in the kernel for minutes and a thread cannot be stopped from outside. So the
 * worker has two holders, its owner and its thread; whoever lets go last frees it, and an owner
 * that has waited long enough lets go.
 *
 * Read next: reconcile.c, resolve.c.
 */
#include "worker.h"

#include <errno.h>
#include <ev.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "arena.h"

struct job {
	struct job *next;
	const char *what;
	worker_fn fn;
	worker_done done;
	void *owner, *arg;
};

struct queue {
	struct job *head, **tail;
};

struct worker {
	struct ev_loop *loop;
	struct ev_async wake;
	void *ctx;
	char name[16];
	pthread_t thread;

	pthread_mutex_t lock; /* of all below */
	pthread_cond_t more;  /* the thread waits for requests, or for the end */
	pthread_cond_t idle;  /* the owner waits for the thread to end */
	struct queue queued, finished;
	const char *busy;
	uint64_t busy_ms;
	bool stop;     /* the owner wants the thread to end */
	bool ended;    /* the thread has let go */
	bool orphaned; /* the owner has let go */
};

static uint64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void queue_init(struct queue *q)
{
	q->head = NULL;
	q->tail = &q->head;
}

static void queue_put(struct queue *q, struct job *j)
{
	j->next = NULL;
	*q->tail = j;
	q->tail = &j->next;
}

static struct job *queue_get(struct queue *q)
{
	struct job *j = q->head;

	if (!j)
		return NULL;
	q->head = j->next;
	if (!q->head)
		q->tail = &q->head;
	return j;
}

static void queue_drop(struct queue *q)
{
	struct job *j;

	while ((j = queue_get(q)))
		free(j);
}

static void release(struct worker *w)
{
	queue_drop(&w->queued);
	queue_drop(&w->finished);
	pthread_cond_destroy(&w->idle);
	pthread_cond_destroy(&w->more);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

/* With the lock held, which is let go meanwhile. */
static void run_one(struct worker *w, struct job *j)
{
	w->busy = j->what;
	w->busy_ms = clock_ms();
	pthread_mutex_unlock(&w->lock);
	j->fn(w->ctx, j->arg);
	pthread_mutex_lock(&w->lock);
	w->busy = NULL;
	queue_put(&w->finished, j);
	/* Without an owner the loop may be gone. */
	if (!w->orphaned)
		ev_async_send(w->loop, &w->wake);
}

static void *thread_main(void *p)
{
	struct worker *w = p;
	bool orphaned;
	struct job *j;

	pthread_setname_np(pthread_self(), w->name);
	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		j = queue_get(&w->queued);
		if (j)
			run_one(w, j);
		else
			pthread_cond_wait(&w->more, &w->lock);
	}
	w->ended = true;
	orphaned = w->orphaned;
	pthread_cond_signal(&w->idle);
	pthread_mutex_unlock(&w->lock);
	if (orphaned)
		release(w);
	return NULL;
}

/* Only what is there now: callbacks that submit must not keep the loop here. */
static void deliver(struct worker *w)
{
	struct job *j, *next;

	pthread_mutex_lock(&w->lock);
	j = w->finished.head;
	queue_init(&w->finished);
	pthread_mutex_unlock(&w->lock);
	for (; j; j = next) {
		next = j->next;
		if (j->done)
			j->done(j->owner, j->arg);
		free(j);
	}
}

static void on_wake(struct ev_loop *loop, struct ev_async *wake, int events)
{
	deliver(wake->data);
}

static int start_thread(struct worker *w)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	r = pthread_sigmask(SIG_SETMASK, &all, &before);
	if (r)
		return -r;
	r = pthread_create(&w->thread, NULL, thread_main, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

int worker_start(struct ev_loop *loop, const char *name, void *ctx, struct worker **ret_worker)
{
	struct worker *w = xcalloc(1, sizeof(*w));
	pthread_condattr_t attr;
	int r;

	w->loop = loop;
	w->ctx = ctx;
	snprintf(w->name, sizeof(w->name), "%s", name);
	queue_init(&w->queued);
	queue_init(&w->finished);
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->more, &attr);
	pthread_cond_init(&w->idle, &attr);
	pthread_condattr_destroy(&attr);
	ev_async_init(&w->wake, on_wake);
	w->wake.data = w;
	ev_async_start(loop, &w->wake);
	r = start_thread(w);
	if (r < 0) {
		ev_async_stop(loop, &w->wake);
		release(w);
		return r;
	}
	*ret_worker = w;
	return 0;
}

void worker_submit(struct worker *w, const char *what, worker_fn fn, worker_done done, void *owner,
		   void *arg)
{
	struct job *j = xcalloc(1, sizeof(*j));

	*j = (struct job){.what = what, .fn = fn, .done = done, .owner = owner, .arg = arg};
	pthread_mutex_lock(&w->lock);
	queue_put(&w->queued, j);
	pthread_cond_signal(&w->more);
	pthread_mutex_unlock(&w->lock);
}

const char *worker_busy(struct worker *w, uint64_t *ret_age_ms)
{
	const char *what;

	pthread_mutex_lock(&w->lock);
	what = w->busy;
	if (what)
		*ret_age_ms = clock_ms() - w->busy_ms;
	pthread_mutex_unlock(&w->lock);
	return what;
}

/* With the lock held: has the thread ended in time? */
static bool wait_end(struct worker *w, unsigned int timeout_ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	while (!w->ended)
		if (pthread_cond_timedwait(&w->idle, &w->lock, &until) == ETIMEDOUT)
			break;
	return w->ended;
}

int worker_stop(struct worker *w, unsigned int timeout_ms)
{
	bool ended;

	if (!w)
		return 0;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->more);
	ended = wait_end(w, timeout_ms);
	pthread_mutex_unlock(&w->lock);
	deliver(w);
	ev_async_stop(w->loop, &w->wake);
	if (ended) {
		pthread_join(w->thread, NULL);
		release(w);
		return 0;
	}
	pthread_detach(w->thread);
	pthread_mutex_lock(&w->lock);
	/* It may have ended since: then it has not seen that it is to free. */
	ended = w->ended;
	w->orphaned = true;
	pthread_mutex_unlock(&w->lock);
	if (ended)
		release(w);
	return -ETIMEDOUT;
}
