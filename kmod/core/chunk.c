// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Chunks of user arenas.
 */
#include "chunk.h"

#include "page_heap.h"
#include "page_runs.h"
#include "reclaim.h"
#include "requests.h"
#include "span.h"

/* The chunk in this state that begins at @page, any number; NULL: there is none. */
static struct gcheap_span *chunk_find(struct heap *heap, u32 page, enum gcheap_span_state state)
{
	struct gcheap_span *span;

	if (!page || page >= heap->heap_pages)
		return NULL;
	span = heap_span(heap, heap_page_nospec(heap, page));
	/* A freed span in quarantine has slots. */
	return span_state(span) == state && !span->slots ? span : NULL;
}

/* Memory for the ready chunk on top of the stack, which becomes one in use; 0: none. */
static u32 chunk_take_ready(struct heap *heap, bool *needzero)
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

static u32 chunk_make(struct heap *heap, bool *needzero)
{
	u32 page = page_run_alloc_aligned(heap, needzero);

	if (page) {
		reclaim_spend(heap, CHUNK_PAGES);
		span_init_chunk(heap, page, *needzero);
	}
	return page;
}

int heap_chunk_new(struct heap *heap, struct gcheap_chunk_new *request)
{
	bool needzero;
	u32 page;

	if (request->flags)
		return -EOPNOTSUPP;
	page = chunk_take_ready(heap, &needzero);
	if (!page) {
		reclaim_for(heap, CHUNK_PAGES);
		page = chunk_make(heap, &needzero);
	}
	if (!page && heap_make_room(heap))
		page = chunk_make(heap, &needzero);
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
	span->state = GCHEAP_SPAN_READY;
	span->next = heap->ready_chunks;
	heap->ready_chunks = request->page;
	heap->ready_pages += CHUNK_PAGES;
	heap->counters.quarantined_pages -= CHUNK_PAGES;
	return 0;
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
