// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Write tracking in page tables: what was written, and making it clean again.
 *
 * A page (4 KiB) was written when one of these says so:
 *
 *	its page table entry	the processor sets its dirty bit at the first write
 *	PG_dirty		the memory manager moves the dirty bit here when it
 *				takes the entry away (munmap(), MADV_DONTNEED), and
 *				sets it for those who write to a page of which they
 *				hold a reference: direct I/O, process_vm_writev(),
 *				debuggers
 *	its reference count	somebody holds a reference besides this heap and
 *				its mappings, and may write to it without a trace
 *				until the reference is dropped
 *
 * Making a page clean clears the first two. A page that others hold a reference to
 * is left with PG_dirty: it is found dirty as long as they hold it, and once more.
 *
 * The processors may have the entry in their TLBs, still with the dirty bit, and
 * then set none at the next write. So all TLBs are flushed before the request
 * returns (tlb.c): what is written through an old translation is written before that,
 * to a page that is reported.
 *
 * A page (2 MiB) of a heap of GCHEAP_SETUP_HUGE_PAGES has one dirty bit while it is
 * mapped as one, and one PG_dirty and one reference count always. It is dirty as a
 * whole, and made clean only by requests whose range has all of it. Not all kernels
 * keep the dirty bit when such a mapping is taken away. So the page is taken for dirty
 * while it is not mapped, and gets PG_dirty when it is mapped again (huge.c). While it
 * is mapped by entries of 4 KiB, each of these has a dirty bit besides.
 */
#include <linux/mm.h>
#include <linux/page_ref.h>

#include "compat.h"
#include "entries.h"
#include "extents.h"
#include "interrupted.h"
#include "module.h"
#include "track_harvest.h"
#include "track_plain.h"

/* What one page table maps: the page tables' lock is held for no longer. */
#define WINDOW_PAGES	ENTRIES_PER_TABLE

/* Returned by those who look at a page when it is dirty and there is no room. */
#define HARVEST_FULL	1

/* ---- one page --------------------------------------------------------------- */

/* Whether others than the heap and its mappings hold references. */
static bool page_is_held(struct page *page)
{
	struct page *head = compound_head(page);
	int maps = compat_page_maps(head);
	int refs = page_ref_count(head);

	/* Another process that reads the heap may map or unmap the page just now. */
	return refs > 1 + min(maps, compat_page_maps(head));
}

/* Whether a page was written beside its page table entry; made clean if it can be. */
static bool page_harvest(struct harvest *harvest, struct page *page, bool held)
{
	if (!harvest->rearm)
		return held || PageDirty(page);
	if (held) {
		SetPageDirty(page);
		if (harvest->protect)
			track_bits_add(&harvest->answer, harvest->at >> HEAP_PAGE_SHIFT);
		return true;
	}
	if (!PageDirty(page) || !TestClearPageDirty(page))
		return false;
	harvest->flush = true;
	return true;
}

/* Reports the heap page that a page is part of. */
static int harvest_report(struct harvest *harvest, unsigned long index)
{
	u32 page = index >> HEAP_PAGE_SHIFT;

	if (page == harvest->reported)
		return 0;
	if (!track_answer_has_room(&harvest->answer, page))
		return HARVEST_FULL;
	track_answer_add(&harvest->answer, page);
	harvest->reported = page;
	return 0;
}

/* A page that is not mapped, or is part of a dirty huge page. */
static int harvest_unmapped(struct harvest *harvest)
{
	struct page *page = NULL;
	bool held = false;
	bool dirty = harvest->all_dirty;

	if (!dirty) {
		page = pages_find(harvest->heap, harvest->at);
		if (page && !PageCompound(page)) {
			held = page_is_held(page);
			dirty = held || PageDirty(page);
		}
	}
	if (dirty) {
		if (harvest_report(harvest, harvest->at))
			return HARVEST_FULL;
		if (page)
			page_harvest(harvest, page, held);
	}
	harvest->at++;
	return 0;
}

/* Whether nothing but page table entries can tell of writes to a mapped page. */
static bool page_is_plain(struct page *page)
{
	/* Two references are ours and that of the mapping; parts of huge pages have none. */
	return page_ref_count(page) == 2 &&
	       !(compat_page_flags(page) & (BIT(PG_dirty) | BIT(PG_head)));
}

