// SPDX-License-Identifier: MIT
/*
 * What the page caches of the core gain: short runs from an allocator with a cache for
 * each of four CPUs, beside one without. It measures how long it takes to take a run,
 * when the CPUs take runs in turns from free pages; how long to free one and take one,
 * when runs end at random; and, after each, how many CPUs have pages in the same 64
 * (512 KiB).
 *
 * It runs on any machine: the core alone, with the port of its tests.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../../selftests/core/port_test.h"

#define CPUS	4u
#define PAGES	(1u << 20)		/* 8 GiB */
#define LIVE	65536u			/* runs at a time */
#define STEPS	200000u
#define ROUNDS	7

static struct page_heap ph;
static u32 live[LIVE];
static u8 live_pages[LIVE];
static u8 live_cpu[LIVE];
static u64 random_state;

static u32 random_below(u32 end)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (u32)((random_state >> 33) % end);
}

/* Of this process's own time. */
static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void run_take(u32 i, u32 longest)
{
	bool used_before;

	live_pages[i] = (u8)(1 + random_below(longest));
	live_cpu[i] = (u8)port_test.cpu;
	live[i] = page_heap_alloc(&ph, live_pages[i], &used_before);
	if (!live[i])
		abort();
}

/* On average, how many CPUs have pages in 64 pages of which one has any. */
static double sharing(void)
{
	static u8 cpus[PAGES / 64];
	u32 words = 0, shares = 0;

	memset(cpus, 0, sizeof(cpus));
	for (u32 i = 0; i < LIVE; i++)
		cpus[live[i] / 64] |= (u8)(1u << live_cpu[i]);
	for (u32 i = 0; i < PAGES / 64; i++) {
		words += !!cpus[i];
		shares += hweight64(cpus[i]);
	}
	return (double)shares / words;
}

/* Of a measurement: nanoseconds, and CPUs that share 64 pages. */
struct figures {
	double take_ns;
	double take_sharing;
	double step_ns;
	double step_sharing;
};

static struct figures measure(u32 cpus, u32 longest)
{
	struct figures figures;
	double begin;

	random_state = 1;
	port_test.cpus = cpus;
	if (page_heap_init(&ph, PAGES, cpus) || page_heap_grow(&ph, PAGES))
		abort();
	begin = now_ns();
	for (u32 i = 0; i < LIVE; i++) {
		port_test.cpu = i % CPUS;
		run_take(i, longest);
	}
	figures.take_ns = (now_ns() - begin) / LIVE;
	figures.take_sharing = sharing();
	begin = now_ns();
	for (u32 step = 0; step < STEPS; step++) {
		u32 i = random_below(LIVE);

		/* A run is freed by its own CPU, and another is taken. */
		port_test.cpu = live_cpu[i];
		page_heap_free(&ph, live[i], live_pages[i]);
		run_take(i, longest);
	}
	figures.step_ns = (now_ns() - begin) / STEPS;
	figures.step_sharing = sharing();
	page_heap_destroy(&ph);
	return figures;
}

static int order(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *figures)
{
	qsort(figures, ROUNDS, sizeof(*figures), order);
	return figures[ROUNDS / 2];
}

int main(void)
{
	static const u32 lengths[] = { 1, 4, 15 };

	printf("runs of         caches   ns, take   shared   ns, free and take   shared\n");
	for (u32 l = 0; l < ARRAY_SIZE(lengths); l++) {
		double take[2][ROUNDS], step[2][ROUNDS];
		struct figures figures[2];

		for (u32 i = 0; i < ROUNDS; i++) {
			for (u32 side = 0; side < 2; side++) {
				figures[side] = measure(side ? 0 : CPUS, lengths[l]);
				take[side][i] = figures[side].take_ns;
				step[side][i] = figures[side].step_ns;
			}
		}
		for (u32 side = 0; side < 2; side++)
			printf("1 to %2u pages   %-6s %10.1f %8.2f %19.1f %8.2f\n", lengths[l],
			       side ? "no" : "yes", median(take[side]),
			       figures[side].take_sharing, median(step[side]),
			       figures[side].step_sharing);
	}
	return 0;
}
