/* SPDX-License-Identifier: GPL-2.0-only */
// link: daemon/state.o
/*
 * DOC: loading and keeping files, in a folder made for each test.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "state.h"
#include "text.h"

#define KEY    "JoF/ybEfS/URRsFD/96THVgICl7FCxBlug0DRuby5B0="
#define PSK    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define SECRET KEYS_SECRET_PREFIX "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
#define SITE                                         \
	"site: turin\nlanes: auto\npeers:\n"         \
	"  paris: {preshared-key-file: paris.psk}\n" \
	"  milan: {traffic: off}\n"
#define CARD(SITE_ID) "card: 1\nsite: " SITE_ID "\nlanes: [{port: 5, key: " KEY "}]\n"

struct fixture {
	char dir[64], config[128], state[128];
	struct paths paths;
	struct diags diags;
	struct loaded *l;
};

static struct fixture f;

static const char *path(const char *name)
{
	static char buf[4][256];
	static unsigned int next;
	char *p = buf[next++ % 4];

	snprintf(p, sizeof(buf[0]), "%s/%s", f.dir, name);
	return p;
}

static void put(const char *name, const char *text, unsigned int mode)
{
	assert_int_equal(state_write_file(path(name), text, strlen(text), mode), 0);
}

static bool exists(const char *name)
{
	return !access(path(name), F_OK);
}

static int setup(void **state)
{
	memset(&f, 0, sizeof(f));
	strcpy(f.dir, "/tmp/wgscale-state-XXXXXX");
	if (!mkdtemp(f.dir) || mkdir(path("etc"), 0755) || mkdir(path("etc/peers.d"), 0755))
		return -1;
	snprintf(f.config, sizeof(f.config), "%s/etc/site.yaml", f.dir);
	snprintf(f.state, sizeof(f.state), "%s/lib", f.dir);
	f.paths = (struct paths){.config = f.config, .state_dir = f.state, .runtime_dir = f.dir};
	unsetenv("CREDENTIALS_DIRECTORY");
	put("etc/site.yaml", SITE, 0644);
	put("etc/site.secret", SECRET, 0600);
	put("etc/paris.psk", PSK "\n", 0600);
	put("etc/peers.d/paris.yaml", CARD("paris"), 0644);
	put("etc/peers.d/milan.yaml", CARD("milan"), 0644);
	return 0;
}

static int remove_entry(const char *p, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(p);
}

static int teardown(void **state)
{
	state_free(f.l);
	diag_done(&f.diags);
	return nftw(f.dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static int load(bool accepted)
{
	state_free(f.l);
	f.l = NULL;
	diag_done(&f.diags);
	return state_load(&f.paths, accepted, &f.diags, &f.l);
}

/* The only diagnosis, about `file`, contains `what`. */
static void assert_said(const char *file, const char *what)
{
	assert_int_equal(f.diags.n, 1);
	if (!strstr(f.diags.items[0].text, what))
		fail_msg("'%s' lacks '%s'", f.diags.items[0].text, what);
	assert_string_equal(f.diags.items[0].file, path(file));
}

/* ---- loading ---- */

static void test_load(void **state)
{
	struct site_input in;

	put("etc/peers.d/.hidden.yaml", "x", 0644);
	put("etc/peers.d/notes.txt", "x", 0644);
	put("etc/peers.d/milan.yaml~", "x", 0644);
	assert_int_equal(load(false), 0);
	assert_int_equal(f.diags.n, 0);
	assert_string_equal(f.l->config->site, "turin");
	assert_string_equal(f.l->config_text, SITE);
	assert_int_equal(f.l->config_len, strlen(SITE));
	assert_true(f.l->has_secret);
	assert_int_equal(f.l->secret.k.b[31], 31);
	assert_int_equal(f.l->n_cards, 2);
	assert_string_equal(f.l->cards[0]->site, "milan");
	assert_string_equal(f.l->cards[1]->site, "paris");
	assert_int_equal(f.l->n_card_texts, 2);
	assert_string_equal(f.l->card_texts[1].name, "paris.yaml");
	assert_string_equal(f.l->card_texts[1].text, CARD("paris"));
	assert_int_equal(f.l->n_psks, 1);
	assert_string_equal(f.l->psks[0].peer, "paris");
	assert_string_equal(f.l->psks[0].text, PSK "\n");
	assert_null(f.l->psks[0].why);
	assert_int_equal(f.l->n_traffic, 0);
	assert_int_equal(f.l->auto_lanes, state_propose_lanes());
	state_input(f.l, &in);
	assert_ptr_equal(in.config, f.l->config);
	assert_ptr_equal(in.secret, &f.l->secret);
	assert_int_equal(in.n_cards, 2);
	assert_int_equal(in.auto_lanes, f.l->auto_lanes);
	assert_null(in.facts);
}

