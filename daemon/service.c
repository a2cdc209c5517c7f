/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: The methods of io.wgscale (io.wgscale.varlink): what the daemon knows, as JSON, and the
 * operator's commands handed to lifecycle.c. It decides nothing, and never waits: answers that
 * need the kernel are given when a worker has answered.
 */
#include "daemon.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "flow.h"
#include "log.h"
#include "unconfirmed.h"

#define PING_COUNT_DEFAULT 3
#define PING_COUNT_MAX	   20
#define WAITING_MAX	   128
#define RELOAD_WAIT_S	   120.
#define RELOAD_LOOK_S	   10.

/* Texts of the kernel, or from files, may not be UTF-8; they are shown all the same. */
static json_t *string(const char *s)
{
	json_t *o = json_string(s);
	char *copy;

	if (o)
		return o;
	copy = xstrdup(s);
	for (char *p = copy; *p; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	o = json_string(copy);
	free(copy);
	return o;
}

static json_t *string_or_null(const char *s)
{
	return s && *s ? string(s) : json_null();
}

static json_t *integer(uint64_t v)
{
	return json_integer((json_int_t)v);
}

static void set(json_t *o, const char *name, json_t *value)
{
	json_object_set_new(o, name, value);
}

/* ---- problems ---- */

bool service_tunnel_problem(const struct daemon *d, size_t peer, size_t index, struct text *out)
{
	const struct peer *p = &d->g->site->peers[peer];
	const struct tunnel_run *run = &d->g->peers[peer].tunnels[index];
	const struct health *h = &run->health;
	uint64_t now_ms = monitor_now_ms();
	struct sockep at = run->seen.addr.family ? run->seen : run->endpoint;
	char buf[ADDR_STRLEN];

	if (d->down)
		return false;
	switch (h->state) {
	case HEALTH_UP:
		return false;
	case HEALTH_NEW:
		if (!at.addr.family) {
			text_printf(out, p->n_endpoints ? "no address of the peer known yet"
							: "waiting for the peer to call");
			return true;
		}
		text_printf(out, run->handshake_s ? "no answer to probes" : "never shook hands");
		break;
	case HEALTH_CONGESTED:
		text_printf(out, "congested, %u %% of probes lost", health_loss_percent(h));
		break;
	case HEALTH_DOWN:
		text_printf(out, "silent for %llu s",
			    (unsigned long long)((now_ms - h->heard_ms) / 1000));
		break;
	case HEALTH_TRYING:
		text_printf(out, "heard again, not yet stable");
		break;
	}
	text_printf(out, ", %s", at.addr.family ? addr_print_ep(&at, buf) : "no endpoint");
	return true;
}

static void add_text(json_t *list, struct text *t)
{
	json_array_append_new(list, string(text_str(t)));
	text_reset(t);
}

/* What the two cards say of each other: whose is stale? */
static void card_problems(const struct daemon *d, size_t peer, json_t *list)
{
	const struct peer *p = &d->g->site->peers[peer];
	const struct peer_run *run = &d->g->peers[peer];
	struct text t = {0};

	if (p->plain || !run->said_ms)
		return;
	if (run->card != p->card->digest) {
		text_printf(&t, "our card of %s is stale: ask its operator for a new one", p->id);
		add_text(list, &t);
	}
	if (run->card_held != d->g->site->card_digest) {
		text_printf(&t,
			    "%s holds a stale card of this site: give its operator the output "
			    "of 'wgscalectl card'",
			    p->id);
		add_text(list, &t);
	}
	if (p->traffic == TRAFFIC_ON && !run->active) {
		text_printf(&t, "%s is in standby towards us: it sends its packets another way",
			    p->id);
		add_text(list, &t);
	}
	text_done(&t);
}

static json_t *peer_problems(const struct daemon *d, size_t peer)
{
	const struct peer *p = &d->g->site->peers[peer];
	const char *unresolved = endpoints_problem(d->endpoints, p->id);
	json_t *list = json_array();
	struct text t = {0}, why = {0};

	/* Causes first: where there is room for one problem only, it should be the one to mend. */
	if (unresolved)
		json_array_append_new(list, string(unresolved));
	card_problems(d, peer, list);
	for (size_t i = 0; i < p->n_tunnels; i++) {
		if (service_tunnel_problem(d, peer, i, &why)) {
			text_printf(&t, "tunnel %zu %s", i, text_str(&why));
			add_text(list, &t);
		}
		text_reset(&why);
	}
	text_done(&t);
	text_done(&why);
	return list;
}

/* ---- Status ---- */

static json_t *tunnel_json(const struct daemon *d, size_t peer, size_t index)
{
	const struct peer *p = &d->g->site->peers[peer];
	const struct tunnel *t = &p->tunnels[index];
	const struct tunnel_run *run = &d->g->peers[peer].tunnels[index];
	const struct sockep *at = run->seen.addr.family ? &run->seen : &run->endpoint;
	uint64_t now_s = (uint64_t)time(NULL), now_ms = monitor_now_ms();
	unsigned int buckets = 0;
	json_t *o = json_object();
	struct text why = {0};
	char buf[ADDR_STRLEN], key[MODEL_KEY_STRLEN];

	for (unsigned int b = 0; b < MODEL_BUCKETS; b++)
		buckets += d->g->peers[peer].map[b] == index;
	set(o, "index", integer(index));
	set(o, "lane", integer(t->ours));
	set(o, "theirs", integer(t->theirs));
	set(o, "device", json_string(site_lane(d->g->site, t->ours)->dev));
	set(o, "key", json_string(key_print(&t->key, key)));
	set(o, "endpoint", at->addr.family ? json_string(addr_print_ep(at, buf)) : json_null());
	set(o, "port", integer(t->port));
	modes_json(d, peer, index, o);
	set(o, "state", json_string(health_state_name(run->health.state)));
	set(o, "since_s",
	    integer(run->health.since_ms ? (now_ms - run->health.since_ms) / 1000 : 0));
	set(o, "carries", json_boolean(health_usable(&run->health)));
	set(o, "handshake_age_s",
	    run->handshake_s ? integer(now_s > run->handshake_s ? now_s - run->handshake_s : 0)
			     : json_null());
	set(o, "rtt_us", run->health.rtt_us ? integer(run->health.rtt_us) : json_null());
	set(o, "loss_percent", integer(health_loss_percent(&run->health)));
	set(o, "rx_bytes", integer(run->rx_bytes));
	set(o, "tx_bytes", integer(run->tx_bytes));
	set(o, "rx_bps", integer(run->rx_bps));
	set(o, "tx_bps", integer(run->tx_bps));
	set(o, "buckets", integer(buckets));
	service_tunnel_problem(d, peer, index, &why);
	set(o, "problem", string_or_null(text_str(&why)));
	text_done(&why);
	return o;
}

static const char *peer_state(const struct daemon *d, size_t peer)
{
	const struct peer *p = &d->g->site->peers[peer];
	size_t usable = gateway_usable(d->g, peer);

	if (p->traffic == TRAFFIC_OFF)
		return "standby";
	return !usable ? "down" : usable < p->n_tunnels ? "degraded" : "up";
}

static json_t *peer_json(const struct daemon *d, size_t peer, bool detail)
{
	const struct peer *p = &d->g->site->peers[peer];
	const struct peer_run *run = &d->g->peers[peer];
	uint64_t sum[4] = {0};
	json_t *o = json_object(), *networks = json_array(), *tunnels = json_array();
	char buf[ADDR_STRLEN];

	for (size_t i = 0; i < p->n_tunnels; i++) {
		sum[0] += run->tunnels[i].rx_bytes;
		sum[1] += run->tunnels[i].tx_bytes;
		sum[2] += run->tunnels[i].rx_bps;
		sum[3] += run->tunnels[i].tx_bps;
		if (detail)
			json_array_append_new(tunnels, tunnel_json(d, peer, i));
	}
	for (size_t i = 0; i < p->n_networks; i++)
		json_array_append_new(networks,
				      json_string(addr_print_prefix(&p->networks[i], buf)));
	set(o, "id", json_string(p->id));
	set(o, "plain", json_boolean(p->plain));
	set(o, "state", json_string(peer_state(d, peer)));
	set(o, "traffic", json_string(p->traffic == TRAFFIC_ON ? "on" : "off"));
	set(o, "traffic_by", json_string(p->traffic == p->config->traffic ? "file" : "command"));
	set(o, "usable", integer(gateway_usable(d->g, peer)));
	set(o, "tunnels", integer(p->n_tunnels));
	set(o, "mtu", integer(run->mtu));
	set(o, "rx_bytes", integer(sum[0]));
	set(o, "tx_bytes", integer(sum[1]));
	set(o, "rx_bps", integer(sum[2]));
	set(o, "tx_bps", integer(sum[3]));
	set(o, "networks", networks);
	set(o, "problems", peer_problems(d, peer));
	set(o, "detail", detail ? tunnels : json_null());
	if (!detail)
		json_decref(tunnels);
	return o;
}

static bool forwarding(const char *path)
{
	char *text = NULL;
	size_t len;
	bool on = text_read_file(path, 64, &text, &len) != 0 || text[0] != '0';

	free(text);
	return on;
}

static json_t *notices(const struct daemon *d)
{
	const struct facts *f = reconcile_facts(d->reconcile);
	json_t *list = json_array();
	struct text t = {0};

	switch (d->g->fallback) {
	case FALLBACK_NO:
		break;
	case FALLBACK_REFUSED:
		text_printf(&t, "the site file was refused at start: this is the last accepted "
				"configuration; see 'wgscalectl check'");
		add_text(list, &t);
		break;
	case FALLBACK_UNCONFIRMED:
		text_printf(&t, "the site file was loaded and not confirmed: this is the "
				"configuration before; change the file, then 'wgscalectl reload'");
		add_text(list, &t);
		break;
	}
	for (size_t i = 0; i < d->g->diags.n; i++) {
		diag_print(&d->g->diags.items[i], &t);
		add_text(list, &t);
	}
	if (d->ready && !f->ipv6) {
		text_printf(&t, "this host has no IPv6: tunnels are judged by handshake age, and "
				"a dead one is noticed after minutes only");
		add_text(list, &t);
	}
	if (modes_notice(d, &t))
		add_text(list, &t);
	if (!forwarding("/proc/sys/net/ipv4/ip_forward")) {
		text_printf(&t, "net.ipv4.ip_forward is 0: this host forwards nothing");
		add_text(list, &t);
	}
	text_done(&t);
	return list;
}

static json_t *stuck_json(struct daemon *d)
{
	struct reconcile_stuck stuck[2];
	size_t n = reconcile_stuck(d->reconcile, stuck);
	json_t *list = json_array();
	struct text t = {0};

	for (size_t i = 0; i < n; i++) {
		text_printf(&t, "%s: %llu s", stuck[i].what,
			    (unsigned long long)(stuck[i].age_ms / 1000));
		add_text(list, &t);
	}
	text_done(&t);
	return list;
}

static json_t *status_json(struct daemon *d, const char *only)
{
	json_t *o = json_object(), *peers = json_array(), *pending = json_array();
	const char *const *lines;
	size_t n = reconcile_pending(d->reconcile, &lines);
	struct utsname uts;

	for (size_t i = 0; i < n; i++)
		json_array_append_new(pending, string(lines[i]));
	for (size_t i = 0; i < d->g->site->n_peers; i++)
		if (!only || strcmp(d->g->site->peers[i].id, only) == 0)
			json_array_append_new(peers, peer_json(d, i, only != NULL));
	set(o, "site", json_string(d->g->site->id));
	set(o, "version", json_string(WGSCALE_VERSION));
	set(o, "kernel", json_string(uname(&uts) == 0 ? uts.release : "?"));
	set(o, "inline", string_or_null(modes_inline(d)));
	set(o, "state", json_string(lifecycle_state(d)));
	set(o, "settled", json_boolean(reconcile_settled(d->reconcile)));
	set(o, "confirm_s",
	    d->before ? json_integer((json_int_t)ev_timer_remaining(d->loop, &d->confirm))
		      : json_null());
	set(o, "uptime_s", integer((monitor_now_ms() - d->started_ms) / 1000));
	set(o, "lanes", integer(d->g->site->n_lanes));
	set(o, "leaving", integer(reconcile_leaving(d->reconcile)));
	set(o, "pending", pending);
	set(o, "stuck", stuck_json(d));
	set(o, "notices", notices(d));
	set(o, "peers", peers);
	return o;
}

static void no_such_peer(struct control_call *call, const char *peer)
{
	control_error_strings(call, "io.wgscale.NotFound", "what", peer, "hint",
			      "'wgscalectl status' lists the peers", NULL);
}

static void method_status(void *owner, struct control_call *call, json_t *in)
{
	struct daemon *d = owner;
	json_t *peer = json_object_get(in, "peer");

	if (peer && !json_is_string(peer) && !json_is_null(peer)) {
		control_bad_parameter(call, "peer");
		return;
	}
	if (json_is_string(peer) && !site_peer(d->g->site, json_string_value(peer))) {
		no_such_peer(call, json_string_value(peer));
		return;
	}
	/* The answer does not wait for the kernel; the next one has fresher counters. */
	lifecycle_sample(d);
	control_reply(call, status_json(d, json_string_value(peer)));
}

/* ---- Plan ---- */

static void on_plan(void *owner, const char *const *lines, size_t n, size_t leaving,
		    const char *error)
{
	struct control_call *call = owner;
	json_t *ops = json_array();

	if (error) {
		json_decref(ops);
		control_error_strings(call, "io.wgscale.Refused", "reason",
				      "the kernel's state cannot be read", "hint", error, NULL);
		return;
	}
	for (size_t i = 0; i < n; i++)
		json_array_append_new(ops, string(lines[i]));
	control_reply(call, json_pack("{s:o, s:I}", "ops", ops, "leaving", (json_int_t)leaving));
}

static void method_plan(void *owner, struct control_call *call, json_t *in)
{
	struct daemon *d = owner;

	reconcile_plan(d->reconcile, on_plan, call);
}

/* ---- Reload, Confirm, Down, SetTraffic ---- */

/* An answer that waits for the end of a pass; when that is not reached, it is because of the time,
 * or because the daemon stops and d->reconcile is gone. */
struct change {
	struct control_call *call;
	uint64_t ops_before;
	json_t *warnings;    /* of Reload, else NULL */
	const char *traffic; /* of SetTraffic, else NULL */
};

static void change_done(struct daemon *d, void *arg, bool reached)
{
	struct change *c = arg;
	bool settled = reached && reconcile_settled(d->reconcile);
	json_t *o = json_pack("{s:b}", "settled", settled);

	if (c->traffic)
		set(o, "traffic", json_string(c->traffic));
	else
		set(o, "ops",
		    integer(reached ? reconcile_applied(d->reconcile) - c->ops_before : 0));
	if (c->warnings)
		set(o, "warnings", c->warnings);
	control_reply(c->call, o);
	free(c);
}

static void answer_after_pass(struct daemon *d, struct control_call *call, json_t *warnings,
			      const char *traffic)
{
	struct change *c = xcalloc(1, sizeof(*c));

	c->call = call;
	c->ops_before = reconcile_applied(d->reconcile);
	c->warnings = warnings;
	c->traffic = traffic;
	lifecycle_wait(d, NULL, RELOAD_WAIT_S, change_done, c);
}

static json_t *diags_json(const struct diags *diags)
{
	json_t *list = json_array();
	struct text t = {0};

	for (size_t i = 0; i < diags->n; i++) {
		diag_print(&diags->items[i], &t);
		add_text(list, &t);
	}
	text_done(&t);
	return list;
}

struct reload {
	struct control_call *call;
	bool force;
	unsigned int confirm_s;
	bool looked; /* at the host, since the request */
};

static void reload(struct daemon *d, struct reload *r);

static void reload_looked(struct daemon *d, void *arg, bool reached)
{
	struct reload *r = arg;

	if (reached) {
		reload(d, r);
		return;
	}
	control_error_strings(r->call, "io.wgscale.Refused", "reason",
			      "the kernel's state could not be read in time", "hint",
			      "see 'wgscalectl status'", NULL);
	free(r);
}

/* What is held against a configuration may be what the host was like a while ago: that is decided
 * after another look at it. */
static void reload(struct daemon *d, struct reload *r)
{
	struct diags diags = {0};
	const char *why = "";

	switch (lifecycle_reload(d, r->force, r->confirm_s, &diags, &why)) {
	case RELOAD_OK:
		log_line(LOG_INFO, "reload");
		answer_after_pass(d, r->call, diags_json(&diags), NULL);
		break;
	case RELOAD_INVALID:
		if (!r->looked) {
			r->looked = true;
			lifecycle_wait(d, NULL, RELOAD_LOOK_S, reload_looked, r);
			reconcile_dirty(d->reconcile, true);
			diag_done(&diags);
			return;
		}
		control_error(r->call, "io.wgscale.InvalidConfiguration",
			      json_pack("{s:o}", "diagnoses", diags_json(&diags)));
		break;
	case RELOAD_REFUSED:
		control_error_strings(r->call, "io.wgscale.Refused", "reason", why, "hint",
				      "if that is meant, use --force", NULL);
		break;
	case RELOAD_FAILED:
		control_error_strings(r->call, "io.wgscale.Refused", "reason", why, "hint",
				      "nothing was changed; try again", NULL);
		break;
	}
	diag_done(&diags);
	free(r);
}

static void method_reload(void *owner, struct control_call *call, json_t *in)
{
	struct daemon *d = owner;
	json_t *confirm = json_object_get(in, "confirm_s");
	json_int_t confirm_s = json_is_integer(confirm) ? json_integer_value(confirm) : 0;
	struct reload *r;

	if (confirm_s < 0 || confirm_s > 86400) {
		control_bad_parameter(call, "confirm_s");
		return;
	}
	r = xcalloc(1, sizeof(*r));
	r->call = call;
	r->force = json_is_true(json_object_get(in, "force"));
	r->confirm_s = (unsigned int)confirm_s;
	reload(d, r);
}

static void method_confirm(void *owner, struct control_call *call, json_t *in)
{
	struct daemon *d = owner;
	unsigned int left_s;
	int err;

	/* A daemon that has just started knows of it from the file only. */
	if (!d->before && !(unconfirmed_read(&d->paths, &left_s) && left_s)) {
		control_error_strings(call, "io.wgscale.Refused", "reason",
				      "there is nothing to confirm", "hint",
				      "it has been confirmed, or gone back, already", NULL);
		return;
	}
	err = lifecycle_confirm(d);
	if (err) {
		control_error_strings(call, "io.wgscale.Refused", "reason",
				      "the confirmation cannot be stored, so it would not survive "
				      "a restart",
				      "hint", strerror(-err), NULL);
		return;
	}
	control_reply(call, NULL);
}

static void method_down(void *owner, struct control_call *call, json_t *in)
{
	struct daemon *d = owner;

	log_line(LOG_NOTICE, "taken down by the operator");
	lifecycle_down(d);
	answer_after_pass(d, call, NULL, NULL);
}

static void method_set_traffic(void *owner, struct control_call *call, json_t *in)
{
	struct daemon *d = owner;
	const char *peer = json_string_value(json_object_get(in, "peer"));
	const char *value = json_string_value(json_object_get(in, "traffic"));
	bool on = value && strcmp(value, "on") == 0;
	int err;

	if (!peer || !value || (!on && strcmp(value, "off") != 0)) {
		control_bad_parameter(call, peer ? "traffic" : "peer");
		return;
	}
	err = lifecycle_traffic(d, peer, on ? TRAFFIC_ON : TRAFFIC_OFF);
	if (err == -ENOENT) {
		no_such_peer(call, peer);
		return;
	}
	if (err) {
		control_error_strings(call, "io.wgscale.Refused", "reason",
				      "the decision cannot be stored, so it would not survive a "
				      "restart",
				      "hint", strerror(-err), NULL);
		return;
	}
	log_peer(LOG_NOTICE, peer, -1, "%s: traffic %s by command", peer, on ? "on" : "off");
	answer_after_pass(d, call, NULL, on ? "on" : "off");
}

/* ---- Wait ---- */

static void wait_done(struct daemon *d, void *arg, bool reached)
{
	struct control_call *call = arg;

	if (reached)
		control_reply(call, json_pack("{s:s}", "state", lifecycle_state(d)));
	else
		control_error_strings(call, "io.wgscale.TimedOut", "state", lifecycle_state(d),
				      NULL);
}

static bool wait_is_gone(const void *call)
{
	return control_is_gone(call);
}

static void method_wait(void *owner, struct control_call *call, json_t *in)
{
	static const char *const states[] = {"settled", "up", "degraded"};
	struct daemon *d = owner;
	const char *state = json_string_value(json_object_get(in, "state"));
	json_int_t timeout_ms = json_integer_value(json_object_get(in, "timeout_ms"));

	if (timeout_ms < 0 || timeout_ms > 86400000) {
		control_bad_parameter(call, "timeout_ms");
		return;
	}
	if (lifecycle_waiting(d, wait_is_gone) >= WAITING_MAX) {
		control_error_strings(call, "io.wgscale.Refused", "reason",
				      "too many wait for this daemon already", "hint",
				      "try again later", NULL);
		return;
	}
	for (size_t i = 0; i < 3; i++)
		if (state && strcmp(state, states[i]) == 0) {
			lifecycle_wait(d, states[i], (double)timeout_ms / 1000., wait_done, call);
			return;
		}
	control_bad_parameter(call, "state");
}

/* ---- Where ---- */

static uint8_t proto_number(const char *name)
{
	static const struct {
		const char *name;
		uint8_t number;
	} protos[] = {
		{"icmp", IPPROTO_ICMP},	    {"tcp", IPPROTO_TCP},   {"udp", IPPROTO_UDP},
		{"dccp", IPPROTO_DCCP},	    {"gre", IPPROTO_GRE},   {"esp", IPPROTO_ESP},
		{"icmpv6", IPPROTO_ICMPV6}, {"sctp", IPPROTO_SCTP}, {"udplite", IPPROTO_UDPLITE}};
	uint64_t v;

	for (size_t i = 0; i < sizeof(protos) / sizeof(protos[0]); i++)
		if (strcmp(name, protos[i].name) == 0)
			return protos[i].number;
	return text_parse_u64(name, 1, 255, &v) == 0 ? (uint8_t)v : 0;
}

static json_t *way_json(const struct daemon *d, const struct peer *p, uint16_t tunnel)
{
	const struct lane *lane;

	if (tunnel >= p->n_tunnels)
		return json_null();
	lane = site_lane(d->g->site, p->tunnels[tunnel].ours);
	return json_pack("{s:i, s:i, s:s}", "tunnel", (int)tunnel, "lane", (int)lane->number,
			 "device", lane->dev);
}

static bool parse_flow(struct control_call *call, json_t *in, struct flow *f)
{
	const char *src = json_string_value(json_object_get(in, "src"));
	const char *dst = json_string_value(json_object_get(in, "dst"));
	const char *proto = json_string_value(json_object_get(in, "proto"));
	json_int_t sport = json_integer_value(json_object_get(in, "sport"));
	json_int_t dport = json_integer_value(json_object_get(in, "dport"));
	const char *bad = NULL;

	memset(f, 0, sizeof(*f));
	if (!src || addr_parse(src, &f->src) != 0)
		bad = "src";
	else if (!dst || addr_parse(dst, &f->dst) != 0 || f->dst.family != f->src.family)
		bad = "dst";
	else if (proto && !(f->proto = proto_number(proto)))
		bad = "proto";
	else if (sport < 0 || sport > 65535)
		bad = "sport";
	else if (dport < 0 || dport > 65535)
		bad = "dport";
	f->sport = (uint16_t)sport;
	f->dport = (uint16_t)dport;
	if (bad)
		control_bad_parameter(call, bad);
	return !bad;
}

static void method_where(void *owner, struct control_call *call, json_t *in)
{
	struct daemon *d = owner;
	const struct peer *p;
	struct flow f, r;
	bool out = true;
	unsigned int bucket;
	uint16_t tunnel;

	if (!parse_flow(call, in, &f))
		return;
	p = site_route(d->g->site, &f.dst);
	if (!p) {
		p = site_route(d->g->site, &f.src);
		out = false;
	}
	if (!p) {
		control_error_strings(call, "io.wgscale.NotFound", "what",
				      "a peer whose networks hold either address", "hint",
				      "'wgscalectl status' lists the networks", NULL);
		return;
	}
	if (p->traffic == TRAFFIC_OFF) {
		control_error_strings(call, "io.wgscale.Refused", "reason",
				      "that peer is in standby: its packets take the host's own "
				      "routes",
				      "hint", "'ip route get' shows them", NULL);
		return;
	}
	r = (struct flow){
		.src = f.dst, .dst = f.src, .proto = f.proto, .sport = f.dport, .dport = f.sport};
	/* What leaves here is hashed here; the peer hashes the other direction the other way. */
	bucket = flow_bucket(out ? &f : &r, p->seed, p->swap);
	tunnel = d->g->peers[p->index].map[bucket];
	control_reply(call, json_pack("{s:s, s:s, s:i, s:o, s:o}", "peer", p->id, "direction",
				      out ? "out" : "in", "bucket", (int)bucket, "out",
				      way_json(d, p, tunnel), "back",
				      p->plain ? json_null() : way_json(d, p, tunnel)));
}

/* ---- Ping ---- */

struct ping_call {
	struct daemon *d;
	struct control_call *call;
	char peer[MODEL_ID_MAX + 1];
};

static void on_pongs(void *owner, const struct monitor_pong *pongs, size_t n)
{
	struct ping_call *pc = owner;
	const struct peer *p = site_peer(pc->d->g->site, pc->peer);
	json_t *list = json_array();

	for (size_t i = 0; p && i < n && i < p->n_tunnels; i++) {
		const struct lane *lane = site_lane(pc->d->g->site, p->tunnels[i].ours);

		json_array_append_new(
			list,
			json_pack("{s:i, s:i, s:s, s:i, s:i, s:o}", "tunnel", (int)i, "lane",
				  (int)lane->number, "device", lane->dev, "sent",
				  (int)pongs[i].sent, "received", (int)pongs[i].received, "rtt_us",
				  pongs[i].rtt_us ? integer(pongs[i].rtt_us) : json_null()));
	}
	control_reply(pc->call, json_pack("{s:o}", "tunnels", list));
	free(pc);
}

static void method_ping(void *owner, struct control_call *call, json_t *in)
{
	struct daemon *d = owner;
	const char *id = json_string_value(json_object_get(in, "peer"));
	json_t *count = json_object_get(in, "count");
	json_int_t n = json_is_integer(count) ? json_integer_value(count) : PING_COUNT_DEFAULT;
	const struct peer *p = id ? site_peer(d->g->site, id) : NULL;
	struct ping_call *pc;

	if (!id || n < 1 || n > PING_COUNT_MAX) {
		control_bad_parameter(call, id ? "count" : "peer");
		return;
	}
	if (!p) {
		no_such_peer(call, id);
		return;
	}
	if (d->down || d->unusable || !d->observed) {
		control_error_strings(call, "io.wgscale.Refused", "reason", "no tunnel is up",
				      "hint", "see 'wgscalectl status'", NULL);
		return;
	}
	pc = xcalloc(1, sizeof(*pc));
	pc->d = d;
	pc->call = call;
	strncpy(pc->peer, id, sizeof(pc->peer) - 1);
	monitor_ping(d->monitor, p->index, (unsigned int)n, on_pongs, pc);
}

const struct control_method service_methods[] = {
	{"io.wgscale.Status", false, method_status},
	{"io.wgscale.Plan", false, method_plan},
	{"io.wgscale.Reload", true, method_reload},
	{"io.wgscale.Confirm", true, method_confirm},
	{"io.wgscale.Wait", false, method_wait},
	{"io.wgscale.Where", false, method_where},
	{"io.wgscale.Ping", false, method_ping},
	{"io.wgscale.SetTraffic", true, method_set_traffic},
	{"io.wgscale.SetMode", true, modes_method},
	{"io.wgscale.Down", true, method_down},
	{NULL, false, NULL},
};
