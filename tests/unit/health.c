/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: health - the state machine alone, and two ends of a tunnel against each other
 *
 * The simulation moves in steps of one millisecond. Each end has a daemon that ticks, sends a
 * request and feeds its health, and a kernel that answers requests whether the daemon runs or
 * not; either direction of the link delays and loses what it is told to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "health.h"

#define T0	 UINT64_C(1000000)
#define INTERVAL 600

static const struct health_config config = {.interval_ms = INTERVAL, .fail = 4, .recover = 5};

/* ---- simulation ---- */

enum msg_kind { MSG_REQUEST, MSG_REPLY, MSG_DATA };

struct msg {
	enum msg_kind kind;
	int to;
	uint64_t at;
	uint16_t seq;
	bool hears;
};

struct end {
	struct health h;
	bool daemon, kernel;
	bool sends_data; /* a packet each 10 ms */
	bool data_came;
	uint32_t phase;	 /* of its ticks */
	uint32_t jitter; /* ticks come up to this late */
	uint64_t tick_at;
	uint16_t seq;
	uint64_t sent_at[256];
	unsigned int changes; /* of usability */
	uint64_t changed_at;
	unsigned int carrying_ms;
};

struct sim {
	struct end e[2];
	uint64_t now;
	uint32_t delay[2];	    /* to end i */
	unsigned int loss[2];	    /* percent, to end i */
	unsigned int probe_loss[2]; /* percent of probes and replies alone, to end i */
	struct msg q[4096];
	unsigned int n;
	uint64_t rng;
};

static uint32_t rnd(struct sim *s)
{
	s->rng = s->rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(s->rng >> 33);
}

static void put(struct sim *s, enum msg_kind kind, int to, uint16_t seq, bool hears)
{
	if (rnd(s) % 100 < s->loss[to])
		return;
	if (kind != MSG_DATA && rnd(s) % 100 < s->probe_loss[to])
		return;
	assert_true(s->n < sizeof(s->q) / sizeof(s->q[0]));
	s->q[s->n++] = (struct msg){kind, to, s->now + s->delay[to], seq, hears};
}

static void deliver(struct sim *s, const struct msg *m)
{
	struct end *e = &s->e[m->to];

	/* What was under way when a direction died is lost with it. */
	if (!e->kernel || s->loss[m->to] == 100)
		return;
	switch (m->kind) {
	case MSG_REQUEST:
		put(s, MSG_REPLY, !m->to, m->seq, false);
		if (e->daemon)
			health_request(&e->h, m->hears, s->now);
		break;
	case MSG_REPLY:
		if (e->daemon)
			health_reply(&e->h, m->seq,
				     (uint32_t)(s->now - e->sent_at[m->seq % 256]) * 1000, s->now);
		break;
	case MSG_DATA:
		e->data_came = true;
		break;
	}
}

static void tick(struct sim *s, int i)
{
	struct end *e = &s->e[i];

	if (e->data_came)
		health_data(&e->h, s->now);
	e->data_came = false;
	if (health_tick(&e->h, &config, s->now)) {
		e->changes++;
		e->changed_at = s->now;
	}
	health_sent(&e->h, ++e->seq, s->now);
	e->sent_at[e->seq % 256] = s->now;
	put(s, MSG_REQUEST, !i, e->seq, health_hears(&e->h, &config, s->now));
}

static void step(struct sim *s)
{
	unsigned int i, kept = 0, n = s->n;

	for (i = 0; i < n; i++)
		if (s->q[i].at <= s->now)
			deliver(s, &s->q[i]);
	for (i = 0; i < s->n; i++)
		if (i >= n || s->q[i].at > s->now)
			s->q[kept++] = s->q[i];
	s->n = kept;
	for (i = 0; i < 2; i++) {
		struct end *e = &s->e[i];

		if (e->kernel && e->sends_data && s->now % 10 == 0)
			put(s, MSG_DATA, !i, 0, false);
		if (e->daemon && s->now >= e->tick_at) {
			tick(s, (int)i);
			e->tick_at = s->now - (s->now - e->phase) % INTERVAL + INTERVAL +
				     (e->jitter ? rnd(s) % e->jitter : 0);
		}
		e->carrying_ms += health_usable(&e->h);
	}
	s->now++;
}

