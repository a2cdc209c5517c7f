// SPDX-License-Identifier: GPL-2.0-only
/*
 * DOC: Modes and inline work, as inline.h promises them. It never transmits a flow from another CPU
 * than the one that held it, and waits for nobody in a packet's way. Upstream's files call in here
 * by the hooks in patches/; control.c sets modes.
 */
#include "inline.h"

#include "control.h"
#include "device.h"
#include "messages.h"
#include "noise.h"
#include "peer.h"
#include "queueing.h"
#include "timers.h"

#include <linux/delay.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <net/ip_tunnels.h>
#include <asm/simd.h>

/* Inline transmission within inline transmission, as a tunnel in a tunnel does it: the stack is
 * finite. Deeper ones go through the queues, as all do upstream. */
#define DEPTH_MAX     2
#define HELD_MAX      4096
#define RELEASE_BATCH 64
#define YIELD_SPINS   1000

DEFINE_PER_CPU(unsigned int, wgs_depth);

static bool default_inline;
module_param(default_inline, bool, 0444);
MODULE_PARM_DESC(default_inline, "peers of new devices start inline, unless the device says other");

/* Below saturation nothing is under way long before. */
static unsigned int hold_after_ms = 250;
module_param(hold_after_ms, uint, 0644);
MODULE_PARM_DESC(hold_after_ms, "how long packets queue up after the workers' last, then are held");

/* ---- counters ---- */

static u64 sum(const struct wg_peer *peer, size_t member)
{
	struct wgs_cpu __percpu *all = smp_load_acquire(&peer->scale.cpu);
	u64 n = 0;
	int cpu;

	if (!all)
		return 0;
	for_each_possible_cpu(cpu)
		n += READ_ONCE(*(u64 *)((char *)per_cpu_ptr(all, cpu) + member));
	return n;
}

u64 wgs_tx_bytes(const struct wg_peer *peer)
{
	return peer->tx_bytes + sum(peer, offsetof(struct wgs_cpu, sent_bytes));
}

void wgs_peer_counters(const struct wg_peer *peer, enum wgscale_mode mode,
		       struct wgs_mode_counters *ret)
{
	ret->rx_packets = peer->scale.rx[mode].packets;
	ret->rx_bytes = peer->scale.rx[mode].bytes;
	if (mode == WGSCALE_MODE_INLINE) {
		ret->tx_packets = sum(peer, offsetof(struct wgs_cpu, tx_packets));
		ret->tx_bytes = sum(peer, offsetof(struct wgs_cpu, tx_bytes));
	} else {
		ret->tx_packets = peer->scale.tx.packets;
		ret->tx_bytes = peer->scale.tx.bytes;
	}
}

u64 wgs_peer_scalar(const struct wg_peer *peer)
{
	return sum(peer, offsetof(struct wgs_cpu, scalar));
}

static void count_drops(struct wg_peer *peer, enum wgscale_drop why, unsigned int n)
{
	atomic64_add(n, &peer->scale.drops[why]);
}

void wgs_drop(struct wg_peer *peer, enum wgscale_drop why)
{
	count_drops(peer, why, 1);
}

void wgs_drop_list(struct wg_peer *peer, enum wgscale_drop why, const struct sk_buff *first)
{
	count_drops(peer, why, wgs_list_len(first));
}

void wgs_device_drop(struct wg_device *wg, enum wgscale_drop why)
{
	atomic64_inc(&wg->scale.drops[why]);
}

static void count_scalar(struct wgs_cpu *c)
{
	if (unlikely(!may_use_simd()))
		c->scalar++;
}

/* ---- switching ---- */

static bool is_idle(const struct wg_peer *peer)
{
	return !atomic_read(&peer->scale.queued) && !atomic_read(&peer->scale.behind);
}

enum wgscale_mode wgs_peer_mode_in_force(const struct wg_peer *peer)
{
	enum wgscale_mode mode = READ_ONCE(peer->scale.mode);

	if (mode == WGSCALE_MODE_INLINE && atomic_read(&peer->scale.switching))
		return WGSCALE_MODE_VANILLA;
	return mode;
}

