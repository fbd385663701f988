/* SPDX-License-Identifier: MIT */
/*
 * Slots and pointers, and whether there is an object (inspect.c).
 */
#ifndef GCHEAP_LIB_INSPECT_H
#define GCHEAP_LIB_INSPECT_H

#include <stdbool.h>
#include <stdint.h>

struct gcheap;
struct slot;

/*
 * Whether a slot has an object: by its alloc bit, or by the cache that has its span. The
 * world is stopped, or the span is in a cache of the calling thread.
 */
bool inspect_slot_is_allocated(const struct gcheap *heap, const struct slot *slot);

/* Find the allocated slot that an offset from the base, any number, points into. */
bool inspect_slot(const struct gcheap *heap, uint64_t offset, struct slot *slot);

/**
 * inspect_pointer() - whether a pointer is as a precise one must be
 * @heap: the heap
 * @pointer: any word
 *
 * That is: it leads out of the heap, to an object, to the end of one, which C allows, or
 * into a user arena.
 */
bool inspect_pointer(const struct gcheap *heap, const void *pointer);

#endif /* GCHEAP_LIB_INSPECT_H */
