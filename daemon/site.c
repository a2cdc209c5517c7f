/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: Compiles what the operator wrote and what the peers claim into one consistent site: lane
 * keys, tunnels, networks, seeds. This is where a card's claims are weighed (accept, overlaps,
 * keys that are our own) and where everything that can be wrong between two files is found. It
 * reads no file and asks no kernel; what it must know of the host comes as facts. Invariant: a
 * peer in the result is sound, one that is not is left out with a diagnosis naming it.
 */
#include "site.h"

#include <assert.h>
#include <errno.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "card.h"
#include "map.h"
#include "pair.h"

struct site_build {
	const struct site_input *in;
	struct diags *diags;
	struct site *site;
	bool failed;
};

static void complain(struct site_build *b, enum diag_level level, const struct diag_at *at,
		     const char *peer, const char *text)
{
	struct diag_at where = at ? *at : (struct diag_at){.file = b->in->config->path};

	where.peer = peer;
	diag_add(b->diags, level, &where, "%s", text);
	if (level == DIAG_ERROR && !peer)
		b->failed = true;
}

#define COMPLAIN(b, level, at, peer, ...)                               \
	do {                                                            \
		struct text complain_text = {0};                        \
		text_printf(&complain_text, __VA_ARGS__);               \
		complain(b, level, at, peer, text_str(&complain_text)); \
		text_done(&complain_text);                              \
	} while (0)

/* ---- lanes ---- */

/* With `lanes: auto` the number is known only here; the site file was checked for a guess. */
static unsigned int lane_count(struct site_build *b)
{
	const struct config *c = b->in->config;
	unsigned int n = c->lanes ? c->lanes : b->in->auto_lanes;
	unsigned int slots = c->mark_mask >> __builtin_ctz(c->mark_mask);

	if (c->port_base + n - 1 > 65535)
		COMPLAIN(
			b, DIAG_ERROR, &c->port_base_at, NULL,
			"%u lanes from port %u on do not fit below 65536; choose a lower port-base",
			n, c->port_base);
	if (n + 1 > slots)
		COMPLAIN(b, DIAG_ERROR, &c->mark_mask_at, NULL,
			 "mark-mask 0x%x has room for %u lanes, not for %u", c->mark_mask,
			 slots - 1, n);
	return n;
}

static void build_lanes(struct site_build *b)
{
	const struct config *c = b->in->config;
	struct site *s = b->site;

	s->n_lanes = lane_count(b);
	s->lanes = arena_alloc(&s->arena, s->n_lanes, sizeof(*s->lanes));
	for (size_t i = 0; i < s->n_lanes; i++) {
		struct lane *l = &s->lanes[i];

		l->number = (unsigned int)i;
		l->generation = 1;
		l->port = (uint16_t)(c->port_base + i);
		/* At most "wgs63": MODEL_LANES_MAX. */
		strcpy(l->dev, MODEL_DEV_PREFIX);
		if (i >= 10)
			l->dev[3] = (char)('0' + i / 10);
		l->dev[strlen(l->dev)] = (char)('0' + i % 10);
		keys_lane(b->in->secret, l->number, l->generation, &l->private_key, &l->public_key);
		keys_probe(&l->public_key, &l->probe);
		/* RFC 3927 reserves the first and the last 256 addresses. */
		l->link4 = (struct ipaddr){
			.family = AF_INET,
			.b = {169, 254, (uint8_t)(1 + l->probe.b[14] % 254), l->probe.b[15]}};
	}
}

/* Devices of others that hold our names or ports. */
static void check_foreign(struct site_build *b)
{
	const struct facts *f = b->in->facts;
	const struct site *s = b->site;

	for (size_t i = 0; f && i < f->n_foreign; i++)
		for (size_t l = 0; l < s->n_lanes; l++) {
			const struct fact_link *d = &f->foreign[i];

			if (strcmp(d->dev, s->lanes[l].dev) == 0)
				COMPLAIN(b, DIAG_ERROR, NULL, NULL,
					 "a device named %s exists and was not made by wgscale; "
					 "rename or delete it (ip link del %s)",
					 d->dev, d->dev);
			else if (d->wireguard && d->port == s->lanes[l].port)
				COMPLAIN(b, DIAG_ERROR, &b->in->config->port_base_at, NULL,
					 "UDP port %u of lane %zu is taken by the WireGuard device "
					 "%s; choose another port-base",
					 d->port, l, d->dev);
		}
}

