/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pass: what reconcile.c does, without a loop or workers: observe both buses, plan, apply in runs
 * of one bus. Works on the fake kernel.
 */
#ifndef WGSCALE_TEST_PASS_H
#define WGSCALE_TEST_PASS_H

#include "kernel.h"

/* Both halves and the NICs under eth0, joined and sorted; links marked quiet or not. */
int pass_observe(const struct ownership *own, bool quiet, struct world *ret);
/* Returns how many ops failed. */
size_t pass_apply(struct plan *p, struct arena *a);
/* One line per op. */
void pass_print(const struct plan *p, struct text *out);

#endif
