// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Requests.
 */
#include "requests.h"

#include "central.h"
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

/*
 * While the list is walked, a cached span's unused @next marks it as seen, so
 * that a page that stands twice is found without a table.
 */
static int returns_check(struct heap *heap, const u32 *returns, u32 count)
{
	int error = 0;
	u32 i;

	for (i = 0; i < count; i++) {
		struct gcheap_span *span;

		if (!returns[i] || returns[i] >= heap->heap_pages) {
			error = -EINVAL;
			break;
		}
		span = heap_span(heap, heap_page_nospec(heap, returns[i]));
		if (span_state(span) != GCHEAP_SPAN_CACHED || span->next) {
			error = -EINVAL;
			break;
		}
		span->next = returns[i];
	}
	while (i--)
		heap_span(heap, returns[i])->next = 0;
	return error;
}

int heap_refill_check(struct heap *heap, const struct gcheap_refill *refill,
		      const u32 *returns, struct span_key *key)
{
	if (refill->flags & ~GCHEAP_REFILL_MIXED)
		return -EOPNOTSUPP;
	if (refill->flags & GCHEAP_REFILL_MIXED && heap->layout != GCHEAP_UAPI_LAYOUT_SPAN)
		return -EINVAL;
	if (refill->return_count > GCHEAP_REFILL_MAX || refill->grant_count > GCHEAP_REFILL_MAX)
		return -EOVERFLOW;
	if (refill->want_bytes && !refill->grant_count)
		return -EINVAL;
	if (!returns)
		return 0;
	if (refill->want_bytes) {
		int error = central_key_make(heap, refill->type, refill->size_class,
					     refill->flags, key);

		if (error)
			return error;
	}
	return returns_check(heap, returns, refill->return_count);
}

/* Fills in what a grant tells of its span; returns the bytes of the free slots. */
static u64 grant_describe(struct heap *heap, struct gcheap_grant *grant)
{
	const struct gcheap_span *span = heap_span(heap, grant->page);

	grant->free_slots = span->slots - span->allocated;
	grant->slots = span->slots;
	grant->flags = span->state & GCHEAP_SPAN_NEEDZERO ? GCHEAP_GRANT_NEEDZERO : 0;
	return (u64)grant->free_slots * size_class_bytes[SPAN_CLASS_SIZE(span->span_class)];
}

/* Takes spans until they have @want bytes free, or @most spans; how many. */
static u32 refill_take(struct heap *heap, struct central *central, u64 want, u32 most,
		       struct gcheap_grant *grants)
{
	u32 size_class = SPAN_CLASS_SIZE(central->key.span_class);
	u32 span_bytes = (u32)size_class_pages[size_class] << GCHEAP_PAGE_SHIFT;
	u64 bytes = 0;
	u32 granted = 0;

	while (granted < most && bytes < want) {
		u64 spans = DIV_ROUND_UP(want - bytes, span_bytes);
		u32 end = granted + central_take(heap, central, grants + granted,
						 (u32)min_t(u64, spans, most - granted));

		if (end == granted)
			break;
		while (granted < end)
			bytes += grant_describe(heap, &grants[granted++]);
	}
	if (granted)
		sweep_in_proportion(heap, bytes);
	return granted;
}

int heap_refill(struct heap *heap, struct gcheap_refill *refill,
		const u32 *returns, struct gcheap_grant *grants,
		const struct span_key *key)
{
	u32 granted = 0;
	u32 i;

	if (refill->want_bytes) {
		struct central *central = central_get(heap, key);

		if (central)
			granted = refill_take(heap, central, refill->want_bytes,
					      refill->grant_count, grants);
		if (!granted)
			return -ENOMEM;
	}
	for (i = 0; i < refill->return_count; i++)
		central_give(heap, returns[i]);
	refill->out_granted = granted;
	heap->counters.refills++;
	heap->counters.refilled_spans += granted;
	return 0;
}

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
