/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * world: what the kernel holds that is ours, or should hold. One flat, sorted list of objects.
 *
 * The same struct says what is wanted (want_build) and what is there (kernel_observe); plan_build
 * merges the two lists. An object has a kind, a key (what it is) and the rest (how it is).
 * Pure: data, order, comparison and one-line text.
 */
#ifndef WGSCALE_WORLD_H
#define WGSCALE_WORLD_H

#include "arena.h"
#include "model.h"
#include "text.h"

/* In the order in which a list is sorted, not in which changes are made (see plan.h). */
enum obj_kind {
	OBJ_LINK,	 /* a lane device; key: dev */
	OBJ_WGDEV,	 /* its WireGuard side; key: dev */
	OBJ_WGPEER,	 /* a peer entry; key: dev, public key */
	OBJ_MODE,	 /* the mode of a peer entry; key: dev, public key */
	OBJ_ADDR,	 /* an address on a lane device; key: dev, prefix */
	OBJ_SYSCTL,	 /* a setting of a lane device; key: dev, enum */
	OBJ_NIC,	 /* what a NIC of the underlay hashes; key: dev, family */
	OBJ_ROUTE,	 /* in one of our tables; key: table, prefix, metric, type-independent */
	OBJ_RULE,	 /* in our preference range; key: everything */
	OBJ_NFT_TABLE,	 /* key: table */
	OBJ_NFT_CHAIN,	 /* with all its rules; key: table, name */
	OBJ_NFT_NETS,	 /* an interval set or verdict map of addresses; key: table, name */
	OBJ_NFT_BUCKETS, /* a verdict map of 1024 buckets; key: table, name */
	OBJ_KINDS
};

enum route_type { ROUTE_UNICAST, ROUTE_UNREACHABLE, ROUTE_THROW };
enum rule_action { RULE_LOOKUP, RULE_GOTO, RULE_NOP };
/* Settings of a lane device, below /proc/sys/net/ or /sys/class/net/. */
enum sysctl_id {
	SYSCTL_RP_FILTER, /* ipv4/conf/DEV/rp_filter: 2, loose: see NFTABLES "rp_filter" */
	SYSCTL_THREADED,  /* class/net/DEV/threaded: needs a peer first */
	SYSCTL_IDS
};
enum nft_table_id { NFT_TABLE_STEER, NFT_TABLE_GUARD }; /* inet wgscale, inet wgscale_guard */
enum nft_hook {
	NFT_HOOK_NONE,
	NFT_HOOK_PREROUTING,
	NFT_HOOK_OUTPUT_ROUTE,
	NFT_HOOK_POSTROUTING,
	NFT_HOOK_FORWARD
};

struct obj_link {
	const char *alias;
	uint32_t mtu;
	bool up;
	/* observed only */
	uint32_t ifindex;
	uint64_t packets; /* rx + tx so far */
	bool quiet;	  /* hardly any packets since the last look (set by reconcile) */
};

struct obj_wgdev {
	struct key public_key;
	struct key private_key; /* wanted only; never printed */
	uint16_t port;
	uint32_t fwmark;
};

struct obj_wgpeer {
	struct key public_key;
	struct sockep endpoint; /* wanted: where to find it, unset: leave alone */
	bool move_endpoint;	/* wanted: set the endpoint even if the kernel has another */
	uint16_t keepalive_s;
	bool has_psk;
	struct key psk;		/* never printed */
	struct prefix *allowed; /* sorted by addr_cmp_prefix */
	size_t n_allowed;
	/* observed only */
	uint64_t handshake_s; /* CLOCK_REALTIME seconds of the last one, 0: never */
	uint64_t rx_bytes, tx_bytes;
};

struct obj_mode {
	struct key peer;
	enum mode mode; /* observed: MODE_AUTO for one that we do not know */
	/* observed only */
	enum mode in_force; /* another while packets of the old one are under way */
	uint64_t switches;
};

struct obj_addr {
	struct prefix prefix; /* address with its length; host bits are kept */
};

struct obj_sysctl {
	enum sysctl_id id;
	int value; /* observed: -1 when the file is not there */
};

struct obj_nic {
	uint8_t family;	 /* of the UDP packets */
	uint64_t fields; /* RXH_* of linux/ethtool.h */
	/* observed only */
	bool saved; /* we have changed it: `original` is what it was */
	uint64_t original;
};

