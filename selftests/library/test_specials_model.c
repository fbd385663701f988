// SPDX-License-Identifier: MIT
/*
 * Threads that change a graph at random, and what is special about its objects, against a model:
 * finalizers, which resurrect their objects and set others, cleanups, weak references of both
 * kinds, ephemerons, weak maps with an owner and without, pins. Each cycle, whoever has started it
 * and when, must leave alive as many objects as the model says, each function that runs must be one
 * that a cycle has queued, and each map have the keys that are left. Now and then all wait, one
 * cycle more is run, and all is compared: which objects live and what is in them, where references
 * lead, what maps have, what is queued, and that this runs, in order.
 *
 * Environment: GCHEAP_SEED repeats a run, as far as threads can; GCHEAP_ROUNDS changes its
 * length, and is the number of checked cycles.
 */
#include <pthread.h>
#include <time.h>

#include "specials.h"
#include "specials_model.h"

/* Checked cycles of each test but the last, which has fewer: of a run of this program, 1,056. */
#define ROUNDS		60u
#define ROUNDS_MANY	24u
/* System calls cost more where the device is emulated. */
#define ROUNDS_DEVICE	30u
/* ThreadSanitizer makes all of it twenty times as slow. */
#define ROUNDS_TSAN	15u
/* Steps of each thread between two of them, at most. */
#define STEPS		400u
/* One thread in so many rounds ends. */
#define ROUNDS_LIVED	16u
/* Once in so many rounds much dies together; the tables are looked through. */
#define ROUNDS_DROPPED	8u
#define ROUNDS_VERIFIED	8u

/**
 * struct run - what the threads of one test share
 * @shadow: the graph
 * @threads: how many change it
 * @rounds: how often it is still checked
 * @steps: of a thread between two rounds, at most
 * @gate: all wait here before a check and after it
 * @checked: objects that were found to be as they should be, in all
 * @is_over: the threads shall end
 */
struct run {
	struct shadow shadow;
	uint32_t threads;
	uint32_t rounds;
	uint32_t steps;
	pthread_barrier_t gate;
	uint64_t checked;
	bool is_over;
};

/* A thread's part: goes on with an owner's nodes. */
struct part {
	struct run *run;
	struct shadow_worker worker;
	pthread_t self;
};

static void part_work(struct part *part)
{
	uint32_t steps = shadow_random(&part->worker, part->run->steps);
	uint32_t i;

	for (i = 0; i < steps; i++)
		shadow_step(&part->worker);
	if (!shadow_random(&part->worker, 8) && gcheap_collect(part->worker.thread))
		shadow_failed(&part->run->shadow, gcheap_error());
}

/* Parked: nobody has to wait for it before it has arrived. */
static void gate_pass(struct part *part)
{
	gcheap_park(part->worker.thread);
	pthread_barrier_wait(&part->run->gate);
	gcheap_unpark(part->worker.thread);
}

static void share_some(struct part *part)
{
	struct shadow_worker *worker = &part->worker;
	uint32_t threads = part->run->threads;
	uint32_t i;

	for (i = 0; i < threads; i++)
		shadow_share(&part->run->shadow, shadow_random(worker, threads),
			     shadow_random(worker, SHADOW_ROOTS), shadow_random(worker, threads),
			     1 + shadow_random(worker, SHADOW_ROOTS - 1));
}

/* What is queued would keep much of it. */
static void drop_all(struct part *part)
{
	struct shadow_worker worker = part->worker;

	shadow_drain(&part->worker);
	for (worker.owner = 0; worker.owner < part->run->threads; worker.owner++)
		shadow_drop(&worker);
}

/* What the first thread does while all others wait. */
static void check(struct part *part)
{
	struct shadow_worker *worker = &part->worker;
	struct run *run = part->run;
	struct shadow *shadow = &run->shadow;

	if (run->rounds % ROUNDS_DROPPED == 0)
		drop_all(part);
	if (gcheap_collect(worker->thread)) {
		shadow_failed(shadow, gcheap_error());
		return;
	}
	shadow_check(worker, &run->checked);
	if (!shadow_random(worker, ROUNDS_VERIFIED))
		assert_sound(shadow->heap);
	/* Otherwise they run while all work. */
	if (shadow_random(worker, 2))
		shadow_drain(worker);
	if (shadow_random(worker, 2))
		shadow_unstick(worker);
	share_some(part);
}

