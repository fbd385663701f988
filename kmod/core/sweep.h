/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The sweep: after marking, spans without a marked object go back to free pages,
 * the others learn how many of their slots are free.
 *
 * SWEEP_START swaps the roles of the two bit tables, so that the mark bits are
 * the alloc bits from then on: nothing is copied. It frees wholly dead spans by
 * the page marks, 64 heap pages a word, without reading a mark bit. What is left
 * is counted span by span when REFILL needs it, by SWEEP, or at last by the next
 * MARK_START.
 */
#ifndef GCHEAP_CORE_SWEEP_H
#define GCHEAP_CORE_SWEEP_H

#include "port.h"

/**
 * sweep_span() - sweep one span
 * @heap: the heap
 * @page: the span's first page; taken off its list already
 *
 * Return: true when a marked object was found: the span is swept, and on no
 * list. False: the span was freed.
 */
bool sweep_span(struct heap *heap, u32 page);

/**
 * sweep_some() - sweep spans in the order of the centrals
 * @heap: the heap
 * @max_spans: stop after this many
 * @swept: how many were swept
 * @freed: how many of these were freed
 *
 * Return: 0, or -EINTR when a fatal signal ended the work early.
 */
int sweep_some(struct heap *heap, u64 max_spans, u64 *swept, u64 *freed);

/**
 * sweep_unmarked() - free the spans that have no page mark
 * @heap: the heap, its generation just stepped
 * @freed_spans: how many
 * @freed_pages: their length
 *
 * A fatal signal ends it early; the rest are then found by their mark bits.
 */
void sweep_unmarked(struct heap *heap, u64 *freed_spans, u64 *freed_pages);

/*
 * Clear the mark bits and page marks of all spans. Other pages have no mark bits;
 * a page mark that is left where no span begins says nothing.
 */
void sweep_clear_marks(struct heap *heap);

#endif /* GCHEAP_CORE_SWEEP_H */
