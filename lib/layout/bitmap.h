/* SPDX-License-Identifier: MIT */
/*
 * Reading the BITMAP region: two bits for every word of the heap.
 *
 * A group is 512 bytes of the heap, 64 words, and has a pair of 64-bit words there:
 * pointer bits and scan bits, bit i for word i. A span begins at a heap page, so
 * that no group belongs to two spans. Slots of one span may share a group, and a
 * slot may begin in the middle of one:
 *
 *	heap     |    group g: 64 words     |    group g + 1           |
 *	slots    ...---+-------------------------------+---------------...
 *	region   | pointer bits | scan bits | pointer bits | scan bits |
 *	           bitmap[2 g]    [2 g + 1]   [2 g + 2]      [2 g + 3]
 */
#ifndef GCHEAP_LIB_LAYOUT_BITMAP_H
#define GCHEAP_LIB_LAYOUT_BITMAP_H

#include "../address.h"

#define BITMAP_GROUP_BYTES	(1u << GCHEAP_BITMAP_GROUP_SHIFT)

/* The pair of words of the group that has the word at an offset. */
static inline uint64_t *bitmap_group(const struct view *view, uint64_t offset)
{
	return view->bitmap + (offset >> GCHEAP_BITMAP_GROUP_SHIFT) * 2;
}

/* The pointer bits before the first scan bit that is 0. */
static inline uint64_t bitmap_mask(uint64_t pointers, uint64_t scans)
{
	return pointers & scans & ~(scans + 1);
}

/* The pointer mask of a slot of at most 64 words. */
static inline uint64_t bitmap_read(const struct view *view, uint64_t slot_offset,
				   uint32_t slot_bytes)
{
	const uint64_t *group = bitmap_group(view, slot_offset);
	uint32_t shift = slot_offset / 8 % 64;
	uint32_t words = slot_bytes / 8;
	uint64_t pointers = group[0] >> shift;
	uint64_t scans = group[1] >> shift;

	if (shift + words > 64) {
		pointers |= group[2] << (64 - shift);
		scans |= group[3] << (64 - shift);
	}
	return low_bits(bitmap_mask(pointers, scans), words);
}

/*
 * Bytes of a large object up to the end of the last word that may hold a pointer: so
 * many have valid bits, and a reader may begin at any of them.
 */
static inline uint64_t bitmap_large_bytes(const struct gcheap_type_record *type,
					  uint64_t object_bytes)
{
	return object_bytes - (type->bytes - type->ptr_bytes);
}

#endif /* GCHEAP_LIB_LAYOUT_BITMAP_H */
