// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The end of spans.
 */
#include "span_free.h"

#include "page_heap.h"
#include "page_runs.h"
#include "quarantine.h"
#include "type_mask.h"

u32 span_run_add(struct heap *heap, struct span_run *run, u32 page)
{
	struct gcheap_span *span = heap_span(heap, page);
	bool lazy = span->state & GCHEAP_SPAN_LAZY;
	u32 npages = span->npages;

	/*
	 * The alloc bits are clear, but for a large object's: that is how the span
	 * was found to be dead. What the other table has is left from before.
	 */
	span_clear_bits(heap, heap->mark_table, page);
	if (span_state(span) == GCHEAP_SPAN_LARGE) {
		span_clear_bits(heap, heap_alloc_table(heap), page);
		type_mask_drop(heap, span->type);
		heap->large_spans--;
	}
	span_set_in_use(heap, page, npages, false);
	if (heap->flags & GCHEAP_SETUP_FAULT_FREED)
		quarantine_add(heap, page);
	else
		span_clear_pages(heap, page, npages);
	if (lazy)
		page_run_end_lazy(heap, page, npages);
	heap->counters.freed_spans++;

	if (page != run->page + run->npages)
		span_run_end(heap, run);
	if (!run->npages)
		run->page = page;
	run->npages += npages;
	return npages;
}

void span_run_end(struct heap *heap, struct span_run *run)
{
	if (!run->npages)
		return;
	if (heap->flags & GCHEAP_SETUP_FAULT_FREED)
		page_run_depopulate(heap, run->page, run->npages);
	else
		page_heap_free(&heap->page_heap, run->page, run->npages);
	run->npages = 0;
}

void span_free(struct heap *heap, u32 page)
{
	struct span_run run = { 0 };

	span_run_add(heap, &run, page);
	span_run_end(heap, &run);
}
