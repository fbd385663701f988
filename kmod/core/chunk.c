// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Chunks of user arenas.
 */
#include "chunk.h"

#include "page_heap.h"
#include "page_runs.h"
#include "span.h"

struct gcheap_span *chunk_find(struct heap *heap, u32 page, enum gcheap_span_state state)
{
	struct gcheap_span *span;

	if (!page || page >= heap->heap_pages)
		return NULL;
	span = heap_span(heap, heap_page_nospec(heap, page));
	/* A freed span in quarantine has slots. */
	return span_state(span) == state && !span->slots ? span : NULL;
}

int chunks_claim(struct heap *heap, const u32 *pages, u32 count)
{
	u32 last = 0;
	u32 i;

	for (i = 0; i < count; i++) {
		struct gcheap_span *span = NULL;

		if (pages[i] > last)
			span = chunk_find(heap, pages[i], GCHEAP_SPAN_CHUNK);
		if (!span || span->state & GCHEAP_SPAN_ENDING) {
			chunks_unclaim(heap, pages, i);
			return -EINVAL;
		}
		span->state |= GCHEAP_SPAN_ENDING;
		last = pages[i];
	}
	return 0;
}

void chunks_unclaim(struct heap *heap, const u32 *pages, u32 count)
{
	u32 i;

	for (i = 0; i < count; i++)
		heap_span(heap, pages[i])->state &= (u8)~GCHEAP_SPAN_ENDING;
}

void chunks_free(struct heap *heap, const u32 *pages, u32 count)
{
	u32 i, first = 0;

	for (i = 0; i < count; i++) {
		heap_span(heap, pages[i])->state = GCHEAP_SPAN_QUARANTINE;
		if (i + 1 < count && pages[i + 1] == pages[i] + CHUNK_PAGES)
			continue;
		page_run_depopulate(heap, pages[first], (i + 1 - first) * CHUNK_PAGES);
		first = i + 1;
	}
	heap->counters.chunks -= count;
	heap->counters.in_use_pages -= count * CHUNK_PAGES;
	heap->counters.quarantined_pages += count * CHUNK_PAGES;
}

u32 chunk_take_ready(struct heap *heap, bool *needzero)
{
	u32 page = heap->ready_chunks;
	struct gcheap_span *span;

	*needzero = false;
	if (!page || page_run_populate(heap, page, CHUNK_PAGES, needzero))
		return 0;
	span = heap_span(heap, page);
	heap->ready_chunks = span->next;
	heap->ready_pages -= CHUNK_PAGES;
	span->next = 0;
	span->generation = heap_generation16(heap);
	span->state = GCHEAP_SPAN_CHUNK | (*needzero ? GCHEAP_SPAN_NEEDZERO : 0);
	return page;
}

void chunk_put_ready(struct heap *heap, u32 page, struct gcheap_span *span)
{
	span->state = GCHEAP_SPAN_READY;
	span->next = heap->ready_chunks;
	heap->ready_chunks = page;
	heap->ready_pages += CHUNK_PAGES;
}

u32 chunk_make(struct heap *heap, bool *needzero)
{
	u32 page = page_run_alloc_aligned(heap, needzero);

	if (page)
		span_init_chunk(heap, page, *needzero);
	return page;
}

bool chunks_give_back(struct heap *heap)
{
	bool any = heap->ready_chunks;

	while (heap->ready_chunks) {
		u32 page = heap->ready_chunks;

		heap->ready_chunks = heap_span(heap, page)->next;
		span_clear_pages(heap, page, CHUNK_PAGES);
		page_heap_free(&heap->page_heap, page, CHUNK_PAGES);
	}
	heap->ready_pages = 0;
	return any;
}
