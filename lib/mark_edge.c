// SPDX-License-Identifier: MIT
/*
 * Rare edges: those to large objects, and those to pages without objects.
 */
#include "mark_edge.h"

/*
 * Whether a pointer may be meant as the end of the object before it: C allows
 * that, and where no object follows, it leads to a free slot or page.
 */
static bool may_be_end(const struct marker *marker, uint64_t edge)
{
	struct slot slot;

	return edge && address_slot(marker->view, edge - 1, &slot) &&
	       slot.offset + slot.bytes == edge &&
	       view_bit(view_alloc_bits(marker->view), granule_of(slot.offset));
}

void mark_quarantine(struct marker *marker, uint64_t edge)
{
	uint64_t page;

	if (address_set_aside(marker->view, edge, &page) == GCHEAP_SPAN_QUARANTINE &&
	    !may_be_end(marker, edge))
		__atomic_fetch_or(&marker->page_marks[page / 64], 1ull << page % 64,
				  __ATOMIC_RELAXED);
}

static uint64_t mark_edge_large(struct marker *marker, uint64_t page, uint64_t info)
{
	const struct gcheap_span *span = &marker->spans[page];
	uint64_t start;

	if ((span->state & GCHEAP_SPAN_STATE_MASK) == GCHEAP_SPAN_INNER)
		page = span->first_page;
	start = page << GCHEAP_PAGE_SHIFT;
	if (!mark_set_shared(marker, granule_of(start), page) || info & GCHEAP_PAGE_NOSCAN)
		return 0;
	return (info & MARK_ENTRY_INFO) | start;
}

uint64_t mark_edge_rare(struct marker *marker, uint64_t edge, uint64_t info)
{
	if (GCHEAP_PAGE_KIND(info) == GCHEAP_KIND_LARGE)
		return mark_edge_large(marker, edge >> GCHEAP_PAGE_SHIFT, info);
	mark_quarantine(marker, edge);
	return 0;
}
