/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: tests of map.c: vectors computed with another implementation, then properties over sets of
 * tunnels as pair.c makes them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "keys.h"
#include "map.h"
#include "pair.h"

/* Tunnels of site "hub" with site "spokeN"; mirrored: as the spoke sees them. */
struct set {
	struct tunnel tunnels[MODEL_LANES_MAX];
	size_t n;
	bool lower;
};

static void make_set(const char *our_id, size_t ours, const char *their_id, size_t theirs,
		     struct set *ret)
{
	struct pair pairs[MODEL_LANES_MAX];
	unsigned int lanes[MODEL_LANES_MAX];

	for (size_t i = 0; i < MODEL_LANES_MAX; i++)
		lanes[i] = i;
	memset(ret, 0, sizeof(*ret));
	pair_build(our_id, lanes, ours, their_id, lanes, theirs, pairs, &ret->n);
	ret->lower = strcmp(our_id, their_id) < 0;
	for (size_t i = 0; i < ret->n; i++) {
		ret->tunnels[i].ours = pairs[i].ours;
		ret->tunnels[i].theirs = pairs[i].theirs;
		ret->tunnels[i].index = i;
	}
}

static void home_of(const struct set *s, uint16_t home[MODEL_BUCKETS])
{
	for (size_t i = 0; i < MODEL_BUCKETS; i++)
		home[i] = 12345;
	map_home(s->tunnels, s->n, s->lower, home);
}

static void fill(const struct set *s, const uint16_t *home, const bool *usable,
		 const uint16_t *current, uint16_t *ret)
{
	map_fill(s->tunnels, s->n, s->lower, home, usable, current, ret);
}

static uint64_t digest(const uint16_t map[MODEL_BUCKETS])
{
	uint8_t bytes[MODEL_BUCKETS];

	for (size_t i = 0; i < MODEL_BUCKETS; i++)
		bytes[i] = map[i];
	return keys_hash64("wgstest", bytes, sizeof(bytes));
}

static void home_as_published(void **state)
{
	static const uint16_t first[] = {5, 3, 0, 4, 0, 7, 2, 1, 5, 3, 3, 6, 1, 5, 0, 1};
	uint16_t home[MODEL_BUCKETS];
	struct set s;

	make_set("milan", 8, "turin", 8, &s);
	home_of(&s, home);
	assert_memory_equal(home, first, sizeof(first));
	assert_int_equal(digest(home), 0xe780c3973d052d9c);
	make_set("milan", 3, "turin", 8, &s);
	home_of(&s, home);
	assert_int_equal(digest(home), 0xc68f13fb063e1a22);
}

static void home_is_balanced_exactly(void **state)
{
	uint16_t home[MODEL_BUCKETS];
	struct set s;

	for (size_t n = 1; n <= MODEL_LANES_MAX; n++) {
		size_t count[MODEL_LANES_MAX] = {0}, above = 0;

		make_set("hub", n, "spoke", MODEL_LANES_MAX, &s);
		assert_int_equal(s.n, n);
		home_of(&s, home);
		for (size_t i = 0; i < MODEL_BUCKETS; i++) {
			assert_true(home[i] < n);
			count[home[i]]++;
		}
		for (size_t i = 0; i < n; i++) {
			assert_in_range(count[i], MODEL_BUCKETS / n, MODEL_BUCKETS / n + 1);
			above += count[i] > MODEL_BUCKETS / n;
		}
		assert_int_equal(above, MODEL_BUCKETS % n);
	}
}

/* Uneven lane numbers at the two ends, so that a forgotten mirror shows. */
static void both_ends_agree(void **state)
{
	uint16_t here[MODEL_BUCKETS], there[MODEL_BUCKETS], none[MODEL_BUCKETS];
	bool usable[MODEL_LANES_MAX];
	struct set a, b;
	uint64_t rng = 1;

	memset(none, 0xff, sizeof(none));
	for (size_t n = 1; n <= 40; n++) {
		make_set("hub", n, "spoke", 48, &a);
		make_set("spoke", 48, "hub", n, &b);
		assert_true(a.lower && !b.lower);
		home_of(&a, here);
		home_of(&b, there);
		assert_memory_equal(here, there, sizeof(here));
		for (size_t i = 0; i < n; i++)
			usable[i] = keys_mix64(++rng) % 3;
		fill(&a, here, usable, none, here);
		fill(&b, there, usable, none, there);
		assert_memory_equal(here, there, sizeof(here));
	}
}

