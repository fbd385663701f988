// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Slots of small-object spans.
 */
#include "slots.h"

u32 span_slots(u32 size_class, enum gcheap_kind kind)
{
	u32 bytes = (u32)size_class_pages[size_class] << GCHEAP_PAGE_SHIFT;

	if (kind == GCHEAP_KIND_HEAP_BITS)
		bytes -= bytes >> GCHEAP_HEAP_BITS_SHIFT;
	return bytes / size_class_bytes[size_class];
}

void span_slot_bits(u32 size_class, u32 slots, u64 *words)
{
	u32 bytes = size_class_bytes[size_class];
	u32 i;

	memset(words, 0, size_class_pages[size_class] * MARK_WORDS_PER_PAGE * sizeof(u64));
	for (i = 0; i < slots; i++) {
		u32 granule = slot_granule(bytes, i);

		words[granule / 64] |= BIT_ULL(granule % 64);
	}
}
