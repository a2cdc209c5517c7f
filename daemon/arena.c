/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: arena
 *
 * Owns the blocks behind a struct arena and the allocators that never return NULL. It never gives
 * back a single object: everything goes at once, wiped, in arena_done(). Invariant: unused bytes
 * of a block are zero, so that what arena_alloc() hands out needs no clearing. Running out of
 * memory ends the process without a core dump, which could hold keys. Read text.c next.
 */
#include "arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_MIN ((size_t)4096)
#define BLOCK_MAX ((size_t)256 * 1024)

struct arena_block {
	struct arena_block *next;
	size_t used, size; /* of data */
	_Alignas(max_align_t) unsigned char data[];
};

static void __attribute__((noreturn)) die_of_memory(void)
{
	fputs("wgscale: out of memory\n", stderr);
	_exit(EXIT_FAILURE);
}

static size_t product(size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		die_of_memory();
	return bytes;
}

static struct arena_block *add_block(struct arena *a, size_t need)
{
	size_t size = a->head ? a->head->size * 2 : BLOCK_MIN;
	struct arena_block *b;

	if (size > BLOCK_MAX)
		size = BLOCK_MAX;
	if (size < need)
		size = need;
	if (size > SIZE_MAX - sizeof(*b))
		die_of_memory();
	b = xcalloc(1, sizeof(*b) + size);
	b->size = size;
	b->used = 0;
	b->next = a->head;
	a->head = b;
	return b;
}

void *arena_alloc(struct arena *a, size_t n, size_t size)
{
	const size_t align = _Alignof(max_align_t);
	size_t bytes = product(n, size);
	struct arena_block *b = a->head;
	void *p;

	if (bytes > SIZE_MAX - align)
		die_of_memory();
	bytes = (bytes + align - 1) / align * align;
	if (!bytes)
		bytes = align;
	if (!b || b->size - b->used < bytes)
		b = add_block(a, bytes);
	p = b->data + b->used;
	b->used += bytes;
	a->bytes += bytes;
	return p;
}

char *arena_strndup(struct arena *a, const char *s, size_t len)
{
	size_t n = strnlen(s, len);
	char *p = arena_alloc(a, n + 1, 1);

	memcpy(p, s, n);
	return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	char *p;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	if (n < 0) /* longer than INT_MAX */
		die_of_memory();
	p = arena_alloc(a, (size_t)n + 1, 1);
	vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	va_end(ap);
	return p;
}

void *arena_grow(struct arena *a, void **items, size_t *n, size_t size)
{
	unsigned char *slot;

	if ((*n & (*n - 1)) == 0) { /* 0 or a power of two: full */
		void *p = arena_alloc(a, *n ? product(*n, 2) : 1, size);

		if (*n)
			memcpy(p, *items, *n * size);
		*items = p;
	}
	slot = (unsigned char *)*items + *n * size;
	memset(slot, 0, size); /* the array may have been longer once */
	(*n)++;
	return slot;
}

void arena_done(struct arena *a)
{
	struct arena_block *b, *next;

	for (b = a->head; b; b = next) {
		next = b->next;
		explicit_bzero(b->data, b->used);
		free(b);
	}
	*a = (struct arena){0};
}

void *xcalloc(size_t n, size_t size)
{
	void *p = n && size ? calloc(n, size) : calloc(1, 1);

	if (!p)
		die_of_memory();
	return p;
}

void *xrealloc(void *p, size_t n, size_t size)
{
	size_t bytes = product(n, size);

	p = realloc(p, bytes ? bytes : 1);
	if (!p)
		die_of_memory();
	return p;
}

char *xstrdup(const char *s)
{
	char *p = strdup(s);

	if (!p)
		die_of_memory();
	return p;
}
