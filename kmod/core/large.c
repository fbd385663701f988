// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Large objects: ALLOC_LARGE. See large.h.
 */
#include "large.h"

#include "arena.h"
#include "chunk.h"
#include "page_backed.h"
#include "page_heap.h"
#include "page_runs.h"
#include "page_tree.h"
#include "port.h"
#include "reclaim.h"
#include "scavenge.h"
#include "span.h"
#include "sweep.h"
#include "type.h"
#include "type_mask.h"

/* A page's worth of work is its memory. Of what is quicker, so many do as one. */
#define QUICK_PAGES	8u
#define SWEEP_SPANS	64u

static int check(struct heap *heap, const struct gcheap_alloc_large *alloc,
		 struct large_work *work)
{
	u64 npages;

	if (alloc->flags & ~GCHEAP_ALLOC_LAZY)
		return -EOPNOTSUPP;
	if (alloc->reserved || !alloc->count)
		return -EINVAL;
	work->bytes = alloc->count;
	if (alloc->type) {
		const struct gcheap_type_record *record = type_find(heap, alloc->type);

		if (!record)
			return -EINVAL;
		if (check_mul_overflow(alloc->count, record->bytes, &work->bytes))
			return -EOVERFLOW;
	}
	if (work->bytes > GCHEAP_RESERVE_MAX)
		return -EOVERFLOW;
	npages = DIV_ROUND_UP(work->bytes, GCHEAP_PAGE_BYTES);
	if (npages >= heap->page_heap.reserve_pages)
		return -ENOMEM;
	work->npages = (u32)npages;
	work->lazy = alloc->flags & GCHEAP_ALLOC_LAZY;
	return work->lazy || port_may_populate(heap, work->npages) ? 0 : -ENOMEM;
}

/* The mask of the object's type, for which memory and room may have to be found. */
static int hold_mask(struct heap *heap, u32 type)
{
	int error;

	do {
		error = type_mask_hold(heap, type);
	} while (error == -ENOMEM && heap_scavenge_some(heap, SCAVENGE_TABLE_BYTES));
	/* Objects that are dead may have masks that nobody needs. */
	if ((error == -ENOMEM || error == -ENOSPC) && sweep_make_room(heap))
		error = type_mask_hold(heap, type);
	return error == -ENOSPC ? -ENOMEM : error;
}

static int large_begin(struct heap *heap, const struct gcheap_alloc_large *alloc,
		       struct large_work *work)
{
	int error = check(heap, alloc, work);

	if (error)
		return error;
	error = hold_mask(heap, alloc->type);
	if (error)
		return error;
	work->holds_mask = true;
	return 0;
}

/* ---- pages ------------------------------------------------------------------ */

int large_tables_some(struct heap *heap, struct large_tables *tables, u32 pages)
{
	u32 end = heap->page_heap.end;
	u32 count;
	int error;

	if (!large_tables_lack(heap))
		return 0;
	if (tables->at < heap->heap_pages || tables->at > end ||
	    tables->dropped != heap->tables_dropped) {
		tables->at = heap->heap_pages;
		tables->dropped = heap->tables_dropped;
	}
	count = min_t(u32, end - tables->at, pages);
	error = page_run_tables_ensure(heap, tables->at, count);
	if (error)
		return error;
	tables->at += count;
	if (tables->at < end)
		return LARGE_MORE;
	heap->heap_pages = end;
	return 0;
}

/*
 * A run at the end of the heap, which grows for it, unless there is one before it whose
 * tables lack. The heap's tables do not reach so far yet: all of what is new is taken, so
 * that nobody else gets a page of it.
 */
static u32 run_grow(struct heap *heap, struct large_work *work)
{
	struct page_heap *ph = &heap->page_heap;
	u32 end = ph->end;
	u32 first, page;
	u64 grow;

	if (large_tables_lack(heap))
		return 0;
	/* Page 0 exists, but is never free. */
	first = end ? end - page_tree_tail(ph) : 1;
	grow = round_up((u64)first + work->npages - end, (u64)HEAP_GROW_PAGES);
	if (grow > ph->reserve_pages - end || page_heap_grow(ph, (u32)grow))
		return 0;
	page = page_heap_alloc(ph, ph->end - first, &work->used_before);
	if (WARN_ON_ONCE(page != first)) {
		page_heap_free(ph, page, ph->end - first);
		return 0;
	}
	work->taken = ph->end - first;
	work->old_end = end;
	work->new_end = ph->end;
	return page;
}

