/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The page cache: free pages that a CPU has taken out of the tree, for its next short
 * runs. The design is Go's, but for the lock.
 *
 * A cache holds the free pages among 64 that are aligned, as one word of bits.
 * Short runs are cut from it by bit operations; the tree and its summaries see
 * one change for many runs. Runs that one CPU asks for lie together, and so do
 * the objects that its threads make: on the same page of each mapped table, and
 * released together when they die together.
 *
 * A short run goes back to a cache when it is freed, if its CPU's cache has the other
 * pages of the same 64: so the same memory is used again and not fresh one.
 *
 * In Go the caches spare each P (a scheduler's processor) the heap's lock. Here each
 * request takes that lock anyhow, and it protects the caches too: any CPU may empty any
 * cache, and the cache of a CPU that has gone offline is not lost.
 *
 * Pages in a cache are free in every sense (struct page_heap.free_pages and backed_pages
 * count them), but the tree does not know them. So all caches are emptied before the tree
 * is asked for what must be true of all free pages: when a search finds nothing, and when
 * memory is to be released. They are also emptied at each MARK_START and SWEEP_START, so
 * that no page stays in the cache of a CPU which the program has left.
 */
#ifndef GCHEAP_CORE_PAGE_CACHE_H
#define GCHEAP_CORE_PAGE_CACHE_H

#include "page_bits.h"

/* Runs shorter than this may come from a CPU's cache: a quarter of what one holds. */
#define PAGE_CACHE_RUN	16u

int page_caches_init(struct page_heap *ph, u32 cpus);
void page_caches_destroy(struct page_heap *ph);

/**
 * page_caches_empty() - give the pages in all caches back to the tree
 * @ph: the allocator
 *
 * Costs nothing when they are empty.
 */
void page_caches_empty(struct page_heap *ph);

/*
 * As page_heap_alloc_some(), from this CPU's cache; 0: the run is the tree's to give,
 * and @lowest is where it has one, or 0.
 */
u32 page_cache_alloc(struct page_heap *ph, u32 npages, u32 most, u32 *count, u32 *lowest);

/* Give less than PAGE_CACHE_RUN pages to this CPU's cache; false: they are the tree's. */
bool page_cache_free(struct page_heap *ph, u32 page, u32 npages);

/* Whether a page is in a cache. */
bool page_cache_has(const struct page_heap *ph, u32 page);

#endif /* GCHEAP_CORE_PAGE_CACHE_H */
