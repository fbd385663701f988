// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The memory behind the mappings: where it is, what an access to memory that was
 * not handed out gets, and what another process sees of it.
 */
#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#define PAGE	((size_t)4096)

FIXTURE(memory) {
	struct test_heap heap;
};

FIXTURE_VARIANT(memory) {
	__u64 reserve;
};

FIXTURE_VARIANT_ADD(memory, small_reserve) {
	.reserve = SMALL_RESERVE,
};

FIXTURE_VARIANT_ADD(memory, default_reserve) {
	.reserve = GCHEAP_RESERVE_DEFAULT,
};

FIXTURE_SETUP(memory)
{
	ASSERT_OK(heap_open(&self->heap, GCHEAP_LAYOUT_SPAN, variant->reserve));
}

FIXTURE_TEARDOWN(memory)
{
	heap_close(&self->heap);
}

TEST_F(memory, starts_at_a_multiple_of_an_arena)
{
	EXPECT_EQ(0, (uintptr_t)heap_mem(&self->heap, 0) % GCHEAP_ARENA_BYTES);
}

TEST_F(memory, test_err_mapped_twice)
{
	EXPECT_EQ(EBUSY, map_errno(self->heap.fd, variant->reserve, PROT_READ | PROT_WRITE,
				   MAP_SHARED, 0));
	EXPECT_EQ(EBUSY, map_errno(self->heap.fd, variant->reserve, PROT_READ, MAP_SHARED, 0));
}

TEST_F(memory, of_page_0_faults)
{
	for (int i = 0; i < 2; i++) {
		EXPECT_SIGBUS(heap_mem(&self->heap, 0), false);
		EXPECT_SIGBUS(heap_mem(&self->heap, 0) + 8191, false);
		EXPECT_SIGBUS(heap_mem(&self->heap, 0) + 4095, true);
		EXPECT_SIGBUS(heap_mem(&self->heap, 0) + 123, true);
		test_cmd_alloc_large(0, 50000, NULL);
	}
}

TEST_F(memory, that_was_not_handed_out_faults)
{
	char *end = heap_mem(&self->heap, 0) + variant->reserve;
	struct gcheap_alloc_large large;

	EXPECT_SIGBUS(heap_mem(&self->heap, 1), false);
	EXPECT_SIGBUS(end - 1, false);
	EXPECT_SIGBUS(end - 1, true);
	test_cmd_alloc_large(0, 50000, &large);
	EXPECT_EQ(0, probe(heap_mem(&self->heap, large.out_page + large.out_npages) - 1, true,
			   NULL));
	EXPECT_SIGBUS(heap_mem(&self->heap, large.out_page + large.out_npages), true);
	EXPECT_SIGBUS(heap_mem(&self->heap, large.out_page + large.out_npages) + 4097, false);
	EXPECT_SIGBUS(end - 12345, true);
}

/* Whatever the module gets memory in, the heap is backed by the heap page. */
TEST_F(memory, ends_where_an_object_ends)
{
	static const __u64 bytes[] = { 1, 8192, 8193, 30000, 65536, 65537, 1 << 20, 2 << 20,
				       (2 << 20) + 1, 5 << 20 };

	for (size_t i = 0; i < ARRAY_SIZE(bytes); i++) {
		struct gcheap_alloc_large large;
		char *end;

		test_cmd_alloc_large(0, bytes[i], &large);
		end = heap_mem(&self->heap, large.out_page + large.out_npages);
		EXPECT_EQ(0, probe(end - 1, true, NULL));
		EXPECT_SIGBUS(end, false);
		EXPECT_SIGBUS(end + PAGE - 1, true);
		EXPECT_SIGBUS(end + 2 * PAGE, true);
	}
}

TEST_F(memory, that_was_not_handed_out_fails_system_calls)
{
	struct gcheap_alloc_large large;

	EXPECT_ERR(EFAULT, read_into(heap_mem(&self->heap, 0), 100));
	EXPECT_ERR(EFAULT, read_into(heap_mem(&self->heap, 1), 1));
	test_cmd_alloc_large(0, 50000, &large);
	EXPECT_OK(read_into(heap_mem(&self->heap, large.out_page), 50000));
	EXPECT_ERR(EFAULT, read_into(heap_mem(&self->heap,
					      large.out_page + large.out_npages), 100));
}

