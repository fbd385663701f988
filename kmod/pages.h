/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What pages.c and huge.c share: leaves of object memory, and how pages leave them.
 */
#ifndef GCHEAP_PAGES_H
#define GCHEAP_PAGES_H

#include <linux/bitmap.h>

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
 * struct huge_fill - what one request does with 2 MiB pages
 * @any: it has made pages of some
 * @old_data: one of these may have old data
 * @recycled: how many 2 MiB pages came from the stock
 * @no_more: there are none any more
 */
struct huge_fill {
	bool any;
	bool old_data;
	unsigned long recycled;
	bool no_more;
};

/* pages.c */
struct pages_leaf *leaf_find(struct gcheap_heap *heap, unsigned long index);
struct pages_leaf *leaf_make(struct gcheap_heap *heap, unsigned long index);
void leaf_drop(struct gcheap_heap *heap, struct pages_leaf *leaf, struct removal *removal);
void pages_account(struct gcheap_heap *heap, long count);
void pages_unmap(struct gcheap_heap *heap, unsigned long first, unsigned long end);

/* huge.c */
int huge_populate(struct gcheap_heap *heap, unsigned long first, unsigned long end,
		  struct huge_fill *fill);
unsigned int huge_leaf_remove(struct gcheap_heap *heap, struct pages_leaf *leaf,
			      unsigned long first, unsigned long end,
			      struct removal *removal);
unsigned int huge_poison(struct gcheap_heap *heap, struct pages_leaf *leaf);
struct page *huge_page_of(struct pages_leaf *leaf, unsigned int i);
void huge_settle_page(struct gcheap_heap *heap, struct page *page);
void huge_settle(struct gcheap_heap *heap, struct removal *removal);
void huge_leaf_end(struct gcheap_heap *heap, struct pages_leaf *leaf,
		   struct list_head *blocks);
void huge_forget_made(struct pages_leaf *leaf);
int huge_map(struct gcheap_heap *heap, struct pages_leaf *leaf);

#endif /* GCHEAP_PAGES_H */
