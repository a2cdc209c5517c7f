/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: files. Owns the way from a folder to what site_build() wants, and the little that survives
 * a restart (state.h lists it). Never decides whether a configuration is good, and never writes
 * below the configuration's folder: that is the operator's.
 *
 * Invariant: at any moment, also after a crash or on a full disk, each file under the state folder
 * is whole: the old one or the new one. Every read is bounded, and only regular files are read, so
 * that a pipe cannot hang the daemon. Read next: reconcile.c, which calls this when the operator
 * says reload.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "state.h"
#include "text.h"

#define SECRET_FILE_MAX	 4096
#define STATE_FILE_MAX	 (256u << 10)
#define CARDS_MAX	 (MODEL_PEERS_MAX * 2)
#define CARDS_BYTES_MAX	 (64u << 20)
#define CREDENTIAL	 "site.secret"
#define AUTO_LANES_MIN	 2
#define AUTO_LANES_LIMIT 16

/* ---- reading ---- */

static int read_fd(int fd, size_t max, struct arena *a, char **ret_text, size_t *ret_len)
{
	struct stat st;
	size_t len = 0, want;
	char *text;
	ssize_t n;

	if (fstat(fd, &st))
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if ((uint64_t)st.st_size > max)
		return -EFBIG;
	/* One byte more, so that a file that grows meanwhile is noticed. */
	want = (size_t)st.st_size + 1;
	text = arena_alloc(a, want + 1, 1);
	while (len < want) {
		n = read(fd, text + len, want - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	if (len == want)
		return -EAGAIN;
	if (memchr(text, '\0', len))
		return -EILSEQ;
	*ret_text = text;
	*ret_len = len;
	return 0;
}

int state_read_file(const char *path, size_t max, struct arena *a, char **ret_text, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), r;

	if (fd < 0)
		return -errno;
	r = read_fd(fd, max, a, ret_text, ret_len);
	close(fd);
	return r;
}

/* In words a user can do something with. */
static const char *why(int error, size_t max, struct arena *a)
{
	switch (-error) {
	case EFBIG:
		return arena_printf(a, "larger than %zu bytes", max);
	case EINVAL:
		return "not a regular file";
	case EAGAIN:
		return "it changed while it was read; try again";
	case EILSEQ:
		return "it holds a NUL byte; expected text";
	default:
		return arena_printf(a, "%s", strerror(-error));
	}
}

/*
 * A file nobody else may read. NULL, or what is wrong and what to do. Checked on the open file, so
 * that it is the one that is read.
 */
static const char *read_private(const char *path, bool check, struct arena *a, char **ret_text)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), r;
	const char *wrong = NULL;
	struct stat st;
	size_t len;

	if (fd < 0)
		return why(-errno, 0, a);
	if (fstat(fd, &st))
		wrong = why(-errno, 0, a);
	else if (check && st.st_uid != 0 && st.st_uid != geteuid())
		wrong = arena_printf(a, "it belongs to user %u; run: chown root:root '%s'",
				     st.st_uid, path);
	else if (check && S_ISREG(st.st_mode) && (st.st_mode & 077))
		wrong = arena_printf(a,
				     "others may read or write it (mode %04o); run: chmod 600 '%s'",
				     st.st_mode & 07777, path);
	if (!wrong) {
		r = read_fd(fd, SECRET_FILE_MAX, a, ret_text, &len);
		if (r)
			wrong = why(r, SECRET_FILE_MAX, a);
	}
	close(fd);
	return wrong;
}

static char *join(struct arena *a, const char *dir, const char *name)
{
	return arena_printf(a, "%s/%s", dir, name);
}

static char *folder_of(struct arena *a, const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return arena_strdup(a, ".");
	return arena_strndup(a, path, slash == path ? 1 : (size_t)(slash - path));
}

/* ---- loading ---- */

struct loader {
	const struct paths *paths;
	struct loaded *l;
	struct diags *diags;
	bool accepted;
	const char *folder; /* of site.yaml and peers.d */
	size_t card_bytes;
};

/*
 * What file names mean must not depend on where the copy lies: in an accepted configuration, a
 * relative name is relative to the site file still.
 */
static const char *reanchor(struct loader *b, const char *path)
{
	size_t n = strlen(b->folder);

	if (!b->accepted || !path || strncmp(path, b->folder, n) || path[n] != '/')
		return path;
	return join(&b->l->arena, folder_of(&b->l->arena, b->paths->config), path + n + 1);
}

