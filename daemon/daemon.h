/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * daemon: the one struct that ties the edges together. Owned by main.c; lifecycle.c changes what
 * runs, service.c shows it. Nobody else includes this.
 */
#ifndef WGSCALE_DAEMON_H
#define WGSCALE_DAEMON_H

#include <ev.h>
#include <stdbool.h>

#include "control.h"
#include "endpoints.h"
#include "gateway.h"
#include "monitor.h"
#include "override.h"
#include "reconcile.h"

/* Somebody who wants to know when a pass is done, or a state reached. */
struct waiter {
	struct waiter *next;
	struct daemon *d;
	ev_timer timeout;
	const char *state; /* NULL: the end of a pass that began after the request */
	bool armed;	   /* such a pass has begun */
	void (*done)(struct daemon *d, void *arg, bool reached);
	void *arg;
};

struct daemon {
	struct ev_loop *loop;
	struct paths paths;
	char *saved_dir; /* of what NICs had before we changed it */
	struct reconcile *reconcile;
	struct monitor *monitor;
	struct endpoints *endpoints;
	struct control *control;
	struct overrides modes;	 /* the operator's */
	struct gateway *g;	 /* what runs; never NULL once main has started */
	struct gateway *retired; /* replaced while a pass referred to them */
	struct gateway *before;	 /* what to go back to unless confirmed */
	bool before_down;	 /* it was taken down by the operator */
	bool observed;		 /* the kernel has been seen at least once */
	bool ready;		 /* the service manager was told */
	bool unusable;		 /* no configuration fits this host: nothing is changed */
	bool down;		 /* taken down by the operator */
	bool accept;		 /* store the configuration once it has settled */
	ev_timer confirm;
	ev_timer moves;		     /* tunnels that change together move buckets together */
	bool moved[MODEL_PEERS_MAX]; /* peers whose map is to be filled anew */
	ev_timer watchdog;
	ev_signal sigterm, sigint, sighup;
	uint64_t started_ms;
	struct waiter *waiters;
	bool sampling[MODEL_LANES_MAX];
};

/* ---- lifecycle.c ---- */

/* Hooks for reconcile and monitor; `owner` is the daemon. */
struct reconcile_hooks lifecycle_reconcile_hooks(const struct daemon *d);
struct monitor_hooks lifecycle_monitor_hooks(void);
void lifecycle_endpoints_changed(void *owner);
const struct facts *lifecycle_facts(void *owner);

/* First load: the site file, else the last accepted configuration. NULL: neither will do; the
 * diagnoses are in `diags`. */
struct gateway *lifecycle_first(const struct paths *p, struct diags *diags);
/* One log line each, by its level. */
void lifecycle_log_diags(const struct diags *diags);

enum reload_result { RELOAD_OK, RELOAD_INVALID, RELOAD_REFUSED, RELOAD_FAILED };
/*
 * Loads what is on disk and makes it what runs; a pass follows. Errors of any card refuse it all.
 * RELOAD_REFUSED: *ret_why says what wants `force`; RELOAD_FAILED: why it cannot be done now.
 * `confirm_s` > 0: goes back after that time unless confirmed, whether or not this daemon lives.
 */
enum reload_result lifecycle_reload(struct daemon *d, bool force, unsigned int confirm_s,
				    struct diags *diags, const char **ret_why);
/* -errno: it could not be stored, and the time goes on. */
int lifecycle_confirm(struct daemon *d);
void lifecycle_down(struct daemon *d);
/* -ENOENT: no such peer; else of writing the state. */
int lifecycle_traffic(struct daemon *d, const char *peer, enum traffic traffic);
/* Calls `done` when `state` is reached ("settled", "up", "degraded"; NULL: a pass has run from
 * start to end) or time is over (reached = false). */
void lifecycle_wait(struct daemon *d, const char *state, double timeout_s,
		    void (*done)(struct daemon *d, void *arg, bool reached), void *arg);
/* How many wait, after those for a state have ended that `gone` says have nobody left to tell. */
size_t lifecycle_waiting(struct daemon *d, bool (*gone)(const void *arg));
/* "starting", "up", "degraded" or "down". */
const char *lifecycle_state(const struct daemon *d);
/* Asks for the counters of every lane device; they arrive in the gateway. */
void lifecycle_sample(struct daemon *d);
void lifecycle_init(struct daemon *d);
/* Answers all that wait, as not reached; comes before reconcile_close(). */
void lifecycle_stop(struct daemon *d);
void lifecycle_close(struct daemon *d);

/* ---- service.c ---- */

/* The methods of io.wgscale, for control_open(). */
extern const struct control_method service_methods[];
/* Why a tunnel does not carry, or what is wrong with it; false: nothing is. */
bool service_tunnel_problem(const struct daemon *d, size_t peer, size_t tunnel, struct text *out);

/* ---- modes.c ---- */

/* Reads what the operator has said of modes; once. */
void modes_open(struct daemon *d);
/* What runs was accepted: forgets modes of what is not there any more. */
void modes_accepted(struct daemon *d);
/* Can tunnels be inline: "available", "missing" (no module), "refused"; NULL: not known yet. */
const char *modes_inline(const struct daemon *d);
/* What is wished for and cannot be; false: nothing. */
bool modes_notice(const struct daemon *d, struct text *out);
/* Members of a Tunnel (io.wgscale.varlink) that tell its mode. */
void modes_json(const struct daemon *d, size_t peer, size_t tunnel, json_t *o);
/* SetMode */
void modes_method(void *owner, struct control_call *call, json_t *in);

/* ---- guard.c ---- */

/* Before the network is up: puts what keeps packets of the peers' networks from leaving in clear
 * into the kernel, from the site file, or else from what was accepted last. Exit status. */
int guard_run(const struct paths *p);

#endif
