/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The page-run allocator: which heap pages are free, and address-ordered first
 * fit among them. It knows page numbers only, not memory.
 *
 * The design is that of Go's page allocator (Knyszek and Clements, 2019): a
 * bitmap of allocated pages, and above it a radix tree of summaries {start,
 * max, end}: free pages at the start of a range, its longest free run, free
 * pages at its end. A search descends only into ranges that can hold the run.
 */
#ifndef GCHEAP_CORE_PAGE_HEAP_H
#define GCHEAP_CORE_PAGE_HEAP_H

#include "port.h"

/* Leaf of the summary tree: 512 pages, 4 MiB; each level above joins eight. */
#define PAGE_HEAP_LEAF_SHIFT	9
#define PAGE_HEAP_LEAF_PAGES	(1u << PAGE_HEAP_LEAF_SHIFT)
#define PAGE_HEAP_FANOUT_SHIFT	3
#define PAGE_HEAP_LEVELS	8	/* 2^9 * 8^7 pages: more than 1 TiB */

struct page_heap_summary;

/**
 * struct page_heap - free heap pages of one heap
 * @reserve_pages: how many page numbers there are
 * @end: pages below this exist; grows only
 * @free_pages: how many of these are free
 * @search_from: no page below this is free
 * @levels: depth of the summary tree
 * @summaries: summaries by level, 0 the root's; allocated for @reserve_pages
 * @leaves: bitmaps of allocated pages, by leaf; a leaf's are made by growth
 * @zeroed_from: by arena: no page of it from this one on was ever handed out
 *
 * Invariants: page 0 is never free; @free_pages is the number of clear bits
 * below @end; each summary is that of its bits.
 */
struct page_heap {
	u32 reserve_pages;
	u32 end;
	u32 free_pages;
	u32 search_from;
	u32 levels;
	struct page_heap_summary *summaries[PAGE_HEAP_LEVELS];
	u64 **leaves;
	u32 *zeroed_from;
};

/**
 * page_heap_init() - make an allocator without pages
 * @ph: where
 * @reserve_pages: the most pages it will ever have, a multiple of an arena's
 *
 * Return: 0 or -ENOMEM, and @ph needs no page_heap_destroy() then.
 */
int page_heap_init(struct page_heap *ph, u32 reserve_pages);
void page_heap_destroy(struct page_heap *ph);

/**
 * page_heap_grow() - add pages at the end, free
 * @ph: the allocator
 * @npages: how many
 *
 * The first growth adds page 0 too, which stays allocated for ever.
 *
 * Return: 0; -ENOSPC when @reserve_pages do not suffice; -ENOMEM. Nothing has
 * changed after an error.
 */
int page_heap_grow(struct page_heap *ph, u32 npages);

/**
 * page_heap_alloc() - take the lowest run of free pages
 * @ph: the allocator
 * @npages: its length, not 0
 * @used_before: set to whether any page of it was handed out before
 *
 * Return: number of the run's first page, or 0 when there is no such run.
 */
u32 page_heap_alloc(struct page_heap *ph, u32 npages, bool *used_before);

/**
 * page_heap_free() - give pages back
 * @ph: the allocator
 * @page: first page
 * @npages: how many; all of them allocated. They need not be one allocation's.
 */
void page_heap_free(struct page_heap *ph, u32 page, u32 npages);

/**
 * page_heap_is_free() - whether a page exists and is free
 * @ph: the allocator
 * @page: any page number
 */
bool page_heap_is_free(const struct page_heap *ph, u32 page);

#endif /* GCHEAP_CORE_PAGE_HEAP_H */
