/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DOC: Feeds the state machines of health.c. One timer per health interval sends an echo request
 * into each tunnel and advances its state; what arrives on the raw sockets is matched to a tunnel
 * by lane (the interface it came in by) and source address, which WireGuard vouches for. Counters
 * are only asked for where they decide something: a carrying tunnel that fell silent, or one that
 * cannot be probed. What follows from a change of health is the owner's.
 */
#include "monitor.h"

#include <ev.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "probe.h"

/* Fewer bytes in an interval can be handshakes and keepalives. */
#define DATA_BYTES_MIN	   1024
#define UNPROBED_SAMPLE_MS 5000
#define UNANSWERED_MS	   10000
#define PING_WAIT_MS	   1000
#define PING_GAP_S	   0.2

struct ping {
	struct ping *next;
	struct monitor *m;
	ev_timer timer;
	size_t peer, n;
	unsigned int left;
	uint16_t ident;
	uint16_t seq;
	uint64_t sent_us[MODEL_LANES_MAX];
	uint64_t rtt_sum[MODEL_LANES_MAX];
	struct monitor_pong pongs[MODEL_LANES_MAX];
	void (*cb)(void *owner, const struct monitor_pong *pongs, size_t n);
	void *owner;
};

struct monitor {
	struct ev_loop *loop;
	struct monitor_hooks hooks;
	void *owner;
	struct gateway *g;
	struct probe_sock sock;
	ev_io io4, io6;
	ev_timer tick;
	uint16_t seq;
	uint64_t unprobed_ms; /* last sampling for tunnels without a probe address */
	struct ping *pings;
	uint16_t last_ping; /* added to the identifier of probes, never 0 */
};

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

uint64_t monitor_now_ms(void)
{
	return now_us() / 1000u;
}

static struct health_config config_of(const struct gateway *g)
{
	const struct config *c = g->site->config;

	return (struct health_config){.interval_ms = c->health_interval_ms,
				      .fail = c->health_fail,
				      .recover = c->health_recover};
}

/* ---- sending ---- */

static void send_probe(struct monitor *m, size_t peer, size_t index, uint16_t ident, uint16_t seq)
{
	const struct peer *p = &m->g->site->peers[peer];
	const struct tunnel *t = &p->tunnels[index];
	struct tunnel_run *run = &m->g->peers[peer].tunnels[index];
	const struct lane *lane = site_lane(m->g->site, t->ours);
	struct health_config hc = config_of(m->g);
	struct probe_sock sock = m->sock;
	struct ipaddr from = lane->probe;
	struct probe_msg msg = {
		.hears = health_hears(&run->health, &hc, monitor_now_ms()),
		.active = p->traffic == TRAFFIC_ON,
		.to_lane = (uint8_t)t->theirs,
		.from_lane = (uint8_t)t->ours,
		.usable = (uint8_t)gateway_usable(m->g, peer),
		.my_card = m->g->site->card_digest,
		.your_card = p->card->digest,
	};

	if (!m->g->ifindex[t->ours] || !t->probe.family)
		return;
	if (t->probe.family == AF_INET || t->probe.b[0] != 0xfe)
		from = want_source(m->g->site->config, m->hooks.facts(m->owner), t->probe.family);
	sock.ident = ident;
	/* A full queue or a route that is not there yet: the missing answer tells. */
	(void)probe_send(&sock, m->g->ifindex[t->ours], &from, &t->probe, seq, &msg);
}

/* ---- state ---- */

static void log_change(struct monitor *m, size_t peer, size_t index, enum health_state was)
{
	const struct peer *p = &m->g->site->peers[peer];
	const struct health *h = &m->g->peers[peer].tunnels[index].health;
	size_t usable = gateway_usable(m->g, peer);
	int priority =
		h->state == HEALTH_DOWN || h->state == HEALTH_CONGESTED ? LOG_WARNING : LOG_INFO;

	if (h->state == was)
		return;
	log_peer(priority, p->id, (int)p->tunnels[index].ours,
		 "%s tunnel %zu (lane %u to their %u): %s, was %s; %zu of %zu tunnels carry", p->id,
		 index, p->tunnels[index].ours, p->tunnels[index].theirs,
		 health_state_name(h->state), health_state_name(was), usable, p->n_tunnels);
}

