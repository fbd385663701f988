// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Lazy SWEEP_START, RECLAIM, the proportional sweep and FREE_LARGE.
 */
#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#define SPANS	200u

FIXTURE(reclaim) {
	struct test_heap heap;
	struct gcheap_counters counters;
	struct gcheap_sweep_start swept;
	struct gcheap_reclaim reclaim;
	struct gcheap_sweep sweep;
	struct gcheap_alloc_large large;
	struct gcheap_grant grants[SPANS];
	__u32 pages[SPANS];
};

FIXTURE_SETUP(reclaim)
{
	ASSERT_OK(heap_open(&self->heap, GCHEAP_LAYOUT_SPAN, 2 * SMALL_RESERVE));
}

FIXTURE_TEARDOWN(reclaim)
{
	EXPECT_EQ(NULL, heap_wrong(&self->heap)) {
		TH_LOG("%s", heap_wrong(&self->heap));
	}
	heap_close(&self->heap);
}

/* Full spans of one page, given back. */
#define FULL_SPANS() do { \
	__u32 granted_; \
\
	test_cmd_refill(0, CLASS_64, ~0u, NULL, 0, self->grants, SPANS, &granted_); \
	ASSERT_EQ(SPANS, granted_); \
	for (__u32 i_ = 0; i_ < SPANS; i_++) { \
		self->pages[i_] = self->grants[i_].page; \
		span_fill(&self->heap, self->pages[i_]); \
	} \
	test_cmd_give(self->pages, SPANS); \
} while (0)

/* A cycle in which every @n-th of these spans has a marked slot. */
#define CYCLE(n, flags, goal) do { \
	test_cmd_mark_start(NULL); \
	for (__u32 i_ = 0; i_ < SPANS; i_ += (n)) \
		slot_mark(&self->heap, self->pages[i_], i_ % 128); \
	test_cmd_sweep_start_flags(flags, goal, &self->swept); \
} while (0)

TEST_F(reclaim, finds_what_a_lazy_sweep_start_has_left)
{
	FULL_SPANS();
	test_cmd_alloc_large(0, 1 << 20, &self->large);
	CYCLE(4, GCHEAP_SWEEP_START_LAZY, 0);
	EXPECT_EQ(0, self->swept.out_freed_spans);
	EXPECT_EQ(0, self->swept.out_freed_pages);
	EXPECT_EQ(SPANS + 1, self->swept.out_unswept_spans);
	test_cmd_stats(&self->counters);
	EXPECT_EQ(SPANS + 1, self->counters.spans);
	EXPECT_EQ(SPANS, self->counters.unswept_spans);
	ASSERT_RIGHT(heap_wrong(&self->heap));

	test_cmd_reclaim(10, &self->reclaim);
	EXPECT_EQ(10, self->reclaim.out_pages);
	EXPECT_LT(0, self->reclaim.out_left);
	test_cmd_reclaim(~0ull, &self->reclaim);
	EXPECT_EQ(SPANS * 3 / 4 + self->large.out_npages - 10, self->reclaim.out_pages);
	EXPECT_EQ(0, self->reclaim.out_left);
	test_cmd_stats(&self->counters);
	EXPECT_EQ(SPANS / 4, self->counters.spans);
	EXPECT_EQ(SPANS / 4, self->counters.unswept_spans);
	EXPECT_EQ(SPANS * 3 / 4 + self->large.out_npages, self->counters.reclaimed_pages);
	EXPECT_EQ(SPANS * 3 / 4 + 1, self->counters.freed_unread_spans);
	for (__u32 i = 0; i < SPANS; i++)
		EXPECT_EQ(i % 4 ? GCHEAP_SPAN_FREE : GCHEAP_SPAN_CENTRAL,
			  span_state(&self->heap, self->pages[i]));
}

TEST_F(reclaim, test_err_of_no_pages)
{
	FULL_SPANS();
	CYCLE(4, GCHEAP_SWEEP_START_LAZY, 0);
	test_err(EINVAL, cmd_reclaim(self->heap.fd, 0, NULL));
}

TEST_F(reclaim, is_done_by_allocations_before_the_heap_grows)
{
	__u32 heap_pages;

	FULL_SPANS();
	heap_pages = heap_ctrl(&self->heap)->heap_pages;
	CYCLE(SPANS, GCHEAP_SWEEP_START_LAZY, 0);
	for (__u32 i = 1; i <= 19; i++) {
		test_cmd_alloc_large(0, 10 << GCHEAP_PAGE_SHIFT, &self->large);
		test_cmd_stats(&self->counters);
		EXPECT_EQ(10 * i, self->counters.reclaimed_pages);
		EXPECT_EQ(heap_pages, self->counters.heap_pages);
		EXPECT_EQ(SPANS, self->counters.in_use_pages);
	}
}