static int load_site(struct loader *b)
{
	struct loaded *l = b->l;
	const char *path = b->accepted ? join(&l->arena, b->folder, "site.yaml") : b->paths->config;
	struct diag_at at = {.file = path};
	size_t i;
	int r;

	r = state_read_file(path, CONFIG_FILE_MAX, &l->arena, &l->config_text, &l->config_len);
	if (r == -ENOENT && b->accepted)
		return r;
	if (r) {
		diag_add(b->diags, DIAG_ERROR, &at, "cannot read the site file: %s",
			 why(r, CONFIG_FILE_MAX, &l->arena));
		return -EINVAL;
	}
	r = config_parse(path, l->config_text, l->config_len, b->diags, &l->config);
	if (r)
		return r;
	l->config->secret_file = reanchor(b, l->config->secret_file);
	for (i = 0; i < l->config->n_peers; i++)
		l->config->peers[i].psk_file = reanchor(b, l->config->peers[i].psk_file);
	return 0;
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n > m && !strcmp(s + n - m, end);
}

static int is_card_name(const struct dirent *d)
{
	return d->d_name[0] != '.' && ends_with(d->d_name, ".yaml");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void load_card(struct loader *b, const char *folder, const char *name)
{
	struct loaded *l = b->l;
	const char *path = join(&l->arena, folder, name);
	struct diag_at at = {
		.file = path,
		.peer = arena_strndup(&l->arena, name, strlen(name) - strlen(".yaml")),
	};
	struct loaded_text *t;
	struct card *card, **slot;
	char *text;
	size_t len;
	int r = state_read_file(path, CONFIG_FILE_MAX, &l->arena, &text, &len);

	if (r) {
		diag_add(b->diags, DIAG_ERROR, &at, "cannot read the card: %s",
			 why(r, CONFIG_FILE_MAX, &l->arena));
		return;
	}
	if (b->card_bytes + len > CARDS_BYTES_MAX) {
		diag_add(b->diags, DIAG_ERROR, &at, "the cards together are larger than %u bytes",
			 CARDS_BYTES_MAX);
		return;
	}
	b->card_bytes += len;
	if (card_parse(path, text, len, b->diags, &card))
		return;
	t = arena_grow(&l->arena, (void **)&l->card_texts, &l->n_card_texts, sizeof(*t));
	*t = (struct loaded_text){arena_strdup(&l->arena, name), text, len};
	slot = arena_grow(&l->arena, (void **)&l->cards, &l->n_cards, sizeof(*slot));
	*slot = card;
}

static int load_cards(struct loader *b)
{
	const char *folder = join(&b->l->arena, b->folder, "peers.d");
	struct diag_at at = {.file = folder};
	struct dirent **names;
	int n, i;

	n = scandir(folder, &names, is_card_name, by_name);
	if (n < 0 && errno == ENOENT)
		return 0;
	if (n < 0) {
		diag_add(b->diags, DIAG_ERROR, &at, "cannot read the folder of cards: %s",
			 strerror(errno));
		return -EINVAL;
	}
	if (n > CARDS_MAX)
		diag_add(b->diags, DIAG_ERROR, &at, "%d cards; expected at most %d", n, CARDS_MAX);
	for (i = 0; i < n; i++) {
		if (n <= CARDS_MAX)
			load_card(b, folder, names[i]->d_name);
		free(names[i]);
	}
	free(names);
	return n > CARDS_MAX ? -EINVAL : 0;
}

/* A credential of the service manager: only this service can reach it, whatever its mode says. */
static const char *credential(struct loader *b)
{
	const char *folder = secure_getenv("CREDENTIALS_DIRECTORY");
	const char *path;

	if (!folder || folder[0] != '/' || b->l->config->secret_at.line)
		return NULL;
	path = join(&b->l->arena, folder, CREDENTIAL);
	return access(path, F_OK) ? NULL : path;
}

static int load_secret(struct loader *b)
{
	struct loaded *l = b->l;
	const char *given = credential(b), *path = given ? given : l->config->secret_file, *wrong;
	char *text;

	wrong = read_private(path, !given, &l->arena, &text);
	if (wrong) {
		bool absent = access(path, F_OK) && errno == ENOENT;

		diag_add(b->diags, DIAG_ERROR, &l->config->secret_at, "secret-file %s: %s%s%s",
			 path, wrong, absent ? "; make one: wgscalectl keygen " : "",
			 absent ? path : "");
		return -EINVAL;
	}
	if (keys_parse_secret(text, &l->secret, &wrong)) {
		diag_add(b->diags, DIAG_ERROR, &l->config->secret_at, "secret-file %s: %s", path,
			 wrong);
		return -EINVAL;
	}
	l->has_secret = true;
	return 0;
}

static void load_psks(struct loader *b)
{
	struct loaded *l = b->l;
	struct site_psk *psk;
	char *text;
	size_t i;

	for (i = 0; i < l->config->n_peers; i++) {
		const struct config_peer *p = &l->config->peers[i];

		if (!p->psk_file)
			continue;
		psk = arena_grow(&l->arena, (void **)&l->psks, &l->n_psks, sizeof(*psk));
		psk->peer = p->id;
		psk->why = read_private(p->psk_file, true, &l->arena, &text);
		psk->text = psk->why ? NULL : text;
	}
}

static const struct config_peer *find_peer(const struct config *c, const char *id)
{
	size_t i;

	for (i = 0; i < c->n_peers; i++)
		if (!strcmp(c->peers[i].id, id))
			return &c->peers[i];
	return NULL;
}

struct traffic_line {
	char peer[MODEL_ID_MAX + 1];
	enum traffic traffic, file;
};

static bool word_traffic(const char *s, enum traffic *ret)
{
	if (strcmp(s, "on") && strcmp(s, "off"))
		return false;
	*ret = strcmp(s, "on") ? TRAFFIC_OFF : TRAFFIC_ON;
	return true;
}

/* The next line of STATE/traffic that can be understood; moves *pos on. */
static bool next_traffic(char **pos, struct traffic_line *ret)
{
	char *line, *peer, *now, *file, *rest;

	while ((line = strsep(pos, "\n"))) {
		rest = line;
		peer = strsep(&rest, " ");
		now = strsep(&rest, " ");
		file = rest;
		if (!now || !file || !text_is_site_id(peer) || !word_traffic(now, &ret->traffic) ||
		    !word_traffic(file, &ret->file))
			continue;
		strcpy(ret->peer, peer); /* a site id fits */
		return true;
	}
	return false;
}

/* What the operator said last counts until the site file itself says something else than then. */
static void load_traffic(struct loader *b)
{
	struct loaded *l = b->l;
	struct traffic_line line;
	char *text, *pos;
	size_t len;

	if (state_read_file(join(&l->arena, b->paths->state_dir, "traffic"), STATE_FILE_MAX,
			    &l->arena, &text, &len))
		return;
	for (pos = text; next_traffic(&pos, &line);) {
		const struct config_peer *p = find_peer(l->config, line.peer);
		struct site_traffic *t;

		if (!p || p->traffic != line.file || line.traffic == line.file)
			continue;
		t = arena_grow(&l->arena, (void **)&l->traffic, &l->n_traffic, sizeof(*t));
		t->peer = p->id;
		t->traffic = line.traffic;
	}
}

static void load_lanes(struct loader *b)
{
	struct loaded *l = b->l;
	char *text;
	size_t len;
	uint64_t v;

	struct diag_at at = {.file = join(&l->arena, b->paths->state_dir, "lanes")};
	int r;

	l->auto_lanes = state_propose_lanes();
	r = state_read_file(at.file, STATE_FILE_MAX, &l->arena, &text, &len);
	if (r == -ENOENT)
		return;
	if (!r) {
		text[strcspn(text, "\n")] = '\0';
		r = text_parse_u64(text, 1, MODEL_LANES_MAX, &v);
	}
	if (!r)
		l->auto_lanes = (unsigned int)v;
	else if (!l->config->lanes)
		diag_add(b->diags, DIAG_WARNING, &at,
			 "no number of lanes from 1 to %u: 'lanes: auto' now stands for %u; write "
			 "the number into the site file",
			 MODEL_LANES_MAX, l->auto_lanes);
}

/* Where the accepted configuration is; "accepted.old" after a crash between two renames. */
static const char *accepted_folder(struct arena *a, const char *state_dir)
{
	const char *folder = join(a, state_dir, "accepted"), *old;

	if (!access(folder, F_OK))
		return folder;
	old = join(a, state_dir, "accepted.old");
	return access(old, F_OK) ? folder : old;
}

bool state_has_accepted(const struct paths *p)
{
	struct arena a = {0};
	bool has = !access(accepted_folder(&a, p->state_dir), F_OK);

	arena_done(&a);
	return has;
}

int state_load(const struct paths *p, bool accepted, struct diags *diags,
	       struct loaded **ret_loaded)
{
	struct loaded *l = xcalloc(1, sizeof(*l));
	struct loader b = {.paths = p, .l = l, .diags = diags, .accepted = accepted};
	int r, r_cards;

	*ret_loaded = NULL;
	b.folder = accepted ? accepted_folder(&l->arena, p->state_dir)
			    : folder_of(&l->arena, p->config);
	r = load_site(&b);
	if (r == -ENOENT) {
		state_free(l);
		return r;
	}
	r_cards = load_cards(&b);
	if (!r) {
		r = load_secret(&b);
		load_psks(&b);
		load_traffic(&b);
		load_lanes(&b);
	}
	if (r || r_cards) {
		state_free(l);
		return r ? r : r_cards;
	}
	*ret_loaded = l;
	return 0;
}

void state_free(struct loaded *l)
{
	size_t i;

	if (!l)
		return;
	for (i = 0; i < l->n_cards; i++)
		card_free(l->cards[i]);
	config_free(l->config);
	arena_done(&l->arena);
	explicit_bzero(l, sizeof(*l));
	free(l);
}

void state_input(const struct loaded *l, struct site_input *ret)
{
	*ret = (struct site_input){
		.config = l->config,
		.secret = l->has_secret ? &l->secret : NULL,
		.auto_lanes = l->auto_lanes,
		.cards = l->cards,
		.n_cards = l->n_cards,
		.psks = l->psks,
		.n_psks = l->n_psks,
		.traffic = l->traffic,
		.n_traffic = l->n_traffic,
	};
}

unsigned int state_propose_lanes(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	if (n < AUTO_LANES_MIN)
		return AUTO_LANES_MIN;
	return n > AUTO_LANES_LIMIT ? AUTO_LANES_LIMIT : (unsigned int)n;
}

/* ---- writing ---- */

static int write_all(int fd, const void *data, size_t len)
{
	const char *p = data;
	ssize_t n;

	while (len) {
		n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return fsync(fd) ? -errno : 0;
}

/* Makes the names in a folder last. */
static int sync_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = fsync(fd) ? -errno : 0;
	close(fd);
	/* Some file systems know no such thing. */
	return r == -EINVAL ? 0 : r;
}

int state_write_file(const char *path, const void *data, size_t len, unsigned int mode)
{
	struct arena a = {0};
	char *tmp = arena_printf(&a, "%s.XXXXXX", path);
	int fd = mkostemp(tmp, O_CLOEXEC), r;

	if (fd < 0) {
		r = -errno;
		arena_done(&a);
		return r;
	}
	r = fchmod(fd, mode) ? -errno : write_all(fd, data, len);
	if (close(fd) && !r)
		r = -errno;
	if (!r && rename(tmp, path))
		r = -errno;
	if (r)
		unlink(tmp);
	else
		r = sync_folder(folder_of(&a, path));
	arena_done(&a);
	return r;
}

int state_remove_file(const char *path)
{
	struct arena a = {0};
	int r = unlink(path) ? -errno : sync_folder(folder_of(&a, path));

	arena_done(&a);
	return r;
}

static int make_folder(const char *path)
{
	return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static int remove_tree(const char *path)
{
	/* No FTW_MOUNT: on overlayfs, files may have another device number than their folder. */
	if (!nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS))
		return 0;
	return errno == ENOENT ? 0 : -errno;
}

/* Into a folder that nobody looks at yet: no rename needed. */
static int write_new(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600), r;

	if (fd < 0)
		return -errno;
	r = write_all(fd, data, len);
	if (close(fd) && !r)
		r = -errno;
	return r;
}

