/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * map: which tunnel each of a peer's 1024 buckets uses. Pure.
 *
 * Each bucket ranks the tunnels by keys_mix64(bucket << 32 | lane of A << 16 | lane of B), A being
 * the site with the lower id; scores never tie. The other site computes this too: it may never
 * change. `lower` says that our id is the lower one; tunnels are in the order of pair_build();
 * 1 <= n <= MODEL_LANES_MAX.
 */
#ifndef WGSCALE_MAP_H
#define WGSCALE_MAP_H

#include "model.h"

#define MAP_NONE UINT16_MAX /* no tunnel: the bucket is not in the kernel's map */

/*
 * The map of a peer with all tunnels healthy, alike at both ends. 1024 % n tunnels get one bucket
 * more than the others, so shares differ by at most one. It is filled in rounds: each bucket still
 * without a tunnel names the one it ranks highest among those with room (fewer than 1024 / n
 * buckets, or just as many while fewer than 1024 % n tunnels have one more); buckets are served
 * from the highest score down, and who finds its tunnel full waits for the next round. When a
 * tunnel comes or goes, few buckets of the other tunnels move among them.
 */
void map_home(const struct tunnel *tunnels, size_t n, bool lower, uint16_t home[MODEL_BUCKETS]);

/*
 * The map to use: a bucket whose home is usable stays at home; others go to the usable tunnel they
 * rank highest. A function of its inputs alone, so that both ends agree while they agree on
 * health; and one more dead tunnel moves only the buckets that were on it. When no tunnel is
 * usable, the result is `current` (all at once: more likely the probes than the tunnels); what is
 * no tunnel there is MAP_NONE, which stands in no other result. `usable[i]` tells of tunnels[i].
 * ret_map may be `current`.
 */
void map_fill(const struct tunnel *tunnels, size_t n, bool lower,
	      const uint16_t home[MODEL_BUCKETS], const bool *usable,
	      const uint16_t current[MODEL_BUCKETS], uint16_t ret_map[MODEL_BUCKETS]);

#endif
