// SPDX-License-Identifier: MIT
/*
 * The marker's hot loop: take a batch, scan the batch before it, filter the edges of the
 * one before that while the new one is fetched, mark what is left of them.
 *
 * All of mark_drain() and what is inlined into it is hot. Budget for 64-byte
 * objects with 4 pointers: 15 ns an object when the heap is in the L2 cache; more
 * than that is waiting for memory. Documentation/marking.md has the figures.
 */
#include "mark_trace.h"

#include "layout/type_word.h"
#include "mark_scan.h"
#include "mark_share.h"
#include "mark_watch.h"

#define LINE_BYTES	64u
/* Lines of an object that are fetched before it is scanned. */
#define PREFETCH_LINES	16u
/* So many objects before one is scanned its type's record is fetched. */
#define RECORD_AHEAD	4u

/*
 * Fewer entries than this are done before another marker is awake: with 10,000 random objects
 * two took 0.6 ms where one takes 0.22.
 */
#define WAKE_ENTRIES	2000u
/* Oblets or pieces in a batch. */
#define COARSE_BATCH	2u
/* A marker looks for idle ones so often. */
#define GIVE_BATCHES	4u

/*
 * Inlined by force: gcc takes a function that only prefetches for a pure one, and
 * drops its calls.
 */
static inline __attribute__((always_inline))
void entry_prefetch(const struct marker *marker, uint64_t entry)
{
	const char *slot = (const char *)(uintptr_t)(marker->base + MARK_ENTRY_OFFSET(entry));
	uint32_t bytes = size_class_bytes[GCHEAP_PAGE_CLASS(entry)];
	uint64_t first_page = mark_entry_first_page(entry);
	uint32_t line;

	if (GCHEAP_PAGE_KIND(entry) == GCHEAP_KIND_HEAP_BITS)
		__builtin_prefetch(heap_bits_word(marker->view, first_page << GCHEAP_PAGE_SHIFT,
						  mark_entry_span_bytes(entry),
						  MARK_ENTRY_OFFSET(entry)));
	else if (GCHEAP_PAGE_KIND(entry) == GCHEAP_KIND_FOOTER)
		__builtin_prefetch(slot + bytes - FOOTER_BYTES);
	else if (GCHEAP_PAGE_KIND(entry) == GCHEAP_KIND_BITMAP)
		__builtin_prefetch(bitmap_group(marker->view, MARK_ENTRY_OFFSET(entry)));
	else
		__builtin_prefetch(&marker->spans[first_page]);
	__builtin_prefetch(slot);
	for (line = 1; line < PREFETCH_LINES && line * LINE_BYTES < bytes; line++)
		__builtin_prefetch(slot + line * LINE_BYTES);
}

/*
 * Types of many objects are in the first-level cache, those of few are not. Where the
 * type's number stands was prefetched with the batch.
 */
static inline __attribute__((always_inline))
void record_prefetch(const struct marker *marker, uint64_t entry)
{
	if (GCHEAP_PAGE_KIND(entry) == GCHEAP_KIND_TYPE)
		__builtin_prefetch(view_type(marker->view,
					     marker->spans[mark_entry_first_page(entry)].type));
}

/*
 * Fetch the next batch, and filter the late edges meanwhile: a core has only so many
 * misses in flight, and to ask for them all at once is to wait.
 */
static inline __attribute__((always_inline))
size_t filter_and_prefetch(struct marker *marker, const uint64_t *next, size_t next_count)
{
	size_t edges_each = next_count ? marker->late_count / next_count : 0;
	size_t left = 0;
	size_t at = 0;
	size_t i;

	for (i = 0; i < next_count; i++) {
		entry_prefetch(marker, next[i]);
		left = mark_filter(marker, marker->late, left, at, at + edges_each);
		at += edges_each;
	}
	return mark_filter(marker, marker->late, left, at, marker->late_count);
}

/* The edges that were just found are filtered one batch later. */
static void edges_swap(struct marker *marker)
{
	uint64_t *late = marker->late;
	size_t i;

	for (i = 0; i < marker->edge_count; i++)
		mark_prefetch_word(marker, marker->edges[i]);
	marker->late = marker->edges;
	marker->late_count = marker->edge_count;
	marker->edges = late;
	marker->edge_count = 0;
}

/*
 * A frontier of one object, as in a list: there is nothing to fetch ahead, so
 * follow it without the batch's detours until the frontier is wider.
 */
