/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * nft_set: our kinds of nf_tables sets and their elements, as libnftnl has them and as objects of
 * a world. No system calls.
 */
#ifndef WGSCALE_NFT_SET_H
#define WGSCALE_NFT_SET_H

#include <libnftnl/set.h>

#include "kernel.h"
#include "world.h"

/* The name of a table in the kernel, "wgscale" or "wgscale_guard". */
const char *nft_set_table(enum nft_table_id id);

/* A new empty set as we declare one for `o` (NFT_NETS with a family, or NFT_BUCKETS); NULL: no
 * memory. To be freed with nftnl_set_free(). */
struct nftnl_set *nft_set_declare(const struct obj *o, uint32_t id);
/* The anonymous set of protocols with ports, with its elements. */
struct nftnl_set *nft_set_declare_protos(enum nft_table_id table, uint32_t id);

/*
 * Appends the elements of one range (one or two), or of one bucket, to `s`. `key_only`: as a
 * request to delete them. `slot` is that of lane_slot. 0 or -ENOMEM.
 */
int nft_set_add_range(struct nftnl_set *s, const struct nft_range *r, bool key_only);
int nft_set_add_bucket(struct nftnl_set *s, unsigned int bucket, unsigned int slot, bool key_only);

/*
 * What an observed set with its elements is: NFT_NETS or NFT_BUCKETS with contents (in `a`). A set
 * that is not as we declare one, or holds what we never put into one, is NFT_NETS of family 0,
 * which differs from every wanted one. An element of a bucket map that leads elsewhere than to a
 * lane has slot UINT8_MAX; a range that leads to no chain has chain "".
 */
void nft_set_parse(const struct nftnl_set *have, struct arena *a, struct obj *ret);
bool nft_set_is_protos(const struct nftnl_set *have);

/* The counters of a bucket map's elements; buckets without element or counter are left alone. */
void nft_set_counts(const struct nftnl_set *have, struct kernel_bucket_count counts[MODEL_BUCKETS]);

#endif
