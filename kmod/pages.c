// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * This file gives parts of the heap memory, and takes it from them.
 *
 * kmod/core says which parts. Pages for one of its requests come from page_batch.c; pages
 * that it gives up go into the pool (page_pool.c), or to the system (frames.c). extents.c
 * knows where the pages are, and has the rules of locking.
 *
 * A request that fails gives back all pages that it made. A bit in the page's extent
 * marks these; it is clear for all pages between requests.
 */
#include <linux/slab.h>

#include "extents.h"
#include "frames.h"
#include "huge.h"
#include "interrupted.h"
#include "memlock.h"
#include "module.h"
#include "page_batch.h"
#include "page_pool.h"
#include "pages.h"
#include "unmap.h"
#include "vma.h"
#include "zero_ahead.h"

/* Frees extents that no page fault finds any more. @blocks receives their 2 MiB pages. */
static void extents_free(struct gcheap_heap *heap, struct extent *extent,
			 struct list_head *blocks)
{
	while (extent) {
		struct extent *next = extent->next_empty;

		if (extent->block)
			huge_extent_end(heap, extent, blocks);
		extent_free(extent);
		extent = next;
	}
}

/* ---- taking pages away ------------------------------------------------------ */

/*
 * Takes the pages @first ... @end - 1 of one extent away from page faults. Return: how many
 * have to be unmapped.
 */
static unsigned int extent_remove(struct gcheap_heap *heap, unsigned long first,
				  unsigned long end, struct removal *removal)
{
	struct extent *extent = extent_find(heap, first);
	unsigned int i = first % EXTENT_PAGES;
	unsigned int last = i + (end - first) - 1;
	unsigned int count = 0;

	lockdep_assert_held(&heap->lock);
	lockdep_assert_held(&heap->fault_lock);
	if (!extent)
		return 0;
	if (extent->block)
		return huge_extent_remove(heap, extent, first, end, removal);
	for (; i <= last; i++) {
		struct page *page = extent->pages[i];

		if (!page || (removal->only_made && !test_bit(i, extent->made)))
			continue;
		extent->pages[i] = NULL;
		list_add_tail(&page->lru, &removal->pages);
		count++;
	}
	extent->present -= count;
	removal->count += count;
	if (!extent->present)
		extent_drop(heap, extent, removal);
	return count;
}

/* Takes pages away, and unmaps them. They are in @pages then, or of 2 MiB, in @blocks. */
static void pages_remove(struct gcheap_heap *heap, unsigned long first, unsigned long end,
			 bool only_made, struct list_head *pages, struct list_head *blocks)
{
	unsigned long at, next;

	for (at = first; at < end; at = next) {
		struct removal removal = { .only_made = only_made };
		unsigned int flags, count;

		INIT_LIST_HEAD(&removal.pages);
		next = min(round_down(at, EXTENT_PAGES) + EXTENT_PAGES, end);
		flags = fault_lock(heap);
		count = extent_remove(heap, at, next, &removal);
		pages_account(heap, -(long)removal.count);
		fault_unlock(heap, flags);
		extents_free(heap, removal.empty, blocks);
		huge_settle(heap, &removal);
		if (count)
			vma_unmap_pages(heap, at, next);
		list_splice_tail(&removal.pages, pages);
		cond_resched();
	}
}

/* ---- making pages ----------------------------------------------------------- */

/*
 * How many of the pages @first ... @end - 1 are not there. Of those in 2 MiB pages all
 * are: huge_populate() has seen to that.
 */
static unsigned long pages_missing(struct gcheap_heap *heap, unsigned long first,
				   unsigned long end)
{
	unsigned long missing = 0;
	unsigned long at, next;

	for (at = first; at < end; at = next) {
		struct extent *extent = extent_find(heap, at);

		next = min(round_down(at, EXTENT_PAGES) + EXTENT_PAGES, end);
		if (!extent) {
			missing += next - at;
			continue;
		}
		if (extent->block)
			continue;
		for (; at < next; at++)
			missing += !READ_ONCE(extent->pages[at % EXTENT_PAGES]);
	}
	return missing;
}

/* Makes those of the pages @first ... @end - 1, all of one extent, that are not there. */
static int extent_fill(struct gcheap_heap *heap, struct page_batch *batch, unsigned long first,
		       unsigned long end)
{
	unsigned long missing = pages_missing(heap, first, end);
	struct extent *extent;
	unsigned int flags;
	unsigned int made = 0;
	int error;

	if (!missing)
		return 0;
	extent = extent_make(heap, first);
	if (!extent)
		return -ENOMEM;
	error = batch_ensure(batch, missing);
	if (error)
		return error;

	flags = fault_lock(heap);
	for (; first < end; first++) {
		unsigned int i = first % EXTENT_PAGES;

		if (extent->pages[i])
			continue;
		WRITE_ONCE(extent->pages[i], batch_next(batch));
		__set_bit(i, extent->made);
		made++;
	}
	extent->present += made;
	pages_account(heap, made);
	fault_unlock(heap, flags);
	return 0;
}

