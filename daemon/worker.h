/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * worker: a thread that runs requests that may block, one after another. Messages in, results
 * out, no shared state: between submit and done the argument belongs to the worker.
 *
 * All functions are for the event loop's thread.
 */
#ifndef WGSCALE_WORKER_H
#define WGSCALE_WORKER_H

#include <stdint.h>

struct ev_loop;
struct worker;

/* Runs in the worker's thread; `ctx` is what worker_start() was given. */
typedef void (*worker_fn)(void *ctx, void *arg);
/* Runs on the event loop afterwards, in the order of submission; may submit, may not stop. */
typedef void (*worker_done)(void *owner, void *arg);

/* `name` is the thread's name (at most 15 bytes, longer is cut). All signals are blocked in it. */
int worker_start(struct ev_loop *loop, const char *name, void *ctx, struct worker **ret_worker);
/* `what` (static or living until done) names the request while it runs, for `status`. `done` may be
 * NULL. */
void worker_submit(struct worker *w, const char *what, worker_fn fn, worker_done done, void *owner,
		   void *arg);
/* What runs now and for how long; NULL when idle. */
const char *worker_busy(struct worker *w, uint64_t *ret_age_ms);
/* Lets what runs finish (bounded by `timeout_ms`), drops what is queued, frees; done callbacks of
 * dropped requests do not run, those of finished ones run before it returns. -ETIMEDOUT: what runs
 * goes on without us and still uses `ctx` and its argument: neither may be freed. NULL is fine. */
int worker_stop(struct worker *w, unsigned int timeout_ms);

#endif
