/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: the ground everything stands on: arena, text, diag, key.
 */
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "arena.h"
#include "diag.h"
#include "model.h"
#include "text.h"

/* ---- what is freed must hold no secret ---- */

#define SECRET "wgscale-secret-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

static unsigned int leaks;
static bool watching;

#ifndef __SANITIZE_ADDRESS__
void __libc_free(void *p);

/* Stands before libc's: looks at each block on its way out. */
void free(void *p)
{
	if (watching && p && memmem(p, malloc_usable_size(p), SECRET + 20, 20))
		leaks++;
	__libc_free(p);
}
#endif

static void test_wiped(void **state)
{
	struct text t = {0};
	struct arena a = {0};
	char *plain;
	int i;

#ifdef __SANITIZE_ADDRESS__
	skip(); /* free() is the sanitizer's own there */
#endif
	plain = xstrdup(SECRET);
	watching = true;
	free(plain);
	assert_int_equal(leaks, 1); /* it does see one */
	leaks = 0;
	text_append(&t, SECRET, strlen(SECRET));
	for (i = 0; i < 10000; i++)
		text_printf(&t, "%d", i);
	text_done(&t);
	text_append(&t, SECRET, strlen(SECRET));
	text_reset(&t);
	free(t.s);
	for (i = 0; i < 1000; i++)
		arena_strdup(&a, SECRET);
	arena_done(&a);
	watching = false;
	assert_int_equal(leaks, 0);
}

/* ---- arena ---- */

static void test_arena_alloc(void **state)
{
	static const unsigned char zero[70000];
	struct arena a = {0};
	unsigned char *p;
	size_t i, sum = 0;

	for (i = 0; i < 3000; i++) {
		size_t n = i % 100 == 99 ? sizeof(zero) : i % 300;

		p = arena_alloc(&a, n, 1);
		assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
		assert_memory_equal(p, zero, n);
		memset(p, 0xff, n); /* would show in a neighbour that overlaps */
		sum += n;
	}
	assert_true(a.bytes >= sum);
	assert_true(arena_alloc(&a, 0, 8) != arena_alloc(&a, 0, 8));
	arena_done(&a);
	assert_null(a.head);
	assert_int_equal(a.bytes, 0);
	arena_done(&a);
}

static void test_arena_strings(void **state)
{
	struct arena a = {0};
	char *s = arena_strdup(&a, "abc"), *big;

	assert_string_equal(s, "abc");
	assert_string_equal(arena_strndup(&a, "abcdef", 3), "abc");
	assert_string_equal(arena_strndup(&a, "ab", 30), "ab");
	assert_string_equal(arena_strndup(&a, "ab", 0), "");
	assert_string_equal(arena_printf(&a, "%s-%d", "x", 42), "x-42");
	big = arena_printf(&a, "%9000d", 1);
	assert_int_equal(strlen(big), 9000);
	assert_string_equal(s, "abc");
	arena_done(&a);
}

static void test_arena_grow(void **state)
{
	struct item {
		uint64_t v[3];
	} *items = NULL, *item;
	struct arena a = {0};
	size_t n = 0, i;

	for (i = 0; i < 5000; i++) {
		item = arena_grow(&a, (void **)&items, &n, sizeof(*item));
		assert_int_equal(n, i + 1);
		assert_ptr_equal(item, &items[i]);
		assert_int_equal(item->v[0] | item->v[1] | item->v[2], 0);
		item->v[0] = i;
		item->v[2] = ~i;
	}
	for (i = 0; i < n; i++) {
		assert_int_equal(items[i].v[0], i);
		assert_int_equal(items[i].v[2], ~i);
	}
	/* A slot that was in use before is zeroed as well. */
	n = 3000;
	item = arena_grow(&a, (void **)&items, &n, sizeof(*item));
	assert_int_equal(item->v[0] | item->v[1] | item->v[2], 0);
	arena_done(&a);
}

