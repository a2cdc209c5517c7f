// SPDX-License-Identifier: GPL-2.0-only
#include "aead.h"

#include <crypto/algapi.h>
#include <crypto/chacha20poly1305.h>
#include <crypto/poly1305.h>
#include <linux/init.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/string.h>

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
	/* Zeros to the end of the block; then two lengths, of which that of associated data is 0.
	 */
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
	memzero_explicit(state, sizeof(state));
	return good;
}

/* ---- self-test ---- */

struct test {
	u8 key[CHACHA20POLY1305_KEY_SIZE];
	u8 plain[4096], right[4096 + TAG];
	u8 before[WGS_SEAL_HEADROOM], buffer[WGS_SEAL_HEADROOM + 4096 + TAG];
};

static bool agrees(struct test *t, unsigned int len)
{
	u8 *text = t->buffer + WGS_SEAL_HEADROOM;
	u64 nonce = get_random_u64();

	get_random_bytes(t->key, sizeof(t->key));
	get_random_bytes(t->plain, len);
	get_random_bytes(t->before, sizeof(t->before));
	chacha20poly1305_encrypt(t->right, t->plain, len, NULL, 0, nonce, t->key);

	memcpy(t->buffer, t->before, sizeof(t->before));
	memcpy(text, t->plain, len);
	wgs_seal(text, len, nonce, t->key);
	if (memcmp(text, t->right, len + TAG) || memcmp(t->buffer, t->before, sizeof(t->before)))
		return false;
	/* Of forged ones, nothing is decrypted. */
	if (wgs_open(text, len + TAG, nonce + 1, t->key) ||
	    wgs_open(text, len + TAG - 1, nonce, t->key))
		return false;
	text[len / 2] ^= 0x10;
	if (wgs_open(text, len + TAG, nonce, t->key))
		return false;
	text[len / 2] ^= 0x10;
	if (memcmp(text, t->right, len + TAG))
		return false;
	return wgs_open(text, len + TAG, nonce, t->key) && !memcmp(text, t->plain, len);
}

int __init wgs_aead_selftest(void)
{
	static const u16 lengths[] __initconst = {
		0,   1,	  15,  16,  17,	 31,  32,  63,	64,   65,   127,  128,	129,  255,
		256, 257, 447, 448, 449, 511, 512, 513, 1024, 1376, 1420, 1424, 4095, 4096};
	struct test *t = kmalloc(sizeof(*t), GFP_KERNEL);
	unsigned int i;
	int ret = 0;

	if (!t)
		return -ENOMEM;
	for (i = 0; i < ARRAY_SIZE(lengths) && !ret; i++)
		if (!agrees(t, lengths[i]))
			ret = -EBADMSG;
	kfree_sensitive(t);
	return ret;
}
