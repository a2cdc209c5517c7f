/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: wgscaled. Reads the command line, makes the event loop and the one struct daemon, and ties
 * the parts together; signals and the service manager are here. What happens then is in
 * lifecycle.c (what runs), reconcile.c (the kernel) and monitor.c (health). The data plane
 * outlives this process: leaving the loop takes nothing down.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "daemon.h"
#include "log.h"

#define CONTROL_GROUP "wgscale"

static const char usage[] =
	"Usage: wgscaled [OPTION]...\n"
	"Joins this site to its peers over many WireGuard tunnels. See wgscaled(8).\n"
	"\n"
	"  -c, --config FILE       site file (" STATE_DEFAULT_CONFIG "); cards are in\n"
	"                          peers.d beside it\n"
	"      --state-dir DIR     what survives a reboot (" STATE_DEFAULT_STATE ")\n"
	"      --runtime-dir DIR   control socket (" STATE_DEFAULT_RUNTIME ")\n"
	"      --guard             keep packets for the peers' networks from leaving in clear,\n"
	"                          then exit; for use before the network is up\n"
	"  -v, --verbose           log more\n"
	"      --version\n"
	"      --help\n"
	"\n"
	"Exit status: 0 after a signal to stop; 78 when neither the site file nor a\n"
	"configuration accepted earlier can be used; 1 for other failures.\n";

static void on_stop(struct ev_loop *loop, ev_signal *s, int events)
{
	log_line(LOG_INFO, "stopping; tunnels and flows go on without the daemon");
	sd_notify(0, "STOPPING=1");
	ev_break(loop, EVBREAK_ALL);
}

static void on_hangup(struct ev_loop *loop, ev_signal *s, int events)
{
	struct daemon *d = s->data;
	struct diags diags = {0};
	const char *why = NULL;
	bool ok = lifecycle_reload(d, false, 0, &diags, &why) == RELOAD_OK;

	lifecycle_log_diags(&diags);
	if (ok)
		log_line(LOG_INFO, "reload");
	else
		log_line(LOG_ERR, "reload refused%s%s; nothing was changed", why ? ": " : "",
			 why ? why : "");
	diag_done(&diags);
}

static void on_watchdog(struct ev_loop *loop, ev_timer *t, int events)
{
	struct daemon *d = t->data;

	/* From the loop itself, so that it is proof that the loop turns. */
	sd_notifyf(0, "WATCHDOG=1\nSTATUS=%s: %zu lanes, %zu peers, %s", d->g->site->id,
		   d->g->site->n_lanes, d->g->site->n_peers, lifecycle_state(d));
}

static void watch_signal(struct daemon *d, ev_signal *s,
			 void (*cb)(struct ev_loop *, ev_signal *, int), int number)
{
	ev_signal_init(s, cb, number);
	s->data = d;
	ev_signal_start(d->loop, s);
}

static void start_watchdog(struct daemon *d)
{
	uint64_t usec = 0;

	if (sd_watchdog_enabled(0, &usec) <= 0)
		return;
	ev_timer_init(&d->watchdog, on_watchdog, 0., (double)usec / 2e6);
	d->watchdog.data = d;
	ev_timer_start(d->loop, &d->watchdog);
}

static int open_parts(struct daemon *d)
{
	struct reconcile_hooks reconcile = lifecycle_reconcile_hooks(d);
	struct monitor_hooks monitor = lifecycle_monitor_hooks();
	struct text path = {0};
	int err;

	err = reconcile_open(d->loop, &reconcile, d, &d->reconcile);
	if (err) {
		log_line(LOG_ERR, "cannot talk to the kernel: %s (CAP_NET_ADMIN is needed)",
			 strerror(-err));
		return err;
	}
	err = monitor_open(d->loop, &monitor, d, &d->monitor);
	if (err) {
		log_line(LOG_ERR, "cannot open raw sockets: %s (CAP_NET_RAW is needed)",
			 strerror(-err));
		return err;
	}
	err = endpoints_open(d->loop, lifecycle_endpoints_changed, lifecycle_facts, d,
			     &d->endpoints);
	if (err) {
		log_line(LOG_ERR, "cannot start the resolver: %s", strerror(-err));
		return err;
	}
	text_printf(&path, "%s/control.sock", d->paths.runtime_dir);
	err = control_open(d->loop, text_str(&path), CONTROL_GROUP, service_methods, d,
			   &d->control);
	if (err == -EADDRINUSE)
		log_line(LOG_ERR, "another wgscaled answers at %s", text_str(&path));
	else if (err)
		log_line(LOG_ERR, "cannot listen at %s: %s", text_str(&path), strerror(-err));
	text_done(&path);
	return err;
}

