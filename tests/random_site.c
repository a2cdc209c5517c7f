/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: Random sites. Networks are taken from a plan in which no two peers ever claim the same
 * prefix, while nesting them in one another, in ours, in what we are connected to and around
 * endpoints is what they are for. Invariant: a spec is all there is to a setup; building it twice
 * gives the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "map.h"
#include "random_site.h"

/* Ours is "hub": some ids are lower, some higher. */
static const char *const ids[SPEC_PEERS] = {"alfa", "kilo", "golf", "bravo", "lima", "zulu"};

uint64_t rng_next(struct rng *r)
{
	return keys_mix64(++r->state);
}

unsigned int rng_below(struct rng *r, unsigned int n)
{
	return (unsigned int)(rng_next(r) % n);
}

bool rng_chance(struct rng *r, unsigned int percent)
{
	return rng_below(r, 100) < percent;
}

/* ---- specs ---- */

static unsigned int random_lanes(struct rng *r)
{
	static const unsigned int often[] = {1, 2, 3, 4, 6, 8};

	return rng_chance(r, 90) ? often[rng_below(r, 6)] : 9 + rng_below(r, 10);
}

static unsigned int random_nets(struct rng *r, size_t peer)
{
	unsigned int nets = 0;

	if (rng_chance(r, 80))
		nets |= 1u << SPEC_NET4;
	if (rng_chance(r, 50))
		nets |= 1u << SPEC_NET6;
	if (rng_chance(r, 30))
		nets |= 1u << SPEC_NESTED;
	if (rng_chance(r, 20))
		nets |= 1u << SPEC_INNER;
	if (peer == 0 && rng_chance(r, 40))
		nets |= 1u << SPEC_HUB;
	if (peer == 1 && rng_chance(r, 20))
		nets |= 1u << SPEC_DEFAULT;
	if (peer == 2 && rng_chance(r, 20))
		nets |= 1u << SPEC_ENDPOINTS;
	if (rng_chance(r, 10))
		nets |= 1u << SPEC_OURS;
	return nets;
}

static void random_peer(struct rng *r, size_t i, struct spec_peer *p)
{
	static const unsigned int mtus[] = {0, 0, 1412, 1380, 1280, 8900};
	static const uint64_t downs[] = {0, 0, 0, 1, 2, UINT64_MAX};

	*p = (struct spec_peer){
		.in = rng_chance(r, 60),
		.off = rng_chance(r, 20),
		.plain = rng_chance(r, 15),
		.psk = rng_chance(r, 30),
		.lanes = random_lanes(r),
		.nets = random_nets(r, i),
		.mtu = mtus[rng_below(r, 6)],
		.keepalive_s = rng_chance(r, 50) ? 25 : 0,
		.psk_no = rng_below(r, 3),
		.endpoint_no = rng_below(r, 3),
		.down = downs[rng_below(r, 6)],
		.mode = rng_below(r, 3),
		.vanilla = rng_chance(r, 30) ? rng_next(r) : 0,
	};
}

void spec_random(struct rng *r, uint64_t world, struct spec *ret)
{
	*ret = (struct spec){
		.world = world,
		.lanes = random_lanes(r),
		.port_base = 21820,
		.threaded = rng_chance(r, 50),
		.own_cuts = rng_chance(r, 20),
		.guard_only = rng_chance(r, 5),
		.module = rng_chance(r, 60),
		.refuses = rng_chance(r, 10),
	};
	for (size_t i = 0; i < SPEC_PEERS; i++)
		random_peer(r, i, &ret->peers[i]);
}

static void change_peer(struct rng *r, struct spec *s)
{
	size_t i = rng_below(r, SPEC_PEERS);
	struct spec_peer *p = &s->peers[i], fresh;

	random_peer(r, i, &fresh);
	switch (rng_below(r, 10)) {
	case 0:
		p->in = !p->in;
		break;
	case 1:
		p->off = !p->off;
		break;
	case 2:
		p->nets = fresh.nets;
		break;
	case 3:
		p->lanes = fresh.lanes;
		break;
	case 4:
		p->mtu = fresh.mtu;
		break;
	case 5:
		p->psk = fresh.psk;
		p->psk_no = fresh.psk_no;
		break;
	case 6:
		p->endpoint_no = fresh.endpoint_no;
		p->move_endpoint = rng_chance(r, 50);
		break;
	case 7:
		p->down = rng_chance(r, 50) ? fresh.down : rng_next(r);
		break;
	case 8:
		*p = fresh;
		break;
	case 9:
		p->mode = fresh.mode;
		p->vanilla = rng_chance(r, 50) ? fresh.vanilla : rng_next(r);
		break;
	}
}

