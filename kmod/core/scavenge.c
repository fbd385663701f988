// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Scavenging.
 */
#include "heap.h"

/* Ranges of at most @most pages together, which are without memory from now on. */
static u32 ranges_collect(struct heap *heap, u32 most)
{
	u32 count = 0;

	while (count < SCAVENGE_RANGES && most) {
		struct gcheap_range *range = &heap->scavenge_ranges[count];

		range->page = page_heap_release(&heap->page_heap, most, &range->npages);
		if (!range->page)
			break;
		most -= range->npages;
		count++;
	}
	return count;
}

/* Return: 0, or -EINTR when a fatal signal ended it early. */
static int scavenge(struct heap *heap, u64 max_bytes, u64 *bytes)
{
	*bytes = port_trim(heap, max_bytes);
	page_heap_empty_caches(&heap->page_heap);
	while (*bytes < max_bytes) {
		/* Rounded up, without overflow: the last page may be a part more. */
		u64 most = ((max_bytes - *bytes - 1) >> GCHEAP_PAGE_SHIFT) + 1;
		u32 count = ranges_collect(heap, (u32)min_t(u64, most, SCAVENGE_PAGES));

		if (!count)
			break;
		*bytes += port_release(heap, heap->scavenge_ranges, count);
		if (port_interrupted())
			return -EINTR;
	}
	return 0;
}

u64 heap_scavenge_some(struct heap *heap, u64 max_bytes)
{
	u64 bytes;

	scavenge(heap, max_bytes, &bytes);
	return bytes;
}

u64 heap_scavenge_excess(const struct heap *heap)
{
	u64 free = ((u64)heap->page_heap.backed_pages << GCHEAP_PAGE_SHIFT) +
		   heap->counters.stock_bytes;
	u64 bytes = (heap->counters.in_use_pages << GCHEAP_PAGE_SHIFT) + free;
	u64 retained;

	if (!heap->goal_bytes ||
	    check_add_overflow(heap->goal_bytes, heap->goal_bytes / 10, &retained) ||
	    bytes <= retained)
		return 0;
	return min_t(u64, free, bytes - retained);
}

int heap_scavenge(struct heap *heap, struct gcheap_scavenge *request)
{
	int error;

	if (request->flags)
		return -EOPNOTSUPP;
	if (!request->max_bytes)
		return -EINVAL;
	error = scavenge(heap, request->max_bytes, &request->out_bytes);
	heap_update_counters(heap);
	request->out_free_bytes = heap->counters.free_bytes + heap->counters.stock_bytes;
	return error;
}