static int run(const struct paths *paths)
{
	struct daemon d = {.paths = *paths};
	struct diags diags = {0};
	struct text saved = {0};
	int err;

	d.g = lifecycle_first(paths, &diags);
	if (!d.g) {
		lifecycle_log_diags(&diags);
		diag_done(&diags);
		log_line(LOG_ERR, "no usable configuration; 'wgscalectl check' says more");
		return EX_CONFIG;
	}
	diag_done(&diags);
	text_printf(&saved, "%s/saved", paths->runtime_dir);
	d.saved_dir = saved.s;
	d.loop = ev_default_loop(0);
	d.started_ms = monitor_now_ms();
	lifecycle_init(&d);
	modes_open(&d);
	err = open_parts(&d);
	if (!err) {
		watch_signal(&d, &d.sigterm, on_stop, SIGTERM);
		watch_signal(&d, &d.sigint, on_stop, SIGINT);
		watch_signal(&d, &d.sighup, on_hangup, SIGHUP);
		start_watchdog(&d);
		/* Addresses known already make the first observation tell the paths to them. */
		endpoints_set(d.endpoints, d.g);
		reconcile_dirty(d.reconcile, true);
		ev_run(d.loop, 0);
	}
	/* First what may still deliver results to the others. */
	lifecycle_stop(&d);
	reconcile_close(d.reconcile);
	control_close(d.control);
	endpoints_close(d.endpoints);
	monitor_close(d.monitor);
	lifecycle_close(&d);
	text_done(&saved);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Others must get at the control socket, whatever the umask. */
static void make_runtime_dir(const char *path)
{
	if (mkdir(path, 0755) == 0)
		chmod(path, 0755);
	else if (errno != EEXIST)
		log_line(LOG_WARNING, "cannot make %s: %s", path, strerror(errno));
}

int main(int argc, char **argv)
{
	enum { OPT_STATE = 256, OPT_RUNTIME, OPT_GUARD, OPT_VERSION, OPT_HELP };
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"state-dir", required_argument, NULL, OPT_STATE},
		{"runtime-dir", required_argument, NULL, OPT_RUNTIME},
		{"guard", no_argument, NULL, OPT_GUARD},
		{"verbose", no_argument, NULL, 'v'},
		{"version", no_argument, NULL, OPT_VERSION},
		{"help", no_argument, NULL, OPT_HELP},
		{NULL, 0, NULL, 0},
	};
	struct paths paths = {.config = STATE_DEFAULT_CONFIG,
			      .state_dir = STATE_DEFAULT_STATE,
			      .runtime_dir = STATE_DEFAULT_RUNTIME};
	bool guard = false;
	int priority = LOG_INFO, c;

	while ((c = getopt_long(argc, argv, "c:v", options, NULL)) != -1)
		switch (c) {
		case 'c':
			paths.config = optarg;
			break;
		case OPT_STATE:
			paths.state_dir = optarg;
			break;
		case OPT_RUNTIME:
			paths.runtime_dir = optarg;
			break;
		case OPT_GUARD:
			guard = true;
			break;
		case 'v':
			priority = LOG_DEBUG;
			break;
		case OPT_VERSION:
			puts("wgscaled " WGSCALE_VERSION);
			return EXIT_SUCCESS;
		case OPT_HELP:
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		default:
			fputs("Try 'wgscaled --help'.\n", stderr);
			return EX_USAGE;
		}
	if (optind < argc) {
		fprintf(stderr, "wgscaled: unexpected argument '%s'; try 'wgscaled --help'.\n",
			argv[optind]);
		return EX_USAGE;
	}
	/* Keys are in memory: no core dumps, no ptrace by the same user. */
	prctl(PR_SET_DUMPABLE, 0);
	umask(0077);
	log_init(priority);
	if (keys_init() != 0) {
		log_line(LOG_ERR, "libsodium cannot be initialised");
		return EXIT_FAILURE;
	}
	if (mkdir(paths.state_dir, 0700) != 0 && errno != EEXIST)
		log_line(LOG_WARNING, "cannot make %s: %s", paths.state_dir, strerror(errno));
	if (guard)
		return guard_run(&paths);
	make_runtime_dir(paths.runtime_dir);
	return run(&paths);
}
