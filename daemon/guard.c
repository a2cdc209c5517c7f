/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: The boot guard: one pass that only adds, run before the network is up. What it needs are
 * the networks of peers that carry traffic and the numbers under which our objects live. It takes
 * them from the site file if that can be used, and always also from STATE/networks, which the
 * daemon writes whenever a configuration was accepted: a broken, missing or edited site file must
 * not open a gap. The daemon later takes over what stands here and removes what is too much.
 */
#include "daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "carried.h"
#include "log.h"

/* What the configuration says now; of what was remembered stays what it does not speak of. */
static void take_site(struct carried *m, const struct site *s)
{
	m->config.mark_mask = s->config->mark_mask;
	m->config.table_base = s->config->table_base;
	m->config.rule_base = s->config->rule_base;
	m->config.networks = s->config->networks;
	for (size_t i = 0; i < s->n_peers; i++)
		for (size_t j = 0; j < s->peers[i].n_networks; j++)
			if (s->peers[i].traffic == TRAFFIC_ON)
				carried_add(m, &s->peers[i].networks[j]);
			else
				carried_remove(m, &s->peers[i].networks[j]);
	for (size_t i = 0; i < s->n_held; i++)
		carried_add(m, &s->held[i]);
}

/* A site that consists of networks only. */
static void want_remembered(const struct carried *m, const struct facts *facts, struct world *ret)
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
static int put_in_place(struct kernel *const k[2], const struct carried *m)
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
	struct carried m;
	int err = carried_read(p, &m);
	struct kernel *k[2] = {NULL, NULL};
	int status = 1;

	if (err == -EBADMSG)
		log_line(LOG_ERR, "guard: %s/networks cannot be read; going by the site file alone",
			 p->state_dir);
	if (!g && err) {
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
	carried_done(&m);
	gateway_free(g);
	diag_done(&diags);
	return status;
}
