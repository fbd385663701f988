// SPDX-License-Identifier: MIT
/* link: -lgc */
/*
 * User arenas. First an object of 64 bytes with two pointers, allocated in an arena that is freed
 * when it has so much, and in the heap, where it is garbage at once, cycles included. Then a
 * server's loop: a tree of 200 objects and 60 texts for each request, a small answer that lives, and
 * 50,000 sessions that cycles have to go through; with arenas, without, and with bdwgc. At last the
 * end of an arena of 64 MiB, beside munmap() of as much memory. Medians of several rounds, in turns,
 * in one process.
 *
 * Arguments: requests, rounds.
 */
#define _GNU_SOURCE
#define GC_THREADS
#include <gc.h>
#include <gcheap.h>
#include <sys/mman.h>

#include "bench.h"

#define ROUNDS_MAX	64
#define SESSIONS	50000u
#define TREE		200u
#define TEXTS		60u
#define MIB		((size_t)1 << 20)

struct node {
	struct node *left, *right;
	uint64_t values[6];
};

struct answer {
	struct answer *before;
	uint64_t value;
};

static struct gcheap *heap;
static struct gcheap_thread *thread;
static gcheap_type node_type, answer_type;
static struct answer **sessions;
static struct gcheap_arena *arena;

static uint64_t cycles_of(void)
{
	struct gcheap_stats stats = { .size = sizeof(stats) };

	if (gcheap_stats(heap, &stats))
		bench_fail("gcheap", gcheap_error());
	return stats.cycles;
}

static void *must(void *object)
{
	if (!object)
		bench_fail("gcheap", gcheap_error());
	return object;
}

static void arena_begin(void)
{
	if (gcheap_arena_new(thread, &arena))
		bench_fail("gcheap_arena_new", gcheap_error());
}

static void arena_end(void)
{
	if (gcheap_arena_free(arena))
		bench_fail("gcheap_arena_free", gcheap_error());
	arena = NULL;
}

/* ---- one object ------------------------------------------------------------------------ */

#define OBJECTS		(4u << 20)

/* Nanoseconds an object, in arenas of so many bytes; 0: in the heap. */
static double one_object(size_t bytes)
{
	size_t each = bytes ? bytes / sizeof(struct node) : OBJECTS, i, left;
	double start = bench_ns();

	for (left = OBJECTS; left >= each; left -= each) {
		if (bytes)
			arena_begin();
		for (i = 0; i < each; i++) {
			struct node *node = bytes ? gcheap_arena_alloc(arena, node_type) :
						    gcheap_new(thread, node_type);

			((struct node *)must(node))->values[0] = i;
		}
		if (bytes)
			arena_end();
	}
	return (bench_ns() - start) / OBJECTS;
}

/* ---- a server -------------------------------------------------------------------------- */

enum system { ARENAS, HEAP, BDWGC, SYSTEMS };

static struct answer **bdwgc_sessions;

static inline __attribute__((always_inline)) void *take(enum system system, size_t bytes)
{
	if (bytes == sizeof(struct node))
		return system == ARENAS ? gcheap_arena_alloc(arena, node_type) :
		       system == HEAP ? gcheap_new(thread, node_type) : GC_MALLOC(bytes);
	return system == ARENAS ? gcheap_arena_alloc_leaf(arena, bytes) :
	       system == HEAP ? gcheap_new_leaf(thread, bytes) : GC_MALLOC_ATOMIC(bytes);
}

static inline __attribute__((always_inline))
void serve(enum system system, uint64_t *random)
{
	struct answer **session = &(system == BDWGC ? bdwgc_sessions : sessions)
				  [bench_random(random) % SESSIONS];
	struct node *last = NULL;
	struct answer *answer;
	uint64_t sum = 0;
	unsigned int i;

	if (system == ARENAS)
		arena_begin();
	for (i = 0; i < TREE; i++) {
		struct node *node = must(take(system, sizeof(*node)));

		node->left = last;
		node->values[0] = i;
		if (i % 3 == 0 && i / 3 < TEXTS) {
			char *text = must(take(system, 32));

			text[0] = (char)i;
			text[31] = 0;
			node->right = (struct node *)(void *)text;
		}
		last = node;
	}
	for (; last; last = last->left)
		sum += last->values[0] + (last->right ? *(char *)last->right : 0);
	answer = system == BDWGC ? GC_MALLOC(sizeof(*answer)) : gcheap_new(thread, answer_type);
	((struct answer *)must(answer))->value = sum;
	/* The one before the last goes. */
	if (*session)
		(*session)->before = NULL;
	answer->before = *session;
	*session = answer;
	if (system == ARENAS)
		arena_end();
}

static __attribute__((noinline)) void serve_all(enum system system, unsigned long requests)
{
	uint64_t random = 42;

	while (requests--) {
		if (system == ARENAS)
			serve(ARENAS, &random);
		else if (system == HEAP)
			serve(HEAP, &random);
		else
			serve(BDWGC, &random);
	}
}

