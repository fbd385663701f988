// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Cycles: MARK_START, SWEEP_START and SWEEP, with the marks that a marker would
 * set. What a process can do to them is in wild_writes_test.c.
 */
#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

FIXTURE(cycle) {
	struct test_heap heap;
	struct gcheap_grant grant;
	struct gcheap_grant grants[GCHEAP_REFILL_MAX];
	__u32 pages[GCHEAP_REFILL_MAX];
	struct gcheap_mark_start marking;
	struct gcheap_sweep_start swept;
	struct gcheap_sweep sweep;
	struct gcheap_counters counters;
};

FIXTURE_VARIANT(cycle) {
	__u32 layout;
};

FIXTURE_VARIANT_ADD(cycle, span_layout) {
	.layout = GCHEAP_LAYOUT_SPAN,
};

FIXTURE_VARIANT_ADD(cycle, header_layout) {
	.layout = GCHEAP_LAYOUT_HEADER,
};

FIXTURE_VARIANT_ADD(cycle, footer_layout) {
	.layout = GCHEAP_LAYOUT_FOOTER,
};

FIXTURE_VARIANT_ADD(cycle, bitmap_layout) {
	.layout = GCHEAP_LAYOUT_BITMAP,
};

FIXTURE_SETUP(cycle)
{
	ASSERT_OK(heap_open(&self->heap, variant->layout, 4 * SMALL_RESERVE));
}

FIXTURE_TEARDOWN(cycle)
{
	EXPECT_EQ(NULL, heap_wrong(&self->heap)) {
		TH_LOG("%s", heap_wrong(&self->heap));
	}
	heap_close(&self->heap);
}

/* Spans of 64-byte slots, all allocated, in the kernel's hands: self->pages. */
#define FULL_SPANS(n) do { \
	__u32 granted_; \
\
	test_cmd_refill(0, CLASS_64, ~0u, NULL, 0, self->grants, (n), &granted_); \
	ASSERT_EQ((n), granted_); \
	for (__u32 i_ = 0; i_ < (n); i_++) { \
		self->pages[i_] = self->grants[i_].page; \
		span_fill(&self->heap, self->pages[i_]); \
	} \
	test_cmd_give(self->pages, (n)); \
} while (0)

/* ---- the phases -------------------------------------------------------------------- */

TEST_F(cycle, steps_the_generation_and_swaps_the_tables)
{
	const struct gcheap_ctrl *ctrl = heap_ctrl(&self->heap);

	for (int i = 0; i < 10; i++) {
		__u32 generation = ctrl->generation, table = ctrl->mark_table;

		ASSERT_EQ(GCHEAP_PHASE_IDLE, ctrl->phase);
		test_cmd_mark_start(&self->marking);
		ASSERT_EQ(generation, self->marking.out_generation);
		ASSERT_EQ(table, self->marking.out_mark_table);
		ASSERT_EQ(generation, ctrl->generation);
		ASSERT_EQ(table, ctrl->mark_table);
		ASSERT_EQ(GCHEAP_PHASE_MARK, ctrl->phase);
		test_cmd_sweep_start(&self->swept);
		ASSERT_EQ(generation + 2, self->swept.out_generation);
		ASSERT_EQ(table ^ 1, self->swept.out_mark_table);
		ASSERT_EQ(generation + 2, ctrl->generation);
		ASSERT_EQ(table ^ 1, ctrl->mark_table);
	}
}

TEST_F(cycle, test_err_mark_start_twice)
{
	FULL_SPANS(3);
	test_cmd_mark_start(NULL);
	slot_mark(&self->heap, self->pages[0], 1);
	test_err_mark_start(EBUSY);
	test_err_mark_start(EBUSY);
	test_cmd_sweep_start(&self->swept);
	EXPECT_EQ(2, self->swept.out_freed_spans);
}

TEST_F(cycle, test_err_sweep_start_without_mark_start)
{
	FULL_SPANS(3);
	test_err_sweep_start(EINVAL);
	test_cmd_mark_start(NULL);
	test_cmd_sweep_start(NULL);
	test_err_sweep_start(EINVAL);
}

