/* SPDX-License-Identifier: MIT */
/*
 * The distance of two CPUs: how long a cache line takes from one to the other. Whatever two threads
 * do together depends on it, and on busy machines it is anything from 50 to 2,000 ns.
 */
#ifndef GCHEAP_BENCH_DISTANCE_H
#define GCHEAP_BENCH_DISTANCE_H

#include <pthread.h>
#include <sched.h>

#include "bench.h"

#define PINGS	20000u

static uint32_t ball __attribute__((aligned(64)));

static void run_on(int number)
{
	cpu_set_t allowed, cpus;
	int cpu, seen = 0;

	sched_getaffinity(0, sizeof(allowed), &allowed);
	CPU_ZERO(&cpus);
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &allowed) && seen++ == number)
			CPU_SET(cpu, &cpus);
	}
	pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
}

static void *pong(void *unused)
{
	uint32_t i;

	(void)unused;
	run_on(1);
	for (i = 1; i < 2 * PINGS; i += 2) {
		while (__atomic_load_n(&ball, __ATOMIC_ACQUIRE) != i)
			;
		__atomic_store_n(&ball, i + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void *ping(void *best)
{
	double *ns = best;
	uint32_t i;

	run_on(0);
	for (i = 0; i < 2 * PINGS; i += 2) {
		double began = bench_ns();

		while (__atomic_load_n(&ball, __ATOMIC_ACQUIRE) != i)
			;
		__atomic_store_n(&ball, i + 1, __ATOMIC_RELEASE);
		while (__atomic_load_n(&ball, __ATOMIC_ACQUIRE) != i + 2)
			;
		ns[i / 2] = bench_ns() - began;
	}
	return NULL;
}

/* One way, ns, the clock's own time in it; 0: there is one CPU. */
static double distance(void)
{
	static double ns[PINGS];
	pthread_t threads[2];
	cpu_set_t allowed;

	sched_getaffinity(0, sizeof(allowed), &allowed);
	if (CPU_COUNT(&allowed) < 2)
		return 0;
	ball = 0;
	if (pthread_create(&threads[0], NULL, ping, ns) ||
	    pthread_create(&threads[1], NULL, pong, NULL))
		bench_fail("distance", "no threads");
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	return bench_median(ns, PINGS) / 2;
}

#endif /* GCHEAP_BENCH_DISTANCE_H */
