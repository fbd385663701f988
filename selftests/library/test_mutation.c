// SPDX-License-Identifier: MIT
/*
 * Threads that change a graph at random, against a model of it. They allocate, and cycles
 * start by growth and by request, while all of them work; then they wait, one cycle more
 * is run, and exactly what the model's roots lead to must be alive, and be what it was.
 * Threads end and others go on with their part in between.
 *
 * Environment: GCHEAP_SEED repeats a run, as far as threads can; GCHEAP_ROUNDS changes its
 * length, and is the number of checked cycles.
 */
#include <pthread.h>
#include <time.h>

#include "model.h"

/* Checked cycles of each test: of a run of this program, 24 times as many. */
#define ROUNDS		75u
/* System calls cost more where the device is emulated. */
#define ROUNDS_DEVICE	25u
/* ThreadSanitizer makes all of it twenty times as slow. */
#define ROUNDS_TSAN	20u
/* Steps of each thread between two of them, at most. */
#define STEPS		120u
/* One thread in so many rounds ends. */
#define ROUNDS_LIVED	16u
/* Frames around a round of a thread, at most. */
#define FRAMES		3u
/* Growth starts cycles as early as it can, which is after 1 MiB. */
#define GC_PERCENT	10

/**
 * struct run - what the threads of one test share
 * @model: the graph
 * @threads: how many change it
 * @rounds: how often it is checked
 * @gate: all wait here before a check and after it
 * @is_exact: nothing but the model's roots keeps objects alive; else stacks may, too
 * @by_growth: cycles that have started by growth
 * @checked: objects that were found to be as they should be, in all
 * @has_failed: something went wrong
 * @error: the first thing that did
 * @is_over: the threads shall end
 */
struct run {
	struct model model;
	uint32_t threads;
	uint32_t rounds;
	pthread_barrier_t gate;
	bool is_exact;
	uint64_t by_growth;
	uint64_t checked;
	bool has_failed;
	char error[256];
	bool is_over;
};

/* A thread's part: goes on with an owner's nodes. */
struct part {
	struct run *run;
	uint32_t owner;
	pthread_t self;
};

static void run_failed(struct run *run, const char *error)
{
	/* A copy: what gcheap_error() returns goes with its thread. */
	if (error && !__atomic_exchange_n(&run->has_failed, true, __ATOMIC_RELAXED))
		snprintf(run->error, sizeof(run->error), "%s", error);
}

static uint32_t part_random(struct part *part, uint32_t end)
{
	return (uint32_t)(random_next(&part->run->model.owners[part->owner].random) >> 32) % end;
}

static void part_work(struct part *part, struct gcheap_thread *thread)
{
	uint32_t steps = part_random(part, STEPS);
	uint32_t i;

	for (i = 0; i < steps; i++)
		run_failed(part->run, model_step(&part->run->model, part->owner, thread));
	if (part_random(part, 16) == 0 && gcheap_collect(thread))
		run_failed(part->run, gcheap_error());
}

/* Parked: nobody has to wait for it before it has arrived. */
static void gate_pass(struct run *run, struct gcheap_thread *thread)
{
	gcheap_park(thread);
	pthread_barrier_wait(&run->gate);
	gcheap_unpark(thread);
}

/* What the first thread does while all others wait. */
static void check(struct run *run, struct gcheap_thread *thread)
{
	struct model *model = &run->model;
	uint64_t reachable;
	const char *error;
	uint64_t live;

	if (gcheap_collect(thread)) {
		run_failed(run, gcheap_error());
		return;
	}
	error = model_check(model, &reachable);
	run_failed(run, error);
	if (error)
		return;
	run->checked += reachable;
	live = stats_of(model->heap).live_objects;
	if (live < reachable || (run->is_exact && live > reachable)) {
		print_message("# %llu live objects, and the roots lead to %llu\n",
			      (unsigned long long)live, (unsigned long long)reachable);
		run_failed(run, live > reachable ? "what no root leads to is alive" :
			   "what a root leads to is not alive");
	}
}

static void share_some(struct part *part)
{
	struct run *run = part->run;
	uint32_t i;

	for (i = 0; i < run->threads; i++)
		run_failed(run, model_share(&run->model, part_random(part, run->threads),
					    part_random(part, run->threads)));
}

static void part_round(struct part *part, struct gcheap_thread *thread)
{
	struct run *run = part->run;

	part_work(part, thread);
	gate_pass(run, thread);
	if (!part->owner) {
		check(run, thread);
		share_some(part);
		run->is_over = run->has_failed || !--run->rounds;
	}
	gate_pass(run, thread);
}

/* A round in so many frames, whose variables are roots of the model's. */
static __attribute__((noinline))
void part_round_in(struct part *part, struct gcheap_thread *thread, uint32_t frames)
{
	void *a = NULL, *b = NULL, *c = NULL, *d = NULL;
	void **const variables[MODEL_GROUP] = { &a, &b, &c, &d };
	struct model *model = &part->run->model;
	struct model_group *group;

	if (!frames) {
		part_round(part, thread);
		return;
	}
	GCHEAP_FRAME(thread, a, b, c, d);
	run_failed(part->run, model_frame_begin(model, part->owner, thread, variables, &group));
	part_round_in(part, thread, frames - 1);
	run_failed(part->run, model_frame_end(model, part->owner, thread, group));
	GCHEAP_FRAME_END(thread);
}

