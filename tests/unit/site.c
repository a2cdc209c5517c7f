/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: tests of site.c: what of a card's claims is taken, and what is found between the site file,
 * the cards, the secret and the host. Cards are made as another site would make them.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "card.h"
#include "config.h"
#include "site.h"

#define CARDS_MAX 4

struct fixture {
	struct config *config;
	struct card *cards[CARDS_MAX];
	struct secret secret;
	struct diags diags;
	struct site *site;
	struct site_input in;
	int result;
};

static void secret_of(const char *id, struct secret *ret)
{
	memset(ret, 0, sizeof(*ret));
	strncpy((char *)ret->k.b, id, sizeof(ret->k.b) - 1);
}

static struct config *parse_config(const char *yaml)
{
	struct diags diags = {0};
	struct config *c;

	if (config_parse("site.yaml", yaml, strlen(yaml), &diags, &c))
		fail_msg("%s\n%s", diags.items[0].text, yaml);
	diag_done(&diags);
	return c;
}

static struct card *parse_card(const char *path, const char *yaml)
{
	struct diags diags = {0};
	struct card *card;

	if (card_parse(path, yaml, strlen(yaml), &diags, &card))
		fail_msg("%s\n%s", diags.items[0].text, yaml);
	diag_done(&diags);
	return card;
}

/* The card of site `id`, made with the secret of `secret_id`; `yaml` says the rest. */
static struct card *written_card(const char *id, const char *secret_id, const char *yaml)
{
	struct text site_yaml = {0}, out = {0};
	struct diags diags = {0};
	struct site_input in = {0};
	struct secret secret;
	struct config *config;
	struct site *site;
	struct card *card;

	text_printf(&site_yaml, "site: %s\n%s\n", id, yaml);
	config = parse_config(text_str(&site_yaml));
	secret_of(secret_id, &secret);
	in.config = config;
	in.secret = &secret;
	in.auto_lanes = 2;
	assert_int_equal(site_build(&in, &diags, &site), 0);
	card_print(site, 1, &out);
	card = parse_card("card.yaml", text_str(&out));
	site_free(site);
	config_free(config);
	diag_done(&diags);
	text_done(&site_yaml);
	text_done(&out);
	return card;
}

static void give(struct fixture *f, struct card *card)
{
	f->cards[f->in.n_cards++] = card;
	f->in.cards = f->cards;
}

static void give_milan(struct fixture *f)
{
	give(f, written_card("milan", "milan",
			     "lanes: 3\nendpoint: [198.51.100.2]\nnetworks: [10.2.0.0/16]"));
}

static void start(struct fixture *f, const char *peers)
{
	struct text yaml = {0};

	memset(f, 0, sizeof(*f));
	text_printf(&yaml,
		    "site: turin\nlanes: 4\nendpoint: [192.0.2.1]\n"
		    "networks: [10.1.0.0/16, \"fd00:1::/48\"]\n%s\n",
		    peers);
	f->config = parse_config(text_str(&yaml));
	secret_of("turin", &f->secret);
	f->in.config = f->config;
	f->in.secret = &f->secret;
	text_done(&yaml);
}

static void build(struct fixture *f)
{
	f->result = site_build(&f->in, &f->diags, &f->site);
	assert_true((f->result == 0) == (f->site != NULL));
}

static void stop(struct fixture *f)
{
	site_free(f->site);
	for (size_t i = 0; i < f->in.n_cards; i++)
		card_free(f->cards[i]);
	config_free(f->config);
	diag_done(&f->diags);
}

/* There is such a diagnosis, and it concerns this peer (NULL: the site). */
static void said(const struct fixture *f, enum diag_level level, const char *peer, const char *what)
{
	for (size_t i = 0; i < f->diags.n; i++) {
		const struct diag *d = &f->diags.items[i];

		if (d->level == level && strstr(d->text, what) &&
		    strcmp(d->peer ? d->peer : "", peer ? peer : "") == 0)
			return;
	}
	for (size_t i = 0; i < f->diags.n; i++)
		print_error("  said: %s\n", f->diags.items[i].text);
	fail_msg("nobody said '%s'", what);
}

static void quiet(const struct fixture *f)
{
	if (f->diags.n)
		fail_msg("said: %s", f->diags.items[0].text);
}

