// SPDX-License-Identifier: MIT
/*
 * The marker's hot loops: take a batch, scan the batch before it, prefetch the new
 * one while the edges found are filtered, mark what is left of them.
 *
 * All of mark_drain() and what is inlined into it is hot. Budget for 64-byte
 * objects with 4 pointers: 15 ns an object when the heap is in the L2 cache; more
 * than that is waiting for memory. Documentation/marking.md has the figures.
 */
#include "mark_trace.h"

#include "guard.h"
#include "layout/bitmap.h"
#include "layout/heap_bits.h"
#include "layout/type_word.h"

#define LINE_BYTES	64u
/* Lines of an object that are fetched before it is scanned. */
#define PREFETCH_LINES	16u
/* So many objects before one is scanned its type's record is fetched. */
#define RECORD_AHEAD	4u

/* Collect the edges of up to 64 words. What is behind an object may be guarded. */
static inline GUARD_EXEMPT
void mark_scan_words(struct marker *marker, const uint64_t *words, uint64_t mask)
{
	uint64_t *edges = marker->edges;
	size_t count = marker->edge_count;
	const uint64_t base = marker->base;
	const uint64_t end = marker->end;

	/* NULL and foreign pointers vanish without a branch. */
	if (mask == ~0ull) {
		unsigned int i;

		for (i = 0; i < 64; i++) {
			uint64_t edge = words[i] - base;

			edges[count] = edge;
			count += edge < end;
		}
	} else {
		for (; mask; mask &= mask - 1) {
			uint64_t edge = words[__builtin_ctzll(mask)] - base;

			edges[count] = edge;
			count += edge < end;
		}
	}
	marker->edge_count = count;
}

/* First page of the span of an entry that is not a large object. */
static inline uint64_t entry_first_page(uint64_t entry)
{
	return (MARK_ENTRY_OFFSET(entry) >> GCHEAP_PAGE_SHIFT) - GCHEAP_PAGE_INDEX(entry);
}

/* Length of that span. */
static inline uint64_t entry_span_bytes(uint64_t entry)
{
	return (uint64_t)page_info_pages(entry) << GCHEAP_PAGE_SHIFT;
}

/* The pointer mask of an object that has one of at most 64 words. */
static inline bool entry_mask(const struct marker *marker, uint64_t entry, uint64_t *mask)
{
	uint64_t first_page = entry_first_page(entry);

	switch (GCHEAP_PAGE_KIND(entry)) {
	case GCHEAP_KIND_MASK:
		*mask = marker->spans[first_page].ptr_mask;
		return true;
	case GCHEAP_KIND_HEAP_BITS:
		*mask = heap_bits_read(marker->view, first_page << GCHEAP_PAGE_SHIFT,
				       entry_span_bytes(entry), MARK_ENTRY_OFFSET(entry),
				       size_class_bytes[GCHEAP_PAGE_CLASS(entry)]);
		return true;
	case GCHEAP_KIND_BITMAP:
		if (size_class_bytes[GCHEAP_PAGE_CLASS(entry)] > BITMAP_GROUP_BYTES)
			return false;
		*mask = bitmap_read(marker->view, MARK_ENTRY_OFFSET(entry),
				    size_class_bytes[GCHEAP_PAGE_CLASS(entry)]);
		return true;
	default:
		return false;
	}
}

/* Scan elements of a type: a whole object, an oblet, roots. */
void mark_scan_typed(struct marker *marker, struct typed_pointers tp)
{
	while (tp.mask || typed_pointers_refill(&tp)) {
		mark_edges_room(marker);
		mark_scan_words(marker, (const uint64_t *)(uintptr_t)tp.addr, tp.mask);
		tp.mask = 0;
	}
}

/*
 * What the bitmap says of [@offset, @end), offsets from the base: of one object from
 * its first byte, or from any byte of a large one.
 */
static void scan_bitmap(struct marker *marker, uint64_t offset, uint64_t end)
{
	const uint64_t *group = bitmap_group(marker->view, offset);
	uint64_t below = low_ones(offset / 8 % 64);
	uint64_t at = offset & ~(uint64_t)(BITMAP_GROUP_BYTES - 1);

	for (; at < end; at += BITMAP_GROUP_BYTES, group += 2, below = 0) {
		uint64_t scans = group[1] | below;
		uint64_t mask = bitmap_mask(group[0] & ~below, scans) &
				low_ones((end - at) / 8);

		mark_edges_room(marker);
		mark_scan_words(marker, (const uint64_t *)(uintptr_t)(marker->base + at), mask);
		if (~scans)
			return;
	}
}

/* Scan up to 64 words from @at, but none from @end on. */
static inline void scan_group(struct marker *marker, uint64_t at, uint64_t end, uint64_t mask)
{
	mark_edges_room(marker);
	if (end - at < 512)
		mask &= (1ull << (end - at) / 8) - 1;
	mark_scan_words(marker, (const uint64_t *)(uintptr_t)at, mask);
}

