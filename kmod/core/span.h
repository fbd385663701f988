/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Spans: runs of heap pages that hold objects of one size class, or one large object. A
 * span is made of free pages, which span_free.h makes free again.
 */
#ifndef GCHEAP_CORE_SPAN_H
#define GCHEAP_CORE_SPAN_H

#include "heap.h"
#include "slots.h"

/**
 * struct span_key - what spans share that serve the same requests
 * @mask: one bit a word of a slot; GCHEAP_KIND_MASK only, else 0
 * @type: GCHEAP_KIND_TYPE, and under GCHEAP_SETUP_RECORD_TYPES GCHEAP_KIND_MASK;
 *	else 0
 * @span_class: SPAN_CLASS()
 * @kind: enum gcheap_kind
 */
struct span_key {
	u64 mask;
	u32 type;
	u8 span_class;
	u8 kind;
};

/**
 * span_count() - count the set bits of a span in a bit table
 * @heap: the heap
 * @page: the span's first page
 * @table: 0 or 1
 *
 * The process can write the table at any time: the count is at most the span's
 * slots, and no more than a hint.
 */
u32 span_count(struct heap *heap, u32 page, u32 table);

/**
 * span_clear_bits() - clear the bits of a span in a bit table
 * @heap: the heap
 * @table: 0 or 1
 * @page: the span's first page
 *
 * Of a large span only those of the first page: no others are used.
 */
void span_clear_bits(struct heap *heap, u32 table, u32 page);

/**
 * span_init_small() - make a span of free pages, in GCHEAP_SPAN_CACHED
 * @heap: the heap
 * @page: first of the class's pages, allocated and populated
 * @key: class and pointer map
 * @needzero: whether its memory was used before
 */
void span_init_small(struct heap *heap, u32 page, const struct span_key *key,
		     bool needzero);

/**
 * span_set_in_use() - note that a span with objects begins or ends, and count it
 * @heap: the heap
 * @page: its first page
 * @npages: its length
 * @in_use: whether it is in use now
 */
void span_set_in_use(struct heap *heap, u32 page, u32 npages, bool in_use);

/**
 * span_describe() - make descriptors of a large span that is to be
 * @heap: the heap
 * @page: its first page, whose descriptor is not made
 * @first: number of the first page in the span
 * @count: how many
 */
void span_describe(struct heap *heap, u32 page, u32 first, u32 count);

/**
 * span_init_large() - make a span for one object
 * @heap: the heap
 * @page: first page
 * @npages: how many; span_describe() has made the descriptors of all but the first
 * @type: element type, or 0
 * @object_bytes: the object's size
 * @needzero: whether its memory was used before
 */
void span_init_large(struct heap *heap, u32 page, u32 npages, u32 type,
		     u64 object_bytes, bool needzero);

/**
 * span_init_chunk() - make a chunk of a user arena, in GCHEAP_SPAN_CHUNK
 * @heap: the heap
 * @page: first of CHUNK_PAGES pages, allocated and populated
 * @needzero: whether its memory was used before
 */
void span_init_chunk(struct heap *heap, u32 page, bool needzero);

/* Make pages belong to no span: descriptors and PAGES entries become zero. */
void span_clear_pages(struct heap *heap, u32 page, u32 npages);

/**
 * struct span_run - spans that end, and follow each other
 * @page: first page of the first
 * @npages: their length; 0: none
 *
 * What is done with the pages is then done once for all of them.
 */
struct span_run {
	u32 page;
	u32 npages;
};

static inline enum gcheap_span_state span_state(const struct gcheap_span *span)
{
	return (enum gcheap_span_state)(span->state & GCHEAP_SPAN_STATE_MASK);
}

static inline void span_set_state(struct gcheap_span *span,
				  enum gcheap_span_state state)
{
	span->state = (u8)((span->state & ~GCHEAP_SPAN_STATE_MASK) | (u8)state);
}

#endif /* GCHEAP_CORE_SPAN_H */
