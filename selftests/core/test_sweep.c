// SPDX-License-Identifier: MIT
/*
 * The sweep: what a cycle frees, what it keeps, and when.
 */
#include "core_check.h"
#include "core_test.h"
#include "fixture.h"
#include "request.h"

#define CLASS_64	6u	/* 128 slots of 64 bytes, one page */
#define CLASS_4096	44u	/* 2 slots */
#define CLASS_27264	65u	/* 3 slots, ten pages */

static int setup(void **state)
{
	(void)state;
	return fixture_begin(GCHEAP_LAYOUT_SPAN, 6 * GCHEAP_RESERVE_MIN, 0);
}

static struct gcheap_span *span_at(u32 page)
{
	return heap_span(&th->heap, page);
}

static u32 state_at(u32 page)
{
	return span_at(page)->state & GCHEAP_SPAN_STATE_MASK;
}

/* @count spans with all slots in use, given back. */
static void kept_spans(u32 size_class, u32 *pages, u32 count)
{
	for (u32 i = 0; i < count; i++) {
		pages[i] = request_span(th, 0, size_class);
		assert_int_not_equal(pages[i], 0);
		slots_allocate(th, pages[i], span_at(pages[i])->slots);
		assert_int_equal(request_return(th, pages[i]), 0);
	}
}

/* ---- order of requests --------------------------------------------------------- */

static void test_err_second_mark_start(void **state)
{
	struct core_state saved;

	(void)state;
	assert_int_equal(request_mark_start(th), 0);
	assert_int_equal(th->heap.phase, GCHEAP_PHASE_MARK);
	core_state_save(th, &saved);
	assert_int_equal(request_mark_start(th), -EBUSY);
	core_state_check(th, &saved);
}

static void test_err_sweep_start_without_mark_start(void **state)
{
	struct core_state saved;

	(void)state;
	core_state_save(th, &saved);
	assert_int_equal(request_sweep_start(th, NULL), -EINVAL);
	core_state_check(th, &saved);
	assert_int_equal(request_mark_start(th), 0);
	assert_int_equal(request_sweep_start(th, NULL), 0);
	assert_int_equal(request_sweep_start(th, NULL), -EINVAL);
}

static void test_err_sweep_start_with_cached_spans(void **state)
{
	u32 page = request_span(th, 0, CLASS_64);
	struct core_state saved;

	(void)state;
	assert_int_equal(request_mark_start(th), 0);
	core_state_save(th, &saved);
	assert_int_equal(request_sweep_start(th, NULL), -EBUSY);
	core_state_check(th, &saved);
	assert_int_equal(request_return(th, page), 0);
	assert_int_equal(request_sweep_start(th, NULL), 0);
}

static void test_err_sweep_of_no_spans(void **state)
{
	(void)state;
	assert_int_equal(request_sweep(th, 0, NULL, NULL), -EINVAL);
}

static void test_err_unknown_flags(void **state)
{
	struct gcheap_mark_start mark = { .flags = 1 };
	struct gcheap_sweep_start start = { .flags = GCHEAP_SWEEP_START_LAZY << 1 };
	struct gcheap_sweep sweep = { .flags = 1, .max_spans = 1 };

	(void)state;
	assert_int_equal(heap_mark_start(&th->heap, &mark), -EOPNOTSUPP);
	assert_int_equal(heap_sweep(&th->heap, &sweep), -EOPNOTSUPP);
	assert_int_equal(request_mark_start(th), 0);
	assert_int_equal(heap_sweep_start(&th->heap, &start), -EOPNOTSUPP);
	assert_int_equal(th->heap.phase, GCHEAP_PHASE_MARK);
}

