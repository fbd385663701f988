// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * 2 MiB pages of object memory, in heaps of GCHEAP_SETUP_HUGE_PAGES.
 *
 * An extent (extents.c) that is asked for its first page gets one 2 MiB page for all of
 * it: a block. If memory is fragmented or a limit is near, and there is no such page, the
 * extent gets pages of 4 KiB as in any other heap, until it is empty again. So does the
 * first extent, whose first page is never there, and an extent with a part of a lazy
 * object.
 *
 * Each page of an extent with a block is one of these:
 *
 *	used	somebody has asked for it
 *	free	accessible all the same, as the block is mapped as one. It is zero, or
 *		stale: it was used before and has old data
 *	gone	taken away: each access fails. It is stale or zero, too
 *
 * pages_release() makes used pages free and stale: that gives nothing back, but keeps the
 * mapping. pages_depopulate() makes them gone. A block of which a page is gone is mapped
 * by entries of 4 KiB, and stays so until all of it is unmapped, because no function that
 * is exported to modules takes an empty page table away. When no page is used any more
 * the block ends: it goes to the system or, as a whole, into the heap's pool.
 *
 * The block is a compound page that is never split: a reference to a part of it is a
 * reference to the whole. So a block to which others hold a reference goes to the system,
 * and stays theirs until they let go.
 *
 * When memory of a part has failed (poison.c), the block is mapped as if that part were
 * gone, and is lost when it ends.
 *
 * Locking is that of extents.c. A page fault that has found a page holds the page's lock
 * until the page is mapped, see fault_huge.c; huge_settle() waits for it.
 */
#include <linux/highmem.h>
#include <linux/huge_mm.h>
#include <linux/pagemap.h>
#include <linux/slab.h>

#include "extents.h"
#include "frames.h"
#include "huge.h"
#include "interrupted.h"
#include "module.h"
#include "on_touch.h"
#include "page_pool.h"
#include "vma.h"

/* A page's place in its file that is not in the file: see gcheap_inode_new(). */
#define BEYOND_FILE	((pgoff_t)(MAX_LFS_FILESIZE >> PAGE_SHIFT) + 1)

/**
 * struct huge_block - an extent's 2 MiB page
 * @head: the first of its pages
 * @gone: how many are gone: those that the extent's array of pages has not
 * @mapped: it was mapped by the owner since the extent has it
 * @bad: memory of a part has failed: it is not mapped as one any more
 * @used: one bit a page
 * @stale: one bit a page
 * @undo: one bit a page: was gone before the request that is running
 */
struct huge_block {
	struct page *head;
	unsigned int gone;
	bool mapped;
	bool bad;
	DECLARE_BITMAP(used, EXTENT_PAGES);
	DECLARE_BITMAP(stale, EXTENT_PAGES);
	DECLARE_BITMAP(undo, EXTENT_PAGES);
};

/**
 * huge_works() - whether this kernel on this machine maps 2 MiB pages
 */
bool huge_works(void)
{
#ifdef CONFIG_TRANSPARENT_HUGEPAGE
	return has_transparent_hugepage() && HPAGE_PMD_SHIFT == HUGE_SHIFT &&
	       EXTENT_PAGES == HPAGE_PMD_NR;
#else
	return false;
#endif
}

/* Whether it may be mapped as one. */
static bool block_is_whole(const struct huge_block *block)
{
	return !block->gone && !block->bad;
}

/* Makes a page accessible, or takes it away from page faults. */
static void block_open(struct gcheap_heap *heap, struct extent *extent, unsigned int i)
{
	struct huge_block *block = extent->block;

	if (extent->pages[i])
		return;
	WRITE_ONCE(extent->pages[i], block->head + i);
	block->gone--;
	if (block_is_whole(block))
		atomic_long_inc(&heap->whole_blocks);
}

static void block_close(struct gcheap_heap *heap, struct extent *extent, unsigned int i)
{
	struct huge_block *block = extent->block;

	if (!extent->pages[i])
		return;
	WRITE_ONCE(extent->pages[i], NULL);
	if (block_is_whole(block))
		atomic_long_dec(&heap->whole_blocks);
	block->gone++;
}

