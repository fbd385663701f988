// SPDX-License-Identifier: MIT
/* link: */
/*
 * Tiny objects: ns to allocate and drop one, collections included, and bytes of slot
 * that it takes. A leaf of 16 bytes has a slot of its own.
 *
 *	tiny [million objects a round] [rounds]		20 9
 */
#include <gcheap.h>

#include "bench.h"

#define ROUNDS_MAX	64u

static const size_t sizes[] = { 1, 2, 4, 5, 8, 9, 16 };
#define SIZES	(sizeof(sizes) / sizeof(sizes[0]))

static uint64_t allocated_bytes(struct gcheap *heap)
{
	struct gcheap_stats stats = { .size = sizeof(stats) };

	if (gcheap_stats(heap, &stats))
		bench_fail("gcheap", gcheap_error());
	return stats.allocated_bytes;
}

static double round_ns(struct gcheap_thread *thread, size_t bytes, size_t objects)
{
	double start = bench_ns();
	size_t i;

	for (i = 0; i < objects; i++) {
		char *object = gcheap_new_leaf(thread, bytes);

		if (!object)
			bench_fail("gcheap_new_leaf", gcheap_error());
		*object = 1;
	}
	return (bench_ns() - start) / (double)objects;
}

int main(int argc, char **argv)
{
	size_t objects = bench_argument(argc, argv, 1, 20) * 1000000;
	size_t rounds = bench_argument(argc, argv, 2, 9);
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	double ns[SIZES][ROUNDS_MAX];
	double taken[SIZES];
	struct gcheap_thread *thread;
	struct gcheap *heap;
	size_t round, i;

	config.flags = 0;
	if (!objects || !rounds || rounds > ROUNDS_MAX)
		bench_fail("tiny", "bad arguments");
	if (gcheap_open(&config, &heap) || gcheap_thread_attach(heap, &thread))
		bench_fail("gcheap", gcheap_error());
	for (round = 0; round < rounds; round++) {
		for (i = 0; i < SIZES; i++) {
			uint64_t before = allocated_bytes(heap);

			ns[i][round] = round_ns(thread, sizes[i], objects);
			taken[i] = (double)(allocated_bytes(heap) - before) / (double)objects;
		}
	}
	printf("tiny: %zu million objects a round, %zu rounds\n", objects / 1000000, rounds);
	printf("bytes  slot bytes     ns\n");
	for (i = 0; i < SIZES; i++)
		printf("%5zu %11.1f %6.2f\n", sizes[i], taken[i], bench_median(ns[i], rounds));
	gcheap_thread_detach(thread);
	gcheap_close(heap);
	return 0;
}
