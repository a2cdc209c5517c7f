/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The mode of a peer, and inline work: a packet is encrypted and transmitted, or decrypted, in the
 * context that brought it, instead of by workers.
 *
 * Order. Packets of one flow come from one CPU. Those under way through queues are counted, from
 * before they leave the staged queue until after they were handed to the underlay device. A packet
 * is sent directly only while nothing is staged, nothing is under way and nothing is held on its
 * CPU; so it overtakes none, whatever the mode was before, and the rule needs no memory of
 * switches:
 *
 *	held on this CPU?	      hold behind those
 *	anything staged?	      stage behind that: there is no session
 *	lists for workers under way?  encrypt here, queue behind them (`behind`)
 *	only such as that under way?  hold on this CPU, until none is
 *	else			      send
 *
 * Nobody adds to `behind` once the workers have nothing of this peer, so a switch ends, also in
 * saturation. Received packets take their place in the peer's queue on arrival, whoever decrypts
 * them: nothing to wait for.
 *
 * A flow that moves from one CPU to another while packets of it are held on the first may be
 * reordered then. On an inline peer with a session nothing is held but during a switch.
 *
 * The promise ends at the hand-over to the underlay device: what a worker put into the transmit
 * queue of its CPU may leave after what this CPU puts into its own.
 */
#ifndef _WGS_INLINE_H
#define _WGS_INLINE_H

#include "placement.h"
#include "wgscale.h"

#include <linux/atomic.h>
#include <linux/percpu.h>
#include <linux/seqlock.h>
#include <linux/skbuff.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#ifndef CONFIG_64BIT
#error "wgscale counts in 64 bits: it needs a 64-bit kernel"
#endif

struct crypt_queue;
struct wg_device;
struct wg_peer;

/* Packets a worker does in a run, at least, before others on its CPU get their turn: stock workers
 * go on for as long as packets keep coming. */
#define WGS_WORKER_BUDGET 64

/* What a CPU has of a peer that is, or once was, inline. */
struct wgs_cpu {
	struct sk_buff_head held; /* its lock guards `releasing`, too */
	bool releasing;		  /* some of it was taken out and is not sent yet */
	int cpu;
	struct work_struct release;
	struct wg_peer *peer;
	u64 tx_packets, tx_bytes, sent_bytes, scalar; /* of this CPU alone */
};

struct wgs_mode_counters {
	u64 tx_packets, tx_bytes, rx_packets, rx_bytes;
};

struct wgs_peer {
	/* Read by each packet that is sent inline, and then written by none. */
	struct wgs_cpu __percpu *cpu;  /* NULL: never was inline */
	u8 mode;		       /* enum wgscale_mode; under the device's update lock */
	int token;		       /* of the last switch to inline; likewise */
	atomic_t switching;	       /* that token, until somebody finds the switch complete */
	atomic_t queued;	       /* lists on their way through the workers */
	atomic_t behind;	       /* lists encrypted here and queued behind them */
	atomic_t held;		       /* packets, on all CPUs */
	seqcount_spinlock_t stage_seq; /* odd while somebody steals from the staged queue */
	atomic_t endpoint_writers;     /* waiting for endpoint_lock */

	/* Steal from the staged queue, nonces and queueing are one step: what one CPU staged first
	 * is queued first, whoever does it. */
	spinlock_t stage_lock ____cacheline_aligned_in_smp;
	atomic64_t switches;
	/* Written by the transmission worker, and by the poll: one at a time each. */
	struct wgs_mode_counters counters[WGSCALE_MODE_MAX + 1];
	atomic64_t drops[WGSCALE_DROP_MAX + 1];
};

struct wgs_device {
	struct wgs_placement placement;
	atomic64_t drops[WGSCALE_DROP_MAX + 1];
	u8 default_mode;
};

/* Of peers of a new device: what the module was loaded with. */
enum wgscale_mode wgs_default_mode(void);

/* ---- a peer's life, in its order ---- */

int wgs_peer_init(struct wg_peer *peer);
/* Drops what is held, where upstream drops what is staged. Any context. */
void wgs_peer_purge(struct wg_peer *peer);
/* Of a dead peer that nobody can find any more: returns when nothing of it is in a queue or in a
 * worker, and its NAPI is disabled. It waits for no other peer's packets, but those before its own.
 * Sleeps; the device's update lock is held. */
void wgs_peer_drain(struct wg_peer *peer);
void wgs_peer_free(struct wg_peer *peer);

/* Under the device's update lock and rtnl. Not WGSCALE_MODE_INLINE on PREEMPT_RT: reading
 * endpoint_lock within itself, as a tunnel in a tunnel does, can deadlock there. -ENOMEM. */
int wgs_peer_set_mode(struct wg_peer *peer, enum wgscale_mode mode);
enum wgscale_mode wgs_peer_mode_in_force(const struct wg_peer *peer);

/* ---- sending ---- */

/* Takes packets that were brought by this very call, BH disabled. false: stage them. */
bool wgs_xmit(struct wg_peer *peer, struct sk_buff_head *packets);
/* The same for a keepalive, any context. With it an inline peer that has a session has nothing in
 * the queues. */
bool wgs_keepalive(struct wg_peer *peer, struct sk_buff *skb);
/* Brackets of what wg_packet_send_staged_packets() does; `queued`: it put a list into the queues,
 * which wgs_tx_done() will be called for. */
void wgs_stage_begin(struct wg_peer *peer);
void wgs_stage_end(struct wg_peer *peer, bool queued);
/* A list of the peer's queue was transmitted or dropped. Before its references are put. */
void wgs_tx_done(struct wg_peer *peer, bool behind);
/* Those who want to read endpoint_lock let those who want to write it go first, for a moment:
 * inline, there are as many readers as CPUs, and always one that holds it. To be released with
 * write_unlock_bh(). */
void wgs_endpoint_write_lock(struct wg_peer *peer);
void wgs_endpoint_yield(const struct wg_peer *peer);

/* ---- receiving ---- */

bool wgs_rx_is_inline(const struct wg_peer *peer);
/* As wg_queue_enqueue_per_device_and_peer(), for a live peer found under RCU. */
int wgs_rx(struct wg_peer *peer, struct sk_buff *skb);

/* ---- workers ---- */

/* The budget of a run is spent: somebody goes on, here if this CPU may still be used. */
void wgs_crypt_requeue(struct wg_device *wg, struct crypt_queue *queue);
/* Packets in a list that ends with NULL. */
unsigned int wgs_list_len(const struct sk_buff *first);

/* ---- counters ---- */

/* By the transmission worker, before it transmits, and by the poll, of what is authenticated. */
void wgs_count_tx(struct wg_peer *peer, const struct sk_buff *first);
void wgs_count_rx(struct wg_peer *peer, const struct sk_buff *skb);
/* Handed to the underlay; handshakes too. */
void wgs_count_sent(struct wg_peer *peer, size_t bytes);
/* What upstream calls tx_bytes, of all modes and CPUs. */
u64 wgs_tx_bytes(const struct wg_peer *peer);
void wgs_peer_counters(const struct wg_peer *peer, enum wgscale_mode mode,
		       struct wgs_mode_counters *ret);
u64 wgs_peer_scalar(const struct wg_peer *peer);
void wgs_drop(struct wg_peer *peer, enum wgscale_drop why);
/* Each packet of a list that ends with NULL. */
void wgs_drop_list(struct wg_peer *peer, enum wgscale_drop why, const struct sk_buff *first);
void wgs_device_drop(struct wg_device *wg, enum wgscale_drop why);

#endif
