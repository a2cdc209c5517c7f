/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: keys
 *
 * Owns the derivation of everything cryptographic from the site secret, and the text forms of the
 * secret and of preshared keys. It never opens a file, never logs, and no text it returns holds a
 * byte of a key. Invariant: results depend on the arguments alone and are the same in every
 * version, or sites could not agree and an upgrade would change a site's keys. Intermediate
 * secrets are wiped before return. Next: site.c, which calls this for each lane and peer.
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "keys.h"

#define FAMILY	 "wgscale-secret-" /* of any version */
#define CONTEXT	 "wgslane1"
#define BLANKS	 " \t\r\n"
#define HASH_LEN 32

_Static_assert(MODEL_KEY_LEN == crypto_kdf_KEYBYTES, "a secret is a kdf key");
_Static_assert(MODEL_KEY_LEN == crypto_scalarmult_curve25519_BYTES, "a lane key is X25519's");
_Static_assert(sizeof(CONTEXT) - 1 == crypto_kdf_CONTEXTBYTES, "context length");

int keys_init(void)
{
	return sodium_init() < 0 ? -ENOSYS : 0;
}

/* Decodes the word that `text` starts with and after which only white space may follow. */
static int decode(const char *text, struct key *ret, const char **ret_why)
{
	size_t len = strcspn(text, BLANKS), n;

	if (text[len + strspn(text + len, BLANKS)] != '\0') {
		*ret_why = "there is something after the key; expected one line and nothing else";
	} else if (sodium_base642bin(ret->b, sizeof(ret->b), text, len, NULL, &n, NULL,
				     sodium_base64_VARIANT_ORIGINAL) == 0 &&
		   n == sizeof(ret->b)) {
		if (!sodium_is_zero(ret->b, sizeof(ret->b)))
			return 0;
		*ret_why = "the key is all zero";
	} else if (len < MODEL_KEY_STRLEN - 1) {
		*ret_why =
			"the key is too short, cut off perhaps; expected 44 characters of base64";
	} else if (len > MODEL_KEY_STRLEN - 1) {
		*ret_why = "the key is too long; expected 44 characters of base64";
	} else {
		*ret_why = "the key is not valid base64";
	}
	sodium_memzero(ret, sizeof(*ret));
	return -EINVAL;
}

/* "wgscale-secret-7:" */
static bool has_version(const char *text)
{
	size_t digits;

	if (strncmp(text, FAMILY, strlen(FAMILY)) != 0)
		return false;
	text += strlen(FAMILY);
	digits = strspn(text, "0123456789");
	return digits && text[digits] == ':';
}

/* Why `text`, which lacks the prefix, is no secret: say what it seems to be instead. */
static const char *not_a_secret(const char *text)
{
	const char *ignored;
	struct key k;
	int r;

	if (*text == '\0')
		return "it is empty; make a secret with wgscalectl keygen";
	if (has_version(text))
		return "this secret is not of version 1; another version of wgscale made it";
	r = decode(text, &k, &ignored);
	sodium_memzero(&k, sizeof(k));
	if (r == 0)
		return "this is a WireGuard private key, not a wgscale secret; make one with "
		       "wgscalectl keygen";
	return "this is not a wgscale secret, which begins with " KEYS_SECRET_PREFIX
	       "; make one with wgscalectl keygen";
}

int keys_parse_secret(const char *text, struct secret *ret, const char **ret_why)
{
	text += strspn(text, BLANKS);
	if (strncmp(text, KEYS_SECRET_PREFIX, strlen(KEYS_SECRET_PREFIX)) == 0)
		return decode(text + strlen(KEYS_SECRET_PREFIX), &ret->k, ret_why);
	sodium_memzero(ret, sizeof(*ret));
	*ret_why = not_a_secret(text);
	return -EINVAL;
}

int keys_parse_psk(const char *text, struct key *ret, const char **ret_why)
{
	text += strspn(text, BLANKS);
	if (has_version(text))
		*ret_why = "this is a wgscale secret, which must never leave its site, not a "
			   "preshared key; make one with wg genpsk";
	else if (*text == '\0')
		*ret_why = "it is empty; make a preshared key with wg genpsk";
	else
		return decode(text, ret, ret_why);
	sodium_memzero(ret, sizeof(*ret));
	return -EINVAL;
}