/* What the folder happens to list first must not matter. */
static void test_load_sorted(void **state)
{
	char name[64], text[128], last[64] = "";
	size_t i;

	for (i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "etc/peers.d/s%zu.yaml", i * 7 % 20);
		snprintf(text, sizeof(text), CARD("s%zu"), i);
		put(name, text, 0644);
	}
	assert_int_equal(load(false), 0);
	assert_int_equal(f.l->n_card_texts, 22);
	for (i = 0; i < f.l->n_card_texts; i++) {
		assert_true(strcmp(last, f.l->card_texts[i].name) < 0);
		snprintf(last, sizeof(last), "%s", f.l->card_texts[i].name);
	}
}

static void test_load_nothing(void **state)
{
	assert_int_equal(unlink(path("etc/site.yaml")), 0);
	assert_int_equal(load(false), -EINVAL);
	assert_null(f.l);
	assert_said("etc/site.yaml", "No such file");
}

/* All that is wrong is said in one go. */
static void test_load_bad_site_and_card(void **state)
{
	put("etc/site.yaml", "site: turin\nlanes: 0\n", 0644);
	put("etc/peers.d/paris.yaml", "card: 1\n", 0644);
	assert_int_equal(load(false), -EINVAL);
	assert_null(f.l);
	assert_int_equal(f.diags.n, 3);
}

static void test_load_bad_card(void **state)
{
	put("etc/peers.d/paris.yaml", "site: paris\n", 0644);
	assert_int_equal(load(false), 0);
	assert_said("etc/peers.d/paris.yaml", "'card' is missing");
	assert_string_equal(f.diags.items[0].peer, "paris");
	assert_int_equal(f.l->n_cards, 1);
	assert_int_equal(f.l->n_card_texts, 1);
}

static void test_load_without_cards(void **state)
{
	assert_int_equal(unlink(path("etc/peers.d/paris.yaml")), 0);
	assert_int_equal(unlink(path("etc/peers.d/milan.yaml")), 0);
	assert_int_equal(rmdir(path("etc/peers.d")), 0);
	assert_int_equal(load(false), 0);
	assert_int_equal(f.l->n_cards, 0);
}

/* A pipe must not hang us, nor a folder pass for a file. */
static void test_load_odd_files(void **state)
{
	assert_int_equal(unlink(path("etc/peers.d/paris.yaml")), 0);
	assert_int_equal(mkdir(path("etc/peers.d/paris.yaml"), 0755), 0);
	assert_int_equal(load(false), 0);
	assert_said("etc/peers.d/paris.yaml", "Is a directory");
	assert_string_equal(f.diags.items[0].peer, "paris");
	assert_int_equal(rmdir(path("etc/peers.d/paris.yaml")), 0);

	assert_int_equal(unlink(path("etc/site.secret")), 0);
	assert_int_equal(mkfifo(path("etc/site.secret"), 0600), 0);
	assert_int_equal(load(false), -EINVAL);
	assert_said("etc/site.yaml", "not a regular file");

	assert_int_equal(unlink(path("etc/site.yaml")), 0);
	assert_int_equal(mkfifo(path("etc/site.yaml"), 0600), 0);
	assert_int_equal(load(false), -EINVAL);
	assert_said("etc/site.yaml", "not a regular file");
}

