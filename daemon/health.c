/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: health - whether one tunnel may carry buckets
 *
 * Owns the state machine of a tunnel and nothing else: no clock, no packets, no knowledge of other
 * tunnels (that a peer whose tunnels all fail keeps its map is decided by map.c). It never takes
 * loss for death: what is heard carries on, however many probes are lost, unless the peer itself
 * denies hearing us and no echo came back either.
 *
 * Invariant: a tunnel begins to carry only on a proof of both directions, which is an echo reply,
 * a request that says "I hear you", or data that comes in while the peer says so; for a tunnel
 * that cannot be probed, a handshake.
 *
 * Why it cannot lock up when both ends restart: requests are sent in every state, the peer's
 * kernel answers them in every state of its daemon, and a reply overrules what the peer says.
 *
 * Flapping: a tunnel that fails within a minute (or four holds) of coming up is held in TRYING for
 * 2 s, then 4 s, 8 s and so on; each time it carries that long without failing halves the hold.
 *
 * Read next: probe.h for what goes over the wire, main.c for who feeds this.
 */
#include "health.h"

#include <string.h>

#define HOLD_FIRST_MS 2000
#define STABLE_MS     (60 * 1000)
#define STABLE_HOLDS  4

/* CONGESTED: a quarter of the window lost, some of it just now; over when below a tenth. */
#define LOSS_ENTER_PERCENT 25
#define LOSS_LEAVE_PERCENT 10
#define LOSS_RECENT	   16 /* probes that are "just now" */
#define LOSS_RECENT_MIN	   4  /* lost among them */

/* The first request of a daemon that has just started may deny what it had no time to hear. */
#define REQUESTS_MIN 2

#define SEEN_REPLY   0x01
#define SEEN_REQUEST 0x02
#define SEEN_DATA    0x04

/* Has nothing happened since `then_ms` for `intervals`, less a quarter of one? */
static bool silent(uint64_t then_ms, uint32_t intervals, const struct health_config *c,
		   uint64_t now_ms)
{
	uint64_t limit_ms = (uint64_t)intervals * c->interval_ms;

	if (!then_ms)
		return true;
	return now_ms > then_ms && now_ms - then_ms + c->interval_ms / 4 >= limit_ms;
}

static void enter(struct health *h, enum health_state state, uint64_t now_ms)
{
	h->state = state;
	h->since_ms = now_ms;
}

static void forget_window(struct health *h)
{
	h->sent = 0;
	h->answered = 0;
}

static void come_up(struct health *h, uint64_t now_ms)
{
	enter(h, HEALTH_UP, now_ms);
	h->up_ms = now_ms;
	h->calm_ms = now_ms;
	forget_window(h);
}

static uint64_t stable_ms(const struct health *h)
{
	uint64_t ms = STABLE_HOLDS * h->hold_ms;

	return ms > STABLE_MS ? ms : STABLE_MS;
}

static void go_down(struct health *h, uint64_t now_ms)
{
	if (now_ms - h->up_ms < stable_ms(h)) {
		h->hold_ms = h->hold_ms ? 2 * h->hold_ms : HOLD_FIRST_MS;
		if (h->hold_ms > HEALTH_HOLD_MAX_MS)
			h->hold_ms = HEALTH_HOLD_MAX_MS;
	}
	enter(h, HEALTH_DOWN, now_ms);
}

void health_init(struct health *h, bool probed, bool adopted, uint64_t now_ms)
{
	memset(h, 0, sizeof(*h));
	h->probed = probed;
	enter(h, HEALTH_NEW, now_ms);
	if (!adopted)
		return;
	come_up(h, now_ms);
	h->heard_ms = now_ms;
	h->reply_ms = now_ms;
	h->told = true;
}

static void heard(struct health *h, uint8_t how, uint64_t at_ms)
{
	h->seen |= how;
	if (at_ms > h->heard_ms)
		h->heard_ms = at_ms;
}

static void proven(struct health *h, uint64_t now_ms)
{
	if (h->state == HEALTH_NEW)
		come_up(h, now_ms);
}

