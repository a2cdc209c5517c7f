/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: control, the socket server
 *
 * Owns the listening socket, its clients and the frames on them. Knows nothing of what the methods
 * do; never waits, never runs a method for a caller who may not call it.
 *
 * A client has at most one call at a time: what it sends meanwhile stays in its buffer, and no
 * further request is looked at before the last answer has been taken. So a client costs at most
 * one request buffer and one answer, and a pipeline of requests cannot keep the loop busy. The
 * timer of a client runs from the start of a request (or answer) to its end and is not renewed by
 * progress, so a trickle of bytes does not hold a place.
 *
 * Varlink: https://varlink.org/Method-Call. Read next: io.wgscale.varlink, service.c.
 */
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "arena.h"
#include "control.h"

#define IN_FIRST       2048 /* bytes of a client's buffer at first */
#define BACKLOG	       16
#define ACCEPT_PAUSE_S 1.0 /* when there are no file descriptors left */

#define SERVICE "org.varlink.service"

struct client {
	struct control *control;
	struct client *next, *prev;
	int fd;
	uid_t uid;
	struct ev_io rd, wr;
	struct ev_timer timer;
	char *in; /* requests not yet looked at */
	size_t in_len, in_cap;
	char *out; /* the answer being sent, or NULL */
	size_t out_len, out_at;
	struct control_call *call; /* not yet answered, or NULL */
	bool eof;		   /* it sends no more */
};

struct control {
	struct ev_loop *loop;
	int fd;
	struct ev_io accept;
	struct ev_timer pause;
	const struct control_method *methods;
	void *owner;
	char *path;
	dev_t dev; /* of the socket file, to remove only our own */
	ino_t ino;
	struct client *clients;
	unsigned int n_clients;
};

struct control_call {
	struct client *client; /* NULL: gone */
	bool oneway;
};

static const char description[] =
#include "varlink_text.h"
	;

static const char service_description[] =
	"# What every Varlink service answers.\n"
	"interface " SERVICE "\n"
	"\n"
	"method GetInfo() -> (\n"
	"  vendor: string,\n"
	"  product: string,\n"
	"  version: string,\n"
	"  url: string,\n"
	"  interfaces: []string\n"
	")\n"
	"\n"
	"method GetInterfaceDescription(interface: string) -> (description: string)\n"
	"\n"
	"error InterfaceNotFound (interface: string)\n"
	"error MethodNotFound (method: string)\n"
	"error MethodNotImplemented (method: string)\n"
	"error InvalidParameter (parameter: string)\n"
	"error PermissionDenied ()\n"
	"error ExpectedMore ()\n";

/* ---- answers ---- */

static void answer(struct control_call *call, json_t *message)
{
	struct client *c = call->client;

	if (c) {
		c->call = NULL;
		if (!call->oneway) {
			c->out = json_dumps(message, JSON_COMPACT);
			c->out_at = 0;
			c->out_len = c->out ? strlen(c->out) + 1 : 0;
			if (!c->out) { /* nothing to say: hang up */
				c->eof = true;
				c->in_len = 0;
			}
		}
		ev_timer_again(c->control->loop, &c->timer);
		ev_io_start(c->control->loop, &c->wr);
	}
	json_decref(message);
	free(call);
}

bool control_is_gone(const struct control_call *call)
{
	return !call->client;
}

void control_reply(struct control_call *call, json_t *parameters)
{
	json_t *m = json_object();

	json_object_set_new(m, "parameters", parameters ? parameters : json_object());
	answer(call, m);
}

void control_error(struct control_call *call, const char *error, json_t *parameters)
{
	json_t *m = json_object();

	json_object_set_new(m, "error", json_string(error));
	json_object_set_new(m, "parameters", parameters ? parameters : json_object());
	answer(call, m);
}

static json_t *string_json(const char *s)
{
	json_t *j = json_string(s);
	char *copy, *p;

	if (j)
		return j;
	copy = xstrdup(s);
	for (p = copy; *p; p++)
		if (*p & 0x80)
			*p = '?';
	j = json_string(copy);
	free(copy);
	return j;
}

