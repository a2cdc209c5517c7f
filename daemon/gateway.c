/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: Holds the running site together: loading and compiling it, carrying knowledge over when it
 * is replaced, and turning what is known into what is wanted (want.c) and which tunnel each bucket
 * uses (map.c). It has no timers, sockets or workers; monitor.c feeds health, endpoints.c feeds
 * addresses, reconcile.c asks for the wanted world.
 */
#include "gateway.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define RATE_WINDOW_MS 900

static void forget_peer(struct gateway *g, size_t peer)
{
	const struct peer *p = &g->site->peers[peer];
	struct peer_run *run = &g->peers[peer];

	for (unsigned int b = 0; b < MODEL_BUCKETS; b++)
		run->map[b] = MAP_NONE;
	for (size_t t = 0; t < p->n_tunnels; t++) {
		struct sockep endpoint = run->tunnels[t].endpoint;

		run->tunnels[t] = (struct tunnel_run){.endpoint = endpoint};
		health_init(&run->tunnels[t].health, p->tunnels[t].probe.family != 0, false, 0);
	}
	run->said_ms = 0;
}

void gateway_forget(struct gateway *g)
{
	for (size_t i = 0; i < g->site->n_peers; i++)
		forget_peer(g, i);
}

struct gateway *gateway_new(struct loaded *loaded, struct site *site)
{
	struct gateway *g = xcalloc(1, sizeof(*g));

	g->loaded = loaded;
	g->site = site;
	g->peers = xcalloc(site->n_peers, sizeof(*g->peers));
	for (size_t i = 0; i < site->n_peers; i++) {
		struct peer_run *run = &g->peers[i];
		const struct peer *p = &site->peers[i];

		run->tunnels = xcalloc(p->n_tunnels, sizeof(*run->tunnels));
		run->mtu = p->config->mtu      ? p->config->mtu
			   : site->config->mtu ? site->config->mtu
					       : GATEWAY_MTU_DEFAULT;
		forget_peer(g, i);
	}
	return g;
}

void gateway_free(struct gateway *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->site->n_peers; i++)
		free(g->peers[i].tunnels);
	free(g->peers);
	site_free(g->site);
	state_free(g->loaded);
	diag_done(&g->diags);
	free(g);
}

struct gateway *gateway_load(const struct paths *p, bool accepted, bool lenient,
			     const struct facts *facts, struct diags *diags)
{
	struct loaded *loaded = NULL;
	struct site *site = NULL;
	struct site_input in;

	if (state_load(p, accepted, diags, &loaded) != 0)
		return NULL;
	state_input(loaded, &in);
	in.facts = facts;
	if (site_build(&in, diags, &site) != 0 || (!lenient && diags->errors)) {
		site_free(site);
		state_free(loaded);
		return NULL;
	}
	return gateway_new(loaded, site);
}

static bool holds(const struct peer *p, const struct prefix *net)
{
	for (size_t i = 0; i < p->n_networks; i++)
		if (addr_contains(&p->networks[i], net))
			return true;
	return false;
}

/* It was carried, nobody has said that it no longer is to be, and yet it is not. */
static bool is_lost(const struct peer *was, const struct peer *now, const struct prefix *net)
{
	return was->traffic == TRAFFIC_ON && now->traffic == TRAFFIC_ON && !holds(now, net) &&
	       site_claims(now, net);
}

/* Of a peer that is refused now; the file may say of it that it no longer carries. */
static bool is_cut_off(const struct peer *was, const struct config_peer *now)
{
	return was->traffic == TRAFFIC_ON &&
	       (now->traffic == TRAFFIC_ON || was->config->traffic == now->traffic);
}

void gateway_hold(struct gateway *g, const struct site *accepted, const struct carried *carried)
{
	struct site *s = g->site;
	bool refused_then = false;

	for (size_t i = 0; i < s->config->n_peers; i++) {
		const struct config_peer *cp = &s->config->peers[i];
		const struct peer *was = site_peer(accepted, cp->id), *now = site_peer(s, cp->id);

		refused_then |= !was && !now;
		for (size_t j = 0; was && j < was->n_networks; j++) {
			const struct prefix *net = &was->networks[j];

			if (carried && !carried_has(carried, net))
				continue;
			if (now ? carried && is_lost(was, now, net) : is_cut_off(was, cp))
				site_hold(s, net);
		}
	}
	for (size_t i = 0; refused_then && i < accepted->n_held; i++)
		if (!carried || carried_has(carried, &accepted->held[i]))
			site_hold(s, &accepted->held[i]);
}

void gateway_keep_held(struct gateway *g, const struct gateway *old)
{
	for (size_t i = 0; i < old->site->n_held; i++) {
		const struct prefix *net = &old->site->held[i];

		for (size_t j = 0; j < g->site->n_peers && !site_carries(g->site, net); j++)
			if (g->site->peers[j].traffic == TRAFFIC_ON &&
			    !holds(&g->site->peers[j], net) && site_claims(&g->site->peers[j], net))
				site_hold(g->site, net);
	}
}

