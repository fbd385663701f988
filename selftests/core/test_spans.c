// SPDX-License-Identifier: MIT
/*
 * Spans: what their descriptors, PAGES entries and bits say.
 */
#include "core_check.h"
#include "core_test.h"
#include "fixture.h"
#include "request.h"

static void heap_of(u32 layout)
{
	fixture_heap(layout, GCHEAP_RESERVE_MIN, 0);
}

static int setup(void **state)
{
	(void)state;
	return fixture_begin(GCHEAP_LAYOUT_SPAN, GCHEAP_RESERVE_MIN, 0);
}

static const struct gcheap_span *span_at(u32 page)
{
	return test_heap_table(th, GCHEAP_REGION_SPANS, page * 32ull);
}

static u64 info_at(u32 page)
{
	return *(u64 *)test_heap_table(th, GCHEAP_REGION_PAGES, page * 8ull);
}

/* A type whose objects fill the slots of a class, header or footer included. */
static u32 type_for(u32 size_class, u32 word_bytes)
{
	return request_type(th, size_class_bytes[size_class] - word_bytes, 1);
}

static void test_slots_fill_their_span(void **state)
{
	(void)state;
	for (u32 i = SIZE_CLASS_MIN; i < SIZE_CLASSES; i++) {
		u32 bytes = size_class_bytes[i];
		u32 slots = span_slots(i, GCHEAP_KIND_NOSCAN);

		assert_int_equal(slots, size_class_slots[i]);
		assert_int_equal(span_slots(i, GCHEAP_KIND_MASK), slots);
		assert_int_equal(span_slots(i, GCHEAP_KIND_TYPE), slots);
		assert_int_equal(span_slots(i, GCHEAP_KIND_HEADER), slots);
		assert_int_equal(span_slots(i, GCHEAP_KIND_FOOTER), slots);
		if (bytes > GCHEAP_HEAP_BITS_MAX)
			continue;
		/* One page, of which heap bits take 128 bytes. */
		assert_int_equal(span_slots(i, GCHEAP_KIND_HEAP_BITS), (8192 - 128) / bytes);
	}
}

static void test_every_slot_has_a_bit_of_its_own_inside_it(void **state)
{
	(void)state;
	for (u32 i = SIZE_CLASS_MIN; i < SIZE_CLASSES; i++) {
		u32 slots = span_slots(i, GCHEAP_KIND_NOSCAN);
		u64 words[SPAN_PAGES_MAX * MARK_WORDS_PER_PAGE];
		u64 expected[SPAN_PAGES_MAX * MARK_WORDS_PER_PAGE] = { 0 };
		u32 set = 0;

		for (u32 slot = 0; slot < slots; slot++) {
			u32 start = slot * size_class_bytes[i];
			u32 granule = (start + 8) / 16;

			assert_true(granule * 16 >= start);
			assert_true(granule * 16 + 8 <= start + size_class_bytes[i]);
			assert_false(expected[granule / 64] >> granule % 64 & 1);
			expected[granule / 64] |= 1ull << granule % 64;
		}
		memset(words, 0xa5, sizeof(words));
		span_slot_bits(i, slots, words);
		assert_memory_equal(words, expected, size_class_pages[i] * 64);
		for (u32 at = 0; at < size_class_pages[i] * 8u; at++)
			set += (u32)__builtin_popcountll(words[at]);
		assert_int_equal(set, slots);
	}
}

static void test_slot_bits_end_where_the_span_does(void **state)
{
	(void)state;
	for (u32 i = SIZE_CLASS_MIN; i < SIZE_CLASSES; i++) {
		/* Of just that length, so that the sanitizer sees a store too far. */
		u64 *words = malloc(size_class_pages[i] * 64);

		span_slot_bits(i, span_slots(i, GCHEAP_KIND_NOSCAN), words);
		free(words);
	}
}

