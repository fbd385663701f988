/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Giving parts of the heap memory, and taking it from them: see pages.c.
 */
#ifndef GCHEAP_PAGES_H
#define GCHEAP_PAGES_H

#include <linux/types.h>

struct gcheap_heap;
struct gcheap_range;

void pages_init(struct gcheap_heap *heap);
int pages_populate(struct gcheap_heap *heap, unsigned long first, unsigned long count,
		   bool *needzero);
void pages_depopulate(struct gcheap_heap *heap, unsigned long first, unsigned long count);
unsigned long pages_release(struct gcheap_heap *heap, const struct gcheap_range *ranges,
			    u32 count);
void pages_counters(struct gcheap_heap *heap);
void pages_destroy(struct gcheap_heap *heap);

#endif /* GCHEAP_PAGES_H */
