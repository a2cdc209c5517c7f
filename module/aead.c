// SPDX-License-Identifier: GPL-2.0-only
#include "aead.h"

#include <crypto/algapi.h>
#include <crypto/chacha20poly1305.h>
#include <crypto/poly1305.h>
#include <linux/init.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/string.h>
#ifdef CONFIG_X86
#include <asm/fpu/api.h>
#endif

#define TAG CHACHA20POLY1305_AUTHTAG_SIZE

/* At block 0, whose first half is the key of Poly1305; the text begins with block 1. */
static void begin(u32 *state, u64 nonce, const u8 *key)
{
	u32 words[CHACHA_KEY_SIZE / sizeof(u32)];
	__le64 iv[2] = {0, cpu_to_le64(nonce)};

	memcpy(words, key, sizeof(words));
	le32_to_cpu_array(words, ARRAY_SIZE(words));
	chacha_init(state, words, (const u8 *)iv);
	memzero_explicit(words, sizeof(words));
}

static void authenticate(u8 *tag, const u8 *text, unsigned int len, const u8 *one_time_key)
{
	unsigned int pad = -len % POLY1305_BLOCK_SIZE;
	/* Zeros to the end of the block; then the lengths of associated data and of text. */
	u8 tail[2 * POLY1305_BLOCK_SIZE] = {};
	struct poly1305_desc_ctx poly;
	__le64 size = cpu_to_le64(len);

	memcpy(tail + pad + sizeof(size), &size, sizeof(size));
	poly1305_init(&poly, one_time_key);
	poly1305_update(&poly, text, len);
	poly1305_update(&poly, tail, pad + 2 * sizeof(size));
	poly1305_final(&poly, tag); /* which wipes its state */
}

void wgs_seal(u8 *text, unsigned int len, u64 nonce, const u8 *key)
{
	u8 before[WGS_SEAL_HEADROOM], *block0 = text - sizeof(before);
	u32 state[CHACHA_STATE_WORDS];

	memcpy(before, block0, sizeof(before));
	memset(block0, 0, sizeof(before));
	begin(state, nonce, key);
	chacha20_crypt(state, block0, block0, sizeof(before) + len);
	authenticate(text + len, text, len, block0);
	memcpy(block0, before, sizeof(before)); /* the key is gone, too */
	memzero_explicit(state, sizeof(state));
}

bool wgs_open(u8 *text, unsigned int len, u64 nonce, const u8 *key)
{
	/* More than one block, or it would not be SIMD. */
	u8 stream[2 * CHACHA_BLOCK_SIZE] = {}, tag[TAG];
	u32 state[CHACHA_STATE_WORDS];
	bool good;

	if (unlikely(len < TAG))
		return false;
	len -= TAG;
	begin(state, nonce, key);
	chacha20_crypt(state, stream, stream, sizeof(stream));
	authenticate(tag, text, len, stream);
	good = !crypto_memneq(tag, text + len, TAG);
	if (likely(good)) {
		state[12] = 1; /* the block to go on with */
		chacha20_crypt(state, text, text, len);
	}
	memzero_explicit(stream, sizeof(stream));
	memzero_explicit(tag, sizeof(tag)); /* of what was forged, it is the right one */
	memzero_explicit(state, sizeof(state));
	return good;
}

/* ---- self-test ---- */

#define TEXT_MAX  9000
#define ALIGN_MAX 16
#define AFTER	  64 /* bytes behind the tag that are nobody's to change */
#define ROOM	  (ALIGN_MAX + WGS_SEAL_HEADROOM + TEXT_MAX + TAG + AFTER)

struct test {
	u8 key[CHACHA20POLY1305_KEY_SIZE];
	u8 plain[TEXT_MAX], sealed[TEXT_MAX + TAG];
	u8 buffer[ROOM], noise[ROOM];
	u64 nonce;
};

/* A context without SIMD, as a softirq that interrupts its use. */
static void simd_off(bool off)
{
#ifdef CONFIG_X86
	if (off)
		kernel_fpu_begin();
#endif
}

static void simd_on_again(bool off)
{
#ifdef CONFIG_X86
	if (off)
		kernel_fpu_end();
#endif
}

/* Nothing was written before the text, or behind len bytes of it. */
static bool is_kept(const struct test *t, const u8 *text, unsigned int len)
{
	size_t at = text - t->buffer;

	return !memcmp(t->buffer, t->noise, at) &&
	       !memcmp(text + len, t->noise + at + len, ROOM - at - len);
}

/* A text with a bit that is not as it was is refused, and stays as it is. */
static bool is_refused(struct test *t, u8 *text, unsigned int len, unsigned int at)
{
	bool taken;

	text[at] ^= 0x10;
	taken = wgs_open(text, len + TAG, t->nonce, t->key);
	text[at] ^= 0x10;
	return !taken && !memcmp(text, t->sealed, len + TAG);
}

/* The rest of agrees(), in whatever context. */
static bool seals_and_opens(struct test *t, u8 *text, unsigned int len)
{
	unsigned int i;

	wgs_seal(text, len, t->nonce, t->key);
	if (memcmp(text, t->sealed, len + TAG) || !is_kept(t, text, len + TAG))
		return false;
	for (i = 0; i < TAG; i++)
		if (!is_refused(t, text, len, len + i))
			return false;
	if (!is_refused(t, text, len, 0) || !is_refused(t, text, len, len / 2) ||
	    wgs_open(text, len + TAG, t->nonce + 1, t->key) ||
	    wgs_open(text, len + TAG - 1, t->nonce, t->key))
		return false;
	return wgs_open(text, len + TAG, t->nonce, t->key) && !memcmp(text, t->plain, len) &&
	       !memcmp(text + len, t->sealed + len, TAG) && is_kept(t, text, len + TAG);
}

static bool agrees(struct test *t, unsigned int len, unsigned int align, bool without_simd)
{
	u8 *text = t->buffer + align + WGS_SEAL_HEADROOM;
	bool good;

	get_random_bytes(t->key, sizeof(t->key));
	get_random_bytes(t->plain, len);
	t->nonce = get_random_u64();
	chacha20poly1305_encrypt(t->sealed, t->plain, len, NULL, 0, t->nonce, t->key);
	memcpy(t->buffer, t->noise, ROOM);
	memcpy(text, t->plain, len);
	simd_off(without_simd);
	good = seals_and_opens(t, text, len);
	simd_on_again(without_simd);
	return good;
}

int __init wgs_aead_selftest(void)
{
	static const u16 lengths[] __initconst = {0,	1,    15,   16,	  17,	31,   32,      63,
						  64,	65,   127,  128,  129,	255,  256,     257,
						  447,	448,  449,  511,  512,	513,  1024,    1376,
						  1420, 1424, 4032, 4095, 4096, 4097, TEXT_MAX};
	struct test *t = kvmalloc(sizeof(*t), GFP_KERNEL);
	unsigned int i;
	int ret = 0;

	if (!t)
		return -ENOMEM;
	get_random_bytes(t->noise, ROOM);
	for (i = 0; i < 2 * ARRAY_SIZE(lengths) && !ret; i++)
		if (!agrees(t, lengths[i / 2], i / 2 % ALIGN_MAX, i % 2))
			ret = -EBADMSG;
	kvfree_sensitive(t, sizeof(*t));
	return ret;
}
