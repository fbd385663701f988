// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Memory that fails: what an access to it gets, and that it is not used again. The
 * tests use MADV_HWPOISON, by which the memory manager does what it does after a
 * machine check. Each test costs the machine what it has poisoned: some pages of 4
 * KiB, and some of 2 MiB.
 */
#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#ifndef MADV_HWPOISON
#define MADV_HWPOISON	100
#endif

#define SMALL_PAGE	4096u
#define BLOCK		(2ull << 20)
#define OBJECT		(1u << 20)

FIXTURE(poison) {
	struct test_heap heap;
	struct machine before;
	struct gcheap_alloc_large object;
	char *mem;
};

FIXTURE_VARIANT(poison) {
	__u32 flags;
};

FIXTURE_VARIANT_ADD(poison, small_pages) {
	.flags = GCHEAP_SETUP_SHARE_READ,
};

FIXTURE_VARIANT_ADD(poison, huge_pages) {
	.flags = GCHEAP_SETUP_SHARE_READ | GCHEAP_SETUP_HUGE_PAGES,
};

/* Whether this kernel deals with memory that fails at all. */
static bool kernel_poisons(void)
{
	/* Nothing is there: what is wrong with the address is found out later. */
	return madvise((void *)SMALL_PAGE, SMALL_PAGE, MADV_HWPOISON) && errno != EINVAL;
}

/* Memory fails. The memory manager says that it could not do much about it. */
static int poison(void *addr)
{
	if (!madvise(addr, SMALL_PAGE, MADV_HWPOISON) || errno == EBUSY || errno == EHWPOISON)
		return 0;
	return -errno;
}

FIXTURE_SETUP(poison)
{
	int ret;

	if (!kernel_poisons())
		SKIP(return, "no CONFIG_MEMORY_FAILURE in this kernel");
	ASSERT_OK(machine_take(&self->before));
	ret = heap_open_flags(&self->heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE, variant->flags);
	if (ret == -EOPNOTSUPP)
		SKIP(return, "no huge pages on this machine");
	ASSERT_OK(ret);
	/* What comes next begins at 2 MiB. */
	test_cmd_alloc_large(0, BLOCK - GCHEAP_PAGE_BYTES, &self->object);
	test_cmd_alloc_large(0, OBJECT, &self->object);
	ASSERT_EQ(BLOCK >> GCHEAP_PAGE_SHIFT, self->object.out_page);
	self->mem = heap_mem(&self->heap, self->object.out_page);
	memset(self->mem, 1, OBJECT);
}

FIXTURE_TEARDOWN(poison)
{
	if (self->heap.fd <= 0)
		return;
	EXPECT_EQ(NULL, heap_wrong(&self->heap)) {
		TH_LOG("%s", heap_wrong(&self->heap));
	}
	heap_close(&self->heap);
	EXPECT_TRUE(machine_back_to(&self->before));
}

#define EXPECT_POISONED(addr) do { \
	EXPECT_SIGBUS_OF(addr, false, BUS_MCEERR_AR); \
	EXPECT_ERR(EFAULT, read_into(addr, 8)); \
} while (0)

/* Whether all but one page of the object have what was written to them. */
static bool others_are(const char *mem, __u32 bad, int byte)
{
	__u32 at = bad * SMALL_PAGE;

	return memory_is(mem, byte, at) &&
	       memory_is(mem + at + SMALL_PAGE, byte, OBJECT - at - SMALL_PAGE);
}

TEST_F(poison, is_told_where_it_is_touched_and_nowhere_else)
{
	ASSERT_OK(poison(self->mem + 5 * SMALL_PAGE));
	ASSERT_EQ(0, madvise(self->heap.region[GCHEAP_REGION_HEAP], self->heap.reserve,
			     MADV_DONTNEED));
	EXPECT_POISONED(self->mem + 5 * SMALL_PAGE);
	EXPECT_POISONED(self->mem + 5 * SMALL_PAGE + 4000);
	EXPECT_TRUE(others_are(self->mem, 5, 1));
	memset(self->mem, 2, 5 * SMALL_PAGE);
	memset(self->mem + 6 * SMALL_PAGE, 2, OBJECT - 6 * SMALL_PAGE);
	EXPECT_TRUE(others_are(self->mem, 5, 2));
	EXPECT_EQ(SIGBUS, probe(self->mem + 5 * SMALL_PAGE, true, NULL));
}