static void networks_are(const struct fixture *f, const char *id, const char *expected)
{
	const struct peer *p = site_peer(f->site, id);
	struct text got = {0};
	char buf[ADDR_STRLEN];

	assert_non_null(p);
	for (size_t i = 0; i < p->n_networks; i++)
		text_printf(&got, "%s%s", i ? " " : "", addr_print_prefix(&p->networks[i], buf));
	assert_string_equal(text_str(&got), expected);
	text_done(&got);
}

static void held_are(const struct fixture *f, const char *expected)
{
	struct text got = {0};
	char buf[ADDR_STRLEN];

	for (size_t i = 0; i < f->site->n_held; i++)
		text_printf(&got, "%s%s", i ? " " : "", addr_print_prefix(&f->site->held[i], buf));
	assert_string_equal(text_str(&got), expected);
	text_done(&got);
}

/* ---- the plain case ---- */

static void test_sound(void **state)
{
	struct fixture f;
	const struct peer *p;

	start(&f, "peers: {milan: {}}");
	give_milan(&f);
	build(&f);
	quiet(&f);
	assert_int_equal(f.site->n_lanes, 4);
	assert_string_equal(f.site->lanes[3].dev, "wgs3");
	assert_int_equal(f.site->lanes[3].port, 21823);
	assert_ptr_equal(site_lane(f.site, 3), &f.site->lanes[3]);
	assert_null(site_lane(f.site, 4));
	p = site_peer(f.site, "milan");
	assert_null(site_peer(f.site, "paris"));
	assert_int_equal(p->n_tunnels, 3);
	assert_true(p->swap); /* "turin" > "milan" */
	assert_int_not_equal(p->seed, 0);
	assert_int_equal(p->n_endpoints, 1);
	assert_int_equal(p->traffic, TRAFFIC_ON);
	networks_are(&f, "milan", "10.2.0.0/16");
	for (unsigned int b = 0; b < MODEL_BUCKETS; b++)
		assert_in_range(p->home[b], 0, 2);
	stop(&f);
}

/* Both ends see the same tunnels, in the same order, with the same seed and opposite roles. */
static void test_both_ends(void **state)
{
	struct fixture here, there;
	const struct peer *p, *q;

	start(&here, "peers: {milan: {}}");
	give_milan(&here);
	build(&here);
	memset(&there, 0, sizeof(there));
	there.config = parse_config("site: milan\nlanes: 3\nnetworks: [10.2.0.0/16]\n"
				    "peers: {turin: {}}");
	secret_of("milan", &there.secret);
	there.in.config = there.config;
	there.in.secret = &there.secret;
	give(&there, written_card("turin", "turin", "lanes: 4\nnetworks: [10.1.0.0/16]"));
	build(&there);
	p = site_peer(here.site, "milan");
	q = site_peer(there.site, "turin");
	assert_int_equal(p->seed, q->seed);
	assert_true(p->swap != q->swap);
	assert_int_equal(p->n_tunnels, q->n_tunnels);
	for (size_t t = 0; t < p->n_tunnels; t++) {
		const struct tunnel *a = &p->tunnels[t], *b = &q->tunnels[t];

		assert_int_equal(a->ours, b->theirs);
		assert_int_equal(a->theirs, b->ours);
		assert_int_equal(key_cmp(&a->key, &site_lane(there.site, b->ours)->public_key), 0);
		assert_int_equal(a->port, site_lane(there.site, b->ours)->port);
	}
	assert_memory_equal(p->home, q->home, sizeof(p->home));
	stop(&here);
	stop(&there);
}

/* ---- claims ---- */

static void test_accept(void **state)
{
	struct fixture f;

	start(&f, "peers: {milan: {accept: [10.2.0.0/16]}}");
	give(&f, written_card("milan", "milan",
			      "networks: [10.2.3.0/24, 10.4.0.0/16, \"fd00:2::/48\"]"));
	build(&f);
	networks_are(&f, "milan", "10.2.3.0/24");
	said(&f, DIAG_WARNING, NULL, "10.4.0.0/16, which its accept: does not hold");
	said(&f, DIAG_WARNING, NULL, "fd00:2::/48");
	stop(&f);
}

