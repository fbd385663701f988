/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Which parts of object memory get pages as they are touched: see on_touch.c.
 */
#ifndef GCHEAP_ON_TOUCH_H
#define GCHEAP_ON_TOUCH_H

#include <linux/types.h>

struct gcheap_heap;

int on_touch_begin(struct gcheap_heap *heap, unsigned long first, unsigned long count);
void on_touch_end(struct gcheap_heap *heap, unsigned long first);
bool on_touch_overlaps(struct gcheap_heap *heap, unsigned long first, unsigned long end);
bool on_touch_find(struct gcheap_heap *heap, unsigned long index, unsigned long *first,
		   unsigned long *end);
void on_touch_destroy(struct gcheap_heap *heap);

#endif /* GCHEAP_ON_TOUCH_H */
