/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Extents of object memory, and how pages leave them: see extents.c.
 */
#ifndef GCHEAP_EXTENTS_H
#define GCHEAP_EXTENTS_H

#include <linux/bitmap.h>
#include <linux/bits.h>
#include <linux/list.h>
#include <linux/xarray.h>

#include "module.h"

#define EXTENT_SHIFT	9u
#define EXTENT_PAGES	BIT(EXTENT_SHIFT)	/* 2 MiB */

/**
 * struct extent - pages of 2 MiB of the heap
 * @pages: EXTENT_PAGES of them, NULL: not there
 * @present: how many are there; with @block: how many were asked for
 * @number: of the extent
 * @block: the pages are those of one 2 MiB page; NULL: each lives on its own
 * @next_empty: in a list of extents that are about to be freed
 * @made: those made by the request that is running
 */
struct extent {
	struct page **pages;
	unsigned int present;
	unsigned long number;
	struct huge_block *block;
	struct extent *next_empty;
	DECLARE_BITMAP(made, EXTENT_PAGES);
};

/**
 * struct removal - pages on their way out
 * @only_made: take away only those just made
 * @release: to give memory to the system; what cannot be given may stay accessible
 * @pages: the pages, not yet unmapped
 * @count: how many
 * @empty: extents that have no page any more, to be freed without fault_lock
 * @head: of a 2 MiB page that has lost a part; NULL: there is none
 */
struct removal {
	bool only_made;
	bool release;
	struct list_head pages;
	unsigned int count;
	struct extent *empty;
	struct page *head;
};

/**
 * extent_find() - look an extent up
 * @heap: the heap
 * @index: number of one of its pages in the HEAP region
 *
 * Context: @heap->lock or @heap->fault_lock is held, so that the extent stays.
 * Return: the extent, or NULL.
 */
static inline struct extent *extent_find(struct gcheap_heap *heap, unsigned long index)
{
	return xa_load(&heap->extents, index >> EXTENT_SHIFT);
}

struct extent *extent_make(struct gcheap_heap *heap, unsigned long index);
void extent_drop(struct gcheap_heap *heap, struct extent *extent, struct removal *removal);
void extent_free(struct extent *extent);
void pages_account(struct gcheap_heap *heap, long count);
struct page *pages_find(struct gcheap_heap *heap, unsigned long index);
struct page *const *pages_row(struct gcheap_heap *heap, unsigned long index,
			      unsigned long *end);

#endif /* GCHEAP_EXTENTS_H */
