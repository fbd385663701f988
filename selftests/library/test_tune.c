// SPDX-License-Identifier: MIT
/*
 * When cycles start: settings changed while the heap is in use, and what the pacer makes
 * of costs. The latter is asked directly where the library's own functions are to be had.
 */
#include <pthread.h>

#include "library_test.h"
#if UNDER_ASAN
#include "clock.h"
#include "library.h"
#include "pacer.h"
#endif

#define MIB		((uint64_t)1 << 20)

/* ---- gc_percent --------------------------------------------------------------------- */

static void test_the_percentage_changes_while_the_heap_is_in_use(void **state)
{
	struct fixture *f = *state;
	static void *live;

	live = gcheap_new_leaf(f->thread, 64 * MIB);
	assert_int_equal(gcheap_root_add(f->heap, &live, 1), 0);
	assert_int_equal(gcheap_gc_percent(f->heap), 100);
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_int_equal(gcheap_set_gc_percent(f->heap, 200), 0);
	assert_int_equal(gcheap_gc_percent(f->heap), 200);
	drop_bytes(f, 120 * MIB);
	assert_int_equal(cycles_of(f), 1);
	/* It counts at once, what was taken before too. */
	assert_int_equal(gcheap_set_gc_percent(f->heap, 100), 0);
	drop_bytes(f, 2 * MIB);
	assert_int_equal(cycles_of(f), 2);
	assert_int_equal(gcheap_set_gc_percent(f->heap, -1), 0);
	assert_int_equal(gcheap_gc_percent(f->heap), -1);
	drop_bytes(f, 160 * MIB);
	assert_int_equal(cycles_of(f), 2);
	assert_int_equal(gcheap_root_remove(f->heap, &live), 0);
}

static void test_err_bad_percentages_change_nothing(void **state)
{
	struct fixture *f = *state;

	assert_refused(gcheap_set_gc_percent(f->heap, -2), EINVAL, "-1");
	assert_refused(gcheap_set_gc_percent(f->heap, INT32_MIN), EINVAL, "-1");
	assert_int_equal(gcheap_gc_percent(f->heap), 100);
	assert_refused(gcheap_set_gc_percent(NULL, 100), EINVAL, "NULL");
	assert_refused(gcheap_set_memory_limit(NULL, 0), EINVAL, "NULL");
	assert_int_equal(gcheap_gc_percent(NULL), -1);
	assert_int_equal(gcheap_memory_limit(NULL), 0);
	gcheap_disable(NULL);
	assert_error_says("NULL");
	gcheap_enable(NULL);
	/* The largest one overflows nothing. */
	assert_int_equal(gcheap_set_gc_percent(f->heap, INT32_MAX), 0);
	drop_bytes(f, MIB);
	assert_int_equal(gcheap_collect(f->thread), 0);
}

/* ---- memory limit ------------------------------------------------------------------- */

static void test_the_limit_changes_while_the_heap_is_in_use(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(gcheap_memory_limit(f->heap), 0);
	assert_int_equal(gcheap_set_gc_percent(f->heap, -1), 0);
	drop_bytes(f, 64 * MIB);
	assert_int_equal(cycles_of(f), 0);
	assert_true(stats_of(f->heap).resident_bytes > 32 * MIB);
	assert_int_equal(gcheap_set_memory_limit(f->heap, 16 * MIB), 0);
	assert_int_equal(gcheap_memory_limit(f->heap), 16 * MIB);
	drop_bytes(f, 2 * MIB);
	assert_true(cycles_of(f) > 0);
	assert_true(stats_of(f->heap).resident_bytes <= 17 * MIB);
}

static void test_a_lower_limit_gives_free_memory_back_at_once(void **state)
{
	struct fixture *f = *state;
	uint64_t after;

	assert_int_equal(gcheap_set_gc_percent(f->heap, -1), 0);
	drop_bytes(f, 64 * MIB);
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_true(stats_of(f->heap).resident_bytes > 32 * MIB);
	assert_int_equal(gcheap_set_memory_limit(f->heap, 8 * MIB), 0);
	after = stats_of(f->heap).resident_bytes;
	/* 64 KiB may be in the hands of the worker that zeroes ahead. */
	if (after > 8 * MIB + (64 << 10))
		fail_msg("%llu KiB are resident", (unsigned long long)after >> 10);
}

/* ---- disable ------------------------------------------------------------------------ */

