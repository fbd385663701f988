// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What a process writes to MARKS and to object memory can break its own objects,
 * but neither the kernel's tables nor another heap.
 */
#include <pthread.h>
#include <time.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#define VICTIM_SPANS	50u

FIXTURE(hostile) {
	struct test_heap heap;
	struct test_heap victim;
	__u32 victim_pages[VICTIM_SPANS];
	struct gcheap_grant grants[GCHEAP_REFILL_MAX];
	__u32 pages[GCHEAP_REFILL_MAX];
	__u32 granted;
	__u32 type;
	struct rng rng;
};

FIXTURE_VARIANT(hostile) {
	__u32 layout;
};

FIXTURE_VARIANT_ADD(hostile, span_layout) {
	.layout = GCHEAP_LAYOUT_SPAN,
};

FIXTURE_VARIANT_ADD(hostile, header_layout) {
	.layout = GCHEAP_LAYOUT_HEADER,
};

FIXTURE_VARIANT_ADD(hostile, footer_layout) {
	.layout = GCHEAP_LAYOUT_FOOTER,
};

FIXTURE_VARIANT_ADD(hostile, bitmap_layout) {
	.layout = GCHEAP_LAYOUT_BITMAP,
};

FIXTURE_SETUP(hostile)
{
	struct gcheap_grant grant;

	rng_init_printed(&self->rng, "hostile");
	ASSERT_OK(heap_open(&self->heap, variant->layout, SMALL_RESERVE));
	test_cmd_type_words(8, 3, &self->type);

	ASSERT_OK(heap_open(&self->victim, variant->layout, SMALL_RESERVE));
	for (__u32 i = 0; i < VICTIM_SPANS; i++) {
		ASSERT_OK(cmd_take(self->victim.fd, 0, CLASS_64, &grant));
		self->victim_pages[i] = grant.page;
		slot_alloc(&self->victim, grant.page, i);
		memset(heap_mem(&self->victim, grant.page), 0xc0 + i, GCHEAP_PAGE_BYTES);
	}
	ASSERT_OK(cmd_give(self->victim.fd, self->victim_pages, VICTIM_SPANS));
}

/* All requests still work, the tables are right, and the other heap is as it was. */
FIXTURE_TEARDOWN(hostile)
{
	struct gcheap_counters counters;

	ASSERT_RIGHT(heap_wrong(&self->heap));
	ASSERT_RIGHT(heap_wrong(&self->victim));
	ASSERT_OK(cmd_stats(self->victim.fd, &counters));
	EXPECT_EQ(VICTIM_SPANS, counters.spans);
	for (__u32 i = 0; i < VICTIM_SPANS; i++) {
		EXPECT_TRUE(memory_is(heap_mem(&self->victim, self->victim_pages[i]), 0xc0 + i,
				      GCHEAP_PAGE_BYTES));
		EXPECT_EQ(1, heap_span(&self->victim, self->victim_pages[i])->allocated);
	}

	if (heap_ctrl(&self->heap)->phase == GCHEAP_PHASE_MARK)
		test_cmd_sweep_start(NULL);
	test_cmd_mark_start(NULL);
	test_cmd_sweep_start(NULL);
	test_cmd_stats(&counters);
	EXPECT_EQ(0, counters.spans);
	EXPECT_EQ(0, counters.in_use_pages);
	ASSERT_RIGHT(heap_wrong(&self->heap));
	heap_close(&self->heap);
	heap_close(&self->victim);
}

/* Write to all words of MARKS that speak of pages of the heap. */
static void marks_scribble(const struct test_heap *heap, struct rng *rng, bool ones)
{
	size_t pages = heap_ctrl(heap)->heap_pages;
	const struct { __u64 at; size_t words; } tables[] = {
		{ 0, pages * 8 },
		{ GCHEAP_MARKS_TABLE(heap->reserve, 1), pages * 8 },
		{ GCHEAP_MARKS_PAGE_MARKS(heap->reserve), pages / 64 },
	};

	for (size_t t = 0; t < ARRAY_SIZE(tables); t++) {
		volatile __u64 *words = marks_at(heap, tables[t].at);

		for (size_t i = 0; i < tables[t].words; i++)
			words[i] = ones ? ~0ull : rng_next(rng) & rng_next(rng);
	}
}

