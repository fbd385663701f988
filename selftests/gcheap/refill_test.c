// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * REFILL: what it hands out and takes back, for each size class, kind of type
 * and layout. The rules that it refuses by are in refill_err_test.c.
 */
#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

FIXTURE(refill) {
	struct test_heap heap;
	struct gcheap_grant grant;
	struct gcheap_grant grants[GCHEAP_REFILL_MAX];
	__u32 pages[GCHEAP_REFILL_MAX];
	__u32 granted;
};

FIXTURE_VARIANT(refill) {
	__u32 layout;
};

FIXTURE_VARIANT_ADD(refill, span_layout) {
	.layout = GCHEAP_LAYOUT_SPAN,
};

FIXTURE_VARIANT_ADD(refill, header_layout) {
	.layout = GCHEAP_LAYOUT_HEADER,
};

FIXTURE_VARIANT_ADD(refill, footer_layout) {
	.layout = GCHEAP_LAYOUT_FOOTER,
};

FIXTURE_VARIANT_ADD(refill, bitmap_layout) {
	.layout = GCHEAP_LAYOUT_BITMAP,
};

FIXTURE_SETUP(refill)
{
	ASSERT_OK(heap_open(&self->heap, variant->layout, SMALL_RESERVE));
}

FIXTURE_TEARDOWN(refill)
{
	EXPECT_EQ(NULL, heap_wrong(&self->heap)) {
		TH_LOG("%s", heap_wrong(&self->heap));
	}
	heap_close(&self->heap);
}

/* ---- what a span is ------------------------------------------------------------ */

TEST_F(refill, hands_out_spans_of_bytes_in_every_class)
{
	for (__u32 class = SIZE_CLASS_MIN; class < SIZE_CLASSES; class++) {
		test_cmd_take(0, class, &self->grant);
		ASSERT_RIGHT(span_wrong(&self->heap, &self->grant, class, true));
		ASSERT_EQ(self->grant.slots, self->grant.free_slots);
		ASSERT_EQ(0, heap_span(&self->heap, self->grant.page)->type);
	}
}

TEST_F(refill, hands_out_spans_of_pointers_in_every_class)
{
	__u32 type;

	test_cmd_type_words(2, 1, &type);
	for (__u32 class = SIZE_CLASS_MIN; class < SIZE_CLASSES; class++) {
		const struct gcheap_span *span;
		__u32 kind = kind_of(variant->layout, class, false);

		test_cmd_take(type, class, &self->grant);
		ASSERT_RIGHT(span_wrong(&self->heap, &self->grant, class, false));
		span = heap_span(&self->heap, self->grant.page);
		ASSERT_EQ(kind == GCHEAP_KIND_TYPE ? type : 0, span->type);
		if (kind == GCHEAP_KIND_MASK)
			ASSERT_EQ(tiled_mask(1, 2, size_classes[class].bytes), span->ptr_mask);
	}
}

TEST_F(refill, hands_out_zeroed_writable_memory_in_every_class)
{
	for (__u32 class = SIZE_CLASS_MIN; class < SIZE_CLASSES; class++) {
		size_t bytes = (size_t)size_classes[class].npages << GCHEAP_PAGE_SHIFT;

		test_cmd_take(0, class, &self->grant);
		ASSERT_EQ(0, self->grant.flags);
		ASSERT_TRUE(memory_is(heap_mem(&self->heap, self->grant.page), 0, bytes));
		memset(heap_mem(&self->heap, self->grant.page), 0xee, bytes);
	}
}

TEST_F(refill, hands_out_memory_that_is_there_already)
{
	unsigned char there[4];
	char *mem;

	test_cmd_take(0, CLASS_32768, &self->grant);
	mem = heap_mem(&self->heap, self->grant.page);
	/* A system call need not fault it in. */
	EXPECT_OK(read_into(mem, 32768));
	if (!mincore(mem, 4 * 4096, there)) {
		for (int i = 0; i < 4; i++)
			EXPECT_EQ(1, there[i] & 1);
	}
}

