/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * nft_expr: a rule (nft_rule.h) as the expressions the kernel runs, and back. No system calls.
 */
#ifndef WGSCALE_NFT_EXPR_H
#define WGSCALE_NFT_EXPR_H

#include <libnftnl/rule.h>

#include "nft_rule.h"

/* What a rule says in a world when it is not what its comment says, or has none. */
#define NFT_EXPR_ALIEN "alien"

/*
 * Appends the expressions of `r` to `ret`, and its line as comment. `protos_id` is the id, within
 * the transaction, of the anonymous set of protocols with ports (NFT_RULE_PORTS; else ignored).
 * -EINVAL when the line would not fit into a comment, -ENOMEM.
 */
int nft_expr_encode(const struct nft_rule *r, uint32_t protos_id, struct nftnl_rule *ret);

/* Whether the set of this name is as we declare one; with `protos`: whether it is an anonymous set
 * of just the protocols with ports. */
typedef bool (*nft_expr_set_fn)(void *data, const char *set, bool protos);

/*
 * The comment of an observed rule into `ret_line`, if it has just the expressions that this line
 * encodes to, else NFT_EXPR_ALIEN. Values of counters do not matter.
 */
void nft_expr_line(struct nftnl_rule *have, nft_expr_set_fn set_ok, void *data,
		   char ret_line[static NFT_RULE_LINE_MAX + 1]);

#endif
