/* SPDX-License-Identifier: MIT */
/*
 * GC programs of types whose mask is not in TYPES: those of more than
 * GCHEAP_TYPE_MASK_KEPT_MAX bytes of pointers have it there only while they have
 * objects, and in the BITMAP layout never.
 *
 *	who has the pointers of	from
 *	an object		TYPES; BITMAP: the object's bits, unrolled by
 *				program_unroll() when it was allocated
 *	a typed root		a mask of the root's own, program_mask()
 */
#ifndef GCHEAP_LIB_LAYOUT_PROGRAM_H
#define GCHEAP_LIB_LAYOUT_PROGRAM_H

#include "../address.h"

/* Where a type's program stands; only of types with @program_bytes. */
static inline const uint8_t *program_code(const struct view *view,
					  const struct gcheap_type_record *type)
{
	return (const uint8_t *)view->types + type->program_offset;
}

/**
 * program_unroll() - write a type's mask
 * @view: the heap
 * @type: the type's record
 * @mask: receives it: whole words, the last one padded with zeros
 * @stride: distance of its words from each other, in words
 */
void program_unroll(const struct view *view, const struct gcheap_type_record *type, uint64_t *mask,
		    uint32_t stride);

/**
 * program_mask() - make a mask that no wild store can change
 * @view: the heap
 * @type: the type's record
 *
 * Return: the mask, to be freed by program_mask_free(); NULL: out of memory.
 */
const uint64_t *program_mask(const struct view *view, const struct gcheap_type_record *type);
void program_mask_free(const uint64_t *mask, uint64_t bytes);

/* Bytes of memory that it takes. */
uint64_t program_mask_bytes(const struct gcheap_type_record *type);

#endif /* GCHEAP_LIB_LAYOUT_PROGRAM_H */
