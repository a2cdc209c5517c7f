/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mess: what others have and do in the fake kernel.
 */
#ifndef WGSCALE_TEST_MESS_H
#define WGSCALE_TEST_MESS_H

#include "random_site.h"
#include "want.h"

/* The default numbers. */
extern const struct ownership mess_own;

/* What eth0 hashes before we come. */
#define MESS_NIC_FIELDS 0x30

/* Objects of others, close to ours. */
void mess_put_aliens(void);
bool mess_is_alien(const struct obj *o);
/* One line each, in a stable order. */
void mess_print_aliens(struct text *out);

/* Deletes one object as the kernel would, with what hangs on it. */
void mess_del(const struct obj *o);
/* Some of ours are deleted or changed, some strange ones come to be. */
void mess_make(struct rng *rng);

#endif
