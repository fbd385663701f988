/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Masks that are made with the objects of a type, and go with them.
 *
 * The mask of a type has a bit for each word, up to 1 MiB for 64 MiB of pointers. Where a
 * type comes with a GC program, and is so long that its objects are all large, the type
 * table has the program and no mask. The first object of the type has the program
 * unrolled into a mask in the last part of TYPES, where the process can read it and not
 * write. When the last object has been freed, the mask's memory goes back to the system:
 *
 *	TYPES, byte offsets:
 *	0          GCHEAP_TYPES_DATA         GCHEAP_TYPES_MASKS   GCHEAP_TYPES_BYTES
 *	+----------+-------------------------+--------------------+
 *	| records  | masks, programs, names  | masks of objects   |
 *	+----------+-------------------------+--------------------+
 *
 * A mask begins at a table page and has its pages to itself. Room is the first run
 * of pages that is long enough. A heap of GCHEAP_LAYOUT_BITMAP needs none of
 * this: the owner unrolls the program into BITMAP.
 */
#ifndef GCHEAP_CORE_TYPE_MASK_H
#define GCHEAP_CORE_TYPE_MASK_H

#include "heap.h"

/**
 * type_mask_hold() - have the mask of a type's objects for one more
 * @heap: the heap
 * @type: any type, or 0
 *
 * Does nothing for types whose mask is always there.
 *
 * Return: 0; -ENOMEM; -ENOSPC there is no room but that of other types' masks;
 * -EINTR a fatal signal arrived.
 */
int type_mask_hold(struct heap *heap, u32 type);

/* The object is gone, or was not to be had. */
void type_mask_drop(struct heap *heap, u32 type);

#endif /* GCHEAP_CORE_TYPE_MASK_H */
