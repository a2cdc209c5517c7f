/* SPDX-License-Identifier: GPL-2.0-only */
// link: daemon/override_file.o daemon/state.o
/*
 * DOC: the operator's modes: whose word counts, what a target may be, and what is kept of it, in a
 * folder made for each test. The site is made by hand: three peers on four lanes.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "override_file.h"
#include "site.h"

static char dir[64], file[80];
static struct paths paths;

/* milan: lanes 2, 0, 1; paris: lane 3; wgs3: refused; wgs7: no tunnel */
static struct config_peer config_peers[] = {{.id = "milan", .mode = MODE_AUTO},
					    {.id = "paris", .mode = MODE_VANILLA},
					    {.id = "wgs3", .mode = MODE_AUTO},
					    {.id = "wgs7", .mode = MODE_AUTO}};
static struct config config = {.peers = config_peers, .n_peers = 4};
static struct tunnel milan_tunnels[] = {
	{.ours = 2, .index = 0}, {.ours = 0, .index = 1}, {.ours = 1, .index = 2}};
static struct tunnel paris_tunnels[] = {{.ours = 3, .index = 0}};
static struct lane lanes[] = {{.number = 0, .dev = "wgs0"},
			      {.number = 1, .dev = "wgs1"},
			      {.number = 2, .dev = "wgs2"},
			      {.number = 3, .dev = "wgs3"}};
static struct peer peers[] = {
	{.id = "milan", .config = &config_peers[0], .tunnels = milan_tunnels, .n_tunnels = 3},
	{.id = "paris", .config = &config_peers[1], .tunnels = paris_tunnels, .n_tunnels = 1},
	{.id = "wgs7", .config = &config_peers[3]},
};
static struct site site = {
	.config = &config, .lanes = lanes, .n_lanes = 4, .peers = peers, .n_peers = 3};

static int setup(void **state)
{
	strcpy(dir, "/tmp/wgscale-override-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(file, sizeof(file), "%s/modes", dir);
	paths = (struct paths){.state_dir = dir};
	return 0;
}

static int teardown(void **state)
{
	unlink(file);
	return rmdir(dir);
}

static void parse(const char *text, struct overrides *ret)
{
	char *copy = strdup(text);

	override_parse(copy, ret);
	free(copy);
}

static void prints(const struct overrides *o, const char *expected)
{
	struct text t = {0};

	override_print(o, &t);
	assert_string_equal(text_str(&t), expected);
	text_done(&t);
}

/* "MODE by SCOPE" of each tunnel of milan, then of paris. */
static void modes_are(const char *overrides, const char *expected)
{
	struct text t = {0};
	struct overrides o;

	parse(overrides, &o);
	for (size_t i = 0; i < 4; i++) {
		const struct peer *p = &peers[i / 3];
		enum override_scope by;
		enum mode mode = override_mode(&o, p, &p->tunnels[i % 3], &by);

		assert_int_equal(mode, override_mode(&o, p, &p->tunnels[i % 3], NULL));
		text_printf(&t, "%s%s/%s", i ? " " : "", model_mode_name(mode),
			    override_scope_name(by));
	}
	assert_string_equal(text_str(&t), expected);
	text_done(&t);
	override_done(&o);
}

static void test_whose_word(void **state)
{
	modes_are("", "auto/file auto/file auto/file vanilla/file");
	modes_are("peer milan vanilla\n", "vanilla/peer vanilla/peer vanilla/peer vanilla/file");
	modes_are("lane wgs0 inline\npeer milan vanilla\n",
		  "vanilla/peer inline/lane vanilla/peer vanilla/file");
	modes_are("tunnel milan wgs0 vanilla\nlane wgs0 inline\nlane wgs3 inline\n",
		  "auto/file vanilla/tunnel auto/file inline/lane");
	modes_are("tunnel milan wgs2 inline\ntunnel paris wgs2 vanilla\npeer paris inline\n",
		  "inline/tunnel auto/file auto/file inline/peer");
	modes_are("peer rome inline\nlane wgs9 inline\n",
		  "auto/file auto/file auto/file vanilla/file");
}

static void test_text(void **state)
{
	static const char good[] =
		"peer milan inline\nlane wgs3 vanilla\ntunnel milan wgs63 inline\n";
	static const char *const bad[] = {"peer milan",
					  "peer milan fast",
					  "peer milan auto",
					  "peer MILAN inline",
					  "peer milan inline ",
					  "peer  milan inline",
					  "lane 3 inline",
					  "lane wgs64 inline",
					  "lane wgs inline",
					  "lane wgs3 inline now",
					  "tunnel milan",
					  "tunnel wgs3 inline",
					  "file inline",
					  "nonsense",
					  " ",
					  "peer"};
	struct overrides o;

	parse(good, &o);
	assert_int_equal(o.n, 3);
	prints(&o, good);
	override_done(&o);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[256];

		snprintf(text, sizeof(text), "%s\npeer paris inline\n%s\n", bad[i], bad[i]);
		parse(text, &o);
		prints(&o, "peer paris inline\n");
		override_done(&o);
	}
	/* The first of two for the same. */
	parse("lane wgs1 inline\nlane wgs1 vanilla\n\n", &o);
	prints(&o, "lane wgs1 inline\n");
	override_done(&o);
}

