/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * endpoints: where each peer's lanes are to be found. Resolves names off the loop, and tries the
 * next address of a peer when a tunnel stays silent. An endpoint that answers, wherever it roamed
 * to, is left alone.
 */
#ifndef WGSCALE_ENDPOINTS_H
#define WGSCALE_ENDPOINTS_H

#include "gateway.h"

struct ev_loop;
struct endpoints;

/* `changed`: an endpoint of the gateway changed; a pass must carry it to the kernel. */
int endpoints_open(struct ev_loop *loop, void (*changed)(void *owner),
		   const struct facts *(*facts)(void *owner), void *owner,
		   struct endpoints **ret_endpoints);
void endpoints_close(struct endpoints *e);
void endpoints_set(struct endpoints *e, struct gateway *g);
/* Why a peer has no endpoint ("cannot resolve vpn.example: ..."), or NULL. */
const char *endpoints_problem(const struct endpoints *e, const char *peer);

#endif
