/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The tree of the page heap: finds runs among the pages that are free and in no CPU's
 * cache.
 *
 * The design is that of Go's page allocator (Knyszek and Clements, 2019): a
 * bitmap of free pages, and above it a radix tree of summaries {start, max,
 * end}: free pages at the start of a range, its longest run of free pages, free
 * pages at its end. A search descends only into ranges that can hold the run.
 *
 *	level                  one summary speaks of
 *	0: tree leaves         1024 pages, 8 MiB: 16 words of the bitmap
 *	1: arenas              8 leaves
 *	2 ...                  8 summaries of the level below
 *	levels - 1: the top    so many that at most eight of them are left
 *
 * Taking a run costs eight summaries a level on the way down, and the same on
 * the way up. Giving one back is linear in the tree leaves that it touches.
 *
 * The bitmap and the leaves are made with an arena's first page, the levels
 * above for the whole reserve.
 */
#ifndef GCHEAP_CORE_PAGE_TREE_H
#define GCHEAP_CORE_PAGE_TREE_H

#include "page_bits.h"

/* Make the levels above the leaves, for so many arenas. Return: 0 or -ENOMEM. */
int page_tree_init(struct page_heap *ph, u32 arenas);
void page_tree_destroy(struct page_heap *ph);

/* Make a range free or not, none of which is like that: its bits, and the summaries above. */
void page_tree_set(struct page_heap *ph, u32 page, u32 npages, bool free);

/* The same for some pages of the word that begins at @page. */
void page_tree_set_word(struct page_heap *ph, u32 page, u64 bits, bool free);

/* First page of the lowest run of @npages; 0: there is none. */
u32 page_tree_find(const struct page_heap *ph, u32 npages);

/* First page of the lowest leaf that is wholly free; 0: there is none. */
u32 page_tree_find_leaf(const struct page_heap *ph);

/* How many pages from @page on are free, at most @most. */
u32 page_tree_run_length(const struct page_heap *ph, u32 page, u32 most);

/* Whether a page, which exists, is free here. */
bool page_tree_is_free(const struct page_heap *ph, u32 page);

/**
 * page_tree_arena_has_run() - whether an arena may have a run of free pages
 * @ph: the allocator
 * @index: of the arena, of which pages exist
 * @npages: its length
 */
bool page_tree_arena_has_run(const struct page_heap *ph, u32 index, u32 npages);

/**
 * page_tree_tail() - how many pages at the end are free
 * @ph: the allocator
 *
 * A run that is longer than any free one needs growth by so many pages less.
 */
u32 page_tree_tail(const struct page_heap *ph);

#endif /* GCHEAP_CORE_PAGE_TREE_H */
