// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The region BITMAP: two bits a word of the heap, the owner's to write. */
#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"

#define BYTES_PER_PAGE	(GCHEAP_PAGE_BYTES / 32)	/* of the region, a heap page */

FIXTURE(bitmap) {
	struct machine before;
	struct test_heap heap;
};

FIXTURE_SETUP(bitmap)
{
	ASSERT_OK(machine_take(&self->before));
	ASSERT_OK(heap_open_flags(&self->heap, GCHEAP_LAYOUT_BITMAP, 4 * SMALL_RESERVE,
				  GCHEAP_SETUP_SHARE_READ));
}

FIXTURE_TEARDOWN(bitmap)
{
	EXPECT_EQ(NULL, heap_wrong(&self->heap)) {
		TH_LOG("%s", heap_wrong(&self->heap));
	}
	heap_close(&self->heap);
	EXPECT_TRUE(machine_back_to(&self->before));
}

static char *bits_at(const struct test_heap *heap, __u32 page)
{
	return (char *)heap->region[GCHEAP_REGION_BITMAP] + page * BYTES_PER_PAGE;
}

/* ---- what is there ----------------------------------------------------------- */

TEST_F(bitmap, has_two_bits_for_every_word_of_the_heap)
{
	EXPECT_EQ(self->heap.reserve / 32, self->heap.region_bytes[GCHEAP_REGION_BITMAP]);
	EXPECT_EQ(GCHEAP_BITMAP_BYTES(self->heap.reserve),
		  self->heap.region_bytes[GCHEAP_REGION_BITMAP]);
	EXPECT_EQ(2 * sizeof(__u64), GCHEAP_BITMAP_BYTES(1 << GCHEAP_BITMAP_GROUP_SHIFT));
}

TEST_F(bitmap, is_zero_and_writable_for_all_pages_that_exist)
{
	__u32 pages;

	test_cmd_alloc_large(0, 3 << 20, NULL);
	pages = heap_ctrl(&self->heap)->heap_pages;
	EXPECT_LT(0, pages);
	EXPECT_TRUE(memory_is(bits_at(&self->heap, 0), 0, pages * BYTES_PER_PAGE));
	memset(bits_at(&self->heap, 0), 0xa5, pages * BYTES_PER_PAGE);
	/* More of it does not touch what is there. */
	test_cmd_alloc_large(0, 9 << 20, NULL);
	EXPECT_TRUE(memory_is(bits_at(&self->heap, 0), 0xa5, pages * BYTES_PER_PAGE));
	EXPECT_TRUE(memory_is(bits_at(&self->heap, pages), 0,
			      (heap_ctrl(&self->heap)->heap_pages - pages) * BYTES_PER_PAGE));
}

TEST_F(bitmap, faults_where_no_pages_are)
{
	siginfo_t info;
	__u32 pages;

	test_cmd_alloc_large(0, 1 << 20, NULL);
	pages = heap_ctrl(&self->heap)->heap_pages;
	EXPECT_EQ(0, probe(bits_at(&self->heap, pages - 1), true, NULL));
	EXPECT_EQ(SIGBUS, probe(bits_at(&self->heap, pages), false, &info));
	EXPECT_EQ(BUS_ADRERR, info.si_code);
	EXPECT_EQ((void *)bits_at(&self->heap, pages), info.si_addr);
	EXPECT_EQ(SIGBUS, probe(bits_at(&self->heap, pages), true, NULL));
	EXPECT_ERR(EFAULT, read_into(bits_at(&self->heap, pages), 8));
	EXPECT_OK(read_into(bits_at(&self->heap, 0), 8));
}

TEST_F(bitmap, counts_as_table_memory)
{
	const __u64 object_bytes = 64ull << 20;
	struct gcheap_counters before, after;
	struct test_heap span;

	test_cmd_stats(&before);
	test_cmd_alloc_large(0, object_bytes, NULL);
	test_cmd_stats(&after);
	EXPECT_LE(object_bytes / 32, after.table_bytes - before.table_bytes);
	/* Of another layout's tables it is the larger part. */
	ASSERT_OK(heap_open(&span, GCHEAP_LAYOUT_SPAN, 4 * SMALL_RESERVE));
	EXPECT_OK(cmd_alloc_large(span.fd, 0, object_bytes, NULL));
	EXPECT_OK(cmd_stats(span.fd, &before));
	EXPECT_EQ(after.table_bytes,
		  before.table_bytes + GCHEAP_BITMAP_BYTES((__u64)after.heap_pages <<
							   GCHEAP_PAGE_SHIFT));
	heap_close(&span);
}

