/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Pages for one request: see page_batch.c.
 */
#ifndef GCHEAP_PAGE_BATCH_H
#define GCHEAP_PAGE_BATCH_H

#include "stock.h"

struct gcheap_heap;

/**
 * struct supply - pages for one request
 * @heap: whose
 * @wanted: how many it has still to take
 * @order: the largest blocks that are worth trying
 * @at_hand: the pages that it will take next
 * @recycled: how many came from the stock
 * @old_data: a page with old data was taken
 */
struct supply {
	struct gcheap_heap *heap;
	unsigned long wanted;
	unsigned int order;
	struct page_lists at_hand;
	unsigned long recycled;
	bool old_data;
};

void supply_begin(struct supply *supply, struct gcheap_heap *heap, unsigned long count);
int supply_ensure(struct supply *supply, unsigned long count);
struct page *supply_next(struct supply *supply);
void supply_end(struct supply *supply);
void supply_undo(struct supply *supply, struct list_head *taken);

#endif /* GCHEAP_PAGE_BATCH_H */