/* ---- the end of much ------------------------------------------------------------------- */

#define END_BYTES	(64 * MIB)

static double end_of_arena(void)
{
	size_t done;
	double start;

	arena_begin();
	for (done = 0; done < END_BYTES; done += MIB)
		memset(must(gcheap_arena_alloc_leaf(arena, MIB - 64)), 1, MIB - 64);
	start = bench_ns();
	arena_end();
	return bench_ns() - start;
}

static double end_of_mapping(void)
{
	char *memory = mmap(NULL, END_BYTES + 2 * MIB, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *start_of = (char *)(((uintptr_t)memory + 2 * MIB - 1) & ~(uintptr_t)(2 * MIB - 1));
	double start;

	if (memory == MAP_FAILED)
		bench_fail("mmap", "no memory");
	madvise(start_of, END_BYTES, MADV_HUGEPAGE);
	memset(start_of, 1, END_BYTES);
	start = bench_ns();
	munmap(start_of, END_BYTES);
	return bench_ns() - start;
}

/* ---- main ------------------------------------------------------------------------------ */

static void begin(void)
{
	struct gcheap_config config = GCHEAP_CONFIG_INIT;
	unsigned int i;

	config.flags = 0;
	config.markers = 1;
	if (gcheap_open(&config, &heap) || gcheap_thread_attach(heap, &thread))
		bench_fail("gcheap", gcheap_error());
	node_type = GCHEAP_TYPE(heap, struct node, left, right);
	answer_type = GCHEAP_TYPE(heap, struct answer, before);
	sessions = calloc(SESSIONS, sizeof(*sessions));
	GC_INIT();
	bdwgc_sessions = GC_MALLOC_UNCOLLECTABLE(SESSIONS * sizeof(*bdwgc_sessions));
	if (!node_type || !answer_type || !sessions || !bdwgc_sessions ||
	    gcheap_root_add(heap, sessions, SESSIONS) || gcheap_root_add(heap, &arena, 1))
		bench_fail("gcheap", gcheap_error());
	for (i = 0; i < SESSIONS; i++) {
		sessions[i] = must(gcheap_new(thread, answer_type));
		bdwgc_sessions[i] = must(GC_MALLOC(sizeof(struct answer)));
	}
}

static double ratio(double *values, double *others, unsigned long rounds, double *median)
{
	double other = bench_median(others, rounds);

	*median = bench_median(values, rounds);
	return *median / other;
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "arenas", "heap", "bdwgc" };
	static const size_t sizes[] = { 0, 64 << 10, 1 << 20, 64 << 20 };
	unsigned long requests = bench_argument(argc, argv, 1, 20000);
	unsigned long rounds = bench_argument(argc, argv, 2, 7), round;
	static double one[4][ROUNDS_MAX], server[SYSTEMS][ROUNDS_MAX], end[2][ROUNDS_MAX];
	static uint64_t cycles[SYSTEMS];
	double median;
	unsigned int i;

	if (!rounds || rounds > ROUNDS_MAX || !requests)
		bench_fail("arguments", "1 to 64 rounds, and a request at least");
	begin();
	for (round = 0; round < rounds; round++) {
		for (i = 0; i < 4; i++)
			one[i][round] = one_object(sizes[i]);
		for (i = 0; i < SYSTEMS; i++) {
			uint64_t before = i == BDWGC ? GC_get_gc_no() : cycles_of();
			double start = bench_ns();

			serve_all(i, requests);
			server[i][round] = (bench_ns() - start) / (double)requests;
			cycles[i] += (i == BDWGC ? GC_get_gc_no() : cycles_of()) - before;
		}
		end[0][round] = end_of_arena();
		end[1][round] = end_of_mapping();
	}
	printf("64 bytes, typed: heap %.1f ns", bench_median(one[0], rounds));
	for (i = 1; i < 4; i++) {
		double of_heap = ratio(one[i], one[0], rounds, &median);

		printf("; arenas of %zu KiB %.1f ns, %.2f of it", sizes[i] >> 10, median, of_heap);
	}
	printf("\na request:");
	for (i = 0; i < SYSTEMS; i++)
		printf(" %s %.1f us, %llu cycles;", names[i],
		       bench_median(server[i], rounds) / 1000, (unsigned long long)cycles[i]);
	printf(" arenas / heap %.2f, arenas / bdwgc %.2f\n",
	       ratio(server[ARENAS], server[HEAP], rounds, &median),
	       ratio(server[ARENAS], server[BDWGC], rounds, &median));
	printf("64 MiB end: arena %.0f us, munmap %.0f us, %.2f\n",
	       bench_median(end[0], rounds) / 1000, bench_median(end[1], rounds) / 1000,
	       ratio(end[0], end[1], rounds, &median));
	gcheap_thread_detach(thread);
	gcheap_close(heap);
	return 0;
}
