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
