/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: addresses, prefixes and endpoints in site files and cards. Owns what of the address space
 * may stand there at all (nothing that no router forwards), and the spelling of endpoints. Never
 * resolves a name and knows nothing of which site claims what: that is site_build()'s.
 *
 * Invariant: what comes out is canonical (no host bits, no repeats within one list), and each item
 * carries where it was written. Read next: config.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config_net.h"
#include "text.h"

/* Address space no site can have behind it, and no gateway can be reached at. */
static const struct {
	const char *prefix, *what;
} special[] = {
	{"127.0.0.0/8", "loopback"},   {"169.254.0.0/16", "link-local"},
	{"224.0.0.0/4", "multicast"},  {"240.0.0.0/4", "reserved"},
	{"0.0.0.0/32", "unspecified"}, {"::1/128", "loopback"},
	{"fe80::/10", "link-local"},   {"ff00::/8", "multicast"},
	{"::/128", "unspecified"},     {"::ffff:0:0/96", "IPv4-mapped"},
};

/* What is special about all of a prefix, or NULL. */
static const char *special_of(const struct prefix *p)
{
	struct prefix s;
	size_t i;

	for (i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		if (!addr_parse_prefix(special[i].prefix, &s) && addr_contains(&s, p))
			return special[i].what;
	return NULL;
}

bool config_net_addr(struct config_yaml *y, const struct config_yaml_node *n, struct ipaddr *ret)
{
	struct ipaddr a;
	struct prefix host;
	const char *what;

	if (!config_yaml_scalar(y, n, "an address"))
		return false;
	if (addr_parse(n->text, &a)) {
		config_yaml_error(y, n, "%s: '%s' is no address; expected one such as 10.1.0.1%s",
				  n->name, config_yaml_show(y, n),
				  strchr(n->text, '/') ? ", without a prefix length" : "");
		return false;
	}
	host = addr_host(&a);
	what = special_of(&host);
	if (what) {
		config_yaml_error(y, n, "%s: %s is %s; expected an address other hosts can reach",
				  n->name, n->text, what);
		return false;
	}
	*ret = a;
	return true;
}

/* ---- prefixes ---- */

static bool read_prefix(struct config_yaml *y, const struct config_yaml_node *n, struct prefix *ret)
{
	char buf[ADDR_STRLEN];
	const char *what;
	struct prefix p;
	int r;

	if (!config_yaml_scalar(y, n, "a prefix such as 10.1.0.0/16"))
		return false;
	r = addr_parse_prefix(n->text, &p);
	if (r == -EDOM) {
		config_yaml_error(y, n,
				  "%s: '%s' has bits set behind its prefix length; write %s, or "
				  "name the single host without '/'",
				  n->name, n->text, addr_print_prefix(&p, buf));
		return false;
	}
	if (r) {
		config_yaml_error(y, n, "%s: '%s' %s; expected a prefix such as 10.1.0.0/16%s",
				  n->name, config_yaml_show(y, n),
				  r == -ERANGE ? "has a prefix length out of range"
					       : "is no prefix",
				  config_yaml_hint(y, n));
		return false;
	}
	what = special_of(&p);
	if (what) {
		config_yaml_error(y, n, "%s: %s is %s space, which no router forwards", n->name,
				  n->text, what);
		return false;
	}
	*ret = p;
	return true;
}

static int cmp_written(const void *a, const void *b)
{
	const struct config_prefix *x = *(const struct config_prefix *const *)a;
	const struct config_prefix *y = *(const struct config_prefix *const *)b;
	int r = addr_cmp_prefix(&x->prefix, &y->prefix);

	if (r)
		return r;
	return x < y ? -1 : x > y;
}

/* Diagnoses and drops what stands in a list twice; the order of the rest is kept. */
static void drop_equal(struct config_yaml *y, const char *name, struct config_prefixes *l)
{
	struct config_prefix **by_prefix;
	char buf[ADDR_STRLEN];
	size_t i, kept = 0;

	if (l->n < 2)
		return;
	by_prefix = arena_alloc(&y->arena, l->n, sizeof(*by_prefix));
	for (i = 0; i < l->n; i++)
		by_prefix[i] = &l->items[i];
	qsort(by_prefix, l->n, sizeof(*by_prefix), cmp_written);
	for (i = l->n - 1; i > 0; i--) {
		struct config_prefix *p = by_prefix[i], *first = by_prefix[i - 1];

		if (addr_cmp_prefix(&p->prefix, &first->prefix))
			continue;
		config_yaml_say(y, DIAG_ERROR, &p->at,
				"%s: %s stands in the list already, in line %u", name,
				addr_print_prefix(&p->prefix, buf), first->at.line);
		p->prefix.addr.family = 0;
	}
	for (i = 0; i < l->n; i++)
		if (l->items[i].prefix.addr.family)
			l->items[kept++] = l->items[i];
	l->n = kept;
}

void config_net_prefixes(struct config_yaml *y, const struct config_yaml_node *n,
			 struct config_prefixes *ret)
{
	const struct config_yaml_node *i;
	struct config_prefixes l = {0};
	struct prefix p;

	if (!config_yaml_is_list(y, n, MODEL_PREFIXES_MAX, "a list of prefixes, [] for none"))
		return;
	l.items = arena_alloc(y->keep, n->kind == CONFIG_YAML_LIST ? n->n : 1, sizeof(*l.items));
	for (i = config_yaml_first(n); i; i = config_yaml_next(n, i))
		if (read_prefix(y, i, &p))
			l.items[l.n++] = (struct config_prefix){p, config_yaml_at(y, i)};
	drop_equal(y, n->name, &l);
	*ret = l;
}

/* ---- endpoints ---- */

/* A host name as DNS has them, with '_' allowed; a last label of digits is a mistyped address. */
static bool is_host_name(const char *s)
{
	const char *label = s, *p;
	bool digits = true;

	if (strlen(s) > 253)
		return false;
	for (p = s;; p++) {
		if (*p == '.' || !*p) {
			if (p == label || p - label > 63 || *label == '-' || p[-1] == '-')
				return false;
			if (!*p || !p[1])
				return !digits;
			label = p + 1;
			digits = true;
			continue;
		}
		if (*p < '0' || *p > '9')
			digits = false;
		if (!(*p >= 'a' && *p <= 'z') && !(*p >= 'A' && *p <= 'Z') &&
		    !(*p >= '0' && *p <= '9') && *p != '-' && *p != '_')
			return false;
	}
}

/* Splits "host:port" and "[addr]:port"; *ret_port is NULL without one. False: neither. */
static bool split(char *s, char **ret_host, const char **ret_port)
{
	struct ipaddr a;
	char *p;

	*ret_host = s;
	*ret_port = NULL;
	if (*s == '[') {
		p = strchr(s, ']');
		if (!p || (p[1] && p[1] != ':'))
			return false;
		if (p[1])
			*ret_port = p + 2;
		*p = '\0';
		*ret_host = s + 1;
		return !addr_parse(s + 1, &a) && a.family == AF_INET6;
	}
	if (!addr_parse(s, &a))
		return true;
	p = strchr(s, ':');
	if (!p)
		return true;
	*p = '\0';
	*ret_port = p + 1;
	return !strpbrk(p + 1, ":/"); /* an IPv6 address cut wrongly, a URL */
}

static bool read_endpoint(struct config_yaml *y, const struct config_yaml_node *n,
			  struct config_endpoint *ret)
{
	static const char expected[] =
		"expected a name or an address, or name:port, or \"[address]:port\" for IPv6";
	struct config_endpoint e = {.at = config_yaml_at(y, n)};
	const char *port, *what;
	struct prefix host;
	uint64_t v = 0;
	char *name;

	if (!config_yaml_scalar(y, n, "a name or an address"))
		return false;
	if (!split(arena_strdup(y->keep, n->text), &name, &port) ||
	    (addr_parse(name, &e.addr) && !is_host_name(name))) {
		config_yaml_error(y, n, "%s: '%s' is no endpoint; %s%s", n->name,
				  config_yaml_show(y, n), expected, config_yaml_hint(y, n));
		return false;
	}
	if (port && text_parse_u64(port, 1, UINT16_MAX, &v)) {
		config_yaml_error(y, n, "%s: '%s' has a port that is no number from 1 to 65535",
				  n->name, config_yaml_show(y, n));
		return false;
	}
	e.port_base = (uint16_t)v;
	if (addr_parse(name, &e.addr)) {
		e.addr = (struct ipaddr){0};
		e.name = name;
		*ret = e;
		return true;
	}
	host = addr_host(&e.addr);
	what = special_of(&host);
	if (what && strcmp(what, "loopback")) {
		config_yaml_error(y, n, "%s: '%s' is %s; %s", n->name, config_yaml_show(y, n), what,
				  "expected an address that the other sites can reach");
		return false;
	}
	*ret = e;
	return true;
}

void config_net_endpoints(struct config_yaml *y, const struct config_yaml_node *n,
			  struct config_endpoint **ret, size_t *ret_n)
{
	const struct config_yaml_node *i;
	struct config_endpoint *list;
	size_t count = 0;

	if (!config_yaml_is_list(y, n, MODEL_ENDPOINTS_MAX, "names or addresses, [] for none"))
		return;
	list = arena_alloc(y->keep, MODEL_ENDPOINTS_MAX, sizeof(*list));
	for (i = config_yaml_first(n); i; i = config_yaml_next(n, i))
		if (read_endpoint(y, i, &list[count]))
			count++;
	*ret = list;
	*ret_n = count;
}
