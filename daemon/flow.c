/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: flow
 *
 * Owns the computation of a flow's bucket, which the kernel does for each packet with the rules
 * that nft_expr.c writes; the two must agree bit by bit. It never looks at a packet or at a map.
 * Invariant: flow_bucket(f, seed, swap) equals flow_bucket(f reversed, seed, !swap), which is why
 * both directions of a flow share a tunnel. Next: map.c, from bucket to tunnel.
 */
#include <string.h>

#include "flow.h"
#include "model.h"

#define JHASH_INITVAL 0xdeadbeef

static uint32_t rol(uint32_t x, unsigned int n)
{
	return x << n | x >> (32 - n);
}

/* A full block of 12 bytes goes in as three words of the host's byte order. */
static void absorb(uint32_t s[3], const uint8_t *p)
{
	uint32_t w[3];

	memcpy(w, p, sizeof(w));
	for (int i = 0; i < 3; i++)
		s[i] += w[i];
}

/* lookup3's mix(): one round per word, which three rotate through. */
static void mix(uint32_t s[3])
{
	static const uint8_t rotations[6] = {4, 6, 8, 16, 19, 4};
	uint32_t *a, *b, *c;

	for (int i = 0; i < 6; i++) {
		a = &s[i % 3];
		b = &s[(i + 1) % 3];
		c = &s[(i + 2) % 3];
		*a -= *c;
		*a ^= rol(*c, rotations[i]);
		*c += *b;
	}
}

/* lookup3's final(). */
static void final(uint32_t s[3])
{
	static const uint8_t rotations[7] = {14, 11, 25, 16, 4, 14, 24};
	uint32_t *x, *y;

	for (int i = 0; i < 7; i++) {
		x = &s[(i + 2) % 3];
		y = &s[(i + 1) % 3];
		*x ^= *y;
		*x -= rol(*y, rotations[i]);
	}
}

uint32_t flow_jhash(const void *key, uint32_t len, uint32_t seed)
{
	uint32_t s[3];
	const uint8_t *p = key;

	s[0] = s[1] = s[2] = JHASH_INITVAL + len + seed;
	for (; len > 12; len -= 12, p += 12) {
		absorb(s, p);
		mix(s);
	}
	if (!len)
		return s[2];
	/* The last block is read byte by byte and so is little-endian everywhere. */
	for (uint32_t i = 0; i < len; i++)
		s[i / 4] += (uint32_t)p[i] << (i % 4 * 8);
	final(s);
	return s[2];
}

bool flow_has_ports(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_UDPLITE ||
	       proto == IPPROTO_SCTP || proto == IPPROTO_DCCP;
}

static uint8_t *put_port(uint8_t *p, uint16_t port)
{
	*p++ = port >> 8;
	*p++ = port & 0xff;
	*p++ = 0;
	*p++ = 0;
	return p;
}

unsigned int flow_bucket(const struct flow *f, uint32_t seed, bool swap)
{
	const struct ipaddr *first = swap ? &f->dst : &f->src, *second = swap ? &f->src : &f->dst;
	unsigned int bytes = addr_bytes(f->src.family);
	uint8_t fields[40], *p = fields;

	memcpy(p, first->b, bytes);
	memcpy(p + bytes, second->b, bytes);
	p += 2 * bytes;
	if (flow_has_ports(f->proto)) {
		p = put_port(p, swap ? f->dport : f->sport);
		p = put_port(p, swap ? f->sport : f->dport);
	}
	return (uint64_t)flow_jhash(fields, p - fields, seed) * MODEL_BUCKETS >> 32;
}
