/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: The commands of wgscalectl against a server that plays one answer per call: what they ask
 * for, which exit code they choose, and when they go on without a daemon. What main.c and offline.c
 * would do is stood in for here.
 */
// link: ctl/commands.o ctl/client.o ctl/render.o ctl/table.o -ljansson
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../ctl/ctl.h"

#define CALLS_MAX 2

static struct {
	char dir[64], path[80];
	int fd;
	const char *answers[CALLS_MAX];
	char heard[CALLS_MAX][512];
	size_t n;
	pthread_t thread;
} server;

static struct {
	char said[1024];
	char asked[1024];
	bool go;
	json_t *shown;
	unsigned int planned, downed;
} saw;

/* ---- in place of main.c and offline.c ---- */

void ctl_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(saw.said, sizeof(saw.said), fmt, ap);
	va_end(ap);
}

bool ctl_ask(const struct ctl *ctl, const char *question)
{
	snprintf(saw.asked, sizeof(saw.asked), "%s", question);
	return saw.go;
}

void ctl_show(const struct ctl *ctl, const json_t *reply,
	      void (*render)(const json_t *reply, bool colour, struct text *out))
{
	struct text t = {0};

	if (!ctl->json) {
		assert_non_null(render);
		render(reply, false, &t);
		assert_true(t.len > 0);
	}
	text_done(&t);
	json_decref(saw.shown);
	saw.shown = json_deep_copy(reply);
}

enum ctl_exit offline_plan(const struct ctl *ctl)
{
	saw.planned++;
	return CTL_FINE;
}

enum ctl_exit offline_down(const struct ctl *ctl)
{
	saw.downed++;
	return CTL_FINE;
}

/* ---- the server ---- */

static void *play(void *arg)
{
	for (size_t i = 0; i < server.n; i++) {
		int fd = accept(server.fd, NULL, NULL);
		char *p = server.heard[i];

		while (p < server.heard[i] + sizeof(server.heard[i]) - 1 && recv(fd, p, 1, 0) == 1)
			if (!*p++)
				break;
		send(fd, server.answers[i], strlen(server.answers[i]) + 1, MSG_NOSIGNAL);
		close(fd);
	}
	return NULL;
}

static int setup(void **state)
{
	memset(&server, 0, sizeof(server));
	memset(&saw, 0, sizeof(saw));
	strcpy(server.dir, "/tmp/commands-test-XXXXXX");
	if (!mkdtemp(server.dir))
		return -1;
	snprintf(server.path, sizeof(server.path), "%s/control.sock", server.dir);
	server.fd = -1;
	return 0;
}

static int teardown(void **state)
{
	json_decref(saw.shown);
	if (server.fd >= 0)
		close(server.fd);
	unlink(server.path);
	return rmdir(server.dir);
}

/* Runs a command against these answers; with none, nobody is there. */
static enum ctl_exit run(enum ctl_exit (*command)(const struct ctl *ctl), struct ctl *ctl,
			 const char *first, const char *second)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	enum ctl_exit code;

	ctl->socket = server.path;
	while (ctl->args && ctl->args[ctl->n_args])
		ctl->n_args++;
	if (!first)
		return command(ctl);
	server.answers[0] = first;
	server.answers[1] = second;
	server.n = second ? 2 : 1;
	strcpy(sa.sun_path, server.path);
	server.fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(server.fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(server.fd, CALLS_MAX), 0);
	assert_int_equal(pthread_create(&server.thread, NULL, play, NULL), 0);
	code = command(ctl);
	if (!server.heard[server.n - 1][0]) /* it called less than it should: end the thread */
		shutdown(server.fd, SHUT_RDWR);
	pthread_join(server.thread, NULL);
	return code;
}

static char *const paris[] = {"paris", NULL};

#define SETTLED	  "{\"parameters\":{\"ops\":1,\"warnings\":[],\"settled\":true,\"traffic\":\"on\"}}"
#define UNSETTLED "{\"parameters\":{\"ops\":1,\"warnings\":[],\"settled\":false}}"
#define STATUS                                                                          \
	"{\"parameters\":{\"site\":\"turin\",\"peers\":[{\"id\":\"milan\",\"traffic\":" \
	"\"on\",\"networks\":[\"10.2.0.0/16\"]}]}}"
#define DENIED "{\"error\":\"org.varlink.service.PermissionDenied\",\"parameters\":{}}"

/* ---- one line each: command, what it says, what it hears, how it ends ---- */