/* One bit of the bit tables a slot, in every class. */
TEST_F(refill, hands_out_slots_that_all_have_a_bit)
{
	for (__u32 class = SIZE_CLASS_MIN; class < SIZE_CLASSES; class++) {
		__u32 slots;

		test_cmd_take(0, class, &self->grant);
		slots = self->grant.slots;
		for (__u32 i = 0; i < slots; i++) {
			ASSERT_EQ(i, slots_allocated(&self->heap, self->grant.page));
			ASSERT_EQ((int)i, slot_take(&self->heap, self->grant.page));
		}
		ASSERT_EQ(-1, slot_take(&self->heap, self->grant.page));
	}
}

TEST_F(refill, tiles_the_mask_of_an_element_over_the_slot)
{
	static const struct {
		__u32 words;
		__u64 mask;
		__u32 class;
	} cases[] = {
		{ 1, 1, CLASS_16 }, { 1, 1, CLASS_512 }, { 2, 2, CLASS_64 },
		{ 3, 5, CLASS_24 }, { 3, 1, CLASS_64 }, { 3, 4, CLASS_512 },
		{ 5, 0x13, CLASS_64 }, { 7, 0x41, CLASS_512 }, { 8, 0x80, CLASS_64 },
		{ 33, 0x100000001ull, CLASS_512 }, { 64, ~0ull, CLASS_512 },
		{ 64, 1ull << 63, CLASS_512 }, { 63, 1ull << 62 | 1, CLASS_512 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		__u32 type;

		test_cmd_type_words(cases[i].words, cases[i].mask, &type);
		test_cmd_take(type, cases[i].class, &self->grant);
		ASSERT_RIGHT(span_wrong(&self->heap, &self->grant, cases[i].class, false));
		if (variant->layout == GCHEAP_LAYOUT_SPAN)
			ASSERT_EQ(tiled_mask(cases[i].mask, cases[i].words,
					     size_classes[cases[i].class].bytes),
				  heap_span(&self->heap, self->grant.page)->ptr_mask);
	}
}

TEST_F(refill, gives_heap_bits_the_tail_of_the_span)
{
	const bool bits = kind_of(variant->layout, CLASS_64, false) == GCHEAP_KIND_HEAP_BITS;
	__u32 type;

	test_cmd_type_words(2, 1, &type);
	test_cmd_take(type, CLASS_16, &self->grant);
	EXPECT_EQ(bits ? 504 : 512, self->grant.slots);
	test_cmd_take(type, CLASS_64, &self->grant);
	EXPECT_EQ(bits ? 126 : 128, self->grant.slots);
	test_cmd_take(type, CLASS_512, &self->grant);
	EXPECT_EQ(bits ? 15 : 16, self->grant.slots);
	/* Larger ones have type words instead, and bytes have neither. */
	test_cmd_take(type, CLASS_1024, &self->grant);
	EXPECT_EQ(8, self->grant.slots);
	test_cmd_take(0, CLASS_64, &self->grant);
	EXPECT_EQ(128, self->grant.slots);
}

TEST_F(refill, takes_types_that_just_fit)
{
	__u32 fits_1024 = has_type_words(variant->layout) ? 127 : 128;
	__u32 type;

	test_cmd_type_words(64, 1, &type);
	test_cmd_take(type, CLASS_512, &self->grant);
	test_cmd_type_words(fits_1024, 1, &type);
	test_cmd_take(type, CLASS_1024, &self->grant);
	test_cmd_type_words(fits_1024 + 1, 1, &type);
	test_err_refill(EINVAL, type, CLASS_1024, 1, NULL, 0, &self->grant, 1, NULL);
	/* Without pointers there is no type word. */
	test_cmd_type_words(128, 0, &type);
	test_cmd_take(type, CLASS_1024, &self->grant);
}

/* ---- how many ---------------------------------------------------------------------- */

TEST_F(refill, takes_as_many_spans_as_the_bytes_need)
{
	const __u32 span_bytes = GCHEAP_PAGE_BYTES;

	for (__u32 spans = 1; spans <= 40; spans += 13) {
		test_cmd_refill(0, CLASS_64, spans * span_bytes, NULL, 0, self->grants,
				GCHEAP_REFILL_MAX, &self->granted);
		EXPECT_EQ(spans, self->granted);
		test_cmd_refill(0, CLASS_64, spans * span_bytes - 1, NULL, 0, self->grants,
				GCHEAP_REFILL_MAX, &self->granted);
		EXPECT_EQ(spans, self->granted);
		test_cmd_refill(0, CLASS_64, spans * span_bytes + 1, NULL, 0, self->grants,
				GCHEAP_REFILL_MAX, &self->granted);
		EXPECT_EQ(spans + 1, self->granted);
	}
}

TEST_F(refill, takes_no_more_spans_than_there_is_room_for)
{
	memset(self->grants, 0x7f, sizeof(self->grants));
	test_cmd_refill(0, CLASS_64, ~0u, NULL, 0, self->grants, 5, &self->granted);
	EXPECT_EQ(5, self->granted);
	EXPECT_TRUE(memory_is(&self->grants[5], 0x7f, sizeof(self->grants) -
						      5 * sizeof(self->grant)));
	test_cmd_refill(0, CLASS_64, ~0u, NULL, 0, self->grants, GCHEAP_REFILL_MAX,
			&self->granted);
	EXPECT_EQ(GCHEAP_REFILL_MAX, self->granted);
}

TEST_F(refill, hands_out_each_span_once)
{
	static __u8 seen[SMALL_RESERVE >> GCHEAP_PAGE_SHIFT];
	__u32 total = 0;

	for (int i = 0; i < 10; i++) {
		test_cmd_refill(0, CLASS_24, ~0u, NULL, 0, self->grants, 100, &self->granted);
		for (__u32 g = 0; g < self->granted; g++) {
			ASSERT_RIGHT(span_wrong(&self->heap, &self->grants[g], CLASS_24,
						true));
			ASSERT_EQ(0, seen[self->grants[g].page]);
			seen[self->grants[g].page] = 1;
			total++;
		}
	}
	EXPECT_EQ(1000, total);
}

TEST_F(refill, counts_what_it_did)
{
	struct gcheap_counters before, after;

	test_cmd_stats(&before);
	test_cmd_refill(0, CLASS_32768, 10 * 32768, NULL, 0, self->grants, 20,
			&self->granted);
	test_cmd_stats(&after);
	EXPECT_EQ(10, self->granted);
	EXPECT_EQ(before.refills + 1, after.refills);
	EXPECT_EQ(before.refilled_spans + 10, after.refilled_spans);
	EXPECT_EQ(before.spans + 10, after.spans);
	EXPECT_EQ(before.cached_spans + 10, after.cached_spans);
	EXPECT_EQ(before.in_use_pages + 40, after.in_use_pages);
	EXPECT_LE(before.resident_bytes + 40 * GCHEAP_PAGE_BYTES, after.resident_bytes);
	EXPECT_GT(after.heap_pages, after.in_use_pages);
	EXPECT_LE(1, after.table_bytes);
}

TEST_F(refill, of_nothing_does_nothing)
{
	struct gcheap_counters before, after;

	test_cmd_stats(&before);
	test_cmd_refill(0, 0, 0, NULL, 0, NULL, 0, &self->granted);
	EXPECT_EQ(0, self->granted);
	/* Type and class are ignored, and the grants not looked at. */
	test_cmd_refill(12345, 99, 0, NULL, 0, (void *)8, 10, &self->granted);
	EXPECT_EQ(0, self->granted);
	test_cmd_stats(&after);
	EXPECT_EQ(before.spans, after.spans);
}

/* ---- what is given back ------------------------------------------------------------- */

TEST_F(refill, takes_back_a_full_span_and_keeps_it)
{
	const struct gcheap_span *span;
	__u32 page;

	test_cmd_take(0, CLASS_64, &self->grant);
	page = self->grant.page;
	span = heap_span(&self->heap, page);
	span_fill(&self->heap, page);
	test_cmd_give(&page, 1);
	EXPECT_EQ(GCHEAP_SPAN_CENTRAL, span_state(&self->heap, page));
	EXPECT_EQ(span->slots, span->allocated);
	/* It has no free slot, and is not handed out again. */
	for (int i = 0; i < 300; i++) {
		test_cmd_take(0, CLASS_64, &self->grant);
		ASSERT_NE(page, self->grant.page);
	}
}

TEST_F(refill, takes_back_a_partly_used_span_and_hands_it_out_again)
{
	struct gcheap_counters counters;
	__u32 page;

	test_cmd_take(0, CLASS_64, &self->grant);
	page = self->grant.page;
	for (__u32 slot = 0; slot < 128; slot += 3)
		slot_alloc(&self->heap, page, slot);
	memset(heap_mem(&self->heap, page), 0x11, GCHEAP_PAGE_BYTES);
	test_cmd_give(&page, 1);
	EXPECT_EQ(GCHEAP_SPAN_CENTRAL, span_state(&self->heap, page));
	EXPECT_EQ(43, heap_span(&self->heap, page)->allocated);
	test_cmd_stats(&counters);
	EXPECT_EQ(0, counters.cached_spans);
	EXPECT_EQ(1, counters.spans);

	/* After the empty ones, by the time the heap would have to grow. */
	for (int i = 0; i < 1000; i++) {
		test_cmd_take(0, CLASS_64, &self->grant);
		ASSERT_RIGHT(span_wrong(&self->heap, &self->grant, CLASS_64, true));
		if (self->grant.page == page)
			break;
		ASSERT_EQ(128, self->grant.free_slots);
	}
	ASSERT_EQ(page, self->grant.page);
	EXPECT_EQ(128 - 43, self->grant.free_slots);
	EXPECT_EQ(GCHEAP_GRANT_NEEDZERO, self->grant.flags);
	for (__u32 slot = 0; slot < 128; slot++)
		EXPECT_EQ(slot % 3 == 0,
			  bit_test(alloc_bits(&self->heap), slot_bit(page, 64, slot)));
	EXPECT_TRUE(memory_is(heap_mem(&self->heap, page), 0x11, GCHEAP_PAGE_BYTES));
}

TEST_F(refill, frees_an_empty_span_that_comes_back)
{
	for (__u32 class = SIZE_CLASS_MIN; class < SIZE_CLASSES; class++) {
		struct gcheap_counters before, after;

		test_cmd_stats(&before);
		test_cmd_take(0, class, &self->grant);
		test_cmd_give(&self->grant.page, 1);
		ASSERT_RIGHT(free_wrong(&self->heap, self->grant.page,
					size_classes[class].npages));
		test_cmd_stats(&after);
		ASSERT_EQ(before.in_use_pages, after.in_use_pages);
		ASSERT_EQ(before.spans, after.spans);
		ASSERT_EQ(before.cached_spans, after.cached_spans);
		ASSERT_EQ(before.freed_spans + 1, after.freed_spans);
	}
}

TEST_F(refill, hands_out_freed_pages_again_and_says_that_they_are_used)
{
	__u32 page;

	test_cmd_take(0, CLASS_8192, &self->grant);
	EXPECT_EQ(0, self->grant.flags);
	page = self->grant.page;
	memset(heap_mem(&self->heap, page), 0x22, GCHEAP_PAGE_BYTES);
	test_cmd_give(&page, 1);
	test_cmd_take(0, CLASS_16, &self->grant);
	EXPECT_EQ(page, self->grant.page);
	EXPECT_EQ(GCHEAP_GRANT_NEEDZERO, self->grant.flags);
	EXPECT_EQ(512, self->grant.free_slots);
	ASSERT_RIGHT(span_wrong(&self->heap, &self->grant, CLASS_16, true));
	/* The kernel has not spent time on zeroing it. */
	EXPECT_TRUE(memory_is(heap_mem(&self->heap, page), 0x22, GCHEAP_PAGE_BYTES));
}

TEST_F(refill, gives_and_takes_in_one_request)
{
	struct gcheap_counters counters;

	test_cmd_refill(0, CLASS_64, ~0u, NULL, 0, self->grants, 64, &self->granted);
	ASSERT_EQ(64, self->granted);
	for (int round = 0; round < 10; round++) {
		for (__u32 i = 0; i < 64; i++) {
			self->pages[i] = self->grants[i].page;
			span_fill(&self->heap, self->pages[i]);
		}
		test_cmd_refill(0, CLASS_64, ~0u, self->pages, 64, self->grants, 64,
				&self->granted);
		ASSERT_EQ(64, self->granted);
		for (__u32 i = 0; i < 64; i++) {
			ASSERT_EQ(GCHEAP_SPAN_CENTRAL,
				  span_state(&self->heap, self->pages[i]));
			ASSERT_RIGHT(span_wrong(&self->heap, &self->grants[i], CLASS_64,
						true));
		}
		test_cmd_stats(&counters);
		ASSERT_EQ(64, counters.cached_spans);
	}
	EXPECT_EQ(11 * 64, counters.spans);
}

TEST_F(refill, takes_back_spans_of_other_classes)
{
	__u32 type, n = 0;

	test_cmd_type_words(2, 1, &type);
	for (__u32 class = SIZE_CLASS_MIN; class < SIZE_CLASSES; class++) {
		test_cmd_take(0, class, &self->grant);
		self->pages[n++] = self->grant.page;
		test_cmd_take(type, class, &self->grant);
		self->pages[n++] = self->grant.page;
		slot_alloc(&self->heap, self->grant.page, 0);
	}
	test_cmd_refill(0, CLASS_24, 1, self->pages, n, &self->grant, 1, &self->granted);
	for (__u32 i = 0; i < n; i += 2) {
		EXPECT_EQ(GCHEAP_SPAN_FREE, span_state(&self->heap, self->pages[i]));
		EXPECT_EQ(GCHEAP_SPAN_CENTRAL, span_state(&self->heap, self->pages[i + 1]));
		EXPECT_EQ(1, heap_span(&self->heap, self->pages[i + 1])->allocated);
	}
}

/* ---- which spans are shared ----------------------------------------------------------- */

/* Use up the pages that exist, so that spans with objects are handed out next. */
#define USE_UP_PAGES() do { \
	struct gcheap_grant use_; \
\
	do { \
		test_cmd_take(0, CLASS_8192, &use_); \
	} while (heap_ctrl(&self->heap)->counters.in_use_pages + 1 < \
		 heap_ctrl(&self->heap)->heap_pages); \
} while (0)

