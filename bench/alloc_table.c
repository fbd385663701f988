// SPDX-License-Identifier: MIT
/* link: -lgc -lmimalloc */
/*
 * What an object costs from its allocation until its memory is used again, by size and kind:
 * typed objects, arrays of words that are pointers, leaves that are zeroed and that are not.
 * Beside them mimalloc's calloc and free, its malloc and free, and bdwgc, in turns in one
 * process; medians of ns an object.
 *
 *	alloc_table [megabytes a round] [rounds] [threads]	256 5 1
 *
 * A ring holds the last 1,024 objects of each thread, 64 from 4 KiB on, 4 of 1 MiB; the first
 * word of each is written. With several threads all allocate the same amount at once, and ns
 * are those of one of its objects to each thread. They are of CPU time, which other programs
 * on the machine disturb less, and include what a thread does for a cycle, but not what it
 * waits. How long a cache line takes from one CPU to another is told, too (distance.h).
 */
#define _GNU_SOURCE
#define GC_THREADS
#include <gc/gc.h>
#include <gcheap.h>
#include <mimalloc.h>
#include <pthread.h>
#include <sched.h>

#include "bench.h"
#include "distance.h"

#define RING_MAX	1024u
#define THREADS_MAX	64u
#define WORD		8u

static const size_t sizes[] = {
	16, 64, 128, 256, 512, 1024, 4096, 32768, 1048576,
};
#define SIZES	(sizeof(sizes) / sizeof(sizes[0]))

static struct gcheap *heap;
static gcheap_type types[SIZES], word_type;

/**
 * struct worker - a thread that allocates
 * @thread: its handle
 * @system: what it measures
 * @which: of which size
 * @objects: how many
 * @mask: length of the ring less 1
 * @ns: of CPU time that it took
 * @ring: its last objects, a root
 */
struct worker {
	struct gcheap_thread *thread;
	unsigned int system, which;
	size_t objects, mask;
	double ns;
	void *ring[RING_MAX];
};

/* In static memory, where bdwgc finds the rings. */
static struct worker workers[THREADS_MAX];
static pthread_barrier_t begin, end;

static double cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static inline void hold(struct worker *w, void *object, size_t i)
{
	*(uint64_t *)object = 0;
	w->ring[i & w->mask] = object;
}

#define RUNS(name, expression)							\
static void name(struct worker *w)						\
{										\
	size_t bytes = sizes[w->which], i;					\
	gcheap_type type = types[w->which];					\
										\
	for (i = 0; i < w->objects; i++)					\
		hold(w, (expression), i);					\
	(void)bytes;								\
	(void)type;								\
}

#define FREES(name, expression)							\
static void name(struct worker *w)						\
{										\
	size_t bytes = sizes[w->which], i;					\
										\
	for (i = 0; i < w->objects; i++) {					\
		mi_free(w->ring[i & w->mask]);					\
		hold(w, (expression), i);					\
	}									\
	for (i = 0; i <= w->mask; i++)						\
		mi_free(w->ring[i]);						\
}

RUNS(run_typed, gcheap_new(w->thread, type))
RUNS(run_array, gcheap_new_array(w->thread, word_type, bytes / WORD))
RUNS(run_leaf, gcheap_new_leaf(w->thread, bytes))
RUNS(run_uninit, gcheap_new_leaf_uninit(w->thread, bytes))
FREES(run_calloc, mi_calloc(1, bytes))
FREES(run_malloc, mi_malloc(bytes))
RUNS(run_bdwgc, GC_MALLOC(bytes))

static const struct {
	const char *name;
	void (*run)(struct worker *w);
} systems[] = {
	{ "typed", run_typed }, { "array", run_array }, { "leaf", run_leaf },
	{ "uninit", run_uninit }, { "mi calloc", run_calloc }, { "mi malloc", run_malloc },
	{ "bdwgc", run_bdwgc },
};
#define SYSTEMS	(sizeof(systems) / sizeof(systems[0]))
#define CALLOC	4

/* ---- threads ----------------------------------------------------------------------- */

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	if (gcheap_thread_attach(heap, &w->thread))
		bench_fail("gcheap", gcheap_error());
	for (;;) {
		/* Who waits is not waited for. */
		gcheap_park(w->thread);
		pthread_barrier_wait(&begin);
		gcheap_unpark(w->thread);
		if (w->system == SYSTEMS)
			break;
		w->ns = cpu_ns();
		systems[w->system].run(w);
		w->ns = cpu_ns() - w->ns;
		memset(w->ring, 0, sizeof(w->ring));
		gcheap_park(w->thread);
		pthread_barrier_wait(&end);
		gcheap_unpark(w->thread);
	}
	gcheap_thread_detach(w->thread);
	return NULL;
}

