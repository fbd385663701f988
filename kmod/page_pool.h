/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Pages that belong to a heap and are mapped nowhere: see page_pool.c.
 */
#ifndef GCHEAP_PAGE_POOL_H
#define GCHEAP_PAGE_POOL_H

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

void pool_init(struct gcheap_heap *heap);
void pool_move(struct list_head *from, struct list_head *to, unsigned long count);
unsigned long pool_take(struct gcheap_heap *heap, struct page_lists *lists,
			unsigned long count);
struct page *pool_take_zeroed(struct gcheap_heap *heap);
void pool_put(struct gcheap_heap *heap, struct list_head *pages, unsigned long count,
	      bool zeroed);
unsigned long pool_keep(struct gcheap_heap *heap, struct list_head *pages, unsigned long most);
struct page *pool_take_block(struct gcheap_heap *heap);
void pool_keep_blocks(struct gcheap_heap *heap, struct list_head *blocks, unsigned long most);
unsigned long pool_trim(struct gcheap_heap *heap, unsigned long most);
unsigned long pool_drop_failed(struct gcheap_heap *heap);
unsigned long pool_pages(const struct gcheap_heap *heap);
unsigned long pool_take_oldest(struct gcheap_heap *heap, struct list_head *pages,
			       unsigned long most, unsigned long *trims);
void pool_put_ahead(struct gcheap_heap *heap, struct list_head *pages, unsigned long count,
		    unsigned long trims);
void pool_destroy(struct gcheap_heap *heap);

#endif /* GCHEAP_PAGE_POOL_H */