static int write_accepted(const char *folder, const struct loaded *l, struct arena *a)
{
	const char *cards = join(a, folder, "peers.d");
	size_t i;
	int r = make_folder(folder);

	if (!r)
		r = make_folder(cards);
	if (!r)
		r = write_new(join(a, folder, "site.yaml"), l->config_text, l->config_len);
	for (i = 0; !r && i < l->n_card_texts; i++)
		r = write_new(join(a, cards, l->card_texts[i].name), l->card_texts[i].text,
			      l->card_texts[i].len);
	if (!r)
		r = sync_folder(cards);
	return r ? r : sync_folder(folder);
}

/* Puts `fresh` in the place of `current`; what was there is at `fresh` or `old` afterwards. */
static int swap(const char *fresh, const char *current, const char *old)
{
	if (!renameat2(AT_FDCWD, fresh, AT_FDCWD, current, RENAME_EXCHANGE))
		return 0;
	if (errno != ENOENT && errno != EINVAL && errno != ENOSYS)
		return -errno;
	/* Nothing there yet, or a file system that cannot exchange: `old` bridges the gap. */
	if (rename(current, old) && errno != ENOENT)
		return -errno;
	return rename(fresh, current) ? -errno : 0;
}

int state_accept(const struct paths *p, const struct loaded *l)
{
	struct arena a = {0};
	const char *current = join(&a, p->state_dir, "accepted");
	const char *fresh = join(&a, p->state_dir, "accepted.new");
	const char *old = join(&a, p->state_dir, "accepted.old");
	int r = make_folder(p->state_dir);

	if (!r)
		r = remove_tree(fresh);
	if (!r)
		r = write_accepted(fresh, l, &a);
	if (!r && !access(current, F_OK))
		r = remove_tree(old);
	if (!r)
		r = swap(fresh, current, old);
	if (!r)
		r = sync_folder(p->state_dir);
	/* Left-overs cost room, nothing else; after a failure too. */
	remove_tree(fresh);
	if (!r)
		remove_tree(old);
	arena_done(&a);
	return r;
}