static void test_accept_nothing(void **state)
{
	struct fixture f;

	start(&f, "peers: {milan: {accept: []}}");
	give_milan(&f);
	build(&f);
	networks_are(&f, "milan", "");
	said(&f, DIAG_WARNING, NULL, "no network of milan is taken");
	assert_int_equal(site_peer(f.site, "milan")->n_tunnels, 3);
	stop(&f);
}

/* What is wider than it looks is refused unless named. */
static void refused_unless_named(const char *card, const char *claim, const char *what,
				 const struct facts *facts)
{
	struct text peers = {0};
	struct fixture f;

	start(&f, "peers: {milan: {}}");
	give(&f, written_card("milan", "milan", card));
	f.in.facts = facts;
	build(&f);
	networks_are(&f, "milan", "");
	said(&f, DIAG_WARNING, NULL, what);
	said(&f, DIAG_WARNING, NULL, "to take it, name it: accept:");
	stop(&f);

	/* Held by something wider in accept is not named. */
	start(&f, "peers: {milan: {accept: [0.0.0.0/1, 128.0.0.0/1]}}");
	give(&f, written_card("milan", "milan", card));
	f.in.facts = facts;
	build(&f);
	networks_are(&f, "milan", "");
	stop(&f);

	text_printf(&peers, "peers: {milan: {accept: [\"%s\"]}}", claim);
	start(&f, text_str(&peers));
	give(&f, written_card("milan", "milan", card));
	f.in.facts = facts;
	build(&f);
	networks_are(&f, "milan", claim);
	stop(&f);
	text_done(&peers);
}

static void test_overlaps(void **state)
{
	struct fact_addr addr = {.dev = "lan1"};
	struct facts facts = {.addrs = &addr, .n_addrs = 1, .ipv6 = true};

	assert_int_equal(addr_parse("172.16.1.1", &addr.addr), 0);
	assert_int_equal(addr_parse_prefix("172.16.1.0/24", &addr.prefix), 0);
	refused_unless_named("transit: [0.0.0.0/0]", "0.0.0.0/0", "everything", NULL);
	refused_unless_named("networks: [10.1.4.0/24]", "10.1.4.0/24",
			     "our own network 10.1.0.0/16", NULL);
	refused_unless_named("networks: [10.0.0.0/8]", "10.0.0.0/8", "our own network 10.1.0.0/16",
			     NULL);
	refused_unless_named("networks: [172.16.0.0/12]", "172.16.0.0/12",
			     "172.16.1.0/24, which lan1 is connected to", &facts);
	refused_unless_named("networks: [192.0.2.0/24]", "192.0.2.0/24",
			     "our own endpoint 192.0.2.1", NULL);
	refused_unless_named("endpoint: [198.51.100.2]\nnetworks: [198.51.100.0/24]",
			     "198.51.100.0/24", "the endpoint 198.51.100.2 of that peer itself",
			     NULL);
}

static void test_overlaps_other_endpoint(void **state)
{
	struct fixture f;

	start(&f, "peers: {milan: {}, paris: {}}");
	give_milan(&f);
	give(&f, written_card("paris", "paris", "networks: [198.51.100.0/24]"));
	build(&f);
	networks_are(&f, "paris", "");
	said(&f, DIAG_WARNING, NULL, "the endpoint 198.51.100.2 of milan");
	stop(&f);
}

/* An endpoint that the site file gives instead of the card's counts as well. */
static void test_overlaps_endpoint_in_site_file(void **state)
{
	struct fixture f;

	start(&f, "peers: {milan: {endpoint: [203.0.113.9]}, paris: {}}");
	give_milan(&f);
	give(&f, written_card("paris", "paris", "networks: [203.0.113.0/24]"));
	build(&f);
	networks_are(&f, "paris", "");
	said(&f, DIAG_WARNING, NULL, "the endpoint 203.0.113.9 of milan");
	stop(&f);
}

static void test_transit_and_repeats(void **state)
{
	struct fixture f;

	start(&f, "peers: {milan: {}}");
	give(&f, written_card("milan", "milan",
			      "networks: [10.2.0.0/16, \"fd00:2::/48\"]\n"
			      "transit: [10.4.0.0/14, 10.2.0.0/16]"));
	build(&f);
	networks_are(&f, "milan", "10.2.0.0/16 10.4.0.0/14 fd00:2::/48");
	stop(&f);
}

