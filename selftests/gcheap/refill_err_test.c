// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * REFILL: what it refuses, and that nothing has changed then; and the end of the
 * reserve.
 */
#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

/* A heap with three cached spans, of which one is partly used. */
FIXTURE(refill_err) {
	struct test_heap heap;
	struct gcheap_grant grant;
	struct gcheap_grant grants[GCHEAP_REFILL_MAX];
	__u32 pages[GCHEAP_REFILL_MAX + 1];
	__u32 wide;		/* a cached span of four pages */
	__u32 type;		/* eight words */
};

FIXTURE_VARIANT(refill_err) {
	__u32 layout;
};

FIXTURE_VARIANT_ADD(refill_err, span_layout) {
	.layout = GCHEAP_LAYOUT_SPAN,
};

FIXTURE_VARIANT_ADD(refill_err, header_layout) {
	.layout = GCHEAP_LAYOUT_HEADER,
};

FIXTURE_VARIANT_ADD(refill_err, footer_layout) {
	.layout = GCHEAP_LAYOUT_FOOTER,
};

FIXTURE_VARIANT_ADD(refill_err, bitmap_layout) {
	.layout = GCHEAP_LAYOUT_BITMAP,
};

FIXTURE_SETUP(refill_err)
{
	ASSERT_OK(heap_open(&self->heap, variant->layout, SMALL_RESERVE));
	test_cmd_type_words(8, 3, &self->type);
	for (int i = 0; i < 2; i++) {
		test_cmd_take(0, CLASS_64, &self->grant);
		self->pages[i] = self->grant.page;
	}
	slot_alloc(&self->heap, self->pages[0], 5);
	test_cmd_take(0, CLASS_32768, &self->grant);
	self->wide = self->grant.page;
	self->pages[2] = self->wide;
}

/* All that was cached still is, and can be given back. */
FIXTURE_TEARDOWN(refill_err)
{
	EXPECT_EQ(NULL, heap_wrong(&self->heap)) {
		TH_LOG("%s", heap_wrong(&self->heap));
	}
	test_cmd_give(self->pages, 3);
	EXPECT_EQ(NULL, heap_wrong(&self->heap));
	heap_close(&self->heap);
}

/* Returning these pages fails, alone, behind good ones, and with spans taken too. */
#define test_err_return(err, page) do { \
	self->pages[3] = (page); \
	test_err_give(err, &self->pages[3], 1); \
	test_err_give(err, self->pages, 4); \
	test_err_refill(err, 0, CLASS_64, 1, self->pages, 4, self->grants, 1, NULL); \
} while (0)

/* ---- pages returned ----------------------------------------------------------------- */

TEST_F(refill_err, test_err_return_of_page_0)
{
	test_err_return(EINVAL, 0);
}

TEST_F(refill_err, test_err_return_of_a_page_out_of_range)
{
	test_err_return(EINVAL, heap_ctrl(&self->heap)->heap_pages);
	test_err_return(EINVAL, heap_ctrl(&self->heap)->heap_pages + 1);
	test_err_return(EINVAL, (__u32)(self->heap.reserve >> GCHEAP_PAGE_SHIFT));
	test_err_return(EINVAL, 1u << 27);
	test_err_return(EINVAL, 1u << 31);
	test_err_return(EINVAL, ~0u);
}

TEST_F(refill_err, test_err_return_of_a_free_page)
{
	test_err_return(EINVAL, heap_ctrl(&self->heap)->heap_pages - 1);
}

TEST_F(refill_err, test_err_return_of_an_inner_page)
{
	for (__u32 i = 1; i < 4; i++)
		test_err_return(EINVAL, self->wide + i);
}

TEST_F(refill_err, test_err_return_of_a_large_span)
{
	struct gcheap_alloc_large large;

	test_cmd_alloc_large(0, 100000, &large);
	test_err_return(EINVAL, large.out_page);
	test_err_return(EINVAL, large.out_page + 1);
}

TEST_F(refill_err, test_err_return_of_a_span_that_the_kernel_has)
{
	test_cmd_take(0, CLASS_64, &self->grant);
	slot_alloc(&self->heap, self->grant.page, 1);
	test_cmd_give(&self->grant.page, 1);
	test_err_return(EINVAL, self->grant.page);
}

TEST_F(refill_err, test_err_return_of_a_span_that_was_freed)
{
	test_cmd_take(0, CLASS_64, &self->grant);
	test_cmd_give(&self->grant.page, 1);
	test_err_return(EINVAL, self->grant.page);
}