static int write_state(const struct paths *p, const char *name, const struct text *t)
{
	struct arena a = {0};
	int r = make_folder(p->state_dir);

	if (!r)
		r = state_write_file(join(&a, p->state_dir, name), text_str(t), t->len, 0644);
	arena_done(&a);
	return r;
}

int state_write_lanes(const struct paths *p, unsigned int lanes)
{
	struct text t = {0};
	int r;

	text_printf(&t, "%u\n", lanes);
	r = write_state(p, "lanes", &t);
	text_done(&t);
	return r;
}

/* "SERIAL DIGEST" */
static int read_serial(const struct paths *p, struct arena *a, uint64_t *ret_serial,
		       uint64_t *ret_digest)
{
	char *text, *digest;
	size_t len;
	int r = state_read_file(join(a, p->state_dir, "serial"), STATE_FILE_MAX, a, &text, &len);

	*ret_serial = *ret_digest = 0;
	if (r)
		return r == -ENOENT ? 0 : r;
	text[strcspn(text, "\n")] = '\0';
	digest = strchr(text, ' ');
	if (!digest)
		return -EBADMSG;
	*digest++ = '\0';
	if (text_parse_u64(text, 1, UINT64_MAX - 1, ret_serial) ||
	    text_parse_u64(digest, 1, UINT64_MAX, ret_digest))
		return -EBADMSG;
	return 0;
}