/* A marker tests the bits of any address in range, also where the heap is not yet. */
TEST_F(memory, of_marks_can_be_read_up_to_the_last_byte)
{
	char *marks = self->heap.region[GCHEAP_REGION_MARKS];
	__u64 bytes = self->heap.region_bytes[GCHEAP_REGION_MARKS];

	for (int i = 0; i < 2; i++) {
		for (__u64 at = 0; at < bytes; at += bytes / 1000) {
			ASSERT_EQ(0, probe(marks + at, false, NULL));
			ASSERT_EQ(0, marks[at] & ~1);
		}
		ASSERT_EQ(0, probe(marks + bytes - 1, false, NULL));
		ASSERT_EQ(0, marks[bytes - 1]);
		test_cmd_alloc_large(0, 50000, NULL);
	}
}

/* Where the heap is not yet there is nothing to mark. */
TEST_F(memory, of_marks_beyond_the_heap_cannot_be_written)
{
	char *marks = self->heap.region[GCHEAP_REGION_MARKS];
	__u64 bytes = self->heap.region_bytes[GCHEAP_REGION_MARKS];

	for (__u64 at = 4095; at < bytes; at += bytes / 100) {
		EXPECT_SIGBUS(marks + at, true);
		EXPECT_ERR(EFAULT, read_into(marks + at, 1));
		EXPECT_EQ(0, marks[at]);
	}
}

/* What was read as a hole before is a table page now. */
TEST_F(memory, of_marks_can_be_written_for_every_page_of_the_heap)
{
	char *table[4];		/* one byte of it per heap page, or per eight */

	for (int t = 0; t < 3; t++)
		table[t] = (char *)marks_at(&self->heap,
					    GCHEAP_MARKS_TABLE(variant->reserve, t));
	table[3] = (char *)marks_at(&self->heap,
				    GCHEAP_MARKS_PAGE_SPECIALS(variant->reserve));

	for (int round = 0; round < 20; round++) {
		struct gcheap_alloc_large large;

		for (int t = 0; t < 4; t++)
			ASSERT_EQ(0, probe(table[t] + 16 * round, false, NULL));
		test_cmd_alloc_large(0, 1 << 20, &large);
		for (__u32 page = large.out_page; page < large.out_page + 128; page++) {
			ASSERT_EQ(0, probe(table[0] + 64 * page, true, NULL));
			ASSERT_EQ(0, probe(table[1] + 64 * page, true, NULL));
			ASSERT_EQ(0, probe(table[2] + page / 8, true, NULL));
			ASSERT_EQ(0, probe(table[3] + page / 8, true, NULL));
		}
	}
}

TEST_F(memory, of_marks_starts_as_zeros)
{
	const char *marks = self->heap.region[GCHEAP_REGION_MARKS];

	for (int table = 0; table < 4; table++) {
		__u64 at = table < 3 ? GCHEAP_MARKS_TABLE(variant->reserve, table) :
				       GCHEAP_MARKS_PAGE_SPECIALS(variant->reserve);

		EXPECT_TRUE(memory_is(marks + at, 0, 4096));
	}
}

TEST_F(memory, of_readonly_tables_beyond_the_heap_faults)
{
	static const int regions[] = { GCHEAP_REGION_PAGES, GCHEAP_REGION_SPANS,
				       GCHEAP_REGION_TYPES };

	test_cmd_type_words(1, 1, NULL);
	test_cmd_alloc_large(0, 1, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(regions); i++) {
		char *p = self->heap.region[regions[i]];
		__u64 bytes = self->heap.region_bytes[regions[i]];

		for (__u64 at = bytes - 1; at > bytes / 2; at -= bytes / 64)
			EXPECT_SIGBUS(p + at, false);
		EXPECT_EQ(SIGSEGV, probe(p, true, NULL));
	}
}