void keys_generate(char buf[static 80])
{
	struct key k;
	char b64[MODEL_KEY_STRLEN];

	randombytes_buf(k.b, sizeof(k.b));
	sodium_bin2base64(b64, sizeof(b64), k.b, sizeof(k.b), sodium_base64_VARIANT_ORIGINAL);
	snprintf(buf, 80, KEYS_SECRET_PREFIX "%s\n", b64);
	sodium_memzero(&k, sizeof(k));
	sodium_memzero(b64, sizeof(b64));
}

void keys_lane(const struct secret *s, unsigned int lane, uint32_t generation,
	       struct key *ret_private, struct key *ret_public)
{
	crypto_kdf_derive_from_key(ret_private->b, sizeof(ret_private->b),
				   (uint64_t)generation << 16 | lane, CONTEXT, s->k.b);
	/* The kernel clamps what it is given; without this, what it reports would differ. */
	ret_private->b[0] &= 0xf8;
	ret_private->b[31] = (ret_private->b[31] & 0x7f) | 0x40;
	keys_public(ret_private, ret_public);
}

void keys_public(const struct key *private_key, struct key *ret_public)
{
	crypto_scalarmult_curve25519_base(ret_public->b, private_key->b);
}

static void hash_start(crypto_generichash_blake2b_state *st, const char *personal)
{
	uint8_t padded[crypto_generichash_blake2b_PERSONALBYTES] = {0};

	memcpy(padded, personal, strnlen(personal, sizeof(padded)));
	crypto_generichash_blake2b_init_salt_personal(st, NULL, 0, HASH_LEN, NULL, padded);
}

static void hash(const char *personal, const void *p, size_t n, uint8_t ret[static HASH_LEN])
{
	crypto_generichash_blake2b_state st;

	hash_start(&st, personal);
	crypto_generichash_blake2b_update(&st, p, n);
	crypto_generichash_blake2b_final(&st, ret, HASH_LEN);
}

static uint64_t load_le(const uint8_t *p, unsigned int bytes)
{
	uint64_t v = 0;

	while (bytes--)
		v = v << 8 | p[bytes];
	return v;
}

void keys_probe(const struct key *public_key, struct ipaddr *ret)
{
	uint8_t h[HASH_LEN];

	hash("wgsprobe", public_key->b, sizeof(public_key->b), h);
	*ret = (struct ipaddr){.family = AF_INET6, .b = {0xfe, 0x80}};
	memcpy(ret->b + 8, h, 8);
}

int keys_seed(const struct key *our_private, const struct key *their_public, const char *our_id,
	      const char *their_id, uint32_t *ret_seed)
{
	bool lower = strcmp(our_id, their_id) < 0;
	const char *first = lower ? our_id : their_id, *second = lower ? their_id : our_id;
	crypto_generichash_blake2b_state st;
	uint8_t shared[crypto_scalarmult_curve25519_BYTES], h[HASH_LEN];
	int r = crypto_scalarmult_curve25519(shared, our_private->b, their_public->b);

	if (r == 0) {
		hash_start(&st, "wgsseed");
		crypto_generichash_blake2b_update(&st, shared, sizeof(shared));
		crypto_generichash_blake2b_update(&st, (const uint8_t *)first, strlen(first) + 1);
		crypto_generichash_blake2b_update(&st, (const uint8_t *)second, strlen(second));
		crypto_generichash_blake2b_final(&st, h, sizeof(h));
		*ret_seed = load_le(h, 4);
		if (!*ret_seed)
			*ret_seed = 1;
		sodium_memzero(&st, sizeof(st));
		sodium_memzero(h, sizeof(h));
	}
	sodium_memzero(shared, sizeof(shared));
	return r ? -EKEYREJECTED : 0;
}

void keys_random(void *buf, size_t n)
{
	randombytes_buf(buf, n);
}

void keys_wipe(void *p, size_t n)
{
	sodium_memzero(p, n);
}

uint64_t keys_hash64(const char *personal, const void *p, size_t n)
{
	uint8_t h[HASH_LEN];

	hash(personal, p, n, h);
	return load_le(h, 8);
}

uint64_t keys_mix64(uint64_t x)
{
	x *= 0x9e3779b97f4a7c15;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}