/* ---- what a peer may claim ---- */

static bool accept_names(const struct config_peer *p, const struct prefix *claim)
{
	for (size_t i = 0; i < p->accept.n; i++)
		if (addr_cmp_prefix(&p->accept.items[i].prefix, claim) == 0)
			return true;
	return false;
}

static bool accept_holds(const struct config_peer *p, const struct prefix *claim)
{
	for (size_t i = 0; i < p->accept.n; i++)
		if (addr_contains(&p->accept.items[i].prefix, claim))
			return true;
	return false;
}

static const struct config_endpoint *endpoint_in(const struct config_endpoint *endpoints, size_t n,
						 const struct prefix *claim)
{
	for (size_t i = 0; i < n; i++)
		if (endpoints[i].addr.family && addr_in(claim, &endpoints[i].addr))
			return &endpoints[i];
	return NULL;
}

static const char *endpoint_of(struct site_build *b, const struct config_endpoint *endpoint,
			       const char *peer, const char *claimer)
{
	char buf[ADDR_STRLEN];

	return arena_printf(&b->site->arena, "the endpoint %s of %s",
			    addr_print(&endpoint->addr, buf),
			    strcmp(peer, claimer) == 0 ? "that peer itself" : peer);
}

/* Says what is ours or anybody's endpoint that `claim` overlaps; NULL: nothing. */
static const char *overlap(struct site_build *b, const struct card *card,
			   const struct prefix *claim)
{
	const struct config *c = b->in->config;
	const struct facts *f = b->in->facts;
	const struct config_endpoint *at;
	char buf[ADDR_STRLEN];

	for (size_t i = 0; i < c->networks.n; i++)
		if (addr_overlaps(&c->networks.items[i].prefix, claim))
			return arena_printf(&b->site->arena, "our own network %s",
					    addr_print_prefix(&c->networks.items[i].prefix, buf));
	for (size_t i = 0; f && i < f->n_addrs; i++)
		if (addr_overlaps(&f->addrs[i].prefix, claim))
			return arena_printf(&b->site->arena, "%s, which %s is connected to",
					    addr_print_prefix(&f->addrs[i].prefix, buf),
					    f->addrs[i].dev);
	at = endpoint_in(c->endpoints, c->n_endpoints, claim);
	if (at)
		return arena_printf(&b->site->arena, "our own endpoint %s",
				    addr_print(&at->addr, buf));
	for (size_t i = 0; i < c->n_peers; i++) {
		at = endpoint_in(c->peers[i].endpoints, c->peers[i].n_endpoints, claim);
		if (at)
			return endpoint_of(b, at, c->peers[i].id, card->site);
	}
	for (size_t i = 0; i < b->in->n_cards; i++) {
		const struct card *other = b->in->cards[i];

		at = endpoint_in(other->endpoints, other->n_endpoints, claim);
		if (at)
			return endpoint_of(b, at, other->site, card->site);
	}
	return NULL;
}

static bool claim_taken(struct site_build *b, const struct config_peer *cp, const struct card *card,
			const struct config_prefix *claim)
{
	char buf[ADDR_STRLEN];
	const char *what;

	addr_print_prefix(&claim->prefix, buf);
	if (accept_names(cp, &claim->prefix))
		return true;
	if (cp->has_accept && !accept_holds(cp, &claim->prefix)) {
		COMPLAIN(b, DIAG_WARNING, &claim->at, NULL,
			 "%s claims %s, which its accept: does not hold; left out", cp->id, buf);
		return false;
	}
	what = claim->prefix.len == 0 ? "everything" : overlap(b, card, &claim->prefix);
	if (what)
		COMPLAIN(b, DIAG_WARNING, &claim->at, NULL,
			 "%s claims %s, which overlaps %s; left out; to take it, name it: "
			 "accept: [\"%s\"]",
			 cp->id, buf, what, buf);
	return !what;
}

