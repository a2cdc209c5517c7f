/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kernel: the one door to the kernel, and THE test seam: tests/fake_kernel.c stands in for it at
 * link time. Fans out to the adapters.
 *
 * Every function here may block (rtnl): call it from a worker, never from the event loop. A
 * struct kernel belongs to one thread.
 */
#ifndef WGSCALE_KERNEL_H
#define WGSCALE_KERNEL_H

#include "plan.h"
#include "want.h"
#include "world.h"

struct kernel;

/* Opens the sockets of one bus. */
int kernel_open(enum op_bus bus, struct kernel **ret_kernel);
void kernel_close(struct kernel *k);

/*
 * Adds to `ret` the objects of this bus that are ours, unsorted, and (BUS_RTNL) the facts.
 * Retries a torn dump. On error (-errno) *ret_why has what was asked and the kernel's words, and
 * `ret` must not be planned from.
 */
int kernel_observe(struct kernel *k, const struct ownership *own, struct world *ret,
		   const char **ret_why);

/*
 * Applies the ops of this kernel's bus, in order; ops of BUS_NFT form one transaction: all or
 * none. Sets op->error and op->why (allocated in `a`). Returns how many failed. A failed op does
 * not keep later ones from being tried (BUS_RTNL).
 */
size_t kernel_apply(struct kernel *k, struct op *ops, size_t n, struct arena *a);

/* Adds the NICs under `devs` (BUS_RTNL), as objects and as facts.nics; what they were before we
 * changed them is kept below `saved_dir`. After kernel_observe(); `ret` stays usable in any
 * case. */
void kernel_observe_nics(struct kernel *k, const char *const *devs, size_t n_devs,
			 const char *saved_dir, struct world *ret);

/* Per-peer counters of one lane device (WG_CMD_GET_DEVICE; takes rtnl). */
struct kernel_peer_sample {
	struct key key;
	struct sockep endpoint;
	uint64_t handshake_s, rx_bytes, tx_bytes;
};

int kernel_sample(struct kernel *k, const char *dev, struct arena *a,
		  struct kernel_peer_sample **ret_samples, size_t *ret_n);

/* The MTU of the path to `dst` with mark `mark` (route MTU or device MTU) and the device it
 * leaves by. */
int kernel_path(struct kernel *k, const struct ipaddr *dst, uint32_t mark, uint32_t *ret_mtu,
		char ret_dev[static 16]);

/* Counters on the elements of a bucket map, packets and bytes each (BUS_NFT). */
struct kernel_bucket_count {
	uint64_t packets, bytes;
};

int kernel_bucket_counts(struct kernel *k, const char *map,
			 struct kernel_bucket_count ret_counts[MODEL_BUCKETS]);

#endif
