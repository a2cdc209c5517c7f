/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * override_file: STATE/modes: the modes of tunnels that the operator has chosen, in the lines of
 * override.h. Neither a restart nor a reboot forgets them.
 */
#ifndef WGSCALE_OVERRIDE_FILE_H
#define WGSCALE_OVERRIDE_FILE_H

#include "override.h"
#include "state.h"

/* -errno: it is there and cannot be read; *ret is empty then. */
int override_file_read(const struct paths *p, struct overrides *ret);
/* Whole or not at all; -errno. Without any there is no file. */
int override_file_write(const struct paths *p, const struct overrides *o);

#endif