TEST_F(refill_err, test_err_return_of_a_page_twice)
{
	for (int i = 0; i < 3; i++) {
		self->pages[3] = self->pages[i];
		test_err_give(EINVAL, self->pages, 4);
		test_err_refill(EINVAL, 0, CLASS_64, 1, self->pages, 4, self->grants, 1,
				NULL);
		self->pages[4] = self->pages[3];
		test_err_give(EINVAL, &self->pages[3], 2);
	}
}

TEST_F(refill_err, test_err_return_of_a_page_twice_at_the_ends_of_a_long_list)
{
	__u32 list[GCHEAP_REFILL_MAX], granted;

	test_cmd_refill(0, CLASS_16, ~0u, NULL, 0, self->grants, GCHEAP_REFILL_MAX, &granted);
	ASSERT_EQ(GCHEAP_REFILL_MAX, granted);
	for (__u32 i = 0; i < granted; i++)
		list[i] = self->grants[i].page;
	list[granted - 1] = list[0];
	test_err_give(EINVAL, list, granted);
	list[granted - 1] = self->grants[granted - 1].page;
	test_cmd_give(list, granted);
}

/* ---- counts, class, type -------------------------------------------------------------- */

TEST_F(refill_err, test_err_too_many_returns)
{
	test_err_give(EOVERFLOW, self->pages, GCHEAP_REFILL_MAX + 1);
	test_err_give(EOVERFLOW, self->pages, 1u << 30);
	test_err_give(EOVERFLOW, self->pages, ~0u);
	test_err_give(EOVERFLOW, NULL, ~0u);
}

TEST_F(refill_err, test_err_too_many_grants)
{
	test_err_refill(EOVERFLOW, 0, CLASS_64, 1, NULL, 0, self->grants,
			GCHEAP_REFILL_MAX + 1, NULL);
	test_err_refill(EOVERFLOW, 0, CLASS_64, 1, NULL, 0, self->grants, 1u << 28, NULL);
	test_err_refill(EOVERFLOW, 0, CLASS_64, 1, NULL, 0, self->grants, ~0u, NULL);
	test_err_refill(EOVERFLOW, 0, CLASS_64, 0, NULL, 0, self->grants, ~0u, NULL);
}

TEST_F(refill_err, test_err_no_room_for_a_grant)
{
	test_err_refill(EINVAL, 0, CLASS_64, 1, NULL, 0, self->grants, 0, NULL);
	test_err_refill(EINVAL, 0, CLASS_64, 1, self->pages, 3, self->grants, 0, NULL);
}

TEST_F(refill_err, test_err_size_class_out_of_range)
{
	static const __u32 classes[] = { 0, 1, SIZE_CLASSES, 69, 127, 128, 130, 255, 256,
					 256 + CLASS_64, 1u << 31, ~0u };

	for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
		test_err_refill(EINVAL, 0, classes[i], 1, NULL, 0, self->grants, 1, NULL);
		test_err_refill(EINVAL, self->type, classes[i], 1, NULL, 0, self->grants, 1,
				NULL);
		test_err_refill(EINVAL, 0, classes[i], 1, self->pages, 3, self->grants, 1,
				NULL);
	}
}

TEST_F(refill_err, test_err_type_unknown)
{
	static const __u32 types[] = { 2, 64, GCHEAP_TYPES_MAX - 1, GCHEAP_TYPES_MAX,
				       GCHEAP_TYPES_MAX + 1, 1u << 31, ~0u };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		test_err_refill(EINVAL, types[i], CLASS_64, 1, NULL, 0, self->grants, 1, NULL);
		test_err_refill(EINVAL, types[i], CLASS_64, 1, self->pages, 3, self->grants, 1,
				NULL);
	}
}

TEST_F(refill_err, test_err_slots_too_small_for_the_type)
{
	__u32 type;

	for (__u32 class = SIZE_CLASS_MIN; class < CLASS_64; class++)
		test_err_refill(EINVAL, self->type, class, 1, NULL, 0, self->grants, 1, NULL);
	/* Neither without pointers, nor when the type is longer than any slot. */
	test_cmd_type_words(9, 0, &type);
	test_err_refill(EINVAL, type, CLASS_64, 1, NULL, 0, self->grants, 1, NULL);
	test_cmd_type_words(4097, 1, &type);
	test_err_refill(EINVAL, type, CLASS_32768, 1, NULL, 0, self->grants, 1, NULL);
	test_cmd_type_add(1ull << 40, 8, 0, NULL, "huge", &type);
	test_err_refill(EINVAL, type, CLASS_32768, 1, NULL, 0, self->grants, 1, NULL);
	test_cmd_type_add((1ull << 32) + 16, 8, 0, NULL, "wraps", &type);
	test_err_refill(EINVAL, type, CLASS_64, 1, NULL, 0, self->grants, 1, NULL);
}

