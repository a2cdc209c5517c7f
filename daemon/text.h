/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * text: a growing string, and strict parsing of small values.
 */
#ifndef WGSCALE_TEXT_H
#define WGSCALE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zeroes is a valid empty text. `s` is NUL-terminated once anything was added. */
struct text {
	char *s;
	size_t len, cap;
};

void text_printf(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void text_vprintf(struct text *t, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));
void text_append(struct text *t, const void *p, size_t len);
/* The string so far, "" when empty; valid until the next change. */
const char *text_str(const struct text *t);
void text_reset(struct text *t);
void text_done(struct text *t);

/* Whole string, decimal or 0x hex, no sign, no blanks, within [min, max]: 0, else -EINVAL or
 * -ERANGE. */
int text_parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret_value);
/* "15s", "600ms", "2m", "1h": to milliseconds, within [min_ms, max_ms]; a bare number is refused.
 */
int text_parse_duration_ms(const char *s, uint64_t min_ms, uint64_t max_ms, uint64_t *ret_ms);

/* The candidate nearest to `word` by edit distance (at most 1/3 of its length), or NULL.
 * `candidates` ends with NULL. */
const char *text_nearest(const char *word, const char *const *candidates);

/* [a-z0-9] first, then [a-z0-9-_.], at most 63 bytes: what a site id may be. */
bool text_is_site_id(const char *s);

/* Reads a whole file of at most `max` bytes into malloc'ed, NUL-terminated *ret_text.
 * -EFBIG when longer, -EINVAL when it holds a NUL byte, else -errno of open/read. */
int text_read_file(const char *path, size_t max, char **ret_text, size_t *ret_len);

#endif
