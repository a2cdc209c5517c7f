/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: What runs, and how it comes to be replaced: first load, reload, going back unless
 * confirmed, down. Answers the reconciler (what is wanted?) and the monitor (a tunnel came or
 * went). A configuration is replaced at once; the old one is kept while a pass still refers to
 * it. Invariant: nothing that was refused ever becomes d->g, and nothing is stored as accepted
 * before the kernel holds it.
 */
#include "daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include "carried.h"
#include "log.h"
#include "unconfirmed.h"

#define MOVES_TOGETHER_S 0.02
#define DOWN_FIRST	 "run 'wgscalectl down' first, then reload"

/* ---- state and waiters ---- */

const char *lifecycle_state(const struct daemon *d)
{
	if (d->down)
		return "down";
	if (!d->ready)
		return "starting";
	if (!reconcile_settled(d->reconcile) || d->g->fallback || d->g->diags.errors)
		return "degraded";
	for (size_t i = 0; i < d->g->site->n_peers; i++)
		if (gateway_usable(d->g, i) < d->g->site->peers[i].n_tunnels)
			return "degraded";
	return "up";
}

/* `state` is that of the daemon. */
static bool reached(const struct daemon *d, const struct waiter *w, const char *state)
{
	if (!w->state)
		return false;
	if (strcmp(w->state, "settled") == 0)
		return reconcile_settled(d->reconcile);
	return strcmp(w->state, state) == 0;
}

static void waiter_end(struct waiter *w, bool ok)
{
	struct waiter **at = &w->d->waiters;

	while (*at && *at != w)
		at = &(*at)->next;
	if (*at)
		*at = w->next;
	ev_timer_stop(w->d->loop, &w->timeout);
	w->done(w->d, w->arg, ok);
	free(w);
}

static void on_waiter_timeout(struct ev_loop *loop, ev_timer *t, int events)
{
	waiter_end(t->data, false);
}

static void check_waiters(struct daemon *d, bool pass_done)
{
	const char *state = d->waiters ? lifecycle_state(d) : "";
	struct waiter *next;

	for (struct waiter *w = d->waiters; w; w = next) {
		next = w->next;
		if ((pass_done && !w->state && w->armed) || reached(d, w, state))
			waiter_end(w, true);
	}
}

size_t lifecycle_waiting(struct daemon *d, bool (*gone)(const void *arg))
{
	struct waiter *next;
	size_t n = 0;

	for (struct waiter *w = d->waiters; w; w = next) {
		next = w->next;
		if (w->state && gone(w->arg))
			waiter_end(w, false);
		else
			n++;
	}
	return n;
}

void lifecycle_wait(struct daemon *d, const char *state, double timeout_s,
		    void (*done)(struct daemon *d, void *arg, bool reached), void *arg)
{
	struct waiter *w = xcalloc(1, sizeof(*w));

	w->d = d;
	w->state = state;
	w->done = done;
	w->arg = arg;
	w->next = d->waiters;
	d->waiters = w;
	ev_timer_init(&w->timeout, on_waiter_timeout, timeout_s, 0.);
	w->timeout.data = w;
	ev_timer_start(d->loop, &w->timeout);
	if (reached(d, w, lifecycle_state(d)))
		waiter_end(w, true);
}

/* ---- loading ---- */

void lifecycle_log_diags(const struct diags *diags)
{
	for (size_t i = 0; i < diags->n; i++) {
		struct text line = {0};

		diag_print(&diags->items[i], &line);
		log_line(diags->items[i].level == DIAG_ERROR ? LOG_ERR : LOG_WARNING, "%s",
			 text_str(&line));
		text_done(&line);
	}
}

/* Numbers by which we find what is ours in the kernel; what has others would be orphaned. */
static bool same_numbers(const struct config *a, const struct config *b)
{
	return a->table_base == b->table_base && a->rule_base == b->rule_base &&
	       a->mark_mask == b->mark_mask;
}

static void numbers_changed(struct diags *diags, const struct config *c, const char *what_to_do)
{
	struct diag_at at = c->table_base_at;

	if (!at.file)
		at.file = c->path;
	diag_add(diags, DIAG_ERROR, &at,
		 "table-base, rule-base or mark-mask differ from what is in the kernel; %s",
		 what_to_do);
}

