/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: The part of the fake kernel that our module plays: while it is there (facts.modes) each peer
 * entry has a mode, vanilla at first, that goes with the entry.
 */
#include "fake_kernel.h"

#include <errno.h>
#include <string.h>

static bool has_entry(const struct obj *mode)
{
	struct obj key = {.kind = OBJ_WGPEER, .dev = mode->dev};

	key.wgpeer.public_key = mode->mode.peer;
	return fake_find(&key) != NULL;
}

void fake_mode_follow(void)
{
	const struct world *w = &fake_kernel.world;
	size_t n = w->n;

	for (size_t i = n; i-- > 0;)
		if (w->objs[i].kind == OBJ_MODE &&
		    !(fake_kernel.facts.modes && has_entry(&w->objs[i])))
			fake_take_at(i);
	for (size_t i = 0; fake_kernel.facts.modes && i < n && i < w->n; i++) {
		const struct obj *o = &w->objs[i];
		struct obj mode = {.kind = OBJ_MODE, .dev = o->dev};

		if (o->kind != OBJ_WGPEER || !fake_link_is_ours(o->dev))
			continue;
		mode.mode.peer = o->wgpeer.public_key;
		if (!fake_find(&mode))
			fake_put(&mode);
	}
}

int fake_mode_apply(const struct op *op)
{
	struct obj *o;

	if (!op->want || op->verb != OP_SET)
		return -EOPNOTSUPP;
	fake_mode_follow();
	o = fake_find(op->want);
	if (!o)
		return -ENOENT;
	if (fake_kernel.facts.inline_refused && op->want->mode.mode == MODE_INLINE)
		return -EOPNOTSUPP;
	o->mode.mode = o->mode.in_force = op->want->mode.mode;
	o->mode.switches++;
	return 0;
}
