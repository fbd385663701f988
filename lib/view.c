// SPDX-License-Identifier: MIT
/*
 * A heap's mapped regions: where each table is.
 */
#include "view.h"

#include "backend/backend.h"

void view_init(struct view *view, const struct backend *backend)
{
	uint64_t reserve = backend->region_bytes[GCHEAP_REGION_HEAP];
	char *marks = backend->regions[GCHEAP_REGION_MARKS];

	view->base = backend->regions[GCHEAP_REGION_HEAP];
	view->reserve_bytes = reserve;
	view->pages = backend->regions[GCHEAP_REGION_PAGES];
	view->spans = backend->regions[GCHEAP_REGION_SPANS];
	view->types = backend->regions[GCHEAP_REGION_TYPES];
	view->marks[0] = (uint64_t *)(void *)marks;
	view->marks[1] = (uint64_t *)(void *)(marks + GCHEAP_MARKS_TABLE(reserve, 1));
	view->page_marks = (uint64_t *)(void *)(marks + GCHEAP_MARKS_PAGE_MARKS(reserve));
	view->page_specials =
		(uint64_t *)(void *)(marks + GCHEAP_MARKS_PAGE_SPECIALS(reserve));
	view->bitmap = backend->regions[GCHEAP_REGION_BITMAP];
	view->ctrl = backend->regions[GCHEAP_REGION_CTRL];
}
