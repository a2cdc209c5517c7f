/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ethtool_nic: OBJ_NIC objects: the receive hash fields of the NICs that outer packets come in by.
 * What a NIC had before we first wrote is kept in a file below `saved_dir` until it is put back.
 */
#ifndef WGSCALE_ETHTOOL_NIC_H
#define WGSCALE_ETHTOOL_NIC_H

#include "plan.h"
#include "world.h"

/*
 * Adds the NICs below `devs` (VLANs, bonds, bridges resolve to their lower devices) that have such
 * a setting, as objects and as facts.nics, and those with a saved value.
 */
void ethtool_nic_observe(const char *const *devs, size_t n_devs, const char *saved_dir,
			 struct world *ret);

/* OP_SET saves what was there first; OP_DEL puts it back. 0 or -errno. */
int ethtool_nic_apply(const struct op *op, const char *saved_dir);

#endif
