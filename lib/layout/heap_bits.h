/* SPDX-License-Identifier: MIT */
/*
 * Heap bits: a bit a word at a span's end, for the layouts that have them.
 */
#ifndef GCHEAP_LIB_LAYOUT_HEAP_BITS_H
#define GCHEAP_LIB_LAYOUT_HEAP_BITS_H

#include "../address.h"

/*
 * Where the heap bits of a slot begin: in this word, at bit slot word % 64. @first
 * is the offset of the span's first byte, @span_bytes its length.
 */
static inline uint64_t *heap_bits_word(const struct view *view, uint64_t first,
				       uint64_t span_bytes, uint64_t slot_offset)
{
	uint64_t *bits = address_pointer(view, first + span_bytes -
					 (span_bytes >> GCHEAP_HEAP_BITS_SHIFT));

	return bits + (slot_offset - first) / 8 / 64;
}

/* The heap bits of a slot of at most 64 words: bit 0 is the slot's first word. */
static inline uint64_t heap_bits_read(const struct view *view, uint64_t first, uint64_t span_bytes,
				      uint64_t slot_offset, uint32_t slot_bytes)
{
	const uint64_t *bits = heap_bits_word(view, first, span_bytes, slot_offset);
	uint32_t shift = (slot_offset - first) / 8 % 64;
	uint32_t words = slot_bytes / 8;
	uint64_t mask = bits[0] >> shift;

	if (shift + words > 64)
		mask |= bits[1] << (64 - shift);
	return low_bits(mask, words);
}

/*
 * Write the bits of the slot at @offset, in a page whose PAGES entry is @info: it
 * gets @bytes of elements of the type @record.
 */
void heap_bits_finish(const struct view *view, uint64_t offset, uint64_t info,
		      const struct gcheap_type_record *record, uint64_t bytes);

#endif /* GCHEAP_LIB_LAYOUT_HEAP_BITS_H */
