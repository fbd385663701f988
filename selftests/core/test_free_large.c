// SPDX-License-Identifier: MIT
/*
 * FREE_LARGE: a large object that its owner frees.
 */
#include "core_check.h"
#include "core_test.h"
#include "fixture.h"
#include "request.h"

#define CLASS_64	6u

static int setup(void **state)
{
	(void)state;
	return fixture_begin(GCHEAP_LAYOUT_SPAN, 2 * GCHEAP_RESERVE_MIN, 0);
}

#define assert_err(error, request) do { \
	struct core_state saved_; \
	core_state_save(th, &saved_); \
	assert_int_equal(request, error); \
	core_state_check(th, &saved_); \
} while (0)

static void test_the_object_s_pages_are_free_and_its_bits_clear(void **state)
{
	u32 page = request_large(th, 0, 100000);

	(void)state;
	assert_true(slot_is_allocated(th, page, 0));
	assert_int_equal(request_free_large(th, page), 0);
	assert_int_equal(th->heap.counters.spans, 0);
	assert_int_equal(th->heap.counters.freed_spans, 1);
	assert_int_equal(th->heap.counters.in_use_pages, 0);
	assert_int_equal(th->heap.large_spans, 0);
	core_check_bits(th);
	assert_int_equal(request_large(th, 0, 100000), page);
}

static void test_a_marked_object_can_be_freed_after_the_cycle(void **state)
{
	u32 page = request_large(th, 0, 100000);

	(void)state;
	for (u32 i = 0; i < 3; i++) {
		assert_int_equal(request_mark_start(th), 0);
		slot_mark(th, page, 0);
		assert_err(-EBUSY, request_free_large(th, page));
		assert_int_equal(request_sweep_start(th, NULL), 0);
		assert_int_equal(request_free_large(th, page), 0);
		core_check_bits(th);
		/* The page mark is still there, and says nothing of the next one. */
		assert_int_equal(request_large(th, 0, 100000), page);
	}
}

static void test_unswept_spans_are_not_counted_down(void **state)
{
	u32 small = request_span(th, 0, CLASS_64);
	u32 dead = request_large(th, 0, 100000);
	u32 live = request_large(th, 0, 100000);
	u64 pages;

	(void)state;
	slot_allocate(th, small, 0);
	assert_int_equal(request_return(th, small), 0);
	assert_int_equal(request_mark_start(th), 0);
	slot_mark(th, live, 0);
	assert_int_equal(request_sweep_start_flags(th, GCHEAP_SWEEP_START_LAZY, 0, NULL), 0);
	assert_int_equal(request_free_large(th, dead), 0);
	assert_int_equal(request_free_large(th, live), 0);
	assert_int_equal(th->heap.counters.unswept_spans, 1);
	core_check_bits(th);
	assert_int_equal(request_reclaim(th, U64_MAX, &pages, NULL), 0);
	assert_int_equal(pages, 1);
	core_check_bits(th);
}

static void test_err_what_is_no_large_object(void **state)
{
	struct gcheap_free_large flags = { .flags = 1 };
	struct gcheap_free_large reserved = { .reserved = 1 };
	u32 small = request_span(th, 0, CLASS_64);
	u32 page = request_large(th, 0, 100000);

	(void)state;
	flags.page = page;
	reserved.page = page;
	assert_err(-EOPNOTSUPP, heap_free_large(&th->heap, &flags));
	assert_err(-EINVAL, heap_free_large(&th->heap, &reserved));
	assert_err(-EINVAL, request_free_large(th, 0));
	assert_err(-EINVAL, request_free_large(th, small));
	assert_err(-EINVAL, request_free_large(th, page + 1));
	assert_err(-EINVAL, request_free_large(th, th->heap.heap_pages - 1));
	assert_err(-EINVAL, request_free_large(th, th->heap.heap_pages));
	assert_err(-EINVAL, request_free_large(th, U32_MAX));
	assert_int_equal(request_free_large(th, page), 0);
	assert_err(-EINVAL, request_free_large(th, page));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, fixture_end)
	const struct CMUnitTest tests[] = {
		T(test_the_object_s_pages_are_free_and_its_bits_clear),
		T(test_a_marked_object_can_be_freed_after_the_cycle),
		T(test_unswept_spans_are_not_counted_down),
		T(test_err_what_is_no_large_object),
	};

	return cmocka_run_group_tests_name("free large", tests, NULL, NULL);
}