/* The memory manager leaves it mapped. */
TEST_F(poison, is_unmapped_by_the_next_request)
{
	struct gcheap_counters counters;

	ASSERT_OK(poison(self->mem + 77 * SMALL_PAGE));
	test_cmd_stats(&counters);
	EXPECT_POISONED(self->mem + 77 * SMALL_PAGE + 8);
	EXPECT_TRUE(others_are(self->mem, 77, 1));
	EXPECT_EQ(0, counters.huge_bytes);
	/* Other heaps have lost nothing. */
	EXPECT_EQ(0, fdinfo_number(self->heap.fd, "lost"));
}

TEST_F(poison, is_told_to_those_who_look)
{
	struct gcheap_counters counters;
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		siginfo_t info = { 0 };
		char *view, *mem;

		view = mmap(NULL, self->heap.reserve, PROT_READ, MAP_SHARED, self->heap.fd, 0);
		if (view == MAP_FAILED)
			_exit(1);
		mem = view + (self->mem - (char *)self->heap.region[GCHEAP_REGION_HEAP]);
		if (probe(mem, false, NULL) || poison(mem + 3 * SMALL_PAGE))
			_exit(2);
		madvise(view, self->heap.reserve, MADV_DONTNEED);
		if (probe(mem + 3 * SMALL_PAGE, false, &info) != SIGBUS ||
		    info.si_code != BUS_MCEERR_AR)
			_exit(3);
		_exit(others_are(mem, 3, 1) ? 0 : 4);
	}
	EXPECT_EQ(0, child_wait(child));
	test_cmd_stats(&counters);
	EXPECT_POISONED(self->mem + 3 * SMALL_PAGE);
}

TEST_F(poison, is_not_in_what_is_handed_out_next)
{
	struct gcheap_alloc_large again[8];
	char *bad = self->mem + 100 * SMALL_PAGE;

	ASSERT_OK(poison(bad));
	test_cmd_free_large(self->object.out_page);
	for (int i = 0; i < 8; i++) {
		test_cmd_alloc_large(0, OBJECT, &again[i]);
		memset(heap_mem(&self->heap, again[i].out_page), i, OBJECT);
	}
	for (int i = 0; i < 8; i++)
		EXPECT_TRUE(memory_is(heap_mem(&self->heap, again[i].out_page), i, OBJECT));
	for (int i = 0; i < 8; i++)
		test_cmd_free_large(again[i].out_page);
}

TEST_F(poison, is_not_in_small_objects_that_are_handed_out_next)
{
	struct gcheap_grant grants[64];
	__u32 page = self->object.out_page;

	/* A span whose last object is alive, and a page of which fails. */
	test_cmd_free_large(page);
	test_cmd_take(0, CLASS_32768, &grants[0]);
	slot_alloc(&self->heap, grants[0].page, 0);
	ASSERT_OK(poison(slot_mem(&self->heap, grants[0].page, 0)));
	test_cmd_give(&grants[0].page, 1);
	for (int i = 1; i < 64; i++) {
		test_cmd_take(0, CLASS_1024, &grants[i]);
		EXPECT_NE(grants[0].page, grants[i].page);
		memset(heap_mem(&self->heap, grants[i].page), i,
		       (size_t)heap_span(&self->heap, grants[i].page)->npages <<
		       GCHEAP_PAGE_SHIFT);
	}
}

/* What has an object that lives is not given out for its free slots. */
TEST_F(poison, is_not_in_the_free_slots_of_a_span)
{
	struct gcheap_grant bad, good, grant;

	test_cmd_take(0, CLASS_512, &bad);
	test_cmd_take(0, CLASS_512, &good);
	slot_alloc(&self->heap, bad.page, 0);
	slot_alloc(&self->heap, good.page, 0);
	test_cmd_give(&good.page, 1);
	test_cmd_give(&bad.page, 1);
	ASSERT_OK(poison(heap_mem(&self->heap, bad.page) + SMALL_PAGE));
	/* There are no other pages, so that free slots are all that there is. */
	while (!cmd_alloc_large(self->heap.fd, 0, 1 << 20, NULL))
		;
	while (!cmd_alloc_large(self->heap.fd, 0, GCHEAP_PAGE_BYTES, NULL))
		;
	test_cmd_take(0, CLASS_512, &grant);
	EXPECT_EQ(good.page, grant.page);
	EXPECT_ERR(ENOMEM, cmd_take(self->heap.fd, 0, CLASS_512, &grant));
	EXPECT_EQ(GCHEAP_SPAN_CENTRAL, span_state(&self->heap, bad.page));
}

