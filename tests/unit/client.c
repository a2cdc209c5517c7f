/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: One call of wgscalectl against servers of every kind: none, a dead one, a silent one, one
 * that lies. Each server is a thread that plays one scene to one client.
 */
// link: ctl/client.o ctl/render.o ctl/table.o -ljansson
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

#include "../../ctl/client.h"
#include "../../ctl/ctl.h"

#define LONG_MS	 20000
#define SHORT_MS 50

struct scene {
	char dir[64], path[80];
	int fd; /* listening */
	/* what the server does */
	const char *says;
	size_t len;
	bool endless; /* says it again and again */
	bool hears;   /* reads a request first */
	bool stays;   /* until the client hangs up */
	char heard[512];
};

static int setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));

	strcpy(s->dir, "/tmp/client-test-XXXXXX");
	if (!mkdtemp(s->dir))
		return -1;
	snprintf(s->path, sizeof(s->path), "%s/control.sock", s->dir);
	s->fd = -1;
	s->hears = true;
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct scene *s = *state;

	if (s->fd >= 0)
		close(s->fd);
	unlink(s->path);
	rmdir(s->dir);
	free(s);
	return 0;
}

static void listening(struct scene *s, int backlog)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	strcpy(sa.sun_path, s->path);
	s->fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	if (backlog >= 0)
		assert_int_equal(listen(s->fd, backlog), 0);
}

static void *play(void *arg)
{
	struct scene *s = arg;
	int fd = accept(s->fd, NULL, NULL);
	size_t n = 0;
	char c;

	while (s->hears && n < sizeof(s->heard) && recv(fd, s->heard + n, 1, 0) == 1)
		if (!s->heard[n++])
			break;
	for (size_t i = 0; s->says && (i < s->len || s->endless); i++)
		if (send(fd, s->endless ? s->says : s->says + i, s->endless ? s->len : 1,
			 MSG_NOSIGNAL) < 0)
			break;
	while (s->stays && recv(fd, &c, 1, 0) > 0)
		continue;
	close(fd);
	return NULL;
}

static int call(struct scene *s, unsigned int timeout_ms, struct client_reply *ret)
{
	pthread_t thread;
	int r;

	listening(s, 1);
	assert_int_equal(pthread_create(&thread, NULL, play, s), 0);
	r = client_call(s->path, "io.wgscale.Status", json_pack("{s:s}", "peer", "paris"),
			timeout_ms, ret);
	pthread_join(thread, NULL);
	return r;
}

#define SAYS(s, text)                    \
	do {                             \
		(s)->says = text;        \
		(s)->len = sizeof(text); \
	} while (0)

static void answer(void **state)
{
	struct scene *s = *state;
	struct client_reply reply;

	SAYS(s, "{\"parameters\":{\"n\":1}}\0{\"parameters\":{\"n\":2}}");
	assert_int_equal(call(s, LONG_MS, &reply), 0);
	assert_null(reply.error);
	assert_int_equal(json_integer_value(json_object_get(reply.parameters, "n")), 1);
	client_reply_done(&reply);
	assert_string_equal(
		s->heard, "{\"method\":\"io.wgscale.Status\",\"parameters\":{\"peer\":\"paris\"}}");
}

static void error_answer(void **state)
{
	struct scene *s = *state;
	struct client_reply reply;
	struct text t = {0};

	SAYS(s, "{\"error\":\"io.wgscale.NotFound\",\"parameters\":{\"what\":\"peer "
		"pari\\u001bs\",\"hint\":\"is it paris?\"}}");
	assert_int_equal(call(s, LONG_MS, &reply), 0);
	assert_int_equal(client_explain_reply(&reply, &t), CTL_FAILED);
	assert_string_equal(text_str(&t), "not found: peer pari?s; is it paris?");
	text_done(&t);
	client_reply_done(&reply);
}

