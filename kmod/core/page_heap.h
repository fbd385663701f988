/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The page-run allocator: which heap pages are free and which have memory, and
 * address-ordered first fit among the free ones. It knows page numbers only: that
 * pages have memory is what it is told.
 *
 * The design is that of Go's page allocator (Knyszek and Clements, 2019): a
 * bitmap of free pages, and above it a radix tree of summaries {start, max,
 * end}: free pages at the start of a range, its longest run of free pages, free
 * pages at its end. A search descends only into ranges that can hold the run.
 *
 *	level                  one summary speaks of
 *	0: leaves              1024 pages, 8 MiB: 16 words of the bitmap
 *	1: arenas              8 leaves
 *	2 ...                  8 summaries of the level below
 *	levels - 1: the top    so many that at most eight of them are left
 *
 * Taking a run costs eight summaries a level on the way down, and the same on
 * the way up. Giving one back is linear in the leaves that it touches.
 *
 * The bitmap and the leaves are made with an arena's first page, the levels
 * above for the whole reserve:
 *
 *	reserve                  64 MiB      64 GiB       1 TiB
 *	for the reserve          0.1 KiB     22 KiB       348 KiB
 *	for each arena in use    2.2 KiB     2.2 KiB      2.2 KiB
 *
 * Beside the bitmap of free pages stands that of pages without memory (page_backed.c),
 * and before the tree a cache for each CPU (page_cache.c). A run of
 * PAGE_CACHE_RUN pages or more is always the lowest that is; a shorter one may
 * come from the 64 pages that a cache has taken before lower ones were freed.
 */
#ifndef GCHEAP_CORE_PAGE_HEAP_H
#define GCHEAP_CORE_PAGE_HEAP_H

#include "bit_index.h"
#include "port.h"

/* Levels above the leaves: eight arenas, and eight times as many each. */
#define PAGE_HEAP_UPPER_LEVELS	5	/* 8^5 arenas: more than 1 TiB */

/* Runs shorter than this may come from a CPU's cache: a quarter of what one holds. */
#define PAGE_CACHE_RUN	16u
/* A run of so many pages can be had aligned to its length: a leaf of the tree. */
#define PAGE_HEAP_ALIGNED	1024u

struct page_heap_arena;
struct page_heap_summary;

/**
 * struct page_cache - free pages that a CPU has taken out of the tree
 * @page: the first of 64, aligned; it stays when none of them is left
 * @free: which of them it has
 */
struct page_cache {
	u32 page;
	u64 free;
};

/**
 * struct page_heap - free heap pages of one heap
 * @reserve_pages: how many page numbers there are
 * @end: pages below this exist; grows only
 * @free_pages: how many of these are free
 * @backed_pages: how many of the free ones have memory
 * @cached_pages: how many of the free ones are in a CPU's cache
 * @caches: by CPU; NULL: there are none
 * @filled_caches: the CPUs whose cache is not empty
 * @backed_arenas: indices of arenas that may have a free page with memory; all that
 *	have one are members
 * @levels: depth of the tree of summaries, the leaves included
 * @upper: summaries of each level but the leaves, of the whole reserve
 * @arenas: by arena index: bitmap and leaves; NULL: no page of it exists
 *
 * Invariants: page 0 is never free; a page from @end on is not free, and has no
 * memory; @free_pages is the number of set bits in the tree and in the caches, and
 * no page is in two of them; each summary is that of its bits.
 */
struct page_heap {
	u32 reserve_pages;
	u32 end;
	u32 free_pages;
	u32 backed_pages;
	u32 cached_pages;
	struct page_cache *caches;
	struct bit_index filled_caches;
	struct bit_index backed_arenas;
	u32 levels;
	struct page_heap_summary *upper[PAGE_HEAP_UPPER_LEVELS];
	struct page_heap_arena **arenas;
};

/**
 * page_heap_init() - make an allocator without pages
 * @ph: where
 * @reserve_pages: the most pages it will ever have, a multiple of an arena's
 * @cpus: how many caches, port_cpus(); 0: none, and every run is the lowest
 *
 * Return: 0 or -ENOMEM, and @ph needs no page_heap_destroy() then.
 */
int page_heap_init(struct page_heap *ph, u32 reserve_pages, u32 cpus);
void page_heap_destroy(struct page_heap *ph);

