/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * want_nft: the nf_tables part of want: both tables, from the networks of peers that carry
 * traffic. Pure; called by want.c alone.
 */
#ifndef WGSCALE_WANT_NFT_H
#define WGSCALE_WANT_NFT_H

#include "want.h"

/* Adds the objects to `w`, unsorted. */
void want_nft_build(const struct want_input *in, struct world *w);

/*
 * Networks of peers that carry traffic (owner: index in site->peers), networks that are held
 * (owner: site->n_peers), and what is cut out of them (owner -1): our own networks, what the host
 * is connected to, and addresses that never leave a link. One family, unsorted, in `a`.
 */
void want_nft_owned(const struct want_input *in, uint8_t family, struct arena *a,
		    struct addr_owned **ret_owned, size_t *ret_n);

#endif