static struct gateway *load_accepted(const struct paths *p, const struct facts *facts)
{
	struct diags ignored = {0};
	struct gateway *g = gateway_load(p, true, true, facts, &ignored);

	diag_done(&ignored);
	return g;
}

/* Others than those of what the kernel has would orphan that. */
static bool may_have_numbers(const struct gateway *g, const struct carried *carried)
{
	return !carried || carried->empty || same_numbers(g->site->config, &carried->config);
}

/* The configuration accepted last, as far as it fits: NULL if it does not. `was` is the same, built
 * without facts; `carried` is what of it was carried, NULL: not known. */
static struct gateway *fall_back(const struct paths *p, const struct facts *facts,
				 const struct gateway *was, const struct carried *carried)
{
	struct gateway *g = was ? load_accepted(p, facts) : NULL;

	if (!g)
		return NULL;
	if (!may_have_numbers(g, carried)) {
		gateway_free(g);
		return NULL;
	}
	gateway_hold(g, was->site, carried);
	return g;
}

/* What the files say, unless it is refused or was to be confirmed and was not: then what was
 * accepted last. */
static struct gateway *load(const struct paths *p, const struct facts *facts, struct diags *diags)
{
	unsigned int left_s;
	bool over = unconfirmed_read(p, &left_s) && !left_s;
	struct gateway *was = load_accepted(p, NULL), *g = NULL;
	struct carried memory, *carried = carried_read(p, &memory) == 0 ? &memory : NULL;

	if (!over || !was)
		g = gateway_load(p, false, true, facts, diags);
	if (g && !may_have_numbers(g, carried)) {
		numbers_changed(diags, g->site->config, DOWN_FIRST);
		gateway_free(g);
		g = NULL;
	}
	if (g && was)
		gateway_hold(g, was->site, carried);
	if (!g) {
		g = fall_back(p, facts, was, carried);
		if (g)
			g->fallback = over ? FALLBACK_UNCONFIRMED : FALLBACK_REFUSED;
	}
	carried_done(&memory);
	gateway_free(was);
	return g;
}

/* What to go back to from `g`. */
static struct gateway *load_before(const struct paths *p, const struct facts *facts,
				   const struct gateway *g)
{
	struct gateway *was = load_accepted(p, NULL), *before;
	struct carried memory, *carried = carried_read(p, &memory) == 0 ? &memory : NULL;

	before = fall_back(p, facts, was, carried);
	if (before)
		gateway_keep_held(before, g);
	carried_done(&memory);
	gateway_free(was);
	return before;
}

struct gateway *lifecycle_first(const struct paths *p, struct diags *diags)
{
	return load(p, NULL, diags);
}

static void confirm_within(struct daemon *d, unsigned int seconds)
{
	ev_timer_stop(d->loop, &d->confirm);
	ev_timer_set(&d->confirm, seconds, 0.);
	ev_timer_start(d->loop, &d->confirm);
}

/* The files count again. That they do not at the next start is the worst that can come of it. */
static void clear_unconfirmed(struct daemon *d)
{
	int err = unconfirmed_clear(&d->paths);

	if (err)
		log_line(LOG_WARNING,
			 "cannot remove %s/unconfirmed: %s; the next start goes by "
			 "the last accepted configuration",
			 d->paths.state_dir, strerror(-err));
}

/* What runs was loaded by a daemon before this one, to be confirmed: the time goes on. */
static void await_confirmation(struct daemon *d, const struct facts *facts)
{
	unsigned int left_s;

	if (d->before || d->g->fallback || !unconfirmed_read(&d->paths, &left_s))
		return;
	d->before = load_before(&d->paths, facts, d->g);
	if (!d->before) {
		log_line(LOG_ERR, "no configuration from before can be loaded: what was to be "
				  "confirmed stays");
		clear_unconfirmed(d);
		return;
	}
	log_line(LOG_NOTICE, "going back to the configuration before in %u s unless confirmed",
		 left_s);
	confirm_within(d, left_s);
}

static void remember(const struct daemon *d, const struct gateway *g)
{
	if (carried_write(&d->paths, g->site) != 0)
		log_line(LOG_WARNING, "cannot store what the boot guard keeps below %s",
			 d->paths.state_dir);
}

