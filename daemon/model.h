/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * model: the nouns. Plain data; who fills what is said at each struct.
 *
 *   config (site.yaml) + cards (peers.d) + secret  --site_build-->  struct site
 *   struct site + what is healthy                  --want_build-->  struct world (wanted)
 *   wanted world + observed world                  --plan_build-->  struct plan
 */
#ifndef WGSCALE_MODEL_H
#define WGSCALE_MODEL_H

#include "addr.h"
#include "arena.h"
#include "diag.h"

#define MODEL_LANES_MAX	    64
#define MODEL_PEERS_MAX	    256
#define MODEL_ENDPOINTS_MAX 8
#define MODEL_PREFIXES_MAX  16384 /* per list */
#define MODEL_BUCKETS	    1024
#define MODEL_ID_MAX	    63 /* bytes of a site id */
#define MODEL_KEY_LEN	    32

/* Lane devices are wgs0, wgs1, ... */
#define MODEL_DEV_PREFIX "wgs"
/* Alias of a lane device, "wgscale:SITE"; it says in the kernel that the device is ours. */
#define MODEL_ALIAS_PREFIX "wgscale:"

struct key {
	uint8_t b[MODEL_KEY_LEN];
};

#define MODEL_KEY_STRLEN 45 /* base64 and NUL */
/* Base64 of a key. Only ever call it on public keys. */
const char *key_print(const struct key *k, char buf[static MODEL_KEY_STRLEN]);
int key_parse(const char *s, struct key *ret);
bool key_is_zero(const struct key *k);
int key_cmp(const struct key *a, const struct key *b);

/* ---- what the operator wrote: site.yaml (filled by config_parse) ---- */

enum traffic { TRAFFIC_ON, TRAFFIC_OFF };
enum steering { STEERING_OWN, STEERING_OFF };
enum distribute { DISTRIBUTE_FLOW };
enum threaded { THREADED_AUTO, THREADED_ON, THREADED_OFF };
/* Of a tunnel. Auto is a wish only: inline where it can be. */
enum mode { MODE_VANILLA, MODE_INLINE, MODE_AUTO };

struct config_endpoint {
	const char *name;   /* a host name, or NULL */
	struct ipaddr addr; /* an address when name is NULL */
	uint16_t port_base; /* 0: the port-base of the site it belongs to */
	struct diag_at at;
};

struct config_prefix {
	struct prefix prefix;
	struct diag_at at;
};

struct config_prefixes {
	struct config_prefix *items;
	size_t n;
};

struct config_peer {
	const char *id;
	struct diag_at at;
	bool has_accept; /* absent: all that `accept` need not name (DESIGN 3) */
	struct config_prefixes accept;
	struct config_endpoint *endpoints; /* instead of the card's, when n > 0 */
	size_t n_endpoints;
	uint16_t mtu; /* inner MTU; 0: auto */
	enum traffic traffic;
	bool has_mode;
	enum mode mode;	      /* that of the site, where it has none of its own */
	const char *psk_file; /* or NULL */
	struct diag_at psk_at;
	uint32_t keepalive_s; /* 0: off; default 25 */
};

struct config {
	struct arena arena; /* owns everything below */
	const char *path;
	const char *site;
	struct diag_at site_at;
	const char *secret_file;
	struct diag_at secret_at;
	unsigned int lanes; /* 0: auto */
	struct diag_at lanes_at;
	struct config_endpoint *endpoints;
	size_t n_endpoints;
	struct config_prefixes networks, transit;
	uint16_t port_base;
	struct diag_at port_base_at;
	struct ipaddr address4, address6; /* source of what the gateway originates; may be unset */
	struct diag_at address_at;
	uint16_t mtu; /* 0: auto */
	uint32_t mark_mask;
	struct diag_at mark_mask_at;
	uint32_t table_base;
	struct diag_at table_base_at;
	uint32_t rule_base;
	struct diag_at rule_base_at;
	enum steering steering;
	enum distribute distribute;
	enum threaded threaded;
	enum mode mode;
	uint32_t health_interval_ms; /* between probes of a tunnel; default 500 */
	uint32_t health_fail;	     /* silent intervals until a tunnel is down; default 5 */
	uint32_t health_recover;     /* answered in a row until it carries again; 5 */
	struct config_peer *peers;   /* in the order of the file */
	size_t n_peers;
};

/* ---- what another site says of itself: a card (filled by card_parse) ---- */

struct card_lane {
	unsigned int number;
	uint32_t generation; /* 0 when hand-written */
	struct key key;	     /* public */
	uint16_t port;	     /* host order; what it listens on */
	struct ipaddr probe; /* inner address that answers ICMP echo; may be unset (plain peers) */
	struct diag_at at;
};

struct card {
	struct arena arena;
	const char *path;
	const char *site;
	bool plain;	 /* hand-written: a router that runs plain WireGuard */
	uint64_t serial; /* 0 when plain */
	struct config_endpoint *endpoints;
	size_t n_endpoints;
	uint16_t port_base;
	struct card_lane *lanes; /* ascending by number */
	size_t n_lanes;
	struct config_prefixes networks, transit;
	uint64_t digest; /* of the card's meaning, for telling a stale one; never 0 */
};

/* ---- what it comes to: a compiled site (filled by site_build) ---- */

struct lane {
	unsigned int number;
	uint32_t generation;
	char dev[16]; /* "wgs3" */
	uint16_t port;
	struct key private_key, public_key;
	struct ipaddr probe; /* fe80::..., on the device */
	struct ipaddr link4; /* 169.254.x.y, on the device: see want.c */
};

struct tunnel {
	unsigned int ours;   /* lane number here */
	unsigned int theirs; /* lane number there */
	unsigned int index;  /* in peer->tunnels; alike at both ends */
	struct key key;	     /* the peer lane's public key */
	uint16_t port;	     /* of the peer lane */
	struct ipaddr probe; /* of the peer lane; may be unset */
};

struct peer {
	const char *id;
	unsigned int index; /* in site->peers */
	const struct config_peer *config;
	const struct card *card;
	bool plain;
	enum traffic traffic;	 /* after the operator's activate/standby */
	bool swap;		 /* hash (dst,src,dport,sport) rather than (src,dst,sport,dport) */
	uint32_t seed;		 /* of the bucket hash; alike at both ends */
	struct prefix *networks; /* what is taken of its claims: networks and transit; sorted */
	size_t n_networks;
	struct config_endpoint *endpoints; /* in order of preference */
	size_t n_endpoints;
	bool has_psk;
	struct key psk;
	struct tunnel *tunnels;
	size_t n_tunnels;
	uint16_t home[MODEL_BUCKETS]; /* tunnel index of each bucket when all are healthy */
};

struct site {
	struct arena arena;
	const struct config *config;
	const char *id;
	uint64_t card_digest; /* of our own card */
	struct lane *lanes;
	size_t n_lanes;
	struct peer *peers; /* without those refused; sorted by id */
	size_t n_peers;
	/* Networks of peers that carry traffic but were refused, or that were carried before and
	 * are left out now: kept from leaving in clear, led nowhere. */
	struct prefix *held;
	size_t n_held;
};

/* Mark values: `slot` shifted into the mask. Lane i has slot i + 1; all bits set = outer packets.
 */
uint32_t model_mark(uint32_t mask, unsigned int slot);

const char *model_mode_name(enum mode mode);
/* The names as people are told of them; ends with NULL. */
extern const char *const model_mode_words[];
/* -EINVAL: not the name of one. */
int model_mode_parse(const char *s, enum mode *ret);

#endif