bool site_claims(const struct peer *p, const struct prefix *net)
{
	const struct config_prefixes *lists[] = {&p->card->networks, &p->card->transit};

	if (p->config->has_accept && !accept_holds(p->config, net))
		return false;
	for (size_t l = 0; l < 2; l++)
		for (size_t i = 0; i < lists[l]->n; i++)
			if (addr_contains(&lists[l]->items[i].prefix, net))
				return true;
	return false;
}

static int cmp_prefix(const void *a, const void *b)
{
	return addr_cmp_prefix(a, b);
}

static void take_networks(struct site_build *b, struct peer *p)
{
	const struct config_prefixes *lists[] = {&p->card->networks, &p->card->transit};
	size_t n = 0;

	for (size_t l = 0; l < 2; l++)
		for (size_t i = 0; i < lists[l]->n; i++)
			if (claim_taken(b, p->config, p->card, &lists[l]->items[i])) {
				struct prefix *slot =
					arena_grow(&b->site->arena, (void **)&p->networks,
						   &p->n_networks, sizeof(*slot));
				*slot = lists[l]->items[i].prefix;
			}
	if (!p->n_networks)
		return;
	qsort(p->networks, p->n_networks, sizeof(*p->networks), cmp_prefix);
	for (size_t i = 0; i < p->n_networks; i++)
		if (!n || addr_cmp_prefix(&p->networks[n - 1], &p->networks[i]) != 0)
			p->networks[n++] = p->networks[i];
	p->n_networks = n;
}

/* ---- one peer ---- */

static bool has_error(const struct site_build *b, const char *peer)
{
	for (size_t i = 0; i < b->diags->n; i++)
		if (b->diags->items[i].level == DIAG_ERROR && b->diags->items[i].peer &&
		    strcmp(b->diags->items[i].peer, peer) == 0)
			return true;
	return false;
}

static const struct card *find_card(struct site_build *b, const struct config_peer *cp)
{
	const struct card *found = NULL;

	for (size_t i = 0; i < b->in->n_cards; i++) {
		if (strcmp(b->in->cards[i]->site, cp->id) != 0)
			continue;
		if (found) {
			COMPLAIN(b, DIAG_ERROR, &cp->at, cp->id,
				 "two cards for %s: %s and %s; remove the older one", cp->id,
				 found->path, b->in->cards[i]->path);
			return NULL;
		}
		found = b->in->cards[i];
	}
	/* A card that is there and in error has been complained of. */
	if (!found && !has_error(b, cp->id))
		COMPLAIN(b, DIAG_ERROR, &cp->at, cp->id,
			 "no card for peer %s in peers.d; ask its operator for the output of "
			 "'wgscalectl card'",
			 cp->id);
	return found;
}

static bool keys_sound(struct site_build *b, const struct peer *p)
{
	const struct site *s = b->site;

	for (size_t i = 0; i < p->card->n_lanes; i++) {
		const struct card_lane *cl = &p->card->lanes[i];

		for (size_t l = 0; l < s->n_lanes; l++)
			if (key_cmp(&cl->key, &s->lanes[l].public_key) == 0) {
				COMPLAIN(b, DIAG_ERROR, &cl->at, p->id,
					 "lane %u of %s has the key of our own lane %zu; this is "
					 "our own card, or both sites share one secret: run "
					 "'wgscalectl keygen' on one of them",
					 cl->number, p->id, l);
				return false;
			}
		for (size_t k = 0; k < s->n_peers; k++)
			for (size_t t = 0; t < s->peers[k].n_tunnels; t++)
				if (key_cmp(&cl->key, &s->peers[k].tunnels[t].key) == 0) {
					COMPLAIN(b, DIAG_ERROR, &cl->at, p->id,
						 "lane %u of %s has the same key as a lane of %s",
						 cl->number, p->id, s->peers[k].id);
					return false;
				}
	}
	return true;
}