static bool run_find(struct heap *heap, struct large_work *work)
{
	work->needzero = false;
	work->done = 0;
	work->taken = work->npages;
	work->page = page_heap_alloc(&heap->page_heap, work->npages, &work->used_before);
	if (!work->page)
		work->page = run_grow(heap, work);
	return work->page;
}

static u32 piece_of(const struct large_work *work, u32 pages)
{
	return min_t(u32, work->npages - work->done, pages);
}

static int back_some(struct heap *heap, struct large_work *work, u32 pages)
{
	u32 count = piece_of(work, pages);
	u32 page = work->page + work->done;
	bool needzero = work->used_before;
	int error;
	u32 i;

	if (work->lazy) {
		/* Some of it may have old data, and the rest will be zero. */
		if (page_backed_count(&heap->page_heap, page, count))
			page_run_depopulate(heap, page, count);
		error = page_run_tables_again(heap, page, count);
		if (!error)
			work->done += count;
		return error;
	}
	/* Most have memory, and nothing is to be remembered. */
	if (page_backed_count(&heap->page_heap, page, count) == count) {
		work->needzero |= needzero;
		work->done += count;
		return 0;
	}
	if (!work->made)
		work->made = port_zalloc(DIV_ROUND_UP(work->npages, 64u) * sizeof(u64));
	if (!work->made)
		return -ENOMEM;
	for (i = 0; i < count; i++) {
		u32 at = work->done + i;

		if (!page_backed_count(&heap->page_heap, page + i, 1))
			work->made[at / 64] |= BIT_ULL(at % 64);
	}
	error = page_run_populate(heap, page, count, &needzero);
	if (error) {
		/* These have what they had. */
		for (i = 0; i < count; i++) {
			u32 at = work->done + i;

			work->made[at / 64] &= ~BIT_ULL(at % 64);
		}
		return error;
	}
	work->needzero |= needzero;
	work->done += count;
	return 0;
}

/* Whoever makes the heap grow meanwhile has the tables made from its old end on, too. */
static int tables_some(struct heap *heap, struct large_work *work, u32 pages)
{
	u32 at = max_t(u32, heap->heap_pages, work->done);
	u32 count;
	int error;

	if (at >= work->new_end)
		return LARGE_MORE;
	count = min_t(u32, work->new_end - at, pages);
	error = page_run_tables_ensure(heap, at, count);
	work->done = at + count;
	return error;
}

/*
 * Takes bit tables away that were made for the run alone, once @done has passed its pages.
 * If others have grown the heap further, all of it has tables, and keeps them.
 */
static void tables_drop_some(struct heap *heap, struct large_work *work, u32 pages)
{
	u32 page = work->old_end + (work->done - work->npages);
	u32 count;

	if (heap->heap_pages >= work->new_end || page >= work->new_end)
		return;
	count = max_t(u32, round_down(pages, HEAP_GROW_PAGES), HEAP_GROW_PAGES);
	count = min_t(u32, count, work->new_end - page);
	arena_tables_drop(heap, page, count);
	heap->tables_dropped++;
	work->done += count;
}

/* Whether tables_drop_some() has nothing left to do. */
static bool tables_are_dropped(const struct heap *heap, const struct large_work *work)
{
	return heap->heap_pages >= work->new_end ||
	       work->done - work->npages == work->new_end - work->old_end;
}

/* Gives the run back as it was. */
static void run_free(struct heap *heap, struct large_work *work)
{
	struct page_heap *ph = &heap->page_heap;

	page_heap_free(ph, work->page, work->taken);
	if (heap->heap_pages < work->new_end && !WARN_ON_ONCE(ph->end != work->new_end))
		page_heap_shrink(ph, work->old_end);
	work->page = 0;
	work->new_end = 0;
	work->described = false;
}

