/* SPDX-License-Identifier: MIT */
/*
 * Slot bits, one bit for each slot, of 64 consecutive slots of a span, which are a
 * window. They are read from a bit table, which has one bit for a 16-byte granule, and
 * written to one.
 */
#ifndef GCHEAP_LIB_SLOT_BITS_H
#define GCHEAP_LIB_SLOT_BITS_H

#include <stdbool.h>
#include <stdint.h>

#define WINDOW_SLOTS	64u

/**
 * struct slot_bits - which bits of a bit table are those of a span's slots
 * @patterns: of spans without, and with heap bits at their tail, by size class; made on first
 *	use
 */
struct slot_bits {
	uint64_t *patterns[2][128];
};

/* The bits of a class's spans, from the first word of a span on; NULL when out of memory. */
const uint64_t *slot_bits_pattern(struct slot_bits *slot_bits, uint32_t size_class,
				  bool heap_bits);

/* Frees all patterns. */
void slot_bits_free(struct slot_bits *slot_bits);

/**
 * slot_bits_load() - the bits of a window's slots
 * @bits: the span's words in a bit table
 * @slot_bytes: size of a slot
 * @first: first slot, a multiple of WINDOW_SLOTS
 * @count: how many slots, at most WINDOW_SLOTS
 *
 * Return: bit i is that of slot @first + i.
 */
uint64_t slot_bits_load(const uint64_t *bits, uint32_t slot_bytes, uint32_t first, uint32_t count);

/**
 * slot_bits_store() - set the bits of a span's slots up to a window's end
 * @bits: the span's words in a bit table
 * @pattern: the bits of all its slots
 * @slot_bytes: size of a slot
 * @from: slots before this one keep their bits
 * @first: first slot of the window: those before it, from @from on, are all set
 * @used: bit i: set the bit of slot @first + i
 */
void slot_bits_store(uint64_t *bits, const uint64_t *pattern, uint32_t slot_bytes, uint32_t from,
		     uint32_t first, uint64_t used);

/* Set the bits of all slots of a span; @words is a multiple of 8. */
static inline void slot_bits_store_all(uint64_t *bits, const uint64_t *pattern, uint32_t words)
{
	uint32_t w;

	for (w = 0; w < words; w++)
		bits[w] |= pattern[w];
}

#endif /* GCHEAP_LIB_SLOT_BITS_H */
