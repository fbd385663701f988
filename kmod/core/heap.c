// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Life of a heap, its pages, and its requests.
 */
#include "heap.h"

static_assert(sizeof(struct gcheap_ctrl) <= PORT_TABLE_PAGE_BYTES);
static_assert(GCHEAP_REGIONS <= GCHEAP_REGIONS_MAX);
/* What is given back at a time when there is no memory for tables. */
#define GROW_TABLE_BYTES	(256u << 10)

static_assert(HEAP_GROW_PAGES % (1u << SPAN_TABLE_SHIFT) == 0);

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

/* ---- pages ------------------------------------------------------------------ */

/*
 * Backs pages that are not, by memory of other free pages when there is no more.
 * @old_data: set to true when it may be memory that this heap had before.
 */
static int pages_back(struct heap *heap, u32 page, u32 npages, bool *old_data)
{
	int error;

	do {
		error = port_populate(heap, page, npages, old_data);
	} while (error == -ENOMEM && heap_scavenge_some(heap, (u64)npages << GCHEAP_PAGE_SHIFT));
	return error;
}

/*
 * Ends the backing of pages that do not count as backed: heap_grow() has passed
 * them, but the request fails all the same.
 */
static void pages_unback(struct heap *heap, u32 page, u32 npages)
{
	struct page_heap *ph = &heap->page_heap;
	u32 end = page + npages;

	while (page < end) {
		u32 next = page;

		while (next < end && (next >= ph->end || !page_backed_count(ph, next, 1)))
			next++;
		if (next > page)
			port_depopulate(heap, page, next - page);
		page = next + 1;
	}
}

/*
 * Grows the heap so that it has a run of @npages, aligned to @align pages, of
 * which there is none now.
 * The run's memory comes before its tables, so that a request for more than there
 * is leaves no large tables behind; its pages still count as not backed.
 */
static int heap_grow(struct heap *heap, u32 npages, u32 align, bool *old_data)
{
	struct page_heap *ph = &heap->page_heap;
	u32 tail = page_tree_tail(ph);
	/* Page 0 exists, but is never free. */
	u32 first = round_up(ph->end ? ph->end - tail : 1, align);
	u64 grow = (u64)first + npages - ph->end;
	int error;

	grow = round_up(grow, (u64)HEAP_GROW_PAGES);
	if (grow > ph->reserve_pages - ph->end)
		return -ENOSPC;
	error = pages_back(heap, first, npages, old_data);
	if (error)
		return error;
	/* Tables are memory too, for which that of free pages may have to go. */
	do {
		/* Tables end before the heap does while ALLOC_LARGE makes it grow. */
		error = arena_tables_ensure(heap, heap->heap_pages,
					    ph->end + (u32)grow - heap->heap_pages);
	} while (error == -ENOMEM && heap_scavenge_some(heap, GROW_TABLE_BYTES));
	if (!error)
		error = page_heap_grow(ph, (u32)grow);
	if (error)
		goto drop_tables;
	heap->heap_pages = ph->end;
	return 0;

drop_tables:
	/* Those below are of ALLOC_LARGE. */
	arena_tables_drop(heap, ph->end, (u32)grow);
	pages_unback(heap, first, npages);
	return error;
}

int heap_tables_again(struct heap *heap, u32 page, u32 npages)
{
	u32 end = min_t(u32, page + npages, heap->heap_pages);
	int error = 0;

	if (page >= end)
		return 0;
	do {
		error = arena_tables_ensure(heap, page, end - page);
	} while (error == -ENOMEM && heap_scavenge_some(heap, GROW_TABLE_BYTES));
	return error;
}

/*
 * Backs those pages of a run that are not.
 * @needzero: told whether those that are may hold old data; receives it for all.
 */
