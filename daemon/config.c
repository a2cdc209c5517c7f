/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: the site file. Owns its schema (the tables of keys below), the defaults, and every check
 * that needs this file alone. Never opens a file, and never looks at cards, keys or the host:
 * site_build() does. wgscale.yaml(5) describes the same schema to people; keep them together.
 *
 * Invariant: a struct config that is returned is complete, with all defaults filled in and every
 * number in range. Read next: config_yaml.h for the readers, then site.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "config_net.h"
#include "text.h"

#define KEEPALIVE_DEFAULT_S 25
/* What `lanes: auto` proposes at most; checks of room for lanes go by it. */
#define AUTO_LANES_MAX	16
#define EPHEMERAL_FIRST 32768 /* Linux: net.ipv4.ip_local_port_range */
#define EPHEMERAL_LAST	60999
#define MTU_MIN		576
#define MTU_MIN_IPV6	1280
#define MTU_MAX		65455
#define RULE_BASE_MAX	32000
#define MARK_BITS_MIN	4

static const char unsupported[] = "is not supported by this version; remove it";

/* ---- small readers ---- */

/* A file name; a relative one is looked for beside the site file. */
static bool read_file_name(struct config_yaml *y, const struct config_yaml_node *n,
			   const char *path, const char **ret)
{
	const char *slash = strrchr(path, '/');
	struct key k;

	if (!config_yaml_scalar(y, n, "a file name"))
		return false;
	if (!key_parse(n->text, &k) || !strncmp(n->text, "wgscale-secret-", 15)) {
		explicit_bzero(&k, sizeof(k));
		config_yaml_error(
			y, n,
			"%s: this is a key itself; expected the name of a file that "
			"holds it (and make a new one: this file may be readable by others)",
			n->name);
		return false;
	}
	if (n->text[0] == '/' || !slash)
		*ret = arena_strdup(y->keep, n->text);
	else
		*ret = arena_printf(y->keep, "%.*s/%s", (int)(slash - path), path, n->text);
	return true;
}

static void read_mtu(struct config_yaml *y, const struct config_yaml_node *n, uint16_t *ret)
{
	struct diag_at at = config_yaml_at(y, n);
	uint64_t v;

	if (!config_yaml_u64(y, n, MTU_MIN, MTU_MAX, "auto", &v))
		return;
	if (v && v < MTU_MIN_IPV6)
		config_yaml_say(y, DIAG_WARNING, &at,
				"%s: IPv6 needs %d at least, and will not pass with %llu", n->name,
				MTU_MIN_IPV6, (unsigned long long)v);
	*ret = (uint16_t)v;
}

static void read_traffic(struct config_yaml *y, const struct config_yaml_node *n, enum traffic *ret)
{
	static const char *const words[] = {"on", "off", NULL};
	unsigned int v;

	if (config_yaml_word(y, n, words, &v))
		*ret = v == 0 ? TRAFFIC_ON : TRAFFIC_OFF;
}

static bool read_mode(struct config_yaml *y, const struct config_yaml_node *n, enum mode *ret)
{
	unsigned int v;

	return config_yaml_word(y, n, model_mode_words, &v) &&
	       model_mode_parse(model_mode_words[v], ret) == 0;
}

/* ---- peers ---- */

struct peer_reader {
	const char *path;
	struct config_peer *peer;
};

static void peer_accept(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct peer_reader *r = ctx;

	r->peer->has_accept = true;
	config_net_prefixes(y, n, &r->peer->accept);
}

static void peer_endpoint(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct peer_reader *r = ctx;

	config_net_endpoints(y, n, &r->peer->endpoints, &r->peer->n_endpoints);
}

static void peer_mtu(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct peer_reader *r = ctx;

	read_mtu(y, n, &r->peer->mtu);
}

static void peer_traffic(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct peer_reader *r = ctx;

	read_traffic(y, n, &r->peer->traffic);
}

