// SPDX-License-Identifier: MIT
/*
 * Mixed spans of the SPAN layout, and heaps that record every object's type: which
 * spans REFILL hands out for what.
 */
#include "core_check.h"
#include "core_test.h"
#include "request.h"

#define CLASS_16	2u
#define CLASS_64	6u
#define CLASS_512	26u
#define CLASS_1024	32u

static struct test_heap *th;

static void heap_of(u32 layout, u32 flags)
{
	int error;

	if (th)
		test_heap_destroy(th);
	th = test_heap_new_flags(layout, GCHEAP_RESERVE_MIN, flags, &error);
	assert_non_null(th);
}

static int setup(void **state)
{
	(void)state;
	port_test_reset();
	heap_of(GCHEAP_LAYOUT_SPAN, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	test_heap_destroy(th);
	th = NULL;
	return port_test.blocks ? -1 : 0;
}

static const struct gcheap_span *span_at(u32 page)
{
	return test_heap_table(th, GCHEAP_REGION_SPANS, page * 32ull);
}

static u32 kind_at(u32 page)
{
	return GCHEAP_PAGE_KIND(*(u64 *)test_heap_table(th, GCHEAP_REGION_PAGES, page * 8ull));
}

static bool noscan_at(u32 page)
{
	return *(u64 *)test_heap_table(th, GCHEAP_REGION_PAGES, page * 8ull) & GCHEAP_PAGE_NOSCAN;
}

static u32 mixed_span(u32 type, u32 size_class)
{
	u32 page;

	assert_int_equal(request_mixed(th, type, size_class, &page), 0);
	return page;
}

/* Takes all free pages, so that what REFILL finds comes from a list. */
static void take_free_pages(void)
{
	while (th->heap.page_heap.free_pages)
		assert_int_not_equal(request_large(th, 0, 1), 0);
}

/* A span with one object in it, given back. */
static void keep(u32 page)
{
	slot_allocate(th, page, 0);
	assert_int_equal(request_return(th, page), 0);
}

/* ---- mixed spans --------------------------------------------------------------- */

static void test_mixed_spans_are_of_the_kinds_of_the_header_layout(void **state)
{
	u32 type = request_type(th, 8, 1);

	(void)state;
	for (u32 i = SIZE_CLASS_MIN; i < SIZE_CLASSES; i++) {
		bool small = size_class_bytes[i] <= GCHEAP_HEAP_BITS_MAX;
		u32 page = mixed_span(type, i);

		assert_int_equal(kind_at(page), small ? GCHEAP_KIND_HEAP_BITS : GCHEAP_KIND_HEADER);
		assert_int_equal(span_at(page)->type, 0);
		assert_int_equal(span_at(page)->ptr_mask, 0);
		assert_false(noscan_at(page));
	}
	core_check_bits(th);
}

static void test_types_without_pointers_have_no_mixed_spans(void **state)
{
	u32 type = request_type(th, 64, 0);

	(void)state;
	assert_int_equal(kind_at(mixed_span(type, CLASS_64)), GCHEAP_KIND_NOSCAN);
	assert_int_equal(kind_at(mixed_span(0, CLASS_64)), GCHEAP_KIND_NOSCAN);
	core_check_bits(th);
}

static void test_all_types_share_mixed_spans(void **state)
{
	(void)state;
	for (u32 i = SIZE_CLASS_MIN; size_class_bytes[i] < 8192; i++) {
		u32 page;

		heap_of(GCHEAP_LAYOUT_SPAN, 0);
		page = mixed_span(request_type(th, 16, 1), i);
		keep(page);
		take_free_pages();
		assert_int_equal(mixed_span(request_type(th, 16, 2), i), page);
		assert_int_equal(request_return(th, page), 0);
		assert_int_equal(mixed_span(request_type(th, 8, 1), i), page);
		core_check_bits(th);
	}
}

static void test_mixed_spans_and_those_of_a_type_are_not_confused(void **state)
{
	u32 small = request_type(th, 64, 1);
	u32 big = request_type(th, 1000, 1);
	u32 pages[4];

	(void)state;
	pages[0] = mixed_span(small, CLASS_64);
	pages[1] = request_span(th, small, CLASS_64);
	pages[2] = mixed_span(big, CLASS_1024);
	pages[3] = request_span(th, big, CLASS_1024);
	for (u32 i = 0; i < 4; i++)
		keep(pages[i]);
	take_free_pages();
	assert_int_equal(request_span(th, small, CLASS_64), pages[1]);
	assert_int_equal(mixed_span(small, CLASS_64), pages[0]);
	assert_int_equal(request_span(th, big, CLASS_1024), pages[3]);
	assert_int_equal(mixed_span(big, CLASS_1024), pages[2]);
	core_check_bits(th);
}

static void test_err_mixed_spans_in_other_layouts(void **state)
{
	static const u32 layouts[] = {
		GCHEAP_LAYOUT_HEADER, GCHEAP_LAYOUT_FOOTER, GCHEAP_LAYOUT_BITMAP,
	};
	struct core_state saved;
	u32 page;

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(layouts); i++) {
		heap_of(layouts[i], 0);
		core_state_save(th, &saved);
		assert_int_equal(request_mixed(th, 0, CLASS_64, &page), -EINVAL);
		assert_int_equal(request_mixed(th, request_type(th, 8, 1), CLASS_64, &page),
				 -EINVAL);
		saved.counters.types = th->heap.counters.types;
		saved.data_end = th->heap.types.data_end;
		core_state_check(th, &saved);
	}
}

