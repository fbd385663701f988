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
 *	| kind   | start's  | 0 | size    | one    | offset of the     |
 *	|        | page     |   | class   |        | slot's first byte |
 *	+--------+----------+---+---------+--------+-------------------+
 *
 * It has the fields of a PAGES entry, so that the same macros read it; "start's page"
 * counts from the span's first page, whose descriptor has the pointer map. A large object
 * is scanned piece by piece (oblets): its entry has the offset of the next one, and stands for
 * all from there on, or with "one" for that one alone. So is the chunk of a user arena, of
 * MARK_KIND_CHUNK. An entry of MARK_KIND_PIECE is no object
 * but a part of work that several markers may share: its offset is an index of the team's pieces.
 */
#ifndef GCHEAP_LIB_MARK_EDGE_H
#define GCHEAP_LIB_MARK_EDGE_H

#include "address.h"
#include "library.h"
#include "mark_stack.h"
#include "mark_team.h"

#define MARK_BATCH		32u
#define MARK_OBLET_BYTES	(128u << 10)

/* What one batch of masks can give, and one more mask; behind them a vector may be stored. */
#define MARK_EDGES		(MARK_BATCH * 64 + 64)
#define MARK_EDGES_BEHIND	8u

#define MARK_ENTRY_OFFSET(entry)	((entry) & ((1ull << 40) - 1))
#define MARK_ENTRY_INFO			(0xf07full << 48)	/* kind and class */
#define MARK_ENTRY_ONE			(1ull << 40)
#define MARK_KIND_CHUNK			14u
#define MARK_KIND_PIECE			15u
#define MARK_ENTRY_PIECE(index)		((uint64_t)MARK_KIND_PIECE << 60 | (index))

_Static_assert(GCHEAP_RESERVE_MAX <= 1ull << 40, "an entry has 40 bits of offset");

/**
 * struct mark_stretch - 64 granules, whose mark bits are one word, and the span that has them
 * @number: which: offset / 1024; UINT64_MAX: none
 * @is_leaves: it is of small objects without pointers, and the rest says which
 * @is_granules: each granule is one of them
 * @first: offset of the span's first byte
 * @first_page: its first page
 * @magic: slot number = (byte offset in the span * magic) >> 32
 * @slot_bytes: size of a slot
 * @slots: how many there are
 */
struct mark_stretch {
	uint64_t number;
	bool is_leaves;
	bool is_granules;
	uint64_t first;
	uint64_t first_page;
	uint32_t magic;
	uint32_t slot_bytes;
	uint32_t slots;
};

/**
 * struct mark_watch - who wants to know of each object that becomes marked
 * @fn: is told of its slot, and marks nothing itself; NULL: nobody
 * @arg: for @fn
 */
struct mark_watch {
	void (*fn)(void *arg, const struct slot *slot);
	void *arg;
};

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
 * @kernel: how many words at once are scanned
 * @stretch: the last one that array mode looked up
 * @watch: who is told of what becomes marked; of the first marker alone
 * @team: the heap's markers
 * @number: which of them it is
 * @is_shared: others may mark at the same time: mark bits are set by atomics
 * @is_draining: it is in mark_drain(): what roots lead to will be followed
 * @has_coarse: it has met an oblet or a piece since it last looked for idle markers
 * @scanned: entries that it has scanned in this cycle
 * @busy_ns: for how long it has marked beside others in this cycle
 * @since_ns: since when it has had work
 * @result: what it has counted
 * @box: where others put gifts
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
	const struct mark_kernel *kernel;
	struct mark_stretch stretch;
	struct mark_watch watch;
	struct mark_team *team;
	uint32_t number;
	bool is_shared;
	bool is_draining;
	bool has_coarse;
	uint64_t scanned;
	uint64_t busy_ns;
	uint64_t since_ns;
	struct mark_result result;
	struct mark_box box;
	uint64_t buffers[2][MARK_EDGES + MARK_EDGES_BEHIND];
};

/* Whether an entry is an oblet or a piece, of which a few are work for long. */
static inline bool mark_entry_is_coarse(uint64_t entry)
{
	uint32_t kind = GCHEAP_PAGE_KIND(entry);

	return kind == GCHEAP_KIND_LARGE || kind >= MARK_KIND_CHUNK;
}

static inline bool mark_raw_bit(const struct marker *marker, uint64_t edge)
{
	uint64_t granule = edge >> GCHEAP_GRANULE_SHIFT;

	return __atomic_load_n(&marker->marks[granule >> 6], __ATOMIC_RELAXED) >>
	       (granule & 63) & 1;
}

/* By force: gcc takes a function that only prefetches for a pure one, and drops its calls. */
static inline __attribute__((always_inline))
void mark_prefetch_word(const struct marker *marker, uint64_t edge)
{
	__builtin_prefetch(&marker->marks[edge >> GCHEAP_GRANULE_SHIFT >> 6]);
}

/* The same for a word that is about to be written: it leaves the other cores' caches. */
static inline __attribute__((always_inline))
void mark_prefetch_word_to_write(const struct marker *marker, uint64_t edge)
{
	const uint64_t *word = &marker->marks[edge >> GCHEAP_GRANULE_SHIFT >> 6];

#if defined(__x86_64__)
	/* Compilers emit it for newer CPUs alone, though all of 64 bits take it. */
	__asm__ volatile("prefetchw %0" : : "m" (*word));
#else
	__builtin_prefetch(word, 1);
#endif
}

/* The same as mark_set() beside other markers: a look first, as most bits are set already. */
static inline uint64_t mark_set_shared(struct marker *marker, uint64_t granule,
				       uint64_t first_page)
{
	uint64_t *word = &marker->marks[granule >> 6];
	uint64_t bit = 1ull << (granule & 63);
	uint64_t *page_word = &marker->page_marks[first_page >> 6];
	uint64_t page_bit = 1ull << (first_page & 63);

	if (__atomic_load_n(word, __ATOMIC_RELAXED) & bit ||
	    __atomic_fetch_or(word, bit, __ATOMIC_RELAXED) & bit)
		return 0;
	if (!(__atomic_load_n(page_word, __ATOMIC_RELAXED) & page_bit))
		__atomic_fetch_or(page_word, page_bit, __ATOMIC_RELAXED);
	return 1;
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

/*
 * Pages without objects of the heap: a freed span or chunk shall fault for as long as there is a
 * pointer to it; the chunk of a user arena is marked. Return: an entry to scan, or 0.
 */
uint64_t mark_set_aside(struct marker *marker, uint64_t edge);

/* The same as mark_edge(), for a page of a large object, or of none. */
uint64_t mark_edge_rare(struct marker *marker, uint64_t edge, uint64_t info);

/**
 * mark_edge() - mark the object that an edge leads to
 * @marker: the marker
 * @edge: offset of the target, below @marker->end
 * @is_shared: @marker->is_shared, a constant in the loops that are made for each
 * @is_foretold: most edges are new: a branch says so before the mark word has come. Where
 *	each object leads to the next, all would wait for it
 *
 * Return: the entry to scan; 0: there is nothing to do for this edge.
 */
static inline __attribute__((always_inline))
uint64_t mark_edge(struct marker *marker, uint64_t edge, const bool is_shared,
		   const bool is_foretold)
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
	is_new = is_shared ? mark_set_shared(marker, granule_of(start), first_page) :
			     mark_set(marker, granule_of(start), first_page);
	is_new &= ~(info / GCHEAP_PAGE_NOSCAN);
	if (is_foretold) {
		if (__builtin_expect(!is_new, 0))
			return 0;
		is_new = 1;
	}
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
