// SPDX-License-Identifier: MIT
/*
 * The quarantine of freed spans: GCHEAP_SETUP_FAULT_FREED.
 */
#include "core_check.h"
#include "core_test.h"
#include "fixture.h"
#include "request.h"

#define CLASS_64	6u	/* one page */
#define CLASS_27264	65u	/* ten pages */

static int setup(void **state)
{
	(void)state;
	return fixture_begin(GCHEAP_LAYOUT_SPAN, 2 * GCHEAP_RESERVE_MIN,
			     GCHEAP_SETUP_FAULT_FREED);
}

static u32 state_at(u32 page)
{
	return heap_span(&th->heap, page)->state & GCHEAP_SPAN_STATE_MASK;
}

static void assert_quarantined(u32 page, u32 npages)
{
	assert_int_equal(state_at(page), GCHEAP_SPAN_QUARANTINE);
	for (u32 i = 0; i < npages; i++)
		assert_false(test_heap_backed(th, page + i, 1));
}

/* A full span, given back. */
static u32 kept_span(u32 size_class)
{
	u32 page = request_span(th, 0, size_class);

	assert_int_not_equal(page, 0);
	slots_allocate(th, page, heap_span(&th->heap, page)->slots);
	assert_int_equal(request_return(th, page), 0);
	return page;
}

/* A cycle that marks nothing but @page, if it is not 0. */
static void cycle(u32 page)
{
	assert_int_equal(request_mark_start(th), 0);
	if (page)
		page_mark(th, page);
	assert_int_equal(request_sweep_start(th, NULL), 0);
	core_check_bits(th);
}

static void test_spans_freed_by_page_marks_fault_for_a_cycle(void **state)
{
	u32 small = kept_span(CLASS_27264);
	u32 large = request_large(th, 0, 100000);

	(void)state;
	cycle(0);
	assert_quarantined(small, 10);
	assert_quarantined(large, 13);
	/* Their descriptors say what they were. */
	assert_int_equal(heap_span(&th->heap, small)->span_class, CLASS_27264 * 2 + 1);
	assert_int_equal(heap_span(&th->heap, large)->object_bytes, 100000);
	assert_int_equal(th->heap.counters.quarantined_pages, 23);
	assert_int_equal(th->heap.counters.in_use_pages, 0);
	assert_int_equal(th->heap.counters.freed_spans, 2);
	/* New spans are elsewhere. */
	assert_int_not_equal(request_large(th, 0, 100000), large);
	assert_int_not_equal(request_span(th, 0, CLASS_27264), small);
	core_check(th);
}

static void test_a_whole_cycle_ends_the_quarantine(void **state)
{
	u32 page = kept_span(CLASS_64);

	(void)state;
	cycle(0);
	assert_quarantined(page, 1);
	assert_int_equal(request_mark_start(th), 0);
	assert_quarantined(page, 1);
	assert_int_equal(request_sweep_start(th, NULL), 0);
	assert_int_equal(state_at(page), GCHEAP_SPAN_FREE);
	assert_int_equal(th->heap.counters.quarantined_pages, 0);
	core_check_bits(th);
	assert_int_equal(request_span(th, 0, CLASS_64), page);
	assert_true(test_heap_backed(th, page, 1));
	core_check(th);
}

static void test_what_is_freed_between_cycles_waits_for_the_next(void **state)
{
	u32 large = request_large(th, 0, 40000);
	u32 empty = request_span(th, 0, CLASS_64);

	(void)state;
	assert_int_equal(request_free_large(th, large), 0);
	assert_int_equal(request_return(th, empty), 0);
	assert_quarantined(large, 5);
	assert_quarantined(empty, 1);
	core_check_bits(th);
	cycle(0);
	assert_int_equal(state_at(large), GCHEAP_SPAN_FREE);
	assert_int_equal(state_at(empty), GCHEAP_SPAN_FREE);
}

static void test_what_is_freed_while_a_cycle_marks_outlives_it(void **state)
{
	u32 empty = request_span(th, 0, CLASS_64);

	(void)state;
	assert_int_equal(request_mark_start(th), 0);
	assert_int_equal(request_return(th, empty), 0);
	assert_int_equal(request_sweep_start(th, NULL), 0);
	assert_quarantined(empty, 1);
	core_check(th);
	cycle(0);
	assert_int_equal(state_at(empty), GCHEAP_SPAN_FREE);
}

static void test_spans_swept_one_by_one_fault_too(void **state)
{
	u32 page = kept_span(CLASS_64);

	(void)state;
	assert_int_equal(request_mark_start(th), 0);
	/* The span has a page mark, and no marked slot. */
	page_mark(th, page);
	assert_int_equal(request_sweep_start(th, NULL), 0);
	assert_int_equal(state_at(page), GCHEAP_SPAN_CENTRAL);
	assert_int_equal(request_sweep(th, U64_MAX, NULL, NULL), 0);
	assert_quarantined(page, 1);
	core_check(th);
}

static void test_a_page_mark_keeps_a_span_in_quarantine(void **state)
{
	u32 page = kept_span(CLASS_64);
	u32 other = kept_span(CLASS_64);

	(void)state;
	cycle(0);
	for (u32 i = 0; i < 3; i++) {
		cycle(page);
		assert_quarantined(page, 1);
		assert_int_equal(state_at(other), GCHEAP_SPAN_FREE);
	}
	/* The mark of the last cycle does not count in this one. */
	cycle(0);
	assert_int_equal(state_at(page), GCHEAP_SPAN_FREE);
}