int state_card_serial(const struct paths *p, uint64_t digest, uint64_t *ret_serial)
{
	uint64_t serial, known;
	struct arena a = {0};
	struct text t = {0};
	int r = read_serial(p, &a, &serial, &known);

	arena_done(&a);
	if (r)
		return r;
	if (known != digest) {
		serial++;
		text_printf(&t, "%llu 0x%016llx\n", (unsigned long long)serial,
			    (unsigned long long)digest);
		r = write_state(p, "serial", &t);
		text_done(&t);
		if (r)
			return r;
	}
	*ret_serial = serial;
	return 0;
}

static const char *traffic_word(enum traffic t)
{
	switch (t) {
	case TRAFFIC_ON:
		return "on";
	case TRAFFIC_OFF:
		return "off";
	}
	return "";
}

int state_write_traffic(const struct paths *p, const char *peer, enum traffic traffic,
			enum traffic file)
{
	struct arena a = {0};
	struct text t = {0};
	struct traffic_line line;
	char *text = NULL, *pos;
	size_t len;
	int r;

	r = state_read_file(join(&a, p->state_dir, "traffic"), STATE_FILE_MAX, &a, &text, &len);
	if (!r || r == -ENOENT) {
		for (pos = text; pos && next_traffic(&pos, &line);)
			if (strcmp(line.peer, peer))
				text_printf(&t, "%s %s %s\n", line.peer, traffic_word(line.traffic),
					    traffic_word(line.file));
		if (traffic != file)
			text_printf(&t, "%s %s %s\n", peer, traffic_word(traffic),
				    traffic_word(file));
		r = write_state(p, "traffic", &t);
	}
	text_done(&t);
	arena_done(&a);
	return r;
}