static void test_equal_networks(void **state)
{
	struct fixture f;

	start(&f, "peers: {milan: {}, paris: {}}");
	give_milan(&f);
	give(&f, written_card("paris", "paris", "networks: [10.2.0.0/16, 10.3.0.0/16]"));
	build(&f);
	assert_int_equal(f.result, 0);
	said(&f, DIAG_ERROR, "paris", "10.2.0.0/16 is claimed by both milan and paris");
	assert_int_equal(f.site->n_peers, 1);
	networks_are(&f, "milan", "10.2.0.0/16");
	held_are(&f, "10.2.0.0/16 10.3.0.0/16");
	stop(&f);

	start(&f, "peers: {milan: {}, paris: {accept: [10.3.0.0/16]}}");
	give_milan(&f);
	give(&f, written_card("paris", "paris", "networks: [10.2.0.0/16, 10.3.0.0/16]"));
	build(&f);
	assert_int_equal(f.diags.errors, 0);
	networks_are(&f, "paris", "10.3.0.0/16");
	stop(&f);
}

/* Nested ones are no clash. */
static void test_nested_networks(void **state)
{
	struct fixture f;
	struct ipaddr a;

	start(&f, "peers: {alba: {}, milan: {accept: [10.0.0.0/8]}, paris: {}}");
	give(&f, written_card("milan", "milan", "transit: [10.0.0.0/8]"));
	give(&f, written_card("paris", "paris", "networks: [10.3.0.0/16]"));
	give(&f, written_card("alba", "alba", "networks: [10.4.0.0/16]"));
	build(&f);
	quiet(&f);
	assert_int_equal(addr_parse("10.3.0.1", &a), 0);
	assert_string_equal(site_route(f.site, &a)->id, "paris");
	assert_int_equal(addr_parse("10.4.0.1", &a), 0);
	assert_string_equal(site_route(f.site, &a)->id, "alba");
	assert_int_equal(addr_parse("10.200.0.1", &a), 0);
	assert_string_equal(site_route(f.site, &a)->id, "milan");
	assert_int_equal(addr_parse("10.1.0.1", &a), 0);
	assert_null(site_route(f.site, &a)); /* ours */
	assert_int_equal(addr_parse("192.168.0.1", &a), 0);
	assert_null(site_route(f.site, &a));
	assert_int_equal(addr_parse("fd00:3::1", &a), 0);
	assert_null(site_route(f.site, &a));
	stop(&f);
}

/* ---- cards and keys ---- */

static void test_no_card(void **state)
{
	struct fixture f;

	start(&f, "peers: {milan: {}, paris: {}}");
	give_milan(&f);
	build(&f);
	assert_int_equal(f.result, 0);
	said(&f, DIAG_ERROR, "paris", "no card for peer paris");
	assert_int_equal(f.site->n_peers, 1);
	assert_int_equal(site_peer(f.site, "milan")->index, 0);
	stop(&f);
}

static void test_two_cards(void **state)
{
	struct fixture f;

	start(&f, "peers: {milan: {}}");
	give_milan(&f);
	give_milan(&f);
	build(&f);
	said(&f, DIAG_ERROR, "milan", "two cards for milan");
	assert_int_equal(f.site->n_peers, 0);
	stop(&f);
}

static void test_unused_card(void **state)
{
	struct fixture f;

	start(&f, "peers: {}");
	give_milan(&f);
	build(&f);
	assert_int_equal(f.result, 0);
	said(&f, DIAG_WARNING, NULL, "'milan' is not under peers:");
	stop(&f);
}

static void test_own_key(void **state)
{
	struct fixture f;

	start(&f, "peers: {milan: {}}");
	give(&f, written_card("milan", "turin", "networks: [10.2.0.0/16]"));
	build(&f);
	said(&f, DIAG_ERROR, "milan", "has the key of our own lane 0");
	assert_int_equal(f.site->n_peers, 0);
	stop(&f);
}

static void test_shared_key(void **state)
{
	struct fixture f;

	start(&f, "peers: {milan: {}, paris: {}}");
	give_milan(&f);
	give(&f, written_card("paris", "milan", "networks: [10.3.0.0/16]"));
	build(&f);
	said(&f, DIAG_ERROR, "paris", "the same key as a lane of milan");
	assert_int_equal(f.site->n_peers, 1);
	stop(&f);
}

