/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Which parts of object memory get pages as they are touched: see lazy.c.
 */
#ifndef GCHEAP_LAZY_H
#define GCHEAP_LAZY_H

#include <linux/types.h>

struct gcheap_heap;

int lazy_begin(struct gcheap_heap *heap, unsigned long first, unsigned long count);
void lazy_end(struct gcheap_heap *heap, unsigned long first);
bool lazy_overlaps(struct gcheap_heap *heap, unsigned long first, unsigned long end);
bool lazy_find(struct gcheap_heap *heap, unsigned long index, unsigned long *first,
	       unsigned long *end);
void lazy_destroy(struct gcheap_heap *heap);

#endif /* GCHEAP_LAZY_H */
