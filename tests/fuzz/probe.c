/* SPDX-License-Identifier: GPL-2.0-only */
// link: daemon/probe.o
/*
 * DOC: probe - whatever arrives in an echo message
 *
 * The first byte picks what the rest is: a bare payload, or what a raw socket of either family
 * reads. What is understood must survive being written and read again.
 */
#include <string.h>

#include "probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct probe_msg *m)
{
	uint8_t p[PROBE_LEN], q[PROBE_LEN];
	struct probe_msg again;

	probe_encode(m, p);
	if (probe_parse(p, sizeof(p), &again) < 0)
		__builtin_trap();
	probe_encode(&again, q);
	if (memcmp(p, q, sizeof(p)) != 0)
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct probe_event e;
	struct probe_msg m;

	if (!size)
		return 0;
	switch (data[0] % 3) {
	case 0:
		if (!probe_parse(data + 1, size - 1, &m))
			check(&m);
		break;
	case 1:
		if (!probe_parse_packet(AF_INET, data + 1, size - 1, &e) && e.has_msg)
			check(&e.msg);
		break;
	case 2:
		if (!probe_parse_packet(AF_INET6, data + 1, size - 1, &e) && e.has_msg)
			check(&e.msg);
		break;
	}
	return 0;
}
