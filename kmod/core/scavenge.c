// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Scavenging.
 */
#include "scavenge.h"

#include "arena.h"
#include "page_backed.h"
#include "page_cache.h"
#include "port.h"

/* Ranges of at most @most pages together, which are without memory from now on. */
static u32 ranges_collect(struct heap *heap, u32 most)
{
	u32 count = 0;

	while (count < SCAVENGE_RANGES && most) {
		struct gcheap_range *range = &heap->scavenge_ranges[count];

		range->page = page_backed_release(&heap->page_heap, most, &range->npages);
		if (!range->page)
			break;
		most -= range->npages;
		count++;
	}
	return count;
}

/* Tables go with the memory that they speak of, and come with it. */
static u64 tables_release(struct heap *heap, u32 count)
{
	u64 bytes = 0;
	u32 i;

	for (i = 0; i < count; i++)
		bytes += arena_tables_release(heap, heap->scavenge_ranges[i].page,
					      heap->scavenge_ranges[i].npages);
	return bytes;
}

int scavenge(struct heap *heap, u64 max_bytes, u64 *bytes, u64 *tables)
{
	*tables = 0;
	*bytes = port_trim(heap, max_bytes);
	page_caches_empty(&heap->page_heap);
	while (*bytes < max_bytes) {
		/* Rounded up, without overflow: the last page may be a part more. */
		u64 most = ((max_bytes - *bytes - 1) >> GCHEAP_PAGE_SHIFT) + 1;
		u32 count = ranges_collect(heap, (u32)min_t(u64, most, SCAVENGE_PAGES));

		if (!count)
			break;
		*bytes += port_release(heap, heap->scavenge_ranges, count);
		*tables += tables_release(heap, count);
		if (port_interrupted())
			return -EINTR;
	}
	/* When all is given: those of pages, too, that had lost it before, or never got any. */
	if (!heap->page_heap.backed_pages)
		*tables += arena_tables_release(heap, 0, heap->heap_pages);
	return 0;
}

u64 heap_scavenge_some(struct heap *heap, u64 max_bytes)
{
	u64 bytes, tables;

	scavenge(heap, max_bytes, &bytes, &tables);
	return bytes + tables;
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
