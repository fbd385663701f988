/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Shortage of memory: see pressure.c.
 */
#ifndef GCHEAP_PRESSURE_H
#define GCHEAP_PRESSURE_H

#include <linux/poll.h>
#include <linux/types.h>

struct gcheap_heap;

int pressure_init(void);
void pressure_exit(void);
void pressure_heap_init(struct gcheap_heap *heap);
int pressure_heap_open(struct gcheap_heap *heap);
void pressure_heap_start(struct gcheap_heap *heap);
void pressure_heap_end(struct gcheap_heap *heap);
void pressure_heap_release(struct gcheap_heap *heap);
void pressure_request_end(struct gcheap_heap *heap, u32 op, int error);
__poll_t pressure_poll(struct file *file, struct poll_table_struct *wait);

#endif /* GCHEAP_PRESSURE_H */