/* Takes memory and descriptors away that the run did not have. */
static void unback_some(struct heap *heap, struct large_work *work, u32 pages)
{
	u32 count = piece_of(work, pages);
	u32 end = work->done + count;

	if (work->described)
		span_clear_pages(heap, work->page + work->done, count);
	while (work->made && work->done < end) {
		u32 next = work->done;

		while (next < end && work->made[next / 64] >> next % 64 & 1) {
			work->made[next / 64] &= ~BIT_ULL(next % 64);
			next++;
		}
		if (next > work->done)
			page_run_depopulate(heap, work->page + work->done, next - work->done);
		work->done = next + (next < end);
	}
	work->done = end;
}

/* ---- the span --------------------------------------------------------------- */

static void next_phase(struct large_work *work, enum large_phase phase)
{
	work->phase = phase;
	work->done = 0;
}

/*
 * Whether no memory of the run has failed. If some has, the object is made anew: from the
 * search for its pages on, or in the same pages with other memory. Rare.
 */
static bool run_is_good(struct heap *heap, struct large_work *work)
{
	if (likely(!heap->has_broken) || !port_broken(heap, work->page, work->taken))
		return true;
	span_clear_pages(heap, work->page, work->npages);
	if (work->made)
		memset(work->made, 0, DIV_ROUND_UP(work->npages, 64u) * sizeof(u64));
	if (page_run_is_sound(heap, work->page, work->taken)) {
		next_phase(work, LARGE_BACK);
	} else {
		work->page = 0;
		work->new_end = 0;
		work->described = false;
		next_phase(work, LARGE_FIND);
	}
	return false;
}

static int finish(struct heap *heap, struct gcheap_alloc_large *alloc, struct large_work *work)
{
	if (heap->heap_pages < work->new_end)
		heap->heap_pages = work->new_end;
	if (!run_is_good(heap, work))
		return LARGE_MORE;
	if (work->lazy && port_lazy(heap, work->page, work->npages, true))
		return -ENOMEM;
	reclaim_spend(heap, work->npages);
	span_init_large(heap, work->page, work->npages, alloc->type, work->bytes,
			work->needzero);
	if (work->lazy)
		heap_span(heap, work->page)->state |= GCHEAP_SPAN_LAZY;
	if (work->taken > work->npages)
		page_heap_free(&heap->page_heap, work->page + work->npages,
			       work->taken - work->npages);
	alloc->out_page = work->page;
	alloc->out_npages = work->npages;
	alloc->out_flags = work->needzero ? GCHEAP_GRANT_NEEDZERO : 0;
	alloc->out_reserved = 0;
	port_free(work->made);
	work->made = NULL;
	work->phase = LARGE_ENDED;
	return 0;
}

/* ---- phases ----------------------------------------------------------------- */

/* There is no memory, or no room: once, it is looked for elsewhere. */
static void no_memory(struct large_work *work)
{
	if (work->room)
		work->error = -ENOMEM;
	if (work->page)
		next_phase(work, LARGE_UNDO);
	else
		next_phase(work, work->room ? LARGE_ENDED : LARGE_ROOM);
}

static void reclaim_phase(struct heap *heap, struct large_work *work, u32 pages)
{
	if (!reclaim_for_some(heap, work->npages, pages))
		next_phase(work, LARGE_FIND);
}

/* The heap may have to grow, which it cannot while tables lack. */
static void find_phase(struct heap *heap, struct large_work *work, u32 pages)
{
	int error = 0;

	if (run_find(heap, work)) {
		next_phase(work, LARGE_BACK);
		return;
	}
	if (large_tables_lack(heap))
		error = large_tables_some(heap, &work->tables, pages);
	else
		error = -ENOMEM;
	if (error < 0)
		no_memory(work);
}

static void undo_phase(struct heap *heap, struct large_work *work, u32 pages)
{
	if (work->done < work->npages)
		unback_some(heap, work, pages);
	else
		tables_drop_some(heap, work, pages);
	if (work->done < work->npages || !tables_are_dropped(heap, work))
		return;
	run_free(heap, work);
	next_phase(work, work->error ? LARGE_ENDED : LARGE_ROOM);
}

