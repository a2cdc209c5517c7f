/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * The generic netlink family "wgscale": how each WireGuard peer of this module does its work, and
 * what became of its packets. The family "wireguard" is upstream's, unchanged.
 *
 * A device is named by WGSCALE_A_IFINDEX or WGSCALE_A_IFNAME, exactly one of them; a peer by its
 * device and WGSCALE_A_PUBLIC_KEY. All commands need CAP_NET_ADMIN in the user namespace of the
 * network namespace the socket is in, and see the devices of that namespace alone. Requests are
 * validated strictly: an attribute that does not belong there is refused. Refusals carry a text
 * (NLMSGERR_ATTR_MSG).
 *
 * GET_DEVICE  do: one device; dump: all of them
 *             -> IFINDEX, IFNAME, DEFAULT_MODE, CRYPT_CPUS (absent: all online), PEERS, DROPS
 * SET_DEVICE  IFINDEX|IFNAME, [DEFAULT_MODE], [CRYPT_CPUS]
 * GET_PEER    do: one peer; dump: the peers of one device, or of all devices when none is named
 *             -> IFINDEX, PUBLIC_KEY, MODE, MODE_IN_FORCE, SWITCHES, NAPI_PID, SCALAR, COUNTERS
 *             (one nest per mode), DROPS
 * SET_PEER    IFINDEX|IFNAME, PUBLIC_KEY, MODE
 * NTF_PEER    to group "peers", when MODE or MODE_IN_FORCE of a peer changed:
 *             IFINDEX, PUBLIC_KEY, MODE, MODE_IN_FORCE, SWITCHES
 *
 * Errors: -ENODEV no such device, -ENOENT no such peer, -EINVAL and -ERANGE a request that makes no
 * sense, -EOPNOTSUPP inline on a PREEMPT_RT kernel and nothing else, -EPERM.
 *
 * Version 1. Attributes are only ever added; a number is never used again.
 */
#ifndef _UAPI_WGSCALE_H
#define _UAPI_WGSCALE_H

#define WGSCALE_GENL_NAME    "wgscale"
#define WGSCALE_GENL_VERSION 1
#define WGSCALE_MCGRP_PEERS  "peers"

#define WGSCALE_KEY_LEN	 32
#define WGSCALE_CPUS_LEN 4096 /* of the text of CRYPT_CPUS, without its NUL */

enum wgscale_cmd {
	WGSCALE_CMD_UNSPEC,
	WGSCALE_CMD_GET_DEVICE,
	WGSCALE_CMD_SET_DEVICE,
	WGSCALE_CMD_GET_PEER,
	WGSCALE_CMD_SET_PEER,
	WGSCALE_CMD_NTF_PEER,
	__WGSCALE_CMD_MAX
};
#define WGSCALE_CMD_MAX (__WGSCALE_CMD_MAX - 1)

enum wgscale_mode {
	WGSCALE_MODE_VANILLA, /* as upstream: workers encrypt and decrypt on many CPUs */
	WGSCALE_MODE_INLINE,  /* encrypt and transmit, or decrypt, in the context that has it */
	__WGSCALE_MODE_MAX
};
#define WGSCALE_MODE_MAX (__WGSCALE_MODE_MAX - 1)

enum wgscale_attr {
	WGSCALE_A_UNSPEC,
	WGSCALE_A_PAD,
	WGSCALE_A_IFINDEX,	 /* u32 */
	WGSCALE_A_IFNAME,	 /* string */
	WGSCALE_A_PUBLIC_KEY,	 /* WGSCALE_KEY_LEN bytes */
	WGSCALE_A_MODE,		 /* u32, enum wgscale_mode: what is wanted */
	WGSCALE_A_MODE_IN_FORCE, /* u32: differs from MODE while packets of the old one are under
				    way */
	WGSCALE_A_SWITCHES,	 /* u64: changes of mode that are complete */
	WGSCALE_A_NAPI_PID,	 /* u32: thread of the peer's NAPI; absent: it has none */
	WGSCALE_A_SCALAR,	 /* u64: packets done inline where vector registers were in use */
	WGSCALE_A_COUNTERS,	 /* nest of enum wgscale_counters_attr, once per mode */
	WGSCALE_A_DROPS,	 /* nest: u64 per enum wgscale_drop */
	WGSCALE_A_DEFAULT_MODE,	 /* u32: of peers that are made from now on */
	WGSCALE_A_CRYPT_CPUS,	 /* string, "0-3,8": where vanilla work is done; "": everywhere */
	WGSCALE_A_PEERS,	 /* u32: how many the device has */
	__WGSCALE_A_MAX
};
#define WGSCALE_A_MAX (__WGSCALE_A_MAX - 1)

enum wgscale_counters_attr {
	WGSCALE_COUNTERS_A_UNSPEC,
	WGSCALE_COUNTERS_A_PAD,
	WGSCALE_COUNTERS_A_MODE,       /* u32 */
	WGSCALE_COUNTERS_A_TX_PACKETS, /* u64: encrypted in this mode */
	WGSCALE_COUNTERS_A_TX_BYTES,   /* u64: with WireGuard's header and tag */
	WGSCALE_COUNTERS_A_RX_PACKETS, /* u64: authenticated in this mode */
	WGSCALE_COUNTERS_A_RX_BYTES,   /* u64: without WireGuard's header and tag */
	__WGSCALE_COUNTERS_A_MAX
};
#define WGSCALE_COUNTERS_A_MAX (__WGSCALE_COUNTERS_A_MAX - 1)

/* Why a packet was dropped; each is an attribute in the nest DROPS. */
enum wgscale_drop {
	WGSCALE_DROP_UNSPEC,
	WGSCALE_DROP_PAD,
	/* of a peer */
	WGSCALE_DROP_TX_STAGED,	 /* waited for a session, too many of them */
	WGSCALE_DROP_TX_QUEUE,	 /* the peer's queue is full */
	WGSCALE_DROP_TX_RING,	 /* the device's ring for encryption is full */
	WGSCALE_DROP_TX_HOLD,	 /* waited for a switch of mode, too many of them */
	WGSCALE_DROP_TX_ENCRYPT, /* no memory, or not a packet that can be encrypted */
	WGSCALE_DROP_RX_QUEUE,	 /* the peer's queue is full */
	WGSCALE_DROP_RX_RING,	 /* the device's ring for decryption is full */
	WGSCALE_DROP_RX_DECRYPT, /* forged, damaged, or the session is too old */
	WGSCALE_DROP_RX_REPLAY,	 /* seen before, or too late */
	/* of a device */
	WGSCALE_DROP_RX_HEADER,	   /* not a message of WireGuard */
	WGSCALE_DROP_RX_SESSION,   /* data for no session we know */
	WGSCALE_DROP_RX_HANDSHAKE, /* handshake: too many at once, or not valid */
	__WGSCALE_DROP_MAX
};
#define WGSCALE_DROP_MAX (__WGSCALE_DROP_MAX - 1)

#endif
