/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: The control server on a real UNIX socket and a real loop, without waiting: time passes when
 * a test says so (the timers of clients are fired by hand), which is why control.c is included
 * rather than linked.
 */
// link: -lev -ljansson
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../daemon/control.c"

#include <stdio.h>
#include <sys/wait.h>

#include "text.h"

#define GUARD_S	  20. /* a test that hangs fails after this */
#define BIG_BYTES (4u << 20)
#define NOBODY	  65534

struct fix {
	struct ev_loop *loop;
	struct control *control;
	struct ev_timer guard;
	char dir[64], path[80];
	struct control_call *held; /* what Hold left unanswered */
	unsigned int ran;	   /* calls of Echo, Hold and Big */
	unsigned int root_ran;
};

static void on_guard(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	fail_msg("nothing came");
}

static void do_echo(void *owner, struct control_call *call, json_t *parameters)
{
	struct fix *f = owner;

	f->ran++;
	control_reply(call, json_incref(parameters));
}

static void do_hold(void *owner, struct control_call *call, json_t *parameters)
{
	struct fix *f = owner;

	f->ran++;
	f->held = call;
}

static void do_big(void *owner, struct control_call *call, json_t *parameters)
{
	struct fix *f = owner;
	char *s = malloc(BIG_BYTES);

	f->ran++;
	memset(s, 'x', BIG_BYTES);
	control_reply(call, json_pack("{s:s#}", "big", s, (int)BIG_BYTES));
	free(s);
}

static void do_root(void *owner, struct control_call *call, json_t *parameters)
{
	struct fix *f = owner;

	f->root_ran++;
	control_reply(call, NULL);
}

static void do_refuse(void *owner, struct control_call *call, json_t *parameters)
{
	control_error_strings(call, "io.wgscale.Refused", "reason", "no\xff", "hint", "so", NULL);
}

static const struct control_method methods[] = {
	{"io.wgscale.Echo", false, do_echo},	 {"io.wgscale.Hold", false, do_hold},
	{"io.wgscale.Big", false, do_big},	 {"io.wgscale.Root", true, do_root},
	{"io.wgscale.Refuse", false, do_refuse}, {.name = NULL},
};

static int setup(void **state)
{
	struct fix *f = xcalloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/control-test-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/control.sock", f->dir);
	f->loop = ev_loop_new(EVFLAG_AUTO);
	ev_timer_init(&f->guard, on_guard, GUARD_S, 0.);
	ev_timer_start(f->loop, &f->guard);
	*state = f;
	return control_open(f->loop, f->path, "no-such-group", methods, f, &f->control);
}

