/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * watch: kernel notifications that something of ours, or an address of the host, has changed.
 * They carry no truth, they only ask for a pass; a lost one (ENOBUFS) asks for one, too.
 */
#ifndef WGSCALE_WATCH_H
#define WGSCALE_WATCH_H

#include "want.h"

struct ev_loop;
struct watch;

int watch_open(struct ev_loop *loop, const struct ownership *own,
	       void (*changed)(void *owner, const char *what), void *owner,
	       struct watch **ret_watch);
void watch_close(struct watch *w);
void watch_set_numbers(struct watch *w, const struct ownership *own);
/* The group of our module's notifications, after each observation: a module that was loaded anew
 * has lost its listeners. 0: there is none. */
void watch_set_modes(struct watch *w, uint32_t group);
/* Throws away what has been notified so far: called right before an observation. */
void watch_drain(struct watch *w);

#endif
