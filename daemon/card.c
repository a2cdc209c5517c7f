/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: site cards. Owns the card's format in both directions, its checksum, and the digest by
 * which two sites notice that one holds an old card of the other. Never decides what of a card's
 * claims is believed (site_build() does), and never repeats a key that it refuses: somebody may
 * have pasted a private one.
 *
 * Invariant: what card_print() writes, card_parse() takes, and both have the same digest. A card
 * is written by somebody else, so everything in it is bounded, and a written card's probe
 * addresses must be those of its keys: otherwise a card could claim another peer's address.
 * Read next: pair.c, which joins the lanes of two cards.
 */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "card.h"
#include "config_net.h"
#include "keys.h"
#include "text.h"

#define CHECKSUM_KEY   "checksum:"
#define CHECKSUM_BYTES 16
#define VERSION_MAJOR  1
#define VERSION_MINOR  0

struct lane_seen {
	bool lane, generation, key, probe, port;
};

struct reader {
	struct card *card;
	bool written; /* by wgscalectl, with a checksum; else by hand */
	struct card_lane *lane;
	struct lane_seen seen;
};

/* ---- the raw text: what must be known before YAML is ---- */

/* The first line that begins with `key`, or NULL. */
static const char *find_line(const char *text, size_t len, const char *key)
{
	const char *p = text, *end = text + len;
	size_t n = strlen(key);

	while (p && (size_t)(end - p) >= n) {
		if (!memcmp(p, key, n))
			return p;
		p = memchr(p, '\n', (size_t)(end - p));
		if (p)
			p++;
	}
	return NULL;
}

static unsigned int line_number(const char *text, const char *p)
{
	unsigned int line = 1;

	for (; text < p; text++)
		if (*text == '\n')
			line++;
	return line;
}

/*
 * Whose card it seems to be, for diagnoses: its site line, however broken the rest is; else the
 * name of the file.
 */
static const char *guess_site(struct arena *a, const char *path, const char *text, size_t len)
{
	const char *line = find_line(text, len, "site:"), *slash = strrchr(path, '/');
	const char *p, *end = text + len;
	char *id;

	if (line && memchr(line, '\n', (size_t)(end - line))) {
		for (p = line + 5; p < end && (*p == ' ' || *p == '"'); p++)
			;
		for (line = p; p < end && !strchr(" \"\r\n#", *p); p++)
			;
		id = arena_strndup(a, line, (size_t)(p - line));
		if (text_is_site_id(id))
			return id;
	}
	id = arena_strdup(a, slash ? slash + 1 : path);
	if (strlen(id) > 5 && !strcmp(id + strlen(id) - 5, ".yaml"))
		id[strlen(id) - 5] = '\0';
	return id;
}

static void checksum(const char *text, size_t len, char ret[static CHECKSUM_BYTES * 2 + 1])
{
	unsigned char h[CHECKSUM_BYTES];

	crypto_generichash_blake2b(h, sizeof(h), (const unsigned char *)text, len, NULL, 0);
	sodium_bin2hex(ret, CHECKSUM_BYTES * 2 + 1, h, sizeof(h));
}

static bool is_blank(const char *p, const char *end)
{
	while (p < end && strchr(" \t\r\n", *p))
		p++;
	return p == end;
}

/* The card as a whole: true when it is as it was written, or was written by hand. */
static bool check_whole(struct config_yaml *y, const char *text, size_t len, bool *ret_written)
{
	const char *line = find_line(text, len, CHECKSUM_KEY), *p, *end = text + len;
	char sum[CHECKSUM_BYTES * 2 + 1];
	struct diag_at at = {y->path, 0, 0, y->peer};

	*ret_written = line != NULL;
	if (!line) {
		if (!find_line(text, len, "serial:"))
			return true;
		config_yaml_say(y, DIAG_ERROR, &at,
				"the checksum line at the end is missing: the card was cut short; "
				"copy it again (a card written by hand has no 'serial')");
		return false;
	}
	at.line = line_number(text, line);
	at.column = 1;
	checksum(text, (size_t)(line - text), sum);
	for (p = line + strlen(CHECKSUM_KEY); p < end && *p == ' '; p++)
		;
	if ((size_t)(end - p) < strlen(sum) || memcmp(p, sum, strlen(sum)) != 0) {
		config_yaml_say(y, DIAG_ERROR, &at,
				"checksum mismatch: the card was changed or cut after it was "
				"written%s; copy it again",
				memchr(text, '\r', len) ? " (its line ends were: copy it as a "
							  "binary file)"
							: "");
		return false;
	}
	if (!is_blank(p + strlen(sum), end)) {
		config_yaml_say(y, DIAG_ERROR, &at,
				"there is text behind the checksum: the card was changed after it "
				"was written; copy it again");
		return false;
	}
	return true;
}

