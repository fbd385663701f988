// SPDX-License-Identifier: MIT
/* link: -ldl */
/*
 * What an object costs from its allocation until its memory is used again, by size and kind:
 * typed objects, arrays of words that are pointers, leaves that are zeroed and that are not.
 * Beside them mimalloc's calloc and free, its malloc and free, and bdwgc, the installed ones
 * and the newest (peers.h), in processes that take turns; medians of ns an object.
 *
 *	alloc_table [megabytes] [rounds] [threads] [beside] [bytes] [held]	256 5 1 0 0 0
 *
 * A ring holds the last 1,024 objects of each thread, 64 from 4 KiB on, 4 of 1 MiB; the first
 * word of each is written. With several threads all allocate the same amount at once, and ns
 * are those of one of its objects to each thread. They are of CPU time, which other programs
 * on the machine disturb less, and include what a thread does for a cycle, but not what it
 * waits. How long a cache line takes from one CPU to another is told, too (distance.h).
 *
 * With `beside`, each round is run by as many threads, too, and a second line says how much
 * more an object costs by `threads`: with more threads than cores, what is lost beyond them.
 * With `bytes`, only objects of that size are measured. With `held`, each of `threads` holds so
 * many, a power of two: of 8 with 256 and 2 with 1,024, a cycle finds as many objects live.
 */
#define _GNU_SOURCE
#include <gcheap.h>
#include <pthread.h>
#include <sched.h>

#include "bench.h"
#include "distance.h"
#include "peers.h"
#include "turns.h"

#define RING_MAX	1024u
#define THREADS_MAX	64u
#define ROUNDS_MAX	64u
#define WORD		8u

static const size_t sizes[] = {
	16, 64, 128, 256, 512, 1024, 4096, 32768, 1048576,
};
#define SIZES	(sizeof(sizes) / sizeof(sizes[0]))

static struct gcheap *heap;
static gcheap_type types[SIZES], word_type;

/**
 * struct worker - a thread that allocates
 * @thread: its handle, of gcheap
 * @which: of which size
 * @objects: how many
 * @mask: length of the ring less 1
 * @ns: of CPU time that it took
 * @ring: its last objects, a root
 */
struct worker {
	struct gcheap_thread *thread;
	unsigned int which;
	size_t objects, mask;
	double ns;
	void *ring[RING_MAX];
};

/* In static memory, where bdwgc finds the rings. */
static struct worker workers[THREADS_MAX];
static pthread_barrier_t begin, end;

/* The peer of this process. */
static struct mimalloc mi;
static struct bdwgc gc;

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
		mi.free(w->ring[i & w->mask]);					\
		hold(w, (expression), i);					\
	}									\
	for (i = 0; i <= w->mask; i++)						\
		mi.free(w->ring[i]);						\
}

RUNS(run_typed, gcheap_new(w->thread, type))
RUNS(run_array, gcheap_new_array(w->thread, word_type, bytes / WORD))
RUNS(run_leaf, gcheap_new_leaf(w->thread, bytes))
RUNS(run_uninit, gcheap_new_leaf_uninit(w->thread, bytes))
FREES(run_calloc, mi.calloc(1, bytes))
FREES(run_malloc, mi.malloc(bytes))
RUNS(run_bdwgc, gc.malloc(bytes))

/* What a process opens. */
enum owner { GCHEAP, MIMALLOC, MIMALLOC_NEWEST, BDWGC, BDWGC_NEWEST, OWNERS };

static const struct {
	const char *name;
	enum owner owner;
	void (*run)(struct worker *w);
} systems[] = {
	{ "typed", GCHEAP, run_typed },
	{ "array", GCHEAP, run_array },
	{ "leaf", GCHEAP, run_leaf },
	{ "uninit", GCHEAP, run_uninit },
	{ "calloc", MIMALLOC, run_calloc },
	{ "malloc", MIMALLOC, run_malloc },
	{ "calloc*", MIMALLOC_NEWEST, run_calloc },
	{ "malloc*", MIMALLOC_NEWEST, run_malloc },
	{ "bdwgc", BDWGC, run_bdwgc },
	{ "bdwgc*", BDWGC_NEWEST, run_bdwgc },
};
#define SYSTEMS	(sizeof(systems) / sizeof(systems[0]))