void control_error_strings(struct control_call *call, const char *error, ...)
{
	json_t *p = json_object();
	const char *name, *value;
	va_list ap;

	va_start(ap, error);
	while ((name = va_arg(ap, const char *))) {
		value = va_arg(ap, const char *);
		json_object_set_new(p, name, string_json(value ? value : ""));
	}
	va_end(ap);
	control_error(call, error, p);
}

void control_bad_parameter(struct control_call *call, const char *parameter)
{
	control_error_strings(call, SERVICE ".InvalidParameter", "parameter", parameter, NULL);
}

/* ---- the methods every service has ---- */

static void get_info(void *owner, struct control_call *call, json_t *parameters)
{
	control_reply(call, json_pack("{s:s, s:s, s:s, s:s, s:[s, s]}", "vendor", "wgscale",
				      "product", "wgscaled", "version", WGSCALE_VERSION, "url", "",
				      "interfaces", SERVICE, "io.wgscale"));
}

static void get_description(void *owner, struct control_call *call, json_t *parameters)
{
	const char *name = json_string_value(json_object_get(parameters, "interface"));

	if (!name)
		control_bad_parameter(call, "interface");
	else if (strcmp(name, "io.wgscale") == 0)
		control_reply(call, json_pack("{s:s}", "description", description));
	else if (strcmp(name, SERVICE) == 0)
		control_reply(call, json_pack("{s:s}", "description", service_description));
	else
		control_error_strings(call, SERVICE ".InterfaceNotFound", "interface", name, NULL);
}

static const struct control_method service_methods[] = {
	{SERVICE ".GetInfo", false, get_info},
	{SERVICE ".GetInterfaceDescription", false, get_description},
	{.name = NULL},
};

/* ---- requests ---- */

static const struct control_method *find(const struct control_method *m, const char *name)
{
	for (; m->name; m++)
		if (strcmp(m->name, name) == 0)
			return m;
	return NULL;
}

/* Is there a method whose name begins with these `len` bytes and a dot? */
static bool has_interface(const struct control_method *m, const char *name, size_t len)
{
	for (; m->name; m++)
		if (strncmp(m->name, name, len) == 0 && m->name[len] == '.' &&
		    !strchr(m->name + len + 1, '.'))
			return true;
	return false;
}

static void not_found(struct control *s, struct control_call *call, const char *name)
{
	const char *dot = strrchr(name, '.');
	char *interface;

	if (!dot) {
		control_bad_parameter(call, "method");
		return;
	}
	if (has_interface(s->methods, name, dot - name) ||
	    has_interface(service_methods, name, dot - name)) {
		control_error_strings(call, SERVICE ".MethodNotFound", "method", name, NULL);
		return;
	}
	interface = xstrdup(name);
	interface[dot - name] = '\0';
	control_error_strings(call, SERVICE ".InterfaceNotFound", "interface", interface, NULL);
	free(interface);
}

static void run(struct client *c, struct control_call *call, const char *name, json_t *parameters)
{
	struct control *s = c->control;
	const struct control_method *m = find(service_methods, name);

	if (json_is_null(parameters))
		parameters = NULL;
	if (!m)
		m = find(s->methods, name);
	if (!m)
		not_found(s, call, name);
	else if (m->root && c->uid != 0)
		control_error(call, SERVICE ".PermissionDenied", NULL);
	else if (parameters && !json_is_object(parameters))
		control_bad_parameter(call, "parameters");
	else if (parameters) {
		m->call(s->owner, call, parameters);
	} else {
		parameters = json_object();
		m->call(s->owner, call, parameters);
		json_decref(parameters);
	}
}

/* A flag of a request: absent is false; -EINVAL when it is not a boolean. */
static int flag(const json_t *request, const char *name)
{
	const json_t *v = json_object_get(request, name);

	if (!v || json_is_null(v))
		return false;
	return json_is_boolean(v) ? json_is_true(v) : -EINVAL;
}

