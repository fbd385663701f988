// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Chunks of user arenas: memory while they are in use, a fault after CHUNK_FREE,
 * also under threads that never stop touching them.
 */
#include <pthread.h>
#include <setjmp.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#define PAGE	((size_t)4096)

FIXTURE(chunk) {
	struct test_heap heap;
	struct gcheap_chunk_new chunk;
	struct gcheap_counters counters;
};

FIXTURE_SETUP(chunk)
{
	ASSERT_OK(heap_open(&self->heap, GCHEAP_LAYOUT_SPAN, 2 * SMALL_RESERVE));
}

FIXTURE_TEARDOWN(chunk)
{
	EXPECT_EQ(NULL, heap_wrong(&self->heap)) {
		TH_LOG("%s", heap_wrong(&self->heap));
	}
	heap_close(&self->heap);
}

/* Every page of a chunk without memory faults. */
#define EXPECT_GONE(page) do { \
	char *chunk_ = heap_mem(&self->heap, page); \
\
	for (size_t at_ = 0; at_ < GCHEAP_CHUNK_BYTES; at_ += 61 * PAGE + 13) { \
		EXPECT_SIGBUS(chunk_ + at_, false); \
		EXPECT_SIGBUS(chunk_ + at_, true); \
	} \
	EXPECT_SIGBUS(chunk_ + GCHEAP_CHUNK_BYTES - 1, true); \
	EXPECT_ERR(EFAULT, read_into(chunk_ + 5, 100)); \
} while (0)

#define test_err_chunk_free(err, ...)  test_err(err, cmd_chunk_free(self->heap.fd, __VA_ARGS__))
#define test_err_chunk_ready(err, ...) test_err(err, cmd_chunk_ready(self->heap.fd, __VA_ARGS__))

/* ---- the circle of a chunk's life ---------------------------------------------------- */

TEST_F(chunk, is_aligned_memory_that_no_table_but_SPANS_knows)
{
	char *memory;

	for (int i = 0; i < 2; i++) {
		test_cmd_chunk_new(&self->chunk);
		ASSERT_EQ(0, self->chunk.out_page % CHUNK_PAGES);
		ASSERT_EQ(0, self->chunk.out_flags & ~GCHEAP_GRANT_NEEDZERO);
		EXPECT_EQ(GCHEAP_SPAN_CHUNK, span_state(&self->heap, self->chunk.out_page));
		EXPECT_EQ(CHUNK_PAGES, heap_span(&self->heap, self->chunk.out_page)->npages);
		ASSERT_RIGHT(heap_wrong(&self->heap));
		memory = heap_mem(&self->heap, self->chunk.out_page);
		if (!(self->chunk.out_flags & GCHEAP_GRANT_NEEDZERO))
			ASSERT_TRUE(memory_is(memory, 0, GCHEAP_CHUNK_BYTES));
		memset(memory, 0x11 + i, GCHEAP_CHUNK_BYTES);
		ASSERT_TRUE(memory_is(memory, 0x11 + i, GCHEAP_CHUNK_BYTES));
	}
	test_cmd_stats(&self->counters);
	EXPECT_EQ(2, self->counters.chunks);
	EXPECT_EQ(0, self->counters.spans);
	EXPECT_EQ(2 * CHUNK_PAGES, self->counters.in_use_pages);
	EXPECT_EQ(2 * GCHEAP_CHUNK_BYTES, self->counters.resident_bytes);
}

TEST_F(chunk, that_was_freed_faults_and_its_neighbours_do_not)
{
	__u32 pages[3];

	for (int i = 0; i < 3; i++) {
		test_cmd_chunk_new(&self->chunk);
		pages[i] = self->chunk.out_page;
		memset(heap_mem(&self->heap, pages[i]), i, GCHEAP_CHUNK_BYTES);
	}
	ASSERT_EQ(pages[0] + CHUNK_PAGES, pages[1]);
	ASSERT_EQ(pages[1] + CHUNK_PAGES, pages[2]);
	test_cmd_chunk_free(pages[1]);
	EXPECT_GONE(pages[1]);
	EXPECT_TRUE(memory_is(heap_mem(&self->heap, pages[0]), 0, GCHEAP_CHUNK_BYTES));
	EXPECT_TRUE(memory_is(heap_mem(&self->heap, pages[2]), 2, GCHEAP_CHUNK_BYTES));
	test_cmd_stats(&self->counters);
	EXPECT_EQ(2, self->counters.chunks);
	EXPECT_EQ(CHUNK_PAGES, self->counters.quarantined_pages);
	EXPECT_EQ(2 * GCHEAP_CHUNK_BYTES, self->counters.resident_bytes);
}