/* Of what has no memory any more they go, too, and come again, zeroed. */
TEST_F(bitmap, goes_with_the_mark_bits_when_arenas_are_empty)
{
	const __u64 spike = 2 * GCHEAP_ARENA_BYTES;
	struct gcheap_counters before, most, after;
	struct gcheap_alloc_large alloc;
	struct machine machine, now;
	siginfo_t info;
	__u64 bit;

	test_cmd_alloc_large(0, 1, NULL);
	test_cmd_stats(&before);
	for (int round = 0; round < 3; round++) {
		test_cmd_alloc_large(0, spike, &alloc);
		bit = slot_bit(alloc.out_page + 640, 0, 0);
		/* Tables of 64 pages, one of which is in use, stay as they are. */
		EXPECT_TRUE(memory_is(bits_at(&self->heap, 64), 0,
				      (alloc.out_npages - 64) * BYTES_PER_PAGE));
		EXPECT_FALSE(bit_test(mark_bits(&self->heap), bit));
		EXPECT_FALSE(bit_test(alloc_bits(&self->heap), bit));
		memset(bits_at(&self->heap, alloc.out_page), 0x5a,
		       alloc.out_npages * BYTES_PER_PAGE);
		EXPECT_TRUE(memory_is(bits_at(&self->heap, alloc.out_page), 0x5a,
				      alloc.out_npages * BYTES_PER_PAGE));
		/* Written where it is, and mapped by that. */
		bit_set(mark_bits(&self->heap), bit);
		EXPECT_TRUE(bit_test(mark_bits(&self->heap), bit));
		test_cmd_stats(&most);
		EXPECT_LE(before.table_bytes + spike / 32 + spike / 64, most.table_bytes);
		EXPECT_EQ(NULL, heap_wrong(&self->heap));

		test_cmd_free_large(alloc.out_page);
		ASSERT_OK(machine_take(&machine));
		test_cmd_scavenge(~0ull, NULL);
		ASSERT_OK(machine_take(&now));
		test_cmd_stats(&after);
		/* Of the first 64 pages there is one in use; PAGES and SPANS stay. */
		EXPECT_LE(after.table_bytes,
			  before.table_bytes + spike / GCHEAP_PAGE_BYTES * 40 + 128 * 1024);
		EXPECT_EQ(machine.table_bytes - now.table_bytes,
			  (long)(most.table_bytes - after.table_bytes));
		/* Nobody sees, or reaches, what was there. */
		EXPECT_FALSE(bit_test(mark_bits(&self->heap), bit));
		EXPECT_EQ(SIGBUS, probe(&mark_bits(&self->heap)[bit / 64], true, NULL));
		EXPECT_EQ(SIGBUS, probe(bits_at(&self->heap, alloc.out_page + 640), false, &info));
		EXPECT_EQ(BUS_ADRERR, info.si_code);
		EXPECT_OK(probe(bits_at(&self->heap, 0), true, NULL));
		EXPECT_EQ(NULL, heap_wrong(&self->heap));
	}
}

struct looks {
	const __u64 *bits;
	__u64 words;
	bool ended;
	__u64 wrong;
};

/* Reads mark bits, be there a table or none. */
static void *look_on(void *data)
{
	struct looks *looks = data;

	while (!__atomic_load_n(&looks->ended, __ATOMIC_RELAXED)) {
		for (__u64 i = 0; i < looks->words; i += 512) {
			__u64 word = __atomic_load_n(&looks->bits[i], __ATOMIC_RELAXED);

			looks->wrong += word != 0 && word != 0x123456789;
		}
	}
	return NULL;
}

/* As a marker beside it reads holes, and has them mapped, while tables come and go. */
TEST_F(bitmap, comes_and_goes_while_others_read_the_mark_bits)
{
	const __u64 spike = 64ull << 20;
	const __u64 first = 64 * GCHEAP_PAGE_BYTES / 128 / 8;
	const __u64 words = spike / 128 / 8 - first;
	__u64 *bits = mark_bits(&self->heap) + first;
	struct looks looks = { .bits = bits, .words = words };
	struct gcheap_alloc_large alloc;
	pthread_t thread;
	__u64 lost = 0;

	ASSERT_EQ(0, pthread_create(&thread, NULL, look_on, &looks));
	for (int round = 0; round < 20; round++) {
		test_cmd_alloc_large_flags(GCHEAP_ALLOC_LAZY, 0, spike, &alloc);
		EXPECT_EQ(1, alloc.out_page);
		for (__u64 i = 0; i < words; i += 512) {
			lost += bits[i] != 0;
			__atomic_store_n(&bits[i], 0x123456789, __ATOMIC_RELAXED);
		}
		for (__u64 i = 0; i < words; i += 512)
			lost += bits[i] != 0x123456789;
		test_cmd_free_large(alloc.out_page);
		test_cmd_scavenge(~0ull, NULL);
	}
	__atomic_store_n(&looks.ended, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, lost);
	EXPECT_EQ(0, looks.wrong);
}

TEST_F(bitmap, survives_unmapping)
{
	test_cmd_alloc_large(0, 1 << 20, NULL);
	memset(bits_at(&self->heap, 0), 0x3c, 4096);
	ASSERT_EQ(0, munmap(self->heap.region[GCHEAP_REGION_BITMAP],
			    self->heap.region_bytes[GCHEAP_REGION_BITMAP]));
	self->heap.region[GCHEAP_REGION_BITMAP] =
		region_map(&self->heap, GCHEAP_REGION_BITMAP, PROT_READ | PROT_WRITE);
	ASSERT_NE(NULL, self->heap.region[GCHEAP_REGION_BITMAP]);
	EXPECT_TRUE(memory_is(bits_at(&self->heap, 0), 0x3c, 4096));
}

