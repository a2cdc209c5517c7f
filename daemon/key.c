/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: key
 *
 * Owns the text form and comparison of 32-byte keys, and how a packet mark carries a lane. It
 * never makes or derives a key: keys.c does. Invariant: a key has exactly one text, so that equal
 * texts and equal keys are the same thing; comparing takes the same time whatever the bytes.
 */
#include "model.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

const char *key_print(const struct key *k, char buf[static MODEL_KEY_STRLEN])
{
	return sodium_bin2base64(buf, MODEL_KEY_STRLEN, k->b, sizeof(k->b),
				 sodium_base64_VARIANT_ORIGINAL);
}

int key_parse(const char *s, struct key *ret)
{
	struct key k;
	size_t len;
	int r = -EINVAL;

	if (strnlen(s, MODEL_KEY_STRLEN) != MODEL_KEY_STRLEN - 1)
		return -EINVAL;
	/* Without an end pointer it refuses trailing bytes, and always stray bits. */
	if (sodium_base642bin(k.b, sizeof(k.b), s, MODEL_KEY_STRLEN - 1, NULL, &len, NULL,
			      sodium_base64_VARIANT_ORIGINAL) == 0 &&
	    len == sizeof(k.b)) {
		*ret = k;
		r = 0;
	}
	explicit_bzero(&k, sizeof(k));
	return r;
}

bool key_is_zero(const struct key *k)
{
	return sodium_is_zero(k->b, sizeof(k->b));
}

int key_cmp(const struct key *a, const struct key *b)
{
	unsigned int greater = 0, less = 0, undecided;
	size_t i;

	for (i = 0; i < sizeof(a->b); i++) {
		undecided = 1 & ~(greater | less);
		greater |= undecided & ((unsigned int)(b->b[i] - a->b[i]) >> 31);
		less |= undecided & ((unsigned int)(a->b[i] - b->b[i]) >> 31);
	}
	return (int)greater - (int)less;
}

static const char *const mode_names[] = {"vanilla", "inline", "auto"};

const char *model_mode_name(enum mode mode)
{
	return mode_names[mode];
}

const char *const model_mode_words[] = {"auto", "inline", "vanilla", NULL};

int model_mode_parse(const char *s, enum mode *ret)
{
	for (size_t i = 0; i < sizeof(mode_names) / sizeof(mode_names[0]); i++)
		if (strcmp(mode_names[i], s) == 0) {
			*ret = (enum mode)i;
			return 0;
		}
	return -EINVAL;
}

uint32_t model_mark(uint32_t mask, unsigned int slot)
{
	return mask ? ((uint32_t)slot << __builtin_ctz(mask)) & mask : 0;
}
