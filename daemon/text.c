/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: text
 *
 * Owns the growing string, and the strict parsers of the small values that people write: numbers,
 * durations, site ids. It never guesses: what is not wholly understood is refused, and results
 * are untouched then. Invariants: s[len] is NUL whenever s is set; a buffer that is left behind
 * was wiped, since a text may have held a secret. text_read_file() is the core's only way to a
 * file. Read addr.c next.
 */
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arena.h"

#define WORD_MAX   64
#define READ_CHUNK 4096

/* Room for `more` bytes and the NUL. Not realloc(): it may leave a copy behind. */
static void reserve(struct text *t, size_t more)
{
	size_t need, cap;
	char *s;

	if (t->s && t->cap - t->len > more)
		return;
	if (__builtin_add_overflow(t->len + 1, more, &need) ||
	    __builtin_mul_overflow(need, 2, &cap))
		cap = SIZE_MAX; /* xcalloc() ends it */
	if (cap < 64)
		cap = 64;
	s = xcalloc(cap, 1);
	if (t->s) {
		memcpy(s, t->s, t->len);
		explicit_bzero(t->s, t->cap);
		free(t->s);
	}
	t->s = s;
	t->cap = cap;
}

void text_vprintf(struct text *t, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	if (n >= 0) {
		reserve(t, (size_t)n);
		vsnprintf(t->s + t->len, (size_t)n + 1, fmt, again);
		t->len += (size_t)n;
	}
	va_end(again);
}

void text_printf(struct text *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	text_vprintf(t, fmt, ap);
	va_end(ap);
}

void text_append(struct text *t, const void *p, size_t len)
{
	reserve(t, len);
	if (len)
		memcpy(t->s + t->len, p, len);
	t->len += len;
	t->s[t->len] = '\0';
}

const char *text_str(const struct text *t)
{
	return t->s ? t->s : "";
}

void text_reset(struct text *t)
{
	if (t->s)
		explicit_bzero(t->s, t->cap);
	t->len = 0;
}

void text_done(struct text *t)
{
	text_reset(t);
	free(t->s);
	*t = (struct text){0};
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

/* Digits from s on; *ret_end is the first byte that is none. -ERANGE still finds the end. */
static int parse_digits(const char *s, unsigned int base, uint64_t *ret_value, const char **ret_end)
{
	uint64_t value = 0;
	bool over = false;
	const char *p;

	for (p = s; digit(*p) < (int)base; p++)
		over |= __builtin_mul_overflow(value, base, &value) ||
			__builtin_add_overflow(value, (uint64_t)digit(*p), &value);
	if (p == s)
		return -EINVAL;
	/* Elsewhere 010 is eight: nobody can tell what was meant. */
	if (base == 10 && s[0] == '0' && p - s > 1)
		return -EINVAL;
	*ret_value = value;
	*ret_end = p;
	return over ? -ERANGE : 0;
}

int text_parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	bool hex = s[0] == '0' && s[1] == 'x';
	const char *end;
	uint64_t value;
	int r;

	r = parse_digits(hex ? s + 2 : s, hex ? 16 : 10, &value, &end);
	if (r == -EINVAL || *end)
		return -EINVAL;
	if (r < 0 || value < min || value > max)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

int text_parse_duration_ms(const char *s, uint64_t min_ms, uint64_t max_ms, uint64_t *ret_ms)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 3600 * 1000}};
	const char *end;
	uint64_t value;
	size_t i;
	int r;

	r = parse_digits(s, 10, &value, &end);
	if (r == -EINVAL)
		return r;
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(end, units[i].name) == 0)
			break;
	if (i == sizeof(units) / sizeof(units[0]))
		return -EINVAL;
	if (r < 0 || __builtin_mul_overflow(value, units[i].ms, &value))
		return -ERANGE;
	if (value < min_ms || value > max_ms)
		return -ERANGE;
	*ret_ms = value;
	return 0;
}

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Insertions, deletions, substitutions and swaps of neighbours; both at most WORD_MAX long. */
static size_t edit_distance(const char *a, size_t na, const char *b, size_t nb)
{
	size_t row[3][WORD_MAX + 1];
	size_t *before = row[0], *above = row[1], *here = row[2], *free_row;
	size_t i, j;

	for (j = 0; j <= nb; j++)
		above[j] = j;
	for (i = 1; i <= na; i++) {
		here[0] = i;
		for (j = 1; j <= nb; j++) {
			here[j] = min_size(above[j], here[j - 1]) + 1;
			here[j] = min_size(here[j], above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				here[j] = min_size(here[j], before[j - 2] + 1);
		}
		free_row = before;
		before = above;
		above = here;
		here = free_row;
	}
	return above[nb];
}

const char *text_nearest(const char *word, const char *const *candidates)
{
	size_t len = strlen(word), best = len / 3 + 1;
	const char *nearest = NULL;

	if (len > WORD_MAX)
		return NULL;
	for (; *candidates; candidates++) {
		size_t n = strlen(*candidates), d;

		if (n > WORD_MAX)
			continue;
		d = edit_distance(word, len, *candidates, n);
		if (d < best) {
			best = d;
			nearest = *candidates;
		}
	}
	return nearest;
}

static bool is_id_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool text_is_site_id(const char *s)
{
	size_t n;

	if (!is_id_start(s[0]))
		return false;
	for (n = 1; s[n]; n++)
		if (n >= 63 || !(is_id_start(s[n]) || s[n] == '-' || s[n] == '_' || s[n] == '.'))
			return false;
	return true;
}

static int read_all(int fd, size_t max, struct text *t)
{
	for (;;) {
		ssize_t n;

		reserve(t, READ_CHUNK);
		n = read(fd, t->s + t->len, READ_CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		t->len += (size_t)n;
		if (t->len > max)
			return -EFBIG;
	}
	t->s[t->len] = '\0';
	return memchr(t->s, '\0', t->len) ? -EINVAL : 0;
}

int text_read_file(const char *path, size_t max, char **ret_text, size_t *ret_len)
{
	struct text t = {0};
	int fd, r;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	r = read_all(fd, max, &t);
	close(fd);
	if (r < 0) {
		text_done(&t);
		return r;
	}
	*ret_text = t.s;
	*ret_len = t.len;
	return 0;
}