static const struct card_lane *card_lane(const struct card *c, unsigned int number)
{
	for (size_t i = 0; i < c->n_lanes; i++)
		if (c->lanes[i].number == number)
			return &c->lanes[i];
	return NULL;
}

static void pair_lanes(struct site_build *b, struct peer *p, struct pair *pairs, size_t *ret_n)
{
	unsigned int ours[MODEL_LANES_MAX], theirs[MODEL_LANES_MAX];
	const struct site *s = b->site;

	for (size_t i = 0; i < s->n_lanes; i++)
		ours[i] = s->lanes[i].number;
	for (size_t i = 0; i < p->card->n_lanes; i++)
		theirs[i] = p->card->lanes[i].number;
	if (!p->plain) {
		pair_build(s->id, ours, s->n_lanes, p->id, theirs, p->card->n_lanes, pairs, ret_n);
		return;
	}
	/* A plain router's operator pairs by hand: lane i with lane i. */
	*ret_n = s->n_lanes < p->card->n_lanes ? s->n_lanes : p->card->n_lanes;
	for (size_t i = 0; i < *ret_n; i++)
		pairs[i] = (struct pair){.ours = ours[i], .theirs = theirs[i]};
}

static void build_tunnels(struct site_build *b, struct peer *p)
{
	struct pair pairs[MODEL_LANES_MAX];
	size_t n = 0;

	pair_lanes(b, p, pairs, &n);
	p->tunnels = arena_alloc(&b->site->arena, n, sizeof(*p->tunnels));
	p->n_tunnels = n;
	for (size_t i = 0; i < n; i++) {
		const struct card_lane *cl = card_lane(p->card, pairs[i].theirs);

		assert(cl); /* pair_lanes() takes its numbers from the card */
		p->tunnels[i] = (struct tunnel){
			.ours = pairs[i].ours,
			.theirs = pairs[i].theirs,
			.index = (unsigned int)i,
			.key = cl->key,
			.port = cl->port,
			.probe = cl->probe,
		};
	}
	if (n)
		map_home(p->tunnels, n, strcmp(b->site->id, p->id) < 0, p->home);
}

static bool take_psk(struct site_build *b, struct peer *p)
{
	const char *why = "it was not read";

	if (!p->config->psk_file)
		return true;
	for (size_t i = 0; i < b->in->n_psks; i++) {
		const struct site_psk *k = &b->in->psks[i];

		if (strcmp(k->peer, p->id) != 0)
			continue;
		if (k->text && keys_parse_psk(k->text, &p->psk, &why) == 0) {
			p->has_psk = true;
			return true;
		}
		why = k->why ? k->why : why;
	}
	COMPLAIN(b, DIAG_ERROR, &p->config->psk_at, p->id, "preshared-key-file %s: %s",
		 p->config->psk_file, why);
	return false;
}

static enum traffic traffic_of(struct site_build *b, const struct config_peer *cp)
{
	for (size_t i = 0; i < b->in->n_traffic; i++)
		if (strcmp(b->in->traffic[i].peer, cp->id) == 0)
			return b->in->traffic[i].traffic;
	return cp->traffic;
}

void site_hold(struct site *s, const struct prefix *net)
{
	struct prefix *slot;

	for (size_t i = 0; i < s->n_held; i++)
		if (addr_cmp_prefix(&s->held[i], net) == 0)
			return;
	slot = arena_grow(&s->arena, (void **)&s->held, &s->n_held, sizeof(*slot));
	*slot = *net;
}

void site_release(struct site *s, const struct peer *p)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_held; i++)
		if (!site_claims(p, &s->held[i]))
			s->held[n++] = s->held[i];
	s->n_held = n;
}