TEST_F(reclaim, of_new_spans_does_not_happen)
{
	struct gcheap_grant grant;

	FULL_SPANS();
	CYCLE(4, GCHEAP_SWEEP_START_LAZY, 0);
	test_cmd_take(0, CLASS_1024, &grant);
	test_cmd_alloc_large(0, 1 << 20, &self->large);
	memset(heap_mem(&self->heap, grant.page), 0x12, GCHEAP_PAGE_BYTES);
	memset(heap_mem(&self->heap, self->large.out_page), 0x34, 1 << 20);
	test_cmd_reclaim(~0ull, &self->reclaim);
	EXPECT_EQ(GCHEAP_SPAN_CACHED, span_state(&self->heap, grant.page));
	EXPECT_EQ(GCHEAP_SPAN_LARGE, span_state(&self->heap, self->large.out_page));
	EXPECT_TRUE(memory_is(heap_mem(&self->heap, grant.page), 0x12, GCHEAP_PAGE_BYTES));
	test_cmd_give(&grant.page, 1);
}

TEST_F(reclaim, is_finished_by_sweep_and_by_mark_start)
{
	struct gcheap_mark_start start;

	FULL_SPANS();
	test_cmd_alloc_large(0, 1 << 20, &self->large);
	CYCLE(4, GCHEAP_SWEEP_START_LAZY, 0);
	test_cmd_sweep(7, &self->sweep);
	EXPECT_EQ(7, self->sweep.out_swept_spans);
	EXPECT_EQ(7, self->sweep.out_freed_spans);
	test_cmd_sweep(~0ull, &self->sweep);
	EXPECT_EQ(SPANS + 1 - 7, self->sweep.out_swept_spans);
	EXPECT_EQ(SPANS * 3 / 4 + 1 - 7, self->sweep.out_freed_spans);
	EXPECT_EQ(0, self->sweep.out_unswept_spans);
	CYCLE(8, GCHEAP_SWEEP_START_LAZY, 0);
	test_cmd_mark_start(&start);
	EXPECT_EQ(SPANS / 4, start.out_swept_spans);
	test_cmd_stats(&self->counters);
	EXPECT_EQ(SPANS / 8, self->counters.spans);
}

/* Page marks are the process's to write at any time: its own spans may go, no more. */
TEST_F(reclaim, survives_page_marks_that_change)
{
	struct gcheap_grant grant;

	for (int round = 0; round < 4; round++) {
		FULL_SPANS();
		CYCLE(2, GCHEAP_SWEEP_START_LAZY, 0);
		test_cmd_take(0, CLASS_64, &grant);
		memset(page_marks(&self->heap), round & 1 ? 0xff : 0, 64);
		test_cmd_reclaim(20, &self->reclaim);
		memset(page_marks(&self->heap), round & 2 ? 0xff : 0, 64);
		test_cmd_sweep(20, &self->sweep);
		test_cmd_give(&grant.page, 1);
		ASSERT_RIGHT(heap_wrong(&self->heap));
	}
	test_cmd_mark_start(NULL);
	test_cmd_sweep_start(NULL);
	test_cmd_stats(&self->counters);
	EXPECT_EQ(0, self->counters.spans);
}

TEST_F(reclaim, of_a_full_reserve_comes_before_ENOMEM)
{
	int ret;

	while (!(ret = cmd_alloc_large(self->heap.fd, 0, 1 << 20, NULL)))
		;
	ASSERT_EQ(-ENOMEM, ret);
	test_cmd_mark_start(NULL);
	test_cmd_sweep_start_flags(GCHEAP_SWEEP_START_LAZY, 0, NULL);
	test_cmd_alloc_large(0, 100 << 20, &self->large);
}

/* ---- the proportional sweep ------------------------------------------------------------- */

