// SPDX-License-Identifier: MIT
/*
 * Lazy large objects: which get memory as they are touched, and lose it with their
 * end.
 */
#include "core_check.h"
#include "core_test.h"
#include "fixture.h"
#include "page_runs.h"
#include "request.h"

#define NPAGES	100u

static int setup(void **state)
{
	(void)state;
	return fixture_begin(GCHEAP_LAYOUT_SPAN, 4 * GCHEAP_RESERVE_MIN, 0);
}

static int setup_fault_freed(void **state)
{
	(void)state;
	return fixture_begin(GCHEAP_LAYOUT_SPAN, 4 * GCHEAP_RESERVE_MIN,
			     GCHEAP_SETUP_FAULT_FREED);
}

/* ALLOC_LARGE; the object's page, or 0 for -ENOMEM. */
static u32 lazy_large(u32 npages, u32 *out_flags)
{
	struct gcheap_alloc_large alloc = {
		.size = sizeof(alloc),
		.flags = GCHEAP_ALLOC_LAZY,
		.count = (u64)npages * GCHEAP_PAGE_BYTES,
	};
	int error = heap_alloc_large(&th->heap, &alloc);

	if (error) {
		assert_int_equal(error, -ENOMEM);
		return 0;
	}
	if (out_flags)
		*out_flags = alloc.out_flags;
	assert_int_equal(alloc.out_npages, npages);
	return alloc.out_page;
}

static void assert_lazy(u32 page, u32 npages)
{
	for (u32 i = page; i < page + npages; i++)
		assert_true(test_heap_is_lazy(th, i));
	assert_true(heap_span(&th->heap, page)->state & GCHEAP_SPAN_LAZY);
}

static void test_a_lazy_object_has_no_memory_until_it_is_touched(void **state)
{
	u32 page = lazy_large(NPAGES, NULL);

	(void)state;
	assert_int_not_equal(page, 0);
	assert_lazy(page, NPAGES);
	assert_int_equal(test_heap_count_backed(th, page, NPAGES), 0);
	assert_true(test_heap_touch(th, page + 7));
	assert_int_equal(test_heap_count_backed(th, page, NPAGES), 1);
	assert_false(test_heap_touch(th, page + NPAGES));
	core_check(th);
}

static void test_a_lazy_object_is_zero_where_memory_was_used_before(void **state)
{
	u32 flags = ~0u;
	u32 used = request_large(th, 0, NPAGES * GCHEAP_PAGE_BYTES);

	(void)state;
	assert_int_equal(request_free_large(th, used), 0);
	assert_int_equal(test_heap_count_backed(th, used, NPAGES), NPAGES);
	assert_int_equal(lazy_large(NPAGES, &flags), used);
	assert_int_equal(flags, 0);
	assert_int_equal(test_heap_count_backed(th, used, NPAGES), 0);
	core_check(th);
}

static void end_by_free_large(u32 page)
{
	assert_int_equal(request_free_large(th, page), 0);
}

static void end_by_sweep(u32 page)
{
	(void)page;
	assert_int_equal(request_mark_start(th), 0);
	assert_int_equal(request_sweep_start(th, NULL), 0);
}

static void end_by_reclaim(u32 page)
{
	u64 pages, left;

	(void)page;
	assert_int_equal(request_mark_start(th), 0);
	assert_int_equal(request_sweep_start_flags(th, GCHEAP_SWEEP_START_LAZY, 0, NULL), 0);
	assert_int_equal(request_reclaim(th, 1000000, &pages, &left), 0);
}

static void check_end(void (*end)(u32 page))
{
	u32 page = lazy_large(NPAGES, NULL);
	u32 again;

	for (u32 i = 0; i < NPAGES; i += 3)
		assert_true(test_heap_touch(th, page + i));
	end(page);
	for (u32 i = page; i < page + NPAGES; i++)
		assert_false(test_heap_touch(th, i));
	core_check(th);
	/* And the pages are as good as any. */
	again = request_large(th, 0, NPAGES * GCHEAP_PAGE_BYTES);
	assert_int_not_equal(again, 0);
	assert_int_equal(test_heap_count_backed(th, again, NPAGES), NPAGES);
	core_check(th);
}

static void test_its_memory_goes_with_it_by_free_large(void **state)
{
	(void)state;
	check_end(end_by_free_large);
}

static void test_its_memory_goes_with_it_by_the_sweep(void **state)
{
	(void)state;
	check_end(end_by_sweep);
}

static void test_its_memory_goes_with_it_by_the_reclaimer(void **state)
{
	(void)state;
	check_end(end_by_reclaim);
}

static void test_objects_beside_it_keep_their_memory(void **state)
{
	u32 before = request_large(th, 0, NPAGES * GCHEAP_PAGE_BYTES);
	u32 page = lazy_large(NPAGES, NULL);
	u32 after = request_large(th, 0, NPAGES * GCHEAP_PAGE_BYTES);

	(void)state;
	assert_int_equal(page, before + NPAGES);
	assert_int_equal(after, page + NPAGES);
	assert_true(test_heap_touch(th, page));
	assert_int_equal(request_free_large(th, page), 0);
	assert_true(test_heap_backed(th, before, NPAGES));
	assert_true(test_heap_backed(th, after, NPAGES));
	assert_int_equal(test_heap_count_backed(th, page, NPAGES), 0);
	core_check(th);
}

static void test_an_object_larger_than_all_memory_can_be_lazy(void **state)
{
	u32 page;

	(void)state;
	port_test.page_limit = 10;
	assert_int_equal(request_large(th, 0, 10000 * GCHEAP_PAGE_BYTES), 0);
	page = lazy_large(10000, NULL);
	assert_int_not_equal(page, 0);
	assert_int_equal(request_free_large(th, page), 0);
	core_check(th);
}

static void test_err_every_failure_changes_nothing(void **state)
{
	struct core_state saved;
	u64 n;

	(void)state;
	for (n = 1; ; n++) {
		core_state_save(th, &saved);
		port_test_fail(n, true);
		if (lazy_large(2 * HEAP_GROW_PAGES, NULL))
			break;
		assert_int_not_equal(port_test.failures, 0);
		port_test_fail(0, false);
		core_check(th);
	}
	assert_in_range(n, 2, 1000);
	port_test_fail(0, false);
	core_check(th);
}

static void test_err_unknown_flags(void **state)
{
	struct gcheap_alloc_large alloc = {
		.size = sizeof(alloc),
		.flags = GCHEAP_ALLOC_LAZY | 2,
		.count = 40000,
	};

	(void)state;
	assert_int_equal(heap_alloc_large(&th->heap, &alloc), -EOPNOTSUPP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name)	cmocka_unit_test_setup_teardown(name, setup, fixture_end)
		TEST(test_a_lazy_object_has_no_memory_until_it_is_touched),
		TEST(test_a_lazy_object_is_zero_where_memory_was_used_before),
		TEST(test_its_memory_goes_with_it_by_free_large),
		TEST(test_its_memory_goes_with_it_by_the_sweep),
		TEST(test_its_memory_goes_with_it_by_the_reclaimer),
		cmocka_unit_test_setup_teardown(test_its_memory_goes_with_it_by_the_sweep,
						setup_fault_freed, fixture_end),
		TEST(test_objects_beside_it_keep_their_memory),
		TEST(test_an_object_larger_than_all_memory_can_be_lazy),
		TEST(test_err_every_failure_changes_nothing),
		TEST(test_err_unknown_flags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