/* Before the kernel has anything of ours, so that a later start or down knows where to look. */
static void remember_first(const struct daemon *d)
{
	struct carried carried;

	if (carried_read(&d->paths, &carried) == -ENOENT || carried.empty)
		remember(d, d->g);
	carried_done(&carried);
}

/* With what is now known of the host: names and ports that others hold, overlaps. */
static void load_with_facts(struct daemon *d, const struct facts *facts)
{
	struct diags diags = {0};
	struct gateway *g = load(&d->paths, facts, &diags);

	if (g) {
		lifecycle_log_diags(&diags);
		if (g->fallback)
			log_line(LOG_ERR,
				 "the site file was %s; running on the last accepted "
				 "configuration",
				 g->fallback == FALLBACK_REFUSED ? "refused" : "not confirmed");
		gateway_free(d->g);
		d->g = g;
		d->accept = !g->fallback && !diags.errors;
		await_confirmation(d, facts);
		remember_first(d);
	} else if (!d->unusable) {
		lifecycle_log_diags(&diags);
		log_line(LOG_ERR, "the configuration does not fit this host; changing nothing "
				  "until it does");
	}
	d->unusable = !g;
	diag_done(&d->g->diags);
	d->g->diags = diags;
}

/* ---- what reconcile asks ---- */

static struct daemon *daemon_of(void *owner)
{
	return owner;
}

/* Where a peer is, as far as is known; unset: nowhere yet. */
static struct ipaddr peer_address(const struct gateway *g, size_t peer)
{
	for (size_t t = 0; t < g->site->peers[peer].n_tunnels; t++) {
		const struct tunnel_run *run = &g->peers[peer].tunnels[t];

		if (run->seen.addr.family)
			return run->seen.addr;
		if (run->endpoint.addr.family)
			return run->endpoint.addr;
	}
	return (struct ipaddr){0};
}

static size_t hook_paths(void *owner, struct arena *a, struct reconcile_path **ret_paths)
{
	struct daemon *d = daemon_of(owner);
	size_t n = d->g->site->n_peers;
	struct reconcile_path *paths = arena_alloc(a, n, sizeof(*paths));

	for (struct waiter *w = d->waiters; w; w = w->next)
		w->armed = true;
	for (size_t i = 0; i < n; i++)
		paths[i].dst = peer_address(d->g, i);
	*ret_paths = paths;
	return n;
}

/* A configured MTU stands; else what fits the path, the kernel's answer being the outer size. */
static void take_paths(struct daemon *d, const struct reconcile_path *paths, size_t n)
{
	for (size_t i = 0; i < d->g->site->n_peers; i++) {
		struct ipaddr dst = peer_address(d->g, i);

		if (d->g->site->peers[i].config->mtu || d->g->site->config->mtu || !dst.family)
			continue;
		for (size_t j = 0; j < n; j++) {
			uint32_t overhead =
				dst.family == AF_INET6 ? WANT_OVERHEAD6 : WANT_OVERHEAD4;

			/* The loopback path (65536) says nothing about the way to a peer. */
			if (addr_cmp(&paths[j].dst, &dst) == 0 && paths[j].mtu >= 576 &&
			    paths[j].mtu < 65535)
				d->g->peers[i].mtu = (uint16_t)(paths[j].mtu - overhead);
		}
	}
}

static void hook_observed(void *owner, const struct world *have, const struct reconcile_path *paths,
			  size_t n_paths)
{
	struct daemon *d = daemon_of(owner);
	bool first = !d->down && (!d->observed || d->unusable);

	if (first)
		load_with_facts(d, &have->facts);
	d->observed = true;
	gateway_observed(d->g, have, first, monitor_now_ms());
	if (first && !d->unusable) {
		for (size_t i = 0; i < d->g->site->n_peers; i++)
			gateway_fill(d->g, i);
		monitor_set(d->monitor, d->g);
		endpoints_set(d->endpoints, d->g);
	}
	take_paths(d, paths, n_paths);
}

