/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: table, aligned columns
 *
 * Owns cells until they are printed. A column is as wide as its widest cell, counted in code
 * points; colours stand around a cell's text and take no room. It does not clean what it is
 * given. Read next: render.c.
 */
#include "table.h"

#include <stdlib.h>

#include "arena.h"

struct text *table_cell(struct table *t)
{
	struct table_cell *c;

	if ((t->n & (t->n - 1)) == 0)
		t->cells = xrealloc(t->cells, t->n ? t->n * 2 : 1, sizeof(*t->cells));
	c = &t->cells[t->n++];
	*c = (struct table_cell){.colour = t->next_colour};
	t->next_colour = NULL;
	return &c->text;
}

struct text *table_last(struct table *t)
{
	return &t->cells[t->n - 1].text;
}

void table_colour(struct table *t, const char *colour)
{
	t->next_colour = colour;
}

static size_t width(const struct table_cell *c)
{
	size_t n = 0;

	for (const char *p = text_str(&c->text); *p; p++)
		n += (*p & 0xc0) != 0x80;
	return n;
}

static void print_cell(const struct table *t, size_t i, size_t want, struct text *out)
{
	const struct table_cell *c = &t->cells[i];
	size_t column = i % t->columns;
	int pad = (int)(want - width(c));

	if (t->right[column])
		text_printf(out, "%*s", pad, "");
	if (c->colour)
		text_printf(out, "%s", c->colour);
	text_append(out, text_str(&c->text), c->text.len);
	if (c->colour)
		text_printf(out, "\033[0m");
	if (!t->right[column] && column + 1 < t->columns)
		text_printf(out, "%*s", pad, "");
}

void table_print(const struct table *t, const char *gap, struct text *out)
{
	size_t widths[TABLE_COLUMNS_MAX] = {0};

	for (size_t i = 0; i < t->n; i++)
		if (width(&t->cells[i]) > widths[i % t->columns])
			widths[i % t->columns] = width(&t->cells[i]);
	for (size_t i = 0; i < t->n; i++) {
		print_cell(t, i, widths[i % t->columns], out);
		text_printf(out, "%s", (i + 1) % t->columns ? gap : "\n");
	}
}

void table_done(struct table *t)
{
	for (size_t i = 0; i < t->n; i++)
		text_done(&t->cells[i].text);
	free(t->cells);
	*t = (struct table){0};
}