static void test_no_cycle_starts_by_itself_while_disabled(void **state)
{
	struct fixture *f = *state;

	gcheap_disable(f->heap);
	gcheap_disable(f->heap);
	drop_bytes(f, 96 * MIB);
	assert_int_equal(cycles_of(f), 0);
	gcheap_enable(f->heap);
	drop_bytes(f, 2 * MIB);
	assert_int_equal(cycles_of(f), 0);
	/* One that is asked for runs. */
	assert_int_equal(gcheap_collect(f->thread), 0);
	assert_int_equal(cycles_of(f), 1);
	drop_bytes(f, 96 * MIB);
	assert_int_equal(cycles_of(f), 1);
	gcheap_enable(f->heap);
	drop_bytes(f, 2 * MIB);
	assert_int_equal(cycles_of(f), 2);
}

static void test_err_one_enable_too_many_does_nothing(void **state)
{
	struct fixture *f = *state;

	gcheap_enable(f->heap);
	assert_error_says("gcheap_disable()");
	gcheap_disable(f->heap);
	drop_bytes(f, 96 * MIB);
	assert_int_equal(cycles_of(f), 0);
	gcheap_enable(f->heap);
}

static void test_err_memory_runs_out_while_disabled(void **state)
{
	struct gcheap_config config = fixture_config();
	struct fixture f;
	void *object;

	(void)state;
	config.reserve_bytes = 64 * MIB;
	fixture_open_with(&f, &config);
	gcheap_disable(f.heap);
	do {
		errno = 0;
		object = gcheap_new_leaf(f.thread, 16384);
	} while (object);
	assert_int_equal(errno, ENOMEM);
	assert_error_says("gcheap_enable()");
	assert_refused_null(gcheap_new_leaf(f.thread, 48 * MIB), ENOMEM, "gcheap_enable()");
	assert_int_equal(cycles_of(&f), 0);
	gcheap_enable(f.heap);
	assert_non_null(gcheap_new_leaf(f.thread, 48 * MIB));
	assert_int_equal(cycles_of(&f), 1);
	fixture_close(&f);
}

/* Any thread may, attached or not, while others allocate. */
static void *tune_for_a_while(void *arg)
{
	struct gcheap *heap = arg;
	unsigned int i;

	for (i = 0; i < 2000; i++) {
		if (gcheap_set_gc_percent(heap, i % 3 ? (int32_t)(i % 300) : -1) ||
		    gcheap_set_memory_limit(heap, i % 2 ? (uint64_t)i * MIB : 0))
			return heap;
		gcheap_disable(heap);
		gcheap_enable(heap);
	}
	return NULL;
}

static void test_another_thread_changes_the_settings(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;
	void *result;

	assert_int_equal(pthread_create(&thread, NULL, tune_for_a_while, f->heap), 0);
	drop_bytes(f, 64 * MIB);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_null(result);
	assert_int_equal(gcheap_set_gc_percent(f->heap, 100), 0);
	assert_int_equal(gcheap_set_memory_limit(f->heap, 0), 0);
	drop_bytes(f, 64 * MIB);
	assert_true(cycles_of(f) > 0);
}

#if UNDER_ASAN
/* ---- what the pacer makes of costs -------------------------------------------------- */

#define MS		((uint64_t)1000 * 1000)

/* Cycles that find @live_bytes at @cost_ns each, @program_ns for each @taken bytes. */
static void pacer_goes_on(struct pacer *pacer, uint64_t live_bytes, uint64_t cost_ns,
			  uint64_t taken, uint64_t program_ns)
{
	unsigned int i;

	for (i = 0; i < 32; i++) {
		struct pacer_cycle cycle = {
			.begin_ns = pacer->ended_ns + program_ns,
			.cost_ns = cost_ns,
			.live_bytes = live_bytes,
			.root_bytes = 4096,
		};

		pacer_take(pacer, taken);
		pacer_cycle_ended(pacer, &cycle);
	}
}

static void test_small_heaps_are_collected_in_cache(void **state)
{
	struct pacer pacer;

	(void)state;
	pacer_init(&pacer, 100, 0, 0);
	assert_int_equal(pacer.trigger_bytes, MIB);
	/* 64 KiB live, cycles of 10 us, a byte in 0.08 ns. */
	pacer_goes_on(&pacer, 64 << 10, 10000, MIB, MIB * 8 / 100);
	assert_int_equal(pacer.trigger_bytes, MIB);
	/* 1 MiB live in 50 us: some more. */
	pacer_goes_on(&pacer, MIB, 50000, MIB, MIB * 8 / 100);
	assert_in_range(pacer.trigger_bytes, 2 * MIB, 5 * MIB);
}

