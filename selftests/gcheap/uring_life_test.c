// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What happens around requests that a ring's worker does: others use the heap
 * meanwhile, the request is cancelled, its ring or file is closed. uring_end_test has
 * the end of its task.
 *
 * The long requests are a sweep of many spans and an allocation of much memory. The
 * tests measure nothing by a clock, which a busy machine would stretch.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "../kselftest_harness.h"
#include "gcheap_ring.h"
#include "gcheap_selftest.h"
#include "long_requests.h"

#define SPANS		(12288u / kernel_slowness())	/* of one heap page: 96 MiB */

FIXTURE(worker) {
	struct machine before;
	struct test_heap heap;
	struct test_ring ring;
	__u32 *pages;			/* of the spans, or NULL */
};

FIXTURE_SETUP(worker)
{
	ASSERT_OK(machine_take(&self->before));
	ASSERT_OK(heap_open(&self->heap, GCHEAP_LAYOUT_SPAN, LONG_RESERVE));
	ASSERT_OK(ring_open(&self->ring, MANY, 0));
	self->pages = NULL;
}

FIXTURE_TEARDOWN(worker)
{
	ring_close(&self->ring);
	heap_close(&self->heap);
	EXPECT_TRUE(machine_back_to(&self->before));
	free(self->pages);
}

/* Spans with one object each, all of them given back: the pages, or NULL. */
static __u32 *spans_make(const struct test_heap *heap)
{
	__u32 *pages = malloc(SPANS * sizeof(*pages));
	struct gcheap_grant grants[GCHEAP_REFILL_MAX];
	__u32 count = 0;

	while (pages && count < SPANS) {
		__u32 granted;

		if (cmd_refill(heap->fd, 0, CLASS_8192, GCHEAP_REFILL_MAX << GCHEAP_PAGE_SHIFT,
			       NULL, 0, grants, GCHEAP_REFILL_MAX, &granted))
			goto fail;
		for (__u32 i = 0; i < granted; i++) {
			slot_alloc(heap, grants[i].page, 0);
			if (count < SPANS)
				pages[count++] = grants[i].page;
		}
		if (cmd_give(heap->fd, pages + count - granted, granted))
			goto fail;
	}
	return pages;

fail:
	free(pages);
	return NULL;
}

/* A cycle in which every object lives: all spans are to be swept. */
static int cycle(const struct test_heap *heap, const __u32 *pages)
{
	int ret = cmd_mark_start(heap->fd, NULL);

	if (ret)
		return ret;
	for (__u32 i = 0; i < SPANS; i++)
		slot_mark(heap, pages[i], 0);
	return cmd_sweep_start(heap->fd, NULL);
}

#define SPANS_MAKE() do { \
	self->pages = spans_make(&self->heap); \
	ASSERT_NE(NULL, self->pages); \
	ASSERT_OK(cycle(&self->heap, self->pages)); \
	ASSERT_EQ(SPANS, unswept_spans(&self->heap)); \
} while (0)

/* It changes under the reader's eyes. */
static __u64 unswept_spans(const struct test_heap *heap)
{
	return *(const volatile __u64 *)&heap_ctrl(heap)->counters.unswept_spans;
}

/* Threads one of which always waits for the lock, and gets it between all pieces. */
#define BUSY_THREADS	4

struct busy {
	const struct test_heap *heap;
	pthread_t threads[BUSY_THREADS];
	atomic_bool stop;
};

static void *busy_main(void *arg)
{
	struct busy *busy = arg;

	while (!busy->stop) {
		struct gcheap_alloc_large large;

		if (cmd_alloc_large(busy->heap->fd, 0, 1 << 20, &large) ||
		    cmd_free_large(busy->heap->fd, large.out_page))
			return arg;
	}
	return NULL;
}

static int busy_begin(struct busy *busy, const struct test_heap *heap)
{
	int ret = 0;

	busy->heap = heap;
	busy->stop = false;
	for (int i = 0; i < BUSY_THREADS; i++)
		ret |= pthread_create(&busy->threads[i], NULL, busy_main, busy);
	return ret;
}

/* 0, or not when one of its requests has failed. */
static int busy_end(struct busy *busy)
{
	int ret = 0;

	busy->stop = true;
	for (int i = 0; i < BUSY_THREADS; i++) {
		void *result;

		ret |= pthread_join(busy->threads[i], &result) || result;
	}
	return ret;
}

/* ---- beside other threads -------------------------------------------------------------- */

/*
 * If the sweep kept the lock, no request would ever find it half done. Where the
 * scheduler gives the worker no CPU of its own, it may sweep all before anybody looks:
 * another cycle then.
 */
