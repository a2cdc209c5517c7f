/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * probe: ICMP echo through a tunnel: packet layout (pure) and the raw sockets (not).
 *
 * Payload of an echo request between wgscale sites, 32 bytes, big-endian, WireGuard authenticates
 * it: magic "wgscale1" | version 1 | flags (bit 0: I hear you; bit 1: I carry traffic for your
 * networks) | lane number there | lane number here | tunnels usable | 3 zero | digest of my card |
 * digest of the card of yours that I hold. Longer payloads of a later version are legal.
 */
#ifndef WGSCALE_PROBE_H
#define WGSCALE_PROBE_H

#include "addr.h"

#define PROBE_LEN 32

struct probe_msg {
	bool hears, active;
	uint8_t to_lane, from_lane;
	uint8_t usable;
	uint64_t my_card, your_card;
};

void probe_encode(const struct probe_msg *m, uint8_t ret[static PROBE_LEN]);
int probe_parse(const uint8_t *p, size_t len, struct probe_msg *ret); /* -EINVAL: not ours */

/* What was received. */
struct probe_event {
	bool reply; /* else a request */
	struct ipaddr from;
	uint32_t ifindex; /* it came in by */
	uint16_t ident, seq;
	bool has_msg;	      /* false: a version we do not understand */
	struct probe_msg msg; /* replies carry our own back */
	uint64_t when_us;     /* CLOCK_MONOTONIC, of reception by the kernel */
};

/* What a raw socket of `family` reads: for IPv4 with its IP header, for IPv6 without. Fills reply,
 * ident, seq, has_msg and msg; -EINVAL: no echo message with our magic. Pure. */
int probe_parse_packet(uint8_t family, const uint8_t *p, size_t len, struct probe_event *ret);

/* Identifiers of a process: `ident` and the PROBE_IDENTS - 1 after it. */
#define PROBE_IDENTS 256

/* Two raw sockets (either fd may be -1 where the family is missing), non-blocking, filtered to
 * echo messages that carry our magic, and of replies to those with one of our identifiers. */
struct probe_sock {
	int fd4, fd6;
	uint16_t ident; /* random, a multiple of PROBE_IDENTS */
};

/* Needs CAP_NET_RAW. -EAFNOSUPPORT: neither family. */
int probe_open(struct probe_sock *s);
void probe_close(struct probe_sock *s); /* also one of all zeroes or that failed to open */
/* Packet mark of all that is sent (needs CAP_NET_ADMIN): with the mark of outer packets, a probe to
 * an address inside the peer's networks stays on the lane it was meant for. */
int probe_set_mark(struct probe_sock *s, uint32_t mark);
/* From `from` (family 0: the kernel's choice) by the interface `ifindex` to `to`.
 * -EAFNOSUPPORT: no socket of that family; -EAGAIN, -ENOBUFS: not now; else -errno of sendmsg. */
int probe_send(struct probe_sock *s, uint32_t ifindex, const struct ipaddr *from,
	       const struct ipaddr *to, uint16_t seq, const struct probe_msg *m);
/* Next event from fd, -EAGAIN when there is none. */
int probe_receive(struct probe_sock *s, int fd, struct probe_event *ret);

#endif
