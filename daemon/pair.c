/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: pair
 *
 * Owns the rule by which lanes of two sites become tunnels. It knows lane numbers and site ids,
 * never keys, ports or health. Invariant: with the arguments of the two sites exchanged, the
 * result is the same but for `ours` and `theirs`. Next: map.c, which spreads buckets over the
 * tunnels, and site.c, which puts both into the compiled site.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "keys.h"
#include "pair.h"

/* One side's lanes, and which of them are still free. */
struct side {
	const char *id;
	const unsigned int *lanes;
	size_t n;
	uint64_t free; /* bit i: lanes[i] */
};

_Static_assert(MODEL_LANES_MAX <= 64, "one bit per lane");

static struct side side_of(const char *id, const unsigned int *lanes, size_t n)
{
	return (struct side){.id = id, .lanes = lanes, .n = n, .free = UINT64_MAX};
}

static uint64_t hash_ids(const char *a, const char *b)
{
	char text[2 * (MODEL_ID_MAX + 1)];

	/* No id holds a slash. */
	snprintf(text, sizeof(text), "%s/%s", a, b);
	return keys_hash64("wgspair", text, strlen(text));
}

/* Takes the best pair of lanes that are free on both sides; there is one. */
static struct pair take_best(struct side *a, struct side *b, uint64_t ids)
{
	uint64_t best = 0, score;
	size_t best_i = 0, best_j = 0;
	bool found = false;

	for (size_t i = 0; i < a->n; i++) {
		if (!(a->free >> i & 1))
			continue;
		for (size_t j = 0; j < b->n; j++) {
			if (!(b->free >> j & 1))
				continue;
			score = keys_mix64(ids ^ ((uint64_t)a->lanes[i] << 32 | b->lanes[j]));
			if (found && score <= best)
				continue;
			found = true;
			best = score;
			best_i = i;
			best_j = j;
		}
	}
	a->free &= ~(UINT64_C(1) << best_i);
	b->free &= ~(UINT64_C(1) << best_j);
	return (struct pair){.ours = a->lanes[best_i], .theirs = b->lanes[best_j]};
}

void pair_build(const char *our_id, const unsigned int *ours, size_t n_ours, const char *their_id,
		const unsigned int *theirs, size_t n_theirs, struct pair *ret_pairs, size_t *ret_n)
{
	bool lower = strcmp(our_id, their_id) < 0;
	struct side us = side_of(our_id, ours, n_ours), them = side_of(their_id, theirs, n_theirs);
	struct side a = lower ? us : them, b = lower ? them : us;
	uint64_t ids = hash_ids(a.id, b.id);
	size_t n = n_ours < n_theirs ? n_ours : n_theirs, at;
	struct pair p;

	/* In here `ours` means A's until the order is settled. */
	for (size_t k = 0; k < n; k++) {
		p = take_best(&a, &b, ids);
		for (at = k; at > 0 && ret_pairs[at - 1].ours > p.ours; at--)
			ret_pairs[at] = ret_pairs[at - 1];
		ret_pairs[at] = p;
	}
	for (size_t k = 0; k < n && !lower; k++)
		ret_pairs[k] =
			(struct pair){.ours = ret_pairs[k].theirs, .theirs = ret_pairs[k].ours};
	*ret_n = n;
}
