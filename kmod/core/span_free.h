/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The end of spans: their pages become free, or, in a heap of
 * GCHEAP_SETUP_FAULT_FREED, stay in quarantine without memory.
 */
#ifndef GCHEAP_CORE_SPAN_FREE_H
#define GCHEAP_CORE_SPAN_FREE_H

#include "span.h"

/**
 * span_run_add() - end a span
 * @heap: the heap
 * @run: where its pages are added, after those of the run so far have been freed
 *	if it does not follow them
 * @page: its first page; on no list
 *
 * Return: how many pages it had.
 */
u32 span_run_add(struct heap *heap, struct span_run *run, u32 page);

/* Free the pages of a run, or take their memory away; it is empty then. */
void span_run_end(struct heap *heap, struct span_run *run);

/* End a single span. */
void span_free(struct heap *heap, u32 page);

#endif /* GCHEAP_CORE_SPAN_FREE_H */
