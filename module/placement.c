// SPDX-License-Identifier: GPL-2.0-only
/*
 * DOC: Which CPU is next, of those that a mask allows and that are online: always one, whatever
 * goes offline meanwhile. In a packet's way a device without a mask gets by with placement.h.
 */
#include "placement.h"

#include <linux/slab.h>

static bool usable(int cpu, const struct cpumask *cpus)
{
	return cpu >= 0 && cpu < nr_cpu_ids && cpumask_test_cpu(cpu, cpus) && cpu_online(cpu);
}

/* The mask to go by, or NULL for all that are online. Under RCU. */
static const struct cpumask *confined(const struct wgs_placement *p)
{
	const struct cpumask_rcu *mask = rcu_dereference(p->mask);

	if (likely(!mask) || !cpumask_intersects(&mask->cpus, cpu_online_mask))
		return NULL;
	return &mask->cpus;
}

int wgs_placement_next_slow(const struct wgs_placement *p, int *last_cpu)
{
	const struct cpumask *cpus;
	int cpu = READ_ONCE(*last_cpu);

	rcu_read_lock();
	cpus = confined(p);
	if (!cpus)
		cpus = cpu_online_mask;
	cpu = cpumask_next_and(cpu, cpus, cpu_online_mask);
	if (cpu >= nr_cpu_ids)
		cpu = cpumask_first_and(cpus, cpu_online_mask);
	if (unlikely(cpu >= nr_cpu_ids)) /* the last one has just gone */
		cpu = cpumask_first(cpu_online_mask);
	rcu_read_unlock();
	WRITE_ONCE(*last_cpu, cpu);
	return cpu;
}

int wgs_placement_stay(const struct wgs_placement *p, int *last_cpu)
{
	const struct cpumask *cpus;
	int cpu = raw_smp_processor_id();
	bool stays;

	rcu_read_lock();
	cpus = confined(p);
	stays = (!cpus || cpumask_test_cpu(cpu, cpus)) && cpu_online(cpu);
	rcu_read_unlock();
	return stays ? cpu : wgs_placement_next(p, last_cpu);
}

int wgs_placement_choose_slow(const struct wgs_placement *p, int *stored_cpu, unsigned int id)
{
	const struct cpumask *cpus;
	int cpu = READ_ONCE(*stored_cpu);
	unsigned int n;

	rcu_read_lock();
	cpus = confined(p);
	if (!cpus)
		cpus = cpu_online_mask;
	if (usable(cpu, cpus))
		goto out;
	for (n = id % cpumask_weight(cpus), cpu = cpumask_first(cpus); n; n--)
		cpu = cpumask_next(cpu, cpus);
	if (!usable(cpu, cpus))
		cpu = cpumask_first_and(cpus, cpu_online_mask);
	if (unlikely(cpu >= nr_cpu_ids))
		cpu = cpumask_first(cpu_online_mask);
	WRITE_ONCE(*stored_cpu, cpu);
out:
	rcu_read_unlock();
	return cpu;
}

int wgs_placement_set(struct wgs_placement *p, const struct cpumask *cpus)
{
	struct cpumask_rcu *fresh = NULL, *old;

	if (cpus && !cpumask_empty(cpus)) {
		fresh = kmalloc(sizeof(*fresh), GFP_KERNEL);
		if (!fresh)
			return -ENOMEM;
		cpumask_copy(&fresh->cpus, cpus);
	}
	old = rcu_replace_pointer(p->mask, fresh, true);
	if (old)
		kfree_rcu(old, rcu);
	return 0;
}

void wgs_placement_done(struct wgs_placement *p)
{
	wgs_placement_set(p, NULL);
}
