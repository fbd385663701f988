// SPDX-License-Identifier: MIT
/* link: -lpthread */
/*
 * What a cycle takes for many suspended stacks that lead to little, with one marker and with two.
 * Each stack is full of words that are no pointers, as those of deep recursion mostly are.
 *
 *	root_stacks [rounds] [stacks] [KiB]		15 512 64
 */
#define _GNU_SOURCE
#include <gcheap.h>
#include <stdlib.h>

#include "bench.h"
#include "distance.h"

static double cycle(struct gcheap *heap, struct gcheap_thread *thread)
{
	struct gcheap_stats before = { .size = sizeof(before) };
	struct gcheap_stats after = { .size = sizeof(after) };

	gcheap_stats(heap, &before);
	if (gcheap_collect(thread) || gcheap_stats(heap, &after))
		bench_fail("gcheap", gcheap_error());
	return (double)(after.mark_ns_total - before.mark_ns_total);
}

int main(int argc, char **argv)
{
	size_t rounds = bench_argument(argc, argv, 1, 15);
	size_t count = bench_argument(argc, argv, 2, 512);
	size_t bytes = bench_argument(argc, argv, 3, 64) << 10;
	uint64_t random = 1, *stacks = malloc(count * bytes);
	struct gcheap_thread *thread[3];
	struct gcheap *heap[3];
	double *ns[3];
	size_t markers, i;

	if (!rounds || !count || !bytes || !stacks)
		bench_fail("root_stacks", "bad arguments, or no memory");
	for (i = 0; i < count * bytes / 8; i++)
		stacks[i] = bench_random(&random);
	for (markers = 1; markers <= 2; markers++) {
		struct gcheap_config config = GCHEAP_CONFIG_INIT;

		config.flags = GCHEAP_CONSERVATIVE_STACKS;
		config.gc_percent = -1;
		config.markers = (uint32_t)markers;
		config.backend = GCHEAP_BACKEND_LOCAL;
		if (gcheap_open(&config, &heap[markers]) ||
		    gcheap_thread_attach(heap[markers], &thread[markers]))
			bench_fail("gcheap", gcheap_error());
		for (i = 0; i < count; i++) {
			if (gcheap_stack_add(heap[markers], (char *)stacks + i * bytes, bytes))
				bench_fail("gcheap", gcheap_error());
		}
		ns[markers] = calloc(rounds, sizeof(*ns[markers]));
		/* The markers' threads are made. */
		cycle(heap[markers], thread[markers]);
		cycle(heap[markers], thread[markers]);
	}
	for (i = 0; i < rounds; i++) {
		for (markers = 1; markers <= 2; markers++)
			ns[markers][i] = cycle(heap[markers], thread[markers]);
	}
	printf("root_stacks: %zu stacks of %zu KiB, ms, medians of %zu rounds (least)\n", count,
	       bytes >> 10, rounds);
	for (markers = 1; markers <= 2; markers++) {
		double median = bench_median(ns[markers], rounds);

		printf("%zu marker%s %8.2f (%.2f)", markers, markers > 1 ? "s" : " ",
		       median / 1e6, ns[markers][0] / 1e6);
		if (markers > 1)
			printf("  a cache line from one CPU to another: %.0f ns", distance());
		printf("\n");
		gcheap_thread_detach(thread[markers]);
		gcheap_close(heap[markers]);
		free(ns[markers]);
	}
	free(stacks);
	return 0;
}
