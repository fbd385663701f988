/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The tables that speak of heap pages: this file makes them and gives them back, arena by
 * arena, and notes where spans in use begin. heap.h says which tables there are.
 *
 * Table pages are made when the heap grows over what they cover. Those of PAGES and
 * SPANS, and page marks, then exist for every page number below struct heap.heap_pages.
 * Bit tables and BITMAP, which are most of it, exist wherever a page of an aligned 64 is
 * taken or has memory. Where all 64 are free and without memory, those may be given back;
 * they are made again, zeroed, before one of the 64 gets memory or a span.
 */
#ifndef GCHEAP_CORE_ARENA_H
#define GCHEAP_CORE_ARENA_H

#include "heap.h"

/**
 * arena_tables_ensure() - make the tables for a range of heap pages
 * @heap: the heap
 * @page: first page
 * @npages: how many
 *
 * Return: 0; -ENOMEM; -EINTR a fatal signal. Tables that were made stay, and are
 * found again.
 */
int arena_tables_ensure(struct heap *heap, u32 page, u32 npages);

/**
 * arena_tables_release() - give back bit tables and BITMAP that nobody needs
 * @heap: the heap
 * @page: first page
 * @npages: how many; those below @heap->heap_pages are looked at
 *
 * Of each aligned 64 pages, one of which is in the range, that are all free and without
 * memory. While a cycle marks, none go: the process may write mark bits anywhere.
 *
 * Return: how many bytes were given.
 */
u64 arena_tables_release(struct heap *heap, u32 page, u32 npages);

/**
 * arena_tables_drop() - give back bit tables and BITMAP beyond the end of the heap
 * @heap: the heap
 * @page: first page, a multiple of 64 and not below @heap->heap_pages
 * @npages: how many, a multiple of 64; tables that have not been made are passed over
 *
 * For what was about to grow the heap, and has failed: arena_tables_release() does not
 * look there. PAGES and SPANS stay, and are found again.
 */
void arena_tables_drop(struct heap *heap, u32 page, u32 npages);

/**
 * arena_set_in_use() - note that a span begins or ends
 * @heap: the heap
 * @page: the span's first page
 * @in_use: whether it is in use now
 */
void arena_set_in_use(struct heap *heap, u32 page, bool in_use);

/**
 * arena_next_in_use() - find spans in use, 64 pages at a time
 * @heap: the heap
 * @page: where to begin, a multiple of 64
 *
 * What is between costs nothing, be it the inside of a large span, free pages or
 * arenas without a span: a walk over the heap takes time for its spans only.
 *
 * Return: the first page, a multiple of 64, of the lowest 64 pages from @page on
 * among which a span in use begins; BIT_INDEX_NONE: there are none.
 */
u32 arena_next_in_use(const struct heap *heap, u32 page);

/* Frees the arenas; the table pages are the port's. */
void arenas_destroy(struct heap *heap);

#endif /* GCHEAP_CORE_ARENA_H */
