/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: The operator's word on modes: keeps it with the daemon and on disk, says what comes of it
 * for each tunnel, and what cannot come of it on this host. Which word counts is override.c's,
 * making it so the pass's. Invariant: what counts is on disk; what could not be stored is refused.
 */
#include "daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "override_file.h"

#define WAIT_S 120.

void modes_open(struct daemon *d)
{
	int err = override_file_read(&d->paths, &d->modes);

	if (err)
		log_line(LOG_ERR,
			 "cannot read %s/modes: %s; tunnels are in the modes of the site file",
			 d->paths.state_dir, strerror(-err));
}

/* Stored first, so that nothing counts that a restart would forget. */
static int replace(struct daemon *d, struct overrides *fresh)
{
	int err = override_file_write(&d->paths, fresh);

	if (err) {
		override_done(fresh);
		return err;
	}
	override_done(&d->modes);
	d->modes = *fresh;
	return 0;
}

void modes_accepted(struct daemon *d)
{
	struct overrides fresh;
	size_t gone;
	int err;

	override_prune(&d->modes, d->g->site, &fresh);
	gone = d->modes.n - fresh.n;
	if (!gone) {
		override_done(&fresh);
		return;
	}
	err = replace(d, &fresh);
	if (err)
		log_line(LOG_WARNING, "cannot write %s/modes: %s; modes of what is gone stay in it",
			 d->paths.state_dir, strerror(-err));
	else
		log_line(LOG_NOTICE, "forgot %zu modes of what is not there any more", gone);
}

/* ---- what is said of them ---- */

const char *modes_inline(const struct daemon *d)
{
	const struct facts *f = reconcile_facts(d->reconcile);

	if (!d->observed)
		return NULL;
	return !f->modes ? "missing" : f->inline_refused ? "refused" : "available";
}

/* The strongest wish that a tunnel has. */
static enum mode strongest(const struct daemon *d)
{
	enum mode wish = MODE_VANILLA;

	for (size_t i = 0; i < d->g->site->n_peers; i++) {
		const struct peer *p = &d->g->site->peers[i];

		for (size_t t = 0; t < p->n_tunnels; t++) {
			enum mode mode = override_mode(&d->modes, p, &p->tunnels[t], NULL);

			if (mode == MODE_INLINE)
				return mode;
			if (mode == MODE_AUTO)
				wish = mode;
		}
	}
	return wish;
}

bool modes_notice(const struct daemon *d, struct text *out)
{
	const char *is = modes_inline(d);
	enum mode wish = strongest(d);

	if (d->down || !is || strcmp(is, "available") == 0 || wish == MODE_VANILLA)
		return false;
	text_printf(out, "%s: %s, all tunnels vanilla",
		    wish == MODE_INLINE ? "mode inline is asked for and cannot be had" : "inline",
		    strcmp(is, "missing") == 0 ? "module not loaded"
					       : "this kernel cannot do it (PREEMPT_RT)");
	return true;
}

static void set(json_t *o, const char *name, const char *value)
{
	json_object_set_new(o, name, json_string(value));
}

void modes_json(const struct daemon *d, size_t peer, size_t index, json_t *o)
{
	const struct peer *p = &d->g->site->peers[peer];
	const struct tunnel_run *run = &d->g->peers[peer].tunnels[index];
	enum override_scope by;

	set(o, "mode_wish", model_mode_name(override_mode(&d->modes, p, &p->tunnels[index], &by)));
	set(o, "mode_by", override_scope_name(by));
	set(o, "mode_set", model_mode_name(run->mode));
	set(o, "mode", model_mode_name(run->mode_in_force));
	json_object_set_new(o, "switches", json_integer((json_int_t)run->switches));
}

/* ---- SetMode ---- */

/* An answer that waits for the end of a pass. */
struct change {
	struct control_call *call;
	char *target;
	enum mode mode;
};

/* What has become of the tunnels of a target. */
struct outcome {
	size_t inlined, vanilla;
	bool narrower; /* some have a word of their own, and it is another */
};

