// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The quarantine of freed spans.
 */
#include "quarantine.h"

#include "page_heap.h"
#include "port.h"
#include "span.h"

/* Append a span to the list. */
static void quarantine_link(struct heap *heap, u32 page)
{
	struct quarantine *quarantine = &heap->quarantine;

	heap_span(heap, page)->next = 0;
	if (quarantine->first)
		heap_span(heap, quarantine->last)->next = page;
	else
		quarantine->first = page;
	quarantine->last = page;
}

void quarantine_add(struct heap *heap, u32 page)
{
	struct gcheap_span *span = heap_span(heap, page);
	u32 i;

	span->state = GCHEAP_SPAN_QUARANTINE;
	span->allocated = 0;
	span->prev = 0;
	/* What is freed while marking has to wait for a cycle that begins later. */
	span->generation = heap_generation16(heap);
	if (heap->phase == GCHEAP_PHASE_MARK)
		span->generation += 2;
	for (i = 0; i < span->npages; i++)
		*heap_info(heap, page + i) = 0;
	heap->counters.quarantined_pages += span->npages;
	quarantine_link(heap, page);
}

/* Freed chunks are on no list, but there are few places where one can begin. */
static void clear_marks_of_chunks(struct heap *heap)
{
	u32 page;

	for (page = CHUNK_PAGES; page < heap->heap_pages; page += CHUNK_PAGES) {
		struct gcheap_span *span = heap_span(heap, page);

		if (span_state(span) == GCHEAP_SPAN_QUARANTINE && !span->slots)
			page_mark_clear(heap, page);
	}
}

bool quarantine_clear_some(struct heap *heap, u32 most)
{
	struct quarantine *quarantine = &heap->quarantine;
	u32 page = quarantine->first;

	if (quarantine->cleared)
		page = heap_span(heap, quarantine->cleared)->next;
	for (; page && most; page = heap_span(heap, page)->next) {
		page_mark_clear(heap, page);
		quarantine->cleared = page;
		most--;
	}
	return page;
}

void quarantine_clear_marks(struct heap *heap)
{
	quarantine_clear_some(heap, U32_MAX);
	heap->quarantine.cleared = 0;
	if (heap->counters.quarantined_pages)
		clear_marks_of_chunks(heap);
}

/* Whether a span stays for another cycle. */
static bool quarantine_keeps(struct heap *heap, u32 page)
{
	struct gcheap_span *span = heap_span(heap, page);

	if (span->generation == heap_generation16(heap))
		return true;
	if (!page_is_marked(heap, page))
		return false;
	/* However often: the descriptor has 16 bits of the generation. */
	span->generation = heap_generation16(heap) - 2;
	return true;
}

static void free_run(struct heap *heap, struct span_run *run)
{
	if (run->npages)
		page_heap_free(&heap->page_heap, run->page, run->npages);
	run->npages = 0;
}

void quarantine_release(struct heap *heap)
{
	struct span_run run = { 0 };
	u32 page = heap->quarantine.first;
	u32 count = 0;

	heap->quarantine.first = 0;
	while (page) {
		struct gcheap_span *span = heap_span(heap, page);
		u32 npages = span->npages;
		u32 next = span->next;

		if (quarantine_keeps(heap, page)) {
			quarantine_link(heap, page);
		} else {
			span_clear_pages(heap, page, npages);
			heap->counters.quarantined_pages -= npages;
			if (page != run.page + run.npages)
				free_run(heap, &run);
			if (!run.npages)
				run.page = page;
			run.npages += npages;
		}
		page = next;
		if (++count % 64 == 0)
			port_interrupted();
	}
	free_run(heap, &run);
}
