// SPDX-License-Identifier: MIT
/*
 * A heap a thread, and a thread with several heaps.
 *
 * Each thread opens a heap of its own, which it changes at random against a model (model.h) and
 * collects, while the others do the same with theirs; one more thread is attached to two of these
 * heaps, and changes both. Heaps know nothing of each other: each has exactly the objects that its
 * own roots lead to, and its figures are of what was done with it.
 *
 * Environment: GCHEAP_SEED repeats a run, as far as threads can; GCHEAP_ROUNDS changes its length.
 */
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "model.h"

#define HEAPS		4u
/* The visitor is attached to so many, the first ones. */
#define VISITED		2u
/* Its owner in their models; the thread that has opened a heap is owner 0. */
#define VISITOR		1u
#define ROUNDS		(UNDER_TSAN ? 15u : 50u)
/* Steps of each thread in a round, at most. */
#define STEPS		120u

/**
 * struct owned - a thread's own heap
 * @town: all of them
 * @model: of the heap
 * @random: what its thread does
 * @self: the thread
 * @cycles: that have ended, as the heap's hook has counted
 * @asked: cycles that its thread or the visitor has asked for
 * @error: what went wrong first, in the thread
 * @visitor_error: in the visitor
 */
struct owned {
	struct town *town;
	struct model model;
	uint64_t random;
	pthread_t self;
	uint64_t cycles;
	uint64_t asked;
	char error[256];
	char visitor_error[256];
};

/**
 * struct town - all heaps
 * @heaps: the heaps
 * @gate: all threads wait here: when all heaps are open, and before and after each check
 * @rounds: of each thread
 */
struct town {
	struct owned heaps[HEAPS];
	pthread_barrier_t gate;
	uint32_t rounds;
};

/* A copy: what gcheap_error() returns goes with its thread. */
static void failed(char (*first)[256], const char *error)
{
	if (error && !(*first)[0])
		snprintf(*first, sizeof(*first), "%s", error);
}

static uint32_t below(uint64_t *random, uint32_t end)
{
	return (uint32_t)(random_next(random) >> 32) % end;
}

static void cycle_ends(struct gcheap *heap, const struct gcheap_cycle *cycle, void *arg)
{
	struct owned *owned = arg;

	(void)cycle;
	if (heap != owned->model.heap)
		abort();
	__atomic_fetch_add(&owned->cycles, 1, __ATOMIC_RELAXED);
}

static void collect(struct owned *owned, struct gcheap_thread *thread)
{
	if (gcheap_collect(thread))
		abort();
	__atomic_fetch_add(&owned->asked, 1, __ATOMIC_RELAXED);
}

/* All others wait. */
static void check(struct owned *owned, struct gcheap_thread *thread)
{
	struct gcheap_stats stats;
	uint64_t reachable;

	collect(owned, thread);
	failed(&owned->error, model_check(&owned->model, &reachable));
	stats = stats_of(owned->model.heap);
	if (!owned->error[0] && stats.live_objects != reachable)
		failed(&owned->error, "it has other objects than its roots lead to");
	if (stats.cycles != __atomic_load_n(&owned->cycles, __ATOMIC_RELAXED) ||
	    stats.cycles < __atomic_load_n(&owned->asked, __ATOMIC_RELAXED))
		failed(&owned->error, "it has counted other cycles than its own");
	if (stats.allocated_objects != owned->model.owners[0].allocated +
				       owned->model.owners[VISITOR].allocated)
		failed(&owned->error, "it has counted other objects than its own");
}

/* ---- threads --------------------------------------------------------------------------- */

/* Parked in all @count heaps: nobody waits for it. */
static void gate_pass(struct town *town, struct gcheap_thread **threads, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		gcheap_park(threads[i]);
	pthread_barrier_wait(&town->gate);
	for (i = 0; i < count; i++)
		gcheap_unpark(threads[i]);
}

static struct gcheap_thread *attach(struct owned *owned)
{
	struct gcheap_thread *thread;

	if (gcheap_thread_attach(owned->model.heap, &thread))
		abort();
	return thread;
}

static void open_own(struct owned *owned, uint64_t seed)
{
	struct gcheap_config config = fixture_config();
	const struct gcheap_hooks hooks = {
		.size = sizeof(hooks), .cycle_ends = cycle_ends, .arg = owned,
	};
	struct gcheap *heap;

	/* As early as growth starts cycles. */
	config.gc_percent = 10;
	if (gcheap_open(&config, &heap) || gcheap_hooks_add(heap, &hooks))
		abort();
	model_init(&owned->model, heap, seed);
}

/* Works on its own heap. */
static void *own_run(void *arg)
{
	struct owned *owned = arg;
	struct town *town = owned->town;
	struct gcheap_thread *thread;
	uint32_t round, i;

	open_own(owned, owned->random);
	thread = attach(owned);
	gate_pass(town, &thread, 1);
	for (round = 0; round < town->rounds; round++) {
		const char *error = NULL;

		for (i = below(&owned->random, STEPS); i && !error; i--)
			error = model_step(&owned->model, 0, thread);
		if (!below(&owned->random, 8))
			collect(owned, thread);
		gate_pass(town, &thread, 1);
		failed(&owned->error, error);
		if (!owned->error[0])
			check(owned, thread);
		gate_pass(town, &thread, 1);
	}
	gcheap_thread_detach(thread);
	return NULL;
}