static bool hook_want(void *owner, const struct facts *facts, struct world *ret)
{
	struct daemon *d = daemon_of(owner);

	memset(ret, 0, sizeof(*ret));
	if (!d->down && !d->unusable)
		gateway_want(d->g, &d->modes, facts, false, ret);
	return d->down || !d->unusable;
}

static void free_retired(struct daemon *d)
{
	struct gateway *next;

	for (struct gateway *g = d->retired; g; g = next) {
		next = g->next;
		gateway_free(g);
	}
	d->retired = NULL;
}

static void tell_empty(const struct daemon *d)
{
	struct carried carried;

	if (carried_read(&d->paths, &carried) == 0 && !carried.empty &&
	    carried_set_empty(&d->paths) != 0)
		log_line(LOG_WARNING,
			 "cannot write %s/networks: the next start goes by its "
			 "numbers of tables and rules",
			 d->paths.state_dir);
	carried_done(&carried);
}

static void tell_ready(struct daemon *d)
{
	if (!d->ready)
		log_line(LOG_INFO, "%s: %zu lanes, %zu peers, %s", d->g->site->id,
			 d->g->site->n_lanes, d->g->site->n_peers,
			 reconcile_settled(d->reconcile) ? "settled" : "not settled");
	d->ready = true;
	sd_notifyf(0, "READY=1\nSTATUS=%s: %zu lanes, %zu peers, %s", d->g->site->id,
		   d->g->site->n_lanes, d->g->site->n_peers, lifecycle_state(d));
}

static void hook_pass_done(void *owner, bool settled)
{
	struct daemon *d = daemon_of(owner);

	free_retired(d);
	if (settled && d->accept && !d->before && !d->down) {
		int err = state_accept(&d->paths, d->g->loaded);

		if (!err)
			err = carried_write(&d->paths, d->g->site);
		if (err)
			log_line(LOG_ERR,
				 "cannot store the accepted configuration below %s: %s; a refused "
				 "one at boot could not be replaced by it",
				 d->paths.state_dir, strerror(-err));
		d->accept = false;
		modes_accepted(d);
	}
	if (settled && d->down)
		tell_empty(d);
	tell_ready(d);
	check_waiters(d, true);
}

struct reconcile_hooks lifecycle_reconcile_hooks(const struct daemon *d)
{
	const struct config *c = d->g->site->config;

	return (struct reconcile_hooks){
		.paths = hook_paths,
		.observed = hook_observed,
		.want = hook_want,
		.pass_done = hook_pass_done,
		.own = {.table_base = c->table_base, .rule_base = c->rule_base},
		.mark = c->mark_mask,
		.saved_dir = d->saved_dir,
	};
}

/* ---- what the monitor tells ---- */

static void move_buckets(struct daemon *d, size_t peer)
{
	const struct peer *p = &d->g->site->peers[peer];
	struct obj_nft_buckets from, to;
	char map[MODEL_ID_MAX + 4];

	gateway_buckets(d->g, peer, &from);
	if (!gateway_fill(d->g, peer) || p->traffic == TRAFFIC_OFF || d->down)
		return;
	gateway_buckets(d->g, peer, &to);
	snprintf(map, sizeof(map), "b-%s", p->id);
	reconcile_move(d->reconcile, map, &from, &to);
}

static void on_moves(struct ev_loop *loop, ev_timer *t, int events)
{
	struct daemon *d = t->data;

	for (size_t i = 0; i < d->g->site->n_peers; i++)
		if (d->moved[i])
			move_buckets(d, i);
	memset(d->moved, 0, sizeof(d->moved));
	check_waiters(d, false);
}

static void hook_usable_changed(void *owner, size_t peer)
{
	struct daemon *d = daemon_of(owner);

	d->moved[peer] = true;
	if (ev_is_active(&d->moves))
		return;
	ev_timer_set(&d->moves, MOVES_TOGETHER_S, 0.);
	ev_timer_start(d->loop, &d->moves);
}

static void on_sample(void *owner, const char *dev, const struct kernel_peer_sample *samples,
		      size_t n)
{
	struct daemon *d = daemon_of(owner);

	for (size_t l = 0; l < d->g->site->n_lanes; l++)
		if (strcmp(d->g->site->lanes[l].dev, dev) == 0)
			d->sampling[l] = false;
	gateway_sampled(d->g, dev, samples, n, monitor_now_ms());
	monitor_sampled(d->monitor, dev, samples, n);
}