static void exit_codes(void **state)
{
	static const struct {
		const char *error;
		int code;
	} known[] = {
		{"org.varlink.service.PermissionDenied", CTL_PERMISSION},
		{"org.varlink.service.MethodNotFound", CTL_FAILED},
		{"io.wgscale.TimedOut", CTL_TIMEOUT},
		{"io.wgscale.Refused", CTL_FAILED},
		{"nonsense", CTL_FAILED},
	};
	struct text t = {0};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		struct client_reply r = {(char *)known[i].error, NULL};

		assert_int_equal(client_explain_reply(&r, &t), known[i].code);
	}
	assert_int_equal(client_explain(-ENOENT, "/x", &t), CTL_NO_DAEMON);
	assert_int_equal(client_explain(-ECONNREFUSED, "/x", &t), CTL_NO_DAEMON);
	assert_int_equal(client_explain(-EACCES, "/x", &t), CTL_PERMISSION);
	assert_int_equal(client_explain(-ETIMEDOUT, "/x", &t), CTL_TIMEOUT);
	assert_int_equal(client_explain(-ECONNRESET, "/x", &t), CTL_FAILED);
	text_reset(&t);
	client_explain(-ENOENT, "/run/wgscale/control.sock", &t);
	assert_string_equal(text_str(&t),
			    "wgscaled is not running (no socket at /run/wgscale/control.sock); "
			    "start it with: systemctl start wgscaled");
	text_done(&t);
}

static void nobody(void **state)
{
	struct scene *s = *state;
	struct client_reply reply;
	char path[200];

	assert_int_equal(client_call(s->path, "a.B", NULL, LONG_MS, &reply), -ENOENT);
	listening(s, -1); /* bound, not listening: as after a crash */
	assert_int_equal(client_call(s->path, "a.B", NULL, LONG_MS, &reply), -ECONNREFUSED);
	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(client_call(path, "a.B", NULL, LONG_MS, &reply), -ENAMETOOLONG);
}

/* A method that is not UTF-8 cannot be said. */
static void unspeakable(void **state)
{
	struct scene *s = *state;
	struct client_reply reply;

	assert_int_equal(client_call(s->path, "a.\xff", NULL, LONG_MS, &reply), -EINVAL);
}

static void no_answer(void **state)
{
	struct scene *s = *state;
	struct client_reply reply;

	assert_int_equal(call(s, LONG_MS, &reply), -ECONNRESET);
}

static void cut_short(void **state)
{
	struct scene *s = *state;
	struct client_reply reply;

	SAYS(s, "{\"parameters\":{}");
	s->len--; /* without its NUL */
	assert_int_equal(call(s, LONG_MS, &reply), -ECONNRESET);
}

static void silent(void **state)
{
	struct scene *s = *state;
	struct client_reply reply;

	SAYS(s, "{\"parameters\":{}");
	s->len--;
	s->stays = true;
	assert_int_equal(call(s, SHORT_MS, &reply), -ETIMEDOUT);
}

/* Nobody accepts, and the queue is full. */
static void full_queue(void **state)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct scene *s = *state;
	struct client_reply reply;
	int fds[8];

	listening(s, 0);
	strcpy(sa.sun_path, s->path);
	for (size_t i = 0; i < 8; i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(fds[i], (struct sockaddr *)&sa, sizeof(sa));
	}
	assert_int_equal(client_call(s->path, "a.B", NULL, SHORT_MS, &reply), -ETIMEDOUT);
	for (size_t i = 0; i < 8; i++)
		close(fds[i]);
}

static void endless_answer(void **state)
{
	struct scene *s = *state;
	struct client_reply reply;
	char *big = malloc(1 << 20);

	memset(big, ' ', 1 << 20);
	s->says = big;
	s->len = 1 << 20;
	s->endless = true;
	assert_int_equal(call(s, LONG_MS, &reply), -EMSGSIZE);
	free(big);
}

#define GARBAGE(name, text)                                               \
	static void name(void **state)                                    \
	{                                                                 \
		struct client_reply reply;                                \
		SAYS((struct scene *)*state, text);                       \
		assert_int_equal(call(*state, LONG_MS, &reply), -EPROTO); \
	}

GARBAGE(not_json, "HTTP/1.1 400 Bad Request")
GARBAGE(not_object, "[]")
GARBAGE(bad_parameters, "{\"parameters\":[]}")
GARBAGE(bad_error, "{\"error\":7}")
GARBAGE(empty, "")

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(answer),    T(error_answer), T(exit_codes),	  T(nobody),	 T(unspeakable),
		T(no_answer), T(cut_short),    T(silent),	  T(full_queue), T(endless_answer),
		T(not_json),  T(not_object),   T(bad_parameters), T(bad_error),	 T(empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
