/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * random_site: configurations for property tests. A spec says in a few numbers what a site is
 * like; setup_build() writes it as YAML and cards, and has config.c, card.c, site.c read them.
 */
#ifndef WGSCALE_RANDOM_SITE_H
#define WGSCALE_RANDOM_SITE_H

#include "card.h"
#include "config.h"
#include "site.h"
#include "want.h"

#define SPEC_PEERS 6

struct rng {
	uint64_t state;
};

uint64_t rng_next(struct rng *r);
unsigned int rng_below(struct rng *r, unsigned int n); /* 0 .. n - 1 */
bool rng_chance(struct rng *r, unsigned int percent);

/* Bits of spec_peer.nets. */
enum spec_net {
	SPEC_NET4,	/* its own /16 */
	SPEC_NET6,	/* its own /48 */
	SPEC_NESTED,	/* a /20 within the next peer's /16 */
	SPEC_INNER,	/* a /24 within its own /16 */
	SPEC_HUB,	/* 10.0.0.0/8 and fd00::/8; only of peer 0 */
	SPEC_DEFAULT,	/* 0.0.0.0/0 and ::/0; only of peer 1 */
	SPEC_ENDPOINTS, /* where the peers' endpoints are; only of peer 2 */
	SPEC_OURS,	/* a host within our own network */
	SPEC_NETS
};

struct spec_peer {
	bool in, off, plain, psk;
	unsigned int mode; /* enum mode */
	uint64_t vanilla;  /* tunnels that the operator has made vanilla, as `down` */
	unsigned int lanes;
	unsigned int nets;
	unsigned int mtu, keepalive_s, psk_no, endpoint_no;
	bool move_endpoint;
	uint64_t down; /* tunnels that are not healthy, by index modulo 64 */
};

struct spec {
	uint64_t world; /* of secrets: two specs of one world know the same sites */
	unsigned int lanes, port_base, mtu;
	bool threaded, own_cuts; /* our networks take a piece of a peer's */
	bool guard_only;
	bool down;	      /* nothing is wanted */
	bool module, refuses; /* ours is loaded; but it cannot do inline */
	struct spec_peer peers[SPEC_PEERS];
};

void spec_random(struct rng *r, uint64_t world, struct spec *ret);
/* A few changes, such as an operator makes. */
void spec_change(struct rng *r, struct spec *s);
void spec_print(const struct spec *s, struct text *out);

/* A spec made real. */
struct setup {
	struct spec spec;
	struct config *config;
	struct card *cards[SPEC_PEERS];
	size_t n_cards;
	struct site *site;
	struct want_peer *peers;
	struct facts facts;
	struct fact_addr addrs[4];
};

/* Fails the test (cmocka) when anything is refused. */
void setup_build(const struct spec *spec, bool ipv6, struct setup *ret);
void setup_want(const struct setup *s, struct world *ret);
void setup_done(struct setup *s);

#endif
