// SPDX-License-Identifier: MIT
/*
 * Memory that has failed: it is not handed out.
 */
#include "core_check.h"
#include "core_test.h"
#include "fixture.h"
#include "request.h"

#define CLASS_512	26u

static int setup(void **state)
{
	(void)state;
	return fixture_begin(GCHEAP_LAYOUT_SPAN, 2 * GCHEAP_RESERVE_MIN, 0);
}

/* The memory of a heap page fails. With @stays, other memory comes with it again. */
static void page_break(u32 page, bool stays)
{
	port_test.broken_page = page;
	port_test.broken_stays = stays;
	th->heap.has_broken = true;
}

static void test_memory_that_can_be_replaced_is(void **state)
{
	u32 page = request_large(th, 0, 100000);
	u64 depopulates = th->depopulates;

	(void)state;
	assert_int_equal(request_free_large(th, page), 0);
	page_break(page + 2, false);
	assert_int_equal(request_large(th, 0, 100000), page);
	assert_true(th->depopulates > depopulates);
	assert_true(test_heap_backed(th, page, 13));
	assert_int_equal(th->heap.counters.quarantined_pages, 0);
	core_check_bits(th);
}

static void test_a_page_whose_memory_cannot_is_not_used_again(void **state)
{
	u32 page = request_large(th, 0, 100000);
	u32 again, small;

	(void)state;
	assert_int_equal(request_free_large(th, page), 0);
	page_break(page + 2, true);
	again = request_large(th, 0, 100000);
	assert_true(again > page + 2);
	assert_int_equal(th->heap.counters.quarantined_pages, 1);
	/* What is beside it is. */
	small = request_large(th, 0, 2 * GCHEAP_PAGE_BYTES);
	assert_int_equal(small, page);
	for (u32 i = 0; i < 3; i++) {
		assert_int_equal(request_mark_start(th), 0);
		assert_int_equal(request_sweep_start(th, NULL), 0);
		assert_true(request_large(th, 0, 100000) > page + 2);
		assert_int_equal(th->heap.counters.quarantined_pages, 1);
		core_check_bits(th);
	}
}

static void test_lazy_objects_and_chunks_pass_it_over(void **state)
{
	struct gcheap_alloc_large lazy = { .flags = GCHEAP_ALLOC_LAZY, .count = 100000 };
	u32 page = request_large(th, 0, 100000);
	u32 chunk;

	(void)state;
	assert_int_equal(request_free_large(th, page), 0);
	page_break(page, true);
	assert_int_equal(heap_alloc_large(&th->heap, &lazy), 0);
	assert_true(lazy.out_page > page);
	port_test.broken_page = CHUNK_PAGES + 77;
	chunk = request_chunk(th);
	assert_true(chunk > port_test.broken_page);
	assert_int_equal(th->heap.counters.quarantined_pages, 2);
	core_check_bits(th);
}

static void test_free_slots_of_a_span_that_has_it_stay_free(void **state)
{
	u32 bad = request_span(th, 0, CLASS_512);

	(void)state;
	slot_allocate(th, bad, 0);
	assert_int_equal(request_return(th, bad), 0);
	/* There is no memory for other spans. */
	port_test.page_limit = th->backed_pages;
	page_break(bad, true);
	assert_int_equal(request_span(th, 0, CLASS_512), 0);
	port_test.broken_page = 0;
	assert_int_equal(request_span(th, 0, CLASS_512), bad);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, fixture_end)
	const struct CMUnitTest tests[] = {
		T(test_memory_that_can_be_replaced_is),
		T(test_a_page_whose_memory_cannot_is_not_used_again),
		T(test_lazy_objects_and_chunks_pass_it_over),
		T(test_free_slots_of_a_span_that_has_it_stay_free),
	};

	return cmocka_run_group_tests_name("broken", tests, NULL, NULL);
}
