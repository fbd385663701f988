/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Leaves of object memory, and how pages leave them: see leaves.c.
 */
#ifndef GCHEAP_LEAVES_H
#define GCHEAP_LEAVES_H

#include <linux/bitmap.h>
#include <linux/bits.h>
#include <linux/list.h>
#include <linux/xarray.h>

#include "module.h"

#define LEAF_SHIFT	9u
#define LEAF_PAGES	BIT(LEAF_SHIFT)	/* 2 MiB */

/**
 * struct pages_leaf - pages of 2 MiB of the heap
 * @pages: LEAF_PAGES of them, NULL: not there
 * @present: how many are there; with @block: how many were asked for
 * @number: of the leaf
 * @block: the pages are those of one 2 MiB page; NULL: each lives on its own
 * @next_empty: in a list of leaves that are about to be freed
 * @made: those made by the request that is running
 */
struct pages_leaf {
	struct page **pages;
	unsigned int present;
	unsigned long number;
	struct huge_block *block;
	struct pages_leaf *next_empty;
	DECLARE_BITMAP(made, LEAF_PAGES);
};

/**
 * struct removal - pages on their way out
 * @only_made: take away only those just made
 * @release: to give memory to the system; what cannot be given may stay accessible
 * @pages: the pages, not yet unmapped
 * @count: how many
 * @empty: leaves that have no page any more, to be freed without fault_lock
 * @head: of a 2 MiB page that has lost a part; NULL: there is none
 */
struct removal {
	bool only_made;
	bool release;
	struct list_head pages;
	unsigned int count;
	struct pages_leaf *empty;
	struct page *head;
};

/**
 * leaf_find() - look a leaf up
 * @heap: the heap
 * @index: number of one of its pages in the HEAP region
 *
 * Context: @heap->lock or @heap->fault_lock is held, so that the leaf stays.
 * Return: the leaf, or NULL.
 */
static inline struct pages_leaf *leaf_find(struct gcheap_heap *heap, unsigned long index)
{
	return xa_load(&heap->leaves, index >> LEAF_SHIFT);
}

struct pages_leaf *leaf_make(struct gcheap_heap *heap, unsigned long index);
void leaf_drop(struct gcheap_heap *heap, struct pages_leaf *leaf, struct removal *removal);
void leaf_free(struct pages_leaf *leaf);
void pages_account(struct gcheap_heap *heap, long count);
struct page *pages_find(struct gcheap_heap *heap, unsigned long index);
struct page *const *pages_row(struct gcheap_heap *heap, unsigned long index,
			      unsigned long *end);

#endif /* GCHEAP_LEAVES_H */
