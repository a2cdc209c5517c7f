/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ctl: what the command line said, and the commands.
 */
#ifndef WGSCALE_CTL_H
#define WGSCALE_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "state.h"
#include "text.h"

/* Documented in --help and wgscalectl(1). */
enum ctl_exit {
	CTL_FINE,
	CTL_FAILED,	/* refused or failed */
	CTL_USAGE,	/* the command line is wrong */
	CTL_NO_DAEMON,	/* wgscaled is not running */
	CTL_PERMISSION, /* this user may not */
	CTL_TIMEOUT,
	CTL_DEGRADED, /* accepted, but the kernel does not hold all of it */
};

struct ctl {
	struct paths paths;
	const char *socket; /* control.sock in paths.runtime_dir */
	bool json;
	uint64_t timeout_s; /* 0: the command's own */
	bool watch;
	const char *file;
	uint64_t confirm_s; /* 0: none */
	bool force;
	const char *state; /* or NULL */
	uint64_t count;	   /* 0: not given */
	bool yes;
	char *const *args; /* after the command */
	int n_args;
};

/* commands.c: those that ask the daemon. `plan` and `down` go on without one (offline.c). */
enum ctl_exit commands_status(const struct ctl *ctl);
enum ctl_exit commands_plan(const struct ctl *ctl);
enum ctl_exit commands_reload(const struct ctl *ctl);
enum ctl_exit commands_confirm(const struct ctl *ctl);
enum ctl_exit commands_wait(const struct ctl *ctl);
enum ctl_exit commands_where(const struct ctl *ctl);
enum ctl_exit commands_ping(const struct ctl *ctl);
enum ctl_exit commands_activate(const struct ctl *ctl);
enum ctl_exit commands_standby(const struct ctl *ctl);
enum ctl_exit commands_mode(const struct ctl *ctl);
enum ctl_exit commands_down(const struct ctl *ctl);
enum ctl_exit commands_version(const struct ctl *ctl);

/* offline.c: those that work on files and the kernel, with the daemon's own libraries. */
enum ctl_exit offline_check(const struct ctl *ctl);
enum ctl_exit offline_card(const struct ctl *ctl);
enum ctl_exit offline_keygen(const struct ctl *ctl);
enum ctl_exit offline_plan(const struct ctl *ctl);
enum ctl_exit offline_down(const struct ctl *ctl);

/* main.c: shows an answer on the standard output: with --json as it is, else by `render`. */
void ctl_show(const struct ctl *ctl, const json_t *reply,
	      void (*render)(const json_t *reply, bool colour, struct text *out));
/* "wgscalectl: ..." on stderr, made safe for a terminal. */
void ctl_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Asks on the terminal; true for "y" or with --yes. Without a terminal: false, and --yes is
 * named. */
bool ctl_ask(const struct ctl *ctl, const char *question);

#endif