/* Maps what the running request has made of one extent, in runs as long as they can be. */
static int extent_map(struct gcheap_heap *heap, unsigned long index)
{
	struct extent *extent = extent_find(heap, index);
	unsigned int start, end;
	int error;

	if (!extent)
		return 0;
	/* A mapping that has 2 MiB pages gets others by page faults only: fault_huge.c. */
	if (huge_allowed(heap))
		return extent->block ? huge_map(heap, extent) : 0;
	for_each_set_bitrange(start, end, extent->made, EXTENT_PAGES) {
		error = vma_map_pages(heap, round_down(index, EXTENT_PAGES) + start,
				      extent->pages + start, end - start);
		if (error)
			return error;
	}
	return 0;
}

static void extent_forget_made(struct gcheap_heap *heap, unsigned long index)
{
	struct extent *extent = extent_find(heap, index);

	if (!extent)
		return;
	bitmap_zero(extent->made, EXTENT_PAGES);
	huge_forget_made(extent);
}

/**
 * pages_populate() - back a part of the heap with memory, and map it
 * @heap: the heap
 * @first: number of the first page in the HEAP region
 * @count: how many
 * @needzero: set to true when one of the new pages may have old data
 *
 * When the owner has not mapped the region, page faults will map the pages later.
 *
 * Context: may sleep; @heap->lock is held.
 * Return: 0; -ENOMEM; -EINTR a fatal signal. After an error no page is there that
 * was not before.
 */
int pages_populate(struct gcheap_heap *heap, unsigned long first, unsigned long count,
		   bool *needzero)
{
	unsigned long end = first + count;
	struct huge_fill huge = { };
	struct page_batch batch;
	unsigned long at, next;
	unsigned long missing;
	LIST_HEAD(blocks);
	LIST_HEAD(taken);
	int error = 0;

	lockdep_assert_held(&heap->lock);
	if (!READ_ONCE(heap->base) && !memlock_may(heap, pages_missing(heap, first, end)))
		return -ENOMEM;
	if (huge_allowed(heap))
		error = huge_populate(heap, first, end, &huge);
	missing = error ? 0 : pages_missing(heap, first, end);
	if (!missing && !huge.any)
		return error;
	batch_begin(&batch, heap, missing);
	for (at = first; at < end && !error; at = next) {
		next = min(round_down(at, EXTENT_PAGES) + EXTENT_PAGES, end);
		error = extent_fill(heap, &batch, at, next);
		if (!error)
			error = extent_map(heap, at);
		if (!error && interrupted())
			error = -EINTR;
	}
	if (error)
		pages_remove(heap, first, end, true, &taken, &blocks);
	for (at = round_down(first, EXTENT_PAGES); at < end; at += EXTENT_PAGES)
		extent_forget_made(heap, at);
	if (error) {
		batch_undo(&batch, &taken);
		pool_keep_blocks(heap, &blocks, huge.recycled);
		return error;
	}
	batch_end(&batch);
	if (batch.old_data || huge.old_data)
		*needzero = true;
	return 0;
}

/* ---- giving back ------------------------------------------------------------ */

/**
 * pages_depopulate() - end the backing of a part of the heap
 * @heap: the heap
 * @first: number of the first page in the HEAP region
 * @count: how many
 *
 * The memory goes into the heap's pool, as far as there is room.
 *
 * Context: may sleep; @heap->lock is held.
 */
void pages_depopulate(struct gcheap_heap *heap, unsigned long first, unsigned long count)
{
	LIST_HEAD(blocks);
	LIST_HEAD(pages);

	pages_remove(heap, first, first + count, false, &pages, &blocks);
	pool_keep_blocks(heap, &blocks, ULONG_MAX);
	if (pool_keep(heap, &pages, ULONG_MAX))
		zero_ahead_kick(heap);
}

#define PARTS	32u	/* that are taken away under one fault_lock */

/*
 * Takes pages away, and unmaps them soon. They are in @pages then; 2 MiB pages, which
 * are unmapped already, in @blocks.
 */
static void parts_remove(struct unmapping *work, struct unmap_part *parts, unsigned int count,
			 struct list_head *pages, struct list_head *blocks)
{
	struct removal removal = { .release = true };
	unsigned int flags, i;