/**
 * page_heap_grow() - add pages at the end, free and without memory
 * @ph: the allocator
 * @npages: how many
 *
 * Page 0, the first one of the first growth, is never free.
 *
 * Return: 0; -ENOSPC when @reserve_pages do not suffice; -ENOMEM. Nothing has
 * changed after an error.
 */
int page_heap_grow(struct page_heap *ph, u32 npages);

/**
 * page_heap_shrink() - undo the last growth
 * @ph: the allocator
 * @end: its end before that; all pages from there on are free, and have no memory
 */
void page_heap_shrink(struct page_heap *ph, u32 end);

/**
 * page_heap_alloc() - take a run of free pages, the lowest but for the caches
 * @ph: the allocator
 * @npages: its length, not 0
 * @used_before: set to whether a page of it may have been handed out before;
 *	an arena remembers only up to which page that ever happened
 *
 * Return: number of the run's first page, or 0 when there is no such run.
 */
u32 page_heap_alloc(struct page_heap *ph, u32 npages, bool *used_before);

/**
 * page_heap_alloc_some() - take several equal runs that follow each other
 * @ph: the allocator
 * @npages: length of one run, not 0
 * @most: take no more runs than this, not 0
 * @count: set to how many were taken
 * @used_before: set to whether any page of them was handed out before
 *
 * Takes the run that page_heap_alloc() would, and as much as follows it. Whether
 * a page has memory stays as it was: see page_heap_set_backed().
 *
 * Return: number of the first run's first page, or 0 when there is no run.
 */
u32 page_heap_alloc_some(struct page_heap *ph, u32 npages, u32 most, u32 *count,
			 bool *used_before);

/**
 * page_heap_alloc_aligned() - take an aligned run of PAGE_HEAP_ALIGNED pages
 * @ph: the allocator
 * @used_before: set to whether a page of it may have been handed out before
 *
 * Return: number of the lowest such run's first page, or 0 when there is none.
 */
u32 page_heap_alloc_aligned(struct page_heap *ph, bool *used_before);

/**
 * page_heap_free() - give pages back
 * @ph: the allocator
 * @page: first page
 * @npages: how many; all of them allocated. They need not be one allocation's.
 *
 * Those that have memory keep it.
 */
void page_heap_free(struct page_heap *ph, u32 page, u32 npages);

/**
 * page_heap_is_free() - whether a page exists and is free
 * @ph: the allocator
 * @page: any page number
 */
bool page_heap_is_free(const struct page_heap *ph, u32 page);

/**
 * page_heap_tail() - how many pages at the end are free
 * @ph: the allocator
 *
 * A run that is longer than any free one needs growth by so many pages less.
 */
u32 page_heap_tail(const struct page_heap *ph);

/**
 * page_heap_empty_caches() - give the pages in all caches back to the tree
 * @ph: the allocator
 *
 * Costs nothing when they are empty.
 */
void page_heap_empty_caches(struct page_heap *ph);

/**
 * page_heap_arena_has_run() - whether an arena may have a run of free pages
 * @ph: the allocator
 * @index: of the arena, of which pages exist
 * @npages: its length
 */
bool page_heap_arena_has_run(const struct page_heap *ph, u32 index, u32 npages);

/* ---- memory ------------------------------------------------------------------ */

/* How many pages of a range have memory. */
u32 page_heap_count_backed(const struct page_heap *ph, u32 page, u32 npages);

/* Whether the 64 pages from @page on, a multiple of 64, are all free and without memory. */
bool page_heap_word_is_idle(const struct page_heap *ph, u32 page);

/**
 * page_heap_set_backed() - note that pages have memory now, or have none any more
 * @ph: the allocator
 * @page: first page
 * @npages: how many; none of them is free
 * @backed: which
 */
void page_heap_set_backed(struct page_heap *ph, u32 page, u32 npages, bool backed);

/**
 * page_heap_release() - note that free pages have no memory any more: the highest
 * @ph: the allocator; its caches are empty, or what is in them is passed over
 * @most: how many at most
 * @npages: set to how many
 *
 * Return: the first page of the upper end of the highest run of free pages that
 * have memory, which is now the caller's to release; 0: no free page has any.
 */
u32 page_heap_release(struct page_heap *ph, u32 most, u32 *npages);

#endif /* GCHEAP_CORE_PAGE_HEAP_H */
