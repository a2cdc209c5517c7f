/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * unconfirmed: STATE/unconfirmed: until when what was loaded last is to be confirmed, else it is
 * undone. Neither a restart nor a reboot confirms.
 *
 * One line: "BOOT-ID SECONDS", of CLOCK_BOOTTIME, which no setting of the clock moves.
 */
#ifndef WGSCALE_UNCONFIRMED_H
#define WGSCALE_UNCONFIRMED_H

#include "state.h"

int unconfirmed_write(const struct paths *p, unsigned int seconds);
/* No error when there is none. */
int unconfirmed_clear(const struct paths *p);
/* false: nothing is to be confirmed. *ret_left_s: of the time; 0 when it is over, as it is in
 * another boot, and if it cannot be read. */
bool unconfirmed_read(const struct paths *p, unsigned int *ret_left_s);

#endif
