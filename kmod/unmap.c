// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Unmapping parts of object memory that lie scattered, with one flush of the TLBs.
 *
 * What is exported to modules unmaps one range, and flushes the TLBs for it, on each
 * processor where the program runs. For many small ranges that is most of the work. So
 * their page table entries are first moved, one by one, to where nothing else is, next
 * to each other: the parking. Then that is unmapped in one piece.
 *
 * To move an entry is what mremap() does: the page stays mapped once, by the same
 * address space, and neither its reference, nor its map count, nor the process's RSS
 * changes. The end of the mapping, where all that is done, is left to the memory manager.
 * An entry that was moved may still be in TLBs under its old address. That is flushed
 * together with the rest, as all of the address space is: see track_harvest.c. The heap
 * keeps its own references to the pages until then, so that none has another owner while
 * a processor can reach it by an old translation. Where it is not proven that the TLBs
 * are flushed so (track_proof.c), nothing is moved.
 *
 * The parking is the last 4 MiB of the reserve, while the heap has not grown to there:
 * no object is in it, and no page fault finds a page for it. Who reads or writes there
 * by a wild pointer in that short time reaches what is being freed, of the same heap.
 *
 * Ranges are unmapped one by one where entries cannot be moved:
 *
 *	- for a thread of another process, or a thread that reclaims memory and may hold
 *	  mmap_lock for writing: it is only tried
 *	- when other processes may have mapped the heap, whose page tables are not looked at
 *	- when somebody wants to hear of each range before it is unmapped (MMU notifiers:
 *	  virtual machines, devices that use the process's page tables)
 *	- in a heap of huge pages, whose entries are on another level
 *	- when the heap has grown to all of its reserve
 */
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/mm.h>

#include "compat.h"
#include "track.h"

#define TABLE_PAGES	(PMD_SIZE >> PAGE_SHIFT)	/* what one page table maps */
#define PARKING_PAGES	(2 * TABLE_PAGES)		/* 4 MiB */
#define SMALL_PAGES	16u	/* a part is worth moving up to this length: 64 KiB */
#define FEW_PARTS	8u	/* fewer are not worth flushing all of the TLBs for */

/* What is taken from page tables before it is put into another. */
static_assert(UNMAP_ENTRIES >= 2 * SMALL_PAGES);

static void unmap_one(struct gcheap_heap *heap, unsigned long first, unsigned long end)
{
	unmap_mapping_pages(heap->inode->i_mapping, region_pgoff(GCHEAP_REGION_HEAP) + first,
			    end - first, false);
}

static unsigned long page_addr(const struct unmapping *work, unsigned long index)
{
	return work->base + (index << PAGE_SHIFT);
}

static int entry_is_free(pte_t *ptep, unsigned long addr, void *data)
{
	return pte_none(ptep_get(ptep)) ? 0 : -EBUSY;
}

/*
 * Called with a page table locked, for its first entry that is not empty: takes all
 * entries of the parts at hand, which are in this page table. That the pages were used
 * or written is of no interest any more.
 */
static int entries_take(pte_t *ptep, unsigned long addr, void *data)
{
	struct unmapping *work = data;
	unsigned long index = (addr - work->base) >> PAGE_SHIFT;
	unsigned int i;

	for (i = 0; i < work->extents_count; i++) {
		const struct extent *extent = &work->extents[i];
		unsigned long at;

		for (at = max(extent->first, index); at < extent->end; at++) {
			pte_t *entry = ptep + (at - index);

			/* Poisoned, for instance: unmapping would leave it, too. */
			if (!pte_present(ptep_get(entry)))
				continue;
			work->places[work->count] = at;
			work->entries[work->count++] =
				pte_mkold(pte_mkclean(ptep_get_and_clear(work->mm,
									 page_addr(work, at),
									 entry)));
		}
	}
	return 1;
}

static int entry_put(pte_t *ptep, unsigned long addr, void *data)
{
	struct unmapping *work = data;

	set_pte_at(work->mm, addr, ptep, work->entries[work->put++]);
	return 0;
}

/* Has the page table of the parking made. Return: whether entries can be moved there. */
static bool parking_open(struct unmapping *work, u32 parts)
{
	struct gcheap_heap *heap = work->heap;
	unsigned long end = heap->region_bytes[GCHEAP_REGION_HEAP] >> PAGE_SHIFT;
	unsigned long most = min_t(u64, (u64)parts * SMALL_PAGES, PARKING_PAGES);
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	unsigned long number;
	unsigned int flags;
	int error;

	if (parts < FEW_PARTS || mm != heap->owner || !track_works() || end < PARKING_PAGES ||
	    heap->core.flags & (GCHEAP_SETUP_SHARE_READ | GCHEAP_SETUP_HUGE_PAGES))
		return false;
	work->mm = mm;
	work->parking = end - PARKING_PAGES;
	if (work->parking < (unsigned long)heap->core.heap_pages << HEAP_PAGE_SHIFT ||
	    !mmap_read_trylock(mm))
		return false;
	/* A run that the heap is about to grow over has its memory already: heap_grow(). */
	number = work->parking / TABLE_PAGES;
	if (xa_find(&heap->leaves, &number, ULONG_MAX, XA_PRESENT))
		goto unlock;
	vma = mapping_owner_vma(heap);
	/* Who wants to hear of it first needs mmap_lock for writing. */
	if (!vma || mm_has_notifiers(mm))
		goto unlock;
	work->base = vma->vm_start;

	/* Memory is being released: it must not be reclaimed for that. */
	flags = memalloc_noreclaim_save();
	error = apply_to_page_range(mm, page_addr(work, work->parking), most << PAGE_SHIFT,
				    entry_is_free, NULL);
	memalloc_noreclaim_restore(flags);
	if (error)
		goto unlock;
	work->room = most;
	track_flush_begin(mm);
	return true;

unlock:
	mmap_read_unlock(mm);
	return false;
}

/*
 * Puts the first of the entries at hand that are nowhere back where it was taken from,
 * where a page table is as a rule, and has it unmapped there. An entry that is lost is a
 * page that is never freed, so this does not give up.
 */
static void entry_put_back(struct unmapping *work)
{
	unsigned long place = work->places[work->put];

	while (apply_to_page_range(work->mm, page_addr(work, place), PAGE_SIZE, entry_put, work))
		cond_resched();
	unmap_one(work->heap, place, place + 1);
}

/*
 * Puts what has been taken next to the entries that are there. Its page table was made,
 * but kernels that free empty ones may have taken it away, and there may be no memory
 * for another.
 */
static void parking_put(struct unmapping *work)
{
	if (!work->count)
		return;
	work->put = 0;
	apply_to_page_range(work->mm, page_addr(work, work->parking + work->parked),
			    (unsigned long)work->count << PAGE_SHIFT, entry_put, work);
	work->parked += work->put;
	while (work->put < work->count)
		entry_put_back(work);
	work->count = 0;
}

/* Unmaps what is there, and flushes the TLBs for that and for where it came from. */
static void parking_empty(struct unmapping *work)
{
	parking_put(work);
	if (work->parked)
		unmap_one(work->heap, work->parking, work->parking + work->parked);
	work->parked = 0;
}

/* Takes the entries of parts that are small and have one page table. */
static void parking_take(struct unmapping *work, const struct extent *extents,
			 unsigned int count, unsigned int pages)
{
	unsigned long table = round_down(extents->first, TABLE_PAGES);

	if (work->parked + work->count + pages > work->room)
		parking_empty(work);
	else if (work->count + pages > UNMAP_ENTRIES)
		parking_put(work);
	work->extents = extents;
	work->extents_count = count;
	apply_to_existing_page_range(work->mm, page_addr(work, table), PMD_SIZE,
				     entries_take, work);
}

/* How many of the parts can be taken together, and how many pages that is. */
static unsigned int extents_together(const struct extent *extents, unsigned int count,
				     unsigned int *pages)
{
	unsigned long table = extents->first / TABLE_PAGES;
	unsigned int i;

	*pages = 0;
	for (i = 0; i < count; i++) {
		const struct extent *extent = &extents[i];
		unsigned long length = extent->end - extent->first;

		if (length > SMALL_PAGES || *pages + length > UNMAP_ENTRIES ||
		    extent->first / TABLE_PAGES != table ||
		    (extent->end - 1) / TABLE_PAGES != table)
			break;
		*pages += length;
	}
	return i;
}

/**
 * unmap_begin() - begin to unmap parts of object memory
 * @work: state until unmap_end()
 * @heap: the heap
 * @parts: how many there will be; an estimate
 *
 * Context: may sleep; @heap->lock is held. mmap_lock may be, after this.
 */
void unmap_begin(struct unmapping *work, struct gcheap_heap *heap, u32 parts)
{
	work->heap = heap;
	work->parked = 0;
	work->count = 0;
	work->parks = parking_open(work, parts);
}

/**
 * unmap_extents() - unmap some
 * @work: see unmap_begin()
 * @extents: the parts, of whose pages no page fault finds one any more; those without
 *	any pages are left out
 * @count: how many
 *
 * Context: may sleep.
 */
void unmap_extents(struct unmapping *work, const struct extent *extents, unsigned int count)
{
	unsigned int together, pages;

	for (; count; extents += together, count -= together) {
		together = work->parks ? extents_together(extents, count, &pages) : 0;
		if (together) {
			parking_take(work, extents, together, pages);
			continue;
		}
		together = 1;
		if (extents->count)
			unmap_one(work->heap, extents->first, extents->end);
	}
}

/**
 * unmap_end() - finish it
 * @work: see unmap_begin()
 *
 * No processor reaches any of the pages by its address in the heap after this.
 *
 * Context: may sleep.
 */
void unmap_end(struct unmapping *work)
{
	if (!work->parks)
		return;
	parking_empty(work);
	track_flush_end(work->mm, work->heap->inode->i_mapping, work->parking, false);
	mmap_read_unlock(work->mm);
}
