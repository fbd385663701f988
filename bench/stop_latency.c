// SPDX-License-Identifier: MIT
/* link: -lgc -lpthread */
/*
 * How long it takes to stop threads that do not stop by themselves.
 *
 * Threads compute without a safepoint, allocate, or block in read(), while the main thread stops
 * them again and again. gcheap_find() does nothing but stop the others and let them go on: its
 * time is that of a stop. A collection of a heap with next to nothing in it is what can be
 * compared with bdwgc, whose threads are registered, and whose heap is as empty. How far the CPUs
 * are from each other is told, too (distance.h).
 *
 *	stop_latency [threads] [stops] [rounds]
 */
#define _GNU_SOURCE
#define GC_THREADS
#define GC_NO_THREAD_REDIRECTS
#include <gc/gc.h>
#include <gcheap.h>
#include <pthread.h>
#include <stdbool.h>
#include <unistd.h>

#include "bench.h"
#include "distance.h"

#define THREADS_MAX	64

enum system { GCHEAP, BDWGC };
enum work { COMPUTE, ALLOCATE, BLOCK, WORKS };

static const char *const work_names[WORKS] = { "compute", "allocate", "block in read()" };

static struct gcheap *heap;
static struct gcheap_thread *self;
static int gate[2];
static bool shall_end;
static unsigned int begun;

struct side {
	enum system system;
	enum work work;
	pthread_t thread;
};

static bool goes_on(void)
{
	return !__atomic_load_n(&shall_end, __ATOMIC_RELAXED);
}

static void compute(void)
{
	volatile uint64_t sum = 0;
	uint64_t seed = 88172645463325252ull;

	while (goes_on())
		sum += bench_random(&seed);
}

static void block(void)
{
	char byte;

	if (read(gate[0], &byte, 1) != 1)
		bench_fail("read", "it ended without a byte");
}

static void allocate(enum system system, struct gcheap_thread *thread)
{
	uint64_t *volatile object;

	while (goes_on()) {
		object = system == GCHEAP ? gcheap_new_leaf(thread, 64) : GC_MALLOC_ATOMIC(64);
		if (!object)
			bench_fail("allocate", "out of memory");
		*object = 1;
	}
}

static void *side_main(void *arg)
{
	const struct side *side = arg;
	struct gcheap_thread *thread = NULL;
	struct GC_stack_base base;

	if (side->system == GCHEAP) {
		if (gcheap_thread_attach(heap, &thread))
			bench_fail("attach", gcheap_error());
	} else {
		GC_get_stack_base(&base);
		GC_register_my_thread(&base);
	}
	__atomic_fetch_add(&begun, 1, __ATOMIC_RELEASE);
	if (side->work == COMPUTE)
		compute();
	else if (side->work == ALLOCATE)
		allocate(side->system, thread);
	else
		block();
	if (side->system == GCHEAP)
		gcheap_thread_detach(thread);
	else
		GC_unregister_my_thread();
	return NULL;
}

/**
 * struct series - times of one kind
 * @ns: each
 * @count: how many
 */
struct series {
	double *ns;
	size_t count;
};

static void series_add(struct series *series, double begin)
{
	series->ns[series->count++] = bench_ns() - begin;
}

static void series_print(enum work work, unsigned long threads, const char *name,
			 struct series *series)
{
	double median = bench_median(series->ns, series->count);

	printf("%-16s %7lu   %-22s %9.3f %9.3f %9.3f\n", work_names[work], threads, name,
	       median / 1e6, series->ns[series->count * 95 / 100] / 1e6,
	       series->ns[series->count - 1] / 1e6);
}

static void run(enum system system, enum work work, unsigned long threads, unsigned long stops,
		struct series *stop, struct series *collect)
{
	struct side sides[THREADS_MAX];
	unsigned long i;
	double begin;

	shall_end = false;
	begun = 0;
	if (pipe(gate))
		bench_fail("pipe", "no file descriptor is left");
	for (i = 0; i < threads; i++) {
		sides[i] = (struct side) { .system = system, .work = work };
		if (pthread_create(&sides[i].thread, NULL, side_main, &sides[i]))
			bench_fail("pthread_create", "no thread");
	}
	while (__atomic_load_n(&begun, __ATOMIC_ACQUIRE) < threads)
		usleep(1000);
	for (i = 0; i < stops; i++) {
		usleep(2000);
		if (system == GCHEAP) {
			struct gcheap_object object;

			begin = bench_ns();
			/* It leads to no object. */
			gcheap_find(heap, &object, &object);
			series_add(stop, begin);
			usleep(2000);
		}
		begin = bench_ns();
		if (system == BDWGC)
			GC_gcollect();
		else if (gcheap_collect(self))
			bench_fail("collect", gcheap_error());
		series_add(collect, begin);
	}
	__atomic_store_n(&shall_end, true, __ATOMIC_RELAXED);
	if (system == GCHEAP)
		gcheap_park(self);
	for (i = 0; i < threads; i++) {
		if (work == BLOCK && write(gate[1], "x", 1) != 1)
			bench_fail("write", "the pipe is full");
	}
	for (i = 0; i < threads; i++)
		pthread_join(sides[i].thread, NULL);
	if (system == GCHEAP)
		gcheap_unpark(self);
	close(gate[0]);
	close(gate[1]);
}

int main(int argc, char **argv)
{
	unsigned long threads = bench_argument(argc, argv, 1, 4);
	unsigned long stops = bench_argument(argc, argv, 2, 100);
	unsigned long rounds = bench_argument(argc, argv, 3, 5);
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	struct series series[3];
	unsigned long round;
	enum work work;
	int i;

	if (!threads || threads > THREADS_MAX || !stops || !rounds)
		bench_fail("usage", "stop_latency [threads, up to 64] [stops] [rounds]");
	GC_set_markers_count(1);
	GC_INIT();
	GC_allow_register_threads();
	if (gcheap_open(&config, &heap) || gcheap_thread_attach(heap, &self))
		bench_fail("open", gcheap_error());
	for (i = 0; i < 3; i++) {
		series[i].ns = calloc(stops * rounds, sizeof(double));
		if (!series[i].ns)
			bench_fail("calloc", "out of memory");
	}
	printf("a cache line from one CPU to another: %.0f ns\n", distance());
	printf("threads that ...   threads  ms                        median       p95       max\n");
	for (work = 0; work < WORKS; work++) {
		for (i = 0; i < 3; i++)
			series[i].count = 0;
		for (round = 0; round < rounds; round++) {
			run(GCHEAP, work, threads, stops, &series[0], &series[1]);
			run(BDWGC, work, threads, stops, NULL, &series[2]);
		}
		series_print(work, threads, "stop alone, gcheap", &series[0]);
		series_print(work, threads, "collection, gcheap", &series[1]);
		series_print(work, threads, "collection, bdwgc", &series[2]);
	}
	gcheap_close(heap);
	for (i = 0; i < 3; i++)
		free(series[i].ns);
	return 0;
}