/*
 * Scan elements of a type, whose first is at @at: what typed_pointers_of_type() does,
 * without the care for a start inside of an element.
 */
static void scan_elements(struct marker *marker, const struct gcheap_type_record *type,
			  uint64_t at, uint64_t end)
{
	uint64_t step = type->bytes;
	uint64_t tile = type->mask_word;

	if (type->mask_offset) {
		const uint64_t *masks = view_type_mask(marker->view, type);

		for (; at < end; at += step) {
			uint64_t groups = (type->ptr_bytes + 511) / 512;
			uint64_t i;

			for (i = 0; i < groups && at + i * 512 < end; i++)
				scan_group(marker, at + i * 512, end, masks[i]);
		}
		return;
	}
	/* As many elements at a time as a mask speaks of. */
	for (; step <= 256; step *= 2)
		tile |= tile << step / 8;
	for (; at < end; at += step)
		scan_group(marker, at, end, tile);
}

static void scan_small_typed(struct marker *marker, uint64_t entry)
{
	uint64_t offset = MARK_ENTRY_OFFSET(entry);
	uint64_t slot = marker->base + offset;
	uint64_t end = slot + size_class_bytes[GCHEAP_PAGE_CLASS(entry)];
	const struct gcheap_type_record *type;

	switch (GCHEAP_PAGE_KIND(entry)) {
	case GCHEAP_KIND_TYPE:
		type = view_type(marker->view, marker->spans[entry_first_page(entry)].type);
		break;
	case GCHEAP_KIND_BITMAP:
		scan_bitmap(marker, offset, end - marker->base);
		return;
	case GCHEAP_KIND_FOOTER:
		end -= FOOTER_BYTES;
		type = type_word_record(marker->view, end - marker->base);
		if (!type)
			return;
		break;
	default:
		type = type_word_record(marker->view, offset);
		if (!type)
			return;
		slot += header_prefix(type);
		break;
	}
	scan_elements(marker, type, slot, end);
}

/* A part of a large object; offsets from the base. */
static void scan_large_range(struct marker *marker, const struct gcheap_span *span,
			     uint64_t object, uint64_t start, uint64_t end)
{
	const struct gcheap_type_record *type = view_type(marker->view, span->type);
	uint64_t base = marker->base;

	if (marker->bitmap) {
		uint64_t last = object + bitmap_large_bytes(type, span->object_bytes);

		if (start < last)
			scan_bitmap(marker, start, end < last ? end : last);
		return;
	}
	mark_scan_typed(marker, typed_pointers_of_type(marker->view, type, base + object,
						       base + start, base + end));
}

/*
 * One oblet of a large object. The next one goes on the stack first, so that
 * what this one leads to is done before it, and the stack stays short.
 */
static void scan_oblet(struct marker *marker, uint64_t entry)
{
	uint64_t offset = MARK_ENTRY_OFFSET(entry);
	uint64_t page = offset >> GCHEAP_PAGE_SHIFT;
	const struct gcheap_span *span = &marker->spans[page];
	uint64_t object, object_end, end;

	if ((span->state & GCHEAP_SPAN_STATE_MASK) == GCHEAP_SPAN_INNER) {
		page = span->first_page;
		span = &marker->spans[page];
	}
	object = page << GCHEAP_PAGE_SHIFT;
	object_end = object + span->object_bytes;
	end = offset + MARK_OBLET_BYTES;
	if (end < object_end)
		mark_stack_push(&marker->stack, entry + MARK_OBLET_BYTES);
	else
		end = object_end;
	scan_large_range(marker, span, object, offset, end);
}

void mark_scan_large(struct marker *marker, uint64_t page)
{
	const struct gcheap_span *span = &marker->spans[page];
	uint64_t object = page << GCHEAP_PAGE_SHIFT;

	scan_large_range(marker, span, object, object, object + span->object_bytes);
}

static void scan_typed_entry(struct marker *marker, uint64_t entry)
{
	if (GCHEAP_PAGE_KIND(entry) == GCHEAP_KIND_LARGE)
		scan_oblet(marker, entry);
	else
		scan_small_typed(marker, entry);
}

static inline void scan_inline(struct marker *marker, uint64_t entry)
{
	uint64_t mask;

	if (__builtin_expect(entry_mask(marker, entry, &mask), 1)) {
		mark_edges_room(marker);
		mark_scan_words(marker, (const uint64_t *)(uintptr_t)
				(marker->base + MARK_ENTRY_OFFSET(entry)), mask);
	} else {
		scan_typed_entry(marker, entry);
	}
}

void mark_scan(struct marker *marker, uint64_t entry)
{
	scan_inline(marker, entry);
}

/*
 * Inlined by force: gcc takes a function that only prefetches for a pure one, and
 * drops its calls.
 */
