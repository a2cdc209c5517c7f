/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: tests of pair.c: one vector computed with another implementation, then properties over
 * many sites. Site ids are numbered, so every run sees the same cases.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "keys.h"
#include "pair.h"

#define SITES 200

static void count_up(unsigned int *lanes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		lanes[i] = i;
}

/* Distinct lane numbers below MODEL_LANES_MAX in no order. */
static void draw_lanes(uint64_t *rng, unsigned int *lanes, size_t n)
{
	unsigned int all[MODEL_LANES_MAX], swap;
	size_t j;

	count_up(all, MODEL_LANES_MAX);
	for (size_t i = 0; i < n; i++) {
		j = i + keys_mix64(++*rng) % (MODEL_LANES_MAX - i);
		swap = all[i];
		all[i] = all[j];
		all[j] = swap;
		lanes[i] = all[i];
	}
}

static size_t build(const char *a, size_t n_a, const char *b, size_t n_b, struct pair *ret)
{
	unsigned int la[MODEL_LANES_MAX], lb[MODEL_LANES_MAX];
	size_t n;

	count_up(la, n_a);
	count_up(lb, n_b);
	pair_build(a, la, n_a, b, lb, n_b, ret, &n);
	return n;
}

static void as_published(void **state)
{
	static const struct pair eight[] = {{0, 7}, {1, 3}, {2, 5}, {3, 0},
					    {4, 1}, {5, 4}, {6, 6}, {7, 2}};
	static const struct pair four[] = {{0, 6}, {1, 3}, {2, 5}, {3, 0}};
	struct pair p[MODEL_LANES_MAX];

	assert_int_equal(build("milan", 8, "turin", 8, p), 8);
	assert_memory_equal(p, eight, sizeof(eight));
	assert_int_equal(build("milan", 4, "turin", 8, p), 4);
	assert_memory_equal(p, four, sizeof(four));
	/* From the other end: ordered by milan's lanes all the same. */
	assert_int_equal(build("turin", 8, "milan", 4, p), 4);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(p[i].ours, four[i].theirs);
		assert_int_equal(p[i].theirs, four[i].ours);
	}
}

static bool holds(const unsigned int *lanes, size_t n, unsigned int lane)
{
	for (size_t i = 0; i < n; i++)
		if (lanes[i] == lane)
			return true;
	return false;
}

static void alike_at_both_ends_and_each_lane_once(void **state)
{
	unsigned int a[MODEL_LANES_MAX], b[MODEL_LANES_MAX];
	struct pair here[MODEL_LANES_MAX], there[MODEL_LANES_MAX];
	uint64_t rng = 1;

	for (unsigned int round = 0; round < 2000; round++) {
		size_t n_a = keys_mix64(++rng) % (MODEL_LANES_MAX + 1);
		size_t n_b = keys_mix64(++rng) % (MODEL_LANES_MAX + 1);
		size_t n, m;
		uint64_t seen_a = 0, seen_b = 0;
		char id[16];

		snprintf(id, sizeof(id), "%c%u", round % 2 ? 'a' : 'z', round);
		draw_lanes(&rng, a, n_a);
		draw_lanes(&rng, b, n_b);
		pair_build(id, a, n_a, "milan", b, n_b, here, &n);
		pair_build("milan", b, n_b, id, a, n_a, there, &m);
		assert_int_equal(n, n_a < n_b ? n_a : n_b);
		assert_int_equal(m, n);
		for (size_t i = 0; i < n; i++) {
			unsigned int lower = round % 2 ? here[i].ours : here[i].theirs;

			assert_int_equal(here[i].ours, there[i].theirs);
			assert_int_equal(here[i].theirs, there[i].ours);
			assert_true(holds(a, n_a, here[i].ours));
			assert_true(holds(b, n_b, here[i].theirs));
			seen_a |= UINT64_C(1) << here[i].ours;
			seen_b |= UINT64_C(1) << here[i].theirs;
			if (i)
				assert_true(lower >
					    (round % 2 ? here[i - 1].ours : here[i - 1].theirs));
		}
		assert_int_equal(__builtin_popcountll(seen_a), n);
		assert_int_equal(__builtin_popcountll(seen_b), n);
	}
}

