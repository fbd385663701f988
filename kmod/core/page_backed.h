/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Which heap pages have memory.
 *
 * A page has none when the heap has just grown over it, and when its memory was released.
 * Each page has a bit, whether it is free or not, so that the bits stay right when pages
 * are taken before they have memory, or given back without.
 *
 * To find the highest free page with memory, an index has the words and arenas that may
 * have one, as in Go: giving pages back enters their word, and a search that finds none
 * in a word takes it out. So a search looks at each word in vain at most once after a
 * page of it was freed, and never walks over the heap.
 */
#ifndef GCHEAP_CORE_PAGE_BACKED_H
#define GCHEAP_CORE_PAGE_BACKED_H

#include "page_bits.h"

/* How many pages of a range have memory. */
u32 page_backed_count(const struct page_heap *ph, u32 page, u32 npages);

/* Whether the 64 pages from @page on, a multiple of 64, are all free and without memory. */
bool page_backed_word_is_idle(const struct page_heap *ph, u32 page);

/**
 * page_backed_set() - note that pages have memory now, or have none any more
 * @ph: the allocator
 * @page: first page
 * @npages: how many; none of them is free
 * @backed: which
 */
void page_backed_set(struct page_heap *ph, u32 page, u32 npages, bool backed);

/**
 * page_backed_release() - note that free pages have no memory any more: the highest
 * @ph: the allocator; its caches are empty, or what is in them is passed over
 * @most: how many at most
 * @npages: set to how many
 *
 * Return: the first page of the upper end of the highest run of free pages that
 * have memory, which is now the caller's to release; 0: no free page has any.
 */
u32 page_backed_release(struct page_heap *ph, u32 most, u32 *npages);

/* Pages become free: those with memory can be found by page_backed_release(). */
void page_backed_note_free(struct page_heap *ph, u32 page, u32 npages);

/* The same for pages of one word that leave a cache: they were free, and are counted. */
void page_backed_note_word(struct page_heap *ph, u32 page, u64 bits);

#endif /* GCHEAP_CORE_PAGE_BACKED_H */
