/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: Gives each tunnel an address to try. A peer's candidates are its endpoints in order, names
 * replaced by what they resolve to. A tunnel gets the first one; only when it has been silent for
 * a while does it get the next, and once round, names are asked for again. Names that do not
 * resolve (at boot, say) are asked again with growing pauses. It never touches a tunnel that
 * answers (health_answers()): a roamed endpoint needs no repair.
 */
#include "endpoints.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "log.h"
#include "monitor.h"
#include "resolve.h"

#define TRY_MS		  12000 /* two handshake attempts of WireGuard, and some */
#define RETRY_FIRST_MS	  2000
#define RETRY_MAX_MS	  60000
#define RESOLVED_AGAIN_MS 30000 /* at the soonest */
#define TICK_S		  1.0

struct name {
	const struct config_endpoint *endpoint;
	char *text; /* outlives the configuration */
	struct ipaddr addrs[RESOLVE_ADDRS_MAX];
	size_t n;
	bool asked;	   /* an answer is on its way */
	uint64_t again_ms; /* not before */
	uint64_t pause_ms; /* after a failure */
	char problem[160];
};

struct peer_names {
	char id[MODEL_ID_MAX + 1];
	struct name names[MODEL_ENDPOINTS_MAX];
	size_t n;
};

/* Identifies a question: answers for a configuration that is gone are dropped. */
struct question {
	struct endpoints *e;
	uint64_t generation;
	size_t peer, name;
};

struct endpoints {
	struct ev_loop *loop;
	struct resolver *resolver;
	void (*changed)(void *owner);
	const struct facts *(*facts)(void *owner);
	void *owner;
	struct gateway *g;
	struct peer_names *peers;
	size_t n_peers;
	uint64_t generation;
	ev_timer tick;
};

static bool family_usable(const struct endpoints *e, uint8_t family)
{
	return family == AF_INET || e->facts(e->owner)->ipv6;
}

static void add_candidate(struct endpoints *e, struct peer_run *run, const struct ipaddr *addr,
			  uint16_t port_base)
{
	if (run->n_candidates == GATEWAY_CANDIDATES_MAX || !family_usable(e, addr->family))
		return;
	run->candidates[run->n_candidates++] =
		(struct candidate){.addr = *addr, .port_base = port_base};
}

static void collect(struct endpoints *e, size_t peer)
{
	const struct peer *p = &e->g->site->peers[peer];
	struct peer_run *run = &e->g->peers[peer];

	run->n_candidates = 0;
	for (size_t i = 0; i < p->n_endpoints && i < MODEL_ENDPOINTS_MAX; i++) {
		const struct name *name = &e->peers[peer].names[i];

		if (!p->endpoints[i].name)
			add_candidate(e, run, &p->endpoints[i].addr, p->endpoints[i].port_base);
		for (size_t a = 0; a < name->n; a++)
			add_candidate(e, run, &name->addrs[a], p->endpoints[i].port_base);
	}
}

static struct sockep endpoint_at(const struct peer_run *run, const struct tunnel *t,
				 unsigned int candidate)
{
	const struct candidate *c = &run->candidates[candidate % run->n_candidates];

	return (struct sockep){
		.addr = c->addr,
		.port = c->port_base ? (uint16_t)(c->port_base + t->theirs) : t->port,
	};
}

/* Whatever endpoint it has is right. */
static bool answers(const struct tunnel_run *run, uint64_t now_ms)
{
	return health_answers(&run->health, TRY_MS, now_ms);
}

static bool try_next(struct peer_run *run, const struct tunnel *t, struct tunnel_run *tr,
		     uint64_t now_ms)
{
	struct sockep next;

	if (!run->n_candidates)
		return false;
	if (!tr->endpoint.addr.family) {
		tr->endpoint = endpoint_at(run, t, tr->candidate);
		tr->tried_ms = now_ms;
		return true;
	}
	if (answers(tr, now_ms)) {
		tr->tried_ms = now_ms;
		return false;
	}
	if (now_ms - tr->tried_ms < TRY_MS)
		return false;
	tr->tried_ms = now_ms;
	tr->candidate++;
	next = endpoint_at(run, t, tr->candidate);
	if (addr_equal_ep(&next, &tr->endpoint) && addr_equal_ep(&next, &tr->seen))
		return false;
	tr->endpoint = next;
	tr->move_endpoint = true;
	return true;
}

static void on_answer(void *owner, const char *asked, const struct ipaddr *addrs, size_t n,
		      const char *error)
{
	struct question *q = owner;
	struct endpoints *e = q->e;
	uint64_t now_ms = monitor_now_ms();
	struct name *name;

	if (!e->g || q->generation != e->generation) {
		free(q);
		return;
	}
	name = &e->peers[q->peer].names[q->name];
	name->asked = false;
	if (error) {
		name->pause_ms = name->pause_ms ? name->pause_ms * 2 : RETRY_FIRST_MS;
		if (name->pause_ms > RETRY_MAX_MS)
			name->pause_ms = RETRY_MAX_MS;
		name->again_ms = now_ms + name->pause_ms;
		if (!name->problem[0])
			log_peer(LOG_WARNING, e->peers[q->peer].id, -1,
				 "cannot resolve %s of %s: %s; trying on", name->endpoint->name,
				 e->peers[q->peer].id, error);
		snprintf(name->problem, sizeof(name->problem), "cannot resolve %s: %s",
			 name->endpoint->name, error);
	} else {
		name->n = n < RESOLVE_ADDRS_MAX ? n : RESOLVE_ADDRS_MAX;
		memcpy(name->addrs, addrs, name->n * sizeof(*addrs));
		name->pause_ms = 0;
		name->again_ms = now_ms + RESOLVED_AGAIN_MS;
		name->problem[0] = '\0';
		collect(e, q->peer);
	}
	free(q);
}

