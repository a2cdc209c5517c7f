/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gateway: the site that is running: the compiled site, and what is known of each of its tunnels
 * now. Carries what stays true from one configuration to the next.
 */
#ifndef WGSCALE_GATEWAY_H
#define WGSCALE_GATEWAY_H

#include "carried.h"
#include "health.h"
#include "kernel.h"
#include "map.h"
#include "override.h"
#include "state.h"

struct tunnel_run {
	struct health health;
	uint64_t probe_us;	       /* when the last probe left */
	uint64_t unanswered_ms;	       /* shakes hands but answers no probe since; 0: no */
	uint64_t health_rx;	       /* rx_bytes when the monitor last looked */
	uint64_t health_rx_ms;	       /* when that was; 0: never */
	uint64_t health_tx;	       /* tx_bytes when rx_bytes had last changed */
	struct sockep endpoint;	       /* where to find it; unset: not known */
	bool move_endpoint;	       /* replace what the kernel has */
	unsigned int candidate;	       /* of peer_run.candidates */
	uint64_t tried_ms;	       /* since when */
	enum mode mode, mode_in_force; /* as told to the kernel, and as packets have it */
	uint64_t switches;	       /* of mode, so far */
	/* from counters (WG_CMD_GET_DEVICE), 0: never sampled */
	uint64_t sampled_ms;
	struct sockep seen; /* endpoint the kernel has */
	uint64_t handshake_s;
	uint64_t rx_bytes, tx_bytes;
	uint64_t rx_bps, tx_bps;
};

/* An address to try, from an address in the card or a name that was resolved. */
struct candidate {
	struct ipaddr addr;
	uint16_t port_base; /* 0: the ports of the card */
};

#define GATEWAY_CANDIDATES_MAX 16

struct peer_run {
	struct tunnel_run *tunnels;
	uint16_t map[MODEL_BUCKETS];
	uint16_t mtu; /* inner, after auto; never 0 */
	struct candidate candidates[GATEWAY_CANDIDATES_MAX];
	size_t n_candidates;
	/* what the peer's daemon says in its probes */
	uint64_t said_ms;   /* 0: never */
	uint64_t card;	    /* digest of its card */
	uint64_t card_held; /* digest of the card of ours it holds */
	bool active;	    /* it carries traffic for our networks */
};

struct gateway {
	struct loaded *loaded;
	struct site *site;
	struct peer_run *peers;		   /* by index in site->peers */
	uint32_t ifindex[MODEL_LANES_MAX]; /* 0: not there */
	/* runs on the last accepted configuration: why not on what the files say */
	enum { FALLBACK_NO, FALLBACK_REFUSED, FALLBACK_UNCONFIRMED } fallback;
	struct diags diags;   /* of loading it: shown by status */
	struct gateway *next; /* of those that are to be freed */
};

/* Takes over `loaded` and `site`. */
struct gateway *gateway_new(struct loaded *loaded, struct site *site);
void gateway_free(struct gateway *g);

/* Loads and compiles what is on disk (`accepted`: the last accepted configuration). Errors of
 * single peers are allowed if `lenient`. NULL with diagnoses when refused. */
struct gateway *gateway_load(const struct paths *p, bool accepted, bool lenient,
			     const struct facts *facts, struct diags *diags);

/*
 * Holds (struct site) what was carried and `g` does not carry, though nobody has said so: networks
 * of peers in `accepted` that are listed still but were refused this time, and networks that are
 * left out now for what they overlap. `accepted` is to be built without facts, as what it overlaps
 * is then no matter; `carried` tells what of it was carried, NULL: not known.
 */
void gateway_hold(struct gateway *g, const struct site *accepted, const struct carried *carried);
/* What `old` holds is held still, as long as a peer that is to carry it is listed. */
void gateway_keep_held(struct gateway *g, const struct gateway *old);
/* A network that `from` carries is left out by `to` for what it overlaps. */
bool gateway_loses(const struct gateway *from, const struct gateway *to);

/* Health, endpoints, maps of tunnels that both have: same peer, same lane, same key. */
void gateway_inherit(struct gateway *g, const struct gateway *old, uint64_t now_ms);

/* The tunnels are no more: what was known of their health and counters, and the maps. */
void gateway_forget(struct gateway *g);

/* After an observation: interface numbers, endpoints, counters. With `adopt`: tunnels that carry
 * buckets in the kernel are taken for healthy until proven otherwise. */
void gateway_observed(struct gateway *g, const struct world *have, bool adopt, uint64_t now_ms);

/* Fills the peer's map anew from health; true when it changed. */
bool gateway_fill(struct gateway *g, size_t peer);

/* What is wanted of the kernel, with the operator's modes; refers to the gateway's site. */
void gateway_want(const struct gateway *g, const struct overrides *modes, const struct facts *facts,
		  bool guard_only, struct world *ret);
/* The peer's map as the kernel holds it. */
void gateway_buckets(const struct gateway *g, size_t peer, struct obj_nft_buckets *ret);

void gateway_sampled(struct gateway *g, const char *dev, const struct kernel_peer_sample *samples,
		     size_t n, uint64_t now_ms);

size_t gateway_usable(const struct gateway *g, size_t peer);
/* The tunnel of this lane device and peer key, or NULL; *ret_peer its peer. */
struct tunnel_run *gateway_find(const struct gateway *g, const char *dev, const struct key *key,
				size_t *ret_peer);

#define GATEWAY_MTU_DEFAULT 1420

#endif
