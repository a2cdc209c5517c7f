/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fake_kernel: daemon/kernel.h over a struct world in memory. A test links tests/fake_kernel.c in
 * the place of daemon/kernel.o, tests/fake_nft.c and tests/fake_mode.c. There is one fake kernel
 * per process; calls are serialised, so that two workers may share it.
 */
#ifndef WGSCALE_FAKE_KERNEL_H
#define WGSCALE_FAKE_KERNEL_H

#include "kernel.h"

#define FAKE_KERNEL_NEVER SIZE_MAX

struct fake_kernel {
	/* All there is, ours and others', unsorted: rules of one preference in order of arrival. */
	struct world world;
	/* As observers report them; the memory is the test's. */
	struct facts facts;
	/* The kernel can take a single allowed IP away (from 6.16). */
	bool remove_me;
	/* Ops tried so far, on both buses; op number `fail_op` fails with `fail_error` (-errno). */
	size_t ops, fail_op;
	int fail_error;
	/* That many observations fail with `observe_error`. */
	unsigned int observe_failures;
	int observe_error;
	/* After each change: one op of BUS_RTNL, one transaction of BUS_NFT. */
	void (*changed)(void *ctx);
	void *changed_ctx;
	uint32_t last_ifindex;
};

extern struct fake_kernel fake_kernel;

/* Empty, IPv6, version 6.12, nothing fails. */
void fake_kernel_reset(void);
/* Copies an object into the kernel as it is, asking no questions. */
struct obj *fake_kernel_put(const struct obj *o);
void fake_kernel_put_world(const struct world *w);
/* Takes the object with this key away, and nothing else. */
void fake_kernel_drop(const struct obj *key);
/* A deep copy of an object, in `a`. */
void fake_kernel_copy(struct arena *a, const struct obj *from, struct obj *ret);

/* ---- between fake_kernel.c, fake_nft.c and fake_mode.c ---- */

struct obj *fake_put(const struct obj *o);
struct obj *fake_find(const struct obj *key);
void fake_take(const struct obj *o);
void fake_take_at(size_t i);
bool fake_link_is_ours(const char *dev);
int fake_nft_run(const struct op *ops, size_t n);
/* Entries that came since have a mode, and those that are gone have none. */
void fake_mode_follow(void);
int fake_mode_apply(const struct op *op);

#endif