/* How a child ends that asks for too much. */
static int exit_of(void (*fn)(void))
{
	pid_t pid;
	int status;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		assert_non_null(freopen("/dev/null", "w", stderr));
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void too_many(void)
{
	struct arena a = {0};

	arena_alloc(&a, SIZE_MAX / 8 + 2, 8); /* 8 modulo 2^64 */
}

static void too_big(void)
{
	struct arena a = {0};

	arena_alloc(&a, SIZE_MAX, 1);
}

static void too_many_x(void)
{
	volatile size_t n = SIZE_MAX / 8 + 2;

	xrealloc(NULL, n, 8);
}

static void test_out_of_memory(void **state)
{
	assert_int_equal(exit_of(too_many), EXIT_FAILURE);
	assert_int_equal(exit_of(too_big), EXIT_FAILURE);
	assert_int_equal(exit_of(too_many_x), EXIT_FAILURE);
}

/* ---- text ---- */

static void test_text(void **state)
{
	struct text t = {0};
	char want[2001];
	int i;

	assert_string_equal(text_str(&t), "");
	text_append(&t, NULL, 0);
	assert_string_equal(text_str(&t), "");
	for (i = 0; i < 1000; i++) {
		if (i & 1)
			text_printf(&t, "%c%d", 'a' + i % 26, i % 10);
		else
			text_append(&t, (char[]){(char)('a' + i % 26), (char)('0' + i % 10)}, 2);
		want[2 * i] = (char)('a' + i % 26);
		want[2 * i + 1] = (char)('0' + i % 10);
		want[2 * i + 2] = '\0';
		assert_int_equal(t.len, 2 * (i + 1));
		assert_true(t.cap > t.len);
		assert_string_equal(text_str(&t), want);
	}
	text_reset(&t);
	assert_string_equal(text_str(&t), "");
	assert_int_equal(t.len, 0);
	for (i = 0; i < (int)t.cap; i++)
		assert_int_equal(t.s[i], 0);
	text_printf(&t, "%5000d", 7);
	assert_int_equal(t.len, 5000);
	assert_int_equal(strlen(t.s), 5000);
	text_done(&t);
	assert_null(t.s);
	text_done(&t);
}

static void test_parse_u64(void **state)
{
	static const struct {
		const char *in;
		uint64_t min, max;
		int r;
		uint64_t value;
	} t[] = {
		{"0", 0, 9, 0, 0},
		{"9", 0, 9, 0, 9},
		{"10", 0, 9, -ERANGE, 0},
		{"4", 5, 9, -ERANGE, 0},
		{"0x1fe00000", 0, UINT32_MAX, 0, 0x1fe00000},
		{"0x00fF", 0, 255, 0, 255},
		{"18446744073709551615", 0, UINT64_MAX, 0, UINT64_MAX},
		{"18446744073709551616", 0, UINT64_MAX, -ERANGE, 0},
		{"99999999999999999999999", 0, UINT64_MAX, -ERANGE, 0},
		{"99999999999999999999999x", 0, UINT64_MAX, -EINVAL, 0},
		{"0x10000000000000000", 0, UINT64_MAX, -ERANGE, 0},
		{"0xffffffffffffffff", 0, UINT64_MAX, 0, UINT64_MAX},
		{"", 0, 9, -EINVAL, 0},
		{"0x", 0, 9, -EINVAL, 0},
		{"0X1", 0, 9, -EINVAL, 0},
		{"x1", 0, 9, -EINVAL, 0},
		{"010", 0, 99, -EINVAL, 0},
		{"+1", 0, 9, -EINVAL, 0},
		{"-1", 0, 9, -EINVAL, 0},
		{" 1", 0, 9, -EINVAL, 0},
		{"1 ", 0, 9, -EINVAL, 0},
		{"1a", 0, 99, -EINVAL, 0},
		{"1_000", 0, 9999, -EINVAL, 0},
		{"1.0", 0, 9, -EINVAL, 0},
	};
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		uint64_t v = 0x5a5a;

		assert_int_equal(text_parse_u64(t[i].in, t[i].min, t[i].max, &v), t[i].r);
		assert_true(v == (t[i].r ? 0x5a5a : t[i].value));
	}
}

