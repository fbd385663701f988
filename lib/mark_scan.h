/* SPDX-License-Identifier: MIT */
/*
 * Scanning: from an entry to the edges of its object.
 */
#ifndef GCHEAP_LIB_MARK_SCAN_H
#define GCHEAP_LIB_MARK_SCAN_H

#include "guard.h"
#include "layout/bitmap.h"
#include "layout/heap_bits.h"
#include "layout/typed_pointers.h"
#include "mark_filter.h"
#include "mark_kernel.h"

/* Collect the edges of up to 64 words. What is behind an object may be guarded. */
static inline GUARD_EXEMPT
void mark_scan_words(struct marker *marker, const uint64_t *words, uint64_t mask)
{
	uint64_t *edges = marker->edges;
	size_t count = marker->edge_count;
	const uint64_t base = marker->base;
	const uint64_t end = marker->end;

	if ((mask & 0xff) == 0xff) {
		marker->edge_count += marker->kernel->scan(words, mask, base, end, edges + count);
		return;
	}
	/* NULL and foreign pointers vanish without a branch. */
	for (; mask; mask &= mask - 1) {
		uint64_t edge = words[__builtin_ctzll(mask)] - base;

		edges[count] = edge;
		count += edge < end;
	}
	marker->edge_count = count;
}

/* First page of the span of an entry that is not a large object. */
static inline uint64_t mark_entry_first_page(uint64_t entry)
{
	return (MARK_ENTRY_OFFSET(entry) >> GCHEAP_PAGE_SHIFT) - GCHEAP_PAGE_INDEX(entry);
}

/* Length of that span. */
static inline uint64_t mark_entry_span_bytes(uint64_t entry)
{
	return (uint64_t)page_info_pages(entry) << GCHEAP_PAGE_SHIFT;
}

/* The pointer mask of an object that has one of at most 64 words. */
static inline bool mark_entry_mask(const struct marker *marker, uint64_t entry, uint64_t *mask)
{
	uint64_t first_page = mark_entry_first_page(entry);

	if (__builtin_expect(GCHEAP_PAGE_KIND(entry) == GCHEAP_KIND_MASK, 1)) {
		*mask = marker->spans[first_page].ptr_mask;
		return true;
	}
	switch (GCHEAP_PAGE_KIND(entry)) {
	case GCHEAP_KIND_HEAP_BITS:
		*mask = heap_bits_read(marker->view, first_page << GCHEAP_PAGE_SHIFT,
				       mark_entry_span_bytes(entry), MARK_ENTRY_OFFSET(entry),
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

/* Scan an entry whose object has no mask of at most 64 words. */
void mark_scan_rare(struct marker *marker, uint64_t entry);
/* Scan elements of a type: roots, oblets. */
void mark_scan_typed(struct marker *marker, struct typed_pointers tp);
/* Scan the chunk of a user arena whole. */
void mark_scan_chunk(struct marker *marker, uint64_t number);
/* Scan a large object whole, and leave nothing of it on the stack. */
void mark_scan_large(struct marker *marker, uint64_t page);

/* Scan one entry, which leaves edges behind. */
static inline void mark_scan(struct marker *marker, uint64_t entry)
{
	uint64_t mask;

	if (__builtin_expect(mark_entry_mask(marker, entry, &mask), 1)) {
		mark_edges_room(marker);
		mark_scan_words(marker, (const uint64_t *)(uintptr_t)
				(marker->base + MARK_ENTRY_OFFSET(entry)), mask);
	} else {
		mark_scan_rare(marker, entry);
	}
}

#endif /* GCHEAP_LIB_MARK_SCAN_H */