static int teardown(void **state)
{
	struct fix *f = *state;

	control_close(f->control);
	if (f->held)
		control_reply(f->held, NULL);
	assert_int_equal(access(f->path, F_OK), -1);
	ev_loop_destroy(f->loop);
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

/* ---- the client's end ---- */

static int dial(const struct fix *f)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(sa.sun_path, f->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

/* `s` with its NUL byte. */
static void say(int fd, const char *s)
{
	assert_int_equal(send(fd, s, strlen(s) + 1, MSG_NOSIGNAL), strlen(s) + 1);
}

static void turn(struct fix *f)
{
	ev_run(f->loop, EVRUN_ONCE);
}

/* All that is ready, and what that leads to. */
static void settle(struct fix *f)
{
	for (int i = 0; i < 50; i++)
		ev_run(f->loop, EVRUN_NOWAIT);
}

/* One byte, turning the loop for as long as it takes; false: closed. */
static bool get(struct fix *f, int fd, char *ret)
{
	ssize_t n;

	while ((n = recv(fd, ret, 1, MSG_DONTWAIT)) < 0) {
		if (errno == ECONNRESET)
			return false;
		assert_int_equal(errno, EAGAIN);
		turn(f);
	}
	return n == 1;
}

/* The next answer; NULL: closed. */
static json_t *hear(struct fix *f, int fd)
{
	struct text t = {0};
	json_t *j = NULL;
	char c;

	while (get(f, fd, &c)) {
		text_append(&t, &c, 1);
		if (c)
			continue;
		j = json_loads(t.s, 0, NULL);
		assert_non_null(j);
		break;
	}
	text_done(&t);
	return j;
}

static void expect_closed(struct fix *f, int fd)
{
	char c;

	assert_false(get(f, fd, &c));
	close(fd);
}

static void expect_error(struct fix *f, int fd, const char *error, const char *name,
			 const char *value)
{
	json_t *j = hear(f, fd);

	assert_non_null(j);
	assert_string_equal(json_string_value(json_object_get(j, "error")), error);
	if (name)
		assert_string_equal(
			json_string_value(json_object_get(json_object_get(j, "parameters"), name)),
			value);
	json_decref(j);
}

/* The answer of Echo to {"n": n}. */
static void expect_n(struct fix *f, int fd, int n)
{
	json_t *j = hear(f, fd);

	assert_non_null(j);
	assert_null(json_object_get(j, "error"));
	assert_int_equal(json_integer_value(json_object_get(json_object_get(j, "parameters"), "n")),
			 n);
	json_decref(j);
}

/* CONTROL_IDLE_S go by. */
static void time_passes(struct fix *f)
{
	for (struct client *c = f->control->clients; c; c = c->next)
		if (ev_is_active(&c->timer))
			ev_feed_event(f->loop, &c->timer, EV_TIMER);
	settle(f);
}

#define ECHO(n) "{\"method\":\"io.wgscale.Echo\",\"parameters\":{\"n\":" #n "}}"
#define HOLD	"{\"method\":\"io.wgscale.Hold\"}"

/* ---- framing ---- */

static void two_in_one_segment(void **state)
{
	static const char both[] = ECHO(1) "\0" ECHO(2);
	struct fix *f = *state;
	int fd = dial(f);

	assert_int_equal(send(fd, both, sizeof(both), 0), sizeof(both));
	expect_n(f, fd, 1);
	expect_n(f, fd, 2);
	close(fd);
}

static void byte_by_byte(void **state)
{
	static const char one[] = ECHO(3);
	struct fix *f = *state;
	int fd = dial(f);

	for (size_t i = 0; i < sizeof(one); i++) {
		assert_int_equal(send(fd, one + i, 1, 0), 1);
		settle(f);
		assert_int_equal(f->ran, i + 1 == sizeof(one));
	}
	expect_n(f, fd, 3);
	close(fd);
}

/* A valid request of exactly `len` bytes, NUL included. */
static char *padded(size_t len)
{
	char *s = malloc(len);

	memset(s, ' ', len);
	memcpy(s, ECHO(4), strlen(ECHO(4)));
	s[len - 1] = '\0';
	return s;
}

static void send_turning(struct fix *f, int fd, const char *s, size_t len)
{
	while (len) {
		ssize_t n = send(fd, s, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EPIPE)
			return;
		if (n > 0) {
			s += n;
			len -= (size_t)n;
		}
		ev_run(f->loop, EVRUN_NOWAIT);
	}
}

static void largest_request(void **state)
{
	struct fix *f = *state;
	int fd = dial(f);
	char *s = padded(CONTROL_REQUEST_MAX);

	send_turning(f, fd, s, CONTROL_REQUEST_MAX);
	expect_n(f, fd, 4);
	/* and once more, behind another: it must not count what came before */
	say(fd, ECHO(5));
	send_turning(f, fd, s, CONTROL_REQUEST_MAX);
	expect_n(f, fd, 5);
	expect_n(f, fd, 4);
	free(s);
	close(fd);
}

static void oversize_dropped(void **state)
{
	struct fix *f = *state;
	int fd = dial(f);
	char *s = padded(CONTROL_REQUEST_MAX + 1);

	send_turning(f, fd, s, CONTROL_REQUEST_MAX + 1);
	free(s);
	expect_closed(f, fd);
	assert_int_equal(f->ran, 0);
	assert_int_equal(f->control->n_clients, 0);
}

static void malformed_dropped(void **state)
{
	static const char *const bad[] = {
		"",
		"{",
		"[]",
		"\"io.wgscale.Echo\"",
		"{}",
		"{\"method\":7}",
		"{\"method\":\"io.wgscale.Echo\",\"method\":\"io.wgscale.Echo\"}",
		"{\"method\":\"io.wgscale.Echo\"} {}",
		"{\"method\":\"io.wgscale.Echo\",\"oneway\":\"yes\"}",
		"{\"method\":\"io.wgscale.Echo\",\"more\":1}",
		"{\"method\":\"io.wgscale.\xff\"}",
	};
	struct fix *f = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int fd = dial(f);

		say(fd, bad[i]);
		expect_closed(f, fd);
	}
	assert_int_equal(f->ran, 0);
}

static void deep_nesting(void **state)
{
	char s[CONTROL_REQUEST_MAX];
	struct fix *f = *state;
	int fd = dial(f);

	memset(s, '[', sizeof(s));
	s[sizeof(s) - 1] = '\0';
	send_turning(f, fd, s, sizeof(s));
	expect_closed(f, fd);
}

/* ---- order and time ---- */

static void one_call_at_a_time(void **state)
{
	struct fix *f = *state;
	int fd = dial(f), other = dial(f);

	say(fd, HOLD);
	say(fd, ECHO(1));
	settle(f);
	assert_int_equal(f->ran, 1);
	say(other, ECHO(2)); /* nobody else waits for it */
	expect_n(f, other, 2);
	time_passes(f);
	control_reply(f->held, json_pack("{s:i}", "n", 7));
	f->held = NULL;
	expect_n(f, fd, 7);
	expect_n(f, fd, 1);
	close(fd);
	close(other);
}

static void slow_reader(void **state)
{
	struct fix *f = *state;
	int slow = dial(f), patient = dial(f), other = dial(f);
	json_t *j;

	say(slow, "{\"method\":\"io.wgscale.Big\"}");
	say(slow, ECHO(1));
	say(patient, "{\"method\":\"io.wgscale.Big\"}");
	settle(f);
	assert_int_equal(f->ran, 2); /* the second of `slow` waits for the first to be taken */
	say(other, ECHO(2));
	expect_n(f, other, 2);
	j = hear(f, patient);
	assert_int_equal(
		json_string_length(json_object_get(json_object_get(j, "parameters"), "big")),
		BIG_BYTES);
	json_decref(j);
	close(patient);
	close(other);
	settle(f);
	assert_int_equal(f->control->n_clients, 1);
	time_passes(f);
	assert_int_equal(f->control->n_clients, 0);
	assert_int_equal(f->ran, 3);
	close(slow);
}

static void trickle_does_not_renew(void **state)
{
	struct fix *f = *state;
	int fd = dial(f);
	double at;

	settle(f);
	at = f->control->clients->timer.at;
	for (int i = 0; i < 100; i++) {
		assert_int_equal(send(fd, " ", 1, 0), 1);
		ev_now_update(f->loop);
		settle(f);
		assert_true(f->control->clients->timer.at <= at);
	}
	say(fd, ECHO(1)); /* one that asked has time again */
	ev_now_update(f->loop);
	expect_n(f, fd, 1);
	settle(f);
	assert_true(f->control->clients->timer.at > at);
	close(fd);
}

static void silent_client(void **state)
{
	struct fix *f = *state;
	int fd = dial(f);

	settle(f);
	assert_int_equal(f->control->n_clients, 1);
	time_passes(f);
	expect_closed(f, fd);
	assert_int_equal(f->control->n_clients, 0);
}

static void half_request(void **state)
{
	struct fix *f = *state;
	int fd = dial(f);

	assert_int_equal(send(fd, "{\"met", 5, 0), 5);
	settle(f);
	time_passes(f);
	expect_closed(f, fd);
}

static void half_closed(void **state)
{
	struct fix *f = *state;
	int fd = dial(f);

	say(fd, HOLD);
	say(fd, ECHO(1));
	assert_int_equal(send(fd, "{\"rest", 6, 0), 6);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	settle(f);
	time_passes(f); /* waiting for an answer takes as long as it takes */
	assert_non_null(f->held);
	control_reply(f->held, json_pack("{s:i}", "n", 9));
	f->held = NULL;
	expect_n(f, fd, 9);
	expect_n(f, fd, 1);
	expect_closed(f, fd);
}

static void gone_before_the_answer(void **state)
{
	struct fix *f = *state;
	int fd = dial(f);

	say(fd, HOLD);
	settle(f);
	close(fd);
	settle(f);
	assert_int_equal(f->control->n_clients, 0); /* its place is free at once */
	assert_non_null(f->held);
	control_reply(f->held, NULL);
	f->held = NULL;
	settle(f);
}

static void closed_before_the_answer(void **state)
{
	struct fix *f = *state;
	int fd = dial(f);

	say(fd, HOLD);
	settle(f);
	close(fd);
	/* teardown closes the server first and answers then */
}

/* ---- bounds and rights ---- */

static void too_many(void **state)
{
	int fds[CONTROL_CLIENTS_MAX], one_more;
	struct fix *f = *state;

	if (geteuid() != 0)
		skip();
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		fds[i] = dial(f);
		settle(f);
	}
	one_more = dial(f);
	expect_closed(f, one_more);
	say(fds[0], ECHO(1));
	expect_n(f, fds[0], 1);
	close(fds[0]);
	settle(f);
	fds[0] = dial(f);
	say(fds[0], ECHO(2));
	expect_n(f, fds[0], 2);
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		close(fds[i]);
	settle(f);
	assert_int_equal(f->control->n_clients, 0);
}