TEST_F(refill_err, test_err_slots_too_small_for_the_type_word)
{
	const int err = has_type_words(variant->layout) ? -EINVAL : 0;
	const int err_prefix = variant->layout == GCHEAP_LAYOUT_HEADER ? -EINVAL : 0;
	__u8 mask = 1;
	__u32 type;

	test_cmd_type_add(1024, 8, 8, &mask, "fills", &type);
	EXPECT_EQ(err, cmd_take(self->heap.fd, type, CLASS_1024, &self->grant));
	/* A header is as long as the alignment asks, a footer 8 bytes. */
	test_cmd_type_add(1024 - 64, 64, 8, &mask, "fits", &type);
	EXPECT_OK(cmd_take(self->heap.fd, type, CLASS_1024, &self->grant));
	test_cmd_type_add(1024 - 128, 128, 8, &mask, "fits too", &type);
	EXPECT_OK(cmd_take(self->heap.fd, type, CLASS_1024, &self->grant));
	test_cmd_type_add(512, 512, 8, &mask, "half", &type);
	EXPECT_OK(cmd_take(self->heap.fd, type, CLASS_1024, &self->grant));
	EXPECT_EQ(err_prefix, cmd_take(self->heap.fd, type, CLASS_576, &self->grant));
}

/* ---- pointers --------------------------------------------------------------------------- */

TEST_F(refill_err, test_err_returns_that_fault)
{
	__u32 *at = memory_before_hole(3 * sizeof(*at));

	ASSERT_NE(NULL, at);
	memcpy(at, self->pages, 3 * sizeof(*at));
	test_err_give(EFAULT, at, 4);
	test_err_give(EFAULT, at + 3, 1);
	test_err_give(EFAULT, NULL, 1);
	test_err_give(EFAULT, (void *)(1ul << 63), 1);
	test_err_give(EFAULT, (void *)-4096l, 256);
	test_err_refill(EFAULT, 0, CLASS_64, 1, at, 4, self->grants, 1, NULL);
	/* A page of the heap that was not handed out. */
	test_err_give(EFAULT, (void *)heap_mem(&self->heap, 0), 1);
	test_err_give(EFAULT, (void *)heap_mem(&self->heap,
					       heap_ctrl(&self->heap)->heap_pages), 1);
}

TEST_F(refill_err, test_err_grants_that_fault)
{
	struct gcheap_grant *at = memory_before_hole(3 * sizeof(*at));
	void *bad[] = { NULL, at + 3, (void *)(1ul << 63), (void *)-4096l,
			heap_mem(&self->heap, 0),
			heap_mem(&self->heap, heap_ctrl(&self->heap)->heap_pages) };

	ASSERT_NE(NULL, at);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		test_err_refill(EFAULT, 0, CLASS_64, 1, NULL, 0, bad[i], 1, NULL);
		test_err_refill(EFAULT, 0, CLASS_64, 1, self->pages, 3, bad[i], 1, NULL);
		test_err_refill(EFAULT, self->type, CLASS_1024, ~0u, self->pages, 3, bad[i],
				100, NULL);
	}
	test_err_refill(EFAULT, 0, CLASS_64, ~0u, NULL, 0, at, 4, NULL);
	test_err_refill(EFAULT, 0, CLASS_64, ~0u, self->pages, 3, at, 4, NULL);
}

TEST_F(refill_err, test_err_grants_in_readonly_memory)
{
	void *at = memory_readonly(self->grants, sizeof(self->grants));

	ASSERT_NE(NULL, at);
	test_err_refill(EFAULT, 0, CLASS_64, ~0u, NULL, 0, at, 1, NULL);
	test_err_refill(EFAULT, 0, CLASS_64, ~0u, self->pages, 3, at, GCHEAP_REFILL_MAX, NULL);
	for (int r = 0; r < GCHEAP_REGIONS; r++) {
		if (region_is_owners(r) || !self->heap.region[r])
			continue;
		test_err_refill(EFAULT, 0, CLASS_64, ~0u, self->pages, 3,
				self->heap.region[r], 1, NULL);
	}
}

/* ---- the end of the reserve --------------------------------------------------------------- */

FIXTURE(full) {
	struct test_heap heap;
	struct gcheap_grant grants[GCHEAP_REFILL_MAX];
	__u32 *pages;		/* all the cached spans of one page */
	__u32 count;
};

