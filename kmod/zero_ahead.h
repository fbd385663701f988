/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Zeroing pages ahead of demand: see zero_ahead.c.
 */
#ifndef GCHEAP_ZERO_AHEAD_H
#define GCHEAP_ZERO_AHEAD_H

struct gcheap_heap;

int zero_ahead_start(void);
void zero_ahead_stop(void);
void zero_ahead_init(struct gcheap_heap *heap);
void zero_ahead_end(struct gcheap_heap *heap);
void zero_ahead_kick(struct gcheap_heap *heap);
void zero_ahead_demand(struct gcheap_heap *heap);

#endif /* GCHEAP_ZERO_AHEAD_H */