/* The peer cannot be reached, but what is meant for it must not go elsewhere. */
static void hold(struct site_build *b, const struct peer *p)
{
	for (size_t i = 0; p->traffic == TRAFFIC_ON && i < p->n_networks; i++)
		site_hold(b->site, &p->networks[i]);
}

static bool build_peer(struct site_build *b, const struct config_peer *cp, struct peer *p)
{
	struct site *s = b->site;

	memset(p, 0, sizeof(*p));
	p->id = cp->id;
	p->config = cp;
	p->traffic = traffic_of(b, cp);
	p->card = find_card(b, cp);
	if (!p->card)
		return false;
	p->plain = p->card->plain;
	p->endpoints = cp->n_endpoints ? cp->endpoints : p->card->endpoints;
	p->n_endpoints = cp->n_endpoints ? cp->n_endpoints : p->card->n_endpoints;
	p->swap = strcmp(s->id, cp->id) > 0;
	take_networks(b, p);
	if (!keys_sound(b, p) || !take_psk(b, p)) {
		hold(b, p);
		return false;
	}
	if (keys_seed(&s->lanes[0].private_key, &p->card->lanes[0].key, s->id, p->id, &p->seed) !=
	    0) {
		COMPLAIN(b, DIAG_ERROR, &p->card->lanes[0].at, p->id,
			 "lane %u of %s has a key that WireGuard refuses (low order); ask for a "
			 "new card",
			 p->card->lanes[0].number, p->id);
		hold(b, p);
		return false;
	}
	build_tunnels(b, p);
	if (!p->n_networks)
		COMPLAIN(b, DIAG_WARNING, &cp->at, NULL,
			 "no network of %s is taken: its tunnels will carry nothing", p->id);
	return true;
}

/* ---- between peers ---- */

struct claim {
	const struct prefix *prefix;
	size_t peer;
};

static int cmp_claim(const void *x, const void *y)
{
	const struct claim *a = x, *b = y;
	int c = addr_cmp_prefix(a->prefix, b->prefix);

	return c ? c : a->peer < b->peer ? -1 : a->peer > b->peer;
}

/* Equal networks of two peers: the one that is later in the file is left out. */
static void drop_clashes(struct site_build *b)
{
	struct site *s = b->site;
	bool bad[MODEL_PEERS_MAX] = {false};
	struct claim *claims = NULL;
	size_t n = 0, kept = 0;
	char buf[ADDR_STRLEN];

	for (size_t i = 0; i < s->n_peers; i++)
		for (size_t j = 0; j < s->peers[i].n_networks; j++) {
			struct claim *c = arena_grow(&s->arena, (void **)&claims, &n, sizeof(*c));

			*c = (struct claim){.prefix = &s->peers[i].networks[j], .peer = i};
		}
	if (n > 1)
		qsort(claims, n, sizeof(*claims), cmp_claim);
	for (size_t i = 1; i < n; i++) {
		const struct peer *first = &s->peers[claims[i - 1].peer];
		const struct peer *second = &s->peers[claims[i].peer];

		if (first == second || addr_cmp_prefix(claims[i - 1].prefix, claims[i].prefix) != 0)
			continue;
		COMPLAIN(b, DIAG_ERROR, &second->config->at, second->id,
			 "%s is claimed by both %s and %s; leave it to one of them with accept:",
			 addr_print_prefix(claims[i].prefix, buf), first->id, second->id);
		bad[claims[i].peer] = true;
	}
	for (size_t i = 0; i < s->n_peers; i++)
		if (!bad[i])
			s->peers[kept++] = s->peers[i];
		else
			hold(b, &s->peers[i]);
	s->n_peers = kept;
}

