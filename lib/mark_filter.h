/* SPDX-License-Identifier: MIT */
/*
 * From edges to the stack: most edges lead to an object that is marked already, and fall out; the
 * objects of the others are marked, and pushed where they have pointers.
 */
#ifndef GCHEAP_LIB_MARK_FILTER_H
#define GCHEAP_LIB_MARK_FILTER_H

#include "mark_overflow.h"

/* Filter and mark what @marker->edges has. */
void mark_edges(struct marker *marker);

/* Make room for a mask's edges. */
static inline void mark_edges_room(struct marker *marker)
{
	if (__builtin_expect(marker->edge_count > MARK_EDGES - 64, 0))
		mark_edges(marker);
}

/* The same with edges that the stack has no room for. */
void mark_filtered_slow(struct marker *marker, const uint64_t *edges, size_t count);

/**
 * mark_filter() - keep the edges whose objects may be unmarked
 * @marker: the marker
 * @edges: the edges
 * @left: how many of them are kept from before
 * @at: the first one to look at
 * @stop: and the end
 *
 * The bit of the granule pointed at tells, without its page being looked up. A clear bit may
 * still be that of an interior pointer. Return: how many are kept.
 */
static inline size_t mark_filter(const struct marker *marker, uint64_t *edges, size_t left,
				 size_t at, size_t stop)
{
	const uint64_t *marks = marker->marks;

	for (; at < stop; at++) {
		uint64_t edge = edges[at];
		uint64_t granule = edge >> GCHEAP_GRANULE_SHIFT;

		edges[left] = edge;
		left += ~(__atomic_load_n(&marks[granule >> 6], __ATOMIC_RELAXED) >>
			  (granule & 63)) & 1;
	}
	return left;
}

/* Mark what the first @count edges lead to. */
static inline __attribute__((always_inline))
void mark_filtered(struct marker *marker, const uint64_t *edges, size_t count,
		   const bool is_shared)
{
	uint64_t *top;
	size_t i;

	/* An atomic waits alone for a line that another core has: have them all come at once. */
	for (i = 0; is_shared && i < count; i++)
		mark_prefetch_word_to_write(marker, edges[i]);

	if (__builtin_expect(mark_stack_reserve(&marker->stack, count) < count, 0)) {
		mark_filtered_slow(marker, edges, count);
		return;
	}
	/* In reverse, so that an object's first pointer is on top. */
	top = marker->stack.top;
	while (count) {
		uint64_t entry = mark_edge(marker, edges[--count], is_shared, false);

		*top = entry;
		top += entry != 0;
	}
	marker->stack.top = top;
}

#endif /* GCHEAP_LIB_MARK_FILTER_H */