	INIT_LIST_HEAD(&removal.pages);
	flags = fault_lock(work->heap);
	for (i = 0; i < count; i++) {
		struct unmap_part *part = &parts[i];
		unsigned long middle = min(round_up(part->first + 1, EXTENT_PAGES), part->end);

		part->count = extent_remove(work->heap, part->first, middle, &removal);
		if (middle < part->end)
			part->count += extent_remove(work->heap, middle, part->end, &removal);
	}
	pages_account(work->heap, -(long)removal.count);
	fault_unlock(work->heap, flags);
	extents_free(work->heap, removal.empty, blocks);
	huge_settle(work->heap, &removal);
	unmap_parts(work, parts, count);
	list_splice_tail(&removal.pages, pages);
	cond_resched();
}

/**
 * pages_release() - give the memory of parts of the heap to the system
 * @heap: the heap
 * @ranges: which, in heap pages
 * @count: how many
 *
 * Each part that is unmapped costs a walk of the page tables, so that ranges that
 * follow each other are one.
 *
 * Context: may sleep; @heap->lock is held. Allocates no more than a page table.
 * Return: how many pages were given.
 */
unsigned long pages_release(struct gcheap_heap *heap, const struct gcheap_range *ranges,
			    u32 count)
{
	struct unmap_part parts[PARTS];
	struct unmapping work;
	unsigned int filled = 0;
	LIST_HEAD(blocks);
	LIST_HEAD(pages);
	u32 i;

	unmap_begin(&work, heap, count);
	for (i = 0; i < count; i++) {
		unsigned long at = (unsigned long)ranges[i].page << HEAP_PAGE_SHIFT;
		unsigned long end = at + ((unsigned long)ranges[i].npages << HEAP_PAGE_SHIFT);

		while (at < end) {
			struct unmap_part *last = filled ? &parts[filled - 1] : NULL;
			unsigned long next = min(at + EXTENT_PAGES, end);

			if (last && at == last->end && next - last->first <= EXTENT_PAGES) {
				last->end = next;
			} else if (last && next == last->first && last->end - at <= EXTENT_PAGES) {
				last->first = at;
			} else {
				if (filled == PARTS) {
					parts_remove(&work, parts, filled, &pages, &blocks);
					filled = 0;
				}
				parts[filled++] = (struct unmap_part){ .first = at, .end = next };
			}
			at = next;
		}
	}
	parts_remove(&work, parts, filled, &pages, &blocks);
	unmap_end(&work);
	return frames_release(heap, &pages) + frames_release_blocks(heap, &blocks);
}

/* ---- life ------------------------------------------------------------------- */

/**
 * pages_init() - prepare a heap to have object memory
 * @heap: the heap, new
 */
void pages_init(struct gcheap_heap *heap)
{
	xa_init_flags(&heap->extents, XA_FLAGS_ACCOUNT);
	pool_init(heap);
	zero_ahead_init(heap);
}

/**
 * pages_counters() - bring the counters that are kept here up to date
 * @heap: the heap
 *
 * Context: @heap->lock is held.
 */
void pages_counters(struct gcheap_heap *heap)
{
	struct gcheap_counters *counters = &heap->core.counters;

	counters->resident_bytes = (u64)atomic_long_read(&heap->resident_pages) << PAGE_SHIFT;
	counters->huge_bytes = (u64)atomic_long_read(&heap->whole_blocks) << HUGE_SHIFT;
	counters->stock_bytes = (u64)pool_pages(heap) << PAGE_SHIFT;
	counters->zeroed_bytes = (u64)atomic_long_read(&heap->zeroed_pages) << PAGE_SHIFT;
	counters->released_bytes = (u64)atomic_long_read(&heap->released_pages) << PAGE_SHIFT;
}

/**
 * pages_destroy() - free all object memory
 * @heap: the heap; nobody can map its pages any more
 *
 * Context: may sleep.
 */
void pages_destroy(struct gcheap_heap *heap)
{
	struct extent *extent;
	unsigned long number;
	unsigned int i;

	xa_for_each(&heap->extents, number, extent) {
		struct removal removal = { };
		LIST_HEAD(blocks);

		INIT_LIST_HEAD(&removal.pages);
		for (i = 0; !extent->block && i < EXTENT_PAGES; i++) {
			if (extent->pages[i])
				list_add_tail(&extent->pages[i]->lru, &removal.pages);
		}
		if (extent->block) {
			huge_extent_end(heap, extent, &blocks);
		} else {
			pages_account(heap, -(long)extent->present);
			/* Others who look may have been about to map one when all was unmapped. */
			huge_settle(heap, &removal);
			if (huge_allowed(heap))
				vma_unmap_pages(heap, number << EXTENT_SHIFT,
						(number + 1) << EXTENT_SHIFT);
		}
		frames_release(heap, &removal.pages);
		frames_release_blocks(heap, &blocks);
		extent_free(extent);
		cond_resched();
	}
	xa_destroy(&heap->extents);
	zero_ahead_end(heap);
	pool_destroy(heap);
}