static void test_load_too_large(void **state)
{
	assert_int_equal(truncate(path("etc/site.yaml"), CONFIG_FILE_MAX + 1), 0);
	assert_int_equal(load(false), -EINVAL);
	assert_said("etc/site.yaml", "larger than 4194304 bytes");
	assert_int_equal(truncate(path("etc/site.yaml"), 100), 0);
	assert_int_equal(load(false), -EINVAL);
	assert_said("etc/site.yaml", "NUL byte");
}

static void test_too_many_cards(void **state)
{
	char name[64];
	int i;

	for (i = 0; i < MODEL_PEERS_MAX * 2 - 1; i++) {
		snprintf(name, sizeof(name), "etc/peers.d/p%d.yaml", i);
		assert_int_equal(close(open(path(name), O_CREAT | O_WRONLY | O_EXCL, 0644)), 0);
	}
	assert_int_equal(load(false), -EINVAL);
	assert_said("etc/peers.d", "513 cards");
}

/* ---- secrets ---- */

static void test_secret_others_may_read(void **state)
{
	static const unsigned int modes[] = {0640, 0604, 0620, 0602, 0610};
	char want[256];
	size_t i;

	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		assert_int_equal(chmod(path("etc/site.secret"), modes[i]), 0);
		assert_int_equal(load(false), -EINVAL);
		snprintf(want, sizeof(want), "(mode %04o); run: chmod 600 '%s'", modes[i],
			 path("etc/site.secret"));
		assert_said("etc/site.yaml", want);
	}
	assert_int_equal(chmod(path("etc/site.secret"), 0400), 0);
	assert_int_equal(load(false), 0);
}

static void test_secret_of_somebody(void **state)
{
	if (geteuid())
		skip();
	assert_int_equal(chown(path("etc/site.secret"), 12345, 0), 0);
	assert_int_equal(load(false), -EINVAL);
	assert_said("etc/site.yaml", "belongs to user 12345; run: chown root:root");
}

static void test_secret_missing_or_wrong(void **state)
{
	put("etc/site.secret", PSK "\n", 0600);
	assert_int_equal(load(false), -EINVAL);
	assert_said("etc/site.yaml", "WireGuard private key");
	assert_null(strstr(f.diags.items[0].text, PSK));
	assert_int_equal(unlink(path("etc/site.secret")), 0);
	assert_int_equal(load(false), -EINVAL);
	assert_said("etc/site.yaml", "wgscalectl keygen /tmp/");
}

static void test_psk_others_may_read(void **state)
{
	assert_int_equal(chmod(path("etc/paris.psk"), 0644), 0);
	assert_int_equal(load(false), 0);
	assert_null(f.l->psks[0].text);
	assert_non_null(strstr(f.l->psks[0].why, "chmod 600"));
	assert_int_equal(unlink(path("etc/paris.psk")), 0);
	assert_int_equal(load(false), 0);
	assert_null(f.l->psks[0].text);
	assert_string_equal(f.l->psks[0].why, "No such file or directory");
}

/* Its mode is the service manager's business; a file that is named goes before it. */
static void test_credential(void **state)
{
	assert_int_equal(mkdir(path("cred"), 0755), 0);
	put("cred/site.secret", SECRET, 0440);
	assert_int_equal(unlink(path("etc/site.secret")), 0);
	assert_int_equal(load(false), -EINVAL);
	setenv("CREDENTIALS_DIRECTORY", path("cred"), 1);
	assert_int_equal(load(false), 0);
	assert_true(f.l->has_secret);
	put("etc/site.yaml", SITE "secret-file: other\n", 0644);
	assert_int_equal(load(false), -EINVAL);
	assert_said("etc/site.yaml", "etc/other");
}

/* ---- the accepted configuration ---- */

