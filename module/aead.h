/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ChaCha20-Poly1305 (RFC 8439) of a packet that is in one piece, in place, without associated data:
 * the very bytes of the kernel's chacha20poly1305_encrypt() and _decrypt(), by the kernel's own
 * ciphers, for fewer instructions. Those make the one-time key of Poly1305 in a run of its own,
 * which is too short for SIMD; here it is a part of a longer one. For inline work only: vanilla
 * stays what upstream does.
 */
#ifndef _WGS_AEAD_H
#define _WGS_AEAD_H

#include <crypto/chacha.h>
#include <linux/types.h>

/* Bytes before the text that wgs_seal() needs, and leaves as they were. Meanwhile they are secret,
 * and nobody else's. */
#define WGS_SEAL_HEADROOM CHACHA_BLOCK_SIZE

/* len: bytes of text; the tag, CHACHA20POLY1305_AUTHTAG_SIZE bytes, is put behind it. Any context
 * but NMI. */
void wgs_seal(u8 *text, unsigned int len, u64 nonce, const u8 *key);
/* len: text and tag. false: it is forged, or too short, and stays as it is. Any context but NMI. */
bool wgs_open(u8 *text, unsigned int len, u64 nonce, const u8 *key);

/* Against the kernel's: -EBADMSG when they differ, -ENOMEM. */
int wgs_aead_selftest(void);

#endif