static void test_err_mixed_slots_too_small_for_a_type_and_its_header(void **state)
{
	u32 page;

	(void)state;
	for (u32 i = SIZE_CLASS_MIN; i < SIZE_CLASSES; i++) {
		u32 bytes = size_class_bytes[i];
		u32 over = bytes <= GCHEAP_HEAP_BITS_MAX ? 0 : 8;
		u32 fits = request_type(th, bytes - over, 1);
		u32 too_large = request_type(th, bytes - over + 8, 1);

		assert_int_equal(request_mixed(th, fits, i, &page), 0);
		assert_int_equal(request_mixed(th, too_large, i, &page), -EINVAL);
		if (over)
			assert_int_not_equal(request_span(th, too_large, i), 0);
	}
	core_check_bits(th);
}

static void test_a_cycle_sweeps_mixed_spans_as_all_others(void **state)
{
	u32 type = request_type(th, 64, 1);
	u32 live = mixed_span(type, CLASS_64);
	u32 dead = mixed_span(type, CLASS_64);

	(void)state;
	slots_allocate(th, live, 126);
	slots_allocate(th, dead, 126);
	assert_int_equal(request_return(th, live), 0);
	assert_int_equal(request_return(th, dead), 0);
	assert_int_equal(request_mark_start(th), 0);
	slot_mark(th, live, 125);
	assert_int_equal(request_sweep_start(th, NULL), 0);
	assert_int_equal(kind_at(dead), GCHEAP_KIND_NONE);
	take_free_pages();
	assert_int_equal(mixed_span(type, CLASS_64), live);
	assert_int_equal(span_at(live)->allocated, 1);
	assert_true(slot_is_allocated(th, live, 125));
	core_check_bits(th);
}

/* Each failure of a request for a mixed span leaves the heap as it was. */
static void test_a_failed_refill_of_mixed_spans_changes_nothing(void **state)
{
	u32 type = request_type(th, 64, 1);
	struct core_state saved;
	u32 page;
	int error;

	(void)state;
	for (u64 n = 1;; n++) {
		core_state_save(th, &saved);
		port_test_fail(n, true);
		error = request_mixed(th, type, CLASS_64, &page);
		port_test_reset();
		if (!error)
			break;
		assert_int_equal(error, -ENOMEM);
		core_state_check(th, &saved);
	}
	assert_int_equal(kind_at(page), GCHEAP_KIND_HEAP_BITS);
	core_check_bits(th);
}

/* ---- recorded types -------------------------------------------------------------- */

static void check_recorded(u32 layout, u32 size_class, u32 pointers, u32 noscan, u32 word_bytes)
{
	u32 bytes = size_class_bytes[size_class] - word_bytes;
	u32 types[2], page;

	if (size_class_bytes[size_class] <= word_bytes)
		return;
	heap_of(layout, GCHEAP_SETUP_RECORD_TYPES);
	types[0] = request_type(th, bytes, 1);
	types[1] = request_type(th, bytes, 0);
	for (u32 i = 0; i < 2; i++) {
		bool known = (i ? noscan : pointers) == GCHEAP_KIND_TYPE ||
			     (i ? noscan : pointers) == GCHEAP_KIND_MASK;

		page = request_span(th, types[i], size_class);
		assert_int_not_equal(page, 0);
		assert_int_equal(kind_at(page), i ? noscan : pointers);
		assert_int_equal(noscan_at(page), i);
		assert_int_equal(span_at(page)->type, known ? types[i] : 0);
		assert_int_equal(span_at(page)->ptr_mask & 1, kind_at(page) == GCHEAP_KIND_MASK);
	}
	/* Bytes have no type, and nothing is recorded of them. */
	page = request_span(th, 0, size_class);
	assert_int_equal(kind_at(page), GCHEAP_KIND_NOSCAN);
	assert_int_equal(span_at(page)->type, 0);
	core_check_bits(th);
}

