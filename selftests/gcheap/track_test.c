// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Write tracking: what TRACK reports, and when. Writes that leave no trace in page
 * tables are in track_pin_test.c, threads that never stop writing in
 * track_stress_test.c, snapshots in track_snapshot_test.c.
 */
#include <sys/uio.h>

#include "../kselftest_harness.h"
#include "gcheap_selftest.h"
#include "gcheap_track.h"

#define PAGES	64u	/* of the tracked object */

FIXTURE(track) {
	struct test_heap heap;
	__u32 type;
	__u32 page;		/* first of a large object with pointers */
	struct report report;
};

FIXTURE_SETUP(track)
{
	struct gcheap_alloc_large large;

	if (!tracking_works())
		SKIP(return, "no write tracking on this machine");
	ASSERT_OK(tracked_open(&self->heap, 0));
	test_cmd_type_words(16, 1, &self->type);
	test_cmd_alloc_large(self->type, PAGES * 64, &large);
	ASSERT_EQ(PAGES, large.out_npages);
	self->page = large.out_page;
	ASSERT_OK(track_arm(&self->heap));
}

FIXTURE_TEARDOWN(track)
{
	if (self->heap.fd)
		heap_close(&self->heap);
}

#define MEM(n)	heap_mem(&self->heap, self->page + (n))

TEST_F(track, reports_a_page_that_was_written_once)
{
	for (__u32 n = 0; n < PAGES; n += 7) {
		MEM(n)[n * 100] = 1;
		ASSERT_RIGHT(only_dirty(&self->heap, self->page + n));
		ASSERT_RIGHT(none_dirty(&self->heap));
	}
}

TEST_F(track, sees_both_halves_of_a_heap_page)
{
	MEM(3)[0] = 1;
	ASSERT_RIGHT(only_dirty(&self->heap, self->page + 3));
	MEM(3)[8191] = 1;
	ASSERT_RIGHT(only_dirty(&self->heap, self->page + 3));
	MEM(3)[4095] = 1;
	MEM(3)[4096] = 1;
	ASSERT_RIGHT(only_dirty(&self->heap, self->page + 3));
	ASSERT_RIGHT(none_dirty(&self->heap));
}

TEST_F(track, does_not_report_what_is_read)
{
	for (__u32 n = 0; n < PAGES; n++)
		(void)*(volatile char *)MEM(n);
	ASSERT_RIGHT(none_dirty(&self->heap));
}

TEST_F(track, does_not_report_new_memory_before_it_is_written)
{
	struct gcheap_alloc_large large;

	test_cmd_alloc_large(self->type, PAGES * 64, &large);
	ASSERT_RIGHT(none_dirty(&self->heap));
	heap_mem(&self->heap, large.out_page + 5)[0] = 1;
	ASSERT_RIGHT(only_dirty(&self->heap, large.out_page + 5));
}

TEST_F(track, peeks_without_rearming)
{
	MEM(9)[1] = 1;
	for (int i = 0; i < 3; i++) {
		ASSERT_OK(report_peek(&self->heap, &self->report));
		ASSERT_EQ(1, self->report.pages);
		ASSERT_TRUE(self->report.dirty[self->page + 9]);
	}
	ASSERT_RIGHT(only_dirty(&self->heap, self->page + 9));
	ASSERT_OK(report_peek(&self->heap, &self->report));
	ASSERT_EQ(0, self->report.pages);
}

TEST_F(track, reports_neighbours_as_one_range)
{
	for (__u32 n = 10; n < 20; n++)
		MEM(n)[0] = 1;
	MEM(21)[0] = 1;
	ASSERT_OK(report_take(&self->heap, &self->report));
	ASSERT_EQ(2, self->report.count);
	EXPECT_EQ(self->page + 10, self->report.ranges[0].page);
	EXPECT_EQ(10, self->report.ranges[0].npages);
	EXPECT_EQ(self->page + 21, self->report.ranges[1].page);
	EXPECT_EQ(1, self->report.ranges[1].npages);
}

