/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: addr
 *
 * Owns the reading, printing, comparing and cutting up of IP addresses and prefixes. It never
 * resolves a name nor asks the kernel. Invariants: bytes beyond the family's length are zero, so
 * that all 16 compare; host bits of a prefix are zero; addr_flatten() gives ranges that ascend,
 * never overlap, and never touch a neighbour of the same owner. What is done with the ranges
 * stands in want_nft.c.
 */
#include "addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"

unsigned int addr_bytes(uint8_t family)
{
	return family == AF_INET ? 4 : 16;
}

unsigned int addr_bits(uint8_t family)
{
	return addr_bytes(family) * 8;
}

int addr_parse(const char *s, struct ipaddr *ret)
{
	struct ipaddr a = {.family = strchr(s, ':') ? AF_INET6 : AF_INET};

	if (inet_pton(a.family, s, a.b) != 1)
		return -EINVAL;
	*ret = a;
	return 0;
}

static int parse_len(const char *s, unsigned int max, uint8_t *ret)
{
	unsigned int len = 0;
	size_t n;

	for (n = 0; s[n] >= '0' && s[n] <= '9'; n++)
		if (len <= max)
			len = len * 10 + (unsigned int)(s[n] - '0');
	if (!n || s[n] || (n > 1 && s[0] == '0'))
		return -EINVAL;
	if (len > max)
		return -ERANGE;
	*ret = (uint8_t)len;
	return 0;
}

int addr_parse_prefix(const char *s, struct prefix *ret)
{
	const char *slash = strchr(s, '/');
	size_t n = slash ? (size_t)(slash - s) : strlen(s);
	char buf[ADDR_STRLEN];
	struct prefix p = {0};
	struct ipaddr a;
	int r;

	if (n >= sizeof(buf))
		return -EINVAL;
	memcpy(buf, s, n);
	buf[n] = '\0';
	r = addr_parse(buf, &a);
	if (r < 0)
		return r;
	p.addr = a;
	p.len = (uint8_t)addr_bits(a.family);
	if (slash) {
		r = parse_len(slash + 1, addr_bits(a.family), &p.len);
		if (r < 0)
			return r;
	}
	addr_mask(&p);
	*ret = p;
	return addr_cmp(&p.addr, &a) ? -EDOM : 0;
}

const char *addr_print(const struct ipaddr *a, char buf[static ADDR_STRLEN])
{
	if (!a->family || !inet_ntop(a->family, a->b, buf, ADDR_STRLEN))
		strcpy(buf, "-");
	return buf;
}

const char *addr_print_prefix(const struct prefix *p, char buf[static ADDR_STRLEN])
{
	char addr[ADDR_STRLEN];

	if (!p->addr.family)
		strcpy(buf, "-");
	else
		snprintf(buf, ADDR_STRLEN, "%.45s/%u", addr_print(&p->addr, addr), p->len);
	return buf;
}

const char *addr_print_ep(const struct sockep *e, char buf[static ADDR_STRLEN])
{
	char addr[ADDR_STRLEN], scope[12] = "";

	addr_print(&e->addr, addr);
	if (e->scope)
		snprintf(scope, sizeof(scope), "%%%u", e->scope);
	if (!e->addr.family)
		strcpy(buf, "-");
	else if (e->addr.family == AF_INET6)
		snprintf(buf, ADDR_STRLEN, "[%.45s%s]:%u", addr, scope, e->port);
	else
		snprintf(buf, ADDR_STRLEN, "%.45s:%u", addr, e->port);
	return buf;
}

int addr_cmp(const struct ipaddr *a, const struct ipaddr *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->b, b->b, sizeof(a->b));
}

int addr_cmp_prefix(const struct prefix *a, const struct prefix *b)
{
	int c = addr_cmp(&a->addr, &b->addr);

	return c ? c : (int)a->len - (int)b->len;
}

bool addr_equal_ep(const struct sockep *a, const struct sockep *b)
{
	return addr_cmp(&a->addr, &b->addr) == 0 && a->port == b->port && a->scope == b->scope;
}

bool addr_in(const struct prefix *p, const struct ipaddr *a)
{
	unsigned int bytes = p->len / 8, bits = p->len % 8;

	if (p->addr.family != a->family || memcmp(p->addr.b, a->b, bytes) != 0)
		return false;
	return !bits || (p->addr.b[bytes] ^ a->b[bytes]) >> (8 - bits) == 0;
}

bool addr_contains(const struct prefix *outer, const struct prefix *inner)
{
	return outer->len <= inner->len && addr_in(outer, &inner->addr);
}

bool addr_overlaps(const struct prefix *a, const struct prefix *b)
{
	return addr_contains(a, b) || addr_contains(b, a);
}

void addr_mask(struct prefix *p)
{
	unsigned int i, bits;

	for (i = p->len / 8; i < sizeof(p->addr.b); i++) {
		bits = i == p->len / 8 ? p->len % 8 : 0;
		p->addr.b[i] &= (uint8_t)(0xff00 >> bits);
	}
}

struct prefix addr_host(const struct ipaddr *a)
{
	return (struct prefix){.addr = *a, .len = (uint8_t)addr_bits(a->family)};
}