/* Works for some rounds; the first one's never ends before the run is over. */
static void *part_run(void *arg)
{
	struct part *part = arg;
	struct run *run = part->run;
	struct gcheap_thread *thread;
	int error = gcheap_thread_attach(run->model.heap, &thread);

	/* The others would wait for it for ever. */
	if (error) {
		print_message("# %s\n", gcheap_error());
		abort();
	}
	do {
		part_round_in(part, thread, part_random(part, FRAMES + 1));
	} while (!run->is_over && (!part->owner || part_random(part, ROUNDS_LIVED)));
	/* Caches in use, which go with the thread. */
	if (part->owner && !run->is_over)
		part_work(part, thread);
	/* Every second one ends without a word. */
	if (part_random(part, 2))
		gcheap_thread_detach(thread);
	return NULL;
}

/* Threads that live for a while each, one after the other. */
static void *part_live(void *arg)
{
	struct part *part = arg;

	while (!part->run->is_over) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, part_run, part))
			abort();
		pthread_join(thread, NULL);
	}
	return NULL;
}

static void cycle_ends(struct gcheap *heap, const struct gcheap_cycle *cycle, void *arg)
{
	struct run *run = arg;

	(void)heap;
	if (cycle->reason == GCHEAP_CYCLE_GROWTH)
		__atomic_fetch_add(&run->by_growth, 1, __ATOMIC_RELAXED);
}

static void mutate(uint32_t threads, uint32_t flags)
{
	uint64_t seed = environment_number("GCHEAP_SEED", (uint64_t)time(NULL));
	struct gcheap_config config = fixture_config();
	struct part parts[MODEL_OWNERS];
	struct run run = { .threads = threads };
	const struct gcheap_hooks hooks = {
		.size = sizeof(hooks), .cycle_ends = cycle_ends, .arg = &run,
	};
	struct gcheap *heap;
	uint32_t rounds, i;

	run.is_exact = !(flags & GCHEAP_CONSERVATIVE_STACKS);
	config.flags = flags;
	config.gc_percent = GC_PERCENT;
	assert_int_equal(gcheap_open(&config, &heap), 0);
	assert_int_equal(gcheap_hooks_add(heap, &hooks), 0);
	rounds = UNDER_TSAN ? ROUNDS_TSAN :
		 gcheap_backend(heap) == GCHEAP_BACKEND_DEVICE ? ROUNDS_DEVICE : ROUNDS;
	rounds = (uint32_t)environment_number("GCHEAP_ROUNDS", rounds);
	run.rounds = rounds;
	print_message("# %u threads: GCHEAP_SEED=%llu GCHEAP_ROUNDS=%u\n", threads,
		      (unsigned long long)seed, rounds);
	model_init(&run.model, heap, seed);
	assert_int_equal(pthread_barrier_init(&run.gate, NULL, threads), 0);
	for (i = 0; i < threads; i++) {
		parts[i] = (struct part) { .run = &run, .owner = i };
		assert_int_equal(pthread_create(&parts[i].self, NULL, i ? part_live : part_run,
						&parts[i]), 0);
	}
	for (i = 0; i < threads; i++)
		pthread_join(parts[i].self, NULL);
	pthread_barrier_destroy(&run.gate);
	print_message("# %llu objects of %llu cycles, %llu of them in between, %llu by growth\n",
		      (unsigned long long)run.checked,
		      (unsigned long long)stats_of(heap).cycles,
		      (unsigned long long)stats_of(heap).cycles - rounds,
		      (unsigned long long)run.by_growth);
	if (run.has_failed)
		fail_msg("GCHEAP_SEED=%llu: %s", (unsigned long long)seed, run.error);
	model_destroy(&run.model);
	gcheap_close(heap);
}

static void test_one_thread(void **state)
{
	(void)state;
	mutate(1, 0);
}

static void test_two_threads(void **state)
{
	(void)state;
	mutate(2, 0);
}

static void test_eight_threads(void **state)
{
	(void)state;
	mutate(8, 0);
}

/* Each cycle is looked through, too. */
static void test_three_threads_verified(void **state)
{
	(void)state;
	mutate(3, GCHEAP_VERIFY);
}

static void test_four_threads_with_faults(void **state)
{
	(void)state;
	mutate(4, GCHEAP_FAULT_FREED);
}

/* Threads are stopped wherever they are. */
static void test_four_threads_on_conservative_stacks(void **state)
{
	(void)state;
	mutate(4, GCHEAP_CONSERVATIVE_STACKS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_thread),
		cmocka_unit_test(test_two_threads),
		cmocka_unit_test(test_eight_threads),
		cmocka_unit_test(test_three_threads_verified),
		cmocka_unit_test(test_four_threads_with_faults),
		cmocka_unit_test(test_four_threads_on_conservative_stacks),
	};

	return run_in_all_layouts("mutation", tests);
}