TEST_F(track, looks_only_at_its_range)
{
	for (__u32 n = 0; n < PAGES; n += 2)
		MEM(n)[5000] = 1;
	ASSERT_OK(report_part(&self->heap, self->page + 10, 11, 0, &self->report));
	EXPECT_EQ(6, self->report.pages);
	for (__u32 n = 10; n < 21; n++)
		EXPECT_EQ(n % 2 == 0, self->report.dirty[self->page + n]);
	ASSERT_OK(report_take(&self->heap, &self->report));
	EXPECT_EQ(PAGES / 2 - 6, self->report.pages);
	ASSERT_RIGHT(none_dirty(&self->heap));
}

TEST_F(track, takes_an_empty_range_at_the_end_of_the_heap)
{
	__u32 end = heap_ctrl(&self->heap)->heap_pages;

	ASSERT_OK(report_part(&self->heap, end, 0, 0, &self->report));
	EXPECT_EQ(0, self->report.count);
}

TEST_F(track, of_an_empty_heap_finds_nothing)
{
	struct gcheap_track track = { .flags = GCHEAP_TRACK_BITMAP };
	struct test_heap empty;

	ASSERT_OK(tracked_open(&empty, 0));
	ASSERT_OK(cmd_track(empty.fd, &track));
	EXPECT_EQ(0, track.out_end);
	EXPECT_EQ(0, track.out_dirty_pages);
	heap_close(&empty);
}

/* ---- DIRTY ----------------------------------------------------------------------- */

static int track_bits(struct test_heap *heap, __u32 page, __u32 npages, __u32 flags)
{
	struct gcheap_track track = {
		.flags = GCHEAP_TRACK_BITMAP | flags,
		.page = page,
		.npages = npages,
	};

	return cmd_track(heap->fd, &track);
}

TEST_F(track, sets_the_bits_of_dirty_pages_and_clears_the_others)
{
	for (__u32 n = 0; n < PAGES; n += 3)
		MEM(n)[0] = 1;
	ASSERT_OK(track_bits(&self->heap, 0, 0, 0));
	for (__u32 p = 0; p < heap_ctrl(&self->heap)->heap_pages; p++)
		ASSERT_EQ(p >= self->page && p < self->page + PAGES &&
			  (p - self->page) % 3 == 0, dirty_bit(&self->heap, p));
	MEM(1)[0] = 1;
	ASSERT_OK(track_bits(&self->heap, 0, 0, 0));
	for (__u32 p = 0; p < heap_ctrl(&self->heap)->heap_pages; p++)
		ASSERT_EQ(p == self->page + 1, dirty_bit(&self->heap, p));
}

TEST_F(track, leaves_the_bits_outside_of_its_range)
{
	for (__u32 n = 0; n < PAGES; n++)
		MEM(n)[0] = 1;
	ASSERT_OK(track_bits(&self->heap, 0, 0, 0));
	MEM(20)[0] = 1;
	ASSERT_OK(track_bits(&self->heap, self->page + 10, 20, 0));
	for (__u32 n = 0; n < PAGES; n++)
		ASSERT_EQ(n < 10 || n >= 30 || n == 20, dirty_bit(&self->heap, self->page + n));
}

TEST_F(track, answers_by_bits_and_ranges_at_once)
{
	MEM(5)[0] = 1;
	MEM(50)[0] = 1;
	ASSERT_OK(report_part(&self->heap, 0, 0, GCHEAP_TRACK_BITMAP, &self->report));
	EXPECT_EQ(2, self->report.pages);
	for (__u32 p = 0; p < heap_ctrl(&self->heap)->heap_pages; p++)
		ASSERT_EQ(self->report.dirty[p], dirty_bit(&self->heap, p));
}

TEST_F(track, peeks_into_bits)
{
	MEM(5)[0] = 1;
	ASSERT_OK(track_bits(&self->heap, 0, 0, GCHEAP_TRACK_PEEK));
	EXPECT_TRUE(dirty_bit(&self->heap, self->page + 5));
	ASSERT_RIGHT(only_dirty(&self->heap, self->page + 5));
}

TEST_F(track, faults_where_no_bits_have_been_made)
{
	EXPECT_EQ(SIGBUS, probe(self->heap.region[GCHEAP_REGION_DIRTY], false, NULL));
	ASSERT_OK(track_bits(&self->heap, 0, 0, 0));
	EXPECT_EQ(0, probe(self->heap.region[GCHEAP_REGION_DIRTY], false, NULL));
}

