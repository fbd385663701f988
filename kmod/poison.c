// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Pages whose memory has failed.
 *
 * The memory manager marks such a page (PG_hwpoison) and may send a signal, but of a
 * page that is in none of its lists it does no more: it stays mapped, and nobody tells
 * its owner. So whoever is about to use a page looks at the mark:
 *
 *	page faults	answer VM_FAULT_HWPOISON: the program gets SIGBUS with
 *			BUS_MCEERR_AR, a system call EFAULT. The page stays where it is
 *			until its span has ended
 *	requests	look, before all else, whether the machine has had a failure since
 *			the last one. If so, they look at all pages of the heap, once, unmap
 *			those that have failed, and take them out of the pool. They tell
 *			kmod/core to look at what it hands out from then on
 *	giving back	leaves pages of 4 KiB to the page allocator, which keeps those that
 *			have failed. It would not keep a part of a 2 MiB page, so that such
 *			a page is never given back
 *
 * A failed part of a 2 MiB page is not mapped; entries of 4 KiB map the other parts.
 *
 * Memory may fail right after one of these has looked at it, as it may at any time.
 */
#include <linux/mm.h>
#include <linux/page-flags.h>

#include "compat.h"
#include "extents.h"
#include "frames.h"
#include "huge.h"
#include "module.h"
#include "page_pool.h"
#include "poison.h"
#include "vma.h"

/* How many of an extent's pages have failed; they are mapped nowhere when this returns. */
static unsigned int extent_look(struct gcheap_heap *heap, struct extent *extent)
{
	unsigned long first = extent->number << EXTENT_SHIFT;
	unsigned int bad = 0;
	unsigned int i;

	if (extent->block)
		return huge_poison(heap, extent);
	for (i = 0; i < EXTENT_PAGES; i++) {
		struct page *page = READ_ONCE(extent->pages[i]);

		if (!page || !PageHWPoison(page))
			continue;
		/* A page fault that has found it before has mapped it. */
		huge_settle_page(heap, page);
		vma_unmap_pages(heap, first + i, first + i + 1);
		bad++;
	}
	return bad;
}

static void poison_look_at_all(struct gcheap_heap *heap)
{
	struct extent *extent;
	unsigned long number;
	unsigned long bad = 0;

	bad = pool_drop_failed(heap);
	xa_for_each(&heap->extents, number, extent) {
		bad += extent_look(heap, extent);
		cond_resched();
	}
	if (bad)
		heap->core.has_broken = true;
}

/**
 * poison_begin() - a heap is new: what has failed before is none of its pages
 * @heap: the heap
 */
void poison_begin(struct gcheap_heap *heap)
{
	heap->failures_seen = compat_memory_failures();
}

/**
 * poison_is_due() - whether poison_look() would look at all of a heap
 * @heap: the heap
 *
 * Context: @heap->lock is held.
 */
bool poison_is_due(const struct gcheap_heap *heap)
{
	return unlikely(compat_memory_failures() != heap->failures_seen);
}

/**
 * poison_look() - look for pages that have failed, if any of the machine has
 * @heap: the heap
 *
 * Context: may sleep; @heap->lock is held.
 */
void poison_look(struct gcheap_heap *heap)
{
	unsigned long failures = compat_memory_failures();

	if (likely(failures == heap->failures_seen))
		return;
	heap->failures_seen = failures;
	poison_look_at_all(heap);
}

/**
 * poison_in_pages() - whether the memory of pages of object memory has failed
 * @heap: the heap
 * @first: number of the first page in the HEAP region
 * @end: the page after the last
 *
 * Of a 2 MiB page those count, too, that are not accessible.
 *
 * Context: may sleep; @heap->lock is held.
 */
bool poison_in_pages(struct gcheap_heap *heap, unsigned long first, unsigned long end)
{
	unsigned long at;

	for (at = first; at < end; at++) {
		struct extent *extent = extent_find(heap, at);
		struct page *found;

		if (!extent) {
			/* A lazy object may have many. */
			at = round_up(at + 1, EXTENT_PAGES) - 1;
			cond_resched();
			continue;
		}
		found = extent->block ? huge_page_of(extent, at % EXTENT_PAGES) :
				      extent->pages[at % EXTENT_PAGES];
		if (found && PageHWPoison(found))
			return true;
		if (at % EXTENT_PAGES == 0)
			cond_resched();
	}
	return false;
}
