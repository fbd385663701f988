// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * TRACK that fails: for want of memory, or because its answer cannot be written, which
 * may be found out only when the pages have been made clean. No write is lost: what was
 * written before is in the next report.
 *
 * A fatal signal in the middle is killed_test.c's.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"
#include "gcheap_track.h"
#include "fault_injection.h"

#define PAGES		512u	/* of the tracked object */
#define WAYS_MOST	200	/* a walk that is still not at its end goes in circles */

FIXTURE(fails) {
	struct test_heap heap;
	__u32 page;		/* first of a large object with pointers */
	struct report report;
};

FIXTURE_VARIANT(fails) {
	__u32 setup;		/* flags of SETUP */
	__u32 flags;		/* flags of TRACK */
};

FIXTURE_VARIANT_ADD(fails, that_reports_ranges) {
};

FIXTURE_VARIANT_ADD(fails, that_reports_bits_too) {
	.flags = GCHEAP_TRACK_BITMAP,
};

FIXTURE_VARIANT_ADD(fails, of_huge_pages) {
	.setup = GCHEAP_SETUP_HUGE_PAGES,
};

FIXTURE_VARIANT_ADD(fails, that_takes_a_snapshot) {
	.setup = GCHEAP_SETUP_SNAPSHOTS,
	.flags = GCHEAP_TRACK_PROTECT,
};

FIXTURE_SETUP(fails)
{
	struct gcheap_alloc_large large;
	__u32 type;
	int ret;

	if (!tracking_works())
		SKIP(return, "no write tracking on this machine");
	ret = tracked_open(&self->heap, variant->setup);
	if (ret == -EOPNOTSUPP)
		SKIP(return, "the module has no such heaps");
	ASSERT_OK(ret);
	test_cmd_type_words(16, 1, &type);
	test_cmd_alloc_large(type, PAGES * 64, &large);
	ASSERT_EQ(PAGES, large.out_npages);
	self->page = large.out_page;
	ASSERT_OK(track_arm(&self->heap));
}

FIXTURE_TEARDOWN(fails)
{
	if (!self->heap.fd)
		return;
	EXPECT_EQ(NULL, heap_wrong(&self->heap)) {
		TH_LOG("%s", heap_wrong(&self->heap));
	}
	heap_close(&self->heap);
}

/* Every second page is written, so that each is a range. */
static void pages_write(const struct test_heap *heap, __u32 page, char value)
{
	for (__u32 n = 0; n < PAGES; n += 2)
		*(volatile char *)(heap_mem(heap, page + n) + 4096) = value;
}

/* Whether exactly these are reported; in a heap of huge pages, others beside them. */
static const char *pages_reported(const struct test_heap *heap, __u32 page, bool huge,
				  struct report *report)
{
	if (report_take(heap, report))
		return "the next TRACK fails";
	for (__u32 n = 0; n < PAGES; n++) {
		if (n % 2 == 0 && !report->dirty[page + n])
			return wrong("the write to page %u is lost", n);
		if (n % 2 && report->dirty[page + n] && !huge)
			return wrong("page %u was not written", n);
	}
	return NULL;
}

#define ASSERT_NOTHING_LOST() \
	ASSERT_RIGHT(pages_reported(&self->heap, self->page, \
				    variant->setup & GCHEAP_SETUP_HUGE_PAGES, &self->report))

/* Found out before the work. */
TEST_F(fails, loses_nothing_when_its_ranges_cannot_be_written)
{
	void *readonly = mmap(NULL, 1 << 16, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct gcheap_track track = { .flags = variant->flags };
	const __u64 bad[] = {
		(uintptr_t)readonly, 8, 1ull << 63, (uintptr_t)heap_mem(&self->heap, 0),
		(uintptr_t)memory_before_hole(100) + 96,
	};

	ASSERT_NE(MAP_FAILED, readonly);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		pages_write(&self->heap, self->page, (char)i);
		track.ranges = bad[i];
		track.range_count = 100;
		EXPECT_ERR(EFAULT, cmd_track(self->heap.fd, &track));
		ASSERT_NOTHING_LOST();
	}
	munmap(readonly, 1 << 16);
}

