// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Requests.
 */
#include "requests.h"

#include "chunk.h"
#include "counters.h"
#include "page_cache.h"
#include "quarantine.h"
#include "reclaim.h"
#include "span.h"
#include "sweep.h"

/* ---- room ------------------------------------------------------------------- */

bool heap_make_room(struct heap *heap)
{
	u64 swept, freed;
	bool any;

	sweep_step(heap, U64_MAX, &swept, &freed);
	any = chunks_give_back(heap);
	return any || swept;
}

/* ---- requests --------------------------------------------------------------- */

#define CLEAR_WORDS	128u	/* 64 MiB of heap with spans everywhere */
#define CLEAR_SPANS	4096u	/* in quarantine */

bool heap_mark_prepare(struct heap *heap, bool begin)
{
	if (begin) {
		heap->marks_cleared = 0;
		heap->quarantine.cleared = 0;
	}
	if (heap->phase != GCHEAP_PHASE_IDLE || heap->counters.unswept_spans ||
	    !reclaim_is_done(heap))
		return false;
	if (heap->marks_cleared != BIT_INDEX_NONE) {
		heap->marks_cleared = sweep_clear_marks(heap, heap->marks_cleared, CLEAR_WORDS);
		if (heap->marks_cleared != BIT_INDEX_NONE)
			return true;
	}
	return quarantine_clear_some(heap, CLEAR_SPANS);
}

int heap_mark_start(struct heap *heap, struct gcheap_mark_start *start)
{
	u64 freed;
	int error;

	if (start->flags)
		return -EOPNOTSUPP;
	if (heap->phase != GCHEAP_PHASE_IDLE)
		return -EBUSY;
	error = sweep_step(heap, U64_MAX, &start->out_swept_spans, &freed);
	if (error)
		return error;
	page_caches_empty(&heap->page_heap);
	if (heap->marks_cleared != BIT_INDEX_NONE)
		sweep_clear_marks(heap, heap->marks_cleared, U32_MAX);
	heap->marks_cleared = 0;
	quarantine_clear_marks(heap);
	heap->phase = GCHEAP_PHASE_MARK;
	start->out_generation = heap->generation;
	start->out_mark_table = heap->mark_table;
	return 0;
}

u64 heap_spans_left(const struct heap *heap)
{
	u64 large = reclaim_is_done(heap) ? 0 : heap->large_spans;

	return heap->counters.unswept_spans + large;
}

int heap_sweep_start(struct heap *heap, struct gcheap_sweep_start *start)
{
	if (start->flags & ~GCHEAP_SWEEP_START_LAZY)
		return -EOPNOTSUPP;
	if (heap->phase != GCHEAP_PHASE_MARK)
		return -EINVAL;
	if (heap->counters.cached_spans)
		return -EBUSY;
	heap->goal_bytes = start->goal_bytes;
	heap->phase = GCHEAP_PHASE_IDLE;
	heap->marks_cleared = 0;
	heap->generation += 2;
	heap->mark_table ^= 1;
	heap->centrals.sweep_from = NULL;
	heap->counters.unswept_spans = heap->counters.spans - heap->large_spans;
	/* What is dead goes into the quarantine after the old ones have left it. */
	quarantine_release(heap);
	page_caches_empty(&heap->page_heap);
	reclaim_begin(heap);
	start->out_freed_spans = 0;
	start->out_freed_pages = 0;
	if (!(start->flags & GCHEAP_SWEEP_START_LAZY))
		start->out_freed_pages = reclaim_walk(heap, U64_MAX, U64_MAX,
						      &start->out_freed_spans);
	if (start->goal_bytes && !reclaim_is_done(heap))
		reclaim_estimate(heap);
	start->out_generation = heap->generation;
	start->out_mark_table = heap->mark_table;
	start->out_unswept_spans = heap_spans_left(heap);
	return 0;
}

int heap_sweep(struct heap *heap, struct gcheap_sweep *sweep)
{
	int error;

	if (sweep->flags)
		return -EOPNOTSUPP;
	if (!sweep->max_spans)
		return -EINVAL;
	error = sweep_step(heap, sweep->max_spans, &sweep->out_swept_spans,
			   &sweep->out_freed_spans);
	sweep->out_unswept_spans = heap_spans_left(heap);
	return error;
}

int heap_stats(struct heap *heap, struct gcheap_heap_stats *stats)
{
	if (stats->flags)
		return -EOPNOTSUPP;
	heap_update_counters(heap);
	counters_copy(&stats->out_counters, &heap->counters);
	return 0;
}
