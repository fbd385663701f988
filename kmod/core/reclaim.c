// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The page reclaimer.
 */
#include "reclaim.h"

#include "arena.h"
#include "central.h"
#include "port.h"
#include "span.h"
#include "span_free.h"

/* How many sweep generations apart two numbers of 16 bits can be told: half of them. */
#define GENERATIONS_APART	BIT(15)

/* Give the large spans, all older than this cycle, the generation before it. */
static void age_large_spans(struct heap *heap)
{
	u32 page;

	for (page = arena_next_in_use(heap, 0); page != BIT_INDEX_NONE;
	     page = arena_next_in_use(heap, page + 64)) {
		u64 spans = heap_arena(heap, page)->in_use[arena_offset(page) / 64];

		for (; spans; spans &= spans - 1) {
			struct gcheap_span *span = heap_span(heap, page + (u32)__ffs64(spans));

			if (span_state(span) == GCHEAP_SPAN_LARGE)
				span->generation = heap_generation16(heap) - 2;
		}
		port_interrupted();
	}
}

void reclaim_begin(struct heap *heap)
{
	if (heap->generation % GENERATIONS_APART == 0)
		age_large_spans(heap);
	heap->reclaim = (struct reclaim) { .end = heap->heap_pages };
}

bool reclaim_is_done(const struct heap *heap)
{
	return heap->reclaim.page >= heap->reclaim.end;
}

void reclaim_estimate(struct heap *heap)
{
	const struct gcheap_counters *counters = &heap->counters;
	u64 dead = 0;
	u32 words = 0;
	u32 page;

	for (page = arena_next_in_use(heap, heap->reclaim.page); page < heap->reclaim.end;
	     page = arena_next_in_use(heap, page + 64)) {
		const struct arena *arena = heap_arena(heap, page);
		u32 word = arena_offset(page) / 64;

		dead += hweight64(arena->in_use[word] & ~READ_ONCE(arena->page_marks[word]));
		if (++words % 1024 == 0)
			port_interrupted();
	}
	/* Both factors are below 2^27, the number of pages of the largest reserve. */
	if (dead)
		heap->reclaim.dead_pages = heap_span_pages(heap) * dead / counters->spans;
}

/* The dead spans among those that begin in the 64 pages from @page on. */
static u64 dead_spans(struct heap *heap, u32 page)
{
	const struct arena *arena = heap_arena(heap, page);
	u32 word = arena_offset(page) / 64;
	u64 dead = arena->in_use[word] & ~READ_ONCE(arena->page_marks[word]);
	u64 left;

	for (left = dead; left; left &= left - 1) {
		u32 bit = (u32)__ffs64(left);

		if (heap_span(heap, page + bit)->generation == heap_generation16(heap))
			dead &= ~BIT_ULL(bit);
	}
	return dead;
}

/* Ends a dead span. Return: how many pages it had. */
static u32 reclaim_span(struct heap *heap, struct span_run *run, u32 page)
{
	if (span_state(heap_span(heap, page)) == GCHEAP_SPAN_CENTRAL) {
		central_remove(heap, central_of_span(heap, page), page);
		heap->counters.unswept_spans--;
	}
	return span_run_add(heap, run, page);
}

u64 reclaim_walk(struct heap *heap, u64 max_spans, u64 max_pages, u64 *spans)
{
	struct reclaim *reclaim = &heap->reclaim;
	struct span_run run = { 0 };
	u64 pages = 0;
	u32 words = 0;

	*spans = 0;
	while (*spans < max_spans && pages < max_pages && !reclaim_is_done(heap)) {
		u32 page = arena_next_in_use(heap, reclaim->page);
		u64 dead;

		if (page >= reclaim->end) {
			reclaim->page = reclaim->end;
			break;
		}
		/* A word has at most 64 spans to free. */
		if (words++ % 16 == 0 && port_interrupted())
			break;
		dead = dead_spans(heap, page);
		for (; dead && *spans < max_spans && pages < max_pages; dead &= dead - 1) {
			pages += reclaim_span(heap, &run, page + (u32)__ffs64(dead));
			(*spans)++;
		}
		reclaim->page = dead ? page : page + 64;
	}
	span_run_end(heap, &run);
	heap->counters.freed_unread_spans += *spans;
	reclaim->dead_pages -= min_t(u64, reclaim->dead_pages, pages);
	/* It was an estimate. */
	if (reclaim_is_done(heap))
		reclaim->dead_pages = 0;
	return pages;
}

void reclaim_add_credit(struct heap *heap, u64 pages)
{
	if (!reclaim_is_done(heap))
		heap->reclaim.credit += pages;
}

bool reclaim_for_some(struct heap *heap, u32 npages, u32 most)
{
	struct reclaim *reclaim = &heap->reclaim;
	u64 pages, spans;

	if (reclaim_is_done(heap) || reclaim->credit >= npages)
		return false;
	pages = reclaim_walk(heap, U64_MAX, min_t(u64, npages - reclaim->credit, most), &spans);
	heap->counters.reclaimed_pages += pages;
	reclaim->credit += pages;
	return pages && reclaim->credit < npages;
}

void reclaim_for(struct heap *heap, u32 npages)
{
	reclaim_for_some(heap, npages, npages);
}

void reclaim_spend(struct heap *heap, u32 npages)
{
	reclaim_for(heap, npages);
	heap->reclaim.credit -= min_t(u64, heap->reclaim.credit, npages);
}
