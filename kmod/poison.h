/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Pages whose memory has failed: see poison.c.
 */
#ifndef GCHEAP_POISON_H
#define GCHEAP_POISON_H

#include <linux/types.h>

struct gcheap_heap;

void poison_begin(struct gcheap_heap *heap);
bool poison_is_due(const struct gcheap_heap *heap);
void poison_look(struct gcheap_heap *heap);
bool poison_in_pages(struct gcheap_heap *heap, unsigned long first, unsigned long end);

#endif /* GCHEAP_POISON_H */
