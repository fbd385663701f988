// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Unmapping parts of object memory that lie scattered, with one flush of the TLBs.
 *
 * The functions that are exported to modules unmap one range, and flush the TLBs for it,
 * on each processor where the program runs. For many small ranges that is most of the
 * work. So this file first moves their page table entries, one by one, to where nothing
 * else is, next to each other: the parking. Then it unmaps that in one piece.
 *
 * To move an entry is what mremap() does: the page stays mapped once, by the same
 * address space, and neither its reference, nor its map count, nor the process's RSS
 * changes. The end of the mapping, where all that is done, is left to the memory manager.
 * Both page tables are locked meanwhile, and no entry is ever out of them: another
 * thread's MADV_DONTNEED may empty either of them, and have it freed, at any other time.
 * An entry that was moved may still be in TLBs under its old address. That is flushed
 * together with the rest, as all of the address space is: see tlb.c. The heap
 * keeps its own references to the pages until then, so that none has another owner while
 * a processor can reach it by an old translation. Where it is not proven that the TLBs
 * are flushed so (track_selftest.c), nothing is moved.
 *
 * The parking is the last 4 MiB of the reserve, while the heap has not grown to there:
 * no object is in it, and no page fault finds a page for it. Whoever reads or writes there
 * by a wild pointer in that short time reaches what is being freed, of the same heap.
 *
 * It unmaps ranges one by one where entries cannot be moved:
 *
 *	- for a thread of another process, or a thread that reclaims memory and may hold
 *	  mmap_lock for writing: it is only tried
 *	- when other processes may have mapped the heap, whose page tables are not looked at
 *	- when somebody wants to hear of each range before it is unmapped (MMU notifiers:
 *	  virtual machines, devices that use the process's page tables)
 *	- in a heap of huge pages, whose entries are on another level
 *	- when the heap has grown to all of its reserve
 *	- when the parking has lost its page table, by MADV_DONTNEED there
 */
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/mm.h>

#include "entries.h"
#include "module.h"
#include "tlb.h"
#include "track_selftest.h"
#include "unmap.h"
#include "vma.h"

#define PARKING_PAGES	(2 * ENTRIES_PER_TABLE)	/* 4 MiB */
#define SMALL_PAGES	16u	/* a part is worth moving up to this length: 64 KiB */
#define TOGETHER_PAGES	64u	/* that are moved with their page table locked once */
#define FEW_PARTS	8u	/* fewer are not worth flushing all of the TLBs for */

static unsigned long page_addr(const struct unmapping *work, unsigned long index)
{
	return work->base + (index << PAGE_SHIFT);
}

static int entry_is_free(pte_t *ptep, unsigned long addr, void *data)
{
	return pte_none(ptep_get(ptep)) ? 0 : -EBUSY;
}

/* Has the page table of the parking made. Return: whether entries can be moved there. */
static bool parking_open(struct unmapping *work, u32 parts)
{
	struct gcheap_heap *heap = work->heap;
	unsigned long end = heap->region_bytes[GCHEAP_REGION_HEAP] >> PAGE_SHIFT;
	unsigned long most = clamp_t(u64, (u64)parts * SMALL_PAGES, TOGETHER_PAGES,
				     PARKING_PAGES);
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
	number = work->parking / ENTRIES_PER_TABLE;
	if (xa_find(&heap->extents, &number, ULONG_MAX, XA_PRESENT))
		goto unlock;
	vma = vma_of_owner(heap);
	/* Whoever wants to hear of it first needs mmap_lock for writing. */
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
	tlb_change_begin(mm);
	return true;

unlock:
	mmap_read_unlock(mm);
	return false;
}

/* Unmaps what is there, and flushes the TLBs for that and for where it came from. */
static void parking_empty(struct unmapping *work)
{
	if (work->parked)
		vma_unmap_pages(work->heap, work->parking, work->parking + work->parked);
	work->parked = 0;
}

/*
 * Moves the entries of some parts from their page table, of whose first page @from is
 * the entry, to the free ones at @to. That the pages were used or written is of no
 * interest any more.
 */
static void entries_move(struct unmapping *work, const struct unmap_part *parts,
			 unsigned int count, pte_t *from, pte_t *to)
{
	unsigned long table = round_down(parts->first, ENTRIES_PER_TABLE);
	unsigned int i;

	for (i = 0; i < count; i++) {
		unsigned long at;

		for (at = parts[i].first; at < parts[i].end; at++) {
			pte_t *entry = from + (at - table);
			pte_t pte;

			/* Poisoned, for instance: unmapping would leave it, too. */
			if (!pte_present(ptep_get(entry)))
				continue;
			pte = ptep_get_and_clear(work->mm, page_addr(work, at), entry);
			set_pte_at(work->mm, page_addr(work, work->parking + work->parked), to,
				   pte_mkold(pte_mkclean(pte)));
			work->parked++;
			to++;
		}
	}
}

/*
 * Moves the entries of parts that are small and have one page table. Return: whether it
 * could be done.
 */
static bool parking_take(struct unmapping *work, const struct unmap_part *parts,
			 unsigned int count, unsigned int pages)
{
	unsigned long table = round_down(parts->first, ENTRIES_PER_TABLE);
	spinlock_t *from_lock, *to_lock;	/* the page tables' */
	pte_t *from, *to;

	/* They get entries of one page table. */
	if (work->parked % ENTRIES_PER_TABLE + pages > ENTRIES_PER_TABLE)
		work->parked = round_up(work->parked, ENTRIES_PER_TABLE);
	if (work->parked + pages > work->room)
		parking_empty(work);
	from = entries_lock(work->mm, page_addr(work, table), &from_lock);
	if (!from)
		return true;
	to = entries_lock_another(work->mm, page_addr(work, work->parking + work->parked),
				  from_lock, &to_lock);
	if (to) {
		entries_move(work, parts, count, from, to);
		entries_unlock_another(from_lock, to_lock);
	}
	entries_unlock(from_lock);
	return to;
}

/* How many of the parts can be taken together, and how many pages that is. */
static unsigned int parts_together(const struct unmap_part *parts, unsigned int count,
				   unsigned int *pages)
{
	unsigned long table = parts->first / ENTRIES_PER_TABLE;
	unsigned int i;

	*pages = 0;
	for (i = 0; i < count; i++) {
		const struct unmap_part *part = &parts[i];
		unsigned long length = part->end - part->first;

		if (length > SMALL_PAGES || *pages + length > TOGETHER_PAGES ||
		    part->first / ENTRIES_PER_TABLE != table ||
		    (part->end - 1) / ENTRIES_PER_TABLE != table)
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
	work->parks = parking_open(work, parts);
}

/**
 * unmap_parts() - unmap some
 * @work: see unmap_begin()
 * @parts: the parts, of whose pages no page fault finds one any more; those without
 *	any pages are left out
 * @count: how many
 *
 * Context: may sleep.
 */
void unmap_parts(struct unmapping *work, const struct unmap_part *parts, unsigned int count)
{
	unsigned int together, pages;

	for (; count; parts += together, count -= together) {
		together = work->parks ? parts_together(parts, count, &pages) : 0;
		if (together && parking_take(work, parts, together, pages))
			continue;
		together = 1;
		if (parts->count)
			vma_unmap_pages(work->heap, parts->first, parts->end);
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
	tlb_change_end(work->mm, work->heap->inode->i_mapping, work->parking, false);
	mmap_read_unlock(work->mm);
}