/* ---- lanes ---- */

static void lane_number(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct reader *r = ctx;
	uint64_t v;

	r->seen.lane = true;
	if (config_yaml_u64(y, n, 0, MODEL_LANES_MAX - 1, NULL, &v))
		r->lane->number = (unsigned int)v;
}

static void lane_generation(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct reader *r = ctx;
	uint64_t v;

	r->seen.generation = true;
	if (config_yaml_u64(y, n, 0, UINT32_MAX, NULL, &v))
		r->lane->generation = (uint32_t)v;
}

/* Whoever holds such a key's "private" half, and so anybody, shares the same secret with us. */
static bool is_low_order(const struct key *k)
{
	static const struct key scalar = {{1}};
	struct key shared;

	return crypto_scalarmult_curve25519(shared.b, scalar.b, k->b) != 0;
}

static void lane_key(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct reader *r = ctx;

	r->seen.key = true;
	if (!config_yaml_scalar(y, n, "a WireGuard public key"))
		return;
	if (!strncmp(n->text, "wgscale-secret-", 15))
		config_yaml_error(y, n,
				  "key: this is the secret of a site, which nobody else may have; "
				  "expected a public key. Make a new secret");
	else if (key_parse(n->text, &r->lane->key))
		config_yaml_error(y, n,
				  "key: not a WireGuard public key; expected 44 characters of "
				  "base64, the last one '='");
	else if (is_low_order(&r->lane->key))
		config_yaml_error(y, n,
				  "key: a low-order key, with which nothing would be secret; "
				  "get the card from its site again");
}

static void lane_probe(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct reader *r = ctx;

	r->seen.probe = true;
	if (r->written) {
		if (config_yaml_scalar(y, n, "an address") && addr_parse(n->text, &r->lane->probe))
			config_yaml_error(y, n, "probe: '%s' is no address",
					  config_yaml_show(y, n));
		return;
	}
	config_net_addr(y, n, &r->lane->probe);
}

static void lane_port(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct reader *r = ctx;
	uint64_t v;

	r->seen.port = true;
	if (config_yaml_u64(y, n, 1, UINT16_MAX, NULL, &v))
		r->lane->port = (uint16_t)v;
}

static const struct config_yaml_key written_lane_keys[] = {
	{"lane", lane_number, NULL},
	{"generation", lane_generation, NULL},
	{"key", lane_key, NULL},
	{"probe", lane_probe, NULL},
	{"port", NULL, "is for cards written by hand; here it follows from port-base"},
	{NULL, NULL, NULL},
};

static const struct config_yaml_key plain_lane_keys[] = {
	{"lane", lane_number, NULL},
	{"key", lane_key, NULL},
	{"probe", lane_probe, NULL},
	{"port", lane_port, NULL},
	{"generation", NULL, "is only in cards that wgscalectl writes; remove it"},
	{NULL, NULL, NULL},
};

static void check_lane(struct config_yaml *y, const struct config_yaml_node *n,
		       const struct reader *r, size_t errors)
{
	const struct lane_seen *s = &r->seen;
	const char *missing = NULL;
	struct ipaddr probe;

	if (!s->key)
		missing = "key";
	else if (r->written && !s->lane)
		missing = "lane";
	else if (r->written && !s->generation)
		missing = "generation";
	else if (r->written && !s->probe)
		missing = "probe";
	else if (!r->written && !s->port)
		missing = "port";
	if (missing) {
		config_yaml_error(y, n, "lanes: '%s' is missing%s", missing,
				  strcmp(missing, "port")
					  ? ""
					  : "; expected the UDP port that this lane "
					    "listens on");
		return;
	}
	if (!r->written || y->diags->errors != errors)
		return;
	keys_probe(&r->lane->key, &probe);
	if (addr_cmp(&probe, &r->lane->probe))
		config_yaml_error(y, n,
				  "probe: not the address that belongs to this key; get the "
				  "card from its site again");
}