void spec_change(struct rng *r, struct spec *s)
{
	unsigned int n = 1 + rng_below(r, 3);

	s->guard_only = false;
	for (unsigned int i = 0; i < n; i++) {
		unsigned int what = rng_below(r, 24);

		if (what == 0)
			s->lanes = random_lanes(r);
		else if (what == 1)
			s->port_base = 21820 - 2 + rng_below(r, 5);
		else if (what == 2)
			s->threaded = !s->threaded;
		else if (what == 3)
			s->own_cuts = !s->own_cuts;
		else if (what == 4)
			s->mtu = rng_chance(r, 50) ? 0 : 1300 + rng_below(r, 100);
		else if (what == 5)
			s->down = rng_chance(r, 30);
		else if (what == 6)
			s->module = !s->module;
		else
			change_peer(r, s);
	}
}

void spec_print(const struct spec *s, struct text *out)
{
	text_printf(out, "lanes %u port %u mtu %u%s%s%s%s", s->lanes, s->port_base, s->mtu,
		    s->threaded ? " threaded" : "", s->own_cuts ? " cuts" : "",
		    s->guard_only ? " guard-only" : "", s->down ? " down" : "");
	text_printf(out, "%s%s:", s->module ? " module" : "", s->refuses ? " refuses" : "");
	for (size_t i = 0; i < SPEC_PEERS; i++) {
		const struct spec_peer *p = &s->peers[i];

		if (p->in)
			text_printf(
				out,
				" %s(lanes %u mode %u/0x%llx nets 0x%x mtu %u%s%s%s down 0x%llx)",
				ids[i], p->lanes, p->mode, (unsigned long long)p->vanilla, p->nets,
				p->mtu, p->off ? " off" : "", p->plain ? " plain" : "",
				p->psk ? " psk" : "", (unsigned long long)p->down);
	}
}

/* ---- YAML ---- */

static void secret_of(uint64_t world, size_t site, struct secret *ret)
{
	for (size_t i = 0; i < sizeof(ret->k.b) / 8; i++) {
		uint64_t v = keys_mix64(world * 1000 + site * 10 + i);

		memcpy(ret->k.b + 8 * i, &v, 8);
	}
}

static void print_nets(unsigned int nets, size_t i, struct text *out)
{
	const char *sep = "";
	unsigned int next = 16 + (unsigned int)(i + 1) % SPEC_PEERS;

	for (unsigned int net = 0; net < SPEC_NETS; net++) {
		if (!(nets >> net & 1))
			continue;
		text_printf(out, "%s", sep);
		sep = ", ";
		switch ((enum spec_net)net) {
		case SPEC_NET4:
			text_printf(out, "10.%zu.0.0/16", 16 + i);
			break;
		case SPEC_NET6:
			text_printf(out, "\"fd00:%zu::/48\"", 10 + i);
			break;
		case SPEC_NESTED:
			text_printf(out, "10.%u.%zu.0/20", next, 16 * i);
			break;
		case SPEC_INNER:
			text_printf(out, "10.%zu.128.0/24", 16 + i);
			break;
		case SPEC_HUB:
			text_printf(out, "10.0.0.0/8, \"fd00::/8\"");
			break;
		case SPEC_DEFAULT:
			text_printf(out, "0.0.0.0/0, \"::/0\"");
			break;
		case SPEC_ENDPOINTS:
			text_printf(out, "198.51.100.0/24");
			break;
		case SPEC_OURS:
			text_printf(out, "10.1.77.%zu/32", i);
			break;
		case SPEC_NETS:
			break;
		}
	}
}

/* "networks: [...]", and "transit: [...]" when there is any. */
static void print_claims(unsigned int nets, size_t i, struct text *out)
{
	const unsigned int transit = nets & (1u << SPEC_HUB | 1u << SPEC_DEFAULT);

	text_printf(out, "networks: [");
	print_nets(nets & ~transit, i, out);
	text_printf(out, "]\n");
	if (!transit)
		return;
	text_printf(out, "transit: [");
	print_nets(transit, i, out);
	text_printf(out, "]\n");
}

