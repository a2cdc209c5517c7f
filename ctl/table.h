/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * table: aligned columns.
 */
#ifndef WGSCALE_TABLE_H
#define WGSCALE_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "text.h"

#define TABLE_COLUMNS_MAX 16

struct table_cell {
	struct text text;
	const char *colour; /* escape sequence, or NULL */
};

/* All zeroes but `columns` is an empty table. */
struct table {
	size_t columns;
	bool right[TABLE_COLUMNS_MAX]; /* aligned to the right */
	struct table_cell *cells;      /* row by row */
	size_t n;
	const char *next_colour;
};

/* The text of a new cell: fill it before the next call. */
struct text *table_cell(struct table *t);
/* That of the newest cell again. */
struct text *table_last(struct table *t);
/* The colour of the next cell; static. */
void table_colour(struct table *t, const char *colour);
/* Whole rows, `gap` between columns, no blanks at the end of a line. */
void table_print(const struct table *t, const char *gap, struct text *out);
void table_done(struct table *t);

#endif
