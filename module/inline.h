/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The mode of a peer, and inline work: a packet is encrypted and transmitted, or decrypted, in the
 * context that brought it, instead of by workers.
 *
 * Order. Packets under way through queues are counted, from before they leave the staged queue
 * until after they were handed to the underlay device. A packet is sent directly only while nothing
 * is staged, nothing is under way and nothing is held on its CPU; so it overtakes none, whatever
 * the mode was before:
 *
 *	held on this CPU?	      hold behind those
 *	anything staged?	      stage behind that: there is no session
 *	lists for workers under way?  encrypt here, queue behind them (`behind`)
 *	only `behind` under way?      the same for hold_after_ms more, if nobody holds;
 *				      then hold on this CPU, until nothing is under way
 *	else			      send
 *
 * What is queued has one order, whichever CPUs it came from, so a flow may move between them, and
 * nothing is under way soon after a switch, unless one worker cannot transmit all that the CPUs
 * bring. Then, when the time is over, nobody adds to `behind` any more, so that it drains and the
 * switch ends; and then alone, a flow that moves from a CPU that holds packets of it may be
 * reordered. Received packets take their place in the peer's queue on arrival, whoever decrypts
 * them: nothing to wait for.
 *
 * The promise ends at the hand-over to the underlay device: what one CPU put into its transmit
 * queue may leave after what another puts into its own a moment later.
 *
 * What each vanilla packet passes is inline below, so that on one CPU a tunnel that is left alone
 * costs what the stock module's does. It takes our part of the peer; upstream's is incomplete.
 * Many CPUs that send into one vanilla tunnel take turns at stage_lock, as they do at the peer's
 * queue upstream, but for longer.
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

struct wgs_count {
	u64 packets, bytes;
};

/* By who writes: a cache line each. */
struct wgs_peer {
	/* Read by each packet, written by switches and roaming. */
	struct wgs_cpu __percpu *cpu; /* NULL: never was inline */
	u8 mode;		      /* enum wgscale_mode; under the device's update lock */
	int token;		      /* of the last switch to inline; likewise */
	atomic_t switching;	      /* that token, until somebody finds the switch complete */
	atomic_t held;		      /* packets, on all CPUs */
	atomic_t endpoint_writers;    /* waiting for endpoint_lock */
	atomic64_t switches;

	/* Written for each list that workers get; inline packets read it, and nobody writes then.
	 * Steal from the staged queue, nonces and queueing are one step: what one CPU staged first
	 * is queued first, whoever does it. */
	spinlock_t stage_lock ____cacheline_aligned_in_smp;
	seqcount_spinlock_t stage_seq; /* odd while somebody steals from the staged queue */
	atomic_t queued;	       /* lists on their way through the workers */
	atomic_t behind;	       /* lists encrypted here and queued behind them */
	unsigned long workers_seen;    /* jiffies; `queued` was not 0 when something was sent */

	/* The transmission worker's, vanilla alone: the rest is counted by CPU. */
	struct wgs_count tx ____cacheline_aligned_in_smp;

	/* The poll's, by mode. */
	struct wgs_count rx[WGSCALE_MODE_MAX + 1] ____cacheline_aligned_in_smp;

	atomic64_t drops[WGSCALE_DROP_MAX + 1] ____cacheline_aligned_in_smp;
};

struct wgs_device {
	struct wgs_placement placement;
	atomic64_t drops[WGSCALE_DROP_MAX + 1];
	u8 default_mode;
};

/* Inline transmissions that this CPU is within. */
DECLARE_PER_CPU(unsigned int, wgs_depth);

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

/* Of a peer that is, or once was, inline. */
bool wgs_take(struct wgs_peer *s, struct sk_buff_head *packets);

/* Takes packets that were brought by this very call, BH disabled. false: stage them. */
static inline bool wgs_xmit(struct wgs_peer *s, struct sk_buff_head *packets)
{
	return READ_ONCE(s->cpu) && wgs_take(s, packets);
}

/* The same for a keepalive, any context. With it an inline peer that has a session has nothing in
 * the queues. */