static void test_accept(void **state)
{
	assert_int_equal(load(true), -ENOENT);
	assert_int_equal(f.diags.n, 0);
	assert_int_equal(load(false), 0);
	assert_int_equal(state_accept(&f.paths, f.l), 0);
	/* What happens to the originals does not matter now, but for the secrets. */
	put("etc/site.yaml", "broken", 0644);
	put("etc/peers.d/milan.yaml", "broken", 0644);
	assert_int_equal(load(false), -EINVAL);
	assert_int_equal(load(true), 0);
	assert_int_equal(f.diags.n, 0);
	assert_string_equal(f.l->config_text, SITE);
	assert_int_equal(f.l->n_cards, 2);
	assert_true(f.l->has_secret);
	assert_string_equal(f.l->config->secret_file, path("etc/site.secret"));
	assert_string_equal(f.l->psks[0].text, PSK "\n");
	assert_int_equal(unlink(path("etc/site.secret")), 0);
	assert_int_equal(load(true), -EINVAL);
}

static void test_accept_again(void **state)
{
	assert_int_equal(load(false), 0);
	assert_int_equal(state_accept(&f.paths, f.l), 0);
	/* A card that has gone does not come back. */
	assert_int_equal(unlink(path("etc/peers.d/milan.yaml")), 0);
	put("etc/site.yaml", SITE "mtu: 1400\n", 0644);
	assert_int_equal(load(false), 0);
	assert_int_equal(state_accept(&f.paths, f.l), 0);
	assert_int_equal(load(true), 0);
	assert_int_equal(f.l->n_cards, 1);
	assert_int_equal(f.l->config->mtu, 1400);
	assert_false(exists("lib/accepted.new"));
	assert_false(exists("lib/accepted.old"));
	/* An accepted one that is accepted again is the same. */
	assert_int_equal(state_accept(&f.paths, f.l), 0);
	assert_int_equal(load(true), 0);
	assert_string_equal(f.l->config->secret_file, path("etc/site.secret"));
}

