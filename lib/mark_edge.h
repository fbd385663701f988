/* SPDX-License-Identifier: MIT */
/*
 * The marker's state, and the step that all its files share: from an edge (the
 * offset of a pointer's target) to a mark bit that is set and an entry for the
 * stack. What follows an entry is above this (mark_trace.h).
 *
 * An entry is an object that is marked and still to be scanned, in one word:
 *
 *	63    60 59      56 55  54     48 47    40 39                 0
 *	+--------+----------+---+---------+--------+-------------------+
 *	| kind   | start's  | 0 | size    | 0      | offset of the     |
 *	|        | page     |   | class   |        | slot's first byte |
 *	+--------+----------+---+---------+--------+-------------------+
 *
 * It has the fields of a PAGES entry, so that the same macros read it; "start's page"
 * counts from the span's first page, whose descriptor has the pointer map. A large object
 * is scanned piece by piece (oblets): its entry has the offset of the next one.
 */
#ifndef GCHEAP_LIB_MARK_EDGE_H
#define GCHEAP_LIB_MARK_EDGE_H

#include "address.h"
#include "library.h"
#include "mark_stack.h"

#define MARK_BATCH		32u
#define MARK_OBLET_BYTES	(128u << 10)

/* What one batch of masks can give, and one more mask. */
#define MARK_EDGES		(MARK_BATCH * 64 + 64)

#define MARK_ENTRY_OFFSET(entry)	((entry) & ((1ull << 40) - 1))
#define MARK_ENTRY_INFO			(0xf07full << 48)	/* kind and class */

_Static_assert(GCHEAP_RESERVE_MAX <= 1ull << 40, "an entry has 40 bits of offset");

/**
 * struct marker - one marker of a heap
 * @base: address of the heap, as a number
 * @end: bytes from it that exist; this cycle's
 * @pages: PAGES
 * @spans: SPANS
 * @marks: this cycle's mark bits
 * @page_marks: page marks
 * @bitmap: BITMAP; NULL in the other layouts
 * @edge_count: how many edges wait
 * @edges: offsets of targets, unfiltered; all are below @end. One of @buffers
 * @late_count: edges of the batch before, whose mark words are on their way
 * @late: these
 * @stack: marked and not scanned
 * @heap: whose
 * @view: the heap
 * @slots: slots of a span, by size class; [1]: with heap bits
 * @buffers: memory of @edges and @late
 */
struct marker {
	uint64_t base;
	uint64_t end;
	const uint64_t *pages;
	const struct gcheap_span *spans;
	uint64_t *marks;
	uint64_t *page_marks;
	const uint64_t *bitmap;
	size_t edge_count;
	uint64_t *edges;
	size_t late_count;
	uint64_t *late;
	struct mark_stack stack;
	const struct gcheap *heap;
	const struct view *view;
	uint16_t slots[2][SIZE_CLASSES];
	uint64_t buffers[2][MARK_EDGES];
};

static inline bool mark_raw_bit(const struct marker *marker, uint64_t edge)
{
	uint64_t granule = edge >> GCHEAP_GRANULE_SHIFT;

	return marker->marks[granule >> 6] >> (granule & 63) & 1;
}

/* By force: gcc takes a function that only prefetches for a pure one, and drops its calls. */
static inline __attribute__((always_inline))
void mark_prefetch_word(const struct marker *marker, uint64_t edge)
{
	__builtin_prefetch(&marker->marks[edge >> GCHEAP_GRANULE_SHIFT >> 6]);
}

/*
 * Set a slot's mark bit and its span's page mark. Returns 1, or 0: it was set before, or the
 * slot is free. Without a branch: which of the two it is nobody can foretell.
 */
static inline uint64_t mark_set(struct marker *marker, uint64_t granule, uint64_t first_page)
{
	uint64_t *word = &marker->marks[granule >> 6];
	uint64_t old = *word;
	uint64_t is_new = ~(old >> (granule & 63)) & 1;

	*word = old | 1ull << (granule & 63);
	marker->page_marks[first_page >> 6] |= is_new << (first_page & 63);
	return is_new;
}

/* If a freed span is there, it shall fault for as long as there is a pointer to it. */
void mark_quarantine(struct marker *marker, uint64_t edge);

/* The same as mark_edge(), for a page of a large object, or of none. */
uint64_t mark_edge_rare(struct marker *marker, uint64_t edge, uint64_t info);

/**
 * mark_edge() - mark the object that an edge leads to
 * @marker: the marker
 * @edge: offset of the target, below @marker->end
 *
 * Return: the entry to scan; 0: there is nothing to do for this edge.
 */
static inline uint64_t mark_edge(struct marker *marker, uint64_t edge)
{
	uint64_t page = edge >> GCHEAP_PAGE_SHIFT;
	uint64_t info = marker->pages[page];
	uint32_t kind = GCHEAP_PAGE_KIND(info);
	uint64_t first, first_page, index, start, is_new;

	if (__builtin_expect(kind == GCHEAP_KIND_NONE || kind == GCHEAP_KIND_LARGE, 0))
		return mark_edge_rare(marker, edge, info);

	first_page = page - GCHEAP_PAGE_INDEX(info);
	first = first_page << GCHEAP_PAGE_SHIFT;
	index = page_info_slot(info, edge - first);
	/* One past the end of a span's last slot may be the waste behind it. */
	if (__builtin_expect(index >= marker->slots[kind == GCHEAP_KIND_HEAP_BITS]
						   [GCHEAP_PAGE_CLASS(info)], 0))
		return 0;
	start = first + index * GCHEAP_PAGE_SLOT_BYTES(info);
	is_new = mark_set(marker, granule_of(start), first_page);
	is_new &= ~(info / GCHEAP_PAGE_NOSCAN);
	return ((info & MARK_ENTRY_INFO) |
		page_info_index((start >> GCHEAP_PAGE_SHIFT) - first_page) | start) & -is_new;
}

/* Note the target of a word, if it is in the heap at all. */
static inline void mark_word(struct marker *marker, uint64_t word)
{
	uint64_t edge = word - marker->base;

	marker->edges[marker->edge_count] = edge;
	marker->edge_count += edge < marker->end;
}

#endif /* GCHEAP_LIB_MARK_EDGE_H */