/* Runs `event` on a tunnel's health and tells the owner if it made it fit to carry. */
#define WITH_HEALTH(m, peer, index, event)                                      \
	do {                                                                    \
		struct health *h_ = &(m)->g->peers[peer].tunnels[index].health; \
		enum health_state was_ = h_->state;                             \
		bool usable_ = health_usable(h_);                               \
		event;                                                          \
		log_change(m, peer, index, was_);                               \
		if (usable_ != health_usable(h_))                               \
			(m)->hooks.usable_changed((m)->owner, peer);            \
	} while (0)

/* A peer that shakes hands but answers no echo (no IPv6 there, or a firewall) would never carry:
 * such a tunnel is judged by its handshakes, until an answer comes after all. */
static void stop_probing(struct monitor *m, size_t peer, size_t index, uint64_t age_ms,
			 uint64_t now_ms)
{
	struct tunnel_run *run = &m->g->peers[peer].tunnels[index];
	const struct peer *p = &m->g->site->peers[peer];

	if (!run->health.probed || run->health.state != HEALTH_NEW ||
	    age_ms > HEALTH_HANDSHAKE_MS) {
		run->unanswered_ms = 0;
		return;
	}
	if (!run->unanswered_ms)
		run->unanswered_ms = now_ms;
	if (now_ms - run->unanswered_ms < UNANSWERED_MS)
		return;
	run->health.probed = false;
	log_peer(LOG_WARNING, p->id, (int)p->tunnels[index].ours,
		 "%s tunnel %zu shakes hands but answers no probe: judged by handshakes, so that "
		 "its loss is noticed after minutes only",
		 p->id, index);
}

static bool silent(const struct tunnel_run *run, const struct health_config *hc, uint64_t now_ms)
{
	return health_usable(&run->health) &&
	       now_ms - run->health.heard_ms > hc->interval_ms + hc->interval_ms / 2;
}

/* A silent tunnel's lane, so that data without probes counts as life; and lanes of plain peers. */
static void ask_samples(struct monitor *m, const struct health_config *hc, uint64_t now_ms)
{
	bool wanted[MODEL_LANES_MAX] = {false};
	bool unprobed = now_ms - m->unprobed_ms >= UNPROBED_SAMPLE_MS;

	for (size_t i = 0; i < m->g->site->n_peers; i++)
		for (size_t t = 0; t < m->g->site->peers[i].n_tunnels; t++) {
			const struct tunnel *tunnel = &m->g->site->peers[i].tunnels[t];

			const struct tunnel_run *run = &m->g->peers[i].tunnels[t];

			if (silent(run, hc, now_ms) ||
			    (unprobed && (!run->health.probed || run->health.state == HEALTH_NEW)))
				wanted[tunnel->ours] = true;
		}
	if (unprobed)
		m->unprobed_ms = now_ms;
	for (size_t l = 0; l < m->g->site->n_lanes; l++)
		if (wanted[l] && m->g->ifindex[l])
			m->hooks.sample(m->owner, m->g->site->lanes[l].dev);
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct monitor *m = timer->data;
	struct health_config hc;
	uint64_t now_ms = monitor_now_ms();

	if (!m->g)
		return;
	hc = config_of(m->g);
	m->seq++;
	for (size_t i = 0; i < m->g->site->n_peers; i++) {
		bool changed = false;

		for (size_t t = 0; t < m->g->site->peers[i].n_tunnels; t++) {
			struct tunnel_run *run = &m->g->peers[i].tunnels[t];
			enum health_state was = run->health.state;

			changed |= health_tick(&run->health, &hc, now_ms);
			log_change(m, i, t, was);
			/* Also where no answer is expected: there may be one after all. */
			send_probe(m, i, t, m->sock.ident, m->seq);
			if (!run->health.probed)
				continue;
			run->probe_us = now_us();
			health_sent(&run->health, m->seq, now_ms);
		}
		if (changed)
			m->hooks.usable_changed(m->owner, i);
	}
	ask_samples(m, &hc, now_ms);
}

/* ---- receiving ---- */

