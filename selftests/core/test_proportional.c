// SPDX-License-Identifier: MIT
/*
 * The proportional sweep: with a goal, nothing is unswept when the heap gets there.
 */
#include "core_check.h"
#include "core_test.h"
#include "fixture.h"
#include "request.h"

#define CLASS_64	6u	/* 128 slots of 64 bytes, one page */
#define CLASS_4096	44u	/* 2 slots, one page */

static int setup(void **state)
{
	(void)state;
	return fixture_begin(GCHEAP_LAYOUT_SPAN, 6 * GCHEAP_RESERVE_MIN, 0);
}

static const struct gcheap_counters *counters(void)
{
	return &th->heap.counters;
}

static u64 heap_bytes(void)
{
	return counters()->in_use_pages * GCHEAP_PAGE_BYTES;
}

/* @count full spans, given back; a cycle in which the first @live of them have a mark. */
static void unswept_spans(u32 count, u32 live, u32 flags, u64 goal_bytes)
{
	u32 *pages = calloc(count, sizeof(*pages));

	for (u32 i = 0; i < count; i++) {
		pages[i] = request_span(th, 0, CLASS_4096);
		assert_int_not_equal(pages[i], 0);
		slots_allocate(th, pages[i], 2);
		assert_int_equal(request_return(th, pages[i]), 0);
	}
	assert_int_equal(request_mark_start(th), 0);
	for (u32 i = 0; i < live; i++) {
		slot_mark(th, pages[i], 0);
		slot_mark(th, pages[i], 1);
	}
	assert_int_equal(request_sweep_start_flags(th, flags, goal_bytes, NULL), 0);
	free(pages);
}

static void test_without_a_goal_only_what_is_needed_is_swept(void **state)
{
	(void)state;
	unswept_spans(1000, 1000, 0, 0);
	for (u32 i = 0; i < 100; i++)
		request_large(th, 0, 100000);
	assert_int_equal(counters()->unswept_spans, 1000);
	assert_int_equal(th->heap.goal_bytes, 0);
}

static void test_large_objects_sweep_their_share(void **state)
{
	u64 left;

	(void)state;
	/* 1000 pages alive, and 1000 until the goal. */
	unswept_spans(1000, 1000, 0, 2000 * GCHEAP_PAGE_BYTES);
	assert_int_equal(th->heap.goal_bytes, 2000 * GCHEAP_PAGE_BYTES);
	assert_int_equal(counters()->unswept_spans, 1000);
	for (u32 i = 1; i <= 100; i++) {
		assert_int_not_equal(request_large(th, 0, 10 * GCHEAP_PAGE_BYTES), 0);
		/* The share, and a span at most for each rounding up. */
		left = 1000 - 10 * i;
		assert_in_range(counters()->unswept_spans, left > i ? left - i : 0, left);
	}
	assert_int_equal(counters()->unswept_spans, 0);
	core_check(th);
}

static void test_refills_sweep_their_share(void **state)
{
	(void)state;
	unswept_spans(1000, 1000, 0, 2000 * GCHEAP_PAGE_BYTES);
	/* Of another class, which has nothing to sweep of its own. */
	while (heap_bytes() < 2000 * GCHEAP_PAGE_BYTES) {
		u64 left = 2000 - counters()->in_use_pages;

		assert_in_range(counters()->unswept_spans, 0, left);
		assert_int_not_equal(request_span(th, 0, CLASS_64), 0);
	}
	assert_int_equal(counters()->unswept_spans, 0);
	core_check(th);
}

static void test_returns_alone_sweep_nothing(void **state)
{
	u32 pages[100];

	(void)state;
	for (u32 i = 0; i < 100; i++)
		pages[i] = request_span(th, 0, CLASS_64);
	for (u32 i = 0; i < 100; i++) {
		slot_allocate(th, pages[i], 0);
		assert_int_equal(request_return(th, pages[i]), 0);
	}
	assert_int_equal(request_mark_start(th), 0);
	for (u32 i = 0; i < 100; i++)
		slot_mark(th, pages[i], 0);
	assert_int_equal(request_sweep_start_flags(th, 0, 1, NULL), 0);
	assert_int_equal(request_refill(th, 0, 0, 0, NULL, 0, NULL, NULL), 0);
	assert_int_equal(counters()->unswept_spans, 100);
}