struct obj_route {
	uint32_t table;
	struct prefix dst;
	uint32_t metric; /* IPv6: 0 is never used */
	enum route_type type;
	uint32_t mtu;	   /* 0: none */
	struct ipaddr src; /* preferred source, or unset */
			   /* dev (struct obj) is the device of a unicast route */
};

struct obj_rule {
	uint8_t family;
	uint32_t pref;
	uint32_t mark, mask; /* mask 0: any packet */
	enum rule_action action;
	uint32_t target; /* table, or preference to go to */
};

struct obj_nft_chain {
	enum nft_hook hook;
	int priority;
	/*
	 * Rules as lines of text, in order; the language is that of nft_rule.h. What the kernel
	 * holds is compared with what the line encodes to; a rule that differs reads "alien".
	 */
	const char **rules;
	size_t n_rules;
};

struct nft_range {
	struct ipaddr first, last;
	const char *chain; /* verdict "goto chain"; NULL in a plain set */
};

struct obj_nft_nets {
	uint8_t family;
	bool is_map;
	struct nft_range *ranges; /* disjoint, ascending */
	size_t n_ranges;
};

struct obj_nft_buckets {
	/* "goto lane<slot-1>" per bucket; 0: no element. */
	uint8_t lane_slot[MODEL_BUCKETS];
};

struct obj {
	enum obj_kind kind;
	const char *dev;	 /* LINK..SYSCTL, and of a unicast ROUTE; else NULL */
	const char *name;	 /* NFT_CHAIN, NFT_NETS, NFT_BUCKETS; else NULL */
	enum nft_table_id table; /* NFT_* */
	union {
		struct obj_link link;
		struct obj_wgdev wgdev;
		struct obj_wgpeer wgpeer;
		struct obj_mode mode;
		struct obj_addr addr;
		struct obj_sysctl sysctl;
		struct obj_nic nic;
		struct obj_route route;
		struct obj_rule rule;
		struct obj_nft_chain chain;
		struct obj_nft_nets nets;
		struct obj_nft_buckets *buckets;
	};
};

/* What the host has that is not ours but bears on what we want. */
struct fact_addr {
	const char *dev;
	struct prefix prefix; /* connected: masked by its length */
	struct ipaddr addr;
};

struct fact_link {
	const char *dev;
	const char *alias; /* or NULL */
	bool wireguard;
	uint16_t port; /* of a WireGuard device */
	uint32_t mtu;
};

struct fact_nic {
	const char *dev;
	bool udp4, udp6; /* its receive hash of such packets can be set */
};

struct facts {
	struct fact_addr *addrs; /* of devices that are not lanes */
	size_t n_addrs;
	struct fact_link *foreign; /* devices that are not ours but named wgs*, or WireGuard ones */
	size_t n_foreign;
	struct fact_nic *nics; /* NICs of the underlay whose receive hash can be set */
	size_t n_nics;
	bool ipv6;	     /* the host has IPv6 */
	bool modes;	     /* its WireGuard is our module's: entries have modes */
	bool inline_refused; /* but not inline (PREEMPT_RT) */
	uint32_t mode_group; /* of the module's notifications; 0: none */
	unsigned int kernel_major, kernel_minor;
	unsigned int online_cpus;
};

struct world {
	struct arena arena;
	struct obj *objs;
	size_t n;
	struct facts facts; /* observed only */
};

/* A new zeroed object at the end of the list; valid until the next call. */
struct obj *world_add(struct world *w, enum obj_kind kind);
/* Sorts by world_cmp_key. A wanted world holds no key twice; an observed one may. */
void world_sort(struct world *w);
int world_cmp_key(const struct obj *a, const struct obj *b);
/* The object with the same key in a sorted world, or NULL. */
struct obj *world_find(const struct world *w, const struct obj *key);
void world_done(struct world *w); /* wipes keys */

/* What tells an object, "dev=wgs3 peer=xTIB...=", without newline; no secrets. */
void world_print_key(const struct obj *o, struct text *out);
/* The rest of it, "mtu=1420 up"; no secrets. */
void world_print_rest(const struct obj *o, struct text *out);

#endif