static void test_an_empty_heap_goes_through_cycles(void **state)
{
	u64 freed, swept;

	(void)state;
	for (u32 i = 0; i < 5; i++) {
		assert_int_equal(th->heap.generation, 2 * i);
		assert_int_equal(th->heap.mark_table, i % 2);
		assert_int_equal(request_mark_start(th), 0);
		assert_int_equal(request_sweep_start(th, &freed), 0);
		assert_int_equal(freed, 0);
		assert_int_equal(request_sweep(th, U64_MAX, &swept, &freed), 0);
		assert_int_equal(swept, 0);
		core_check(th);
	}
}

/* ---- what is freed ------------------------------------------------------------- */

static void test_spans_without_a_page_mark_are_freed_at_once(void **state)
{
	u32 pages[500];
	u64 freed;

	(void)state;
	kept_spans(CLASS_64, pages, 500);
	assert_int_equal(request_mark_start(th), 0);
	for (u32 i = 0; i < 500; i += 3)
		slot_mark(th, pages[i], i % 128);
	assert_int_equal(request_sweep_start(th, &freed), 0);
	assert_int_equal(freed, 500 - 167);
	assert_int_equal(th->heap.counters.freed_unread_spans, freed);
	assert_int_equal(th->heap.counters.swept_spans, 0);
	assert_int_equal(th->heap.counters.spans, 167);
	assert_int_equal(th->heap.counters.unswept_spans, 167);
	for (u32 i = 0; i < 500; i++)
		assert_int_equal(state_at(pages[i]),
				 i % 3 ? GCHEAP_SPAN_FREE : GCHEAP_SPAN_CENTRAL);
	core_check_bits(th);
}

static void test_mark_bits_are_not_read_where_there_is_no_page_mark(void **state)
{
	u32 page;
	u64 freed;

	(void)state;
	kept_spans(CLASS_64, &page, 1);
	assert_int_equal(request_mark_start(th), 0);
	for (u32 granule = 0; granule < 512; granule++)
		granule_set(th, th->heap.mark_table, page, granule);
	assert_int_equal(request_sweep_start(th, &freed), 0);
	assert_int_equal(freed, 1);
	core_check(th);
	/* Nor do they make objects of the page's next span. */
	assert_int_equal(request_span(th, 0, CLASS_64), page);
	assert_int_equal(span_count(&th->heap, page, th->heap.mark_table ^ 1), 0);
}

static void test_mark_bits_become_alloc_bits(void **state)
{
	u32 pages[2];

	(void)state;
	kept_spans(CLASS_64, pages, 2);
	assert_int_equal(request_mark_start(th), 0);
	for (u32 slot = 0; slot < 128; slot += 5)
		slot_mark(th, pages[0], slot);
	slot_mark(th, pages[1], 127);
	assert_int_equal(request_sweep_start(th, NULL), 0);
	for (u32 slot = 0; slot < 128; slot++) {
		assert_int_equal(slot_is_allocated(th, pages[0], slot), slot % 5 == 0);
		assert_int_equal(slot_is_allocated(th, pages[1], slot), slot == 127);
	}
	assert_int_equal(request_sweep(th, U64_MAX, NULL, NULL), 0);
	assert_int_equal(span_at(pages[0])->allocated, 26);
	assert_int_equal(span_at(pages[1])->allocated, 1);
	core_check_bits(th);
}

static void test_old_marks_are_gone_at_the_next_cycle(void **state)
{
	u32 pages[2];
	u64 freed;

	(void)state;
	kept_spans(CLASS_64, pages, 2);
	for (u32 i = 0; i < 4; i++) {
		assert_int_equal(request_mark_start(th), 0);
		assert_int_equal(span_count(&th->heap, pages[0], th->heap.mark_table), 0);
		slot_mark(th, pages[0], i);
		assert_int_equal(request_sweep_start(th, &freed), 0);
		assert_int_equal(freed, i == 0);
		core_check_bits(th);
	}
	assert_true(slot_is_allocated(th, pages[0], 3));
	assert_false(slot_is_allocated(th, pages[0], 2));
}

