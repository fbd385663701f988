/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Central lists: the small-object spans that no thread has in its cache, sorted
 * by what can be allocated from them.
 *
 * A central owns the spans of one key: their class, and in the SPAN layout also the
 * pointer mask (objects up to 512 bytes) or the type (larger ones) that all their slots
 * share. All types share the mixed spans of that layout, as they share those of the
 * HEADER layout. Under GCHEAP_SETUP_RECORD_TYPES types with the same mask share no span
 * of the SPAN layout.
 *
 * A central has four lists, as in Go: partial (a slot is free) and full, each of swept
 * and of unswept spans. The lists of swept and of unswept spans swap names when the sweep
 * generation steps, so that a new cycle moves no span: list number = (span generation /
 * 2) & 1.
 */
#ifndef GCHEAP_CORE_CENTRAL_H
#define GCHEAP_CORE_CENTRAL_H

#include "heap.h"
#include "span.h"

/**
 * struct central - the spans of one key
 * @key: the key
 * @hash_next: next in its bucket of the table
 * @all_next: next of all centrals, in the order of their creation
 * @partial: heads of the two lists of spans with a free slot, page numbers
 * @full: heads of the two lists of spans without
 * @free_slots: of the spans on the two pairs of lists, as they were last counted
 * @used_slots: likewise
 */
struct central {
	struct span_key key;
	struct central *hash_next;
	struct central *all_next;
	u32 partial[2];
	u32 full[2];
	u64 free_slots[2];
	u64 used_slots[2];
};

/* A new table has so many buckets; it doubles when it has more centrals. */
#define CENTRAL_BUCKETS_SHIFT	6

/* 0 or -ENOMEM, and there is nothing to destroy then. */
int central_table_init(struct central_table *table);
void central_table_destroy(struct central_table *table);

/**
 * central_key_make() - the key of the spans that REFILL must hand out
 * @heap: the heap
 * @type: a type number, or 0 for objects without pointers
 * @size_class: a size class
 * @flags: GCHEAP_REFILL_*
 * @key: the key
 *
 * Return: 0; -EINVAL no such type or class, or the slots cannot hold @type.
 */
int central_key_make(struct heap *heap, u32 type, u32 size_class, u32 flags,
		     struct span_key *key);

/* The central of a key, or NULL. */
struct central *central_find(struct heap *heap, const struct span_key *key);

/* The central of a key, made if need be; NULL: out of memory. */
struct central *central_get(struct heap *heap, const struct span_key *key);

/* The central of a span in GCHEAP_SPAN_CENTRAL or GCHEAP_SPAN_CACHED; not NULL. */
struct central *central_of_span(struct heap *heap, u32 page);

/* Put a span on the list that its generation and count of slots name. */
void central_insert(struct heap *heap, struct central *central, u32 page);

/* Take a span of this central off its list. */
void central_remove(struct heap *heap, struct central *central, u32 page);

/* Which of the two pairs of lists has the spans that the current cycle has swept. */
static inline u32 central_swept_lists(const struct heap *heap)
{
	return (heap->generation / 2) & 1;
}

/* A span of a central that the current cycle has not swept yet; 0: there is none. */
u32 central_first_unswept(const struct heap *heap, const struct central *central);

/**
 * central_take() - hand a span with free slots out
 * @heap: the heap
 * @central: one that has it among the spans that the current cycle has swept
 *
 * Return: its first page, in GCHEAP_SPAN_CACHED; 0: there is none.
 */
u32 central_take(struct heap *heap, struct central *central);

/**
 * central_give() - take a cached span back
 * @heap: the heap
 * @page: its first page
 *
 * Counts its objects by the alloc bits; a span without any becomes free pages.
 */
void central_give(struct heap *heap, u32 page);

#endif /* GCHEAP_CORE_CENTRAL_H */
