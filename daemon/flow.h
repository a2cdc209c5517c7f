/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * flow: an inner flow, and the bucket that the kernel's nf_tables puts it into. Pure.
 *
 * bucket = (jhash(fields, each padded to 4 bytes, seed) * 1024) >> 32, where jhash is that of the
 * kernel (include/linux/jhash.h, the byte-wise variant, as net/netfilter/nft_hash.c calls it) and
 * the multiplication is reciprocal_scale(). The fields are source address, destination address,
 * source port, destination port, in network order, a port followed by two zero bytes. With ports:
 * 16 bytes for IPv4, 40 for IPv6; without: 8 and 32.
 */
#ifndef WGSCALE_FLOW_H
#define WGSCALE_FLOW_H

#include "addr.h"

struct flow {
	struct ipaddr src, dst; /* of one family, set */
	uint8_t proto;		/* IPPROTO_*; 0: unknown, hashed by addresses */
	uint16_t sport, dport;	/* host order; ignored unless flow_has_ports(proto) */
};

/*
 * Bob Jenkins' lookup3 with the kernel's initial value. Words are loaded in the host's byte order,
 * as the kernel does: it predicts this host's kernel.
 */
uint32_t flow_jhash(const void *key, uint32_t len, uint32_t seed);
/* TCP, UDP, UDP-Lite, SCTP, DCCP: hashed with ports. */
bool flow_has_ports(uint8_t proto);
/*
 * `swap` as in struct peer: source and destination change places before hashing. Below
 * MODEL_BUCKETS. A flow whose packets are fragmented uses the bucket of proto 0 for those.
 */
unsigned int flow_bucket(const struct flow *f, uint32_t seed, bool swap);

#endif