static void run(struct sim *s, uint64_t ms)
{
	while (ms--)
		step(s);
}

static void start_daemon(struct sim *s, int i, bool adopted)
{
	struct end *e = &s->e[i];

	health_init(&e->h, true, adopted, s->now);
	e->daemon = true;
	e->data_came = false;
	e->tick_at = s->now - (s->now - e->phase) % INTERVAL + INTERVAL;
}

static void sim_init(struct sim *s, uint32_t phase0, uint32_t phase1, uint32_t delay)
{
	memset(s, 0, sizeof(*s));
	s->now = T0;
	s->rng = 42 + phase0 * 7 + phase1 + delay;
	s->delay[0] = s->delay[1] = delay;
	s->e[0].phase = phase0;
	s->e[1].phase = phase1;
	s->e[0].kernel = s->e[1].kernel = true;
	start_daemon(s, 0, false);
	start_daemon(s, 1, false);
}

static void assert_carrying(const struct sim *s)
{
	assert_true(health_usable(&s->e[0].h));
	assert_true(health_usable(&s->e[1].h));
}

/* ---- the machine alone ---- */

static void test_new(void **state)
{
	struct health h;

	health_init(&h, true, false, T0);
	assert_int_equal(h.state, HEALTH_NEW);
	assert_false(health_usable(&h));
	assert_false(health_hears(&h, &config, T0));
	health_data(&h, T0 + 5);
	health_request(&h, false, T0 + 10);
	assert_true(health_hears(&h, &config, T0 + 10));
	assert_int_equal(h.state, HEALTH_NEW); /* one direction is not enough */
	health_request(&h, true, T0 + 20);
	assert_int_equal(h.state, HEALTH_UP);
	assert_true(health_tick(&h, &config, T0 + 30));
	assert_false(health_tick(&h, &config, T0 + 630));

	health_init(&h, true, false, T0);
	health_sent(&h, 1, T0);
	health_handshake(&h, 0, T0); /* a probed tunnel wants more than that */
	assert_int_equal(h.state, HEALTH_NEW);
	health_reply(&h, 1, 800, T0 + 1);
	assert_int_equal(h.state, HEALTH_UP);
	assert_int_equal(h.rtt_us, 800);
}

static void test_new_stays_new(void **state)
{
	struct health h;

	health_init(&h, true, false, T0);
	for (unsigned int i = 1; i < 1000; i++) {
		assert_false(health_tick(&h, &config, T0 + i * INTERVAL));
		health_sent(&h, (uint16_t)i, T0 + i * INTERVAL);
	}
	assert_int_equal(h.state, HEALTH_NEW);
}

static void test_adopted(void **state)
{
	struct health h;
	uint64_t now = T0;

	health_init(&h, true, true, T0);
	assert_true(health_usable(&h));
	assert_true(health_hears(&h, &config, T0)); /* else the peer would take us for deaf */
	for (int i = 0; i < 3; i++) {
		health_request(&h, false, now + 1);
		assert_false(health_tick(&h, &config, now += INTERVAL));
	}
	assert_true(health_tick(&h, &config, now += INTERVAL));
	assert_int_equal(h.state, HEALTH_DOWN);
}

static void test_unprobed(void **state)
{
	struct health h;
	uint64_t now = T0;

	health_init(&h, false, false, T0);
	health_handshake(&h, UINT64_MAX, T0);
	health_handshake(&h, HEALTH_HANDSHAKE_MS, T0);
	assert_int_equal(h.state, HEALTH_NEW);
	health_handshake(&h, 10000, T0);
	assert_int_equal(h.state, HEALTH_UP);
	assert_true(health_tick(&h, &config, T0));
	for (; now < T0 + 180000 - INTERVAL; now += INTERVAL)
		assert_false(health_tick(&h, &config, now));
	assert_int_equal(h.state, HEALTH_UP);
	health_tick(&h, &config, T0 + 180000);
	assert_int_equal(h.state, HEALTH_DOWN);
	health_handshake(&h, 100, now = T0 + 180100);
	for (unsigned int i = 0; i < config.recover; i++) {
		assert_false(health_usable(&h));
		health_tick(&h, &config, now += INTERVAL);
	}
	assert_int_equal(h.state, HEALTH_UP);
	assert_int_equal(health_loss_percent(&h), 0);
}