/* Some requests of each kind; what they answer must make sense. */
#define REQUESTS() do { \
	__u32 class_ = SIZE_CLASS_MIN + rng_below(&self->rng, SIZE_CLASSES - SIZE_CLASS_MIN); \
	struct gcheap_sweep sweep_; \
\
	test_cmd_refill(0, class_, 65536, NULL, 0, self->grants, 64, &self->granted); \
	for (__u32 i_ = 0; i_ < self->granted; i_++) { \
		const struct gcheap_grant *grant_ = &self->grants[i_]; \
\
		ASSERT_LE(1, grant_->page); \
		ASSERT_EQ(GCHEAP_SPAN_CACHED, span_state(&self->heap, grant_->page)); \
		ASSERT_EQ(slots_of(class_, GCHEAP_KIND_NOSCAN), grant_->slots); \
		ASSERT_LE(1, grant_->free_slots); \
		ASSERT_GE(grant_->slots, grant_->free_slots); \
		self->pages[i_] = grant_->page; \
		memset(heap_mem(&self->heap, grant_->page), 0xff, \
		       (size_t)heap_span(&self->heap, grant_->page)->npages << 13); \
	} \
	test_cmd_give(self->pages, self->granted); \
	test_cmd_take(self->type, CLASS_64, self->grants); \
	test_cmd_give(&self->grants[0].page, 1); \
	test_cmd_alloc_large(0, 40000, NULL); \
	test_cmd_sweep(3, &sweep_); \
} while (0)

TEST_F(hostile, marks_of_all_ones_keep_everything)
{
	struct gcheap_counters before, after;

	for (int i = 0; i < 20; i++)
		REQUESTS();
	test_cmd_stats(&before);
	test_cmd_mark_start(NULL);
	marks_scribble(&self->heap, NULL, true);
	test_cmd_sweep_start(NULL);
	test_cmd_sweep(~0ull, &(struct gcheap_sweep){ 0 });
	test_cmd_stats(&after);
	EXPECT_EQ(before.spans, after.spans);
	EXPECT_EQ(0, after.unswept_spans);
	ASSERT_RIGHT(heap_wrong(&self->heap));
}

TEST_F(hostile, marks_of_any_content_are_survived_between_requests)
{
	for (int cycle = 0; cycle < 30; cycle++) {
		marks_scribble(&self->heap, &self->rng, cycle % 5 == 0);
		REQUESTS();
		marks_scribble(&self->heap, &self->rng, cycle % 7 == 0);
		test_cmd_mark_start(NULL);
		marks_scribble(&self->heap, &self->rng, cycle % 4 == 0);
		REQUESTS();
		marks_scribble(&self->heap, &self->rng, false);
		test_cmd_sweep_start(NULL);
		marks_scribble(&self->heap, &self->rng, cycle % 3 == 0);
		REQUESTS();
		ASSERT_RIGHT(heap_wrong(&self->heap));
		/* The heap is small; begin again before it is full. */
		if (cycle % 6 == 5) {
			test_cmd_mark_start(NULL);
			test_cmd_sweep_start(NULL);
		}
	}
}

TEST_F(hostile, alloc_bits_of_any_content_are_survived_when_spans_return)
{
	for (int round = 0; round < 50; round++) {
		test_cmd_refill(round % 2 ? self->type : 0, CLASS_64, ~0u, NULL, 0,
				self->grants, 64, &self->granted);
		for (__u32 i = 0; i < self->granted; i++) {
			__u64 *bits = alloc_bits(&self->heap) + 8 * self->grants[i].page;

			for (int word = 0; word < 8; word++)
				bits[word] = rng_next(&self->rng);
			self->pages[i] = self->grants[i].page;
		}
		test_cmd_give(self->pages, self->granted);
		for (__u32 i = 0; i < self->granted; i++)
			ASSERT_GE(heap_span(&self->heap, self->pages[i])->slots,
				  heap_span(&self->heap, self->pages[i])->allocated);
		ASSERT_RIGHT(heap_wrong(&self->heap));
	}
}

/* ---- from another thread ------------------------------------------------------------- */

struct scribbler {
	struct test_heap *heap;
	pthread_t thread;
	bool stop;
};