TEST_F(cycle, test_err_sweep_start_while_spans_are_cached)
{
	FULL_SPANS(3);
	test_cmd_mark_start(NULL);
	test_cmd_take(0, CLASS_64, &self->grant);
	test_err_sweep_start(EBUSY);
	test_cmd_give(&self->grant.page, 1);
	test_cmd_sweep_start(NULL);
}

TEST_F(cycle, test_err_sweep_of_no_spans)
{
	FULL_SPANS(3);
	test_err_sweep(EINVAL, 0, NULL);
	test_cmd_mark_start(NULL);
	for (int i = 0; i < 3; i++)
		slot_mark(&self->heap, self->pages[i], 0);
	test_cmd_sweep_start(NULL);
	test_err_sweep(EINVAL, 0, NULL);
}

TEST_F(cycle, of_an_empty_heap_works)
{
	for (int i = 0; i < 3; i++) {
		test_cmd_mark_start(&self->marking);
		EXPECT_EQ(0, self->marking.out_swept_spans);
		test_cmd_sweep_start(&self->swept);
		EXPECT_EQ(0, self->swept.out_freed_spans);
		EXPECT_EQ(0, self->swept.out_freed_pages);
		EXPECT_EQ(0, self->swept.out_unswept_spans);
		test_cmd_sweep(1, &self->sweep);
		EXPECT_EQ(0, self->sweep.out_swept_spans);
	}
}

TEST_F(cycle, starts_with_clear_marks)
{
	struct gcheap_alloc_large large;

	FULL_SPANS(200);
	test_cmd_alloc_large(0, 8 << 20, &large);
	self->pages[200] = large.out_page;
	for (int i = 0; i < 2; i++) {
		for (int j = 0; j <= 200; j++) {
			size_t word = self->pages[j] * 8;

			memset(mark_bits(&self->heap) + word, 0xff, 64);
			memset(alloc_bits(&self->heap) + word, 0xff, 64);
			bit_set(page_marks(&self->heap), self->pages[j]);
		}
		test_cmd_mark_start(NULL);
		for (int j = 0; j <= 200; j++) {
			size_t word = self->pages[j] * 8;

			ASSERT_TRUE(memory_is(mark_bits(&self->heap) + word, 0, 64));
			ASSERT_FALSE(bit_test(page_marks(&self->heap), self->pages[j]));
			/* The alloc bits are not its business. */
			ASSERT_TRUE(memory_is(alloc_bits(&self->heap) + word, 0xff, 64));
			slot_mark(&self->heap, self->pages[j], 0);
		}
		test_cmd_sweep_start(NULL);
		test_cmd_sweep(~0ull, &self->sweep);
	}
}

/* ---- what is freed ------------------------------------------------------------------ */

TEST_F(cycle, frees_spans_without_page_mark_at_once)
{
	FULL_SPANS(200);
	test_cmd_mark_start(NULL);
	for (int i = 0; i < 200; i += 10)
		slot_mark(&self->heap, self->pages[i], 5);
	test_cmd_sweep_start(&self->swept);
	EXPECT_EQ(180, self->swept.out_freed_spans);
	EXPECT_EQ(180, self->swept.out_freed_pages);
	EXPECT_EQ(20, self->swept.out_unswept_spans);
	test_cmd_stats(&self->counters);
	EXPECT_EQ(20, self->counters.spans);
	EXPECT_EQ(20, self->counters.unswept_spans);
	EXPECT_EQ(180, self->counters.freed_spans);
	EXPECT_EQ(180, self->counters.freed_unread_spans);
	EXPECT_EQ(0, self->counters.swept_spans);
	for (int i = 0; i < 200; i++) {
		if (i % 10)
			ASSERT_RIGHT(free_wrong(&self->heap, self->pages[i], 1));
		else
			ASSERT_EQ(GCHEAP_SPAN_CENTRAL,
				  span_state(&self->heap, self->pages[i]));
	}
}