static void peer_psk(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct peer_reader *r = ctx;

	r->peer->psk_at = config_yaml_at(y, n);
	read_file_name(y, n, r->path, &r->peer->psk_file);
}

static void peer_keepalive(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct peer_reader *r = ctx;
	uint64_t ms;

	if (!config_yaml_ms(y, n, 1000, 65535 * 1000, "off", &ms))
		return;
	if (ms % 1000)
		config_yaml_error(y, n, "keepalive: '%s' is no whole number of seconds",
				  config_yaml_show(y, n));
	r->peer->keepalive_s = (uint32_t)(ms / 1000);
}

static void peer_mode(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct peer_reader *r = ctx;

	r->peer->has_mode = read_mode(y, n, &r->peer->mode);
}

static const struct config_yaml_key peer_keys[] = {
	{"accept", peer_accept, NULL},
	{"endpoint", peer_endpoint, NULL},
	{"mtu", peer_mtu, NULL},
	{"traffic", peer_traffic, NULL},
	{"preshared-key-file", peer_psk, NULL},
	{"keepalive", peer_keepalive, NULL},
	{"mode", peer_mode, NULL},
	{NULL, NULL, NULL},
};

static void read_peer(struct config_yaml *y, const struct config_yaml_node *n, struct config *c)
{
	struct peer_reader r = {.path = c->path};
	struct diag_at at = config_yaml_at_key(y, n);
	const struct config_yaml_node shown = {.text = n->name};

	if (!text_is_site_id(n->name)) {
		config_yaml_say(
			y, DIAG_ERROR, &at,
			"'%s' is no site id; expected lower-case letters, digits, '-', '_', "
			"'.', at most %d, the first a letter or digit",
			config_yaml_show(y, &shown), MODEL_ID_MAX);
		return;
	}
	r.peer = &c->peers[c->n_peers++];
	r.peer->id = arena_strdup(y->keep, n->name);
	y->peer = r.peer->id;
	r.peer->at = config_yaml_at_key(y, n);
	r.peer->keepalive_s = KEEPALIVE_DEFAULT_S;
	if (!config_yaml_is_empty(n))
		config_yaml_walk(y, n, peer_keys, &r);
	y->peer = NULL;
}

static void top_peers(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	const struct config_yaml_node *i;
	struct config *c = ctx;

	if (config_yaml_is_empty(n))
		return;
	if (n->kind != CONFIG_YAML_MAP) {
		config_yaml_error(y, n,
				  "peers: expected one 'id: {...}' per peer, such as "
				  "'milan: {accept: [10.2.0.0/16]}'");
		return;
	}
	if (n->n > MODEL_PEERS_MAX) {
		config_yaml_error(y, n, "peers: %zu of them; expected at most %d", n->n,
				  MODEL_PEERS_MAX);
		return;
	}
	c->peers = arena_alloc(y->keep, n->n, sizeof(*c->peers));
	for (i = n->first; i; i = i->next)
		read_peer(y, i, c);
}

/* ---- health ---- */

static void health_interval(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct config *c = ctx;
	uint64_t v;

	if (config_yaml_ms(y, n, 100, 60 * 1000, NULL, &v))
		c->health_interval_ms = (uint32_t)v;
}

static void health_fail(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct config *c = ctx;
	uint64_t v;

	if (config_yaml_u64(y, n, 2, 20, NULL, &v))
		c->health_fail = (uint32_t)v;
}

static void health_recover(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct config *c = ctx;
	uint64_t v;

	if (config_yaml_u64(y, n, 1, 100, NULL, &v))
		c->health_recover = (uint32_t)v;
}

static const struct config_yaml_key health_keys[] = {
	{"interval", health_interval, NULL},
	{"fail", health_fail, NULL},
	{"recover", health_recover, NULL},
	{NULL, NULL, NULL},
};

static void top_health(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	config_yaml_walk(y, n, health_keys, ctx);
}

/* ---- the top level ---- */