/* Whether its endpoint is right: a tunnel that cannot be probed may have nothing to say. */
static void test_answers(void **state)
{
	const uint32_t within = 12000;
	struct health h;

	health_init(&h, false, false, T0);
	assert_false(health_answers(&h, within, T0));
	health_handshake(&h, 0, T0);
	assert_true(health_answers(&h, within, T0 + within));
	assert_true(health_answers(&h, within, T0 + HEALTH_HANDSHAKE_MS - 1));
	assert_false(health_answers(&h, within, T0 + HEALTH_HANDSHAKE_MS));

	/* Data that nothing comes back for, until something does. */
	health_moved(&h, false, false, T0 + 15000);
	health_moved(&h, true, false, T0 + 20000);
	health_moved(&h, true, false, T0 + 25000);
	assert_true(health_answers(&h, within, T0 + 20000 + within - 1));
	assert_false(health_answers(&h, within, T0 + 20000 + within));
	health_moved(&h, true, true, T0 + 40000);
	assert_true(health_answers(&h, within, T0 + 60000));

	/* A probed one is asked all the time. */
	health_init(&h, true, false, T0);
	health_handshake(&h, 0, T0);
	assert_false(health_answers(&h, within, T0));
	health_data(&h, T0);
	assert_true(health_answers(&h, within, T0 + within - 1));
	assert_false(health_answers(&h, within, T0 + within));
}

static void test_window(void **state)
{
	struct health h;

	health_init(&h, true, true, T0);
	assert_int_equal(health_loss_percent(&h), 0);
	for (unsigned int i = 0; i < 10; i++)
		health_sent(&h, (uint16_t)(65530 + i), T0); /* across the wrap */
	assert_int_equal(health_loss_percent(&h), 100);
	for (unsigned int i = 0; i < 10; i += 2)
		health_reply(&h, (uint16_t)(65530 + i), 1000, T0);
	/* nine judged: five answered */
	assert_int_equal(health_loss_percent(&h), 100 * 4 / 9);
	health_reply(&h, (uint16_t)65530, 900000, T0); /* doubled */
	health_reply(&h, 77, 900000, T0);	       /* never sent */
	assert_int_equal(health_loss_percent(&h), 100 * 4 / 9);
	assert_int_equal(h.rtt_us, 1000);
	health_reply(&h, (uint16_t)65531, 9000, T0);
	assert_int_equal(h.rtt_us, 2000);
	for (unsigned int i = 10; i < 200; i++)
		health_sent(&h, (uint16_t)(65530 + i), T0);
	assert_int_equal(health_loss_percent(&h), 100);
	assert_int_equal(__builtin_popcountll(h.sent), HEALTH_WINDOW);
}

/* Losing every `nth` probe of `n` while the peer's requests say that it hears us. */
static void feed(struct health *h, uint64_t *now, uint16_t *seq, unsigned int n, unsigned int nth)
{
	for (unsigned int i = 0; i < n; i++) {
		health_sent(h, ++*seq, *now);
		if (*seq % nth)
			health_reply(h, *seq, 1000, *now + 1);
		health_request(h, true, *now + 2);
		health_tick(h, &config, *now += INTERVAL);
	}
}

static void test_congested_hysteresis(void **state)
{
	struct health h;
	uint64_t now = T0;
	uint16_t seq = 0;

	health_init(&h, true, true, T0);
	feed(&h, &now, &seq, 200, 5); /* 20 % */
	assert_int_equal(h.state, HEALTH_UP);
	feed(&h, &now, &seq, 200, 3); /* 33 % */
	assert_int_equal(h.state, HEALTH_CONGESTED);
	feed(&h, &now, &seq, 200, 5);
	assert_int_equal(h.state, HEALTH_CONGESTED);
	feed(&h, &now, &seq, 200, 12); /* 8 % */
	assert_int_equal(h.state, HEALTH_UP);
	assert_int_equal(h.up_ms, T0); /* it never ceased to carry */
}

static void test_congested_needs_recent(void **state)
{
	struct health h;
	uint64_t now = T0;
	uint16_t seq = 0;

	health_init(&h, true, true, T0);
	feed(&h, &now, &seq, 3, 1); /* three lost of three are no trend */
	assert_int_equal(h.state, HEALTH_UP);
	feed(&h, &now, &seq, 2, 1);
	assert_int_equal(h.state, HEALTH_CONGESTED);
}

