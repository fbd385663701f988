// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Requests.
 */
#include "requests.h"

#include "chunk.h"
#include "counters.h"
#include "large.h"
#include "page_cache.h"
#include "page_runs.h"
#include "quarantine.h"
#include "reclaim.h"
#include "scavenge.h"
#include "span.h"
#include "span_free.h"
#include "sweep.h"

/* ---- a cycle --------------------------------------------------------------- */

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

/* ---- memory ---------------------------------------------------------------- */

int heap_reclaim(struct heap *heap, struct gcheap_reclaim *request)
{
	struct reclaim *reclaim = &heap->reclaim;
	u64 spans;

	if (request->flags)
		return -EOPNOTSUPP;
	if (!request->max_pages)
		return -EINVAL;
	request->out_pages = reclaim_walk(heap, U64_MAX, request->max_pages, &spans);
	request->out_left = reclaim_is_done(heap) ? 0 : reclaim->end - reclaim->page;
	heap->counters.reclaimed_pages += request->out_pages;
	reclaim_add_credit(heap, request->out_pages);
	return request->out_left && request->out_pages < request->max_pages ? -EINTR : 0;
}

int heap_scavenge(struct heap *heap, struct gcheap_scavenge *request)
{
	u64 tables;
	int error;

	if (request->flags)
		return -EOPNOTSUPP;
	if (!request->max_bytes)
		return -EINVAL;
	error = scavenge(heap, request->max_bytes, &request->out_bytes, &tables);
	heap_update_counters(heap);
	request->out_free_bytes = heap->counters.free_bytes + heap->counters.stock_bytes;
	return error;
}

/* ---- large objects --------------------------------------------------------- */

int heap_alloc_large(struct heap *heap, struct gcheap_alloc_large *alloc)
{
	struct large_work work = { 0 };
	int error;

	do {
		error = large_alloc_some(heap, alloc, &work, U32_MAX);
	} while (error == LARGE_MORE);
	if (error) {
		while (large_alloc_undo(heap, alloc, &work, U32_MAX))
			;
	}
	return error;
}

int heap_free_large(struct heap *heap, struct gcheap_free_large *request)
{
	const struct gcheap_span *span;

	if (request->flags)
		return -EOPNOTSUPP;
	if (request->reserved || !request->page || request->page >= heap->heap_pages)
		return -EINVAL;
	span = heap_span(heap, heap_page_nospec(heap, request->page));
	if (span_state(span) != GCHEAP_SPAN_LARGE)
		return -EINVAL;
	if (heap->phase == GCHEAP_PHASE_MARK)
		return -EBUSY;
	span_free(heap, request->page);
	return 0;
}

/* ---- chunks ---------------------------------------------------------------- */

/* A chunk of free pages. As for spans, dead ones are freed before the heap grows for it. */
static u32 chunk_of_free_pages(struct heap *heap, bool *needzero)
{
	u32 page;

	reclaim_for(heap, CHUNK_PAGES);
	page = chunk_make(heap, needzero);
	if (!page && sweep_make_room(heap))
		page = chunk_make(heap, needzero);
	if (page)
		reclaim_spend(heap, CHUNK_PAGES);
	return page;
}

int heap_chunk_new(struct heap *heap, struct gcheap_chunk_new *request)
{
	bool needzero;
	u32 page;

	if (request->flags)
		return -EOPNOTSUPP;
	page = chunk_take_ready(heap, &needzero);
	if (!page)
		page = chunk_of_free_pages(heap, &needzero);
	if (!page)
		return -ENOMEM;
	heap->counters.chunks++;
	heap->counters.in_use_pages += CHUNK_PAGES;
	request->out_page = page;
	request->out_flags = needzero ? GCHEAP_GRANT_NEEDZERO : 0;
	return 0;
}

int heap_chunk_free(struct heap *heap, struct gcheap_chunk_free *request)
{
	struct gcheap_span *span;

	if (request->flags)
		return -EOPNOTSUPP;
	if (request->reserved)
		return -EINVAL;
	span = chunk_find(heap, request->page, GCHEAP_SPAN_CHUNK);
	if (!span)
		return -EINVAL;
	span->state = GCHEAP_SPAN_QUARANTINE;
	heap->counters.chunks--;
	heap->counters.in_use_pages -= CHUNK_PAGES;
	heap->counters.quarantined_pages += CHUNK_PAGES;
	page_run_depopulate(heap, request->page, CHUNK_PAGES);
	return 0;
}

int heap_chunk_ready(struct heap *heap, struct gcheap_chunk_ready *request)
{
	struct gcheap_span *span;

	if (request->flags)
		return -EOPNOTSUPP;
	if (request->reserved)
		return -EINVAL;
	span = chunk_find(heap, request->page, GCHEAP_SPAN_QUARANTINE);
	if (!span)
		return -EINVAL;
	if (heap->phase == GCHEAP_PHASE_MARK)
		return -EBUSY;
	chunk_put_ready(heap, request->page, span);
	heap->counters.quarantined_pages -= CHUNK_PAGES;
	return 0;
}

/* ---- figures --------------------------------------------------------------- */

int heap_stats(struct heap *heap, struct gcheap_heap_stats *stats)
{
	if (stats->flags)
		return -EOPNOTSUPP;
	heap_update_counters(heap);
	counters_copy(&stats->out_counters, &heap->counters);
	return 0;
}