TEST_F(chunk, that_was_freed_is_not_used_again_before_CHUNK_READY)
{
	struct gcheap_alloc_large large;
	__u32 page;

	test_cmd_chunk_new(&self->chunk);
	page = self->chunk.out_page;
	memset(heap_mem(&self->heap, page), 0x55, GCHEAP_CHUNK_BYTES);
	test_cmd_chunk_free(page);
	while (!cmd_alloc_large(self->heap.fd, 0, 1 << 20, &large))
		ASSERT_TRUE(large.out_page + large.out_npages <= page ||
			    large.out_page >= page + CHUNK_PAGES);
	ASSERT_EQ(-ENOMEM, cmd_chunk_new(self->heap.fd, NULL));
	EXPECT_GONE(page);
	test_cmd_chunk_ready(page);
	EXPECT_GONE(page);
	test_cmd_chunk_new(&self->chunk);
	ASSERT_EQ(page, self->chunk.out_page);
	if (!(self->chunk.out_flags & GCHEAP_GRANT_NEEDZERO))
		ASSERT_TRUE(memory_is(heap_mem(&self->heap, page), 0, GCHEAP_CHUNK_BYTES));
	memset(heap_mem(&self->heap, page), 0x66, GCHEAP_CHUNK_BYTES);
	/* Ready chunks are free memory to spans that find no other. */
	test_cmd_chunk_free(page);
	test_cmd_chunk_ready(page);
	test_cmd_alloc_large(0, GCHEAP_CHUNK_BYTES, &large);
	EXPECT_GE(page, large.out_page);
	EXPECT_LT(page, large.out_page + large.out_npages);
	memset(heap_mem(&self->heap, large.out_page), 0x77, GCHEAP_CHUNK_BYTES);
}

TEST_F(chunk, outlives_cycles_whatever_is_marked)
{
	__u32 freed;

	test_cmd_chunk_new(&self->chunk);
	freed = self->chunk.out_page;
	test_cmd_chunk_free(freed);
	test_cmd_chunk_new(&self->chunk);
	memset(heap_mem(&self->heap, self->chunk.out_page), 0x42, GCHEAP_CHUNK_BYTES);
	for (int i = 0; i < 4; i++) {
		test_cmd_mark_start(NULL);
		if (i & 1) {
			bit_set(page_marks(&self->heap), self->chunk.out_page);
			bit_set(page_marks(&self->heap), freed);
		}
		test_cmd_sweep_start_flags(i & 2 ? GCHEAP_SWEEP_START_LAZY : 0, 0, NULL);
		test_cmd_reclaim(~0ull, &(struct gcheap_reclaim) { 0 });
		ASSERT_RIGHT(heap_wrong(&self->heap));
	}
	EXPECT_TRUE(memory_is(heap_mem(&self->heap, self->chunk.out_page), 0x42,
			      GCHEAP_CHUNK_BYTES));
	EXPECT_SIGBUS(heap_mem(&self->heap, freed), true);
}

/* ---- wild calls ------------------------------------------------------------------------ */

TEST_F(chunk, test_err_chunk_free_of_what_is_no_chunk)
{
	struct gcheap_alloc_large large;
	struct gcheap_grant grant;
	__u32 page;

	test_cmd_take(0, CLASS_64, &grant);
	test_cmd_chunk_new(&self->chunk);
	page = self->chunk.out_page;
	test_cmd_alloc_large(0, 2 * GCHEAP_CHUNK_BYTES, &large);
	test_err_chunk_free(EINVAL, 0);
	test_err_chunk_free(EINVAL, grant.page);
	test_err_chunk_free(EINVAL, page + 1);
	test_err_chunk_free(EINVAL, page + CHUNK_PAGES - 1);
	test_err_chunk_free(EINVAL, page - 1);
	test_err_chunk_free(EINVAL, large.out_page);
	test_err_chunk_free(EINVAL, heap_ctrl(&self->heap)->heap_pages);
	test_err_chunk_free(EINVAL, (__u32)(self->heap.reserve >> GCHEAP_PAGE_SHIFT));
	test_err_chunk_free(EINVAL, ~0u);
	test_cmd_chunk_free(page);
	test_err_chunk_free(EINVAL, page);
	test_cmd_chunk_ready(page);
	test_err_chunk_free(EINVAL, page);
	test_cmd_give(&grant.page, 1);
}