static void test_stall(void **state)
{
	struct health h;
	uint64_t now = T0;
	uint16_t seq = 0;

	health_init(&h, true, true, T0);
	feed(&h, &now, &seq, 20, UINT16_MAX);
	health_sent(&h, ++seq, now);
	assert_false(health_tick(&h, &config, now += 30000)); /* the host slept */
	feed(&h, &now, &seq, 20, UINT16_MAX);
	assert_int_equal(h.state, HEALTH_UP);
	assert_false(health_tick(&h, &config, now += 30000));
	assert_false(health_tick(&h, &config, now += INTERVAL));
	assert_true(health_tick(&h, &config, now += INTERVAL)); /* it does not forgive for ever */

	/* The last word may have come between the last tick and the stall. */
	health_init(&h, true, true, now);
	feed(&h, &now, &seq, 20, UINT16_MAX);
	health_sent(&h, ++seq, now);
	health_reply(&h, seq, 100, now + 1);
	assert_false(health_tick(&h, &config, now += 30000));
	assert_int_equal(h.state, HEALTH_UP);
	feed(&h, &now, &seq, 20, UINT16_MAX);
	assert_int_equal(h.state, HEALTH_UP);
}

static void test_stale_denial(void **state)
{
	struct health h;
	uint64_t now = T0;

	/* Denials with replies coming back all the time are not believed. */
	health_init(&h, true, true, T0);
	for (uint16_t i = 1; i < 100; i++) {
		health_sent(&h, i, now);
		health_reply(&h, i, 100, now + 1);
		health_request(&h, false, now + 2);
		health_request(&h, false, now + 3);
		assert_false(health_tick(&h, &config, now += INTERVAL));
	}
	/* Nor are some of long ago, once the replies cease and only data comes. */
	for (uint16_t i = 100; i < 110; i++) {
		health_sent(&h, i, now);
		health_reply(&h, i, 100, now + 1);
		assert_false(health_tick(&h, &config, now += INTERVAL));
	}
	for (unsigned int i = 0; i < 10; i++) {
		health_data(&h, now);
		assert_false(health_tick(&h, &config, now += INTERVAL));
	}
	/* Nor is the first word of a daemon that has just come. */
	health_request(&h, false, now);
	for (unsigned int i = 0; i < 10; i++) {
		health_data(&h, now);
		assert_false(health_tick(&h, &config, now += INTERVAL));
	}
	health_request(&h, true, now);
	health_request(&h, false, now);
	assert_true(health_tick(&h, &config, now += INTERVAL));
}

/* That something comes in again is no reason to send. */
static void test_trying_wants_proof(void **state)
{
	const struct health_config eager = {.interval_ms = INTERVAL, .fail = 4, .recover = 2};
	struct health h;
	uint64_t now = T0;

	health_init(&h, true, true, T0);
	health_request(&h, true, T0); /* long ago by then */
	while (h.state != HEALTH_DOWN)
		health_tick(&h, &eager, now += INTERVAL);
	for (unsigned int i = 0; i < 100; i++) {
		health_data(&h, now);
		if (i > 50 && i % 6 == 3)
			health_request(&h, false, now);
		assert_false(health_tick(&h, &eager, now += INTERVAL));
		assert_int_equal(h.state, HEALTH_TRYING);
	}
	for (unsigned int i = 0; i < eager.recover; i++) {
		assert_false(health_usable(&h));
		health_request(&h, true, now);
		health_tick(&h, &eager, now += INTERVAL);
	}
	assert_int_equal(h.state, HEALTH_UP);
}

static void test_hold_decays(void **state)
{
	struct health h;
	uint64_t now = T0;
	uint16_t seq = 0;

	health_init(&h, true, true, T0);
	for (int i = 0; i < 12; i++) {
		while (health_usable(&h))
			health_tick(&h, &config, now += INTERVAL);
		assert_int_equal(h.hold_ms, i < 8 ? 2000u << i : HEALTH_HOLD_MAX_MS);
		while (!health_usable(&h))
			feed(&h, &now, &seq, 1, UINT16_MAX);
	}
	feed(&h, &now, &seq, 4 * HEALTH_HOLD_MAX_MS / INTERVAL + 2, UINT16_MAX);
	assert_int_equal(h.hold_ms, HEALTH_HOLD_MAX_MS / 2);
	feed(&h, &now, &seq, 4 * HEALTH_HOLD_MAX_MS / INTERVAL + 2000, UINT16_MAX);
	assert_int_equal(h.hold_ms, 0);
}

