/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where vanilla work of a device is done: encryption, decryption and each peer's transmission.
 * Upstream spreads it over all online CPUs, isolated or not. A mask names the CPUs to use; while
 * none of them is online, all that are take their place.
 */
#ifndef _WGS_PLACEMENT_H
#define _WGS_PLACEMENT_H

#include <linux/cpumask.h>
#include <linux/rcupdate.h>

struct wgs_placement {
	struct cpumask_rcu {
		struct rcu_head rcu;
		struct cpumask cpus;
	} __rcu *mask; /* NULL: all; written under the device's update lock */
};

int wgs_placement_next_slow(const struct wgs_placement *p, int *last_cpu);
int wgs_placement_choose_slow(const struct wgs_placement *p, int *stored_cpu, unsigned int id);

/* The next CPU in turn. Racy as upstream's: two callers may get the same one. */
static inline int wgs_placement_next(const struct wgs_placement *p, int *last_cpu)
{
	int cpu;

	if (unlikely(rcu_access_pointer(p->mask)))
		return wgs_placement_next_slow(p, last_cpu);
	cpu = cpumask_next(READ_ONCE(*last_cpu), cpu_online_mask);
	if (cpu >= nr_cpu_ids)
		cpu = cpumask_first(cpu_online_mask);
	WRITE_ONCE(*last_cpu, cpu);
	return cpu;
}

/* This CPU if it may be used, else the next in turn. */
int wgs_placement_stay(const struct wgs_placement *p, int *last_cpu);

/* The same CPU each time as long as it may be used, chosen by id. */
static inline int wgs_placement_choose(const struct wgs_placement *p, int *stored_cpu,
				       unsigned int id)
{
	int cpu = READ_ONCE(*stored_cpu);

	if (likely(!rcu_access_pointer(p->mask) && (unsigned int)cpu < nr_cpu_ids &&
		   cpu_online(cpu)))
		return cpu;
	return wgs_placement_choose_slow(p, stored_cpu, id);
}

/* NULL or an empty mask: all. The caller holds the device's update lock. */
int wgs_placement_set(struct wgs_placement *p, const struct cpumask *cpus);
void wgs_placement_done(struct wgs_placement *p);

#endif
