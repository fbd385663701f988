/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Pages for one request: see page_batch.c.
 */
#ifndef GCHEAP_PAGE_BATCH_H
#define GCHEAP_PAGE_BATCH_H

#include "page_pool.h"

struct gcheap_heap;

/**
 * struct page_batch - pages for one request
 * @heap: whose
 * @wanted: how many it has still to take
 * @order: the largest blocks that are worth trying
 * @at_hand: the pages that it will take next
 * @recycled: how many came from the pool
 * @old_data: a page with old data was taken
 */
struct page_batch {
	struct gcheap_heap *heap;
	unsigned long wanted;
	unsigned int order;
	struct page_lists at_hand;
	unsigned long recycled;
	bool old_data;
};

void batch_begin(struct page_batch *batch, struct gcheap_heap *heap, unsigned long count);
int batch_ensure(struct page_batch *batch, unsigned long count);
struct page *batch_next(struct page_batch *batch);
void batch_end(struct page_batch *batch);
void batch_undo(struct page_batch *batch, struct list_head *taken);

#endif /* GCHEAP_PAGE_BATCH_H */