static void room_phase(struct heap *heap, struct large_work *work)
{
	u64 swept, freed;

	sweep_step(heap, SWEEP_SPANS, &swept, &freed);
	work->any |= swept;
	if (swept)
		return;
	work->any |= chunks_give_back(heap);
	work->room = true;
	if (!work->any) {
		work->error = -ENOMEM;
		next_phase(work, LARGE_ENDED);
		return;
	}
	next_phase(work, LARGE_FIND);
}

static void sweep_phase(struct heap *heap, struct large_work *work)
{
	u64 swept = 0, freed;

	if (work->share)
		sweep_step(heap, min_t(u64, work->share, SWEEP_SPANS), &swept, &freed);
	work->share -= min_t(u64, work->share, swept);
	/* A fatal signal ends it early. The caller's work is done all the same. */
	if (!swept || !work->share || port_interrupted())
		next_phase(work, LARGE_FINISH);
}

static int large_step(struct heap *heap, struct gcheap_alloc_large *alloc,
		      struct large_work *work, u32 pages)
{
	u32 quick = pages > U32_MAX / QUICK_PAGES ? U32_MAX : pages * QUICK_PAGES;
	int error = 0;

	switch (work->phase) {
	case LARGE_CHECK:
		error = large_begin(heap, alloc, work);
		if (!error)
			next_phase(work, LARGE_RECLAIM);
		return error ? error : LARGE_MORE;
	case LARGE_RECLAIM:
		reclaim_phase(heap, work, pages);
		return LARGE_MORE;
	case LARGE_FIND:
		find_phase(heap, work, quick);
		return LARGE_MORE;
	case LARGE_BACK:
		error = back_some(heap, work, pages);
		if (!error && work->done == work->npages)
			next_phase(work, LARGE_TABLES);
		break;
	case LARGE_TABLES:
		error = tables_some(heap, work, quick);
		if (error == LARGE_MORE)
			next_phase(work, LARGE_DESCRIBE);
		break;
	case LARGE_DESCRIBE:
		work->described = true;
		span_describe(heap, work->page, work->done, piece_of(work, quick));
		work->done += piece_of(work, quick);
		if (work->done == work->npages) {
			work->share = sweep_share(heap, work->bytes, work->npages);
			next_phase(work, LARGE_SWEEP);
		}
		return LARGE_MORE;
	case LARGE_SWEEP:
		sweep_phase(heap, work);
		return LARGE_MORE;
	case LARGE_FINISH:
		error = finish(heap, alloc, work);
		if (error != -ENOMEM)
			return error;
		break;
	case LARGE_UNDO:
		undo_phase(heap, work, pages);
		return LARGE_MORE;
	case LARGE_ROOM:
		room_phase(heap, work);
		return LARGE_MORE;
	case LARGE_ENDED:
		return work->error;
	}
	if (error == -ENOMEM)
		no_memory(work);
	else if (error < 0)
		return error;
	return LARGE_MORE;
}

int large_alloc_some(struct heap *heap, struct gcheap_alloc_large *alloc,
		     struct large_work *work, u32 pages)
{
	int error;

	/* What is no longer than a piece is one, but for what it does for others' sake. */
	do {
		enum large_phase phase = work->phase;

		error = large_step(heap, alloc, work, pages);
		if (phase == work->phase)
			break;
	} while (error == LARGE_MORE && work->npages <= pages);
	return error;
}

int large_alloc_undo(struct heap *heap, const struct gcheap_alloc_large *alloc,
		     struct large_work *work, u32 pages)
{
	if (work->page) {
		if (work->phase != LARGE_UNDO)
			next_phase(work, LARGE_UNDO);
		work->error = -EINTR;
		undo_phase(heap, work, pages);
		if (work->page)
			return LARGE_MORE;
	}
	if (work->holds_mask)
		type_mask_drop(heap, alloc->type);
	work->holds_mask = false;
	large_alloc_forget(work);
	return 0;
}

void large_alloc_forget(struct large_work *work)
{
	port_free(work->made);
	work->made = NULL;
	work->phase = LARGE_ENDED;
}
