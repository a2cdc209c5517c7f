/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * carried: STATE/networks: what the kernel had of ours when a configuration was last accepted. The
 * guard goes by it at boot, a start tells by it what was there before.
 *
 * One item per line: "mark-mask HEX", "table-base N", "rule-base N", "own PREFIX", "net PREFIX",
 * and "kernel empty" once all was taken down.
 */
#ifndef WGSCALE_CARRIED_H
#define WGSCALE_CARRIED_H

#include "state.h"

struct carried {
	struct arena arena;
	struct config config;	 /* mark_mask, table_base, rule_base and networks only */
	struct prefix *networks; /* of peers that carried traffic, or held (struct site) */
	size_t n_networks;
	bool empty; /* the kernel has nothing of ours: the numbers bind nobody */
};

int carried_write(const struct paths *p, const struct site *s);
/* -ENOENT: nothing is remembered; -EBADMSG: not such a file; *ret is empty then. */
int carried_read(const struct paths *p, struct carried *ret);
void carried_done(struct carried *c);
/* Nothing of ours is in the kernel any more; the networks stay known. */
int carried_set_empty(const struct paths *p);

bool carried_has(const struct carried *c, const struct prefix *net);
void carried_add(struct carried *c, const struct prefix *net);
void carried_remove(struct carried *c, const struct prefix *net);

#endif