/* One question per device at a time, however slow the answer. */
static void hook_sample(void *owner, const char *dev)
{
	struct daemon *d = daemon_of(owner);

	for (size_t l = 0; l < d->g->site->n_lanes; l++) {
		if (strcmp(d->g->site->lanes[l].dev, dev) != 0 || d->sampling[l])
			continue;
		d->sampling[l] = true;
		reconcile_sample(d->reconcile, dev, on_sample, d);
	}
}

void lifecycle_sample(struct daemon *d)
{
	for (size_t l = 0; l < d->g->site->n_lanes && !d->down; l++)
		hook_sample(d, d->g->site->lanes[l].dev);
}

const struct facts *lifecycle_facts(void *owner)
{
	return reconcile_facts(daemon_of(owner)->reconcile);
}

struct monitor_hooks lifecycle_monitor_hooks(void)
{
	return (struct monitor_hooks){.usable_changed = hook_usable_changed,
				      .sample = hook_sample,
				      .facts = lifecycle_facts};
}

void lifecycle_endpoints_changed(void *owner)
{
	reconcile_dirty(daemon_of(owner)->reconcile, false);
}

/* ---- replacing ---- */

/* The pass that is running may refer to it. */
static void retire(struct daemon *d, struct gateway *g)
{
	if (reconcile_idle(d->reconcile)) {
		gateway_free(g);
		return;
	}
	g->next = d->retired;
	d->retired = g;
}

static void switch_to(struct daemon *d, struct gateway *g, bool keep_old)
{
	struct gateway *old = d->g;
	struct ownership own = {.table_base = g->site->config->table_base,
				.rule_base = g->site->config->rule_base};

	gateway_inherit(g, old, monitor_now_ms());
	d->g = g;
	d->down = d->unusable = false;
	memset(d->sampling, 0, sizeof(d->sampling));
	memset(d->moved, 0, sizeof(d->moved)); /* gateway_inherit has filled the maps */
	monitor_set(d->monitor, g);
	endpoints_set(d->endpoints, g);
	reconcile_set_numbers(d->reconcile, &own, g->site->config->mark_mask);
	reconcile_dirty(d->reconcile, true);
	if (keep_old)
		d->before = old;
	else
		retire(d, old);
}

static size_t peers_lost(const struct gateway *from, const struct gateway *to)
{
	size_t n = 0;

	for (size_t i = 0; i < from->site->n_peers; i++)
		n += !site_peer(to->site, from->site->peers[i].id);
	return n;
}

/* Nothing of ours is in the kernel, so that other numbers orphan nothing; and going back to the old
 * ones would. */
static bool is_empty(const struct daemon *d, unsigned int confirm_s)
{
	return d->down && !confirm_s && reconcile_idle(d->reconcile) &&
	       reconcile_settled(d->reconcile);
}

enum reload_result lifecycle_reload(struct daemon *d, bool force, unsigned int confirm_s,
				    struct diags *diags, const char **ret_why)
{
	struct gateway *g =
		gateway_load(&d->paths, false, false, reconcile_facts(d->reconcile), diags);
	size_t lost;