static bool find(const struct monitor *m, const struct probe_event *e, size_t *ret_peer,
		 size_t *ret_index)
{
	const struct site *s = m->g->site;

	for (size_t i = 0; i < s->n_peers; i++)
		for (size_t t = 0; t < s->peers[i].n_tunnels; t++) {
			const struct tunnel *tunnel = &s->peers[i].tunnels[t];

			if (m->g->ifindex[tunnel->ours] != e->ifindex ||
			    addr_cmp(&tunnel->probe, &e->from) != 0)
				continue;
			*ret_peer = i;
			*ret_index = t;
			return true;
		}
	return false;
}

static void on_pong(struct ping *p, size_t index, const struct probe_event *e)
{
	if (e->seq != p->seq || !p->sent_us[index])
		return;
	p->pongs[index].received++;
	p->rtt_sum[index] += e->when_us - p->sent_us[index];
	p->sent_us[index] = 0;
}

static void on_reply(struct monitor *m, size_t peer, size_t index, const struct probe_event *e)
{
	struct tunnel_run *run = &m->g->peers[peer].tunnels[index];
	uint32_t rtt_us = 0;

	if (e->ident != m->sock.ident) {
		for (struct ping *p = m->pings; p; p = p->next)
			if (p->ident == e->ident && p->peer == peer)
				on_pong(p, index, e);
		return;
	}
	run->health.probed = true;
	if (e->seq == m->seq && e->when_us > run->probe_us)
		rtt_us = (uint32_t)(e->when_us - run->probe_us);
	WITH_HEALTH(m, peer, index, health_reply(&run->health, e->seq, rtt_us, monitor_now_ms()));
}

static void on_request(struct monitor *m, size_t peer, size_t index, const struct probe_event *e)
{
	struct peer_run *run = &m->g->peers[peer];

	if (!e->has_msg)
		return;
	run->said_ms = monitor_now_ms();
	run->card = e->msg.my_card;
	run->card_held = e->msg.your_card;
	run->active = e->msg.active;
	WITH_HEALTH(m, peer, index,
		    health_request(&run->tunnels[index].health, e->msg.hears, run->said_ms));
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
	struct monitor *m = io->data;
	struct probe_event e;
	size_t peer, index;

	/* Bounded, so that a flood of echoes cannot keep the loop from its other work. */
	for (int i = 0; i < 256 && probe_receive(&m->sock, io->fd, &e) == 0; i++) {
		if (!m->g || !find(m, &e, &peer, &index))
			continue;
		if (e.reply)
			on_reply(m, peer, index, &e);
		else
			on_request(m, peer, index, &e);
	}
}

void monitor_sampled(struct monitor *m, const char *dev, const struct kernel_peer_sample *samples,
		     size_t n)
{
	uint64_t now_ms = monitor_now_ms();
	struct health_config hc;
	struct timespec wall;

	if (!m->g)
		return;
	hc = config_of(m->g);
	clock_gettime(CLOCK_REALTIME, &wall);
	for (size_t i = 0; i < n; i++) {
		size_t peer, index;
		struct tunnel_run *run = gateway_find(m->g, dev, &samples[i].key, &peer);
		uint64_t age_ms = UINT64_MAX;
		bool came;

		if (!run)
			continue;
		index = (size_t)(run - m->g->peers[peer].tunnels);
		if (samples[i].handshake_s)
			age_ms = (uint64_t)wall.tv_sec > samples[i].handshake_s
					 ? ((uint64_t)wall.tv_sec - samples[i].handshake_s) * 1000u
					 : 0;
		stop_probing(m, peer, index, age_ms, now_ms);
		WITH_HEALTH(m, peer, index, health_handshake(&run->health, age_ms, now_ms));
		/* What came since a look of long ago may itself be old. */
		if (run->health_rx_ms &&
		    now_ms - run->health_rx_ms < (uint64_t)hc.fail * hc.interval_ms &&
		    samples[i].rx_bytes >= run->health_rx + DATA_BYTES_MIN)
			WITH_HEALTH(m, peer, index, health_data(&run->health, now_ms));
		came = !run->health_rx_ms || samples[i].rx_bytes != run->health_rx;
		if (came)
			run->health_tx = samples[i].tx_bytes;
		health_moved(&run->health, samples[i].tx_bytes >= run->health_tx + DATA_BYTES_MIN,
			     came, now_ms);
		run->health_rx = samples[i].rx_bytes;
		run->health_rx_ms = now_ms;
	}
}

