/* SPDX-License-Identifier: GPL-2.0-only */
// link: tests/fake_kernel.c tests/fake_nft.c tests/fake_mode.c tests/pass.c
/*
 * DOC: golden plans. One folder per behaviour below tests/golden/plan (or $GOLDEN_DIR, or the first
 * argument): a site, and in plan.txt, byte for byte, all that is done to a kernel until it holds
 * what that site wants. UPDATE=1 writes it anew. Read golden.h next.
 *
 *   site.yaml, peers.d/ *.yaml, *.psk   the configuration; the secret is ../secret, for tests alone
 *   run.txt              what changes while the site file does not, see take_run()
 *   host.txt             what the host is like, see take_host()
 *   before/              the same for what the kernel holds at first; without it: nothing.
 *                        peers.d may be left out when it is alike
 *   have.txt             what somebody has done to the kernel meanwhile, see take_have()
 */
#include "unit/golden.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "card.h"
#include "config.h"
#include "fake_kernel.h"
#include "map.h"
#include "pass.h"
#include "site.h"

#define CARDS_MAX  8
#define WORDS_MAX  5
#define ROUNDS_MAX 4

/* A folder: a site and what is known while it runs. */
struct place {
	const char *dir;
	struct config *config;
	struct card *cards[CARDS_MAX];
	size_t n_cards;
	struct site_psk psks[CARDS_MAX];
	char *psk_texts[CARDS_MAX];
	struct site_traffic traffic[CARDS_MAX];
	size_t n_traffic;
	struct site *site;
	struct want_peer *peers;
	bool guard_only, nothing;
};

static struct arena host_arena; /* of fake_kernel.facts */

/* ---- files ---- */

static void no_errors(const struct diags *diags, const char *dir)
{
	for (size_t i = 0; i < diags->n; i++)
		if (diags->items[i].level == DIAG_ERROR)
			fail_msg("%s: %s: %s", dir, diags->items[i].file, diags->items[i].text);
}

/* Gives each line of a file, cut into words, to `take`; '#' begins a comment. */
static void each_line(const char *dir, const char *name,
		      bool (*take)(struct place *p, char *const *words, size_t n), struct place *p)
{
	char *text = golden_read(dir, name), *save = NULL;

	for (char *line = text ? strtok_r(text, "\n", &save) : NULL; line;
	     line = strtok_r(NULL, "\n", &save)) {
		char *words[WORDS_MAX] = {NULL}, *at = NULL;
		size_t n = 0;

		for (char *w = strtok_r(line, " ", &at); w && *w != '#' && n < WORDS_MAX;
		     w = strtok_r(NULL, " ", &at))
			words[n++] = w;
		if (n && !take(p, words, n))
			fail_msg("%s/%s: '%s' with %zu words is not understood", dir, name,
				 words[0], n);
	}
	free(text);
}

static bool is(char *const *words, size_t n, const char *word, size_t want)
{
	return n == want && strcmp(words[0], word) == 0;
}

static uint64_t number(const char *s)
{
	uint64_t v;

	if (text_parse_u64(s, 0, UINT32_MAX, &v))
		fail_msg("'%s' is no number", s);
	return v;
}

static struct prefix prefix_of(const char *s)
{
	struct prefix p;

	if (addr_parse_prefix(s, &p))
		fail_msg("'%s' is no prefix", s);
	return p;
}

/* "192.0.2.1:21820" or "[2001:db8::1]:21820" */
static struct sockep endpoint_of(const char *s)
{
	char *copy = strdup(s), *colon = strrchr(copy, ':');
	struct sockep e = {0};

	assert_non_null(colon);
	*colon = '\0';
	e.port = (uint16_t)number(colon + 1);
	if (copy[0] == '[')
		copy[strlen(copy) - 1] = '\0';
	if (addr_parse(copy[0] == '[' ? copy + 1 : copy, &e.addr))
		fail_msg("'%s' is no endpoint", s);
	free(copy);
	return e;
}

