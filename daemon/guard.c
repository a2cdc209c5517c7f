/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: The boot guard: one pass that only adds, run before the network is up. What it needs are
 * the networks of peers that carry traffic and the numbers under which our objects live. It takes
 * them from the site file if that can be used, and always also from STATE/networks, which the
 * daemon writes whenever a configuration was accepted: a broken, missing or edited site file must
 * not open a gap. The daemon later takes over what stands here and removes what is too much.
 *
 * STATE/networks, one item per line: "mark-mask HEX", "table-base N", "rule-base N", "own PREFIX",
 * "net PREFIX".
 */
#include "daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

#define NETWORKS_FILE_MAX (8u << 20)

static char *networks_path(const struct paths *p, struct text *path)
{
	text_printf(path, "%s/networks", p->state_dir);
	return path->s;
}

int guard_remember(const struct paths *p, const struct site *s)
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
	err = state_write_file(networks_path(p, &path), text_str(&out), out.len, 0600);
	text_done(&out);
	text_done(&path);
	return err;
}

static int take_line(struct guard_memory *m, char *line)
{
	char *value = strchr(line, ' ');
	struct prefix prefix;
	uint64_t number = 0;

	if (!value)
		return -EINVAL;
	*value++ = '\0';
	if (strcmp(line, "own") == 0 || strcmp(line, "net") == 0) {
		if (addr_parse_prefix(value, &prefix) != 0)
			return -EINVAL;
		if (line[0] == 'n') {
			struct prefix *slot = arena_grow(&m->arena, (void **)&m->networks,
							 &m->n_networks, sizeof(*slot));
			*slot = prefix;
		} else {
			struct config_prefix *slot =
				arena_grow(&m->arena, (void **)&m->config.networks.items,
					   &m->config.networks.n, sizeof(*slot));
			slot->prefix = prefix;
		}
		return 0;
	}
	if (text_parse_u64(value, 0, UINT32_MAX, &number) != 0)
		return -EINVAL;
	if (strcmp(line, "mark-mask") == 0)
		m->config.mark_mask = (uint32_t)number;
	else if (strcmp(line, "table-base") == 0)
		m->config.table_base = (uint32_t)number;
	else if (strcmp(line, "rule-base") == 0)
		m->config.rule_base = (uint32_t)number;
	else
		return -EINVAL;
	return 0;
}

void guard_memory_done(struct guard_memory *m)
{
	arena_done(&m->arena);
	memset(m, 0, sizeof(*m));
}

bool guard_recall(const struct paths *p, struct guard_memory *ret)
{
	struct text path = {0};
	char *text = NULL, *line, *save = NULL;
	size_t len;
	int err = text_read_file(networks_path(p, &path), NETWORKS_FILE_MAX, &text, &len);

	text_done(&path);
	memset(ret, 0, sizeof(*ret));
	if (err)
		return false;
	for (line = strtok_r(text, "\n", &save); line && !err; line = strtok_r(NULL, "\n", &save))
		err = take_line(ret, line);
	free(text);
	if (!err && ret->config.mark_mask && ret->config.table_base && ret->config.rule_base)
		return true;
	log_line(LOG_ERR, "%s/networks cannot be read: the site file alone says what to guard",
		 p->state_dir);
	guard_memory_done(ret);
	return false;
}

static void keep(struct guard_memory *m, const struct prefix *net)
{
	struct prefix *slot;

	for (size_t i = 0; i < m->n_networks; i++)
		if (addr_cmp_prefix(&m->networks[i], net) == 0)
			return;
	slot = arena_grow(&m->arena, (void **)&m->networks, &m->n_networks, sizeof(*slot));
	*slot = *net;
}

static void forget(struct guard_memory *m, const struct prefix *net)
{
	for (size_t i = 0; i < m->n_networks; i++)
		if (addr_cmp_prefix(&m->networks[i], net) == 0)
			m->networks[i] = m->networks[--m->n_networks];
}