static void look(const struct daemon *d, const struct override *target, enum mode asked,
		 struct outcome *ret)
{
	for (size_t i = 0; i < d->g->site->n_peers; i++) {
		const struct peer *p = &d->g->site->peers[i];

		for (size_t t = 0; t < p->n_tunnels; t++) {
			if (!override_covers(target, p, &p->tunnels[t]))
				continue;
			if (d->g->peers[i].tunnels[t].mode == MODE_INLINE)
				ret->inlined++;
			else
				ret->vanilla++;
			if (override_mode(&d->modes, p, &p->tunnels[t], NULL) != asked)
				ret->narrower = true;
		}
	}
}

/* Why it is not as asked; NULL: it is. */
static const char *obstacle(const struct daemon *d, enum mode asked, const struct outcome *o)
{
	const struct facts *f = reconcile_facts(d->reconcile);

	if (d->down)
		return "all is down: it counts from the next reload on";
	if (asked == MODE_INLINE && !f->modes)
		return "the inline module is not loaded: nothing can be switched until it is";
	if (asked == MODE_INLINE && f->inline_refused)
		return "this kernel cannot do it (PREEMPT_RT)";
	if (asked != MODE_AUTO && o->narrower)
		return "what was said of single lanes or tunnels goes before it";
	return NULL;
}

static void change_done(struct daemon *d, void *arg, bool reached)
{
	struct change *c = arg;
	struct outcome outcome = {0};
	struct text hint = {0};
	struct override target;
	const char *why = NULL;

	/* Unless it is gone meanwhile. */
	if (override_target(d->g->site, c->target, &target, &hint) == 0)
		look(d, &target, c->mode, &outcome);
	if (reached)
		why = obstacle(d, c->mode, &outcome);
	control_reply(c->call,
		      json_pack("{s:s, s:s, s:I, s:I, s:s?, s:b}", "target", c->target, "mode",
				model_mode_name(c->mode), "inline", (json_int_t)outcome.inlined,
				"vanilla", (json_int_t)outcome.vanilla, "why", why, "settled",
				reached && reconcile_settled(d->reconcile)));
	text_done(&hint);
	free(c->target);
	free(c);
}

static void refuse(struct control_call *call, int err)
{
	if (err == -E2BIG)
		control_error_strings(call, "io.wgscale.Refused", "reason",
				      "there are too many modes by command already", "hint",
				      "take some back with 'wgscalectl mode TARGET auto'", NULL);
	else
		control_error_strings(call, "io.wgscale.Refused", "reason",
				      "the mode cannot be stored, so it would not survive a "
				      "restart; nothing was changed",
				      "hint", strerror(-err), NULL);
}

void modes_method(void *owner, struct control_call *call, json_t *in)
{
	const char *target = json_string_value(json_object_get(in, "target"));
	const char *mode = json_string_value(json_object_get(in, "mode"));
	struct daemon *d = owner;
	struct override change;
	struct overrides fresh;
	struct text hint = {0};
	struct change *c;
	enum mode asked;
	int err;

	if (!target || !mode || model_mode_parse(mode, &asked)) {
		control_bad_parameter(call, target ? "mode" : "target");
		return;
	}
	if (override_target(d->g->site, target, &change, &hint)) {
		control_error_strings(call, "io.wgscale.NotFound", "what", target, "hint",
				      text_str(&hint), NULL);
		text_done(&hint);
		return;
	}
	change.mode = asked;
	err = override_change(&d->modes, &change, &fresh);
	if (!err)
		err = replace(d, &fresh);
	if (err) {
		refuse(call, err);
		return;
	}
	log_line(LOG_NOTICE, "mode of %s: %s by command", target, mode);
	reconcile_dirty(d->reconcile, true);
	c = xcalloc(1, sizeof(*c));
	c->call = call;
	c->target = xstrdup(target);
	c->mode = asked;
	lifecycle_wait(d, NULL, WAIT_S, change_done, c);
}
