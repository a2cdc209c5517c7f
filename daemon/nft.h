/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * nft: the nf_tables adapter, over libnftnl. Tables "inet wgscale" and "inet wgscale_guard".
 */
#ifndef WGSCALE_NFT_H
#define WGSCALE_NFT_H

#include "kernel.h"

struct nft;

int nft_open(struct nft **ret_nft);
void nft_close(struct nft *n);

/* Adds all objects of our two tables to `ret`; as kernel_observe(). Everything found in them is
 * reported, so that what does not belong there is removed. */
int nft_observe(struct nft *n, struct world *ret, const char **ret_why);

/* One transaction; as kernel_apply(). */
size_t nft_apply(struct nft *n, struct op *ops, size_t n_ops, struct arena *a);

int nft_bucket_counts(struct nft *n, const char *map,
		      struct kernel_bucket_count ret_counts[MODEL_BUCKETS]);

#endif