/* False: this is no request; its sender is not worth talking to. */
static bool request(struct client *c, const char *s, size_t len)
{
	json_t *r = json_loadb(s, len, JSON_REJECT_DUPLICATES, NULL);
	const char *name = json_string_value(json_object_get(r, "method"));
	/* Every answer of ours is a single one, which `more` allows. */
	int more = flag(r, "more"), oneway = flag(r, "oneway"), upgrade = flag(r, "upgrade");
	struct control_call *call;

	if (!name || more < 0 || oneway < 0 || upgrade < 0) {
		json_decref(r);
		return false;
	}
	call = xcalloc(1, sizeof(*call));
	call->client = c;
	call->oneway = oneway;
	c->call = call;
	ev_timer_stop(c->control->loop, &c->timer);
	if (upgrade)
		control_bad_parameter(call, "upgrade");
	else
		run(c, call, name, json_object_get(r, "parameters"));
	json_decref(r);
	return true;
}

/* ---- clients ---- */

static void client_drop(struct client *c)
{
	struct control *s = c->control;

	ev_io_stop(s->loop, &c->rd);
	ev_io_stop(s->loop, &c->wr);
	ev_timer_stop(s->loop, &c->timer);
	if (c->call)
		c->call->client = NULL;
	if (c->prev)
		c->prev->next = c->next;
	else
		s->clients = c->next;
	if (c->next)
		c->next->prev = c->prev;
	s->n_clients--;
	close(c->fd);
	free(c->in);
	free(c->out);
	free(c);
}

/* Looks at the next request, if it is there; the client must be without call and answer. May drop
 * the client. */
static void client_next(struct client *c)
{
	char *end = c->in_len ? memchr(c->in, '\0', c->in_len) : NULL;
	size_t len;
	char *s;

	if (!end) {
		if (c->eof || c->in_len == CONTROL_REQUEST_MAX)
			client_drop(c);
		else
			ev_io_start(c->control->loop, &c->rd);
		return;
	}
	len = end - c->in;
	s = xcalloc(1, len + 1);
	memcpy(s, c->in, len);
	c->in_len -= len + 1;
	memmove(c->in, end + 1, c->in_len);
	if (!c->eof)
		ev_io_start(c->control->loop, &c->rd);
	if (!request(c, s, len))
		client_drop(c);
	free(s);
}

static bool hung_up(int fd)
{
	struct pollfd p = {.fd = fd};

	return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR));
}

static void on_readable(struct ev_loop *loop, struct ev_io *w, int revents)
{
	struct client *c = w->data;
	ssize_t n;

	if (c->in_len == CONTROL_REQUEST_MAX) { /* the rest waits in the socket */
		ev_io_stop(loop, w);
		return;
	}
	if (c->in_len == c->in_cap) {
		c->in_cap = c->in_cap ? c->in_cap * 2 : IN_FIRST;
		if (c->in_cap > CONTROL_REQUEST_MAX)
			c->in_cap = CONTROL_REQUEST_MAX;
		c->in = xrealloc(c->in, c->in_cap, 1);
	}
	n = recv(c->fd, c->in + c->in_len, c->in_cap - c->in_len, 0);
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			client_drop(c);
		return;
	}
	c->in_len += n;
	if (n == 0) {
		c->eof = true;
		ev_io_stop(loop, w);
		/* One that only ceased to send still gets its answer. */
		if (hung_up(c->fd) && !(c->in_len && memchr(c->in, '\0', c->in_len))) {
			client_drop(c);
			return;
		}
	}
	if (!c->call && !ev_is_active(&c->wr))
		client_next(c);
}

static void on_writable(struct ev_loop *loop, struct ev_io *w, int revents)
{
	struct client *c = w->data;
	ssize_t n;

	if (c->out) {
		n = send(c->fd, c->out + c->out_at, c->out_len - c->out_at, MSG_NOSIGNAL);
		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR)
				client_drop(c);
			return;
		}
		c->out_at += n;
		if (c->out_at < c->out_len)
			return;
		free(c->out);
		c->out = NULL;
	}
	ev_io_stop(loop, w);
	ev_timer_again(loop, &c->timer);
	client_next(c);
}

static void on_timeout(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	client_drop(w->data);
}

