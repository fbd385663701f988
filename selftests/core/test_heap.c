// SPDX-License-Identifier: MIT
/*
 * A heap from SETUP to its end: every error of every request, and memory that runs out
 * at any point. test_heap_model.c compares whole lives of heaps with a model.
 */
#include "core_check.h"
#include "core_test.h"
#include "fixture.h"
#include "request.h"

#define CLASS_64	6u	/* 128 slots of 64 bytes, one page */
#define CLASS_8192	51u	/* 1 slot */
#define RESERVE_PAGES	ARENA_PAGES

static int setup(void **state)
{
	(void)state;
	return fixture_begin(GCHEAP_LAYOUT_SPAN, GCHEAP_RESERVE_MIN, 0);
}

/* ---- SETUP -------------------------------------------------------------------- */

#define SETUP_CHECK(expected, ...) do {						\
	struct gcheap_setup setup_ = {						\
		.size = sizeof(setup_),						\
		.reserve_bytes = GCHEAP_RESERVE_MIN,				\
	};									\
	__VA_ARGS__;								\
	assert_int_equal(heap_setup_check(&setup_, 0, 0), expected);			\
} while (0)

static void test_err_setup_with_an_unknown_flag(void **state)
{
	(void)state;
	for (u32 bit = 0; bit < 32; bit++) {
		if (1u << bit != GCHEAP_SETUP_RECORD_TYPES)
			SETUP_CHECK(-EOPNOTSUPP, setup_.flags = 1u << bit);
	}
	/* Whatever the port can do. */
	SETUP_CHECK(0, setup_.flags = GCHEAP_SETUP_RECORD_TYPES);
}

static void test_err_setup_with_a_reserved_field(void **state)
{
	(void)state;
	SETUP_CHECK(-EINVAL, setup_.reserved = 1);
}

static void test_err_setup_with_an_unknown_layout(void **state)
{
	(void)state;
	SETUP_CHECK(0, setup_.layout = GCHEAP_LAYOUT_SPAN);
	SETUP_CHECK(0, setup_.layout = GCHEAP_LAYOUT_HEADER);
	SETUP_CHECK(0, setup_.layout = GCHEAP_LAYOUT_FOOTER);
	SETUP_CHECK(0, setup_.layout = GCHEAP_LAYOUT_BITMAP);
	SETUP_CHECK(-EOPNOTSUPP, setup_.layout = GCHEAP_LAYOUT_BITMAP + 1);
	SETUP_CHECK(-EOPNOTSUPP, setup_.layout = GCHEAP_LAYOUT_BITMAP + 100);
	SETUP_CHECK(-EOPNOTSUPP, setup_.layout = U32_MAX);
}

static void test_err_setup_with_a_bad_reserve(void **state)
{
	(void)state;
	SETUP_CHECK(0, setup_.reserve_bytes = GCHEAP_RESERVE_MIN);
	SETUP_CHECK(0, setup_.reserve_bytes = GCHEAP_RESERVE_MAX);
	SETUP_CHECK(0, setup_.reserve_bytes = 3 * GCHEAP_RESERVE_MIN);
	SETUP_CHECK(-EINVAL, setup_.reserve_bytes = 1);
	SETUP_CHECK(-EINVAL, setup_.reserve_bytes = GCHEAP_RESERVE_MIN - GCHEAP_PAGE_BYTES);
	SETUP_CHECK(-EINVAL, setup_.reserve_bytes = GCHEAP_RESERVE_MIN + 4096);
	SETUP_CHECK(-EINVAL, setup_.reserve_bytes = GCHEAP_RESERVE_MAX + GCHEAP_ARENA_BYTES);
	SETUP_CHECK(-EINVAL, setup_.reserve_bytes = 0 - GCHEAP_ARENA_BYTES);
}