static void test_a_span_made_while_the_heap_is_marked_has_no_marks(void **state)
{
	u32 page;
	u64 freed;

	(void)state;
	kept_spans(CLASS_27264, &page, 1);
	assert_int_equal(request_mark_start(th), 0);
	assert_int_equal(request_sweep_start(th, &freed), 0);
	assert_int_equal(freed, 1);
	assert_int_equal(request_mark_start(th), 0);
	/* A marker that writes where no span is. */
	for (u32 granule = 0; granule < 5120; granule++)
		granule_set(th, th->heap.mark_table, page, granule);
	assert_int_equal(request_span(th, 0, CLASS_27264), page);
	assert_int_equal(span_count(&th->heap, page, th->heap.mark_table), 0);
	assert_int_equal(request_return(th, page), 0);
	assert_int_equal(request_large(th, 0, 100000), page);
	assert_int_equal(span_count(&th->heap, page, th->heap.mark_table), 0);
}

static void test_a_large_object_that_is_freed_leaves_no_bits(void **state)
{
	struct gcheap_free_large request = { .size = sizeof(request) };

	(void)state;
	request.page = request_large(th, 0, 100000);
	assert_int_equal(request_mark_start(th), 0);
	slot_mark(th, request.page, 0);
	assert_int_equal(request_sweep_start(th, NULL), 0);
	assert_int_equal(heap_free_large(&th->heap, &request), 0);
	core_check_bits(th);
}

static void test_a_marked_large_object_stays_and_an_unmarked_one_goes(void **state)
{
	u32 stays = request_large(th, 0, 100 * 8192);
	u32 goes = request_large(th, 0, 20000 * 8192ull);
	u64 freed;

	(void)state;
	for (u32 i = 0; i < 3; i++) {
		assert_int_equal(request_mark_start(th), 0);
		slot_mark(th, stays, 0);
		assert_int_equal(request_sweep_start(th, &freed), 0);
		assert_int_equal(freed, i == 0);
		assert_int_equal(state_at(stays), GCHEAP_SPAN_LARGE);
		assert_int_equal(state_at(goes), GCHEAP_SPAN_FREE);
		assert_true(slot_is_allocated(th, stays, 0));
		assert_int_equal(th->heap.counters.unswept_spans, 0);
		core_check_bits(th);
	}
	assert_int_equal(request_mark_start(th), 0);
	assert_int_equal(request_sweep_start(th, &freed), 0);
	assert_int_equal(th->heap.counters.spans, 0);
	core_check_bits(th);
}

static void test_only_the_first_page_of_a_span_is_asked_for_its_mark(void **state)
{
	u32 pages[30];
	u64 freed;

	(void)state;
	kept_spans(CLASS_27264, pages, 30);
	assert_int_equal(request_mark_start(th), 0);
	for (u32 i = 0; i < 30; i++) {
		for (u32 at = 1; at < 10; at++)
			page_mark(th, pages[i] + at);
	}
	slot_mark(th, pages[29], 2);
	assert_int_equal(request_sweep_start(th, &freed), 0);
	assert_int_equal(freed, 29);
	assert_int_equal(state_at(pages[29]), GCHEAP_SPAN_CENTRAL);
	assert_true(slot_is_allocated(th, pages[29], 2));
	core_check(th);
}

static void test_every_arena_is_swept_by_its_own_page_marks(void **state)
{
	u32 large[6], small[6];
	u64 freed;

	(void)state;
	/* Nearly an arena each, so that what follows is in the next. */
	for (u32 i = 0; i < 6; i++) {
		large[i] = request_large(th, 0, (ARENA_PAGES - 20) * 8192);
		assert_int_not_equal(large[i], 0);
		kept_spans(CLASS_64, &small[i], 1);
	}
	assert_in_range(small[5], 5 * ARENA_PAGES, 6 * ARENA_PAGES - 1);
	for (u32 left = 6; left--;) {
		assert_int_equal(request_mark_start(th), 0);
		for (u32 i = 0; i < left; i++) {
			slot_mark(th, large[i], 0);
			slot_mark(th, small[i], i);
		}
		assert_int_equal(request_sweep_start(th, &freed), 0);
		assert_int_equal(freed, 2);
		assert_int_equal(state_at(large[left]), GCHEAP_SPAN_FREE);
		assert_int_equal(state_at(small[left]), GCHEAP_SPAN_FREE);
		assert_int_equal(th->heap.counters.spans, 2 * left);
		core_check_bits(th);
	}
}

