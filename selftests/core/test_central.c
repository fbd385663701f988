// SPDX-License-Identifier: MIT
/*
 * Central lists: which span a request for free slots gets.
 */
#include "central.h"
#include "core_check.h"
#include "core_test.h"
#include "fixture.h"
#include "page_backed.h"
#include "request.h"

#define CLASS_64	6u	/* 128 slots of 64 bytes, one page */
#define CLASS_4096	44u	/* 2 slots */
#define CLASS_8192	51u	/* 1 slot */

static void heap_of(u32 layout)
{
	fixture_heap(layout, GCHEAP_RESERVE_MIN, 0);
}

static int setup(void **state)
{
	(void)state;
	return fixture_begin(GCHEAP_LAYOUT_SPAN, GCHEAP_RESERVE_MIN, 0);
}

static struct gcheap_span *span_at(u32 page)
{
	return heap_span(&th->heap, page);
}

/* ---- keys -------------------------------------------------------------------- */

static int key_of(u32 type, u32 size_class, struct span_key *key)
{
	return central_key_make(&th->heap, type, size_class, 0, key);
}

static void test_err_size_class_that_does_not_exist(void **state)
{
	static const u32 classes[] = { 0, 1, SIZE_CLASSES, SIZE_CLASSES + 1, 127, 128, U32_MAX };
	struct span_key key;

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(classes); i++)
		assert_int_equal(key_of(0, classes[i], &key), -EINVAL);
}

static void test_err_type_that_does_not_exist(void **state)
{
	struct span_key key;

	(void)state;
	assert_int_equal(key_of(1, CLASS_64, &key), -EINVAL);
	assert_int_equal(request_type(th, 8, 1), 1);
	assert_int_equal(key_of(1, CLASS_64, &key), 0);
	assert_int_equal(key_of(2, CLASS_64, &key), -EINVAL);
	assert_int_equal(key_of(U32_MAX, CLASS_64, &key), -EINVAL);
}

static void test_err_slots_too_small_for_the_type(void **state)
{
	struct span_key key;

	(void)state;
	for (u32 i = SIZE_CLASS_MIN; i < SIZE_CLASSES; i++) {
		u32 bytes = size_class_bytes[i];
		u32 over = bytes <= 512 ? 0 : 8;
		u32 fits, too_large;

		heap_of(GCHEAP_LAYOUT_SPAN);
		fits = request_type(th, bytes, 1);
		too_large = request_type(th, bytes + 8, 1);
		assert_int_equal(key_of(fits, i, &key), 0);
		assert_int_equal(key_of(too_large, i, &key), -EINVAL);

		/* A header takes 8 bytes of a slot of more than 512. */
		heap_of(GCHEAP_LAYOUT_HEADER);
		fits = request_type(th, bytes - over, 1);
		too_large = request_type(th, bytes - over + 8, 1);
		assert_int_equal(key_of(fits, i, &key), 0);
		assert_int_equal(key_of(too_large, i, &key), -EINVAL);

		/* And so does a footer. */
		heap_of(GCHEAP_LAYOUT_FOOTER);
		fits = request_type(th, bytes - over, 1);
		too_large = request_type(th, bytes - over + 8, 1);
		assert_int_equal(key_of(fits, i, &key), 0);
		assert_int_equal(key_of(too_large, i, &key), -EINVAL);

		/* The bitmap lies elsewhere. */
		heap_of(GCHEAP_LAYOUT_BITMAP);
		fits = request_type(th, bytes, 1);
		too_large = request_type(th, bytes + 8, 1);
		assert_int_equal(key_of(fits, i, &key), 0);
		assert_int_equal(key_of(too_large, i, &key), -EINVAL);
	}
	assert_int_equal(key_of(request_type(th, 32769, 0), SIZE_CLASSES - 1, &key), -EINVAL);
	/* A length of which 32 bits are zero. */
	assert_int_equal(key_of(request_type(th, 1ull << 35, 1), CLASS_64, &key), -EINVAL);
}

