/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: The operator's modes: a short list of who is to be in which mode, each for a peer, a lane or
 * a tunnel, and the rule by which one of them counts for a tunnel. It never looks at what the
 * kernel can do (want.c) and keeps nothing (override_file.c). Invariant: a list holds no two for
 * the same, and none with MODE_AUTO. Read next: modes.c, which goes by it.
 */
#include "override.h"

#include <errno.h>
#include <string.h>

#include "site.h"

#define HINT_PEERS 8

static const char *const scope_names[] = {"file", "peer", "lane", "tunnel"};

const char *override_scope_name(enum override_scope scope)
{
	return scope_names[scope];
}

void override_done(struct overrides *o)
{
	arena_done(&o->arena);
	memset(o, 0, sizeof(*o));
}

static bool same(const struct override *a, const struct override *b)
{
	return a->scope == b->scope && a->lane == b->lane && strcmp(a->peer, b->peer) == 0;
}

static void add(struct overrides *o, const struct override *x)
{
	struct override *slot;

	slot = arena_grow(&o->arena, (void **)&o->items, &o->n, sizeof(*slot));
	*slot = *x;
	slot->peer = arena_strdup(&o->arena, x->peer);
}

static bool knows(const struct overrides *o, const struct override *x)
{
	for (size_t i = 0; i < o->n; i++)
		if (same(&o->items[i], x))
			return true;
	return false;
}

/* ---- text ---- */

/* "wgs3" */
static int parse_lane(const char *s, unsigned int *ret)
{
	size_t len = strlen(MODEL_DEV_PREFIX);
	uint64_t v;

	if (strncmp(s, MODEL_DEV_PREFIX, len) != 0 ||
	    text_parse_u64(s + len, 0, MODEL_LANES_MAX - 1, &v))
		return -EINVAL;
	*ret = (unsigned int)v;
	return 0;
}

static int parse_line(char *line, struct override *ret)
{
	const char *scope = strsep(&line, " "), *peer, *lane, *mode;

	*ret = (struct override){.scope = OVERRIDE_FILE};
	for (int i = OVERRIDE_PEER; i <= OVERRIDE_TUNNEL; i++)
		if (strcmp(scope, scope_names[i]) == 0)
			ret->scope = (enum override_scope)i;
	peer = ret->scope == OVERRIDE_LANE ? "" : strsep(&line, " ");
	lane = ret->scope == OVERRIDE_PEER ? MODEL_DEV_PREFIX "0" : strsep(&line, " ");
	mode = strsep(&line, " ");
	if (ret->scope == OVERRIDE_FILE || !peer || !lane || !mode || line)
		return -EINVAL;
	if (ret->scope != OVERRIDE_LANE && !text_is_site_id(peer))
		return -EINVAL;
	ret->peer = peer;
	if (parse_lane(lane, &ret->lane) || model_mode_parse(mode, &ret->mode))
		return -EINVAL;
	return ret->mode == MODE_AUTO ? -EINVAL : 0;
}

void override_parse(char *text, struct overrides *ret)
{
	char *line, *save = NULL;
	struct override x;

	memset(ret, 0, sizeof(*ret));
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (!parse_line(line, &x) && !knows(ret, &x) && ret->n < OVERRIDE_MAX)
			add(ret, &x);
}

void override_print(const struct overrides *o, struct text *out)
{
	for (size_t i = 0; i < o->n; i++) {
		const struct override *x = &o->items[i];

		text_printf(out, "%s", scope_names[x->scope]);
		if (x->scope != OVERRIDE_LANE)
			text_printf(out, " %s", x->peer);
		if (x->scope != OVERRIDE_PEER)
			text_printf(out, " " MODEL_DEV_PREFIX "%u", x->lane);
		text_printf(out, " %s\n", model_mode_name(x->mode));
	}
}

/* ---- changing ---- */

int override_change(const struct overrides *from, const struct override *change,
		    struct overrides *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < from->n; i++)
		if (!same(&from->items[i], change))
			add(ret, &from->items[i]);
	if (change->mode == MODE_AUTO)
		return 0;
	if (ret->n == OVERRIDE_MAX) {
		override_done(ret);
		return -E2BIG;
	}
	add(ret, change);
	return 0;
}

