/* SPDX-License-Identifier: MIT */
/*
 * GCHEAP_VERIFY: what is checked of a new object (verify_write.c).
 */
#ifndef GCHEAP_LIB_VERIFY_WRITE_H
#define GCHEAP_LIB_VERIFY_WRITE_H

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

#endif /* GCHEAP_LIB_VERIFY_WRITE_H */