/* ---- the host ---- */

static void add_address(const char *dev, const char *addr, const char *prefix)
{
	struct facts *f = &fake_kernel.facts;
	struct fact_addr *a = arena_grow(&host_arena, (void **)&f->addrs, &f->n_addrs, sizeof(*a));

	a->dev = arena_strdup(&host_arena, dev);
	a->prefix = prefix_of(prefix);
	if (addr_parse(addr, &a->addr))
		fail_msg("'%s' is no address", addr);
}

static void put_nic(const char *dev, uint8_t family, uint64_t fields)
{
	struct obj o = {.kind = OBJ_NIC, .dev = dev};

	o.nic.family = family;
	o.nic.fields = fields;
	fake_kernel_put(&o);
}

/* "address DEV ADDR PREFIX", "no ipv6", "kernel MAJOR MINOR", "nic DEV FIELDS", "module" (ours),
 * "refuses inline" (it does) */
static bool take_host(struct place *p, char *const *w, size_t n)
{
	struct facts *f = &fake_kernel.facts;

	if (is(w, n, "address", 4)) {
		add_address(w[1], w[2], w[3]);
	} else if (is(w, n, "no", 2)) {
		f->ipv6 = false;
	} else if (is(w, n, "kernel", 3)) {
		f->kernel_major = (unsigned int)number(w[1]);
		f->kernel_minor = (unsigned int)number(w[2]);
	} else if (is(w, n, "module", 1)) {
		f->modes = true;
	} else if (is(w, n, "refuses", 2)) {
		f->inline_refused = true;
	} else if (is(w, n, "nic", 3)) {
		put_nic(w[1], AF_INET, number(w[2]));
		put_nic(w[1], AF_INET6, number(w[2]));
	} else {
		return false;
	}
	return true;
}

static void make_host(const char *dir)
{
	fake_kernel_reset();
	add_address("eth0", "203.0.113.2", "203.0.113.0/24");
	add_address("lan0", "10.1.0.1", "10.1.0.0/24");
	each_line(dir, "host.txt", take_host, NULL);
	if (fake_kernel.facts.ipv6)
		add_address("lan0", "fd00:1::1", "fd00:1::/64");
}

/* ---- a place ---- */

static int is_yaml(const struct dirent *d)
{
	const char *dot = strrchr(d->d_name, '.');

	return dot && strcmp(dot, ".yaml") == 0;
}