static void ask(struct endpoints *e, size_t peer, size_t index, uint64_t now_ms)
{
	struct name *name = &e->peers[peer].names[index];
	struct question *q;

	if (!name->endpoint || name->asked || now_ms < name->again_ms)
		return;
	q = xcalloc(1, sizeof(*q));
	*q = (struct question){.e = e, .generation = e->generation, .peer = peer, .name = index};
	if (resolve_ask(e->resolver, name->endpoint->name, on_answer, q) != 0) {
		free(q);
		return;
	}
	name->asked = true;
}

/* Gives each tunnel an address to try; true if one changed. */
static bool assign(struct endpoints *e, uint64_t now_ms)
{
	bool changed = false;

	for (size_t i = 0; i < e->g->site->n_peers; i++) {
		const struct peer *p = &e->g->site->peers[i];
		struct peer_run *run = &e->g->peers[i];
		bool silent = false;

		for (size_t t = 0; t < p->n_tunnels; t++) {
			changed |= try_next(run, &p->tunnels[t], &run->tunnels[t], now_ms);
			silent = silent || !answers(&run->tunnels[t], now_ms);
		}
		for (size_t n = 0; silent && n < e->peers[i].n; n++)
			ask(e, i, n, now_ms);
	}
	return changed;
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct endpoints *e = timer->data;

	if (e->g && assign(e, monitor_now_ms()))
		e->changed(e->owner);
}

const char *endpoints_problem(const struct endpoints *e, const char *peer)
{
	for (size_t i = 0; e->g && i < e->g->site->n_peers; i++)
		for (size_t n = 0; strcmp(e->peers[i].id, peer) == 0 && n < e->peers[i].n; n++)
			if (e->peers[i].names[n].problem[0] && !e->peers[i].names[n].n)
				return e->peers[i].names[n].problem;
	return NULL;
}

/* What a name resolved to stays known while some peer still uses it. */
static void take_over(const struct peer_names *old, size_t n_old, struct peer_names *p)
{
	for (size_t i = 0; i < n_old; i++)
		for (size_t a = 0; a < old[i].n; a++)
			for (size_t b = 0; b < p->n; b++)
				if (old[i].names[a].n && p->names[b].endpoint &&
				    strcmp(old[i].id, p->id) == 0 &&
				    strcmp(old[i].names[a].text, p->names[b].text) == 0) {
					memcpy(p->names[b].addrs, old[i].names[a].addrs,
					       sizeof(p->names[b].addrs));
					p->names[b].n = old[i].names[a].n;
				}
}

static void free_names(struct peer_names *peers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < peers[i].n; j++)
			free(peers[i].names[j].text);
	free(peers);
}

void endpoints_set(struct endpoints *e, struct gateway *g)
{
	struct peer_names *old = e->peers;
	size_t n_old = e->n_peers;

	e->generation++;
	e->g = g;
	e->n_peers = g ? g->site->n_peers : 0;
	e->peers = g ? xcalloc(g->site->n_peers, sizeof(*e->peers)) : NULL;
	for (size_t i = 0; g && i < g->site->n_peers; i++) {
		const struct peer *p = &g->site->peers[i];
		struct peer_names *names = &e->peers[i];

		strncpy(names->id, p->id, sizeof(names->id) - 1);
		names->n =
			p->n_endpoints < MODEL_ENDPOINTS_MAX ? p->n_endpoints : MODEL_ENDPOINTS_MAX;
		for (size_t n = 0; n < names->n; n++)
			if (p->endpoints[n].name) {
				names->names[n].endpoint = &p->endpoints[n];
				names->names[n].text = xstrdup(p->endpoints[n].name);
			}
		take_over(old, n_old, names);
		collect(e, i);
	}
	free_names(old, n_old);
	ev_timer_stop(e->loop, &e->tick);
	if (!g)
		return;
	/* At once, so that the very first pass already carries the addresses. */
	assign(e, monitor_now_ms());
	ev_timer_set(&e->tick, TICK_S, TICK_S);
	ev_timer_start(e->loop, &e->tick);
}

int endpoints_open(struct ev_loop *loop, void (*changed)(void *owner),
		   const struct facts *(*facts)(void *owner), void *owner,
		   struct endpoints **ret_endpoints)
{
	struct endpoints *e = xcalloc(1, sizeof(*e));
	int err = resolve_open(loop, &e->resolver);

	if (err) {
		free(e);
		return err;
	}
	e->loop = loop;
	e->changed = changed;
	e->facts = facts;
	e->owner = owner;
	ev_timer_init(&e->tick, on_tick, 0., TICK_S);
	e->tick.data = e;
	*ret_endpoints = e;
	return 0;
}

void endpoints_close(struct endpoints *e)
{
	if (!e)
		return;
	ev_timer_stop(e->loop, &e->tick);
	resolve_close(e->resolver);
	free_names(e->peers, e->n_peers);
	free(e);
}
