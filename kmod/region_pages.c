// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Physical pages of the mapped tables: PAGES, SPANS, TYPES, MARKS, CTRL, DIRTY and
 * BITMAP.
 *
 * A table is long and sparse, so it is made of single pages in an xarray. A page
 * is made when kmod/core asks for it first and stays until the heap is gone.
 * That is why page faults find it without a lock, and why the tables may be
 * mapped without reference counts (region_tables.c).
 *
 * Pages of TYPES, MARKS and BITMAP may go earlier. A page fault there holds
 * gcheap_heap.fault_lock from its look for the page until it has mapped it, so that none
 * maps a page that was taken out of the xarray before; such a page is freed when nothing
 * maps it any more.
 */
#include "frames.h"
#include "module.h"
#include "page_pool.h"
#include "region_pages.h"
#include "totals.h"

/**
 * region_pages_init() - prepare a heap to have tables
 * @heap: the heap, new
 */
void region_pages_init(struct gcheap_heap *heap)
{
	unsigned int region;

	for (region = 0; region < GCHEAP_REGIONS; region++)
		xa_init_flags(&heap->tables[region], XA_FLAGS_ACCOUNT);
}

/**
 * region_pages_find() - look a page of a table up
 * @heap: the heap
 * @region: which table
 * @index: number of the page in it
 *
 * Context: any; no lock is needed.
 * Return: the page, or NULL when it has not been made.
 */
struct page *region_pages_find(struct gcheap_heap *heap, enum gcheap_region region,
			       unsigned long index)
{
	return xa_load(&heap->tables[region], index);
}

/**
 * region_pages_make() - make a page of a table
 * @heap: the heap
 * @region: which table
 * @index: number of a page that has not been made
 *
 * Context: may sleep; @heap->lock is held.
 * Return: the page, zeroed, or NULL when out of memory.
 */
struct page *region_pages_make(struct gcheap_heap *heap, enum gcheap_region region,
			       unsigned long index)
{
	struct mutex *slack;	/* near the limit of a cgroup */
	struct page *page;
	unsigned int flags;
	bool unmap;

	lockdep_assert_held(&heap->lock);
	/* Memory of the pool is better used here. */
	if (!frames_charge(heap, 1) && (!pool_trim(heap, 1) || !frames_charge(heap, 1)))
		return NULL;
	if (frames_slack_begin(1, &slack) &&
	    (!pool_trim(heap, ULONG_MAX) || frames_slack_begin(1, &slack)))
		goto uncharge;
	page = alloc_page(GCHEAP_GFP | __GFP_ZERO);
	frames_slack_end(slack);
	if (!page)
		goto uncharge;
	if (xa_reserve(&heap->tables[region], index, GCHEAP_GFP))
		goto free_page;

	/*
	 * Where the process has read this hole of MARKS, it has the zero page
	 * there. Readers map that under the same lock and only while the xarray
	 * has no page, so none does after the page is stored.
	 */
	flags = fault_lock(heap);
	xa_store(&heap->tables[region], index, page, 0);	/* it was reserved */
	unmap = region == GCHEAP_REGION_MARKS && heap->holes_mapped;
	fault_unlock(heap, flags);
	if (unmap)
		unmap_mapping_pages(heap->inode->i_mapping, region_pgoff(region) + index, 1, false);

	heap->core.counters.table_bytes += PAGE_SIZE;
	atomic64_add(PAGE_SIZE, &gcheap_table_bytes);
	return page;

free_page:
	__free_page(page);
uncharge:
	frames_uncharge(heap, 1);
	return NULL;
}

/**
 * region_pages_may_go() - whether pages of a table may be freed before the heap is gone
 * @region: which table
 */
bool region_pages_may_go(enum gcheap_region region)
{
	return region == GCHEAP_REGION_TYPES || region == GCHEAP_REGION_MARKS ||
	       region == GCHEAP_REGION_BITMAP;
}

/**
 * region_pages_remove() - free pages of a table, and unmap them
 * @heap: the heap
 * @region: one of those that region_pages_may_go() tells
 * @index: number of the first page
 * @count: how many; those that have not been made are passed over
 *
 * Context: may sleep; @heap->lock is held. Memory may be being reclaimed.
 */
void region_pages_remove(struct gcheap_heap *heap, enum gcheap_region region, unsigned long index,
			 unsigned long count)
{
	unsigned long pages = 0;
	struct page *page, *next;
	LIST_HEAD(removed);
	unsigned int flags;
	unsigned long i;

	lockdep_assert_held(&heap->lock);
	WARN_ON_ONCE(!region_pages_may_go(region));
	flags = fault_lock(heap);
	xa_for_each_range(&heap->tables[region], i, page, index, index + count - 1) {
		xa_erase(&heap->tables[region], i);
		list_add(&page->lru, &removed);
		pages++;
	}
	fault_unlock(heap, flags);
	if (!pages)
		return;
	unmap_mapping_pages(heap->inode->i_mapping, region_pgoff(region) + index, count, false);
	list_for_each_entry_safe(page, next, &removed, lru) {
		list_del(&page->lru);
		__free_page(page);
	}
	frames_uncharge(heap, pages);
	heap->core.counters.table_bytes -= pages << PAGE_SHIFT;
	atomic64_sub((s64)(pages << PAGE_SHIFT), &gcheap_table_bytes);
}

/**
 * region_pages_destroy() - free all tables
 * @heap: the heap; none of its tables is mapped, or can be any more
 *
 * Context: may sleep.
 */
void region_pages_destroy(struct gcheap_heap *heap)
{
	unsigned int region;
	unsigned long index;
	struct page *page;

	for (region = 0; region < GCHEAP_REGIONS; region++) {
		xa_for_each(&heap->tables[region], index, page) {
			__free_page(page);
			frames_uncharge(heap, 1);
			atomic64_sub(PAGE_SIZE, &gcheap_table_bytes);
			cond_resched();
		}
		xa_destroy(&heap->tables[region]);
	}
}