static char *const milan_inline[] = {"milan", "inline", NULL};
static char *const tunnel_auto[] = {"milan/7", "auto", NULL};
static char *const flow[] = {"10.1.0.1", "10.2.0.1", "tcp", "1024", "80", NULL};
static const struct {
	enum ctl_exit (*command)(const struct ctl *ctl);
	struct ctl ctl;
	const char *heard, *answer;
	enum ctl_exit code;
} talks[] = {
	{commands_status,
	 {.n_args = 0},
	 "io.wgscale.Status\",\"parameters\":{}}",
	 STATUS,
	 CTL_FINE},
	{commands_status,
	 {.args = paris},
	 "io.wgscale.Status\",\"parameters\":{\"peer\":\"paris\"}}",
	 STATUS,
	 CTL_FINE},
	{commands_plan,
	 {.n_args = 0},
	 "io.wgscale.Plan\",\"parameters\":{}}",
	 "{\"parameters\":{\"ops\":[],\"leaving\":0}}",
	 CTL_FINE},
	{commands_reload,
	 {.n_args = 0},
	 "io.wgscale.Reload\",\"parameters\":{}}",
	 SETTLED,
	 CTL_FINE},
	{commands_reload,
	 {.confirm_s = 60, .force = true},
	 "io.wgscale.Reload\",\"parameters\":{\"confirm_s\":60,\"force\":true}}",
	 UNSETTLED,
	 CTL_DEGRADED},
	{commands_reload,
	 {.n_args = 0},
	 "io.wgscale.Reload\",\"parameters\":{}}",
	 DENIED,
	 CTL_PERMISSION},
	{commands_reload,
	 {.n_args = 0},
	 "io.wgscale.Reload\",\"parameters\":{}}",
	 "{\"error\":\"io.wgscale.InvalidConfiguration\",\"parameters\":{\"diagnoses\":[]}"
	 "}",
	 CTL_FAILED},
	{commands_confirm,
	 {.n_args = 0},
	 "io.wgscale.Confirm\",\"parameters\":{}}",
	 "{\"parameters\":{}}",
	 CTL_FINE},
	{commands_wait,
	 {.state = "up"},
	 "io.wgscale.Wait\",\"parameters\":{\"state\":\"up\",\"timeout_ms\":60000}}",
	 "{\"parameters\":{\"state\":\"up\"}}",
	 CTL_FINE},
	{commands_wait,
	 {.state = "settled", .timeout_s = 7},
	 "io.wgscale.Wait\",\"parameters\":{\"state\":\"settled\",\"timeout_ms\":7000}}",
	 "{\"error\":\"io.wgscale.TimedOut\",\"parameters\":{\"state\":\"degraded\"}}",
	 CTL_TIMEOUT},
	{commands_where,
	 {.args = flow},
	 "io.wgscale.Where\",\"parameters\":{\"src\":\"10.1.0.1\",\"dst\":\"10.2.0.1\","
	 "\"proto\":\"tcp\",\"sport\":1024,\"dport\":80}}",
	 "{\"parameters\":{\"peer\":\"milan\",\"bucket\":1}}",
	 CTL_FINE},
	{commands_ping,
	 {.args = paris},
	 "io.wgscale.Ping\",\"parameters\":{\"peer\":\"paris\"}}",
	 "{\"parameters\":{\"tunnels\":[{\"sent\":3,\"received\":1}]}}",
	 CTL_FINE},
	{commands_ping,
	 {.args = paris, .count = 9},
	 "io.wgscale.Ping\",\"parameters\":{\"peer\":\"paris\",\"count\":9}}",
	 "{\"parameters\":{\"tunnels\":[{\"sent\":9,\"received\":9},{\"received\":0}]}}",
	 CTL_FAILED},
	{commands_activate,
	 {.args = paris},
	 "io.wgscale.SetTraffic\",\"parameters\":{\"peer\":\"paris\",\"traffic\":\"on\"}}",
	 SETTLED,
	 CTL_FINE},
	{commands_standby,
	 {.args = paris},
	 "io.wgscale.SetTraffic\",\"parameters\":{\"peer\":\"paris\",\"traffic\":\"off\"}}",
	 UNSETTLED,
	 CTL_DEGRADED},
	{commands_mode,
	 {.args = milan_inline},
	 "io.wgscale.SetMode\",\"parameters\":{\"target\":\"milan\",\"mode\":\"inline\"}}",
	 "{\"parameters\":{\"inline\":8,\"vanilla\":0,\"why\":null,\"settled\":true}}",
	 CTL_FINE},
	{commands_mode,
	 {.args = milan_inline},
	 "io.wgscale.SetMode\",\"parameters\":{\"target\":\"milan\",\"mode\":\"inline\"}}",
	 "{\"parameters\":{\"inline\":0,\"vanilla\":8,\"why\":\"no\",\"settled\":true}}",
	 CTL_DEGRADED},
	{commands_mode,
	 {.args = tunnel_auto},
	 "io.wgscale.SetMode\",\"parameters\":{\"target\":\"milan/7\",\"mode\":\"auto\"}}",
	 "{\"parameters\":{\"inline\":0,\"vanilla\":1,\"settled\":false}}",
	 CTL_DEGRADED},
};