TEST_F(refill, shares_partial_spans_between_types_of_one_mask)
{
	__u32 a, b, page;

	test_cmd_type_words(8, 3, &a);
	test_cmd_type_words(8, 3, &b);
	test_cmd_take(a, CLASS_64, &self->grant);
	page = self->grant.page;
	slot_alloc(&self->heap, page, 7);
	USE_UP_PAGES();
	test_cmd_give(&page, 1);
	test_cmd_take(b, CLASS_64, &self->grant);
	EXPECT_EQ(page, self->grant.page);
	EXPECT_EQ(self->grant.slots - 1, self->grant.free_slots);
}

TEST_F(refill, shares_partial_spans_between_a_type_and_its_arrays)
{
	__u32 one, eight, page;

	test_cmd_type_words(1, 1, &one);
	test_cmd_type_words(8, 0xff, &eight);
	test_cmd_take(one, CLASS_64, &self->grant);
	page = self->grant.page;
	slot_alloc(&self->heap, page, 0);
	USE_UP_PAGES();
	test_cmd_give(&page, 1);
	test_cmd_take(eight, CLASS_64, &self->grant);
	EXPECT_EQ(page, self->grant.page);
}

TEST_F(refill, shares_partial_spans_between_types_without_pointers)
{
	__u32 type, page;

	test_cmd_type_words(8, 0, &type);
	test_cmd_take(type, CLASS_64, &self->grant);
	page = self->grant.page;
	slot_alloc(&self->heap, page, 0);
	USE_UP_PAGES();
	test_cmd_give(&page, 1);
	test_cmd_take(0, CLASS_64, &self->grant);
	EXPECT_EQ(page, self->grant.page);
}