static void place_in_the_array_is_nothing(void **state)
{
	uint16_t up[MODEL_BUCKETS], down[MODEL_BUCKETS];
	struct set s, r;

	make_set("hub", 7, "spoke", 16, &s);
	r = s;
	for (size_t i = 0; i < s.n; i++)
		r.tunnels[i] = s.tunnels[s.n - 1 - i];
	home_of(&s, up);
	home_of(&r, down);
	for (size_t i = 0; i < MODEL_BUCKETS; i++)
		assert_int_equal(down[i], s.n - 1 - up[i]);
}

struct moved {
	unsigned int all, among; /* buckets; `among` tunnels that both sets have */
};

static bool has_pair(const struct set *s, const struct tunnel *t)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->tunnels[i].ours == t->ours && s->tunnels[i].theirs == t->theirs)
			return true;
	return false;
}

static struct moved compare(const struct set *a, const struct set *b)
{
	uint16_t x[MODEL_BUCKETS], y[MODEL_BUCKETS];
	struct moved m = {0, 0};

	home_of(a, x);
	home_of(b, y);
	for (size_t i = 0; i < MODEL_BUCKETS; i++) {
		const struct tunnel *s = &a->tunnels[x[i]], *t = &b->tunnels[y[i]];

		if (s->ours == t->ours && s->theirs == t->theirs)
			continue;
		m.all++;
		m.among += has_pair(b, s) && has_pair(a, t);
	}
	return m;
}

/* One tunnel taken out of a set; the inverse of adding it. */
static void changed_count_moves_few_others(void **state)
{
	static const size_t counts[] = {2, 3, 4, 8, 9, 16, 32, 64};

	for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		size_t n = counts[c];
		double all = 0, among = 0;
		struct set full, less;

		make_set("hub", n, "spoke", n, &full);
		for (size_t gone = 0; gone < n; gone++) {
			struct moved m;

			less = full;
			memmove(less.tunnels + gone, less.tunnels + gone + 1,
				(n - gone - 1) * sizeof(less.tunnels[0]));
			less.n--;
			m = compare(&full, &less);
			all += 100.0 * m.all / MODEL_BUCKETS / n;
			among += 100.0 * m.among / MODEL_BUCKETS / n;
		}
		print_message("%2zu -> %2zu tunnels: %.1f %% of buckets move, of which %.1f among "
			      "tunnels that stay; at least %.1f must\n",
			      n, n - 1, all, among, 100.0 / n);
		assert_true(among <= 4.0);
		assert_true(all >= 100.0 / n - 0.1);
	}
}

/* A lane more at both ends: pairs change too, so tunnels go as well as come. */
static void changed_lanes(void **state)
{
	static const size_t counts[] = {4, 8, 16, 32};
	char id[16];

	for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		size_t n = counts[c];
		double all = 0, among = 0;
		struct set a, b;

		for (unsigned int site = 0; site < 50; site++) {
			struct moved m;

			snprintf(id, sizeof(id), "spoke%u", site);
			make_set("hub", n, id, n, &a);
			make_set("hub", n + 1, id, n + 1, &b);
			m = compare(&a, &b);
			all += 2.0 * m.all / MODEL_BUCKETS;
			among += 2.0 * m.among / MODEL_BUCKETS;
		}
		print_message("%2zu -> %2zu lanes at both ends: %.1f %% of buckets move, of which "
			      "%.1f among tunnels that stay\n",
			      n, n + 1, all, among);
		assert_true(among <= 6.0);
	}
}

static void all_usable_is_home(void **state)
{
	uint16_t home[MODEL_BUCKETS], current[MODEL_BUCKETS], map[MODEL_BUCKETS];
	bool usable[MODEL_LANES_MAX];
	struct set s;

	make_set("hub", 8, "spoke", 8, &s);
	home_of(&s, home);
	memset(usable, true, sizeof(usable));
	memset(current, 0xff, sizeof(current));
	fill(&s, home, usable, current, map);
	assert_memory_equal(map, home, sizeof(home));

	/* Away and back. */
	usable[3] = false;
	fill(&s, home, usable, map, map);
	assert_memory_not_equal(map, home, sizeof(home));
	usable[3] = true;
	fill(&s, home, usable, map, map);
	assert_memory_equal(map, home, sizeof(home));
}