/* ---- making ----------------------------------------------------------------- */

/* Whether an extent may get a block: no page fault makes a page there meanwhile. */
static bool extent_may_be_huge(struct gcheap_heap *heap, unsigned long index)
{
	struct extent *extent = extent_find(heap, index);
	unsigned long first = round_down(index, EXTENT_PAGES);

	return first && (!extent || !extent->present) &&
	       !on_touch_overlaps(heap, first, first + EXTENT_PAGES);
}

static struct huge_block *block_make(struct gcheap_heap *heap, struct huge_fill *fill)
{
	struct huge_block *block = kzalloc(sizeof(*block), GCHEAP_GFP);

	if (!block)
		return NULL;
	block->head = pool_take_block(heap);
	if (block->head) {
		bitmap_fill(block->stale, EXTENT_PAGES);
		fill->recycled++;
		return block;
	}
	block->head = frames_alloc_huge(heap);
	if (block->head)
		return block;
	kfree(block);
	return NULL;
}

/* Gives an extent that has no page a block. Return: the extent, or NULL: there is none. */
static struct extent *extent_make_huge(struct gcheap_heap *heap, unsigned long index,
				       struct huge_fill *fill)
{
	struct extent *extent = extent_make(heap, index);
	struct huge_block *block = extent ? block_make(heap, fill) : NULL;
	unsigned int flags, i;

	if (!block)
		return NULL;
	flags = fault_lock(heap);
	for (i = 0; i < EXTENT_PAGES; i++)
		WRITE_ONCE(extent->pages[i], block->head + i);
	extent->block = block;
	atomic_long_inc(&heap->whole_blocks);
	pages_account(heap, EXTENT_PAGES);
	fault_unlock(heap, flags);
	return extent;
}

/* Pages @first ... @end - 1 of an extent with a block are used from now on. */
static void extent_use(struct gcheap_heap *heap, struct extent *extent, unsigned long first,
		       unsigned long end, struct huge_fill *fill)
{
	struct huge_block *block = extent->block;
	unsigned int flags = fault_lock(heap);
	unsigned int made = 0;

	for (; first < end; first++) {
		unsigned int i = first % EXTENT_PAGES;

		if (__test_and_set_bit(i, block->used))
			continue;
		__set_bit(i, extent->made);
		made++;
		if (test_bit(i, block->stale))
			fill->old_data = true;
		if (!extent->pages[i])
			__set_bit(i, block->undo);
		block_open(heap, extent, i);
	}
	extent->present += made;
	fault_unlock(heap, flags);
	if (made)
		fill->any = true;
}

/**
 * huge_populate() - back a part of the heap by 2 MiB pages, as far as can be
 * @heap: the heap, of GCHEAP_SETUP_HUGE_PAGES
 * @first: number of the first page in the HEAP region
 * @end: the page after the last
 * @fill: what it did
 *
 * What it makes has its bit in the extents' @made. They are not mapped.
 *
 * Context: may sleep; @heap->lock is held.
 * Return: 0; -EINTR a fatal signal.
 */
int huge_populate(struct gcheap_heap *heap, unsigned long first, unsigned long end,
		  struct huge_fill *fill)
{
	unsigned long at, next;

	lockdep_assert_held(&heap->lock);
	for (at = first; at < end; at = next) {
		struct extent *extent = extent_find(heap, at);

		next = min(round_down(at, EXTENT_PAGES) + EXTENT_PAGES, end);
		if (!extent || !extent->block) {
			if (fill->no_more || !extent_may_be_huge(heap, at))
				continue;
			extent = extent_make_huge(heap, at, fill);
			/* The next would be looked for as long, and in vain, too. */
			fill->no_more = !extent;
		}
		if (extent)
			extent_use(heap, extent, at, next, fill);
		if (interrupted())
			return -EINTR;
	}
	return 0;
}

