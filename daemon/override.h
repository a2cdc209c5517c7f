/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * override: what the operator has said of the modes of tunnels by command, and how it goes together
 * with the site file. Pure; override_file.h keeps it.
 */
#ifndef WGSCALE_OVERRIDE_H
#define WGSCALE_OVERRIDE_H

#include "model.h"
#include "text.h"

#define OVERRIDE_MAX 1024

/* Whose word it is; the last one that there is goes before the others. */
enum override_scope { OVERRIDE_FILE, OVERRIDE_PEER, OVERRIDE_LANE, OVERRIDE_TUNNEL };

struct override {
	enum override_scope scope; /* never OVERRIDE_FILE */
	const char *peer;	   /* "" of a lane */
	/* Ours; 0 of a peer. A tunnel is known by it, as it has that lane to its peer for itself,
	 * and may have another index once either site has more lanes. */
	unsigned int lane;
	enum mode mode;
};

struct overrides {
	struct arena arena;
	struct override *items;
	size_t n;
};

void override_done(struct overrides *o);
/* "peer", "lane", "tunnel", or "file". */
const char *override_scope_name(enum override_scope scope);

/* One per line: "peer milan inline", "lane wgs3 vanilla", "tunnel milan wgs3 inline". What is not
 * understood is left out. `text` is changed. */
void override_parse(char *text, struct overrides *ret);
void override_print(const struct overrides *o, struct text *out);

/* `from` with one more or another, or without it where its mode is MODE_AUTO. -E2BIG: there would
 * be too many, and *ret is empty. */
int override_change(const struct overrides *from, const struct override *change,
		    struct overrides *ret);
/* `from` without those for what the site does not have any more. */
void override_prune(const struct overrides *from, const struct site *s, struct overrides *ret);

/* The mode wished for a tunnel, and whose word that is (may be NULL). */
enum mode override_mode(const struct overrides *o, const struct peer *p, const struct tunnel *t,
			enum override_scope *ret_by);
/* Is it one of the tunnels that `o` is for? */
bool override_covers(const struct override *o, const struct peer *p, const struct tunnel *t);

/*
 * "milan", "wgs3" or "milan/0" (the index of a tunnel) as an override without a mode; it refers to
 * the site. -ENOENT: there is none such; *ret_hint says what there is. A lane goes before a peer
 * of that name.
 */
int override_target(const struct site *s, const char *target, struct override *ret,
		    struct text *ret_hint);

#endif
