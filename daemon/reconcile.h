/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * reconcile: the pass. Observe, plan, apply, observe: until the plan is empty.
 *
 * Owns the two workers (WireGuard and rtnetlink; nf_tables) and is the only one to give them
 * work. Everything here is called on the event loop and never waits.
 */
#ifndef WGSCALE_RECONCILE_H
#define WGSCALE_RECONCILE_H

#include "kernel.h"

struct ev_loop;
struct reconcile;

/* The path to an address, asked together with an observation. */
struct reconcile_path {
	struct ipaddr dst;
	uint32_t mtu; /* answer; 0: no path */
	char dev[16];
};

struct reconcile_hooks {
	/* Paths to ask for with the next observation; the array belongs to the pass. */
	size_t (*paths)(void *owner, struct arena *a, struct reconcile_path **ret_paths);
	/* Something was observed; `have` is sorted; links may be marked quiet already. */
	void (*observed)(void *owner, const struct world *have, const struct reconcile_path *paths,
			 size_t n_paths);
	/* What is wanted now; what it refers to must stay valid until pass_done. false: it cannot
	 * be told, nothing is to be changed. */
	bool (*want)(void *owner, const struct facts *facts, struct world *ret);
	/* A pass ended: nothing refers to wanted worlds any more. */
	void (*pass_done)(void *owner, bool settled);
	struct ownership own;
	uint32_t mark;	       /* of outer packets, for paths */
	const char *saved_dir; /* for kernel_observe_nics(); lives as long as the reconciler */
};

int reconcile_open(struct ev_loop *loop, const struct reconcile_hooks *hooks, void *owner,
		   struct reconcile **ret_reconcile);
void reconcile_close(struct reconcile *r);
/* After the configuration changed its numbers; only between passes. */
void reconcile_set_numbers(struct reconcile *r, const struct ownership *own, uint32_t mark);

/* Something may have changed: a pass soon (debounced; sooner with `now`). */
void reconcile_dirty(struct reconcile *r, bool now);
bool reconcile_idle(const struct reconcile *r);
/* The last pass ended with an empty plan and nothing is known to have changed since. */
bool reconcile_settled(const struct reconcile *r);
/* Lines of what the last pass could not do, each with its reason. */
size_t reconcile_pending(const struct reconcile *r, const char *const **ret_lines);
size_t reconcile_leaving(const struct reconcile *r);
/* Ops applied by passes since the start. */
uint64_t reconcile_applied(const struct reconcile *r);
/* The last observed facts; zeroes before the first observation. */
const struct facts *reconcile_facts(const struct reconcile *r);
/* Requests that have been running for more than a second: name and age each. */
struct reconcile_stuck {
	const char *what;
	uint64_t age_ms;
};
size_t reconcile_stuck(struct reconcile *r, struct reconcile_stuck ret[static 2]);

/* Observes and plans without applying; `cb` gets the lines. */
void reconcile_plan(struct reconcile *r,
		    void (*cb)(void *owner, const char *const *lines, size_t n, size_t leaving,
			       const char *error),
		    void *owner);

/* The fast path for bucket moves: one nf_tables transaction, not behind rtnl. Both maps are
 * copied. */
void reconcile_move(struct reconcile *r, const char *map, const struct obj_nft_buckets *from,
		    const struct obj_nft_buckets *to);

/* Counters of the peers of one lane device. */
void reconcile_sample(struct reconcile *r, const char *dev,
		      void (*cb)(void *owner, const char *dev,
				 const struct kernel_peer_sample *samples, size_t n),
		      void *owner);

#endif
