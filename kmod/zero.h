/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Zeroing pages ahead of demand: see zero.c.
 */
#ifndef GCHEAP_ZERO_H
#define GCHEAP_ZERO_H

struct gcheap_heap;

int zero_start(void);
void zero_stop(void);
void zero_heap_init(struct gcheap_heap *heap);
void zero_heap_end(struct gcheap_heap *heap);
void zero_kick(struct gcheap_heap *heap);
void zero_demand(struct gcheap_heap *heap);

#endif /* GCHEAP_ZERO_H */
