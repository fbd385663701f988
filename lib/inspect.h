/* SPDX-License-Identifier: MIT */
/*
 * Slots, and whether there is an object in them.
 */
#ifndef GCHEAP_LIB_INSPECT_H
#define GCHEAP_LIB_INSPECT_H

#include <stdbool.h>
#include <stdint.h>

struct gcheap;
struct slot;

/* Whether a slot has an object: by its alloc bit, or by the cache that has its span. */
bool inspect_slot_is_allocated(const struct gcheap *heap, const struct slot *slot);

/* Find the allocated slot that an offset from the base, any number, points into. */
bool inspect_slot(const struct gcheap *heap, uint64_t offset, struct slot *slot);

#endif /* GCHEAP_LIB_INSPECT_H */
