/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * 2 MiB pages of object memory: see huge.c.
 */
#ifndef GCHEAP_HUGE_H
#define GCHEAP_HUGE_H

#include "extents.h"

#define HUGE_SHIFT	21u		/* 2 MiB */

/**
 * struct huge_fill - what one request does with 2 MiB pages
 * @any: it has made pages of some
 * @old_data: one of these may have old data
 * @recycled: how many 2 MiB pages came from the pool
 * @no_more: there are none any more
 */
struct huge_fill {
	bool any;
	bool old_data;
	unsigned long recycled;
	bool no_more;
};

bool huge_works(void);
int huge_populate(struct gcheap_heap *heap, unsigned long first, unsigned long end,
		  struct huge_fill *fill);
unsigned int huge_extent_remove(struct gcheap_heap *heap, struct extent *extent,
				unsigned long first, unsigned long end,
				struct removal *removal);
unsigned int huge_poison(struct gcheap_heap *heap, struct extent *extent);
struct page *huge_page_of(struct extent *extent, unsigned int i);
void huge_settle_page(struct gcheap_heap *heap, struct page *page);
void huge_settle(struct gcheap_heap *heap, struct removal *removal);
void huge_extent_end(struct gcheap_heap *heap, struct extent *extent,
		     struct list_head *blocks);
void huge_forget_made(struct extent *extent);
int huge_map(struct gcheap_heap *heap, struct extent *extent);
bool huge_fault_begin(struct gcheap_heap *heap, unsigned long index, bool owner, bool table);
void huge_on_touch_begin(struct gcheap_heap *heap, unsigned long first, unsigned long end);

#endif /* GCHEAP_HUGE_H */
