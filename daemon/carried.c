/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: One small file (carried.h says what is in it), written whole whenever a configuration was
 * accepted, and read bounded: a broken, missing or edited site file must not open a gap. Read next:
 * guard.c and lifecycle.c, which go by it.
 */
#include "carried.h"

#include <errno.h>
#include <string.h>

#define FILE_MAX (8u << 20)

static char *path_of(const struct paths *p, struct text *path)
{
	text_printf(path, "%s/networks", p->state_dir);
	return path->s;
}

int carried_write(const struct paths *p, const struct site *s)
{
	const struct config *c = s->config;
	struct text out = {0}, path = {0};
	char buf[ADDR_STRLEN];
	int err;

	text_printf(&out, "mark-mask 0x%x\ntable-base %u\nrule-base %u\n", c->mark_mask,
		    c->table_base, c->rule_base);
	for (size_t i = 0; i < c->networks.n; i++)
		text_printf(&out, "own %s\n", addr_print_prefix(&c->networks.items[i].prefix, buf));
	for (size_t i = 0; i < s->n_peers; i++)
		for (size_t j = 0; s->peers[i].traffic == TRAFFIC_ON && j < s->peers[i].n_networks;
		     j++)
			text_printf(&out, "net %s\n",
				    addr_print_prefix(&s->peers[i].networks[j], buf));
	for (size_t i = 0; i < s->n_held; i++)
		text_printf(&out, "net %s\n", addr_print_prefix(&s->held[i], buf));
	err = state_write_file(path_of(p, &path), text_str(&out), out.len, 0600);
	text_done(&out);
	text_done(&path);
	return err;
}

static int take_line(struct carried *c, char *line)
{
	char *value = strchr(line, ' ');
	struct prefix prefix;
	uint64_t number = 0;

	if (!value)
		return -EINVAL;
	*value++ = '\0';
	if (strcmp(line, "kernel") == 0 && strcmp(value, "empty") == 0) {
		c->empty = true;
		return 0;
	}
	if (strcmp(line, "own") == 0 || strcmp(line, "net") == 0) {
		if (addr_parse_prefix(value, &prefix) != 0)
			return -EINVAL;
		if (line[0] == 'n') {
			struct prefix *slot = arena_grow(&c->arena, (void **)&c->networks,
							 &c->n_networks, sizeof(*slot));
			*slot = prefix;
		} else {
			struct config_prefix *slot =
				arena_grow(&c->arena, (void **)&c->config.networks.items,
					   &c->config.networks.n, sizeof(*slot));
			slot->prefix = prefix;
		}
		return 0;
	}
	if (text_parse_u64(value, 0, UINT32_MAX, &number) != 0)
		return -EINVAL;
	if (strcmp(line, "mark-mask") == 0)
		c->config.mark_mask = (uint32_t)number;
	else if (strcmp(line, "table-base") == 0)
		c->config.table_base = (uint32_t)number;
	else if (strcmp(line, "rule-base") == 0)
		c->config.rule_base = (uint32_t)number;
	else
		return -EINVAL;
	return 0;
}

void carried_done(struct carried *c)
{
	arena_done(&c->arena);
	memset(c, 0, sizeof(*c));
}

int carried_read(const struct paths *p, struct carried *ret)
{
	char *text, *line, *save = NULL;
	struct text path = {0};
	size_t len;
	int err;

	memset(ret, 0, sizeof(*ret));
	err = state_read_file(path_of(p, &path), FILE_MAX, &ret->arena, &text, &len);
	text_done(&path);
	if (err) {
		carried_done(ret);
		return err;
	}
	for (line = strtok_r(text, "\n", &save); line && !err; line = strtok_r(NULL, "\n", &save))
		err = take_line(ret, line);
	if (!err && ret->config.mark_mask && ret->config.table_base && ret->config.rule_base)
		return 0;
	carried_done(ret);
	return -EBADMSG;
}

int carried_set_empty(const struct paths *p)
{
	struct text path = {0}, out = {0};
	struct arena a = {0};
	char *text;
	size_t len;
	int err = state_read_file(path_of(p, &path), FILE_MAX, &a, &text, &len);

	if (!err) {
		text_printf(&out, "%skernel empty\n", text);
		err = state_write_file(path.s, text_str(&out), out.len, 0600);
	}
	arena_done(&a);
	text_done(&out);
	text_done(&path);
	return err == -ENOENT ? 0 : err;
}

bool carried_has(const struct carried *c, const struct prefix *net)
{
	for (size_t i = 0; i < c->n_networks; i++)
		if (addr_cmp_prefix(&c->networks[i], net) == 0)
			return true;
	return false;
}

void carried_add(struct carried *c, const struct prefix *net)
{
	struct prefix *slot;

	if (carried_has(c, net))
		return;
	slot = arena_grow(&c->arena, (void **)&c->networks, &c->n_networks, sizeof(*slot));
	*slot = *net;
}

void carried_remove(struct carried *c, const struct prefix *net)
{
	for (size_t i = 0; i < c->n_networks; i++)
		if (addr_cmp_prefix(&c->networks[i], net) == 0)
			c->networks[i] = c->networks[--c->n_networks];
}
