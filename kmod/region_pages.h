/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Physical pages of the mapped tables: see region_pages.c.
 */
#ifndef GCHEAP_REGION_PAGES_H
#define GCHEAP_REGION_PAGES_H

#include <linux/gcheap.h>
#include <linux/types.h>

struct gcheap_heap;

void region_pages_init(struct gcheap_heap *heap);
struct page *region_pages_find(struct gcheap_heap *heap, enum gcheap_region region,
			       unsigned long index);
struct page *region_pages_make(struct gcheap_heap *heap, enum gcheap_region region,
			       unsigned long index);
void region_pages_remove(struct gcheap_heap *heap, enum gcheap_region region, unsigned long index,
			 unsigned long count);
bool region_pages_may_go(enum gcheap_region region);
void region_pages_destroy(struct gcheap_heap *heap);

#endif /* GCHEAP_REGION_PAGES_H */
