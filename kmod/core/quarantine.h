/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The quarantine of freed spans, in heaps of GCHEAP_SETUP_FAULT_FREED: a freed
 * span keeps its addresses and its descriptor, loses its memory, and each access
 * to it faults, so that a use after free is found where it happens.
 *
 * It ends with the first SWEEP_START after a whole cycle, MARK_START included, in
 * which no page mark was set for the span: the marker found no pointer into it. A
 * marker that does find one sets the page mark of the span's first page, and the
 * span stays.
 *
 * The spans are a list by their descriptors' @next, in the order in which they were
 * freed. Freed chunks are not in it: they leave quarantine by CHUNK_READY, which the
 * owner sends when their page marks, too, have stayed clear for a whole cycle.
 */
#ifndef GCHEAP_CORE_QUARANTINE_H
#define GCHEAP_CORE_QUARANTINE_H

#include "heap.h"

/**
 * quarantine_add() - put a span in quarantine
 * @heap: the heap
 * @page: the span's first page; not in use any more. Its memory is the caller's
 *	to take away
 */
void quarantine_add(struct heap *heap, u32 page);

/*
 * Before MARK_START, as between two cycles spans only come to the end of the list: clear
 * page marks of the next @most spans in quarantine. Return: whether there are more.
 */
bool quarantine_clear_some(struct heap *heap, u32 most);

/*
 * At MARK_START: clear the page marks of all spans and chunks in quarantine, but for those
 * done before.
 */
void quarantine_clear_marks(struct heap *heap);

/* At SWEEP_START, the generation just stepped: free the pages of spans that may go. */
void quarantine_release(struct heap *heap);

#endif /* GCHEAP_CORE_QUARANTINE_H */
