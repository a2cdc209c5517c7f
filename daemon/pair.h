/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pair: lanes of two sites -> tunnels, computed alike at both ends. Pure.
 *
 * Every (lane of A, lane of B), A being the site with the lower id (as strcmp sees it), has the
 * score keys_mix64(keys_hash64("wgspair", "A/B") ^ (lane of A << 32 | lane of B)); pairs are taken
 * from the highest score down until one side has no lane left. Scores never tie. A changed lane
 * count keeps most other pairs, and a site with few lanes takes some of another's many, different
 * ones for different ids. The other site computes this too: it may never change.
 */
#ifndef WGSCALE_PAIR_H
#define WGSCALE_PAIR_H

#include <stddef.h>

struct pair {
	unsigned int ours, theirs; /* lane numbers */
};

/*
 * ret_pairs has room for min(n_ours, n_theirs); *ret_n is that. The order is the same at both ends
 * (ascending by the lane number of the site with the lower id), whatever that of the lists. Lane
 * numbers within a list are distinct, at most MODEL_LANES_MAX of them; ids differ.
 */
void pair_build(const char *our_id, const unsigned int *ours, size_t n_ours, const char *their_id,
		const unsigned int *theirs, size_t n_theirs, struct pair *ret_pairs, size_t *ret_n);

#endif
