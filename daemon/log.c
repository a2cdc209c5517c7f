/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: log - one entry, one line
 *
 * Owns where the daemon's lines go. It never decides what is worth a line, and never prints
 * anything but its caller's text: what must stay secret must not get here.
 *
 * Invariant: an entry is a single line without control characters, whatever a peer's name or a
 * kernel's message held, and goes out in a single write, so that threads do not mix.
 *
 * Read next: main.c.
 */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#define PREFIX "MESSAGE="

static int max_level = LOG_INFO;
static bool to_journal;

/* systemd.exec(5): $JOURNAL_STREAM holds device and inode of what it connected. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;
	char tail;

	if (!stream || sscanf(stream, "%llu:%llu%c", &dev, &ino, &tail) != 2)
		return false;
	if (fstat(STDERR_FILENO, &st) < 0)
		return false;
	return st.st_dev == dev && st.st_ino == ino;
}

void log_init(int max_priority)
{
	max_level = max_priority;
	to_journal = stderr_is_journal();
}

/* Also the C1 controls as UTF-8 has them: terminals obey those, too. */
static void clean(char *s)
{
	for (; *s; s++) {
		uint8_t c = (uint8_t)*s, d = (uint8_t)s[1];

		if (c < 0x20 || c == 0x7f)
			*s = '?';
		else if (c == 0xc2 && d >= 0x80 && d < 0xa0)
			s[0] = s[1] = '?';
	}
}

static void cut(char *s, size_t size)
{
	size_t end = size - sizeof("...");

	/* Not within a character. */
	while (end > 0 && ((uint8_t)s[end] & 0xc0) == 0x80)
		end--;
	memcpy(s + end, "...", sizeof("..."));
}

static const char *level_name(int priority)
{
	static const char *const names[] = {"emerg",   "alert",	 "crit", "error",
					    "warning", "notice", "info", "debug"};

	return names[LOG_PRI(priority)];
}

static void to_stderr(int priority, const char *text)
{
	char line[LOG_LINE_MAX + 64];
	struct timespec now;
	struct tm tm;
	int n;

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	n = snprintf(line, sizeof(line), "%02d:%02d:%02d.%03ld %s %s\n", tm.tm_hour, tm.tm_min,
		     tm.tm_sec, now.tv_nsec / 1000000, level_name(priority), text);
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return; /* there is nobody left to tell */
}

static struct iovec field(const char *s)
{
	return (struct iovec){.iov_base = (void *)(uintptr_t)s, .iov_len = strlen(s)};
}

static int send_journal(int priority, const char *peer, int lane, const char *message)
{
	char level[] = "PRIORITY=0", peer_field[128], lane_field[32];
	struct iovec fields[5];
	int n = 0;

	level[sizeof(level) - 2] = (char)('0' + LOG_PRI(priority));
	fields[n++] = field(message);
	fields[n++] = field(level);
	fields[n++] = field("SYSLOG_IDENTIFIER=wgscaled");
	if (peer) {
		snprintf(peer_field, sizeof(peer_field), "WGSCALE_PEER=%s", peer);
		fields[n++] = field(peer_field);
	}
	if (lane >= 0) {
		snprintf(lane_field, sizeof(lane_field), "WGSCALE_LANE=%d", lane);
		fields[n++] = field(lane_field);
	}
	return sd_journal_sendv(fields, n);
}

__attribute__((format(printf, 4, 0))) static void entry(int priority, const char *peer, int lane,
							const char *fmt, va_list ap)
{
	char message[sizeof(PREFIX) + LOG_LINE_MAX] = PREFIX;
	char *text = message + sizeof(PREFIX) - 1;
	size_t size = sizeof(message) - (sizeof(PREFIX) - 1);
	int before = errno, n;

	if (LOG_PRI(priority) > max_level)
		return;
	n = vsnprintf(text, size, fmt, ap);
	if (n < 0)
		snprintf(text, size, "%s", fmt);
	else if ((size_t)n >= size)
		cut(text, size);
	clean(text);
	if (!to_journal || send_journal(priority, peer, lane, message) < 0)
		to_stderr(priority, text);
	errno = before;
}

void log_line(int priority, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	entry(priority, NULL, -1, fmt, ap);
	va_end(ap);
}

void log_peer(int priority, const char *peer, int lane, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	entry(priority, peer, lane, fmt, ap);
	va_end(ap);
}
