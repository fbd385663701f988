/* SPDX-License-Identifier: MIT */
/*
 * What the collector did, for people: the examples print it when they are done.
 */
#ifndef EXAMPLES_FIGURES_H
#define EXAMPLES_FIGURES_H

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include <gcheap.h>

static inline double figures_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static inline double figures_mib(uint64_t bytes)
{
	return (double)bytes / (1 << 20);
}

static inline double figures_ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

/**
 * figures_print() - print the figures of a heap
 * @file: where to
 * @heap: the heap
 * @start: figures_seconds() when the program started
 *
 * Return: as gcheap_stats().
 */
static inline int figures_print(FILE *file, struct gcheap *heap, double start)
{
	/* The size tells a newer library how much of the struct this program knows. */
	struct gcheap_stats stats = { .size = sizeof(stats) };
	int error = gcheap_stats(heap, &stats);

	if (error)
		return error;
	fprintf(file, "collector: %s backend, %" PRIu64 " cycles in %.2f s\n",
		gcheap_backend(heap) == GCHEAP_BACKEND_DEVICE ? "device" : "local",
		stats.cycles, figures_seconds() - start);
	fprintf(file, "  allocated %10.1f MiB in %" PRIu64 " objects\n",
		figures_mib(stats.allocated_bytes), stats.allocated_objects);
	fprintf(file, "  live      %10.1f MiB in %" PRIu64 " objects, found by the last cycle\n",
		figures_mib(stats.live_bytes), stats.live_objects);
	fprintf(file, "  memory    %10.1f MiB resident, and %.1f MiB of metadata\n",
		figures_mib(stats.resident_bytes), figures_mib(stats.metadata_bytes));
	fprintf(file, "  pauses    %10.2f ms together, %.2f ms the longest\n",
		figures_ms(stats.pause_ns_total), figures_ms(stats.pause_ns_max));
	fprintf(file, "  work      %10.2f ms marking, %.2f ms sweeping\n",
		figures_ms(stats.mark_ns_total), figures_ms(stats.sweep_ns_total));
	fprintf(file, "  requests  %10" PRIu64 " to the backend\n", stats.requests);
	return 0;
}

#endif /* EXAMPLES_FIGURES_H */
