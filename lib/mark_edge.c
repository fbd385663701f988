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

/* The chunk of a user arena that an edge leads into: who is first scans it. */
static uint64_t mark_chunk(const struct marker *marker, uint64_t edge)
{
	const struct arenas *arenas = &marker->heap->arenas;
	struct arena_chunk *chunk;

	/* A program may have chunks of its own. */
	if (!arenas->chunks)
		return 0;
	chunk = &arenas->chunks[arena_chunk_number(edge)];
	if (__atomic_load_n(&chunk->seen, __ATOMIC_RELAXED) == arenas->cycle ||
	    __atomic_exchange_n(&chunk->seen, arenas->cycle, __ATOMIC_RELAXED) == arenas->cycle)
		return 0;
	return (uint64_t)MARK_KIND_CHUNK << 60 | (edge & ~(uint64_t)(GCHEAP_CHUNK_BYTES - 1));
}

uint64_t mark_set_aside(struct marker *marker, uint64_t edge)
{
	uint64_t page;

	switch (address_set_aside(marker->view, edge, &page)) {
	case GCHEAP_SPAN_QUARANTINE:
		if (!may_be_end(marker, edge))
			__atomic_fetch_or(&marker->page_marks[page / 64], 1ull << page % 64,
					  __ATOMIC_RELAXED);
		return 0;
	case GCHEAP_SPAN_CHUNK:
		return mark_chunk(marker, edge);
	default:
		return 0;
	}
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
	return mark_set_aside(marker, edge);
}
