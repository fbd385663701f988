// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Which page of object memory is where.
 *
 * Pages are found in extents: arrays of 512 pages, which is what one page table maps, in
 * an xarray by extent number. A page is there when kmod/core has asked for it or, in a
 * lazy object, when the program has touched it. No other page is, and an access to one
 * gets SIGBUS.
 *
 * In a heap of GCHEAP_SETUP_HUGE_PAGES the pages of an extent may be the parts of one
 * 2 MiB page: see huge.c.
 *
 * Locking. Pages and extents come and go under gcheap_heap.fault_lock, so that page
 * faults see each page either before it is taken away, and then the page is
 * unmapped after the fault has mapped it, or not at all. Only a request, under
 * gcheap_heap.lock, takes pages away or frees extents: a request may look at both
 * without fault_lock, and sees at worst not what a fault adds.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "extents.h"
#include "module.h"
#include "totals.h"

/**
 * extent_free() - free an extent
 * @extent: the extent, which nobody finds any more, and has no pages
 */
void extent_free(struct extent *extent)
{
	kfree(extent->pages);
	kfree(extent);
}

/**
 * extent_make() - make an extent, if it is not there
 * @heap: the heap
 * @index: number of one of its pages in the HEAP region
 *
 * Context: may sleep; needs no lock.
 * Return: the extent, or NULL when out of memory.
 */
struct extent *extent_make(struct gcheap_heap *heap, unsigned long index)
{
	struct extent *extent = extent_find(heap, index);
	struct extent *other;

	if (extent)
		return extent;
	extent = kzalloc(sizeof(*extent), GCHEAP_GFP);
	if (!extent)
		return NULL;
	extent->pages = kcalloc(EXTENT_PAGES, sizeof(*extent->pages), GCHEAP_GFP);
	if (!extent->pages)
		goto free_extent;
	extent->number = index >> EXTENT_SHIFT;
	other = xa_cmpxchg(&heap->extents, index >> EXTENT_SHIFT, NULL, extent, GCHEAP_GFP);
	if (!other)
		return extent;
	/* Either it failed, or somebody else was faster. */
	extent_free(extent);
	return xa_is_err(other) ? NULL : other;

free_extent:
	extent_free(extent);
	return NULL;
}

/**
 * extent_drop() - have no page fault find an extent any more
 * @heap: the heap
 * @extent: the extent, which has no page that anybody has asked for
 * @removal: is to free it
 *
 * Context: @heap->lock and @heap->fault_lock are held.
 */
void extent_drop(struct gcheap_heap *heap, struct extent *extent, struct removal *removal)
{
	xa_erase(&heap->extents, extent->number);
	extent->next_empty = removal->empty;
	removal->empty = extent;
}

/**
 * pages_account() - count pages that extents have got, or have no more
 * @heap: the heap
 * @count: how many; negative: they have them no more
 *
 * Context: any.
 */
void pages_account(struct gcheap_heap *heap, long count)
{
	atomic_long_add(count, &heap->resident_pages);
	atomic64_add(count * (long)PAGE_SIZE, &gcheap_object_bytes);
}

/**
 * pages_find() - look a page of object memory up
 * @heap: the heap
 * @index: number of the page in the HEAP region
 *
 * Context: @heap->lock or @heap->fault_lock is held, so that the page stays.
 * Return: the page, or NULL when this part of the heap has no memory.
 */
struct page *pages_find(struct gcheap_heap *heap, unsigned long index)
{
	struct extent *extent = extent_find(heap, index);

	/* Pairs with WRITE_ONCE() in extent_fill() and fault_make(). */
	return extent ? READ_ONCE(extent->pages[index % EXTENT_PAGES]) : NULL;
}

/**
 * pages_row() - find pages of object memory that follow each other
 * @heap: the heap
 * @index: number of the first in the HEAP region
 * @end: number of one up to which to look, in the same 2 MiB; receives that of the
 *	first from @index on that is not there
 *
 * Context: as pages_find().
 * Return: the pages @index ... @end - 1.
 */
struct page *const *pages_row(struct gcheap_heap *heap, unsigned long index,
			      unsigned long *end)
{
	struct extent *extent = extent_find(heap, index);
	struct page *const *pages;
	unsigned long count = *end - index, i;

	if (!extent) {
		*end = index;
		return NULL;
	}
	pages = extent->pages + index % EXTENT_PAGES;
	if (extent->present == EXTENT_PAGES)
		return pages;
	for (i = 0; i < count && pages[i]; i++)
		;
	*end = index + i;
	return pages;
}