static void test_a_header_keeps_the_alignment_of_its_object(void **state)
{
	struct span_key key;
	u32 type;

	(void)state;
	heap_of(GCHEAP_LAYOUT_HEADER);
	assert_int_equal(request_type_mask(th, 1024, 8, 128, "\1", "aligned", &type), 0);
	/* Its header is as long as its alignment. */
	assert_int_equal(size_class_bytes[33], 1152);
	assert_int_equal(key_of(type, 33, &key), 0);
	assert_int_equal(request_type_mask(th, 1024, 8, 256, "\1", "aligned", &type), 0);
	assert_int_equal(key_of(type, 33, &key), -EINVAL);
	assert_int_equal(key_of(type, 34, &key), 0);
}

static void test_a_footer_takes_8_bytes_whatever_the_alignment(void **state)
{
	struct span_key key;
	u32 type;

	(void)state;
	heap_of(GCHEAP_LAYOUT_FOOTER);
	assert_int_equal(size_class_bytes[33], 1152);
	for (u32 align = 8; align <= 1024; align *= 2) {
		assert_int_equal(request_type_mask(th, 1024, 8, align, "\1", "aligned", &type), 0);
		assert_int_equal(key_of(type, 32, &key), -EINVAL);
		assert_int_equal(key_of(type, 33, &key), 0);
		assert_int_equal(key.kind, GCHEAP_KIND_FOOTER);
		assert_int_equal(key.type, 0);
	}
}

static void test_types_with_the_same_mask_share_a_central(void **state)
{
	struct span_key a, b, c, d;

	(void)state;
	assert_int_equal(key_of(request_type(th, 64, 1), CLASS_64, &a), 0);
	assert_int_equal(key_of(request_type(th, 64, 1), CLASS_64, &b), 0);
	assert_int_equal(key_of(request_type(th, 64, 2), CLASS_64, &c), 0);
	assert_int_equal(key_of(request_type(th, 32, 1), CLASS_64, &d), 0);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_int_not_equal(a.mask, c.mask);
	/* An array of two and a single one have different masks. */
	assert_int_equal(a.mask, 0x01);
	assert_int_equal(d.mask, 0x11);
	assert_ptr_equal(central_get(&th->heap, &a), central_get(&th->heap, &b));
	assert_ptr_not_equal(central_get(&th->heap, &a), central_get(&th->heap, &c));
	assert_ptr_not_equal(central_get(&th->heap, &a), central_get(&th->heap, &d));
	core_check(th);
}

static void test_large_objects_of_two_types_do_not_share_spans(void **state)
{
	u32 types[2] = { request_type(th, 4096, 1), request_type(th, 4096, 1) };
	struct span_key a, b;

	(void)state;
	assert_int_equal(key_of(types[0], CLASS_4096, &a), 0);
	assert_int_equal(key_of(types[1], CLASS_4096, &b), 0);
	assert_ptr_not_equal(central_get(&th->heap, &a), central_get(&th->heap, &b));
	core_check(th);
}

static void check_all_types_share_spans(u32 layout)
{
	struct span_key a, b;

	heap_of(layout);
	for (u32 i = SIZE_CLASS_MIN; i < SIZE_CLASSES; i++) {
		assert_int_equal(key_of(request_type(th, 8, 1), i, &a), 0);
		assert_int_equal(key_of(request_type(th, 16, 2), i, &b), 0);
		assert_memory_equal(&a, &b, sizeof(a));
	}
}

static void test_all_types_share_spans_in_the_header_layout(void **state)
{
	(void)state;
	check_all_types_share_spans(GCHEAP_LAYOUT_HEADER);
}

static void test_all_types_share_spans_in_the_footer_layout(void **state)
{
	(void)state;
	check_all_types_share_spans(GCHEAP_LAYOUT_FOOTER);
}

static void test_all_types_share_spans_in_the_bitmap_layout(void **state)
{
	(void)state;
	check_all_types_share_spans(GCHEAP_LAYOUT_BITMAP);
}