static void test_setup_answers_with_the_length_of_each_region(void **state)
{
	struct gcheap_setup request = { .size = sizeof(request) };

	(void)state;
	assert_int_equal(heap_setup_check(&request, 0, 0), 0);
	assert_int_equal(request.reserve_bytes, GCHEAP_RESERVE_DEFAULT);
	assert_int_equal(request.out_region_bytes[GCHEAP_REGION_HEAP], 1ull << 36);
	assert_int_equal(request.out_region_bytes[GCHEAP_REGION_PAGES], 1ull << 26);
	assert_int_equal(request.out_region_bytes[GCHEAP_REGION_SPANS], 1ull << 28);
	assert_int_equal(request.out_region_bytes[GCHEAP_REGION_TYPES], 288ull << 20);
	assert_int_equal(request.out_region_bytes[GCHEAP_REGION_MARKS],
			 (2ull << 29) + (2ull << 20));
	assert_int_equal(request.out_region_bytes[GCHEAP_REGION_CTRL], 4096);
	assert_int_equal(request.out_abi, GCHEAP_ABI);
	assert_int_equal(request.out_features,
			 GCHEAP_FEATURE_LAYOUT_SPAN | GCHEAP_FEATURE_LAYOUT_HEADER |
			 GCHEAP_FEATURE_LAYOUT_FOOTER | GCHEAP_FEATURE_LAYOUT_BITMAP);
}

static void test_a_heap_without_memory_is_not_made(void **state)
{
	int error = -ENOMEM;

	(void)state;
	test_heap_destroy(th);
	for (u64 n = 1; error; n++) {
		port_test_fail(n, n % 2);
		th = test_heap_new(GCHEAP_LAYOUT_SPAN, GCHEAP_RESERVE_MIN, &error);
		if (!error)
			break;
		assert_int_equal(error, -ENOMEM);
		assert_int_equal(port_test.blocks, 0);
	}
	assert_in_range(port_test.calls, 3, 20);
	port_test_reset();
	core_check(th);
}

static void test_a_new_heap_tells_its_state_in_ctrl(void **state)
{
	const struct gcheap_ctrl *ctrl = test_heap_table(th, GCHEAP_REGION_CTRL, 0);

	(void)state;
	assert_int_equal(ctrl->abi, GCHEAP_ABI);
	assert_int_equal(ctrl->counters_bytes, sizeof(struct gcheap_counters));
	assert_int_equal(ctrl->layout, GCHEAP_LAYOUT_SPAN);
	assert_int_equal(ctrl->generation, 0);
	assert_int_equal(ctrl->phase, GCHEAP_PHASE_IDLE);
	assert_int_equal(ctrl->heap_pages, 0);
	core_check(th);
}

static void test_the_largest_reserve_works(void **state)
{
	int error;
	u32 page;

	(void)state;
	test_heap_destroy(th);
	th = test_heap_new(GCHEAP_LAYOUT_HEADER, GCHEAP_RESERVE_MAX, &error);
	assert_non_null(th);
	page = request_large(th, 0, 100 << 20);
	assert_int_not_equal(page, 0);
	assert_int_equal(request_large(th, 0, GCHEAP_RESERVE_MAX), 0);
	assert_int_not_equal(request_span(th, 0, CLASS_64), 0);
	core_check_bits(th);
}

/* ---- REFILL -------------------------------------------------------------------- */

static int refill_flags(u32 flags)
{
	struct gcheap_refill refill = { .size = sizeof(refill), .flags = flags };

	return heap_refill_check(&th->heap, &refill);
}

static void test_err_refill_with_an_unknown_flag(void **state)
{
	(void)state;
	assert_int_equal(refill_flags(0), 0);
	assert_int_equal(refill_flags(GCHEAP_REFILL_MIXED), 0);
	for (u32 bit = 0; bit < 32; bit++) {
		if (1u << bit != GCHEAP_REFILL_MIXED)
			assert_int_equal(refill_flags(1u << bit), -EOPNOTSUPP);
	}
}

