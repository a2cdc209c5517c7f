/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * render: answers of the daemon -> text for people. Pure; golden tests: tests/golden/render.
 *
 * `reply` is the parameters object of an answer. A member that is missing or of another type
 * reads as empty: the daemon may be of another version. Everything taken from it goes through
 * render_clean().
 */
#ifndef WGSCALE_RENDER_H
#define WGSCALE_RENDER_H

#include <jansson.h>
#include <stdbool.h>

#include "text.h"

/* Appends `s` with "?" for what could drive a terminal: control characters, direction overrides,
 * bytes that are not UTF-8. `len` bytes; a newline is kept only when `lines`. */
void render_clean(struct text *out, const char *s, size_t len, bool lines);

/* Each appends whole lines. */
void render_status(const json_t *reply, bool colour, struct text *out);
/* The same with the tunnels of each peer in it. */
void render_peers(const json_t *reply, bool colour, struct text *out);
void render_plan(const json_t *reply, bool colour, struct text *out);
void render_reload(const json_t *reply, bool colour, struct text *out);
void render_where(const json_t *reply, bool colour, struct text *out);
void render_ping(const json_t *reply, bool colour, struct text *out);
void render_traffic(const json_t *reply, bool colour, struct text *out);
void render_mode(const json_t *reply, bool colour, struct text *out);
void render_down(const json_t *reply, bool colour, struct text *out);
/* Of a status answer: whose networks nothing keeps from leaving in clear any more after `down`. */
void render_exposed(const json_t *reply, bool colour, struct text *out);

/* Without a newline at the end. */
void render_error(const char *error, const json_t *parameters, struct text *out);

#endif
