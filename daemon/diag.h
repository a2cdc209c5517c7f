/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * diag: what is wrong with something a user wrote: where, what, what was expected, what to do.
 *
 * One line each: "FILE:LINE:COLUMN: error: what; expected ...; hint". A list is bounded
 * (DIAG_MAX); what came after is only counted.
 */
#ifndef WGSCALE_DIAG_H
#define WGSCALE_DIAG_H

#include <stdbool.h>
#include <stddef.h>

#include "arena.h"

#define DIAG_MAX 100

enum diag_level { DIAG_WARNING, DIAG_ERROR };

struct diag {
	enum diag_level level;
	const char *file;	   /* "" when there is none */
	unsigned int line, column; /* from 1; 0: unknown */
	const char *peer;	   /* the peer it concerns, or NULL: the whole site */
	const char *text;
};

/* All zeroes is a valid empty list; it owns an arena. */
struct diags {
	struct arena arena;
	struct diag *items;
	size_t n;
	size_t errors, warnings; /* also those beyond DIAG_MAX */
};

struct diag_at {
	const char *file;
	unsigned int line, column;
	const char *peer;
};

void diag_add(struct diags *d, enum diag_level level, const struct diag_at *at, const char *fmt,
	      ...) __attribute__((format(printf, 4, 5)));
/* Copies the items of `from` behind those of `d`. */
void diag_merge(struct diags *d, const struct diags *from);
/* "FILE:3:5: error: TEXT" without newline. */
struct text;
void diag_print(const struct diag *d, struct text *out);
void diag_done(struct diags *d);

#endif
