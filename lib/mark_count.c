// SPDX-License-Identifier: MIT
/*
 * Walks over all spans beside the marking itself. Before marking, one sets the bits of
 * free slots; after it, one makes the cycle's figures; and after stacks have overflowed,
 * one finds the objects that were marked and not scanned.
 *
 * A free slot is neither scanned nor kept, whatever leads there: an old pointer, a
 * number, the end of the object before it. To look at the alloc bit of every object would
 * cost a fifth of the time to mark a large heap, for a second table that does not fit the
 * cache. So the bits of free slots are set before anything is marked, and cleared after:
 * the marker takes a free slot for an object that it has been to. That is two walks
 * through the bits of all spans, in order, which cost a few nanoseconds a span.
 */
#include "mark_count.h"

#include <string.h>

#include "mark_kernel.h"
#include "mark_piece.h"
#include "mark_scan.h"
#include "mark_trace.h"

/* Pages of a piece of a walk: 128 MiB of heap, some 0.1 ms. */
#define PIECE_PAGES	16384u

typedef void (*visit_fn)(struct marker *marker, uint64_t page, uint64_t info);

/* First page of the span that has a page. */
static uint64_t span_first(const struct marker *marker, uint64_t page, uint64_t info)
{
	const struct gcheap_span *span = &marker->spans[page];

	if (GCHEAP_PAGE_KIND(info) != GCHEAP_KIND_LARGE)
		return page - GCHEAP_PAGE_INDEX(info);
	if ((span->state & GCHEAP_SPAN_STATE_MASK) == GCHEAP_SPAN_INNER)
		return span->first_page;
	return page;
}

/* Calls @visit for each span that begins in a range, with its first page's PAGES entry. */
static inline __attribute__((always_inline))
void each_span(struct marker *marker, uint64_t page, uint64_t end, visit_fn visit)
{
	const uint64_t start = page;

	while (page < end) {
		uint64_t info = marker->pages[page];
		uint64_t first;

		if (GCHEAP_PAGE_KIND(info) == GCHEAP_KIND_NONE) {
			page++;
			continue;
		}
		first = page == start ? span_first(marker, page, info) : page;
		if (first == page)
			visit(marker, page, info);
		page = first + (GCHEAP_PAGE_KIND(info) == GCHEAP_KIND_LARGE ?
				marker->spans[first].npages : page_info_pages(info));
	}
}

/* Offset of the slot that has this bit, which is counted from its span's first. */
static uint64_t slot_of_bit(uint64_t page, uint64_t info, uint64_t bit)
{
	uint64_t index = page_info_slot(info, bit << GCHEAP_GRANULE_SHIFT);

	return (page << GCHEAP_PAGE_SHIFT) + index * GCHEAP_PAGE_SLOT_BYTES(info);
}

/* Words of a span of small objects in a bit table. */
static uint64_t span_words(uint64_t info)
{
	return (uint64_t)page_info_pages(info) * MARK_WORDS_PER_PAGE;
}

/* ---- free slots --------------------------------------------------------------- */

/*
 * Whether a span of small objects has no free slot, as most have when a program allocates
 * and drops: then its bits need no look. No span is cached while a cycle marks, and all are
 * swept, so that the count in the descriptor is that of the alloc bits.
 */
static bool span_is_full(const struct marker *marker, uint64_t page)
{
	return marker->spans[page].allocated == marker->spans[page].slots;
}

static void hide_free(struct marker *marker, uint64_t page, uint64_t info)
{
	bool heap_bits = GCHEAP_PAGE_KIND(info) == GCHEAP_KIND_HEAP_BITS;
	const uint64_t *slots = marker->heap->slot_bits.patterns[heap_bits]
							   [GCHEAP_PAGE_CLASS(info)];
	const uint64_t *allocs = view_alloc_bits(marker->view) + page * MARK_WORDS_PER_PAGE;
	uint64_t *restrict marks = marker->marks + page * MARK_WORDS_PER_PAGE;
	uint64_t words = span_words(info);
	uint64_t at, i;

	/* A large object is never free; and what no cache had has no object. */
	if (GCHEAP_PAGE_KIND(info) == GCHEAP_KIND_LARGE || !slots || span_is_full(marker, page))
		return;
	/* A page at a time, so that compilers take several words at once. */
	for (at = 0; at < words; at += MARK_WORDS_PER_PAGE) {
		for (i = at; i < at + MARK_WORDS_PER_PAGE; i++)
			marks[i] = slots[i] & ~allocs[i];
	}
}

static void hide_piece(struct marker *marker, const struct mark_piece *piece)
{
	each_span(marker, piece->start, piece->end, hide_free);
}

void mark_hide_free(struct marker *marker)
{
	mark_in_pieces(marker, hide_piece, 0, marker->end >> GCHEAP_PAGE_SHIFT, PIECE_PAGES, NULL);
}

/* ---- figures ------------------------------------------------------------------ */