FIXTURE_SETUP(full)
{
	const __u32 max = SMALL_RESERVE >> GCHEAP_PAGE_SHIFT;
	__u32 granted;
	int ret;

	ASSERT_OK(heap_open(&self->heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE));
	self->pages = calloc(max, sizeof(*self->pages));
	for (;;) {
		ret = cmd_refill(self->heap.fd, 0, CLASS_8192, ~0u, NULL, 0, self->grants,
				 GCHEAP_REFILL_MAX, &granted);
		if (ret)
			break;
		for (__u32 i = 0; i < granted; i++) {
			ASSERT_GT(max, self->count);
			self->pages[self->count++] = self->grants[i].page;
		}
	}
	ASSERT_EQ(-ENOMEM, ret);
}

FIXTURE_TEARDOWN(full)
{
	EXPECT_EQ(NULL, heap_wrong(&self->heap)) {
		TH_LOG("%s", heap_wrong(&self->heap));
	}
	heap_close(&self->heap);
}

TEST_F(full, heap_has_handed_out_all_of_its_reserve_but_page_0)
{
	EXPECT_EQ((SMALL_RESERVE >> GCHEAP_PAGE_SHIFT) - 1, self->count);
}

TEST_F(full, heap_refuses_and_keeps_what_was_returned_cached)
{
	struct gcheap_counters before, after;

	test_cmd_stats(&before);
	EXPECT_ERR(ENOMEM, cmd_refill(self->heap.fd, 0, CLASS_8192, 1, self->pages, 100,
				      self->grants, 1, NULL));
	EXPECT_ERR(ENOMEM, cmd_refill(self->heap.fd, 0, CLASS_64, 1, self->pages, 100,
				      self->grants, 1, NULL));
	EXPECT_ERR(ENOMEM, cmd_alloc_large(self->heap.fd, 0, 8192, NULL));
	test_cmd_stats(&after);
	counters_steady(&before);
	counters_steady(&after);
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
	for (__u32 i = 0; i < 100; i++)
		EXPECT_EQ(GCHEAP_SPAN_CACHED, span_state(&self->heap, self->pages[i]));
}

TEST_F(full, heap_goes_on_when_spans_come_back)
{
	__u32 granted;

	test_cmd_give(self->pages, 10);
	test_cmd_refill(0, CLASS_64, ~0u, NULL, 0, self->grants, GCHEAP_REFILL_MAX, &granted);
	EXPECT_EQ(10, granted);
	for (__u32 i = 0; i < granted; i++) {
		EXPECT_EQ(GCHEAP_GRANT_NEEDZERO, self->grants[i].flags);
		ASSERT_RIGHT(span_wrong(&self->heap, &self->grants[i], CLASS_64, true));
	}
	EXPECT_ERR(ENOMEM, cmd_take(self->heap.fd, 0, CLASS_64, self->grants));
}

TEST_F(full, heap_finds_a_run_for_a_large_object_when_spans_come_back)
{
	struct gcheap_alloc_large large;

	/* Every second page: no run of two. */
	for (__u32 i = 0; i < 100; i += 2)
		test_cmd_give(&self->pages[i], 1);
	EXPECT_ERR(ENOMEM, cmd_alloc_large(self->heap.fd, 0, 8193, NULL));
	for (__u32 i = 1; i < 100; i += 2)
		test_cmd_give(&self->pages[i], 1);
	test_cmd_alloc_large(0, 100 * 8192, &large);
	EXPECT_EQ(self->pages[0], large.out_page);
	EXPECT_EQ(GCHEAP_GRANT_NEEDZERO, large.out_flags);
	ASSERT_RIGHT(large_wrong(&self->heap, &large, 100 * 8192, true));
}

TEST_F(full, heap_gets_all_of_its_pages_back_by_a_cycle)
{
	struct gcheap_counters counters;
	__u32 granted;

	for (__u32 i = 0; i < self->count; i++)
		slot_alloc(&self->heap, self->pages[i], 0);
	for (__u32 i = 0; i < self->count; i += GCHEAP_REFILL_MAX) {
		__u32 left = self->count - i;

		test_cmd_give(self->pages + i,
			      left < GCHEAP_REFILL_MAX ? left : GCHEAP_REFILL_MAX);
	}
	EXPECT_ERR(ENOMEM, cmd_take(self->heap.fd, 0, CLASS_64, self->grants));
	test_cmd_mark_start(NULL);
	test_cmd_sweep_start(NULL);
	test_cmd_stats(&counters);
	EXPECT_EQ(0, counters.in_use_pages);
	test_cmd_refill(0, CLASS_64, ~0u, NULL, 0, self->grants, GCHEAP_REFILL_MAX, &granted);
	EXPECT_EQ(GCHEAP_REFILL_MAX, granted);
}

TEST_HARNESS_MAIN