static void check_unused_cards(struct site_build *b)
{
	const struct config *c = b->in->config;

	for (size_t i = 0; i < b->in->n_cards; i++) {
		const struct card *card = b->in->cards[i];
		struct diag_at at = {.file = card->path};
		bool used = false;

		for (size_t j = 0; j < c->n_peers; j++)
			used = used || strcmp(c->peers[j].id, card->site) == 0;
		if (!used)
			COMPLAIN(b, DIAG_WARNING, &at, NULL,
				 "this card is not used: '%s' is not under peers: in the site file",
				 card->site);
	}
}

static void check_address(struct site_build *b)
{
	const struct config *c = b->in->config;
	const struct ipaddr *wanted[] = {&c->address4, &c->address6};
	const struct facts *f = b->in->facts;
	char buf[ADDR_STRLEN];

	for (size_t k = 0; f && k < 2; k++) {
		bool found = !wanted[k]->family;

		for (size_t i = 0; i < f->n_addrs; i++)
			found = found || addr_cmp(&f->addrs[i].addr, wanted[k]) == 0;
		if (!found)
			COMPLAIN(b, DIAG_WARNING, &c->address_at, NULL,
				 "address %s is not on any interface of this host; packets of the "
				 "gateway itself get another source until it is",
				 addr_print(wanted[k], buf));
	}
}

static int cmp_peer(const void *a, const void *b)
{
	return strcmp(((const struct peer *)a)->id, ((const struct peer *)b)->id);
}

int site_build(const struct site_input *in, struct diags *diags, struct site **ret_site)
{
	struct site *s = xcalloc(1, sizeof(*s));
	struct site_build b = {.in = in, .diags = diags, .site = s};

	*ret_site = NULL;
	s->config = in->config;
	s->id = in->config->site;
	build_lanes(&b);
	check_foreign(&b);
	check_address(&b);
	s->card_digest = card_digest_site(s);
	s->peers = arena_alloc(&s->arena, in->config->n_peers, sizeof(*s->peers));
	for (size_t i = 0; i < in->config->n_peers; i++)
		if (build_peer(&b, &in->config->peers[i], &s->peers[s->n_peers]))
			s->n_peers++;
	drop_clashes(&b);
	if (s->n_peers > 1)
		qsort(s->peers, s->n_peers, sizeof(*s->peers), cmp_peer);
	for (size_t i = 0; i < s->n_peers; i++)
		s->peers[i].index = (unsigned int)i;
	check_unused_cards(&b);
	if (b.failed) {
		site_free(s);
		return -EINVAL;
	}
	*ret_site = s;
	return 0;
}

void site_free(struct site *s)
{
	if (!s)
		return;
	arena_done(&s->arena);
	free(s);
}

struct peer *site_peer(const struct site *s, const char *id)
{
	for (size_t i = 0; i < s->n_peers; i++)
		if (strcmp(s->peers[i].id, id) == 0)
			return &s->peers[i];
	return NULL;
}

bool site_carries(const struct site *s, const struct prefix *net)
{
	for (size_t i = 0; i < s->n_peers; i++)
		for (size_t j = 0; j < s->peers[i].n_networks; j++)
			if (s->peers[i].traffic == TRAFFIC_ON &&
			    addr_cmp_prefix(&s->peers[i].networks[j], net) == 0)
				return true;
	return false;
}

struct lane *site_lane(const struct site *s, unsigned int number)
{
	/* Lanes are numbered from 0 without gaps. */
	return number < s->n_lanes ? &s->lanes[number] : NULL;
}

const struct peer *site_route(const struct site *s, const struct ipaddr *addr)
{
	const struct peer *best = NULL;
	int best_len = -1;

	for (size_t i = 0; i < s->n_peers; i++)
		for (size_t j = 0; j < s->peers[i].n_networks; j++) {
			const struct prefix *p = &s->peers[i].networks[j];

			if (p->len > best_len && addr_in(p, addr)) {
				best = &s->peers[i];
				best_len = p->len;
			}
		}
	for (size_t j = 0; j < s->config->networks.n; j++) {
		const struct prefix *p = &s->config->networks.items[j].prefix;

		if (p->len >= best_len && addr_in(p, addr))
			return NULL;
	}
	return best;
}