static const char plain_card[] =
	"card: 1\nsite: office\nlanes:\n"
	"- {lane: 1, key: \"AnRftfxo0lem1qUW2rR6xPb8vkfKhy0E1yOlA7CadDw=\", port: 51821}\n"
	"- {lane: 5, key: \"cRaMshavzxapaM660BD4krSFCIHct+7H7L5aJnVTPlY=\", port: 4500}\n"
	"networks: [10.7.0.0/16]\n";

/* The first lane here with the first there, and so on. */
static void test_plain_pairing(void **state)
{
	const struct peer *p;
	struct fixture f;

	start(&f, "peers: {office: {}}");
	give(&f, parse_card("office.yaml", plain_card));
	build(&f);
	quiet(&f);
	p = site_peer(f.site, "office");
	assert_true(p->plain);
	assert_int_equal(p->n_tunnels, 2);
	assert_int_equal(p->tunnels[0].ours, 0);
	assert_int_equal(p->tunnels[0].theirs, 1);
	assert_int_equal(p->tunnels[0].port, 51821);
	assert_int_equal(p->tunnels[1].ours, 1);
	assert_int_equal(p->tunnels[1].theirs, 5);
	assert_int_equal(p->tunnels[1].port, 4500);
	assert_int_equal(p->tunnels[0].probe.family, 0);
	stop(&f);
}

static void test_endpoints(void **state)
{
	struct fixture f;

	start(&f, "peers: {milan: {endpoint: [milan.example, 203.0.113.1]}}");
	give_milan(&f);
	build(&f);
	assert_int_equal(site_peer(f.site, "milan")->n_endpoints, 2);
	assert_string_equal(site_peer(f.site, "milan")->endpoints[0].name, "milan.example");
	stop(&f);
}

/* ---- preshared keys ---- */

static void build_with_psk(struct fixture *f, const struct site_psk *psk)
{
	start(f, "peers: {milan: {preshared-key-file: /m.psk}}");
	give_milan(f);
	f->in.psks = psk;
	f->in.n_psks = psk ? 1 : 0;
	build(f);
}

static void test_psk(void **state)
{
	static const char good[] = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n";
	struct site_psk psk = {.peer = "milan", .text = good};
	struct fixture f;

	build_with_psk(&f, &psk);
	quiet(&f);
	assert_true(site_peer(f.site, "milan")->has_psk);
	for (size_t i = 0; i < MODEL_KEY_LEN; i++)
		assert_int_equal(site_peer(f.site, "milan")->psk.b[i], 1);
	stop(&f);

	/* Without its key a peer would be up, but weaker than the operator thinks: left out. */
	psk.text = "nonsense";
	build_with_psk(&f, &psk);
	said(&f, DIAG_ERROR, "milan", "preshared-key-file /m.psk");
	assert_int_equal(f.site->n_peers, 0);
	stop(&f);

	psk = (struct site_psk){.peer = "milan", .why = "others may read it"};
	build_with_psk(&f, &psk);
	said(&f, DIAG_ERROR, "milan", "others may read it");
	held_are(&f, "10.2.0.0/16");
	stop(&f);

	/* In standby its networks are led elsewhere. */
	start(&f, "peers: {milan: {preshared-key-file: /m.psk, traffic: off}}");
	give_milan(&f);
	build(&f);
	said(&f, DIAG_ERROR, "milan", "it was not read");
	held_are(&f, "");
	stop(&f);

	build_with_psk(&f, NULL);
	said(&f, DIAG_ERROR, "milan", "it was not read");
	stop(&f);
}

static void test_psk_not_repeated(void **state)
{
	struct site_psk psk = {.peer = "milan", .text = "c2VjcmV0"};
	struct fixture f;

	build_with_psk(&f, &psk);
	for (size_t i = 0; i < f.diags.n; i++)
		assert_null(strstr(f.diags.items[i].text, "c2VjcmV0"));
	stop(&f);
}

/* ---- the host ---- */

static void build_on(struct fixture *f, struct fact_link *foreign)
{
	static struct facts facts;

	facts = (struct facts){.foreign = foreign, .n_foreign = 1, .ipv6 = true};
	start(f, "peers: {milan: {}}");
	give_milan(f);
	f->in.facts = &facts;
	build(f);
}