/* A disk that fills up at any point leaves the old one whole. */
static void test_accept_disk_full(void **state)
{
	struct rlimit old, small;

	assert_int_equal(load(false), 0);
	assert_int_equal(state_accept(&f.paths, f.l), 0);
	put("etc/site.yaml", SITE "mtu: 1400\n", 0644);
	assert_int_equal(load(false), 0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	for (rlim_t room = 0; room < strlen(SITE) + 10; room += 20) {
		small = (struct rlimit){room, old.rlim_max};
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
		assert_int_equal(state_accept(&f.paths, f.l), -EFBIG);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	}
	signal(SIGXFSZ, SIG_DFL);
	assert_false(exists("lib/accepted.new"));
	assert_int_equal(load(true), 0);
	assert_string_equal(f.l->config_text, SITE);
	assert_int_equal(f.l->n_cards, 2);
}

/* What a crash may leave behind. */
static void test_accept_after_crash(void **state)
{
	assert_int_equal(load(false), 0);
	assert_int_equal(state_accept(&f.paths, f.l), 0);
	/* Half written. */
	assert_int_equal(mkdir(path("lib/accepted.new"), 0700), 0);
	put("lib/accepted.new/site.yaml", "half", 0600);
	assert_int_equal(load(true), 0);
	assert_int_equal(state_accept(&f.paths, f.l), 0);
	assert_false(exists("lib/accepted.new"));
	/* Between two renames, on a file system that cannot exchange. */
	assert_int_equal(rename(path("lib/accepted"), path("lib/accepted.old")), 0);
	assert_int_equal(load(true), 0);
	assert_string_equal(f.l->config->secret_file, path("etc/site.secret"));
	assert_int_equal(state_accept(&f.paths, f.l), 0);
	assert_true(exists("lib/accepted"));
	assert_false(exists("lib/accepted.old"));
}

/* ---- small files ---- */

static void test_write_file(void **state)
{
	char *text;
	struct stat st;
	size_t len;

	umask(077);
	put("x", "old", 0644);
	umask(022);
	assert_int_equal(stat(path("x"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	put("x", "new text", 0600);
	assert_int_equal(stat(path("x"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(text_read_file(path("x"), 100, &text, &len), 0);
	assert_string_equal(text, "new text");
	free(text);
	assert_int_equal(state_write_file(path("no/x"), "y", 1, 0600), -ENOENT);
	/* A failure leaves nothing behind. */
	assert_int_equal(mkdir(path("dir"), 0700), 0);
	assert_int_equal(mkdir(path("dir/sub"), 0700), 0);
	assert_int_equal(state_write_file(path("dir/sub"), "y", 1, 0600), -EISDIR);
	assert_int_equal(rmdir(path("dir/sub")), 0);
	assert_int_equal(rmdir(path("dir")), 0);
}

static void test_lanes(void **state)
{
	assert_in_range(state_propose_lanes(), 2, 16);
	assert_int_equal(state_write_lanes(&f.paths, 13), 0);
	assert_int_equal(load(false), 0);
	assert_int_equal(f.l->auto_lanes, 13);
	put("lib/lanes", "65\n", 0644);
	assert_int_equal(load(false), 0);
	assert_int_equal(f.l->auto_lanes, state_propose_lanes());
}

static void test_serial(void **state)
{
	uint64_t serial = 0;

	assert_int_equal(state_card_serial(&f.paths, 0xabcdef0123456789, &serial), 0);
	assert_int_equal(serial, 1);
	assert_int_equal(state_card_serial(&f.paths, 0xabcdef0123456789, &serial), 0);
	assert_int_equal(serial, 1);
	assert_int_equal(state_card_serial(&f.paths, 5, &serial), 0);
	assert_int_equal(serial, 2);
	assert_int_equal(state_card_serial(&f.paths, 0xabcdef0123456789, &serial), 0);
	assert_int_equal(serial, 3);
	put("lib/serial", "nonsense\n", 0644);
	assert_int_equal(state_card_serial(&f.paths, 5, &serial), -EBADMSG);
	assert_int_equal(serial, 3);
}

static void test_traffic(void **state)
{
	assert_int_equal(state_write_traffic(&f.paths, "milan", TRAFFIC_ON, TRAFFIC_OFF), 0);
	assert_int_equal(state_write_traffic(&f.paths, "paris", TRAFFIC_OFF, TRAFFIC_ON), 0);
	assert_int_equal(state_write_traffic(&f.paths, "gone", TRAFFIC_OFF, TRAFFIC_ON), 0);
	assert_int_equal(load(false), 0);
	assert_int_equal(f.l->n_traffic, 2);
	assert_string_equal(f.l->traffic[0].peer, "milan");
	assert_int_equal(f.l->traffic[0].traffic, TRAFFIC_ON);
	assert_string_equal(f.l->traffic[1].peer, "paris");
	assert_int_equal(f.l->traffic[1].traffic, TRAFFIC_OFF);
	/* Back to what the file says. */
	assert_int_equal(state_write_traffic(&f.paths, "paris", TRAFFIC_ON, TRAFFIC_ON), 0);
	assert_int_equal(load(false), 0);
	assert_int_equal(f.l->n_traffic, 1);
	/* The file says something else than when the operator spoke: the file counts. */
	put("etc/site.yaml", "site: turin\npeers:\n  milan:\n", 0644);
	assert_int_equal(load(false), 0);
	assert_int_equal(f.l->n_traffic, 0);
	put("lib/traffic", "milan\nmilan on\n\nmilan off on\nmilan up on\nX off on\n", 0644);
	assert_int_equal(load(false), 0);
	assert_int_equal(f.l->n_traffic, 1);
	assert_int_equal(f.l->traffic[0].traffic, TRAFFIC_OFF);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_load),
		TEST(test_load_sorted),
		TEST(test_load_nothing),
		TEST(test_load_bad_site_and_card),
		TEST(test_load_bad_card),
		TEST(test_load_without_cards),
		TEST(test_load_odd_files),
		TEST(test_load_too_large),
		TEST(test_too_many_cards),
		TEST(test_secret_others_may_read),
		TEST(test_secret_of_somebody),
		TEST(test_secret_missing_or_wrong),
		TEST(test_psk_others_may_read),
		TEST(test_credential),
		TEST(test_accept),
		TEST(test_accept_again),
		TEST(test_accept_disk_full),
		TEST(test_accept_after_crash),
		TEST(test_write_file),
		TEST(test_lanes),
		TEST(test_serial),
		TEST(test_traffic),
	};

	return keys_init() || cmocka_run_group_tests(tests, NULL, NULL);
}