static void check_class(u32 size_class, u32 type, u32 kind)
{
	u32 page = request_span(th, type, size_class);
	bool noscan = kind == GCHEAP_KIND_NOSCAN;
	const struct gcheap_span *span;

	assert_int_not_equal(page, 0);
	span = span_at(page);
	assert_int_equal(span->state & GCHEAP_SPAN_STATE_MASK, GCHEAP_SPAN_CACHED);
	assert_int_equal(span->span_class, size_class * 2 + noscan);
	assert_int_equal(span->npages, size_class_pages[size_class]);
	assert_int_equal(span->allocated, 0);
	assert_int_equal(span->type, kind == GCHEAP_KIND_TYPE ? type : 0);
	assert_int_equal(span->ptr_mask & 1, kind == GCHEAP_KIND_MASK);
	for (u32 i = 0; i < span->npages; i++) {
		u64 info = info_at(page + i);

		assert_int_equal(GCHEAP_PAGE_KIND(info), kind);
		assert_int_equal(GCHEAP_PAGE_INDEX(info), i);
		assert_int_equal(GCHEAP_PAGE_CLASS(info), size_class);
		assert_int_equal(GCHEAP_PAGE_SLOT_BYTES(info), size_class_bytes[size_class]);
		assert_int_equal(!!(info & GCHEAP_PAGE_NOSCAN), noscan);
		/* From any page of it to any slot. */
		for (u32 at = i * 8192; at < (i + 1) * 8192; at += 8)
			assert_int_equal((u64)at * GCHEAP_PAGE_MAGIC(info) >> 32,
					 at / size_class_bytes[size_class]);
	}
	core_check_bits(th);
}

static void test_spans_of_every_class_are_described_right(void **state)
{
	(void)state;
	for (u32 i = SIZE_CLASS_MIN; i < SIZE_CLASSES; i++) {
		bool small = size_class_bytes[i] <= 512;

		heap_of(GCHEAP_LAYOUT_SPAN);
		check_class(i, 0, GCHEAP_KIND_NOSCAN);
		check_class(i, request_type(th, 1, 0), GCHEAP_KIND_NOSCAN);
		check_class(i, type_for(i, 0), small ? GCHEAP_KIND_MASK : GCHEAP_KIND_TYPE);

		heap_of(GCHEAP_LAYOUT_HEADER);
		check_class(i, 0, GCHEAP_KIND_NOSCAN);
		check_class(i, type_for(i, small ? 0 : 8),
			    small ? GCHEAP_KIND_HEAP_BITS : GCHEAP_KIND_HEADER);

		heap_of(GCHEAP_LAYOUT_FOOTER);
		check_class(i, 0, GCHEAP_KIND_NOSCAN);
		check_class(i, type_for(i, small ? 0 : 8),
			    small ? GCHEAP_KIND_HEAP_BITS : GCHEAP_KIND_FOOTER);

		heap_of(GCHEAP_LAYOUT_BITMAP);
		check_class(i, 0, GCHEAP_KIND_NOSCAN);
		check_class(i, type_for(i, 0), GCHEAP_KIND_BITMAP);
	}
}

static void test_set_bits_are_counted_but_never_more_than_slots(void **state)
{
	(void)state;
	for (u32 i = SIZE_CLASS_MIN; i < SIZE_CLASSES; i++) {
		u32 page = request_span(th, 0, i);
		u32 slots = span_at(page)->slots;
		u32 alloc = th->heap.mark_table ^ 1;

		assert_int_equal(span_count(&th->heap, page, alloc), 0);
		for (u32 slot = 0; slot < slots; slot++) {
			slot_allocate(th, page, slot);
			assert_int_equal(span_count(&th->heap, page, alloc), slot + 1);
		}
		/* A process that sets every bit there is. */
		for (u32 granule = 0; granule < span_at(page)->npages * 512; granule++)
			granule_set(th, alloc, page, granule);
		assert_int_equal(span_count(&th->heap, page, alloc), slots);
		assert_int_equal(span_count(&th->heap, page, alloc ^ 1), 0);
	}
}

static void test_a_large_span_is_described_right(void **state)
{
	static const u64 lengths[] = { 1, 32769, 8191, 8192, 8193, 40960, 1 << 20, (1 << 20) + 1 };
	u32 type = request_type(th, 8, 1);

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(lengths); i++) {
		u32 page = request_large(th, 0, lengths[i]);

		assert_int_not_equal(page, 0);
		assert_int_equal(span_at(page)->state, GCHEAP_SPAN_LARGE);
		assert_int_equal(span_at(page)->object_bytes, lengths[i]);
		assert_int_equal(span_at(page)->npages, (lengths[i] + 8191) / 8192);
		assert_int_equal(span_at(page)->type, 0);
		assert_int_equal(GCHEAP_PAGE_KIND(info_at(page)), GCHEAP_KIND_LARGE);
		assert_true(info_at(page) & GCHEAP_PAGE_NOSCAN);
		assert_true(slot_is_allocated(th, page, 0));
		core_check_bits(th);
	}
	for (u64 count = 1; count < 100000; count = count * 3 + 1) {
		u32 page = request_large(th, type, count);

		assert_int_not_equal(page, 0);
		assert_int_equal(span_at(page)->object_bytes, 8 * count);
		assert_int_equal(span_at(page)->type, type);
		assert_false(info_at(page) & GCHEAP_PAGE_NOSCAN);
	}
	core_check_bits(th);
}