/* What the configuration says now; of what was remembered stays what it does not speak of. */
static void take_site(struct guard_memory *m, const struct site *s)
{
	m->config.mark_mask = s->config->mark_mask;
	m->config.table_base = s->config->table_base;
	m->config.rule_base = s->config->rule_base;
	m->config.networks = s->config->networks;
	for (size_t i = 0; i < s->n_peers; i++)
		for (size_t j = 0; j < s->peers[i].n_networks; j++)
			if (s->peers[i].traffic == TRAFFIC_ON)
				keep(m, &s->peers[i].networks[j]);
			else
				forget(m, &s->peers[i].networks[j]);
	for (size_t i = 0; i < s->n_held; i++)
		keep(m, &s->held[i]);
}

/* A site that consists of networks only. */
static void want_remembered(const struct guard_memory *m, const struct facts *facts,
			    struct world *ret)
{
	struct config_peer config = {0};
	struct peer remembered = {.id = "remembered",
				  .config = &config,
				  .networks = m->networks,
				  .n_networks = m->n_networks};
	struct site site = {
		.config = &m->config, .id = "remembered", .peers = &remembered, .n_peers = 1};
	struct want_peer peer = {.mtu = GATEWAY_MTU_DEFAULT};
	struct want_input in = {.site = &site, .peers = &peer, .facts = facts, .guard_only = true};

	want_build(&in, ret);
}

static void tell_failures(const struct op *ops, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct text line = {0};

		if (!ops[i].error)
			continue;
		plan_print_failure(&ops[i], &line);
		log_line(LOG_ERR, "guard: failed: %s", text_str(&line));
		text_done(&line);
	}
}

/* Observes, and applies what a plan would add: nothing is taken away at boot. */
static int put_in_place(struct kernel *const k[2], const struct guard_memory *m)
{
	struct ownership own = {.table_base = m->config.table_base,
				.rule_base = m->config.rule_base};
	struct world have = {0}, nft = {0}, want = {0};
	struct plan plan = {0};
	size_t failed = 0, n = 0;
	const char *why = "";
	int err = kernel_observe(k[BUS_RTNL], &own, &have, &why);

	if (!err)
		err = kernel_observe(k[BUS_NFT], &own, &nft, &why);
	if (err) {
		log_line(LOG_ERR, "cannot read the kernel's state: %s: %s", strerror(-err), why);
	} else {
		want_remembered(m, &have.facts, &want);
		for (size_t i = 0; i < nft.n; i++)
			*world_add(&have, OBJ_LINK) = nft.objs[i];
		world_sort(&have);
		plan_build(&want, &have, &plan);
	}
	for (size_t i = 0; i < plan.n; i++)
		if (plan.ops[i].verb == OP_ADD || plan.ops[i].verb == OP_SET)
			plan.ops[n++] = plan.ops[i];
	for (size_t from = 0, to; from < n; from = to) {
		enum op_bus bus = plan_bus(&plan.ops[from]);

		for (to = from; to < n && plan_bus(&plan.ops[to]) == bus;)
			to++;
		failed += kernel_apply(k[bus], &plan.ops[from], to - from, &plan.arena);
	}
	tell_failures(plan.ops, n);
	plan_done(&plan);
	world_done(&want);
	world_done(&have);
	world_done(&nft);
	return err || failed ? 1 : 0;
}

int guard_run(const struct paths *p)
{
	struct diags diags = {0};
	struct gateway *g = lifecycle_first(p, &diags);
	struct guard_memory m;
	bool remembered = guard_recall(p, &m);
	struct kernel *k[2] = {NULL, NULL};
	int status = 1;

	if (!g && !remembered) {
		log_line(LOG_NOTICE, "guard: no usable site file and none was accepted before: "
				     "there is nothing to guard");
		diag_done(&diags);
		return 0;
	}
	if (g)
		take_site(&m, g->site);
	if (kernel_open(BUS_RTNL, &k[0]) == 0 && kernel_open(BUS_NFT, &k[1]) == 0)
		status = put_in_place(k, &m);
	else
		log_line(LOG_ERR, "guard: cannot talk to the kernel (root is needed)");
	if (k[0])
		kernel_close(k[0]);
	if (k[1])
		kernel_close(k[1]);
	guard_memory_done(&m);
	gateway_free(g);
	diag_done(&diags);
	return status;
}
