// SPDX-License-Identifier: MIT
/* link: */
/*
 * Layouts side by side: bytes of slot that an object takes, and the time to
 * allocate and drop one, collections included, for types of a size and alignment.
 *
 *	layouts [megabytes a round] [rounds]		256 7
 *
 * Heaps of all layouts take turns in one process; medians of the rounds.
 * "align" is the largest power of two that all objects of a row were aligned to.
 * Bytes come from the heap's own count of what was allocated, so that a prefix,
 * a footer and the waste of the size class are in it; the tail of heap bits, 1/64
 * of a span, is not, and neither is the bitmap, 1/32 of the heap.
 */
#include <gcheap.h>

#include "bench.h"

#define ROUNDS_MAX	64u

static const struct {
	enum gcheap_layout layout;
	const char *name;
} layouts[] = {
	{ GCHEAP_LAYOUT_SPAN, "SPAN" },
	{ GCHEAP_LAYOUT_HEADER, "HEADER" },
	{ GCHEAP_LAYOUT_FOOTER, "FOOTER" },
	{ GCHEAP_LAYOUT_BITMAP, "BITMAP" },
};
#define LAYOUTS	(sizeof(layouts) / sizeof(layouts[0]))

static const struct {
	size_t bytes;
	size_t align;
} shapes[] = {
	{ 64, 8 }, { 512, 8 }, { 520, 8 }, { 1016, 8 }, { 1024, 8 }, { 1024, 64 },
	{ 1024, 256 }, { 1024, 1024 }, { 2048, 1024 }, { 3072, 1024 }, { 4096, 64 },
	{ 4096, 1024 }, { 4096, 4096 }, { 8192, 4096 }, { 16384, 4096 },
};
#define SHAPES	(sizeof(shapes) / sizeof(shapes[0]))

static struct {
	struct gcheap *heap;
	struct gcheap_thread *thread;
	gcheap_type types[SHAPES];
	uintptr_t addresses[SHAPES];	/* all of them, or-ed */
} heaps[LAYOUTS];

static void setup(size_t which)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	const uint8_t mask[] = { 1 };
	size_t i;

	config.layout = layouts[which].layout;
	config.flags = 0;
	if (gcheap_open(&config, &heaps[which].heap) ||
	    gcheap_thread_attach(heaps[which].heap, &heaps[which].thread))
		bench_fail("gcheap", gcheap_error());
	for (i = 0; i < SHAPES; i++) {
		struct gcheap_type_desc desc = {
			.name = "shape", .size = shapes[i].bytes, .align = shapes[i].align,
			.ptr_bytes = 8, .ptr_mask = mask,
		};

		if (gcheap_type_register(heaps[which].heap, &desc, &heaps[which].types[i]))
			bench_fail("gcheap", gcheap_error());
	}
}

static uint64_t allocated_bytes(size_t which)
{
	struct gcheap_stats stats = { .size = sizeof(stats) };

	if (gcheap_stats(heaps[which].heap, &stats))
		bench_fail("gcheap", gcheap_error());
	return stats.allocated_bytes;
}

static double round_ns(size_t which, size_t shape, size_t objects)
{
	struct gcheap_thread *thread = heaps[which].thread;
	gcheap_type type = heaps[which].types[shape];
	double start = bench_ns();
	uintptr_t addresses = 0;
	size_t i;

	for (i = 0; i < objects; i++) {
		uint64_t *object = gcheap_new(thread, type);

		if (!object)
			bench_fail("gcheap_new", gcheap_error());
		addresses |= (uintptr_t)object;
		*object = 0;
	}
	start = bench_ns() - start;
	if (addresses % shapes[shape].align)
		bench_fail("gcheap_new", "an object without its alignment");
	heaps[which].addresses[shape] |= addresses;
	return start / (double)objects;
}

static void row(size_t shape, size_t objects, size_t rounds)
{
	double ns[LAYOUTS][ROUNDS_MAX];
	uint64_t bytes[LAYOUTS];
	size_t round, l;

	for (round = 0; round < rounds; round++) {
		for (l = 0; l < LAYOUTS; l++) {
			bytes[l] = allocated_bytes(l);
			ns[l][round] = round_ns(l, shape, objects);
			bytes[l] = allocated_bytes(l) - bytes[l];
		}
	}
	printf("%6zu %6zu", shapes[shape].bytes, shapes[shape].align);
	for (l = 0; l < LAYOUTS; l++)
		printf(" %9.0f %6zu %7.1f", (double)bytes[l] / (double)objects,
		       (size_t)1 << __builtin_ctzll(heaps[l].addresses[shape]),
		       bench_median(ns[l], rounds));
	printf("\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	size_t bytes = bench_argument(argc, argv, 1, 256) << 20;
	size_t rounds = bench_argument(argc, argv, 2, 7);
	size_t i;

	if (!bytes || !rounds || rounds > ROUNDS_MAX)
		bench_fail("layouts", "bad arguments");
	/* The environment's layout would be that of all three. */
	unsetenv("GCHEAP_LAYOUT");
	for (i = 0; i < LAYOUTS; i++)
		setup(i);
	printf("layouts: bytes of slot and ns an object; %zu MB a round, %zu rounds\n",
	       bytes >> 20, rounds);
	printf("%6s %6s", "size", "align");
	for (i = 0; i < LAYOUTS; i++)
		printf(" %9s %6s %7s", layouts[i].name, "align", "ns");
	printf("\n");
	for (i = 0; i < SHAPES; i++)
		row(i, bytes / shapes[i].bytes, rounds);
	for (i = 0; i < LAYOUTS; i++) {
		gcheap_thread_detach(heaps[i].thread);
		gcheap_close(heaps[i].heap);
	}
	return 0;
}
