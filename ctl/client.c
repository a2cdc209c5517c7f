/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: client, one call to wgscaled
 *
 * Owns the connection for the time of one call, and the words for what can go wrong with it.
 * Prints nothing. Whatever the other side does, a call ends by its deadline and holds no more
 * than CLIENT_REPLY_MAX bytes.
 *
 * Read next: ../daemon/control.h (the other side), commands.c (who calls).
 */
#include "client.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "arena.h"
#include "ctl.h"
#include "render.h"

#define IN_FIRST 4096

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* 0 when fd is ready, -ETIMEDOUT at the deadline. */
static int wait_for(int fd, short events, int64_t deadline)
{
	struct pollfd p = {.fd = fd, .events = events};
	int64_t left;
	int r;

	for (;;) {
		left = deadline - now_ms();
		if (left <= 0)
			return -ETIMEDOUT;
		r = poll(&p, 1, left > 60000 ? 60000 : (int)left);
		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
	}
}

/* A full queue at the other side makes connect() wait: the send timeout bounds that too. */
static int dial(const char *path, unsigned int timeout_ms)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct timeval tv = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
	int fd, r = 0;

	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	strcpy(sa.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0 ||
	    connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		r = errno == EAGAIN ? -ETIMEDOUT : -errno;
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

static int send_all(int fd, const char *p, size_t len, int64_t deadline)
{
	ssize_t n;
	int r;

	while (len) {
		n = send(fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0) {
			p += n;
			len -= n;
		} else if (errno == EAGAIN) {
			r = wait_for(fd, POLLOUT, deadline);
			if (r < 0)
				return r;
		} else if (errno != EINTR) {
			return errno == EPIPE ? -ECONNRESET : -errno;
		}
	}
	return 0;
}

/* Reads up to the first NUL byte; what follows it was not asked for. */
static int receive(int fd, int64_t deadline, char **ret, size_t *ret_len)
{
	size_t cap = IN_FIRST, len = 0;
	char *buf = xcalloc(1, cap), *end = NULL;
	ssize_t n;
	int r = 0;

	while (!end) {
		if (len == cap && cap >= CLIENT_REPLY_MAX) {
			r = -EMSGSIZE;
			break;
		}
		if (len == cap) {
			cap *= 2;
			buf = xrealloc(buf, cap, 1);
		}
		r = wait_for(fd, POLLIN, deadline);
		if (r < 0)
			break;
		n = recv(fd, buf + len, cap - len, MSG_DONTWAIT);
		if (n == 0) {
			r = -ECONNRESET;
			break;
		}
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			r = -errno;
			break;
		}
		if (n > 0) {
			end = memchr(buf + len, '\0', n);
			len += n;
		}
	}
	if (r < 0) {
		free(buf);
		return r;
	}
	*ret = buf;
	*ret_len = end - buf;
	return 0;
}

static int parse(const char *s, size_t len, struct client_reply *ret)
{
	json_t *m = json_loadb(s, len, 0, NULL);
	json_t *p = json_object_get(m, "parameters"), *e = json_object_get(m, "error");

	if (!json_is_object(m) || (p && !json_is_object(p)) || (e && !json_is_string(e))) {
		json_decref(m);
		return -EPROTO;
	}
	ret->error = e ? xstrdup(json_string_value(e)) : NULL;
	ret->parameters = p ? json_incref(p) : json_object();
	json_decref(m);
	return 0;
}

int client_call(const char *socket_path, const char *method, json_t *parameters,
		unsigned int timeout_ms, struct client_reply *ret)
{
	int64_t deadline = now_ms() + timeout_ms;
	char *request, *reply = NULL;
	size_t len = 0;
	json_t *m;
	int fd, r;

	m = json_pack("{s:s, s:o}", "method", method, "parameters",
		      parameters ? parameters : json_object());
	request = m ? json_dumps(m, JSON_COMPACT) : NULL;
	json_decref(m);
	if (!request)
		return -EINVAL;
	fd = dial(socket_path, timeout_ms);
	r = fd < 0 ? fd : send_all(fd, request, strlen(request) + 1, deadline);
	if (r == 0)
		r = receive(fd, deadline, &reply, &len);
	if (fd >= 0)
		close(fd);
	if (r == 0)
		r = parse(reply, len, ret);
	free(request);
	free(reply);
	return r;
}

void client_reply_done(struct client_reply *r)
{
	free(r->error);
	json_decref(r->parameters);
	*r = (struct client_reply){0};
}

int client_explain(int error, const char *socket_path, struct text *out)
{
	switch (-error) {
	case ENOENT:
		text_printf(out,
			    "wgscaled is not running (no socket at %s); start it with: "
			    "systemctl start wgscaled",
			    socket_path);
		return CTL_NO_DAEMON;
	case ECONNREFUSED:
		text_printf(out,
			    "wgscaled is not running (nobody listens at %s); start it with: "
			    "systemctl start wgscaled",
			    socket_path);
		return CTL_NO_DAEMON;
	case EACCES:
	case EPERM:
		text_printf(out,
			    "no permission to talk to wgscaled at %s; it takes root, or for "
			    "reading a member of the socket's group",
			    socket_path);
		return CTL_PERMISSION;
	case ETIMEDOUT:
		text_printf(out, "wgscaled did not answer in time; see: journalctl -u wgscaled");
		return CTL_TIMEOUT;
	case ECONNRESET:
		text_printf(out, "wgscaled closed the connection without an answer; it may be "
				 "stopping, or serving too many clients");
		return CTL_FAILED;
	case EMSGSIZE:
	case EPROTO:
		text_printf(out, "what answers at %s does not speak the protocol of wgscaled",
			    socket_path);
		return CTL_FAILED;
	default:
		text_printf(out, "cannot talk to wgscaled at %s: %s", socket_path,
			    strerror(-error));
		return CTL_FAILED;
	}
}

int client_explain_reply(const struct client_reply *r, struct text *out)
{
	render_error(r->error, r->parameters, out);
	if (strcmp(r->error, "org.varlink.service.PermissionDenied") == 0)
		return CTL_PERMISSION;
	if (strcmp(r->error, "io.wgscale.TimedOut") == 0)
		return CTL_TIMEOUT;
	return CTL_FAILED;
}