static void test_a_central_is_found_again_among_thousands(void **state)
{
	/* Too much for a stack of the kernel's. */
	static struct span_key keys[3000];
	static struct central *centrals[3000];

	(void)state;
	random_seed();
	for (u32 i = 0; i < ARRAY_SIZE(keys); i++) {
		memset(&keys[i], 0, sizeof(keys[i]));
		keys[i].span_class = (u8)(4 + 2 * random_below(20));
		if (i % 3 == 0) {
			keys[i].kind = GCHEAP_KIND_TYPE;
			keys[i].type = 1 + i;
		} else {
			keys[i].kind = GCHEAP_KIND_MASK;
			keys[i].mask = i % 3 == 1 ? random_next() : i;
		}
		assert_null(central_find(&th->heap, &keys[i]));
		centrals[i] = central_get(&th->heap, &keys[i]);
	}
	for (u32 i = 0; i < ARRAY_SIZE(keys); i++)
		assert_ptr_equal(central_find(&th->heap, &keys[i]), centrals[i]);
	assert_in_range(1u << th->heap.centrals.shift, 3000 / 2, 3000 * 2);
	core_check(th);
}

static void test_a_table_that_cannot_grow_takes_more_centrals(void **state)
{
	struct central_table *table = &th->heap.centrals;
	struct span_key key = { .kind = GCHEAP_KIND_MASK, .span_class = 4 };
	u32 shift = table->shift;

	(void)state;
	while (table->count >> shift == 0) {
		key.mask++;
		assert_non_null(central_get(&th->heap, &key));
	}
	assert_int_equal(table->shift, shift);
	port_test_fail(2, false);	/* the first is the central's own memory */
	key.mask++;
	assert_non_null(central_get(&th->heap, &key));
	assert_int_equal(port_test.failures, 1);
	port_test_reset();
	assert_int_equal(table->shift, shift);
	core_check(th);
	key.mask++;
	assert_non_null(central_get(&th->heap, &key));
	assert_int_equal(table->shift, shift + 1);
	core_check(th);
}

static void test_keys_that_differ_in_one_part_are_two(void **state)
{
	struct span_key keys[5] = { 0 };

	(void)state;
	keys[1].mask = 1;
	keys[2].type = 1;
	keys[3].span_class = 1;
	keys[4].kind = 1;
	for (u32 i = 0; i < ARRAY_SIZE(keys); i++) {
		assert_null(central_find(&th->heap, &keys[i]));
		assert_non_null(central_get(&th->heap, &keys[i]));
	}
	core_check(th);
}

/* ---- which span -------------------------------------------------------------- */

/* A span with @used of its slots in use, given back. */
static u32 kept_span(u32 size_class, u32 used)
{
	u32 page = request_span(th, 0, size_class);

	assert_int_not_equal(page, 0);
	slots_allocate(th, page, used);
	assert_int_equal(request_return(th, page), 0);
	return page;
}

/* Takes all free pages, so that none is left for a new span but by growth. */
static void take_free_pages(void)
{
	bool used_before;

	while (th->heap.page_heap.free_pages) {
		u32 page = page_heap_alloc(&th->heap.page_heap, 1, &used_before);

		span_init_large(&th->heap, page, 1, 0, 1, false);
		port_populate(&th->heap, page, 1, &used_before);
		page_backed_set(&th->heap.page_heap, page, 1, true);
	}
}

static void test_empty_spans_come_before_fragmented_ones(void **state)
{
	u32 partial = kept_span(CLASS_64, 10);
	u32 page = request_span(th, 0, CLASS_64);

	(void)state;
	assert_int_not_equal(page, partial);
	assert_int_equal(span_at(page)->allocated, 0);
	core_check_bits(th);
}

static void test_one_of_thousands_of_centrals_fills_its_holes_first(void **state)
{
	struct span_key key = { .kind = GCHEAP_KIND_MASK, .span_class = 4 };
	u32 partial = kept_span(CLASS_64, 10);

	(void)state;
	while (th->heap.centrals.count < 4000) {
		key.mask++;
		assert_non_null(central_get(&th->heap, &key));
	}
	/* 118 free slots of 64 bytes, and its part is 8 KiB. */
	assert_int_not_equal(request_span(th, 0, CLASS_64), partial);
	while (th->heap.centrals.count < 5000) {
		key.mask++;
		assert_non_null(central_get(&th->heap, &key));
	}
	assert_int_equal(request_span(th, 0, CLASS_64), partial);
	core_check_bits(th);
}