static void test_parse_duration(void **state)
{
	static const struct {
		const char *in;
		int r;
		uint64_t ms;
	} t[] = {
		{"15s", 0, 15000},
		{"600ms", 0, 600},
		{"2m", 0, 120000},
		{"1h", 0, 3600000},
		{"0s", -ERANGE, 0},
		{"25h", -ERANGE, 0},
		{"15", -EINVAL, 0},
		{"s", -EINVAL, 0},
		{"", -EINVAL, 0},
		{"15 s", -EINVAL, 0},
		{"1.5s", -EINVAL, 0},
		{"15S", -EINVAL, 0},
		{"1m30s", -EINVAL, 0},
		{"0x10s", -EINVAL, 0},
		{"-1s", -EINVAL, 0},
		{"1d", -EINVAL, 0},
		{"015s", -EINVAL, 0},
		{"18446744073709551615h", -ERANGE, 0},
		{"99999999999999999999s", -ERANGE, 0},
	};
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		uint64_t ms = 0x5a5a;

		assert_int_equal(text_parse_duration_ms(t[i].in, 1, 24 * 3600000, &ms), t[i].r);
		assert_true(ms == (t[i].r ? 0x5a5a : t[i].ms));
	}
}

static void test_nearest(void **state)
{
	static const char *const keys[] = {"site",     "secret-file", "lanes", "endpoint",
					   "networks", "transit",     "mtu",   NULL};
	static const struct {
		const char *word, *want;
	} t[] = {
		{"lanes", "lanes"},
		{"lane", "lanes"},
		{"netwokrs", "networks"},
		{"network", "networks"},
		{"mut", "mtu"},
		{"mtuu", "mtu"},
		{"secretfile", "secret-file"},
		{"secret_fil", "secret-file"},
		{"si", NULL},
		{"", NULL},
		{"zzzzz", NULL},
		{"endpoints", "endpoint"},
		{"lnxs", NULL},
		{"mXX", NULL},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL},
	};
	static const char *const none[] = {NULL};
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		const char *got = text_nearest(t[i].word, keys);

		if (t[i].want)
			assert_string_equal(got, t[i].want);
		else
			assert_null(got);
	}
	assert_null(text_nearest("lanes", none));
}