static void *scribble(void *arg)
{
	struct scribbler *scribbler = arg;
	struct test_heap *heap = scribbler->heap;
	struct rng rng;

	rng_init(&rng, 1);
	while (!__atomic_load_n(&scribbler->stop, __ATOMIC_RELAXED)) {
		__u32 page = rng_below(&rng, heap_ctrl(heap)->heap_pages);
		volatile __u64 *bits = marks_at(heap, rng_next(&rng) & 1 ?
						GCHEAP_MARKS_TABLE(heap->reserve, 1) : 0);
		volatile __u64 *marks = page_marks(heap);
		__u64 value = rng_next(&rng);

		for (int word = 0; word < 8; word++)
			bits[8 * page + word] = value & 1 ? ~0ull : value & 2 ? 0 : value;
		marks[page / 64] = value & 4 ? 0 : value;
	}
	return NULL;
}

TEST_F_TIMEOUT(hostile, marks_may_change_while_the_kernel_reads_them, 60)
{
	struct scribbler scribbler = { .heap = &self->heap };
	time_t end = time(NULL) + 3;

	REQUESTS();
	ASSERT_EQ(0, pthread_create(&scribbler.thread, NULL, scribble, &scribbler));
	while (time(NULL) < end) {
		REQUESTS();
		test_cmd_mark_start(NULL);
		REQUESTS();
		test_cmd_sweep_start(NULL);
		REQUESTS();
		test_cmd_sweep(~0ull, &(struct gcheap_sweep){ 0 });
		ASSERT_RIGHT(heap_wrong(&self->heap));
	}
	__atomic_store_n(&scribbler.stop, true, __ATOMIC_RELAXED);
	pthread_join(scribbler.thread, NULL);
}

/* A request's struct changes while the kernel works on it. */
struct flipper {
	struct gcheap_refill refill;
	__u32 returns[4];
	struct gcheap_grant grants[4];
	pthread_t thread;
	bool stop;
};

static void *flip(void *arg)
{
	struct flipper *flipper = arg;
	volatile struct gcheap_refill *refill = &flipper->refill;
	struct rng rng;

	rng_init(&rng, 2);
	while (!__atomic_load_n(&flipper->stop, __ATOMIC_RELAXED)) {
		refill->size = rng_next(&rng) & 7 ? sizeof(*refill) : (__u32)rng_next(&rng);
		refill->size_class = rng_below(&rng, 80);
		refill->return_count = rng_below(&rng, 8) ? 0 : rng_below(&rng, 300);
		refill->grant_count = 1 + rng_below(&rng, 4);
		refill->grants = rng_below(&rng, 16) ? (uintptr_t)flipper->grants : 8;
		((volatile __u32 *)flipper->returns)[0] = rng_below(&rng, 8192);
	}
	return NULL;
}

TEST_F_TIMEOUT(hostile, requests_may_change_while_the_kernel_reads_them, 60)
{
	struct flipper *flipper = calloc(1, sizeof(*flipper));
	time_t end = time(NULL) + 3;
	__u32 pages = 0;

	ASSERT_NE(NULL, flipper);
	flipper->refill = (struct gcheap_refill){
		.size = sizeof(flipper->refill),
		.size_class = CLASS_64,
		.want_bytes = 1,
		.grant_count = 1,
		.returns = (uintptr_t)flipper->returns,
		.grants = (uintptr_t)flipper->grants,
	};
	ASSERT_EQ(0, pthread_create(&flipper->thread, NULL, flip, flipper));
	while (time(NULL) < end) {
		int ret = cmd_send(self->heap.fd, GCHEAP_OP_REFILL, &flipper->refill);

		ASSERT_TRUE(!ret || ret == -EINVAL || ret == -EFAULT || ret == -E2BIG ||
			    ret == -EOVERFLOW || ret == -ENOMEM) {
			TH_LOG("errno %d", -ret);
		}
	}
	__atomic_store_n(&flipper->stop, true, __ATOMIC_RELAXED);
	pthread_join(flipper->thread, NULL);
	ASSERT_RIGHT(heap_wrong(&self->heap));

	/* Nobody knows what was granted, but the descriptors. */
	for (__u32 page = 1; page < heap_ctrl(&self->heap)->heap_pages; page++) {
		if (span_state(&self->heap, page) != GCHEAP_SPAN_CACHED)
			continue;
		test_cmd_give(&page, 1);
		pages++;
	}
	TH_LOG("%u spans were granted", pages);
	free(flipper);
}

TEST_HARNESS_MAIN