static void print_config(const struct spec *s, struct text *out)
{
	text_printf(out,
		    "site: hub\nlanes: %u\nport-base: %u\n"
		    "networks: [10.1.0.0/16, \"fd00:1::/48\"%s]\n",
		    s->lanes, s->port_base, s->own_cuts ? ", 10.18.64.0/18" : "");
	text_printf(out, "threaded: %s\n", s->threaded ? "on" : "off");
	if (s->mtu)
		text_printf(out, "mtu: %u\n", s->mtu);
	text_printf(out, "peers:\n");
	for (size_t i = 0; i < SPEC_PEERS; i++) {
		const struct spec_peer *p = &s->peers[i];

		if (!p->in)
			continue;
		text_printf(out, "  %s: {traffic: %s, accept: [", ids[i], p->off ? "off" : "on");
		print_nets(p->nets, i, out);
		text_printf(out, "]");
		if (p->mtu)
			text_printf(out, ", mtu: %u", p->mtu);
		text_printf(out, ", mode: %s", model_mode_name((enum mode)p->mode));
		if (p->keepalive_s)
			text_printf(out, ", keepalive: %us", p->keepalive_s);
		else
			text_printf(out, ", keepalive: off");
		if (p->psk)
			text_printf(out, ", preshared-key-file: /psk");
		text_printf(out, "}\n");
	}
}

static struct config *parse_config(const struct text *yaml)
{
	struct diags diags = {0};
	struct config *c;

	if (config_parse("site.yaml", yaml->s, yaml->len, &diags, &c))
		fail_msg("%s\n%s", diags.items[0].text, yaml->s);
	diag_done(&diags);
	return c;
}

static struct site *build(const struct site_input *in)
{
	struct diags diags = {0};
	struct site *s;

	if (site_build(in, &diags, &s) || diags.errors)
		fail_msg("%s", diags.items[0].text);
	diag_done(&diags);
	return s;
}

static void print_plain_card(const struct spec_peer *p, const struct secret *secret, size_t i,
			     struct text *out)
{
	struct key private_key, public_key;
	char buf[MODEL_KEY_STRLEN];

	text_printf(out, "card: 1\nsite: %s\nlanes:\n", ids[i]);
	for (unsigned int l = 0; l < p->lanes; l++) {
		keys_lane(secret, l, 1, &private_key, &public_key);
		text_printf(out, "- {lane: %u, key: \"%s\", port: %u}\n", l,
			    key_print(&public_key, buf), 51820 + l);
	}
	print_claims(p->nets, i, out);
}

/* As `wgscalectl card` at the other site would. */
static void print_card(const struct spec_peer *p, const struct secret *secret, size_t i,
		       struct text *out)
{
	struct text yaml = {0};
	struct site_input in = {.secret = secret};
	struct config *c;
	struct site *site;

	text_printf(&yaml, "site: %s\nlanes: %u\nendpoint: [198.51.100.%zu]\n", ids[i], p->lanes,
		    10 + i);
	print_claims(p->nets, i, &yaml);
	c = parse_config(&yaml);
	in.config = c;
	site = build(&in);
	card_print(site, 1, out);
	site_free(site);
	config_free(c);
	text_done(&yaml);
}

static struct card *make_card(const struct spec *s, size_t i)
{
	struct diags diags = {0};
	struct text text = {0};
	struct secret secret;
	struct card *card;

	secret_of(s->world, i + 1, &secret);
	if (s->peers[i].plain)
		print_plain_card(&s->peers[i], &secret, i, &text);
	else
		print_card(&s->peers[i], &secret, i, &text);
	if (card_parse("card.yaml", text.s, text.len, &diags, &card))
		fail_msg("%s\n%s", diags.items[0].text, text.s);
	diag_done(&diags);
	text_done(&text);
	return card;
}

/* ---- setups ---- */

static void add_addr(struct setup *s, const char *dev, const char *addr, const char *prefix)
{
	struct fact_addr *f = &s->addrs[s->facts.n_addrs++];

	f->dev = dev;
	assert_int_equal(addr_parse(addr, &f->addr), 0);
	assert_int_equal(addr_parse_prefix(prefix, &f->prefix), 0);
}