/* ---- a short array --------------------------------------------------------------- */

TEST_F(track, stops_where_its_ranges_are_full_and_loses_nothing)
{
	struct gcheap_track track = { 0 };
	__u32 at = 0, found = 0, requests = 0;
	struct gcheap_range ranges[3];
	bool seen[PAGES] = { 0 };

	for (__u32 n = 1; n < PAGES; n += 2)
		MEM(n)[n % 2 * 4096] = 1;
	do {
		track = (struct gcheap_track) {
			.flags = GCHEAP_TRACK_BITMAP,
			.page = at,
			.ranges = (uintptr_t)ranges,
			.range_count = 3,
		};
		ASSERT_OK(cmd_track(self->heap.fd, &track));
		ASSERT_LE(track.out_range_count, 3);
		for (__u32 i = 0; i < track.out_range_count; i++) {
			ASSERT_EQ(1, ranges[i].npages);
			ASSERT_LT(ranges[i].page, track.out_end);
			ASSERT_FALSE(seen[ranges[i].page - self->page]);
			seen[ranges[i].page - self->page] = true;
			found++;
		}
		if (track.out_end < heap_ctrl(&self->heap)->heap_pages) {
			/* Right before the page that found no room. */
			ASSERT_EQ(ranges[2].page + 2, track.out_end);
			ASSERT_FALSE(dirty_bit(&self->heap, track.out_end));
		}
		ASSERT_LE(at, track.out_end);
		at = track.out_end;
		requests++;
	} while (at < heap_ctrl(&self->heap)->heap_pages);
	EXPECT_EQ(PAGES / 2, found);
	EXPECT_EQ(PAGES / 2 / 3 + 1, requests);
	for (__u32 n = 0; n < PAGES; n++)
		EXPECT_EQ(n % 2, seen[n]);
	ASSERT_RIGHT(none_dirty(&self->heap));
}

TEST_F(track, goes_on_past_a_full_array_while_the_last_range_grows)
{
	struct gcheap_range range;
	struct gcheap_track track = {
		.ranges = (uintptr_t)&range,
		.range_count = 1,
	};

	for (__u32 n = 10; n < 40; n++)
		MEM(n)[8000] = 1;
	MEM(50)[4000] = 1;
	ASSERT_OK(cmd_track(self->heap.fd, &track));
	EXPECT_EQ(self->page + 10, range.page);
	EXPECT_EQ(30, range.npages);
	EXPECT_EQ(self->page + 50, track.out_end);
	ASSERT_RIGHT(only_dirty(&self->heap, self->page + 50));
}

/* ---- which spans ----------------------------------------------------------------- */

TEST_F(track, never_reports_spans_without_pointers)
{
	struct gcheap_alloc_large large;
	struct gcheap_grant grant;

	test_cmd_alloc_large(0, 100000, &large);
	test_cmd_take(0, CLASS_64, &grant);
	memset(heap_mem(&self->heap, large.out_page), 1, 100000);
	memset(slot_mem(&self->heap, grant.page, 0), 1, 64);
	ASSERT_RIGHT(none_dirty(&self->heap));
	/* Between them, one with pointers. */
	MEM(0)[0] = 1;
	ASSERT_RIGHT(only_dirty(&self->heap, self->page));
}

TEST_F(track, reports_spans_of_small_objects_in_the_cache_and_not)
{
	struct gcheap_grant grant;

	test_cmd_take(self->type, CLASS_1024, &grant);
	ASSERT_OK(track_arm(&self->heap));
	*slot_mem(&self->heap, grant.page, 1) = 1;
	ASSERT_RIGHT(only_dirty(&self->heap, grant.page));
	slot_alloc(&self->heap, grant.page, 1);
	test_cmd_give(&grant.page, 1);
	ASSERT_EQ(GCHEAP_SPAN_CENTRAL, span_state(&self->heap, grant.page));
	*slot_mem(&self->heap, grant.page, 1) = 2;
	ASSERT_RIGHT(only_dirty(&self->heap, grant.page));
}