/**
 * huge_forget_made() - the request that has made pages of an extent is done
 * @extent: the extent
 */
void huge_forget_made(struct extent *extent)
{
	if (extent->block)
		bitmap_zero(extent->block->undo, EXTENT_PAGES);
}

/**
 * huge_on_touch_begin() - pages of a lazy object are there already if a block has them
 * @heap: the heap, of GCHEAP_SETUP_HUGE_PAGES
 * @first: number of the object's first page in the HEAP region
 * @end: the page after the last
 *
 * They are made zero. Blocks that come later have no such pages.
 *
 * Context: may sleep; @heap->lock is held.
 */
void huge_on_touch_begin(struct gcheap_heap *heap, unsigned long first, unsigned long end)
{
	unsigned long at, next;

	for (at = first; at < end; at = next) {
		struct extent *extent = extent_find(heap, at);
		struct huge_fill fill = { };

		next = min(round_down(at, EXTENT_PAGES) + EXTENT_PAGES, end);
		if (!extent || !extent->block)
			continue;
		extent_use(heap, extent, at, next, &fill);
		for (; at < next; at++) {
			struct page *page = extent->pages[at % EXTENT_PAGES];

			if (__test_and_clear_bit(at % EXTENT_PAGES, extent->block->stale) &&
			    !PageHWPoison(page))
				clear_highpage(page);
			cond_resched();
		}
		bitmap_zero(extent->made, EXTENT_PAGES);
		huge_forget_made(extent);
	}
}

/* ---- mapping ---------------------------------------------------------------- */

/**
 * huge_map() - have an extent's block mapped for the calling owner
 * @heap: the heap
 * @extent: the extent
 *
 * By a page fault, as that is the only way. It is one that reads, which leaves the page
 * clean. When a part of the block is gone, the program's page faults map the rest.
 *
 * Context: may sleep; @heap->lock is held.
 * Return: 0; -ENOMEM no memory for page tables; -EINTR a fatal signal.
 */
int huge_map(struct gcheap_heap *heap, struct extent *extent)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	int error = 0;

	lockdep_assert_held(&heap->lock);
	if (extent->block->mapped || !block_is_whole(extent->block))
		return 0;
	if (mmap_read_lock_killable(mm))
		return -EINTR;
	vma = vma_of_owner(heap);
	if (vma && vma->vm_flags & VM_READ) {
		WRITE_ONCE(heap->populating, current);
		error = fixup_user_fault(mm, vma->vm_start + (extent->number << HUGE_SHIFT), 0,
					 NULL);
		WRITE_ONCE(heap->populating, NULL);
	}
	mmap_read_unlock(mm);
	return error;
}

/**
 * huge_fault_begin() - a page of a block is about to be mapped
 * @heap: the heap
 * @index: number of the page in the HEAP region
 * @owner: whether by the owner
 * @table: a page table is there
 *
 * What was mapped before as one may have been written, and not all kernels keep the dirty
 * bit of a 2 MiB entry that they take away. So write tracking takes the block for written.
 *
 * The memory manager maps no more of a block than it was asked for when the block's place
 * in its file is beyond the file's end. Otherwise, some kernels map all pages of a block by
 * entries of their own, of which none was mapped.
 *
 * Context: @heap->fault_lock is held, and the block's lock; the page is there.
 * Return: whether the block may be mapped as one.
 */
bool huge_fault_begin(struct gcheap_heap *heap, unsigned long index, bool owner, bool table)
{
	struct huge_block *block = extent_find(heap, index)->block;
	bool whole;

	lockdep_assert_held(&heap->fault_lock);
	if (owner && !table) {
		if (block->mapped)
			SetPageDirty(block->head);
		block->mapped = true;
	}
	whole = block_is_whole(block) && !frames_huge_failed(block->head);
	page_folio(block->head)->index = whole ? 0 : BEYOND_FILE;
	return whole;
}

/* ---- taking away ------------------------------------------------------------ */