static void test_site_id(void **state)
{
	static const char *const good[] = {
		"turin",
		"t",
		"1",
		"a-b_c.d",
		"0x",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaa"};
	static const char *const bad[] = {"",
					  "Turin",
					  "-a",
					  ".a",
					  "_a",
					  "a b",
					  "a/b",
					  "a\n",
					  "\xc3\xa4",
					  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
					  "aaaaaaaa"};
	size_t i;

	assert_int_equal(strlen(good[5]), MODEL_ID_MAX);
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(text_is_site_id(good[i]));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(text_is_site_id(bad[i]));
}

static int read_back(const void *data, size_t len, size_t max, char **ret, size_t *ret_len)
{
	char path[] = "/tmp/wgscale-base-XXXXXX";
	int fd = mkstemp(path), r;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
	r = text_read_file(path, max, ret, ret_len);
	unlink(path);
	return r;
}

static void test_read_file(void **state)
{
	char *big = xcalloc(20001, 1), *s = NULL;
	size_t len = 0;

	assert_int_equal(read_back("hello\n", 6, 6, &s, &len), 0);
	assert_string_equal(s, "hello\n");
	assert_int_equal(len, 6);
	free(s);
	assert_int_equal(read_back("", 0, 0, &s, &len), 0);
	assert_string_equal(s, "");
	assert_int_equal(len, 0);
	free(s);
	memset(big, 'x', 20000);
	assert_int_equal(read_back(big, 20000, 20000, &s, &len), 0);
	assert_string_equal(s, big);
	free(s);
	s = NULL;
	assert_int_equal(read_back(big, 20000, 19999, &s, &len), -EFBIG);
	assert_int_equal(read_back("ab\0c", 4, 10, &s, &len), -EINVAL);
	assert_int_equal(read_back("abc", 4, 10, &s, &len), -EINVAL);
	assert_int_equal(text_read_file("/nonexistent/file", 10, &s, &len), -ENOENT);
	assert_int_equal(text_read_file("/", 10, &s, &len), -EISDIR);
	assert_int_equal(text_read_file("/dev/zero", 10000, &s, &len), -EFBIG);
	assert_null(s);
	free(big);
}

/* ---- diag ---- */

static void assert_printed(const struct diag *d, const char *want)
{
	struct text t = {0};

	diag_print(d, &t);
	assert_string_equal(text_str(&t), want);
	text_done(&t);
}

static void test_diag(void **state)
{
	struct diags d = {0};

	diag_add(&d, DIAG_ERROR, &(struct diag_at){"site.yaml", 3, 5, NULL}, "no %s", "such");
	diag_add(&d, DIAG_WARNING, &(struct diag_at){"site.yaml", 3, 0, "milan"}, "x");
	diag_add(&d, DIAG_WARNING, &(struct diag_at){"site.yaml", 0, 7, NULL}, "x");
	diag_add(&d, DIAG_ERROR, &(struct diag_at){"", 0, 0, NULL}, "x");
	diag_add(&d, DIAG_ERROR, &(struct diag_at){0}, "x");
	diag_add(&d, DIAG_ERROR, NULL, "a\nb\x1b[1m\x7f '%s'", "\xc3\xa4\r");
	assert_int_equal(d.n, 6);
	assert_int_equal(d.errors, 4);
	assert_int_equal(d.warnings, 2);
	assert_printed(&d.items[0], "site.yaml:3:5: error: no such");
	assert_printed(&d.items[1], "site.yaml:3: warning: x");
	assert_printed(&d.items[2], "site.yaml: warning: x");
	assert_printed(&d.items[3], "error: x");
	assert_printed(&d.items[4], "error: x");
	assert_printed(&d.items[5], "error: a?b?[1m? '\xc3\xa4?'");
	assert_null(d.items[0].peer);
	assert_string_equal(d.items[1].peer, "milan");
	diag_done(&d);
	assert_int_equal(d.n + d.errors + d.warnings, 0);
}

static void test_diag_bounded(void **state)
{
	struct diags d = {0}, to = {0};
	int i;

	for (i = 0; i < DIAG_MAX + 10; i++)
		diag_add(&d, i % 2 ? DIAG_ERROR : DIAG_WARNING, NULL, "%d", i);
	assert_int_equal(d.n, DIAG_MAX);
	assert_int_equal(d.errors, DIAG_MAX / 2 + 5);
	assert_int_equal(d.warnings, DIAG_MAX / 2 + 5);

	diag_add(&to, DIAG_ERROR, &(struct diag_at){"a", 1, 2, "p"}, "first");
	diag_merge(&to, &d);
	diag_done(&d);
	assert_int_equal(to.n, DIAG_MAX);
	assert_int_equal(to.errors, DIAG_MAX / 2 + 6);
	assert_int_equal(to.warnings, DIAG_MAX / 2 + 5);
	assert_printed(&to.items[0], "a:1:2: error: first");
	assert_printed(&to.items[1], "warning: 0");
	assert_printed(&to.items[DIAG_MAX - 1], "warning: 98");
	diag_done(&to);
}

/* ---- key ---- */

static void test_key_text(void **state)
{
	static const char *const bad[] = {
		"",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",	  /* no padding */
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", /* more */
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=",	  /* stray bits */
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8 ",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHgA8", /* 33 bytes */
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==", /* 31 */
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBka xwdHh8=",
		"-AECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", /* the URL variant */
		"=AECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
	};
	char buf[MODEL_KEY_STRLEN];
	struct key k, back, before;
	size_t i;

	for (i = 0; i < sizeof(k.b); i++)
		k.b[i] = (uint8_t)i;
	assert_string_equal(key_print(&k, buf), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
	assert_int_equal(key_parse(buf, &back), 0);
	assert_memory_equal(&back, &k, sizeof(k));
	memset(&back, 0x5a, sizeof(back));
	before = back;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(key_parse(bad[i], &back), -EINVAL);
		assert_memory_equal(&back, &before, sizeof(back));
	}
	memset(&k, 0xff, sizeof(k));
	assert_string_equal(key_print(&k, buf), "//////////////////////////////////////////8=");
	assert_int_equal(key_parse(buf, &back), 0);
	assert_memory_equal(&back, &k, sizeof(k));
}

/* Of all last characters only those that leave no stray bits, one in four, may pass. */
static void test_key_canonical(void **state)
{
	char s[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHhA=", buf[MODEL_KEY_STRLEN];
	struct key k;
	int c, good = 0;

	for (c = 1; c < 256; c++) {
		s[42] = (char)c;
		if (key_parse(s, &k) != 0)
			continue;
		assert_string_equal(key_print(&k, buf), s);
		good++;
	}
	assert_int_equal(good, 16);
}

static void test_key_compare(void **state)
{
	struct key a = {{0}}, b = {{0}};
	unsigned int i, j;

	assert_true(key_is_zero(&a));
	assert_int_equal(key_cmp(&a, &b), 0);
	for (i = 0; i < sizeof(a.b); i++) {
		memset(&a, 0, sizeof(a));
		a.b[i] = 0x80;
		assert_false(key_is_zero(&a));
		for (j = 0; j < sizeof(b.b); j++) {
			memset(&b, 0, sizeof(b));
			b.b[j] = 0x7f;
			b.b[31] |= 1;
			assert_int_equal(key_cmp(&a, &b) > 0, memcmp(&a, &b, sizeof(a)) > 0);
			assert_int_equal(key_cmp(&a, &b) < 0, memcmp(&a, &b, sizeof(a)) < 0);
			assert_int_equal(key_cmp(&b, &a), -key_cmp(&a, &b));
		}
	}
}

static void test_mark(void **state)
{
	assert_int_equal(model_mark(0x1fe00000, 1), 0x00200000);
	assert_int_equal(model_mark(0x1fe00000, 255), 0x1fe00000);
	assert_int_equal(model_mark(0x1fe00000, 256), 0);
	assert_int_equal(model_mark(0x1fe00000, UINT32_MAX), 0x1fe00000);
	assert_int_equal(model_mark(0x1, 1), 1);
	assert_int_equal(model_mark(UINT32_MAX, 0x12345678), 0x12345678);
	assert_int_equal(model_mark(0x80000000, 1), 0x80000000);
	assert_int_equal(model_mark(0, 5), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wiped),	      cmocka_unit_test(test_arena_alloc),
		cmocka_unit_test(test_arena_strings), cmocka_unit_test(test_arena_grow),
		cmocka_unit_test(test_out_of_memory), cmocka_unit_test(test_text),
		cmocka_unit_test(test_parse_u64),     cmocka_unit_test(test_parse_duration),
		cmocka_unit_test(test_nearest),	      cmocka_unit_test(test_site_id),
		cmocka_unit_test(test_read_file),     cmocka_unit_test(test_diag),
		cmocka_unit_test(test_diag_bounded),  cmocka_unit_test(test_key_text),
		cmocka_unit_test(test_key_canonical), cmocka_unit_test(test_key_compare),
		cmocka_unit_test(test_mark),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
