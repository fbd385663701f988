// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Exact snapshots: heaps of GCHEAP_SETUP_SNAPSHOTS, where TRACK can write-protect
 * pages and DIRTY tells of the first write to each when it happens.
 */
#include <pthread.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"
#include "gcheap_track.h"

#define PAGE	4096
#define PAGES	256u	/* of the tracked object */

FIXTURE(snapshot) {
	struct test_heap heap;
	__u32 type;
	__u32 page;		/* first of a large object with pointers */
	struct report report;
};

static int protect(const struct test_heap *heap)
{
	struct gcheap_track track = { .flags = GCHEAP_TRACK_PROTECT };

	return cmd_track(heap->fd, &track);
}

FIXTURE_SETUP(snapshot)
{
	struct gcheap_alloc_large large;

	if (!tracking_works())
		SKIP(return, "no write tracking on this machine");
	ASSERT_OK(tracked_open(&self->heap, GCHEAP_SETUP_SNAPSHOTS));
	test_cmd_type_words(16, 1, &self->type);
	test_cmd_alloc_large(self->type, PAGES * 64, &large);
	self->page = large.out_page;
	memset(heap_mem(&self->heap, self->page), 1, (size_t)PAGES << GCHEAP_PAGE_SHIFT);
}

FIXTURE_TEARDOWN(snapshot)
{
	if (self->heap.fd)
		heap_close(&self->heap);
}

#define MEM(n)	heap_mem(&self->heap, self->page + (n))
#define BIT(n)	dirty_bit(&self->heap, self->page + (n))

/* Whether DIRTY has the bit of page @n alone, or with ~0, none. */
static bool only_bit(const struct test_heap *heap, __u32 page)
{
	for (__u32 p = 0; p < heap_ctrl(heap)->heap_pages; p++) {
		bool expected = p == page;

		if (dirty_bit(heap, p) != expected)
			return false;
	}
	return true;
}

static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

TEST_F(snapshot, tells_of_the_first_write_to_a_page_at_once)
{
	ASSERT_OK(protect(&self->heap));
	EXPECT_TRUE(only_bit(&self->heap, ~0u));
	MEM(7)[8191] = 2;
	EXPECT_TRUE(only_bit(&self->heap, self->page + 7));
	MEM(7)[0] = 2;
	EXPECT_TRUE(only_bit(&self->heap, self->page + 7));
	EXPECT_EQ(2, MEM(7)[8191]);
	ASSERT_OK(protect(&self->heap));
	EXPECT_TRUE(only_bit(&self->heap, ~0u));
	MEM(7)[8191] = 3;
	EXPECT_TRUE(only_bit(&self->heap, self->page + 7));
}

TEST_F(snapshot, reports_what_was_written_before)
{
	ASSERT_OK(protect(&self->heap));
	MEM(3)[0] = 2;
	MEM(200)[5000] = 2;
	ASSERT_OK(report_part(&self->heap, 0, 0, GCHEAP_TRACK_PROTECT, &self->report));
	EXPECT_EQ(2, self->report.pages);
	EXPECT_TRUE(self->report.dirty[self->page + 3]);
	EXPECT_TRUE(self->report.dirty[self->page + 200]);
	EXPECT_TRUE(only_bit(&self->heap, ~0u));
	ASSERT_OK(report_part(&self->heap, 0, 0, GCHEAP_TRACK_PROTECT, &self->report));
	EXPECT_EQ(0, self->report.pages);
}

TEST_F(snapshot, protects_only_its_range)
{
	struct gcheap_track track = {
		.flags = GCHEAP_TRACK_PROTECT,
		.page = self->page + 10,
		.npages = 5,
	};

	ASSERT_OK(protect(&self->heap));
	MEM(9)[0] = 2;
	MEM(12)[0] = 2;
	MEM(15)[0] = 2;
	ASSERT_OK(cmd_track(self->heap.fd, &track));
	EXPECT_TRUE(BIT(9));
	EXPECT_FALSE(BIT(12));
	EXPECT_TRUE(BIT(15));
	MEM(12)[0] = 3;
	EXPECT_TRUE(BIT(12));
}