/* ---- two ends ---- */

static void test_start(void **state)
{
	for (uint32_t phase = 0; phase < INTERVAL; phase += 37) {
		struct sim s;

		sim_init(&s, 0, phase, 20);
		run(&s, 2 * INTERVAL + 50);
		assert_carrying(&s);
		run(&s, 600000);
		assert_carrying(&s);
		assert_int_equal(s.e[0].changes + s.e[1].changes, 2);
		assert_int_equal(s.e[0].h.state, HEALTH_UP);
		assert_int_equal(s.e[0].h.rtt_us, 40000);
	}
}

/* Whatever the phases, the delay and the moment of death, with or without data. */
static void test_death(void **state)
{
	uint64_t worst = 0, least = UINT64_MAX;
	unsigned int n = 0;

	for (uint32_t delay = 0; delay < 300; delay += 7) {
		for (uint64_t die = 0; die < INTERVAL; die += 13) {
			struct sim s;
			uint64_t death;

			sim_init(&s, 0, (uint32_t)(die * 31 + delay * 17) % INTERVAL, delay);
			s.e[0].sends_data = s.e[1].sends_data = n++ % 2;
			run(&s, 10000 + die);
			assert_carrying(&s);
			death = s.now;
			s.loss[0] = s.loss[1] = 100;
			run(&s, 4000);
			for (int i = 0; i < 2; i++) {
				uint64_t took = s.e[i].changed_at - death;

				assert_int_equal(s.e[i].h.state, HEALTH_DOWN);
				assert_int_equal(s.e[i].changes, 2);
				worst = took > worst ? took : worst;
				least = took < least ? took : least;
			}
		}
	}
	print_message("death noticed after %u to %u ms\n", (unsigned int)least,
		      (unsigned int)worst);
	assert_in_range(worst, 2700, config.fail * INTERVAL + INTERVAL * 3 / 4);
	/* The last sign of life may have come an interval before the end. */
	assert_in_range(least, (config.fail - 1) * INTERVAL - INTERVAL / 4, config.fail * INTERVAL);
}

static void test_death_late_timers(void **state)
{
	for (uint32_t phase = 0; phase < INTERVAL; phase += 3) {
		struct sim s;
		uint64_t death;

		sim_init(&s, phase, phase / 2, phase % 200);
		s.e[0].jitter = s.e[1].jitter = 100;
		run(&s, 10000 + phase * 5 % INTERVAL);
		assert_carrying(&s);
		death = s.now;
		s.loss[0] = s.loss[1] = 100;
		run(&s, 4000);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(s.e[i].h.state, HEALTH_DOWN);
			assert_in_range(s.e[i].changed_at - death, 1, 2999);
		}
	}
}

/* Only what end 0 sends is lost: end 1 hears nothing; end 0 hears requests, and data. */
static void test_one_direction(void **state)
{
	uint64_t worst = 0;

	for (uint32_t delay = 0; delay < 150; delay += 13) {
		for (uint64_t die = 0; die < INTERVAL; die += 11) {
			struct sim s;
			uint64_t death;

			sim_init(&s, 0, (uint32_t)(die * 31 + delay * 17) % INTERVAL, delay);
			s.e[0].sends_data = s.e[1].sends_data = true;
			run(&s, 10000 + die);
			assert_carrying(&s);
			death = s.now;
			s.loss[1] = 100;
			run(&s, 5000);
			for (int i = 0; i < 2; i++) {
				uint64_t took = s.e[i].changed_at - death;

				assert_false(health_usable(&s.e[i].h));
				assert_int_equal(s.e[i].changes, 2);
				worst = took > worst ? took : worst;
			}
			run(&s, 60000);
			assert_int_equal(s.e[0].changes + s.e[1].changes, 4);
			s.loss[1] = 0;
			run(&s, 6000);
			assert_carrying(&s);
		}
	}
	print_message("one dead direction noticed after at most %u ms\n", (unsigned int)worst);
	assert_in_range(worst, 2400, 2850 + 150);
}

