// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Life of a heap, its pages, and its requests.
 */
#include "heap.h"

static_assert(sizeof(struct gcheap_ctrl) <= PORT_TABLE_PAGE_BYTES);
static_assert(GCHEAP_REGIONS <= GCHEAP_REGIONS_MAX);

/* ---- life ------------------------------------------------------------------- */

int heap_setup_check(struct gcheap_setup *setup, u32 flags, u64 features)
{
	u64 reserve = setup->reserve_bytes;
	u64 pages;

	if (setup->flags & ~(flags | GCHEAP_SETUP_RECORD_TYPES))
		return -EOPNOTSUPP;
	if (setup->reserved)
		return -EINVAL;
	if (setup->layout > GCHEAP_UAPI_LAYOUT_BITMAP)
		return -EOPNOTSUPP;
	if (!reserve)
		reserve = GCHEAP_RESERVE_DEFAULT;
	if (reserve < GCHEAP_RESERVE_MIN || reserve > GCHEAP_RESERVE_MAX ||
	    reserve % GCHEAP_ARENA_BYTES)
		return -EINVAL;

	pages = reserve >> GCHEAP_PAGE_SHIFT;
	setup->reserve_bytes = reserve;
	setup->out_features = GCHEAP_FEATURE_LAYOUT_SPAN | GCHEAP_FEATURE_LAYOUT_HEADER |
			      GCHEAP_FEATURE_LAYOUT_FOOTER | GCHEAP_FEATURE_LAYOUT_BITMAP |
			      features;
	memset(setup->out_region_bytes, 0, sizeof(setup->out_region_bytes));
	setup->out_region_bytes[GCHEAP_REGION_HEAP] = reserve;
	setup->out_region_bytes[GCHEAP_REGION_PAGES] = pages * sizeof(u64);
	setup->out_region_bytes[GCHEAP_REGION_SPANS] = pages * sizeof(struct gcheap_span);
	setup->out_region_bytes[GCHEAP_REGION_TYPES] = GCHEAP_TYPES_BYTES;
	setup->out_region_bytes[GCHEAP_REGION_MARKS] = GCHEAP_MARKS_BYTES(reserve);
	setup->out_region_bytes[GCHEAP_REGION_CTRL] = PORT_TABLE_PAGE_BYTES;
	setup->out_region_bytes[GCHEAP_REGION_DIRTY] =
		round_up(pages / 8, (u64)PORT_TABLE_PAGE_BYTES);
	setup->out_region_bytes[GCHEAP_REGION_BITMAP] =
		setup->layout == GCHEAP_UAPI_LAYOUT_BITMAP ? GCHEAP_BITMAP_BYTES(reserve) : 0;
	setup->out_abi = GCHEAP_ABI;
	setup->out_reserved = 0;
	return 0;
}

int heap_init(struct heap *heap, const struct gcheap_setup *setup)
{
	int error;

	heap->layout = setup->layout;
	heap->flags = setup->flags;
	heap->reserve_bytes = setup->reserve_bytes;
	heap->phase = GCHEAP_PHASE_IDLE;
	type_table_init(&heap->types);

	heap->ctrl = port_table_page(heap, GCHEAP_REGION_CTRL, 0);
	if (!heap->ctrl)
		return -ENOMEM;
	error = central_table_init(&heap->centrals);
	if (error)
		return error;
	heap->arenas = port_zalloc((size_t)(heap->reserve_bytes >> GCHEAP_ARENA_SHIFT) *
				   sizeof(*heap->arenas));
	if (!heap->arenas) {
		error = -ENOMEM;
		goto destroy_centrals;
	}
	error = bit_index_init(&heap->in_use_arenas,
			       (u32)(heap->reserve_bytes >> GCHEAP_ARENA_SHIFT));
	if (error)
		goto free_arenas;
	error = page_heap_init(&heap->page_heap,
			       (u32)(heap->reserve_bytes >> GCHEAP_PAGE_SHIFT), port_cpus());
	if (error)
		goto destroy_in_use;
	heap->scavenge_ranges = port_zalloc(SCAVENGE_RANGES * sizeof(*heap->scavenge_ranges));
	if (!heap->scavenge_ranges) {
		error = -ENOMEM;
		goto destroy_page_heap;
	}
	heap_publish(heap);
	return 0;

destroy_page_heap:
	page_heap_destroy(&heap->page_heap);
destroy_in_use:
	bit_index_destroy(&heap->in_use_arenas);
free_arenas:
	port_free(heap->arenas);
	heap->arenas = NULL;
destroy_centrals:
	central_table_destroy(&heap->centrals);
	return error;
}

void heap_destroy(struct heap *heap)
{
	type_table_destroy(&heap->types);
	central_table_destroy(&heap->centrals);
	port_free(heap->scavenge_ranges);
	page_heap_destroy(&heap->page_heap);
	arenas_destroy(heap);
	heap->ctrl = NULL;
}

void heap_update_counters(struct heap *heap)
{
	port_counters(heap);
	heap->counters.heap_pages = heap->heap_pages;
	heap->counters.free_bytes = (u64)heap->page_heap.backed_pages << GCHEAP_PAGE_SHIFT;
}

/* Word by word: a reader beside this sees each figure whole. */
static void counters_copy(struct gcheap_counters *to, const struct gcheap_counters *from)
{
	const u64 *words = (const u64 *)from;
	u64 *copy = (u64 *)to;
	size_t i;

	for (i = 0; i < sizeof(*to) / sizeof(*words); i++)
		WRITE_ONCE(copy[i], words[i]);
}

void heap_publish(struct heap *heap)
{
	struct gcheap_ctrl *ctrl = heap->ctrl;

	heap_update_counters(heap);
	ctrl->abi = GCHEAP_ABI;
	ctrl->layout = heap->layout;
	ctrl->counters_bytes = sizeof(ctrl->counters);
	counters_copy(&ctrl->counters, &heap->counters);
	WRITE_ONCE(ctrl->heap_pages, heap->heap_pages);
	WRITE_ONCE(ctrl->mark_table, heap->mark_table);
	WRITE_ONCE(ctrl->generation, heap->generation);
	WRITE_ONCE(ctrl->phase, heap->phase);
}

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