static void test_err_refill_with_too_long_lists(void **state)
{
	static const u32 counts[] = { GCHEAP_REFILL_MAX + 1, 1u << 30, U32_MAX };

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(counts); i++) {
		struct gcheap_refill refill = { .return_count = counts[i] };

		assert_int_equal(heap_refill_check(&th->heap, &refill), -EOVERFLOW);
		refill.return_count = 0;
		refill.grant_count = counts[i];
		assert_int_equal(heap_refill_check(&th->heap, &refill), -EOVERFLOW);
	}
}

static void test_err_refill_without_room_for_a_grant(void **state)
{
	u32 none = 0;

	(void)state;
	assert_int_equal(request_refill(th, 0, CLASS_64, 1, NULL, 0, NULL, &none), -EINVAL);
}

static void test_err_refill_of_a_bad_class_or_type(void **state)
{
	struct gcheap_grant grant;
	struct core_state saved;
	u32 one = 1;

	(void)state;
	core_state_save(th, &saved);
	assert_int_equal(request_refill(th, 0, 0, 1, NULL, 0, &grant, &one), -EINVAL);
	assert_int_equal(request_refill(th, 0, 1, 1, NULL, 0, &grant, &one), -EINVAL);
	assert_int_equal(request_refill(th, 0, SIZE_CLASSES, 1, NULL, 0, &grant, &one), -EINVAL);
	assert_int_equal(request_refill(th, 1, CLASS_64, 1, NULL, 0, &grant, &one), -EINVAL);
	core_state_check(th, &saved);
}

/* Every state a page can be in but that of a cached span's first one. */
static void test_err_return_of_what_is_no_cached_span(void **state)
{
	u32 cached = request_span(th, 0, 65);	/* ten pages */
	u32 central = request_span(th, 0, CLASS_64);
	u32 freed = request_span(th, 0, CLASS_64);
	u32 large = request_large(th, 0, 100000);
	struct core_state saved;

	(void)state;
	slot_allocate(th, central, 0);
	assert_int_equal(request_return(th, central), 0);
	assert_int_equal(request_return(th, freed), 0);
	core_state_save(th, &saved);
	{
		const u32 bad[] = {
			0, central, freed, large, large + 1, cached + 1, cached + 9,
			th->heap.heap_pages - 1, th->heap.heap_pages, th->heap.heap_pages + 1,
			RESERVE_PAGES - 1, RESERVE_PAGES, 1u << 31, U32_MAX,
		};

		for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
			u32 first[] = { bad[i], cached };
			u32 last[] = { cached, bad[i] };

			assert_int_equal(request_return(th, bad[i]), -EINVAL);
			assert_int_equal(request_refill(th, 0, 0, 0, first, 2, NULL, NULL),
					 -EINVAL);
			assert_int_equal(request_refill(th, 0, 0, 0, last, 2, NULL, NULL),
					 -EINVAL);
			core_state_check(th, &saved);
		}
	}
	assert_int_equal(request_return(th, cached), 0);
}

static void test_err_return_of_a_span_that_stands_twice(void **state)
{
	u32 a = request_span(th, 0, CLASS_64);
	u32 b = request_span(th, 0, CLASS_64);
	u32 twice[] = { a, b, a };
	u32 at_once[] = { b, b };
	struct core_state saved;

	(void)state;
	core_state_save(th, &saved);
	assert_int_equal(request_refill(th, 0, 0, 0, twice, 3, NULL, NULL), -EINVAL);
	core_state_check(th, &saved);
	assert_int_equal(request_refill(th, 0, 0, 0, at_once, 2, NULL, NULL), -EINVAL);
	core_state_check(th, &saved);
	assert_int_equal(request_refill(th, 0, 0, 0, twice, 2, NULL, NULL), 0);
	core_check_bits(th);
}

static void test_err_return_in_a_heap_without_pages(void **state)
{
	(void)state;
	assert_int_equal(request_return(th, 0), -EINVAL);
	assert_int_equal(request_return(th, 1), -EINVAL);
}

