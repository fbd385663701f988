// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Spans: their descriptors, PAGES entries and bits.
 */
#include "span.h"

#include "arena.h"
#include "page_info.h"
#include "port.h"
#include "type.h"

static_assert(sizeof(struct gcheap_span) == 32);

u32 span_count(struct heap *heap, u32 page, u32 table)
{
	const struct gcheap_span *span = heap_span(heap, page);
	u32 count = 0;
	u32 i, w;

	for (i = 0; i < span->npages; i++) {
		const u64 *words = heap_marks(heap, table, page + i);

		for (w = 0; w < MARK_WORDS_PER_PAGE; w++)
			count += hweight64(READ_ONCE(words[w]));
	}
	return min_t(u32, count, span->slots);
}

void span_clear_bits(struct heap *heap, u32 table, u32 page)
{
	const struct gcheap_span *span = heap_span(heap, page);
	u32 npages = span_state(span) == GCHEAP_SPAN_LARGE ? 1 : span->npages;
	u32 i;

	for (i = 0; i < npages; i++)
		memset(heap_marks(heap, table, page + i), 0, MARK_WORDS_PER_PAGE * sizeof(u64));
}

/* The bits of a new span: nothing in it is in use, or marked. */
static void span_init_bits(struct heap *heap, u32 page)
{
	span_clear_bits(heap, heap_alloc_table(heap), page);
	/* At other times MARK_START will clear them. */
	if (heap->phase == GCHEAP_PHASE_MARK)
		span_clear_bits(heap, heap->mark_table, page);
	/* Or has begun to: a page mark that nobody minded was not cleared. */
	else if (unlikely(page < heap->marks_cleared))
		page_mark_clear(heap, page);
}

void span_set_in_use(struct heap *heap, u32 page, u32 npages, bool in_use)
{
	arena_set_in_use(heap, page, in_use);
	if (in_use) {
		heap->counters.spans++;
		heap->counters.in_use_pages += npages;
	} else {
		heap->counters.spans--;
		heap->counters.in_use_pages -= npages;
	}
}

/* Descriptors and PAGES entries of all pages but the first. */
static void span_set_inner(struct heap *heap, u32 page, u32 npages, u64 info)
{
	u32 i;

	for (i = 1; i < npages; i++) {
		struct gcheap_span *inner = heap_span(heap, page + i);

		memset(inner, 0, sizeof(*inner));
		inner->state = GCHEAP_SPAN_INNER;
		inner->first_page = page;
		*heap_info(heap, page + i) = info;
		if (i % 4096 == 0)
			port_interrupted();
	}
}

void span_init_small(struct heap *heap, u32 page, const struct span_key *key,
		     bool needzero)
{
	u32 size_class = SPAN_CLASS_SIZE(key->span_class);
	u32 npages = size_class_pages[size_class];
	struct gcheap_span *span = heap_span(heap, page);
	u64 info = page_info_small(size_class, (enum gcheap_kind)key->kind,
				   SPAN_CLASS_NOSCAN(key->span_class));
	u32 i;

	*span = (struct gcheap_span) {
		.state = GCHEAP_SPAN_CACHED | (needzero ? GCHEAP_SPAN_NEEDZERO : 0),
		.span_class = key->span_class,
		.slots = (u16)span_slots(size_class, (enum gcheap_kind)key->kind),
		.npages = npages,
		.generation = heap_generation16(heap),
		.type = key->type,
		.ptr_mask = key->mask,
	};
	span_init_bits(heap, page);
	*heap_info(heap, page) = info;
	span_set_inner(heap, page, npages, info);
	for (i = 1; i < npages; i++)
		*heap_info(heap, page + i) |= page_info_index(i);
	span_set_in_use(heap, page, npages, true);
	heap->counters.cached_spans++;
}

void span_describe(struct heap *heap, u32 page, u32 first, u32 count)
{
	u32 i;

	for (i = max_t(u32, first, 1); i < first + count; i++) {
		struct gcheap_span *inner = heap_span(heap, page + i);

		inner->state = GCHEAP_SPAN_INNER;
		inner->first_page = page;
		if (i % 4096 == 0)
			port_interrupted();
	}
}

void span_init_large(struct heap *heap, u32 page, u32 npages, u32 type,
		     u64 object_bytes, bool needzero)
{
	const struct gcheap_type_record *record = type_find(heap, type);
	bool noscan = !record || !record->ptr_bytes;
	u64 info = page_info_large(noscan);
	struct gcheap_span *span = heap_span(heap, page);
	u32 i;

	*span = (struct gcheap_span) {
		.state = GCHEAP_SPAN_LARGE | (needzero ? GCHEAP_SPAN_NEEDZERO : 0),
		.span_class = SPAN_CLASS(0, noscan),
		.slots = 1,
		.npages = npages,
		.generation = heap_generation16(heap),
		.allocated = 1,
		.type = type,
		.object_bytes = object_bytes,
	};
	/* Only the first page's first bit is ever set for a large object. */
	span_init_bits(heap, page);
	WRITE_ONCE(*heap_marks(heap, heap_alloc_table(heap), page), 1);
	for (i = 0; i < npages; i++)
		*heap_info(heap, page + i) = info;
	span_set_in_use(heap, page, npages, true);
	heap->large_spans++;
	heap->counters.large_objects++;
}

void span_init_chunk(struct heap *heap, u32 page, bool needzero)
{
	*heap_span(heap, page) = (struct gcheap_span) {
		.state = GCHEAP_SPAN_CHUNK | (needzero ? GCHEAP_SPAN_NEEDZERO : 0),
		.npages = CHUNK_PAGES,
		.generation = heap_generation16(heap),
	};
	span_set_inner(heap, page, CHUNK_PAGES, 0);
}

void span_clear_pages(struct heap *heap, u32 page, u32 npages)
{
	u32 i;

	for (i = 0; i < npages; i++) {
		*heap_info(heap, page + i) = 0;
		memset(heap_span(heap, page + i), 0, sizeof(struct gcheap_span));
		if (i % 4096 == 4095)
			port_interrupted();
	}
}
