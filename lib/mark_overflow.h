/* SPDX-License-Identifier: MIT */
/*
 * Overflow: entries that a marker's stack has no room for, within the bound of all stacks or
 * because there is no memory. Each becomes a bit, that of its first granule, in a table that is
 * made when the first one comes and goes with the cycle: a hundred-and-twenty-eighth of the heap,
 * of which there is as much as is written. When all else is done, the bits are entries again.
 *
 * An entry overflows once at most, as the stack it comes back to has room for it; so what a cycle
 * takes is in proportion to the heap, however small the stacks are. Where there is no memory even
 * for the table, all that is marked is scanned again instead (mark_take_up()).
 */
#ifndef GCHEAP_LIB_MARK_OVERFLOW_H
#define GCHEAP_LIB_MARK_OVERFLOW_H

#include "mark_edge.h"

/* Keep an entry that there is no room for. Any marker may. */
void mark_overflow(struct marker *marker, uint64_t entry);

/* Put an entry on the stack, or keep it otherwise. */
static inline void mark_push(struct marker *marker, uint64_t entry)
{
	if (!mark_stack_push(&marker->stack, entry))
		mark_overflow(marker, entry);
}

/**
 * mark_overflow_page() - put on the stack what has overflowed of a heap page
 * @marker: the first one; the others are idle
 * @page: the page
 *
 * The stack has room for as many entries as a page has granules.
 */
void mark_overflow_page(struct marker *marker, uint64_t page);

/* Of 64 pages, the first being @page, those of which something has overflowed; forgets that. */
uint64_t mark_overflow_pages(struct marker *marker, uint64_t page);

/* Forget the table. */
void mark_overflow_end(struct mark_overflow *overflow);

#endif /* GCHEAP_LIB_MARK_OVERFLOW_H */
