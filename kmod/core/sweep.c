// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The sweep.
 */
#include "sweep.h"

#include "arena.h"
#include "central.h"
#include "chunk.h"
#include "port.h"
#include "reclaim.h"
#include "span.h"
#include "span_free.h"

/* So many spans in 64 pages, and their marks are better cleared all at once. */
#define SWEEP_DENSE_SPANS	8u

/* An unswept span moves to a swept list, or becomes free pages. Return: whether it has objects. */
static bool sweep_span(struct heap *heap, struct central *central, u32 page)
{
	struct gcheap_span *span = heap_span(heap, page);

	central_remove(heap, central, page);
	heap->counters.swept_spans++;
	heap->counters.unswept_spans--;
	if (!page_is_marked(heap, page)) {
		heap->counters.freed_unread_spans++;
		goto free_span;
	}
	/* The mark bits of the last cycle are the alloc bits of this one. */
	span->allocated = (u16)span_count(heap, page, heap_alloc_table(heap));
	if (!span->allocated)
		goto free_span;
	span->generation = heap_generation16(heap);
	span->state |= GCHEAP_SPAN_NEEDZERO;
	central_insert(heap, central, page);
	return true;

free_span:
	reclaim_add_credit(heap, span->npages);
	span_free(heap, page);
	return false;
}

bool sweep_one(struct heap *heap, struct central *central)
{
	u32 page = central_first_unswept(heap, central);

	if (page)
		sweep_span(heap, central, page);
	return page;
}

int sweep_some(struct heap *heap, u64 max_spans, u64 *swept, u64 *freed)
{
	struct central_table *table = &heap->centrals;

	*swept = 0;
	*freed = 0;
	if (!table->sweep_from)
		table->sweep_from = table->first;
	while (table->sweep_from && *swept < max_spans) {
		struct central *central = table->sweep_from;
		u32 page = central_first_unswept(heap, central);

		if (!page) {
			/* Nothing becomes unswept before the next SWEEP_START. */
			if (!central->all_next)
				break;
			table->sweep_from = central->all_next;
			continue;
		}
		/* Asked here, so that what is done is not called interrupted. */
		if (*swept && *swept % 64 == 0 && port_interrupted())
			return -EINTR;
		*freed += !sweep_span(heap, central, page);
		(*swept)++;
	}
	return 0;
}

int sweep_step(struct heap *heap, u64 max_spans, u64 *swept, u64 *freed)
{
	u64 dead;
	int error;

	reclaim_add_credit(heap, reclaim_walk(heap, max_spans, U64_MAX, &dead));
	*swept = dead;
	*freed = dead;
	if (dead == max_spans)
		return 0;
	if (!reclaim_is_done(heap))
		return -EINTR;
	error = sweep_some(heap, max_spans - dead, swept, freed);
	*swept += dead;
	*freed += dead;
	return error;
}

bool sweep_make_room(struct heap *heap)
{
	u64 swept, freed;
	bool any;

	sweep_step(heap, U64_MAX, &swept, &freed);
	any = chunks_give_back(heap);
	return any || swept;
}

/* Granules of 16 bytes: with them no product below is longer than 64 bits. */
static u64 granules(u64 bytes)
{
	return DIV_ROUND_UP(bytes, BIT(GCHEAP_GRANULE_SHIFT));
}

u64 sweep_share(const struct heap *heap, u64 bytes, u64 pages)
{
	u64 unswept = heap->counters.unswept_spans;
	u64 size = (heap_span_pages(heap) + pages) << GCHEAP_PAGE_SHIFT;
	u64 share = U64_MAX;

	if (!heap->goal_bytes || (!unswept && reclaim_is_done(heap)))
		return 0;
	size -= min_t(u64, size, heap->reclaim.dead_pages << GCHEAP_PAGE_SHIFT);
	if (heap->goal_bytes > size) {
		u64 left = granules(min_t(u64, heap->goal_bytes - size, GCHEAP_RESERVE_MAX));

		bytes = granules(min_t(u64, bytes, GCHEAP_RESERVE_MAX));
		static_assert(GCHEAP_RESERVE_MAX >> GCHEAP_GRANULE_SHIFT <= BIT_ULL(36));
		static_assert(GCHEAP_RESERVE_MAX >> GCHEAP_PAGE_SHIFT <= BIT_ULL(27));
		share = DIV_ROUND_UP(unswept * bytes, left + bytes);
	}
	return share;
}

void sweep_in_proportion(struct heap *heap, u64 bytes)
{
	u64 share = sweep_share(heap, bytes, 0);
	u64 swept, freed;

	/* A fatal signal ends it early. The caller's work is done all the same. */
	if (share)
		sweep_step(heap, share, &swept, &freed);
}

/* The marks of the spans that begin in the 64 pages from @page on. */
static void clear_marks_of_word(struct heap *heap, u32 page)
{
	struct arena *arena = heap_arena(heap, page);
	u64 spans = arena->in_use[arena_offset(page) / 64];

	static_assert(1u << MARK_TABLE_SHIFT == 64);
	arena->page_marks[arena_offset(page) / 64] = 0;
	if (hweight64(spans) >= SWEEP_DENSE_SPANS) {
		memset(heap_marks(heap, heap->mark_table, page), 0, PORT_TABLE_PAGE_BYTES);
		/* The last of them may reach into the next page of the table. */
		spans = BIT_ULL(fls64(spans) - 1);
	}
	for (; spans; spans &= spans - 1)
		span_clear_bits(heap, heap->mark_table, page + (u32)__ffs64(spans));
}

u32 sweep_clear_marks(struct heap *heap, u32 page, u32 most)
{
	u32 words = 0;

	for (page = arena_next_in_use(heap, page); page != BIT_INDEX_NONE;
	     page = arena_next_in_use(heap, page + 64)) {
		if (words == most)
			return page;
		clear_marks_of_word(heap, page);
		if (++words % ARENA_WORDS == 0)
			port_interrupted();
	}
	return BIT_INDEX_NONE;
}