/* ---- found out after the work ------------------------------------------------------- */

static struct {
	void *answer;
	size_t bytes;
	atomic_bool stop;
} closer;

/* Takes the memory for the answer away, and gives it back. */
static void *closer_main(void *unused)
{
	while (!closer.stop) {
		mprotect(closer.answer, closer.bytes, PROT_READ);
		mprotect(closer.answer, closer.bytes, PROT_READ | PROT_WRITE);
	}
	return NULL;
}

/*
 * TRACK counts itself when the work is done: one that counts and fails had made the
 * pages clean.
 */
TEST_F_TIMEOUT(fails, loses_nothing_when_its_ranges_are_taken_away_meanwhile, 120)
{
	struct gcheap_track track = { .flags = variant->flags, .range_count = PAGES };
	const unsigned int rounds = 1000 / kernel_slowness();
	unsigned int late = 0;
	pthread_t thread;

	closer.bytes = 1 << 16;
	closer.answer = mmap(NULL, closer.bytes, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, closer.answer);
	track.ranges = (uintptr_t)closer.answer;
	closer.stop = false;
	ASSERT_EQ(0, pthread_create(&thread, NULL, closer_main, NULL));
	for (unsigned int i = 0; i < rounds && late < 5; i++) {
		__u64 tracks = heap_ctrl(&self->heap)->counters.tracks;
		int ret;

		pages_write(&self->heap, self->page, (char)i);
		ret = cmd_track(self->heap.fd, &track);
		if (!ret) {
			EXPECT_LE(PAGES / 2, track.out_dirty_pages);
			continue;
		}
		EXPECT_EQ(-EFAULT, ret);
		late += heap_ctrl(&self->heap)->counters.tracks != tracks;
		ASSERT_NOTHING_LOST();
	}
	closer.stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));
	TH_LOG("%u answers could not be written after the work", late);
	munmap(closer.answer, closer.bytes);
}

/* ---- by fault injection ---------------------------------------------------------------- */

/* That DIRTY cannot be made is fail_nth_test.c's: there, each try has a new heap. */
TEST_F_TIMEOUT(fails, loses_nothing_for_want_of_memory_or_of_access, 300)
{
	unsigned int failed = 0, late = 0;

	if (!injection_init())
		SKIP(return, "no fault injection in this kernel");
	/*
	 * What is allocated once for all, and may fail, moves what comes behind it by one: what
	 * was passed over so is met by the next pass.
	 */
	for (int pass = 0; pass < 8 && (pass < 2 || !late); pass++) {
		const int copies = pass % 2;
		bool fired = true;

		copies_fail(copies);
		for (unsigned int n = 1; fired; n++) {
			struct gcheap_track track = {
				.flags = variant->flags,
				.ranges = (uintptr_t)self->report.ranges,
				.range_count = PAGES,
			};
			__u64 tracks = heap_ctrl(&self->heap)->counters.tracks;
			int ret;

			ASSERT_GT(WAYS_MOST, n);
			pages_write(&self->heap, self->page, (char)n);
			/* No page fault of the answer's shall count. */
			memset(self->report.ranges, 0, sizeof(self->report.ranges));
			nth_set(n);
			ret = cmd_track(self->heap.fd, &track);
			fired = nth_fired();
			if (!ret) {
				EXPECT_LE(PAGES / 2, track.out_dirty_pages);
				continue;
			}
			EXPECT_TRUE(fired && (ret == -ENOMEM || (copies && ret == -EFAULT))) {
				TH_LOG("n %u: errno %d", n, -ret);
			}
			TH_LOG("copies %d, n %u: errno %d", copies, n, -ret);
			failed++;
			late += heap_ctrl(&self->heap)->counters.tracks != tracks;
			ASSERT_NOTHING_LOST();
		}
	}
	copies_fail(false);
	TH_LOG("failed %u times, %u of them after the work", failed, late);
	/* The array for the ranges, twice, and the copy of the answer. */
	EXPECT_LE(3, failed);
	EXPECT_LE(1, late);
}

TEST_HARNESS_MAIN