void health_reply(struct health *h, uint16_t seq, uint32_t rtt_us, uint64_t now_ms)
{
	uint16_t age = (uint16_t)(h->seq - seq);
	uint64_t bit = age < HEALTH_WINDOW ? UINT64_C(1) << age : 0;

	heard(h, SEEN_REPLY, now_ms);
	h->reply_ms = now_ms;
	if (h->sent & ~h->answered & bit) {
		h->answered |= bit;
		if (!h->rtt_us)
			h->rtt_us = rtt_us;
		else
			h->rtt_us = (uint32_t)(((uint64_t)h->rtt_us * 7 + rtt_us + 4) / 8);
	}
	proven(h, now_ms);
}

void health_request(struct health *h, bool peer_hears, uint64_t now_ms)
{
	heard(h, SEEN_REQUEST, now_ms);
	h->peer_says_ms = now_ms;
	h->peer_hears = peer_hears;
	if (h->requests < UINT8_MAX)
		h->requests++;
	if (peer_hears)
		proven(h, now_ms);
}

/* It may have come at any time since the last tick: the earliest is assumed, else a death would be
 * noticed up to an interval later than by the other signs. */
void health_data(struct health *h, uint64_t now_ms)
{
	heard(h, SEEN_DATA, h->tick_ms ? h->tick_ms : now_ms);
}

void health_handshake(struct health *h, uint64_t age_ms, uint64_t now_ms)
{
	if (h->probed || age_ms >= HEALTH_HANDSHAKE_MS)
		return;
	h->alive_ms = now_ms + HEALTH_HANDSHAKE_MS - age_ms;
	proven(h, now_ms);
}

static bool alive_by_handshake(const struct health *h, uint64_t now_ms)
{
	return !h->probed && now_ms < h->alive_ms;
}

void health_moved(struct health *h, bool sent_data, bool received, uint64_t now_ms)
{
	if (received)
		h->asked_ms = 0;
	else if (sent_data && !h->asked_ms)
		h->asked_ms = now_ms;
}

bool health_answers(const struct health *h, uint32_t within_ms, uint64_t now_ms)
{
	if (h->heard_ms && now_ms - h->heard_ms < within_ms)
		return true;
	return alive_by_handshake(h, now_ms) && (!h->asked_ms || now_ms - h->asked_ms < within_ms);
}

/* The peer says that it does not hear us, and nothing shows the contrary. */
static bool denied(const struct health *h, const struct health_config *c, uint64_t now_ms)
{
	return !h->peer_hears && h->requests >= REQUESTS_MIN &&
	       silent(h->reply_ms, c->fail, c, now_ms);
}

static bool dead(const struct health *h, const struct health_config *c, uint64_t now_ms)
{
	if (alive_by_handshake(h, now_ms))
		return false;
	return silent(h->heard_ms, c->fail, c, now_ms) || denied(h, c, now_ms);
}

/* Were both directions proven since the last tick? */
static bool good_interval(const struct health *h, uint64_t now_ms)
{
	if ((h->seen & SEEN_REPLY) || alive_by_handshake(h, now_ms))
		return true;
	return (h->seen & (SEEN_REQUEST | SEEN_DATA)) && h->peer_hears && h->requests;
}

/* Moves a time so that of a gap between two ticks no more than an interval counts as silence. */
static void forgive(uint64_t *at_ms, uint64_t tick_ms, uint32_t interval_ms, uint64_t now_ms)
{
	if (!*at_ms)
		return;
	if (*at_ms <= tick_ms)
		*at_ms += now_ms - tick_ms - interval_ms;
	else if (*at_ms + interval_ms < now_ms)
		*at_ms = now_ms - interval_ms;
}

/* Ticks stayed away: that nothing was heard meanwhile says nothing about the tunnel. */
static void forgive_stall(struct health *h, const struct health_config *c, uint64_t now_ms)
{
	if (!h->tick_ms || now_ms <= h->tick_ms + 2 * (uint64_t)c->interval_ms)
		return;
	forgive(&h->heard_ms, h->tick_ms, c->interval_ms, now_ms);
	forgive(&h->reply_ms, h->tick_ms, c->interval_ms, now_ms);
}