static void dead_tunnels_spread_evenly(void **state)
{
	double worst[8] = {0}, mean[8] = {0};
	unsigned int sets[8] = {0};
	uint16_t home[MODEL_BUCKETS], current[MODEL_BUCKETS], map[MODEL_BUCKETS];
	struct set s;

	make_set("hub", 8, "spoke", 8, &s);
	home_of(&s, home);
	memset(current, 0xff, sizeof(current));
	for (unsigned int dead = 1; dead < 255; dead++) {
		unsigned int k = __builtin_popcount(dead), count[8] = {0}, most = 0;
		bool usable[8];
		double ratio;

		for (unsigned int i = 0; i < 8; i++)
			usable[i] = !(dead >> i & 1);
		fill(&s, home, usable, current, map);
		for (size_t i = 0; i < MODEL_BUCKETS; i++) {
			assert_true(map[i] < 8 && usable[map[i]]);
			if (usable[home[i]])
				assert_int_equal(map[i], home[i]);
			count[map[i]]++;
		}
		for (unsigned int i = 0; i < 8; i++)
			most = count[i] > most ? count[i] : most;
		ratio = (double)most * (8 - k) / MODEL_BUCKETS;
		worst[k] = ratio > worst[k] ? ratio : worst[k];
		mean[k] += ratio;
		sets[k]++;
	}
	for (unsigned int k = 1; k < 8; k++) {
		print_message("%u of 8 tunnels dead: max/mean %.3f on average, %.3f at worst\n", k,
			      mean[k] / sets[k], worst[k]);
		assert_true(worst[k] <= 1.25);
	}
}

static void another_death_moves_only_its_buckets(void **state)
{
	uint16_t home[MODEL_BUCKETS], none[MODEL_BUCKETS], map[MODEL_BUCKETS], next[MODEL_BUCKETS];
	bool usable[MODEL_LANES_MAX];
	struct set s;

	make_set("hub", 12, "spoke", 12, &s);
	home_of(&s, home);
	memset(usable, true, sizeof(usable));
	memset(none, 0xff, sizeof(none));
	memcpy(map, home, sizeof(map));
	for (size_t dead = 0; dead < 11; dead++) {
		usable[dead] = false;
		fill(&s, home, usable, none, next);
		for (size_t i = 0; i < MODEL_BUCKETS; i++) {
			if (map[i] != dead)
				assert_int_equal(next[i], map[i]);
			assert_true(next[i] > dead);
		}
		memcpy(map, next, sizeof(map));
	}
}

static void none_usable_changes_nothing(void **state)
{
	uint16_t home[MODEL_BUCKETS], current[MODEL_BUCKETS], map[MODEL_BUCKETS];
	bool usable[MODEL_LANES_MAX] = {false};
	struct set s;

	make_set("hub", 8, "spoke", 8, &s);
	home_of(&s, home);
	for (size_t i = 0; i < MODEL_BUCKETS; i++)
		current[i] = i % 9 == 8 ? MAP_NONE : i % 9;
	fill(&s, home, usable, current, map);
	assert_memory_equal(map, current, sizeof(map));
	fill(&s, home, usable, map, map);
	assert_memory_equal(map, current, sizeof(map));

	/* A tunnel that a reload took away is no tunnel. */
	current[5] = 8;
	fill(&s, home, usable, current, map);
	assert_int_equal(map[5], MAP_NONE);

	/* One is enough to fill every gap. */
	usable[6] = true;
	fill(&s, home, usable, current, map);
	for (size_t i = 0; i < MODEL_BUCKETS; i++)
		assert_int_equal(map[i], 6);
}

static double cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

/* The bounds are loose, for slow machines and instrumented builds. */
static void cheap_enough(void **state)
{
	uint16_t home[MODEL_BUCKETS], map[MODEL_BUCKETS];
	bool usable[MODEL_LANES_MAX] = {false};
	double home_ms, fill_ms, start;
	struct set s;

	make_set("hub", 64, "spoke", 64, &s);
	start = cpu_ms();
	for (int i = 0; i < 20; i++)
		home_of(&s, home);
	home_ms = (cpu_ms() - start) / 20;
	/* The dearest case: half are looked at in vain, and half of the buckets must move. */
	for (size_t i = 0; i < 64; i += 2)
		usable[i] = true;
	start = cpu_ms();
	for (int i = 0; i < 100; i++)
		fill(&s, home, usable, home, map);
	fill_ms = (cpu_ms() - start) / 100;
	print_message("64 tunnels: map_home %.3f ms, map_fill %.3f ms\n", home_ms, fill_ms);
	assert_true(home_ms < 20);
	assert_true(fill_ms < 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(home_as_published),
		cmocka_unit_test(home_is_balanced_exactly),
		cmocka_unit_test(both_ends_agree),
		cmocka_unit_test(place_in_the_array_is_nothing),
		cmocka_unit_test(changed_count_moves_few_others),
		cmocka_unit_test(changed_lanes),
		cmocka_unit_test(all_usable_is_home),
		cmocka_unit_test(dead_tunnels_spread_evenly),
		cmocka_unit_test(another_death_moves_only_its_buckets),
		cmocka_unit_test(none_usable_changes_nothing),
		cmocka_unit_test(cheap_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