TEST_F(worker, lets_others_refill_while_it_sweeps)
{
	unsigned int between = 0;

	SPANS_MAKE();
	for (int round = 0; round < 50 && between < 5; round++) {
		struct gcheap_sweep sweep = { .size = sizeof(sweep), .max_spans = ~0ull };
		struct io_uring_cqe cqe;

		ring_cmd(&self->ring, self->heap.fd, GCHEAP_OP_SWEEP, &sweep, 1);
		ASSERT_OK(ring_submit(&self->ring, 0));
		while (!ring_peek(&self->ring, &cqe)) {
			struct gcheap_grant grant;
			__u64 unswept;

			test_cmd_take(0, CLASS_64, &grant);
			unswept = unswept_spans(&self->heap);
			test_cmd_give(&grant.page, 1);
			between += unswept && unswept < SPANS;
		}
		EXPECT_OK(cqe.res);
		EXPECT_EQ(SPANS, sweep.out_swept_spans);
		EXPECT_EQ(0, sweep.out_freed_spans);
		EXPECT_EQ(0, sweep.out_unswept_spans);
		ASSERT_OK(cycle(&self->heap, self->pages));
	}
	EXPECT_LE(5, between);
	ASSERT_RIGHT(heap_wrong(&self->heap));
}

/* The same by the process's own request: it is the heap that is unlocked. */
static void *sweep_main(void *arg)
{
	struct test_heap *heap = arg;
	struct gcheap_sweep sweep;

	return (void *)(intptr_t)(cmd_sweep(heap->fd, ~0ull, &sweep) ||
				  sweep.out_swept_spans != SPANS);
}

TEST_F(worker, is_not_needed_to_refill_during_a_sweep)
{
	unsigned int between = 0;

	SPANS_MAKE();
	for (int round = 0; round < 50 && between < 5; round++) {
		pthread_t thread;
		void *result;

		ASSERT_EQ(0, pthread_create(&thread, NULL, sweep_main, &self->heap));
		while (unswept_spans(&self->heap)) {
			struct gcheap_grant grant;
			__u64 unswept;

			test_cmd_take(0, CLASS_64, &grant);
			unswept = unswept_spans(&self->heap);
			test_cmd_give(&grant.page, 1);
			between += unswept && unswept < SPANS;
		}
		ASSERT_EQ(0, pthread_join(thread, &result));
		EXPECT_EQ(NULL, result);
		ASSERT_OK(cycle(&self->heap, self->pages));
	}
	EXPECT_LE(5, between);
}

/* Cycles go on while sweeps of older ones are still at work, or about to begin. */
TEST_F(worker, may_meet_another_cycle)
{
	struct gcheap_sweep sweeps[4];
	__u32 generation;

	SPANS_MAKE();
	generation = heap_ctrl(&self->heap)->generation;
	for (int round = 0; round < 10; round++) {
		struct io_uring_cqe cqe;

		for (int i = 0; i < 4; i++) {
			sweeps[i] = (struct gcheap_sweep){
				.size = sizeof(sweeps[i]),
				.max_spans = ~0ull,
			};
			ring_cmd(&self->ring, self->heap.fd, GCHEAP_OP_SWEEP, &sweeps[i],
				 i)->flags = IOSQE_ASYNC;
		}
		ASSERT_OK(ring_submit(&self->ring, 0));
		usleep(500 * round);
		ASSERT_OK(cycle(&self->heap, self->pages));
		for (int i = 0; i < 4; i++) {
			ASSERT_OK(ring_wait(&self->ring, &cqe));
			EXPECT_OK(cqe.res);
		}
	}
	EXPECT_EQ(generation + 20, heap_ctrl(&self->heap)->generation);
	EXPECT_EQ(SPANS, heap_ctrl(&self->heap)->counters.spans);
	EXPECT_EQ(0, heap_ctrl(&self->heap)->counters.freed_spans);
	ASSERT_RIGHT(heap_wrong(&self->heap));
}

TEST_F(worker, does_short_requests_when_the_heap_is_busy)
{
	struct gcheap_refill refills[32];
	struct gcheap_grant grants[32];
	struct busy busy;

	ASSERT_OK(busy_begin(&busy, &self->heap));
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 32; i++) {
			refills[i] = (struct gcheap_refill){
				.size = sizeof(refills[i]),
				.size_class = CLASS_64,
				.want_bytes = 1,
				.grant_count = 1,
				.grants = (uintptr_t)&grants[i],
			};
			ring_cmd(&self->ring, self->heap.fd, GCHEAP_OP_REFILL, &refills[i], i);
		}
		ASSERT_OK(ring_submit(&self->ring, 32));
		for (int i = 0; i < 32; i++) {
			struct io_uring_cqe cqe;

			ASSERT_OK(ring_wait(&self->ring, &cqe));
			EXPECT_OK(cqe.res);
		}
		for (int i = 0; i < 32; i++)
			test_cmd_give(&grants[i].page, 1);
	}
	EXPECT_OK(busy_end(&busy));
	ASSERT_RIGHT(heap_wrong(&self->heap));
}

