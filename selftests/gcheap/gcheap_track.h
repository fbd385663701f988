/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the tests of write tracking share. Include it after gcheap_selftest.h;
 * gcheap_track.c has the functions.
 */
#ifndef GCHEAP_TRACK_H
#define GCHEAP_TRACK_H

#define TRACK_TEST_PAGES	8192u	/* heap pages of the smallest reserve */

/**
 * struct report - what TRACK found
 * @ranges: as it wrote them
 * @count: how many
 * @pages: how many pages it said there were
 * @end: @out_end
 * @dirty: by page number
 */
struct report {
	struct gcheap_range ranges[TRACK_TEST_PAGES];
	__u32 count;
	__u32 pages;
	__u32 end;
	bool dirty[TRACK_TEST_PAGES];
};

/* A heap of SMALL_RESERVE with these flags of SETUP. */
int tracked_open(struct test_heap *heap, __u32 flags);
/* Whether the module offers this to heaps. */
bool tracking_works(void);

/* Of part of the heap; @npages 0: to its end. Checks that the answer is in order. */
int report_part(const struct test_heap *heap, __u32 page, __u32 npages, __u32 flags,
		struct report *report);
int report_take(const struct test_heap *heap, struct report *report);
int report_peek(const struct test_heap *heap, struct report *report);
/* Take one to arm. */
int track_arm(const struct test_heap *heap);

/* Whether exactly one page is in a fresh report of the whole heap: 0, or what is wrong. */
const char *only_dirty(const struct test_heap *heap, __u32 page);
const char *none_dirty(const struct test_heap *heap);

/* The bit of a page in DIRTY. */
static inline bool dirty_bit(const struct test_heap *heap, __u32 page)
{
	const volatile __u64 *bits = heap->region[GCHEAP_REGION_DIRTY];

	return bits[page / 64] >> page % 64 & 1;
}

#endif /* GCHEAP_TRACK_H */