/* ---- lazily --------------------------------------------------------------------- */

static void test_sweep_does_no_more_than_it_is_asked_for(void **state)
{
	u32 pages[100];
	u64 swept, freed;

	(void)state;
	kept_spans(CLASS_64, pages, 60);
	kept_spans(CLASS_4096, pages + 60, 40);
	assert_int_equal(request_mark_start(th), 0);
	for (u32 i = 0; i < 100; i++) {
		/* A quarter has only a page mark, and is found dead. */
		if (i % 4)
			slot_mark(th, pages[i], i % 2);
		else
			page_mark(th, pages[i]);
	}
	assert_int_equal(request_sweep_start(th, &freed), 0);
	assert_int_equal(freed, 0);
	for (u32 left = 100; left; left -= min_t(u32, left, 7)) {
		assert_int_equal(th->heap.counters.unswept_spans, left);
		assert_int_equal(request_sweep(th, 7, &swept, &freed), 0);
		assert_int_equal(swept, min_t(u32, left, 7));
		core_check_bits(th);
	}
	assert_int_equal(request_sweep(th, 7, &swept, &freed), 0);
	assert_int_equal(swept, 0);
	assert_int_equal(th->heap.counters.spans, 75);
	assert_int_equal(th->heap.counters.freed_spans, 25);
	assert_int_equal(th->heap.counters.freed_unread_spans, 0);
	assert_int_equal(th->heap.counters.swept_spans, 100);
}

static void test_mark_start_finishes_the_sweep(void **state)
{
	struct gcheap_mark_start start = { .size = sizeof(start) };
	u32 pages[50];

	(void)state;
	kept_spans(CLASS_64, pages, 50);
	assert_int_equal(request_mark_start(th), 0);
	for (u32 i = 0; i < 50; i++)
		slot_mark(th, pages[i], 3);
	assert_int_equal(request_sweep_start(th, NULL), 0);
	assert_int_equal(request_sweep(th, 20, NULL, NULL), 0);
	assert_int_equal(heap_mark_start(&th->heap, &start), 0);
	assert_int_equal(start.out_swept_spans, 30);
	assert_int_equal(th->heap.counters.unswept_spans, 0);
	core_check(th);
}

static void test_a_fatal_signal_ends_a_sweep_that_can_go_on(void **state)
{
	static u32 pages[1000];
	u64 swept, freed;
	u32 calls = 0;

	(void)state;
	kept_spans(CLASS_64, pages, 1000);
	assert_int_equal(request_mark_start(th), 0);
	for (u32 i = 0; i < 1000; i++)
		slot_mark(th, pages[i], 0);
	assert_int_equal(request_sweep_start(th, NULL), 0);
	port_test_interrupt(1);
	while (request_sweep(th, U64_MAX, &swept, &freed) == -EINTR) {
		assert_in_range(swept, 1, 999);
		assert_int_equal(freed, 0);
		core_check_bits(th);
		calls++;
	}
	assert_in_range(calls, 3, 1000);
	assert_int_equal(th->heap.counters.unswept_spans, 0);
	assert_int_equal(th->heap.counters.swept_spans, 1000);
}

