/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * One heap: what SETUP makes and the last close destroys, and the requests that
 * act on it.
 *
 * Locking: each heap has one lock, which sleeps. The callers of the functions
 * here (kmod/request.c, lib/backend/local.c) hold it; nothing in kmod/core takes
 * or drops it.
 *
 * Files beside this one, each on those above it in the list:
 *	port.h		the door to kernel or user space
 *	bit_index	sets of small numbers
 *	page_heap	free page runs; page_backed, page_cache: parts of it
 *	arena		from a page number to its tables
 *	type		the type table; type_mask: a part of it
 *	span		spans from pages
 *	quarantine	freed spans whose addresses are not used again yet
 *	central		lists of spans by class
 *	reclaim		dead spans by the page marks
 *	sweep		from mark bits to free slots and pages
 *	scavenge	from free pages to the system
 *	chunk		chunks of user arenas
 *	heap		this: life of a heap, requests
 */
#ifndef GCHEAP_CORE_HEAP_H
#define GCHEAP_CORE_HEAP_H

#include "arena.h"
#include "bit_index.h"
#include "central.h"
#include "chunk.h"
#include "counters.h"
#include "large.h"
#include "page_backed.h"
#include "page_cache.h"
#include "page_heap.h"
#include "page_runs.h"
#include "page_tree.h"
#include "port.h"
#include "quarantine.h"
#include "reclaim.h"
#include "requests.h"
#include "scavenge.h"
#include "setup.h"
#include "span.h"
#include "span_free.h"
#include "sweep.h"
#include "type.h"

/**
 * struct heap - the logic's view of one heap
 * @layout: enum gcheap_uapi_layout
 * @flags: GCHEAP_SETUP_*
 * @reserve_bytes: length of the HEAP region
 * @generation: sweep generation, +2 at each SWEEP_START
 * @phase: enum gcheap_phase
 * @mark_table: the bit table with the mark bits; the other has the alloc bits
 * @heap_pages: pages below this have tables, but see arena.h; @page_heap.end, but while
 *	ALLOC_LARGE makes the heap grow
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