	if (g && !same_numbers(g->site->config, d->g->site->config) && !is_empty(d, confirm_s)) {
		numbers_changed(diags, g->site->config,
				d->down && confirm_s ? "reload without --confirm" : DOWN_FIRST);
		gateway_free(g);
		g = NULL;
	}
	if (!g)
		return RELOAD_INVALID;
	lost = peers_lost(d->g, g);
	if (lost && !force && (g->site->n_peers == 0 || 2 * lost > d->g->site->n_peers)) {
		*ret_why = g->site->n_peers ? "it would remove more than half of the peers"
					    : "it would remove every peer";
		gateway_free(g);
		return RELOAD_REFUSED;
	}
	if (!force && !d->down && gateway_loses(d->g, g)) {
		*ret_why = "networks that are carried now would be left out for what they overlap "
			   "('wgscalectl check' names them), and their packets leave in clear";
		gateway_free(g);
		return RELOAD_REFUSED;
	}
	if (!force)
		gateway_keep_held(g, d->g);
	if (d->retired) {
		*ret_why = "the previous change is still being carried out";
		gateway_free(g);
		return RELOAD_FAILED;
	}
	if (confirm_s && !d->before && (d->accept || !state_has_accepted(&d->paths))) {
		*ret_why =
			"what runs now has not been accepted yet, so that a restart could not go "
			"back to it; see 'wgscalectl status'";
		gateway_free(g);
		return RELOAD_FAILED;
	}
	if (confirm_s && unconfirmed_write(&d->paths, confirm_s) != 0) {
		*ret_why =
			"that it is to be confirmed cannot be stored, and a restart would keep it";
		gateway_free(g);
		return RELOAD_FAILED;
	}
	diag_merge(&g->diags, diags);
	if (confirm_s)
		confirm_within(d, confirm_s);
	else if (!d->before)
		clear_unconfirmed(d);
	d->accept = true;
	if (!d->before)
		d->before_down = d->down;
	if (d->down)
		remember(d, g); /* with its numbers, before the kernel has objects with them */
	/* A second reload before the confirmation still goes back to the first configuration. */
	switch_to(d, g, confirm_s && !d->before);
	return RELOAD_OK;
}

/* There is nothing to go back to any more. */
static void forget_before(struct daemon *d)
{
	ev_timer_stop(d->loop, &d->confirm);
	retire(d, d->before);
	d->before = NULL;
}

int lifecycle_confirm(struct daemon *d)
{
	int err = unconfirmed_clear(&d->paths);

	if (err || !d->before)
		return err;
	forget_before(d);
	reconcile_dirty(d->reconcile, true);
	return 0;
}

void lifecycle_down(struct daemon *d)
{
	/* Down is down: nothing comes back when the time for a confirmation is over. */
	if (d->before)
		forget_before(d);
	d->down = true;
	monitor_set(d->monitor, NULL);
	endpoints_set(d->endpoints, NULL);
	gateway_forget(d->g);
	reconcile_dirty(d->reconcile, true);
}

int lifecycle_traffic(struct daemon *d, const char *id, enum traffic traffic)
{
	struct peer *p = site_peer(d->g->site, id);
	int err;

	if (!p)
		return -ENOENT;
	err = state_write_traffic(&d->paths, id, traffic, p->config->traffic);
	if (err)
		return err;
	p->traffic = traffic;
	if (traffic == TRAFFIC_OFF)
		site_release(d->g->site, p);
	/* Before a first settled pass, or a confirmation, it is remembered with the rest then. */
	if (!d->accept)
		remember(d, d->g);
	reconcile_dirty(d->reconcile, true);
	return 0;
}

/* What the operator has said of standby since then stands. */
static void keep_traffic(struct gateway *g, const struct gateway *now)
{
	for (size_t i = 0; i < g->site->n_peers; i++) {
		struct peer *p = &g->site->peers[i];
		const struct peer *q = site_peer(now->site, p->id);

		if (!q || q->config->traffic != p->config->traffic)
			continue;
		p->traffic = q->traffic;
		if (p->traffic == TRAFFIC_OFF)
			site_release(g->site, p);
	}
}

static void on_unconfirmed(struct ev_loop *loop, ev_timer *t, int events)
{
	struct daemon *d = t->data;
	struct gateway *before = d->before;

	if (!before)
		return;
	log_line(LOG_WARNING, "not confirmed in time: going back to the configuration before");
	d->before = NULL;
	d->accept = false;
	before->fallback = FALLBACK_UNCONFIRMED;
	keep_traffic(before, d->g);
	switch_to(d, before, false);
	remember(d, before);
	if (d->before_down)
		lifecycle_down(d);
}

void lifecycle_stop(struct daemon *d)
{
	while (d->waiters)
		waiter_end(d->waiters, false);
}

void lifecycle_close(struct daemon *d)
{
	gateway_free(d->g);
	free_retired(d);
	gateway_free(d->before);
	override_done(&d->modes);
}

void lifecycle_init(struct daemon *d)
{
	ev_timer_init(&d->moves, on_moves, MOVES_TOGETHER_S, 0.);
	d->moves.data = d;
	ev_timer_init(&d->confirm, on_unconfirmed, 0., 0.);
	d->confirm.data = d;
}