bool wgs_keepalive(struct wg_peer *peer, struct sk_buff *skb);
/* It was the last one, and somebody waits for that. */
void wgs_tx_idle(struct wgs_peer *s);

/* Whether somebody waits for what is under way to end. After a full barrier: see hold(). */
static inline bool wgs_tx_is_awaited(const struct wgs_peer *s)
{
	return unlikely(atomic_read(&s->switching) || atomic_read(&s->held));
}

/* A list of the peer's queue was transmitted or dropped. Before its references are put. */
static inline void wgs_tx_done(struct wgs_peer *s, bool behind)
{
	if (!atomic_dec_return(behind ? &s->behind : &s->queued) && wgs_tx_is_awaited(s))
		wgs_tx_idle(s);
}

/* Brackets of what wg_packet_send_staged_packets() does, with BH disabled in between; `queued`: it
 * put a list into the queues, which wgs_tx_done() will be called for. */
static inline void wgs_stage_begin(struct wgs_peer *s) __acquires(&s->stage_lock)
{
	spin_lock_bh(&s->stage_lock);
	atomic_inc(&s->queued);
	write_seqcount_begin(&s->stage_seq);
}

static inline void wgs_stage_end(struct wgs_peer *s, bool queued) __releases(&s->stage_lock)
{
	/* Before the lock is let go, or anything_staged() finds what never was. */
	bool last = !queued && !atomic_dec_return(&s->queued);

	write_seqcount_end(&s->stage_seq);
	spin_unlock_bh(&s->stage_lock);
	if (last && wgs_tx_is_awaited(s))
		wgs_tx_idle(s);
}

/* To be released with write_unlock_bh(). */
void wgs_endpoint_write_lock(struct wg_peer *peer);
void wgs_endpoint_wait(const struct wgs_peer *s);

/* Those who want to read endpoint_lock let those who want to write it go first, for a moment:
 * inline, there are as many readers as CPUs, and always one that holds it. */
static inline void wgs_endpoint_yield(const struct wgs_peer *s)
{
	if (unlikely(atomic_read(&s->endpoint_writers)))
		wgs_endpoint_wait(s);
}

/* ---- receiving ---- */

static inline bool wgs_rx_is_inline(const struct wgs_peer *s)
{
	/* What that mode needs was made before. */
	return smp_load_acquire(&s->mode) == WGSCALE_MODE_INLINE;
}

/* As wg_queue_enqueue_per_device_and_peer(), for a live peer found under RCU. */
int wgs_rx(struct wg_peer *peer, struct sk_buff *skb);

/* ---- workers ---- */

/* The budget of a run is spent: somebody goes on, here if this CPU may still be used. */
void wgs_crypt_requeue(struct wg_device *wg, struct crypt_queue *queue);

/* Packets in a list that ends with NULL. */
static inline int wgs_list_len(const struct sk_buff *first)
{
	int n = 0;

	for (; first; first = first->next)
		n++;
	return n;
}

/* ---- counters ---- */

/* By the transmission worker, before it transmits what was not counted where it was encrypted. */
static inline void wgs_count_tx(struct wgs_peer *s, const struct sk_buff *first)
{
	for (; first; first = first->next) {
		s->tx.packets++;
		s->tx.bytes += first->len;
	}
}

/* By the poll, of what is authenticated. */
static inline void wgs_count_rx(struct wgs_peer *s, const struct sk_buff *skb, bool inlined)
{
	struct wgs_count *c = &s->rx[inlined ? WGSCALE_MODE_INLINE : WGSCALE_MODE_VANILLA];

	c->packets++;
	c->bytes += skb->len;
}

/* Handed to the underlay, handshakes too. false: not from within inline work, the caller counts. */
static inline bool wgs_count_sent(struct wgs_peer *s, size_t bytes)
{
	if (likely(!this_cpu_read(wgs_depth)) || !s->cpu)
		return false;
	this_cpu_add(s->cpu->sent_bytes, bytes);
	return true;
}

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