TEST_F(cycle, does_not_read_the_mark_bits_of_spans_without_page_mark)
{
	FULL_SPANS(100);
	test_cmd_mark_start(NULL);
	for (int i = 0; i < 100; i++)
		bit_set(mark_bits(&self->heap), slot_bit(self->pages[i], 64, 1));
	bit_set(page_marks(&self->heap), self->pages[50]);
	test_cmd_sweep_start(&self->swept);
	EXPECT_EQ(99, self->swept.out_freed_spans);
	test_cmd_stats(&self->counters);
	EXPECT_EQ(99, self->counters.freed_unread_spans);
	/* New spans there have no object, whatever was marked. */
	for (int i = 0; i < 99; i++) {
		test_cmd_take(0, CLASS_64, &self->grant);
		ASSERT_EQ(128, self->grant.free_slots);
		ASSERT_RIGHT(span_wrong(&self->heap, &self->grant, CLASS_64, true));
	}
}

TEST_F(cycle, ignores_page_marks_that_are_not_of_a_first_page)
{
	__u32 page;

	test_cmd_take(0, CLASS_32768, &self->grant);
	page = self->grant.page;
	slot_alloc(&self->heap, page, 0);
	test_cmd_give(&page, 1);
	test_cmd_mark_start(NULL);
	for (int i = 1; i < 5; i++)
		bit_set(page_marks(&self->heap), page + i);
	test_cmd_sweep_start(&self->swept);
	EXPECT_EQ(1, self->swept.out_freed_spans);
	EXPECT_EQ(4, self->swept.out_freed_pages);
}

TEST_F(cycle, frees_spans_with_page_mark_but_no_marked_slot_when_it_sweeps_them)
{
	FULL_SPANS(10);
	test_cmd_mark_start(NULL);
	for (int i = 0; i < 10; i++)
		bit_set(page_marks(&self->heap), self->pages[i]);
	test_cmd_sweep_start(&self->swept);
	EXPECT_EQ(0, self->swept.out_freed_spans);
	EXPECT_EQ(10, self->swept.out_unswept_spans);
	test_cmd_sweep(~0ull, &self->sweep);
	EXPECT_EQ(10, self->sweep.out_swept_spans);
	EXPECT_EQ(10, self->sweep.out_freed_spans);
	EXPECT_EQ(0, self->sweep.out_unswept_spans);
	for (int i = 0; i < 10; i++)
		ASSERT_RIGHT(free_wrong(&self->heap, self->pages[i], 1));
}

TEST_F(cycle, keeps_marked_slots_and_frees_the_others_in_every_class)
{
	__u32 pages[2 * SIZE_CLASSES], n = 0, type;
	struct { __u32 free, slots; } expected[2 * SIZE_CLASSES];

	test_cmd_type_words(2, 1, &type);
	for (__u32 class = SIZE_CLASS_MIN; class < SIZE_CLASSES; class++) {
		for (int noscan = 0; noscan < 2; noscan++) {
			test_cmd_take(noscan ? 0 : type, class, &self->grant);
			while (slot_take(&self->heap, self->grant.page) >= 0)
				;
			expected[n].slots = self->grant.slots;
			pages[n++] = self->grant.page;
		}
	}
	test_cmd_give(pages, n);
	test_cmd_mark_start(NULL);
	for (__u32 i = 0; i < n; i++) {
		expected[i].free = expected[i].slots;
		for (__u32 slot = 0; slot < expected[i].slots; slot += 1 + i % 3) {
			slot_mark(&self->heap, pages[i], slot);
			expected[i].free--;
		}
	}
	test_cmd_sweep_start(&self->swept);
	EXPECT_EQ(0, self->swept.out_freed_spans);
	EXPECT_EQ(n, self->swept.out_unswept_spans);
	test_cmd_sweep(~0ull, &self->sweep);
	EXPECT_EQ(n, self->sweep.out_swept_spans);
	for (__u32 i = 0; i < n; i++) {
		const struct gcheap_span *span = heap_span(&self->heap, pages[i]);

		ASSERT_EQ(expected[i].slots - expected[i].free, span->allocated);
		ASSERT_EQ((__u16)heap_ctrl(&self->heap)->generation, span->generation);
		ASSERT_EQ(span->allocated, slots_allocated(&self->heap, pages[i]));
	}
}

