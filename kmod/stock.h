/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Pages that belong to a heap and are mapped nowhere: see stock.c.
 */
#ifndef GCHEAP_STOCK_H
#define GCHEAP_STOCK_H

#include <linux/list.h>

struct gcheap_heap;

/**
 * struct page_lists - pages by what is in them
 * @zeroed: pages that are zero
 * @dirty: pages with old data of the heap
 * @zeroed_pages: length of @zeroed
 * @dirty_pages: length of @dirty
 */
struct page_lists {
	struct list_head zeroed;
	struct list_head dirty;
	unsigned long zeroed_pages;
	unsigned long dirty_pages;
};

void stock_init(struct gcheap_heap *heap);
void pages_move(struct list_head *from, struct list_head *to, unsigned long count);
unsigned long stock_take(struct gcheap_heap *heap, struct page_lists *lists,
			 unsigned long count);
struct page *stock_one_zeroed(struct gcheap_heap *heap);
void stock_put(struct gcheap_heap *heap, struct list_head *pages, unsigned long count,
	       bool zeroed);
unsigned long stock_keep(struct gcheap_heap *heap, struct list_head *pages, unsigned long most);
struct page *stock_take_block(struct gcheap_heap *heap);
void stock_keep_blocks(struct gcheap_heap *heap, struct list_head *blocks, unsigned long most);
unsigned long stock_trim(struct gcheap_heap *heap, unsigned long most);
unsigned long stock_drop_poisoned(struct gcheap_heap *heap);
unsigned long stock_pages(const struct gcheap_heap *heap);
unsigned long stock_take_oldest(struct gcheap_heap *heap, struct list_head *pages,
				unsigned long most, unsigned long *trims);
void stock_put_ahead(struct gcheap_heap *heap, struct list_head *pages, unsigned long count,
		     unsigned long trims);
void stock_destroy(struct gcheap_heap *heap);

#endif /* GCHEAP_STOCK_H */
