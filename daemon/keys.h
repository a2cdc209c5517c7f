/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * keys: the site secret and all that is derived from it. Pure but for keys_init(),
 * keys_generate() and keys_random(), which read the system's random source.
 *
 * Everything here is seen by the other site or survives an upgrade, so none of it may change.
 * BLAKE2b is RFC 7693 with a 32-byte digest; "personal" is its personalisation parameter, padded
 * with zeroes to 16 bytes; X25519 is RFC 7748.
 *
 * Secret file: one line "wgscale-secret-1:" and the base64 of 32 random bytes.
 *
 * Lane private key: crypto_kdf_derive_from_key(len 32, subkey id = generation << 16 | lane,
 * context "wgslane1", secret), then clamped as RFC 7748 says. In other words, BLAKE2b of nothing,
 * keyed with the secret, the subkey id as a little-endian salt, the context as personal. For the
 * secret 00 01 02 ... 1f, in hex (more, and as code, in tests/unit/keys.c):
 *
 *   lane 0, generation 1
 *     private 387ba2b6a82ee8be790517ae7934c23e4f9dd2c12d84a111b423e92a18f33a50
 *     public  ed03e7a09c5b03163929750737975793083de28f4cdb76846188eda04730455a
 *   lane 7, generation 4294967295
 *     private f0d7821eefdd3fd6fb1cc6cfd273a75131b44d37ad16474dddd4ed70142eda62
 *     public  4dff2bdd812d296a3fab3eb961b1ce7c47c0f77eb90c177a021876a1d07fca16
 */
#ifndef WGSCALE_KEYS_H
#define WGSCALE_KEYS_H

#include "model.h"

struct secret {
	struct key k;
};

#define KEYS_SECRET_PREFIX "wgscale-secret-1:"

/* Initialises libsodium; 0 or -ENOSYS. Call once before anything else here. */
int keys_init(void);
/*
 * The text of a secret file; white space may stand around the one line. -EINVAL with a static
 * explanation in *ret_why, a clause that follows the file's name ("this is a WireGuard private
 * key, not ..."); *ret is zero then. The explanation never quotes the text.
 */
int keys_parse_secret(const char *text, struct secret *ret, const char **ret_why);
/* A new secret as text with newline; wipe it after use. */
void keys_generate(char buf[static 80]);
/* A preshared key as `wg genpsk` writes it; as keys_parse_secret(). */
int keys_parse_psk(const char *text, struct key *ret, const char **ret_why);

/* lane < 65536. */
void keys_lane(const struct secret *s, unsigned int lane, uint32_t generation,
	       struct key *ret_private, struct key *ret_public);
void keys_public(const struct key *private_key, struct key *ret_public);
/*
 * Probe address of a lane: fe80::/64 and the first 8 bytes of BLAKE2b(public key), personal
 * "wgsprobe".
 */
void keys_probe(const struct key *public_key, struct ipaddr *ret);
/*
 * Seed of the bucket hash between two sites: alike at both ends and not public (an outsider who
 * knew it could aim flows at one bucket). The first 4 bytes, little-endian, of BLAKE2b(X25519 of
 * the two lane-0 keys, lower id, 0, higher id), personal "wgsseed"; 1 instead of 0, so never 0.
 * -EKEYREJECTED when the shared secret is all zero (a low-order public key).
 */
int keys_seed(const struct key *our_private, const struct key *their_public, const char *our_id,
	      const char *their_id, uint32_t *ret_seed);
/* n random bytes. */
void keys_random(void *buf, size_t n);
void keys_wipe(void *p, size_t n);
/* First 8 bytes, little-endian, of BLAKE2b(p); `personal` is a string of up to 16 bytes. */
uint64_t keys_hash64(const char *personal, const void *p, size_t n);
/*
 * Spreads small integers over 64 bits: a bijection, so different inputs never tie. It hides
 * nothing. Multiplication by 2^64 / golden ratio, then the finaliser of SplitMix64 (Steele, Lea,
 * Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, with Stafford's variant
 * 13).
 */
uint64_t keys_mix64(uint64_t x);

#endif
