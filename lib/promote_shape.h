/* SPDX-License-Identifier: MIT */
/*
 * Types for objects of which only the pointers are known (promote_shape.c).
 */
#ifndef GCHEAP_LIB_PROMOTE_SHAPE_H
#define GCHEAP_LIB_PROMOTE_SHAPE_H

#include <stdint.h>

#include <gcheap.h>

struct gcheap;

/**
 * promote_shape() - find a type for an object of a user arena
 * @heap: the heap
 * @start: the object
 * @words: its length
 * @type: receives a type that has a pointer where the object has one; 0: it has none
 * @elements: receives how many elements of it are as long as the object
 *
 * Objects of one shape get one type. Return: 0; -ENOMEM, or the heap has no room for one more type,
 * with gcheap_error() set.
 */
int promote_shape(struct gcheap *heap, const char *start, uint32_t words, gcheap_type *type,
		  uint32_t *elements);

#endif /* GCHEAP_LIB_PROMOTE_SHAPE_H */