static void read_cards(struct place *p, const char *dir)
{
	char folder[512];
	struct dirent **names;
	int n;

	snprintf(folder, sizeof(folder), "%s/peers.d", dir);
	n = scandir(golden_path(folder, ""), &names, is_yaml, alphasort);
	for (int i = 0; i < n; i++) {
		struct diags diags = {0};
		char *text = golden_read(folder, names[i]->d_name);

		assert_in_range(p->n_cards, 0, CARDS_MAX - 1);
		card_parse(names[i]->d_name, text, strlen(text), &diags, &p->cards[p->n_cards]);
		no_errors(&diags, dir);
		p->n_cards++;
		diag_done(&diags);
		free(text);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

static void read_psks(struct place *p)
{
	for (size_t i = 0; i < p->config->n_peers; i++) {
		const struct config_peer *cp = &p->config->peers[i];

		if (cp->psk_file)
			p->psk_texts[i] = golden_read(p->dir, cp->psk_file);
		p->psks[i] = (struct site_psk){.peer = cp->id, .text = p->psk_texts[i]};
	}
}

static void read_secret(struct secret *ret)
{
	char *text = golden_read(".", "secret");
	const char *why;

	assert_non_null(text);
	assert_int_equal(keys_parse_secret(text, ret, &why), 0);
	free(text);
}

static void build_site(struct place *p)
{
	struct secret secret;
	struct site_input in = {.config = p->config,
				.secret = &secret,
				.auto_lanes = 4,
				.cards = p->cards,
				.n_cards = p->n_cards,
				.psks = p->psks,
				.n_psks = p->config->n_peers,
				.facts = &fake_kernel.facts,
				.traffic = p->traffic,
				.n_traffic = p->n_traffic};
	struct diags diags = {0};

	read_secret(&secret);
	site_build(&in, &diags, &p->site);
	no_errors(&diags, p->dir);
	diag_done(&diags);
}

/* All tunnels healthy, at the first endpoint that is an address. */
static void start_peer(struct place *p, size_t index)
{
	const struct peer *peer = &p->site->peers[index];
	struct want_peer *w = &p->peers[index];
	const struct config *c = p->config;

	w->mtu = peer->config->mtu ? peer->config->mtu : c->mtu ? c->mtu : 1420;
	w->tunnels = xcalloc(peer->n_tunnels, sizeof(*w->tunnels));
	memcpy(w->map, peer->home, sizeof(w->map));
	for (size_t t = 0; t < peer->n_tunnels; t++)
		w->tunnels[t].mode = peer->config->mode;
	for (size_t t = 0; t < peer->n_tunnels; t++)
		for (size_t e = 0; e < peer->n_endpoints && !w->tunnels[t].endpoint.port; e++) {
			const struct config_endpoint *ep = &peer->endpoints[e];
			unsigned int port = ep->port_base + peer->tunnels[t].theirs;

			if (!ep->addr.family)
				continue;
			w->tunnels[t].endpoint.addr = ep->addr;
			w->tunnels[t].endpoint.port =
				ep->port_base ? (uint16_t)port : peer->tunnels[t].port;
		}
}

static const struct peer *peer_of(const struct place *p, const char *id)
{
	const struct peer *peer = site_peer(p->site, id);

	if (!peer)
		fail_msg("%s: no peer %s", p->dir, id);
	return peer;
}

static void set_endpoint(struct place *p, const struct peer *peer, const char *which,
			 const char *endpoint, bool move)
{
	for (size_t t = 0; t < peer->n_tunnels; t++) {
		struct want_tunnel *wt = &p->peers[peer->index].tunnels[t];

		if (strcmp(which, "*") != 0 && number(which) != t)
			continue;
		wt->endpoint = endpoint_of(endpoint);
		if (strcmp(which, "*") == 0)
			wt->endpoint.port = (uint16_t)(wt->endpoint.port + peer->tunnels[t].theirs);
		wt->move_endpoint = move;
	}
}

static enum mode mode_of(const char *s)
{
	enum mode mode;

	if (model_mode_parse(s, &mode))
		fail_msg("'%s' is no mode", s);
	return mode;
}

static void set_down(struct place *p, const struct peer *peer, char *const *which, size_t n)
{
	struct want_peer *w = &p->peers[peer->index];
	bool usable[MODEL_LANES_MAX];

	for (size_t t = 0; t < peer->n_tunnels; t++)
		usable[t] = true;
	for (size_t i = 0; i < n; i++)
		usable[number(which[i])] = false;
	map_fill(peer->tunnels, peer->n_tunnels, strcmp(p->site->id, peer->id) < 0, peer->home,
		 usable, w->map, w->map);
}

/*
 * "traffic PEER on|off", "mtu PEER N" (what auto found), "endpoint PEER TUNNEL|* ADDR:PORT [move]"
 * (with "*" the port is that of lane 0), "down PEER TUNNEL...", "unknown PEER" (no tunnel of it has
 * been healthy yet), "bucket PEER BUCKET TUNNEL", "mode PEER TUNNEL auto|inline|vanilla" (by
 * command), "guard" (only the guard), "nothing"
 */
static bool take_run(struct place *p, char *const *w, size_t n)
{
	const struct peer *peer = p->site && n > 1 ? peer_of(p, w[1]) : NULL;

	if (is(w, n, "traffic", 3)) {
		if (!p->site)
			p->traffic[p->n_traffic++] = (struct site_traffic){
				.peer = arena_strdup(&host_arena, w[1]),
				.traffic = strcmp(w[2], "on") == 0 ? TRAFFIC_ON : TRAFFIC_OFF};
		return true;
	}
	if (!p->site) /* the rest is for the second reading */
		return true;
	if (is(w, n, "guard", 1))
		p->guard_only = true;
	else if (is(w, n, "nothing", 1))
		p->nothing = true;
	else if (is(w, n, "mtu", 3))
		p->peers[peer->index].mtu = (uint16_t)number(w[2]);
	else if (is(w, n, "endpoint", 4) || is(w, n, "endpoint", 5))
		set_endpoint(p, peer, w[2], w[3], n == 5);
	else if (n > 2 && strcmp(w[0], "down") == 0)
		set_down(p, peer, w + 2, n - 2);
	else if (is(w, n, "unknown", 2))
		for (unsigned int b = 0; b < MODEL_BUCKETS; b++)
			p->peers[peer->index].map[b] = MAP_NONE;
	else if (is(w, n, "mode", 4))
		p->peers[peer->index].tunnels[number(w[2])].mode = mode_of(w[3]);
	else if (is(w, n, "bucket", 4))
		p->peers[peer->index].map[number(w[2])] = (uint16_t)number(w[3]);
	else
		return false;
	return true;
}

static void open_place(struct place *p, const char *dir, const char *cards)
{
	struct diags diags = {0};
	char *text = golden_read(dir, "site.yaml");

	*p = (struct place){.dir = dir};
	if (!text)
		fail_msg("%s is missing", golden_path(dir, "site.yaml"));
	config_parse("site.yaml", text, strlen(text), &diags, &p->config);
	no_errors(&diags, dir);
	diag_done(&diags);
	free(text);
	read_cards(p, dir);
	if (!p->n_cards)
		read_cards(p, cards);
	read_psks(p);
	each_line(dir, "run.txt", take_run, p);
	build_site(p);
	p->peers = xcalloc(p->site->n_peers, sizeof(*p->peers));
	for (size_t i = 0; i < p->site->n_peers; i++)
		start_peer(p, i);
	each_line(dir, "run.txt", take_run, p);
}

static void close_place(struct place *p)
{
	for (size_t i = 0; i < p->site->n_peers; i++)
		free(p->peers[i].tunnels);
	free(p->peers);
	site_free(p->site);
	for (size_t i = 0; i < p->n_cards; i++)
		card_free(p->cards[i]);
	for (size_t i = 0; i < CARDS_MAX; i++)
		free(p->psk_texts[i]);
	config_free(p->config);
}

/* ---- what somebody did ---- */

static bool goes(const struct obj *o, const char *what)
{
	if (strcmp(what, "rules") == 0)
		return o->kind == OBJ_RULE;
	if (strcmp(what, "routes") == 0)
		return o->kind == OBJ_ROUTE;
	if (strcmp(what, "nft") == 0)
		return o->kind >= OBJ_NFT_TABLE;
	return o->dev && strcmp(o->dev, what) == 0;
}

/* "flush rules|routes|nft|DEV", "roam DEV ADDR:PORT", "address DEV PREFIX", "rule PREF TABLE",
 * "mode DEV inline|vanilla" (of all its entries) */
static bool take_have(struct place *p, char *const *w, size_t n)
{
	struct world *k = &fake_kernel.world;
	struct obj o = {0};

	if (is(w, n, "flush", 2)) {
		for (size_t i = k->n; i-- > 0;)
			if (goes(&k->objs[i], w[1]))
				fake_take_at(i);
	} else if (is(w, n, "roam", 3)) {
		for (size_t i = 0; i < k->n; i++)
			if (k->objs[i].kind == OBJ_WGPEER && strcmp(k->objs[i].dev, w[1]) == 0)
				k->objs[i].wgpeer.endpoint = endpoint_of(w[2]);
	} else if (is(w, n, "mode", 3)) {
		for (size_t i = 0; i < k->n; i++)
			if (k->objs[i].kind == OBJ_MODE && strcmp(k->objs[i].dev, w[1]) == 0)
				k->objs[i].mode.mode = mode_of(w[2]);
	} else if (is(w, n, "address", 3)) {
		o.kind = OBJ_ADDR;
		o.dev = w[1];
		o.addr.prefix = prefix_of(w[2]);
		fake_kernel_put(&o);
	} else if (is(w, n, "rule", 3)) {
		o.kind = OBJ_RULE;
		o.rule = (struct obj_rule){.family = AF_INET,
					   .pref = (uint32_t)number(w[1]),
					   .action = RULE_LOOKUP,
					   .target = (uint32_t)number(w[2])};
		fake_kernel_put(&o);
	} else {
		return false;
	}
	return true;
}

/* ---- rounds ---- */

static void want(const struct place *p, struct world *ret)
{
	struct want_input in = {.site = p->site,
				.peers = p->peers,
				.facts = &fake_kernel.facts,
				.guard_only = p->guard_only};

	if (p->nothing)
		*ret = (struct world){0};
	else
		want_build(&in, ret);
}

static size_t round_of(const struct place *p, bool quiet, struct text *out, size_t *ret_leaving)
{
	struct ownership own = {.table_base = p->config->table_base,
				.rule_base = p->config->rule_base};
	struct facts facts = fake_kernel.facts;
	struct arena a = {0};
	struct world have, wanted;
	struct plan plan;
	size_t n;

	assert_int_equal(pass_observe(&own, quiet, &have), 0);
	fake_kernel.facts = have.facts; /* with the NICs */
	want(p, &wanted);
	fake_kernel.facts = facts;
	plan_build(&wanted, &have, &plan);
	pass_apply(&plan, &a);
	if (plan.n)
		text_printf(out, "# %zu changes\n", plan.n);
	for (size_t i = 0; i < plan.n; i++) {
		plan_print_op(&plan.ops[i], out);
		if (plan.ops[i].error)
			text_printf(out, ": %s", strerror(-plan.ops[i].error));
		text_printf(out, "\n");
	}
	n = plan.n;
	*ret_leaving = plan.leaving;
	arena_done(&a);
	plan_done(&plan);
	world_done(&wanted);
	world_done(&have);
	return n;
}

static void settle(const struct place *p, struct text *out)
{
	size_t leaving, rounds = 0;

	while (round_of(p, false, out, &leaving))
		assert_in_range(++rounds, 1, ROUNDS_MAX);
	if (leaving) {
		text_printf(out, "# %zu entries leave when their lanes are quiet; now they are\n",
			    leaving);
		round_of(p, true, out, &leaving);
	}
	text_printf(out, "# settled\n");
	assert_int_equal(round_of(p, false, out, &leaving), 0);
	assert_int_equal(leaving, 0);
}

static void run_folder(const char *dir, struct text *out)
{
	struct text before = {0};
	char first[512];
	struct place p;

	make_host(dir);
	snprintf(first, sizeof(first), "%s/before", dir);
	if (access(golden_path(first, "site.yaml"), F_OK) == 0) {
		open_place(&p, first, dir);
		settle(&p, &before);
		close_place(&p);
	}
	text_done(&before);
	open_place(&p, dir, "");
	each_line(dir, "have.txt", take_have, &p);
	settle(&p, out);
	close_place(&p);
	fake_kernel_reset();
	arena_done(&host_arena);
}

static void test_golden(void **state)
{
	golden_walk("plan.txt", run_folder);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden)};

	if (keys_init())
		return 1;
	golden_choose_root("tests/golden/plan", argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