static void test_a_kept_span_goes_whatever_the_generation_has_come_to(void **state)
{
	u32 page = kept_span(CLASS_64);

	(void)state;
	cycle(0);
	cycle(page);
	/* The descriptor has 16 bits of it. */
	th->heap.generation += 0xfffa;
	cycle(page);
	assert_quarantined(page, 1);
	cycle(0);
	assert_int_equal(th->heap.generation, 0x10002);
	assert_int_equal(state_at(page), GCHEAP_SPAN_FREE);
}

static void test_spans_that_follow_each_other_lose_their_memory_at_once(void **state)
{
	u32 pages[64];

	(void)state;
	for (u32 i = 0; i < 64; i++)
		pages[i] = kept_span(CLASS_64);
	for (u32 i = 1; i < 64; i++)
		assert_int_equal(pages[i], pages[0] + i);
	assert_int_equal(request_mark_start(th), 0);
	slot_mark(th, pages[20], 0);
	assert_int_equal(request_sweep_start(th, NULL), 0);
	assert_int_equal(th->depopulates, 2);
	assert_int_equal(th->heap.counters.quarantined_pages, 63);
	core_check(th);
}

static void test_a_heap_without_the_flag_has_no_quarantine(void **state)
{
	u32 page;

	(void)state;
	th->heap.flags = 0;
	page = kept_span(CLASS_64);
	cycle(0);
	assert_int_equal(state_at(page), GCHEAP_SPAN_FREE);
	assert_int_equal(th->depopulates, 0);
	assert_true(test_heap_backed(th, page, 1));
}

static void test_err_quarantined_spans_are_refused_everywhere(void **state)
{
	u32 large = request_large(th, 0, GCHEAP_CHUNK_BYTES);
	u32 small = request_span(th, 0, CLASS_64);
	struct core_state saved;

	(void)state;
	assert_int_equal(request_free_large(th, large), 0);
	assert_int_equal(request_return(th, small), 0);
	core_state_save(th, &saved);
	assert_int_equal(request_free_large(th, large), -EINVAL);
	assert_int_equal(request_return(th, small), -EINVAL);
	assert_int_equal(request_chunk_free(th, large), -EINVAL);
	/* No chunk, though it is as long. */
	assert_int_equal(request_chunk_ready(th, large), -EINVAL);
	core_state_check(th, &saved);
}

static void test_a_reserve_full_of_freed_spans_is_free_after_a_cycle(void **state)
{
	u32 count = 0;
	u32 page;

	(void)state;
	while ((page = request_large(th, 0, GCHEAP_CHUNK_BYTES))) {
		assert_int_equal(request_free_large(th, page), 0);
		count++;
	}
	assert_in_range(count, 14, 15);
	assert_int_equal(request_chunk(th), 0);
	cycle(0);
	assert_int_equal(request_large(th, 0, count * GCHEAP_CHUNK_BYTES), 1);
	core_check(th);
}

static void test_quarantine_at_random(void **state)
{
	u32 pages[32] = { 0 };

	(void)state;
	random_seed();
	for (u32 step = 0; step < 3000; step++) {
		u32 *page = &pages[random_below(32)];
		u32 quarantined = th->heap.quarantine.first;

		switch (random_below(8)) {
		case 0:
			*page = request_large(th, 0, random_length(1 << 20));
			break;
		case 1:
			request_free_large(th, *page);
			break;
		case 2:
		case 3:
			*page = request_span(th, 0, 2 + (u32)random_below(66));
			break;
		case 4:
		case 5:
			if (*page && state_at(*page) == GCHEAP_SPAN_CACHED) {
				if (random_one_in(2))
					slot_allocate(th, *page, 0);
				assert_int_equal(request_return(th, *page), 0);
			}
			break;
		case 6:
			if (quarantined)
				page_mark(th, quarantined);
			if (*page && *page < th->heap.heap_pages)
				page_mark(th, *page);
			break;
		default:
			if (request_mark_start(th))
				request_sweep_start(th, NULL);
			request_sweep(th, 1 + random_below(4), NULL, NULL);
		}
		if (step % 20 == 0)
			core_check(th);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, fixture_end)
	const struct CMUnitTest tests[] = {
		T(test_spans_freed_by_page_marks_fault_for_a_cycle),
		T(test_a_whole_cycle_ends_the_quarantine),
		T(test_what_is_freed_between_cycles_waits_for_the_next),
		T(test_what_is_freed_while_a_cycle_marks_outlives_it),
		T(test_spans_swept_one_by_one_fault_too),
		T(test_a_page_mark_keeps_a_span_in_quarantine),
		T(test_a_kept_span_goes_whatever_the_generation_has_come_to),
		T(test_spans_that_follow_each_other_lose_their_memory_at_once),
		T(test_a_heap_without_the_flag_has_no_quarantine),
		T(test_err_quarantined_spans_are_refused_everywhere),
		T(test_a_reserve_full_of_freed_spans_is_free_after_a_cycle),
		T(test_quarantine_at_random),
	};

	return cmocka_run_group_tests_name("quarantine", tests, NULL, NULL);
}