/* Unreachable for a whole hour, then back: both ends agree again, neither waits for the other. */
static void test_return(void **state)
{
	for (uint32_t phase = 0; phase < INTERVAL; phase += 53) {
		struct sim s;

		sim_init(&s, 0, phase, 5);
		run(&s, 100000);
		s.loss[0] = s.loss[1] = 100;
		run(&s, 3600 * 1000);
		assert_int_equal(s.e[0].h.state, HEALTH_DOWN);
		s.loss[0] = s.loss[1] = 0;
		run(&s, (config.recover + 2) * INTERVAL);
		assert_carrying(&s);
		assert_int_equal(s.e[0].h.hold_ms, 0);
		assert_int_equal(health_loss_percent(&s.e[0].h), 0);
	}
}

static unsigned int flap(unsigned int on_ms, unsigned int off_ms)
{
	unsigned int changes;
	struct sim s;

	sim_init(&s, 0, 250, 10);
	run(&s, 30000);
	for (uint64_t t = 0; t < 120000; t += on_ms + off_ms) {
		s.loss[0] = s.loss[1] = 100;
		run(&s, off_ms);
		s.loss[0] = s.loss[1] = 0;
		run(&s, on_ms);
	}
	changes = (s.e[0].changes > s.e[1].changes ? s.e[0].changes : s.e[1].changes) - 1;
	run(&s, HEALTH_HOLD_MAX_MS + 10000);
	assert_carrying(&s); /* it comes back once it is calm */
	return changes;
}

static void test_flapping(void **state)
{
	static const struct {
		unsigned int on, off, most;
	} cases[] = {
		{1000, 1000, 0}, /* shorter than a death */
		{2000, 2000, 1},
		/* as long, where it falls badly between the ticks */ {2000, 3000, 2}, /* never good
											  for long
											  enough */
		{3000, 3000, 5},
		{4000, 4000, 5}, /* 30 without the hold */
		{8000, 4000, 7}, /* 20 without */
		{10000, 3000, 7},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned int n = flap(cases[i].on, cases[i].off);

		print_message("%u ms on, %u ms off: %u changes\n", cases[i].on, cases[i].off, n);
		assert_in_range(n, 0, cases[i].most);
	}
}

/* End 0 floods: nine of ten probes and data packets it sends are dropped. */
static void test_saturation(void **state)
{
	struct sim s;

	sim_init(&s, 0, 300, 30);
	run(&s, 30000);
	s.e[0].sends_data = true;
	s.loss[1] = 90;
	run(&s, 600000);
	assert_int_equal(s.e[0].changes, 1);
	assert_int_equal(s.e[1].changes, 1);
	assert_int_equal(s.e[0].h.state, HEALTH_CONGESTED);
	assert_in_range(health_loss_percent(&s.e[0].h), 70, 100);
	s.loss[1] = 0;
	run(&s, 60000);
	assert_int_equal(s.e[0].h.state, HEALTH_UP);
	assert_int_equal(s.e[0].changes, 1);
}

/* Every probe lost in both directions, or nine of ten of everything, data flows. */
static void test_loss_both_ways(void **state)
{
	struct sim s;

	sim_init(&s, 0, 300, 30);
	run(&s, 30000);
	s.e[0].sends_data = s.e[1].sends_data = true;
	s.loss[0] = s.loss[1] = 90;
	run(&s, 600000);
	assert_int_equal(s.e[0].changes + s.e[1].changes, 2);
	assert_int_equal(s.e[0].h.state, HEALTH_CONGESTED);
	assert_int_equal(s.e[1].h.state, HEALTH_CONGESTED);
	s.loss[0] = s.loss[1] = 0;
	s.probe_loss[0] = s.probe_loss[1] = 100;
	run(&s, 600000);
	assert_int_equal(s.e[0].changes + s.e[1].changes, 2);
	assert_int_equal(s.e[0].h.state, HEALTH_CONGESTED);
}