static void test_a_refill_of_nothing_returns_only(void **state)
{
	struct gcheap_grant grants[4];
	u32 page = request_span(th, 0, CLASS_64);
	u32 count = 4;

	(void)state;
	/* Type and class are not looked at. */
	assert_int_equal(request_refill(th, 77, 999, 0, &page, 1, grants, &count), 0);
	assert_int_equal(count, 0);
	assert_int_equal(th->heap.counters.cached_spans, 0);
	assert_int_equal(request_refill(th, 77, 999, 0, NULL, 0, NULL, NULL), 0);
	core_check_bits(th);
}

static void test_a_refill_takes_spans_until_they_have_the_bytes(void **state)
{
	struct gcheap_grant grants[GCHEAP_REFILL_MAX];

	(void)state;
	for (u32 i = SIZE_CLASS_MIN; i < SIZE_CLASSES; i++) {
		u32 span_bytes = size_class_slots[i] * size_class_bytes[i];
		u32 count = GCHEAP_REFILL_MAX;
		u32 pages[GCHEAP_REFILL_MAX];

		assert_int_equal(request_refill(th, 0, i, 128 << 10, NULL, 0, grants, &count), 0);
		assert_int_equal(count, ((128 << 10) + span_bytes - 1) / span_bytes);
		for (u32 at = 0; at < count; at++) {
			assert_int_equal(grants[at].slots, size_class_slots[i]);
			assert_int_equal(grants[at].free_slots, size_class_slots[i]);
			pages[at] = grants[at].page;
		}
		core_check_bits(th);
		assert_int_equal(request_refill(th, 0, 0, 0, pages, count, NULL, NULL), 0);
	}
}

static void test_a_refill_takes_no_more_spans_than_there_is_room_for(void **state)
{
	struct gcheap_grant grants[3];
	u32 count = 3;

	(void)state;
	assert_int_equal(request_refill(th, 0, CLASS_64, U32_MAX, NULL, 0, grants, &count), 0);
	assert_int_equal(count, 3);
	assert_int_equal(th->heap.counters.refills, 1);
	assert_int_equal(th->heap.counters.refilled_spans, 3);
}

static void test_returned_spans_are_not_handed_out_by_the_same_refill(void **state)
{
	struct gcheap_grant grant;
	u32 count = 1;
	u32 page = request_span(th, 0, CLASS_64);

	(void)state;
	slot_allocate(th, page, 0);
	assert_int_equal(request_refill(th, 0, CLASS_64, 1, &page, 1, &grant, &count), 0);
	assert_int_equal(count, 1);
	assert_int_not_equal(grant.page, page);
	assert_int_equal(heap_span(&th->heap, page)->state & GCHEAP_SPAN_STATE_MASK,
			 GCHEAP_SPAN_CENTRAL);
	core_check_bits(th);
}

/* ---- ALLOC_LARGE --------------------------------------------------------------- */

static int alloc_large(u32 flags, u32 type, u32 reserved, u64 count)
{
	struct gcheap_alloc_large alloc = {
		.size = sizeof(alloc),
		.flags = flags,
		.type = type,
		.reserved = reserved,
		.count = count,
	};

	return heap_alloc_large(&th->heap, &alloc);
}

