/* SPDX-License-Identifier: MIT */
/*
 * What becomes of an object's specials, of all kinds, when it is freed (specials.c).
 */
#ifndef GCHEAP_LIB_SPECIALS_H
#define GCHEAP_LIB_SPECIALS_H

struct gcheap;
struct owned;

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
