// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Heaps of GCHEAP_SETUP_FAULT_FREED: freed spans fault for a cycle.
 */
#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#define SPANS	64u

FIXTURE(quarantine) {
	struct test_heap heap;
	struct gcheap_counters counters;
	struct gcheap_grant grants[SPANS];
	__u32 pages[SPANS];
};

FIXTURE_SETUP(quarantine)
{
	ASSERT_OK(heap_open_flags(&self->heap, GCHEAP_LAYOUT_SPAN, 2 * SMALL_RESERVE,
				  GCHEAP_SETUP_FAULT_FREED));
}

FIXTURE_TEARDOWN(quarantine)
{
	EXPECT_EQ(NULL, heap_wrong(&self->heap)) {
		TH_LOG("%s", heap_wrong(&self->heap));
	}
	heap_close(&self->heap);
}

#define EXPECT_QUARANTINED(page, npages) do { \
	char *memory_ = heap_mem(&self->heap, page); \
	size_t bytes_ = (size_t)(npages) << GCHEAP_PAGE_SHIFT; \
\
	EXPECT_EQ(GCHEAP_SPAN_QUARANTINE, span_state(&self->heap, page)); \
	EXPECT_SIGBUS(memory_, false); \
	EXPECT_SIGBUS(memory_ + bytes_ / 2 + 3, true); \
	EXPECT_SIGBUS(memory_ + bytes_ - 1, true); \
	EXPECT_ERR(EFAULT, read_into(memory_ + bytes_ - 1, 1)); \
} while (0)

/* Full spans of one page that follow each other, given back. */
#define FULL_SPANS() do { \
	__u32 granted_; \
\
	test_cmd_refill(0, CLASS_64, ~0u, NULL, 0, self->grants, SPANS, &granted_); \
	ASSERT_EQ(SPANS, granted_); \
	for (__u32 i_ = 0; i_ < SPANS; i_++) { \
		self->pages[i_] = self->grants[i_].page; \
		span_fill(&self->heap, self->pages[i_]); \
		memset(heap_mem(&self->heap, self->pages[i_]), (int)i_, GCHEAP_PAGE_BYTES); \
	} \
	test_cmd_give(self->pages, SPANS); \
} while (0)

TEST_F(quarantine, begins_when_a_sweep_frees_a_span_and_ends_after_a_cycle)
{
	struct gcheap_grant grant;

	FULL_SPANS();
	test_cmd_mark_start(NULL);
	for (__u32 i = 0; i < SPANS; i += 5)
		slot_mark(&self->heap, self->pages[i], 3);
	test_cmd_sweep_start(NULL);
	/* Each to its own page: the live ones between keep their memory. */
	for (__u32 i = 0; i < SPANS; i++) {
		if (i % 5)
			EXPECT_QUARANTINED(self->pages[i], 1);
		else
			EXPECT_TRUE(memory_is(heap_mem(&self->heap, self->pages[i]), (int)i,
					      GCHEAP_PAGE_BYTES));
	}
	test_cmd_stats(&self->counters);
	EXPECT_EQ(SPANS - 13, self->counters.quarantined_pages);
	EXPECT_EQ(13 * GCHEAP_PAGE_BYTES, self->counters.resident_bytes);

	test_cmd_mark_start(NULL);
	for (__u32 i = 0; i < SPANS; i += 5)
		slot_mark(&self->heap, self->pages[i], 3);
	EXPECT_QUARANTINED(self->pages[1], 1);
	test_cmd_sweep_start(NULL);
	test_cmd_stats(&self->counters);
	EXPECT_EQ(0, self->counters.quarantined_pages);
	test_cmd_take(0, CLASS_512, &grant);
	ASSERT_EQ(self->pages[1], grant.page);
	ASSERT_EQ(0, probe(heap_mem(&self->heap, grant.page), true, NULL));
	test_cmd_give(&grant.page, 1);
}

TEST_F(quarantine, is_kept_up_by_a_page_mark)
{
	FULL_SPANS();
	test_cmd_mark_start(NULL);
	test_cmd_sweep_start(NULL);
	for (int i = 0; i < 3; i++) {
		test_cmd_mark_start(NULL);
		bit_set(page_marks(&self->heap), self->pages[7]);
		test_cmd_sweep_start(NULL);
		EXPECT_QUARANTINED(self->pages[7], 1);
		EXPECT_EQ(GCHEAP_SPAN_FREE, span_state(&self->heap, self->pages[6]));
	}
	test_cmd_mark_start(NULL);
	test_cmd_sweep_start(NULL);
	EXPECT_EQ(GCHEAP_SPAN_FREE, span_state(&self->heap, self->pages[7]));
}

TEST_F(quarantine, is_where_FREE_LARGE_and_empty_returns_go)
{
	struct gcheap_alloc_large large;
	struct gcheap_grant grant;

	test_cmd_alloc_large(0, 3 << 20, &large);
	test_cmd_take(0, CLASS_64, &grant);
	memset(heap_mem(&self->heap, large.out_page), 1, 3 << 20);
	memset(heap_mem(&self->heap, grant.page), 1, GCHEAP_PAGE_BYTES);
	test_cmd_free_large(large.out_page);
	EXPECT_QUARANTINED(large.out_page, large.out_npages);
	test_cmd_give(&grant.page, 1);
	EXPECT_QUARANTINED(grant.page, 1);
	EXPECT_EQ(0, heap_ctrl(&self->heap)->counters.resident_bytes);
}

TEST_F(quarantine, holds_for_lazy_sweeps_too)
{
	struct gcheap_alloc_large large;
	struct gcheap_reclaim reclaim;

	FULL_SPANS();
	test_cmd_alloc_large(0, 1 << 20, &large);
	test_cmd_mark_start(NULL);
	test_cmd_sweep_start_flags(GCHEAP_SWEEP_START_LAZY, 0, NULL);
	EXPECT_EQ(0, probe(heap_mem(&self->heap, large.out_page), true, NULL));
	test_cmd_reclaim(~0ull, &reclaim);
	EXPECT_EQ(SPANS + large.out_npages, reclaim.out_pages);
	EXPECT_EQ(0, reclaim.out_left);
	EXPECT_QUARANTINED(self->pages[0], SPANS);
	EXPECT_QUARANTINED(large.out_page, large.out_npages);
}

TEST_F(quarantine, test_err_requests_for_what_is_freed)
{
	struct gcheap_alloc_large large;

	test_cmd_alloc_large(0, GCHEAP_CHUNK_BYTES, &large);
	test_cmd_free_large(large.out_page);
	test_err(EINVAL, cmd_free_large(self->heap.fd, large.out_page));
	test_err(EINVAL, cmd_chunk_ready(self->heap.fd, large.out_page));
	test_err(EINVAL, cmd_chunk_free(self->heap.fd, large.out_page));
	test_err_give(EINVAL, &large.out_page, 1);
}

TEST(without_the_flag_freed_memory_stays)
{
	struct gcheap_alloc_large large;
	struct test_heap heap;

	ASSERT_OK(heap_open(&heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE));
	ASSERT_OK(cmd_alloc_large(heap.fd, 0, 1 << 20, &large));
	ASSERT_OK(cmd_free_large(heap.fd, large.out_page));
	EXPECT_EQ(GCHEAP_SPAN_FREE, span_state(&heap, large.out_page));
	EXPECT_EQ(0, probe(heap_mem(&heap, large.out_page), true, NULL));
	heap_close(&heap);
}

TEST_HARNESS_MAIN
