// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Reports of TRACK. */
#define _GNU_SOURCE
#include "gcheap_selftest.h"
#include "gcheap_track.h"

static int setup_flags(struct test_heap *heap, __u32 flags, __u64 *features)
{
	struct gcheap_setup setup = {
		.size = sizeof(setup),
		.flags = flags,
		.layout = GCHEAP_LAYOUT_SPAN,
		.reserve_bytes = SMALL_RESERVE,
	};
	int ret;

	memset(heap, 0, sizeof(*heap));
	heap->fd = device_open();
	if (heap->fd < 0)
		return heap->fd;
	ret = cmd_send(heap->fd, GCHEAP_OP_SETUP, &setup);
	if (ret)
		return ret;
	memcpy(heap->region_bytes, setup.out_region_bytes, sizeof(heap->region_bytes));
	heap->layout = GCHEAP_LAYOUT_SPAN;
	heap->flags = flags;
	heap->reserve = SMALL_RESERVE;
	*features = setup.out_features;
	return 0;
}

int tracked_open(struct test_heap *heap, __u32 flags)
{
	__u64 features;
	int ret = setup_flags(heap, flags, &features);

	if (!ret)
		ret = heap_map(heap);
	if (ret)
		heap_close(heap);
	return ret;
}

bool tracking_works(void)
{
	struct test_heap heap;
	__u64 features = 0;

	if (setup_flags(&heap, 0, &features))
		return false;
	heap_close(&heap);
	return features & GCHEAP_FEATURE_TRACK;
}

/* Whether an answer is as documented: 0 or -EPROTO. */
static int report_check(struct report *report, __u32 page, __u32 limit)
{
	__u32 end = 0, total = 0;

	for (__u32 i = 0; i < report->count; i++) {
		const struct gcheap_range *range = &report->ranges[i];

		/* In order, apart, inside, not empty. */
		if (!range->npages || range->page < page || (i && range->page <= end))
			return -EPROTO;
		end = range->page + range->npages;
		if (end > limit || end > report->end)
			return -EPROTO;
		total += range->npages;
		for (__u32 p = range->page; p < end; p++)
			report->dirty[p] = true;
	}
	return total == report->pages ? 0 : -EPROTO;
}

int report_part(const struct test_heap *heap, __u32 page, __u32 npages, __u32 flags,
		struct report *report)
{
	struct gcheap_track track = {
		.flags = flags,
		.page = page,
		.npages = npages,
		.ranges = (uintptr_t)report->ranges,
		.range_count = TRACK_TEST_PAGES,
	};
	__u32 limit = npages ? page + npages : heap_ctrl(heap)->heap_pages;
	int ret;

	memset(report, 0, sizeof(*report));
	ret = cmd_track(heap->fd, &track);
	if (ret)
		return ret;
	report->count = track.out_range_count;
	report->pages = track.out_dirty_pages;
	report->end = track.out_end;
	if (report->end != limit)
		return -EPROTO;
	return report_check(report, page, limit);
}

int report_take(const struct test_heap *heap, struct report *report)
{
	return report_part(heap, 0, 0, 0, report);
}

int report_peek(const struct test_heap *heap, struct report *report)
{
	return report_part(heap, 0, 0, GCHEAP_TRACK_PEEK, report);
}

int track_arm(const struct test_heap *heap)
{
	static struct report report;

	return report_take(heap, &report);
}

const char *only_dirty(const struct test_heap *heap, __u32 page)
{
	static struct report report;

	if (report_take(heap, &report))
		return "TRACK fails";
	if (!report.dirty[page])
		return "a write is lost";
	return report.pages == 1 ? NULL : "a page is reported that was not written";
}

const char *none_dirty(const struct test_heap *heap)
{
	static struct report report;

	if (report_take(heap, &report))
		return "TRACK fails";
	return report.pages ? "a page is reported that was not written" : NULL;
}
