/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The requests that act on a heap. Each validates its struct, flags and reserved fields
 * too, so that every caller gets the same answers; errors are those that
 * <linux/gcheap.h> documents.
 */
#ifndef GCHEAP_CORE_REQUESTS_H
#define GCHEAP_CORE_REQUESTS_H

#include "heap.h"

/**
 * heap_mark_prepare() - a piece of what MARK_START has to clear
 * @heap: the heap; nothing is left to sweep
 * @begin: from the beginning
 *
 * Between pieces, and before heap_mark_start(), other requests may be done.
 *
 * Return: whether there is more. heap_mark_start() does what is left.
 */
bool heap_mark_prepare(struct heap *heap, bool begin);

int heap_mark_start(struct heap *heap, struct gcheap_mark_start *start);
int heap_sweep_start(struct heap *heap, struct gcheap_sweep_start *start);

/* Spans that are still to be looked at: while the reclaimer walks, large ones too. */
u64 heap_spans_left(const struct heap *heap);

int heap_sweep(struct heap *heap, struct gcheap_sweep *sweep);

int heap_reclaim(struct heap *heap, struct gcheap_reclaim *request);
int heap_scavenge(struct heap *heap, struct gcheap_scavenge *request);

int heap_alloc_large(struct heap *heap, struct gcheap_alloc_large *alloc);
int heap_free_large(struct heap *heap, struct gcheap_free_large *request);

int heap_chunk_new(struct heap *heap, struct gcheap_chunk_new *request);
int heap_chunk_free(struct heap *heap, struct gcheap_chunk_free *request);
int heap_chunk_ready(struct heap *heap, struct gcheap_chunk_ready *request);

int heap_stats(struct heap *heap, struct gcheap_heap_stats *stats);

#endif /* GCHEAP_CORE_REQUESTS_H */
