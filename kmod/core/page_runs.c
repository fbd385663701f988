// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Runs of heap pages with memory and tables.
 */
#include "page_runs.h"

#include "arena.h"
#include "page_backed.h"
#include "page_heap.h"
#include "page_tree.h"
#include "port.h"
#include "scavenge.h"

static_assert(HEAP_GROW_PAGES % (1u << SPAN_TABLE_SHIFT) == 0);

/*
 * Backs pages that are not, by memory of other free pages when there is no more.
 * @old_data: set to true when it may be memory that this heap had before.
 */
static int pages_back(struct heap *heap, u32 page, u32 npages, bool *old_data)
{
	int error;

	do {
		error = port_populate(heap, page, npages, old_data);
	} while (error == -ENOMEM && heap_scavenge_some(heap, (u64)npages << GCHEAP_PAGE_SHIFT));
	return error;
}

/*
 * Ends the backing of pages that do not count as backed: heap_grow() has passed
 * them, but the request fails all the same.
 */
static void pages_unback(struct heap *heap, u32 page, u32 npages)
{
	struct page_heap *ph = &heap->page_heap;
	u32 end = page + npages;

	while (page < end) {
		u32 next = page;

		while (next < end && (next >= ph->end || !page_backed_count(ph, next, 1)))
			next++;
		if (next > page)
			port_depopulate(heap, page, next - page);
		page = next + 1;
	}
}

int page_run_tables_ensure(struct heap *heap, u32 page, u32 npages)
{
	int error;

	do {
		error = arena_tables_ensure(heap, page, npages);
	} while (error == -ENOMEM && heap_scavenge_some(heap, SCAVENGE_TABLE_BYTES));
	return error;
}

/*
 * Grows the heap so that it has a run of @npages, aligned to @align pages, of
 * which there is none now.
 * The run's memory comes before its tables, so that a request for more than there
 * is leaves no large tables behind; its pages still count as not backed.
 */
static int heap_grow(struct heap *heap, u32 npages, u32 align, bool *old_data)
{
	struct page_heap *ph = &heap->page_heap;
	u32 tail = page_tree_tail(ph);
	/* Page 0 exists, but is never free. */
	u32 first = round_up(ph->end ? ph->end - tail : 1, align);
	u64 grow = (u64)first + npages - ph->end;
	int error;

	grow = round_up(grow, (u64)HEAP_GROW_PAGES);
	if (grow > ph->reserve_pages - ph->end)
		return -ENOSPC;
	error = pages_back(heap, first, npages, old_data);
	if (error)
		return error;
	/* Tables end before the heap does while ALLOC_LARGE makes it grow. */
	error = page_run_tables_ensure(heap, heap->heap_pages,
				       ph->end + (u32)grow - heap->heap_pages);
	if (!error)
		error = page_heap_grow(ph, (u32)grow);
	if (error)
		goto drop_tables;
	heap->heap_pages = ph->end;
	return 0;

drop_tables:
	/* Those below are of ALLOC_LARGE. */
	arena_tables_drop(heap, ph->end, (u32)grow);
	pages_unback(heap, first, npages);
	return error;
}

int page_run_tables_again(struct heap *heap, u32 page, u32 npages)
{
	u32 end = min_t(u32, page + npages, heap->heap_pages);

	return page < end ? page_run_tables_ensure(heap, page, end - page) : 0;
}

int page_run_populate(struct heap *heap, u32 page, u32 npages, bool *needzero)
{
	u32 backed = page_backed_count(&heap->page_heap, page, npages);
	bool old_data = false;
	int error;

	/* Most runs are backed, and nobody has to be asked. */
	if (backed == npages)
		return 0;
	error = pages_back(heap, page, npages, &old_data);
	if (error)
		return error;
	error = page_run_tables_again(heap, page, npages);
	if (error) {
		pages_unback(heap, page, npages);
		return error;
	}
	page_backed_set(&heap->page_heap, page, npages, true);
	if (!backed)
		*needzero = false;
	if (old_data)
		*needzero = true;
	return 0;
}

/* A page that is never used again: as one in the quarantine, which nothing leads to. */
static void page_retire(struct heap *heap, u32 page)
{
	*heap_span(heap, page) = (struct gcheap_span) {
		.state = GCHEAP_SPAN_QUARANTINE,
		/* What has none is a chunk. */
		.slots = 1,
		.npages = 1,
		.generation = heap_generation16(heap),
	};
	heap->counters.quarantined_pages++;
}

bool page_run_is_sound(struct heap *heap, u32 page, u32 npages)
{
	struct page_heap *ph = &heap->page_heap;
	u32 end = page + npages;

	if (likely(!heap->has_broken) || !port_broken(heap, page, npages))
		return true;
	page_run_depopulate(heap, page, npages);
	if (!port_broken(heap, page, npages))
		return true;
	for (; page < end; page++) {
		if (port_broken(heap, page, 1))
			page_retire(heap, page);
		else
			page_heap_free(ph, page, 1);
	}
	return false;
}

u32 page_run_alloc_some(struct heap *heap, u32 npages, u32 most, u32 *count, bool grow,
			bool *needzero)
{
	struct page_heap *ph = &heap->page_heap;
	bool old_data = false;
	u32 page;

	do {
		page = page_heap_alloc_some(ph, npages, most, count, needzero);
		if (!page && grow && !heap_grow(heap, npages, 1, &old_data))
			page = page_heap_alloc_some(ph, npages, most, count, needzero);
	} while (page && !page_run_is_sound(heap, page, npages * *count));
	while (page && page_run_populate(heap, page, npages * *count, needzero)) {
		/* Where memory is short, there may still be some for one. */
		if (*count == 1)
			pages_unback(heap, page, npages);
		page_heap_free(ph, page, npages * *count);
		if (*count == 1)
			return 0;
		do {
			page = page_heap_alloc_some(ph, npages, 1, count, needzero);
		} while (page && !page_run_is_sound(heap, page, npages));
	}
	if (old_data)
		*needzero = true;
	return page;
}

u32 page_run_alloc_aligned(struct heap *heap, bool *needzero)
{
	struct page_heap *ph = &heap->page_heap;
	bool old_data = false;
	u32 page;

	static_assert(PAGE_HEAP_ALIGNED == CHUNK_PAGES);
	do {
		page = page_heap_alloc_aligned(ph, needzero);
		if (!page && !heap_grow(heap, CHUNK_PAGES, CHUNK_PAGES, &old_data))
			page = page_heap_alloc_aligned(ph, needzero);
	} while (page && !page_run_is_sound(heap, page, CHUNK_PAGES));
	if (page && page_run_populate(heap, page, CHUNK_PAGES, needzero)) {
		pages_unback(heap, page, CHUNK_PAGES);
		page_heap_free(ph, page, CHUNK_PAGES);
		return 0;
	}
	if (old_data)
		*needzero = true;
	return page;
}

void page_run_end_lazy(struct heap *heap, u32 page, u32 npages)
{
	port_lazy(heap, page, npages, false);
	page_run_depopulate(heap, page, npages);
}

void page_run_depopulate(struct heap *heap, u32 page, u32 npages)
{
	port_depopulate(heap, page, npages);
	page_backed_set(&heap->page_heap, page, npages, false);
}
