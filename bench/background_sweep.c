// SPDX-License-Identifier: MIT
/* link: -Wl,--no-as-needed -luring */
/*
 * What a sweep in the background saves a program: two heaps of the same work, one of
 * which sweeps by requests alone (GCHEAP_URING=0), cycle by cycle in turns.
 *
 * In each cycle a list of nodes in every eighth slot stays, everything else is dead, and as
 * much is allocated again. Cycles start by the memory limit, at the same place of the work
 * each time: those of gcheap_collect() are not swept in the background. Only /dev/gcheap
 * sweeps in the background; elsewhere the two heaps are the same and the ratios about 1.
 * Nor are heaps below BACKGROUND_SPANS (lib/collect.c) swept so. liburing is among its
 * libraries so that a virtual machine has it.
 *
 *	background_sweep [SPANS]	spans of 8 KiB; 16384 unless told
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <gcheap.h>

#define CYCLES		15
#define SLOTS		128	/* of a span of 8 KiB */
#define NODE_BYTES	64
/* An object that does not fit below the limit behind a cycle's work, which leaves SLACK. */
#define LAST_BYTES	((size_t)2 << 20)
#define SLACK		((size_t)1 << 20)

struct node {
	struct node *next;
	char rest[NODE_BYTES - sizeof(void *)];
};

struct side {
	struct gcheap *heap;
	struct gcheap_thread *thread;
	gcheap_type type;
	struct node *list;
	double sweep_us[CYCLES];
	double work_us[CYCLES];
};

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void die(void)
{
	fprintf(stderr, "background_sweep: %s\n", gcheap_error());
	exit(1);
}

static void side_open(struct side *side, const char *uring, unsigned long spans)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	size_t bytes = spans * SLOTS * NODE_BYTES;

	config.gc_percent = -1;
	config.memory_limit = bytes / 16 + bytes + LAST_BYTES + SLACK;
	config.flags = 0;
	setenv("GCHEAP_URING", uring, 1);
	if (gcheap_open(&config, &side->heap) ||
	    gcheap_thread_attach(side->heap, &side->thread) ||
	    gcheap_root_add(side->heap, &side->list, 1))
		die();
	side->type = GCHEAP_TYPE(side->heap, struct node, next);
}

static void work(struct side *side, unsigned long spans)
{
	unsigned long i;

	side->list = NULL;
	for (i = 0; i < spans * SLOTS; i++) {
		struct node *node = gcheap_new(side->thread, side->type);

		if (!node)
			die();
		if (i % 8 || i / SLOTS % 2)
			continue;
		node->next = side->list;
		side->list = node;
	}
}

/* The first one: it sees to it that the limit is as far as before all others. */
static void cycle_first(struct side *side, unsigned long spans)
{
	work(side, spans);
	if (gcheap_collect(side->thread) || !gcheap_new_leaf(side->thread, LAST_BYTES))
		die();
	work(side, spans);
}

/* The work after a cycle sweeps, or does not, what that one has left. */
static void cycle(struct side *side, unsigned long spans, int number)
{
	struct gcheap_stats before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	double start;

	if (gcheap_stats(side->heap, &before) || !gcheap_new_leaf(side->thread, LAST_BYTES) ||
	    gcheap_stats(side->heap, &after))
		die();
	if (after.cycles != before.cycles + 1) {
		fprintf(stderr, "background_sweep: the cycles are not where they should be\n");
		exit(1);
	}
	start = now_us();
	work(side, spans);
	if (number < 0)
		return;
	side->sweep_us[number] = (double)(after.sweep_ns_total - before.sweep_ns_total) / 1e3;
	side->work_us[number] = now_us() - start;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values)
{
	qsort(values, CYCLES, sizeof(*values), compare);
	return values[CYCLES / 2];
}

int main(int argc, char **argv)
{
	unsigned long spans = argc > 1 ? strtoul(argv[1], NULL, 10) : 16384;
	static struct side sides[2];
	double sweep[2], all[2];
	int i, side;

	for (side = 0; side < 2; side++) {
		side_open(&sides[side], side ? "1" : "0", spans);
		cycle_first(&sides[side], spans);
	}
	for (i = -1; i < CYCLES; i++) {
		for (side = 0; side < 2; side++)
			cycle(&sides[side], spans, i);
	}
	for (side = 0; side < 2; side++) {
		sweep[side] = median(sides[side].sweep_us);
		all[side] = median(sides[side].work_us);
		gcheap_thread_detach(sides[side].thread);
		gcheap_close(sides[side].heap);
	}
	printf("%lu spans: sweep's part of the pause %.0f us, in the background %.0f us: %.2f\n",
	       spans, sweep[0], sweep[1], sweep[1] / sweep[0]);
	printf("%lu spans: allocating until the next cycle %.0f us, beside it %.0f us: %.2f\n",
	       spans, all[0], all[1], all[1] / all[0]);
	return 0;
}