/**
 * huge_extent_remove() - take pages of an extent with a block out of use
 * @heap: the heap
 * @extent: the extent
 * @first: number of the first page in the HEAP region
 * @end: the page after the last, of the same extent
 * @removal: how, and what has become of them
 *
 * Context: @heap->lock and @heap->fault_lock are held.
 * Return: how many have to be unmapped.
 */
unsigned int huge_extent_remove(struct gcheap_heap *heap, struct extent *extent,
				unsigned long first, unsigned long end,
				struct removal *removal)
{
	struct huge_block *block = extent->block;
	unsigned int closed = 0;

	for (; first < end; first++) {
		unsigned int i = first % EXTENT_PAGES;

		if (removal->only_made && !test_bit(i, extent->made))
			continue;
		if (__test_and_clear_bit(i, block->used)) {
			extent->present--;
			if (!removal->only_made)
				__set_bit(i, block->stale);
		}
		if (removal->only_made ? !test_bit(i, block->undo) : removal->release)
			continue;
		closed += !!extent->pages[i];
		block_close(heap, extent, i);
	}
	if (!extent->present) {
		extent_drop(heap, extent, removal);
		return 0;
	}
	if (closed)
		removal->head = block->head;
	return closed;
}

static void page_settle(struct page *page)
{
	lock_page(page);
	unlock_page(page);
}

/**
 * huge_poison() - look for parts of an extent's block whose memory has failed
 * @heap: the heap
 * @extent: the extent
 *
 * If there are, the block is unmapped, so that it is mapped by the part again.
 *
 * Context: may sleep; @heap->lock is held.
 * Return: how many pages have failed.
 */
unsigned int huge_poison(struct gcheap_heap *heap, struct extent *extent)
{
	struct huge_block *block = extent->block;
	unsigned long first = extent->number << EXTENT_SHIFT;
	unsigned int bad = 0;
	unsigned int flags, i;

	lockdep_assert_held(&heap->lock);
	for (i = 0; i < EXTENT_PAGES; i++)
		bad += PageHWPoison(block->head + i);
	if (!bad)
		return 0;
	flags = fault_lock(heap);
	if (block_is_whole(block))
		atomic_long_dec(&heap->whole_blocks);
	block->bad = true;
	fault_unlock(heap, flags);
	page_settle(block->head);
	vma_unmap_pages(heap, first, first + EXTENT_PAGES);
	return bad;
}

/* A page of an extent with a block, accessible or not. */
struct page *huge_page_of(struct extent *extent, unsigned int i)
{
	return extent->block->head + i;
}

/* huge_settle() of one page, which is still there. */
void huge_settle_page(struct gcheap_heap *heap, struct page *page)
{
	if (huge_allowed(heap))
		page_settle(page);
}

/**
 * huge_settle() - wait for page faults that have found a page before it was taken away
 * @heap: the heap
 * @removal: the pages
 *
 * They have mapped it then, or never will.
 *
 * Context: may sleep; @heap->fault_lock is not held.
 */
void huge_settle(struct gcheap_heap *heap, struct removal *removal)
{
	struct page *page;

	if (!huge_allowed(heap))
		return;
	if (removal->head)
		page_settle(removal->head);
	list_for_each_entry(page, &removal->pages, lru)
		page_settle(page);
}

/**
 * huge_extent_end() - take an extent's block from all mappings, and from the extent
 * @heap: the heap
 * @extent: the extent, which no page fault finds any more
 * @blocks: list that receives it
 *
 * Context: may sleep; @heap->fault_lock is not held.
 */
void huge_extent_end(struct gcheap_heap *heap, struct extent *extent,
		     struct list_head *blocks)
{
	struct huge_block *block = extent->block;
	unsigned long first = extent->number << EXTENT_SHIFT;

	page_settle(block->head);
	vma_unmap_pages(heap, first, first + EXTENT_PAGES);
	if (block_is_whole(block))
		atomic_long_dec(&heap->whole_blocks);
	pages_account(heap, -(long)EXTENT_PAGES);
	list_add_tail(&block->head->lru, blocks);
	extent->block = NULL;
	kfree(block);
}
