/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * addr: IP addresses, prefixes, endpoints, and ranges of them. Pure.
 */
#ifndef WGSCALE_ADDR_H
#define WGSCALE_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

/* family 0 = unset. Bytes in network order; IPv4 uses the first 4, the rest are zero. */
struct ipaddr {
	uint8_t family; /* AF_INET, AF_INET6 or 0 */
	uint8_t b[16];
};

/* Host bits are always zero. */
struct prefix {
	struct ipaddr addr;
	uint8_t len;
};

/* An address and UDP port; scope is the interface index of a link-local address or 0. */
struct sockep {
	struct ipaddr addr;
	uint16_t port; /* host order */
	uint32_t scope;
};

#define ADDR_STRLEN 64 /* fits any of the texts below */

unsigned int addr_bits(uint8_t family);	 /* 32 or 128 */
unsigned int addr_bytes(uint8_t family); /* 4 or 16 */

int addr_parse(const char *s, struct ipaddr *ret);
/* "10.1.0.0/16"; without "/" a host prefix. -ERANGE: length out of range; -EDOM: host bits set
 * (ret holds the masked prefix then, for the hint); -EINVAL else. */
int addr_parse_prefix(const char *s, struct prefix *ret);
const char *addr_print(const struct ipaddr *a, char buf[static ADDR_STRLEN]);
const char *addr_print_prefix(const struct prefix *p, char buf[static ADDR_STRLEN]);
/* "192.0.2.1:21820", "[2001:db8::1]:21820"; "-" when unset. */
const char *addr_print_ep(const struct sockep *e, char buf[static ADDR_STRLEN]);

int addr_cmp(const struct ipaddr *a, const struct ipaddr *b);
int addr_cmp_prefix(const struct prefix *a, const struct prefix *b); /* family, addr, len */
bool addr_equal_ep(const struct sockep *a, const struct sockep *b);
bool addr_contains(const struct prefix *outer, const struct prefix *inner); /* or equal */
bool addr_overlaps(const struct prefix *a, const struct prefix *b);
bool addr_in(const struct prefix *p, const struct ipaddr *a);
void addr_mask(struct prefix *p); /* clears host bits */
struct prefix addr_host(const struct ipaddr *a);

void addr_to_sockaddr(const struct sockep *e, struct sockaddr_storage *ret, socklen_t *ret_len);
int addr_from_sockaddr(const struct sockaddr *sa, size_t len, struct sockep *ret);

/* One piece of address space [first, last] that belongs to `owner`. */
struct addr_range {
	struct ipaddr first, last;
	int owner;
};

/* A prefix with its owner; a negative owner means "nobody's": a hole cut into what surrounds it. */
struct addr_owned {
	struct prefix prefix;
	int owner;
};

/*
 * Longest prefix wins: turns possibly nested prefixes of one family into disjoint ranges in
 * ascending order, neighbours of the same owner merged, holes left out. Of equal prefixes the one
 * with the lowest owner wins (so a hole beats a claim). O(n log n). The result lies in `a`.
 */
void addr_flatten(struct arena *a, const struct addr_owned *in, size_t n,
		  struct addr_range **ret_ranges, size_t *ret_n);

#endif
