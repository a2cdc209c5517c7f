/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * site: config + cards + secret + facts of the host -> the compiled site. Pure.
 */
#ifndef WGSCALE_SITE_H
#define WGSCALE_SITE_H

#include "keys.h"
#include "model.h"
#include "world.h"

/* Contents of a peer's preshared key file, read by the caller; text may be NULL: no such file. */
struct site_psk {
	const char *peer;
	const char *text;
	const char *why; /* why it could not be read, or NULL */
};

struct site_input {
	const struct config *config;
	const struct secret *secret;
	unsigned int auto_lanes; /* what `lanes: auto` stands for here */
	struct card *const *cards;
	size_t n_cards;
	const struct site_psk *psks;
	size_t n_psks;
	const struct facts *facts; /* of the host; NULL: unknown (offline check) */
	/* The operator's activate/standby, by peer id; overrides the file. */
	const struct site_traffic {
		const char *peer;
		enum traffic traffic;
	} * traffic;
	size_t n_traffic;
};

/*
 * Errors that concern one peer carry its id in the diagnosis and leave it out of the site; others
 * make the whole fail: -EINVAL and *ret_site NULL. The caller decides whether peers in error are
 * acceptable (at start) or not (at reload). The site refers to config and cards: keep them.
 */
int site_build(const struct site_input *in, struct diags *diags, struct site **ret_site);
void site_free(struct site *s); /* wipes keys */

struct peer *site_peer(const struct site *s, const char *id);	   /* or NULL */
struct lane *site_lane(const struct site *s, unsigned int number); /* or NULL */

/* Its card claims `net`, or more, and accept: holds `net`: where p->networks does not hold it, it
 * was left out for what it overlaps. */
bool site_claims(const struct peer *p, const struct prefix *net);
/* A peer that carries traffic has it among its networks. */
bool site_carries(const struct site *s, const struct prefix *net);
/* Keeps `net` from leaving in clear, without leading it anywhere. */
void site_hold(struct site *s, const struct prefix *net);
/* No longer holds what this peer claims: the operator leads it elsewhere. */
void site_release(struct site *s, const struct peer *p);

/* The peer whose networks hold `addr`, longest prefix first; NULL: none. */
const struct peer *site_route(const struct site *s, const struct ipaddr *addr);

#endif