static inline __attribute__((always_inline)) GUARD_EXEMPT
void chase(struct marker *marker, uint64_t entry, const bool is_shared)
{
	uint64_t scanned = 0;

	do {
		const uint64_t *words;
		uint64_t next = 0;
		uint64_t mask;

		scanned++;
		if (!mark_entry_mask(marker, entry, &mask)) {
			mark_scan_rare(marker, entry);
			mark_edges(marker);
			entry = 0;
			break;
		}
		words = (const uint64_t *)(uintptr_t)(marker->base + MARK_ENTRY_OFFSET(entry));
		for (; mask; mask &= mask - 1) {
			uint64_t edge = words[__builtin_ctzll(mask)] - marker->base;
			uint64_t found;

			if (edge >= marker->end || mark_raw_bit(marker, edge))
				continue;
			found = mark_edge(marker, edge, is_shared, true);
			if (found && next)
				mark_push(marker, next);
			if (found)
				next = found;
		}
		entry = next;
	} while (entry && mark_stack_empty(&marker->stack));
	if (entry)
		mark_push(marker, entry);
	marker->scanned += scanned;
}

static GUARD_EXEMPT __attribute__((noinline))
void chase_alone(struct marker *marker, uint64_t entry)
{
	chase(marker, entry, false);
}

static GUARD_EXEMPT __attribute__((noinline))
void chase_shared(struct marker *marker, uint64_t entry)
{
	chase(marker, entry, true);
}

/**
 * struct pipeline - what is on its way between the stack and the edges
 * @batches: one is scanned while the other is fetched
 * @fetched: how many are in the batch that was fetched last time
 * @turn: the batch that is taken next
 */
struct pipeline {
	uint64_t batches[2][MARK_BATCH];
	size_t fetched;
	unsigned int turn;
};

/*
 * Follows all. Alone, it returns true when there is more work than one marker should have, and
 * others are idle; shared, it gives of its work to those that have none.
 */
static inline __attribute__((always_inline))
bool drain(struct marker *marker, struct pipeline *pipeline, const bool is_shared)
{
	const uint64_t enough = marker->scanned + WAKE_ENTRIES;
	unsigned int round = 0;

	for (;;) {
		const uint64_t *scan = pipeline->batches[pipeline->turn ^ 1];
		uint64_t *next = pipeline->batches[pipeline->turn];
		const size_t fetched = pipeline->fetched;
		/* What is on its way nobody else can have. */
		size_t max = mark_entry_is_coarse(mark_stack_next(&marker->stack)) ? COARSE_BATCH :
										     MARK_BATCH;
		size_t count = mark_stack_take(&marker->stack, next, max);
		size_t i;

		if (!count && !fetched && !marker->late_count)
			return false;
		if (count == 1 && !fetched && !marker->late_count &&
		    GCHEAP_PAGE_KIND(next[0]) != MARK_KIND_PIECE &&
		    mark_stack_empty(&marker->stack)) {
			if (is_shared)
				chase_shared(marker, next[0]);
			else
				chase_alone(marker, next[0]);
			continue;
		}
		for (i = 0; i < fetched; i++) {
			if (i + RECORD_AHEAD < fetched)
				record_prefetch(marker, scan[i + RECORD_AHEAD]);
			mark_scan(marker, scan[i]);
			/* The rest of the batch may be as long. */
			if (is_shared && marker->has_coarse && mark_may_give(marker))
				mark_give(marker);
		}
		marker->scanned += fetched;
		mark_filtered(marker, marker->late, filter_and_prefetch(marker, next, count),
			      is_shared);
		edges_swap(marker);
		pipeline->fetched = count;
		pipeline->turn ^= 1;
		if (is_shared) {
			if (++round % GIVE_BATCHES == 0 && mark_may_give(marker))
				mark_give(marker);
		} else if (marker->scanned >= enough || marker->has_coarse) {
			if (mark_may_begin(marker))
				return true;
		}
	}
}

/*
 * The loops that atomics are for are made twice: lists and small heaps, which one marker does
 * alone, pay nothing for the others.
 */
static __attribute__((noinline)) bool drain_alone(struct marker *marker, struct pipeline *pipeline)
{
	return drain(marker, pipeline, false);
}

static __attribute__((noinline)) void drain_shared(struct marker *marker,
						   struct pipeline *pipeline)
{
	drain(marker, pipeline, true);
}

void mark_drain(struct marker *marker)
{
	struct pipeline pipeline = { .fetched = 0 };

	marker->is_draining = true;
	marker->has_coarse = false;
	if (marker->watch.fn) {
		mark_drain_watched(marker);
	} else if (drain_alone(marker, &pipeline)) {
		mark_share_begin(marker);
		do {
			drain_shared(marker, &pipeline);
		} while (mark_share_more(marker));
		mark_share_end(marker);
	}
	marker->is_draining = false;
}

void mark_help(struct marker *marker)
{
	struct pipeline pipeline = { .fetched = 0 };

	if (!mark_share_wait(marker))
		return;
	do {
		drain_shared(marker, &pipeline);
	} while (mark_share_more(marker));
}
