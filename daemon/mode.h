/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mode: the adapter of our module's generic netlink family: the mode of each peer entry. uAPI:
 * module/wgscale.h. Without the module there is no such family, and everything is vanilla.
 */
#ifndef WGSCALE_MODE_H
#define WGSCALE_MODE_H

#include "nl.h"
#include "plan.h"

struct mode_nl;

/* `result` as for wg_open(). */
int mode_open(nl_result_fn result, void *owner, struct mode_nl **ret_mode);
void mode_close(struct mode_nl *m);

/* Adds the MODE objects of all devices that `ret` has LINK objects of, and the facts about modes.
 * As kernel_observe(); no module is no error. */
int mode_observe(struct mode_nl *m, struct world *ret, const char **ret_why);

/* To be called before a round of mode_apply(): looks for the family anew. */
void mode_begin(struct mode_nl *m);
/* Collects the request of an OP_SET; results come when there are many, or at mode_flush(). */
void mode_apply(struct mode_nl *m, struct op *op);
void mode_flush(struct mode_nl *m);

/* ---- pure ---- */

/* An entry as WGSCALE_CMD_GET_PEER tells it; 0, or -EBADMSG. */
int mode_parse(const struct nlmsghdr *nlh, uint32_t *ret_ifindex, struct obj_mode *ret);

/* `buf` has NL_MSG_MAX bytes. Asks for the entries of all devices. */
struct nlmsghdr *mode_encode_get(void *buf, uint16_t family);
struct nlmsghdr *mode_encode_set(void *buf, uint16_t family, const char *dev,
				 const struct key *peer, enum mode mode);

#endif