/* ---- ping ---- */

static void ping_end(struct ping *p)
{
	struct monitor *m = p->m;
	struct ping **at = &m->pings;

	while (*at && *at != p)
		at = &(*at)->next;
	if (*at)
		*at = p->next;
	ev_timer_stop(m->loop, &p->timer);
	for (size_t i = 0; i < p->n; i++)
		if (p->pongs[i].received)
			p->pongs[i].rtt_us = (uint32_t)(p->rtt_sum[i] / p->pongs[i].received);
	p->cb(p->owner, p->pongs, p->n);
	free(p);
}

static void on_ping_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct ping *p = timer->data;

	if (!p->left || !p->m->g) {
		ping_end(p);
		return;
	}
	p->left--;
	p->seq++;
	for (size_t t = 0; t < p->n; t++) {
		p->sent_us[t] = now_us();
		p->pongs[t].sent++;
		send_probe(p->m, p->peer, t, p->ident, p->seq);
	}
	ev_timer_set(timer, p->left ? PING_GAP_S : PING_WAIT_MS / 1000., 0.);
	ev_timer_start(loop, timer);
}

void monitor_ping(struct monitor *m, size_t peer, unsigned int count,
		  void (*cb)(void *owner, const struct monitor_pong *pongs, size_t n), void *owner)
{
	struct ping *p = xcalloc(1, sizeof(*p));

	p->m = m;
	p->peer = peer;
	p->n = m->g->site->peers[peer].n_tunnels;
	p->left = count;
	m->last_ping = m->last_ping % (PROBE_IDENTS - 1) + 1;
	p->ident = (uint16_t)(m->sock.ident + m->last_ping);
	p->cb = cb;
	p->owner = owner;
	p->next = m->pings;
	m->pings = p;
	ev_timer_init(&p->timer, on_ping_timer, 0., 0.);
	p->timer.data = p;
	ev_timer_start(m->loop, &p->timer);
}

/* ---- life ---- */

void monitor_set(struct monitor *m, struct gateway *g)
{
	double interval_s = g ? g->site->config->health_interval_ms / 1000. : 1.;

	while (m->pings)
		ping_end(m->pings);
	m->g = g;
	/* Marked as outer packets are, so that they stay on their lane instead of being hashed. */
	if (g && probe_set_mark(&m->sock, g->site->config->mark_mask) != 0)
		log_line(LOG_WARNING,
			 "cannot mark probes: those of plain peers may take another lane");
	if (ev_is_active(&m->tick) && m->tick.repeat == interval_s)
		return;
	ev_timer_stop(m->loop, &m->tick);
	ev_timer_set(&m->tick, 0., interval_s);
	ev_timer_start(m->loop, &m->tick);
}

static void watch_fd(struct monitor *m, ev_io *io, int fd)
{
	ev_io_init(io, on_readable, fd, EV_READ);
	/* Before the timer: what came while the loop was held up is heard before it is missed. */
	ev_set_priority(io, 1);
	io->data = m;
	if (fd >= 0)
		ev_io_start(m->loop, io);
}

int monitor_open(struct ev_loop *loop, const struct monitor_hooks *hooks, void *owner,
		 struct monitor **ret_monitor)
{
	struct monitor *m = xcalloc(1, sizeof(*m));
	int err = probe_open(&m->sock);

	if (err) {
		free(m);
		return err;
	}
	m->loop = loop;
	m->hooks = *hooks;
	m->owner = owner;
	ev_timer_init(&m->tick, on_tick, 0., 1.);
	m->tick.data = m;
	watch_fd(m, &m->io4, m->sock.fd4);
	watch_fd(m, &m->io6, m->sock.fd6);
	*ret_monitor = m;
	return 0;
}

void monitor_close(struct monitor *m)
{
	if (!m)
		return;
	while (m->pings)
		ping_end(m->pings);
	ev_timer_stop(m->loop, &m->tick);
	ev_io_stop(m->loop, &m->io4);
	ev_io_stop(m->loop, &m->io6);
	probe_close(&m->sock);
	free(m);
}
