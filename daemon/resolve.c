/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: resolve - host names to addresses, off the event loop
 *
 * Owns a worker in which getaddrinfo() may take as long as name servers keep it waiting. It never
 * caches, retries or chooses: when to ask again, and which of the addresses to use, is decided by
 * whoever asked.
 *
 * Invariant: requests are answered in the order they came, so the pending list is a queue and its
 * head is what the worker has at hand. A request the worker still uses when we close is left to it.
 *
 * Read next: worker.h.
 */
#include "resolve.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "worker.h"

/* For a lookup that is just about to end; others go on without us. */
#define CLOSE_MS 50

struct request {
	struct request *next;
	resolve_done done;
	void *owner;
	char name[RESOLVE_NAME_MAX + 1];
	struct ipaddr addrs[RESOLVE_ADDRS_MAX];
	size_t n;
	char error[128]; /* "" when there are addresses */
};

struct resolver {
	struct worker *worker;
	struct request *head, **tail;
	unsigned int pending;
	bool closing;
};

static bool is_known(const struct request *q, const struct ipaddr *a)
{
	for (size_t i = 0; i < q->n; i++)
		if (!addr_cmp(&q->addrs[i], a))
			return true;
	return false;
}

static void take(struct request *q, const struct addrinfo *list)
{
	for (; list && q->n < RESOLVE_ADDRS_MAX; list = list->ai_next) {
		struct sockep e;

		if (addr_from_sockaddr(list->ai_addr, list->ai_addrlen, &e) < 0)
			continue;
		if (!is_known(q, &e.addr))
			q->addrs[q->n++] = e.addr;
	}
	if (!q->n)
		snprintf(q->error, sizeof(q->error), "no address");
}

static void look_up(void *ctx, void *arg)
{
	/* One socket type, else each address comes three times. */
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM};
	struct addrinfo *list = NULL;
	struct request *q = arg;
	int r;

	r = getaddrinfo(q->name, NULL, &hints, &list);
	if (!r) {
		take(q, list);
		freeaddrinfo(list);
	} else {
		snprintf(q->error, sizeof(q->error), "%s",
			 r == EAI_SYSTEM ? strerrordesc_np(errno) : gai_strerror(r));
	}
}

static struct request *pop(struct resolver *r)
{
	struct request *q = r->head;

	r->head = q->next;
	if (!r->head)
		r->tail = &r->head;
	r->pending--;
	return q;
}

static void on_done(void *owner, void *arg)
{
	struct resolver *r = owner;
	struct request *q = pop(r);

	if (!r->closing)
		q->done(q->owner, q->name, q->addrs, q->n, q->error[0] ? q->error : NULL);
	free(q);
}

int resolve_open(struct ev_loop *loop, struct resolver **ret_resolver)
{
	struct resolver *r = xcalloc(1, sizeof(*r));
	int err;

	r->tail = &r->head;
	err = worker_start(loop, "wgs-resolve", NULL, &r->worker);
	if (err < 0) {
		free(r);
		return err;
	}
	*ret_resolver = r;
	return 0;
}

int resolve_ask(struct resolver *r, const char *name, resolve_done done, void *owner)
{
	size_t len = strnlen(name, RESOLVE_NAME_MAX + 1);
	struct request *q;

	if (len == 0 || len > RESOLVE_NAME_MAX)
		return -EINVAL;
	if (r->pending >= RESOLVE_PENDING_MAX)
		return -EBUSY;
	q = xcalloc(1, sizeof(*q));
	memcpy(q->name, name, len);
	q->done = done;
	q->owner = owner;
	*r->tail = q;
	r->tail = &q->next;
	r->pending++;
	worker_submit(r->worker, q->name, look_up, on_done, r, q);
	return 0;
}

void resolve_close(struct resolver *r)
{
	if (!r)
		return;
	r->closing = true;
	if (worker_stop(r->worker, CLOSE_MS) == -ETIMEDOUT && r->head)
		(void)pop(r); /* in use until its lookup ends, which the process may not see */
	while (r->head)
		free(pop(r));
	free(r);
}