static void count_span(struct marker *marker, uint64_t page, uint64_t info)
{
	uint64_t *marks = marker->marks + page * MARK_WORDS_PER_PAGE;
	const uint64_t *allocs = view_alloc_bits(marker->view) + page * MARK_WORDS_PER_PAGE;
	bool is_marked = marker->page_marks[page / 64] >> page % 64 & 1;
	struct mark_result *result = &marker->result;
	uint64_t words, marked;

	if (GCHEAP_PAGE_KIND(info) == GCHEAP_KIND_LARGE) {
		uint64_t bytes = (uint64_t)marker->spans[page].npages << GCHEAP_PAGE_SHIFT;

		result->objects += is_marked;
		result->bytes += is_marked ? bytes : 0;
		result->span_bytes += is_marked ? bytes : 0;
		return;
	}
	words = span_words(info);
	/* Free slots stay free. In what is dead there were no others. */
	if (!is_marked && span_is_full(marker, page))
		return;
	if (!is_marked) {
		memset(marks, 0, words * sizeof(*marks));
		return;
	}
	marked = marker->kernel->count(marks, allocs, words);
	result->objects += marked;
	result->bytes += marked * GCHEAP_PAGE_SLOT_BYTES(info);
	result->span_bytes += (uint64_t)page_info_pages(info) << GCHEAP_PAGE_SHIFT;
}

static void count_piece(struct marker *marker, const struct mark_piece *piece)
{
	each_span(marker, piece->start, piece->end, count_span);
}

void mark_count(struct marker *marker, struct mark_result *result)
{
	struct mark_team *team = marker->team;
	uint32_t i;

	for (i = 0; i < team->size; i++)
		team->markers[i]->result = (struct mark_result) { 0 };
	mark_in_pieces(marker, count_piece, 0, marker->end >> GCHEAP_PAGE_SHIFT, PIECE_PAGES, NULL);
	*result = (struct mark_result) { 0 };
	for (i = 0; i < team->size; i++) {
		result->objects += team->markers[i]->result.objects;
		result->bytes += team->markers[i]->result.bytes;
		result->span_bytes += team->markers[i]->result.span_bytes;
	}
}

/* ---- what the stacks had no room for ------------------------------------------- */

/* What comes back is followed in parts that a stack of one segment has room for. */
static void overflow_take(struct marker *marker)
{
	uint64_t pages = marker->end >> GCHEAP_PAGE_SHIFT;
	uint64_t page;

	for (page = 0; page < pages; page += 64) {
		uint64_t some = mark_overflow_pages(marker, page);

		for (; some; some &= some - 1) {
			mark_overflow_page(marker, page + (unsigned int)__builtin_ctzll(some));
			if (mark_stack_exceeds(&marker->stack, MARK_SEGMENT_BYTES / 2))
				mark_drain(marker);
		}
	}
	mark_drain(marker);
}

static void rescan_span(struct marker *marker, uint64_t page, uint64_t info)
{
	const uint64_t *marks = marker->marks + page * MARK_WORDS_PER_PAGE;
	const uint64_t *allocs = view_alloc_bits(marker->view) + page * MARK_WORDS_PER_PAGE;
	uint64_t words, i;

	if (info & GCHEAP_PAGE_NOSCAN || !(marker->page_marks[page / 64] >> page % 64 & 1))
		return;
	if (GCHEAP_PAGE_KIND(info) == GCHEAP_KIND_LARGE) {
		mark_scan_large(marker, page);
		mark_edges(marker);
		mark_drain(marker);
		return;
	}
	words = span_words(info);
	for (i = 0; i < words; i++) {
		uint64_t word = marks[i] & allocs[i];

		for (; word; word &= word - 1) {
			uint64_t bit = i * 64 + (unsigned int)__builtin_ctzll(word);
			uint64_t start = slot_of_bit(page, info, bit);

			mark_scan(marker, (info & MARK_ENTRY_INFO) | start |
				  page_info_index((start >> GCHEAP_PAGE_SHIFT) - page));
		}
	}
	mark_edges(marker);
	mark_drain(marker);
}

static void rescan_chunks(struct marker *marker)
{
	const struct arenas *arenas = &marker->heap->arenas;
	uint64_t end = arenas->used_chunks ? arena_chunks_end(marker->heap) : 0;
	uint64_t i;

	for (i = 0; i < end; i++) {
		if (!arena_chunk_is_seen(marker->heap, i))
			continue;
		mark_scan_chunk(marker, i);
		mark_edges(marker);
		mark_drain(marker);
	}
}

/* There was no memory to know what it is: all that is marked is scanned again. */
static void rescan(struct marker *marker)
{
	mark_overflow_end(&marker->team->overflow);
	rescan_chunks(marker);
	each_span(marker, 0, marker->end >> GCHEAP_PAGE_SHIFT, rescan_span);
}

bool mark_take_up(struct marker *marker)
{
	struct mark_overflow *overflow = &marker->team->overflow;

	if (overflow->is_lost) {
		rescan(marker);
	} else if (overflow->has_some) {
		overflow->has_some = false;
		overflow_take(marker);
	} else {
		return false;
	}
	return true;
}