static void test_err_alloc_large(void **state)
{
	u32 type = request_type(th, 24, 1);
	u32 huge = request_type(th, GCHEAP_RESERVE_MAX, 1);
	struct core_state saved;

	(void)state;
	core_state_save(th, &saved);
	for (u32 bit = 1; bit < 32; bit++)
		assert_int_equal(alloc_large(1u << bit, 0, 0, 1), -EOPNOTSUPP);
	assert_int_equal(alloc_large(0, 0, 1, 1), -EINVAL);
	assert_int_equal(alloc_large(0, 0, 0, 0), -EINVAL);
	assert_int_equal(alloc_large(0, type, 0, 0), -EINVAL);
	assert_int_equal(alloc_large(0, 3, 0, 1), -EINVAL);
	assert_int_equal(alloc_large(0, U32_MAX, 0, 1), -EINVAL);
	assert_int_equal(alloc_large(0, type, 0, U64_MAX), -EOVERFLOW);
	assert_int_equal(alloc_large(0, type, 0, U64_MAX / 24 + 1), -EOVERFLOW);
	assert_int_equal(alloc_large(0, type, 0, U64_MAX / 24), -EOVERFLOW);
	assert_int_equal(alloc_large(0, 0, 0, U64_MAX), -EOVERFLOW);
	assert_int_equal(alloc_large(0, 0, 0, GCHEAP_RESERVE_MAX + 1), -EOVERFLOW);
	assert_int_equal(alloc_large(0, huge, 0, 2), -EOVERFLOW);
	assert_int_equal(alloc_large(0, huge, 0, 1), -ENOMEM);
	assert_int_equal(alloc_large(0, 0, 0, GCHEAP_RESERVE_MAX), -ENOMEM);
	assert_int_equal(alloc_large(0, 0, 0, GCHEAP_RESERVE_MIN), -ENOMEM);
	core_state_check(th, &saved);
}

static void test_err_stats_with_an_unknown_flag(void **state)
{
	struct gcheap_heap_stats stats = { .flags = 1 };

	(void)state;
	assert_int_equal(heap_stats(&th->heap, &stats), -EOPNOTSUPP);
}

static void test_stats_are_the_counters(void **state)
{
	struct gcheap_heap_stats stats = { 0 };

	(void)state;
	request_type(th, 8, 1);
	request_span(th, 0, CLASS_64);
	request_large(th, 0, 100000);
	assert_int_equal(heap_stats(&th->heap, &stats), 0);
	assert_int_equal(stats.out_counters.heap_pages, th->heap.heap_pages);
	assert_int_equal(stats.out_counters.spans, 2);
	assert_int_equal(stats.out_counters.cached_spans, 1);
	assert_int_equal(stats.out_counters.in_use_pages, 1 + 13);
	assert_int_equal(stats.out_counters.large_objects, 1);
	assert_int_equal(stats.out_counters.refills, 1);
	assert_int_equal(stats.out_counters.types, 1);
}

/* ---- the end of the reserve ------------------------------------------------------ */

static void test_all_of_the_reserve_but_page_0_can_be_used(void **state)
{
	u32 pages = 0;

	(void)state;
	while (request_span(th, 0, CLASS_8192))
		pages++;
	assert_int_equal(pages, RESERVE_PAGES - 1);
	assert_int_equal(th->heap.heap_pages, RESERVE_PAGES);
	core_check_bits(th);
}

static void test_an_object_as_long_as_the_reserve_fits_whatever_was_there_before(void **state)
{
	u32 page = request_span(th, 0, CLASS_64);
	u64 whole = (RESERVE_PAGES - 1) * 8192ull;

	(void)state;
	assert_int_equal(request_large(th, 0, whole), 0);
	assert_int_equal(request_return(th, page), 0);
	assert_int_equal(request_large(th, 0, whole + 1), 0);
	assert_int_equal(request_large(th, 0, whole), 1);
	assert_int_equal(th->heap.page_heap.free_pages, 0);
	core_check_bits(th);
}

static void test_free_pages_at_the_end_are_used_before_new_ones(void **state)
{
	u32 page = request_large(th, 0, 100 * 8192);
	u32 before = th->heap.heap_pages;

	(void)state;
	assert_int_equal(request_large(th, 0, 100 * 8192), page + 100);
	/* 27 pages were left. */
	assert_int_equal(th->heap.heap_pages, before + 128);
	core_check_bits(th);
}