static void top_lanes(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	const struct config_yaml_node *i;
	struct reader *r = ctx;
	struct card *c = r->card;

	if (!config_yaml_is_list(y, n, MODEL_LANES_MAX, "a list of lanes"))
		return;
	if (n->kind == CONFIG_YAML_LIST && !n->n) {
		config_yaml_error(y, n, "lanes: none; expected at least one");
		return;
	}
	c->lanes = arena_alloc(y->keep, MODEL_LANES_MAX, sizeof(*c->lanes));
	for (i = config_yaml_first(n); i; i = config_yaml_next(n, i)) {
		size_t errors = y->diags->errors;

		r->lane = &c->lanes[c->n_lanes];
		*r->lane = (struct card_lane){
			.number = (unsigned int)c->n_lanes,
			.at = config_yaml_at(y, i),
		};
		c->n_lanes++;
		r->seen = (struct lane_seen){0};
		config_yaml_walk(y, i, r->written ? written_lane_keys : plain_lane_keys, r);
		if (i->kind == CONFIG_YAML_MAP)
			check_lane(y, i, r, errors);
	}
}

/* ---- the top level ---- */

/* Dealt with before the walk. */
static void top_known(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
}

static void top_site(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct reader *r = ctx;

	config_yaml_site_id(y, n, &r->card->site);
}

static void top_serial(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct reader *r = ctx;

	config_yaml_u64(y, n, 1, UINT64_MAX, NULL, &r->card->serial);
}

static void top_endpoints(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct reader *r = ctx;

	config_net_endpoints(y, n, &r->card->endpoints, &r->card->n_endpoints);
}

static void top_port_base(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct reader *r = ctx;
	uint64_t v;

	if (config_yaml_u64(y, n, 1, UINT16_MAX, NULL, &v))
		r->card->port_base = (uint16_t)v;
}

static void top_networks(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct reader *r = ctx;

	config_net_prefixes(y, n, &r->card->networks);
}

static void top_transit(struct config_yaml *y, const struct config_yaml_node *n, void *ctx)
{
	struct reader *r = ctx;

	config_net_prefixes(y, n, &r->card->transit);
}

static const struct config_yaml_key written_keys[] = {
	{"card", top_known, NULL},	    {"site", top_site, NULL},
	{"serial", top_serial, NULL},	    {"endpoints", top_endpoints, NULL},
	{"port-base", top_port_base, NULL}, {"lanes", top_lanes, NULL},
	{"networks", top_networks, NULL},   {"transit", top_transit, NULL},
	{"checksum", top_known, NULL},	    {NULL, NULL, NULL},
};

static const struct config_yaml_key plain_keys[] = {
	{"card", top_known, NULL},
	{"site", top_site, NULL},
	{"endpoints", top_endpoints, NULL},
	{"lanes", top_lanes, NULL},
	{"networks", top_networks, NULL},
	{"transit", top_transit, NULL},
	{"port-base", NULL, "is not in a card written by hand; give each lane its 'port'"},
	{"serial", NULL, "is only in cards that wgscalectl writes; remove it"},
	{"checksum", NULL,
	 "must be the last line, on its own; remove it from a card written by hand"},
	{NULL, NULL, NULL},
};

/* "1" or "1.2"; a later minor version adds keys that may be left aside, a later major does not. */
static bool check_version(struct config_yaml *y, const struct reader *r)
{
	const struct config_yaml_node *n = config_yaml_get(y->root, "card");
	uint64_t major = 0, minor = VERSION_MINOR;
	char *dot, *s;

	if (!n) {
		config_yaml_error(
			y, NULL,
			"this is no site card: the key 'card' is missing; expected 'card: "
			"%d' first",
			VERSION_MAJOR);
		return false;
	}
	if (!config_yaml_scalar(y, n, "card: 1"))
		return false;
	s = arena_strdup(&y->arena, n->text);
	dot = strchr(s, '.');
	if (dot)
		*dot++ = '\0';
	if (text_parse_u64(s, 1, UINT32_MAX, &major) ||
	    (dot && text_parse_u64(dot, 0, UINT32_MAX, &minor))) {
		config_yaml_error(y, n, "card: '%s' is no version; expected %d",
				  config_yaml_show(y, n), VERSION_MAJOR);
		return false;
	}
	if (major > VERSION_MAJOR) {
		config_yaml_error(y, n,
				  "this card was made by a later version of wgscale (card: %s), "
				  "this one reads card: %d; upgrade here, or have it made for "
				  "card: %d",
				  config_yaml_show(y, n), VERSION_MAJOR, VERSION_MAJOR);
		return false;
	}
	y->lenient = r->written && minor > VERSION_MINOR;
	return true;
}