static void change(struct overrides *o, const char *target, enum mode mode)
{
	struct text hint = {0};
	struct override x;
	struct overrides fresh;

	assert_int_equal(override_target(&site, target, &x, &hint), 0);
	assert_int_equal(hint.len, 0);
	x.mode = mode;
	assert_int_equal(override_change(o, &x, &fresh), 0);
	override_done(o);
	*o = fresh;
}

static void test_change(void **state)
{
	struct overrides o = {0};

	change(&o, "milan", MODE_INLINE);
	change(&o, "milan/0", MODE_VANILLA);
	change(&o, "wgs2", MODE_INLINE);
	change(&o, "paris/0", MODE_INLINE);
	prints(&o, "peer milan inline\ntunnel milan wgs2 vanilla\nlane wgs2 inline\n"
		   "tunnel paris wgs3 inline\n");
	change(&o, "milan/0", MODE_INLINE);
	change(&o, "milan", MODE_AUTO);
	change(&o, "milan/2", MODE_AUTO); /* there is none */
	prints(&o, "lane wgs2 inline\ntunnel paris wgs3 inline\ntunnel milan wgs2 inline\n");
	change(&o, "wgs2", MODE_AUTO);
	change(&o, "milan/0", MODE_AUTO);
	change(&o, "paris/0", MODE_AUTO);
	assert_int_equal(o.n, 0);
	override_done(&o);
}

static void test_too_many(void **state)
{
	struct override x = {.scope = OVERRIDE_PEER, .mode = MODE_INLINE};
	struct overrides o = {0}, fresh;
	char id[16];

	x.peer = id;
	for (int i = 0; i < OVERRIDE_MAX; i++) {
		snprintf(id, sizeof(id), "p%d", i);
		assert_int_equal(override_change(&o, &x, &fresh), 0);
		override_done(&o);
		o = fresh;
	}
	strcpy(id, "one-more");
	assert_int_equal(override_change(&o, &x, &fresh), -E2BIG);
	assert_int_equal(fresh.n, 0);
	/* Another word for what is there, or none, is still taken. */
	strcpy(id, "p7");
	x.mode = MODE_VANILLA;
	assert_int_equal(override_change(&o, &x, &fresh), 0);
	assert_int_equal(fresh.n, OVERRIDE_MAX);
	override_done(&fresh);
	override_done(&o);
}

static void no_target(const char *target, const char *hint)
{
	struct text t = {0};
	struct override x;

	assert_int_equal(override_target(&site, target, &x, &t), -ENOENT);
	assert_string_equal(text_str(&t), hint);
	text_done(&t);
}