static int harvest_mapped(struct harvest *harvest, pte_t *ptep, pte_t pte, struct page *page)
{
	bool held;

	for (;;) {
		pte_t new = pte_mkclean(pte);

		if ((pte_dirty(pte) || harvest->all_dirty) &&
		    harvest_report(harvest, harvest->at))
			return HARVEST_FULL;
		if (harvest->protect)
			new = pte_wrprotect(new);
		if (!harvest->rearm || pte_same(pte, new))
			break;
		harvest->flush = true;
		if (entries_replace(ptep, &pte, new))
			break;
	}

	/*
	 * After the entry, so that who takes a reference through it either sees that
	 * it cannot be written any more, or is seen here. Of a huge page, all that is
	 * to know has been found out before.
	 */
	if (!page_is_plain(page) && !PageCompound(page)) {
		held = page_is_held(page);
		if (held || PageDirty(page)) {
			if (harvest_report(harvest, harvest->at))
				return HARVEST_FULL;
			page_harvest(harvest, page, held);
		}
	}
	harvest->at++;
	return 0;
}

/*
 * Looks at the entries of all pages in the window, which are neighbours in the one page
 * table; @first, which is locked, is that of the page @harvest->at.
 */
static int harvest_entries(struct harvest *harvest, pte_t *first)
{
	const unsigned long index = harvest->at;
	bool quick = !harvest->all_dirty && !harvest->protect;
	struct page *const *row = NULL;
	unsigned long row_first = index, row_end = index;

	while (harvest->at < harvest->window_end) {
		pte_t *ptep = first + (harvest->at - index);
		struct page *page;
		pte_t pte;

		if (quick) {
			if (harvest->at >= row_end) {
				row_first = harvest->at;
				row_end = harvest->window_end;
				row = pages_row(harvest->heap, row_first, &row_end);
			}
			harvest_plain(harvest, ptep, row + (harvest->at - row_first),
				      row_end - harvest->at);
			if (harvest->at == harvest->window_end)
				break;
			ptep = first + (harvest->at - index);
		}
		pte = ptep_get(ptep);
		/* Empty, or poisoned, for instance: as if it were not mapped. */
		if (!pte_present(pte) || pte_special(pte)) {
			if (harvest_unmapped(harvest))
				return HARVEST_FULL;
			continue;
		}
		page = pfn_to_page(pte_pfn(pte));
		if (harvest_mapped(harvest, ptep, pte, page))
			return HARVEST_FULL;
	}
	return 0;
}

/* Looks at the window, if it has a page table. Where it has none nothing is done. */
static int harvest_table(struct harvest *harvest)
{
	spinlock_t *lock;	/* the page table's */
	pte_t *first;
	int ret;

	first = entries_lock(harvest->mm, harvest->base + (harvest->at << PAGE_SHIFT), &lock);
	if (!first)
		return 0;
	ret = harvest_entries(harvest, first);
	entries_unlock(lock);
	return ret;
}

/* ---- huge pages ------------------------------------------------------------- */

/*
 * Looks at the entry of the 2 MiB that begin at page @first. Return: whether there is
 * no page table: nothing is mapped, or a huge page is. A page fault that has found the
 * huge page may map it at any time, so that where there is no page table none may be
 * looked for either. @dirty is set if the page was written, or may have been: nobody
 * knows where nothing is mapped.
 */
static bool pmd_harvest(struct harvest *harvest, unsigned long first, bool rearm, bool *dirty)
{
	unsigned long addr = harvest->base + (first << PAGE_SHIFT);
	pmd_t *pmd = harvest->base ? entries_pmd(harvest->mm, addr) : NULL;
	bool is_table = false;
	spinlock_t *ptl;	/* the page table's */
	pmd_t old;

	*dirty = true;
	if (!pmd)
		return true;
	ptl = pmd_lock(harvest->mm, pmd);
	old = READ_ONCE(*pmd);
	if (!pmd_none(old)) {
		is_table = !pmd_leaf(old);
		*dirty = !is_table && pmd_dirty(old);
		if (*dirty && rearm) {
			harvest->flush = true;
			entries_pmd_clean(pmd);
		}
	}
	spin_unlock(ptl);
	return !is_table;
}

