/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * control: the socket server. Framing, peers' credentials and bounds are here; what the methods
 * do is not (see service.h).
 *
 * Varlink: NUL-terminated JSON objects. Interface: io.wgscale.varlink, which is also what
 * org.varlink.service.GetInterfaceDescription returns (it is compiled in).
 */
#ifndef WGSCALE_CONTROL_H
#define WGSCALE_CONTROL_H

#include <jansson.h>
#include <stdbool.h>

struct ev_loop;
struct control;
struct control_call;

#define CONTROL_REQUEST_MAX  (64 * 1024) /* bytes; more: the client is dropped */
#define CONTROL_CLIENTS_MAX  64
#define CONTROL_CLIENTS_ROOT 8 /* of these, kept for uid 0: readers cannot lock it out */
/* A client has this long to send a whole request, and as long to take a whole answer; else it is
 * dropped. Waiting for an answer is not limited here. */
#define CONTROL_IDLE_S 30

/* `parameters` is an object, never NULL, and borrowed: take a reference to keep it. A method may
 * answer before it returns or at any time later. */
struct control_method {
	const char *name; /* "io.wgscale.Status" */
	bool root;	  /* uid 0 only; else org.varlink.service.PermissionDenied */
	void (*call)(void *owner, struct control_call *call, json_t *parameters);
};

/*
 * Listens on `path` (mode 0660, group `group` if it exists; NULL: none); `methods` ends with a
 * NULL name and must outlive the control. Replaces a stale socket; -EADDRINUSE when another
 * daemon answers on it, -EEXIST when `path` is something else than a socket. A socket handed over
 * by the service manager is not used.
 */
int control_open(struct ev_loop *loop, const char *path, const char *group,
		 const struct control_method *methods, void *owner, struct control **ret_control)
	__attribute__((warn_unused_result));
/* Drops all clients and removes the socket. Calls not yet answered must still be. */
void control_close(struct control *c);

/* Each call is answered exactly once, now or later; both take over the reference to the JSON.
 * NULL parameters: an empty object. A call whose client has gone is answered into nothing. */
void control_reply(struct control_call *call, json_t *parameters);
void control_error(struct control_call *call, const char *error, json_t *parameters);
/* Its client has hung up; it must be answered all the same. */
bool control_is_gone(const struct control_call *call);
/* io.wgscale.Refused etc. with string members: name, value, ..., NULL. Bytes that are not UTF-8
 * become "?". */
void control_error_strings(struct control_call *call, const char *error, ...)
	__attribute__((sentinel));
/* org.varlink.service.InvalidParameter */
void control_bad_parameter(struct control_call *call, const char *parameter);

#endif