TEST_F(track, finds_a_span_from_its_middle)
{
	struct gcheap_grant grant;

	/* Four heap pages. */
	test_cmd_take(self->type, CLASS_32768, &grant);
	ASSERT_OK(track_arm(&self->heap));
	for (__u32 n = 0; n < 4; n++)
		heap_mem(&self->heap, grant.page + n)[0] = 1;
	ASSERT_OK(report_part(&self->heap, grant.page + 2, 1, 0, &self->report));
	ASSERT_EQ(1, self->report.pages);
	EXPECT_EQ(grant.page + 2, self->report.ranges[0].page);
}

TEST_F(track, does_not_report_freed_spans)
{
	for (__u32 n = 0; n < PAGES; n++)
		MEM(n)[0] = 1;
	test_cmd_mark_start(NULL);
	test_cmd_sweep_start(NULL);
	ASSERT_EQ(GCHEAP_SPAN_FREE, span_state(&self->heap, self->page));
	ASSERT_RIGHT(none_dirty(&self->heap));
}

TEST_F(track, reports_chunks)
{
	struct gcheap_chunk_new chunk;

	test_cmd_chunk_new(&chunk);
	ASSERT_OK(track_arm(&self->heap));
	heap_mem(&self->heap, chunk.out_page + 1000)[0] = 1;
	ASSERT_RIGHT(only_dirty(&self->heap, chunk.out_page + 1000));
	heap_mem(&self->heap, chunk.out_page + 1000)[0] = 1;
	ASSERT_OK(report_part(&self->heap, chunk.out_page + 999, 3, 0, &self->report));
	EXPECT_EQ(1, self->report.pages);
	heap_mem(&self->heap, chunk.out_page + 1000)[0] = 1;
	ASSERT_OK(cmd_chunk_free(self->heap.fd, chunk.out_page));
	ASSERT_RIGHT(none_dirty(&self->heap));
}

/* ---- mappings that come and go --------------------------------------------------- */

TEST_F(track, remembers_writes_to_pages_that_were_unmapped_since)
{
	MEM(4)[0] = 1;
	MEM(40)[4096] = 1;
	ASSERT_EQ(0, madvise(MEM(0), (size_t)PAGES << GCHEAP_PAGE_SHIFT, MADV_DONTNEED));
	ASSERT_OK(report_take(&self->heap, &self->report));
	EXPECT_EQ(2, self->report.pages);
	EXPECT_TRUE(self->report.dirty[self->page + 4]);
	EXPECT_TRUE(self->report.dirty[self->page + 40]);
	ASSERT_RIGHT(none_dirty(&self->heap));
}

TEST_F(track, remembers_writes_to_pages_that_were_unmapped_and_touched_since)
{
	MEM(4)[0] = 1;
	ASSERT_EQ(0, madvise(MEM(0), (size_t)PAGES << GCHEAP_PAGE_SHIFT, MADV_DONTNEED));
	for (__u32 n = 0; n < PAGES; n++)
		(void)*(volatile char *)MEM(n);
	ASSERT_RIGHT(only_dirty(&self->heap, self->page + 4));
	ASSERT_RIGHT(none_dirty(&self->heap));
}

TEST_F(track, remembers_writes_before_the_region_was_mapped_again)
{
	MEM(4)[0] = 1;
	heap_unmap(&self->heap);
	ASSERT_OK(heap_map(&self->heap));
	ASSERT_RIGHT(only_dirty(&self->heap, self->page + 4));
	ASSERT_RIGHT(none_dirty(&self->heap));
	EXPECT_EQ(1, MEM(4)[0]);
}

TEST_F(track, works_while_the_region_is_not_mapped)
{
	const struct gcheap_ctrl *ctrl = heap_ctrl(&self->heap);
	struct gcheap_range ranges[2];
	struct gcheap_track track = {
		.ranges = (uintptr_t)ranges,
		.range_count = 2,
	};

	MEM(4)[0] = 1;
	ASSERT_EQ(0, munmap(self->heap.region[GCHEAP_REGION_HEAP], self->heap.reserve));
	self->heap.region[GCHEAP_REGION_HEAP] = NULL;
	ASSERT_OK(cmd_track(self->heap.fd, &track));
	EXPECT_EQ(ctrl->heap_pages, track.out_end);
	ASSERT_EQ(1, track.out_range_count);
	EXPECT_EQ(self->page + 4, ranges[0].page);
	ASSERT_OK(cmd_track(self->heap.fd, &track));
	EXPECT_EQ(0, track.out_range_count);
}

