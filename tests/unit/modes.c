/* SPDX-License-Identifier: GPL-2.0-only */
// link: daemon/modes.o daemon/gateway.o daemon/override_file.o daemon/state.o daemon/carried.o
// link: -ljansson
/*
 * DOC: the daemon's side of modes, without an event loop or a kernel: what SetMode stores, answers
 * and refuses, what the status says of a tunnel, and what is wanted of the kernel. Those it calls
 * are stood in for here; the state folder is made for each test.
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
#include <cmocka.h>

#include "daemon.h"
#include "log.h"
#include "override_file.h"

#define KEY0 "JoF/ybEfS/URRsFD/96THVgICl7FCxBlug0DRuby5B0="
#define KEY1 "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="

static char dir[64], config[96], state_dir[96];
static struct daemon d;
static struct facts facts;

static struct {
	char *answer; /* of the last call: compact JSON, the error's name before it */
	size_t dirty, logged;
	void (*done)(struct daemon *d, void *arg, bool reached);
	void *arg;
} saw;

/* ---- in place of lifecycle.c, reconcile.c, control.c and log.c ---- */

void lifecycle_wait(struct daemon *daemon, const char *state, double timeout_s,
		    void (*done)(struct daemon *d, void *arg, bool reached), void *arg)
{
	assert_null(state);
	saw.done = done;
	saw.arg = arg;
}

void reconcile_dirty(struct reconcile *r, bool now)
{
	assert_true(now);
	saw.dirty++;
}

bool reconcile_settled(const struct reconcile *r)
{
	return true;
}

const struct facts *reconcile_facts(const struct reconcile *r)
{
	return &facts;
}

static void answer(const char *error, json_t *o)
{
	char *json = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);

	free(saw.answer);
	assert_true(asprintf(&saw.answer, "%s%s", error, json) > 0);
	free(json);
	json_decref(o);
}

void control_reply(struct control_call *call, json_t *parameters)
{
	answer("", parameters);
}

void control_error_strings(struct control_call *call, const char *error, ...)
{
	json_t *o = json_object();
	const char *name;
	va_list ap;

	va_start(ap, error);
	while ((name = va_arg(ap, const char *)))
		json_object_set_new(o, name, json_string(va_arg(ap, const char *)));
	va_end(ap);
	answer(strrchr(error, '.') + 1, o);
}

void control_bad_parameter(struct control_call *call, const char *parameter)
{
	answer(parameter, json_object());
}

void log_line(int priority, const char *fmt, ...)
{
	saw.logged++;
}

/* ---- a site: two lanes, and milan with a tunnel on each ---- */

static void put(const char *name, const char *text)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(state_write_file(path, text, strlen(text), 0600), 0);
}

static struct gateway *load(const char *site)
{
	struct diags diags = {0};
	struct text t = {0};
	struct gateway *g;

	text_printf(&t, "site: turin\nlanes: 2\nsecret-file: site.secret\n%s", site);
	put("site.yaml", text_str(&t));
	text_done(&t);
	g = gateway_load(&d.paths, false, true, NULL, &diags);
	diag_done(&diags);
	assert_non_null(g);
	return g;
}