static void test_a_goal_that_is_reached_already_sweeps_all_at_once(void **state)
{
	(void)state;
	unswept_spans(1000, 1000, 0, 1);
	assert_int_not_equal(request_large(th, 0, 1), 0);
	assert_int_equal(counters()->unswept_spans, 0);
	core_check(th);
}

static void test_a_goal_beyond_all_bounds_overflows_nothing(void **state)
{
	static const u64 goals[] = {
		U64_MAX, U64_MAX - 1, 1ull << 63, (1ull << 63) + 1, GCHEAP_RESERVE_MAX,
		GCHEAP_RESERVE_MAX + 1, U64_MAX >> 4,
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(goals); i++) {
		unswept_spans(200, 200, 0, goals[i]);
		assert_int_equal(counters()->unswept_spans, 200);
		/* One span for each request, because it is rounded up. */
		assert_int_not_equal(request_large(th, 0, 1), 0);
		assert_int_equal(counters()->unswept_spans, 199);
		assert_int_not_equal(request_large(th, 0, 1 << 20), 0);
		assert_int_equal(counters()->unswept_spans, 198);
		core_check(th);
	}
}

static void test_slots_of_old_spans_sweep_too(void **state)
{
	u32 sparse[600];

	(void)state;
	/* Half of each is free: the heap does not grow while these slots are taken. */
	for (u32 i = 0; i < 600; i++) {
		sparse[i] = request_span(th, 0, CLASS_64);
		slots_allocate(th, sparse[i], 64);
	}
	for (u32 i = 0; i < 600; i++)
		assert_int_equal(request_return(th, sparse[i]), 0);
	assert_int_equal(request_mark_start(th), 0);
	for (u32 i = 0; i < 600; i++) {
		for (u32 slot = 0; slot < 10; slot++)
			slot_mark(th, sparse[i], slot);
	}
	assert_int_equal(request_sweep_start_flags(th, 0, heap_bytes() + (1 << 20), NULL), 0);
	for (u32 i = 0; i < 300; i++)
		assert_int_not_equal(request_span(th, 0, CLASS_64), 0);
	/* 300 times 7.5 KiB, or one page: twice what was left to the goal. */
	assert_int_equal(counters()->unswept_spans, 0);
	core_check(th);
}

static void test_a_lazy_heap_is_swept_when_it_reaches_the_goal(void **state)
{
	u64 allocated = 0;

	(void)state;
	/* As large now as at the goal, but half of it is dead. */
	unswept_spans(2000, 1000, GCHEAP_SWEEP_START_LAZY, 2000 * GCHEAP_PAGE_BYTES);
	assert_in_range(th->heap.reclaim.dead_pages, 990, 1010);
	while (allocated < 1000) {
		u64 before = counters()->unswept_spans;

		assert_int_not_equal(request_large(th, 0, 10 * GCHEAP_PAGE_BYTES), 0);
		allocated += 10;
		/* Not all at the first request. */
		assert_in_range(before - counters()->unswept_spans, 0, 100);
		assert_in_range(counters()->in_use_pages, 1000, 2000);
	}
	assert_int_equal(counters()->unswept_spans, 0);
	assert_true(reclaim_is_done(&th->heap));
	core_check(th);
}

static void test_dead_large_objects_are_found_before_the_goal(void **state)
{
	u32 pages[100];

	(void)state;
	for (u32 i = 0; i < 100; i++)
		pages[i] = request_large(th, 0, 10 * GCHEAP_PAGE_BYTES);
	assert_int_equal(request_mark_start(th), 0);
	for (u32 i = 0; i < 100; i += 2)
		slot_mark(th, pages[i], 0);
	assert_int_equal(request_sweep_start_flags(th, GCHEAP_SWEEP_START_LAZY,
						   1000 * GCHEAP_PAGE_BYTES, NULL), 0);
	for (u32 i = 0; i < 50; i++)
		assert_int_not_equal(request_large(th, 0, 10 * GCHEAP_PAGE_BYTES), 0);
	assert_true(reclaim_is_done(&th->heap));
	assert_int_equal(counters()->in_use_pages, 1000);
	core_check(th);
}