static void test_foreign_devices(void **state)
{
	struct fact_link dev = {.dev = "wgs2"};
	struct fixture f;

	build_on(&f, &dev);
	assert_int_equal(f.result, -EINVAL);
	said(&f, DIAG_ERROR, NULL, "a device named wgs2 exists");
	stop(&f);

	dev = (struct fact_link){.dev = "wg0", .wireguard = true, .port = 21823};
	build_on(&f, &dev);
	assert_int_equal(f.result, -EINVAL);
	said(&f, DIAG_ERROR, NULL, "UDP port 21823 of lane 3 is taken by the WireGuard device wg0");
	stop(&f);

	/* Neither a lane of ours nor a port of one. */
	dev = (struct fact_link){.dev = "wgs4", .wireguard = true, .port = 21824};
	build_on(&f, &dev);
	assert_int_equal(f.result, 0);
	quiet(&f);
	stop(&f);
}

static void test_address(void **state)
{
	struct fact_addr addr = {.dev = "lan0"};
	struct facts facts = {.addrs = &addr, .n_addrs = 1};
	struct fixture f;

	assert_int_equal(addr_parse("10.1.0.1", &addr.addr), 0);
	assert_int_equal(addr_parse_prefix("10.1.0.0/24", &addr.prefix), 0);
	start(&f, "address: [10.1.0.2]\npeers: {}");
	f.in.facts = &facts;
	build(&f);
	assert_int_equal(f.result, 0);
	said(&f, DIAG_WARNING, NULL, "address 10.1.0.2 is not on any interface");
	stop(&f);

	start(&f, "address: [10.1.0.1]\npeers: {}");
	f.in.facts = &facts;
	build(&f);
	quiet(&f);
	stop(&f);
}

/* ---- the operator ---- */

static void test_traffic(void **state)
{
	static const struct site_traffic on = {.peer = "milan", .traffic = TRAFFIC_ON};
	struct fixture f;

	start(&f, "peers: {milan: {traffic: off}}");
	give_milan(&f);
	build(&f);
	assert_int_equal(site_peer(f.site, "milan")->traffic, TRAFFIC_OFF);
	stop(&f);

	start(&f, "peers: {milan: {traffic: off}}");
	give_milan(&f);
	f.in.traffic = &on;
	f.in.n_traffic = 1;
	build(&f);
	assert_int_equal(site_peer(f.site, "milan")->traffic, TRAFFIC_ON);
	stop(&f);
}

static void test_auto_lanes(void **state)
{
	struct fixture f;

	memset(&f, 0, sizeof(f));
	f.config = parse_config("site: turin\nlanes: auto\n");
	secret_of("turin", &f.secret);
	f.in.config = f.config;
	f.in.secret = &f.secret;
	f.in.auto_lanes = 11;
	build(&f);
	assert_int_equal(f.site->n_lanes, 11);
	assert_string_equal(f.site->lanes[10].dev, "wgs10");
	stop(&f);
}

/* The order of the file does not matter to anybody who goes by index. */
static void test_sorted(void **state)
{
	struct fixture f;

	start(&f, "peers: {paris: {}, milan: {}}");
	give_milan(&f);
	give(&f, written_card("paris", "paris", "networks: [10.3.0.0/16]"));
	build(&f);
	assert_string_equal(f.site->peers[0].id, "milan");
	assert_int_equal(f.site->peers[1].index, 1);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sound),
		cmocka_unit_test(test_both_ends),
		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_accept_nothing),
		cmocka_unit_test(test_overlaps),
		cmocka_unit_test(test_overlaps_other_endpoint),
		cmocka_unit_test(test_overlaps_endpoint_in_site_file),
		cmocka_unit_test(test_transit_and_repeats),
		cmocka_unit_test(test_equal_networks),
		cmocka_unit_test(test_nested_networks),
		cmocka_unit_test(test_no_card),
		cmocka_unit_test(test_two_cards),
		cmocka_unit_test(test_unused_card),
		cmocka_unit_test(test_own_key),
		cmocka_unit_test(test_shared_key),
		cmocka_unit_test(test_plain_pairing),
		cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_psk),
		cmocka_unit_test(test_psk_not_repeated),
		cmocka_unit_test(test_foreign_devices),
		cmocka_unit_test(test_address),
		cmocka_unit_test(test_traffic),
		cmocka_unit_test(test_auto_lanes),
		cmocka_unit_test(test_sorted),
	};

	if (keys_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