static void test_an_array_of_a_type_without_pointers_needs_no_scan(void **state)
{
	u32 type = request_type(th, 100, 0);
	u32 page = request_large(th, type, 1000);

	(void)state;
	assert_int_equal(span_at(page)->type, type);
	assert_true(info_at(page) & GCHEAP_PAGE_NOSCAN);
	core_check_bits(th);
}

static void test_a_freed_span_leaves_no_trace(void **state)
{
	(void)state;
	for (u32 i = SIZE_CLASS_MIN; i < SIZE_CLASSES; i++) {
		u32 page = request_span(th, 0, i);

		assert_int_equal(request_return(th, page), 0);
		for (u32 at = page; at < page + size_class_pages[i]; at++) {
			static const struct gcheap_span none;

			assert_memory_equal(span_at(at), &none, sizeof(none));
			assert_int_equal(info_at(at), 0);
			assert_true(page_heap_is_free(&th->heap.page_heap, at));
		}
	}
	assert_int_equal(th->heap.counters.spans, 0);
	assert_int_equal(th->heap.counters.in_use_pages, 0);
	assert_int_equal(th->heap.counters.freed_spans, SIZE_CLASSES - SIZE_CLASS_MIN);
	core_check_bits(th);
}

static void test_memory_that_was_used_needs_zeroing(void **state)
{
	u32 page = request_span(th, 0, 10);

	(void)state;
	assert_false(span_at(page)->state & GCHEAP_SPAN_NEEDZERO);
	assert_int_equal(request_return(th, page), 0);
	assert_int_equal(request_span(th, 0, 20), page);
	assert_true(span_at(page)->state & GCHEAP_SPAN_NEEDZERO);
	assert_int_equal(request_return(th, page), 0);
	assert_int_equal(request_large(th, 0, 8192 * 3), page);
	assert_true(span_at(page)->state & GCHEAP_SPAN_NEEDZERO);
	page = request_large(th, 0, 8192 * 3);
	assert_false(span_at(page)->state & GCHEAP_SPAN_NEEDZERO);
}

static void test_bits_that_a_process_left_behind_are_not_allocated(void **state)
{
	(void)state;
	for (u32 i = SIZE_CLASS_MIN; i < SIZE_CLASSES; i++) {
		u32 alloc = th->heap.mark_table ^ 1;
		u32 page = request_span(th, 0, i);
		u32 npages = size_class_pages[i];

		assert_int_equal(request_return(th, page), 0);
		for (u32 granule = 0; granule < npages * 512; granule++)
			granule_set(th, alloc, page, granule);
		assert_int_equal(request_span(th, 0, i), page);
		assert_int_equal(span_count(&th->heap, page, alloc), 0);
		assert_int_equal(request_return(th, page), 0);

		/* A large object has one bit, whatever was there. */
		for (u32 granule = 0; granule < 512; granule++)
			granule_set(th, alloc, page, granule);
		assert_int_equal(request_large(th, 0, 1), page);
		assert_int_equal(*heap_marks(&th->heap, alloc, page), 1);
		for (u32 word = 1; word < MARK_WORDS_PER_PAGE; word++)
			assert_int_equal(heap_marks(&th->heap, alloc, page)[word], 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name)	cmocka_unit_test_setup_teardown(name, setup, fixture_end)
		TEST(test_slots_fill_their_span),
		TEST(test_every_slot_has_a_bit_of_its_own_inside_it),
		TEST(test_slot_bits_end_where_the_span_does),
		TEST(test_spans_of_every_class_are_described_right),
		TEST(test_set_bits_are_counted_but_never_more_than_slots),
		TEST(test_a_large_span_is_described_right),
		TEST(test_an_array_of_a_type_without_pointers_needs_no_scan),
		TEST(test_a_freed_span_leaves_no_trace),
		TEST(test_memory_that_was_used_needs_zeroing),
		TEST(test_bits_that_a_process_left_behind_are_not_allocated),
	};

	return cmocka_run_group_tests_name("spans", tests, NULL, NULL);
}
