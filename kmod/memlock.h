/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What a heap has while its owner has it not mapped: see memlock.c.
 */
#ifndef GCHEAP_MEMLOCK_H
#define GCHEAP_MEMLOCK_H

#include <linux/types.h>

struct gcheap_heap;

void memlock_update(struct gcheap_heap *heap);
void memlock_count(struct gcheap_heap *heap);
bool memlock_may(struct gcheap_heap *heap, unsigned long count);
bool memlock_unmapped(struct gcheap_heap *heap);

#endif /* GCHEAP_MEMLOCK_H */