TEST_F(refill, shares_no_span_between_different_masks)
{
	__u32 a, b, page;
	bool shared;

	test_cmd_type_words(8, 3, &a);
	test_cmd_type_words(8, 5, &b);
	test_cmd_take(a, CLASS_64, &self->grant);
	page = self->grant.page;
	slot_alloc(&self->heap, page, 7);
	USE_UP_PAGES();
	test_cmd_give(&page, 1);
	test_cmd_take(b, CLASS_64, &self->grant);
	shared = self->grant.page == page;
	/* Heap bits tell one object's pointers from another's; a span's mask cannot. */
	EXPECT_EQ(variant->layout != GCHEAP_LAYOUT_SPAN, shared);
}

TEST_F(refill, shares_no_span_between_different_types_over_512_bytes)
{
	__u32 a, b, page;

	test_cmd_type_words(100, 3, &a);
	test_cmd_type_words(100, 3, &b);
	test_cmd_take(a, CLASS_1024, &self->grant);
	page = self->grant.page;
	slot_alloc(&self->heap, page, 1);
	USE_UP_PAGES();
	test_cmd_give(&page, 1);
	test_cmd_take(b, CLASS_1024, &self->grant);
	EXPECT_EQ(variant->layout != GCHEAP_LAYOUT_SPAN, self->grant.page == page);
}