/* Works for some rounds; the first one's never ends before the run is over. */
static void *part_run(void *arg)
{
	struct part *part = arg;
	struct shadow_worker *worker = &part->worker;
	struct run *run = part->run;

	/* The others would wait for it for ever. */
	if (gcheap_thread_attach(run->shadow.heap, &worker->thread)) {
		print_message("# %s\n", gcheap_error());
		abort();
	}
	shadow_worker_begin(worker);
	do {
		part_work(part);
		gate_pass(part);
		if (!worker->owner) {
			check(part);
			run->is_over = run->shadow.error || !--run->rounds;
		}
		gate_pass(part);
	} while (!run->is_over && (!worker->owner || shadow_random(worker, ROUNDS_LIVED)));
	/* Caches in use, which go with the thread. */
	if (worker->owner && !run->is_over)
		part_work(part);
	/* Every second one ends without a word. */
	if (shadow_random(worker, 2))
		gcheap_thread_detach(worker->thread);
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

static void run_threads(struct run *run)
{
	struct part parts[SHADOW_OWNERS];
	uint32_t i;

	assert_int_equal(pthread_barrier_init(&run->gate, NULL, run->threads), 0);
	for (i = 0; i < run->threads; i++) {
		parts[i] = (struct part) {
			.run = run,
			.worker = { .shadow = &run->shadow, .owner = i },
		};
		assert_int_equal(pthread_create(&parts[i].self, NULL, i ? part_live : part_run,
						&parts[i]), 0);
	}
	for (i = 0; i < run->threads; i++)
		pthread_join(parts[i].self, NULL);
	pthread_barrier_destroy(&run->gate);
}

#define LLU(x)	((unsigned long long)(x))

static void tell(const struct run *run, uint32_t rounds)
{
	const struct shadow_counts *counts = &run->shadow.counts;

	print_message("# %llu objects of %llu cycles, %llu of them in between\n",
		      LLU(run->checked), LLU(run->shadow.cycle), LLU(run->shadow.cycle - rounds));
	print_message("# finalizers: up to %llu, %llu dead at once; %llu ran, %llu resurrected; waited %llu times, %llu taken away\n",
		      LLU(counts->most_finalizers), LLU(counts->most_dead), LLU(counts->finalized),
		      LLU(counts->resurrected), LLU(counts->waited), LLU(counts->unstuck));
	print_message("# cleanups: up to %llu; %llu ran, %llu taken back; %llu objects given back\n",
		      LLU(counts->most_cleanups), LLU(counts->cleaned), LLU(counts->removed),
		      LLU(counts->freed));
	print_message("# ephemerons: up to %llu; %llu values kept, %llu of them by dead keys\n",
		      LLU(counts->most_ephemerons), LLU(counts->kept), LLU(counts->kept_by_dead));
	print_message("# references: up to %llu; cleared %llu short, %llu long, %llu to what lived on; %llu followed\n",
		      LLU(counts->most_weak), LLU(counts->cleared_short),
		      LLU(counts->cleared_long), LLU(counts->cleared_before),
		      LLU(counts->weak_got));
	print_message("# weak maps: up to %llu with %llu keys; %llu ended with their owners and %llu keys that lived on, %llu freed\n",
		      LLU(counts->most_maps), LLU(counts->most_keys), LLU(counts->maps_died),
		      LLU(counts->keys_left), LLU(counts->maps_freed));
	print_message("# their keys: %llu died, %llu taken out; %llu values kept, %llu of them by dead keys or owners; %llu followed\n",
		      LLU(counts->keys_died), LLU(counts->keys_removed), LLU(counts->map_kept),
		      LLU(counts->map_kept_by_dead), LLU(counts->map_got));
}

/* That there was something to see, where a run is not a short one. */
static void counts_check(const struct shadow_counts *counts)
{
	assert_true(counts->finalized && counts->waited && counts->resurrected);
	assert_true(counts->cleaned && counts->freed);
	assert_true(counts->cleared_short && counts->cleared_long && counts->cleared_before);
	assert_true(counts->weak_got && counts->kept && counts->kept_by_dead);
	assert_true(counts->maps_died && counts->maps_freed && counts->keys_left);
	assert_true(counts->keys_died && counts->keys_removed);
	assert_true(counts->map_got && counts->map_kept && counts->map_kept_by_dead);
}

static struct shadow_counts compare(uint32_t threads, uint32_t flags, uint32_t steps,
				    uint32_t calm, uint32_t rounds)
{
	uint64_t seed = environment_number("GCHEAP_SEED", (uint64_t)time(NULL));
	struct gcheap_config config = fixture_config();
	static struct run run;
	struct gcheap *heap;

	config.flags = flags;
	config.gc_percent = 100;
	assert_int_equal(gcheap_open(&config, &heap), 0);
	if (UNDER_TSAN)
		rounds = rounds * ROUNDS_TSAN / ROUNDS;
	else if (gcheap_backend(heap) == GCHEAP_BACKEND_DEVICE)
		rounds = rounds * ROUNDS_DEVICE / ROUNDS;
	rounds = (uint32_t)environment_number("GCHEAP_ROUNDS", rounds);
	print_message("# %u threads: GCHEAP_SEED=%llu GCHEAP_ROUNDS=%u\n", threads,
		      (unsigned long long)seed, rounds);
	run = (struct run) { .threads = threads, .rounds = rounds, .steps = steps };
	shadow_init(&run.shadow, heap, seed, calm);
	run.shadow.counts.rounds = rounds;
	run_threads(&run);
	tell(&run, rounds);
	if (run.shadow.error)
		fail_msg("GCHEAP_SEED=%llu: %s", (unsigned long long)seed, run.shadow.error);
	if (rounds >= ROUNDS)
		counts_check(&run.shadow.counts);
	gcheap_close(heap);
	shadow_destroy(&run.shadow);
	return run.shadow.counts;
}

static void test_one_thread(void **state)
{
	(void)state;
	compare(1, 0, STEPS, 1, ROUNDS);
}

static void test_two_threads(void **state)
{
	(void)state;
	compare(2, 0, STEPS, 1, ROUNDS);
}

static void test_eight_threads(void **state)
{
	(void)state;
	compare(8, 0, STEPS, 1, ROUNDS);
}

/* Each cycle is looked through, too. */
static void test_three_threads_verified(void **state)
{
	(void)state;
	compare(3, GCHEAP_VERIFY, STEPS, 1, ROUNDS);
}

/*
 * So many that not each is followed alone to find cycles, which is up to 1024. How many are dead at
 * once is chance: what went on before may have left few.
 */
static void test_thousands_die_at_once(void **state)
{
	struct shadow_counts counts;
	int left = 8;

	(void)state;
	do {
		counts = compare(4, 0, 20 * STEPS, 16, ROUNDS_MANY);
		if (counts.rounds < ROUNDS_MANY)
			return;
	} while (counts.most_dead <= 1024 && left--);
	counts_check(&counts);
	/* One thread may happen not to take a single cleanup back. */
	assert_true(counts.removed && counts.unstuck);
	assert_true(counts.most_finalizers > 1000 && counts.most_cleanups > 1000 &&
		    counts.most_weak > 1000 && counts.most_ephemerons > 1000);
	assert_true(counts.most_dead > 1024);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_thread),
		cmocka_unit_test(test_two_threads),
		cmocka_unit_test(test_eight_threads),
		cmocka_unit_test(test_three_threads_verified),
		cmocka_unit_test(test_thousands_die_at_once),
	};

	return run_in_all_layouts("model of specials", tests);
}
