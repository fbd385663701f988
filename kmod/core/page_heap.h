/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The page-run allocator: which heap pages are free and which have memory, and
 * address-ordered first fit among the free ones. It knows page numbers only: its callers
 * tell it that pages have memory.
 *
 * Its state is in page_bits.h. page_tree finds free runs by the bitmap of free pages;
 * beside that bitmap stands the one of pages without memory (page_backed), and before
 * the tree a cache for each CPU (page_cache). A run of PAGE_CACHE_RUN pages or more is
 * always the lowest that is; a shorter one may come from the 64 pages that a cache has
 * taken before lower ones were freed.
 *
 * What it costs in memory:
 *
 *	reserve                  64 MiB      64 GiB       1 TiB
 *	for the reserve          0.1 KiB     22 KiB       348 KiB
 *	for each arena in use    2.2 KiB     2.2 KiB      2.2 KiB
 */
#ifndef GCHEAP_CORE_PAGE_HEAP_H
#define GCHEAP_CORE_PAGE_HEAP_H

#include "page_bits.h"

/* A run of so many pages can be had aligned to its length: a leaf of the tree. */
#define PAGE_HEAP_ALIGNED	1024u

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
 * a page has memory stays as it was: see page_backed_set().
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

#endif /* GCHEAP_CORE_PAGE_HEAP_H */