TEST_F(refill, shares_no_span_between_pointers_and_bytes)
{
	__u32 type, page;

	test_cmd_type_words(8, 0xff, &type);
	test_cmd_take(0, CLASS_64, &self->grant);
	page = self->grant.page;
	slot_alloc(&self->heap, page, 7);
	USE_UP_PAGES();
	test_cmd_give(&page, 1);
	test_cmd_take(type, CLASS_64, &self->grant);
	EXPECT_NE(page, self->grant.page);
}

/* ---- where the request stands ------------------------------------------------------------ */

TEST_F(refill, works_from_the_heaps_own_memory)
{
	struct gcheap_alloc_large large;
	struct gcheap_refill *refill;
	struct gcheap_grant *grants;
	__u32 *returns;

	test_cmd_alloc_large(0, 1 << 16, &large);
	refill = (void *)heap_mem(&self->heap, large.out_page);
	grants = (void *)(heap_mem(&self->heap, large.out_page) + 8192 - 4);
	returns = (void *)(heap_mem(&self->heap, large.out_page) + 16384 - 4);
	test_cmd_refill(0, CLASS_64, ~0u, NULL, 0, grants, 20, &self->granted);
	ASSERT_EQ(20, self->granted);
	for (__u32 i = 0; i < 20; i++)
		memcpy(&returns[i], &grants[i].page, sizeof(returns[i]));
	*refill = (struct gcheap_refill){
		.size = sizeof(*refill),
		.size_class = CLASS_64,
		.want_bytes = ~0u,
		.return_count = 20,
		.grant_count = 30,
		.returns = (uintptr_t)returns,
		.grants = (uintptr_t)grants,
	};
	ASSERT_OK(cmd_send(self->heap.fd, GCHEAP_OP_REFILL, refill));
	EXPECT_EQ(30, refill->out_granted);
	memcpy(self->grants, grants, 30 * sizeof(*grants));
	for (__u32 i = 0; i < 30; i++)
		ASSERT_RIGHT(span_wrong(&self->heap, &self->grants[i], CLASS_64, true));
}

TEST_F(refill, works_from_the_memory_of_marks)
{
	struct gcheap_alloc_large large, *request;

	test_cmd_alloc_large(0, 1 << 20, &large);
	request = (void *)((char *)mark_bits(&self->heap) + 64 * large.out_page);
	*request = (struct gcheap_alloc_large){ .size = sizeof(*request), .count = 77 };
	ASSERT_OK(cmd_send(self->heap.fd, GCHEAP_OP_ALLOC_LARGE, request));
	ASSERT_RIGHT(large_wrong(&self->heap, request, 77, true));
}

TEST_HARNESS_MAIN