TEST_F(snapshot, stops_where_its_ranges_are_full)
{
	struct gcheap_range range;
	struct gcheap_track track = {
		.flags = GCHEAP_TRACK_PROTECT,
		.ranges = (uintptr_t)&range,
		.range_count = 1,
	};

	ASSERT_OK(protect(&self->heap));
	MEM(20)[0] = 2;
	MEM(30)[0] = 2;
	ASSERT_OK(cmd_track(self->heap.fd, &track));
	EXPECT_EQ(self->page + 20, range.page);
	EXPECT_EQ(self->page + 30, track.out_end);
	EXPECT_TRUE(only_bit(&self->heap, self->page + 30));
	ASSERT_RIGHT(only_dirty(&self->heap, self->page + 30));
}

TEST_F(snapshot, costs_no_fault_for_new_memory)
{
	struct gcheap_alloc_large large;
	long before;

	test_cmd_alloc_large(self->type, PAGES * 64, &large);
	before = faults();
	for (__u32 n = 0; n < 2 * PAGES; n++)
		heap_mem(&self->heap, large.out_page)[n * PAGE] = 1;
	/* Others than those of the heap there may be. */
	EXPECT_GT(PAGES / 8, faults() - before);
	ASSERT_OK(protect(&self->heap));
	before = faults();
	for (__u32 n = 0; n < 2 * PAGES; n++)
		heap_mem(&self->heap, large.out_page)[n * PAGE] = 2;
	EXPECT_LE(2 * PAGES, faults() - before);
}

TEST_F(snapshot, costs_no_fault_without_protection)
{
	long before;

	ASSERT_OK(track_arm(&self->heap));
	before = faults();
	for (__u32 n = 0; n < PAGES; n++)
		MEM(n)[0] = 2;
	EXPECT_GT(PAGES / 8, faults() - before);
	ASSERT_OK(report_take(&self->heap, &self->report));
	EXPECT_EQ(PAGES, self->report.pages);
}

TEST_F(snapshot, is_told_of_system_calls_that_write)
{
	int mem = open("/proc/self/mem", O_RDWR);

	ASSERT_OK(protect(&self->heap));
	ASSERT_OK(read_into(MEM(40) + 100, 3 * 8192));
	for (__u32 n = 0; n < PAGES; n++)
		ASSERT_EQ(n >= 40 && n <= 43, BIT(n));
	ASSERT_LE(0, mem);
	ASSERT_EQ(1, pwrite(mem, "x", 1, (off_t)(uintptr_t)MEM(90)));
	EXPECT_TRUE(BIT(90));
	EXPECT_EQ('x', MEM(90)[0]);
	close(mem);
}

TEST_F(snapshot, lasts_while_pages_are_unmapped_and_mapped)
{
	ASSERT_OK(protect(&self->heap));
	ASSERT_EQ(0, madvise(MEM(0), (size_t)PAGES << GCHEAP_PAGE_SHIFT, MADV_DONTNEED));
	for (__u32 n = 0; n < PAGES; n += 2)
		(void)*(volatile char *)MEM(n);
	EXPECT_TRUE(only_bit(&self->heap, ~0u));
	MEM(8)[0] = 2;
	EXPECT_TRUE(only_bit(&self->heap, self->page + 8));
	MEM(201)[0] = 2;
	EXPECT_TRUE(BIT(201));
	heap_unmap(&self->heap);
	ASSERT_OK(heap_map(&self->heap));
	MEM(101)[0] = 2;
	EXPECT_TRUE(BIT(101));
	EXPECT_FALSE(BIT(100));
}

TEST_F(snapshot, lasts_while_the_heap_is_made_read_only)
{
	char *heap = self->heap.region[GCHEAP_REGION_HEAP];

	ASSERT_OK(protect(&self->heap));
	ASSERT_EQ(0, mprotect(heap, self->heap.reserve, PROT_READ));
	ASSERT_EQ(0, mprotect(heap, self->heap.reserve, PROT_READ | PROT_WRITE));
	EXPECT_TRUE(only_bit(&self->heap, ~0u));
	MEM(77)[0] = 2;
	EXPECT_TRUE(only_bit(&self->heap, self->page + 77));
	/* And one that is made while it is. */
	ASSERT_EQ(0, mprotect(heap, self->heap.reserve, PROT_READ));
	ASSERT_OK(protect(&self->heap));
	ASSERT_EQ(0, mprotect(heap, self->heap.reserve, PROT_READ | PROT_WRITE));
	EXPECT_TRUE(only_bit(&self->heap, ~0u));
	MEM(77)[0] = 3;
	EXPECT_TRUE(only_bit(&self->heap, self->page + 77));
}

