// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The sweep.
 */
#include "heap.h"

/* So many spans in 64 pages, and their marks are better cleared all at once. */
#define SWEEP_DENSE_SPANS	8u

bool sweep_span(struct heap *heap, u32 page)
{
	struct gcheap_span *span = heap_span(heap, page);

	heap->counters.swept_spans++;
	heap->counters.unswept_spans--;
	/* The mark bits of the last cycle are the alloc bits of this one. */
	span->allocated = (u16)span_count(heap, page, heap_alloc_table(heap));
	span->generation = heap_generation16(heap);
	if (!span->allocated) {
		span_free(heap, page);
		return false;
	}
	span->state |= GCHEAP_SPAN_NEEDZERO;
	return true;
}

/* An unswept span of a central, or 0. */
static u32 unswept_first(const struct heap *heap, const struct central *central)
{
	u32 unswept = (heap->generation / 2 + 1) & 1;

	return central->partial[unswept] ? central->partial[unswept] : central->full[unswept];
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
		u32 page = unswept_first(heap, central);

		if (!page) {
			/* Nothing becomes unswept before the next SWEEP_START. */
			if (!central->all_next)
				break;
			table->sweep_from = central->all_next;
			continue;
		}
		central_remove(heap, page);
		if (sweep_span(heap, page))
			central_insert(heap, central, page);
		else
			(*freed)++;
		(*swept)++;
		if (*swept % 64 == 0 && port_interrupted())
			return -EINTR;
	}
	return 0;
}

/* Ends a span without a page mark. Return: how many pages it had. */
static u32 sweep_dead(struct heap *heap, struct span_run *run, u32 page)
{
	if (span_state(heap_span(heap, page)) == GCHEAP_SPAN_CENTRAL) {
		central_remove(heap, page);
		heap->counters.unswept_spans--;
	}
	return span_run_add(heap, run, page);
}

void sweep_unmarked(struct heap *heap, u64 *freed_spans, u64 *freed_pages)
{
	struct span_run run = { 0 };
	u32 words = 0;
	u32 page;

	*freed_spans = 0;
	*freed_pages = 0;
	for (page = arena_next_in_use(heap, 0); page != BIT_INDEX_NONE;
	     page = arena_next_in_use(heap, page + 64)) {
		struct arena *arena = heap_arena(heap, page);
		u32 word = arena_offset(page) / 64;
		u64 dead = arena->in_use[word] & ~READ_ONCE(arena->page_marks[word]);

		/* A word has at most 64 spans to free. */
		if (words++ % 16 == 0 && port_interrupted())
			break;
		for (; dead; dead &= dead - 1) {
			*freed_pages += sweep_dead(heap, &run, page + (u32)__ffs64(dead));
			(*freed_spans)++;
		}
	}
	span_run_end(heap, &run);
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

void sweep_clear_marks(struct heap *heap)
{
	u32 words = 0;
	u32 page;

	for (page = arena_next_in_use(heap, 0); page != BIT_INDEX_NONE;
	     page = arena_next_in_use(heap, page + 64)) {
		clear_marks_of_word(heap, page);
		if (++words % ARENA_WORDS == 0)
			port_interrupted();
	}
}
