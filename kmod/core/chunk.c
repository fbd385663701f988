// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Chunks of user arenas.
 */
#include "chunk.h"

#include "page_heap.h"
#include "page_runs.h"
#include "port.h"
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

/* Append a chunk to the list of freed ones. */
static void freed_link(struct heap *heap, u32 page, struct gcheap_span *span)
{
	span->next = 0;
	span->prev = heap->freed_chunks_last;
	if (span->prev)
		heap_span(heap, span->prev)->next = page;
	else
		heap->freed_chunks = page;
	heap->freed_chunks_last = page;
}

static void freed_unlink(struct heap *heap, struct gcheap_span *span)
{
	if (span->prev)
		heap_span(heap, span->prev)->next = span->next;
	else
		heap->freed_chunks = span->next;
	if (span->next)
		heap_span(heap, span->next)->prev = span->prev;
	else
		heap->freed_chunks_last = span->prev;
	span->prev = 0;
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
		struct gcheap_span *span = heap_span(heap, pages[i]);

		span->state = GCHEAP_SPAN_QUARANTINE;
		/* What is freed while marking has to wait for a cycle that begins later. */
		span->generation = heap_generation16(heap);
		if (heap->phase == GCHEAP_PHASE_MARK)
			span->generation += 2;
		freed_link(heap, pages[i], span);
		if (i + 1 < count && pages[i + 1] == pages[i] + CHUNK_PAGES)
			continue;
		page_run_depopulate(heap, pages[first], (i + 1 - first) * CHUNK_PAGES);
		first = i + 1;
	}
	heap->counters.chunks -= count;
	heap->counters.in_use_pages -= count * CHUNK_PAGES;
	heap->counters.quarantined_pages += count * CHUNK_PAGES;
	heap->counters.quarantined_chunks += count;
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
	heap->counters.ready_chunks--;
	span->next = 0;
	span->generation = heap_generation16(heap);
	span->state = GCHEAP_SPAN_CHUNK | (*needzero ? GCHEAP_SPAN_NEEDZERO : 0);
	return page;
}

void chunk_put_ready(struct heap *heap, u32 page)
{
	struct gcheap_span *span = heap_span(heap, page);

	freed_unlink(heap, span);
	heap->counters.quarantined_chunks--;
	heap->counters.quarantined_pages -= CHUNK_PAGES;
	span->state = GCHEAP_SPAN_READY;
	span->next = heap->ready_chunks;
	heap->ready_chunks = page;
	heap->counters.ready_chunks++;
}

void chunks_clear_marks(struct heap *heap)
{
	u64 left = heap->counters.chunks + heap->counters.quarantined_chunks;
	u32 page;

	/* Those in use are on no list, but there are few places where one can begin. */
	for (page = CHUNK_PAGES; left && page < heap->heap_pages; page += CHUNK_PAGES) {
		const struct gcheap_span *span = heap_span(heap, page);
		u32 state = span_state(span);

		if (page / CHUNK_PAGES % 4096 == 0)
			port_interrupted();
		if (state != GCHEAP_SPAN_CHUNK &&
		    (state != GCHEAP_SPAN_QUARANTINE || span->slots))
			continue;
		page_mark_clear(heap, page);
		left--;
	}
}

void chunks_sweep(struct heap *heap)
{
	u32 page = heap->freed_chunks;
	u32 count = 0;

	while (page) {
		struct gcheap_span *span = heap_span(heap, page);
		u32 next = span->next;

		if (heap->flags & GCHEAP_SETUP_SWEEP_CHUNKS && !page_is_marked(heap, page) &&
		    span->generation != heap_generation16(heap))
			chunk_put_ready(heap, page);
		else if (span->generation != heap_generation16(heap))
			span->generation = heap_generation16(heap) - 2;
		page = next;
		if (++count % 4096 == 0)
			port_interrupted();
	}
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
	heap->counters.ready_chunks = 0;
	return any;
}