static int cmp_lane(const void *a, const void *b)
{
	const struct card_lane *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

/* Equal keys, numbers or ports on two lanes; the later one in the file is named. */
static void check_lanes_differ(struct config_yaml *y, const struct reader *r)
{
	const struct card *c = r->card;
	size_t i, j;

	for (i = 1; i < c->n_lanes; i++) {
		const struct card_lane *a = &c->lanes[i];

		for (j = 0; j < i; j++) {
			const struct card_lane *b = &c->lanes[j];

			if (a->number == b->number)
				config_yaml_say(y, DIAG_ERROR, &a->at,
						"lanes: a second lane %u; the first is in line %u",
						a->number, b->at.line);
			if (!key_cmp(&a->key, &b->key) && !key_is_zero(&a->key))
				config_yaml_say(
					y, DIAG_ERROR, &a->at,
					"lanes: the key is that of the lane in line %u; each "
					"lane needs its own",
					b->at.line);
			if (!r->written && a->port && a->port == b->port)
				config_yaml_say(
					y, DIAG_ERROR, &a->at,
					"lanes: port %u is that of the lane in line %u; each "
					"lane needs its own",
					a->port, b->at.line);
		}
	}
}

/* Ports of the lanes of a written card, which counts them from its port base. */
static void set_ports(struct config_yaml *y, struct card *c)
{
	unsigned int highest = c->lanes[c->n_lanes - 1].number;
	size_t i;

	if (c->port_base + highest > UINT16_MAX) {
		config_yaml_error(y, config_yaml_get(y->root, "port-base"),
				  "port-base: lane %u would have port %u; expected at most %u",
				  highest, c->port_base + highest, UINT16_MAX - highest);
		return;
	}
	for (i = 0; i < c->n_lanes; i++)
		c->lanes[i].port = (uint16_t)(c->port_base + c->lanes[i].number);
}

static void check_endpoint_ports(struct config_yaml *y, const struct card *c)
{
	unsigned int highest = c->lanes[c->n_lanes - 1].number;
	size_t i;

	for (i = 0; i < c->n_endpoints; i++)
		if (c->endpoints[i].port_base + highest > UINT16_MAX)
			config_yaml_say(
				y, DIAG_ERROR, &c->endpoints[i].at,
				"endpoints: lane %u would have port %u; expected at most %u",
				highest, c->endpoints[i].port_base + highest, UINT16_MAX - highest);
}

static void check(struct config_yaml *y, const struct reader *r)
{
	static const char *const written[] = {"site", "serial", "port-base", "lanes", NULL};
	static const char *const by_hand[] = {"site", "lanes", NULL};
	const char *const *need = r->written ? written : by_hand;
	struct card *c = r->card;

	for (; *need; need++)
		if (!config_yaml_get(y->root, *need))
			config_yaml_error(y, NULL, "the key '%s' is missing", *need);
	check_lanes_differ(y, r);
	if (!c->n_lanes)
		return;
	qsort(c->lanes, c->n_lanes, sizeof(*c->lanes), cmp_lane);
	if (r->written)
		set_ports(y, c);
	check_endpoint_ports(y, c);
}

int card_parse(const char *path, const char *text, size_t len, struct diags *diags,
	       struct card **ret_card)
{
	struct card *c = xcalloc(1, sizeof(*c));
	struct reader r = {.card = c};
	struct config_yaml y = {
		.diags = diags,
		.first_diag = diags->n,
		.first_errors = diags->errors,
	};

	*ret_card = NULL;
	y.path = c->path = arena_strdup(&c->arena, path);
	y.peer = guess_site(&c->arena, path, text, len);
	if (check_whole(&y, text, len, &r.written) &&
	    config_yaml_open(&y, &c->arena, c->path, text, len, diags) && check_version(&y, &r)) {
		c->plain = !r.written;
		config_yaml_walk(&y, y.root, r.written ? written_keys : plain_keys, &r);
		check(&y, &r);
	}
	if (!config_yaml_done(&y)) {
		card_free(c);
		return -EINVAL;
	}
	c->digest = card_digest(c);
	*ret_card = c;
	return 0;
}

void card_free(struct card *c)
{
	if (!c)
		return;
	arena_done(&c->arena);
	free(c);
}

/* ---- writing, and the digest ---- */

/* The card of our own site; refers to the site and its config, lanes lie in ret->arena. */
static void card_of(const struct site *site, struct card *ret)
{
	const struct config *config = site->config;
	size_t i;

	*ret = (struct card){
		.site = site->id,
		.endpoints = config->endpoints,
		.n_endpoints = config->n_endpoints,
		.port_base = config->port_base,
		.networks = config->networks,
		.transit = config->transit,
	};
	ret->lanes = arena_alloc(&ret->arena, site->n_lanes, sizeof(*ret->lanes));
	ret->n_lanes = site->n_lanes;
	for (i = 0; i < site->n_lanes; i++)
		ret->lanes[i] = (struct card_lane){
			.number = site->lanes[i].number,
			.generation = site->lanes[i].generation,
			.key = site->lanes[i].public_key,
			.port = site->lanes[i].port,
			.probe = site->lanes[i].probe,
		};
}

static void print_endpoint(const struct config_endpoint *e, struct text *out)
{
	bool v6 = !e->name && e->addr.family == AF_INET6;
	char buf[ADDR_STRLEN];

	text_printf(out, "%s%s%s", v6 && e->port_base ? "[" : "",
		    e->name ? e->name : addr_print(&e->addr, buf), v6 && e->port_base ? "]" : "");
	if (e->port_base)
		text_printf(out, ":%u", e->port_base);
}

static void print_prefixes(const char *name, const struct config_prefixes *l, struct text *out)
{
	char buf[ADDR_STRLEN];
	size_t i;

	if (l->n)
		text_printf(out, "%s:\n", name);
	for (i = 0; i < l->n; i++)
		text_printf(out, "- \"%s\"\n", addr_print_prefix(&l->items[i].prefix, buf));
}

void card_print(const struct site *site, uint64_t serial, struct text *out)
{
	char sum[CHECKSUM_BYTES * 2 + 1], key[MODEL_KEY_STRLEN], addr[ADDR_STRLEN];
	size_t start = out->len, i;
	struct card c;

	card_of(site, &c);
	text_printf(
		out,
		"# The card of the wgscale site '%s'. It is public: give it to the sites that are\n"
		"# to be its peers, as peers.d/%s.yaml beside their site.yaml, unchanged.\n"
		"card: %d\n"
		"site: %s\n"
		"serial: %llu\n",
		c.site, c.site, VERSION_MAJOR, c.site, (unsigned long long)serial);
	if (c.n_endpoints)
		text_printf(out, "endpoints:\n");
	for (i = 0; i < c.n_endpoints; i++) {
		text_printf(out, "- \"");
		print_endpoint(&c.endpoints[i], out);
		text_printf(out, "\"\n");
	}
	text_printf(out, "port-base: %u\nlanes:\n", c.port_base);
	for (i = 0; i < c.n_lanes; i++)
		text_printf(out, "- {lane: %u, generation: %u, key: \"%s\", probe: \"%s\"}\n",
			    c.lanes[i].number, c.lanes[i].generation,
			    key_print(&c.lanes[i].key, key), addr_print(&c.lanes[i].probe, addr));
	print_prefixes("networks", &c.networks, out);
	print_prefixes("transit", &c.transit, out);
	checksum(out->s + start, out->len - start, sum);
	text_printf(out, CHECKSUM_KEY " %s\n", sum);
	arena_done(&c.arena);
}

static int cmp_line(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* One line per fact, and the lines sorted: then layout and order cannot matter. */
uint64_t card_digest(const struct card *c)
{
	size_t n = 2 + c->n_endpoints + c->n_lanes + c->networks.n + c->transit.n, i, at = 0;
	char key[MODEL_KEY_STRLEN], addr[ADDR_STRLEN];
	struct arena a = {0};
	struct text t = {0};
	char **lines = arena_alloc(&a, n, sizeof(*lines));
	uint64_t digest;

	lines[at++] = arena_printf(&a, "site %s", c->site);
	lines[at++] = arena_printf(&a, "port-base %u", c->port_base);
	for (i = 0; i < c->n_endpoints; i++) {
		text_reset(&t);
		print_endpoint(&c->endpoints[i], &t);
		lines[at++] = arena_printf(&a, "endpoint %s", text_str(&t));
	}
	for (i = 0; i < c->n_lanes; i++)
		lines[at++] = arena_printf(&a, "lane %u %u %s %u %s", c->lanes[i].number,
					   c->lanes[i].generation, key_print(&c->lanes[i].key, key),
					   c->lanes[i].port, addr_print(&c->lanes[i].probe, addr));
	for (i = 0; i < c->networks.n; i++)
		lines[at++] = arena_printf(&a, "network %s",
					   addr_print_prefix(&c->networks.items[i].prefix, addr));
	for (i = 0; i < c->transit.n; i++)
		lines[at++] = arena_printf(&a, "transit %s",
					   addr_print_prefix(&c->transit.items[i].prefix, addr));
	qsort(lines, n, sizeof(*lines), cmp_line);
	text_reset(&t);
	for (i = 0; i < n; i++)
		text_printf(&t, "%s\n", lines[i]);
	digest = keys_hash64("wgscard", text_str(&t), t.len);
	text_done(&t);
	arena_done(&a);
	return digest ? digest : 1;
}

uint64_t card_digest_site(const struct site *site)
{
	struct card c;
	uint64_t digest;

	card_of(site, &c);
	digest = card_digest(&c);
	arena_done(&c.arena);
	return digest;
}