TEST_F(track, works_in_a_heap_that_was_made_read_only)
{
	char *heap = self->heap.region[GCHEAP_REGION_HEAP];

	MEM(7)[0] = 1;
	ASSERT_EQ(0, mprotect(heap, self->heap.reserve, PROT_READ));
	ASSERT_RIGHT(only_dirty(&self->heap, self->page + 7));
	ASSERT_RIGHT(none_dirty(&self->heap));
	ASSERT_EQ(0, mprotect(heap, self->heap.reserve, PROT_NONE));
	ASSERT_RIGHT(none_dirty(&self->heap));
	ASSERT_EQ(0, mprotect(heap, self->heap.reserve, PROT_READ | PROT_WRITE));
	ASSERT_RIGHT(none_dirty(&self->heap));
	MEM(8)[0] = 1;
	ASSERT_RIGHT(only_dirty(&self->heap, self->page + 8));
}

/* ---- figures --------------------------------------------------------------------- */

TEST_F(track, counts_requests_and_dirty_pages)
{
	struct gcheap_counters before, after;

	test_cmd_stats(&before);
	for (__u32 n = 0; n < 9; n++)
		MEM(n)[0] = 1;
	ASSERT_OK(report_take(&self->heap, &self->report));
	ASSERT_OK(report_take(&self->heap, &self->report));
	test_cmd_stats(&after);
	EXPECT_EQ(before.tracks + 2, after.tracks);
	EXPECT_EQ(before.dirty_pages + 9, after.dirty_pages);
	EXPECT_EQ(after.tracks, heap_ctrl(&self->heap)->counters.tracks);
}

/* ---- errors ---------------------------------------------------------------------- */

/* None of these makes the page clean that is dirty. */
#define test_err_track(err, ...) do { \
	struct gcheap_track track_ = { __VA_ARGS__ }; \
\
	MEM(2)[0] = 1; \
	test_err(err, cmd_track(self->heap.fd, &track_)); \
	ASSERT_RIGHT(only_dirty(&self->heap, self->page + 2)); \
} while (0)

TEST_F(track, test_err_unknown_flag)
{
	test_err_track(EOPNOTSUPP, .flags = 1u << 3 | GCHEAP_TRACK_BITMAP);
	test_err_track(EOPNOTSUPP, .flags = 1u << 31 | GCHEAP_TRACK_BITMAP);
}

TEST_F(track, test_err_protect_without_snapshots)
{
	test_err_track(EOPNOTSUPP, .flags = GCHEAP_TRACK_PROTECT);
	test_err_track(EOPNOTSUPP, .flags = GCHEAP_TRACK_PROTECT | GCHEAP_TRACK_BITMAP);
}

TEST_F(track, test_err_nowhere_to_write_the_answer)
{
	test_err_track(EINVAL, .flags = 0);
	test_err_track(EINVAL, .flags = GCHEAP_TRACK_PEEK);
	test_err_track(EINVAL, .ranges = (uintptr_t)self->report.ranges);
}

TEST_F(track, test_err_range_not_in_the_heap)
{
	__u32 end = heap_ctrl(&self->heap)->heap_pages;

	test_err_track(EINVAL, .flags = GCHEAP_TRACK_BITMAP, .page = end + 1);
	test_err_track(EINVAL, .flags = GCHEAP_TRACK_BITMAP, .page = end, .npages = 1);
	test_err_track(EINVAL, .flags = GCHEAP_TRACK_BITMAP, .page = 1, .npages = end);
	test_err_track(EINVAL, .flags = GCHEAP_TRACK_BITMAP, .page = 2, .npages = ~0u);
	test_err_track(EINVAL, .flags = GCHEAP_TRACK_BITMAP, .page = ~0u, .npages = 2);
	test_err_track(EINVAL, .flags = GCHEAP_TRACK_BITMAP, .page = ~0u);
}