/* ---- sweeping by and by --------------------------------------------------------------- */

TEST_F(cycle, sweeps_as_many_spans_as_it_is_asked_for)
{
	FULL_SPANS(100);
	test_cmd_mark_start(NULL);
	for (int i = 0; i < 100; i++)
		slot_mark(&self->heap, self->pages[i], (__u32)i);
	test_cmd_sweep_start(&self->swept);
	EXPECT_EQ(100, self->swept.out_unswept_spans);
	for (__u32 left = 100; left; left -= 5) {
		test_cmd_sweep(5, &self->sweep);
		ASSERT_EQ(5, self->sweep.out_swept_spans);
		ASSERT_EQ(0, self->sweep.out_freed_spans);
		ASSERT_EQ(left - 5, self->sweep.out_unswept_spans);
		test_cmd_stats(&self->counters);
		ASSERT_EQ(left - 5, self->counters.unswept_spans);
	}
	EXPECT_EQ(100, self->counters.swept_spans);
	test_cmd_sweep(5, &self->sweep);
	EXPECT_EQ(0, self->sweep.out_swept_spans);
}

TEST_F(cycle, of_which_the_sweep_is_not_finished_is_finished_by_the_next)
{
	FULL_SPANS(50);
	test_cmd_mark_start(NULL);
	for (int i = 0; i < 50; i++)
		slot_mark(&self->heap, self->pages[i], 3);
	test_cmd_sweep_start(NULL);
	test_cmd_sweep(8, &self->sweep);
	test_cmd_mark_start(&self->marking);
	EXPECT_EQ(42, self->marking.out_swept_spans);
	test_cmd_stats(&self->counters);
	EXPECT_EQ(0, self->counters.unswept_spans);
	for (int i = 0; i < 50; i++)
		EXPECT_EQ(1, heap_span(&self->heap, self->pages[i])->allocated);
	test_cmd_sweep_start(&self->swept);
	EXPECT_EQ(50, self->swept.out_freed_spans);
}

TEST_F(cycle, leaves_spans_that_refill_sweeps_when_it_needs_them)
{
	__u32 n = 0;

	/* All pages that exist, so that there is no empty span. */
	do {
		test_cmd_take(0, CLASS_64, &self->grant);
		ASSERT_GT(GCHEAP_REFILL_MAX, n);
		self->pages[n++] = self->grant.page;
		span_fill(&self->heap, self->grant.page);
		test_cmd_stats(&self->counters);
	} while (self->counters.in_use_pages + 1 < self->counters.heap_pages);
	test_cmd_give(self->pages, n);
	test_cmd_mark_start(NULL);
	for (__u32 i = 0; i < n; i++)
		slot_mark(&self->heap, self->pages[i], i % 128);
	test_cmd_sweep_start(&self->swept);
	ASSERT_EQ(n, self->swept.out_unswept_spans);

	for (__u32 i = 0; i < n; i++) {
		test_cmd_take(0, CLASS_64, &self->grant);
		ASSERT_EQ(127, self->grant.free_slots);
		ASSERT_EQ(GCHEAP_GRANT_NEEDZERO, self->grant.flags);
		ASSERT_RIGHT(span_wrong(&self->heap, &self->grant, CLASS_64, true));
		test_cmd_stats(&self->counters);
		/* It may look ahead. */
		ASSERT_GE(n - i - 1, self->counters.unswept_spans);
		ASSERT_EQ(n, self->counters.swept_spans + self->counters.unswept_spans);
	}
	EXPECT_EQ(0, self->counters.unswept_spans);
	/* And grows only then. */
	ASSERT_EQ(self->counters.in_use_pages + 1, self->counters.heap_pages);
	test_cmd_take(0, CLASS_64, &self->grant);
	EXPECT_EQ(128, self->grant.free_slots);
	EXPECT_EQ(0, self->grant.flags);
	test_cmd_stats(&self->counters);
	EXPECT_LT(self->counters.in_use_pages + 1, self->counters.heap_pages);
}

