/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * monitor: keeps every tunnel's health: probes it, listens to the peers' probes, and asks for the
 * counters of a lane that has fallen silent.
 */
#ifndef WGSCALE_MONITOR_H
#define WGSCALE_MONITOR_H

#include "gateway.h"

struct ev_loop;
struct monitor;

struct monitor_hooks {
	/* A tunnel's usability changed: the peer's map must be filled anew. */
	void (*usable_changed)(void *owner, size_t peer);
	/* Counters of a lane device are wanted; answer with monitor_sampled(). */
	void (*sample)(void *owner, const char *dev);
	/* What the host has; for source addresses. */
	const struct facts *(*facts)(void *owner);
};

int monitor_open(struct ev_loop *loop, const struct monitor_hooks *hooks, void *owner,
		 struct monitor **ret_monitor);
void monitor_close(struct monitor *m);
/* Another gateway takes over, or NULL: probing stops. */
void monitor_set(struct monitor *m, struct gateway *g);
/* Counters arrived (also when nobody asked); n 0: the device could not be read. */
void monitor_sampled(struct monitor *m, const char *dev, const struct kernel_peer_sample *samples,
		     size_t n);

/* Echo requests of an operator's `ping`, answered when all came back or time is over. */
struct monitor_pong {
	uint32_t sent, received;
	uint32_t rtt_us; /* mean; 0: none came back */
};
void monitor_ping(struct monitor *m, size_t peer, unsigned int count,
		  void (*cb)(void *owner, const struct monitor_pong *pongs, size_t n), void *owner);

uint64_t monitor_now_ms(void);

#endif