/* Works on two heaps, now on one and now on the other. */
static void *visitor_run(void *arg)
{
	struct gcheap_thread *threads[VISITED];
	struct town *town = arg;
	uint64_t random = town->heaps[0].random + 1;
	uint32_t round, i;

	gate_pass(town, NULL, 0);
	for (i = 0; i < VISITED; i++)
		threads[i] = attach(&town->heaps[i]);
	for (round = 0; round < town->rounds; round++) {
		for (i = below(&random, VISITED * STEPS); i; i--) {
			uint32_t at = below(&random, VISITED);

			failed(&town->heaps[at].visitor_error,
			       model_step(&town->heaps[at].model, VISITOR, threads[at]));
		}
		i = below(&random, VISITED * 8);
		if (i < VISITED)
			collect(&town->heaps[i], threads[i]);
		gate_pass(town, threads, VISITED);
		/* The owners check. */
		gate_pass(town, threads, VISITED);
	}
	for (i = 0; i < VISITED; i++)
		gcheap_thread_detach(threads[i]);
	return NULL;
}

static void each_thread_has_a_heap_and_one_has_two(void **state)
{
	uint64_t seed = environment_number("GCHEAP_SEED", (uint64_t)time(NULL));
	struct town town = { .rounds = (uint32_t)environment_number("GCHEAP_ROUNDS", ROUNDS) };
	pthread_t visitor;
	uint32_t i;

	(void)state;
	print_message("# GCHEAP_SEED=%llu GCHEAP_ROUNDS=%u\n", (unsigned long long)seed,
		      town.rounds);
	assert_int_equal(pthread_barrier_init(&town.gate, NULL, HEAPS + 1), 0);
	for (i = 0; i < HEAPS; i++) {
		town.heaps[i].town = &town;
		town.heaps[i].random = seed + 100 * i;
	}
	assert_int_equal(pthread_create(&visitor, NULL, visitor_run, &town), 0);
	for (i = 0; i < HEAPS; i++)
		assert_int_equal(pthread_create(&town.heaps[i].self, NULL, own_run,
						&town.heaps[i]), 0);
	pthread_join(visitor, NULL);
	for (i = 0; i < HEAPS; i++)
		pthread_join(town.heaps[i].self, NULL);
	pthread_barrier_destroy(&town.gate);
	for (i = 0; i < HEAPS; i++) {
		struct owned *owned = &town.heaps[i];
		struct gcheap *heap = owned->model.heap;

		print_message("# heap %u: %llu cycles, %llu of them asked for\n", i,
			      (unsigned long long)stats_of(heap).cycles,
			      (unsigned long long)owned->asked);
		if (owned->error[0] || owned->visitor_error[0])
			fail_msg("heap %u, GCHEAP_SEED=%llu: %s; %s", i, (unsigned long long)seed,
				 owned->error, owned->visitor_error);
		model_destroy(&owned->model);
		gcheap_close(heap);
	}
}

/* ---- work for one heap, a cycle of the other ------------------------------------------- */

/* Bytes that a thread allocates after it was asked to rest, before it gives up. */
#define BYTES_MOST	((size_t)8 << 20)

/**
 * struct busy - a thread of two heaps that works in one alone
 * @heaps: the heaps; it works in the first one, in which no cycle runs
 * @bytes: of each object
 * @is_ready: it is attached to both
 * @has_given_up: it allocated on and on, and nothing had it rest
 */
struct busy {
	struct gcheap *heaps[2];
	size_t bytes;
	bool is_ready;
	bool has_given_up;
};

static bool is_asked(struct gcheap_thread *thread)
{
	return __atomic_load_n(&thread->stop, __ATOMIC_SEQ_CST);
}

static void *busy_run(void *arg)
{
	struct gcheap_thread *threads[2];
	struct busy *busy = arg;
	size_t bytes = 0;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		if (gcheap_thread_attach(busy->heaps[i], &threads[i]))
			abort();
	}
	__atomic_store_n(&busy->is_ready, true, __ATOMIC_SEQ_CST);
	while (!is_asked(threads[1]))
		sched_yield();
	for (; is_asked(threads[1]) && bytes < BYTES_MOST; bytes += busy->bytes) {
		if (!gcheap_new_leaf(threads[0], busy->bytes))
			abort();
	}
	busy->has_given_up = bytes >= BYTES_MOST;
	for (i = 0; i < 2; i++)
		gcheap_thread_detach(threads[i]);
	return NULL;
}

static void work_for_one_heap_delays_no_cycle_of_another(size_t bytes)
{
	struct gcheap_config config = fixture_config();
	struct busy busy = { .bytes = bytes };
	struct fixture f[2];
	pthread_t thread;
	unsigned int i;

	config.gc_percent = -1;
	for (i = 0; i < 2; i++) {
		fixture_open_with(&f[i], &config);
		busy.heaps[i] = f[i].heap;
	}
	assert_int_equal(pthread_create(&thread, NULL, busy_run, &busy), 0);
	while (!__atomic_load_n(&busy.is_ready, __ATOMIC_SEQ_CST))
		sched_yield();
	assert_int_equal(gcheap_collect(f[1].thread), 0);
	for (i = 0; i < 2; i++)
		gcheap_park(f[i].thread);
	assert_int_equal(pthread_join(thread, NULL), 0);
	for (i = 0; i < 2; i++) {
		gcheap_unpark(f[i].thread);
		fixture_close(&f[i]);
	}
	assert_false(busy.has_given_up);
}

static void small_objects_of_one_heap_delay_no_cycle_of_another(void **state)
{
	(void)state;
	work_for_one_heap_delays_no_cycle_of_another(64);
}

static void large_objects_of_one_heap_delay_no_cycle_of_another(void **state)
{
	(void)state;
	work_for_one_heap_delays_no_cycle_of_another(256 << 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_thread_has_a_heap_and_one_has_two),
		cmocka_unit_test(small_objects_of_one_heap_delay_no_cycle_of_another),
		cmocka_unit_test(large_objects_of_one_heap_delay_no_cycle_of_another),
	};

	return run_in_all_layouts("a heap a thread", tests);
}