static void order_of_the_lists_is_nothing(void **state)
{
	unsigned int up[16], down[16];
	struct pair p[16], q[16];
	size_t n, m;

	count_up(up, 16);
	for (size_t i = 0; i < 16; i++)
		down[i] = 15 - i;
	pair_build("milan", up, 16, "turin", up, 12, p, &n);
	pair_build("milan", down, 16, "turin", down + 4, 12, q, &m);
	assert_int_equal(n, 12);
	assert_int_equal(m, 12);
	assert_memory_equal(p, q, sizeof(p[0]) * n);
}

/* The share of the pairs of (a, b) lanes that are still there with (c, d), over many sites. */
static double kept(size_t a, size_t b, size_t c, size_t d)
{
	struct pair p[MODEL_LANES_MAX], q[MODEL_LANES_MAX];
	size_t n, m, total = 0, same = 0;
	char id[16];

	for (unsigned int site = 0; site < SITES; site++) {
		snprintf(id, sizeof(id), "site%u", site);
		n = build("hub", a, id, b, p);
		m = build("hub", c, id, d, q);
		for (size_t i = 0; i < n; i++)
			for (size_t j = 0; j < m; j++)
				same += p[i].ours == q[j].ours && p[i].theirs == q[j].theirs;
		total += n < m ? n : m;
	}
	return (double)same / total;
}

static void changed_count_keeps_most_pairs(void **state)
{
	static const size_t counts[] = {2, 4, 8, 16, 32, 63};
	double both, one, fewer, sum = 0, least = 1;
	unsigned int n = 0;

	print_message("pairs kept, of those that could be, over %u sites:\n", SITES);
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		size_t l = counts[i];

		both = kept(l, l, l + 1, l + 1);
		one = kept(l, l, l + 1, l);
		fewer = kept(l, l, l - 1, l);
		print_message("%2zu lanes each: one more at both ends %.0f %%, one more at one "
			      "%.0f %%, one less at one %.0f %%\n",
			      l, 100 * both, 100 * one, 100 * fewer);
		/* With two lanes one pair out of two is all that a third one leaves, often. */
		if (l >= 4) {
			sum += both + one + fewer;
			n += 3;
		}
		least = both < least ? both : least;
		least = one < least ? one : least;
		least = fewer < least ? fewer : least;
	}
	print_message("mean from 4 lanes on %.0f %%, least %.0f %%\n", 100 * sum / n, 100 * least);
	assert_true(sum / n >= 0.7);
	assert_true(least >= 0.45);
}

static void spokes_spread_over_a_hub(void **state)
{
	unsigned int load[16] = {0}, most = 0, least = UINT32_MAX;
	struct pair p[MODEL_LANES_MAX];
	char id[16];

	for (unsigned int site = 0; site < SITES; site++) {
		/* Half of the ids sort below the hub's, half above. */
		snprintf(id, sizeof(id), "%c%u", site % 2 ? 'a' : 'z', site);
		assert_int_equal(build("hub", 16, id, 2, p), 2);
		load[p[0].ours]++;
		load[p[1].ours]++;
	}
	for (size_t i = 0; i < 16; i++) {
		most = load[i] > most ? load[i] : most;
		least = load[i] < least ? load[i] : least;
	}
	/* Mean 25; a binomial share has a standard deviation just below 5. */
	print_message("%u spokes of 2 lanes on 16: %u to %u tunnels a lane, mean 25\n", SITES,
		      least, most);
	assert_true(least >= 10);
	assert_true(most <= 40);
}

static void nothing_pairs_with_nothing(void **state)
{
	struct pair p[1] = {{99, 99}};

	assert_int_equal(build("a", 0, "b", 8, p), 0);
	assert_int_equal(build("a", 8, "b", 0, p), 0);
	assert_int_equal(p[0].ours, 99);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_published),
		cmocka_unit_test(alike_at_both_ends_and_each_lane_once),
		cmocka_unit_test(order_of_the_lists_is_nothing),
		cmocka_unit_test(changed_count_keeps_most_pairs),
		cmocka_unit_test(spokes_spread_over_a_hub),
		cmocka_unit_test(nothing_pairs_with_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