static void test_fragmented_spans_come_before_growth(void **state)
{
	u32 partial = kept_span(CLASS_64, 10);
	u32 heap_pages;

	(void)state;
	take_free_pages();
	heap_pages = th->heap.heap_pages;
	assert_int_equal(request_span(th, 0, CLASS_64), partial);
	assert_int_equal(th->heap.heap_pages, heap_pages);
	assert_int_not_equal(request_span(th, 0, CLASS_64), 0);
	assert_in_range(th->heap.heap_pages, heap_pages + 1, U32_MAX);
	core_check_bits(th);
}

static void test_what_was_given_back_last_comes_first(void **state)
{
	u32 pages[20];

	(void)state;
	for (u32 i = 0; i < 20; i++)
		pages[i] = kept_span(CLASS_64, i + 1);
	take_free_pages();
	for (u32 i = 20; i--;) {
		assert_int_equal(request_span(th, 0, CLASS_64), pages[i]);
		assert_int_equal(span_at(pages[i])->allocated, i + 1);
	}
	core_check_bits(th);
}

static void test_full_spans_are_not_handed_out(void **state)
{
	u32 full[10];
	u32 page;

	(void)state;
	for (u32 i = 0; i < 10; i++)
		full[i] = kept_span(CLASS_4096, 2);
	take_free_pages();
	page = request_span(th, 0, CLASS_4096);
	for (u32 i = 0; i < 10; i++)
		assert_int_not_equal(page, full[i]);
	core_check_bits(th);
}

static void test_a_span_given_back_empty_becomes_free_pages(void **state)
{
	u32 page = kept_span(CLASS_64, 0);

	(void)state;
	assert_true(page_heap_is_free(&th->heap.page_heap, page));
	assert_int_equal(th->heap.counters.freed_spans, 1);
	core_check_bits(th);
}

static void test_a_span_given_back_holds_old_data(void **state)
{
	struct gcheap_grant grant;
	u32 page = kept_span(CLASS_64, 1);
	u32 count = 1;

	(void)state;
	take_free_pages();
	assert_int_equal(request_refill(th, 0, CLASS_64, 1, NULL, 0, &grant, &count), 0);
	assert_int_equal(grant.page, page);
	assert_int_equal(grant.slots, 128);
	assert_int_equal(grant.free_slots, 127);
	assert_int_equal(grant.flags, GCHEAP_GRANT_NEEDZERO);
}

static void test_classes_do_not_take_each_others_spans(void **state)
{
	u32 type = request_type(th, 64, 1);

	(void)state;
	kept_span(CLASS_64, 1);
	take_free_pages();
	assert_int_equal(span_at(request_span(th, 0, CLASS_64 + 1))->span_class,
			 (CLASS_64 + 1) * 2 + 1);
	assert_int_equal(span_at(request_span(th, type, CLASS_64))->span_class, CLASS_64 * 2);
	core_check_bits(th);
}

static void test_any_order_of_removal_keeps_the_lists_whole(void **state)
{
	u32 pages[200];

	(void)state;
	random_seed();
	for (u32 round = 0; round < 20; round++) {
		for (u32 i = 0; i < 200; i++) {
			pages[i] = request_span(th, 0, CLASS_4096);
			slots_allocate(th, pages[i], 1 + (u32)random_below(2));
		}
		assert_int_equal(request_refill(th, 0, 0, 0, pages, 200, NULL, NULL), 0);
		for (u32 i = 0; i < 200; i++) {
			u32 at = i + (u32)random_below(200 - i);
			u32 page = pages[at];

			pages[at] = pages[i];
			central_remove(&th->heap, central_of_span(&th->heap, page), page);
			/* In no list, and yet there: as it is in the middle of a sweep. */
			span_set_state(span_at(page), GCHEAP_SPAN_CACHED);
			th->heap.counters.cached_spans++;
			if (i % 32 == 0)
				core_check(th);
			slot_free(th, page, 0);
			slot_free(th, page, 1);
			assert_int_equal(request_return(th, page), 0);
		}
		assert_int_equal(th->heap.counters.spans, 0);
		core_check_bits(th);
	}
}

