/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: map
 *
 * Owns the assignment of buckets to tunnels, by health alone. It never weighs load: moving buckets
 * for load is the balancer's business. Invariant: results depend on lane pairs, not on which end
 * asks nor on where a tunnel stands in the array. Next: want_nft.c, which turns a map into set
 * elements, and health.c, which says what is usable.
 */
#include <stdlib.h>

#include "keys.h"
#include "map.h"

/* A bucket and the tunnel it would like. */
struct wish {
	uint64_t score;
	uint16_t bucket, tunnel;
};

/* How many buckets each tunnel has, and how many tunnels may still take one more than `share`. */
struct shares {
	unsigned int share, extras;
	unsigned int taken[MODEL_LANES_MAX];
};

static bool has_room(const struct shares *s, size_t tunnel)
{
	return s->taken[tunnel] < s->share || (s->taken[tunnel] == s->share && s->extras > 0);
}

static void take(struct shares *s, size_t tunnel)
{
	if (s->taken[tunnel]++ == s->share)
		s->extras--;
}

/* The lane pair as both ends see it. */
static void name_tunnels(const struct tunnel *tunnels, size_t n, bool lower,
			 uint32_t names[static MODEL_LANES_MAX])
{
	for (size_t i = 0; i < n; i++)
		names[i] = lower ? tunnels[i].ours << 16 | tunnels[i].theirs
				 : tunnels[i].theirs << 16 | tunnels[i].ours;
}

/* The allowed tunnel that `bucket` ranks highest; at least one is allowed. */
static struct wish favourite(unsigned int bucket, const uint32_t *names, size_t n,
			     const bool *allowed)
{
	struct wish w = {.bucket = bucket, .tunnel = MAP_NONE};
	uint64_t score;

	for (size_t i = 0; i < n; i++) {
		if (!allowed[i])
			continue;
		score = keys_mix64((uint64_t)bucket << 32 | names[i]);
		if (w.tunnel != MAP_NONE && score <= w.score)
			continue;
		w.score = score;
		w.tunnel = i;
	}
	return w;
}

static int by_score_down(const void *a, const void *b)
{
	const struct wish *x = a, *y = b;

	return (x->score < y->score) - (x->score > y->score);
}

void map_home(const struct tunnel *tunnels, size_t n, bool lower, uint16_t home[MODEL_BUCKETS])
{
	struct shares shares = {.share = MODEL_BUCKETS / n, .extras = MODEL_BUCKETS % n};
	struct wish waiting[MODEL_BUCKETS];
	size_t n_waiting = MODEL_BUCKETS, n_left;
	uint32_t names[MODEL_LANES_MAX];
	bool room[MODEL_LANES_MAX];

	name_tunnels(tunnels, n, lower, names);
	for (size_t i = 0; i < MODEL_BUCKETS; i++)
		waiting[i].bucket = i;
	for (; n_waiting; n_waiting = n_left) {
		for (size_t i = 0; i < n; i++)
			room[i] = has_room(&shares, i);
		for (size_t i = 0; i < n_waiting; i++)
			waiting[i] = favourite(waiting[i].bucket, names, n, room);
		qsort(waiting, n_waiting, sizeof(waiting[0]), by_score_down);
		n_left = 0;
		for (size_t i = 0; i < n_waiting; i++) {
			if (has_room(&shares, waiting[i].tunnel)) {
				take(&shares, waiting[i].tunnel);
				home[waiting[i].bucket] = waiting[i].tunnel;
			} else {
				waiting[n_left++] = waiting[i];
			}
		}
	}
}

void map_fill(const struct tunnel *tunnels, size_t n, bool lower,
	      const uint16_t home[MODEL_BUCKETS], const bool *usable,
	      const uint16_t current[MODEL_BUCKETS], uint16_t ret_map[MODEL_BUCKETS])
{
	uint32_t names[MODEL_LANES_MAX];
	bool any = false;

	name_tunnels(tunnels, n, lower, names);
	for (size_t i = 0; i < n; i++)
		any = any || usable[i];
	for (unsigned int b = 0; b < MODEL_BUCKETS; b++) {
		if (!any)
			ret_map[b] = current[b] < n ? current[b] : MAP_NONE;
		else if (usable[home[b]])
			ret_map[b] = home[b];
		else
			ret_map[b] = favourite(b, names, n, usable).tunnel;
	}
}
