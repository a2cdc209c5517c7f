/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * health: is a tunnel fit to carry buckets? A state machine per tunnel, fed with what was heard,
 * asked at each tick. Pure: time is a parameter (milliseconds, monotonic).
 *
 * Every interval an ICMP echo goes through the tunnel to the peer lane's probe address; the
 * peer's kernel answers it. The request carries whether we hear that tunnel, so a peer's daemon
 * that sees it (it is a copy: the kernel answers in any case) learns that its own direction is
 * dead, or only congested:
 *
 *   dead       nothing authenticated heard (no reply, no request, no data) for `fail` intervals,
 *              or the peer's daemon, once it has been there for two requests, says that it hears
 *              nothing of ours, and no echo reply has come back for `fail` intervals either (a
 *              reply proves both directions)
 *   congested  probes are lost, yet the tunnel is heard and the peer does not deny hearing us:
 *              an alarm, no failover
 *
 * A death is noticed at the first tick at which fail - 1/4 intervals have been silent: at the
 * latest (fail + 3/4) intervals after it, 2850 ms by default. The quarter forgives late timers.
 * A direction that died alone is noticed by the end that still hears within the same bound plus
 * the one-way delay, when both ends have the same interval.
 */
#ifndef WGSCALE_HEALTH_H
#define WGSCALE_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

/* NEW becomes UP in the very event that proves both directions; all else changes in a tick. */
enum health_state {
	HEALTH_NEW,	  /* never heard: no handshake yet */
	HEALTH_UP,	  /* carries buckets */
	HEALTH_CONGESTED, /* carries buckets; probes are being lost */
	HEALTH_DOWN,	  /* was up; does not carry */
	HEALTH_TRYING,	  /* heard again, not yet for long enough; does not carry */
};

struct health_config {
	uint32_t interval_ms;
	uint32_t fail;	  /* silent intervals until DOWN */
	uint32_t recover; /* good intervals until UP again */
};

#define HEALTH_WINDOW 64 /* probes over which loss is told */
/* A tunnel that went down again soon after it came up waits longer each time, up to this. */
#define HEALTH_HOLD_MAX_MS (5 * 60 * 1000)
/* How long a handshake shows that a tunnel without probes lives: WireGuard rejects keys at 180 s
 * and a new handshake may take some retries. */
#define HEALTH_HANDSHAKE_MS (190 * 1000)

/* All times are `now_ms` values; 0: never. */
struct health {
	enum health_state state;
	uint64_t since_ms;	 /* of the state */
	uint64_t tick_ms;	 /* last tick */
	uint64_t heard_ms;	 /* last authenticated sign of life; adoption counts */
	uint64_t reply_ms;	 /* last echo reply; adoption counts */
	uint64_t peer_says_ms;	 /* last request of the peer's daemon */
	bool peer_hears;	 /* what it said */
	uint8_t requests;	 /* since its daemon was last silent */
	uint64_t alive_ms;	 /* unprobed: the last handshake is good until then */
	uint64_t asked_ms;	 /* data were sent since, and nothing at all came; 0: no */
	uint64_t up_ms;		 /* when it last began to carry */
	uint64_t calm_ms;	 /* since when hold_ms is what it is, while it carries */
	uint64_t hold_ms;	 /* to be spent in TRYING, grows while flapping */
	uint32_t good;		 /* intervals in a row with both directions proven, in TRYING */
	uint8_t seen;		 /* what came since the last tick */
	bool told;		 /* usability as the last tick reported it */
	uint64_t sent, answered; /* bits, newest lowest: of the last HEALTH_WINDOW probes */
	uint16_t seq;		 /* of the last probe sent */
	uint64_t sent_ms;
	uint32_t rtt_us; /* smoothed; 0: unknown */
	bool probed;	 /* there is an address to probe; else judged by handshake age */
};

/* `adopted`: found carrying buckets in the kernel at start; UP until proven otherwise. */
void health_init(struct health *h, bool probed, bool adopted, uint64_t now_ms);

/* Events. `seq` tells which probe of the window was answered; a late or doubled reply is a sign of
 * life all the same. */
void health_reply(struct health *h, uint16_t seq, uint32_t rtt_us, uint64_t now_ms);
void health_request(struct health *h, bool peer_hears, uint64_t now_ms);
/* Authenticated data (more than handshakes can account for) arrived since the last tick. */
void health_data(struct health *h, uint64_t now_ms);
/* Age of the last handshake (UINT64_MAX: none), whenever the kernel's counters were read; matters
 * only for tunnels that cannot be probed. */
void health_handshake(struct health *h, uint64_t age_ms, uint64_t now_ms);

/* Once per interval, before the next probe is sent: advances the state; true if usability is not
 * what it was at the tick before. When ticks stayed away for more than two intervals (a suspended
 * host, a starved daemon) that time is not held against the tunnel. */
bool health_tick(struct health *h, const struct health_config *c, uint64_t now_ms);
/* A probe with sequence number `seq`, one more than the last, goes out now. */
void health_sent(struct health *h, uint16_t seq, uint64_t now_ms);

bool health_usable(const struct health *h);
/*
 * What the counters say of the endpoint, for health_answers() alone: data were sent, anything
 * authenticated came (a keepalive will do).
 */
void health_moved(struct health *h, bool sent_data, bool received, uint64_t now_ms);
/*
 * Is the endpoint right, as far as anybody can tell? Heard within that time; or, without probes,
 * the last handshake is good and no data have gone unanswered for that time: it may have nothing
 * to say.
 */
bool health_answers(const struct health *h, uint32_t within_ms, uint64_t now_ms);
/* What to tell the peer: was it heard within the last fail - 1 intervals? One less than for DOWN,
 * so that a dead direction is told to the peer when its own replies are overdue. */
bool health_hears(const struct health *h, const struct health_config *c, uint64_t now_ms);
/* Share of probes unanswered in the window, 0..100; the newest one does not count. */
unsigned int health_loss_percent(const struct health *h);
const char *health_state_name(enum health_state s); /* "new", "up", "congested", ... */

#endif
