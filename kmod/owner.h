/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The owner's end: see owner.c.
 */
#ifndef GCHEAP_OWNER_H
#define GCHEAP_OWNER_H

struct gcheap_heap;

void owner_init(struct gcheap_heap *heap);
void owner_watch(struct gcheap_heap *heap, unsigned long delay);
void owner_ended(struct gcheap_heap *heap);
void owner_forsook(struct gcheap_heap *heap);
void owner_forget(struct gcheap_heap *heap);

#endif /* GCHEAP_OWNER_H */