static void top_site(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct config *c = ctx;

	c->site_at = config_yaml_at(y, n);
	config_yaml_site_id(y, n, &c->site);
}

static void top_secret_file(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct config *c = ctx;

	c->secret_at = config_yaml_at(y, n);
	read_file_name(y, n, c->path, &c->secret_file);
}

static void top_lanes(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct config *c = ctx;
	uint64_t v;

	c->lanes_at = config_yaml_at(y, n);
	if (config_yaml_u64(y, n, 1, MODEL_LANES_MAX, "auto", &v))
		c->lanes = (unsigned int)v;
}

static void top_endpoint(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct config *c = ctx;

	config_net_endpoints(y, n, &c->endpoints, &c->n_endpoints);
}

/* Our own networks are kept out of the tunnels: with a default route there, nothing would be. */
static void top_networks(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct config *c = ctx;
	size_t i;

	config_net_prefixes(y, n, &c->networks);
	for (i = 0; i < c->networks.n; i++)
		if (!c->networks.items[i].prefix.len)
			config_yaml_say(y, DIAG_ERROR, &c->networks.items[i].at,
					"networks: a default route is not behind us; put it into "
					"'transit' if peers may use this site as their way out");
}

static void top_transit(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct config *c = ctx;

	config_net_prefixes(y, n, &c->transit);
}

static void top_port_base(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct config *c = ctx;
	uint64_t v;

	c->port_base_at = config_yaml_at(y, n);
	if (config_yaml_u64(y, n, 1, UINT16_MAX, NULL, &v))
		c->port_base = (uint16_t)v;
}

static void top_address(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	const struct config_yaml_node *i;
	struct config *c = ctx;
	struct ipaddr a, *slot;

	c->address_at = config_yaml_at(y, n);
	if (!config_yaml_is_list(y, n, 2, "an address, or one of each family"))
		return;
	for (i = config_yaml_first(n); i; i = config_yaml_next(n, i)) {
		if (!config_net_addr(y, i, &a))
			continue;
		slot = a.family == AF_INET ? &c->address4 : &c->address6;
		if (slot->family)
			config_yaml_error(y, i,
					  "address: a second IPv%c one; expected at most one "
					  "of each family",
					  a.family == AF_INET ? '4' : '6');
		*slot = a;
	}
}

static void top_mtu(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct config *c = ctx;

	read_mtu(y, n, &c->mtu);
}

static void top_mark_mask(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct config *c = ctx;
	uint64_t v, low;

	c->mark_mask_at = config_yaml_at(y, n);
	if (!config_yaml_scalar(y, n, "a mask such as 0x1fe00000"))
		return;
	if (text_parse_u64(n->text, 1, UINT32_MAX, &v)) {
		config_yaml_error(y, n,
				  "mark-mask: '%s' is no 32-bit mask; expected one such as "
				  "0x1fe00000",
				  config_yaml_show(y, n));
		return;
	}
	low = v >> __builtin_ctzll(v);
	if (low & (low + 1)) {
		config_yaml_error(y, n,
				  "mark-mask: the bits of %s are not next to each other; "
				  "expected one run of bits, such as 0x1fe00000",
				  config_yaml_show(y, n));
		return;
	}
	if (__builtin_popcountll(v) < MARK_BITS_MIN) {
		config_yaml_error(y, n, "mark-mask: %s has %d bits; expected at least %d",
				  config_yaml_show(y, n), __builtin_popcountll(v), MARK_BITS_MIN);
		return;
	}
	c->mark_mask = (uint32_t)v;
}

/* Tables table-base .. table-base + lanes are ours; 253 to 255 are the kernel's. */
static void top_table_base(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct config *c = ctx;
	uint64_t v;

	c->table_base_at = config_yaml_at(y, n);
	if (!config_yaml_u64(y, n, 1, UINT32_MAX - MODEL_LANES_MAX - 1, NULL, &v))
		return;
	if (v <= 255 && v + MODEL_LANES_MAX >= 253) {
		config_yaml_error(
			y, n,
			"table-base: routing tables %llu to %llu would be ours, but 253 "
			"to 255 are the kernel's; expected a number below %d or above 255",
			(unsigned long long)v, (unsigned long long)v + MODEL_LANES_MAX,
			253 - MODEL_LANES_MAX);
		return;
	}
	c->table_base = (uint32_t)v;
}

