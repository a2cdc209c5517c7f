/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: render, answers of the daemon as text for people
 *
 * Owns the look of everything that wgscalectl prints on a terminal; the cells and columns are in
 * table.c. Never writes to a file and never trusts what it is given: names come from other sites,
 * texts from the kernel. The invariant: what it adds to a text holds no control character but
 * newlines and, with `colour`, our own colours.
 *
 * Read next: ../daemon/io.wgscale.varlink (what the answers look like).
 */
#include "render.h"

#include <inttypes.h>
#include <string.h>

#include "table.h"

#define PENDING_SHOWN  10
#define NETWORKS_SHOWN 8
#define BUCKETS	       1024

#define GREEN  "\033[32m"
#define YELLOW "\033[33m"
#define RED    "\033[31m"
#define DIM    "\033[2m"
#define BOLD   "\033[1m"
#define RESET  "\033[0m"

/* ---- safe text ---- */

/* Bytes of the UTF-8 sequence at s (not beyond len) and its code point; 0: not UTF-8. */
static size_t decode(const unsigned char *s, size_t len, uint32_t *ret)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	uint32_t c;

	if (n == 0 || n > len || s[0] > 0xf4)
		return 0;
	c = n == 1 ? s[0] : s[0] & (0x7f >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if ((n == 3 && c < 0x800) || (n == 4 && c < 0x10000) || c > 0x10ffff ||
	    (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret = c;
	return n;
}

/* C0, DEL, C1; line separators; what changes the direction of writing. */
static bool harmful(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x200e || c == 0x200f || c == 0x61c ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

void render_clean(struct text *out, const char *s, size_t len, bool lines)
{
	uint32_t c = 0;
	size_t n;

	for (; len; s += n, len -= n) {
		n = decode((const unsigned char *)s, len, &c);
		if (n && (!harmful(c) || (lines && c == '\n'))) {
			text_append(out, s, n);
		} else {
			text_append(out, "?", 1);
			n = n ? n : 1;
		}
	}
}

static void clean(struct text *out, const char *s)
{
	render_clean(out, s, strlen(s), false);
}

/* ---- members of an answer ---- */

static const char *str(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? s : "";
}

static json_int_t num(const json_t *o, const char *name)
{
	return json_integer_value(json_object_get(o, name));
}

static bool has(const json_t *o, const char *name)
{
	json_t *v = json_object_get(o, name);

	return v && !json_is_null(v);
}

static bool yes(const json_t *o, const char *name)
{
	return json_is_true(json_object_get(o, name));
}

static const char *item(const json_t *list, size_t i)
{
	const char *s = json_string_value(json_array_get(list, i));

	return s ? s : "";
}

/* ---- values ---- */

static void count(struct text *out, json_int_t n, const char *one, const char *many)
{
	text_printf(out, "%" JSON_INTEGER_FORMAT " %s", n, n == 1 ? one : many);
}

/* Three digits and a unit: "1.23 Gb/s"; each unit is `step` of the one before. */
static void scaled(struct text *out, json_int_t v, json_int_t step, const char *const *units)
{
	json_int_t tenths;
	size_t u = 0;

	if (v < 0)
		v = 0;
	if (v < step) {
		text_printf(out, "%" JSON_INTEGER_FORMAT " %s", v, units[0]);
		return;
	}
	while (v >= step * step && units[u + 2]) {
		v /= step;
		u++;
	}
	/* v is in units[u] and becomes units[u + 1]; 9.96 rounds down: it is a display */
	tenths = v * 10 / step;
	if (tenths < 100)
		text_printf(out, "%" JSON_INTEGER_FORMAT ".%02d %s", v / step,
			    (int)(v * 100 / step % 100), units[u + 1]);
	else if (tenths < 1000)
		text_printf(out, "%" JSON_INTEGER_FORMAT ".%d %s", tenths / 10, (int)(tenths % 10),
			    units[u + 1]);
	else
		text_printf(out, "%" JSON_INTEGER_FORMAT " %s", tenths / 10, units[u + 1]);
}

static void rate(struct text *out, json_int_t bps)
{
	static const char *const units[] = {"b/s", "kb/s", "Mb/s", "Gb/s", "Tb/s", NULL};

	scaled(out, bps, 1000, units);
}

static void bytes(struct text *out, json_int_t n)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", NULL};

	scaled(out, n, 1024, units);
}

static void age(struct text *out, json_int_t s)
{
	if (s < 120)
		text_printf(out, "%" JSON_INTEGER_FORMAT " s", s);
	else if (s < 2 * 3600)
		text_printf(out, "%" JSON_INTEGER_FORMAT " min", s / 60);
	else if (s < 2 * 86400)
		text_printf(out, "%" JSON_INTEGER_FORMAT " h", s / 3600);
	else
		text_printf(out, "%" JSON_INTEGER_FORMAT " d", s / 86400);
}

static void rtt(struct text *out, const json_t *o)
{
	json_int_t us = num(o, "rtt_us");

	if (!has(o, "rtt_us"))
		text_printf(out, "-");
	else if (us < 10000)
		text_printf(out, "%d.%02d ms", (int)(us / 1000), (int)(us % 1000 / 10));
	else
		text_printf(out, "%" JSON_INTEGER_FORMAT " ms", us / 1000);
}

static const char *state_colour(const char *state)
{
	if (strcmp(state, "up") == 0)
		return GREEN;
	if (strcmp(state, "down") == 0)
		return RED;
	if (strcmp(state, "standby") == 0)
		return DIM;
	return YELLOW;
}

static void coloured(struct text *out, bool colour, const char *code, const char *s)
{
	if (colour)
		text_printf(out, "%s", code);
	clean(out, s);
	if (colour)
		text_printf(out, RESET);
}

/* "word: text" for each of a list, at most `max`; 0: all. */
static void lines(struct text *out, bool colour, const char *code, const char *word,
		  const json_t *list, size_t max, const char *more)
{
	size_t n = json_array_size(list), shown = max && n > max ? max : n;

	for (size_t i = 0; i < shown; i++) {
		coloured(out, colour, code, word);
		text_printf(out, ": ");
		clean(out, item(list, i));
		text_printf(out, "\n");
	}
	if (n > shown)
		text_printf(out, "%s: and %zu more: %s\n", word, n - shown, more);
}

static void networks(struct text *out, const json_t *list, size_t max)
{
	size_t n = json_array_size(list), shown = n > max ? max : n;

	for (size_t i = 0; i < shown; i++) {
		text_printf(out, "%s", i ? ", " : "");
		clean(out, item(list, i));
	}
	if (n > shown)
		text_printf(out, " and %zu more", n - shown);
	if (!n)
		text_printf(out, "none");
}

/* ---- status ---- */

static void site_line(const json_t *r, bool colour, struct text *out)
{
	const char *kernel = str(r, "kernel");

	coloured(out, colour, BOLD, str(r, "site"));
	text_printf(out, "  ");
	coloured(out, colour, state_colour(str(r, "state")), str(r, "state"));
	text_printf(out, ", ");
	count(out, num(r, "lanes"), "lane", "lanes");
	text_printf(out, ", ");
	count(out, (json_int_t)json_array_size(json_object_get(r, "peers")), "peer", "peers");
	text_printf(out, yes(r, "settled") ? ", settled" : ", not settled");
	if (num(r, "leaving")) {
		text_printf(out, ", ");
		count(out, num(r, "leaving"), "old tunnel", "old tunnels");
		text_printf(out, " leaving");
	}
	if (has(r, "confirm_s"))
		text_printf(out, ", unconfirmed: undone in %" JSON_INTEGER_FORMAT " s",
			    num(r, "confirm_s"));
	text_printf(out, "; kernel ");
	clean(out, *kernel ? kernel : "unknown");
	text_printf(out, strcmp(str(r, "inline"), "available") == 0 ? ", inline module\n" : "\n");
}

/* "degraded: tunnel 2 never shook hands, 203.0.113.7:21822" */
static void peer_text(const json_t *p, bool colour, bool all, struct text *out)
{
	json_t *problems = json_object_get(p, "problems");
	size_t n = json_array_size(problems);
	const char *state = str(p, "state");

	coloured(out, colour, state_colour(state), state);
	if (strcmp(str(p, "traffic_by"), "command") == 0)
		text_printf(out, strcmp(str(p, "traffic"), "off") == 0 ? " by command"
								       : ", active by command");
	if (yes(p, "plain"))
		text_printf(out, ", plain WireGuard");
	if (n && !all) {
		text_printf(out, ": ");
		clean(out, item(problems, 0));
		if (n > 1)
			text_printf(out, "; and %zu more", n - 1);
		return;
	}
	text_printf(out, ", rx ");
	rate(out, num(p, "rx_bps"));
	text_printf(out, ", tx ");
	rate(out, num(p, "tx_bps"));
}

static void peer_row(struct table *t, const json_t *p, bool colour, bool all)
{
	clean(table_cell(t), str(p, "id"));
	text_printf(table_cell(t), "%" JSON_INTEGER_FORMAT "/%" JSON_INTEGER_FORMAT,
		    num(p, "usable"), num(p, "tunnels"));
	peer_text(p, colour, all, table_cell(t));
}

static void remarks(const json_t *r, bool colour, struct text *out)
{
	lines(out, colour, YELLOW, "notice", json_object_get(r, "notices"), 0, "");
	lines(out, colour, YELLOW, "pending", json_object_get(r, "pending"), PENDING_SHOWN,
	      "wgscalectl plan");
	lines(out, colour, RED, "stuck", json_object_get(r, "stuck"), 0, "");
}

void render_status(const json_t *reply, bool colour, struct text *out)
{
	struct table t = {.columns = 3};
	json_t *peers = json_object_get(reply, "peers"), *p;
	size_t i;

	site_line(reply, colour, out);
	json_array_foreach(peers, i, p) peer_row(&t, p, colour, false);
	table_print(&t, " ", out);
	table_done(&t);
	remarks(reply, colour, out);
}

/* "inline", "vanilla>inline" while it changes; with whose word it is unless the file's. */
static void mode(struct text *out, const json_t *n)
{
	const char *now = str(n, "mode"), *next = str(n, "mode_set"), *by = str(n, "mode_by");

	clean(out, now);
	if (*next && strcmp(now, next) != 0) {
		text_printf(out, ">");
		clean(out, next);
	}
	if (!*by || strcmp(by, "file") == 0)
		return;
	text_printf(out, " (by ");
	clean(out, by);
	text_printf(out, ")");
}

static void tunnel_row(struct table *t, const json_t *n, bool colour)
{
	const char *endpoint = str(n, "endpoint"), *state = str(n, "state");
	json_int_t buckets = num(n, "buckets");

	text_printf(table_cell(t), "%" JSON_INTEGER_FORMAT, num(n, "index"));
	text_printf(table_cell(t), "%" JSON_INTEGER_FORMAT ">%" JSON_INTEGER_FORMAT, num(n, "lane"),
		    num(n, "theirs"));
	clean(table_cell(t), *endpoint ? endpoint : "-");
	if (colour)
		table_colour(t, state_colour(state));
	clean(table_cell(t), state);
	if (has(n, "handshake_age_s"))
		age(table_cell(t), num(n, "handshake_age_s"));
	else
		text_printf(table_cell(t), "never");
	rtt(table_cell(t), n);
	text_printf(table_cell(t), "%" JSON_INTEGER_FORMAT " %%", num(n, "loss_percent"));
	rate(table_cell(t), num(n, "rx_bps"));
	rate(table_cell(t), num(n, "tx_bps"));
	bytes(table_cell(t), num(n, "rx_bytes"));
	bytes(table_cell(t), num(n, "tx_bytes"));
	text_printf(table_cell(t), "%d.%d %%", (int)(buckets * 100 / BUCKETS),
		    (int)(buckets * 1000 / BUCKETS % 10));
	mode(table_cell(t), n);
}

static void tunnels(const json_t *p, bool colour, struct text *out)
{
	static const char *const heads[] = {"TUNNEL", "LANE",  "ENDPOINT", "STATE", "HANDSHAKE",
					    "RTT",    "LOSS",  "RX",	   "TX",    "RECEIVED",
					    "SENT",   "SHARE", "MODE"};
	json_t *detail = json_object_get(p, "detail"), *n;
	struct table t = {.columns = 13};
	size_t i;

	if (!json_array_size(detail))
		return;
	for (i = 0; i < t.columns; i++) {
		t.right[i] = i != 2 && i != 3 && i != 12;
		text_printf(table_cell(&t), "%s", heads[i]);
	}
	json_array_foreach(detail, i, n) tunnel_row(&t, n, colour);
	table_print(&t, "  ", out);
	table_done(&t);
}

void render_peers(const json_t *reply, bool colour, struct text *out)
{
	json_t *peers = json_object_get(reply, "peers"), *p;
	size_t i;

	json_array_foreach(peers, i, p)
	{
		struct table t = {.columns = 3};

		if (i)
			text_printf(out, "\n");
		peer_row(&t, p, colour, true);
		table_print(&t, " ", out);
		table_done(&t);
		text_printf(out, "networks: ");
		networks(out, json_object_get(p, "networks"), NETWORKS_SHOWN);
		text_printf(out, "\nmtu %" JSON_INTEGER_FORMAT "; received ", num(p, "mtu"));
		bytes(out, num(p, "rx_bytes"));
		text_printf(out, ", sent ");
		bytes(out, num(p, "tx_bytes"));
		text_printf(out, "\n");
		lines(out, colour, YELLOW, "problem", json_object_get(p, "problems"), 0, "");
		tunnels(p, colour, out);
	}
}

/* ---- the other answers ---- */

void render_plan(const json_t *reply, bool colour, struct text *out)
{
	json_t *ops = json_object_get(reply, "ops");
	json_int_t leaving = num(reply, "leaving");

	for (size_t i = 0; i < json_array_size(ops); i++) {
		clean(out, item(ops, i));
		text_printf(out, "\n");
	}
	if (!json_array_size(ops))
		text_printf(out, "nothing to change\n");
	if (leaving) {
		count(out, leaving, "old tunnel waits", "old tunnels wait");
		text_printf(out, " for %s to be quiet\n",
			    leaving == 1 ? "its lane" : "their lanes");
	}
}

static void applied(const json_t *reply, struct text *out)
{
	if (num(reply, "ops")) {
		count(out, num(reply, "ops"), "change", "changes");
		text_printf(out, " made");
	} else {
		text_printf(out, "nothing to change");
	}
	text_printf(out, yes(reply, "settled") ? "\n" : ", not settled: see wgscalectl status\n");
}

void render_reload(const json_t *reply, bool colour, struct text *out)
{
	json_t *warnings = json_object_get(reply, "warnings");

	for (size_t i = 0; i < json_array_size(warnings); i++) {
		clean(out, item(warnings, i));
		text_printf(out, "\n");
	}
	applied(reply, out);
}

void render_down(const json_t *reply, bool colour, struct text *out)
{
	applied(reply, out);
}

static void way(const json_t *w, const char *none, struct text *out)
{
	if (!json_is_object(w)) {
		text_printf(out, "%s\n", none);
		return;
	}
	text_printf(out, "tunnel %" JSON_INTEGER_FORMAT ", lane %" JSON_INTEGER_FORMAT " (",
		    num(w, "tunnel"), num(w, "lane"));
	clean(out, str(w, "device"));
	text_printf(out, ")\n");
}

void render_where(const json_t *reply, bool colour, struct text *out)
{
	bool in = strcmp(str(reply, "direction"), "in") == 0;

	text_printf(out, in ? "from " : "to ");
	clean(out, str(reply, "peer"));
	text_printf(out, ", bucket %" JSON_INTEGER_FORMAT "\nout   ", num(reply, "bucket"));
	way(json_object_get(reply, "out"), "no tunnel: unreachable", out);
	text_printf(out, "back  ");
	way(json_object_get(reply, "back"), "not known", out);
}

void render_ping(const json_t *reply, bool colour, struct text *out)
{
	struct table t = {.columns = 5};
	json_t *all = json_object_get(reply, "tunnels"), *n;
	size_t i;

	t.right[1] = t.right[4] = true;
	json_array_foreach(all, i, n)
	{
		json_int_t sent = num(n, "sent"), received = num(n, "received");

		text_printf(table_cell(&t), "tunnel");
		text_printf(table_cell(&t), "%" JSON_INTEGER_FORMAT, num(n, "tunnel"));
		clean(table_cell(&t), str(n, "device"));
		if (colour)
			table_colour(&t, received == sent ? GREEN : received ? YELLOW : RED);
		text_printf(table_cell(&t),
			    "%" JSON_INTEGER_FORMAT "/%" JSON_INTEGER_FORMAT " answered", received,
			    sent);
		rtt(table_cell(&t), n);
	}
	table_print(&t, "  ", out);
	table_done(&t);
}

void render_traffic(const json_t *reply, bool colour, struct text *out)
{
	bool off = strcmp(str(reply, "traffic"), "off") == 0;

	text_printf(out, "%s%s\n",
		    off ? "standby: tunnels stay up, traffic goes the host's other ways"
			: "active: its networks are reached through the tunnels",
		    yes(reply, "settled") ? "" : "; not settled: see wgscalectl status");
}

void render_mode(const json_t *reply, bool colour, struct text *out)
{
	json_int_t inlined = num(reply, "inline"), vanilla = num(reply, "vanilla");

	clean(out, str(reply, "target"));
	text_printf(out, ": ");
	if (!inlined && !vanilla) {
		text_printf(out, "no tunnel");
	} else {
		count(out, inlined ? inlined : vanilla, "tunnel", "tunnels");
		text_printf(out, inlined ? " inline" : " vanilla");
	}
	if (inlined && vanilla)
		text_printf(out, ", %" JSON_INTEGER_FORMAT " vanilla", vanilla);
	if (has(reply, "why")) {
		text_printf(out, "; ");
		clean(out, str(reply, "why"));
	}
	text_printf(out, yes(reply, "settled") ? "\n" : "; not settled: see wgscalectl status\n");
}

void render_exposed(const json_t *reply, bool colour, struct text *out)
{
	struct table t = {.columns = 2};
	json_t *peers = json_object_get(reply, "peers"), *p;
	size_t i;

	json_array_foreach(peers, i, p)
	{
		if (strcmp(str(p, "traffic"), "off") == 0)
			continue;
		text_printf(table_cell(&t), "  ");
		clean(table_last(&t), str(p, "id"));
		networks(table_cell(&t), json_object_get(p, "networks"), 64);
	}
	if (!t.n) {
		text_printf(out, "This takes all tunnels down. No peer carries traffic.\n");
	} else {
		text_printf(out, "This takes all tunnels down. Nothing will keep packets for these "
				 "networks from leaving in clear:\n");
		table_print(&t, "  ", out);
	}
	table_done(&t);
}

/* ---- errors ---- */

static void error_parts(const json_t *p, const char *lead, const char *what, struct text *out)
{
	const char *hint = str(p, "hint");

	text_printf(out, "%s", lead);
	clean(out, str(p, what));
	if (*hint) {
		text_printf(out, "; ");
		clean(out, hint);
	}
}

void render_error(const char *error, const json_t *p, struct text *out)
{
	static const char wgscale[] = "io.wgscale.", service[] = "org.varlink.service.";
	const char *name = strrchr(error, '.') ? strrchr(error, '.') + 1 : error;
	json_t *diagnoses = json_object_get(p, "diagnoses");

	if (strncmp(error, wgscale, strlen(wgscale)) == 0) {
		if (strcmp(name, "NotFound") == 0)
			error_parts(p, "not found: ", "what", out);
		else if (strcmp(name, "Refused") == 0)
			error_parts(p, "refused: ", "reason", out);
		else if (strcmp(name, "TimedOut") == 0)
			error_parts(p, "timed out; the state is: ", "state", out);
		else if (strcmp(name, "Busy") == 0)
			error_parts(p, "busy: ", "what", out);
		else if (strcmp(name, "InvalidConfiguration") == 0) {
			text_printf(out, "the configuration is refused:");
			for (size_t i = 0; i < json_array_size(diagnoses); i++) {
				text_printf(out, "\n");
				clean(out, item(diagnoses, i));
			}
		} else
			error_parts(p, "wgscaled says: ", "reason", out);
	} else if (strcmp(name, "PermissionDenied") == 0) {
		text_printf(out, "this takes root");
	} else if (strcmp(name, "InvalidParameter") == 0) {
		error_parts(p, "wgscaled does not take this ", "parameter", out);
	} else if (strncmp(error, service, strlen(service)) == 0) {
		text_printf(out, "wgscaled does not understand this (");
		clean(out, name);
		text_printf(out, "); are both of one version? wgscalectl version");
	} else {
		text_printf(out, "wgscaled says: ");
		clean(out, error);
	}
}