TEST_F(chunk, test_err_chunk_ready_of_what_is_not_in_quarantine)
{
	test_cmd_chunk_new(&self->chunk);
	test_err_chunk_ready(EINVAL, 0);
	test_err_chunk_ready(EINVAL, 1);
	test_err_chunk_ready(EINVAL, self->chunk.out_page);
	test_err_chunk_ready(EINVAL, heap_ctrl(&self->heap)->heap_pages);
	test_err_chunk_ready(EINVAL, ~0u);
	test_cmd_chunk_free(self->chunk.out_page);
	test_err_chunk_ready(EINVAL, self->chunk.out_page + 1);
	test_cmd_chunk_ready(self->chunk.out_page);
	test_err_chunk_ready(EINVAL, self->chunk.out_page);
}

TEST_F(chunk, test_err_chunk_ready_while_a_cycle_marks)
{
	test_cmd_chunk_new(&self->chunk);
	test_cmd_mark_start(NULL);
	test_cmd_chunk_free(self->chunk.out_page);
	EXPECT_GONE(self->chunk.out_page);
	test_err_chunk_ready(EBUSY, self->chunk.out_page);
	test_err_chunk_free(EINVAL, self->chunk.out_page);
	test_cmd_sweep_start(NULL);
	test_cmd_chunk_ready(self->chunk.out_page);
}

TEST_F(chunk, test_err_no_reserve_is_left)
{
	int ret, count = 0;

	while (!(ret = cmd_chunk_new(self->heap.fd, &self->chunk)))
		count++;
	EXPECT_EQ(-ENOMEM, ret);
	/* Page 0 is in the first chunk of the reserve. */
	EXPECT_EQ((int)(self->heap.reserve >> GCHEAP_CHUNK_SHIFT) - 1, count);
}

/* ---- no window ------------------------------------------------------------------------- */

#define HAMMERS	3

static __thread sigjmp_buf hammer_env;
static __thread volatile char *hammer_addr;

/* What the threads touch, and what they have seen that cannot be. */
struct anvil {
	struct test_heap *heap;
	__u32 page;		/* of the chunk; 0: there is none */
	__u32 round;		/* one more before each CHUNK_NEW */
	bool freed;		/* CHUNK_FREE has returned */
	bool stop;
	__u64 touched, faulted;
	const char *error;
};

static struct anvil anvil;

static void hammer_handler(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (sig != SIGBUS || info->si_code != BUS_ADRERR || info->si_addr != hammer_addr)
		__atomic_store_n(&anvil.error, "another signal or address", __ATOMIC_RELAXED);
	siglongjmp(hammer_env, 1);
}

/* One access to a random byte: true if it worked. */
static bool hammer_touch(volatile char *addr, __u32 how)
{
	hammer_addr = addr;
	if (how == 0)
		return !read_into((void *)addr, 1);
	if (sigsetjmp(hammer_env, 0))
		return false;
	if (how == 1)
		*addr = 1;
	else
		(void)*addr;
	return true;
}