/* In a child without rights: sends, reads one answer, blocking. */
static bool child_hears(int fd, const char *request, const char *want)
{
	char buf[512];
	size_t n = 0;

	if (send(fd, request, strlen(request) + 1, MSG_NOSIGNAL) < 0)
		return false;
	while (n < sizeof(buf) && recv(fd, buf + n, 1, 0) == 1)
		if (!buf[n++])
			return strstr(buf, want) != NULL;
	return false;
}

static int child_dial(const struct fix *f)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(sa.sun_path, f->path);
	return connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -1 : fd;
}

/* Runs fn as nobody in a child while the loop turns; its result. */
static int as_nobody(struct fix *f, int (*fn)(struct fix *f))
{
	int status = 0;
	pid_t pid;

	assert_int_equal(chmod(f->dir, 0755), 0);
	assert_int_equal(chmod(f->path, 0666), 0);
	pid = fork();
	if (pid == 0)
		_exit(setuid(NOBODY) < 0 ? 99 : fn(f));
	ev_timer_again(f->loop, &f->guard);
	while (waitpid(pid, &status, WNOHANG) == 0)
		ev_run(f->loop, EVRUN_NOWAIT);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

static int ask_as_nobody(struct fix *f)
{
	int fd = child_dial(f);

	if (fd < 0)
		return 1;
	if (!child_hears(fd, "{\"method\":\"io.wgscale.Root\"}",
			 "\"org.varlink.service.PermissionDenied\""))
		return 2;
	return child_hears(fd, ECHO(1), "{\"parameters\":{\"n\":1}}") ? 0 : 3;
}

static void unprivileged(void **state)
{
	struct fix *f = *state;
	int fd;

	if (geteuid() != 0)
		skip();
	assert_int_equal(as_nobody(f, ask_as_nobody), 0);
	assert_int_equal(f->root_ran, 0);
	fd = dial(f);
	say(fd, "{\"method\":\"io.wgscale.Root\"}");
	json_decref(hear(f, fd));
	assert_int_equal(f->root_ran, 1);
	close(fd);
}

static int crowd_as_nobody(struct fix *f)
{
	int fd = -1;

	for (int i = 0; i < CONTROL_CLIENTS_MAX - CONTROL_CLIENTS_ROOT; i++) {
		fd = child_dial(f);
		if (fd < 0 || !child_hears(fd, ECHO(1), "{\"parameters\":{\"n\":1}}"))
			return 1;
	}
	fd = child_dial(f);
	return fd >= 0 && child_hears(fd, ECHO(1), "parameters") ? 2 : 0;
}

static void places_for_root(void **state)
{
	struct fix *f = *state;

	if (geteuid() != 0)
		skip();
	assert_int_equal(as_nobody(f, crowd_as_nobody), 0);
}

/* ---- varlink ---- */

static void errors(void **state)
{
	struct fix *f = *state;
	int fd = dial(f);

	say(fd, "{\"method\":\"io.wgscale.Nonsense\"}");
	expect_error(f, fd, "org.varlink.service.MethodNotFound", "method", "io.wgscale.Nonsense");
	say(fd, "{\"method\":\"org.varlink.service.Nonsense\"}");
	expect_error(f, fd, "org.varlink.service.MethodNotFound", "method",
		     "org.varlink.service.Nonsense");
	say(fd, "{\"method\":\"io.wg.Echo\"}");
	expect_error(f, fd, "org.varlink.service.InterfaceNotFound", "interface", "io.wg");
	say(fd, "{\"method\":\"io.wgscale.Echo.Echo\"}");
	expect_error(f, fd, "org.varlink.service.InterfaceNotFound", "interface",
		     "io.wgscale.Echo");
	say(fd, "{\"method\":\"Echo\"}");
	expect_error(f, fd, "org.varlink.service.InvalidParameter", "parameter", "method");
	say(fd, "{\"method\":\"io.wgscale.Echo\",\"parameters\":[1]}");
	expect_error(f, fd, "org.varlink.service.InvalidParameter", "parameter", "parameters");
	say(fd, "{\"method\":\"io.wgscale.Echo\",\"upgrade\":true}");
	expect_error(f, fd, "org.varlink.service.InvalidParameter", "parameter", "upgrade");
	say(fd, "{\"method\":\"org.varlink.service.GetInterfaceDescription\"}");
	expect_error(f, fd, "org.varlink.service.InvalidParameter", "parameter", "interface");
	say(fd, "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
		"\"parameters\":{\"interface\":\"a.b\"}}");
	expect_error(f, fd, "org.varlink.service.InterfaceNotFound", "interface", "a.b");
	say(fd, "{\"method\":\"io.wgscale.Refuse\"}");
	expect_error(f, fd, "io.wgscale.Refused", "reason", "no?");
	assert_int_equal(f->ran, 0);
	close(fd);
}

static void absent_parameters(void **state)
{
	static const char *const requests[] = {
		"{\"method\":\"io.wgscale.Echo\"}",
		"{\"method\":\"io.wgscale.Echo\",\"parameters\":null,\"more\":null}",
		"{\"method\":\"io.wgscale.Echo\",\"parameters\":{}}",
	};
	struct fix *f = *state;
	int fd = dial(f);

	for (size_t i = 0; i < 3; i++) {
		json_t *j;

		say(fd, requests[i]);
		j = hear(f, fd);
		assert_int_equal(json_object_size(json_object_get(j, "parameters")), 0);
		assert_true(json_is_object(json_object_get(j, "parameters")));
		json_decref(j);
	}
	close(fd);
}

static void more_and_oneway(void **state)
{
	struct fix *f = *state;
	int fd = dial(f);
	json_t *j;

	say(fd, "{\"method\":\"io.wgscale.Echo\",\"more\":true,\"parameters\":{\"n\":1}}");
	j = hear(f, fd);
	assert_null(json_object_get(j, "continues"));
	json_decref(j);
	say(fd, "{\"method\":\"io.wgscale.Echo\",\"oneway\":true,\"parameters\":{\"n\":2}}");
	say(fd, "{\"method\":\"io.wgscale.Nonsense\",\"oneway\":true}");
	say(fd, "{\"method\":\"io.wgscale.Hold\",\"oneway\":true}");
	say(fd, ECHO(3));
	settle(f);
	assert_non_null(f->held);
	assert_int_equal(f->ran, 3);
	control_reply(f->held, NULL);
	f->held = NULL;
	expect_n(f, fd, 3); /* the first thing to be heard */
	assert_int_equal(f->ran, 4);
	say(fd, "{\"method\":\"io.wgscale.Echo\",\"oneway\":true}");
	close(fd); /* sent and gone: still done */
	settle(f);
	assert_int_equal(f->ran, 5);
	assert_int_equal(f->control->n_clients, 0);
}

static void describes_itself(void **state)
{
	struct fix *f = *state;
	int fd = dial(f);
	char *file;
	size_t len;
	json_t *j, *p;

	say(fd, "{\"method\":\"org.varlink.service.GetInfo\"}");
	j = hear(f, fd);
	p = json_object_get(j, "parameters");
	assert_string_equal(json_string_value(json_object_get(p, "version")), WGSCALE_VERSION);
	assert_string_equal(json_string_value(json_object_get(p, "product")), "wgscaled");
	assert_string_equal(json_string_value(json_array_get(json_object_get(p, "interfaces"), 1)),
			    "io.wgscale");
	json_decref(j);

	assert_int_equal(text_read_file("daemon/io.wgscale.varlink", 1u << 20, &file, &len), 0);
	say(fd, "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
		"\"parameters\":{\"interface\":\"io.wgscale\"}}");
	j = hear(f, fd);
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(j, "parameters"), "description")),
		file);
	json_decref(j);
	free(file);
	close(fd);
}