static bool is_listed(const struct site *s, const char *peer)
{
	for (size_t i = 0; i < s->config->n_peers; i++)
		if (strcmp(s->config->peers[i].id, peer) == 0)
			return true;
	return false;
}

/* A peer that was refused this time may come back with the tunnels it had. */
static bool has_object(const struct site *s, const struct override *o)
{
	const struct peer *p = site_peer(s, o->peer);

	if (o->scope != OVERRIDE_LANE && !is_listed(s, o->peer))
		return false;
	if (o->scope != OVERRIDE_PEER && !site_lane(s, o->lane))
		return false;
	if (o->scope != OVERRIDE_TUNNEL || !p)
		return true;
	for (size_t t = 0; t < p->n_tunnels; t++)
		if (override_covers(o, p, &p->tunnels[t]))
			return true;
	return false;
}

void override_prune(const struct overrides *from, const struct site *s, struct overrides *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < from->n; i++)
		if (has_object(s, &from->items[i]))
			add(ret, &from->items[i]);
}

/* ---- for a tunnel ---- */

bool override_covers(const struct override *o, const struct peer *p, const struct tunnel *t)
{
	return (o->scope == OVERRIDE_LANE || strcmp(o->peer, p->id) == 0) &&
	       (o->scope == OVERRIDE_PEER || o->lane == t->ours);
}

enum mode override_mode(const struct overrides *o, const struct peer *p, const struct tunnel *t,
			enum override_scope *ret_by)
{
	enum override_scope by = OVERRIDE_FILE;
	enum mode mode = p->config->mode;

	for (size_t i = 0; i < o->n; i++)
		if (o->items[i].scope > by && override_covers(&o->items[i], p, t)) {
			by = o->items[i].scope;
			mode = o->items[i].mode;
		}
	if (ret_by)
		*ret_by = by;
	return mode;
}

/* ---- targets ---- */

static void hint_site(const struct site *s, struct text *out)
{
	for (size_t i = 0; i < s->n_peers && i < HINT_PEERS; i++)
		text_printf(out, "%s%s", i ? ", " : "peers: ", s->peers[i].id);
	if (s->n_peers > HINT_PEERS)
		text_printf(out, " and %zu more", s->n_peers - HINT_PEERS);
	text_printf(out, "%slanes: %s", s->n_peers ? "; " : "", s->lanes[0].dev);
	if (s->n_lanes > 1)
		text_printf(out, " to %s", s->lanes[s->n_lanes - 1].dev);
}

static void hint_peer(const struct peer *p, struct text *out)
{
	if (!p->n_tunnels)
		text_printf(out, "%s has no tunnels", p->id);
	else
		text_printf(out, "the tunnels of %s are %s/0 to %s/%zu", p->id, p->id, p->id,
			    p->n_tunnels - 1);
}

int override_target(const struct site *s, const char *target, struct override *ret,
		    struct text *ret_hint)
{
	const char *slash = strrchr(target, '/');
	char id[MODEL_ID_MAX + 1] = "";
	const struct peer *p;
	uint64_t index;

	*ret = (struct override){.scope = OVERRIDE_LANE, .peer = ""};
	if (!slash && !parse_lane(target, &ret->lane) && site_lane(s, ret->lane))
		return 0;
	ret->lane = 0;
	if (slash && (size_t)(slash - target) < sizeof(id))
		memcpy(id, target, (size_t)(slash - target));
	p = site_peer(s, slash ? id : target);
	if (!p) {
		hint_site(s, ret_hint);
		return -ENOENT;
	}
	ret->scope = slash ? OVERRIDE_TUNNEL : OVERRIDE_PEER;
	ret->peer = p->id;
	if (!slash)
		return 0;
	if (!p->n_tunnels || text_parse_u64(slash + 1, 0, p->n_tunnels - 1, &index)) {
		hint_peer(p, ret_hint);
		return -ENOENT;
	}
	ret->lane = p->tunnels[index].ours;
	return 0;
}