enum { TYPED, ARRAY, CALLOC = 4, CALLOC_NEWEST = 6 };

static int is_here(enum owner owner)
{
	return owner == MIMALLOC_NEWEST ? newest_mimalloc() != NULL :
	       owner == BDWGC_NEWEST ? newest_bdwgc() != NULL : 1;
}

/**
 * struct request - a round
 * @system: what is measured; SYSTEMS: nothing more
 * @which: of which size
 * @threads: by how many
 * @objects: by each
 * @mask: length of their rings less 1
 */
struct request {
	unsigned int system, which, threads;
	size_t objects, mask;
};

/* ---- a process ----------------------------------------------------------------------- */

static struct request request;

static void wait_for(const struct worker *w, pthread_barrier_t *barrier)
{
	/* Who waits is not waited for. */
	if (w->thread)
		gcheap_park(w->thread);
	pthread_barrier_wait(barrier);
	if (w->thread)
		gcheap_unpark(w->thread);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	unsigned int self = (unsigned int)(w - workers);

	if (gc.malloc)
		bdwgc_register(&gc);
	else if (!mi.malloc && gcheap_thread_attach(heap, &w->thread))
		bench_fail("gcheap", gcheap_error());
	for (;;) {
		wait_for(w, &begin);
		if (request.system == SYSTEMS)
			break;
		if (self < request.threads) {
			w->which = request.which;
			w->objects = request.objects;
			w->mask = request.mask;
			w->ns = cpu_ns();
			systems[request.system].run(w);
			w->ns = cpu_ns() - w->ns;
			memset(w->ring, 0, sizeof(w->ring));
		}
		wait_for(w, &end);
	}
	if (gc.malloc)
		gc.unregister_my_thread();
	else if (w->thread)
		gcheap_thread_detach(w->thread);
	return NULL;
}