static void top_rule_base(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct config *c = ctx;
	uint64_t v;

	c->rule_base_at = config_yaml_at(y, n);
	if (config_yaml_u64(y, n, 1, RULE_BASE_MAX, NULL, &v))
		c->rule_base = (uint32_t)v;
}

static void top_steering(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	static const char *const words[] = {"own", "off", NULL};
	static const enum steering values[] = {STEERING_OWN, STEERING_OFF};
	struct config *c = ctx;
	unsigned int v;

	if (n->kind == CONFIG_YAML_SCALAR && !strcmp(n->text, "nic"))
		config_yaml_error(y, n, "steering: 'nic' %s", unsupported);
	else if (config_yaml_word(y, n, words, &v))
		c->steering = values[v];
}

static void top_distribute(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	static const char *const words[] = {"flow", NULL};
	struct config *c = ctx;
	unsigned int v;

	if (n->kind == CONFIG_YAML_SCALAR && !strcmp(n->text, "cpu"))
		config_yaml_error(y, n, "distribute: 'cpu' %s", unsupported);
	else if (config_yaml_word(y, n, words, &v))
		c->distribute = DISTRIBUTE_FLOW;
}

static void top_threaded(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	static const char *const words[] = {"auto", "on", "off", NULL};
	static const enum threaded values[] = {THREADED_AUTO, THREADED_ON, THREADED_OFF};
	struct config *c = ctx;
	unsigned int v;

	if (config_yaml_word(y, n, words, &v))
		c->threaded = values[v];
}

static void top_mode(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct config *c = ctx;

	read_mode(y, n, &c->mode);
}

static const struct config_yaml_key top_keys[] = {
	{"site", top_site, NULL},
	{"secret-file", top_secret_file, NULL},
	{"lanes", top_lanes, NULL},
	{"endpoint", top_endpoint, NULL},
	{"networks", top_networks, NULL},
	{"transit", top_transit, NULL},
	{"steering", top_steering, NULL},
	{"peers", top_peers, NULL},
	{"port-base", top_port_base, NULL},
	{"address", top_address, NULL},
	{"mtu", top_mtu, NULL},
	{"mark-mask", top_mark_mask, NULL},
	{"table-base", top_table_base, NULL},
	{"rule-base", top_rule_base, NULL},
	{"distribute", top_distribute, NULL},
	{"threaded", top_threaded, NULL},
	{"mode", top_mode, NULL},
	{"health", top_health, NULL},
	{"cpus", NULL, unsupported},
	{"balance", NULL, unsupported},
	{NULL, NULL, NULL},
};

/* ---- checks across keys ---- */

static void check_ports(struct config_yaml *y, const struct config *c)
{
	unsigned int lanes = c->lanes ? c->lanes : AUTO_LANES_MAX;
	unsigned int last = c->port_base + lanes - 1;

	if (last > UINT16_MAX)
		config_yaml_say(
			y, DIAG_ERROR, &c->port_base_at,
			"port-base: %u lanes from port %u on end at %u; expected at most %u", lanes,
			c->port_base, last, UINT16_MAX - lanes + 1);
	else if (last >= EPHEMERAL_FIRST && c->port_base <= EPHEMERAL_LAST)
		config_yaml_say(
			y, DIAG_WARNING, &c->port_base_at,
			"port-base: ports %u to %u reach into the range that Linux gives to "
			"other programs (%d to %d), which may take one first; better end "
			"below it",
			c->port_base, last, EPHEMERAL_FIRST, EPHEMERAL_LAST);
}

