// SPDX-License-Identifier: MIT
/*
 * Marking object by object, for who wants to know of each. The loop of mark_trace.c does not tell:
 * objects without pointers are marked there and forgotten.
 */
#include "mark_watch.h"

#include "mark.h"
#include "mark_scan.h"

void mark_watch(struct marker *marker, void (*fn)(void *arg, const struct slot *slot), void *arg)
{
	marker->watch = (struct mark_watch) { .fn = fn, .arg = arg };
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

void mark_edges_watched(struct marker *marker)
{
	size_t i;

	for (i = 0; i < marker->edge_count; i++)
		edge_watched(marker, marker->edges[i]);
	marker->edge_count = 0;
}

void mark_drain_watched(struct marker *marker)
{
	uint64_t entry;

	while (mark_stack_take(&marker->stack, &entry, 1)) {
		mark_scan(marker, entry);
		mark_edges_watched(marker);
		marker->scanned++;
	}
}