static void *hammer_main(void *arg)
{
	struct rng rng;

	rng_init(&rng, (uintptr_t)arg);
	while (!__atomic_load_n(&anvil.stop, __ATOMIC_RELAXED)) {
		__u32 round = __atomic_load_n(&anvil.round, __ATOMIC_ACQUIRE);
		__u32 page = __atomic_load_n(&anvil.page, __ATOMIC_ACQUIRE);
		/* Set before this access began: it must fault. */
		bool freed = __atomic_load_n(&anvil.freed, __ATOMIC_ACQUIRE);
		bool worked;

		if (!page)
			continue;
		worked = hammer_touch(heap_mem(anvil.heap, page) +
				      rng_below(&rng, GCHEAP_CHUNK_BYTES), rng_below(&rng, 8));
		if (freed && worked && __atomic_load_n(&anvil.round, __ATOMIC_ACQUIRE) == round)
			__atomic_store_n(&anvil.error, "a freed chunk has memory",
					 __ATOMIC_RELAXED);
		__atomic_fetch_add(worked ? &anvil.touched : &anvil.faulted, 1,
				   __ATOMIC_RELAXED);
	}
	return NULL;
}

TEST_F_TIMEOUT(chunk, has_no_memory_once_it_is_freed_whoever_touches_it, 120)
{
	const struct timespec wait = { .tv_nsec = 2 * 1000 * 1000 };
	struct sigaction action = { .sa_sigaction = hammer_handler,
				    .sa_flags = SA_SIGINFO | SA_NODEFER };
	pthread_t threads[HAMMERS];
	__u64 chunk_pages = 0;

	anvil = (struct anvil) { .heap = &self->heap };
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	for (uintptr_t i = 0; i < HAMMERS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, hammer_main, (void *)(i + 1)));

	for (int round = 0; round < 60; round++) {
		__u32 page;

		__atomic_fetch_add(&anvil.round, 1, __ATOMIC_SEQ_CST);
		test_cmd_chunk_new(&self->chunk);
		page = self->chunk.out_page;
		__atomic_store_n(&anvil.freed, false, __ATOMIC_RELEASE);
		__atomic_store_n(&anvil.page, page, __ATOMIC_RELEASE);
		nanosleep(&wait, NULL);
		test_cmd_chunk_free(page);
		__atomic_store_n(&anvil.freed, true, __ATOMIC_RELEASE);
		test_cmd_stats(&self->counters);
		EXPECT_EQ(0, self->counters.resident_bytes);
		nanosleep(&wait, NULL);
		__atomic_store_n(&anvil.page, 0, __ATOMIC_RELEASE);
		if (round % 3) {
			test_cmd_chunk_ready(page);
			continue;
		}
		chunk_pages += CHUNK_PAGES;
		if (chunk_pages >= 8 * CHUNK_PAGES) {
			/* Start again before the reserve is full. */
			for (page = CHUNK_PAGES; chunk_pages; page += CHUNK_PAGES) {
				if (span_state(&self->heap, page) != GCHEAP_SPAN_QUARANTINE)
					continue;
				test_cmd_chunk_ready(page);
				chunk_pages -= CHUNK_PAGES;
			}
		}
	}
	__atomic_store_n(&anvil.stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < HAMMERS; i++)
		pthread_join(threads[i], NULL);
	ASSERT_EQ(NULL, anvil.error) {
		TH_LOG("%s", anvil.error);
	}
	TH_LOG("%llu accesses worked, %llu faulted", anvil.touched, anvil.faulted);
	EXPECT_LT(0, anvil.touched);
	EXPECT_LT(0, anvil.faulted);
	ASSERT_RIGHT(heap_wrong(&self->heap));
}

TEST(chunks_leave_nothing_behind)
{
	struct gcheap_chunk_new chunk;
	struct machine before;
	struct test_heap heap;

	ASSERT_OK(machine_take(&before));
	for (int i = 0; i < 3; i++) {
		ASSERT_OK(heap_open(&heap, GCHEAP_LAYOUT_SPAN, 2 * SMALL_RESERVE));
		for (int j = 0; j < 6; j++) {
			ASSERT_OK(cmd_chunk_new(heap.fd, &chunk));
			memset(heap_mem(&heap, chunk.out_page), 1, GCHEAP_CHUNK_BYTES);
			if (j % 3 == 0)
				continue;
			ASSERT_OK(cmd_chunk_free(heap.fd, chunk.out_page));
			if (j % 3 == 1)
				continue;
			ASSERT_OK(cmd_chunk_ready(heap.fd, chunk.out_page));
		}
		ASSERT_RIGHT(heap_wrong(&heap));
		heap_close(&heap);
		EXPECT_TRUE(machine_back_to(&before));
	}
}

TEST_HARNESS_MAIN
