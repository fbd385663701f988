/* SPDX-License-Identifier: MIT */
/*
 * Slots and pointers, and whether there is an object (inspect.c).
 */
#ifndef GCHEAP_LIB_INSPECT_H
#define GCHEAP_LIB_INSPECT_H

#include <stdbool.h>
#include <stdint.h>

struct gcheap;
struct gcheap_object;
struct slot;

/*
 * Whether a slot has an object: by its alloc bit, or by the cache that has its span. The
 * world is stopped, or the span is in a cache of the calling thread.
 */
bool inspect_slot_is_allocated(const struct gcheap *heap, const struct slot *slot);

/* Find the allocated slot that an offset from the base, any number, points into. */
bool inspect_slot(const struct gcheap *heap, uint64_t offset, struct slot *slot);

/*
 * Whether a thread was stopped while it made an object of an allocated slot: there is nothing in
 * it yet that anybody may rely on. The world is stopped.
 */
bool inspect_slot_is_held(const struct gcheap *heap, const struct slot *slot);

/*
 * Whether an allocated slot is nobody's object yet: it was kept for a thread that may have been
 * about to take it when it was stopped, and has not. The world is stopped.
 */
bool inspect_slot_is_kept(const struct gcheap *heap, const struct slot *slot);

/**
 * inspect_next() - go through the allocated slots
 * @heap: a heap whose world is stopped, and in which nobody sweeps
 * @offset: from which offset on; 0: from the first
 * @slot: receives the first one that begins there, or behind
 *
 * Return: false: there is none.
 */
bool inspect_next(const struct gcheap *heap, uint64_t offset, struct slot *slot);

/* What a program is told of the object in a slot. */
void inspect_object(const struct gcheap *heap, const struct slot *slot, struct gcheap_object *out);

/* Stop the world, to look at what caches have, and let it go on. */
void inspect_begin(struct gcheap *heap);
void inspect_end(struct gcheap *heap);

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