TEST_F(cycle, may_have_spans_taken_and_returned_while_it_marks)
{
	FULL_SPANS(10);
	test_cmd_take(0, CLASS_64, &self->grant);
	test_cmd_mark_start(NULL);
	EXPECT_EQ(GCHEAP_SPAN_CACHED, span_state(&self->heap, self->grant.page));
	slot_alloc(&self->heap, self->grant.page, 17);
	slot_mark(&self->heap, self->grant.page, 17);
	test_cmd_refill(0, CLASS_64, 1, &self->grant.page, 1, self->grants, 1, NULL);
	EXPECT_EQ(1, heap_span(&self->heap, self->grant.page)->allocated);
	test_cmd_give(&self->grants[0].page, 1);
	test_cmd_sweep_start(&self->swept);
	EXPECT_EQ(10, self->swept.out_freed_spans);
	EXPECT_EQ(1, self->swept.out_unswept_spans);
	test_cmd_sweep(10, &self->sweep);
	EXPECT_EQ(1, heap_span(&self->heap, self->grant.page)->allocated);
	EXPECT_TRUE(bit_test(alloc_bits(&self->heap),
			     slot_bit(self->grant.page, 64, 17)));
}

TEST_F(cycle, does_not_touch_what_survives)
{
	FULL_SPANS(64);
	for (int i = 0; i < 64; i++)
		memset(heap_mem(&self->heap, self->pages[i]), i + 1, GCHEAP_PAGE_BYTES);
	for (int cycle = 0; cycle < 4; cycle++) {
		test_cmd_mark_start(NULL);
		for (int i = 0; i < 64; i += 2)
			slot_mark(&self->heap, self->pages[i], 100);
		test_cmd_sweep_start(NULL);
		test_cmd_sweep(~0ull, &self->sweep);
		for (int i = 0; i < 64; i += 2)
			ASSERT_TRUE(memory_is(slot_mem(&self->heap, self->pages[i], 100), i + 1,
					      64));
	}
}

/* A span's generation has 16 bits; it may go round many times. */
TEST_F_TIMEOUT(cycle, can_be_repeated_more_often_than_a_generation_has_numbers, 60)
{
	FULL_SPANS(2);
	memset(heap_mem(&self->heap, self->pages[1]), 0x77, 64);
	for (int i = 0; i < 33000; i++) {
		ASSERT_OK(cmd_mark_start(self->heap.fd, NULL));
		slot_mark(&self->heap, self->pages[1], 0);
		ASSERT_OK(cmd_sweep_start(self->heap.fd, &self->swept));
		ASSERT_EQ(1, self->swept.out_unswept_spans);
	}
	EXPECT_EQ(66000, heap_ctrl(&self->heap)->generation);
	EXPECT_TRUE(memory_is(heap_mem(&self->heap, self->pages[1]), 0x77, 64));
	test_cmd_sweep(10, &self->sweep);
	EXPECT_EQ(1, heap_span(&self->heap, self->pages[1])->allocated);
}

/* ---- size ------------------------------------------------------------------------------ */

TEST_F_TIMEOUT(cycle, frees_64_mib_of_dead_objects_by_one_request, 60)
{
	const __u32 spans = (64 << 20) / GCHEAP_PAGE_BYTES;

	for (__u32 i = 0; i < spans; i += GCHEAP_REFILL_MAX)
		FULL_SPANS(GCHEAP_REFILL_MAX);
	test_cmd_mark_start(NULL);
	test_cmd_sweep_start(&self->swept);
	EXPECT_EQ(spans, self->swept.out_freed_spans);
	EXPECT_EQ(spans, self->swept.out_freed_pages);
	EXPECT_EQ(0, self->swept.out_unswept_spans);
	test_cmd_stats(&self->counters);
	EXPECT_EQ(spans, self->counters.freed_unread_spans);
	EXPECT_EQ(0, self->counters.in_use_pages);
	/* The memory is used again before the heap grows. */
	for (__u32 i = 0; i < spans; i += GCHEAP_REFILL_MAX)
		FULL_SPANS(GCHEAP_REFILL_MAX);
	EXPECT_EQ(self->counters.heap_pages, heap_ctrl(&self->heap)->heap_pages);
}

TEST_HARNESS_MAIN
