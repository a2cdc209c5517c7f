/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * log: one line to the journal (with fields), or to stderr as "HH:MM:SS.mmm level text". Edges
 * only. Control characters become '?'; what is longer than LOG_LINE_MAX is cut, with "..." at the
 * end. errno survives, and %m works.
 */
#ifndef WGSCALE_LOG_H
#define WGSCALE_LOG_H

#include <syslog.h>

#define LOG_LINE_MAX 2048 /* bytes of text */

/* Uses the journal's native protocol when stderr is connected to it. Before it is called
 * everything up to LOG_INFO goes to stderr. */
void log_init(int max_priority);
void log_line(int priority, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* With WGSCALE_PEER=, WGSCALE_LANE= (peer NULL, lane < 0: none) fields. */
void log_peer(int priority, const char *peer, int lane, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif
