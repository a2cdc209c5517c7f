/* SPDX-License-Identifier: GPL-2.0-only */
/* The generic netlink family that wgscale.h describes. */
#ifndef _WGS_CONTROL_H
#define _WGS_CONTROL_H

struct wg_peer;

/* Before the first peer is made, after the last one is gone: peers notify. */
int wgs_control_init(void);
void wgs_control_done(void);

/* Tells listeners the modes of a peer. Any context. */
void wgs_control_notify(const struct wg_peer *peer);

#endif