/* Whoever sees last that nothing is under way says so, once per switch. */
static void maybe_complete(struct wg_peer *peer)
{
	int token = atomic_read(&peer->scale.switching);

	if (likely(!token))
		return;
	if (READ_ONCE(peer->scale.mode) != WGSCALE_MODE_INLINE || !is_idle(peer) ||
	    atomic_read(&peer->scale.held))
		return;
	if (atomic_cmpxchg(&peer->scale.switching, token, 0) != token)
		return; /* somebody else has, or this is the next switch */
	atomic64_inc(&peer->scale.switches);
	wgs_control_notify(peer);
}

/* Inline packets are delivered where they arrived: a thread would take them elsewhere. */
static void set_threaded(struct wg_peer *peer, enum wgscale_mode mode)
{
	if (mode == WGSCALE_MODE_INLINE) {
		clear_bit(NAPI_STATE_THREADED, &peer->napi.state);
	} else if (peer->device->dev->threaded && !IS_ERR_OR_NULL(peer->napi.thread)) {
		/* Who is still in wgs_rx() would clear it again. */
		synchronize_net();
		set_bit(NAPI_STATE_THREADED, &peer->napi.state);
	}
}

static void release_later(struct wgs_cpu *c)
{
	queue_work_on(c->cpu, c->peer->device->packet_crypt_wq, &c->release);
}

/* Who takes the last of it says `releasing` first: see take_held(). */
static bool has_held(struct wgs_cpu *c)
{
	if (!skb_queue_empty_lockless(&c->held))
		return true;
	smp_rmb();
	return READ_ONCE(c->releasing);
}

static void release_all_later(struct wg_peer *peer)
{
	int cpu;

	if (!peer->scale.cpu)
		return;
	/* Once the peer is dead and this section over, nobody queues work any more. */
	rcu_read_lock_bh();
	if (!READ_ONCE(peer->is_dead)) {
		for_each_possible_cpu(cpu)
			if (has_held(per_cpu_ptr(peer->scale.cpu, cpu)))
				release_later(per_cpu_ptr(peer->scale.cpu, cpu));
	}
	rcu_read_unlock_bh();
}

/* ---- sending ---- */

/* The way everything without a session goes, in order. */
static void stage(struct wg_peer *peer, struct sk_buff_head *packets)
{
	spin_lock_bh(&peer->staged_packet_queue.lock);
	skb_queue_splice_tail_init(packets, &peer->staged_packet_queue);
	spin_unlock_bh(&peer->staged_packet_queue.lock);
	wg_packet_send_staged_packets(peer);
}

/* The one to send with, for as long as the caller's RCU section lasts; NULL: there is none. */
static struct noise_keypair *session(struct wg_peer *peer)
{
	struct noise_keypair *keypair = rcu_dereference_bh(peer->keypairs.current_keypair);

	if (unlikely(!keypair || !READ_ONCE(keypair->sending.is_valid) ||
		     wg_birthdate_has_expired(keypair->sending.birthdate, REJECT_AFTER_TIME)))
		return NULL;
	return keypair;
}

/* Those that remain in the list are encrypted. false: the session has no number left, and the
 * packets are as they were. */
static bool encrypt(struct wg_peer *peer, struct wgs_cpu *c, struct noise_keypair *keypair,
		    struct sk_buff_head *packets)
{
	unsigned int n = skb_queue_len(packets);
	struct sk_buff *skb, *next;
	u64 nonce;

	nonce = atomic64_add_return(n, &keypair->sending_counter) - n;
	if (unlikely(nonce + n > REJECT_AFTER_MESSAGES))
		return false;
	skb_queue_walk_safe(packets, skb, next) {
		PACKET_CB(skb)->ds = ip_tunnel_ecn_encap(0, ip_hdr(skb), skb);
		PACKET_CB(skb)->nonce = nonce++;
		count_scalar(c);
		if (unlikely(!wg_packet_encrypt(skb, keypair, true))) {
			__skb_unlink(skb, packets);
			kfree_skb(skb);
			DEV_STATS_INC(peer->device->dev, tx_dropped);
			wgs_drop(peer, WGSCALE_DROP_TX_ENCRYPT);
			continue;
		}
		wg_reset_packet(skb, true);
		c->tx_packets++;
		c->tx_bytes += skb->len;
	}
	return true;
}

