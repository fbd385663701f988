/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The state of one heap, and how to get from a page number to the tables that speak of
 * it. Each part of the state is changed by the file that it is named for;
 * Documentation/layers has the order of these files.
 *
 * Locking: each heap has one lock, which sleeps. The callers of kmod/core
 * (kmod/, lib/backend/local.c) hold it; nothing in kmod/core takes or drops it.
 */
#ifndef GCHEAP_CORE_HEAP_H
#define GCHEAP_CORE_HEAP_H

#include "bit_index.h"
#include "page_bits.h"
#include "units.h"

struct central;

/*
 * An arena is a 64 MiB frame of the heap's range. By it a page number leads to the
 * pieces of the mapped tables that speak of the page.
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
 */
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
 * struct type_table - the types of one heap
 * @count: types registered, so that their numbers are 1 ... @count
 * @data_end: where in the region the next mask, program or name goes
 * @mask_room: one bit a table page of the masks that go with objects: it is taken;
 *	NULL: there was none yet
 */
struct type_table {
	u32 count;
	u64 data_end;
	u64 *mask_room;
};

/**
 * struct central_table - the centrals of one heap
 * @buckets: hash table; chained
 * @shift: it has 1 << @shift buckets
 * @count: how many centrals
 * @first: first of all centrals
 * @last: where the next is appended
 * @sweep_from: where SWEEP goes on: all centrals before it have no unswept span
 * @found: the last one found: those of many spans in a row are the same
 */
struct central_table {
	struct central **buckets;
	u32 shift;
	u32 count;
	struct central *first;
	struct central **last;
	struct central *sweep_from;
	struct central *found;
};

/**
 * struct quarantine - the freed spans that are not yet free pages
 * @first: first page of the oldest; 0: there is none
 * @last: of the newest
 * @cleared: of the last one whose page mark was cleared for the next MARK_START; 0: none
 */
struct quarantine {
	u32 first;
	u32 last;
	u32 cleared;
};

/**
 * struct reclaim - the walk over one heap
 * @page: where it goes on, a multiple of 64
 * @end: where it ends; at @page or below it when it is done
 * @credit: pages of dead spans that were freed and not yet allocated against
 * @dead_pages: an estimate of how many the walk has still to find; 0: none known
 */
struct reclaim {
	u32 page;
	u32 end;
	u64 credit;
	u64 dead_pages;
};

/**
 * struct heap - the logic's view of one heap
 * @layout: enum gcheap_layout
 * @flags: GCHEAP_SETUP_*
 * @reserve_bytes: length of the HEAP region
 * @generation: sweep generation, +2 at each SWEEP_START
 * @phase: enum gcheap_phase
 * @mark_table: the bit table with the mark bits; the other has the alloc bits
 * @heap_pages: pages below this have tables, but see arena.h; @page_heap.end, but while
 *	ALLOC_LARGE makes the heap grow
 * @tables_dropped: how often tables above @heap_pages were dropped
 * @goal_bytes: as in struct gcheap_sweep_start
 * @arenas: by arena index; NULL: not there yet
 * @in_use_arenas: indices of those in which a span in use begins
 * @page_heap: free pages
 * @scavenge_ranges: room for SCAVENGE_RANGES; there may be no memory when it is
 *	needed
 * @types: the type table
 * @centrals: the central lists
 * @large_spans: how many of the spans in use are large
 * @ready_chunks: first page of the chunk in GCHEAP_SPAN_READY that is used next,
 *	whose descriptor's @next leads on; 0: none
 * @ready_pages: how many pages these have
 * @quarantine: freed spans
 * @reclaim: how far dead spans have been looked for
 * @marks_cleared: up to here, mark bits and page marks are clear already for the next
 *	MARK_START; BIT_INDEX_NONE: all of them
 * @has_broken: memory of the heap has failed, at some time: what is handed out is looked
 *	at before. Set by the port
 * @counters: figures; copied to @ctrl by heap_publish()
 * @ctrl: the CTRL region's page
 *
 * Invariants, between requests, if no ALLOC_LARGE is half done:
 *	counters.in_use_pages + counters.quarantined_pages + ready_pages +
 *		page_heap.free_pages + 1 == page_heap.end
 *	pages of spans in use are backed
 *	every span in use has its bit in arena.in_use, and no other page has
 *	spans on central lists: counters.spans - counters.cached_spans - large_spans
 *	alloc bits and mark bits of pages without a span are clear, unless the
 *		process wrote them
 */
