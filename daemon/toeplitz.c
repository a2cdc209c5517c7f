/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: toeplitz
 *
 * Owns the computation of a NIC's receive hash, which tells beforehand where a tunnel's outer
 * packets will be received. It never reads or sets a NIC's key or table: ethtool.c does.
 * Invariant: byte for byte what the published verification vectors say, or nothing that is placed
 * by it lands where it should.
 */
#include "toeplitz.h"

#include <string.h>

static uint8_t key_byte(const uint8_t *key, size_t key_len, size_t i)
{
	return i < key_len ? key[i] : 0;
}

uint32_t toeplitz_hash(const uint8_t *key, size_t key_len, const uint8_t *in, size_t len)
{
	uint64_t window = 0; /* the 32 key bits at the current input bit, and what follows */
	uint32_t hash = 0;
	unsigned int bit;
	size_t i;

	for (i = 0; i < 4; i++)
		window = window << 8 | key_byte(key, key_len, i);
	for (i = 0; i < len; i++) {
		window = window << 8 | key_byte(key, key_len, i + 4);
		for (bit = 0; bit < 8; bit++)
			if (in[i] & 0x80 >> bit)
				hash ^= (uint32_t)(window >> (8 - bit));
	}
	return hash;
}

uint32_t toeplitz_flow(const uint8_t *key, size_t key_len, const struct ipaddr *src,
		       const struct ipaddr *dst, uint16_t sport, uint16_t dport)
{
	const uint8_t ports[4] = {(uint8_t)(sport >> 8), (uint8_t)sport, (uint8_t)(dport >> 8),
				  (uint8_t)dport};
	size_t n = addr_bytes(src->family);
	uint8_t in[36];

	memcpy(in, src->b, n);
	memcpy(in + n, dst->b, n);
	memcpy(in + 2 * n, ports, sizeof(ports));
	return toeplitz_hash(key, key_len, in, 2 * n + sizeof(ports));
}
