/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * card: everything public about a site, as one YAML file that operators exchange. Pure.
 *
 * A card written by `wgscalectl card` ends with a checksum line over all bytes before it, because
 * a file cut short by a copy is still valid YAML. A hand-written one has no checksum and gives
 * each lane's port: it describes a router that runs plain WireGuard.
 */
#ifndef WGSCALE_CARD_H
#define WGSCALE_CARD_H

#include "model.h"

/*
 * As config_parse(): *ret_card is freed with card_free(). All diagnoses name the peer: the site on
 * the card, or the stem of the file name where no site can be read from it.
 */
int card_parse(const char *path, const char *text, size_t len, struct diags *diags,
	       struct card **ret_card);
void card_free(struct card *c);

/* The card of our own site, with checksum line. `site` needs id, lanes and config only. */
struct text;
void card_print(const struct site *site, uint64_t serial, struct text *out);

/*
 * A digest of what a card means (site, endpoints, lanes, keys, networks), independent of serial,
 * layout and order. card_digest_site(s) == card_parse(card_print(s))->digest.
 */
uint64_t card_digest(const struct card *c);
uint64_t card_digest_site(const struct site *site);

#endif