static inline __attribute__((always_inline))
void entry_prefetch(const struct marker *marker, uint64_t entry)
{
	const char *slot = (const char *)(uintptr_t)(marker->base + MARK_ENTRY_OFFSET(entry));
	uint32_t bytes = size_class_bytes[GCHEAP_PAGE_CLASS(entry)];
	uint64_t first_page = entry_first_page(entry);
	uint32_t line;

	if (GCHEAP_PAGE_KIND(entry) == GCHEAP_KIND_HEAP_BITS)
		__builtin_prefetch(heap_bits_word(marker->view, first_page << GCHEAP_PAGE_SHIFT,
						  entry_span_bytes(entry),
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
					     marker->spans[entry_first_page(entry)].type));
}

/*
 * Keep the edges from @at up to @stop whose objects may be unmarked: most edges
 * lead to an object that is marked already, and the bit of the granule pointed at
 * tells, without its page being looked up. A clear bit may still be that of an
 * interior pointer. Returns how many are kept, @left of them from before.
 */
static inline size_t filter(struct marker *marker, size_t left, size_t at, size_t stop)
{
	const uint64_t *marks = marker->marks;
	uint64_t *edges = marker->edges;

	for (; at < stop; at++) {
		uint64_t edge = edges[at];
		uint64_t granule = edge >> GCHEAP_GRANULE_SHIFT;

		edges[left] = edge;
		left += ~(marks[granule >> 6] >> (granule & 63)) & 1;
	}
	return left;
}

/*
 * Fetch the next batch, and filter the edges of this one meanwhile: a core has
 * only so many misses in flight, and to ask for them all at once is to wait.
 */
static size_t filter_and_prefetch(struct marker *marker, const uint64_t *next, size_t next_count)
{
	size_t edges_each = next_count ? marker->edge_count / next_count : 0;
	size_t left = 0;
	size_t at = 0;
	size_t i;

	for (i = 0; i < next_count; i++) {
		entry_prefetch(marker, next[i]);
		left = filter(marker, left, at, at + edges_each);
		at += edges_each;
	}
	return filter(marker, left, at, marker->edge_count);
}

/* Edges that the stack has no room for: what is marked and dropped is an overflow. */
static void mark_filtered_slow(struct marker *marker, size_t count)
{
	while (count) {
		uint64_t entry = mark_edge(marker, marker->edges[--count]);

		if (entry)
			mark_stack_push(&marker->stack, entry);
	}
}

/* Mark what the first @count edges lead to. */
static inline void mark_filtered(struct marker *marker, size_t count)
{
	uint64_t *top;

	marker->edge_count = 0;
	if (mark_stack_reserve(&marker->stack, count) < count) {
		mark_filtered_slow(marker, count);
		return;
	}
	/* In reverse, so that an object's first pointer is on top. */
	top = marker->stack.top;
	while (count) {
		uint64_t entry = mark_edge(marker, marker->edges[--count]);

		*top = entry;
		top += entry != 0;
	}
	marker->stack.top = top;
}

void mark_edges(struct marker *marker)
{
	mark_filtered(marker, filter(marker, 0, 0, marker->edge_count));
}

/*
 * A frontier of one object, as in a list: there is nothing to fetch ahead, so
 * follow it without the batch's detours until the frontier is wider.
 */
static GUARD_EXEMPT void mark_chase(struct marker *marker, uint64_t entry)
{
	do {
		const uint64_t *words;
		uint64_t next = 0;
		uint64_t mask;

		if (!entry_mask(marker, entry, &mask)) {
			scan_typed_entry(marker, entry);
			mark_edges(marker);
			return;
		}
		words = (const uint64_t *)(uintptr_t)(marker->base + MARK_ENTRY_OFFSET(entry));
		for (; mask; mask &= mask - 1) {
			uint64_t edge = words[__builtin_ctzll(mask)] - marker->base;
			uint64_t found;

			if (edge >= marker->end || mark_raw_bit(marker, edge))
				continue;
			found = mark_edge(marker, edge);
			if (found && next)
				mark_stack_push(&marker->stack, next);
			if (found)
				next = found;
		}
		entry = next;
	} while (entry && mark_stack_empty(&marker->stack));
	if (entry)
		mark_stack_push(&marker->stack, entry);
}

void mark_drain(struct marker *marker)
{
	uint64_t batches[2][MARK_BATCH];
	size_t fetched = 0;	/* in the batch that was prefetched last time */
	unsigned int turn = 0;

	for (;;) {
		const uint64_t *scan = batches[turn ^ 1];
		uint64_t *next = batches[turn];
		size_t count = mark_stack_take(&marker->stack, next, MARK_BATCH);
		size_t i;

		if (!count && !fetched)
			return;
		if (count == 1 && !fetched && mark_stack_empty(&marker->stack)) {
			mark_chase(marker, next[0]);
			continue;
		}
		for (i = 0; i < fetched; i++) {
			if (i + RECORD_AHEAD < fetched)
				record_prefetch(marker, scan[i + RECORD_AHEAD]);
			scan_inline(marker, scan[i]);
		}
		mark_filtered(marker, filter_and_prefetch(marker, next, count));
		fetched = count;
		turn ^= 1;
	}
}