static void conversations(void **state)
{
	for (size_t i = 0; i < sizeof(talks) / sizeof(talks[0]); i++) {
		struct ctl ctl = talks[i].ctl;
		char want[512];

		setup(NULL);
		assert_int_equal(run(talks[i].command, &ctl, talks[i].answer, NULL), talks[i].code);
		snprintf(want, sizeof(want), "{\"method\":\"%s", talks[i].heard);
		assert_string_equal(server.heard[0], want);
		/* an error is told, an answer shown: one of them */
		assert_int_equal(strstr(talks[i].answer, "error") != NULL, saw.said[0] != '\0');
		assert_int_equal(saw.planned + saw.downed, 0);
		teardown(NULL);
	}
	setup(NULL);
}

static void refused_here(void **state)
{
	static char *const bad_peer[] = {"Pa ris", NULL}, *const bad_addr[] = {"x", "10.2.0.1",
									       NULL};
	static char *const families[] = {"10.1.0.1", "fd00::1", NULL};
	static char *const one_port[] = {"10.1.0.1", "10.2.0.1", "tcp", "80", NULL};
	static char *const bad_port[] = {"10.1.0.1", "10.2.0.1", "tcp", "80", "65536", NULL};
	static char *const bad_proto[] = {"10.1.0.1", "10.2.0.1", "\033", NULL};
	static char *const bad_mode[] = {"milan", "fast", NULL}, *const no_target[] = {"", "auto",
										       NULL};
	static char *const bad_index[] = {"milan/x", "auto", NULL}, *const no_index[] = {
									    "milan/", "auto", NULL};
	static const struct {
		enum ctl_exit (*command)(const struct ctl *ctl);
		char *const *args;
	} t[] = {
		{commands_mode, bad_mode},     {commands_mode, no_target},
		{commands_mode, bad_index},    {commands_mode, no_index},
		{commands_status, bad_peer},   {commands_ping, bad_peer},
		{commands_activate, bad_peer}, {commands_standby, bad_peer},
		{commands_where, bad_addr},    {commands_where, families},
		{commands_where, one_port},    {commands_where, bad_port},
		{commands_where, bad_proto},   {commands_wait, NULL},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct ctl ctl = {.args = t[i].args};

		saw.said[0] = '\0';
		assert_int_equal(run(t[i].command, &ctl, NULL, NULL), CTL_USAGE);
		assert_true(saw.said[0]);
	}
}

static void without_a_daemon(void **state)
{
	struct ctl ctl = {0};

	assert_int_equal(run(commands_status, &ctl, NULL, NULL), CTL_NO_DAEMON);
	assert_non_null(strstr(saw.said, "systemctl start wgscaled"));
	assert_int_equal(run(commands_reload, &ctl, NULL, NULL), CTL_NO_DAEMON);
	assert_int_equal(run(commands_version, &ctl, NULL, NULL), CTL_FINE);
	assert_int_equal(run(commands_plan, &ctl, NULL, NULL), CTL_FINE);
	assert_int_equal(saw.planned, 1);
	assert_int_equal(run(commands_down, &ctl, NULL, NULL), CTL_FINE);
	assert_int_equal(saw.downed, 1);
}

static void plan_of_a_file(void **state)
{
	struct ctl ctl = {.file = "site.yaml"};

	assert_int_equal(run(commands_plan, &ctl, NULL, NULL), CTL_FINE);
	assert_int_equal(saw.planned, 1);
	assert_int_equal(saw.said[0], '\0');
}

static void down_asks(void **state)
{
	struct ctl ctl = {0};

	saw.go = true;
	assert_int_equal(run(commands_down, &ctl, STATUS, UNSETTLED), CTL_DEGRADED);
	assert_non_null(strstr(saw.asked, "milan  10.2.0.0/16"));
	assert_string_equal(server.heard[1], "{\"method\":\"io.wgscale.Down\",\"parameters\":{}}");
	assert_int_equal(saw.downed, 0);
}

static void down_not_wanted(void **state)
{
	struct ctl ctl = {0};

	assert_int_equal(run(commands_down, &ctl, STATUS, NULL), CTL_FAILED);
	assert_true(saw.asked[0]);
	assert_null(saw.shown);
}

/* A daemon that refuses to be read is not a missing one: nothing is done behind its back. */
static void down_refused(void **state)
{
	struct ctl ctl = {0};

	saw.go = true;
	assert_int_equal(run(commands_down, &ctl, DENIED, NULL), CTL_PERMISSION);
	assert_int_equal(saw.downed, 0);
	assert_int_equal(saw.asked[0], '\0');
}

/* Nor is one that does not answer as it should. */
static void down_not_understood(void **state)
{
	struct ctl ctl = {0};

	saw.go = true;
	assert_int_equal(run(commands_down, &ctl, "", NULL), CTL_FAILED);
	assert_int_equal(saw.downed, 0);
}

static void plan_not_understood(void **state)
{
	struct ctl ctl = {0};

	assert_int_equal(run(commands_plan, &ctl, "", NULL), CTL_FAILED);
	assert_int_equal(saw.planned, 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(conversations, teardown),
		T(refused_here),
		T(without_a_daemon),
		T(plan_of_a_file),
		T(down_asks),
		T(down_not_wanted),
		T(down_refused),
		T(down_not_understood),
		T(plan_not_understood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
