/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * plan: wanted world + observed world -> list of ops. The only diff in the program. Pure.
 *
 * Make before break: everything that adds comes before everything that removes, and nf_tables,
 * which decides where packets go, stands between the two. An op names the wanted and the
 * observed object; both worlds must outlive the plan.
 */
#ifndef WGSCALE_PLAN_H
#define WGSCALE_PLAN_H

#include "world.h"

enum op_verb {
	OP_ADD,
	OP_SET, /* in place */
	OP_DEL,
	OP_INERT, /* wg.peer only: no allowed IPs, random preshared key (see below) */
};

struct op {
	enum op_verb verb;
	enum obj_kind kind;
	const struct obj *want; /* NULL for OP_DEL and OP_INERT */
	const struct obj *have; /* NULL for OP_ADD */
	unsigned int phase;	/* ascending in a plan */
	/* Filled by whoever applies it. */
	int error;	 /* 0 or -errno */
	const char *why; /* kernel's extended ACK text or ours; NULL */
};

struct plan {
	struct arena arena;
	struct op *ops;
	size_t n;
	size_t leaving; /* inert peers that wait for their lane to be quiet: no op yet */
};

/* Does it decide where packets go: a route, a rule, nf_tables? */
bool plan_steers(const struct op *op);
/* Does it belong to the removals that end a plan? */
bool plan_removes(const struct op *op);

/* Which worker runs an op: WireGuard and rtnetlink, or nf_tables. */
enum op_bus { BUS_RTNL, BUS_NFT };
enum op_bus plan_bus(const struct op *op);

/*
 * A peer entry that is no longer wanted is first made inert; it is removed only when its lane is
 * quiet (obj_link.quiet), since removing a peer from a busy lane holds rtnl for seconds.
 */
void plan_build(const struct world *want, const struct world *have, struct plan *ret);
void plan_done(struct plan *p);

/* "wg.peer.set dev=wgs3 peer=xTIB...= allowed=+10.2.0.0/16" without newline; no secrets. */
void plan_print_op(const struct op *op, struct text *out);
/* The same of an op that failed, with its error and why: "OP: No such device: WHY". */
void plan_print_failure(const struct op *op, struct text *out);

#endif
