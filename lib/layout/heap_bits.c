// SPDX-License-Identifier: MIT
/*
 * Heap bits: a bit a word at a span's end, for objects up to 512 bytes of the
 * layouts that share spans between types.
 */
#include "heap_bits.h"

#include "slots.h"

/*
 * The bits cover the whole slot, because another type's may stand there. A slot
 * has at most 64 words, so that they are in one word of bits or in two.
 */
static void heap_bits_write(const struct view *view, uint64_t first, uint64_t span_bytes,
			    uint64_t slot_offset, uint32_t slot_bytes, uint64_t mask)
{
	uint64_t *bits = heap_bits_word(view, first, span_bytes, slot_offset);
	uint32_t shift = (slot_offset - first) / 8 % 64;
	uint32_t words = slot_bytes / 8;
	uint64_t ones = low_ones(words);

	bits[0] = (bits[0] & ~(ones << shift)) | mask << shift;
	if (shift + words > 64)
		bits[1] = (bits[1] & ~(ones >> (64 - shift))) | mask >> (64 - shift);
}

void heap_bits_finish(const struct view *view, uint64_t offset, uint64_t info,
		      const struct gcheap_type_record *record, uint64_t bytes)
{
	uint64_t page = (offset >> GCHEAP_PAGE_SHIFT) - GCHEAP_PAGE_INDEX(info);

	heap_bits_write(view, page << GCHEAP_PAGE_SHIFT,
			(uint64_t)page_info_pages(info) << GCHEAP_PAGE_SHIFT,
			offset, GCHEAP_PAGE_SLOT_BYTES(info),
			mask_tile(record->mask_word, record->bytes / 8, (uint32_t)(bytes / 8)));
}