static int setup(void **state)
{
	char peers[96];

	memset(&d, 0, sizeof(d));
	memset(&saw, 0, sizeof(saw));
	facts = (struct facts){.modes = true};
	strcpy(dir, "/tmp/wgscale-modes-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(peers, sizeof(peers), "%s/peers.d", dir);
	snprintf(config, sizeof(config), "%s/site.yaml", dir);
	snprintf(state_dir, sizeof(state_dir), "%s/lib", dir);
	d.paths = (struct paths){.config = config, .state_dir = state_dir, .runtime_dir = dir};
	d.observed = true;
	put("site.secret", KEYS_SECRET_PREFIX "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
	if (mkdir(peers, 0700) || mkdir(state_dir, 0700))
		return -1;
	put("peers.d/milan.yaml", "card: 1\nsite: milan\nlanes: [{port: 5, key: " KEY0
				  "}, {port: 6, key: " KEY1 "}]\nnetworks: [10.2.0.0/16]\n");
	d.g = load("peers: {milan: {}}\n");
	assert_int_equal(d.g->site->peers[0].n_tunnels, 2);
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	gateway_free(d.g);
	override_done(&d.modes);
	free(saw.answer);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

/* ---- a pass ---- */

/* What is wanted becomes what is there, as far as the kernel can; `told`: "IV" for two tunnels. */
static void pass(char told[3])
{
	struct world want;
	size_t n = 0;

	gateway_want(d.g, &d.modes, &facts, false, &want);
	for (size_t i = 0; i < want.n; i++)
		if (want.objs[i].kind == OBJ_MODE) {
			want.objs[i].mode.in_force = want.objs[i].mode.mode;
			told[n++] = want.objs[i].mode.mode == MODE_INLINE ? 'I' : 'V';
			assert_true(n <= 2);
		}
	told[n] = '\0';
	gateway_observed(d.g, &want, false, 1000);
	world_done(&want);
}

/* Asks, has a pass made, and answers. */
static void mode(const char *target, const char *mode, const char *told, const char *answer)
{
	json_t *in = json_pack("{s:s, s:s}", "target", target, "mode", mode);
	size_t dirty = saw.dirty;
	char got[3];

	saw.done = NULL;
	modes_method(&d, NULL, in);
	json_decref(in);
	pass(got);
	assert_string_equal(got, told);
	assert_int_equal(saw.dirty - dirty, saw.done != NULL);
	if (saw.done)
		saw.done(&d, saw.arg, true);
	assert_string_equal(saw.answer, answer);
}

#define ANSWER(target, mode, i, v, why)                                         \
	"{\"inline\":" #i ",\"mode\":\"" mode "\",\"settled\":true,\"target\":" \
	"\"" target "\",\"vanilla\":" #v ",\"why\":" why "}"

static void file_is(const char *expected)
{
	char path[128], *text = NULL;
	size_t len;

	snprintf(path, sizeof(path), "%s/modes", state_dir);
	if (text_read_file(path, 4096, &text, &len))
		text = strdup("");
	assert_string_equal(text, expected);
	free(text);
}

static void test_set_mode(void **state)
{
	char told[3];

	pass(told);
	assert_string_equal(told, "II");
	mode("milan", "vanilla", "VV", ANSWER("milan", "vanilla", 0, 2, "null"));
	file_is("peer milan vanilla\n");
	mode("wgs1", "inline", "VI", ANSWER("wgs1", "inline", 1, 0, "null"));
	mode("milan", "vanilla", "VI",
	     ANSWER("milan", "vanilla", 1, 1,
		    "\"what was said of single lanes or tunnels goes before it\""));
	mode("milan/0", "inline", "II", ANSWER("milan/0", "inline", 1, 0, "null"));
	mode("milan", "auto", "II", ANSWER("milan", "auto", 2, 0, "null"));
	mode("wgs1", "auto", "II", ANSWER("wgs1", "auto", 1, 0, "null"));
	mode("milan/0", "auto", "II", ANSWER("milan/0", "auto", 1, 0, "null"));
	file_is("");
}

static void test_bad_calls(void **state)
{
	json_t *in = json_pack("{s:s}", "mode", "inline");

	modes_method(&d, NULL, in);
	assert_string_equal(saw.answer, "target{}");
	json_decref(in);
	mode("milan", "fast", "II", "mode{}");
	mode("rome", "inline", "II",
	     "NotFound{\"hint\":\"peers: milan; lanes: wgs0 to wgs1\",\"what\":\"rome\"}");
	file_is("");
	assert_int_equal(saw.dirty, 0);
}

/* What cannot be stored does not count either. */
static void test_not_stored(void **state)
{
	char path[128];

	mode("milan/1", "vanilla", "IV", ANSWER("milan/1", "vanilla", 0, 1, "null"));
	snprintf(path, sizeof(path), "%s/elsewhere", dir);
	assert_int_equal(rename(state_dir, path), 0);
	mode("milan", "vanilla", "IV",
	     "Refused{\"hint\":\"No such file or directory\",\"reason\":\"the mode cannot be "
	     "stored, so it would not survive a restart; nothing was changed\"}");
	assert_int_equal(d.modes.n, 1);
	assert_int_equal(rename(path, state_dir), 0);
	file_is("tunnel milan wgs1 vanilla\n");
	/* A restart. */
	override_done(&d.modes);
	modes_open(&d);
	assert_int_equal(saw.logged, 1);
	mode("milan/1", "vanilla", "IV", ANSWER("milan/1", "vanilla", 0, 1, "null"));
}

static void notice_is(const char *expected)
{
	struct text t = {0};

	assert_int_equal(modes_notice(&d, &t), *expected != '\0');
	assert_string_equal(text_str(&t), expected);
	text_done(&t);
}

static void test_cannot(void **state)
{
	notice_is("");
	facts.modes = false;
	notice_is("inline: module not loaded, all tunnels vanilla");
	assert_string_equal(modes_inline(&d), "missing");
	mode("milan", "inline", "",
	     ANSWER("milan", "inline", 0, 2,
		    "\"the inline module is not loaded: nothing can be switched until it is\""));
	notice_is("mode inline is asked for and cannot be had: module not loaded, all tunnels "
		  "vanilla");
	facts.modes = facts.inline_refused = true;
	assert_string_equal(modes_inline(&d), "refused");
	mode("milan", "inline", "VV",
	     ANSWER("milan", "inline", 0, 2, "\"this kernel cannot do it (PREEMPT_RT)\""));
	notice_is("mode inline is asked for and cannot be had: this kernel cannot do it "
		  "(PREEMPT_RT), all tunnels vanilla");
	mode("milan", "vanilla", "VV", ANSWER("milan", "vanilla", 0, 2, "null"));
	notice_is("");
	facts.inline_refused = false;
	mode("milan", "auto", "II", ANSWER("milan", "auto", 2, 0, "null"));
	assert_string_equal(modes_inline(&d), "available");
	facts.modes = false;
	d.down = true;
	notice_is("");
	mode("milan", "inline", "",
	     ANSWER("milan", "inline", 0, 2, "\"all is down: it counts from the next reload on\""));
	d.down = d.observed = false;
	notice_is("");
	assert_null(modes_inline(&d));
}

static void tunnel_is(size_t index, const char *expected)
{
	json_t *o = json_object();
	char *json;

	modes_json(&d, 0, index, o);
	json = json_dumps(o, JSON_COMPACT);
	assert_string_equal(json, expected);
	free(json);
	json_decref(o);
}

static void test_status(void **state)
{
	const struct peer *p = &d.g->site->peers[0];
	struct world have = {0};
	struct obj *o;

	mode("milan/1", "vanilla", "IV", ANSWER("milan/1", "vanilla", 0, 1, "null"));
	tunnel_is(0, "{\"mode_wish\":\"auto\",\"mode_by\":\"file\",\"mode_set\":\"inline\","
		     "\"mode\":\"inline\",\"switches\":0}");
	o = world_add(&have, OBJ_MODE);
	o->dev = "wgs1";
	o->mode = (struct obj_mode){.peer = p->tunnels[1].key,
				    .mode = MODE_VANILLA,
				    .in_force = MODE_INLINE,
				    .switches = 3};
	gateway_observed(d.g, &have, false, 1000);
	tunnel_is(1, "{\"mode_wish\":\"vanilla\",\"mode_by\":\"tunnel\",\"mode_set\":\"vanilla\","
		     "\"mode\":\"inline\",\"switches\":3}");
	/* Of the other the kernel said nothing: our module is not there. */
	tunnel_is(0, "{\"mode_wish\":\"auto\",\"mode_by\":\"file\",\"mode_set\":\"vanilla\","
		     "\"mode\":\"vanilla\",\"switches\":0}");
	world_done(&have);
}

/* Another configuration: what it has none of is forgotten once it is accepted. */
static void test_accepted(void **state)
{
	mode("milan/1", "vanilla", "IV", ANSWER("milan/1", "vanilla", 0, 1, "null"));
	mode("wgs0", "vanilla", "VV", ANSWER("wgs0", "vanilla", 0, 1, "null"));
	modes_accepted(&d);
	file_is("tunnel milan wgs1 vanilla\nlane wgs0 vanilla\n");
	gateway_free(d.g);
	d.g = load("peers: {}\n");
	file_is("tunnel milan wgs1 vanilla\nlane wgs0 vanilla\n");
	modes_accepted(&d);
	file_is("lane wgs0 vanilla\n");
	assert_int_equal(d.modes.n, 1);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_set_mode), T(test_bad_calls), T(test_not_stored),
		T(test_cannot),	  T(test_status),    T(test_accepted),
	};

	return keys_init() || cmocka_run_group_tests(tests, NULL, NULL);
}
