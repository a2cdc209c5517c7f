/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * state: files. Loading a configuration from disk with everything it refers to, and what survives
 * a restart. Every write is to a temporary file, fsync, rename.
 *
 *   STATE/accepted/site.yaml, STATE/accepted/peers.d/ *.yaml   the last accepted configuration
 *   STATE/lanes         the number `lanes: auto` stands for, written by `wgscalectl card`
 *   STATE/serial        serial and digest of our last card
 *   STATE/traffic       activate/standby by the operator: "PEER on|off FILE-VALUE" per line
 *   STATE/modes         modes of tunnels by the operator, see override_file.h
 *   STATE/unconfirmed   until when what was loaded is to be confirmed, see unconfirmed.h
 *   STATE/networks      what was carried, see carried.h
 */
#ifndef WGSCALE_STATE_H
#define WGSCALE_STATE_H

#include "card.h"
#include "config.h"
#include "site.h"

struct paths {
	const char *config;	 /* .../site.yaml; cards are in peers.d beside it */
	const char *state_dir;	 /* /var/lib/wgscale */
	const char *runtime_dir; /* /run/wgscale: control.sock, saved originals */
};

#define STATE_DEFAULT_CONFIG  "/etc/wgscale/site.yaml"
#define STATE_DEFAULT_STATE   "/var/lib/wgscale"
#define STATE_DEFAULT_RUNTIME "/run/wgscale"

/* Everything a site is built from, as read from disk. */
struct loaded {
	struct arena arena;
	struct config *config;
	struct secret secret;
	bool has_secret;
	struct card **cards;
	size_t n_cards;
	struct site_psk *psks;
	size_t n_psks;
	struct site_traffic *traffic;
	size_t n_traffic;
	unsigned int auto_lanes;
	char *config_text; /* as read, for state_accept() */
	size_t config_len;
	struct loaded_text {
		const char *name; /* file name in peers.d */
		const char *text;
		size_t len;
	} * card_texts;
	size_t n_card_texts;
};

/*
 * Reads site file, cards (peers.d/ *.yaml, sorted; at most MODEL_PEERS_MAX * 2), secret and psk
 * files. `accepted`: from STATE/accepted instead (the secret still from where it says). A secret
 * or psk file that others may read is refused with the fix (chmod). -EINVAL with diagnoses when
 * the site file, the secret or the folder of cards is unusable; a bad card only gives a diagnosis
 * with its peer. -ENOENT without one: `accepted`, and nothing was accepted yet.
 * $CREDENTIALS_DIRECTORY/site.secret, when there, is used if secret-file is absent.
 */
int state_load(const struct paths *p, bool accepted, struct diags *diags,
	       struct loaded **ret_loaded);
void state_free(struct loaded *l); /* wipes */
/* Fills a site_input from what was loaded (facts left NULL). */
void state_input(const struct loaded *l, struct site_input *ret);

/* Stores as the last accepted configuration: site file and those cards that could be parsed, whole
 * or not at all. Files it refers to (secret, psk) are not copied. */
int state_accept(const struct paths *p, const struct loaded *l);
bool state_has_accepted(const struct paths *p);
int state_write_lanes(const struct paths *p, unsigned int lanes);
/* The serial for a card with this digest: the stored one when it is unchanged, else one more.
 * -EBADMSG when STATE/serial holds something else. */
int state_card_serial(const struct paths *p, uint64_t digest, uint64_t *ret_serial);
/* Remembers activate/standby for a peer (`file` is what the site file says). */
int state_write_traffic(const struct paths *p, const char *peer, enum traffic traffic,
			enum traffic file);
/*
 * Reads a whole file of at most `max` bytes into the arena, NUL-terminated. Regular files only, so
 * that a pipe cannot hang the reader: -EINVAL, -EISDIR. -EFBIG when longer, -EILSEQ when it holds a
 * NUL byte, -EAGAIN when it grew meanwhile, else -errno.
 */
int state_read_file(const char *path, size_t max, struct arena *a, char **ret_text,
		    size_t *ret_len);
/* Writes a file whole or not at all. */
int state_write_file(const char *path, const void *data, size_t len, unsigned int mode);
/* Removes a file, for good also after a crash. -ENOENT: there is none. */
int state_remove_file(const char *path);

/* Number of lanes `lanes: auto` proposes on this machine: online CPUs, at least 2, at most 16. */
unsigned int state_propose_lanes(void);

#endif