/* An endpoint's own port is that of lane 0 as the world outside sees it. */
static void check_endpoints(struct config_yaml *y, const struct config *c)
{
	unsigned int lanes = c->lanes ? c->lanes : AUTO_LANES_MAX;
	size_t i;

	for (i = 0; i < c->n_endpoints; i++)
		if (c->endpoints[i].port_base + lanes - 1 > UINT16_MAX)
			config_yaml_say(
				y, DIAG_ERROR, &c->endpoints[i].at,
				"endpoint: %u lanes from port %u on do not fit; expected at "
				"most %u",
				lanes, c->endpoints[i].port_base, UINT16_MAX - lanes + 1);
}

/* One value per lane, one for "no lane" and one for the outer packets. */
static void check_marks(struct config_yaml *y, const struct config *c)
{
	unsigned int lanes = c->lanes ? c->lanes : AUTO_LANES_MAX;
	unsigned int bits = (unsigned int)__builtin_popcount(c->mark_mask), need = MARK_BITS_MIN;

	while ((1u << need) < lanes + 2)
		need++;
	if (bits < need)
		config_yaml_say(y, DIAG_ERROR, &c->mark_mask_at,
				"mark-mask: %u bits are too few for %u lanes; expected at least %u",
				bits, lanes, need);
}

static void check(struct config_yaml *y, const struct config *c)
{
	size_t i;

	if (!config_yaml_get(y->root, "site"))
		config_yaml_error(y, NULL, "the key 'site' is missing; expected 'site: NAME'");
	for (i = 0; c->site && i < c->n_peers; i++)
		if (!strcmp(c->peers[i].id, c->site))
			config_yaml_say(y, DIAG_ERROR, &c->peers[i].at,
					"peers: '%s' is this site itself; remove it", c->site);
	check_ports(y, c);
	check_endpoints(y, c);
	check_marks(y, c);
}

/* What the peers have from the site: its keys may stand behind them. */
static void inherit(struct config *c)
{
	for (size_t i = 0; i < c->n_peers; i++)
		if (!c->peers[i].has_mode)
			c->peers[i].mode = c->mode;
}

static struct config *new_config(const char *path)
{
	struct config *c = xcalloc(1, sizeof(*c));
	const char *slash = strrchr(path, '/');
	struct diag_at at;

	c->path = arena_strdup(&c->arena, path);
	at = (struct diag_at){.file = c->path};
	c->site_at = c->secret_at = c->lanes_at = c->port_base_at = at;
	c->address_at = c->mark_mask_at = c->table_base_at = c->rule_base_at = at;
	c->secret_file = arena_printf(&c->arena, "%.*s" CONFIG_DEFAULT_SECRET_FILE,
				      slash ? (int)(slash - path) + 1 : 0, path);
	c->port_base = CONFIG_DEFAULT_PORT_BASE;
	c->mark_mask = CONFIG_DEFAULT_MARK_MASK;
	c->table_base = CONFIG_DEFAULT_TABLE_BASE;
	c->rule_base = CONFIG_DEFAULT_RULE_BASE;
	c->steering = STEERING_OWN;
	c->distribute = DISTRIBUTE_FLOW;
	c->threaded = THREADED_AUTO;
	c->mode = MODE_AUTO;
	c->health_interval_ms = 500;
	c->health_fail = 5;
	c->health_recover = 5;
	return c;
}

int config_parse(const char *path, const char *text, size_t len, struct diags *diags,
		 struct config **ret_config)
{
	struct config *c = new_config(path);
	struct config_yaml y = {0};

	*ret_config = NULL;
	if (config_yaml_open(&y, &c->arena, c->path, text, len, diags)) {
		config_yaml_walk(&y, y.root, top_keys, c);
		inherit(c);
		check(&y, c);
	}
	if (!config_yaml_done(&y)) {
		config_free(c);
		return -EINVAL;
	}
	*ret_config = c;
	return 0;
}

void config_free(struct config *c)
{
	if (!c)
		return;
	arena_done(&c->arena);
	free(c);
}