/* Upstream's lists are linked by next alone, and end with NULL. */
static struct sk_buff *unbind(struct sk_buff_head *packets)
{
	struct sk_buff *first = skb_peek(packets);

	if (first) {
		packets->prev->next = NULL;
		first->prev = NULL;
		__skb_queue_head_init(packets);
	}
	return first;
}

static bool send_directly(struct wg_peer *peer, struct wgs_cpu *c, struct sk_buff_head *packets)
{
	struct noise_keypair *keypair = session(peer);
	struct sk_buff *first;

	if (unlikely(!keypair || !encrypt(peer, c, keypair, packets)))
		return false;
	first = unbind(packets);
	if (likely(first)) {
		__this_cpu_inc(wgs_depth);
		wg_packet_create_data_done(peer, first);
		__this_cpu_dec(wgs_depth);
	}
	return true;
}

/* Behind what the workers have, already encrypted, so that it costs them nothing more. */
static bool send_behind(struct wg_peer *peer, struct wgs_cpu *c, struct sk_buff_head *packets)
{
	struct noise_keypair *keypair = wg_noise_keypair_get(session(peer));
	struct sk_buff *first;

	if (unlikely(!keypair))
		return false;
	if (unlikely(!encrypt(peer, c, keypair, packets))) {
		wg_noise_keypair_put(keypair, false);
		return false;
	}
	first = unbind(packets);
	if (unlikely(!first)) {
		wg_noise_keypair_put(keypair, false);
		return true;
	}
	wg_peer_get(peer);
	PACKET_CB(first)->keypair = keypair;
	PACKET_CB(first)->inlined = true;
	atomic_set_release(&PACKET_CB(first)->state, PACKET_STATE_CRYPTED);
	smp_mb__before_atomic(); /* see may_queue_behind() */
	atomic_inc(&peer->scale.behind);
	if (likely(wg_prev_queue_enqueue(&peer->tx_queue, first))) {
		wg_queue_tx_worker(peer);
		return true;
	}
	wgs_drop_list(peer, WGSCALE_DROP_TX_QUEUE, first);
	kfree_skb_list(first);
	wgs_tx_done(&peer->scale, true);
	wg_noise_keypair_put(keypair, false);
	wg_peer_put(peer);
	return true;
}

/* To be followed by release(), since what it waits for may be over meanwhile. */
static void hold(struct wg_peer *peer, struct wgs_cpu *c, struct sk_buff_head *packets)
{
	unsigned int room, n = skb_queue_len(packets), dropped = 0;

	spin_lock_bh(&c->held.lock);
	room = HELD_MAX - min_t(unsigned int, HELD_MAX, skb_queue_len(&c->held));
	if (likely(n <= room)) {
		atomic_add(n, &peer->scale.held);
		skb_queue_splice_tail_init(packets, &c->held);
	} else {
		dropped = n; /* all of them: a part of a GSO packet helps nobody */
	}
	spin_unlock_bh(&c->held.lock);
	if (unlikely(dropped)) {
		__skb_queue_purge(packets);
		DEV_STATS_ADD(peer->device->dev, tx_dropped, dropped);
		count_drops(peer, WGSCALE_DROP_TX_HOLD, dropped);
	}
	/* Pairs with that of wgs_tx_done() and of wgs_peer_set_mode(): they see what is held, or
	 * release() sees that it need not be. */
	smp_mb();
}

/* Takes up to max; the taker is the only one until it calls put_held(). */
static unsigned int take_held(struct wgs_cpu *c, struct sk_buff_head *packets, unsigned int max)
{
	struct sk_buff *skb;

	spin_lock_bh(&c->held.lock);
	if (!c->releasing && !skb_queue_empty(&c->held)) {
		WRITE_ONCE(c->releasing, true);
		smp_wmb(); /* see has_held() */
		while (skb_queue_len(packets) < max && (skb = __skb_dequeue(&c->held)))
			__skb_queue_tail(packets, skb);
	}
	spin_unlock_bh(&c->held.lock);
	return skb_queue_len(packets);
}