/* Who holds the page may write to it at any time. */
TEST_F(snapshot, has_the_bits_of_pinned_pages_from_the_start)
{
	struct iovec iov = { .iov_base = MEM(8), .iov_len = PAGE };
	char text[PAGE];
	int pipes[2];

	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(PAGE, vmsplice(pipes[1], &iov, 1, 0));
	ASSERT_OK(protect(&self->heap));
	EXPECT_TRUE(only_bit(&self->heap, self->page + 8));
	ASSERT_EQ(PAGE, read(pipes[0], text, PAGE));
	ASSERT_OK(protect(&self->heap));
	EXPECT_TRUE(only_bit(&self->heap, ~0u));
	close(pipes[0]);
	close(pipes[1]);
}

/* ---- a thread that goes on writing ----------------------------------------------- */

#define ROUNDS	300
#define PASSES	20	/* looks at the heap each time it is protected */

struct writer {
	volatile __u64 *words;		/* one of each page (4 KiB) */
	volatile bool stop;
	__u64 writes;
};

static void *writer_main(void *data)
{
	struct writer *writer = data;
	struct rng rng;

	rng_init(&rng, 1);
	while (!writer->stop) {
		writer->words[rng_below(&rng, 2 * PAGES) * (PAGE / 8)]++;
		writer->writes++;
	}
	return NULL;
}

/*
 * No page is ever seen to change, after it was protected, without its bit. That the
 * thread runs beside is what makes this a test.
 */
TEST_F(snapshot, has_the_bit_before_a_write_can_be_seen)
{
	struct writer writer = { .words = (volatile __u64 *)MEM(0) };
	__u32 changed = 0, seen[2 * PAGES];
	pthread_t thread;
	bool lost = false;

	ASSERT_EQ(0, pthread_create(&thread, NULL, writer_main, &writer));
	for (int round = 0; round < ROUNDS && !lost; round++) {
		ASSERT_OK(protect(&self->heap));
		for (__u32 i = 0; i < 2 * PAGES; i++)
			seen[i] = (__u32)writer.words[i * (PAGE / 8)];
		for (__u32 look = 0; look < PASSES * 2 * PAGES; look++) {
			__u32 i = look % (2 * PAGES);

			if ((__u32)writer.words[i * (PAGE / 8)] == seen[i])
				continue;
			changed++;
			/* No load goes ahead of another on this processor. */
			__asm__ volatile("" ::: "memory");
			lost |= !BIT(i / 2);
		}
	}
	writer.stop = true;
	pthread_join(thread, NULL);
	EXPECT_FALSE(lost);
	TH_LOG("%u changes seen of %llu writes", changed, (unsigned long long)writer.writes);
	EXPECT_LT(0, changed);
}

/* ---- errors ---------------------------------------------------------------------- */

TEST_F(snapshot, test_err_protect_with_another_flag)
{
	struct gcheap_track bits = { .flags = GCHEAP_TRACK_PROTECT | GCHEAP_TRACK_BITMAP };
	struct gcheap_track peek = { .flags = GCHEAP_TRACK_PROTECT | GCHEAP_TRACK_PEEK };

	test_err(EINVAL, cmd_track(self->heap.fd, &bits));
	test_err(EINVAL, cmd_track(self->heap.fd, &peek));
}

TEST_F(snapshot, test_err_setup_with_huge_pages)
{
	struct test_heap heap;

	EXPECT_ERR(EOPNOTSUPP, tracked_open(&heap, GCHEAP_SETUP_SNAPSHOTS |
					    GCHEAP_SETUP_HUGE_PAGES));
}

TEST_HARNESS_MAIN
