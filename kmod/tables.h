/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Physical pages of the mapped tables: see tables.c.
 */
#ifndef GCHEAP_TABLES_H
#define GCHEAP_TABLES_H

#include <linux/gcheap.h>
#include <linux/types.h>

struct gcheap_heap;

void tables_init(struct gcheap_heap *heap);
struct page *tables_find(struct gcheap_heap *heap, enum gcheap_region region,
			 unsigned long index);
struct page *tables_make(struct gcheap_heap *heap, enum gcheap_region region,
			 unsigned long index);
void tables_remove(struct gcheap_heap *heap, enum gcheap_region region, unsigned long index,
		   unsigned long count);
bool tables_may_go(enum gcheap_region region);
void tables_destroy(struct gcheap_heap *heap);

#endif /* GCHEAP_TABLES_H */