TEST_F(memory, is_the_same_at_another_address)
{
	char *old = heap_mem(&self->heap, 0), *room;
	struct gcheap_alloc_large large;

	test_cmd_alloc_large(0, 1 << 20, &large);
	memset(heap_mem(&self->heap, large.out_page), 0x3c, 1 << 20);
	ASSERT_EQ(0, munmap(old, variant->reserve));
	room = mmap(old, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	ASSERT_EQ(old, room);
	self->heap.region[GCHEAP_REGION_HEAP] =
		region_map(&self->heap, GCHEAP_REGION_HEAP, PROT_READ | PROT_WRITE);
	ASSERT_NE(NULL, heap_mem(&self->heap, 0));
	ASSERT_NE(old, heap_mem(&self->heap, 0));
	EXPECT_EQ(0, (uintptr_t)heap_mem(&self->heap, 0) % GCHEAP_ARENA_BYTES);
	EXPECT_TRUE(memory_is(heap_mem(&self->heap, large.out_page), 0x3c, 1 << 20));
	/* And new memory is mapped where the heap is now. */
	test_cmd_alloc_large(0, 1 << 20, &large);
	EXPECT_TRUE(memory_is(heap_mem(&self->heap, large.out_page), 0, 1 << 20));
}

TEST_F(memory, can_be_mapped_over_itself)
{
	char *old = heap_mem(&self->heap, 0), *p;
	struct gcheap_alloc_large large;

	test_cmd_alloc_large(0, 100000, &large);
	memset(heap_mem(&self->heap, large.out_page), 0x3c, 100000);
	p = mmap(old, variant->reserve, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		 self->heap.fd, 0);
	if (p == MAP_FAILED) {
		/* The old mapping may be gone then, but the memory is not. */
		self->heap.region[GCHEAP_REGION_HEAP] = NULL;
		munmap(old, variant->reserve);
		ASSERT_OK(-errno * !(p = region_map(&self->heap, GCHEAP_REGION_HEAP,
						    PROT_READ | PROT_WRITE)));
	}
	self->heap.region[GCHEAP_REGION_HEAP] = p;
	EXPECT_TRUE(memory_is(heap_mem(&self->heap, large.out_page), 0x3c, 100000));
	test_cmd_alloc_large(0, 100000, &large);
	EXPECT_TRUE(memory_is(heap_mem(&self->heap, large.out_page), 0, 100000));
}

TEST_F(memory, test_err_mapped_at_an_address_that_is_not_aligned)
{
	__u64 reserve = variant->reserve;
	char *room = mmap(NULL, reserve + 2ull * GCHEAP_ARENA_BYTES, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *at = (char *)((uintptr_t)(room + GCHEAP_ARENA_BYTES) &
			    ~(uintptr_t)(GCHEAP_ARENA_BYTES - 1));

	ASSERT_NE(MAP_FAILED, room);
	ASSERT_EQ(0, munmap(heap_mem(&self->heap, 0), reserve));
	self->heap.region[GCHEAP_REGION_HEAP] = NULL;
	EXPECT_EQ(MAP_FAILED, mmap(at + PAGE, reserve, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_FIXED, self->heap.fd, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(at, mmap(at, reserve, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			   self->heap.fd, 0));
	self->heap.region[GCHEAP_REGION_HEAP] = at;
	EXPECT_OK(cmd_alloc_large(self->heap.fd, 0, 100000, NULL));
	EXPECT_EQ(0, probe(heap_mem(&self->heap, 1), true, NULL));
}

TEST_F(memory, can_be_handed_out_while_it_is_not_mapped)
{
	struct gcheap_alloc_large large;

	ASSERT_EQ(0, munmap(heap_mem(&self->heap, 0), variant->reserve));
	self->heap.region[GCHEAP_REGION_HEAP] = NULL;
	test_cmd_alloc_large(0, 1 << 20, &large);
	self->heap.region[GCHEAP_REGION_HEAP] =
		region_map(&self->heap, GCHEAP_REGION_HEAP, PROT_READ | PROT_WRITE);
	ASSERT_NE(NULL, self->heap.region[GCHEAP_REGION_HEAP]);
	EXPECT_TRUE(memory_is(heap_mem(&self->heap, large.out_page), 0, 1 << 20));
}

TEST_F(memory, can_be_handed_out_while_it_is_protected)
{
	static const int prots[] = { PROT_NONE, PROT_READ };
	void *marks = self->heap.region[GCHEAP_REGION_MARKS];
	__u64 bytes = self->heap.region_bytes[GCHEAP_REGION_MARKS];
	struct gcheap_alloc_large large;

	for (size_t i = 0; i < ARRAY_SIZE(prots); i++) {
		char *mem;

		ASSERT_EQ(0, mprotect(heap_mem(&self->heap, 0), variant->reserve, prots[i]));
		ASSERT_EQ(0, mprotect(marks, bytes, prots[i]));
		test_cmd_alloc_large(0, 1 << 20, &large);
		mem = heap_mem(&self->heap, large.out_page);
		EXPECT_EQ(prots[i] ? 0 : SIGSEGV, probe(mem, false, NULL));
		EXPECT_EQ(SIGSEGV, probe(mem, true, NULL));
		EXPECT_EQ(SIGSEGV, probe(mark_bits(&self->heap), true, NULL));
		ASSERT_EQ(0, mprotect(heap_mem(&self->heap, 0), variant->reserve,
				      PROT_READ | PROT_WRITE));
		ASSERT_EQ(0, mprotect(marks, bytes, PROT_READ | PROT_WRITE));
		EXPECT_TRUE(memory_is(mem, 0, 1 << 20));
		memset(mem, 0x3c, 1 << 20);
		EXPECT_EQ(0, probe(mark_bits(&self->heap), true, NULL));
		ASSERT_RIGHT(large_wrong(&self->heap, &large, 1 << 20, true));
	}
}

/* ---- fork ------------------------------------------------------------------------- */

FIXTURE(forked) {
	struct test_heap heap;
	struct gcheap_alloc_large large;
	struct machine machine;
};

FIXTURE_SETUP(forked)
{
	ASSERT_OK(heap_open(&self->heap, GCHEAP_LAYOUT_SPAN, SMALL_RESERVE));
	test_cmd_alloc_large(0, 8 << 20, &self->large);
	memset(heap_mem(&self->heap, self->large.out_page), 0x42, 8 << 20);
	ASSERT_OK(machine_take(&self->machine));
}

/* Whatever the child did, the heap has all that it had, and works. */
FIXTURE_TEARDOWN(forked)
{
	struct machine now;

	ASSERT_OK(machine_take(&now));
	EXPECT_EQ(0, memcmp(&now, &self->machine, sizeof(now)));
	ASSERT_RIGHT(heap_wrong(&self->heap));
	ASSERT_RIGHT(large_wrong(&self->heap, &self->large, 8 << 20, true));
	EXPECT_TRUE(memory_is(heap_mem(&self->heap, self->large.out_page), 0x42, 8 << 20));
	test_cmd_alloc_large(0, 8 << 20, &self->large);
	EXPECT_TRUE(memory_is(heap_mem(&self->heap, self->large.out_page), 0, 8 << 20));
	heap_close(&self->heap);
}

TEST_F(forked, heap_outlives_its_children)
{
	for (int i = 0; i < 20; i++) {
		pid_t child = fork();

		ASSERT_LE(0, child);
		if (!child)
			_exit(0);
		ASSERT_EQ(0, child_wait(child));
	}
}

TEST_F(forked, heap_outlives_children_that_were_to_inherit_it)
{
	for (int r = 0; r < GCHEAP_REGIONS; r++)
		madvise(self->heap.region[r], self->heap.region_bytes[r], MADV_DOFORK);
	for (int i = 0; i < 20; i++) {
		pid_t child = fork();

		ASSERT_LE(0, child);
		if (!child) {
			/* By munmap, by exit and by a signal. */
			if (i % 3 == 0)
				heap_unmap(&self->heap);
			if (i % 3 == 1)
				raise(SIGKILL);
			_exit(0);
		}
		ASSERT_EQ(i % 3 == 1 ? -SIGKILL : 0, child_wait(child));
	}
}

TEST_F(forked, heap_does_not_leak_memory_to_children_that_were_to_inherit_it)
{
	char *mem = heap_mem(&self->heap, self->large.out_page);
	volatile __u64 *bits = mark_bits(&self->heap) + 8 * self->large.out_page;

	for (int r = 0; r < GCHEAP_REGIONS; r++)
		madvise(self->heap.region[r], self->heap.region_bytes[r], MADV_DOFORK);
	bits[0] = 0;
	EXPECT_NE(0, child_probe(mem, false));
	EXPECT_NE(0, child_probe(mem, true));
	EXPECT_NE(0, child_probe((void *)bits, true));
}

TEST_F(forked, heap_can_be_mapped_by_its_owner_only)
{
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		_exit(map_errno(self->heap.fd, self->heap.reserve, PROT_READ, MAP_SHARED,
				GCHEAP_REGION_OFFSET(GCHEAP_REGION_HEAP)) != EPERM);
	}
	ASSERT_EQ(0, child_wait(child));
}

TEST_HARNESS_MAIN