/* The newest probe had no time to be answered yet. */
static uint64_t lost_bits(const struct health *h)
{
	return h->sent & ~h->answered & ~UINT64_C(1);
}

unsigned int health_loss_percent(const struct health *h)
{
	unsigned int sent = (unsigned int)__builtin_popcountll(h->sent & ~UINT64_C(1));

	if (!sent)
		return 0;
	return 100 * (unsigned int)__builtin_popcountll(lost_bits(h)) / sent;
}

static void judge_loss(struct health *h, uint64_t now_ms)
{
	uint64_t recent = lost_bits(h) & ((UINT64_C(1) << (LOSS_RECENT + 1)) - 1);
	unsigned int percent = health_loss_percent(h);

	if (h->state == HEALTH_UP && percent >= LOSS_ENTER_PERCENT &&
	    __builtin_popcountll(recent) >= LOSS_RECENT_MIN)
		enter(h, HEALTH_CONGESTED, now_ms);
	else if (h->state == HEALTH_CONGESTED && percent < LOSS_LEAVE_PERCENT)
		enter(h, HEALTH_UP, now_ms);
}

static void tick_carrying(struct health *h, const struct health_config *c, uint64_t now_ms)
{
	if (dead(h, c, now_ms)) {
		go_down(h, now_ms);
		return;
	}
	judge_loss(h, now_ms);
	if (h->hold_ms && now_ms - h->calm_ms >= stable_ms(h)) {
		h->hold_ms /= 2;
		if (h->hold_ms < HOLD_FIRST_MS)
			h->hold_ms = 0;
		h->calm_ms = now_ms;
	}
}

static void tick_trying(struct health *h, const struct health_config *c, uint64_t now_ms)
{
	if (dead(h, c, now_ms)) {
		enter(h, HEALTH_DOWN, now_ms);
		return;
	}
	h->good = good_interval(h, now_ms) ? h->good + 1 : 0;
	if (h->good >= c->recover && now_ms - h->since_ms >= h->hold_ms)
		come_up(h, now_ms);
}

static void tick_down(struct health *h, const struct health_config *c, uint64_t now_ms)
{
	if (dead(h, c, now_ms))
		return;
	enter(h, HEALTH_TRYING, now_ms);
	h->good = 0;
	tick_trying(h, c, now_ms);
}

bool health_tick(struct health *h, const struct health_config *c, uint64_t now_ms)
{
	bool changed;

	forgive_stall(h, c, now_ms);
	if (silent(h->peer_says_ms, c->fail, c, now_ms))
		h->requests = 0;
	switch (h->state) {
	case HEALTH_NEW:
		break;
	case HEALTH_UP:
	case HEALTH_CONGESTED:
		tick_carrying(h, c, now_ms);
		break;
	case HEALTH_DOWN:
		tick_down(h, c, now_ms);
		break;
	case HEALTH_TRYING:
		tick_trying(h, c, now_ms);
		break;
	}
	h->seen = 0;
	h->tick_ms = now_ms;
	changed = health_usable(h) != h->told;
	h->told = health_usable(h);
	return changed;
}

void health_sent(struct health *h, uint16_t seq, uint64_t now_ms)
{
	uint16_t step = (uint16_t)(seq - h->seq);

	if (step < HEALTH_WINDOW) {
		h->sent = h->sent << step | 1;
		h->answered <<= step;
	} else {
		h->sent = 1;
		h->answered = 0;
	}
	h->seq = seq;
	h->sent_ms = now_ms;
}

bool health_usable(const struct health *h)
{
	return h->state == HEALTH_UP || h->state == HEALTH_CONGESTED;
}

bool health_hears(const struct health *h, const struct health_config *c, uint64_t now_ms)
{
	return !silent(h->heard_ms, c->fail > 2 ? c->fail - 1 : 2, c, now_ms);
}

const char *health_state_name(enum health_state s)
{
	switch (s) {
	case HEALTH_NEW:
		return "new";
	case HEALTH_UP:
		return "up";
	case HEALTH_CONGESTED:
		return "congested";
	case HEALTH_DOWN:
		return "down";
	case HEALTH_TRYING:
		return "trying";
	}
	return "?";
}