static void test_chunks_do_not_count(void **state)
{
	(void)state;
	for (u32 i = 0; i < 10; i++)
		assert_int_not_equal(request_chunk(th), 0);
	unswept_spans(1000, 1000, 0, 2000 * GCHEAP_PAGE_BYTES);
	assert_int_not_equal(request_large(th, 0, 100 * GCHEAP_PAGE_BYTES), 0);
	assert_in_range(counters()->unswept_spans, 899, 900);
	assert_int_not_equal(request_chunk(th), 0);
	assert_in_range(counters()->unswept_spans, 899, 900);
}

static void test_a_fatal_signal_does_not_fail_the_request(void **state)
{
	(void)state;
	unswept_spans(1000, 1000, 0, 1);
	port_test_interrupt(1);
	assert_int_not_equal(request_large(th, 0, 1), 0);
	port_test_reset();
	assert_in_range(counters()->unswept_spans, 1, 999);
	core_check(th);
	assert_int_not_equal(request_large(th, 0, 1), 0);
	assert_int_equal(counters()->unswept_spans, 0);
}

static void test_a_failed_request_sweeps_for_nothing(void **state)
{
	struct core_state saved;

	(void)state;
	unswept_spans(100, 100, 0, 1);
	core_state_save(th, &saved);
	assert_int_equal(request_large(th, 0, GCHEAP_RESERVE_MIN * 6), 0);
	core_state_check(th, &saved);
}

/* Whatever is asked for, and in which order, nothing is unswept at the goal. */
static void test_goals_at_random(void **state)
{
	(void)state;
	random_seed();
	for (u32 cycle = 0; cycle < 40; cycle++) {
		u32 count = 1 + (u32)random_below(800);
		u32 live = (u32)random_below(count + 1);
		u32 flags = random_one_in(2) ? GCHEAP_SWEEP_START_LAZY : 0;
		u64 goal = heap_bytes() + random_length(16 << 20);

		unswept_spans(count, live, flags, goal);
		for (;;) {
			u64 dead = th->heap.reclaim.dead_pages * GCHEAP_PAGE_BYTES;

			if (random_one_in(2))
				assert_int_not_equal(request_large(th, 0, random_length(1 << 18)),
						     0);
			else
				assert_int_not_equal(request_span(th, 0, CLASS_64), 0);
			if (heap_bytes() >= goal + dead)
				break;
		}
		if (!th->heap.reclaim.dead_pages) {
			assert_int_equal(counters()->unswept_spans, 0);
			assert_true(reclaim_is_done(&th->heap));
		}
		core_check(th);
		for (u32 page = 1; page < th->heap.heap_pages; page++) {
			if ((heap_span(&th->heap, page)->state & GCHEAP_SPAN_STATE_MASK) ==
			    GCHEAP_SPAN_CACHED)
				assert_int_equal(request_return(th, page), 0);
		}
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, fixture_end)
	const struct CMUnitTest tests[] = {
		T(test_without_a_goal_only_what_is_needed_is_swept),
		T(test_large_objects_sweep_their_share),
		T(test_refills_sweep_their_share),
		T(test_returns_alone_sweep_nothing),
		T(test_a_goal_that_is_reached_already_sweeps_all_at_once),
		T(test_a_goal_beyond_all_bounds_overflows_nothing),
		T(test_slots_of_old_spans_sweep_too),
		T(test_a_lazy_heap_is_swept_when_it_reaches_the_goal),
		T(test_dead_large_objects_are_found_before_the_goal),
		T(test_chunks_do_not_count),
		T(test_a_fatal_signal_does_not_fail_the_request),
		T(test_a_failed_request_sweeps_for_nothing),
		T(test_goals_at_random),
	};

	return cmocka_run_group_tests_name("proportional sweep", tests, NULL, NULL);
}
