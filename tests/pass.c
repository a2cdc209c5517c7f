/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: A pass of the reconciler for tests that have no event loop. It keeps to what reconcile.c
 * does: two observations joined, ops given to the kernel in runs of one bus, in order, and later
 * runs tried although an op failed. Invariant: it holds nothing between calls.
 */
#include "pass.h"

#include <stdlib.h>

static const char *const underlay[] = {"eth0"};

int pass_observe(const struct ownership *own, bool quiet, struct world *ret)
{
	int err = 0;

	*ret = (struct world){0};
	for (int bus = 0; bus < 2 && !err; bus++) {
		const char *why = "";
		struct kernel *k;

		err = kernel_open((enum op_bus)bus, &k);
		if (err)
			break;
		err = kernel_observe(k, own, ret, &why);
		if (!err && bus == BUS_RTNL)
			kernel_observe_nics(k, underlay, 1, "", ret);
		kernel_close(k);
	}
	for (size_t i = 0; i < ret->n; i++)
		if (ret->objs[i].kind == OBJ_LINK)
			ret->objs[i].link.quiet = quiet;
	world_sort(ret);
	return err;
}

size_t pass_apply(struct plan *p, struct arena *a)
{
	size_t failed = 0;

	for (size_t from = 0, to; from < p->n; from = to) {
		enum op_bus bus = plan_bus(&p->ops[from]);
		struct kernel *k;

		for (to = from; to < p->n && plan_bus(&p->ops[to]) == bus;)
			to++;
		if (kernel_open(bus, &k))
			return p->n;
		failed += kernel_apply(k, &p->ops[from], to - from, a);
		kernel_close(k);
	}
	return failed;
}

void pass_print(const struct plan *p, struct text *out)
{
	for (size_t i = 0; i < p->n; i++) {
		plan_print_op(&p->ops[i], out);
		text_printf(out, "\n");
	}
}