/* ---- cancelled --------------------------------------------------------------------------- */

static struct gcheap_sweep in_flight;	/* the worker may write to it at any time */

/* Cancels the command with user_data 1, and waits for both: 0 or a negative errno. */
static int cancel(struct test_ring *ring, __s32 *result)
{
	int ret;

	ring_sqe(ring, IORING_OP_ASYNC_CANCEL, 2)->addr = 1;
	ret = ring_submit(ring, 2);
	for (int i = 0; !ret && i < 2; i++) {
		struct io_uring_cqe cqe;

		ret = ring_wait(ring, &cqe);
		if (!ret && cqe.user_data == 1)
			*result = cqe.res;
	}
	return ret;
}

TEST_F(worker, tells_how_far_a_cancelled_sweep_came)
{
	struct busy busy;
	int cancelled = 0;

	SPANS_MAKE();
	for (int round = 0; round < 50 && cancelled < 3; round++) {
		__u64 unswept;
		__s32 result;

		in_flight = (struct gcheap_sweep){
			.size = sizeof(in_flight),
			.max_spans = ~0ull,
		};
		ring_cmd(&self->ring, self->heap.fd, GCHEAP_OP_SWEEP, &in_flight, 1);
		ASSERT_OK(ring_submit(&self->ring, 0));
		ASSERT_OK(busy_begin(&busy, &self->heap));
		while (unswept_spans(&self->heap) == SPANS)
			sched_yield();
		ASSERT_OK(cancel(&self->ring, &result));
		EXPECT_OK(busy_end(&busy));
		unswept = unswept_spans(&self->heap);
		if (result == -EINTR) {
			cancelled++;
			EXPECT_LT(0, unswept);
			EXPECT_GT(SPANS, unswept);
		} else {
			EXPECT_OK(result);	/* it was done before */
			EXPECT_EQ(0, unswept);
		}
		EXPECT_EQ(SPANS - unswept, in_flight.out_swept_spans);
		EXPECT_EQ(unswept, in_flight.out_unswept_spans);

		/* It is sent again to go on. */
		ASSERT_OK(cmd_sweep(self->heap.fd, ~0ull, &in_flight));
		EXPECT_EQ(unswept, in_flight.out_swept_spans);
		ASSERT_OK(cycle(&self->heap, self->pages));
	}
	EXPECT_EQ(3, cancelled);
}

/*
 * An allocation that ends early has made some of its memory, and given it back. It may be
 * done before it is told to end: it is sent again then.
 */
#define LARGE_ROUNDS	30

static __u64 bytes_made(const struct gcheap_counters *counters)
{
	return counters->resident_bytes + counters->stock_bytes + counters->released_bytes;
}

TEST_F(worker, allocates_nothing_when_it_is_cancelled)
{
	struct gcheap_counters before, counters;
	int early = 0;

	ASSERT_OK(large_init());
	for (int round = 0; round < LARGE_ROUNDS && !early; round++) {
		__s32 result = 1;
		__u64 made;

		test_cmd_stats(&before);
		ASSERT_OK(large_begin(&self->ring, self->heap.fd));
		ASSERT_OK(cancel(&self->ring, &result));
		if (!result) {
			ASSERT_OK(large_undo(self->heap.fd));
			continue;
		}
		EXPECT_EQ(-EINTR, result);
		test_cmd_stats(&counters);
		EXPECT_EQ(0, counters.spans);
		made = bytes_made(&counters) - bytes_made(&before);
		early += made && made < LARGE_BYTES;
	}
	EXPECT_EQ(1, early);
	ASSERT_RIGHT(heap_wrong(&self->heap));
}

/* ---- the ring goes ------------------------------------------------------------------------- */

TEST_F(worker, ends_early_when_its_ring_is_closed)
{
	struct gcheap_counters before, counters;
	int early = 0;

	ASSERT_OK(large_init());
	for (int round = 0; round < LARGE_ROUNDS && !early; round++) {
		__u64 made;

		test_cmd_stats(&before);
		ASSERT_OK(large_begin(&self->ring, self->heap.fd));
		ring_close(&self->ring);
		/* It has the heap's lock until it ends. */
		test_cmd_stats(&counters);
		if (!counters.spans) {
			made = bytes_made(&counters) - bytes_made(&before);
			early += made && made < LARGE_BYTES;
		} else {
			ASSERT_OK(large_undo(self->heap.fd));
		}
		ASSERT_OK(ring_open(&self->ring, 8, 0));
	}
	EXPECT_EQ(1, early);
	ASSERT_RIGHT(heap_wrong(&self->heap));
}