TEST_F(track, test_err_too_many_ranges)
{
	test_err_track(EOVERFLOW, .ranges = (uintptr_t)self->report.ranges,
		       .range_count = GCHEAP_TRACK_RANGES_MAX + 1);
	test_err_track(EOVERFLOW, .flags = GCHEAP_TRACK_BITMAP, .range_count = ~0u);
}

TEST_F(track, test_err_ranges_that_cannot_be_written)
{
	void *readable = mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, readable);
	test_err_track(EFAULT, .ranges = (uintptr_t)readable, .range_count = 100);
	test_err_track(EFAULT, .ranges = 8, .range_count = 1);
	test_err_track(EFAULT, .flags = GCHEAP_TRACK_BITMAP, .range_count = 1);
	test_err_track(EFAULT, .ranges = ~0ull, .range_count = 2);
	test_err_track(EFAULT, .ranges = 1ull << 63, .range_count = 2);
	munmap(readable, 1 << 20);
}

/* ---- against a model --------------------------------------------------------------- */

#define MODEL_PAGES	700u	/* of a large object, which begins and ends anywhere */
#define MODEL_ROUNDS	200u

static __u32 model_random(__u32 *state, __u32 below)
{
	*state = *state * 1664525u + 1013904223u;
	return (*state >> 8) % below;
}

/* Writes to some pages, in patterns from single ones to all. */
static void model_write(struct test_heap *heap, __u32 first, bool *dirty, __u32 *state)
{
	__u32 one_in = 1u << model_random(state, 8);
	__u32 run = 1u << model_random(state, 8);

	for (__u32 n = 0; n < MODEL_PAGES; n += run) {
		if (model_random(state, one_in))
			continue;
		for (__u32 i = n; i < n + run && i < MODEL_PAGES; i++) {
			heap_mem(heap, first + i)[model_random(state, 8192)] = 1;
			dirty[i] = true;
		}
	}
}

TEST_F(track, finds_what_a_model_says_by_bits_and_ranges_of_any_length)
{
	static struct gcheap_range ranges[MODEL_PAGES];
	struct gcheap_alloc_large large;
	bool dirty[MODEL_PAGES] = { 0 };
	__u32 state = 1, round, n;

	test_cmd_alloc_large(self->type, MODEL_PAGES * 64, &large);
	ASSERT_OK(track_arm(&self->heap));
	for (round = 0; round < MODEL_ROUNDS; round++) {
		__u32 first = model_random(&state, MODEL_PAGES);
		__u32 count = 1 + model_random(&state, MODEL_PAGES - first);
		bool peek = !model_random(&state, 4);
		struct gcheap_track track = {
			.flags = GCHEAP_TRACK_BITMAP | (peek ? GCHEAP_TRACK_PEEK : 0),
			.page = large.out_page + first,
			.npages = count,
			.ranges = (uintptr_t)ranges,
			.range_count = model_random(&state, 2) * (1u << model_random(&state, 9)),
		};
		__u32 pages = 0, end, i;
		bool found[MODEL_PAGES] = { 0 };

		/* Now and then a page goes from the page tables, and its neighbours do not. */
		if (!model_random(&state, 4))
			madvise(heap_mem(&self->heap, large.out_page +
					 model_random(&state, MODEL_PAGES)), 4096, MADV_DONTNEED);
		model_write(&self->heap, large.out_page, dirty, &state);
		ASSERT_OK(cmd_track(self->heap.fd, &track));
		end = track.out_end - large.out_page;
		ASSERT_LE(first, end);
		ASSERT_LE(end, first + count);
		if (!track.range_count)
			ASSERT_EQ(first + count, end);
		for (i = 0; i < track.out_range_count; i++) {
			for (n = 0; n < ranges[i].npages; n++)
				found[ranges[i].page - large.out_page + n] = true;
		}
		for (n = first; n < end; n++) {
			ASSERT_EQ(dirty[n], dirty_bit(&self->heap, large.out_page + n));
			if (track.range_count)
				ASSERT_EQ(dirty[n], found[n]);
			pages += dirty[n];
			if (!peek)
				dirty[n] = false;
		}
		ASSERT_EQ(pages, track.out_dirty_pages);
		if (end < first + count)
			ASSERT_EQ(track.range_count, track.out_range_count);
	}
}

TEST_HARNESS_MAIN
