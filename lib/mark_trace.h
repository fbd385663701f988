/* SPDX-License-Identifier: MIT */
/*
 * Following edges: from what is marked to what that leads to, until nothing is left.
 */
#ifndef GCHEAP_LIB_MARK_TRACE_H
#define GCHEAP_LIB_MARK_TRACE_H

#include "layout/typed_pointers.h"
#include "mark_edge.h"

/* Mark what the collected edges lead to, and put it on the stack. */
void mark_edges(struct marker *marker);

/* Make room for a mask's edges. */
static inline void mark_edges_room(struct marker *marker)
{
	if (__builtin_expect(marker->edge_count > MARK_EDGES - 64, 0))
		mark_edges(marker);
}

/* Scan one entry, which leaves edges behind. */
void mark_scan(struct marker *marker, uint64_t entry);
/* Scan elements of a type: roots, oblets. */
void mark_scan_typed(struct marker *marker, struct typed_pointers tp);
/* Scan a large object whole, and leave nothing of it on the stack. */
void mark_scan_large(struct marker *marker, uint64_t page);

/* Empty the stack. */
void mark_drain(struct marker *marker);

#endif /* GCHEAP_LIB_MARK_TRACE_H */