struct heap {
	u32 layout;
	u32 flags;
	u64 reserve_bytes;
	u32 generation;
	u32 phase;
	u32 mark_table;
	u32 heap_pages;
	u32 tables_dropped;
	u64 goal_bytes;
	struct arena **arenas;
	struct bit_index in_use_arenas;
	struct page_heap page_heap;
	struct gcheap_range *scavenge_ranges;
	struct type_table types;
	struct central_table centrals;
	u64 large_spans;
	u32 ready_chunks;
	u32 ready_pages;
	struct quarantine quarantine;
	struct reclaim reclaim;
	u32 marks_cleared;
	bool has_broken;
	struct gcheap_counters counters;
	struct gcheap_ctrl *ctrl;
};

/* ---- from page numbers to tables; @page is below @heap->heap_pages ----------- */

/*
 * A number from user space that was found to be below @heap->heap_pages: so it is even
 * where the processor guesses what the comparison will say, and looks tables up by it.
 */
static inline u32 heap_page_nospec(const struct heap *heap, u32 page)
{
	return (u32)array_index_nospec(page, heap->heap_pages);
}

static inline u32 arena_index(u32 page)
{
	return page >> ARENA_PAGES_SHIFT;
}

static inline u32 arena_offset(u32 page)
{
	return page & (ARENA_PAGES - 1);
}

static inline struct arena *heap_arena(struct heap *heap, u32 page)
{
	return heap->arenas[arena_index(page)];
}

static inline struct gcheap_span *heap_span(struct heap *heap, u32 page)
{
	u32 offset = arena_offset(page);

	return heap_arena(heap, page)->spans[offset >> SPAN_TABLE_SHIFT] +
	       (offset & ((1u << SPAN_TABLE_SHIFT) - 1));
}

static inline u64 *heap_info(struct heap *heap, u32 page)
{
	u32 offset = arena_offset(page);

	return heap_arena(heap, page)->info[offset >> INFO_TABLE_SHIFT] +
	       (offset & ((1u << INFO_TABLE_SHIFT) - 1));
}

/* The MARK_WORDS_PER_PAGE words of a heap page in one of the bit tables. */
static inline u64 *heap_marks(struct heap *heap, u32 table, u32 page)
{
	u32 offset = arena_offset(page);

	return heap_arena(heap, page)->marks[table][offset >> MARK_TABLE_SHIFT] +
	       (offset & ((1u << MARK_TABLE_SHIFT) - 1)) * MARK_WORDS_PER_PAGE;
}

/* Whether the process has set a page mark. */
static inline bool page_is_marked(struct heap *heap, u32 page)
{
	return READ_ONCE(heap_arena(heap, page)->page_marks[arena_offset(page) / 64]) >>
	       page % 64 & 1;
}

/* The process sets page marks beside this, and is to set none now. */
static inline void page_mark_clear(struct heap *heap, u32 page)
{
	u64 *word = &heap_arena(heap, page)->page_marks[arena_offset(page) / 64];

	WRITE_ONCE(*word, READ_ONCE(*word) & ~BIT_ULL(page % 64));
}

/* Heap pages of spans in use: of objects, not of chunks. */
static inline u64 heap_span_pages(const struct heap *heap)
{
	return heap->counters.in_use_pages - heap->counters.chunks * CHUNK_PAGES;
}

static inline u32 heap_alloc_table(const struct heap *heap)
{
	return heap->mark_table ^ 1;
}

static inline u16 heap_generation16(const struct heap *heap)
{
	return (u16)heap->generation;
}

#endif /* GCHEAP_CORE_HEAP_H */