static void test_err_reserve_is_used_up(void **state)
{
	struct gcheap_grant grants[8];
	u32 page = request_span(th, 0, CLASS_64);
	struct core_state saved;
	u32 count = 8;

	(void)state;
	slots_allocate(th, page, 128);
	while (request_span(th, 0, CLASS_8192))
		;
	core_state_save(th, &saved);
	assert_int_equal(request_refill(th, 0, CLASS_64, 1, &page, 1, grants, &count), -ENOMEM);
	assert_int_equal(request_large(th, 0, 1), 0);
	core_state_check(th, &saved);
	/* What could not be exchanged can still be given back alone. */
	assert_int_equal(request_return(th, page), 0);
	core_check_bits(th);
}

static void test_fewer_spans_than_asked_for_is_no_error(void **state)
{
	struct gcheap_grant grants[8];
	u32 count = 8;
	u32 page;

	(void)state;
	while ((page = request_span(th, 0, CLASS_8192)) < RESERVE_PAGES - 3)
		assert_int_not_equal(page, 0);
	assert_int_equal(request_refill(th, 0, CLASS_64, U32_MAX, NULL, 0, grants, &count), 0);
	assert_int_equal(count, 2);
	core_check_bits(th);
}

/* ---- no memory at any point ------------------------------------------------------- */

/*
 * Runs a request again and again, of which the first, second ... call for memory
 * fails, once or with all that follow: until it succeeds before it gets that far.
 */
static void walk(u32 (*request)(void), void (*check)(void))
{
	for (u32 all = 0; all < 2; all++) {
		u32 failed = 0;

		if (th)
			test_heap_destroy(th);
		th = NULL;
		for (u64 n = 1;; n++) {
			struct core_state saved;
			int error;
			u32 done;

			port_test_reset();
			if (!th)
				th = test_heap_new(GCHEAP_LAYOUT_SPAN, GCHEAP_RESERVE_MIN,
						   &error);
			assert_non_null(th);
			core_state_save(th, &saved);
			port_test_fail(n, all);
			done = request();
			port_test.fail_at = 0;
			if (done)
				check();
			else
				core_state_check(th, &saved);
			if (!port_test.failures)
				break;
			failed += !done;
			/* A heap that has not begun to be built when the call fails. */
			test_heap_destroy(th);
			th = NULL;
		}
		assert_in_range(failed, 1, 1000);
	}
}

static u32 refill_many(void)
{
	struct gcheap_grant grants[64];
	u32 count = 64;
	int error = request_refill(th, 0, 65, 64 * 81920, NULL, 0, grants, &count);

	if (error)
		assert_int_equal(error, -ENOMEM);
	return error ? 0 : count;
}

static u32 large_over_half_the_reserve(void)
{
	return request_large(th, 0, 5000 * 8192);
}

static void consistent(void)
{
	core_check_bits(th);
}

static void test_a_refill_without_memory_changes_nothing(void **state)
{
	(void)state;
	walk(refill_many, consistent);
}

static void test_a_large_object_without_memory_changes_nothing(void **state)
{
	(void)state;
	walk(large_over_half_the_reserve, consistent);
}

static void test_growth_without_tables_leaves_no_memory_behind(void **state)
{
	u32 failed = 0;

	(void)state;
	/* The first call backs the object with memory, the others are for tables. */
	for (u64 n = 2;; n++) {
		int error;
		u32 page;

		test_heap_destroy(th);
		port_test_reset();
		th = test_heap_new(GCHEAP_LAYOUT_SPAN, GCHEAP_RESERVE_MIN, &error);
		assert_non_null(th);
		port_test_fail(n, false);
		page = large_over_half_the_reserve();
		port_test.fail_at = 0;
		if (page)
			break;
		failed++;
		for (u32 i = 1; i < ARENA_PAGES; i++)
			assert_false(test_heap_backed(th, i, 1));
	}
	assert_in_range(failed, 10, 1000);
}

