/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Slots: the pieces of a small-object span that hold an object each, their bits in
 * the bit tables, and their pointer masks.
 *
 * The bit tables have one bit for a granule of 16 bytes. A slot's bit is that of the
 * granule in which its byte 8 lies: every slot has 16 bytes or more, so that no two
 * have the same, also where slots begin in the middle of a granule.
 */
#ifndef GCHEAP_SLOTS_H
#define GCHEAP_SLOTS_H

#include "base.h"
#include "low_bits.h"
#include "size_classes.h"
#include "units.h"

/* The class of a span: the size class of its slots, and whether they have no pointers. */
#define SPAN_CLASS(size_class, noscan)	((u8)((size_class) << 1 | (noscan)))
#define SPAN_CLASS_NOSCAN(span_class)	((span_class) & 1)
#define SPAN_CLASS_SIZE(span_class)	((u32)(span_class) >> 1)

/* Size classes whose slots have a mark bit of their own: 16 bytes and more. */
#define SIZE_CLASS_MIN	2u

/* Number of the granule whose bit is that of the slot at a byte offset. */
static inline u64 granule_of(u64 offset)
{
	return (offset + 8) >> GCHEAP_GRANULE_SHIFT;
}

/* The same for a slot's number in its span, counted from the span's first granule. */
static inline u32 slot_granule(u32 slot_bytes, u32 index)
{
	return (u32)granule_of(index * slot_bytes);
}

/* Slots of a span of this class: less the heap bits, where the kind has them. */
u32 span_slots(u32 size_class, enum gcheap_kind kind);

/**
 * span_slot_bits() - which bits of a bit table are those of slots
 * @size_class: the span's
 * @slots: span_slots()
 * @words: receives MARK_WORDS_PER_PAGE words for each page of the span
 */
void span_slot_bits(u32 size_class, u32 slots, u64 *words);

/**
 * mask_tile() - repeat an element's pointer mask
 * @mask: one bit a word of the element
 * @element: its words; more than the highest set bit's
 * @words: how many to fill, at most 64
 *
 * An array of n elements and a single one share spans, because the mask goes on
 * to the end of the slot, whose unused tail is zeroed.
 */
static inline u64 mask_tile(u64 mask, u64 element, u32 words)
{
	for (; element < words; element *= 2)
		mask |= mask << element;
	return low_bits(mask, words);
}

/* The pointer mask of a slot, at most 512 bytes long, full of elements of a type. */
static inline u64 slot_mask(const struct gcheap_type_record *type, u32 slot_bytes)
{
	return mask_tile(type->mask_word, type->bytes / GCHEAP_TYPE_WORD_BYTES,
			 slot_bytes / GCHEAP_TYPE_WORD_BYTES);
}

#endif /* GCHEAP_SLOTS_H */