bool gateway_loses(const struct gateway *from, const struct gateway *to)
{
	for (size_t i = 0; i < from->site->n_peers; i++) {
		const struct peer *was = &from->site->peers[i];
		const struct peer *now = site_peer(to->site, was->id);

		for (size_t j = 0; now && j < was->n_networks; j++)
			if (is_lost(was, now, &was->networks[j]))
				return true;
	}
	return false;
}

void gateway_inherit(struct gateway *g, const struct gateway *old, uint64_t now_ms)
{
	memcpy(g->ifindex, old->ifindex, sizeof(g->ifindex));
	for (size_t i = 0; i < g->site->n_peers; i++) {
		const struct peer *p = &g->site->peers[i];
		const struct peer *q = site_peer(old->site, p->id);
		struct peer_run *run = &g->peers[i];
		const struct peer_run *was;
		bool same_lanes;

		if (!q)
			continue;
		was = &old->peers[q->index];
		same_lanes = p->n_tunnels == q->n_tunnels;
		for (size_t t = 0; t < p->n_tunnels; t++)
			for (size_t u = 0; u < q->n_tunnels; u++)
				if (p->tunnels[t].ours == q->tunnels[u].ours &&
				    key_cmp(&p->tunnels[t].key, &q->tunnels[u].key) == 0) {
					run->tunnels[t] = was->tunnels[u];
					/* Another card may name other addresses. */
					run->tunnels[t].candidate = 0;
					same_lanes = same_lanes && t == u;
				}
		run->said_ms = was->said_ms;
		run->card = was->card;
		run->card_held = was->card_held;
		run->active = was->active;
		if (!p->config->mtu && !g->site->config->mtu)
			run->mtu = was->mtu;
		if (same_lanes)
			memcpy(run->map, was->map, sizeof(run->map));
		gateway_fill(g, i);
	}
}

static int lane_number(const struct gateway *g, const char *dev)
{
	for (size_t i = 0; i < g->site->n_lanes; i++)
		if (strcmp(g->site->lanes[i].dev, dev) == 0)
			return (int)i;
	return -1;
}

struct tunnel_run *gateway_find(const struct gateway *g, const char *dev, const struct key *key,
				size_t *ret_peer)
{
	int lane = lane_number(g, dev);

	for (size_t i = 0; lane >= 0 && i < g->site->n_peers; i++)
		for (size_t t = 0; t < g->site->peers[i].n_tunnels; t++) {
			const struct tunnel *tunnel = &g->site->peers[i].tunnels[t];

			if (tunnel->ours != (unsigned int)lane || key_cmp(&tunnel->key, key) != 0)
				continue;
			if (ret_peer)
				*ret_peer = i;
			return &g->peers[i].tunnels[t];
		}
	return NULL;
}

/* Which tunnels the kernel's map of a peer uses: they were healthy when it was written. */
static void adopt(struct gateway *g, size_t peer, const struct obj_nft_buckets *b, uint64_t now_ms)
{
	const struct peer *p = &g->site->peers[peer];
	struct peer_run *run = &g->peers[peer];
	bool used[MODEL_LANES_MAX] = {false};

	for (unsigned int i = 0; i < MODEL_BUCKETS; i++)
		for (size_t t = 0; t < p->n_tunnels; t++)
			if (b->lane_slot[i] == p->tunnels[t].ours + 1) {
				used[t] = true;
				run->map[i] = (uint16_t)t;
			}
	for (size_t t = 0; t < p->n_tunnels; t++)
		if (used[t])
			health_init(&run->tunnels[t].health, p->tunnels[t].probe.family != 0, true,
				    now_ms);
}

static void note_sample(struct tunnel_run *run, const struct sockep *seen, uint64_t handshake_s,
			uint64_t rx, uint64_t tx, uint64_t now_ms)
{
	uint64_t dt = now_ms - run->sampled_ms;

	run->seen = *seen;
	run->handshake_s = handshake_s;
	/* Over less than a second a handful of probes would look like a rate. */
	if (run->sampled_ms && dt < RATE_WINDOW_MS)
		return;
	run->rx_bps = run->tx_bps = 0;
	if (run->sampled_ms && rx >= run->rx_bytes && tx >= run->tx_bytes) {
		run->rx_bps = (rx - run->rx_bytes) * 8000 / dt;
		run->tx_bps = (tx - run->tx_bytes) * 8000 / dt;
	}
	run->rx_bytes = rx;
	run->tx_bytes = tx;
	run->sampled_ms = now_ms;
}

static void note_mode(struct tunnel_run *run, const struct obj_mode *have)
{
	if (!run)
		return;
	run->mode = have->mode;
	run->mode_in_force = have->in_force;
	run->switches = have->switches;
}

