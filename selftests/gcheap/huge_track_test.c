// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Write tracking in heaps of GCHEAP_SETUP_HUGE_PAGES: what is mapped as one is dirty as
 * one. That no write is lost while threads go on is in track_stress_test.c.
 */
#include <sys/prctl.h>
#include <sys/uio.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"
#include "gcheap_track.h"

#define BLOCK		(2u << 20)
#define BLOCK_PAGES	(BLOCK >> GCHEAP_PAGE_SHIFT)

FIXTURE(huge_track) {
	struct test_heap heap;
	__u32 type;
	__u32 page;		/* first of a large object with pointers, of two 2 MiB pages */
	struct report report;
};

FIXTURE_SETUP(huge_track)
{
	struct gcheap_alloc_large large;
	struct gcheap_counters counters;
	int ret;

	if (!tracking_works())
		SKIP(return, "no write tracking on this machine");
	ret = tracked_open(&self->heap, GCHEAP_SETUP_HUGE_PAGES);
	if (ret == -EOPNOTSUPP)
		SKIP(return, "no huge pages on this machine");
	ASSERT_OK(ret);
	test_cmd_type_words(16, 1, &self->type);
	test_cmd_alloc_large(0, BLOCK - 8192, NULL);
	test_cmd_alloc_large(self->type, 2 * BLOCK_PAGES * 64, &large);
	ASSERT_EQ(BLOCK_PAGES, large.out_page);
	self->page = large.out_page;
	test_cmd_stats(&counters);
	ASSERT_EQ(2 * BLOCK, counters.huge_bytes);
}

FIXTURE_TEARDOWN(huge_track)
{
	if (self->heap.fd > 0)
		heap_close(&self->heap);
}

#define MEM(n)	heap_mem(&self->heap, self->page + (n))

/* Exactly the pages of one of the two are reported, and then no more. */
#define EXPECT_ONLY(block) do { \
	ASSERT_OK(report_take(&self->heap, &self->report)); \
	EXPECT_EQ(BLOCK_PAGES, self->report.pages); \
	EXPECT_EQ(1, self->report.count); \
	EXPECT_EQ(self->page + (block) * BLOCK_PAGES, self->report.ranges[0].page); \
	ASSERT_RIGHT(none_dirty(&self->heap)); \
} while (0)

TEST_F(huge_track, does_not_report_new_memory_before_it_is_written)
{
	ASSERT_RIGHT(none_dirty(&self->heap));
}

TEST_F(huge_track, reports_the_2_mib_that_were_written)
{
	for (__u32 n = 0; n < 2 * BLOCK_PAGES; n += 37) {
		MEM(n)[n] = 1;
		EXPECT_ONLY(n / BLOCK_PAGES);
	}
	MEM(2 * BLOCK_PAGES)[-1] = 1;
	EXPECT_ONLY(1);
}

TEST_F(huge_track, does_not_report_what_is_read)
{
	for (__u32 n = 0; n < 2 * BLOCK_PAGES; n++)
		(void)*(volatile char *)MEM(n);
	ASSERT_RIGHT(none_dirty(&self->heap));
}

TEST_F(huge_track, reports_writes_by_system_calls)
{
	for (int i = 0; i < 3; i++) {
		EXPECT_OK(read_into(MEM(BLOCK_PAGES + 3), 100));
		EXPECT_ONLY(1);
	}
}

TEST_F(huge_track, sees_writes_of_another_process)
{
	pid_t owner = getpid();
	char byte = 1;
	struct iovec here = { .iov_base = &byte, .iov_len = 1 };
	struct iovec there = { .iov_base = MEM(5), .iov_len = 1 };
	pid_t child;

	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(process_vm_writev(owner, &here, 1, &there, 1, 0) != 1);
	ASSERT_EQ(0, child_wait(child));
	EXPECT_EQ(1, *MEM(5));
	EXPECT_ONLY(0);
}

TEST_F(huge_track, peeks_without_rearming)
{
	*MEM(7) = 1;
	for (int i = 0; i < 3; i++) {
		ASSERT_OK(report_peek(&self->heap, &self->report));
		EXPECT_EQ(BLOCK_PAGES, self->report.pages);
	}
	EXPECT_ONLY(0);
}

/* A request over a part reports it, and leaves the whole as dirty as it was. */
TEST_F(huge_track, of_a_part_does_not_rearm_the_rest)
{
	*MEM(7) = 1;
	ASSERT_OK(report_part(&self->heap, self->page + 100, 10, 0, &self->report));
	EXPECT_EQ(10, self->report.pages);
	ASSERT_OK(report_part(&self->heap, self->page, BLOCK_PAGES - 1, 0, &self->report));
	EXPECT_EQ(BLOCK_PAGES - 1, self->report.pages);
	EXPECT_ONLY(0);
}

TEST_F(huge_track, that_finds_no_room_leaves_what_it_did_not_report_dirty)
{
	struct gcheap_range range;
	struct gcheap_track track = { .ranges = (uintptr_t)&range, .range_count = 1 };
	struct gcheap_alloc_large a, b, c;

	/* With one without pointers in between, two ranges are in one 2 MiB page. */
	test_cmd_alloc_large(self->type, 64 * 64, &a);
	test_cmd_alloc_large(0, 64 * 8192, &b);
	test_cmd_alloc_large(self->type, 64 * 64, &c);
	ASSERT_EQ(a.out_page + 128, c.out_page);
	ASSERT_OK(track_arm(&self->heap));
	*heap_mem(&self->heap, c.out_page) = 1;
	ASSERT_OK(cmd_track(self->heap.fd, &track));
	EXPECT_EQ(a.out_page, range.page);
	EXPECT_EQ(64, range.npages);
	EXPECT_EQ(c.out_page, track.out_end);
	ASSERT_OK(report_take(&self->heap, &self->report));
	EXPECT_TRUE(self->report.dirty[c.out_page]);
	ASSERT_RIGHT(none_dirty(&self->heap));
}

