// SPDX-License-Identifier: MIT
/* link: -lgc */
/*
 * Objects with finalizers: a million of 32 bytes are allocated and get one each ("set"), die and
 * are found dead by a collection ("die"), and their finalizers run ("run"); nanoseconds an object,
 * medians of several rounds, in turns with bdwgc, whose GC_register_finalizer_no_order() keeps no
 * order, as no object leads to another here. Then a cycle over a heap where objects on a tenth of
 * the spans have a cleanup, beside the same heap without; and gcheap_weak_get().
 *
 * Arguments: objects, rounds.
 */
#define GC_THREADS
#include <gc.h>
#include <gcheap.h>

#include "bench.h"

#define ROUNDS_MAX	64
#define BYTES		32u

static unsigned long objects;
static unsigned long has_run;

enum part { SET, DIE, RUN, PARTS };

static void finalize(void *obj, void *arg)
{
	(void)obj;
	(void)arg;
	has_run++;
}

static void cleanup(void *arg)
{
	(void)arg;
}

static struct gcheap *heap_open(struct gcheap_thread **thread)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	struct gcheap *heap;

	config.flags = 0;
	config.gc_percent = -1;
	config.markers = 1;
	config.reserve_bytes = (uint64_t)8 << 30;
	if (gcheap_open(&config, &heap) || gcheap_thread_attach(heap, thread))
		bench_fail("gcheap", gcheap_error());
	return heap;
}

static gcheap_type type_of(struct gcheap *heap)
{
	static const uint8_t mask[1] = { 1 };
	const struct gcheap_type_desc desc = {
		.name = "object", .size = BYTES, .align = 8, .ptr_bytes = 8, .ptr_mask = mask,
	};
	gcheap_type type;

	if (gcheap_type_register(heap, &desc, &type))
		bench_fail("gcheap", gcheap_error());
	return type;
}

/* ---- finalizers ------------------------------------------------------------------ */

static void ours(struct gcheap *heap, struct gcheap_thread *thread, gcheap_type type,
		 double ns[PARTS])
{
	double start = bench_ns(), set, dead;
	unsigned long i;

	has_run = 0;
	for (i = 0; i < objects; i++) {
		void *obj = gcheap_new(thread, type);

		if (!obj || gcheap_finalizer_set(heap, obj, finalize, NULL))
			bench_fail("gcheap", gcheap_error());
	}
	set = bench_ns();
	gcheap_collect(thread);
	dead = bench_ns();
	gcheap_run_finalizers(thread);
	ns[RUN] = (bench_ns() - dead) / (double)objects;
	ns[SET] = (set - start) / (double)objects;
	ns[DIE] = (dead - set) / (double)objects;
	if (has_run != objects)
		bench_fail("gcheap", "not all finalizers have run");
	gcheap_collect(thread);
}

static __attribute__((noinline)) void their_objects(void)
{
	unsigned long i;

	for (i = 0; i < objects; i++) {
		void *obj = GC_MALLOC(BYTES);

		if (!obj)
			bench_fail("bdwgc", "out of memory");
		GC_register_finalizer_no_order(obj, finalize, NULL, NULL, NULL);
	}
}

static void theirs(double ns[PARTS])
{
	double start = bench_ns(), set, dead;

	has_run = 0;
	their_objects();
	set = bench_ns();
	GC_enable();
	GC_gcollect();
	GC_disable();
	dead = bench_ns();
	GC_invoke_finalizers();
	ns[RUN] = (bench_ns() - dead) / (double)objects;
	ns[SET] = (set - start) / (double)objects;
	ns[DIE] = (dead - set) / (double)objects;
	/* Its roots are ambiguous: some may live. */
	if (has_run < objects / 100 * 99)
		bench_fail("bdwgc", "not all finalizers have run");
	GC_enable();
	GC_gcollect();
	GC_disable();
}

