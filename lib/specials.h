/* SPDX-License-Identifier: MIT */
/*
 * What becomes of specials, of all kinds, in a cycle, and when an object is freed (specials.c).
 */
#ifndef GCHEAP_LIB_SPECIALS_H
#define GCHEAP_LIB_SPECIALS_H

#include <stdbool.h>

struct gcheap;
struct owned;

/* Whether a cycle has to look at objects' entries at all. The lock is held. */
bool specials_may_die(const struct gcheap *heap);

/**
 * specials_settle() - see which objects with entries are dead
 * @heap: the heap, in whose cycle all that roots lead to is marked, and values of ephemerons
 *	(ephemeron.h)
 *
 * What is to live on is marked, and the entries of what is dead end. The lock is held.
 *
 * Return: 0; -ETIMEDOUT the kernel may have let threads go on, and all entries are as they were,
 * with gcheap_error() set.
 */
int specials_settle(struct gcheap *heap);

/**
 * specials_free() - a program gives an object back
 * @heap: the heap
 * @owned: the object
 * @obj: where it begins
 *
 * Return: 0, and it has none any more; -EBUSY it is pinned, and keeps what it has, with
 * gcheap_error() set.
 */
int specials_free(struct gcheap *heap, const struct owned *owned, const void *obj);

#endif /* GCHEAP_LIB_SPECIALS_H */