TEST_F(worker, stops_sweeping_when_its_ring_is_closed)
{
	struct busy busy;
	int stopped = 0;

	SPANS_MAKE();
	for (int round = 0; round < 50 && stopped < 3; round++) {
		__u64 unswept;

		in_flight = (struct gcheap_sweep){
			.size = sizeof(in_flight),
			.max_spans = ~0ull,
		};
		ring_cmd(&self->ring, self->heap.fd, GCHEAP_OP_SWEEP, &in_flight, 1);
		ASSERT_OK(ring_submit(&self->ring, 0));
		ASSERT_OK(busy_begin(&busy, &self->heap));
		while (unswept_spans(&self->heap) == SPANS)
			sched_yield();
		ring_close(&self->ring);
		/* The kernel closes it when it finds time. The answer comes last. */
		while (!*(volatile __u64 *)&in_flight.out_swept_spans)
			sched_yield();
		EXPECT_OK(busy_end(&busy));
		/* Who does not stop comes to 0. */
		unswept = unswept_spans(&self->heap);
		stopped += !!unswept;
		EXPECT_EQ(SPANS - unswept, in_flight.out_swept_spans);
		ASSERT_OK(cycle(&self->heap, self->pages));
		ASSERT_OK(ring_open(&self->ring, 8, 0));
	}
	EXPECT_EQ(3, stopped);
	ASSERT_RIGHT(heap_wrong(&self->heap));
}

TEST_F(worker, may_have_thousands_of_commands_when_its_ring_is_closed)
{
	for (int round = 0; round < 3; round++) {
		struct gcheap_counters a, b;
		const char *error;
		int looks = 0;

		ASSERT_OK(submit_many(&self->ring, self->heap.fd));
		ring_close(&self->ring);
		/*
		 * Until nothing moves any more. A busy machine may only seem to stand still:
		 * a heap that is wrong then, and not in the middle of a request, stays wrong.
		 */
		do {
			test_cmd_stats(&a);
			usleep(100000);
			test_cmd_stats(&b);
			error = heap_wrong(&self->heap);
		} while (memcmp(&a, &b, sizeof(a)) || (error && looks++ < 50));
		ASSERT_RIGHT(error);
		ASSERT_OK(ring_open(&self->ring, MANY, 0));
	}
}

TEST_F(worker, completes_all_of_thousands_of_commands)
{
	unsigned int failed = 0;

	ASSERT_OK(submit_many(&self->ring, self->heap.fd));
	for (__u32 i = 0; i < MANY; i++) {
		struct io_uring_cqe cqe;

		ASSERT_OK(ring_wait(&self->ring, &cqe));
		/* All but one of the MARK_STARTs. */
		failed += cqe.res == -EBUSY;
		EXPECT_TRUE(!cqe.res || cqe.res == -EBUSY);
	}
	EXPECT_EQ(MANY / 7 - 1, failed);
	ASSERT_RIGHT(heap_wrong(&self->heap));
}

TEST_F(worker, goes_on_when_the_file_is_closed)
{
	struct gcheap_alloc_large large = { .size = sizeof(large), .count = LARGE_BYTES / 4 };
	struct io_uring_cqe cqe;

	ring_cmd(&self->ring, self->heap.fd, GCHEAP_OP_ALLOC_LARGE, &large, 1);
	ASSERT_OK(ring_submit(&self->ring, 0));
	close(self->heap.fd);
	self->heap.fd = -1;
	ASSERT_OK(ring_wait(&self->ring, &cqe));
	EXPECT_OK(cqe.res);
	EXPECT_EQ(LARGE_BYTES / 4, heap_span(&self->heap, large.out_page)->object_bytes);
	memset(heap_mem(&self->heap, large.out_page), 1, LARGE_BYTES / 4);
}

TEST_F(worker, goes_on_when_the_regions_are_unmapped)
{
	struct gcheap_alloc_large large = { .size = sizeof(large), .count = LARGE_BYTES / 4 };
	struct io_uring_cqe cqe;

	ring_cmd(&self->ring, self->heap.fd, GCHEAP_OP_ALLOC_LARGE, &large, 1);
	ASSERT_OK(ring_submit(&self->ring, 0));
	heap_unmap(&self->heap);
	ASSERT_OK(ring_wait(&self->ring, &cqe));
	EXPECT_OK(cqe.res);
	ASSERT_OK(heap_map(&self->heap));
	ASSERT_RIGHT(heap_wrong(&self->heap));
}

TEST_HARNESS_MAIN