static void put_held(struct wg_peer *peer, struct wgs_cpu *c, unsigned int n)
{
	bool more;

	spin_lock_bh(&c->held.lock);
	WRITE_ONCE(c->releasing, false);
	more = !skb_queue_empty(&c->held);
	spin_unlock_bh(&c->held.lock);
	atomic_sub(n, &peer->scale.held);
	smp_mb__after_atomic();
	if (more)
		release_later(c);
	else
		maybe_complete(peer);
}

/* Whether somebody's packets wait for a session, and whether lists for workers are under way, while
 * nobody is just stealing or putting back. */
static bool anything_staged(struct wg_peer *peer, bool *ret_queued)
{
	bool any;

	spin_lock_bh(&peer->scale.stage_lock);
	any = !skb_queue_empty_lockless(&peer->staged_packet_queue);
	*ret_queued = atomic_read(&peer->scale.queued);
	spin_unlock_bh(&peer->scale.stage_lock);
	return any;
}

/* Sends what this CPU holds, up to a number of packets; in vanilla mode, stages it. BH disabled,
 * and on that CPU, unless it has gone. */
static void release(struct wg_peer *peer, struct wgs_cpu *c, unsigned int max)
{
	bool vanilla = READ_ONCE(peer->scale.mode) != WGSCALE_MODE_INLINE;
	struct sk_buff_head packets;
	unsigned int n;
	bool queued;

	__skb_queue_head_init(&packets);
	if (!vanilla && anything_staged(peer, &queued))
		vanilla = true;
	if (!vanilla && !is_idle(peer))
		return; /* wgs_tx_idle() calls again */
	n = take_held(c, &packets, max);
	if (!n)
		return;
	if (vanilla || !send_directly(peer, c, &packets))
		stage(peer, &packets);
	put_held(peer, c, n);
}

static void release_worker(struct work_struct *work)
{
	struct wgs_cpu *c = container_of(work, struct wgs_cpu, release);

	rcu_read_lock_bh();
	release(c->peer, c, RELEASE_BATCH);
	rcu_read_unlock_bh();
}

static void hold_and_release(struct wg_peer *peer, struct wgs_cpu *c, struct sk_buff_head *packets)
{
	unsigned int n = skb_queue_len(packets);

	hold(peer, c, packets);
	if (unlikely(__this_cpu_read(wgs_depth) >= DEPTH_MAX))
		release_later(c);
	else
		release(peer, c, n + RELEASE_BATCH); /* more than was added */
}

/* Nothing is staged, under way or about to be: the common case, and reads alone. */
static bool way_is_clear(const struct wg_peer *peer)
{
	unsigned int seq = raw_read_seqcount(&peer->scale.stage_seq);

	return !(seq & 1) && skb_queue_empty_lockless(&peer->staged_packet_queue) &&
	       is_idle(peer) && !read_seqcount_retry(&peer->scale.stage_seq, seq);
}

/* When only `behind` is under way: may more be added? Not for ever, and not while a CPU holds: it
 * could not go on as long as others add. */
static bool may_queue_behind(const struct wgs_peer *s)
{
	if (atomic_read(&s->held))
		return false;
	/* Who added to `behind` had written or read this first: what we read now is no older. */
	smp_rmb();
	return time_before(jiffies,
			   READ_ONCE(s->workers_seen) + msecs_to_jiffies(READ_ONCE(hold_after_ms)));
}