static bool is_link_local6(const struct ipaddr *a)
{
	return a->family == AF_INET6 && a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

void addr_to_sockaddr(const struct sockep *e, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	memset(ret, 0, sizeof(*ret));
	*ret_len = 0;
	if (e->addr.family == AF_INET) {
		struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(e->port)};

		memcpy(&sin.sin_addr, e->addr.b, sizeof(sin.sin_addr));
		memcpy(ret, &sin, sizeof(sin));
		*ret_len = sizeof(sin);
	} else if (e->addr.family == AF_INET6) {
		struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6,
					    .sin6_port = htons(e->port),
					    .sin6_scope_id = e->scope};

		memcpy(&sin6.sin6_addr, e->addr.b, sizeof(sin6.sin6_addr));
		memcpy(ret, &sin6, sizeof(sin6));
		*ret_len = sizeof(sin6);
	}
}

int addr_from_sockaddr(const struct sockaddr *sa, size_t len, struct sockep *ret)
{
	struct sockep e = {0};
	struct sockaddr_in6 sin6;
	struct sockaddr_in sin;
	sa_family_t family;

	/* Copied, as it may come unaligned out of a netlink attribute. */
	if (len < sizeof(family))
		return -EINVAL;
	memcpy(&family, sa, sizeof(family));
	if (family == AF_INET) {
		if (len < sizeof(sin))
			return -EINVAL;
		memcpy(&sin, sa, sizeof(sin));
		memcpy(e.addr.b, &sin.sin_addr, sizeof(sin.sin_addr));
		e.port = ntohs(sin.sin_port);
	} else if (family == AF_INET6) {
		if (len < sizeof(sin6))
			return -EINVAL;
		memcpy(&sin6, sa, sizeof(sin6));
		memcpy(e.addr.b, &sin6.sin6_addr, sizeof(sin6.sin6_addr));
		e.port = ntohs(sin6.sin6_port);
	} else {
		return -EAFNOSUPPORT;
	}
	e.addr.family = (uint8_t)family;
	if (is_link_local6(&e.addr))
		e.scope = sin6.sin6_scope_id;
	*ret = e;
	return 0;
}

/* Adds +1 or -1; false when that leaves the address space. */
static bool step(struct ipaddr *a, int by)
{
	unsigned int i = addr_bytes(a->family);
	uint8_t wrapped = by > 0 ? 0 : 0xff;

	while (i--) {
		a->b[i] = (uint8_t)(a->b[i] + by);
		if (a->b[i] != wrapped)
			return true;
	}
	return false;
}

static struct ipaddr last_of(const struct prefix *p)
{
	struct ipaddr a = p->addr;
	unsigned int i, bits;

	for (i = p->len / 8; i < addr_bytes(a.family); i++) {
		bits = i == p->len / 8 ? p->len % 8 : 0;
		a.b[i] |= (uint8_t)(0xff >> bits);
	}
	return a;
}

static int cmp_owned(const void *va, const void *vb)
{
	const struct addr_owned *a = va, *b = vb;
	int c = addr_cmp_prefix(&a->prefix, &b->prefix);

	return c ? c : (a->owner > b->owner) - (a->owner < b->owner);
}

/* A walk over the prefixes in order of address: those open at `at` are nested in one another. */
struct sweep {
	struct addr_range open[129]; /* innermost last */
	size_t n_open;
	struct ipaddr at; /* everything before it is decided */
	struct addr_range *out;
	size_t n_out;
};

static void emit(struct sweep *s, const struct ipaddr *last, int owner)
{
	struct addr_range *prev = s->n_out ? &s->out[s->n_out - 1] : NULL;
	struct ipaddr after;

	if (owner < 0)
		return;
	if (prev && prev->owner == owner) {
		after = prev->last;
		if (step(&after, 1) && addr_cmp(&after, &s->at) == 0) {
			prev->last = *last;
			return;
		}
	}
	s->out[s->n_out++] = (struct addr_range){.first = s->at, .last = *last, .owner = owner};
}

/* Closes what ends before `next`, or everything when that is NULL. */
static void close_before(struct sweep *s, const struct ipaddr *next)
{
	while (s->n_open) {
		const struct addr_range *top = &s->open[s->n_open - 1];

		if (next && addr_cmp(&top->last, next) >= 0)
			break;
		if (addr_cmp(&s->at, &top->last) <= 0) {
			emit(s, &top->last, top->owner);
			s->at = top->last;
			if (!step(&s->at, 1)) { /* all that is open ends at the last address */
				s->n_open = 0;
				return;
			}
		}
		s->n_open--;
	}
}

static void open_prefix(struct sweep *s, const struct addr_owned *o)
{
	struct ipaddr before = o->prefix.addr;

	close_before(s, &o->prefix.addr);
	if (s->n_open && addr_cmp(&s->at, &o->prefix.addr) < 0) {
		step(&before, -1);
		emit(s, &before, s->open[s->n_open - 1].owner);
	}
	s->at = o->prefix.addr;
	s->open[s->n_open++] = (struct addr_range){
		.first = o->prefix.addr, .last = last_of(&o->prefix), .owner = o->owner};
}

void addr_flatten(struct arena *a, const struct addr_owned *in, size_t n,
		  struct addr_range **ret_ranges, size_t *ret_n)
{
	struct addr_owned *sorted = xcalloc(n, sizeof(*sorted));
	struct sweep s = {0};
	size_t i;

	if (n)
		memcpy(sorted, in, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), cmp_owned);
	/* A prefix ends one range where it opens and another where it closes. */
	s.out = arena_alloc(a, n, 2 * sizeof(*s.out));
	for (i = 0; i < n; i++)
		if (!i || addr_cmp_prefix(&sorted[i].prefix, &sorted[i - 1].prefix) != 0)
			open_prefix(&s, &sorted[i]);
	close_before(&s, NULL);
	free(sorted);
	*ret_ranges = s.out;
	*ret_n = s.n_out;
}
