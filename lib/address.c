// SPDX-License-Identifier: MIT
/*
 * Finds an address's slot, in the careful way. The marker has a way of its own
 * (mark_edge.h), which does without the descriptor.
 */
#include "address.h"

static bool address_slot_large(const struct view *view, uint32_t page, struct slot *slot)
{
	const struct gcheap_span *span = &view->spans[page];

	if ((span->state & GCHEAP_SPAN_STATE_MASK) == GCHEAP_SPAN_INNER) {
		page = span->first_page;
		span = &view->spans[page];
	}
	slot->offset = (uint64_t)page << GCHEAP_PAGE_SHIFT;
	slot->bytes = (uint64_t)span->npages << GCHEAP_PAGE_SHIFT;
	slot->page = page;
	slot->index = 0;
	return true;
}

uint32_t address_set_aside(const struct view *view, uint64_t offset, uint64_t *first_page)
{
	uint64_t page = offset >> GCHEAP_PAGE_SHIFT;
	uint32_t state;

	if (offset >= address_end(view))
		return GCHEAP_SPAN_FREE;
	if ((view->spans[page].state & GCHEAP_SPAN_STATE_MASK) == GCHEAP_SPAN_INNER)
		page = view->spans[page].first_page;
	state = view->spans[page].state & GCHEAP_SPAN_STATE_MASK;
	*first_page = page;
	return state >= GCHEAP_SPAN_CHUNK ? state : GCHEAP_SPAN_FREE;
}

bool address_slot(const struct view *view, uint64_t offset, struct slot *slot)
{
	uint32_t page = (uint32_t)(offset >> GCHEAP_PAGE_SHIFT);
	uint64_t info = view->pages[page];
	uint32_t kind = GCHEAP_PAGE_KIND(info);
	uint64_t first;

	slot->info = info;
	if (kind == GCHEAP_KIND_NONE)
		return false;
	if (kind == GCHEAP_KIND_LARGE)
		return address_slot_large(view, page, slot);

	page -= GCHEAP_PAGE_INDEX(info);
	first = (uint64_t)page << GCHEAP_PAGE_SHIFT;
	slot->page = page;
	slot->bytes = GCHEAP_PAGE_SLOT_BYTES(info);
	slot->index = (uint32_t)page_info_slot(info, offset - first);
	slot->offset = first + slot->index * slot->bytes;
	return slot->index < view->spans[page].slots;
}