/* ---- sweeping on the way ------------------------------------------------------ */

/* Ends a cycle in which the first @marked slots of each of these spans were marked. */
static void cycle(const u32 *pages, u32 count, u32 marked)
{
	assert_int_equal(request_mark_start(th), 0);
	for (u32 page = 1; page < th->heap.heap_pages; page++) {
		if (span_state(span_at(page)) == GCHEAP_SPAN_LARGE)
			slot_mark(th, page, 0);
	}
	for (u32 i = 0; i < count; i++) {
		for (u32 slot = 0; slot < marked; slot++)
			slot_mark(th, pages[i], slot);
		page_mark(th, pages[i]);
	}
	assert_int_equal(request_sweep_start(th, NULL), 0);
}

static void test_unswept_spans_are_swept_before_the_heap_grows(void **state)
{
	u32 pages[3];
	u32 heap_pages;

	(void)state;
	for (u32 i = 0; i < 3; i++)
		pages[i] = kept_span(CLASS_4096, 2);
	take_free_pages();
	heap_pages = th->heap.heap_pages;
	cycle(pages, 3, 1);
	assert_int_equal(th->heap.counters.unswept_spans, 3);
	for (u32 i = 0; i < 3; i++)
		assert_int_not_equal(request_span(th, 0, CLASS_4096), 0);
	assert_int_equal(th->heap.counters.unswept_spans, 0);
	assert_int_equal(th->heap.heap_pages, heap_pages);
	core_check_bits(th);
}

static void test_a_refill_sweeps_a_few_spans_ahead(void **state)
{
	u32 pages[100];

	(void)state;
	for (u32 i = 0; i < 100; i++)
		pages[i] = kept_span(CLASS_4096, 2);
	cycle(pages, 100, 2);
	assert_int_equal(th->heap.counters.unswept_spans, 100);
	for (u32 left = 100; left; left -= min_t(u32, left, 32)) {
		assert_int_equal(th->heap.counters.unswept_spans, left);
		assert_int_not_equal(request_span(th, 0, CLASS_4096), 0);
	}
	assert_int_equal(th->heap.counters.unswept_spans, 0);
	core_check_bits(th);
}

static void test_a_sparse_class_fills_its_holes_before_it_takes_pages(void **state)
{
	u32 pages[100];
	u32 in_use;
	u32 taken = 0;

	(void)state;
	for (u32 i = 0; i < 100; i++)
		pages[i] = kept_span(CLASS_64, 128);
	cycle(pages, 100, 1);
	/* It knows of 32 spans after one call, and of all after four. */
	assert_int_not_equal(request_span(th, 0, CLASS_64), 0);
	in_use = th->heap.counters.in_use_pages;
	assert_true(th->heap.page_heap.free_pages > 0);
	/* 127 of 128 slots of 64 bytes are free in each: 256 KiB are those of 33 spans. */
	while (th->heap.counters.in_use_pages == in_use) {
		assert_int_not_equal(request_span(th, 0, CLASS_64), 0);
		taken++;
	}
	assert_in_range(taken, 60, 70);
	core_check_bits(th);
}

static void test_a_span_that_turns_out_dead_is_made_anew(void **state)
{
	u32 page = kept_span(CLASS_4096, 2);
	u32 heap_pages;

	(void)state;
	take_free_pages();
	heap_pages = th->heap.heap_pages;
	/* Its page mark is set, but no slot's: the sweep must look at the bits. */
	cycle(&page, 1, 0);
	assert_int_equal(request_span(th, 0, CLASS_4096), page);
	assert_int_equal(span_at(page)->allocated, 0);
	assert_int_equal(th->heap.counters.swept_spans, 1);
	assert_int_equal(th->heap.heap_pages, heap_pages);
	core_check_bits(th);
}

