/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * classify: what becomes of an inner packet in a world: our nf_tables chains, then the rules and
 * routes, then WireGuard's allowed IPs, then the guard. Pure, and written from the kernel's rules
 * alone, so that it can judge what want.c wants.
 */
#ifndef WGSCALE_CLASSIFY_H
#define WGSCALE_CLASSIFY_H

#include "flow.h"
#include "world.h"

enum fate {
	FATE_CLEAR,   /* as if we were not there */
	FATE_TUNNEL,  /* encrypted for a peer */
	FATE_DROPPED, /* unreachable, guarded, or no peer of the device allows it */
};

struct packet {
	struct flow flow;
	bool fragment;
	bool local; /* made by the gateway rather than forwarded */
	uint32_t mark;
};

struct verdict {
	enum fate fate;
	const char *dev; /* it leaves by; NULL when dropped before */
	struct key peer; /* FATE_TUNNEL */
	uint32_t mark;	 /* in the end */
	const char *why; /* static */
};

/* An index of a world, good until the world changes. */
struct classifier {
	const struct world *w;
	struct arena arena;
	const struct obj **chains, **sets, **links, **peers, **routes;
	const struct obj **rules; /* by preference */
	size_t n_chains, n_sets, n_links, n_peers, n_routes, n_rules;
};

void classify_open(const struct world *w, struct classifier *ret);
void classify_done(struct classifier *c);
void classify(const struct classifier *c, const struct packet *p, struct verdict *ret);
void classify_print(const struct packet *p, const struct verdict *v, struct text *out);

#endif