TEST_F(poison, does_not_come_back_by_the_stock)
{
	struct gcheap_chunk_new chunk, again;
	struct gcheap_counters counters;
	__u64 lost;
	char *mem;

	test_cmd_chunk_new(&chunk);
	mem = heap_mem(&self->heap, chunk.out_page);
	memset(mem, 7, GCHEAP_CHUNK_BYTES);
	ASSERT_OK(poison(mem + 9 * SMALL_PAGE));
	/* It fails in use, and what was freed with it fails in the stock. */
	test_cmd_chunk_free(chunk.out_page);
	test_cmd_stats(&counters);
	lost = variant->flags & GCHEAP_SETUP_HUGE_PAGES ? BLOCK : SMALL_PAGE;
	EXPECT_EQ(GCHEAP_CHUNK_BYTES - lost, counters.stock_bytes);
	EXPECT_EQ((long long)lost >> 10, fdinfo_number(self->heap.fd, "lost"));
	test_cmd_chunk_new(&again);
	memset(heap_mem(&self->heap, again.out_page), 8, GCHEAP_CHUNK_BYTES);
	EXPECT_TRUE(memory_is(heap_mem(&self->heap, again.out_page), 8, GCHEAP_CHUNK_BYTES));
	test_cmd_chunk_free(again.out_page);
	test_cmd_chunk_ready(chunk.out_page);
	test_cmd_chunk_new(&chunk);
	memset(mem, 9, GCHEAP_CHUNK_BYTES);
	EXPECT_TRUE(memory_is(mem, 9, GCHEAP_CHUNK_BYTES));
}

TEST_F(poison, does_not_come_back_by_the_system)
{
	struct test_heap other;
	struct gcheap_alloc_large large;

	for (int i = 0; i < 4; i++)
		ASSERT_OK(poison(self->mem + (10 + 20 * i) * SMALL_PAGE));
	test_cmd_free_large(self->object.out_page);
	test_cmd_scavenge(~0ull, NULL);
	ASSERT_OK(heap_open_flags(&other, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE,
				  variant->flags));
	for (int i = 0; i < 3; i++) {
		ASSERT_OK(cmd_alloc_large(other.fd, 0, 8 * BLOCK, &large));
		memset(heap_mem(&other, large.out_page), 3, 8 * BLOCK);
	}
	heap_close(&other);
	test_cmd_alloc_large(0, OBJECT, &self->object);
	memset(heap_mem(&self->heap, self->object.out_page), 4, OBJECT);
}

TEST_F(poison, of_every_page_of_an_object_leaves_a_heap_that_works)
{
	struct gcheap_alloc_large large;

	for (__u32 at = 0; at < OBJECT / 8; at += SMALL_PAGE)
		ASSERT_OK(poison(self->mem + at));
	for (int round = 0; round < 3; round++) {
		test_cmd_mark_start(NULL);
		test_cmd_sweep_start(NULL);
		test_cmd_alloc_large(0, 3 * OBJECT, &large);
		memset(heap_mem(&self->heap, large.out_page), round, 3 * OBJECT);
		EXPECT_TRUE(memory_is(heap_mem(&self->heap, large.out_page), round, 3 * OBJECT));
	}
}

TEST_F(poison, in_a_lazy_object_is_replaced_with_it)
{
	struct gcheap_counters counters;
	struct gcheap_alloc_large lazy;
	char *mem;

	test_cmd_free_large(self->object.out_page);
	test_cmd_alloc_large_flags(GCHEAP_ALLOC_LAZY, 0, OBJECT, &lazy);
	mem = heap_mem(&self->heap, lazy.out_page);
	memset(mem, 1, OBJECT);
	ASSERT_OK(poison(mem + 20 * SMALL_PAGE));
	test_cmd_stats(&counters);
	EXPECT_POISONED(mem + 20 * SMALL_PAGE);
	test_cmd_free_large(lazy.out_page);
	test_cmd_alloc_large_flags(GCHEAP_ALLOC_LAZY, 0, OBJECT, &lazy);
	mem = heap_mem(&self->heap, lazy.out_page);
	EXPECT_TRUE(memory_is(mem, 0, OBJECT));
	memset(mem, 1, OBJECT);
}

TEST_HARNESS_MAIN
