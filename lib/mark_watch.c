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

void mark_drain_watched(struct marker *marker)
{
	uint64_t entry;

	while (mark_stack_take(&marker->stack, &entry, 1)) {
		mark_scan(marker, entry);
		mark_edges(marker);
		marker->scanned++;
	}
}