static int run_back(struct heap *heap, u32 page, u32 npages, bool *needzero)
{
	u32 backed = page_backed_count(&heap->page_heap, page, npages);
	bool old_data = false;
	int error;

	/* Most runs are backed, and nobody has to be asked. */
	if (backed == npages)
		return 0;
	error = pages_back(heap, page, npages, &old_data);
	if (error)
		return error;
	error = heap_tables_again(heap, page, npages);
	if (error) {
		pages_unback(heap, page, npages);
		return error;
	}
	page_backed_set(&heap->page_heap, page, npages, true);
	if (!backed)
		*needzero = false;
	if (old_data)
		*needzero = true;
	return 0;
}

/* A page that is never used again: as one in the quarantine, which nothing leads to. */
static void page_retire(struct heap *heap, u32 page)
{
	*heap_span(heap, page) = (struct gcheap_span) {
		.state = GCHEAP_SPAN_QUARANTINE,
		/* What has none is a chunk. */
		.slots = 1,
		.npages = 1,
		.generation = heap_generation16(heap),
	};
	heap->counters.quarantined_pages++;
}

bool heap_run_is_sound(struct heap *heap, u32 page, u32 npages)
{
	struct page_heap *ph = &heap->page_heap;
	u32 end = page + npages;

	if (likely(!heap->has_broken) || !port_broken(heap, page, npages))
		return true;
	heap_pages_depopulate(heap, page, npages);
	if (!port_broken(heap, page, npages))
		return true;
	for (; page < end; page++) {
		if (port_broken(heap, page, 1))
			page_retire(heap, page);
		else
			page_heap_free(ph, page, 1);
	}
	return false;
}

u32 heap_pages_alloc_some(struct heap *heap, u32 npages, u32 most, u32 *count, bool grow,
			  bool *needzero)
{
	struct page_heap *ph = &heap->page_heap;
	bool old_data = false;
	u32 page;

	do {
		page = page_heap_alloc_some(ph, npages, most, count, needzero);
		if (!page && grow && !heap_grow(heap, npages, 1, &old_data))
			page = page_heap_alloc_some(ph, npages, most, count, needzero);
	} while (page && !heap_run_is_sound(heap, page, npages * *count));
	while (page && run_back(heap, page, npages * *count, needzero)) {
		/* Where memory is short, there may still be some for one. */
		if (*count == 1)
			pages_unback(heap, page, npages);
		page_heap_free(ph, page, npages * *count);
		if (*count == 1)
			return 0;
		do {
			page = page_heap_alloc_some(ph, npages, 1, count, needzero);
		} while (page && !heap_run_is_sound(heap, page, npages));
	}
	if (old_data)
		*needzero = true;
	return page;
}

u32 heap_pages_alloc_aligned(struct heap *heap, bool *needzero)
{
	struct page_heap *ph = &heap->page_heap;
	bool old_data = false;
	u32 page;

	static_assert(PAGE_HEAP_ALIGNED == CHUNK_PAGES);
	do {
		page = page_heap_alloc_aligned(ph, needzero);
		if (!page && !heap_grow(heap, CHUNK_PAGES, CHUNK_PAGES, &old_data))
			page = page_heap_alloc_aligned(ph, needzero);
	} while (page && !heap_run_is_sound(heap, page, CHUNK_PAGES));
	if (page && run_back(heap, page, CHUNK_PAGES, needzero)) {
		pages_unback(heap, page, CHUNK_PAGES);
		page_heap_free(ph, page, CHUNK_PAGES);
		return 0;
	}
	if (old_data)
		*needzero = true;
	return page;
}

void heap_pages_end_lazy(struct heap *heap, u32 page, u32 npages)
{
	port_lazy(heap, page, npages, false);
	heap_pages_depopulate(heap, page, npages);
}

bool heap_make_room(struct heap *heap)
{
	u64 swept, freed;
	bool any;

	sweep_step(heap, U64_MAX, &swept, &freed);
	any = chunks_give_back(heap);
	return any || swept;
}

int heap_pages_populate(struct heap *heap, u32 page, u32 npages, bool *needzero)
{
	return run_back(heap, page, npages, needzero);
}

void heap_pages_depopulate(struct heap *heap, u32 page, u32 npages)
{
	port_depopulate(heap, page, npages);
	page_backed_set(&heap->page_heap, page, npages, false);
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
