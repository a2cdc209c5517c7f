/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: main, the command line of wgscalectl
 *
 * Owns options, the table of commands, --help and the exit code. An option that a command has no
 * use for is refused, never ignored. Secrets are only ever named by file.
 *
 * Read next: commands.c (what asks the daemon), offline.c (what does not).
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "ctl.h"
#include "render.h"

#define SECONDS_MAX 86400
#define COUNT_MAX   20

/* Options that only some commands take. */
enum option_bit {
	OPT_JSON = 1 << 0,
	OPT_TIMEOUT = 1 << 1,
	OPT_WATCH = 1 << 2,
	OPT_FILE = 1 << 3,
	OPT_CONFIRM = 1 << 4,
	OPT_FORCE = 1 << 5,
	OPT_STATE = 1 << 6,
	OPT_COUNT = 1 << 7,
	OPT_YES = 1 << 8,
	OPT_BITS = 9,
};

#define ASKS (OPT_JSON | OPT_TIMEOUT)

static const struct command {
	const char *name, *arguments, *help;
	enum ctl_exit (*run)(const struct ctl *ctl);
	unsigned int options; /* enum option_bit */
	int min_args, max_args;
} commands[] = {
	{"status", "[PEER] [--watch]", "how the site is, or the tunnels of one peer",
	 commands_status, ASKS | OPT_WATCH, 0, 1},
	{"plan", "[--file SITE.YAML]", "what would be changed in the kernel now, or by that file",
	 commands_plan, ASKS | OPT_FILE, 0, 0},
	{"check", "[--file SITE.YAML]", "is the configuration right? asks no daemon", offline_check,
	 OPT_FILE, 0, 0},
	{"reload", "[--confirm SECONDS] [--force]",
	 "apply the configuration; undone without confirm", commands_reload,
	 ASKS | OPT_CONFIRM | OPT_FORCE, 0, 0},
	{"confirm", "", "keep what `reload --confirm` did", commands_confirm, ASKS, 0, 0},
	{"wait", "--state settled|up|degraded", "until the site is in that state", commands_wait,
	 ASKS | OPT_STATE, 0, 0},
	{"where", "SRC DST [PROTO [SPORT DPORT]]", "which tunnel a flow takes, and its answers",
	 commands_where, ASKS, 2, 5},
	{"ping", "PEER [--count N]", "echo requests through every tunnel of a peer", commands_ping,
	 ASKS | OPT_COUNT, 1, 1},
	{"activate", "PEER", "send this peer's traffic through its tunnels", commands_activate,
	 ASKS, 1, 1},
	{"standby", "PEER", "keep its tunnels up without traffic", commands_standby, ASKS, 1, 1},
	{"mode", "TARGET auto|inline|vanilla",
	 "of a peer, a lane, a tunnel: PEER, LANE, PEER/INDEX", commands_mode, ASKS, 2, 2},
	{"card", "", "print this site's card, for the other sites", offline_card, 0, 0, 0},
	{"keygen", "FILE", "make a new site secret", offline_keygen, 0, 1, 1},
	{"down", "[--yes]", "take everything of wgscale out of the kernel", commands_down,
	 ASKS | OPT_YES, 0, 0},
	{"version", "", "of this program and of the daemon", commands_version, OPT_TIMEOUT, 0, 0},
	{"help", "[COMMAND]", "this text", NULL, 0, 0, 1},
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* The value of a long option: its enum option_bit, or one of these. */
enum { OPT_CONFIG = 1 << OPT_BITS, OPT_STATE_DIR, OPT_RUNTIME_DIR };

static const struct option options[] = {
	{"config", required_argument, NULL, OPT_CONFIG},
	{"state-dir", required_argument, NULL, OPT_STATE_DIR},
	{"runtime-dir", required_argument, NULL, OPT_RUNTIME_DIR},
	{"json", no_argument, NULL, OPT_JSON},
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"watch", no_argument, NULL, OPT_WATCH},
	{"file", required_argument, NULL, OPT_FILE},
	{"confirm", required_argument, NULL, OPT_CONFIRM},
	{"force", no_argument, NULL, OPT_FORCE},
	{"state", required_argument, NULL, OPT_STATE},
	{"count", required_argument, NULL, OPT_COUNT},
	{"yes", no_argument, NULL, OPT_YES},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

static bool colour(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

void ctl_show(const struct ctl *ctl, const json_t *reply,
	      void (*render)(const json_t *reply, bool colour, struct text *out))
{
	struct text t = {0};

	if (ctl->json) {
		/* ASCII: what is above it may hold the terminal's control characters */
		json_dumpf(reply, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
		putchar('\n');
		return;
	}
	render(reply, colour(), &t);
	fwrite(text_str(&t), 1, t.len, stdout);
	text_done(&t);
}

void ctl_say(const char *fmt, ...)
{
	struct text raw = {0}, safe = {0};
	va_list ap;

	va_start(ap, fmt);
	text_vprintf(&raw, fmt, ap);
	va_end(ap);
	render_clean(&safe, text_str(&raw), raw.len, true);
	fflush(stdout);
	fprintf(stderr, "wgscalectl: %s\n", text_str(&safe));
	text_done(&raw);
	text_done(&safe);
}

bool ctl_ask(const struct ctl *ctl, const char *question)
{
	char answer[16] = "";

	fflush(stdout);
	fprintf(stderr, "%s", question);
	if (ctl->yes)
		return true;
	if (!isatty(STDIN_FILENO)) {
		ctl_say("nothing was done; without a terminal this wants --yes");
		return false;
	}
	fprintf(stderr, "Go on? [y/N] ");
	if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
		return true;
	ctl_say("nothing was done");
	return false;
}

static void help(void)
{
	printf("Usage: wgscalectl [OPTIONS] COMMAND\n\nCommands:\n");
	for (size_t i = 0; i < N_COMMANDS; i++) {
		int n = printf("  %s %s", commands[i].name, commands[i].arguments);

		printf("%*s%s\n", n < 39 ? 39 - n : 1, "", commands[i].help);
	}
	printf("\nOptions:\n"
	       "  --config FILE       " STATE_DEFAULT_CONFIG " (cards: peers.d beside it)\n"
	       "  --state-dir DIR     " STATE_DEFAULT_STATE "\n"
	       "  --runtime-dir DIR   " STATE_DEFAULT_RUNTIME "\n"
	       "  --json              print the daemon's answer as it is\n"
	       "  --timeout SECONDS   for an answer: 10, for a change: 130, for wait: 60\n"
	       "  --help, --version\n"
	       "\nExit codes:\n"
	       "  0 fine   1 refused or failed   2 usage   3 the daemon is not running\n"
	       "  4 permission missing   5 timed out   6 accepted, but not settled\n"
	       "\nSee wgscalectl(1).\n");
}

static const struct command *find(const char *name)
{
	const char *names[N_COMMANDS + 1] = {NULL}, *near;

	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
		names[i] = commands[i].name;
	}
	near = text_nearest(name, names);
	if (near)
		ctl_say("there is no command \"%s\"; is it \"%s\" you mean?", name, near);
	else
		ctl_say("there is no command \"%s\"; see: wgscalectl help", name);
	return NULL;
}

static enum ctl_exit help_on(const char *name)
{
	const struct command *c = find(name);

	if (!c)
		return CTL_USAGE;
	printf("Usage: wgscalectl [OPTIONS] %s%s%s\n  %s\n", c->name, *c->arguments ? " " : "",
	       c->arguments, c->help);
	return CTL_FINE;
}

static int number(const char *name, uint64_t max, uint64_t *ret)
{
	if (text_parse_u64(optarg, 1, max, ret) == 0)
		return 0;
	ctl_say("--%s: \"%s\" is not a number from 1 to %u", name, optarg, (unsigned int)max);
	return -EINVAL;
}

static int set_state(struct ctl *ctl)
{
	static const char *const states[] = {"settled", "up", "degraded", NULL};

	for (size_t i = 0; states[i]; i++)
		if (strcmp(states[i], optarg) == 0) {
			ctl->state = states[i];
			return 0;
		}
	ctl_say("--state: \"%s\" is none of settled, up, degraded", optarg);
	return -EINVAL;
}

/* One option into *ctl; -EINVAL, told. */
static int set(struct ctl *ctl, int option)
{
	switch (option) {
	case OPT_CONFIG:
		ctl->paths.config = optarg;
		return 0;
	case OPT_STATE_DIR:
		ctl->paths.state_dir = optarg;
		return 0;
	case OPT_RUNTIME_DIR:
		ctl->paths.runtime_dir = optarg;
		return 0;
	case OPT_JSON:
		ctl->json = true;
		return 0;
	case OPT_TIMEOUT:
		return number("timeout", SECONDS_MAX, &ctl->timeout_s);
	case OPT_WATCH:
		ctl->watch = true;
		return 0;
	case OPT_FILE:
		ctl->file = optarg;
		return 0;
	case OPT_CONFIRM:
		return number("confirm", SECONDS_MAX, &ctl->confirm_s);
	case OPT_FORCE:
		ctl->force = true;
		return 0;
	case OPT_STATE:
		return set_state(ctl);
	case OPT_COUNT:
		return number("count", COUNT_MAX, &ctl->count);
	case OPT_YES:
		ctl->yes = true;
		return 0;
	default: /* getopt_long() has said what is wrong */
		return -EINVAL;
	}
}

static enum ctl_exit run(struct ctl *ctl, const char *name, unsigned int given)
{
	const struct command *c = find(name);
	struct text socket = {0};
	enum ctl_exit code;

	if (!c)
		return CTL_USAGE;
	for (size_t i = 0; options[i].name; i++)
		if (options[i].val < OPT_CONFIG && options[i].val & given & ~c->options) {
			ctl_say("%s has no option --%s", c->name, options[i].name);
			return CTL_USAGE;
		}
	if (ctl->n_args < c->min_args || ctl->n_args > c->max_args) {
		ctl_say("usage: wgscalectl %s%s%s", c->name, *c->arguments ? " " : "",
			c->arguments);
		return CTL_USAGE;
	}
	if (!c->run) {
		if (ctl->n_args)
			return help_on(ctl->args[0]);
		help();
		return CTL_FINE;
	}
	text_printf(&socket, "%s/control.sock", ctl->paths.runtime_dir);
	ctl->socket = text_str(&socket);
	code = c->run(ctl);
	text_done(&socket);
	return code;
}

int main(int argc, char **argv)
{
	struct ctl ctl = {
		.paths = {STATE_DEFAULT_CONFIG, STATE_DEFAULT_STATE, STATE_DEFAULT_RUNTIME},
	};
	const char *command = NULL;
	unsigned int given = 0;
	enum ctl_exit code;
	int option;

	/* keygen, card and check hold the secret: no core dumps, no tracing by others. */
	prctl(PR_SET_DUMPABLE, 0);
	while ((option = getopt_long(argc, argv, "hV", options, NULL)) != -1) {
		if (option == 'h' || option == 'V') {
			command = option == 'h' ? "help" : "version";
			continue;
		}
		if (set(&ctl, option) < 0)
			return CTL_USAGE;
		if (option < OPT_CONFIG)
			given |= (unsigned int)option;
	}
	if (!command && optind == argc) {
		ctl_say("what is to be done? see: wgscalectl help");
		return CTL_USAGE;
	}
	if (command) {
		given = 0;
		ctl.args = argv + optind;
		ctl.n_args = strcmp(command, "help") == 0 && optind < argc;
	} else {
		command = argv[optind++];
		ctl.args = argv + optind;
		ctl.n_args = argc - optind;
	}
	code = run(&ctl, command, given);
	if ((fflush(stdout) != 0 || ferror(stdout)) && code == CTL_FINE) {
		ctl_say("cannot write to the standard output");
		return CTL_FAILED;
	}
	return code;
}