bool wgs_take(struct wgs_peer *s, struct sk_buff_head *packets)
{
	struct wg_peer *peer = container_of(s, struct wg_peer, scale);
	struct wgs_cpu *c = this_cpu_ptr(smp_load_acquire(&s->cpu));
	bool queued;

	if (unlikely(READ_ONCE(peer->is_dead)))
		return false;
	if (unlikely(has_held(c))) {
		hold_and_release(peer, c, packets);
		return true;
	}
	if (READ_ONCE(peer->scale.mode) != WGSCALE_MODE_INLINE ||
	    unlikely(__this_cpu_read(wgs_depth) >= DEPTH_MAX))
		return false;
	if (likely(way_is_clear(peer)))
		return send_directly(peer, c, packets);
	if (unlikely(anything_staged(peer, &queued)))
		return false;
	/* From here on what this flow had staged before is in the peer's queue, or was sent. */
	if (queued) {
		WRITE_ONCE(s->workers_seen, jiffies);
		return send_behind(peer, c, packets);
	}
	if (!atomic_read(&s->behind))
		return send_directly(peer, c, packets);
	if (may_queue_behind(s))
		return send_behind(peer, c, packets);
	hold_and_release(peer, c, packets);
	return true;
}

bool wgs_keepalive(struct wg_peer *peer, struct sk_buff *skb)
{
	struct sk_buff_head packets;
	bool taken;

	__skb_queue_head_init(&packets);
	__skb_queue_tail(&packets, skb);
	rcu_read_lock_bh();
	taken = wgs_xmit(&peer->scale, &packets);
	rcu_read_unlock_bh();
	if (!taken)
		__skb_unlink(skb, &packets);
	return taken;
}

void wgs_tx_idle(struct wgs_peer *s)
{
	struct wg_peer *peer = container_of(s, struct wg_peer, scale);

	if (!is_idle(peer))
		return;
	if (atomic_read(&peer->scale.held))
		release_all_later(peer);
	else
		maybe_complete(peer);
}

void wgs_endpoint_write_lock(struct wg_peer *peer) __acquires(&peer->endpoint_lock)
{
	local_bh_disable(); /* or what waits for us may be what keeps us from going on */
	atomic_inc(&peer->scale.endpoint_writers);
	write_lock(&peer->endpoint_lock);
	atomic_dec(&peer->scale.endpoint_writers);
}

void wgs_endpoint_wait(const struct wgs_peer *s)
{
	unsigned int spins = 0;

	/* Bounded: within a tunnel in a tunnel this CPU may hold the lock already. */
	while (unlikely(atomic_read(&s->endpoint_writers)) && spins++ < YIELD_SPINS)
		cpu_relax();
}

/* ---- receiving ---- */

int wgs_rx(struct wg_peer *peer, struct sk_buff *skb)
{
	enum packet_state state = PACKET_STATE_DEAD;

	PACKET_CB(skb)->inlined = true;
	atomic_set_release(&PACKET_CB(skb)->state, PACKET_STATE_UNCRYPTED);
	if (unlikely(!wg_prev_queue_enqueue(&peer->rx_queue, skb)))
		return -ENOSPC;
	count_scalar(this_cpu_ptr(peer->scale.cpu));
	if (likely(wg_packet_decrypt(skb, PACKET_CB(skb)->keypair, true)))
		state = PACKET_STATE_CRYPTED;
	else
		wgs_drop(peer, WGSCALE_DROP_RX_DECRYPT);
	/* Somebody may have written to the device's file since. */
	if (unlikely(test_bit(NAPI_STATE_THREADED, &peer->napi.state)))
		clear_bit(NAPI_STATE_THREADED, &peer->napi.state);
	/* From here on the packet is the poll's. The peer was alive in this RCU section, so that
	 * its NAPI is still there. */
	atomic_set_release(&PACKET_CB(skb)->state, state);
	napi_schedule(&peer->napi);
	return 0;
}

/* ---- workers ---- */

void wgs_crypt_requeue(struct wg_device *wg, struct crypt_queue *queue)
{
	int cpu;

	cpu = wgs_placement_stay(&wg->scale.placement, &queue->last_cpu);
	queue_work_on(cpu, wg->packet_crypt_wq, &per_cpu_ptr(queue->worker, cpu)->work);
}

/* ---- life ---- */

enum wgscale_mode wgs_default_mode(void)
{
	return default_inline && !IS_ENABLED(CONFIG_PREEMPT_RT) ? WGSCALE_MODE_INLINE
								: WGSCALE_MODE_VANILLA;
}