static void client_add(struct control *s, int fd, uid_t uid)
{
	struct client *c = xcalloc(1, sizeof(*c));

	c->control = s;
	c->fd = fd;
	c->uid = uid;
	c->next = s->clients;
	if (c->next)
		c->next->prev = c;
	s->clients = c;
	s->n_clients++;
	ev_io_init(&c->rd, on_readable, fd, EV_READ);
	ev_io_init(&c->wr, on_writable, fd, EV_WRITE);
	ev_timer_init(&c->timer, on_timeout, 0, CONTROL_IDLE_S);
	c->rd.data = c->wr.data = c->timer.data = c;
	ev_io_start(s->loop, &c->rd);
	ev_timer_again(s->loop, &c->timer);
}

/* ---- the listening socket ---- */

static void on_accept(struct ev_loop *loop, struct ev_io *w, int revents)
{
	struct control *s = w->data;
	struct ucred cred;
	socklen_t len = sizeof(cred);
	unsigned int max = CONTROL_CLIENTS_MAX;
	int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			ev_io_stop(loop, w);
			ev_timer_again(loop, &s->pause);
		}
		return;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
		close(fd);
		return;
	}
	if (cred.uid != 0)
		max -= CONTROL_CLIENTS_ROOT;
	if (s->n_clients >= max)
		close(fd);
	else
		client_add(s, fd, cred.uid);
}

static void on_pause(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	struct control *s = w->data;

	ev_timer_stop(loop, w);
	ev_io_start(loop, &s->accept);
}

/* Makes way for our socket: 0 when `sa` is free now. */
static int clear_path(const struct sockaddr_un *sa)
{
	struct stat st;
	int fd, r;

	if (lstat(sa->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0 ? -errno : 0;
	close(fd);
	if (r == 0 || r == -EAGAIN) /* -EAGAIN: it has a queue, so somebody listens */
		return -EADDRINUSE;
	if (r == -ENOENT)
		return 0;
	if (r != -ECONNREFUSED)
		return r;
	return unlink(sa->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

static int set_group(const char *path, const char *group)
{
	struct group g, *found = NULL;
	char buf[16384];

	if (!group || getgrnam_r(group, &g, buf, sizeof(buf), &found) != 0 || !found)
		return 0;
	return lchown(path, -1, g.gr_gid) < 0 ? -errno : 0;
}

/* Nobody can connect before listen(), so mode and group are in place by then. */
static int listen_on(struct control *s, const char *path, const char *group)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct stat st;
	int r;

	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	strcpy(sa.sun_path, path);
	r = clear_path(&sa);
	if (r < 0)
		return r;
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	s->path = xstrdup(path);
	if (lstat(path, &st) < 0)
		return -errno;
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	r = set_group(path, group);
	if (r < 0)
		return r;
	if (chmod(path, 0660) < 0 || listen(s->fd, BACKLOG) < 0)
		return -errno;
	return 0;
}

int control_open(struct ev_loop *loop, const char *path, const char *group,
		 const struct control_method *methods, void *owner, struct control **ret_control)
{
	struct control *s = xcalloc(1, sizeof(*s));
	int r;

	s->loop = loop;
	s->methods = methods;
	s->owner = owner;
	s->fd = -1;
	ev_io_init(&s->accept, on_accept, -1, EV_READ);
	ev_timer_init(&s->pause, on_pause, 0, ACCEPT_PAUSE_S);
	s->accept.data = s->pause.data = s;
	r = listen_on(s, path, group);
	if (r < 0) {
		control_close(s);
		return r;
	}
	ev_io_set(&s->accept, s->fd, EV_READ);
	ev_io_start(loop, &s->accept);
	*ret_control = s;
	return 0;
}

void control_close(struct control *s)
{
	struct stat st;

	if (!s)
		return;
	while (s->clients)
		client_drop(s->clients);
	ev_io_stop(s->loop, &s->accept);
	ev_timer_stop(s->loop, &s->pause);
	if (s->fd >= 0)
		close(s->fd);
	if (s->path && lstat(s->path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino)
		unlink(s->path);
	free(s->path);
	free(s);
}
