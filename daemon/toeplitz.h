/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * toeplitz: the hash by which NICs spread flows over their receive queues. Pure.
 *
 * Microsoft, "RSS hashing types" and "Verifying the RSS Hash Calculation". The low bits of the
 * hash index the NIC's indirection table.
 */
#ifndef WGSCALE_TOEPLITZ_H
#define WGSCALE_TOEPLITZ_H

#include <stddef.h>
#include <stdint.h>

#include "addr.h"

/* Of len bytes under the NIC's key. It uses len + 4 bytes of the key; those that a shorter key
 * lacks count as zero. (Keys have 40 bytes and more, the longest input, IPv6 with ports, 36.) */
uint32_t toeplitz_hash(const uint8_t *key, size_t key_len, const uint8_t *in, size_t len);

/* Of a UDP or TCP packet from src:sport to dst:dport, as hashed by its receiver when the NIC
 * hashes on addresses and ports ("sdfn"). Both addresses are of one family; ports in host order. */
uint32_t toeplitz_flow(const uint8_t *key, size_t key_len, const struct ipaddr *src,
		       const struct ipaddr *dst, uint16_t sport, uint16_t dport);

#endif