static void test_costly_cycles_are_fewer(void **state)
{
	struct pacer pacer;

	(void)state;
	pacer_init(&pacer, 100, 0, 0);
	/* 8 MiB in 8 ms, 0.3 ns a byte: the most. */
	pacer_goes_on(&pacer, 8 * MIB, 8 * MS, 8 * MIB, 8 * MIB * 3 / 10);
	assert_int_equal(pacer.trigger_bytes / MIB, 23);
	/* The same, in a program with other things to do: 100 ns a byte. */
	pacer_goes_on(&pacer, 8 * MIB, 8 * MS, 8 * MIB, 8 * MIB * 100);
	assert_int_equal(pacer.trigger_bytes, 8 * MIB / 100 * 100);
	/* One cycle that was interrupted for a second counts twice at most. */
	pacer_goes_on(&pacer, MIB, 50000, MIB, MIB * 8 / 100);
	pacer.ended_ns += 1;
	pacer_goes_on(&pacer, MIB, 50000, MIB, MIB * 8 / 100);
	{
		struct pacer_cycle late = { pacer.ended_ns + 80000, 1000 * MS, MIB, 4096 };
		uint64_t before = pacer.trigger_bytes;

		pacer_take(&pacer, MIB);
		pacer_cycle_ended(&pacer, &late);
		assert_in_range(pacer.trigger_bytes, before, before * 16 / 10);
	}
}

static void test_the_percentage_scales_the_least_growth(void **state)
{
	struct pacer pacer;

	(void)state;
	pacer_init(&pacer, 25, 0, 0);
	pacer_goes_on(&pacer, 8 * MIB, 8 * MS, 8 * MIB, 8 * MIB * 3 / 10);
	assert_in_range(pacer.trigger_bytes, 5 * MIB, 6 * MIB);
	pacer_init(&pacer, 0, 0, 0);
	pacer_goes_on(&pacer, 8 * MIB, 8 * MS, 8 * MIB, 8 * MIB * 3 / 10);
	assert_int_equal(pacer.trigger_bytes, MIB);
}

static void test_the_limit_takes_half_of_the_time_at_most(void **state)
{
	struct pacer pacer;
	uint64_t program_ns;

	(void)state;
	/* 100 MiB live, 50 allowed, cycles of 100 ms, a ns a byte. */
	pacer_init(&pacer, 100, 50 * MIB, 0);
	pacer_goes_on(&pacer, 100 * MIB, 100 * MS, MIB, MIB);
	assert_true(pacer_is_by_limit(&pacer));
	program_ns = pacer.trigger_bytes;
	assert_in_range(program_ns, 95 * MS, 101 * MS);
	/* Half of it live, and room for as much: nothing but the limit counts. */
	pacer_goes_on(&pacer, 25 * MIB, MS, MIB, MIB);
	assert_int_equal(pacer.trigger_bytes, 25 * MIB / 100 * 100);
	pacer_goes_on(&pacer, 40 * MIB, MS, MIB, MIB);
	assert_int_equal(pacer.trigger_bytes, 10 * MIB);
	assert_true(pacer_is_by_limit(&pacer));
}

static void test_an_idle_heap_is_collected(void **state)
{
	struct fixture *f = *state;
	struct pacer *pacer = &f->heap->pacer;

	drop_bytes(f, 64 << 10);
	assert_int_equal(cycles_of(f), 0);
	/* As if it were two minutes later. */
	pacer->ended_ns = clock_ns() - PACER_IDLE_NS - 100 * MS;
	assert_int_equal(gcheap_set_gc_percent(f->heap, -1), 0);
	drop_bytes(f, 300 << 10);
	assert_int_equal(cycles_of(f), 0);
	assert_int_equal(gcheap_set_gc_percent(f->heap, 100), 0);
	/* It is asked at each REFILL, of 256 KiB at most, and not yet due by growth. */
	drop_bytes(f, 300 << 10);
	assert_int_equal(cycles_of(f), 1);
	/* Once. */
	drop_bytes(f, 300 << 10);
	assert_int_equal(cycles_of(f), 1);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(test_the_percentage_changes_while_the_heap_is_in_use),
		fixture_test(test_err_bad_percentages_change_nothing),
		fixture_test(test_the_limit_changes_while_the_heap_is_in_use),
		fixture_test(test_a_lower_limit_gives_free_memory_back_at_once),
		fixture_test(test_no_cycle_starts_by_itself_while_disabled),
		fixture_test(test_err_one_enable_too_many_does_nothing),
		cmocka_unit_test(test_err_memory_runs_out_while_disabled),
		fixture_test(test_another_thread_changes_the_settings),
#if UNDER_ASAN
		cmocka_unit_test(test_small_heaps_are_collected_in_cache),
		cmocka_unit_test(test_costly_cycles_are_fewer),
		cmocka_unit_test(test_the_percentage_scales_the_least_growth),
		cmocka_unit_test(test_the_limit_takes_half_of_the_time_at_most),
		fixture_test(test_an_idle_heap_is_collected),
#endif
	};

	return run_in_all_layouts("tune", tests);
}