static int alloc_cpus(struct wg_peer *peer)
{
	struct wgs_cpu __percpu *all;
	int cpu;

	if (peer->scale.cpu)
		return 0;
	all = alloc_percpu(struct wgs_cpu);
	if (!all)
		return -ENOMEM;
	for_each_possible_cpu(cpu) {
		struct wgs_cpu *c = per_cpu_ptr(all, cpu);

		skb_queue_head_init(&c->held);
		INIT_WORK(&c->release, release_worker);
		c->peer = peer;
		c->cpu = cpu;
	}
	smp_store_release(&peer->scale.cpu, all);
	return 0;
}

int wgs_peer_init(struct wg_peer *peer)
{
	enum wgscale_mode mode = peer->device->scale.default_mode;
	int err = mode == WGSCALE_MODE_INLINE ? alloc_cpus(peer) : 0;

	if (err)
		return err;
	spin_lock_init(&peer->scale.stage_lock);
	seqcount_spinlock_init(&peer->scale.stage_seq, &peer->scale.stage_lock);
	peer->scale.mode = mode;
	return 0;
}

int wgs_peer_set_mode(struct wg_peer *peer, enum wgscale_mode mode)
{
	int err;

	lockdep_assert_held(&peer->device->device_update_lock);
	if (peer->scale.mode == mode)
		return 0;
	err = alloc_cpus(peer);
	if (err)
		return err;
	if (mode == WGSCALE_MODE_INLINE) {
		peer->scale.token = peer->scale.token % INT_MAX + 1;
		atomic_set(&peer->scale.switching, peer->scale.token);
		smp_store_release(&peer->scale.mode, mode);
	} else {
		/* At once: what is held is staged before what comes next. */
		WRITE_ONCE(peer->scale.mode, mode);
		atomic_set(&peer->scale.switching, 0);
		atomic64_inc(&peer->scale.switches);
	}
	set_threaded(peer, mode);
	wgs_control_notify(peer);
	smp_mb(); /* see hold() */
	if (mode == WGSCALE_MODE_VANILLA)
		release_all_later(peer);
	maybe_complete(peer);
	return 0;
}

void wgs_peer_purge(struct wg_peer *peer)
{
	struct sk_buff_head packets;
	unsigned int n;
	int cpu;

	if (likely(!atomic_read(&peer->scale.held)))
		return;
	__skb_queue_head_init(&packets);
	for_each_possible_cpu(cpu) {
		struct wgs_cpu *c = per_cpu_ptr(peer->scale.cpu, cpu);

		spin_lock_bh(&c->held.lock);
		skb_queue_splice_tail_init(&c->held, &packets);
		spin_unlock_bh(&c->held.lock);
	}
	n = skb_queue_len(&packets);
	__skb_queue_purge(&packets);
	DEV_STATS_ADD(peer->device->dev, tx_dropped, n);
	count_drops(peer, WGSCALE_DROP_TX_HOLD, n);
	atomic_sub(n, &peer->scale.held);
	smp_mb__after_atomic();
	maybe_complete(peer);
}

/* A packet that the poll has seen and that is not decrypted yet is not in the count. */
static bool rx_is_empty(struct wg_peer *peer)
{
	return !atomic_read(&peer->rx_queue.count) && !READ_ONCE(peer->rx_queue.peeked);
}

void wgs_peer_drain(struct wg_peer *peer)
{
	int cpu;

	wgs_peer_purge(peer);
	if (peer->scale.cpu)
		for_each_possible_cpu(cpu)
			cancel_work_sync(&per_cpu_ptr(peer->scale.cpu, cpu)->release);
	for (;;) {
		if (is_idle(peer) && rx_is_empty(peer)) {
			napi_disable(&peer->napi);
			/* No poll runs now, so this is the truth. */
			if (rx_is_empty(peer))
				break;
			napi_enable(&peer->napi);
		}
		local_bh_disable();
		napi_schedule(&peer->napi);
		local_bh_enable();
		usleep_range(200, 1000);
	}
	/* Who said that the last packet is ready has now queued the work for it, too. */
	synchronize_net();
	cancel_work_sync(&peer->transmit_packet_work);
}

void wgs_peer_free(struct wg_peer *peer)
{
	free_percpu(peer->scale.cpu);
}
