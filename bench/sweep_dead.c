// SPDX-License-Identifier: MIT
/* link: -lgc */
/*
 * Half a gibibyte of dead 64-byte objects: how long the collection takes that
 * finds nothing alive, and the sweep in it, beside bdwgc's. gcheap frees spans by
 * their page marks, without reading a mark bit or an object.
 *
 *	sweep_dead [MEBIBYTES [ROUNDS]]
 */
#define GC_THREADS
#include <gc.h>
#include <gcheap.h>

#include "bench.h"

#define ROUNDS_MAX	32u

struct object {
	struct object *pointer[4];
	uint64_t data[4];
};

/* What one round of gcheap took, milliseconds. */
struct round {
	double whole;
	double sweep;
};

static struct gcheap *heap;
static struct gcheap_thread *thread;
static gcheap_type type;

static void gcheap_make(size_t objects)
{
	while (objects--) {
		if (!gcheap_new(thread, type))
			bench_fail("gcheap", gcheap_error());
	}
}

static struct round gcheap_round(size_t objects, uint64_t *freed_spans, uint64_t *swept_spans)
{
	struct gcheap_stats before = { .size = sizeof(before) };
	struct gcheap_stats after = { .size = sizeof(after) };
	struct round round;
	double start;

	gcheap_make(objects);
	gcheap_stats(heap, &before);
	start = bench_ns();
	if (gcheap_collect(thread))
		bench_fail("gcheap", gcheap_error());
	round.whole = (bench_ns() - start) / 1e6;
	gcheap_stats(heap, &after);
	round.sweep = (double)(after.sweep_ns_total - before.sweep_ns_total) / 1e6;
	*freed_spans = after.freed_spans - before.freed_spans;
	*swept_spans = after.swept_spans - before.swept_spans;
	return round;
}

static double bdwgc_round(size_t objects)
{
	double start;

	GC_disable();
	while (objects--) {
		if (!GC_MALLOC(sizeof(struct object)))
			bench_fail("bdwgc", "out of memory");
	}
	GC_enable();
	start = bench_ns();
	GC_gcollect();
	return (bench_ns() - start) / 1e6;
}

int main(int argc, char **argv)
{
	size_t objects = (bench_argument(argc, argv, 1, 512) << 20) / sizeof(struct object);
	size_t rounds = bench_argument(argc, argv, 2, 5);
	double whole[ROUNDS_MAX], sweep[ROUNDS_MAX], bdwgc[ROUNDS_MAX];
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	uint64_t freed = 0, swept = 0;
	size_t i;

	if (!rounds || rounds > ROUNDS_MAX)
		rounds = ROUNDS_MAX;
	config.gc_percent = -1;	/* cycles on request only */
	config.flags = 0;
	if (gcheap_open(&config, &heap) || gcheap_thread_attach(heap, &thread))
		bench_fail("gcheap", gcheap_error());
	type = GCHEAP_TYPE(heap, struct object, pointer);
	if (!type)
		bench_fail("gcheap", gcheap_error());
	GC_set_markers_count(1);
	GC_INIT();

	for (i = 0; i < rounds; i++) {
		struct round round = gcheap_round(objects, &freed, &swept);

		whole[i] = round.whole;
		sweep[i] = round.sweep;
		bdwgc[i] = bdwgc_round(objects);
	}
	printf("sweep_dead: %zu objects of 64 bytes, all dead, %zu rounds, medians, ms\n", objects,
	       rounds);
	printf("  gcheap: whole collection %.2f, its SWEEP_START %.2f; %llu spans freed by page "
	       "marks, %llu swept one by one\n", bench_median(whole, rounds),
	       bench_median(sweep, rounds), (unsigned long long)freed, (unsigned long long)swept);
	printf("  bdwgc:  whole collection %.2f (it sweeps lazily)\n", bench_median(bdwgc, rounds));
	gcheap_thread_detach(thread);
	gcheap_close(heap);
	return 0;
}
