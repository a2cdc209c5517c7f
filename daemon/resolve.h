/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * resolve: host names to addresses, off the event loop.
 */
#ifndef WGSCALE_RESOLVE_H
#define WGSCALE_RESOLVE_H

#include "addr.h"

#define RESOLVE_ADDRS_MAX   8
#define RESOLVE_PENDING_MAX 256 /* names asked for and not answered */
#define RESOLVE_NAME_MAX    253 /* bytes */

struct ev_loop;
struct resolver;

/* On the event loop, once per name asked for; may ask again. `name` and `addrs` live until it
 * returns. Both families, in getaddrinfo's order of preference, no address twice; n is 0 exactly
 * when `error` is not NULL. */
typedef void (*resolve_done)(void *owner, const char *name, const struct ipaddr *addrs, size_t n,
			     const char *error);

int resolve_open(struct ev_loop *loop, struct resolver **ret_resolver);
/* Names are looked up one after another. -EINVAL: empty or too long; -EBUSY: too many pending. */
int resolve_ask(struct resolver *r, const char *name, resolve_done done, void *owner);
/* What is pending is not answered. Does not wait for a name server; not from within a callback. */
void resolve_close(struct resolver *r);

#endif