/* Entries that are said nothing of have none but the stock mode. */
static void forget_modes(struct gateway *g)
{
	for (size_t i = 0; i < g->site->n_peers; i++)
		for (size_t t = 0; t < g->site->peers[i].n_tunnels; t++)
			note_mode(&g->peers[i].tunnels[t], &(struct obj_mode){0});
}

void gateway_observed(struct gateway *g, const struct world *have, bool adopting, uint64_t now_ms)
{
	memset(g->ifindex, 0, sizeof(g->ifindex));
	forget_modes(g);
	for (size_t i = 0; i < have->n; i++) {
		const struct obj *o = &have->objs[i];
		struct tunnel_run *run;
		int lane;

		if (o->kind == OBJ_LINK) {
			lane = lane_number(g, o->dev);
			if (lane >= 0)
				g->ifindex[lane] = o->link.ifindex;
		} else if (o->kind == OBJ_WGPEER) {
			run = gateway_find(g, o->dev, &o->wgpeer.public_key, NULL);
			if (run)
				note_sample(run, &o->wgpeer.endpoint, o->wgpeer.handshake_s,
					    o->wgpeer.rx_bytes, o->wgpeer.tx_bytes, now_ms);
			if (run && addr_equal_ep(&run->endpoint, &o->wgpeer.endpoint))
				run->move_endpoint = false;
		} else if (o->kind == OBJ_MODE) {
			note_mode(gateway_find(g, o->dev, &o->mode.peer, NULL), &o->mode);
		} else if (adopting && o->kind == OBJ_NFT_BUCKETS &&
			   strncmp(o->name, "b-", 2) == 0) {
			const struct peer *p = site_peer(g->site, o->name + 2);

			if (p)
				adopt(g, p->index, o->buckets, now_ms);
		}
	}
}

bool gateway_fill(struct gateway *g, size_t peer)
{
	const struct peer *p = &g->site->peers[peer];
	struct peer_run *run = &g->peers[peer];
	bool usable[MODEL_LANES_MAX] = {false};
	uint16_t map[MODEL_BUCKETS];

	if (!p->n_tunnels)
		return false;
	for (size_t t = 0; t < p->n_tunnels; t++)
		usable[t] = health_usable(&run->tunnels[t].health);
	map_fill(p->tunnels, p->n_tunnels, strcmp(g->site->id, p->id) < 0, p->home, usable,
		 run->map, map);
	if (memcmp(map, run->map, sizeof(map)) == 0)
		return false;
	memcpy(run->map, map, sizeof(map));
	return true;
}

void gateway_buckets(const struct gateway *g, size_t peer, struct obj_nft_buckets *ret)
{
	const struct peer *p = &g->site->peers[peer];

	memset(ret, 0, sizeof(*ret));
	for (unsigned int b = 0; b < MODEL_BUCKETS; b++) {
		uint16_t t = g->peers[peer].map[b];

		if (t < p->n_tunnels)
			ret->lane_slot[b] = (uint8_t)(p->tunnels[t].ours + 1);
	}
}

void gateway_want(const struct gateway *g, const struct overrides *modes, const struct facts *facts,
		  bool guard_only, struct world *ret)
{
	const struct site *s = g->site;
	struct want_peer *peers = xcalloc(s->n_peers, sizeof(*peers));
	struct want_input in = {
		.site = s, .peers = peers, .facts = facts, .guard_only = guard_only};

	for (size_t i = 0; i < s->n_peers; i++) {
		peers[i].mtu = g->peers[i].mtu;
		memcpy(peers[i].map, g->peers[i].map, sizeof(peers[i].map));
		peers[i].tunnels = xcalloc(s->peers[i].n_tunnels, sizeof(*peers[i].tunnels));
		for (size_t t = 0; t < s->peers[i].n_tunnels; t++) {
			peers[i].tunnels[t].endpoint = g->peers[i].tunnels[t].endpoint;
			peers[i].tunnels[t].move_endpoint = g->peers[i].tunnels[t].move_endpoint;
			peers[i].tunnels[t].mode =
				override_mode(modes, &s->peers[i], &s->peers[i].tunnels[t], NULL);
		}
	}
	want_build(&in, ret);
	for (size_t i = 0; i < s->n_peers; i++)
		free(peers[i].tunnels);
	free(peers);
}

void gateway_sampled(struct gateway *g, const char *dev, const struct kernel_peer_sample *samples,
		     size_t n, uint64_t now_ms)
{
	for (size_t i = 0; i < n; i++) {
		struct tunnel_run *run = gateway_find(g, dev, &samples[i].key, NULL);

		if (run)
			note_sample(run, &samples[i].endpoint, samples[i].handshake_s,
				    samples[i].rx_bytes, samples[i].tx_bytes, now_ms);
	}
}

size_t gateway_usable(const struct gateway *g, size_t peer)
{
	size_t n = 0;

	for (size_t t = 0; t < g->site->peers[peer].n_tunnels; t++)
		n += health_usable(&g->peers[peer].tunnels[t].health);
	return n;
}