static void setup(void)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	uint8_t mask[] = { 1 };
	struct gcheap_type_desc desc = {
		.name = "node", .align = 8, .ptr_bytes = 8, .ptr_mask = mask,
	};
	size_t i;

	GC_set_markers_count(1);
	GC_INIT();
	GC_allow_register_threads();
	config.markers = 1;
	if (gcheap_open(&config, &heap))
		bench_fail("gcheap", gcheap_error());
	for (i = 0; i < THREADS_MAX; i++) {
		if (gcheap_root_add(heap, workers[i].ring, RING_MAX))
			bench_fail("gcheap", gcheap_error());
	}
	for (i = 0; i < SIZES; i++) {
		desc.size = sizes[i];
		if (gcheap_type_register(heap, &desc, &types[i]))
			bench_fail("gcheap", gcheap_error());
	}
	desc.size = WORD;
	if (gcheap_type_register(heap, &desc, &word_type))
		bench_fail("gcheap", gcheap_error());
}

static void row(unsigned int which, size_t bytes, size_t rounds, size_t threads)
{
	size_t held = sizes[which] < 4096 ? 1024 : sizes[which] < 1048576 ? 64 : 4;
	size_t objects = bytes / sizes[which];
	double ns[SYSTEMS][64], median[SYSTEMS];
	size_t round, s, t;

	if (objects > 4000000)
		objects = 4000000;
	for (round = 0; round < rounds; round++) {
		for (s = 0; s < SYSTEMS; s++) {
			double sum = 0;

			for (t = 0; t < threads; t++) {
				workers[t].system = (unsigned int)s;
				workers[t].which = which;
				workers[t].objects = objects;
				workers[t].mask = held - 1;
			}
			pthread_barrier_wait(&begin);
			pthread_barrier_wait(&end);
			for (t = 0; t < threads; t++)
				sum += workers[t].ns;
			ns[s][round] = sum / (double)threads / (double)objects;
		}
	}
	printf("%8zu %5zu", sizes[which], held);
	for (s = 0; s < SYSTEMS; s++) {
		median[s] = bench_median(ns[s], rounds);
		printf(median[s] < 1000 ? " %9.1f" : " %9.0f", median[s]);
	}
	printf("  %5.2f %5.2f\n", median[0] / median[CALLOC], median[1] / median[CALLOC]);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	size_t bytes = bench_argument(argc, argv, 1, 256) << 20;
	size_t rounds = bench_argument(argc, argv, 2, 5);
	size_t threads = bench_argument(argc, argv, 3, 1);
	pthread_t selves[THREADS_MAX];
	unsigned int which;
	size_t s, t;

	if (!bytes || !rounds || rounds > 64 || !threads || threads > THREADS_MAX)
		bench_fail("alloc_table", "bad arguments");
	setup();
	pthread_barrier_init(&begin, NULL, (unsigned int)threads + 1);
	pthread_barrier_init(&end, NULL, (unsigned int)threads + 1);
	printf("alloc_table: ns of CPU an object, collections included; %zu MB a round, %zu threads, "
	       "backend %s\n", bytes >> 20, threads,
	       gcheap_backend(heap) == GCHEAP_BACKEND_DEVICE ? "device" : "local");
	if (threads > 1)
		printf("a cache line from one CPU to another: %.0f ns\n", distance());
	printf("%8s %5s", "bytes", "held");
	for (s = 0; s < SYSTEMS; s++)
		printf(" %9s", systems[s].name);
	printf("  typed and array / mi calloc (goal at 64: %s)\n", threads > 1 ? "0.7" : "0.6");
	for (t = 0; t < threads; t++) {
		if (pthread_create(&selves[t], NULL, worker_main, &workers[t]))
			bench_fail("alloc_table", "no thread");
	}
	for (which = 0; which < SIZES; which++)
		row(which, bytes, rounds, threads);
	for (t = 0; t < threads; t++)
		workers[t].system = SYSTEMS;
	pthread_barrier_wait(&begin);
	for (t = 0; t < threads; t++)
		pthread_join(selves[t], NULL);
	gcheap_close(heap);
	return 0;
}