TEST_F(huge_track, remembers_writes_over_the_loss_of_the_mapping)
{
	*MEM(7) = 1;
	ASSERT_EQ(0, madvise(MEM(0), 2 * BLOCK, MADV_DONTNEED));
	(void)(*(volatile char *)MEM(0) + *(volatile char *)MEM(BLOCK_PAGES));
	ASSERT_OK(report_take(&self->heap, &self->report));
	EXPECT_TRUE(self->report.dirty[self->page + 7]);
	ASSERT_RIGHT(none_dirty(&self->heap));

	*MEM(BLOCK_PAGES + 7) = 1;
	heap_unmap(&self->heap);
	ASSERT_OK(heap_map(&self->heap));
	(void)(*(volatile char *)MEM(0) + *(volatile char *)MEM(BLOCK_PAGES));
	ASSERT_OK(report_take(&self->heap, &self->report));
	EXPECT_TRUE(self->report.dirty[self->page + BLOCK_PAGES + 7]);
	ASSERT_RIGHT(none_dirty(&self->heap));
}

TEST_F(huge_track, remembers_writes_over_a_change_of_protection)
{
	char *heap = heap_mem(&self->heap, 0);

	*MEM(7) = 1;
	ASSERT_EQ(0, mprotect(heap, self->heap.reserve, PROT_READ));
	EXPECT_ONLY(0);
	ASSERT_EQ(0, mprotect(heap, self->heap.reserve, PROT_READ | PROT_WRITE));
	ASSERT_RIGHT(none_dirty(&self->heap));
	*MEM(BLOCK_PAGES) = 1;
	ASSERT_OK(report_take(&self->heap, &self->report));
	EXPECT_TRUE(self->report.dirty[self->page + BLOCK_PAGES]);
	EXPECT_FALSE(self->report.dirty[self->page]);
}

/* What is mapped by the page has a dirty bit for each, after one report of the whole. */
TEST_F(huge_track, is_finer_where_a_part_of_2_mib_is_gone)
{
	struct gcheap_alloc_large gone, large;
	__u32 page;

	heap_close(&self->heap);
	ASSERT_OK(tracked_open(&self->heap, GCHEAP_SETUP_HUGE_PAGES | GCHEAP_SETUP_FAULT_FREED));
	test_cmd_type_words(16, 1, &self->type);
	test_cmd_alloc_large(0, BLOCK - 8192, NULL);
	test_cmd_alloc_large(0, 8 * 8192, &gone);
	test_cmd_alloc_large(self->type, 100 * 64, &large);
	page = large.out_page;
	*heap_mem(&self->heap, page + 9) = 1;
	test_cmd_free_large(gone.out_page);
	ASSERT_EQ(SIGBUS, probe(heap_mem(&self->heap, gone.out_page), false, NULL));
	/* The first write to what is not mapped makes the whole dirty. */
	for (__u32 n = 0; n < 100; n++) {
		heap_mem(&self->heap, page + n)[0] = 1;
		heap_mem(&self->heap, page + n)[4096] = 1;
	}
	ASSERT_OK(report_take(&self->heap, &self->report));
	EXPECT_EQ(100, self->report.pages);
	ASSERT_RIGHT(none_dirty(&self->heap));
	for (__u32 n = 0; n < 100; n += 9) {
		heap_mem(&self->heap, page + n)[n % 2 * 4096] = 2;
		ASSERT_RIGHT(only_dirty(&self->heap, page + n));
		ASSERT_RIGHT(none_dirty(&self->heap));
	}
	/* The memory manager keeps what such an entry knew. */
	heap_mem(&self->heap, page + 50)[1] = 3;
	ASSERT_EQ(0, madvise(heap_mem(&self->heap, page + 50), 4096, MADV_DONTNEED));
	ASSERT_OK(report_take(&self->heap, &self->report));
	EXPECT_TRUE(self->report.dirty[page + 50]);
	ASSERT_RIGHT(none_dirty(&self->heap));
}

/* A reference to any of it, and it may be written without a trace. */
TEST_F(huge_track, reports_a_page_for_as_long_as_it_is_held)
{
	struct iovec iov = { .iov_base = MEM(BLOCK_PAGES + 9), .iov_len = 4096 };
	char back[4096];
	int ends[2];

	ASSERT_EQ(0, pipe(ends));
	ASSERT_EQ(4096, vmsplice(ends[1], &iov, 1, 0));
	for (int i = 0; i < 3; i++) {
		ASSERT_OK(report_take(&self->heap, &self->report));
		EXPECT_EQ(BLOCK_PAGES, self->report.pages);
		EXPECT_TRUE(self->report.dirty[self->page + BLOCK_PAGES + 9]);
	}
	ASSERT_EQ(4096, read(ends[0], back, 4096));
	close(ends[0]);
	close(ends[1]);
	EXPECT_ONLY(1);
}

TEST_HARNESS_MAIN
