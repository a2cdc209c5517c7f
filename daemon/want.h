/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * want: what the kernel should hold for a site. Pure.
 */
#ifndef WGSCALE_WANT_H
#define WGSCALE_WANT_H

#include "site.h"
#include "world.h"

/* What changes while the site file does not; by peer and tunnel index of the site. */
struct want_tunnel {
	struct sockep endpoint; /* resolved; unset: not known */
	bool move_endpoint;	/* it was silent and its name now resolves to something else */
	enum mode mode;		/* wished for */
};

struct want_peer {
	struct want_tunnel *tunnels;
	uint16_t map[MODEL_BUCKETS]; /* tunnel index or MAP_NONE */
	uint16_t mtu;		     /* inner MTU to this peer, after auto */
};

struct want_input {
	const struct site *site;
	const struct want_peer *peers; /* site->n_peers of them */
	const struct facts *facts;
	bool guard_only; /* at boot: only what keeps packets from leaving in clear */
};

/* *ret is sorted; free with world_done(). Objects refer to the site: keep it. */
void want_build(const struct want_input *in, struct world *ret);

/* The source address of what the gateway itself originates: as configured, else the first address
 * of the host within our networks; unset when there is none. */
struct ipaddr want_source(const struct config *c, const struct facts *f, uint8_t family);

/* The numbers in use: tables table_base .. table_base + lanes; preferences. */
#define WANT_RULE_SPAN	300 /* preferences rule_base .. rule_base + WANT_RULE_SPAN - 1 are ours */
#define WANT_TABLE_SPAN (MODEL_LANES_MAX + 1)

/* What in a kernel may be ours: given to observers. */
struct ownership {
	uint32_t table_base, rule_base;
};

/* Overhead of WireGuard over IPv4 / IPv6 in bytes (outer IP, UDP, data header, tag). */
#define WANT_OVERHEAD4 60
#define WANT_OVERHEAD6 80

#endif
