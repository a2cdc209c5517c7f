/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * nft_txn: ops on nf_tables objects as one transaction of the kernel.
 */
#ifndef WGSCALE_NFT_TXN_H
#define WGSCALE_NFT_TXN_H

#include "nl.h"
#include "plan.h"

/* As nft_apply(); ops of other buses are left alone. */
size_t nft_txn_run(struct nl *nl, struct op *ops, size_t n_ops, struct arena *a);

#endif
