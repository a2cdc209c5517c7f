/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * client: one call to wgscaled over its control socket.
 */
#ifndef WGSCALE_CLIENT_H
#define WGSCALE_CLIENT_H

#include <jansson.h>
#include <stddef.h>

#include "text.h"

#define CLIENT_REPLY_MAX (64u << 20) /* bytes */

struct client_reply {
	char *error;	    /* "io.wgscale.NotFound", or NULL: the call succeeded */
	json_t *parameters; /* an object */
};

/*
 * Sends one call and waits for its answer, `timeout_ms` in all. Takes over the reference to
 * `parameters` (NULL: none). 0: *ret is filled, free it with client_reply_done().
 * -ENOENT, -ECONNREFUSED: no daemon; -EACCES: may not talk to it; -ETIMEDOUT; -ECONNRESET: it
 * hung up; -EMSGSIZE, -EPROTO: what came is too long or no answer; others as of socket().
 */
int client_call(const char *socket_path, const char *method, json_t *parameters,
		unsigned int timeout_ms, struct client_reply *ret)
	__attribute__((warn_unused_result));
void client_reply_done(struct client_reply *r);

/* What to tell the user about an error of client_call(), without newline, and the exit code
 * (enum ctl_exit) that goes with it. */
int client_explain(int error, const char *socket_path, struct text *out);
/* The same for an error that the daemon answered; may be several lines. */
int client_explain_reply(const struct client_reply *r, struct text *out);

#endif