/*
 * Before pages @first ... @end - 1 are looked at, all of one 2 MiB page: finds out
 * whether that is dirty as a whole, and once in a request, makes it clean. Return:
 * whether it has no page table.
 */
static bool huge_harvest(struct harvest *harvest, unsigned long first)
{
	unsigned long block = first / WINDOW_PAGES;
	unsigned long start = block * WINDOW_PAGES;
	struct page *page = pages_find(harvest->heap, first);
	bool rearm, held, dirty;
	u32 start_page, end_page;
	bool no_table;

	harvest->all_dirty = false;
	if (!page || !PageCompound(page))
		return false;
	page = compound_head(page);
	if (harvest->huge == page && harvest->huge_block == block) {
		harvest->all_dirty = harvest->huge_dirty;
		return pmd_harvest(harvest, start, false, &dirty);
	}

	/* All of it that exists. */
	start_page = start >> HEAP_PAGE_SHIFT;
	end_page = min_t(u32, (start + WINDOW_PAGES) >> HEAP_PAGE_SHIFT,
			 harvest->heap->core.heap_pages);
	rearm = harvest->rearm && start_page >= harvest->page && end_page <= harvest->end;

	no_table = pmd_harvest(harvest, start, rearm, &dirty);
	held = page_is_held(page);
	if (rearm)
		dirty |= page_harvest(harvest, page, held);
	else
		dirty |= held || PageDirty(page);
	harvest->huge = page;
	harvest->huge_block = block;
	harvest->huge_dirty = dirty;
	harvest->huge_rearmed = rearm;
	harvest->all_dirty = dirty;
	return no_table;
}

/*
 * The rest of the window, in a huge page without a page table: of which all is known.
 */
static int harvest_whole(struct harvest *harvest)
{
	if (!harvest->all_dirty)
		harvest->at = harvest->window_end;
	while (harvest->at < harvest->window_end) {
		if (harvest_report(harvest, harvest->at))
			return HARVEST_FULL;
		harvest->at = min(round_down(harvest->at, BIT(HEAP_PAGE_SHIFT)) +
				  BIT(HEAP_PAGE_SHIFT), harvest->window_end);
	}
	return 0;
}

/* ---- ranges ----------------------------------------------------------------- */

/*
 * Pages @harvest->at ... @end - 1, of which one page table at most has entries. Return:
 * whether there was no room for one.
 */
static bool harvest_window(struct harvest *harvest, unsigned long end)
{
	unsigned int flags;
	int ret = 0;

	harvest->window_end = end;
	/* No page fault maps anything meanwhile, but for those in fault_huge.c. */
	flags = fault_lock(harvest->heap);
	if (huge_harvest(harvest, harvest->at))
		ret = harvest_whole(harvest);
	else if (harvest->base)
		ret = harvest_table(harvest);
	/* What is left has no page table. */
	while (ret != HARVEST_FULL && harvest->at < end)
		ret = harvest_unmapped(harvest);
	fault_unlock(harvest->heap, flags);
	return ret == HARVEST_FULL;
}

/*
 * The request ends before its time. Where that is inside of a huge page that has
 * been made clean, the rest of it has not been reported.
 */
static void harvest_stop(struct harvest *harvest)
{
	harvest->stopped = true;
	if (harvest->huge_rearmed && harvest->huge_dirty &&
	    harvest->at / WINDOW_PAGES == harvest->huge_block)
		SetPageDirty(harvest->huge);
}

/**
 * harvest_run() - look at heap pages that follow each other
 * @harvest: the request
 * @page: first heap page; after those of the last call
 * @end: its end
 *
 * Context: may sleep; @harvest->heap->lock is held.
 * Return: whether to go on. If not, all before @harvest->at is done: the page there
 * could not be reported any more, or a fatal signal has arrived.
 */
bool harvest_run(struct harvest *harvest, u32 page, u32 end)
{
	unsigned long last = (unsigned long)end << HEAP_PAGE_SHIFT;

	harvest->at = (unsigned long)page << HEAP_PAGE_SHIFT;
	while (harvest->at < last) {
		if (harvest_window(harvest, min(round_down(harvest->at, WINDOW_PAGES) +
						WINDOW_PAGES, last)) ||
		    interrupted()) {
			harvest_stop(harvest);
			return false;
		}
	}
	return true;
}
