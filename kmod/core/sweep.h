/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The sweep: after marking, spans without a marked object become free pages, and of the
 * others it is counted how many of their slots are free.
 *
 * SWEEP_START swaps the roles of the two bit tables, so that the mark bits are the alloc
 * bits from then on: nothing is copied. The page reclaimer (reclaim.h) frees wholly dead
 * spans without reading a mark bit, at once or, after a lazy SWEEP_START, as pages are
 * needed. The slots of the other spans are counted span by span: when REFILL needs a
 * span, in proportion to what is allocated, by SWEEP, or at last by the next MARK_START.
 * All of these take a span without a page mark for dead.
 */
#ifndef GCHEAP_CORE_SWEEP_H
#define GCHEAP_CORE_SWEEP_H

#include "heap.h"

/**
 * sweep_one() - sweep an unswept span of a central
 * @heap: the heap
 * @central: the central
 *
 * The span moves to a swept list, or becomes free pages. Return: false: there is none.
 */
bool sweep_one(struct heap *heap, struct central *central);

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
 * sweep_step() - sweep spans, those first that the reclaimer finds
 * @heap: the heap
 * @max_spans: stop after this many
 * @swept: how many were swept, or freed without being read
 * @freed: how many of these were freed
 *
 * Return: 0: @max_spans are done, or all; -EINTR when a fatal signal ended the work
 * early.
 */
int sweep_step(struct heap *heap, u64 max_spans, u64 *swept, u64 *freed);

/**
 * sweep_make_room() - finish the sweep, and make ready chunks free pages
 * @heap: the heap; a request was about to fail for want of pages
 *
 * Return: whether it did any of it, so that it is worth to try again.
 */
bool sweep_make_room(struct heap *heap);

/**
 * sweep_share() - how many spans to sweep for what is handed out
 * @heap: the heap
 * @bytes: how much that is
 * @pages: of these bytes, heap pages that are in no span yet
 *
 * Return: the number; U64_MAX: all; 0 when nothing is left to sweep, or nobody wants it.
 */
u64 sweep_share(const struct heap *heap, u64 bytes, u64 pages);

/**
 * sweep_in_proportion() - sweep for what has just been handed out
 * @heap: the heap
 * @bytes: of free slots, or of a large object
 *
 * Does nothing when SWEEP_START named no goal. Else, with U spans unswept, and L
 * bytes left until the heap has the size of the goal, now that @bytes are gone,
 *
 *	U * @bytes / (L + @bytes), rounded up,
 *
 * spans are swept: as large a part of the unswept ones as @bytes is of the bytes
 * that were left before it. With L = 0 that is all: nothing is unswept when the
 * heap reaches its goal. L is taken from the heap's size each time, so that
 * neither allocation in the holes of old spans, nor spans that were freed, nor
 * rounding can add up to a backlog. Dead spans that the reclaimer has still to
 * find do not count in the heap's size, as far as they are known: it cannot grow
 * while there are any.
 */
void sweep_in_proportion(struct heap *heap, u64 bytes);

/**
 * sweep_clear_marks() - clear the mark bits and page marks of spans
 * @heap: the heap
 * @page: where to begin, a multiple of 64
 * @most: stop after so many times 64 pages with spans
 *
 * Other pages have no mark bits; a page mark that is left where no span begins says
 * nothing.
 *
 * Return: where to go on; BIT_INDEX_NONE: all are done.
 */
u32 sweep_clear_marks(struct heap *heap, u32 page, u32 most);

#endif /* GCHEAP_CORE_SWEEP_H */
