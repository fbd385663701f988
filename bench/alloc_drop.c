// SPDX-License-Identifier: MIT
/* link: -lgc -lmimalloc */
/*
 * Allocate and drop: the time that an object costs from its allocation until its
 * memory is used again, collections included. gcheap's typed objects and leaves,
 * bdwgc's, and mimalloc's malloc and free, in turns in one process; medians.
 *
 *	alloc_drop [megabytes a round] [rounds]		1024 5
 *
 * Each object's first word is written, and it is held in a ring of the last 1 or
 * 1024 objects until it is dropped. gcheap and bdwgc zero their objects, mimalloc
 * does not have to. "per request": objects for one system call to the backend, or
 * one call of its logic where it is local.
 */
#define GC_THREADS
#include <gc/gc.h>
#include <gcheap.h>
#include <mimalloc.h>

#include "bench.h"

#define RING_MAX	1024u
#define GOAL_BYTES	64u
#define GOAL_NS		4.0

static const unsigned int sizes[] = { 16, 32, 64, 128, 256, 512, 1024 };
#define SIZES	(sizeof(sizes) / sizeof(sizes[0]))

static struct gcheap *heap;
static struct gcheap_thread *thread;
static gcheap_type types[SIZES];
static void *ring[RING_MAX];

static inline void hold(void *object, size_t i, size_t mask)
{
	*(uint64_t *)object = 0;
	ring[i & mask] = object;
}

static void gcheap_typed(unsigned int which, size_t objects, size_t mask)
{
	gcheap_type type = types[which];
	size_t i;

	for (i = 0; i < objects; i++)
		hold(gcheap_new(thread, type), i, mask);
}

static void gcheap_leaf(unsigned int which, size_t objects, size_t mask)
{
	size_t bytes = sizes[which];
	size_t i;

	for (i = 0; i < objects; i++)
		hold(gcheap_new_leaf(thread, bytes), i, mask);
}

static void bdwgc_object(unsigned int which, size_t objects, size_t mask)
{
	size_t bytes = sizes[which];
	size_t i;

	for (i = 0; i < objects; i++)
		hold(GC_MALLOC(bytes), i, mask);
}

static void mimalloc_object(unsigned int which, size_t objects, size_t mask)
{
	size_t bytes = sizes[which];
	size_t i;

	for (i = 0; i < objects; i++) {
		mi_free(ring[i & mask]);
		hold(mi_malloc(bytes), i, mask);
	}
	for (i = 0; i <= mask; i++) {
		mi_free(ring[i]);
		ring[i] = NULL;
	}
}

static const struct {
	const char *name;
	void (*run)(unsigned int which, size_t objects, size_t mask);
} systems[] = {
	{ "gcheap typed", gcheap_typed },
	{ "gcheap leaf", gcheap_leaf },
	{ "mimalloc", mimalloc_object },
	{ "bdwgc", bdwgc_object },
};
#define SYSTEMS	(sizeof(systems) / sizeof(systems[0]))

static uint64_t requests(void)
{
	struct gcheap_stats stats = { .size = sizeof(stats) };

	if (gcheap_stats(heap, &stats))
		bench_fail("gcheap", gcheap_error());
	return stats.requests;
}

static void setup(void)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	size_t i;

	GC_set_markers_count(1);
	GC_INIT();
	/* bdwgc scans this program's data, and so finds the ring. */
	config.markers = 1;
	if (gcheap_open(&config, &heap) || gcheap_thread_attach(heap, &thread) ||
	    gcheap_root_add(heap, ring, RING_MAX))
		bench_fail("gcheap", gcheap_error());
	for (i = 0; i < SIZES; i++) {
		/* A pointer in the first word, as a list's node has. */
		const uint8_t mask[] = { 1 };
		struct gcheap_type_desc desc = {
			.name = "node", .size = sizes[i], .align = 8, .ptr_bytes = 8,
			.ptr_mask = mask,
		};

		if (gcheap_type_register(heap, &desc, &types[i]))
			bench_fail("gcheap", gcheap_error());
	}
}

static void row(unsigned int which, size_t objects, size_t rounds, size_t held)
{
	double ns[SYSTEMS][64];
	double per_request = 0;
	size_t round, s;

	for (round = 0; round < rounds; round++) {
		for (s = 0; s < SYSTEMS; s++) {
			uint64_t sent = requests();
			double start = bench_ns();

			systems[s].run(which, objects, held - 1);
			ns[s][round] = (bench_ns() - start) / (double)objects;
			sent = requests() - sent;
			if (!s)
				per_request = (double)objects / (double)(sent ? sent : 1);
			memset(ring, 0, sizeof(ring));
		}
	}
	printf("%6u %6zu", sizes[which], held);
	for (s = 0; s < SYSTEMS; s++)
		printf(" %13.2f", bench_median(ns[s], rounds));
	printf(" %12.0f", per_request);
	if (sizes[which] == GOAL_BYTES && held == 1)
		printf("  (goal: %.0f ns: %s)", GOAL_NS,
		       bench_median(ns[0], rounds) <= GOAL_NS ? "met" : "missed");
	printf("\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	size_t bytes = bench_argument(argc, argv, 1, 1024) << 20;
	size_t rounds = bench_argument(argc, argv, 2, 5);
	unsigned int which;
	size_t s, held;

	if (!bytes || !rounds || rounds > 64)
		bench_fail("alloc_drop", "bad arguments");
	setup();
	printf("alloc_drop: ns an object, collections included; %zu MB a round, backend %s\n",
	       bytes >> 20,
	       gcheap_backend(heap) == GCHEAP_BACKEND_DEVICE ? "device" : "local");
	printf("%6s %6s", "bytes", "held");
	for (s = 0; s < SYSTEMS; s++)
		printf(" %13s", systems[s].name);
	printf(" %12s\n", "per request");
	for (held = 1; held <= RING_MAX; held *= RING_MAX) {
		for (which = 0; which < SIZES; which++) {
			size_t objects = bytes / sizes[which];

			row(which, objects > 20000000 ? 20000000 : objects, rounds, held);
		}
	}
	gcheap_thread_detach(thread);
	gcheap_close(heap);
	return 0;
}
