// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What happens around requests that a ring's worker does: others use the heap
 * meanwhile, the request is cancelled, its ring or file is closed, its task ends.
 *
 * The long requests are a sweep of many spans and an allocation of much memory.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>

#include "../kselftest_harness.h"
#include "gcheap_ring.h"
#include "gcheap_selftest.h"

#define SPANS		(12288u / kernel_slowness())	/* of one heap page: 96 MiB */
/* Takes a second or more to populate: much longer than to end a process does. */
#define LARGE_BYTES	((384ull << 20) / (kernel_slowness() > 1 ? 2 : 1))
#define MANY		(MANY_MOST / kernel_slowness())	/* commands at a time */
#define MANY_MOST	4096u
#define RESERVE		(1ull << 30)

FIXTURE(worker) {
	struct machine before;
	struct test_heap heap;
	struct test_ring ring;
	__u32 *pages;			/* of the spans, or NULL */
};

FIXTURE_SETUP(worker)
{
	ASSERT_OK(machine_take(&self->before));
	ASSERT_OK(heap_open(&self->heap, GCHEAP_UAPI_LAYOUT_SPAN, RESERVE));
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

static __u64 now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (__u64)now.tv_sec * 1000000 + (__u64)now.tv_nsec / 1000;
}

static void sleep_us(__u64 us)
{
	struct timespec wait = { .tv_sec = (time_t)(us / 1000000),
				 .tv_nsec = (long)(us % 1000000) * 1000 };

	nanosleep(&wait, NULL);
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

/* How long the large allocation takes when nobody disturbs it. */
static __u64 large_us(const struct test_heap *heap)
{
	struct gcheap_alloc_large large;
	__u64 from = now_us();

	if (cmd_alloc_large(heap->fd, 0, LARGE_BYTES, &large))
		return 0;
	return now_us() - from;
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
		sleep_us(500 * round);
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
 * An allocation that ends early has made some of its memory, and given it back. How soon
 * it ends is not measured by a clock, which a busy machine would stretch. It may be done,
 * or not begun, before it is told to end: it is sent again then.
 */
#define LARGE_ROUNDS	30

static struct gcheap_alloc_large large_in_flight;	/* as in_flight */

static __u64 bytes_made(const struct gcheap_counters *counters)
{
	return counters->resident_bytes + counters->stock_bytes + counters->released_bytes;
}

/* Sends it, and lets it come to about an eighth. */
static int large_begin(struct test_ring *ring, int fd, __u64 full)
{
	int ret;

	large_in_flight = (struct gcheap_alloc_large){
		.size = sizeof(large_in_flight),
		.count = LARGE_BYTES,
	};
	ring_cmd(ring, fd, GCHEAP_OP_ALLOC_LARGE, &large_in_flight, 1);
	ret = ring_submit(ring, 0);
	sleep_us(full / 8);
	return ret;
}

/* It was done: frees what it allocated. */
static int large_undo(int fd)
{
	__u32 page;
	int ret;

	/* The answer is written after all else. */
	while (!(page = *(volatile __u32 *)&large_in_flight.out_page))
		sched_yield();
	ret = cmd_free_large(fd, page);
	return ret ?: cmd_scavenge(fd, ~0ull, NULL);
}

TEST_F(worker, allocates_nothing_when_it_is_cancelled)
{
	struct gcheap_counters before, counters;
	int early = 0;
	__u64 full;

	full = large_us(&self->heap);
	ASSERT_NE(0, full);
	for (int round = 0; round < LARGE_ROUNDS && !early; round++) {
		__s32 result = 1;
		__u64 made;

		test_cmd_stats(&before);
		ASSERT_OK(large_begin(&self->ring, self->heap.fd, full));
		ASSERT_OK(cancel(&self->ring, &result));
		if (!result) {
			ASSERT_OK(large_undo(self->heap.fd));
			continue;
		}
		if (result != -ECANCELED)	/* not begun */
			EXPECT_EQ(-EINTR, result);
		test_cmd_stats(&counters);
		EXPECT_EQ(1, counters.spans);
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
	__u64 full;

	full = large_us(&self->heap);
	ASSERT_NE(0, full);
	for (int round = 0; round < LARGE_ROUNDS && !early; round++) {
		__u64 made;

		test_cmd_stats(&before);
		ASSERT_OK(large_begin(&self->ring, self->heap.fd, full));
		ring_close(&self->ring);
		/* It has the heap's lock until it ends. */
		test_cmd_stats(&counters);
		if (counters.spans == 1) {
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
		/* The kernel closes it when it finds time. Who does not stop comes to 0. */
		do {
			unswept = unswept_spans(&self->heap);
			sleep_us(150000);
		} while (unswept != unswept_spans(&self->heap));
		EXPECT_OK(busy_end(&busy));
		stopped += !!unswept;
		EXPECT_EQ(unswept, unswept_spans(&self->heap));
		ASSERT_OK(cycle(&self->heap, self->pages));
		ASSERT_OK(ring_open(&self->ring, 8, 0));
	}
	EXPECT_EQ(3, stopped);
	ASSERT_RIGHT(heap_wrong(&self->heap));
}

/* The answers of commands whose ring has gone may come at any time. */
static union any_request many[MANY_MOST];
static struct gcheap_grant many_grants[MANY_MOST];

/* Of all kinds, done by workers and not: how many were submitted, or a negative errno. */
static int submit_many(struct test_ring *ring, int fd)
{
	for (__u32 i = 0; i < MANY; i++) {
		static const unsigned int ops[] = {
			GCHEAP_OP_REFILL, GCHEAP_OP_STATS, GCHEAP_OP_ALLOC_LARGE, GCHEAP_OP_SWEEP,
			GCHEAP_OP_TYPE_ADD, GCHEAP_OP_MARK_START, GCHEAP_OP_REFILL,
		};
		unsigned int op = ops[i % 7];

		request_valid(op, &many[i], &many_grants[i]);
		if (op == GCHEAP_OP_SWEEP)
			many[i].sweep.max_spans = ~0ull;
		ring_cmd(ring, fd, op, &many[i], i)->flags = i % 5 ? IOSQE_ASYNC : 0;
	}
	return ring_submit(ring, 0);
}

TEST_F(worker, may_have_thousands_of_commands_when_its_ring_is_closed)
{
	for (int round = 0; round < 3; round++) {
		struct gcheap_counters a, b;

		ASSERT_OK(submit_many(&self->ring, self->heap.fd));
		ring_close(&self->ring);
		/* Until nothing moves any more. */
		do {
			test_cmd_stats(&a);
			sleep_us(100000);
			test_cmd_stats(&b);
		} while (memcmp(&a, &b, sizeof(a)));
		ASSERT_RIGHT(heap_wrong(&self->heap));
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

/* ---- the task goes --------------------------------------------------------------------------- */

enum ending { EXIT, KILL, EXEC };

FIXTURE(ending) {
	struct machine before;
};

FIXTURE_VARIANT(ending) {
	enum ending how;
	__u32 ring_flags;
};

FIXTURE_VARIANT_ADD(ending, exit) {
	.how = EXIT,
};

FIXTURE_VARIANT_ADD(ending, kill) {
	.how = KILL,
};

FIXTURE_VARIANT_ADD(ending, exec) {
	.how = EXEC,
};

FIXTURE_VARIANT_ADD(ending, exit_with_polled_queue) {
	.how = EXIT,
	.ring_flags = IORING_SETUP_SQPOLL,
};

FIXTURE_VARIANT_ADD(ending, kill_with_polled_queue) {
	.how = KILL,
	.ring_flags = IORING_SETUP_SQPOLL,
};

FIXTURE_VARIANT_ADD(ending, exec_with_polled_queue) {
	.how = EXEC,
	.ring_flags = IORING_SETUP_SQPOLL,
};

FIXTURE_SETUP(ending)
{
	ASSERT_OK(machine_take(&self->before));
}

FIXTURE_TEARDOWN(ending)
{
	EXPECT_TRUE(machine_back_to(&self->before));
}

/* Ends the calling process so, with status 0, unless its parent is faster. */
static void end(enum ending how)
{
	char *argv[] = { "uring_life_test", "--after-exec", NULL };

	switch (how) {
	case EXIT:
		_exit(0);
	case KILL:
		for (;;)
			pause();
	case EXEC:
		execv("/proc/self/exe", argv);
		_exit(9);
	}
}

/* How a child ended as it was to: 0. */
static int end_wait(pid_t child, enum ending how)
{
	int status;

	if (how == KILL)
		kill(child, SIGKILL);
	status = child_wait(child);
	return how == KILL && status == -SIGKILL ? 0 : status;
}

/*
 * Ends a child in the middle of an allocation; how long that took, and how long the
 * allocation takes when nobody disturbs it, in microseconds. 0 or not.
 */
static int end_in_allocation(enum ending how, unsigned int ring_flags, __u64 *full, __u64 *ended)
{
	struct test_heap heap;
	struct test_ring ring;
	int pipes[2], ret;
	pid_t child;
	__u64 from;
	char byte;

	ret = heap_open(&heap, GCHEAP_UAPI_LAYOUT_SPAN, RESERVE);
	if (ret)
		return ret;
	*full = large_us(&heap);
	heap_close(&heap);
	if (!*full || pipe(pipes))
		return -1;
	child = fork();
	if (!child) {
		if (heap_open(&heap, GCHEAP_UAPI_LAYOUT_SPAN, RESERVE) ||
		    ring_open(&ring, 8, ring_flags))
			_exit(1);
		if (large_begin(&ring, heap.fd, *full))
			_exit(2);
		if (write(pipes[1], "x", 1) != 1)
			_exit(3);
		end(how);
	}
	close(pipes[1]);
	ret = child < 0 || read(pipes[0], &byte, 1) != 1;
	from = now_us();
	if (child >= 0)
		ret |= end_wait(child, how);
	*ended = now_us() - from;
	close(pipes[0]);
	return ret;
}

/*
 * What the request has left undone goes with its heap, so that here a clock must tell:
 * of several children one must be faster than the request. On a busy machine not all are.
 */
#define ENDING_ROUNDS	10

TEST_F(ending, is_not_held_up_by_a_long_request)
{
	bool soon = false;

	for (int round = 0; round < ENDING_ROUNDS && !soon; round++) {
		__u64 full, ended;

		ASSERT_OK(end_in_allocation(variant->how, variant->ring_flags, &full, &ended));
		soon = ended < full / 2;
	}
	EXPECT_TRUE(soon);
}

/* Whatever the commands are at. */
TEST_F(ending, may_come_at_any_time)
{
	for (__u32 round = 0; round < 16 / kernel_slowness() + 2; round++) {
		int pipes[2];
		pid_t child;
		char byte;

		ASSERT_EQ(0, pipe(pipes));
		child = fork();
		ASSERT_LE(0, child);
		if (!child) {
			struct test_heap heap;
			struct test_ring ring;

			if (heap_open(&heap, GCHEAP_UAPI_LAYOUT_SPAN, RESERVE) ||
			    ring_open(&ring, MANY, variant->ring_flags))
				_exit(1);
			if (write(pipes[1], "x", 1) != 1)
				_exit(2);
			if (submit_many(&ring, heap.fd))
				_exit(3);
			if (variant->how != KILL)
				sleep_us(1000 * round);
			end(variant->how);
		}
		ASSERT_EQ(1, read(pipes[0], &byte, 1));
		if (variant->how == KILL)
			sleep_us(3000 * round);
		EXPECT_EQ(0, end_wait(child, variant->how));
		close(pipes[0]);
		close(pipes[1]);
	}
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--after-exec"))
		return 0;
	return test_harness_run(argc, argv);
}
