/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: diag
 *
 * Owns the list of what is wrong with what a user wrote. It never decides what follows from a
 * diagnosis, nor prints by itself. Invariants: at most DIAG_MAX items are kept while the counts
 * go on; a text is one line, whatever bytes the user's file brought into it. The main source of
 * diagnoses is config.c.
 */
#include "diag.h"

#include <string.h>

#include "text.h"

static void count(struct diags *d, enum diag_level level, size_t n)
{
	switch (level) {
	case DIAG_WARNING:
		d->warnings += n;
		break;
	case DIAG_ERROR:
		d->errors += n;
		break;
	}
}

/* A user's bytes must neither break the line nor drive the terminal it is shown on. */
static char *one_line(struct arena *a, const char *s)
{
	char *copy = arena_strdup(a, s), *p;

	for (p = copy; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	return copy;
}

static struct diag *keep(struct diags *d, const struct diag *from)
{
	struct diag *item;

	if (d->n >= DIAG_MAX)
		return NULL;
	item = arena_grow(&d->arena, (void **)&d->items, &d->n, sizeof(*item));
	item->level = from->level;
	item->file = one_line(&d->arena, from->file ? from->file : "");
	item->line = from->line;
	item->column = from->column;
	item->peer = from->peer ? one_line(&d->arena, from->peer) : NULL;
	item->text = one_line(&d->arena, from->text);
	return item;
}

void diag_add(struct diags *d, enum diag_level level, const struct diag_at *at, const char *fmt,
	      ...)
{
	struct diag item = {.level = level};
	struct text text = {0};
	va_list ap;

	count(d, level, 1);
	if (d->n >= DIAG_MAX)
		return;
	if (at) {
		item.file = at->file;
		item.line = at->line;
		item.column = at->column;
		item.peer = at->peer;
	}
	va_start(ap, fmt);
	text_vprintf(&text, fmt, ap);
	va_end(ap);
	item.text = text_str(&text);
	keep(d, &item);
	text_done(&text);
}

void diag_merge(struct diags *d, const struct diags *from)
{
	size_t i;

	for (i = 0; i < from->n; i++)
		keep(d, &from->items[i]);
	d->errors += from->errors;
	d->warnings += from->warnings;
}

static const char *level_name(enum diag_level level)
{
	switch (level) {
	case DIAG_WARNING:
		return "warning";
	case DIAG_ERROR:
		return "error";
	}
	return "?";
}

void diag_print(const struct diag *d, struct text *out)
{
	if (d->file && d->file[0]) {
		text_printf(out, "%s:", d->file);
		if (d->line)
			text_printf(out, "%u:", d->line);
		if (d->line && d->column)
			text_printf(out, "%u:", d->column);
		text_append(out, " ", 1);
	}
	text_printf(out, "%s: %s", level_name(d->level), d->text);
}

void diag_done(struct diags *d)
{
	arena_done(&d->arena);
	*d = (struct diags){0};
}