static void test_recorded_types_are_those_of_spans_or_words(void **state)
{
	(void)state;
	for (u32 i = SIZE_CLASS_MIN; i < SIZE_CLASSES; i++) {
		bool small = size_class_bytes[i] <= GCHEAP_HEAP_BITS_MAX;

		check_recorded(GCHEAP_LAYOUT_SPAN, i,
			       small ? GCHEAP_KIND_MASK : GCHEAP_KIND_TYPE, GCHEAP_KIND_TYPE, 0);
		check_recorded(GCHEAP_LAYOUT_HEADER, i, GCHEAP_KIND_HEADER,
			       GCHEAP_KIND_HEADER, 8);
		check_recorded(GCHEAP_LAYOUT_FOOTER, i, GCHEAP_KIND_FOOTER,
			       GCHEAP_KIND_FOOTER, 8);
		check_recorded(GCHEAP_LAYOUT_BITMAP, i, GCHEAP_KIND_BITMAP,
			       GCHEAP_KIND_BITMAP, 8);
	}
}

static void test_mixed_spans_of_recorded_types_have_headers(void **state)
{
	u32 types[2], page;

	(void)state;
	heap_of(GCHEAP_LAYOUT_SPAN, GCHEAP_SETUP_RECORD_TYPES);
	types[0] = request_type(th, 8, 1);
	types[1] = request_type(th, 8, 0);
	for (u32 i = SIZE_CLASS_MIN; i < SIZE_CLASSES; i++) {
		for (u32 t = 0; t < 2; t++) {
			page = mixed_span(types[t], i);
			assert_int_equal(kind_at(page), GCHEAP_KIND_HEADER);
			assert_int_equal(noscan_at(page), t);
		}
	}
	assert_int_equal(kind_at(mixed_span(0, CLASS_64)), GCHEAP_KIND_NOSCAN);
	core_check_bits(th);
}

static void test_recorded_types_with_the_same_mask_do_not_share_spans(void **state)
{
	u32 types[2], page;

	(void)state;
	heap_of(GCHEAP_LAYOUT_SPAN, GCHEAP_SETUP_RECORD_TYPES);
	types[0] = request_type(th, 64, 1);
	types[1] = request_type(th, 64, 1);
	page = request_span(th, types[0], CLASS_64);
	keep(page);
	take_free_pages();
	assert_int_not_equal(request_span(th, types[1], CLASS_64), page);
	take_free_pages();
	assert_int_equal(request_span(th, types[0], CLASS_64), page);
	core_check_bits(th);
}

static void test_err_slots_too_small_for_a_recorded_types_word(void **state)
{
	static const u32 layouts[] = {
		GCHEAP_LAYOUT_HEADER, GCHEAP_LAYOUT_FOOTER, GCHEAP_LAYOUT_BITMAP,
	};
	u32 page;

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(layouts); i++) {
		for (u32 words = 0; words < 2; words++) {
			heap_of(layouts[i], GCHEAP_SETUP_RECORD_TYPES);
			assert_int_equal(request_span(th, request_type(th, 16, words), CLASS_16), 0);
			assert_int_not_equal(request_span(th, request_type(th, 8, words), CLASS_16),
					     0);
			assert_int_equal(request_span(th, request_type(th, 512, words), CLASS_512),
					 0);
			assert_int_not_equal(request_span(th, request_type(th, 504, words),
							  CLASS_512), 0);
			core_check_bits(th);
		}
	}
	/* In spans of their own they fit; in mixed ones they have a header. */
	heap_of(GCHEAP_LAYOUT_SPAN, GCHEAP_SETUP_RECORD_TYPES);
	for (u32 words = 0; words < 2; words++) {
		u32 type = request_type(th, 16, words);

		assert_int_not_equal(request_span(th, type, CLASS_16), 0);
		assert_int_equal(request_mixed(th, type, CLASS_16, &page), -EINVAL);
	}
	core_check_bits(th);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name)	cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_mixed_spans_are_of_the_kinds_of_the_header_layout),
		TEST(test_types_without_pointers_have_no_mixed_spans),
		TEST(test_all_types_share_mixed_spans),
		TEST(test_mixed_spans_and_those_of_a_type_are_not_confused),
		TEST(test_err_mixed_spans_in_other_layouts),
		TEST(test_err_mixed_slots_too_small_for_a_type_and_its_header),
		TEST(test_a_cycle_sweeps_mixed_spans_as_all_others),
		TEST(test_a_failed_refill_of_mixed_spans_changes_nothing),
		TEST(test_recorded_types_are_those_of_spans_or_words),
		TEST(test_mixed_spans_of_recorded_types_have_headers),
		TEST(test_recorded_types_with_the_same_mask_do_not_share_spans),
		TEST(test_err_slots_too_small_for_a_recorded_types_word),
	};

	return cmocka_run_group_tests_name("mixed spans and recorded types", tests, NULL, NULL);
}