static void test_target(void **state)
{
	static const char all[] = "peers: milan, paris, wgs7; lanes: wgs0 to wgs3";
	static const char longer[] =
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/1";

	no_target("rome", all);
	no_target("rome/0", all);
	no_target("wgs4", all);
	no_target("wgs", all);
	no_target("wgs3/0", all); /* a peer that was refused */
	no_target("", all);
	no_target("/", all);
	no_target(longer, all);
	no_target("milan/3", "the tunnels of milan are milan/0 to milan/2");
	no_target("milan/", "the tunnels of milan are milan/0 to milan/2");
	no_target("milan/-1", "the tunnels of milan are milan/0 to milan/2");
	no_target("wgs7/0", "wgs7 has no tunnels");
}

static void is_target(const char *target, enum override_scope scope, const char *peer,
		      unsigned int lane)
{
	struct text t = {0};
	struct override x;

	assert_int_equal(override_target(&site, target, &x, &t), 0);
	assert_int_equal(t.len, 0);
	assert_int_equal(x.scope, scope);
	assert_string_equal(x.peer, peer);
	assert_int_equal(x.lane, lane);
}

static void test_target_found(void **state)
{
	is_target("milan", OVERRIDE_PEER, "milan", 0);
	is_target("milan/0", OVERRIDE_TUNNEL, "milan", 2);
	is_target("milan/2", OVERRIDE_TUNNEL, "milan", 1);
	is_target("wgs1", OVERRIDE_LANE, "", 1);
	/* There is a peer, and was one, of that name; only where there is no such lane. */
	is_target("wgs3", OVERRIDE_LANE, "", 3);
	is_target("wgs7", OVERRIDE_PEER, "wgs7", 0);
}

static void test_prune(void **state)
{
	struct overrides o, fresh;

	parse("peer milan inline\npeer rome inline\nlane wgs3 inline\nlane wgs4 inline\n"
	      "tunnel milan wgs1 inline\ntunnel milan wgs3 inline\ntunnel rome wgs1 inline\n"
	      "tunnel wgs3 wgs1 inline\ntunnel wgs3 wgs7 inline\npeer wgs3 vanilla\n",
	      &o);
	override_prune(&o, &site, &fresh);
	/* The peer wgs3 is listed and was refused: its tunnels may come back. */
	prints(&fresh, "peer milan inline\nlane wgs3 inline\ntunnel milan wgs1 inline\n"
		       "tunnel wgs3 wgs1 inline\npeer wgs3 vanilla\n");
	override_done(&o);
	override_done(&fresh);
}

static void test_file(void **state)
{
	struct overrides o, again;

	assert_int_equal(override_file_read(&paths, &o), 0);
	assert_int_equal(o.n, 0);
	assert_int_equal(override_file_write(&paths, &o), 0);
	change(&o, "milan/1", MODE_VANILLA);
	assert_int_equal(override_file_write(&paths, &o), 0);
	assert_int_equal(override_file_read(&paths, &again), 0);
	prints(&again, "tunnel milan wgs0 vanilla\n");
	override_done(&again);
	change(&o, "milan/1", MODE_AUTO);
	assert_int_equal(override_file_write(&paths, &o), 0);
	assert_int_equal(access(file, F_OK), -1);
	/* What is no such file is told, and counts for nothing. */
	assert_int_equal(mkdir(file, 0700), 0);
	assert_int_equal(override_file_read(&paths, &again), -EISDIR);
	assert_int_equal(again.n, 0);
	change(&o, "milan", MODE_INLINE);
	assert_true(override_file_write(&paths, &o) < 0);
	assert_int_equal(rmdir(file), 0);
	override_done(&o);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_whose_word), T(test_text),	  T(test_change), T(test_too_many),
		T(test_target),	    T(test_target_found), T(test_prune),  T(test_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
