/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Pages of HEAP in mappings, and out of them: see vma.c.
 */
#ifndef GCHEAP_VMA_H
#define GCHEAP_VMA_H

#include <linux/mm.h>

struct gcheap_heap;

void pages_unmap(struct gcheap_heap *heap, unsigned long first, unsigned long end);

#endif /* GCHEAP_VMA_H */