static void finalizers(unsigned long rounds)
{
	static const char *const parts[] = { "set", "die", "run" };
	static double our[PARTS][ROUNDS_MAX], their[PARTS][ROUNDS_MAX];
	double our_sum[ROUNDS_MAX], their_sum[ROUNDS_MAX], ns[PARTS];
	struct gcheap_thread *thread;
	struct gcheap *heap = heap_open(&thread);
	gcheap_type type = type_of(heap);
	unsigned long round;
	int part;

	GC_set_markers_count(1);
	GC_INIT();
	GC_set_finalize_on_demand(1);
	GC_disable();
	for (round = 0; round < rounds; round++) {
		ours(heap, thread, type, ns);
		our_sum[round] = ns[SET] + ns[DIE] + ns[RUN];
		for (part = 0; part < PARTS; part++)
			our[part][round] = ns[part];
		theirs(ns);
		their_sum[round] = ns[SET] + ns[DIE] + ns[RUN];
		for (part = 0; part < PARTS; part++)
			their[part][round] = ns[part];
	}
	printf("%lu objects with finalizers, ns each\n", objects);
	printf("  %-6s %8s %8s %6s\n", "", "gcheap", "bdwgc", "ratio");
	for (part = 0; part < PARTS; part++) {
		double a = bench_median(our[part], rounds), b = bench_median(their[part], rounds);

		printf("  %-6s %8.1f %8.1f %6.2f\n", parts[part], a, b, a / b);
	}
	printf("  %-6s %8.1f %8.1f %6.2f\n", "all", bench_median(our_sum, rounds),
	       bench_median(their_sum, rounds),
	       bench_median(our_sum, rounds) / bench_median(their_sum, rounds));
	gcheap_thread_detach(thread);
	gcheap_close(heap);
}

/* ---- cycles ------------------------------------------------------------------------ */

struct graph {
	struct gcheap *heap;
	struct gcheap_thread *thread;
	void **list;
};

/* A list in the order of addresses; the first tenth has cleanups where @specials says so. */
static void graph_make(struct graph *graph, int specials)
{
	gcheap_type type;
	unsigned long i;

	graph->heap = heap_open(&graph->thread);
	type = type_of(graph->heap);
	graph->list = NULL;
	if (gcheap_root_add(graph->heap, (void *)&graph->list, 1))
		bench_fail("gcheap", gcheap_error());
	for (i = 0; i < objects; i++) {
		void **obj = gcheap_new(graph->thread, type);

		if (!obj)
			bench_fail("gcheap", gcheap_error());
		*obj = graph->list;
		graph->list = obj;
		if (specials && i < objects / 10 &&
		    gcheap_cleanup_add(graph->heap, obj, cleanup, NULL))
			bench_fail("gcheap", gcheap_error());
	}
}

static double graph_collect(struct graph *graph)
{
	double start = bench_ns();

	if (gcheap_collect(graph->thread))
		bench_fail("gcheap", gcheap_error());
	return (bench_ns() - start) / 1e3;
}

static void cycles(unsigned long rounds)
{
	double with[ROUNDS_MAX], without[ROUNDS_MAX], ratios[ROUNDS_MAX];
	struct graph graphs[2];
	unsigned long round;

	graph_make(&graphs[0], 0);
	graph_make(&graphs[1], 1);
	graph_collect(&graphs[0]);
	graph_collect(&graphs[1]);
	for (round = 0; round < rounds; round++) {
		without[round] = graph_collect(&graphs[0]);
		with[round] = graph_collect(&graphs[1]);
		ratios[round] = with[round] / without[round];
	}
	printf("a cycle over %lu objects, %lu of them on a tenth of the spans with cleanups, us\n",
	       objects, objects / 10);
	printf("  with %.0f, without %.0f, ratio %.3f\n", bench_median(with, rounds),
	       bench_median(without, rounds), bench_median(ratios, rounds));
}

/* ---- weak references ----------------------------------------------------------------- */

static void weak_get(unsigned long rounds)
{
	struct gcheap_thread *thread;
	struct gcheap *heap = heap_open(&thread);
	void *object = gcheap_new_uncollectable(thread, type_of(heap), 1);
	struct gcheap_weak *weak;
	double ns[ROUNDS_MAX];
	unsigned long round, i;

	if (!object || gcheap_weak_new(heap, object, &weak))
		bench_fail("gcheap", gcheap_error());
	for (round = 0; round < rounds; round++) {
		double start = bench_ns();

		for (i = 0; i < objects; i++) {
			if (gcheap_weak_get(thread, weak) != object)
				bench_fail("gcheap", "a weak reference has lost its object");
		}
		ns[round] = (bench_ns() - start) / (double)objects;
	}
	printf("gcheap_weak_get: %.1f ns\n", bench_median(ns, rounds));
	gcheap_thread_detach(thread);
	gcheap_close(heap);
}

int main(int argc, char **argv)
{
	unsigned long rounds = bench_argument(argc, argv, 2, 7);

	objects = bench_argument(argc, argv, 1, 1000000);
	if (rounds < 1 || rounds > ROUNDS_MAX)
		bench_fail("specials", "1 to 64 rounds");
	finalizers(rounds);
	cycles(rounds);
	weak_get(rounds);
	return 0;
}
