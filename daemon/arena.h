/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * arena: memory that is freed all at once.
 *
 * A config, a site, a world and a plan each own one arena. Allocation never fails: the process
 * ends with a message when memory is exhausted (the data plane lives on without us, and the
 * service manager starts us again).
 */
#ifndef WGSCALE_ARENA_H
#define WGSCALE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *head;
	size_t bytes; /* handed out so far */
};

/* Zeroed memory, aligned for any type; lives until arena_done(). n * size must not overflow
 * (checked; ends the process). */
void *arena_alloc(struct arena *a, size_t n, size_t size);
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t len);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Grows an array kept in an arena: returns the slot for one more element of `size` bytes, zeroed.
 * *items and *n are updated; capacity is implied by n (powers of two). */
void *arena_grow(struct arena *a, void **items, size_t *n, size_t size);

/* Wipes (it may hold keys) and frees everything. An arena of all zeroes is valid and empty. */
void arena_done(struct arena *a);

/* calloc/realloc/strdup that never return NULL; for memory outside arenas. */
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n, size_t size);
char *xstrdup(const char *s);

#endif
