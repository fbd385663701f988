/* SPDX-License-Identifier: MIT */
/*
 * GCHEAP_VERIFY: what is checked besides gcheap_verify().
 */
#ifndef GCHEAP_LIB_VERIFY_H
#define GCHEAP_LIB_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include <gcheap.h>

/**
 * verify_write() - check what allocation wrote of an object's type
 * @heap: the heap, of GCHEAP_VERIFY
 * @object: a new object that nobody has seen yet
 * @type: of its elements; 0: it is a leaf, or shares a slot
 * @bytes: of all of them
 *
 * What the heap now takes for pointers is compared with the type, from the object's
 * start and from a random address in it; and the object, with what its slot has
 * behind it, must be zero: of a cell of a slot, the cell. Says on stderr what is
 * wrong, and aborts.
 */
void verify_write(struct gcheap *heap, const void *object, gcheap_type type, uint64_t bytes);

/* Reports of one verification: what is broken is often broken everywhere. */
#define VERIFY_REPORTS_MAX	20u

/**
 * verify_pointer() - whether a pointer is as a precise one must be
 * @heap: the heap
 * @pointer: any word
 *
 * That is: it leads out of the heap, to an object, to the end of one, which C allows, or
 * into a user arena.
 */
bool verify_pointer(const struct gcheap *heap, const void *pointer);

/**
 * verify_roots() - check that precise roots, typed ones and frames lead to objects
 * @heap: the heap
 * @faults: how many were found and reported before
 *
 * Return: how many dangling pointers there are. Up to VERIFY_REPORTS_MAX faults are
 * reported on stderr, with the root that has the pointer.
 */
uint64_t verify_roots(struct gcheap *heap, uint64_t faults);

#endif /* GCHEAP_LIB_VERIFY_H */