static void test_where_memory_is_short_for_many_spans_there_may_be_some_for_one(void **state)
{
	struct gcheap_grant grants[8];
	u32 count = 8;

	(void)state;
	/* Tables and a central are there, so that the next call is for the spans' pages. */
	assert_int_equal(request_return(th, request_span(th, 0, CLASS_64)), 0);
	port_test_fail(1, true);
	assert_int_equal(request_refill(th, 0, CLASS_64, 7 * 8192, NULL, 0, grants, &count), 0);
	port_test_fail(0, false);
	/* The page that was backed before, and some that half of a failed call did. */
	assert_in_range(count, 1, 6);
	for (u32 i = 0; i < count; i++)
		assert_int_equal(request_return(th, grants[i].page), 0);
	core_check_bits(th);
}

static void test_memory_that_is_short_for_a_while_is_found_again(void **state)
{
	u64 made = 0;
	u64 n = 1;
	u32 page = 0;

	(void)state;
	/* One heap that goes on from failure to failure: each gets a little further. */
	while (!page) {
		port_test_fail(n++, true);
		page = large_over_half_the_reserve();
		port_test.fail_at = 0;
		assert_true(th->tables_made >= made);
		made = th->tables_made;
		core_check_bits(th);
	}
	assert_true(test_heap_backed(th, page, 5000));
	assert_in_range(n, 3, 10000);
}

static void test_a_fatal_signal_ends_growth(void **state)
{
	struct core_state saved;

	(void)state;
	core_state_save(th, &saved);
	port_test_interrupt(3);
	assert_int_equal(large_over_half_the_reserve(), 0);
	port_test_interrupt(0);
	core_state_check(th, &saved);
	assert_int_not_equal(large_over_half_the_reserve(), 0);
	core_check_bits(th);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name)	cmocka_unit_test_setup_teardown(name, setup, fixture_end)
		TEST(test_err_setup_with_an_unknown_flag),
		TEST(test_err_setup_with_a_reserved_field),
		TEST(test_err_setup_with_an_unknown_layout),
		TEST(test_err_setup_with_a_bad_reserve),
		TEST(test_setup_answers_with_the_length_of_each_region),
		TEST(test_a_heap_without_memory_is_not_made),
		TEST(test_a_new_heap_tells_its_state_in_ctrl),
		TEST(test_the_largest_reserve_works),
		TEST(test_err_refill_with_an_unknown_flag),
		TEST(test_err_refill_with_too_long_lists),
		TEST(test_err_refill_without_room_for_a_grant),
		TEST(test_err_refill_of_a_bad_class_or_type),
		TEST(test_err_return_of_what_is_no_cached_span),
		TEST(test_err_return_of_a_span_that_stands_twice),
		TEST(test_err_return_in_a_heap_without_pages),
		TEST(test_a_refill_of_nothing_returns_only),
		TEST(test_a_refill_takes_spans_until_they_have_the_bytes),
		TEST(test_a_refill_takes_no_more_spans_than_there_is_room_for),
		TEST(test_returned_spans_are_not_handed_out_by_the_same_refill),
		TEST(test_err_alloc_large),
		TEST(test_err_stats_with_an_unknown_flag),
		TEST(test_stats_are_the_counters),
		TEST(test_all_of_the_reserve_but_page_0_can_be_used),
		TEST(test_an_object_as_long_as_the_reserve_fits_whatever_was_there_before),
		TEST(test_free_pages_at_the_end_are_used_before_new_ones),
		TEST(test_err_reserve_is_used_up),
		TEST(test_fewer_spans_than_asked_for_is_no_error),
		TEST(test_a_refill_without_memory_changes_nothing),
		TEST(test_a_large_object_without_memory_changes_nothing),
		TEST(test_growth_without_tables_leaves_no_memory_behind),
		TEST(test_where_memory_is_short_for_many_spans_there_may_be_some_for_one),
		TEST(test_memory_that_is_short_for_a_while_is_found_again),
		TEST(test_a_fatal_signal_ends_growth),
	};

	return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