TEST_F(reclaim, in_proportion_is_done_when_the_heap_reaches_its_goal)
{
	FULL_SPANS();
	CYCLE(1, 0, (__u64)2 * SPANS << GCHEAP_PAGE_SHIFT);
	EXPECT_EQ(SPANS, self->swept.out_unswept_spans);
	for (__u32 i = 1; i <= SPANS / 10; i++) {
		test_cmd_alloc_large(0, 10 << GCHEAP_PAGE_SHIFT, &self->large);
		test_cmd_stats(&self->counters);
		EXPECT_GE(SPANS - 10 * i, self->counters.unswept_spans);
		EXPECT_LE(SPANS - 10 * i, self->counters.unswept_spans + i);
	}
	EXPECT_EQ(0, self->counters.unswept_spans);
}

TEST_F(reclaim, in_proportion_to_what_refills_hand_out)
{
	__u32 taken[SPANS], count = 0;

	FULL_SPANS();
	CYCLE(1, 0, (__u64)2 * SPANS << GCHEAP_PAGE_SHIFT);
	while (count < SPANS) {
		struct gcheap_grant grant;

		test_cmd_take(0, CLASS_8192, &grant);
		taken[count++] = grant.page;
		test_cmd_stats(&self->counters);
		EXPECT_GE(SPANS - count, self->counters.unswept_spans);
	}
	EXPECT_EQ(0, self->counters.unswept_spans);
	test_cmd_give(taken, count);
}

TEST_F(reclaim, in_proportion_to_a_goal_without_bounds)
{
	FULL_SPANS();
	CYCLE(1, 0, ~0ull);
	test_cmd_alloc_large(0, 1 << 20, &self->large);
	EXPECT_EQ(SPANS - 1, heap_ctrl(&self->heap)->counters.unswept_spans);
	test_cmd_sweep(~0ull, &self->sweep);
	CYCLE(1, 0, 1);
	test_cmd_alloc_large(0, 1 << 20, &self->large);
	EXPECT_EQ(0, heap_ctrl(&self->heap)->counters.unswept_spans);
}

/* ---- FREE_LARGE --------------------------------------------------------------------------- */

TEST_F(reclaim, by_hand_frees_a_large_object)
{
	test_cmd_alloc_large(0, 1 << 20, &self->large);
	ASSERT_TRUE(bit_test(alloc_bits(&self->heap), slot_bit(self->large.out_page, 0, 0)));
	test_cmd_free_large(self->large.out_page);
	EXPECT_FALSE(bit_test(alloc_bits(&self->heap), slot_bit(self->large.out_page, 0, 0)));
	EXPECT_FALSE(bit_test(mark_bits(&self->heap), slot_bit(self->large.out_page, 0, 0)));
	ASSERT_RIGHT(free_wrong(&self->heap, self->large.out_page, self->large.out_npages));
	test_cmd_stats(&self->counters);
	EXPECT_EQ(0, self->counters.spans);
	EXPECT_EQ(1, self->counters.freed_spans);
}

TEST_F(reclaim, by_hand_of_an_object_that_a_lazy_sweep_has_left)
{
	FULL_SPANS();
	test_cmd_alloc_large(0, 1 << 20, &self->large);
	CYCLE(2, GCHEAP_SWEEP_START_LAZY, 0);
	test_cmd_free_large(self->large.out_page);
	test_cmd_stats(&self->counters);
	EXPECT_EQ(SPANS, self->counters.unswept_spans);
	test_cmd_reclaim(~0ull, &self->reclaim);
	EXPECT_EQ(SPANS / 2, self->reclaim.out_pages);
}

TEST_F(reclaim, test_err_by_hand_of_what_is_no_large_object)
{
	struct gcheap_grant grant;

	test_cmd_take(0, CLASS_64, &grant);
	test_cmd_alloc_large(0, 1 << 20, &self->large);
	test_err(EINVAL, cmd_free_large(self->heap.fd, 0));
	test_err(EINVAL, cmd_free_large(self->heap.fd, grant.page));
	test_err(EINVAL, cmd_free_large(self->heap.fd, self->large.out_page + 1));
	test_err(EINVAL, cmd_free_large(self->heap.fd, heap_ctrl(&self->heap)->heap_pages));
	test_err(EINVAL, cmd_free_large(self->heap.fd, ~0u));
	test_cmd_give(&grant.page, 1);
	test_cmd_mark_start(NULL);
	test_err(EBUSY, cmd_free_large(self->heap.fd, self->large.out_page));
	slot_mark(&self->heap, self->large.out_page, 0);
	test_cmd_sweep_start(NULL);
	test_cmd_free_large(self->large.out_page);
	test_err(EINVAL, cmd_free_large(self->heap.fd, self->large.out_page));
}

TEST_HARNESS_MAIN
