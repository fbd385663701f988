/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Arenas: the 64 MiB frames of the heap's range, and the way from a page number
 * to the pieces of the mapped tables that speak of it.
 *
 * The tables (PAGES, SPANS, MARKS, BITMAP) are mapped to the process as flat arrays, but
 * made of single 4 KiB pages that port_table_page() hands out. An arena keeps
 * their addresses:
 *
 *	one page of     holds       covers
 *	PAGES           512 x u64      4 MiB of heap
 *	SPANS           128 x 32 B     1 MiB
 *	bit table       512 x u64    512 KiB: one heap page has 8 words, 64 bytes
 *	page marks      512 x u64    256 MiB: shared by four arenas
 *	BITMAP          512 x u64    128 KiB; its address is not kept, as nobody
 *	                             here reads it
 *
 * Table pages are made when the heap grows over what they cover. Those of PAGES and
 * SPANS, and page marks, then exist for every page number below struct
 * heap.heap_pages. Bit tables and BITMAP, which are most of it, exist wherever a page
 * of 64 is taken or has memory; where all 64 are free and without, they may be given
 * back, and are made again, zeroed, before one of the 64 gets memory or a span.
 */
#ifndef GCHEAP_CORE_ARENA_H
#define GCHEAP_CORE_ARENA_H

#include "port.h"
#include "units.h"

struct heap;

#define INFO_TABLE_SHIFT	9	/* heap pages a page of PAGES */
#define SPAN_TABLE_SHIFT	7	/* heap pages a page of SPANS */
#define MARK_TABLE_SHIFT	6	/* heap pages a page of a bit table */
#define BITMAP_TABLE_SHIFT	4	/* heap pages a page of BITMAP */

/**
 * struct arena - one 64 MiB frame
 * @info: addresses of its pages of PAGES
 * @spans: of SPANS
 * @marks: of the two bit tables
 * @page_marks: its part of the page marks, ARENA_WORDS words. The process
 *	writes here and in @marks at any time: read with READ_ONCE, trust nothing
 * @in_use: one bit a page: a span in use starts here. The kernel's own.
 * @in_use_words: one bit a word of @in_use: the word is not 0
 * @has_bits: one bit for 64 pages: @marks and BITMAP have all of theirs
 */
struct arena {
	u64 *info[ARENA_PAGES >> INFO_TABLE_SHIFT];
	struct gcheap_span *spans[ARENA_PAGES >> SPAN_TABLE_SHIFT];
	u64 *marks[2][ARENA_PAGES >> MARK_TABLE_SHIFT];
	u64 *page_marks;
	u64 in_use[ARENA_WORDS];
	u64 in_use_words[ARENA_WORDS / 64];
	u64 has_bits[ARENA_WORDS / 64];
};

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

static inline u32 arena_index(u32 page)
{
	return page >> ARENA_PAGES_SHIFT;
}

static inline u32 arena_offset(u32 page)
{
	return page & (ARENA_PAGES - 1);
}

#endif /* GCHEAP_CORE_ARENA_H */
