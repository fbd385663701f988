/* SPDX-License-Identifier: MIT */
/*
 * The heaps of this process that are open, for who has an address alone (heaps.c).
 */
#ifndef GCHEAP_LIB_HEAPS_H
#define GCHEAP_LIB_HEAPS_H

struct gcheap;

/* A heap is open from here on. Without memory for it, heaps_of() does not find it. */
void heaps_add(struct gcheap *heap);
/* It is about to be closed. Waits for those who look at it. */
void heaps_remove(struct gcheap *heap);

/**
 * heaps_look() - look for the heap that has an address
 * @address: any
 * @fn: is called with the heap, if there is one, which is not closed meanwhile
 * @arg: for @fn
 *
 * Context: also signal handlers, whatever they have interrupted; so @fn takes no lock.
 * Return: what @fn returned; 0: there is none.
 */
int heaps_look(const void *address, int (*fn)(struct gcheap *heap, const void *address, void *arg),
	       void *arg);

#endif /* GCHEAP_LIB_HEAPS_H */