/* First mapped by a read, while the region is read-only. */
TEST_F(bitmap, can_be_written_after_it_was_protected)
{
	void *bits = self->heap.region[GCHEAP_REGION_BITMAP];
	size_t bytes = self->heap.region_bytes[GCHEAP_REGION_BITMAP];

	test_cmd_alloc_large(0, 1 << 20, NULL);
	ASSERT_EQ(0, mprotect(bits, bytes, PROT_READ));
	EXPECT_EQ(0, probe(bits, false, NULL));
	EXPECT_EQ(SIGSEGV, probe(bits, true, NULL));
	ASSERT_EQ(0, mprotect(bits, bytes, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, probe(bits, true, NULL));
}

/* ---- the module never looks -------------------------------------------------- */

TEST_F(bitmap, of_noise_changes_nothing)
{
	struct gcheap_alloc_large large;
	struct gcheap_sweep_start sweep;
	struct gcheap_grant grant;
	__u32 type;

	test_cmd_type_words(100, 1, &type);
	for (int round = 0; round < 3; round++) {
		test_cmd_alloc_large(type, 10000, &large);
		test_cmd_take(type, CLASS_1024, &grant);
		slot_alloc(&self->heap, grant.page, 3);
		memset(self->heap.region[GCHEAP_REGION_BITMAP], 0x77 * round,
		       heap_ctrl(&self->heap)->heap_pages * BYTES_PER_PAGE);
		test_cmd_give(&grant.page, 1);
		test_cmd_mark_start(NULL);
		slot_mark(&self->heap, large.out_page, 0);
		test_cmd_sweep_start(&sweep);
		/* What was not marked is gone, and what was is there. */
		EXPECT_EQ(GCHEAP_SPAN_LARGE, span_state(&self->heap, large.out_page));
		EXPECT_EQ(GCHEAP_SPAN_FREE, span_state(&self->heap, grant.page));
		test_cmd_free_large(large.out_page);
		ASSERT_RIGHT(heap_wrong(&self->heap));
	}
}

/* ---- who may map it ---------------------------------------------------------- */

TEST_F(bitmap, can_be_mapped_to_read_only_by_who_looks)
{
	const size_t bytes = self->heap.region_bytes[GCHEAP_REGION_BITMAP];
	pid_t child;

	test_cmd_alloc_large(0, 1 << 20, NULL);
	memset(bits_at(&self->heap, 0), 0x11, 4096);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		const unsigned long long offset = GCHEAP_REGION_OFFSET(GCHEAP_REGION_BITMAP);
		char *bits = region_map(&self->heap, GCHEAP_REGION_BITMAP, PROT_READ);

		if (!bits || !memory_is(bits, 0x11, 4096))
			_exit(1);
		if (probe(bits, true, NULL) != SIGSEGV)
			_exit(2);
		if (!mprotect(bits, bytes, PROT_READ | PROT_WRITE))
			_exit(3);
		if (map_errno(self->heap.fd, bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			      offset) != EPERM)
			_exit(4);
		_exit(0);
	}
	EXPECT_EQ(0, child_wait(child));
}

TEST_F(bitmap, is_hidden_from_who_may_not_see_the_objects)
{
	struct test_heap heap;
	pid_t child;

	ASSERT_OK(heap_open(&heap, GCHEAP_LAYOUT_BITMAP, SMALL_RESERVE));
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(map_errno(heap.fd, heap.region_bytes[GCHEAP_REGION_BITMAP], PROT_READ,
				MAP_SHARED,
				GCHEAP_REGION_OFFSET(GCHEAP_REGION_BITMAP)) != EPERM);
	EXPECT_EQ(0, child_wait(child));
	heap_close(&heap);
}

TEST(test_err_bitmap_of_another_layout)
{
	static const __u32 layouts[] = {
		GCHEAP_LAYOUT_SPAN, GCHEAP_LAYOUT_HEADER, GCHEAP_LAYOUT_FOOTER,
	};

	for (size_t i = 0; i < ARRAY_SIZE(layouts); i++) {
		struct test_heap heap;

		ASSERT_OK(heap_open(&heap, layouts[i], SMALL_RESERVE));
		EXPECT_EQ(0, heap.region_bytes[GCHEAP_REGION_BITMAP]);
		for (size_t bytes = 4096; bytes <= SMALL_RESERVE; bytes *= 2)
			EXPECT_EQ(EINVAL, map_errno(heap.fd, bytes, PROT_READ, MAP_SHARED,
						    GCHEAP_REGION_OFFSET(GCHEAP_REGION_BITMAP)));
		heap_close(&heap);
	}
}

TEST_HARNESS_MAIN