/* ---- the socket file ---- */

static void socket_file(void **state)
{
	struct fix *f = *state;
	struct control *second = NULL;
	char path[200];
	struct stat st;
	int fd;

	assert_int_equal(lstat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(control_open(f->loop, f->path, NULL, methods, f, &second), -EADDRINUSE);
	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(control_open(f->loop, path, NULL, methods, f, &second), -ENAMETOOLONG);
	fd = dial(f); /* none of it hurt the first */
	say(fd, ECHO(1));
	expect_n(f, fd, 1);
	close(fd);

	snprintf(path, sizeof(path), "%s/file", f->dir);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(control_open(f->loop, path, NULL, methods, f, &second), -EEXIST);
	assert_int_equal(unlink(path), 0);
}

static void stale_socket(void **state)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct fix *f = *state;
	struct control *second = NULL;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/stale", f->dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	close(fd);
	assert_int_equal(control_open(f->loop, sa.sun_path, NULL, methods, f, &second), 0);
	control_close(second);
	assert_int_equal(access(sa.sun_path, F_OK), -1);
}

static void successors_socket_is_left(void **state)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct fix *f = *state;
	struct control *second = NULL;
	char old[100];
	int fd;

	snprintf(old, sizeof(old), "%s/old", f->dir);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/next", f->dir);
	assert_int_equal(control_open(f->loop, sa.sun_path, NULL, methods, f, &second), 0);
	/* the old one stays busy, as inode numbers are used again */
	assert_int_equal(rename(sa.sun_path, old), 0);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	control_close(second);
	assert_int_equal(access(sa.sun_path, F_OK), 0);
	unlink(sa.sun_path);
	unlink(old);
	close(fd);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(two_in_one_segment),
		T(byte_by_byte),
		T(largest_request),
		T(oversize_dropped),
		T(malformed_dropped),
		T(deep_nesting),
		T(one_call_at_a_time),
		T(slow_reader),
		T(trickle_does_not_renew),
		T(silent_client),
		T(half_request),
		T(half_closed),
		T(gone_before_the_answer),
		T(closed_before_the_answer),
		T(too_many),
		T(unprivileged),
		T(places_for_root),
		T(errors),
		T(absent_parameters),
		T(more_and_oneway),
		T(describes_itself),
		T(socket_file),
		T(stale_socket),
		T(successors_socket_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