static void test_a_sweep_that_is_done_was_not_interrupted(void **state)
{
	static u32 pages[256];
	u64 swept;

	(void)state;
	kept_spans(CLASS_64, pages, 256);
	assert_int_equal(request_mark_start(th), 0);
	for (u32 i = 0; i < 256; i++)
		slot_mark(th, pages[i], 0);
	assert_int_equal(request_sweep_start(th, NULL), 0);
	port_test_interrupt(1);
	assert_int_equal(request_sweep(th, 64, &swept, NULL), 0);
	assert_int_equal(swept, 64);
	assert_int_equal(request_sweep(th, U64_MAX, &swept, NULL), -EINTR);
	assert_int_equal(swept, 64);
	port_test_interrupt(2);
	assert_int_equal(request_sweep(th, U64_MAX, &swept, NULL), 0);
	assert_int_equal(swept, 128);
	assert_int_equal(th->heap.counters.unswept_spans, 0);
	core_check_bits(th);
}

static void test_a_fatal_signal_ends_mark_start_which_can_be_sent_again(void **state)
{
	static u32 pages[1000];
	u32 calls = 0;

	(void)state;
	kept_spans(CLASS_64, pages, 1000);
	assert_int_equal(request_mark_start(th), 0);
	for (u32 i = 0; i < 1000; i++)
		slot_mark(th, pages[i], 0);
	assert_int_equal(request_sweep_start(th, NULL), 0);
	port_test_interrupt(1);
	while (request_mark_start(th) == -EINTR) {
		assert_int_equal(th->heap.phase, GCHEAP_PHASE_IDLE);
		core_check_bits(th);
		calls++;
	}
	assert_in_range(calls, 3, 1000);
	assert_int_equal(th->heap.phase, GCHEAP_PHASE_MARK);
	core_check(th);
}

static void test_what_a_fatal_signal_left_unfreed_is_freed_later(void **state)
{
	static u32 pages[3000];

	(void)state;
	for (u32 n = 1; n <= 3; n++) {
		u64 freed_at_start, freed;
		u32 large;

		kept_spans(CLASS_64, pages, 3000);
		large = request_large(th, 0, 8192);
		assert_int_equal(request_mark_start(th), 0);
		slot_mark(th, pages[0], 7);
		port_test_interrupt(n);
		assert_int_equal(request_sweep_start(th, &freed_at_start), 0);
		port_test_interrupt(0);
		/* It asks every 1024 pages. Page 0 is no span, and one is marked. */
		assert_int_equal(freed_at_start, n == 1 ? 0 : (n - 1) * 1024 - 2);
		core_check(th);

		assert_int_equal(request_sweep(th, U64_MAX, NULL, &freed), 0);
		assert_int_equal(freed, 3000 - freed_at_start);
		assert_int_equal(state_at(pages[0]), GCHEAP_SPAN_CENTRAL);
		assert_int_equal(state_at(large), GCHEAP_SPAN_FREE);
		assert_int_equal(request_mark_start(th), 0);
		assert_int_equal(request_sweep_start(th, &freed), 0);
		assert_int_equal(freed, 1);
		assert_int_equal(th->heap.counters.spans, 0);
		core_check_bits(th);
	}
}

/* ---- between MARK_START and SWEEP_START ------------------------------------------ */

static void test_objects_allocated_while_marking_live_if_they_are_marked(void **state)
{
	u32 page, large;
	u64 freed;

	(void)state;
	assert_int_equal(request_mark_start(th), 0);
	page = request_span(th, 0, CLASS_64);
	slot_allocate(th, page, 5);
	slot_mark(th, page, 5);
	assert_int_equal(request_return(th, page), 0);
	large = request_large(th, 0, 100000);
	slot_mark(th, large, 0);
	core_check(th);
	assert_int_equal(request_sweep_start(th, &freed), 0);
	assert_int_equal(freed, 0);
	assert_true(slot_is_allocated(th, page, 5));
	assert_true(slot_is_allocated(th, large, 0));
	core_check_bits(th);
}