static void open_gcheap(unsigned int threads)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	uint8_t mask[] = { 1 };
	struct gcheap_type_desc desc = {
		.name = "node", .align = 8, .ptr_bytes = 8, .ptr_mask = mask,
	};
	size_t i;

	config.markers = 1;
	if (gcheap_open(&config, &heap))
		bench_fail("gcheap", gcheap_error());
	for (i = 0; i < threads; i++) {
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

static void open_owner(enum owner owner, unsigned int threads)
{
	switch (owner) {
	case MIMALLOC:
	case MIMALLOC_NEWEST:
		mi = mimalloc_open(owner == MIMALLOC ? NULL : newest_mimalloc());
		break;
	case BDWGC:
	case BDWGC_NEWEST:
		gc = bdwgc_open(owner == BDWGC ? NULL : newest_bdwgc(), 1);
		break;
	default:
		open_gcheap(threads);
	}
}

static void serve(const struct turn *turn, enum owner owner, unsigned int threads)
{
	pthread_t selves[THREADS_MAX];
	unsigned int t;

	open_owner(owner, threads);
	pthread_barrier_init(&begin, NULL, threads + 1);
	pthread_barrier_init(&end, NULL, threads + 1);
	for (t = 0; t < threads; t++) {
		if (pthread_create(&selves[t], NULL, worker_main, &workers[t]))
			bench_fail("alloc_table", "no thread");
	}
	while (turn_receive(turn, &request, sizeof(request))) {
		double ns = 0;

		pthread_barrier_wait(&begin);
		pthread_barrier_wait(&end);
		for (t = 0; t < request.threads; t++)
			ns += workers[t].ns;
		ns /= (double)request.threads * (double)request.objects;
		turn_send(turn, &ns, sizeof(ns));
	}
	request.system = SYSTEMS;
	pthread_barrier_wait(&begin);
	for (t = 0; t < threads; t++)
		pthread_join(selves[t], NULL);
	if (heap)
		gcheap_close(heap);
	_exit(0);
}

/* ---- the table ------------------------------------------------------------------------- */

static struct turn turns[OWNERS];

static void print_ns(double ns)
{
	printf(ns < 1000 ? " %8.1f" : " %8.0f", ns);
}

static void row(unsigned int which, size_t bytes, size_t rounds, unsigned int threads,
		unsigned int beside, size_t wanted)
{
	size_t usual = sizes[which] < 4096 ? 1024 : sizes[which] < 1048576 ? 64 : 4;
	size_t held = wanted ? wanted : usual;
	size_t objects = bytes / sizes[which];
	static double ns[SYSTEMS][ROUNDS_MAX], other[SYSTEMS][ROUNDS_MAX];
	double median[SYSTEMS] = { 0 };
	size_t round, s;

	if (objects > 4000000)
		objects = 4000000;
	for (round = 0; round < rounds; round++) {
		for (s = 0; s < SYSTEMS; s++) {
			const struct turn *turn = &turns[systems[s].owner];
			struct request ask = {
				.system = (unsigned int)s, .which = which, .threads = threads,
				.objects = objects, .mask = held - 1,
			}, also;

			if (!is_here(systems[s].owner))
				continue;
			/* Who comes first finds the caches as others have left them. */
			if (!beside || round % 2)
				turn_ask(turn, &ask, sizeof(ask), &ns[s][round],
					 sizeof(ns[s][round]));
			if (!beside)
				continue;
			also = ask;
			also.threads = beside;
			also.mask = usual - 1;
			turn_ask(turn, &also, sizeof(also), &other[s][round],
				 sizeof(other[s][round]));
			if (round % 2 == 0)
				turn_ask(turn, &ask, sizeof(ask), &ns[s][round],
					 sizeof(ns[s][round]));
			other[s][round] = ns[s][round] / other[s][round];
		}
	}
	printf("%8zu %5zu", sizes[which], held);
	for (s = 0; s < SYSTEMS; s++) {
		if (!is_here(systems[s].owner))
			continue;
		median[s] = bench_median(ns[s], rounds);
		print_ns(median[s]);
	}
	printf("  %5.2f %5.2f", median[TYPED] / median[CALLOC], median[ARRAY] / median[CALLOC]);
	if (is_here(MIMALLOC_NEWEST))
		printf("  %5.2f %5.2f", median[TYPED] / median[CALLOC_NEWEST],
		       median[ARRAY] / median[CALLOC_NEWEST]);
	printf("\n");
	if (beside) {
		printf("%5u / %-6u", threads, beside);
		for (s = 0; s < SYSTEMS; s++) {
			if (is_here(systems[s].owner))
				printf(" %8.2f", bench_median(other[s], rounds));
		}
		printf("\n");
	}
	fflush(stdout);
}

int main(int argc, char **argv)
{
	size_t bytes = bench_argument(argc, argv, 1, 256) << 20;
	size_t rounds = bench_argument(argc, argv, 2, 5);
	size_t threads = bench_argument(argc, argv, 3, 1);
	size_t beside = bench_argument(argc, argv, 4, 0);
	size_t only = bench_argument(argc, argv, 5, 0);
	size_t held = bench_argument(argc, argv, 6, 0);
	unsigned int which;
	size_t s;

	peers_begin(argv);
	if (!bytes || !rounds || rounds > ROUNDS_MAX || !threads || threads > THREADS_MAX ||
	    beside > THREADS_MAX || held > RING_MAX || (held & (held - 1)))
		bench_fail("alloc_table", "bad arguments");
	printf("alloc_table: ns of CPU an object, collections included; %zu MB a round, "
	       "%zu threads\n",
	       bytes >> 20, threads);
	peers_print();
	if (threads > 1)
		printf("a cache line from one CPU to another: %.0f ns\n", distance());
	for (s = 0; s < OWNERS; s++) {
		if (is_here((enum owner)s) && turn_begin(&turns[s]))
			serve(&turns[s], (enum owner)s,
			      (unsigned int)(threads > beside ? threads : beside));
	}
	printf("%8s %5s", "bytes", "held");
	for (s = 0; s < SYSTEMS; s++) {
		if (is_here(systems[s].owner))
			printf(" %8s", systems[s].name);
	}
	printf("  typed and array / calloc%s (goal at 64: %s)\n",
	       is_here(MIMALLOC_NEWEST) ? ", calloc*" : "", threads > 1 ? "0.7" : "0.6");
	for (which = 0; which < SIZES; which++) {
		if (!only || only == sizes[which])
			row(which, bytes, rounds, (unsigned int)threads, (unsigned int)beside,
			    held);
	}
	s = OWNERS;
	while (s--) {
		if (is_here((enum owner)s))
			turn_end(&turns[s]);
	}
	return 0;
}
