// SPDX-License-Identifier: MIT
/*
 * Edges that do not come by the batch: those of roots, and of what has more than the buffer holds.
 */
#include "mark_filter.h"

/* So many edges before one is filtered its mark word is fetched. */
#define AHEAD	16u

void mark_filtered_slow(struct marker *marker, const uint64_t *edges, size_t count)
{
	while (count) {
		uint64_t entry = mark_edge(marker, edges[--count], marker->is_shared,
					   false);

		if (entry)
			mark_push(marker, entry);
	}
}

static void edge_watched(struct marker *marker, uint64_t edge)
{
	struct slot slot;
	uint64_t entry;
	bool is_new;

	if (mark_raw_bit(marker, edge))
		return;
	/* That of a free slot is set. */
	is_new = address_slot(marker->view, edge, &slot) &&
		 !view_bit(marker->marks, granule_of(slot.offset));
	entry = mark_edge(marker, edge, false, false);
	if (entry)
		mark_push(marker, entry);
	if (is_new)
		marker->watch.fn(marker->watch.arg, &slot);
}

/* One by one, for who wants to know of each object. */
static void edges_watched(struct marker *marker)
{
	size_t i;

	for (i = 0; i < marker->edge_count; i++)
		edge_watched(marker, marker->edges[i]);
	marker->edge_count = 0;
}

void mark_edges(struct marker *marker)
{
	size_t count = marker->edge_count;
	size_t left = 0;
	size_t at;

	if (__builtin_expect(!!marker->watch.fn, 0)) {
		edges_watched(marker);
		return;
	}
	for (at = 0; at + AHEAD < count; at++) {
		mark_prefetch_word(marker, marker->edges[at + AHEAD]);
		left = mark_filter(marker, marker->edges, left, at, at + 1);
	}
	left = mark_filter(marker, marker->edges, left, at, count);
	marker->edge_count = 0;
	if (marker->is_shared)
		mark_filtered(marker, marker->edges, left, true);
	else
		mark_filtered(marker, marker->edges, left, false);
}