static void test_a_refill_does_not_sweep_without_end(void **state)
{
	static u32 pages[1000];

	(void)state;
	for (u32 i = 0; i < 1000; i++)
		pages[i] = kept_span(CLASS_8192, 1);
	take_free_pages();
	cycle(pages, 1000, 1);
	assert_int_equal(th->heap.counters.unswept_spans, 1000);
	assert_int_not_equal(request_span(th, 0, CLASS_8192), 0);
	/* All of them are full: it grows before it has swept them all. */
	assert_in_range(th->heap.counters.unswept_spans, 500, 999);
	core_check_bits(th);
}

/* ---- no memory ----------------------------------------------------------------- */

static void test_a_central_without_memory_is_not_made(void **state)
{
	struct span_key key;

	(void)state;
	assert_int_equal(key_of(0, CLASS_64, &key), 0);
	port_test_fail(1, true);
	assert_null(central_get(&th->heap, &key));
	port_test_reset();
	assert_null(central_find(&th->heap, &key));
	core_check(th);
	assert_non_null(central_get(&th->heap, &key));
}

static void test_pages_that_cannot_be_backed_are_free_again(void **state)
{
	u32 partial = kept_span(CLASS_64, 1);
	u32 free_pages = th->heap.page_heap.free_pages;

	(void)state;
	port_test_fail(1, true);
	/* Free pages cannot be had, but a span that is there can. */
	assert_int_equal(request_span(th, 0, CLASS_64), partial);
	assert_int_equal(request_span(th, 0, CLASS_64), 0);
	assert_int_equal(th->heap.page_heap.free_pages, free_pages);
	port_test_reset();
	assert_int_not_equal(request_span(th, 0, CLASS_64), 0);
	core_check_bits(th);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name)	cmocka_unit_test_setup_teardown(name, setup, fixture_end)
		TEST(test_err_size_class_that_does_not_exist),
		TEST(test_err_type_that_does_not_exist),
		TEST(test_err_slots_too_small_for_the_type),
		TEST(test_a_header_keeps_the_alignment_of_its_object),
		TEST(test_a_footer_takes_8_bytes_whatever_the_alignment),
		TEST(test_types_with_the_same_mask_share_a_central),
		TEST(test_large_objects_of_two_types_do_not_share_spans),
		TEST(test_all_types_share_spans_in_the_header_layout),
		TEST(test_all_types_share_spans_in_the_footer_layout),
		TEST(test_all_types_share_spans_in_the_bitmap_layout),
		TEST(test_a_central_is_found_again_among_thousands),
		TEST(test_a_table_that_cannot_grow_takes_more_centrals),
		TEST(test_keys_that_differ_in_one_part_are_two),
		TEST(test_empty_spans_come_before_fragmented_ones),
		TEST(test_one_of_thousands_of_centrals_fills_its_holes_first),
		TEST(test_fragmented_spans_come_before_growth),
		TEST(test_what_was_given_back_last_comes_first),
		TEST(test_full_spans_are_not_handed_out),
		TEST(test_a_span_given_back_empty_becomes_free_pages),
		TEST(test_a_span_given_back_holds_old_data),
		TEST(test_classes_do_not_take_each_others_spans),
		TEST(test_any_order_of_removal_keeps_the_lists_whole),
		TEST(test_unswept_spans_are_swept_before_the_heap_grows),
		TEST(test_a_refill_sweeps_a_few_spans_ahead),
		TEST(test_a_sparse_class_fills_its_holes_before_it_takes_pages),
		TEST(test_a_span_that_turns_out_dead_is_made_anew),
		TEST(test_a_refill_does_not_sweep_without_end),
		TEST(test_a_central_without_memory_is_not_made),
		TEST(test_pages_that_cannot_be_backed_are_free_again),
	};

	return cmocka_run_group_tests_name("central lists", tests, NULL, NULL);
}
