// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A heap's figures and state, for those who look.
 */
#include "counters.h"

#include "port.h"

static_assert(sizeof(struct gcheap_ctrl) <= PORT_TABLE_PAGE_BYTES);

void heap_update_counters(struct heap *heap)
{
	port_counters(heap);
	heap->counters.heap_pages = heap->heap_pages;
	heap->counters.free_bytes = (u64)heap->page_heap.backed_pages << GCHEAP_PAGE_SHIFT;
}

void counters_copy(struct gcheap_counters *to, const struct gcheap_counters *from)
{
	const u64 *words = (const u64 *)from;
	u64 *copy = (u64 *)to;
	size_t i;

	for (i = 0; i < sizeof(*to) / sizeof(*words); i++)
		WRITE_ONCE(copy[i], words[i]);
}

void heap_publish(struct heap *heap)
{
	struct gcheap_ctrl *ctrl = heap->ctrl;

	heap_update_counters(heap);
	ctrl->abi = GCHEAP_ABI;
	ctrl->layout = heap->layout;
	ctrl->counters_bytes = sizeof(ctrl->counters);
	counters_copy(&ctrl->counters, &heap->counters);
	WRITE_ONCE(ctrl->heap_pages, heap->heap_pages);
	WRITE_ONCE(ctrl->mark_table, heap->mark_table);
	WRITE_ONCE(ctrl->generation, heap->generation);
	WRITE_ONCE(ctrl->phase, heap->phase);
}