static void make_facts(struct setup *s, bool ipv6)
{
	static struct fact_nic nics[] = {{.dev = "eth0", .udp4 = true, .udp6 = true}};

	s->facts = (struct facts){.addrs = s->addrs,
				  .nics = nics,
				  .n_nics = 1,
				  .ipv6 = ipv6,
				  .modes = s->spec.module,
				  .inline_refused = s->spec.refuses,
				  .kernel_major = 6,
				  .kernel_minor = 12,
				  .online_cpus = 4};
	add_addr(s, "eth0", "203.0.113.2", "203.0.113.0/24");
	add_addr(s, "lan0", "10.1.0.1", "10.1.0.0/24");
	add_addr(s, "lan1", "10.99.0.1", "10.99.0.0/24");
	if (ipv6)
		add_addr(s, "lan0", "fd00:1::1", "fd00:1::/64");
}

static void make_peer(struct setup *s, size_t index)
{
	const struct peer *p = &s->site->peers[index];
	struct want_peer *w = &s->peers[index];
	const struct spec_peer *spec = NULL;
	bool usable[MODEL_LANES_MAX];
	uint16_t none[MODEL_BUCKETS];
	char addr[32];

	for (size_t i = 0; i < SPEC_PEERS; i++)
		if (strcmp(ids[i], p->id) == 0) {
			spec = &s->spec.peers[i];
			snprintf(addr, sizeof(addr), "198.51.100.%zu", 10 + i);
		}
	w->mtu = (uint16_t)(p->config->mtu ? p->config->mtu : s->spec.mtu ? s->spec.mtu : 1420);
	w->tunnels = xcalloc(p->n_tunnels, sizeof(*w->tunnels));
	for (size_t t = 0; t < p->n_tunnels; t++) {
		struct want_tunnel *wt = &w->tunnels[t];

		usable[t] = !(spec->down >> t % 64 & 1);
		if (spec->endpoint_no) {
			assert_int_equal(addr_parse(addr, &wt->endpoint.addr), 0);
			wt->endpoint.port = (uint16_t)(p->tunnels[t].port + spec->endpoint_no);
		}
		wt->move_endpoint = spec->move_endpoint && spec->endpoint_no;
		wt->mode = spec->vanilla >> t % 64 & 1 ? MODE_VANILLA : p->config->mode;
	}
	for (unsigned int b = 0; b < MODEL_BUCKETS; b++)
		none[b] = MAP_NONE;
	map_fill(p->tunnels, p->n_tunnels, strcmp("hub", p->id) < 0, p->home, usable, none, w->map);
}

void setup_build(const struct spec *spec, bool ipv6, struct setup *ret)
{
	struct site_psk psks[SPEC_PEERS];
	char texts[SPEC_PEERS][MODEL_KEY_STRLEN];
	struct secret secret;
	struct site_input in = {.secret = &secret, .psks = psks};
	struct text yaml = {0};

	memset(ret, 0, sizeof(*ret));
	ret->spec = *spec;
	make_facts(ret, ipv6);
	print_config(spec, &yaml);
	ret->config = parse_config(&yaml);
	for (size_t i = 0; i < SPEC_PEERS; i++) {
		struct key psk;

		if (!spec->peers[i].in)
			continue;
		ret->cards[ret->n_cards++] = make_card(spec, i);
		memset(&psk, (int)(1 + spec->peers[i].psk_no), sizeof(psk));
		psks[in.n_psks++] =
			(struct site_psk){.peer = ids[i], .text = key_print(&psk, texts[i])};
	}
	secret_of(spec->world, 0, &secret);
	in.config = ret->config;
	in.cards = ret->cards;
	in.n_cards = ret->n_cards;
	in.facts = &ret->facts;
	ret->site = build(&in);
	ret->peers = xcalloc(ret->site->n_peers, sizeof(*ret->peers));
	for (size_t i = 0; i < ret->site->n_peers; i++)
		make_peer(ret, i);
	text_done(&yaml);
}

void setup_want(const struct setup *s, struct world *ret)
{
	struct want_input in = {.site = s->site,
				.peers = s->peers,
				.facts = &s->facts,
				.guard_only = s->spec.guard_only};

	if (s->spec.down)
		*ret = (struct world){0};
	else
		want_build(&in, ret);
}

void setup_done(struct setup *s)
{
	for (size_t i = 0; s->site && i < s->site->n_peers; i++)
		free(s->peers[i].tunnels);
	free(s->peers);
	site_free(s->site);
	for (size_t i = 0; i < s->n_cards; i++)
		card_free(s->cards[i]);
	config_free(s->config);
	memset(s, 0, sizeof(*s));
}