static void test_the_heap_may_grow_while_marking(void **state)
{
	static u32 pages[600];
	u64 freed;

	(void)state;
	kept_spans(CLASS_64, pages, 100);
	assert_int_equal(request_mark_start(th), 0);
	kept_spans(CLASS_64, pages + 100, 500);
	for (u32 i = 0; i < 600; i += 2)
		slot_mark(th, pages[i], 1);
	assert_int_equal(request_sweep_start(th, &freed), 0);
	assert_int_equal(freed, 300);
	assert_int_equal(request_sweep(th, U64_MAX, NULL, NULL), 0);
	for (u32 i = 0; i < 600; i += 2)
		assert_int_equal(span_at(pages[i])->allocated, 1);
	core_check_bits(th);
}

/* ---- a process that writes what it likes ------------------------------------------ */

static void test_a_process_can_hurt_only_its_own_objects(void **state)
{
	const u64 marks_bytes = GCHEAP_MARKS_BYTES(th->heap.reserve_bytes);

	(void)state;
	random_seed();
	for (u32 round = 0; round < 60; round++) {
		u32 pages[64];

		for (u32 i = 0; i < 64; i++) {
			u32 size_class = (u32)random_below(SIZE_CLASSES - SIZE_CLASS_MIN);

			pages[i] = request_span(th, 0, SIZE_CLASS_MIN + size_class);
			assert_int_not_equal(pages[i], 0);
		}
		request_large(th, 0, 1 + random_below(1 << 20));
		/* Any bit of MARKS, at any time. */
		for (u32 i = 0; i < 4; i++) {
			for (u64 at = 0; at < marks_bytes; at += 4096) {
				u64 *words = test_heap_table(th, GCHEAP_REGION_MARKS, at);

				for (u32 w = 0; words && w < 512; w++)
					words[w] = random_next() & random_next();
			}
			if (i == 0)
				assert_int_equal(request_refill(th, 0, 0, 0, pages, 64, NULL, NULL),
						 0);
			else if (i == 1)
				assert_int_equal(request_mark_start(th), 0);
			else if (i == 2)
				assert_int_equal(request_sweep_start(th, NULL), 0);
			else
				assert_int_equal(request_sweep(th, random_length(100), NULL, NULL),
						 0);
			core_check(th);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name)	cmocka_unit_test_setup_teardown(name, setup, fixture_end)
		TEST(test_err_second_mark_start),
		TEST(test_err_sweep_start_without_mark_start),
		TEST(test_err_sweep_start_with_cached_spans),
		TEST(test_err_sweep_of_no_spans),
		TEST(test_err_unknown_flags),
		TEST(test_an_empty_heap_goes_through_cycles),
		TEST(test_spans_without_a_page_mark_are_freed_at_once),
		TEST(test_mark_bits_are_not_read_where_there_is_no_page_mark),
		TEST(test_mark_bits_become_alloc_bits),
		TEST(test_a_span_made_while_the_heap_is_marked_has_no_marks),
		TEST(test_a_large_object_that_is_freed_leaves_no_bits),
		TEST(test_old_marks_are_gone_at_the_next_cycle),
		TEST(test_a_marked_large_object_stays_and_an_unmarked_one_goes),
		TEST(test_only_the_first_page_of_a_span_is_asked_for_its_mark),
		TEST(test_every_arena_is_swept_by_its_own_page_marks),
		TEST(test_sweep_does_no_more_than_it_is_asked_for),
		TEST(test_mark_start_finishes_the_sweep),
		TEST(test_a_fatal_signal_ends_a_sweep_that_can_go_on),
		TEST(test_a_sweep_that_is_done_was_not_interrupted),
		TEST(test_a_fatal_signal_ends_mark_start_which_can_be_sent_again),
		TEST(test_what_a_fatal_signal_left_unfreed_is_freed_later),
		TEST(test_objects_allocated_while_marking_live_if_they_are_marked),
		TEST(test_the_heap_may_grow_while_marking),
		TEST(test_a_process_can_hurt_only_its_own_objects),
	};

	return cmocka_run_group_tests_name("sweep", tests, NULL, NULL);
}