/* One in fifty lost both ways, no data: nobody would call that dead. */
static void test_mild_loss(void **state)
{
	struct sim s;

	sim_init(&s, 0, 411, 30);
	run(&s, 30000);
	s.loss[0] = s.loss[1] = 2;
	run(&s, 24 * 3600 * 1000);
	assert_int_equal(s.e[0].changes + s.e[1].changes, 2);
}

/* The daemon of end 1 stops, its kernel answers; then it starts again. */
static void daemon_restart(bool adopted, bool flooded)
{
	for (uint32_t phase = 0; phase < INTERVAL; phase += 29) {
		struct sim s;

		sim_init(&s, 0, phase, 10);
		run(&s, 30000);
		if (flooded) {
			s.e[0].sends_data = true;
			s.loss[1] = 90;
			s.e[1].sends_data = true;
			run(&s, 60000);
		}
		s.e[1].daemon = false;
		run(&s, 20000 + phase);
		assert_true(health_usable(&s.e[0].h));
		start_daemon(&s, 1, adopted);
		s.e[1].changes = 0;
		run(&s, 60000);
		assert_carrying(&s);
		assert_int_equal(s.e[0].changes, 1);
		assert_int_equal(s.e[1].changes, adopted ? 0 : 1);
	}
}

static void test_daemon_restart(void **state)
{
	daemon_restart(true, false);
	daemon_restart(false, false);
	daemon_restart(true, true);
}

/* While the peer's daemon is away, a death is still noticed. */
static void test_death_without_daemon(void **state)
{
	struct sim s;
	uint64_t death;

	sim_init(&s, 0, 100, 10);
	run(&s, 30000);
	s.e[1].daemon = false;
	run(&s, 30000);
	assert_int_equal(s.e[0].h.state, HEALTH_UP);
	death = s.now;
	s.e[1].kernel = false;
	run(&s, 5000);
	assert_int_equal(s.e[0].h.state, HEALTH_DOWN);
	assert_in_range(s.e[0].changed_at - death, 1, 2850);
	s.e[1].kernel = true;
	run(&s, 5000);
	assert_int_equal(s.e[0].h.state, HEALTH_UP);
}

/* Both daemons start at once on a link that works in one direction only, then in both. */
static void test_both_restart(void **state)
{
	for (uint32_t phase = 0; phase < INTERVAL; phase += 41) {
		struct sim s;

		sim_init(&s, 0, phase, 10);
		s.loss[1] = 100;
		run(&s, 30000);
		assert_int_equal(s.e[0].h.state, HEALTH_NEW);
		assert_int_equal(s.e[1].h.state, HEALTH_NEW);
		s.loss[1] = 0;
		run(&s, 2 * INTERVAL);
		assert_carrying(&s);
		start_daemon(&s, 0, true);
		start_daemon(&s, 1, true);
		s.e[0].changes = s.e[1].changes = 0;
		run(&s, 30000);
		assert_int_equal(s.e[0].changes + s.e[1].changes, 0);
		start_daemon(&s, 0, false);
		start_daemon(&s, 1, false);
		run(&s, 2 * INTERVAL);
		assert_carrying(&s);
	}
}

static void test_names(void **state)
{
	assert_string_equal(health_state_name(HEALTH_NEW), "new");
	assert_string_equal(health_state_name(HEALTH_TRYING), "trying");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new),
		cmocka_unit_test(test_new_stays_new),
		cmocka_unit_test(test_adopted),
		cmocka_unit_test(test_unprobed),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_congested_hysteresis),
		cmocka_unit_test(test_congested_needs_recent),
		cmocka_unit_test(test_stall),
		cmocka_unit_test(test_stale_denial),
		cmocka_unit_test(test_trying_wants_proof),
		cmocka_unit_test(test_hold_decays),
		cmocka_unit_test(test_start),
		cmocka_unit_test(test_death),
		cmocka_unit_test(test_death_late_timers),
		cmocka_unit_test(test_one_direction),
		cmocka_unit_test(test_return),
		cmocka_unit_test(test_flapping),
		cmocka_unit_test(test_saturation),
		cmocka_unit_test(test_loss_both_ways),
		cmocka_unit_test(test_mild_loss),
		cmocka_unit_test(test_daemon_restart),
		cmocka_unit_test(test_death_without_daemon),
		cmocka_unit_test(test_both_restart),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
